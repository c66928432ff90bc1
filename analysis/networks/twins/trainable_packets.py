"""The packet transform with filters that can be trained and stay orthonormal."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from wavelets import DualTreePackets2D, FilterBank
from wavelets.engine.lattice import factored
from wavelets.filters import DEFAULT
from wavelets.nn import DualTreePackets2d


class TrainablePackets2d(DualTreePackets2d):
    """Dual-tree packet transform whose low-pass filters are lattices of trainable rotations.

    Parameters
    ----------
    levels, filters, stride, boundary
        As in :class:`wavelets.nn.DualTreePackets2d`; training starts from these filters.

    Attributes
    ----------
    angles : ParameterDict
        Rotations of the low-pass filters "h_first", "h1" and "h2", each of T taps: T / 2 - 1 numbers. There is no "h2"
        if it is the time reverse of "h1", as a q-shift pair, and then it stays so.

    Notes
    -----
    Vaidyanathan and Hoang 1988: any angles give an orthonormal filter and all orthonormal filters have such. Their sum
    is fixed, which keeps the sum of the taps at the square root of 2 and the zero at pi. High-pass filters follow from
    low-pass ones as in :class:`wavelets.FilterBank`, so that every tree stays orthonormal and the transform tight; that
    the two trees are a Hilbert pair is not enforced.

    Computed in the dtype of the input by the stages, which is slower than frozen filters.
    """

    def __init__(
        self, levels: int, filters: str | FilterBank = DEFAULT, stride: int | None = None, boundary: str = "zero"
    ) -> None:
        super().__init__(levels, filters, stride, boundary, method="banded")
        bank = self.bank
        taps = {"h_first": bank.h_first, "h1": bank.h1}
        if not np.array_equal(bank.h2, bank.h1[::-1]):
            taps["h2"] = bank.h2
        self.angles = nn.ParameterDict()
        self.totals: dict[str, float] = {}
        for name, h in taps.items():
            values = angles_of(h)
            self.totals[name] = float(values.sum())
            self.angles[name] = nn.Parameter(torch.from_numpy(values[:-1]).float())

    def forward(self, x: Tensor) -> Tensor:
        """Transform real images; see :meth:`wavelets.nn.DualTreePackets2d.forward`."""
        return self._analyse(x, self.boundary)

    def low_pass(self, name: str) -> Tensor:
        """Taps of one of the low-pass filters, float64."""
        if name == "h2" and name not in self.angles:
            return self.low_pass("h1").flip(0)
        free = self.angles[name].double()
        return low_pass_of(torch.cat([free, (self.totals[name] - free.sum())[None]]))

    @torch.no_grad()
    def trained_bank(self) -> FilterBank:
        """The filters as they are now."""
        h1, h2, h_first = (self.low_pass(name).cpu().numpy() for name in ("h1", "h2", "h_first"))
        return FilterBank(f"{self.bank.name}, trained", h1, h2, h_first)

    def trained_transform(self) -> DualTreePackets2D:
        """The numpy transform with the filters as they are now."""
        return DualTreePackets2D(self.levels, self.trained_bank(), self.stride, self.boundary)

    def _taps(self) -> tuple[Tensor, Tensor]:
        h1, h2, h = (self.low_pass(name) for name in ("h1", "h2", "h_first"))
        two, one = h.new_zeros(2), h.new_zeros(1)
        mirror = [mirrored(taps) for taps in (h1, h2, h)]
        main = torch.stack([torch.stack([h1, -mirror[0]]), torch.stack([h2, mirror[1]])])
        pairs = [
            torch.stack([torch.cat([two, h]), torch.cat([-mirror[2], two])]),
            torch.stack([torch.cat([one, h, one]), torch.cat([one, mirror[2], one])]),
        ]
        return torch.stack(pairs), main


def angles_of(h: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles of the rotations of an orthonormal low-pass filter (T,), shape (T / 2,), whose product is the filter."""
    pair = np.stack([h.reshape(-1, 2), mirrored(torch.from_numpy(h.copy())).numpy().reshape(-1, 2)], axis=1)
    found = factored(pair)
    angles: NDArray[np.float64] = np.arctan(found.tangents)
    if found.scales[0] < 0:
        angles[0] += np.pi
    return angles


def low_pass_of(angles: Tensor) -> Tensor:
    """Filter of T / 2 rotations, shape (T,): the inverse of `angles_of`."""
    u, v = torch.eye(2, dtype=angles.dtype, device=angles.device)[:, None].unbind()
    for k in range(len(angles)):
        if k:
            wait = u.new_zeros(1, 2)
            u, v = torch.cat([wait, u]), torch.cat([v, wait])
        cosine, sine = angles[k].cos(), angles[k].sin()
        u, v = cosine * u + sine * v, cosine * v - sine * u
    return u.flip(0).flatten()


def mirrored(h: Tensor) -> Tensor:
    """Conjugate mirror of a low-pass filter: h[T - 1 - n] times 1, -1, 1, ..."""
    signs = torch.ones_like(h)
    signs[1::2] = -1
    return h.flip(0) * signs
