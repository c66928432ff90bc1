"""The one reader of weights: a file of any kind as arrays by their names, and nothing in it is run."""

from __future__ import annotations

import os
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from analysis.files.messages import one_line, printable
from analysis.files.regular import open_regular

TORCH_SUFFIXES = (".pth.tar", ".pth", ".pt", ".ckpt", ".tar", ".th", ".bin")
SUFFIXES = (*TORCH_SUFFIXES, ".safetensors", ".npz", ".npy")

WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "net", "state_dict_ema", "model_ema")
"""Entries of a checkpoint that hold the weights, the first that there is."""

PREFIXES = ("module.", "_orig_mod.", "model.", "net.")
"""Of names: from DataParallel, torch.compile, Lightning and others; they go if all names have one."""

COUNTER = "n_averaged"  # beside the weights of torch's AveragedModel

MOST_ENTRIES = 1_000_000  # of the nested mappings in a checkpoint
DEEPEST = 100
ENOUGH_BYTES = 2**30  # may be declared by any file,
MOST_TIMES = 32  # and by a large one so many times its own size: weights are hardly compressed

# Types of .safetensors; the bits of bfloat16 are the upper half of a float32.
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "BOOL": "?"}
_DTYPES |= {f"{kind.upper()}{8 * size}": f"<{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)}

# What may lie beside weights, by how the names of its classes begin.
_BESIDE = {"argparse.Namespace": "arguments of a training", "numpy": "arrays or numbers of numpy"}


def read_weights(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Weights in a file.

    Parameters
    ----------
    path : path
        Checkpoint of torch (.pth, .pt, .ckpt, .tar, .th, .bin), .safetensors, .npz or .npy.

    Returns
    -------
    dict of str
        Arrays, or tensors of torch from its files, by their names as :func:`weights_of` makes them. In the order of
        the file; .safetensors keeps none, and there the names are in natural order, arrays of 3 input channels first.

    Raises
    ------
    ModuleNotFoundError
        If the package that reads such files is not installed.
    OSError
        If the file cannot be opened.
    ValueError
        If it cannot be read, would run code, is larger than it should be, or holds another kind of weights.
    """
    return weights_of(read_checkpoint(path), printable(path))


def read_checkpoint(path: str | os.PathLike[str]) -> Any:
    """All that a file of weights holds: as `read_weights`, with wrappers, prefixes, and what lies beside the weights.

    Parameters
    ----------
    path : path

    Returns
    -------
    object
        Of files of torch whatever they hold, such as nested dicts of tensors and numbers; of others a dict of arrays,
        or of .npy one array.

    Raises
    ------
    ModuleNotFoundError, OSError, ValueError
        As `read_weights`.
    """
    shown = printable(path)
    try:
        file = open_regular(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"no such file: {shown}") from None
    except OSError as error:
        raise type(error)(f"cannot read {shown}: {error.strerror or error}") from None
    except ValueError as error:
        raise ValueError(f"{shown}: {error}") from None
    with file:
        suffix = suffix_of(path)
        need_reader(path)
        if suffix in TORCH_SUFFIXES:
            return _read_torch(file, shown)
        if suffix == ".safetensors":
            with _reading(shown, "a safetensors file"):
                return _read_safetensors(file)
        with _reading(shown, "a file of numpy arrays"):
            return _read_numpy(file)


def read_header(path: str | os.PathLike[str]) -> dict[str, str]:
    """Texts that a file .safetensors has in its header beside the weights.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict of str to str
        Empty if there are none.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is no safetensors file.
    """
    shown = printable(path)
    if suffix_of(path) != ".safetensors":
        raise ValueError(f"{shown}: expected a file .safetensors, whose header has texts")
    try:
        open_regular(path).close()
    except FileNotFoundError:
        raise FileNotFoundError(f"no such file: {shown}") from None
    with _reading(shown, "a safetensors file"):
        from safetensors import safe_open

        with safe_open(path, "numpy") as file:
            return dict(file.metadata() or {})


def weights_of(tree: Any, shown: str) -> dict[str, Any]:
    """Arrays and tensors of a checkpoint in one flat dict.

    Parameters
    ----------
    tree : object
        Nested mappings, or one array. An entry of WRAPPERS stands for all, as often as there is one; otherwise names
        of nested mappings are joined by dots. PREFIXES that all names have are taken off, as often as they occur. What
        is no array is left out, and so is what is under keys that are no texts, as an optimiser's state is.
    shown : str
        How messages call it.

    Returns
    -------
    dict of str
        An array without a name has the name "".

    Raises
    ------
    ValueError
        If an array is quantised or sparse, or larger than its file could be, or a name is not fit to be written.
    """
    with _reading(shown, "a checkpoint"):
        for _ in range(DEEPEST):
            entries = tree if isinstance(tree, Mapping) else {}
            wrapper = next((key for key in WRAPPERS if isinstance(entries.get(key), Mapping)), None)
            if wrapper is None:
                break
            tree = entries[wrapper]
        found = dict(_flatten(tree))
        for name, value in found.items():
            _check(name, value)
    found = {name: value for name, value in found.items() if name.rpartition(".")[2] != COUNTER}
    start = len(common_prefix(found))
    return {name[start:]: value for name, value in found.items()}


def common_prefix(names: Iterable[str]) -> str:
    """PREFIXES that all names begin with, as often as they do."""
    names, prefix = list(names), ""
    while names and (step := next((p for p in PREFIXES if all(n.startswith(prefix + p) for n in names)), "")):
        prefix += step
    return prefix


def bare(name: str) -> str:
    """Name of a weight without wrappers and prefixes at its beginning."""
    while (parts := name.partition("."))[2] and (parts[0] in WRAPPERS or parts[0] + "." in PREFIXES):
        name = parts[2]
    return name


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Suffix of a path, of those that are read.

    Raises
    ------
    ValueError
        If it ends with none of them.
    """
    name = os.fsdecode(path).lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    if name.endswith(".index.json"):
        raise ValueError(f"{printable(path)}: a list of files that hold the weights in parts; give the part you need")
    raise ValueError(f"{printable(path)}: not a kind of file that is read; expected {', '.join(SUFFIXES)}")


def need_reader(path: str | os.PathLike[str]) -> ModuleType:
    """Import the package that reads a file, told by the suffix.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed, with the command that installs it.
    """
    suffix = suffix_of(path)
    package = "torch" if suffix in TORCH_SUFFIXES else "safetensors" if suffix == ".safetensors" else "numpy"
    try:
        return __import__(package)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"reading {suffix} files needs {package}: pip install {package}") from None


@contextmanager
def _reading(shown: str, kind: str) -> Iterator[None]:
    """Turn whatever a decoder raises at bad bytes into one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except Exception as error:
        # The first sentence: torch goes on with advice to load the file in an unsafe way.
        reason = re.split(r"(?<!\d)\.\s", one_line(str(error)))[0]
        if isinstance(error, (KeyError, IndexError, struct.error)):  # of a parser, about bytes that it does not know
            reason = "damaged, or another kind of file"
        reason = reason or type(error).__name__
        raise ValueError(f"{shown}: not {kind} that can be read ({reason})") from error


# ---- from a tree to arrays ------------------------------------------------------------------------------------------


def _flatten(tree: object) -> Iterator[tuple[str, Any]]:
    """Arrays of nested mappings, by their full names, in order."""
    # A pickle of some lines can be a mapping in itself, or one with more paths than anybody can follow.
    waiting = [("", 0, tree)]
    for _ in range(MOST_ENTRIES):
        if not waiting:
            return
        name, depth, node = waiting.pop()
        if isinstance(node, np.ndarray) or _is_tensor(node):
            yield name, node
        elif isinstance(node, Mapping):
            if depth == DEEPEST:
                raise ValueError(f"its mappings are nested more than {DEEPEST} deep")
            inside = [(f"{name}.{k}" if name else k, depth + 1, v) for k, v in node.items() if isinstance(k, str)]
            waiting += reversed(inside)
    raise ValueError(f"it has more than {MOST_ENTRIES} entries")


def _is_tensor(node: object) -> bool:
    return any(kind.__module__ == "torch" and kind.__name__ == "Tensor" for kind in type(node).__mro__)


def _check(name: str, value: Any) -> None:
    """Raise for an array that is of no use, or fills the memory."""
    if "\0" in name or any("\ud800" <= c <= "\udfff" for c in name):
        raise ValueError(f"a weight is named '{printable(name)}', which no file of results could hold")
    if not _is_tensor(value):
        return
    kinds = {"quantised": value.is_quantized, "nested": value.is_nested}
    kinds |= {"sparse": str(value.layout) != "torch.strided", "meta": value.is_meta}
    for kind, found in kinds.items():
        if found:
            raise ValueError(f"{name!r} is a {kind} tensor; save the weights of the network as it was before")
    _check_size(value.numel() * value.element_size(), value.untyped_storage().nbytes(), repr(name))


def _check_size(declared: int, held: int, what: str) -> None:
    """Raise before memory is filled by a small file."""
    if declared > max(ENOUGH_BYTES, MOST_TIMES * held):
        raise ValueError(f"{what} would become {declared} bytes, of {held} that are stored; weights do not do that")


# ---- kinds of files -------------------------------------------------------------------------------------------------


def _read_torch(file: BinaryIO, shown: str) -> Any:
    import torch

    with _reading(shown, "a checkpoint"):
        refused = _program(file) if zipfile.is_zipfile(file) else None
        if refused is None:
            file.seek(0)
            try:
                return torch.load(file, map_location="cpu", weights_only=True)
            except pickle.UnpicklingError as error:
                refused = _refusal(file, str(error))
                if refused is None:
                    raise
    raise ValueError(f"{shown}: refused, it {refused}; save model.state_dict() with torch.save and give that file")


def _program(file: BinaryIO) -> str | None:
    """The reason why an archive is refused that holds a program; its sizes are checked."""
    with zipfile.ZipFile(file) as archive:
        _check_archive(archive, file)
        names = [name.partition("/")[2] for name in archive.namelist()]
    if "constants.pkl" in names or any(name.startswith(("code/", "models/")) for name in names):
        return "is a program of TorchScript or torch.export, which would be run"
    return None


def _refusal(file: BinaryIO, message: str) -> str | None:
    """The reason why a pickle was refused; None where the bytes are no pickle."""
    if named := re.search(r"GLOBAL (\S+)", message):
        name = printable(named[1])
        beside = next((what for start, what in _BESIDE.items() if name.startswith(start)), None)
        if beside:
            return f"holds {beside} ({name}) beside its weights"
        return f"is a pickle that asks for code to be run or holds objects other than weights ({name})"
    file.seek(0)
    head = file.read(2)
    if head == b"PK" or (head[:1] == b"\x80" and head[1:] <= b"\x05"):
        return "is a pickle that asks for code to be run or holds objects other than weights"
    return None


def _check_archive(archive: zipfile.ZipFile, file: BinaryIO) -> None:
    _check_size(sum(entry.file_size for entry in archive.infolist()), file.seek(0, os.SEEK_END), "it")


def _read_safetensors(file: BinaryIO) -> dict[str, NDArray[Any]]:
    import safetensors

    deserialize: Callable[[bytes], list[tuple[str, dict[str, Any]]]] = safetensors.deserialize
    stored = dict(deserialize(file.read()))  # it checks the header against the bytes

    def order(name: str) -> tuple[bool, list[Any]]:
        parts = re.split(r"([0-9]+)", name)  # texts and numbers take turns, so that conv2 comes before conv10
        return stored[name]["shape"][1:2] != [3], [_number(p) if i % 2 else p for i, p in enumerate(parts)]

    return {name: _array(name, **stored[name]) for name in sorted(stored, key=order)}


def _number(digits: str) -> tuple[int, str]:
    """Key that sorts as the number does; Python turns no more than 4300 digits into one."""
    digits = digits.lstrip("0")
    return len(digits), digits


def _array(name: str, dtype: str, shape: list[int], data: bytearray) -> NDArray[Any]:
    if dtype not in _DTYPES:
        raise ValueError(f"{name!r} is stored as {dtype}; expected one of {', '.join(_DTYPES)}")
    values = np.frombuffer(data, _DTYPES[dtype])
    if dtype == "BF16":
        values = (values.astype(np.uint32) << 16).view(np.float32)
    return values.reshape(shape)


def _read_numpy(file: BinaryIO) -> dict[str, NDArray[Any]] | NDArray[Any]:
    head = file.read(6)
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if head == b"\x93NUMPY":
        return _read_array(file, size)
    if not head.startswith(b"PK"):  # numpy would take it for a pickle
        raise ValueError("wrong first bytes")
    arrays = {}
    with zipfile.ZipFile(file) as archive:
        _check_archive(archive, file)
        if any(name.endswith("/data.pkl") for name in archive.namelist()):
            raise ValueError("it is a checkpoint of torch; name it .pth")
        for entry in archive.infolist():
            if entry.filename.endswith(".npy"):
                with archive.open(entry) as member:
                    arrays[entry.filename.removesuffix(".npy")] = _read_array(member, entry.file_size)
    return arrays


def _read_array(file: Any, size: int) -> NDArray[Any]:
    """Array of numpy's format, of which there are so many bytes."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects, which are pickles")
    count = int(np.prod(shape, dtype=object))
    if count * dtype.itemsize > size:
        raise ValueError(f"it is cut off: an array of shape {shape} has more bytes than the file")
    content = bytearray(file.read(count * dtype.itemsize))  # so that the array can be written to
    return np.frombuffer(content, dtype, count).reshape(shape, order="F" if fortran else "C")
