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
