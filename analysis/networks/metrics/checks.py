"""Checks of what the metrics are given."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def finite(x: Tensor, name: str, axes: int, shape: str) -> Tensor:
    """Return `x` in float64 on the CPU if it is a finite, non-empty real tensor with so many axes."""
    if not isinstance(x, Tensor):
        raise TypeError(f"{name} is {type(x).__name__}; expected a tensor")
    if x.is_complex():
        raise TypeError(f"{name} is complex ({x.dtype}); expected real numbers")
    if x.ndim != axes:
        raise ValueError(f"{name} has shape {tuple(x.shape)}; expected {shape}")
    if not x.numel():
        raise ValueError(f"{name} has shape {tuple(x.shape)}, no elements; expected {shape} with at least one")
    x = x.detach().cpu().double()
    bad = ~x.isfinite()
    if bad.any():
        where = tuple(bad.nonzero()[0].tolist())
        raise ValueError(
            f"{name}: {int(bad.sum())} of {x.numel()} values are NaN or infinite, the first is {x[where].item()} "
            f"at {where} of {shape}; expected finite numbers"
        )
    return x


def frames_of(logits: Tensor, least: int = 2) -> Tensor:
    """Logits of shape (F, N, C), at least so many frames."""
    logits = finite(logits, "logits", 3, "(frames, N, classes)")
    if len(logits) < least:
        raise ValueError(f"logits have shape {tuple(logits.shape)}, {len(logits)} frames; expected at least {least}")
    return logits


def labels_of(labels: Tensor, pictures: int, classes: int) -> Tensor:
    """Labels in int64 on the CPU, one a picture and each a class."""
    labels = torch.as_tensor(labels).detach().cpu()
    if labels.dtype.is_floating_point or labels.dtype.is_complex or labels.dtype == torch.bool:
        raise TypeError(f"labels are {labels.dtype}; expected integers")
    if tuple(labels.shape) != (pictures,):
        raise ValueError(f"labels have shape {tuple(labels.shape)}; expected ({pictures},), one a picture")
    labels = labels.long()
    bad = (labels < 0) | (labels >= classes)
    if bad.any():
        where = int(bad.nonzero()[0])
        raise ValueError(
            f"label {labels[where].item()} of picture {where} is out of range; expected 0 to {classes - 1}"
        )
    return labels


def shifts_of(shifts: Sequence[tuple[int, int]], name: str = "shifts") -> tuple[tuple[int, int], ...]:
    """Distinct pairs (dy, dx) of integers."""
    try:
        pairs = tuple((dy, dx) for dy, dx in shifts)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is {shifts!r}; expected pairs (dy, dx)") from None
    if not pairs:
        raise ValueError(f"{name} is empty; expected pairs (dy, dx)")
    for pair in pairs:
        if any(isinstance(value, bool) or int(value) != value for value in pair):
            raise ValueError(f"{name} holds {pair}; expected pairs (dy, dx) of integers")
    pairs = tuple((int(dy), int(dx)) for dy, dx in pairs)
    if len(set(pairs)) < len(pairs):
        twice = next(pair for pair in pairs if pairs.count(pair) > 1)
        raise ValueError(f"{name} holds {twice} twice")
    return pairs
