"""DenseNet without bottlenecks and compression, in the form for CIFAR."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from analysis.networks.architectures import _parts
from analysis.networks.architectures._parts import start_kaiming
from analysis.networks.architectures.vgg import PaddingMode
from analysis.networks.pooling_argument import Pooling, pooling_at
from analysis.networks.site import square_site
from wavelets.checks import integer


class DenseLayer(nn.Module):
    """Batch norm, ReLU, 3×3 convolution; its channels are put behind those of the input."""

    def __init__(self, inputs: int, growth: int, padding_mode: PaddingMode) -> None:
        super().__init__()
        self.bn = nn.BatchNorm2d(inputs)
        self.relu = nn.ReLU()
        self.conv = nn.Conv2d(inputs, growth, 3, padding=1, padding_mode=padding_mode, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (N, inputs + growth, H, W) of maps (N, inputs, H, W)."""
        return torch.cat((x, self.conv(self.relu(self.bn(x)))), 1)


class DenseNet(nn.Module):
    """A 3×3 convolution, three dense blocks with transitions between them, mean over positions, linear layer.

    Parameters
    ----------
    depth : int
        Layers with weights, 4 more than a multiple of 3.
    growth : int
        Channels that every convolution of a block adds; the first one has twice as many.
    classes : int
    pooling : str or callable
        Of the two average poolings 2/2 of the transitions, for which "average" stands.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        Of the convolutions, and of pooling that is given by name.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    Huang et al. 2017. The BlurPool paper (Zhang 2019), appendix A, has the DenseNet-40-12 of the public implementation
    that it names: its first convolution has 24 channels, where the paper of DenseNet says 16. Average pooling 2/2 is a
    "rectangle2".
    Convolutions start by Kaiming's rule (fan out), the linear layer with bias 0.
    """

    def __init__(
        self,
        depth: int = 40,
        growth: int = 12,
        classes: int = 10,
        pooling: Pooling = "average",
        *,
        padding_mode: PaddingMode = "zeros",
    ) -> None:
        super().__init__()
        count, rest = divmod(integer("depth", depth, 7) - 4, 3)
        if rest:
            raise ValueError(f"depth is {depth}; expected 4 more than a multiple of 3, such as 40")
        width = 2 * integer("growth", growth, 1)
        self.features = nn.Sequential()
        self.features.add_module("conv", nn.Conv2d(3, width, 3, padding=1, padding_mode=padding_mode, bias=False))
        for number in (1, 2, 3):
            if number > 1:
                name = f"transition{number - 1}"
                transition = nn.Sequential(nn.BatchNorm2d(width), nn.ReLU(), nn.Conv2d(width, width, 1, bias=False))
                site = square_site("average", 2, 2, 0, width, f"features.{name}.3")
                self.features.add_module(name, transition.append(pooling_at(site, pooling, padding_mode)))
            block = nn.Sequential()
            for _ in range(count):
                block.append(DenseLayer(width, growth, padding_mode))
                width += growth
            self.features.add_module(f"block{number}", block)
        self.features.add_module("bn", nn.BatchNorm2d(width))
        self.features.add_module("relu", nn.ReLU())
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(width, integer("classes", classes, 1))
        start_kaiming(self.features)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (N, classes), of normalised pictures, shape (N, 3, H, W) from 4×4 on; 32×32 as published.

        Raises
        ------
        TypeError, ValueError
            If `x` is nothing like that.
        """
        x = _parts.checked_input(x, "DenseNet", least=4)
        y: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return y
