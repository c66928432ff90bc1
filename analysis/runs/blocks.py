"""Blocks of inputs: each becomes small sums, which are all that is kept of it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from analysis.files.pictures import ImageError, Picture
from analysis.runs.totals import Total

BLOCK = 128  # inputs whose sums are recorded together
BATCH = 8  # pictures measured at a time: enough for all threads, few enough to stay in some tens of megabytes

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
class BlockResult:
    """What a block of inputs came to.

    Attributes
    ----------
    inputs, used : int
        How many there were, and how many were used.
    digests : bytes
        SHA-256 of each that was used, one after the other.
    skipped : list of (str, str)
        Name of each of the others, and the reason.
    seconds : dict
        Where the time went: "total", "waiting", "measuring", "reading".
    sums : list of ndarray
        Of each measurement.
    """

    inputs: int
    used: int
    digests: bytes
    skipped: list[tuple[str, str]]
    seconds: dict[str, float]
    sums: list[Vector] = field(repr=False)


def measure_block(
    outcomes: Iterable[Picture | ImageError],
    measurements: Sequence[Measurement],
    tick: Callable[[int], object] = lambda count: None,
    begin: float | None = None,
) -> BlockResult:
    """Measure a block of inputs, in the order in which they come.

    Parameters
    ----------
    outcomes : iterable of Picture or ImageError
        What reading each input came to.
    measurements : sequence of Measurement
        Their totals are left alone.
    tick : callable
        Called with the number of inputs that were dealt with since the last call.
    begin : float, optional
        When the wait for the first input began, by `time.perf_counter`; by default now.
    """
    totals = [Total(measurement.length) for measurement in measurements]
    result = BlockResult(0, 0, b"", [], dict.fromkeys(("total", "waiting", "measuring", "reading"), 0.0), [])
    stream = iter(outcomes)
    start = before = perf_counter() if begin is None else begin
    while batch := list(islice(stream, BATCH)):
        now = perf_counter()
        result.seconds["waiting"] += now - before
        before = now
        pictures = [outcome for outcome in batch if isinstance(outcome, Picture)]
        usable = iter(_measure(pictures, measurements, totals) if pictures else ())
        for outcome in batch:
            if not isinstance(outcome, Picture):
                result.skipped.append((outcome.name, outcome.reason))
                continue
            result.seconds["reading"] += outcome.seconds
            if next(usable):
                result.used += 1
                result.digests += bytes.fromhex(outcome.sha256)
            else:
                result.skipped.append((outcome.name, "flat: all its pixels are equal"))
        result.inputs += len(batch)
        tick(len(batch))
        now = perf_counter()
        result.seconds["measuring"] += now - before
        before = now
    result.seconds["total"] = perf_counter() - start
    result.sums = [total.value for total in totals]
    return result


def _measure(
    pictures: list[Picture], measurements: Sequence[Measurement], totals: Sequence[Total]
) -> NDArray[np.bool_]:
    """Add what pictures come to; return which of them were used by any measurement that cares."""
    pixels, names = np.stack([picture.pixels for picture in pictures]), [picture.name for picture in pictures]
    votes = []
    for measurement, total in zip(measurements, totals, strict=True):
        sums, used = measurement.measure(pixels, names)
        total.add(sums)
        if used is not None:
            votes.append(used)
    return np.logical_or.reduce(votes) if votes else np.ones(len(pictures), bool)


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
    """What tells an input from any other, and from itself when it has changed."""
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
