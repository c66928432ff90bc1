"""Networks under circular shifts: consistency against accuracy, variation, smoothness of the kernels."""

from __future__ import annotations

import pandas as pd
import xarray as xr
from matplotlib.container import ErrorbarContainer
from matplotlib.figure import Figure

from analysis.plots.style import side_legend, styles


def circular_trade_figure(table: pd.DataFrame) -> Figure:
    """Consistency against accuracy, without a shift and at a random one; a point a remedy.

    Parameters
    ----------
    table : DataFrame
        A row a remedy, the plain network first: ``accuracy``, ``accuracy_shifted`` and ``consistency`` (%), and
        ``_se``, standard errors.

    Returns
    -------
    matplotlib.figure.Figure
        As Fig. 5 of the BlurPool paper (Zhang 2019).
    """
    figure = Figure(figsize=(10.4, 4.2), layout="compressed")
    panels = {"accuracy": "accuracy, no shift (%)", "accuracy_shifted": "accuracy at a random circular shift (%)"}
    looks = styles(table.index.tolist(), reference=True)
    for ax, (name, label) in zip(figure.subplots(1, 2, sharey=True), panels.items(), strict=True):
        for row, look in zip(table.to_dict("records"), looks.values(), strict=True):
            bars = {"yerr": row["consistency_se"], "xerr": row[f"{name}_se"], "elinewidth": 0.8, "capsize": 2}
            ax.errorbar(row[name], row["consistency"], markersize=8, **look | {"linestyle": "none"}, **bars)
        ax.set(xlabel=label)
        ax.margins(0.12)
    figure.axes[0].set_ylabel("consistency of two random shifts (%)")
    points = [bars.lines[0] for bars in figure.axes[0].containers if isinstance(bars, ErrorbarContainer)]
    for point, name in zip(points, table.index, strict=True):
        point.set_label(str(name))
    side_legend(figure, points, "bars: ± 1 standard error")
    return figure


def variation_figure(found: xr.Dataset) -> Figure:
    """Share of pictures by the standard deviation over shifts of the probability of the true class, cumulated.

    Parameters
    ----------
    found : Dataset
        ``variation_histogram`` (remedy, bin), shares.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(7.4, 4.0), layout="compressed")
    ax = figure.subplots()
    half = float(found.bin[1] - found.bin[0]) / 2
    for name, look in styles(found.remedy.values.tolist(), reference=True).items():
        share = 100 * found.variation_histogram.sel(remedy=name).cumsum("bin")
        ax.plot(100 * (found.bin + half), share, label=name, **look | {"marker": None})
    ax.set(
        xlabel="standard deviation of the probability of the true class (%)", ylabel="pictures with at most that (%)"
    )
    ax.set(xlim=(0, 50), ylim=(0, 101))
    side_legend(figure)
    return figure


def smoothness_figure(found: xr.Dataset) -> Figure:
    """Total variation of the kernels, layer by layer: Fig. 7 of the BlurPool paper (Zhang 2019).

    Parameters
    ----------
    found : Dataset
        ``total_variation`` (remedy, layer), in the order of the layers.

    Returns
    -------
    matplotlib.figure.Figure
    """
    layers = found.layer.values.tolist()
    figure = Figure(figsize=(max(7.4, 2.4 + 0.34 * len(layers)), 4.4), layout="compressed")
    ax = figure.subplots()
    for name, look in styles(found.remedy.values.tolist(), reference=True).items():
        ax.plot(range(len(layers)), found.total_variation.sel(remedy=name), label=name, markersize=5, **look)
    ax.set_xticks(range(len(layers)), layers, rotation=60, ha="right", rotation_mode="anchor", fontsize=8)
    ax.set(
        xlabel="convolution, from input to output",
        ylabel="total variation / $\\ell^1$ norm of the kernels",
        ylim=(0, None),
    )
    ax.grid(axis="y", color="0.92")
    side_legend(figure)
    return figure
