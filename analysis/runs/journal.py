"""Journal of a run: what each block of inputs came to, appended as soon as it is known.

A journal is a file of records, each a header (magic, length, checksum of what follows) and a payload: a line of JSON,
then numbers. The first record holds the settings. A record that was cut off, by a crash or a full disk, ends the file
when it is opened again, so that at most the block in flight is lost; one that was damaged later is passed over. When
the file has grown large, the records at the front of the run are replaced by one with their sum; this is done in a new
file that takes the name of the old one.
"""

from __future__ import annotations

import contextlib
import json
import os
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from analysis.files.messages import printable
from analysis.files.atomic import remove_unfinished, write_atomically
from analysis.runs.blocks import BlockResult
from analysis.runs.tally import Tally
from analysis.runs.totals import Total

HEADER = struct.Struct("<8sQI")
MAGIC = b"shiftsc1"
LARGEST = 64 * 2**20  # bytes of a journal before its front is added up
KEY = 32  # bytes


class Journal:
    """Records of a run on disk, open for more.

    Parameters
    ----------
    path : path
        The file. It is created with its first record, and continued if it is there.
    settings : dict
        What the results depend on, in terms of JSON.
    anew : bool
        Take nothing from the file that is there; the first record replaces it.

    Attributes
    ----------
    inputs, used : int
        Of the blocks that are recorded.
    tally : Tally or None
        The front of the run, if it has been added up; `front` are the keys of its blocks.

    Raises
    ------
    ValueError
        If the file is there and belongs to other settings, is no journal, or is damaged at its beginning.
    BlockingIOError
        If another process has it open.
    OSError
        If it cannot be read or written.
    """

    def __init__(self, path: str | os.PathLike[str], settings: dict[str, Any], anew: bool = False) -> None:
        self.path = Path(path)
        self.settings = json.loads(json.dumps(settings))
        self.tally: Tally | None = None
        self.front: list[bytes] = []
        self._places: dict[bytes, tuple[int, int]] = {}  # where the payload of each block's record is
        self.inputs = self.used = self._end = 0
        self._file: BinaryIO | None = None  # until there is a record
        self._folder = _locked(self.path.parent, self.path)
        try:
            remove_unfinished(self.path.parent)
            if not anew and self.path.exists():
                self._read()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, and let others open it."""
        if self._file is not None:
            self._file.close()
        os.close(self._folder)

    def __contains__(self, key: bytes) -> bool:
        return key in self._places

    def __getitem__(self, key: bytes) -> BlockResult:
        """Read the record of a block."""
        return _result(*_parts(self._bytes(*self._places[key])))

    def append(self, key: bytes, result: BlockResult) -> None:
        """Record a block; when this returns it is on disk.

        Raises
        ------
        OSError
            If it cannot be written; the records before it are not affected.
        """
        head = {
            "key": key.hex(),
            "inputs": result.inputs,
            "used": result.used,
            "skipped": result.skipped,
            "seconds": result.seconds,
            "lengths": [len(sums) for sums in result.sums],
        }
        place = self._append(head, [result.digests, *(sums.tobytes() for sums in result.sums)])
        self._count(key, result.inputs, result.used)
        self._places[key] = place

    def front_of(self, keys: list[bytes]) -> Tally | None:
        """Return the sum of the first blocks, if they are still those of a run with these keys; else forget it."""
        if self.front != keys[: len(self.front)]:
            self.tally, self.front = None, []
        return self.tally

    def fold(self, tally: Tally, keys: list[bytes]) -> None:
        """Replace the records of the first blocks of the run by their sum, if that makes a large file small."""
        if self._end <= LARGEST:
            return
        front = keys[: tally.blocks]
        folded = set(front)
        rest = [place for key, place in self._places.items() if key not in folded]
        if sum(length for _, length in rest) > LARGEST // 2:
            return

        def write(temporary: Path) -> None:
            with open(temporary, "wb") as file:
                file.write(_record({"settings": self.settings}))
                file.write(_record(*_of_tally(tally, front)))
                for offset, length in rest:
                    file.write(self._bytes(offset - HEADER.size, HEADER.size + length))

        write_atomically(self.path, write)
        self._read()

    def _count(self, key: bytes, inputs: int, used: int) -> None:
        if key not in self._places:
            self.inputs += inputs
            self.used += used

    def _bytes(self, offset: int, length: int) -> bytes:
        assert self._file is not None
        self._file.seek(offset)
        return self._file.read(length)

    def _append(self, head: dict[str, Any], numbers: list[bytes]) -> tuple[int, int]:
        """Write one record at the end, and through to the disk; return where its payload is."""
        record = _record(head, numbers)
        try:
            if self._file is None:
                beginning = _record({"settings": self.settings})
                self._file = open(self.path, "w+b")
                self._file.write(beginning)
                self._end = len(beginning)
            self._file.seek(self._end)
            self._file.write(record)
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            if self._file is not None:
                with contextlib.suppress(OSError):  # what is in its buffer cannot be written either
                    self._file.close()
                with contextlib.suppress(OSError):  # else the next one to open the file cuts it
                    os.truncate(self.path, self._end)
            raise type(error)(f"cannot write {self.path}: {error.strerror or error}") from error
        place = self._end + HEADER.size, len(record) - HEADER.size
        self._end += len(record)
        return place

    def _read(self) -> None:
        """Take in the records that are there; cut off what follows the last whole one."""
        if self._file is not None:
            self._file.close()
        self._file = open(self.path, "r+b")
        self._places.clear()
        self.inputs = self.used = self._end = 0
        if not MAGIC.startswith(self._file.read(len(MAGIC))):
            raise ValueError(f"{self.path} is not a journal of this project")
        settings = None
        for offset, payload in _payloads(self._file):
            head, numbers = _parts(payload)
            if settings is None:
                if "settings" not in head:
                    raise ValueError(f"{self.path} is damaged: it does not say what its settings were")
                settings = head["settings"]
            elif "keys" in head:
                self.tally, self.front = _tally(head, numbers)
                self.inputs += self.tally.inputs
                self.used += self.tally.used
            else:
                key = bytes.fromhex(head["key"])
                self._count(key, head["inputs"], head["used"])
                self._places[key] = offset, len(payload)
            self._end = offset + len(payload)
        if not self._places and not self.front:  # nothing to keep, so nothing to refuse
            self._file.close()
            self._file, self._end = None, 0
            return
        if settings != self.settings:
            raise ValueError(f"{self.path} belongs to other settings: {differences(settings, self.settings)}")
        self._file.truncate(self._end)


def differences(there: dict[str, Any], wanted: dict[str, Any]) -> str:
    """Say in one line which settings differ: what is there, and what is wanted."""
    names = dict.fromkeys((*there, *wanted))
    parts = (
        f"{name} is {json.dumps(there.get(name))} there and {json.dumps(wanted.get(name))} here"
        for name in names
        if there.get(name) != wanted.get(name)
    )
    return "; ".join(parts)


def _locked(folder: Path, path: Path) -> int:
    """Open a folder and lock it: two runs that append to one journal would spoil it."""
    try:
        import fcntl
    except ImportError:  # Windows: no lock
        return os.open(os.devnull, os.O_RDONLY)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise BlockingIOError(f"another run is writing to {path}") from None
    except OSError:  # a file system without locks
        pass
    return descriptor


def _record(head: dict[str, Any], numbers: list[bytes] | None = None) -> bytes:
    payload = json.dumps(head).encode() + b"\n" + b"".join(numbers or [])
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


def _result(head: dict[str, Any], numbers: bytes) -> BlockResult:
    at = KEY * head["used"]
    skipped = [(name, reason) for name, reason in head["skipped"]]
    sums = _split(numbers[at:], head["lengths"])
    return BlockResult(head["inputs"], head["used"], numbers[:at], skipped, head["seconds"], sums)


def _of_tally(tally: Tally, keys: list[bytes]) -> tuple[dict[str, Any], list[bytes]]:
    head = {
        "keys": len(keys),
        "inputs": tally.inputs,
        "used": tally.used,
        "digest": tally.digest.hex(),
        "skipped": tally.skipped,
        "seconds": tally.seconds,
        "lengths": [total.length for total in tally.totals],
    }
    vectors = [vector.tobytes() for total in tally.totals for vector in (total.rounded, total.error)]
    return head, [*keys, *vectors]


def _tally(head: dict[str, Any], numbers: bytes) -> tuple[Tally, list[bytes]]:
    at = KEY * head["keys"]
    keys = [numbers[begin : begin + KEY] for begin in range(0, at, KEY)]
    totals = [Total(length) for length in head["lengths"]]
    vectors = iter(_split(numbers[at:], [length for length in head["lengths"] for _ in range(2)]))
    for total in totals:
        total.rounded, total.error = next(vectors), next(vectors)
    skipped = [(name, reason) for name, reason in head["skipped"]]
    digest = bytes.fromhex(head["digest"])
    return Tally(totals, len(keys), head["inputs"], head["used"], digest, skipped, head["seconds"]), keys


def _split(numbers: bytes, lengths: list[int]) -> list[np.ndarray]:
    vector = np.frombuffer(numbers, np.float64)
    return np.split(vector, np.cumsum(lengths)[:-1]) if lengths else []


@contextlib.contextmanager
def resumable(
    folder: Path, name: str, settings: dict[str, Any], results: list[str], resume: bool, overwrite: bool
) -> Iterator[Journal]:
    """Context with the journal of a run whose results go to a folder; an error says how to continue.

    Parameters
    ----------
    folder : Path
    name : str
        Of the file, without ``.journal``.
    settings : dict
        What the results depend on.
    results : list of str
        Files that the run will write: without a journal, they belong to another run.
    resume : bool
        Insist on a journal.
    overwrite : bool
        Begin anew, whatever is there.

    Raises
    ------
    ValueError
        If the settings differ, or both or neither of the last two would do.
    OSError
        If the journal cannot be written, or another run is using it.
    """
    path = folder / f"{name}.journal"
    if resume and overwrite:
        raise ValueError("resume and overwrite contradict each other; expected one of them")
    if resume and not path.exists():
        raise ValueError(f"there is nothing to resume in {folder}: it has no {path.name}")
    there = [result for result in results if (folder / result).is_file()]
    if there and not path.exists() and not overwrite:
        raise ValueError(f"{folder} holds {there[0]} of another run; use --overwrite to replace it, or another folder")
    try:
        journal = Journal(path, settings, overwrite)
    except ValueError as error:
        raise ValueError(f"{error}; use --overwrite to begin anew, or another folder") from error
    with journal:
        try:
            yield journal
        except KeyboardInterrupt:
            if journal.used:
                print(f"\nshiftscope: {_kept(journal)}", file=sys.stderr)
            raise
        except OSError as error:
            raise OSError(f"{error}; {_kept(journal)}" if journal.used else str(error)) from error


def _kept(journal: Journal) -> str:
    return f"{journal.inputs} images are kept in {printable(journal.path)}: run the same command again to continue"
