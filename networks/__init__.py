"""Remedies against aliasing in convolutional networks, and their training; importing needs no torch, using it does.

Names are looked up when they are first used, in the modules of `HOMES`.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

HOMES = {
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
    "networks.catalogue": ["Remedy", "remedies", "remedy"],
    "networks.localisation": ["band_pass_channels"],
    "networks.site": ["Site"],
    "networks.surgery": ["Change", "insert_intrablock", "replace_pooling", "to_cmod"],
    "networks.training.data": ["load_data"],
    "networks.training.loop": ["evaluate", "train"],
    "networks.training.recipe": ["Recipe", "recipe", "recipes"],
}
"""Where every public name lives."""

__all__ = sorted(name for names in HOMES.values() for name in names)


def __getattr__(name: str) -> Any:
    for home, names in HOMES.items():
        if name in names:
            return getattr(import_module(home), name)
    raise AttributeError(f"module 'networks' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
