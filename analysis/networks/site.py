"""A place in a network where an operator has to go."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.networks.pooling._border import Padding, PerAxis, per_axis, pooled_size


class ShortFilterError(ValueError):
    """A filter that is shorter than the average it would replace."""


@dataclass(frozen=True)
class Site:
    """A layer that an operator has to replace.

    Attributes
    ----------
    kind : {"max", "average", "convolution"}
        A max pooling, an average pooling, or the stride of a convolution, which itself is kept with stride 1.
    kernel_size, stride, padding : tuple of int, one for each axis
        Of the pooling layer; for a convolution the window 1 and the padding 0.
    channels : int or None
        Of the map that is subsampled; None if nobody told.
    ceil_mode : bool
        Of the pooling.
    name : str
        Of the layer, for messages.
    unknown : str
        Reason why `channels` is None, for the message of an operator that needs it.
    """

    kind: str
    kernel_size: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[int, ...]
    channels: int | None = None
    ceil_mode: bool = False
    name: str = ""
    unknown: str = "pass example=a batch"

    @property
    def dims(self) -> int:
        """Spatial axes."""
        return len(self.stride)

    def known_channels(self) -> int:
        """Return the channels, or refuse."""
        if self.channels is None:
            raise ValueError(f"layer {self.name!r}: the operator needs its number of channels; {self.unknown}")
        return self.channels

    def counts(self, sizes: Sequence[int]) -> list[int]:
        """Samples that the layer makes of a map, on each axis."""
        windows = zip(sizes, self.kernel_size, self.stride, self.padding, strict=True)
        return [pooled_size(n, k, s, (p, p), self.ceil_mode) for n, k, s, p in windows]

    def filter_padding(self, taps: PerAxis) -> Padding:
        """Padding of a filter that puts its output where the output of the layer was.

        After a dense max pooling nothing moves. A filter in place of an average has the window's centre as its own, up
        to half a sample if one is even and the other odd, and as many outputs.

        Raises
        ------
        ShortFilterError
            If the filter is shorter than the average.
        """
        if self.kind != "average":
            return "same"
        pads, lengths = [], per_axis("taps", taps, self.dims)
        if any(n < k for n, k in zip(lengths, self.kernel_size, strict=True)):
            window = "x".join(map(str, self.kernel_size))
            raise ShortFilterError(
                f"a filter of {'x'.join(map(str, lengths))} taps lets more through than the average over {window}"
            )
        for k, p, n in zip(self.kernel_size, self.padding, lengths, strict=True):
            left = p + (n - 1) // 2 - (k - 1) // 2
            pads.append((left, 2 * p - k + n - left))
        return pads


def border_options(padding_mode: str) -> dict[str, str]:
    """Options with which named operators continue maps as convolutions do; "zeros" leaves them their own way."""
    return {} if padding_mode == "zeros" else {"padding_mode": padding_mode}


def square_site(
    kind: str, kernel_size: int, stride: int, padding: int, channels: int, name: str, ceil_mode: bool = False
) -> Site:
    """Return a place with two axes that are alike; `kind` as in :class:`Site`."""
    return Site(kind, (kernel_size,) * 2, (stride,) * 2, (padding,) * 2, channels, ceil_mode, name)


def strided_site(channels: int, name: str, stride: int = 2) -> Site:
    """Return the place of the stride of a convolution that itself goes on with stride 1."""
    return square_site("convolution", 1, stride, 0, channels, name)
