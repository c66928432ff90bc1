"""A first layer from wherever it is: the embedded one, a known network, a file, an array or a torch module."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib.resources
import io
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.files.messages import printable, unknown
from analysis.files.weights import SUFFIXES, need_reader, read_weights, suffix_of
from analysis.kernels.known_networks import NETWORKS, KnownLayer, fetch
from analysis.kernels.layer import FirstLayer
from analysis.kernels.weight_choice import choose, composed, other_order
from wavelets.checks import from_torch, real_array

NORMALISATION_PARTS = ("weight", "bias", "running_mean", "running_var")
EPSILON = 1e-5  # added to the variance: torch's default, as files do not say


def first_layer(
    source: Any = "default",
    *,
    weight: str | None = None,
    like: str | None = None,
    stride: int | None = None,
    padding: int | None = None,
    pool: int | None = None,
    pool_padding: int | None = None,
    channels: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    name: str | None = None,
    cache: str | os.PathLike[str] | None = None,
    progress: bool = True,
) -> FirstLayer:
    """First convolution of a network, with its geometry and normalisation.

    Known networks carry their geometry. It is taken, in rising order of precedence, from the source, from the network
    `like`, and from what is given explicitly; without any of them padding and pool_padding are 0, pool is 3.

    Parameters
    ----------
    source : str, path, array, torch.nn.Conv2d or FirstLayer
        ``"default"`` is the layer that comes with this package. The name of a known network, such as ``"alexnet"``,
        stands for its published weights, which are downloaded once and verified. A file is a checkpoint of torch
        (.pth, .pt, .ckpt, .tar, .th, .bin), .safetensors, .npz or .npy. An array or tensor has shape (L, C, h, w),
        or (L, h, w) for one channel.
    weight : str, optional
        Name of the weight in the file, with or without the prefixes that all names there have; by default the one
        array that can be the first convolution (:mod:`analysis.kernels.weight_choice`). Of weight, spectral
        normalisation and pruning the weight is computed, and named as it was before: ``"conv1.weight"``.
    like : str, optional
        Known network whose geometry, order of channels and normalisation to take. The order is not taken where it is
        known: the kernels of ``"default"`` and of a FirstLayer are in R, G, B.
    stride, padding : int, optional
        Of the convolution, pixels.
    pool, pool_padding : int, optional
        Of the max pooling, positions.
    channels : {"RGB", "BGR"}, optional
        Order of the weight's channels; the result has R, G, B.
    mean, std : sequence of float, optional
        Normalisation of R, G, B, whatever the order of `channels`; pixels in [0, 1].
    name : str, optional
        For titles.
    cache : path, optional
        Folder of downloads; by default that of the environment variable SHIFTSCOPE_CACHE, or else the system's.
    progress : bool
        Show a progress bar while downloading.

    Returns
    -------
    FirstLayer

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    OSError
        If a file cannot be opened or downloaded.
    ModuleNotFoundError
        If the package that reads such files is not installed.
    TypeError, ValueError
        If there are no weights that can be used, two arrays may be the first convolution, the network is not known, or
        an argument is out of range.
    """
    if channels not in (None, "RGB", "BGR"):
        raise ValueError(f"channels is {channels!r}; expected 'RGB' or 'BGR'")
    model = None if like is None else _geometry(_network(like))
    found, shown = _find(source, weight, cache, progress)
    given = {
        "name": None if name is None else printable(name),
        "stride": stride,
        "padding": padding,
        "pool": pool,
        "pool_padding": pool_padding,
        "channels": channels,
        "mean": None if mean is None else _numbers("mean", mean),
        "std": None if std is None else _numbers("std", std),
    }
    fields = found | (model or {}) | {key: value for key, value in given.items() if value is not None}
    order = fields.pop("channels", "RGB")
    if isinstance(source, FirstLayer) or _is_default(source):
        if channels == "BGR":
            raise ValueError("channels is 'BGR', but the kernels of this source are in the order R, G, B")
        order = "RGB"
    if "stride" not in fields:
        raise ValueError(
            f"{shown}the stride is not in the file or array: give stride (--stride M on the command line) "
            f"or like, a network such as 'alexnet'"
        )
    if model and fields["weight"].shape[1:2] == (1,):
        for key in ("mean", "std"):
            if given[key] is None:  # the network has three channels, the weights see their luminance
                fields[key] = (sum(fields[key]) / 3,)
    try:
        layer = FirstLayer(**fields)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(shown + " ".join(str(error).split())) from error
    if order == "BGR":
        layer = dataclasses.replace(layer, weight=layer.weight[:, ::-1].copy())
    return layer


def _find(
    source: Any, weight: str | None, cache: str | os.PathLike[str] | None, progress: bool
) -> tuple[dict[str, Any], str]:
    """Fields of the record that the source holds, and how messages about its weights begin."""
    if isinstance(source, os.PathLike):
        return _from_file(os.fsdecode(source), weight)
    if isinstance(source, str) and not _is_default(source):
        if source in NETWORKS:
            return _from_network(source, weight, cache, progress)
        if os.path.exists(source) or _looks_like_path(source):
            return _from_file(source, weight)
        _network(source, "; or give a file")
    if weight is not None:
        raise ValueError(f"weight is {weight!r}, the name of an array in a file, but the source is none")
    if _is_default(source):
        return _from_package(), ""
    if isinstance(source, FirstLayer):
        return {field.name: getattr(source, field.name) for field in dataclasses.fields(source)}, ""
    if all(hasattr(source, key) for key in ("weight", "bias", "stride", "padding")):
        return _from_convolution(source), ""
    if hasattr(source, "state_dict"):
        raise TypeError(f"source is a {type(source).__name__}; expected its first convolution, such as model.conv1")
    return _from_array(source), ""


def _is_default(source: object) -> bool:
    return isinstance(source, str) and source == "default"


def _looks_like_path(text: str) -> bool:
    return "/" in text or os.sep in text or text.lower().endswith(SUFFIXES)


def _network(name: str, otherwise: str = "") -> KnownLayer:
    if name not in NETWORKS:
        raise ValueError(unknown("network", name, NETWORKS) + otherwise)
    return NETWORKS[name]


def _geometry(network: KnownLayer) -> dict[str, Any]:
    return {key: value for key, value in vars(network).items() if key not in ("url", "sha256", "weight")}


def _from_package() -> dict[str, Any]:
    file = importlib.resources.files("analysis.kernels") / "default_layer.npz"
    try:
        data = file.read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(
            "the layer that comes with this package, analysis/kernels/default_layer.npz, is missing; "
            "give a file or the name of a network"
        ) from None
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        fields: dict[str, Any] = {key: int(arrays[key]) for key in ("stride", "padding", "pool", "pool_padding")}
        fields |= {key: tuple(arrays[key].tolist()) for key in ("mean", "std")}
        fields |= {"name": str(arrays["name"]), "weight": arrays["weight"], "bias": arrays["bias"]}
    return fields | {"parameter": "weight", "origin": "embedded", "sha256": hashlib.sha256(data).hexdigest()}


def _from_network(
    name: str, weight: str | None, cache: str | os.PathLike[str] | None, progress: bool
) -> tuple[dict[str, Any], str]:
    network = NETWORKS[name]
    if network.url is None:
        raise ValueError(f"no address is known for the weights of {name}; give a file and like={name!r}")
    need_reader(network.url)  # before a long download
    fields, shown = _from_file(str(fetch(network, cache, progress)), weight or network.weight)
    return fields | _geometry(network) | {"name": name, "origin": network.url}, shown


def _from_file(path: str, weight: str | None) -> tuple[dict[str, Any], str]:
    shown = printable(path)
    arrays = composed(read_weights(path), shown)
    shapes = {key: tuple(array.shape) for key, array in arrays.items()}
    parameter = choose(shapes, weight, shown, ordered=suffix_of(path) != ".safetensors")
    kernels, bias = arrays[parameter], arrays.get(parameter.removesuffix("weight") + "bias")
    if str(kernels.dtype).removeprefix("torch.") in ("int8", "uint8"):
        raise ValueError(f"{shown}: {parameter!r} is stored as {kernels.dtype}: quantised, without its scale")
    if not parameter.endswith("weight") or (bias is not None and bias.shape != kernels.shape[:1]):
        bias = None
    with open(path, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    origin = printable(os.path.basename(path))
    scale, shift = _normalisation(arrays, parameter, len(kernels))
    if scale is not None:  # the bias of the convolution goes through the normalisation
        bias = shift if bias is None else shift + scale * real_array(bias, "bias", 1)
    fields: dict[str, Any] = {
        "name": origin[: -len(suffix_of(path))] or origin,
        "weight": _one_channel(kernels) if parameter == "" else kernels,
        "bias": bias,
        "scale": scale,
        "parameter": parameter,
        "origin": origin,
        "sha256": digest,
    }
    return fields, f"{shown}: "


def _normalisation(arrays: Mapping[str, Any], parameter: str, count: int) -> tuple[Any, Any]:
    """Scale and shift of the batch normalisation whose arrays stand beside the weight of a convolution, or None.

    It is known by name: bn1 after conv1, norm0 after conv0, bn after conv, 1 after 0; or bn_scale and bn_bias, folded.
    """
    parent, _, name = parameter.removesuffix("weight").rstrip(".").rpartition(".")
    parent += "." if parent else ""
    names = [name.replace("conv", "bn"), name.replace("conv", "norm"), str(int(name) + 1) if name.isdecimal() else "bn"]
    wanted = [[f"{parent}{norm}.{part}" for part in NORMALISATION_PARTS] for norm in names]
    for group in [*wanted, [f"{parent}bn_scale", f"{parent}bn_bias"]]:
        if all(part in arrays and tuple(arrays[part].shape) == (count,) for part in group):
            scale, shift, *moments = (real_array(arrays[part], part, 1).astype(np.float64) for part in group)
            if moments:
                mean, variance = moments
                scale = scale / np.sqrt(np.maximum(variance, 0) + EPSILON)
                shift = shift - scale * mean
            return scale, shift
    return None, None


def _one_channel(array: Any) -> Any:
    """Kernels (L, h, w) as (L, 1, h, w); all else as it is."""
    return array[:, None] if array.ndim == 3 else array


def _from_array(array: ArrayLike) -> dict[str, Any]:
    weight = _one_channel(real_array(array, "weight", 3)).copy()  # later changes to the array are not for the record
    if reason := other_order(weight.shape):
        raise ValueError(f"weight of shape {weight.shape} {reason}")
    return {"name": "array", "weight": weight, "sha256": _digest(weight)}


def _from_convolution(module: Any) -> dict[str, Any]:
    if getattr(module, "transposed", False):
        raise ValueError(f"source is a transposed convolution ({type(module).__name__}); expected a plain one")
    _refuse_own_forward(module)
    weight = real_array(module.weight, "weight", 4).copy()
    if getattr(module, "groups", 1) != 1:
        raise ValueError(f"the convolution has groups {module.groups}; expected 1")
    if _same("dilation", getattr(module, "dilation", 1)) != 1:
        raise ValueError(f"the convolution has dilation {module.dilation}; expected 1")
    padding = module.padding
    if padding == "valid":
        padding = 0
    elif padding == "same":
        if any(side % 2 == 0 for side in weight.shape[2:]):
            raise ValueError(f"padding 'same' of kernels {weight.shape[2:]} is uneven; expected odd sides")
        padding = tuple(side // 2 for side in weight.shape[2:])
    padding = _same("padding", padding)
    mode = getattr(module, "padding_mode", "zeros")
    if padding and mode != "zeros":
        raise ValueError(f"the convolution has padding_mode {mode!r}; expected 'zeros'")
    return {
        "name": type(module).__name__,
        "weight": weight,
        "bias": None if module.bias is None else np.array(from_torch(module.bias)),
        "stride": _same("stride", module.stride),
        "padding": padding,
        "sha256": _digest(weight),
    }


def _refuse_own_forward(module: Any) -> None:
    """Raise for a module of torch whose stored weight is not what it convolves with, as far as can be seen."""
    if not hasattr(module, "state_dict"):
        return
    from torch import nn

    from analysis.networks.layer_access import behaves_as, told

    if isinstance(module, nn.Conv2d) and not behaves_as(module, nn.Conv2d):
        raise ValueError(
            f"source is a {told(module)}: what it makes of its weight is not known here; give the kernels as an array"
        )


def _same(name: str, value: Any) -> Any:
    """The one number that holds vertically and horizontally."""
    values = set(value) if isinstance(value, (tuple, list)) else {value}
    if len(values) != 1:
        raise ValueError(f"the convolution has {name} {value}; expected the same vertically and horizontally")
    return values.pop()


def _numbers(name: str, values: ArrayLike) -> tuple[float, ...]:
    return tuple(real_array(values, name, 1).ravel().tolist())


def _digest(weight: NDArray[Any]) -> str:
    return hashlib.sha256(f"{weight.dtype.str} {weight.shape}".encode() + weight.tobytes()).hexdigest()
