"""``shiftscope stability``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.commands import options


def command(
    network: options.Network,
    out: options.Out,
    images: Annotated[Path | None, typer.Option(help="Folder of images, searched recursively.")] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="With --circular, in place of --images: arrays as of `shiftscope train`, or CIFAR-10."),
    ] = None,
    circular: Annotated[
        bool,
        typer.Option("--circular", help="Circular shifts of the test pictures of --data: Zhang's protocol (BlurPool)."),
    ] = False,
    spectrograms: Annotated[
        bool,
        typer.Option(
            "--spectrograms", help="Time and frequency shifts of the recordings of --data: the sound study's Table III."
        ),
    ] = False,
    beside: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE", help="With --spectrograms: another sound network and its best.pt; may be given again."
        ),
    ] = None,
    mapped: Annotated[int, typer.Option(help="With --circular: pictures that are run at every shift.")] = 200,
    seed: Annotated[int, typer.Option(help="Of what is drawn at random.")] = 0,
    remedy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:LAYER,...]",
            help="blur2 to blur7, aps-l1, aps-l2, aps-linf, tlpf, adaptive-blur, intrablock, cmod, ... (an unknown one "
            "lists all), for some layers only if they are named; may be given again.",
        ),
    ] = None,
    healed: Annotated[
        list[Path] | None,
        typer.Option(help="A healed.safetensors that `shiftscope heal` made of this network; may be given again."),
    ] = None,
    shifts: Annotated[int, typer.Option(help="Largest distance of two windows, pixels: 8 is usual, 4 for CIFAR.")] = 8,
    grid: Annotated[
        bool, typer.Option("--grid", help="All (shifts + 1)² positions of the window, not three lines of them.")
    ] = False,
    ten_crop: Annotated[bool, typer.Option("--ten-crop", help="Accuracy of ten crops too.")] = False,
    published: Annotated[
        bool,
        typer.Option(
            "--published", help="The published forms too: offsets in a square of 256, windows not normalised."
        ),
    ] = False,
    corruptions: Annotated[
        bool, typer.Option("--corruptions", help="The 15 corruptions of ImageNet-C too; needs --labels.")
    ] = False,
    labels: Annotated[
        Path | None, typer.Option(help="CSV with columns file and index: the classes. Without it no accuracy.")
    ] = None,
    weights: options.Weights = None,
    size: Annotated[
        int | None,
        typer.Option(
            help="Side of the network's input, pixels. Default: what best.pt says; 227 for squeezenet, 32 for networks "
            "made for CIFAR-10, else 224."
        ),
    ] = None,
    side: Annotated[
        int | None,
        typer.Option(
            help="Side to which every image is brought first, pixels. Default: that of the input + shifts; with "
            "--ten-crop at least 256/224 of the input, which ten crops are cut from; twice that with --published."
        ),
    ] = None,
    windows: Annotated[
        str,
        typer.Option(
            help="true: pictures are enlarged by --shifts and windows cut out of them. reflect, circular: pictures of "
            "the input's size, not resampled if they have it, go on mirrored or around."
        ),
    ] = "true",
    limit: options.Limit = None,
    every: options.Every = 1,
    batch: Annotated[
        int | None,
        typer.Option(
            help="Images in one pass of the network. Default: at most 16 on the CPU, 4 of 224 pixels; 256 elsewhere."
        ),
    ] = None,
    device: options.Device = "cpu",
    block: options.Block = 16,
    resume: options.Resume = False,
    overwrite: options.Overwrite = False,
    figures: options.Figures = True,
    strict: options.Strict = False,
    quiet: options.Quiet = False,
) -> None:
    """Measure how stable a network is under shifts, before and after each remedy, and healed.

    Writes stability.csv, stability.nc, trade.png, flips.png, divergence.png, with labels accuracy.png, and report.html.
    With --circular: circular.csv, circular.nc, figures and report.html.
    FILE.py:FACTORY executes the file, with all that is in it.
    """
    if not circular and not spectrograms:
        options.plan({"orders of memory": 3.0, "stability": None, "figures": 4.0})
    options.need_torch()
    if circular:
        from analysis.reports.circular import circular_report, circular_summary

        if data is None or images is not None:
            raise ValueError("--circular shifts the pictures of --data; expected that, and no --images")
        found = circular_report(
            network, data, out, remedies=remedy or [], healed=healed or [], weights=weights, size=size, mapped=mapped,
            seed=seed, limit=limit, batch=batch or 250, device=device, resume=resume, overwrite=overwrite,
            figures=figures, progress=not quiet,
        )  # fmt: skip
        if not quiet:
            print(circular_summary(found))
        options.finish(found, strict, quiet)
        return
    if spectrograms:
        from analysis.reports.spectrograms import LIMIT, spectrogram_report, spectrogram_summary

        if data is None or weights is None or images is not None:
            raise ValueError("--spectrograms needs --data and --weights, and no --images")
        found = spectrogram_report(
            options.named_files([f"{network}={weights}", *(beside or [])]), data, out, limit=limit or LIMIT, seed=seed,
            device=device, figures=figures, progress=not quiet,
        )  # fmt: skip
        if not quiet:
            print(spectrogram_summary(found))
        options.finish(found, strict, quiet)
        return
    if images is None or data is not None:
        raise ValueError("--images is missing, or --data given without --circular; expected one of the two ways")
    from analysis.reports.stability import stability_report
    from analysis.reports.summaries import stability_summary

    report = stability_report(
        network,
        images,
        out,
        remedies=remedy or [],
        healed=healed or [],
        labels=labels,
        weights=weights,
        shifts=shifts,
        grid=grid,
        ten_crop=ten_crop,
        published=published,
        corruptions=corruptions,
        seed=seed,
        size=size,
        side=side,
        windows=windows,
        limit=limit,
        every=every,
        batch=batch,
        device=device,
        block=block,
        resume=resume,
        overwrite=overwrite,
        figures=figures,
        progress=not quiet,
        on_skip=options.skips_shown(quiet),
    )
    if not quiet:
        print(stability_summary(report))
    options.finish(report, strict, quiet)
