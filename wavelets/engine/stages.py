"""The geometry of one stage of the transform along one axis: which samples its coefficients read.

A stage extends its input at the borders, correlates it with a low-pass and a high-pass filter and keeps every second
sample. The boundary rules are stated here, once; :mod:`wavelets.engine.sweeps` makes of them what the kernels do.

Boundary names and lengths are those of PyWavelets, and so are the values: a stage equals :func:`pywt.dwt`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

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


def all_stages(first_taps: int, main_taps: int, levels: int, undecimated_last: bool) -> list[tuple[int, bool]]:
    """Number of taps of each stage, and whether it is decimated."""
    return [(main_taps if stage else first_taps, stage < levels - 1 or not undecimated_last) for stage in range(levels)]


def node_sizes(n: int, stages: Sequence[tuple[int, bool]], boundary: str) -> list[int]:
    """Samples of one node after 0, 1, ..., J stages."""
    sizes = [n]
    for taps, decimated in stages:
        sizes.append(coefficient_count(sizes[-1], taps, boundary, decimated))
    return sizes


def extend(index: Any, n: int, boundary: str, where: Callable[..., Any] = np.where) -> Any:
    """Sample of a signal of length n that stands at each index of its extension; -1 where the extension is zero.

    Of torch tensors with ``where=torch.where``.
    """
    if boundary == "periodization":  # an odd length is first made even by repeating the last sample
        index = index % (n + n % 2)
        return where(index < n, index, n - 1)
    if boundary == "symmetric":
        index = index % (2 * n)
        return where(index < n, index, 2 * n - 1 - index)
    if boundary == "reflect":
        period = max(2 * n - 2, 1)
        index = index % period
        return where(index < n, index, period - index)
    return where((index >= 0) & (index < n), index, -1)
