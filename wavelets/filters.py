"""Filter banks of the dual tree, by name or by their taps.

All filters are **correlation kernels**: a stage computes ``d[l] = sum_n h[n] x[2 l + n]``. A bank holds, for each of
the two trees, one pair {low-pass h, high-pass g} for the first stage and one for the main stages. The packet rule
that says which pair follows which is in :mod:`wavelets.engine.rule`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import product
from math import comb
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavelets.checks import real_array, to_array

Taps = NDArray[np.float64]

DEFAULT = "cf_3_3"
MAX_TAPS = 20
QSHIFT = ("qshift_06", "qshift_a", "qshift_b", "qshift_c", "qshift_d")
COMMON_FACTOR = re.compile(r"cf_(\d+)_(\d+)")


@dataclass(frozen=True, eq=False)
class FilterBank:
    r"""The eight real filters of a dual tree, as correlation kernels.

    Parameters
    ----------
    name : str
        How results refer to the bank.
    h1, h2 : array_like, shape (T,)
        Main-stage low-pass filters of trees 1 and 2, orthonormal, T even. As convolution filters
        :math:`\widehat h_2(\omega) \approx e^{-i\omega/2} \widehat h_1(\omega)`.
    h_first : array_like, shape (T',)
        Orthonormal low-pass filter of the first stage, T' even; both trees use it, one sample apart.

    Attributes
    ----------
    g1, g2 : ndarray, shape (T,), float64
        Main-stage high-pass filters, the conjugate mirrors of `h1` and `h2` with opposite signs.
    h1_first, h2_first, g1_first, g2_first : ndarray, shape (T' + 2,), float64
        First-stage filters. As convolution filters the low-pass of tree 2 is that of tree 1 delayed by one sample, the
        high-pass is its negative advanced by one sample.

    Raises
    ------
    TypeError
        If the name is not a string, or a filter not real.
    ValueError
        If a low-pass filter has an odd number of taps, differs in length from its partner, holds a non-finite
        value, or is not orthonormal to its even shifts to 1e-6.

    Notes
    -----
    Bayram and Selesnick, IEEE Trans. Signal Processing 56(6), 2008; theory.md 4.1.

    Examples
    --------
    >>> bank = filter_bank("cf_2_3")
    >>> bank.h1.size, bank.h1_first.size
    (10, 12)
    """

    name: str
    h1: Taps
    h2: Taps
    h_first: Taps

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise TypeError(f"name of a filter bank must be a string, not {type(self.name).__name__}")
        for field in ("h1", "h2", "h_first"):
            taps = _low_pass(getattr(self, field), f"{field} of filter bank {self.name!r}")
            object.__setattr__(self, field, taps)
        if self.h1.size != self.h2.size:
            raise ValueError(
                f"filter bank {self.name!r}: h1 has {self.h1.size} taps and h2 {self.h2.size}; expected as many"
            )

    @property
    def g1(self) -> Taps:
        """Main-stage high-pass of tree 1."""
        return -_mirror(self.h1)

    @property
    def g2(self) -> Taps:
        """Main-stage high-pass of tree 2; the sign relative to `g1` selects the half-line."""
        return _mirror(self.h2)

    @property
    def h1_first(self) -> Taps:
        """First-stage low-pass of tree 1."""
        return np.concatenate([[0.0, 0.0], self.h_first])

    @property
    def h2_first(self) -> Taps:
        """First-stage low-pass of tree 2: one sample later, as a convolution filter."""
        return np.concatenate([[0.0], self.h_first, [0.0]])

    @property
    def g1_first(self) -> Taps:
        """First-stage high-pass of tree 1."""
        return np.concatenate([-_mirror(self.h_first), [0.0, 0.0]])

    @property
    def g2_first(self) -> Taps:
        """First-stage high-pass of tree 2: one sample earlier and negated, as a convolution filter."""
        return np.concatenate([[0.0], _mirror(self.h_first), [0.0]])

    def first_stage(self, tree: int) -> tuple[Taps, Taps]:
        """Return the first-stage pair (low, high) of tree 1 or 2."""
        return (self.h1_first, self.g1_first) if tree == 1 else (self.h2_first, self.g2_first)

    def main_stage(self, pair: int) -> tuple[Taps, Taps]:
        """Return the main-stage pair (low, high) number 1 or 2."""
        return (self.h1, self.g1) if pair == 1 else (self.h2, self.g2)

    def __repr__(self) -> str:
        return f"FilterBank({self.name!r}, {self.h1.size} taps, first stage {self.h_first.size} taps)"


def filter_bank(name: str = DEFAULT, first_stage: str | None = None) -> FilterBank:
    """Look a filter bank up by its name.

    Parameters
    ----------
    name : str
        ``"cf_K_L"``, a common-factor Hilbert pair with K vanishing moments and a half-sample delay of order L, of
        2(K + L) taps, at most 20; or one of Kingsbury's tables ``"qshift_06"``, ``"qshift_a"`` to ``"qshift_d"``, read
        from the package ``dtcwt``. A first stage may be given after a plus sign: ``"cf_3_3+db4"``.
    first_stage : str, optional
        Any orthonormal PyWavelets filter (``"db4"``, ``"sym6"``, ``"coif2"``, ...). By default the first stage is `h1`.
        The inverse is then as exact as PyWavelets' table: 1e-13 for db, up to 3e-11 for sym20.

    Returns
    -------
    FilterBank

    Raises
    ------
    TypeError
        If `name` or `first_stage` is not a string.
    ValueError
        If the name is unknown, or the first stage is not orthonormal.
    ModuleNotFoundError
        If a q-shift table is asked for and the package ``dtcwt`` is not installed.

    Examples
    --------
    >>> filter_bank("cf_3_3", first_stage="db4")
    FilterBank('cf_3_3+db4', 12 taps, first stage 8 taps)
    """
    if not isinstance(name, str):
        raise TypeError(f"filters must be a name or a FilterBank, not {type(name).__name__}")
    if not isinstance(first_stage, str | None):
        raise TypeError(f"first_stage must be the name of a PyWavelets filter, not {type(first_stage).__name__}")
    base, plus, after = name.partition("+")
    if plus and first_stage is not None:
        raise ValueError(f"first stage given twice: in {name!r} and as {first_stage!r}")
    first_stage = after if plus else first_stage

    if match := COMMON_FACTOR.fullmatch(base):
        h1, h2 = common_factor_pair(int(match[1]), int(match[2]))
    elif base in QSHIFT:
        h1, h2 = _qshift_pair(base)
    else:
        raise ValueError(
            f"unknown filters {name!r}; expected 'cf_K_L' (such as {DEFAULT!r}) or one of "
            f"{', '.join(QSHIFT)}, optionally followed by '+' and a PyWavelets filter for the first stage"
        )
    if first_stage is None:
        return FilterBank(base, h1, h2, h1)
    return FilterBank(f"{base}+{first_stage}", h1, h2, _pywavelets_low_pass(first_stage))


def common_factor_pair(K: int, L: int) -> tuple[Taps, Taps]:
    r"""Selesnick's common-factor pair of orthonormal low-pass filters, half a sample apart.

    With Thiran's all-pass :math:`A(z) = z^{-L} D(1/z) / D(z) \approx z^{-1/2}`, the convolution filters are
    :math:`H_1(z) = F(z) D(z)` and :math:`H_2(z) = F(z) z^{-L} D(1/z)`, with the common factor
    :math:`F(z) = Q(z) (1 + z^{-1})^K`; Q is a spectral factor of the shortest R that makes the product half-band.

    Parameters
    ----------
    K : int
        Vanishing moments, at least 1.
    L : int
        Order of the half-sample all-pass, at least 1. The filters have 2(K + L) taps, at most 20.

    Returns
    -------
    h1, h2 : ndarray, shape (2 * (K + L),), float64, read-only
        Correlation kernels, orthonormal to rounding (below 1e-15).

    Raises
    ------
    TypeError
        If K or L is not an integer.
    ValueError
        If K or L is out of range.

    Notes
    -----
    I. W. Selesnick, "The design of approximate Hilbert transform pairs of wavelet bases", IEEE Trans. Signal Processing
    50(5), 2002. All spectral factors share one magnitude, so the quality of the pair does not depend on the choice; of
    all of them the one with its energy closest to the middle of the filter is taken, for compact, well-centred
    wavelets.
    """
    for letter, value in (("K", K), ("L", L)):
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
            raise TypeError(f"common-factor pair: {letter} must be an integer, not {type(value).__name__}")
    if K < 1 or L < 1 or 2 * (int(K) + int(L)) > MAX_TAPS:
        raise ValueError(f"common-factor pair K={K}, L={L}: expected K >= 1, L >= 1 and 2(K + L) <= {MAX_TAPS} taps")
    return _common_factor_pair(int(K), int(L))


@lru_cache
def _common_factor_pair(K: int, L: int) -> tuple[Taps, Taps]:
    """Design the pair; see :func:`common_factor_pair`."""
    from mpmath import MPContext

    # Roots of R cluster, so double precision would leave orthonormality errors of 1e-12: work with 60 digits. In a
    # context of its own, since the precision of `mpmath.mp` is that of all threads.
    mp = MPContext()
    mp.dps = 60
    D = [mp.mpf(d.numerator) / d.denominator for d in _thiran(L)]
    moments = [mp.mpf(comb(K, i)) for i in range(K + 1)]
    roots = _inner_roots(mp, _half_band_complement(mp, K, L))
    best: list[list[Any]] = []
    best_spread = mp.inf
    for chosen in _spectral_factors(roots):
        F = _convolve(_polynomial(mp, chosen), moments)
        pair = [_convolve(F, D), _convolve(F, D[::-1])]
        pair = [[tap / mp.sqrt(sum(t * t for t in h)) for tap in h] for h in pair]
        middle = mp.mpf(len(pair[0]) - 1) / 2
        spread = sum((n - middle) ** 2 * tap**2 for h in pair for n, tap in enumerate(h))
        if spread < best_spread:
            best, best_spread = pair, spread
    # Convolution filters are reversed into correlation kernels; the sign makes the sum +sqrt(2).
    h1, h2 = (np.array([float(tap) for tap in h[::-1]]) for h in best)
    h1, h2 = h1 * np.sign(h1.sum()), h2 * np.sign(h2.sum())
    h1.setflags(write=False)
    h2.setflags(write=False)
    return h1, h2


def _thiran(L: int) -> list[Fraction]:
    """Denominator of Thiran's maximally flat all-pass with a delay of half a sample."""
    tau = Fraction(1, 2)
    d = [Fraction(1)]
    for n in range(L):
        d.append(-d[n] * Fraction(L - n, n + 1) * (tau - L + n) / (tau + 1 + n))
    return d


def _half_band_complement(mp: Any, K: int, L: int) -> list[Any]:
    """Coefficients of the shortest symmetric R(z) for which R(z) (2 + z + 1/z)^K D(z) D(1/z) is half-band."""
    n = K + L
    D = _thiran(L)
    S = _convolve(_convolve(D, D[::-1]), [Fraction(comb(2 * K, i)) for i in range(2 * K + 1)])
    system = mp.matrix(n, n)
    for row in range(n):  # the coefficient of z^(2 row) in R S is 1 for row 0, else 0
        for lag in range(-(n - 1), n):
            if abs(2 * row - lag) <= n:
                term = S[2 * row - lag + n]
                system[row, abs(lag)] += mp.mpf(term.numerator) / term.denominator
    r = mp.lu_solve(system, mp.matrix([1] + [0] * (n - 1)))
    return [r[abs(lag)] for lag in range(-(n - 1), n)]


def _inner_roots(mp: Any, R: list[Any]) -> list[list[Any]]:
    """Roots of R inside the unit circle, each complex one grouped with its conjugate."""
    groups: list[list[Any]] = []
    for z in mp.polyroots(R, maxsteps=500, extraprec=400) if len(R) > 1 else []:
        if abs(z) < 1 and abs(mp.im(z)) < mp.mpf(10) ** -30:
            groups.append([mp.re(z)])
        elif abs(z) < 1 and mp.im(z) > 0:
            groups.append([z, mp.conj(z)])
    return groups


def _spectral_factors(groups: list[list[Any]]) -> list[list[Any]]:
    """All choices of one root of every pair {z, 1/z} that give a real polynomial."""
    choices = product(*[(group, [1 / z for z in group]) for group in groups])
    return [[z for group in choice for z in group] for choice in choices]


def _polynomial(mp: Any, roots: list[Any]) -> list[Any]:
    """Real coefficients of the monic polynomial with these roots (closed under conjugation)."""
    p: list[Any] = [mp.mpf(1)]
    for z in roots:
        p = _convolve(p, [mp.mpf(1), -z])
    return [mp.re(c) for c in p]


def _convolve(a: Sequence[Any], b: Sequence[Any]) -> list[Any]:
    """Convolve two sequences of exact or high-precision numbers, which numpy would round."""
    out = [0 * a[0]] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] = out[i + j] + x * y
    return out


def _qshift_pair(name: str) -> tuple[Taps, Taps]:
    """Kingsbury's q-shift pair; what ``dtcwt`` calls tree b is tree 1 here, and tree a is tree 2 (theory.md 4.1)."""
    try:
        from dtcwt.coeffs import qshift
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"filters {name!r} are Kingsbury's tables, which come with the package 'dtcwt': install it "
            f"(it needs numpy < 2), or use the common-factor pair {DEFAULT!r}, which needs nothing"
        ) from error
    h0a, h0b = qshift(name)[:2]
    return np.ravel(h0b).astype(np.float64), np.ravel(h0a).astype(np.float64)


