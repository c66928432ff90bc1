"""Results of a stability comparison on disk: table, netCDF, figures, and one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import importlib.resources
import io
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
import pandas as pd
import torch
import xarray as xr
from matplotlib.figure import Figure
from tqdm import tqdm

from analysis import plots
from analysis.files import atomic, results
from analysis.runs.provenance import distribution_version
from analysis.stability.experiment import table

DPI = 110

COLUMNS = {
    "top1": ("top-1 %", "Accuracy of one crop."),
    "top5": ("top-5 %", "The class is among the five best, one crop."),
    "ten_top1": ("top-1 %, ten crops", "Accuracy of the mean of ten crops."),
    "ten_top5": ("top-5 %, ten crops", "The class is among the five best of the mean of ten crops."),
    "accuracy_lost": ("accuracy lost", "Percentage points of top-1, one crop; negative where the remedy gained."),
    "mfr": ("mFR %", "Mean flip rate over all distances and directions, relative to the plain network."),
    "flips_avoided": ("flips avoided %", "100 - mFR."),
    "flips_1px": ("flips, 1 px %", "Pairs of windows one pixel apart that get different classes."),
    "consistency": ("consistency %", "Pairs of any two different windows that get the same class."),
    "variation": ("variation %", "Standard deviation over the windows of the probability of the true class."),
    "mac": ("MAC %", "Mean absolute change of the probability of the top class under a shift of one pixel."),
    "worst": ("worst shift %", "Accuracy when an adversary chooses the worst of all windows."),
    "milliseconds": ("ms a picture", "Time of one pass."),
    "time_added": ("time added %", "Time of one pass beside that of the plain network."),
}


def figures(comparison: xr.Dataset) -> dict[str, tuple[Callable[[xr.Dataset], Figure], str]]:
    """Functions that draw a comparison, and captions, by the names of the files.

    Parameters
    ----------
    comparison : xarray.Dataset
        What :func:`analysis.stability.experiment.compare_remedies` returns.

    Returns
    -------
    dict of str to (callable, str)
    """
    drawn = {
        "trade": (
            plots.trade_figure,
            "Flips between neighbouring windows, beside what they cost; bars of one standard error over pictures.",
        ),
        "flips": (plots.flip_figure, "How often two windows of a picture get different classes, by their distance."),
        "divergence": (plots.divergence_figure, "Divergence of the probabilities from those of the first window."),
    }
    if "adversary" in comparison:
        drawn["accuracy"] = (
            plots.accuracy_figure,
            "Accuracy along the diagonal, and of an adversary who picks the worst shift.",
        )
        if comparison.accuracy.notnull().all():
            drawn["map"] = (plots.shift_map_figure, "Accuracy at every shift.")
    return drawn


def described(comparison: xr.Dataset, **attributes: Any) -> xr.Dataset:
    """Comparison with the attributes of a result: software, time, machine, and what is given."""
    return comparison.assign_attrs(
        attributes,
        threads=torch.get_num_threads(),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        **{f"{name}_version": distribution_version(name) for name in ("shiftscope", "torch", "numpy", "pillow")},
    )


def write_results(
    comparison: xr.Dataset,
    changes: Mapping[str, Sequence[str]],
    folder: Path,
    attempt: Callable[..., object],
    progress: bool = True,
) -> None:
    """Write stability.nc, stability.csv, the figures and report.html.

    Parameters
    ----------
    comparison : xarray.Dataset
        Of :func:`described`.
    changes : mapping of str to sequence of str
        By remedy, a line for each layer that it changed.
    folder : Path
        It exists.
    attempt : callable
        Called as ``attempt(write, *arguments)``: what becomes of an ``OSError`` is the caller's.
    progress : bool
        Show a progress bar on standard error.
    """
    attempt(results.save, comparison, folder / "stability.nc")
    rows = table(comparison)
    attempt(atomic.write_atomically, folder / "stability.csv", lambda path: rows.to_csv(path, float_format="%.6g"))
    drawn = {}
    todo = figures(comparison)
    for name, (draw, caption) in tqdm(todo.items(), desc="figures", unit="figure", disable=not progress):
        buffer = io.BytesIO()
        draw(comparison).savefig(buffer, format="png", dpi=DPI)
        drawn[name] = (buffer.getvalue(), caption)
        attempt(atomic.write_atomically, folder / f"{name}.png", partial(_write_bytes, buffer.getvalue()))
    page = report_page(comparison, changes, drawn)
    attempt(atomic.write_atomically, folder / "report.html", lambda path: path.write_text(page, encoding="utf-8"))


def report_page(
    comparison: xr.Dataset, changes: Mapping[str, Sequence[str]], drawn: Mapping[str, tuple[bytes, str]]
) -> str:
    """One HTML page with everything in it.

    Parameters
    ----------
    comparison, changes
        As in :func:`write_results`.
    drawn : mapping of str to (bytes, str)
        PNG files of the figures, and captions.

    Returns
    -------
    str
    """
    template = importlib.resources.files("analysis.reports").joinpath("stability.html.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    )
    rows = table(comparison)
    shown = [name for name in COLUMNS if name in rows]
    return environment.from_string(template).render(
        attrs=comparison.attrs,
        columns=[dict(zip(("title", "help"), COLUMNS[name], strict=True)) for name in shown],
        rows=[(name, [_with_error(row, column) for column in shown]) for name, row in rows.iterrows()],
        figures={
            name: (f"data:image/png;base64,{base64.b64encode(png).decode()}", text)
            for name, (png, text) in drawn.items()
        },
        changes=changes,
        orders=_orders(comparison),
    )


def summary(comparison: xr.Dataset) -> str:
    """Table for the terminal, one line a remedy.

    Parameters
    ----------
    comparison : xarray.Dataset
        What :func:`analysis.stability.experiment.compare_remedies` returns.

    Returns
    -------
    str
    """
    rows: pd.DataFrame = table(comparison)
    shown = [name for name in COLUMNS if name in rows and name not in ("top5", "ten_top5", "mfr", "mac", "variation")]
    texts = {COLUMNS[name][0]: [_with_error(row, name) for _, row in rows.iterrows()] for name in shown}
    return pd.DataFrame(texts, rows.index).to_string(index_names=False) + (
        f"\n± is the standard error over pictures. Times in the order of memory that is faster: {_orders(comparison)}."
    )


def _orders(comparison: xr.Dataset) -> str:
    """Which networks were given maps in which order."""
    groups = comparison.memory_order.to_series()
    return "; ".join(f"{order} for {', '.join(names)}" for order, names in groups.groupby(groups).groups.items())


def _with_error(row: pd.Series, name: str) -> str:
    """A value, and its standard error over pictures if there is one."""
    error = row.get(f"{name}_se", np.nan)
    return f"{_number(row[name])} ± {_number(error)}" if np.isfinite(error) and error else _number(row[name])


def _number(value: float) -> str:
    return f"{value:.1f}" if np.isfinite(value) else "–"


def _write_bytes(data: bytes, path: Path) -> None:
    path.write_bytes(data)
