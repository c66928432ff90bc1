"""Published results drawn again: scores, training, accuracy against consistency, sound.

The tables are those of :mod:`analysis.published.tables`; stability by shift is drawn as that of any network is, by
:mod:`analysis.plots.network_stability`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.plots.style import (
    BLACK,
    BLUE,
    GREEN,
    ORANGE,
    POOLINGS,
    PURPLE,
    TWINS,
    VERMILION,
    Style,
    legend_entry,
    pad_panels,
    side_legend,
    twin_style,
)

FILTERS = {"Delta": BLACK, "Rectangle": VERMILION, "Triangle": ORANGE, "Binomial": BLUE, "Window": GREEN,
           "Least squares": PURPLE}  # fmt: skip
CROPS = {"one_crop_top1": "one crop", "ten_crops_top1": "ten crops"}


def published_scores_figure(scores: pd.DataFrame) -> Figure:
    """Top-1 error against mean flip rate, twins of a way of pooling joined: the poster's Figs. 9 and 10.

    Parameters
    ----------
    scores : DataFrame
        Result of :func:`analysis.published.tables.archived_scores`.

    Returns
    -------
    matplotlib.figure.Figure
        A row a family of networks, a column a way of cropping.
    """
    families = list(scores.family.unique())
    figure = Figure(figsize=(9.6, 3.9 * len(families) + 0.5), layout="compressed")
    pad_panels(figure, hspace=0.06)
    axes = figure.subplots(len(families), len(CROPS), squeeze=False)
    for row, family in zip(axes, families, strict=True):
        for ax, (score, crops) in zip(row, CROPS.items(), strict=True):
            members = scores[scores.family == family]
            for pooling, line in POOLINGS.items():
                group = members[(members.pooling == pooling) & ~members.ablated.astype(bool)]
                ax.plot(group.mfr, group[score], line, color="0.6", linewidth=1.2, zorder=1)
            for _, one in members.iterrows():
                colour, marker = TWINS[str(one.twin)]
                face = "0.75" if one.ablated else colour
                ax.plot(one.mfr, one[score], marker, color=colour, markerfacecolor=face, markersize=8)
            ax.set(title=f"{family}, {crops}", xlabel="mean flip rate, mFR (%)", ylabel="top-1 error (%)")
            ax.margins(0.12)
    handles = [legend_entry(twin, **twin_style(twin) | {"linestyle": ""}) for twin in TWINS]
    if scores.ablated.any():
        look = twin_style("RMax") | {"markerfacecolor": "0.75", "linestyle": ""}
        handles.append(legend_entry("RMax, no blur on\nthe Gabor channels", **look))
    present = [pooling for pooling in POOLINGS if pooling in set(scores.pooling)]
    handles += [legend_entry(f"{name} pooling", color="0.6", linestyle=POOLINGS[name]) for name in present]
    side_legend(figure, handles)
    return figure


def published_corruptions_figure(relative: pd.DataFrame, networks: Mapping[str, tuple[str, str]]) -> Figure:
    """Errors on corrupted pictures and flips on perturbed ones, relative to AlexNet.

    Parameters
    ----------
    relative : DataFrame
        Result of :func:`analysis.published.tables.archived_corruptions`.
    networks : mapping of str to (str, str)
        Networks to draw, with their twins and their poolings.

    Returns
    -------
    matplotlib.figure.Figure
        ImageNet-C to the left, ImageNet-P to the right; a row a kind, worst for the last network first, the mean on
        top. Poolings other than by the maximum are hollow.
    """
    figure = Figure(figsize=(10, 5), layout="compressed")
    sequences = [kind for kind in relative if str(kind).endswith(" sequence")]
    corruptions = [kind for kind in relative if kind not in (*sequences, "mce", "mfr_p")]
    last = list(networks)[-1]
    for ax, kinds, mean, label in zip(
        figure.subplots(1, 2),
        (corruptions, sequences),
        ("mce", "mfr_p"),
        ("top-1 error, ImageNet-C (% of AlexNet's)", "flip rate, ImageNet-P (% of AlexNet's)"),
        strict=True,
    ):
        rows = [*relative.loc[last, kinds].sort_values().index, mean]
        for network, (twin, pooling) in networks.items():
            colour, marker = TWINS[twin]
            face = colour if pooling == "max" else "none"
            look: Style = {"color": colour, "marker": marker, "markerfacecolor": face, "linestyle": ""}
            ax.plot(relative.loc[network, rows], range(len(rows)), **look, label=network)
        names = [str(kind).removesuffix(" sequence").replace("_", " ") for kind in rows[:-1]]
        ax.set_yticks(range(len(rows)), [*names, "mean of all"])
        ax.axvline(100, color="0.6", linewidth=0.8, zorder=0)
        ax.axhline(len(rows) - 1.5, color="0.6", linewidth=0.8, zorder=0)
        ax.set(xlabel=label)
    side_legend(figure)
    return figure


def published_training_figure(
    errors: pd.DataFrame, networks: Mapping[str, str], drops: Sequence[int] = (30, 60)
) -> Figure:
    """Top-1 validation error by epoch: the poster's Fig. 11.

    Parameters
    ----------
    errors : DataFrame
        Result of :func:`analysis.published.tables.validation_errors`.
    networks : mapping of str to str
        Networks to draw, with their twins: "standard", "RMax" or "CMod".
    drops : sequence of int
        Epochs after which the learning rate was divided by ten.

    Returns
    -------
    matplotlib.figure.Figure
        All epochs, and those after the first drop enlarged.
    """
    figure = Figure(figsize=(10, 4.2), layout="compressed")
    whole, end = figure.subplots(1, 2, width_ratios=[1, 1])
    for ax in (whole, end):
        for network, twin in networks.items():
            look = twin_style(twin) | {"markersize": 5, "markevery": max(1, len(errors) // 9)}
            ax.plot(errors.index, errors[network], label=network, **look)
        for epoch in drops:
            ax.axvline(epoch + 0.5, color="0.7", linewidth=0.8, zorder=0)
        ax.set(xlabel="epoch", ylabel="top-1 validation error (%)")
    whole.set(title="all epochs")
    if len(drops):
        late = errors.loc[drops[0] + 1 :, list(networks)]
        end.set(title=f"after epoch {drops[0]}", xlim=(drops[0] + 0.5, errors.index[-1] + 1))
        end.set(ylim=(late.to_numpy().min() - 0.5, late.to_numpy().max() + 0.5))
        whole.annotate(
            "learning rate ÷ 10", (drops[0] + 0.5, 0.93), (4, 0), xycoords=("data", "axes fraction"),
            textcoords="offset points", fontsize=9, color="0.35",
        )  # fmt: skip
    side_legend(figure)
    return figure


def consistency_figure(table: pd.DataFrame) -> Figure:
    """Consistency against accuracy by filter, with or without shifted training pictures: the BlurPool paper, Fig. 5.

    Parameters
    ----------
    table : DataFrame
        "blurpool" of :func:`analysis.published.tables.published_table`.

    Returns
    -------
    matplotlib.figure.Figure
        The number in a point is that of the filter's taps.
    """
    figure = Figure(figsize=(10.6, 4.6), layout="compressed")
    titles = {"": "trained without shifts", "augmented_": "trained with shifts"}
    for ax, (kind, title) in zip(figure.subplots(1, 2), titles.items(), strict=True):
        for name, rows in table.groupby("filter", sort=False):
            x, y, colour = rows[f"{kind}accuracy"], rows[f"{kind}consistency"], FILTERS[str(name)]
            ax.plot(x, y, color=colour, linewidth=1, alpha=0.5, zorder=1)
            ax.plot([], [], "o", color=colour, label=name, markersize=8)
            digit = {"color": BLACK if name == "Triangle" else "white", "fontsize": 7.5, "fontweight": "bold"}
            for taps, *at in zip(rows.taps, x, y, strict=True):
                # Over all points before it, so that no digit stands on another's point.
                order = 2 + 0.1 * len(ax.texts)
                ax.plot(*at, "o", color=colour, markersize=10.5, markeredgecolor="white", zorder=order)
                ax.annotate(str(taps), at, ha="center", va="center_baseline", zorder=order + 0.05, **digit)
        ax.set(title=title, xlabel="accuracy, no shift (%)", ylabel="consistency (%)")
        ax.margins(0.08)
    side_legend(figure, title="filter")
    return figure


def sound_figure(table: pd.DataFrame) -> Figure:
    """Mean average precision of every way of pooling, with its standard deviation: the sound study, Tables I, II.

    Parameters
    ----------
    table : DataFrame
        "sound" of :func:`analysis.published.tables.published_table`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    first = table[table.table == "I"].sort_values("mean_ap", kind="stable")
    second = table[table.table == "II"]
    figure = Figure(figsize=(10.4, 5.6), layout="compressed")
    left, right = figure.subplots(1, 2)
    _dots(left, first, range(len(first)), BLACK, "o")
    left.set_yticks(range(len(first)), first.method, fontsize=9)
    left.axvline(first.mean_ap[first.method == "baseline"].item(), color="0.7", linewidth=0.8, zorder=0)
    left.set(title="VGG41, each way of pooling")
    methods = list(second.method.unique())
    looks = {("vgg41", "no"): (BLACK, "o"), ("vgg41", "yes"): (BLUE, "s"), ("vgg42", "yes"): (VERMILION, "^")}
    for (network, mixup), (colour, marker) in looks.items():
        rows = second[(second.network == network) & (second.mixup == mixup)]
        at = [methods.index(m) for m in rows.method]
        _dots(right, rows, at, colour, marker)
        label = network.upper() + ("\n+ mixup" if mixup == "yes" else "")
        top = rows.mean_ap.iloc[at.index(len(methods) - 1)]
        right.annotate(label, (top, len(methods) - 1), (0, 9), textcoords="offset points", ha="center", color=colour)
    right.set_yticks(range(len(methods)), methods, fontsize=9)
    right.set(title="larger networks, mixup")
    right.set_ylim(-0.5, len(methods) - 0.4)
    right.margins(x=0.12)
    for ax in (left, right):
        ax.set_xlabel("mAP on FSD50K ± standard deviation of 3 runs")
        ax.grid(axis="y", color="0.92")
    return figure


