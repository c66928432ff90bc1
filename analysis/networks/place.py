"""Places of a network where resolution is lost: found by running it once, with names; and their outputs replaced."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from analysis.files.messages import first_line
from analysis.networks.layer_access import evaluating
from analysis.networks.own_code import FROM_ARRAYS, Fall, OwnCode, own_scopes
from analysis.networks.resolution import (
    ENLARGE,
    FALL,
    NCHW,
    NHWC,
    Call,
    name_of,
    patches_as_tokens,
    read_call,
    with_circular_borders,
)
from analysis.networks.tape import Made, Tape

OnCall = Callable[[int, Call], Tensor | None]
Sides = tuple[int, int]

OPAQUE = ("analysis.networks.pooling.polyphase",)
"""Modules of operators that are one place, whatever they do inside."""

_RESIZE = (*ENLARGE, "pad", "conv2d")


@dataclass(frozen=True)
class Place:
    """A place where resolution is lost.

    Attributes
    ----------
    name : str
        Of the module; with the function after a slash where the module has others inside, and with the number of the
        call where there are several.
    kind : str
        "convolution", "depthwise convolution", "patch embedding" (kernel = stride), "max pooling", "average pooling",
        "Lp pooling", "adaptive pooling", "fractional pooling", "interpolation", "slicing", "patch merging" (slices
        that are one map together), "space to depth", "global pooling", the name of an operator of this project, or
        "unknown".
    kernel : (int, int) or None
    stride : (float, float)
        Vertical and horizontal, from the maps that go in.
    total_stride : (float, float)
        From the input of the network.
    size_in, size_out : (int, int)
        Height and width of the maps.
    channels : int
        Channels that come out.
    cost : int
        Multiplications, or comparisons, of one picture.
    understood : bool
        False if it is known only that the resolution falls in that module.
    fault : bool
        False for a global pooling; and where the network's own code, between its modules, does what is not understood:
        nothing can be mended there, and the next place has the blame for it.
    dense : bool
        Whether the maps at stride 1 are known.
    module, function : str
        Name of the innermost module, and of the function that was called in it.
    calls : tuple of int
        Which of the calls that lose resolution, in the order of execution, are this place; none if it is between them.
    """

    name: str
    kind: str
    kernel: Sides | None
    stride: tuple[float, float]
    total_stride: tuple[float, float]
    size_in: Sides
    size_out: Sides
    channels: int
    cost: int
    understood: bool
    fault: bool
    dense: bool
    module: str
    function: str
    calls: tuple[int, ...]

    def __str__(self) -> str:
        """Return one line."""
        sides = f"from {_shown(self.size_in)} to {_shown(self.size_out)}"
        if not self.understood:
            return f"resolution falls {sides} in {self.name}, by code that is not understood"
        return f"{self.name}: {self.kind}, {sides}"


def _shown(sides: Sides) -> str:
    return str(sides[0]) if sides[0] == sides[1] else f"{sides[0]}×{sides[1]}"


def places(model: nn.Module, example: Tensor) -> list[Place]:
    """Find every place of a network where resolution is lost.

    Parameters
    ----------
    model : torch.nn.Module
        Any, also one that torch.fx cannot trace. It is run once in evaluation mode.
    example : Tensor, shape (N, channels, H, W)
        Input of the network.

    Returns
    -------
    list of Place
        In the order of execution. Convolutions that only lose their border are none. Where a module gives smaller maps
        than it is given, and no call inside explains it, the module is listed as not understood; and so is the network
        where maps in its own code are smaller than those before, as by `Tensor.unfold` or NumPy.

    Raises
    ------
    TypeError, ValueError
        If the model is no module, the example no batch of maps, or the network fails on it.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is {type(model).__name__}; expected a torch.nn.Module")
    if not isinstance(example, Tensor) or example.ndim != 4:
        shape = tuple(example.shape) if isinstance(example, Tensor) else type(example).__name__
        raise ValueError(f"example is {shape}; expected a tensor of shape (N, channels, height, width)")
    watch = _Watch(model, None)
    watch.note_input(example)
    try:
        with torch.no_grad(), evaluating(model), watch.watching():
            model(example)
    except Exception as error:  # whatever the model's own code raises
        raise ValueError(
            f"the network fails on an example of shape {tuple(example.shape)}: {type(error).__name__}: "
            f"{first_line(error)}"
        ) from error
    return _named(watch.found, model)


