"""Machine, versions and commit, on which the figures depend."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = (
    "numpy",
    "scipy",
    "numba",
    "pywavelets",
    "pillow",
    "torch",
    "dtcwt",
    "pytorch_wavelets",
    "ptwt",
    "kymatio",
    "antialiased-cnns",
    "kornia",
)


def describe(threads: int, cores: int) -> dict[str, Any]:
    blas = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
    return {
        "cpu": cpu_name(),
        "cores": cores,
        "threads": threads,
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "versions": {name: found for name in PACKAGES if (found := version(name))},
        "commit": commit(),
    }


def cpu_name() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file() and (match := re.search(r"^model name\s*:\s*(.+)$", info.read_text(), re.MULTILINE)):
        return match[1].strip()
    return platform.processor() or platform.machine() or "cpu"


def version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def commit() -> str | None:
    """Name of the commit, with a plus sign if files differ from it; None outside a repository."""
    try:
        name, changed = (
            subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
            for arguments in (["rev-parse", "--short", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return f"{name}+" if changed else name


class Neighbours:
    """Cores that other processes use meanwhile, which makes figures worthless without anyone noticing."""

    def __init__(self) -> None:
        self.begin = time.perf_counter()
        self.busy, self.own = busy_seconds(), own_seconds()

    def cores(self) -> float | None:
        """Return the cores that others used since this was made, on average; None where the system does not say."""
        busy = busy_seconds()
        if busy is None or self.busy is None:
            return None
        others = busy - self.busy - (own_seconds() - self.own)
        return max(others, 0.0) / (time.perf_counter() - self.begin)


def busy_seconds() -> float | None:
    """Processor seconds of all processes together."""
    path = Path("/proc/stat")
    if not path.is_file():
        return None
    user, nice, system, _idle, _wait, interrupts, soft, stolen = map(int, path.read_text().split()[1:9])
    return (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")


def own_seconds() -> float:
    """Processor seconds of this process and of the children that have ended."""
    return sum(os.times()[:4])


def slug(name: str) -> str:
    """Part of a file's name."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"\((r|tm)\)", "", name.lower())).strip("-")
