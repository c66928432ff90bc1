"""Report of a network's stability under shifts, before and after remedies: table, figures, and one HTML page."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import nn

from analysis import plots
from analysis.files.messages import printable
from analysis.heal.healed_file import HEALED_NAME, healed_name, load_healed
from analysis.networks.layer_access import evaluation
from analysis.networks.loading import (
    SIZE,
    LoadedNetwork,
    apply_remedy,
    check_runs,
    left_lines,
    load_network,
    move,
    normalised,
)
from analysis.networks.metrics.shifts import WINDOWS
from analysis.networks.remedy_table import remedy
from analysis.reports.curves import chart
from analysis.reports.session import Images, Session
from analysis.reports.writer import Report, csv_uri, number_with_error
from analysis.runs.provenance import distribution_version
from analysis.stability.experiment import BLOCK, NetworkStability, measure_stability, table
from analysis.stability.extras import Corrupted, Extra, Offsets, PublishedShifts
from analysis.stability.labels import read_labels
from analysis.stability.timing import ModelError
from wavelets.checks import integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

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
    "consistency_offsets": (
        "consistency, offsets %",
        "Published form (Zhang 2019): two windows at random offsets below 32 in a square of 256 get the same class.",
    ),
    "variation": ("variation %", "Standard deviation over the windows of the probability of the true class."),
    "mfr_published": (
        "mFR, published form %",
        "Windows from the corner, pictures not normalised, as in the poster's records; relative to the plain network.",
    ),
    "mce": ("mCE %", "Mean of the 15 corruptions' errors, relative to the plain network."),
    "mac": ("MAC %", "Mean absolute change of the probability of the top class under a shift of one pixel."),
    "worst": ("worst shift %", "Accuracy when an adversary chooses the worst of all windows."),
    "milliseconds": ("ms a picture", "Time of one pass."),
    "time_added": ("time added %", "Time of one pass beside that of the plain network."),
}


def stability_report(
    network: str | nn.Module | LoadedNetwork,
    images: Images,
    out: str | os.PathLike[str],
    *,
    remedies: Sequence[str] = (),
    healed: Sequence[str | os.PathLike[str]] = (),
    labels: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    shifts: int = 8,
    grid: bool = False,
    ten_crop: bool = False,
    published: bool = False,
    corruptions: bool = False,
    seed: int = 0,
    size: int | None = None,
    side: int | None = None,
    windows: str = "true",
    batch: int | None = None,
    device: str = "cpu",
    block: int = BLOCK,
    **how: Any,
) -> Report:
    """Measure how stable a network is under shifts, before and after each remedy, none trained but those healed.

    Writes stability.csv, stability.nc, trade.png, flips.png, divergence.png, with labels accuracy.png (on a grid also
    map.png), report.html, and skipped.txt if images had to be left out.

    Parameters
    ----------
    network : str, torch.nn.Module or LoadedNetwork
        Name or ``FILE.py:FACTORY`` as for :func:`analysis.networks.loading.load_network`, **which executes the file**;
        or a module that takes R, G, B in [0, 1], which is put in evaluation mode; or a LoadedNetwork, which says how
        pictures are prepared.
    images : path
        Folder of images, searched recursively.
    out : path
        Folder for the results; it is created. A run that was stopped there is continued.
    remedies : sequence of str
        Names as for :func:`analysis.networks.remedy_table.remedy`, or ``NAME:LAYER,...`` for some layers only.
    healed : sequence of path
        Files healed.safetensors of :func:`analysis.heal_network` and the command `heal`, made of this network.
    labels : path, optional
        CSV with columns file and index: the classes. Without it there is no accuracy.
    weights : path, optional
        File of weights, for a network by name.
    shifts : int
        Largest distance of two windows, pixels, at least 2.
    grid : bool
        Take all (shifts + 1)² positions of the window, not three lines of them.
    ten_crop : bool
        Measure the accuracy of ten crops too.
    published : bool
        Measure the published forms too: consistency of two offsets in a square of 256/224 of the input, and flips and
        divergence of windows that are not normalised, the divergence by halving pictures of twice the size, to which
        images are brought first by default. For networks that take R, G, B normalised by channel.
    corruptions : bool
        Measure the error on the 15 corruptions of ImageNet-C too; needs labels and the extra "corruptions".
    seed : int
        Of offsets and corruptions.
    size : int, optional
        Side of the network's input, pixels; by default the network's own, of a module 224.
    side : int, optional
        Side to which every image is brought first, pixels. By default that of the input + shifts; with ten crops at
        least 256/224 of the input, the side that they are cut from; twice that for the published forms.
    windows : {"true", "reflect", "circular"}
        What windows show: pictures enlarged by the shifts; or pictures of the network's own side, that of the input,
        which go on mirrored or as their own period.
    batch : int, optional
        Images in one pass of the network.
    device : str
        Where torch shall compute, such as "cuda".
    block : int
        Images between two entries of the journal, from which a run continues.
    **how
        limit, every, resume, overwrite, progress, on_skip, figures: as for :class:`analysis.reports.session.Session`.

    Returns
    -------
    Report
        Its `datasets` have the one dataset "stability".

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range or a name unknown, if a network fails, or if the folder has another run.
    OSError
        If a file is not there, or the folder cannot be written to.
    """
    for option, count in {"size": size, "side": side, "batch": batch}.items():
        if count is not None:
            integer(option, count, 1)
    integer("shifts", shifts, 2)
    for text in remedies:  # before anything is loaded
        remedy(text.partition(":")[0])
    loaded = loaded_network(network, weights, size)
    models, changes = with_remedies(loaded, list(dict.fromkeys(remedies)), batch, device)
    for path in healed:
        models[healed_name(path)] = load_healed(path, loaded)
    check_runs(loaded, models, min(2, batch or 2))

    extras = _extras(loaded, shifts, published, corruptions, labels is not None, seed)
    whole = loaded.size + shifts * (windows == "true")
    ten_side = round(loaded.size * 256 / 224)
    session = Session("stability", images, out, loaded.size, colour=True, block=block, **how)
    classes = None if labels is None else read_labels(labels, session.root)
    if classes is not None:
        classes.check(map(printable, session.sources))  # before anything is measured
    with _named(loaded):
        experiment = NetworkStability(
            models,
            loaded.size,
            shifts,
            windows=windows,
            side=side or (2 if published else 1) * max(whole, ten_side if ten_crop else 0),
            frames="grid" if grid else "lines",
            ten_crop=ten_crop,
            labels=classes,
            extras=extras,
            changes=changes,
            preprocess=loaded.preprocess,
            batch_size=batch,
        )
        settings = {"network": loaded.name, "code_sha256": loaded.version} | experiment.settings()
        with session.results(settings, ["stability.nc"]) as report:
            comparison = session.measure(partial(measure_stability, experiment=experiment))
            report.inputs = len(report.skipped) + comparison.images_used
            comparison = comparison.assign_attrs(
                network=loaded.name,
                ten_side=ten_side,
                healed=", ".join(name for name in models if name.endswith(HEALED_NAME)),
                device=device,
                clock="processor time of all threads" if torch.device(device).type == "cpu" else "elapsed time",
                torch_version=distribution_version("torch"),
            )
            write_stability(report, comparison, changes)
    return report


def _extras(
    loaded: LoadedNetwork, shifts: int, published: bool, corruptions: bool, labelled: bool, seed: int
) -> list[Extra]:
    """Return what is measured beside the standard set."""
    extras: list[Extra] = []
    if published:
        prepare = getattr(loaded.preprocess, "func", loaded.preprocess)
        if prepare not in (None, normalised):
            raise ValueError(
                f"{loaded.name} prepares pictures in a way of its own; the published form, which leaves out the "
                "normalisation, is for networks that take R, G, B normalised by channel"
            )
        extras += [Offsets(loaded.size, seed), PublishedShifts(loaded.size, shifts)]
    if corruptions:
        if not labelled:
            raise ValueError("corruptions need labels: what is measured is the error")
        extras.append(Corrupted(loaded.size, seed))
    return extras


@contextlib.contextmanager
def _named(loaded: LoadedNetwork) -> Iterator[None]:
    """Say which network an error of a model is of."""
    try:
        yield
    except ModelError as error:
        raise ValueError(f"{loaded.name}, {error}") from error


def loaded_network(
    network: str | nn.Module | LoadedNetwork, weights: str | os.PathLike[str] | None, size: int | None
) -> LoadedNetwork:
    """Network with what it takes, from what `stability_report` is given."""
    if isinstance(network, str):
        return load_network(network, weights, size)
    if weights is not None:
        raise ValueError(f"weights is {printable(weights)}, but the network is no name and has its own")
    if isinstance(network, LoadedNetwork):
        return network
    return LoadedNetwork(type(network).__name__, evaluation(network), size=SIZE if size is None else size)


def with_remedies(
    loaded: LoadedNetwork, remedies: Sequence[str], batch: int | None, device: str
) -> tuple[dict[str, nn.Module], dict[str, list[str]]]:
    """Return the network as it is and with each remedy, and a line for each layer that a remedy changed."""
    move(loaded.model, device)
    models: dict[str, nn.Module] = {"plain": loaded.model}
    changes = {}
    at_once = min(2, batch or 2)  # a second picture tells of a model that takes one at a time
    check_runs(loaded, models, at_once)
    for text in remedies:
        models[text], lines = apply_remedy(loaded, text)
        changes[text] = [*lines, *left_lines(loaded, text, models[text])]
    return models, changes


def write_stability(report: Report, comparison: xr.Dataset, changes: Mapping[str, Sequence[str]]) -> None:
    """Write stability.nc, stability.csv, the figures and report.html.

    Parameters
    ----------
    report : Report
        Names the folder.
    comparison : xarray.Dataset
        Of :func:`analysis.stability.experiment.compare_remedies`, with the attributes of a result.
    changes : mapping of str to sequence of str
        By remedy, a line for each layer that it changed.
    """
    report.save(comparison, "stability")
    report.save_table(lambda: table(comparison), "stability", index=True)
    drawn = report.draw(figures(comparison), DPI)
    report.save_page("stability.html.j2", lambda: page_values(comparison, changes), drawn)


CAPTIONS = {
    "trade": "Flips between neighbouring windows, beside what they cost; bars of one standard error over pictures.",
    "flips": "How often two windows of a picture get different classes, by their distance.",
    "divergence": "Divergence of the probabilities from those of the first window.",
    "accuracy": "Accuracy along the diagonal, and of an adversary who picks the worst shift.",
    "map": "Accuracy at every shift.",
    "published": "Flips and divergence in the published form: windows from the corner, pictures not normalised.",
    "corruptions": "Error on corrupted pictures relative to the plain network, each kind over its five severities.",
}


def figures(comparison: xr.Dataset) -> dict[str, Callable[[], Figure]]:
    """Figures of a comparison, by the names of the files; each is drawn when called.

    Parameters
    ----------
    comparison : xarray.Dataset
        What :func:`analysis.stability.experiment.compare_remedies` returns.

    Returns
    -------
    dict of str to callable
    """
    drawn: dict[str, Callable[..., Figure]] = {
        "trade": plots.trade_figure,
        "flips": plots.flip_figure,
        "divergence": plots.divergence_figure,
    }
    if "adversary" in comparison:
        drawn["accuracy"] = plots.accuracy_figure
        if comparison.accuracy.notnull().all():
            drawn["map"] = plots.shift_map_figure
    if "flip_rate_published" in comparison:
        drawn["published"] = plots.published_form_figure
    if "corruption_error" in comparison:
        drawn["corruptions"] = plots.corruption_figure
    return {name: partial(draw, comparison) for name, draw in drawn.items()}


def page_values(comparison: xr.Dataset, changes: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Values that the page shows beside the figures: verdict, curves, table."""
    rows = table(comparison)
    shown = [name for name in COLUMNS if name in rows]
    return {
        "attrs": comparison.attrs,
        "windows": WINDOWS,
        "sentences": verdict(comparison),
        "columns": [(*COLUMNS[name], False) for name in shown],
        "rows": [
            (name, [(with_error(row, column), _sorted_by(row[column])) for column in shown])
            for name, row in rows.iterrows()
        ],
        "csv_file": csv_uri(rows, index=True),
        "captions": {name: CAPTIONS[name] for name in figures(comparison)},
        "flips": curves(comparison.flip_rate, "distance of two windows (px)", "flips (%)", CAPTIONS["flips"]),
        "divergence": curves(comparison.divergence, "shift (px)", "KL divergence (nats)", CAPTIONS["divergence"]),
        "changes": changes,
        "orders": orders(comparison),
    }


