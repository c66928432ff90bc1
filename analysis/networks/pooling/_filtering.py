"""Base of the operators: the geometry of a window and a stride, and the filters whose dense map is theirs."""

from __future__ import annotations

from torch import Tensor, nn

from analysis.networks.pooling import _border as border
from analysis.networks.pooling._border import Padding, PerAxis
from analysis.networks.pooling._pieces import by_pieces


class Subsampling(nn.Module):
    """Operator with a dense map, of which every stride-th sample is kept; subclasses have `dense` and `forward`."""

    shown = ""
    """Names of the attributes that the representation shows."""

    def __init__(
        self, window: tuple[int, ...], stride: PerAxis, padding: Padding, padding_mode: str, dims: int
    ) -> None:
        super().__init__()
        self.dims = border.checked_dims(dims)
        self.stride = border.per_axis("stride", stride, dims)
        self.padding = border.pads_of(padding, window)
        self.padding_mode = border.checked_mode(padding_mode)

    def subsample(self, x: Tensor) -> Tensor:
        """Return every stride-th sample of a dense map."""
        return border.sampled(x, self.stride)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.shown.split())


class StridedFilter(Subsampling):
    """A filter of a window, then subsampling, where only what is kept is computed; subclasses say how they filter."""

    def dense(self, x: Tensor) -> Tensor:
        """Return the filtered map, shape (..., N + left + right - k + 1) on each axis."""
        return self._filtered(x, (1,) * self.dims)

    def forward(self, x: Tensor) -> Tensor:
        """Filter and subsample maps (batch, channels, spatial axes), real floating."""
        return by_pieces(self, lambda part: self._filtered(part, self.stride), x)

    def _filtered(self, x: Tensor, stride: tuple[int, ...]) -> Tensor:
        raise NotImplementedError
