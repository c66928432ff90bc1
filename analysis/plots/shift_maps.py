"""Maps over a grid of shifts: distances of the features inside a network, and its accuracy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from numpy.typing import NDArray

from analysis.plots.style import SEQUENTIAL, draw_shift_map, tiles

ROUNDING = 1e-9
"""A cosine distance of equal features that were computed in another order, in float32: no more than this."""


def feature_distance_figure(
    distances: Mapping[str, xr.Dataset],
    layers: Sequence[str] | None = None,
    kind: str = "equivariance",
    largest: float = 0.5,
) -> Figure:
    """Maps of the feature distance over the shifts, a row for each network and a column for each layer.

    Parameters
    ----------
    distances : mapping of str to Dataset
        Results, by the names of the rows: of :meth:`analysis.networks.metrics.FeatureDistance.compute`, whose shifts
        are a grid.
    layers : sequence of str, optional
        The columns; by default all layers of the first. A network that lacks one has an empty panel there.
    kind : {"equivariance", "invariance"}
    largest : float
        End of the colour scale, in mean distances of different pictures; the paper's is a half.

    Returns
    -------
    matplotlib.figure.Figure
        The distance in units of the mean distance of different pictures' features; white where it is 0 (to rounding).
        Zhang, "Making convolutional networks shift-invariant again", Fig. 4; theory.md, section 7.1, metric 1.

    Raises
    ------
    ValueError
        If there is nothing to draw, no network has a layer, or the shifts are no grid.
    """
    if not distances:
        raise ValueError("distances is empty; expected at least one network")
    names = list(layers) if layers is not None else next(iter(distances.values())).layer.values.tolist()
    known = dict.fromkeys(layer for dataset in distances.values() for layer in dataset.layer.values.tolist())
    for layer in names:
        if layer not in known:
            raise ValueError(f"there is no layer {layer!r}; there are {', '.join(known)}")
    colours = ListedColormap(mpl.colormaps[SEQUENTIAL](np.linspace(0.15, 1, 256))).with_extremes(under="white")
    size = min(1.75, 11 / len(names))
    figure = Figure(figsize=(size * len(names) + 1.6, (size + 0.35) * len(distances) + 0.7), layout="compressed")
    rows = figure.subplots(len(distances), len(names), squeeze=False, sharex=True, sharey=True)
    for panels, (label, dataset) in zip(rows, distances.items(), strict=True):
        there = dataset.layer.values.tolist()
        for ax, layer in zip(panels, names, strict=True):
            if layer in there:
                drawn = _panel(ax, dataset.sel(layer=layer), kind, colours, largest)
            else:
                ax.set_axis_off()
        first = min(names.index(layer) for layer in there if layer in names)
        panels[first].set_ylabel(f"{label}\ndown (pixels)")
    for ax, layer in zip(rows[0], names, strict=True):
        ax.set_title(layer.replace(" (", "\n("), fontsize="medium")
    for ax in rows[-1]:
        ax.set_xlabel("right (pixels)", fontsize="small")
    bar = figure.colorbar(drawn, ax=rows, extend="min", fraction=0.03, aspect=11 * len(distances))
    bar.set_label("distance / that of\ndifferent pictures (white: 0)")
    return figure


def shift_map_figure(comparison: xr.Dataset) -> Figure:
    """Accuracy at every shift of a grid, a map a remedy, on one scale.

    Parameters
    ----------
    comparison : xarray.Dataset
        Result of :func:`analysis.stability.experiment.compare_remedies`, with labels and ``frames="grid"``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    maps = comparison.accuracy
    count = maps.sizes["remedy"]
    columns = min(4, count)
    figure = Figure(figsize=(2.9 * columns + 1, 2.9 * -(-count // columns)), layout="compressed")
    axes = tiles(figure, count, columns, sharex=True, sharey=True)
    scale = {"cmap": SEQUENTIAL, "vmin": float(maps.min()), "vmax": float(maps.max())}
    for ax, name in zip(axes, maps.remedy.values, strict=True):
        drawn = draw_shift_map(ax, maps.sel(remedy=name), maps.dy, maps.dx, **scale)
        ax.set_title(name, fontsize=10)
    for ax in axes[-columns:]:
        ax.tick_params(labelbottom=True)
    figure.supxlabel("shift to the right (px)")
    figure.supylabel("shift down (px)")
    figure.colorbar(drawn, ax=axes, label="accuracy (%)", fraction=0.03)
    return figure


def _panel(ax: Axes, row: xr.Dataset, kind: str, colours: Colormap, largest: float) -> AxesImage:
    down, right = np.unique(row.dy), np.unique(row.dx)
    values: NDArray[np.float64] = np.full((len(down), len(right)), np.nan)
    values[np.searchsorted(down, row.dy), np.searchsorted(right, row.dx)] = row[kind]
    if np.isnan(values).any():
        raise ValueError(f"layer {row.layer.item()!r} was not measured at all shifts of a grid")
    shown = np.where(values < ROUNDING, -1, values / float(row.different))
    ax.set(xticks=_ticks(right), yticks=_ticks(down))
    return draw_shift_map(ax, shown, down, right, cmap=colours, vmin=0, vmax=largest)


def _ticks(shifts: NDArray[np.int64]) -> list[int]:
    """Multiples of four, or all if they are few."""
    return [int(shift) for shift in shifts if shift % 4 == 0 or len(shifts) < 5]
