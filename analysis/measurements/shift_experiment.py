"""Discrepancy of RMax and CMod, and the change of each under shifts, of filters of any kind.

The protocol is theory.md 5.2. Shifted pictures are windows of true pixels, so all windows are smaller than the picture
by the largest shift on every side.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.measurements import loops
from analysis.measurements.ratios import RatioSums
from analysis.measurements.translation import check_shift, margin_for, windows
from wavelets.checks import integer

SHIFTS = ((0.0, 1.0), (1.0, 0.0))
SILENCE = 1e-6  # responses below this fraction of the brightest pixel are rounding errors in single precision
FORMULAS = {
    "rho": "|RMax - CMod| / |CMod|",
    "eta_rmax": "|RMax(T_u X) - RMax(X)| / |RMax(X)|",
    "eta_cmod": "|CMod(T_u X) - CMod(X)| / |CMod(X)|",
}

Maps = tuple[NDArray[Any], NDArray[Any]]


class Sums(NamedTuple):
    """Sums over the positions of each of n pictures, of F filters and S shifts; float64."""

    rmax: NDArray[np.float64]  # (n, F), squares of RMax
    cmod: NDArray[np.float64]  # (n, F), squares of CMod
    distance: NDArray[np.float64]  # (n, F), squares of their difference
    rmax_change: NDArray[np.float64]  # (n, F, S), squares of the change of RMax
    cmod_change: NDArray[np.float64]  # (n, F, S)
    positions: int


Operators = Callable[[Sequence[NDArray[Any]]], Sums]
"""RMax and CMod of windows (n, ..., H, W) of the same pictures, one unshifted and one for each shift, as sums."""


def sums_of_maps(operators: Callable[[NDArray[Any]], Maps], pictures: Sequence[NDArray[Any]]) -> Sums:
    """Sums that `ShiftExperiment` needs, from maps of whole pictures.

    Parameters
    ----------
    operators : callable
        From pictures to RMax and CMod, each (n, F, h, w).
    pictures : sequence of ndarray, shape (n, ..., H, W), real
        Windows of the same pictures: unshifted, then one for each shift.
    """
    r, c = operators(pictures[0])
    changes = np.empty((2, *r.shape[:2], len(pictures) - 1))
    for s, moved in enumerate(pictures[1:]):
        moved_r, moved_c = operators(moved)
        changes[0, ..., s], changes[1, ..., s] = _distance(moved_r, r), _distance(moved_c, c)
    return Sums(_energy(r), _energy(c), _distance(r, c), *changes, r[0, 0].size)


@dataclass(frozen=True, eq=False)
class ShiftExperiment:
    """Measurement of F filters on pictures and S shifts of them; it travels to other processes by pickle.

    Parameters
    ----------
    operators : callable
        See `Operators`.
    count : int
        Number F of filters.
    dim : str
        Dimension of the dataset along which they stand.
    size : int
        Side of the pictures, pixels.
    shifts : sequence of (float, float)
        Shifts u, vertical then horizontal, pixels.
    mean, std : sequence of float
        Of each channel: the operators are given (pixels - mean) / std, (n, C, H, W). By default they are given the
        luminance as it is, (n, H, W).
    coords, variables, attributes : mapping
        Of the dataset: coordinates along `dim`, further variables, and attributes.
    settings : mapping
        Everything that the sums depend on beside the pictures, as JSON can hold it.
    """

    operators: Operators
    count: int
    dim: str
    size: int
    shifts: Sequence[Sequence[float]] = SHIFTS
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    coords: Mapping[str, Any] = field(default_factory=dict)
    variables: Mapping[str, Any] = field(default_factory=dict)
    attributes: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def colour(self) -> bool:
        """Whether red, green and blue are measured instead of the luminance."""
        return len(self.mean) == 3

    @property
    def length(self) -> int:
        """Entries of the vector of sums."""
        return sum(5 * int(np.prod(shape)) for shape in self._shapes)

    def measure(
        self, pictures: NDArray[Any], names: Sequence[str] = ()
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Measure pictures.

        Parameters
        ----------
        pictures : ndarray, shape (n, size, size), in colour (n, 3, size, size), real
            Pixels in [0, 1].
        names : sequence of str
            Of the pictures; they do not matter.

        Returns
        -------
        sums : ndarray, shape (length,), float64
        used : ndarray, shape (n,), bool
            Whether each picture was used; a flat one is not, and adds nothing.

        Raises
        ------
        ValueError
            If the pictures have another shape.
        """
        expected = (3,) * self.colour + (self.size, self.size)
        if pictures.shape[1:] != expected:
            raise ValueError(f"pictures have shape {pictures.shape}; expected (n, {', '.join(map(str, expected))})")
        if len(self.mean):
            mean, std = (np.array(values, pictures.dtype)[:, None, None] for values in (self.mean, self.std))
            pictures = (pictures.reshape(len(pictures), len(mean), *pictures.shape[-2:]) - mean) / std
        margin = margin_for(self.shifts)
        base = windows(pictures, (0.0, 0.0), margin)
        sums = self.operators([base, *(windows(pictures, shift, margin) for shift in self.shifts)])
        brightest = np.abs(base).reshape(len(base), -1).max(axis=1).astype(np.float64)
        # A constant picture excites the low-pass filters only, with its mean: that says nothing about shifts.
        varied = np.ptp(base, axis=(-2, -1)).reshape(len(base), -1).max(axis=1) > SILENCE * brightest
        floor = (SILENCE * brightest[:, None]) ** 2 * sums.positions
        heard = (sums.cmod > floor) & (sums.rmax > floor) & varied[:, None]
        shape = sums.rmax_change.shape
        defined, rmax, cmod = (np.broadcast_to(a[..., None], shape) for a in (heard, sums.rmax, sums.cmod))
        parts = (
            RatioSums.of(sums.distance, sums.cmod, heard),
            RatioSums.of(sums.rmax_change, rmax, defined),
            RatioSums.of(sums.cmod_change, cmod, defined),
        )
        return np.concatenate([part.flat for part in parts]), heard.any(axis=1)

    def dataset(self, sums: NDArray[np.float64]) -> xr.Dataset:
        """Return the result that the sums of all pictures make, without provenance.

        NaN where a filter never responded.
        """
        ends = np.cumsum([5 * int(np.prod(shape)) for shape in self._shapes])
        parts = zip(np.split(sums, ends[:-1]), self._shapes, strict=True)
        discrepancy, *changes = (RatioSums.from_flat(vector, shape) for vector, shape in parts)
        found = dict(self.variables)
        found["count"] = labelled((self.dim,), discrepancy.count, f"pictures that made the {self.dim} respond")
        for name, ratios, dims in (
            ("rho", discrepancy, (self.dim,)),
            ("eta_rmax", changes[0], (self.dim, "shift")),
            ("eta_cmod", changes[1], (self.dim, "shift")),
        ):
            formula = FORMULAS[name]
            found[name] = labelled(dims, ratios.mean, f"{formula}, mean over pictures")
            found[f"{name}_stderr"] = labelled(dims, ratios.stderr, f"{formula}, standard error of the mean")
            found[f"{name}_rms"] = labelled(dims, ratios.rms, f"{formula}, root of the ratio of summed squares")
        return xr.Dataset(found, {**self.coords, **shift_coordinates(self.shifts)}, self.attributes)

    @property
    def _shapes(self) -> list[tuple[int, ...]]:
        """Shapes of the ratios: of the discrepancy, of the change of RMax, and of that of CMod."""
        return [(self.count,), (self.count, len(self.shifts)), (self.count, len(self.shifts))]


