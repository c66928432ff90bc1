"""Lattice form of an orthonormal filter pair: rotations and delays, half the multiplications of its taps.

P. P. Vaidyanathan and P.-Q. Hoang, "Lattice structures for optimal design and robust implementation of two-channel
perfect-reconstruction QMF banks", IEEE Trans. Acoustics, Speech and Signal Processing 36(1), 1988.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EXACT = 1e-14  # taps that a lattice gives back with a larger error stay as they are
LARGEST_GAIN = 1e12  # of the rotations before the final scale: far from the end of single precision


class Lattice(NamedTuple):
    r"""Rotations and delays.

    Section k takes (u, v) to :math:`(u + a_k v, v - a_k u)`; before each but the first, u waits one step. At the end u
    and v are multiplied by the scales.
    """

    tangents: tuple[float, ...]
    scales: tuple[float, ...]


def lattice(polyphase: NDArray[np.float64]) -> Lattice | None:
    r"""Factor the 2 x 2 matrices of a filter pair into rotations.

    Parameters
    ----------
    polyphase : ndarray, shape (K, 2, 2)
        Output s of the pair is ``sum_j polyphase[j] @ pair[s - K + 1 + j]``.

    Returns
    -------
    Lattice or None
        Of K sections; none if there are fewer than two, or the taps are not orthonormal to rounding.

    Notes
    -----
    A large tangent costs no accuracy, since a section is a rotation times a number; in single precision the error is a
    few roundings more than that of the taps, below 2e-6 of the largest coefficient for J = 6.
    """
    found = factored(polyphase)
    if len(found.tangents) < 2 or not np.isfinite(found.tangents).all() or not abs(found.scales[0]) * LARGEST_GAIN > 1:
        return None
    return found if np.abs(impulse_response(found) - polyphase).max() <= EXACT else None


def factored(polyphase: NDArray[np.float64]) -> Lattice:
    """Rotations nearest to the matrices (K, 2, 2) of a pair that is orthonormal, or almost.

    Section by section from the output: a rotation is chosen that takes the newest pair out of the first row, which then
    can have waited.
    """
    E = polyphase.astype(np.longdouble)
    u, v = E[:, 0], E[:, 1]
    tangents = []
    with np.errstate(all="ignore"):
        while len(u) > 1:
            column = np.argmax(np.abs(v[-1]))
            a = u[-1, column] / v[-1, column]
            tangents.append(a)
            u, v = ((u - a * v) / (1 + a * a))[:-1], ((v + a * u) / (1 + a * a))[1:]
        scale = u[0, 0]
        tangents.append(u[0, 1] / scale)
        mirrored = np.sign(u[0, 0] * v[0, 1] - u[0, 1] * v[0, 0])
    first, *others = tangents[::-1]
    return Lattice((float(first), *(float(mirrored * a) for a in others)), (float(scale), float(scale * mirrored)))


def impulse_response(filters: Lattice) -> NDArray[np.float64]:
    """Polyphase matrices (K, 2, 2) of a lattice, by feeding it the unit pairs."""
    tangents, scales = filters
    K = len(tangents)
    delayed = np.zeros((K - 1, 2))
    response = np.empty((K, 2, 2))
    for step in range(K):
        u, v = np.eye(2) if step == 0 else np.zeros((2, 2))
        for k, a in enumerate(tangents):
            u, v = u + a * v, v - a * u
            if k < K - 1:
                u, delayed[k] = delayed[k].copy(), u
        response[K - 1 - step] = np.array(scales)[:, None] * np.stack([u, v])
    return response
