"""Which kernels of a convolution are band-pass, by where the energy of their complex versions lies."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analysis.networks.surgery import GRID, first_colours, hilbert_filters
from wavelets import characteristic_frequency
from wavelets.checks import integer, positive
from wavelets.spectrum import bandwidth

ENERGY = 0.7
"""Of a kernel's energy inside the square that must not hold zero frequency, unless told otherwise.

On the first layers of AlexNet (stride 4) and ResNet-18 (stride 2) this finds 38 of the 46 and 35 of the 36 kernels that
the analysis of first layers calls band-pass, and 0 and 2 others; 0.5 finds 44 and 36, and 5 and 16 others.
"""

DEAD = 1e-6
"""Kernels below this part of the largest weight are noise."""


def band_pass_channels(weight: Tensor, stride: int = 2, energy: float = ENERGY, grid: int = GRID) -> NDArray[np.bool_]:
    r"""Output channels whose kernels are band-pass, to which a complex modulus is suited.

    Parameters
    ----------
    weight : Tensor, shape (L, C, h, w), real
        Of a convolution.
    stride : int
        Stride m of the convolution: the characteristic frequency :math:`\theta` is the centre of the square of side
        :math:`\pi/m` that holds most energy.
    energy : float
        Fraction, 0 < energy <= 1: the larger, the fewer channels.
    grid : int
        As in :func:`analysis.networks.to_cmod`.

    Returns
    -------
    ndarray, shape (L,), bool
        Whether the smallest square about :math:`\theta` with that fraction of the energy of W = V + i H(V) leaves out
        zero frequency: its side is less than :math:`2\max(|\theta_y|, |\theta_x|)`. False for dead kernels.

    Raises
    ------
    TypeError, ValueError
        If `weight` has another shape, is complex or not finite; if another argument is out of its range.

    Notes
    -----
    Only of band-pass kernels is the modulus what the maximum approaches (theory.md, sections 3.2 and 6.1). V is the
    kernel's first colour, its first singular vector over channels; measures as in :mod:`wavelets.spectrum`. Kernels in
    one dimension have no square.
    """
    integer("stride", stride, 1)
    if weight.ndim != 4 or not weight.is_floating_point() or weight.is_meta:
        raise ValueError(
            f"weight has shape {tuple(weight.shape)} and dtype {weight.dtype} on {weight.device}; expected real "
            "kernels (L, C, h, w) in two dimensions, with values"
        )
    positive("energy", energy, 1)
    v = weight.detach().cpu().double().numpy()
    peaks = np.abs(v).max(axis=(1, 2, 3))
    if not np.isfinite(peaks).all():
        raise ValueError("weight holds values that are not finite")
    alive = peaks > DEAD * peaks.max()
    found = np.zeros(len(v), bool)
    if alive.any():
        colours = torch.from_numpy(first_colours(v[alive])[:, None])
        w = hilbert_filters(colours, grid)[0][:, 0]
        theta = characteristic_frequency(w, np.pi / stride)
        found[alive] = bandwidth(w, theta, energy) < 2 * np.abs(theta).max(axis=1)
    return found
