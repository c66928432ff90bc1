"""Seconds from a fresh interpreter to the package, and to the first result."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tqdm import tqdm

from benchmarks.machine import ROOT
from benchmarks.settings import Settings
from benchmarks.tables import Table
from benchmarks.timing import summary

IMPORTS = {
    "python, and nothing else": "pass",
    "import numpy": "import numpy",
    "import wavelets": "import wavelets",
    "import wavelets, inside a running interpreter": (
        "import time; begin = time.perf_counter(); import wavelets; print(time.perf_counter() - begin)"
    ),
}
FIRST_RESULTS = {
    "first forward": """
import numpy as np, wavelets
wavelets.DualTreePackets2D({levels}).forward(np.ones(({side}, {side}), np.float32))
""",
    "first heatmap experiment": """
import numpy as np, analysis
pictures = np.random.default_rng(0).random((1, {side}, {side}), dtype=np.float32)
analysis.packet_experiment({levels}, shifts=[(0, 1)], size={side}).measure(pictures)
""",
}


def seconds(code: str, cache: Path) -> float:
    """Seconds that the code prints, or if it prints nothing those of the whole process that runs it."""
    begin = time.perf_counter()
    environment = os.environ | {"NUMBA_CACHE_DIR": str(cache)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout or time.perf_counter() - begin)


def cold_start(settings: Settings) -> list[Table]:
    levels, side = settings.levels[0], settings.side
    first = {name: code.format(levels=levels, side=side) for name, code in FIRST_RESULTS.items()}
    codes = IMPORTS | first
    times: dict[str, list[float]] = {name: [] for name in codes}
    with tempfile.TemporaryDirectory() as folder:
        caches = {name: Path(folder, name) for name in codes}
        seconds("import analysis", Path(folder))  # bytecode is compiled before anything is timed
        empty = {f"{name}, numba cache empty": seconds(code, caches[name]) for name, code in first.items()}
        for _ in tqdm(range(settings.cold_runs), desc="cold start", disable=None):
            for name, code in codes.items():
                times[name].append(seconds(code, caches[name]))
    medians = {name: summary(found) for name, found in times.items()}
    title = f"Cold start, J = {levels}, {side}x{side}: seconds of a whole process"
    table = Table.of_times("cold start", title, "s", medians, 1.0, main=True)
    table.figures |= empty
    table.notes.append("An empty cache is timed once: it is filled by the first call on a machine.")
    return [table]
