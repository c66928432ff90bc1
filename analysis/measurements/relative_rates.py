"""Rates of flips and errors relative to those of a reference network: mFR and mCE."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike


def mean_flip_rate(rates: Mapping[str, ArrayLike], reference: Mapping[str, ArrayLike]) -> float:
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
    return _mean_ratio(rates, reference, "flips")


def mean_corruption_error(errors: Mapping[str, ArrayLike], reference: Mapping[str, ArrayLike]) -> float:
    r"""Errors on corrupted pictures relative to those of a reference network, in percent (mCE).

    Parameters
    ----------
    errors, reference : mapping of str to sequence of float
        Error by severity for each corruption; both in the same unit.

    Returns
    -------
    float
        :math:`\frac{100}{C}\sum_c\sum_s E_c(s)/\sum_s E^\mathrm{ref}_c(s)`: the mean of the C corruptions' ratios, 100
        for the reference itself (Hendrycks and Dietterich 2019, section 4.3, where the reference is AlexNet).

    Raises
    ------
    ValueError
        As by :func:`mean_flip_rate`.
    """
    return _mean_ratio(errors, reference, "errors")


def _mean_ratio(rates: Mapping[str, ArrayLike], reference: Mapping[str, ArrayLike], what: str) -> float:
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
            raise ValueError(f"the reference has no {direction} {what}: nothing to divide by")
        total += mine.sum() / other.sum()
    return float(100 * total / len(rates))
