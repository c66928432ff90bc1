"""Numba loops of the packet transforms: arrays in, arrays out.

Nothing here knows a bank, a boundary rule or a packet rule: a stage is a sweep (:mod:`wavelets.engine.sweeps`), a
transform a tree of them, packed into a :class:`wavelets.engine.plan.Plan`. The innermost loops run along contiguous
rows, across a strip of columns that stays in the cache, so that every multiplication is vectorised whatever the
boundary. The functions release the interpreter lock and are serial: threads are the caller's.

One file holds the whole call graph, since numba's cache does not notice changes in other modules.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from wavelets.engine.jit import by_type, jit, jit_disjoint, jit_inline
from wavelets.engine.lattice import Lattice

Array = Any  # numba infers the types; each docstring says the shapes

WIDEST = 1040  # columns of a buffer at most; a constant tells the compiler that rows of delays do not overlap, and one
# that is no power of two keeps them in different sets of the cache
DATA = 2  # rows in front of every buffer: one of zeros, one of waste
TILE = 64  # rows that a transposition takes at a time


@by_type
def delays_at(delays: Array, c: Array, like: Array) -> Any:
    """Numbers that wait in column c, as a tuple with one entry less than `like`."""

    def last(delays: Array, c: Array, like: Array) -> Any:
        return (delays[c],)

    def more(delays: Array, c: Array, like: Array) -> Any:
        return (delays[c], *delays_at(delays, c + WIDEST, like[1:]))

    return last if len(like) == 2 else more


@by_type
def set_delays(delays: Array, c: Array, values: Array) -> Any:
    """Keep the tuple `values` in column c."""

    def last(delays: Array, c: Array, values: Array) -> None:
        delays[c] = values[0]

    def more(delays: Array, c: Array, values: Array) -> None:
        delays[c] = values[0]
        set_delays(delays, c + WIDEST, values[1:])

    return last if len(values) == 1 else more


@by_type
def rotate(u: Array, v: Array, delayed: Array, tangents: Array) -> Any:
    """One pair through all sections of a lattice: the pair that comes out, and what is delayed for the next one."""

    def last(u: Array, v: Array, delayed: Array, tangents: Array) -> Any:
        waits = u + tangents[0] * v
        v = v - tangents[0] * u
        return delayed[0] + tangents[1] * v, v - tangents[1] * delayed[0], (waits,)

    def more(u: Array, v: Array, delayed: Array, tangents: Array) -> Any:
        waits = u + tangents[0] * v
        u, v, rest = rotate(delayed[0], v - tangents[0] * u, delayed[1:], tangents[1:])
        return u, v, (waits, *rest)

    return last if len(tangents) == 2 else more


@by_type
def rows_read(steps: Array, s: Array, at: Array, like: Array) -> Any:
    """Rows that the steps from s on read, as a tuple with as many entries as `like`."""

    def last(steps: Array, s: Array, at: Array, like: Array) -> Any:
        return row(steps[s, 0], at, 0), row(steps[s, 1], at, 0)

    def more(steps: Array, s: Array, at: Array, like: Array) -> Any:
        return (row(steps[s, 0], at, 0), row(steps[s, 1], at, 0), *rows_read(steps, s + 1, at, like[2:]))

    return last if len(like) == 2 else more


@by_type
def weighted(x: Array, rows: Array, c: Array, taps: Array) -> Any:
    """Sum of column c of x over a tuple of rows, each times its tap."""

    def last(x: Array, rows: Array, c: Array, taps: Array) -> Any:
        return taps[0] * x[rows[0], c]

    def more(x: Array, rows: Array, c: Array, taps: Array) -> Any:
        return taps[0] * x[rows[0], c] + weighted(x, rows[1:], c, taps[1:])

    return last if len(taps) == 1 else more


@jit_inline
def row(step: int, at: int, otherwise: int) -> int:
    """Row of a buffer that a step means; what it means by `NOWHERE` (negative) is one of the two rows in front."""
    return at + step if step >= 0 else otherwise


@jit_disjoint
def two_steps(
    filters: Array, x: Array, rows: Array, out_u0: Array, out_v0: Array, out_u1: Array, out_v1: Array, delays: Array
) -> None:
    """Two steps of a lattice: four rows of x, four rows out, and what is delayed."""
    tangents, (scale_u, scale_v) = filters.tangents, filters.scales
    u0, v0, u1, v1 = rows
    for c in range(out_u0.size):
        u, v, waits = rotate(x[u0, c], x[v0, c], delays_at(delays, c, tangents), tangents)
        out_u0[c], out_v0[c] = scale_u * u, scale_v * v
        u, v, waits = rotate(x[u1, c], x[v1, c], waits, tangents)
        out_u1[c], out_v1[c] = scale_u * u, scale_v * v
        set_delays(delays, c, waits)


@jit_disjoint
def one_step(filters: Array, x: Array, rows: Array, out_u: Array, out_v: Array) -> None:
    """One step of a filter pair as it stands: all rows of x under its taps, two rows out."""
    for c in range(out_u.size):
        out_u[c], out_v[c] = weighted(x, rows, c, filters.first), weighted(x, rows, c, filters.second)


@by_type
def sweep(filters: Array, steps: Array, x: Array, x_at: Array, out: Array, out_at: Array, work: Array) -> Any:
    """Sweep a filter pair over the rows of x from `x_at` on, into those of `out` from `out_at` on."""

    def of_lattice(filters: Array, steps: Array, x: Array, x_at: int, out: Array, out_at: int, work: Array) -> None:
        for s in range(0, steps.shape[0], 2):
            u0, v0 = out[row(steps[s, 2], out_at, 1)], out[row(steps[s, 3], out_at, 1)]
            u1, v1 = out[row(steps[s + 1, 2], out_at, 1)], out[row(steps[s + 1, 3], out_at, 1)]
            two_steps(filters, x, rows_read(steps, s, x_at, (0, 0, 0, 0)), u0, v0, u1, v1, work)

    def of_taps(filters: Array, steps: Array, x: Array, x_at: int, out: Array, out_at: int, work: Array) -> None:
        before = len(filters.first) // 2 - 1
        for s in range(before, steps.shape[0]):
            if steps[s, 2] >= 0 or steps[s, 3] >= 0:
                rows = rows_read(steps, s - before, x_at, filters.first)
                u, v = out[row(steps[s, 2], out_at, 1)], out[row(steps[s, 3], out_at, 1)]
                one_step(filters, x, rows, u, v)

    return of_lattice if getattr(filters, "instance_class", type(filters)) is Lattice else of_taps


@jit
def split(
    plan: Array, tree: int, level: int, node: int, x: Array, x_at: int, out: Array, out_at: int, work: Array
) -> None:
    """One stage on one node of a tree."""
    pair = plan.pairs[tree, 2**level - 1 + node]
    begin, end = plan.step_ranges[level, pair]
    steps, width = plan.steps[begin:end], out.shape[1]
    if level == 0:
        sweep(plan.first[pair], steps, x, x_at, out, out_at, work)
    else:
        sweep(plan.main[pair], steps, x, x_at, out, out_at, work)
    begin, end = plan.addition_ranges[level, pair]
    for e in range(begin, end):
        source, target = out[out_at + plan.additions[e, 0]], out[out_at + plan.additions[e, 1]]
        for c in range(width):
            target[c] += source[c]


@jit
def buffer(storage: Array, rows: int, width: int) -> Array:
    """View of flat storage as a buffer of that many rows: row 0 is zero, row 1 is waste, the data begin at `DATA`."""
    view = storage[: (DATA + rows) * width].reshape((DATA + rows, width))
    view[0] = 0
    return view


@jit
def analyse(plan: Array, tree: int, stages: int, x: Array, scratch: Array, last: Array, work: Array) -> Array:
    """Walk a tree down from the samples in buffer x, `stages` stages. Return the buffer that then holds the nodes.

    It is a view of `last`, or x itself if there is nothing to do; `scratch` (2, ...) holds the stages between.
    """
    current = x
    for level in range(stages):
        nodes, n = 2**level, plan.sizes[level]
        rows = 2 * plan.sizes[level + 1]
        storage = last if level == stages - 1 else scratch[level % 2]
        result = buffer(storage, nodes * rows, x.shape[1])
        for node in range(nodes):
            split(plan, tree, level, node, current, DATA + node * n, result, DATA + node * rows, work)
        current = result
    return current


@jit
def synthesise(plan: Array, tree: int, stages: int, x: Array, scratch: Array, last: Array, work: Array) -> Array:
    """Walk a tree up to the samples, from the nodes in buffer x after `stages` stages; the converse of `analyse`."""
    current = x
    for level in range(stages - 1, -1, -1):
        nodes, rows = 2**level, plan.rows[level]
        children = 2 * plan.rows[level + 1]
        storage = last if level == 0 else scratch[level % 2]
        result = buffer(storage, nodes * rows, x.shape[1])
        for node in range(nodes):
            split(plan, tree, level, node, current, DATA + node * children, result, DATA + node * rows, work)
        current = result
    return current


@jit
def storage_size(plan: Array, width: int) -> int:
    """Elements of one buffer for `analyse` and `synthesise` on `width` columns."""
    rows = 0
    for level in range(plan.sizes.size):
        rows = max(rows, 2**level * plan.rows[level])
    return (DATA + rows) * width


@jit
def work_size(plan: Array) -> int:
    """Elements of the array that sweeps keep their delays in, rows of `WIDEST` columns."""
    return max(len(plan.first[0][0]), len(plan.main[0][0])) * WIDEST


@jit
def turn(x: Array, r0: int, r1: int, c0: int, c1: int, out: Array, row_0: int, column_0: int) -> None:
    """Transpose a block: out[row_0 + c - c0, column_0 + r - r0] = x[r, c] for r in r0..r1, c in c0..c1.

    Blocks of 4 x 4 written out become shuffles of vectors.
    """
    r_edge, c_edge = r1 - (r1 - r0) % 4, c1 - (c1 - c0) % 4
    for block in range(r0, r_edge, TILE):
        for c in range(c0, c_edge, 4):
            o = row_0 + c - c0
            out_0, out_1, out_2, out_3 = out[o], out[o + 1], out[o + 2], out[o + 3]
            for r in range(block, min(block + TILE, r_edge), 4):
                x_0, x_1, x_2, x_3 = x[r], x[r + 1], x[r + 2], x[r + 3]
                a0, a1, a2, a3 = x_0[c], x_0[c + 1], x_0[c + 2], x_0[c + 3]
                b0, b1, b2, b3 = x_1[c], x_1[c + 1], x_1[c + 2], x_1[c + 3]
                d0, d1, d2, d3 = x_2[c], x_2[c + 1], x_2[c + 2], x_2[c + 3]
                e0, e1, e2, e3 = x_3[c], x_3[c + 1], x_3[c + 2], x_3[c + 3]
                i = column_0 + r - r0
                out_0[i], out_0[i + 1], out_0[i + 2], out_0[i + 3] = a0, b0, d0, e0
                out_1[i], out_1[i + 1], out_1[i + 2], out_1[i + 3] = a1, b1, d1, e1
                out_2[i], out_2[i + 1], out_2[i + 2], out_2[i + 3] = a2, b2, d2, e2
                out_3[i], out_3[i + 1], out_3[i + 2], out_3[i + 3] = a3, b3, d3, e3
    for c in range(c0, c1):
        for r in range(r0 if c >= c_edge else r_edge, r1):
            out[row_0 + c - c0, column_0 + r - r0] = x[r, c]


# In two dimensions a group of images is transformed at once, so that rows are long enough. Along x first: the images
# are turned, filtered, and turned back into strips (strips, DATA + H, 2 * width), whose first half is of horizontal
# tree 1 and the second of tree 2. Columns of a tree are image, node, x; number c is c % width of strip c // width.


@jit
def filter_along_x(plan: Array, images: Array, begin: int, end: int, strips: Array) -> None:
    """Transform lines of images (images, H, W), number `begin` to `end` counted through all of them, into strips."""
    height, n = images.shape[1], images.shape[2]
    levels, width = plan.sizes.size - 1, strips.shape[2] // 2
    columns = 2**levels * plan.sizes[-1]
    size = storage_size(plan, end - begin)
    storage = np.empty((4, size), images.dtype)
    work = np.zeros(work_size(plan), images.dtype)
    x = buffer(storage[0], n, end - begin)
    for image in range(begin // height, (end - 1) // height + 1):
        low, high = max(begin - image * height, 0), min(end - image * height, height)
        turn(images[image], low, high, 0 * n, n, x, DATA + 0 * n, image * height + low - begin)
    for tree in range(2):
        nodes = analyse(plan, tree, levels, x, storage[1:3], storage[3], work)
        for image in range(begin // height, (end - 1) // height + 1):
            low, high = max(begin, image * height), min(end, (image + 1) * height)
            first = image * columns
            while first < (image + 1) * columns:
                strip = first // width
                last = min((strip + 1) * width, (image + 1) * columns)
                row_0, column_0 = DATA + first - image * columns, tree * width + first % width
                y_0 = DATA + low - image * height
                turn(nodes, row_0, row_0 + last - first, low - begin, high - begin, strips[strip], y_0, column_0)
                first = last


@jit
def filter_along_y(plan: Array, strip: Array, first: int, nx: int, channels: Array, signs: Array, out: Array) -> None:
    """Transform one strip, whose first column is number `first`, into its part of out (images, 2 * P**2, ny, nx, 2)."""
    levels, ny, width = plan.sizes.size - 1, plan.sizes[-1], strip.shape[1]
    size = storage_size(plan, width)
    storage = np.empty((4, size), strip.dtype)
    leaves = np.empty((2, DATA + 2 * ny, width), strip.dtype)
    work = np.zeros(work_size(plan), strip.dtype)
    strip[0] = 0
    top: Any = np.int64(DATA)  # a constant in the calls would be compiled for once more
    parents = [analyse(plan, tree, levels - 1, strip, storage[:2], storage[2 + tree], work) for tree in range(2)]
    for parent in range(2 ** (levels - 1)):
        at = DATA + parent * plan.sizes[levels - 1]
        for tree in range(2):
            split(plan, tree, levels - 1, parent, parents[tree], at, leaves[tree], top, work)
        for node in range(2):
            at = DATA + node * ny
            trees_to_filters(leaves, at, first, nx, channels[2 * parent + node], signs, out)


@jit
def trees_to_filters(leaves: Array, row_0: int, first: int, nx: int, channels: Array, signs: Array, out: Array) -> None:
    """Combine the four real tree products of one vertical node into the outputs of Psi_a and Psi_b (theory.md 4.4).

    leaves (2, ..., 2 * width): vertical tree, y from `row_0` on, horizontal tree and column. out (images, 2 * P**2, ny,
    nx, 2): the last axis is real and imaginary part. `channels` (P,) are those of Psi_a; a sign of -1 (2 * P**2,)
    conjugates.
    """
    nodes, width = channels.size, leaves.shape[2] // 2
    end = min(first + width, out.shape[0] * nodes * nx)
    column = first
    while column < end:
        image, j, x = column // (nodes * nx), column // nx % nodes, column % nx
        run = min(nx - x, end - column)
        a, b = channels[j], channels[j] + nodes * nodes
        sign_a, sign_b, at = signs[a], signs[b], column - first
        for y in range(out.shape[2]):
            row = row_0 + y
            d11, d12 = leaves[0, row, at : at + run], leaves[0, row, at + width : at + width + run]
            d21, d22 = leaves[1, row, at : at + run], leaves[1, row, at + width : at + width + run]
            to_filters(d11, d12, d21, d22, sign_a, sign_b, out[image, a, y, x:], out[image, b, y, x:])
        column += run


@jit_disjoint
def to_filters(
    d11: Array, d12: Array, d21: Array, d22: Array, sign_a: float, sign_b: float, out_a: Array, out_b: Array
) -> None:
    """One run of pixels; d21 is of vertical tree 2 and horizontal tree 1."""
    for x in range(d11.size):
        out_a[x, 0], out_a[x, 1] = d11[x] - d22[x], sign_a * (d21[x] + d12[x])
        out_b[x, 0], out_b[x, 1] = d11[x] + d22[x], sign_b * (d21[x] - d12[x])


@jit
def filters_to_trees(leaves: Array, row_0: int, first: int, nx: int, channels: Array, signs: Array, c: Array) -> None:
    """Transpose of `trees_to_filters`: from c (images, 2 * P**2, ny, nx, 2) to leaves (2, ..., 2 * width)."""
    nodes, width = channels.size, leaves.shape[2] // 2
    end = min(first + width, c.shape[0] * nodes * nx)
    column = first
    while column < end:
        image, j, x = column // (nodes * nx), column // nx % nodes, column % nx
        run = min(nx - x, end - column)
        a, b = channels[j], channels[j] + nodes * nodes
        sign_a, sign_b, at = signs[a], signs[b], column - first
        for y in range(c.shape[2]):
            row = row_0 + y
            d11, d12 = leaves[0, row, at : at + run], leaves[0, row, at + width : at + width + run]
            d21, d22 = leaves[1, row, at : at + run], leaves[1, row, at + width : at + width + run]
            to_trees(d11, d12, d21, d22, sign_a, sign_b, c[image, a, y, x:], c[image, b, y, x:])
        column += run


@jit_disjoint
def to_trees(
    d11: Array, d12: Array, d21: Array, d22: Array, sign_a: float, sign_b: float, c_a: Array, c_b: Array
) -> None:
    """Transpose of `to_filters`."""
    for x in range(d11.size):
        d11[x], d22[x] = c_b[x, 0] + c_a[x, 0], c_b[x, 0] - c_a[x, 0]
        d21[x], d12[x] = sign_a * c_a[x, 1] + sign_b * c_b[x, 1], sign_a * c_a[x, 1] - sign_b * c_b[x, 1]


@jit
def synthesise_along_y(plan: Array, strip: Array, first: int, nx: int, channels: Array, signs: Array, c: Array) -> None:
    """Walk `filter_along_y` backwards, from c into one strip."""
    levels, ny, width = plan.sizes.size - 1, plan.sizes[-1], strip.shape[1]
    storage = np.empty((6, storage_size(plan, width)), strip.dtype)
    leaves = np.empty((2, DATA + 2 * ny, width), strip.dtype)
    leaves[:, 0] = 0
    work = np.zeros(work_size(plan), strip.dtype)
    nodes, rows = 2 ** (levels - 1), plan.rows[levels - 1]
    top: Any = np.int64(DATA)
    parents = [buffer(storage[2 + tree], nodes * rows, width) for tree in range(2)]
    for parent in range(nodes):
        for node in range(2):
            at = DATA + node * ny
            filters_to_trees(leaves, at, first, nx, channels[2 * parent + node], signs, c)
        for tree in range(2):
            split(plan, tree, levels - 1, parent, leaves[tree], top, parents[tree], DATA + parent * rows, work)
    trees = [
        synthesise(plan, tree, levels - 1, parents[tree], storage[:2], storage[4 + tree], work) for tree in range(2)
    ]
    for y in range(DATA, strip.shape[0]):
        add(trees[0][y], trees[1][y], strip.dtype.type(1), strip[y])


@jit_disjoint
def add(a: Array, b: Array, factor: float, out: Array) -> None:
    """Put factor * (a + b) into a row."""
    for x in range(out.size):
        out[x] = factor * (a[x] + b[x])


@jit
def synthesise_along_x(plan: Array, strips: Array, factor: float, begin: int, end: int, images: Array) -> None:
    """Walk `filter_along_x` backwards, from strips to lines of the images, times a factor."""
    height, n = images.shape[1], images.shape[2]
    levels, width = plan.sizes.size - 1, strips.shape[2] // 2
    columns = 2**levels * plan.sizes[-1]
    storage = np.empty((5, storage_size(plan, end - begin)), images.dtype)
    work = np.zeros(work_size(plan), images.dtype)
    nodes = buffer(storage[0], columns, end - begin)
    trees = []
    for tree in range(2):
        for image in range(begin // height, (end - 1) // height + 1):
            low, high = max(begin, image * height), min(end, (image + 1) * height)
            first = image * columns
            while first < (image + 1) * columns:
                strip, column_0 = first // width, tree * width + first % width
                last = min((strip + 1) * width, (image + 1) * columns)
                y0, y1 = DATA + low - image * height, DATA + high - image * height
                row_0 = DATA + first - image * columns
                turn(strips[strip], y0, y1, column_0, column_0 + last - first, nodes, row_0, low - begin)
                first = last
        trees.append(synthesise(plan, tree, levels, nodes, storage[1:3], storage[3 + tree], work))
    for x in range(DATA, DATA + n):
        add(trees[0][x], trees[1][x], factor, nodes[x])
    for image in range(begin // height, (end - 1) // height + 1):
        low, high = max(begin - image * height, 0), min(end - image * height, height)
        row_0, column_0 = DATA + 0 * n, 0 * n
        turn(
            nodes,
            row_0,
            row_0 + n,
            image * height + low - begin,
            image * height + high - begin,
            images[image],
            low,
            column_0,
        )


@jit
def forward_2d(
    plan_y: Array, plan_x: Array, channels: Array, signs: Array, layout: Array, images: Array, out: Array
) -> None:
    """Transform images (B, H, W) into out (B, 2 * P**2, ny, nx, 2), group by group."""
    group, lines, strips, width = layout
    between = np.empty((strips, DATA + images.shape[1], 2 * width), images.dtype)
    for g in range(0, len(images), group):
        part, nx = images[g : g + group], plan_x.sizes[-1]
        end = part.shape[0] * part.shape[1]
        for begin in range(0, end, lines):
            filter_along_x(plan_x, part, begin, min(begin + lines, end), between)
        for strip in range(strips):
            filter_along_y(plan_y, between[strip], strip * width, nx, channels, signs, out[g : g + group])


@jit
def backward_2d(
    plan_y: Array, plan_x: Array, channels: Array, signs: Array, layout: Array, factor: float, c: Array, out: Array
) -> None:
    """Walk `forward_2d` backwards, (B, 2 * P**2, ny, nx, 2) -> out (B, H, W), times a factor."""
    group, lines, strips, width = layout
    between = np.empty((strips, DATA + out.shape[1], 2 * width), out.dtype)
    for g in range(0, len(out), group):
        part, nx = out[g : g + group], plan_x.sizes[-1]
        for strip in range(strips):
            synthesise_along_y(plan_y, between[strip], strip * width, nx, channels, signs, c[g : g + group])
        end = part.shape[0] * part.shape[1]
        for begin in range(0, end, lines):
            synthesise_along_x(plan_x, between, factor, begin, min(begin + lines, end), part)