def _pywavelets_low_pass(name: str) -> Taps:
    import pywt

    try:
        wavelet = pywt.Wavelet(name)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"unknown first stage {name!r}; expected an orthonormal PyWavelets filter such as 'db4' or 'sym6'"
        ) from error
    if not wavelet.orthogonal:
        raise ValueError(f"first stage {name!r} is not orthonormal; expected a family such as db, sym or coif")
    return np.array(wavelet.dec_lo[::-1], dtype=np.float64)


def _low_pass(taps: ArrayLike, what: str) -> Taps:
    """Validate one low-pass filter and freeze it."""
    h = to_array(taps, what)
    if h.size:  # what real_array says about no taps would be less
        h = real_array(h, what, 0).astype(np.float64)
    if h.ndim != 1 or h.size < 2 or h.size % 2:
        raise ValueError(f"{what} has shape {h.shape}; expected one axis with an even number of taps")
    error = orthonormality_error(h)
    if not error <= 1e-6 or h.sum() < 0:  # NaN where the squares overflow
        raise ValueError(
            f"{what} is not an orthonormal low-pass filter: its even shifts are off by {error:.1e}, "
            f"its sum is {h.sum():.6f}; expected orthonormal shifts and the sum sqrt(2)"
        )
    h.setflags(write=False)
    return h


def orthonormality_error(h: ArrayLike) -> float:
    r"""Largest deviation of :math:`\sum_n h[n] h[n + 2k]` from :math:`\delta_k`, and of the sum from :math:`\sqrt 2`.

    Parameters
    ----------
    h : array_like, shape (T,)
        A low-pass filter.

    Returns
    -------
    float
    """
    h = np.asarray(h, dtype=np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        shifts = np.correlate(h, h, "full")[h.size - 1 :: 2]
    shifts[0] -= 1.0
    return float(max(np.abs(shifts).max(), abs(abs(h.sum()) - np.sqrt(2.0))))


def _mirror(h: Taps) -> Taps:
    """Conjugate mirror ``(-1)^n h[T - 1 - n]`` of an even-length low-pass filter."""
    return h[::-1] * (-1.0) ** np.arange(h.size)
