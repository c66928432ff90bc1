"""``shiftscope heal`` as a user meets it: files, the page, the healed network in ``shiftscope stability``, refusals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

FILE = """
import torch
from torch import nn

def tiny():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 5), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(), nn.Linear(648, 6)
    )
    with torch.no_grad():
        model[0].weight -= model[0].weight.mean((1, 2, 3), keepdim=True)  # blind to the mean
    return model

def restless():
    class Restless(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = tiny()
        def forward(self, x):
            return self.inside(x) + torch.rand(1)
    return Restless()
"""


@pytest.fixture
def material(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    (tmp_path / "net.py").write_text(FILE)
    lines = ["file,index"]
    for number in range(24):
        Image.fromarray(rng.integers(0, 256, (28, 28, 3), dtype=np.uint8)).save(tmp_path / f"images/{number:02}.png")
        lines.append(f"{number:02}.png,{number % 6}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path


def arguments(folder, out, *more, network="tiny"):
    network = f"{folder / 'net.py'}:{network}"
    given = ("--images", folder / "images", "--size", 24, "--remedy", "blur3", "--batch", 4, "--out", out)
    return ("heal", network, *given, *more)


@pytest.mark.slow
def test_files_page_and_the_healed_network_beside_others(shiftscope, material):
    out = material / "out"
    labels = ("--labels", material / "labels.csv")
    code, told, errors = shiftscope(*arguments(material, out, "--steps", 6, "--quiet", *labels))
    assert (code, told, errors) == (0, "", "")
    names = "healed.safetensors log.csv report.html stability.csv stability.nc healing.png trade.png accuracy.png"
    assert set(names.split()) <= {path.name for path in out.iterdir()}
    table = pd.read_csv(out / "stability.csv", index_col=0)
    assert len(table) == 3 and table.index[0] == "plain" and {"top1", "flips_1px"} <= set(table.columns)
    log = pd.read_csv(out / "log.csv")
    assert log.step.iloc[-1] == 6 and {"agreement", "flips"} <= set(log.columns)
    page = (out / "report.html").read_text()
    assert "Accuracy: plain" in page and page.count("data:image/png") == 5

    network = f"{material / 'net.py'}:tiny"
    more = ("--remedy", "blur3", "--healed", out / "healed.safetensors", "--shifts", 2, "--limit", 4, "--quiet")
    code, _, errors = shiftscope(
        "stability", network, "--images", material / "images", "--size", 24, "--out", material / "beside", *more
    )
    assert (code, errors) == (0, "")
    beside = pd.read_csv(material / "beside" / "stability.csv", index_col=0)
    assert list(beside.index[:2]) == ["plain", "blur3"] and len(beside) == 3
    assert "No remedy was trained" not in (material / "beside" / "report.html").read_text()


@pytest.mark.parametrize(
    ("more", "network", "words"),
    [
        (("--steps", 4, "--limit", 12), "tiny", ("12", "20")),
        (("--steps", 4), "restless", ("deterministic",)),
        (("--minutes", 1e-7), "tiny", ("minutes", "one step")),
        (("--steps", 4, "--loss", "answer"), "tiny", ("answers",)),
        (("--steps", 4, "--minutes", 1), "tiny", ("one of them",)),
        (("--steps", 4, "--labels", "missing.csv"), "tiny", ("missing.csv",)),
    ],
)
def test_bad_input_is_one_line(shiftscope, material, more, network, words):
    code, told, errors = shiftscope(*arguments(material, material / "out", "--quiet", *more, network=network))
    assert (code, told, errors.count("\n")) == (2, "", 1)
    assert all(word in errors for word in words), errors


def test_labels_are_looked_up_before_anything_is_learnt(shiftscope, material):
    (material / "labels.csv").write_text("file,index\n00.png,1\n")
    more = ("--steps", 4, "--quiet", "--labels", material / "labels.csv")
    code, _, errors = shiftscope(*arguments(material, material / "out", *more))
    assert code == 2 and "has no class for" in errors
    assert not (material / "out" / "last.pt").exists()
