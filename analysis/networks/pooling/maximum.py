"""Max pooling, its dense part on its own, and the pooling inside a block."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from analysis.networks.pooling import _border as border
from analysis.networks.pooling._border import Padding, PerAxis
from analysis.networks.pooling._filtering import Subsampling
from analysis.networks.pooling._pieces import by_pieces


class MaxPool(Subsampling):
    r"""Max pooling as a dense maximum and a subsampling, :math:`\downarrow_s\circ\max_k`.

    Parameters
    ----------
    kernel_size : int or one for each axis
        Side k of the window; even and odd.
    stride : int or one for each axis, optional
        Default: `kernel_size`.
    padding : int, one or a pair (left, right) for each axis, or "same"
        "same": (k - 1) // 2 on the left and k // 2 on the right, so that the dense map has the size of the input.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        "zeros" is the rule of torch's own layers, where padding never is the maximum; "reflect" as in `BlurPool`.
    ceil_mode : bool
        As in :class:`torch.nn.MaxPool2d`: windows that hang over on the right count if they begin inside.
    dims : {1, 2}
        Spatial axes.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    The dense map is made by maxima of shifted maps, faster than torch's window loop on the CPU. Among equal values the
    first gets the gradient, as in `torch.nn.MaxPool2d`; in compiled and exported programs they share it.
    theory.md, section 7.1.

    Examples
    --------
    >>> x = torch.tensor([[[0.0, 0, 1, 1, 0, 0, 1, 1]]])
    >>> MaxPool(2, dims=1)(x)
    tensor([[[0., 1., 0., 1.]]])
    """

    shown = "kernel_size stride padding padding_mode ceil_mode"

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: Padding = 0,
        padding_mode: str = "zeros",
        ceil_mode: bool = False,
        dims: int = 2,
    ) -> None:
        window = border.per_axis("kernel_size", kernel_size, border.checked_dims(dims))
        super().__init__(window, window if stride is None else stride, padding, padding_mode, dims)
        self.kernel_size = window
        self.ceil_mode = ceil_mode
        if any(n >= k for pair, k in zip(self.padding, self.kernel_size, strict=True) for n in pair):
            raise ValueError(f"padding is {padding!r}; expected less than the window, {kernel_size!r}")

    def dense(self, x: Tensor) -> Tensor:
        """Return the maximum over every window, shape (..., N + left + right - k + 1) on each axis."""
        x = self._extended(border.checked_map(x, "MaxPool", self.dims))
        if not (torch.is_grad_enabled() and x.requires_grad) or torch.compiler.is_compiling():
            return running_maxima(x, self.kernel_size)
        if torch.jit.is_tracing():  # type: ignore[no-untyped-call, attr-defined]
            return running_maxima(x, self.kernel_size)
        y: Tensor = DenseMaximum.apply(x, self.kernel_size)  # type: ignore[no-untyped-call]
        return y

    def forward(self, x: Tensor) -> Tensor:
        """Pool maps (batch, channels, spatial axes), real floating; the dtype stays."""
        x = border.checked_map(x, "MaxPool", self.dims)
        padding = [left for left, _ in self.padding]
        symmetric = all(left == right and 2 * left <= k for (left, right), k in self._axes())
        if max(self.stride) > 1 and self.padding_mode == "zeros" and symmetric and not self.ceil_mode:
            border.checked_window(x, [k - 2 * p for k, p in zip(self.kernel_size, padding, strict=True)], "MaxPool")
            return MAX_POOLS[self.dims](x, self.kernel_size, self.stride, padding)
        return by_pieces(self, lambda part: self.subsample(self.dense(part)), x)

    def _axes(self) -> list[tuple[tuple[int, int], int]]:
        return list(zip(self.padding, self.kernel_size, strict=True))

    def _extended(self, x: Tensor) -> Tensor:
        pads = self.padding
        if self.ceil_mode:
            pads = tuple(
                (pair[0], pair[1] + overhang(n, k, s, pair))
                for n, s, (pair, k) in zip(x.shape[2:], self.stride, self._axes(), strict=True)
            )
        x = border.extend(x, pads, self.padding_mode, -torch.inf)
        return border.checked_window(x, self.kernel_size, "MaxPool")


class IntraBlockPool(MaxPool):
    """Dense max pooling between the convolutions of a block: a maximum over a centred window, no subsampling.

    Parameters
    ----------
    kernel_size : int or one for each axis
        Odd.
    padding_mode, dims
        As in `MaxPool`.

    Raises
    ------
    ValueError
        If the window is even and so has no centre.

    Notes
    -----
    Fonseca, Ferraro and Serra, "Improving sound event classification by increasing shift invariance in convolutional
    neural networks", 2021; theory.md, section 7.2.
    """

    def __init__(self, kernel_size: PerAxis = 3, padding_mode: str = "zeros", dims: int = 2) -> None:
        window = border.odd_window("kernel_size", kernel_size, dims)
        super().__init__(window, stride=1, padding="same", padding_mode=padding_mode, dims=dims)


MAX_POOLS = {1: functional.max_pool1d, 2: functional.max_pool2d}


class DenseMaximum(torch.autograd.Function):
    """Maxima of shifted maps, whose derivative is that of torch's pooling at stride 1, computed with channels last.

    Torch's own derivative of the shifted maxima takes forty times as long as they do, and its pooling forwards, with
    channels first, fifteen times. Nothing but the input is kept until then.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, window: tuple[int, ...]) -> Tensor:
        """Maximum over every window of the last axes."""
        return torch.cat([running_maxima(part, window) for part in torch.split(x, examples(x))])

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, tuple[int, ...]], output: Tensor) -> None:
        """Keep the input."""
        x, ctx.window = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Give each value's derivative to the first of its window that is as large; linear, so derivable again."""
        (x,) = ctx.saved_tensors
        window = window_of_planes(ctx.window)
        parts = []
        for given, gradient in zip(*(torch.split(t, examples(x)) for t in (x, *gradients)), strict=True):
            planes = channels_last(given)
            indices = functional.max_pool2d_with_indices(planes, window, (1, 1))[1]
            y = POOLING_BACKWARD(channels_last(gradient), planes, window, (1, 1), (0, 0), (1, 1), False, indices)
            parts.append(y if in_channels_last(x) else y.contiguous())
        found = torch.cat(parts)
        return (found if x.ndim == 4 else found.squeeze(2)), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        """Take of each window the tangent of the value that the derivative goes to."""
        (x,) = ctx.saved_tensors
        planes, tangents = (t if t.ndim == 4 else t.unsqueeze(2) for t in (x, tangent))
        indices = functional.max_pool2d_with_indices(planes, window_of_planes(ctx.window), (1, 1))[1]
        found = tangents.flatten(2).gather(2, indices.flatten(2)).reshape(indices.shape)
        return found if x.ndim == 4 else found.squeeze(2)


