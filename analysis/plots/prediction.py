"""Measured maps beside predicted ones."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.measurements.packet_coordinates import not_low_pass
from analysis.plots.fourier_plane import draw_filters
from analysis.plots.heatmaps import LABELS
from analysis.plots.style import BLUE, VERMILION, colour_bar, equality_line, pad_panels, shift_names
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
        Three rows, rho and eta of RMax and of CMod; the three maps of a row have one colour scale.
    """
    figure = Figure(figsize=(14.5, 10.4), layout="compressed")
    pad_panels(figure, w_pad=0.1)  # inches: between the colour bar and the last column
    u = shift_names(measured)[shift]
    names = {
        "rho_rms": "ρ",
        "eta_rmax_rms": f"η of RMax, shift {u} px",
        "eta_cmod_rms": f"η of CMod, shift {u} px",
    }
    shown = measured.isel(shift=shift)
    models = {model: prediction.sel(model=model).isel(shift=shift) for model in MODELS}
    for row, (variable, name) in zip(figure.subplots(3, 4), names.items(), strict=True):
        _row(row, shown, models, variable, name)
    share = 100 * float(prediction.attrs["isolated"])
    figure.suptitle(
        f"J = {measured.levels}   filters {measured.filters}   {measured.images_used} images   "
        f"mixture: {share:.1f} % of the energy in isolated features (fitted to ρ)   (hatched: low-pass cells)"
    )
    return figure


def _row(axes: NDArray[np.object_], ds: xr.Dataset, models: dict[str, xr.Dataset], variable: str, name: str) -> None:
    """Draw three maps on one scale, and both predictions against the measurement."""
    m = ds[variable].values
    keep = not_low_pass(ds) & np.isfinite(m)
    top = max(float(np.nanmax(values[variable].values[keep])) for values in (ds, *models.values())) or 1.0
    draw_filters(axes[0], ds, m, f"measured {name}", vmax=top)
    scatter: Axes = axes[3]
    equality_line(scatter, 0, 1.05 * top)
    for ax, (model, predicted) in zip(axes[1:], models.items(), strict=False):
        label, colour, marker = MODELS[model]
        values = predicted[variable].values
        cells = draw_filters(ax, ds, values, f"predicted, {label}", vmax=top)
        error = agreement(ds, predicted, variable)["relative_error"]
        label += f", median error {100 * error:.1f} %" if np.isfinite(error) else ""
        scatter.plot(values[keep], m[keep], marker, color=colour, markersize=3.5, alpha=0.7, label=label)
    colour_bar(axes[2], cells, LABELS[variable])
    scatter.set(xlabel="predicted", ylabel="measured")
    # Above the axes, where it hides no point.
    scatter.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), fontsize=9, frameon=False, borderaxespad=0.2)
