"""The fused measurement on a torch device: RMax and CMod of all packet filters, reduced to sums block by block.

What :func:`analysis.packet_pool` gives for images and their shifts (theory.md 2 and 5.2), without any map kept.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from analysis.operators import valid_region
from wavelets._check import integer
from wavelets.nn import DualTreePackets2d


class Sums(NamedTuple):
    """Sums over the pixels of n images for F filters and S shifts; R is RMax, C is CMod, an index s a shifted image.

    Attributes
    ----------
    rmax_energy, cmod_energy, discrepancy : Tensor, shape (n, F), float64
        Sums of R**2, C**2 and (R - C)**2.
    rmax_change, cmod_change : Tensor, shape (n, F, S), float64
        Sums of (R_s - R)**2 and (C_s - C)**2.
    cells : int
        Pixels of a map of R or C.
    """

    rmax_energy: Tensor
    cmod_energy: Tensor
    discrepancy: Tensor
    rmax_change: Tensor
    cmod_change: Tensor
    cells: int


def packet_sums(module: DualTreePackets2d, base: Tensor, moved: Tensor, q: int = 1, block: int = 16) -> Sums:
    """Energies of RMax and CMod, their discrepancy, and the change of each under shifts.

    Parameters
    ----------
    module : DualTreePackets2d
        Its stride is m: use ``stride=2**(levels - 1)`` for the geometry of the poster.
    base : Tensor, shape (n, H, W), real
        Windows of images.
    moved : Tensor, shape (S, n, H, W), real
        The same windows shifted, S times.
    q : int
        Half-width of the pooling window.
    block : int
        Images whose maps are in memory at a time: three times the coefficients of so many images.

    Returns
    -------
    Sums
        On the device of the images, without gradients.

    Raises
    ------
    TypeError
        If `q` or `block` is not an integer, or an image not a real tensor.
    ValueError
        If the shapes do not fit, or an image is too small for one pooling window in the valid region.

    Notes
    -----
    Squares are taken in the precision of the images and added in float64.
    """
    integer("q", q, 0)
    integer("block", block, 1)
    if base.ndim != 3 or moved.ndim != 4 or moved.shape[1:] != base.shape:
        raise ValueError(
            f"base has shape {tuple(base.shape)} and moved {tuple(moved.shape)}; expected (n, H, W) and (S, n, H, W)"
        )
    first, counts = valid_region(module.transform, tuple(base.shape[-2:]))
    if min(counts) < 2 * q + 1:
        raise ValueError(
            f"the valid region has {counts[0]}x{counts[1]} positions; expected at least {2 * q + 1}x{2 * q + 1}, "
            f"one pooling window for q = {q}: the image is too small"
        )
    filters = module.signs.numel()
    energies = torch.zeros((3, len(base), filters), dtype=torch.float64, device=base.device)
    changes = torch.zeros((2, len(base), filters, len(moved)), dtype=torch.float64, device=base.device)
    for start in range(0, len(base), block):
        part = slice(start, start + block)
        r, c = _pooled(module, base[part], first, counts, q)
        for total, maps in zip(energies, (r, c, r - c), strict=True):
            total[part] = _energy(maps)
        for s, images in enumerate(moved):
            r_moved, c_moved = _pooled(module, images[part], first, counts, q)
            changes[0, part, :, s], changes[1, part, :, s] = _energy(r_moved - r), _energy(c_moved - c)
    cells = ((counts[0] - 2 * q - 1) // 2 + 1) * ((counts[1] - 2 * q - 1) // 2 + 1)
    return Sums(*energies, *changes, cells)


@torch.no_grad()
def _pooled(
    module: DualTreePackets2d, images: Tensor, first: int, counts: tuple[int, ...], q: int
) -> tuple[Tensor, Tensor]:
    """RMax and CMod, each (n, F, h, w), as :func:`analysis.packet_pool` defines them."""
    z = module(images)[..., first : first + counts[0], first : first + counts[1]]
    centres = z[..., q : counts[0] - q : 2, q : counts[1] - q : 2]
    return max_pool2d(z.real, 2 * q + 1, stride=2), centres.abs()


def _energy(maps: Tensor) -> Tensor:
    """Sum of the squares of maps (n, F, h, w), shape (n, F)."""
    return maps.square().sum(dim=(-2, -1), dtype=torch.float64)
