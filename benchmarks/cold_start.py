"""Seconds from a fresh interpreter to the package, and to the first result."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time

from tqdm import tqdm

from benchmarks.machine import ROOT
from benchmarks.settings import Settings
from benchmarks.tables import Table
from benchmarks.timing import summary

IMPORT = "import time; begin = time.perf_counter(); import wavelets; print(time.perf_counter() - begin)"
FORWARD = """
import numpy as np, wavelets
wavelets.DualTreePackets2D({levels}).forward(np.ones(({side}, {side}), np.float32))
"""
EXPERIMENT = """
import numpy as np, analysis
pictures = np.random.default_rng(0).random((1, {side}, {side}), dtype=np.float32)
analysis.packet_experiment({levels}, shifts=[(0, 1)], size={side}).measure(pictures)
"""


def seconds(code: str, cache: str) -> tuple[float, str]:
    """Seconds of a whole process that runs the code, and what it printed."""
    begin = time.perf_counter()
    environment = os.environ | {"NUMBA_CACHE_DIR": cache}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return time.perf_counter() - begin, done.stdout


def cold_start(settings: Settings) -> list[Table]:
    values = {"levels": settings.levels[0], "side": settings.side}
    plain = {"python, and nothing else": "pass", "import numpy": "import numpy", "import wavelets": "import wavelets"}
    first = {
        "first forward": FORWARD.format(**values),
        "first heatmap experiment": EXPERIMENT.format(**values),
    }
    inside = "import wavelets, inside a running interpreter"
    times: dict[str, list[float]] = {name: [] for name in (*plain, inside, *first)}
    with contextlib.ExitStack() as stack:
        caches = {name: stack.enter_context(tempfile.TemporaryDirectory()) for name in times}
        seconds("import analysis", caches[inside])  # bytecode is compiled before anything is timed
        empty = {f"{name}, numba cache empty": seconds(code, caches[name])[0] for name, code in first.items()}
        for _ in tqdm(range(settings.cold_runs), desc="cold start", disable=None):
            for name, code in (plain | first).items():
                times[name].append(seconds(code, caches[name])[0])
            times[inside].append(float(seconds(IMPORT, caches[inside])[1]))
    medians = {name: summary(found) for name, found in times.items()}
    title = f"Cold start, J = {values['levels']}, {settings.side}x{settings.side}: seconds of a whole process"
    table = Table.of_times("cold start", title, "s", medians, 1.0, main=True)
    table.figures |= empty
    table.notes.append("An empty cache is timed once: it is filled by the first call on a machine.")
    return [table]
