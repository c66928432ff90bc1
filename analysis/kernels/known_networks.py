"""Known networks: where their weights are published, and the geometry of their first layer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis.files.downloads import downloaded
from analysis.files.imagenet_statistics import CAFFE_MEAN, IMAGENET_MEAN, IMAGENET_STD

_ADDRESS = "https://download.pytorch.org/models/"


@dataclass(frozen=True)
class KnownLayer:
    """First layer of a published network.

    Attributes
    ----------
    url : str or None
        Address of the checkpoint; None if it is known by its geometry only.
    sha256 : str
        Hexadecimal digest of the checkpoint, or as much of it as is published (the file's name holds 8 digits).
    weight : str
        Name of the weight in the checkpoint.
    stride, padding : int
        Of the convolution, pixels.
    pool_padding : int
        Positions by which the first pooling window sticks out.
    pool : int
        Side of the pooling window, positions; its stride is 2.
    channels : str
        Order of the weight's channels, ``"RGB"`` or ``"BGR"``.
    mean, std : tuple of float
        Normalisation (pixel - mean) / std of R, G, B, pixels in [0, 1].
    """

    url: str | None
    sha256: str
    weight: str
    stride: int
    padding: int
    pool_padding: int
    pool: int = 3
    channels: str = "RGB"
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


# File, weight, and stride, padding and pool_padding of the networks that torchvision publishes.
_PUBLISHED = {
    "alexnet": ("alexnet-owt-7be5be79.pth", "features.0.weight", 4, 2, 0),
    "densenet121": ("densenet121-a639ec97.pth", "features.conv0.weight", 2, 3, 1),
    "googlenet": ("googlenet-1378be20.pth", "conv1.conv.weight", 2, 3, 0),
    "resnet18": ("resnet18-f37072fd.pth", "conv1.weight", 2, 3, 1),
    "resnet34": ("resnet34-b627a593.pth", "conv1.weight", 2, 3, 1),
    "resnet50": ("resnet50-0676ba61.pth", "conv1.weight", 2, 3, 1),
    "squeezenet1_0": ("squeezenet1_0-b66bff10.pth", "features.0.weight", 2, 0, 0),
    "squeezenet1_1": ("squeezenet1_1-b8a52dc0.pth", "features.0.weight", 2, 0, 0),
}
# Whole digests, where they are known: a file's name holds the first eight digits.
_DIGESTS = {
    "alexnet": "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
    "resnet18": "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
    "resnet50": "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
}
# Otherwise ImageNet's; GoogLeNet turns that into this one by itself.
_NORMALISATION: dict[str, dict[str, Any]] = {"googlenet": {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}}


def _known_layers() -> dict[str, KnownLayer]:
    known = {}
    for name, (file, weight, stride, padding, pool_padding) in _PUBLISHED.items():
        digest = _DIGESTS.get(name, file.removesuffix(".pth").rpartition("-")[2])
        normalisation = _NORMALISATION.get(name, {})
        known[name] = KnownLayer(_ADDRESS + file, digest, weight, stride, padding, pool_padding, **normalisation)
    known["caffenet"] = KnownLayer(
        url=None,
        sha256="",
        weight="conv1.weight",
        stride=4,
        padding=0,
        pool_padding=0,
        channels="BGR",
        mean=tuple(value / 255 for value in CAFFE_MEAN),  # it was trained on pixels from 0 to 255
        std=(1 / 255, 1 / 255, 1 / 255),
    )
    return dict(sorted(known.items()))


NETWORKS = _known_layers()
"""First layers by the names of their networks."""


def fetch(network: KnownLayer, cache: str | os.PathLike[str] | None = None, progress: bool = True) -> Path:
    """Checkpoint of a network in the user's cache, downloaded if it is not there, and verified in either case.

    Parameters
    ----------
    network : KnownLayer
    cache : path, optional
        Folder; by default that of the environment variable SHIFTSCOPE_CACHE, or else the system's for this user.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path

    Raises
    ------
    OSError
        If it cannot be downloaded, or the folder cannot be written to.
    ValueError
        If the network has no address, or the file another SHA-256; it is removed then.
    """
    import pooch

    if network.url is None:
        raise ValueError("no address is known for the weights of this network")
    folder = cache or os.environ.get("SHIFTSCOPE_CACHE") or pooch.os_cache("shiftscope")
    return downloaded(network.url, folder, network.sha256, progress=progress)
