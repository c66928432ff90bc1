"""Mean average precision and d' of networks whose answers are scores of independent classes."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from analysis.networks.metrics.checks import finite
from analysis.networks.metrics.streaming import Streaming
from wavelets.checks import integer

LARGEST = 745.0
"""Logits beyond are ties: log of the smallest float64, so that only probabilities of exactly 0 and 1 are there."""


class MultilabelScores(Streaming):
    r"""Average precision, area under the ROC curve and :math:`d'=\sqrt2\,\Phi^{-1}(\mathrm{AUC})` of each class.

    Parameters
    ----------
    bins : int
        Scores are counted in so many bins, so that memory is 2·bins numbers a class. Scores in the same bin count as
        ties.
    logits : bool
        Scores are logits, of any size, and not probabilities. Prefer them if you have them: in float32 the sigmoid of
        all logits above 17 is 1.

    Notes
    -----
    Average precision and AUC are those of scikit-learn, as far as scores in one bin are ties. The bins are of equal
    width in asinh(logit), from the smallest to the largest logit of a float64: networks with rare classes answer with
    probabilities of many magnitudes, and order must be kept among 10⁻⁶ as among 0.5. With 2¹⁴ bins ties are
    probabilities closer than 2·10⁻⁴ around 0.5, and 1.3 % (logits 0.013) around 10⁻⁶. theory.md, section 7.2.
    """

    def __init__(self, bins: int = 2**14, logits: bool = False) -> None:
        super().__init__()
        self.bins = integer("bins", bins, 2)
        self.logits = bool(logits)

    def update(self, scores: Tensor, targets: Tensor) -> None:
        """Count a batch.

        Parameters
        ----------
        scores : Tensor, shape (N, C)
            After the sigmoid (or softmax), 0 to 1; or logits, if that was said.
        targets : Tensor, shape (N, C), of 0 and 1 or of booleans

        Raises
        ------
        TypeError, ValueError
            If scores hold NaN or infinity, or leave [0, 1] but are not logits, targets are others than 0 and 1, or
            shapes differ.
        """
        kind = "logits" if self.logits else "probabilities"
        scores = finite(scores, kind, 2, "(N, classes)")
        if not self.logits and (scores.min() < 0 or scores.max() > 1):
            raise ValueError(
                f"probabilities range from {scores.min():g} to {scores.max():g}; expected 0 to 1, or logits=True"
            )
        targets = finite(torch.as_tensor(targets), "targets", 2, "(N, classes)")
        if targets.shape != scores.shape:
            raise ValueError(f"targets have shape {tuple(targets.shape)}, {kind} {tuple(scores.shape)}")
        other = targets[(targets != 0) & (targets != 1)]
        if other.numel():
            raise ValueError(f"targets hold {other[0]:g}; expected 0 and 1")
        classes = scores.shape[1]
        self._expect(classes=classes)
        scale = (scores if self.logits else scores.logit()).clamp(-LARGEST, LARGEST).asinh() / math.asinh(LARGEST)
        cell = ((scale + 1) / 2 * self.bins).long().clamp(max=self.bins - 1) + self.bins * torch.arange(classes)
        for name, members in (("positive", targets == 1), ("negative", targets == 0)):
            counts = torch.bincount(cell[members], minlength=classes * self.bins)
            self._add(name, counts.reshape(classes, self.bins))

    def compute(self) -> dict[str, float]:
        """Summary over the classes that have both positives and negatives.

        Returns
        -------
        dict of str to float
            ``mAP``, the unweighted mean of the average precisions; ``auc``, that of the areas; ``d_prime``, d' of that
            mean area, as evaluations on AudioSet have it (a mean of d' would be infinite for one perfect class).

        Raises
        ------
        ValueError
            If no class has both.
        """
        by_class = self.by_class()
        known = ~np.isnan(by_class["auc"])
        if not known.any():
            raise ValueError("no class has both positive and negative examples")
        auc = by_class["auc"][known].mean()
        return {
            "mAP": float(by_class["average_precision"][known].mean()),
            "auc": float(auc),
            "d_prime": float(math.sqrt(2) * ndtri(auc)),
        }

    def by_class(self) -> dict[str, NDArray[np.float64]]:
        """``average_precision``, ``auc`` and ``d_prime``, each of shape (C,); NaN where all examples are alike."""
        from sklearn.metrics import average_precision_score, roc_auc_score  # here: importing it takes a second

        positive, negative = (self._seen(name).numpy() for name in ("positive", "negative"))
        result = np.full((2, len(positive)), np.nan)
        for c, (ones, zeros) in enumerate(zip(positive, negative, strict=True)):
            if ones.any() and zeros.any():
                used = [ones.nonzero()[0], zeros.nonzero()[0]]
                truth = np.repeat([1, 0], [len(bins) for bins in used])
                weight = np.concatenate((ones[used[0]], zeros[used[1]]))
                score = np.concatenate(used)
                result[:, c] = (
                    average_precision_score(truth, score, sample_weight=weight),
                    roc_auc_score(truth, score, sample_weight=weight),
                )
        d_prime = math.sqrt(2) * ndtri(result[1])
        return {"average_precision": result[0], "auc": result[1], "d_prime": d_prime}
