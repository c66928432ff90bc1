r"""Expected squares on isolated features: lone structures whose waves are in phase at one point."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from analysis.measurements.shift_experiment import SHIFTS
from analysis.measurements.spectra import mirrored
from analysis.prediction import loops
from analysis.prediction.moments import (
    MOMENTS,
    checked,
    empty_moments,
    phase_factors,
    progress_bar,
    reduced,
    transfer_function,
)
from wavelets import DualTreePackets2D
from wavelets.engine.threads import over_batch

DIRECTIONS, PHASES = 8, 4  # within 0.01 of many more directions
FAINT = 1e-3  # of a filter's energy: colours with less are left out


def isolated_moments(
    kernels: ArrayLike | DualTreePackets2D,
    spectrum: ArrayLike,
    stride: int | None = None,
    shifts: Sequence[Sequence[float]] = SHIFTS,
    q: int = 1,
    progress: bool = True,
) -> xr.Dataset:
    r"""Expected squares of the operators on isolated features.

    Parameters and errors are those of `predict`.

    Returns
    -------
    xarray.Dataset
        As `gaussian_moments`, without replicates: means over all whole-pixel positions, and over four phases and eight
        orientations of the feature.

    Notes
    -----
    A feature has the Fourier transform :math:`\sqrt{S(\omega)}\,e^{i\psi\operatorname{sgn}\langle\omega,e\rangle}`:
    real, with spectrum S, even for :math:`\psi=0` and odd along e for :math:`\psi=\pi/2`. For a filter whose spectrum
    lies on one side of the line across e, :math:`\psi` moves the phase of the response and e does not matter. For
    others, which are wide or lie near the border of their half-plane, eight directions are a sample: 32 change the
    discrepancy by up to 0.008.

    Of several channels, features have one of the principal colours of the whole spectrum each:
    :math:`S(\omega)^{1/2}` times an eigenvector of :math:`\sum_\omega S(\omega)`, with S the matrix of the channels'
    spectra. Their energies add up to those of S; squares are summed over them.
    """
    bank, power, stride, moves = checked(kernels, spectrum, stride, shifts, q)
    size = power.shape[-1]
    if bank.ndim == 3:
        bank, power = bank[:, None], power[None, None]
    power[..., 0, 0] = 0.0  # a constant is no feature
    features = colour_features(power)
    omega = 2 * np.pi * fft.fftfreq(size)
    angles = np.pi * (np.arange(DIRECTIONS) + 0.5) / DIRECTIONS
    signs = np.sign(np.cos(angles)[:, None, None] * omega[:, None] + np.sin(angles)[:, None, None] * omega)
    signs = (signs - mirrored(signs)) / 2  # odd also at the Nyquist frequencies of an even grid
    psi = np.pi * np.arange(PHASES) / PHASES  # the other half of the circle is the negative of this one
    out = empty_moments(kernels, stride, moves)

    def work(part: slice) -> None:
        for index in range(part.start, part.stop):
            responses = np.einsum("cyx,jcyx->jyx", transfer_function(bank[index], size), features)
            energies = (np.abs(responses) ** 2).sum(axis=(1, 2))
            for s, u in enumerate(moves):
                translation = phase_factors(omega, -u[0])[:, None] * phase_factors(omega, -u[1])
                sums = np.zeros(len(MOMENTS))
                for response in responses[energies >= FAINT * energies.sum()]:
                    both = np.stack([response, response * translation] if u.any() else [response])
                    even = fft.ifft2(both)
                    for sign in signs:
                        odd = fft.ifft2(-1j * sign * both)
                        for c, d in zip(np.cos(psi), np.sin(psi), strict=True):
                            feature = c * even + d * odd
                            loops.feature_sums(feature[0], feature[1:].reshape(-1, size), stride, q, sums)
                for name, value in zip(MOMENTS, sums, strict=True):
                    out[name].values[index, s] = value
                bar.update()

    with progress_bar("isolated features", len(bank) * len(moves), progress) as bar:
        over_batch(work, len(bank))
    return reduced(out)


def colour_features(
    power: NDArray[np.complex128], colours: NDArray[np.float64] | None = None
) -> NDArray[np.complex128]:
    r"""Fourier transforms of even features, one for each colour.

    Parameters
    ----------
    power : ndarray, shape (C, C, P, P), complex
        Matrix of the spectra of the channels.
    colours : ndarray, shape (C, J), optional
        Orthonormal columns; by default the principal colours, the eigenvectors of the sum of `power`.

    Returns
    -------
    ndarray, shape (J, C, P, P), complex128
        :math:`S^{1/2}` times each colour; with J = C the spectra of all add up to `power`.
    """
    energies, vectors = np.linalg.eigh(power.transpose(2, 3, 0, 1))
    roots = (vectors * np.sqrt(np.maximum(energies, 0))[..., None, :]) @ vectors.conj().swapaxes(-1, -2)
    if colours is None:
        colours = np.linalg.eigh(power.sum(axis=(-2, -1)).real)[1]
    features: NDArray[np.complex128] = np.einsum("yxkl,lj->jkyx", roots, colours)
    return features
