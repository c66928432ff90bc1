"""The slow, obvious transform: dense matrices, built tap by tap from the packet rule. The oracle of the tests."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavelets.engine import rule

PAD_MODES = {"symmetric": "symmetric", "reflect": "reflect", "zero": "constant", "periodization": "wrap"}


class Transform(Protocol):
    """Attributes of :class:`wavelets.DualTreePackets1D` and :class:`wavelets.DualTreePackets2D` that are read here."""

    bank: Any
    levels: int
    stride: int
    boundary: str

    @property
    def packets(self) -> Any:
        """Table of the filters."""


def filter_matrix(taps: NDArray[np.float64], n: int, boundary: str, step: int) -> NDArray[np.float64]:
    """Matrix of one filter: extend a signal of n samples, correlate, keep every step-th sample (1 or 2)."""
    length = taps.size
    extended = np.eye(n)
    if boundary == "periodization":
        if n % 2:
            extended = np.vstack([extended, extended[-1:]])
        starts = range(1 - length // 2, 1 - length // 2 + len(extended), step)
    else:
        starts = range(1 - length + (step - 1), n, step)
    pad = 2 * length
    extended = np.pad(extended, [(pad, pad), (0, 0)], mode=PAD_MODES[boundary])  # type: ignore[call-overload]
    return np.array([sum(taps[t] * extended[pad + s + t] for t in range(length)) for s in starts])


def tree_matrix(bank: rule.Bank, tree: int, levels: int, n: int, boundary: str, last_step: int) -> NDArray[np.float64]:
    """Matrix of one real tree, shape (2**levels, count, n), by walking the packet rule from the root."""

    def split(signal: NDArray[np.float64], pair: int, stage: int) -> list[NDArray[np.float64]]:
        step = last_step if stage == levels else 2
        filters = bank.first_stage(pair) if stage == 1 else bank.main_stage(pair)
        after = rule.AFTER_FIRST_STAGE if stage == 1 else rule.AFTER_MAIN_STAGE
        leaves = []
        for branch in (rule.LOW, rule.HIGH):
            child = filter_matrix(filters[branch], len(signal), boundary, step) @ signal
            leaves += [child] if stage == levels else split(child, after[pair, branch], stage + 1)
        return leaves

    return np.stack(split(np.eye(n), tree, 1))


def real_trees(t: Transform, n: int) -> list[NDArray[np.float64]]:
    """Matrices of trees 1 and 2 of a transform for an axis of n samples."""
    last_step = 2 if t.stride == 2**t.levels else 1
    return [tree_matrix(t.bank, tree, t.levels, n, t.boundary, last_step) for tree in rule.TREES]


def forward_1d(t: Transform, x: ArrayLike) -> NDArray[np.complex128]:
    """`DualTreePackets1D.forward` by dense matrices, x (..., N)."""
    x = np.asarray(x, dtype=np.float64)
    d1, d2 = (np.einsum("kln,...n->...kl", d, x) for d in real_trees(t, x.shape[-1]))
    sigma = rule.half_line(t.levels)[rule.frequency_index(t.levels)]
    return np.asarray(d1 + 1j * sigma[:, None] * d2)


def forward_2d(t: Transform, x: ArrayLike) -> NDArray[np.complex128]:
    """`DualTreePackets2D.forward` by dense matrices, x (..., H, W)."""
    x = np.asarray(x, dtype=np.float64)
    vertical, horizontal = (real_trees(t, n) for n in x.shape[-2:])
    d = {
        (a, b): np.einsum("iyh,...hw,jxw->...ijyx", vertical[a - 1], x, horizontal[b - 1], optimize=True)
        for a in rule.TREES
        for b in rule.TREES
    }
    y_a = (d[1, 1] - d[2, 2]) + 1j * (d[2, 1] + d[1, 2])
    y_b = (d[1, 1] + d[2, 2]) + 1j * (d[2, 1] - d[1, 2])
    i, j = rule.quad_tree_order(t.levels)
    y = np.concatenate([y_a[..., i, j, :, :], y_b[..., i, j, :, :]], axis=-3)
    return np.where(t.packets.conjugated[:, None, None], y.conj(), y)
