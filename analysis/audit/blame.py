"""Blame of each place for the change of a network's answer under a shift: Shapley values over ideal blocks.

The network is run on pairs: the shifted pictures in the first half of a batch, the pictures as they are in the second.
At a place the maps of the first half are replaced by the translated maps of the second if the place is mended, and
those of the second half by the maps of the first, translated back, if it is not: so the second half is always what the
ideal block that follows is to be given.
"""

from __future__ import annotations

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

from analysis.files.messages import first_line, unknown
from analysis.measurements.translation import GUARD
from analysis.measurements.translation_torch import translate_maps
from analysis.networks.metrics.bootstrap import checksum
from analysis.networks.place import Place, intercept
from analysis.networks.resolution import NCHW, Call
from analysis.networks.tape import Tape

BORDERS = ("circular", "own")
EXACT = 6
"""Most places for which all subsets are run."""

FORMS = ("exact", "sampled", "nested")
"""Shapley values of all subsets of places, or of one random order and its reversal a picture, or the order of execution
alone."""

PIXELS = 2**17
"""Pixels of the pairs of pictures that are run together, at most, if that is not one pair: few enough that no map takes
more than 32 MB, which the C library would take from the system each time anew."""

ALIKE = 1e-4
"""Largest difference of answers, relative to the largest of them, that is taken for rounding."""

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
        self.tapes, self._checked = True, False  # whether runs may begin with what the run before has computed

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
        return self.logits(intercept(self.model, self._input(pictures), _nothing, circular=circular, found=()))

    def mended(
        self,
        first: Tensor,
        second: Tensor,
        shifts: Sequence[Shift],
        mend: Tensor,
        circular: bool,
        tape: Tape | None = None,
    ) -> Tensor:
        """Logits of shifted pictures with some places mended.

        Parameters
        ----------
        first, second : Tensor, shape (N, channels, H, W)
            Pictures after and before the shift.
        shifts : sequence of N pairs of float
            Of each picture.
        mend : Tensor, shape (N, places), bool
            Which places are mended, picture by picture.
        circular : bool
            Let maps go on as their own period wherever the network pads them.
        tape : Tape, optional
            Recording of runs on these pairs, rewound to the first place that is now treated otherwise.
        """

        def on_call(index: int, call: Call) -> Tensor | None:
            number, place = self._of_call[index]
            down, right = place.total_stride
            return exchanged(call, [(u / down, v / right) for u, v in shifts], mend[:, number])

        pictures = self._input(torch.cat((first, second)))
        answer = intercept(self.model, pictures, on_call, circular=circular, found=self.places, tape=tape)
        return self.logits(answer)[: len(first)]

    def mended_in_turn(
        self, first: Tensor, second: Tensor, shifts: Sequence[Shift], masks: Sequence[Tensor], circular: bool
    ) -> list[Tensor]:
        """Answers as of :meth:`mended` for several masks, each computed from the first place on that differs.

        The last one is computed as a whole too, once for each network: if the two differ, the network's own code does
        something that a recording does not hold, and nothing is recorded from then on.
        """
        answers: list[Tensor] = []
        tape = Tape(len(self._of_call))
        last: Tensor | None = None
        for mend in masks:
            changed = () if last is None else (mend != last).any(0).nonzero()[:, 0].tolist()
            tape.rewind({call for place in changed for call in self.places[place].calls})
            answers.append(self.mended(first, second, shifts, mend, circular, tape if self.tapes else None))
            last = mend
        if self.tapes and not self._checked and len(masks) > 1:
            whole = self.mended(first, second, shifts, masks[-1], circular)
            self._checked = True
            if not torch.allclose(whole, answers[-1], rtol=0, atol=ALIKE * float(whole.detach().abs().max())):
                self.tapes = False
                return self.mended_in_turn(first, second, shifts, masks, circular)
        return answers

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


