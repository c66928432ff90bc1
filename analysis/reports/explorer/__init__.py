"""Explorer: one HTML page, without a server, in which kernels, shifts, phases and the theorem are seen to move."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr
from markupsafe import Markup

from analysis.files.atomic import write_atomically
from analysis.files.messages import printable
from analysis.files.results import load
from analysis.reports.explorer.contents import (
    kernel_contents,
    packet_contents,
    photograph,
    stability_contents,
    with_kernels,
)
from analysis.reports.explorer.words import advice, purpose, symbols, tasks, verdict
from analysis.reports.links import LINK, NO_LINK, PAGE
from analysis.reports.writer import filled

SCRIPTS = ("mathematics", "drawing", "state", "plane", "card", "lab", "clock", "table", "compare", "theorem", "page")
PATTERNS = ("kernels.nc", "heatmaps_J*.nc", "stability.nc")
HEIGHT = 900  # pixels of the frame in a notebook

Result = str | os.PathLike[str] | xr.Dataset


@dataclass(frozen=True)
class Explorer:
    """The page, which a notebook shows as it is.

    Attributes
    ----------
    html : str
        The whole page; it needs no other file and sends no request.
    """

    html: str

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page to a file; where the page of a prescription is in the same folder, it leads there.

        Raises
        ------
        OSError
            If it cannot be written; what stood there before is left alone.
        """
        path = Path(path)
        page = self.html.replace(NO_LINK, LINK, 1) if (path.parent / PAGE).is_file() else self.html
        return write_atomically(path, lambda temporary: temporary.write_text(page, encoding="utf-8"))

    def _repr_html_(self) -> str:
        page = html.escape(self.html, quote=True)
        return f'<iframe srcdoc="{page}" title="Explorer" width="100%" height="{HEIGHT}" frameborder="0"></iframe>'


def explore(*results: Result, weights: Any = ()) -> Explorer:
    """Make the page in which results are looked at and moved.

    Parameters
    ----------
    *results : path or xarray.Dataset
        Datasets, files or folders of them: tables of kernels (`kernels.nc`, :func:`analysis.kernel_table`), packet maps
        (`heatmaps_J*.nc`, :func:`analysis.heatmaps`) and the stability of networks (`stability.nc`); at least one of
        the first two.
    weights : what :func:`analysis.first_layer` takes, or a sequence of them
        Kernels for tables that were written before they held them.

    Returns
    -------
    Explorer
        In a notebook it shows itself; `save` writes it.

    Raises
    ------
    FileNotFoundError
        If a file is not there.
    TypeError, ValueError
        If a result is of another kind or lacks its kernels, if the weights are not those that were measured, or if
        there is nothing but the stability of networks.

    Notes
    -----
    What moves is computed in the page, from the kernels and one photograph, in double precision: see
    ``mathematics.js``. What was measured on many photographs is shown as it stands in the tables.
    """
    sources = list(weights) if isinstance(weights, (list, tuple)) else [weights]
    found = [file for result in results for file in _files(result)]
    contents = [_contents(result, number, sources) for number, result in enumerate(found, 1)]
    if not any(part["what"] != "stability" for part in contents):
        raise ValueError("there are no kernels to explore; expected kernels.nc or heatmaps_J*.nc among the results")
    return Explorer(_page(contents))


def _files(result: Result) -> list[Result]:
    """Results in a folder; anything else as it is."""
    if isinstance(result, xr.Dataset) or not Path(result).is_dir():
        return [result]
    files: list[Result] = [file for pattern in PATTERNS for file in sorted(Path(result).glob(pattern))]
    if not files:
        raise FileNotFoundError(f"no results in {printable(result)}: expected one of {', '.join(PATTERNS)}")
    return files


def _contents(result: Result, number: int, weights: Iterable[Any]) -> dict[str, Any]:
    """Contents of one result, ready for JSON."""
    if isinstance(result, xr.Dataset):
        table, name = result, f"result {number}"
    else:
        table, name = load(result), printable(result)
    if "model" not in table.dims:  # of predictions
        if {"kind", "theta_y", "eta_rmax"} <= set(table.data_vars):
            return kernel_contents(with_kernels(table, name, weights))
        if {"rho", "eta_rmax"} <= set(table.data_vars) and "filter" in table.dims:
            return packet_contents(table)
        if "remedy" in table.dims and "mfr" in table:
            return stability_contents(table)
    raise ValueError(
        f"{name} is {table.attrs.get('title') or 'a result of another kind'}; expected measured kernels (kernels.nc), "
        "packet maps (heatmaps_J*.nc) or the stability of networks (stability.nc)"
    )


def _page(contents: list[dict[str, Any]]) -> str:
    files = Path(__file__).parent
    first = next(part for part in contents if part["what"] != "stability")
    data = {"sets": contents, "photograph": photograph()}
    return filled(
        "explorer/page.html.j2",
        title=first["name"],
        purpose=purpose(first),
        verdict=verdict(first),
        advice=advice(first),
        symbols=symbols(first),
        tasks=tasks(first),
        prescription=Markup(NO_LINK),
        style=Markup((files / "page.css").read_text("utf-8")),
        script=Markup("".join((files / f"{name}.js").read_text("utf-8") for name in SCRIPTS)),
        # No name from a file may end the script.
        data=Markup(json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")),
    )
