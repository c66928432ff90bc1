"""What is measured of every filter: discrepancy of RMax and CMod, and the change of each under shifts.

The protocol is theory.md 5.2. Shifted pictures are windows of true pixels, so all windows are smaller than the picture
by the largest shift on every side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis import _kernels
from analysis.statistics import RatioSums
from analysis.translation import check_shift, margin_for, windows

SHIFTS = ((0.0, 1.0), (1.0, 0.0))
SILENCE = 1e-6  # responses below this fraction of the brightest pixel are rounding errors in single precision
FORMULAS = {
    "rho": "|RMax - CMod| / |CMod|",
    "eta_rmax": "|RMax(T_u X) - RMax(X)| / |RMax(X)|",
    "eta_cmod": "|CMod(T_u X) - CMod(X)| / |CMod(X)|",
}

Operators = Callable[[NDArray[Any]], tuple[NDArray[Any], NDArray[Any]]]


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
        self.discrepancy = RatioSums.zeros((count,))
        self.rmax_change = RatioSums.zeros((count, len(self.shifts)))
        self.cmod_change = RatioSums.zeros((count, len(self.shifts)))

    def add(self, pictures: NDArray[Any], operators: Operators) -> NDArray[np.bool_]:
        """Measure a block of pictures and add the result.

        Parameters
        ----------
        pictures : ndarray, shape (n, ..., H, W), real
        operators : callable
            Turns windows of the pictures into RMax and CMod, each (n, filters, h, w).

        Returns
        -------
        ndarray, shape (n,), bool
            Whether each picture was used; a flat one is not, and adds nothing.
        """
        base = windows(pictures, (0.0, 0.0), self.margin)
        r, c = operators(base)
        energy_r, energy_c = _energy(r), _energy(c)
        brightest = np.abs(base).reshape(len(base), -1).max(axis=1).astype(np.float64)
        # A constant picture excites the low-pass filters only, with its mean: that says nothing about shifts.
        varied = np.ptp(base, axis=(-2, -1)).reshape(len(base), -1).max(axis=1) > SILENCE * brightest
        floor = (SILENCE * brightest[:, None]) ** 2 * r[0, 0].size
        heard = (energy_c > floor) & (energy_r > floor) & varied[:, None]
        self.discrepancy += RatioSums.of(_distance(r, c), energy_c, heard)
        shifted_r, shifted_c = (np.empty((*heard.shape, len(self.shifts))) for _ in range(2))
        for s, shift in enumerate(self.shifts):
            moved_r, moved_c = operators(windows(pictures, shift, self.margin))
            shifted_r[..., s], shifted_c[..., s] = _distance(moved_r, r), _distance(moved_c, c)
        defined = np.broadcast_to(heard[..., None], shifted_r.shape)
        self.rmax_change += RatioSums.of(shifted_r, np.broadcast_to(energy_r[..., None], shifted_r.shape), defined)
        self.cmod_change += RatioSums.of(shifted_c, np.broadcast_to(energy_c[..., None], shifted_c.shape), defined)
        return heard.any(axis=1)

    def variables(self, dim: str) -> dict[str, Any]:
        """Return the result so far as variables of a dataset, along `dim` and "shift"."""
        found = {"count": labelled((dim,), self.discrepancy.count, f"pictures that made the {dim} respond")}
        for name, sums, dims in (
            ("rho", self.discrepancy, (dim,)),
            ("eta_rmax", self.rmax_change, (dim, "shift")),
            ("eta_cmod", self.cmod_change, (dim, "shift")),
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
    _kernels.squared_distance(a.reshape(-1, *a.shape[2:]), b.reshape(-1, *b.shape[2:]), out)
    return out.reshape(a.shape[:2])