def curves(values: xr.DataArray, xlabel: str, ylabel: str, caption: str) -> dict[str, Any]:
    """Curves of all remedies that a reader can switch off, a panel a direction."""
    return chart(values.transpose("remedy", "direction", ...), "remedy", "direction", xlabel, ylabel, caption)


def _sorted_by(value: float) -> str:
    return f"{value:.6g}" if np.isfinite(value) else ""


def verdict(comparison: xr.Dataset) -> list[str]:
    """Sentences that say how often the plain network flips, which remedies mend it, and at what cost.

    Parameters
    ----------
    comparison : xarray.Dataset
        Of :func:`analysis.stability.experiment.compare_remedies`.
    """
    rows = table(comparison)
    plain, others = rows.iloc[0], rows.iloc[1:]
    told = [f"One pixel apart, the network as it is gives {_percent(plain, 'flips_1px')} of pairs another class."]
    if others.empty:
        return told
    fewer, error = _fewer(rows)
    better = others[(fewer > 2 * error).loc[others.index]]
    worse = others[(fewer < -2 * error).loc[others.index]]
    count = len(others)
    told[0] += f" Of {count} {'remedy' if count == 1 else 'remedies'}, {_listed(better.index)} clearly fewer flips"
    told[0] += f" and {_listed(worse.index)} clearly more, by two standard errors over pictures."
    if not better.empty:
        best = better.flips_1px.idxmin()
        told.append(f"The fewest has {best}: {_percent(rows.loc[best], 'flips_1px')}{_cost(rows.loc[best])}.")
    if "accuracy_lost" in rows:
        free = others[others.accuracy_lost <= others.get("accuracy_lost_se", pd.Series(0.0, others.index))]
        if not free.empty:
            best = free.flips_1px.idxmin()
            told.append(
                "Of those that lose no accuracy beyond the error, the fewest flips has "
                f"{best}: {_percent(rows.loc[best], 'flips_1px')}{_cost(rows.loc[best])}."
            )
        else:
            told.append("All of them lose accuracy until they are trained.")
    return told


