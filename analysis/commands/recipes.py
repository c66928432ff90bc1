"""``shiftscope recipes``."""

from __future__ import annotations

import shutil
import sys
from textwrap import fill
from typing import Annotated

import typer

from analysis.commands import options, shared

MARGIN = 28  # columns for names


def command(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORD]...", help="Show only what has all of these words, such as resnet18 blur."),
    ] = None,
) -> None:
    """List the recipes of `shiftscope train`, and the networks.

    With words, those whose name or description has them all; exits with 1 if there is none.
    """
    options.need_torch()
    from analysis.networks.training.orchestration import listing

    found = listing(*words or ())
    if shared.asked.json:
        shared.print_json(found)
    elif any(found.values()):
        print("\n\n".join(_section(kind, lines) for kind, lines in found.items() if lines))
    if not any(found.values()):
        print(f"shiftscope: no recipe and no network has all of: {' '.join(words or ())}", file=sys.stderr)
        raise typer.Exit(1)


def _section(kind: str, lines: dict[str, str]) -> str:
    """Names and descriptions, wrapped to the terminal, the latter in a column of their own."""
    width = max(shutil.get_terminal_size().columns, MARGIN + 30)
    own = {"networks": {"FILE.py:FACTORY": "a function in a file of yours, which is executed"}}.get(kind, {})
    parts = [
        fill(f"{name:<{MARGIN - 3}} {text}", width - 1, initial_indent="  ", subsequent_indent=" " * MARGIN)
        for name, text in (lines | own).items()
    ]
    return "\n".join([f"{kind.capitalize()}:", *parts])
