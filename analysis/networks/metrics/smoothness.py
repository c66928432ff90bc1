"""Smoothness of kernels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from analysis.networks.layer_access import behaves_as
from analysis.networks.metrics.checks import finite
from analysis.networks.surgery import PooledConv2d


def total_variation(weight: Tensor) -> float:
    r"""Normalised total variation of the kernels of a layer: lower is smoother.

    Parameters
    ----------
    weight : Tensor, shape (L, C, h, w)

    Returns
    -------
    float
        Mean over the L filters of :math:`\mathrm{TV}(w)/\|w\|_1`, where
        :math:`\mathrm{TV}=\sum|w_{i+1,j}-w_{ij}|+|w_{i,j+1}-w_{ij}|`, both summed over the C channels too. Filters that
        are zero are left out; NaN if all are. From 0 (constant) to 4. theory.md, section 7.1, metric 6.

    Raises
    ------
    TypeError, ValueError
        If the shape is another, or the weight is complex or holds NaN or infinity.
    """
    weight = finite(weight, "weight", 4, "(L, C, h, w)")
    size = weight.abs().sum((1, 2, 3))
    variation = weight.diff(dim=2).abs().sum((1, 2, 3)) + weight.diff(dim=3).abs().sum((1, 2, 3))
    return float((variation / size)[size > 0].mean())


def kernel_variation(model: nn.Module) -> dict[str, float]:
    """:func:`total_variation` of every 2-D convolution with kernels larger than one pixel.

    A convolution with a forward of its own, which may change its kernels, is left out.

    Parameters
    ----------
    model : torch.nn.Module

    Returns
    -------
    dict of str to float
        By the name of the module, in the order of the model.
    """
    with torch.no_grad():
        return {
            name: total_variation(module.weight)
            for name, module in model.named_modules()
            if behaves_as(module, nn.Conv2d, PooledConv2d)
            and max(module.kernel_size) > 1
            and not module.weight.is_complex()
        }
