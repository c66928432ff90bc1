"""Images fed to measurements, block by block: here, or on a cluster; from the start, or from where a journal ends."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence, Sized
from itertools import groupby, islice
from time import perf_counter
from typing import Any

import numpy as np
from tqdm import tqdm

from analysis.files.pictures import ImageFolder, Picture, check_sources, outcomes_ahead, printable
from analysis.runs.blocks import BATCH, BLOCK, BlockResult, Measurement, block_key, measure_block, short_name
from analysis.runs.journal import Journal
from analysis.runs.provenance import provenance
from analysis.runs.tally import Tally
from wavelets import get_num_threads

AHEAD = 2 * BATCH  # inputs read at most before they are measured

Results = Generator[tuple[int, BlockResult], None, None]
Executor = Callable[
    [Iterable[tuple[int, Any]], int, Sequence[Measurement], int, bool, Callable[[int], object]], Results
]


def here(
    numbered: Iterable[tuple[int, Any]],
    block: int,
    measurements: Sequence[Measurement],
    size: int,
    colour: bool,
    tick: Callable[[int], object],
) -> Results:
    """Measure blocks in this process, one after the other; inputs are read ahead in threads.

    Parameters
    ----------
    numbered : iterable of (int, source)
        Inputs with their positions; position // block is the number of the block.
    block, measurements, size, colour
        As for `feed`.
    tick : callable
        Called with the number of inputs that were dealt with since the last call.

    Yields
    ------
    index : int
        Number of a block.
    result : BlockResult
    """
    with outcomes_ahead(numbered, size, colour, AHEAD) as outcomes:
        begin = perf_counter()
        for index, group in groupby(outcomes, key=lambda pair: pair[0] // block):
            yield index, measure_block((outcome for _, outcome in group), measurements, tick, begin)
            begin = perf_counter()


def feed(
    images: str | os.PathLike[str] | Iterable[Any],
    measurements: Sequence[Measurement],
    size: int,
    colour: bool = False,
    desc: str = "images",
    progress: bool = True,
    on_skip: Callable[[str, str], object] | None = None,
    root: str | os.PathLike[str] | None = None,
    block: int = BLOCK,
    journal: Journal | None = None,
    executor: Executor = here,
) -> dict[str, Any]:
    """Decode images once each, measure them in blocks, and add up what the blocks come to, in their order.

    Parameters
    ----------
    images : path, or iterable of paths, arrays or Pictures
        A folder, searched by :class:`analysis.files.pictures.ImageFolder`, or the images themselves; they are streamed.
    measurements : sequence of Measurement
        What is measured; their totals are set. They are given pictures (n, size, size), in colour (n, 3, size, size).
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
    executor : callable
        Measures the blocks: `here`, or :func:`analysis.runs.cluster.on_cluster` for a client.

    Returns
    -------
    dict
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
        root = images
        images = ImageFolder(images)
    check_sources(images, size)
    shown = None if root is None else printable(root)
    front = None if journal is None else journal.front_of(_keys(images, block, root, len(journal.front)))
    tally = Tally.empty(measurements) if front is None else front
    folded = tally.blocks
    keys: list[bytes] = []  # of the blocks that the walk has come to, if there is a journal
    known: set[int] = set()  # blocks that the journal has
    waiting: dict[int, BlockResult] = {}  # measured before their turn, and in no journal
    names = hashlib.sha256()

    def missing() -> Iterator[tuple[int, Any]]:
        """Walk through all inputs, and hand out those of the blocks that are not known yet, with their positions."""
        numbered = iter(enumerate(images))
        while chunk := list(islice(numbered, 1 if journal is None else block)):
            for position, source in chunk:
                names.update(_name(source, position, shown).encode() + b"\n")
            if journal is not None:
                keys.append(block_key(chunk, root))
                if len(keys) <= folded:
                    if keys[-1] != journal.front[len(keys) - 1]:
                        raise OSError("the images changed while the run was under way")
                    continue
                if keys[-1] in journal:
                    known.add(len(keys) - 1)
                    if progress:
                        bar.initial += len(chunk)  # they do not count for the rate
                        bar.update(len(chunk))
                    continue
            yield from chunk

    def merge() -> None:
        """Add up the blocks that come next, as far as they are there."""
        while tally.blocks in waiting or tally.blocks in known:
            if (result := waiting.pop(tally.blocks, None)) is None:
                assert journal is not None
                result = journal[keys[tally.blocks]]
            tally.add(result)
            _report(result.skipped, on_skip)
        if journal is not None:
            journal.fold(tally, keys)

    _report(tally.skipped, on_skip)
    total = len(images) if isinstance(images, Sized) else None
    with tqdm(total=total, initial=tally.inputs, unit="image", desc=desc, disable=not progress) as bar:
        results = executor(missing(), block, measurements, size, colour, bar.update)
        with contextlib.closing(results):
            for index, result in results:
                if journal is not None:
                    journal.append(keys[index], result)
                if journal is None or index == tally.blocks:
                    waiting[index] = result
                else:
                    known.add(index)
                merge()
        merge()
    if tally.used == 0:
        example = ""
        if tally.skipped:
            name, reason = tally.skipped[0]
            example = f"; for example {short_name(name, shown)}: {reason}"
        raise ValueError(f"none of the {tally.inputs} images could be used{example}")
    for measurement, sums in zip(measurements, tally.totals, strict=True):
        measurement.total = sums
    threads, workers = getattr(executor, "threads", get_num_threads()), getattr(executor, "workers", "none")
    found = provenance(tally, names.hexdigest(), colour, shown)
    return found | {"block": block, "threads": threads, "workers": workers}


def _keys(images: Iterable[Any], block: int, root: str | os.PathLike[str] | None, count: int) -> list[bytes]:
    """Keys of the first blocks."""
    numbered = enumerate(images)
    return [block_key(chunk, root) for _ in range(count) if (chunk := list(islice(numbered, block)))]


def _report(skipped: Iterable[tuple[str, str]], on_skip: Callable[[str, str], object] | None) -> None:
    if on_skip is not None:
        for name, reason in skipped:
            on_skip(name, reason)


def _name(source: Any, position: int, root: str | None) -> str:
    """Name of an input in the digest of all names."""
    if isinstance(source, Picture):
        return source.name
    if isinstance(source, str | bytes | os.PathLike):
        return short_name(printable(source), root)
    return f"array {position}"
