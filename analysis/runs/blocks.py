"""Blocks of inputs: each becomes a vector of sums for each measurement, and that is all that is kept of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, islice
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.files.pictures import ImageError, Picture, outcomes_ahead

BLOCK = 128  # inputs whose sums are recorded together
BATCH = 8  # pictures measured at a time: enough for all threads, few enough to stay in some tens of megabytes
DIGEST = 32  # bytes

Vector = NDArray[np.float64]


class Measurement(Protocol):
    """Measurement of pictures as a vector of sums, which add up over pictures; it holds no sums itself."""

    @property
    def length(self) -> int:
        """Entries of the vector."""
        ...

    def measure(self, pictures: NDArray[np.float32], names: Sequence[str]) -> tuple[Vector, NDArray[np.bool_] | None]:
        """Measure pictures.

        Parameters
        ----------
        pictures : ndarray, shape (n, ...), float32
        names : sequence of n str
            Of the pictures: paths in printable form, or "array 3".

        Returns
        -------
        sums : ndarray, shape (length,), float64
        used : ndarray, shape (n,), bool, or None
            Whether each picture was used, if that matters.
        """
        ...


@dataclass
class Block:
    """Sums over one block of inputs, or over all blocks from the first one on.

    Attributes
    ----------
    sums : list of ndarray, float64
        Vector of each measurement.
    blocks, inputs, used : int
        Numbers of blocks, of inputs in them, and of those inputs that were used.
    digest : bytes
        SHA-256 of each picture that was used, one after the other. Of a sum of blocks, one digest chained from these:
        of the digest so far and that of the next picture.
    skipped : list of (str, str)
        Name of each input that was not used, and the reason.
    seconds : dict
        Where the time went: "total", "reading", "waiting", "measuring".
    """

    sums: list[Vector] = field(repr=False)
    blocks: int = 0
    inputs: int = 0
    used: int = 0
    digest: bytes = bytes(DIGEST)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("total", "reading", "waiting", "measuring"), 0.0)
    )

    @classmethod
    def empty(cls, measurements: Sequence[Measurement]) -> Block:
        """Return the sum of no block."""
        return cls([np.zeros(measurement.length) for measurement in measurements])

    def __add__(self, block: Block) -> Block:
        """Return the sum of all blocks so far and the next one; the order of blocks decides on the last bits."""
        digest = self.digest
        for begin in range(0, len(block.digest), DIGEST):
            digest = hashlib.sha256(digest + block.digest[begin : begin + DIGEST]).digest()
        return Block(
            [one + other for one, other in zip(self.sums, block.sums, strict=True)],
            self.blocks + block.blocks,
            self.inputs + block.inputs,
            self.used + block.used,
            digest,
            self.skipped + block.skipped,
            {name: value + block.seconds[name] for name, value in self.seconds.items()},
        )


@dataclass(frozen=True)
class Work:
    """Work on the blocks of a run: all that a process must know to measure them.

    Attributes
    ----------
    measurements : sequence of Measurement
    size : int
        Side to which every picture is brought, pixels.
    colour : bool
        Keep red, green and blue instead of the luminance.
    block : int
        Inputs of a block.
    """

    measurements: Sequence[Measurement]
    size: int
    colour: bool
    block: int

    def blocks(
        self, numbered: Iterable[tuple[int, Any]], ahead: int, tick: Callable[[int], object] = lambda count: None
    ) -> Generator[tuple[int, Block], None, None]:
        """Read and measure blocks, one after the other.

        Parameters
        ----------
        numbered : iterable of (int, source)
            Inputs with their positions; position // block is the number of the block.
        ahead : int
            Inputs that are read in threads before they are due; with 0, no thread is started.
        tick : callable
            Called with the number of inputs that were dealt with since the last call.

        Yields
        ------
        index : int
            Number of the block.
        block : Block
        """
        with outcomes_ahead(numbered, self.size, self.colour, ahead) as outcomes:
            begin = perf_counter()
            for index, group in groupby(outcomes, key=lambda pair: pair[0] // self.block):
                yield index, self._measured((outcome for _, outcome in group), tick, begin)
                begin = perf_counter()

    def _measured(self, outcomes: Iterator[Picture | ImageError], tick: Callable[[int], object], begin: float) -> Block:
        """Measure one block; `begin` is when the wait for its first input began."""
        block = Block.empty(self.measurements)
        block.blocks, block.digest = 1, b""
        seconds, before = block.seconds, begin
        while batch := list(islice(outcomes, BATCH)):
            seconds["waiting"] += perf_counter() - before
            _add_batch(block, batch, self.measurements)
            tick(len(batch))
            before = perf_counter()
        seconds["total"] = perf_counter() - begin
        seconds["measuring"] = seconds["total"] - seconds["waiting"]
        return block


def _add_batch(block: Block, batch: list[Picture | ImageError], measurements: Sequence[Measurement]) -> None:
    """Add the sums of inputs to a block; a picture counts that any measurement which cares has used."""
    pictures = [outcome for outcome in batch if isinstance(outcome, Picture)]
    votes = []
    if pictures:
        pixels, names = np.stack([picture.pixels for picture in pictures]), [picture.name for picture in pictures]
        for measurement, total in zip(measurements, block.sums, strict=True):
            sums, used = measurement.measure(pixels, names)
            total += sums
            if used is not None:
                votes.append(used)
    usable = iter(np.logical_or.reduce(votes) if votes else np.ones(len(pictures), bool))
    for outcome in batch:
        if not isinstance(outcome, Picture):
            block.skipped.append((outcome.name, outcome.reason))
            continue
        block.seconds["reading"] += outcome.seconds
        if next(usable):
            block.used += 1
            block.digest += bytes.fromhex(outcome.sha256)
        else:
            block.skipped.append((outcome.name, "flat: all its pixels are equal"))
    block.inputs += len(batch)


def block_key(numbered: Iterable[tuple[int, Any]], root: str | os.PathLike[str] | None) -> bytes:
    """Digest of a block of inputs with their positions.

    Of files, names, sizes and times of change enter it, of anything else the values: a block whose files changed has
    another key, so its record does not stand for it any more.
    """
    digest = hashlib.sha256()
    for position, source in numbered:
        digest.update(hashlib.sha256(_identity(source, position, root)).digest())
    return digest.digest()


def _identity(source: Any, position: int, root: str | os.PathLike[str] | None) -> bytes:
    """Bytes that tell an input from any other, and from itself when it has changed."""
    if isinstance(source, Picture):
        return f"picture {source.name} {source.sha256}".encode()
    if isinstance(source, str | bytes | os.PathLike):
        try:
            status = os.stat(source)
            stamp = f"{status.st_size} {status.st_mtime_ns}"
        except OSError:
            stamp = "not there"
        return f"file {stamp} ".encode() + os.fsencode(short_name(os.fsdecode(source), root))
    pixels = np.ascontiguousarray(source)
    return f"array {position} {pixels.dtype.str} {pixels.shape} ".encode() + pixels.tobytes()


def short_name(name: str, root: str | os.PathLike[str] | None) -> str:
    """Name of a picture as it is kept in results: relative to the root, or without the folders above it.

    Both are paths as they are, or both are printable.
    """
    path = Path(name)
    return str(path.relative_to(root)) if root is not None and path.is_relative_to(root) else path.name
