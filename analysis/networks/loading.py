"""Networks of the command line: by name, or made by a function in a user's file; and their remedies."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from analysis.files.imagenet_statistics import IMAGENET_MEAN, IMAGENET_STD
from analysis.files.messages import first_line, printable, unknown
from analysis.files.weights import read_checkpoint, weights_of
from analysis.networks import network_registry
from analysis.networks.circular_borders import circular_borders
from analysis.networks.layer_access import CONVOLUTION, evaluation
from analysis.networks.left_alone import left_alone
from analysis.networks.remedy_table import remedies, remedy
from analysis.networks.replaceable import POOLING, final_averages
from analysis.networks.weights import load_weights, tensors_of

SIZE, CIFAR_SIZE = 224, 32
"""Side of the input of most networks, pixels, and of those made for CIFAR-10."""

CIFAR = ("vgg13", "densenet40")
"""Beginnings of names of the latter; others end in "-cifar"."""

CIRCULAR = "+circular"
"""End of the name of a remedy that comes with circular borders."""

TORCHVISION, TIMM = "torchvision:", "timm:"

Preprocess = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class LoadedNetwork:
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


def load_network(
    source: str,
    weights: str | os.PathLike[str] | None = None,
    size: int | None = None,
    pretrained: bool = False,
) -> LoadedNetwork:
    """Network by name or from a file.

    Parameters
    ----------
    source : str
        A name of :func:`analysis.networks.list` or "squeezenet", with `weights`; "torchvision:NAME", a model of
        torchvision, or "timm:NAME", one of timm, if that is installed; or "FILE.py:FACTORY", a file **that is
        executed** and a function in it that is called without arguments and returns a module, or a pair of a module
        and a function that prepares its input.
    weights : path, optional
        For a network by name a file of :func:`analysis.networks.load_weights`, from which it takes the number of
        classes; from best.pt of ``shiftscope train`` the size of the input and its normalisation too. For
        "squeezenet" one of :func:`analysis.networks.squeezenet.load_squeezenet`. For torchvision's models in place of
        the weights that torchvision downloads.
    size : int, optional
        Side of the input, pixels. Default: what best.pt says; 227 for "squeezenet", 32 for the networks made for
        CIFAR-10 by name (VGG13, DenseNet-40, "...-cifar"), what timm says of its own, otherwise 224.
    pretrained : bool
        Let timm download the weights of "timm:NAME"; torchvision does so anyway where no `weights` are given.

    Returns
    -------
    LoadedNetwork

    Raises
    ------
    ModuleNotFoundError
        If torchvision, or the package that reads the weights, is needed and not installed.
    OSError, TypeError, ValueError
        If a file is missing or not as described, a name unknown, or a network without its weights, since the stability
        of an untrained one says nothing. The message names it, in one line.
    """
    file, _, factory = source.rpartition(":")
    if file.endswith(".py"):
        if weights is not None:
            raise ValueError(f"weights are for networks by name; {factory} loads its own")
        return _from_file(file, factory, size or SIZE)
    if source.endswith(".py"):
        raise ValueError(f"{printable(source)}: which function? expected FILE.py:FACTORY")
    if pretrained and weights is not None:
        raise ValueError("weights and pretrained contradict each other; expected one of them")
    if pretrained and not source.startswith((TORCHVISION, TIMM)):
        raise ValueError(f"pretrained is for {TIMM}NAME and {TORCHVISION}NAME; {source} needs --weights FILE")
    if source.startswith(TIMM):
        return _from_timm(source, weights, size, pretrained)
    if source.startswith(TORCHVISION):
        model = _from_torchvision(source.removeprefix(TORCHVISION), weights)
        return LoadedNetwork(source, evaluation(model), normalised, size or SIZE)
    if source != "squeezenet" and source not in network_registry.names():
        known = ["squeezenet", *network_registry.names()]
        raise ValueError(
            f"{unknown('network', source, known)}; a FILE.py:FACTORY; {TORCHVISION}NAME for torchvision's, "
            f"{TIMM}NAME for timm's"
        )
    if weights is None:
        raise ValueError(
            f"{source} needs its weights: --weights FILE; the stability of an untrained network says nothing "
            f"({TORCHVISION}NAME is for torchvision's own)"
        )
    if source == "squeezenet":
        from analysis.networks import squeezenet

        model = squeezenet.load_squeezenet(weights)
        return LoadedNetwork("SqueezeNet 1.0", model, squeezenet.preprocess, size or squeezenet.SIZE)
    return _from_registry(source, weights, size)


def normalised(pictures: Tensor, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD) -> Tensor:
    """Pictures minus a mean, over a standard deviation, colour by colour; by default those of ImageNet."""
    means, deviations = (pictures.new_tensor(values)[:, None, None] for values in (mean, std))
    return (pictures - means) / deviations


def apply_remedy(network: LoadedNetwork, text: str) -> tuple[nn.Module, list[str]]:
    """Network after a remedy, in evaluation mode, and what changed.

    Parameters
    ----------
    network : LoadedNetwork
        It stays as it is.
    text : str
        Name of a remedy, and after a colon where it goes to if not to all that it can: "blur3:pools",
        "blur3:convs" (strided convolutions, the first one too, and slices), or places by name, "blur3:pool1,pool4".
        For "cmod" that is one convolution. At the end "+circular" for circular borders of all convolutions and of
        the remedy: "aps-l1+circular".

    Raises
    ------
    ValueError
        If the remedy is unknown, or cannot be applied. The message names it.
    """
    name, _, layers = text.removesuffix(CIRCULAR).partition(":")
    chosen = remedy(name)
    names = [part.strip() for part in layers.split(",") if part.strip()]
    options: dict[str, Any] = {}
    if name in ("cmod", "cmod-band-pass") and len(names) > 1:
        raise ValueError(f"remedy {text!r}: cmod goes to one convolution")
    if names:
        options = {"layer": names[0]} if name.startswith("cmod") else {"names": names}
    if names in (["pools"], ["convs"]) and chosen.factory is not None:
        options = {"types": POOLING if names == ["pools"] else CONVOLUTION}
    model, borders = network.model, list[Any]()
    try:
        if text.endswith(CIRCULAR):
            model, borders = circular_borders(model)
        model, changes = chosen(model, example(network), **options)
    except Exception as error:  # a copy of a model, or a run of it, calls code of the user's
        hint = f"; layers are named as in {name}:LAYER,LAYER" if "names=" in str(error) else ""
        raise ValueError(f"remedy {text!r}: {first_line(error)}{hint}") from error
    device = next((p.device for p in network.model.parameters()), torch.device("cpu"))  # new layers begin on the CPU
    return evaluation(model.to(device)), [str(change) for change in (*borders, *changes)]


def left_lines(network: LoadedNetwork, text: str, model: nn.Module) -> list[str]:
    """Lines for the places that a remedy for all places, of the name `text`, has left as they were, with the reason."""
    if (name := text.removesuffix(CIRCULAR)) not in remedies() or remedy(name).factory is None:
        return []
    picture, features = example(network), final_averages(network.model)

    def reason(place: str) -> str:
        try:
            remedy(name)(network.model, picture, names=[place])
        except Exception as error:  # a copy of a model, or a run of it, calls code of the user's
            return first_line(error)
        role = "it makes the features of the classifier" if place in features else "the picture goes into it"
        return f"{role}; {name}:{place} replaces it"

    return [f"{place}: left as it is, for {reason(place.name)}" for place in left_alone(model, picture)]


def move(model: nn.Module, device: str) -> None:
    """Bring a model to a device; ValueError if torch cannot compute there."""
    try:
        torch.zeros(1, device=device).cpu()  # there are devices that hold nothing
        model.to(device)
    except (RuntimeError, AssertionError) as error:  # the latter from a torch that was built without cuda
        raise ValueError(
            f"torch cannot use the device {device!r}; expected one such as 'cuda': {first_line(error)}"
        ) from error


def check_runs(network: LoadedNetwork, models: dict[str, nn.Module], batch: int = 2) -> None:
    """Raise ValueError for a model that fails on a batch of pictures of the network's size, or returns no logits."""
    for name, model in models.items():
        try:
            with torch.no_grad():
                answer = model(example(network, batch))
        except Exception as error:  # whatever the model's own code raises
            raise ValueError(
                f"{network.name}, {name}: the model fails on {batch} pictures of {network.size}×{network.size} pixels: "
                f"{type(error).__name__}: {first_line(error)}"
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


def example(network: LoadedNetwork, batch: int = 1) -> Tensor:
    """Grey pictures as the model takes them."""
    parameter = next(network.model.parameters(), torch.zeros(()))
    picture = torch.full((batch, 3, network.size, network.size), 0.5, device=parameter.device)
    return picture if network.preprocess is None else network.preprocess(picture)


def _from_file(file: str, factory: str, size: int) -> LoadedNetwork:
    path, shown = Path(file), printable(file)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {shown}")
    spec = importlib.util.spec_from_file_location(f"_shiftscope_{path.stem}", path)
    assert spec is not None and spec.origin is not None  # its name ends in .py
    module = importlib.util.module_from_spec(spec)
    beside = str(path.resolve().parent)
    sys.path.insert(0, beside)  # as for a script
    sys.modules[spec.name] = module
    try:
        content = path.read_bytes()
        version = hashlib.sha256(content).hexdigest()
        exec(compile(content, spec.origin, "exec"), vars(module))  # what was hashed, no bytecode of an older state
        make = getattr(module, factory, None)
        made = make() if callable(make) else None
    except (Exception, SystemExit) as error:
        raise ValueError(f"{shown}: {type(error).__name__}: {first_line(error)}{_line_of(error, path)}") from error
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
    return LoadedNetwork(f"{path.name}:{factory}", evaluation(model), preprocess, size, version)


def _is_own_function(value: object, module: str) -> bool:
    return callable(value) and getattr(value, "__module__", None) == module


def _line_of(error: BaseException, path: Path) -> str:
    """Line in the user's file an error arose."""
    line, step = getattr(error, "lineno", None), error.__traceback__
    while step is not None:
        if Path(step.tb_frame.f_code.co_filename) == path.absolute():
            line = step.tb_lineno
        step = step.tb_next
    return f" (line {line})" if line else ""


def _from_registry(name: str, weights: str | os.PathLike[str], size: int | None) -> LoadedNetwork:
    """Network of the documents with the weights of a file, as many classes as that has, and the input it was for."""
    checkpoint = read_checkpoint(weights)
    try:
        state = tensors_of(weights_of(checkpoint, printable(weights)))
        model = network_registry.create(name)
        *_, (last, linear) = ((n, m) for n, m in model.named_modules() if isinstance(m, nn.Linear))
        bias = state.get(f"{last}.bias")
        if bias is not None and bias.shape != linear.bias.shape and bias.ndim == 1 and len(bias):
            model = network_registry.create(name, classes=len(bias))
        load_weights(model, state)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{printable(weights)} holds no weights of {name}: {first_line(error)}") from error
    side, preprocess = _input_of(checkpoint)
    if side is None:
        side = CIFAR_SIZE if name.startswith(CIFAR) or name.endswith("-cifar") else SIZE
    return LoadedNetwork(name, model.eval(), preprocess, size or side)


def _input_of(checkpoint: Any) -> tuple[int | None, Preprocess]:
    """Side and normalisation of the input, if the checkpoint is best.pt of a training, which records them."""
    match checkpoint:
        case {"belongs": {"size": [int(height), int(width)]}, "mean": mean, "std": std} if height == width:
            return height, partial(normalised, mean=mean, std=std)
    return None, normalised


def _from_torchvision(name: str, weights: str | os.PathLike[str] | None) -> nn.Module:
    try:
        from torchvision import models
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"{TORCHVISION}{name} needs torchvision, which is not installed") from None
    except Exception as error:  # a torchvision that does not go with this torch
        raise ValueError(f"torchvision cannot be imported: {first_line(error)}") from error
    known: Sequence[str] = models.list_models(module=models)
    if name not in known:
        raise ValueError(unknown("model of torchvision", name, known))
    slow = weights is not None and name in ("googlenet", "inception_v3")  # which draw their weights for a minute
    options = {"init_weights": False} if slow else {}
    model: nn.Module = models.get_model(name, weights="DEFAULT" if weights is None else None, **options)
    if weights is not None:
        try:
            load_weights(model, weights)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{printable(weights)} is no state dict of {name}: {first_line(error)}") from error
    return model


