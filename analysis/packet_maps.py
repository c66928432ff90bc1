"""The heatmap experiment: how far RMax is from CMod, and how stable each is under shifts, for every packet filter.

The protocol is theory.md 5.2: luminance, shorter side resized to `size`, centre crop; responses at stride m =
2**(J-1) on the valid region; RMax and CMod on the same centres. Shifted pictures are windows of true pixels, so all
windows are smaller than the crop by the largest shift on every side.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import xarray as xr

from analysis.measurements.packet_coordinates import filter_coordinates
from analysis.measurements.packet_sums import packet_sums
from analysis.measurements.rmax_cmod import smallest_side
from analysis.measurements.shift_experiment import (
    SHIFTS,
    Operators,
    ShiftExperiment,
    check_shifts,
    labelled,
    window_side,
)
from analysis.runs.feed import run
from analysis.theory import gamma
from wavelets import DualTreePackets2D, FilterBank
from wavelets.checks import integer
from wavelets.filters import DEFAULT
from wavelets.packets import check_levels


def packet_experiment(
    levels: int = 3,
    filters: str | FilterBank = DEFAULT,
    shifts: Sequence[Sequence[float]] = SHIFTS,
    size: int = 224,
    q: int = 1,
    device: str | None = None,
) -> ShiftExperiment:
    """Shift experiment over all dual-tree packet filters of one depth.

    Parameters
    ----------
    levels : int
        Depth J of the transform; the stride is m = 2**(J - 1).
    filters : str or FilterBank
        See :func:`wavelets.filter_bank`.
    shifts : sequence of (float, float)
        Shifts u, vertical then horizontal, pixels.
    size : int
        Side of the pictures, pixels.
    q : int
        Half-width of the pooling window.
    device : str, optional
        Where torch shall compute, such as "cuda"; by default the numba kernels do, on the CPU.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or if pictures of that size have no valid region.
    ModuleNotFoundError
        If a device is given and torch is not installed.
    """
    t = DualTreePackets2D(levels, filters, stride=2 ** (check_levels(levels) - 1))
    integer("q", q, 0)
    shifts = check_shifts(shifts)
    window = window_side(size, shifts, smallest_side(t, q), f"levels = {levels} with {t.bank.name}")
    operators: Operators = partial(packet_sums, t, q=q)
    if device is not None:
        from analysis.measurements.packet_sums_torch import packet_sums_on  # torch is optional

        operators = packet_sums_on(device, t, q)
    limit = gamma(t.stride * t.centroids, q)
    described = xr.Dataset(
        {"gamma": labelled(("filter",), limit, "gamma_q(m centroid), the narrow-band limit of rho")},
        filter_coordinates(t),
        {
            "title": "RMax-CMod discrepancy and shift stability of dual-tree wavelet packets",
            "levels": t.levels,
            "stride": t.stride,
            "filters": t.bank.name,
            "filters_sha256": _digest(t.bank),
            "q": q,
            "boundary": "valid region only",
            "size": size,
            "window": window,
        },
    )
    if device is not None:
        described.attrs["device"] = device
    return ShiftExperiment(operators, described, size, shifts)


def heatmaps(
    images: str | os.PathLike[str] | Iterable[Any],
    levels: int = 3,
    filters: str | FilterBank = DEFAULT,
    shifts: Sequence[Sequence[float]] = SHIFTS,
    size: int = 224,
    q: int = 1,
    progress: bool = True,
    on_skip: Callable[[str, str], object] | None = None,
    device: str | None = None,
) -> xr.Dataset:
    r"""Measure discrepancy and shift stability of every dual-tree packet filter on images.

    Parameters
    ----------
    images : path, or iterable of paths and arrays
        A folder, searched with :func:`analysis.files.pictures.find_images`, or the images themselves; they are
        streamed.
    levels : int
        Depth J; the convolution stride is :math:`m = 2^{J-1}`.
    filters : str or FilterBank
        See :func:`wavelets.filter_bank`.
    shifts : sequence of (float, float)
        Shifts u, vertical then horizontal, pixels. Whole ones crop true pixels, others interpolate (band-limited).
    size : int
        Side to which every picture is brought, pixels.
    q : int
        Half-width of the pooling window.
    progress : bool
        Show a progress bar on standard error.
    on_skip : callable, optional
        Called with the name and the reason of each picture that is left out.
    device : str, optional
        Where torch shall compute, such as "cuda"; by default the numba kernels do, on the CPU.

    Returns
    -------
    xarray.Dataset
        Dimensions `filter` (2 * 4**J) and `shift`. Variables `rho` :math:`= \|R - C\| / \|C\|`, `eta_rmax`
        :math:`= \|R(T_uX) - R(X)\| / \|R(X)\|` and `eta_cmod`: means over pictures, with `_stderr` and `_rms`;
        `gamma`, the theoretical limit at the measured centroid; `count`. Coordinates name every filter and shift;
        attributes hold the protocol and the provenance.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.
    FileNotFoundError, NotADirectoryError
        If the folder is not there.
    ValueError
        If there are no images, or none of them could be used.
    ModuleNotFoundError
        If a device is given and torch is not installed.

    Notes
    -----
    theory.md 5.2; Figs. 5 and 6 of Leterme et al.'s poster. Pictures are read ahead in threads while others are
    transformed, pooled and summed on all cores; memory does not grow with their number. The attributes
    `seconds_...` say where the time went, see :func:`analysis.runs.feed.feed`.
    """
    experiment = packet_experiment(levels, filters, shifts, size, q, device)
    (dataset,) = run(images, [experiment], progress, on_skip, desc="heatmaps")
    return dataset


def _digest(bank: FilterBank) -> str:
    """Hash of a bank's taps: a name of the user's own says nothing."""
    return hashlib.sha256(b"".join(taps.tobytes() for taps in (bank.h1, bank.h2, bank.h_first))).hexdigest()
