"""Sizes and repetitions of a run."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

SECTIONS = ("peers", "scaling", "experiment", "files", "memory", "cold-start")


def available_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True)
class Settings:
    """Sizes and repetitions; the defaults are the full run."""

    threads: int = 1
    clock: str = "wall"  # or "cpu": processor time of one thread, of the peers
    rounds: int = 21
    seconds: float = 0.05  # for the timed calls of one job in one round
    side: int = 224
    batch: int = 16
    levels: tuple[int, ...] = (3, 2)  # of the experiment; the first one is that of everything else
    pixels: int = 2**22  # of a call, where the side of the images varies
    sides: tuple[int, ...] = (64, 128, 256, 512, 1024, 2048)
    depths: tuple[int, ...] = (1, 2, 3, 4, 5)
    batches: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64)
    banks: tuple[str, ...] = ("cf_2_3", "cf_3_3", "cf_4_3", "cf_4_4", "cf_5_4", "cf_3_3+sym6")
    pauses: tuple[float, ...] = (0, 0.001, 0.01, 0.1, 0.2)  # seconds
    files: int = 200
    file_runs: int = 3
    memory_batches: tuple[int, ...] = (1, 4, 16, 64)
    cold_runs: int = 7


QUICK: dict[str, Any] = {
    "rounds": 3,
    "seconds": 0.03,
    "batch": 4,
    "levels": (3,),
    "pixels": 2**20,
    "sides": (64, 256, 1024),
    "depths": (1, 3, 5),
    "batches": (1, 4, 16),
    "banks": ("cf_2_3", "cf_3_3", "cf_5_4", "cf_3_3+sym6"),
    "pauses": (0, 0.1),
    "files": 40,
    "file_runs": 1,
    "memory_batches": (16,),
    "cold_runs": 1,
}
