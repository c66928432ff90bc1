"""The order of the layers of a network, by torch.fx."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from analysis.networks.layer_access import AVERAGE, CONVOLUTION, MAX, NORMALISATION

RELU: tuple[Any, ...] = (torch.relu, torch.relu_, functional.relu, functional.relu_, "relu", "relu_")


class _Tracer(fx.Tracer):
    """Tracer to which operators, and layers with a forward of their own, are layers."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        home = type(m).__module__
        operator = home.startswith("analysis.networks.") and not home.startswith("analysis.networks.architectures.")
        layer = isinstance(m, (*MAX, *AVERAGE, *CONVOLUTION, *NORMALISATION, nn.ReLU))
        return operator or layer or super().is_leaf_module(m, module_qualified_name)


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
            yield ("relu" if node.target in RELU else str(getattr(node.target, "__name__", node.target))), None
        nodes = [node]
