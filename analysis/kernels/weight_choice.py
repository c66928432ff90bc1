"""Choice of the array in a file that is the weight of the first convolution: by evidence, or not at all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.files.weights import bare
from wavelets.checks import real_array

Shape = tuple[int, ...]

HWIO = "(height, width, channels, kernels)"

# Parts of names: of an optimiser's state, of what is no weight, and of convolutions that enlarge.
_OPTIMISER = re.compile(
    r"optim.*|opt(_state)?|exp_avg.*|momentum(_buffer)?|moments?.*|adam\w*|.*square_avg|.*accumulator.*|rmsprop.*"
    r"|velocity|grads?|gradients?|mu|nu|slots?"
)
_ENLARGING = re.compile(
    r".*transpos.*|.*deconv.*|ups?\d*|up_?conv.*|conv_?up.*|.*upsampl.*|.*decod.*|conv_?t\d*|generator"
)
_DEPTHWISE = re.compile(r".*depth_?wise.*|(.*_)?dw(_?conv)?\d*")

_PART_OF_WEIGHT = re.compile(r"weight_(orig|[guv]|mask)")

# How the parts of a weight are called that a module computes anew for every call.
_PARTS = {
    "norm": (("weight_g", "weight_v"), ("parametrizations.weight.original0", "parametrizations.weight.original1")),
    "mask": (("weight_orig", "weight_mask"),),
    "spectral": (
        ("weight_orig", "weight_u", "weight_v"),
        ("parametrizations.weight.original", "parametrizations.weight.0._u", "parametrizations.weight.0._v"),
    ),
}


def composed(arrays: Mapping[str, Any], shown: str) -> dict[str, Any]:
    r"""Arrays of a file, with the weights in place of the parts that they are computed from.

    Weight normalisation stores g and v (:math:`g\,v/\lVert v\rVert`), pruning a weight and a mask, spectral
    normalisation a weight and two vectors u and v (:math:`W/(u^\top W v)`).

    Parameters
    ----------
    arrays : mapping of str
        Arrays or tensors of torch by their names.
    shown : str
        How messages call the file.

    Returns
    -------
    dict of str
        In the same order; a weight that is computed is float32 or float64.

    Raises
    ------
    ValueError
        If a weight of four axes is parametrised in a way that is not known, or its parts do not fit.
    """
    found: dict[str, Any] = {}
    used: set[str] = set()
    for name, array in arrays.items():
        for kind, suffixes in ((kind, names) for kind, alternatives in _PARTS.items() for names in alternatives):
            stem = name.removesuffix(suffixes[0])
            parts = [stem + suffix for suffix in suffixes]
            if parts[0] == name and (not stem or stem.endswith(".")) and all(part in arrays for part in parts):
                found[f"{stem}weight"] = _compose(kind, [arrays[part] for part in parts], f"{shown}: {stem}weight")
                used.update(parts)
                break
        else:
            found[name] = array
    left = {name: array for name, array in found.items() if name not in used}
    for name, array in left.items():
        alone = _PART_OF_WEIGHT.fullmatch(name.rpartition(".")[2]) or f"{name.removesuffix('weight')}gain" in arrays
        if len(array.shape) == 4 and (alone or ".parametrizations." in f".{name}"):
            raise ValueError(
                f"{shown}: {name!r} {tuple(array.shape)} is part of a weight that its module computes in a way that "
                "is not known here; save the weight itself, such as model.conv1.weight"
            )
    return left


def _compose(kind: str, parts: list[Any], what: str) -> NDArray[Any]:
    first, *rest = (real_array(part, what, 0) for part in parts)
    with np.errstate(all="ignore"):  # what overflows is refused as infinite, as in any weight
        if kind == "norm":
            return _with_gains(first, rest[0], what)
        if kind == "mask":
            if first.shape != rest[0].shape:
                raise ValueError(f"{what}: a mask {rest[0].shape} does not belong to a weight {first.shape}")
            return np.asarray(first * rest[0])
        u, v = rest
        if first.ndim < 2 or u.shape != first.shape[:1] or v.shape != (first[0].size,):
            raise ValueError(f"{what}: vectors {u.shape} and {v.shape} do not belong to a weight {first.shape}")
        return np.asarray(first / (u @ first.reshape(len(first), -1) @ v))


def _with_gains(gains: NDArray[Any], directions: NDArray[Any], what: str) -> NDArray[Any]:
    """Directions brought to the length of their gains, along the axes where these have one entry."""
    sides = gains.shape or (1,) * directions.ndim
    if len(sides) != directions.ndim or any(n not in (1, m) for n, m in zip(sides, directions.shape, strict=True)):
        raise ValueError(f"{what}: gains {gains.shape} do not belong to directions {directions.shape}")
    axes = tuple(i for i, n in enumerate(sides) if n == 1)
    largest = np.abs(directions).max(axes, keepdims=True)  # its square might overflow
    scaled = directions / np.where(largest > 0, largest, 1)
    length = np.sqrt((scaled**2).sum(axes, keepdims=True))
    return np.asarray(gains * scaled / np.where(length > 0, length, 1))


def choose(shapes: Mapping[str, Shape], weight: str | None, shown: str, ordered: bool) -> str:
    """Name of the weight of the first convolution, or of the one that is wanted.

    Parameters
    ----------
    shapes : mapping of str
        Shape of every array by its name.
    weight : str or None
        Name that is wanted, with or without prefixes.
    shown : str
        How messages call the file.
    ordered : bool
        The arrays come in the order of the network.

    Raises
    ------
    ValueError
        If there is none, none for which enough speaks, or two that fit; it names them.
    """
    kernels = {name: shape for name, shape in shapes.items() if len(shape) == 4 or (name == "" and len(shape) == 3)}
    if not kernels:
        raise ValueError(f"{shown}: no 4-D array, as the weights of a convolution are; found {listed(shapes)}")
    if weight is not None:
        exact = [name for name in kernels if name in (weight, bare(weight))]
        matches = exact or [name for name in kernels if name.endswith("." + weight)]
        if len(matches) != 1:
            count = len(matches) or "no"
            raise ValueError(f"{shown}: {count} 4-D weights are named {weight!r}; found {listed(kernels)}")
        if reason := other_order(kernels[matches[0]]):
            raise ValueError(f"{shown}: {listed({matches[0]: kernels[matches[0]]})} {reason}")
        return matches[0]
    against = {name: _against(name, shapes, kernels, ordered) for name in kernels}
    fit = [name for name in kernels if against[name] is None]
    fit = [name for name in fit if name.rpartition(".")[2] == "weight"] or fit  # buffers have other names
    if len(fit) > 1:
        some = listed({name: kernels[name] for name in fit})
        raise ValueError(f"{shown}: {len(fit)} arrays may be the first convolution: {some}; choose by --weight NAME")
    if not fit:
        reasons = "; ".join(f"{listed({name: kernels[name]})} {against[name]}" for name in list(kernels)[:4])
        raise ValueError(f"{shown}: no array is surely the first convolution: {reasons}; choose by --weight NAME")
    return fit[0]


def _against(name: str, shapes: Mapping[str, Shape], kernels: Mapping[str, Shape], ordered: bool) -> str | None:
    """Reason against an array being the weight of the first convolution; None if nothing does."""
    shape = kernels[name]
    parts = re.split(r"[./]", name.lower())
    if _of_optimiser(name):
        return "belongs to an optimiser"
    if any(_ENLARGING.fullmatch(part) for part in parts):
        return "belongs to a convolution that enlarges"
    if any(_DEPTHWISE.fullmatch(part) for part in parts):
        return "is named as a depthwise convolution"
    if reason := other_order(shape):
        return reason
    if parts[-1] == "kernel" and shape[2] in (1, 3):
        return f"is named as in TensorFlow and JAX, whose order is {HWIO}"
    if name == "":
        return None
    if shape[0] == 1:
        return "has one kernel only, as a buffer"
    if shape[1] not in (1, 3):
        return f"has {shape[1]} input channels, where images have 1 or 3"
    bias = shapes.get(name.removesuffix("weight") + "bias")
    if name.endswith("weight") and bias is not None and bias != shape[:1] and bias == shape[1:2]:
        return "has a bias for each input channel, as a transposed convolution"
    others = {other: s for other, s in kernels.items() if s[0] > 1 and not _of_optimiser(other) and not other_order(s)}
    if shape[1] == 1 and shape[0] != 3 and any(s[1] == 3 for s in others.values()):
        return "has one channel beside weights of three, as a depthwise convolution"
    # In the order of the network, or else by the numbers in like names.
    names = list(kernels)
    before = names[: names.index(name)] if ordered else [other for other in names if _earlier(other, name)]
    deeper = next((other for other in before if other in others and others[other][1] not in (1, 3)), None)
    return f"comes after {deeper!r} {kernels[deeper]}" if deeper else None


def _of_optimiser(name: str) -> bool:
    return any(_OPTIMISER.fullmatch(part) for part in re.split(r"[./]", name.lower()))


def _earlier(other: str, name: str) -> bool:
    """Return whether two names differ in their numbers alone, and the first is the lower one."""
    ours, theirs = (re.split(r"([0-9]+)", text) for text in (name, other))
    if ours[::2] != theirs[::2]:
        return False
    numbers = ([(len(n.lstrip("0")), n.lstrip("0")) for n in text[1::2]] for text in (theirs, ours))
    return next(numbers) < next(numbers)


def other_order(shape: Shape) -> str | None:
    """Likely order of the axes of a weight, where it is not (kernels, channels, height, width)."""
    if len(shape) == 4 and shape[0] == shape[1] and shape[2] in (1, 3) and shape[3] >= 8:
        return f"is in the order {HWIO} of TensorFlow and JAX: transpose it by (3, 2, 0, 1)"
    if len(shape) == 4 and shape[1] == shape[2] and shape[3] in (1, 3) and shape[1] not in (1, 3):
        return "is in the order (kernels, height, width, channels): transpose it by (0, 3, 1, 2)"
    return None


def listed(shapes: Mapping[str, Shape], most: int = 8) -> str:
    """Names and shapes for messages."""
    short = {name: name if len(name) < 80 else f"{name[:77]}..." for name in shapes}
    parts = [f"{short[name]!r} {shape}" if name else f"one array {shape}" for name, shape in shapes.items()]
    rest = [f"and {len(parts) - most} more"] if len(parts) > most else []
    return ", ".join(parts[:most] + rest) or "no array at all"
