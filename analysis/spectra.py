r"""Power spectra of images: models, and an estimate from photographs.

A spectrum is a real array of shape (P, P) on the frequencies ``2 pi fftfreq(P)`` of both axes; its mean is the variance
of a pixel. Odd P have no Nyquist frequency, which fractional shifts like. Pictures of C channels have a matrix of them,
complex, shape (C, C, P, P): entry (k, l) is the mean of :math:`\widehat X_k\overline{\widehat X_l}`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft
from scipy.signal.windows import hann
from tqdm import tqdm

from analysis.images import find_images, load_pictures
from wavelets._check import integer, real_array

POINTS = 255


def flat_spectrum(points: int = POINTS) -> NDArray[np.float64]:
    """Power spectrum of white noise with variance 1.

    Parameters
    ----------
    points : int
        Frequencies P along each axis.

    Returns
    -------
    ndarray, shape (P, P), float64

    Raises
    ------
    TypeError, ValueError
        If `points` is not a positive integer.
    """
    integer("points", points, 1)
    return np.ones((points, points))


def power_law_spectrum(points: int = POINTS, exponent: float = 2.0) -> NDArray[np.float64]:
    r"""Power spectrum :math:`|\omega|^{-\text{exponent}}`, variance 1, nothing at zero frequency.

    Parameters
    ----------
    points : int
        Frequencies P along each axis, at least 2.
    exponent : float
        2 is the classical model of natural images (Field 1987): an amplitude of :math:`1/|\omega|`.

    Returns
    -------
    ndarray, shape (P, P), float64

    Raises
    ------
    TypeError, ValueError
        If `points` is not an integer of at least 2, or the exponent not finite.
    """
    integer("points", points, 2)
    if not (np.isscalar(exponent) and np.isreal(exponent) and abs(exponent) <= 20):
        raise ValueError(f"exponent is {exponent!r}; expected a number from -20 to 20")
    omega = 2 * np.pi * fft.fftfreq(points)
    radius = np.hypot(omega[:, None], omega)
    radius[0, 0] = np.inf if exponent > 0 else 1.0
    spectrum = radius**-exponent
    spectrum[0, 0] = 0.0
    return spectrum / spectrum.mean()


def estimate_spectrum(
    images: str | os.PathLike[str] | Iterable[Any],
    size: int = 224,
    points: int = POINTS,
    progress: bool = True,
    on_skip: Callable[[str, str], object] | None = None,
    colour: bool = False,
    level: Sequence[float] | float | None = None,
) -> NDArray[Any]:
    """Mean power spectrum of photographs, each with its mean removed, under a Hann window.

    Parameters
    ----------
    images : path, or iterable of paths, arrays or Pictures
        As for :func:`analysis.heatmaps`.
    size : int
        Side to which every picture is brought, pixels.
    points : int
        Frequencies P along each axis, at least `size`.
    progress : bool
        Show a progress bar on standard error.
    on_skip : callable, optional
        Called with the name and the reason of each picture that is left out.
    colour : bool
        Estimate the matrix of the spectra of red, green and blue instead of the luminance's.
    level : float or sequence of float, optional
        Of each channel, the value that a network subtracts. The mean square of what it leaves of the pictures' means
        goes to zero frequency, where there is nothing otherwise: kernels that are not blind to a constant see it.

    Returns
    -------
    ndarray, shape (P, P), float64; in colour (3, 3, P, P), complex128

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or no picture could be used.
    FileNotFoundError, NotADirectoryError
        If the folder is not there.
    """
    integer("size", size, 1)
    integer("points", points, size)
    if isinstance(images, (str, os.PathLike)):
        images = find_images(images)
    window = np.outer(hann(size, sym=True), hann(size, sym=True)) if size > 2 else np.ones((size, size))
    shape = (3, 3, points, points) if colour else (points, points)
    total, count = np.zeros(shape, complex if colour else float), 0
    length = len(images) if hasattr(images, "__len__") else None
    skip = on_skip if on_skip is not None else lambda name, reason: None
    pictures = load_pictures(images, size, skip, colour)
    for picture in tqdm(pictures, total=length, desc="spectrum", unit="image", disable=not progress):
        x = picture.pixels.astype(np.float64)
        mean = (x * window).sum(axis=(-2, -1), keepdims=True) / window.sum()
        transform = fft.fft2((x - mean) * window, (points, points))
        if level is not None:
            # As a constant over the period, whose energy the last line must not divide by the window's.
            rest = mean[..., 0, 0] - np.asarray(level)
            transform[..., 0, 0] = rest * points * np.sqrt((window**2).sum())
        total += transform[:, None] * transform.conj() if colour else np.abs(transform) ** 2
        count += 1
    if count == 0:
        raise ValueError("none of the images could be used to estimate a spectrum")
    return total / (count * (window**2).sum())


def gaussian_fields(spectrum: ArrayLike, count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Random fields with a given power spectrum and independent phases: photographs without their structure.

    Parameters
    ----------
    spectrum : array_like, shape (P, P), real
    count : int
    rng : numpy.random.Generator

    Returns
    -------
    ndarray, shape (count, P, P), float64
        Periodic, mean 0.

    Raises
    ------
    TypeError, ValueError
        If the spectrum is not a square of finite energies, or the count not a positive integer.
    """
    power = check_spectrum(spectrum)
    integer("count", count, 1)
    if not isinstance(rng, np.random.Generator):
        raise TypeError(f"rng is {rng!r}; expected a numpy.random.Generator")
    noise = rng.standard_normal((count, *power.shape))
    return fft.ifft2(fft.fft2(noise) * np.sqrt(power)).real


