"""The two operators that the theory compares: RMax and CMod (theory.md section 2).

Both reduce an image by 2m in each direction, m the stride of the convolution: RMax takes the maximum of real
responses over a window of (2q + 1) x (2q + 1) positions of the stride-m grid, CMod the modulus of the complex
response at the window's centre. Windows lie wholly inside the valid region of the correlation, so no border rule
enters; both operators return the same centres.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.measurements import loops
from wavelets import DualTreePackets2D
from wavelets.checks import complex_array, integer, real_array, refuse_colours_last
from wavelets.engine.threads import over_batch

DIRECT = 32  # multiplications a pixel up to which sums are quicker than transforms of Fourier


def rmax(image: ArrayLike, kernel: ArrayLike, stride: int, q: int = 1) -> NDArray[Any]:
    r"""Real convolution followed by max pooling.

    .. math:: \mathcal R_{m,q}X[n] = \max_{\|p\|_\infty\le q} Y[2n + q + p], \quad Y = (X \star V)\downarrow m

    Parameters
    ----------
    image : array_like, shape (..., H, W), real
    kernel : array_like, shape (h, w), real or complex
        Cross-correlated with the image, as in a CNN; of a complex kernel the real part counts.
    stride : int
        Stride m of the convolution, pixels.
    q : int
        Half-width of the pooling window; its stride is 2.

    Returns
    -------
    ndarray, shape (..., h', w'), float32 or float64
        h' = (ceil((H - h + 1) / m) - 2 q - 1) // 2 + 1, likewise w'. Entry n is centred on position 2n + q of the
        stride-m grid: a pooling layer with kernel 2q + 1, stride 2 and no padding.

    Raises
    ------
    TypeError
        If the image is not real, the kernel not numeric, or stride or q not an integer.
    ValueError
        If a value is not finite, a shape does not fit, or the valid region has no whole window.
    """
    kernel = _checked_kernel(kernel)
    responses = strided_correlation(image, kernel.real, stride)
    return pool(responses, q)[0]


def cmod(image: ArrayLike, kernel: ArrayLike, stride: int, q: int = 1) -> NDArray[Any]:
    r"""Complex convolution followed by the modulus.

    .. math:: \mathcal C_{2m}X[n] = |Z[2n + q]|, \quad Z = (X \star W)\downarrow m

    Parameters
    ----------
    image : array_like, shape (..., H, W), real
    kernel : array_like, shape (h, w), complex
        Cross-correlated with the image; of a real kernel V make it with :func:`wavelets.analytic`.
    stride : int
        Stride m of the convolution that `rmax` uses, pixels; the result has stride 2m.
    q : int
        Half-width of the pooling window of `rmax`: it decides which positions are centres.

    Returns
    -------
    ndarray, shape (..., h', w'), float32 or float64
        On the same centres as `rmax`.

    Raises
    ------
    TypeError, ValueError
        As `rmax`.
    """
    image, kernel = _checked(image, kernel, stride)
    counts = tuple((n - k) // stride + 1 for n, k in zip(image.shape[-2:], kernel.shape, strict=True))
    height, width = window_counts(counts, q)
    centres = image[..., q * stride :, q * stride :]
    moduli: NDArray[Any] = np.abs(strided_correlation(centres, kernel.astype(complex), 2 * stride))
    return moduli[..., :height, :width]


def strided_correlation(image: ArrayLike, kernel: ArrayLike, stride: int) -> NDArray[Any]:
    """Cross-correlation on the valid region, every stride-th position.

    Parameters
    ----------
    image : array_like, shape (..., H, W), real
    kernel : array_like, shape (h, w), real or complex
    stride : int
        Pixels between positions, at least 1.

    Returns
    -------
    ndarray, shape (..., ceil((H - h + 1) / stride), ceil((W - w + 1) / stride))
        Entry n is ``sum_k image[stride n + k] kernel[k]``.

    Raises
    ------
    TypeError, ValueError
        As `rmax`.
    """
    image, kernel = _checked(image, kernel, stride)
    kernel = kernel.astype(np.result_type(image.dtype, np.complex64 if np.iscomplexobj(kernel) else np.float32))
    if kernel.size > DIRECT * stride**2:
        from scipy.signal import fftconvolve  # half a second to import

        flipped = kernel[::-1, ::-1].reshape((1,) * (image.ndim - 2) + kernel.shape)
        dense: NDArray[Any] = fftconvolve(image, flipped, mode="valid", axes=(-2, -1))
        return dense[..., ::stride, ::stride]
    size = tuple((n - k) // stride + 1 for n, k in zip(image.shape[-2:], kernel.shape, strict=True))
    planes = np.ascontiguousarray(image.reshape(-1, *image.shape[-2:]), kernel.real.dtype)
    found = []
    for taps in map(np.ascontiguousarray, (kernel.real, kernel.imag) if np.iscomplexobj(kernel) else (kernel,)):
        out = np.empty((len(planes), *size), taps.dtype)
        over_batch(partial(_correlate, planes, taps, stride, out), len(planes))
        found.append(out.reshape(*image.shape[:-2], *size))
    return found[0] if len(found) == 1 else found[0] + 1j * found[1]


def _correlate(planes: NDArray[Any], taps: NDArray[Any], stride: int, out: NDArray[Any], part: slice) -> None:
    loops.correlate(planes[part], taps, stride, out[part])


def _checked(image: ArrayLike, kernel: ArrayLike, stride: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Image and kernel that fit each other, as arrays."""
    image = real_array(image, "image", 2)
    refuse_colours_last(image.shape, "image")
    kernel = _checked_kernel(kernel)
    integer("stride", stride, 1)
    if any(n < k for n, k in zip(image.shape[-2:], kernel.shape, strict=True)):
        raise ValueError(
            f"image is {_size(image)} pixels, smaller than the kernel, {_size(kernel)}: the valid region is empty"
        )
    return image, kernel


