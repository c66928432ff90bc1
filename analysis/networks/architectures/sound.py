"""VGG41 and VGG42: networks for sound events, from log-mel patches."""

from __future__ import annotations

from functools import partial

from torch import Tensor, nn

from analysis.networks.architectures import _parts
from analysis.networks.operator_table import OPERATORS
from analysis.networks.pooling import IntraBlockPool
from analysis.networks.pooling_argument import Pooling, pooling_at
from analysis.networks.site import square_site
from wavelets.checks import integer


class VGG41(nn.Module):
    """A 3×3 convolution, four blocks of two 3×3 convolutions, mean over frequency, maximum over time, linear layer.

    Every convolution has batch norm and ReLU. Widths 32, then 48, 64, 128, 256; 1 258 728 parameters at 200 classes.

    Parameters
    ----------
    classes : int
    pooling : str or callable
        Of the max poolings 2/2 after the first three blocks.
    width : float
        Factor of all widths.
    intrablock : bool
        Put a dense 3×3 maximum between the two convolutions of every block.
    released : bool
        As in the authors' released code where that differs: low-pass filters continue maps by zeros, and the last block
        has no dense maximum.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    Fonseca, Ferraro and Serra, "Improving sound event classification by increasing shift invariance in convolutional
    neural networks", 2021; theory.md, section 7.2. As in the authors' code, weights start normal with standard
    deviation 0.01, the convolutions have no bias, and windows of the max pooling that hang over count, so that 101
    frames become 51, 26, 13. What `released` changes is in that code and not in the paper.
    """

    multiplier = 1

    def __init__(
        self,
        classes: int = 200,
        pooling: Pooling = "max",
        *,
        width: float = 1.0,
        intrablock: bool = False,
        released: bool = False,
    ) -> None:
        super().__init__()
        pooling = with_zeros(pooling) if released else pooling
        inputs, *widths = _parts.scaled((32, 48, 64, 128, 256), self.multiplier * width)
        self.features = nn.Sequential()
        self.features.add_module("front", convolved(1, inputs))
        for number, channels in enumerate(widths, start=1):
            block = nn.Sequential(convolved(inputs, channels), convolved(channels, channels))
            if intrablock and not (released and number == len(widths)):
                block.insert(1, IntraBlockPool(3))
            self.features.add_module(f"block{number}", block)
            if number < len(widths):
                site = square_site("max", 2, 2, 0, channels, f"features.pool{number}", ceil_mode=True)
                self.features.add_module(f"pool{number}", pooling_at(site, pooling))
            inputs = channels
        self.classifier = nn.Linear(inputs, integer("classes", classes, 1))
        for child in self.modules():
            if isinstance(child, nn.Conv2d | nn.Linear):
                nn.init.normal_(child.weight, 0, 0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (N, classes), of log-mel patches, shape (N, 1, T, F), time first.

        101×96 as published; any size works. The sigmoid belongs to the loss.

        Raises
        ------
        TypeError, ValueError
            If `x` is nothing like that.
        """
        x = _parts.checked_input(x, type(self).__name__, channels=1, shape="(N, 1, T, F)")
        y: Tensor = self.classifier(self.features(x).mean(3).amax(2))
        return y


def with_zeros(pooling: Pooling) -> Pooling:
    """Pooling whose low-pass filter, if it has one, continues maps by zeros; adaptive sampling reflects odd sizes."""
    if not isinstance(pooling, str) or pooling not in OPERATORS or pooling.startswith(("aps", "ideal")):
        return pooling
    name = "filter_padding_mode" if pooling.startswith("tlpf-aps") else "padding_mode"
    return partial(OPERATORS[pooling].factory(init="published"), **{name: "zeros"})


class VGG42(VGG41):
    """:class:`VGG41` with all widths doubled; 4 927 240 parameters at 200 classes."""

    multiplier = 2


def convolved(inputs: int, outputs: int) -> nn.Sequential:
    """Return a 3×3 convolution with batch norm and ReLU."""
    layer = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return nn.Sequential(layer, nn.BatchNorm2d(outputs), nn.ReLU())
