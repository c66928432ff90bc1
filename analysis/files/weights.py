"""First convolution of a file of weights, read without running anything that the file asks for."""

from __future__ import annotations

import json
import os
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.files.messages import one_line, printable

TORCH_SUFFIXES = (".pt", ".pth", ".pth.tar", ".ckpt", ".bin")
SUFFIXES = (*TORCH_SUFFIXES, ".safetensors", ".npz", ".npy")

# What a file holds: the shape of every array, in the order of the search, and how to get one of them.
Contents = tuple[dict[str, tuple[int, ...]], Callable[[str], Any]]

MOST_ENTRIES = 1_000_000  # of the nested mappings in a checkpoint
DEEPEST = 100

_NUMBERS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2"}


def read_weight(path: str | os.PathLike[str], weight: str | None = None) -> tuple[str, Any, Any]:
    """Weight of the first convolution in a file, and its bias.

    In files that keep the order of a network (torch, .npz) it is the first array of four axes. A .safetensors file
    does not: there the names are taken in natural order, and arrays of 3 input channels come first.

    Parameters
    ----------
    path : path
        Checkpoint of torch (.pt, .pth, .pth.tar, .ckpt, .bin), .safetensors, .npz or .npy.
    weight : str, optional
        Name of the weight, with or without the names of the mappings that it is nested in.

    Returns
    -------
    name : str
        Full name of the weight, joined with dots; empty for a file of one array.
    weight : array or tensor, shape (L, C, h, w)
        As stored; an array (L, h, w) without a name has gained C = 1, and bfloat16 of .safetensors became float32.
    bias : array or tensor, shape (L,), or None
        The weight's sibling, such as ``conv1.bias`` for ``conv1.weight``.

    Raises
    ------
    ModuleNotFoundError
        If the package that reads such files is not installed.
    ValueError
        If the file cannot be read, would run code, or has no such weight.
    """
    shown = printable(path)
    suffix = suffix_of(path)
    need_reader(suffix)
    if suffix in TORCH_SUFFIXES:
        shapes, read = _torch(Path(path), shown)
    elif suffix == ".safetensors":
        shapes, read = _safetensors(Path(path), shown)
    else:
        shapes, read = _numpy(Path(path), shown)
    name = _choose(shapes, weight, shown)
    bias = name.removesuffix("weight") + "bias"
    has_bias = name.endswith("weight") and shapes.get(bias) == shapes[name][:1]
    return name, read(name), read(bias) if has_bias else None


def suffix_of(path: str | os.PathLike[str]) -> str:
    """Which of the suffixes that are read a path ends with.

    Raises
    ------
    ValueError
        If with none of them.
    """
    name = os.fsdecode(path).lower()
    for suffix in SUFFIXES:
        if name.endswith(suffix):
            return suffix
    raise ValueError(f"{printable(path)}: not a kind of file that is read; expected {', '.join(SUFFIXES)}")


def need_reader(suffix: str) -> ModuleType:
    """Package that reads the files of one suffix.

    Raises
    ------
    ModuleNotFoundError
        If it is not installed, with the command that installs it.
    """
    package = "torch" if suffix in TORCH_SUFFIXES else "safetensors" if suffix == ".safetensors" else "numpy"
    try:
        return __import__(package)
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"reading {suffix} files needs {package}: pip install {package}") from None


def one_channel(array: Any) -> Any:
    """Kernels (L, h, w) as (L, 1, h, w); all else as it is."""
    return array[:, None] if array.ndim == 3 else array


def _choose(shapes: dict[str, tuple[int, ...]], weight: str | None, shown: str) -> str:
    kernels = {name: shape for name, shape in shapes.items() if len(shape) == 4}
    if not kernels:
        raise ValueError(f"{shown}: no 4-D array, as the weights of a convolution are; found {_listed(shapes)}")
    if weight is None:
        return next(iter(kernels))
    matches = [name for name in kernels if name == weight] or [n for n in kernels if n.endswith("." + weight)]
    if len(matches) != 1:
        raise ValueError(f"{shown}: {len(matches) or 'no'} 4-D weights are named {weight!r}; found {_listed(kernels)}")
    return matches[0]


def _listed(shapes: dict[str, tuple[int, ...]], most: int = 8) -> str:
    """Names and shapes for messages."""
    parts = [f"{name!r} {shape}" if name else f"one array {shape}" for name, shape in shapes.items()]
    rest = [f"and {len(parts) - most} more"] if len(parts) > most else []
    return ", ".join(parts[:most] + rest) or "no array at all"


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


