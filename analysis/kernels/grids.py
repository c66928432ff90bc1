"""On which grid is the Hilbert transform of a kernel taken? How W and the measurements depend on the answer."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.kernels.layer import FirstLayer
from analysis.kernels.measurement import LayerExperiment
from analysis.measurements.shift_experiment import SHIFTS
from analysis.runs.feed import feed
from wavelets.checks import integer
from wavelets.complex_filters import complex_filters, filters_on_grid


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
    experiments = [LayerExperiment(layer, shifts, size, sides[-1]) for _ in (*sides, "picture")]
    first = experiments[0]
    weight = layer.weight[first.alive].astype(np.float64)
    weight = weight / np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
    kernel, points = max(weight.shape[-2:]), first.responses.points
    filters = [_framed(complex_filters(weight, side), weight.shape[-2:], points) for side in sides]
    filters.append(filters_on_grid(weight, points))
    # All in one frame, V in its middle; the valid region is that of the largest grid but the picture's.
    reach = sides[-1] * kernel
    lead = [(points - n) // 2 - (reach - n) // 2 for n in weight.shape[-2:]]
    for experiment, w in zip(experiments, filters, strict=True):
        experiment.responses.use(np.roll(w, [-n for n in lead], axis=(-2, -1)))

    attributes = feed(images, experiments, size, layer.weight.shape[1] == 3, "grids", progress)
    change = np.full((len(filters), len(first.alive)), np.nan)
    norm = np.sqrt((np.abs(filters[-1]) ** 2).sum(axis=(1, 2, 3)))
    for row, w in zip(change, filters, strict=True):
        row[first.alive] = np.sqrt((np.abs(w - filters[-1]) ** 2).sum(axis=(1, 2, 3))) / norm
    where = xr.Variable("grid", [*(side * kernel for side in sides), points], {"units": "pixel"})
    result = xr.concat([e.dataset()[["rho_rms", "eta_cmod_rms"]] for e in experiments], where)
    meaning = {"long_name": "distance of W from that on the picture's grid, relative to its norm", "units": "1"}
    result["filter_change"] = (("grid", "kernel"), change, meaning)
    return result.assign_attrs(attributes | {"layer": layer.name, "stride": layer.stride})


def _framed(filters: NDArray[Any], kernel: tuple[int, ...], points: int) -> NDArray[Any]:
    """Filters extended by zeros to the frame of the picture, the kernel in its middle."""
    pads = []
    for n, k in zip(filters.shape[-2:], kernel, strict=True):
        before = (points - k) // 2 - (n - k) // 2
        pads.append((before, points - n - before))
    return np.pad(filters, [(0, 0), (0, 0), *pads])
