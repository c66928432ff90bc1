"""Measured maps beside predicted ones."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.plots.fourier_plane import draw_filters
from analysis.plots.heatmaps import LABELS
from analysis.plots.style import BLUE, VERMILION, equality_line, shift_names, side_bar, square_panels
from analysis.prediction import agreement

MODELS = {"gaussian": ("Gaussian field", VERMILION, "^"), "mixture": ("mixture", BLUE, "o")}


def prediction_figure(measured: xr.Dataset, prediction: xr.Dataset, shift: int = 0) -> Figure:
    r"""Discrepancy and shift changes: measured, predicted by two models, and one against the other.

    Parameters
    ----------
    measured : xarray.Dataset
        Result of :func:`analysis.heatmaps`.
    prediction : xarray.Dataset
        Result of :func:`analysis.prediction.predict_like` for it.
    shift : int
        Position of the shift to show.

    Returns
    -------
    matplotlib.figure.Figure
        Three rows, rho and eta of RMax and of CMod; the three maps of a row have one colour scale, from the smallest
        to the largest value of the three.
    """
    figure, axes = square_panels(3, (0.2, 0.2, 1.65), row_gap=0.92, right=0.2, top=0.95)
    u = shift_names(measured)[shift]
    names = {
        "rho_rms": "ρ",
        "eta_rmax_rms": f"η of RMax, u = {u} px",
        "eta_cmod_rms": f"η of CMod, u = {u} px",
    }
    shown = measured.isel(shift=shift)
    models = {model: prediction.sel(model=model).isel(shift=shift) for model in MODELS}
    for row, (variable, name) in zip(axes, names.items(), strict=True):
        _row(row, shown, models, variable, name)
    share = 100 * float(prediction.attrs["isolated"])
    figure.suptitle(
        f"J = {measured.levels}   filters {measured.filters}   {measured.images_used} images   "
        f"mixture: {share:.1f} % of the energy in isolated features (fitted to ρ)   (hatched: low-pass cells)",
        y=0.993,
        va="top",
    )
    return figure


def _row(axes: NDArray[np.object_], ds: xr.Dataset, models: dict[str, xr.Dataset], variable: str, name: str) -> None:
    """Draw three maps on one scale, and both predictions against the measurement."""
    m = ds[variable].values
    keep = ~ds.low_pass.values & np.isfinite(m)
    values = np.concatenate([each[variable].values[keep] for each in (ds, *models.values())])
    low, top = float(values.min()), float(values.max())
    draw_filters(axes[0], ds, m, f"measured {name}", vmin=low, vmax=top)
    scatter: Axes = axes[3]
    pad = 0.05 * (top - low) or 0.05
    equality_line(scatter, max(0.0, low - pad), top + pad)
    for ax, (model, predicted) in zip(axes[1:], models.items(), strict=False):
        label, colour, marker = MODELS[model]
        values = predicted[variable].values
        cells = draw_filters(ax, ds, values, f"predicted, {label}", vmin=low, vmax=top)
        ax.set_ylabel("")
        ax.tick_params(labelleft=False)
        error = agreement(ds, predicted, variable)["relative_error"]
        label += f", median error {100 * error:.1f} %" if np.isfinite(error) else ""
        scatter.plot(values[keep], m[keep], marker, color=colour, markersize=3.5, alpha=0.7, label=label)
    side_bar(axes[2], cells, LABELS[variable])
    scatter.set(xlabel="predicted", ylabel="measured")
    # Above the axes, where it hides no point.
    scatter.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9, frameon=False, borderaxespad=0.2)
