"""The heatmap dataset in the Fourier plane: discrepancy, shift stability, and both on one sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from analysis.files.comparison import largest_differences
from analysis.measurements.correlation import map_correlation
from analysis.measurements.packet_coordinates import not_low_pass
from analysis.plots.fourier_plane import draw_filters, draw_plane
from analysis.plots.style import BLUE, VERMILION, Style, colour_bar, pad_panels, shift_names

LABELS = {
    "rho": "ρ = ‖RMax − CMod‖ / ‖CMod‖",
    "rho_rms": "rms discrepancy ρ",
    "gamma": "γ₁(mθ)",
    "eta_rmax": "change η of RMax",
    "eta_cmod": "change η of CMod",
    "eta_rmax_rms": "rms change η of RMax",
    "eta_cmod_rms": "rms change η of CMod",
}
FILTER_COORDS = ("theta_y", "theta_x", "low_pass")


def discrepancy_figure(ds: xr.Dataset, theory: ArrayLike | None = None) -> Figure:
    r"""Measured discrepancy, its prediction, and one against the other.

    Parameters
    ----------
    ds : xarray.Dataset
        Dimension `filter`; coordinates `theta_y`, `theta_x` (rad/sample), `edge`, `low_pass`; variables `rho`,
        `rho_stderr`, `gamma`; attribute `levels`.
    theory : array_like, shape (P, P), optional
        :math:`\gamma_1(m\theta)` at ``linspace(-pi, pi, P)`` along both axes. By default `ds.gamma` is drawn in
        cells.

    Returns
    -------
    matplotlib.figure.Figure
        The two maps have colour scales of their own, both from 0: the theory is the limit of vanishing bandwidth, so
        the shapes are to be compared, not the levels.

    Raises
    ------
    ValueError
        If the dataset lacks something, or `theory` is not square.
    """
    figure = Figure(figsize=(12, 3.8), layout="compressed")
    _discrepancy_row(figure.subplots(1, 3), ds, theory)
    figure.suptitle(_caption(ds))
    return figure


def stability_figure(ds: xr.Dataset) -> Figure:
    """Change of RMax and of CMod under each shift, one row a shift, all on one colour scale.

    Parameters
    ----------
    ds : xarray.Dataset
        Dimensions `filter` and `shift`; coordinates `theta_y`, `theta_x` (rad/sample), `low_pass`, `shift_y`, `shift_x`
        (pixels); variables `eta_rmax`, `eta_cmod`; attribute `levels`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the dataset lacks something or has no shift.
    """
    shifts = _shifts(ds)
    figure = Figure(figsize=(9.5, 0.4 + 3.9 * len(shifts)), layout="compressed")
    axes = figure.subplots(len(shifts), 2, squeeze=False)
    for index, row in enumerate(axes):
        _stability_maps(row, ds, index)
    figure.suptitle(_caption(ds))
    return figure


def overview_figure(ds: xr.Dataset, theory: ArrayLike | None = None) -> Figure:
    """All of a run on one sheet: the discrepancy on top, one row for each shift below.

    Parameters
    ----------
    ds : xarray.Dataset
        With all that `discrepancy_figure` and `stability_figure` need.
    theory : array_like, shape (P, P), optional
        As in `discrepancy_figure`.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        As `discrepancy_figure` and `stability_figure`.
    """
    shifts = _shifts(ds)
    figure = Figure(figsize=(12, 0.4 + 3.5 * (1 + len(shifts))), layout="compressed")
    axes = figure.subplots(1 + len(shifts), 3)
    _discrepancy_row(axes[0], ds, theory)
    for index, row in enumerate(axes[1:]):
        _stability_maps(row[:2], ds, index)
        _stability_scatter(row[2], ds, index)
    figure.suptitle(_caption(ds))
    return figure


def compare_figure(
    datasets: Mapping[str, xr.Dataset],
    variable: str = "rho",
    shift: tuple[float, float] | None = None,
) -> Figure:
    """One variable of several datasets side by side, on one colour scale.

    Parameters
    ----------
    datasets : mapping of str to xarray.Dataset
        The names become titles. Depths may differ.
    variable : str
        A variable with the dimension `filter`, and perhaps `shift`.
    shift : (float, float), optional
        (dy, dx) in pixels, for a variable with the dimension `shift`; by default the first shift of each dataset.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no dataset, or one lacks the variable or the shift.
    """
    if not datasets:
        raise ValueError("no dataset to compare; expected at least one")
    columns = []
    for name, ds in datasets.items():
        _require(ds, variable, *FILTER_COORDS)
        index = _shift_index(ds, shift, name) if "shift" in ds[variable].dims else None
        title = name if index is None else f"{name}\nshift (dy, dx) = {shift_names(ds)[index]} px"
        columns.append((title, ds, _values(ds, variable, index)))
    vmax = _scale(*((ds, values) for _, ds, values in columns))
    figure = Figure(figsize=(max(4.8, 4.0 * len(columns)), 4.4), layout="compressed")
    axes = figure.subplots(1, len(columns), squeeze=False)[0]
    for ax, (title, ds, values) in zip(axes, columns, strict=True):
        cells = draw_filters(ax, ds, values, title, vmax=vmax)
        ax.label_outer()
    pad_panels(figure, w_pad=0.12)  # inches: the last tick of one map and the first of the next
    colour_bar(axes[-1], cells, LABELS.get(variable, variable))
    return figure


def difference_figure(a: xr.Dataset, b: xr.Dataset, variable: str = "rho_rms") -> Figure:
    """Differences of two results: absolute and relative ones of one variable, filter by filter.

    Parameters
    ----------
    a, b : xarray.Dataset
        Results of one depth. Filters and shifts are paired by what they are, as in :func:`analysis.compare`; along
        other dimensions than `filter` the largest difference counts.
    variable : str
        A variable with the dimension `filter`.

    Returns
    -------
    matplotlib.figure.Figure
        Grey cells: NaN in a dataset, or a filter that only one of them has.

    Raises
    ------
    ValueError
        If a dataset lacks the variable, or the datasets have no filter in common.
    """
    for ds in (a, b):
        _require(ds, variable, *FILTER_COORDS)
    found = largest_differences(a, b, variable)
    figure = Figure(figsize=(9.5, 4.1), layout="compressed")
    labels = {"absolute": "|A − B|", "relative": "|A − B| / max(|A|, |B|)"}
    for ax, (name, label) in zip(figure.subplots(1, 2), labels.items(), strict=True):
        values = found[name].values
        title = f"largest {np.nanmax(values):.2g}" if np.isfinite(values).any() else "nothing to compare"
        colour_bar(ax, draw_filters(ax, found, values, title, low_pass=False), label)
    dims = [str(dim) for dim in a[variable].dims if dim != "filter"]
    along = f", largest over {' and '.join(dims)}" if dims else ""
    figure.suptitle(f"{LABELS.get(variable, variable)}: two results{along}")
    return figure


def _discrepancy_row(axes: Sequence[Axes], ds: xr.Dataset, theory: ArrayLike | None) -> None:
    _require(ds, "rho", "rho_stderr", "gamma", "edge", *FILTER_COORDS)
    rho, gamma = _values(ds, "rho"), _values(ds, "gamma")
    cells = draw_filters(axes[0], ds, rho, "measured, mean over images", vmax=_scale((ds, rho)))
    colour_bar(axes[0], cells, LABELS["rho"])

    title = "theory, vanishing bandwidth"
    if theory is None:
        predicted = draw_filters(axes[1], ds, gamma, title, vmax=_scale((ds, gamma)))
    else:
        predicted = draw_plane(axes[1], np.asarray(theory))
        axes[1].set_title(title, fontsize=11)
    colour_bar(axes[1], predicted, LABELS["gamma"])

    correlation = map_correlation(ds)
    _scatter(axes[2], ds, gamma, rho, _values(ds, "rho_stderr"))
    axes[2].set(xlabel=LABELS["gamma"], ylabel="ρ", xlim=(0, None), ylim=(0, None), box_aspect=1)
    shown = f"{correlation:.2f}" if np.isfinite(correlation) else "undefined"
    axes[2].set_title(f"all but the low-pass filters, correlation {shown}", fontsize=11)
    axes[2].legend(loc="lower right", fontsize=9)


def _stability_maps(axes: Sequence[Axes], ds: xr.Dataset, index: int) -> None:
    _require(ds, "eta_rmax", "eta_cmod")
    vmax = _scale(*((ds, _values(ds, name)) for name in ("eta_rmax", "eta_cmod")))
    for ax, operator in zip(axes, ("RMax", "CMod"), strict=True):
        name = f"eta_{operator.lower()}"
        title = f"{operator}, shift (dy, dx) = {shift_names(ds)[index]} px"
        colour_bar(ax, draw_filters(ax, ds, _values(ds, name, index), title, vmax=vmax), LABELS[name])


def _stability_scatter(ax: Axes, ds: xr.Dataset, index: int) -> None:
    """Draw both operators against the phase by which the shift advances each filter's wave."""
    kept = not_low_pass(ds)
    dy, dx = _shifts(ds)[index]
    phase = np.abs(ds.theta_y.values * dy + ds.theta_x.values * dx)[kept]
    for operator, marker, colour in (("RMax", "^", VERMILION), ("CMod", "o", BLUE)):
        eta = _values(ds, f"eta_{operator.lower()}", index)[kept]
        ax.plot(phase, eta, marker, color=colour, markersize=4, alpha=0.7, label=operator)
    ax.set(xlabel="phase advance |⟨θ, u⟩| (rad)", ylabel="change η", xlim=(0, None), ylim=(0, None), box_aspect=1)
    ax.set_title("all but the low-pass filters", fontsize=11)
    ax.legend(loc="upper left", fontsize=9)


