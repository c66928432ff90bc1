"""Networks whose first layer is a mixture of dual-tree packets: theory.md, section 6.1."""

from analysis.networks.twins.packet_groups import PacketGroup, alexnet_groups, resnet_edge_groups, resnet_groups
from analysis.networks.twins.positions import Positions
from analysis.networks.twins.regulariser import selection_penalty
from analysis.networks.twins.stage import TwinLayer, TwinStage
from analysis.networks.twins.trainable_packets import TrainablePackets2d
from analysis.networks.twins.walexnet import WAlexNet, alexnet_stage
from analysis.networks.twins.wavelet_block import WaveletBlock
from analysis.networks.twins.wresnet import WResNet, resnet_stage

__all__ = [
    "PacketGroup",
    "Positions",
    "TrainablePackets2d",
    "TwinLayer",
    "TwinStage",
    "WAlexNet",
    "WResNet",
    "WaveletBlock",
    "alexnet_groups",
    "alexnet_stage",
    "resnet_edge_groups",
    "resnet_groups",
    "resnet_stage",
    "selection_penalty",
]
