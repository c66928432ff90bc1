"""Numba loops of the prediction: arrays in, arrays out."""

from __future__ import annotations

import numpy as np

from wavelets.engine.jit import jit, jit_part
from wavelets.engine.loops import Array


@jit
def feature_sums(z: Array, moved: Array, stride: int, q: int, sums: Array) -> None:
    """Add to `sums` the squares of R - C, C, R, R' - R and C' - C over all positions of a periodic grid.

    R and C of z, R' and C' of moved, both (P, P) complex; an empty `moved` is z itself. A response and its negative are
    both counted. sums (5,).
    """
    low, high = _extremes(z, stride, q)
    modulus = np.sqrt(z.real**2 + z.imag**2)
    sums[0] += ((high - modulus) ** 2 + (low + modulus) ** 2).sum()
    sums[1] += 2 * (modulus**2).sum()
    sums[2] += (high**2 + low**2).sum()
    if moved.shape[0] == 0:
        return
    low_moved, high_moved = _extremes(moved, stride, q)
    modulus_moved = np.sqrt(moved.real**2 + moved.imag**2)
    sums[3] += ((high_moved - high) ** 2 + (low_moved - low) ** 2).sum()
    sums[4] += 2 * ((modulus_moved - modulus) ** 2).sum()


@jit_part
def _extremes(z: Array, stride: int, q: int) -> tuple[Array, Array]:
    """Smallest and largest real part in the window about each position, (P, P): along the columns, then the rows."""
    size, reach = z.shape[0], q * stride
    # With a border of the period all round, so that the loops over a row are contiguous.
    index = np.arange(-reach, size + reach) % size
    real = z.real[index][:, index]
    low, high = np.empty((size, size)), np.empty((size, size))
    lowest, highest = np.empty(real.shape[1]), np.empty(real.shape[1])
    for y in range(size):
        lowest[:], highest[:] = real[y], real[y]
        for dy in range(stride, 2 * reach + 1, stride):
            row = real[y + dy]
            for x in range(row.size):
                lowest[x], highest[x] = min(lowest[x], row[x]), max(highest[x], row[x])
        least, most = low[y], high[y]
        least[:], most[:] = lowest[:size], highest[:size]
        for dx in range(stride, 2 * reach + 1, stride):
            below, above = lowest[dx:], highest[dx:]
            for x in range(size):
                least[x], most[x] = min(least[x], below[x]), max(most[x], above[x])
    return low, high


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
