"""Places of a network where resolution is lost: found by running it once, with names; and their outputs replaced."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from analysis.files.messages import first_line
from analysis.networks.finder import Finder
from analysis.networks.layer_access import evaluating, holds_others, refuse_integers
from analysis.networks.records import FoundPlace
from analysis.networks.resolution import Call, Sides, read_call
from analysis.networks.tape import Tape
from analysis.networks.watch import Event, Frame, Key, Watch, first_of, put_first

OnCall = Callable[[int, Call], Tensor | None]


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
        False for a global pooling; and where the samples that are left are not a whole grid in each picture: nothing
        can be exchanged there, and the next place has the blame for it.
    dense : bool
        Whether the maps at stride 1 are known.
    module, function : str
        Name of the innermost module, and of the function that was called in it.
    calls : tuple of int
        Numbers of the calls that are this place, among those of all places; none if nothing can be exchanged there.
    events : tuple of Event
        How each of them is found again.
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
    events: tuple[Event, ...] = field(default=(), repr=False, compare=False)

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
        Input of the network, of which the first picture is used.

    Returns
    -------
    list of Place
        In the order of execution. Convolutions that only lose their border are none. What is no known call is found by
        the positions of samples, see :mod:`analysis.networks.positions`: a product with weights, a mean or a choice
        that leaves samples farther apart than those before; and maps that come from elsewhere, as from NumPy, if they
        are smaller than those before.

    Raises
    ------
    TypeError, ValueError
        If the model is no module, the example no batch of maps, or the network fails on it, is quantized, or uses
        torch.vmap on maps.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model is {type(model).__name__}; expected a torch.nn.Module")
    if isinstance(model, torch.jit.ScriptModule):
        raise ValueError(f"model is a {type(model).__name__}, which shows no calls; expected the model it was made of")
    if not isinstance(example, Tensor) or example.ndim != 4:
        shape = tuple(example.shape) if isinstance(example, Tensor) else type(example).__name__
        raise ValueError(f"example is {shape}; expected a tensor of shape (N, channels, height, width)")
    refuse_integers(model)
    pair = torch.cat((example[:1], example[:1]))  # what is alike in both is no matter of positions
    watch = Finder(model, pair)
    try:
        with torch.no_grad(), evaluating(model), watch.watching():
            model(pair)
    except Exception as error:  # whatever the model's own code raises
        many = "two pictures at a time, though not on one," if _runs(model, example[:1]) else "an example"
        if _runs(model, pair):
            many = "an example, though only while its calls are watched,"
        raise ValueError(
            f"the network fails on {many} of shape {tuple(example.shape)}: {type(error).__name__}: {first_line(error)}"
        ) from error
    if watch.unseen is not None:
        module, function, _ = watch.unseen
        raise ValueError(
            f"the network runs {module or 'its own code'} ({function}) inside torch.vmap, of which no maps come out; "
            "places there are not found: expected whole batches"
        )
    return _named(watch.found, model)


def _runs(model: nn.Module, pictures: Tensor) -> bool:
    """Tell if a network runs on pictures that nobody watches, as those that were exported for one do on one."""
    try:
        with torch.no_grad(), evaluating(model):
            model(pictures)
    except Exception:  # whatever the model's own code raises
        return False
    return True


def intercept(
    model: nn.Module,
    x: Tensor,
    on_call: OnCall,
    *,
    circular: bool = False,
    found: Sequence[Place] | None = None,
    tape: Tape | None = None,
) -> Any:
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
    found : sequence of Place, optional
        Places to be replaced, as found on an example of that size; by default all, looked for on the first picture.
    tape : Tape, optional
        Recording of runs on this input, rewound to the first call for which `on_call` now returns something else.

    Returns
    -------
    object
        What the network returns.

    Raises
    ------
    ValueError
        If the network does not come by one of the places.
    """
    found = places(model, x[:1]) if found is None else found
    watch = _Use(model, on_call, found, circular, tape)
    with watch.watching():
        answer = model(x)
    for place in watch.left_out.values():
        raise ValueError(
            f"the network takes another way through its places than with the example: not through {place.name}"
        )
    return answer


class _Use(Watch):
    """Watch that lets what comes out of the calls of known places be replaced."""

    def __init__(
        self, model: nn.Module, on_call: OnCall, found: Sequence[Place], circular: bool, tape: Tape | None
    ) -> None:
        super().__init__(model, circular, tape)
        self.on_call = on_call
        self.left_out = {event.key: place for place in found for event in place.events}
        self._plan: dict[Key, list[tuple[int, Place, Event]]] = {}
        for place in found:
            for index, event in zip(place.calls, place.events, strict=True):
                self._plan.setdefault(event.key, []).append((index, place, event))

    def before(self, key: Key, args: Sequence[Any]) -> Sequence[Any]:
        """Replace maps among the arguments that are a place."""
        new = list(args)
        for index, place, event in self._plan.get(key, ()):
            if event.argument is not None:
                call = self._told(place, event, args[event.argument])
                new[event.argument] = self._replaced(index, key, call)
        return new

    def after(self, key: Key, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Any:
        """Replace what a function gave."""
        for index, place, event in self._plan.get(key, ()):
            output = first_of(result)
            if event.argument is None and output is not None:
                known = place.understood and event.cells is None
                call = read_call(func, args, kwargs, result) if known else None
                call = call or self._told(place, event, output)
                call.module, call.layout = place.module, event.layout
                result = put_first(result, self._replaced(index, key, call))
        return result

    def left(self, key: Key, frame: Frame, output: Tensor) -> Tensor | None:
        """Replace what a module gave."""
        for index, place, event in self._plan.get(key, ()):
            return self._replaced(index, key, self._told(place, event, output))
        return None

    def _replaced(self, index: int, key: Key, call: Call) -> Tensor:
        self.left_out.pop(key, None)
        with self.unwatched():
            new = self.tape.place(index, partial(self.on_call, index, call))
        return call.output if new is None else new

    def _told(self, place: Place, event: Event, output: Tensor) -> Call:
        """Call of a place that only positions have told."""
        call = Call(place.kind, output, output, place.stride, place.kernel, fault=place.fault)
        call.understood, call.layout = place.understood, event.layout
        call.module, call.function = place.module, place.function
        cells = event.cells
        if cells is not None:
            call.axes, call.dense = cells.axes, lambda: cells.dense(output)
        return call


def _named(found: Sequence[FoundPlace], model: nn.Module) -> list[Place]:
    """Places of the calls: slices of one map together, each with a name of its own."""
    groups: dict[int, list[FoundPlace]] = {}
    for one in found:
        groups.setdefault(one.group, []).append(one)
    modules = dict(model.named_modules())
    names: dict[str, int] = {}
    result, count = [], 0
    for group in groups.values():
        facts = dict(group[0].facts)
        name, function = facts["module"], facts["function"].strip("_")
        if function and holds_others(modules[name]):
            name = f"{name}/{function}" if name else function
        name = name or type(model).__name__
        names[name] = names.get(name, 0) + 1
        if names[name] > 1:
            name = f"{name} ({names[name]})"
        if len(group) > 1:
            facts |= {"kind": "patch merging", "channels": facts["channels"] * len(group)}
            facts["kernel"] = tuple(int(s) for s in facts["stride"])
        events = tuple(one.event for one in group if one.event is not None)
        calls = tuple(range(count, count + len(events)))
        count += len(events)
        result.append(Place(name=name, calls=calls, events=events, **facts))
    return result
