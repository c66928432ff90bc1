"""Numba loops of the verification: arrays in, arrays out."""

from __future__ import annotations

import numpy as np

from wavelets.engine.jit import jit
from wavelets.engine.loops import Array


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
