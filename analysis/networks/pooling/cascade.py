"""Pooling operators one after another: all dense but the last, which subsamples."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from analysis.networks.pooling._pieces import by_pieces


class Cascade(nn.Sequential):
    r"""Dense parts of pooling operators, one after another, and the subsampling of the last one.

    .. math:: y = \downarrow_s D_n(\cdots D_1(x))

    So "dense max, trainable low-pass filter, adaptive polyphase sampling" is
    ``Cascade(MaxPool(2), TLPF(48, 5), APS())``.

    Parameters
    ----------
    *stages : Module
        Operators of this package; the strides of all but the last do not count (but see `ceil_mode` of `MaxPool`).

    Raises
    ------
    ValueError
        If there is no stage.
    """

    def __init__(self, *stages: nn.Module) -> None:
        if not stages:
            raise ValueError("a cascade needs at least one stage, got none")
        super().__init__(*stages)

    @property
    def stages(self) -> list[Any]:
        """The operators."""
        return list(self)

    def dense(self, x: Tensor) -> Tensor:
        """Return the map before subsampling, at the positions of the input."""
        for stage in self.stages:
            x = stage.dense(x)
        return x

    def subsample(self, x: Tensor, **options: Any) -> Any:
        """Subsample a dense map as the last stage does."""
        return self.stages[-1].subsample(x, **options)

    def forward(self, x: Tensor, **options: Any) -> Any:  # type: ignore[override]
        """Pool; `options` go to the last stage."""
        last = self.stages[-1]
        if options or getattr(last, "return_index", False) or getattr(last, "phase", None) is not None:
            return self._pooled(x, **options)
        return by_pieces(self, self._pooled, x)

    def _pooled(self, x: Tensor, **options: Any) -> Any:
        for stage in self.stages[:-1]:
            x = stage.dense(x)
        return self.stages[-1](x, **options)
