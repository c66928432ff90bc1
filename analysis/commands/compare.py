"""``shiftscope compare``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.commands import shared


def command(
    a: Annotated[Path, typer.Argument(help="Result file (*.nc), or a folder of them.")],
    b: Annotated[Path, typer.Argument(help="The other one; of folders, files of the same name are compared.")],
    rtol: Annotated[float, typer.Option(help="Relative difference that is allowed.")] = 1e-12,
    atol: Annotated[float, typer.Option(help="Absolute difference that is allowed on top of it.")] = 0.0,
    figure: Annotated[
        Path | None, typer.Option(help="Draw the differences of one variable, filter by filter, to this file.")
    ] = None,
    variable: Annotated[str, typer.Option(help="The variable that is drawn.")] = "rho_rms",
    quiet: shared.Quiet = False,
) -> None:
    """Say whether two results agree, and where they differ. Exits with 0 if they agree, with 1 if not.

    Settings, inputs and all values decide; versions, dates and times are shown only. The order of shifts is free.
    """
    from analysis.files.comparison import Comparison, FolderComparison, compare, compare_folders

    if a.is_dir() != b.is_dir() and a.exists() and b.exists():
        raise ValueError(f"{a} and {b}: one is a folder and one is not; expected two files or two folders")
    if a.is_dir() and figure is not None:
        raise ValueError("a figure needs two files, not folders")
    found: Comparison | FolderComparison
    found = compare_folders(a, b, rtol, atol) if a.is_dir() else compare(a, b, rtol, atol)
    if figure is not None:
        from analysis.files.results import load, save_figure
        from analysis.plots import difference_figure

        save_figure(difference_figure(load(a), load(b), variable), figure)
    if shared.asked.json:
        shared.print_json({"agree": found.agree, "report": found.report().splitlines()})
    elif not quiet:
        print(found.report())
    if not found.agree:
        raise typer.Exit(1)