def sound_shifts_figure(table: pd.DataFrame) -> Figure:
    """Consistency and mean absolute change under shifts, before and after: the sound study, Table III.

    Parameters
    ----------
    table : DataFrame
        "sound_shifts" of :func:`analysis.published.tables.published_table`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(10, 3.4), layout="compressed")
    panels = {"consistency": "consistency (%), more is better", "mac": "mean absolute change, less is better"}
    rows = np.arange(len(table))[::-1]
    for ax, (score, label) in zip(figure.subplots(1, 2, sharey=True), panels.items(), strict=True):
        before, after = table[f"{score}_baseline"], table[f"{score}_proposed"]
        ax.hlines(rows, before, after, color="0.75", linewidth=2, zorder=1)
        ax.plot(before, rows, "o", color=BLACK, label="VGG41", markersize=7)
        ax.plot(after, rows, "^", color=VERMILION, label="with TLPF 5x5 + APS l1", markersize=7)
        ax.set_yticks(rows, table.protocol)
        ax.set(xlabel=label)
        ax.margins(y=0.12)
    figure.legend(*ax.get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9)
    return figure


def sound_systems_figure(table: pd.DataFrame) -> Figure:
    """Mean average precision of systems on FSD50K: the sound study, Table IV.

    Parameters
    ----------
    table : DataFrame
        "sound_systems" of :func:`analysis.published.tables.published_table`.

    Returns
    -------
    matplotlib.figure.Figure
        The study's own systems are triangles; d' stands beside each point where it was printed.
    """
    figure = Figure(figsize=(7.6, 3.4), layout="compressed")
    ax = figure.subplots()
    for own, colour, marker in (("no", BLACK, "o"), ("yes", VERMILION, "^")):
        rows = table[table.ours == own]
        label = "the study's own" if own == "yes" else "published before"
        ax.plot(rows.mean_ap, rows.index, marker, color=colour, label=label, markersize=7)
    for number, row in table[table.d_prime.notna()].iterrows():
        ax.annotate(f"d′ {row.d_prime:.3f}", (row.mean_ap, number), (8, 0), textcoords="offset points", va="center",
                    fontsize=8)  # fmt: skip
    ax.set_yticks(table.index, table.method)
    ax.set(xlabel="mAP on FSD50K", ylim=(len(table) - 0.5, -0.5))
    ax.margins(x=0.14)
    ax.grid(axis="y", color="0.92")
    side_legend(figure)
    return figure


def _dots(ax: Axes, rows: pd.DataFrame, at: Iterable[int], colour: str, marker: str) -> None:
    look: Style = {"color": colour, "capsize": 2.5, "linewidth": 1, "markersize": 5.5, "linestyle": ""}
    ax.errorbar(rows.mean_ap, list(at), xerr=rows.deviation, marker=marker, **look)
