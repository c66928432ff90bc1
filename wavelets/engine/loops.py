"""Numba loops of the packet transforms: arrays in, arrays out.

Nothing here knows a bank, a boundary rule or a packet rule: a stage is a sweep (:mod:`wavelets.engine.sweeps`), a
transform a tree of them, packed into a :class:`wavelets.engine.plan.Plan`. The innermost loops run along contiguous
rows, across a strip of columns that stays in the cache, so that every multiplication is vectorised whatever the
boundary. The functions release the interpreter lock and are serial: threads are the caller's.

One file holds the whole call graph, since numba's cache does not notice changes in other modules.
"""

from __future__ import annotations

from typing import Any

from wavelets.engine.jit import by_type, jit, jit_disjoint, jit_part
from wavelets.engine.lattice import Lattice
from wavelets.engine.plan import DATA, WIDEST

Array = Any  # numba infers the types; each docstring says the shapes

BUFFERS = 7  # of storage: one for delays, two for the stages between, and from here on
TREES = 3  # two for the nodes of both trees,
LEAVES = 5  # and two more
TILE = 64  # rows that a transposition takes at a time


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


@jit_part
def row(step: int, at: int, otherwise: int) -> int:
    """Row of a buffer that a step means; what it means by `NOWHERE` (negative) is one of the two rows in front."""
    return at + step if step >= 0 else otherwise


@jit_disjoint
def two_steps(
    filters: Array,
    x_u0: Array,
    x_v0: Array,
    x_u1: Array,
    x_v1: Array,
    out_u0: Array,
    out_v0: Array,
    out_u1: Array,
    out_v1: Array,
    delays: Array,
) -> None:
    """Two steps of a lattice: four rows in, four rows out, and what is delayed.

    What the first step delays in a section is what the second takes there.
    """
    tangents, (scale_u, scale_v) = filters.tangents, filters.scales
    sections = len(tangents)
    for c in range(out_u0.size):
        u0, v0, u1, v1 = x_u0[c], x_v0[c], x_u1[c], x_v1[c]
        for k in range(sections - 1):
            a, waiting = tangents[k], delays[c + k * WIDEST]
            delays[c + k * WIDEST] = u1 + a * v1
            u0, v0, u1, v1 = waiting, v0 - a * u0, u0 + a * v0, v1 - a * u1
        a = tangents[sections - 1]
        out_u0[c], out_v0[c] = scale_u * (u0 + a * v0), scale_v * (v0 - a * u0)
        out_u1[c], out_v1[c] = scale_u * (u1 + a * v1), scale_v * (v1 - a * u1)


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
            x_u0, x_v0 = x[row(steps[s, 0], x_at, 0)], x[row(steps[s, 1], x_at, 0)]
            x_u1, x_v1 = x[row(steps[s + 1, 0], x_at, 0)], x[row(steps[s + 1, 1], x_at, 0)]
            two_steps(filters, x_u0, x_v0, x_u1, x_v1, u0, v0, u1, v1, work)

    def of_taps(filters: Array, steps: Array, x: Array, x_at: int, out: Array, out_at: int, work: Array) -> None:
        before = len(filters.first) // 2 - 1
        for s in range(before, steps.shape[0]):
            if steps[s, 2] >= 0 or steps[s, 3] >= 0:
                rows = rows_read(steps, s - before, x_at, filters.first)
                u, v = out[row(steps[s, 2], out_at, 1)], out[row(steps[s, 3], out_at, 1)]
                one_step(filters, x, rows, u, v)

    return of_lattice if getattr(filters, "instance_class", type(filters)) is Lattice else of_taps


@jit_part
def split(
    plan: Array, tree: int, level: int, node: int, x: Array, x_at: int, out: Array, out_at: int, storage: Array
) -> None:
    """One stage on one node of a tree."""
    pair = plan.pairs[tree, (1 << level) - 1 + node]
    begin, end = plan.step_ranges[level, pair, 0], plan.step_ranges[level, pair, 1]
    steps, width = plan.steps[begin:end], out.shape[1]
    if level == 0:
        sweep(plan.first[pair], steps, x, x_at, out, out_at, storage[0])
    else:
        sweep(plan.main[pair], steps, x, x_at, out, out_at, storage[0])
    begin, end = plan.addition_ranges[level, pair, 0], plan.addition_ranges[level, pair, 1]
    for e in range(begin, end):
        source, target = out[out_at + plan.additions[e, 0]], out[out_at + plan.additions[e, 1]]
        for c in range(width):
            target[c] += source[c]


