"""Numba loops of the packet transforms: arrays in, arrays out.

Nothing here knows a filter, a boundary rule or a packet rule: a stage is a sparse matrix, a transform a tree of them,
packed into the flat arrays of a :class:`wavelets.packets.Plan`. The loops run over the last, contiguous axis, so that
every multiplication is vectorised whatever the boundary. The functions release the interpreter lock and are serial:
threads are the caller's.

One file holds the whole call graph, since numba's cache does not notice changes in other modules.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

F = TypeVar("F", bound=Callable[..., Any])
Array = Any  # numba infers the types; each docstring says the shapes

CHUNK = 4  # non-zero entries handled together: rows of the packed matrices are padded to a multiple of it
TILE = 16  # side of the blocks of a transposition


def jit(function: F) -> F:
    """Compile with the project's one set of flags; not-a-number stays what it is (no ``nnan``, no ``ninf``)."""
    flags = {"contract", "reassoc", "arcp", "nsz"}
    return cast(F, numba.njit(nogil=True, cache=True, fastmath=flags)(function))


@jit
def multiply_rows(indptr: Array, indices: Array, values: Array, x: Array, out: Array) -> None:
    """Sparse times dense: ``out[r] = sum_p values[p] * x[indices[p]]`` over the entries p of row r."""
    columns = x.shape[1]
    for r in range(out.shape[0]):
        for p in range(indptr[r], indptr[r + 1], CHUNK):
            a0, a1, a2, a3 = values[p], values[p + 1], values[p + 2], values[p + 3]
            i0, i1, i2, i3 = indices[p], indices[p + 1], indices[p + 2], indices[p + 3]
            if p == indptr[r]:
                for c in range(columns):
                    out[r, c] = a0 * x[i0, c] + a1 * x[i1, c] + a2 * x[i2, c] + a3 * x[i3, c]
            else:
                for c in range(columns):
                    out[r, c] += a0 * x[i0, c] + a1 * x[i1, c] + a2 * x[i2, c] + a3 * x[i3, c]


@jit
def analyse(plan: Array, x: Array, out: Array, scratch: Array) -> None:
    """Both trees along axis 0.

    x (n, m) -> out (2, 2**J * n_J, m): tree, then node and sample, then the untouched columns. `scratch` is (2, ...)
    with room for every level between.
    """
    levels = plan.sizes.size - 1
    m = x.shape[1]
    for tree in range(2):
        current = x
        for level in range(levels):
            nodes, n = 2**level, plan.sizes[level]
            rows = 2 * plan.sizes[level + 1]
            if level == levels - 1:
                result = out[tree]
            else:
                result = scratch[level % 2, : nodes * rows * m].reshape((nodes * rows, m))
            for node in range(nodes):
                pair = plan.pairs[tree, nodes - 1 + node]
                multiply_rows(
                    plan.indptr[level, pair],
                    plan.indices,
                    plan.values,
                    current[node * n : (node + 1) * n],
                    result[node * rows : (node + 1) * rows],
                )
            current = result


@jit
def synthesise(plan: Array, x: Array, out: Array, scratch: Array) -> None:
    """Transposed walk of `analyse`: x (2, 2**J * n_J, m) -> out (n, m), the sum over the two trees."""
    levels = plan.sizes.size - 1
    m = x.shape[2]
    for tree in range(2):
        current = x[tree]
        for level in range(levels - 1, -1, -1):
            nodes, n = 2**level, plan.sizes[level]
            rows = 2 * plan.sizes[level + 1]
            result = scratch[level % 2, : nodes * n * m].reshape((nodes * n, m))
            for node in range(nodes):
                pair = plan.pairs[tree, nodes - 1 + node]
                multiply_rows(
                    plan.indptr[level, pair],
                    plan.indices,
                    plan.values,
                    current[node * rows : (node + 1) * rows],
                    result[node * n : (node + 1) * n],
                )
            current = result
        for r in range(out.shape[0]):
            for c in range(m):
                if tree == 0:
                    out[r, c] = current[r, c]
                else:
                    out[r, c] += current[r, c]


@jit
def scratch_size(plan: Array, m: int) -> int:
    """Elements of one scratch buffer for `analyse` and `synthesise` on m columns."""
    size = 0
    for level in range(plan.sizes.size):
        size = max(size, 2**level * plan.sizes[level] * m)
    return size


@jit
def transpose(x: Array, out: Array) -> None:
    """out[c, r] = x[r, c], block by block so that both sides stay in the cache."""
    rows, columns = x.shape
    for r0 in range(0, rows, TILE):
        for c0 in range(0, columns, TILE):
            for c in range(c0, min(c0 + TILE, columns)):
                for r in range(r0, min(r0 + TILE, rows)):
                    out[c, r] = x[r, c]


