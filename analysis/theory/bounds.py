r"""The bounds: stability of CMod, distance of RMax from CMod, stability of RMax (theory.md 3.1, 3.2, 3.4).

They hold for a filter whose spectrum lies in a square of side :math:`\kappa\le\pi/m` around its characteristic
frequency :math:`\theta`, and for every image; for shifts by fractions of a pixel along an axis if the square lies
inside :math:`(-\pi,\pi)` there. On a periodic grid 2m divides its size N, and the square is half-open,
:math:`[\theta-\kappa/2, \theta+\kappa/2)^2`, or :math:`\kappa<\pi/m`: waves on opposite borders of a closed square of
side :math:`\pi/m` alias onto each other (Lemma 0).

Each constant comes in two versions: that of theory.md, which follows the publication (arXiv:2209.11740; its third
version is public and was not read for this) as recalled there, and a smaller one, proved where it is defined.

No finite filter has its whole spectrum in a square. For a real one the bounds hold in the limit of narrow bands only,
or with the leakage added on the right side: theory.md 3.1 and 3.2.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.theory.phases import gamma, real_pairs, real_values
from wavelets.checks import integer

EDGE = 1e-9  # relative: a square this close to pi does not wrap
SLACK = 1e-12  # relative: kappa = pi / m is allowed, also where it was rounded up


def alpha(tau: ArrayLike) -> NDArray[np.float64]:
    r"""Constant of the stability of CMod: :math:`\alpha(\tau) = \frac12\|\tau\|_1`.

    Parameters
    ----------
    tau : array_like, shape (..., 2)
        :math:`\kappa u`, bandwidth (rad/sample) times shift (pixels), rad.

    Returns
    -------
    ndarray, shape (...), float64

    Raises
    ------
    TypeError
        If tau is not real.
    ValueError
        If it is not finite or not of shape (..., 2).

    Notes
    -----
    theory.md 3.1, Theorem 1. The factor 1/2 is the best possible: see `alpha_sharp`.
    """
    return _l1(tau) / 2


def alpha_sharp(tau: ArrayLike) -> NDArray[np.float64]:
    r"""Best constant of Theorem 1: :math:`\tilde\alpha(\tau) = 2\sin(\min(\|\tau\|_1, \pi)/4)`.

    Parameters and errors are those of `alpha`.

    Returns
    -------
    ndarray, shape (...), float64
        At most `alpha`, and at most :math:`\sqrt2`.

    Notes
    -----
    theory.md 3.1: on the square, :math:`|e^{-i\langle\omega-\theta,u\rangle} - 1| = 2|\sin\frac12\langle\omega-\theta,
    u\rangle|`, which is largest in a corner. Moduli are not negative and their norm is conserved, hence
    :math:`\|\mathcal C' - \mathcal C\|^2 = 2\|\mathcal C\|^2 - 2\langle\mathcal C', \mathcal C\rangle \le
    2\|\mathcal C\|^2`: the corner counts up to :math:`\|\tau\|_1 = \pi` only. As a function of tau alone it is the
    best: two equal waves at opposite corners attain it up to there, and a pulse that moves away from its own place
    attains :math:`\sqrt2`.
    """
    return 2 * np.sin(np.minimum(_l1(tau), np.pi) / 4)


def beta(bandwidth: ArrayLike, q: int = 1) -> NDArray[np.float64]:
    r"""Constant of the distance between RMax and CMod, bounded term by term.

    .. math:: \beta_q(\kappa')^2 = \sum_{\|p\|_\infty\le q} \alpha(\kappa' p)^2
              = \frac{\kappa'^2}4\Big(\frac23 q(q+1)(2q+1)^2 + 2q^2(q+1)^2\Big)

    Parameters
    ----------
    bandwidth : array_like, shape (...)
        :math:`\kappa' = m\kappa`, at most :math:`\pi`, rad.
    q : int
        Half-width of the pooling window.

    Returns
    -------
    ndarray, shape (...), float64
        :math:`\sqrt5\,\kappa'` for q = 1.

    Raises
    ------
    TypeError
        If the bandwidth is not real, or q not an integer.
    ValueError
        If the bandwidth is negative, not finite or above :math:`\pi`, or q negative.

    Notes
    -----
    theory.md 3.2, with its proof. The split into two terms is the published one as recalled there; its constant was
    not compared.
    """
    integer("q", q, 0)
    squares = 2 / 3 * q * (q + 1) * (2 * q + 1) ** 2 + 2 * q**2 * (q + 1) ** 2
    constant: NDArray[np.float64] = _bandwidth(bandwidth) / 2 * np.sqrt(squares)
    return constant


def beta_sharp(bandwidth: ArrayLike, q: int = 1) -> NDArray[np.float64]:
    r"""A smaller constant that holds in place of `beta`.

    .. math:: \beta^*_q(\kappa') = \min\Big\{e^{q\kappa'} - 1,\
              \Big(\max_{\|\xi\|_\infty\le\kappa'/2}\ \sum_{\|p\|_\infty\le q} |e^{i\langle\xi,p\rangle} - 1|^2
              \Big)^{1/2}\Big\}

    Parameters and errors are those of `beta`.

    Returns
    -------
    ndarray, shape (...), float64
        :math:`q\kappa'` as the bandwidth vanishes, where `beta` is :math:`\sqrt5\,\kappa'` for q = 1 and
        :math:`\sqrt{43}\,\kappa'` for q = 2.

    Notes
    -----
    Let :math:`a` be the envelope, :math:`Z = e^{i\langle m\theta,\cdot\rangle}a` on the stride-m grid; its spectrum
    lies in :math:`\|\xi\|_\infty\le\kappa'/2`. As in theory.md 3.2, :math:`|\mathcal R - \mathcal C M_q| \le
    \max_p|a(\cdot+p) - a|` at every position, and norms on the subsampled grid are those on the full one, halved
    (Lemma 0).

    *First term.* Taylor's series about the centre of the window bounds all its positions at once:
    :math:`\max_p|a(\cdot+p) - a| \le \sum_{(k,l)\ne0}\frac{q^{k+l}}{k!\,l!}|\partial_1^k\partial_2^l a|`, and each
    derivative has norm at most :math:`(\kappa'/2)^{k+l}\|a\|`. The sum is :math:`(e^{q\kappa'/2})^2 - 1`.

    *Second term.* As in the proof of `beta`, :math:`\max_p \le (\sum_p|\cdot|^2)^{1/2}`, but with one frequency for
    all p: the sum is the multiplier :math:`2\big((2q+1)^2 - D_q(\xi_1)D_q(\xi_2)\big)`, :math:`D_q` the Dirichlet
    kernel, instead of a sum of suprema.

    As the bandwidth vanishes no constant that depends on q and :math:`m\kappa` alone is better: see `beta_floor`.
    """
    kappa = _bandwidth(bandwidth)
    integer("q", q, 0)
    # D_q = n - e falls from n = 2q + 1 to its first minimum, the deepest there is; e keeps its digits in narrow bands.
    n, xi = 2 * q + 1, np.minimum(kappa / 2, _first_minimum(q))
    e = 4 * sum((np.sin(xi * p / 2) ** 2 for p in range(1, q + 1)), start=np.zeros_like(xi))
    # The product D_q(xi_1) D_q(xi_2) is smallest in a corner, or where a negative factor meets the largest one.
    second = np.sqrt(2 * np.where(e <= n, e * (2 * n - e), n * e))
    constant: NDArray[np.float64] = np.minimum(np.expm1(q * kappa), second)
    return constant


def beta_floor(bandwidth: ArrayLike, q: int = 1) -> NDArray[np.float64]:
    r"""Value below which no constant in q and :math:`m\kappa` holds for all filters.

    .. math:: 2\sin\tfrac12\min(q\kappa', \pi)

    Parameters and errors are those of `beta`.

    Returns
    -------
    ndarray, shape (...), float64
        Equal to `beta_sharp` in the limit of vanishing bandwidth.

    Notes
    -----
    One wave attains it, for :math:`q\kappa'\le\pi`: its own frequency is a multiple of :math:`2\pi/m` and lies in a
    corner of the square, so that all samples of the window agree, :math:`\mathcal R = \cos\phi`, while the theorem,
    which knows only the centre of the square, expects :math:`M_q = \cos(\phi - q\kappa')`. With :math:`\phi =
    \frac12(\pi + q\kappa')` the difference of the two is :math:`2\sin\frac12q\kappa'`, at every position. In a wider
    square the wave lies nearer to the centre.

    What this excludes is a smaller deterministic constant in q and :math:`m\kappa`, uniform in theta, for V = Re W with
    any W in the class. For analytic filters W = V + i H(V) and real images the wave must lie off the self-conjugate
    frequencies: possible for :math:`m\ge3`; for m = 1, 2 all multiples of :math:`2\pi/m` are self-conjugate, and a
    smaller constant is not excluded. Nor is it for the expectation, or for one theta.
    """
    integer("q", q, 0)
    return 2 * np.sin(np.minimum(q * _bandwidth(bandwidth), np.pi) / 2)


def cmod_bound(
    kappa: ArrayLike, shift: ArrayLike, stride: int, sharp: bool = True, theta: ArrayLike | None = None
) -> NDArray[np.float64]:
    r"""Theorem 1: bound of the relative change of CMod under a shift.

    .. math:: \|\mathcal C_{2m}(\mathcal T_uX) - \mathcal C_{2m}X\|_2 \le \alpha(\kappa u)\,\|\mathcal C_{2m}X\|_2

    Parameters
    ----------
    kappa : array_like, shape (...)
        Bandwidth of the filter, rad/sample, at most :math:`\pi/m`.
    shift : array_like, shape (..., 2)
        u, vertical then horizontal, pixels.
    stride : int
        Stride m of the convolution.
    sharp : bool
        Use `alpha_sharp`, else `alpha`.
    theta : array_like, shape (..., 2), optional
        Characteristic frequency, rad/sample. It does not enter the bound, but a shift by a fraction of a pixel along an
        axis supposes that the square around it does not reach :math:`\pm\pi` there (see `check_support`); without it
        that is not checked.

    Returns
    -------
    ndarray, shape (...), float64

    Raises
    ------
    TypeError
        If something is not real, or the stride not an integer.
    ValueError
        If a value is not finite, or a hypothesis is violated: the message names it.

    Notes
    -----
    theory.md 3.1; Leterme et al., arXiv:2209.11740.
    """
    kappa, shift = check_band(kappa, stride)[..., None], real_pairs(shift, "shift")
    _broadcast("kappa", kappa[..., 0], "shift", shift[..., 0])
    if theta is not None:
        check_support(theta, kappa[..., 0], shift)
    return (alpha_sharp if sharp else alpha)(kappa * shift)


def discrepancy_bound(
    theta: ArrayLike,
    kappa: ArrayLike,
    stride: int,
    q: int = 1,
    sharp: bool = True,
    deficit: ArrayLike | None = None,
) -> NDArray[np.float64]:
    r"""Theorem 2: bound of the relative distance between RMax and CMod.

    .. math:: \frac{\|\mathcal R_{m,q}X - \mathcal C_{2m}X\|_2}{\|\mathcal C_{2m}X\|_2} \le P_X + \beta_q(m\kappa),
              \qquad \mathbb E P_X \le \gamma_q(m\theta)

    Parameters
    ----------
    theta : array_like, shape (..., 2)
        Characteristic frequency, rad/sample.
    kappa : array_like, shape (...)
        Bandwidth, rad/sample, at most :math:`\pi/m`.
    stride : int
        Stride m of the convolution.
    q : int
        Half-width of the pooling window.
    sharp : bool
        Use `beta_sharp`, else `beta`.
    deficit : array_like, shape (...), optional
        :math:`P_X = \|\delta\|/\|\mathcal C X\|` of one image, for the deterministic bound. By default
        :math:`\gamma_q(m\theta)`, which bounds the expectation.

    Returns
    -------
    ndarray, shape (...), float64

    Raises
    ------
    TypeError, ValueError
        As `cmod_bound`.

    Notes
    -----
    theory.md 3.2 and 3.3. The bound of the expectation supposes, besides the band, hypothesis (H): given all the
    moduli, every phase of :math:`Z[2mn]` is uniform. A Gaussian field has that if E Z[n] = 0 and E Z[n] Z[n'] = 0 for
    all n, n'.
    """
    kappa, theta = check_band(kappa, stride), real_pairs(theta, "theta")
    _broadcast("kappa", kappa, "theta", theta[..., 0])
    expected = gamma(stride * theta, q) if deficit is None else _not_negative(deficit, "deficit")
    _broadcast("kappa", kappa, "deficit", expected)
    return expected + (beta_sharp if sharp else beta)(stride * kappa, q)


def rmax_bound(
    theta: ArrayLike,
    kappa: ArrayLike,
    shift: ArrayLike,
    stride: int,
    q: int = 1,
    sharp: bool = True,
    deficit: ArrayLike | None = None,
) -> NDArray[np.float64]:
    r"""Corollary: bound of the change of RMax under a shift, relative to the norm of CMod.

    .. math:: \frac{\|\mathcal R_{m,q}\mathcal T_uX - \mathcal R_{m,q}X\|_2}{\|\mathcal C_{2m}X\|_2}
              \le P_X + P_{\mathcal T_uX} + 2\beta_q(m\kappa) + \alpha(\kappa u)

    Parameters
    ----------
    theta, kappa, stride, q
        As in `discrepancy_bound`.
    shift : array_like, shape (..., 2)
        u, vertical then horizontal, pixels.
    sharp : bool
        Use `alpha_sharp` and `beta_sharp`, else `alpha` and `beta`.
    deficit : array_like, shape (...), optional
        :math:`P_X + P_{\mathcal T_uX}` of one image, for the deterministic bound. By default
        :math:`2\gamma_q(m\theta)`, which bounds the expectation.

    Returns
    -------
    ndarray, shape (...), float64

    Raises
    ------
    TypeError, ValueError
        As `cmod_bound`.

    Notes
    -----
    theory.md 3.4. The bound of the expectation supposes (H) for X and for its translation, see `discrepancy_bound`.
    """
    each = None if deficit is None else _not_negative(deficit, "deficit") / 2
    return 2 * discrepancy_bound(theta, kappa, stride, q, sharp, each) + cmod_bound(kappa, shift, stride, sharp, theta)


def check_band(kappa: ArrayLike, stride: int) -> NDArray[np.float64]:
    r"""Return bandwidths that the theorems allow at a stride.

    Parameters
    ----------
    kappa : array_like, shape (...)
        Rad/sample.
    stride : int
        Stride m of the convolution.

    Returns
    -------
    ndarray, shape (...), float64

    Raises
    ------
    TypeError
        If kappa is not real, or the stride not an integer.
    ValueError
        If kappa is not finite, negative, or above :math:`\pi/m`.
    """
    integer("stride", stride, 1)
    kappa = _not_negative(kappa, "kappa", " rad/sample")
    if (kappa > np.pi / stride * (1 + SLACK)).any():
        raise ValueError(
            f"kappa is {kappa.max():.6g} rad/sample; the theorems suppose kappa <= pi / m = {np.pi / stride:.6g} for "
            f"the stride m = {stride}, so that sampling every 2 m pixels does not alias (Lemma 0)"
        )
    return kappa


def check_support(theta: ArrayLike, kappa: ArrayLike, shift: ArrayLike, touching: bool = False) -> None:
    r"""Check that every axis along which a shift is fractional has a square that stays away from :math:`\pm\pi`.

    Parameters
    ----------
    theta : array_like, shape (..., 2)
        Centre of the square, rad/sample.
    kappa : array_like, shape (...)
        Its side, rad/sample.
    shift : array_like, shape (..., 2)
        u, pixels.
    touching : bool
        Allow squares that touch :math:`\pm\pi`, as for a translation by the complex factor of the bins.

    Raises
    ------
    TypeError
        If something is not real.
    ValueError
        If along an axis the shift is fractional and the square reaches :math:`\pm\pi`, or a value is not finite.

    Notes
    -----
    theory.md 1. Whole shifts may wrap, axis by axis. The Nyquist bin of an even grid holds a wave and its mirror image:
    real images move it by the factor :math:`\cos\pi u`, which is no translation of a wave.
    """
    theta, shift, kappa = real_pairs(theta, "theta"), real_pairs(shift, "shift"), real_values(kappa, "kappa")
    _broadcast("theta", theta[..., 0], "shift", shift[..., 0])
    _broadcast("theta", theta[..., 0], "kappa", kappa)
    theta, shift, kappa = np.broadcast_arrays(theta, shift, kappa[..., None])
    reach = np.abs(theta) + kappa / 2
    limit = np.pi * (1 + EDGE if touching else 1 - EDGE)
    broken = ((reach > limit) & (shift != np.rint(shift))).any(axis=-1)
    if broken.any():
        b = np.unravel_index(int(broken.argmax()), broken.shape)
        raise ValueError(
            f"the square of side kappa = {kappa[b][0]:.6g} around theta = ({theta[b][0]:.6g}, {theta[b][1]:.6g}) "
            f"rad/sample {'wraps through' if touching else 'reaches'} pi along an axis where the shift "
            f"({shift[b][0]:g}, {shift[b][1]:g}) is fractional, which supposes a square inside (-pi, pi)"
        )


def _not_negative(values: ArrayLike, name: str, unit: str = "") -> NDArray[np.float64]:
    found = real_values(values, name)
    if (found < 0).any():
        raise ValueError(f"{name} is {found.min():g}{unit}; expected at least 0")
    return found


def _bandwidth(values: ArrayLike) -> NDArray[np.float64]:
    kappa = _not_negative(values, "bandwidth", " rad")
    if (kappa > np.pi * (1 + SLACK)).any():
        raise ValueError(f"bandwidth is m kappa = {kappa.max():.6g} rad; the theorems suppose 0 <= m kappa <= pi")
    return kappa


def _l1(tau: ArrayLike) -> NDArray[np.float64]:
    norm: NDArray[np.float64] = np.abs(real_pairs(tau, "tau")).sum(axis=-1)
    return norm


def _broadcast(first: str, a: NDArray[np.float64], second: str, b: NDArray[np.float64]) -> None:
    try:
        np.broadcast_shapes(a.shape, b.shape)
    except ValueError:
        raise ValueError(
            f"{first} is for {a.shape} filters and {second} for {b.shape}; the shapes do not fit"
        ) from None


def _first_minimum(q: int) -> float:
    """First minimum of the Dirichlet kernel, which is its deepest, rad."""
    if q < 2:  # constant, or one cosine: the border of the period
        return np.pi

    def slope(xi: float) -> float:
        return float(sum(p * np.sin(xi * p) for p in range(1, q + 1)))

    from scipy.optimize import brentq  # half a second to import

    n = 2 * q + 1  # the minimum lies between the first two zeros of the kernel
    return float(brentq(slope, 2 * np.pi / n, 4 * np.pi / n))
