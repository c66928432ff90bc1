"""Hostile files of weights and pictures, given to every command that reads such: ``python -m fuzz.hostile``.

A file of weights is used, or refused in one line with exit code 2. A folder of pictures costs no run: what cannot be
used is skipped. Nothing in a file is run, nothing hangs, and no control character reaches the terminal.
"""

from __future__ import annotations

import argparse
import importlib
import io
import json
import os
import pickle
import shutil
import signal
import sys
import tempfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from fuzz import fuzz_images
from fuzz.kills import LOADED, Run, commands, materials

SECONDS = 120
W = np.random.default_rng(0).standard_normal((4, 3, 5, 5)).astype(np.float32)
TORCH = {"conv1.weight": torch.from_numpy(W)}


class Trap:
    """Object that makes a folder when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, (str(self.path),)


def saved(tree: Any) -> bytes:
    """Bytes of a checkpoint of torch."""
    buffer = io.BytesIO()
    torch.save(tree, buffer)
    return buffer.getvalue()


def stored(**arrays: Any) -> bytes:
    """Bytes of an .npz file."""
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def header(entries: dict[str, Any], data: bytes = bytes(1200)) -> bytes:
    """Bytes of a .safetensors file."""
    text = json.dumps(entries).encode()
    return len(text).to_bytes(8, "little") + text + data


def inflating() -> bytes:
    """Bytes of a small .npz file that declares gigabytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("w.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<f4", "fortran_order": False, "shape": (300_000, 3, 32, 32)}
        )
        for _ in range(1200):
            member.write(bytes(2**20))
    return buffer.getvalue()


def circle() -> dict[str, Any]:
    tree: dict[str, Any] = dict(TORCH)
    tree["again"] = tree
    return tree


def script() -> bytes:
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.trace(torch.nn.Conv2d(3, 4, 5), torch.zeros(1, 3, 8, 8)), buffer)
    return buffer.getvalue()


