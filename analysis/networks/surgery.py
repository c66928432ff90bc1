"""Surgery on trained networks: other pooling, complex first layers, with the weights kept and a report of changes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.nn import functional

from analysis.networks.pooling import APS, Cascade, CMod, IntraBlockPool, MaxPool
from analysis.networks.pooling._border import Pads, pooled_size
from analysis.networks.pooling._filtering import StridedFilter
from analysis.networks.site import Site, border_options
from wavelets import analytic, dominant_direction
from wavelets.checks import integer
from wavelets.hilbert import zero_padded

MAX = (nn.MaxPool1d, nn.MaxPool2d)
AVERAGE = (nn.AvgPool1d, nn.AvgPool2d)
CONVOLUTION = (nn.Conv1d, nn.Conv2d)
SUBSAMPLING = (*MAX, *AVERAGE, MaxPool, StridedFilter, APS, Cascade)
NORMALISATION = (nn.BatchNorm1d, nn.BatchNorm2d)
RELU: tuple[Any, ...] = (torch.relu, torch.relu_, functional.relu, functional.relu_, "relu", "relu_")

GRID = 2
"""Side of the grid of the Hilbert transform in sides of the kernel, unless told otherwise.

H(V) has no finite support, and a grid wraps it around. For AlexNet's band-pass kernels on photographs, grids of 1, 2
and 4 sides change the discrepancy between RMax and CMod by 1.4, 0.3 and 0.1 % in the median and 28, 7 and 0.9 % at
worst; the cost grows as the square, and at 2 is twice that of the convolution that is replaced.
"""


@dataclass(frozen=True)
class Change:
    """A row of the report: the name of a layer, what it was and what it is."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.name}: {' '.join(self.before.split())} -> {' '.join(self.after.split())}"


def replace_pooling(
    model: nn.Module,
    operator: str | Callable[..., nn.Module] | nn.Module,
    *,
    types: type | tuple[type, ...] | None = None,
    names: Sequence[str] | None = None,
    example: Tensor | None = None,
    inplace: bool = False,
    **options: Any,
) -> tuple[nn.Module, list[Change]]:
    """Replace the subsampling of a network: pooling layers and strided convolutions.

    Parameters
    ----------
    model : Module
    operator : str, callable or Module
        The name of a remedy that replaces layer by layer; or ``operator(site, **options)`` that makes a module for a
        :class:`analysis.networks.Site`; or a module, a copy of which takes every place as it is.
    types : type or tuple of types, optional
        Of the layers to replace: nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, and nn.Conv1d, nn.Conv2d for
        strided convolutions. Default: all max pooling, in a model without any all average pooling that subsamples,
        which the report says; with `names`, any.
    names : sequence of str, optional
        Names of the layers to replace, as in `named_modules`.
    example : Tensor, optional
        A batch for the model, which is run once if given: operators with parameters have to know the channels.
    inplace : bool
        Whether to change the model itself; otherwise a copy.
    **options
        For the factory, such as ``padding_mode="circular"``. Remedies by name get that of the nearest convolution with
        padding, before the layer or else after it, if it is not "zeros": they continue maps as the network does.

    Returns
    -------
    model : Module
        With all its weights. Fixed filters are not in the state dict, so that its keys stay.
    changes : list of Change
        One row for each layer.

    Raises
    ------
    TypeError
        If the model is no module or `operator` none of the above.
    ValueError
        If the remedy is unknown or does not go layer by layer; if a named layer does not exist or cannot be replaced;
        if no layer is found; if the operator has to follow a convolution itself whose weight is computed, as by
        `weight_norm`. The message names the layer.

    Notes
    -----
    The operator gives maps of the size that the layer gave, its windows on the same centres (filters with an even
    number of taps: half a sample to the right). It takes the device and the dtype of the layer's first parameter, or
    if there is none of the last parameter before the layer, or of the model's first.

    With ``padding_mode="circular"`` the same holds, and windows and filters go around the map: only where the layer's
    outputs are as many as its stride fits into the size, as nn.MaxPool2d(2) on even sizes, does the period stay whole.

    *Strided convolutions* get the stride 1. The operator follows the ReLU after them, as in Zhang's paper, if the model
    can be traced by `torch.fx` and that ReLU is a module of its own; otherwise it follows the convolution itself. The
    report tells which. *Adaptive polyphase sampling* of two branches that are added chooses in each for itself.
    """
    model = checked_model(model, inplace)
    make, label = _maker(operator, options)
    chosen = _chosen_layers(model, types, names)
    channels = _channels(model, chosen, example)
    changes = []
    graph = traced(model) if any(isinstance(layer, CONVOLUTION) for layer in chosen.values()) else None
    for name, layer in chosen.items():
        site = _site(name, layer, channels[name])
        try:
            new = make(site, _padding_mode(model, layer))
        except ValueError as error:
            raise ValueError(f"layer {name!r} cannot be replaced by {label}: {error}") from error
        new.to(**_neighbourhood(model, layer)).train(layer.training)
        if isinstance(layer, CONVOLUTION):
            before, (place, shown) = repr(layer), _behind_convolution(model, name, layer, new, graph)
            changes.append(Change(name, before, f"stride 1, then after {place}: {shown}"))
        else:
            instead = "" if names or types or isinstance(layer, MAX) else " (the model has no max pooling)"
            changes.append(Change(name, repr(layer), f"{new!r}{instead}"))
            for alias, module in list(model.named_modules(remove_duplicate=False)):
                if module is layer:
                    put(model, alias, new)
    return model, changes


