"""Filters whose weights depend on the position: their derivative, where torch's own is slow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from analysis.networks.pooling import _border as border

Taps = Sequence[tuple[int, ...]]


def trained(*given: Tensor) -> bool:
    """Tell if derivatives may be asked for, by a program that runs as it is written."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[no-untyped-call, attr-defined]
        return False
    return torch.is_grad_enabled() and any(x.requires_grad for x in given)


def tap(x: Tensor, offset: Sequence[int], counts: Sequence[int], stride: Sequence[int]) -> Tensor:
    """Samples of the last axes, `counts` of them from `offset` on, every stride-th; a view."""
    for axis, (first, n, s) in enumerate(zip(offset, counts, stride, strict=True), start=x.ndim - len(offset)):
        x = x.narrow(axis, first, (n - 1) * s + 1)
    return border.sampled(x, stride)


class LocalSum(torch.autograd.Function):
    """Sum over taps of weights, of each position and group of channels its own, times shifted and subsampled maps.

    Torch's own derivative adds up maps before subsampling that are zero but for the samples of one tap, a map a tap.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, weights: Tensor, taps: Taps, stride: tuple[int, ...]) -> Tensor:
        """Sum, shape (N, groups, channels, ...), of x, the same but larger, and weights (N, groups, taps, ...)."""
        counts = weights.shape[3:]
        parts = zip(taps, weights.unbind(2), strict=True)
        first, weight = next(parts)
        total = tap(x, first, counts, stride) * weight.unsqueeze(2)
        for offset, weight in parts:
            total += tap(x, offset, counts, stride) * weight.unsqueeze(2)
        return total

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, Taps, tuple[int, ...]], output: Tensor) -> None:
        """Keep maps and weights."""
        x, weights, ctx.taps, ctx.stride = inputs
        ctx.save_for_backward(x, weights)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None, None]:
        """Derivatives by maps and weights."""
        x, weights = ctx.saved_tensors
        (gradient,) = gradients
        counts = weights.shape[3:]
        of_weights, of_maps = [], gradient.new_zeros(x.shape)
        for offset, weight in zip(ctx.taps, weights.unbind(2), strict=True):
            of_weights.append((gradient * tap(x, offset, counts, ctx.stride)).sum(2))
            tap(of_maps, offset, counts, ctx.stride).add_(gradient * weight.unsqueeze(2))
        return of_maps.to(x.dtype), torch.stack(of_weights, 2).to(weights.dtype), None, None
