"""Adaptive low-pass filters: the weights depend on the position and on what is there."""

from __future__ import annotations

from functools import reduce
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

from analysis.networks.pooling import _border as border
from analysis.networks.pooling._border import Padding, PerAxis
from analysis.networks.pooling._derivatives import LocalSum, tap, trained
from analysis.networks.pooling._filtering import StridedFilter
from analysis.networks.pooling.blur import CONVOLUTIONS
from analysis.networks.pooling.trainable import log_kernel
from wavelets.checks import integer

SOFTMAXES = ("joint", "group")
LAYERS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d}
NORMALISATIONS = {1: nn.BatchNorm1d, 2: nn.BatchNorm2d}


class AdaptiveBlurPool(StridedFilter):
    r"""Low-pass filter whose weights are predicted at every position for every group of channels, then subsampling.

    .. math:: Y_c[n] = \sum_j\sigma_{g(c),j}[n]\,X_c[n + j],\qquad
        \sigma = \operatorname{softmax}(\operatorname{BN}(\operatorname{conv}_{k\times k}X))

    Parameters
    ----------
    channels : int
    size : int
        Odd side k of the filter.
    stride : int or one for each axis
    groups : int
        G, a divisor of `channels`; the channels of a group are neighbours.
    softmax : {"joint", "group"}
        "joint", the published one: over all G k**2 outputs at a position, so that the weights of a group have a sum
        less than 1. "group": over the weights of each group, so that they have the sum 1.
    padding, padding_mode
        As in `BlurPool`.
    init : str
        "published": convolution by Kaiming's rule, scale 1 and shift 0 of the normalisation; or a name of
        :func:`analysis.networks.lowpass.lowpass` whose taps are all positive: then the scale is 0 and the shift their
        logarithm, so that training starts from this filter (divided by G if the softmax is "joint").
    dims : {1, 2}
        Spatial axes.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    Zou et al., "Delving deeper into anti-aliasing in ConvNets", BMVC 2020; theory.md, section 6.1. In training, the
    normalisation sees the positions before subsampling, as in the published code; in evaluation only what is kept is
    computed. Precision as of any convolution.
    """

    shown = "stride groups softmax padding padding_mode"

    def __init__(
        self,
        channels: int,
        size: int = 3,
        stride: PerAxis = 2,
        groups: int = 8,
        softmax: str = "joint",
        padding: Padding = "same",
        padding_mode: str = "reflect",
        init: str = "published",
        dims: int = 2,
    ) -> None:
        window = border.odd_window("size", size, dims)
        super().__init__(window, stride, padding, padding_mode, dims)
        self.size = window
        self.channels = integer("channels", channels, 1)
        self.groups = integer("groups", groups, 1)
        if self.channels % self.groups:
            raise ValueError(f"groups is {groups}; expected a divisor of the {channels} channels")
        if softmax not in SOFTMAXES:
            raise ValueError(f"unknown softmax {softmax!r}; expected one of {', '.join(SOFTMAXES)}")
        self.softmax = softmax
        self.init = init
        self.offsets = list(product(*(range(k) for k in self.size)))
        outputs = self.groups * len(self.offsets)
        self.conv = LAYERS[dims](self.channels, outputs, self.size, bias=False)
        self.bn = NORMALISATIONS[dims](outputs)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start again as `init` says."""
        nn.init.kaiming_normal_(self.conv.weight, mode="fan_out", nonlinearity="relu")
        self.bn.reset_parameters()
        if self.init != "published":
            with torch.no_grad():
                self.bn.weight.zero_()
                self.bn.bias.copy_(log_kernel(self.init, self.size).flatten().repeat(self.groups))

    def weights(self, x: Tensor) -> Tensor:
        """Return the weights at all positions, shape (batch, groups, k**dims, spatial axes)."""
        return self._weights(self._extended(x), (1,) * self.dims)

    def _extended(self, x: Tensor) -> Tensor:
        x = border.checked_map(x, "AdaptiveBlurPool", self.dims, self.channels)
        x = border.extend(x, self.padding, self.padding_mode)
        return border.checked_window(x, self.size, "AdaptiveBlurPool")

    def _weights(self, x: Tensor, stride: tuple[int, ...]) -> Tensor:
        if self.training:
            logits = border.sampled(self.bn(self.conv(x)), stride)
        else:
            logits = self.bn(CONVOLUTIONS[self.dims](x, self.conv.weight, stride=stride))
        if self.softmax == "joint":
            logits = logits.softmax(1)
        logits = torch.unflatten(logits, 1, (self.groups, len(self.offsets)))
        return logits if self.softmax == "joint" else logits.softmax(2)

    def _filtered(self, x: Tensor, stride: tuple[int, ...]) -> Tensor:
        x = self._extended(x)
        weights = self._weights(x, stride)
        x = torch.unflatten(x, 1, (self.groups, self.channels // self.groups))
        if trained(x, weights):
            summed: Tensor = LocalSum.apply(x, weights, self.offsets, stride)  # type: ignore[no-untyped-call]
        else:
            terms = zip(weights.unbind(2), self.offsets, strict=True)
            summed = reduce(torch.add, [w.unsqueeze(2) * tap(x, at, weights.shape[3:], stride) for w, at in terms])
        return summed.flatten(1, 2)
