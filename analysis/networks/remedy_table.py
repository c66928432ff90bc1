"""Every remedy by name, ready to be applied to a trained network without training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor, nn

from analysis.files.messages import unknown
from analysis.networks.circular_borders import circular_borders
from analysis.networks.cmod_surgery import band_pass_channels, to_cmod
from analysis.networks.intrablock_pooling import insert_intrablock
from analysis.networks.layer_access import CONVOLUTION, behaves_as, convolutions, layer_of
from analysis.networks.operator_table import OPERATORS, WHOLE_NETWORK, Factory
from analysis.networks.surgery import replace_pooling

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


def remedies() -> dict[str, Remedy]:
    """All remedies by name.

    Returns
    -------
    dict of Remedy
        "blur2" to "blur7": max pooling with a binomial filter of so many taps. "rectangle2", "triangle5",
        "least-squares7", ...: with the other filters of Table 1. "aps-l1", "aps-l2", "aps-linf": adaptive polyphase
        sampling. "tlpf": trainable 5x5 filters, which are binomial until they are trained. "adaptive-blur": weights by
        position, until trained the binomial filter of 3 taps; softmax by group, gcd(8, channels) groups. "ideal": the
        ideal low-pass filter of the periodic map, in place of a binomial one. "intrablock":
        a dense 3x3 maximum inside every block. "cmod": complex filters and modulus for the first convolution and the
        max pooling after it; "cmod-band-pass": for its band-pass channels only, as
        :func:`analysis.networks.band_pass_channels` finds them, where the other ones keep their maximum. "circular": no
        remedy against aliasing, but circular borders for every padded convolution.

    Notes
    -----
    All but "intrablock", "circular" and the two of "cmod" replace all that subsamples, as Zhang did: pooling, strided
    convolutions, shortcuts. The convolution that the picture goes into keeps its stride, but for adaptive polyphase
    sampling, where branches that meet share one choice, and for "ideal": see
    :func:`analysis.networks.surgery.replace_pooling`, whose `types` and `names` they take as options. The two of "cmod"
    take `layer` and the options of :func:`analysis.networks.to_cmod`.

    Examples
    --------
    >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2))
    >>> pooled, changes = remedies()["blur3"](model)
    >>> print(changes[0].name, changes[0].before)
    2 MaxPool2d(kernel_size=2, stride=2, padding=0, dilation=1, ceil_mode=False)
    """
    table = {
        name: Remedy(name, operator.summary, partial(_replaced, name), operator.factory(init="binomial"))
        for name, operator in OPERATORS.items()
        if operator.remedy
    }
    whole = {
        "intrablock": ("dense 3x3 maximum inside every block", _intrablock),
        "cmod": ("complex filters and modulus for the first convolution and max pooling", _cmod),
        "cmod-band-pass": (
            "complex filters and modulus for the band-pass channels of the first convolution",
            _cmod_band_pass,
        ),
        "circular": ("circular borders for every padded convolution", _circular),
    }
    return table | {name: Remedy(name, *whole[name]) for name in WHOLE_NETWORK}


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


def _replaced(name: str, model: nn.Module, example: Tensor | None = None, **options: Any) -> Result:
    return replace_pooling(model, name, example=example, **options)


def _intrablock(model: nn.Module, example: Tensor | None = None, **options: Any) -> Result:
    return insert_intrablock(model, **options)


def _circular(model: nn.Module, example: Tensor | None = None, **options: Any) -> Result:
    return circular_borders(model, **options)


def _cmod(model: nn.Module, example: Tensor | None = None, layer: str | None = None, **options: Any) -> Result:
    return to_cmod(model, convolutions(model)[0] if layer is None else layer, example=example, **options)


def _cmod_band_pass(
    model: nn.Module, example: Tensor | None = None, layer: str | None = None, **options: Any
) -> Result:
    name = convolutions(model)[0] if layer is None else layer
    channels, convolution = None, layer_of(model, name)
    if behaves_as(convolution, *CONVOLUTION):  # of other layers to_cmod says why it refuses them
        channels = band_pass_channels(convolution.weight)
        if not channels.any():
            raise ValueError(f"layer {name!r} has no band-pass channels to turn")
    return to_cmod(model, name, channels=channels, example=example, **options)
