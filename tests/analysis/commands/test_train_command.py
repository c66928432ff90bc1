"""``shiftscope train`` as a user meets it: files, summary, resuming, one-line errors."""

from __future__ import annotations

import csv
import os
import re

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from analysis.networks.training import loop  # noqa: E402
from analysis.networks.training.checkpoint import load_checkpoint  # noqa: E402
from analysis.plots import training_figure  # noqa: E402

FILE = """
import torch
from torch import nn

def tiny(classes=10):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveMaxPool2d(2), nn.Flatten(),
                         nn.Dropout(0.2), nn.Linear(16, classes))

def wide():
    return tiny(11)

def grey():
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten())

def pair():
    return tiny(), lambda x: x

def explodes():
    model = tiny()
    model[6].weight.data *= 1e38
    return model

def number():
    return 7
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


@pytest.fixture
def data(tmp_path):
    """Pictures of CIFAR's size, one colour brighter in the second half of the classes."""
    rng = np.random.default_rng(0)
    arrays = {}
    for part, count in (("train", 60), ("test", 20)):
        classes = np.arange(count) % 10
        pictures = rng.integers(0, 120, (count, 32, 32, 3))
        pictures[classes >= 5, :, :, 0] += 100
        arrays |= {f"{part}_x": pictures.astype(np.uint8), f"{part}_y": classes}
    np.savez(tmp_path / "data.npz", **arrays)
    return tmp_path / "data.npz"


@pytest.fixture
def common(file, data, tmp_path):
    """Arguments of a short run."""
    short = "--epochs", 2, "--batch", 16, "--rate", 0.05
    return "train", "resnet-cifar10", "--data", data, "--out", tmp_path / "out", "--network", f"{file}:tiny", *short


def said(result):
    """The last line of an error."""
    code, _, errors = result
    assert code == 2, errors
    assert "Traceback" not in errors
    return errors.strip().splitlines()[-1]


def rows_of(folder):
    with open(folder / "log.csv") as log:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(log)]


def test_writes_log_weights_figure_and_a_summary(shiftscope, common, tmp_path):
    code, printed, errors = shiftscope(*common)
    assert code == 0, errors
    out = tmp_path / "out"
    assert sorted(path.name for path in out.iterdir()) == ["best.pt", "last.pt", "log.csv", "training.png"]
    rows = rows_of(out)
    columns = ["epoch", "step", "learning_rate", "training_loss", "validation_loss", "top1_error"]
    assert [list(row) for row in rows] == [columns] * 2 and rows[1]["step"] == "8"
    assert "mine.py:tiny, resnet-cifar10, 54 examples" in printed and "Test set (test), weights of epoch" in printed
    assert "epoch 2/2" in errors
    assert load_checkpoint(out / "best.pt")["belongs"]["network"].startswith("mine.py:tiny ")
    with Image.open(out / "training.png") as figure:
        assert min(figure.size) > 300


@pytest.mark.usefixtures("empty_figures")
def test_a_stopped_run_is_continued(shiftscope, common, tmp_path, monkeypatch):
    assert shiftscope(*common, "--quiet", "--out", tmp_path / "whole") == (0, "", "")
    evaluated, calls = loop.objective, []

    def interrupted(*args):
        calls.append(args)
        if len(calls) == 8:  # of the second epoch, four steps and an evaluation after the first one's begin
            raise KeyboardInterrupt
        return evaluated(*args)

    monkeypatch.setattr(loop, "objective", interrupted)
    code, _, errors = shiftscope(*common, "--save-every", 1)
    assert code == 130
    assert f"are kept in {tmp_path / 'out' / 'last.pt'}: run the same command again to continue" in errors
    assert load_checkpoint(tmp_path / "out" / "last.pt")["step"] > 0
    code, _, errors = shiftscope(*common, "--save-every", 1)
    assert code == 0 and "Continuing" in errors
    assert rows_of(tmp_path / "out") == rows_of(tmp_path / "whole")

    message = said(shiftscope(*common, "--batch", 8))
    assert "batch is 16 there and 8 here" in message and "--overwrite" in message
    assert shiftscope(*common, "--batch", 8, "--overwrite", "--quiet")[0] == 0
    assert shiftscope(*common, "--batch", 8, "--epochs", 3, "--quiet")[0] == 0
    assert [row["epoch"] for row in rows_of(tmp_path / "out")] == ["1", "2", "3"]


