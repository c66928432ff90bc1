"""Discrepancy and shift stability of the kernels of a first layer, measured on photographs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import fft

from analysis.kernels.layer import FirstLayer
from analysis.measurements.rmax_cmod import pool
from analysis.measurements.shift_experiment import (
    SHIFTS,
    ShiftExperiment,
    Sums,
    check_shifts,
    sums_of_maps,
    window_side,
)
from analysis.runs.feed import run
from wavelets.checks import integer, real_array, refuse_overflow
from wavelets.complex_filters import GRID, complex_filters
from wavelets.engine.threads import get_num_threads, over_batch
from wavelets.kernel_kinds import dead_kernels


class LayerResponses:
    r"""Responses of all kernels of a layer, at its stride, by the fast Fourier transform.

    .. math:: Z_l[n] = \sum_c \sum_k X_c[mn + k]\,W_{lc}[k]

    on the valid region of the complex filters: no border rule, and no padding, enters.

    Parameters
    ----------
    filters : ndarray, shape (L, C, N, N), complex
        Correlation kernels W.
    stride : int
        m, pixels.
    size : (int, int)
        Height and width of the pictures, pixels.
    dtype : numpy dtype
        float32 or float64: the precision of the responses.
    q : int
        Half-width of the pooling window, of which the valid region must hold one.
    reach : int, optional
        Side that the filters have for the valid region, pixels: by default N.

    Raises
    ------
    ValueError
        If it does not.
    """

    def __init__(
        self,
        filters: NDArray[Any],
        stride: int,
        size: tuple[int, ...],
        dtype: Any = np.float32,
        q: int = 1,
        reach: int | None = None,
    ) -> None:
        self.stride = stride
        reach = filters.shape[-1] if reach is None else reach
        self.counts = [(n - reach) // stride + 1 if n >= reach else 0 for n in size]
        if min(self.counts) < 2 * q + 1:
            raise ValueError(
                f"pictures of {size[0]}x{size[1]} pixels are too small for filters of {reach}x{reach} at stride "
                f"{stride}: expected at least {reach + 2 * q * stride} pixels, one pooling window"
            )
        self.points = period(max(size), stride)
        self.dtype = np.result_type(dtype, np.complex64)
        # A frequency of the stride's grid is the sum of those that fold on it, so of channels and of these together.
        side, self.terms = self.points // stride, filters.shape[1] * stride**2
        self.spectra = np.empty((side, side, len(filters), self.terms), self.dtype)

        def work(part: slice) -> None:
            for index in range(part.start, part.stop):  # all at once would take twice the memory of the result
                # Column by column first, of which there are few: the rows beyond the filters are zeros.
                columns = fft.fft(np.conj(filters[index : index + 1]), self.points, axis=-2)
                spectra = np.conj(fft.fft(columns, self.points)) / stride**2
                terms = folding(spectra, stride)[0].transpose(2, 4, 0, 1, 3).reshape(side, side, self.terms)
                with np.errstate(over="ignore"):  # refused below
                    self.spectra[:, :, index] = terms

        over_batch(work, len(filters))
        refuse_overflow(self.spectra.view(self.spectra.real.dtype), "the spectrum of the filters")

    def __call__(self, pictures: NDArray[Any]) -> NDArray[Any]:
        """Return the responses, shape (L, n, h, w), to pictures (n, C, H, W)."""
        threads = get_num_threads()
        shape = (self.points, self.points)
        spectra = folding(fft.fft2(pictures, shape, workers=threads).astype(self.dtype, copy=False), self.stride)
        side, count = self.points // self.stride, len(pictures)
        products = np.empty((self.spectra.shape[2], count, side, side), self.dtype)

        def work(part: slice) -> None:
            for row in range(part.start, part.stop):  # one after the other stays in the cache
                terms = spectra[:, :, :, row].transpose(4, 1, 2, 3, 0).reshape(side, self.terms, count)
                products[:, :, row] = (self.spectra[row] @ terms).transpose(1, 2, 0)

        over_batch(work, side)
        responses: NDArray[Any] = fft.ifft2(products, workers=threads, overwrite_x=True)
        return responses[..., : self.counts[0], : self.counts[1]]


def folding(spectra: NDArray[Any], stride: int) -> NDArray[Any]:
    """View of spectra (n, C, P, P) as (n, C, m, P / m, m, P / m): frequencies that fold on one another apart."""
    side = spectra.shape[-1] // stride
    return spectra.reshape(*spectra.shape[:2], stride, side, stride, side)


def period(side: int, stride: int) -> int:
    """Side of the Fourier grid for pictures of some side: every stride-th position is a folding of its spectrum."""
    return int(stride * fft.next_fast_len(-(-side // stride)))


class LayerOperators:
    """RMax and CMod of the kernels of a first layer, as the shift experiment needs them.

    Parameters
    ----------
    layer : FirstLayer
    grid : int
        Side of the grid of the Hilbert transform, in sides of the kernel.
    side : int
        Side of the windows of the pictures, pixels.
    dtype : numpy dtype
        float32 or float64: the precision of the responses.
    """

    def __init__(self, layer: FirstLayer, grid: int, side: int, dtype: Any = np.float32) -> None:
        self.layer, self.grid, self.side, self.dtype = layer, grid, side, dtype

    def __getstate__(self) -> dict[str, Any]:
        """Travel to another process without the filters and their spectra, which are large."""
        return {name: getattr(self, name) for name in ("layer", "grid", "side", "dtype")}

    @cached_property
    def alive(self) -> NDArray[np.bool_]:
        """True for each kernel that is not dead; shape (L,)."""
        return ~dead_kernels(self.layer.weight)

    @cached_property
    def filters(self) -> NDArray[np.complex128]:
        """Complex filters W of all kernels, shape (L, C, N, N), to the scale of V."""
        return complex_filters(self.layer.weight.astype(np.float64), self.grid)

    @cached_property
    def gains(self) -> NDArray[np.float64]:
        """Size of the responses in the network over that of those measured here, shape (L,); 0 for dead kernels."""
        return np.where(self.alive, np.abs(self.layer.gain) * peaks(self.layer.weight).ravel(), 0)

    @cached_property
    def responses(self) -> LayerResponses:
        """Responses of the kernels that are not dead, each with the sign of its gain and a largest weight of 1."""
        # Ratios do not depend on the scale, and float32 likes numbers about 1. What the network pools has its sign.
        signs = np.where(self.layer.gain < 0, -1, 1)[:, None, None, None]
        scales = np.where(self.alive, peaks(self.layer.weight).ravel(), 1)[:, None, None, None]
        filters = (signs * self.filters / scales)[self.alive]
        return LayerResponses(filters, self.layer.stride, (self.side, self.side), self.dtype, self.layer.q)

    def __call__(self, pictures: Sequence[NDArray[Any]]) -> Sums[NDArray[np.float64]]:
        """Return sums of windows (n, C, side, side); zeros for dead kernels."""
        sums = sums_of_maps(self._maps, pictures, self._output)
        assert sums.outputs is not None
        outputs = self._spread(sums.outputs[:, :, :, None])[..., 0]
        return Sums(self._spread(sums.energies), self._spread(sums.changes), sums.positions, outputs)

    def _maps(self, pictures: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """RMax and CMod, each (n, kernels that are not dead, h, w)."""
        r, c = pool(self.responses(pictures), self.layer.q)
        return r.swapaxes(0, 1), c.swapaxes(0, 1)

    def _output(self, r: NDArray[Any]) -> NDArray[Any]:
        """Output of the layer, divided by `gains`, from RMax (n, kernels that are not dead, h, w)."""
        gains = self.gains[self.alive]
        # Without gain the map is constant: it is left silent.
        level = np.divide(self.layer.offset[self.alive], gains, out=np.full(len(gains), -np.inf), where=gains > 0)
        return np.asarray(np.maximum(r + level[:, None, None].astype(r.dtype), 0))

    def _spread(self, part: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sums (., n, L, ...) from those of the kernels that are not dead."""
        spread = np.zeros((*part.shape[:2], len(self.alive), *part.shape[3:]))
        spread[:, :, self.alive] = part
        return spread


