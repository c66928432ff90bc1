"""One stage of the transform along one axis, written as a sparse matrix.

A stage extends its input at the borders, correlates it with a low-pass and a high-pass filter and keeps every second
sample: a linear map with a few non-zero entries a row. Writing it as a matrix states the boundary rules once; the
inverse and the adjoint follow by transposition, and one kernel (:mod:`wavelets._kernels`) applies them all.

Boundary names and lengths are those of PyWavelets, and so are the values: a stage equals :func:`pywt.dwt`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

BOUNDARIES = ("periodization", "symmetric", "reflect", "zero")

Taps = NDArray[np.float64]
Index = NDArray[np.int64]


def first_sample(taps: int, boundary: str, decimated: bool) -> int:
    """Position of the first filter tap for coefficient 0; for coefficient k it is one step (2 or 1) further each."""
    if boundary == "periodization":
        return 1 - taps // 2
    return 2 - taps if decimated else 1 - taps


def coefficient_count(n: int, taps: int, boundary: str, decimated: bool) -> int:
    """Number of coefficients of each of the two outputs for an input of n samples."""
    if boundary == "periodization":
        return (n + 1) // 2 if decimated else n + n % 2
    return (n + taps - 1) // 2 if decimated else n + taps - 1


def extend(index: Index, n: int, boundary: str) -> Index:
    """Sample of a signal of length n that stands at each index of its extension; -1 where the extension is zero."""
    if boundary == "periodization":  # an odd length is first made even by repeating the last sample
        return np.minimum(index % (n + n % 2), n - 1)
    if boundary == "symmetric":
        index = index % (2 * n)
        return np.where(index < n, index, 2 * n - 1 - index)
    if boundary == "reflect":
        period = max(2 * n - 2, 1)
        index = index % period
        return np.where(index < n, index, period - index)
    return np.where((index >= 0) & (index < n), index, -1)


def analysis(low: Taps, high: Taps, n: int, boundary: str, decimated: bool = True) -> csr_array:
    """Matrix of one stage.

    Parameters
    ----------
    low, high : ndarray, shape (T,)
        Correlation kernels, T even.
    n : int
        Length of the input.
    boundary : str
        One of `BOUNDARIES`.
    decimated : bool
        Keep every second sample, or all.

    Returns
    -------
    csr_array, shape (2 * coefficient_count(...), n), float64
        The rows of the low-pass output come first, then those of the high-pass.
    """
    count = coefficient_count(n, low.size, boundary, decimated)
    start = first_sample(low.size, boundary, decimated)
    position = start + (2 if decimated else 1) * np.arange(count)[:, None] + np.arange(low.size)
    column = np.tile(extend(position, n, boundary), (2, 1))
    row = np.broadcast_to(np.arange(2 * count)[:, None], column.shape)
    value = np.repeat([low, high], count, axis=0)
    kept = column >= 0
    return csr_array((value[kept], (row[kept], column[kept])), shape=(2 * count, n))


def synthesis(low: Taps, high: Taps, n: int, boundary: str, decimated: bool = True) -> csr_array:
    """Matrix that undoes `analysis` exactly.

    Parameters are those of `analysis`.

    Returns
    -------
    csr_array, shape (n, 2 * coefficient_count(...)), float64

    Notes
    -----
    Every coefficient that touches the signal is there, so the transposed stage without extension is a left inverse
    whatever the extension was. Without decimation each of the two phases is one, and their mean is taken.
    """
    whole = n + n % 2 if boundary == "periodization" else n
    plain = "periodization" if boundary == "periodization" else "zero"
    inverse = analysis(low, high, whole, plain, decimated).T.tocsr()[:n]
    return inverse if decimated else inverse / 2
