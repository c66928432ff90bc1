"""Limits of a machine: bytes that memory moves, and multiplications with an addition, in a second."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from benchmarks.timing import Job
from wavelets.engine.threads import over_batch

STREAM = 2**24  # float32 numbers of each of three arrays: more than a cache holds
BLOCKS, ROUNDS = 64, 4000  # of multiply-adds: so many blocks, each in registers
LANES, CHAIN = 128, 8  # numbers of a block, and multiply-adds of each in a round
Floats = NDArray[np.float32]


class Cost(NamedTuple):
    """The least that a job must do: bytes to read and to write, and multiply-adds."""

    bytes: float
    multiply_adds: float


@numba.njit(nogil=True, fastmath={"contract"})
def _triad(a: Floats, b: Floats, c: Floats) -> None:
    scale = np.float32(0.5)
    for n in range(a.size):
        a[n] = b[n] + scale * c[n]


@numba.njit(nogil=True, fastmath={"contract"})
def _multiply_add(x: Floats, rounds: int) -> None:
    factor, term = np.float32(0.999), np.float32(0.001)
    for _ in range(rounds):
        for n in range(x.size):
            v = x[n]
            for _ in range(CHAIN):
                v = v * factor + term
            x[n] = v


def jobs() -> dict[str, tuple[Job, float]]:
    """Jobs that do nothing else, in as many threads as the transform has, with the bytes or operations of each."""
    a, b, c = np.ones((3, STREAM), np.float32)
    x = np.ones((BLOCKS, LANES), np.float32)

    def triad(part: slice) -> None:
        _triad(a[part], b[part], c[part])

    def multiply(part: slice) -> None:
        for block in x[part]:
            _multiply_add(block, ROUNDS)

    return {
        "byte, STREAM triad": (lambda: over_batch(triad, STREAM), 3.0 * a.nbytes),
        "multiply-add": (lambda: over_batch(multiply, BLOCKS), float(x.size) * CHAIN * ROUNDS),
    }
