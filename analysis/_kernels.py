"""Numba loops of the measurements: arrays in, arrays out."""

from __future__ import annotations

import numpy as np

from wavelets._kernels import Array, jit


@jit
def pool(z: Array, top: int, left: int, q: int, rmax: Array, cmod: Array) -> None:
    """Max pooling of the real part, and the modulus at the centre of each window.

    z (n, h, w, 2): real and imaginary parts. Window (i, j) covers rows ``top + 2 i`` to ``top + 2 i + 2 q`` and the
    like columns. rmax, cmod (n, h', w').
    """
    for n in range(rmax.shape[0]):
        for i in range(rmax.shape[1]):
            y = top + 2 * i
            for j in range(rmax.shape[2]):
                x = left + 2 * j
                largest = z[n, y, x, 0]
                for dy in range(2 * q + 1):
                    for dx in range(2 * q + 1):
                        largest = max(largest, z[n, y + dy, x + dx, 0])
                re, im = z[n, y + q, x + q, 0], z[n, y + q, x + q, 1]
                rmax[n, i, j] = largest
                cmod[n, i, j] = np.sqrt(re * re + im * im)


@jit
def squared_distance(a: Array, b: Array, out: Array) -> None:
    """out[n] = sum over the pixels of (a[n] - b[n])**2, in double precision; a, b (n, h, w)."""
    for n in range(a.shape[0]):
        total = 0.0
        for i in range(a.shape[1]):
            for j in range(a.shape[2]):
                d = np.float64(a[n, i, j]) - np.float64(b[n, i, j])
                total += d * d
        out[n] = total


@jit
def mean_square_deficit(phi: Array, window: Array, nodes: int, out: Array) -> None:
    """Mean over equally spaced psi of (1 - M)**2, M the largest cosine of phi + psi + window.

    phi (B, P), window (B, K), out (B, P).
    """
    turn = 2 * np.pi * np.arange(nodes) / nodes
    turn_cos, turn_sin = np.cos(turn), np.sin(turn)
    phases = window.shape[1]
    x, y = np.empty(phases), np.empty(phases)
    for b in range(phi.shape[0]):
        for i in range(phi.shape[1]):
            for k in range(phases):
                x[k], y[k] = np.cos(phi[b, i] + window[b, k]), np.sin(phi[b, i] + window[b, k])
            total = 0.0
            for node in range(nodes):
                largest = -1.0
                for k in range(phases):
                    largest = max(largest, x[k] * turn_cos[node] - y[k] * turn_sin[node])
                total += (1 - largest) ** 2
            out[b, i] = total / nodes


@jit
def mean_change(z: Array, other: Array, offset: Array, nodes: int, out: Array) -> None:
    """Mean over equally spaced psi of the norm of max_k Re(e^{i psi} z) - max_k Re(e^{i psi} other) - offset.

    z, other (B, P, K) complex, offset (B, P), out (B).
    """
    for b in range(z.shape[0]):
        total = 0.0
        for node in range(nodes):
            psi = 2 * np.pi * node / nodes
            c, s = np.cos(psi), np.sin(psi)
            square = 0.0
            for i in range(z.shape[1]):
                first = c * z[b, i, 0].real - s * z[b, i, 0].imag
                second = c * other[b, i, 0].real - s * other[b, i, 0].imag
                for k in range(1, z.shape[2]):
                    first = max(first, c * z[b, i, k].real - s * z[b, i, k].imag)
                    second = max(second, c * other[b, i, k].real - s * other[b, i, k].imag)
                square += (first - second - offset[b, i]) ** 2
            total += np.sqrt(square)
        out[b] = total / nodes


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
def folded_products(spectra: Array, filters: Array, stride: int, out: Array) -> None:
    """Spectra of the responses at every stride-th position: products summed over channels, then folded.

    spectra (n, C, P, P) of pictures, filters (L, C, P, P), out (L, n, P / stride, P / stride), all complex.
    """
    channels, side = spectra.shape[1], out.shape[-1]
    share = 1.0 / stride**2
    for f in range(out.shape[0]):
        for n in range(out.shape[1]):
            for i in range(side):
                row = out[f, n, i]
                row[:] = 0
                for a in range(stride):
                    for c in range(channels):
                        x, w = spectra[n, c, i + a * side], filters[f, c, i + a * side]
                        for b in range(stride):
                            for j in range(side):
                                row[j] += x[b * side + j] * w[b * side + j]
                for j in range(side):
                    row[j] *= share
