"""WAlexNet: AlexNet with a mixture of packets for half of its first channels."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from analysis.networks.architectures.alexnet import LEAST, AlexNet
from analysis.networks.pooling_argument import Pooling
from analysis.networks.twins.packet_groups import alexnet_groups
from analysis.networks.twins.stage import TwinLayer, TwinStage

LAYER = TwinLayer(
    kernel_size=11,
    stride=4,
    padding=2,
    pool_padding=0,
    early_blur=True,
    normalised=False,
    free=32,
    levels=3,
    luminance=(1.0036, 1.1630, 0.8334),
)


def alexnet_stage(twin: str = "rmax", pooling: Pooling = "max", **options: Any) -> TwinStage:
    """First stage of a WAlexNet, options as of :class:`analysis.networks.TwinStage`, with the published groups."""
    return TwinStage(LAYER, **{"groups": alexnet_groups(), **options}, twin=twin, pooling=pooling)


class WAlexNet(AlexNet):
    """AlexNet with 32 free channels and 32 mixtures of 94 packets, J = 3, in the first layer.

    Parameters
    ----------
    classes : int
    twin : {"rmax", "cmod"}
        Max pooling after the mixtures, or complex mixtures and the modulus.
    pooling, dropout
        As in :class:`analysis.networks.AlexNet`. The Gabor channels of a CMod twin have no pooling.
    **options
        `gabor_pooling`, `groups`, `luminance`, `filters`, `trainable`: see :class:`analysis.networks.TwinStage`.

    Notes
    -----
    Leterme et al.; theory.md, section 6.1: 61,089,433 parameters for 1000 classes.
    """

    def __init__(
        self,
        classes: int = 1000,
        twin: str = "rmax",
        pooling: Pooling = "max",
        *,
        dropout: float = 0.5,
        **options: Any,
    ) -> None:
        super().__init__(classes, pooling, first=alexnet_stage(twin, pooling, **options), dropout=dropout)
        self.least = LEAST

    @property
    def stage(self) -> TwinStage:
        """The first stage."""
        stage = self.features[0]
        assert isinstance(stage, TwinStage)
        return stage

    def regularisation(self) -> Tensor:
        """Term that training adds to the loss, so that every Gabor channel selects a packet."""
        return self.stage.regularisation()
