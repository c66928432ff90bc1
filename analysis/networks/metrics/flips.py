"""Flip rate by distance, and its mean over directions relative to a reference network (mFR)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.networks.metrics._check import frames_of
from analysis.networks.metrics.streaming import Streaming


class FlipRate(Streaming):
    """How often the class changes between two frames at a distance of s pixels along one direction."""

    def update(self, logits: Tensor) -> None:
        """Count a batch.

        Parameters
        ----------
        logits : Tensor, shape (S + 1, N, C)
            Of the frames 0 to S, each one pixel further in the same direction.

        Raises
        ------
        TypeError, ValueError
            If logits hold NaN or infinity, or frames or classes are not as many as before.
        """
        logits = frames_of(logits)
        frames, pictures, classes = logits.shape
        self._expect(classes=classes, frames=frames)
        self._add("flips", _flips(logits).sum(1))
        self._add("pairs", pictures * torch.arange(frames - 1, 0, -1))

    def compute(self) -> NDArray[np.float64]:
        """Flip rate, shape (S,), 0 to 1, for the distances 1 to S. theory.md, section 6.3."""
        return (self._seen("flips") / self.sums["pairs"]).numpy()


def mean_flip_rate(rates: Mapping[str, Sequence[float]], reference: Mapping[str, Sequence[float]]) -> float:
    r"""Flip rates relative to those of a reference network, in percent (mFR).

    Parameters
    ----------
    rates, reference : mapping of str to sequence of float
        Flip rate by distance, 1 to S pixels, for each direction; both in the same unit.

    Returns
    -------
    float
        :math:`\frac{100}{3}\sum_d\sum_s\mathrm{fr}_d(s)/\sum_s\mathrm{fr}^\mathrm{ref}_d(s)` of the three directions:
        100 for the reference itself. theory.md, section 6.3.

    Raises
    ------
    ValueError
        If the directions or distances differ, rates are negative or not finite, or the reference never flips along a
        direction.
    """
    if not rates or set(rates) != set(reference):
        raise ValueError(f"rates are of {sorted(rates)}, the reference of {sorted(reference)}; expected the same")
    total = 0.0
    for direction in rates:
        mine, other = (np.asarray(r[direction], np.float64) for r in (rates, reference))
        if mine.shape != other.shape or mine.ndim != 1 or not mine.size:
            raise ValueError(
                f"{direction} rates have shape {mine.shape}, of the reference {other.shape}; expected (S,)"
            )
        for name, values in (("rates", mine), ("reference rates", other)):
            if not (np.isfinite(values) & (values >= 0)).all():
                raise ValueError(f"{direction} {name} are {values.tolist()}; expected finite numbers from 0")
        if not other.any():
            raise ValueError(f"the reference has no {direction} flips: nothing to divide by")
        total += mine.sum() / other.sum()
    return 100 * total / len(rates)


def flips_by_picture(logits: Tensor) -> Tensor:
    """Flip rate of every picture.

    Parameters
    ----------
    logits : Tensor, shape (S + 1, N, C)
        As for :class:`FlipRate`.

    Returns
    -------
    Tensor, shape (S, N), float64
        Share of the pairs of frames at a distance of 1 to S that get different classes, 0 to 1; the mean over pictures
        is the flip rate.
    """
    logits = frames_of(logits)
    return _flips(logits) / torch.arange(len(logits) - 1, 0, -1, dtype=torch.float64)[:, None]


def _flips(logits: Tensor) -> Tensor:
    top = logits.argmax(2)
    return torch.stack([(top[step:] != top[:-step]).sum(0) for step in range(1, len(top))])
