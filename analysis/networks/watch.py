"""Runs of a network in which every call is looked at, with the module whose code it is in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from analysis.networks.grids import Cells, Layout
from analysis.networks.resolution import name_of, positional, with_circular_borders
from analysis.networks.tape import Made, Tape

OPAQUE = "analysis.networks.pooling.polyphase"
"""Home of operators that are one place, whatever they do inside."""

Key = tuple[str, str, int]


@dataclass(frozen=True, eq=False)
class Event:
    """A call that loses resolution, as it is found again in another run.

    Attributes
    ----------
    key : (str, str, int)
        Module, function (empty: the module's end), and which of the calls of that function there it is.
    argument : int or None
        Which argument the maps are, if they come from elsewhere.
    layout : Layout or None
    cells : Cells or None
    """

    key: Key
    argument: int | None = None
    layout: Layout | None = None
    cells: Cells | None = None


@dataclass
class Frame:
    """A module that is being run, the maps that it was given, and where its class is from."""

    name: str
    source: Tensor | None
    home: str = ""


class Watch(TorchFunctionMode):
    """Mode in which every call of torch's functions is looked at, with a stack of the modules that are being run.

    Parameters
    ----------
    model : Module
    circular : bool
        Let maps go on as their own period wherever the network pads them.
    tape : Tape, optional
        Recording from which calls at the beginning take their results.
    """

    def __init__(self, model: nn.Module, circular: bool = False, tape: Tape | None = None) -> None:
        super().__init__()
        self.model, self.circular = model, circular
        self.tape = Tape(0) if tape is None else tape
        self.stack: list[Frame] = []
        self.busy = False
        self._calls: Counter[tuple[str, str]] = Counter()

    def before(self, key: Key, args: Sequence[Any]) -> Sequence[Any]:
        """Look at the arguments of a call; return those to go on with."""
        return args

    def after(self, key: Key, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Any:
        """Look at the result of a call; return that to go on with."""
        raise NotImplementedError

    def written(self, args: Sequence[Any]) -> None:
        """Look at a tensor, the first of the arguments, into which another, the third, was written."""

    def left(self, key: Key, frame: Frame, output: Tensor) -> Tensor | None:
        """Look at what a module gave; return other maps to go on with."""
        raise NotImplementedError

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Context in which runs of the model are watched."""
        with ExitStack() as hooks, self:
            for name, module in self.model.named_modules():
                if isinstance(module, torch.jit.ScriptModule):
                    continue  # takes no such hooks; what it gives is met where it goes
                hooks.callback(module.register_forward_pre_hook(self._enter(name), with_kwargs=True).remove)
                hooks.callback(module.register_forward_hook(self._leave).remove)
            yield

    @contextmanager
    def unwatched(self) -> Iterator[None]:
        """Context in which what happens is no part of the network."""
        before, self.busy = self.busy, True
        try:
            yield
        finally:
            self.busy = before

    def hidden(self) -> bool:
        """Tell if what happens is inside an operator that is one place."""
        return any(frame.home == OPAQUE for frame in self.stack)

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self.busy:
            return func(*args, **kwargs)
        key = self._key(name_of(func))
        args, kwargs = positional(key[1], args, kwargs)
        args = self.before(key, args)
        (args, kwargs), result = self.tape.call(partial(self._made, func, args, kwargs))
        if key[1] == "__setitem__":
            self.written(args)
        if isinstance(result, torch.Size) or not isinstance(result, (Tensor, tuple, list)):
            return result
        return self.after(key, func, args, kwargs, result)

    def _made(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Made:
        """Arguments of a call, with the borders that were asked for, and its result."""
        given = with_circular_borders(func, args, kwargs) if self.circular else (args, kwargs)
        return given, func(*given[0], **given[1])

    def _key(self, function: str) -> Key:
        module = self.stack[-1].name if self.stack else ""
        self._calls[module, function] += 1
        return module, function, self._calls[module, function]

    def _enter(self, name: str) -> Callable[..., Any]:
        def hook(module: nn.Module, args: Any, kwargs: Any) -> Any:
            with self.unwatched():
                args = tuple(self.before(self._key(f"{name}()"), args))
                source = next((a for a in (*args, *kwargs.values()) if isinstance(a, Tensor) and a.ndim == 4), None)
            self.stack.append(Frame(name, source, type(module).__module__))
            return args, kwargs

        return hook

    def _leave(self, module: nn.Module, args: Any, result: Any) -> Any:
        frame = self.stack.pop()
        output = first_of(result)
        if output is None or self.hidden():
            return None
        self._calls[frame.name, ""] += 1
        with self.unwatched():
            new = self.left((frame.name, "", self._calls[frame.name, ""]), frame, output)
        return None if new is None else put_first(result, new)


def numeric(tensor: Tensor) -> bool:
    """Tell if a tensor can be maps: of real or complex numbers."""
    return tensor.is_floating_point() or tensor.is_complex()


def tensors(items: Iterable[Any]) -> Iterator[Tensor]:
    """Tensors among arguments, and in tuples and lists of them."""
    for item in items:
        if isinstance(item, Tensor):
            yield item
        elif isinstance(item, (tuple, list)):
            yield from (part for part in item if isinstance(part, Tensor))


def first_of(result: Any) -> Tensor | None:
    """Tensor that a call gave, the first if there are several."""
    first = result[0] if isinstance(result, (tuple, list)) and len(result) else result
    return first if isinstance(first, Tensor) else None


def put_first(result: Any, new: Tensor) -> Any:
    """Return a result with another first tensor."""
    if isinstance(result, Tensor):
        return new
    rest = (new, *result[1:])
    return type(result)(*rest) if hasattr(result, "_fields") else type(result)(rest)  # torch's named tuples take a list
