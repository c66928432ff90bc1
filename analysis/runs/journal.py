"""Journal of a run: the sums of each block of inputs, appended as soon as they are known.

A journal is a file of records, each a header (magic, length, checksum of what follows) and a payload: a line of JSON,
then numbers. The first record holds the settings. A record that was cut off, by a crash or a full disk, ends the file
when it is opened again, so that at most the block in flight is lost; one that was damaged later is passed over. When
the file has grown large, the records at the front of the run are replaced by one with their sum, and so are those of a
finished run, but for small ones; this is done in a new file that takes the name of the old one.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from analysis.files.atomic import write_atomically
from analysis.runs.blocks import DIGEST, Block
from analysis.runs.folder import RunFolder

HEADER = struct.Struct("<8sQI")
MAGIC = b"shiftsc2"
LARGEST = 64 * 2**20  # bytes of a journal before its front is added up
SMALL = 2**20  # bytes of the journal of a finished run that may stay: cheaper to keep than to measure again


class Journal:
    """Records of a run on disk.

    Parameters
    ----------
    run : RunFolder
        The file is the one that it keeps. It is created with its first record, and continued if it is there, unless the
        run is to begin anew: then the first record replaces it.

    Attributes
    ----------
    inputs : int
        Of the blocks that are recorded.
    front : list of bytes
        Keys of the first blocks of the run, whose records have been replaced by their sum.

    Raises
    ------
    ValueError
        If the file is there and belongs to other settings, is no journal, or is damaged at its beginning.
    OSError
        If it cannot be read or written.
    """

    def __init__(self, run: RunFolder) -> None:
        self.run, self.path = run, run.kept
        self.inputs = self._used = self._end = 0
        self.front: list[bytes] = []
        self._sum: Block | None = None  # of the front
        self._places: dict[bytes, tuple[int, int]] = {}  # where the payload of each block's record is
        if not run.begins:
            self._read()

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def __getitem__(self, key: bytes) -> Block:
        """Read the record of a block."""
        return _unpacked(*_parts(self._payload(key)))[1]

    def append(self, key: bytes, block: Block) -> None:
        """Record a block; when this returns it is on disk.

        Raises
        ------
        OSError
            If it cannot be written; the records before it are not affected.
        """
        record = _record(*_packed([key], block))
        beginning = b"" if self._end else _record({"settings": self.run.settings})
        try:
            with open(self.path, "r+b" if self._end else "w+b") as file:
                file.seek(self._end)
                file.write(beginning + record)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):  # else the next one to open the file cuts it
                os.truncate(self.path, self._end)
            raise type(error)(f"cannot write {self.path}: {error.strerror or error}") from error
        self._end += len(beginning)
        self._take(key, block.inputs, block.used, (self._end + HEADER.size, len(record) - HEADER.size))
        self._end += len(record)

    def front_of(self, keys: Sequence[bytes]) -> Block | None:
        """Return the sum of the first blocks, if they are those of a run whose blocks have these keys."""
        return self._sum if self.front and self.front == list(keys[: len(self.front)]) else None

    def fold(self, front: Block, keys: Sequence[bytes]) -> None:
        """Replace the records of the first blocks of the run by their sum, if that makes a large file small."""
        if self._end <= LARGEST:
            return
        folded = set(keys[: front.blocks])
        rest = [key for key in self._places if key not in folded]
        if sum(self._places[key][1] for key in rest) <= LARGEST // 2:
            self._rewrite(front, keys[: front.blocks], rest)

    def finish(self, front: Block, keys: Sequence[bytes]) -> None:
        """Keep no more of a finished run than one with more images needs, the sum of its complete blocks; or little.

        Parameters
        ----------
        front : Block
            That sum.
        keys : sequence of bytes
            Of all blocks.
        """
        if self._end <= SMALL:
            return
        keys = list(keys[: front.blocks])
        with contextlib.suppress(OSError):  # a full disk must not cost the results: the records as they are will do
            if self._sum is not None and self.front[: len(keys)] == keys:  # that of a run with more images is there
                self._rewrite(self._sum, self.front, [])
            else:
                self._rewrite(front, keys, [])

    def _rewrite(self, front: Block, keys: Sequence[bytes], rest: Sequence[bytes]) -> None:
        if not keys:  # the record stays, or the settings would bind nobody; its zeros need no place
            front = Block([])

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:
                file.write(_record({"settings": self.run.settings}))
                file.write(_record(*_packed(keys, front, front=True)))
                for key in rest:
                    file.write(_framed(self._payload(key)))

        write_atomically(self.path, write)
        self._read()

    def _payload(self, key: bytes) -> bytes:
        offset, length = self._places[key]
        with open(self.path, "rb") as file:
            file.seek(offset)
            return file.read(length)

    def _take(self, key: bytes, inputs: int, used: int, place: tuple[int, int]) -> None:
        """Count a block that is recorded, and remember where."""
        if key not in self._places:
            self._count(inputs, used)
        self._places[key] = place

    def _count(self, inputs: int, used: int) -> None:
        self.inputs += inputs
        self._used += used
        self.run.done = f"{self.inputs} images" if self._used else ""

    def _read(self) -> None:
        """Take in the records that are there; cut off what follows the last whole one."""
        self._places.clear()
        self.front, self._sum = [], None
        self.inputs = self._used = self._end = 0
        settings = None
        with open(self.path, "r+b") as file:
            if not MAGIC.startswith(file.read(len(MAGIC))):
                raise self.run.refusal("is not a journal of this project")
            for offset, payload in _payloads(file):
                head, numbers = _parts(payload)
                self._end = offset + len(payload)
                if settings is None:
                    if "settings" not in head:
                        raise self.run.refusal("is damaged: it does not say what its settings were")
                    settings = head["settings"]
                elif head["front"]:
                    self.front, self._sum = _unpacked(head, numbers)
                    self._count(self._sum.inputs, self._sum.used)
                else:
                    self._take(numbers[:DIGEST], head["inputs"], head["used"], (offset, len(payload)))
            if not self._places and self._sum is None:  # nothing to keep, so nothing to refuse
                self._end = 0
                return
            assert settings is not None
            self.run.check(settings)
            file.truncate(self._end)


def _record(head: dict[str, Any], numbers: bytes = b"") -> bytes:
    return _framed(json.dumps(head).encode() + b"\n" + numbers)


def _framed(payload: bytes) -> bytes:
    return HEADER.pack(MAGIC, len(payload), zlib.crc32(payload)) + payload


def _payloads(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """Offset and payload of each record, up to the first that is not whole; without those that are damaged."""
    offset = 0
    size = os.fstat(file.fileno()).st_size
    while offset + HEADER.size <= size:
        file.seek(offset)
        magic, length, checksum = HEADER.unpack(file.read(HEADER.size))
        offset += HEADER.size
        if magic != MAGIC or length > size - offset:
            return
        payload = file.read(length)
        if zlib.crc32(payload) == checksum:
            yield offset, payload
        offset += length


def _parts(payload: bytes) -> tuple[dict[str, Any], bytes]:
    head, _, numbers = payload.partition(b"\n")
    return json.loads(head), numbers


def _packed(keys: Sequence[bytes], block: Block, front: bool = False) -> tuple[dict[str, Any], bytes]:
    """Head and numbers of the record of a block, or of the front of the run."""
    head = {
        "front": front,
        "blocks": block.blocks,
        "inputs": block.inputs,
        "used": block.used,
        "skipped": block.skipped,
        "seconds": block.seconds,
        "bytes": [DIGEST * len(keys), len(block.digest), *(sums.nbytes for sums in block.sums)],
    }
    return head, b"".join([*keys, block.digest, *(sums.tobytes() for sums in block.sums)])


def _unpacked(head: dict[str, Any], numbers: bytes) -> tuple[list[bytes], Block]:
    """Keys and sums of a record."""
    ends = np.cumsum(head["bytes"]).tolist()
    keys, digest, *sums = (numbers[begin:end] for begin, end in zip([0, *ends], ends, strict=False))
    block = Block(
        [np.frombuffer(vector, np.float64) for vector in sums],
        head["blocks"],
        head["inputs"],
        head["used"],
        digest,
        [(name, reason) for name, reason in head["skipped"]],
        head["seconds"],
    )
    return [keys[begin : begin + DIGEST] for begin in range(0, len(keys), DIGEST)], block


@contextlib.contextmanager
def resumable(
    folder: Path, name: str, settings: dict[str, Any], results: Sequence[str], resume: bool, overwrite: bool
) -> Iterator[Journal]:
    """Context with the journal ``NAME.journal`` of a run; see :class:`analysis.runs.folder.RunFolder`."""
    with RunFolder(folder, f"{name}.journal", settings, results, resume, overwrite) as run:
        yield Journal(run)
