"""Ratios of energies, image by image: their mean, spread and rms from sums that can be merged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass
class RatioSums:
    """Per-image ratios ``sqrt(numerator / denominator)``: their mean, spread and energy-weighted rms.

    Every field is an array of one shape, for example one entry a filter. Objects over different images are merged by
    adding up their vectors `flat`.

    Attributes
    ----------
    count : ndarray, int64
        Images whose ratio is defined.
    total, squares : ndarray, float64
        Sum of the ratios and of their squares.
    numerator, denominator : ndarray, float64
        Sums of the energies themselves.
    """

    count: NDArray[np.int64]
    total: Array
    squares: Array
    numerator: Array
    denominator: Array

    @classmethod
    def from_flat(cls, vector: Array, shape: tuple[int, ...]) -> RatioSums:
        """Return the sums whose fields have that shape and stand in a vector one after the other."""
        count, *others = vector.reshape(5, *shape)
        return cls(count.astype(np.int64), *others)

    @classmethod
    def of(cls, numerator: Array, denominator: Array, defined: NDArray[np.bool_]) -> RatioSums:
        """Return the sums over the first axis, of the images for which the ratio is `defined`."""
        safe = np.where(defined, denominator, 1.0)
        squared = np.where(defined, numerator / safe, 0.0)
        return cls(
            defined.sum(axis=0),
            np.sqrt(squared).sum(axis=0),
            squared.sum(axis=0),
            np.where(defined, numerator, 0.0).sum(axis=0),
            np.where(defined, denominator, 0.0).sum(axis=0),
        )

    @property
    def flat(self) -> Array:
        """All fields in one vector."""
        fields = (self.count, self.total, self.squares, self.numerator, self.denominator)
        return np.concatenate([np.ravel(field) for field in fields], dtype=np.float64)

    @property
    def mean(self) -> Array:
        """Mean of the ratios; NaN without images."""
        return self.total / np.where(self.count > 0, self.count, np.nan)

    @property
    def stderr(self) -> Array:
        """Standard error of the mean; NaN with fewer than two images."""
        n = np.where(self.count > 1, self.count, np.nan)
        variance = np.maximum(self.squares / n - (self.total / n) ** 2, 0.0) * n / (n - 1)
        return np.sqrt(variance / n)

    @property
    def rms(self) -> Array:
        """Root of the ratio of the summed energies, which the theory predicts; NaN without images."""
        return np.sqrt(self.numerator / np.where(self.count > 0, self.denominator, np.nan))
