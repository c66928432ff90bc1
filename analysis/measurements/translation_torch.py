"""Translations of a network's maps, which can be undone exactly."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def translate_maps(maps: Tensor, shift: Sequence[float], axes: Sequence[int] = (-2, -1)) -> Tensor:
    r"""Circular, band-limited translation of maps, of which that by the opposite shift is the inverse.

    Parameters
    ----------
    maps : Tensor, real
    shift : (float, float)
        Samples along each of the axes; positive moves the content down and to the right.
    axes : (int, int)
        Vertical and horizontal axis.

    Returns
    -------
    Tensor
        Of the same shape and dtype. Whole shifts roll.

    Notes
    -----
    theory.md, section 10: the spectrum is multiplied by :math:`e^{-i\langle\omega,v\rangle}`; on an even side the
    Nyquist bin by :math:`(-1)^{\mathrm{round}(v)}`, so that :math:`\mathcal T_{-v}\mathcal T_v = 1`. With the factor
    :math:`\cos\pi v` of :func:`analysis.measurements.translation.translate` it would have no inverse at half a sample;
    where there is nothing in that bin, or v is whole, the two are equal.
    """
    for axis, v in zip(axes, shift, strict=True):
        if float(v).is_integer():
            maps = maps.roll(int(v), axis) if v else maps
        else:
            maps = _translated(maps, float(v), axis)
    return maps


def _translated(maps: Tensor, v: float, axis: int) -> Tensor:
    n = maps.shape[axis]
    precise = maps if maps.dtype in (torch.float32, torch.float64) else maps.float()
    spectrum = torch.fft.rfft(precise, dim=axis)
    omega = torch.arange(n // 2 + 1, dtype=torch.float64, device=maps.device) * (2 * torch.pi / n)
    phase = torch.polar(torch.ones_like(omega), -omega * v)
    if n % 2 == 0:
        phase[-1] = -1.0 if round(v) % 2 else 1.0
    shape = [1] * maps.ndim
    shape[axis] = len(phase)
    moved: Tensor = torch.fft.irfft(spectrum * phase.to(spectrum.dtype).view(shape), n=n, dim=axis)
    return moved.to(maps.dtype)
