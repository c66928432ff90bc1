"""A transform along one axis of a given length, packed into flat arrays for the kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavelets.engine import rule
from wavelets.engine.lattice import Lattice, lattice
from wavelets.engine.stages import all_stages, node_sizes
from wavelets.engine.sweeps import BLOCK, NOWHERE, Sweep, analysis_sweep, synthesis_sweep

WIDEST = 1040  # columns of a buffer at most; a constant tells the compiler that rows of delays do not overlap, and one
# that is no power of two keeps them in different sets of the cache
DATA = 2  # rows in front of every buffer: one of zeros, one of waste
KINDS = ("forward", "adjoint", "inverse")


class Taps(NamedTuple):
    """A filter pair as it stands: the taps of both outputs over the rows of the last K pairs."""

    first: tuple[float, ...]
    second: tuple[float, ...]


Filters = tuple[Lattice, ...] | tuple[Taps, ...]


class Plan(NamedTuple):
    """The sweeps of both trees, as the kernels read them.

    Attributes
    ----------
    first, main : tuple of two Lattice or two Taps
        Filters of the first stage, for trees 1 and 2, and of the others, for pairs 1 and 2.
    steps : ndarray, shape (S, 4), int64
        The steps of all sweeps, see :class:`wavelets.engine.sweeps.Sweep`.
    step_ranges : ndarray, shape (J, 2, 2), int64
        Sweep ``[l, p]`` splits nodes after l stages; p is the tree (l = 0) or the pair (l > 0), counted from 0. Its
        steps go from ``step_ranges[l, p, 0]`` to ``step_ranges[l, p, 1]``.
    additions : ndarray, shape (E, 2), int64
    addition_ranges : ndarray, shape (J, 2, 2), int64
        The same for the additions.
    sizes : ndarray, shape (J + 1,), int64
        Samples of one node after 0, 1, ..., J stages.
    rows : ndarray, shape (J + 1,), int64
        Rows that one node takes in memory: for the adjoint, there are some that are only added to others.
    pairs : ndarray, shape (2, 2**J - 1), int64
        For tree t, ``pairs[t, 2**l - 1 + k]`` is the pair that splits node k after l stages.
    tallest : int
        Rows that the nodes of one stage take, at most.
    """

    first: Filters
    main: Filters
    steps: NDArray[np.int64]
    step_ranges: NDArray[np.int64]
    additions: NDArray[np.int64]
    addition_ranges: NDArray[np.int64]
    sizes: NDArray[np.int64]
    rows: NDArray[np.int64]
    pairs: NDArray[np.int64]
    tallest: int


Tables = tuple[Plan, Plan, NDArray[np.int64], NDArray[np.floating]]
"""Tables of the kernels in two dimensions: plans of both axes, channels of Psi_a, signs that conjugate."""


def axis_plan(
    bank: rule.Bank,
    levels: int,
    n: int,
    boundary: str,
    undecimated_last: bool,
    kind: str,
    dtype: np.dtype[np.floating],
) -> Plan:
    """Pack the forward transform of an axis of n samples, its adjoint, or its inverse."""
    filters = [[(bank.main_stage if stage else bank.first_stage)(p) for p in (1, 2)] for stage in range(levels)]
    stages = all_stages(filters[0][0][0].size, filters[-1][0][0].size, levels, undecimated_last)
    sizes = node_sizes(n, stages, boundary)
    rows = list(sizes)
    sweeps: list[list[Sweep]] = [[] for _ in range(levels)]
    for stage in reversed(range(levels)):
        for low, high in filters[stage]:
            geometry = (low, high, sizes[stage], boundary, stages[stage][1])
            if kind == "forward":
                sweep = analysis_sweep(*geometry)
            else:
                sweep = synthesis_sweep(*geometry, kind, rows[stage + 1])
            sweeps[stage].append(sweep)
        sweeps[stage] = _of_one_length(sweeps[stage])
        if kind != "forward":
            rows[stage] = max(sweep.rows for sweep in sweeps[stage])
    flat = [sweep for both in sweeps for sweep in both]
    first = _filters(sweeps[0], dtype)
    return Plan(
        first,
        _filters(sweeps[1], dtype) if levels > 1 else first,
        np.concatenate([sweep.steps for sweep in flat]),
        _ranges([len(sweep.steps) for sweep in flat]),
        np.concatenate([sweep.additions for sweep in flat]),
        _ranges([len(sweep.additions) for sweep in flat]),
        np.array(sizes, dtype=np.int64),
        np.array(rows, dtype=np.int64),
        rule.splitting_table(levels),
        max(2**level * count for level, count in enumerate(rows)),
    )


def buffer_size(plan: Plan, width: int) -> int:
    """Elements of a buffer for `width` columns of any stage, or for what a sweep delays."""
    sections = max(len(plan.first[0][0]), len(plan.main[0][0]))
    return max((DATA + plan.tallest) * width, sections * WIDEST)


def _of_one_length(sweeps: list[Sweep]) -> list[Sweep]:
    """Sweeps with as many matrices each: zeros in front, and steps that read nothing."""
    sections = max(len(sweep.polyphase) for sweep in sweeps)
    padded = []
    for sweep in sweeps:
        missing = sections - len(sweep.polyphase)
        polyphase = np.concatenate([np.zeros((missing, 2, 2)), sweep.polyphase])
        steps = np.concatenate([np.full((missing * BLOCK, 4), NOWHERE), sweep.steps])
        padded.append(sweep._replace(polyphase=polyphase, steps=steps))
    return padded


def _filters(sweeps: Sequence[Sweep], dtype: np.dtype[np.floating]) -> Filters:
    """Two filter pairs as the kernels take them: both as lattices if they are, else both as taps."""
    lattices = [found for sweep in sweeps if (found := lattice(sweep.polyphase))]
    if len(lattices) == len(sweeps):
        return tuple(Lattice(_numbers(found.tangents, dtype), _numbers(found.scales, dtype)) for found in lattices)
    rows = [sweep.polyphase.swapaxes(0, 1).reshape(2, -1) for sweep in sweeps]
    return tuple(Taps(*(_numbers(row, dtype) for row in both)) for both in rows)


def _numbers(values: ArrayLike, dtype: np.dtype[np.floating]) -> tuple[float, ...]:
    """Numbers of a dtype as a tuple."""
    return tuple(np.asarray(values).astype(dtype))


def _ranges(counts: list[int]) -> NDArray[np.int64]:
    """First and last of each of consecutive parts, for the two sweeps of every stage."""
    ends = np.cumsum(counts)
    return np.stack([ends - counts, ends], axis=-1).reshape(-1, 2, 2)
