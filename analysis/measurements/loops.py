"""Numba loops of the measurements: arrays in, arrays out."""

from __future__ import annotations

import numpy as np

from wavelets.engine.jit import jit
from wavelets.engine.loops import Array


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
def correlate(image: Array, kernel: Array, stride: int, out: Array) -> None:
    """Cross-correlation at every stride-th position: image (n, H, W), kernel (h, w), out (n, h', w')."""
    parts = np.empty((image.shape[1], stride, -(-image.shape[2] // stride)), image.dtype)
    for n in range(out.shape[0]):
        for y in range(image.shape[1]):  # the columns of each phase side by side
            for phase in range(stride):
                for k in range((image.shape[2] - phase + stride - 1) // stride):
                    parts[y, phase, k] = image[n, y, phase + k * stride]
        for i in range(out.shape[1]):
            row = out[n, i]
            row[:] = 0
            for y in range(kernel.shape[0]):
                for x in range(kernel.shape[1]):
                    tap, line = kernel[y, x], parts[i * stride + y, x % stride, x // stride :]
                    for j in range(row.size):
                        row[j] += line[j] * tap


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
