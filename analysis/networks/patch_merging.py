"""Patch merging by slices, as in Swin: found in graphs, and with an operator in place of its subsampling."""

from __future__ import annotations

import operator
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from analysis.networks.pooling import APS
from analysis.networks.pooling._border import extend
from analysis.networks.resolution import NCHW, NHWC

CONCATENATIONS = (torch.cat, torch.concat, torch.concatenate)

Sides = tuple[int, int]


class PatchMerging(nn.Module):
    """Slices of one map that begin at all positions of a patch, and are concatenated along the channels.

    Parameters
    ----------
    stride : (int, int)
    offsets : sequence of (int, int)
        First row and column of each slice.
    axes : (int, int)
        Vertical and horizontal axis.
    """

    def __init__(self, stride: Sides, offsets: Sequence[Sides], axes: Sides) -> None:
        super().__init__()
        self.stride, self.offsets, self.axes = stride, tuple(offsets), axes

    @property
    def channel_axis(self) -> int:
        """Axis along which slices are concatenated."""
        return 3 if self.axes == NHWC else 1

    def forward(self, x: Tensor) -> Tensor:
        """Merge maps of four axes."""
        rows, columns = self.stride
        slices = [(slice(i, None, rows), slice(j, None, columns)) for i, j in self.offsets]
        before = (slice(None),) * self.axes[0]
        return torch.cat([x[(*before, *both)] for both in slices], self.channel_axis)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"stride={self.stride}"


class PooledMerging(nn.Module):
    """Patches at every position, then a subsampling operator.

    Parameters
    ----------
    merging : PatchMerging
    pool : Module
        From (batch, channels, height, width), as many channels as a patch has.
    padding_mode : str
        How maps go on where a patch ends beyond them.

    Notes
    -----
    Adaptive polyphase sampling chooses by the map that is merged: of the patches all components have one norm.
    """

    def __init__(self, merging: PatchMerging, pool: nn.Module, padding_mode: str) -> None:
        super().__init__()
        self.merging, self.pool, self.padding_mode = merging, pool, padding_mode
        for aps in pool.modules():
            if isinstance(aps, APS):
                aps.share = len(merging.offsets)

    def forward(self, x: Tensor) -> Tensor:
        """Merge maps with the axes of the merging."""
        axis = self.merging.channel_axis
        x = x.movedim(axis, 1)
        height, width = x.shape[2:]
        wide = extend(x, tuple((0, s - 1) for s in self.merging.stride), self.padding_mode)
        patches = [wide[:, :, i : i + height, j : j + width] for i, j in self.merging.offsets]
        y: Tensor = self.pool(torch.cat(patches, 1))
        return y.movedim(1, axis)


def merges(graph: fx.Graph) -> Iterator[tuple[fx.Node, PatchMerging]]:
    """Concatenations of a graph that merge patches, of slices that nobody else takes, and what they do."""
    for node in graph.nodes:
        if node.op == "call_function" and node.target in CONCATENATIONS and node.args:
            found = _merging(node)
            if found is not None:
                yield node, found


def _merging(node: fx.Node) -> PatchMerging | None:
    parts: Any = node.args[0]
    if not isinstance(parts, (list, tuple)) or len(parts) < 2 or not all(_is_slice(part) for part in parts):
        return None
    read = [_steps(part.args[1]) for part in parts]
    if len({part.args[0] for part in parts}) > 1 or None in read or any(len(part.users) > 1 for part in parts):
        return None
    strides, offsets, axes = zip(*read, strict=True)
    stride, dim = strides[0], node.args[1] if len(node.args) > 1 else node.kwargs.get("dim", node.kwargs.get("axis", 0))
    positions = {(i, j) for i in range(stride[0]) for j in range(stride[1])}
    channels = (3, -1) if axes[0] == NHWC else (1, -3)
    if len({*strides}) > 1 or len({*axes}) > 1 or dim not in channels:
        return None
    complete = len(offsets) == len(positions) and {*offsets} == positions
    return PatchMerging(stride, offsets, axes[0]) if complete else None


def _is_slice(part: Any) -> bool:
    return isinstance(part, fx.Node) and part.op == "call_function" and part.target is operator.getitem


def _steps(index: Any) -> tuple[Sides, Sides, Sides] | None:
    """Steps, first samples and axes of slices along both spatial axes of four."""
    if not isinstance(index, tuple) or not all(isinstance(part, slice) or part is Ellipsis for part in index):
        return None
    whole = slice(None)
    if Ellipsis in index:
        at = index.index(Ellipsis)
        index = (*index[:at], *[whole] * (5 - len(index)), *index[at + 1 :])
    parts = [*index, *[whole] * (4 - len(index))]
    numbers = [v for part in parts for v in (part.start, part.step)]
    if len(parts) != 4 or any(v is not None and not isinstance(v, int) for v in numbers):
        return None
    axes = NHWC if (parts[1].step or 1) > 1 else NCHW
    rows, columns = (parts[axis] for axis in axes)
    rest = [part for axis, part in enumerate(parts) if axis not in axes]
    if any(part != whole for part in rest) or rows.stop is not None or columns.stop is not None:
        return None
    steps = (rows.step or 1, columns.step or 1)
    return (steps, (rows.start or 0, columns.start or 0), axes) if max(steps) > 1 else None
