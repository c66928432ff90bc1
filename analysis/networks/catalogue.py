"""Every remedy by name, ready to be applied to a trained network without training."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from analysis.files.messages import unknown
from analysis.networks.localisation import ENERGY, band_pass_channels
from analysis.networks.lowpass import TABLE
from analysis.networks.pooling import APS, TLPF, AdaptiveBlurPool, BlurPool, Cascade, MaxPool
from analysis.networks.pooling._border import PerAxis, extend, pooled_size
from analysis.networks.site import Site
from analysis.networks.surgery import (
    CONVOLUTION,
    GRID,
    convolutions,
    insert_intrablock,
    layer_of,
    replace_pooling,
    to_cmod,
)

Factory = Callable[..., nn.Module]
Result = tuple[nn.Module, list[Any]]


@dataclass(frozen=True)
class Remedy:
    """A remedy against aliasing: ``remedy(model, example)`` returns the new model and the list of what changed.

    Attributes
    ----------
    name, summary : str
    apply : callable
        ``apply(model, example=None, **options) -> (model, changes)``; the model it is given stays as it is.
    factory : callable or None
        ``factory(site, **options)`` makes the operator for one layer; None if the remedy does not replace layer by
        layer.
    """

    name: str
    summary: str
    apply: Callable[..., Result]
    factory: Factory | None = None

    def __call__(self, model: nn.Module, example: Tensor | None = None, **options: Any) -> Result:
        """Apply the remedy to a model."""
        return self.apply(model, example=example, **options)


class Periodic(Cascade):
    """Circular dense maximum and subsampling operator, on the windows of a max pooling and as many as that has.

    The map before subsampling is one period, of the size of the input, which begins with the layer's first window; what
    is more than the layer's outputs is cropped. So circular shifts by multiples of the stride shift the output if the
    stride divides the size and nothing is cropped. Where its padding gives the layer more outputs than a period has,
    the first one follows again; with `ceil_mode` and a stride that does not divide the size this is a neighbour of the
    window that would follow. Only `forward` crops, not `subsample`.
    """

    def __init__(self, site: Site, down: nn.Module) -> None:
        pads = [(p, k - 1 - p) for k, p in zip(site.kernel_size, site.padding, strict=True)]
        super().__init__(MaxPool(site.kernel_size, site.stride, pads, "circular", dims=site.dims), down)
        self.site = site

    def forward(self, x: Tensor, **options: Any) -> Any:  # type: ignore[override]
        """Pool maps (batch, channels, spatial axes), real floating."""
        site, y = self.site, super().forward(x, **options)
        windows = zip(site.kernel_size, site.stride, site.padding, strict=True)
        sizes = zip(x.shape[2:], windows, strict=True)
        counts = [pooled_size(n, k, s, (p, p), site.ceil_mode) for n, (k, s, p) in sizes]
        return extend(y, tuple((0, n - m) for n, m in zip(counts, y.shape[2:], strict=True)), "circular")


def behind_max(site: Site, down: nn.Module, padding_mode: str) -> nn.Module:
    """Put the dense maximum of a max pooling before a subsampling operator."""
    if site.kind != "max":
        return down
    if padding_mode == "circular":
        return Periodic(site, down)
    return Cascade(MaxPool(site.kernel_size, site.stride, site.padding, "zeros", site.ceil_mode, site.dims), down)


def blur(site: Site, filter: str = "binomial", taps: int = 3, padding_mode: str = "reflect") -> nn.Module:
    """Dense maximum where there was one, fixed low-pass filter."""
    down = BlurPool(site.stride, filter, taps, site.filter_padding(taps), padding_mode, site.dims)
    return behind_max(site, down, padding_mode)


def aps(site: Site, norm: str = "l1", padding_mode: str = "reflect", taps: int = 1) -> nn.Module:
    """Dense maximum where there was one, binomial filter if `taps` is more than 1, adaptive polyphase sampling."""
    down: nn.Module = APS(site.stride, norm, site.filter_padding(1), padding_mode, dims=site.dims)
    if taps > 1:
        padding = site.filter_padding(taps)
        filtered = BlurPool(site.stride, taps=taps, padding=padding, padding_mode=padding_mode, dims=site.dims)
        down = Cascade(filtered, APS(site.stride, norm, "same", padding_mode, dims=site.dims))
    return behind_max(site, down, padding_mode)


def tlpf(site: Site, size: PerAxis = 5, init: str = "binomial", padding_mode: str = "reflect") -> nn.Module:
    """Dense maximum where there was one, trainable low-pass filter that starts as a binomial one."""
    padding = site.filter_padding(size)
    down = TLPF(site.known_channels(), size, site.stride, padding, padding_mode, init, site.dims)
    return behind_max(site, down, padding_mode)


def adaptive_blur(
    site: Site,
    size: int = 3,
    groups: int | None = None,
    softmax: str = "group",
    init: str = "binomial",
    padding_mode: str = "reflect",
) -> nn.Module:
    """Dense maximum where there was one, adaptive low-pass filter that starts as a binomial one.

    By default it has 8 groups, or where 8 does not divide the channels as many as divide both.
    """
    channels, padding = site.known_channels(), site.filter_padding(size)
    groups = math.gcd(8, channels) if groups is None else groups
    down = AdaptiveBlurPool(channels, size, site.stride, groups, softmax, padding, padding_mode, init, site.dims)
    return behind_max(site, down, padding_mode)


def remedies() -> dict[str, Remedy]:
    """All remedies by name.

    Returns
    -------
    dict of Remedy
        "blur2" to "blur7": max pooling with a binomial filter of so many taps. "rectangle2", "triangle5",
        "least-squares7", ...: with the other filters of Table 1. "aps-l1", "aps-l2", "aps-linf": adaptive polyphase
        sampling. "tlpf": trainable 5x5 filters, which are binomial until they are trained. "adaptive-blur": weights by
        position, until trained the binomial filter of 3 taps; softmax by group, gcd(8, channels) groups. "intrablock":
        a dense 3x3 maximum inside every block. "cmod": complex filters and modulus for the first convolution and the
        max pooling after it; "cmod-band-pass": for its band-pass channels only, as
        :func:`analysis.networks.band_pass_channels` finds them, where the other ones keep their maximum.

    Notes
    -----
    All but "intrablock" and the two of "cmod" replace max pooling layers, or average pooling if there are none: see
    :func:`analysis.networks.surgery.replace_pooling`, whose `types` and `names` they take as options. The two of
    "cmod" take `layer` and the options of :func:`analysis.networks.to_cmod`, "cmod-band-pass" also `energy`.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2))
    >>> pooled, changes = remedies()["blur3"](model)
    >>> print(changes[0].name, changes[0].before)
    2 MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    """
    table: dict[str, Remedy] = {}

    def add(name: str, summary: str, factory: Factory) -> None:
        def apply(model: nn.Module, example: Tensor | None = None, **options: Any) -> Result:
            return replace_pooling(model, name, example=example, **options)

        table[name] = Remedy(name, summary, apply, factory)

    for taps in range(2, 8):
        add(f"blur{taps}", f"max pooling, binomial filter of {taps} taps", partial(blur, taps=taps))
    for family, sizes in TABLE.items():
        for taps in sizes if family != "binomial" else ():
            summary = f"max pooling, {family} filter of {taps} taps"
            add(f"{family}{taps}", summary, partial(blur, filter=family, taps=taps))
    for norm in ("l1", "l2", "linf"):
        add(f"aps-{norm}", f"adaptive polyphase sampling, {norm} norm", partial(aps, norm=norm))
    add("tlpf", "trainable 5x5 filter of every channel, binomial until trained", tlpf)
    add("adaptive-blur", "filter weights by position, binomial until trained", adaptive_blur)

    def cmod(model: nn.Module, example: Tensor | None = None, layer: str | None = None, **options: Any) -> Result:
        return to_cmod(model, convolutions(model)[0] if layer is None else layer, example=example, **options)

    def cmod_band_pass(
        model: nn.Module,
        example: Tensor | None = None,
        layer: str | None = None,
        energy: float = ENERGY,
        grid: int = GRID,
        **options: Any,
    ) -> Result:
        name = convolutions(model)[0] if layer is None else layer
        channels, convolution = None, layer_of(model, name)
        if isinstance(convolution, CONVOLUTION):  # of other layers to_cmod says what is wrong
            channels = band_pass_channels(convolution.weight, max(convolution.stride), energy, grid)
            if not channels.any():
                raise ValueError(f"layer {name!r} has no band-pass channels to turn")
        return to_cmod(model, name, channels=channels, grid=grid, example=example, **options)

    def intrablock(model: nn.Module, example: Tensor | None = None, **options: Any) -> Result:
        return insert_intrablock(model, **options)

    table["intrablock"] = Remedy("intrablock", "dense 3x3 maximum inside every block", intrablock)
    table["cmod"] = Remedy("cmod", "complex filters and modulus for the first convolution and max pooling", cmod)
    summary = "complex filters and modulus for the band-pass channels of the first convolution"
    table["cmod-band-pass"] = Remedy("cmod-band-pass", summary, cmod_band_pass)
    return table


def remedy(name: str) -> Remedy:
    """Return a remedy by name.

    Raises
    ------
    ValueError
        If there is none; the message lists them.
    """
    table = remedies()
    if name not in table:
        raise ValueError(unknown("remedy", name, table))
    return table[name]
