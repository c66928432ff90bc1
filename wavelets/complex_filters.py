r"""From real kernels V to complex filters W = V + i H(V), oriented kernel by kernel (theory.md 1 and 3.6)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavelets import analytic
from wavelets.checks import integer, real_array
from wavelets.hilbert import dominant_direction, zero_padded

GRID = 4
"""Side of the grid of the Hilbert transform in sides of the kernel.

H(V) has no finite support. AlexNet's band-pass kernels on the 36 bundled pictures, against the grid of the whole
picture (`compare_grids`): on 1, 2 and 4 sides rho differs by 1.4, 0.3 and 0.1 % in the median and 28, 7 and 0.9 % at
worst, the change of CMod under a one-pixel shift by 13, 1.2 and 0.3 % in the median and 85, 19 and 6 % at worst.
Notebook 04 repeats the comparison on the default layer.
"""

DEAD = 1e-6
"""Kernels whose largest weight is below this part of the layer's largest one are dead: float32 rounds at 1e-7."""


def first_colour(weight: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    r"""Best approximation of kernels by one plane times one colour.

    Parameters
    ----------
    weight : array_like, shape (L, C, h, w), real

    Returns
    -------
    plane : ndarray, shape (L, h, w), float64
        :math:`\widetilde V_l = \sum_k u_{lk} V_{lk}`.
    colour : ndarray, shape (L, C), float64
        u, of unit length: the first left singular vector of the C x hw matrix of a kernel, with a sum of at least 0.
        Of a kernel that is zero, the first unit vector.
    share : ndarray, shape (L,), float64
        Share of the energy that the approximation keeps: 1 under the monochrome assumption; NaN for a zero kernel.

    Raises
    ------
    TypeError, ValueError
        If the weights are not finite real kernels.

    Notes
    -----
    The monochrome assumption of theory.md 3.6, :math:`V_{lk} = \mu_{lk}\widetilde V_l`, by the singular value
    decomposition over channels. The sum over channels, which the assumption makes proportional to this plane, is noise
    for kernels of opponent colours (those of AlexNet have weights of about +1, 0, -1).
    """
    weight = real_array(weight, "weight", 4).astype(np.float64)
    if weight.ndim != 4:
        raise ValueError(f"weight has shape {weight.shape}; expected (kernels, channels, height, width)")
    peak = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
    matrices = (weight / np.where(peak > 0, peak, 1)).reshape(*weight.shape[:2], -1)
    left, values, _ = np.linalg.svd(matrices, full_matrices=False)
    colour = left[:, :, 0] * np.where(left[:, :, 0].sum(axis=1) < 0, -1, 1)[:, None]
    energy = (values**2).sum(axis=1)
    share = np.divide(values[:, 0] ** 2, energy, out=np.full(len(energy), np.nan), where=energy > 0)
    return np.einsum("lk,lkyx->lyx", colour, weight), colour, share


def complex_filters(weight: ArrayLike, grid: int = GRID) -> NDArray[Any]:
    r"""Complex filters W = V + i H(V) of the kernels of a layer.

    Parameters
    ----------
    weight : array_like, shape (L, C, h, w), real
        Kernels V; a torch tensor as well.
    grid : int
        Side N of the periodic grid on which H is taken, in sides of the kernel: N = grid * max(h, w).

    Returns
    -------
    ndarray, shape (L, C, N, N), complex64 for float32 weights and complex128 otherwise
        V stands in the middle, from row (N - h) // 2 and column (N - w) // 2 on, so that W is a correlation kernel of
        finite support; its real part is V exactly. All channels of a kernel have the same half-plane: that of the
        direction along which its first colour varies most.

    Raises
    ------
    TypeError, ValueError
        If the weights are not finite real kernels, or `grid` is not a positive integer.
    """
    weight = real_array(weight, "weight", 4)
    return filters_on_grid(weight, integer("grid", grid, 1) * max(weight.shape[-2:]))


def filters_on_grid(weight: NDArray[Any], size: int) -> NDArray[Any]:
    """Complex filters on a periodic grid of any side N in pixels; see `complex_filters`."""
    plane, _, _ = first_colour(weight)
    h, w = weight.shape[-2:]
    # On a finer grid, where a Nyquist frequency cannot hide a direction, and the same for every size.
    e = dominant_direction(zero_padded(plane, GRID * max(h, w)))
    filters = analytic(weight, e[:, None], size)
    return np.roll(filters, ((size - h) // 2, (size - w) // 2), axis=(-2, -1))


def dead_kernels(weight: ArrayLike) -> NDArray[np.bool_]:
    """Which kernels are (nearly) zero everywhere, shape (L,)."""
    peak = np.abs(real_array(weight, "weight", 4)).max(axis=(1, 2, 3))
    return peak <= DEAD * peak.max()