def peaks(weight: NDArray[Any]) -> NDArray[np.float64]:
    """Largest weight of each kernel by its size, shape (L, 1, 1, 1), float64."""
    return np.asarray(np.abs(weight).max(axis=(1, 2, 3), keepdims=True), np.float64)


def kernel_experiment(
    layer: FirstLayer,
    shifts: Sequence[Sequence[float]] = SHIFTS,
    size: int = 224,
    grid: int = GRID,
    dtype: Any = np.float32,
) -> ShiftExperiment:
    """Shift experiment over all kernels of a first layer.

    Parameters
    ----------
    layer : FirstLayer
    shifts : sequence of (float, float)
        Shifts u, vertical then horizontal, pixels.
    size : int
        Side of the pictures, pixels.
    grid : int
        Side of the grid of the Hilbert transform, in sides of the kernel.
    dtype : numpy dtype
        float32 or float64: the precision of the responses.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or pictures of that size have no valid region.
    """
    shifts = check_shifts(shifts)
    reach = integer("grid", grid, 1) * max(layer.weight.shape[-2:])
    side = window_side(size, shifts, reach + 2 * layer.q * layer.stride, f"filters of {reach} pixels")
    index = xr.Dataset(
        coords={"index": ("kernel", np.arange(len(layer.weight)))},
        attrs={"size": size, "boundary": "valid region only", "output": layer.order},
    )
    operators = LayerOperators(layer, grid, side, dtype)
    return ShiftExperiment(operators, index, size, shifts, layer.mean, layer.std, operators.gains)


