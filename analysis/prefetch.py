"""Work done ahead in threads, in order and within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from wavelets import get_num_threads

Source = TypeVar("Source")
Result = TypeVar("Result")


def prefetch(work: Callable[[Source], Result], sources: Iterable[Source], ahead: int) -> Iterator[Result]:
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
    What `work` returns, in the order of the sources. What it raises is raised in its place.
    """
    if ahead == 0:
        yield from map(work, sources)
        return
    sources = iter(sources)
    pool = ThreadPoolExecutor(min(get_num_threads(), ahead), "prefetch")
    try:
        waiting: deque[Future[Result]] = deque(pool.submit(work, source) for source in islice(sources, ahead))
        while waiting:
            result = waiting.popleft().result()
            for source in islice(sources, 1):
                waiting.append(pool.submit(work, source))
            yield result
    finally:
        pool.shutdown(cancel_futures=True)
