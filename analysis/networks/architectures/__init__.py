"""The networks of the documents, their subsampling operators an argument.

A `pooling` is the name of an operator or a factory: see :func:`analysis.networks.pooling_argument.pooling_at`.
"""

from analysis.networks.architectures.alexnet import AlexNet
from analysis.networks.architectures.densenet import DenseNet
from analysis.networks.architectures.resnet import ResNet
from analysis.networks.architectures.small_resnet import SmallResNet
from analysis.networks.architectures.sound import VGG41, VGG42
from analysis.networks.architectures.vgg import VGG13

__all__ = ["VGG13", "VGG41", "VGG42", "AlexNet", "DenseNet", "ResNet", "SmallResNet"]
