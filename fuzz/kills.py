"""Runs that are killed again and again and continued: they end with the same results as one that was left alone.

``python -m fuzz.kills [COMMAND ...]``
"""

from __future__ import annotations

import argparse
import csv
import importlib
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import xarray as xr
from PIL import Image
from tqdm import tqdm

from analysis.commands.app import main as main_of_commands
from analysis.files.atomic import UNFINISHED

LOADED = [
    "torch",
    "analysis.reports.heatmaps",
    "analysis.reports.kernels",
    "analysis.reports.stability",
    "analysis.reports.heal",
]
LOADED += ("analysis.networks.training.orchestration", "analysis.plots.training", "analysis.networks")

NETWORK = """
import torch
from torch import nn

def tiny(classes=2):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(8, classes))
"""
SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGINT, signal.SIGTERM)
TIMES = (
    "time",
    "seconds",
    "milliseconds",
    "date",
    "clock",
    "memory_order",
)  # in names of what differs between equal runs


def materials(folder: Path) -> None:
    """Write photographs, a data set of two classes, a file of weights and a network."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(160):
        smooth = rng.random((12, 12, 3))
        picture = Image.fromarray((255 * smooth).astype(np.uint8)).resize((72, 72), Image.Resampling.BICUBIC)
        picture.save(folder / "images" / f"{number:03d}.png")
        part = folder / "data" / ("test" if number % 5 == 0 else "train") / "ab"[number % 2]
        part.mkdir(parents=True, exist_ok=True)
        picture.resize((32, 32)).save(part / f"{number:03d}.png")
    np.save(folder / "weight.npy", rng.standard_normal((12, 3, 7, 7)))
    (folder / "net.py").write_text(NETWORK)


def commands(folder: Path) -> dict[str, list[str]]:
    """Arguments of each command, but for the folder of its results."""
    images = ["--images", str(folder / "images"), "--quiet"]
    network = f"{folder / 'net.py'}:tiny"
    return {
        "heatmaps": ["heatmaps", *images, "--size", "64", "--levels", "2", "--block", "8"],
        "kernels": ["kernels", str(folder / "weight.npy"), "--stride", "2", *images, "--size", "64", "--block", "8"],
        "stability": ["stability", network, *images, "--size", "48", "--remedy", "blur3", "--block", "8"],
        "heal": [
            *("heal", network, *images, "--remedy", "blur3", "--size", "48", "--steps", "30", "--batch", "8"),
            *("--loss", "averaged", "--loss", "consistency", "--save-every", "2", "--threads", "1", "--reported", "4"),
        ],
        "train": [
            *("train", "resnet-cifar10", "--network", network, "--data", str(folder / "data")),
            *("--classes", "2", "--epochs", "6", "--batch", "8", "--save-every", "3", "--threads", "1", "--quiet"),
        ],
    }


class Run:
    """A command in a process of its own, which has all modules loaded already, so that a kill meets its work."""

    def __init__(self, arguments: list[str], out: Path) -> None:
        self.errors = out.with_name("errors.txt")
        self.process = multiprocessing.get_context("fork").Process(
            target=self._work, args=([*arguments, "--out", str(out)],), daemon=False
        )
        self.process.start()

    def _work(self, arguments: list[str]) -> None:
        with open(self.errors, "wb") as errors, open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(errors.fileno(), 2)
        sys.stdout, sys.stderr = open(1, "w"), open(2, "w")
        sys.argv[1:] = arguments
        main_of_commands()

    def wait(self, seconds: float | None) -> int | None:
        """Return the exit code, or None if the time was too short."""
        self.process.join(seconds)
        return self.process.exitcode

    def told(self) -> str:
        """Return the end of what it printed to standard error."""
        return self.errors.read_text(errors="replace")[-400:]


def results(out: Path) -> dict[str, object]:
    """All numbers that a run wrote, without its times."""
    found: dict[str, object] = {}
    for path in sorted(out.glob("*.nc")):
        with xr.open_dataset(path, engine="h5netcdf") as dataset:
            for name, values in dataset.variables.items():
                if not any(part in str(name) for part in TIMES):
                    found[f"{path.name}:{name}"] = values.values.tobytes()
    found |= {path.name: path.read_bytes() for path in out.glob("*.safetensors")}
    for path in sorted(out.glob("log.csv")):
        with open(path, newline="") as file:
            rows = [{k: v for k, v in row.items() if not any(t in k for t in TIMES)} for row in csv.DictReader(file)]
        found[path.name] = rows
    return found


def attack(name: str, arguments: list[str], folder: Path, kills: int, bar: tqdm[object]) -> str:
    """Kill one command so many times, finish it, and say how that went."""
    begin = time.monotonic()
    run = Run(arguments, folder / f"{name}-alone")
    if run.wait(None) != 0:
        return f"{name}: the run that was left alone ended with {run.process.exitcode}: {run.told()}"
    whole, wanted = time.monotonic() - begin, results(folder / f"{name}-alone")
    out, rng, done, finished = folder / f"{name}-killed", random.Random(1), 0, 0
    wrong: list[str] = []
    while done < kills or out.exists():
        run = Run(arguments, out)
        code = run.wait(rng.uniform(0, 1) * whole if done < kills else None)
        if code is None:
            os.kill(run.process.pid or 0, rng.choice(SIGNALS))
            run.wait(None)
            done += 1
            bar.update()
            if "Traceback" in run.told():
                wrong.append(f"a traceback after kill {done}: {run.told()}")
        elif code:
            return f"{name}: ended with {code} after {done} kills: {run.told()}"
        else:
            finished += 1
            if results(out) != wanted or list(out.glob(f"{UNFINISHED}*")):
                wrong.append(f"run {finished} differs")
            shutil.rmtree(out)
    return f"{name} ({whole:.1f} s): {done} kills, {finished} runs finished, {'all equal' if not wrong else wrong}"


def main() -> int:
    """Return 0 if every run ended with the same results, else 1."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.kills", description=__doc__)
    parser.add_argument("commands", nargs="*")
    parser.add_argument("--kills", type=int, default=20)
    options = parser.parse_args()
    for name in LOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        materials(folder)
        known = commands(folder)
        names = options.commands or list(known)
        told = []
        with tqdm(total=options.kills * len(names), unit="kill") as bar:
            for name in names:
                told.append(attack(name, known[name], folder, options.kills, bar))
                tqdm.write(told[-1])
    return int(any(not line.endswith("all equal") for line in told))


if __name__ == "__main__":
    sys.exit(main())
