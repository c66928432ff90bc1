"""Calls of torch's functions that change the resolution of maps: which they are, and what they would be at stride 1.

Everything here works on one call, seen by a :class:`torch.overrides.TorchFunctionMode`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

NCHW, NHWC = (2, 3), (1, 2)
"""Vertical and horizontal axis of maps (N, channels, height, width) and (N, height, width, channels)."""

ENLARGE = ("interpolate", "conv_transpose2d", "pixel_shuffle", "upsample", "max_unpool2d")
"""Beginnings of the names of functions that can enlarge maps."""

FALL = 1.5
"""A side that is divided by less than this has lost its border, not its resolution."""

FALL_OF_RESIZING = 1.1
"""The same of functions that only ever resize."""

Dense = Callable[[], Tensor]
Sides = tuple[int, int]


@dataclass(eq=False)
class Call:
    """Call of a function, or of a module, that gives smaller maps than it was given.

    Attributes
    ----------
    kind : str
    source, output : Tensor
        Maps that go in and come out. In `output`, axes `axes` are the vertical and the horizontal one.
    axes : (int, int)
    stride : (float, float)
        Ratio of the sampling grids, vertical and horizontal.
    kernel : (int, int) or None
        Sides of the window.
    cost : int
        Multiplications, or comparisons, of one picture.
    dense : callable or None
        Returns the maps at stride 1, of which every `stride`-th sample from `offset` on is the output; None if no such
        maps are known.
    offset : (int, int)
    fault : bool
        False for a global pooling, after which there is no position left to be wrong about.
    understood : bool
        False if the resolution falls in a module in which no call of a known function explains it, or in a call of
        which it is not known what would be there at stride 1.
    module, function : str
        Name of the innermost module, and of the function; the latter is empty if the module is the place.
    layout : object or None
        Where in the output the samples of the maps are, if it is not of this form.
    """

    kind: str
    source: Tensor
    output: Tensor
    stride: tuple[float, float]
    kernel: tuple[int, int] | None = None
    cost: int = 0
    dense: Dense | None = None
    axes: tuple[int, int] = NCHW
    offset: tuple[int, int] = (0, 0)
    fault: bool = True
    understood: bool = True
    module: str = ""
    function: str = ""
    layout: Any = None

    @property
    def size_in(self) -> tuple[int, int]:
        """Height and width of the maps that go in."""
        return self.source.shape[self.axes[0]], self.source.shape[self.axes[1]]

    @property
    def size_out(self) -> tuple[int, int]:
        """Height and width of the maps that come out."""
        return _sides(self.output, self.axes) if self.fault else (1, 1)

    @property
    def channels(self) -> int:
        """Channels that come out."""
        last = self.output.ndim != 4 or self.axes == NHWC
        return int(self.output.shape[-1 if last else 1])


def _pair(value: Any) -> tuple[int, int]:
    """Argument of one of torch's functions, for both axes."""
    first, second = value if isinstance(value, Sequence) else (value, value)
    return int(first), int(second)


def _sides(maps: Tensor, axes: Sequence[int]) -> tuple[int, int]:
    return maps.shape[axes[0]], maps.shape[axes[1]]


def name_of(function: Any) -> str:
    """Plain name of one of torch's functions or methods."""
    name = str(getattr(function, "__name__", ""))
    if name == "__get__":
        return str(getattr(function.__self__, "__name__", name))  # an attribute, such as Tensor.real
    name = name.partition(".")[0]  # conv2d.default, as in exported programs
    return name.lstrip("_").removesuffix("_with_indices") if name not in ("__getitem__", "__setitem__") else name


def positional(name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Sequence[Any], Mapping[str, Any]]:
    """Arguments of a call that changes sizes, with the maps first if they were given by name."""
    if args or "input" not in kwargs or not (name in _READERS or name.startswith(ENLARGE)):
        return args, kwargs
    rest = dict(kwargs)
    return (rest.pop("input"),), rest


def read_call(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any], result: Any) -> Call | None:
    """Read a call of a function.

    Returns
    -------
    Call or None
        None if the function is none that is known to change the resolution, or left it as it was. A stride of (1, 1)
        tells that only a border was lost.
    """
    name = name_of(function)
    if not args or not isinstance(args[0], Tensor):
        return None
    if name not in _READERS or args[0].ndim != 4:
        return None
    parameters, reader = _READERS[name]
    output = result[0] if isinstance(result, tuple) else result
    if not isinstance(output, Tensor):
        return None
    call = reader(name, dict(zip(parameters, args, strict=False)) | dict(kwargs), args[0], output)
    if call is not None:
        call.function = name
    return call


