"""Report of a prescription: the front of changes, some of them measured, and one HTML page."""

from __future__ import annotations

import hashlib
import os
from ast import literal_eval
from collections.abc import Callable
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from markupsafe import Markup
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from analysis import plots
from analysis.files.messages import printable
from analysis.files.pictures import ImageFolder
from analysis.files.results import writable_folder
from analysis.kernels import first_layer
from analysis.kernels.layer import FirstLayer
from analysis.kernels.prescription import MODELS, measure_designs, prescribe, sentence, spread_front
from analysis.measurements.spectra import estimate_spectrum
from analysis.reports.links import EXPLORER, PAGE, link_page
from analysis.reports.writer import OnSkip, Report, rendered
from analysis.runs.journal import resumable
from analysis.runs.provenance import distribution_version
from wavelets.checks import integer

DPI = 100
BLOCK = 32  # photographs between two entries of the journal: some ten seconds


def prescribe_report(
    source: Any,
    out: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    spectrum: str | None = None,
    target: float | None = None,
    limit: int | None = None,
    block: int = BLOCK,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    on_skip: OnSkip | None = None,
    figures: bool = True,
    **how: Any,
) -> Report:
    """Find what to change in a layer, measure it and three points of the front, and write tables, a figure and a page.

    Writes prescribe.csv, prescribe.nc, front.png and prescribe.html; with images measured.csv too. The page of a
    kernel analysis in the same folder, report.html, and an explorer.html get a link to it.

    Parameters
    ----------
    source : FirstLayer, or what :func:`analysis.first_layer` takes
    out : path
        Folder for the results; it is created. A run whose measurement was stopped there is continued.
    images : path, optional
        Folder of photographs, every second of which is measured; the others give the spectrum. Without it nothing is
        measured, and the spectrum is a model.
    spectrum : {"measured", "1/f^2", "flat"}, optional
        By default measured if there are images, else "1/f^2".
    target : float, optional
        The change of the layer's output to be reached.
    limit : int, optional
        Use at most this many images.
    block, resume, overwrite, progress, on_skip
        As for :class:`analysis.reports.session.Session`; the journal is of the measurement.
    figures : bool
        Write front.png; the page draws its own front in any case.
    **how
        size, shifts, fields, seed, activation: as for :func:`analysis.prescribe`.

    Returns
    -------
    Report
        Its `datasets` have "prescribe".

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, nothing reaches the target, no image could be used, or the folder has a journal
        of other settings.
    OSError
        If the images are not there, or the folder cannot be written to.
    """
    layer = source if isinstance(source, FirstLayer) else first_layer(source, progress=progress)
    spectrum = spectrum or ("1/f^2" if images is None else "measured")
    if spectrum not in ("measured", *MODELS):
        raise ValueError(f"spectrum is {spectrum!r}; expected 'measured', {', '.join(map(repr, MODELS))}")
    if images is None and spectrum == "measured":
        raise ValueError("spectrum is 'measured', which needs images; without them take '1/f^2' or 'flat'")
    integer("block", block, 1)
    root = None if images is None else Path(images).resolve() if os.path.isdir(images) else Path(images)
    paths = [] if root is None else list(islice(ImageFolder(root, None), limit))
    if len(paths) == 1:
        raise ValueError(f"one image of {printable(str(root))}; expected two or more, for the spectrum and to measure")
    report = Report(writable_folder(out), progress, on_skip, figures)
    size = how.get("size", 224)
    power: str | ArrayLike = spectrum
    if spectrum == "measured":
        colour = layer.weight.shape[1] == 3
        level = layer.mean if colour else layer.mean[0]
        points = max(size | 1, 255)
        power = estimate_spectrum(paths[::2], size, points, progress, report.skip, colour=colour, level=level)
    table = prescribe(layer, power, target, progress=progress, **how)
    table = table.assign_attrs(spectrum=spectrum, size=size, shiftscope_version=distribution_version("shiftscope"))
    chosen = measured_designs(table)
    settings = _settings(layer, table, chosen, root, block)
    with resumable(report.folder, "prescribe", settings, [], resume, overwrite) as journal:
        measured = None
        if paths:
            options: dict[str, Any] = {"progress": progress, "on_skip": report.skip, "root": root}
            options |= {"block": block, "journal": journal}
            options |= {name: how[name] for name in ("size", "shifts") if name in how}
            measured = measure_designs(layer, table, chosen, paths[1::2], **options)
            report.inputs = len(paths)
            report.save_skipped()
        write_prescription(report, table, measured)
    return report


