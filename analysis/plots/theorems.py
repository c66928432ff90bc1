"""The theorems: constants and bounds beside what random cases and the search reach, and gamma with its bad spots."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from analysis.plots.fourier_plane import draw_plane
from analysis.plots.style import BLACK, COLOURS, LINES, SKY, colour_bar, side_legend, styles

Curve = tuple[ArrayLike, ArrayLike]


def cloud_figure(
    panels: Sequence[Mapping[str, Curve]],
    curves: Sequence[Mapping[str, Curve]],
    xlabel: Sequence[str],
    ylabel: Sequence[str],
) -> Figure:
    """Clouds of measured cases under the curves that bound them, a panel a statement.

    Parameters
    ----------
    panels : sequence of mapping of str to (x, y)
        Clouds of each panel; the names go into the legend.
    curves : sequence of mapping of str to (x, y)
        Bounds of each panel, drawn as lines.
    xlabel, ylabel : sequence of str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If the sequences differ in length.
    """
    figure = Figure(figsize=(5.4 * len(panels), 4.4), layout="compressed")
    axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for ax, clouds, lines, x_label, y_label in zip(axes, panels, curves, xlabel, ylabel, strict=True):
        for name, look in styles(clouds).items():
            look |= {"linestyle": "none", "markersize": 3.5, "markeredgewidth": 0, "alpha": 0.6}
            ax.plot(*clouds[name], label=name, **look)
        for (name, (x, y)), style in zip(lines.items(), LINES, strict=False):
            ax.plot(x, y, style, color=BLACK, linewidth=1.4, label=name)
        ax.set(xlabel=x_label, ylabel=y_label, xlim=(0, None), ylim=(0, None))
        ax.legend(fontsize=9)
    return figure


def gamma_figure(plane: ArrayLike, marks: Mapping[str, ArrayLike]) -> Figure:
    r"""Draw gamma over one period of m theta, with chosen frequencies marked, and its profile along three lines.

    Parameters
    ----------
    plane : array_like, shape (P, P), P odd
        :math:`\gamma_1` at ``linspace(-pi, pi, P)`` along both axes, rows vertical.
    marks : mapping of str to array_like, shape (n, 2)
        Frequencies m theta, vertical then horizontal, rad; the names go into the legend.

    Returns
    -------
    matplotlib.figure.Figure
    """
    plane = np.asarray(plane)
    figure = Figure(figsize=(11, 4.9), layout="compressed")
    left, right = figure.subplots(1, 2)
    colour_bar(left, draw_plane(left, plane), "γ₁")
    left.set(xlabel="$m\\theta_x$ (rad)", ylabel="$m\\theta_y$ (rad)", title="one period of mθ")
    for (name, points), marker in zip(marks.items(), "osD^", strict=False):
        y, x = np.asarray(points).T
        left.plot(x, y, marker, color=SKY, markeredgecolor=BLACK, markersize=7, label=name, clip_on=False)
    figure.legend(loc="outside lower left", ncols=len(marks), fontsize=9)
    omega, middle = np.linspace(-np.pi, np.pi, len(plane)), len(plane) // 2
    lines = {
        "axis, $m\\theta_y$ = 0": plane[middle],
        "$m\\theta_y$ = π": plane[-1],
        "diagonal": np.diagonal(plane),
    }
    for (name, values), colour, style in zip(lines.items(), COLOURS, ("-", "--", "-."), strict=False):
        right.plot(omega[middle:], values[middle:], style, color=colour, label=name)
    right.set(xlabel="$m\\theta_x$ (rad)", ylabel="γ₁", ylim=(0, None), xlim=(0, np.pi), title="along three lines")
    right.set_xticks(np.pi * np.array([0, 1, 2, 3]) / 3, ["0", "π/3", "2π/3", "π"])
    right.legend()
    return figure


def constants_figure(curves: Mapping[str, Curve], found: Mapping[str, Curve] | None = None) -> Figure:
    """Constants of Theorem 2 against the bandwidth, linear and relative to it.

    Parameters
    ----------
    curves : mapping of str to (bandwidth, value)
        Bandwidths m kappa in rad.
    found : mapping of str to (bandwidth, value), optional
        Points that a search reached.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(11, 4.2), layout="compressed")
    axes = figure.subplots(1, 2)
    for ax, relative in zip(axes, (False, True), strict=True):
        lines = {name: look | {"marker": ""} for name, look in styles(curves).items()}
        points = {name: look | {"color": BLACK, "linestyle": "none"} for name, look in styles(found or {}).items()}
        for name, look in (lines | points).items():
            x, y = ({**curves, **(found or {})})[name]
            ax.plot(x, np.asarray(y) / np.where(relative, x, 1), markersize=4, label=name, **look)
        ax.set(xlabel="bandwidth mκ (rad)", xlim=(0, None), ylim=(0, None))
        ax.set_ylabel("constant / mκ" if relative else "constant")
    axes[0].legend(fontsize=9, loc="upper left")
    return figure


def convergence_figure(bandwidth: ArrayLike, rho: Mapping[str, ArrayLike], limits: Mapping[str, float]) -> Figure:
    """Draw the expected discrepancy against the bandwidth, with its limit at the left border.

    Parameters
    ----------
    bandwidth : array_like, shape (n,)
        m kappa, rad.
    rho : mapping of str to array_like, shape (n,)
        Root-mean-square discrepancy for each frequency.
    limits : mapping of str to float
        Gamma for each frequency.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(8.6, 4.8), layout="compressed")
    ax: Axes = figure.subplots()
    for name, look in styles(rho).items():
        ax.plot(bandwidth, rho[name], markersize=4, label=name, **look)
        ax.axhline(limits[name], xmax=0.06, color=look["color"], linestyle=look["linestyle"], linewidth=2.5)
    ax.set(xscale="log", yscale="log", xlabel="bandwidth mκ (rad)", ylabel="rms discrepancy ρ")
    ax.set_title("thick ticks at the left: γ₁, the limit of vanishing bandwidth", fontsize=10)
    side_legend(figure, title="mθ")
    return figure
