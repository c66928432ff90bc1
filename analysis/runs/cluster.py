"""Blocks measured on a cluster of `dask.distributed`: many machines, or several processes of this one.

Each block is a task: a worker reads its inputs, which it must find under the same names, and returns their sums. A task
whose worker dies runs again on another one. The journal and the merging stay with the caller.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import pickle
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from analysis.files.messages import one_line
from analysis.runs.blocks import Block, Work
from analysis.runs.feed import Executor, Results
from analysis.runs.progress import say
from analysis.runs.provenance import distribution_version
from wavelets import set_num_threads
from wavelets.checks import integer

if TYPE_CHECKING:
    from distributed import Client, Future, as_completed

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
        stack.enter_context(_silence())
        stack.enter_context(dask.config.set({"distributed.comm.timeouts.connect": f"{PATIENCE}s"}))
        try:
            if workers is not None:
                with _deaf():
                    local = LocalCluster(
                        workers,
                        threads_per_worker=1,
                        dashboard_address=None,
                        silence_logs=logging.CRITICAL,
                        # without a dashboard the scheduler serves pages all the same, at 8787 unless it is told
                        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                    )
                    scheduler = stack.enter_context(local).scheduler_address
            # not the default one: xarray would ask it for a lock before it writes a file
            client = _patiently(lambda: Client(scheduler, timeout=PATIENCE, set_as_default=False))
            stack.enter_context(client)
        except (OSError, TimeoutError, ValueError) as error:
            reason = one_line(str(error)) or "it says nothing"
            raise ClusterError(f"no scheduler answers at {scheduler}: {reason}") from error
        try:
            client.wait_for_workers(1, timeout=PATIENCE)
        except TimeoutError as error:
            raise ClusterError(f"the scheduler at {scheduler} has no workers") from error
        yield client


def _patiently(connect: Callable[[], Client]) -> Client:
    """Connect, or give up: for an answer of a server that accepts and says nothing, a client waits without end."""
    answer: concurrent.futures.Future[Client] = concurrent.futures.Future()

    def ask() -> None:
        try:
            answer.set_result(connect())
        except Exception as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    return answer.result(2 * PATIENCE)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Context in which dask logs nothing: what matters is raised, and the terminal has a progress bar."""
    import distributed

    names = [name for name in logging.root.manager.loggerDict if name.split(".")[0] == distributed.__name__]
    loggers = [logging.getLogger(name) for name in (*names, "tornado.application", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextlib.contextmanager
def _deaf() -> Iterator[None]:
    """Context in which processes are started that do not hear Ctrl-C: this one does at the end, and ends them.

    Processes inherit the mask of the thread that starts them. What is ignored instead of masked would be lost here.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "pthread_sigmask"):
        yield
        return
    heard: list[int] = []
    resource_tracker.ensure_running()  # which would take the mask away when it starts
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, before)
        if heard:
            signal.raise_signal(signal.SIGINT)


def on_cluster(client: Client, threads: int = 1) -> Executor:
    """Return the executor that measures blocks on a cluster, for :func:`analysis.runs.feed.feed`.

    Parameters
    ----------
    client : distributed.Client
    threads : int
        Threads that each task may use.

    Returns
    -------
    Executor
        It yields blocks as they are finished, in any order, and raises `ClusterError` if the scheduler goes away, or a
        block fails for good.
    """
    return _OnCluster(client, integer("threads", threads, 1))


@dataclass(frozen=True)
class _OnCluster:
    client: Client
    threads: int

    def described(self) -> dict[str, Any]:
        return {"threads": self.threads, "workers": "dask.distributed"}

    def __call__(self, numbered: Iterable[tuple[int, Any]], work: Work, tick: Callable[[int], object]) -> Results:
        from distributed import as_completed

        parcel = pickle.dumps((work, self.threads, distribution_version("shiftscope")))
        groups = groupby(numbered, key=lambda pair: pair[0] // work.block)
        running: dict[Future[Block], int] = {}
        completed = as_completed(loop=self.client.loop)
        try:
            while True:
                with _scheduler_there():
                    room = IN_FLIGHT * max(sum(self.client.nthreads().values()), 1) - len(running)
                for _, (index, items) in zip(range(room), groups, strict=False):
                    inputs = list(items)
                    with _scheduler_there():
                        future = self.client.submit(_measure, parcel, inputs, retries=RETRIES, pure=False)
                    running[future] = index
                    completed.add(future)
                if not running:
                    return
                future = _next(completed, self.client)
                result = _result(future)
                tick(result.inputs)
                yield running.pop(future), result
        finally:
            with contextlib.suppress(Exception):  # the scheduler may be gone
                self.client.cancel(list(running), force=True)


@contextlib.contextmanager
def _scheduler_there() -> Iterator[None]:
    """Context in which an error of the connection means that the scheduler is gone."""
    try:
        yield
    except (OSError, TimeoutError, concurrent.futures.CancelledError, asyncio.CancelledError) as error:
        raise ClusterError("the scheduler of the cluster went away") from error


def _next(completed: as_completed, client: Client) -> Future[Block]:
    """Wait for the next future; say so, once, if that takes long because there are no workers."""
    since = time.monotonic()
    warned = False
    while not completed.has_ready():
        if client.status == "closed":
            raise ClusterError("the scheduler of the cluster went away")
        time.sleep(0.01)
        if not warned and time.monotonic() - since > PATIENCE:
            since = time.monotonic()
            with _scheduler_there():
                warned = not client.nthreads()
            if warned:
                say("the cluster has no workers at present: waiting for some")
    return next(completed)


def _result(future: Future[Block]) -> Block:
    with _scheduler_there():
        if future.status != "error":
            block: Block = future.result()
            return block
        error = future.exception()
    raise ClusterError(f"a block failed on the cluster: {type(error).__name__}: {one_line(str(error))}") from error


def _measure(parcel: bytes, numbered: list[tuple[int, Any]]) -> Block:
    """Measure one block: a task."""
    ((_, block),) = _unpacked(parcel).blocks(numbered, 0)
    return block


@lru_cache(maxsize=4)
def _unpacked(parcel: bytes) -> Work:
    """Unpack the work once in each process: measurements have tables to prepare."""
    work: Work
    work, threads, version = pickle.loads(parcel)
    if (mine := distribution_version("shiftscope")) != version:
        raise RuntimeError(f"a worker has shiftscope {mine}; expected {version}, the version here")
    set_num_threads(threads)
    return work
