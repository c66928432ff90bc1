"""Audit of a network on pictures: sums for blocks of them, and the dataset that all of them make."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from analysis.audit.aliasing import aliased_of_call, aliased_of_spectrum
from analysis.audit.blame import BORDERS, EXACT, PIXELS, Network, Shares, Shift, form_for, pairs, shares
from analysis.files.messages import first_line, unknown
from analysis.measurements.translation import check_shift
from analysis.networks.metrics import standard_error
from analysis.networks.metrics.bootstrap import checksum
from analysis.networks.place import Place, intercept, places
from analysis.networks.resolution import Call
from analysis.networks.weights import weights_digest
from analysis.runs.feed import run
from wavelets.checks import integer

SHIFTS = ((0.0, 1.0), (1.0, 0.0))
DRAWS = 200
"""Draws of pictures of which the scatter tells standard errors."""

GROUPS = 10
"""Groups of pictures of which one at a time is left out, for the standard errors of single channels."""

BLOCK = 16
"""Pictures of a block."""

HEAD = "head"
STILL = 1e-6
"""Change of the answer, relative to it, below which there is only rounding to be shared out."""

TOLERANCE = 1e-3


class NetworkAudit:
    """Measurement of what aliases at each place of a network, and which is to blame for changes under shifts.

    Parameters
    ----------
    model : torch.nn.Module
        From (N, 3, size, size) to logits (N, classes), in evaluation mode.
    size : int
        Side of the pictures, pixels.
    preprocess : callable, optional
        From R, G, B in [0, 1] to what the model takes; by default it takes that.
    shifts : sequence of (float, float)
        u, vertical then horizontal, pixels.
    borders : sequence of str
        "circular": pictures and maps go on as their own period. "own": pictures go on mirrored, maps as the network
        pads them. The difference is what borders do.
    symmetric : bool
        Measure each pair of pictures in both directions.
    turns : bool, optional
        Give each picture one of the shifts and directions in turn (drawn by its pixels), rather than all; by default
        if there are more than 6 places.
    form : {"exact", "sampled", "nested"}, optional
        All subsets of places are run, 2^K of K; or one random order and its reversal a picture, 3 K of them; or the
        order of execution alone, K + 1, which is no Shapley value, and without the gain of mending one place. By
        default all subsets of up to 6 places, otherwise a random order.
    output : str, optional
        Key, attribute or position of the logits, if the model returns several things.
    seed : int
        Of the draws.

    Attributes
    ----------
    size, colour, length
        As in :class:`analysis.runs.feed.Experiment`.
    places : list of Place

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range; or the network is in training mode, fails, has no place, returns no logits, or
        gives a picture another answer if there are others beside it.
    """

    colour = True

    def __init__(
        self,
        model: nn.Module,
        size: int = 224,
        *,
        preprocess: Callable[[Tensor], Tensor] | None = None,
        shifts: Sequence[Sequence[float]] = SHIFTS,
        borders: Sequence[str] = ("circular",),
        symmetric: bool = True,
        turns: bool | None = None,
        form: str | None = None,
        output: str | None = None,
        seed: int = 0,
    ) -> None:
        self.size = integer("size", size, 1)
        self.shifts = [check_shift(shift) for shift in shifts]
        if not self.shifts or any(shift == (0, 0) for shift in self.shifts):
            raise ValueError(f"shifts are {self.shifts}; expected at least one, and none of them zero")
        if not borders:
            raise ValueError("borders is empty; expected 'circular', 'own' or both")
        for name in borders:
            if name not in BORDERS:
                raise ValueError(unknown("borders", name, BORDERS))
        self.borders, self.symmetric, self.seed = tuple(dict.fromkeys(borders)), symmetric, seed
        exported = "eval" in vars(model)  # such programs are in the mode that they were exported in
        training = [name or type(model).__name__ for name, module in model.named_modules() if module.training]
        if training and not exported:
            raise ValueError(f"{training[0]} is in training mode; call model.eval() first")
        parameter = next(model.parameters(), torch.zeros(()))
        self.device = parameter.device
        example = torch.rand((1, 3, size, size), generator=torch.Generator().manual_seed(0)).to(self.device)
        self.places: list[Place] = places(model, example if preprocess is None else preprocess(example))
        self.network = Network(model, self.places, preprocess, output)
        if not self.network.places:
            apart = [place.name for place in self.places if not place.fault and place.kind != "global pooling"]
            known = f", but in {', '.join(apart)}, by code that is not understood or on no whole grid" if apart else ""
            raise ValueError(
                f"{type(model).__name__} has no place where resolution is lost{known}, on pictures of {size}×{size} "
                f"pixels"
            )
        count = len(self.network.places)
        self.form = form_for(count, form)
        self.turns = count > EXACT if turns is None else turns
        self._channels = [place.channels for place in self.places]
        self._check_independence()

    @property
    def cases(self) -> list[tuple[str, int, int]]:
        """Borders, number of the shift, and direction (1, or -1 for exchanged pictures) of each sum of shares."""
        directions = (1, -1) if self.symmetric else (1,)
        return [(name, i, d) for name in self.borders for i in range(len(self.shifts)) for d in directions]

    @property
    def _width(self) -> int:
        return 4 + 4 * len(self.network.places)

    @property
    def length(self) -> int:
        """Entries of the vector of sums."""
        values = 1 + len(self.places) + len(self.cases) * self._width
        return (1 + DRAWS) * values + 2 * GROUPS * sum(self._channels)

    def settings(self) -> dict[str, Any]:
        """Return everything that the sums depend on beside the pictures, as JSON can hold it."""
        return {
            "weights_sha256": weights_digest(self.network.model),
            "places": [str(place) for place in self.places],
            "size": self.size,
            "shifts": self.shifts,
            "borders": self.borders,
            "symmetric": self.symmetric,
            "turns": self.turns,
            "form": self.form,
            "seed": self.seed,
        }

    @torch.no_grad()
    def measure(self, pictures: NDArray[np.float32], names: Sequence[str]) -> tuple[NDArray[np.float64], None]:
        """Measure pictures.

        Parameters
        ----------
        pictures : ndarray, shape (n, 3, size, size), float32
            R, G and B in [0, 1].
        names : sequence of n str

        Returns
        -------
        sums : ndarray, shape (length,), float64
        used : None

        Raises
        ------
        TypeError, ValueError
            If the network fails or returns no finite logits (N, classes).
        """
        x = torch.from_numpy(np.ascontiguousarray(pictures)).to(self.device)
        ratios, channels = self._aliasing(x)
        values = [np.ones((len(x), 1)), ratios, *self._tables(x)]
        return np.concatenate([(self.draws(x) @ np.hstack(values)).ravel(), channels]), None

    def draws(self, x: Tensor) -> NDArray[np.float64]:
        """Weights of pictures in the sum of all and in each draw, shape (1 + DRAWS, pictures); from their pixels."""
        drawn = [np.random.default_rng((self.seed, checksum(picture))).poisson(1, DRAWS) for picture in x]
        return np.vstack([np.ones(len(x)), np.array(drawn).T])

    def batches(self, x: Tensor, borders: str) -> Iterator[tuple[list[tuple[int, int]], Tensor, Tensor, list[Shift]]]:
        """Pairs of pictures that are run together.

        Parameters
        ----------
        x : Tensor, shape (N, 3, size, size)
        borders : str
            One of those of the audit.

        Yields
        ------
        rows : list of (int, int)
            Case and number of the picture of each pair: all cases with these borders, or those whose turn it is.
        first, second : Tensor, shape (pairs, 3, size, size)
            Pictures after and before the shift.
        shifts : list of (float, float)
        """
        each = len(self.cases) // len(self.borders)
        turn = [checksum(picture) // GROUPS % each for picture in x]
        cases = [number for number, (name, _, _) in enumerate(self.cases) if name == borders]
        rows = [(case, i) for case in cases for i in range(len(x)) if not self.turns or turn[i] == case % each]
        together = max(1, PIXELS // self.size**2)
        for start in range(0, len(rows), together):
            part = rows[start : start + together]
            firsts, seconds, shifts = zip(*(self._pair(x[i : i + 1], case) for case, i in part), strict=True)
            yield part, torch.cat(firsts), torch.cat(seconds), list(shifts)

    def _pair(self, picture: Tensor, case: int) -> tuple[Tensor, Tensor, Shift]:
        """Picture after and before the shift of a case, and that shift."""
        borders, number, direction = self.cases[case]
        u = self.shifts[number]
        first, second = pairs(picture, u, borders)
        return (first, second, u) if direction > 0 else (second, first, (-u[0], -u[1]))

    def _tables(self, x: Tensor) -> NDArray[np.float64]:
        """Sums of shares, shape (cases, pictures, width); zero for the cases whose turn it is not."""
        tables = np.zeros((len(self.cases), len(x), self._width))
        for borders in self.borders:
            for rows, first, second, shifts in self.batches(x, borders):
                found = shares(self.network, first, second, shifts, circular=borders == "circular", form=self.form)
                tables[tuple(zip(*rows, strict=True))] = found.table()
        return tables

    def _aliasing(self, x: Tensor) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Share of aliased energy of each picture and place, and energies of each group and channel."""
        groups = [checksum(picture) % GROUPS for picture in x]
        found: dict[int, list[tuple[Tensor, Tensor]]] = {}
        place_of = {index: number for number, place in enumerate(self.places) for index in place.calls}

        def on_call(index: int, call: Call) -> None:
            energies = aliased_of_call(call) if call.fault else None
            if energies is not None and len(energies[0]) > len(x) > 0:  # all parts of a picture together
                aliased, whole = (energy.view(len(x), -1, energy.shape[1]).sum(1) for energy in energies)
                energies = aliased, whole
            if energies is not None:
                found.setdefault(place_of[index], []).append(energies)

        given = x if self.network.preprocess is None else self.network.preprocess(x)
        intercept(self.network.model, given, on_call, found=self.places)
        ratios = np.full((len(x), len(self.places)), np.nan)
        member = np.zeros((GROUPS, len(x)))
        member[groups, np.arange(len(x))] = 1
        channels = []
        for number, width in enumerate(self._channels):
            both = np.full((2, len(x), width), np.nan)
            if number in found:
                parts = [torch.stack(pair).cpu().numpy() for pair in found[number]]
                merged = np.concatenate(parts, axis=2)  # slices of one map are more channels
                aliased, whole = merged.sum(2)
                ratios[:, number] = np.divide(aliased, whole, out=np.zeros_like(whole), where=whole > 0)
                both = np.repeat(merged, width // merged.shape[2], axis=2) if merged.shape[2] < width else merged
            channels.append((member @ both).ravel())
        return ratios, np.concatenate(channels)

    def dataset(self, sums: NDArray[np.float64]) -> xr.Dataset:
        """Return the audit that the sums of all pictures make.

        Parameters
        ----------
        sums : ndarray, shape (length,), float64

        Returns
        -------
        xarray.Dataset
            Along ``place``, the last of which is the head: ``kind``, ``kernel``, ``stride``, ``total_stride``,
            ``size_in``, ``size_out``, ``channels``, ``cost``, ``understood``; ``aliased_energy`` with ``_stderr``,
            ``_median`` and ``_worst`` over the channels, each with its ``_stderr``, and of fields ``_white`` and
            ``_power_law``; ``blame``, the share of the change with the first borders, with ``_stderr``, ``_low`` and
            ``_high`` (95 %); ``gross``; ``nested``, the share in the order of execution; ``gain``, the share of the
            change that is gone if that place alone is mended, with ``_stderr``. Along ``borders``, ``shift`` and place
            ``blame_by_shift`` with ``_stderr``, and without place ``change``, root mean square of the change over that
            of the answer. NaN for what was not measured, and the blame of a global pooling, which is the head's.
        """
        split = (1 + DRAWS) * (1 + len(self.places) + len(self.cases) * self._width)
        draws = sums[:split].reshape(1 + DRAWS, -1)
        counts, ratios, rest = np.split(draws, [1, 1 + len(self.places)], axis=1)
        cases = rest.reshape(1 + DRAWS, len(self.borders), len(self.shifts), -1, self._width).sum(3)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = self._described() | self._energies(ratios / counts, sums[split:]) | self._blame(cases)
        heights, widths = zip(*self.shifts, strict=True)
        return xr.Dataset(
            values,
            {
                "place": [*(place.name for place in self.places), HEAD],
                "borders": list(self.borders),
                "shift_y": ("shift", list(heights)),
                "shift_x": ("shift", list(widths)),
            },
            {
                "size": self.size,
                "symmetric": int(self.symmetric),
                "turns": int(self.turns),
                "form": self.form,
                "seed_of_draws": self.seed,
            },
        )

    def _described(self) -> dict[str, Any]:
        """Facts about the places that need no pictures; the head is the last."""
        found = self.places

        def sides(values: Sequence[float] | None) -> str:
            return "" if values is None else "×".join(f"{v:g}" for v in dict.fromkeys(values))

        texts = {name: [sides(getattr(p, name)) for p in found] for name in ("kernel", "stride", "total_stride")}
        texts |= {name: [sides(getattr(p, name)) for p in found] for name in ("size_in", "size_out")}
        described: dict[str, Any] = {"kind": ("place", [*(p.kind for p in found), HEAD])}
        described |= {name: ("place", [*values, ""]) for name, values in texts.items()}
        for name in ("channels", "cost"):
            described[name] = ("place", [*(getattr(p, name) for p in found), 0])
        described["understood"] = ("place", [*(p.understood for p in found), True])
        return described

    def _energies(self, ratios: NDArray[np.float64], sums: NDArray[np.float64]) -> dict[str, Any]:
        table = {f"aliased_energy{end}": np.full(len(self.places) + 1, np.nan) for end in _ENERGIES}
        table["aliased_energy"][:-1] = ratios[0]
        table["aliased_energy_stderr"][:-1] = standard_error(ratios[1:])
        sizes = [2 * GROUPS * width for width in self._channels]
        for number, (place, part) in enumerate(zip(self.places, np.split(sums, np.cumsum(sizes)[:-1]), strict=True)):
            if not (place.fault and place.dense):
                continue
            aliased, whole = part.reshape(2, GROUPS, -1) if len(part) else np.zeros((2, GROUPS, 0))
            for end, reduce in (("median", np.nanmedian), ("worst", np.nanmax)):
                value, error = _jackknife(aliased, whole, reduce)
                table[f"aliased_energy_{end}"][number] = value
                table[f"aliased_energy_{end}_stderr"][number] = error
            strides = (int(place.stride[0]), int(place.stride[1]))
            for end, exponent in (("white", 0), ("power_law", 2)):
                table[f"aliased_energy_{end}"][number] = aliased_of_spectrum(place.size_in, strides, exponent)
        return {name: ("place", values) for name, values in table.items()}

    def _blame(self, cases: NDArray[np.float64]) -> dict[str, Any]:
        """Shares of sums, shape (1 + draws, borders, shifts, width)."""
        count = len(self.network.places)
        rows = [*(number for number, place in enumerate(self.places) if place.fault), len(self.places)]

        def spread(values: NDArray[np.float64]) -> NDArray[np.float64]:
            """Values of the places that can be mended, and of the head if there is one, on all places."""
            whole = np.full((*values.shape[:-1], len(self.places) + 1), np.nan)
            whole[..., rows[: values.shape[-1]]] = values
            return whole

        by_shift = Shares.of(cases, count)
        pooled = Shares.of(cases[:, 0].sum(1), count)
        if not (pooled["change"][0] >= STILL**2 * pooled["answer"][0]).all():
            pooled = {name: np.full_like(values, np.nan) for name, values in pooled.items()}
        blame = spread(pooled["products"] / pooled["change"])
        gain = spread(1 - pooled["left"] / pooled["change"])
        each = spread(by_shift["products"] / by_shift["change"])
        known = np.isfinite(blame[0])
        low, high = np.nanquantile(np.where(known, blame[1:], 0), [0.025, 0.975], axis=0)
        change = np.sqrt(by_shift["change"] / by_shift["answer"])[0, ..., 0]
        each[:, change < STILL] = np.nan
        return {
            "blame": ("place", blame[0]),
            "blame_stderr": ("place", standard_error(blame[1:])),
            "blame_low": ("place", np.where(known, low, np.nan)),
            "blame_high": ("place", np.where(known, high, np.nan)),
            "gross": ("place", spread(np.sqrt(pooled["squares"] / pooled["change"]))[0]),
            "nested": ("place", spread(pooled["nested"] / pooled["change"])[0]),
            "gain": ("place", gain[0]),
            "gain_stderr": ("place", standard_error(gain[1:])),
            "blame_by_shift": (("borders", "shift", "place"), each[0]),
            "blame_by_shift_stderr": (("borders", "shift", "place"), standard_error(each[1:])),
            "change": (("borders", "shift"), change),
        }

    def _check_independence(self) -> None:
        """Refuse a network whose answer to a picture depends on those beside it, or that fails."""
        generator = torch.Generator().manual_seed(0)
        x = torch.rand((3, 3, self.size, self.size), generator=generator).to(self.device)
        try:
            with torch.no_grad():
                together = self.network.plain(x, circular=False)
                apart = torch.cat([self.network.plain(x[i : i + 1], circular=False) for i in (2, 1, 0)]).flip(0)
        except (RuntimeError, IndexError, KeyError, AttributeError) as error:
            raise ValueError(
                f"the network fails on pictures of {self.size}×{self.size} pixels: {type(error).__name__}: "
                f"{first_line(error)}"
            ) from error
        if (together - apart).abs().max() > TOLERANCE * max(1e-12, float(together.abs().max())):
            raise ValueError(
                "the network gives a picture another answer if others are beside it, or is random: blame is shared out "
                "by running shifted pictures beside those that are not"
            )


_ENERGIES = ("", "_stderr", "_median", "_median_stderr", "_worst", "_worst_stderr", "_white", "_power_law")


def _jackknife(
    aliased: NDArray[np.float64], whole: NDArray[np.float64], reduce: Callable[..., Any]
) -> tuple[float, float]:
    """Median or largest ratio over the channels of sums (groups, channels), with its standard error over pictures."""

    def value(kept: NDArray[np.bool_]) -> float:
        a, w = aliased[kept].sum(0), whole[kept].sum(0)
        alive = w > 0
        return float(reduce(a[alive] / w[alive])) if alive.any() else float("nan")

    there = whole.sum(1) > 0
    groups = np.flatnonzero(there)
    if len(groups) < 3:
        return value(there), float("nan")
    left = np.array([value(there & (np.arange(len(there)) != group)) for group in groups])
    n = len(groups)
    return value(there), float(np.sqrt((n - 1) / n * ((left - left.mean()) ** 2).sum()))


def audit_network(
    model: nn.Module,
    images: str | os.PathLike[str] | Iterable[Any],
    size: int = 224,
    *,
    progress: bool = True,
    on_skip: Callable[[str, str], object] | None = None,
    root: str | os.PathLike[str] | None = None,
    block: int = BLOCK,
    journal: Any = None,
    **options: Any,
) -> xr.Dataset:
    """Audit a network: where resolution is lost, how much aliases there, and which place is to blame for changes.

    Parameters
    ----------
    model : torch.nn.Module
        From (N, 3, size, size) to logits (N, classes), in evaluation mode.
    images : path, or iterable of paths, arrays or Pictures
        As for :func:`analysis.runs.feed.feed`.
    size : int
        Side to which every picture is brought, pixels.
    progress, on_skip, root, block, journal
        As for :func:`analysis.runs.feed.feed`.
    **options
        Of :class:`NetworkAudit`.

    Returns
    -------
    xarray.Dataset
        As of :meth:`NetworkAudit.dataset`, with the provenance among its attributes.

    Raises
    ------
    TypeError, ValueError
        As of :class:`NetworkAudit`, or if no picture could be used.
    FileNotFoundError, NotADirectoryError
        If the folder is not there.
    """
    experiment = NetworkAudit(model, size, **options)
    return measure_audit(
        images, experiment, progress=progress, on_skip=on_skip, root=root, block=block, journal=journal
    )


def measure_audit(
    images: str | os.PathLike[str] | Iterable[Any], experiment: NetworkAudit, **feeding: Any
) -> xr.Dataset:
    """Audit that an experiment makes of images; `feeding` is for :func:`analysis.runs.feed.feed`."""
    (dataset,) = run(images, [experiment], desc="audit", **feeding)
    return dataset
