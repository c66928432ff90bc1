"""The network with the remedy as it learns: which of its weights do, and where its maps are compared."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from analysis.files.messages import unknown
from analysis.networks.activations import NORMALISATIONS
from analysis.networks.pooling import ModulusBatchNorm

NORMS = (*NORMALISATIONS, ModulusBatchNorm)

WEIGHTS = {
    "all": "all weights",
    "behind": "those behind the first place that the remedy changed",
    "norms": "scales, offsets and statistics of normalisation layers",
}
"""Choices of the weights that learn."""


@dataclass(frozen=True)
class ExecutionOrder:
    """Order of execution of a network with a remedy, beside the plain one.

    Attributes
    ----------
    behind : tuple of str
        Modules with parameters that run first at or behind the first place of the remedy.
    compared : tuple of str
        Modules of both networks at which the maps behind each place are compared.
    """

    behind: tuple[str, ...]
    compared: tuple[str, ...]


def execution_order(plain: nn.Module, remedied: nn.Module, example: Tensor) -> ExecutionOrder:
    """Order of execution of a network with a remedy, from a pass of both.

    Parameters
    ----------
    plain, remedied : Module
        In evaluation mode.
    example : Tensor
        A batch for them.

    Returns
    -------
    ExecutionOrder

    Notes
    -----
    An operator of the remedy is a module whose name the plain network lacks, or has for another kind of module. The
    maps behind it are those of the first module that ends with it or after it, which the plain network has too, with
    maps of the same shape.
    """
    kinds = {name: type(module) for name, module in plain.named_modules()}
    there, here = passed(plain, example), passed(remedied, example)
    shapes = dict(there)
    simple = {name for name, module in remedied.named_modules() if not any(True for _ in module.children())}
    owners = {name for name, module in remedied.named_modules() if list(module.parameters(recurse=False))}
    new = [i for i, (name, _) in enumerate(here) if name in simple and _is_new(remedied, name, kinds)]
    compared = []
    for position in new:
        same = (n for n, shape in here[position:] if n and shape is not None and shapes.get(n) == shape)
        compared.append(next(same, ""))
    first = new[0] if new else len(here)
    before = {name for name, _ in here[:first]}
    behind = (name for name, _ in here[first:] if name in owners and name not in before)
    return ExecutionOrder(tuple(dict.fromkeys(behind)), tuple(name for name in dict.fromkeys(compared) if name))


def _is_new(remedied: nn.Module, name: str, kinds: dict[str, type[nn.Module]]) -> bool:
    return kinds.get(name) is not type(remedied.get_submodule(name))


def passed(model: nn.Module, example: Tensor) -> list[tuple[str, tuple[int, ...] | None]]:
    """Modules in the order in which they end, with the shape of what each returned; None if it is no tensor."""
    found: list[tuple[str, tuple[int, ...] | None]] = []
    hooks = []
    for name, module in model.named_modules():

        def hook(_: nn.Module, __: object, output: object, name: str = name) -> None:
            found.append((name, tuple(output.shape) if isinstance(output, Tensor) else None))

        hooks.append(module.register_forward_hook(hook))
    try:
        with torch.no_grad():
            model(example)
    finally:
        for handle in hooks:
            handle.remove()
    return found


class Student(nn.Module):
    """A network of which chosen weights learn: only normalisation layers that do are ever in training mode.

    Parameters
    ----------
    network : Module
        Its parameters are told whether they need gradients.
    weights : str
        Of :data:`WEIGHTS`.
    order : ExecutionOrder
        Of this network.

    Raises
    ------
    ValueError
        If the choice is unknown, or leaves nothing to learn.

    Notes
    -----
    Dropout stays off: the student is to answer as the teacher does in evaluation. In training mode the statistics of
    batch normalisation are those of the batch, and the running ones follow.
    """

    def __init__(self, network: nn.Module, weights: str, order: ExecutionOrder) -> None:
        super().__init__()
        if weights not in WEIGHTS:
            raise ValueError(unknown("choice of weights", weights, WEIGHTS))
        self.network = network
        modules = dict(network.named_modules())
        chosen = [modules[name] for name in order.behind] if weights == "behind" else list(modules.values())
        if weights == "norms":
            chosen = [module for module in chosen if isinstance(module, NORMS)]
        self._norms = [module for module in chosen if isinstance(module, NORMS)]
        learning = {id(p) for module in chosen for p in module.parameters(recurse=False)}
        for parameter in network.parameters():
            parameter.requires_grad_(id(parameter) in learning)
        if not learning:
            raise ValueError(f"weights is {weights!r}, {WEIGHTS[weights]}, and the network has none")
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the network."""
        y: Tensor = self.network(x)
        return y

    def train(self, mode: bool = True) -> Student:
        """Put normalisation layers that learn into training mode, and everything else into evaluation mode."""
        super().train(False)
        for module in self._norms:
            module.train(mode)
        return self

    def end(self) -> None:
        """Leave the network in evaluation mode, with gradients for all parameters, as networks come."""
        self.eval()
        for parameter in self.network.parameters():
            parameter.requires_grad_(True)
