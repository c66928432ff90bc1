"""Report of a prescription: the front of changes, three of them measured, and one HTML page."""

from __future__ import annotations

import os
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from markupsafe import Markup
from numpy.typing import ArrayLike

from analysis.files.pictures import ImageFolder
from analysis.files.results import writable_folder
from analysis.kernels import first_layer
from analysis.kernels.layer import FirstLayer
from analysis.kernels.prescription import MODELS, measure_designs, prescribe, sentence, spread_front
from analysis.measurements.spectra import estimate_spectrum
from analysis.plots.prescribe import front_figure
from analysis.reports.writer import OnSkip, Report, rendered
from analysis.runs.provenance import distribution_version

DPI = 100


def prescribe_report(
    source: Any,
    out: str | os.PathLike[str],
    images: str | os.PathLike[str] | None = None,
    spectrum: str | None = None,
    target: float | None = None,
    limit: int | None = None,
    progress: bool = True,
    on_skip: OnSkip | None = None,
    **how: Any,
) -> Report:
    """Find what to change in a layer, measure three points of the front, and write tables, a figure and a page.

    Writes prescribe.csv, prescribe.nc, front.png and report.html; with images measured.csv too.

    Parameters
    ----------
    source : FirstLayer, or what :func:`analysis.first_layer` takes
    out : path
        Folder for the results; it is created.
    images : path, optional
        Folder of photographs, every second of which is measured; the others give the spectrum. Without it nothing is
        measured, and the spectrum is a model.
    spectrum : {"measured", "1/f^2", "flat"}, optional
        By default measured if there are images, else "1/f^2".
    target : float, optional
        The change of the layer's output to be reached.
    limit : int, optional
        Use at most this many images.
    progress, on_skip
        As for :func:`analysis.kernel_table`.
    **how
        size, shifts, fields, seed, activation: as for :func:`analysis.prescribe`.

    Returns
    -------
    Report
        Its `datasets` have "prescribe".

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range, nothing reaches the target, or no image could be used.
    OSError
        If the images are not there, or the folder cannot be written to.
    """
    layer = source if isinstance(source, FirstLayer) else first_layer(source, progress=progress)
    spectrum = spectrum or ("1/f^2" if images is None else "measured")
    if spectrum not in ("measured", *MODELS):
        raise ValueError(f"spectrum is {spectrum!r}; expected 'measured', {', '.join(map(repr, MODELS))}")
    if images is None and spectrum == "measured":
        raise ValueError("spectrum is 'measured', which needs images; without them take '1/f^2' or 'flat'")
    paths = [] if images is None else list(islice(ImageFolder(images, None), limit))
    report = Report(writable_folder(out), progress, on_skip)
    size = how.get("size", 224)
    power: str | ArrayLike = spectrum
    if spectrum == "measured":
        colour = layer.weight.shape[1] == 3
        level = layer.mean if colour else layer.mean[0]
        points = max(size | 1, 255)
        power = estimate_spectrum(paths[::2], size, points, progress, report.skip, colour=colour, level=level)
    table = prescribe(layer, power, target, progress=progress, **how)
    table = table.assign_attrs(spectrum=spectrum, size=size, shiftscope_version=distribution_version("shiftscope"))
    measured = None
    if paths:
        chosen = sorted({0, spread_front(table, 3)[1], table.attrs.get("answer", spread_front(table, 3)[-1])})
        options = {name: how[name] for name in ("size", "shifts") if name in how}
        measured = measure_designs(layer, table, chosen, paths[1::2], progress=progress, on_skip=report.skip, **options)
        report.inputs = len(paths)
    write_prescription(report, table, measured)
    return report


def write_prescription(report: Report, table: xr.Dataset, measured: xr.Dataset | None = None) -> None:
    """Write the tables, front.png and report.html.

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
    columns = [name for name, values in table.data_vars.items() if values.dims == ("design",)]
    report.save_table(lambda: table[columns].to_dataframe().reset_index(), "prescribe", index=False)
    if measured is not None:
        report.save_table(lambda: beside(table, measured), "measured", index=False)
    drawn = report.draw({"front": partial(front_figure, table, measured)}, DPI)
    report.save_page("prescribe.html.j2", partial(page_values, table, measured), drawn)
    report.save_skipped()


def beside(table: xr.Dataset, measured: xr.Dataset) -> pd.DataFrame:
    """Rows of the designs that were measured: predicted and measured numbers."""
    names = ["name", "eta", "eta_stderr", "rho", "multiplications", "memory"]
    frame = table[names].isel(design=measured.design.values).to_dataframe()
    frame.insert(0, "design", measured.design.values)
    frame["measured_n"] = measured.attrs["images_used"]
    for name in ("eta", "eta_stderr", "rho"):
        frame[f"measured_{name}"] = measured[name].values
    return frame


def page_values(table: xr.Dataset, measured: xr.Dataset | None) -> dict[str, Any]:
    """Values that the page shows: a row for each point of the front and each design that was measured."""
    found = {} if measured is None else {int(d): measured.sel(design=d) for d in measured.design.values}
    shown = np.union1d(np.flatnonzero(table.front.values), [0, table.attrs.get("answer", 0), *found]).astype(int)
    modulus = np.char.find(table.ways.values.astype(str), "CMod") >= 0
    names = ("eta", "eta_stderr", "rho", "multiplications", "memory")
    rows = [
        {
            "design": int(d),
            "name": str(table.name.values[d]),
            "kernels": np.flatnonzero(modulus[table.way.values[d]]).tolist(),
            "measured": {name: float(found[d][name]) for name in ("eta", "eta_stderr", "rho")} if d in found else None,
        }
        | {name: float(table[name][d]) for name in names}
        for d in sorted(shown, key=lambda d: -table.eta.values[d])
    ]
    svg = rendered(front_figure(table, measured), "svg", DPI).decode()
    return {
        "attrs": table.attrs,
        "rows": rows,
        "sentence": sentence(table, table.answer) if "answer" in table.attrs else "",
        "pictures": 0 if measured is None else measured.attrs["images_used"],
        "spectrum": "the spectrum of photographs" if table.spectrum == "measured" else f"a spectrum {table.spectrum}",
        "front": Markup(svg[svg.index("<svg") :]),  # drawn here, with the layer's name escaped by matplotlib
    }
