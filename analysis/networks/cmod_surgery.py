"""Complex first layers: a trained convolution and its max pooling become complex filters and a modulus."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from analysis.networks.layer_access import (
    CONVOLUTION,
    MAX,
    NORMALISATION,
    Change,
    behaves_as,
    checked_model,
    convolution_pads,
    dims_of,
    layer_of,
    put,
    refuse,
    told,
    tuple_of,
)
from analysis.networks.pooling import CMod
from analysis.networks.pooling._border import Pads, pooled_size
from analysis.networks.wiring import Wiring
from wavelets.checks import integer
from wavelets.complex_filters import NETWORK_GRID, filters_on_grid
from wavelets.kernel_kinds import kernel_kinds


def band_pass_channels(weight: Tensor) -> NDArray[np.bool_]:
    """Output channels whose kernels are band-pass, to which a complex modulus is suited.

    Parameters
    ----------
    weight : Tensor, shape (L, C, h, w), real
        Of a convolution.

    Returns
    -------
    ndarray, shape (L,), bool
        Those of the kind "band-pass" of :func:`wavelets.kernel_kinds.kernel_kinds`.

    Raises
    ------
    TypeError, ValueError
        If `weight` has another shape, is complex, not finite or without values.

    Notes
    -----
    Only of band-pass kernels is the modulus what the maximum approaches (theory.md, sections 3.2 and 6.1).
    """
    if weight.is_meta:
        raise ValueError("weight has no values on the device meta")
    return np.asarray(kernel_kinds(weight.detach().cpu().double().numpy()) == "band-pass")


def to_cmod(
    model: nn.Module,
    layer: str,
    *,
    pool: str | None = None,
    channels: Sequence[int] | Sequence[bool] | np.ndarray | Tensor | None = None,
    grid: int = NETWORK_GRID,
    direction: str = "auto",
    example: Tensor | None = None,
    inplace: bool = False,
) -> tuple[nn.Module, list[Change]]:
    r"""Turn a trained convolution and the max pooling after it into complex filters and a modulus, without training.

    Every kernel V becomes W = V + i H(V) by the half-plane Hilbert transform, input channel by input channel; a
    convolution of stride m and a pooling of stride s become :math:`|(X\star W)\downarrow ms|` at the centres of the
    pooling windows; bias, batch normalisation and ReLU follow the modulus; the pooling becomes the identity.

    Parameters
    ----------
    model : Module
    layer : str
        Name of the convolution, an nn.Conv1d or nn.Conv2d.
    pool : str, optional
        Name of the max pooling. Default: found by `torch.fx`. If the model cannot be traced it has to be given, and
        then only normalisation and ReLU may lie between the two.
    channels : sequence of int, or mask of bool with one value for each channel, optional
        Output channels to turn, such as :func:`analysis.networks.band_pass_channels`; the others keep their
        convolution and max pooling. Default: all.
    grid : int
        Side of the Hilbert transform's periodic grid, in sides of the kernel. Smaller than that of analyses, since the
        layer costs as much more as the square of it: see :data:`wavelets.complex_filters.GRID` for errors and costs.
    direction : {"auto", "x", "y"}
        The half-plane: along the direction in which a kernel's first colour (its first singular vector over channels)
        varies most, or along an axis. The same for all channels of a kernel.
    example : Tensor, optional
        Not needed; taken so that all remedies are called alike.
    inplace : bool
        Change the model itself, not a copy.

    Returns
    -------
    model : Module
        The state dict has complex kernels in place of the convolution's. With `channels`, those lie under ".turned"
        and the kernels of the other channels under ".free".
    changes : list of Change

    Raises
    ------
    TypeError
        If the model is no module.
    ValueError
        If the layer does not exist or cannot be turned; the message names it and says why: no convolution, dilated, or
        with a forward of its own;
        not followed by a max pooling; a pooling with an even window, which has no centre, dilated, or with indices. If
        `channels` holds no channel, one twice or one that is not there, or the convolution has groups then.

    Notes
    -----
    theory.md, sections 2, 3.6 and 6.1. Real parts of the complex responses are the convolution's, so that the modulus
    stands where the pooled maximum stood, also with padding and `ceil_mode`. A batch normalisation keeps its running
    statistics, for evaluation; where its scale is negative, kernel, bias, mean and scale change their signs, which
    changes neither the network nor the modulus. To train on, replace it by a
    :class:`analysis.networks.ModulusBatchNorm`. Device, dtype and `requires_grad` are the convolution's.

    *Free channels* are pooled before batch normalisation and ReLU, not after; in evaluation this is the same, since
    both commute with the maximum, and the channels are the plain network's. Their order stays.
    """
    integer("grid", grid, 1)
    model = checked_model(model, inplace)
    convolution = layer_of(model, layer)
    _check_convolution(layer, convolution)
    between, pool = _until_pool(model, layer, pool)
    pooling = layer_of(model, pool)
    _check_pool(layer, pool, pooling)
    turned = _turned_channels(layer, convolution, channels)
    signs = _positive_scale(model, layer, between)
    if turned.all():
        new: nn.Module = _aligned(convolution, pooling, signs, grid, direction)
    else:
        part = _part(convolution, turned, torch.ones_like(signs))
        free = _part(convolution, ~turned, signs)
        new = MixedCMod(_aligned(part, pooling, signs[turned], grid, direction), free, copy.deepcopy(pooling), turned)
    new.train(convolution.training)
    identity = nn.Identity().train(pooling.training)
    put(model, layer, new)
    put(model, pool, identity)
    changes = [Change(layer, repr(convolution), repr(new)), Change(pool, repr(pooling), repr(identity))]
    return model, changes


class AlignedCMod(CMod):
    """CMod in place of a convolution and a max pooling, on the centres of its windows and with its output size.

    Parameters
    ----------
    convolution, pool : Module
    support : tuple of int
        Size of the complex kernels, in whose middle those of the convolution stand.
    """

    # The padding follows from the size of the input.
    shown = "in_channels out_channels kernel_size stride padding_mode groups window pool_padding"

    def __init__(self, convolution: Any, pool: Any, support: tuple[int, ...]) -> None:
        dims = len(support)
        self.window = tuple_of(pool.kernel_size, dims)
        self.pool_stride = tuple_of(pool.stride, dims)
        self.pool_padding = tuple_of(pool.padding, dims)
        self.ceil_mode = pool.ceil_mode
        self.conv_kernel, self.conv_stride = tuple(convolution.kernel_size), tuple(convolution.stride)
        self.conv_pads = convolution_pads(convolution)
        stride = tuple(m * s for m, s in zip(self.conv_stride, self.pool_stride, strict=True))
        super().__init__(
            convolution.in_channels,
            convolution.out_channels,
            support,
            stride,
            padding_mode=convolution.padding_mode,
            groups=convolution.groups,
            bias=convolution.bias is not None,
            dims=dims,
        )
        self.first = tuple((n - k) // 2 for n, k in zip(support, self.conv_kernel, strict=True))

    def _pads(self, size: torch.Size) -> Pads:
        pads = []
        for axis, n in enumerate(size):
            m, s, k, p = (v[axis] for v in (self.conv_stride, self.pool_stride, self.window, self.pool_padding))
            left, right = self.conv_pads[axis]
            if n + left + right < self.conv_kernel[axis]:
                raise ValueError(f"the map has {n} samples, fewer than the kernel of {self.conv_kernel[axis]}")
            convolved = (n + left + right - self.conv_kernel[axis]) // m + 1
            count = pooled_size(convolved, k, s, (p, p), self.ceil_mode)
            if count < 1:
                raise ValueError(f"the map of {n} samples gives {convolved}, too few for a window of {k}")
            begin = left - m * ((k - 1) // 2 - p) + self.first[axis]
            pads.append((begin, (count - 1) * m * s + self.kernel_size[axis] - n - begin))
        return tuple(pads)


class MixedCMod(nn.Module):
    """CMod for some channels; convolution and max pooling for the others, which are free; channels in their order.

    Parameters
    ----------
    turned : CMod
    free, pool : Module
        Convolution of the free channels and its max pooling.
    mask : Tensor, shape (channels,), bool
        Channels that are turned.
    """

    order: Tensor

    def __init__(self, turned: CMod, free: nn.Module, pool: nn.Module, mask: Tensor) -> None:
        super().__init__()
        self.turned, self.free, self.pool = turned, free, pool
        order = torch.cat([mask.nonzero(), (~mask).nonzero()]).flatten().argsort()
        self.register_buffer("order", order, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Take maps to the moduli and the maxima, (batch, channels, spatial axes)."""
        parts = torch.cat([self.turned(x), self.pool(self.free(x))], dim=1)
        return parts.index_select(1, self.order)


