r"""Expected squares on a Gaussian field: covariances in a pooling window, and means over them by quasi-Monte Carlo."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from analysis.measurements.shift_experiment import SHIFTS
from analysis.measurements.spectra import mirrored
from analysis.prediction import loops
from analysis.prediction.moments import (
    MOMENTS,
    check_model,
    checked,
    empty_moments,
    phase_factors,
    progress_bar,
    reduced,
    transfer_function,
)
from analysis.theory.phases import window_offsets
from wavelets import DualTreePackets2D
from wavelets.checks import integer, real_array
from wavelets.engine.threads import over_batch

DRAWS = 2**13  # of one replicate: errors of 0.0005 with q = 1
REPLICATES = 8


def gaussian_moments(
    kernels: ArrayLike | DualTreePackets2D,
    spectrum: ArrayLike,
    stride: int | None = None,
    shifts: Sequence[Sequence[float]] = SHIFTS,
    q: int = 1,
    draws: int = DRAWS,
    seed: int = 0,
    progress: bool = True,
) -> xr.Dataset:
    """Expected squares of the operators on a Gaussian field.

    Parameters and errors are those of `predict`.

    Returns
    -------
    xarray.Dataset
        Dimensions `replicate`, `filter` and `shift`: `discrepancy`, `cmod`, `rmax`, `rmax_change`, `cmod_change`,
        relative to the mean square of CMod.
    """
    bank, power, stride, moves = checked(kernels, spectrum, stride, shifts, q)
    window = stride * window_offsets(q)
    out = empty_moments(kernels, stride, moves, REPLICATES)
    normal = np.ascontiguousarray(_normal_draws(2 * len(window) + 2, draws, seed).swapaxes(1, 2))
    centres = [len(window) // 2, len(window) + len(window) // 2]
    pairs = [np.concatenate([window, window - u]) for u in moves]

    def work(part: slice) -> None:
        for index in range(part.start, part.stop):
            for s, (covariance, pseudo) in enumerate(_covariances(bank[index : index + 1], power, pairs)):
                (root,) = _square_roots(covariance, pseudo, centres)
                squares = np.empty((REPLICATES, len(MOMENTS)))
                loops.gaussian_squares(np.ascontiguousarray(root), normal, len(window), squares)
                for name, values in zip(MOMENTS, squares.T, strict=True):
                    out[name].values[:, index, s] = values
                bar.update()

    with progress_bar("Gaussian field", len(bank) * len(moves), progress) as bar:
        over_batch(work, len(bank))
    return reduced(out)


def response_covariance(
    kernels: ArrayLike, spectrum: ArrayLike, points: ArrayLike
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    r"""Second moments of filter responses to a stationary field.

    Parameters
    ----------
    kernels : array_like, shape (L, h, w) or (L, C, h, w), complex
        Correlation kernels W; of C channels, whose responses add up.
    spectrum : array_like, shape (P, P), real, or (C, C, P, P), complex
        Power spectrum S of the field, or the matrix of those of its channels; see :mod:`analysis.measurements.spectra`.
    points : array_like, shape (n, 2)
        Positions of the responses, vertical and horizontal, pixels; fractions are allowed.

    Returns
    -------
    covariance, pseudo : ndarray, shape (L, n, n), complex128
        :math:`\mathbb E Z_a\overline{Z_b}` and :math:`\mathbb E Z_a Z_b`. The second vanishes for circular responses,
        as those of an analytic filter are.

    Raises
    ------
    TypeError, ValueError
        If kernels or spectrum are not those that `predict` takes, or a point is not finite.

    Notes
    -----
    The Wiener-Khinchin theorem, for the responses of a pooling window.
    """
    kernels, power = check_model(kernels, spectrum)
    points = real_array(points, "points", 2).astype(np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points has shape {points.shape}; expected (n, 2)")
    return _covariances(kernels, power, [points])[0]


def _covariances(
    kernels: NDArray[np.complex128], power: NDArray[Any], sets: Sequence[NDArray[np.float64]]
) -> list[tuple[NDArray[np.complex128], NDArray[np.complex128]]]:
    """Covariance and pseudo-covariance (L, n, n) at each set of points; see `response_covariance`."""
    size = power.shape[-1]
    omega = 2 * np.pi * fft.fftfreq(size)
    transfer = transfer_function(kernels, size)
    if kernels.ndim == 3:
        products = power * np.abs(transfer) ** 2, power * transfer * mirrored(transfer)
    else:
        # Energies at a frequency, by summing over pairs of channels: X_k^ conj(X_l^) has the mean S_kl.
        seen = np.einsum("nkyx,klyx->nlyx", transfer, power)
        products = (seen * transfer.conj()).sum(axis=1), (seen * mirrored(transfer)).sum(axis=1)
    second = []
    for points in sets:
        (left, at_row), (right, at_column) = (_factors_of_pairs(omega, along) for along in points.T)
        tables = (left @ product @ right.T / size**2 for product in products)
        covariance, pseudo = (table[:, at_row, at_column] for table in tables)
        second.append((covariance, pseudo))
    return second


def _factors_of_pairs(
    omega: NDArray[np.float64], along: NDArray[np.float64]
) -> tuple[NDArray[np.complex128], NDArray[np.int64]]:
    """Factors of the distinct pairs of positions along an axis, (k, P), and the row of each pair, (n, n)."""
    pairs = np.stack(np.broadcast_arrays(along[:, None], along), axis=-1).reshape(-1, 2)
    if omega.size % 2 or (along == np.rint(along)).all():
        # Only lags matter; not so where the Nyquist frequency has moved by fractions: cos(pi a) cos(pi b).
        pairs = np.column_stack([pairs[:, 0] - pairs[:, 1], np.zeros(len(pairs))])
    distinct, rows = np.unique(pairs, axis=0, return_inverse=True)
    factors = phase_factors(omega, distinct[:, 0]) * phase_factors(omega, distinct[:, 1]).conj()
    return factors, rows.reshape(along.size, along.size)


def square_covariance(omega: ArrayLike, bandwidth: float, q: int = 1) -> NDArray[np.complex128]:
    r"""Covariance in a pooling window for a flat spectrum on a square.

    .. math:: \mathbb E Z_p\overline{Z_{p'}} = e^{i\langle\omega,p-p'\rangle}
              \operatorname{sinc}\tfrac{\kappa'(p_1-p'_1)}2\,\operatorname{sinc}\tfrac{\kappa'(p_2-p'_2)}2

    Parameters
    ----------
    omega : array_like, shape (2,)
        :math:`m\theta`, rad.
    bandwidth : float
        :math:`\kappa' = m\kappa`, rad.
    q : int
        Half-width of the window.

    Returns
    -------
    ndarray, shape (n, n), complex128
        n = (2 q + 1)**2; for :func:`expected_discrepancy`.

    Raises
    ------
    TypeError, ValueError
        If omega is not two finite real numbers, the bandwidth not within 0 and pi, or q not an integer of at least 0.

    Notes
    -----
    theory.md 3.5.
    """
    p = window_offsets(q)
    omega = real_array(omega, "omega", 1)
    if omega.shape != (2,):
        raise ValueError(f"omega has shape {omega.shape}; expected (2,)")
    if np.ndim(bandwidth) or not 0 <= real_array([bandwidth], "bandwidth", 1)[0] <= np.pi:
        raise ValueError(f"bandwidth is m kappa = {bandwidth!r} rad; expected 0 to pi")
    lags = p[:, None] - p
    waves: NDArray[np.complex128] = np.exp(1j * lags @ omega)
    waves *= np.sinc(bandwidth * lags / (2 * np.pi)).prod(axis=-1)
    return waves


def expected_discrepancy(
    covariance: ArrayLike, pseudo: ArrayLike | None = None, draws: int = DRAWS, seed: int = 0
) -> tuple[float, float]:
    r"""Root-mean-square discrepancy of Gaussian responses with a given covariance.

    Parameters
    ----------
    covariance : array_like, shape (n, n), complex
        Of the responses in a pooling window, n odd; the middle one is the centre.
    pseudo : array_like, shape (n, n), complex, optional
        Mean products without conjugation; 0 (circular) by default.
    draws : int
        Points of each of 8 replicates, a power of 2.
    seed : int

    Returns
    -------
    rho, stderr : float

    Raises
    ------
    TypeError
        If draws or seed is not an integer.
    ValueError
        If the matrices are not those of an odd number of responses, or draws not a power of 2.

    Notes
    -----
    theory.md 3.5: the root of the mean of :math:`(\mathcal R-\mathcal C)^2` over that of :math:`\mathcal C^2`.
    """
    covariance = np.asarray(covariance, dtype=complex)[None]
    pseudo = np.zeros_like(covariance) if pseudo is None else np.asarray(pseudo, dtype=complex)[None]
    n = covariance.shape[-1]
    if covariance.shape != (1, n, n) or pseudo.shape != covariance.shape or n % 2 == 0:
        raise ValueError(
            f"covariance has shape {covariance.shape[1:]} and pseudo {pseudo.shape[1:]}; expected (n, n), n odd"
        )
    if not (np.isfinite(covariance).all() and np.isfinite(pseudo).all()):
        raise ValueError("covariance or pseudo holds a value that is not finite")
    scale = 1e-9 * np.abs(covariance).max()
    if not np.allclose(covariance, np.conj(covariance.swapaxes(1, 2)), rtol=0, atol=scale) or (
        np.linalg.eigvalsh(covariance).min() < -scale
    ):
        raise ValueError("covariance is not Hermitian and positive: no responses have it")
    if not covariance[0, n // 2, n // 2].real > scale:
        raise ValueError("covariance gives the centre no energy; expected a response there")
    joint = np.block([[covariance, pseudo], [np.conj(pseudo), np.conj(covariance)]])
    if not np.allclose(pseudo, pseudo.swapaxes(1, 2), rtol=0, atol=scale) or np.linalg.eigvalsh(joint).min() < -scale:
        raise ValueError("pseudo is not symmetric, or too large for the covariance: no responses have it")
    roots = _square_roots(covariance, pseudo, [n // 2])
    normal = _normal_draws(n + 1, draws, seed)
    y = normal @ roots[0]
    squares = (y[..., :n].max(axis=-1) - np.hypot(y[..., n // 2], y[..., n])) ** 2
    ratios = np.sqrt(squares.mean(axis=1) / covariance[0, n // 2, n // 2].real)
    return float(np.sqrt((ratios**2).mean())), float(ratios.std(ddof=1) / np.sqrt(len(ratios)))


def _normal_draws(dimension: int, draws: int, seed: int) -> NDArray[np.float64]:
    """Scrambled Sobol points as normal variables, shape (replicates, draws, dimension)."""
    from scipy.stats import qmc  # half a second to import

    if integer("draws", draws, 2) & (draws - 1):
        raise ValueError(f"draws is {draws}; expected a power of 2")
    integer("seed", seed, 0)
    rngs = np.random.default_rng(seed).spawn(REPLICATES)
    points = np.stack([qmc.Sobol(dimension, rng=rng).random(draws) for rng in rngs])
    from scipy.special import ndtri

    return np.asarray(ndtri(np.clip(points, 1e-15, 1 - 1e-15)))


def _square_roots(
    covariance: NDArray[np.complex128], pseudo: NDArray[np.complex128], centres: list[int]
) -> NDArray[np.float64]:
    """Matrices that turn normal draws into all real parts, then the imaginary parts at the centres.

    covariance, pseudo (L, n, n); result (L, d, d) with d = n + len(centres).
    """
    real = (covariance + pseudo).real / 2
    imaginary = (covariance - pseudo).real[:, centres][:, :, centres] / 2
    cross = (pseudo - covariance).imag[:, :, centres] / 2
    joint = np.block([[real, cross], [cross.transpose(0, 2, 1), imaginary]])
    energies, directions = np.linalg.eigh(joint)
    # The first Sobol coordinates are the most even ones: they get the largest energies.
    roots: NDArray[np.float64] = directions * np.sqrt(np.maximum(energies, 0))[:, None]
    return roots[:, :, ::-1].transpose(0, 2, 1)
