"""Tiling of the Fourier plane by the packets."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from analysis.plots.style import BLACK, BLUE, VERMILION, Style, frequency_plane, legend_entry, spectrum
from wavelets import DualTreePackets2D

REACH = 1.5  # sides of a cell that a contour is followed from its nominal frequency
SAMPLES = 41  # along that way, there and back


def tiling_figure(transform: DualTreePackets2D, level: float = 0.5) -> Figure:
    r"""Contours of the filters' energy over the cells they are meant to fill.

    Parameters
    ----------
    transform : DualTreePackets2D
        Legible for up to 3 levels.
    level : float
        Height of the contours of :math:`|\widehat W|^2`, relative to its maximum, between 0 and 1.

    Returns
    -------
    matplotlib.figure.Figure
        The half-plane :math:`\omega_x \ge 0` and a third of a cell around it, where the edge packets spill over. Arrows
        lead from the nominal frequencies (dots) to the measured centroids (crosses).

    Raises
    ------
    ValueError
        If `level` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise ValueError(f"level is {level}; expected between 0 and 1, relative to the maximum")
    levels = transform.levels
    side = np.pi / 2**levels
    border = side / 3
    # Round each filter only: the spectrum is periodic, and its copies across the plane would confuse.
    around = np.linspace(-REACH, REACH, SAMPLES) * side
    figure = Figure(figsize=(5.8, 9.9) if levels < 3 else (7.2, 13.2), layout="constrained")
    ax = figure.add_subplot()
    cells: Style = {"color": "0.8", "linewidth": 0.8, "zorder": 0}
    ax.hlines(np.arange(-(2**levels), 2**levels + 1) * side, 0, np.pi, **cells)
    ax.vlines(np.arange(2**levels + 1) * side, -np.pi, np.pi, **cells)
    rows = zip(transform.kernels(), transform.frequencies, transform.centroids, transform.packets.edge, strict=True)
    for kernel, nominal, centroid, edge in rows:
        colour = VERMILION if edge else BLUE
        omega_y, omega_x = nominal[:, None] + around
        energy = np.abs(spectrum(kernel, omega_y, omega_x)) ** 2
        ax.contour(omega_x, omega_y, energy / energy.max(), [level], colors=colour, linewidths=1.0, alpha=0.8)
        arrow = {"arrowstyle": "->", "color": colour, "linewidth": 0.8, "shrinkA": 0, "shrinkB": 0}
        ax.annotate("", centroid[::-1], nominal[::-1], arrowprops=arrow)
    ax.plot(*transform.frequencies.T[::-1], "o", color="black", markersize=3)
    for chosen, colour in ((~transform.packets.edge, BLUE), (transform.packets.edge, VERMILION)):
        ax.plot(*transform.centroids[chosen].T[::-1], "x", color=colour, markersize=5)
    frequency_plane(ax, low=(-np.pi - border, -border), high=np.pi + border)
    legend = [
        legend_entry("interior packet", color=BLUE),
        legend_entry("edge packet", color=VERMILION),
        legend_entry("nominal frequency", color=BLACK, marker="o", markersize=3, linestyle=""),
        legend_entry("measured centroid", color="0.3", marker="x", markersize=5, linestyle=""),
    ]
    figure.legend(handles=legend, loc="outside lower center", ncols=2)
    ax.set_title(f"filters {transform.bank.name}, J = {levels}: |Ŵ|² at {level:g} of its maximum", fontsize=11)
    return figure
