"""Networks, remedies against aliasing in them, and their training; importing this needs no torch, using it does.

Names are looked up when they are first used, in the modules of `HOMES`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

HOMES = {
    "networks.audio": ["LogMel", "clip_scores", "mixup", "patches"],
    "networks.pooling": [
        "APS",
        "TLPF",
        "AdaptiveBlurPool",
        "BlurPool",
        "CMod",
        "Cascade",
        "IntraBlockPool",
        "MaxBlurPool",
        "MaxPool",
        "ModulusBatchNorm",
    ],
    "networks.architectures": ["VGG13", "VGG41", "VGG42", "AlexNet", "DenseNet", "ResNet"],
    "networks.catalogue": ["Remedy", "remedies", "remedy"],
    "networks.localisation": ["band_pass_channels"],
    "networks.registry": ["create", "describe", "list"],
    "networks.site": ["Site"],
    "networks.surgery": ["Change", "insert_intrablock", "replace_pooling", "to_cmod"],
    "networks.twins": [
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
    ],
    "networks.weights": ["LoadReport", "load_weights"],
    "networks.training.data": ["load_data"],
    "networks.training.loop": ["evaluate", "train"],
    "networks.training.recipe": ["Recipe", "recipe", "recipes"],
}
"""Where every public name lives."""

__all__ = sorted({name for names in HOMES.values() for name in names} - {"list"})  # `import *` would hide Python's own


def __getattr__(name: str) -> Any:
    for home, names in HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'networks' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
