"""What subsamples in a network that is built, by name or by factory: the argument `pooling` of every architecture."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from torch import nn

from analysis.files.messages import unknown
from analysis.networks.catalogue import adaptive_blur, behind_max, remedies, tlpf
from analysis.networks.lowpass import TABLE
from analysis.networks.pooling import APS, TLPF, BlurPool, Cascade, MaxPool
from analysis.networks.pooling._border import PerAxis
from analysis.networks.site import Site, border_options

Factory = Callable[..., nn.Module]
Pooling = str | Callable[[Site], nn.Module]

LAYERS: dict[str, dict[int, Callable[..., nn.Module]]] = {
    "max": {1: nn.MaxPool1d, 2: nn.MaxPool2d},
    "average": {1: nn.AvgPool1d, 2: nn.AvgPool2d},
}
TLPF_SIZES = ((3, 3), (4, 4), (5, 5), (6, 6), (1, 4), (1, 5), (1, 6), (4, 1), (5, 1), (6, 1))
"""Sizes, time × frequency, of the trainable filters of document 001's Table I."""


def tlpf_aps(site: Site, size: PerAxis = 5, norm: str = "l1", padding_mode: str = "reflect") -> nn.Module:
    """Dense maximum where there was one, trainable filter that starts at random, adaptive polyphase sampling."""
    filtered = TLPF(site.known_channels(), size, site.stride, site.filter_padding(size), padding_mode, dims=site.dims)
    sampled = APS(site.stride, norm, "same", padding_mode, dims=site.dims)
    return behind_max(site, Cascade(filtered, sampled), padding_mode)


def blur_before(site: Site, filter: str = "binomial", taps: int = 3, padding_mode: str = "reflect") -> nn.Module:
    """Low-pass filter before the max pooling, the wrong order: the control of document 002's appendix C."""
    if site.kind != "max":
        raise ValueError(f"{site.name or 'layer'}: a filter before the maximum needs a max pooling, not {site.kind}")
    blurred = BlurPool(site.stride, filter, taps, "same", padding_mode, site.dims)
    maximum = MaxPool(site.kernel_size, site.stride, site.padding, "zeros", site.ceil_mode, site.dims)
    return Cascade(blurred, maximum)


def filter_names() -> dict[str, tuple[str, int]]:
    """Family and taps of the filters of document 002's Table 1, by the names that the remedies have."""
    return {
        f"{'blur' if family == 'binomial' else family}{taps}": (family, taps)
        for family, sizes in TABLE.items()
        for taps in sizes
    }


def tlpf_name(m: int, n: int) -> str:
    """Name of a trainable filter m × n: tlpf5, tlpf1x4."""
    return f"tlpf{m}" if m == n else f"tlpf{m}x{n}"


def poolings() -> dict[str, Factory]:
    """Return the factories that networks know by name.

    Returns
    -------
    dict of callable
        Those of the remedies that replace layer by layer (:func:`analysis.networks.remedies`), except that trainable
        operators
        start as published, not as a binomial filter: "tlpf" at random, "adaptive-blur" by Kaiming's rule with one
        softmax over all groups. "tlpf3" ... "tlpf6", "tlpf1x4" ... "tlpf6x1": other sizes. "tlpf-aps-l1",
        "tlpf-aps-l2": 5×5, then adaptive polyphase sampling. "blur4-before", "rectangle2-before", ...: the filters
        of document 002 before the maximum.
    """
    table: dict[str, Factory] = {name: r.factory for name, r in remedies().items() if r.factory is not None}
    table["tlpf"] = partial(tlpf, init="random")
    for size in TLPF_SIZES:
        table[tlpf_name(*size)] = partial(tlpf, size=size, init="random")
    for norm in ("l1", "l2"):
        table[f"tlpf-aps-{norm}"] = partial(tlpf_aps, norm=norm)
    table["adaptive-blur"] = partial(adaptive_blur, softmax="joint", init="published")
    for name, (family, taps) in filter_names().items():
        table[f"{name}-before"] = partial(blur_before, filter=family, taps=taps)
    return table


def pooling_at(site: Site, pooling: Pooling, padding_mode: str = "zeros") -> nn.Module:
    """Return the operator for a place in a network.

    Parameters
    ----------
    site : Site
    pooling : str or callable
        "max" or "average": torch's own layer, with its zero padding, in place of a pooling layer of either kind. A name
        of :func:`poolings`. Or a factory, called with the site.
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
    table = poolings()
    if pooling in table:
        return table[pooling](site, **border_options(padding_mode))
    if pooling in remedies():
        raise ValueError(f"pooling {pooling!r} is a remedy for whole networks, it does not replace layer by layer")
    raise ValueError(unknown("pooling", pooling, [*LAYERS, *table]))


def square_site(
    kind: str, kernel_size: int, stride: int, padding: int, channels: int, name: str, ceil_mode: bool = False
) -> Site:
    """Return a place with two axes that are alike; `kind` as in :class:`analysis.networks.Site`."""
    return Site(kind, (kernel_size,) * 2, (stride,) * 2, (padding,) * 2, channels, ceil_mode, name)


def strided_site(channels: int, name: str, stride: int = 2) -> Site:
    """Return the place of the stride of a convolution that itself goes on with stride 1."""
    return square_site("convolution", 1, stride, 0, channels, name)