def exchanged(call: Call, shifts: Sequence[Shift], mend: Tensor) -> Tensor:
    """Output of a place for a batch of pairs; see the head of this file.

    Parameters
    ----------
    call : Call
    shifts : sequence of pairs of float
        v of each pair, samples of the output.
    mend : Tensor, shape (pairs,), bool
    """
    maps, axes = call.output.clone(), call.axes
    if call.layout is None and len(maps) != 2 * len(mend):
        raise ValueError(
            f"{call.module or 'the network'} is given {len(maps)} maps for {2 * len(mend)} pictures; expected one of "
            "each, as with the example"
        )
    if call.layout is not None:
        maps, axes = call.layout.maps(call.output, 2 * len(mend)), NCHW
    first, second = maps[: len(mend)], maps[len(mend) :]
    for shift in dict.fromkeys(shifts):
        alike = torch.tensor([other == shift for other in shifts], device=mend.device)
        change, keep = mend & alike, ~mend & alike
        if change.any():
            first[change] = translate_maps(second[change], shift, axes)
        if keep.any():
            second[keep] = translate_maps(first[keep], [-v for v in shift], axes)
    return maps if call.layout is None else call.layout.replaced(call.output, maps)


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


def form_for(places: int, form: str | None) -> str:
    """Form in which blame is shared out among so many places; ValueError if there is none of that name."""
    if form is None:
        return "exact" if places <= EXACT else "sampled"
    if form not in FORMS:
        raise ValueError(unknown("form", form, FORMS))
    return form


def shares(
    network: Network,
    first: Tensor,
    second: Tensor,
    shifts: Shift | Sequence[Shift],
    *,
    circular: bool = True,
    form: str | None = None,
) -> Shares:
    """Shares of the places of a network in its change between pictures and shifted pictures.

    Parameters
    ----------
    network : Network
    first, second : Tensor, shape (N, channels, H, W)
        Pictures after and before the shift.
    shifts : (float, float), or a sequence of N such
        Pixels; one for all, or one of each picture.
    circular : bool
        Let maps go on as their own period wherever the network pads them.
    form : {"exact", "sampled", "nested"}, optional
        All subsets of places are run; or one random order and its reversal a picture; or only the order of execution,
        whose steps are then taken for the shares, and nothing is known of mending one place alone. By default all
        subsets of up to 6 places, otherwise a random order.

    Returns
    -------
    Shares
    """
    count = len(network.places)
    form = form_for(count, form)
    each = [_pair(shift) for shift in shifts] if isinstance(shifts[0], Sequence) else [_pair(shifts)] * len(first)
    answers = network.plain(torch.cat((first, second)), circular)
    none, target = answers[: len(first)], answers[len(first) :]
    runs = _Runs(network, (first, second), each, circular, none)
    whole = none - target
    unknown_steps = [torch.full_like(none, torch.nan)] * count
    exact = runs.exact() if form == "exact" else []  # first: all subsets in one order
    steps = unknown_steps if form == "sampled" else runs.nested()
    psi = steps if form == "nested" else exact if form == "exact" else runs.sampled()
    singles = unknown_steps if form == "nested" else runs.singles()
    psi = [*psi, runs.every() - target]
    return Shares(
        whole.square().sum(1),
        _columns([(part * whole).sum(1) for part in psi], whole),
        _columns([part.square().sum(1) for part in psi], whole),
        _columns([(part * whole).sum(1) for part in steps], whole),
        _columns([(part - target).square().sum(1) for part in singles], whole),
        target.square().sum(1),
    )


def _pair(shift: Any) -> Shift:
    down, right = shift
    return float(down), float(right)


def _columns(parts: list[Tensor], like: Tensor) -> Tensor:
    return torch.stack(parts, 1) if parts else like.new_zeros(len(like), 0)


