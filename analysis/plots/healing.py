"""A healing, round by round; and what came of several: accuracy and stability with a remedy, before and after."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from analysis.plots.style import BLUE, VERMILION, Style, side_legend, styles

Scores = Mapping[str, float]


def healing_figure(
    rows: Sequence[Scores], before: Scores, plain: Scores | None = None, title: str = "", kept: int | None = None
) -> Figure:
    """Agreement and flips on the images held out, against the time that was spent.

    Parameters
    ----------
    rows : sequence of mapping
        The log: agreement, flips (percent) and seconds of each round.
    before : mapping
        Agreement and flips with the remedy before healing; NaN where they are not known.
    plain : mapping, optional
        Flips of the plain network.
    title : str
    kept : int, optional
        Round that is marked, from 1.

    Returns
    -------
    matplotlib.figure.Figure
    """
    minutes = np.cumsum([0.0, *(row["seconds"] for row in rows)]) / 60
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    figure.suptitle(title)
    style: Style = {"marker": "o", "markersize": 4}
    panels = {
        "agreement": ("same answer as the plain network (%)", BLUE),
        "flips": ("other answer one pixel on (%)", VERMILION),
    }
    for ax, (name, (label, colour)) in zip(figure.subplots(1, 2), panels.items(), strict=True):
        values = [before[name], *(row[name] for row in rows)]
        ax.plot(minutes, values, color=colour, **style)
        ax.set(xlabel="elapsed (minutes)", ylabel=label)
        if name == "flips":
            highest = np.nanmax(values)
            if plain is not None:
                ax.axhline(plain[name], color="black", linestyle="--", label="plain network")
                highest = max(highest, plain[name])
            ax.set_ylim(0, 1.1 * highest or 1)
        if kept is not None:
            ax.plot(minutes[kept], values[kept], "*", color="black", markersize=12, label=f"kept: round {kept}")
        if ax.get_legend_handles_labels()[0]:
            ax.legend()
    return figure


def healed_figure(rows: pd.DataFrame, measures: Mapping[str, str]) -> Figure:
    """Accuracy against stability of networks with remedies, before and after healing, joined by lines.

    Parameters
    ----------
    rows : DataFrame
        Columns ``remedy`` ("plain" for no remedy), ``healed`` (steps, 0 for none), ``right`` (percent) and the
        measures, each with its ``_stderr``; as ``results/heal/resnet20.csv`` has them.
    measures : mapping of str to str
        Columns to draw on the horizontal axis, a panel each, and their labels.

    Returns
    -------
    matplotlib.figure.Figure
    """
    looks, steps = _looks(rows), sorted({int(count) for count in rows.healed if count})
    figure = Figure(figsize=(5.4 * len(measures), 4.4), layout="compressed")
    axes = figure.subplots(1, len(measures), squeeze=False, sharey=True)[0]
    for ax, (measure, label) in zip(axes, measures.items(), strict=True):
        plain = rows[(rows.remedy == "plain") & (rows.healed == 0)].iloc[0]
        ax.axhline(plain.right, color="0.8", linewidth=0.8, zorder=0)
        ax.axvline(plain[measure], color="0.8", linewidth=0.8, zorder=0)
        for name, look in looks.items():
            points = rows[rows.remedy == name].sort_values("healed")
            start = points.iloc[0]
            for _, point in points.iterrows():
                ax.plot([start[measure], point[measure]], [start.right, point.right], ":", color=look["color"], lw=0.8)
                style = {**look, "linestyle": "none", "elinewidth": 0.8, "capsize": 2, "linewidth": 1}
                filled = {"markerfacecolor": look["color"] if point.healed else "white"}
                across, up = point[f"{measure}_stderr"], point.right_stderr
                ax.errorbar(point[measure], point.right, up, across, markersize=8, **style, **filled)
                if point.healed and len(steps) > 1:
                    ax.annotate(f"{point.healed}", (point[measure], point.right), (6, 6), textcoords="offset points")
        ax.set(xlabel=label, xlim=(-0.02 * ax.get_xlim()[1], None))  # markers at 0 are whole
    axes[0].set(ylabel="right (%)")
    shown = [Line2D([], [], **{**look, "linestyle": "none"}, markersize=8, label=name) for name, look in looks.items()]
    healed = f"{steps[0]} steps" if len(steps) == 1 else "so many steps"
    side_legend(figure, shown, f"open: as it is;\nfilled: healed, {healed};\nbars: ± 1 standard error")
    return figure


def healing_minutes_figure(rows: pd.DataFrame, measures: Mapping[str, str], aims: Mapping[str, float]) -> Figure:
    """Accuracy and stability of healed networks against the processor time that healing took.

    Parameters
    ----------
    rows : DataFrame
        As for :func:`healed_figure`, with ``cpu_minutes``: 0 for a network as it is.
    measures : mapping of str to str
        Columns to draw on the vertical axis, a panel each, and their labels.
    aims : mapping of str to float
        A value of each measure that was aimed at; a dotted line. The plain network's is dashed.

    Returns
    -------
    matplotlib.figure.Figure
    """
    looks = _looks(rows)
    figure = Figure(figsize=(4 * len(measures), 3.8), layout="compressed")
    for ax, (measure, label) in zip(figure.subplots(1, len(measures), squeeze=False)[0], measures.items(), strict=True):
        plain = rows[(rows.remedy == "plain") & (rows.cpu_minutes == 0)].iloc[0]
        ax.axhline(plain[measure], color="black", linestyle="--", linewidth=0.8)
        ax.axhline(aims[measure], color="black", linestyle=":", linewidth=0.8)
        for name, look in looks.items():
            points = rows[rows.remedy == name].sort_values("cpu_minutes")
            style = {**look, "elinewidth": 0.8, "capsize": 2, "linewidth": 1, "markersize": 6}
            ax.errorbar(points.cpu_minutes, points[measure], points[f"{measure}_stderr"], **style)
        ax.set(xlabel="processor time of healing (minutes)", ylabel=label)
    shown = [Line2D([], [], **look, markersize=6, label=name) for name, look in looks.items()]
    side_legend(
        figure,
        shown,
        "plain: healed without a\nremedy, the control;\ndashed: as it is;\ndotted: aim;\nbars: ± 1 standard error",
    )
    return figure


def _looks(rows: pd.DataFrame) -> dict[str, Style]:
    """Style of each remedy, the plain network first."""
    return styles(["plain", *(name for name in dict.fromkeys(rows.remedy) if name != "plain")], reference=True)
