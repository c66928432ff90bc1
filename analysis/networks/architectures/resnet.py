"""ResNet-18 and ResNet-34, in the form for ImageNet and in that for CIFAR."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from analysis.networks.architectures import _parts
from analysis.networks.architectures._parts import start_kaiming
from analysis.networks.pooling import APS, Cascade
from analysis.networks.pooling_argument import Pooling, pooling_at
from analysis.networks.site import square_site, strided_site
from wavelets.checks import integer

FORMS = ("imagenet", "cifar")


class BasicBlock(nn.Module):
    """Two 3×3 convolutions beside a shortcut.

    Strided, with a pooling other than "max": convolution at stride 1, batch norm, ReLU, pooling, convolution; in the
    shortcut pooling, then the 1×1 convolution. If the pooling ends in adaptive polyphase sampling, the shortcut keeps
    the grid that the main branch has chosen, so that the two stay aligned.

    Parameters
    ----------
    inputs, outputs, stride : int
    pooling : str or callable
    name : str
        For messages.
    """

    def __init__(self, inputs: int, outputs: int, stride: int, pooling: Pooling, name: str) -> None:
        super().__init__()
        pooled = stride > 1 and pooling != "max"
        step = 1 if pooled else stride
        self.conv1 = nn.Conv2d(inputs, outputs, 3, step, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu1, self.relu2 = nn.ReLU(), nn.ReLU()  # two, so that surgery can tell them apart
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.pool: nn.Module = nn.Identity()
        self.shortcut_pool: nn.Module = nn.Identity()
        self.downsample = nn.Sequential()
        if pooled:
            self.pool = pooling_at(strided_site(outputs, f"{name}.pool", stride), pooling)
            self.shortcut_pool = pooling_at(strided_site(inputs, f"{name}.shortcut_pool", stride), pooling)
        if stride > 1 or inputs != outputs:
            self.downsample.append(nn.Conv2d(inputs, outputs, 1, step, bias=False))
            self.downsample.append(nn.BatchNorm2d(outputs))
        chooser = chooser_of(self.pool)
        self.shared_choice = chooser is not None and chooser_of(self.shortcut_pool) is not None
        if chooser is not None:
            chooser.return_index = self.shared_choice

    def forward(self, x: Tensor) -> Tensor:
        """Return maps (N, outputs, H / stride, W / stride) of maps (N, inputs, H, W)."""
        y = self.relu1(self.bn1(self.conv1(x)))
        if self.shared_choice:
            y, index = self.pool(y)
            x = self.shortcut_pool(x, index=index)
        else:
            y, x = self.pool(y), self.shortcut_pool(x)
        z: Tensor = self.relu2(self.bn2(self.conv2(y)) + self.downsample(x))
        return z


class ResNet(nn.Module):
    """First convolution and max pooling, stages of basic blocks, mean over positions, linear layer.

    Parameters
    ----------
    blocks : sequence of int
        Basic blocks of every stage: (2, 2, 2, 2) is ResNet-18, (3, 4, 6, 3) ResNet-34. The widths are 64, 128, ...,
        and every stage but the first begins with the stride 2.
    classes : int
    pooling : str or callable
        Of the max pooling, and, if not "max", of the strided blocks.
    form : {"imagenet", "cifar"}
        "imagenet": first a 7×7 convolution of stride 2, and a max pooling 3/2; "cifar": first a 3×3 convolution of
        stride 1, no max pooling. The ResNets of the poster's CIFAR-10 table have the form "imagenet".
    first : Module, optional
        Instead of everything up to and including the max pooling, from (N, 3, H, W) to 64 channels; `pooling` is for
        the rest. It keeps the weights that it has.
    width : float
        Factor of the widths behind the stem, whose 64 channels stay.
    max_size : {3, 2}
        Side of the max pooling. The public code of BlurPool has 2; the poster's networks have 3, blurred or not.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    He et al. 2016; Zhang 2019 for "blur3", Zou et al. 2020 for "adaptive-blur"; theory.md, section 6.1. Keys of the
    state dict as in torchvision, whatever fixed filter the pooling has; trainable pooling adds ``maxpool``,
    ``layer2.0.pool``, ``layer2.0.shortcut_pool``, ...; `first` has the keys ``first``. Convolutions start by Kaiming's
    rule (fan out).
    """

    def __init__(
        self,
        blocks: Sequence[int] = (3, 4, 6, 3),
        classes: int = 1000,
        pooling: Pooling = "max",
        *,
        form: str = "imagenet",
        first: nn.Module | None = None,
        width: float = 1.0,
        max_size: int = 3,
    ) -> None:
        super().__init__()
        if form not in FORMS:
            raise ValueError(f"unknown form {form!r}; expected one of {', '.join(FORMS)}")
        counts = [integer("blocks", count, 1) for count in blocks]
        if not counts:
            raise ValueError("blocks is empty; expected the basic blocks of every stage, such as (2, 2, 2, 2)")
        if max_size not in (2, 3):
            raise ValueError(f"max_size is {max_size!r}; expected 3 or 2")
        self.first = first
        if first is None:
            imagenet = form == "imagenet"
            self.conv1 = nn.Conv2d(3, 64, *((7, 2, 3) if imagenet else (3, 1, 1)), bias=False)
            self.bn1 = nn.BatchNorm2d(64)
            self.relu = nn.ReLU()
            site = square_site("max", max_size, 2, (max_size - 1) // 2, 64, "maxpool")
            self.maxpool = pooling_at(site, pooling) if imagenet else nn.Identity()
        outputs = 64
        self.stages = [f"layer{number}" for number in range(1, len(counts) + 1)]
        widths = _parts.scaled([64 * 2**number for number in range(len(counts))], width)
        for number, (name, count, channels) in enumerate(zip(self.stages, counts, widths, strict=True)):
            stage = nn.Sequential()
            for index in range(count):
                inputs, outputs = outputs, channels
                stride = 2 if number and not index else 1
                stage.append(BasicBlock(inputs, outputs, stride, pooling, f"{name}.{index}"))
            self.add_module(name, stage)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(outputs, integer("classes", classes, 1))
        for child in self.children():
            if child is not first:
                start_kaiming(child)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (N, classes), of normalised pictures, shape (N, 3, H, W).

        Raises
        ------
        TypeError, ValueError
            If `x` is nothing like that.
        """
        x = _parts.checked_input(x, "ResNet")
        x = self.maxpool(self.relu(self.bn1(self.conv1(x)))) if self.first is None else self.first(x)
        for name in self.stages:
            x = self.get_submodule(name)(x)
        y: Tensor = self.fc(self.avgpool(x).flatten(1))
        return y


def chooser_of(pool: nn.Module) -> APS | None:
    """Return the adaptive polyphase sampling that a pooling ends in, if it does."""
    while isinstance(pool, Cascade):
        pool = pool.stages[-1]
    return pool if isinstance(pool, APS) else None
