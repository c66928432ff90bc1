"""The one table of subsampling operators, from which remedies and the argument `pooling` of networks are both made."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn

from analysis.networks.lowpass import TABLE
from analysis.networks.pooling import APS, TLPF, AdaptiveBlurPool, BlurPool, Cascade, IdealPool, MaxPool
from analysis.networks.pooling._border import PerAxis, extend
from analysis.networks.site import Site

Factory = Callable[..., nn.Module]


@dataclass(frozen=True)
class Operator:
    """A subsampling operator with a name.

    Attributes
    ----------
    name, summary : str
    make : callable
        ``make(site, **options)`` returns the operator for a :class:`analysis.networks.Site`.
    published : mapping
        Options with which a trainable operator starts as it was published; empty if nothing is trained.
    remedy : bool
        For networks that are trained already, too.
    whole : bool
        What it promises needs all subsampling of a network, that of the first convolution too.
    """

    name: str
    summary: str
    make: Factory
    published: Mapping[str, Any] = field(default_factory=dict)
    remedy: bool = True
    whole: bool = False

    def factory(self, init: str) -> Factory:
        """Return ``make`` with the start of what is trained: "published", or the name of a low-pass filter."""
        if not self.published:
            return self.make
        return partial(self.make, **(self.published if init == "published" else {"init": init}))


class Periodic(Cascade):
    """Circular dense pooling and subsampling operator, on the windows of a pooling layer and as many as that has.

    The map before subsampling is one period, of the size of the input, which begins with the layer's first window; what
    is more than the layer's outputs is cropped. So circular shifts by multiples of the stride shift the output if the
    stride divides the size and nothing is cropped. Where its padding gives the layer more outputs than a period has,
    the first one follows again; with `ceil_mode` and a stride that does not divide the size this is a neighbour of the
    window that would follow. Only `forward` crops, not `subsample`.
    """

    def __init__(self, site: Site, down: nn.Module) -> None:
        pads = [(p, k - 1 - p) for k, p in zip(site.kernel_size, site.padding, strict=True)]
        dense: nn.Module = MaxPool(site.kernel_size, site.stride, pads, "circular", dims=site.dims)
        if site.kind == "average":
            dense = BlurPool(site.stride, "rectangle", site.kernel_size, pads, "circular", site.dims)
        super().__init__(dense, down)
        self.site = site

    def forward(self, x: Tensor, **options: Any) -> Any:  # type: ignore[override]
        """Pool maps (batch, channels, spatial axes), real floating."""
        y = super().forward(x, **options)
        counts = self.site.counts(x.shape[2:])
        return extend(y, tuple((0, n - m) for n, m in zip(counts, y.shape[2:], strict=True)), "circular")


class Overhanging(nn.Module):
    """Operator in place of an average pooling with `ceil_mode`: the map goes on until the last window is full.

    Parameters
    ----------
    site : Site
    pool : Module
        Operator on the windows of that layer without `ceil_mode`.
    padding_mode : str
        Of the continuation.
    """

    def __init__(self, site: Site, pool: nn.Module, padding_mode: str) -> None:
        super().__init__()
        self.site, self.pool, self.padding_mode = site, pool, padding_mode

    def forward(self, x: Tensor) -> Tensor:
        """Pool maps (batch, channels, spatial axes), real floating."""
        geometry = zip(self._counts(x), self.site.kernel_size, self.site.stride, self.site.padding, strict=True)
        missing = [(m - 1) * s + k - 2 * p for m, k, s, p in geometry]
        pads = tuple((0, max(n - have, 0)) for n, have in zip(missing, x.shape[2:], strict=True))
        y: Tensor = self.pool(extend(x, pads, self.padding_mode))
        return y

    def _counts(self, x: Tensor) -> list[int]:
        return self.site.counts(x.shape[2:])


def maximum(site: Site) -> MaxPool:
    """Return the maximum of a max pooling, on its windows and borders."""
    return MaxPool(site.kernel_size, site.stride, site.padding, "zeros", site.ceil_mode, site.dims)


def behind_max(site: Site, down: nn.Module, padding_mode: str) -> nn.Module:
    """Put the dense maximum of a max pooling before a subsampling operator."""
    if site.kind == "average" and site.ceil_mode:
        return Overhanging(site, down, padding_mode)
    if site.kind != "max":
        return down
    return Periodic(site, down) if padding_mode == "circular" else Cascade(maximum(site), down)


def then_aps(site: Site, filtered: nn.Module, norm: str, padding_mode: str) -> Cascade:
    """Put adaptive polyphase sampling behind a filter."""
    return Cascade(filtered, APS(site.stride, norm, "same", padding_mode, dims=site.dims))


def blur(site: Site, filter: str = "binomial", taps: int = 3, padding_mode: str = "reflect") -> nn.Module:
    """Dense maximum where there was one, fixed low-pass filter, the binomial one as long as the stride asks for."""
    stretched = [(taps - 1) * (s - 1) + 1 if filter == "binomial" and s > 2 else taps for s in site.stride]
    down = BlurPool(site.stride, filter, taps, site.filter_padding(stretched), padding_mode, site.dims, stretch=True)
    return behind_max(site, down, padding_mode)


def ideal(site: Site, padding_mode: str = "circular") -> nn.Module:
    """Dense maximum where there was one, ideal low-pass filter of the periodic map; an average has none beside it."""
    if site.kind != "average":
        return behind_max(site, IdealPool(site.stride, dims=site.dims), padding_mode)
    centres = [(k - 1) / 2 - p for k, p in zip(site.kernel_size, site.padding, strict=True)]
    return Counted(site, IdealPool(site.stride, centres, site.dims))


class Counted(nn.Module):
    """Periodic operator in place of a pooling layer, with as many outputs as that has.

    Parameters
    ----------
    site : Site
    pool : Module
    """

    def __init__(self, site: Site, pool: nn.Module) -> None:
        super().__init__()
        self.site, self.pool = site, pool

    def forward(self, x: Tensor) -> Tensor:
        """Pool maps (batch, channels, spatial axes), real floating."""
        y = self.pool(x)
        counts = self.site.counts(x.shape[2:])
        return extend(y, tuple((0, n - m) for n, m in zip(counts, y.shape[2:], strict=True)), "circular")


def blur_before(site: Site, filter: str = "binomial", taps: int = 3, padding_mode: str = "reflect") -> nn.Module:
    """Low-pass filter before the max pooling, the wrong order: the control of the BlurPool paper's appendix C."""
    if site.kind != "max":
        raise ValueError(f"{site.name or 'layer'}: a filter before the maximum needs a max pooling, not {site.kind}")
    return Cascade(BlurPool(site.stride, filter, taps, "same", padding_mode, site.dims), maximum(site))


