"""Geometry that all pooling operators share: values per axis, borders, and checks of what they are given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad

from analysis.networks.checks import floating_maps
from wavelets.checks import integer

PLANES = "(batch, channels, height, width)"
MODES = ("zeros", "reflect", "replicate", "circular")

PerAxis = int | Sequence[int]
Padding = str | int | Sequence[int] | Sequence[Sequence[int]]
Pads = tuple[tuple[int, int], ...]


def checked_dims(dims: int) -> int:
    """1 or 2: the number of spatial axes."""
    return integer("dims", dims, 1, 2)


def per_axis(name: str, value: PerAxis, dims: int, least: int = 1) -> tuple[int, ...]:
    """One integer of at least `least` for every axis."""
    values = value if isinstance(value, Sequence) else (value,) * dims
    if len(values) != dims:
        raise ValueError(f"{name} is {value!r}; expected an integer or {dims} of them")
    return tuple(integer(name, n, least) for n in values)


def odd_window(name: str, value: PerAxis, dims: int) -> tuple[int, ...]:
    """One odd integer for every axis."""
    window = per_axis(name, value, checked_dims(dims))
    if any(k % 2 == 0 for k in window):
        raise ValueError(f"{name} is {value!r}; an even window has no centre, expected an odd one")
    return window


def pads_of(padding: Padding, window: Sequence[int]) -> Pads:
    """Samples to add on the left and on the right of every axis; negative ones take away.

    "same" keeps the length: (k - 1) // 2 on the left and k // 2 on the right of a window of k.
    """
    if isinstance(padding, str):
        if padding != "same":
            raise ValueError(f"padding is {padding!r}; expected 'same', integers or pairs of them")
        return tuple(((k - 1) // 2, k // 2) for k in window)
    values: Sequence[Any] = padding if isinstance(padding, Sequence) else (padding,) * len(window)
    if len(values) != len(window):
        raise ValueError(f"padding is {padding!r}; expected 'same', an integer, or {len(window)} integers or pairs")
    pairs = [tuple(v) if isinstance(v, Sequence) else (integer("padding", v, 0),) * 2 for v in values]
    if any(len(p) != 2 or not all(isinstance(n, int) for n in p) for p in pairs):
        raise ValueError(f"padding is {padding!r}; a pair is (left, right)")
    return tuple((left, right) for left, right in pairs)


def checked_mode(mode: str) -> str:
    """A name of `MODES`."""
    if mode not in MODES:
        raise ValueError(f"unknown padding_mode {mode!r}; expected one of {', '.join(MODES)}")
    return mode


def checked_map(given: Any, operator: str, dims: int, channels: int | None = None) -> Tensor:
    """Return a real floating tensor (batch, channels, spatial axes)."""
    return floating_maps(given, operator, channels, "(batch, channels, width)" if dims == 1 else PLANES)


def extend(x: Tensor, pads: Pads, mode: str, value: float = 0.0) -> Tensor:
    """Continue the last axes by `pads` as `mode` says; "zeros" continues by `value`.

    An axis too short for "reflect", which needs more samples than it adds on a side, is continued by "replicate", so
    that the last maps of a network, of one or two samples, can be filtered as well.

    Raises
    ------
    ValueError
        If nothing is left of an axis that is cut, or an axis without samples is to be continued by them.
    """
    known = all(isinstance(n, int) for pair in pads for n in pair)  # an exported program may compute them
    if known and not any(n for pair in pads for n in pair):
        return x
    if known:
        x = cut(x, pads)
        pads = tuple((max(left, 0), max(right, 0)) for left, right in pads)
    if mode == "zeros":
        return pad(x, flat(pads), value=value)
    sizes = x.shape[-len(pads) :]
    if any(n == 0 for n in sizes):
        raise ValueError(f"a map of {'x'.join(str(int(n)) for n in sizes)} samples has nothing to be continued by")
    if mode == "reflect":
        short = [max(pair) >= n for n, pair in zip(sizes, pads, strict=True)]
        edges = tuple(pair if there else (0, 0) for pair, there in zip(pads, short, strict=True))
        pads = tuple((0, 0) if there else pair for pair, there in zip(pads, short, strict=True))
        x = pad(x, flat(edges), mode="replicate") if any(short) else x
    if mode == "circular" and not (known and all(max(pair) <= n for n, pair in zip(sizes, pads, strict=True))):
        for axis, (n, (left, right)) in enumerate(zip(sizes, pads, strict=True), start=-len(pads)):
            x = x.index_select(axis, torch.arange(-left, n + right, device=x.device) % n)  # any number of times around
        return x
    return pad(x, flat(pads), mode=mode)


def cut(x: Tensor, pads: Pads) -> Tensor:
    """Take away what negative pads say."""
    for axis, (n, (left, right)) in enumerate(zip(x.shape[-len(pads) :], pads, strict=True), start=-len(pads)):
        if min(left, right) < 0:
            start, kept = max(-left, 0), n - max(-left, 0) - max(-right, 0)
            if kept < 1:
                raise ValueError(f"padding of {(left, right)} leaves nothing of the map's {n} samples")
            x = x.narrow(axis, start, kept)
    return x


def flat(pads: Pads) -> list[int]:
    """Pads in the order of `torch.nn.functional.pad`, the last axis first."""
    return [n for pair in reversed(pads) for n in pair]


def pooled_size(n: int, k: int, s: int, pads: tuple[int, int], ceil_mode: bool) -> int:
    """Samples that a max pooling makes of n, with windows of k, stride s and padding (left, right)."""
    left, right = pads
    if not ceil_mode:
        return (n + left + right - k) // s + 1
    # Windows may hang over by less than a stride, and begin before the padding on the right.
    return (n + left - 1 + min(right + s - k, 0)) // s + 1


def sampled(x: Tensor, stride: Sequence[int]) -> Tensor:
    """Every stride-th sample of the last axes, from the first on."""
    for axis, s in enumerate(stride, start=-len(stride)):
        x = x.unfold(axis, 1, s).squeeze(-1)
    return x


def checked_window(x: Tensor, window: Sequence[int], operator: str) -> Tensor:
    """Return `x` if a window fits into its last axes."""
    sizes = x.shape[-len(window) :]
    if any(n < k for n, k in zip(sizes, window, strict=True)):
        shown = "x".join(str(int(n)) for n in sizes)
        raise ValueError(
            f"the window of {operator}, {'x'.join(map(str, window))}, is larger than the map, {shown} with its padding"
        )
    return x
