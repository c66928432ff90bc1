"""Report of a kernel analysis: table, figures, and one HTML page that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import xarray as xr
from markupsafe import Markup
from matplotlib.figure import Figure

from analysis import plots
from analysis.kernels import first_layer
from analysis.kernels.gabor_fit import gabor
from analysis.kernels.layer import FirstLayer
from analysis.kernels.table import kernel_frame, kernel_table, rank_correlation
from analysis.measurements.shift_experiment import SHIFTS
from analysis.plots.first_layer import filter_crop
from analysis.reports.links import LINK, NO_LINK, PAGE
from analysis.reports.session import Images, Session
from analysis.reports.writer import Report, picture
from analysis.theory import gamma_map
from wavelets.checks import integer
from wavelets.complex_filters import complex_filters
from wavelets.kernel_kinds import first_colour

CORRELATIONS = {
    "ρ measured, γ(mθ)": ("rho_rms", "gamma"),
    "ρ measured, ρ predicted": ("rho_rms", "predicted_rho"),
    "η of RMax measured, predicted on a Gaussian field": ("eta_rmax_rms", "predicted_eta_rmax"),
    "η of RMax, η of CMod": ("eta_rmax", "eta_cmod"),
    "η of RMax, η of the output": ("eta_rmax", "eta_output"),
    "η of RMax, share of the layer's change": ("eta_rmax", "share_of_change"),
}
DPI = 100
NAMED = 8  # kernels in the verdict


def figures(table: xr.Dataset, layer: FirstLayer) -> dict[str, Callable[[], Figure]]:
    """Figures of a kernel analysis, by the names of their files; each is drawn when called.

    Parameters
    ----------
    table : xarray.Dataset
        Of `kernel_table`.
    layer : FirstLayer
        What it was made from.

    Returns
    -------
    dict of str to callable
    """
    return {
        "mosaic": lambda: plots.mosaic_figure(layer.weight, layer.name),
        "fourier": lambda: plots.fourier_figure(layer.weight, layer.name),
        "plane": lambda: plots.kernel_plane_figure(table, gamma_map(layer.stride, q=layer.q)),
        "predicted": lambda: plots.kernel_prediction_figure(table),
        "ranking": lambda: plots.ranking_figure(table),
    }


def kernel_report(
    source: Any,
    images: Images,
    out: str | os.PathLike[str],
    shifts: Sequence[Sequence[float]] = SHIFTS,
    size: int = 224,
    **how: Any,
) -> Report:
    """Analyse the kernels of a first layer, and write the table, figures and a page.

    Writes kernels.csv, kernels.nc, mosaic.png, fourier.png, plane.png, predicted.png, ranking.png and report.html.

    Parameters
    ----------
    source : FirstLayer, or what :func:`analysis.first_layer` takes
        A file or an array is known with its stride only: ``first_layer(file, stride=2)``.
    images : path, iterable of paths and arrays, or None
        A folder, searched recursively, or the images themselves; None stands for the photographs of scikit-image.
    out : path
        Folder for the results; it is created. A run that was stopped there is continued.
    shifts, size
        As for :func:`analysis.kernel_table`.
    **how
        limit, block, resume, overwrite, scheduler, workers, threads, progress, on_skip: as for
        :class:`analysis.reports.session.Session`.

    Returns
    -------
    Report
        Its `datasets` have the one dataset "kernels".

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, if no image could be used, or if the folder has results of another run.
    OSError
        If the images are not there, or the folder cannot be written to.
    """
    layer = source if isinstance(source, FirstLayer) else first_layer(source, progress=how.get("progress", True))
    session = Session("kernels", images, out, size, colour=True, **how)
    with session.results(layer.settings() | {"shifts": shifts, "size": size}, ["kernels.nc"]) as report:
        table = session.measure(partial(kernel_table, layer, shifts=shifts, size=size))
        report.inputs = len(report.skipped) + table.images_used
        write_kernels(report, table, layer)
    return report


def write_kernels(report: Report, table: xr.Dataset, layer: FirstLayer) -> None:
    """Write kernels.nc, kernels.csv, the figures and report.html.

    Parameters
    ----------
    report : Report
        Names the folder.
    table : xarray.Dataset
        Of `kernel_table`.
    layer : FirstLayer
        What it was made from.
    """
    report.save(table, "kernels")
    report.save_table(lambda: kernel_frame(table), "kernels", index=False)
    drawn = report.draw(figures(table, layer), DPI)
    prescribed = (report.folder / PAGE).is_file()
    report.save_page("kernels.html.j2", partial(page_values, table, layer, prescribed), drawn)


def page_values(table: xr.Dataset, layer: FirstLayer, prescribed: bool = False) -> dict[str, Any]:
    """Values that the page shows: numbers of the layer, correlations, and a card for each kernel."""
    rows = kernel_frame(table).to_dict("records")
    plane, _, _ = first_colour(layer.weight)
    filters = complex_filters(plane[:, None], int(table.attrs["grid"]))[:, 0]
    parts = zip(rows, layer.weight, table.gabor.values, filters, strict=True)
    kinds, counts = np.unique(table.kind.values, return_counts=True)
    return {
        "layer": layer,
        "attrs": table.attrs,
        "kinds": dict(zip(kinds.tolist(), counts.tolist(), strict=True)),
        "dead": [row["index"] for row in rows if row["kind"] == "dead"],
        "correlations": {label: rank_correlation(table, *names) for label, names in CORRELATIONS.items()},
        "cards": [_card(row, kernel, fitted, w, layer.stride) for row, kernel, fitted, w in parts],
        "verdict": verdict(table),
        "prescription": Markup(LINK if prescribed else NO_LINK),
        "gamma": plots.first_layer.gamma_name(table),
        "shifts": list(zip(table.shift_y.values.tolist(), table.shift_x.values.tolist(), strict=True)),
    }


def verdict(table: xr.Dataset) -> str:
    """Sentence that says which kernels make most of the change of the layer's output.

    Parameters
    ----------
    table : xarray.Dataset
        Of `kernel_table`.
    """
    share = np.nan_to_num(table.share_of_change.values)
    order = np.argsort(-share)
    half = int(np.searchsorted(np.cumsum(share[order]), 0.5 * share.sum())) + 1
    if not share.sum() > 0:
        return "Nothing changes in the layer's output under these shifts."
    named = ", ".join(f"{i} ({100 * share[i]:.1f} %)" for i in order[: min(half, NAMED)])
    return f"{half} of {len(share)} kernels make half of the change of the layer's output; the largest parts: {named}."


def kernel_card(table: xr.Dataset, layer: FirstLayer, index: int) -> Figure:
    """Card of one kernel: in colour, as complex filter, in frequency, its Gabor fit, and its numbers.

    Parameters
    ----------
    table : xarray.Dataset
        Of `kernel_table`.
    layer : FirstLayer
        What it was made from.
    index : int
        Position in the layer, from 0.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such kernel, or it is dead.
    """
    integer("index", index, 0, len(layer.weight) - 1)
    row = kernel_frame(table).iloc[index].to_dict()
    if row["kind"] == "dead":
        raise ValueError(f"kernel {index} is dead: there is nothing to show")
    plane, _, _ = first_colour(layer.weight[index : index + 1])
    filters = complex_filters(plane[:, None], int(table.attrs["grid"]))
    shown = gabor(table.gabor.values[index], plane.shape[1:])
    return plots.card_figure(layer.weight[index], filters[0, 0], shown, row, layer.stride)


def _card(row: dict[str, Any], kernel: np.ndarray, fitted: np.ndarray, w: np.ndarray, stride: int) -> dict[str, Any]:
    """Numbers of one kernel, and its pictures as data URIs; the square is in pixels of the spectrum's picture."""
    card: dict[str, Any] = {"row": row, "kernel": picture(plots.kernel_image(kernel))}
    if row["kind"] == "dead":
        return card
    theta = np.array([row["theta_y"], row["theta_x"]])
    points = 65
    spectrum = plots.fourier_image(w[None], points)
    # Of W and its conjugate, the one whose peak is drawn.
    middle = points // 2
    row_, column = (np.rint(theta * points / (2 * np.pi)).astype(int) + middle) % points
    mirrored = spectrum[2 * middle - row_, 2 * middle - column, 0] > spectrum[row_, column, 0]
    theta = -theta if mirrored else theta
    card |= {
        "filter": picture(plots.phase_image(filter_crop(w, kernel.shape[-2:]))),
        "spectrum": picture(spectrum[::-1]),
        "gabor": picture(plots.kernel_image(gabor(fitted, kernel.shape[-2:])[None])),
        "x": 50 + 50 * theta[1] / np.pi,
        "y": 50 - 50 * theta[0] / np.pi,
        "side": 50 / stride,
    }
    return card