def _torch(path: Path, shown: str) -> Contents:
    torch = need_reader(".pth")
    with _reading(shown, "a checkpoint"):
        try:
            tree = torch.load(path, map_location="cpu", weights_only=True)
        except pickle.UnpicklingError as error:
            refused = _refusal(path, str(error))
            if refused is None:
                raise
        else:
            refused = None
            if isinstance(tree, torch.Tensor):
                tree = {"": one_channel(tree)}
            tensors = dict(_flatten(tree, torch.Tensor))
    if refused is not None:
        raise ValueError(
            f"{shown}: refused, it is a pickle that asks for code to be run or holds objects other than "
            f"weights{refused}; save model.state_dict() with torch.save and give that file"
        )
    return {name: tuple(tensor.shape) for name, tensor in tensors.items()}, tensors.__getitem__


def _refusal(path: Path, message: str) -> str | None:
    """The object that a pickle was refused for, in brackets; None where the bytes are no pickle."""
    if named := re.search(r"GLOBAL (\S+)", message):
        return f" ({printable(named[1])})"
    with open(path, "rb") as file:
        head = file.read(2)
    return "" if head == b"PK" or (head[:1] == b"\x80" and head[1:] <= b"\x05") else None


def _flatten(tree: object, tensor: type) -> Iterator[tuple[str, Any]]:
    """Tensors of nested mappings, by their full names, in order."""
    # A pickle of some lines can be a mapping in itself, or one with more paths than anybody can follow.
    waiting = [("", 0, tree)]
    for _ in range(MOST_ENTRIES):
        if not waiting:
            return
        name, depth, node = waiting.pop()
        if isinstance(node, tensor):
            yield name, node
        elif isinstance(node, Mapping):
            if depth == DEEPEST:
                raise ValueError(f"its mappings are nested more than {DEEPEST} deep")
            # An optimiser's state has the shapes of the weights; its keys are numbers.
            inside = [(f"{name}.{k}" if name else k, depth + 1, v) for k, v in node.items() if isinstance(k, str)]
            waiting += reversed(inside)
    raise ValueError(f"it has more than {MOST_ENTRIES} entries")


def _safetensors(path: Path, shown: str) -> Contents:
    safetensors = need_reader(".safetensors")
    with _reading(shown, "a safetensors file"):
        with safetensors.safe_open(path, framework="numpy"):  # checks the header against the file
            pass
        with open(path, "rb") as file:
            start = 8 + (length := int.from_bytes(file.read(8), "little"))
            stored = json.loads(file.read(length))
        stored.pop("__metadata__", None)

    def order(name: str) -> tuple[bool, list[Any]]:
        parts = re.split(r"([0-9]+)", name)  # texts and numbers take turns, so that conv2 comes before conv10
        return stored[name]["shape"][1:2] != [3], [_number(p) if i % 2 else p for i, p in enumerate(parts)]

    def read(name: str) -> NDArray[Any]:
        entry = stored[name]
        dtype = _NUMBERS.get(entry["dtype"])
        if dtype is None:
            raise ValueError(f"{shown}: {name!r} is stored as {entry['dtype']}; expected F64, F32, F16 or BF16")
        first, last = entry["data_offsets"]
        with open(path, "rb") as file:
            file.seek(start + first)
            values = np.frombuffer(file.read(last - first), dtype)
        if entry["dtype"] == "BF16":  # the upper half of a float32
            values = (values.astype(np.uint32) << 16).view(np.float32)
        return values.reshape(entry["shape"])

    return {name: tuple(stored[name]["shape"]) for name in sorted(stored, key=order)}, read


def _number(digits: str) -> tuple[int, str]:
    """Key that sorts as the number does; Python turns no more than 4300 digits into one."""
    digits = digits.lstrip("0")
    return len(digits), digits


def _numpy(path: Path, shown: str) -> Contents:
    """Shapes from the headers alone; numbers are read when they are asked for."""
    with _reading(shown, "a file of numpy arrays"), open(path, "rb") as file:
        head = file.read(6)
        file.seek(0)
        if head.startswith(b"PK"):
            with zipfile.ZipFile(file) as archive:
                names = [name for name in archive.namelist() if name.endswith(".npy")]
                headers = {}
                for name in names:
                    with archive.open(name) as member:
                        headers[name.removesuffix(".npy")] = _header(member)
        elif head == b"\x93NUMPY":
            headers = {"": _header(file)}
        else:  # numpy would take it for a pickle
            raise ValueError("wrong first bytes")
        if any(dtype.hasobject for _, dtype in headers.values()):
            raise ValueError("it holds Python objects, which are pickles")

    def read(name: str) -> NDArray[Any]:
        with _reading(shown, "a file of numpy arrays"):
            content = np.load(path, allow_pickle=False)
            if isinstance(content, np.ndarray):
                return one_channel(content)
            with content:
                return content[name]

    shapes = {name: shape for name, (shape, _) in headers.items()}
    if list(shapes) == [""] and len(shapes[""]) == 3:
        shapes[""] = (shapes[""][0], 1, *shapes[""][1:])
    return shapes, read


def _header(file: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array of numpy's format."""
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return shape, dtype
