"""Low-pass filtering before subsampling: BlurPool, and max pooling with it."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from analysis.networks.lowpass import lowpass
from analysis.networks.pooling import _border as border
from analysis.networks.pooling._border import Padding, PerAxis
from analysis.networks.pooling._filtering import StridedFilter
from analysis.networks.pooling.cascade import Cascade
from analysis.networks.pooling.maximum import MaxPool

CONVOLUTIONS = {1: functional.conv1d, 2: functional.conv2d}


MATRIX_SIDE = 64
"""Maps up to this side are filtered by matrix products on the CPU, which there beat the depthwise convolution."""


class BlurPool(StridedFilter):
    r"""Fixed low-pass filter, then subsampling: :math:`\downarrow_s(h * x)`, channel by channel.

    Parameters
    ----------
    stride : int or one for each axis
    filter : str
        A name of :func:`analysis.networks.lowpass.lowpass`.
    taps : int or one for each axis
        Of the filter, as of :func:`analysis.networks.lowpass.lowpass`; the kernel is the outer product over the axes.
    padding : "same", int, one or a pair (left, right) for each axis
        "same": (k - 1) // 2 on the left and k // 2 on the right of k taps. Negative pairs cut off.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        "reflect" continues an axis too short for it by "replicate", here and in all operators.
    dims : {1, 2}
        Spatial axes.
    stretch : bool
        Make the binomial filter as long as a stride of more than 2 asks for.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range, or the filter is unknown.

    Notes
    -----
    Zhang, "Making convolutional networks shift-invariant again"; theory.md, section 7.1.

    Maps of at most `MATRIX_SIDE` samples a side are filtered by two matrix products on the CPU, all others, and those
    of compiled and exported programs, by a depthwise convolution. The products carry a NaN or an infinity over its row
    and column, the convolution over the filter's support.

    *Precision.* As of any convolution: the dtype is that of the input, under autocast autocast's. *State.* The filter
    is a constant that is not in the state dict, so that checkpoints of the network without it load. It is made anew in
    every dtype, so that nothing is lost by ``.half().double()``, and maps in float64 always get it in float64.
    """

    shown = "stride filter taps padding padding_mode"
    kernel: Tensor

    def __init__(
        self,
        stride: PerAxis = 2,
        filter: str = "binomial",
        taps: PerAxis = 3,
        padding: Padding = "same",
        padding_mode: str = "reflect",
        dims: int = 2,
        stretch: bool = False,
    ) -> None:
        steps = border.per_axis("stride", stride, border.checked_dims(dims))
        short = border.per_axis("taps", taps, dims)
        self.factors = [lowpass(filter, n, s if stretch else 2) for n, s in zip(short, steps, strict=True)]
        window = tuple(map(len, self.factors))
        super().__init__(window, stride, padding, padding_mode, dims)
        self.filter, self.taps = filter, window
        self.register_buffer("kernel", self._kernel_like(torch.empty(0)), persistent=False)

    def _filtered(self, x: Tensor, stride: tuple[int, ...]) -> Tensor:
        x = border.checked_map(x, "BlurPool", self.dims)
        if prefers_matrices(x):
            return self._by_matrices(x, stride)
        wide = torch.promote_types(x.dtype, self.kernel.dtype) != self.kernel.dtype
        kernel = self._kernel_like(x) if wide else self.kernel.to(x.dtype)
        return depthwise(
            x, kernel.expand(x.shape[1], 1, *self.taps), stride, self.padding, self.padding_mode, "BlurPool"
        )

    def _by_matrices(self, x: Tensor, stride: tuple[int, ...]) -> Tensor:
        """One product for each axis, border and subsampling included; the last axis goes first."""
        x = x @ self._matrix(x, self.dims - 1, stride)
        return x if self.dims == 1 else self._matrix(x, 0, stride).mT @ x

    def _matrix(self, x: Tensor, axis: int, stride: tuple[int, ...]) -> Tensor:
        """Filter, border and subsampling of an axis, shape (samples in, samples out)."""
        h = torch.from_numpy(self.factors[axis])
        rows = torch.eye(x.shape[2 + axis], dtype=h.dtype)[None]
        rows = border.extend(rows, self.padding[axis : axis + 1], self.padding_mode)
        rows = border.checked_window(rows, self.taps[axis : axis + 1], "BlurPool")[0]
        return (rows.unfold(-1, len(h), stride[axis]) @ h).to(x.dtype)

    def _kernel_like(self, x: Tensor) -> Tensor:
        """The kernel with all digits that the dtype of `x` has, on its device."""
        return x.new_tensor(reduce(np.multiply.outer, self.factors).tolist())

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        """Follow `to`, anew."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self.kernel = self._kernel_like(self.kernel)
        return self


class MaxBlurPool(Cascade):
    r"""Dense max pooling, low-pass filter, subsampling: :math:`\downarrow_s(h * \max_k x)`.

    Parameters
    ----------
    kernel_size, stride, padding, padding_mode, ceil_mode, dims
        Of the max pooling, as in `MaxPool`; the stride is that of the subsampling.
    filter, taps
        As in `BlurPool`.
    blur_padding_mode : {"reflect", "zeros", "replicate", "circular"}
        Of the filter, whose output has the size of its input.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    With the arguments of a `torch.nn.MaxPool2d` the output has the size of that layer's. theory.md, section 7.1.

    Examples
    --------
    >>> x = torch.tensor([[[0.0, 0, 1, 1, 0, 0, 1, 1]]])
    >>> pool = MaxBlurPool(2, padding="same", padding_mode="circular", blur_padding_mode="circular", dims=1)
    >>> pool(x)
    tensor([[[0.5000, 1.0000, 0.5000, 1.0000]]])
    """

    def __init__(
        self,
        kernel_size: PerAxis,
        stride: PerAxis | None = None,
        padding: Padding = 0,
        padding_mode: str = "zeros",
        ceil_mode: bool = False,
        filter: str = "binomial",
        taps: PerAxis = 3,
        blur_padding_mode: str = "reflect",
        dims: int = 2,
    ) -> None:
        pool = MaxPool(kernel_size, stride, padding, padding_mode, ceil_mode, dims)
        super().__init__(pool, BlurPool(pool.stride, filter, taps, "same", blur_padding_mode, dims))


def prefers_matrices(x: Tensor) -> bool:
    """Tell if matrix products are the faster filter."""
    if x.device.type != "cpu" or torch.compiler.is_compiling() or max(x.shape[2:]) > MATRIX_SIDE:
        return False
    # torch filters channel by channel fast where the channels lie beside each other
    return x.ndim != 4 or x.shape[1] == 1 or x.stride(1) != 1


def depthwise(
    x: Tensor, kernels: Tensor, stride: tuple[int, ...], pads: border.Pads, mode: str, operator: str
) -> Tensor:
    """Correlate every channel with its own kernel, kernels of shape (channels, 1, ...)."""
    padding: tuple[int, ...] = (0,) * len(pads)
    if mode == "zeros" and all(left == right >= 0 for left, right in pads):
        padding = tuple(left for left, _ in pads)  # without a copy
    else:
        x = border.extend(x, pads, mode)
    window = [k - 2 * p for k, p in zip(kernels.shape[2:], padding, strict=True)]
    x = border.checked_window(x, window, operator)
    return CONVOLUTIONS[len(pads)](x, kernels, stride=stride, padding=padding, groups=x.shape[1])
