"""Bytes as a file of weights: a first layer, or TypeError or ValueError of one line; nothing is run or written.

The first byte says what the rest is: a whole file of some kind, or the part of one that is worth changing, which is
then wrapped so that checksums and lengths are right.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import torch

from fuzz.harness import FileToRead, check_one_line, followed, fuzz

with followed(
    "analysis.files.regular",
    "analysis.files.weights",
    "analysis.kernels.weight_choice",
    "analysis.kernels.sources",
    "json",
    "numpy.lib",
    "torch._weights_only_unpickler",
    "torch.serialization",
    "zipfile",
):
    from analysis.kernels.sources import first_layer

import numpy as np

file = FileToRead()


NUMBERS = bytes(i % 120 for i in range(216))  # finite in every floating type


def _archive(members: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def pickled(data: bytes) -> bytes:
    """A torch archive around a pickle, with two storages of as many bytes as those of the seeds."""
    storages = {"a/data/0": NUMBERS, "a/data/1": NUMBERS[:8]}
    return _archive({"a/data.pkl": data, "a/byteorder": b"little", **storages, "a/version": b"3\n"})


def headed(data: bytes) -> bytes:
    """A .safetensors file around a header."""
    return len(data).to_bytes(8, "little") + data + NUMBERS


def zipped(data: bytes) -> bytes:
    """A .npz file around an array."""
    return _archive({"weight.npy": data})


KINDS: list[tuple[str, Callable[[bytes], bytes]]] = [
    (".pth", bytes),
    (".pth", pickled),
    (".safetensors", bytes),
    (".safetensors", headed),
    (".npz", bytes),
    (".npz", zipped),
    (".npy", bytes),
]


def execute(data: bytes) -> bool:
    """Read one file as the command line does; whether it holds weights."""
    suffix, wrap = KINDS[data[0] % len(KINDS)] if data else KINDS[0]
    path = file.holding(wrap(data[1:]), suffix)
    try:
        layer = first_layer(path, stride=2)
    except (TypeError, ValueError) as error:
        check_one_line(str(error))
        return False
    if layer.weight.ndim != 4 or not np.isfinite(layer.weight).all():
        raise AssertionError(
            f"a weight of shape {layer.weight.shape} from {layer.weight.min()} to {layer.weight.max()}"
        )
    return True


def seeds() -> dict[str, bytes]:
    """Small files of every kind."""
    weight = np.linspace(-1, 1, 2 * 3 * 3 * 3).reshape(2, 3, 3, 3).astype(np.float32)
    found = {}

    def keep(name: str, kind: int, data: bytes) -> None:
        found[name] = bytes([kind]) + data

    state = {"conv1.weight": torch.from_numpy(weight), "conv1.bias": torch.ones(2), "epoch": 3}
    half = {
        "model": {"w": torch.from_numpy(np.tile(weight, (2, 1, 1, 1))).half()},
        "list": [1.5, "a", None, True],
        "set": {1},
    }
    wrapped = {"epoch": 3, "state_dict_ema": {f"module._orig_mod.{key}": state[key] for key in list(state)[:2]}}
    parts = {"weight_v": torch.from_numpy(weight), "weight_g": torch.ones(2, 1, 1, 1)}
    trees = {"parts": parts, "state": state, "half": half, "tensor": torch.from_numpy(weight), "wrapped": wrapped}
    for name, tree in trees.items():
        for zip_format in (True, False):
            buffer = io.BytesIO()
            torch.save(tree, buffer, _use_new_zipfile_serialization=zip_format)
            keep(f"{name}-{zip_format}", 0, buffer.getvalue())
            if zip_format:
                with zipfile.ZipFile(buffer) as archive:
                    (member,) = (entry for entry in archive.namelist() if entry.endswith("data.pkl"))
                    keep(f"{name}-pickle", 1, archive.read(member))

    entries = {
        "conv1.weight": {"dtype": "F32", "shape": [2, 3, 3, 3], "data_offsets": [0, 216]},
        "conv2.weight": {"dtype": "BF16", "shape": [2, 2, 3, 3], "data_offsets": [216, 288]},
        "bias": {"dtype": "I8", "shape": [2], "data_offsets": [288, 290]},
    }
    header = json.dumps(entries).encode()
    keep("safetensors", 2, len(header).to_bytes(8, "little") + header + weight.tobytes() + bytes(74))
    keep("header", 3, json.dumps({"conv1.weight": entries["conv1.weight"]}).encode())

    arrays: dict[str, Any] = {"conv1.weight": weight, "conv1.bias": np.ones(2)}
    for save, name in ((np.savez, "npz"), (np.savez_compressed, "compressed")):
        buffer = io.BytesIO()
        save(buffer, **arrays)
        keep(name, 4, buffer.getvalue())
    for name, array in (("f4", weight), ("grey", weight[:, 0].astype(">f8")), ("u1", np.asfortranarray(weight > 0))):
        buffer = io.BytesIO()
        np.save(buffer, array)
        if array.ndim == 4:  # of three axes only in a file of one array
            keep(f"member-{name}", 5, buffer.getvalue())
        keep(f"npy-{name}", 6, buffer.getvalue())
    return found


if __name__ == "__main__":
    fuzz(execute)
