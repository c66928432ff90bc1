"""Spread work over threads: the kernels release the interpreter lock, so plain threads are enough.

No numba threading layer is involved, hence nothing to configure and nothing that breaks when several Python threads or
forked workers call at once. The threads wait between calls; a forked child starts its own. Where no thread can be had,
as when the interpreter is about to end, the caller does all of the work.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from itertools import pairwise

from wavelets.checks import integer

PIECES = 4  # for each thread

Place = tuple[int, frozenset[int]]
"""Core that a thread is on, and the cores that it may run on."""

_threads: int | None = None
_pools: dict[int, ThreadPoolExecutor] = {}  # by their number of threads; one, but for a moment
_places: dict[threading.Thread, Place] = {}  # the call for which each thread of the pools was last told where to run
_caller: Place | None = None  # the last call
_here = threading.local()  # `most`: threads that what is called in this thread may use


def _forget() -> None:
    """Begin anew in a forked child, whose threads are gone."""
    _pools.clear()
    _places.clear()
    vars(_here).clear()


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
    return min(_wanted(), getattr(_here, "most", sys.maxsize))


@contextmanager
def at_most(count: int) -> Iterator[None]:
    """Context in which what this thread calls uses no more than `count` threads, itself included."""
    before = getattr(_here, "most", sys.maxsize)
    _here.most = min(before, count)
    try:
        yield
    finally:
        _here.most = before


def over_batch(work: Callable[[slice], object], count: int, unit: int = 1) -> None:
    """Call `work` on slices that together cover range(count), in parallel.

    All but the last are multiples of `unit`. There are several slices for each thread, which takes the next one when it
    is done: a core that is busy with something else does less.
    """
    units = -(-count // unit)
    threads = min(get_num_threads(), units)
    if threads <= 1:
        if count:
            work(slice(0, count))
        return
    pieces = min(units, PIECES * threads)
    edges = [min(units * piece // pieces * unit, count) for piece in range(pieces + 1)]
    parts = iter([slice(low, high) for low, high in pairwise(edges)])  # a list's iterator is safe to share
    others: list[Future[None]] = [Future() for _ in range(threads - 1)]
    try:
        with suppress(RuntimeError):  # no more threads, or no new work while the interpreter ends: fewer do it
            pool = _pool(_wanted() - 1)  # one for all amounts of work, or there would be a pool for each
            _keep_off_this_core()
            for other in others:
                pool.submit(_work_alone, other, work, parts)
        _take(work, parts)
    finally:
        started = [other for other in others if not other.cancel()]  # what still waits behind other work has none left
        _finish(started)  # no thread goes on writing once the caller has its arrays back
    for other in started:
        other.result()


def _finish(started: list[Future[None]]) -> None:
    """Wait until all are done; an interruption meanwhile is raised when they are."""
    interruption: BaseException | None = None
    while True:
        try:
            wait(started)
            break
        except BaseException as error:
            interruption = error
    if interruption is not None:
        raise interruption


def _wanted() -> int:
    """Threads that were asked for, whatever this thread may use."""
    if _threads is not None:
        return _threads
    if named := os.environ.get("NUMBA_NUM_THREADS", "").strip():
        if not named.isdecimal() or int(named) < 1:
            raise ValueError(f"the environment variable NUMBA_NUM_THREADS is {named!r}; expected a positive integer")
        return int(named)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _take(work: Callable[[slice], object], parts: Iterator[slice]) -> None:
    try:
        for part in parts:
            work(part)
    except BaseException:
        deque(parts, maxlen=0)  # nobody begins another part
        raise


def _pool(threads: int) -> ThreadPoolExecutor:
    """Return the pool of so many threads; those of other numbers end with the work that they have."""
    pool = _pools.get(threads)
    if pool is None:
        # As good as atomic: of two pools made at once one is kept, and the other ends with its work.
        pool = _pools.setdefault(threads, ThreadPoolExecutor(threads, "wavelets", _join))
        for other in list(_pools):
            if other != threads and (old := _pools.pop(other, None)):
                old.shutdown(wait=False)
    return pool


def _join() -> None:
    """Begin a thread of a pool."""
    if _caller is not None:
        _place(threading.current_thread(), _caller)


def _keep_off_this_core() -> None:
    """Let the threads of pools run on all cores of this thread but the one that it is on, if it has several.

    After a pause the system wakes them on the core of the thread that calls, where they wait for it, and moves them
    only some milliseconds later. It is told again only where this thread has moved; this thread itself is left alone.
    """
    global _caller
    if _core is None:
        return
    core, cores = _core(), frozenset(os.sched_getaffinity(0))
    _caller = (core, cores) if core in cores else None
    if _caller is None:
        return
    for thread, place in list(_places.items()):
        if not thread.is_alive():
            _places.pop(thread, None)
        elif place != _caller:
            _place(thread, _caller)


def _place(thread: threading.Thread, caller: Place) -> None:
    """Let a thread run where one that calls from a core, with those that it may run on, has no need to be."""
    core, cores = caller
    if thread.native_id is not None:
        with suppress(OSError):  # not allowed here: it runs where it would have run
            os.sched_setaffinity(thread.native_id, cores - {core} or cores)
    _places[thread] = caller


def _core_number() -> Callable[[], int] | None:
    """Return the function that says which core this thread is on, where there is one."""
    if not hasattr(os, "sched_setaffinity"):
        return None
    return getattr(ctypes.PyDLL(None), "sched_getcpu", None)


_core = _core_number()


def _work_alone(done: Future[None], work: Callable[[slice], object], parts: Iterator[slice]) -> None:
    """Work for a pool; what that calls does not wait for the pool again."""
    if not done.set_running_or_notify_cancel():
        return
    try:
        with at_most(1):
            _take(work, parts)
    except BaseException as error:
        done.set_exception(error)
    else:
        done.set_result(None)


def over_parts(work: Callable[[int, int], object], count: int, most: int) -> None:
    """Call ``work(begin, end)`` on parts of at most `most` that together cover range(count), in parallel."""

    def share(part: slice) -> None:
        for begin in range(part.start, part.stop, most):
            work(begin, min(begin + most, part.stop))

    over_batch(share, count)
