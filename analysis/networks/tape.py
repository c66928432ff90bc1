"""Results of a network's last run: the next one takes those before the first place that it treats otherwise."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor

Made = tuple[tuple[Sequence[Any], Mapping[str, Any]], Any]
OnPlace = Callable[[], Tensor | None]


class Tape:
    """Recording of runs of one network on one input, in which some places give other maps from run to run.

    A run makes the same calls as the one before it up to the first such place, with the same results; these are taken
    from the recording. Where a call has meanwhile changed one of them in place, they are taken up to an earlier place.

    Parameters
    ----------
    places : int
        Calls that lose resolution and may give other maps; what comes after the last one is not recorded.
    """

    def __init__(self, places: int) -> None:
        self._places = places
        self._results: list[Made] = []
        self._replaced: list[Tensor | None] = []
        self._marks: list[int] = []  # for each place, the results up to its own
        self._versions: list[list[int]] = []  # for each place, how often results had been changed in place by then
        self._at = self._until = 0

    def rewind(self, changed: int) -> None:
        """Begin a run whose place `changed`, and maybe later ones, give other maps than in the run before."""
        known = min(changed, len(self._marks) - 1)
        while known >= 0 and self._versions[known] != _versions(self._held(known)):
            known -= 1
        self._until = self._marks[known] if known >= 0 else 0
        kept = max(known, 0)
        del self._results[self._until :], self._marks[kept:], self._versions[kept:], self._replaced[kept:]
        self._at = 0

    def call(self, compute: Callable[[], Made]) -> Made:
        """What the next call was given and what it gave: those of the run before, or computed."""
        number = self._at
        self._at += 1
        if number < self._until:
            return self._results[number]
        result = compute()
        if len(self._marks) < self._places:
            self._results.append(result)
        return result

    def place(self, number: int, compute: OnPlace) -> Tensor | None:
        """Maps that take the place of those of a call that loses resolution, or None for its own."""
        if number < len(self._replaced):
            return self._replaced[number]
        if number < self._places:
            self._marks.append(len(self._results))
            self._versions.append(_versions(self._held(number)))
            self._replaced.append(None)
        new = compute()
        if number < self._places:
            self._replaced[number] = new
        return new

    def _held(self, place: int) -> list[Any]:
        """What a run takes from the recording up to a place."""
        return [*(result for _, result in self._results[: self._marks[place]]), *self._replaced[:place]]


def _versions(held: Sequence[Any]) -> list[int]:
    """How often each tensor in results, or in tuples of them, has been changed in place."""
    found = []
    for item in held:
        for part in item if isinstance(item, (tuple, list)) else (item,):
            if isinstance(part, Tensor):
                found.append(part._version)
    return found
