"""Other pooling in trained networks, with the weights kept and a report of changes."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from analysis.files.messages import unknown
from analysis.networks.activations import holds_activation, is_activation, passes
from analysis.networks.layer_access import (
    CONVOLUTION,
    MAX,
    Change,
    behaves_as,
    checked_model,
    convolution_pads,
    dims_of,
    evaluating,
    layer_of,
    put,
    put_everywhere,
    refuse,
    told,
    tuple_of,
)
from analysis.networks.operator_table import OPERATORS, WHOLE_NETWORK
from analysis.networks.own_convolution import Around, densified, pooled
from analysis.networks.patch_merging import PatchMerging, PooledMerging
from analysis.networks.place import places
from analysis.networks.replaceable import (
    FUNCTIONS,
    KNOWN,
    POOLING,
    SLICES,
    Replaceable,
    final_averages,
    replaceable_places,
    strides,
)
from analysis.networks.shared_phases import share_phases, with_leader
from analysis.networks.site import ShortFilterError, Site, border_options
from analysis.networks.wiring import Step, Wiring, name_of

PICTURE = 4
"""Channels of a picture, at most: a first convolution of more is inside a network."""


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
    """Replace the subsampling of a network: pooling, strided convolutions, slices.

    Parameters
    ----------
    model : Module
    operator : str, callable or Module
        A name of :data:`analysis.networks.operator_table.OPERATORS`, which starts as a binomial filter if it is
        trainable; or ``operator(site, **options)`` that makes a module for a :class:`analysis.networks.Site`; or a
        module, a copy of which takes every place as it is.
    types : type or tuple of types, optional
        Of the places to replace: nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d, and nn.Conv1d, nn.Conv2d for
        strided convolutions and slices. Default: all that subsamples, but the convolution that the picture goes into
        only for operators whose promise needs it (adaptive polyphase sampling, "ideal") or if there is nothing else;
        for an `operator` that is no name, pooling. An average pooling that makes the features of a classifier, or is
        longer than the filter, stays. Subclasses with a forward of their own are left alone, but for convolutions that
        are found to be dense at stride 1, on noise.
    names : sequence of str, optional
        Names of the places to replace, as in `named_modules`; functions and slices in the code of a module have its
        name, and that of the function if it has children: "layer2.0.shortcut", "Mixed_6a/max_pool2d".
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
        One row for each place.

    Raises
    ------
    TypeError
        If the model is no module or `operator` none of the above.
    ValueError
        If the operator is unknown, or a remedy that does not go layer by layer; if a named layer does not exist, has a
        forward of its own or cannot be replaced; if there is none, or none for such a short filter. The message names
        the layer.

    Notes
    -----
    The operator gives maps of the size that the layer gave, its windows on the same centres (filters with an even
    number of taps: half a sample to the right). It takes the device and the dtype of the layer's first parameter, or
    if there is none of the last parameter before the layer, or of the model's first.

    With ``padding_mode="circular"`` the same holds, and windows and filters go around the map: only where the layer's
    outputs are as many as its stride fits into the size, as nn.MaxPool2d(2) on even sizes, does the period stay whole.
    Convolutions keep it if at stride 1 they keep the size, as odd kernels padded by half do; even kernels padded with
    zeros on both sides alike take their own map around in place of the zeros.

    *Strided convolutions* get the stride 1, and the operator follows the activation after them, as in Zhang's paper:
    whatever normalisation and dropout lie between, and whether it is a module, one that is used twice, or a function. A
    1×1 convolution without an activation, as in shortcuts, follows the operator. Where no activation is found, the
    operator follows the convolution, and the report says so. Dense, a convolution of stride s costs s² times as much,
    as the report says: a patch embedding of side 16, 256 times.

    *Functions* in the code of a module are replaced by giving the module a forward that torch.fx has written, where it
    can: then `type(module)` is a subclass of what it was.

    *Patch merging* by slices that are concatenated, as in Swin, becomes patches at every position, then the operator;
    the normalisation and the projection behind it stay where they are.

    *Adaptive polyphase sampling.* Branches that are added, multiplied or concatenated share one choice, that of the
    branch that runs first; see :func:`analysis.networks.shared_phases.share_phases`.
    """
    model = checked_model(model, inplace)
    make, label = _maker(operator, options)
    wiring = Wiring(model)
    chosen = _chosen(model, wiring, types, names, operator if isinstance(operator, str) else None)
    steps = {
        name: _step_for(wiring, name, found.layer)
        for name, found in chosen.items()
        if isinstance(found.layer, CONVOLUTION)
    }
    channels = _channels(model, chosen, example)
    nearby = {n: f.layer if f.node is None else model.get_submodule(f.scope) for n, f in chosen.items()}
    modes = {name: _padding_mode(model, near) for name, near in nearby.items()}
    changes, operators, short = [], {}, {}
    for name, found in chosen.items():
        layer = found.layer
        site = _site(name, layer, channels[name], steps.get(name) == "before")
        near, mode = nearby[name], modes[name]
        beyond = options.get("padding_mode", "circular" if operator == "ideal" else mode)
        try:
            new = make(site, mode)
        except ValueError as error:
            if names is None and isinstance(error, ShortFilterError):
                short[name] = error
                continue
            raise ValueError(f"layer {name!r} cannot be replaced by {label}: {error}") from error
        new.to(**_neighbourhood(model, near)).train(near.training)
        before, shown, dense = repr(layer), repr(new), math.prod(site.stride)
        if isinstance(layer, CONVOLUTION):
            place = _set_convolution(
                wiring, name, layer, new, steps[name], beyond == "circular", options.get("padding_mode") == "circular"
            )
            cost = "" if steps[name] == "before" else f" ({dense} times the products, and the memory of what comes out)"
            shown = f"stride 1{cost}, then {place}: {shown}"
        elif found.node is not None:
            if isinstance(layer, PatchMerging):
                new = PooledMerging(layer, new, "reflect" if beyond == "zeros" else beyond)
                shown = f"patches at all positions ({dense} times the memory), then {shown}"
            wiring.insert(found.scope, found.node, new, f"{name.rpartition('.')[2]}_pool", instead=True)
        else:
            put_everywhere(model, layer, new)
        operators[name] = new
        changes.append(Change(name, before, shown))
    if not changes and short:
        raise ValueError(f"no layer can be replaced by {label}: {'; '.join(f'{n!r}: {e}' for n, e in short.items())}")
    wiring.finish()
    return model, [with_leader(change, leaders) for leaders in [share_phases(model, operators)] for change in changes]


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


def _chosen(
    model: nn.Module,
    wiring: Wiring,
    types: type | tuple[type, ...] | None,
    names: Sequence[str] | None,
    operator: str | None,
) -> dict[str, Replaceable]:
    """Places to replace, by name."""
    if isinstance(names, str):
        raise TypeError(f"names must be a sequence of names, not the string {names!r}")
    known = replaceable_places(model, wiring)
    if names is not None:
        chosen = {name: known[name] if name in known else _named(model, name) for name in names}
        return _checked(model, {n: f for n, f in chosen.items() if types is None or _is(f.layer, types)}, types, names)
    known = {name: found for name, found in known.items() if name not in final_averages(model)}
    kinds = types if types is not None else (*KNOWN, *SLICES) if operator else POOLING
    chosen = {name: found for name, found in known.items() if _is(found.layer, kinds)}
    if types is None and operator and not OPERATORS[operator].whole:
        name, stem = next(((n, m) for n, m in model.named_modules() if isinstance(m, CONVOLUTION)), ("", None))
        picture = stem is not None and stem.in_channels <= PICTURE
        rest = {key: found for key, found in chosen.items() if not (picture and key == name)}
        chosen = rest or chosen
    if not chosen and known:
        shown = ", ".join(f"{name} ({type(found.layer).__name__})" for name, found in list(known.items())[:8])
        more = ", ..." if len(known) > 8 else ""
        raise ValueError(
            f"the model has no layer inside it of types {kinds} to replace; give names=[...] of those that subsample: "
            f"{shown}{more}"
        )
    return _checked(model, chosen, types, names)


def _named(model: nn.Module, name: str) -> Replaceable:
    """A layer by name, or the reason why it is no place."""
    call = name.partition(" (")[0]
    scope, _, function = call.rpartition("/")
    known = dict(model.named_modules())
    if call not in known and scope in known and any(hasattr(home, function) for home in (Tensor, functional, torch)):
        raise ValueError(
            f"{name!r} is no layer but a call of {function!r} in the code of {scope or type(model).__name__}; there, "
            f"operators take the place of {', '.join(FUNCTIONS)} and of slices, in code that torch.fx can follow"
        )
    layer = layer_of(model, call if call in known else name)
    if not behaves_as(layer, *KNOWN) and not strides(layer):
        raise ValueError(
            f"layer {name!r} is a {told(layer)}; expected max or average pooling, or a convolution, in one or two "
            "dimensions, or a module whose code subsamples by these functions or by one slice"
        )
    if isinstance(layer, CONVOLUTION) and not strides(layer):
        raise ValueError(f"layer {name!r} is a convolution of stride 1 and subsamples nothing")
    return Replaceable(layer)


def _is(layer: nn.Module, types: type | tuple[type, ...]) -> bool:
    """Tell if a layer is of some types, where a slice is a convolution."""
    kinds = types if isinstance(types, tuple) else (types,)
    return isinstance(layer, kinds) or (isinstance(layer, SLICES) and bool({*kinds} & {*CONVOLUTION}))


def _checked(
    model: nn.Module, chosen: dict[str, Replaceable], types: Any, names: Sequence[str] | None
) -> dict[str, Replaceable]:
    """Return the places, or refuse if there is none inside the model."""
    if not chosen or "" in chosen:
        asked = f"names {list(names)}" if names is not None else f"types {types or KNOWN}"
        own = [f"{name} is a {told(m)}" for name, m in model.named_modules() if isinstance(m, KNOWN) and name]
        alone = "; ".join(text for text in own if "of its own" in text)
        raise ValueError(
            f"the model has no layer inside it to replace (looked for {asked}; resolution may be lost in ways that no "
            f"remedy reaches: `shiftscope audit` lists them){alone and '; ' + alone}"
        )
    return chosen


def _site(name: str, layer: Any, seen: set[int] | None, first: bool = False) -> Site:
    """Describe a layer or refuse it; with the channels that an example brought, if there was one.

    `first`: the operator goes before the convolution.
    """
    channels, unknown = None, "pass example=a batch"
    if seen is not None:
        channels = next(iter(seen)) if len(seen) == 1 else None
        found = " and ".join(map(str, sorted(seen)))
        unknown = f"the example uses it with {found}" if seen else "the example does not reach it"
    if isinstance(layer, (*CONVOLUTION, *SLICES)):
        dims = len(layer.stride)
        if isinstance(layer, CONVOLUTION):
            channels = layer.in_channels if first else layer.out_channels
        return Site("convolution", (1,) * dims, tuple(layer.stride), (0,) * dims, channels, False, name, unknown)
    dims = dims_of(layer)
    if isinstance(layer, MAX):
        refuse(name, dilation=max(tuple_of(layer.dilation, dims)) != 1, return_indices=layer.return_indices)
        kind = "max"
    else:
        divisor = getattr(layer, "divisor_override", None)
        refuse(name, divisor_override=divisor is not None)
        kind = "average"
    window, stride, padding = (tuple_of(v, dims) for v in (layer.kernel_size, layer.stride, layer.padding))
    return Site(kind, window, stride, padding, channels, layer.ceil_mode, name, unknown)


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


def _channels(
    model: nn.Module, chosen: dict[str, Replaceable], example: Tensor | None
) -> Mapping[str, set[int] | None]:
    """Channels of the input of every layer, all that are seen on an example; None without one."""
    if example is None:
        return dict.fromkeys(chosen)
    seen: dict[str, set[int]] = {name: set() for name in chosen}
    if any(found.node for found in chosen.values()):
        known = {place.name: place.channels for place in places(model, example)}
        seen |= {name: {known[name]} for name, found in chosen.items() if found.node and name in known}

    def look(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[name].add(inputs[0].shape[1])

        return hook

    hooks = [found.layer.register_forward_pre_hook(look(name)) for name, found in chosen.items() if not found.node]
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


class _ConvolutionOfPooled(_PooledConvolution):
    """An operator, then a 1×1 convolution, under the keys of the convolution."""

    def forward(self, x: Tensor) -> Tensor:
        """Pool and convolve."""
        y: Tensor = super(_PooledConvolution, self).forward(self.pool(x))  # type: ignore[misc]
        return y


class ConvOfPooled1d(_ConvolutionOfPooled, nn.Conv1d):
    """A subsampling operator and a 1×1 convolution of stride 1."""


class ConvOfPooled2d(_ConvolutionOfPooled, nn.Conv2d):
    """A subsampling operator and a 1×1 convolution of stride 1."""


def _step_for(wiring: Wiring, name: str, layer: Any) -> Step | str:
    """Activation behind a strided convolution; if there is none, whether the operator goes "before" it or "behind"."""
    for step in wiring.after(name):
        kind = name_of(step.name if step.module is None else type(step.module).__name__)
        if is_activation(kind) or holds_activation(step.module):
            return step if wiring.can_change(step.scope) or not _by_graph(step) else "behind"
        if not passes(kind, step.module):
            break
    return "before" if max(layer.kernel_size) == 1 and not any(map(any, convolution_pads(layer))) else "behind"


def _by_graph(step: Step) -> bool:
    """Tell if an operator behind a step goes into the code around it, and not into the module that is called."""
    calls = sum(node.target == step.node.target for node in step.node.graph.nodes if node.op == "call_module")
    own = step.module is not None and behaves_as(step.module, type(step.module))
    return not own or calls > 1 or any(True for _ in step.module.parameters())  # type: ignore[union-attr]


def _is_patch_embedding(layer: Any) -> bool:
    """Tell if the windows of a convolution lie side by side."""
    beside = tuple(layer.kernel_size) == tuple(layer.stride) and max(layer.dilation) == 1
    return beside and not any(map(any, convolution_pads(layer)))


def _one_sided(layer: Any) -> list[tuple[int, int]]:
    """Samples of a period before and after it, from which a strided convolution makes its outputs at stride 1.

    They are told where the layer has as many outputs as its stride fits into the period, but at stride 1 too few zeros
    for that, as with an even kernel; none otherwise.
    """
    if isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        return []
    reach = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
    geometry = list(zip(reach, layer.stride, layer.padding, strict=True))
    if not all(r + 1 - s <= 2 * p <= r for r, s, p in geometry) or all(2 * p == r for r, _, p in geometry):
        return []
    return [(p, r - p) for r, _, p in geometry]


def _set_convolution(
    wiring: Wiring, name: str, layer: Any, new: nn.Module, step: Step | str, circular: bool, wholly: bool
) -> str:
    """Set the stride to 1 and put the operator in its place; return what the place is called.

    `circular`: maps go on as their own period, so that dense patches have to be as many as its samples; `wholly`: so do
    those of layers that pad with zeros, if at stride 1 these are too few.
    """
    model, own = wiring.model, densified(layer)
    around = None
    if circular and own is None and _is_patch_embedding(layer):
        around = Around([(0, k - 1) for k in layer.kernel_size])
    elif around is None and wholly and own is None and (more := _one_sided(layer)):
        around, layer.padding = Around(more), (0,) * len(more)
    if own is not None:
        put_everywhere(model, layer, own)
        layer = own
    if isinstance(step, Step):
        layer.stride = (1,) * len(layer.stride)
        if around is not None:
            pooled(layer, around, True, "around")
        if step.module is None or _by_graph(step):
            wiring.insert(step.scope, step.node, new, f"{name.rpartition('.')[2]}_pool")
        else:
            put(model, step.name, nn.Sequential(step.module, new).train(step.module.training))
        return f"after {step.name}"
    place = "before the convolution"
    if step != "before":
        place = "after the convolution, behind which no activation was found"
    if own is not None or not isinstance(layer.weight, nn.Parameter):  # which is computed, and goes on to be
        layer.stride = (1,) * len(layer.stride)
        pooled(layer, new, step == "before")
        if around is not None:
            pooled(layer, around, True, "around")
        return place
    if step == "before":
        kind: Any = ConvOfPooled1d if isinstance(layer, nn.Conv1d) else ConvOfPooled2d
    else:
        kind = PooledConv1d if isinstance(layer, nn.Conv1d) else PooledConv2d
    dense = kind(layer, new).train(layer.training)
    put_everywhere(model, layer, dense if around is None else pooled(dense, around, True, "around"))
    return place
