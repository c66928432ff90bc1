"""Networks, remedies against aliasing in them, and their training; importing this needs no torch, using it does.

Names are looked up in their modules when they are first used.
"""

from __future__ import annotations

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "architectures": ["VGG13", "VGG41", "VGG42", "AlexNet", "DenseNet", "ResNet", "SmallResNet"],
        "audio": ["LogMel", "clip_scores", "mixup", "patches"],
        "cmod_surgery": ["band_pass_channels", "to_cmod"],
        "circular_borders": ["circular_borders"],
        "intrablock_pooling": ["insert_intrablock"],
        "layer_access": ["Change"],
        "place": ["Place", "places"],
        "pooling": [
            "APS",
            "TLPF",
            "AdaptiveBlurPool",
            "BlurPool",
            "CMod",
            "Cascade",
            "IdealPool",
            "IntraBlockPool",
            "MaxBlurPool",
            "MaxPool",
            "ModulusBatchNorm",
        ],
        "network_registry": ["create", "describe"],
        "remedy_table": ["Remedy", "remedies", "remedy"],
        "site": ["Site"],
        "surgery": ["replace_pooling"],
        "training.data": ["load_data"],
        "training.loop": ["evaluate"],
        "training.orchestration": ["train_network"],
        "training.recipe": ["Recipe", "recipe", "recipes"],
        "twins": [
            "PacketGroup",
            "Positions",
            "TrainablePackets2d",
            "TwinLayer",
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
        "weights": ["LoadReport", "load_weights"],
    },
)


def list() -> tuple[str, ...]:  # not in __all__: `import *` would hide Python's own
    """Names of all networks that :func:`create` builds."""
    from analysis.networks.network_registry import names

    return names()
