"""Intra-block pooling for trained networks: dense maxima between the convolutions of a block."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from torch import nn

from analysis.networks.layer_access import (
    AVERAGE,
    CONVOLUTION,
    MAX,
    Change,
    checked_model,
    convolutions,
    layer_of,
    put,
)
from analysis.networks.pooling import APS, Cascade, IntraBlockPool, MaxPool
from analysis.networks.pooling._filtering import StridedFilter

SUBSAMPLING = (*MAX, *AVERAGE, MaxPool, StridedFilter, APS, Cascade)


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
        Change the model itself, not a copy.

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
    """Tell if a module is or has one of some types; pooling inside a block subsamples nothing."""
    return any(isinstance(m, types) and not isinstance(m, IntraBlockPool) for m in module.modules())


def _dims_around(model: nn.Module, name: str) -> int:
    """Spatial axes where a layer is: those of the convolutions in it, or of the model's first."""
    layers = [*layer_of(model, name).modules(), *map(model.get_submodule, convolutions(model))]
    return next(len(m.kernel_size) for m in layers if isinstance(m, CONVOLUTION))
