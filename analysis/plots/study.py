"""Results of a study beside the published ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from textwrap import fill

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.plots.style import BLUE, VERMILION, Style, side_legend


def study_figure(summary: pd.DataFrame, factors: Sequence[str], metrics: Mapping[str, str]) -> Figure:
    """Means of a study with their intervals, a panel a metric and a row a combination of factors.

    Parameters
    ----------
    summary : DataFrame
        Result of :func:`analysis.studies.summary.summary`.
    factors : sequence of str
        Columns that name the rows.
    metrics : mapping of str to str
        Columns to draw, with the labels of their axes.

    Returns
    -------
    matplotlib.figure.Figure
        Published numbers, where there are any, are hollow: another data set and scale, so compare orders, not values.
    """
    shown = summary[list(factors)].astype(str)
    for factor in factors:  # "yes" alone says nothing
        shown[factor] = shown[factor].replace({"yes": f"with {factor}", "no": f"without {factor}"})
    names = [", ".join(row) for row in shown.itertuples(index=False)]
    at = np.arange(len(names))[::-1]
    figure = Figure(figsize=(2.2 + 3.1 * len(metrics), 1.6 + 0.28 * len(names)), layout="compressed")
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    ours: Style = {
        "color": BLUE,
        "marker": "o",
        "linestyle": "",
        "capsize": 3,
        "label": "here, 95 % interval",
    }
    printed: Style = {
        "color": VERMILION,
        "marker": "D",
        "markerfacecolor": "none",
        "linestyle": "",
        "label": "published",
    }
    for ax, (metric, label) in zip(axes, metrics.items(), strict=True):
        ax.errorbar(summary[metric], at, xerr=summary[f"{metric}_interval"], **ours)
        if f"{metric}_published" in summary:
            ax.plot(summary[f"{metric}_published"], at, **printed)
        ax.set(xlabel=fill(label, 34))
        ax.grid(axis="y", color="0.92")
        ax.set_axisbelow(True)
    axes[0].set_yticks(at, names)
    axes[0].set_ylim(-0.6, len(names) - 0.4)
    with_legend = next((ax for ax in axes if len(ax.get_legend_handles_labels()[0]) > 1), axes[0])
    side_legend(figure, with_legend.get_legend_handles_labels()[0])
    return figure
