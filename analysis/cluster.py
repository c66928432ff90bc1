"""Blocks measured on a cluster of `dask.distributed`: many machines, or several processes of this one.

Each block is a task: a worker reads its inputs, which it must find under the same names, and returns their sums, some
tens of kilobytes. A task whose worker dies runs again on another one. The journal and the merging stay with the caller.
"""

from __future__ import annotations

import contextlib
import pickle
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import groupby
from time import monotonic
from typing import TYPE_CHECKING, Any

from analysis.blocks import BlockResult, Measurement, measure_block
from analysis.feed import Results
from analysis.images import outcomes_ahead
from analysis.messages import one_line
from analysis.provenance import distribution_version
from wavelets import set_num_threads
from wavelets._check import integer

if TYPE_CHECKING:
    from distributed import Client

IN_FLIGHT = 3  # blocks for each thread of the cluster: one at work, and what the way there and back takes
RETRIES = 3  # of a block that fails; workers that die with it count elsewhere, see dask's allowed-failures
PATIENCE = 10.0  # seconds without the scheduler before it is given up


class ClusterError(ConnectionError):
    """A cluster went away, or could not do its work."""


@contextlib.contextmanager
def cluster(scheduler: str | None = None, workers: int | None = None) -> Iterator[Client]:
    """Context with a client of a running cluster, or of one of local processes with one thread each.

    Parameters
    ----------
    scheduler : str, optional
        Address such as ``tcp://host:8786``.
    workers : int, optional
        Processes to start here instead.

    Raises
    ------
    ModuleNotFoundError
        If `distributed` is not installed.
    ClusterError
        If no scheduler answers there, or it has no workers.
    TypeError, ValueError
        If both or neither are given, or the number is not positive.
    """
    if (scheduler is None) == (workers is None):
        raise ValueError("expected the address of a scheduler or a number of workers, not both and not neither")
    if workers is not None:
        integer("workers", workers, 1)
    try:
        import dask
        from distributed import Client, LocalCluster
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "a cluster needs the package distributed (pip install 'shiftscope[distributed]')"
        ) from error
    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set({"distributed.comm.timeouts.connect": f"{PATIENCE}s"}))
        try:
            if workers is not None:
                local = LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None, silence_logs=50)
                scheduler = stack.enter_context(local).scheduler_address
            # not the default one: xarray would ask it for a lock before it writes a file
            client = stack.enter_context(Client(scheduler, timeout=PATIENCE, set_as_default=False))
        except (OSError, TimeoutError, ValueError) as error:
            raise ClusterError(f"no scheduler answers at {scheduler}: {one_line(str(error))}") from error
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise ClusterError(f"the scheduler at {scheduler} has no workers") from error
        yield client


def on_cluster(client: Client, threads: int = 1) -> Callable[..., Results]:
    """Return what measures blocks on a cluster, for :func:`analysis.feed.feed`.

    Parameters
    ----------
    client : distributed.Client
    threads : int
        Threads that each task may use.

    Returns
    -------
    callable
        It yields blocks as they are finished, in any order, and raises `ClusterError` if the scheduler goes away, or a
        block fails for good.
    """
    integer("threads", threads, 1)

    def measured(
        numbered: Iterable[tuple[int, Any]],
        block: int,
        measurements: Sequence[Measurement],
        size: int,
        colour: bool,
        tick: Callable[[int], object],
    ) -> Results:
        from distributed import Future

        parcel = pickle.dumps((list(measurements), size, colour, threads, distribution_version("shiftscope")))
        blocks = groupby(numbered, key=lambda pair: pair[0] // block)
        finished: queue.SimpleQueue[Future] = queue.SimpleQueue()
        running: dict[Future, int] = {}
        more = True
        try:
            while more or running:
                while more and len(running) < IN_FLIGHT * max(sum(client.nthreads().values()), 1):
                    if more := (found := next(blocks, None)) is not None:
                        index, items = found
                        future = client.submit(_measure, parcel, list(items), retries=RETRIES, pure=False)
                        running[future] = index
                        future.add_done_callback(finished.put)
                if running:
                    future = _next(finished, client)
                    index, result = running.pop(future), _result(future)
                    tick(result.inputs)
                    yield index, result
        except (OSError, TimeoutError) as error:
            if isinstance(error, ClusterError):
                raise
            raise ClusterError(f"the scheduler of the cluster went away: {one_line(str(error))}") from error
        finally:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                client.cancel(list(running), force=True)

    measured.threads, measured.workers = threads, "dask.distributed"  # type: ignore[attr-defined]  # for the result
    return measured


def _next(finished: queue.SimpleQueue, client: Client) -> Any:
    """Wait for the next future, as long as there is a scheduler."""
    lost = None
    while True:
        try:
            return finished.get(timeout=0.5)
        except queue.Empty:
            if client.status == "running":
                lost = None
                continue
            lost = lost or monotonic()
            if client.status == "closed" or monotonic() - lost > PATIENCE:
                raise ClusterError("the scheduler of the cluster went away") from None


def _result(future: Any) -> BlockResult:
    if future.status in ("cancelled", "lost"):
        raise ClusterError("the scheduler of the cluster went away")
    error = future.exception()
    if error is not None:
        raise ClusterError(f"a block failed on the cluster: {type(error).__name__}: {one_line(str(error))}") from error
    return future.result()


def _measure(parcel: bytes, numbered: list[tuple[int, Any]]) -> BlockResult:
    """Measure one block: a task."""
    measurements, size, colour = _unpacked(parcel)
    with outcomes_ahead(numbered, size, colour, 0) as outcomes:
        return measure_block((outcome for _, outcome in outcomes), measurements)


@lru_cache(maxsize=4)
def _unpacked(parcel: bytes) -> tuple[list[Measurement], int, bool]:
    """Make the measurements once in each process: they have tables to prepare."""
    measurements, size, colour, threads, version = pickle.loads(parcel)
    if (mine := distribution_version("shiftscope")) != version:
        raise RuntimeError(f"a worker has shiftscope {mine}; expected {version}, the version here")
    set_num_threads(threads)
    return measurements, size, colour
