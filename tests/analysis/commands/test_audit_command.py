"""``shiftscope audit``: files, verdict, resumption, and refusals in one line."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

torch = pytest.importorskip("torch")

NETWORK = """
import torch
from torch import nn

def small():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(8, 4)), lambda pictures: (pictures.flip(1) - 0.4) / 0.2

def dense():
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))

class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.inside = small()[0]
    def forward(self, x):
        return {"logits": self.inside(x)}

def pair():
    return Pair()
"""


@pytest.fixture
def folder(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    for seed in range(6):
        pixels = np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((64, 64)).save(images / f"{seed}.png")
    (tmp_path / "mine.py").write_text(NETWORK)
    return tmp_path


def arguments(folder, network="small", **options):
    given = {"images": folder / "images", "out": folder / "out", "size": 64} | options
    return ["audit", f"{folder / 'mine.py'}:{network}", *(f"--{name}={value}" for name, value in given.items())]


def test_files_verdict_and_the_same_numbers_again_from_the_journal(shiftscope, folder):
    code, out, err = shiftscope(*arguments(folder, block=2), "--quiet")
    assert (code, out) == (0, ""), err
    files = {path.name for path in (folder / "out").iterdir()}
    assert {"audit.csv", "audit.nc", "strip.png", "shifts.png", "report.html", "kernels.csv", "kernels.nc"} <= files
    table = pd.read_csv(folder / "out" / "audit.csv")
    assert table.place.tolist() == ["0", "2", "3", "head"]
    assert table.blame.sum() == pytest.approx(1, abs=1e-5)
    with xr.open_dataset(folder / "out" / "audit.nc", engine="h5netcdf") as audit:
        text = audit.attrs["verdict"]
        assert audit.images_used == 6
    page = (folder / "out" / "report.html").read_text()
    assert text in page and page.count("data:image/png") == 2 and "http://" not in page.split("</style>")[1]
    code, out, err = shiftscope(*arguments(folder, block=2))
    assert code == 0 and "6 images" in err and text in out
    pd.testing.assert_frame_equal(pd.read_csv(folder / "out" / "audit.csv"), table)
    code, out, err = shiftscope(*arguments(folder, block=2, shift="0,3"))
    assert code == 2 and "shifts" in err and err.count("\n") == 1


def test_mending_and_its_cost_are_said_beforehand(shiftscope, folder):
    options = ("--no-first-layer", "--no-figures", "--mend", "blur3", "--mend-limit", "3")
    code, out, err = shiftscope(*arguments(folder, limit=5), *options)
    assert code == 0 and "mending" in out.lower(), err
    assert "120 passes" in err  # 3 pictures, 2 shifts in both directions, and for 2 places 2 (2 + 3) passes
    table = pd.read_csv(folder / "out" / "mending.csv")
    assert table.remedy.unique().tolist() == ["blur3"] and table.step.tolist() == [1, 2]
    code, _, err = shiftscope(*arguments(folder, limit=5), "--mend", "cmod")
    assert code == 2 and "cmod" in err and err.count("\n") == 1


def test_the_first_layer_is_given_to_the_kernel_analysis_as_colours_in_order(folder):
    from analysis.networks.loading import load_network
    from analysis.networks.place import places
    from analysis.reports.first_convolution import first_convolution

    loaded = load_network(f"{folder / 'mine.py'}:small", size=64)
    layer = first_convolution(loaded, places(loaded.model, torch.zeros(1, 3, 64, 64)))
    weight = loaded.model[0].weight.detach().numpy()
    assert np.array_equal(layer.weight, weight[:, ::-1]) and layer.stride == 2 and layer.pool == 3
    assert layer.mean == pytest.approx([0.4] * 3) and layer.std == pytest.approx([0.2] * 3)


def test_borders_keys_and_orders_are_options(shiftscope, folder):
    options = ["--quiet", "--form=sampled", "--no-first-layer", "--limit=3"]
    code, _, err = shiftscope(*arguments(folder, "pair", borders="both", output="logits"), *options)
    assert code == 0, err
    with xr.open_dataset(folder / "out" / "audit.nc", engine="h5netcdf") as audit:
        assert audit.borders.values.tolist() == ["circular", "own"] and audit.form == "sampled"
    assert not (folder / "out" / "kernels.csv").exists()


@pytest.mark.parametrize(
    ("network", "options", "told"),
    [
        ("dense", {}, "no place"),
        ("pair", {}, "--output"),
        ("pair", {"output": "logit"}, "logit"),
        ("small", {"borders": "round"}, "round"),
        ("small", {"shift": "1"}, "DY,DX"),
        ("small", {"shift": "0,0"}, "zero"),
        ("small", {"images": "nowhere"}, "nowhere"),
        ("small", {"size": 0}, "size"),
        ("none", {}, "no function"),
    ],
)
def test_refusals_are_one_line_and_make_no_folder(shiftscope, folder, network, options, told):
    code, out, err = shiftscope(*arguments(folder, network, **options))
    assert code == 2 and told in err and err.count("\n") == 1 and not out
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("resnet20-cifar", [], "--weights"),
        ("resnet20-cifar", ["--pretrained"], "timm:NAME"),
        ("timm:resnet18", [], "timm"),
        ("resnet21-cifar", [], "resnet20-cifar"),
    ],
)
def test_names_of_networks(shiftscope, folder, name, options, told):
    code, _, err = shiftscope("audit", name, "--images", folder / "images", "--out", folder / "out", *options)
    assert code == 2 and told in err and err.count("\n") == 1
