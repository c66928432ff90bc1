"""Checks, Fourier factors and expected squares of the operators that both models of images share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray
from scipy import fft

from analysis.measurements.packet_coordinates import filter_coordinates
from analysis.measurements.shift_experiment import FORMULAS, shift_coordinates
from analysis.measurements.spectra import check_spectra, check_spectrum
from analysis.measurements.translation import check_shift
from analysis.runs.progress import Bar
from wavelets import DualTreePackets2D
from wavelets.checks import from_torch, integer, real_array

MOMENTS = ("discrepancy", "cmod", "rmax", "rmax_change", "cmod_change")
SILENCE = 1e-20  # energies below this part of the loudest filter's are rounding errors


def rms(moments: xr.Dataset) -> xr.Dataset:
    """Root-mean-square ratios of expected squares.

    Parameters
    ----------
    moments : xarray.Dataset
        Of `gaussian_moments`, `isolated_moments`, or a weighted sum of the two.

    Returns
    -------
    xarray.Dataset
        `rho_rms`, `eta_rmax_rms`, `eta_cmod_rms`, and the standard error of each where there are replicates.
    """
    pairs = {"rho": ("discrepancy", "cmod"), "eta_rmax": ("rmax_change", "rmax"), "eta_cmod": ("cmod_change", "cmod")}
    sampled = "replicate" in moments.dims
    mean = moments.mean("replicate") if sampled else moments
    result = xr.Dataset(attrs=moments.attrs)
    for name, (top, bottom) in pairs.items():
        long_name = f"{FORMULAS[name]}, predicted root of the ratio of mean squares"
        result[f"{name}_rms"] = _ratio(mean, top, bottom).assign_attrs(long_name=long_name, units="1")
        spread = _ratio(moments, top, bottom).std("replicate", ddof=1) if sampled else 0 * result[f"{name}_rms"]
        result[f"{name}_rms_stderr"] = spread / np.sqrt(moments.sizes.get("replicate", 1))
    return result


def checked(
    kernels: ArrayLike | DualTreePackets2D,
    spectrum: ArrayLike,
    stride: int | None,
    shifts: Sequence[Sequence[float]],
    q: int,
) -> tuple[NDArray[np.complex128], NDArray[Any], int, NDArray[np.float64]]:
    """Kernels, spectrum, stride, and shifts (S, 2), after all checks."""
    if isinstance(kernels, DualTreePackets2D):
        stride = kernels.stride if stride is None else stride
        kernels = kernels.kernels()
    if stride is None:
        raise TypeError("stride is missing; expected the stride m of the convolution, pixels")
    integer("stride", stride, 1)
    integer("q", q, 0)
    bank, power = check_model(kernels, spectrum)
    moves = np.array([check_shift(shift) for shift in shifts]).reshape(-1, 2)
    if len(moves) == 0:
        raise ValueError("shifts is empty; expected at least one, such as (0, 1)")
    reach = max(bank.shape[-2:]) + 2 * q * stride + int(np.ceil(np.abs(moves).max()))
    if reach > power.shape[-1]:
        raise ValueError(
            f"kernels of {bank.shape[-2]}x{bank.shape[-1]} pixels with their window and shifts reach over {reach} "
            f"pixels; a spectrum of {power.shape[-1]} points would wrap them round: estimate it with more"
        )
    return bank, power, stride, moves


def check_model(kernels: ArrayLike, spectrum: ArrayLike) -> tuple[NDArray[np.complex128], NDArray[Any]]:
    """Kernels (L, h, w) and spectrum (P, P), or (L, C, h, w) and (C, C, P, P), as copies, after all checks."""
    kernels = np.asarray(from_torch(kernels))
    if kernels.ndim not in (3, 4):
        raise ValueError(f"kernels has shape {kernels.shape}; expected (L, h, w) or (L, C, h, w)")
    real_array(kernels.real, "kernels", 3)
    real_array(kernels.imag, "kernels", 3)
    power = check_spectra(spectrum) if kernels.ndim == 4 else check_spectrum(spectrum)
    if kernels.ndim == 4 and kernels.shape[1] != power.shape[0]:
        raise ValueError(
            f"kernels have {kernels.shape[1]} channels and the spectra {power.shape[0]}; expected the same"
        )
    if max(kernels.shape[-2:]) > power.shape[-1]:
        raise ValueError(
            f"kernels of {kernels.shape[-2]}x{kernels.shape[-1]} pixels do not fit a spectrum of "
            f"{power.shape[-1]} points"
        )
    return kernels.astype(complex), power


def transfer_function(kernels: NDArray[Any], size: int) -> NDArray[np.complex128]:
    """Factor by which correlation with a kernel multiplies each wave: sum of W[k] exp(i <omega, k>)."""
    columns = fft.fft(np.conj(kernels), size, axis=-2)  # few: the others are zeros
    return np.asarray(np.conj(fft.fft(columns, size)))


def phase_factors(omega: NDArray[np.float64], lags: ArrayLike) -> NDArray[np.complex128]:
    """exp(i lag omega), shape (..., P); real at the Nyquist frequency of an even grid, as for real images."""
    factors = np.exp(1j * np.asarray(lags)[..., None] * omega)
    if omega.size % 2 == 0:
        factors[..., omega.size // 2] = factors[..., omega.size // 2].real
    return factors


def empty_moments(
    kernels: ArrayLike | DualTreePackets2D, stride: int, moves: NDArray[np.float64], replicates: int | None = None
) -> xr.Dataset:
    """Zeros for every filter and shift, with the coordinates of the heatmap dataset if a transform is given."""
    coords = shift_coordinates(moves)
    attributes: dict[str, object] = {}
    if isinstance(kernels, DualTreePackets2D):
        coords |= filter_coordinates(kernels)
        attributes = {"levels": kernels.levels, "stride": stride, "filters": kernels.bank.name}
        count = len(kernels.frequencies)
    else:
        count = np.shape(kernels)[0]
    dims = (("replicate",) if replicates else ()) + ("filter", "shift")
    shape = ((replicates,) if replicates else ()) + (count, len(moves))
    return xr.Dataset({name: (dims, np.zeros(shape)) for name in MOMENTS}, coords, attributes)


def reduced(moments: xr.Dataset) -> xr.Dataset:
    """Take energies relative to that of CMod; those that no shift enters lose that dimension."""
    for name in ("discrepancy", "cmod", "rmax"):
        moments[name] = moments[name].mean("shift")
    energy = moments.cmod.mean("replicate") if "replicate" in moments.dims else moments.cmod
    with np.errstate(invalid="ignore", divide="ignore"):
        # Beside the loudest filter, one that the spectrum does not excite has rounding errors only.
        ratios: xr.Dataset = moments / energy.where(energy > SILENCE * energy.max())
        return ratios


def progress_bar(name: str, total: int, progress: bool) -> Bar:
    """A progress bar that counts filters, once for each shift."""
    return Bar(name, total, "filters", progress)


def _ratio(moments: xr.Dataset, top: str, bottom: str) -> xr.DataArray:
    return cast("xr.DataArray", np.sqrt(moments[top] / moments[bottom]))
