"""Sums that are added up over pictures, and merged."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Total:
    """Sum of vectors, with what rounding took from it: the order of the terms changes the last bit at most.

    Parameters
    ----------
    length : int
        Entries of a vector.

    Notes
    -----
    A. Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation endlicher Summen", Zeitschrift für Angewandte
    Mathematik und Mechanik 54, 1974; the error of an addition is that of D. E. Knuth's 2Sum.
    """

    def __init__(self, length: int) -> None:
        self.length = length
        self.rounded, self.error = np.zeros((2, length))

    def add(self, values: Array, error: Array | float = 0.0) -> None:
        """Add a vector, or what another total came to: its `rounded` and its `error`."""
        before, self.rounded = self.rounded, self.rounded + values
        taken = self.rounded - before
        self.error = self.error + ((before - (self.rounded - taken)) + (values - taken) + error)

    @property
    def value(self) -> Array:
        """The sum, shape (length,)."""
        return self.rounded + self.error