def insert_intrablock(
    model: nn.Module, *, kernel_size: int = 3, names: Sequence[str] | None = None, inplace: bool = False
) -> tuple[nn.Module, list[Change]]:
    """Insert intra-block pooling: dense maxima between the convolutions of a block.

    Parameters
    ----------
    model : Module
    kernel_size : int
        Odd.
    names : sequence of str, optional
        Layers after which to pool. Default: in every tree of `nn.Sequential` with pooling layers, what stands before
        the second layer with convolutions of every block. A block is an innermost `nn.Sequential` with two such layers
        and no pooling; where there is none between two poolings, all that lies between them. A module of another kind
        that subsamples inside ends a block as a pooling does.
    inplace : bool
        Whether to change the model itself; otherwise a copy.

    Returns
    -------
    model : Module
        Keys of layers with weights after which it was inserted get ".0" into them.
    changes : list of Change

    Raises
    ------
    TypeError, ValueError
        If the model is no module, the window even, a layer does not exist, or there is no such block.
    """
    model = checked_model(model, inplace)
    places = list(names) if names is not None else _block_middles(model)
    if not places:
        raise ValueError("no block with two convolutions between pooling layers of an nn.Sequential; give names=[...]")
    changes = []
    for name in places:
        layer = layer_of(model, name)
        new = IntraBlockPool(kernel_size, dims=_dims_around(model, name)).train(layer.training)
        put(model, name, nn.Sequential(layer, new).train(layer.training))
        changes.append(Change(name, repr(layer), f"{layer!r}, then {new!r}"))
    return model, changes


