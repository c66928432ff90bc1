"""The heatmap experiment: how far RMax is from CMod, and how stable each is under shifts, for every packet filter.

The protocol is theory.md 5.2: luminance, shorter side resized to `size`, centre crop; responses at stride m =
2**(J-1) on the valid region; RMax and CMod on the same centres. Shifted pictures are windows of true pixels, so all
windows are smaller than the crop by the largest shift on every side.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.measurements.packet_sums import packet_sums
from analysis.measurements.rmax_cmod import smallest_side
from analysis.measurements.shift_experiment import SHIFTS, Measure, Stability, labelled, shift_coordinates
from analysis.runs.blocks import Measurement
from analysis.runs.feed import feed
from analysis.runs.totals import Total
from analysis.theory import gamma
from wavelets import DualTreePackets2D, FilterBank
from wavelets.checks import integer
from wavelets.filters import DEFAULT
from wavelets.packets import check_levels


class HeatmapExperiment:
    """Sums of one heatmap experiment, fed with blocks of pictures.

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

    def __init__(
        self,
        levels: int = 3,
        filters: str | FilterBank = DEFAULT,
        shifts: Sequence[Sequence[float]] = SHIFTS,
        size: int = 224,
        q: int = 1,
        device: str | None = None,
    ) -> None:
        self.transform = DualTreePackets2D(levels, filters, stride=2 ** (check_levels(levels) - 1))
        integer("q", q, 0)
        integer("size", size, 1)
        packet_count = 2 * 4**levels
        self.sums = Stability(packet_count, shifts)
        self.size, self.q = size, q
        self._arguments = (levels, filters, shifts, size, q, device)
        side = size - 2 * self.sums.margin
        needed = smallest_side(self.transform, q)
        if side < needed:
            raise ValueError(
                f"pictures of {size} pixels leave windows of {max(side, 0)} for these shifts; levels = {levels} with "
                f"{self.transform.bank.name} needs at least {needed}, one pooling window of its kernels"
            )
        self.device = device
        self._measure: Measure = lambda windows: packet_sums(self.transform, windows, q)
        if device is not None:
            from analysis.measurements.packet_sums_torch import measure_on  # torch is optional

            self._measure = measure_on(device, self.transform, q)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as arguments, without the sums so far."""
        return HeatmapExperiment, self._arguments

    @property
    def length(self) -> int:
        """Entries of the vector of sums."""
        return self.total.length

    @property
    def total(self) -> Total:
        """Sums over all pictures so far."""
        return self.sums.total

    @total.setter
    def total(self, total: Total) -> None:
        self.sums.total = total

    def settings(self) -> dict[str, Any]:
        """What the sums depend on beside the pictures, in terms of JSON."""
        return {
            "levels": self.transform.levels,
            "filters": self.transform.bank.name,
            "filters_sha256": _digest(self.transform.bank),
            "shifts": self.sums.shifts,
            "size": self.size,
            "q": self.q,
            "device": self.device,
        }

    def measure(
        self, pictures: NDArray[np.floating], names: Sequence[str] = ()
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Measure a block of pictures, and leave the sums so far alone.

        Parameters
        ----------
        pictures : ndarray, shape (n, size, size), real

        Returns
        -------
        sums : ndarray, shape (N,), float64
            To be added to `total`.
        used : ndarray, shape (n,), bool
            Whether each picture was used; a flat one is not, and adds nothing.

        Raises
        ------
        ValueError
            If the pictures have another size.
        """
        if pictures.shape[1:] != (self.size, self.size):
            raise ValueError(f"pictures have shape {pictures.shape}; expected (n, {self.size}, {self.size})")
        return self.sums.measure(pictures, self._measure)

    def add(self, pictures: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Measure a block of pictures, add the result, and return which were used; see `measure`."""
        sums, used = self.measure(pictures)
        self.total.add(sums)
        return used

    def dataset(self) -> xr.Dataset:
        """Return the result so far as a labelled dataset, without provenance."""
        t = self.transform
        limit = gamma(t.stride * t.centroids, self.q)
        variables = {"gamma": labelled(("filter",), limit, "gamma_q(m centroid), the narrow-band limit of rho")}
        variables |= self.sums.variables("filter")
        coords = filter_coordinates(t) | shift_coordinates(self.sums.shifts)
        attributes = {
            "title": "RMax-CMod discrepancy and shift stability of dual-tree wavelet packets",
            "levels": t.levels,
            "stride": t.stride,
            "filters": t.bank.name,
            "filters_sha256": _digest(t.bank),
            "q": self.q,
            "boundary": "valid region only",
            "size": self.size,
            "window": self.size - 2 * self.sums.margin,
        }
        if self.device is not None:
            attributes["device"] = self.device
        return xr.Dataset(variables, coords, attributes)


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
    experiment = HeatmapExperiment(levels, filters, shifts, size, q, device)
    (dataset,) = run(images, [experiment], progress, on_skip)
    return dataset


def run(
    images: str | os.PathLike[str] | Iterable[Any],
    experiments: Sequence[HeatmapExperiment],
    progress: bool = True,
    on_skip: Callable[[str, str], object] | None = None,
    root: str | os.PathLike[str] | None = None,
    others: Sequence[Measurement] = (),
    **feeding: Any,
) -> list[xr.Dataset]:
    """Feed images, each decoded once, to several experiments of one picture size.

    Parameters, results and errors are those of `heatmaps`, with one dataset for each experiment. Results name skipped
    files relative to `root`, by default the folder given as `images`. What is given as `others` measures the same
    pictures, and `feeding` goes to :func:`analysis.runs.feed.feed`.
    """
    sizes = {experiment.size for experiment in experiments}
    if len(sizes) != 1:
        raise ValueError(f"experiments with pictures of sizes {sorted(sizes)}; expected one size")
    (size,) = sizes
    measurements = [*experiments, *others]
    provenance = feed(images, measurements, size, False, "heatmaps", progress, on_skip, root, **feeding)
    return [experiment.dataset().assign_attrs(provenance) for experiment in experiments]


def filter_coordinates(transform: DualTreePackets2D) -> dict[str, Any]:
    """Coordinates along `filter` of the heatmap dataset: where every filter lies, and what it is."""
    t, p = transform, transform.packets
    along_filter = {
        "theta_y": (t.frequencies[:, 0], "nominal characteristic frequency, vertical", "rad/sample"),
        "theta_x": (t.frequencies[:, 1], "nominal characteristic frequency, horizontal", "rad/sample"),
        "centroid_y": (t.centroids[:, 0], "circular mean of the filter's energy, vertical", "rad/sample"),
        "centroid_x": (t.centroids[:, 1], "circular mean of the filter's energy, horizontal", "rad/sample"),
        "freq_y": (p.freq_y, "frequency index, vertical", "1"),
        "freq_x": (p.freq_x, "frequency index, horizontal", "1"),
        "node_y": (p.node_y, "packet node in natural order, vertical", "1"),
        "node_x": (p.node_x, "packet node in natural order, horizontal", "1"),
        "branch": (p.branch, "Psi_a or Psi_b", "1"),
        "edge": (p.edge, "whether the band touches 0 or pi along an axis", "1"),
        "low_pass": ((p.freq_y == 0) & (p.freq_x == 0), "whether the filter is a low-pass", "1"),
    }
    return {name: labelled(("filter",), *rest) for name, rest in along_filter.items()}


def band_pass_correlation(dataset: xr.Dataset, first: str = "rho", second: str = "gamma") -> float:
    """Pearson correlation of two variables over the band-pass filters: all but the low-pass ones.

    Parameters
    ----------
    dataset : xarray.Dataset
        What `heatmaps` returns.
    first, second : str
        Variables with the one dimension `filter`.

    Returns
    -------
    float
        NaN where fewer than three filters have finite values, or all have the same one.
    """
    x, y = (dataset[name].values[~dataset.low_pass.values] for name in (first, second))
    finite = np.isfinite(x) & np.isfinite(y)
    x, y = x[finite], y[finite]
    if x.size < 3 or min(np.ptp(x), np.ptp(y)) < 1e-12:
        return float("nan")
    return float(np.corrcoef(x, y)[0, 1])


def _digest(bank: FilterBank) -> str:
    """Hash of a bank's taps: a name of the user's own says nothing."""
    return hashlib.sha256(b"".join(taps.tobytes() for taps in (bank.h1, bank.h2, bank.h_first))).hexdigest()
