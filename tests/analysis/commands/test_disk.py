"""Disks that are full or may not be written to: one line, nothing left over, and the run can go on."""

from __future__ import annotations

import importlib
import os
import sys

import numpy as np
import pytest
from PIL import Image

from analysis import load
from analysis.files.atomic import UNFINISHED
from tests.conftest import files_of_at_most

pytest.importorskip("resource")
pytestmark = pytest.mark.filterwarnings("ignore:compiled code cannot be kept")

NETWORK = """
import torch
from torch import nn

def tiny(classes=2):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 5, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.AdaptiveAvgPool2d(1),
                         nn.Flatten(), nn.Linear(4, classes))
"""


@pytest.fixture
def arguments(tmp_path):
    """Arguments of every command that measures, but for the folder of its results."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(6):
        picture = Image.fromarray(rng.integers(0, 256, (44, 44, 3), dtype=np.uint8))
        picture.save(tmp_path / "images" / f"{number}.png")
        part = tmp_path / "data" / ("test" if number > 3 else "train") / "ab"[number % 2]
        part.mkdir(parents=True, exist_ok=True)
        picture.resize((32, 32)).save(part / f"{number}.png")
    np.save(tmp_path / "w.npy", rng.standard_normal((3, 3, 5, 5)))
    (tmp_path / "net.py").write_text(NETWORK)
    images = ["--images", tmp_path / "images", "--quiet"]
    network = f"{tmp_path / 'net.py'}:tiny"
    return {
        "heatmaps": ["heatmaps", *images, "--size", 32, "--levels", 1, "--block", 2],
        "kernels": ["kernels", tmp_path / "w.npy", "--stride", 2, *images, "--size", 32, "--block", 2],
        "stability": ["stability", network, *images, "--size", 24, "--shifts", 2, "--block", 2],
        "train": [
            "train",
            "resnet-cifar10",
            "--network",
            network,
            "--data",
            tmp_path / "data",
            "--epochs",
            1,
            "--classes",
            2,
            "--quiet",
        ],
    }


@pytest.fixture(params=["heatmaps", "kernels", "stability", "train"])
def command(request, arguments, monkeypatch):
    if request.param in ("stability", "train"):
        pytest.importorskip("torch")
    # What costs time and is of no matter here: figures.
    monkeypatch.setattr("analysis.reports.writer.Report.draw", lambda *_, **__: {})
    monkeypatch.setattr("analysis.reports.writer.Report.save_page", lambda *_, **__: None)
    return arguments[request.param]


@pytest.mark.parametrize("size", [0, 600])
def test_a_full_disk_is_one_line_and_the_run_goes_on_when_there_is_room(command, size, shiftscope, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with files_of_at_most(size):
        code, _, errors = shiftscope(*command, "--out", out)
    assert code == 2 and "Traceback" not in errors
    assert "File too large" in errors or "cannot write" in errors  # torch has words of its own
    assert not list(out.glob(f"{UNFINISHED}*"))
    code, _, errors = shiftscope(*command, "--out", out)
    assert code == 0, errors
    results = {path.name for path in out.iterdir()}
    assert results & {"heatmaps_J1.nc", "kernels.nc", "stability.nc", "best.pt"}


def test_these_tests_leave_no_cut_bytecode_behind(tmp_path, monkeypatch):
    (tmp_path / "a_module_of_its_own.py").write_text("".join(f"x{i} = {i}\n" for i in range(1000)))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    with files_of_at_most(600):
        importlib.import_module("a_module_of_its_own")
    assert not list(tmp_path.rglob("*.pyc")) and not sys.dont_write_bytecode


@pytest.mark.slow
@pytest.mark.usefixtures("empty_figures")
def test_what_fits_is_kept(arguments, shiftscope, tmp_path):
    out = tmp_path / "out"
    command = [*arguments["heatmaps"], "--levels", 2, "--size", 44, "--out"]
    code, _, errors = shiftscope(*command, tmp_path / "whole")  # which compiles what must be compiled, too
    assert code == 0, errors
    one, two = ((tmp_path / "whole" / f"heatmaps_J{levels}.nc").stat().st_size for levels in (1, 2))
    assert two > one
    with files_of_at_most(two - 1):
        code, _, errors = shiftscope(*command, out)
    assert code == 2 and errors.startswith(f"shiftscope: cannot write {out / 'heatmaps_J2.nc'}: ")
    assert errors.count("\n") == 1
    assert load(out / "heatmaps_J1.nc").images_used == 6


@pytest.mark.skipif(os.name != "posix", reason="needs the rights of POSIX")
def test_a_folder_that_cannot_be_written_to_is_one_line(command, shiftscope, tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    for out in (tmp_path / "file", tmp_path / "file" / "out", "/proc/out", "/dev/full"):
        code, _, errors = shiftscope(*command, "--out", out)
        assert code == 2 and errors.startswith("shiftscope: ") and errors.count("\n") == 1


def test_a_second_run_in_a_folder_is_refused_and_touches_nothing(command, shiftscope, tmp_path):
    from analysis.runs.folder import RunFolder

    out = tmp_path / "out"
    out.mkdir()
    half = out / f"{UNFINISHED}1.nc"
    with RunFolder(out, "other", {}):
        half.write_bytes(b"of the first run")
        code, _, errors = shiftscope(*command, "--out", out)
        assert code == 2 and "another run is writing" in errors
        assert half.read_bytes() == b"of the first run" and len(list(out.iterdir())) == 1


def test_an_error_after_measuring_loses_nothing_measured(command, shiftscope, tmp_path, monkeypatch):
    """Any error: of a table, a figure or a page."""
    if command[0] in ("train", "heatmaps"):
        pytest.skip("has no table after its measurement")
    target = {"kernels": "analysis.reports.kernels.kernel_frame", "stability": "analysis.reports.stability.table"}

    def broken(*_, **__):
        raise ZeroDivisionError("of a table")

    with monkeypatch.context() as patch:
        patch.setattr(target[command[0]], broken)
        code, _, errors = shiftscope(*command, "--out", tmp_path / "out")
    assert code == 2 and "ZeroDivisionError: of a table" in errors
    assert (tmp_path / "out" / f"{command[0]}.nc").exists()

    def measured(self, numbered, *_):
        assert not list(numbered)
        yield from ()

    monkeypatch.setattr("analysis.runs.blocks.Work.blocks", measured)
    assert shiftscope(*command, "--out", tmp_path / "out")[0] == 0
    assert (tmp_path / "out" / f"{command[0]}.csv").exists()
