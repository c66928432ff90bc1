"""``shiftscope study``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.commands import options, shared


def command(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="A study; see --list.")] = None,
    data: Annotated[Path | None, typer.Option(help="What --list says of the study.")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for the results; it is created.")] = None,
    show: Annotated[bool, typer.Option("--list", help="List the studies, what they need and what they cost.")] = False,
    scale: Annotated[str, typer.Option(help="small or published.")] = "small",
    seeds: Annotated[str, typer.Option(metavar="N,N,...", help="Seeds of the runs.")] = "0,1,2",
    runs: Annotated[
        list[str] | None,
        typer.Option(metavar="FACTOR=LEVEL", help="Only runs with this level of a factor; may be given again."),
    ] = None,
    device: options.Device = "cpu",
    precision: options.Precision = "float32",
    scheduler: options.Scheduler = None,
    figures: options.Figures = True,
    quiet: options.Quiet = False,
) -> None:
    """Train and measure the networks of a document's table, and say which of its claims hold here.

    Writes runs.csv, summary.csv, claims.csv, a figure, and a folder for each run. The same command goes on where it
    was stopped.
    """
    if not show:
        options.plan({"runs": None, "figures": 1.0})
    options.need_torch()
    from analysis.reports.study import study_listing, study_report, study_text
    from analysis.studies import study_named

    if show:
        if shared.asked.json:
            shared.print_json({"studies": study_listing().splitlines()})
        else:
            print(study_listing())
        return
    for option, value in {"NAME": name, "--data": data, "--out": out}.items():
        if value is None:
            raise ValueError(f"{option} is missing; `shiftscope study --list` names the studies")
    assert name is not None and data is not None and out is not None
    study = study_named(name)
    report, table = study_report(
        study,
        data,
        out,
        scale=scale,
        seeds=[int(part) for part in seeds.split(",")] if seeds.replace(",", "").isdigit() else seeds,
        chosen=runs or [],
        device=device,
        precision=precision,
        scheduler=scheduler,
        figures=figures,
        progress=not quiet,
    )
    if not quiet:
        print(study_text(study, table))
    options.finish(report, False, quiet)
