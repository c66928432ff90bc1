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
    part = min(nodes, 512)  # at a time: they stay in the first cache
    largest = np.empty(part)
    for b in range(phi.shape[0]):
        for i in range(phi.shape[1]):
            total = 0.0
            for begin in range(0, nodes, part):
                count = min(part, nodes - begin)
                c, s = turn_cos[begin : begin + count], turn_sin[begin : begin + count]
                largest[:] = -1.0
                for k in range(window.shape[1]):
                    x, y = np.cos(phi[b, i] + window[b, k]), np.sin(phi[b, i] + window[b, k])
                    for node in range(count):  # neither branch nor sum: the processor takes several at once
                        largest[node] = max(largest[node], x * c[node] - y * s[node])
                for node in range(count):
                    total += (1 - largest[node]) ** 2
            out[b, i] = total / nodes


@jit
def mean_change(z: Array, other: Array, offset: Array, nodes: int, out: Array) -> None:
    """Mean over equally spaced psi of the norm of max_k Re(e^{i psi} z) - max_k Re(e^{i psi} other) - offset.

    z, other (B, P, K) complex, offset (B, P), out (B).
    """
    psi = 2 * np.pi * np.arange(nodes) / nodes
    c, s = np.cos(psi), np.sin(psi)
    first, second, squares = np.empty((3, nodes))
    for b in range(z.shape[0]):
        squares[:] = 0
        for i in range(z.shape[1]):
            first[:], second[:] = -np.inf, -np.inf
            for k in range(z.shape[2]):
                x, y, other_x, other_y = z[b, i, k].real, z[b, i, k].imag, other[b, i, k].real, other[b, i, k].imag
                for node in range(nodes):
                    first[node] = max(first[node], c[node] * x - s[node] * y)
                    second[node] = max(second[node], c[node] * other_x - s[node] * other_y)
            for node in range(nodes):
                squares[node] += (first[node] - second[node] - offset[b, i]) ** 2
        squares[:] = np.sqrt(squares)
        for node in range(1, nodes):  # in this order: the search for the worst case feels the last bit
            squares[node] += squares[node - 1]
        out[b] = squares[-1] / nodes
