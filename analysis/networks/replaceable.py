"""The places of a network that an operator can take: layers, and functions and slices in the code of its modules."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from torch import Tensor, fx, nn

from analysis.networks.layer_access import AVERAGE, CONVOLUTION, MAX, behaves_as, tuple_of
from analysis.networks.own_convolution import densified
from analysis.networks.patch_merging import PatchMerging, merges
from analysis.networks.wiring import Wiring, name_of

POOLING = (*MAX, *AVERAGE)
KNOWN = (*POOLING, *CONVOLUTION)
ADAPTIVE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d)

FUNCTIONS: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "max_pool2d": (nn.MaxPool2d, ("kernel_size", "stride", "padding", "dilation", "ceil_mode")),
    "max_pool1d": (nn.MaxPool1d, ("kernel_size", "stride", "padding", "dilation", "ceil_mode")),
    "avg_pool2d": (nn.AvgPool2d, ("kernel_size", "stride", "padding", "ceil_mode")),
    "avg_pool1d": (nn.AvgPool1d, ("kernel_size", "stride", "padding", "ceil_mode")),
}
"""Functions, the layers that they are, and their arguments after the first."""


class Slicing(nn.Module):
    """Subsampling by a slice such as ``x[:, :, ::2, ::2]``.

    Parameters
    ----------
    stride : tuple of int
    """

    def __init__(self, stride: tuple[int, ...]) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Every stride-th sample of maps (batch, channels, spatial axes)."""
        y: Tensor = x[(..., *[slice(None, None, s) for s in self.stride])]  # type: ignore[index]
        return y

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"stride={self.stride}"


SLICES = (Slicing, PatchMerging)
"""Places that are slices in the code of a module."""


@dataclass(frozen=True)
class Replaceable:
    """A place: its layer, or a layer that does the same as the call of a function; of that also where it is.

    Attributes
    ----------
    layer : Module
    scope : str
        Module in whose code the call is.
    node : fx.Node or None
        The call.
    """

    layer: nn.Module
    scope: str = ""
    node: fx.Node | None = None


def replaceable_places(model: nn.Module, wiring: Wiring) -> dict[str, Replaceable]:
    """Places of a model by name: of a layer; of a module in whose code it is, with the function if it has children.

    Parameters
    ----------
    model : Module
    wiring : Wiring
        Of this model.
    """
    found = {name: Replaceable(m) for name, m in model.named_modules() if strides(m)}
    for scope, graph in wiring.scopes():
        for name, call in _functions(graph):
            full = scope if scope and not any(True for _ in model.get_submodule(scope).children()) else ""
            full = full or f"{scope}/{name}".lstrip("/")
            count = 1 + sum(key == full or key.startswith(f"{full} (") for key in found)
            found[full if count == 1 else f"{full} ({count})"] = replace(call, scope=scope)
    return found


def strides(layer: Any) -> bool:
    """Tell if it is a layer that subsamples, and whose dense maps are known."""
    known = behaves_as(layer, *KNOWN) and max(tuple_of(layer.stride, 1)) > 1
    return known or densified(layer) is not None


def final_averages(model: nn.Module) -> list[str]:
    """Average poolings between the last convolution or pooling and a linear layer, which make features."""
    kinds = (*KNOWN, *ADAPTIVE, nn.Linear)
    order = [(name, layer) for name, layer in model.named_modules() if name and isinstance(layer, kinds)]
    pairs = pairwise(order)
    return [name for (name, layer), (_, after) in pairs if isinstance(layer, AVERAGE) and isinstance(after, nn.Linear)]


def _functions(graph: fx.Graph) -> Iterator[tuple[str, Replaceable]]:
    """Names and calls of the functions and slices in a graph that subsample."""
    merged = dict(merges(graph))
    for node in graph.nodes:
        if node in merged:
            yield "getitem", Replaceable(merged[node], node=node)
        if node.op != "call_function":
            continue
        name = name_of(node.target).removesuffix("_with_indices").lstrip("_")
        layer: nn.Module | None = None
        if node.target is operator.getitem:
            layer, name = _slicing(node), "getitem"
        elif name in FUNCTIONS:
            kind, arguments = FUNCTIONS[name]
            given = dict(zip(arguments, node.args[1:], strict=False))
            given |= {key: value for key, value in node.kwargs.items() if key in arguments}
            if not node.kwargs.get("return_indices") and not any(isinstance(v, fx.Node) for v in given.values()):
                layer = kind(**given)
                layer = layer if strides(layer) else None
        if layer is not None and node.args:
            yield name, Replaceable(layer, node=node)


def _slicing(node: fx.Node) -> Slicing | None:
    """The slice of a node, if it subsamples the last axes from the first sample on, and is the only one of its map."""
    index: Any = node.args[1]
    source: Any = node.args[0]
    if not isinstance(index, tuple) or not all(isinstance(i, slice) or i is Ellipsis for i in index):
        return None
    steps = [(i.start or 0, i.stop, i.step or 1) for i in index if isinstance(i, slice)]
    others = [user for user in source.users if user.target is operator.getitem]
    if any(start or stop is not None for start, stop, _ in steps) or len(others) > 1:
        return None
    spatial = steps if Ellipsis in index else steps[2:]
    stride = tuple(step for _, _, step in spatial)
    before = steps[: len(steps) - len(spatial)]
    if len(stride) not in (1, 2) or max(stride) < 2 or any(step != 1 for *_, step in before):
        return None
    return Slicing(stride)
