r"""Energy of kernels in the Fourier plane: characteristic frequency and bandwidth.

Spectra are those of the array as it is given, :math:`\widehat K(\omega) = \sum_k
K[k]\,e^{-i\langle\omega,k\rangle}`. The layers of a network correlate: their convolution filter is
K[-k], so that its frequency is the opposite of the one found here. Frequencies are (vertical,
horizontal) in rad/sample, modulo 2 pi, in [-pi, pi): the Nyquist frequency reads -pi. The spectrum
of a real kernel is symmetric, and its frequency the one of the half-plane theta_x > 0, or theta_x =
0 and theta_y >= 0. Everything is computed in double precision, one kernel at a time.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from wavelets.checks import complex_array, integer, positive, to_array
from wavelets.hilbert import (
    dominant_direction,
    facing_right,
    half_plane_sign,
    without_noise,
    zero_padded,
)

Plane = NDArray[Any]  # one kernel, float64 or complex128
Energies = NDArray[np.float64]
Centre = float | NDArray[np.float64]  # rad/sample; of many intervals a column

SAMPLES = 128
"""Frequencies are sought on grids whose size is a multiple of this: steps of pi/64 or finer."""

SLACK = 1e-3
"""Windows that hold this fraction less energy than the best one are as good: side lobes decide."""

ROUNDING = 1e-12
"""Differences below this fraction of the total energy are rounding errors."""

WRAP = np.pi / 4
"""Peaks of real kernels this near to +-pi run into their mirror image across it: circular means."""

EDGE = 1e-9
"""Grid frequencies nearer than this to the edge of a window, in grid steps, lie on it."""


def power_spectrum(kernel: ArrayLike, size: int) -> Energies:
    r"""Squared modulus of the spectrum on a grid of frequencies.

    Parameters
    ----------
    kernel : array_like, shape (..., kh, kw), real or complex
        Kernels, extended by zeros to size x size.
    size : int
        Number L of frequencies on each axis, at least the kernel's size.

    Returns
    -------
    ndarray, shape (..., L, L), float64
        :math:`|\widehat K(\omega)|^2` for :math:`\omega = 2\pi k/L`, in the order of ``fftfreq``;
        its mean is the kernel's energy. Infinite where it overflows.

    Raises
    ------
    TypeError
        If `kernel` is not numeric or `size` is not an integer.
    ValueError
        If `kernel` has fewer than two axes, no element, or a value that is not finite; if `size` is
        too small.

    Examples
    --------
    >>> power_spectrum([[1.0, -1.0]], 2)
    array([[0., 4.],
           [0., 4.]])
    """
    spectrum = scipy.fft.fft2(zero_padded(_planes(kernel), integer("size", size, 0)))
    with np.errstate(over="ignore"):
        energy: Energies = np.abs(spectrum) ** 2
    return energy


def characteristic_frequency(
    kernel: ArrayLike,
    bandwidth: float = np.pi / 2,
    method: Literal["window", "centroid"] = "window",
    size: int | None = None,
    power: float = 2,
) -> NDArray[np.float64]:
    r"""Characteristic frequency theta of kernels.

    Parameters
    ----------
    kernel : array_like, shape (..., kh, kw), real or complex
        Kernels.
    bandwidth : float
        For "window": side kappa > 0 of the window, rad/sample; 2 pi or more is the whole plane.
    method : {"window", "centroid"}
        "window": the centre of the square of side `bandwidth` that holds most energy, among squares
        centred on the frequencies of the grid. "centroid": a centre of mass.
    size : int, optional
        Number L of frequencies of the grid on each axis, at least the kernel's size ("centroid" of
        a real kernel takes the odd number L or L + 1). Default: the smallest multiple of 128 that
        is at least four times the kernel's size.
    power : float
        For "centroid": the mass is :math:`|\widehat K|^p` with this p > 0.

    Returns
    -------
    ndarray, shape (..., 2), float64
        (theta_y, theta_x), rad/sample.

    Raises
    ------
    TypeError
        If `kernel` is not numeric or `size` is not an integer.
    ValueError
        If `kernel` has fewer than two axes, no element, a value that is not finite, or is zero
        everywhere; if `bandwidth`, `method`, `size` or `power` is out of range.

    See Also
    --------
    wavelets.hilbert.analytic : its result has a theta that is safe from the kernel's own mirror
    image.

    Notes
    -----
    Both estimators of theory.md, section 1. *Window*: the energies are those of
    :func:`energy_in_window` for complex kernels, integrals rather than sums over the grid, so that
    `bandwidth` need not be a multiple of the grid's step. A window wider than the peak leaves a
    choice that side lobes would decide. So among the centres whose windows hold at least 0.999 of
    the most energy, those are kept whose windows of half the side do the same, and so on; at the
    last side above one step of the grid the most energy counts (to 1e-12 of the total), then the
    smaller norm of theta. A narrow peak is found at its centre, and an axis along which nothing
    varies gets 0. For a real kernel whose frequency is lower than about `bandwidth`/2, a window
    about 0 holds both the peak and its mirror image: use its analytic version, with the half-plane
    of the kernel's own direction (``direction="auto"``): a fixed one whose border runs through the
    peak cuts it, and theta is off by up to half the bandwidth.

    *Centroid*, real kernels: :math:`\theta = \sum\omega\,g/\sum g` with :math:`g = |\widehat
    V|^p\max(0, \langle e, \omega/|\omega|\rangle)^2`, e the dominant direction of the kernel
    extended by zeros; theta = 0 for a kernel without energy off 0. Where the spectrum peaks within
    pi/4 of +-pi along an axis, the half-plane cuts the peak: there, on each axis, the circular mean
    of :math:`|\widehat V|^p` over the frequencies that are nearer to the peak than to its mirror
    image, modulo 2 pi. Complex kernels: on each axis
    the circular mean :math:`\arg\sum|\widehat W|^p e^{i\omega}`, which peaks across +-pi do not
    upset; 0 on an axis along which the mass is balanced.

    Examples
    --------
    >>> import numpy as np
    >>> n = np.arange(-8, 9)
    >>> wave = np.exp(-(n**2) / 18) * np.exp(0.25j * np.pi * n)
    >>> characteristic_frequency(wave[:, None] * wave.conj()) / np.pi
    array([ 0.25, -0.25])
    """
    kernels = _unit_peak(_planes(kernel))
    length = _grid_size(kernels, size)
    if not isinstance(method, str):
        raise TypeError(f"method must be 'window' or 'centroid', got {method!r}")
    if method == "window":
        side = min(positive("bandwidth", bandwidth), 2 * np.pi)  # of more the whole plane is left
        thetas = [_best_window(k, length, side) for k in _flat(kernels)]
    elif method == "centroid":
        centre = _circular_mean if np.iscomplexobj(kernels) else _centre_of_mass
        power = positive("power", power)
        thetas = [centre(k, length, power) for k in _flat(kernels)]
    else:
        raise ValueError(f"method must be 'window' or 'centroid', got {method!r}")
    return _wrapped(np.reshape(thetas, (*kernels.shape[:-2], 2)))


def energy_in_window(
    kernel: ArrayLike, theta: ArrayLike, bandwidth: float, size: int | None = None
) -> NDArray[np.float64]:
    r"""Fraction of the energy inside a square of the Fourier plane.

    Parameters
    ----------
    kernel : array_like, shape (..., kh, kw), real or complex
        Kernels.
    theta : array_like, shape (..., 2)
        Centres (theta_y, theta_x) of the squares, rad/sample, modulo 2 pi; leading axes broadcast
        against the kernels'.
    bandwidth : float
        Side kappa > 0 of the squares, rad/sample; 2 pi or more is the whole plane.
    size : int, optional
        Take the kernel as one period of a size x size grid, with its discrete frequencies. Default:
        the kernel is finite, zero outside of its array, and its spectrum continuous.

    Returns
    -------
    ndarray, shape (...), float64
        Fractions in [0, 1]. For real kernels the window is the union of the square about theta and
        its mirror image about -theta, where it overlaps counted once: an ideal Gabor kernel gives
        1.

    Raises
    ------
    TypeError
        If `kernel` is not numeric, `theta` not real, or `size` not an integer.
    ValueError
        If `kernel` has fewer than two axes, no element, a value that is not finite, or is zero
        everywhere; if `theta`, `bandwidth` or `size` is out of range or the leading axes do not
        broadcast.

    Notes
    -----
    For a finite kernel this is the integral of :math:`|\widehat K|^2` over the window, exact up to
    rounding: the power spectrum has as many degrees of freedom as the autocorrelation, so that a
    grid of 2k - 1 frequencies with the right weights integrates it. With `size` it is a sum over
    the grid's frequencies in :math:`[\theta-\kappa/2, \theta+\kappa/2)` on each axis (1e-9 of a
    step decides what lies on an edge).

    Examples
    --------
    >>> float(energy_in_window([[1.0]], (0.0, 0.0), np.pi).round(12))
    0.25
    """
    side = positive("bandwidth", bandwidth)
    kernels, thetas = _paired(kernel, theta)
    fractions = [_Energy(k, size).fraction(t, side) for k, t in zip(_flat(kernels), thetas, strict=True)]
    return np.reshape(fractions, kernels.shape[:-2])


def bandwidth(kernel: ArrayLike, theta: ArrayLike, energy: float = 0.9, size: int | None = None) -> NDArray[np.float64]:
    """Side kappa of the smallest square about theta that holds a given fraction of the energy.

    Parameters
    ----------
    kernel : array_like, shape (..., kh, kw), real or complex
        Kernels.
    theta : array_like, shape (..., 2)
        Centres (theta_y, theta_x), rad/sample, modulo 2 pi; leading axes broadcast against the
        kernels'.
    energy : float
        The fraction, 0 < energy <= 1.
    size : int, optional
        As in :func:`energy_in_window`.

    Returns
    -------
    ndarray, shape (...), float64
        kappa in (0, 2 pi], rad/sample, such that :func:`energy_in_window` reaches `energy`.

    Raises
    ------
    TypeError, ValueError
        As :func:`energy_in_window`, and if `energy` is out of range.

    Examples
    --------
    >>> round(float(bandwidth([[1.0]], (0.0, 0.0), energy=0.25)) / np.pi, 9)
    1.0
    """
    energy = positive("energy", energy, 1)
    kernels, thetas = _paired(kernel, theta)
    sides = [_smallest_side(_Energy(k, size), t, energy) for k, t in zip(_flat(kernels), thetas, strict=True)]
    return np.reshape(sides, kernels.shape[:-2])


class _Energy:
    """Energy of one kernel in windows: sums over a grid, with weights that factor."""

    def __init__(self, kernel: Plane, size: int | None) -> None:
        self.periodic = size is not None
        self.size = scipy.fft.next_fast_len(_lags(kernel)) if size is None else integer("size", size, 0)
        self.spectrum = power_spectrum(kernel, self.size)
        self.total = self.spectrum.sum()
        self.real = not np.iscomplexobj(kernel)

    def fraction(self, theta: NDArray[np.float64], side: float) -> float:
        """Fraction in the square about theta, or in its mirror image if the kernel is real."""
        centres, side = [(float(t) + np.pi) % (2 * np.pi) - np.pi for t in theta], min(side, 2 * np.pi)
        w_y, w_x = self._weights(np.array(centres)[:, None], side)
        inside = w_y @ self.spectrum @ w_x
        if self.real:
            both_y, both_x = (self._overlap(centre, side) for centre in centres)
            inside = 2 * inside - both_y @ self.spectrum @ both_x
        return float(np.clip(inside / self.total, 0, 1))

    def _weights(self, theta: NDArray[np.float64], side: float) -> Energies:
        """Weights (n, size) of intervals about theta (n, 1)."""
        return (_in_interval if self.periodic else _integration_weights)(self.size, theta, side)

    def _overlap(self, theta: float, side: float) -> Energies:
        """Weights of the overlap of an interval about theta with its mirror image."""
        if self.periodic:
            w = _in_interval(self.size, theta, side)
            return w * w[-np.arange(self.size)]
        overlap = _integration_weights(self.size, 0, side - 2 * abs(theta))
        overlap += _integration_weights(self.size, np.pi, side - 2 * (np.pi - abs(theta)))
        return overlap


def _in_interval(size: int, centre: Centre, side: float) -> Energies:
    """1 for grid frequencies in [centre - side/2, centre + side/2) modulo 2 pi, else 0."""
    step = 2 * np.pi / size
    # EDGE moves both ends alike: rounding must not take a frequency in at both or at neither
    position = np.arange(size) - (centre - side / 2) / step + EDGE
    return (position % size < side / step).astype(np.float64)


def _integration_weights(size: int, centre: Centre, side: float) -> Energies:
    """Weights that integrate, over an interval, trigonometric polynomials given on a grid."""
    lag = _integers(size)
    weights: Energies = size * scipy.fft.ifft(_sinc(lag, side) * np.exp(-1j * centre * lag)).real
    return weights


def _sinc(lag: NDArray[np.float64], side: float) -> NDArray[np.float64]:
    """Integral of exp(-i omega lag) over an interval about 0, divided by 2 pi."""
    share = min(max(side, 0.0) / (2 * np.pi), 1.0)
    return share * np.sinc(share * lag)


def _smallest_side(energies: _Energy, theta: NDArray[np.float64], energy: float) -> float:
    """Bisection: the energy grows with the side, continuously or in steps, up to 1."""
    low, high = 0.0, 2 * np.pi
    for _ in range(52):
        middle = (low + high) / 2
        if energies.fraction(theta, middle) < energy:
            low = middle
        else:
            high = middle
    return high


def _best_window(kernel: Plane, size: int, side: float) -> NDArray[np.float64]:
    """Centre, among the frequencies of the grid, of the window that holds most energy."""
    # energies of all windows = spectrum of the autocorrelation times the window's transform,
    # on a multiple of the grid on which the autocorrelation does not wrap around
    refinement = -(-_lags(kernel) // size)
    correlation = scipy.fft.ifft2(power_spectrum(kernel, refinement * size))
    lag = _integers(refinement * size)
    half = lag.size // 2 + 1
    k = _integers(size)
    k_y, k_x = np.meshgrid(k, k, indexing="ij")

    tied = np.ones((size, size), dtype=bool)
    if not np.iscomplexobj(kernel):
        tied = half_plane_sign((size, size)) >= 0
    total = correlation[0, 0].real
    step = 2 * np.pi / size
    halvings = max(0, int(np.log2(side / step)))
    for halving in range(halvings + 1):
        w = _sinc(lag, side / 2**halving)
        # A correlation is Hermitian, so that half of its columns are enough.
        inside = scipy.fft.hfft2(correlation[:, :half] * w[:, None] * w[:half], lag.shape * 2)
        inside = inside[::refinement, ::refinement]
        best = inside[tied].max()
        slack = SLACK * best if halving < halvings else 0
        tied &= inside >= best - slack - ROUNDING * total
    k_y, k_x = k_y[tied], k_x[tied]
    first = np.lexsort((-k_y, -k_x, k_y**2 + k_x**2))[0]
    theta: NDArray[np.float64] = step * np.array([k_y[first], k_x[first]])
    return theta


def _centre_of_mass(kernel: Plane, size: int, power: float) -> NDArray[np.float64]:
    """Centre of mass of the half of a symmetric spectrum towards which the kernel varies most."""
    size |= 1  # an odd grid has no Nyquist frequency, whose sign would be arbitrary
    mass = _masses(kernel, size, power)
    omega = 2 * np.pi * scipy.fft.fftfreq(size)
    tied = omega[np.argwhere((half_plane_sign(mass.shape) >= 0) & (mass >= 1 - SLACK))]  # rounding must not choose
    peak = tied[np.lexsort((-tied[:, 0], -tied[:, 1], (tied**2).sum(axis=1)))[0]]
    if np.abs(peak).max() > np.pi - WRAP:
        return facing_right(_mean_about(peak, mass, omega))
    e_y, e_x = dominant_direction(zero_padded(kernel, size))
    omega_x = 2 * np.pi * scipy.fft.fftfreq(size)
    omega_y = omega_x[:, None]
    norm = np.hypot(omega_y, omega_x)
    norm[0, 0] = 1.0
    towards = np.maximum(0, (e_y * omega_y + e_x * omega_x) / norm)
    g = mass * towards**2
    if not g.any():
        return np.zeros(2)
    return facing_right(np.array([(omega_y * g).sum(), (omega_x * g).sum()]) / g.sum())


def _mean_about(peak: NDArray[np.float64], mass: Energies, omega: NDArray[np.float64]) -> NDArray[np.float64]:
    """Circular mean of the frequencies that lie nearer to a peak than to its mirror image."""
    # Squares of the distances along each axis, to the peak and to its mirror image.
    squares = [[np.square((omega - p + np.pi) % (2 * np.pi) - np.pi) for p in end] for end in (peak, -peak)]
    near, far = (y[:, None] + x for y, x in squares)
    own = mass * (near < far)
    if (np.abs((2 * peak + np.pi) % (2 * np.pi) - np.pi) < 5 * omega[1]).all():
        own = mass  # the peak is its own mirror image
    turn = np.exp(1j * omega)
    return _angles(np.array([own.sum(axis=1) @ turn, own.sum(axis=0) @ turn]) / own.sum())


def _circular_mean(kernel: Plane, size: int, power: float) -> NDArray[np.float64]:
    """Circular mean of the spectrum on each axis."""
    mass = _masses(kernel, size, power)
    turn = np.exp(2j * np.pi * scipy.fft.fftfreq(size))
    return _angles(np.array([mass.sum(axis=1) @ turn, mass.sum(axis=0) @ turn]) / mass.sum())


def _angles(mean: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Angles of circular means; 0 where the mean is rounding, since all frequencies weigh the same."""
    return np.where(np.abs(mean) > ROUNDING, np.angle(mean), 0.0)


