"""Losses by which a network with a remedy learns from the plain one: terms of a loss without labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import kl_div, log_softmax, pad, softmax

Model = Callable[[Tensor], Tensor]

BORDERS = ("reflect", "circular", "both")
"""Continuations of a shifted picture: mirrored, as its own period, or the one and the other in turns."""


def shifted(pictures: Tensor, shift: tuple[int, int], borders: str) -> Tensor:
    """Pictures moved down and right by whole pixels.

    Parameters
    ----------
    pictures : Tensor, shape (B, C, H, W)
    shift : tuple of int
        Rows and columns; mirrored, less than the side of a picture.
    borders : {"reflect", "circular"}

    Returns
    -------
    Tensor, shape (B, C, H, W)
    """
    down, right = shift
    if borders == "circular":
        return pictures.roll((down, right), (2, 3))
    margin = max(abs(down), abs(right))
    height, width = pictures.shape[2:]
    wide = pad(pictures, (margin,) * 4, mode="reflect")
    return wide[:, :, margin - down : margin - down + height, margin - right : margin - right + width]


def draw_shifts(count: int, span: int, borders: str, size: tuple[int, int], place: Sequence[int]) -> list[Shift]:
    """Shifts of one step, none of them zero.

    Parameters
    ----------
    count : int
        Shifts.
    span : int
        Largest distance along an axis of mirrored shifts, pixels; circular ones are of any length.
    borders : str
        Of :data:`BORDERS`.
    size : tuple of int
        Height and width of the pictures.
    place : sequence of int
        Seed, epoch and step, on which alone the shifts depend.

    Returns
    -------
    list of ((int, int), str)
        Shift and its border.
    """
    generator = np.random.default_rng([*place, 19])
    kinds = ("reflect", "circular") if borders == "both" else (borders,)
    found: list[Shift] = []
    while len(found) < count:
        kind = kinds[(len(found) + place[-1]) % len(kinds)]
        low, high = ((0, 0), size) if kind == "circular" else ((-span, -span), (span + 1, span + 1))
        down, right = generator.integers(low, high).tolist()
        if down or right:
            found.append(((down, right), kind))
    return found


Shift = tuple[tuple[int, int], str]


class Lesson:
    """Answers of both networks to one batch, each computed once and only if a term asks for it.

    Parameters
    ----------
    student, teacher : callable
        From pictures in [0, 1], shape (B, 3, H, W), to logits, shape (B, classes); the teacher is in evaluation mode.
    pictures : Tensor, shape (B, 3, H, W)
    shifts : list of ((int, int), str)
        Of :func:`draw_shifts`.
    temperature : float
        Logits are divided by it.
    maps : mapping of str to pair of Tensor, optional
        Filled by a pass of either network: maps of teacher and student by the name of their module.
    """

    def __init__(
        self,
        student: Model,
        teacher: Model,
        pictures: Tensor,
        shifts: list[Shift],
        temperature: float,
        maps: tuple[Mapping[str, Tensor], Mapping[str, Tensor]] = ({}, {}),
    ) -> None:
        self.student, self.teacher, self.pictures = student, teacher, pictures
        self.shifts, self.temperature, self._maps = shifts, temperature, maps

    @cached_property
    def both(self) -> tuple[Tensor, Tensor, list[tuple[Tensor, Tensor]]]:
        """Logits of the teacher and of the student, and the pairs of their maps."""
        taught_maps, learnt_maps = self._maps
        with torch.no_grad():
            taught = self.teacher(self.pictures).float()
        learnt = self.student(self.pictures).float()
        return taught, learnt, [(taught_maps[name], learnt_maps[name]) for name in taught_maps]

    @cached_property
    def views(self) -> list[Tensor]:
        """The batch under each shift."""
        return [shifted(self.pictures, *shift) for shift in self.shifts]

    @cached_property
    def mean_of_teacher(self) -> Tensor:
        """Probabilities of the teacher, mean over the batch as it is and under each shift."""
        with torch.no_grad():
            others = self.teacher(torch.cat(self.views)).float()
        return softmax(torch.stack([self.both[0], *others.chunk(len(self.views))]) / self.temperature, 2).mean(0)


def divergence(target: Tensor, logits: Tensor, temperature: float = 1.0) -> Tensor:
    """Kullback-Leibler divergence of softmax(logits / T) from target probabilities, T² times the mean over the batch.

    Parameters
    ----------
    target, logits : Tensor, shape (B, classes)
    temperature : float

    Returns
    -------
    Tensor, shape ()
        Nats at temperature 1. The factor T² keeps the size of gradients (Hinton et al. 2015).
    """
    return temperature**2 * kl_div(log_softmax(logits / temperature, 1), target, reduction="batchmean")


def answers(lesson: Lesson) -> Tensor:
    """Divergence of the student's answer from the teacher's."""
    taught, learnt, _ = lesson.both
    return divergence(softmax(taught / lesson.temperature, 1), learnt, lesson.temperature)


def averaged(lesson: Lesson) -> Tensor:
    """Divergence of the student's answer from the mean of the teacher's over shifts, which is more stable than it."""
    return divergence(lesson.mean_of_teacher, lesson.both[1], lesson.temperature)


def features(lesson: Lesson) -> Tensor:
    """Squared difference of the maps behind each place, over the teacher's square; mean over places."""
    parts = [(a - b).square().mean() / a.square().mean().clamp_min(1e-12) for a, b in lesson.both[2]]
    return torch.stack(parts).mean()


def consistency(lesson: Lesson) -> Tensor:
    """Divergence between the student's answers to the batch and to its first shift, both ways, their mean."""
    logits = lesson.both[1], lesson.student(lesson.views[0]).float()
    first, second = (softmax(each / lesson.temperature, 1) for each in logits)
    return (
        divergence(first.detach(), logits[1], lesson.temperature)
        + divergence(second.detach(), logits[0], lesson.temperature)
    ) / 2


LOSSES: dict[str, Callable[[Lesson], Tensor]] = {
    "answers": answers,
    "averaged": averaged,
    "features": features,
    "consistency": consistency,
}
"""Terms of the loss by name; those that are chosen are added."""

TEACHING = ("answers", "averaged", "features")
"""Terms that look at the teacher: a network that is only consistent may answer the same to everything."""


class Maps:
    """Maps that modules of a network gave in its last pass, by the names of the modules.

    Parameters
    ----------
    model : Module
    names : sequence of str
    """

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        self.found: dict[str, Tensor] = {}
        self._hooks = [model.get_submodule(name).register_forward_hook(self._keep(name)) for name in names]

    def _keep(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, inputs: object, output: Tensor) -> None:
            self.found[name] = output

        return hook

    def close(self) -> None:
        """Take the hooks away."""
        for hook in self._hooks:
            hook.remove()
