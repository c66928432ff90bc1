"""Closed forms of the theory of max pooling against modulus (theory.md section 3)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavelets._check import integer

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
    """
    integer("q", q, 0)
    if np.iscomplexobj(omega):
        raise TypeError("omega is complex; expected real frequencies")
    omega = np.asarray(omega, dtype=np.float64)
    if omega.ndim == 0 or omega.shape[-1] != 2:
        raise ValueError(f"omega has shape {omega.shape}; expected (..., 2)")
    if not np.isfinite(omega).all():
        raise ValueError("omega holds a frequency that is not finite")
    p = np.arange(-q, q + 1)
    phases = omega[..., 0, None, None] * p[:, None] + omega[..., 1, None, None] * p
    phases = phases.reshape(*omega.shape[:-1], -1) % (2 * np.pi)
    # A full turn less a rounding error is phase zero, not a gap of a full turn.
    phases[phases > 2 * np.pi - COINCIDENT] = 0.0
    phases.sort(axis=-1)
    return np.diff(phases, append=phases[..., :1] + 2 * np.pi)


def gamma(omega: ArrayLike, q: int = 1) -> NDArray[np.float64]:
    r"""Expected relative discrepancy between max pooling and modulus for a narrow-band filter.

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
        :math:`\gamma_q(\omega)`, not squared: :math:`\sqrt{3/2}` where all samples share one phase, near 0 where the
        phases are spread evenly.

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
    gaps = phase_gaps(omega, q)
    squared = 1.5 + (np.sin(gaps) - 8 * np.sin(gaps / 2)).sum(axis=-1) / (4 * np.pi)
    return np.sqrt(np.maximum(squared, 0.0))


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
    """
    theta = np.linspace(-np.pi, np.pi, points)
    return gamma(stride * np.stack(np.meshgrid(theta, theta, indexing="ij"), axis=-1), q)
