"""Standard errors over pictures, as if they were drawn independently from many more."""

from __future__ import annotations

import math
import zlib

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from analysis.networks.metrics.streaming import Streaming
from wavelets.checks import integer


class Bootstrap(Streaming):
    """Means over pictures in many random draws of the pictures, of which the scatter tells the standard error.

    Parameters
    ----------
    draws : int
        With 1000 a standard error is within 5 % of that of infinitely many.

    Notes
    -----
    A Poisson bootstrap (Hanley and MacGibbon, 2006): in every draw a picture counts as often as a Poisson number of
    mean 1 says, so that sums are all that is kept. The numbers follow from the picture's pixels: of two models that see
    the same pictures the draws are the same, in whatever batches, and differences and ratios of their means are paired.
    """

    def __init__(self, draws: int = 1000) -> None:
        super().__init__()
        self.draws = integer("draws", draws, 2)

    def update(self, pictures: Tensor, **values: Tensor) -> None:
        """Add a batch.

        Parameters
        ----------
        pictures : Tensor, shape (N, ...)
        **values : Tensor, shape (N, D)
            Of each picture.
        """
        counts = torch.stack([_counts(picture, self.draws) for picture in pictures], 1)
        for name, value in values.items():
            value = value.detach().cpu().double()
            self._add(name, counts @ torch.cat((value, torch.ones(len(value), 1)), 1))
            self._add(f"pictures of {name}", len(value))

    def compute(self) -> dict[str, Tensor]:
        """Means by name, shape (draws, D); NaN in draws without pictures, and of less than two pictures."""
        return {
            name: total[:, :-1] / total[:, -1:] * (1 if self.sums[f"pictures of {name}"] > 1 else math.nan)
            for name, total in self.sums.items()
            if not name.startswith("pictures of ")
        }


def standard_error(draws: ArrayLike) -> NDArray[np.float64]:
    """Standard error of a statistic, from its values in all draws.

    Parameters
    ----------
    draws : array_like, shape (draws, ...), float64

    Returns
    -------
    ndarray, shape (...), float64
        Standard deviation over the draws; NaN if more than 5 % of them give no number, such as a ratio to nothing.
    """
    draws = np.asarray(draws)
    known = np.isfinite(draws)
    count = np.where((count := known.sum(0)) >= max(2, 0.95 * len(draws)), count, np.nan)
    mean = np.where(known, draws, 0).sum(0) / count
    deviation: NDArray[np.float64] = np.sqrt((np.where(known, draws - mean, 0) ** 2).sum(0) / (count - 1))
    return deviation


def checksum(picture: Tensor) -> int:
    """Number that belongs to the pixels of a picture, to seed what is drawn for it."""
    return zlib.crc32(picture.detach().cpu().float().contiguous().numpy().tobytes())


def _counts(picture: Tensor, draws: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng(checksum(picture)).poisson(1, draws).astype(np.float64))
