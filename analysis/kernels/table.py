"""Table of the kernels of a first layer: description, prediction, and measurement on photographs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy.stats import rankdata

from analysis.kernels.description import describe_kernels
from analysis.kernels.layer import FirstLayer
from analysis.kernels.measurement import LayerOperators, kernel_experiment, peaks
from analysis.measurements.shift_experiment import SHIFTS
from analysis.measurements.spectra import POINTS, SpectrumMeasurement
from analysis.prediction import predict
from analysis.runs.feed import run
from wavelets.checks import integer
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
        The variables of :func:`describe_kernels` and :func:`measure_kernels`, and `predicted_rho`,
        `predicted_eta_rmax`, `predicted_eta_cmod` (root-mean-square ratios on a Gaussian field with the spectra of the
        same pictures, to be compared with `rho_rms`, `eta_rmax_rms`, `eta_cmod_rms`; NaN for all but band-pass
        kernels); `rank`, 1 for the kernel that makes the largest `share_of_change`.

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
        size, max(POINTS, size), experiment.colour, layer.mean if experiment.colour else layer.mean[0]
    )
    measured, power = run(images, [experiment, spectrum], progress, on_skip, root, desc="kernels", **feeding)
    assert isinstance(experiment.operators, LayerOperators)
    filters = experiment.operators.filters  # those that were measured
    described = describe_kernels(layer, grid=grid, progress=progress, filters=filters)
    table = xr.merge(
        [described, measured.drop_vars("index")], compat="equals", join="exact", combine_attrs="drop_conflicts"
    )
    table = table.assign_attrs(described.attrs | measured.attrs)
    _add_prediction(table, layer, filters, power.spectrum.values, progress)
    rank = np.where(table.kind != "dead", rankdata(-np.nan_to_num(table.share_of_change), method="ordinal"), -1)
    meaning = "place by the share of the layer's change, 1 = largest; -1 if dead"
    table["rank"] = ("kernel", rank.astype(int), {"long_name": meaning})
    return table


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


def rank_correlation(
    table: xr.Dataset, first: str, second: str, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float, float]:
    """Spearman's rank correlation of two variables over the band-pass kernels, with its 95 % confidence interval.

    Parameters
    ----------
    table : xarray.Dataset
        Result of `kernel_table`.
    first, second : str
        Variables along `kernel`; those along `shift` as well are averaged over it.
    resamples : int
        Bootstrap samples of the kernels, with replacement.
    seed : int

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
    Percentile bootstrap over kernels: the interval says what another layer of such kernels could give. The pictures'
    share in it is small (see the standard errors in the table).
    """
    integer("resamples", resamples, 1)
    missing = [name for name in (first, second) if name not in table]
    if missing:
        raise ValueError(f"the table has no variable {missing[0]!r}")
    keep = table.kind.values == "band-pass"
    x, y = (
        (values.mean("shift") if "shift" in values.dims else values).values[keep].astype(float)
        for values in (table[first], table[second])
    )
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if len(x) < 4 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return (float("nan"),) * 3
    picks = np.random.default_rng(seed).integers(len(x), size=(resamples, len(x)))
    found = _spearman(x[picks], y[picks])
    low, high = np.nanquantile(found, [0.025, 0.975])
    return float(_spearman(x[None], y[None])[0]), float(low), float(high)


def _spearman(x: NDArray[Any], y: NDArray[Any]) -> NDArray[np.float64]:
    """Pearson correlation of the ranks along the last axis."""
    x, y = (rankdata(v, axis=-1) for v in (x, y))
    x, y = (v - v.mean(axis=-1, keepdims=True) for v in (x, y))
    scale = np.sqrt((x**2).sum(axis=-1) * (y**2).sum(axis=-1))
    return np.asarray((x * y).sum(axis=-1) / np.where(scale > 0, scale, np.nan))


def _add_prediction(
    table: xr.Dataset, layer: FirstLayer, filters: NDArray[Any], spectra: NDArray[Any], progress: bool
) -> None:
    """Add what a Gaussian field with the spectra of the pictures gives for the band-pass kernels."""
    chosen = table.kind.values == "band-pass"
    count, shifts = len(chosen), list(zip(table.shift_y.values, table.shift_x.values, strict=True))
    found = {"rho": np.full(count, np.nan)}
    found |= {name: np.full((count, len(shifts)), np.nan) for name in ("eta_rmax", "eta_cmod")}
    if chosen.any():
        std = np.array(layer.std)[:, None, None]
        spectra = spectra if spectra.ndim == 4 else spectra[None, None].astype(complex)
        kernels = filters[chosen] / peaks(layer.weight[chosen]) / std
        predicted = predict(kernels, spectra, layer.stride, shifts, layer.q, progress=progress)
        for name, values in found.items():
            values[chosen] = predicted[f"{name}_rms"].values
    for name, values in found.items():
        dims = ("kernel", "shift")[: values.ndim]
        meaning = {"long_name": f"{name}_rms predicted on a Gaussian field with the pictures' spectra", "units": "1"}
        table[f"predicted_{name}"] = (dims, values, meaning)
