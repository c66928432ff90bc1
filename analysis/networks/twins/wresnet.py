"""WResNet: ResNet with packets for 24 of its first channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from analysis.networks.architectures.resnet import ResNet
from analysis.networks.pooling_argument import Pooling
from analysis.networks.twins.packet_groups import resnet_groups
from analysis.networks.twins.stage import TwinLayer, TwinStage

LAYER = TwinLayer(
    kernel_size=7,
    stride=2,
    padding=3,
    pool_padding=1,
    early_blur=False,
    normalised=True,
    free=40,
    levels=2,
    luminance=(0.9802, 1.3060, 0.7138),
)


def resnet_stage(twin: str = "rmax", pooling: Pooling = "max", **options: Any) -> TwinStage:
    """First stage of a WResNet, options as of :class:`analysis.networks.TwinStage`, with the published groups."""
    return TwinStage(LAYER, **{"groups": resnet_groups(), **options}, twin=twin, pooling=pooling)


class WResNet(ResNet):
    """ResNet with 40 free channels and 24 multiples of 16 packets, J = 2, in the first layer.

    Parameters
    ----------
    blocks : sequence of int
        As in :class:`analysis.networks.ResNet`: (2, 2, 2, 2) for WResNet-18, (3, 4, 6, 3) for WResNet-34.
    classes : int
    twin : {"rmax", "cmod"}
        Max pooling after the packets, or complex packets and the modulus.
    pooling
        As in :class:`analysis.networks.ResNet`. The Gabor channels of a CMod twin have no pooling.
    width
        As in :class:`analysis.networks.ResNet`.
    **options
        `gabor_pooling`, `groups`, `luminance`, `filters`, `trainable`: see :class:`analysis.networks.TwinStage`.

    Notes
    -----
    Leterme et al.; theory.md, section 6.1: 21,794,171 parameters for WResNet-34 with 1000 classes.
    """

    def __init__(
        self,
        blocks: Sequence[int] = (3, 4, 6, 3),
        classes: int = 1000,
        twin: str = "rmax",
        pooling: Pooling = "max",
        *,
        width: float = 1.0,
        **options: Any,
    ) -> None:
        super().__init__(blocks, classes, pooling, first=resnet_stage(twin, pooling, **options), width=width)

    @property
    def stage(self) -> TwinStage:
        """The first stage."""
        assert isinstance(self.first, TwinStage)
        return self.first

    def regularisation(self) -> Tensor:
        """Term that training adds to the loss; 0 with the published groups, whose outputs have one packet each."""
        return self.stage.regularisation()
