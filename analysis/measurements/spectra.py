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

from analysis.runs.feed import feed
from analysis.runs.totals import Total
from wavelets.checks import integer, real_array

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
    measurement = SpectrumMeasurement(size, points, colour, level)
    feed(images, [measurement], size, colour, "spectrum", progress, on_skip)
    return measurement.spectrum()


class SpectrumMeasurement:
    """Sums that give the mean power spectrum of pictures; parameters and errors are those of `estimate_spectrum`.

    Notes
    -----
    Pictures are real, so half of the frequencies say all.
    """

    def __init__(
        self,
        size: int = 224,
        points: int = POINTS,
        colour: bool = False,
        level: Sequence[float] | float | None = None,
    ) -> None:
        integer("size", size, 1)
        self._arguments = (size, points, colour, level)
        self.points = integer("points", points, size)
        self.level = None if level is None else np.asarray(level, dtype=np.float64)
        self.window = np.outer(hann(size, sym=True), hann(size, sym=True)) if size > 2 else np.ones((size, size))
        self.pairs = [(k, j) for k in range(3) for j in range(k, 3)] if colour else [(0, 0)]
        self.half = (points, points // 2 + 1)
        # how many pictures; of each pair of channels the real part, and of two different ones the imaginary part
        self.planes = sum(1 if k == j else 2 for k, j in self.pairs)
        self.length = 1 + self.planes * self.half[0] * self.half[1]
        self.total = Total(1 + self.planes * self.half[0] * self.half[1])

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as arguments, without the sums so far."""
        return SpectrumMeasurement, self._arguments

    def measure(self, pictures: NDArray[Any], names: Sequence[str] = ()) -> tuple[NDArray[np.float64], None]:
        """Add up the spectra of pictures (n, size, size), in colour (n, 3, size, size); flat ones count as well."""
        planes = np.zeros((self.planes, *self.half))
        for pixels in pictures:
            x = np.asarray(pixels, dtype=np.float64).reshape(-1, *pixels.shape[-2:])
            mean = (x * self.window).sum(axis=(-2, -1), keepdims=True) / self.window.sum()
            transform = fft.rfft2((x - mean) * self.window, (self.points, self.points))
            if self.level is not None:
                # As a constant over the period, whose energy `spectrum` must not divide by the window's.
                rest = mean[..., 0, 0] - self.level
                transform[..., 0, 0] = rest * self.points * np.sqrt((self.window**2).sum())
            plane = iter(planes)
            for k, j in self.pairs:
                product = transform[k] * transform[j].conj()
                next(plane)[:] += product.real
                if k != j:
                    next(plane)[:] += product.imag
        return np.concatenate([[len(pictures)], planes.ravel()]), None

    def spectrum(self) -> NDArray[Any]:
        """Return the mean of all pictures so far, as `estimate_spectrum` does."""
        count, values = self.total.value[0], self.total.value[1:]
        planes = iter(values.reshape(self.planes, *self.half))
        P = self.points
        whole = np.empty((3, 3, P, P) if len(self.pairs) > 1 else (1, 1, P, P), complex)
        for k, j in self.pairs:
            half = next(planes) + (0 if k == j else 1j * next(planes))
            whole[k, j, :, : self.half[1]] = half
            left = P - self.half[1]  # columns of the negative frequencies: conjugates of the mirrored ones
            whole[k, j, :, self.half[1] :] = np.roll(half[::-1], 1, axis=0)[:, left:0:-1].conj()
            whole[j, k] = whole[k, j].conj()
        whole /= count * (self.window**2).sum()
        return whole if len(self.pairs) > 1 else whole[0, 0].real


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
