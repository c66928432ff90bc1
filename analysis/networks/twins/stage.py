"""First stage of a twin: free channels beside Gabor channels, up to and including the first max pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from analysis.networks.operator_table import OPERATORS
from analysis.networks.pooling import ModulusBatchNorm
from analysis.networks.pooling_argument import Pooling, pooling_at
from analysis.networks.site import square_site, strided_site
from analysis.networks.twins.packet_groups import PacketGroup
from analysis.networks.twins.positions import Positions
from analysis.networks.twins.wavelet_block import WaveletBlock
from wavelets import FilterBank
from wavelets.filters import DEFAULT

TWINS = ("rmax", "cmod")


@dataclass(frozen=True)
class TwinLayer:
    """A first convolution and the max pooling after it, and the form of their twin; theory.md, section 6.1.

    Attributes
    ----------
    kernel_size, stride, padding : int
        Of the convolution.
    pool_padding : int
        Of the max pooling 3/2.
    early_blur : bool
        A pooling other than "max" takes over half of the convolution's stride, before the max pooling.
    normalised : bool
        Batch normalisation without bias, or a bias.
    free : int
        Channels that stay an ordinary convolution.
    levels : int
        Depth J of the packets for the others.
    luminance : tuple of 3 floats
        Weights of R, G, B at first.
    """

    kernel_size: int
    stride: int
    padding: int
    pool_padding: int
    early_blur: bool
    normalised: bool
    free: int
    levels: int
    luminance: tuple[float, float, float]

    def convolution_stride(self, pooling: Pooling) -> int:
        """Stride of the convolution before a pooling."""
        return self.stride // 2 if self.early_blur and pooling != "max" else self.stride

    def pool(self, channels: int, pooling: Pooling, name: str) -> nn.Module:
        """Pooling behind the ReLU."""
        if pooling == "adaptive-blur":  # as published: 8 groups, or groups of 8 channels if there are fewer
            pooling = partial(OPERATORS[pooling].factory(init="published"), groups=min(8, channels // 8))
        last = pooling_at(square_site("max", 3, 2, self.pool_padding, channels, name), pooling)
        if self.early_blur and pooling != "max":
            return nn.Sequential(pooling_at(strided_site(channels, name), pooling), last)
        return last


class TwinStage(nn.Module):
    r"""Free and Gabor channels of a twin.

    Parameters
    ----------
    layer : TwinLayer
        The layers that it replaces.
    groups : sequence of PacketGroup
        Of the Gabor channels.
    twin : {"rmax", "cmod"}
        Gabor channels as the convolutions that they replace, with their max pooling, or as complex convolutions at the
        total stride and the modulus; then bias or normalisation of moduli, and ReLU.
    pooling : str or callable
        Of the free channels; of the Gabor channels too if they have a max pooling.
    gabor_pooling : str or callable, optional
        Another one for the Gabor channels of an RMax twin: the ablated networks.
    luminance, filters, trainable
        As in :class:`analysis.networks.WaveletBlock`; by default the luminance of the layer.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range, or `gabor_pooling` is given for a CMod twin, which has none.

    Notes
    -----
    theory.md, section 6.1. RMax and CMod twins have the same keys, so that one takes the state dict of the other.
    """

    def __init__(
        self,
        layer: TwinLayer,
        groups: Sequence[PacketGroup],
        twin: str = "rmax",
        pooling: Pooling = "max",
        gabor_pooling: Pooling | None = None,
        luminance: Sequence[float] | str | None = "published",
        filters: str | FilterBank = DEFAULT,
        trainable: bool = False,
    ) -> None:
        super().__init__()
        if twin not in TWINS:
            raise ValueError(f"unknown twin {twin!r}; expected 'rmax' or 'cmod'")
        if twin == "cmod" and gabor_pooling is not None:
            raise ValueError(f"gabor_pooling is {gabor_pooling!r}; the Gabor channels of a CMod twin have no pooling")
        if isinstance(luminance, str):
            if luminance != "published":
                raise ValueError(f"luminance is {luminance!r}; expected 'published', three weights or None")
            luminance = layer.luminance
        self.twin = twin
        modulus = twin == "cmod"
        theirs = pooling if gabor_pooling is None else gabor_pooling
        self.joint = not modulus and theirs == pooling
        step = layer.convolution_stride("max" if modulus else theirs)  # moduli have the stride of plain max pooling
        positions = Positions.of_convolution(layer.kernel_size, step, layer.padding)
        if modulus:
            positions = positions.then(3, 2, layer.pool_padding)
        output = "complex" if modulus else "real"
        self.block = WaveletBlock(groups, layer.levels, positions, output, luminance, filters, trainable)
        free, gabor = layer.free, self.block.outputs
        step = layer.convolution_stride(pooling)
        self.free = nn.Conv2d(3, free, layer.kernel_size, step, layer.padding, bias=not layer.normalised)
        self.bias: nn.Parameter | None = None
        self.free_norm: nn.Module = nn.Identity()
        self.gabor_norm: nn.Module = nn.Identity()
        if layer.normalised:
            self.free_norm = nn.BatchNorm2d(free)
            self.gabor_norm = ModulusBatchNorm(gabor) if modulus else nn.BatchNorm2d(gabor)
        else:
            self.bias = nn.Parameter(torch.zeros(gabor))
        self.relu = nn.ReLU()
        self.pool: nn.Module = nn.Identity()
        self.gabor_pool: nn.Module = nn.Identity()
        if self.joint:
            self.pool = layer.pool(free + gabor, pooling, "pool")
        else:
            self.pool = layer.pool(free, pooling, "pool")
            if not modulus:
                self.gabor_pool = layer.pool(gabor, theirs, "gabor_pool")

    def forward(self, x: Tensor) -> Tensor:
        """Take pictures (N, 3, H, W), real floating, to maps: free channels, then Gabor channels."""
        gabor = self.block(x)
        gabor = gabor.abs() if self.twin == "cmod" else gabor
        gabor = self.gabor_norm(gabor)
        if self.bias is not None:
            gabor = gabor + self.bias.view(-1, 1, 1)
        free, gabor = self.relu(self.free_norm(self.free(x))), self.relu(gabor)
        gabor = gabor.to(free.dtype)  # under autocast
        if self.joint:
            joined: Tensor = self.pool(torch.cat([free, gabor], dim=1))
            return joined
        return torch.cat([self.pool(free), self.gabor_pool(gabor)], dim=1)

    def regularisation(self) -> Tensor:
        """The penalty of :meth:`analysis.networks.WaveletBlock.regularisation`."""
        return self.block.regularisation()
