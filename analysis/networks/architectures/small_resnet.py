"""ResNets of He et al. for CIFAR-10, in the form of the best known public weights."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from analysis.networks.architectures._parts import checked_input, start_kaiming
from wavelets.checks import integer


class SlicedShortcut(nn.Module):
    """Every second sample, and as many channels of zeros before and after as are missing: option A of He et al.

    Parameters
    ----------
    missing : int
        Channels that are missing, an even number.
    """

    def __init__(self, missing: int) -> None:
        super().__init__()
        self.missing = missing

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C + missing, ceil(H / 2), ceil(W / 2)) of maps (N, C, H, W)."""
        half = self.missing // 2
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, half, half))


class SmallBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut without weights.

    Parameters
    ----------
    inputs, outputs, stride : int
    """

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()  # two, so that surgery can tell them apart
        self.shortcut = SlicedShortcut(outputs - inputs) if stride > 1 else nn.Sequential()

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, outputs, H / stride, W / stride) of maps (N, inputs, H, W)."""
        y = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        z: Tensor = self.relu2(y + self.shortcut(x))
        return z


class SmallResNet(nn.Module):
    """3×3 convolution, three stages of 16, 32 and 64 channels, mean over positions, linear layer.

    Parameters
    ----------
    depth : int
        Layers with weights, 6 n + 2: 20 and 56 are usual.
    classes : int

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Notes
    -----
    He et al. 2016, section 4.2. Keys of the state dict as in akamaster/pytorch_resnet_cifar10, without "module.".
    """

    def __init__(self, depth: int = 20, classes: int = 10) -> None:
        super().__init__()
        blocks, rest = divmod(integer("depth", depth, 8) - 2, 6)
        if rest:
            raise ValueError(f"depth is {depth}; expected 6 n + 2, such as 20, 32, 44, 56 or 110")
        self.conv1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        width = 16
        self.stages = [f"layer{number}" for number in (1, 2, 3)]
        for number, name in enumerate(self.stages):
            stage = nn.Sequential()
            for index in range(blocks):
                inputs, width = width, 16 * 2**number
                stage.append(SmallBlock(inputs, width, 2 if number and not index else 1))
            self.add_module(name, stage)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(width, integer("classes", classes, 1))
        start_kaiming(self)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (N, classes), of normalised pictures, shape (N, 3, H, W).

        Raises
        ------
        TypeError, ValueError
            If `x` is nothing like that.
        """
        x = checked_input(x, "SmallResNet")
        x = self.relu(self.bn1(self.conv1(x)))
        for name in self.stages:
            x = self.get_submodule(name)(x)
        y: Tensor = self.linear(self.avgpool(x).flatten(1))
        return y
