"""The front of changes of a layer, predicted and measured, and what its channels do to the answers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from analysis.plots.style import BLACK, BLUE, GREEN, SKY, VERMILION, tiles

LINEAR = 1.0  # per cent of extra multiplications up to which the axis is linear; beyond, it is logarithmic


def front_figure(table: xr.Dataset, measured: xr.Dataset | None = None) -> Figure:
    """Change of the layer's output against the multiplications that a change of its pooling costs.

    Parameters
    ----------
    table : xarray.Dataset
        Of :func:`analysis.prescribe`.
    measured : xarray.Dataset, optional
        Of :func:`analysis.kernels.measure_designs`.

    Returns
    -------
    matplotlib.figure.Figure
        In SVG, each point of the front is a link to ``#design-`` and its position.
    """
    figure = Figure(figsize=(9.0, 5.2), layout="constrained")
    ax = figure.subplots()
    extra, eta = 100 * (table.multiplications.values - 1), table.eta.values
    turned = np.char.find(table.name.values.astype(str), "CMod") >= 0
    for chosen, colour, marker, label in (
        (turned, SKY, ".", "CMod for some kernels"),
        (~turned, GREEN, "^", "maximum for all kernels"),
    ):
        ax.plot(extra[chosen], eta[chosen], marker, color=colour, markersize=5, label=label, rasterized=True)
    front = np.flatnonzero(table.front.values)
    front = front[np.argsort(extra[front])]
    ax.step(extra[front], eta[front], where="post", color=BLUE, linewidth=1.2)
    points = ax.scatter(extra[front], eta[front], s=28, color=BLUE, zorder=3, label="front, predicted")
    points.set_urls([f"#design-{index}" for index in front])
    ax.plot(extra[0], eta[0], "s", color=BLACK, markersize=8, label="as it is", zorder=4)
    if measured is not None:
        designs = measured.design.values
        at, values = extra[designs], measured.eta.values
        # Two designs may cost the same: a line leads from each measured point to its own prediction.
        ax.vlines(at, eta[designs], values, color=VERMILION, linewidth=1.2, zorder=4)
        for chosen, marker, label in ((designs != 0, "D", "measured"), (designs == 0, "s", "as it is, measured")):
            if chosen.any():
                bars = measured.eta_stderr.values[chosen]
                ax.errorbar(
                    at[chosen], values[chosen], bars, fmt=marker, color=VERMILION, capsize=3, zorder=5, label=label
                )
    if "target" in table.attrs:
        ax.axhline(table.target, color=BLACK, linestyle="--", linewidth=1, label=f"target {table.target:g}")
        answer = table.answer
        ax.plot(
            extra[answer],
            eta[answer],
            "*",
            color=BLACK,
            markersize=15,
            markerfacecolor="white",
            zorder=6,
            label="answer",
        )
    ax.set_xscale("symlog", linthresh=LINEAR)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.set(
        xlabel="additional multiplications (%), linear up to 1, then logarithmic",
        ylabel="η of the layer's output",
        ylim=(0, None),
    )
    ax.set_title(f"{table.layer}: what stability costs", fontsize=11, parse_math=False)
    ax.legend(fontsize=9, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def answers_figure(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Change of the answers when one channel of the first layer is shifted, against the channel's share of change.

    Parameters
    ----------
    tables : mapping of str to pandas.DataFrame
        By the names of the networks; one row a channel, with columns `share`, `share_stderr`, `change` (of the logits,
        over that when all channels are shifted) and `change_stderr`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(4.2 * len(tables), 4.2), layout="constrained")
    for ax, (name, table) in zip(tiles(figure, len(tables), len(tables)), tables.items(), strict=True):
        heard = table[(table.share > 0) & (table.change > 0)]
        errors = {"xerr": heard.share_stderr, "yerr": heard.change_stderr}
        ax.errorbar(heard.share, heard.change, **errors, fmt="o", color=BLUE, markersize=4, linewidth=0.8)
        ax.set(xscale="log", yscale="log", xlabel="share of the layer's change")
        low, high = (extreme(heard.share) for extreme in (np.min, np.max))
        ax.plot([low, high], [low, high], color="0.5", linewidth=1)
        ax.set_title(f"{name}: {len(heard)} channels", fontsize=11, parse_math=False)
    figure.axes[0].set_ylabel("squared change of the logits,\nover that with all channels shifted")
    return figure