def _convolution(name: str, given: dict[str, Any], x: Tensor, y: Tensor) -> Call:
    weight, groups = given["weight"], given.get("groups", 1)
    stride, kernel = _pair(given.get("stride", 1)), _pair(weight.shape[2:])
    padding, dilation = given.get("padding", 0), given.get("dilation", 1)
    kind = "convolution"
    if groups > 1 and groups == x.shape[1]:
        kind = "depthwise convolution"
    elif kernel == stride and max(stride) > 1:
        kind = "patch embedding"
    return Call(
        kind,
        x,
        y,
        stride,
        kernel,
        y[0].numel() * weight[0].numel() if len(y) else 0,
        lambda: functional.conv2d(x, weight, given.get("bias"), 1, padding, dilation, groups),
    )


def _pooling(name: str, given: dict[str, Any], x: Tensor, y: Tensor) -> Call:
    kernel = _pair(given["kernel_size"])
    stride = _pair(given.get("stride") or kernel)
    padding = given.get("padding", 0)
    cost = y[0].numel() * math.prod(kernel) if len(y) else 0
    if y.shape[2:] == (1, 1) and all(k >= n for k, n in zip(kernel, x.shape[2:], strict=True)):
        return _global(x, y, cost)
    kinds: dict[str, tuple[str, Dense]] = {
        "max_pool2d": (
            "max pooling",
            lambda: functional.max_pool2d(x, kernel, 1, padding, given.get("dilation", 1)),
        ),
        "avg_pool2d": (
            "average pooling",
            lambda: functional.avg_pool2d(
                x, kernel, 1, padding, False, given.get("count_include_pad", True), given.get("divisor_override")
            ),
        ),
        "lp_pool2d": ("Lp pooling", lambda: functional.lp_pool2d(x, given["norm_type"], kernel, 1)),
    }
    kind, dense = kinds[name]
    return Call(kind, x, y, stride, kernel, cost, dense)


def _adaptive(name: str, given: dict[str, Any], x: Tensor, y: Tensor) -> Call:
    cost = x[0].numel() if len(x) else 0
    if y.shape[2:] == (1, 1) and x.shape[2:] != (1, 1):
        return _global(x, y, cost)
    ratio = _ratio(x, y)
    if name == "fractional_max_pool2d":
        return Call("fractional pooling", x, y, ratio, _pair(given["kernel_size"]), cost)
    if not all(float(r).is_integer() for r in ratio):
        return Call("adaptive pooling", x, y, ratio, None, cost)
    kernel = (int(ratio[0]), int(ratio[1]))
    pool = functional.avg_pool2d if "avg" in name else functional.max_pool2d
    return Call("adaptive pooling", x, y, ratio, kernel, cost, lambda: pool(x, kernel, 1))


def _interpolation(name: str, given: dict[str, Any], x: Tensor, y: Tensor) -> Call:
    ratio, dense = _ratio(x, y), None
    whole = all(float(r).is_integer() for r in ratio)
    mode = given.get("mode", "nearest")
    if whole and mode == "nearest":
        dense = lambda: x  # noqa: E731
    elif whole and mode == "area":
        dense = lambda: functional.avg_pool2d(x, (int(ratio[0]), int(ratio[1])), 1)  # noqa: E731
    return Call("interpolation", x, y, ratio, None, 0, dense)


def _unshuffle(name: str, given: dict[str, Any], x: Tensor, y: Tensor) -> Call:
    stride = _pair(given["downscale_factor"])
    return Call("space to depth", x, y, stride, stride, 0, lambda: x)


def _slicing(name: str, given: dict[str, Any], x: Tensor, y: Tensor) -> Call | None:
    """Slices with steps along both spatial axes, or along one; whether these are of maps, positions tell."""
    index = given["index"] if isinstance(given["index"], tuple) else (given["index"],)
    if x.is_complex():
        return None
    if not all(part is Ellipsis or isinstance(part, slice) for part in index):
        return None
    if Ellipsis in index:
        at = index.index(Ellipsis)
        index = (*index[:at], *(slice(None),) * (x.ndim + 1 - len(index)), *index[at + 1 :])
    parts = [part.indices(n) for part, n in zip(index, x.shape, strict=False)]
    steps = {axis: step for axis, (_, _, step) in enumerate(parts) if step > 1}
    axes = NHWC if 1 in steps else NCHW
    if not set(steps) <= set(axes):
        return None  # channels, or pictures, are taken
    parts += [(0, n, 1) for n in x.shape[len(parts) :]]
    first = (parts[axes[0]][0], parts[axes[1]][0])
    stride = (steps.get(axes[0], 1), steps.get(axes[1], 1))
    return Call("slicing", x, y, stride, (1, 1), 0, lambda: x, axes, first)


