"""Block diagrams of RMax, CMod and the twins' first stage: text and boxes, from the layer's own numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from analysis.plots.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, Style

WIDE, TALL, GAP = 2.5, 0.95, 0.55  # of boxes, inches


class Box(NamedTuple):
    """Step of a diagram: what it does, a second line in small, and its colour."""

    text: str
    below: str
    colour: str


class Twin(NamedTuple):
    """Numbers of a twin's first stage.

    Attributes
    ----------
    name : str
    kernel, stride, free, gabor : int
        Of the convolution that is replaced, and its channels that stay and that do not.
    levels, kept : int
        Depth J of the packets, and how many of the 2·4^J are mixed.
    normalised : bool
        Batch normalisation, or a bias.
    """

    name: str
    kernel: int
    stride: int
    free: int
    gabor: int
    levels: int
    kept: int
    normalised: bool


def operators_diagram(stride: int = 4, pool: int = 3) -> Figure:
    """RMax above CMod: how a band-pass kernel's response is pooled.

    Parameters
    ----------
    stride : int
        Stride m of the convolution.
    pool : int
        Side of the max pooling's window; its stride is 2.

    Returns
    -------
    matplotlib.figure.Figure
        theory.md, section 2.
    """
    rmax = [
        Box("$X$", "picture", "0.85"),
        Box("$\\ast\\ \\mathrm{Re}\\,W$", f"real kernel, stride $m$ = {stride}", SKY),
        Box("maximum", f"of {pool} × {pool} values, stride 2", ORANGE),
        Box("RMax", f"one value every $2m$ = {2 * stride} pixels", "0.85"),
    ]
    cmod = [
        Box("$X$", "picture", "0.85"),
        Box("$\\ast\\ W$", f"complex kernel, stride $2m$ = {2 * stride}", SKY),
        Box("$|\\cdot|$", "modulus: Re² + Im², root", GREEN),
        Box("CMod", f"one value every $2m$ = {2 * stride} pixels", "0.85"),
    ]
    figure, ax = _canvas(4, 2)
    for row, boxes in enumerate((rmax, cmod)):
        _chain(ax, boxes, 0, 1.5 * (1 - row))
    return figure


def twin_diagram(twin: Twin) -> Figure:
    """First stage of a twin network: free channels beside packets, RMax or CMod.

    Parameters
    ----------
    twin : Twin

    Returns
    -------
    matplotlib.figure.Figure
        theory.md, section 6.1.
    """
    m, after = twin.stride, "batch norm" if twin.normalised else "bias"
    free = [
        Box("convolution", f"{twin.free} kernels {twin.kernel}×{twin.kernel}, stride {m}", SKY),
        Box(f"{after}, ReLU", "", PURPLE),
        Box("maximum", "3 × 3, stride 2", ORANGE),
    ]
    packets = [
        Box("luminance", "3 colours → 1, trained", SKY),
        Box("packets", f"dual tree, $J$ = {twin.levels}; {twin.kept} of {2 * 4**twin.levels} kept", BLUE),
        Box("mixing 1×1", f"{twin.kept} packets → {twin.gabor}, trained", SKY),
    ]
    rmax = [
        Box("Re", f"stride {m}", VERMILION),
        Box(f"{after}, ReLU", "", PURPLE),
        Box("maximum", "3 × 3, stride 2", ORANGE),
    ]
    cmod = [
        Box("$|\\cdot|$", f"modulus, stride {2 * m}", GREEN),
        Box(f"{after}, ReLU", "of the moduli, mean kept" if twin.normalised else "", PURPLE),
    ]
    figure, ax = _canvas(8, 3)
    step, ys = WIDE + GAP, (3.0, 1.5, 0.0)
    _box(ax, Box("picture", "R, G, B", "0.85"), 0, ys[1])
    ends = [_chain(ax, free, step, ys[0], title=f"free channels: {twin.free}")]
    start = _chain(ax, packets, step, ys[1] - 0.75, title=f"Gabor channels: {twin.gabor}")
    ends.append(_chain(ax, rmax, 4 * step, ys[1], title="RMax twin"))
    ends.append(_chain(ax, cmod, 4 * step, ys[2], title="CMod twin"))
    for y in (ys[0], ys[1] - 0.75):
        _arrow(ax, (WIDE, ys[1] + TALL / 2), (step, y + TALL / 2))
    for y in ys[1:]:
        _arrow(ax, (start[0], start[1]), (4 * step, y + TALL / 2), dashed=True)
    last = 7 * step
    _box(ax, Box("side by side", f"{twin.free} + {twin.gabor} channels", "0.85"), last, ys[1])
    above, beside, below = ends
    _arrow(ax, beside, (last, ys[1] + TALL / 2), dashed=True)
    for (x, y), side, dashed in ((above, ys[1] + TALL, False), (below, ys[1], True)):
        ax.plot([x, last + WIDE / 2], [y, y], color="0.3", linewidth=0.9, linestyle="--" if dashed else "-")
        _arrow(ax, (last + WIDE / 2, y), (last + WIDE / 2, side), dashed=dashed)
    ax.set_title(f"{twin.name}: the first stage; dashed: one of the two", loc="left", fontsize=11)
    return figure


def _canvas(columns: int, rows: int) -> tuple[Figure, Axes]:
    width, height = columns * (WIDE + GAP) - GAP, rows * 1.5
    figure = Figure(figsize=(0.62 * width + 0.2, 0.62 * height + 0.35), layout="constrained")
    ax = figure.subplots()
    ax.set(xlim=(-0.1, width + 0.1), ylim=(-0.2, height - 0.1), aspect="equal")
    ax.set_axis_off()
    return figure, ax


def _chain(ax: Axes, boxes: Sequence[Box], x: float, y: float, title: str = "") -> tuple[float, float]:
    """Draw boxes in a row, joined by arrows; return the middle of the last one's right side."""
    if title:
        ax.text(x, y + TALL + 0.08, title, fontsize=8, color="0.25")
    for number, box in enumerate(boxes):
        left = x + number * (WIDE + GAP)
        if number:
            _arrow(ax, (left - GAP, y + TALL / 2), (left, y + TALL / 2))
        _box(ax, box, left, y)
    return x + len(boxes) * (WIDE + GAP) - GAP, y + TALL / 2


def _box(ax: Axes, box: Box, x: float, y: float) -> None:
    shape = "round,pad=0,rounding_size=0.12"
    light: Style = {"facecolor": box.colour, "alpha": 0.35, "edgecolor": "none"}
    ax.add_patch(FancyBboxPatch((x, y), WIDE, TALL, boxstyle=shape, **light))
    ax.add_patch(FancyBboxPatch((x, y), WIDE, TALL, boxstyle=shape, facecolor="none", edgecolor="0.3", linewidth=0.8))
    middle = y + TALL * (0.64 if box.below else 0.5)
    ax.text(x + WIDE / 2, middle, box.text, ha="center", va="center", fontsize=10)
    ax.text(x + WIDE / 2, y + TALL * 0.25, box.below, ha="center", va="center", fontsize=6.6, color="0.2")


def _arrow(ax: Axes, start: tuple[float, float], end: tuple[float, float], dashed: bool = False) -> None:
    look: Style = {"arrowstyle": "-|>", "color": "0.3", "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    ax.annotate("", end, start, arrowprops=look | {"linestyle": "--" if dashed else "-"})