class _Runs:
    """Answers of a network to shifted pictures with subsets of its places mended, and values made of them.

    Parameters
    ----------
    network : Network
    both : (Tensor, Tensor)
        Pictures after and before the shift.
    shifts : list of (float, float)
    circular : bool
    none : Tensor, shape (N, classes)
        Answers with nothing mended.
    """

    def __init__(
        self, network: Network, both: tuple[Tensor, Tensor], shifts: list[Shift], circular: bool, none: Tensor
    ) -> None:
        self.network, self.both, self.shifts, self.circular, self.none = network, both, shifts, circular, none
        self.count = len(network.places)
        self._known = {frozenset[int](): none}

    def every(self) -> Tensor:
        """Answers with all places mended."""
        return self._of_subsets([frozenset(range(self.count))])[0]

    def singles(self) -> list[Tensor]:
        """Answers with one place mended."""
        return self._of_subsets([frozenset({k}) for k in range(self.count)])

    def nested(self) -> list[Tensor]:
        """Change of the answer by each place, mended after all those before it."""
        chain = self._of_subsets([frozenset(range(k)) for k in range(self.count + 1)])
        return [before - after for before, after in pairwise(chain)]

    def exact(self) -> list[Tensor]:
        """Shapley values, from all subsets."""
        subsets = [frozenset(s) for size in range(self.count + 1) for s in combinations(range(self.count), size)]
        answers = dict(zip(subsets, self._of_subsets(subsets), strict=True))
        values = []
        for k in range(self.count):
            value = torch.zeros_like(self.none)
            for subset, answer in answers.items():
                if k not in subset:
                    weight = 1 / (self.count * comb(self.count - 1, len(subset)))
                    value += weight * (answer - answers[subset | {k}])
            values.append(value)
        return values

    def sampled(self) -> list[Tensor]:
        """Shapley values, from a random order of the places and its reversal, of each picture its own."""
        orders = torch.stack([_order(picture, self.count) for picture in self.both[1]])
        both = torch.cat((orders, orders.flip(1)), 1)
        rows = torch.arange(len(orders))
        masks: list[Tensor] = []
        for step in range(2 * self.count):
            mend = torch.zeros(orders.shape, dtype=torch.bool) if step % self.count == 0 else masks[-1].clone()
            mend[rows, both[:, step]] = True
            masks.append(mend)
        known = {step: self._of_each(self.singles(), both[:, step]) for step in (0, self.count)}
        known |= {self.count - 1: self.every(), 2 * self.count - 1: self.every()}
        new = [step for step in range(2 * self.count) if step not in known]
        answers = known | dict(zip(new, self._run([masks[step] for step in new]), strict=True))
        values = torch.zeros(self.count, *self.none.shape, dtype=self.none.dtype, device=self.none.device)
        for step in range(2 * self.count):
            before = self.none if step % self.count == 0 else answers[step - 1]
            values[both[:, step], rows] += (before - answers[step]) / 2
        return list(values)

    @staticmethod
    def _of_each(answers: list[Tensor], chosen: Tensor) -> Tensor:
        """Rows of several answers, of each picture those that are chosen for it."""
        return torch.stack(answers)[chosen, torch.arange(len(chosen))]

    def _of_subsets(self, subsets: Sequence[frozenset[int]]) -> list[Tensor]:
        """Answers with the same places mended for all pictures; each subset is run once."""
        new = {subset for subset in subsets if subset not in self._known}
        if new and len(self.none):
            order = sorted(new, key=lambda subset: [place in subset for place in range(self.count)])
            masks = [torch.zeros(len(self.none), self.count, dtype=torch.bool) for _ in order]
            for mask, subset in zip(masks, order, strict=True):
                mask[:, list(subset)] = True
            answers = self.network.mended_in_turn(*self.both, self.shifts, masks, self.circular)
            self._known |= zip(order, answers, strict=True)
        self._known |= dict.fromkeys(new - self._known.keys(), self.none)  # of no pictures
        return [self._known[subset] for subset in subsets]

    def _run(self, masks: list[Tensor]) -> list[Tensor]:
        """Answers with the places of each mask mended, as many masks at a time as :data:`PIXELS` allows."""
        first, second = self.both
        together = max(1, PIXELS // max(1, len(first) * first[0, 0].numel())) if len(first) else 1
        answers: list[Tensor] = []
        for start in range(0, len(masks), together):
            part = masks[start : start + together]
            times = (len(part), 1, 1, 1)
            mend = torch.cat(part).to(first.device)
            pictures = first.repeat(times), second.repeat(times)
            found = self.network.mended(*pictures, self.shifts * len(part), mend, self.circular)
            answers += torch.split(found, len(first)) if len(first) else [self.none] * len(part)
        return answers


def _order(picture: Tensor, count: int) -> Tensor:
    """Random order that depends on the picture alone."""
    generator = np.random.default_rng(checksum(picture))
    return torch.from_numpy(generator.permutation(count))
