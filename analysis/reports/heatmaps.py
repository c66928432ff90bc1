"""Report of the packet maps: measured on images, and predicted from their power spectrum."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.figure import Figure

from analysis.measurements.shift_experiment import SHIFTS
from analysis.measurements.spectra import POINTS, SpectrumMeasurement
from analysis.packet_maps import packet_experiment
from analysis.plots import overview_figure, prediction_figure
from analysis.prediction import predict_like
from analysis.reports.session import Images, Session
from analysis.reports.writer import Report
from analysis.runs.feed import run
from analysis.theory import gamma_over_cells
from wavelets.filters import DEFAULT

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

    Writes ``heatmaps_J{levels}.nc``, ``.png`` and ``.pdf`` for each depth, ``skipped.txt`` if images had to be left
    out, and with `predict` also ``prediction_J{levels}.nc``, ``.png`` and ``.pdf``.

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
        limit, block, resume, overwrite, scheduler, workers, threads, progress, on_skip: as for
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
        figures: dict[str, Callable[[], Figure]] = {}
        for dataset in datasets:
            name = f"heatmaps_J{dataset.levels}"
            report.save(dataset, name)
            figures[name] = partial(_overview, dataset)
        report.draw(figures, DPI, SUFFIXES)
        if power is not None:
            _predict(report, datasets, power.spectrum.values, filters)
    return report


def _predict(report: Report, datasets: list[xr.Dataset], spectrum: np.ndarray, filters: str) -> None:
    """Predict the maps of every depth, fit the share of isolated features, and write results and figures."""
    for dataset in datasets:
        prediction = predict_like(dataset, spectrum, filters, progress=report.progress)
        prediction.attrs["spectrum"] = "mean over the images, each with its mean removed, under a Hann window"
        name = f"prediction_J{dataset.levels}"
        report.save(prediction, name)
        report.draw({name: partial(prediction_figure, dataset, prediction)}, DPI, SUFFIXES)


def _overview(dataset: xr.Dataset) -> Figure:
    theta = np.stack([dataset.theta_y.values, dataset.theta_x.values], axis=-1)
    return overview_figure(dataset, gamma_over_cells(theta, int(dataset.levels), int(dataset.stride)))
