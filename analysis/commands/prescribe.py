"""``shiftscope prescribe``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.commands import options


def command(
    out: options.Out,
    source: Annotated[
        str,
        typer.Argument(
            metavar="[LAYER]",
            help=options.LAYER_HELP,
        ),
    ] = "default",
    stride: options.Stride = None,
    padding: options.Padding = None,
    pool: options.Pool = None,
    pool_padding: options.PoolPadding = None,
    channels: options.Channels = None,
    mean: options.Mean = None,
    std: options.Std = None,
    like: options.Like = None,
    name: options.LayerName = None,
    weight: options.Weight = None,
    images: Annotated[
        Path | None,
        typer.Option(
            help="Folder of photographs: every second gives the spectrum, the others measure three points of the front."
        ),
    ] = None,
    target: Annotated[
        float | None, typer.Option(help="Relative change of the layer's output to be reached, such as 0.2.")
    ] = None,
    spectrum: Annotated[
        str | None, typer.Option(help="measured (default with --images), 1/f^2 (default without), or flat.")
    ] = None,
    shift: options.Shift = None,
    limit: options.Limit = None,
    size: options.Size = 224,
    fields: Annotated[int, typer.Option(help="Random fields of the prediction.")] = 8,
    seed: Annotated[int, typer.Option(help="Of the random fields.")] = 0,
    activation: Annotated[str, typer.Option(help="Of the layer; only relu is modelled.")] = "relu",
    block: options.Block = 32,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    figures: options.Figures = True,
    quiet: options.Quiet = False,
) -> None:
    """Find what to change in a first layer's pooling to make it stable, and what that costs.

    Writes prescribe.csv, prescribe.nc, front.png and prescribe.html; with --images measured.csv too. In the folder of
    shiftscope kernels the two pages lead to each other.
    """
    shifts = options.parse_shifts(shift)
    means, deviations = options.parse_numbers("mean", mean), options.parse_numbers("std", std)
    options.plan({"spectrum": None, "random fields": None, "designs": None, "figures": 2.0})
    from analysis.kernels import first_layer
    from analysis.reports.prescribe import prescribe_report
    from analysis.reports.summaries import prescription_summary

    layer = first_layer(
        source,
        weight=weight,
        like=like,
        name=name,
        stride=stride,
        padding=padding,
        pool=pool,
        pool_padding=pool_padding,
        channels=channels,
        mean=means,
        std=deviations,
        progress=not quiet,
    )
    report = prescribe_report(
        layer,
        out,
        images,
        spectrum,
        target,
        limit,
        **options.given(shifts=shifts),
        size=size,
        fields=fields,
        seed=seed,
        activation=activation,
        block=block,
        resume=resume,
        overwrite=overwrite,
        figures=figures,
        progress=not quiet,
        on_skip=options.skips_shown(quiet),
    )
    if not quiet:
        print(prescription_summary(report))
    options.finish(report, False, quiet)
