"""A healing, round by round: agreement with the plain network, and flips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from analysis.plots.style import BLUE, VERMILION, Style

Scores = Mapping[str, float]


def healing_figure(
    rows: Sequence[Scores], before: Scores, plain: Scores, title: str = "", best: int | None = None
) -> Figure:
    """Agreement and flips on the images held out, against the time that was spent.

    Parameters
    ----------
    rows : sequence of mapping
        The log: agreement, flips (percent) and seconds of each round.
    before, plain : mapping
        Agreement and flips with the remedy before healing, and of the plain network.
    title : str
    best : int, optional
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
            ax.axhline(plain[name], color="black", linestyle="--", label="plain network")
            ax.set_ylim(0, None)
        if best is not None:
            ax.plot(minutes[best], values[best], "*", color="black", markersize=12, label=f"kept: round {best}")
        if ax.get_legend_handles_labels()[0]:
            ax.legend()
    return figure
