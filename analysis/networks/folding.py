"""Batch normalisations folded into the convolutions before them: the same answers, in fewer passes over the maps."""

from __future__ import annotations

import copy
from typing import TypeGuard, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from analysis.networks.layer_access import behaves_as, put
from analysis.networks.wiring import Wiring

Layer = TypeVar("Layer", bound=nn.Module)

TOLERANCE = 1e-5
"""Largest difference of answers, relative to the largest of them: rounding of float32."""


def folded(model: nn.Module, example: Tensor) -> nn.Module:
    """Copy of a network for measurements, with batch normalisations folded into the convolutions that feed them.

    A convolution is scaled and moved as the normalisation behind it would do, where that alone takes its maps; a ReLU
    module behind both then works in place.

    Parameters
    ----------
    model : torch.nn.Module
        In evaluation mode. It stays as it is.
    example : Tensor
        Input of the network, on which both must give the same answer to 1e-5.

    Returns
    -------
    torch.nn.Module
        The model itself, if there is nothing to fold, it cannot be copied, or the copy answers otherwise.
    """
    if not any(behaves_as(module, nn.BatchNorm2d) for module in model.modules()):
        return model
    try:
        copied = copy.deepcopy(model)
        if not _fold(copied):
            return model
        with torch.no_grad():
            expected, found = model(example), copied(example)
        alike = bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max())
    except Exception:  # a copy of a model, and a run of it, calls code of the user's
        return model
    return copied if alike else model


def _fold(model: nn.Module) -> int:
    """Fold in place, and count what was folded."""
    wiring, count = Wiring(model), 0
    for name, convolution in list(model.named_modules()):
        if not _plain(convolution, nn.Conv2d):
            continue
        steps = wiring.after(name)
        norm = next(steps, None)
        if norm is None or not _plain(norm.module, nn.BatchNorm2d) or not norm.module.track_running_stats:
            continue
        if wiring.call_of(norm.name) is None:
            continue
        activation = next(steps, None)
        if activation is not None and _plain(activation.module, nn.ReLU) and wiring.call_of(activation.name):
            activation.module.inplace = True
        put(model, name, fuse_conv_bn_eval(convolution, norm.module))
        put(model, norm.name, nn.Identity())
        count += 1
    return count


def _plain(module: nn.Module | None, kind: type[Layer]) -> TypeGuard[Layer]:
    """Tell if a module computes what one of torch's layers does, and nobody looks at what it is given or gives."""
    return module is not None and behaves_as(module, kind) and not (module._forward_hooks or module._forward_pre_hooks)
