"""Parts that all pictures share: colours, axes of frequency, legends, tiles, and the Fourier transform for display."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import Normalize
from matplotlib.figure import Figure, SubFigure
from matplotlib.image import AxesImage
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.legend import Legend
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

# Okabe and Ito's palette, which colour-blind readers can tell apart.
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY)
# Ten more for curves that are many, from Paul Tol's muted scheme, so that none is used twice.
MORE = ("#882255", "#999933", "#332288", "#44AA99", "#AA4499", "#661100", "#6699CC", "#DDCC77", "#117733", "#888888")
MARKERS = "os^Dv<P*X"
LINES = ("-", "--", ":", "-.")

# The colour and the marker say which twin a network is, the line how it pools.
TWINS = {"standard": (BLACK, "o"), "RMax": (BLUE, "s"), "CMod": (VERMILION, "^")}
POOLINGS = {"max": "-", "Blur": "--", "4-tap Blur": "-.", "ABlur": ":"}

Style = dict[str, Any]
"""Keyword arguments of matplotlib's functions that draw lines and markers."""

# Perceptually uniform from near white to black: darker = larger, over the widest range of lightness there is.
SEQUENTIAL = "magma_r"
# For differences: two hues that colour-blind readers tell apart, white is none.
DIVERGING = "PuOr_r"

PI_TICKS = {"−π": -np.pi, "−π/2": -np.pi / 2, "0": 0.0, "π/2": np.pi / 2, "π": np.pi}


def pi_axis(ax: Axes, which: str, label: str, low: float = -np.pi, high: float = np.pi) -> None:
    """Make an axis one of frequency: limits, ticks at multiples of pi/2, label with its unit.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    which : {"x", "y"}
    label : str
        The symbol, without the unit.
    low, high : float
        Limits, rad/sample.
    """
    ticks = {name: value for name, value in PI_TICKS.items() if low <= value <= high}
    ax.set(**{f"{which}lim": (low, high), f"{which}label": f"{label} (rad/sample)"})
    getattr(ax, f"set_{which}ticks")(list(ticks.values()), list(ticks))


def frequency_plane(ax: Axes, low: tuple[float, float] = (-np.pi, -np.pi), high: float = np.pi) -> None:
    """Make axes the Fourier plane, vertical frequency upwards.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    low : tuple of float
        Lower limits, vertical then horizontal, rad/sample.
    high : float
        Upper limit of both, rad/sample.
    """
    pi_axis(ax, "y", "$\\omega_y$", low[0], high)
    pi_axis(ax, "x", "$\\omega_x$", low[1], high)
    ax.set_aspect("equal")


def colour_bar(ax: Axes, mappable: ScalarMappable, label: str) -> Colorbar:
    """Add a colour bar as high as the axes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    mappable : matplotlib.cm.ScalarMappable
    label : str

    Returns
    -------
    matplotlib.colorbar.Colorbar
    """
    bar = ax.figure.colorbar(mappable, ax=ax, label=label, fraction=0.06, aspect=20)
    # Rasterised, as matplotlib wants it, every bar costs a canvas of the whole figure when a PDF is written.
    if bar.solids is not None:
        bar.solids.set(rasterized=False, edgecolor="face")
    return bar


def square_panels(
    rows: int,
    gaps: Sequence[float],
    side: float = 2.4,
    row_gap: float = 0.36,
    left: float = 0.72,
    right: float = 0.12,
    bottom: float = 0.5,
    top: float = 0.62,
) -> tuple[Figure, NDArray[np.object_]]:
    """Make a figure of square panels at fixed places: nothing has to be laid out when it is drawn.

    Parameters
    ----------
    rows : int
    gaps : sequence of float
        Between one column and the next, inches; there is one column more than gaps.
    side, row_gap, left, right, bottom, top : float
        Side of a panel, height between two rows, margins, inches.

    Returns
    -------
    figure : Figure
    axes : ndarray of Axes, shape (rows, len(gaps) + 1)
    """
    count = len(gaps) + 1
    width = left + count * side + sum(gaps) + right
    height = bottom + rows * side + (rows - 1) * row_gap + top
    figure = Figure(figsize=(width, height))
    axes = np.empty((rows, count), dtype=object)
    for row in range(rows):
        y = bottom + (rows - 1 - row) * (side + row_gap)
        for column in range(count):
            x = left + column * side + sum(gaps[:column])
            axes[row, column] = figure.add_axes((x / width, y / height, side / width, side / height))
    return figure, axes


def side_bar(ax: Axes, mappable: ScalarMappable, label: str) -> Colorbar:
    """Add a colour bar to the right of axes that stay where they are.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
        As `square_panels` makes them.
    mappable : matplotlib.cm.ScalarMappable
    label : str

    Returns
    -------
    matplotlib.colorbar.Colorbar
    """
    figure, box = ax.figure, ax.get_position()
    assert isinstance(figure, Figure)
    inch = 1 / figure.get_figwidth()
    place = figure.add_axes((box.x1 + 0.07 * inch, box.y0, 0.11 * inch, box.height))
    bar = figure.colorbar(mappable, cax=place, label=label)
    if bar.solids is not None and type(mappable.norm) is Normalize:
        bar.solids.set_visible(False)  # the same colours as an image: 256 cells take a PDF longer than a map
        colours = mappable.cmap(np.linspace(0, 1, mappable.cmap.N))[:, None]
        extent = (*place.get_xlim(), *place.get_ylim())
        place.imshow(colours, extent=extent, origin="lower", aspect="auto", interpolation="nearest", zorder=0.5)
    return bar