def aps(site: Site, norm: str = "l1", padding_mode: str = "reflect", taps: int = 1) -> nn.Module:
    """Dense maximum where there was one, binomial filter if `taps` is more than 1, adaptive polyphase sampling."""
    if site.kind == "average" and taps == 1:
        return averaged_aps(site, norm, padding_mode)
    padding = site.filter_padding(taps)
    if taps > 1:
        filtered = BlurPool(site.stride, taps=taps, padding=padding, padding_mode=padding_mode, dims=site.dims)
        return behind_max(site, then_aps(site, filtered, norm, padding_mode), padding_mode)
    return behind_max(site, APS(site.stride, norm, padding, padding_mode, dims=site.dims), padding_mode)


def averaged_aps(site: Site, norm: str, padding_mode: str) -> nn.Module:
    """Dense average of an average pooling, adaptive polyphase sampling."""
    down = APS(site.stride, norm, "same", padding_mode, dims=site.dims)
    if padding_mode == "circular":
        return Periodic(site, down)
    pads = [(p, p) for p in site.padding]
    average = BlurPool(site.stride, "rectangle", site.kernel_size, pads, padding_mode, site.dims)
    return behind_max(site, Cascade(average, down), padding_mode)


def tlpf(
    site: Site,
    init: str,
    size: PerAxis = 5,
    padding_mode: str = "reflect",
    norm: str | None = None,
    filter_padding_mode: str | None = None,
) -> nn.Module:
    """Dense maximum where there was one, trainable low-pass filter; with a `norm`, adaptive polyphase sampling."""
    padding, mode = site.filter_padding(size), filter_padding_mode or padding_mode
    down: nn.Module = TLPF(site.known_channels(), size, site.stride, padding, mode, init, site.dims)
    return behind_max(site, down if norm is None else then_aps(site, down, norm, padding_mode), padding_mode)


