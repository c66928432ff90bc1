"""Numba loops of the prediction: arrays in, arrays out."""

from __future__ import annotations

import numpy as np

from wavelets.engine.jit import jit
from wavelets.engine.loops import Array


@jit
def feature_sums(z: Array, moved: Array, stride: int, q: int, sums: Array) -> None:
    """Add to `sums` the squares of R - C, C, R, R' - R and C' - C over all positions of a periodic grid.

    R and C of z, R' and C' of moved, both (P, P) complex; a response and its negative are both counted. sums (5,).
    """
    size, reach = z.shape[0], q * stride
    low, high, low_moved, high_moved = np.empty((4, size))
    # Real parts with a border of the period all round, so that the loops over a row are contiguous.
    index = np.arange(-reach, size + reach) % size
    real, real_moved = z.real[index][:, index], moved.real[index][:, index]
    for y in range(size):
        low[:], high[:] = np.inf, -np.inf
        low_moved[:], high_moved[:] = np.inf, -np.inf
        for dy in range(0, 2 * reach + 1, stride):
            for dx in range(0, 2 * reach + 1, stride):
                row, row_moved = real[y + dy, dx : dx + size], real_moved[y + dy, dx : dx + size]
                for x in range(size):
                    low[x], high[x] = min(low[x], row[x]), max(high[x], row[x])
                    low_moved[x] = min(low_moved[x], row_moved[x])
                    high_moved[x] = max(high_moved[x], row_moved[x])
        for x in range(size):
            c, c_moved = abs(z[y, x]), abs(moved[y, x])
            sums[0] += (high[x] - c) ** 2 + (low[x] + c) ** 2
            sums[1] += 2 * c**2
            sums[2] += high[x] ** 2 + low[x] ** 2
            sums[3] += (high_moved[x] - high[x]) ** 2 + (low_moved[x] - low[x]) ** 2
            sums[4] += 2 * (c_moved - c) ** 2


@jit
def gaussian_squares(root: Array, normal: Array, n: int, out: Array) -> None:
    """Mean squares of R - C, C, R, R' - R and C' - C over draws of two windows of n Gaussian responses.

    root (d, 2 n + 2): factors of the draws, in columns for all real parts, then the imaginary parts at the two centres.
    normal (replicates, d, draws), out (replicates, 5).
    """
    draws, part = normal.shape[2], 64  # as many draws at a time as stay in the first cache with their responses
    y = np.empty((root.shape[1], part))
    high, moved_high = np.empty((2, part))
    for k in range(normal.shape[0]):
        distance, cmod, rmax, rmax_change, cmod_change = 0.0, 0.0, 0.0, 0.0, 0.0
        for begin in range(0, draws, part):
            count = min(part, draws - begin)
            y[:] = 0
            for j in range(root.shape[0]):
                x = normal[k, j, begin : begin + count]
                for i in range(root.shape[1]):
                    factor, row = root[j, i], y[i]
                    for b in range(count):
                        row[b] += factor * x[b]
            high[:], moved_high[:] = y[0], y[n]
            for i in range(1, n):
                row, moved_row = y[i], y[n + i]
                for b in range(count):
                    high[b], moved_high[b] = max(high[b], row[b]), max(moved_high[b], moved_row[b])
            re, moved_re, im, moved_im = y[n // 2], y[n + n // 2], y[2 * n], y[2 * n + 1]
            for b in range(count):
                r, c = high[b], np.sqrt(re[b] ** 2 + im[b] ** 2)
                moved_c = np.sqrt(moved_re[b] ** 2 + moved_im[b] ** 2)
                distance += (r - c) ** 2
                cmod += c**2
                rmax += r**2
                rmax_change += (moved_high[b] - r) ** 2
                cmod_change += (moved_c - c) ** 2
        out[k, 0], out[k, 1], out[k, 2] = distance / draws, cmod / draws, rmax / draws
        out[k, 3], out[k, 4] = rmax_change / draws, cmod_change / draws