def intercept(model: nn.Module, x: Any, on_call: OnCall, *, circular: bool = False, tape: Tape | None = None) -> Any:
    """Run a network, and replace what comes out of the calls that lose resolution.

    Parameters
    ----------
    model : torch.nn.Module
    x : Tensor
    on_call : callable
        ``on_call(index, call)`` with the number of the call in the order of execution, as in :attr:`Place.calls`;
        returns the maps to go on with, or None for those that the call gave.
    circular : bool
        Let maps go on as their own period wherever the network pads them.
    tape : Tape, optional
        Recording of runs on this input, rewound to the first call for which `on_call` now returns something else.

    Returns
    -------
    object
        What the network returns.
    """
    watch = _Watch(model, on_call, circular, tape)
    watch.grids.add((x.shape[2], x.shape[3]))
    with watch.watching():
        return model(x)


@dataclass
class _Frame:
    """A module that is being run: what it was given, and how much smaller maps became in it by known calls."""

    name: str
    source: Tensor | None
    opaque: bool = False
    explained: list[float] = field(default_factory=lambda: [1.0, 1.0])


@dataclass
class _Found:
    """Record of a call that loses resolution; `index` is its number, None of a fall in the network's own code."""

    facts: dict[str, Any]
    group: int
    index: int | None


