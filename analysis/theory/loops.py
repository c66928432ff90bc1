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
def window_maxima(z: Array, window: int, out: Array) -> None:
    """Largest real part in each window: z (B, R, C) complex in windows of `window` x `window`, out (B, P)."""
    columns = z.shape[2] // window
    for b in range(z.shape[0]):
        for i in range(out.shape[1]):
            top, left = i // columns * window, i % columns * window
            largest = z[b, top, left].real
            for y in range(top, top + window):
                for x in range(left, left + window):
                    largest = max(largest, z[b, y, x].real)
            out[b, i] = largest


@jit
def nearest_angles(phi: Array, phases: Array, together: float, out: Array) -> None:
    """Angles phi + phase of which one has the largest cosine: those next to 0 on both sides.

    phi (B, P), phases (B, K) sorted in [0, 2 pi), out (M, B, P). Phases that differ by less than `together` count as
    one, and all of them are written; M is twice the largest number of these, and what is left over is repeated.
    """
    last = phases.shape[1] - 1
    for b in range(phi.shape[0]):
        for i in range(phi.shape[1]):
            above = np.searchsorted(phases[b], -phi[b, i] % (2 * np.pi))
            first = k = above if above <= last else 0
            count = 0
            while k <= last and phases[b, k] - phases[b, first] < together:
                out[count, b, i] = phi[b, i] + phases[b, k]
                count, k = count + 1, k + 1
            first = k = above - 1 if above else last
            while k >= 0 and phases[b, first] - phases[b, k] < together:
                out[count, b, i] = phi[b, i] + phases[b, k]
                count, k = count + 1, k - 1
            out[count:, b, i] = out[0, b, i]


@jit
def mean_change(z: Array, other: Array, window: int, offset: Array, nodes: int, out: Array) -> None:
    """Mean over equally spaced psi of the norm of max Re(e^{i psi} z) - max Re(e^{i psi} other) - offset.

    z (B, R, C) complex in windows of `window` x `window`, other as z, or of no rows where it is zero, offset (B, P),
    out (B).
    """
    psi = 2 * np.pi * np.arange(nodes) / nodes
    c, s = np.cos(psi), np.sin(psi)
    first, second, squares = np.empty((3, nodes))
    columns = z.shape[2] // window
    for b in range(z.shape[0]):
        squares[:] = 0
        for i in range(offset.shape[1]):
            top, left = i // columns * window, i % columns * window
            first[:], second[:] = -np.inf, -np.inf if other.shape[1] else 0.0
            for y in range(top, top + window):
                for x in range(left, left + window):
                    real, imag = z[b, y, x].real, z[b, y, x].imag
                    for node in range(nodes):
                        first[node] = max(first[node], c[node] * real - s[node] * imag)
                    if other.shape[1]:
                        real, imag = other[b, y, x].real, other[b, y, x].imag
                        for node in range(nodes):
                            second[node] = max(second[node], c[node] * real - s[node] * imag)
            for node in range(nodes):
                squares[node] += (first[node] - second[node] - offset[b, i]) ** 2
        squares[:] = np.sqrt(squares)
        for node in range(1, nodes):  # in this order: the search for the worst case feels the last bit
            squares[node] += squares[node - 1]
        out[b] = squares[-1] / nodes
