"""What a fresh interpreter does at import, and what it finds compiled."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest

DISPATCHERS = """
from numba.core.registry import CPUDispatcher
from wavelets.engine import loops

found = {name: d for name, d in vars(loops).items() if isinstance(d, CPUDispatcher)}
assert {"forward_2d", "backward_2d"} <= set(found), set(found)
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

LARGE = """
import sys

{statement}

large = {{"distributed", "matplotlib", "numba", "numpy", "pandas", "scipy", "torch", "typer", "xarray"}}
large |= {{"scipy.optimize", "scipy.signal", "scipy.stats"}}
found = {allowed} ^ (large & set(sys.modules))
assert not found, found
"""

TRANSFORM = """
import numpy as np
import wavelets

wavelets.set_num_threads(1)
wavelets.DualTreePackets2D(1, "cf_1_1").forward(np.ones((1, 5, 6)))
stats = loops.forward_2d.stats
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


def test_import_brings_no_optional_package_along():
    run(IMPORT)


@pytest.mark.parametrize(
    ("statement", "allowed"),
    [
        ("import analysis", set()),
        ("import analysis.reports.heatmaps", {"numba", "numpy", "pandas", "scipy", "xarray"}),
        ("import analysis.commands.app", set()),
    ],
)
def test_what_people_wait_for_imports_nothing_large(statement, allowed):
    run(LARGE.format(statement=statement, allowed=allowed or "set()"))


@needs_jit
def test_import_compiles_nothing(tmp_path):
    run(IMPORT + DISPATCHERS + UNTOUCHED, NUMBA_CACHE_DIR=str(tmp_path))
    assert not list(tmp_path.rglob("*.nb?"))


@pytest.mark.slow
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


ARROWS = """
import sys
from analysis import networks

assert not {"torch", "numba"} & set(sys.modules), set(sys.modules)
for name in networks.__all__:
    getattr(networks, name)
assert "torch" in sys.modules and not {"torchvision"} & set(sys.modules)
"""


def test_networks_stand_on_wavelets_alone_and_wait_with_torch():
    pytest.importorskip("torch")
    run(ARROWS)


@pytest.mark.parametrize(("package", "above"), [("wavelets", {"analysis", "shiftscope"}), ("analysis", {"shiftscope"})])
def test_arrows_point_down(package, above):
    """No module imports from a package above it, inside functions neither."""
    files = list((Path(__file__).parents[2] / package).rglob("*.py"))
    assert files
    for file in files:
        for node in ast.walk(ast.parse(file.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not above & {name.partition(".")[0] for name in names}, file


def test_the_engine_of_the_transforms_stands_on_the_checks_alone():
    files = list((Path(__file__).parents[2] / "wavelets" / "engine").glob("*.py"))
    assert len(files) > 8
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wavelets"):
                assert node.module == "wavelets.checks" or node.module.startswith("wavelets.engine"), (
                    file,
                    node.module,
                )
