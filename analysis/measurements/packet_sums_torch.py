"""The fused measurement on a torch device: RMax and CMod of all packet filters, reduced to sums block by block.

The maps are those of :func:`analysis.packet_pool` for images and their shifts (theory.md 2 and 5.2); none is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import max_pool2d

from analysis.measurements.rmax_cmod import valid_region, window_counts
from analysis.measurements.shift_experiment import Operators, Sums
from wavelets import DualTreePackets2D
from wavelets.checks import integer
from wavelets.nn import DualTreePackets2d


def packet_sums_on(device: str, transform: DualTreePackets2D, q: int) -> Operators:
    """Operators of the packet experiment, computed by torch on a device.

    Raises
    ------
    ValueError
        If torch does not know the device, or has none of the kind.
    """
    try:
        module = DualTreePackets2d(transform.levels, transform.bank, transform.stride, transform.boundary).to(device)
        torch.zeros(1, device=device).cpu()  # there are devices that hold nothing
    except Exception as error:  # torch raises many kinds, assertions among them
        reason = str(error).partition("\n")[0]
        raise ValueError(f"torch cannot use the device {device!r}; expected one such as 'cuda': {reason}") from error
    return partial(_sums_of_arrays, device, module, q)


def _sums_of_arrays(
    device: str, module: DualTreePackets2d, q: int, pictures: Sequence[NDArray[Any]]
) -> Sums[NDArray[np.float64]]:
    base, *moved = (torch.from_numpy(np.ascontiguousarray(x)).to(device) for x in pictures)
    shifted = torch.stack(moved) if moved else base.new_empty((0, *base.shape))
    sums = torch_packet_sums(module, base, shifted, q)
    return Sums(sums.energies.cpu().numpy(), sums.changes.cpu().numpy(), sums.positions)


def torch_packet_sums(
    module: DualTreePackets2d, base: Tensor, moved: Tensor, q: int = 1, block: int = 16
) -> Sums[Tensor]:
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
        Of float64 tensors on the device of the images, without gradients.

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
    rows, columns = window_counts(counts, q)
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
    return Sums(energies, changes, rows * columns)


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
