"""Colours to luminance, dual-tree packets, a selection of them, and their mixture: the Gabor part of a twin."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import pad

from analysis.networks.checks import floating_maps
from analysis.networks.twins.packet_groups import PacketGroup
from analysis.networks.twins.positions import Positions
from analysis.networks.twins.regulariser import selection_penalty
from analysis.networks.twins.trainable_packets import TrainablePackets2d
from wavelets import DualTreePackets2D, FilterBank
from wavelets.checks import integer
from wavelets.filters import DEFAULT
from wavelets.nn import DualTreePackets2d, no_autocast

COLOURS = 3


class WaveletBlock(nn.Module):
    r"""Mixtures of dual-tree packets of a colour picture, in place of channels of a first convolution.

    .. math:: Z_l[n] = \sum_{p\in g(l)} w_{lp} \sum_k \Psi_p[k]\, X^{\rm lum}[b + sn + k],\qquad
        X^{\rm lum} = \sum_c\mu_c X_c

    Parameters
    ----------
    groups : sequence of PacketGroup
        Packets that are mixed into outputs; what no group has is discarded.
    levels : int
        Depth J of the transform.
    positions : Positions
        Where the outputs stand; their stride s divides :math:`2^J`.
    output : {"real", "complex"}
        The real part, for RMax, or both, for CMod.
    luminance : sequence of 3 floats, optional
        Weights :math:`\mu` of R, G, B at first. None: no luminance; every output mixes the packets of each colour alike
        and then has its own three weights, "Y off" in the published records.
    filters : str or FilterBank
        See :func:`wavelets.filter_bank`.
    trainable : bool
        Train the filters too: see :class:`analysis.networks.TrainablePackets2d`.

    Attributes
    ----------
    luminance : Parameter, shape (3,); or None
    colour : Parameter, shape (outputs, 3); or None
    mixing : ParameterList
        Real weights of each group, shape (outputs, packets / mixing_groups), shared by real and imaginary parts, so
        that mixtures of analytic packets are analytic.
    outputs : int
        Channels.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range; in `forward`, if the picture has not three channels or is smaller than a
        window or than :math:`2^J` pixels.

    Notes
    -----
    theory.md, sections 4.4 and 6.1. A picture is continued by zeros, as by the convolution. Kernels are centred, by the
    centre of their energy, on the pixel nearest to that on which the convolution's were. A stride of 2**levels or half
    of it is one transform; a smaller one interleaves transforms of shifted pictures.

    float16 and bfloat16 are transformed in float32; the result has the dtype of the picture, or is complex64. Autocast
    does not change the transform and the mixing. Initial weights as of torch's convolutions. `torch.export` with a
    dynamic batch, and with dynamic H and W where nothing is interleaved.
    """

    luminance: nn.Parameter | None
    colour: nn.Parameter | None
    rows: Tensor
    columns: Tensor

    def __init__(
        self,
        groups: Sequence[PacketGroup],
        levels: int,
        positions: Positions,
        output: str = "real",
        luminance: Sequence[float] | None = (1.0, 1.0, 1.0),
        filters: str | FilterBank = DEFAULT,
        trainable: bool = False,
    ) -> None:
        super().__init__()
        if output not in ("real", "complex"):
            raise ValueError(f"unknown output {output!r}; expected 'real' or 'complex'")
        if not groups:
            raise ValueError("groups is empty; expected at least one PacketGroup")
        levels = integer("levels", levels, 1, 6)
        if 2**levels % positions.stride:
            raise ValueError(f"stride is {positions.stride}; expected a divisor of 2**levels = {2**levels}")
        if luminance is not None and len(luminance) != COLOURS:
            raise ValueError(f"luminance is {luminance!r}; expected {COLOURS} weights")
        self.groups = tuple(groups)
        self.positions, self.output = positions, output
        kind = TrainablePackets2d if trainable else DualTreePackets2d
        self.packets = kind(levels, filters, max(positions.stride, 2 ** (levels - 1)), "zero")
        self.outputs = sum(group.outputs for group in self.groups)
        given = None if luminance is None else nn.Parameter(torch.tensor([float(v) for v in luminance]))
        self.luminance = given
        self.colour = nn.Parameter(torch.empty(self.outputs, COLOURS)) if given is None else None
        self.mixing = nn.ParameterList(
            nn.Parameter(torch.empty(g.outputs, len(g.channels) // g.mixing_groups)) for g in self.groups
        )
        _, columns = connections(self.groups)
        if columns.max() >= 2 * 4**levels:
            raise ValueError(f"groups name packet {columns.max()}; of {levels} levels there are {2 * 4**levels}")
        self._connect()
        self.transform_start = self.packets.transform.start
        self.kernel_start = positions.centre - round(centroid(self.packets.transform, np.unique(columns)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw the mixing anew, uniform up to the inverse root of the packets of an output."""
        for weight in self.mixing:
            bound = 1 / math.sqrt(weight.shape[1])
            nn.init.uniform_(weight, -bound, bound)
        if self.colour is not None:
            nn.init.constant_(self.colour, 1 / COLOURS)

    def forward(self, x: Tensor) -> Tensor:
        """Take pictures (N, 3, H, W), real floating, to (N, outputs, h, w), real or complex64."""
        self._check(x)
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        if self.luminance is not None:
            wide = torch.einsum("nchw,c->nhw", wide, self.luminance.to(wide.dtype))
        with no_autocast(x.device):
            y = self._interleaved(wide)
            if self.colour is not None:
                y = torch.einsum("nclhwr,lc->nlhwr", y, self.colour.to(y.dtype))
        if self.output == "real":
            return y[..., 0].to(x.dtype)
        return torch.view_as_complex(y.contiguous())

    def resulting_kernel(self) -> NDArray[np.complex128]:
        """Complex correlation kernels that the block comes to, for pictures and checks.

        Returns
        -------
        ndarray, shape (outputs, 3, K, K), complex128
            ``forward(x)[n, l, i, j] = sum_{c, k} x[n, c, start + s i + k_y, start + s j + k_x] kernel[l, c, k_y, k_x]``
            with ``start = kernel_start`` and zeros around the picture; the real part of it if `output` is "real".
        """
        transform = self.packets.transform
        if isinstance(self.packets, TrainablePackets2d):
            transform = self.packets.trained_transform()
        used, where = np.unique(self.columns.cpu().numpy(), return_inverse=True)
        weights = np.zeros((self.outputs, used.size))
        weights[self.rows.cpu().numpy(), where] = self._weights().detach().double().cpu().numpy()
        plane = np.tensordot(weights, transform.kernels(used), axes=1)
        given = self.colour if self.luminance is None else self.luminance.expand(self.outputs, COLOURS)
        assert given is not None
        colours = given.detach().double().cpu().numpy()
        kernels: NDArray[np.complex128] = colours[:, :, None, None] * plane[:, None]
        return kernels

    def regularisation(self) -> Tensor:
        """The l1/l-infinity penalty of all groups with their weights; 0 if every output has selected one packet."""
        return selection_penalty(list(self.mixing), [group.weight for group in self.groups])

    def selection(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Packet that weighs most in each output, shape (outputs,), and its share of the sum of moduli."""
        packets, shares = [], []
        for group, weight in zip(self.groups, self.mixing, strict=True):
            size = weight.detach().abs().cpu().numpy()
            best = size.argmax(1)
            channels = np.array(group.channels).reshape(group.mixing_groups, -1)
            member = np.arange(group.outputs) // (group.outputs // group.mixing_groups)
            packets.append(channels[member, best])
            shares.append(size.max(1) / size.sum(1))
        return np.concatenate(packets), np.concatenate(shares)

    def extra_repr(self) -> str:
        """Return the arguments that the submodules do not show."""
        return f"{self.outputs} outputs, {self.positions}, output={self.output!r}"

    def _connect(self, device: torch.device | None = None) -> None:
        """Set the outputs and the packets of the weights, which are constants."""
        for name, values in zip(("rows", "columns"), connections(self.groups), strict=True):
            self.register_buffer(name, torch.from_numpy(values).to(device), persistent=False)

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        """Follow `to` to another device, from that of no memory too."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        self._connect(self.rows.device)
        return self

    def _check(self, x: Tensor) -> None:
        floating_maps(x, "WaveletBlock", COLOURS, "(N, 3, H, W)")
        least = max(self.positions.span, 2**self.packets.levels)
        if min(x.shape[2:]) < least:
            raise ValueError(f"the picture has {x.shape[2]}x{x.shape[3]} pixels; the packets need {least} on each side")

    def _weights(self) -> Tensor:
        """All mixing weights, in the order of `rows` and `columns`."""
        return torch.cat([weight.flatten() for weight in self.mixing])

    def _interleaved(self, x: Tensor) -> Tensor:
        """Mixtures at all positions, (..., outputs, h, w, parts), of planes (..., H, W)."""
        base = self.packets.stride
        factor = base // self.positions.stride
        height, width = (self.positions.count(n) for n in x.shape[-2:])
        steps = [self.positions.stride * phase for phase in range(factor)]
        parts = [[self._mixed(x, down, right, factor) for right in steps] for down in steps]
        if factor == 1:
            return parts[0][0]
        both = torch.stack([torch.stack(row, dim=-2) for row in parts], dim=-5)  # ..., phase, h, w, phase, parts
        both = both.movedim(-5, -4).flatten(-5, -4).flatten(-3, -2)
        return both[..., :height, :width, :]

    def _mixed(self, x: Tensor, down: int, right: int, factor: int) -> Tensor:
        """Mixtures at every `factor`-th position, from positions down and to the right of the first."""
        base, start = self.packets.stride, self.transform_start
        borders, crops = [], []
        for offset, n in zip((down, right), x.shape[-2:], strict=True):
            first = self.kernel_start + offset
            left = (start - first) % base  # so that a coefficient begins there
            borders.append((left, base * (factor > 1)))
            crops.append(((first + left - start) // base, (self.positions.count(n) + factor - 1) // factor))
        (top, bottom), (left, after) = borders
        c = self.packets(pad(x, (left, after, top, bottom)))
        for axis, (skip, count) in enumerate(crops, start=-2):
            c = c.narrow(axis, skip, count)
        values = c.real.unsqueeze(-1) if self.output == "real" else torch.view_as_real(c)
        matrix = values.new_zeros(self.outputs, values.shape[-4])
        matrix = matrix.index_put((self.rows, self.columns), self._weights().to(values.dtype))
        return torch.unflatten(matrix @ values.flatten(-3), -1, values.shape[-3:])


def connections(groups: Sequence[PacketGroup]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Output and packet of every mixing weight, group by group."""
    rows, columns, before = [], [], 0
    for group in groups:
        each = group.outputs // group.mixing_groups
        channels = np.array(group.channels).reshape(group.mixing_groups, -1)
        columns.append(channels.repeat(each, axis=0).ravel())
        rows.append(np.arange(before, before + group.outputs).repeat(channels.shape[1]))
        before += group.outputs
    return np.concatenate(rows), np.concatenate(columns)


def centroid(transform: DualTreePackets2D, channels: NDArray[np.int64]) -> float:
    """Centre of the energy of kernels, both axes and all channels together, samples from their beginning."""
    energy = (np.abs(transform.kernels(channels)) ** 2).sum(0)
    axis = (energy.sum(0) + energy.sum(1)) / 2
    return float((np.arange(axis.size) * axis).sum() / axis.sum())
