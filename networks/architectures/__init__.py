"""The networks of the documents; what subsamples in them is an argument.

A `pooling` is the name of an operator or a factory: see :func:`networks.downsampling.pooling_at`.
"""

from networks.architectures.alexnet import AlexNet
from networks.architectures.densenet import DenseNet
from networks.architectures.resnet import ResNet
from networks.architectures.sound import VGG41, VGG42
from networks.architectures.vgg import VGG13

__all__ = ["VGG13", "VGG41", "VGG42", "AlexNet", "DenseNet", "ResNet"]
