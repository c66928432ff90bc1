"""Contents of the explorer's page: kernels, measured numbers and one photograph, as JSON can hold them."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from analysis.files.pictures import bundled_images, load_pictures
from analysis.kernels.layer import FirstLayer
from analysis.kernels.sources import first_layer
from analysis.reports.explorer.words import kernel_words, shift_words
from wavelets import DualTreePackets2D
from wavelets.complex_filters import GRID
from wavelets.hilbert import dominant_direction, zero_padded
from wavelets.kernel_kinds import first_colour

SIDE = 256  # pixels of the photograph: the page's Fourier transform wants a power of two
FADE = 24  # pixels over which its border fades to its mean, so that it may go round in a circle
PICTURE = "chelsea.png"

DESCRIBED = (
    "index",
    "kind",
    "theta_y",
    "theta_x",
    "wavelength",
    "orientation",
    "bandwidth",
    "energy_in_window",
    "gabor_r2",
    "chroma",
    "gamma",
    "rank",
)
MEASURED = ("rho", "eta_rmax", "eta_cmod", "eta_output", "share_of_change")
METRICS = {
    "flips_1px": "answers that change by a shift of one pixel (%)",
    "mfr": "mean flip rate, the plain network = 100 (%)",
    "top1": "right answers, top 1 (%)",
    "top5": "right answers, top 5 (%)",
    "consistency": "same answer for two shifts (%)",
    "mac": "mean change of the top class's probability (points)",
    "time_added": "time added (%)",
}


def kernel_contents(table: xr.Dataset) -> dict[str, Any]:
    """Contents of a table of kernels that holds the kernels.

    Parameters
    ----------
    table : xarray.Dataset
        Of :func:`analysis.kernel_table`.
    """
    # What the network pools has the sign of its gain.
    signs = np.where(table.gain.values < 0, -1, 1)[:, None, None, None] if "gain" in table else 1
    weight = signs * table.weight.values
    plane, colour, _ = first_colour(weight)
    side = GRID * max(weight.shape[-2:])  # where complex_filters looks for directions
    columns = _columns(table, "kernel", DESCRIBED)
    rows = _rows(columns)
    shifts = _shifts(table)
    for row in rows:
        row["words"] = kernel_words(row, shifts)
    return {
        "what": "kernels",
        "name": str(table.attrs.get("layer", "a layer")),
        "stride": int(table.attrs["stride"]),
        "q": int(table.attrs["q"]),
        "grid": int(table.attrs.get("grid", GRID)) * max(weight.shape[-2:]),
        "mean": np.atleast_1d(table.attrs["mean"]).tolist(),
        "std": np.atleast_1d(table.attrs["std"]).tolist(),
        "shifts": shifts,
        "moved": shift_words(shifts),
        "pictures": int(table.attrs.get("images_used", 0)),
        "shape": list(weight.shape),
        "weight": _packed(weight),
        "colour": colour.tolist(),
        "direction": dominant_direction(zero_padded(plane, side)).tolist(),
        "gabor": [_finite(row) for row in table.gabor.values],
        "rows": rows,
    }


def packet_contents(table: xr.Dataset) -> dict[str, Any]:
    """Contents of maps of packet filters; the filters, which are separable, go as two factors each.

    Parameters
    ----------
    table : xarray.Dataset
        Of :func:`analysis.heatmaps`.

    Raises
    ------
    ImportError, ValueError
        If the filter bank is not there.
    """
    levels, stride = int(table.attrs["levels"]), int(table.attrs["stride"])
    kernels = DualTreePackets2D(levels, str(table.attrs["filters"]), stride=stride).kernels()
    columns = _columns(table, "filter", ("theta_y", "theta_x", "gamma"))
    theta = np.stack([columns["theta_y"], columns["theta_x"]], axis=-1).astype(float)
    columns["index"] = np.arange(len(theta))
    columns["kind"] = np.select([table.low_pass.values, table.edge.values], ["low-pass", "edge"], "band-pass")
    columns["wavelength"] = 2 * np.pi / np.hypot(*theta.T)
    columns["orientation"] = np.degrees(np.arctan2(theta[:, 0], theta[:, 1]))
    rows, shifts = _rows(columns), _shifts(table)
    for row in rows:
        row["words"] = kernel_words(row, shifts)
    return {
        "what": "packets",
        "name": f"Packets J = {levels}, {table.attrs['filters']}",
        "stride": stride,
        "q": int(table.attrs["q"]),
        "grid": kernels.shape[-1],
        "mean": [0.0],
        "std": [1.0],
        "shifts": shifts,
        "moved": shift_words(shifts),
        "pictures": int(table.attrs.get("images_used", 0)),
        "shape": [len(kernels), 1, *kernels.shape[1:]],
        "factors": _packed(np.stack([factors(kernel) for kernel in kernels]).view(np.float64)),
        "rows": rows,
    }


def stability_contents(table: xr.Dataset) -> dict[str, Any]:
    """Contents of the stability of a network with its remedies: those metrics that have one number a remedy.

    Parameters
    ----------
    table : xarray.Dataset
        Of ``stability.nc``.
    """
    table = table.assign(_flips(table))
    metrics = []
    for name, label in METRICS.items():
        if name in table and table[name].dims == ("remedy",) and np.isfinite(table[name]).any():
            error = table.get(f"{name}_se")
            errors = None if error is None or error.dims != ("remedy",) else _finite(error.values)
            metrics.append({"name": name, "label": label, "values": _finite(table[name].values), "errors": errors})
    return {
        "what": "stability",
        "name": str(table.attrs.get("network", "a network")),
        "pictures": int(table.attrs.get("pictures", 0)),
        "remedies": [str(remedy) for remedy in table.remedy.values],
        "metrics": metrics,
    }


def with_kernels(table: xr.Dataset, name: str, weights: Iterable[Any] = ()) -> xr.Dataset:
    """Table with its kernels: its own, or those of a layer whose kernels have the colours that were measured.

    Parameters
    ----------
    table : xarray.Dataset
        Of :func:`analysis.kernel_table`.
    name : str
        What messages call it.
    weights : iterable of what :func:`analysis.first_layer` takes
        Layers to look through, in either order of channels.

    Raises
    ------
    ValueError
        If it has none and none of the layers is the one that was measured.
    """
    if "weight" in table:
        return table
    sources = list(weights)
    for source in sources:
        layer = source if isinstance(source, FirstLayer) else first_layer(source, stride=int(table.attrs["stride"]))
        for weight in (layer.weight, layer.weight[:, ::-1]):
            if _was_measured(weight, table):
                return table.assign(
                    weight=(("kernel", "channel", "row", "column"), weight), gain=("kernel", layer.gain)
                )
    if sources:
        raise ValueError(f"{name} was not measured on these weights: the colours of its kernels are others")
    raise ValueError(f"{name} has no kernels: it is of an older version; give them with --weights FILE")


def _was_measured(weight: NDArray[Any], table: xr.Dataset) -> bool:
    """True if kernels have the size and the colours of those in a table."""
    measured = table.colour.values
    size = (*measured.shape, int(table.attrs["height"]), int(table.attrs["width"]))
    alive = np.isfinite(measured).all(axis=1)
    return weight.shape == size and bool(
        np.allclose(np.abs(first_colour(weight)[1][alive]), np.abs(measured[alive]), atol=1e-4)
    )


def photograph() -> str:
    """Photograph of the page, (SIDE, SIDE, 3) bytes in base64; its border fades to its mean, so that it is periodic."""
    (path,) = (path for path in bundled_images() if path.name == PICTURE)
    (picture,) = load_pictures([path], SIDE, colour=True)
    distance = np.minimum(np.arange(SIDE), np.arange(SIDE)[::-1]) + 0.5
    fade = np.sin(np.pi / 2 * np.minimum(distance / FADE, 1)) ** 2
    mean = picture.pixels.mean(axis=(1, 2), keepdims=True)
    faded = mean + (picture.pixels - mean) * np.outer(fade, fade)
    pixels = np.rint(255 * np.clip(faded, 0, 1)).astype(np.uint8)
    return base64.b64encode(pixels.transpose(1, 2, 0).tobytes()).decode()


def factors(kernel: NDArray[np.complex128]) -> NDArray[np.complex128]:
    """Column a and row b of a separable kernel ``a[y] b[x]``, shape (2, K)."""
    y, x = np.unravel_index(np.abs(kernel).argmax(), kernel.shape)
    return np.stack([kernel[:, x], kernel[y] / kernel[y, x]])


def _flips(table: xr.Dataset) -> dict[str, Any]:
    """Share of answers that change between windows one pixel apart, mean over directions, in percent."""
    if "flip_rate" not in table or "flips_1px" in table:
        return {}
    return {"flips_1px": table.flip_rate.sel(distance=1).mean("direction")}


def _columns(table: xr.Dataset, dimension: str, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """Columns of a table along a dimension; those along `shift` as well are means over it."""
    wanted = [*names, *MEASURED, *(f"{name}_stderr" for name in MEASURED)]
    present = {name: table[name] for name in wanted if name in table.variables}
    columns = {name: (v.mean("shift") if "shift" in v.dims else v) for name, v in present.items()}
    return {name: v.values for name, v in columns.items() if v.dims == (dimension,)}


def _rows(columns: Mapping[str, NDArray[Any]]) -> list[dict[str, Any]]:
    """One dictionary an entry; None where there is no number."""
    lists = {name: v.tolist() if v.dtype.kind in "USiu" else _finite(v) for name, v in columns.items()}
    return [dict(zip(lists, values, strict=True)) for values in zip(*lists.values(), strict=True)]


def _shifts(table: xr.Dataset) -> list[list[float]]:
    return [[float(y), float(x)] for y, x in zip(table.shift_y.values, table.shift_x.values, strict=True)]


def _finite(values: ArrayLike) -> list[float | None]:
    """Numbers with nine digits, None where one is not finite."""
    return [float(f"{v:.9g}") if np.isfinite(v) else None for v in np.asarray(values, float)]


def _packed(values: NDArray[Any]) -> str:
    """Numbers as little-endian float32 in base64."""
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode()
