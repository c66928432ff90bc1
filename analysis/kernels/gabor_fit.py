"""Least-squares fit of Gabor kernels: a Gaussian envelope times a wave."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavelets import analytic, characteristic_frequency
from wavelets.checks import real_array
from wavelets.hilbert import facing_right

PARAMETERS = ("amplitude", "phase", "omega_y", "omega_x", "y", "x", "sigma_1", "sigma_2", "angle")
ENVELOPES = (0.7, 1.5)  # first guesses of the envelope, relative to the spread of the energy
NARROWEST = 0.35  # pixels: an envelope that is narrower is a single pixel


def fit_gabor(kernel: ArrayLike, theta: ArrayLike | None = None) -> tuple[NDArray[np.float64], float]:
    r"""Fit one Gabor kernel by least squares.

    Parameters
    ----------
    kernel : array_like, shape (h, w), real
    theta : array_like, shape (2,), optional
        Frequency to start from, vertical then horizontal, rad/sample; by default the characteristic one.

    Returns
    -------
    parameters : ndarray, shape (9,), float64
        In the order of ``PARAMETERS``: amplitude A > 0; phase :math:`\varphi` of the wave at the envelope's centre, in
        (-pi, pi]; frequency (rad/sample), of two opposite ones that on the side of theta; centre (pixels from the first
        row and column); standard deviations of the envelope (pixels), and the angle of its first axis (rad, from the
        horizontal towards the bottom).
    r2 : float
        :math:`R^2 = 1 - \|V - G\|^2/\|V\|^2`, 1 for a Gabor kernel.

    Raises
    ------
    TypeError, ValueError
        If the kernel is not a finite real matrix, or zero everywhere.

    Notes
    -----
    .. math:: G[n] = A\,e^{-\frac12(a^2/\sigma_1^2 + b^2/\sigma_2^2)}\cos(\langle\omega, n - c\rangle + \varphi)

    with a, b the coordinates of n - c along the axes of the envelope: Daugman, J. Opt. Soc. Am. A 2, 1985. The two
    linear parameters, :math:`A\cos\varphi` and :math:`A\sin\varphi`, are eliminated (variable projection, Golub and
    Pereyra 1973), the others found by a trust-region method from two envelopes.

    Examples
    --------
    >>> y, x = np.mgrid[:11, :11]
    >>> wave = np.exp(-((x - 5) ** 2 + (y - 5) ** 2) / 8) * np.cos(1.2 * (x - 5))
    >>> parameters, r2 = fit_gabor(wave)
    >>> round(r2, 6), abs(round(float(parameters[3]), 6))
    (1.0, 1.2)
    """
    v = real_array(kernel, "kernel", 2).astype(np.float64)
    if v.ndim != 2:
        raise ValueError(f"kernel has shape {v.shape}; expected (h, w)")
    peak = np.abs(v).max()
    if peak == 0:
        raise ValueError("kernel is zero everywhere: there is nothing to fit")
    v = v / peak
    h, w = v.shape
    if theta is None:
        theta = facing_right(characteristic_frequency(analytic(v, "auto", 4 * max(v.shape))))
    start = real_array(theta, "theta", 1).astype(np.float64)
    y, x = np.mgrid[:h, :w].astype(np.float64)
    energy = v**2 / (v**2).sum()
    centre = np.array([(energy * y).sum(), (energy * x).sum()])
    spread = np.sqrt([(energy * (y - centre[0]) ** 2).sum(), (energy * (x - centre[1]) ** 2).sum()])
    low = [-2 * np.pi, -2 * np.pi, -h, -w, np.log(NARROWEST), np.log(NARROWEST), -np.inf]
    high = [2 * np.pi, 2 * np.pi, 2 * h, 2 * w, np.log(4 * h), np.log(4 * w), np.inf]

    def parts(p: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Residuals (..., h w) and linear coefficients (..., 2) of nonlinear parameters (..., 7)."""
        geometry = np.moveaxis(np.concatenate([p[..., :4], np.exp(p[..., 4:6]), p[..., 6:]], axis=-1), -1, 0)
        envelope, wave = _envelope_and_wave(y, x, geometry[..., None, None])
        basis = np.stack([envelope * np.cos(wave), -envelope * np.sin(wave)], axis=-1).reshape(*p.shape[:-1], -1, 2)
        turned = basis.swapaxes(-1, -2)
        # A slight ridge: at zero frequency the two columns are one.
        linear = np.linalg.solve(turned @ basis + 1e-9 * np.eye(2), turned @ v.reshape(-1, 1))
        return v.ravel() - (basis @ linear)[..., 0], linear[..., 0]

    def slopes(p: NDArray[np.float64]) -> NDArray[np.float64]:
        """Derivatives of the residuals (h w, 7), by steps forwards, backwards where the bounds are near."""
        steps = np.finfo(float).eps ** 0.5 * np.where(p < 0, -1, 1) * np.maximum(1, np.abs(p))
        steps *= np.where((p + steps < low) | (p + steps > high), -1, 1)
        moved = p + np.diag(steps)
        residuals = parts(np.concatenate([p[None], moved]))[0]
        slope: NDArray[np.float64] = ((residuals[1:] - residuals[0]) / (np.diag(moved) - p)[:, None]).T
        return slope

    from scipy.optimize import least_squares  # half a second to import

    found = []
    for scale in ENVELOPES:
        sigma = np.log(np.maximum(scale * spread, 1.5 * NARROWEST))
        guess = np.clip([*start, *centre, sigma[1], sigma[0], 0.0], low, high)
        found.append(
            least_squares(lambda p: parts(p)[0], guess, slopes, (low, high), xtol=1e-9, ftol=1e-9, max_nfev=200)
        )
    best = min(found, key=lambda result: float(result.cost))
    p = best.x
    residual, (cosine, sine) = parts(p)
    phase = np.arctan2(sine, cosine)
    omega = (p[:2] + np.pi) % (2 * np.pi) - np.pi
    # Whole turns of the frequency move the phase by the fractional part of the centre.
    phase -= (p[:2] - omega) @ p[2:4]
    if omega @ start < 0:
        omega, phase = -omega, -phase
    phase = np.pi - (np.pi - phase) % (2 * np.pi)
    parameters = np.array(
        [peak * np.hypot(cosine, sine), phase, *omega, p[2], p[3], np.exp(p[4]), np.exp(p[5]), p[6] % np.pi]
    )
    return parameters, float(1 - (residual @ residual) / (v**2).sum())


def gabor(parameters: ArrayLike, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Gabor kernel with given parameters.

    Parameters
    ----------
    parameters : array_like, shape (9,)
        As `fit_gabor` returns them.
    shape : (int, int)
        Rows and columns.

    Returns
    -------
    ndarray, shape (h, w), float64
    """
    amplitude, phase, *geometry = np.asarray(parameters, dtype=np.float64)
    y, x = np.mgrid[: shape[0], : shape[1]]
    envelope, wave = _envelope_and_wave(y, x, geometry)
    kernel: NDArray[np.float64] = amplitude * envelope * np.cos(wave + phase)
    return kernel


def _envelope_and_wave(
    y: NDArray[Any], x: NDArray[Any], geometry: Sequence[float] | NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Gaussian envelope, and phase of the wave from its centre, of the last seven of `PARAMETERS`."""
    omega_y, omega_x, c_y, c_x, sigma_1, sigma_2, angle = geometry
    dy, dx = y - c_y, x - c_x
    a = dx * np.cos(angle) + dy * np.sin(angle)
    b = dy * np.cos(angle) - dx * np.sin(angle)
    return np.exp(-0.5 * ((a / sigma_1) ** 2 + (b / sigma_2) ** 2)), omega_y * dy + omega_x * dx
