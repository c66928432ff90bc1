"""Accuracy: top-k, by shift, and against an adversary that chooses the shift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from analysis.networks.metrics.checks import finite, frames_of, labels_of, shifts_of
from analysis.networks.metrics.streaming import Streaming
from wavelets.checks import integer


class TopK(Streaming):
    """Share of the pictures whose class is among the k best.

    Parameters
    ----------
    ks : sequence of int
        The values of k.

    Notes
    -----
    Of classes with equal scores the one with the smaller number is better, so a network that answers nothing is right
    in k of C cases, not in all.
    """

    def __init__(self, ks: Sequence[int] = (1, 5)) -> None:
        super().__init__()
        self.ks = tuple(integer("k", k, 1) for k in ks)

    def update(self, scores: Tensor, labels: Tensor) -> None:
        """Count a batch.

        Parameters
        ----------
        scores : Tensor, shape (N, C)
            Logits or probabilities; for ten crops, the mean of the ten softmax vectors.
        labels : Tensor, shape (N,), integers

        Raises
        ------
        TypeError, ValueError
            If scores hold NaN or infinity, labels are out of range, shapes differ from before or there are less than
            k classes.
        """
        scores = finite(scores, "scores", 2, "(N, classes)")
        labels = labels_of(labels, *scores.shape)
        if max(self.ks) > scores.shape[1]:
            raise ValueError(f"top-{max(self.ks)} of {scores.shape[1]} classes; expected at least as many classes")
        self._expect(classes=scores.shape[1])
        rank = rank_of(scores, labels)
        self._add("right", torch.stack([(rank < k).sum() for k in self.ks]))
        self._add("pictures", len(labels))

    def compute(self) -> dict[int, float]:
        """Accuracy by k, 0 to 1."""
        return dict(zip(self.ks, (self._seen("right") / self.sums["pictures"]).tolist(), strict=True))


def rank_of(scores: Tensor, labels: Tensor) -> Tensor:
    """Number of classes that come before the true one, shape (N,); of equal scores the first class is better."""
    of_label = scores.gather(1, labels[:, None])
    before = torch.arange(scores.shape[1]) < labels[:, None]
    return ((scores > of_label) | (scores == of_label) & before).sum(1)


class AccuracyByFrame(Streaming):
    """Accuracy for each of several forms of the pictures, such as corruptions."""

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch of logits (F, N, C), with labels (N,), integers; errors as of :class:`TopK`."""
        logits = frames_of(logits, 1)
        labels = labels_of(labels, *logits.shape[1:])
        self._expect(classes=logits.shape[2], frames=len(logits))
        self._add("right", (logits.argmax(2) == labels).sum(1))
        self._add("pictures", len(labels))

    def compute(self) -> Tensor:
        """Accuracy of each form, shape (F,), 0 to 1."""
        return self._seen("right") / self.sums["pictures"]


class AccuracyByShift(Streaming):
    """Accuracy as a function of the shift, and where an adversary chooses the shift.

    Parameters
    ----------
    shifts : sequence of (int, int)
        Shift (dy, dx) of each frame.

    Notes
    -----
    Against an adversary of radius r a picture counts if it is classified correctly at every shift of the list with
    |dy|, |dx| <= r. The BlurPool paper lets it choose among all (2r + 1)² of them: give a full square for that;
    `positions` of the result says how many there were. theory.md, section 7.1, metrics 4 and 5.
    """

    def __init__(self, shifts: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.shifts = shifts_of(shifts)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Count a batch.

        Parameters
        ----------
        logits : Tensor, shape (F, N, C)
            Of the same pictures at every shift.
        labels : Tensor, shape (N,), integers

        Raises
        ------
        TypeError, ValueError
            If logits hold NaN or infinity, frames are not as many as shifts, or labels are out of range.
        """
        logits = frames_of(logits, 1)
        if len(logits) != len(self.shifts):
            raise ValueError(f"logits are of {len(logits)} frames; expected {len(self.shifts)}, one a shift")
        labels = labels_of(labels, *logits.shape[1:])
        self._expect(classes=logits.shape[2])
        right = logits.argmax(2) == labels
        self._add("right", right.sum(1))
        self._add("unbeaten", torch.stack([right[list(within)].all(0).sum() for within in self._within()]))
        self._add("pictures", len(labels))

    def compute(self) -> xr.Dataset:
        """Map, diagonal and adversary.

        Returns
        -------
        Dataset
            ``accuracy`` (dy, dx), NaN where there is no such shift; ``diagonal`` (step), where dy = dx;
            ``adversary`` (radius) and ``positions`` (radius), how many shifts it may choose from.
        """
        values = (self._seen("right") / self.sums["pictures"]).numpy()
        rows, columns = (sorted(set(axis)) for axis in zip(*self.shifts, strict=True))
        table = np.full((len(rows), len(columns)), np.nan)
        for (dy, dx), value in zip(self.shifts, values, strict=True):
            table[rows.index(dy), columns.index(dx)] = value
        diagonal = {dy: value for (dy, dx), value in zip(self.shifts, values, strict=True) if dy == dx}
        steps = sorted(diagonal)
        return xr.Dataset(
            {
                "accuracy": (("dy", "dx"), table),
                "diagonal": (("step",), [diagonal[step] for step in steps]),
                "adversary": (("radius",), (self.sums["unbeaten"] / self.sums["pictures"]).numpy()),
                "positions": (("radius",), [len(within) for within in self._within()]),
            },
            {"dy": rows, "dx": columns, "step": steps, "radius": self._radii()},
        )

    def _radii(self) -> list[int]:
        return sorted({max(abs(dy), abs(dx)) for dy, dx in self.shifts})

    def _within(self) -> list[tuple[int, ...]]:
        """Numbers of the frames within each radius."""
        return [
            tuple(i for i, (dy, dx) in enumerate(self.shifts) if max(abs(dy), abs(dx)) <= radius)
            for radius in self._radii()
        ]
