"""Filter banks: taps, spectra, half-sample delay, one-sidedness of the packets, and the table that compares them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.plots.style import BLACK, BLUE, GREEN, ORANGE, VERMILION, Style, pi_axis, transform
from wavelets import DualTreePackets1D, FilterBank
from wavelets.filters import DEFAULT
from wavelets.quality import BankQuality

LEVELS = 3  # of the packets drawn
FLOOR = -90.0  # dB


def bank_figure(banks: Iterable[FilterBank] | FilterBank) -> Figure:
    """Draw filter banks side by side, one column each.

    Parameters
    ----------
    banks : iterable of FilterBank
        At least one; three fit the width of a notebook.

    Returns
    -------
    matplotlib.figure.Figure
        Rows: the low-pass taps of both trees; the modulus of their spectra; the phase delay of tree 2 behind tree 1 as
        convolution filters, in samples (target 1/2); the energy spectra of the complex 1-D packets at depth 3, in dB
        below their maximum, with the half-line where they should vanish shaded.

    Raises
    ------
    ValueError
        If there is no bank.
    """
    banks = [banks] if isinstance(banks, FilterBank) else list(banks)
    if not banks:
        raise ValueError("no filter bank to draw; expected at least one")
    figure = Figure(figsize=(max(5.5, 4.0 * len(banks)), 11.5), layout="constrained")
    axes = figure.subplots(4, len(banks), sharey="row", squeeze=False)
    for column, bank in zip(axes.T, banks, strict=True):
        column[0].set_title(f"{bank.name}, {bank.h1.size} taps", fontsize=12)
        for ax, draw in zip(column, (_taps, _magnitudes, _delay, _packets), strict=True):
            draw(ax, bank)
    for ax in axes[:, 1:].flat:
        ax.set_ylabel("")
    for ax in axes[:3, 0]:
        ax.legend(fontsize=9)
    axes[3, 0].legend(fontsize=8, ncols=3, loc="upper left", handlelength=1.2, columnspacing=0.8)
    return figure


def quality_figure(rows: Iterable[BankQuality]) -> Figure:
    """Draw the table of `wavelets.compare_banks`: leakage against length.

    Parameters
    ----------
    rows : iterable of BankQuality
        `name`, `taps` and `interior_leakage` (energy fraction) are drawn.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no row, or a leakage is not positive and finite.
    """
    rows = list(rows)
    if not rows:
        raise ValueError("no row to draw; expected what compare_banks returns")
    bad = [row.name for row in rows if not 0 < row.interior_leakage < np.inf]
    if bad:
        raise ValueError(f"the leakage of {', '.join(bad)} is not positive and finite: no place on a logarithmic axis")
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    ax = figure.add_subplot()
    families = (("common factor", "cf_", "o", BLUE), ("q-shift", "qshift_", "s", VERMILION), ("other", "", "D", GREEN))
    rest = rows
    for label, prefix, marker, colour in families:
        chosen = [row for row in rest if row.name.startswith(prefix)]
        rest = [row for row in rest if row not in chosen]
        if chosen:
            taps, leakage = [row.taps for row in chosen], [row.interior_leakage for row in chosen]
            ax.plot(taps, leakage, marker, color=colour, markersize=7, label=label)
    default = [row for row in rows if row.name == DEFAULT]
    if default:
        style: Style = {"markersize": 15, "markerfacecolor": "none", "color": BLACK, "markeredgewidth": 1.5}
        ax.plot(default[0].taps, default[0].interior_leakage, "o", label="default", **style)
    for names, position in _labels(rows):
        ax.annotate(names, position, (10, 0), textcoords="offset points", va="center", fontsize=9)
    ax.set_yscale("log")
    taps = sorted({row.taps for row in rows})
    ax.set(xticks=taps, xlim=(taps[0] - 0.5, taps[-1] + 1.5))
    ax.set(xlabel="taps of the main-stage filters", ylabel="largest leakage of interior packets (energy fraction)")
    ax.grid(which="major", alpha=0.3)
    ax.legend()
    return figure


def _labels(rows: list[BankQuality]) -> list[tuple[str, tuple[int, float]]]:
    """Names and where to write them; banks that would overlap share a label."""
    near = max(np.ptp(np.log([row.interior_leakage for row in rows])) / 25, 1e-9)
    labels: list[tuple[list[str], tuple[int, float]]] = []
    for row in sorted(rows, key=lambda row: (row.taps, row.interior_leakage)):
        if labels:
            names, (taps, leakage) = labels[-1]
            if taps == row.taps and np.log(row.interior_leakage / leakage) < near:
                names.append(row.name)
                continue
        labels.append(([row.name], (row.taps, row.interior_leakage)))
    return [(", ".join(names), position) for names, position in labels]


def _taps(ax: Axes, bank: FilterBank) -> None:
    n = np.arange(bank.h1.size)
    ax.axhline(0, color="0.7", linewidth=0.8)
    styles = ((-0.1, bank.h1, BLUE, "o", "$h_1$"), (0.1, bank.h2, ORANGE, "s", "$h_2$"))
    for shift, taps, colour, marker, label in styles:
        stem = ax.stem(n + shift, taps, label=label, basefmt=" ")
        stem.markerline.set(marker=marker, color=colour, markersize=4.5)
        stem.stemlines.set(color=colour, linewidth=1.2)
    ax.set(xlabel="n (samples)", ylabel="tap")


def _magnitudes(ax: Axes, bank: FilterBank) -> None:
    omega = np.linspace(0, np.pi, 513)
    for taps, colour, line, label in ((bank.h1, BLUE, "-", "$h_1$"), (bank.h2, ORANGE, "--", "$h_2$")):
        ax.plot(omega, np.abs(transform(taps, omega)), line, color=colour, linewidth=1.6, label=label)
    ax.set(ylabel="modulus of the spectrum", ylim=(0, 1.5))
    pi_axis(ax, "x", "ω", 0)


def _delay(ax: Axes, bank: FilterBank) -> None:
    omega = np.linspace(0, np.pi, 513)[1:]
    h1, h2 = transform(bank.h1, omega), transform(bank.h2, omega)
    seen = np.abs(h1) > 1e-3  # the phase of next to nothing means nothing
    # The taps are correlation kernels: reversed in time, so a delay raises their phase.
    delay = np.unwrap(np.angle(h2[seen] * h1[seen].conj())) / omega[seen]
    ax.axhline(0.5, color="0.4", linestyle="--", linewidth=1, label="target")
    ax.plot(omega[seen], delay, color=BLUE, linewidth=1.6, label="$h_2$ behind $h_1$")
    ax.set(ylabel="phase delay (samples)", ylim=(0, 1))
    pi_axis(ax, "x", "ω", 0)


def _packets(ax: Axes, bank: FilterBank) -> None:
    omega = np.linspace(-np.pi, np.pi, 1025)
    t = DualTreePackets1D(LEVELS, bank)
    edge = np.isin(np.argsort(np.argsort(t.frequencies)), (0, 2**LEVELS - 1))
    for kernels, colour, label in ((t.kernels()[~edge], BLUE, "interior"), (t.kernels()[edge], VERMILION, "edge")):
        energy = np.abs(transform(kernels, omega)) ** 2
        energy = energy / energy.max(axis=-1, keepdims=True)
        lines = ax.plot(omega, 10 * np.log10(np.maximum(energy, 1e-30)).T, color=colour, linewidth=1.0)
        lines[0].set_label(label)
    ax.axvspan(-np.pi, 0, color="0.93", zorder=0, label="wrong half")
    ax.set(ylabel=f"packets, J = {LEVELS}: energy (dB)", ylim=(FLOOR, 16))
    pi_axis(ax, "x", "ω")