def measure_kernels(
    layer: FirstLayer,
    images: str | os.PathLike[str] | Iterable[Any],
    shifts: Sequence[Sequence[float]] = SHIFTS,
    size: int = 224,
    grid: int = GRID,
    progress: bool = True,
    on_skip: Callable[[str, str], object] | None = None,
    root: str | os.PathLike[str] | None = None,
    **feeding: Any,
) -> xr.Dataset:
    r"""Measure how far RMax is from CMod, and how stable each is, for every kernel of a first layer.

    Parameters
    ----------
    layer : FirstLayer
    images : path, or iterable of paths, arrays or Pictures
        As for :func:`analysis.heatmaps`. All channels of the layer are used, normalised as the layer says.
    shifts : sequence of (float, float)
        Shifts u, vertical then horizontal, pixels.
    size : int
        Side to which every picture is brought, pixels.
    grid : int
        Side of the grid of the Hilbert transform, in sides of the kernel.
    progress : bool
        Show a progress bar on standard error.
    on_skip : callable, optional
        Called with the name and the reason of each picture that is left out.
    root : path, optional
        The result names skipped files relative to this folder, by default the one given as `images`.
    **feeding
        For :func:`analysis.runs.feed.feed`.

    Returns
    -------
    xarray.Dataset
        Dimensions `kernel` and `shift`: `rho`, `eta_rmax`, `eta_cmod` as :func:`analysis.heatmaps` defines them, each
        with `_stderr` and `_rms`; `eta_output`, the like for the layer's output; `share_of_change`, the part of the
        squared change of the layer's output that each kernel makes, over all shifts, mean over pictures, with
        `_stderr`; `count`. NaN for dead kernels, whose share is 0. The attribute `output` says what is taken for the
        output.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, or no picture could be used.
    FileNotFoundError, NotADirectoryError
        If the folder is not there.

    Notes
    -----
    theory.md 5.2 and 3.6. Responses are those of the whole colour kernel; W is taken channel by channel in the same
    half-plane, so that its real part is V. Positions whose filter reaches over the border are left out, and the
    padding of the network with them. Bias and ReLU commute with the pooling, and so does a batch normalisation with
    positive scales: they enter `eta_output` and the shares alone, which are of :math:`\operatorname{ReLU}(a\mathcal R +
    b)`. A kernel whose scale is negative is pooled as -V, here too.
    """
    experiment = kernel_experiment(layer, shifts, size, grid)
    (dataset,) = run(images, [experiment], progress, on_skip, root, desc="kernels", **feeding)
    return dataset


def network_output(layer: FirstLayer, pictures: NDArray[Any]) -> NDArray[Any]:
    r"""Output of convolution, bias, ReLU and max pooling, as the network computes it.

    Parameters
    ----------
    layer : FirstLayer
    pictures : ndarray, shape (n, C, H, W), real
        Normalised pictures.

    Returns
    -------
    ndarray, shape (n, L, h, w)

    Raises
    ------
    TypeError, ValueError
        If the pictures are not finite and real, of another number of channels, or too small.

    Notes
    -----
    By theory.md 3.6, :math:`\max_p\operatorname{ReLU}(aY_p + b) = \operatorname{ReLU}(b + \max_p aY_p)`: this is RMax
    of the scaled kernels, then bias and ReLU. Padding of the pooling is minus infinity, as in networks.
    """
    x = real_array(pictures, "pictures", 4)
    channels, h, w = layer.weight.shape[1:]
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(f"pictures have shape {x.shape}; expected (n, {channels}, H, W)")
    p = layer.padding
    x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    side = max(h, w)
    # Zeros complete kernels that are not square; the rows and columns that they add to the picture are not valid.
    filters = np.pad(
        layer.gain[:, None, None, None] * layer.weight, ((0, 0), (0, 0), (0, side - h), (0, side - w))
    ).astype(complex)
    x = np.pad(x, ((0, 0), (0, 0), (0, side - h), (0, side - w)))
    y = LayerResponses(filters, layer.stride, x.shape[-2:], x.dtype, q=0)(x).real
    p = layer.pool_padding
    y = np.pad(y, ((0, 0), (0, 0), (p, p), (p, p)), constant_values=-np.finfo(y.dtype).max / 4)
    r = pool(y, layer.q)[0].swapaxes(0, 1)
    return np.asarray(np.maximum(r + layer.offset[:, None, None].astype(r.dtype), 0))
