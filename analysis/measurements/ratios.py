"""Ratios of energies, picture by picture: their mean, spread and rms from sums that can be added up."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SUMS = 8
"""Sums over pictures that the statistics of a ratio need."""


def ratio_sums(numerator: Array, denominator: Array, defined: NDArray[np.bool_]) -> Array:
    """Sums over pictures that give the statistics of ``sqrt(numerator / denominator)``.

    Parameters
    ----------
    numerator, denominator : ndarray, shape (n, ...), float64
        Energies of n pictures.
    defined : ndarray, shape (n, ...), bool
        Whether the ratio is defined; otherwise the picture adds nothing.

    Returns
    -------
    ndarray, shape (SUMS, ...), float64
        Number of pictures; sums of the ratios, of their squares, of the numerators and of the denominators, of the
        squares of these two, and of their products.
    """
    squared = np.where(defined, numerator / np.where(defined, denominator, 1.0), 0.0)
    a, b = np.where(defined, numerator, 0.0), np.where(defined, denominator, 0.0)
    terms = (defined, np.sqrt(squared), squared, a, b, a**2, b**2, a * b)
    return np.stack([term.sum(axis=0, dtype=np.float64) for term in terms])


def share_sums(parts: Array) -> Array:
    """Sums over pictures that give the statistics of the shares in a total.

    Parameters
    ----------
    parts : ndarray, shape (n, F), float64
        Energies of n pictures; one whose total is 0 adds nothing.

    Returns
    -------
    ndarray, shape (1 + 2 F,), float64
        Number of pictures; sums of the shares, and of their squares.
    """
    total = parts.sum(axis=1, keepdims=True)
    shares = (parts / np.where(total > 0, total, 1))[total[:, 0] > 0]
    return np.concatenate([[len(shares)], shares.sum(axis=0), (shares**2).sum(axis=0)])


def share_statistics(sums: Array) -> tuple[Array, Array]:
    """Return the mean of the shares over pictures, and its standard error, each (F,); NaN where there are too few."""
    total, squares = sums[1:].reshape(2, -1)
    some, several = (sums[0] if sums[0] > least else np.nan for least in (0, 1))
    variance = np.maximum(squares / several - (total / several) ** 2, 0.0) / (several - 1)
    return total / some, np.sqrt(variance)


@dataclass(frozen=True)
class RatioStatistics:
    """Statistics of ratios over pictures, arrays of one shape.

    Attributes
    ----------
    count : ndarray, int64
        Pictures whose ratio is defined.
    mean : ndarray, float64
        NaN without pictures.
    stderr : ndarray, float64
        Standard error of the mean; NaN with fewer than two pictures.
    rms : ndarray, float64
        Root of the ratio of the summed energies, which the theory predicts; NaN without pictures.
    rms_stderr : ndarray, float64
        Its standard error, linearised; NaN with fewer than two pictures.
    """

    count: NDArray[np.int64]
    mean: Array
    stderr: Array
    rms: Array
    rms_stderr: Array


def ratio_statistics(sums: Array) -> RatioStatistics:
    """Return the statistics of ratios from the sums of all pictures, shape (SUMS, ...); see `ratio_sums`."""
    count, total, squares, numerator, denominator, numerator_squares, denominator_squares, products = sums
    some, several = (np.where(count > least, count, np.nan) for least in (0, 1))
    variance = np.maximum(squares / several - (total / several) ** 2, 0.0) * several / (several - 1)
    energies = numerator, np.where(count > 0, denominator, np.nan)
    rms, rms_stderr = rms_statistics(count, *energies, numerator_squares, denominator_squares, products)
    return RatioStatistics(count.astype(np.int64), total / some, np.sqrt(variance / several), rms, rms_stderr)


def rms_statistics(
    count: Array | float,
    numerator: Array,
    denominator: Array,
    numerator_squares: Array,
    denominator_squares: Array,
    products: Array,
) -> tuple[Array, Array]:
    """Root of a ratio of sums over pictures, and its linearised standard error.

    Parameters
    ----------
    count : ndarray or float
        Pictures.
    numerator, denominator, numerator_squares, denominator_squares, products : ndarray, shape (...), float64
        Sums of the energies of pictures, of their squares, and of the products of both.

    Returns
    -------
    rms, stderr : ndarray, shape (...), float64
        The latter is NaN with fewer than two pictures.
    """
    several = np.where(np.greater(count, 1), count, np.nan)
    # A picture moves the squared ratio by its residual, numerator - ratio * denominator, over the sum of denominators.
    ratio = numerator / denominator
    residuals = np.maximum(numerator_squares - 2 * ratio * products + ratio**2 * denominator_squares, 0.0)
    squared_error = np.sqrt(residuals * several / (several - 1)) / denominator
    return np.sqrt(ratio), squared_error / np.where(ratio > 0, 2 * np.sqrt(ratio), 1.0)