def to_cmod(
    model: nn.Module,
    layer: str,
    *,
    pool: str | None = None,
    channels: Sequence[int] | Sequence[bool] | np.ndarray | Tensor | None = None,
    grid: int = GRID,
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
        Side of the Hilbert transform's periodic grid, in sides of the kernel.
    direction : {"auto", "x", "y"}
        The half-plane: along the direction in which a kernel's first colour (its first singular vector over channels)
        varies most, or along an axis. The same for all channels of a kernel.
    example : Tensor, optional
        Not needed; taken so that all remedies are called alike.
    inplace : bool
        Whether to change the model itself; otherwise a copy.

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
        If the layer does not exist or cannot be turned; the message names it and says why: no convolution, dilated;
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
        Size of the complex kernels.
    first : tuple of int
        Where in them the kernel of the convolution begins.
    """

    def __init__(self, convolution: Any, pool: Any, support: Sequence[int], first: Sequence[int]) -> None:
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
            tuple(support),
            stride,
            padding_mode=convolution.padding_mode,
            groups=convolution.groups,
            bias=convolution.bias is not None,
            dims=dims,
        )
        self.first = tuple(first)

    def extra_repr(self) -> str:
        """Return the arguments; the padding follows from the size of the input."""
        kept = super().extra_repr().split(f", padding={self.pads}")
        return f"{kept[0]}{kept[1]}, centres of windows {self.window}, padding={self.pool_padding}"

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
        Which channels are turned.
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


def hilbert_filters(weight: Tensor, grid: int = GRID, direction: str = "auto") -> tuple[np.ndarray, tuple[int, ...]]:
    """Complex correlation kernels W = V + i H(V) of real ones.

    Parameters
    ----------
    weight : Tensor, shape (L, C, k) or (L, C, h, w), real
    grid, direction
        As in `to_cmod`.

    Returns
    -------
    filters : ndarray, shape (L, C, N) or (L, C, N, N), complex
        N = grid * max(h, w).
    first : tuple of int
        Where V begins in them, on each axis: it stands in the middle.
    """
    v = weight.cpu().double().numpy()
    planar = v.ndim == 4
    if not planar:
        v = v[:, :, None]
    h, w = v.shape[-2:]
    side = grid * max(h, w)
    size = (side, side) if planar else (1, side)
    e: Any = direction
    if direction == "auto":
        # The first colour: the sum over channels is noise for kernels of opponent colours. On a finer grid, where a
        # Nyquist frequency cannot hide a direction.
        colour = first_colours(v)
        e = dominant_direction(zero_padded(colour, [4 * max(h, w)] * 2))[:, None] if planar else "x"
    first = tuple((n - k) // 2 for n, k in zip(size, (h, w), strict=True))
    filters = np.roll(analytic(v, e, size), first, axis=(-2, -1))
    return (filters, first) if planar else (filters[:, :, 0], first[1:])


def first_colours(v: np.ndarray) -> np.ndarray:
    """First singular vectors over channels of kernels (L, C, h, w), shape (L, h, w)."""
    rows: np.ndarray = np.linalg.svd(v.reshape(*v.shape[:2], -1), full_matrices=False)[2][:, 0]
    return rows.reshape(-1, *v.shape[2:])


# ---- layers ---------------------------------------------------------------------------------------------------------


def checked_model(model: Any, inplace: bool) -> nn.Module:
    """Return the model or a copy."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    return model if inplace else copy.deepcopy(model)


def layer_of(model: nn.Module, name: str) -> Any:
    """Return a layer by name."""
    try:
        if name:
            return model.get_submodule(name)
    except AttributeError:
        pass
    leaves = [n for n, m in model.named_modules() if n and not any(True for _ in m.children())]
    shown = ", ".join(leaves[:12]) + (", ..." if len(leaves) > 12 else "")
    raise ValueError(f"the model has no layer {name!r}; it has {shown}")


def put(model: nn.Module, name: str, new: nn.Module) -> None:
    """Set a layer by name."""
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, new)


def tuple_of(value: Any, dims: int) -> tuple[int, ...]:
    """An argument of a torch layer, one for each axis."""
    return tuple(value) if isinstance(value, Sequence) else (value,) * dims


def convolution_pads(layer: Any) -> Pads:
    """(left, right) of every axis."""
    if layer.padding == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    if layer.padding == "valid":
        return ((0, 0),) * len(layer.kernel_size)
    return tuple((p, p) for p in layer.padding)


def convolutions(model: nn.Module) -> list[str]:
    """Names of the convolutions, in the order of their definition."""
    names = [name for name, layer in model.named_modules() if isinstance(layer, CONVOLUTION)]
    if not names:
        raise ValueError("the model has no nn.Conv1d or nn.Conv2d layer")
    return names


# ---- replace_pooling ------------------------------------------------------------------------------------------------


def _maker(given: Any, options: dict[str, Any]) -> tuple[Callable[[Site, str], nn.Module], str]:
    """Function from a site and the padding mode around it to a module, and what to call it in messages."""
    if isinstance(given, str):
        from analysis.networks.catalogue import remedy  # which stands on this module

        factory = remedy(given).factory
        if factory is None:
            raise ValueError(f"remedy {given!r} does not go layer by layer; call networks.remedy({given!r})(model)")
        return lambda site, mode: factory(site, **(border_options(mode) | options)), repr(given)
    if isinstance(given, nn.Module):
        if options:
            raise TypeError(f"options {', '.join(options)} are for a factory; {type(given).__name__} is made already")
        return lambda site, mode: copy.deepcopy(given), type(given).__name__
    if not callable(given):
        raise TypeError(f"operator must be a remedy's name, a factory or a module, not {type(given).__name__}")

    def make(site: Site, mode: str) -> nn.Module:
        new = given(site, **options)
        if not isinstance(new, nn.Module):
            raise TypeError(f"layer {site.name!r}: the factory returned {type(new).__name__}; expected a module")
        return new

    return make, getattr(given, "__name__", type(given).__name__)


