"""The heatmap dataset in the Fourier plane: discrepancy, shift stability, and both on one sheet."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from analysis.files.comparison import largest_differences
from analysis.measurements.correlation import added_by_bandwidth, map_correlation
from analysis.measurements.packet_coordinates import not_low_pass
from analysis.plots.fourier_plane import draw_filters
from analysis.plots.style import (
    BLUE,
    DIVERGING,
    VERMILION,
    Style,
    colour_bar,
    shift_names,
    side_bar,
    square_panels,
)
from analysis.theory import gamma_over_cells

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


# Inches between the panels of a row: between maps of one scale, after a colour bar, before a graph with its own label.
TOGETHER, BAR, GRAPH = 0.2, 0.9, 1.5


def discrepancy_figure(ds: xr.Dataset, theory: ArrayLike | None = None) -> Figure:
    r"""Measured discrepancy, theory over the same cells, their difference, and one against the other.

    Parameters
    ----------
    ds : xarray.Dataset
        Dimension `filter`; coordinates `theta_y`, `theta_x` (rad/sample), `edge`, `low_pass`; variables `rho`,
        `rho_stderr`; attribute `levels`.
    theory : array_like, shape (L,), optional
        One value a filter, by default :func:`analysis.theory.gamma_over_cells`.

    Returns
    -------
    matplotlib.figure.Figure
        Both maps on one colour scale, from the smallest to the largest value of both. The theory of narrow bands lacks
        what the bandwidth of actual filters adds: one number for all, in squares, which the title names
        (:func:`analysis.measurements.correlation.added_by_bandwidth`).

    Raises
    ------
    ValueError
        If the dataset lacks something, or `theory` has another number of values than the dataset has filters.
    """
    figure, axes = square_panels(1, (TOGETHER, BAR, GRAPH))
    _discrepancy_row(axes[0], ds, theory)
    _caption(figure, ds)
    return figure


def stability_figure(ds: xr.Dataset) -> Figure:
    """Change of RMax and of CMod under each shift, and their difference, a row a shift, all on one colour scale.

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
    figure, axes = square_panels(len(shifts), (TOGETHER, BAR, GRAPH), row_gap=0.78)
    for index, row in enumerate(axes):
        _stability_row(row, ds, index, last=index == len(shifts) - 1)
    _caption(figure, ds)
    return figure