def check_spectrum(spectrum: ArrayLike) -> NDArray[np.float64]:
    """Return a copy of a power spectrum of real images.

    Raises
    ------
    TypeError
        If it is not real.
    ValueError
        If it is not a square of finite energies, the same at opposite frequencies.
    """
    power = real_array(spectrum, "spectrum", 2).astype(np.float64)
    if power.ndim != 2 or power.shape[0] != power.shape[1]:
        raise ValueError(f"spectrum has shape {power.shape}; expected a square (P, P)")
    if (power < 0).any():
        raise ValueError(f"spectrum holds {power.min():g}; expected energies of at least 0")
    if np.abs(power - mirrored(power)).max() > 1e-6 * power.max():
        raise ValueError(
            "spectrum differs at opposite frequencies; expected that of real images, in the order of fftfreq"
        )
    return power


def check_spectra(spectra: ArrayLike) -> NDArray[np.complex128]:
    """Return a copy of the matrix of power spectra of real images of several channels.

    Raises
    ------
    TypeError
        If it is not numeric.
    ValueError
        If its shape is not (C, C, P, P), a value is not finite, or no real images have it.
    """
    power = np.asarray(spectra)
    if power.ndim != 4 or power.shape[0] != power.shape[1] or power.shape[2] != power.shape[3]:
        raise ValueError(f"spectra have shape {power.shape}; expected (C, C, P, P)")
    real_array(power.real, "spectra", 4)
    real_array(power.imag, "spectra", 4)
    power = power.astype(complex)
    scale = 1e-6 * np.abs(power).max()
    if (
        np.abs(power - power.conj().swapaxes(0, 1)).max() > scale
        or np.abs(power - mirrored(power).conj()).max() > scale
    ):
        raise ValueError("spectra are not Hermitian, or differ at opposite frequencies; expected those of real images")
    if np.einsum("kkyx->kyx", power).real.min() < -scale:
        raise ValueError("spectra hold a negative energy; expected energies of at least 0")
    return power


def mirrored(plane: NDArray) -> NDArray:
    """Values at the negative frequencies, planes (..., P, P) on the frequencies of fftfreq."""
    return np.roll(plane[..., ::-1, ::-1], (1, 1), (-2, -1))
