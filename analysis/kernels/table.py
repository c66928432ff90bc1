"""Table of the kernels of a first layer: description, prediction, and measurement on photographs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from analysis.kernels.description import Measures, description, kernel_measures
from analysis.kernels.layer import FirstLayer
from analysis.kernels.measurement import LayerOperators, kernel_experiment, peaks
from analysis.measurements.shift_experiment import SHIFTS
from analysis.measurements.spectra import POINTS, SpectrumMeasurement, coarser
from analysis.prediction import gaussian_moments, isolated_moments, rms, typical_share
from analysis.runs.feed import run
from wavelets.complex_filters import GRID

COLUMNS = (
    "index",
    "kind",
    "theta_y",
    "theta_x",
    "wavelength",
    "orientation",
    "phase",
    "bandwidth",
    "energy_in_window",
    "gabor_r2",
    "monochrome",
    "chroma",
    "cell_y",
    "cell_x",
    "gamma",
    "rho",
    "rho_stderr",
    "rho_rms",
    "predicted_rho",
    "gaussian_rho",
    "eta_rmax",
    "eta_rmax_stderr",
    "eta_cmod",
    "eta_cmod_stderr",
    "eta_output",
    "eta_output_stderr",
    "share_of_change",
    "share_of_change_stderr",
    "rank",
)
COARSER = 3  # frequencies of the spectrum to one of that of isolated features: changes predicted_rho by 0.0004


def kernel_table(
    layer: FirstLayer,
    images: str | os.PathLike[str] | Iterable[Any],
    shifts: Sequence[Sequence[float]] = SHIFTS,
    size: int = 224,
    grid: int = GRID,
    progress: bool = True,
    on_skip: Callable[[str, str], object] | None = None,
    root: str | os.PathLike[str] | None = None,
    **feeding: Any,
) -> xr.Dataset:
    """Describe, measure and predict all kernels of a first layer.

    Parameters
    ----------
    layer : FirstLayer
    images : path, or iterable of paths, arrays or Pictures
        As for :func:`analysis.heatmaps`.
    shifts : sequence of (float, float)
        Shifts u, vertical then horizontal, pixels.
    size : int
        Side to which every picture is brought, pixels.
    grid : int
        Side of the grid of the Hilbert transform, in sides of the kernel.
    progress : bool
        Show progress bars on standard error.
    on_skip : callable, optional
        Called with the name and the reason of each picture that is left out.
    root : path, optional
        The result names skipped files relative to this folder, by default the one given as `images`.
    **feeding
        For :func:`analysis.runs.feed.feed`.

    Returns
    -------
    xarray.Dataset
        The variables of :func:`describe_kernels` and :func:`measure_kernels`, and predictions from the spectra of the
        same pictures, NaN for all but band-pass kernels: `predicted_rho`, the best one of `rho_rms`, a Gaussian field
        with the part of isolated features that :func:`analysis.prediction.typical_share` takes from packets;
        `gaussian_rho`, `predicted_eta_rmax`, `predicted_eta_cmod`, of a Gaussian field alone; `rank`, 1 for the kernel
        that makes the largest `share_of_change`; `weight`, the kernels themselves, with further dimensions `row` and
        `column`, and `gain`, the layer's.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or no picture could be used.
    FileNotFoundError, NotADirectoryError
        If the folder is not there.
    """
    # First what can fail: pictures that are missing or too small.
    experiment = kernel_experiment(layer, shifts, size, grid)
    spectrum = SpectrumMeasurement(
        size,
        COARSER * (-(-max(POINTS, size) // COARSER) | 1),
        experiment.colour,
        layer.mean if experiment.colour else layer.mean[0],
    )
    assert isinstance(experiment.operators, LayerOperators)
    filters = experiment.operators.filters
    aside = ThreadPoolExecutor(1, "describe")
    try:
        measures = aside.submit(_without_pictures, layer, filters)
        measured, power = run(images, [experiment, spectrum], progress, on_skip, root, desc="kernels", **feeding)
        described = description(layer, grid, measures.result())
    finally:
        aside.shutdown(wait=False)  # what went wrong with the pictures is said at once
    table = xr.merge(
        [described, measured.drop_vars("index")], compat="equals", join="exact", combine_attrs="drop_conflicts"
    )
    table = table.assign_attrs(described.attrs | measured.attrs)
    _add_prediction(table, layer, filters, power.spectrum.values, progress)
    places = np.argsort(np.argsort(-np.nan_to_num(table.share_of_change.values), kind="stable"))
    rank = np.where(table.kind != "dead", 1 + places, -1)
    meaning = "place by the share of the layer's change, 1 = largest; -1 if dead"
    table["rank"] = ("kernel", rank.astype(int), {"long_name": meaning})
    table["weight"] = (("kernel", "channel", "row", "column"), layer.weight, {"long_name": "correlation kernel V"})
    table["gain"] = ("kernel", layer.gain, {"long_name": "factor of the responses; its sign decides what is pooled"})
    return table


def _without_pictures(layer: FirstLayer, filters: NDArray[Any]) -> Measures:
    """Do what needs no picture while a thread that computes little waits for pictures and loops."""
    import scipy.stats  # noqa: F401  the prediction needs it, and it takes half a second

    return kernel_measures(layer, filters)


def kernel_frame(table: xr.Dataset) -> pd.DataFrame:
    """One row a kernel, as it is written to ``kernels.csv``.

    Parameters
    ----------
    table : xarray.Dataset
        Result of `kernel_table`.

    Returns
    -------
    pandas.DataFrame
        ``COLUMNS``; `eta_rmax`, `eta_cmod` and `eta_output` are means over the shifts; the first two follow for each
        shift, with its two numbers in the name, as ``eta_rmax(0,1)``. The standard error of a mean over shifts is at
        most the one given, the mean of the standard errors.
    """
    columns: dict[str, Any] = {}
    for name in COLUMNS:
        values = table[name]
        columns[name] = (values.mean("shift") if "shift" in values.dims else values).values
    for name in ("eta_rmax", "eta_cmod"):
        for s, (dy, dx) in enumerate(zip(table.shift_y.values, table.shift_x.values, strict=True)):
            columns[f"{name}({dy:g},{dx:g})"] = table[name].values[:, s]
    return pd.DataFrame(columns)


def rank_correlation(table: xr.Dataset, first: str, second: str) -> tuple[float, float, float]:
    """Spearman's rank correlation of two variables over the band-pass kernels, with its 95 % confidence interval.

    Parameters
    ----------
    table : xarray.Dataset
        Result of `kernel_table`.
    first, second : str
        Variables along `kernel`; those along `shift` as well are averaged over it.

    Returns
    -------
    correlation, low, high : float
        NaN where fewer than four band-pass kernels have finite values.

    Raises
    ------
    ValueError
        If there is no such variable.

    Notes
    -----
    The jackknife over kernels of Fisher's z, with Student's quantile. Of normal pairs it covers 94 to 98 %, for 36 and
    46 kernels and correlations from 0 to 0.99, where percentiles of a bootstrap come down to 91 % and closed forms of
    the error to 85 %. The interval says what another layer of such kernels could give. The pictures' share in it
    is small (see the standard errors in the table).
    """
    missing = [name for name in (first, second) if name not in table]
    if missing:
        raise ValueError(f"the table has no variable {missing[0]!r}")
    keep = table.kind.values == "band-pass"
    x, y = (
        (values.mean("shift") if "shift" in values.dims else values).values[keep].astype(float)
        for values in (table[first], table[second])
    )
    return rank_interval(x, y)


def rank_interval(x: NDArray[Any], y: NDArray[Any]) -> tuple[float, float, float]:
    """Spearman's rank correlation of two vectors, with its 95 % confidence interval.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Pairs with a value that is not finite are left out.

    Returns
    -------
    correlation, low, high : float
        NaN for fewer than four pairs, or where all values of a vector are equal; see `rank_correlation`.
    """
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(x) < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return (float("nan"),) * 3
    r = float(_spearman(x, y))
    if abs(r) == 1:  # a perfect order, also without any of them
        return r, r, r
    from scipy.stats import t as student_t  # half a second to import

    n = len(x)
    others = np.array([np.delete(np.arange(n), k) for k in range(n)])
    z, left_out = np.arctanh(r), np.arctanh(np.clip(_spearman(x[others], y[others]), -1 + 1e-12, 1 - 1e-12))
    reach = student_t.ppf(0.975, n - 1) * (n - 1) * left_out.std(ddof=1) / np.sqrt(n)
    return r, float(np.tanh(z - reach)), float(np.tanh(z + reach))


def _spearman(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Pearson correlation of the ranks along the last axis; NaN where all are equal."""
    from scipy.stats import rankdata  # half a second to import

    x, y = (rankdata(v, axis=-1) for v in (x, y))
    x, y = (v - v.mean(axis=-1, keepdims=True) for v in (x, y))
    scale = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    r: NDArray[np.float64] = np.clip((x * y).sum(axis=-1) / np.where(scale > 0, scale, np.nan), -1, 1)
    return r