@jit_part
def buffer(storage: Array, number: int, rows: int, width: int) -> Array:
    """View of storage as a buffer of that many rows: row 0 is zero, row 1 is waste, the data begin at `DATA`."""
    view = storage[number, : (DATA + rows) * width].reshape((DATA + rows, width))
    for c in range(width):
        view[0, c] = 0
    return view


@jit_part
def analyse(plan: Array, tree: int, stages: int, x: Array, storage: Array) -> Array:
    """Walk a tree down from the samples in buffer x, `stages` stages. Return the buffer that then holds the nodes.

    It is one of storage, of that tree, or x itself if there is nothing to do.
    """
    current = x
    for level in range(stages):
        nodes, n = 1 << level, plan.sizes[level]
        rows = 2 * plan.sizes[level + 1]
        result = buffer(storage, TREES + tree if level == stages - 1 else 1 + level % 2, nodes * rows, x.shape[1])
        for node in range(nodes):
            split(plan, tree, level, node, current, DATA + node * n, result, DATA + node * rows, storage)
        current = result
    return current


@jit_part
def synthesise(plan: Array, tree: int, stages: int, x: Array, storage: Array, last: int) -> Array:
    """Walk a tree up to the samples, from the nodes in buffer x after `stages` stages; the converse of `analyse`.

    The result is the buffer number `last`, or x itself.
    """
    current = x
    for level in range(stages - 1, -1, -1):
        nodes, rows = 1 << level, plan.rows[level]
        children = 2 * plan.rows[level + 1]
        result = buffer(storage, last if level == 0 else 1 + level % 2, nodes * rows, x.shape[1])
        for node in range(nodes):
            split(plan, tree, level, node, current, DATA + node * children, result, DATA + node * rows, storage)
        current = result
    return current


@jit_part
def turn(x: Array, r0: int, r1: int, c0: int, c1: int, out: Array, row_0: int, column_0: int) -> None:
    """Transpose a block: out[row_0 + c - c0, column_0 + r - r0] = x[r, c] for r in r0..r1, c in c0..c1.

    Blocks of 4 x 4 written out become shuffles of vectors.
    """
    r_edge, c_edge = r1 - (r1 - r0) % 4, c1 - (c1 - c0) % 4
    for block in range(r0, r_edge, TILE):
        for c in range(c0, c_edge, 4):
            for r in range(block, min(block + TILE, r_edge), 4):
                for j in range(4):
                    row = out[row_0 + c - c0 + j]
                    for i in range(4):
                        row[column_0 + r - r0 + i] = x[r + i, c + j]
    for c in range(c0, c1):
        for r in range(r0 if c >= c_edge else r_edge, r1):
            out[row_0 + c - c0, column_0 + r - r0] = x[r, c]


# In two dimensions a group of images is transformed at once, so that rows are long enough. Along x first: the images
# are turned, filtered, and turned back into strips (strips, DATA + H, 2 * width), whose first half is of horizontal
# tree 1 and the second of tree 2. Columns of a tree are image, node, x; number c is c % width of strip c // width.


@jit_part
def filter_along_x(plan: Array, images: Array, begin: int, end: int, storage: Array, strips: Array) -> None:
    """Transform lines of images (images, H, W), number `begin` to `end` counted through all of them, into strips."""
    height, n = images.shape[1], images.shape[2]
    levels, width = plan.sizes.size - 1, strips.shape[2] // 2
    columns = plan.sizes[-1] << levels
    first_image, last_image = begin // height, (end - 1) // height
    x = buffer(storage, LEAVES, n, end - begin)
    for image in range(first_image, last_image + 1):
        low, high = max(begin - image * height, 0), min(end - image * height, height)
        turn(images[image], low, high, 0 * n, n, x, DATA + 0 * n, image * height + low - begin)
    for tree in range(2):
        nodes = analyse(plan, tree, levels, x, storage)
        for image in range(first_image, last_image + 1):
            low, high = max(begin, image * height), min(end, (image + 1) * height)
            first = image * columns
            while first < (image + 1) * columns:
                strip = first // width
                last = min((strip + 1) * width, (image + 1) * columns)
                row_0, column_0 = DATA + first - image * columns, tree * width + first % width
                y_0 = DATA + low - image * height
                turn(nodes, row_0, row_0 + last - first, low - begin, high - begin, strips[strip], y_0, column_0)
                first = last


