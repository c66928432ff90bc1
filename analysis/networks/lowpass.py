"""The low-pass filters of pooling layers, by name and number of taps (theory.md 7.1)."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np
from numpy.typing import NDArray
from scipy.special import binom

from wavelets.checks import integer

Taps = NDArray[np.float64]


def _window(n: int) -> Taps:
    from scipy.signal import firwin  # takes 0.7 seconds of processor time to import

    return np.asarray(firwin(n, 0.5, window="boxcar"), dtype=np.float64)


def _least_squares(n: int) -> Taps:
    from scipy.signal import firls

    return np.asarray(firls(n, [0, 0.4, 0.6, 1], [1, 1, 0, 0]), dtype=np.float64)


DESIGNS: dict[str, Callable[[int], Taps]] = {
    "rectangle": np.ones,
    "triangle": lambda n: (n + 1) / 2 - np.abs(np.arange(n) - (n - 1) / 2),
    "binomial": lambda n: binom(n - 1, np.arange(n)),
    "window": _window,
    "least-squares": _least_squares,
}

ODD = ("triangle", "least-squares")
"""Designs that need a tap in the middle."""

TABLE = {
    "rectangle": (2, 3, 4, 5, 6, 7),
    "triangle": (3, 5, 7),
    "binomial": (4, 5, 6, 7),
    "window": (3, 6, 7),
    "least-squares": (3, 7),
}
"""The filters of Table 1 of "Making convolutional networks shift-invariant again"."""


def lowpass(name: str, taps: int, stride: int = 2) -> Taps:
    """Return a one-dimensional low-pass filter.

    Parameters
    ----------
    name : {"rectangle", "triangle", "binomial", "window", "least-squares"}
        "window" is the ideal half-band filter cut off by a rectangular window, "least-squares" the least-squares
        design with a pass band up to 0.4 and a stop band from 0.6 of the Nyquist frequency.
    taps : int
        Number of taps; 1 is no filter at all.
    stride : int
        Subsampling that the binomial filter of so many taps is stretched for, if it is more than 2: averages over
        `stride` samples in place of those over 2 of which it is made, (taps - 1)(stride - 1) + 1 taps in all. At powers
        of 2 that is the same filter with stride 2 as many times; of white noise that passes 3 taps,
        40 % lies beyond pi / 4; of what passes the 7 for stride 4, 6 %.

    Returns
    -------
    ndarray, shape (taps,), or as `stride` says, float64
        Symmetric, with sum 1.

    Raises
    ------
    TypeError
        If `taps` is not an integer.
    ValueError
        If there is no such filter, or `taps` is even for a design that needs a tap in the middle.

    Notes
    -----
    Zhang, "Making convolutional networks shift-invariant again", Table 1; theory.md, section 7.1.

    Examples
    --------
    >>> lowpass("binomial", 3)
    array([0.25, 0.5 , 0.25])
    """
    if name not in DESIGNS:
        raise ValueError(f"unknown filter {name!r}; expected one of {', '.join(DESIGNS)}")
    n = integer("taps", taps, 1)
    if n % 2 == 0 and name in ODD:
        raise ValueError(f"{name!r} needs an odd number of taps, a filter with a centre; got {n}")
    if n == 1:
        return np.ones(1)
    if name == "binomial" and stride > 2:
        return reduce(np.convolve, [np.full(stride, 1 / stride)] * (n - 1))
    h: Taps = np.asarray(DESIGNS[name](n), dtype=np.float64)
    h /= h.sum()
    return h