def kernel_prediction(
    layer: FirstLayer,
    filters: NDArray[Any],
    spectra: NDArray[Any],
    chosen: NDArray[np.bool_],
    shifts: Sequence[Sequence[float]] = SHIFTS,
    progress: bool = True,
) -> dict[str, NDArray[np.float64]]:
    """Discrepancy and shift changes of kernels that the spectra of pictures predict.

    Parameters
    ----------
    layer : FirstLayer
    filters : ndarray, shape (L, C, N, N), complex
        Complex filters of all kernels, as they are measured.
    spectra : ndarray, shape (P, P) or (3, 3, P, P)
        Of the luminance for a layer of one channel; see :func:`analysis.estimate_spectrum`.
    chosen : ndarray, shape (L,), bool
        Kernels to predict.
    shifts : sequence of (float, float)
        Shifts u, vertical then horizontal, pixels.
    progress : bool
        Show progress bars on standard error.

    Returns
    -------
    dict of str to ndarray
        `predicted_rho` and `gaussian_rho`, shape (L,); `predicted_eta_rmax` and `predicted_eta_cmod`, shape (L, S): see
        `kernel_table`. NaN for kernels that are not chosen.
    """
    count = len(chosen)
    found = {name: np.full(count, np.nan) for name in ("predicted_rho", "gaussian_rho")}
    found |= {name: np.full((count, len(shifts)), np.nan) for name in ("predicted_eta_rmax", "predicted_eta_cmod")}
    if not chosen.any():
        return found
    share = typical_share(layer.stride)
    spectra = spectra if spectra.ndim == 4 else spectra[None, None].astype(complex)
    kernels = filters[chosen] / peaks(layer.weight[chosen]) / np.array(layer.std)[:, None, None]
    gaussian = gaussian_moments(kernels, spectra, layer.stride, shifts, layer.q, progress=progress)
    ratios = rms(gaussian)
    for name in ("rho", "eta_rmax", "eta_cmod"):
        found[("gaussian_" if name == "rho" else "predicted_") + name][chosen] = ratios[f"{name}_rms"].values
    # No shift enters the discrepancy, and features need no fine frequencies, only room for the window.
    reach = kernels.shape[-1] + 2 * layer.q * layer.stride
    coarse = coarser(spectra, COARSER if reach <= spectra.shape[-1] // COARSER else 1)
    isolated = isolated_moments(kernels, coarse, layer.stride, [(0, 0)], layer.q, progress)
    squares = (1 - share) * ratios.rho_rms**2 + share * isolated.discrepancy
    found["predicted_rho"][chosen] = np.sqrt(squares.values)
    return found


def _add_prediction(
    table: xr.Dataset, layer: FirstLayer, filters: NDArray[Any], spectra: NDArray[Any], progress: bool
) -> None:
    """Add what the two models of images, with the spectra of the pictures, give for the band-pass kernels."""
    shifts = list(zip(table.shift_y.values, table.shift_x.values, strict=True))
    found = kernel_prediction(layer, filters, spectra, table.kind.values == "band-pass", shifts, progress)
    share = typical_share(layer.stride)
    for name, values in found.items():
        dims = ("kernel", "shift")[: values.ndim]
        mixture = f", {share:.3g} of the energy in isolated features" if name == "predicted_rho" else ""
        meaning = f"{name.split('_', 1)[1]}_rms predicted on a Gaussian field with the pictures' spectra{mixture}"
        table[name] = (dims, values, {"long_name": meaning, "units": "1"})