def checkpoints(folder: Path) -> dict[str, Callable[[Path], object]]:
    """Functions that write a file of weights, by its name."""
    quantised = torch.quantize_per_tensor(torch.from_numpy(W), 0.1, 0, torch.qint8)
    content: dict[str, Callable[[], bytes]] = {
        "empty.pth": bytes,
        "text.pth": lambda: b"these are no weights\n" * 9,
        "text.safetensors": lambda: b"these are no weights\n" * 9,
        "random.pth": lambda: np.random.default_rng(1).bytes(4000),
        "random.npz": lambda: np.random.default_rng(2).bytes(4000),
        "picture.npy": lambda: b"\x89PNG\r\n\x1a\n" + bytes(99),
        "trap.pth": lambda: pickle.dumps({"conv1.weight": Trap(folder / "sprung")}),
        "trap-zip.pth": lambda: saved({"state_dict": TORCH, "x": Trap(folder / "sprung")}),
        "trap.npy": lambda: b"\x93NUMPY" + pickle.dumps(Trap(folder / "sprung")),
        "objects.npz": lambda: stored(w=np.array([W, None], dtype=object)),
        "inflates.npz": inflating,
        "expanded.pth": lambda: saved({"conv1.weight": torch.zeros(1).expand(2**16, 3, 64, 64)}),
        "script.pth": script,
        "module.pth": lambda: saved(torch.nn.Conv2d(3, 4, 5)),
        "arguments.pth": lambda: saved({"state_dict": TORCH, "args": argparse.Namespace(a=1)}),
        "scalars.pth": lambda: saved({"state_dict": TORCH, "best": np.float64(3)}),
        "quantised.pth": lambda: saved({"conv1.weight": quantised}),
        "sparse.pth": lambda: saved({"conv1.weight": torch.from_numpy(W).to_sparse()}),
        "meta.pth": lambda: saved({"conv1.weight": torch.zeros(4, 3, 5, 5, device="meta")}),
        "circle.pth": lambda: saved(circle()),
        "null.pth": lambda: saved({"a\0b.weight": torch.from_numpy(W)}),
        "surrogate.pth": lambda: saved({"a\ud800.weight": torch.from_numpy(W)}),
        "escape.pth": lambda: saved({"\x1b[31mred\x07.weight": torch.from_numpy(W)}),
        "escape.npz": lambda: stored(**{"\x1b]0;title\x07": W}),
        "wrapped.pth": lambda: saved(
            {"state_dict_ema": {"module._orig_mod.model.conv1.weight": TORCH["conv1.weight"]}}
        ),
        "numbers.pth": lambda: saved({1: torch.from_numpy(W), "epoch": 3}),
        "list.pth": lambda: saved([torch.from_numpy(W)]),
        "infinite.npz": lambda: stored(w=W * np.inf),
        "not-a-number.npz": lambda: stored(w=W * np.nan),
        "zero.npz": lambda: stored(w=0 * W),
        "complex.npz": lambda: stored(w=W + 1j),
        "integers.npz": lambda: stored(w=np.ones((4, 3, 5, 5), np.int64)),
        "bytes.npz": lambda: stored(w=np.ones((4, 3, 5, 5), np.uint8)),
        "times.npz": lambda: stored(w=np.zeros((4, 3, 5, 5), "M8[s]")),
        "words.npz": lambda: stored(w=np.full((4, 3, 5, 5), "word")),
        "nothing.npz": stored,
        "no-kernels.npz": lambda: stored(w=W[:0]),
        "five-axes.npz": lambda: stored(w=W[None]),
        "tensorflow.npz": lambda: stored(w=np.ones((3, 3, 3, 32))),
        "tflite.npz": lambda: stored(w=np.ones((32, 7, 7, 3))),
        "buffers.npz": lambda: stored(mean=np.ones((1, 3, 1, 1)), std=np.ones((1, 3, 1, 1))),
        "buffer-first.npz": lambda: stored(mean=np.ones((1, 3, 1, 1)), **{"conv1.weight": W}),
        "two.npz": lambda: stored(**{"a.weight": W, "b.weight": W}),
        "moments.npz": lambda: stored(**{"exp_avg.weight": W}),
        "transposed.npz": lambda: stored(**{"w.weight": W, "w.bias": np.ones(3)}),
        "gains.npz": lambda: stored(weight_g=np.ones((4, 1, 1, 1)), weight_v=W * np.float32(1e30)),
        "wrong-gains.npz": lambda: stored(weight_g=np.ones((5, 1, 1, 1)), weight_v=W),
        "gains-only.npz": lambda: stored(weight_g=np.ones((4, 1, 1, 1))),
        "masked.npz": lambda: stored(weight_orig=W, weight_mask=W > 0),
        "wrong-mask.npz": lambda: stored(weight_orig=W, weight_mask=W[:3] > 0),
        "one-by-one.npz": lambda: stored(w=W[:, :, :1, :1]),
        "tiny.npz": lambda: stored(w=W * np.float32(1e-40)),
        "huge.npz": lambda: stored(w=W.astype(float) * 1e300),
        "long-header.safetensors": lambda: (2**62).to_bytes(8, "little") + b"{}",
        "overlap.safetensors": lambda: header({"w": {"dtype": "F32", "shape": [4, 3, 5, 5], "data_offsets": [0, 8]}}),
        "negative.safetensors": lambda: header({"w": {"dtype": "F32", "shape": [-4, 3], "data_offsets": [0, 1200]}}),
        "float8.safetensors": lambda: header(
            {"w": {"dtype": "F8_E4M3", "shape": [4, 3, 10, 10], "data_offsets": [0, 1200]}}
        ),
        "huge-shape.npy": lambda: (
            b"\x93NUMPY\x01\0\x76\0"
            + b"{'descr': '<f4', 'fortran_order': False, 'shape': (9999999, 3, 999, 999), }".ljust(117)
            + b"\n"
        ),
        "model.index.json": lambda: b'{"weight_map": {}}',
        "cut.pth": lambda: saved(TORCH)[:-300],
        "cut.npz": lambda: stored(w=W)[:-40],
    }
    makers: dict[str, Callable[[Path], object]] = {
        name: lambda path, make=make: path.write_bytes(make()) for name, make in content.items()
    }
    return makers | {
        "pipe.pth": os.mkfifo,
        "folder.pth": lambda path: path.mkdir(),
        "endless.pth": lambda path: path.symlink_to("/dev/zero"),
        "nowhere.pth": lambda path: path.symlink_to("nowhere"),
    }


