"""Flip rate by distance."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.networks.metrics.checks import frames_of
from analysis.networks.metrics.streaming import Streaming


class FlipRate(Streaming):
    """Share of the changes of the class between two frames at a distance of s pixels along one direction."""

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
