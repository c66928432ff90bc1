"""VGG13 with batch normalisation, in the form for CIFAR."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn

from analysis.networks.architectures import _parts
from analysis.networks.architectures._parts import start_kaiming
from analysis.networks.pooling_argument import Pooling, pooling_at
from analysis.networks.site import square_site
from wavelets.checks import integer

PaddingMode = Literal["zeros", "reflect", "replicate", "circular"]


class VGG13(nn.Module):
    """Five blocks of two 3×3 convolutions, each with batch norm and ReLU, and a max pooling 2/2; one linear layer.

    Parameters
    ----------
    classes : int
    pooling : str or callable
        Of the five max poolings.
    width : float
        Factor of all widths.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        Of the convolutions, and of pooling that is given by name. "circular" is the test bed of the BlurPool paper:
        there subsampling alone does what shifts change.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    Zhang, "Making convolutional networks shift-invariant again"; theory.md, section 7.1. Keys ``features.0.weight`` to
    ``features.34`` as in torchvision's vgg13_bn, then ``classifier.weight``. At 32×32 the last map has one position;
    the maps of larger pictures are averaged. Convolutions start by Kaiming's rule (fan out), the linear layer normal
    with standard deviation 0.01.
    """

    def __init__(
        self,
        classes: int = 10,
        pooling: Pooling = "max",
        *,
        width: float = 1.0,
        padding_mode: PaddingMode = "zeros",
    ) -> None:
        super().__init__()
        self.features = nn.Sequential()
        inputs = 3
        for channels in _parts.scaled((64, 128, 256, 512, 512), width):
            for _ in range(2):
                self.features.append(nn.Conv2d(inputs, channels, 3, padding=1, padding_mode=padding_mode))
                self.features.append(nn.BatchNorm2d(channels))
                self.features.append(nn.ReLU())
                inputs = channels
            site = square_site("max", 2, 2, 0, channels, f"features.{len(self.features)}")
            self.features.append(pooling_at(site, pooling, padding_mode))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(inputs, integer("classes", classes, 1))
        start_kaiming(self.features)
        nn.init.normal_(self.classifier.weight, 0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (N, classes), of normalised pictures, shape (N, 3, H, W) from 32×32 on.

        Raises
        ------
        TypeError, ValueError
            If `x` is nothing like that.
        """
        x = _parts.checked_input(x, "VGG13", least=32)
        y: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return y
