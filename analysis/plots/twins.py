"""Choices of the twins: packets that they keep, weights of their mixtures, and the change of outputs under shifts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from numpy.typing import ArrayLike

from analysis.plots.style import BLUE, GREEN, ORANGE, PURPLE, SKY, VERMILION, frequency_plane, styles
from wavelets import DualTreePackets2D

COLOURS = (SKY, ORANGE, GREEN, PURPLE, VERMILION, BLUE)  # of areas: the lighter ones first


def packet_groups_figure(
    levels: int, groups: Sequence[Sequence[int]], labels: Sequence[str], title: str = ""
) -> Figure:
    r"""Draw the cells of the packets that a twin keeps, coloured by group, in the half-plane :math:`\omega_x \ge 0`.

    Parameters
    ----------
    levels : int
        Depth J of the transform.
    groups : sequence of sequence of int
        Channels of each group; what no group has is grey.
    labels : sequence of str
        One for each group, up to six.
    title : str

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there are not as many labels as groups, or more than six groups.
    """
    if len(groups) != len(labels) or len(groups) > len(COLOURS):
        raise ValueError(f"there are {len(labels)} labels for {len(groups)} groups; expected as many, up to 6")
    side = np.pi / 2**levels
    figure = Figure(figsize=(4.4, 5.6), layout="constrained")
    ax = figure.add_subplot()
    colour_of = {channel: colour for group, colour in zip(groups, COLOURS, strict=False) for channel in group}
    for channel, (y, x) in enumerate(DualTreePackets2D(levels).frequencies):
        cell = Rectangle((x - side / 2, y - side / 2), side, side, edgecolor="white", linewidth=0.8)
        cell.set_facecolor(colour_of.get(channel, "0.88"))
        ax.add_patch(cell)
    frequency_plane(ax, low=(-np.pi, 0))
    ax.set_title(title, fontsize=11)
    handles = [Patch(color=colour, label=label) for colour, label in zip(COLOURS, labels, strict=False)]
    figure.legend(handles=[*handles, Patch(color="0.88", label="discarded")], loc="outside lower center", fontsize=9)
    return figure


def selection_figure(shares: Mapping[str, ArrayLike], groups: Sequence[Sequence[int]], labels: Sequence[str]) -> Figure:
    """Draw how much of each output's mixture its heaviest packet has.

    Parameters
    ----------
    shares : mapping of str to array_like, shape (outputs,)
        Largest weight over the sum of moduli of every output, for each run by name.
    groups : sequence of sequence of int
        Outputs of each group.
    labels : sequence of str
        Of the groups.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a run; the dashed line is 1, one packet.
    """
    figure = Figure(figsize=(3.4 * len(shares) + 0.6, 3.2), layout="constrained")
    panels = figure.subplots(1, len(shares), sharey=True, squeeze=False)[0]
    for ax, (name, values) in zip(panels, shares.items(), strict=True):
        for outputs, colour, label in zip(groups, COLOURS, labels, strict=False):
            ax.bar(outputs, np.asarray(values)[list(outputs)], color=colour, width=0.85, label=label)
        ax.axhline(1, color="0.3", ls="--", lw=1)
        ax.set(title=name, xlabel="Gabor channel", ylim=(0, 1.08))
    figure.axes[0].set_ylabel("share of the heaviest packet")
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=len(groups))
    return figure


def change_figure(changes: Mapping[str, ArrayLike], shifts: ArrayLike, bound: ArrayLike | None = None) -> Figure:
    """Draw the relative change of outputs under shifts of the input.

    Parameters
    ----------
    changes : mapping of str to array_like, shape (S,)
        By name, such as "RMax" and "CMod".
    shifts : array_like, shape (S,)
        Pixels.
    bound : array_like, shape (S,), optional
        Of CMod, Theorem 1.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(6.2, 3.6), layout="constrained")
    ax = figure.add_subplot()
    for name, look in styles(changes).items():
        ax.plot(shifts, changes[name], label=name, **look)
    if bound is not None:
        ax.plot(shifts, bound, color="0.3", ls="--", label="bound of Theorem 1")
    ax.set(xlabel="shift of the input (pixels)", ylabel="relative change of the output", ylim=(0, None))
    ax.legend()
    ax.grid(color="0.92")
    return figure