def styles(names: Iterable[str], reference: bool = False) -> dict[str, Style]:
    """Give each name a look of its own: colour, marker and line, so that colour alone says nothing.

    No colour is used twice for up to 16 names and the reference.

    Parameters
    ----------
    names : iterable of str
    reference : bool
        The first is what all others are compared with: it is black and thick.

    Returns
    -------
    dict of str to dict
        Keyword arguments of :meth:`matplotlib.axes.Axes.plot`.
    """
    others, found = list(names), dict[str, Style]()
    if reference:
        found[others.pop(0)] = {"color": BLACK, "linestyle": "-", "marker": MARKERS[0], "linewidth": 2}
    looks = zip(others, cycle(COLOURS + MORE), cycle(MARKERS[int(reference) :]), strict=False)
    for number, (name, colour, marker) in enumerate(looks):
        found[name] = {"color": colour, "linestyle": LINES[number // len(COLOURS) % len(LINES)], "marker": marker}
    return found


def twin_style(twin: str, pooling: str = "max") -> Style:
    """Look of a network of the poster, by its twin and its pooling."""
    colour, marker = TWINS[twin]
    return {"color": colour, "marker": marker, "linestyle": POOLINGS[pooling]}


def legend_entry(label: str, **look: Any) -> Line2D:
    """Make an entry of a legend for what is drawn in the look of a line or a marker."""
    return Line2D([], [], label=label, **look)


def side_legend(figure: Figure, handles: Iterable[Artist] | None = None, title: str | None = None) -> Legend:
    """Put the legend of a figure to its right, by default that of its last axes, where all are drawn alike."""
    shown = figure.axes[-1].get_legend_handles_labels()[0] if handles is None else list(handles)
    return figure.legend(handles=shown, loc="outside right upper", fontsize=9, title=title)


def pad_panels(figure: Figure, **pads: Any) -> None:
    """Set the gaps between the panels of a figure with a constrained layout: `w_pad` in inches, `hspace` as a share."""
    engine = figure.get_layout_engine()
    if isinstance(engine, ConstrainedLayoutEngine):
        engine.set(**pads)


def shift_names(ds: xr.Dataset) -> list[str]:
    """Names of the shifts of a dataset, such as "(0, 1)": vertical then horizontal, pixels."""
    return [f"({dy:g}, {dx:g})" for dy, dx in zip(ds.shift_y.values, ds.shift_x.values, strict=True)]


def whole_numbers(ax: Axes) -> None:
    """Let the horizontal axis have ticks at whole numbers only."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))


def equality_line(ax: Axes, low: float, high: float) -> None:
    """Make axes a square from low to high both ways, with the line where both values are the same."""
    ax.plot([low, high], [low, high], color="0.5", linewidth=1)
    ax.set(xlim=(low, high), ylim=(low, high), box_aspect=1)


def tiles(parent: Figure | SubFigure, count: int, columns: int, **options: Any) -> list[Axes]:
    """Make axes of tiles in rows.

    Parameters
    ----------
    parent : Figure or SubFigure
    count : int
        Number of tiles; what the last row has room for beyond it stays empty.
    columns : int
        Tiles in a row.
    **options
        Keyword arguments of :meth:`matplotlib.figure.Figure.subplots`.

    Returns
    -------
    list of Axes
        In reading order.
    """
    axes = list(parent.subplots(-(-count // columns), columns, squeeze=False, **options).flat)
    for ax in axes[count:]:
        ax.remove()
    return axes[:count]


def draw_shift_map(ax: Axes, values: ArrayLike, down: ArrayLike, right: ArrayLike, **options: Any) -> AxesImage:
    """Draw one value a shift of a grid, each in a cell around its shift, rows downwards.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    values : array_like, shape (D, R)
    down, right : array_like, shapes (D,) and (R,)
        Shifts, pixels, rising in steps of one.
    **options
        Keyword arguments of :meth:`matplotlib.axes.Axes.imshow`.

    Returns
    -------
    matplotlib.image.AxesImage
    """
    down, right = np.asarray(down), np.asarray(right)
    edges = (right[0] - 0.5, right[-1] + 0.5, down[-1] + 0.5, down[0] - 0.5)
    return ax.imshow(np.asarray(values), extent=edges, interpolation="nearest", **options)


def transform(taps: ArrayLike, omega: ArrayLike) -> NDArray[np.complex128]:
    r"""Fourier transform :math:`\sum_n w[n] e^{-i\omega n}` along the last axis.

    Parameters
    ----------
    taps : array_like, shape (..., K), real or complex
    omega : array_like, shape (P,), rad/sample

    Returns
    -------
    ndarray, shape (..., P), complex128
    """
    taps = np.asarray(taps)
    waves = np.exp(-1j * np.outer(np.arange(taps.shape[-1]), np.asarray(omega)))
    found: NDArray[np.complex128] = taps @ waves
    return found


def spectrum(kernels: ArrayLike, omega_y: ArrayLike, omega_x: ArrayLike) -> NDArray[np.complex128]:
    r"""Fourier transform :math:`\sum_n w[n] e^{-i\langle\omega,n\rangle}` of kernels on a grid of frequencies.

    Parameters
    ----------
    kernels : array_like, shape (..., K, K), real or complex
    omega_y : array_like, shape (P,), rad/sample
    omega_x : array_like, shape (Q,), rad/sample

    Returns
    -------
    ndarray, shape (..., P, Q), complex128
        Up to a phase, which no picture shows.
    """
    along_x = transform(kernels, omega_x)
    return transform(along_x.swapaxes(-1, -2), omega_y).swapaxes(-1, -2)
