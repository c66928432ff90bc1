"""CIFAR-10 as its authors distribute it: its two archives, read without running what a file asks for."""

from __future__ import annotations

import io
import pickle
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RECORDS = 10_000
"""Pictures of each of the six files."""

PIXELS = 3 * 32 * 32

Part = tuple[NDArray[np.uint8], NDArray[np.int64]]


@dataclass(frozen=True)
class Archive:
    """One of the two forms.

    Attributes
    ----------
    name : str
        Of the archive.
    md5 : str
        As published.
    folder : str
        Folder that it unpacks to.
    files : tuple of str
        Five of training pictures, one of test pictures.
    """

    name: str
    md5: str
    folder: str
    files: tuple[str, ...]

    @property
    def url(self) -> str:
        """Address of the archive."""
        return f"https://www.cs.toronto.edu/~kriz/{self.name}"


BINARY = Archive(
    "cifar-10-binary.tar.gz",
    "c32a1d4ab5d03f1284b67883e8d87530",
    "cifar-10-batches-bin",
    (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"),
)
"""Plain bytes, which need no pickle: the one that is downloaded."""

PYTHON = Archive(
    "cifar-10-python.tar.gz",
    "c58f30108f718f92721af3b95e74349a",
    "cifar-10-batches-py",
    (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"),
)
"""Pickles, which many have already; of these only numbers, text and arrays are read."""


def present(folder: Path) -> bool:
    """Tell whether a folder holds CIFAR-10 or part of it, or is the folder of an unpacked archive."""
    return any(
        (folder / archive.name).exists() or (folder / archive.folder).is_dir() or folder.name == archive.folder
        for archive in (BINARY, PYTHON)
    )


def read(folder: Path) -> tuple[Part, Part]:
    """Training and test set from an archive or from what it unpacks to.

    Parameters
    ----------
    folder : Path
        That holds the archive or the unpacked folder, or is that one.

    Returns
    -------
    train, test : tuple of ndarray
        Pictures (50000 and 10000, 32, 32, 3) uint8, and classes, int64.

    Raises
    ------
    FileNotFoundError
        If a file is missing; the message names it.
    ValueError
        If one is not as published.
    """
    for archive, parse in ((BINARY, _parse_binary), (PYTHON, _parse_python)):
        unpacked = folder if folder.name == archive.folder else folder / archive.folder
        if unpacked.is_dir():
            contents = {path.name: path.read_bytes() for path in unpacked.iterdir() if path.name in archive.files}
            place = unpacked
        elif (folder / archive.name).exists():
            place = folder / archive.name
            contents = _unpack(place, archive)
        else:
            continue
        if missing := [name for name in archive.files if name not in contents]:
            raise FileNotFoundError(
                f"{place} is incomplete: {', '.join(missing)} missing; expected {', '.join(archive.files)}"
            )
        parts = [parse(contents[name], f"{place}: {name}") for name in archive.files]
        pictures, classes = (np.concatenate(arrays) for arrays in zip(*parts[:-1], strict=True))
        return (pictures, classes), parts[-1]
    raise FileNotFoundError(f"no CIFAR-10 in {folder}; expected {BINARY.name}, {PYTHON.name} or what they unpack to")


def _unpack(path: Path, archive: Archive) -> dict[str, bytes]:
    """Files of an archive, in memory: nothing is written where names in it lead."""
    contents = {}
    try:
        with tarfile.open(path) as tar:
            for member in tar:
                name = member.name.rpartition("/")[2]
                if member.isfile() and name in archive.files and (file := tar.extractfile(member)) is not None:
                    contents[name] = file.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{path} is no whole archive: {error}; expected the published one of MD5 {archive.md5}") from (
            error
        )
    return contents


def _parse_binary(data: bytes, name: str) -> Part:
    """Records of a class and 32x32 values each of red, green and blue."""
    expected = RECORDS * (1 + PIXELS)
    if len(data) != expected:
        raise ValueError(f"{name} has {len(data)} bytes; expected {expected}")
    records = np.frombuffer(data, np.uint8).reshape(RECORDS, 1 + PIXELS)
    return _pictures(records[:, 1:]), records[:, 0].astype(np.int64)


class _Plain(pickle.Unpickler):
    """Reads numbers, text, lists, dicts and arrays of numpy, and refuses all else."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("numpy", "ndarray"):
            return np.ndarray
        if (module, name) == ("numpy", "dtype"):
            return np.dtype
        if module in ("numpy.core.multiarray", "numpy._core.multiarray") and name == "_reconstruct":
            return np.zeros(0).__reduce__()[0]
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _parse_python(data: bytes, name: str) -> Part:
    """Pickled dict of an array ``data`` and a list ``labels``."""
    try:
        found = _Plain(io.BytesIO(data), encoding="bytes").load()
        values, classes = np.asarray(found[b"data"]), np.asarray(found[b"labels"], np.int64)
    except Exception as error:  # what a damaged pickle raises is not for us to know
        raise ValueError(f"{name} is not a batch of CIFAR-10: {' '.join(str(error).split())}") from error
    if values.shape != (RECORDS, PIXELS) or values.dtype != np.uint8 or classes.shape != (RECORDS,):
        raise ValueError(
            f"{name} has {values.dtype} data of shape {values.shape}; expected uint8 ({RECORDS}, {PIXELS}) and classes"
        )
    return _pictures(values), classes


def _pictures(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.ascontiguousarray(values.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))
