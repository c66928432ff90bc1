"""What a fresh interpreter does at import, and what it finds compiled."""

from __future__ import annotations

import os
import subprocess
import sys

import numba
import pytest

DISPATCHERS = """
from numba.core.registry import CPUDispatcher
from wavelets import _kernels

found = {name: d for name, d in vars(_kernels).items() if isinstance(d, CPUDispatcher)}
assert len(found) > 10
"""

UNTOUCHED = """
compiled = [name for name, d in found.items() if d.signatures]
assert not compiled, compiled
"""

IMPORT = """
import sys
import wavelets

found = {"numba", "torch", "dtcwt", "matplotlib", "analysis"} & set(sys.modules)
assert not found, found
"""

TRANSFORM = """
import numpy as np
import wavelets

wavelets.set_num_threads(1)
wavelets.DualTreePackets2D(1, "cf_1_1").forward(np.ones((1, 5, 6)))
stats = _kernels.forward_2d.stats
print(sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
"""


def run(script, **environment):
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", script],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.split()


needs_jit = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="needs numba's jit")


@pytest.mark.nojit
def test_import_brings_no_optional_package_along():
    run(IMPORT)


@needs_jit
def test_import_compiles_nothing(tmp_path):
    run(IMPORT + DISPATCHERS + UNTOUCHED, NUMBA_CACHE_DIR=str(tmp_path))
    assert not list(tmp_path.rglob("*.nb?"))


@needs_jit
def test_a_second_process_finds_everything_compiled(tmp_path):
    def cached():
        return {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.nb?")}

    hits, misses = run(DISPATCHERS + TRANSFORM, NUMBA_CACHE_DIR=str(tmp_path))
    assert (hits, misses) == ("0", "1")
    first = cached()
    assert any(path.suffix == ".nbc" for path in first)
    hits, misses = run(DISPATCHERS + TRANSFORM, NUMBA_CACHE_DIR=str(tmp_path))
    assert (hits, misses) == ("1", "0")
    assert cached() == first
