"""Report of a kernel analysis: table, figures, and one HTML page that needs nothing else."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from markupsafe import Markup

from analysis import plots
from analysis.kernels import first_layer
from analysis.kernels.gabor_fit import gabor
from analysis.kernels.layer import FirstLayer
from analysis.kernels.table import kernel_frame, kernel_table, rank_correlation
from analysis.measurements.shift_experiment import SHIFTS
from analysis.reports.links import LINK, NO_LINK, PAGE
from analysis.reports.session import Images, Session
from analysis.reports.writer import Report, csv_uri, picture
from analysis.theory import gamma_map
from wavelets.checks import integer
from wavelets.complex_filters import complex_filters
from wavelets.kernel_kinds import first_colour

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CORRELATIONS = {
    "ρ measured, γ(mθ)": ("rho_rms", "gamma"),
    "ρ measured, ρ predicted": ("rho_rms", "predicted_rho"),
    "η of RMax measured, predicted on a Gaussian field": ("eta_rmax_rms", "predicted_eta_rmax"),
    "η of RMax, η of CMod": ("eta_rmax", "eta_cmod"),
    "η of RMax, η of the output": ("eta_rmax", "eta_output"),
    "η of RMax, share of the layer's change": ("eta_rmax", "share_of_change"),
}
DPI = 100
NAMED = 8  # kernels in the verdict


def figures(table: xr.Dataset, layer: FirstLayer) -> dict[str, Callable[[], Figure]]:
    """Figures of a kernel analysis, by the names of their files; each is drawn when called.

    Parameters
    ----------
    table : xarray.Dataset
        Of `kernel_table`.
    layer : FirstLayer
        What it was made from.

    Returns
    -------
    dict of str to callable
    """
    return {
        "mosaic": lambda: plots.mosaic_figure(layer.weight, layer.name),
        "fourier": lambda: plots.fourier_figure(layer.weight, layer.name),
        "why": lambda: plots.phase_advance_figure(table),
        "plane": lambda: plots.kernel_plane_figure(table, gamma_map(layer.stride, q=layer.q)),
        "predicted": lambda: plots.kernel_prediction_figure(table),
        "ranking": lambda: plots.ranking_figure(table),
    }


def kernel_report(
    source: Any,
    images: Images,
    out: str | os.PathLike[str],
    shifts: Sequence[Sequence[float]] = SHIFTS,
    size: int = 224,
    **how: Any,
) -> Report:
    """Analyse the kernels of a first layer, and write the table, figures and a page.

    Writes kernels.csv, kernels.nc, mosaic.png, fourier.png, why.png, plane.png, predicted.png, ranking.png and
    report.html.

    Parameters
    ----------
    source : FirstLayer, or what :func:`analysis.first_layer` takes
        A file or an array is known with its stride only: ``first_layer(file, stride=2)``.
    images : path, iterable of paths and arrays, or None
        A folder, searched recursively, or the images themselves; None stands for the photographs of scikit-image.
    out : path
        Folder for the results; it is created. A run that was stopped there is continued.
    shifts, size
        As for :func:`analysis.kernel_table`.
    **how
        limit, block, resume, overwrite, scheduler, workers, threads, progress, on_skip, figures: as for
        :class:`analysis.reports.session.Session`.

    Returns
    -------
    Report
        Its `datasets` have the one dataset "kernels".

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, if no image could be used, or if the folder has results of another run.
    OSError
        If the images are not there, or the folder cannot be written to.
    """
    layer = source if isinstance(source, FirstLayer) else first_layer(source, progress=how.get("progress", True))
    session = Session("kernels", images, out, size, colour=True, **how)
    with session.results(layer.settings() | {"shifts": shifts, "size": size}, ["kernels.nc"]) as report:
        table = session.measure(partial(kernel_table, layer, shifts=shifts, size=size))
        report.inputs = len(report.skipped) + table.images_used
        write_kernels(report, table, layer)
    return report


def write_kernels(report: Report, table: xr.Dataset, layer: FirstLayer) -> None:
    """Write kernels.nc, kernels.csv, the figures and report.html.

    Parameters
    ----------
    report : Report
        Names the folder.
    table : xarray.Dataset
        Of `kernel_table`.
    layer : FirstLayer
        What it was made from.
    """
    report.save(table, "kernels")
    report.save_table(lambda: kernel_frame(table), "kernels", index=False)
    drawn = report.draw(figures(table, layer), DPI)
    prescribed = (report.folder / PAGE).is_file()
    report.save_page("kernels.html.j2", partial(page_values, table, layer, prescribed), drawn)


def columns(gamma: str) -> list[tuple[str, str, bool]]:
    """Titles and meanings of the page's table, and whether a column holds text."""
    return [
        ("kernel", "position in the layer", False),
        ("", "the kernel", True),
        ("rank", "place by the share of the layer's change, 1 = largest", False),
        ("share", "part of the squared change of the layer's output, per cent", False),
        ("η output", "relative change of the layer's output, after bias, normalisation and ReLU", False),
        ("η RMax", "relative change of RMax, mean over images and shifts", False),
        ("η CMod", "relative change of CMod, mean over images and shifts", False),
        ("ρ", "|RMax − CMod| / |CMod|, mean over images", False),
        ("ρ rms", "root of the ratio of summed squares", False),
        ("ρ predicted", "ρ rms predicted from the spectra of the images; band-pass kernels only", False),
        (f"{gamma}(mθ)", "narrow-band limit of ρ", False),
        ("kind", "band-pass: a wave; low-pass: what holds the mean; blob: neither", True),
        ("θ_y/π", "characteristic frequency, vertical, radians a pixel over π", False),
        ("θ_x/π", "characteristic frequency, horizontal", False),
        ("λ", "wavelength, pixels", False),
        ("angle", "direction of the wave vector, degrees from the horizontal towards the bottom", False),
        ("κ/π", "bandwidth: side of the square around θ with 90 % of the energy, radians a pixel over π", False),
        ("in B", "part of the energy in the square B(θ, π/2m), whose side is π/m", False),
        ("Gabor R²", "part of the first colour's energy that a least-squares Gabor fit has", False),
        ("one colour", "share of the first colour in the energy", False),
        ("cell", "packet cell of θ, vertical then horizontal", True),
    ]