@jit_part
def filter_along_y(
    plan: Array, strip: Array, first: int, nx: int, channels: Array, signs: Array, storage: Array, out: Array
) -> None:
    """Transform one strip, whose first column is number `first`, into its part of out (images, 2 * P**2, ny, nx, 2)."""
    levels, ny, width = plan.sizes.size - 1, plan.sizes[-1], strip.shape[1]
    for c in range(width):
        strip[0, c] = 0
    top = DATA + 0 * ny  # a constant in the calls would be compiled for once more
    tree_1, tree_2 = analyse(plan, 0, levels - 1, strip, storage), analyse(plan, 1, levels - 1, strip, storage)
    leaves_1, leaves_2 = buffer(storage, LEAVES, 2 * ny, width), buffer(storage, LEAVES + 1, 2 * ny, width)
    for parent in range(1 << (levels - 1)):
        at = DATA + parent * plan.sizes[levels - 1]
        split(plan, 0, levels - 1, parent, tree_1, at, leaves_1, top, storage)
        split(plan, 1, levels - 1, parent, tree_2, at, leaves_2, top, storage)
        for node in range(2):
            at = DATA + node * ny
            trees_to_filters(leaves_1, leaves_2, at, first, nx, channels[2 * parent + node], signs, out)


@jit_part
def trees_to_filters(
    leaves_1: Array, leaves_2: Array, row_0: int, first: int, nx: int, channels: Array, signs: Array, out: Array
) -> None:
    """Combine the four real tree products of one vertical node into the outputs of Psi_a and Psi_b (theory.md 4.4).

    leaves (..., 2 * width) of each vertical tree: y from `row_0` on, horizontal tree and column. out (images, 2 * P**2,
    ny, nx, 2): the last axis is real and imaginary part. `channels` (P,) are those of Psi_a; a sign of -1 (2 * P**2,)
    conjugates.
    """
    nodes, width = channels.size, leaves_1.shape[1] // 2
    end = min(first + width, out.shape[0] * nodes * nx)
    column = first
    while column < end:
        image, j, x = column // (nodes * nx), column // nx % nodes, column % nx
        run = min(nx - x, end - column)
        a, b = channels[j], channels[j] + nodes * nodes
        sign_a, sign_b, at = signs[a], signs[b], column - first
        for y in range(out.shape[2]):
            row = row_0 + y
            d11, d12 = leaves_1[row, at : at + run], leaves_1[row, at + width : at + width + run]
            d21, d22 = leaves_2[row, at : at + run], leaves_2[row, at + width : at + width + run]
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


@jit_part
def filters_to_trees(
    leaves_1: Array, leaves_2: Array, row_0: int, first: int, nx: int, channels: Array, signs: Array, c: Array
) -> None:
    """Transpose of `trees_to_filters`: from c (images, 2 * P**2, ny, nx, 2) to leaves (..., 2 * width)."""
    nodes, width = channels.size, leaves_1.shape[1] // 2
    end = min(first + width, c.shape[0] * nodes * nx)
    column = first
    while column < end:
        image, j, x = column // (nodes * nx), column // nx % nodes, column % nx
        run = min(nx - x, end - column)
        a, b = channels[j], channels[j] + nodes * nodes
        sign_a, sign_b, at = signs[a], signs[b], column - first
        for y in range(c.shape[2]):
            row = row_0 + y
            d11, d12 = leaves_1[row, at : at + run], leaves_1[row, at + width : at + width + run]
            d21, d22 = leaves_2[row, at : at + run], leaves_2[row, at + width : at + width + run]
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


@jit_part
def synthesise_along_y(
    plan: Array, strip: Array, first: int, nx: int, channels: Array, signs: Array, storage: Array, c: Array
) -> None:
    """Walk `filter_along_y` backwards, from c into one strip."""
    levels, ny, width = plan.sizes.size - 1, plan.sizes[-1], strip.shape[1]
    parents, rows = 1 << (levels - 1), plan.rows[levels - 1]
    top = DATA + 0 * ny
    leaves_1, leaves_2 = buffer(storage, LEAVES, 2 * ny, width), buffer(storage, LEAVES + 1, 2 * ny, width)
    tree_1, tree_2 = buffer(storage, TREES, parents * rows, width), buffer(storage, TREES + 1, parents * rows, width)
    for parent in range(parents):
        for node in range(2):
            at = DATA + node * ny
            filters_to_trees(leaves_1, leaves_2, at, first, nx, channels[2 * parent + node], signs, c)
        at = DATA + parent * rows
        split(plan, 0, levels - 1, parent, leaves_1, top, tree_1, at, storage)
        split(plan, 1, levels - 1, parent, leaves_2, top, tree_2, at, storage)
    tree_1 = synthesise(plan, 0, levels - 1, tree_1, storage, LEAVES)
    tree_2 = synthesise(plan, 1, levels - 1, tree_2, storage, LEAVES + 1)
    one = strip.dtype.type(1)
    for y in range(DATA, strip.shape[0]):
        add(tree_1[y], tree_2[y], one, strip[y])


