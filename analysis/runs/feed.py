"""Images fed to measurements, block by block: here, or on a cluster; from the start, or from where a journal ends."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from itertools import islice
from typing import Any, Protocol

import numpy as np
import xarray as xr

from analysis.files.messages import printable
from analysis.files.pictures import ImageFolder, Picture, check_sources
from analysis.runs.blocks import BATCH, BLOCK, Block, Measurement, Vector, Work, block_key, short_name
from analysis.runs.journal import Journal
from analysis.runs.progress import Bar
from analysis.runs.provenance import provenance
from wavelets import get_num_threads

AHEAD = 2 * BATCH  # inputs read at most before they are measured

Images = str | os.PathLike[str] | Iterable[Any]
OnSkip = Callable[[str, str], object]
Results = Generator[tuple[int, Block], None, None]


class Executor(Protocol):
    """Place where blocks are measured, such as a cluster."""

    def described(self) -> dict[str, Any]:
        """Return `threads` and `workers`, for the provenance."""
        ...

    def __call__(self, numbered: Iterable[tuple[int, Any]], work: Work, tick: Callable[[int], object]) -> Results:
        """Yield the number and the sums of each block, in any order; see :meth:`analysis.runs.blocks.Work.blocks`."""
        ...


class Experiment(Measurement, Protocol):
    """Measurement of pictures of one size whose sums make a dataset."""

    @property
    def size(self) -> int:
        """Side of the pictures, pixels."""
        ...

    @property
    def colour(self) -> bool:
        """True if red, green and blue are measured instead of the luminance."""
        ...

    def dataset(self, sums: Vector) -> xr.Dataset:
        """Return the result that the sums of all pictures make, without provenance."""
        ...


def run(
    images: Images,
    experiments: Sequence[Experiment],
    progress: bool = True,
    on_skip: OnSkip | None = None,
    root: str | os.PathLike[str] | None = None,
    **feeding: Any,
) -> list[xr.Dataset]:
    """Feed images, each decoded once, to several experiments of one picture size.

    Parameters
    ----------
    images, progress, on_skip, root
        As for `feed`.
    experiments : sequence of Experiment
    **feeding
        Further arguments of `feed`.

    Returns
    -------
    list of xarray.Dataset
        One for each experiment, with the provenance among its attributes.

    Raises
    ------
    ValueError
        If the experiments want different pictures.
    """
    sizes, colours = ({getattr(experiment, name) for experiment in experiments} for name in ("size", "colour"))
    if len(sizes) != 1 or len(colours) != 1:
        kinds = " and of ".join(["in colour" if colour else "luminance" for colour in sorted(colours)])
        raise ValueError(f"experiments with pictures of sizes {sorted(sizes)}, {kinds}; expected one size and kind")
    (size,), (colour,) = sizes, colours
    feeding |= {"progress": progress, "on_skip": on_skip, "root": root}
    sums, attributes = feed(images, experiments, size, colour, **feeding)
    return [
        experiment.dataset(vector).assign_attrs(attributes)
        for experiment, vector in zip(experiments, sums, strict=True)
    ]


def feed(
    images: Images,
    measurements: Sequence[Measurement],
    size: int,
    colour: bool = False,
    desc: str = "images",
    progress: bool = True,
    on_skip: OnSkip | None = None,
    root: str | os.PathLike[str] | None = None,
    block: int = BLOCK,
    journal: Journal | None = None,
    executor: Executor | None = None,
) -> tuple[list[Vector], dict[str, Any]]:
    """Decode images once each, measure them in blocks, and add up the blocks in their order.

    Parameters
    ----------
    images : path, or iterable of paths, arrays or Pictures
        A folder, searched by :class:`analysis.files.pictures.ImageFolder`, or the images themselves; they are streamed.
    measurements : sequence of Measurement
        They are given pictures (n, size, size), in colour (n, 3, size, size).
    size : int
        Side to which every picture is brought, pixels.
    colour : bool
        Keep red, green and blue instead of the luminance.
    desc : str
        Title of the progress bar.
    progress : bool
        Show it on standard error.
    on_skip : callable, optional
        Called with the name and the reason of each picture that is left out, also of those that the journal names.
    root : path, optional
        The result names skipped files relative to this folder, by default the one given as `images`.
    block : int
        Inputs of a block.
    journal : Journal, optional
        Blocks that it has are not measured again, and the others are appended to it. If its front was folded, images
        must be something that can be walked through twice.
    executor : Executor, optional
        Measures the blocks, such as :func:`analysis.runs.cluster.on_cluster`; by default this process does, one after
        the other, while inputs are read ahead in threads.

    Returns
    -------
    sums : list of ndarray, shape (length,), float64
        Vector of each measurement: the same bits, whoever measured the blocks and whatever was resumed.
    attributes : dict
        Provenance: how pictures were read, how many were used and skipped, digests of the names of all inputs and of
        the contents of those used, versions, date, and where the time went: `seconds_total` of all blocks; of these,
        `seconds_measuring` and `seconds_waiting` for pictures; and `seconds_reading`, the processor time of the
        threads that read files meanwhile.

    Raises
    ------
    ValueError
        If `images` is one array, or no picture could be used.
    FileNotFoundError, NotADirectoryError
        If the folder is not there.
    OSError
        If the journal cannot be written, or images at its front changed while the run was under way.
    """
    if isinstance(images, np.ndarray) and (images.ndim < 3 or (images.ndim == 3 and images.shape[2] in (3, 4))):
        raise ValueError(f"images is one array of shape {images.shape}; expected several images: pass [image]")
    if isinstance(images, (str, os.PathLike)):
        root = images if root is None else root
        images = ImageFolder(images)
    check_sources(images, size)
    work = Work(measurements, size, colour, block)
    walk = _Walk(images, work, root, journal, on_skip)
    count = len(images) if isinstance(images, Sized) else None
    with Bar(desc, count, "images", progress, walk.total.inputs, resumes=bool(journal and journal.inputs)) as bar:
        missing = walk.missing(bar)
        results = executor(missing, work, bar.update) if executor else work.blocks(missing, AHEAD, bar.update)
        with contextlib.closing(results):
            for index, result in results:
                walk.take(index, result)
        walk.merge()
    walk.finish()
    where = executor.described() if executor else {"threads": get_num_threads(), "workers": "none"}
    attributes = provenance(walk.total, walk.names.hexdigest(), colour, walk.shown)
    return walk.total.sums, attributes | {"block": block} | where


class _Walk:
    """One walk through the inputs of a run: blocks are found in the journal or handed out, and added up in order."""

    def __init__(
        self,
        images: Iterable[Any],
        work: Work,
        root: str | os.PathLike[str] | None,
        journal: Journal | None,
        on_skip: OnSkip | None,
    ) -> None:
        self.images, self.block, self.root, self.journal, self.on_skip = images, work.block, root, journal, on_skip
        self.shown = None if root is None else printable(root)
        self.total = Block.empty(work.measurements)
        if journal is not None and journal.front:
            numbered = enumerate(images)
            chunks = (list(islice(numbered, self.block)) for _ in journal.front)
            self.total = journal.front_of([block_key(chunk, root) for chunk in chunks]) or self.total
        self.folded = self.total.blocks
        self.complete = self.total  # without a last block that more images would fill
        self.keys: list[bytes] = []  # of the blocks that the walk has come to, if there is a journal
        self.ready: dict[int, Block | None] = {}  # blocks before their turn; None if the journal has them
        self.names = hashlib.sha256()
        self._report(self.total)

    def missing(self, bar: Bar) -> Iterator[tuple[int, Any]]:
        """Walk through all inputs, and hand out those of the blocks that are not known yet, with their positions."""
        numbered = iter(enumerate(self.images))
        while chunk := list(islice(numbered, 1 if self.journal is None else self.block)):
            for position, source in chunk:
                self.names.update(_name(source, position, self.shown).encode() + b"\n")
            if self.journal is None or not self._known(chunk, self.journal, bar):
                yield from chunk

    def _known(self, chunk: list[tuple[int, Any]], journal: Journal, bar: Bar) -> bool:
        """Return whether a block has been measured before."""
        index, key = len(self.keys), block_key(chunk, self.root)
        self.keys.append(key)
        if index < self.folded:
            if key != journal.front[index]:
                raise OSError("the images changed while the run was under way")
            return True
        if key not in journal:
            return False
        self.ready[index] = None
        bar.update(len(chunk), before=True)
        return True

    def take(self, index: int, result: Block) -> None:
        """Record a block that has been measured, and add up as far as possible."""
        if self.journal is not None:
            self.journal.append(self.keys[index], result)
        in_turn = index == self.total.blocks
        self.ready[index] = result if in_turn or self.journal is None else None
        self.merge()

    def merge(self) -> None:
        """Add the blocks that come next, as far as they are there."""
        while (index := self.total.blocks) in self.ready:
            block = self.ready.pop(index)
            if block is None:
                assert self.journal is not None
                block = self.journal[self.keys[index]]
            self.total += block
            if block.inputs == self.block:
                self.complete = self.total
            self._report(block)
        if self.journal is not None:
            self.journal.fold(self.total, self.keys)

    def finish(self) -> None:
        """Leave the journal with what a run with more images can use; ValueError if no picture was used."""
        if self.total.used == 0:
            example = ""
            if self.total.skipped:
                name, reason = self.total.skipped[0]
                example = f"; for example {short_name(name, self.shown)}: {reason}"
            raise ValueError(f"none of the {self.total.inputs} images could be used{example}")
        if self.journal is not None:
            self.journal.finish(self.complete, self.keys)

    def _report(self, block: Block) -> None:
        if self.on_skip is not None:
            for name, reason in block.skipped:
                self.on_skip(name, reason)


def _name(source: Any, position: int, root: str | None) -> str:
    """Name of an input in the digest of all names."""
    if isinstance(source, Picture):
        return source.name
    if isinstance(source, str | bytes | os.PathLike):
        return short_name(printable(source), root)
    return f"array {position}"
