r"""One wave under a pooling window: closed forms in the phases of a pooling window (theory.md 3.2, 3.3, 3.5).

The window :math:`\{-q,\dots,q\}^2` samples a wave of frequency :math:`\omega = m\theta` at the phases
:math:`\phi + \langle\omega,p\rangle`; its largest cosine is :math:`M_q(\phi,\omega)`. Everything here is a mean over
:math:`\phi`, uniform on the circle.
"""

from __future__ import annotations

from math import factorial

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavelets.checks import integer, to_array

# Coefficients of t**8, t**6, ... of the integral of (1 - cos t)**2, divided by t**5.
SERIES = [(-1) ** k * (4**k / 2 - 2) / (factorial(2 * k) * (2 * k + 1)) for k in (6, 5, 4, 3, 2)]
COINCIDENT = 1e-9  # rad: phases closer than this to a full turn count as zero


def phase_gaps(omega: ArrayLike, q: int = 1) -> NDArray[np.float64]:
    r"""Cyclic gaps between the phases that a max-pooling window sees.

    Parameters
    ----------
    omega : array_like, shape (..., 2)
        Phase advance per sample of the pooled grid, :math:`m\theta`, in radians.
    q : int
        The window is :math:`\{-q,\dots,q\}^2`.

    Returns
    -------
    ndarray, shape (..., (2 q + 1)**2), float64
        Gaps between the sorted phases :math:`\langle\omega,p\rangle \bmod 2\pi`; they add up to :math:`2\pi`.

    Raises
    ------
    TypeError
        If q is not an integer, or omega not real.
    ValueError
        If q is negative or omega is not finite or not of shape (..., 2).

    Notes
    -----
    theory.md 3.3. Phases that differ from a full turn by less than 1e-9 count as zero: coincident phases stay so.
    """
    phases = window_phases(omega, q)
    return np.diff(phases, append=phases[..., :1] + 2 * np.pi)


def largest_cosine(phi: ArrayLike, omega: ArrayLike, q: int = 1) -> NDArray[np.float64]:
    r"""Largest real part that a max-pooling window sees of a wave of modulus 1.

    .. math:: M_q(\phi,\omega) = \max_{\|p\|_\infty\le q} \cos(\phi + \langle\omega,p\rangle)

    Parameters
    ----------
    phi : array_like, shape (...)
        Phase at the centre of the window, rad.
    omega : array_like, shape (..., 2)
        Phase advance per sample of the pooled grid, rad; its leading axes broadcast with those of `phi`.
    q : int
        Half-width of the window.

    Returns
    -------
    ndarray, shape (...), float64

    Raises
    ------
    TypeError, ValueError
        As `phase_gaps`.

    Notes
    -----
    theory.md 3.2.
    """
    phases, phi = window_phases(omega, q), real_values(phi, "phi", "a phase")
    try:
        largest: NDArray[np.float64] = np.cos(phi[..., None] + phases).max(axis=-1)
    except ValueError:
        raise ValueError(
            f"phi has shape {phi.shape} and omega {np.shape(omega)}; expected (...) and (..., 2)"
        ) from None
    return largest


