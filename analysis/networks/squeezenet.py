"""SqueezeNet 1.0 in the form of Caffe: a complete ImageNet classifier that is small enough to measure on a CPU."""

from __future__ import annotations

import os
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from analysis.files.imagenet_statistics import CAFFE_MEAN
from analysis.files.messages import printable
from analysis.files.weights import read_weights
from analysis.networks.weights import load_weights

SIZE = 227
"""Side of the input, pixels."""

BGR_MEAN = CAFFE_MEAN[::-1]
"""Subtracted from the channels B, G, R, on the scale 0 to 255."""


class Fire(nn.Module):
    """A 1×1 squeeze, then 1×1 and 3×3 convolutions side by side, concatenated in that order.

    Parameters
    ----------
    inputs, squeeze, expand : int
        Channels that come in, of the squeeze, and of each of the two expansions.
    """

    def __init__(self, inputs: int, squeeze: int, expand: int) -> None:
        super().__init__()
        self.conv1x1_1 = nn.Conv2d(inputs, squeeze, 1)
        self.conv1x1_2 = nn.Conv2d(squeeze, expand, 1)
        self.conv3x3_2 = nn.Conv2d(squeeze, expand, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Features, shape (N, 2 expand, H, W), of x, shape (N, inputs, H, W)."""
        x = self.conv1x1_1(x).relu()
        return torch.cat((self.conv1x1_2(x).relu(), self.conv3x3_2(x).relu()), 1)


class SqueezeNet(nn.Module):
    """SqueezeNet 1.0: convolution, eight fire modules, convolution to the classes, global average.

    The pooling layers are modules of their own, ``pool1``, ``pool4`` and ``pool8`` (3/2, ceil mode), so that they can
    be replaced. Input: B, G, R, 0 to 255 minus :data:`BGR_MEAN`, see :func:`preprocess`. Source: Iandola et al. 2016.

    Parameters
    ----------
    classes : int
    """

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 7, stride=2)
        self.relu1 = nn.ReLU()
        self.pool1 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.fire2 = Fire(96, 16, 64)
        self.fire3 = Fire(128, 16, 64)
        self.fire4 = Fire(128, 32, 128)
        self.pool4 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.fire5 = Fire(256, 32, 128)
        self.fire6 = Fire(256, 48, 192)
        self.fire7 = Fire(384, 48, 192)
        self.fire8 = Fire(384, 64, 256)
        self.pool8 = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.fire9 = Fire(512, 64, 256)
        self.conv_final = nn.Conv2d(512, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Scores.

        Parameters
        ----------
        x : Tensor, shape (N, 3, H, W)
            227×227 as published; any side from 31 works.

        Returns
        -------
        Tensor, shape (N, classes)
            Logits; none is negative, since they are averages after a ReLU.
        """
        x = self.pool1(self.relu1(self.conv1(x)))
        x = self.pool4(self.fire4(self.fire3(self.fire2(x))))
        x = self.pool8(self.fire8(self.fire7(self.fire6(self.fire5(x)))))
        scores: Tensor = self.conv_final(self.fire9(x)).relu().mean((2, 3))
        return scores


def load_squeezenet(path: str | os.PathLike[str]) -> SqueezeNet:
    """SqueezeNet with the weights of a file, in evaluation mode.

    Parameters
    ----------
    path : path
        Usually an .npz with arrays ``conv1.weight``, ``fire2/conv1x1_1.bias`` and so on: the names of the Caffe model.

    Returns
    -------
    SqueezeNet

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it cannot be read, or an array is missing, unknown, there twice, of another shape, or not finite in float32.
    """
    model = SqueezeNet()
    weights: dict[str, Any] = {}
    for name, array in read_weights(path).items():
        if weights.setdefault(name.replace("/", "."), array) is not array:
            raise ValueError(f"{printable(path)} has the array {name!r} twice, with a slash and with a dot")
    try:
        load_weights(model, weights)
    except ValueError as error:
        raise ValueError(f"{printable(path)} holds no weights of SqueezeNet 1.0: {error}") from error
    return model.eval()


def preprocess(pictures: Tensor, size: int | None = None) -> Tensor:
    """Input of SqueezeNet from pictures.

    Parameters
    ----------
    pictures : Tensor, shape (N, 3, H, W), floating
        R, G, B in [0, 1].
    size : int, optional
        Resize to this side first (bilinear, antialiased); by default the size stays.

    Returns
    -------
    Tensor, shape (N, 3, size, size) or (N, 3, H, W)
        B, G, R, 0 to 255, minus :data:`BGR_MEAN`.

    Raises
    ------
    ValueError
        If the shape is another, or values lie outside [0, 1].
    """
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not pictures.is_floating_point():
        raise ValueError(f"pictures are {pictures.dtype} {tuple(pictures.shape)}; expected floats of (N, 3, H, W)")
    if pictures.numel():
        least, most = (value.item() for value in pictures.aminmax())
        if not (least >= -1e-3 and most <= 1 + 1e-3):  # resizing overshoots by rounding
            raise ValueError(f"pictures range from {least:g} to {most:g}; expected R, G, B in [0, 1]")
    if size is not None and pictures.shape[2:] != (size, size):
        pictures = interpolate(pictures, (size, size), mode="bilinear", antialias=True)
    return 255 * pictures.flip(1) - pictures.new_tensor(BGR_MEAN)[:, None, None]
