"""The argument `pooling` of every architecture: an operator by name, or a factory."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from analysis.files.messages import unknown
from analysis.networks.operator_table import OPERATORS, WHOLE_NETWORK
from analysis.networks.site import Site, border_options

Pooling = str | Callable[[Site], nn.Module]

LAYERS: dict[str, dict[int, Callable[..., nn.Module]]] = {
    "max": {1: nn.MaxPool1d, 2: nn.MaxPool2d},
    "average": {1: nn.AvgPool1d, 2: nn.AvgPool2d},
}


def pooling_at(site: Site, pooling: Pooling, padding_mode: str = "zeros") -> nn.Module:
    """Return the operator for a place in a network.

    Parameters
    ----------
    site : Site
    pooling : str or callable
        "max" or "average": torch's own layer, with its zero padding, in place of a pooling layer of either kind. A name
        of :data:`analysis.networks.operator_table.OPERATORS`, which starts as it was published. Or a factory, called
        with the site.
    padding_mode : str
        Of the network's convolutions. Named operators continue their maps in the same way; at "zeros" as they do by
        default, by reflection. A factory of one's own decides itself.

    Returns
    -------
    Module

    Raises
    ------
    TypeError
        If `pooling` is neither a string nor callable, or makes no module.
    ValueError
        If there is no such name, or the remedy of this name does not replace layer by layer.
    """
    if not isinstance(pooling, str):
        if not callable(pooling):
            raise TypeError(f"pooling must be a name or a factory, not {type(pooling).__name__}")
        made = pooling(site)
        if not isinstance(made, nn.Module):
            raise TypeError(f"pooling made {type(made).__name__} at {site.name or 'a layer'}, expected a module")
        return made
    if pooling in LAYERS:
        if site.kind not in LAYERS:
            raise ValueError(
                f"pooling {pooling!r} at {site.name or 'a layer'}: there is no pooling layer, only a stride"
            )
        return LAYERS[pooling][site.dims](site.kernel_size, site.stride, site.padding, ceil_mode=site.ceil_mode)
    if pooling in OPERATORS:
        return OPERATORS[pooling].factory(init="published")(site, **border_options(padding_mode))
    if pooling in WHOLE_NETWORK:
        raise ValueError(f"pooling {pooling!r} is a remedy for whole networks, it does not replace layer by layer")
    raise ValueError(unknown("pooling", pooling, [*LAYERS, *OPERATORS]))
