"""``shiftscope report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.commands import options


def command(
    results: Annotated[
        list[Path],
        typer.Argument(
            help="kernels.nc, heatmaps_J*.nc, audit.nc, stability.nc, circular.nc or prescribe.nc; two of one kind "
            "stand side by side."
        ),
    ],
    to: Annotated[Path, typer.Option(help="The page that is written.")] = Path("report.html"),
    weights: Annotated[
        Path | None,
        typer.Option(help="File of the first layer's weights, which results lack: else its Gabor fits are drawn."),
    ] = None,
    weight: options.Weight = None,
    figures: options.Figures = True,
    quiet: options.Quiet = False,
) -> None:
    """Make the page of stored results again, or of two checkpoints side by side; nothing is measured."""
    from analysis.reports.stored import stored_report

    path = stored_report(results, to, weights=weights, weight=weight, figures=figures)
    if not quiet:
        print(path)
