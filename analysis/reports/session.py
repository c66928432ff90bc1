"""A run over images that can be resumed, on this machine or a cluster, with its results in a folder."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from importlib import import_module
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, TypeVar

from analysis.files.messages import printable
from analysis.files.pictures import ImageFolder, bundled_crops
from analysis.files.results import writable_folder
from analysis.reports.writer import OnSkip, Report
from analysis.runs.blocks import BLOCK
from analysis.runs.journal import resumable
from analysis.runs.provenance import distribution_version
from wavelets.checks import integer

T = TypeVar("T")
Images = str | os.PathLike[str] | Iterable[Any] | None


class Session:
    """Run of one experiment over images.

    Parameters
    ----------
    name : str
        Of the experiment, and of its journal.
    images : path, iterable of paths and arrays, or None
        A folder, searched recursively, or the images themselves; None stands for the photographs of scikit-image.
    out : path
        Folder for the results; nothing is created before `results` is entered.
    size : int
        Side to which every image is brought, pixels.
    colour : bool
        Keep red, green and blue instead of the luminance.
    limit : int, optional
        Use at most so many images.
    every : int
        Use every so many images of a folder only, to spread fewer over it.
    block : int
        Images between two entries of the journal, from which a run continues.
    resume : bool
        Fail if there is no journal to continue; without it, one is used if it is there.
    overwrite : bool
        Begin anew, whatever is there.
    scheduler : str, optional
        Address of a cluster of `dask.distributed` to measure on.
    workers : int, optional
        Measure in so many processes of this machine, with `dask.distributed`.
    threads : int
        Threads of each task on a cluster.
    progress : bool
        Show progress bars on standard error, and say there what is continued.
    on_skip : callable, optional
        Called with the name and the reason of each image that is left out.
    figures : bool
        Draw figures beside the results.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    FileNotFoundError, NotADirectoryError
        If the folder of images is not there.
    """

    def __init__(
        self,
        name: str,
        images: Images,
        out: str | os.PathLike[str],
        size: int,
        colour: bool = False,
        *,
        limit: int | None = None,
        every: int = 1,
        block: int = BLOCK,
        resume: bool = False,
        overwrite: bool = False,
        scheduler: str | None = None,
        workers: int | None = None,
        threads: int = 1,
        progress: bool = True,
        on_skip: OnSkip | None = None,
        figures: bool = True,
    ) -> None:
        for option, count in {"limit": limit, "every": every, "block": block, "threads": threads}.items():
            if count is not None:
                integer(option, count, 1)
        self.name, self.out = name, out
        self.block, self.resume, self.overwrite = block, resume, overwrite
        self.scheduler, self.workers, self.threads = scheduler, workers, threads
        self.progress, self.on_skip, self.figures = progress, on_skip, figures
        self.root: Path | None = None
        self.sources: Iterable[Any]
        self._folder: ImageFolder | None = None
        if images is None:
            self.shown = "those of scikit-image"
            self.sources = bundled_crops(size, colour=colour)[:limit]
        elif isinstance(images, (str, os.PathLike)):
            # One name for a folder, however it is spelt: the journal names what is skipped in it.
            self.root = Path(images).resolve() if os.path.isdir(images) else Path(images)
            self.shown = printable(self.root)
            self._folder = ImageFolder(self.root, limit if every == 1 else None)
            self.sources = self._folder if every == 1 else list(islice(self._folder, 0, None, every))[:limit]
        else:
            self.shown = "given one by one"
            self.sources = images if limit is None else list(islice(images, limit))

    @contextlib.contextmanager
    def results(self, settings: dict[str, Any], expected: list[str]) -> Iterator[Report]:
        """Context in which `measure` can be called, and the report of what it measures can be written.

        Parameters
        ----------
        settings : dict
            What the results depend on beside the images.
        expected : list of str
            Files that the run will write: without a journal, they belong to another run.
        """
        folder = writable_folder(self.out)
        self.report = Report(folder, self.progress, self.on_skip, self.figures)
        whole = {
            "command": self.name,
            "shiftscope_version": distribution_version("shiftscope"),
            "images": self.shown,
            "block": self.block,
        } | settings
        with contextlib.ExitStack() as self._machines:
            # First the cluster: a journal is not to be touched for one that is not there.
            executor = self._executor()
            with resumable(folder, self.name, whole, expected, self.resume, self.overwrite) as journal:
                if journal.inputs and self.progress:
                    print(f"Continuing {printable(journal.path)}, which has {journal.inputs} images.", file=sys.stderr)
                self._feeding = {"block": self.block, "root": self.root, "journal": journal} | executor
                yield self.report

    def measure(self, experiment: Callable[..., T]) -> T:
        """Return what `experiment` makes of the images, and write the list of those that it skipped.

        Parameters
        ----------
        experiment : callable
            Called with the images and arguments for :func:`analysis.runs.feed.feed`.
        """
        start = perf_counter()
        names = ["h5netcdf", "distributed", *(["matplotlib.backends.backend_agg"] if self.figures else [])]
        threading.Thread(target=_import_ahead, args=(names,), daemon=True).start()
        found = experiment(self.sources, progress=self.progress, on_skip=self.report.skip, **self._feeding)
        self._machines.close()
        self.report.seconds = perf_counter() - start
        if self._folder is not None:
            self.report.figures_left_out = list(self._folder.figures)
        self.report.save_skipped()
        return found

    def _executor(self) -> dict[str, Any]:
        """Place where the blocks are measured, as an argument of `feed`; the cluster is given back by `measure`."""
        if self.scheduler is None and self.workers is None:
            return {}
        from analysis.runs.cluster import cluster, on_cluster  # distributed is optional

        client = self._machines.enter_context(cluster(self.scheduler, self.workers))
        return {"executor": on_cluster(client, self.threads)}


def _import_ahead(names: Iterable[str]) -> None:
    """Import what the report will need while images are measured; what fails will fail again where it is needed."""
    for name in names:
        with contextlib.suppress(Exception):
            import_module(name)
