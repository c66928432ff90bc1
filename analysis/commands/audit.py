"""``shiftscope audit``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.commands import options


def command(
    network: options.Network,
    images: Annotated[Path, typer.Option(help="Folder of images, searched recursively.")],
    out: options.Out,
    weights: options.Weights = None,
    pretrained: Annotated[
        bool, typer.Option("--pretrained", help="Let timm or torchvision download their weights.")
    ] = False,
    output: Annotated[
        str | None, typer.Option(metavar="KEY", help="Key or position of the logits, if the network returns several.")
    ] = None,
    shift: options.Shift = None,
    borders: Annotated[
        str,
        typer.Option(
            help="circular: pictures and maps go on as their own period. own: pictures go on mirrored, maps as the "
            "network pads them. both: their difference is what borders do; takes twice as long."
        ),
    ] = "circular",
    form: Annotated[
        str | None,
        typer.Option(
            help="How blame is shared out. exact: all subsets of places are run. sampled: one random order and its "
            "reversal an image. nested: the order of execution alone, which is cheap. Default: exact up to 6 places, "
            "then sampled.",
        ),
    ] = None,
    mend: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REMEDY",
            help="Also mend the places one by one with this remedy, such as blur3, in the order that takes most of the "
            "change away; may be given again. Takes K (K + 3) more passes of an image for each shift, for K places.",
        ),
    ] = None,
    mend_limit: Annotated[
        int | None, typer.Option(help="Use at most this many of the images for mending, spread over them.")
    ] = None,
    first_layer: Annotated[
        bool, typer.Option("--first-layer/--no-first-layer", help="Analyse the kernels of a first convolution too.")
    ] = True,
    size: options.InputSize = None,
    limit: options.Limit = None,
    every: options.Every = 1,
    device: options.Device = "cpu",
    block: options.Block = 16,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    figures: options.Figures = True,
    strict: options.Strict = False,
    quiet: options.Quiet = False,
) -> None:
    """Find where a network loses resolution, what aliases there, and which place is to blame for unstable answers.

    Writes audit.csv, audit.nc, strip.png, shifts.png and report.html; of a first convolution also kernels.csv and .nc;
    with --mend also mending.csv and mending.png.
    FILE.py:FACTORY executes the file, with all that is in it.
    """
    shifts = options.parse_shifts(shift)
    steps = dict.fromkeys(("audit", "mending", "kernels") if mend else ("audit", "kernels"))
    options.plan(steps | {"Gaussian field": 0.5, "figures": 3.0})
    options.need_torch()
    from analysis.reports.audit import audit_report
    from analysis.reports.summaries import audit_summary

    report = audit_report(
        network,
        images,
        out,
        weights=weights,
        pretrained=pretrained,
        **options.given(shifts=shifts),
        borders=("circular", "own") if borders == "both" else (borders,),
        options={"form": form, "output": output},
        first_layer=first_layer,
        mend=mend or (),
        mend_limit=mend_limit,
        size=size,
        limit=limit,
        every=every,
        device=device,
        block=block,
        resume=resume,
        overwrite=overwrite,
        figures=figures,
        progress=not quiet,
        on_skip=options.skips_shown(quiet),
    )
    if not quiet:
        print(audit_summary(report))
    options.finish(report, strict, quiet)
