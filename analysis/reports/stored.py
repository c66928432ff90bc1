"""Pages of stored results: one result again, or two side by side, without measuring anything."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import xarray as xr

from analysis.files.atomic import write_atomically
from analysis.files.results import load
from analysis.kernels import first_layer
from analysis.kernels.table import kernel_frame
from analysis.reports import heatmaps, kernels
from analysis.reports.writer import csv_uri, number, page, rendered

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Draw = Mapping[str, Callable[[], "Figure"]]


@dataclass(frozen=True)
class Kind:
    """One kind of result: what its page is made of, and how two of them are put side by side.

    Attributes
    ----------
    name : str
        In the plural, for sentences.
    rows : str
        What the rows are, in the plural.
    template : str
        Of the page of one result.
    dpi : int
        Of its figures.
    figures : callable
        Returns functions that draw the figures of a result, by name.
    values : callable
        Returns what the template shows.
    frame : callable
        Returns a table with a row for each thing that is compared, by its name.
    columns : mapping of str to (str, str)
        Columns that are compared, their titles and what they mean.
    headings : mapping of str to str
        What the figures show, by name.
    verdict : callable
        Returns sentences about one result.
    """

    name: str
    rows: str
    template: str
    dpi: int
    figures: Callable[[xr.Dataset], Draw]
    values: Callable[[xr.Dataset], dict[str, Any]]
    frame: Callable[[xr.Dataset], pd.DataFrame]
    columns: Mapping[str, tuple[str, str]]
    headings: Mapping[str, str]
    verdict: Callable[[xr.Dataset], list[str]]


def kind_of(dataset: xr.Dataset, weights: str | os.PathLike[str] | None = None, weight: str | None = None) -> Kind:
    """Kind of a result, by its variables.

    Parameters
    ----------
    dataset : xarray.Dataset
        What :func:`analysis.load` returns.
    weights, weight
        As for `stored_report`.

    Raises
    ------
    ValueError
        If no page is made of such results.
    """
    if "share_of_change" in dataset and "gabor" in dataset:
        return _kernels(dataset, weights, weight)
    if weights is not None:
        raise ValueError("weights are asked for, but only pages of kernels show them")
    if {"rho", "eta_rmax"} <= set(dataset) and "filter" in dataset.dims and "model" not in dataset.dims:
        return _maps()
    if "place" in dataset.dims and "blame" in dataset:
        return _audits()
    if "remedy" in dataset.dims and "flip_rate" in dataset:
        return _remedies()
    if "remedy" in dataset.dims and "accuracy_shifted" in dataset:
        return _circular()
    if "design" in dataset.dims and "way" in dataset:
        return _prescriptions()
    raise ValueError(
        f"no page is made of such a result ({dataset.attrs.get('title', 'without a title')}); "
        "expected kernels.nc, heatmaps_J*.nc, audit.nc, stability.nc, circular.nc or prescribe.nc"
    )


def _maps() -> Kind:
    return Kind(
        "packet maps",
        "filters",
        "heatmaps.html.j2",
        heatmaps.DPI,
        lambda ds: heatmaps.figures([ds]),
        lambda ds: heatmaps.page_values([ds]),
        lambda ds: heatmaps.heatmap_frame(ds).set_index("filter"),
        {name: heatmaps.COLUMNS[name] for name in ("gamma", "rho", "eta_rmax", "eta_cmod")},
        {"heatmaps_J2": "Maps of the Fourier plane, J = 2", "heatmaps_J3": "Maps of the Fourier plane, J = 3"},
        lambda ds: [heatmaps.verdict(ds)],
    )


def _audits() -> Kind:
    from analysis.audit.verdict import audit_frame
    from analysis.reports import audit  # needs torch

    return Kind(
        "audits",
        "places",
        "audit.html.j2",
        audit.DPI,
        audit.figures,
        lambda ds: audit.page_values(ds, None),
        lambda ds: audit_frame(ds).set_index("place"),
        {name: audit.COLUMNS[name] for name in ("blame", "aliased_energy", "gain")},
        {"strip": "From input to output", "shifts": "By the size of the shift", "mending": "Mended one by one"},
        lambda ds: str(ds.attrs["verdict"]).splitlines(),
    )


def _remedies() -> Kind:
    from analysis.reports import stability  # needs torch
    from analysis.stability.experiment import table

    names = ("flips_1px", "consistency", "top1", "accuracy_lost", "time_added")
    return Kind(
        "networks with remedies",
        "remedies",
        "stability.html.j2",
        stability.DPI,
        stability.figures,
        lambda ds: stability.page_values(ds, _changes(ds)),
        table,
        {name: stability.COLUMNS[name] for name in names},
        {
            "trade": "What it costs",
            "flips": "How often the answer flips",
            "divergence": "How far the probabilities move",
            "accuracy": "Accuracy under shifts",
            "map": "Accuracy at every shift",
        },
        stability.verdict,
    )


def _circular() -> Kind:
    from analysis.reports import circular  # needs torch

    return Kind(
        "networks under circular shifts",
        "remedies",
        "circular.html.j2",
        circular.DPI,
        circular.figures,
        circular.page_values,
        circular.circular_table,
        circular.COLUMNS,
        {
            "trade": "Accuracy and consistency",
            "map": "Accuracy at every shift",
            "adversary": "Accuracy against an adversary",
            "variation": "Variation of the probability of the true class",
            "smoothness": "Total variation of the kernels",
        },
        circular.verdict,
    )


def _prescriptions() -> Kind:
    from analysis.reports import prescribe

    meanings = {
        "eta": ("η", "predicted relative change of the layer's output under the shift"),
        "rho": ("ρ", "predicted distance of the output from that of CMod, relative"),
        "multiplications": ("multiplications", "of a picture, beside the layer as it is"),
    }
    return Kind(
        "prescriptions",
        "designs",
        "prescribe.html.j2",
        prescribe.DPI,
        prescribe.figures,
        lambda ds: prescribe.page_values(ds, None),
        lambda ds: prescribe.designs(ds).set_index("name"),
        meanings,
        {"front": "Change of the output against cost"},
        lambda ds: prescribe.page_values(ds, None)["sentence"].splitlines(),
    )


def _changes(comparison: xr.Dataset) -> dict[str, list[str]]:
    """Return the lines about what each remedy changed, where the result has them."""
    if "changes" not in comparison:
        return {}
    texts = comparison.changes.to_series()
    return {str(name): str(text).splitlines() for name, text in texts.items() if text}


def _kernels(dataset: xr.Dataset, weights: str | os.PathLike[str] | None, weight: str | None) -> Kind:
    layer = kernels.fitted_layer(dataset)
    if weights is not None:
        layer = _genuine(dataset, weights, weight)
    shown = {
        "share_of_change": ("share", "part of a kernel in the change of the layer's output under the shifts"),
        "eta_output": ("η output", "relative change of the layer's output, with bias and ReLU"),
        "eta_rmax": ("η RMax", "relative change of RMax: convolution and maximum"),
        "eta_cmod": ("η CMod", "relative change of CMod: complex convolution and modulus"),
        "rho": ("ρ", "|RMax − CMod| / |CMod|, mean over images"),
        "gamma": ("γ(mθ)", "ρ of a pure wave of the kernel's frequency, by theory"),
        "wavelength": ("λ", "wavelength, pixels"),
    }
    headings = {
        "mosaic": "The kernels",
        "fourier": "Their spectra",
        "why": "Why kernels jump",
        "plane": "Kernels in the Fourier plane",
        "predicted": "Predicted and measured",
        "ranking": "All kernels by their change",
    }
    return Kind(
        "first layers",
        "kernels",
        "kernels.html.j2",
        kernels.DPI,
        lambda ds: kernels.figures(ds, layer),
        lambda ds: kernels.page_values(ds, layer, fitted=weights is None and "weight" not in ds),
        lambda ds: kernel_frame(ds).set_index("index"),
        shown,
        headings,
        kernels.verdicts,
    )


def _genuine(dataset: xr.Dataset, weights: str | os.PathLike[str], weight: str | None) -> Any:
    """Layer from its file, in the order of channels that has the Gabor fits of the result."""
    attrs = dataset.attrs
    known: dict[str, Any] = {name: int(attrs[name]) for name in ("stride", "padding", "pool", "pool_padding")}
    known |= {name: np.ravel(attrs[name]).tolist() for name in ("mean", "std")}
    fitted = kernels.fitted_layer(dataset).weight
    found = []
    for order in ("RGB", "BGR") if fitted.shape[1] == 3 else (None,):
        layer = first_layer(weights, weight=weight, channels=order, name=str(attrs["layer"]), progress=False, **known)
        if layer.weight.shape != fitted.shape:
            raise ValueError(f"{weights} has kernels of shape {layer.weight.shape}; the result is of {fitted.shape}")
        likeness = float((layer.weight * fitted).sum() / np.linalg.norm(layer.weight) / (np.linalg.norm(fitted) or 1))
        found.append((likeness, layer))
    return max(found, key=lambda pair: pair[0])[1]


def stored_report(
    results: Sequence[str | os.PathLike[str]],
    to: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    weight: str | None = None,
    figures: bool = True,
) -> Path:
    """Write the page of a stored result, or of two side by side; nothing is measured again.

    Parameters
    ----------
    results : sequence of path
        One or two files that a command wrote: kernels.nc, heatmaps_J*.nc, audit.nc, stability.nc,
        circular.nc or prescribe.nc.
    to : path
        The page.
    weights : path, optional
        File of the weights of a first layer: results do not have them, and without it kernels are drawn from their
        Gabor fits. Of one result only.
    weight : str, optional
        Name of the weight in that file.
    figures : bool
        Draw figures.

    Returns
    -------
    Path

    Raises
    ------
    ValueError
        If there are more than two results, the two are of different kinds or of nothing in common, no page is made of
        such results, or the weights are others.
    OSError
        If a file is not there, or the page cannot be written.
    """
    if not 1 <= len(results) <= 2:
        raise ValueError(f"there are {len(results)} results; expected one, or two to put side by side")
    if len(results) == 2 and weights is not None:
        raise ValueError("weights belong to one result; two side by side are drawn from their Gabor fits")
    datasets = [load(path) for path in results]
    kinds = [kind_of(dataset, weights, weight) for dataset in datasets]
    if len(datasets) == 1:
        text = page(kinds[0].template, kinds[0].values(datasets[0]), _drawn(kinds[0], datasets[0], figures))
    else:
        text = _beside(kinds, datasets, [os.fspath(path) for path in results], figures)
    return write_atomically(Path(to), lambda temporary: temporary.write_bytes(text.encode()))


def _drawn(kind: Kind, dataset: xr.Dataset, figures: bool) -> dict[str, bytes]:
    todo = kind.figures(dataset) if figures else {}
    return {name: rendered(draw(), "png", kind.dpi) for name, draw in todo.items()}


def _beside(kinds: Sequence[Kind], datasets: Sequence[xr.Dataset], paths: Sequence[str], figures: bool) -> str:
    """Page of two results of one kind."""
    kind = kinds[0]
    if kinds[1].name != kind.name:
        raise ValueError(f"{paths[0]} is of {kind.name} and {paths[1]} of {kinds[1].name}; expected one kind")
    a, b = (each.frame(dataset) for each, dataset in zip(kinds, datasets, strict=True))
    common = a.index.intersection(b.index)
    if not len(common):
        raise ValueError(f"{paths[0]} and {paths[1]} have no {kind.rows} in common")
    names = _names(datasets, paths)
    shown = [name for name in kind.columns if name in a and name in b]
    table = paired(a.loc[common, :], b.loc[common, :], shown)
    pictures = [_drawn(each, dataset, figures) for each, dataset in zip(kinds, datasets, strict=True)]
    columns = [(kind.rows, "", True)] + [
        (f"{kind.columns[name][0]} {end}", meaning, False)
        for name in shown
        for end, meaning in dict.fromkeys(("A", "B", "B − A"), kind.columns[name][1]).items()
    ]
    values = {
        "names": names,
        "kind": kind,
        "medians": [_medians(table, name, kind) for name in shown],
        "verdicts": [each.verdict(dataset) for each, dataset in zip(kinds, datasets, strict=True)],
        "columns": columns,
        "rows": [
            (str(row), [(number(v), f"{v:.6g}" if np.isfinite(v) else "") for v in rest])
            for row, *rest in table.itertuples()
        ],
        "csv_file": csv_uri(table, index=True),
        "left_out": [(side, len(frame) - len(common)) for side, frame in zip("AB", (a, b), strict=True)],
        "pairs": {name: kind.headings.get(name, name) for name in pictures[0] if name in pictures[1]},
        "fitted": kind.name == "first layers" and any("weight" not in dataset for dataset in datasets),
    }
    drawn = {f"{side} {name}": png for side, pngs in zip("AB", pictures, strict=True) for name, png in pngs.items()}
    return page("beside.html.j2", values, drawn)


def _names(datasets: Sequence[xr.Dataset], paths: Sequence[str]) -> list[str]:
    """Names of two results by what they are of, and by their files where that is the same."""
    named = [str(ds.attrs.get("layer", ds.attrs.get("network", ds.attrs.get("filters", "")))) for ds in datasets]
    if named[0] != named[1]:
        return named
    parts = [Path(path).parts[-2:] for path in paths]
    return [f"{name} ({os.path.join(*part)})".strip() for name, part in zip(named, parts, strict=True)]


def paired(a: pd.DataFrame, b: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """Two tables of the same rows side by side: for each column A, B and B − A, the largest difference first.

    Parameters
    ----------
    a, b : pandas.DataFrame
        Of the same index.
    columns : sequence of str
        The first that differs decides the order.

    Returns
    -------
    pandas.DataFrame
        Columns ``NAME_a``, ``NAME_b``, ``NAME_difference``.
    """
    parts: dict[str, Any] = {}
    for name in columns:
        first, second = (frame[name].astype(float) for frame in (a, b))
        parts |= {f"{name}_a": first, f"{name}_b": second, f"{name}_difference": second - first}
    table = pd.DataFrame(parts, index=a.index)
    for name in columns:
        size = table[f"{name}_difference"].abs()
        if size.max() > 0:
            return table.loc[size.sort_values(ascending=False, kind="stable").index]
    return table


def _medians(table: pd.DataFrame, name: str, kind: Kind) -> tuple[str, ...]:
    """Cells about one column: title, meaning, both medians, and the difference and row where they differ most."""
    a, b, difference = (table[f"{name}_{end}"] for end in ("a", "b", "difference"))
    medians = (number(float(a.median())), number(float(b.median())))
    if not difference.abs().max() > 0:
        return (*kind.columns[name], *medians, "none")
    most = difference.abs().idxmax()
    size = f"{difference[most]:+.3f}".replace("-", "−")
    return (*kind.columns[name], *medians, f"{size} ({most})")
