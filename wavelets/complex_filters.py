r"""From real kernels V to complex filters W = V + i H(V), oriented kernel by kernel (theory.md 1 and 3.6)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavelets import analytic
from wavelets.checks import integer
from wavelets.hilbert import dominant_direction, zero_padded
from wavelets.kernel_kinds import first_colour, kernels_of

GRID, NETWORK_GRID = 4, 2
"""Side of the grid of the Hilbert transform in sides of the kernel: for analyses, and inside networks.

H(V) has no finite support. AlexNet's band-pass kernels on the 36 bundled pictures, against the grid of the whole
picture (`compare_grids`): on 1, 2 and 4 sides rho differs by 1.4, 0.3 and 0.1 % in the median and 28, 7 and 0.9 % at
worst, the change of CMod under a one-pixel shift by 13, 1.2 and 0.3 % in the median and 85, 19 and 6 % at worst.
Notebook 04 repeats the comparison on the default layer. The cost of a network's layer grows as the square of the grid:
at 2 it is twice that of the convolution that is replaced.
"""


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
    weight = kernels_of(weight)
    side = integer("grid", grid, 1) * max(weight.shape[2:])
    return filters_on_grid(weight, side)


def filters_on_grid(weight: NDArray[Any], size: int | tuple[int, int], direction: str = "auto") -> NDArray[Any]:
    """Complex filters on a periodic grid of any size (H, W) in pixels.

    Parameters
    ----------
    weight : ndarray, shape (L, C, h, w), real
    size : int or (int, int)
        At least that of the kernels, which stand in its middle; see `complex_filters`.
    direction : {"auto", "x", "y"}
        The half-plane: along the direction in which a kernel's first colour varies most, or along an axis.

    Returns
    -------
    ndarray, shape (L, C, H, W), complex
    """
    h, w = weight.shape[2:]
    along: Any = direction
    if direction == "auto":
        # On a finer grid, where a Nyquist frequency cannot hide a direction, and the same for every size.
        along = dominant_direction(zero_padded(first_colour(weight)[0], GRID * max(h, w)))[:, None]
    filters = analytic(weight, along, size)
    middle = [(n - k) // 2 for n, k in zip(filters.shape[2:], (h, w), strict=True)]
    return np.roll(filters, middle, axis=(-2, -1))
