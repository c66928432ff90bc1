"""Audit of a network: resolution, aliased energy and blame from its input to its output."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.plots.style import BLACK, BLUE, COLOURS, ORANGE, SKY, VERMILION

WIDTH = 0.62  # of a bar, places


def strip_figure(audit: xr.Dataset) -> Figure:
    """The network as a strip from input to output: resolution, aliased energy, blame.

    Parameters
    ----------
    audit : xarray.Dataset
        Result of :func:`analysis.audit.audit_network`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = [_short(str(name)) for name in audit.place.values]
    figure = Figure(figsize=(max(6.4, 2.2 + 0.85 * len(names)), 8.2), layout="constrained")
    resolution, energy, blame = figure.subplots(3, 1, sharex=True, height_ratios=(2, 3, 3))
    _resolution(resolution, audit)
    _energies(energy, audit)
    _shares(blame, audit)
    blame.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    blame.set_xlim(-0.7, len(names) - 0.3)
    blame.set_xlabel("place, in the order of execution")
    for ax in (energy, blame):
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize="small")
    figure.align_ylabels()
    return figure


def _short(name: str) -> str:
    return name if len(name) <= 28 else f"…{name[-27:]}"


def _resolution(ax: Axes, audit: xr.Dataset) -> None:
    """Height of the maps that come in and go out, as steps."""
    for x, (before, after) in enumerate(zip(audit.size_in.values, audit.size_out.values, strict=True)):
        if not before:  # the head
            continue
        sides = [float(str(size).split("×")[0]) for size in (before, after)]
        ax.fill_between(
            [x - WIDTH / 2, x, x, x + WIDTH / 2], [sides[0]] * 2 + [sides[1]] * 2, 0.8, color=SKY, step=None
        )
        ax.annotate(f"{before} → {after}", (x, sides[0]), (0, 3), textcoords="offset points", ha="center", fontsize=8)
    ax.set_yscale("log", base=2)
    top = max((float(str(s).split("×")[0]) for s in audit.size_in.values if s), default=1.0)
    ax.set_ylim(0.8, 2.4 * top)
    ax.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    ax.set_ylabel("side of the maps\n(samples)")


def _energies(ax: Axes, audit: xr.Dataset) -> None:
    x = np.arange(audit.sizes["place"])
    mean, error = 100 * audit.aliased_energy.values, 100 * audit.aliased_energy_stderr.values
    ax.bar(x, np.nan_to_num(mean), WIDTH, color=BLUE, label="mean over pictures, ± 1 s.e.")
    known = np.isfinite(mean)
    ax.errorbar(x[known], mean[known], error[known], fmt="none", ecolor=BLACK, capsize=3, elinewidth=1)
    marks = {"median": ("o", "median channel"), "worst": ("v", "worst channel")}
    for end, (marker, label) in marks.items():
        values = 100 * audit[f"aliased_energy_{end}"].values
        ax.plot(x, values, marker, color=ORANGE, markeredgecolor=BLACK, label=label)
    for end, dashes, label in (("white", "--", "white noise"), ("power_law", ":", "power spectrum 1/f²")):
        values = 100 * audit[f"aliased_energy_{end}"].values
        for place, value in zip(x, values, strict=True):
            ax.plot(
                [place - 0.4, place + 0.4], [value] * 2, dashes, color=BLACK, label=label if place == x[0] else None
            )
    for place in x[~known & (audit.kind.values != "head")]:
        ax.annotate("–", (place, 0), (0, 2), textcoords="offset points", ha="center")
    ax.set_ylabel("aliased energy (%)")
    ax.set_ylim(0, 100)


def _shares(ax: Axes, audit: xr.Dataset) -> None:
    x = np.arange(audit.sizes["place"])
    share, low, high = (100 * audit[name].values for name in ("blame", "blame_low", "blame_high"))
    known = np.isfinite(share)
    ax.bar(x[known], share[known], WIDTH, color=VERMILION, label="blame, 95 % interval")
    ax.errorbar(
        x[known],
        share[known],
        [np.maximum(0, share - low)[known], np.maximum(0, high - share)[known]],
        fmt="none",
        ecolor=BLACK,
        capsize=3,
        elinewidth=1,
    )
    if np.isfinite(audit.nested.values).any():
        ax.plot(x, 100 * audit.nested.values, "D", color="white", markeredgecolor=BLACK, label="in order of execution")
    ax.plot(x, 100 * audit.gain.values, "s", color=SKY, markeredgecolor=BLACK, label="gone if mended alone")
    ax.axhline(0, color=BLACK, linewidth=0.8)
    ax.set_ylabel("share of the\nchange (%)")


