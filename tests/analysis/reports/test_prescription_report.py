"""What a prescription leaves on disk: tables, a figure whose points lead to their numbers, and a page."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from analysis.kernels import FirstLayer, gabor
from analysis.reports.prescribe import prescribe_report
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


def made(layer, out, *args, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return prescribe_report(layer, out, *args, size=SIZE, fields=2, progress=False, **options)


def test_report_with_photographs(layer, pictures, tmp_path):
    report = made(layer, tmp_path / "out", pictures, target=0.2)
    assert not report.failures
    names = ["front.png", "measured.csv", "prescribe.csv", "prescribe.nc", "report.html"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    frame, measured = (pd.read_csv(tmp_path / "out" / f"{name}.csv") for name in ("prescribe", "measured"))
    table = xr.load_dataset(tmp_path / "out" / "prescribe.nc")
    np.testing.assert_allclose(frame.eta, table.eta, rtol=1e-5)
    assert (measured.measured_n == 3).all() and measured.design[0] == 0 and len(measured) >= 2
    np.testing.assert_allclose(measured.eta, table.eta.values[measured.design], rtol=1e-5)
    page = (tmp_path / "out" / "report.html").read_text()
    assert table.sentence.replace(">", "&gt;") in page
    assert '<b>&"x' not in page and str(table.target) in page
    links, marks = set(re.findall(r'href="#(design-\d+)"', page)), set(re.findall(r'id="(design-\d+)"', page))
    assert len(links) >= int(table.front.sum()) and links <= marks
    assert table.sentence in prescription_summary(report)


def test_report_without_photographs(layer, tmp_path):
    report = made(layer, tmp_path / "out", spectrum="flat")
    assert report.datasets["prescribe"].spectrum == "flat" and not (tmp_path / "out" / "measured.csv").exists()
    assert (tmp_path / "out" / "report.html").exists()


def test_what_is_refused(layer, pictures, tmp_path):
    with pytest.raises(ValueError, match="measured"):
        made(layer, tmp_path / "out", spectrum="measured")
    with pytest.raises(ValueError, match="pink"):
        made(layer, tmp_path / "out", spectrum="pink")
    with pytest.raises(ValueError, match="best"):
        made(layer, tmp_path / "out", target=1e-9)
    assert not (tmp_path / "out" / "report.html").exists()
