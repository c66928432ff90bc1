"""Networks of the command line: by name, or made by a function in a user's file; and their remedies."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from analysis.files.messages import one_line, printable
from analysis.kernels.layer import IMAGENET_MEAN, IMAGENET_STD
from analysis.networks import registry
from analysis.networks.remedy_table import remedy
from analysis.networks.weights import load_weights, read_state, tensors_of

SIZE, CIFAR_SIZE = 224, 32
"""Side of the input of most networks, pixels, and of those made for CIFAR-10."""

CIFAR = ("vgg13", "densenet40")
"""How names of the latter begin; others end in "-cifar"."""

Preprocess = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Network:
    """A network and what it takes.

    Attributes
    ----------
    name : str
        For titles.
    model : torch.nn.Module
        In evaluation mode.
    preprocess : callable or None
        From R, G, B in [0, 1], shape (N, 3, H, W), to what the model takes; None if it takes that.
    size : int
        Side of its input, pixels.
    version : str
        Digest of the file that it is from, if it is from one.
    """

    name: str
    model: nn.Module
    preprocess: Preprocess | None = None
    size: int = SIZE
    version: str = ""


def load_network(source: str, weights: str | os.PathLike[str] | None = None, size: int | None = None) -> Network:
    """Network by name or from a file.

    Parameters
    ----------
    source : str
        "squeezenet"; a name of :func:`analysis.networks.list`; the name of a model of torchvision, if that is
        installed; or
        "FILE.py:FACTORY", a file **that is executed** and a function in it that is called without arguments and returns
        a module, or a pair of a module and a function that prepares its input.
    weights : path, optional
        For "squeezenet", which needs it, the .npz of :func:`analysis.networks.squeezenet.load_squeezenet`; for a
        network of
        :func:`analysis.networks.list`, which needs it too, a file of :func:`analysis.networks.load_weights`, such as
        best.pt of
        ``shiftscope train``, from which it takes the number of classes; for torchvision's other models a state dict,
        in place of the weights that torchvision downloads. A name of both without weights is torchvision's.
    size : int, optional
        Side of the input, pixels. Default: 227 for "squeezenet", 32 for the networks made for CIFAR-10 by name
        (VGG13, DenseNet-40, "...-cifar"), otherwise 224.

    Returns
    -------
    Network

    Raises
    ------
    ModuleNotFoundError
        If the name is unknown here and torchvision, which may know it, is not installed.
    OSError, TypeError, ValueError
        If a file is missing or not as described, a name unknown, or a network without its weights, since the stability
        of an untrained one says nothing. The message names it, in one line.
    """
    if source.rpartition(":")[0].endswith(".py"):
        if weights is not None:
            raise ValueError(f"weights are for networks by name; {source.rpartition(':')[2]} loads its own")
        return _from_file(*source.rsplit(":", 1), size or SIZE)
    if source.endswith(".py"):
        raise ValueError(f"{printable(source)}: which function? expected FILE.py:FACTORY")
    if source == "squeezenet":
        from analysis.networks import squeezenet

        if weights is None:
            raise ValueError("squeezenet needs its weights: --weights FILE.npz")
        return Network(
            "SqueezeNet 1.0", squeezenet.load_squeezenet(weights), squeezenet.preprocess, size or squeezenet.SIZE
        )
    ours = source in registry.names()
    side = size or (CIFAR_SIZE if ours and (source.startswith(CIFAR) or source.endswith("-cifar")) else SIZE)
    if ours and weights is not None:
        return Network(source, _from_registry(source, weights).eval(), imagenet_normalised, side)
    return Network(source, _from_torchvision(source, weights).eval(), imagenet_normalised, size or SIZE)


def imagenet_normalised(pictures: Tensor) -> Tensor:
    """Pictures minus ImageNet's mean, over its standard deviation, colour by colour."""
    mean, std = (pictures.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
    return (pictures - mean) / std


def apply_remedy(network: Network, text: str) -> tuple[nn.Module, list[str]]:
    """Network after a remedy, in evaluation mode, and what changed.

    Parameters
    ----------
    network : Network
        It stays as it is.
    text : str
        Name of a remedy, and after a colon the layers it goes to if not all that it can: "blur3:pool1,pool4". For
        "cmod" that is one convolution.

    Raises
    ------
    ValueError
        If the remedy is unknown, or cannot be applied. The message names it.
    """
    name, _, layers = text.partition(":")
    chosen = remedy(name)
    names = [part.strip() for part in layers.split(",") if part.strip()]
    options: dict[str, Any] = {}
    if name in ("cmod", "cmod-band-pass") and len(names) > 1:
        raise ValueError(f"remedy {text!r}: cmod goes to one convolution")
    if names:
        options = {"layer": names[0]} if name.startswith("cmod") else {"names": names}
    try:
        model, changes = chosen(network.model, example(network), **options)
    except Exception as error:  # a copy of a model, or a run of it, calls code of the user's
        hint = f"; layers are named as in {name}:LAYER,LAYER" if "names=" in str(error) else ""
        raise ValueError(f"remedy {text!r}: {_told(error)}{hint}") from error
    device = next((p.device for p in network.model.parameters()), torch.device("cpu"))  # new layers begin on the CPU
    return model.to(device).eval(), [str(change) for change in changes]


def move(model: nn.Module, device: str) -> None:
    """Bring a model to a device; ValueError if torch cannot compute there."""
    try:
        torch.zeros(1, device=device).cpu()  # there are devices that hold nothing
        model.to(device)
    except (RuntimeError, AssertionError) as error:  # the latter from a torch that was built without cuda
        raise ValueError(
            f"torch cannot use the device {device!r}; expected one such as 'cuda': {_told(error)}"
        ) from error


def check_runs(network: Network, models: dict[str, nn.Module], batch: int = 2) -> None:
    """Raise ValueError for a model that fails on a batch of pictures of the network's size, or returns no logits."""
    for name, model in models.items():
        try:
            with torch.no_grad():
                answer = model(example(network, batch))
        except Exception as error:  # whatever the model's own code raises
            raise ValueError(
                f"{network.name}, {name}: the model fails on {batch} pictures of {network.size}×{network.size} pixels: "
                f"{type(error).__name__}: {_told(error)}"
            ) from error
        if not isinstance(answer, Tensor):
            raise ValueError(
                f"{network.name}, {name}: the model returns {type(answer).__name__}; expected a tensor of logits "
                "(N, classes)"
            )
        if answer.ndim != 2 or len(answer) != batch:
            raise ValueError(
                f"{network.name}, {name}: the model returns shape {tuple(answer.shape)}; expected logits (N, classes), "
                f"N = {batch}"
            )


def example(network: Network, batch: int = 1) -> Tensor:
    """Grey pictures as the model takes them."""
    parameter = next(network.model.parameters(), torch.zeros(()))
    picture = torch.full((batch, 3, network.size, network.size), 0.5, device=parameter.device)
    return picture if network.preprocess is None else network.preprocess(picture)


def _from_file(file: str, factory: str, size: int) -> Network:
    path, shown = Path(file), printable(file)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {shown}")
    spec = importlib.util.spec_from_file_location(f"_shiftscope_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # its name ends in .py
    module = importlib.util.module_from_spec(spec)
    beside = str(path.resolve().parent)
    sys.path.insert(0, beside)  # as for a script
    sys.modules[spec.name] = module
    try:
        version = hashlib.sha256(path.read_bytes()).hexdigest()
        spec.loader.exec_module(module)
        make = getattr(module, factory, None)
        made = make() if callable(make) else None
    except (Exception, SystemExit) as error:
        raise ValueError(f"{shown}: {type(error).__name__}: {_told(error)}{_line_of(error, path)}") from error
    finally:
        with suppress(ValueError):  # if the file took it out itself
            sys.path.remove(beside)
    if not callable(make):
        here = ", ".join(name for name, value in vars(module).items() if _is_own_function(value, spec.name))
        raise ValueError(f"{shown}: no function {factory!r}; it has {here or 'none'}")
    model, preprocess = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if not isinstance(model, nn.Module):
        raise TypeError(f"{shown}: {factory}() returned {type(model).__name__}; expected a torch.nn.Module")
    if preprocess is not None and not callable(preprocess):
        raise TypeError(f"{shown}: {factory}() returned {type(preprocess).__name__} to prepare pictures with")
    return Network(f"{path.name}:{factory}", model.eval(), preprocess, size, version)


def _is_own_function(value: object, module: str) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module


def _line_of(error: BaseException, path: Path) -> str:
    """Where in the user's file an error arose."""
    line, step = getattr(error, "lineno", None), error.__traceback__
    while step is not None:
        if Path(step.tb_frame.f_code.co_filename) == path.absolute():
            line = step.tb_lineno
        step = step.tb_next
    return f" (line {line})" if line else ""


def _from_registry(name: str, weights: str | os.PathLike[str]) -> nn.Module:
    """Network of the documents with the weights of a file, and as many classes as that has."""
    if not Path(weights).is_file():
        raise FileNotFoundError(f"no such file: {printable(weights)}")
    try:
        state = tensors_of(read_state(Path(weights)))
        model = registry.create(name)
        *_, (last, linear) = ((n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear))
        bias = state.get(f"{last}.bias")
        if bias is not None and bias.shape != linear.bias.shape and bias.ndim == 1 and len(bias):
            model = registry.create(name, classes=len(bias))
        load_weights(model, state)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{printable(weights)} holds no weights of {name}: {_told(error)}") from error
    return model


def _unknown(name: str, theirs: Sequence[str]) -> str:
    """What to say of a name that torchvision does not know."""
    ours = registry.names()
    if name in ours:
        return f"{name} needs its weights: --weights FILE; the stability of an untrained network says nothing"
    near = get_close_matches(name, dict.fromkeys(["squeezenet", *ours, *theirs]), n=3, cutoff=0.5)
    guess = f" (did you mean {', '.join(map(repr, near))}?)" if near else ""
    return (
        f"unknown network {name!r}{guess}; expected squeezenet, FILE.py:FACTORY, a network that `shiftscope recipes` "
        "lists, or a model of torchvision"
    )


def _from_torchvision(name: str, weights: str | os.PathLike[str] | None) -> nn.Module:
    try:
        from torchvision import models
    except ModuleNotFoundError:
        kind = ValueError if name in registry.names() else ModuleNotFoundError
        told = "" if kind is ValueError else ", which is not installed"
        raise kind(f"{_unknown(name, ())}{told}") from None
    except Exception as error:  # a torchvision that does not go with this torch
        raise ValueError(f"torchvision, which may know {name!r}, cannot be imported: {_told(error)}") from error
    known: Sequence[str] = models.list_models(module=models)
    if name not in known:
        raise ValueError(_unknown(name, known))
    if weights is None:
        model: nn.Module = models.get_model(name, weights="DEFAULT")
        return model
    if not Path(weights).is_file():
        raise FileNotFoundError(f"no such file: {printable(weights)}")
    model = models.get_model(name, weights=None)
    try:
        model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    except Exception as error:  # what a damaged file raises is not for us to know
        raise ValueError(f"{printable(weights)} is no state dict of {name}: {_told(error)}") from error
    return model


def _told(error: BaseException) -> str:
    """What an error says, in one line."""
    lines = str(error.args[0] if isinstance(error, KeyError) and error.args else error).strip().splitlines()
    return one_line(lines[0]) if lines else type(error).__name__