def _scatter(
    ax: Axes, ds: xr.Dataset, x: NDArray[np.float64], y: NDArray[np.float64], error: NDArray[np.float64]
) -> None:
    """Band-pass filters, one point each; those that are not analytic told apart by colour and marker."""
    edge, kept = ds["edge"].values.astype(bool), not_low_pass(ds)
    for chosen, marker, colour, label in ((~edge, "o", BLUE, "interior"), (edge, "^", VERMILION, "edge")):
        chosen = chosen & kept
        if chosen.any():
            style: Style = {"fmt": marker, "color": colour, "markersize": 4, "alpha": 0.7, "elinewidth": 0.8}
            ax.errorbar(x[chosen], y[chosen], error[chosen], label=label, **style)


def _require(ds: xr.Dataset, *names: str) -> None:
    missing = [name for name in names if name not in ds.variables]
    if missing or "levels" not in ds.attrs:
        missing += [] if "levels" in ds.attrs else ["the attribute levels"]
        raise ValueError(f"the dataset lacks {', '.join(missing)}; expected what the heatmap experiment returns")


def _values(ds: xr.Dataset, name: str, shift: int | None = None) -> NDArray[np.float64]:
    array = ds[name] if shift is None else ds[name].isel(shift=shift)
    return array.transpose("filter", ...).values.astype(np.float64)


