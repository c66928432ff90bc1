r"""Random pictures that hold the mixture as one field: a slow reference for the prediction."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from analysis.measurements.spectra import check_spectra, check_spectrum, mirrored
from analysis.prediction.isolated import colour_features
from wavelets.checks import integer


def mixture_fields(
    spectrum: ArrayLike, isolated: float, count: int, rng: np.random.Generator, features: float = 1.0
) -> NDArray[np.float64]:
    r"""Gaussian fields with isolated features in them, at random places, over one another as they come.

    Parameters
    ----------
    spectrum : array_like, shape (P, P), real, or (C, C, P, P), complex
        Power spectrum of the fields, or the matrix of those of the channels; see :mod:`analysis.measurements.spectra`.
    isolated : float
        Part t of the energy in features, 0 to 1.
    count : int
        Fields.
    rng : numpy.random.Generator
    features : float
        Features of each principal colour in a field: 1 / k puts one into every k-th field, with k times the energy.

    Returns
    -------
    ndarray, shape (count, P, P), in colour (count, C, P, P), float64
        Periodic, mean 0.

    Raises
    ------
    TypeError
        If a number is not of its kind, or `rng` no generator.
    ValueError
        If a number is out of range, or the spectrum not one of real fields.

    Notes
    -----
    theory.md 3.5. Nothing keeps a feature apart from the field and from other features, which the prediction supposes;
    with fewer, stronger ones it comes true.
    """
    colour = np.ndim(spectrum) == 4
    power = check_spectra(spectrum) if colour else check_spectrum(spectrum)[None, None].astype(complex)
    if not (np.ndim(isolated) == 0 and np.isreal(isolated) and 0 <= isolated <= 1):
        raise ValueError(f"isolated is {isolated!r}; expected a part of the energy, 0 to 1")
    if not (np.ndim(features) == 0 and np.isreal(features) and 0 < features < np.inf):
        raise ValueError(f"features is {features!r}; expected a positive number of features in a field")
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is {rng!r}; expected a numpy.random.Generator")
    power[..., 0, 0] = 0.0
    size = power.shape[-1]
    roots = colour_features(power, np.eye(len(power)))
    colours = colour_features(power)
    omega = 2 * np.pi * fft.fftfreq(size)
    every = max(1, round(1 / features))
    held = max(1, round(features))
    strength = np.sqrt(isolated * every / held)
    fields = np.empty((integer("count", count, 1), *power.shape[1:]))
    for index, field in enumerate(fields):
        noise = fft.fft2(rng.standard_normal((len(power), size, size)))
        waves = np.sqrt(1 - isolated) * np.einsum("lkyx,lyx->kyx", roots, noise)
        for shape in colours if index % every == 0 else ():
            for _ in range(held):
                waves += strength * size * _one_feature(shape, omega, rng)
        field[:] = fft.ifft2(waves).real
    return fields if colour else fields[:, 0]


def _one_feature(
    shape: NDArray[np.complex128], omega: NDArray[np.float64], rng: np.random.Generator
) -> NDArray[np.complex128]:
    """Fourier transform (C, P, P) of an even feature, with a random phase and direction, moved to a random pixel."""
    psi, angle = np.pi * rng.random(2) * (2, 1)
    signs = np.sign(np.cos(angle) * omega[:, None] + np.sin(angle) * omega)
    signs = (signs - mirrored(signs)) / 2
    place = rng.integers(len(omega), size=2)
    moved = np.exp(-1j * omega * place[0])[:, None] * np.exp(-1j * omega * place[1])
    return np.asarray(shape * (np.cos(psi) - 1j * np.sin(psi) * signs) * moved)
