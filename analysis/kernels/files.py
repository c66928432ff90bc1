"""First convolution of a file of weights, read without running anything that the file asks for."""

from __future__ import annotations

import os
import pickle
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.images import _printable

TORCH_SUFFIXES = (".pt", ".pth", ".pth.tar", ".ckpt", ".bin")
SUFFIXES = (*TORCH_SUFFIXES, ".safetensors", ".npz", ".npy")

# What a file holds: the shape of every array, in the order of the search, and how to get one of them.
Contents = tuple[dict[str, tuple[int, ...]], Callable[[str], Any]]

_NUMBERS = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


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
    shown = _printable(path)
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
    raise ValueError(f"{_printable(path)}: not a kind of file that is read; expected {', '.join(SUFFIXES)}")


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
        reason = re.split(r"\.\s", " ".join(str(error).split()))[0]
        reason = f"{type(error).__name__}: {reason}" if reason else type(error).__name__
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
        return f" ({_printable(named[1])})"
    with open(path, "rb") as file:
        head = file.read(2)
    return "" if head == b"PK" or (head[:1] == b"\x80" and head[1:] <= b"\x05") else None


def _flatten(node: object, tensor: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(node, tensor):
        yield prefix, node
    elif isinstance(node, Mapping):
        for key, value in node.items():
            # An optimiser's state has the shapes of the weights; its keys are numbers.
            if isinstance(key, str):
                yield from _flatten(value, tensor, f"{prefix}.{key}" if prefix else key)


def _safetensors(path: Path, shown: str) -> Contents:
    safetensors = need_reader(".safetensors")
    with _reading(shown, "a safetensors file"):
        stored = dict(safetensors.deserialize(path.read_bytes()))

    def order(name: str) -> tuple[bool, list[int | str]]:
        parts = re.split(r"([0-9]+)", name)  # texts and numbers take turns, so that conv2 comes before conv10
        return stored[name]["shape"][1:2] != [3], [int(p) if i % 2 else p for i, p in enumerate(parts)]

    def read(name: str) -> NDArray[Any]:
        entry = stored[name]
        if entry["dtype"] == "BF16":  # the upper half of a float32
            values = (np.frombuffer(entry["data"], "<u2").astype(np.uint32) << 16).view(np.float32)
        elif entry["dtype"] in _NUMBERS:
            values = np.frombuffer(entry["data"], _NUMBERS[entry["dtype"]])
        else:
            raise ValueError(f"{shown}: {name!r} is stored as {entry['dtype']}; expected F64, F32, F16 or BF16")
        return values.reshape(entry["shape"])

    return {name: tuple(stored[name]["shape"]) for name in sorted(stored, key=order)}, read


def _numpy(path: Path, shown: str) -> Contents:
    with _reading(shown, "a file of numpy arrays"):
        with open(path, "rb") as file:
            if not file.read(6).startswith((b"PK", b"\x93NUMPY")):  # else numpy takes it for a pickle
                raise ValueError("wrong first bytes")
            file.seek(0)
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                content = {"": one_channel(content)}
            arrays = {name: content[name] for name in content}
    return {name: array.shape for name, array in arrays.items()}, arrays.__getitem__
