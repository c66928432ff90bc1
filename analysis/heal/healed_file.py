"""The file healed.safetensors: an ordinary state dict, and in its header the remedy that the network has."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from safetensors.torch import save
from torch import nn

from analysis.files.atomic import write_atomically
from analysis.files.messages import printable
from analysis.files.weights import read_header
from analysis.networks.layer_access import checked_model, evaluation
from analysis.networks.loading import LoadedNetwork, apply_remedy
from analysis.networks.weights import load_weights

FORMAT = "shiftscope-healed-1"

HEALED_NAME = ", healed"
"""End of the name that a healed network has in tables, after that of its remedy."""


def save_healed(
    path: str | os.PathLike[str], model: nn.Module, network: str, remedy: str, changes: Sequence[str], size: int
) -> Path:
    """Write the weights of a healed network, with network, remedy and places in the header.

    Parameters
    ----------
    path : path
    model : Module
        The network with the remedy.
    network : str
        Name of the plain network, for readers.
    remedy : str
        As for :func:`analysis.networks.loading.apply_remedy`; "" for none.
    changes : sequence of str
        A line for each place, which begins with its name.
    size : int
        Side of the network's input, pixels.
    """
    header = {
        "format": FORMAT,
        "network": network,
        "remedy": remedy,
        "places": json.dumps([place_of(change) for change in changes]),
        "size": str(size),
    }
    weights = {name: value.detach().cpu().contiguous().clone() for name, value in model.state_dict().items()}
    return write_atomically(path, lambda file: file.write_bytes(_ordered(save(weights, header))))


def _ordered(content: bytes) -> bytes:
    """Content of a safetensors file with its header in a fixed order, so that equal networks have equal files.

    The format: the header's length (8 bytes, little endian), the header in JSON, padded with spaces, and the data.
    """
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[end:]


def load_healed(path: str | os.PathLike[str], model: nn.Module | LoadedNetwork) -> nn.Module:
    """Network that :func:`analysis.heal_network` healed, built again from the plain one.

    Parameters
    ----------
    path : path
        healed.safetensors.
    model : Module or LoadedNetwork
        The plain network, of any weights; it stays as it is.

    Returns
    -------
    Module
        With the remedy and the weights of the file, in evaluation mode.

    Raises
    ------
    OSError
        If the file cannot be opened.
    ValueError
        If it is none of this kind, or of another network: the remedy finds other places there, or weights do not fit.
    """
    shown = printable(path)
    header = read_header(path)
    if header.get("format") != FORMAT:
        raise ValueError(f"{shown} is no network that was healed: its header has no format {FORMAT!r}")
    try:
        size, places = int(header["size"]), json.loads(header["places"])
        network, remedy = header["network"], header["remedy"]
    except (KeyError, ValueError) as error:
        raise ValueError(f"{shown}: the header is damaged: {error!r}") from error
    loaded = model if isinstance(model, LoadedNetwork) else LoadedNetwork(type(model).__name__, model, size=size)
    try:
        healed, changes = remedied(loaded, remedy)
    except ValueError as error:
        raise ValueError(f"{shown} is of {network}: {error}") from error
    if (here := [place_of(change) for change in changes]) != places:
        raise ValueError(f"{shown} is of {network}, where {remedy} changed {places}; here it changes {here}")
    try:
        load_weights(healed, path)
    except ValueError as error:
        raise ValueError(f"{shown} is of another network ({network}): {error}") from error
    return healed.eval()


def healed_name(path: str | os.PathLike[str]) -> str:
    """Name in tables of the network in a file: that of its remedy, and that it was healed."""
    return (read_header(path).get("remedy") or "no remedy") + HEALED_NAME


def remedied(network: LoadedNetwork, remedy: str) -> tuple[nn.Module, list[str]]:
    """Copy of a network with a remedy, and a line for each place; with "" a copy of it as it is."""
    if remedy:
        return apply_remedy(network, remedy)
    return evaluation(checked_model(network.model, inplace=False)), []


def place_of(change: str) -> str:
    """Name of the layer that a line of changes begins with."""
    return change.partition(": ")[0]