def _chosen_layers(
    model: nn.Module, types: type | tuple[type, ...] | None, names: Sequence[str] | None
) -> dict[str, nn.Module]:
    if isinstance(names, str):
        raise TypeError(f"names must be a sequence of names, not the string {names!r}")
    if names is not None:
        chosen = {name: layer_of(model, name) for name in names}
        if types is not None:
            chosen = {name: layer for name, layer in chosen.items() if isinstance(layer, types)}
        for name, layer in chosen.items():
            if not isinstance(layer, MAX + AVERAGE + CONVOLUTION):
                raise ValueError(
                    f"layer {name!r} is a {type(layer).__name__}; expected max or average pooling, or a convolution, "
                    "in one or two dimensions"
                )
            if isinstance(layer, CONVOLUTION) and not _strides(layer):
                raise ValueError(f"layer {name!r} is a convolution of stride 1 and subsamples nothing")
    else:
        known = {name: m for name, m in model.named_modules() if isinstance(m, MAX + AVERAGE) or _strides(m)}
        strided = {name: m for name, m in known.items() if _strides(m)}
        chosen = {name: m for name, m in known.items() if isinstance(m, MAX if types is None else types)}
        if not chosen and types is None:
            chosen = {name: m for name, m in strided.items() if isinstance(m, AVERAGE)}
        if not chosen and strided:
            shown = ", ".join(f"{name} ({type(m).__name__})" for name, m in list(strided.items())[:8])
            more = ", ..." if len(strided) > 8 else ""
            raise ValueError(
                f"the model has no layer inside it of types {types or MAX + AVERAGE} to replace; give names=[...] of "
                f"those that subsample: {shown}{more}"
            )
    if not chosen or "" in chosen:
        asked = f"names {list(names)}" if names is not None else f"types {types or MAX + AVERAGE}"
        raise ValueError(f"the model has no layer inside it to replace (looked for {asked})")
    return chosen


def _strides(layer: Any) -> bool:
    """Whether it is a layer that subsamples."""
    return isinstance(layer, MAX + AVERAGE + CONVOLUTION) and max(tuple_of(layer.stride, 1)) > 1


def _site(name: str, layer: Any, seen: set[int] | None) -> Site:
    """What a layer does, or refuse; with the channels that an example brought, if there was one."""
    channels, unknown = None, "pass example=a batch"
    if seen is not None:
        channels = next(iter(seen)) if len(seen) == 1 else None
        found = " and ".join(map(str, sorted(seen)))
        unknown = f"the example uses it with {found}" if seen else "the example does not reach it"
    if isinstance(layer, CONVOLUTION):
        dims = len(layer.kernel_size)
        return Site("convolution", (1,) * dims, tuple(layer.stride), (0,) * dims, layer.out_channels, False, name)
    dims = 1 if isinstance(layer, (nn.MaxPool1d, nn.AvgPool1d)) else 2
    if isinstance(layer, MAX):
        _refuse(name, dilation=max(tuple_of(layer.dilation, dims)) != 1, return_indices=layer.return_indices)
        kind = "max"
    else:
        divisor = getattr(layer, "divisor_override", None)
        _refuse(name, ceil_mode=layer.ceil_mode, divisor_override=divisor is not None)
        kind = "average"
    window, stride, padding = (tuple_of(v, dims) for v in (layer.kernel_size, layer.stride, layer.padding))
    return Site(kind, window, stride, padding, channels, kind == "max" and layer.ceil_mode, name, unknown)


def _neighbourhood(model: nn.Module, layer: nn.Module) -> dict[str, Any]:
    """Device and dtype of the layer's first parameter, else of the last one before it, else of the model's first."""
    modules = list(model.modules())
    before = [p for module in modules[: modules.index(layer)] for p in module.parameters(recurse=False)]
    near = [*list(layer.parameters())[:1], *before[-1:], *list(model.parameters())[:1]]
    return {"device": near[0].device, "dtype": near[0].dtype} if near else {}