def adaptive_blur(
    site: Site,
    init: str,
    size: int = 3,
    groups: int | None = None,
    softmax: str = "group",
    padding_mode: str = "reflect",
) -> nn.Module:
    """Dense maximum where there was one, adaptive low-pass filter.

    By default it has 8 groups, or where 8 does not divide the channels as many as divide both.
    """
    channels, padding = site.known_channels(), site.filter_padding(size)
    groups = math.gcd(8, channels) if groups is None else groups
    down = AdaptiveBlurPool(channels, size, site.stride, groups, softmax, padding, padding_mode, init, site.dims)
    return behind_max(site, down, padding_mode)


def filter_name(family: str, taps: int) -> str:
    """Name of the operator with a fixed filter: blur3, triangle5."""
    return f"{'blur' if family == 'binomial' else family}{taps}"


def tlpf_name(m: int, n: int) -> str:
    """Name of a trainable filter m × n: tlpf5, tlpf1x4."""
    return f"tlpf{m}" if m == n else f"tlpf{m}x{n}"


PUBLISHED_FILTERS = {filter_name(family, taps): (family, taps) for family, sizes in TABLE.items() for taps in sizes}
"""Family and taps of the filters of the BlurPool paper's Table 1."""

TLPF_SIZES = ((3, 3), (4, 4), (5, 5), (6, 6), (1, 4), (1, 5), (1, 6), (4, 1), (5, 1), (6, 1))
"""Sizes, time × frequency, of the trainable filters of the sound study's Table I."""


def _operators() -> dict[str, Operator]:
    table: dict[str, Operator] = {}

    def add(name: str, summary: str, make: Factory, **fields: Any) -> None:
        table[name] = Operator(name, summary, make, **fields)

    families = {filter_name("binomial", taps): ("binomial", taps) for taps in range(2, 8)}
    for name, (family, taps) in {**families, **PUBLISHED_FILTERS}.items():
        add(name, f"max pooling, {family} filter of {taps} taps", partial(blur, filter=family, taps=taps))
    for norm in ("l1", "l2", "linf"):
        add(f"aps-{norm}", f"adaptive polyphase sampling, {norm} norm", partial(aps, norm=norm), whole=True)
    add("ideal", "ideal low-pass filter of the periodic map", ideal, whole=True)
    random = {"init": "random"}
    add("tlpf", "trainable 5x5 filter of every channel, binomial until trained", tlpf, published=random)
    start = {"init": "published", "softmax": "joint"}
    add("adaptive-blur", "filter weights by position, binomial until trained", adaptive_blur, published=start)
    for m, n in TLPF_SIZES:
        make = partial(tlpf, size=(m, n))
        add(tlpf_name(m, n), f"trainable {m}x{n} filter of every channel", make, published=random, remedy=False)
    for norm in ("l1", "l2"):
        make = partial(tlpf, norm=norm)
        summary = f"trainable 5x5 filter, adaptive polyphase sampling, {norm} norm"
        add(f"tlpf-aps-{norm}", summary, make, published=random, remedy=False)
    for name, (family, taps) in PUBLISHED_FILTERS.items():
        make = partial(blur_before, filter=family, taps=taps)
        add(f"{name}-before", f"{family} filter of {taps} taps, max pooling", make, remedy=False)
    return table


OPERATORS = _operators()
"""All operators by name.

"blur2" to "blur7": max pooling with a binomial filter of so many taps; "rectangle2", "triangle5", "least-squares7",
...: with the other filters of the BlurPool paper's Table 1. "aps-l1", "aps-l2", "aps-linf": adaptive polyphase
sampling. "tlpf": trainable 5x5 filters; "tlpf3" ... "tlpf6", "tlpf1x4" ... "tlpf6x1": of other sizes; "tlpf-aps-l1",
"tlpf-aps-l2": 5x5, then adaptive polyphase sampling. "adaptive-blur": weights by position; published with one softmax
over all groups, otherwise one a group. "ideal": the ideal low-pass filter of the periodic map. "blur4-before",
"rectangle2-before", ...: filters before the maximum.
"""

WHOLE_NETWORK = ("intrablock", "cmod", "cmod-band-pass", "circular")
"""Remedies that do not go layer by layer, and so are no operators: see :func:`analysis.networks.remedies`."""
