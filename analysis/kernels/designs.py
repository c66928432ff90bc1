r"""Ways to reduce the responses of a first layer, kernel by kernel, and the maps and costs that they make.

Every way takes the layer from pictures to maps at the stride 2m of the layer as it is. The responses are taken at a
stride m' that divides m, pooled by a maximum or a modulus, go through bias and ReLU, and are filtered along each axis
and subsampled by 2m / m'.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import binom

from analysis.kernels.layer import FirstLayer
from analysis.kernels.measurement import LayerResponses
from analysis.measurements.translation import margin_for, windows
from wavelets.complex_filters import NETWORK_GRID, complex_filters

MOST_TAPS = 7
IDEAL = 0  # in place of the number of taps
TAPS = (1, *range(2, MOST_TAPS + 1), IDEAL)
"""Low-pass filters before the subsampling: none, binomial ones by their numbers of taps, and the ideal one."""


class Way(NamedTuple):
    """Way to reduce the responses of one kernel.

    Attributes
    ----------
    modulus : bool
        Modulus of complex responses, instead of the maximum of real ones.
    stride : int
        m', pixels.
    q : int
        Half-width of the window of the maximum, positions of the stride-m' grid; 0 for the modulus.
    taps : int
        Of the low-pass filter before the subsampling: 1 is none, `IDEAL` the ideal one.
    """

    modulus: bool
    stride: int
    q: int
    taps: int

    def named(self, layer: FirstLayer) -> str:
        """Words for what differs from the layer as it is."""
        parts = [] if self.stride == layer.stride else [f"stride {self.stride}"]
        if self.modulus:
            parts.append("CMod")
        elif (self.q, self.stride) != (layer.q, layer.stride):
            parts.append(f"max {2 * self.q + 1}×{2 * self.q + 1}")
        if self.taps != 1:
            parts.append("ideal low-pass" if self.taps == IDEAL else f"blur{self.taps}")
        return " + ".join(parts) or "as it is"


def ways_of(layer: FirstLayer) -> list[Way]:
    """Ways that make sense for a layer; the first is the layer as it is.

    Strides m and m / 2; windows of the layer, one position wider on each side, and at m / 2 also as wide in pixels.
    """
    windows_at = {layer.stride: (layer.q, layer.q + 1)}
    if layer.stride % 2 == 0:
        windows_at[layer.stride // 2] = (2 * layer.q, layer.q)
    ways = [Way(False, stride, q, taps) for stride, qs in windows_at.items() for q in qs for taps in TAPS]
    # Without a filter, the modulus is taken at the stride 2m alone, whatever the grid.
    return ways + [Way(True, stride, 0, t) for stride in windows_at for t in TAPS if t != 1 or stride == layer.stride]


def multiplications(way: Way, layer: FirstLayer, size: int) -> float:
    """Multiplications for one kernel and one position of its final map, in pictures of `size` pixels.

    A complex filter has the support that it has inside networks, two sides of the kernel. A binomial filter of t taps
    is separable; the ideal one costs log2(N) multiplications for each of the N values that go in, and for each that
    comes out, as fast Fourier transforms do.
    """
    channels, h, w = layer.weight.shape[1:]
    factor = 2 * layer.stride // way.stride
    at = 1 if way.modulus and way.taps == 1 else factor**2  # positions of responses
    count = at * (2 * channels * (NETWORK_GRID * max(h, w)) ** 2 + 2 if way.modulus else channels * h * w)
    if way.taps == IDEAL:
        values = (size / way.stride) ** 2
        count += factor**2 * np.log2(values) + np.log2(values / factor**2)
    elif way.taps > 1:
        count += way.taps * (factor + 1)
    return float(count)


def memory(way: Way, layer: FirstLayer) -> int:
    """Numbers held for one kernel and one position of its final map, before they are subsampled."""
    at = 1 if way.modulus and way.taps == 1 else (2 * layer.stride // way.stride) ** 2
    return at * (2 if way.modulus else 1)


def reduction(way: Way, positions: int, centres: NDArray[np.int_], stride: int) -> NDArray[np.float64]:
    """Matrix that filters and subsamples one axis of a pooled map.

    Parameters
    ----------
    way : Way
    positions : int
        Of the pooled map along the axis.
    centres : ndarray, shape (n,), int
        Positions at which the results stand.
    stride : int
        Stride m of the layer, pixels.

    Returns
    -------
    ndarray, shape (n, positions), float64
        Rows sum to 1. The ideal low-pass continues the map by reflection: it keeps its lowest cosines.
    """
    if way.taps == IDEAL:
        cosines = fft.dct(np.eye(positions), axis=0, norm="ortho")
        kept = cosines[: -(-positions * way.stride // (2 * stride))]
        return np.asarray((kept.T @ kept)[centres])
    matrix = np.zeros((len(centres), positions))
    taps = binom(way.taps - 1, np.arange(way.taps)) / 2.0 ** (way.taps - 1)
    for offset, tap in enumerate(taps, start=-((way.taps - 1) // 2)):
        matrix[np.arange(len(centres)), centres + offset] += tap
    return matrix


class Energies(NamedTuple):
    """Sums of squares of each of n pictures, each array of shape (n, ways, L), float64."""

    change: NDArray[np.float64]  # of the maps under shifts, mean over the shifts
    energy: NDArray[np.float64]  # of the maps
    distance: NDArray[np.float64]  # from the maps of the modulus without a filter
    reference: NDArray[np.float64]  # of those


@dataclass(frozen=True, eq=False)
class WayMaps:
    """Maps of the kernels of a layer in several ways, and their change under shifts.

    Parameters
    ----------
    layer : FirstLayer
    ways : sequence of Way
    size : int
        Side of the pictures, pixels.
    shifts : sequence of (float, float)
        Shifts u, vertical then horizontal, pixels.

    Raises
    ------
    ValueError
        If pictures of that size do not hold two final positions.
    """

    layer: FirstLayer
    ways: tuple[Way, ...]
    size: int
    shifts: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        reach = NETWORK_GRID * max(self.layer.weight.shape[-2:])
        needed = reach + (2 * self._border + 2) * self.layer.stride + 2 * margin_for(self.shifts)
        if self.size < needed:
            raise ValueError(
                f"pictures of {self.size} pixels are too small for filters of {reach} pixels, their windows and "
                f"low-pass filters: expected at least {needed}"
            )

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process without the filters, which are large."""
        return {name: getattr(self, name) for name in ("layer", "ways", "size", "shifts")}

    def __call__(self, pictures: NDArray[Any]) -> Energies:
        """Return the sums of normalised pictures (n, C, size, size)."""
        parts = [self._one(picture[None]) for picture in pictures]
        return Energies(*(np.stack(part) for part in zip(*parts, strict=True)))

    def maps(self, pictures: NDArray[Any]) -> NDArray[Any]:
        """Output maps (ways, L, h, w) of one window (1, C, side, side) of a picture."""
        pooled: dict[tuple[bool, int, int], NDArray[Any]] = {}
        responses = {stride: respond(pictures)[:, 0] for stride, respond in self._responses.items()}
        maps = []
        for way, matrix in zip(self.ways, self._matrices, strict=True):
            if way[:3] not in pooled:
                z = responses[way.stride]
                pool = np.abs(z) if way.modulus else _dense_maximum(z.real, way.q)
                bias = self.layer.offset[:, None, None].astype(pool.dtype)
                pooled[way[:3]] = np.maximum(pool + bias, 0)
            maps.append(matrix @ pooled[way[:3]] @ matrix.T)
        return np.stack(maps)

    def _one(self, picture: NDArray[Any]) -> Energies:
        """Sums of one picture (1, C, size, size), each (ways, L)."""
        margin = margin_for(self.shifts)
        maps = self.maps(windows(picture, (0.0, 0.0), margin))
        moved = (self.maps(windows(picture, shift, margin)) for shift in self.shifts)
        change = np.mean([_squares(m - maps) for m in moved], axis=0)
        plain = maps[self._plain]
        reference = np.broadcast_to(_squares(plain), change.shape)
        return Energies(change, _squares(maps), _squares(maps - plain), reference)

    @property
    def _plain(self) -> int:
        """Position of the modulus without a filter among the ways."""
        return self.ways.index(Way(True, self.layer.stride, 0, 1))

    @property
    def _border(self) -> int:
        """Positions of the stride-m grid that windows and binomial filters need on each side."""
        return self.layer.q + 1 + MOST_TAPS // 2  # of the widest window at stride m; smaller strides need less

    @cached_property
    def _responses(self) -> dict[int, LayerResponses]:
        """Responses at each stride, scaled as in the network, with the sign of the gain."""
        weight = self.layer.weight.astype(np.float64)
        filters = self.layer.gain[:, None, None, None] * complex_filters(weight, NETWORK_GRID)
        side = self.size - 2 * margin_for(self.shifts)
        return {s: LayerResponses(filters, s, (side, side)) for s in {way.stride for way in self.ways}}

    @cached_property
    def _matrices(self) -> list[NDArray[np.float32]]:
        """Matrix of each way, at the same centres in pixels for all."""
        m = self.layer.stride
        count = self._responses[m].counts[0]
        centres = np.arange(self._border, count - self._border, 2)
        matrices = []
        for way in self.ways:
            positions = self._responses[way.stride].counts[0] - 2 * way.q
            at = centres * (m // way.stride) - way.q
            matrices.append(reduction(way, positions, at, m).astype(np.float32))
        return matrices


def _dense_maximum(y: NDArray[Any], q: int) -> NDArray[Any]:
    """Maximum over windows of side 2 q + 1 inside maps (L, h, w), at every position."""
    for axis in (1, 2):
        n = y.shape[axis] - 2 * q
        parts = [y[:, k : k + n] if axis == 1 else y[:, :, k : k + n] for k in range(2 * q + 1)]
        largest = parts[0].copy()
        for part in parts[1:]:
            np.maximum(largest, part, out=largest)
        y = largest
    return y


def _squares(maps: NDArray[Any]) -> NDArray[np.float64]:
    """Sum of squares of maps (..., h, w)."""
    return np.asarray(np.einsum("...hw,...hw->...", maps, maps, dtype=np.float64))
