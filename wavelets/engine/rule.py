"""The packet rule of the dual tree: which filters follow which, and how nodes map to frequencies.

Nodes are numbered in natural (Paley) order: node ``k = (b_1 b_2 ... b_J)`` in binary, ``b_1`` (most significant) the
branch of the first stage, 0 low-pass, 1 high-pass. Bayram and Selesnick, IEEE Trans. Signal Processing 56(6), 2008;
theory.md 4.2 to 4.4.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Taps = NDArray[np.float64]

LOW, HIGH = 0, 1
TREES = (1, 2)
COMMON = 1  # the pair that both trees use once they form a Hilbert pair

# last filter applied           -> the main-stage pair that follows
AFTER_FIRST_STAGE = {
    (1, LOW): 1,  # h1_first     -> h1, g1
    (2, LOW): 2,  # h2_first     -> h2, g2
    (1, HIGH): 2,  # g1_first    -> h2, g2   swapped: the high-pass of tree 2 is an advance, not a delay
    (2, HIGH): 1,  # g2_first    -> h1, g1   swapped
}
AFTER_MAIN_STAGE = {
    (1, LOW): 1,  # h1           -> h1, g1
    (2, LOW): 2,  # h2           -> h2, g2
    (1, HIGH): COMMON,  # g1     -> the same pair in both trees, since g1, g2 complete the Hilbert pair;
    (2, HIGH): COMMON,  # g2     -> and as pair 1 leads only to pair 1, it stays the same from here on
}


class Bank(Protocol):
    """Filters of a dual tree, as pairs (low, high) of correlation kernels: :class:`wavelets.FilterBank`."""

    def first_stage(self, tree: int) -> tuple[Taps, Taps]:
        """Return the first-stage pair of tree 1 or 2."""

    def main_stage(self, pair: int) -> tuple[Taps, Taps]:
        """Return the main-stage pair number 1 or 2."""


def splitting_pairs(tree: int, levels: int) -> list[list[int]]:
    """Pair that splits each node of one tree.

    Parameters
    ----------
    tree : {1, 2}
    levels : int
        Depth J of the packet tree.

    Returns
    -------
    list of list of int
        Entry ``[l][k]`` is the number of the pair that splits node k after l stages, l = 0 to J - 1. For l = 0 it is
        the tree's own first-stage pair, numbered by the tree.
    """
    pairs = [[tree]]
    for stage in range(1, levels):
        rule = AFTER_FIRST_STAGE if stage == 1 else AFTER_MAIN_STAGE
        pairs.append([rule[pair, branch] for pair in pairs[-1] for branch in (LOW, HIGH)])
    return pairs


def splitting_table(levels: int) -> NDArray[np.int64]:
    """Pairs counted from 0 in one row a tree, shape (2, 2**levels - 1): entry ``2**l - 1 + k`` splits node k."""
    return np.array([[p - 1 for level in splitting_pairs(tree, levels) for p in level] for tree in TREES], np.int64)


def frequency_index(levels: int) -> NDArray[np.int64]:
    r"""Frequency index of every node, the inverse Gray code of its number.

    Returns
    -------
    f : ndarray, shape (2**levels,), int64
        Node k occupies the band :math:`|\omega| \in [f_k, f_k + 1]\,\pi / 2^J`.
    """
    node = np.arange(2**levels)
    f = node.copy()
    for shift in range(1, levels):
        f ^= node >> shift
    return f


def half_line(levels: int) -> NDArray[np.int64]:
    r"""Sign :math:`\sigma_f` of the half-line on which packet f lives, for f = 0 to 2**levels - 1.

    It is that of the correlation kernel's spectrum: -1 for the two edge packets, which touch 0 or pi, else +1.
    """
    sigma = np.ones(2**levels, dtype=np.int64)
    sigma[[0, -1]] = -1
    return sigma


def quad_tree_order(levels: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Vertical and horizontal node of each 2-D channel, bits ``i_1 j_1 i_2 j_2 ...``, vertical first.

    Returns
    -------
    node_y, node_x : ndarray, shape (4**levels,), int64
    """
    channel = np.arange(4**levels)
    node_y = np.zeros_like(channel)
    node_x = np.zeros_like(channel)
    for bit in range(levels):
        node_x |= ((channel >> (2 * bit)) & 1) << bit
        node_y |= ((channel >> (2 * bit + 1)) & 1) << bit
    return node_y, node_x
