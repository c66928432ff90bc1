"""Results that the explorer's tests look at."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import analysis
from analysis.kernels import FirstLayer, describe_kernels, gabor
from analysis.reports.explorer.contents import MEASURED

RESULTS = Path(__file__).resolve().parents[3] / "results"
NAME = '</script><b>&"x'
DEAD, TURNED = 2, 4


@pytest.fixture(scope="module")
def layer():
    """Five gratings in colour, one of which is pooled as its opposite, and a dead kernel."""
    waves = [
        [1, 0.3, y, x, 3, 3, 1.7, 1.5, 0]
        for y, x in [(0.5, 1.6), (2.0, 0.3), (0, 1), (-1.2, 1.2), (1.9, 0.2), (0, 2.8)]
    ]
    colours = [(0.6, 0.6, 0.5), (1.0, 0.1, -1.0), (0, 0, 0), (0.6, -0.6, 0.1), (0.2, 0.1, 1.0), (0.5, 0.5, 0.5)]
    weight = np.stack(
        [np.multiply.outer(colour, gabor(wave, (7, 7))) for colour, wave in zip(colours, waves, strict=True)]
    )
    scale = np.where(np.arange(len(weight)) == TURNED, -1.0, 1.0)
    return FirstLayer(NAME, weight.astype(np.float32), stride=2, scale=scale)


@pytest.fixture(scope="module")
def table(layer):
    """Table of the layer as `kernel_table` makes it, with invented measurements."""
    table = describe_kernels(layer, progress=False)
    rng = np.random.default_rng(0)
    for name in MEASURED:
        dims = ("kernel",) if name in ("rho", "share_of_change") else ("kernel", "shift")
        for suffix, scale in (("", 1), ("_stderr", 0.01)):
            values = scale * rng.random((len(layer.weight), 2)[: len(dims)])
            values[DEAD] = np.nan
            table[name + suffix] = (dims, values)
    table["weight"] = (("kernel", "channel", "row", "column"), layer.weight)
    table["gain"] = ("kernel", layer.gain)
    table = table.assign_coords(shift_y=("shift", [0.0, 1.0]), shift_x=("shift", [1.0, 0.0]))
    return table.assign_attrs(images_used=3)


@pytest.fixture(scope="module")
def maps():
    """Packet maps of a thousand photographs."""
    return analysis.load(RESULTS / "imagenet1000_cf_3_3" / "heatmaps_J2.nc")
