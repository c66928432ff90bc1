"""Records of the calls that lose resolution, as a watch meets them, with what positions tell of each."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

from torch import Tensor, nn

from analysis.networks import grids
from analysis.networks.grids import NOWHERE, Cells, Spacing, fall, measured
from analysis.networks.positions import PositionTracker
from analysis.networks.resolution import FALL, FALL_OF_RESIZING, NCHW, Call, Sides
from analysis.networks.watch import Event, Key, Watch


@dataclass
class FoundPlace:
    """Record of a call that loses resolution; those of one group are one place."""

    facts: dict[str, Any]
    group: int
    event: Event | None


class Records(Watch):
    """Watch that keeps the calls that lose resolution; which they are, the classes made of it tell.

    Parameters
    ----------
    model : Module
    x : Tensor, shape (N, channels, H, W)
        Its input.

    Attributes
    ----------
    found : list of FoundPlace
    positions : PositionTracker
    """

    def __init__(self, model: nn.Module, x: Tensor) -> None:
        super().__init__(model)
        self.found: list[FoundPlace] = []
        self.positions = PositionTracker(x, model.parameters())
        self._numbers = count()
        self._sliced: tuple[Tensor, str, int] | None = None

    def noted(self, total: Spacing, functions: frozenset[str]) -> list[FoundPlace]:
        """Calls of some functions that were recorded with a total stride."""
        return [one for one in self.found if one.facts["total_stride"] == total and one.facts["function"] in functions]

    def _spacing(self, tensor: Tensor) -> Spacing:
        where = self.positions.finest(tensor)
        return NOWHERE if where is None else measured(where)[0]

    def _of_whole(self, maps: Tensor) -> bool:
        """Tell if maps are of more than a piece of the picture, or nothing is known."""
        where = self.positions.finest(maps)
        return where is None or all(self.positions.covered(where))

    def _note_fall(
        self, event: Event, function: str, output: Tensor, total: Spacing, stride: Spacing, alone: bool
    ) -> Spacing:
        """Record a fall of the resolution that only positions tell; what is not alone cannot be exchanged."""
        where = self.positions.finest(output)
        assert where is not None  # whose samples are apart
        found, counts, channels = grids.layout(where, self.positions.batch), measured(where)[1], output.shape[-1]
        if found is not None:
            channels = math.prod(n for axis, n in enumerate(found.shape) if axis not in found.axes)
        whole = replace(event, layout=found) if found is not None and alone else None
        size_in = tuple(round(n * s) for n, s in zip(counts, stride, strict=True))
        facts = {"size_in": size_in, "size_out": counts, "channels": channels, "function": function}
        return self._note(event.key, output, total, stride, whole, fault=whole is not None, **facts)

    def _note(
        self, key: Key, maps: Tensor, total: Spacing, stride: Spacing, event: Event | None, **facts: Any
    ) -> Spacing:
        """Record a place, of which the facts are told that are not as usual; return the total stride behind it."""
        whole = (total[0] * stride[0], total[1] * stride[1])
        usual = {"kind": "unknown", "kernel": None, "cost": 0, "fault": True, "dense": False, "function": key[1]}
        facts = usual | facts | {"stride": stride, "total_stride": whole, "module": key[0]}
        facts["understood"] = facts["kind"] != "unknown"
        self.found.append(FoundPlace(facts, next(self._numbers), event))
        set_total(maps, whole)
        return whole

    def _note_operator(self, key: Key, source: Tensor, output: Tensor) -> None:
        """Record an operator that chooses its grid, another one in each picture."""
        self.positions.mixed = None
        size_in, size_out = (source.shape[2], source.shape[3]), (output.shape[2], output.shape[3])
        stride = fall((size_in[0] / size_out[0], size_in[1] / size_out[1]), (1.0, 1.0))
        if stride is None:
            return
        facts = {"kind": type(self.model.get_submodule(key[0])).__name__, "size_in": size_in, "size_out": size_out}
        total = self._note(key, output, total_of(source), stride, Event(key), channels=output.shape[1], **facts)
        self.positions.lay(output, NCHW, total)

    def _note_cells(self, key: Key, maps: Tensor, total: Spacing, merged: Cells) -> Spacing:
        """Record that samples have become channels, which all have one position from now on."""
        rows, columns = (maps.shape[axis] for axis in merged.axes)
        down, right = merged.sides
        channel = 2 if merged.axes == NCHW else 4
        where = [field.mean(channel, keepdim=True).expand_as(field).clone() for field in self.positions.of(maps)]
        self.positions.put(maps, where)
        facts: dict[str, Any] = {"size_in": (rows * down, columns * right), "size_out": (rows, columns)}
        facts |= {"kind": "space to depth", "kernel": merged.sides, "channels": len(merged.order), "dense": True}
        return self._note(key, maps, total, (float(down), float(right)), Event(key, cells=merged), **facts)

    def _note_gathered(self, key: Key, source: Tensor, output: Tensor, total: Spacing) -> None:
        """Record a pooling of all tokens."""
        before, after = self.positions.finest(source), self._spacing(output)
        counts = (0, 0) if before is None else measured(before)[1]
        if after != NOWHERE or min(counts) < 2 or output.ndim < 2 or not self._of_whole(source):
            return
        facts = {"kind": "global pooling", "kernel": counts, "size_in": counts, "size_out": (1, 1), "fault": False}
        facts |= {"channels": output.shape[-1], "cost": source[0].numel() if len(source) else 0}
        self._note(key, output, total, (float(counts[0]), float(counts[1])), Event(key), **facts)

    def _note_line(self, key: Key, output: Tensor, total: Spacing, stride: Spacing) -> Spacing:
        """Record that weights have made fewer samples of whole rows, or columns; these are spread evenly then."""
        self.positions.mixed = None
        where = self.positions.finest(output)
        if where is None or max(stride) < FALL:
            return total[0] * stride[0], total[1] * stride[1]
        sides = measured(where)[1]
        facts = {"size_out": sides, "channels": output.shape[1], "fault": False}
        facts["size_in"] = (round(sides[0] * stride[0]), round(sides[1] * stride[1]))
        return self._note(key, output, total, stride, None, **facts)

    def _note_choice(self, key: Key, output: Tensor, total: Spacing) -> None:
        """Record that samples were chosen that are no grid, with the sides that a grid of as many would have."""
        where = self.positions.finest(output)
        found = None if where is None else grids.gaps(where, total)
        if found is None or found[1] < FALL_OF_RESIZING:
            return
        size_in, ratio = found[0], math.sqrt(found[1])
        facts = {"size_in": size_in, "channels": output.shape[-1], "fault": False}
        facts["size_out"] = (round(size_in[0] / ratio), round(size_in[1] / ratio))
        self._note(key, output, total, (ratio, ratio), None, **facts)

    def _note_call(self, key: Key, call: Call, total: Spacing) -> Spacing:
        """Record a known call."""
        names = ("kind", "channels", "cost", "fault", "function")
        facts: dict[str, Any] = {name: getattr(call, name) for name in names} | {"dense": call.dense is not None}
        event: Event | None = Event(key)
        where = self.positions.finest(call.output) if call.fault and not call.output.is_complex() else None
        mixed = call.fault and self._mixed(call.source)
        one_each = len(call.output) == self.positions.batch
        plain = one_each and (where is None or grids.plain(where, self.positions.batch, call.axes))
        if call.fault and (mixed or not plain):
            found = None if where is None or mixed else grids.layout(where, self.positions.batch)
            facts["fault"] = found is not None
            event = None if found is None else Event(key, layout=found)
        turned = where is not None and grids.turned(where, call.axes)

        def of_picture(pair: Any) -> Any:
            return pair[::-1] if turned and pair is not None else pair

        sizes = {"size_in": self._unpadded(call), "size_out": call.size_out, "kernel": call.kernel}
        facts |= {name: of_picture(pair) for name, pair in sizes.items()}
        down, right = of_picture(call.stride)
        total = self._note(key, call.output, total, (float(down), float(right)), event, **facts)
        if call.output.is_complex() and call.axes == NCHW:
            self.positions.lay(call.output, NCHW, total)  # its parts were worked on one by one
        if call.kind == "slicing":
            if self._sliced is not None and self._sliced[0] is call.source and self._sliced[1] == key[0]:
                self.found[-1].group = self._sliced[2]
            self._sliced = (call.source, key[0], self.found[-1].group)
            call.output._noted = self.found[-1]  # type: ignore[attr-defined]
        return total

    def _mixed(self, maps: Tensor) -> bool:
        """Tell if what went before has mixed the whole picture, so that no sample is from anywhere."""
        return bool(self.positions.of(maps)) and self._spacing(maps) == NOWHERE

    def _unpadded(self, call: Call) -> Sides:
        """Height and width of the maps that go in, without a border that the module itself has put round them."""
        frame = self.stack[-1] if self.stack else None
        if frame is None or frame.source is None or call.kernel is None or call.axes != NCHW:
            return call.size_in
        given = (frame.source.shape[2], frame.source.shape[3])
        padded = all(0 <= n - m <= 2 * k for n, m, k in zip(call.size_in, given, call.kernel, strict=True))
        return given if padded else call.size_in


def total_of(tensor: Tensor) -> Spacing:
    """Total stride of a tensor, as far as it was followed: pixels from one sample to the next."""
    total: Spacing = getattr(tensor, "_total_stride", (1.0, 1.0))
    return total


def set_total(tensor: Tensor, total: Spacing) -> None:
    """Note the total stride of a tensor."""
    tensor._total_stride = total  # type: ignore[attr-defined]
