"""Trainable low-pass filters before subsampling."""

from __future__ import annotations

from functools import reduce

import numpy as np
import torch
from torch import Tensor, nn

from analysis.networks.lowpass import lowpass
from analysis.networks.pooling import _border as border
from analysis.networks.pooling._border import Padding, PerAxis
from analysis.networks.pooling._derivatives import depthwise_trained
from analysis.networks.pooling._filtering import StridedFilter
from wavelets.checks import integer


class TLPF(StridedFilter):
    r"""Trainable low-pass filter, one for every channel, then subsampling.

    The m x n weights of a channel are the softmax of as many trainable logits: positive, with sum 1.

    Parameters
    ----------
    channels : int
    size : int or one for each axis
        Taps m x n; in the audio networks time x frequency.
    stride : int or one for each axis
    padding, padding_mode
        As in `BlurPool`.
    init : str
        "random", the published one: logits normal with standard deviation 0.01, almost the rectangle; or a name of
        :func:`analysis.networks.lowpass.lowpass` whose taps are all positive, with which the filter starts exactly.
    dims : {1, 2}
        Spatial axes.

    Attributes
    ----------
    logits : Parameter, shape (channels, 1, m, n)
        All the state; channels * m * n parameters.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    Fonseca, Ferraro and Serra, "Improving sound event classification by increasing shift invariance in convolutional
    neural networks", 2021, after a dense max pooling: ``Cascade(MaxPool(2), TLPF(48, 5))``; theory.md, section 7.2.
    Precision as of any convolution.
    """

    shown = "channels size stride padding padding_mode init"

    def __init__(
        self,
        channels: int,
        size: PerAxis = 5,
        stride: PerAxis = 2,
        padding: Padding = "same",
        padding_mode: str = "reflect",
        init: str = "random",
        dims: int = 2,
    ) -> None:
        size = border.per_axis("size", size, border.checked_dims(dims))
        super().__init__(size, stride, padding, padding_mode, dims)
        self.channels = integer("channels", channels, 1)
        self.size, self.init = size, init
        self.logits = nn.Parameter(torch.empty(self.channels, 1, *self.size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start again as `init` says."""
        with torch.no_grad():
            if self.init == "random":
                self.logits.normal_(std=0.01)
            else:
                self.logits.copy_(log_kernel(self.init, self.size))

    @property
    def kernels(self) -> Tensor:
        """The filters, shape (channels, 1, m, n), with sum 1."""
        return self.logits.flatten(1).softmax(1).view_as(self.logits)

    def _filtered(self, x: Tensor, stride: tuple[int, ...]) -> Tensor:
        x = border.checked_map(x, "TLPF", self.dims, self.channels)
        return depthwise_trained(x, self.kernels.to(x.dtype), stride, self.padding, self.padding_mode, "TLPF")


def log_kernel(name: str, size: tuple[int, ...]) -> Tensor:
    """Logits whose softmax is a fixed filter."""
    kernel = np.array(reduce(np.multiply.outer, [lowpass(name, n) for n in size]))
    if kernel.min() <= 0:
        raise ValueError(f"a softmax starts from positive taps; {name!r} of {size} has {kernel.min():.3g}")
    return torch.from_numpy(np.log(kernel))
