"""Networks, remedies against aliasing in them, and their training; importing this needs no torch, using it does.

Names are looked up when they are first used, in the modules of `HOMES`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

HOMES = {
    "analysis.networks.audio": ["LogMel", "clip_scores", "mixup", "patches"],
    "analysis.networks.pooling": [
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
    "analysis.networks.architectures": ["VGG13", "VGG41", "VGG42", "AlexNet", "DenseNet", "ResNet"],
    "analysis.networks.catalogue": ["Remedy", "remedies", "remedy"],
    "analysis.networks.localisation": ["band_pass_channels"],
    "analysis.networks.registry": ["create", "describe", "list"],
    "analysis.networks.site": ["Site"],
    "analysis.networks.surgery": ["Change", "insert_intrablock", "replace_pooling", "to_cmod"],
    "analysis.networks.twins": [
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
    "analysis.networks.weights": ["LoadReport", "load_weights"],
    "analysis.networks.training.data": ["load_data"],
    "analysis.networks.training.loop": ["evaluate"],
    "analysis.networks.training.orchestration": ["train_network"],
    "analysis.networks.training.recipe": ["Recipe", "recipe", "recipes"],
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
