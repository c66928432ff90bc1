"""Discrepancy and shift stability of the kernels of a first layer, measured on photographs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy import fft

from analysis.kernels.layer import FirstLayer
from analysis.measurements import loops
from analysis.measurements.rmax_cmod import pool
from analysis.measurements.shift_experiment import SHIFTS, Stability, shift_coordinates, sums_of_maps
from analysis.measurements.translation import margin_for
from analysis.runs.blocks import Measurement
from analysis.runs.feed import feed
from analysis.runs.totals import Total
from wavelets.checks import integer, real_array
from wavelets.complex_filters import GRID, complex_filters, dead_kernels
from wavelets.engine.threads import get_num_threads, over_batch


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

    Raises
    ------
    ValueError
        If it does not.
    """

    def __init__(
        self, filters: NDArray[Any], stride: int, size: tuple[int, int], dtype: Any = np.float32, q: int = 1
    ) -> None:
        self.stride, self.size = stride, size
        reach = filters.shape[-1]
        self.counts = tuple((n - reach) // stride + 1 if n >= reach else 0 for n in size)
        if min(self.counts) < 2 * q + 1:
            raise ValueError(
                f"pictures of {size[0]}x{size[1]} pixels are too small for filters of {reach}x{reach} at stride "
                f"{stride}: expected at least {reach + 2 * q * stride} pixels, one pooling window"
            )
        # A multiple of the stride, so that every stride-th position is a folding of the spectrum.
        self.points = stride * fft.next_fast_len(-(-max(size) // stride))
        self.dtype = np.result_type(dtype, np.complex64)
        self.use(filters)

    def use(self, filters: NDArray[Any]) -> None:
        """Take these filters from now on, without a change of the valid region; shape (L, C, N, N), N <= points."""
        spectra = np.conj(fft.fft2(np.conj(filters), (self.points, self.points), workers=get_num_threads()))
        self.spectra = np.ascontiguousarray(spectra, dtype=self.dtype)

    def __call__(self, pictures: NDArray[Any]) -> NDArray[Any]:
        """Return the responses, shape (L, n, h, w), to pictures (n, C, H, W)."""
        threads = get_num_threads()
        shape = (self.points, self.points)
        spectra = fft.fft2(pictures, shape, workers=threads).astype(self.dtype, copy=False)
        side = self.points // self.stride
        folded = np.empty((len(self.spectra), len(pictures), side, side), self.dtype)
        over_batch(
            lambda part: loops.folded_products(spectra, self.spectra[part], self.stride, folded[part]), len(folded)
        )
        responses = fft.ifft2(folded, workers=threads, overwrite_x=True)
        return responses[..., : self.counts[0], : self.counts[1]]


class LayerExperiment:
    """Sums of the measurement of one first layer, fed with blocks of pictures.

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

    def __init__(
        self,
        layer: FirstLayer,
        shifts: Sequence[Sequence[float]] = SHIFTS,
        size: int = 224,
        grid: int = GRID,
        dtype: Any = np.float32,
    ) -> None:
        self.layer, self.size = layer, integer("size", size, 1)
        self._arguments = (layer, shifts, size, grid, dtype)
        reach = integer("grid", grid, 1) * max(layer.weight.shape[-2:])
        needed = reach + 2 * layer.q * layer.stride + 2 * margin_for(shifts)
        if size < needed:
            raise ValueError(
                f"pictures of {size} pixels are too small for filters of {reach} pixels, their pooling window and "
                f"these shifts: expected at least {needed}"
            )
        self.alive = ~dead_kernels(layer.weight)
        self.sums = Stability(int(self.alive.sum()), shifts)
        self.mean, self.std = (np.array(v, dtype)[:, None, None] for v in (layer.mean, layer.std))
        weight = layer.weight[self.alive].astype(np.float64)
        # Ratios do not depend on the scale, and float32 likes numbers about 1.
        weight = weight / np.abs(weight).max(axis=(1, 2, 3), keepdims=True)
        side = size - 2 * self.sums.margin
        filters = complex_filters(weight, grid)
        self.responses = LayerResponses(filters, layer.stride, (side, side), dtype, layer.q)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel to another process as arguments, without the sums so far."""
        return LayerExperiment, self._arguments

    @property
    def length(self) -> int:
        """Entries of the vector of sums."""
        return self.total.length

    @property
    def total(self) -> Total:
        """Sums over all pictures so far."""
        return self.sums.total

    @total.setter
    def total(self, total: Total) -> None:
        self.sums.total = total

    def measure(
        self, pictures: NDArray[Any], names: Sequence[str] = ()
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """Measure a block of pictures, and leave the sums so far alone.

        Parameters
        ----------
        pictures : ndarray, shape (n, C, size, size), or (n, size, size) for one channel, real
            Pixels in [0, 1].

        Returns
        -------
        sums : ndarray, shape (N,), float64
            To be added to `total`.
        used : ndarray, shape (n,), bool
            Whether each picture was used; a flat one is not, and adds nothing.

        Raises
        ------
        ValueError
            If the pictures have another shape.
        """
        channels = self.layer.weight.shape[1]
        pictures = pictures[:, None] if pictures.ndim == 3 and channels == 1 else pictures
        expected = (channels, self.size, self.size)
        if pictures.shape[1:] != expected:
            raise ValueError(f"pictures have shape {pictures.shape}; expected (n, {', '.join(map(str, expected))})")
        return self.sums.measure((pictures - self.mean) / self.std, sums_of_maps(self._operators))

    def add(self, pictures: NDArray[Any]) -> NDArray[np.bool_]:
        """Measure a block of pictures, add the result, and return which were used; see `measure`."""
        sums, used = self.measure(pictures)
        self.total.add(sums)
        return used

    def dataset(self) -> xr.Dataset:
        """Return the result so far, without provenance; NaN for dead kernels."""
        alive = xr.Dataset(self.sums.variables("kernel"), shift_coordinates(self.sums.shifts))
        alive = alive.assign_coords(index=("kernel", np.flatnonzero(self.alive)))
        every = xr.Dataset(coords={"index": ("kernel", np.arange(len(self.alive)))})
        for name, values in alive.data_vars.items():
            filled = np.full((len(self.alive), *values.shape[1:]), 0 if name == "count" else np.nan, values.dtype)
            filled[self.alive] = values
            every[name] = (values.dims, filled, values.attrs)
        return every.assign_coords({name: alive[name] for name in ("shift_y", "shift_x")})

    def _operators(self, pictures: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """RMax and CMod, each (n, L, h, w)."""
        r, c = pool(self.responses(pictures), self.layer.q)
        return r.swapaxes(0, 1), c.swapaxes(0, 1)


def measure_kernels(
    layer: FirstLayer,
    images: str | os.PathLike[str] | Iterable[Any],
    shifts: Sequence[Sequence[float]] = SHIFTS,
    size: int = 224,
    grid: int = GRID,
    progress: bool = True,
    on_skip: Callable[[str, str], object] | None = None,
    root: str | os.PathLike[str] | None = None,
    others: Sequence[Measurement] = (),
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
    others : sequence of Measurement
        What else is measured of the same pictures.
    **feeding
        For :func:`analysis.runs.feed.feed`.

    Returns
    -------
    xarray.Dataset
        Dimensions `kernel` and `shift`: `rho`, `eta_rmax`, `eta_cmod` as :func:`analysis.heatmaps` defines them, each
        with `_stderr` and `_rms`; `count`. NaN for dead kernels.

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
    padding of the network with them; bias and ReLU commute with the pooling and are left out as well. So does a batch
    normalisation with positive scales; a kernel whose scale is negative is pooled as -V, which is not looked at here.
    """
    experiment = LayerExperiment(layer, shifts, size, grid)
    colour = layer.weight.shape[1] == 3
    measurements = [experiment, *others]
    provenance = feed(images, measurements, size, colour, "kernels", progress, on_skip, root, **feeding)
    return experiment.dataset().assign_attrs(provenance | {"size": size, "boundary": "valid region only"})


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
    By theory.md 3.6, :math:`\max_p\operatorname{ReLU}(Y_p + b) = \operatorname{ReLU}(b + \max_p Y_p)`: this is RMax,
    then bias and ReLU. Padding of the pooling is minus infinity, as in networks.
    """
    x = real_array(pictures, "pictures", 4)
    channels, h, w = layer.weight.shape[1:]
    if x.ndim != 4 or x.shape[1] != channels:
        raise ValueError(f"pictures have shape {x.shape}; expected (n, {channels}, H, W)")
    p = layer.padding
    x = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
    side = max(h, w)
    # Zeros complete kernels that are not square; the rows and columns that they add to the picture are not valid.
    filters = np.pad(layer.weight, ((0, 0), (0, 0), (0, side - h), (0, side - w))).astype(complex)
    x = np.pad(x, ((0, 0), (0, 0), (0, side - h), (0, side - w)))
    y = LayerResponses(filters, layer.stride, x.shape[-2:], x.dtype, q=0)(x).real
    p = layer.pool_padding
    y = np.pad(y, ((0, 0), (0, 0), (p, p), (p, p)), constant_values=-np.finfo(y.dtype).max / 4)
    r = pool(y, layer.q)[0].swapaxes(0, 1)
    bias = 0 if layer.bias is None else layer.bias[:, None, None].astype(r.dtype)
    return np.maximum(r + bias, 0)
