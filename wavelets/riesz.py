"""Monogenic signal of images: local amplitude, phase and orientation, by the Riesz transform."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import scipy
from numpy.typing import ArrayLike, NDArray

from wavelets.checks import real_images, refuse_overflow
from wavelets.hilbert import TIE, frequencies

Floats = NDArray[np.floating[Any]]


class Monogenic(NamedTuple):
    """Local features of images, each of shape (..., H, W).

    Attributes
    ----------
    amplitude : ndarray
        Zero or more, in the units of the image.
    phase : ndarray
        In [-pi, pi], rad: ``amplitude * cos(phase)`` is the image.
    orientation : ndarray
        In (-pi/2, pi/2], rad: the direction (sin, cos), vertical and horizontal, in which the phase grows.
    """

    amplitude: Floats
    phase: Floats
    orientation: Floats


def monogenic(x: ArrayLike) -> Monogenic:
    r"""Local amplitude, phase and orientation of images.

    Parameters
    ----------
    x : array_like, shape (..., H, W), real
        Images, each one period of an H x W grid. They should vary about zero: a mean is part of the amplitude.

    Returns
    -------
    Monogenic
        `amplitude`, `phase` and `orientation`, shape (..., H, W), float32 for float32 and float16 input and float64
        otherwise.

    Raises
    ------
    TypeError
        If `x` is not real and numeric.
    ValueError
        If `x` has fewer than two axes, no pixels, a value that is not finite or above a millionth
        of the largest number, or the colours last.

    See Also
    --------
    wavelets.analytic : keeps a half-plane of the frequencies, the same one everywhere.

    Notes
    -----
    M. Felsberg and G. Sommer, "The monogenic signal", IEEE Trans. Signal Processing 49(12), 2001. The Riesz transform
    :math:`R = (R_y, R_x)` has the spectra :math:`-i\,\omega_j/|\omega|\,\widehat X(\omega)`; with f the image, the
    amplitude is :math:`\sqrt{f^2 + |R|^2}`, the orientation the axis of R, and the phase the angle of f and the
    component of R along that axis. A plane wave :math:`A\cos\langle\omega,n\rangle` with :math:`\omega_x > 0`, or with
    :math:`\omega_y > 0` where :math:`\omega_x = 0`, has amplitude A, phase :math:`\langle\omega,n\rangle`, and the
    orientation of omega. Components +-pi of omega point both ways and count as 0. Where R vanishes, as on the crests
    of a wave, the orientation is rounding error; where it is zero, it is 0.

    Amplitudes of closed fringes are right but about their centre, where there is no one orientation; those of
    :func:`wavelets.analytic` are wrong wherever fringes run along the border of its half-plane.

    Examples
    --------
    >>> wave = 3 * np.cos(np.pi / 4 * np.arange(16)) * np.ones((16, 1))
    >>> amplitude, phase, orientation = monogenic(wave)
    >>> np.allclose(amplitude, 3), float(phase[0, 1] / np.pi), float(orientation[0, 1])
    (True, 0.25, 0.0)
    """
    x = real_images(x, "x")
    refuse_overflow(x, "x")
    omega_y, omega_x = frequencies(x.shape[-2])[:, None], frequencies(x.shape[-1])
    norm = np.hypot(omega_y, omega_x)
    # Both components are real: one inverse transform gives R_x as its real part and R_y as its imaginary part.
    multiplier = (omega_y - 1j * omega_x) / np.where(norm > 0, norm, 1)
    riesz = scipy.fft.ifft2(multiplier.astype(np.result_type(x, np.complex64)) * scipy.fft.fft2(x))
    r_x, r_y = riesz.real, riesz.imag
    r_x = np.where(np.abs(r_x) > TIE * np.abs(r_y), r_x, 0)  # rounding would tell up from down
    left = (r_x < 0) | ((r_x == 0) & (r_y < 0))
    along = np.where(left, -1, 1).astype(x.dtype) * np.hypot(r_y, r_x)
    orientation = np.arctan2(np.where(left, 0 - r_y, r_y), np.where(left, 0 - r_x, r_x))
    return Monogenic(np.hypot(x, along), np.arctan2(along, x), orientation)
