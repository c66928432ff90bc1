"""Training of a network, with its curves as a figure."""

from __future__ import annotations

import os
from typing import Any

from analysis.files.results import writable_folder
from analysis.networks.training.data import Data
from analysis.networks.training.orchestration import Training, train_network
from analysis.networks.training.recipe import Recipe
from analysis.plots import training_figure
from analysis.reports.writer import OnSkip, Report


def train_report(
    recipe: Recipe | str,
    data: Data | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    figures: bool = True,
    progress: bool = True,
    on_skip: OnSkip | None = None,
    **how: Any,
) -> tuple[Training, Report]:
    """Train a network as a recipe says, and draw the curves of its run.

    Writes log.csv, last.pt, best.pt, training.png, and skipped.txt if a picture could not be read.

    Parameters
    ----------
    recipe, data, out
        As for :func:`analysis.networks.train_network`.
    figures : bool
        Draw training.png.
    progress : bool
        Show progress bars on standard error.
    on_skip : callable, optional
        Called with the name and the reason of each picture that is left out.
    **how
        Further arguments of :func:`analysis.networks.train_network`.

    Returns
    -------
    training : Training
    report : Report

    Raises
    ------
    BlockingIOError, OSError, TypeError, ValueError
        As :func:`analysis.networks.train_network`.
    """
    report = Report(writable_folder(out), progress, on_skip, figures)
    done = train_network(recipe, data, out, progress=progress, on_skip=report.skip, **how)
    report.inputs = len(done.data.train) + len(done.data.validation)
    report.save_skipped()
    title = f"{done.name}, {done.recipe.name}"
    report.draw({"training": lambda: training_figure(done.rows, title, done.best)}, dpi=150)
    return done, report
