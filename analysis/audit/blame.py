"""Blame of each place for the change of a network's answer under a shift: Shapley values over ideal blocks.

The network is run on pairs: the shifted pictures in the first half of a batch, the pictures as they are in the second.
At a place the maps of the first half are replaced by the translated maps of the second if the place is mended, and
those of the second half by the maps of the first, translated back, if it is not: so the second half is always what the
ideal block that follows is to be given.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from math import comb
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from analysis.files.messages import first_line
from analysis.measurements.translation import GUARD
from analysis.measurements.translation_torch import translate_maps
from analysis.networks.place import Place, intercept
from analysis.networks.resolution import Call

BORDERS = ("circular", "own")
EXACT = 6
"""Most places for which all subsets are run."""

Shift = tuple[float, float]


class Network:
    """A network with its places, as blame needs it.

    Parameters
    ----------
    model : torch.nn.Module
        From (N, channels, H, W) to logits (N, classes); in evaluation mode, each picture for itself.
    places : sequence of Place
        Of which those that are no global pooling can be mended.
    preprocess : callable, optional
        From pictures to what the model takes.
    output : str, optional
        Key, attribute or position of the logits, if the model returns several things.
    """

    def __init__(
        self,
        model: nn.Module,
        places: Sequence[Place],
        preprocess: Callable[[Tensor], Tensor] | None = None,
        output: str | None = None,
    ) -> None:
        self.model, self.preprocess, self.output = model, preprocess, output
        self.places = [place for place in places if place.fault]
        self._of_call = {index: (number, place) for number, place in enumerate(self.places) for index in place.calls}
        self._others = {index for place in places if not place.fault for index in place.calls}

    def logits(self, answer: Any) -> Tensor:
        """Return logits (N, classes) minus their mean over the classes, float64."""
        found = picked(answer, self.output)
        if found.ndim != 2:
            raise ValueError(
                f"the network returns shape {tuple(found.shape)}; expected logits (N, classes): networks that detect "
                "or segment give no single answer whose change could be shared out"
            )
        if found.shape[1] > 1:
            found = found.double() - found.double().mean(1, keepdim=True)
        if not found.isfinite().all():
            raise ValueError("the network returns NaN or infinite values")
        return found.double()

    def plain(self, pictures: Tensor, circular: bool) -> Tensor:
        """Logits of pictures."""
        return self.logits(intercept(self.model, self._input(pictures), _nothing, circular=circular))

    def mended(self, first: Tensor, second: Tensor, shift: Shift, mend: Tensor, circular: bool) -> Tensor:
        """Logits of shifted pictures with some places mended.

        Parameters
        ----------
        first, second : Tensor, shape (N, channels, H, W)
            Pictures after and before the shift.
        shift : (float, float)
        mend : Tensor, shape (N, places), bool
            Which places are mended, picture by picture.
        circular : bool
            Let maps go on as their own period wherever the network pads them.
        """

        def on_call(index: int, call: Call) -> Tensor | None:
            number, place = self._place(index, call)
            if place is None:
                return None
            return exchanged(call, [u / s for u, s in zip(shift, place.total_stride, strict=True)], mend[:, number])

        answer = intercept(self.model, self._input(torch.cat((first, second))), on_call, circular=circular)
        return self.logits(answer)[: len(first)]

    def _place(self, index: int, call: Call) -> tuple[int, Place | None]:
        """Place of a call; ValueError if the network has taken another way than when places were found."""
        if index in self._others and not call.fault:
            return -1, None
        number, place = self._of_call.get(index, (-1, None))
        if place is None or (place.module, place.function) != (call.module, call.function):
            raise ValueError(
                f"the network takes another way through its places than with the example: call {index} is "
                f"{call.function or call.kind!r} in {call.module!r}"
            )
        return number, place

    def _input(self, pictures: Tensor) -> Tensor:
        return pictures if self.preprocess is None else self.preprocess(pictures)


def _nothing(index: int, call: Call) -> None:
    return None


def picked(answer: Any, key: str | None) -> Tensor:
    """Tensor that a network returns, by itself or under a key; ValueError or TypeError if there is none."""
    if key is not None:
        try:
            if isinstance(answer, dict):
                answer = answer[key]
            elif key.isdecimal():
                answer = answer[int(key)]
            else:
                answer = getattr(answer, key)
        except (KeyError, IndexError, TypeError, AttributeError) as error:
            raise ValueError(
                f"the network's answer has no {key!r}: {_contents(answer)}: {first_line(error)}"
            ) from error
    if not isinstance(answer, Tensor):
        raise TypeError(f"the network returns {_contents(answer)}; expected logits (N, classes): name them by --output")
    return answer


def _contents(answer: Any) -> str:
    if isinstance(answer, dict):
        return f"a dictionary of {', '.join(map(repr, list(answer)[:8]))}"
    if isinstance(answer, (tuple, list)):
        kinds = [str(tuple(part.shape)) if isinstance(part, Tensor) else type(part).__name__ for part in answer]
        return f"{type(answer).__name__} of {', '.join(kinds[:8])}"
    return type(answer).__name__


def exchanged(call: Call, shift: Sequence[float], mend: Tensor) -> Tensor:
    """Output of a place for a batch of pairs; see the head of this file.

    Parameters
    ----------
    call : Call
    shift : (float, float)
        v, samples of the output.
    mend : Tensor, shape (pairs,), bool
    """
    maps, axes = call.output, call.axes
    if call.grid is not None:
        maps, axes = maps.reshape(len(maps), *call.grid, -1), (1, 2)
    maps = maps.clone()
    first, second = maps[: len(mend)], maps[len(mend) :]
    keep = ~mend
    if mend.any():
        first[mend] = translate_maps(second[mend], shift, axes)
    if keep.any():
        second[keep] = translate_maps(first[keep], [-v for v in shift], axes)
    return maps.flatten(1, 2) if call.grid is not None else maps


def pairs(pictures: Tensor, shift: Shift, borders: str) -> tuple[Tensor, Tensor]:
    """Pictures after and before a shift.

    With "circular" borders what leaves on one side comes back on the other. With "own" ones pictures go on mirrored,
    whole shifts take windows of that, and the others interpolate.
    """
    if borders == "circular":
        return translate_maps(pictures, shift), pictures
    whole = all(float(u).is_integer() for u in shift)
    margin = int(np.ceil(max(abs(u) for u in shift))) + (0 if whole else GUARD)
    height, width = pictures.shape[2:]
    if margin >= min(height, width):
        raise ValueError(f"a shift of {shift} pixels does not fit into pictures of {height}×{width}")
    large = functional.pad(pictures, (margin,) * 4, "reflect")
    moved = translate_maps(large, shift)
    return moved[..., margin : margin + height, margin : margin + width], pictures


@dataclass
class Shares:
    """Sums that the shares of one shift are made of, picture by picture.

    Attributes
    ----------
    change : Tensor, shape (N,)
        Squared norm of the whole change D.
    products : Tensor, shape (N, places + 1)
        Of each place's Shapley value with D; the last is the head's.
    squares : Tensor, shape (N, places + 1)
        Squared norms of them.
    nested : Tensor, shape (N, places)
        Products in the order of execution alone; NaN if they were not measured.
    left : Tensor, shape (N, places)
        Squared norm of the change that is left if that place alone is mended.
    answer : Tensor, shape (N,)
        Squared norm of the answer to the picture as it is.
    """

    change: Tensor
    products: Tensor
    squares: Tensor
    nested: Tensor
    left: Tensor
    answer: Tensor

    def table(self) -> NDArray[np.float64]:
        """All values, shape (N, 2 + 4 places + 2)."""
        columns = [self.change[:, None], self.products, self.squares, self.nested, self.left, self.answer[:, None]]
        return torch.cat(columns, 1).cpu().numpy()

    @staticmethod
    def of(values: NDArray[np.float64], places: int) -> dict[str, NDArray[np.float64]]:
        """Columns of the table by name; values have shape (..., 2 + 4 places + 2)."""
        widths = {"change": 1, "products": places + 1, "squares": places + 1}
        widths |= {"nested": places, "left": places, "answer": 1}
        cuts = np.cumsum(list(widths.values()))[:-1]
        return dict(zip(widths, np.split(values, cuts, axis=-1), strict=True))


def shares(
    network: Network,
    first: Tensor,
    second: Tensor,
    shift: Shift,
    *,
    circular: bool = True,
    exact: bool | None = None,
    nested: bool | None = None,
) -> Shares:
    """Shares of the places of a network in its change between pictures and shifted pictures.

    Parameters
    ----------
    network : Network
    first, second : Tensor, shape (N, channels, H, W)
        Pictures after and before the shift.
    shift : (float, float)
        Pixels.
    circular : bool
        Let maps go on as their own period wherever the network pads them.
    exact : bool, optional
        Run all subsets of places, rather than one random order and its reversal a picture; by default up to 6 places.
    nested : bool, optional
        Measure the order of execution too; by default if it costs nothing, for all subsets.

    Returns
    -------
    Shares
    """
    count = len(network.places)
    exact = count <= EXACT if exact is None else exact
    nested = exact if nested is None else nested
    answers = network.plain(torch.cat((first, second)), circular)
    none, target = answers[: len(first)], answers[len(first) :]

    def run(mend: Tensor) -> Tensor:
        return network.mended(first, second, shift, mend.to(first.device), circular)

    every = run(torch.ones(len(first), count, dtype=torch.bool))
    runs = _AllSubsets(run, none, every, count) if exact else _Orders(run, none, every, second, count)
    singles = [runs.single(k) for k in range(count)]
    whole = none - target
    psi = [*runs.shapley(), every - target]
    steps = [torch.full_like(none, torch.nan)] * count
    if nested:
        chain = [none, *(runs.leading(k) for k in range(1, count)), every] if count else [none]
        steps = [before - after for before, after in pairwise(chain)]
    return Shares(
        whole.square().sum(1),
        _columns([(part * whole).sum(1) for part in psi], whole),
        _columns([part.square().sum(1) for part in psi], whole),
        _columns([(part * whole).sum(1) for part in steps], whole),
        _columns([(part - target).square().sum(1) for part in singles], whole),
        target.square().sum(1),
    )


def _columns(parts: list[Tensor], like: Tensor) -> Tensor:
    return torch.stack(parts, 1) if parts else like.new_zeros(len(like), 0)


class _AllSubsets:
    """Runs with every subset of places mended: Shapley values are exact."""

    def __init__(self, run: Callable[[Tensor], Tensor], none: Tensor, every: Tensor, count: int) -> None:
        self.count = count
        self.answers = {frozenset(): none, frozenset(range(count)): every}
        for size in range(1, count):
            for subset in combinations(range(count), size):
                mend = torch.zeros(len(none), count, dtype=torch.bool)
                mend[:, list(subset)] = True
                self.answers[frozenset(subset)] = run(mend)

    def single(self, k: int) -> Tensor:
        return self.answers[frozenset({k})]

    def leading(self, k: int) -> Tensor:
        return self.answers[frozenset(range(k))]

    def shapley(self) -> list[Tensor]:
        values = []
        for k in range(self.count):
            value = torch.zeros_like(self.answers[frozenset()])
            for subset, answer in self.answers.items():
                if k not in subset:
                    weight = 1 / (self.count * comb(self.count - 1, len(subset)))
                    value += weight * (answer - self.answers[subset | {k}])
            values.append(value)
        return values


class _Orders:
    """Runs along one random order of the places and its reversal, of each picture its own."""

    def __init__(
        self, run: Callable[[Tensor], Tensor], none: Tensor, every: Tensor, pictures: Tensor, count: int
    ) -> None:
        self.run, self.none, self.every, self.count = run, none, every, count
        self.orders = torch.stack([_order(picture, count) for picture in pictures])

    def single(self, k: int) -> Tensor:
        return self._first([k])

    def leading(self, k: int) -> Tensor:
        return self._first(list(range(k)))

    def _first(self, places: list[int]) -> Tensor:
        if len(places) == self.count:
            return self.every
        mend = torch.zeros(len(self.none), self.count, dtype=torch.bool)
        mend[:, places] = True
        return self.run(mend)

    def shapley(self) -> list[Tensor]:
        values = torch.zeros(self.count, *self.none.shape, dtype=self.none.dtype, device=self.none.device)
        rows = torch.arange(len(self.none))
        for orders in (self.orders, self.orders.flip(1)):
            before, mend = self.none, torch.zeros(len(self.none), self.count, dtype=torch.bool)
            for step in range(self.count):
                mend[rows, orders[:, step]] = True
                after = self.every if step == self.count - 1 else self.run(mend)
                values[orders[:, step], rows] += (before - after) / 2
                before = after
        return list(values)


def _order(picture: Tensor, count: int) -> Tensor:
    """Random order that depends on the picture alone."""
    generator = np.random.default_rng(checksum(picture))
    return torch.from_numpy(generator.permutation(count))


def checksum(picture: Tensor) -> int:
    """Number that belongs to the pixels of a picture, to seed what is drawn for it."""
    return zlib.crc32(picture.detach().cpu().float().contiguous().numpy().tobytes())
