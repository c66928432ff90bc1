"""Networks whose first layer is a mixture of dual-tree packets: theory.md, section 6.1."""

from networks.twins.packet_groups import PacketGroup, alexnet_groups, resnet_edge_groups, resnet_groups
from networks.twins.positions import Positions
from networks.twins.regulariser import selection_penalty
from networks.twins.stage import FirstLayer, TwinStage
from networks.twins.trainable_packets import TrainablePackets2d
from networks.twins.walexnet import WAlexNet, alexnet_stage
from networks.twins.wavelet_block import WaveletBlock
from networks.twins.wresnet import WResNet, resnet_stage

__all__ = [
    "FirstLayer",
    "PacketGroup",
    "Positions",
    "TrainablePackets2d",
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