def maximum_moments(omega: ArrayLike, q: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    r"""Mean and mean square of the largest cosine, for a uniform phase.

    .. math:: \mathbb E[M] = \frac1\pi\sum_i\sin\frac{\delta_i}2, \qquad
              \mathbb E[M^2] = \frac12 + \frac1{4\pi}\sum_i\sin\delta_i

    Parameters
    ----------
    omega : array_like, shape (..., 2)
        Phase advance per sample of the pooled grid, rad.
    q : int
        Half-width of the window.

    Returns
    -------
    mean, mean_square : ndarray, shape (...), float64

    Raises
    ------
    TypeError, ValueError
        As `phase_gaps`.

    Notes
    -----
    theory.md 3.3. :math:`\mathbb E[M^2]` is also the energy of RMax relative to that of CMod, and
    :math:`\gamma^2 = 1 - 2\,\mathbb E M + \mathbb E M^2`.
    """
    gaps = phase_gaps(omega, q)
    return np.sin(gaps / 2).sum(axis=-1) / np.pi, 0.5 + np.sin(gaps).sum(axis=-1) / (4 * np.pi)


def gamma(omega: ArrayLike, q: int = 1) -> NDArray[np.float64]:
    r"""Root of the mean squared discrepancy between max pooling and modulus, in the limit of narrow bands.

    .. math:: \gamma_q(\omega)^2 = \frac32 + \frac1{4\pi}\sum_i\Big(\sin\delta_i - 8\sin\frac{\delta_i}2\Big)

    Parameters
    ----------
    omega : array_like, shape (..., 2)
        :math:`m\theta`, the filter's characteristic frequency times the stride, in radians.
    q : int
        Half-width of the pooling window.

    Returns
    -------
    ndarray, shape (...), float64
        :math:`\gamma_q(\omega)`, not squared; it bounds the expected discrepancy from above: :math:`\sqrt{3/2}` where
        all samples share one phase, near 0 where the phases are spread evenly.

    Raises
    ------
    TypeError, ValueError
        As `phase_gaps`.

    Notes
    -----
    Leterme, Polisano, Perrier, Alahari, "On the shift invariance of max pooling feature maps in convolutional neural
    networks", arXiv:2209.11740; derivation in theory.md 3.3.

    Examples
    --------
    >>> gamma([np.pi, np.pi]).round(6)
    np.float64(0.476194)
    """
    half = phase_gaps(omega, q) / 2
    # Each gap adds the integral of (1 - cos t)**2 up to its half; where that cancels, its series.
    series = half**5 * np.polyval(SERIES, half**2)
    exact = 1.5 * half - 2 * np.sin(half) + np.sin(2 * half) / 4
    mean_square: NDArray[np.float64] = np.where(half < 0.25, series, exact).sum(axis=-1) / np.pi
    return np.sqrt(mean_square)


def gamma_map(stride: int, points: int = 257, q: int = 1) -> NDArray[np.float64]:
    r"""Values of :math:`\gamma_q(m\theta)` over the frequency square.

    Parameters
    ----------
    stride : int
        Stride m of the convolution.
    points : int
        Samples along each axis, from -pi to pi inclusive.
    q : int
        Half-width of the pooling window.

    Returns
    -------
    ndarray, shape (points, points), float64
        Rows are vertical frequencies, columns horizontal ones, both rising.

    Raises
    ------
    TypeError, ValueError
        If an argument is not an integer, or out of range.

    Notes
    -----
    theory.md 5.2, item 6.
    """
    integer("stride", stride, 1)
    integer("points", points, 2)
    theta = np.linspace(-np.pi, np.pi, points)
    return gamma(stride * np.stack(np.meshgrid(theta, theta, indexing="ij"), axis=-1), q)


def gamma_over_cells(theta: ArrayLike, levels: int, stride: int, q: int = 1, points: int = 8) -> NDArray[np.float64]:
    r"""Root of the mean of :math:`\gamma_q(m\omega)^2` over the cell of each packet filter.

    Parameters
    ----------
    theta : array_like, shape (L, 2)
        Characteristic frequencies, vertical then horizontal, rad/sample.
    levels : int
        Depth J: the cells have the side :math:`\pi/2^J`.
    stride : int
        Stride m of the convolution.
    q : int
        Half-width of the pooling window.
    points : int
        Frequencies along each side of a cell.

    Returns
    -------
    ndarray, shape (L,), float64
        What narrow bands that fill a cell evenly give: the theory at the resolution of the measured map.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range.

    Examples
    --------
    >>> gamma_over_cells([[0.1, 0.1]], levels=3, stride=4).round(2)
    array([0.56])
    """
    for name, value in {"levels": levels, "stride": stride, "points": points}.items():
        integer(name, value, 1)
    theta = real_pairs(theta, "theta")
    side = np.pi / 2**levels
    inside = (np.arange(points) + 0.5) / points
    offsets = np.stack(np.meshgrid(inside, inside, indexing="ij"), axis=-1).reshape(-1, 2)
    omega = side * (np.floor(theta / side)[..., None, :] + offsets)
    found: NDArray[np.float64] = np.sqrt((gamma(stride * omega, q) ** 2).mean(axis=-1))
    return found


def narrow_band_change(omega: ArrayLike, advance: ArrayLike, q: int = 1) -> NDArray[np.float64]:
    r"""Relative change of RMax under a shift, in the limit of vanishing bandwidth.

    .. math:: S_q(u)^2 = \frac{\int_0^{2\pi}\big(M_q(\phi-\langle\theta,u\rangle,\omega)
                               - M_q(\phi,\omega)\big)^2 d\phi} {\int_0^{2\pi} M_q(\phi,\omega)^2 d\phi}

    Parameters
    ----------
    omega : array_like, shape (..., 2)
        :math:`m\theta`, phase advance per sample of the pooled grid, rad.
    advance : array_like, shape (...)
        :math:`\langle\theta,u\rangle`, phase by which the shift moves the wave, rad; broadcasts with `omega`.
    q : int
        Half-width of the window.

    Returns
    -------
    ndarray, shape (...), float64
        :math:`S_q(u)`, not squared, exact to rounding: both maxima are cosines between known breakpoints. The change
        of CMod in the same limit is 0.

    Raises
    ------
    TypeError
        If omega or the advance is complex, or q not an integer.
    ValueError
        If q is negative, a value is not finite, or the shapes do not fit.

    Notes
    -----
    theory.md 3.5.

    Examples
    --------
    >>> narrow_band_change([0.0, 0.0], np.pi).round(6)
    np.float64(2.0)
    """
    phases = window_phases(omega, q)
    advance = real_values(advance, "advance")
    try:
        lead = np.broadcast_shapes(phases.shape[:-1], advance.shape)
    except ValueError:
        raise ValueError(
            f"omega has shape {np.shape(omega)} and advance {advance.shape}; expected (..., 2) and (...)"
        ) from None
    phases = np.broadcast_to(phases, (*lead, phases.shape[-1]))
    advance = np.broadcast_to(advance, lead)[..., None]

    # M changes its cosine half-way between neighbouring phases, and the moved M there plus the advance.
    borders = -(phases + np.diff(phases, append=phases[..., :1] + 2 * np.pi) / 2)
    edges = np.sort(np.concatenate([borders, borders + advance], axis=-1) % (2 * np.pi), axis=-1)
    widths = np.diff(edges, append=edges[..., :1] + 2 * np.pi)
    middles = edges + widths / 2
    a = _active(middles, phases)
    b = _active(middles - advance, phases) - advance
    # cos(phi + a) - cos(phi + b) = -2 sin((a - b) / 2) sin(phi + (a + b) / 2), squared and integrated.
    squares = 4 * np.sin((a - b) / 2) ** 2 * (widths - np.sin(widths) * np.cos(2 * middles + a + b)) / 2
    ratio: NDArray[np.float64] = squares.sum(axis=-1) / (2 * np.pi * maximum_moments(omega, q)[1])
    return np.sqrt(ratio)


def real_values(values: ArrayLike, name: str, what: str = "a value") -> NDArray[np.float64]:
    """Return finite real numbers as float64.

    Raises
    ------
    TypeError
        If they are complex or not numeric.
    ValueError
        If they are ragged or masked, or one is not finite.
    """
    values = to_array(values, name)
    if values.dtype.kind == "c":
        raise TypeError(f"{name} is complex; expected real numbers")
    if values.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {values.dtype}; expected real numbers")
    with np.errstate(over="ignore"):  # of a wider type: infinite below
        values = values.astype(np.float64)
    if not np.isfinite(values).all():
        raise ValueError(f"{name} holds {what} that is not finite")
    return values


def real_pairs(values: ArrayLike, name: str, what: str = "a value") -> NDArray[np.float64]:
    """Return finite real pairs, shape (..., 2), as float64.

    Raises
    ------
    TypeError, ValueError
        As `real_values`, and if the last axis is not one of two.
    """
    pairs = real_values(values, name, what)
    if pairs.ndim == 0 or pairs.shape[-1] != 2:
        raise ValueError(f"{name} has shape {pairs.shape}; expected (..., 2)")
    return pairs


def window_offsets(q: int) -> NDArray[np.int64]:
    """Positions p of a pooling window, shape ((2 q + 1)**2, 2); the middle one is its centre.

    Raises
    ------
    TypeError, ValueError
        If q is not an integer of at least 0.
    """
    p = np.arange(-integer("q", q, 0), q + 1)
    return np.stack(np.meshgrid(p, p, indexing="ij"), axis=-1).reshape(-1, 2)


def window_phases(omega: ArrayLike, q: int) -> NDArray[np.float64]:
    """Sorted phases of the window's samples in [0, 2 pi), shape (..., (2 q + 1)**2)."""
    offsets = window_offsets(q)
    omega = real_pairs(omega, "omega", "a frequency")
    phases = (np.fmod(omega, 2 * np.pi) @ offsets.T) % np.float64(2 * np.pi)
    # A full turn less a rounding error is phase zero, not a gap of a full turn.
    phases[phases > 2 * np.pi - COINCIDENT] = 0.0
    phases.sort(axis=-1)
    return phases


def _active(phi: NDArray[np.float64], phases: NDArray[np.float64]) -> NDArray[np.float64]:
    """Phase whose cosine is the largest at each phi; phi (..., n), phases (..., k), result (..., n)."""
    best = np.cos(phi[..., None] + phases[..., None, :]).argmax(axis=-1)
    return np.take_along_axis(phases, best, axis=-1)
