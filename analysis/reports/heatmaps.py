"""Report of the packet maps: measured on images, and predicted from their power spectrum."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from analysis.measurements.correlation import map_correlation
from analysis.measurements.shift_experiment import SHIFTS
from analysis.measurements.spectra import POINTS, SpectrumMeasurement
from analysis.packet_maps import packet_experiment
from analysis.prediction import predict_like
from analysis.reports.session import Images, Session
from analysis.reports.writer import Report, csv_uri, number
from analysis.runs.feed import run
from wavelets.filters import DEFAULT

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
SUFFIXES = ("png", "pdf")


def heatmap_report(
    images: Images,
    out: str | os.PathLike[str],
    levels: int | Sequence[int] = (2, 3),
    filters: str = DEFAULT,
    shifts: Sequence[Sequence[float]] = SHIFTS,
    size: int = 224,
    *,
    predict: bool = False,
    device: str | None = None,
    **how: Any,
) -> Report:
    """Measure RMax-CMod discrepancy and shift stability of every packet filter, and write results and figures.

    Writes ``heatmaps_J{levels}.nc``, ``.png`` and ``.pdf`` for each depth, report.html, ``skipped.txt`` if images had
    to be left out, and with `predict` also ``prediction_J{levels}.nc``, ``.png`` and ``.pdf``.

    Parameters
    ----------
    images : path, iterable of paths and arrays, or None
        A folder, searched recursively, or the images themselves; None stands for the photographs of scikit-image.
    out : path
        Folder for the results; it is created. A run that was stopped there is continued.
    levels : int or sequence of int
        Depths J; the stride is 2**(J - 1).
    filters, shifts, size, device
        As for :func:`analysis.heatmaps`.
    predict : bool
        Also predict the maps from the power spectrum of the images.
    **how
        limit, block, resume, overwrite, scheduler, workers, threads, progress, on_skip, figures: as for
        :class:`analysis.reports.session.Session`.

    Returns
    -------
    Report
        Its `datasets` have the names of the files.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, if no image could be used, or if the folder has results of another run.
    OSError
        If the images are not there, or the folder cannot be written to.
    """
    depths = list(dict.fromkeys([levels] if isinstance(levels, int) else levels))
    experiments = [packet_experiment(depth, filters, shifts, size, device=device) for depth in depths]
    session = Session("heatmaps", images, out, size, **how)
    spectra = [SpectrumMeasurement(size, max(POINTS, size))] if predict else []
    settings = dict(experiments[0].settings) | {"levels": depths, "predict": predict}
    with session.results(settings, [f"heatmaps_J{depth}.nc" for depth in depths]) as report:
        datasets = session.measure(partial(run, experiments=[*experiments, *spectra], desc="heatmaps"))
        power = datasets.pop() if predict else None
        report.inputs = len(report.skipped) + datasets[0].images_used
        for dataset in datasets:
            report.save(dataset, f"heatmaps_J{dataset.levels}")
        predictions = [] if power is None else _predictions(report, datasets, power.spectrum.values, filters)
        drawn = report.draw(figures(datasets, predictions), DPI, SUFFIXES)
        report.save_page("heatmaps.html.j2", partial(page_values, datasets), drawn)
    return report


def _predictions(
    report: Report, datasets: Sequence[xr.Dataset], spectrum: np.ndarray, filters: str
) -> list[xr.Dataset]:
    """Predict the maps of every depth, fit the share of isolated features, and write the results."""
    meaning = "mean over the images, each with its mean removed, under a Hann window"
    predictions = []
    for dataset in datasets:
        prediction = predict_like(dataset, spectrum, filters, progress=report.progress).assign_attrs(spectrum=meaning)
        report.save(prediction, f"prediction_J{dataset.levels}")
        predictions.append(prediction)
    return predictions


def figures(datasets: Sequence[xr.Dataset], predictions: Sequence[xr.Dataset] = ()) -> dict[str, Callable[[], Figure]]:
    """Figures of packet maps, by the names of the files; each is drawn when called.

    Parameters
    ----------
    datasets : sequence of xarray.Dataset
        Of :func:`analysis.heatmaps`, one a depth.
    predictions : sequence of xarray.Dataset
        Of :func:`analysis.prediction.predict_like`, one a depth, or none.

    Returns
    -------
    dict of str to callable
    """
    from analysis.plots import overview_figure, prediction_figure  # the first image is not to wait for matplotlib

    drawn: dict[str, Callable[[], Figure]] = {}
    for dataset in datasets:
        drawn[f"heatmaps_J{dataset.levels}"] = partial(overview_figure, dataset)
    for dataset, prediction in zip(datasets, predictions, strict=False):
        drawn[f"prediction_J{dataset.levels}"] = partial(prediction_figure, dataset, prediction)
    return drawn


COLUMNS = {
    "filter": ("filter", "position in the transform"),
    "theta_y": ("θ_y/π", "characteristic frequency, vertical, radians a sample over π"),
    "theta_x": ("θ_x/π", "characteristic frequency, horizontal"),
    "gamma": ("γ₁(mθ)", "ρ of a pure wave, by theory"),
    "rho": ("ρ", "|RMax − CMod| / |CMod|, mean over images ± standard error"),
    "rho_rms": ("ρ rms", "root of the ratio of summed squares"),
    "eta_rmax": ("η RMax", "relative change of RMax, mean over images and shifts"),
    "eta_cmod": ("η CMod", "relative change of CMod, mean over images and shifts"),
    "saved": ("η RMax − η CMod", "what the modulus saves"),
    "kind": ("cell", "low-pass: holds the mean; edge: its band touches 0 or π, so that it is not analytic"),
}


def page_values(datasets: Sequence[xr.Dataset]) -> dict[str, Any]:
    """Values that the page shows: verdict, and a table of the filters of every depth."""
    first = datasets[0]
    frames = [heatmap_frame(dataset) for dataset in datasets]
    return {
        "attrs": first.attrs,
        "sentences": [verdict(dataset) for dataset in datasets],
        "shifts": list(zip(first.shift_y.values.tolist(), first.shift_x.values.tolist(), strict=True)),
        "columns": [(title, help, name == "kind") for name, (title, help) in COLUMNS.items()],
        "parts": [
            {
                "levels": int(dataset.levels),
                "stride": int(dataset.stride),
                "name": f"heatmaps_J{dataset.levels}",
                "prediction": f"prediction_J{dataset.levels}",
                "csv_file": csv_uri(frame),
                "rows": [_cells(row) for row in frame.sort_values("saved", ascending=False).to_dict("records")],
            }
            for dataset, frame in zip(datasets, frames, strict=True)
        ],
    }


def heatmap_frame(dataset: xr.Dataset) -> pd.DataFrame:
    """One row a packet filter; changes are means over the shifts.

    Parameters
    ----------
    dataset : xarray.Dataset
        Of :func:`analysis.heatmaps`.

    Returns
    -------
    pandas.DataFrame
    """
    names = ("theta_y", "theta_x", "gamma", "rho", "rho_stderr", "rho_rms", "eta_rmax", "eta_cmod")
    columns = {
        name: (dataset[name].mean("shift") if "shift" in dataset[name].dims else dataset[name]).values for name in names
    }
    frame = pd.DataFrame({"filter": np.arange(dataset.sizes["filter"])} | columns)
    frame["saved"] = frame.eta_rmax - frame.eta_cmod
    frame["kind"] = np.where(dataset.low_pass.values, "low-pass", np.where(dataset.edge.values, "edge", "interior"))
    return frame


def verdict(dataset: xr.Dataset) -> str:
    """Sentence that says how far RMax is from CMod at one depth, how much both change, and where.

    Parameters
    ----------
    dataset : xarray.Dataset
        Of :func:`analysis.heatmaps`.
    """
    frame = heatmap_frame(dataset)
    frame = frame[frame.kind != "low-pass"].dropna(subset=["rho", "eta_rmax"])
    begin = f"J = {dataset.levels}: "
    if frame.empty:
        return begin + "no band-pass filter responds to these images."
    worst = frame.loc[frame.eta_rmax.idxmax()]
    where = f"({worst.theta_y / np.pi:.2f} π, {worst.theta_x / np.pi:.2f} π)".replace("-", "−")
    text = (
        f"{begin}max pooling differs from the modulus by {100 * frame.rho.min():.0f} to {100 * frame.rho.max():.0f} % "
        f"(median {100 * frame.rho.median():.0f}). Under the shifts it changes by "
        f"{100 * frame.eta_rmax.median():.0f} % in the median and by {100 * worst.eta_rmax:.0f} % at worst, at "
        f"θ = {where}; the modulus by {100 * frame.eta_cmod.median():.0f} and {100 * frame.eta_cmod.max():.0f} %."
    )
    correlation = map_correlation(dataset)
    if np.isfinite(correlation):
        text += (
            f" Theory says where RMax and CMod differ: correlation {correlation:.2f} with γ₁(mθ) (in the figure, with "
            "its mean over a cell)."
        )
    return text


def _cells(row: dict[str, Any]) -> list[tuple[str, str]]:
    """Text and value for sorting of each column of a row."""
    cells = []
    for name in COLUMNS:
        value = row[name] / np.pi if name.startswith("theta") else row[name]
        text = number(value, 2 if name.startswith("theta") else 3)
        if name == "rho" and np.isfinite(row["rho_stderr"]):
            text += f" ± {number(row['rho_stderr'])}"
        cells.append((text, "" if isinstance(value, float) and not np.isfinite(value) else str(value)))
    return cells
