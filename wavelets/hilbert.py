"""Half-plane Hilbert transform and analytic version of images and kernels.

A half-plane of the frequencies calls one of every two opposite frequencies positive. The Hilbert
transform turns the positive ones by -pi/2 and the negative ones by +pi/2; the analytic version of a
kernel keeps the positive ones only. Arrays are taken as one period of a periodic grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from wavelets.checks import integer, real_array, real_images, refuse_overflow, to_array

Floats = NDArray[np.floating[Any]]
Complexes = NDArray[np.complexfloating[Any, Any]]

TIE = 1e-9
"""Frequencies nearer than this to the border of the half-plane (rad/sample) lie on it."""

NOISE = 1e-26
"""Energies below this fraction of the largest one are rounding errors of the transform."""

ISOTROPIC = 1e-12
"""Kernels whose structure tensor is less anisotropic than this have no direction."""

_AXES = {"x": (0.0, 1.0), "y": (1.0, 0.0)}


def hilbert2d(x: ArrayLike, direction: str | ArrayLike = "x") -> Floats:
    r"""Half-plane Hilbert transform over the last two axes.

    Parameters
    ----------
    x : array_like, shape (..., H, W), real
        Images or kernels, each one period of an H x W grid.
    direction : {"x", "y", "auto"} or array_like, shape (..., 2)
        Where the positive half-plane points to: along the horizontal axis, along the vertical one,
        along each array's own :func:`dominant_direction`, or along vectors (e_y, e_x) of any length
        that broadcast against the leading axes.

    Returns
    -------
    ndarray, shape (..., H, W), float32 for float32 and float16 input and float64 otherwise
        The array with the spectrum :math:`-i\,s(\omega)\,\widehat X(\omega)`, s from
        :func:`half_plane_sign`.

    Raises
    ------
    TypeError
        If `x` or `direction` is not real and numeric.
    ValueError
        If `x` has fewer than two axes, no pixels, a value that is not finite or above a millionth
        of the largest number, or the shape of colour images with the colours last, (..., H, W, 3 or
        4) with H and W of at least 16; if `direction` is unknown, zero, not finite, or does not
        broadcast.

    Notes
    -----
    Havlicek, Havlicek and Bovik, "The analytic image", ICIP 1997, with the ties on the Nyquist
    lines broken like those on the zero lines (theory.md, section 1). Applied twice it changes the
    sign, except on the self-conjugate frequencies, which it removes.

    Examples
    --------
    >>> import numpy as np
    >>> wave = np.cos(np.pi / 2 * np.arange(4)) * np.ones((3, 1))
    >>> np.allclose(hilbert2d(wave), np.sin(np.pi / 2 * np.arange(4)))
    True
    """
    x = real_images(x, "x")
    refuse_overflow(x, "x")
    s = half_plane_sign(x.shape[-2:], half_plane_direction(direction, x))
    half = scipy.fft.rfft2(x)  # of a real array, as is the result
    half *= s[..., : half.shape[-1]]  # int8 signs keep complex64 as it is
    half *= -1j
    transformed: Floats = scipy.fft.irfft2(half, x.shape[-2:], overwrite_x=True)
    return transformed


def analytic(
    kernel: ArrayLike,
    direction: str | ArrayLike = "x",
    size: int | Sequence[int] | None = None,
) -> Complexes:
    r"""Analytic version W = V + i H(V) of real kernels V.

    Parameters
    ----------
    kernel : array_like, shape (..., kh, kw), real
        The kernels V.
    direction : {"x", "y", "auto"} or array_like, shape (..., 2)
        As in :func:`hilbert2d`; "auto" looks at the kernel on the grid of `size`.
    size : int or (int, int), optional
        The periodic grid (H, W), at least as large as the kernel, to which V is first extended by
        zeros at the bottom and on the right: H(V) has no finite support, so that a small grid wraps
        it around. Default: the kernel's own size.

    Returns
    -------
    ndarray, shape (..., H, W), complex64 for float32 and float16 input and complex128 otherwise
        W, with the spectrum :math:`(1 + s(\omega))\,\widehat V(\omega)`; its real part is V
        exactly.

    Raises
    ------
    TypeError
        If `kernel` or `direction` is not real and numeric, or `size` is not an integer.
    ValueError
        As in :func:`hilbert2d`, or if `size` is smaller than the kernel.

    See Also
    --------
    wavelets.monogenic : amplitude, phase and orientation, the same in all directions.

    Notes
    -----
    The mask 1 + s is 2 on positive, 0 on negative and 1 on self-conjugate frequencies: Havlicek et
    al. 1997; theory.md, section 1. For real X the modulus of X * W does not depend on which of two
    opposite half-planes is kept.

    The analytic version of a plane wave :math:`A\cos\langle\omega,n\rangle` with omega in the
    half-plane is :math:`A\,e^{i\langle\omega,n\rangle}`: its modulus is the amplitude and its phase
    goes forward by omega from one pixel to the next, while that of packet coefficients goes back
    (:meth:`wavelets.DualTreePackets2D.forward`). The modulus is an amplitude only where the image
    varies across the border of the half-plane: on closed fringes of amplitude 1 it runs from 0.03
    to 1.37. Take :func:`wavelets.monogenic` for those.

    Examples
    --------
    >>> analytic([[0.0, 1.0, 0.0, 0.0]]).round(3)
    array([[0.-0.5j, 1.+0.j , 0.+0.5j, 0.+0.j ]])
    """
    v = real_images(kernel, "kernel")
    refuse_overflow(v, "kernel")
    v = zero_padded(v, v.shape[-2:] if size is None else size)
    w: Complexes = v + 1j * hilbert2d(v, direction)
    return w


def half_plane_sign(shape: Sequence[int], direction: str | ArrayLike = "x") -> NDArray[np.int8]:
    r"""Sign of every frequency: +1 inside the half-plane, -1 outside, 0 if self-conjugate.

    Parameters
    ----------
    shape : (int, int)
        The grid (H, W).
    direction : {"x", "y"} or array_like, shape (..., 2)
        The half-plane's inner normal e = (e_y, e_x), of any length.

    Returns
    -------
    ndarray, shape (..., H, W), int8
        s(omega) in the order of ``fftfreq``, exactly odd: s(-omega) = -s(omega).

    Raises
    ------
    TypeError
        If `direction` is not real and numeric or `shape` does not hold integers.
    ValueError
        If `shape` is not two positive numbers; if `direction` is unknown, zero or not finite.

    Notes
    -----
    :math:`s(\omega) = \operatorname{sgn}\langle\omega', e\rangle`, where omega' is omega with 0 in
    place of every component +-pi, which is its own opposite. Frequencies with
    :math:`|\langle\omega', e\rangle| \le` ``TIE`` = 1e-9 rad/sample (e of unit length), which
    rounding would put on either side, count as being on the border; there the sign is that of the
    component across e: of omega'_y for "x", of omega'_x for "y", and the axis nearer to e decides
    in between. Opposite e give opposite signs. This is s of theory.md, section 1.

    Examples
    --------
    >>> half_plane_sign((1, 4))
    array([[ 0,  1,  0, -1]], dtype=int8)
    """
    if len(shape) != 2:
        raise ValueError(f"shape must be two positive integers (H, W), got {tuple(shape)}")
    for n in shape:
        integer("shape", n, 1)
    e = _unit(direction)[..., None, None, :]
    e_y, e_x = e[..., 0], e[..., 1]
    omega_y, omega_x = frequencies(shape[0])[:, None], frequencies(shape[1])
    along = omega_y * e_y + omega_x * e_x
    across = omega_y * e_x - omega_x * e_y
    across = np.where(np.abs(e_x) >= np.abs(e_y) - TIE, across, -across)
    return np.sign(np.where(np.abs(along) > TIE, along, across)).astype(np.int8)


def dominant_direction(kernel: ArrayLike) -> NDArray[np.float64]:
    r"""Direction along which real kernels vary most.

    Parameters
    ----------
    kernel : array_like, shape (..., H, W), real
        Kernels, each one period of an H x W grid.

    Returns
    -------
    ndarray, shape (..., 2), float64
        Unit vectors (e_y, e_x) with e_x > 0, or e_y > 0 where e_x = 0. A kernel without a direction
        (zero, constant, a single one among zeros) gets (0, 1).

    Raises
    ------
    TypeError
        If `kernel` is not real and numeric.
    ValueError
        If `kernel` has fewer than two axes, no element, or a value that is not finite.

    Notes
    -----
    Principal eigenvector of :math:`\sum_\omega|\widehat V(\omega)|^2\,\omega\omega^T`, the
    structure tensor of the gradient with the ideal derivative (Bigun and Granlund, ICCV 1987).
    Components +-pi of omega point both ways and count as 0: variation at the Nyquist frequency of
    an even size shows only after extension by zeros (:func:`zero_padded`).

    Examples
    --------
    >>> dominant_direction([[1.0, 1.0, 1.0], [-2.0, -2.0, -2.0], [1.0, 1.0, 1.0]])
    array([1., 0.])
    """
    v = np.asarray(real_array(kernel, "kernel", axes=2, batch=True), dtype=np.float64)
    peak = np.abs(v).max(axis=(-2, -1), keepdims=True)
    energy = without_noise(np.abs(scipy.fft.fft2(v / np.where(peak > 0, peak, 1))) ** 2)
    omega_y, omega_x = frequencies(v.shape[-2])[:, None], frequencies(v.shape[-1])
    j_yy, j_xy, j_xx = (
        (energy * product).sum(axis=(-2, -1)) for product in (omega_y**2, omega_x * omega_y, omega_x**2)
    )
    isotropic = np.hypot(2 * j_xy, j_xx - j_yy) <= ISOTROPIC * (j_xx + j_yy)
    angle = np.where(isotropic, 0.0, np.arctan2(2 * j_xy, j_xx - j_yy) / 2)
    return facing_right(np.stack([np.sin(angle), np.cos(angle)], axis=-1))


def facing_right(vectors: ArrayLike) -> NDArray[np.float64]:
    """One of every vector and its opposite: the one with v_x > 0, or with v_y >= 0 where v_x = 0.

    Parameters
    ----------
    vectors : array_like, shape (..., 2)
        Vectors (v_y, v_x); components smaller than ``TIE`` = 1e-9 are rounding errors and become 0.

    Returns
    -------
    ndarray, shape (..., 2), float64
        The vectors, or their opposites.

    Examples
    --------
    >>> facing_right([[1.0, -2.0], [-1.0, 1e-17]])
    array([[-1.,  2.],
           [ 1.,  0.]])
    """
    v = np.asarray(vectors, dtype=np.float64)
    v = np.where(np.abs(v) > TIE, v, 0.0)
    left = (v[..., 1] < 0) | ((v[..., 1] == 0) & (v[..., 0] < 0))
    return np.where(left[..., None], 0.0 - v, v)


def zero_padded(planes: NDArray[Any], size: int | Sequence[int]) -> NDArray[Any]:
    """Arrays extended by zeros at the bottom and on the right.

    Parameters
    ----------
    planes : ndarray, shape (..., h, w)
        Arrays.
    size : int or (int, int)
        The size (H, W) to reach, H >= h and W >= w.

    Returns
    -------
    ndarray, shape (..., H, W), of the same dtype

    Raises
    ------
    TypeError
        If `size` is not an integer or a pair of them.
    ValueError
        If `size` is smaller than the arrays or not a pair.
    """
    pair = size if isinstance(size, Sequence) and not isinstance(size, str) else (size, size)
    target = tuple(integer("size", n, 0) for n in pair)
    h, w = planes.shape[-2:]
    if len(target) != 2 or target[0] < h or target[1] < w:
        raise ValueError(f"size must be at least the kernel's {(h, w)}, got {size!r}")
    leading = [(0, 0)] * (planes.ndim - 2)
    return np.pad(planes, [*leading, (0, target[0] - h), (0, target[1] - w)])


def without_noise(energy: Floats) -> Floats:
    """Power spectra without the rounding errors of the transform.

    Parameters
    ----------
    energy : ndarray, shape (..., H, W)
        Energies, zero or more.

    Returns
    -------
    ndarray, shape (..., H, W)
        The same, with 0 in place of all below ``NOISE`` = 1e-26 of the largest of each array.
    """
    return np.where(energy > NOISE * energy.max(axis=(-2, -1), keepdims=True), energy, 0.0)


def frequencies(n: int) -> NDArray[np.float64]:
    """Frequencies of n samples in the order of ``fftfreq``, rad/sample, 0 in place of the Nyquist frequency."""
    omega: NDArray[np.float64] = 2 * np.pi * scipy.fft.fftfreq(n)
    if n % 2 == 0:
        omega[n // 2] = 0.0
    return omega


def half_plane_direction(direction: str | ArrayLike, x: Floats) -> NDArray[np.float64]:
    """Unit vectors (e_y, e_x) that broadcast to the leading axes of `x`."""
    if isinstance(direction, str) and direction == "auto":
        return dominant_direction(x)
    e = _unit(direction)
    batch = x.shape[:-2]
    try:
        fits = np.broadcast_shapes(e.shape[:-1], batch) == batch
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(f"direction of shape {e.shape} must broadcast to {(*batch, 2)}")
    return e


def _unit(direction: str | ArrayLike) -> NDArray[np.float64]:
    """Unit vectors (e_y, e_x) of a direction given by name or by vectors of any length."""
    if isinstance(direction, str):
        if direction not in _AXES:
            raise ValueError(
                "direction must be 'x', 'y', 'auto' (where there is a kernel) "
                f"or a vector (e_y, e_x), got {direction!r}"
            )
        return np.array(_AXES[direction])
    e = to_array(direction, "direction")
    if e.dtype.kind not in "iuf":
        raise TypeError(f"direction must hold real numbers, got {direction!r}")
    if e.ndim == 0 or e.shape[-1] != 2:
        raise ValueError(f"direction must be vectors (e_y, e_x), got shape {e.shape}")
    e = e.astype(np.float64)
    longest = np.abs(e).max(axis=-1, keepdims=True, initial=0.0)
    if not (np.isfinite(longest) & (longest > 0)).all():
        raise ValueError(f"direction must be finite and not zero, got {direction!r}")
    e = e / longest  # first, lest the squares overflow
    unit: NDArray[np.float64] = e / np.hypot(e[..., :1], e[..., 1:])
    return unit
