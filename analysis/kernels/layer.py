"""The record of a first layer: its kernels, and the geometry and normalisation that belong to them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.files.imagenet_statistics import IMAGENET_MEAN, IMAGENET_STD
from wavelets.checks import integer, real_array


@dataclass(frozen=True, eq=False)
class FirstLayer:
    """First convolution of a network, with the max pooling that follows it.

    Attributes
    ----------
    name : str
        For titles.
    weight : ndarray, shape (L, C, h, w), float32 or float64
        Correlation kernels V; C is 1 (luminance) or 3 (R, G, B in this order).
    stride : int
        Stride m of the convolution, pixels.
    padding : int
        Zeros round the normalised image, pixels.
    pool : int
        Side 2 q + 1 of the pooling window, positions of the stride-m grid; odd. Its stride is 2.
    pool_padding : int
        Positions by which the first window sticks out.
    mean, std : tuple of float
        Normalisation of each channel: (pixel - mean) / std, pixels in [0, 1].
    bias : ndarray, shape (L,), optional
        Added to the responses of the kernels, after `scale` where there is one.
    scale : ndarray, shape (L,), optional
        Factor of each kernel's responses: of the batch normalisation, which `bias` holds the rest of. A kernel whose
        scale is negative is pooled as its opposite.
    parameter : str
        Name of the weight in its file.
    origin : str
        Where the weights come from: an address, or a file without its folders.
    sha256 : str
        Hexadecimal digest of the file, or of the weights where there is none.

    Raises
    ------
    TypeError, ValueError
        If the weights are not finite kernels of 1 or 3 channels, all of them are zero, or a number is out of range.
    """

    name: str
    weight: NDArray[Any]
    stride: int
    padding: int = 0
    pool: int = 3
    pool_padding: int = 0
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    bias: NDArray[Any] | None = None
    scale: NDArray[Any] | None = None
    parameter: str = ""
    origin: str = ""
    sha256: str = ""

    def settings(self) -> dict[str, Any]:
        """Return all that measurements of the layer depend on, as JSON can hold it."""
        values = np.ascontiguousarray(self.weight)
        return {
            "weight_sha256": hashlib.sha256(
                f"{values.shape} {values.dtype.str}".encode() + values.tobytes()
            ).hexdigest(),
            "stride": self.stride,
            "pool": self.pool,
            "mean": list(self.mean),
            "std": list(self.std),
            "output_sha256": hashlib.sha256(np.concatenate([self.offset, self.gain]).tobytes()).hexdigest(),
        }

    def __post_init__(self) -> None:
        named = f"weight {self.parameter!r}" if self.parameter else "weight"
        weight = real_array(self.weight, named, 4)
        if weight.ndim != 4:
            raise ValueError(f"{named} has shape {weight.shape}; expected (kernels, channels, height, width)")
        if weight.shape[1] not in (1, 3):
            raise ValueError(
                f"{named} has shape {weight.shape}, {weight.shape[1]} input channels; expected 1 or 3, as of images"
            )
        if weight.shape[-2:] == (1, 1):
            raise ValueError(
                f"{named} has shape {weight.shape}: kernels of one pixel have no frequency and no phase, and so no "
                "CMod beside RMax; expected larger ones, perhaps those of a later layer of this network"
            )
        if not weight.any():
            raise ValueError(f"{named} is zero everywhere: there is no kernel to analyse")
        geometry = {
            "stride": integer("stride", self.stride, 1),
            "padding": integer("padding", self.padding, 0),
            "pool": integer("pool", self.pool, 1),
            "pool_padding": integer("pool_padding", self.pool_padding, 0, max(0, self.pool // 2)),
        }
        if self.pool % 2 == 0:
            raise ValueError(f"pool is {self.pool}; expected an odd side, whose window has a centre")
        channels = weight.shape[1]
        # ImageNet's, or its luminance where there is one channel.
        mean = self.mean if len(self.mean) else IMAGENET_MEAN if channels == 3 else (0.449,)
        std = self.std if len(self.std) else IMAGENET_STD if channels == 3 else (0.226,)
        for name, values in (("mean", mean), ("std", std)):
            if len(values) != channels or not np.isfinite(values).all():
                raise ValueError(f"{name} is {tuple(values)}; expected {channels} finite numbers, one a channel")
        if min(std) <= 0:
            raise ValueError(f"std is {tuple(std)}; expected positive numbers")
        output: dict[str, Any] = {"bias": self.bias, "scale": self.scale}
        for name, given in output.items():
            if given is not None:
                output[name] = vector = real_array(given, name, 1)
                if vector.shape != weight.shape[:1]:
                    raise ValueError(
                        f"{name} has shape {vector.shape}; expected {weight.shape[:1]}, one number a kernel"
                    )
        final = (
            geometry
            | output
            | {
                "weight": weight,
                "mean": tuple(map(float, mean)),
                "std": tuple(map(float, std)),
            }
        )
        for name, value in final.items():
            object.__setattr__(self, name, value)

    @property
    def q(self) -> int:
        """Half-width of the pooling window, positions."""
        return self.pool // 2

    @property
    def offset(self) -> NDArray[np.float64]:
        """Number added to the scaled responses of each kernel, shape (L,): the bias, or 0."""
        return np.zeros(len(self.weight)) if self.bias is None else np.asarray(self.bias, np.float64)

    @property
    def gain(self) -> NDArray[np.float64]:
        """Factor of each kernel's responses, with its sign, shape (L,): the scale, or 1."""
        return np.ones(len(self.weight)) if self.scale is None else np.asarray(self.scale, np.float64)

    @property
    def order(self) -> str:
        """Operations from pictures to the output, as far as the layer knows them, in words."""
        if self.scale is not None:
            return "convolution, batch normalisation, ReLU, max pooling"
        return f"convolution, {'no bias' if self.bias is None else 'bias'}, no batch normalisation, ReLU, max pooling"