def window_side(size: int, shifts: Sequence[Sequence[float]], needed: int, filters: str) -> int:
    """Side of the windows that are left of pictures, in pixels.

    Parameters
    ----------
    size : int
        Side of the pictures, pixels.
    shifts : sequence of (float, float)
    needed : int
        Side in which there is one pooling window, pixels.
    filters : str
        Words for them, for the message.

    Raises
    ------
    TypeError, ValueError
        If the size is not an integer, or the windows are too small.
    """
    margin = margin_for(shifts)
    side = integer("size", size, 1) - 2 * margin
    if side < needed:
        raise ValueError(
            f"pictures of {size} pixels are too small for {filters}, their pooling window and these shifts: that needs "
            f"at least {needed + 2 * margin}"
        )
    return side


def check_shifts(shifts: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Return shifts as pairs of finite floats; ValueError if one is anything else."""
    return [check_shift(shift) for shift in shifts]


def shift_coordinates(shifts: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Coordinates along `shift` of a dataset."""
    along_shift = {
        "shift_y": (np.array([u[0] for u in shifts]), "shift, vertical, positive down", "pixel"),
        "shift_x": (np.array([u[1] for u in shifts]), "shift, horizontal, positive right", "pixel"),
    }
    return {name: labelled(("shift",), *rest) for name, rest in along_shift.items()}


def labelled(dims: tuple[str, ...], values: Any, meaning: str, units: str = "1") -> tuple[Any, ...]:
    """Variable of a dataset: dimensions, values, and attributes that say what it is."""
    return dims, values, {"long_name": meaning, "units": units}


def _energy(maps: NDArray[Any]) -> NDArray[np.float64]:
    """Sum of squares of maps (n, filters, h, w), shape (n, filters)."""
    return np.einsum("nfhw,nfhw->nf", maps, maps, dtype=np.float64)


def _distance(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Squared distance between maps (n, filters, h, w), shape (n, filters)."""
    out = np.empty(a.shape[0] * a.shape[1])
    loops.squared_distance(a.reshape(-1, *a.shape[2:]), b.reshape(-1, *b.shape[2:]), out)
    return out.reshape(a.shape[:2])