def _padding_mode(model: nn.Module, layer: nn.Module) -> str:
    """How the last convolution up to the layer that pads continues its maps, or else the first one after it."""
    modules = list(model.modules())
    place = modules.index(layer) + 1
    near = [m for m in (*modules[:place][::-1], *modules[place:]) if isinstance(m, CONVOLUTION)]
    return next((str(m.padding_mode) for m in near if any(map(any, convolution_pads(m)))), "zeros")


def _refuse(name: str, **present: bool) -> None:
    for argument, there in present.items():
        if there:
            raise ValueError(f"layer {name!r} has {argument}, for which there is no replacement")


def _channels(model: nn.Module, chosen: dict[str, nn.Module], example: Tensor | None) -> Mapping[str, set[int] | None]:
    """Channels of the input of every layer, all that are seen on an example; None without one."""
    if example is None:
        return dict.fromkeys(chosen)
    seen: dict[str, set[int]] = {name: set() for name in chosen}

    def look(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[name].add(inputs[0].shape[1])

        return hook

    hooks = [layer.register_forward_pre_hook(look(name)) for name, layer in chosen.items()]
    modes = {module: module.training for module in model.modules()}
    try:
        model.eval()
        with torch.no_grad():
            model(example)
    finally:
        for hook in hooks:
            hook.remove()
        for module, mode in modes.items():
            module.training = mode
    return seen


class _PooledConvolution:
    """A convolution, then an operator, under the keys of the convolution."""

    def __init__(self, layer: Any, pool: nn.Module) -> None:
        super().__init__(  # type: ignore[call-arg]
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            1,
            layer.padding,
            layer.dilation,
            layer.groups,
            layer.bias is not None,
            layer.padding_mode,
            device="meta",
        )
        self.weight, self.bias, self.pool = layer.weight, layer.bias, pool

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and pool."""
        y: Tensor = self.pool(super().forward(x))  # type: ignore[misc]
        return y


class PooledConv1d(_PooledConvolution, nn.Conv1d):
    """A convolution of stride 1 and a subsampling operator."""


class PooledConv2d(_PooledConvolution, nn.Conv2d):
    """A convolution of stride 1 and a subsampling operator."""


def _behind_convolution(
    model: nn.Module, name: str, layer: Any, new: nn.Module, graph: fx.Graph | None
) -> tuple[str, str]:
    """Set the stride to 1 and put the operator behind; return the place and the operator."""
    shown = repr(new)
    for target, follower in chain_after(model, graph, name):
        if isinstance(follower, nn.ReLU):
            layer.stride = (1,) * len(layer.stride)
            put(model, target, nn.Sequential(follower, new).train(follower.training))
            return target, shown
        if not isinstance(follower, NORMALISATION):
            break
    if not isinstance(layer.weight, nn.Parameter):
        raise ValueError(
            f"layer {name!r} computes its weight (weight_norm, a parametrization or pruning); make it a parameter "
            "first, as torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight') does"
        )
    pooled = PooledConv1d if isinstance(layer, nn.Conv1d) else PooledConv2d
    put(model, name, pooled(layer, new).train(layer.training))
    return "the convolution", shown


# ---- insert_intrablock ----------------------------------------------------------------------------------------------


def _block_middles(model: nn.Module) -> list[str]:
    """Names of the layers after which to pool, in the nn.Sequential trees of a model."""
    found: dict[tuple[nn.Module, str], str] = {}  # a block in two places is one
    for name, root in model.named_modules():
        inside = bool(name) and isinstance(model.get_submodule(name.rpartition(".")[0]), nn.Sequential)
        if not isinstance(root, nn.Sequential) or inside or not _has(root, SUBSAMPLING):
            continue
        runs: list[list[tuple[str, nn.Module]]] = [[]]
        for item in _in_order(name, root):
            if _has(item[1], SUBSAMPLING):
                runs.append([])
            else:
                runs[-1].append(item)
        for place in (place for run in runs for place in _middles(run)):
            parent, _, child = place.rpartition(".")
            found.setdefault((model.get_submodule(parent), child), place)
    return list(found.values())


def _in_order(name: str, parent: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Children of an nn.Sequential in order of execution; those of an nn.Sequential that subsamples in its place."""
    for child, module in parent._modules.items():  # with those that stand twice
        path = f"{name}.{child}" if name else child
        if isinstance(module, nn.Sequential) and _has(module, SUBSAMPLING):
            yield from _in_order(path, module)
        elif module is not None:
            yield path, module


def _middles(run: list[tuple[str, nn.Module]]) -> list[str]:
    """Layers before the second one with convolutions: of each nn.Sequential in a run, or else of the run itself."""
    inner = [p for name, m in run if isinstance(m, nn.Sequential) for p in _middles(list(_in_order(name, m)))]
    units = [i for i, (_, module) in enumerate(run) if _has(module, CONVOLUTION)]
    return inner or [run[i - 1][0] for i in units[1:2]]


def _has(module: nn.Module, types: tuple[type, ...]) -> bool:
    """Whether a module is or has one of some types; pooling inside a block subsamples nothing."""
    return any(isinstance(m, types) and not isinstance(m, IntraBlockPool) for m in module.modules())


def _dims_around(model: nn.Module, name: str) -> int:
    """Spatial axes where a layer is: those of the convolutions in it, or of the model's first."""
    layers = [*layer_of(model, name).modules(), *map(model.get_submodule, convolutions(model))]
    return next(len(m.kernel_size) for m in layers if isinstance(m, CONVOLUTION))


# ---- the order of layers, by torch.fx -------------------------------------------------------------------------------


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        home = type(m).__module__
        operator = home.startswith("analysis.networks.") and not home.startswith("analysis.networks.architectures.")
        return operator or super().is_leaf_module(m, module_qualified_name)


def traced(model: nn.Module) -> fx.Graph | None:
    """Return the graph of a model, or None if it has no static one."""
    try:
        return _Tracer().trace(model)
    except Exception:  # whatever the model's own code raises when it is given a proxy
        return None


def chain_after(model: nn.Module, graph: fx.Graph | None, name: str) -> Iterator[tuple[str, nn.Module | None]]:
    """Names and modules, None for a function, that take what a layer gives, one by one.

    It ends where a module is called more than once or somebody else takes the same.
    """
    nodes = [node for node in graph.nodes if node.op == "call_module" and node.target == name] if graph else []
    while len(nodes) == 1 and len(nodes[0].users) == 1:
        (node,) = nodes[0].users
        if node.op == "output":
            return
        if node.op == "call_module" and sum(n.target == node.target for n in node.graph.nodes) > 1:
            return
        if node.op == "call_module":
            yield str(node.target), model.get_submodule(str(node.target))
        else:
            yield ("relu" if node.target in RELU else str(node.target)), None
        nodes = [node]


# ---- to_cmod --------------------------------------------------------------------------------------------------------


def _check_convolution(name: str, layer: Any) -> None:
    if not isinstance(layer, CONVOLUTION):
        raise ValueError(f"layer {name!r} is a {type(layer).__name__}; expected an nn.Conv1d or nn.Conv2d")
    _refuse(name, dilation=max(layer.dilation) != 1)
    if layer.weight.is_meta:
        raise ValueError(f"layer {name!r} cannot be turned: its kernels have no values on the device meta")


def _check_pool(name: str, pool: str, layer: Any) -> None:
    if not isinstance(layer, MAX):
        raise ValueError(f"layer {pool!r}, after {name!r}, is a {type(layer).__name__}; expected max pooling")
    dims = 1 if isinstance(layer, nn.MaxPool1d) else 2
    _refuse(pool, dilation=max(tuple_of(layer.dilation, dims)) != 1, return_indices=layer.return_indices)
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
    filters, first = hilbert_filters(layer.weight.detach(), grid, direction)
    new = AlignedCMod(layer, pool, filters.shape[2:], first)
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
    graph = traced(model)
    for target, module in chain_after(model, graph, name):
        if isinstance(module, MAX) or (module is not None and target == pool):
            return between, target
        if isinstance(module, (*NORMALISATION, nn.ReLU, nn.Identity, nn.Dropout, nn.Dropout2d)):
            between.append(target)
        elif module is None and target == "relu":
            between.append("")
        else:
            raise ValueError(
                f"layer {name!r} cannot be turned: it is followed by {target} "
                f"({type(module).__name__ if module else 'a function'}); expected at most batch normalisation and "
                "ReLU, then an nn.MaxPool1d or nn.MaxPool2d"
            )
    if graph is not None:
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
