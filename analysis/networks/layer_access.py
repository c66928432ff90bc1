"""Layers of a network: finding them by name, reading their geometry, setting others in their place."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from analysis.networks.pooling._border import Pads

MAX = (nn.MaxPool1d, nn.MaxPool2d)
AVERAGE = (nn.AvgPool1d, nn.AvgPool2d)
CONVOLUTION = (nn.Conv1d, nn.Conv2d)
NORMALISATION = (nn.BatchNorm1d, nn.BatchNorm2d)


@dataclass(frozen=True)
class Change:
    """A row of the report: the name of a layer, what it was and what it is."""

    name: str
    before: str
    after: str

    def __str__(self) -> str:
        """Return one line."""
        return f"{self.name}: {' '.join(self.before.split())} -> {' '.join(self.after.split())}"


def behaves_as(module: nn.Module | None, *kinds: type[nn.Module]) -> bool:
    """Tell if a module computes what one of torch's layers does.

    A subclass with a forward of its own, such as a convolution that standardises its weight or a pooling that pads as
    TensorFlow does, is an instance of that layer but does something else.
    """
    return any(
        isinstance(module, kind)
        and "forward" not in vars(module)
        and all(getattr(type(module), f, None) is getattr(kind, f, None) for f in ("forward", "_conv_forward"))
        for kind in kinds
    )


def told(module: nn.Module | None) -> str:
    """Kind of a module for messages."""
    if module is None:
        return "a function"
    base = next((k for k in (*MAX, *AVERAGE, *CONVOLUTION, *NORMALISATION) if isinstance(module, k)), None)
    own = base is not None and not behaves_as(module, base)
    return type(module).__name__ + (f", an nn.{base.__name__} with a forward of its own" if base and own else "")


def evaluation(model: nn.Module) -> nn.Module:
    """Put a model into evaluation mode and return it; an exported program has no modes and is marked as being in it."""
    try:
        return model.eval()
    except NotImplementedError:
        for module in model.modules():
            module.training = False
        return model


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode as long as this is open: in training mode a pass changes the statistics of batch norms."""
    training = [module for module in model.modules() if module.training]
    evaluation(model)
    try:
        yield
    finally:
        for module in training:
            module.training = True


def checked_model(model: Any, inplace: bool) -> nn.Module:
    """Return the model or a copy; ValueError if torch cannot make one."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, not {type(model).__name__}")
    refuse_integers(model)
    if inplace:
        return model
    computed = [
        f"{name}.{key}"
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if isinstance(value, Tensor) and not value.is_leaf
    ]
    if computed:
        raise ValueError(
            f"the network cannot be copied, for a hook computes {computed[0]}, as torch.nn.utils.weight_norm and prune "
            "do; expected a parameter, as torch.nn.utils.remove_weight_norm and prune.remove leave it"
        )
    return copy.deepcopy(model)


def holds_others(module: nn.Module) -> bool:
    """Tell if a module has others inside, beside those that compute its parameters or look at what a layer gives."""
    if behaves_as(module, *MAX, *AVERAGE, *CONVOLUTION):
        return False
    return any(name != "parametrizations" for name, _ in module.named_children())


def refuse_integers(model: nn.Module) -> None:
    """Raise ValueError for a network of which layers take and give quantized maps."""
    for name, module in model.named_modules():
        kinds = [kind.__name__ for kind in type(module).__mro__]
        if "WeightedQuantizedModule" in kinds and ".dynamic." not in type(module).__module__:
            raise ValueError(
                f"the network is quantized: the maps of {name or 'it'} ({type(module).__module__.rpartition('.')[0]}."
                f"{kinds[0]}) are integers, which cannot be moved by parts of a sample, nor blurred; expected the "
                "network before quantization"
            )


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


def put_everywhere(model: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Set a layer in the place of another one, under all names that it has."""
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if module is old:
            put(model, name, new)


def refuse(name: str, **present: bool) -> None:
    """Refuse a layer with an argument for which there is no replacement."""
    for argument, there in present.items():
        if there:
            raise ValueError(f"layer {name!r} has {argument}, for which there is no replacement")


def tuple_of(value: Any, dims: int) -> tuple[int, ...]:
    """Return an argument of a torch layer, one for each axis."""
    return tuple(value) if isinstance(value, Sequence) else (value,) * dims


def dims_of(layer: nn.Module) -> int:
    """Spatial axes of a convolution or a pooling."""
    return 1 if isinstance(layer, (nn.Conv1d, nn.MaxPool1d, nn.AvgPool1d)) else 2


def convolution_pads(layer: Any) -> Pads:
    """Samples that a convolution adds, (left, right) of every axis."""
    if layer.padding == "same":
        totals = [d * (k - 1) for d, k in zip(layer.dilation, layer.kernel_size, strict=True)]
        return tuple((total // 2, total - total // 2) for total in totals)
    if layer.padding == "valid":
        return ((0, 0),) * len(layer.kernel_size)
    return tuple((p, p) for p in layer.padding)


def convolutions(model: nn.Module) -> list[str]:
    """Names of the convolutions, in the order of their definition, those with a forward of their own too."""
    names = [name for name, layer in model.named_modules() if isinstance(layer, CONVOLUTION)]
    if not names:
        refuse_integers(model)
        raise ValueError("the model has no nn.Conv1d or nn.Conv2d layer")
    return names
