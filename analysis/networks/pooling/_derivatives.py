"""Derivatives of filters whose weights are trained or depend on the position, where torch's own are slow."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, library

from analysis.networks.pooling import _border as border
from analysis.networks.pooling.blur import depthwise
from analysis.networks.pooling.maximum import in_channels_last
from wavelets.engine.threads import at_most, over_batch

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
        ctx.save_for_forward(x, weights)

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

    @staticmethod
    def jvp(ctx: Any, of_x: Tensor, of_weights: Tensor, *_: None) -> Tensor:
        """Derivative along tangents."""
        x, weights = ctx.saved_tensors
        counts = weights.shape[3:]
        parts = zip(ctx.taps, weights.unbind(2), of_weights.unbind(2), strict=True)
        found: Tensor = sum(
            tap(of_x, offset, counts, ctx.stride) * weight.unsqueeze(2)
            + tap(x, offset, counts, ctx.stride) * of_weight.unsqueeze(2)
            for offset, weight, of_weight in parts
        )
        return found


def depthwise_trained(
    x: Tensor, kernels: Tensor, stride: tuple[int, ...], pads: border.Pads, mode: str, operator: str
) -> Tensor:
    """Correlate as `depthwise`; planes on the CPU, in single and double precision, with a derivative that is faster."""
    known = type(x) is Tensor and x.device.type == "cpu" and x.dtype in (torch.float32, torch.float64)
    if not known or x.ndim != 4 or not trained(kernels) or torch.is_autocast_enabled("cpu"):
        return depthwise(x, kernels, stride, pads, mode, operator)
    y: Tensor = Depthwise.apply(x, kernels, (stride, pads, mode, operator))  # type: ignore[no-untyped-call]
    return y


class Depthwise(torch.autograd.Function):
    """Depthwise correlation, borders included, whose derivatives are found in one pass.

    Torch's own derivative by the kernels takes four to ten times as long as the correlation. Derivatives to be derived
    again, or mapped by `torch.func`, are torch's own.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, kernels: Tensor, options: tuple[Any, ...]) -> Tensor:
        """Correlate."""
        return depthwise(x, kernels, *options)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, Tensor, tuple[Any, ...]], output: Tensor) -> None:
        """Keep maps without their borders, and kernels."""
        *tensors, ctx.options = inputs
        ctx.save_for_backward(*tensors)
        ctx.save_for_forward(*tensors)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, None]:
        """Derivatives by maps and kernels."""
        x, kernels = ctx.saved_tensors
        stride, pads, mode, _ = ctx.options
        if not torch.is_grad_enabled():
            of_x, of_kernels = depthwise_derivatives(x, kernels, *gradients, stride, border.flat(pads), mode)
        else:
            derivatives = torch.func.vjp(lambda x, kernels: depthwise(x, kernels, *ctx.options), x, kernels)[1]
            of_x, of_kernels = derivatives(*gradients)
        return of_x, of_kernels, None

    @staticmethod
    def jvp(ctx: Any, of_x: Tensor, of_kernels: Tensor, _: None) -> Tensor:
        """Derivative along tangents."""
        x, kernels = ctx.saved_tensors
        return depthwise(of_x, kernels, *ctx.options) + depthwise(x, of_kernels, *ctx.options)


@library.custom_op("shiftscope::depthwise_derivatives", mutates_args=())
def depthwise_derivatives(
    x: Tensor, kernels: Tensor, gradient: Tensor, stride: Sequence[int], pads: Sequence[int], mode: str
) -> tuple[Tensor, Tensor]:
    """Derivatives of `depthwise` by maps and kernels, by compiled loops; pads as `torch.nn.functional.pad` has them.

    An operator of torch, so that torch can map it.
    """
    from analysis.networks.pooling import _loops  # numba starts for those who train

    s, t = stride
    order = (0, 2, 3, 1) if in_channels_last(x) else (0, 1, 2, 3)
    loop = _loops.channels_last if in_channels_last(x) else _loops.channels_first
    maps, given, taps = (a.detach().permute(order).contiguous().numpy() for a in (x, gradient, kernels.transpose(0, 1)))
    ends = ((n - 1) * step + k for n, step, k in zip(gradient.shape[2:], stride, kernels.shape[2:], strict=True))
    rows, columns = (  # that are in a window: zeros of the gradient meet no others
        sources(n, pair, mode)[:end] for n, pair, end in zip(x.shape[2:], (pads[2:], pads[:2]), ends, strict=True)
    )
    of_maps, of_taps = np.empty_like(maps), np.empty((len(x), *taps.shape[1:]), taps.dtype)
    with at_most(torch.get_num_threads()):
        over_batch(lambda i: loop(maps[i], given[i], taps[0], rows, columns, s, t, of_maps[i], of_taps[i]), len(x))
    back = [order.index(axis) for axis in range(4)]
    of_x, of_kernels = (torch.from_numpy(a).permute(back) for a in (of_maps, of_taps))
    return of_x, of_kernels.sum(0).unsqueeze(1)


def sources(n: int, pads: Sequence[int], mode: str) -> NDArray[np.uintp]:
    """Samples that an axis of n samples consists of when it is continued; n for a zero."""
    left, right = pads
    numbers = border.extend(torch.arange(1, n + 1, dtype=torch.float64)[None, None], ((left, right),), mode)
    return ((numbers[0, 0].numpy() - 1) % (n + 1)).astype(np.uintp)