class _Watch(TorchFunctionMode):
    """Mode in which every call of torch's functions is looked at, with a stack of the modules that are being run."""

    def __init__(
        self, model: nn.Module, on_call: OnCall | None, circular: bool = False, tape: Tape | None = None
    ) -> None:
        super().__init__()
        self.model, self.on_call, self.circular = model, on_call, circular
        self.tape = Tape(0) if tape is None else tape
        self.stack: list[_Frame] = []
        self.found: list[_Found] = []
        self.grids: set[tuple[int, int]] = set()
        self.count = 0
        self.busy = False
        self._sliced: tuple[Tensor, str, int] | None = None
        self._own: OwnCode | None = None  # followed while places are looked for
        self._scopes = own_scopes(model)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Context in which runs of the model are watched."""
        with ExitStack() as hooks, self:
            for name, module in self.model.named_modules():
                hooks.callback(module.register_forward_pre_hook(self._enter(name), with_kwargs=True).remove)
                hooks.callback(module.register_forward_hook(self._leave).remove)
            yield

    def note_input(self, x: Tensor) -> None:
        """Begin to follow strides at the input."""
        x._total_stride = (1.0, 1.0)  # type: ignore[attr-defined]
        self._own = OwnCode(self.model, x)
        self.grids.add((x.shape[2], x.shape[3]))

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self._meet(args)
        bare = args[0].shape if self.circular and args and isinstance(args[0], Tensor) else None
        if self.busy:
            return func(*args, **kwargs)
        (args, kwargs), result = self.tape.call(partial(self._made, func, args, kwargs))
        if isinstance(result, torch.Size) or not isinstance(result, (Tensor, tuple, list)):
            return result
        if isinstance(result, Tensor) and result.ndim == 4 and name_of(func).startswith(_RESIZE):
            self.grids.add((result.shape[2], result.shape[3]))
        call = read_call(func, args, kwargs, result)
        tokens = patches_as_tokens(func, args, kwargs, result)
        if call is not None and bare is not None and call.axes == NCHW:
            call.bare = (bare[2], bare[3])
        if self.on_call is None:
            self._follow(func, args, kwargs, result, call)
        if tokens is not None and tokens[0] in self.grids and not any(frame.opaque for frame in self.stack):
            self._note_tokens(*tokens, result)
        if call is None or any(frame.opaque for frame in self.stack):
            return result
        if not self._loses(call):
            self._explain(call)
            return result
        new = self._take(call)
        if new is None:
            return result
        return (new, *result[1:]) if isinstance(result, tuple) else new

    def _made(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Made:
        """What a call is given, with the borders that were asked for, and what it gives."""
        given = with_circular_borders(func, args, kwargs) if self.circular else (args, kwargs)
        return given, func(*given[0], **given[1])

    def _loses(self, call: Call) -> bool:
        """Tell if a call loses resolution, and not only a border."""
        if max(call.stride) <= 1 or (call.bare or call.size_in) == call.size_out:
            return False
        if call.kind == "slicing" and min(call.stride) == 1 and call.size_in not in self.grids:
            return False  # along one axis of what may be no map
        if call.kind == "unknown" and call.size_in not in self.grids:
            return False  # no map
        if call.kind in ("interpolation", "adaptive pooling", "fractional pooling"):
            return max(call.stride) >= FALL
        return True

    def _explain(self, call: Call) -> None:
        before, after = call.size_in, call.size_out
        if call.axes == NCHW and call.output.ndim == 4:
            self.grids.add(after)
        self._explain_sides(before, after)

    def _explain_sides(self, before: Sides, after: Sides) -> None:
        for frame in self.stack:
            for axis in (0, 1):
                frame.explained[axis] *= max(1.0, before[axis] / max(1, after[axis]))

    def _take(self, call: Call) -> Tensor | None:
        """Number a call that loses resolution, and let the outputs be replaced."""
        if not call.module:
            call.module = self.stack[-1].name if self.stack else ""
        index = self.count
        self.count += 1
        group = index
        if call.kind == "slicing":
            if self._sliced is not None and self._sliced[0] is call.source and self._sliced[1] == call.module:
                group = self._sliced[2]
            self._sliced = (call.source, call.module, group)
        if call.fault and group == index:  # slices of one map are one step
            self._explain(call)
        self.grids.add(call.size_out)
        if self.on_call is not None:
            return self.tape.place(index, partial(self.on_call, index, call))
        total = getattr(call.source, "_total_stride", (1.0, 1.0))
        facts = {
            name: getattr(call, name)
            for name in (*("kind", "kernel", "size_in", "size_out", "channels", "cost", "understood", "fault"),)
        }
        facts |= {
            "size_in": self._unpadded(call),
            "stride": tuple(map(float, call.stride)),
            "total_stride": tuple(t * s for t, s in zip(total, call.whole or call.stride, strict=True)),
            "dense": call.dense is not None,
            "module": call.module,
            "function": call.function,
        }
        self.found.append(_Found(facts, group, index))
        return None

    def _in_own_code(self) -> OwnCode | None:
        """What follows maps in the network's own code, while that runs."""
        return (
            self._own
            if self._own and not self.busy and self.stack and self.stack[-1].name in self._own.scopes
            else None
        )

    def _meet(self, items: Iterable[Any]) -> None:
        """Look at arguments in the network's own code."""
        own = self._in_own_code()
        for fall in own.meet(items) if own is not None else ():
            self._note_fall(fall)

    def _alone(self) -> bool:
        """Tell if what a call gives is seen at the end of no module that could be a place for it."""
        name = self.stack[-1].name if self.stack else ""
        return name in self._scopes or isinstance(self.model.get_submodule(name), nn.Unfold)

    def _note_tokens(self, before: Sides, after: Sides, tokens: Tensor) -> None:
        """Follow patches that became a sequence, and record them if there are fewer than samples before."""
        alone = self._alone()
        if alone:
            tokens._explained = True  # type: ignore[attr-defined]
        if max(n / max(1, m) for n, m in zip(before, after, strict=True)) < FALL:
            return
        if alone:
            self._explain_sides(before, after)
            self.grids.add(after)
        if self.on_call is None:  # forgotten if the module turns out to be a place
            self._note(before, after, tokens, tokens.shape[1])
            tokens._sides = after  # type: ignore[attr-defined]

    def _note_fall(self, fall: Fall) -> None:
        """Record a fall of the resolution in the network's own code."""
        before, maps, axes = fall
        after = (maps.shape[axes[0]], maps.shape[axes[1]])
        self._note(before, after, maps, maps.shape[3 if axes == NHWC else 1])

    def _note(self, before: Sides, after: Sides, maps: Tensor, channels: int) -> None:
        """Record a fall of the resolution that no known call explains, and that takes no part in the blame."""
        stride = tuple(float(max(1, round(n / m))) for n, m in zip(before, after, strict=True))
        total = tuple(t * s for t, s in zip(getattr(maps, "_total_stride", (1.0, 1.0)), stride, strict=True))
        maps._total_stride = total  # type: ignore[attr-defined]
        self.grids.add(after)
        facts: dict[str, Any] = {"kind": "unknown", "kernel": None, "size_in": before, "size_out": after, "cost": 0}
        facts |= {"channels": channels, "understood": False, "fault": False, "dense": False}
        facts |= {"stride": stride, "total_stride": total, "module": self.stack[-1].name, "function": ""}
        self.found.append(_Found(facts, -1 - len(self.found), None))

    def _unpadded(self, call: Call) -> Sides:
        """Height and width of the maps that go in, without a border that the module itself has put round them."""
        frame = self.stack[-1] if self.stack and call.function else None
        if frame is None or frame.source is None or call.kernel is None or call.axes != NCHW:
            return call.size_in
        given = (frame.source.shape[2], frame.source.shape[3])
        padded = all(0 <= n - m <= 2 * k for n, m, k in zip(call.size_in, given, call.kernel, strict=True))
        return given if padded else call.size_in

    def _follow(
        self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any, call: Call | None
    ) -> None:
        """Give what comes out the largest total stride of what goes in, changed as the call changes it."""
        totals = [total for item in (*args, *kwargs.values()) for total in _totals(item)]
        if not totals and isinstance(result, Tensor) and name_of(func) not in FROM_ARRAYS:
            result._constant = True  # type: ignore[attr-defined]
        if not totals or (call is not None and not call.fault):
            return
        total = (max(t for t, _ in totals), max(t for _, t in totals))
        if call is not None and self._loses(call):
            total = (total[0] * call.stride[0], total[1] * call.stride[1])
        elif name_of(func).startswith(ENLARGE) and isinstance(result, Tensor) and args[0].ndim == result.ndim == 4:
            total = tuple(t * args[0].shape[a] / result.shape[a] for t, a in zip(total, NCHW, strict=True))
        for item in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(item, Tensor) and not isinstance(item, nn.Parameter):
                item._total_stride = total  # type: ignore[attr-defined]
        own = self._in_own_code()
        if own is not None and isinstance(result, Tensor):
            fall = own.follow(func, args, result, call)
            if fall is not None:
                self._note_fall(fall)

    def _enter(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> None:
            self._meet((*args, *kwargs.values()))
            source = next((a for a in (*args, *kwargs.values()) if isinstance(a, Tensor) and a.ndim == 4), None)
            self.stack.append(_Frame(name, source, type(module).__module__ in OPAQUE))

        return hook

    def _leave(self, module: nn.Module, args: Any, result: Any) -> Any:
        """Look at what a module gave: if its maps are smaller than known calls explain, the module is a place."""
        self.busy = True  # what follows is no part of the network
        try:
            return self._left(module, self.stack.pop(), result)
        finally:
            self.busy = False

    def _left(self, module: nn.Module, frame: _Frame, result: Any) -> Any:
        output = result[0] if isinstance(result, (tuple, list)) and result else result
        if self._own is not None and self.stack and isinstance(output, Tensor) and output.ndim == 4:
            nhwc = tuple(output.shape[1:3]) in self.grids and tuple(output.shape[2:]) not in self.grids
            self._own.settle(output, NHWC if nhwc else NCHW)
        if frame.source is None or not isinstance(output, Tensor) or any(f.opaque for f in self.stack):
            return None
        call = _unexplained(frame, output, self.grids)
        if self.on_call is None:
            self._inherit(frame.source, output, call)
        if call is None or (not self.stack and output.ndim != 4):  # of the whole network, tokens are an answer
            return None
        call.module = frame.name
        self.found = [found for found in self.found if found.index is not None or found.facts["module"] != frame.name]
        if frame.opaque:
            call.kind, call.understood = type(module).__name__, True
        new = self._take(call)
        if self.on_call is None:
            total = self.found[-1].facts["total_stride"]
            output._total_stride = total  # type: ignore[attr-defined]
        if new is None or output is result:
            return new
        return type(result)((new, *result[1:]))

    @staticmethod
    def _inherit(source: Tensor, output: Tensor, call: Call | None) -> None:
        """Follow strides through code in which no call was seen."""
        if not hasattr(output, "_total_stride") and hasattr(source, "_total_stride"):
            output._total_stride = source._total_stride  # type: ignore[attr-defined]


def _totals(item: Any) -> list[tuple[float, float]]:
    if isinstance(item, Tensor):
        total = getattr(item, "_total_stride", None)
        return [] if total is None else [total]
    if isinstance(item, (tuple, list)):
        return [total for part in item if isinstance(part, Tensor) for total in _totals(part)]
    return []


def _unexplained(frame: _Frame, output: Tensor, grids: set[tuple[int, int]]) -> Call | None:
    """Fall of the resolution in a module that the calls inside do not explain."""
    source = frame.source
    assert source is not None
    if output.ndim == 3 and len(output) == len(source):
        return _unexplained_tokens(frame, source, output)
    if output.ndim != 4 or output.shape[0] != source.shape[0] or output.is_complex():
        return None
    if sorted(source.shape) == sorted(output.shape):  # axes that change places
        return None
    falls = [n / max(1, m) for n, m in zip(source.shape, output.shape, strict=True)]
    axes = NHWC if falls[1] >= FALL and falls[2] >= FALL and falls[3] <= 1 else NCHW
    if (source.shape[axes[0]], source.shape[axes[1]]) not in grids:
        return None  # no maps
    left = [falls[axis] / known for axis, known in zip(axes, frame.explained, strict=True)]
    if max(left) < FALL or output.shape[axes[0]] * output.shape[axes[1]] == 1:
        return None
    if axes == NCHW and _moved(frame, source, output, grids):
        return None
    stride, whole = ([float(max(1, round(f))) for f in ratios] for ratios in (left, [falls[axis] for axis in axes]))
    return Call(
        "unknown", source, output, (stride[0], stride[1]), axes=axes, understood=False, whole=(whole[0], whole[1])
    )


def _moved(frame: _Frame, source: Tensor, output: Tensor, grids: set[tuple[int, int]]) -> bool:
    """Tell if the channels have become the last axis, and the maps are as large as known calls explain."""
    sides = (output.shape[1], output.shape[2])
    parts = zip(source.shape[2:], sides, frame.explained, strict=True)
    return sides in grids and all(n / m / known < FALL for n, m, known in parts)


def _unexplained_tokens(frame: _Frame, source: Tensor, output: Tensor) -> Call | None:
    """The same if a sequence of tokens (N, length, channels) comes out, with the shape of the grid that went in."""
    height, width = source.shape[2:]
    length = output.shape[1]
    ratio = math.sqrt(height * width / max(1, length))
    grid = (round(height / ratio), round(width / ratio))
    known = math.sqrt(frame.explained[0] * frame.explained[1])
    if hasattr(output, "_explained") or ratio / known < FALL or length < 2 or grid[0] * grid[1] != length:
        return None
    stride = ratio / known
    return Call("unknown", source, output, (stride, stride), understood=False, grid=grid, whole=(ratio, ratio))


def _named(found: Sequence[_Found], model: nn.Module) -> list[Place]:
    """Places of the calls: slices of one map together, each with a name of its own."""
    groups: dict[int, list[_Found]] = {}
    for one in found:
        groups.setdefault(one.group, []).append(one)
    modules = dict(model.named_modules())
    names: dict[str, int] = {}
    result = []
    for group in groups.values():
        facts = dict(group[0].facts)
        name, function = facts["module"], facts["function"].strip("_")
        if function and any(True for _ in modules[name].children()):
            name = f"{name}/{function}" if name else function
        name = name or type(model).__name__
        names[name] = names.get(name, 0) + 1
        if names[name] > 1:
            name = f"{name} ({names[name]})"
        if len(group) > 1:
            facts |= {"kind": "patch merging", "channels": facts["channels"] * len(group)}
            facts["kernel"] = tuple(int(s) for s in facts["stride"])
        calls = tuple(one.index for one in group if one.index is not None)
        result.append(Place(name=name, calls=calls, **facts))
    return result
