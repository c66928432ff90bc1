"""Report of a healing: the network with a remedy before and after, beside the plain one; table, figures, one page."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from torch import nn

from analysis import plots
from analysis.files.folders import ImageFolder
from analysis.files.messages import printable
from analysis.files.results import writable_folder
from analysis.heal.healed_file import HEALED_NAME
from analysis.heal.healing import Healed, Images, heal_network
from analysis.networks.loading import SIZE, LoadedNetwork, load_network
from analysis.networks.remedy_table import remedy as remedy_named
from analysis.reports.stability import CAPTIONS, DPI, figures, page_values, with_error
from analysis.reports.writer import OnSkip, Report
from analysis.runs.provenance import distribution_version
from analysis.stability.experiment import compare_remedies, table
from analysis.stability.labels import Labels, read_labels
from wavelets.checks import integer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MINUTES = 10.0
"""Time of a healing for which neither minutes nor steps are given."""

REPORTED = 60
"""Images held out on which the report measures; every one takes some 16 passes of each network."""

SPAN = 4
"""Largest distance of two windows in the report, pixels."""


def heal_report(
    network: str | nn.Module | LoadedNetwork,
    remedy: str,
    images: Images,
    out: str | os.PathLike[str],
    *,
    weights: str | os.PathLike[str] | None = None,
    size: int | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    labels: str | os.PathLike[str] | None = None,
    reported: int = REPORTED,
    progress: bool = True,
    on_skip: OnSkip | None = None,
    figures: bool = True,
    **how: Any,
) -> Report:
    """Heal a network, and report stability and accuracy of plain, remedied and healed side by side.

    Writes healed.safetensors, log.csv, healing.png, stability.csv, stability.nc, trade.png, flips.png, divergence.png,
    with labels accuracy.png, and report.html; last.pt and best.pt stay, from which a run that was stopped is continued;
    and skipped.txt if images had to be left out.

    Parameters
    ----------
    network : str, torch.nn.Module or LoadedNetwork
        Name or ``FILE.py:FACTORY`` as for :func:`analysis.networks.loading.load_network`, **which executes the file**;
        or a module that takes R, G, B in [0, 1]; or a LoadedNetwork.
    remedy, images
        As for :func:`analysis.heal_network`.
    out : path
        Folder for the results; it is created.
    weights : path, optional
        File of weights, for a network by name.
    size : int, optional
        Side of the network's input, pixels; by default the network's own, of a module 224.
    minutes, steps
        As for :func:`analysis.heal_network`; by default :data:`MINUTES`.
    labels : path, optional
        CSV with columns file and index: the classes, to report accuracy; nothing is learnt from them.
    reported : int
        Images, of those held out, that the report measures on.
    progress, on_skip
        As for :func:`analysis.networks.train_network`.
    figures : bool
        Draw figures; without them the page has its words and tables.
    **how
        Further arguments of :func:`analysis.heal_network`, also of its plan: losses, rate, ...;
        ``learn`` stands for the plan's `weights`.

    Returns
    -------
    Report
        Its `datasets` have the one dataset "stability".

    Raises
    ------
    OSError, TypeError, ValueError
        As of :func:`analysis.heal_network`; or if an image has no class in the labels.
    """
    integer("reported", reported, 1)
    if size is not None:
        integer("size", size, 1)
    if remedy:
        remedy_named(remedy.partition(":")[0])  # before anything is loaded
    if isinstance(network, LoadedNetwork):
        loaded = network
    elif isinstance(network, str):
        loaded = load_network(network, weights, size)
    else:
        loaded = LoadedNetwork(type(network).__name__, network, size=size or SIZE)
    folder = images if isinstance(images, (str, os.PathLike)) else None
    classes = None if labels is None else read_labels(labels, folder)
    if classes is not None and folder is not None:
        for file in ImageFolder(folder, how.get("limit")):  # before anything is learnt
            classes.of(printable(file))
    if "learn" in how:
        how["weights"] = how.pop("learn")
    report = Report(writable_folder(out), progress, on_skip, figures)
    done = heal_network(
        loaded,
        remedy,
        images,
        out,
        minutes=MINUTES if minutes is None and steps is None else minutes,
        steps=steps,
        progress=progress,
        on_skip=report.skip,
        **how,
    )
    report.inputs = len(done.learnt) + len(done.held)
    comparison = compared(done, reported, classes, report, folder)
    write_healing(report, done, comparison)
    return report


def compared(
    done: Healed, count: int, classes: Labels | None, report: Report, root: str | os.PathLike[str] | None
) -> xr.Dataset:
    """Stability of the plain, the remedied and the healed network on images held out.

    Parameters
    ----------
    done : Healed
    count : int
        Images, at most.
    classes : Labels or None
    report : Report
        Notes images that are left out.
    root : path or None
        Folder of the images, below which labels name them.
    """
    held: Sequence[Any] = [done.held.inputs[row] for row in done.held.rows[:count].tolist()]
    name = done.remedy or "no remedy"
    models = {"plain": done.plain} | ({name: done.unhealed} if done.remedy else {})
    size = done.network.size
    found = compare_remedies(
        models | {name + HEALED_NAME: done.model},
        held,
        classes,
        size=size,
        span=SPAN,
        changes={name: done.changes},
        preprocess=done.network.preprocess,
        progress=report.progress,
        feeding={"on_skip": report.skip, "root": root},
    )
    return found.assign_attrs(
        network=done.network.name,
        device=str(next(done.model.parameters()).device),
        clock="processor time of all threads",
        torch_version=distribution_version("torch"),
        healed=name + HEALED_NAME,
        ten_side=0,
    )


def write_healing(report: Report, done: Healed, comparison: xr.Dataset) -> None:
    """Write stability.nc, stability.csv, the figures and report.html; the other files are there already."""
    report.save(comparison, "stability")
    report.save_table(lambda: table(comparison), "stability", index=True)
    title = f"{done.network.name}, {done.remedy or 'no remedy'}"
    drawing: dict[str, Callable[[], Figure]] = {
        "healing": partial(plots.healing_figure, done.rows, done.before, done.at_first, title, done.kept),
        **figures(comparison),
    }
    drawn = report.draw(drawing, DPI)
    captions = {"healing": "Images held out of learning, round by round; the star is the round that is kept."}
    captions |= {name: CAPTIONS[name] for name in figures(comparison)}

    def values() -> dict[str, Any]:
        shown = page_values(comparison, {done.remedy: done.changes} if done.remedy else {})
        about = {"verdict": verdict(done, comparison), "done": done, "settings": settings(done)}
        return shown | about | {"captions": captions, "last": done.rows[-1], "kept": done.rows[done.kept - 1]}

    report.save_page("heal.html.j2", values, drawn)


def settings(done: Healed) -> dict[str, str]:
    """Return the plan of a healing in words, for tables."""
    shown = {name: value for name, value in vars(done.plan).items() if value is not None}
    return {name: ", ".join(value) if isinstance(value, (list, tuple)) else str(value) for name, value in shown.items()}


def verdict(done: Healed, comparison: xr.Dataset) -> str:
    """Sentences that say what healing did to flips, answers and accuracy.

    Parameters
    ----------
    done : Healed
    comparison : xarray.Dataset
        Of :func:`compared`.
    """
    rows = table(comparison)
    plain, healed = rows.iloc[0], rows.iloc[-1]
    fewer, error = healed.flips_1px_fewer, healed.get("flips_1px_fewer_se", np.nan)
    about = f" ± {error:.1f}" if np.isfinite(error) else ""
    text = (
        f"One pixel on, {with_error(healed, 'flips_1px')} % of the answers are others; of the plain network "
        f"{with_error(plain, 'flips_1px')} %, so {abs(fewer):.1f}{about} points "
        f"{'fewer' if fewer >= 0 else 'more'}. "
    )
    kept = done.rows[done.kept - 1]
    text += (
        f"It answers as the plain network does on {kept['agreement']:.1f} % of the images held out, "
        f"and did on {done.before['agreement']:.1f} % before healing."
    )
    if np.isfinite(healed.get("top1", np.nan)):
        middle = f", unhealed {with_error(rows.iloc[1], 'top1')} %" if len(rows) > 2 else ""
        text += f" Accuracy: plain {with_error(plain, 'top1')} %{middle}, healed {with_error(healed, 'top1')} %."
    return text


def healing_summary(report: Report) -> str:
    """Table of the three networks, for the terminal."""
    from analysis.reports.summaries import stability_summary

    return f"{stability_summary(report)}\nHealed network: {printable(report.folder)}/healed.safetensors, log.csv"
