"""Results of a kernel analysis on disk: table, figures, and one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import importlib.resources
import io
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from PIL import Image
from tqdm import tqdm

from analysis import plots
from analysis.files import atomic, results
from analysis.kernels.gabor import gabor
from analysis.kernels.layer import FirstLayer
from analysis.kernels.table import kernel_frame, rank_correlation
from analysis.plots.first_layer import filter_crop
from analysis.theory import gamma_map
from wavelets.checks import integer
from wavelets.complex_filters import complex_filters, first_colour

CORRELATIONS = {
    "ρ measured, γ(mθ)": ("rho_rms", "gamma"),
    "ρ measured, ρ predicted": ("rho_rms", "predicted_rho"),
    "η of RMax measured, predicted on a Gaussian field": ("eta_rmax_rms", "predicted_eta_rmax"),
    "η of RMax, η of CMod": ("eta_rmax", "eta_cmod"),
}
DPI = 100


def figures(table: xr.Dataset, layer: FirstLayer) -> dict[str, Callable[[], Figure]]:
    """Figures of a kernel analysis, by the names of their files; each is drawn when called.

    Parameters
    ----------
    table : xarray.Dataset
        What `kernel_table` returns.
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


def write_results(
    table: xr.Dataset, layer: FirstLayer, folder: Path, attempt: Callable[..., object], progress: bool = True
) -> None:
    """Write kernels.nc, kernels.csv, the figures and report.html.

    Parameters
    ----------
    table : xarray.Dataset
        What `kernel_table` returns.
    layer : FirstLayer
        What it was made from.
    folder : Path
        It exists.
    attempt : callable
        Called as ``attempt(write, *arguments)``: what becomes of an ``OSError`` is the caller's.
    progress : bool
        Show a progress bar on standard error.
    """
    attempt(results.save, table, folder / "kernels.nc")
    frame = kernel_frame(table)
    attempt(
        atomic.write_atomically,
        folder / "kernels.csv",
        lambda path: frame.to_csv(path, index=False, float_format="%.6g"),
    )
    drawn = {}
    for name, draw in tqdm(figures(table, layer).items(), desc="figures", unit="figure", disable=not progress):
        buffer = io.BytesIO()
        draw().savefig(buffer, format="png", dpi=DPI)
        drawn[name] = buffer.getvalue()
        attempt(atomic.write_atomically, folder / f"{name}.png", partial(_write_bytes, drawn[name]))
    page = report_page(table, layer, drawn)
    attempt(atomic.write_atomically, folder / "report.html", lambda path: path.write_text(page, encoding="utf-8"))


def report_page(table: xr.Dataset, layer: FirstLayer, drawn: dict[str, bytes]) -> str:
    """One HTML page with everything in it: figures, a table that can be sorted, and a card for each kernel.

    Parameters
    ----------
    table : xarray.Dataset
        What `kernel_table` returns.
    layer : FirstLayer
        What it was made from.
    drawn : dict of str to bytes
        PNG files of the figures.

    Returns
    -------
    str
    """
    rows = kernel_frame(table).to_dict("records")
    plane, _, _ = first_colour(layer.weight)
    filters = complex_filters(plane[:, None], int(table.attrs["grid"]))[:, 0]
    parts = zip(rows, layer.weight, table.gabor.values, filters, strict=True)
    cards = [_card(row, kernel, fitted, w, layer.stride) for row, kernel, fitted, w in parts]
    template = importlib.resources.files("analysis.reports").joinpath("kernels.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["number"] = _number
    kinds, counts = np.unique(table.kind.values, return_counts=True)
    correlations = {label: rank_correlation(table, *names) for label, names in CORRELATIONS.items()}
    return environment.from_string(template).render(
        layer=layer,
        attrs=table.attrs,
        kinds=dict(zip(kinds.tolist(), counts.tolist(), strict=True)),
        dead=[row["index"] for row in rows if row["kind"] == "dead"],
        correlations=correlations,
        figures={name: _data_uri(png) for name, png in drawn.items()},
        cards=cards,
        gamma=plots.first_layer.gamma_name(table),
        shifts=list(zip(table.shift_y.values.tolist(), table.shift_x.values.tolist(), strict=True)),
    )


def kernel_card(table: xr.Dataset, layer: FirstLayer, index: int) -> Figure:
    """Card of one kernel: in colour, as complex filter, in frequency, its Gabor fit, and its numbers.

    Parameters
    ----------
    table : xarray.Dataset
        What `kernel_table` returns.
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
    card: dict[str, Any] = {"row": row, "kernel": _picture(plots.kernel_image(kernel))}
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
        "filter": _picture(plots.phase_image(filter_crop(w, kernel.shape[-2:]))),
        "spectrum": _picture(spectrum[::-1]),
        "gabor": _picture(plots.kernel_image(gabor(fitted, kernel.shape[-2:])[None])),
        "x": 50 + 50 * theta[1] / np.pi,
        "y": 50 - 50 * theta[0] / np.pi,
        "side": 50 / stride,
    }
    return card


def _picture(image: np.ndarray) -> str:
    """Picture (h, w, 3) in [0, 1] as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)).save(buffer, "PNG")
    return _data_uri(buffer.getvalue())


def _data_uri(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def _write_bytes(data: bytes, path: Path) -> None:
    path.write_bytes(data)


def _number(value: object, digits: int = 3) -> str:
    """Return a number for the page; a dash where there is none."""
    if isinstance(value, (float, np.floating)):
        return f"{value:.{digits}f}" if np.isfinite(value) else "–"
    return str(value)
