"""Results of a network's last run: the next one takes those before the first place that it treats otherwise."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence
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
        self._passed: list[int] = []  # numbers of the calls, in the order of execution; and for each of them
        self._replaced: list[Tensor | None] = []  # the maps in the place of its own,
        self._marks: list[int] = []  # the results up to its own,
        self._versions: list[list[int]] = []  # and how often they had been changed in place by then
        self._at = self._until = self._place = 0

    def rewind(self, changed: Container[int]) -> None:
        """Begin a run in which calls of these numbers, of places, give other maps than in the run before."""
        last = len(self._passed) - 1
        known = next((at for at, number in enumerate(self._passed) if number in changed), last)
        while known >= 0 and self._versions[known] != _versions(self._held(known)):
            known -= 1
        self._until, kept = (self._marks[known], known) if known >= 0 else (0, 0)
        del self._results[self._until :], self._passed[kept:], self._replaced[kept:]
        del self._marks[kept:], self._versions[kept:]
        self._at = self._place = 0

    def call(self, compute: Callable[[], Made]) -> Made:
        """Arguments and result of the next call: those of the run before, or computed."""
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
        at = self._place
        self._place += 1
        if at < len(self._replaced):
            return self._replaced[at]
        if at >= self._places:
            return compute()
        self._passed.append(number)
        self._marks.append(len(self._results))
        self._versions.append(_versions(self._held(at)))
        self._replaced.append(None)
        self._replaced[at] = compute()
        return self._replaced[at]

    def _held(self, place: int) -> list[Any]:
        """Part of the recording that a run takes, up to a place."""
        return [*(result for _, result in self._results[: self._marks[place]]), *self._replaced[:place]]


def _versions(held: Sequence[Any]) -> list[int]:
    """Number of times that each tensor in results, or in tuples of them, has been changed in place."""
    found = []
    for item in held:
        for part in item if isinstance(item, (tuple, list)) else (item,):
            if isinstance(part, Tensor):
                found.append(part._version)
    return found
