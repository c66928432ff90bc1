"""``shiftscope kernels``."""

from __future__ import annotations

from typing import Annotated

import typer

from analysis.commands import options
from analysis.files.messages import printable


def command(
    out: options.Out,
    source: Annotated[
        str,
        typer.Argument(
            metavar="[SOURCE]",
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
    images: options.Images = None,
    shift: options.Shift = None,
    limit: options.Limit = None,
    size: options.Size = 224,
    block: options.Block = 128,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    figures: options.Figures = True,
    strict: options.Strict = False,
    scheduler: options.Scheduler = None,
    workers: options.Workers = None,
    threads: options.Threads = 1,
    quiet: options.Quiet = False,
) -> None:
    """Analyse the kernels of a trained first layer: what each is, and how stable its responses are under shifts.

    Writes kernels.csv, kernels.nc, mosaic.png, fourier.png, why.png, plane.png, predicted.png, ranking.png and
    report.html.
    """
    shifts = options.parse_shifts(shift)
    means, deviations = options.parse_numbers("mean", mean), options.parse_numbers("std", std)
    steps: dict[str, float | None] = {
        "kernels": None,
        "Gaussian field": 0.5,
        "isolated features": 0.5,
        "figures": 1.5,
    }
    options.plan(steps)
    from analysis.kernels import first_layer
    from analysis.reports.kernels import kernel_report
    from analysis.reports.summaries import kernel_summary

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
    if not quiet and layer.parameter:
        print(f"{layer.origin}: {printable(layer.parameter)} {layer.weight.shape}")
    report = kernel_report(
        layer,
        images,
        out,
        **options.given(shifts=shifts),
        size=size,
        limit=limit,
        block=block,
        resume=resume,
        overwrite=overwrite,
        figures=figures,
        scheduler=scheduler,
        workers=workers,
        threads=threads,
        progress=not quiet,
        on_skip=options.skips_shown(quiet),
    )
    if not quiet:
        print(kernel_summary(report))
    options.finish(report, strict, quiet)
