"""`import shiftscope` and `python -m shiftscope`, beside files of the user that bear common names."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import analysis
import shiftscope
import wavelets
from analysis.runs import provenance

ROOT = Path(__file__).resolve().parents[2]


def python(folder, *arguments, **environment):
    """Run a fresh interpreter in a folder of the user, whose modules come before ours as after an installation."""
    return subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_every_public_name_is_here_and_is_the_same_object():
    for package in (analysis, wavelets):
        for name in package.__all__:
            if name != "networks":  # which needs torch when it is looked into, and not before
                assert getattr(shiftscope, name) is getattr(package, name)
                assert name in dir(shiftscope)
    assert shiftscope.networks is analysis.networks
    assert shiftscope.__all__ == sorted({*analysis.__all__, *wavelets.__all__})
    with pytest.raises(AttributeError, match="no_such_name"):
        shiftscope.no_such_name  # noqa: B018


def test_the_version_stands_in_one_place():
    assert importlib.metadata.version("shiftscope") == shiftscope.__version__
    assert f"## [{shiftscope.__version__.partition('.dev')[0]}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_results_name_the_version_of_the_code_that_made_them(monkeypatch):
    monkeypatch.setattr(shiftscope, "__version__", "9.9")  # what was installed last may be another one
    assert provenance.software()["shiftscope_version"] == "9.9"


def test_import_brings_nothing_large(tmp_path):
    code = "import shiftscope, sys; print({'numpy', 'torch', 'matplotlib', 'numba', 'xarray'} & set(sys.modules))"
    done = python(tmp_path, "-c", code)
    assert (done.stdout.strip(), done.stderr) == ("set()", "")


def test_python_m_runs_the_command_line(tmp_path):
    done = python(tmp_path, "-m", "shiftscope", "--help")
    assert done.returncode == 0 and "heatmaps" in done.stdout and "stability" in done.stdout
    assert python(tmp_path, "-m", "shiftscope", "no-such-command").returncode == 2


@pytest.mark.parametrize("name", ["analysis", "wavelets"])
@pytest.mark.parametrize("kind", ["file", "package", "imported"])
def test_a_file_in_the_way_is_named_and_not_executed(name, kind, tmp_path):
    path = tmp_path / name / "__init__.py" if kind == "package" else tmp_path / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text("print('executed')\n")
    code = f"import {name}, shiftscope" if kind == "imported" else "import shiftscope"
    done = python(tmp_path, "-c", code)
    assert done.returncode == 1 and ("executed" in done.stdout) == (kind == "imported")
    last = done.stderr.splitlines()[-1]
    assert last.startswith("ImportError: ") and str(path) in last


@pytest.mark.parametrize("module", ["shiftscope", "analysis"])
def test_the_command_line_names_a_file_in_the_way_in_one_line(module, tmp_path):
    (tmp_path / "wavelets.py").write_text("print('executed')\n")
    done = python(tmp_path, "-m", module, "verify", "--cases", 1)
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert str(tmp_path / "wavelets.py") in line


def test_a_folder_without_init_is_not_in_the_way(tmp_path):
    """Python prefers a package to such a folder, wherever it stands."""
    (tmp_path / "analysis").mkdir()
    assert python(tmp_path, "-c", "import shiftscope").returncode == 0


MINE = """
from networks import small  # the user's own


def network():
    from analysis import networks

    assert "blur3" in networks.remedies()
    return small()
"""
NETWORKS = """
from torch import nn


def small():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


@pytest.mark.slow
def test_networks_of_the_user_stand_beside_ours(tmp_path):
    pytest.importorskip("torch")
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "networks.py").write_text(NETWORKS)
    (tmp_path / "pictures").mkdir()
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(tmp_path / "pictures" / "a.png")
    given = ["mine.py:network", "--images", "pictures", "--size", "32", "--remedy", "blur3", "--out", "out"]
    done = python(tmp_path, "-m", "shiftscope", "stability", *given)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "stability.csv").is_file()