def _from_timm(
    source: str, weights: str | os.PathLike[str] | None, size: int | None, pretrained: bool
) -> LoadedNetwork:
    """Model of timm, with the size and the normalisation of the input that timm knows of it."""
    try:
        import timm
        from timm.data import resolve_model_data_config
    except ModuleNotFoundError:
        raise ModuleNotFoundError(f"{source} needs timm, which is not installed") from None
    except Exception as error:  # a timm that does not go with this torch
        raise ValueError(f"timm cannot be imported: {first_line(error)}") from error
    name = source.removeprefix(TIMM)
    if not timm.is_model(name.partition(".")[0]):
        raise ValueError(unknown("model of timm", name, timm.list_models()))
    if weights is None and not pretrained:
        raise ValueError(f"{source} needs its weights: --weights FILE, or --pretrained to download them")
    try:
        model: nn.Module = timm.create_model(name, pretrained=pretrained)
    except Exception as error:  # no network, no such weights
        raise ValueError(f"{source} cannot be made: {type(error).__name__}: {first_line(error)}") from error
    if weights is not None:
        try:
            load_weights(model, weights)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{printable(weights)} is no state dict of {name}: {first_line(error)}") from error
    about = resolve_model_data_config(model)
    prepare = partial(normalised, mean=about["mean"], std=about["std"])
    return LoadedNetwork(source, model.eval(), prepare, size or int(about["input_size"][-1]))