def filters_of(weight: Tensor, grid: int = NETWORK_GRID, direction: str = "auto") -> NDArray[np.complex128]:
    """Complex correlation kernels W = V + i H(V) of a convolution.

    Parameters
    ----------
    weight : Tensor, shape (L, C, k) or (L, C, h, w), real
    grid, direction
        As in `to_cmod`.

    Returns
    -------
    ndarray, shape (L, C, N) or (L, C, N, N), complex128
        V stands in the middle; N = grid * max(h, w).
    """
    v = weight.detach().cpu().double().numpy()
    side = grid * max(v.shape[2:])
    if v.ndim == 4:
        return filters_on_grid(v, side, direction)
    filters: NDArray[np.complex128] = filters_on_grid(v[:, :, None], (1, side), "x")[:, :, 0]
    return filters


def _check_convolution(name: str, layer: Any) -> None:
    if not behaves_as(layer, *CONVOLUTION):
        raise ValueError(f"layer {name!r} is a {told(layer)}; expected an nn.Conv1d or nn.Conv2d")
    refuse(name, dilation=max(layer.dilation) != 1)
    if layer.weight.is_meta:
        raise ValueError(f"layer {name!r} cannot be turned: its kernels have no values on the device meta")


def _check_pool(name: str, pool: str, layer: Any) -> None:
    if not behaves_as(layer, *MAX):
        raise ValueError(f"layer {pool!r}, after {name!r}, is a {told(layer)}; expected max pooling")
    dims = dims_of(layer)
    refuse(pool, dilation=max(tuple_of(layer.dilation, dims)) != 1, return_indices=layer.return_indices)
    if any(k % 2 == 0 for k in tuple_of(layer.kernel_size, dims)):
        raise ValueError(
            f"layer {name!r} cannot be turned: the window {layer.kernel_size} of {pool!r} is even and has no centre"
        )