def pool(responses: ArrayLike, q: int = 1) -> tuple[NDArray[Any], NDArray[Any]]:
    """Max-pool real parts and take moduli on the same centres.

    Parameters
    ----------
    responses : array_like, shape (..., h, w), real or complex
        Responses Z on the stride-m grid.
    q : int
        Half-width of the pooling window.

    Returns
    -------
    rmax, cmod : ndarray, shape (..., (h - 2 q - 1) // 2 + 1, (w - 2 q - 1) // 2 + 1)

    Raises
    ------
    TypeError
        If the responses are not numeric, or q not an integer.
    ValueError
        If a value is not finite, or there is no whole window.
    """
    responses = complex_array(responses, "responses", 2)
    complexes = responses.astype(np.result_type(responses, np.complex64), copy=False)
    grid = complexes.shape[-2:]
    r, c = _pool_window(complexes.reshape(-1, *grid), (0, 0), grid, q)
    return r.reshape(*complexes.shape[:-2], *r.shape[1:]), c.reshape(*complexes.shape[:-2], *c.shape[1:])


def packet_pool(transform: DualTreePackets2D, images: ArrayLike, q: int = 1) -> tuple[NDArray[Any], NDArray[Any]]:
    """RMax and CMod of images for all dual-tree packet filters at once, by the fast transform.

    Parameters
    ----------
    transform : DualTreePackets2D
        Its stride is m: use ``stride=2**(levels - 1)`` for the geometry of the poster.
    images : array_like, shape (..., H, W), real
    q : int
        Half-width of the pooling window.

    Returns
    -------
    rmax, cmod : ndarray, shape (..., 2 * 4**J, h', w'), float32 or float64
        Coefficients whose kernel reaches over the border are left out, whatever the transform's boundary.

    Raises
    ------
    TypeError, ValueError
        As `rmax`.
    """
    if not isinstance(transform, DualTreePackets2D):
        raise TypeError(f"transform must be a DualTreePackets2D, not {type(transform).__name__}")
    coefficients = np.asarray(transform.forward(images))
    first, counts = valid_region(transform, np.shape(images)[-2:])
    grid = coefficients.shape[-2:]
    r, c = _pool_window(coefficients.reshape(-1, *grid), (first, first), counts, q)
    lead = coefficients.shape[:-2]
    return r.reshape(*lead, *r.shape[1:]), c.reshape(*lead, *c.shape[1:])


def valid_region(transform: DualTreePackets2D, size: tuple[int, ...]) -> tuple[int, tuple[int, ...]]:
    """First coefficient, and how many, of each axis whose kernels lie inside an image.

    Parameters
    ----------
    transform : DualTreePackets2D
    size : tuple of int
        H and W, pixels.

    Returns
    -------
    first : int
        Index of the first such coefficient, the same on both axes.
    counts : tuple of int
        How many follow on each axis.

    Raises
    ------
    ValueError
        If there is none.
    """
    K, s = transform.kernel_size, transform.stride
    first = _first_inside(transform)
    counts = tuple((n - K - transform.start) // s - first + 1 for n in size)
    if min(counts) < 1:
        raise ValueError(
            f"image is {size[0]}x{size[1]} pixels, too small for the {K}x{K} kernels of {transform!r}: "
            "the valid region is empty"
        )
    return first, counts


def window_counts(counts: tuple[int, ...], q: int) -> tuple[int, ...]:
    """Pooling windows along each axis of a valid region; ValueError if there is none."""
    integer("q", q, 0)
    windows = tuple((n - 2 * q - 1) // 2 + 1 for n in counts)
    if min(windows) < 1:
        raise ValueError(
            f"the valid region has {counts[0]}x{counts[1]} positions; expected at least {2 * q + 1}x{2 * q + 1}, "
            f"one pooling window for q = {q}: the image is too small"
        )
    return windows


def smallest_side(transform: DualTreePackets2D, q: int = 1) -> int:
    """Side of the smallest square image, pixels, whose valid region holds one pooling window."""
    offset = transform.start + transform.stride * _first_inside(transform)
    return offset + transform.kernel_size + 2 * q * transform.stride


def _first_inside(transform: DualTreePackets2D) -> int:
    """First coefficient whose kernel begins inside the image."""
    return -(transform.start // transform.stride)


def _pool_window(
    z: NDArray[Any], corner: tuple[int, int], counts: tuple[int, ...], q: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Pool the part of z (n, h, w) that starts at `corner` and has `counts` positions."""
    windows = window_counts(counts, q)
    parts = z.view(z.real.dtype).reshape(*z.shape, 2)
    exponent = int(np.frexp(max(parts.max(initial=0), -parts.min(initial=0)))[1])
    extreme = abs(exponent) > np.finfo(parts.dtype).maxexp // 3  # the squares of the modulus would over- or underflow
    if extreme:
        parts = np.ldexp(parts, -exponent)
    r = np.empty((len(z), *windows), parts.dtype)
    c = np.empty_like(r)
    over_batch(lambda part: loops.pool(parts[part], *corner, q, r[part], c[part]), len(z))
    with np.errstate(over="ignore"):  # a modulus can be larger than both of its parts
        return (np.ldexp(r, exponent), np.ldexp(c, exponent)) if extreme else (r, c)


def _checked_kernel(kernel: ArrayLike) -> NDArray[Any]:
    kernel = complex_array(kernel, "kernel", 0)
    if kernel.ndim != 2:
        raise ValueError(f"kernel has shape {kernel.shape}; expected (h, w)")
    return kernel


def _size(array: NDArray[Any]) -> str:
    return f"{array.shape[-2]}x{array.shape[-1]}"
