"""The heatmap experiment: how far RMax is from CMod, and how stable each is under shifts, for every packet filter.

The protocol is theory.md 5.2: luminance, shorter side resized to `size`, centre crop; responses at stride m =
2**(J-1) on the valid region; RMax and CMod on the same centres. Shifted pictures are windows of true pixels, so all
windows are smaller than the crop by the largest shift on every side.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from tqdm import tqdm

from analysis import _kernels
from analysis.images import Picture, find_images, load_pictures
from analysis.operators import packet_pool, smallest_side
from analysis.statistics import RatioSums
from analysis.theory import gamma
from analysis.translation import check_shift, margin_for, windows
from wavelets import DualTreePackets2D, FilterBank
from wavelets._check import integer
from wavelets.filters import DEFAULT
from wavelets.packets import check_levels

SHIFTS = ((0.0, 1.0), (1.0, 0.0))
BLOCK = 8  # pictures at a time: enough for all threads, few enough to stay in some tens of megabytes
SILENCE = 1e-6  # responses below this fraction of the brightest pixel are rounding errors in single precision
FORMULAS = {
    "rho": "|RMax - CMod| / |CMod|",
    "eta_rmax": "|RMax(T_u X) - RMax(X)| / |RMax(X)|",
    "eta_cmod": "|CMod(T_u X) - CMod(X)| / |CMod(X)|",
}
LONGEST_ATTRIBUTE = 30_000  # HDF5 keeps attributes in 64 kB


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

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or if pictures of that size have no valid region.
    """

    def __init__(
        self,
        levels: int = 3,
        filters: str | FilterBank = DEFAULT,
        shifts: Sequence[Sequence[float]] = SHIFTS,
        size: int = 224,
        q: int = 1,
    ) -> None:
        self.transform = DualTreePackets2D(levels, filters, stride=2 ** (check_levels(levels) - 1))
        integer("q", q, 0)
        integer("size", size, 1)
        self.shifts = [check_shift(shift) for shift in shifts]
        self.size, self.q = size, q
        self.margin = margin_for(self.shifts)
        side = size - 2 * self.margin
        needed = smallest_side(self.transform, q)
        if side < needed:
            raise ValueError(
                f"pictures of {size} pixels leave windows of {max(side, 0)} for these shifts; levels = {levels} with "
                f"{self.transform.bank.name} needs at least {needed}, one pooling window of its kernels"
            )
        packet_count = 2 * 4**levels
        self.discrepancy = RatioSums.zeros((packet_count,))
        self.rmax_change = RatioSums.zeros((packet_count, len(self.shifts)))
        self.cmod_change = RatioSums.zeros((packet_count, len(self.shifts)))

    def add(self, pictures: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Measure a block of pictures and add the result.

        Parameters
        ----------
        pictures : ndarray, shape (n, size, size), real

        Returns
        -------
        ndarray, shape (n,), bool
            Whether each picture was used; a flat one is not, and adds nothing.

        Raises
        ------
        ValueError
            If the pictures have another size.
        """
        if pictures.shape[1:] != (self.size, self.size):
            raise ValueError(f"pictures have shape {pictures.shape}; expected (n, {self.size}, {self.size})")
        base = windows(pictures, (0.0, 0.0), self.margin)
        r, c = packet_pool(self.transform, base, self.q)
        energy_r, energy_c = _energy(r), _energy(c)
        brightest = np.abs(base).max(axis=(1, 2)).astype(np.float64)
        # A constant picture excites the low-pass filters only, with its mean: that says nothing about shifts.
        varied = np.ptp(base, axis=(1, 2)) > SILENCE * brightest
        floor = (SILENCE * brightest[:, None]) ** 2 * r[0, 0].size
        heard = (energy_c > floor) & (energy_r > floor) & varied[:, None]
        self.discrepancy += RatioSums.of(_distance(r, c), energy_c, heard)
        shifted_r, shifted_c = (np.empty((*heard.shape, len(self.shifts))) for _ in range(2))
        for s, shift in enumerate(self.shifts):
            moved_r, moved_c = packet_pool(self.transform, windows(pictures, shift, self.margin), self.q)
            shifted_r[..., s], shifted_c[..., s] = _distance(moved_r, r), _distance(moved_c, c)
        defined = np.broadcast_to(heard[..., None], shifted_r.shape)
        self.rmax_change += RatioSums.of(shifted_r, np.broadcast_to(energy_r[..., None], shifted_r.shape), defined)
        self.cmod_change += RatioSums.of(shifted_c, np.broadcast_to(energy_c[..., None], shifted_c.shape), defined)
        return heard.any(axis=1)

    def dataset(self) -> xr.Dataset:
        """Return the result so far as a labelled dataset, without provenance."""
        t = self.transform
        statistics = [
            ("rho", self.discrepancy, ("filter",)),
            ("eta_rmax", self.rmax_change, ("filter", "shift")),
            ("eta_cmod", self.cmod_change, ("filter", "shift")),
        ]
        variables: dict[str, Any] = {
            "gamma": _labelled(
                ("filter",), gamma(t.stride * t.centroids, self.q), "gamma_q(m centroid), the narrow-band limit of rho"
            ),
            "count": _labelled(("filter",), self.discrepancy.count, "pictures that made the filter respond"),
        }
        for name, sums, dims in statistics:
            formula = FORMULAS[name]
            variables[name] = _labelled(dims, sums.mean, f"{formula}, mean over pictures")
            variables[f"{name}_stderr"] = _labelled(dims, sums.stderr, f"{formula}, standard error of the mean")
            variables[f"{name}_rms"] = _labelled(dims, sums.rms, f"{formula}, root of the ratio of summed squares")
        coords = filter_coordinates(t) | shift_coordinates(self.shifts)
        attributes = {
            "title": "RMax-CMod discrepancy and shift stability of dual-tree wavelet packets",
            "levels": t.levels,
            "stride": t.stride,
            "filters": t.bank.name,
            "filters_sha256": _digest(t.bank),
            "q": self.q,
            "boundary": "valid region only",
            "size": self.size,
            "window": self.size - 2 * self.margin,
        }
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
) -> xr.Dataset:
    r"""Measure discrepancy and shift stability of every dual-tree packet filter on images.

    Parameters
    ----------
    images : path, or iterable of paths and arrays
        A folder, searched with :func:`analysis.images.find_images`, or the images themselves; they are streamed.
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

    Notes
    -----
    theory.md 5.2; Figs. 5 and 6 of Leterme et al.'s poster. A single thread of control; transforms use all cores.
    """
    experiment = HeatmapExperiment(levels, filters, shifts, size, q)
    (dataset,) = run(images, [experiment], progress, on_skip)
    return dataset


def run(
    images: str | os.PathLike[str] | Iterable[Any],
    experiments: Sequence[HeatmapExperiment],
    progress: bool = True,
    on_skip: Callable[[str, str], object] | None = None,
    root: str | os.PathLike[str] | None = None,
) -> list[xr.Dataset]:
    """Feed images, each decoded once, to several experiments of one picture size.

    Parameters, results and errors are those of `heatmaps`, with one dataset for each experiment. Results name skipped
    files relative to `root`, by default the folder given as `images`.
    """
    sizes = {experiment.size for experiment in experiments}
    if len(sizes) != 1:
        raise ValueError(f"experiments with pictures of sizes {sorted(sizes)}; expected one size")
    (size,) = sizes
    if isinstance(images, np.ndarray) and (images.ndim < 3 or (images.ndim == 3 and images.shape[2] in (3, 4))):
        raise ValueError(f"images is one array of shape {images.shape}; expected several images: pass [image]")
    if isinstance(images, (str, os.PathLike)):
        root = images
        images = find_images(images)
    skipped: list[str] = []

    def skip(name: str, reason: str) -> None:
        skipped.append(f"{_short(name, root)}: {reason}".replace("\n", " "))
        if on_skip is not None:
            on_skip(name, reason)

    digest = hashlib.sha256()
    used = 0
    total = len(images) if hasattr(images, "__len__") else None
    with tqdm(total=total, unit="image", desc="heatmaps", disable=not progress) as bar:
        for block in _blocks(load_pictures(images, size, skip), BLOCK):
            pixels = np.stack([picture.pixels for picture in block])
            responds = np.zeros(len(block), dtype=bool)
            for experiment in experiments:
                responds |= experiment.add(pixels)
            for picture, usable in zip(block, responds, strict=True):
                if usable:
                    used += 1
                    digest.update(bytes.fromhex(picture.sha256))
                else:
                    skip(picture.name, "flat: all its pixels are equal")
            bar.update(used + len(skipped) - bar.n)
    if used == 0:
        example = f"; for example {skipped[0]}" if skipped else ""
        raise ValueError(f"none of the {len(skipped)} images could be used{example}")
    provenance = _provenance(used, skipped, digest.hexdigest())
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
    return {name: _labelled(("filter",), *rest) for name, rest in along_filter.items()}


def shift_coordinates(shifts: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Coordinates along `shift` of the heatmap dataset."""
    along_shift = {
        "shift_y": (np.array([u[0] for u in shifts]), "shift, vertical, positive down", "pixel"),
        "shift_x": (np.array([u[1] for u in shifts]), "shift, horizontal, positive right", "pixel"),
    }
    return {name: _labelled(("shift",), *rest) for name, rest in along_shift.items()}


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


def _energy(maps: NDArray[Any]) -> NDArray[np.float64]:
    """Sum of squares of maps (n, filters, h, w), shape (n, filters)."""
    return np.einsum("nfhw,nfhw->nf", maps, maps, dtype=np.float64)


def _distance(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Squared distance between maps (n, filters, h, w), shape (n, filters)."""
    out = np.empty(a.shape[0] * a.shape[1])
    _kernels.squared_distance(a.reshape(-1, *a.shape[2:]), b.reshape(-1, *b.shape[2:]), out)
    return out.reshape(a.shape[:2])


def _labelled(dims: tuple[str, ...], values: Any, meaning: str, units: str = "1") -> tuple[Any, ...]:
    return dims, values, {"long_name": meaning, "units": units}


def _blocks(pictures: Iterator[Picture], size: int) -> Iterator[list[Picture]]:
    while block := list(islice(pictures, size)):
        yield block


def _short(name: str, root: str | os.PathLike[str] | None) -> str:
    """Name of a picture as it is kept in results: without the folders above it."""
    path = Path(name)
    return str(path.relative_to(root)) if root is not None and path.is_relative_to(root) else path.name


def _provenance(used: int, skipped: list[str], digest: str) -> dict[str, Any]:
    listed = "\n".join(skipped)
    if len(listed.encode()) > LONGEST_ATTRIBUTE:
        kept = listed.encode()[:LONGEST_ATTRIBUTE].decode(errors="ignore").rpartition("\n")[0]
        listed = f"{kept}\n... and {len(skipped) - kept.count(chr(10)) - 1} more"
    versions = {f"{name}_version": _version(name) for name in ("numpy", "scipy", "numba", "pillow")}
    return {
        "luminance": "0.299 R + 0.587 G + 0.114 B, in [0, 1]",
        "resize": "shorter side to size, bilinear with antialiasing, centre crop",
        "images_used": used,
        "images_skipped_count": len(skipped),
        "images_skipped": listed,
        "images_sha256": digest,
        "shiftscope_version": _version("shiftscope"),
        **versions,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _digest(bank: FilterBank) -> str:
    """Hash of a bank's taps: a name of the user's own says nothing."""
    return hashlib.sha256(b"".join(taps.tobytes() for taps in (bank.h1, bank.h2, bank.h_first))).hexdigest()


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
