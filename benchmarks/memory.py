"""Memory that a call takes, by the size of the batch, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from analysis import packet_experiment
from benchmarks import child
from benchmarks.pipeline import SHIFTS
from benchmarks.settings import Settings
from benchmarks.tables import Table
from wavelets import DualTreePackets2D

JOBS = ("forward", "inverse", "heatmap experiment")


def growth(job: str, batch: int, side: int, levels: int) -> dict[str, float]:
    """Bytes by which memory grows, at most, during one call, and bytes of its result; input not counted."""
    t, rng = DualTreePackets2D(levels), np.random.default_rng(0)
    experiment = packet_experiment(levels, shifts=SHIFTS, size=side)
    if job == "inverse":
        count = t.coefficient_count(side)
        x = np.ones((batch, 2 * 4**levels, count, count), np.complex64)
    else:
        x = rng.random((batch, side, side), dtype=np.float32)
    works: dict[str, Callable[[Any], Any]] = {
        "forward": t.forward,
        "inverse": lambda c: t.inverse(c, side),
        "heatmap experiment": lambda x: experiment.measure(x)[0],
    }
    work = works[job]
    work(x[:1])  # machine code and plans are there before the call that counts
    child.forget_peak()
    before = child.memory("VmRSS")
    result = work(x)
    return {"growth": child.memory("VmHWM") - before, "result": result.nbytes}


def memory(settings: Settings) -> list[Table]:
    levels = settings.levels[0]
    title = f"Growth of memory during a call, images of {settings.side}x{settings.side}, float32, J = {levels}"
    table = Table("memory", title, "MB")
    results = {}
    try:
        for job in JOBS:
            for batch in settings.memory_batches:
                given = {"job": job, "batch": batch, "side": settings.side, "levels": levels}
                found = child.call(growth, settings.threads, **given)
                table.figures[f"{job}, batch {batch}"] = found["growth"] / child.MB
                results[f"{job}, batch {batch}"] = found["result"] / child.MB
    except (OSError, RuntimeError) as error:  # no /proc here; the process was killed
        table.skipped["memory"] = str(error)
    table.columns["of which result"] = results
    return [table]