def _turned_channels(name: str, layer: Any, channels: Any) -> Tensor:
    """Mask of the channels to turn."""
    count = layer.out_channels
    if channels is None:
        return torch.ones(count, dtype=torch.bool, device=layer.weight.device)
    given = channels.detach().cpu().numpy() if isinstance(channels, Tensor) else np.asarray(channels)
    if given.size and given.dtype.kind not in "biu":
        raise TypeError(f"layer {name!r}: channels must be integers or a mask of bool, not {given.dtype}")
    if given.ndim != 1 or (given.dtype.kind == "b" and len(given) != count):
        raise ValueError(f"layer {name!r}: channels has shape {given.shape}; expected indices or a mask of ({count},)")
    indices = np.flatnonzero(given) if given.dtype.kind == "b" else given
    if not indices.size:
        raise ValueError(f"layer {name!r}: channels holds no channel to turn")
    if indices.min() < 0 or indices.max() >= count:
        low, high = indices.min(), indices.max()
        raise ValueError(f"layer {name!r}: channels goes from {low} to {high}; expected 0 to {count - 1}")
    if len(np.unique(indices)) < len(indices):
        raise ValueError(f"layer {name!r}: channels {indices.tolist()} holds a channel twice")
    if layer.groups > 1:
        raise ValueError(f"layer {name!r} has {layer.groups} groups, whose channels can only be turned all together")
    mask = torch.zeros(count, dtype=torch.bool, device=layer.weight.device)
    mask[torch.from_numpy(indices.astype(np.int64)).to(mask.device)] = True
    return mask


