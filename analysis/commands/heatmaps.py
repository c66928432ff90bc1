"""``shiftscope heatmaps``."""

from __future__ import annotations

from typing import Annotated

import typer

from analysis.commands import options


def command(
    out: options.Out,
    images: options.Images = None,
    levels: Annotated[
        list[str] | None,
        typer.Option(metavar="J,...", help="Depths J, such as 3 or 2,3; may be given again. Default: 2,3."),
    ] = None,
    filters: Annotated[
        str | None,
        typer.Option(
            help="Filter bank: cf_K_L, or qshift_06, qshift_a to qshift_d (these need dtcwt). Default: cf_3_3."
        ),
    ] = None,
    shift: options.Shift = None,
    limit: options.Limit = None,
    size: options.Size = 224,
    predict: Annotated[
        bool, typer.Option("--predict", help="Also predict the maps from the power spectrum of the images.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="Where torch shall compute, such as cuda. Default: numba, on the CPU.")
    ] = None,
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
    """Measure RMax-CMod discrepancy and shift stability of every dual-tree packet filter.

    Writes heatmaps_J{levels}.nc, .png and .pdf for each depth, report.html, and skipped.txt if images had to be left
    out; with --predict also prediction_J{levels}.nc, .png and .pdf.
    """
    shifts, depths = options.parse_shifts(shift), options.parse_levels(levels)
    predictions = {"Gaussian field": 10.0, "isolated features": 10.0} if predict else {}
    options.plan({"heatmaps": None, "figures": 4.0} | predictions)
    from analysis.reports.heatmaps import heatmap_report
    from analysis.reports.summaries import heatmap_summary

    report = heatmap_report(
        images,
        out,
        **options.given(levels=depths, filters=filters, shifts=shifts),
        size=size,
        predict=predict,
        device=device,
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
        print(heatmap_summary(report))
    options.finish(report, strict, quiet)