def page_values(table: xr.Dataset, layer: FirstLayer, prescribed: bool = False, fitted: bool = False) -> dict[str, Any]:
    """Values that the page shows: verdict, numbers of the layer, correlations, and a card for each kernel.

    Parameters
    ----------
    table : xarray.Dataset
        Of `kernel_table`.
    layer : FirstLayer
        What it was made from, or `fitted_layer`.
    prescribed : bool
        Whether the page of a prescription lies in the same folder.
    fitted : bool
        Whether the layer is made of Gabor fits, and not the genuine one.
    """
    from analysis.plots.first_layer import gamma_name  # with matplotlib, half a second to import

    frame = kernel_frame(table)
    plane, _, _ = first_colour(layer.weight)
    filters = complex_filters(plane[:, None], int(table.attrs["grid"]))[:, 0]
    parts = zip(frame.to_dict("records"), layer.weight, table.gabor.values, filters, strict=True)
    cards = [_card(row, kernel, gabor_fit, w, layer.stride) for row, kernel, gabor_fit, w in parts]
    kinds, counts = np.unique(table.kind.values, return_counts=True)
    gamma = gamma_name(table)
    return {
        "layer": layer,
        "attrs": table.attrs,
        "kinds": dict(zip(kinds.tolist(), counts.tolist(), strict=True)),
        "dead": [card["row"]["index"] for card in cards if card["row"]["kind"] == "dead"],
        "correlations": {label: rank_correlation(table, *names) for label, names in CORRELATIONS.items()},
        "cards": cards,
        "groups": _groups(cards),
        "columns": columns(gamma),
        "csv_file": csv_uri(frame),
        "sentences": verdicts(table),
        "fitted": fitted,
        "prescription": Markup(LINK if prescribed else NO_LINK),
        "gamma": gamma,
        "shifts": list(zip(table.shift_y.values.tolist(), table.shift_x.values.tolist(), strict=True)),
    }