def _scale(*parts: tuple[xr.Dataset, NDArray[np.float64]]) -> float:
    """Upper end of a colour scale for all but the low-pass filters of all parts."""
    values = np.concatenate([array[not_low_pass(ds)].ravel() for ds, array in parts])
    values = values[np.isfinite(values)]
    return float(values.max()) if values.size and values.max() > 0 else 1.0


def _shifts(ds: xr.Dataset) -> list[tuple[float, float]]:
    _require(ds, "shift_y", "shift_x", *FILTER_COORDS)
    if ds.sizes["shift"] == 0:
        raise ValueError("the dataset has no shift; measure the stability for at least one")
    return list(zip(ds["shift_y"].values.tolist(), ds["shift_x"].values.tolist(), strict=True))


def _shift_index(ds: xr.Dataset, shift: tuple[float, float] | None, name: str) -> int:
    shifts = _shifts(ds)
    if shift is None:
        return 0
    for index, present in enumerate(shifts):
        if np.allclose(present, shift):
            return index
    dy, dx = shift
    raise ValueError(
        f"dataset {name!r} has no shift ({dy:g}, {dx:g}); expected one of {', '.join(shift_names(ds))} pixels"
    )


def _caption(ds: xr.Dataset) -> str:
    levels = int(ds.attrs["levels"])
    parts = [f"J = {levels}", f"m = {ds.attrs.get('stride', 2 ** (levels - 1))}"]
    if "filters" in ds.attrs:
        parts.append(f"filters {ds.attrs['filters']}")
    if "images_used" in ds.attrs:
        count = int(ds.attrs["images_used"])
        parts.append(f"{count} image{'' if count == 1 else 's'}")
    return "   ".join([*parts, "(hatched: low-pass cells)"])
