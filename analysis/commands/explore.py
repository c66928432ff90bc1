"""``shiftscope explore``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def command(
    results: Annotated[
        list[Path],
        typer.Argument(help="Files kernels.nc, heatmaps_J*.nc, stability.nc, or folders of them; the first one opens."),
    ],
    out: Annotated[Path, typer.Option(help="The page.")] = Path("explorer.html"),
    weights: Annotated[
        list[str] | None,
        typer.Option(help="For a kernels.nc without kernels: the network or file they are in; may be given again."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Do not say what was written.")] = False,
) -> None:
    """Make one HTML page in which kernels, shifts and phases are looked at and moved, without a server."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"out is {out}; expected the name of a page, such as explorer.html")
    from analysis.reports.explorer import explore

    page = explore(*results, weights=weights or [])
    page.save(out)
    if not quiet:
        print(f"{out}: {len(page.html.encode()) / 1e6:.2f} MB, opens in any browser")