def measured_designs(table: xr.Dataset) -> list[int]:
    """Positions of the designs to measure: the layer as it is, and three points of the front, the answer among them.

    Parameters
    ----------
    table : xarray.Dataset
        Of :func:`analysis.prescribe`. A front of fewer points has fewer.
    """
    *first, last = spread_front(table, 3)
    chosen = {0, *first[:2]}
    answer = table.attrs.get("answer", last)
    return sorted(chosen | {last if answer in chosen else answer})


def _settings(layer: FirstLayer, table: xr.Dataset, chosen: list[int], root: Path | None, block: int) -> dict[str, Any]:
    """Return what the sums of the measured designs depend on beside the pictures."""
    ways = table.way.values[chosen]
    return {
        "command": "prescribe",
        "shiftscope_version": table.shiftscope_version,
        "images": None if root is None else printable(root),
        "block": block,
        "size": int(table.attrs["size"]),
        "shifts": table.shifts,
        "designs": [str(name) for name in table.name.values[chosen]],
        "designs_sha256": hashlib.sha256(np.ascontiguousarray(ways, np.int64).tobytes()).hexdigest(),
    } | layer.settings()


def write_prescription(report: Report, table: xr.Dataset, measured: xr.Dataset | None = None) -> None:
    """Write the tables, front.png and prescribe.html, and a link to it in report.html and explorer.html beside it.

    Parameters
    ----------
    report : Report
        Names the folder.
    table : xarray.Dataset
        Of :func:`analysis.prescribe`, with the attributes that `prescribe_report` adds.
    measured : xarray.Dataset, optional
        Of :func:`analysis.kernels.measure_designs`.
    """
    report.save(table, "prescribe")
    report.save_table(lambda: designs(table).reset_index(), "prescribe", index=False)
    if measured is not None:
        report.save_table(lambda: beside(table, measured), "measured", index=False)
    else:  # what an earlier run measured is of other designs
        report.attempt("measured.csv", (report.folder / "measured.csv").unlink, True)
    drawn = report.draw(figures(table, measured), DPI)
    kernels = bool(report.attempt("report.html", link_page, report.folder / "report.html"))
    explorer = bool(report.attempt(EXPLORER, link_page, report.folder / EXPLORER))
    values = partial(page_values, table, measured, kernels, explorer)
    report.save_page("prescribe.html.j2", values, drawn, PAGE)


def designs(table: xr.Dataset) -> pd.DataFrame:
    """Return a row for each design, what holds of the whole layer, by its name."""
    return table[[name for name, values in table.data_vars.items() if values.dims == ("design",)]].to_dataframe()


def figures(table: xr.Dataset, measured: xr.Dataset | None = None) -> dict[str, Callable[[], Figure]]:
    """Figures by the names of their files; each is drawn when called."""
    return {"front": partial(plots.front_figure, table, measured)}


def beside(table: xr.Dataset, measured: xr.Dataset) -> pd.DataFrame:
    """Rows of the designs that were measured: predicted and measured numbers."""
    names = ["name", "eta", "eta_stderr", "rho", "multiplications", "memory"]
    frame = table[names].isel(design=measured.design.values).to_dataframe()
    frame.insert(0, "design", measured.design.values)
    frame["measured_n"] = measured.attrs["images_used"]
    for name in ("eta", "eta_stderr", "rho"):
        frame[f"measured_{name}"] = measured[name].values
    return frame


