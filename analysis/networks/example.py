"""A small network that learns within seconds from which photograph a crop is: to try remedies on, without downloads."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from analysis.networks.metrics import resized
from analysis.runs.progress import track
from wavelets.checks import integer

Pooling = Callable[[int], nn.Module]


def small_network(
    classes: int,
    pooling: Pooling = lambda channels: nn.MaxPool2d(3, 2, 1),
    widths: Sequence[int] = (16, 32, 64),
    kernel_size: int = 5,
    stride: int = 1,
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "circular",
    seed: int = 0,
) -> nn.Sequential:
    """Convolution, ReLU and pooling for each width; then the mean over positions, and a linear layer.

    Parameters
    ----------
    classes : int
    pooling : callable
        From the number of channels to the module after each ReLU.
    widths : sequence of int
        Channels of the convolutions.
    kernel_size, stride : int
        Of the first convolution; the others are 3×3 at stride 1. The kernels are odd.
    padding_mode : str
        Of the convolutions, which pad by half a kernel.
    seed : int
        Of the weights.

    Returns
    -------
    torch.nn.Sequential
        With the layers conv1, relu1, pool1, conv2, ..., mean, linear; in training mode. All layers but the pooling are
        shift equivariant up to their strides, if the padding is circular.
    """
    layers: dict[str, nn.Module] = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        inputs, side = 3, integer("kernel_size", kernel_size, 1)
        for number, width in enumerate(widths, start=1):
            layers[f"conv{number}"] = nn.Conv2d(inputs, width, side, stride, side // 2, padding_mode=padding_mode)
            layers[f"relu{number}"] = nn.ReLU()
            layers[f"pool{number}"] = pooling(width)
            inputs, side, stride = width, 3, 1
        layers["mean"] = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        layers["linear"] = nn.Linear(inputs, classes)
    network = nn.Sequential()
    for name, layer in layers.items():
        network.add_module(name, layer)
    return network


def random_crops(
    pictures: Tensor, size: int, batch: int, seed: int = 0, smallest: int | None = None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Endless batches of crops from random places of pictures, half of them mirrored, each batch at a random scale.

    Parameters
    ----------
    pictures : Tensor, shape (N, channels, H, W), floating
    size : int
        Side of the crops, pixels.
    batch : int
        Crops of a batch.
    seed : int
        Of the choices.
    smallest : int, optional
        Least side of the windows that are resized to crops; the largest is the shorter side. By default `size`.

    Yields
    ------
    crops : Tensor, shape (batch, channels, size, size)
    source : Tensor, shape (batch,), int64
        Picture that each is from.
    """
    generator = torch.Generator().manual_seed(seed)
    height, width = pictures.shape[2:]
    least, most = integer("smallest", size if smallest is None else smallest, 1), min(height, width)
    if least > most:
        raise ValueError(f"pictures of {height}×{width} pixels are smaller than windows of {least}")

    def draw(limit: int, count: int = 1) -> Tensor:
        return torch.randint(limit, (count,), generator=generator)

    while True:
        source = draw(len(pictures), batch)
        side = least + int(draw(most - least + 1))
        corners = zip(draw(height - side + 1, batch).tolist(), draw(width - side + 1, batch).tolist(), strict=True)
        windows = [
            pictures[number, :, top : top + side, left : left + side]
            for number, (top, left) in zip(source.tolist(), corners, strict=True)
        ]
        crops = resized(torch.stack(windows), size)
        mirrored = draw(2, batch).bool()[:, None, None, None]
        yield torch.where(mirrored, crops.flip(3), crops), source


def fit(
    network: nn.Module,
    batches: Iterator[tuple[Tensor, Tensor]],
    steps: int,
    rate: float = 3e-3,
    progress: bool = True,
) -> list[float]:
    """Train a classifier by Adam, with a rate that falls to 0 as a cosine; then put it into evaluation mode.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place.
    batches : iterator of (Tensor, Tensor)
        Pictures and classes.
    steps : int
    rate : float
        Learning rate at first.
    progress : bool
        Show a progress bar.

    Returns
    -------
    list of float
        Cross-entropy of every step, nats.
    """
    network.train()
    optimiser = torch.optim.Adam(network.parameters(), rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, integer("steps", steps, 1))
    losses = []
    for _ in track(range(steps), "training", "steps", progress):
        pictures, classes = next(batches)
        loss = cross_entropy(network(pictures), classes)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    network.eval()
    return losses