def _reduction(name: str, given: dict[str, Any], x: Tensor, y: Tensor) -> Call | None:
    dim = given.get("dim")
    if not isinstance(dim, Sequence) or len(dim) != 2:
        return None
    axes = tuple(sorted(d % 4 for d in dim))
    if axes not in (NCHW, NHWC):
        return None
    return _global(x, y, x[0].numel() if len(x) else 0, NCHW if axes == NCHW else NHWC)


def _global(x: Tensor, y: Tensor, cost: int, axes: tuple[int, int] = NCHW) -> Call:
    sides = _sides(x, axes)
    stride = (float(sides[0]), float(sides[1]))
    return Call("global pooling", x, y, stride, sides, cost, axes=axes, fault=False)


def _ratio(x: Tensor, y: Tensor) -> tuple[float, float]:
    return x.shape[2] / max(1, y.shape[2]), x.shape[3] / max(1, y.shape[3])


Reader = Callable[[str, dict[str, Any], Tensor, Tensor], Call | None]
_POOL = ("input", "kernel_size", "stride", "padding")
_READERS: dict[str, tuple[tuple[str, ...], Reader]] = {
    "conv2d": (("input", "weight", "bias", "stride", "padding", "dilation", "groups"), _convolution),
    "max_pool2d": ((*_POOL, "dilation", "ceil_mode", "return_indices"), _pooling),
    "avg_pool2d": ((*_POOL, "ceil_mode", "count_include_pad", "divisor_override"), _pooling),
    "lp_pool2d": (("input", "norm_type", "kernel_size", "stride", "ceil_mode"), _pooling),
    "fractional_max_pool2d": (("input", "kernel_size", "output_size", "output_ratio"), _adaptive),
    "adaptive_avg_pool2d": (("input", "output_size"), _adaptive),
    "adaptive_max_pool2d": (("input", "output_size", "return_indices"), _adaptive),
    "interpolate": (("input", "size", "scale_factor", "mode"), _interpolation),
    "pixel_unshuffle": (("input", "downscale_factor"), _unshuffle),
    "__getitem__": (("input", "index"), _slicing),
    "mean": (("input", "dim", "keepdim"), _reduction),
    "amax": (("input", "dim", "keepdim"), _reduction),
}


def with_circular_borders(
    function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments of a call in which maps go on as their own period, in place of the padding that was asked for.

    Convolutions, poolings and :func:`torch.nn.functional.pad` along the two last axes of four; other calls keep their
    arguments.
    """
    name, given = name_of(function), dict(kwargs)
    if name == "pad":
        given |= dict(zip(("input", "pad", "mode", "value"), args, strict=False))
        x, pads = given["input"], tuple(given["pad"])
        spatial = x.ndim == 4 and len(pads) >= 2 and not any(pads[4:]) and min(pads) >= 0
        if not spatial:
            return tuple(args), dict(kwargs)
        left, right, top, bottom = (*pads[:4], 0, 0)[:4]
        return (_around(x, ((top, bottom), (left, right))), (0, 0)), {}
    if name not in ("conv2d", "max_pool2d", "avg_pool2d"):
        return tuple(args), given
    parameters, _ = _READERS[name]
    given |= dict(zip(parameters, args, strict=False))
    x, padding = given["input"], given.get("padding", 0)
    if padding == "valid" or x.ndim != 4:
        return tuple(args), dict(kwargs)
    if padding == "same":
        reach = _pair(given.get("dilation", 1))
        totals = [d * (k - 1) for d, k in zip(reach, given["weight"].shape[2:], strict=True)]
        pads = tuple((total // 2, total - total // 2) for total in totals)
    else:
        pads = tuple((p, p) for p in _pair(padding))
    given |= {"input": _around(x, pads), "padding": (0, 0)}
    return (given.pop("input"),), given


def _around(x: Tensor, pads: Sequence[tuple[int, int]]) -> Tensor:
    """Maps with so many samples more before and after, which are those of the other end."""
    if all(max(pad) <= n for pad, n in zip(pads, x.shape[2:], strict=True)):
        return functional.pad(x, (*pads[1], *pads[0]), "circular") if any(map(any, pads)) else x
    for axis, (before, after) in zip(NCHW, pads, strict=True):
        n = x.shape[axis]
        x = x.index_select(axis, torch.arange(-before, n + after, device=x.device) % n)
    return x
