"""What a prescription leaves on disk: tables, a figure whose points lead to their numbers, and a page."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from analysis.kernels import FirstLayer, gabor
from analysis.kernels.prescription import DesignMeasurement
from analysis.reports.links import LINK, NO_LINK
from analysis.reports.prescribe import prescribe_report
from analysis.reports.stored import stored_report
from analysis.reports.summaries import prescription_summary

SIZE = 64


@pytest.fixture(scope="module")
def layer():
    waves = [[1, 0, 0.2, 1.6, 2, 2, 1.5, 1.5, 0], [1, 0, 1.3, 1.3, 2, 2, 1.5, 1.5, 0], [0, 0, 1, 1, 2, 2, 1, 1, 0]]
    kernels = np.stack([gabor(np.array(wave, float), (5, 5)) for wave in waves])
    return FirstLayer('<b>&"x', np.repeat(kernels[:, None], 3, axis=1), 2)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for index, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (6, 80, 80, 3), np.uint8)):
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return folder


@pytest.fixture
def plain_figure(monkeypatch):
    """Spare the drawing of the front where a test is not about it."""
    monkeypatch.setattr("analysis.plots.prescribe.front_figure", lambda *_: Figure())


def made(layer, out, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return prescribe_report(layer, out, *args, size=SIZE, fields=2, progress=False, **options)


def test_report_with_photographs(layer, pictures, tmp_path):
    report = made(layer, tmp_path / "out", pictures, target=0.2)
    assert not report.failures
    names = {f"prescribe.{suffix}" for suffix in ("csv", "nc", "html", "journal")} | {"front.png", "measured.csv"}
    assert {path.name for path in (tmp_path / "out").iterdir()} == names
    frame, measured = (pd.read_csv(tmp_path / "out" / f"{name}.csv") for name in ("prescribe", "measured"))
    table = xr.load_dataset(tmp_path / "out" / "prescribe.nc")
    np.testing.assert_allclose(frame.eta, table.eta, rtol=1e-5)
    assert (measured.measured_n == 3).all() and measured.design[0] == 0
    assert table.answer in set(measured.design) and table.front.values[measured.design].sum() == 3
    np.testing.assert_allclose(measured.eta, table.eta.values[measured.design], rtol=1e-5)
    page = (tmp_path / "out" / "prescribe.html").read_text()
    assert table.sentence.replace(">", "&gt;") in page
    assert '<b>&"x' not in page and str(table.target) in page
    again = stored_report([tmp_path / "out" / "prescribe.nc"], tmp_path / "again.html", figures=False).read_text()
    assert table.sentence.replace(">", "&gt;") in again and again.count('class="map') == page.count('class="map')
    links, marks = set(re.findall(r'href="#(design-\d+)"', page)), set(re.findall(r'id="(design-\d+)"', page))
    assert len(links) >= int(table.front.sum()) and links <= marks
    # A map for every point: one mark a kernel that is not dead, a square where it has CMod.
    alive = layer.weight.any(axis=(1, 2, 3))
    assert alive.tolist() == [True, True, False]
    maps = dict(re.findall(r'<figure class="map[^>]*id="(design-\d+)">(.*?)</figure>', page, re.DOTALL))
    assert set(maps) == marks
    for mark, drawn in maps.items():
        design = int(mark.split("-")[1])
        modulus = ["CMod" in str(table.ways.values[way]) for way in table.way.values[design][alive]]
        plane = drawn[: drawn.index('y="-98"')]  # what follows is the legend
        assert [plane.count(f'<{tag} class="dot"') for tag in ("rect", "circle")] == [sum(modulus), 2 - sum(modulus)]
    assert not re.search(r'(src|href)="https?:', page)
    assert table.sentence in prescription_summary(report)
    assert all(f"{eta:.3f}" in prescription_summary(report) for eta in measured.measured_eta)


def test_a_layer_that_nothing_betters(layer, tmp_path, plain_figure, monkeypatch):
    monkeypatch.setattr("analysis.kernels.prescription._front", lambda eta, cost: np.arange(len(eta)) == 0)
    assert made(layer, tmp_path).datasets["prescribe"].front.sum() == 1


def test_report_without_photographs(layer, tmp_path):
    report = made(layer, tmp_path / "out", spectrum="flat")
    assert report.datasets["prescribe"].spectrum == "flat" and not (tmp_path / "out" / "measured.csv").exists()
    assert (tmp_path / "out" / "prescribe.html").exists()


def test_a_measurement_that_was_stopped_is_continued(layer, pictures, tmp_path, monkeypatch, plain_figure):
    whole = made(layer, tmp_path / "whole", pictures, block=1)
    ordinary, seen = DesignMeasurement.measure, []

    def stopped(self, pixels, names=()):
        if seen:
            raise KeyboardInterrupt
        seen.append(names)
        return ordinary(self, pixels, names)

    monkeypatch.setattr(DesignMeasurement, "measure", stopped)
    with pytest.raises(KeyboardInterrupt):
        made(layer, tmp_path / "out", pictures, block=1)
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"prescribe.journal"}
    with pytest.raises(ValueError, match="shifts"):  # other designs, other sums
        made(layer, tmp_path / "out", pictures, block=1, shifts=[(2, 2)])
    measured = []
    monkeypatch.setattr(
        DesignMeasurement, "measure", lambda self, x, names=(): measured.append(len(x)) or ordinary(self, x, names)
    )
    made(layer, tmp_path / "out", pictures, block=1, resume=True)
    assert sum(measured) == 2
    tables = [pd.read_csv(tmp_path / name / "measured.csv") for name in ("whole", "out")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert not whole.failures
    with pytest.raises(ValueError, match="nothing to resume"):
        made(layer, tmp_path / "empty", pictures, resume=True)


@pytest.mark.parametrize("name", ["report.html", "explorer.html"])
def test_page_of_the_kernels_in_the_same_folder_gets_a_link_and_no_other_page_does(layer, tmp_path, plain_figure, name):
    page = tmp_path / name
    page.write_text(f"<body>{NO_LINK}</body>")
    for _ in range(2):  # the second time the link is there
        made(layer, tmp_path, spectrum="flat")
        assert page.read_text() == f"<body>{LINK}</body>"
        assert f'href="{name}"' in (tmp_path / "prescribe.html").read_text()
    page.write_text("<body>audit</body>")
    made(layer, tmp_path, spectrum="flat")
    assert page.read_text() == "<body>audit</body>"
    assert f'href="{name}"' not in (tmp_path / "prescribe.html").read_text()


def test_one_photograph_is_not_enough(layer, pictures, tmp_path):
    with pytest.raises(ValueError, match="two or more"):
        made(layer, tmp_path, pictures, limit=1)


def test_what_is_refused(layer, pictures, tmp_path):
    with pytest.raises(ValueError, match="measured"):
        made(layer, tmp_path / "out", spectrum="measured")
    with pytest.raises(ValueError, match="pink"):
        made(layer, tmp_path / "out", spectrum="pink")
    with pytest.raises(ValueError, match="best"):
        made(layer, tmp_path / "out", target=1e-9)
    assert not (tmp_path / "out" / "prescribe.html").exists()
