"""Energy that aliases where a map is subsampled."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.networks.resolution import NHWC, Call

LARGE = 2**25
"""Samples of dense maps that are held at a time."""


def low_pass(side: int, stride: int) -> Tensor:
    """Mask of the frequencies of a real transform that are below the Nyquist frequency of a subsampled grid.

    Parameters
    ----------
    side : int
        Samples before the subsampling.
    stride : int

    Returns
    -------
    Tensor, shape (side // 2 + 1,), bool
        False at that Nyquist frequency itself; all True if the stride is 1.
    """
    if stride == 1:
        return torch.ones(side // 2 + 1, dtype=torch.bool)
    return 2 * stride * torch.arange(side // 2 + 1) < side


def low_passed(maps: Tensor, strides: Sequence[int]) -> Tensor:
    """Maps (..., H, W) after the ideal low-pass at the Nyquist frequencies of a subsampled grid."""
    for axis, stride in zip((-2, -1), strides, strict=True):
        n = maps.shape[axis]
        keep = low_pass(n, stride).to(maps.device)
        if not keep.all():
            spectrum = torch.fft.rfft(maps, dim=axis)
            spectrum *= keep[:, None] if axis == -2 else keep
            maps = torch.fft.irfft(spectrum, n=n, dim=axis)
    return maps


def aliased_energy(dense: Tensor, strides: Sequence[int], offset: Sequence[int] = (0, 0)) -> tuple[Tensor, Tensor]:
    r"""Energy of the samples that stems from above their Nyquist frequency, and their whole energy.

    Parameters
    ----------
    dense : Tensor, shape (N, C, H, W)
        Maps y at stride 1; of complex ones both parts are counted together.
    strides : (int, int)
        Of the subsampling S.
    offset : (int, int)
        First row and column that are kept.

    Returns
    -------
    aliased, whole : Tensor, shape (N, C), float64
        :math:`\|Sy-SLy\|^2` and :math:`\|Sy\|^2`, L the ideal low-pass of :func:`low_passed`.
    """
    if dense.is_complex():
        parts = [aliased_energy(part, strides, offset) for part in (dense.real, dense.imag)]
        return parts[0][0] + parts[1][0], parts[0][1] + parts[1][1]
    taken = (..., slice(offset[0], None, strides[0]), slice(offset[1], None, strides[1]))
    dense = dense.float() if dense.dtype not in (torch.float32, torch.float64) else dense
    samples = dense[taken]
    rest = samples - low_passed(dense, strides)[taken]
    return rest.double().square().sum((2, 3)), samples.double().square().sum((2, 3))


def aliased_of_call(call: Call) -> tuple[Tensor, Tensor] | None:
    """Both energies at a place, picture by picture where maps are large; None if its maps at stride 1 are not known.

    Of space to depth, which keeps every sample, all phases count together.
    """
    if call.dense is None or not all(float(s).is_integer() for s in call.stride):
        return None
    strides = (int(call.stride[0]), int(call.stride[1]))
    dense = call.dense()
    if call.axes == NHWC:
        dense = dense.movedim(3, 1)
    unit = (1, 1)
    parts = []
    step = max(1, LARGE // max(1, dense[:1].numel()))
    for part in torch.split(dense, step):
        if call.kind == "space to depth":
            y = part.float() if part.dtype == torch.float16 else part
            parts.append(aliased_energy(y - low_passed(y, strides), unit)[1:] + aliased_energy(y, unit)[1:])
        else:
            parts.append(aliased_energy(part, strides, call.offset))
    aliased, whole = (torch.cat(side) for side in zip(*parts, strict=True))
    return aliased, whole


def aliased_of_spectrum(sides: Sequence[int], strides: Sequence[int], exponent: float) -> float:
    r"""Expected share of aliased energy of a random field of power spectrum :math:`|\omega|^{-\text{exponent}}`.

    Parameters
    ----------
    sides : (int, int)
        Height and width before the subsampling.
    strides : (int, int)
    exponent : float
        0 is white noise. With any other exponent the mean is left out.

    Returns
    -------
    float
    """
    frequencies = [np.fft.fftfreq(n) for n in sides]
    squared = frequencies[0][:, None] ** 2 + frequencies[1][None] ** 2
    power: NDArray[np.float64] = np.ones_like(squared)
    if exponent:
        power = np.where(squared > 0, np.where(squared > 0, squared, 1.0) ** (-exponent / 2), 0.0)
    kept = [
        2 * s * np.abs(np.rint(f * n)) < n if s > 1 else np.ones(n, bool)
        for n, s, f in zip(sides, strides, frequencies, strict=True)
    ]
    return float(1 - power[np.ix_(*kept)].sum() / power.sum()) if power.sum() else float("nan")
