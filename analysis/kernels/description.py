"""Description of the kernels of a first layer: frequency, orientation, localisation, colour, Gabor fit and class."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from analysis.kernels.gabor_fit import PARAMETERS, fit_gabor
from analysis.kernels.layer import FirstLayer
from analysis.kernels.sources import first_layer
from analysis.runs.progress import track
from analysis.theory import gamma
from wavelets import characteristic_frequency
from wavelets.complex_filters import GRID, complex_filters
from wavelets.hilbert import facing_right
from wavelets.kernel_kinds import chroma, classify, dead_kernels, first_colour, spectrum_shape
from wavelets.spectrum import bandwidth, energy_in_window

WAVES = 0.25  # of the frequency theta: a Gabor fit with less is an envelope, and its phase says nothing
ENERGY = 0.9  # inside the square whose side is the bandwidth


def describe_kernels(
    layer: FirstLayer | ArrayLike,
    stride: int | None = None,
    grid: int = GRID,
    progress: bool = True,
    filters: NDArray[Any] | None = None,
    **options: Any,
) -> xr.Dataset:
    r"""Describe the kernels of a first layer, one by one.

    Parameters
    ----------
    layer : FirstLayer, or what :func:`analysis.first_layer` takes
        A name, a file, weights of shape (L, C, h, w) or (L, h, w) as an array or a torch tensor, a torch ``Conv2d``.
    stride : int, optional
        Stride m of the convolution, pixels; needed where the layer does not carry it.
    grid : int
        Side of the grid of the Hilbert transform, in sides of the kernel.
    progress : bool
        Show a progress bar on standard error.
    filters : ndarray, shape (L, C, N, N), complex, optional
        ``complex_filters(layer.weight, grid)``, if it is there already.
    **options
        Further arguments of :func:`analysis.first_layer`.

    Returns
    -------
    xarray.Dataset
        Dimensions `kernel`, `channel` and `gabor_parameter`. `kind` ("band-pass", "blob", "low-pass", "dead");
        `theta_y`, `theta_x` (rad/sample, of the correlation kernel, theta_x >= 0), `bandwidth` (side of the square
        about theta with 90 % of the energy of W, rad/sample), `energy_in_window` (part of it inside
        :math:`B_\infty(\theta, \pi/2m)`); `wavelength` (pixels), `orientation` (of the wave vector: degrees from the
        horizontal towards the bottom), `phase` (of the Gabor fit at its centre, rad; NaN where the fit is hardly a
        wave); `monochrome` (share of the first colour), `colour` (its direction), `chroma` (part of that off the grey
        axis); `gabor_r2`; `coherence` and `passes_zero`, which decide the class; `cell_y`, `cell_x` (cell of the packet
        tiling of depth `levels` in which theta lies, from 0 at -pi); `gamma` (:math:`\gamma_q(m\theta)`); `gabor`, the
        parameters of the Gabor fit (see :func:`analysis.kernels.fit_gabor`). NaN, and -1 for cells, where a kernel is
        dead.

    Raises
    ------
    TypeError, ValueError
        As :func:`analysis.first_layer`.

    Notes
    -----
    All but the colours is measured on the first colour of a kernel (theory.md 3.6). For the classes see
    :func:`wavelets.kernel_kinds.kernel_kinds`.
    """
    layer = first_layer(layer, stride=stride, progress=progress, **options)
    if filters is None:
        filters = complex_filters(layer.weight.astype(np.float64), grid)
    return description(layer, grid, kernel_measures(layer, filters, progress))


Measures = dict[int, tuple[dict[str, Any], NDArray[np.float64]]]
"""Measures by name, and the parameters of the Gabor fit, of each kernel that is not dead."""


def kernel_measures(layer: FirstLayer, filters: NDArray[Any], progress: bool = False) -> Measures:
    """Measure the kernels one by one, for `description`; `filters` is that of `describe_kernels`."""
    plane, colour, _ = first_colour(layer.weight)
    filters = np.einsum("lc,lcyx->lyx", colour, filters)  # of the first colour
    alive = np.flatnonzero(~dead_kernels(layer.weight)).tolist()
    levels = packet_levels(layer.stride)
    return {
        index: _measured(filters[index], plane[index], layer.stride, levels)
        for index in track(alive, "describe", "kernels", progress)
    }


def description(layer: FirstLayer, grid: int, measures: Measures) -> xr.Dataset:
    """Dataset that `describe_kernels` returns, of what `kernel_measures` found."""
    dead = dead_kernels(layer.weight)
    _, colour, share = first_colour(layer.weight)
    count, m, levels = len(dead), layer.stride, packet_levels(layer.stride)
    columns = {name: np.full(count, np.nan) for name in MEANINGS}
    columns["monochrome"] = np.where(dead, np.nan, share)
    columns["chroma"] = np.where(dead, np.nan, chroma(colour))
    for name in ("cell_y", "cell_x"):
        columns[name] = np.full(count, -1)
    gabors = np.full((count, len(PARAMETERS)), np.nan)
    for index, (row, gabors[index]) in measures.items():
        row["gamma"] = gamma(m * np.array([row["theta_y"], row["theta_x"]]), layer.q)
        for name, value in row.items():
            columns[name][index] = value
    kind = classify(dead, columns["coherence"], columns["passes_zero"], columns["chroma"])
    dataset = xr.Dataset(
        {"kind": ("kernel", kind, {"long_name": "class of the kernel"})}
        | {
            name: ("kernel", values, {"long_name": MEANINGS[name][0], "units": MEANINGS[name][1]})
            for name, values in columns.items()
        },
        {"index": ("kernel", np.arange(count), {"long_name": "position in the layer, from 0"})},
    )
    dataset["colour"] = (("kernel", "channel"), np.where(dead[:, None], np.nan, colour), {"long_name": "first colour"})
    dataset["gabor"] = (("kernel", "gabor_parameter"), gabors, {"long_name": "parameters of the Gabor fit"})
    dataset = dataset.assign_coords(gabor_parameter=list(PARAMETERS))
    return dataset.assign_attrs(
        title="Kernels of a trained first layer",
        layer=layer.name,
        origin=layer.origin,
        parameter=layer.parameter,
        weights_sha256=layer.sha256,
        stride=layer.stride,
        padding=layer.padding,
        pool=layer.pool,
        pool_padding=layer.pool_padding,
        q=layer.q,
        mean=list(layer.mean),
        std=list(layer.std),
        height=layer.weight.shape[2],
        width=layer.weight.shape[3],
        channels=layer.weight.shape[1],
        levels=levels,
        grid=grid,
    )


def characteristic_frequencies(layer: FirstLayer, grid: int = GRID) -> NDArray[np.float64]:
    """Characteristic frequency of each kernel, as `describe_kernels` finds it, without the rest.

    Parameters
    ----------
    layer : FirstLayer
    grid : int
        Side of the grid of the Hilbert transform, in sides of the kernel.

    Returns
    -------
    ndarray, shape (L, 2), float64
        Vertical and horizontal, rad/sample, the latter not negative; NaN where a kernel is dead.
    """
    dead = dead_kernels(layer.weight)
    _, colour, _ = first_colour(layer.weight)
    filters = np.einsum("lc,lcyx->lyx", colour, complex_filters(layer.weight.astype(np.float64), grid))
    theta = np.full((len(dead), 2), np.nan)
    for index in np.flatnonzero(~dead):
        theta[index] = facing_right(characteristic_frequency(filters[index], np.pi / layer.stride))
    return theta


MEANINGS = {
    "theta_y": ("characteristic frequency, vertical", "rad/sample"),
    "theta_x": ("characteristic frequency, horizontal", "rad/sample"),
    "wavelength": ("wavelength at the characteristic frequency", "pixel"),
    "orientation": ("direction of the wave vector, from the horizontal towards the bottom", "degree"),
    "phase": ("phase of the Gabor fit at its centre", "rad"),
    "bandwidth": ("side of the square about theta with 90 % of the energy of W", "rad/sample"),
    "energy_in_window": ("part of the energy of W inside B(theta, pi/2m)", "1"),
    "gabor_r2": ("R2 of the least-squares Gabor fit", "1"),
    "monochrome": ("share of the energy in the first colour", "1"),
    "chroma": ("part of the first colour off the grey axis", "1"),
    "coherence": ("agreement of the directions of the spectrum", "1"),
    "passes_zero": ("|V^|^2 at zero frequency, of its maximum", "1"),
    "cell_y": ("packet cell of theta, vertical", "1"),
    "cell_x": ("packet cell of theta, horizontal", "1"),
    "gamma": ("gamma_q(m theta), the narrow-band limit of rho", "1"),
}


def packet_levels(stride: int) -> int:
    """Depth J of the packets whose stride 2**(J - 1) is the smallest one not below the layer's."""
    return int(np.ceil(np.log2(stride))) + 1


