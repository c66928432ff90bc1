"""Checks of the tensors that networks and their parts are given."""

from __future__ import annotations

from torch import Tensor


def floating(x: object, taker: str, shape: str = "") -> Tensor:
    """Return a real floating tensor, or refuse; `taker` and `shape` are for the message."""
    if not isinstance(x, Tensor) or not x.is_floating_point():
        found = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise TypeError(f"{taker} takes a real floating tensor{shape and ' '}{shape}, not {found}")
    return x


def floating_maps(given: object, taker: str, channels: int | None, shape: str) -> Tensor:
    """Return real floating maps of so many channels, of the shape that is spelled out as "(N, C, H, W)"."""
    x = floating(given, taker, shape)
    if x.ndim != 1 + shape.count(",") or (channels is not None and x.shape[1] != channels):
        wanted = "" if channels is None else f"{channels} channels, "
        raise ValueError(f"{taker} takes {wanted}{shape}; got shape {tuple(x.shape)}")
    return x
