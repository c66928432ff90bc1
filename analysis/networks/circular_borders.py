"""Circular borders for trained networks: what leaves a map on one side comes back on the other."""

from __future__ import annotations

from torch import nn

from analysis.networks.layer_access import CONVOLUTION, Change, checked_model


def circular_borders(model: nn.Module, *, inplace: bool = False) -> tuple[nn.Module, list[Change]]:
    """Have every padded convolution continue its map as the map's own period, in place of zeros or mirrored.

    Parameters
    ----------
    model : Module
    inplace : bool
        Change the model itself, not a copy.

    Returns
    -------
    model : Module
        Of the same weights. Pooling with padding keeps it.
    changes : list of Change

    Raises
    ------
    TypeError, ValueError
        If the model is no module, or no convolution has padding that is not circular yet.

    Notes
    -----
    Zeros around a map tell a network where its border is, so that even one that does not alias answers a circular shift
    otherwise. With circular borders, and subsampling that keeps its phase ("aps-l1"), it cannot (Chaman and Dokmanić,
    "Truly shift-invariant convolutional neural networks", 2021).
    """
    model = checked_model(model, inplace)
    changes = []
    for name, layer in model.named_modules():
        if isinstance(layer, CONVOLUTION) and layer.padding_mode != "circular" and _has_padding(layer):
            before = repr(layer)
            layer.padding_mode = "circular"
            changes.append(Change(name, before, repr(layer)))
    if not changes:
        raise ValueError("no convolution has padding that is not circular yet")
    return model, changes


def _has_padding(layer: nn.Conv1d | nn.Conv2d) -> bool:
    return layer.padding == "same" if isinstance(layer.padding, str) else any(layer.padding)