@pytest.mark.usefixtures("empty_figures")
def test_options_reach_the_run(shiftscope, common, tmp_path, monkeypatch):
    threads = []
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    options = "--limit", 20, "--seed", 3, "--precision", "bfloat16", "--threads", 1, "--save-every", 1, "--quiet"
    assert shiftscope(*common, *options)[0] == 0
    belongs = load_checkpoint(tmp_path / "out" / "last.pt")["belongs"]
    assert (belongs["seed"], belongs["precision"], belongs["rate"], belongs["batch"]) == (3, "bfloat16", 0.05, 16)
    assert threads == [1] and rows_of(tmp_path / "out")[-1]["step"] == "4"


@pytest.mark.usefixtures("empty_figures")
def test_broken_pictures_are_listed(shiftscope, common, file, tmp_path):
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in "ab":
            (tmp_path / "set" / part / name).mkdir(parents=True)
            for number in range(8):
                pixels = rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "set" / part / name / f"{number}.png")
    broken = tmp_path / "set" / "test" / "a" / "3.png"
    broken.write_bytes(b"nothing")
    unread = tmp_path / "set" / "train" / "a" / "5.png"
    unread.write_bytes(b"nothing")
    file.write_text(FILE.replace("classes=10", "classes=2"))
    arguments = *common, "--data", tmp_path / "set", "--classes", 2
    code, _, errors = shiftscope(*arguments)
    assert code == 0 and errors.count(f"skipped {broken}") == 1
    listed = (tmp_path / "out" / "skipped.txt").read_text()
    assert f"{broken}: Pillow finds no" in listed and f"{unread}: Pillow finds no" in listed
    assert shiftscope(*arguments, "--strict", "--quiet")[0] == 3  # what was skipped before counts
    assert (tmp_path / "out" / "skipped.txt").read_text() == listed
    file.write_text(file.read_text() + "# changed\n")
    assert re.search("network is .*mine.py:tiny .* there and .* here", said(shiftscope(*arguments)))
    assert "has 2 folders; expected one for each of the 10 classes" in said(shiftscope(*arguments[:-2]))


@pytest.mark.usefixtures("empty_figures")
def test_hostile_pictures_are_skipped_and_nothing_of_them_reaches_the_terminal(
    shiftscope, common, file, tmp_path, monkeypatch
):
    rng = np.random.default_rng(0)
    for part in ("train", "test"):
        for name in "ab":
            (tmp_path / "set" / part / name).mkdir(parents=True)
            for number in range(8):
                pixels = rng.integers(0, 256, (40, 36, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "set" / part / name / f"{number}.png")
    hostile = tmp_path / "set" / "train" / "a"
    trace = tmp_path / "trace"
    (tmp_path / "bin").mkdir()
    ghostscript = tmp_path / "bin" / "gs"
    ghostscript.write_text(f"#!/bin/sh\ntouch {trace}\n")
    ghostscript.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    (hostile / "eps.jpg").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 40 40\n%%EndComments\nshowpage\n")
    os.mkfifo(hostile / "pipe.png")
    os.symlink(hostile / "pipe.png", hostile / "link.png")
    (hostile / "\x1b]0;owned\x07.png").write_bytes(b"nothing")
    Image.fromarray(pixels).save(os.fsencode(hostile) + b"/caf\xe9.png")
    (hostile / os.fsdecode(b"\xff.png")).write_bytes(b"nothing")
    Image.new("1", (10_000, 10_000)).save(hostile / "bomb.png")
    file.write_text(FILE.replace("classes=10", "classes=2"))
    code, printed, errors = shiftscope(*common, "--data", tmp_path / "set", "--classes", 2)
    assert code == 0 and "\x1b]0" not in printed + errors and not trace.exists()
    listed = (tmp_path / "out" / "skipped.txt").read_text(encoding="utf-8").splitlines()
    names = sorted(line.removeprefix(f"{hostile}/").partition(":")[0] for line in listed)
    assert len(listed) == 5 and names[1:] == sorted(names[1:]) and {"bomb.png", "eps.jpg", "link.png"} < set(names)
    assert any(name.startswith("\\udcff") for name in names)  # the sound picture of such a name is used


@pytest.mark.usefixtures("empty_figures")
def test_networks_by_name(shiftscope, common, monkeypatch):
    def create(name, classes):
        if name != "known":
            raise ValueError(f"unknown network {name!r}")
        return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 32 * 32, classes))

    for name, what in {"create": create, "names": lambda: ["known"], "describe": lambda name: "One layer."}.items():
        monkeypatch.setattr(f"analysis.networks.training.orchestration.{name}", what)
    assert shiftscope(*common, "--network", "known", "--quiet")[0] == 0
    assert said(shiftscope(*common, "--network", "other")) == "shiftscope: unknown network 'other'"
    code, printed, _ = shiftscope("recipes")
    assert code == 0 and "vgg41-fsd50k" in printed and "Zhang 2019 (BlurPool)" in " ".join(printed.split())
    assert "  known                     One layer.\n" in printed