@jit_disjoint
def add(a: Array, b: Array, factor: float, out: Array) -> None:
    """Put factor * (a + b) into a row."""
    for x in range(out.size):
        out[x] = factor * (a[x] + b[x])


@jit_part
def synthesise_along_x(
    plan: Array, strips: Array, factor: float, begin: int, end: int, storage: Array, images: Array
) -> None:
    """Walk `filter_along_x` backwards, from strips to lines of the images, times a factor."""
    height, n = images.shape[1], images.shape[2]
    levels, width = plan.sizes.size - 1, strips.shape[2] // 2
    columns = plan.sizes[-1] << levels
    first_image, last_image = begin // height, (end - 1) // height
    nodes = buffer(storage, LEAVES, columns, end - begin)
    tree_1 = tree_2 = nodes
    for tree in range(2):
        for image in range(first_image, last_image + 1):
            low, high = max(begin, image * height), min(end, (image + 1) * height)
            first = image * columns
            while first < (image + 1) * columns:
                strip, column_0 = first // width, tree * width + first % width
                last = min((strip + 1) * width, (image + 1) * columns)
                y0, y1 = DATA + low - image * height, DATA + high - image * height
                row_0 = DATA + first - image * columns
                turn(strips[strip], y0, y1, column_0, column_0 + last - first, nodes, row_0, low - begin)
                first = last
        tree_1, tree_2 = tree_2, synthesise(plan, tree, levels, nodes, storage, TREES + tree)
    for x in range(DATA, DATA + n):
        add(tree_1[x], tree_2[x], factor, nodes[x])
    row_0, column_0 = DATA + 0 * n, 0 * n
    for image in range(first_image, last_image + 1):
        low, high = max(begin - image * height, 0), min(end - image * height, height)
        x0, x1 = image * height + low - begin, image * height + high - begin
        turn(nodes, row_0, row_0 + n, x0, x1, images[image], low, column_0)


@jit
def forward_2d(
    plan_y: Array,
    plan_x: Array,
    channels: Array,
    signs: Array,
    layout: Array,
    images: Array,
    between: Array,
    storage: Array,
    out: Array,
) -> None:
    """Transform images (B, H, W) into out (B, 2 * P**2, ny, nx, 2), group by group."""
    group, lines, strips, width = layout
    for g in range(0, len(images), group):
        part, nx = images[g : g + group], plan_x.sizes[-1]
        end = part.shape[0] * part.shape[1]
        for begin in range(0, end, lines):
            filter_along_x(plan_x, part, begin, min(begin + lines, end), storage, between)
        for strip in range(strips):
            filter_along_y(plan_y, between[strip], strip * width, nx, channels, signs, storage, out[g : g + group])


@jit
def backward_2d(
    plan_y: Array,
    plan_x: Array,
    channels: Array,
    signs: Array,
    layout: Array,
    factor: float,
    c: Array,
    between: Array,
    storage: Array,
    out: Array,
) -> None:
    """Walk `forward_2d` backwards, (B, 2 * P**2, ny, nx, 2) -> out (B, H, W), times a factor."""
    group, lines, strips, width = layout
    for g in range(0, len(out), group):
        part, nx = out[g : g + group], plan_x.sizes[-1]
        for strip in range(strips):
            synthesise_along_y(plan_y, between[strip], strip * width, nx, channels, signs, storage, c[g : g + group])
        end = part.shape[0] * part.shape[1]
        for begin in range(0, end, lines):
            synthesise_along_x(plan_x, between, factor, begin, min(begin + lines, end), storage, part)


lines_along_x = jit(filter_along_x)
lines_along_y = jit(filter_along_y)
lines_back_along_y = jit(synthesise_along_y)
lines_back_along_x = jit(synthesise_along_x)
