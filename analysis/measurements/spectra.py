r"""Power spectra of images: models, and an estimate from photographs.

A spectrum is a real array of shape (P, P) on the frequencies ``2 pi fftfreq(P)`` of both axes; its mean is the variance
of a pixel. Odd P have no Nyquist frequency, which fractional shifts like. Pictures of C channels have a matrix of them,
complex, shape (C, C, P, P): entry (k, l) is the mean of :math:`\widehat X_k\overline{\widehat X_l}`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from analysis.runs.feed import run
from wavelets.checks import integer, real_array
from wavelets.engine.threads import get_num_threads, over_batch

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
    if np.ndim(exponent) or not np.isreal(exponent) or not abs(exponent) <= 20:
        raise ValueError(f"exponent is {exponent!r}; expected a number from -20 to 20")
    omega = 2 * np.pi * fft.fftfreq(points)
    radius = np.hypot(omega[:, None], omega)
    radius[0, 0] = np.inf if exponent > 0 else 1.0
    spectrum = radius**-exponent
    spectrum[0, 0] = 0.0
    return np.asarray(spectrum / spectrum.mean())


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
    (dataset,) = run(images, [SpectrumMeasurement(size, points, colour, level)], progress, on_skip, desc="spectrum")
    return np.asarray(dataset.spectrum.values)


@dataclass(frozen=True)
class SpectrumMeasurement:
    """Sums that give the mean power spectrum of pictures; parameters and errors are those of `estimate_spectrum`.

    Notes
    -----
    Pictures are real, so half of the frequencies say all.
    """

    size: int = 224
    points: int = POINTS
    colour: bool = False
    level: Sequence[float] | float | None = None

    def __post_init__(self) -> None:
        integer("points", self.points, integer("size", self.size, 1))

    @property
    def length(self) -> int:
        """Entries of the vector: the number of pictures, and the planes of all pairs of channels."""
        # Of each pair the real part, and of two different channels the imaginary part.
        return 1 + sum(1 if k == j else 2 for k, j in self._pairs) * self.points * (self.points // 2 + 1)

    def measure(self, pictures: NDArray[Any], names: Sequence[str] = ()) -> tuple[NDArray[np.float64], None]:
        """Add up the spectra of pictures (n, size, size), in colour (n, 3, size, size); flat ones count as well."""
        vector = np.zeros(self.length)
        vector[0] = len(pictures)
        planes, window = self._planes(vector), self._window
        x = np.asarray(pictures, dtype=np.float64).reshape(len(pictures), -1, *pictures.shape[-2:])
        mean = (x * window).sum(axis=(-2, -1), keepdims=True) / window.sum()
        transforms = fft.rfft2((x - mean) * window, (self.points, self.points), workers=get_num_threads())
        if self.level is not None:
            # As a constant over the period, whose energy `dataset` must not divide by the window's.
            rest = mean[..., 0, 0] - np.asarray(self.level, dtype=np.float64)
            transforms[..., 0, 0] = rest * self.points * np.sqrt((window**2).sum())
        left = iter(planes)
        parts = [(k, j, list(islice(left, 1 if k == j else 2))) for k, j in self._pairs]

        def add(part: slice) -> None:
            for k, j, sums in parts[part]:
                for transform in transforms:
                    product = transform[k] * transform[j].conj()
                    for total, values in zip(sums, (product.real, product.imag), strict=False):
                        total += values

        over_batch(add, len(parts))
        return vector, None

    def dataset(self, sums: NDArray[np.float64]) -> xr.Dataset:
        """Return the mean of all pictures: `spectrum`, (P, P), in colour (3, 3, P, P) complex; see `estimate_spectrum`.

        The frequencies are those of ``fftfreq``.
        """
        planes = iter(self._planes(sums))
        channels, P, half_width = 3 if self.colour else 1, self.points, self.points // 2 + 1
        whole = np.empty((channels, channels, P, P), complex)
        for k, j in self._pairs:
            half = next(planes) + (0 if k == j else 1j * next(planes))
            whole[k, j, :, :half_width] = half
            left = P - half_width  # columns of the negative frequencies: conjugates of the mirrored ones
            whole[k, j, :, half_width:] = np.roll(half[::-1], 1, axis=0)[:, left:0:-1].conj()
            whole[j, k] = whole[k, j].conj()
        whole /= sums[0] * (self._window**2).sum()
        if self.colour:
            return xr.Dataset({"spectrum": (("channel", "other_channel", "omega_y", "omega_x"), whole)})
        return xr.Dataset({"spectrum": (("omega_y", "omega_x"), whole[0, 0].real)})

    @property
    def _pairs(self) -> list[tuple[int, int]]:
        """Pairs of channels whose products are added up: the others are conjugates of these."""
        return [(k, j) for k in range(3) for j in range(k, 3)] if self.colour else [(0, 0)]

    @property
    def _window(self) -> NDArray[np.float64]:
        # Hann's window, whose first and last value are zero
        edge = 0.5 - 0.5 * np.cos(np.linspace(0, 2 * np.pi, self.size)) if self.size > 2 else np.ones(self.size)
        return np.outer(edge, edge)

    def _planes(self, vector: NDArray[np.float64]) -> NDArray[np.float64]:
        """Half planes of the products in a vector of sums, as a view."""
        return vector[1:].reshape(-1, self.points, self.points // 2 + 1)


def coarser(spectrum: ArrayLike, factor: int) -> NDArray[Any]:
    """Every factor-th frequency of a spectrum, each the mean of the square about it: a shorter period of the pictures.

    Parameters
    ----------
    spectrum : array_like, shape (..., P, P)
        Real, or the matrix of the channels.
    factor : int
        Odd, a divisor of P.

    Returns
    -------
    ndarray, shape (..., P / factor, P / factor)
        Zero frequency left out of the means, and 0.

    Raises
    ------
    TypeError
        If the factor is not an integer.
    ValueError
        If it is even or does not divide P.
    """
    fine = np.array(spectrum)
    if integer("factor", factor, 1) % 2 == 0 or fine.shape[-1] % factor:
        raise ValueError(f"factor is {factor}; expected an odd divisor of {fine.shape[-1]} points")
    fine[..., 0, 0] = 0
    half, points = factor // 2, fine.shape[-1] // factor
    squares = np.roll(fine, (half, half), (-2, -1)).reshape(*fine.shape[:-2], points, factor, points, factor)
    coarse: NDArray[Any] = squares.mean(axis=(-3, -1))
    coarse[..., 0, 0] = 0
    return coarse


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
    return np.asarray(fft.ifft2(fft.fft2(noise) * np.sqrt(power)).real)


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


def mirrored(plane: NDArray[Any]) -> NDArray[Any]:
    """Values at the negative frequencies, planes (..., P, P) on the frequencies of fftfreq."""
    return np.roll(plane[..., ::-1, ::-1], (1, 1), (-2, -1))
