"""What is measured of every filter: discrepancy of RMax and CMod, and the change of each under shifts.

The protocol is theory.md 5.2. Shifted pictures are windows of true pixels, so all windows are smaller than the picture
by the largest shift on every side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.measurements import loops
from analysis.measurements.ratios import RatioSums
from analysis.measurements.translation import check_shift, margin_for, windows
from analysis.runs.totals import Total

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


Measure = Callable[[Sequence[NDArray[Any]]], Sums]


def sums_of_maps(operators: Callable[[NDArray[Any]], Maps]) -> Measure:
    """Turn operators, which return RMax and CMod of pictures, each (n, F, h, w), into what `Stability` asks for."""

    def measure(pictures: Sequence[NDArray[Any]]) -> Sums:
        r, c = operators(pictures[0])
        changes = np.empty((2, *r.shape[:2], len(pictures) - 1))
        for s, moved in enumerate(pictures[1:]):
            moved_r, moved_c = operators(moved)
            changes[0, ..., s], changes[1, ..., s] = _distance(moved_r, r), _distance(moved_c, c)
        return Sums(_energy(r), _energy(c), _distance(r, c), *changes, r[0, 0].size)

    return measure


class Stability:
    """Sums of the measurement of several filters, fed with blocks of pictures.

    Parameters
    ----------
    count : int
        Filters.
    shifts : sequence of (float, float)
        Shifts u, vertical then horizontal, pixels.
    """

    def __init__(self, count: int, shifts: Sequence[Sequence[float]] = SHIFTS) -> None:
        self.shifts = [check_shift(shift) for shift in shifts]
        self.margin = margin_for(self.shifts)
        # of the discrepancy, of the change of RMax, and of that of CMod
        self._shapes: list[tuple[int, ...]] = [(count,), (count, len(self.shifts)), (count, len(self.shifts))]
        self._ends = np.cumsum([5 * int(np.prod(shape)) for shape in self._shapes])
        self.total = Total(int(self._ends[-1]))

    def measure(self, pictures: NDArray[Any], measure: Measure) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Measure a block of pictures.

        Parameters
        ----------
        pictures : ndarray, shape (n, ..., H, W), real
        measure : callable
            Turns a list of windows of the pictures, one unshifted and one for each shift, into `Sums`.

        Returns
        -------
        sums : ndarray, shape (N,), float64
            To be added to `total`.
        used : ndarray, shape (n,), bool
            Whether each picture was used; a flat one is not, and adds nothing.
        """
        base = windows(pictures, (0.0, 0.0), self.margin)
        sums = measure([base, *(windows(pictures, shift, self.margin) for shift in self.shifts)])
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

    def variables(self, dim: str) -> dict[str, Any]:
        """Return the result so far as variables of a dataset, along `dim` and "shift"."""
        parts = np.split(self.total.value, self._ends[:-1])
        discrepancy, *changes = (RatioSums.from_flat(*both) for both in zip(parts, self._shapes, strict=True))
        found = {"count": labelled((dim,), discrepancy.count, f"pictures that made the {dim} respond")}
        for name, sums, dims in (
            ("rho", discrepancy, (dim,)),
            ("eta_rmax", changes[0], (dim, "shift")),
            ("eta_cmod", changes[1], (dim, "shift")),
        ):
            formula = FORMULAS[name]
            found[name] = labelled(dims, sums.mean, f"{formula}, mean over pictures")
            found[f"{name}_stderr"] = labelled(dims, sums.stderr, f"{formula}, standard error of the mean")
            found[f"{name}_rms"] = labelled(dims, sums.rms, f"{formula}, root of the ratio of summed squares")
        return found


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
