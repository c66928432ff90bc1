"""Samples of maps in tensors of any form: how far apart they are, and along which axes, by their positions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from analysis.networks.resolution import FALL, NCHW, NHWC, Sides

PARTS = 8
"""Steps of a pixel in which positions are told apart."""

EDGE = 0.3
"""Share of cells that may be irregular, as borders can make them."""

NO_PIXEL = -(2.0**20)
NOWHERE = (math.inf, math.inf)
Spacing = tuple[float, float]


def measured(positions: Tensor) -> tuple[Spacing, Sides]:
    """Distance between neighbouring rows and columns, and how many there are.

    Parameters
    ----------
    positions : Tensor, shape (2, ...), float32
        Rows and columns, pixels; NaN for elements that are from nowhere.

    Returns
    -------
    spacing : (float, float)
        Medians, pixels; infinite if there are less than two.
    counts : (int, int)
    """
    spacings, counts = [], []
    for values in positions.flatten(1):
        steps = (values[values.isfinite()] * PARTS).round().long()
        if len(steps):
            present = (steps - steps.min()).bincount().nonzero().flatten()
            steps = present[torch.cat((present.new_ones(1) > 0, present.diff() > 1))]  # the next part is rounding
        spacings.append(float(steps.diff().median()) / PARTS if len(steps) > 1 else math.inf)
        counts.append(len(steps))
    return (spacings[0], spacings[1]), (counts[0], counts[1])


@dataclass(frozen=True, eq=False)
class Layout:
    """Place of the samples of maps in a tensor: along which axes, and in which order.

    Attributes
    ----------
    shape : tuple of int
        Of the tensor for one picture; the first axis can hold several parts of one, one after the other.
    axes : tuple of int
        Of that, along which positions change.
    order : Tensor of int64
        Elements along these axes, flattened, which are the samples row by row; others, such as class tokens, are left.
    grid : (int, int)
    batch : int
        Axis along which pictures follow each other; in `shape` it is the first.
    """

    shape: tuple[int, ...]
    axes: tuple[int, ...]
    order: Tensor
    grid: Sides
    batch: int

    def maps(self, tensor: Tensor, count: int) -> Tensor:
        """Maps (count, channels, height, width) of `count` pictures; ValueError if the tensor has another shape."""
        if tuple(tensor.movedim(self.batch, 0).shape) != (count * self.shape[0], *self.shape[1:]):
            raise ValueError(
                f"maps of {count} pictures have the shape {tuple(tensor.shape)}, those of one {self.shape}"
            )
        return self._flat(tensor, count)[..., self.order.to(tensor.device)].reshape(count, -1, *self.grid)

    def replaced(self, tensor: Tensor, maps: Tensor) -> Tensor:
        """Return the tensor with other maps (count, channels, height, width)."""
        count, rest = len(maps), [a for a in range(len(self.shape)) if a not in self.axes]
        flat = self._flat(tensor, count).clone()
        flat[..., self.order.to(tensor.device)] = maps.flatten(2)
        sizes = [self.shape[axis] for axis in (*rest, *self.axes)]
        back = [1 + (*rest, *self.axes).index(axis) for axis in range(len(self.shape))]
        return flat.reshape(count, *sizes).permute(0, *back).flatten(0, 1).movedim(0, self.batch)

    def _flat(self, tensor: Tensor, count: int) -> Tensor:
        rest = [axis for axis in range(len(self.shape)) if axis not in self.axes]
        parts = (
            tensor.movedim(self.batch, 0).reshape(count, *self.shape).permute(0, *(1 + a for a in (*rest, *self.axes)))
        )
        return parts.reshape(count, math.prod(self.shape[a] for a in rest), -1)


@dataclass(frozen=True, eq=False)
class Cells:
    """Maps whose channels hold the samples of cells, as after space to depth.

    Attributes
    ----------
    axes : (int, int)
        Vertical and horizontal axis.
    sides : (int, int)
        Of a cell.
    order : Tensor of int64
        Channels, sample by sample of a cell, row by row.
    """

    axes: Sides
    sides: Sides
    order: Tensor

    def dense(self, maps: Tensor) -> Tensor:
        """Maps before: as large as the cells together, with the same axes."""
        last = maps.movedim(1, 3) if self.axes == NCHW else maps
        n, rows, columns, _ = last.shape
        cells = last[..., self.order.to(maps.device)].reshape(n, rows, columns, *self.sides, -1)
        whole = cells.transpose(2, 3).reshape(n, rows * self.sides[0], columns * self.sides[1], -1)
        return whole.movedim(3, 1) if self.axes == NCHW else whole


def layout(where: Tensor, count: int) -> Layout | None:
    """Places of the samples of maps of some pictures, if they are a whole grid in each; `where` has shape (2, ...)."""
    where = where.nan_to_num(NO_PIXEL)
    candidates = [axis for axis, n in enumerate(where.shape[1:]) if axis and n == count]
    batch = 0 if repeats(where, count) else candidates[0] if len(candidates) == 1 else -1
    if batch < 0 or (batch and varies(where, 1 + batch)):
        return None
    where = where.movedim(1 + batch, 1)
    where = where[:, : where.shape[1] // count]
    axes = tuple(axis for axis in range(where.ndim - 1) if varies(where, axis + 1))
    if not batch and where.shape[1] > 1 and 0 not in axes:
        return None  # channels that follow each other picture by picture, or all pictures again and again
    index = (slice(None), *(slice(None) if axis in axes else 0 for axis in range(where.ndim - 1)))
    rows, columns = where[index].flatten(1)
    known = (rows != NO_PIXEL).nonzero().flatten()
    grid = measured(where[index].where(where[index] != NO_PIXEL, torch.nan))[1]
    if not len(known) or len(known) != grid[0] * grid[1]:
        return None
    order = known[columns[known].argsort(stable=True)]
    order = order[rows[order].argsort(stable=True)]
    lines = rows[order].view(grid), columns[order].view(grid).T
    if any(float((line - line[:, :1]).abs().max()) > 1 / PARTS or not _even(line[:, 0]) for line in lines):
        return None
    return Layout(tuple(where.shape[1:]), axes, order, grid, batch)


def fall(spacing: Spacing, total: Spacing) -> Spacing | None:
    """Stride from maps of some total stride to samples so far apart, if resolution falls; whole if it is nearly so."""
    ratios = [s / t if math.isfinite(s) else 1.0 for s, t in zip(spacing, total, strict=True)]
    if max(ratios) < FALL:
        return None
    down, right = (float(max(1, round(r))) if r < 1 or abs(r - round(r)) < 0.1 * r else r for r in ratios)
    return down, right


def enlarged(where: Tensor) -> tuple[Tensor, Spacing] | None:
    """Positions of maps whose rows or columns were repeated or set apart, spread evenly, and how many times there are.

    `where` has shape (2, N, ...), of four axes; None if neither is so.
    """
    axes = _axes(where)
    if axes is None:
        return None
    lines, times = [], []
    for coordinate, axis in enumerate(axes):
        line = where[coordinate].movedim(axis, 0).flatten(1).nanmean(1)
        index = line.isfinite().nonzero().flatten()
        steps, groups = (line[index] * PARTS).round().unique_consecutive(return_inverse=True)  # type: ignore[no-untyped-call]
        at = torch.stack([index[groups == number].float().mean() for number in range(len(steps))])
        gaps = at.diff()
        count = round(float(gaps.median())) if len(gaps) else 1
        if count > 1 and float((gaps - count).abs().max()) < 1:
            slope = (line[index[-1]] - line[index[0]]) / (at[-1] - at[0])
            line = line[index[0]] + slope * (torch.arange(len(line), device=line.device) - at[0])
        else:
            count = 1
        shape = [1] * (where.ndim - 1)
        shape[axis] = -1
        lines.append(line.view(shape).expand(where.shape[1:]))
        times.append(float(count))
    return None if times == [1, 1] else (torch.stack(lines), (times[0], times[1]))


def plain(where: Tensor, count: int, axes: Sides) -> bool:
    """Tell if maps are one of each picture after the other, and upright along two axes."""
    return repeats(where.nan_to_num(NO_PIXEL), count) and upright(where, axes)


def upright(where: Tensor, axes: Sides) -> bool:
    """Tell if rows go down along the first of two axes and columns right along the second, or nothing is known."""
    for field, axis, other in zip(where, axes, reversed(axes), strict=True):
        along, across = (
            field.diff(dim=a).nanmedian() if field.shape[a] > 1 else field.new_zeros(()) for a in (axis, other)
        )
        if along < 0 or (across != 0 and not across.isnan()):
            return False
    return True


def gaps(where: Tensor, spacing: Spacing) -> tuple[Sides, float] | None:
    """Sides of the smallest grid so far apart that holds some samples, and how many times more it has than these.

    None if the samples are of less than two rows or columns.
    """
    pairs = where.flatten(1)
    pairs = pairs[:, pairs.isfinite().all(0)]
    if not pairs.numel() or min(measured(pairs)[1]) < 2:
        return None
    spans = (pairs.amax(1) - pairs.amin(1)).tolist()
    sides = (round(spans[0] / spacing[0]) + 1, round(spans[1] / spacing[1]) + 1)
    count = len((pairs.T * PARTS).round().unique(dim=0))  # type: ignore[no-untyped-call]
    return sides, sides[0] * sides[1] / count


def mixed_patches(where: Tensor) -> Tensor | None:
    """Positions as if one of two axes were the channels of patches and mixed: the coarsest; `where` is (2, N, n, m)."""
    ways = [where.nanmean(axis, keepdim=True) for axis in (2, 3) if varies(where, axis)]
    ways = [way for way in ways if math.isfinite(max(measured(way)[0]))]
    coarse = max(ways, key=lambda way: math.prod(measured(way)[0]), default=None)
    return None if coarse is None else coarse.expand_as(where).clone()


def turned(where: Tensor, axes: Sides) -> bool:
    """Tell if rows go along the second of two axes, and columns along the first."""
    return varies(where[:1], 1 + axes[1]) and not varies(where[:1], 1 + axes[0])


def _axes(where: Tensor) -> Sides | None:
    """Axes along which rows and columns change, if each do along one of their own that is not that of pictures."""
    found = []
    for field in where:
        low, high = (
            field.where(field.isfinite(), torch.tensor(end, device=field.device)) for end in (math.inf, -math.inf)
        )
        found.append([a for a in range(field.ndim) if bool((high.amax(a) > low.amin(a)).any())])
    rows, columns = found
    if len(rows) != 1 or len(columns) != 1 or rows == columns or 0 in (*rows, *columns):
        return None
    return rows[0], columns[0]


def cells(where: Tensor, spacing: Spacing) -> Cells | None:
    """Cells in the channels of maps, if samples so far apart have become channels; `where` has shape (2, N, ...)."""
    for axes, channels in ((NCHW, 1), (NHWC, 3)):
        if not varies(where, channels + 1):
            continue
        coarse = where.nanmean(channels + 1, keepdim=True)
        if not all(
            varies(coarse[c : c + 1], a + 1) == (a == axes[c]) for c in (0, 1) for a in range(4) if a != channels
        ):
            continue
        apart = measured(coarse)[0]
        sides = [far / near for far, near in zip(apart, measured(where)[0], strict=True)]
        falls = max(far / known for far, known in zip(apart, spacing, strict=True)) >= FALL
        if not falls or not all(math.isfinite(s) and abs(s - round(s)) < 0.1 for s in sides):
            continue
        down, right = (round(s) for s in sides)
        offsets = (where - coarse).movedim(channels + 1, -1).flatten(1, -2)
        usual = offsets.nanmedian(1).values
        pairs = (usual * PARTS).round()
        sizes = pairs.unique(dim=1, return_counts=True)[1]  # type: ignore[no-untyped-call]
        if len(sizes) != down * right or len(set(sizes.tolist())) > 1:
            continue
        if ((offsets - usual[:, None]).abs() > 1 / PARTS).float().mean() > EDGE:
            continue
        order = pairs[1].argsort(stable=True)
        return Cells(axes, (down, right), order[pairs[0][order].argsort(stable=True)])
    return None


def varies(field: Tensor, axis: int) -> bool:
    """Tell if positions change along an axis."""
    return field.shape[axis] > 1 and bool((field.nan_to_num(NO_PIXEL).diff(dim=axis) != 0).any())


def repeats(field: Tensor, count: int) -> bool:
    """Tell if along the first axis so many parts are alike."""
    if field.ndim < 2 or not field.shape[1] or field.shape[1] % count:
        return False
    parts = field.reshape(2, count, -1)
    return bool((parts == parts[:, :1]).all())


def _even(line: Tensor) -> bool:
    """Tell if steps along a line are alike, but for what borders do."""
    steps = line.diff()
    return len(steps) < 2 or float((steps - steps.median()).abs().max()) < float(steps.median()) / 2
