"""Other pooling in trained networks, with the weights kept and a report of changes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from analysis.files.messages import unknown
from analysis.networks.graph import chain_after, traced
from analysis.networks.layers import (
    AVERAGE,
    CONVOLUTION,
    MAX,
    NORMALISATION,
    Change,
    behaves_as,
    checked_model,
    convolution_pads,
    dims_of,
    evaluating,
    layer_of,
    put,
    refuse,
    told,
    tuple_of,
)
from analysis.networks.operators import OPERATORS, WHOLE_NETWORK
from analysis.networks.site import Site, border_options

POOLING = (*MAX, *AVERAGE)
KNOWN = (*POOLING, *CONVOLUTION)


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
        A name of :data:`analysis.networks.operators.OPERATORS`, which starts as a binomial filter if it is trainable;
        or ``operator(site, **options)`` that makes a module for a :class:`analysis.networks.Site`; or a module, a copy
        of which takes every place as it is.
    types : type or tuple of types, optional
        Of the layers to replace: nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, and nn.Conv1d, nn.Conv2d for
        strided convolutions. Default: all max pooling, in a model without any all average pooling that subsamples,
        which the report says; with `names`, any. Subclasses with a forward of their own are left alone.
    names : sequence of str, optional
        Names of the layers to replace, as in `named_modules`.
    example : Tensor, optional
        A batch for the model, which is run once if given: operators with parameters have to know the channels.
    inplace : bool
        Change the model itself, not a copy.
    **options
        For the factory, such as ``padding_mode="circular"``. Operators by name get that of the nearest convolution with
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
        If the operator is unknown, or a remedy that does not go layer by layer; if a named layer does not exist, has a
        forward of its own or cannot be replaced; if no layer is found; if the operator has to follow a convolution
        itself whose weight is computed, as by `weight_norm`. The message names the layer.

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


def _maker(given: Any, options: dict[str, Any]) -> tuple[Callable[[Site, str], nn.Module], str]:
    """Function from a site and the padding mode around it to a module, and its name for messages."""
    if isinstance(given, str):
        if given in WHOLE_NETWORK:
            raise ValueError(f"remedy {given!r} does not go layer by layer; call networks.remedy({given!r})(model)")
        if given not in OPERATORS:
            raise ValueError(unknown("operator", given, [*OPERATORS, *WHOLE_NETWORK]))
        factory = OPERATORS[given].factory(init="binomial")
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
            if not behaves_as(layer, *KNOWN):
                raise ValueError(
                    f"layer {name!r} is a {told(layer)}; expected max or average pooling, or a convolution, in one or "
                    "two dimensions"
                )
            if isinstance(layer, CONVOLUTION) and not _strides(layer):
                raise ValueError(f"layer {name!r} is a convolution of stride 1 and subsamples nothing")
    else:
        known = {name: m for name, m in model.named_modules() if behaves_as(m, *POOLING) or _strides(m)}
        strided = {name: m for name, m in known.items() if _strides(m)}
        chosen = {name: m for name, m in known.items() if isinstance(m, MAX if types is None else types)}
        if not chosen and types is None:
            chosen = {name: m for name, m in strided.items() if isinstance(m, AVERAGE)}
        if not chosen and strided:
            shown = ", ".join(f"{name} ({type(m).__name__})" for name, m in list(strided.items())[:8])
            more = ", ..." if len(strided) > 8 else ""
            raise ValueError(
                f"the model has no layer inside it of types {types or POOLING} to replace; give names=[...] of those "
                f"that subsample: {shown}{more}"
            )
    if not chosen or "" in chosen:
        asked = f"names {list(names)}" if names is not None else f"types {types or POOLING}"
        own = [f"{name} is a {told(m)}" for name, m in model.named_modules() if isinstance(m, KNOWN) and name]
        alone = "; ".join(text for text in own if "of its own" in text)
        raise ValueError(f"the model has no layer inside it to replace (looked for {asked}){alone and '; ' + alone}")
    return chosen


def _strides(layer: Any) -> bool:
    """Tell if it is a layer that subsamples, and in no way of its own."""
    return behaves_as(layer, *KNOWN) and max(tuple_of(layer.stride, 1)) > 1


def _site(name: str, layer: Any, seen: set[int] | None) -> Site:
    """Describe a layer or refuse it; with the channels that an example brought, if there was one."""
    channels, unknown = None, "pass example=a batch"
    if seen is not None:
        channels = next(iter(seen)) if len(seen) == 1 else None
        found = " and ".join(map(str, sorted(seen)))
        unknown = f"the example uses it with {found}" if seen else "the example does not reach it"
    if isinstance(layer, CONVOLUTION):
        dims = len(layer.kernel_size)
        return Site("convolution", (1,) * dims, tuple(layer.stride), (0,) * dims, layer.out_channels, False, name)
    dims = dims_of(layer)
    if isinstance(layer, MAX):
        refuse(name, dilation=max(tuple_of(layer.dilation, dims)) != 1, return_indices=layer.return_indices)
        kind = "max"
    else:
        divisor = getattr(layer, "divisor_override", None)
        refuse(name, ceil_mode=layer.ceil_mode, divisor_override=divisor is not None)
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
    """Padding mode of the last convolution up to the layer that pads, or else of the first one after it."""
    modules = list(model.modules())
    place = modules.index(layer) + 1
    both = (*modules[:place][::-1], *modules[place:])
    near = [m for m in both if behaves_as(m, *CONVOLUTION, PooledConv1d, PooledConv2d)]
    return next((str(m.padding_mode) for m in near if any(map(any, convolution_pads(m)))), "zeros")


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
    try:
        with torch.no_grad(), evaluating(model):
            model(example)
    finally:
        for hook in hooks:
            hook.remove()
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
        if follower is not None and behaves_as(follower, nn.ReLU):
            layer.stride = (1,) * len(layer.stride)
            put(model, target, nn.Sequential(follower, new).train(follower.training))
            return target, shown
        if not behaves_as(follower, *NORMALISATION):
            break
    if not isinstance(layer.weight, nn.Parameter):
        raise ValueError(
            f"layer {name!r} computes its weight (weight_norm, a parametrization or pruning); make it a parameter "
            "first, as torch.nn.utils.parametrize.remove_parametrizations(layer, 'weight') does"
        )
    pooled = PooledConv1d if isinstance(layer, nn.Conv1d) else PooledConv2d
    put(model, name, pooled(layer, new).train(layer.training))
    return "the convolution", shown
