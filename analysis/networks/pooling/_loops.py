"""Derivative of depthwise correlations by planes and taps, in one pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from wavelets.engine.jit import jit

Reals = NDArray[np.floating]
Indices = NDArray[np.uintp]


@jit
def channels_first(
    x: Reals, gradient: Reals, taps: Reals, rows: Indices, columns: Indices, s: int, t: int, of_x: Reals, of_taps: Reals
) -> None:
    """Derivatives of planes that are continued, correlated each with its own kernel, and subsampled.

    Each of the s * t components of a plane lies in one row, and so does the gradient, with zeros at the ends of its
    lines: a tap then is a product of two stretches.

    Parameters
    ----------
    x : ndarray, shape (N, C, H, W)
        Maps.
    gradient : ndarray, shape (N, C, h, w)
        Derivatives by the results.
    taps : ndarray, shape (C, m, n)
    rows, columns : ndarray
        Samples of `x` that the continued planes consist of; H or W where they are zero.
    s, t : int
        Strides.
    of_x, of_taps : ndarray, shapes (N, C, H, W) and (N, C, m, n)
        Written: derivatives by the maps, and by the taps for each image.
    """
    images, channels, height, width = x.shape
    h, w = gradient.shape[2:]
    pitch = -(-columns.size // t)
    size = -(-rows.size // s) * pitch
    down = np.array([r % s * t * size + r // s * pitch for r in range(rows.size)])
    right = np.array([c % t * size + c // t for c in range(columns.size)], np.uintp)  # of signed ones each is checked
    parts, of_parts = np.zeros(s * t * size, x.dtype), np.empty(s * t * size, x.dtype)
    g = np.zeros(h * pitch, x.dtype)
    length = g.size - pitch + w
    for p in range(images):
        for q in range(channels):
            for i in range(h):
                for j in range(w):
                    g[i * pitch + j] = gradient[p, q, i, j]
            for r in range(rows.size):
                if rows[r] < height:
                    here, part = x[p, q, rows[r]], parts[down[r] :]
                    for c in range(columns.size):
                        if columns[c] < width:
                            part[right[c]] = here[columns[c]]
            of_parts[:] = 0
            for u in range(taps.shape[1]):
                for v in range(taps.shape[2]):
                    first = down[u] + v % t * size + v // t
                    part, of_part = parts[first : first + length], of_parts[first : first + length]
                    weight, total = taps[q, u, v], x.dtype.type(0)
                    for i in range(length):
                        total += g[i] * part[i]
                        of_part[i] += g[i] * weight
                    of_taps[p, q, u, v] = total
            of_x[p, q] = 0
            for r in range(rows.size):
                if rows[r] < height:
                    of_here, of_part = of_x[p, q, rows[r]], of_parts[down[r] :]
                    for c in range(columns.size):
                        if columns[c] < width:
                            of_here[columns[c]] += of_part[right[c]]


@jit
def channels_last(
    x: Reals, gradient: Reals, taps: Reals, rows: Indices, columns: Indices, s: int, t: int, of_x: Reals, of_taps: Reals
) -> None:
    """Derivatives as of `channels_first`, of maps (N, H, W, C) by taps (m, n, C); `of_taps` is (N, m, n, C)."""
    images, height, width, channels = x.shape
    h, w = gradient.shape[1:3]
    of_x[:] = 0
    of_taps[:] = 0
    for p in range(images):
        for i in range(h):
            for u in range(taps.shape[0]):
                r = rows[s * i + u]
                if r == height:
                    continue
                for j in range(w):
                    g = gradient[p, i, j]
                    for v in range(taps.shape[1]):
                        column = columns[t * j + v]
                        if column == width:
                            continue
                        here, of_here, weight, total = x[p, r, column], of_x[p, r, column], taps[u, v], of_taps[p, u, v]
                        for c in range(channels):
                            total[c] += g[c] * here[c]
                            of_here[c] += g[c] * weight[c]
