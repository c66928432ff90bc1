"""Work done ahead in threads, in order and within bounds."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from wavelets import get_num_threads

# xarray imports dask, which imports this, at the first array it makes; once the interpreter ends that is too late.
with contextlib.suppress(ImportError):  # where there are no processes
    import concurrent.futures.process  # noqa: F401

Source = TypeVar("Source")
Result = TypeVar("Result")


def prefetch(work: Callable[[Source], Result], sources: Iterable[Source], ahead: int) -> Generator[Result, None, None]:
    """Apply `work` to every source, as :func:`map` does, up to `ahead` of them before their results are asked for.

    Parameters
    ----------
    work : callable
        Called in threads, as many as :func:`wavelets.get_num_threads` says.
    sources : iterable
        Drawn from in the calling thread.
    ahead : int
        At most so many results wait at any time; with 0 nothing is done before it is asked for, and no thread started.

    Yields
    ------
    What `work` returns, in the order of the sources. What it raises, or what `sources` raises, is raised in its place.

    Notes
    -----
    Where no thread can be had, as when the interpreter is about to end, the caller does the work.
    """
    if ahead == 0:
        yield from map(work, sources)
        return
    pool = ThreadPoolExecutor(min(get_num_threads(), ahead), "prefetch")
    waiting: deque[Future[Result]] = deque()
    try:
        failure = None
        source = iter(sources)
        while True:
            try:
                while failure is None and len(waiting) < ahead:
                    waiting.append(_begun(pool, work, next(source)))
            except BaseException as error:  # the end among them; first come the results of what was drawn before
                failure = error
            if not waiting:
                break
            yield waiting.popleft().result()
        if failure is not None and not isinstance(failure, StopIteration):
            raise failure
    finally:
        pool.shutdown(cancel_futures=True)


def _begun(pool: ThreadPoolExecutor, work: Callable[[Source], Result], source: Source) -> Future[Result]:
    """Work for a thread of the pool, or already done here."""
    try:
        return pool.submit(work, source)
    except RuntimeError:  # no more threads, or no new work while the interpreter ends
        done: Future[Result] = Future()
        try:
            done.set_result(work(source))
        except Exception as error:
            done.set_exception(error)
        return done
