"""A network before and after its remedies: flips, accuracy and time against one another, and each by shift."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import cycle

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from analysis.plots.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, SEQUENTIAL, SKY, VERMILION

COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
LINES = ("-", "--", ":", "-.")
MARKERS = "os^Dv<P*X"


def trade_figure(comparison: xr.Dataset) -> Figure:
    """Flips against accuracy, if there are labels, and against time; one point a remedy, bars of one standard error.

    Parameters
    ----------
    comparison : xarray.Dataset
        What :func:`analysis.stability.experiment.compare_remedies` returns.

    Returns
    -------
    matplotlib.figure.Figure
    """
    flips = _flips(comparison)
    panels = [("time_added", "time added (%)")]
    if np.isfinite(comparison.top1).all():
        panels.insert(0, ("top1", "top-1 accuracy, one crop (%)"))
    across = _standard_errors(comparison, "flips_1px")
    right = 1.1 * max((flips + np.nan_to_num(across)).max(), 1)
    figure = Figure(figsize=(5.2 * len(panels), 4.4), layout="compressed")
    for ax, (variable, label) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        values, up = comparison[variable].values, _standard_errors(comparison, variable)
        ax.axvline(flips[0], color="0.8", linewidth=0.8, zorder=0)
        ax.axhline(values[0], color="0.8", linewidth=0.8, zorder=0)
        for (name, style), x, y, dx, dy in zip(_styles(comparison), flips, values, across, up, strict=True):
            look = style | {"linestyle": "none", "elinewidth": 0.8, "capsize": 2}
            ax.errorbar(x, y, dy, dx, markersize=8, label=name, **look)
        ax.set(xlabel="flips between windows one pixel apart (%)", ylabel=label, xlim=(0, right))
        ax.margins(y=0.12)
    handles, names = ax.get_legend_handles_labels()
    title = "bars: ± 1 standard error" if np.isfinite(across).any() else None
    figure.legend([h.lines[0] for h in handles], names, loc="outside right upper", fontsize=9, title=title)
    return figure


def flip_figure(comparison: xr.Dataset) -> Figure:
    """Flip rate by distance, a panel a direction.

    Parameters
    ----------
    comparison : xarray.Dataset
        What :func:`analysis.stability.experiment.compare_remedies` returns.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return _by_direction(comparison, "flip_rate", "distance", "flips (%)", "distance of two windows (px)")


def divergence_figure(comparison: xr.Dataset) -> Figure:
    """Kullback-Leibler divergence from the first window, a panel a direction.

    Parameters
    ----------
    comparison : xarray.Dataset
        What :func:`analysis.stability.experiment.compare_remedies` returns.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return _by_direction(comparison, "divergence", "t", "KL divergence (nats)", "shift (px)")


def accuracy_figure(comparison: xr.Dataset) -> Figure:
    """Accuracy along the diagonal of shifts, and against an adversary that chooses the shift.

    Parameters
    ----------
    comparison : xarray.Dataset
        What :func:`analysis.stability.experiment.compare_remedies` returns, with labels.

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
    panels = [("diagonal", "step", "shift along the diagonal (px)"), ("adversary", "radius", "reach of the shift (px)")]
    for ax, (variable, axis, label) in zip(figure.subplots(1, 2), panels, strict=True):
        for (name, style), values in zip(_styles(comparison), comparison[variable].values, strict=True):
            ax.plot(comparison[axis], values, markersize=4, label=name, **style)
        title = "accuracy at every shift" if variable == "diagonal" else "right at every shift up to the reach"
        ax.set(xlabel=label, ylabel="pictures (%)", title=title)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    figure.legend(*ax.get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    return figure


def shift_map_figure(comparison: xr.Dataset) -> Figure:
    """Accuracy at every shift of a grid, a map a remedy, on one scale.

    Parameters
    ----------
    comparison : xarray.Dataset
        What :func:`analysis.stability.experiment.compare_remedies` returns, with labels and ``frames="grid"``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    maps = comparison.accuracy
    columns = min(4, maps.sizes["remedy"])
    rows = -(-maps.sizes["remedy"] // columns)
    figure = Figure(figsize=(2.9 * columns + 1, 2.9 * rows), layout="compressed")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    low, high = float(maps.min()), float(maps.max())
    for ax, name in zip(axes.flat, maps.remedy.values, strict=False):
        edges = (maps.dx.values[0] - 0.5, maps.dx.values[-1] + 0.5, maps.dy.values[-1] + 0.5, maps.dy.values[0] - 0.5)
        image = ax.imshow(maps.sel(remedy=name), cmap=SEQUENTIAL, vmin=low, vmax=high, extent=edges)
        ax.set_title(name, fontsize=10)
    used, unused = np.split(axes.ravel(), [maps.sizes["remedy"]])
    for ax in unused:
        ax.remove()
    for ax in used[-columns:]:
        ax.tick_params(labelbottom=True)
    figure.supxlabel("shift to the right (px)")
    figure.supylabel("shift down (px)")
    figure.colorbar(image, ax=list(used), label="accuracy (%)", fraction=0.03)
    return figure


def _by_direction(comparison: xr.Dataset, variable: str, axis: str, ylabel: str, xlabel: str) -> Figure:
    figure = Figure(figsize=(12.5, 4.2), layout="compressed")
    directions = comparison.direction.values
    for ax, direction in zip(figure.subplots(1, len(directions), sharey=True), directions, strict=True):
        values = comparison[variable].sel(direction=direction)
        for (name, style), curve in zip(_styles(comparison), values.values, strict=True):
            ax.plot(comparison[axis], curve, markersize=4, label=name, **style)
        ax.set(title=direction, xlabel=xlabel)
        ax.label_outer()
    figure.axes[0].set(ylabel=ylabel, ylim=(0, None))  # shared; not before all curves are there
    figure.legend(*ax.get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    return figure


def _flips(comparison: xr.Dataset) -> np.ndarray:
    flips: np.ndarray = comparison.flip_rate.sel(distance=1).mean("direction").values
    return flips


def _standard_errors(comparison: xr.Dataset, name: str) -> np.ndarray:
    """Of a variable over photographs; NaN, which is not drawn, where it has none."""
    return comparison.get(f"{name}_se", comparison.time_added * np.nan).values  # type: ignore[no-any-return]


def _styles(comparison: xr.Dataset) -> Iterator[tuple[str, dict[str, object]]]:
    """Each remedy with its look: the network itself black, the others told apart by colour, line and marker."""
    first, *others = comparison.remedy.values.tolist()
    yield first, {"color": BLACK, "linestyle": "-", "marker": "o", "linewidth": 2}
    looks = zip(others, cycle(COLOURS), cycle(MARKERS[1:]), strict=False)
    for number, (name, colour, marker) in enumerate(looks):
        yield name, {"color": colour, "linestyle": LINES[number // len(COLOURS) % len(LINES)], "marker": marker}