def _fewer(rows: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    """Points of flips one pixel apart that each remedy avoids, and standard errors, paired where they are known."""
    if "flips_1px_fewer" in rows and "flips_1px_fewer_se" in rows:
        return rows.flips_1px_fewer, rows.flips_1px_fewer_se
    errors = rows.get("flips_1px_se", pd.Series(np.inf, rows.index))
    return rows.flips_1px.iloc[0] - rows.flips_1px, np.hypot(errors, errors.iloc[0])


def _listed(names: pd.Index) -> str:
    """Count and names of remedies, with the verb."""
    if not len(names):
        return "none has"
    return f"{len(names)} ({', '.join(map(str, names))}) {'has' if len(names) == 1 else 'have'}"


def _percent(row: pd.Series, name: str) -> str:
    return f"{with_error(row, name)} %"


def _cost(row: pd.Series) -> str:
    """Costs of a remedy: accuracy and time."""
    parts = []
    if "accuracy_lost" in row and np.isfinite(row.accuracy_lost):
        parts.append(f"for {with_error(row, 'accuracy_lost')} points of accuracy")
    if "time_added" in row and np.isfinite(row.time_added):
        parts.append(f"{row.time_added:+.0f} % time".replace("-", "−"))
    return f", {' and '.join(parts)}" if parts else ""


def orders(comparison: xr.Dataset) -> str:
    """List which networks were given maps in which order of memory."""
    groups = comparison.memory_order.to_series()
    return "; ".join(f"{order} for {', '.join(names)}" for order, names in groups.groupby(groups).groups.items())


def with_error(row: pd.Series, name: str, digits: int = 1) -> str:
    """Value of a table, and its standard error over pictures if there is one."""
    return number_with_error(row[name], row.get(f"{name}_se", np.nan), digits)
