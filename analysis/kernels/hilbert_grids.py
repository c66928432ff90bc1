"""Dependence of W, and of the measurements with it, on the grid of the Hilbert transform."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.kernels.layer import FirstLayer
from analysis.kernels.measurement import LayerOperators, LayerResponses, kernel_experiment, peaks, period
from analysis.measurements.shift_experiment import SHIFTS
from analysis.measurements.translation import margin_for
from analysis.runs.feed import run
from wavelets.checks import integer
from wavelets.complex_filters import complex_filters, filters_on_grid
from wavelets.kernel_kinds import dead_kernels


def compare_grids(
    layer: FirstLayer,
    images: str | os.PathLike[str] | Iterable[Any],
    grids: Sequence[int] = (1, 2, 4, 8),
    shifts: Sequence[Sequence[float]] = SHIFTS,
    size: int = 224,
    progress: bool = True,
) -> xr.Dataset:
    r"""Measure a layer with Hilbert transforms on several grids, at the same positions of the same pictures.

    Parameters
    ----------
    layer : FirstLayer
    images : path, or iterable of paths, arrays or Pictures
        As for :func:`analysis.measure_kernels`.
    grids : sequence of int
        Sides of the grids, in sides of the kernel. The grid of the whole picture, taken as periodic, comes on top.
    shifts : sequence of (float, float)
        Shifts u, vertical then horizontal, pixels.
    size : int
        Side to which every picture is brought, pixels.
    progress : bool
        Show a progress bar on standard error.

    Returns
    -------
    xarray.Dataset
        Dimensions `grid` (side in pixels, rising), `kernel` and `shift`: `filter_change`, the distance of W from that
        on the picture's grid, relative to its norm; `rho_rms` and `eta_cmod_rms`. The last grid is the picture's. RMax
        does not depend on it. NaN for dead kernels.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or no picture could be used.
    """
    if not len(grids):
        raise ValueError("grids is empty; expected at least one side")
    sides = sorted({integer("grid", grid, 1) for grid in grids})
    experiment = kernel_experiment(layer, shifts, size, sides[-1])
    alive, side = ~dead_kernels(layer.weight), size - 2 * margin_for(shifts)
    weight = layer.weight[alive].astype(np.float64)
    weight = weight / peaks(weight)
    kernel, points = max(weight.shape[-2:]), period(side, layer.stride)
    filters = [_framed(complex_filters(weight, grid), weight.shape[-2:], points) for grid in sides]
    filters.append(filters_on_grid(weight, points))
    # All in one frame, V in its middle; the valid region is that of the largest grid but the picture's.
    reach = sides[-1] * kernel
    lead = [(points - n) // 2 - (reach - n) // 2 for n in weight.shape[-2:]]
    experiments = []
    for w in filters:
        operators = LayerOperators(layer, sides[-1], side)
        moved = np.roll(w, [-n for n in lead], axis=(-2, -1))
        operators.responses = LayerResponses(moved, layer.stride, (side, side), q=layer.q, reach=reach)
        experiments.append(replace(experiment, operators=operators))
    measured = run(images, experiments, progress, desc="grids")

    change = np.full((len(filters), len(alive)), np.nan)
    norm = np.sqrt((np.abs(filters[-1]) ** 2).sum(axis=(1, 2, 3)))
    for row, w in zip(change, filters, strict=True):
        row[alive] = np.sqrt((np.abs(w - filters[-1]) ** 2).sum(axis=(1, 2, 3))) / norm
    where = xr.Variable("grid", [*(grid * kernel for grid in sides), points], {"units": "pixel"})
    result = xr.concat([dataset[["rho_rms", "eta_cmod_rms"]] for dataset in measured], where)
    meaning = {"long_name": "distance of W from that on the picture's grid, relative to its norm", "units": "1"}
    result["filter_change"] = (("grid", "kernel"), change, meaning)
    return result.assign_attrs(measured[0].attrs | {"layer": layer.name, "stride": layer.stride})


def _framed(filters: NDArray[Any], kernel: tuple[int, ...], points: int) -> NDArray[Any]:
    """Filters extended by zeros to the frame of the picture, the kernel in its middle."""
    pads = []
    for n, k in zip(filters.shape[-2:], kernel, strict=True):
        before = (points - k) // 2 - (n - k) // 2
        pads.append((before, points - n - before))
    return np.pad(filters, [(0, 0), (0, 0), *pads])
