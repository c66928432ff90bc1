"""Changes of the answer from one shift to another, right or not: how often, and by how much."""

from __future__ import annotations

import torch
from torch import Tensor

from analysis.networks.metrics.checks import finite, frames_of, labels_of
from analysis.networks.metrics.streaming import Streaming
from wavelets.checks import integer


class Consistency(Streaming):
    r"""Share of the pairs of shifts of one picture that get the same class.

    Parameters
    ----------
    distinct : bool
        True: pairs of two different frames; with an original and one shifted frame, how often they agree (theory.md,
        section 7.2). False: both frames are drawn independently and uniformly (section 7.1, metric 2), so that they
        are the same one in F of F² cases.

    Notes
    -----
    The mean over all pairs is computed, not sampled: with :math:`n_c` of F frames in class c it is
    :math:`\sum_c n_c^2/F^2`, or :math:`\sum_c n_c(n_c-1)/(F(F-1))` of distinct frames.
    """

    def __init__(self, distinct: bool = True) -> None:
        super().__init__()
        self.distinct = bool(distinct)

    def update(self, logits: Tensor) -> None:
        """Count a batch.

        Parameters
        ----------
        logits : Tensor, shape (F, N, C)
            Of the same pictures at F >= 2 shifts.

        Raises
        ------
        TypeError, ValueError
            If logits hold NaN or infinity, or frames or classes are not as many as before.
        """
        logits = frames_of(logits)
        frames, pictures, classes = logits.shape
        self._expect(classes=classes, frames=frames)
        votes = torch.zeros(pictures, classes, dtype=torch.float64)
        top = logits.argmax(2).T
        votes.scatter_add_(1, top, torch.ones(top.shape, dtype=torch.float64))
        same = votes * (votes - 1) / (frames * (frames - 1)) if self.distinct else (votes / frames) ** 2
        self._add("same", same.sum())
        self._add("pictures", pictures)

    def compute(self) -> float:
        """Consistency, 0 to 1."""
        return float(self._seen("same") / self.sums["pictures"])


class Variation(Streaming):
    """Standard deviation over shifts of the probability of the true class, one a picture.

    Parameters
    ----------
    bins : int
        Of the histogram from 0 to 0.5, which is the largest that it can be.

    Notes
    -----
    theory.md, section 7.1, metric 3; the variance is that of the population of shifts (divided by F).
    """

    def __init__(self, bins: int = 50) -> None:
        super().__init__()
        self.bins = integer("bins", bins, 1)

    def update(self, logits: Tensor, labels: Tensor) -> None:
        """Add a batch.

        Parameters
        ----------
        logits : Tensor, shape (F, N, C)
        labels : Tensor, shape (N,), integers

        Raises
        ------
        TypeError, ValueError
            If logits hold NaN or infinity, or labels are out of range.
        """
        logits = frames_of(logits)
        labels = labels_of(labels, *logits.shape[1:])
        self._expect(classes=logits.shape[2])
        true = logits.softmax(2).gather(2, labels.expand(len(logits), -1)[..., None])[..., 0]
        deviation = true.std(0, correction=0)
        self._add("deviation", deviation.sum())
        self._add("histogram", torch.histc(deviation, self.bins, 0, 0.5))
        self._add("pictures", len(labels))

    def compute(self) -> float:
        """Mean over the pictures, 0 to 0.5."""
        return float(self._seen("deviation") / self.sums["pictures"])

    def distribution(self) -> tuple[Tensor, Tensor]:
        """Share of the pictures in each bin, shape (bins,), and the edges of the bins, shape (bins + 1,)."""
        share = self._seen("histogram") / self.sums["pictures"]
        return share, torch.linspace(0, 0.5, self.bins + 1, dtype=torch.float64)


class MeanAbsoluteChange(Streaming):
    """Mean absolute change of the probability of the original's top class.

    Parameters
    ----------
    activation : {"softmax", "sigmoid", None}
        Function from outputs to probabilities; None if they are.

    Notes
    -----
    theory.md, section 7.2: MAC.
    """

    def __init__(self, activation: str | None = "softmax") -> None:
        super().__init__()
        if activation not in ("softmax", "sigmoid", None):
            raise ValueError(f"unknown activation {activation!r}; known: 'softmax', 'sigmoid', None")
        self.activation = activation

    def update(self, original: Tensor, shifted: Tensor) -> None:
        """Add a batch.

        Parameters
        ----------
        original, shifted : Tensor, shape (N, C)
            Outputs for the pictures as they are, and shifted.

        Raises
        ------
        TypeError, ValueError
            If outputs hold NaN or infinity, or shapes differ.
        """
        original = finite(original, "original", 2, "(N, classes)")
        shifted = finite(shifted, "shifted", 2, "(N, classes)")
        if original.shape != shifted.shape:
            raise ValueError(f"original has shape {tuple(original.shape)}, shifted {tuple(shifted.shape)}")
        self._expect(classes=original.shape[1])
        top = original.argmax(1, keepdim=True)
        change = self.probability(shifted).gather(1, top) - self.probability(original).gather(1, top)
        self._add("change", change.abs().sum())
        self._add("pictures", len(original))

    def compute(self) -> float:
        """Mean, 0 to 1."""
        return float(self._seen("change") / self.sums["pictures"])

    def probability(self, outputs: Tensor) -> Tensor:
        """Probabilities of outputs (N, C)."""
        if self.activation is None:
            return outputs
        return outputs.softmax(1) if self.activation == "softmax" else outputs.sigmoid()
