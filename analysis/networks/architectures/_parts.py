"""Parts that several networks share: the check of their input, and the start of their weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from torch import Tensor, fx, nn

from analysis.networks.checks import floating_maps
from wavelets.checks import positive

PICTURES = "(N, 3, H, W)"


def checked_input(given: object, network: str, channels: int = 3, least: int = 1, shape: str = PICTURES) -> Tensor:
    """Return maps of so many channels, at least `least` samples high and wide.

    When torch.fx traces a network, as surgery does, the check becomes one call in its graph.
    """
    if isinstance(given, fx.Proxy):
        traced: Any = given.tracer.create_proxy(
            "call_function", checked_input, (given, network, channels, least, shape), {}
        )
        return cast(Tensor, traced)
    x = floating_maps(given, network, channels, shape)
    if min(x.shape[2:]) < least:
        raise ValueError(f"{network} takes maps from {least}×{least} on, {shape}; got shape {tuple(x.shape)}")
    return x


def scaled(widths: Sequence[int], factor: float) -> list[int]:
    """Widths of a network that is narrower or wider, at least one channel each."""
    positive("width", factor)
    return [max(1, round(factor * width)) for width in widths]


def start_kaiming(module: nn.Module) -> None:
    """Start convolutions by Kaiming's rule for what goes out, with bias 0."""
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
