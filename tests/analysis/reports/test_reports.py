"""Reports as a notebook calls them: what comes back, what is on disk, and what a failing figure costs."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image

from analysis import bundled_images, heatmap_report, kernel_report, load
from analysis.files.folders import FIGURES, ImageFolder
from analysis.files.results import save_figure
from analysis.kernels import FirstLayer, gabor
from analysis.reports import kernels as kernels_module
from analysis.reports.stored import stored_report
from analysis.reports.writer import Report, UnwrittenWarning


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def pictures():
    return list(np.random.default_rng(0).random((3, 64, 64, 3)))


@pytest.fixture
def layer():
    waves = [[1, 0.3, 0.5, 1.6, 3, 3, 1.7, 1.7, 0], [1, 1, 1.9, 0.2, 3, 3, 1.7, 1.7, 0]]
    return FirstLayer("two", np.stack([np.multiply.outer((0.6, 0.6, 0.5), gabor(wave, (7, 7))) for wave in waves]), 2)


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (64, 70, 3), dtype=np.uint8)).save(folder / name)
    return folder


def test_heatmaps_and_predictions_of_arrays(pictures, tmp_path):
    grey = [picture.mean(2) for picture in pictures]
    report = heatmap_report([*grey, np.zeros((0, 3))], tmp_path, 1, size=64, limit=4, predict=True, progress=False)
    assert list(report.datasets) == ["heatmaps_J1", "prediction_J1"]
    assert (report.inputs, len(report.skipped), report.failures) == (4, 1, [])
    assert load(tmp_path / "heatmaps_J1.nc").rho.equals(report.datasets["heatmaps_J1"].rho)
    drawn = [f"{name}_J1.{suffix}" for name in ("heatmaps", "prediction") for suffix in ("nc", "pdf", "png")]
    assert names(tmp_path) == sorted([*drawn, "heatmaps.journal", "report.html", "skipped.txt"])
    again = tmp_path / "again" / "report.html"
    again.parent.mkdir()
    stored_report([tmp_path / "heatmaps_J1.nc"], again, figures=False)
    rows = re.findall(r"<tr><td data-value", again.read_text("utf-8"))
    assert len(rows) == 8 and "<figure" in (tmp_path / "report.html").read_text("utf-8")
    with pytest.raises(TypeError, match="nonsense"):
        heatmap_report(grey, tmp_path, 1, nonsense=3)


def test_kernels_of_a_layer_on_the_bundled_photographs(layer, tmp_path):
    seen = []
    report = kernel_report(layer, None, tmp_path / "out", [(0, 1)], 64, limit=2, progress=False, on_skip=seen.append)
    table = report.datasets["kernels"]
    assert (table.layer, table.images_used, table.sizes["shift"]) == ("two", 2, 1) and not seen
    assert (tmp_path / "out" / "report.html").stat().st_size > 10_000


@pytest.mark.parametrize("error", [ZeroDivisionError("by zero"), MemoryError(), RuntimeError("two\nlines")])
def test_a_figure_that_fails_costs_nothing_else(layer, pictures, tmp_path, monkeypatch, error):
    def fails():
        raise error

    figures = dict.fromkeys(("mosaic", "fourier", "plane", "predicted"), lambda: Figure((1, 1))) | {"ranking": fails}
    monkeypatch.setattr(kernels_module, "figures", lambda table, layer: figures)
    with pytest.warns(UnwrittenWarning, match=f"ranking.*{type(error).__name__}"):
        report = kernel_report(layer, pictures, tmp_path, size=64, progress=False)
    (failure,) = report.failures
    assert "ranking" in failure and "\n" not in failure
    drawn = ["fourier.png", "mosaic.png", "plane.png", "predicted.png"]
    assert names(tmp_path) == sorted([*drawn, "kernels.csv", "kernels.journal", "kernels.nc", "report.html"])
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "figure ranking could not be drawn" in page and page.count("<figure") == 4


def test_the_command_reports_a_failing_figure_in_one_line(shiftscope, images, tmp_path, monkeypatch):
    def draw(*_):
        raise ZeroDivisionError("no figure")

    monkeypatch.setattr("analysis.plots.overview_figure", draw)
    options = "--levels", 1, "--levels", 2, "--size", 64, "--images", images, "--out", tmp_path / "out"
    code, printed, errors = shiftscope("heatmaps", *options)
    assert code == 2 and "2 images used" in printed and "Traceback" not in errors
    last = errors.splitlines()[-1]
    assert last.startswith("shiftscope: ") and "heatmaps_J1" in last and "no figure" in last and "1 more" in last
    assert (
        load(tmp_path / "out" / "heatmaps_J1.nc").images_used == load(tmp_path / "out" / "heatmaps_J2.nc").images_used
    )


def test_a_page_that_fails_costs_no_figure(layer, pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(kernels_module, "page_values", lambda *_: {})
    with pytest.warns(UnwrittenWarning, match=r"report\.html"):
        report = kernel_report(layer, pictures, tmp_path, size=64, progress=False)
    assert len(report.failures) == 1 and {"kernels.nc", "kernels.csv", "mosaic.png"} <= set(names(tmp_path))


def test_stability_of_a_module(images, tmp_path):
    torch = pytest.importorskip("torch")
    from analysis import stability_report

    model = torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.MaxPool2d(3, 2), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    options = {"remedies": ["blur3", "blur3"], "size": 24, "shifts": 2, "progress": False}
    report = stability_report(model, images, tmp_path / "out", **options)
    found = report.datasets["stability"]
    assert found.remedy.values.tolist() == ["plain", "blur3"]
    assert (found.network, found.pictures, found.size) == ("Sequential", 2, 24)
    assert (tmp_path / "out" / "report.html").is_file() and not report.failures
    with pytest.raises(ValueError, match=r"weights is w\.pt"):
        stability_report(model, images, tmp_path / "out", weights="w.pt")


# --- figures of the project are no photographs -----------------------------------------------------------------------


@pytest.mark.usefixtures("empty_figures")
def test_results_beside_the_photographs_are_no_photographs(shiftscope, images, monkeypatch):
    monkeypatch.chdir(images)
    arguments = "heatmaps", "--images", ".", "--levels", 1, "--size", 64, "--out", "."
    assert shiftscope(*arguments)[0] == 0
    code, printed, errors = shiftscope(*arguments)
    assert code == 0 and "2 images used, 0 skipped" in printed and "heatmaps_J1.png" in errors
    (images / "sub").mkdir()
    code, printed, errors = shiftscope(*arguments[:-1], "sub", "--strict", "--quiet")
    assert (code, printed, errors) == (0, "", "") and load("sub/heatmaps_J1.nc").images_used == 2


def test_every_figure_of_a_report_is_known_where_folders_are_walked(layer):
    pytest.importorskip("torch")
    import analysis.reports.stability as stability_module

    known = [
        *kernels_module.figures(None, layer),
        "heatmaps_J2",
        "prediction_J3",
        "training",
        "strip",
        "shifts",
        "front",
    ]
    known += stability_module.figures(xr.Dataset({"adversary": 1, "accuracy": 1}))
    assert len(known) == 17 and all(FIGURES.fullmatch(name) for name in known)


def test_only_figures_are_left_out_and_photographs_of_the_same_name_are_not(images):
    report = Report(images, progress=False)
    report.draw({"map": lambda: Figure((1, 1))}, 50)
    save_figure(Figure((1, 1)), images / "mine.png")
    Image.open(images / "a.png").save(images / "trade.png")
    folder = ImageFolder(images)
    found = [path.rpartition("/")[2] for path in folder]
    assert found == ["a.png", "b.png", "mine.png", "trade.png"] and len(folder) == 4
    assert [path.rpartition("/")[2] for path in folder.figures] == ["map.png"]
    assert len(list(ImageFolder(images, 2))) == 2
    assert not any(FIGURES.fullmatch(path.stem) for path in bundled_images())
