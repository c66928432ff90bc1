"""Convolutions with a forward of their own, such as those that standardise their weight: made dense, and pooled."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from analysis.networks.layer_access import CONVOLUTION, behaves_as
from analysis.networks.pooling._border import extend

SIDES = (2, 3)
"""Outputs of the maps that a convolution is tried on: whether strides divide the sides must not matter."""


class SameConv2d(nn.Conv2d):
    """Dense maps of which a convolution with TensorFlow's padding "SAME" takes every `taken`-th sample.

    That padding depends on the stride and on the size, so that the same layer at stride 1 lies elsewhere.

    Parameters
    ----------
    layer : Conv2d
        Its weight and bias are taken over.
    """

    def __init__(self, layer: Any) -> None:
        kernel, groups = layer.kernel_size, layer.groups
        super().__init__(layer.in_channels, layer.out_channels, kernel, 1, 0, layer.dilation, groups, device="meta")
        self.weight, self.bias, self.taken = layer.weight, layer.bias, tuple(layer.stride)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve maps (batch, channels, height, width)."""
        pads: list[int] = []
        for axis in (1, 0):
            n, s, reach = x.shape[2 + axis], self.taken[axis], self.dilation[axis] * (self.kernel_size[axis] - 1)
            count = math.ceil(n / s)
            before = max((count - 1) * s + reach + 1 - n, 0) // 2
            pads += [before, max(count * s + reach - n - before, 0)]  # as many samples as stand between the outputs
        y = functional.conv2d(functional.pad(x, pads), self.weight, self.bias, 1, 0, self.dilation, self.groups)
        return y


def densified(layer: Any) -> nn.Module | None:
    """Convolution at stride 1 of which a strided one takes every s-th sample, from the first on.

    Parameters
    ----------
    layer : Conv1d or Conv2d
        Strided, with a forward of its own. It stays as it is.

    Returns
    -------
    Module or None
        A copy with the same parameters at stride 1, or a :class:`SameConv2d`, if its maps are those on noise of several
        sizes; None if neither is.
    """
    if not isinstance(layer, CONVOLUTION) or behaves_as(layer, *CONVOLUTION) or max(layer.stride) < 2:
        return None
    if any(p.is_meta for p in layer.parameters()):
        return None
    dense = copy.copy(layer)  # the same parameters
    dense.stride = (1,) * len(layer.stride)
    candidates: list[nn.Module] = [dense]
    if isinstance(layer, nn.Conv2d) and isinstance(layer.weight, nn.Parameter) and layer.padding_mode == "zeros":
        candidates.append(SameConv2d(layer))
    return next((candidate for candidate in candidates if _is_dense(layer, candidate)), None)


def _is_dense(layer: Any, dense: nn.Module) -> bool:
    """Tell if every s-th sample of one is the other, on noise."""
    reach = [d * (k - 1) + 1 for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    taken = (..., *(slice(None, None, s) for s in layer.stride))
    weight = next(layer.parameters())
    generator = torch.Generator().manual_seed(0)
    for count in SIDES:
        for more in range(max(layer.stride)):
            sides = [k + count * s + more for k, s in zip(reach, layer.stride, strict=True)]
            x = torch.randn((1, layer.in_channels, *sides), generator=generator).to(weight.device, weight.dtype)
            try:
                with torch.no_grad(), _as_evaluated(layer), _as_evaluated(dense):
                    expected, found = layer(x), dense(x)[taken]
            except Exception:  # whatever the layer's own code raises
                return False
            found = found[tuple(slice(n) for n in expected.shape)]
            close = found.shape == expected.shape and torch.allclose(found, expected, rtol=1e-3, atol=1e-4)
            if not close:
                return False
    return True


@contextmanager
def _as_evaluated(module: nn.Module) -> Iterator[None]:
    training = module.training
    module.training = False
    try:
        yield
    finally:
        module.training = training


class Around(nn.Module):
    """Periodic map with some samples more, so that a convolution gives as many as the period has.

    Parameters
    ----------
    more : sequence of (int, int)
        Samples before and after, one pair for each axis.
    """

    def __init__(self, more: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.more = tuple(more)

    def forward(self, x: Tensor) -> Tensor:
        """Extend maps (batch, channels, spatial axes)."""
        return extend(x, self.more, "circular")


def pooled(layer: nn.Module, pool: nn.Module, before: bool, name: str = "pool") -> nn.Module:
    """Let a module take what a layer is given, or gives, under the keys of the layer; its class stays a base."""
    kind = type(layer)
    layer.add_module(name, pool)

    def forward(self: Any, x: Tensor) -> Tensor:
        inner = getattr(self, name)
        y: Tensor = kind.forward(self, inner(x)) if before else inner(kind.forward(self, x))
        return y

    layer.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    return layer