def blame_by_shift_figure(audit: xr.Dataset) -> Figure:
    """Blame of each place by shift, a panel for each kind of borders.

    Parameters
    ----------
    audit : xarray.Dataset
        Result of :func:`analysis.audit.audit_network`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows = audit.sel(place=np.isfinite(audit.blame.values))
    names = [_short(str(name)) for name in rows.place.values]
    panels = audit.sizes["borders"]
    width = max(5.6, 1.6 + 0.9 * len(names))
    figure = Figure(figsize=(width, 1.2 + 2.8 * panels), layout="constrained")
    axes = figure.subplots(panels, 1, sharex=True, squeeze=False)[:, 0]
    shifts = list(zip(audit.shift_y.values, audit.shift_x.values, strict=True))
    bar = 0.8 / len(shifts)
    for ax, borders in zip(axes, audit.borders.values, strict=True):
        part = rows.sel(borders=borders)
        for number, shift in enumerate(shifts):
            x = np.arange(len(names), dtype=np.float64) + (number - (len(shifts) - 1) / 2) * bar
            value, error = (np.asarray(100 * part[name].values[number], np.float64) for name in _BY_SHIFT)
            change = 100 * float(part.change.values[number])
            changes = f"changes by {change:.3g} %" if np.isfinite(value).any() else "does not change"
            label = f"({shift[0]:g}, {shift[1]:g}) px: answer {changes}"
            _bars(ax, x, value, error, bar, COLOURS[number % len(COLOURS)], label)
        ax.axhline(0, color=BLACK, linewidth=0.8)
        ax.set(ylabel="blame (%)", title=f"{borders} borders")
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize="small", title="shift")
    axes[-1].set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor")
    return figure


def mending_figure(audit: xr.Dataset) -> Figure:
    """Change that mending the places one by one takes away, a panel for each remedy, beside the shares of blame.

    Parameters
    ----------
    audit : xarray.Dataset
        Result of :func:`analysis.audit.audit_network` merged with those of :func:`analysis.audit.mending_order`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = [str(name) for name in audit.place.values]
    panels = audit.sizes["remedy"]
    width = max(5.6, 2.6 + 0.9 * audit.sizes["step"])
    figure = Figure(figsize=(width, 0.4 + 3.2 * panels), layout="constrained")
    for ax, remedy in zip(figure.subplots(panels, 1, squeeze=False)[:, 0], audit.remedy.values, strict=True):
        one = audit.sel(remedy=remedy)
        order = [names.index(str(place)) for place in one.mend_place.values if place]
        x = np.arange(len(order), dtype=np.float64)
        share, error = (100 * audit[name].values[order] for name in ("blame", "blame_stderr"))
        _bars(ax, x, share, error, WIDTH, VERMILION, "blame")
        curves = (
            (x, one.isel(step=slice(len(order))), "mend_gone", "o-", BLUE, "gone with all up to here"),
            (x + 0.15, one.isel(step=0, place=order), "mend_gone_with", "s", SKY, "gone if mended alone"),
        )
        for at, part, name, style, colour, label in curves:
            value, error = (100 * part[f"{name}{end}"].values for end in ("", "_stderr"))
            ax.errorbar(
                at, value, error, fmt=style, color=colour, markeredgecolor=BLACK, ecolor=BLACK, capsize=3, label=label
            )
        ax.axhline(0, color=BLACK, linewidth=0.8)
        ax.set_xticks(x, [_short(names[at]) for at in order], rotation=20, ha="right", rotation_mode="anchor")
        ax.set(ylabel="share of the change (%)", title=f"mended with {remedy}")
        ax.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize="small")
    return figure


_BY_SHIFT = ("blame_by_shift", "blame_by_shift_stderr")


def _bars(
    ax: Axes,
    x: NDArray[np.floating],
    value: NDArray[np.floating],
    error: NDArray[np.floating],
    width: float,
    colour: str,
    label: str,
) -> None:
    known = np.isfinite(value)
    ax.bar(x, np.where(known, value, 0), width, color=colour, label=label)
    ax.errorbar(x[known], value[known], error[known], fmt="none", ecolor=BLACK, capsize=2, elinewidth=0.8)
