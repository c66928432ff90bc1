r"""Kinds of convolution kernels: band-pass, blob, low-pass or dead, by their colour and spectrum (theory.md 3.6)."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavelets.checks import real_array
from wavelets.spectrum import power_spectrum

KINDS = ("band-pass", "blob", "low-pass", "dead")
DEAD = 1e-6
"""Kernels whose largest weight is below this part of the layer's largest one are dead: float32 rounds at 1e-7."""

COHERENT = 0.4
"""Least coherence of band-pass kernels; from 0.3 to 0.5 those of AlexNet go from 48 to 41."""

PASSES_ZERO = 0.5
"""Part of the spectrum's maximum from which on the half-power band reaches zero frequency."""

CHROMATIC = 0.5
"""Part of a colour's energy off the grey axis from which on a kernel is chromatic."""

POINTS = 64
"""Frequencies along each axis, at least."""


def first_colour(weight: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    r"""Best approximation of kernels by one plane times one colour.

    Parameters
    ----------
    weight : array_like, shape (L, C, h, w), real

    Returns
    -------
    plane : ndarray, shape (L, h, w), float64
        :math:`\widetilde V_l = \sum_k u_{lk} V_{lk}`.
    colour : ndarray, shape (L, C), float64
        u, of unit length: the first left singular vector of the C x hw matrix of a kernel, with a sum of at least 0.
        Of a kernel that is zero, the first unit vector.
    share : ndarray, shape (L,), float64
        Share of the energy that the approximation keeps: 1 under the monochrome assumption; NaN for a zero kernel.

    Raises
    ------
    TypeError, ValueError
        If the weights are not finite real kernels.

    Notes
    -----
    The monochrome assumption of theory.md 3.6, :math:`V_{lk} = \mu_{lk}\widetilde V_l`, by the singular value
    decomposition over channels. The sum over channels, which the assumption makes proportional to this plane, is noise
    for kernels of opponent colours (those of AlexNet have weights of about +1, 0, -1).
    """
    weight = kernels_of(weight).astype(np.float64)
    peak = np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
    matrices = (weight / np.where(peak > 0, peak, 1)).reshape(*weight.shape[:2], -1)
    left, values, _ = np.linalg.svd(matrices, full_matrices=False)
    colour = left[:, :, 0] * np.where(left[:, :, 0].sum(axis=1) < 0, -1, 1)[:, None]
    energy = (values**2).sum(axis=1)
    share = np.divide(values[:, 0] ** 2, energy, out=np.full(len(energy), np.nan), where=energy > 0)
    return np.einsum("lk,lkyx->lyx", colour, weight), colour, share


def dead_kernels(weight: ArrayLike) -> NDArray[np.bool_]:
    """Find kernels that are (nearly) zero everywhere, shape (L,)."""
    peak = np.abs(kernels_of(weight)).max(axis=(1, 2, 3))
    dead: NDArray[np.bool_] = peak <= DEAD * peak.max()
    return dead


def chroma(colour: NDArray[np.float64]) -> NDArray[np.float64]:
    """Part of the energy of colours (L, C) of unit length that is off the grey axis, shape (L,)."""
    grey: NDArray[np.float64] = colour.sum(axis=1) ** 2 / colour.shape[1]
    return 1 - grey


def spectrum_shape(plane: NDArray[np.float64]) -> tuple[float, float]:
    r"""Measures of the spectrum of a kernel in one plane that tell waves from blobs.

    Parameters
    ----------
    plane : ndarray, shape (h, w), float64
        Not zero everywhere.

    Returns
    -------
    coherence : float
        Agreement of the directions, :math:`|\sum|\widehat V|^2 e^{2i\arg\omega}|/\sum|\widehat V|^2`, 0 to 1.
    passes_zero : float
        :math:`|\widehat V|^2` at zero frequency, of its maximum.
    """
    energy = power_spectrum(plane / np.abs(plane).max(), max(POINTS, 2 * max(plane.shape)))
    omega = np.fft.fftfreq(len(energy))
    turn = np.exp(2j * np.arctan2(omega[:, None], omega))
    turn[0, 0] = 0
    return float(np.abs((energy * turn).sum()) / energy.sum()), float(energy[0, 0] / energy.max())


def classify(
    dead: NDArray[np.bool_],
    coherence: NDArray[np.float64],
    passes_zero: NDArray[np.float64],
    chroma: NDArray[np.float64],
) -> NDArray[np.str_]:
    """Classes of kernels by their measures, all of shape (L,); see `kernel_kinds`."""
    low = passes_zero >= PASSES_ZERO
    oriented = (coherence >= COHERENT) & ~low
    blob = (chroma >= CHROMATIC) | ~low
    return np.select([dead, oriented, blob], ["dead", "band-pass", "blob"], "low-pass")


def kernel_kinds(weight: ArrayLike) -> NDArray[np.str_]:
    r"""Classify the kernels of a layer.

    Parameters
    ----------
    weight : array_like, shape (L, C, h, w), real

    Returns
    -------
    ndarray, shape (L,), str
        Of `KINDS`: *dead* below `DEAD` of the layer's largest weight; *band-pass* (oriented) if the directions of the
        spectrum agree, that is with a coherence of at least 0.4, and zero frequency is outside of the half-power band;
        otherwise *blob* if its colour is chromatic or zero frequency outside of the band (dots, noise), else
        *low-pass*.

    Raises
    ------
    TypeError, ValueError
        If the weights are not finite real kernels.

    Notes
    -----
    Measures are those of the first colour: `spectrum_shape`, `chroma`. Only of band-pass kernels is the modulus what
    the maximum approaches (theory.md, sections 3.2 and 6.1).
    """
    plane, colour, _ = first_colour(weight)
    dead = dead_kernels(weight)
    shapes = np.full((len(dead), 2), np.nan)
    for index in np.flatnonzero(~dead):
        shapes[index] = spectrum_shape(plane[index])
    return classify(dead, shapes[:, 0], shapes[:, 1], chroma(colour))


def kernels_of(weight: ArrayLike) -> NDArray[np.float32 | np.float64]:
    """Check that weights are finite real kernels (L, C, h, w)."""
    weight = real_array(weight, "weight", 4)
    if weight.ndim != 4:
        raise ValueError(f"weight has shape {weight.shape}; expected (kernels, channels, height, width)")
    return weight
