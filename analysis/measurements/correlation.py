"""Correlation of what was measured with what theory says, over the filters that theory speaks of."""

from __future__ import annotations

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.measurements.packet_coordinates import not_low_pass


def map_correlation(dataset: xr.Dataset, first: str = "rho", second: str = "gamma") -> float:
    """Pearson correlation of two variables over all filters but the low-pass ones.

    Parameters
    ----------
    dataset : xarray.Dataset
        Result of the heatmap experiment.
    first, second : str
        Variables with the one dimension `filter`.

    Returns
    -------
    float
        NaN where fewer than three filters have finite values, or all have the same one.
    """
    x, y = (dataset[name].values[not_low_pass(dataset)] for name in (first, second))
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if x.size < 3 or min(np.ptp(x), np.ptp(y)) < 1e-12:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def added_by_bandwidth(dataset: xr.Dataset, gamma: NDArray[np.float64]) -> float:
    r"""Discrepancy that the bandwidth of the filters adds to that of narrow bands, in squares: one number for all.

    Parameters
    ----------
    dataset : xarray.Dataset
        Result of the heatmap experiment.
    gamma : ndarray, shape (filter,)
        Theory for narrow bands, such as :func:`analysis.theory.gamma_over_cells`.

    Returns
    -------
    float
        Root of the median of :math:`\rho^2-\gamma^2` over the band-pass filters, 0 if that is negative or unknown.
    """
    squares = (dataset.rho.values**2 - gamma**2)[~dataset.low_pass.values.astype(bool)]
    squares = squares[np.isfinite(squares)]
    return float(np.sqrt(max(0.0, float(np.median(squares))))) if squares.size else 0.0