def _masses(kernel: Plane, size: int, power: float) -> Energies:
    """Powers of the spectrum's modulus, the largest being 1."""
    energy = without_noise(power_spectrum(kernel, size))
    masses: Energies = (energy / energy.max()) ** (power / 2)
    return masses


def _planes(kernel: ArrayLike) -> NDArray[Any]:
    """Checked kernels, float64 or complex128."""
    planes = complex_array(kernel, "kernel", axes=2, batch=True)
    return planes.astype(np.result_type(planes, np.float64), copy=False)


def _unit_peak(kernels: NDArray[Any]) -> NDArray[Any]:
    """Kernels times powers of two that make them about 1, lest energies overflow or vanish; none may be zero."""
    parts = np.ascontiguousarray(kernels).view(np.float64).reshape(*kernels.shape, kernels.itemsize // 8)
    peak = np.abs(parts).max(axis=(-3, -2, -1), keepdims=True)
    if not peak.all():
        where = tuple(int(i) for i in np.argwhere(peak[..., 0, 0, 0] == 0)[0])
        raise ValueError(f"kernel must not be zero everywhere, got zeros at batch index {where}")
    # Not a division: that of complex numbers overflows where the peak is denormal.
    scaled: NDArray[Any] = np.ldexp(parts, -np.frexp(peak)[1]).view(kernels.dtype)
    return scaled[..., 0]


def _paired(kernel: ArrayLike, theta: ArrayLike) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Scaled kernels (..., kh, kw) and a list (n, 2) of frequencies, one for each of them."""
    kernels = _unit_peak(_planes(kernel))
    t = to_array(theta, "theta")
    if t.dtype.kind not in "iuf":
        raise TypeError(f"theta must hold real numbers, got dtype {t.dtype}")
    if t.ndim == 0 or t.shape[-1] != 2 or not np.isfinite(t).all():
        raise ValueError(f"theta must be finite pairs (theta_y, theta_x), got {theta!r}")
    try:
        batch = np.broadcast_shapes(kernels.shape[:-2], t.shape[:-1])
    except ValueError:
        raise ValueError(f"theta of shape {t.shape} must broadcast against kernels of shape {kernels.shape}") from None
    kernels = np.broadcast_to(kernels, batch + kernels.shape[-2:])
    return kernels, np.broadcast_to(t, (*batch, 2)).reshape(-1, 2).astype(np.float64)


def _flat(kernels: NDArray[Any]) -> NDArray[Any]:
    """The batch as one axis."""
    return kernels.reshape(-1, *kernels.shape[-2:])


def _lags(kernel: Plane) -> int:
    """Length of the autocorrelation along the longer axis."""
    return 2 * int(max(kernel.shape)) - 1


def _grid_size(kernels: NDArray[Any], size: int | None) -> int:
    """Size of the grid on which frequencies are sought."""
    longest = int(max(kernels.shape[-2:]))
    if size is None:
        return SAMPLES * -(-4 * longest // SAMPLES)
    if integer("size", size, 0) < longest:
        raise ValueError(f"size must be at least the kernel's {kernels.shape[-2:]}, got {size!r}")
    return int(size)


def _integers(size: int) -> NDArray[np.float64]:
    """0, 1, ..., -1 in the order of ``fftfreq``."""
    integers: NDArray[np.float64] = np.rint(size * scipy.fft.fftfreq(size))
    return integers


def _wrapped(theta: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles in (-pi, pi] moved to [-pi, pi), with those that rounding leaves just below pi."""
    return np.where(theta >= np.pi - ROUNDING, -np.pi, theta)
