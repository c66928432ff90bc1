"""Numba loop of the heatmap experiment: transform, pool and sum, a few filters of one image at a time.

Responses of two vertical nodes and of the horizontal nodes of one strip are pooled while they are in the cache; no map
of a whole image is written but the pooled ones of the unshifted window.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from wavelets import _kernels
from wavelets._kernels import (
    DATA,
    Array,
    analyse,
    filter_along_x,
    jit,
    jit_disjoint,
    split,
    storage_size,
    work_size,
)

CHANGES = 3  # first of the sums that belong to shifts; before them, energies of RMax and CMod and their distance


@jit_disjoint
def pool_row(
    tree_1: Array,
    tree_2: Array,
    c1: int,
    c2: int,
    top: int,
    q: int,
    sign: float,
    highest: Array,
    rmax: Array,
    cmod: Array,
) -> None:
    """One row of RMax and CMod of Psi_a (`sign` = -1) or Psi_b (+1), from the products of the real trees.

    tree_1, tree_2 (rows, columns): vertical trees. The window is rows `top` to `top + 2 q`; columns begin at `c1` for
    horizontal tree 1 and at `c2` for tree 2. `highest` has room for the maxima of all columns. Whether a filter is
    conjugated makes no difference to either.
    """
    for x in range(highest.size):
        highest[x] = tree_1[top, c1 + x] + sign * tree_2[top, c2 + x]
    for y in range(top + 1, top + 2 * q + 1):
        for x in range(highest.size):
            highest[x] = max(highest[x], tree_1[y, c1 + x] + sign * tree_2[y, c2 + x])
    for j in range(rmax.size):
        rmax[j] = highest[2 * j]
    for dx in range(1, 2 * q + 1):
        for j in range(rmax.size):
            rmax[j] = max(rmax[j], highest[2 * j + dx])
    for j in range(cmod.size):
        re = tree_1[top + q, c1 + q + 2 * j] + sign * tree_2[top + q, c2 + q + 2 * j]
        im = tree_2[top + q, c1 + q + 2 * j] - sign * tree_1[top + q, c2 + q + 2 * j]
        cmod[j] = np.sqrt(re * re + im * im)


@jit_disjoint
def squared_distance(a: Array, b: Array) -> float:
    """Sum of (a - b)**2 over a row."""
    total = a.dtype.type(0)
    for j in range(a.size):
        total += (a[j] - b[j]) * (a[j] - b[j])
    return total


@jit_disjoint
def energy(a: Array) -> float:
    """Sum of a**2 over a row."""
    total = a.dtype.type(0)
    for j in range(a.size):
        total += a[j] * a[j]
    return total


def _kernel(transform_source: str) -> Callable[..., None]:
    """Compile the loop; as a free variable the source of the transform is part of the key of numba's cache."""

    @jit
    def packet_sums(
        plan_y: Array, plan_x: Array, channels: Array, layout: Array, corner: int, q: int, x: Array, sums: Array
    ) -> None:
        """Add to sums (n, 2 * P**2, 3 + 2 S) those of windows x (1 + S, n, H, W), the first of which is unshifted.

        In order: squares of RMax, of CMod, of their difference, then of the changes of RMax and those of CMod, one a
        shift. The valid region begins at coefficient `corner` on both axes; `layout` ends in the pooled rows and
        columns.
        """
        transform_source  # noqa: B018
        lines, strips, width, rows, columns = layout
        levels, ny, nx = plan_y.sizes.size - 1, plan_y.sizes[-1], plan_x.sizes[-1]
        nodes, shifts, height = channels.shape[0], x.shape[0] - 1, x.shape[2]
        between = np.empty((strips, DATA + height, 2 * width), x.dtype)
        storage = np.empty((4, storage_size(plan_y, 2 * width)), x.dtype)
        leaves = np.empty((2, DATA + 2 * ny, 2 * width), x.dtype)
        work = np.empty(work_size(plan_y), x.dtype)
        base = np.empty((sums.shape[1], 2, rows, columns), x.dtype)
        highest = np.empty(2 * columns - 1 + 2 * q, x.dtype)
        moved = np.empty((2, columns), x.dtype)
        top = np.int64(DATA)
        for n in range(sums.shape[0]):
            for shift in range(shifts + 1):
                for begin in range(0, height, lines):
                    filter_along_x(plan_x, x[shift, n : n + 1], begin, min(begin + lines, height), between)
                for strip in range(strips):
                    between[strip, 0] = 0
                    parents = [
                        analyse(plan_y, tree, levels - 1, between[strip], storage[:2], storage[2 + tree], work)
                        for tree in range(2)
                    ]
                    first, last = strip * width // nx, min((strip + 1) * width // nx, nodes)
                    for i in range(nodes):
                        if i % 2 == 0:
                            at = DATA + i // 2 * plan_y.sizes[levels - 1]
                            for tree in range(2):
                                split(plan_y, tree, levels - 1, i // 2, parents[tree], at, leaves[tree], top, work)
                        for j in range(first, last):
                            for branch in range(2):
                                f = channels[i, j] + branch * nodes * nodes
                                c1 = (j - first) * nx + corner
                                sign = x.dtype.type(2 * branch - 1)
                                for row in range(rows):
                                    window = DATA + i % 2 * ny + corner + 2 * row
                                    r, c = (base[f, 0, row], base[f, 1, row]) if shift == 0 else (moved[0], moved[1])
                                    pool_row(leaves[0], leaves[1], c1, c1 + width, window, q, sign, highest, r, c)
                                    if shift == 0:
                                        sums[n, f, 0] += energy(r)
                                        sums[n, f, 1] += energy(c)
                                        sums[n, f, 2] += squared_distance(r, c)
                                    else:
                                        s = CHANGES + shift - 1
                                        sums[n, f, s] += squared_distance(r, base[f, 0, row])
                                        sums[n, f, s + shifts] += squared_distance(c, base[f, 1, row])

    return packet_sums


packet_sums = _kernel(hashlib.sha256(Path(_kernels.__file__).read_bytes()).hexdigest())