PIECE = 2**22
"""Bytes of the maps that are dealt with at a time, so that what lies between the steps stays in the cache and is not
taken from the system each time anew."""


def examples(x: Tensor) -> int:
    """Number of examples in :data:`PIECE`."""
    return max(PIECE * len(x) // max(x.nbytes, 1), 1)


def window_of_planes(window: tuple[int, ...]) -> tuple[int, ...]:
    """Window of planes, of that of signals or planes."""
    return (1, *window)[-2:]


POOLING_BACKWARD = torch.ops.aten.max_pool2d_with_indices_backward


def in_channels_last(x: Tensor) -> bool:
    """Tell if the channels of planes lie beside each other in memory, those of another order not counted."""
    return x.ndim == 4 and x.shape[1] > 1 and x.stride(1) == 1


def channels_last(x: Tensor) -> Tensor:
    """Maps as planes with their channels beside each other in memory, also where `torch.func.vmap` adds an axis."""
    planes = x if x.ndim == 4 else x.unsqueeze(2)
    return planes.movedim(1, -1).contiguous().movedim(-1, 1)


def running_maxima(x: Tensor, window: tuple[int, ...]) -> Tensor:
    """Maximum over every window of the last axes, one axis after the other."""
    for axis, k in enumerate(window, start=-len(window)):
        x = running_max(x, axis, k)
    return x


def running_max(x: Tensor, axis: int, k: int) -> Tensor:
    """Maximum over k samples along an axis, by doubling: log2(k) passes."""
    have = 1
    while have < k:
        step = min(have, k - have)
        n = x.shape[axis] - step
        x = torch.maximum(x.narrow(axis, 0, n), x.narrow(axis, step, n))
        have += step
    return x


def overhang(n: int, k: int, s: int, pads: tuple[int, int]) -> int:
    """Samples that the last window of ceil_mode needs beyond the padding."""
    last = (border.pooled_size(n, k, s, pads, True) - 1) * s
    needed = last + k - n - sum(pads)
    return needed if pads[1] + s <= k else torch.sym_max(needed, 0)  # type: ignore[no-untyped-call]
