"""Kullback-Leibler divergence of the answers under shift."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from analysis.networks.metrics.checks import frames_of
from analysis.networks.metrics.streaming import Streaming


class DivergenceByShift(Streaming):
    r"""Mean of :math:`\mathrm{KL}(p_0\|p_t)=\sum_cp_0\log(p_0/p_t)` over the pictures, nats.

    Frame 0 is the unshifted one. For half pixels take the frames from :func:`half_pixel_window`, frame 0 too.
    theory.md, section 6.3.
    """

    def update(self, logits: Tensor) -> None:
        """Add a batch.

        Parameters
        ----------
        logits : Tensor, shape (T, N, C)

        Raises
        ------
        TypeError, ValueError
            If logits hold NaN or infinity, or frames or classes are not as many as before.
        """
        logits = frames_of(logits, 1)
        frames, pictures, classes = logits.shape
        self._expect(classes=classes, frames=frames)
        logs = logits.log_softmax(2)
        self._add("divergence", (logs[0].exp() * (logs[0] - logs)).sum((1, 2)))
        self._add("pictures", pictures)

    def compute(self) -> NDArray[np.float64]:
        """Mean divergence, shape (T,); the first is 0."""
        return (self._seen("divergence") / self.sums["pictures"]).numpy()