def _measured(
    w: NDArray[Any], plane: NDArray[np.float64], stride: int, levels: int
) -> tuple[dict[str, Any], NDArray[np.float64]]:
    """Measures of one kernel by name, and the parameters of its Gabor fit; w is the complex filter of its plane."""
    theta = characteristic_frequency(w, np.pi / stride)
    inside, side = energy_in_window(w, theta, np.pi / stride), bandwidth(w, theta, ENERGY)
    # W was oriented by the whole kernel; theta on the other side of the axis belongs to its conjugate.
    theta = facing_right(theta)
    fit, r2 = fit_gabor(plane, theta)
    _, phase, *omega = fit[:4]
    cell_y, cell_x = np.floor(theta / (np.pi / 2**levels)).astype(int) + 2**levels
    coherence, passes_zero = spectrum_shape(plane)
    row = {
        "theta_y": theta[0],
        "theta_x": theta[1],
        "bandwidth": side,
        "energy_in_window": inside,
        "wavelength": 2 * np.pi / np.hypot(*theta) if theta.any() else np.inf,
        "orientation": np.degrees(np.arctan2(theta[0], theta[1])),
        "phase": phase if np.hypot(*omega) >= WAVES * np.hypot(*theta) else np.nan,
        "cell_y": cell_y,
        "cell_x": cell_x,
        "coherence": coherence,
        "passes_zero": passes_zero,
        "gabor_r2": r2,
    }
    return row, fit
