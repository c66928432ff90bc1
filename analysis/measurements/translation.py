"""Translations of images by whole and by fractional pixels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from wavelets.checks import real_array

GUARD = 4  # pixels: where a mirrored border still shows through the interpolation of a fractional shift


def translate(x: ArrayLike, shift: Sequence[float], boundary: str = "periodic") -> NDArray[Any]:
    r"""Band-limited translation :math:`\mathcal T_uX[n] = x(n - u)`, x the Shannon interpolant of X.

    Parameters
    ----------
    x : array_like, shape (..., H, W), real
    shift : (float, float)
        u, vertical then horizontal, pixels; positive moves the content down and to the right.
    boundary : {"periodic", "symmetric"}
        How the image goes on outside: as its own period, or mirrored at its edges (half-sample), which spares an image
        that is not periodic the ringing of a jump.

    Returns
    -------
    ndarray, shape (..., H, W), float32 or float64

    Raises
    ------
    TypeError
        If `x` is not real.
    ValueError
        If `x` or `shift` is not finite, or the boundary unknown.

    Notes
    -----
    theory.md section 1: :math:`\widehat{\mathcal T_uX}(\omega) = e^{-i\langle\omega,u\rangle}\widehat X(\omega)`; on
    an even grid the Nyquist bin is multiplied by :math:`\cos\pi u`, so that the result is real.
    """
    x = np.array(real_array(x, "x", 2))
    shift = check_shift(shift)
    if not isinstance(boundary, str) or boundary not in ("periodic", "symmetric"):
        raise ValueError(f"unknown boundary {boundary!r}; expected 'periodic' or 'symmetric'")
    for axis, u in zip((-2, -1), shift, strict=True):
        if u == 0:
            continue
        n = x.shape[axis]
        if boundary == "symmetric":
            x = np.concatenate([x, np.flip(x, axis)], axis=axis)
        x = np.take(_translate_axis(x, u, axis), np.arange(n), axis=axis)
    return x


def windows(x: ArrayLike, shift: Sequence[float], margin: int) -> NDArray[Any]:
    """Window of a shifted image, made of true pixels where the shift is whole.

    Parameters
    ----------
    x : array_like, shape (..., H, W), real
    shift : (float, float)
        u, vertical then horizontal, pixels. Whole shifts crop; others move the mirrored image first.
    margin : int
        Pixels left out on each side, at least :func:`margin_for` of the shift.

    Returns
    -------
    ndarray, shape (..., H - 2 margin, W - 2 margin)
        ``x[margin - u_y + i, margin - u_x + j]``.

    Raises
    ------
    ValueError
        If the margin is too small for the shift or too large for the image.
    """
    x = real_array(x, "x", 2)
    dy, dx = shift = check_shift(shift)
    if margin < margin_for([shift]):
        raise ValueError(f"margin is {margin} pixels; expected at least {margin_for([shift])} for the shift {shift}")
    height, width = (n - 2 * margin for n in x.shape[-2:])
    if min(height, width) < 1:
        raise ValueError(f"a margin of {margin} pixels leaves nothing of an image of {x.shape[-2]}x{x.shape[-1]}")
    if not (dy.is_integer() and dx.is_integer()):
        x, dy, dx = translate(x, shift, "symmetric"), 0.0, 0.0
    top, left = margin - int(dy), margin - int(dx)
    return x[..., top : top + height, left : left + width]


def margin_for(shifts: Sequence[Sequence[float]]) -> int:
    """Pixels that a window must stay away from the border to allow these shifts."""
    checked = [check_shift(shift) for shift in shifts]
    reach = max((abs(u) for shift in checked for u in shift), default=0.0)
    whole = all(u.is_integer() for shift in checked for u in shift)
    return int(np.ceil(reach)) + (0 if whole else GUARD)


def check_shift(shift: Sequence[float]) -> tuple[float, float]:
    """Return a shift as two finite floats.

    Raises
    ------
    ValueError
        If it is anything else.
    """
    try:
        dy, dx = (float(u) for u in shift)
    except (TypeError, ValueError):
        raise ValueError(f"shift is {shift!r}; expected two numbers of pixels, vertical and horizontal") from None
    if not (np.isfinite(dy) and np.isfinite(dx)):
        raise ValueError(f"shift is {shift!r}; expected finite numbers of pixels")
    return dy, dx


def _translate_axis(x: NDArray[Any], u: float, axis: int) -> NDArray[Any]:
    n = x.shape[axis]
    u = np.fmod(u, n)  # exact, and the period of what is moved
    omega = 2 * np.pi * np.arange(n // 2 + 1) / n
    phase = np.exp(-1j * omega * u)
    shape = [1] * x.ndim
    shape[axis] = phase.size
    spectrum = fft.rfft(x, axis=axis)
    # On an even grid irfft takes the real part of the Nyquist bin, which makes its factor cos(pi u).
    with np.errstate(over="ignore", invalid="ignore"):
        spectrum = spectrum * phase.astype(spectrum.dtype).reshape(shape)
    moved = fft.irfft(spectrum, n=n, axis=axis)
    return np.asarray(moved)
