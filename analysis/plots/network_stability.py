"""Stability of networks under shifts: flips, divergence and accuracy by shift, and what stability costs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.plots.style import Style, side_legend, styles, twin_style, whole_numbers


def trade_figure(comparison: xr.Dataset) -> Figure:
    """Flips against accuracy, if there are labels, and against time; one point a remedy, bars of one standard error.

    Parameters
    ----------
    comparison : xarray.Dataset
        Result of :func:`analysis.stability.experiment.compare_remedies`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    flips = comparison.flip_rate.sel(distance=1).mean("direction").values
    panels = {"time_added": "time added (%)"}
    if np.isfinite(comparison.top1).all():
        panels = {"top1": "top-1 accuracy, one crop (%)", **panels}
    across = _standard_errors(comparison, "flips_1px")
    right = 1.1 * max((flips + np.nan_to_num(across)).max(), 1)
    figure = Figure(figsize=(5.2 * len(panels), 4.4), layout="compressed")
    for ax, (variable, label) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        values, up = comparison[variable].values, _standard_errors(comparison, variable)
        ax.axvline(flips[0], color="0.8", linewidth=0.8, zorder=0)
        ax.axhline(values[0], color="0.8", linewidth=0.8, zorder=0)
        looks = styles(comparison.remedy.values.tolist(), reference=True)
        for (name, style), x, y, dx, dy in zip(looks.items(), flips, values, across, up, strict=True):
            look = style | {"linestyle": "none", "elinewidth": 0.8, "capsize": 2}
            ax.errorbar(x, y, dy, dx, markersize=8, label=name, **look)
        ax.set(xlabel="flips between windows one pixel apart (%)", ylabel=label, xlim=(0, right))
        ax.margins(y=0.12)
    points = [bars.lines[0] for bars in ax.get_legend_handles_labels()[0]]
    for point, name in zip(points, comparison.remedy.values, strict=True):
        point.set_label(name)
    side_legend(figure, points, "bars: ± 1 standard error" if np.isfinite(across).any() else None)
    return figure


def flip_figure(shifts: xr.Dataset, networks: Mapping[str, tuple[str, str]] | None = None) -> Figure:
    """Flip rate by distance, a panel a direction.

    Parameters
    ----------
    shifts : xarray.Dataset
        Result of :func:`analysis.stability.experiment.compare_remedies`, or of
        :func:`analysis.published.tables.archived_shifts`.
    networks : mapping of str to tuple of str, optional
        Networks to draw, with their twins and their pooling, by which they are told apart; by default all are drawn,
        the first in black.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return _by_direction(shifts.flip_rate, networks, "distance of two windows (px)", "flips (%)")


def divergence_figure(shifts: xr.Dataset, networks: Mapping[str, tuple[str, str]] | None = None) -> Figure:
    """Kullback-Leibler divergence from the first window, a panel a direction.

    Parameters
    ----------
    shifts, networks
        As in `flip_figure`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    known = "t" in shifts.divergence.dims
    label = "shift (px)" if known else "step of the shift (size not recorded)"
    return _by_direction(shifts.divergence, networks, label, "KL divergence (nats)")


def accuracy_figure(comparison: xr.Dataset) -> Figure:
    """Accuracy along the diagonal of shifts, and against an adversary that chooses the shift.

    Parameters
    ----------
    comparison : xarray.Dataset
        Result of :func:`analysis.stability.experiment.compare_remedies`, with labels.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If it has no accuracy.
    """
    if "adversary" not in comparison:
        raise ValueError("the comparison has no accuracy by shift: it was made without labels")
    figure = Figure(figsize=(10.4, 4.4), layout="compressed")
    left, right = figure.subplots(1, 2)
    looks = styles(comparison.remedy.values.tolist(), reference=True)
    _draw_curves(left, comparison.diagonal, "remedy", looks)
    _draw_curves(right, comparison.adversary, "remedy", looks)
    left.set(xlabel="shift along the diagonal (px)", title="accuracy at every shift")
    right.set(xlabel="reach of the shift (px)", title="right at every shift up to the reach")
    for ax in (left, right):
        ax.set(ylabel="pictures (%)")
    side_legend(figure)
    return figure


def _by_direction(
    values: xr.DataArray, networks: Mapping[str, tuple[str, str]] | None, xlabel: str, ylabel: str
) -> Figure:
    """Curves of values (network, direction, along), a panel a direction."""
    (each,) = {"network", "remedy"} & set(values.dims)
    if networks is None:
        looks = styles(values[each].values.tolist(), reference=True)
    else:
        looks = {name: twin_style(*parts) for name, parts in networks.items()}
    figure = Figure(figsize=(12.5, 4.2), layout="compressed")
    directions = values.direction.values
    for ax, direction in zip(figure.subplots(1, len(directions), sharey=True), directions, strict=True):
        _draw_curves(ax, values.sel(direction=direction), each, looks)
        ax.set(title=str(direction), xlabel=xlabel)
        ax.label_outer()
    figure.axes[0].set(ylabel=ylabel, ylim=(0, None))  # shared; not before all curves are there
    side_legend(figure)
    return figure


def _draw_curves(ax: Axes, curves: xr.DataArray, each: Hashable, looks: Mapping[str, Style]) -> None:
    """Draw a line for each entry along a dimension, against the coordinate of the other one."""
    (along,) = set(curves.dims) - {each}
    for name, look in looks.items():
        ax.plot(curves[along], curves.sel({each: name}), markersize=4.5, label=name, **look)
    whole_numbers(ax)


def _standard_errors(comparison: xr.Dataset, name: str) -> NDArray[np.float64]:
    """Standard errors of a variable over photographs; NaN, which is not drawn, where it has none."""
    errors: xr.DataArray = comparison.get(f"{name}_se", comparison.time_added * np.nan)
    return errors.values
