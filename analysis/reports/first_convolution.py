"""First convolution of a network, as the kernel analysis takes it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from analysis.kernels.layer import FirstLayer
from analysis.networks.layer_access import behaves_as
from analysis.networks.loading import LoadedNetwork, Preprocess
from analysis.networks.place import Place


def first_convolution(loaded: LoadedNetwork, places: Sequence[Place]) -> FirstLayer | None:
    """Return the first place of a network, if that is a convolution of pictures whose kernels can be analysed.

    Parameters
    ----------
    loaded : LoadedNetwork
    places : sequence of Place
        Of :func:`analysis.networks.place.places`.

    Returns
    -------
    FirstLayer or None
        None if the first place is no plain convolution of the three channels of the input, or one of single pixels, its
        stride is not square, or the input is prepared by something else than an order, a mean and a standard deviation
        of the channels.
    """
    place = places[0]
    layer = loaded.model.get_submodule(place.module)
    if not behaves_as(layer, nn.Conv2d) or place.stride != place.total_stride or place.stride[0] != place.stride[1]:
        return None
    assert isinstance(layer, nn.Conv2d)
    if layer.in_channels != 3 or layer.kernel_size == (1, 1) or layer.groups != 1 or layer.dilation != (1, 1):
        return None
    found = normalisation_of(loaded.preprocess, loaded.size)
    if found is None:
        return None
    order, mean, std = found
    pool = 3
    if len(places) > 1 and places[1].kind == "max pooling" and places[1].kernel and places[1].kernel[0] % 2:
        pool = places[1].kernel[0]
    weight = layer.weight.detach().cpu().float().numpy()
    rgb = np.empty_like(weight)
    rgb[:, order] = weight
    return FirstLayer(
        f"{loaded.name}, {place.name}",
        rgb,
        int(place.stride[0]),
        pool=pool,
        mean=mean[np.argsort(order)].tolist(),
        std=std[np.argsort(order)].tolist(),
        parameter=f"{place.module}.weight",
        origin=loaded.name,
    )


def normalisation_of(
    preprocess: Preprocess | None, size: int
) -> tuple[list[int], NDArray[np.float64], NDArray[np.float64]] | None:
    """Order, means and standard deviations by which R, G, B in [0, 1] become the input of a network.

    Returns
    -------
    tuple or None
        For each channel of the input which colour it is, and its mean and standard deviation for values in [0, 1]; None
        if the input is something else.
    """
    if preprocess is None:
        return [0, 1, 2], np.zeros(3), np.ones(3)
    generator = torch.Generator().manual_seed(0)
    probes = [torch.zeros(1, 3, size, size), torch.rand((1, 3, size, size), generator=generator)]
    black, noise = (preprocess(probe) for probe in probes)
    if black.shape != probes[0].shape:
        return None
    order, mean, std = [], np.empty(3), np.empty(3)
    for channel in range(3):
        offset, difference = black[0, channel, 0, 0], (noise - black)[0, channel]
        fits = [_scale(difference, colour) for colour in probes[1][0]]
        found = [(colour, scale) for colour, scale in enumerate(fits) if scale is not None]
        if len(found) != 1:
            return None
        colour, scale = found[0]
        order.append(colour)
        mean[channel], std[channel] = -float(offset) / scale, 1 / scale
    return (order, mean, std) if sorted(order) == [0, 1, 2] else None


def _scale(difference: Tensor, colour: Tensor) -> float | None:
    """Positive factor between two channels, if there is one."""
    scale = float((difference * colour).sum() / colour.square().sum())
    exact = torch.allclose(difference, scale * colour, rtol=1e-3, atol=1e-3 * abs(scale))
    return scale if scale > 0 and exact else None
