"""Positions in the picture from which the elements of a network's tensors come, followed while the network runs.

Beside the storage of every tensor that descends from a picture lie the row and the column, in pixels of the picture, of
each of its elements. Views need nothing, other movements of data are done with the positions too, subsampled grids are
read off positions, and a contraction with weights, or a reduction, takes the mean along its axis. What is left of the
positions says how far apart the samples of a map are, whatever the layout: maps, tokens, windows, patches.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from analysis.networks.grids import NO_PIXEL, NOWHERE, Spacing, layout, measured, varies
from analysis.networks.resolution import FALL, NCHW, NHWC, Sides

MOVES = frozenset(
    "cat stack clone contiguous _to_copy index index_select gather take_along_dim take roll flip repeat where "
    "channel_shuffle index_put scatter slice_scatter select_scatter copy tril triu _unsafe_index rot90 "
    "repeat_interleave masked_scatter narrow_copy".split()
)
"""Operations that only choose elements and put them elsewhere."""

WRITES = frozenset("copy_ index_put_ _index_put_impl_ scatter_ index_copy_ masked_scatter_ set_".split())
CONTRACTIONS = frozenset(("mm", "addmm", "bmm", "baddbmm"))
MIDDLE = 0.3
"""Pixels from the picture's middle within which a single position may be that of a mean over all of it."""

SWEEP = 64
"""Storages after which those that are gone are forgotten."""


