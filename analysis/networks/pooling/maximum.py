"""Max pooling, its dense part on its own, and the pooling inside a block."""

from __future__ import annotations

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
    The dense map is made by maxima of shifted maps, faster than torch's window loop on the CPU; among equal values it
    shares the gradient, where `torch.nn.MaxPool2d` gives it to the first, and so does this operator where it has a
    stride and borders as that. theory.md, section 7.1.

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
        for axis, k in enumerate(self.kernel_size, start=-self.dims):
            x = running_max(x, axis, k)
        return x

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