def overview_figure(ds: xr.Dataset, theory: ArrayLike | None = None) -> Figure:
    """All of a run on one sheet: the discrepancy on top, one row for each shift below.

    Parameters
    ----------
    ds : xarray.Dataset
        With all that `discrepancy_figure` and `stability_figure` need.
    theory : array_like, shape (L,), optional
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
    figure, axes = square_panels(1 + len(shifts), (TOGETHER, BAR, GRAPH), row_gap=0.78)
    _discrepancy_row(axes[0], ds, theory)
    for index, row in enumerate(axes[1:]):
        _stability_row(row, ds, index, last=index == len(shifts) - 1)
    _caption(figure, ds)
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
    low, high = _limits(*((ds, values) for _, ds, values in columns))
    figure, axes = square_panels(1, (TOGETHER,) * (len(columns) - 1), side=3.0, right=0.8)
    for ax, (title, ds, values) in zip(axes[0], columns, strict=True):
        cells = draw_filters(ax, ds, values, title, vmin=low, vmax=high)
    _only_left(axes[0])
    side_bar(axes[0, -1], cells, LABELS.get(variable, variable))
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


def _discrepancy_row(axes: NDArray[np.object_], ds: xr.Dataset, theory: ArrayLike | None) -> None:
    _require(ds, "rho", "rho_stderr", "edge", *FILTER_COORDS)
    rho = _values(ds, "rho")
    gamma = _over_cells(ds) if theory is None else np.asarray(theory, dtype=np.float64)
    if gamma.shape != rho.shape:
        raise ValueError(f"theory has shape {gamma.shape}; expected one value for each of the {len(rho)} filters")
    added = added_by_bandwidth(ds, gamma)
    theory = np.sqrt(gamma**2 + added**2)
    low, high = _limits((ds, rho), (ds, theory))
    draw_filters(axes[0], ds, rho, "measured discrepancy ρ", vmin=low, vmax=high)
    cells = draw_filters(axes[1], ds, theory, f"theory: √(γ₁² + {added:.2f}²)", vmin=low, vmax=high)
    side_bar(axes[1], cells, LABELS["rho"])
    _difference(axes[2], ds, rho - theory, "difference", "measured − theory")
    _only_left(axes[:3])
    correlation = map_correlation(ds.assign(gamma=("filter", gamma)))
    x = np.linspace(0, 1.05 * _limits((ds, gamma))[1], 101)
    axes[3].plot(x, np.sqrt(x**2 + added**2), color="0.5", linewidth=1, label="theory, as mapped")
    _scatter(axes[3], ds, gamma, rho, _values(ds, "rho_stderr"))
    axes[3].set(xlabel="γ₁(mθ), narrow bands", ylabel="ρ measured", xlim=(0, None), ylim=(0, None))
    shown = f"{correlation:.2f}" if np.isfinite(correlation) else "undefined"
    axes[3].set_title(f"a point a filter, correlation {shown}", fontsize=11)
    axes[3].legend(loc="lower right", fontsize=9)


def _over_cells(ds: xr.Dataset) -> NDArray[np.float64]:
    """Theory of narrow bands, at the resolution of the maps."""
    theta, levels = np.stack([ds.theta_y.values, ds.theta_x.values], axis=-1), int(ds.attrs["levels"])
    return gamma_over_cells(theta, levels, int(ds.attrs.get("stride", 2 ** (levels - 1))), int(ds.attrs.get("q", 1)))


def _stability_row(axes: NDArray[np.object_], ds: xr.Dataset, index: int, last: bool) -> None:
    _require(ds, "eta_rmax", "eta_cmod")
    both = [(ds, _values(ds, name)) for name in ("eta_rmax", "eta_cmod")]
    rmax, cmod = (values[:, index] for _, values in both)
    low, high = _limits(*both)
    shift = shift_names(ds)[index]
    draw_filters(axes[0], ds, rmax, f"RMax, shift (dy, dx) = {shift} px", vmin=low, vmax=high)
    cells = draw_filters(axes[1], ds, cmod, "CMod, the same shift", vmin=low, vmax=high)
    side_bar(axes[1], cells, "change η (0 = unmoved)")
    _difference(axes[2], ds, rmax - cmod, "what the modulus saves", "η of RMax − η of CMod")
    _only_left(axes[:3])
    _stability_scatter(axes[3], ds, index)
    if not last:
        for ax in axes[:3]:
            ax.set_xlabel("")


def _difference(ax: Axes, ds: xr.Dataset, values: NDArray[np.float64], title: str, label: str) -> None:
    """Draw differences of band-pass filters, white where there is none, and their colour bar."""
    kept = np.abs(values[not_low_pass(ds) & np.isfinite(values)])
    top = float(kept.max()) if kept.size and kept.max() > 0 else 1.0
    side_bar(ax, draw_filters(ax, ds, values, title, vmin=-top, vmax=top, cmap=DIVERGING), label)


def _only_left(axes: NDArray[np.object_]) -> None:
    """Label the vertical frequency of a row of maps once."""
    for ax in axes[1:]:
        ax.set_ylabel("")
        ax.tick_params(labelleft=False)


def _stability_scatter(ax: Axes, ds: xr.Dataset, index: int) -> None:
    """Draw both operators against the phase by which the shift advances each filter's wave."""
    kept = not_low_pass(ds)
    dy, dx = _shifts(ds)[index]
    phase = np.abs(ds.theta_y.values * dy + ds.theta_x.values * dx)[kept]
    for operator, marker, colour in (("RMax", "^", VERMILION), ("CMod", "o", BLUE)):
        eta = _values(ds, f"eta_{operator.lower()}", index)[kept]
        ax.plot(phase, eta, marker, color=colour, markersize=4, alpha=0.7, label=operator)
    ax.set(xlabel="phase advance |⟨θ, u⟩| (rad)", ylabel="change η", xlim=(0, None), ylim=(0, None))
    ax.set_title("a point a filter", fontsize=11)
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


def _limits(*parts: tuple[xr.Dataset, NDArray[np.float64]]) -> tuple[float, float]:
    """Ends of a colour scale: the smallest and the largest value of the band-pass filters of all parts."""
    values = np.concatenate([array[not_low_pass(ds)].ravel() for ds, array in parts])
    values = values[np.isfinite(values)]
    if not values.size:
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (min(0.0, low), max(high, 0.0) or 1.0)


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


def _caption(figure: Figure, ds: xr.Dataset) -> None:
    """Write what was measured above all panels."""
    levels = int(ds.attrs["levels"])
    parts = [f"J = {levels}", f"m = {ds.attrs.get('stride', 2 ** (levels - 1))}"]
    if "filters" in ds.attrs:
        parts.append(f"filters {ds.attrs['filters']}")
    if "images_used" in ds.attrs:
        count = int(ds.attrs["images_used"])
        parts.append(f"{count} image{'' if count == 1 else 's'}")
    inch = 1 / figure.get_figheight()
    figure.suptitle("   ".join([*parts, "(hatched: low-pass cells)"]), y=1 - 0.07 * inch, va="top")
