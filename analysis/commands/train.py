"""``shiftscope train``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from analysis.commands import options


def command(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a recipe; see `shiftscope recipes`.")],
    data: Annotated[
        Path,
        typer.Option(
            help="Data set: arrays (.npz), folders train/CLASS/*.jpg and test/ or val/, or CIFAR-10's archive."
        ),
    ],
    out: options.Out,
    network: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE.py:FACTORY",
            help="A network by name (see `shiftscope recipes`), or a Python file and a function in it that returns a "
            "torch.nn.Module. Naming the file is consent: IT IS EXECUTED. Default: the recipe's.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="In place of the recipe's; more than before goes on.")] = None,
    batch: Annotated[int | None, typer.Option(help="Examples of a step, in place of the recipe's.")] = None,
    rate: Annotated[float | None, typer.Option(help="Learning rate at first, in place of the recipe's.")] = None,
    classes: Annotated[int | None, typer.Option(help="Number of classes, in place of the recipe's.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order, augmentation and dropout.")] = 0,
    limit: Annotated[int | None, typer.Option(help="Use at most so many examples of each part.")] = None,
    validate: Annotated[
        str, typer.Option(help="Training examples that are validated with: random, or first, as in the poster's code.")
    ] = "random",
    device: options.Device = "cpu",
    precision: options.Precision = "float32",
    workers: Annotated[int, typer.Option(help="Processes that read the data, beside this one.")] = 0,
    threads: options.TorchThreads = None,
    save_every: options.SaveEvery = None,
    download: Annotated[
        bool, typer.Option("--download", help="Download CIFAR-10 (170 MB) into the data folder if it is not there.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew. By default a run that was stopped is continued.")
    ] = False,
    figures: options.Figures = True,
    strict: options.Strict = False,
    quiet: options.Quiet = False,
) -> None:
    """Train a network as the documents did.

    Writes log.csv, last.pt, best.pt and training.png. The same command continues a run that was stopped, to the same
    numbers. FILE.py:FACTORY executes the file, with all that is in it.
    """
    options.plan({"training": None, "figures": 1.0} if figures else {"training": None})
    options.need_torch()
    import torch

    from analysis.files.messages import printable
    from analysis.networks.training.recipe import recipe as known_recipe
    from analysis.reports.training import train_report
    from wavelets.checks import integer

    for option, count in {"limit": limit, "threads": threads, "save_every": save_every}.items():
        if count is not None:
            integer(option, count, 1)
    chosen = known_recipe(recipe, **options.given(epochs=epochs, batch=batch, rate=rate, classes=classes))
    if threads is not None:
        torch.set_num_threads(threads)
    if (last := out / "last.pt").exists() and not overwrite and not quiet:
        print(f"Continuing {printable(last)}.", file=sys.stderr)
    done, report = train_report(
        chosen,
        data,
        out,
        figures=figures,
        network=network,
        seed=seed,
        device=device,
        precision=precision,
        workers=workers,
        save_every=save_every,
        limit=limit,
        hold_out=validate,
        download=download,
        overwrite=overwrite,
        progress=not quiet,
        on_skip=options.skips_shown(quiet),
    )
    if not quiet:
        print(f"\n{done.summary()}")
        print(f"\nResults: {printable(out)}/log.csv, {'training.png, ' * figures}best.pt, last.pt")
    options.finish(report, strict, quiet)
