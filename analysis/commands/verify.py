"""``shiftscope verify``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from analysis.commands import shared


def command(
    cases: Annotated[int, typer.Option(help="Random cases for each statement.")] = 10_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same table.")] = 0,
    starts: Annotated[int, typer.Option(help="Random starts of the search, beside the worst random case.")] = 10,
    quiet: shared.Quiet = False,
) -> None:
    """Test the theorems: random cases, and a search for the worst one. Exits with 1 if one is violated.

    For an inequality the table shows the largest ratio of its two sides, 1 at most; for an equality the largest
    difference. In Theorem 2 and the corollary the ratio is that of the parts which the constants bound.
    """
    from analysis.reports.summaries import verification_summary
    from analysis.theory import verify

    table = verify(cases, seed, starts, progress=not quiet)
    if shared.asked.json:
        shared.print_json(table.to_dict("records"))
    else:
        print(verification_summary(table))
    if violations := int(table.violations.sum()):
        print(f"shiftscope: {violations} violations", file=sys.stderr)
        raise typer.Exit(1)
