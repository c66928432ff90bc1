"""Weights of public checkpoints into networks, whole or in part, and a report of what went where."""

from __future__ import annotations

import os
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

TORCH_SUFFIXES = (".pth", ".pt", ".tar", ".ckpt", ".bin")
WRAPPERS = ("state_dict", "model_state_dict", "model")
PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile
COUNTER = "num_batches_tracked"  # older checkpoints have none

State = Mapping[str, Any]


@dataclass(frozen=True)
class LoadReport:
    """What became of a checkpoint.

    Attributes
    ----------
    loaded : tuple of str
        Keys of the model that were filled.
    missing : tuple of str
        Keys of the model that the checkpoint does not have, which stay as they were.
    unexpected : tuple of str
        Keys of the checkpoint that the model does not have.
    misshapen : tuple of str
        Keys of both with different shapes; for messages with the two.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]

    def __str__(self) -> str:
        parts = [
            f"{len(keys)} {what}{f' ({shown(keys)})' if what != 'loaded' else ''}"
            for what, keys in vars(self).items()
            if keys or what == "loaded"
        ]
        return ", ".join(parts)


def load_weights(
    model: nn.Module, source: State | str | os.PathLike[str], *, partial: bool = False, prefix: str = ""
) -> LoadReport:
    """Fill a network from a checkpoint.

    Parameters
    ----------
    model : Module
        Changed in place, or not at all.
    source : mapping or path
        State dict of tensors or arrays, or a file of one: .pth, .pt, .tar, .ckpt, .bin (read as weights only, so that
        no code of theirs runs), .safetensors, .npz. A mapping with the entry "state_dict", "model_state_dict" or
        "model" stands for that entry, and the prefixes "module." and "_orig_mod." for nothing.
    partial : bool
        Load what fits by key and shape, rather than all or nothing.
    prefix : str
        Put before every key: "features.0." takes the file of a layer into a network.

    Returns
    -------
    LoadReport

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    TypeError
        If the source is no mapping of texts to tensors or arrays.
    ValueError
        If the file cannot be read, a value is NaN or infinite, or the checkpoint does not fit: it names the first
        keys that are missing, unexpected, or of another shape. If `partial`, only if nothing fits, or if a weight would
        come without its bias, as from a checkpoint into which batch normalisation has been folded.

    Notes
    -----
    Values take the dtype and the device of the model. The counters of batches in batch norms may be missing, as they
    are in older checkpoints.

    Examples
    --------
    >>> report = load_weights(nn.Conv2d(3, 8, 5), {"bias": np.zeros(8, np.float32)}, partial=True)
    >>> print(report)
    1 loaded, 1 missing ('weight')
    """
    read = tensors_of(source if isinstance(source, Mapping) else read_state(Path(source)))
    given = {prefix + key: value for key, value in read.items()}
    own = model.state_dict()
    shapes = {
        f"{key} {tuple(value.shape)}, expected {tuple(own[key].shape)}": key
        for key, value in given.items()
        if key in own and value.shape != own[key].shape
    }
    fitting = {key: value for key, value in given.items() if key in own and key not in shapes.values()}
    missing = tuple(key for key in own if key not in given and not key.endswith(COUNTER))
    unexpected = tuple(key for key in given if key not in own)
    name = type(model).__name__
    if not partial and (missing or unexpected or shapes):
        wrong = {"missing": missing, "unexpected": unexpected, "of another shape": tuple(shapes)}
        found = "; ".join(f"{what}: {shown(keys)}" for what, keys in wrong.items() if keys)
        raise ValueError(f"the checkpoint is of another architecture than this {name}; {found}")
    if not fitting:
        raise ValueError(f"nothing of the checkpoint fits this {name}; it has {shown(tuple(given))}")
    for key, value in fitting.items():
        bias = f"{key.removesuffix('weight')}bias"
        if key.endswith("weight") and bias in unexpected:
            raise ValueError(
                f"the checkpoint has {bias} to go with {key}, and this {name} has not: if batch normalisation was "
                "folded into it, the weight alone would be another layer"
            )
        if value.is_floating_point() and not value.isfinite().all():
            raise ValueError(f"{key} of the checkpoint holds NaN or infinite values")
    model.load_state_dict(fitting, strict=False)
    return LoadReport(tuple(fitting), missing, unexpected, tuple(shapes.values()))


def tensors_of(state: State) -> dict[str, Tensor]:
    """Tensors of a state dict without wrappers and prefixes."""
    for wrapper in WRAPPERS:
        if isinstance(state.get(wrapper), Mapping):
            state = state[wrapper]
    tensors = {}
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor | np.ndarray):
            raise TypeError(f"{key!r} of the checkpoint is {type(value).__name__}; expected names and tensors")
        tensors[key] = torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value
    for prefix in PREFIXES:
        if tensors and all(key.startswith(prefix) for key in tensors):
            tensors = {key.removeprefix(prefix): value for key, value in tensors.items()}
    return tensors


def read_state(path: Path) -> State:
    """Read a checkpoint without running anything that it asks for."""
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    suffix = path.suffix.lower()
    try:
        if suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                return dict(file)
        if suffix == ".safetensors":
            return load_file(path)
        if suffix in TORCH_SUFFIXES:
            state = torch.load(path, map_location="cpu", weights_only=True)
            if isinstance(state, Mapping):
                return state
            raise TypeError(f"it holds {type(state).__name__}, not a state dict")
    except pickle.UnpicklingError:
        raise ValueError(
            f"{path}: refused, it is damaged, or holds objects other than weights; save model.state_dict()"
        ) from None
    except (OSError, ValueError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, SafetensorError) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise ValueError(f"{path}: not a checkpoint that can be read ({reason})") from error
    raise ValueError(f"{path}: unknown kind of file; expected .npz, .safetensors, {', '.join(TORCH_SUFFIXES)}")


def shown(keys: tuple[str, ...], most: int = 3) -> str:
    """Return the first keys, for messages."""
    rest = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(map(repr, keys[:most])) + rest
