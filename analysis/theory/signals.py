r"""Signals that meet the hypotheses of the theorems exactly: responses with a spectrum in a small square.

The theorems speak of an image only through the response :math:`Z = X\star W` of the filter, and every Z with a spectrum
in the square is one: take an impulse for X and Z itself for W. So the signals here are responses, on periodic grids of
N x N pixels, N a multiple of 2m. Sums over their few Fourier coefficients give all samples without rounding to a grid.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.theory.bounds import EDGE, check_band, check_support
from analysis.theory.phases import real_values
from wavelets.checks import integer

KINDS = ("gaussian", "pulse", "sparse", "two waves")


@dataclass(frozen=True, eq=False)
class BandLimited:
    r"""A batch of complex fields Z, the spectrum of each in a square of side kappa around theta.

    Attributes
    ----------
    stride : int
        Stride m of the convolution.
    size : int
        Period N of the grid along both axes, pixels, a multiple of 2m.
    theta : ndarray, shape (B, 2)
        Centres of the squares, rad/sample.
    kappa : ndarray, shape (B,)
        Their sides, at most :math:`\pi/m`, rad/sample.
    first : ndarray, shape (B, 2), int
        Lowest bin of each square: the frequency is :math:`2\pi/N` times it.
    spectrum : ndarray, shape (B, k, k), complex
        Fourier coefficients of the bins from `first` upwards; k is at most N / (2m), so that no two of them fall
        together when the field is sampled every 2m pixels.
    """

    stride: int
    size: int
    theta: NDArray[np.float64]
    kappa: NDArray[np.float64]
    first: NDArray[np.int64]
    spectrum: NDArray[np.complex128]

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Frequencies of the bins along each axis, shape (B, 2, k), rad/sample; not reduced to [-pi, pi)."""
        bins = self.first[..., None] + np.arange(self.spectrum.shape[-1])
        return bins * np.float64(2 * np.pi / self.size)

    @property
    def wraps(self) -> NDArray[np.bool_]:
        """True for squares that leave [-pi, pi), shape (B,)."""
        reach = np.abs(self.theta).max(axis=-1) + self.kappa / 2
        wraps: NDArray[np.bool_] = reach > np.pi * (1 + EDGE)
        return wraps

    def select(self, rows: slice | NDArray[np.int64]) -> BandLimited:
        """Return some fields of the batch."""
        theta, kappa, first = self.theta[rows], self.kappa[rows], self.first[rows]
        return replace(self, theta=theta, kappa=kappa, first=first, spectrum=self.spectrum[rows])

    def at(self, rows: ArrayLike, columns: ArrayLike) -> NDArray[np.complex128]:
        """Values at the points of a grid of rows and columns, pixels; shape (B, rows, columns)."""
        frequencies = self.frequencies
        if len(frequencies) > 1 and (self.first == self.first[0]).all():  # the search's: waves of one, for all
            frequencies = frequencies[:1]
        y, x = frequencies[:, 0, None, :], frequencies[:, 1, None, :]
        left = np.exp(1j * np.asarray(rows)[:, None] * y)
        right = np.exp(1j * np.asarray(columns)[:, None] * x)
        return left @ self.spectrum @ right.transpose(0, 2, 1)

    def field(self) -> NDArray[np.complex128]:
        """All pixels of a period, shape (B, N, N)."""
        pixels = np.arange(self.size)
        return self.at(pixels, pixels)

    def windows(self, q: int) -> NDArray[np.complex128]:
        """Samples in the pooling windows, Z[2 m n + m p]: shape (B, rows, columns), windows of 2 q + 1 side by side."""
        integer("q", q, 0)
        n, p = np.arange(self.size // (2 * self.stride)), np.arange(-q, q + 1)
        points = (self.stride * (2 * n[:, None] + p)).ravel()
        return self.at(points, points)

    def translated(self, shift: ArrayLike) -> BandLimited:
        r"""Translate every field by its shift: each bin by its own complex factor, that at :math:`-\pi` as well.

        Parameters
        ----------
        shift : array_like, shape (B, 2)
            u, vertical then horizontal, pixels.

        Returns
        -------
        BandLimited

        Raises
        ------
        TypeError, ValueError
            If a shift is not real, or not finite; if it is not whole along an axis where the square wraps through
            :math:`\pm\pi`.
        """
        shift = _rows(shift, "shift", len(self.theta))
        check_support(self.theta, self.kappa, shift, touching=True)
        return self.turned(shift)

    def turned(self, shift: NDArray[np.float64]) -> BandLimited:
        """Translate as `translated` does shifts that it allows, shape (B, 2)."""
        factors = np.exp(-1j * self.frequencies * shift[..., None])
        return replace(self, spectrum=factors[:, 0, :, None] * self.spectrum * factors[:, 1, None, :])


def band_limited(
    stride: int, size: int, theta: ArrayLike, kappa: ArrayLike, rng: np.random.Generator, kind: str = "gaussian"
) -> BandLimited:
    r"""Random fields with a spectrum in the half-open squares :math:`[\theta-\kappa/2, \theta+\kappa/2)^2`.

    Parameters
    ----------
    stride : int
        Stride m of the convolution.
    size : int
        Period N of the grid, pixels, a multiple of 2m.
    theta : array_like, shape (B, 2)
        Centres, rad/sample.
    kappa : array_like, shape (B,)
        Sides, rad/sample, at most :math:`\pi/m`.
    rng : numpy.random.Generator
    kind : {"gaussian", "pulse", "sparse", "two waves"}
        Independent circular normal coefficients (a circular Gaussian field); equal moduli in phase at one random point;
        at most four random coefficients; two equal waves in opposite corners.

    Returns
    -------
    BandLimited

    Raises
    ------
    TypeError
        If stride or size is not an integer, or a frequency not real.
    ValueError
        If a hypothesis is violated (the message names it), no frequency of the grid lies in a square, or the kind is
        unknown.
    """
    kappa = np.atleast_1d(check_band(kappa, stride))
    if kappa.ndim != 1:
        raise ValueError(f"kappa has shape {kappa.shape}; expected (B,)")
    _check_grid(stride, size)
    if kind not in KINDS:
        raise ValueError(f"unknown kind {kind!r}; expected one of {', '.join(KINDS)}")
    theta = _rows(theta, "theta", len(kappa))
    first = np.ceil((theta - kappa[:, None] / 2) * size / (2 * np.pi) - EDGE).astype(int)
    behind = np.ceil((theta + kappa[:, None] / 2) * size / (2 * np.pi) - EDGE).astype(int)
    counts = behind - first
    if (counts < 1).any():
        b = int((counts < 1).any(axis=1).argmax())
        raise ValueError(
            f"no frequency of a grid of {size} pixels lies in the square of side kappa = {kappa[b]:.6g} around theta = "
            f"({theta[b, 0]:.6g}, {theta[b, 1]:.6g}) rad/sample"
        )
    spectrum = np.zeros((kappa.size, *2 * (size // (2 * stride),)), dtype=complex)
    for b, (rows, columns) in enumerate(counts):
        spectrum[b, :rows, :columns] = _coefficients(rows, columns, kind, rng)
    return BandLimited(stride, size, theta, kappa, first, spectrum)


def on_bins(stride: int, size: int, first: ArrayLike, spectrum: ArrayLike) -> BandLimited:
    r"""Fields with given Fourier coefficients, in the smallest closed square that holds their bins.

    Parameters
    ----------
    stride : int
        Stride m of the convolution.
    size : int
        Period N of the grid, pixels, a multiple of 2m.
    first : array_like, shape (2,), int
        Lowest bin, vertical and horizontal.
    spectrum : array_like, shape (B, k, k), complex
        With k at most N / (2m): :math:`\kappa = 2\pi(k-1)/N`, below :math:`\pi/m`.

    Returns
    -------
    BandLimited

    Raises
    ------
    TypeError
        If a bin, the stride or the size is not an integer.
    ValueError
        If a shape or the size does not fit, or there are too many bins: the samples would alias.
    """
    _check_grid(stride, size)
    spectrum = np.asarray(spectrum, dtype=complex)
    if spectrum.ndim != 3 or spectrum.shape[1] != spectrum.shape[2] or spectrum.size == 0:
        raise ValueError(f"spectrum has shape {spectrum.shape}; expected (B, k, k)")
    if not np.isfinite(spectrum).all():
        raise ValueError("spectrum holds a coefficient that is not finite")
    k, most = spectrum.shape[-1], size // (2 * stride)
    if k > most:
        raise ValueError(
            f"{k} bins of a grid of {size} pixels alias when sampled every {2 * stride}; Lemma 0 allows {most} at most"
        )
    step, count = 2 * np.pi / size, len(spectrum)
    if np.asarray(first).dtype.kind not in "iu":
        raise TypeError(f"first is {first!r}; expected two integers, numbers of bins")
    first = _rows(first, "first", count).astype(int)
    theta = step * (first + (k - 1) / 2)
    return BandLimited(stride, size, theta, np.full(count, step * (k - 1)), first, spectrum)


def two_waves(stride: int, size: int, first: ArrayLike, bins: int) -> BandLimited:
    r"""Two equal waves in opposite corners of a square: the equality case of Theorem 1.

    Parameters
    ----------
    stride, size, first
        As in `on_bins`.
    bins : int
        Bins along each side, 2 to N / (2m): the side is :math:`\kappa = 2\pi(\text{bins}-1)/N`.

    Returns
    -------
    BandLimited
        One field. Along a shift u with two components of one sign, the ratio of the two sides of Theorem 1 is 1 as long
        as no sample lies between the zeros of the envelope and of its shifted copy.

    Raises
    ------
    TypeError, ValueError
        If `bins` is not an integer of that range.
    """
    _check_grid(stride, size)
    if size < 4 * stride:
        raise ValueError(f"size is {size} pixels; expected at least 4 m = {4 * stride}, for two bins that do not alias")
    integer("bins", bins, 2, size // (2 * stride))
    spectrum = np.zeros((1, bins, bins), dtype=complex)
    spectrum[0, 0, 0] = spectrum[0, -1, -1] = 1
    return on_bins(stride, size, first, spectrum)


def _check_grid(stride: int, size: int) -> None:
    integer("stride", stride, 1)
    integer("size", size, 2 * stride)
    if size % (2 * stride):
        raise ValueError(
            f"size is {size} pixels; expected a multiple of 2 m = {2 * stride}, so that sampling is periodic"
        )


def _rows(values: ArrayLike, name: str, count: int) -> NDArray[np.float64]:
    """One pair of numbers for each field."""
    values = real_values(values, name)
    if values.shape not in ((2,), (1, 2), (count, 2)):
        raise ValueError(f"{name} has shape {values.shape}; expected (2,) or ({count}, 2)")
    return np.broadcast_to(values, (count, 2))


def _coefficients(rows: int, columns: int, kind: str, rng: np.random.Generator) -> NDArray[np.complex128]:
    c = np.zeros((rows, columns), dtype=complex)
    if kind == "gaussian":
        c[:] = rng.standard_normal((rows, columns, 2)).view(complex)[..., 0]
    elif kind == "pulse":
        y, x = (np.exp(2j * np.pi * rng.uniform() * np.arange(count)) for count in (rows, columns))
        c[:] = np.exp(2j * np.pi * rng.uniform()) * np.outer(y, x)
    elif kind == "sparse":
        for _ in range(rng.integers(2, 5)):
            c[rng.integers(rows), rng.integers(columns)] += rng.standard_normal() + 1j * rng.standard_normal()
    else:
        c[0, 0] += np.exp(2j * np.pi * rng.uniform())
        c[-1, -1] += np.exp(2j * np.pi * rng.uniform())
    return c