def pictures(folder: Path) -> int:
    """Write hostile pictures beside good ones, and return how many."""
    rng = np.random.default_rng(3)
    seeds = fuzz_images.seeds()
    made = 0
    for number, data in enumerate(seeds.values()):
        spoiled = bytearray(data[1:])
        if number % 2:
            spoiled = spoiled[: len(spoiled) // 2]
        else:
            places = rng.integers(8, len(spoiled), 12)
            for place in places:
                spoiled[place] = rng.integers(256)
        (folder / f"spoiled{number}.png").write_bytes(spoiled)
        made += 1
    postscript = f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n({folder / 'sprung'}) (w) file closefile\n"
    bomb = b"\x89PNG\r\n\x1a\n" + b"\0\0\0\rIHDR" + (60000).to_bytes(4, "big") * 2 + b"\x08\0\0\0\0"
    odd: dict[bytes, bytes] = {
        b"eps.jpg": postscript.encode(),
        b"bomb.png": bomb + zlib.crc32(bomb[12:]).to_bytes(4, "big"),
        b"empty.png": b"",
        b"page.jpg": b"<html>" * 99,
        b"\xff\xfe.png": b"not UTF-8",
        b"\x1b[31mred\x07.png": b"escapes",
        b"line\nbreak.png": b"a line",
        b"a" * 240 + b".png": b"long",
    }
    for name, data in odd.items():
        with open(os.path.join(os.fsencode(folder), name), "wb") as file:
            file.write(data)
    os.mkfifo(folder / "pipe.png")
    (folder / "circle.png").symlink_to("circle.png")
    (folder / "endless.png").symlink_to("/dev/zero")
    (folder / "nowhere.png").symlink_to("nowhere")
    (folder / "folder.png").mkdir()
    return made + len(odd) + 5


def outcome(run: Run) -> str:
    """End a run, and say "used", "refused", or what was wrong with it."""
    code = run.wait(SECONDS)
    errors = run.errors.read_text(errors="replace")
    if code is None:
        os.kill(run.process.pid or 0, signal.SIGKILL)
        return "hangs"
    if "Traceback" in errors or any(not (c.isprintable() or c in "\n\r") for c in errors):
        return f"a traceback or control characters: {errors[-300:]!r}"
    return {0: "used", 2: "refused"}.get(code, f"exit code {code}")


def with_weights(folder: Path) -> dict[str, list[str]]:
    """Arguments of each command that reads a file of weights, with {} for the file."""
    pictures = ["--images", str(folder / "images"), "--limit", "4", "--quiet"]
    small = [*pictures, "--size", "32"]
    return {
        "kernels": ["kernels", "{}", "--stride", "2", *pictures, "--size", "64"],
        "prescribe": ["prescribe", "{}", "--stride", "2", *pictures, "--size", "64"],
        "stability": ["stability", "resnet20-cifar", "--weights", "{}", *small],
        "audit": ["audit", "resnet20-cifar", "--weights", "{}", *small],
    }


def attack_weights(folder: Path, arguments: list[str]) -> Counter[str]:
    """Give every file of weights to a command."""
    counts: Counter[str] = Counter()
    for name, make in tqdm(checkpoints(folder).items(), unit="file"):
        path = folder / "weights" / name
        if not os.path.lexists(path):
            path.parent.mkdir(exist_ok=True)
            make(path)
        run = Run([str(path) if argument == "{}" else argument for argument in arguments], folder / "out")
        found = outcome(run)
        if found not in ("used", "refused") or (folder / "sprung").exists():
            tqdm.write(f"{name}: {found}{', and its code was run' * (folder / 'sprung').exists()}")
        elif found == "refused" and len(run.errors.read_text().strip().splitlines()) != 1:
            tqdm.write(f"{name}: more than one line")
            found = "refused in more than one line"
        counts[found] += 1
        shutil.rmtree(folder / "out", ignore_errors=True)
    return counts


def main() -> int:
    """Return 0 if nothing was found, else 1."""
    for name in (*LOADED, "analysis.reports.audit", "analysis.reports.prescribe"):
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        materials(folder)
        known = commands(folder)
        images = ["--images", str(folder / "images"), "--quiet"]
        known["audit"] = ["audit", f"{folder / 'net.py'}:tiny", *images, "--size", "48"]
        known["prescribe"] = ["prescribe", str(folder / "weight.npy"), "--stride", "2", *images, "--size", "64"]
        wrong: set[str] = set()
        for name, arguments in with_weights(folder).items():
            counts = attack_weights(folder, arguments)
            tqdm.write(f"weights, {name}: {dict(counts)}")
            wrong |= set(counts) - {"used", "refused"}
        made = pictures(folder / "images")
        pictures(folder / "data" / "train" / "a")
        for name, arguments in known.items():
            found = outcome(Run(arguments, folder / f"out-{name}"))
            if (folder / "images" / "sprung").exists() or found != "used":
                wrong.add(name)
            skipped = folder / f"out-{name}" / "skipped.txt"
            lines = len(skipped.read_text().splitlines()) if skipped.exists() else 0
            tqdm.write(f"pictures, {name}: {found}, {made} hostile ones, {lines} of them skipped and listed")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
