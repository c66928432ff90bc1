"""Predictions for users: the two models, their mixture, and how well they meet a measurement."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike

from analysis.measurements.packet_coordinates import not_low_pass
from analysis.measurements.shift_experiment import SHIFTS
from analysis.prediction.gaussian import DRAWS, gaussian_moments
from analysis.prediction.isolated import isolated_moments
from analysis.prediction.moments import rms
from wavelets import DualTreePackets2D, FilterBank
from wavelets.checks import integer


def predict(
    kernels: ArrayLike | DualTreePackets2D,
    spectrum: ArrayLike,
    stride: int | None = None,
    shifts: Sequence[Sequence[float]] = SHIFTS,
    q: int = 1,
    isolated: float = 0.0,
    draws: int = DRAWS,
    seed: int = 0,
    progress: bool = True,
) -> xr.Dataset:
    r"""Predict discrepancy and shift change of filters on images of a given power spectrum.

    Parameters
    ----------
    kernels : array_like, shape (L, h, w) or (L, C, h, w), complex, or DualTreePackets2D
        Correlation kernels W, of C channels whose responses add up, or a transform, whose kernels and coordinates are
        taken.
    spectrum : array_like, shape (P, P), real, or (C, C, P, P), complex
        Power spectrum on the frequencies ``2 pi fftfreq(P)``, or the matrix of those of the channels; see
        :mod:`analysis.measurements.spectra`. P must exceed the kernels.
    stride : int, optional
        Stride m of the convolution, pixels; that of the transform by default.
    shifts : sequence of (float, float)
        Shifts u, vertical then horizontal, pixels.
    q : int
        Half-width of the pooling window.
    isolated : float
        Part of the energy in isolated features, 0 (Gaussian field) to 1.
    draws : int
        Points of the quasi-Monte Carlo rule, a power of 2; there are 8 independent replicates.
    seed : int
        The same seed gives the same prediction.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    xarray.Dataset
        Dimensions `filter` and `shift`. `rho_rms` :math:`= (\mathbb E\|R-C\|^2 / \mathbb E\|C\|^2)^{1/2}`,
        `eta_rmax_rms` and `eta_cmod_rms`, as :func:`analysis.heatmaps` measures them, and `_stderr` of each: standard
        error of the sampling. NaN for a filter that the spectrum does not excite. For a transform, the coordinates of
        the heatmap dataset as well, so that the same figures can be drawn.

    Raises
    ------
    TypeError
        If an argument has a wrong type.
    ValueError
        If a value is out of range or not finite, or the kernels with their window and shifts would wrap round the
        period of the spectrum.

    Notes
    -----
    theory.md 3.5 has the Gaussian prediction for a flat square spectrum; here filter and spectrum are arbitrary. The
    limit of vanishing bandwidth is :func:`analysis.gamma`.
    """
    if np.ndim(isolated) or not np.isreal(isolated) or not 0 <= isolated <= 1:
        raise ValueError(f"isolated is {isolated!r}; expected a part of the energy, 0 to 1")
    parts: list[tuple[float, xr.Dataset]] = []
    if isolated < 1:
        parts.append((1 - isolated, gaussian_moments(kernels, spectrum, stride, shifts, q, draws, seed, progress)))
    if isolated > 0:
        parts.append((isolated, isolated_moments(kernels, spectrum, stride, shifts, q, progress)))
    prediction = rms(reduce(operator.add, (weight * moments for weight, moments in parts)))
    own = {"isolated": isolated, "q": q, "spectrum_points": np.shape(spectrum)[-1]}
    return prediction.assign_attrs(parts[0][1].attrs | own)


SHARES = {2: 0.110, 4: 0.135}
"""Parts of isolated features by stride, of packet maps of 1000 photographs of ImageNet (levels 2 and 3, cf_3_3)."""


def typical_share(stride: int) -> float:
    """Part of the energy in isolated features that packets of a stride measured on photographs.

    Parameters
    ----------
    stride : int
        Stride m of the convolution, pixels.

    Returns
    -------
    float
        0.110 up to stride 2, 0.135 from stride 4 on, and between them in proportion to log m.

    Raises
    ------
    TypeError, ValueError
        If the stride is not an integer of at least 1.

    Notes
    -----
    theory.md 3.5. Found by :func:`fit_isolated`; packets of 36 other photographs give 0.121 and 0.155.
    """
    return float(np.interp(np.log2(integer("stride", stride, 1)), np.log2(list(SHARES)), list(SHARES.values())))


def predict_like(
    measured: xr.Dataset,
    spectrum: ArrayLike,
    filters: str | FilterBank | None = None,
    draws: int = DRAWS,
    seed: int = 0,
    progress: bool = True,
) -> xr.Dataset:
    """Predict the maps of a heatmap dataset: the Gaussian field, isolated features, and the mixture that fits best.

    Parameters
    ----------
    measured : xarray.Dataset
        Result of :func:`analysis.heatmaps`.
    spectrum : array_like, shape (P, P), real
        Power spectrum of the same images; see :func:`analysis.estimate_spectrum`.
    filters : str or FilterBank, optional
        By default the bank that the dataset names.
    draws, seed, progress
        As in `predict`.

    Returns
    -------
    xarray.Dataset
        As `predict`, with a dimension `model`: "gaussian", "isolated", "mixture". The attribute `isolated` is the part
        of the energy that `fit_isolated` found, from the discrepancy alone; the shift changes are not fitted.

    Raises
    ------
    TypeError, ValueError
        As `predict`.
    """
    missing = [name for name in ("levels", "filters", "q") if name not in measured.attrs]
    if missing:
        raise ValueError(f"measured lacks the attributes {', '.join(missing)}; expected what heatmaps returns")
    levels, q = int(measured.attrs["levels"]), int(measured.attrs["q"])
    transform = DualTreePackets2D(levels, measured.attrs["filters"] if filters is None else filters, 2 ** (levels - 1))
    shifts = list(zip(measured.shift_y.values.tolist(), measured.shift_x.values.tolist(), strict=True))
    gaussian = gaussian_moments(transform, spectrum, None, shifts, q, draws, seed, progress)
    isolated = isolated_moments(transform, spectrum, None, shifts, q, progress)
    share = fit_isolated(measured, rms(gaussian), rms(isolated))
    models = [rms(gaussian), rms(isolated), rms((1 - share) * gaussian + share * isolated)]
    prediction = xr.concat(models, xr.Variable("model", ["gaussian", "isolated", "mixture"]))
    own: dict[str, object] = {"isolated": share, "draws": draws, "seed": seed, "spectrum_points": np.shape(spectrum)[0]}
    own["title"] = "Prediction of the RMax-CMod discrepancy and shift stability from the power spectrum"
    return prediction.assign_attrs(measured.attrs | own)


def fit_isolated(measured: xr.Dataset, gaussian: xr.Dataset, isolated: xr.Dataset) -> float:
    """Part of the energy in isolated features that explains a measured discrepancy best.

    Parameters
    ----------
    measured : xarray.Dataset
        Result of :func:`analysis.heatmaps`.
    gaussian, isolated : xarray.Dataset
        Results of `predict` with ``isolated=0`` and ``isolated=1``.

    Returns
    -------
    float
        Least squares over the squared discrepancies of all filters but the low-pass ones, within [0, 1].

    Raises
    ------
    ValueError
        If the datasets have different filters, or no filter is left to compare.
    """
    sizes = [ds.sizes["filter"] for ds in (measured, gaussian, isolated)]
    if len(set(sizes)) != 1:
        raise ValueError(f"the datasets have {sizes} filters; expected the same")
    m, g, i = (ds.rho_rms.values**2 for ds in (measured, gaussian, isolated))
    keep = not_low_pass(measured) & np.isfinite(m + g + i)
    x, y = (i - g)[keep], (m - g)[keep]
    if not (x**2).sum() > 0:
        raise ValueError("no filter but low-pass ones distinguishes the two predictions")
    return float(np.clip((x @ y) / (x @ x), 0, 1))


def agreement(measured: xr.Dataset, predicted: xr.Dataset, variable: str = "rho_rms") -> dict[str, float]:
    """Agreement of a prediction with a measurement, over all filters but the low-pass ones and all shifts.

    Parameters
    ----------
    measured, predicted : xarray.Dataset
        With the variable, of the same dimensions.
    variable : str

    Returns
    -------
    dict
        `correlation` (Pearson), `relative_error` (median of the absolute one), `bias` (mean of predicted minus
        measured); NaN where nothing was measured but zeros, as for a shift of 0.

    Raises
    ------
    ValueError
        If the variable is missing, or has different shapes.
    """
    if variable not in measured or variable not in predicted:
        raise ValueError(f"there is no variable {variable!r} to compare in both datasets")
    pair = measured[variable], predicted[variable]
    if pair[0].sizes != pair[1].sizes:
        raise ValueError(f"{variable} is measured as {dict(pair[0].sizes)} and predicted as {dict(pair[1].sizes)}")
    keep = not_low_pass(measured)
    m, p = (x.transpose("filter", ...).values[keep].ravel() for x in pair)
    heard = np.isfinite(p) & (m > 0)
    m, p = m[heard], p[heard]
    if m.size < 3 or np.ptp(m) == 0 or np.ptp(p) == 0:
        return dict.fromkeys(("correlation", "relative_error", "bias"), float("nan"))
    return {
        "correlation": float(np.corrcoef(m, p)[0, 1]),
        "relative_error": float(np.median(np.abs(p - m) / m)),
        "bias": float((p - m).mean()),
    }
