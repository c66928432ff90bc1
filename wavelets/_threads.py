"""Spread a batch over threads: the kernels release the interpreter lock, so plain threads are enough.

No numba threading layer is involved, hence nothing to configure and nothing that breaks when several Python threads or
forked workers call at once.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

from wavelets._check import integer

_threads: int | None = None


def set_num_threads(count: int | None) -> None:
    """Set how many threads a transform may use; None means all cores that the process may run on.

    Parameters
    ----------
    count : int or None
        At least 1. The environment variable NUMBA_NUM_THREADS sets the initial value.

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


def over_batch(work: Callable[[slice], object], count: int) -> None:
    """Call `work` on slices that together cover range(count), in parallel."""
    threads = min(get_num_threads(), count)
    if threads <= 1:
        if count:
            work(slice(0, count))
        return
    edges = [count * t // threads for t in range(threads + 1)]
    parts = [slice(low, high) for low, high in pairwise(edges)]
    with ThreadPoolExecutor(threads - 1) as pool:
        others = [pool.submit(work, part) for part in parts[1:]]
        work(parts[0])
        for other in others:
            other.result()
