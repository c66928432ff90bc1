"""One stage of the transform along one axis, written as a sweep over pairs of samples.

A filter pair with an even number of taps takes its input two samples at a time: output s is a sum of 2 x 2 matrices
times the last K pairs. What a boundary does to that is a matter of which rows are read and written, so a sweep is a
list of steps - two rows in, two rows out - and analysis, adjoint and inverse differ in their lists only. The adjoint
and the inverse run backwards over the coefficients with the transposed matrices.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavelets.engine.stages import Index, Taps, coefficient_count, extend, first_sample

BLOCK = 2  # steps that the kernels take at a time
NOWHERE = -1  # a row of zeros where it is read, a row that nobody reads where it is written


class Sweep(NamedTuple):
    """Steps that :mod:`wavelets.engine.loops` takes over the rows of one node.

    Attributes
    ----------
    polyphase : ndarray, shape (K, 2, 2), float64
        Output of step s: ``sum_j polyphase[j] @ pair[s - K + 1 + j]``.
    steps : ndarray, shape (S, 4), int64
        The two rows that a step reads and the two that it writes, or `NOWHERE`.
    additions : ndarray, shape (E, 2), int64
        Rows to add, afterwards, to other rows: source and target.
    rows : int
        Rows written in all, those that are only added to others included.
    """

    polyphase: NDArray[np.float64]
    steps: NDArray[np.int64]
    additions: NDArray[np.int64]
    rows: int


def analysis_sweep(low: Taps, high: Taps, n: int, boundary: str, decimated: bool) -> Sweep:
    """Split n samples into low-pass and high-pass coefficients, the rows of the first before those of the second.

    Parameters
    ----------
    low, high : ndarray, shape (T,)
        Correlation kernels, T even.
    n : int
        Length of the input.
    boundary : str
        One of :data:`wavelets.engine.stages.BOUNDARIES`.
    decimated : bool
        Keep every second coefficient, or all.
    """
    count = coefficient_count(n, low.size, boundary, decimated)
    polyphase, runs = _aligned(low, high, n, boundary, decimated)
    lag = len(polyphase) - 1
    steps = []
    for run in runs:
        pair = np.arange(min(run.low, run.high), max(run.low, run.high) + run.k.size + lag)
        step = np.full((pair.size, 4), NOWHERE)
        step[:, :2] = extend(2 * pair[:, None] + run.odd + np.arange(2), n, boundary)
        step[run.low - pair[0] + lag :][: run.k.size, 2] = run.k
        step[run.high - pair[0] + lag :][: run.k.size, 3] = count + run.k
        steps.append(step)
    return Sweep(polyphase, _whole_blocks(steps), np.empty((0, 2), np.int64), 2 * count)


def synthesis_sweep(
    low: Taps, high: Taps, n: int, boundary: str, decimated: bool, kind: str, spacing: int | None = None
) -> Sweep:
    """Undo `analysis_sweep` (`kind` "inverse"), or apply its transpose ("adjoint").

    The high-pass coefficients begin at row `spacing`, by default right after the low-pass ones.

    Notes
    -----
    Every coefficient that touches the signal is there, so the transposed stage without extension is a left inverse
    whatever the extension was. Without decimation each of the two phases is one, and the result is twice the signal.
    The transpose of an extension adds what lies outside to the samples that were copied there.
    """
    count = coefficient_count(n, low.size, boundary, decimated)
    spacing = count if spacing is None else spacing
    periodic = boundary == "periodization"
    whole = n + n % 2
    polyphase, runs = _aligned(low, high, n, boundary, decimated)
    lag = len(polyphase) - 1
    steps, samples = [], []
    for run in runs:
        if periodic:
            pair = np.arange(whole // 2)
        elif kind == "inverse":
            pair = np.arange(-run.odd // 2, (n - 1 - run.odd) // 2 + 1)
        else:
            pair = np.arange(min(run.low, run.high), max(run.low, run.high) + run.k.size + lag)
        at = np.arange(pair[-1], pair[0] - lag - 1, -1)
        step = np.full((at.size, 4), NOWHERE)
        for column, (first, offset) in enumerate(((run.low, 0), (run.high, spacing))):
            k = (at - first) % run.k.size if periodic else at - first
            there = (k >= 0) & (k < run.k.size)
            step[there, column] = offset + run.k[k[there]]
        sample = 2 * pair[::-1, None] + run.odd + np.arange(2)
        if periodic:
            sample %= whole
        inside = (sample >= 0) & (sample < n)
        outside = np.full_like(sample, NOWHERE) if kind == "inverse" else extend(sample, n, boundary)
        samples.append(np.concatenate([np.full((lag, 2), NOWHERE), np.where(inside, sample, outside)]))
        steps.append(step)
    # The first to reach a sample writes it, the others write rows of their own that are added to it.
    sample = np.concatenate(samples).ravel()
    target = sample.copy()
    used = np.flatnonzero(sample >= 0)
    writers = used[np.unique(sample[used], return_index=True)[1]]
    later = np.setdiff1d(used, writers)
    target[later] = n + np.arange(later.size)
    for step, part in zip(steps, np.split(target.reshape(-1, 2), np.cumsum([len(s) for s in steps])[:-1]), strict=True):
        step[:, 2:] = part
    additions = np.stack([target[later], sample[later]], axis=-1)
    return Sweep(polyphase.swapaxes(1, 2), _whole_blocks(steps), additions, n + later.size)


class _Run(NamedTuple):
    """Coefficients that share the parity of their samples: every one, or without decimation every second one."""

    k: Index
    odd: int  # pair p is the samples 2 p + odd and the next one
    low: int  # first pair under coefficient k[0]; one pair further for each of the next
    high: int


def _aligned(low: Taps, high: Taps, n: int, boundary: str, decimated: bool) -> tuple[NDArray[np.float64], list[_Run]]:
    """Polyphase matrices of a filter pair without the zeros at its ends, and the coefficients in runs."""
    count = coefficient_count(n, low.size, boundary, decimated)
    start = first_sample(low.size, boundary, decimated)
    ends = [np.flatnonzero(taps)[[0, -1]] for taps in (low, high)]
    at_low, at_high = (int(first) for first, _ in ends)
    at_high -= (at_high - at_low) % 2
    taps = max(int(ends[0][1]) + 1 - at_low, int(ends[1][1]) + 1 - at_high)
    taps += taps % 2
    pairs = np.zeros((2, taps))
    for row, (h, at) in enumerate(((low, at_low), (high, at_high))):
        part = h[max(at, 0) : at + taps]
        pairs[row, max(-at, 0) : max(-at, 0) + part.size] = part
    runs = []
    for phase in range(1 if decimated else 2):
        k = np.arange(phase, count, 1 if decimated else 2)
        if k.size:
            sample = start + (0 if decimated else phase)
            odd = (sample + at_low) % 2
            runs.append(_Run(k, odd, (sample + at_low - odd) // 2, (sample + at_high - odd) // 2))
    return pairs.reshape(2, -1, 2).swapaxes(0, 1), runs


def _whole_blocks(steps: list[Index]) -> Index:
    """All steps in one list, filled up to a multiple of `BLOCK`."""
    missing = -sum(len(step) for step in steps) % BLOCK
    return np.concatenate([*steps, np.full((missing, 4), NOWHERE)])