def page_values(
    table: xr.Dataset, measured: xr.Dataset | None, kernels: bool = False, explorer: bool = False
) -> dict[str, Any]:
    """Values that the page shows: a row and a map for each point of the front and each design that was measured.

    Parameters
    ----------
    table, measured
        As for `write_prescription`.
    kernels : bool
        Whether the page of a kernel analysis lies in the same folder.
    explorer : bool
        Whether an explorer does.
    """
    found = {} if measured is None else {int(d): measured.sel(design=d) for d in measured.design.values}
    default = int(table.attrs.get("answer", 0))
    shown = np.union1d(np.flatnonzero(table.front.values), [0, default, *found]).astype(int)
    modulus = np.char.find(table.ways.values.astype(str), "CMod") >= 0
    names = ("eta", "eta_stderr", "rho", "multiplications", "memory")
    largest = float(np.nanmax([_of_kernels(table, "kernel_eta", d) for d in shown]))
    rows = [
        {
            "design": int(d),
            "name": str(table.name.values[d]),
            "kernels": np.flatnonzero(modulus[table.way.values[d]]).tolist(),
            "measured": {name: float(found[d][name]) for name in ("eta", "eta_stderr", "rho")} if d in found else None,
            "dots": _dots(table, int(d), modulus, largest),
        }
        | {name: float(table[name][d]) for name in names}
        for d in sorted(shown, key=lambda d: -table.eta.values[d])
    ]
    svg = rendered(plots.front_figure(table, measured), "svg", DPI).decode()
    return {
        "attrs": table.attrs,
        "rows": rows,
        "shifts": " and ".join(f"({y:g}, {x:g})" for y, x in literal_eval(table.shifts)),
        "default": default,
        "largest": largest,
        "colours": [_colour(part) for part in np.linspace(0, 1, 6)],
        "lines": [float(x) for x in np.arange(-np.pi, np.pi + 1e-9, 2 * np.pi / table.stride)],
        "kernel_page": kernels,
        "explorer_page": explorer,
        "sentence": sentence(table, table.answer) if "answer" in table.attrs else "",
        "pictures": 0 if measured is None else measured.attrs["images_used"],
        "spectrum": "the spectrum of photographs" if table.spectrum == "measured" else f"a spectrum {table.spectrum}",
        "front": Markup(svg[svg.index("<svg") :]),  # drawn here, with the layer's name escaped by matplotlib
    }


def _of_kernels(table: xr.Dataset, name: str, design: int) -> NDArray[np.float64]:
    """Values of all kernels in a design, each in its way."""
    values: NDArray[np.float64] = table[name].values[table.way.values[design], table.kernel.values]
    return values


def _dots(table: xr.Dataset, design: int, modulus: NDArray[np.bool_], largest: float) -> list[dict[str, Any]]:
    """Kernels of a design in the Fourier plane: places, in rad/sample, sizes by the share of the change, colours."""
    eta, change = (_of_kernels(table, name, design) for name in ("kernel_eta", "kernel_change"))
    share = change / change.sum() if change.sum() > 0 else np.zeros_like(change)
    turned = modulus[table.way.values[design]]
    dots = []
    for k in np.argsort(-share):
        x, y = float(table.theta_x.values[k]), float(table.theta_y.values[k])
        if np.isfinite(x) and np.isfinite(eta[k]):
            side = round(float(np.clip(14 * np.sqrt(share[k]), 1.5, 9)), 1)
            dot = {"kernel": int(k), "x": x, "y": y, "side": side, "colour": _colour(eta[k] / largest)}
            dots.append(dot | {"eta": float(eta[k]), "share": float(share[k]), "cmod": bool(turned[k])})
    return dots


def _colour(part: float) -> str:
    """Colour of a part of the largest value, as HTML writes it."""
    import matplotlib as mpl
    from matplotlib.colors import to_hex

    from analysis.plots.style import SEQUENTIAL

    return to_hex(mpl.colormaps[SEQUENTIAL](float(np.clip(part, 0, 1))))
