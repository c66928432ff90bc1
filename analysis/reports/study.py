"""Report of a study: its tables, a figure beside the published numbers, and text for a terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from textwrap import fill

import numpy as np
import pandas as pd

from analysis import plots
from analysis.files.messages import unknown
from analysis.reports.writer import Report
from analysis.runs.cluster import cluster
from analysis.studies import STUDIES, Run, Study, run_study, summary, verdicts
from wavelets.checks import integer

PANELS = 4
"""Metrics in the figure, the first of the study's."""


def study_report(
    study: Study,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    scale: str = "small",
    seeds: Sequence[int] | str = (0, 1, 2),
    chosen: Sequence[str] = (),
    device: str = "cpu",
    precision: str = "float32",
    scheduler: str | None = None,
    progress: bool = True,
    figures: bool = True,
) -> tuple[Report, pd.DataFrame]:
    """Run a study and draw what it found.

    Parameters
    ----------
    study, data, out, scale, device, precision, progress
        As for :func:`analysis.studies.run_study`.
    seeds : sequence of int
    chosen : sequence of str
        ``FACTOR=LEVEL``: only runs with one of the levels that are given of a factor.
    scheduler : str, optional
        Address of a dask scheduler.
    figures : bool
        Draw the study's figure.

    Returns
    -------
    report : Report
    runs : DataFrame
        The table of runs.

    Raises
    ------
    OSError, TypeError, ValueError
        As by :func:`analysis.studies.run_study`; if a factor or level is unknown.
    """
    if isinstance(seeds, str) or not seeds:
        raise ValueError(f"seeds is {seeds!r}; expected whole numbers from 0, such as 0,1,2")
    wanted = _filter(study, scale, chosen)
    with cluster(scheduler) if scheduler else nullcontext() as client:
        runs = run_study(
            study,
            data,
            out,
            scale=scale,
            seeds=[integer("seeds", seed, 0) for seed in seeds],
            only=wanted,
            device=device,
            precision=precision,
            client=client,
            progress=progress,
        )
    report = Report(Path(out), progress, figures=figures)
    table = summary(study, runs)
    metrics = dict(list(study.metrics.items())[:PANELS])
    report.draw({study.name: lambda: plots.study_figure(table, study.factors, metrics)}, dpi=110)
    return report, runs


def study_text(study: Study, runs: pd.DataFrame) -> str:
    """Claims with their verdicts, in lines for a terminal."""
    hours = runs.hours.sum()
    lines = [f"{study.title}: {len(runs)} runs, {hours:.1f} hours of training and measuring", ""]
    for row in verdicts(study, runs).itertuples():
        printed = "" if np.isnan(row.published) else f", published {row.published:+.3g}"
        lines.append(f"{row.verdict:>14}  {row.claim} ({row.metric}: {row.effect:+.3g} ± {row.interval:.2g}{printed})")
    return "\n".join(lines)


def study_listing() -> str:
    """List all studies: what they are of, what they need, and what they cost."""
    parts = []
    for study in STUDIES.values():
        costs = [f"{scale}: {cost}" for scale, cost in study.costs.items()]
        texts = [study.title, f"data: {study.data}", *costs]
        parts.append(
            "\n".join([study.name, *(fill(t, 100, initial_indent="  ", subsequent_indent="    ") for t in texts)])
        )
    return "\n\n".join(parts)


def _filter(study: Study, scale: str, chosen: Sequence[str]) -> Callable[[Run], bool]:
    """Return what says whether a run has a chosen level of each factor that is named."""
    levels: dict[str, set[str]] = {}
    for text in chosen:
        factor, _, level = text.partition("=")
        if factor not in study.factors:
            raise ValueError(unknown("factor", factor, study.factors))
        there = dict.fromkeys(run.factors[factor] for run in study.runs(scale, [0]))
        if level not in there:
            raise ValueError(unknown(factor, level, there))
        levels.setdefault(factor, set()).add(level)
    return lambda run: all(run.factors[factor] in found for factor, found in levels.items())