def _groups(cards: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Band-pass kernels by their share of the change, then the others, the dead last."""
    ordered = sorted(cards, key=lambda card: (card["row"]["rank"] <= 0, card["row"]["rank"]))
    band = [card for card in ordered if card["row"]["kind"] == "band-pass"]
    other = [card for card in ordered if card["row"]["kind"] != "band-pass"]
    named = (("Band-pass kernels: waves, of which theory speaks", band), ("Other kernels: blobs and low-pass", other))
    return [(f"{name} ({len(members)})", members) for name, members in named if members]


def verdict(table: xr.Dataset) -> str:
    """Sentence that says which kernels make most of the change of the layer's output.

    Parameters
    ----------
    table : xarray.Dataset
        Of `kernel_table`.
    """
    share = np.nan_to_num(table.share_of_change.values)
    order = np.argsort(-share)
    half = int(np.searchsorted(np.cumsum(share[order]), 0.5 * share.sum())) + 1
    if not share.sum() > 0:
        return "Nothing changes in the layer's output under these shifts."
    named = ", ".join(f"{i} ({100 * share[i]:.1f} %)" for i in order[: min(half, NAMED)])
    return f"{half} of {len(share)} kernels make half of the change of the layer's output; the largest parts: {named}."


def verdicts(table: xr.Dataset) -> list[str]:
    """Sentences that begin the page."""
    return [verdict(table), *_beside_the_modulus(table)]


def _beside_the_modulus(table: xr.Dataset) -> list[str]:
    """Sentences about the band-pass kernels: their part of the change, and what the modulus would save."""
    band = table.kind.values == "band-pass"
    share = np.nan_to_num(table.share_of_change.values)
    if not band.any() or not share.sum() > 0:
        return []
    rmax, cmod = (table[name].mean("shift").values[band] for name in ("eta_rmax", "eta_cmod"))
    jumpiest = np.flatnonzero(band)[np.nanargmax(rmax)]
    return [
        f"The {band.sum()} band-pass kernels have {100 * share[band].sum() / share.sum():.0f} % of it. Their maxima "
        f"(RMax) change by {100 * np.nanmedian(rmax):.0f} % in the median, the moduli of the same kernels (CMod) by "
        f"{100 * np.nanmedian(cmod):.0f} %. The jumpiest is kernel {jumpiest}: a wave of "
        f"{table.wavelength.values[jumpiest]:.1f} pixels, whose maxima change by {100 * np.nanmax(rmax):.0f} %.",
        f"What to do: {advice(int(band.sum()), float(np.nanmedian(rmax)), float(np.nanmedian(cmod)))}",
    ]


def advice(count: int, rmax: float, cmod: float) -> str:
    """Sentences about what would help so many band-pass kernels, of these median changes of RMax and CMod."""
    gain = (
        f"CMod in place of RMax for the {count} band-pass kernels would take their change from {100 * rmax:.0f} % to "
        f"{100 * cmod:.0f} % (medians), but costs a network that is trained already much of its accuracy until it "
        "learns again; a short blur before the pooling's step, such as blur3, helps and costs less."
        if cmod < rmax
        else f"CMod would not help the {count} band-pass kernels; try a blur before the pooling's step."
    )
    return (
        f"{gain} “shiftscope prescribe”, given the weights, says what each change of the pooling buys and "
        "costs; “shiftscope heal” puts one into the whole network and lets it learn to live with it."
    )


def fitted_layer(table: xr.Dataset) -> FirstLayer:
    """Layer of a stored table: its kernels, or of an older table, which lacks them, their Gabor fits.

    Parameters
    ----------
    table : xarray.Dataset
        Of `kernel_table`.

    Returns
    -------
    FirstLayer
        With the geometry and normalisation of the genuine one; each kernel is its first colour times its fit.
    """
    attrs = table.attrs
    shape = (int(attrs["height"]), int(attrs["width"]))
    fits = [np.zeros(shape) if not np.isfinite(g).all() else gabor(g, shape) for g in table.gabor.values]
    colours = np.nan_to_num(table.colour.values)
    fitted = np.stack([np.multiply.outer(colour, fit) for colour, fit in zip(colours, fits, strict=True)])
    geometry: dict[str, Any] = {name: int(attrs[name]) for name in ("stride", "padding", "pool", "pool_padding")}
    return FirstLayer(
        attrs["layer"],
        table.weight.values if "weight" in table else fitted,
        mean=np.ravel(attrs["mean"]).tolist(),
        std=np.ravel(attrs["std"]).tolist(),
        parameter=str(attrs.get("parameter", "")),
        origin=str(attrs.get("origin", "")),
        sha256=str(attrs["weights_sha256"]),
        **geometry,
    )


def kernel_card(table: xr.Dataset, layer: FirstLayer, index: int) -> Figure:
    """Card of one kernel: in colour, as complex filter, in frequency, its Gabor fit, and its numbers.

    Parameters
    ----------
    table : xarray.Dataset
        Of `kernel_table`.
    layer : FirstLayer
        What it was made from.
    index : int
        Position in the layer, from 0.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no such kernel, or it is dead.
    """
    integer("index", index, 0, len(layer.weight) - 1)
    row = kernel_frame(table).iloc[index].to_dict()
    if row["kind"] == "dead":
        raise ValueError(f"kernel {index} is dead: there is nothing to show")
    plane, _, _ = first_colour(layer.weight[index : index + 1])
    filters = complex_filters(plane[:, None], int(table.attrs["grid"]))
    shown = gabor(table.gabor.values[index], plane.shape[1:])
    figure: Figure = plots.card_figure(layer.weight[index], filters[0, 0], shown, row, layer.stride)
    return figure


def _card(row: dict[str, Any], kernel: np.ndarray, fitted: np.ndarray, w: np.ndarray, stride: int) -> dict[str, Any]:
    """Numbers of one kernel, and its pictures as data URIs; the square is in pixels of the spectrum's picture."""
    card: dict[str, Any] = {"row": row, "kernel": picture(plots.kernel_image(kernel))}
    if row["kind"] == "dead":
        return card
    from analysis.plots.first_layer import filter_crop

    theta = np.array([row["theta_y"], row["theta_x"]])
    points = 65
    spectrum = plots.fourier_image(w[None], points)
    # Of W and its conjugate, the one whose peak is drawn.
    middle = points // 2
    row_, column = (np.rint(theta * points / (2 * np.pi)).astype(int) + middle) % points
    mirrored = spectrum[2 * middle - row_, 2 * middle - column, 0] > spectrum[row_, column, 0]
    theta = -theta if mirrored else theta
    card |= {
        "filter": picture(plots.phase_image(filter_crop(w, kernel.shape[-2:]))),
        "spectrum": picture(spectrum[::-1]),
        "gabor": picture(plots.kernel_image(gabor(fitted, kernel.shape[-2:])[None])),
        "x": 50 + 50 * theta[1] / np.pi,
        "y": 50 - 50 * theta[0] / np.pi,
        "side": 50 / stride,
    }
    return card
