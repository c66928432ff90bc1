"""Complex convolution and modulus in place of max pooling, and the batch normalisation that goes with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Real
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from analysis.networks.checks import floating
from analysis.networks.pooling import _border as border
from analysis.networks.pooling._border import Padding, Pads, PerAxis
from analysis.networks.pooling._filtering import StridedFilter
from analysis.networks.pooling.blur import CONVOLUTIONS
from wavelets.checks import integer


class CMod(StridedFilter):
    r"""Modulus of a complex convolution, subsampled: :math:`|(X\star W)\downarrow s| + b`.

    With the stride 2m it takes the place of a convolution of stride m and a max pooling of stride 2.

    Parameters
    ----------
    in_channels, out_channels, groups : int
        As in :class:`torch.nn.Conv2d`.
    kernel_size, stride : int or one for each axis
    padding : "same", int, one or a pair (left, right) for each axis
        Negative pairs cut off.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        "reflect" as in `BlurPool`.
    bias : bool
        Add a bias after the modulus.
    dims : {1, 2}
        Spatial axes.

    Attributes
    ----------
    weight : Parameter, shape (out_channels, 2, in_channels / groups, ...)
        Real and imaginary parts of the correlation kernels W.
    bias : Parameter, shape (out_channels,), or None

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    theory.md, sections 2, 3.6 and 6.1. Real and imaginary parts are one real convolution, so that no complex dtype
    stands in the way of half precision, compilers and optimisers. The gradient of the modulus at 0 is 0. Precision as
    of any convolution, the modulus under autocast in float32.
    """

    shown = "in_channels out_channels kernel_size stride padding padding_mode groups"
    weight: nn.Parameter
    bias: nn.Parameter | None

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: PerAxis,
        stride: PerAxis = 1,
        padding: Padding = 0,
        padding_mode: str = "zeros",
        groups: int = 1,
        bias: bool = True,
        dims: int = 2,
    ) -> None:
        window = border.per_axis("kernel_size", kernel_size, border.checked_dims(dims))
        super().__init__(window, stride, padding, padding_mode, dims)
        self.kernel_size = window
        self.in_channels = integer("in_channels", in_channels, 1)
        self.out_channels = integer("out_channels", out_channels, 1)
        self.groups = integer("groups", groups, 1)
        if self.in_channels % self.groups or self.out_channels % self.groups:
            raise ValueError(f"groups is {groups}; expected a divisor of {in_channels} and of {out_channels} channels")
        shape = (self.out_channels, 2, self.in_channels // self.groups, *self.kernel_size)
        self.weight = nn.Parameter(torch.empty(shape))
        self.bias = nn.Parameter(torch.empty(self.out_channels)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all anew as torch's convolutions do."""
        bound = 1 / math.sqrt(math.prod(self.weight.shape[2:]))
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)

    def load_filters(self, filters: ArrayLike) -> None:
        """Copy complex correlation kernels, shape (out_channels, in_channels / groups, ...), into the weight."""
        w = np.asarray(filters)
        shape = (self.weight.shape[0], *self.weight.shape[2:])
        if w.shape != shape:
            raise ValueError(f"filters have shape {w.shape}; expected {shape}")
        with torch.no_grad():
            self.weight.copy_(torch.from_numpy(np.stack([w.real, w.imag], axis=1)))

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{super().extra_repr()}, bias={self.bias is not None}"

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        """Follow `to`, whose memory formats are for the weight as torch's convolution takes it."""

        def folded(t: Tensor) -> Tensor:
            y: Tensor = fn(t.flatten(0, 1)).unflatten(0, t.shape[:2]) if t.ndim == self.dims + 3 else fn(t)
            return y

        return super()._apply(folded, recurse)  # type: ignore[no-untyped-call]

    def _pads(self, size: torch.Size) -> Pads:
        """Padding of maps of this size."""
        return self.padding

    def _filtered(self, x: Tensor, stride: tuple[int, ...]) -> Tensor:
        x = border.checked_map(x, "CMod", self.dims, self.in_channels)
        x = border.extend(x, self._pads(x.shape[2:]), self.padding_mode)
        x = border.checked_window(x, self.kernel_size, "CMod")
        parts = CONVOLUTIONS[self.dims](x, self.weight.flatten(0, 1), stride=stride, groups=self.groups)
        y: Tensor = torch.linalg.vector_norm(torch.unflatten(parts, 1, (self.out_channels, 2)), dim=2)
        return y if self.bias is None else y + self.bias.view(-1, *(1,) * self.dims)


class ModulusBatchNorm(nn.Module):
    r"""Batch normalisation of moduli: :math:`y = |a|\,x/\sqrt{\frac12\mathbb E[x^2]+\varepsilon} + b`.

    No mean is subtracted, since the real part of a band-pass coefficient has mean 0 and variance
    :math:`\frac12\mathbb E|Z|^2`; the scale is the modulus of a, so that it commutes with the maximum.

    Parameters
    ----------
    num_features : int
    eps : float
    momentum : float
        Of the running average, which has no bias correction.

    Attributes
    ----------
    weight, bias : Parameter, shape (num_features,)
        a and b.
    running_var : Tensor, shape (num_features,)
        Average of :math:`\frac12\mathbb E[x^2]` over batch and space, used in evaluation; 1 at first. It is what the
        running variance of an ordinary batch normalisation is for the real part.
    running_mean, num_batches_tracked : Tensor
        Not used, and 0 unless loaded: with them the state is that of an ordinary batch normalisation, so that each
        takes that of the other. The mean of a real part is 0.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    theory.md, section 6.1. Moments are computed in float32 at least; the dtype of the input stays.
    """

    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.num_features = integer("num_features", num_features, 1)
        for name, value in (("eps", eps), ("momentum", momentum)):
            if not isinstance(value, Real) or isinstance(value, bool):
                raise TypeError(f"{name} must be a number, not {type(value).__name__}")
        if not 0 <= eps < math.inf:
            raise ValueError(f"eps is {eps}; expected 0 or more, finite")
        if not 0 < momentum <= 1:
            raise ValueError(f"momentum is {momentum}; expected more than 0 and at most 1")
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(self.num_features))
        self.bias = nn.Parameter(torch.zeros(self.num_features))
        self.register_buffer("running_var", torch.ones(self.num_features))
        self.register_buffer("running_mean", torch.zeros(self.num_features))
        self.register_buffer("num_batches_tracked", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise moduli (batch, num_features, ...), real floating; an empty batch leaves the average as it is."""
        x = floating(x, "ModulusBatchNorm")
        if x.ndim < 2 or x.shape[1] != self.num_features:
            raise ValueError(f"expected maps (batch, {self.num_features}, ...), got shape {tuple(x.shape)}")
        shape = (1, -1, *(1,) * (x.ndim - 2))
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        if self.training:
            variance = wide.square().mean(dim=(0, *range(2, x.ndim))) / 2
            if x.numel():
                self.running_var.lerp_(variance.detach().to(self.running_var.dtype), self.momentum)
        else:
            variance = self.running_var.to(wide.dtype)
        scale = self.weight.abs() * (variance + self.eps).rsqrt()
        y: Tensor = wide * scale.view(shape) + self.bias.view(shape)
        return y.to(x.dtype)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}"
