"""Maps in the code of a network between its modules: where they become smaller, and no known call explains it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor, nn

from analysis.networks.resolution import ENLARGE, FALL, NCHW, NHWC, Call, name_of

FROM_ARRAYS = ("as_tensor", "asarray", "tensor", "from_numpy")
"""Functions that bring maps from NumPy, whose results are no constants."""

Sides = tuple[int, int]
Fall = tuple[Sides, Tensor, tuple[int, int]]
"""Sides of maps before, the maps after, and their vertical and horizontal axis."""


class OwnCode:
    """Sides of maps from call to call in the code of a network, which no comparison of a module's two ends covers.

    That is the code of the network itself, and of its only part with parameters if it is a wrapper. Tensors there have
    the attribute `_sides`, those of the maps that they were made of.

    Parameters
    ----------
    model : Module
    x : Tensor, shape (N, channels, H, W)
        Its input.

    Attributes
    ----------
    scopes : list of str
        Modules whose code it is.
    """

    def __init__(self, model: nn.Module, x: Tensor) -> None:
        self.scopes = own_scopes(model)
        self._known = {id(tensor) for tensor in (*model.parameters(), *model.buffers())}
        self._batch = len(x)
        self.settle(x, NCHW)

    def settle(self, maps: Tensor, axes: tuple[int, int]) -> None:
        """Note the sides of maps that are explained."""
        maps._sides = maps.shape[axes[0]], maps.shape[axes[1]]  # type: ignore[attr-defined]
        self._last = maps

    def meet(self, items: Iterable[Any]) -> Iterator[Fall]:
        """Falls to maps among arguments that no function of torch has made, as from NumPy.

        They take the total stride of the last maps that are known.
        """
        for item in items:
            if not isinstance(item, Tensor) or item.ndim != 4 or hasattr(item, "_total_stride"):
                continue
            if id(item) in self._known or hasattr(item, "_constant") or len(item) != self._batch:
                continue
            item._total_stride = getattr(self._last, "_total_stride", (1.0, 1.0))  # type: ignore[attr-defined]
            fall = self._fall(item, self._last._sides)  # type: ignore[attr-defined]
            if fall is not None:
                yield fall

    def follow(self, function: Any, items: Iterable[Any], maps: Tensor, call: Call | None) -> Fall | None:
        """Follow a function of torch; return the fall of the resolution in it if it is none that is known."""
        sides = [item._sides for item in items if hasattr(item, "_sides")]
        if not sides or (call is not None and not call.fault):
            return None
        if maps.ndim == 4 and (call is not None or name_of(function).startswith(ENLARGE)):
            self.settle(maps, NCHW if call is None else call.axes)
            return None
        maps._sides = max(sides)  # type: ignore[attr-defined]
        return self._fall(maps, max(sides))

    def _fall(self, maps: Tensor, before: Sides) -> Fall | None:
        """Fall of the resolution from maps of some sides, if these are maps and there is one."""
        if maps.ndim != 4 or maps.is_complex() or len(maps) != self._batch or not maps.numel():
            return None
        falls = {axes: [n / maps.shape[a] for n, a in zip(before, axes, strict=True)] for axes in (NCHW, NHWC)}
        axes = min(falls, key=lambda axes: max(falls[axes]) / min(falls[axes]))  # alike, vertically and horizontally
        if min(falls[axes]) < 1 / FALL or maps.shape[axes[0]] * maps.shape[axes[1]] == 1:
            return None  # no maps
        self.settle(maps, axes)
        return (before, maps, axes) if max(falls[axes]) >= FALL else None


def own_scopes(model: nn.Module) -> list[str]:
    """Names of a network and, as far as it is a wrapper, of the only child that has parameters."""
    names, inner = [""], model
    while not any(True for _ in inner.parameters(recurse=False)):
        children = [(name, child) for name, child in inner.named_children() if any(True for _ in child.parameters())]
        if len(children) != 1 or not any(True for _ in children[0][1].children()):
            break
        names.append(f"{names[-1]}.{children[0][0]}".lstrip("."))
        inner = children[0][1]
    return names
