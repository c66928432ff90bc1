"""Numba loop of the packet experiment: transform, pool and sum, a few filters of one image at a time.

Responses of two vertical nodes and of the horizontal nodes of one strip are pooled while they are in the cache; no map
of a whole image is written but the pooled ones of the unshifted window.
"""

from __future__ import annotations

import numpy as np

from wavelets.engine.jit import jit, jit_disjoint
from wavelets.engine.loops import LEAVES, Array, analyse, buffer, filter_along_x, split
from wavelets.engine.plan import DATA

CHANGES = 3  # first of the sums that belong to shifts; before them, energies of RMax and CMod and their distance


@jit_disjoint
def row_of_windows(
    tree_1: Array, tree_2: Array, top: int, q: int, sign: float, column: Array, highest: Array, squares: Array
) -> None:
    """Largest real part of every window of one row, and the squared moduli of the row of its centres.

    tree_1, tree_2 (rows, 2 * width): vertical trees; the second half of the columns is of horizontal tree 2. Responses
    are those of Psi_a for a `sign` of -1 and of Psi_b for +1; whether a filter is conjugated makes no difference here.
    The window of column x is rows `top` to `top + 2 q`, columns x to x + 2 q: the last 2 q are no windows, nor are
    those that reach into the next node.
    """
    width = column.size
    for x in range(width):
        column[x] = tree_1[top, x] + sign * tree_2[top, width + x]
    for y in range(top + 1, top + 2 * q + 1):
        for x in range(width):
            column[x] = max(column[x], tree_1[y, x] + sign * tree_2[y, width + x])
    for x in range(width):
        highest[x] = column[x]
        re = tree_1[top + q, x] + sign * tree_2[top + q, width + x]
        im = tree_2[top + q, x] - sign * tree_1[top + q, width + x]
        squares[x] = re * re + im * im
    for dx in range(1, 2 * q + 1):
        for x in range(width - 2 * q):
            highest[x] = max(highest[x], column[x + dx])


@jit_disjoint
def energies(highest: Array, squares: Array, rmax: Array, cmod: Array, sums: Array) -> None:
    """Every second window is one of RMax and CMod: keep them, and add their squares and that of their difference."""
    rr, cc, rc = rmax.dtype.type(0), rmax.dtype.type(0), rmax.dtype.type(0)
    for j in range(rmax.size):
        r, c = highest[2 * j], np.sqrt(squares[2 * j])
        rmax[j], cmod[j] = r, c
        rr += r * r
        cc += c * c
        rc += (r - c) * (r - c)
    sums[0] += rr
    sums[1] += cc
    sums[2] += rc


@jit_disjoint
def changes(highest: Array, squares: Array, rmax: Array, cmod: Array) -> tuple[float, float]:
    """Squared distances of a row of RMax and CMod from those of the unshifted window."""
    rr, cc = rmax.dtype.type(0), rmax.dtype.type(0)
    for j in range(rmax.size):
        r, c = highest[2 * j] - rmax[j], np.sqrt(squares[2 * j]) - cmod[j]
        rr += r * r
        cc += c * c
    return rr, cc


@jit
def add_packet_sums(
    plan_y: Array,
    plan_x: Array,
    channels: Array,
    layout: Array,
    corner: int,
    q: int,
    x: Array,
    between: Array,
    storage: Array,
    base: Array,
    rows_of_windows: Array,
    sums: Array,
) -> None:
    """Add to sums (n, 2 * P**2, 3 + 2 S) those of windows x (1 + S, n, H, W), the first of which is unshifted.

    In order: squares of RMax, of CMod, of their difference, then of the changes of RMax and those of CMod, one a
    shift. The valid region begins at coefficient `corner` on both axes; `layout` ends in the pooled rows. What comes
    between `x` and `sums` is memory to work in: of the transform, of the pooled maps of the unshifted window (2 * P**2,
    2, rows, columns), and of three rows of windows.
    """
    lines, strips, width, rows = layout
    levels, ny, nx = plan_y.sizes.size - 1, plan_y.sizes[-1], plan_x.sizes[-1]
    nodes, shifts, height = channels.shape[0], x.shape[0] - 1, x.shape[2]
    column, highest, squares = rows_of_windows[0], rows_of_windows[1], rows_of_windows[2]
    top = DATA + 0 * ny  # a constant in the calls would be compiled for once more
    for n in range(sums.shape[0]):
        for shift in range(shifts + 1):
            for begin in range(0, height, lines):
                filter_along_x(plan_x, x[shift, n : n + 1], begin, min(begin + lines, height), storage, between)
            for strip in range(strips):
                for c in range(2 * width):
                    between[strip, 0, c] = 0
                tree_1 = analyse(plan_y, 0, levels - 1, between[strip], storage)
                tree_2 = analyse(plan_y, 1, levels - 1, between[strip], storage)
                leaves_1 = buffer(storage, LEAVES, 2 * ny, 2 * width)
                leaves_2 = buffer(storage, LEAVES + 1, 2 * ny, 2 * width)
                first, last = strip * width // nx, min((strip + 1) * width // nx, nodes)
                for i in range(nodes):
                    if i % 2 == 0:
                        at = DATA + i // 2 * plan_y.sizes[levels - 1]
                        split(plan_y, 0, levels - 1, i // 2, tree_1, at, leaves_1, top, storage)
                        split(plan_y, 1, levels - 1, i // 2, tree_2, at, leaves_2, top, storage)
                    for branch in range(2):
                        sign = x.dtype.type(2 * branch - 1)
                        for row in range(rows):
                            window = DATA + i % 2 * ny + corner + 2 * row
                            row_of_windows(leaves_1, leaves_2, window, q, sign, column, highest, squares)
                            for j in range(first, last):
                                f, at = channels[i, j] + branch * nodes * nodes, (j - first) * nx + corner
                                r, m = base[f, 0, row], base[f, 1, row]
                                if shift == 0:
                                    energies(highest[at:], squares[at + q :], r, m, sums[n, f])
                                else:
                                    dr, dc = changes(highest[at:], squares[at + q :], r, m)
                                    sums[n, f, CHANGES + shift - 1] += dr
                                    sums[n, f, CHANGES + shift - 1 + shifts] += dc
