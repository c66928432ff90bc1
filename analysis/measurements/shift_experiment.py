"""Discrepancy of RMax and CMod, and the change of each under shifts, of filters of any kind.

The protocol is theory.md 5.2. Shifted pictures are windows of true pixels, so all windows are smaller than the picture
by the largest shift on every side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.measurements import loops
from analysis.measurements.ratios import SUMS, ratio_statistics, ratio_sums, share_statistics, share_sums
from analysis.measurements.translation import check_shift, margin_for, windows
from wavelets.checks import integer

SHIFTS = ((0.0, 1.0), (1.0, 0.0))
SILENCE = 1e-6  # responses below this fraction of the brightest pixel are rounding errors in single precision
FORMULAS = {
    "rho": "|RMax - CMod| / |CMod|",
    "eta_rmax": "|RMax(T_u X) - RMax(X)| / |RMax(X)|",
    "eta_cmod": "|CMod(T_u X) - CMod(X)| / |CMod(X)|",
    "eta_output": "|output(T_u X) - output(X)| / |output(X)|",
}

Maps = tuple[NDArray[Any], NDArray[Any]]


A = TypeVar("A")


class Sums(NamedTuple, Generic[A]):
    """Sums over the positions of each of n pictures, of F filters and S shifts; float64 arrays, or tensors."""

    energies: A  # (3, n, F): squares of RMax, of CMod, and of their difference
    changes: A  # (2, n, F, S): squares of the change of RMax, and of that of CMod
    positions: int
    outputs: A | None = None  # (1 + S, n, F): squares of the output map, and of its change under each shift


Operators = Callable[[Sequence[NDArray[Any]]], Sums[NDArray[np.float64]]]
"""RMax and CMod of windows (n, ..., H, W) of the same pictures, one unshifted and one for each shift, as sums."""


def sums_of_maps(
    operators: Callable[[NDArray[Any]], Maps],
    pictures: Sequence[NDArray[Any]],
    output: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
) -> Sums[NDArray[np.float64]]:
    """Sums that `ShiftExperiment` needs, from maps of whole pictures.

    Parameters
    ----------
    operators : callable
        From pictures to RMax and CMod, each (n, F, h, w).
    pictures : sequence of ndarray, shape (n, ..., H, W), real
        Windows of the same pictures: unshifted, then one for each shift.
    output : callable, optional
        From RMax to the output of the layer.
    """
    r, c = operators(pictures[0])
    out = None if output is None else output(r)
    outputs = np.empty((len(pictures), *r.shape[:2]))
    if out is not None:
        outputs[0] = _energy(out)
    changes = np.empty((2, *r.shape[:2], len(pictures) - 1))
    for s, moved in enumerate(pictures[1:]):
        moved_r, moved_c = operators(moved)
        changes[0, ..., s], changes[1, ..., s] = _distance(moved_r, r), _distance(moved_c, c)
        if output is not None and out is not None:
            outputs[1 + s] = _distance(output(moved_r), out)
    energies = np.stack([_energy(r), _energy(c), _distance(r, c)])
    return Sums(energies, changes, r[0, 0].size, None if out is None else outputs)


@dataclass(frozen=True, eq=False)
class ShiftExperiment:
    """Measurement of F filters on pictures and S shifts of them; it travels to other processes by pickle.

    Parameters
    ----------
    operators : callable
        See `Operators`.
    filters : xarray.Dataset
        One dimension, along which the filters stand, with coordinates, further variables and attributes of the result.
    size : int
        Side of the pictures, pixels.
    shifts : sequence of (float, float)
        Shifts u, vertical then horizontal, pixels.
    mean, std : sequence of float
        Of each channel: the operators are given (pixels - mean) / std, (n, C, H, W). By default they are given the
        luminance as it is, (n, H, W).
    gains : ndarray, shape (F,), optional
        Size of each filter's output map in the network over that which the operators return, for the shares of the
        change; by default outputs are not measured.
    """

    operators: Operators
    filters: xr.Dataset
    size: int
    shifts: Sequence[Sequence[float]] = SHIFTS
    mean: Sequence[float] = ()
    std: Sequence[float] = ()
    gains: NDArray[np.float64] | None = None

    @property
    def settings(self) -> dict[str, Any]:
        """Everything that the sums depend on beside the pictures and what the attributes leave out."""
        return {**self.filters.attrs, "shifts": self.shifts}

    @property
    def colour(self) -> bool:
        """True if red, green and blue are measured instead of the luminance."""
        return len(self.mean) == 3

    @property
    def length(self) -> int:
        """Entries of the vector of sums: 8 F (1 + 2 S), with outputs 8 F (1 + 3 S) + 1 + 2 F."""
        (count,) = self.filters.sizes.values()
        return SUMS * count * sum(self._columns) + (0 if self.gains is None else 1 + 2 * count)

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
            :func:`analysis.measurements.ratios.ratio_sums` of each filter: of the discrepancy, of the changes of RMax,
            one a shift, of those of CMod, and of the output; then those of the shares of the output's change.
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
        rmax, cmod, distance = sums.energies
        heard = (cmod > floor) & (rmax > floor) & varied[:, None]
        changes, energies, defined = [distance[..., None], *sums.changes], [cmod, rmax, cmod], [heard] * 3
        shares = np.empty(0)
        if self.gains is not None and sums.outputs is not None:
            output, moved = sums.outputs[0], np.moveaxis(sums.outputs[1:], 0, -1)
            changes, energies = [*changes, moved], [*energies, output]
            defined = [*defined, heard & (output > floor)]
            shares = share_sums(moved.sum(axis=-1)[varied] * self.gains**2)
        spread = [np.stack(part, axis=-1).repeat(self._columns, axis=-1) for part in (energies, defined)]
        ratios = ratio_sums(np.concatenate(changes, axis=-1), *spread)
        return np.concatenate([ratios.ravel(), shares]), heard.any(axis=1)

    def dataset(self, sums: NDArray[np.float64]) -> xr.Dataset:
        """Return the result that the sums of all pictures make, without provenance; NaN for silent filters."""
        dim = str(*self.filters.dims)
        (count,) = self.filters.sizes.values()
        ratios, shares = np.split(sums, [SUMS * count * sum(self._columns)])
        statistics = ratio_statistics(ratios.reshape(SUMS, count, -1))
        found = {"count": labelled((dim,), statistics.count[:, 0], f"pictures that made the {dim} respond")}
        ends = np.cumsum(self._columns)[:-1]
        columns = (statistics.mean, statistics.stderr, statistics.rms, statistics.rms_stderr)
        parts = [np.split(values, ends, axis=1) for values in columns]
        for name, mean, stderr, rms, rms_stderr in zip(FORMULAS, *parts, strict=False):  # the last one is of outputs
            dims: tuple[str, ...] = (dim,) if name == "rho" else (dim, "shift")
            shape = mean.shape[: len(dims)]
            for suffix, values, meaning in (
                ("", mean, "mean over pictures"),
                ("_stderr", stderr, "standard error of the mean"),
                ("_rms", rms, "root of the ratio of summed squares"),
                ("_rms_stderr", rms_stderr, "standard error of the root of the ratio of summed squares"),
            ):
                found[name + suffix] = labelled(dims, values.reshape(shape), f"{FORMULAS[name]}, {meaning}")
        if self.gains is not None:
            share, stderr = share_statistics(shares)
            meaning = "part of the squared change of the layer's output, over all shifts"
            found["share_of_change"] = labelled((dim,), share, f"{meaning}, mean over pictures")
            found["share_of_change_stderr"] = labelled((dim,), stderr, f"{meaning}, standard error of the mean")
        return self.filters.assign(found).assign_coords(shift_coordinates(self.shifts))

    @property
    def _columns(self) -> tuple[int, ...]:
        """Numbers of ratios of a filter: discrepancy, changes of RMax, of CMod, and of the output if it is measured."""
        return (1,) + (len(self.shifts),) * (2 if self.gains is None else 3)


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
            f"pictures of {size} pixels leave windows of {max(side, 0)} for these shifts, too small for {filters}: one "
            f"pooling window needs at least {needed}, pictures of at least {needed + 2 * margin}"
        )
    return side


def check_shifts(shifts: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    """Return shifts as pairs of finite floats; ValueError if one is anything else."""
    return [check_shift(shift) for shift in shifts]


def shift_coordinates(shifts: Iterable[Sequence[float] | NDArray[np.float64]]) -> dict[str, Any]:
    """Coordinates along `shift` of a dataset."""
    vertical, horizontal = np.array(list(shifts)).reshape(-1, 2).T
    along_shift = {
        "shift_y": (vertical, "shift, vertical, positive down", "pixel"),
        "shift_x": (horizontal, "shift, horizontal, positive right", "pixel"),
    }
    return {name: labelled(("shift",), *rest) for name, rest in along_shift.items()}


def labelled(dims: tuple[str, ...], values: Any, meaning: str, units: str = "1") -> tuple[Any, ...]:
    """Variable of a dataset: dimensions, values, and attributes that say what it is."""
    return dims, values, {"long_name": meaning, "units": units}


def _energy(maps: NDArray[Any]) -> NDArray[np.float64]:
    """Sum of squares of maps (n, filters, h, w), shape (n, filters)."""
    energies: NDArray[np.float64] = np.einsum("nfhw,nfhw->nf", maps, maps, dtype=np.float64)
    return energies


def _distance(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    """Squared distance between maps (n, filters, h, w), shape (n, filters)."""
    out = np.empty(a.shape[0] * a.shape[1])
    loops.squared_distance(a.reshape(-1, *a.shape[2:]), b.reshape(-1, *b.shape[2:]), out)
    return out.reshape(a.shape[:2])
