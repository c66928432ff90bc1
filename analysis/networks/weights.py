"""Weights of public checkpoints into networks, whole or in part, and a report of what went where."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.files.weights import common_prefix, read_weights, weights_of

COUNTERS = ("num_batches_tracked", "n_averaged")  # may be missing: of batches, and of the networks in an average

State = Mapping[str, Any]


@dataclass(frozen=True)
class LoadReport:
    """Report of which keys of a checkpoint were loaded.

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
        State dict of tensors or arrays, or a file of one, as :func:`analysis.files.weights.read_weights` reads it; no
        code in it is run. Entries such as "state_dict" or "model" stand for all, and prefixes such as "module." and
        "_orig_mod." for nothing.
    partial : bool
        Load what fits by key and shape, rather than all or nothing.
    prefix : str
        Put before every key: "features.0." takes the file of a layer into a network.

    Returns
    -------
    LoadReport

    Raises
    ------
    OSError
        If the file cannot be opened.
    TypeError
        If a mapping holds something else than texts and tensors or arrays.
    ValueError
        If the file cannot be read, a value is NaN or infinite, or an integer where the model has none, or the
        checkpoint does not fit: it names the first keys that are missing, unexpected, or of another shape. If
        `partial`, only if nothing fits, or if a weight would come without its bias, as from a checkpoint into which
        batch normalisation has been folded.

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
    own = model.state_dict()
    prefix = prefix or common_prefix(own)  # which the names of checkpoints have lost
    given = {prefix + key: value for key, value in tensors_of(source).items()}
    shapes = {
        f"{key} {tuple(value.shape)}, expected {tuple(own[key].shape)}": key
        for key, value in given.items()
        if key in own and value.shape != own[key].shape
    }
    fitting = {key: value for key, value in given.items() if key in own and key not in shapes.values()}
    missing = tuple(key for key in own if key not in given and not key.endswith(COUNTERS))
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
        if own[key].is_floating_point() and not value.is_floating_point():
            raise ValueError(f"{key} of the checkpoint is {value.dtype}; expected floats, as before quantising")
        if not value.to(own[key].dtype).isfinite().all():
            raise ValueError(f"{key} of the checkpoint holds NaN, infinite, or too large values")
    model.load_state_dict(fitting, strict=False)
    return LoadReport(tuple(fitting), missing, unexpected, tuple(shapes.values()))


def tensors_of(source: State | str | os.PathLike[str]) -> dict[str, Tensor]:
    """Tensors of a state dict or a file, without wrappers and prefixes."""
    if not isinstance(source, Mapping):
        found = read_weights(source)
    else:
        wrapped = any(isinstance(value, Mapping) for value in source.values())
        for key, value in source.items():
            if not wrapped and not (isinstance(key, str) and isinstance(value, Tensor | np.ndarray)):
                raise TypeError(f"{key!r} of the checkpoint is {type(value).__name__}; expected names and tensors")
        found = weights_of(source, "the checkpoint")
    return {
        key: torch.from_numpy(np.array(value)) if isinstance(value, np.ndarray) else value
        for key, value in found.items()
    }


def weights_digest(model: nn.Module) -> str:
    """SHA-256 of the names and values of a model's state dict."""
    digest = hashlib.sha256()
    for name, value in model.state_dict().items():
        if isinstance(value, Tensor):
            values = value.detach().cpu().contiguous().reshape(-1)  # a counter has no axis to view as bytes
            digest.update(name.encode() + values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def shown(keys: tuple[str, ...], most: int = 3) -> str:
    """Return the first keys, for messages."""
    rest = f" and {len(keys) - most} more" if len(keys) > most else ""
    return ", ".join(map(repr, keys[:most])) + rest
