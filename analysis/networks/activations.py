"""Activations, and what may lie between them and a convolution, by the names of torch and timm."""

from __future__ import annotations

from torch import nn

from analysis.networks.layer_access import behaves_as

ACTIVATIONS = frozenset(
    "relu relu6 gelu silu swish hardswish hswish mish hardmish prelu elu selu celu leakyrelu rrelu softplus softsign "
    "tanh hardtanh sigmoid hardsigmoid logsigmoid tanhshrink softshrink hardshrink threshold".split()
)
"""Names in small letters, without underscores."""

NORMALISATIONS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.SyncBatchNorm,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.LocalResponseNorm,
)
BETWEEN = (*NORMALISATIONS, nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.AlphaDropout)

FUNCTIONS = frozenset(
    "batchnorm groupnorm layernorm instancenorm localresponsenorm dropout dropout1d dropout2d alphadropout "
    "add sub mul div truediv neg iadd isub imul itruediv contiguous clone to float half bfloat16 double".split()
)
"""Functions and methods that keep the place of every sample, where they take one map."""


def plain(name: str) -> str:
    """Name in small letters, without underscores and the mark of an operation in place."""
    return name.lower().replace("_", "")


def is_activation(name: str) -> bool:
    """Tell if a module's class or a function of this name is an activation."""
    return plain(name) in ACTIVATIONS


def holds_activation(module: nn.Module | None) -> bool:
    """Tell if a module is a normalisation with an activation inside, as timm's BatchNormAct2d."""
    if not isinstance(module, NORMALISATIONS) or behaves_as(module, *NORMALISATIONS):
        return False
    return any(is_activation(type(child).__name__) for child in module.modules())


def passes(name: str, module: nn.Module | None) -> bool:
    """Tell if a module, or a function of this name, may lie between a convolution and its activation."""
    return plain(name) in FUNCTIONS if module is None else behaves_as(module, *BETWEEN)
