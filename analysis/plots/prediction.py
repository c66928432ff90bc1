"""Measured maps beside predicted ones."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.plots.fourier_plane import draw_cells
from analysis.plots.heatmaps import LABELS
from analysis.plots.style import BLUE, VERMILION, colour_bar

TITLES = {"gaussian": "Gaussian field", "isolated": "isolated features", "mixture": "mixture"}


def prediction_figure(measured: xr.Dataset, prediction: xr.Dataset, shift: int = 0) -> Figure:
    r"""Discrepancy and shift changes: measured, predicted by two models, and one against the other.

    Parameters
    ----------
    measured : xarray.Dataset
        What :func:`analysis.heatmaps` returns.
    prediction : xarray.Dataset
        What :func:`analysis.prediction.predict_like` returns for it.
    shift : int
        Which of the shifts to show.

    Returns
    -------
    matplotlib.figure.Figure
        Three rows, rho and eta of RMax and of CMod; the three maps of a row have one colour scale.
    """
    figure = Figure(figsize=(14.5, 10.4), layout="compressed")
    figure.get_layout_engine().set(w_pad=0.1)  # inches: between the colour bar and the last column
    axes = figure.subplots(3, 4)
    u = f"({float(measured.shift_y[shift]):g}, {float(measured.shift_x[shift]):g})"
    names = {
        "rho_rms": "ρ",
        "eta_rmax_rms": f"η of RMax, shift {u} px",
        "eta_cmod_rms": f"η of CMod, shift {u} px",
    }
    for row, (variable, name) in zip(axes, names.items(), strict=True):
        m = _one(measured, variable, shift)
        shown = {TITLES[model]: _one(prediction.sel(model=model), variable, shift) for model in ("gaussian", "mixture")}
        _row(row, measured, m, shown, name, LABELS[variable])
    share = 100 * float(prediction.attrs["isolated"])
    figure.suptitle(
        f"J = {measured.levels}   filters {measured.filters}   {measured.images_used} images   "
        f"mixture: {share:.1f} % of the energy in isolated features (fitted to ρ)   (hatched: low-pass cells)"
    )
    return figure


def _one(ds: xr.Dataset, variable: str, shift: int) -> np.ndarray:
    values = ds[variable]
    return (values.isel(shift=shift) if "shift" in values.dims else values).values


def _row(axes: np.ndarray, ds: xr.Dataset, m: np.ndarray, shown: dict[str, np.ndarray], name: str, label: str) -> None:
    theta = np.stack([ds.theta_y.values, ds.theta_x.values], axis=-1)
    keep = ~ds.low_pass.values & np.isfinite(m)
    top = max(float(np.nanmax(values[keep])) for values in (m, *shown.values())) or 1.0
    maps = {f"measured {name}": m} | {f"predicted, {title}": values for title, values in shown.items()}
    for ax, (title, values) in zip(axes, maps.items(), strict=False):
        mesh = draw_cells(ax, values, theta, int(ds.levels), vmax=top)
        ax.set_title(title, fontsize=11)
    colour_bar(axes[2], mesh, label)
    _scatter(axes[3], m[keep], {title: values[keep] for title, values in shown.items()}, top)


def _scatter(ax: Axes, m: np.ndarray, shown: dict[str, np.ndarray], top: float) -> None:
    ax.plot([0, 1.05 * top], [0, 1.05 * top], color="0.5", linewidth=1)
    heard = m > 0
    for (title, values), colour, marker in zip(shown.items(), (VERMILION, BLUE), "^o", strict=True):
        label = title
        if heard.any():
            label += f", median error {100 * float(np.median(np.abs(values - m)[heard] / m[heard])):.1f} %"
        ax.plot(values, m, marker, color=colour, markersize=3.5, alpha=0.7, label=label)
    ax.set(xlabel="predicted", ylabel="measured", xlim=(0, 1.05 * top), ylim=(0, 1.05 * top), box_aspect=1)
    # Above the axes, where it hides no point.
    ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9, frameon=False, borderaxespad=0.2)
