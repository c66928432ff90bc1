"""Ideal low-pass filter before subsampling: nothing that would alias is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor

from analysis.networks.pooling import _border as border
from analysis.networks.pooling._border import PerAxis
from analysis.networks.pooling._filtering import StridedFilter
from analysis.networks.pooling.maximum import in_channels_last


class IdealPool(StridedFilter):
    r"""Ideal low-pass filter of the periodic map, then subsampling.

    Of an axis of N samples at stride s all frequencies :math:`2\pi k/N` with :math:`|k| < N/(2s)` are kept as they are,
    the others are zero; so is the Nyquist frequency of the output, at stride 2 where 4 divides N.

    Parameters
    ----------
    stride : int or one for each axis
    offset : float or one for each axis
        Position of the first output, in samples of the input; fractions are interpolated.
    dims : {1, 2}
        Spatial axes.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    Grabinski et al., "FrequencyLowCut pooling", ECCV 2022, who keep one of the two Nyquist bins; Michaeli et al.,
    "Alias-free convnets", CVPR 2023, who keep neither, as here: so the output is real and moves with the input by any
    fraction of a sample if the stride divides the size. The map goes around whatever the padding of the network is.

    Two matrix products, (N, ceil(N / s)) on each axis, in place of Fourier transforms: for all dtypes and devices.

    Examples
    --------
    >>> IdealPool(2, dims=1)(torch.tensor([[[1.0, 0, 1, 0, 1, 0, 1, 0]]]))
    tensor([[[0.5000, 0.5000, 0.5000, 0.5000]]])
    """

    shown = "stride offset"

    def __init__(self, stride: PerAxis = 2, offset: float | Sequence[float] = 0.0, dims: int = 2) -> None:
        super().__init__((1,) * border.checked_dims(dims), stride, "same", "circular", dims)
        offsets = tuple(offset) if isinstance(offset, Sequence) else (offset,) * dims
        if len(offsets) != dims or not all(isinstance(value, Real) and math.isfinite(value) for value in offsets):
            raise ValueError(f"offset is {offset!r}; expected a finite number or {dims} of them")
        self.offset = tuple(map(float, offsets))

    def _filtered(self, x: Tensor, stride: tuple[int, ...]) -> Tensor:
        x = border.checked_map(x, "IdealPool", self.dims)
        kernels = [
            ideal_matrix(n, self.stride[axis], stride[axis], self.offset[axis], x.device).to(x.dtype)
            for axis, n in enumerate(x.shape[2:])
        ]
        if in_channels_last(x):
            return filtered_last(x, *kernels)
        x = x @ kernels[-1]
        return x if self.dims == 1 else kernels[0].mT @ x


def filtered_last(x: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Planes in channels last, filtered in that order of memory by a matrix for each axis."""
    y = x.movedim(1, -1)
    y = torch.unflatten(rows.mT @ y.flatten(2), 2, y.shape[2:])
    filtered: Tensor = columns.mT @ y
    return filtered.movedim(-1, 1)


def ideal_matrix(n: int, cut: int, stride: int, offset: float = 0.0, device: torch.device | None = None) -> Tensor:
    """Ideal low-pass filter of a period and its subsampling as a matrix.

    Parameters
    ----------
    n : int
        Samples of the period.
    cut : int
        Frequencies below pi / cut are kept; with the cut 1, all of them.
    stride : int
        Of the outputs.
    offset : float
        Position of the first output.
    device : torch.device, optional

    Returns
    -------
    Tensor, shape (n, ceil(n / stride)), float64
        ``x @ matrix`` filters the last axis.
    """
    kept = 2 * ((n - 1) // (2 * cut)) + 1
    positions = torch.arange(n, dtype=torch.float64, device=device)[:, None]
    outputs = stride * torch.arange(-(-n // stride), dtype=torch.float64, device=device)
    angle = torch.pi * torch.remainder(positions - offset - outputs, n) / n
    there = angle == 0
    sine = torch.where(there, 1.0, torch.sin(angle))
    return torch.where(there, float(kept), torch.sin(kept * angle) / sine) / max(n, 1)
