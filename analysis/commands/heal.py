"""``shiftscope heal``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from analysis.commands import options


def command(
    network: options.Network,
    remedy: Annotated[
        str,
        typer.Option(
            metavar="NAME[:LAYER,...]",
            help="blur3, ideal, aps-l2, cmod, ... (an unknown one lists all), for some layers only if they are named; "
            "none: the network as it is learns, a control.",
        ),
    ],
    images: Annotated[Path, typer.Option(help="Folder of images, searched recursively. They need no labels.")],
    out: options.Out,
    minutes: Annotated[
        float | None, typer.Option(help="About so long. Default: 10. The number of steps that follows is kept.")
    ] = None,
    steps: Annotated[
        int | None, typer.Option(help="In place of --minutes: so many steps, with the same result every time.")
    ] = None,
    loss: Annotated[
        list[str] | None,
        typer.Option(
            help="What is learnt: answers (the plain network's), consistency (of the own answers under a shift), "
            "averaged (the plain network's, mean over shifts), features; may be given again, they are added. Default: "
            "answers."
        ),
    ] = None,
    learn: Annotated[str | None, typer.Option(help="Weights that learn: all (default), behind, norms.")] = None,
    borders: Annotated[
        str | None, typer.Option(help="How shifted pictures go on: reflect (default), circular, both.")
    ] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate of Adam at first.")] = None,
    keep: Annotated[
        str | None,
        typer.Option(help="Weights that are kept: of the last round (default), or of the one with the best agreement."),
    ] = None,
    patience: Annotated[
        int | None, typer.Option(help="With --keep best: stop after so many rounds without better agreement.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Images of a step. Default: 128 small ones, 16 large ones.")] = None,
    seed: Annotated[int, typer.Option(help="Of order, augmentation and shifts.")] = 0,
    labels: Annotated[
        Path | None,
        typer.Option(help="CSV with columns file and index: the classes, to report accuracy; nothing learns from it."),
    ] = None,
    weights: options.Weights = None,
    size: options.InputSize = None,
    reported: Annotated[
        int | None, typer.Option(help="Images, of those held out, that the report measures on. Default: 60.")
    ] = None,
    limit: options.Limit = None,
    device: options.Device = "cpu",
    threads: options.TorchThreads = None,
    save_every: options.SaveEvery = None,
    overwrite: options.Overwrite = False,
    figures: options.Figures = True,
    strict: options.Strict = False,
    quiet: options.Quiet = False,
) -> None:
    """Put a remedy into a trained network, and have it learn without labels to answer as before.

    Writes healed.safetensors, log.csv, stability.csv, stability.nc, figures and report.html. The same command continues
    a run that was stopped. FILE.py:FACTORY executes the file, with all that is in it.
    """
    options.plan({"training": None, "stability": 20.0, "figures": 3.0})
    options.need_torch()
    import torch

    from analysis.reports.heal import heal_report, healing_summary
    from wavelets.checks import integer

    if threads is not None:
        torch.set_num_threads(integer("threads", threads, 1))
    report = heal_report(
        network,
        "" if remedy == "none" else remedy,
        images,
        out,
        minutes=minutes,
        steps=steps,
        labels=labels,
        weights=weights,
        size=size,
        limit=limit,
        device=device,
        save_every=save_every,
        overwrite=overwrite,
        figures=figures,
        seed=seed,
        progress=not quiet,
        on_skip=options.skips_shown(quiet),
        **options.given(
            losses=loss,
            learn=learn,
            borders=borders,
            rate=rate,
            keep=keep,
            patience=patience,
            batch=batch,
            reported=reported,
        ),
    )
    if not quiet:
        print(healing_summary(report))
    options.finish(report, strict, quiet)
