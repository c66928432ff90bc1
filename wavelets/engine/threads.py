"""Spread work over threads: the kernels release the interpreter lock, so plain threads are enough.

No numba threading layer is involved, hence nothing to configure and nothing that breaks when several Python threads or
forked workers call at once. The threads wait between calls; a forked child starts its own.
"""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise

from wavelets.checks import integer

PIECES = 4  # for each thread

_threads: int | None = None
_pools: dict[int, ThreadPoolExecutor] = {}  # by their number of threads
_busy = threading.local()  # set in a thread that works for a pool: what it calls does not wait for that pool again


def _forget() -> None:
    """Begin anew in a forked child, whose threads are gone."""
    _pools.clear()
    _busy.on = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)


def set_num_threads(count: int | None) -> None:
    """Set how many threads a transform may use; None means as many as at the start.

    Parameters
    ----------
    count : int or None
        At least 1. At the start it is what the environment variable NUMBA_NUM_THREADS says, or all cores that the
        process may run on.

    Raises
    ------
    TypeError, ValueError
        If `count` is not an integer or below 1.
    """
    global _threads
    _threads = None if count is None else integer("threads", count, 1)


def get_num_threads() -> int:
    """Return how many threads a transform may use."""
    if _threads is not None:
        return _threads
    if named := os.environ.get("NUMBA_NUM_THREADS", "").strip():
        if not named.isdecimal() or int(named) < 1:
            raise ValueError(f"the environment variable NUMBA_NUM_THREADS is {named!r}; expected a positive integer")
        return int(named)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def over_batch(work: Callable[[slice], object], count: int, unit: int = 1) -> None:
    """Call `work` on slices that together cover range(count), in parallel.

    All but the last are multiples of `unit`. There are several slices for each thread, which takes the next one when it
    is done: a core that is busy with something else does less.
    """
    units = -(-count // unit)
    threads = 1 if getattr(_busy, "on", False) else min(get_num_threads(), units)
    if threads <= 1:
        if count:
            work(slice(0, count))
        return
    pieces = min(units, PIECES * threads)
    edges = [min(units * piece // pieces * unit, count) for piece in range(pieces + 1)]
    parts = iter([slice(low, high) for low, high in pairwise(edges)])  # a list's iterator is safe to share
    # One pool for all amounts of work, or there would be a pool for each.
    pool = _pool(get_num_threads() - 1)
    others = [pool.submit(_work_alone, work, parts) for _ in range(threads - 1)]
    try:
        _take(work, parts)
    finally:
        started = [other for other in others if not other.cancel()]  # what still waits behind other work has none left
        wait(started)  # no thread goes on writing once the caller has its arrays back
    for other in started:
        other.result()


def _take(work: Callable[[slice], object], parts: Iterator[slice]) -> None:
    try:
        for part in parts:
            work(part)
    except BaseException:
        deque(parts, maxlen=0)  # nobody begins another part
        raise


def _pool(threads: int) -> ThreadPoolExecutor:
    # As good as atomic: of two pools made at once one is kept, and the other ends with its work.
    return _pools.get(threads) or _pools.setdefault(threads, ThreadPoolExecutor(threads, "wavelets"))


def _work_alone(work: Callable[[slice], object], parts: Iterator[slice]) -> None:
    _busy.on = True
    _take(work, parts)


def over_parts(work: Callable[[int, int], object], count: int, most: int) -> None:
    """Call ``work(begin, end)`` on parts of at most `most` that together cover range(count), in parallel."""

    def share(part: slice) -> None:
        for begin in range(part.start, part.stop, most):
            work(begin, min(begin + most, part.stop))

    over_batch(share, count)