def _part(layer: Any, mask: Tensor, signs: Tensor) -> Any:
    """Convolution of some output channels, times signs."""
    make = nn.Conv1d if isinstance(layer, nn.Conv1d) else nn.Conv2d
    part: Any = make(
        layer.in_channels,
        int(mask.sum()),
        layer.kernel_size,
        layer.stride,
        layer.padding,
        layer.dilation,
        bias=layer.bias is not None,
        padding_mode=layer.padding_mode,
        device="meta",
    )
    for name, given in (("weight", layer.weight), ("bias", layer.bias)):
        if given is not None:
            values = given.detach()[mask] * signs[mask].view(-1, *(1,) * (given.ndim - 1))
            setattr(part, name, nn.Parameter(values, requires_grad=given.requires_grad))
    return part


def _aligned(layer: Any, pool: Any, signs: Tensor, grid: int, direction: str) -> AlignedCMod:
    """CMod with the kernels of a convolution; the modulus does not see their signs, the bias does."""
    filters = filters_of(layer.weight, grid, direction)
    new = AlignedCMod(layer, pool, filters.shape[2:])
    new.to(layer.weight)  # before the filters, which keep their digits in float64
    new.load_filters(filters)
    new.weight.requires_grad_(layer.weight.requires_grad)
    if new.bias is not None:
        new.bias.requires_grad_(layer.bias.requires_grad)
        with torch.no_grad():
            new.bias.copy_(layer.bias * signs)
    return new


def _until_pool(model: nn.Module, name: str, pool: str | None) -> tuple[list[str], str]:
    """Modules between a convolution and its max pooling, in order, and the name of that."""
    between: list[str] = []
    wiring = Wiring(model)
    for step in wiring.after(name):
        target, module = step.name, step.module
        if module is not None and wiring.call_of(target) is None:
            break  # it is called elsewhere too
        if isinstance(module, MAX) or (module is not None and target == pool):
            return between, target
        if behaves_as(module, *NORMALISATION, nn.ReLU, nn.Identity, nn.Dropout, nn.Dropout2d):
            between.append(target)
        elif module is None and target.rstrip("_") == "relu":
            between.append("")
        else:
            raise ValueError(
                f"layer {name!r} cannot be turned: it is followed by {target} "
                f"({told(module)}); expected at most batch normalisation and ReLU, then an nn.MaxPool1d or nn.MaxPool2d"
            )
    calls = [
        (scope, node.target) for scope, graph in wiring.scopes() for node in graph.nodes if node.op == "call_module"
    ]
    if any(f"{scope}.{target}".lstrip(".") == name for scope, target in calls):
        raise ValueError(
            f"layer {name!r} cannot be turned: it is not followed, through layers used once, by an nn.MaxPool1d or "
            "nn.MaxPool2d"
        )
    if pool is None:
        raise ValueError(f"layer {name!r}: the model cannot be traced; give the name of the max pooling as pool=...")
    return [], pool


def _positive_scale(model: nn.Module, name: str, between: list[str]) -> Tensor:
    """Make the scale of a batch normalisation positive; return the signs that the kernels have to take for it."""
    weight = layer_of(model, name).weight
    signs: Tensor = weight.new_ones(len(weight))
    after_relu = False
    for target in between:
        layer: Any = model.get_submodule(target) if target else nn.ReLU()
        after_relu |= isinstance(layer, nn.ReLU)
        if not isinstance(layer, NORMALISATION):
            continue
        if layer.running_mean is None:
            raise ValueError(f"layer {name!r} cannot be turned: {target!r} has no running statistics")
        if layer.weight is None or bool((layer.weight >= 0).all()):
            continue
        if after_relu:
            raise ValueError(f"layer {name!r} cannot be turned: {target!r} has a negative scale after a ReLU")
        with torch.no_grad():
            flip = torch.where(layer.weight < 0, -1.0, 1.0).to(layer.weight)
            layer.weight.abs_()
            layer.running_mean.mul_(flip)
            signs = signs * flip.to(signs)
    return signs