@jit
def trees_to_filters(d: Array, channels: Array, signs: Array, ny: int, nx: int, out: Array) -> None:
    """Combine the four real tree products into the complex outputs of Psi_a and Psi_b (theory.md 4.4).

    d (2, P * nx, 2 * P * ny): horizontal tree, node and sample, then vertical tree, node and sample.
    out (2 * P**2, ny, nx, 2): channel, position, real and imaginary part; `signs` (2 * P**2,) conjugates by -1.
    """
    nodes = channels.shape[0]
    tree = nodes * ny  # columns of d that belong to one vertical tree
    for i in range(nodes):
        for j in range(nodes):
            a = channels[i, j]
            b = a + nodes * nodes
            for y0 in range(0, ny, TILE):
                for x0 in range(0, nx, TILE):
                    for y in range(y0, min(y0 + TILE, ny)):
                        for x in range(x0, min(x0 + TILE, nx)):
                            d11 = d[0, j * nx + x, i * ny + y]
                            d21 = d[0, j * nx + x, i * ny + y + tree]
                            d12 = d[1, j * nx + x, i * ny + y]
                            d22 = d[1, j * nx + x, i * ny + y + tree]
                            out[a, y, x, 0] = d11 - d22
                            out[a, y, x, 1] = signs[a] * (d21 + d12)
                            out[b, y, x, 0] = d11 + d22
                            out[b, y, x, 1] = signs[b] * (d21 - d12)


@jit
def filters_to_trees(c: Array, channels: Array, signs: Array, ny: int, nx: int, d: Array) -> None:
    """Transpose of `trees_to_filters`, from c (2 * P**2, ny, nx, 2) back to d."""
    nodes = channels.shape[0]
    tree = nodes * ny
    for i in range(nodes):
        for j in range(nodes):
            a = channels[i, j]
            b = a + nodes * nodes
            for y0 in range(0, ny, TILE):
                for x0 in range(0, nx, TILE):
                    for x in range(x0, min(x0 + TILE, nx)):
                        for y in range(y0, min(y0 + TILE, ny)):
                            a_re, a_im = c[a, y, x, 0], signs[a] * c[a, y, x, 1]
                            b_re, b_im = c[b, y, x, 0], signs[b] * c[b, y, x, 1]
                            d[0, j * nx + x, i * ny + y] = a_re + b_re
                            d[0, j * nx + x, i * ny + y + tree] = a_im + b_im
                            d[1, j * nx + x, i * ny + y] = a_im - b_im
                            d[1, j * nx + x, i * ny + y + tree] = b_re - a_re


@jit
def buffers_2d(plan_y: Array, plan_x: Array, nodes: int, images: Array) -> Array:
    """Make room for one of the images (B, H, W): scratch, the vertical trees, the same turned, all four trees."""
    width = images.shape[2]
    columns = 2 * nodes * plan_y.sizes[-1]
    scratch = np.empty((2, max(scratch_size(plan_y, width), scratch_size(plan_x, columns))), images.dtype)
    vertical = np.empty((2, columns // 2, width), images.dtype)
    turned = np.empty((width, columns), images.dtype)
    both = np.empty((2, nodes * plan_x.sizes[-1], columns), images.dtype)
    return scratch, vertical, turned, both


@jit
def forward_2d(plan_y: Array, plan_x: Array, channels: Array, signs: Array, images: Array, out: Array) -> None:
    """Transform images (B, H, W) into out (B, 2 * P**2, ny, nx, 2)."""
    ny, nx = plan_y.sizes[-1], plan_x.sizes[-1]
    scratch, vertical, turned, both = buffers_2d(plan_y, plan_x, channels.shape[0], images)
    for image in range(images.shape[0]):
        analyse(plan_y, images[image], vertical, scratch)
        transpose(vertical.reshape((turned.shape[1], turned.shape[0])), turned)
        analyse(plan_x, turned, both, scratch)
        trees_to_filters(both, channels, signs, ny, nx, out[image])


@jit
def backward_2d(plan_y: Array, plan_x: Array, channels: Array, signs: Array, coefficients: Array, out: Array) -> None:
    """Walk `forward_2d` backwards, (B, 2 * P**2, ny, nx, 2) -> out (B, H, W)."""
    ny, nx = plan_y.sizes[-1], plan_x.sizes[-1]
    scratch, vertical, turned, both = buffers_2d(plan_y, plan_x, channels.shape[0], out)
    for image in range(out.shape[0]):
        filters_to_trees(coefficients[image], channels, signs, ny, nx, both)
        synthesise(plan_x, both, turned, scratch)
        transpose(turned, vertical.reshape((turned.shape[1], turned.shape[0])))
        synthesise(plan_y, vertical, out[image], scratch)
