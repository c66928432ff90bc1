"""Numba loops of the verification: arrays in, arrays out."""

from __future__ import annotations

import numpy as np

from wavelets.engine.jit import jit
from wavelets.engine.loops import Array


@jit
def mean_square_deficit(phi: Array, window: Array, nodes: int, out: Array) -> None:
    """Mean over equally spaced psi of (1 - M)**2, M the largest cosine of phi + psi + window.

    phi (B, P), window (B, K), out (B, P); at least 3 nodes.

    Between two midpoints of angles that follow each other one cosine is the largest, and with d the distance of a node
    from its angle, the sum of (1 - cos d)**2 = 3/2 - 2 cos d + cos(2 d) / 2 over the nodes there is geometric.
    """
    step = 2 * np.pi / nodes
    first, second = np.sin(step / 2), np.sin(step)
    for b in range(phi.shape[0]):
        for i in range(phi.shape[1]):
            at = np.sort(-(phi[b, i] + window[b]) % (2 * np.pi))  # where each cosine is 1
            begin = np.ceil((at[-1] - 2 * np.pi + at[0]) / 2 / step)
            last, total = begin + nodes, 0.0
            for k in range(len(at)):
                end = np.ceil((at[k] + at[k + 1]) / 2 / step) if k + 1 < len(at) else last
                count, middle = end - begin, (begin + end - 1) / 2 * step - at[k]
                cosines = np.cos(middle) * np.sin(count * step / 2) / first
                doubled = np.cos(2 * middle) * np.sin(count * step) / second
                total += 1.5 * count - 2 * cosines + doubled / 2
                begin = end
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
