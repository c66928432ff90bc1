"""A training, epoch by epoch: losses, and the metric by which the best epoch is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from analysis.plots.style import BLUE, GREEN, VERMILION, Style, whole_numbers


def training_figure(rows: Sequence[Mapping[str, float]], title: str = "", best: int | None = None) -> Figure:
    """Losses and metric of every epoch.

    Parameters
    ----------
    rows : sequence of mapping
        What the attribute `rows` of :class:`analysis.networks.training.orchestration.Training` holds.
    title : str
    best : int, optional
        Epoch whose weights are kept, which is marked.

    Returns
    -------
    matplotlib.figure.Figure
    """
    if not rows:
        raise ValueError("no epochs to draw")
    metric = "mAP" if "mAP" in rows[0] else "top1_error"
    columns = {name: np.array([row[name] for row in rows]) for name in rows[0]}
    epochs = columns["epoch"]
    style: Style = {"marker": "o", "markersize": 4 if len(rows) < 30 else 0}
    figure = Figure(figsize=(10, 3.8), layout="constrained")
    figure.suptitle(title)
    left, right = figure.subplots(1, 2)
    left.plot(epochs, columns["training_loss"], color=BLUE, label="training", **style)
    left.plot(epochs, columns["validation_loss"], color=VERMILION, label="validation", linestyle="--", **style)
    left.set(xlabel="epoch", ylabel="loss (nats)")
    left.legend()
    right.plot(epochs, columns[metric], color=GREEN, **style)
    right.set(xlabel="epoch", ylabel="validation mAP" if metric == "mAP" else "validation top-1 error (%)")
    if best is not None:
        value = columns[metric][best - 1]
        label = f"kept: {value:.3f}, epoch {best}" if metric == "mAP" else f"kept: {value:.1f} %, epoch {best}"
        right.plot(best, value, "*", color=VERMILION, markersize=12, label=label)
        right.legend()
    for ax in (left, right):
        for epoch in 1 + np.flatnonzero(np.diff(columns["learning_rate"])):
            ax.axvline(epoch + 0.5, color="0.8", linewidth=0.8, zorder=0)
        whole_numbers(ax)
    return figure
