"""Start of a complex modulus in a trained network: mean and spread of each channel as the maximum had them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from analysis.heal.losses import Maps
from analysis.heal.student import passed
from analysis.networks.cmod_surgery import MixedCMod
from analysis.networks.layer_access import MAX, NORMALISATION
from analysis.networks.pooling import CMod


@torch.no_grad()
def match_moments(plain: nn.Module, remedied: nn.Module, pictures: Tensor) -> int:
    """Scale and move each modulus so that its mean and variance on pictures are those of the maximum before it.

    Measured, not predicted: the factor and the offset that make the moments equal on these pictures.

    Parameters
    ----------
    plain : Module
        In evaluation mode.
    remedied : Module
        The same network after :func:`analysis.networks.to_cmod`; kernels, and biases or running means of the batch
        normalisation behind them, are changed in place.
    pictures : Tensor
        A batch for both.

    Returns
    -------
    int
        Channels that were matched; 0 if the network has no modulus.
    """
    count = 0
    for name, module in list(remedied.named_modules()):
        cmod = module.turned if isinstance(module, MixedCMod) else module
        if isinstance(cmod, CMod) and not name.endswith(".turned"):
            count += _match(plain, remedied, pictures, name, cmod, module)
    return count


def _match(plain: nn.Module, remedied: nn.Module, pictures: Tensor, name: str, cmod: CMod, module: nn.Module) -> int:
    order = [n for n, _ in passed(plain, pictures[:1])]
    later: dict[str, Any] = {n: plain.get_submodule(n) for n in order[order.index(name) + 1 :]}
    pool = next(m for m in later.values() if isinstance(m, MAX))
    upto = list(later.values()).index(pool)
    norm = next((n for n, m in list(later.items())[:upto] if isinstance(m, NORMALISATION)), None)
    maps = Maps(plain, [name]), Maps(remedied, [name])
    plain(pictures)
    remedied(pictures)
    for each in maps:
        each.close()
    maximum, modulus = (each.found[name].transpose(0, 1) for each in maps)
    if norm is not None:  # where its scale is negative, surgery turned kernels and scale round
        signs = later[norm].weight.sign()
        maximum = maximum * signs.view(-1, *(1,) * (maximum.ndim - 1))
    maximum = pool(maximum.transpose(0, 1)).transpose(0, 1)
    channels = torch.arange(len(maximum), device=maximum.device)
    if isinstance(module, MixedCMod):
        channels = module.order.argsort()[: cmod.out_channels]
    (wanted, spread), (mean, size) = (_moments(maps[channels]) for maps in (maximum, modulus))
    bias = torch.zeros_like(mean) if cmod.bias is None else cmod.bias
    factor = torch.where(size > 1e-12, spread / size.clamp_min(1e-12), 1.0)
    offset = wanted - factor * (mean - bias)  # the modulus itself is what came out without the bias
    cmod.weight.mul_(factor.view(-1, *(1,) * (cmod.weight.ndim - 1)))
    if cmod.bias is not None:
        cmod.bias.copy_(offset)
    elif norm is not None:
        statistics: Any = remedied.get_submodule(norm)
        statistics.running_mean[channels] -= offset
    return len(channels)


def _moments(maps: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of maps (channels, batch, ...)."""
    values = maps.flatten(1).double()
    return values.mean(1).float(), values.std(1).float()