def test_bad_input(shiftscope, common, file, data, tmp_path):
    network = common.index("--network") + 1

    def with_network(name):
        return said(shiftscope(*common[:network], name, *common[network + 1 :]))

    assert "unknown recipe 'x'; expected one of alexnet-imagenet" in said(shiftscope("train", "x", *common[2:]))
    assert "(did you mean 'resnet-cifar10'" in said(shiftscope("train", "resnet-cifar", *common[2:]))
    assert (
        with_network(f"{file}:wide")
        == "shiftscope: mine.py:wide returns shape (2, 11); expected logits (N, classes), here (2, 10)"
    )
    assert (
        "mine.py:grey fails on inputs of shape (2, 3, 32, 32), as resnet-cifar10 has them: RuntimeError"
        in with_network(f"{file}:grey")
    )
    assert "in training the recipe does that" in with_network(f"{file}:pair")
    assert "returned int; expected a torch.nn.Module" in with_network(f"{file}:number")
    assert "no such file" in with_network(tmp_path / "none.py:tiny")
    assert "which function? expected FILE.py:FACTORY" in with_network(file)
    assert "training diverged: the loss is" in with_network(f"{file}:explodes")
    for option in ("--epochs", "--batch", "--limit", "--threads", "--save-every", "--classes"):
        assert f"{option[2:].replace('-', '_')} is 0; expected at least 1" in said(shiftscope(*common, option, 0))
    for option, value, message in (
        ("--rate", -1, "rate must be positive"),
        ("--seed", -1, "seed is -1"),
        ("--workers", -1, "workers is -1"),
        ("--precision", "half", "precision is 'half'; expected one of float32, bfloat16, float16"),
        ("--device", "abacus", "torch cannot use the device 'abacus'"),
        ("--data", tmp_path / "none", "no such data folder"),
        ("--classes", 9, "train_y holds 9; expected 0 to 8"),
    ):
        assert message in said(shiftscope(*common, option, value))
    data.write_bytes(b"nothing")
    assert "data.npz cannot be read as arrays" in said(shiftscope(*common))


def test_the_figure_shows_every_epoch():
    rows = [
        {
            "epoch": e,
            "learning_rate": 0.1 / (1 + (e > 2)),
            "training_loss": 1 / e,
            "validation_loss": 1.1 / e,
            "mAP": e / 4,
        }
        for e in (1, 2, 3)
    ]
    left, right = training_figure(rows, "title", 3).axes
    assert [len(line.get_xdata()) for line in left.lines[:2]] == [3, 3]
    assert left.lines[2].get_xdata()[0] == 2.5  # where the rate changed
    assert right.get_ylabel() == "validation mAP" and right.lines[1].get_xdata()[0] == 3
    with pytest.raises(ValueError, match="no epochs"):
        training_figure([])
