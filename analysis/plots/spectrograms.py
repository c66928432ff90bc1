"""Sound networks under shifts in time and frequency: the sound study's Table III and Fig. 2."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from analysis.plots.style import side_legend, styles, whole_numbers

SHIFTED = {"time": "shift in time (frames of 10 ms)", "freq": "shift in frequency (mel bands)"}


def spectrogram_shifts_figure(table: pd.DataFrame) -> Figure:
    """Consistency and mean absolute change under each protocol, a line a network.

    Parameters
    ----------
    table : DataFrame
        Index ``network`` and ``protocol`` (time-1, ..., freq-5), columns ``consistency`` (%) and ``mac``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows = table.reset_index()
    rows[["kind", "shift"]] = rows.protocol.str.split("-", expand=True)
    figure = Figure(figsize=(10.4, 6.4), layout="compressed")
    axes = figure.subplots(2, 2, sharey="row", sharex="col")
    names = {"consistency": "consistency (%)", "mac": "mean absolute change"}
    for name, look in styles(dict.fromkeys(rows.network), reference=True).items():
        for row, column in zip(axes, names, strict=True):
            for ax, kind in zip(row, SHIFTED, strict=True):
                part = rows[(rows.network == name) & (rows.kind == kind)]
                ax.plot(part["shift"].astype(int), part[column], label=name, **look)
    for ax, kind in zip(axes[-1], SHIFTED, strict=True):
        ax.set(xlabel=SHIFTED[kind], xticks=sorted(set(rows["shift"].astype(int))))
    for row, label in zip(axes, names.values(), strict=True):
        row[0].set_ylabel(label)
    side_legend(figure)
    return figure


def scores_by_shift_figure(scores: pd.DataFrame) -> Figure:
    """Score of the own class of recordings as their patch moves: the sound study, Fig. 2.

    Parameters
    ----------
    scores : DataFrame
        Index ``network``, ``recording`` and ``shift``, columns ``time`` and ``freq``, scores 0 to 1.

    Returns
    -------
    matplotlib.figure.Figure
        A row a recording, a column a kind of shift, a line a network.
    """
    rows = scores.reset_index()
    recordings = list(dict.fromkeys(rows.recording))
    figure = Figure(figsize=(10.4, 1 + 2.7 * len(recordings)), layout="compressed")
    axes = figure.subplots(len(recordings), 2, sharey=True, sharex="col", squeeze=False)
    for name, look in styles(dict.fromkeys(rows.network), reference=True).items():
        for panels, recording in zip(axes, recordings, strict=True):
            part = rows[(rows.network == name) & (rows.recording == recording)]
            for ax, kind in zip(panels, SHIFTED, strict=True):
                ax.plot(part["shift"], part[kind], label=name, **look)
    for ax, label in zip(axes[-1], SHIFTED.values(), strict=True):
        ax.set_xlabel(label)
        whole_numbers(ax)
    for panels, number in zip(axes, np.arange(len(recordings)) + 1, strict=True):
        panels[0].set(ylabel=f"score of its class,\nrecording {number}", ylim=(-0.03, 1.03))
    side_legend(figure)
    return figure