class PositionTracker(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Mode in which positions are followed through every operation of torch.

    Parameters
    ----------
    x : Tensor, shape (N, channels, H, W)
        Pictures.
    weights : iterable of Tensor
        What is trained. A product with another matrix is taken for a filter, which spreads its samples evenly.

    Attributes
    ----------
    attended : bool
        Whether two tensors with positions were multiplied, and one has kept its own; who looks sets it to False.
    lined : (float, float) or None
        By how much the samples were thinned, down and across, where weights made others of whole rows or columns; who
        looks sets it to None.
    mixed : (float, float) or None
        Spacing of what the last operation gave that mixes positions, or takes others; who looks sets it to None.
    skewed : bool
        Whether samples were taken at points that are no rows and columns; who looks sets it to False.
    """

    def __init__(self, x: Tensor, weights: Iterable[Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.batch, self.sides = len(x), x.shape[2:]
        self.attended = self.skewed = False
        self.mixed: Spacing | None = None
        self.lined: Spacing | None = None
        self._kept: dict[int, tuple[StorageWeakRef, int, list[Tensor]]] = {}
        self._weights: dict[int, StorageWeakRef] = {}
        self._learn(weights)
        self.lay(x, NCHW, (1.0, 1.0))

    def _learn(self, weights: Iterable[Tensor]) -> None:
        """Know what is trained by its storage, the number of which stays taken."""
        storages = [tensor.untyped_storage() for tensor in weights if tensor.layout is torch.strided]
        self._weights |= {one._cdata: StorageWeakRef(one) for one in storages}  # type: ignore[no-untyped-call]

    def lay(self, maps: Tensor, axes: Sides, spacing: Spacing) -> None:
        """Let maps be samples that lie so far apart from the first row and column on."""
        grid = []
        for axis, step in zip(axes, spacing, strict=True):
            shape = [1] * maps.ndim
            shape[axis] = -1
            where = torch.arange(maps.shape[axis], device=maps.device) * step + (step - 1) / 2
            grid.append(where.view(shape).expand(maps.shape))
        self.put(maps, [torch.stack(grid)])

    def of(self, tensor: Tensor) -> list[Tensor]:
        """Positions (2, ...) of the elements of a tensor, two if elements are from two places; none if not known."""
        if tensor.layout is not torch.strided:
            return []
        try:
            kept = self._kept.get(tensor.untyped_storage()._cdata)
        except RuntimeError:  # without a storage, as inside torch.vmap
            return []
        if kept is None or kept[1] != tensor.element_size():
            return []
        shape, strides = (2, *tensor.shape), tensor.stride()
        return [flat.as_strided(shape, (flat.stride(0), *strides), tensor.storage_offset()) for flat in kept[2]]

    def finest(self, tensor: Tensor) -> Tensor | None:
        """Positions of the elements of a tensor, the finest if there are two; None if not known."""
        return min(self.of(tensor), key=_area, default=None)

    def covered(self, where: Tensor) -> list[bool]:
        """Tell if positions are of more than a piece of the picture's height, and of its width, or none is known.

        More than half of it; or nearly half, if that is in the middle, as where convolutions without padding have lost
        the border; or one position there, as of a mean over the whole.
        """
        found = []
        for values, apart, count, side in zip(where, *measured(where), self.sides, strict=True):
            off, share = abs(float(values.nanmean()) - (side - 1) / 2), apart * count / side
            wide = share > 0.5 or (share > 0.4 and off < side / 8)
            found.append(wide if count > 1 else not count or off < MIDDLE)
        return found

    def put(self, tensor: Tensor, fields: Sequence[Tensor]) -> None:
        """Keep positions (2, ...), which are broadcast to the elements of a tensor."""
        if tensor.layout is not torch.strided:
            return
        storage, size = tensor.untyped_storage(), tensor.element_size()
        if len(self._kept) % SWEEP == 0:
            self._kept = {key: kept for key, kept in self._kept.items() if not kept[0].expired()}  # type: ignore[no-untyped-call]
        if len(self.of(tensor)) != len(fields):
            shape = (2, storage.nbytes() // size)
            flats = [torch.full(shape, torch.nan, device=tensor.device) for _ in fields]
            self._kept[storage._cdata] = (StorageWeakRef(storage), size, flats)  # type: ignore[no-untyped-call]
        for kept, new in zip(self.of(tensor), fields, strict=True):
            kept.copy_(new)

    def forget(self, tensor: Tensor) -> None:
        """Keep no positions of a tensor."""
        if self.of(tensor):
            self._kept.pop(tensor.untyped_storage()._cdata, None)

    def follow_sequence(self, x: Tensor, out: Tensor) -> None:
        """Let a recurrence have given each sample of a sequence (..., channels) its own, with other channels."""
        self.put(out, [field.nanmean(-1, keepdim=True) for field in self.of(x)])

    def assume(self, maps: Tensor, total: Spacing, before: Tensor) -> Spacing:
        """Let maps that come from nowhere that is known be as large a part of the picture as those before them.

        Returns their spacing, if those before have the total stride given; infinite if they are no maps.
        """
        where = self.finest(before)
        if where is None or maps.ndim not in (3, 4) or len(maps) != self.batch:
            return NOWHERE
        sides = measured(where)[1]
        if maps.ndim == 3:
            return self._assume_tokens(maps, total, sides)
        falls = {axes: [n / maps.shape[a] for n, a in zip(sides, axes, strict=True)] for axes in (NCHW, NHWC)}
        axes = min(falls, key=lambda axes: max(falls[axes]) / max(min(falls[axes]), 1e-9))
        if min(falls[axes]) < 1 / FALL or maps.shape[axes[0]] * maps.shape[axes[1]] == 1:
            return NOWHERE  # no maps
        spacing = (total[0] * falls[axes][0], total[1] * falls[axes][1])
        self.lay(maps, axes, spacing)
        return spacing

    def _assume_tokens(self, tokens: Tensor, total: Spacing, sides: Sides) -> Spacing:
        """The same of tokens (N, length, channels), if their number is that of a grid."""
        length = tokens.shape[1]
        ratio = math.sqrt(sides[0] * sides[1] / max(1, length))
        grid = (round(sides[0] / ratio), round(sides[1] / ratio))
        if length < 2 or grid[0] * grid[1] != length or ratio < 1 / FALL:
            return NOWHERE
        spacing = (total[0] * sides[0] / grid[0], total[1] * sides[1] / grid[1])
        rows = torch.arange(length, device=tokens.device)
        where = torch.stack((rows // grid[1] * spacing[0], rows % grid[1] * spacing[1]))
        self.put(tokens, [where[:, None, :, None].float()])
        return spacing

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        with torch._C.DisableTorchFunction():  # no other mode sees what is done here
            result = func(*args, **kwargs)
            given = [item for item in tree_leaves((args, kwargs)) if isinstance(item, Tensor)]
            if any(self.of(tensor) for tensor in given):
                with suppress(RuntimeError, TypeError, ValueError, LookupError):  # what came out is from nowhere then
                    self._follow(func, args, kwargs, given, result)
            elif any(self._trained(tensor) for tensor in given):
                self._learn(item for item in tree_leaves(result) if isinstance(item, Tensor))
        return result

    def _follow(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], given: list[Tensor], result: Any
    ) -> None:
        """Give results the positions that follow from those of the arguments."""
        storages = {t.untyped_storage()._cdata for t in given if t.layout is torch.strided}
        name = func._overloadpacket.__name__
        bound = {a.name: a.default_value for a in func._schema.arguments if a.has_default_value()}
        bound |= dict(zip((a.name for a in func._schema.arguments), args, strict=False)) | dict(kwargs)
        new = [t for t in tree_leaves(result) if isinstance(t, Tensor) and t.layout is torch.strided]
        for out in new:
            if out.untyped_storage()._cdata in storages:
                if func._schema.is_mutable:
                    self._write(name, func, args, kwargs, given, out)
                continue
            if name.startswith("_fft") or not (out.is_complex() or out.is_floating_point()):
                continue  # a spectrum, or numbers of elements
            axis = 1 + bound.get("dim", 0) % max(1, out.ndim) if name in ("topk", "sort") else 0
            if name == "topk":  # of which some are left, whichever they are
                fields = [_thinned(f.nanmean(axis, keepdim=True), self.covered(f)) for f in self.of(args[0])]
                self.mixed = measured(min(fields, key=_area))[0]
                fields = [field.expand(2, *out.shape) for field in fields]
            elif name == "sort":
                fields = [f.gather(axis, new[1].expand(2, *out.shape)) for f in self.of(args[0])]
            else:
                fields = self._fields(name, func, args, kwargs, bound, given, out)
            if fields:
                self.put(out, fields)

    def _write(
        self, name: str, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], given: list[Tensor], out: Tensor
    ) -> None:
        """Follow an operation that writes into a tensor."""
        sources = [field for tensor in given if tensor is not out for field in self.of(tensor)[:1]]
        if not sources:
            return
        if not self.of(out):
            base = out if out._base is None else out._base
            self.put(base, [torch.full((2, *base.shape), torch.nan, device=out.device)])
        if name in WRITES:
            self._moved(func, args, kwargs)
            return
        own = self.of(out)[0]
        for source in sources:
            if _broadcasts(source.shape[1:], out.shape):
                own.copy_(torch.where(own.isnan(), _of_rank(source, out.ndim), own))

    def _fields(
        self,
        name: str,
        func: Any,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        bound: dict[str, Any],
        given: list[Tensor],
        out: Tensor,
    ) -> list[Tensor]:
        """Positions of a result."""
        carriers = [tensor for tensor in given if self.of(tensor)]
        if name in CONTRACTIONS:
            return self._contracted(given[-2], given[-1], out)
        if name.startswith("_scaled_dot_product"):
            self.attended = True
            places = self.of(args[0]) or [torch.full((2, *out.shape), torch.nan, device=out.device)]  # learned queries
            return [field[..., :1] for field in places] if out.ndim == args[0].ndim else []
        if "keepdim" in bound:
            return self._reduced(carriers[0], bound, out)
        if name in MOVES and not isinstance(bound.get("value"), (int, float)):
            return [torch.stack(planes) for planes in self._moved(func, args, kwargs)]
        if "_pad" in name:
            pads = bound["pad"] if "pad" in bound else bound["padding"]
            return [functional.pad(field, pads, value=math.nan) for field in self.of(carriers[0])]
        if name == "im2col":
            down, right = bound["padding"]
            padded = [functional.pad(field, (right, right, down, down), value=math.nan) for field in self.of(args[0])]
            return [torch.stack([func(plane, *args[1:3], [0, 0], *args[4:]) for plane in field]) for field in padded]
        if name == "col2im":
            return [_folded(func, field, args[1:]) for field in self.of(carriers[0])]
        if "grid_sampler" in name and self.of(args[0]):
            return self._sampled(args[0], args[1], bool(bound.get("align_corners", True)), out)
        if name == "convolution" or (name.startswith(("max_pool", "avg_pool")) and carriers[0].ndim == out.ndim):
            return self._windows(bound, carriers[0], out)
        alike = [tensor for tensor in carriers if _broadcasts(tensor.shape, out.shape)]
        if alike and all(
            n == max(s) for n, *s in zip(out.shape, *(_full(t.shape, out.ndim) for t in alike), strict=True)
        ):
            return self._pointwise(alike, out)
        same = next((tensor for tensor in carriers if tensor.ndim == out.ndim), None)
        return self._resampled(same, out, any(map(self._trained, given))) if same is not None else []

    def _moved(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[list[Tensor]]:
        """Do the same with positions as with the elements: for each of the fields, rows and columns."""
        leaves = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        options = {key: value for key, value in kwargs.items() if key not in ("dtype", "memory_format")}

        def planes(number: int, axis: int) -> Tensor:
            def plane(item: Any) -> Any:
                if not isinstance(item, Tensor) or not (item.is_floating_point() or item.is_complex()):
                    return item
                fields = self.of(item)
                if not fields:
                    return torch.full(item.shape, torch.nan, device=item.device)
                return fields[min(number, len(fields) - 1)][axis]

            moved: Tensor = func(*tree_map(plane, tuple(args)), **tree_map(plane, options))
            return moved

        count = max(len(self.of(tensor)) for tensor in leaves)
        return [[planes(number, 0), planes(number, 1)] for number in range(count)]

    def _trained(self, tensor: Tensor) -> bool:
        """Tell if a tensor is a parameter, or made of some."""
        return tensor.untyped_storage()._cdata in self._weights

    def _contracted(self, a: Tensor, b: Tensor, out: Tensor) -> list[Tensor]:
        """Positions of a product of matrices (..., M, K) and (..., K, N): means over K, of either."""
        both = bool(self.of(a) and self.of(b))
        found: list[Tensor] = []
        still: list[Tensor] = []
        for operand, other, axis, length in ((a, b, -1, out.shape[-1]), (b, a, -2, out.shape[-2])):
            for field in self.of(operand):
                if not both and length == operand.shape[axis] and self._tokens(field, axis):
                    found.append(field)  # as many tokens go out as in: their places stay
                elif not both and not self._trained(other):
                    found.append(_taken(field, axis, length, operand.shape[axis] / length))  # as a filter's matrix
                else:
                    found.append(field.nanmean(axis, keepdim=True) if both else self._weighed(field, axis, length))
                    found[-1] = _thinned(found[-1])
                    still += found[-1:] if both and not varies(field, axis) else []
        self.attended |= bool(still)
        if not both:
            self.mixed = measured(min(found, key=_area))[0]
        return [field.expand(2, *out.shape) for field in (still[:2] or [min(found, key=_area)])]

    def _reduced(self, x: Tensor, bound: dict[str, Any], out: Tensor) -> list[Tensor]:
        """Positions after a mean, sum or maximum over some axes."""
        dims = bound.get("dim")
        dims = [dims] if isinstance(dims, int) else list(dims) if dims else range(x.ndim)
        axes = [1 + d % x.ndim for d in dims]
        keep = bool(bound["keepdim"])
        fields = [_thinned(field.nanmean(axes, keepdim=keep), self.covered(field)) for field in self.of(x)]
        if fields[0].shape[1:] != out.shape:
            return []
        self.mixed = measured(min(fields, key=_area))[0]
        return fields

    def _windows(self, bound: dict[str, Any], x: Tensor, out: Tensor) -> list[Tensor]:
        """Positions after a convolution or pooling: those of the windows' centres."""
        strides = bound["stride"] or bound["kernel_size"]
        strides = list(strides) * (x.ndim - 2 if len(strides) == 1 else 1)
        fields = []
        for field in self.of(x):
            if "weight" in bound:
                field = self._mixed_channels(field, bound["groups"], out.shape[1])
            for axis, stride in enumerate(strides, start=2):
                step = 1 / stride if bound.get("transposed") else stride
                field = _taken(field, axis + 1, out.shape[axis], step)
            fields.append(_thinned(field) if "weight" in bound else field)
        self.mixed = measured(min(fields, key=_area))[0]
        return fields

    def _sampled(self, x: Tensor, points: Tensor, aligned: bool, out: Tensor) -> list[Tensor]:
        """Positions of samples at points (N, rows, columns, 2): those there, or spread evenly if these are no grid."""
        outside = (points.abs() > 1).any(-1)[:, None]
        fields = []
        for field in self.of(x):
            planes = (functional.grid_sample(p, points.to(p), "bilinear", "border", aligned) for p in field)
            fields.append(torch.stack([plane.masked_fill(outside, torch.nan) for plane in planes]).round(decimals=3))
        self.skewed = not all(layout(field, self.batch) for field in fields)
        if self.skewed:
            return self._resampled(x, out, False)
        self.mixed = measured(min(fields, key=_area))[0]
        return fields

    def _mixed_channels(self, field: Tensor, groups: int, count: int) -> Tensor:
        """Positions (2, N, channels, ...) after a convolution with weights has mixed the channels of each group."""
        each = count // groups
        parts = field.reshape(*field.shape[:2], groups, -1, *field.shape[3:])
        if parts.shape[3] == each and self._tokens(parts, 3):
            return field  # tokens, of which as many come out: their places stay
        parts = self._weighed(parts, 3, each)
        return parts[:, :, 0] if groups == 1 else parts.expand(*parts.shape[:3], each, *parts.shape[4:]).flatten(2, 3)

    def _weighed(self, field: Tensor, axis: int, length: int) -> Tensor:
        """Positions after weights have mixed samples along an axis: their mean; but whole rows are spread evenly."""
        mean = field.nanmean(axis, keepdim=True)
        if length < 2 or not varies(field, axis):
            return mean
        n, (apart, counts) = field.shape[axis], measured(field)
        lost = [math.isfinite(near) and math.isinf(far) for near, far in zip(apart, measured(mean)[0], strict=True)]
        if sum(lost) != 1 or not all(map(math.isfinite, apart)) or n != counts[lost.index(True)]:
            return mean
        self.lined = (n / length if lost[0] else 1.0, n / length if lost[1] else 1.0)
        return _taken(field, axis, length, n / length)

    def _tokens(self, field: Tensor, axis: int) -> bool:
        """Tell if samples along an axis are tokens, each once, and not those of patches of a picture of one channel."""
        lines = field.movedim(axis, -1).flatten(1, -2)
        one = lines[:, 0]
        if one.shape[1] < 2 or not one.isfinite().all() or len(one.T.unique(dim=0)) < one.shape[1]:  # type: ignore[no-untyped-call]
            return False
        several = len(lines.transpose(0, 1).flatten(1).nan_to_num(NO_PIXEL).unique(dim=0))  # type: ignore[no-untyped-call]
        alone = lines.shape[1] == several * self.batch  # as no map of several channels
        return several == 1 or not alone or not all(varies(one[c : c + 1], 1) for c in (0, 1))

    def _resampled(self, x: Tensor, out: Tensor, mixed: bool) -> list[Tensor]:
        """Positions after what is known to keep the axes only: spread evenly, or mixed by weights."""
        fields = []
        for whole in self.of(x):
            field = whole
            for axis, (n, m) in enumerate(zip(x.shape, out.shape, strict=True)):
                if n != m:
                    mean = mixed or (axis == 1 and x.ndim > 2)
                    step = n / max(1, m)
                    field = field.nanmean(axis + 1, keepdim=True) if mean else _taken(field, axis + 1, m, step)
            fields.append(_thinned(field, self.covered(whole)).expand(2, *out.shape))
        self.mixed = measured(min(fields, key=_area))[0]
        return fields

    def _pointwise(self, alike: list[Tensor], out: Tensor) -> list[Tensor]:
        """Positions after what works on elements, or keeps the shape: the finest; elsewhere those of others."""
        each = [self.of(tensor) for tensor in alike]
        first = each[0]
        for other in each[1:]:
            same = other[0].shape == first[0].shape and torch.equal(other[0].nan_to_num(-1), first[0].nan_to_num(-1))
            if not same and min(map(_area, other)) < min(map(_area, first)):
                first = other
        fields = [_of_rank(field, out.ndim).expand(2, *out.shape) for field in first]
        if len(each) > 1 and fields[0].isnan().any():
            for other in each:
                fields = [torch.where(field.isnan(), _of_rank(other[0], out.ndim), field) for field in fields]
        return fields


def _area(field: Tensor) -> float:
    spacing = measured(field)[0]
    return spacing[0] * spacing[1]


def _thinned(field: Tensor, covered: Sequence[bool] = (True, True)) -> Tensor:
    """Positions without those rows or columns of which there is only one, where they were mixed over the picture."""
    alone = [whole and count < 2 for whole, count in zip(covered, measured(field)[1], strict=True)]
    single = torch.tensor(alone, device=field.device)
    return torch.where(single.view(2, *[1] * (field.ndim - 1)), torch.nan, field) if single.any() else field


def _broadcasts(shape: Sequence[int], to: Sequence[int]) -> bool:
    return len(shape) <= len(to) and all(n in (1, m) for n, m in zip(shape[::-1], to[::-1], strict=False))


def _full(shape: Sequence[int], ndim: int) -> tuple[int, ...]:
    return (*(1,) * (ndim - len(shape)), *shape)


def _of_rank(field: Tensor, ndim: int) -> Tensor:
    """Positions with as many axes, to be broadcast."""
    return field.reshape(2, *_full(field.shape[1:], ndim))


def _taken(field: Tensor, axis: int, count: int, step: float) -> Tensor:
    """Positions at so many points, one step apart and centred, along an axis."""
    axis, n = axis % field.ndim, field.shape[axis]
    if (n == count and step == 1) or n < 2:
        return field if n == count else field.expand(*field.shape[:axis], count, *field.shape[axis + 1 :])
    at = (n - 1 - step * (count - 1)) / 2 + step * torch.arange(count, device=field.device, dtype=torch.float32)
    low = at.floor().clamp(0, n - 2).long()
    left, right = field.index_select(axis, low), field.index_select(axis, low + 1)
    shape = [1] * field.ndim
    shape[axis] = count
    part = (at - low).view(shape)
    return torch.where(part == 0, left, torch.where(part == 1, right, left + part * (right - left)))


def _folded(func: Any, field: Tensor, rest: Sequence[Any]) -> Tensor:
    """Positions after patches were added up where they came from."""
    sums = [func(plane.nan_to_num(0), *rest) for plane in field]
    counts = func(field[0].isfinite().float(), *rest)
    folded: Tensor = torch.stack(sums) / counts.where(counts > 0, torch.nan)
    return folded
