"""The sums of the heatmap experiment for all packet filters at once, without keeping a map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analysis.measurements import packet_loop
from analysis.measurements.rmax_cmod import packet_pool, valid_region, window_counts
from analysis.measurements.shift_experiment import Sums, sums_of_maps
from wavelets import DualTreePackets2D, get_num_threads
from wavelets.engine.strips import strip_layout, workspace
from wavelets.engine.threads import over_batch


def packet_sums(
    transform: DualTreePackets2D, pictures: Sequence[NDArray[Any]], q: int = 1, pooling: bool = True
) -> Sums[NDArray[np.float64]]:
    """Measure RMax, CMod, their distance and their changes, for all dual-tree packet filters.

    Parameters
    ----------
    transform : DualTreePackets2D
        Its stride is m: use ``stride=2**(levels - 1)`` for the geometry of the poster.
    pictures : sequence of ndarray, shape (n, H, W), float32 or float64
        Windows of the same pictures: unshifted, then one for each of S shifts.
    q : int
        Half-width of the pooling window.
    pooling : bool
        False transforms only, and leaves all sums zero: for timings.

    Returns
    -------
    Sums
        Those of :func:`analysis.measurements.shift_experiment.sums_of_maps` on the maps of
        :func:`analysis.packet_pool`, up to rounding.
        Each thread needs a few megabytes, whatever the number of pictures; but pictures so wide that a packet node has
        more than 520 columns (2080 pixels for J = 3) are measured on their maps, one picture at a time.

    Raises
    ------
    ValueError
        If the valid region holds no pooling window.
    """
    x = np.stack(pictures)
    size = x.shape[-2], x.shape[-1]
    corner, counts = valid_region(transform, size)
    rows, columns = window_counts(counts, q)
    tables = transform.tables(size, "forward", x.dtype)
    plan_y, plan_x, channels, _ = tables
    cut = strip_layout(tables, x.dtype, get_num_threads())
    if cut.width % plan_x.sizes[-1]:  # a node of such wide pictures does not fit into one strip
        one_by_one = [
            sums_of_maps(lambda windows: packet_pool(transform, windows, q), list(x[:, n : n + 1]))
            for n in range(x.shape[1])
        ]
        energies = np.concatenate([sums.energies for sums in one_by_one], axis=1)
        changes = np.concatenate([sums.changes for sums in one_by_one], axis=1)
        return Sums(energies * pooling, changes * pooling, rows * columns)
    layout = cut.lines, cut.strips, cut.width, rows if pooling else 0
    sums = np.zeros((x.shape[1], channels.size * 2, packet_loop.CHANGES + 2 * (len(x) - 1)))

    def measure(part: slice) -> None:
        windows = np.ascontiguousarray(x[:, part])
        base = np.empty((channels.size * 2, 2, rows, columns), x.dtype)
        space = *workspace(tables, cut, x.dtype), base, np.empty((3, cut.width), x.dtype)
        packet_loop.add_packet_sums(plan_y, plan_x, channels, layout, corner, q, windows, *space, sums[part])

    over_batch(measure, x.shape[1])
    energies, changes = sums[..., : packet_loop.CHANGES], sums[..., packet_loop.CHANGES :]
    return Sums(np.moveaxis(energies, -1, 0), np.stack(np.split(changes, 2, axis=-1)), rows * columns)
