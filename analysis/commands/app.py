"""The command line: ``shiftscope`` and its commands."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
import xarray as xr
from tqdm import tqdm

from analysis.files.messages import printable
from wavelets.filters import DEFAULT

if TYPE_CHECKING:
    from analysis.runs.journal import Journal

SKIPS_SHOWN = 20  # on the terminal; skipped.txt has all

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="How stable is the first layer of a CNN to small shifts, and why?",
)


# Options that both long commands share.
Block = Annotated[int, typer.Option(help="Images between two entries of the journal, from which a run continues.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Fail if there is no journal to continue; without it, one is used if there.")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Begin anew, whatever is there.")]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 3 if an image had to be left out.")]
Scheduler = Annotated[
    str | None, typer.Option(metavar="tcp://HOST:PORT", help="Measure on this dask.distributed cluster.")
]
Workers = Annotated[
    int | None, typer.Option(help="Measure in so many processes of this machine, with dask.distributed.")
]
Threads = Annotated[int, typer.Option(help="Threads of each task on a cluster.")]


@app.command()
def heatmaps(
    out: Annotated[Path, typer.Option(help="Folder for the results; it is created.")],
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of images, searched recursively. Default: photographs that come with scikit-image."),
    ] = None,
    levels: Annotated[list[int] | None, typer.Option(help="Depth J; may be given again. Default: 2 and 3.")] = None,
    filters: Annotated[
        str, typer.Option(help="Filter bank: cf_K_L, or qshift_06, qshift_a to qshift_d (these need dtcwt).")
    ] = DEFAULT,
    shift: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DY,DX", help="Shift in pixels, down and right; may be given again. Default: 0,1 and 1,0."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Use at most this many images.")] = None,
    size: Annotated[int, typer.Option(help="Side to which every image is brought, pixels.")] = 224,
    predict: Annotated[
        bool, typer.Option("--predict", help="Also predict the maps from the power spectrum of the images.")
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="Where torch shall compute, such as cuda. Default: numba, on the CPU.")
    ] = None,
    block: Block = 128,
    resume: Resume = False,
    overwrite: Overwrite = False,
    strict: Strict = False,
    scheduler: Scheduler = None,
    workers: Workers = None,
    threads: Threads = 1,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar and no summary.")] = False,
) -> None:
    """Measure RMax-CMod discrepancy and shift stability of every dual-tree packet filter.

    Writes heatmaps_J{levels}.nc, .png and .pdf for each depth, and skipped.txt if images had to be left out; with
    --predict also prediction_J{levels}.nc, .png and .pdf.
    """
    # Here and not above: plotting and numba take a second to import, which `--help` can do without.
    from analysis import gamma_map, plots
    from analysis.files import results
    from analysis.files.pictures import ImageFolder, bundled_crops
    from analysis.measurements.shift_experiment import SHIFTS
    from analysis.measurements.spectra import POINTS, SpectrumMeasurement
    from analysis.packet_maps import packet_experiment, run
    from analysis.runs.journal import resumable

    depths = list(dict.fromkeys(levels or [2, 3]))
    shifts = [_parse_shift(text) for text in shift] if shift else SHIFTS
    experiments = [packet_experiment(depth, filters, shifts, size, device=device) for depth in depths]
    _check_counts(limit=limit, block=block, threads=threads)
    images = _resolved(images)
    sources = ImageFolder(images, limit) if images is not None else bundled_crops(size)[:limit]
    folder = results.writable_folder(out)

    spectra = [SpectrumMeasurement(size, max(POINTS, size))] if predict else []
    settings = (
        _settings("heatmaps", images, block) | dict(experiments[0].settings) | {"levels": depths, "predict": predict}
    )
    expected = [f"heatmaps_J{depth}.nc" for depth in depths]
    on_skip, skipped = _skips(quiet)
    start = time.perf_counter()
    with (
        contextlib.ExitStack() as machines,  # first: a journal is not to be touched for a cluster that is not there
        _executor(machines, scheduler, workers, threads) as executor,
        resumable(folder, "heatmaps", settings, expected, resume, overwrite) as journal,
    ):
        _say_what_is_kept(journal, quiet)
        datasets = run(
            sources,
            [*experiments, *spectra],
            desc="heatmaps",
            progress=not quiet,
            on_skip=on_skip,
            root=images,
            block=block,
            journal=journal,
            **executor,
        )
        power = datasets.pop() if predict else None
        machines.close()
        elapsed = time.perf_counter() - start
        failures, attempt = _attempts()
        for dataset in datasets:
            attempt(results.save, dataset, folder / f"heatmaps_J{dataset.levels}.nc")
        _write_skipped(skipped, folder, attempt)
        for dataset in tqdm(datasets, desc="figures", unit="figure", disable=quiet):
            figure = plots.overview_figure(dataset, gamma_map(dataset.stride))
            for suffix in ("png", "pdf"):
                attempt(results.save_figure, figure, folder / f"heatmaps_J{dataset.levels}.{suffix}")
        if not quiet:
            _summarise(datasets, folder, elapsed)
        if power is not None:
            _predict(datasets, power.spectrum.values, filters, folder, attempt, quiet)
        _finish(failures, skipped, len(skipped) + datasets[0].images_used, folder, strict, quiet)


@app.command()
def kernels(
    out: Annotated[Path, typer.Option(help="Folder for the results; it is created.")],
    source: Annotated[
        str,
        typer.Argument(
            metavar="[SOURCE]",
            help="A network (alexnet, resnet18, ...: published kernels, downloaded once), a file (.pth, .safetensors, "
            ".npz, .npy), or 'default', the layer that comes with shiftscope.",
        ),
    ] = "default",
    stride: Annotated[int | None, typer.Option(help="Stride m of the convolution, pixels: a file needs it.")] = None,
    padding: Annotated[int | None, typer.Option(help="Padding of the convolution, pixels.")] = None,
    pool: Annotated[int | None, typer.Option(help="Side of the pooling window; its stride is 2. Default: 3.")] = None,
    pool_padding: Annotated[int | None, typer.Option(help="Padding of the pooling, positions.")] = None,
    channels: Annotated[str | None, typer.Option(help="Order of the weight's channels: RGB or BGR.")] = None,
    mean: Annotated[
        str | None, typer.Option(metavar="R,G,B", help="Mean of the normalisation, pixels in [0, 1].")
    ] = None,
    std: Annotated[str | None, typer.Option(metavar="R,G,B", help="Standard deviation of the normalisation.")] = None,
    like: Annotated[
        str | None, typer.Option(help="Network whose geometry, channel order and normalisation a file has.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the network, for titles.")] = None,
    weight: Annotated[
        str | None, typer.Option(help="Name of the weight in the file. Default: the first 4-D one.")
    ] = None,
    images: Annotated[
        Path | None,
        typer.Option(help="Folder of images, searched recursively. Default: photographs that come with scikit-image."),
    ] = None,
    shift: Annotated[
        list[str] | None,
        typer.Option(
            metavar="DY,DX", help="Shift in pixels, down and right; may be given again. Default: 0,1 and 1,0."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Use at most this many images.")] = None,
    size: Annotated[int, typer.Option(help="Side to which every image is brought, pixels.")] = 224,
    block: Block = 128,
    resume: Resume = False,
    overwrite: Overwrite = False,
    strict: Strict = False,
    scheduler: Scheduler = None,
    workers: Workers = None,
    threads: Threads = 1,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar and no summary.")] = False,
) -> None:
    """Analyse the kernels of a trained first layer: what each is, and how stable its responses are under shifts.

    Writes kernels.csv, kernels.nc, mosaic.png, fourier.png, plane.png, predicted.png, ranking.png and report.html.
    """
    from analysis.files import results
    from analysis.files.pictures import ImageFolder, bundled_crops
    from analysis.kernels import first_layer, kernel_table
    from analysis.measurements.shift_experiment import SHIFTS
    from analysis.reports.kernels import write_results
    from analysis.runs.journal import resumable

    _check_counts(limit=limit, block=block, threads=threads)
    shifts = [_parse_shift(text) for text in shift] if shift else SHIFTS
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
        mean=_parse_numbers("mean", mean),
        std=_parse_numbers("std", std),
        progress=not quiet,
    )
    images = _resolved(images)
    sources = ImageFolder(images, limit) if images is not None else bundled_crops(size, colour=True)[:limit]
    folder = results.writable_folder(out)
    settings = _settings("kernels", images, block) | layer.settings() | {"shifts": shifts, "size": size}
    on_skip, skipped = _skips(quiet)
    start = time.perf_counter()
    with (
        contextlib.ExitStack() as machines,
        _executor(machines, scheduler, workers, threads) as executor,
        resumable(folder, "kernels", settings, ["kernels.nc"], resume, overwrite) as journal,
    ):
        _say_what_is_kept(journal, quiet)
        table = kernel_table(
            layer,
            sources,
            shifts,
            size,
            progress=not quiet,
            on_skip=on_skip,
            root=images,
            block=block,
            journal=journal,
            **executor,
        )
        machines.close()
        failures, attempt = _attempts()
        _write_skipped(skipped, folder, attempt)
        write_results(table, layer, folder, attempt, progress=not quiet)
        if not quiet:
            _summarise_kernels(table, folder, time.perf_counter() - start)
        _finish(failures, skipped, len(skipped) + table.images_used, folder, strict, quiet)


@app.command()
def verify(
    cases: Annotated[int, typer.Option(help="Random cases for each statement.")] = 10_000,
    seed: Annotated[int, typer.Option(help="The same seed gives the same table.")] = 0,
    starts: Annotated[int, typer.Option(help="Random starts of the search, beside the worst random case.")] = 10,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar.")] = False,
) -> None:
    """Test the theorems: random cases, and a search for the worst one. Exits with 1 if one is violated.

    For an inequality the table shows the largest ratio of its two sides, 1 at most; for an equality the largest
    difference. In Theorem 2 and the corollary the ratio is that of the parts which the constants bound.
    """
    from analysis.theory import verify

    table = verify(cases, seed, starts, progress=not quiet)
    print(f"{'statement':<38} {'cases':>7} {'violations':>10} {'largest':>9} {'search':>7}")
    for row in table.itertuples():
        largest = f"{row.largest:9.1e}" if row.relation == "=" else f"{row.largest:9.4f}"
        searched = f"{row.searched:7.4f}" if np.isfinite(row.searched) else f"{'':7}"
        print(f"{row.statement:<38} {row.cases:>7} {row.violations:>10} {largest} {searched}")
        print(f"    random: {row.where}")
        if row.found:
            print(f"    search: {row.found}")
    if violations := int(table.violations.sum()):
        print(f"shiftscope: {violations} violations", file=sys.stderr)
        raise typer.Exit(1)


@app.command()
def compare(
    a: Annotated[Path, typer.Argument(help="Result file (*.nc), or a folder of them.")],
    b: Annotated[Path, typer.Argument(help="The other one; of folders, files of the same name are compared.")],
    rtol: Annotated[float, typer.Option(help="Relative difference that is allowed.")] = 1e-12,
    atol: Annotated[float, typer.Option(help="Absolute difference that is allowed on top of it.")] = 0.0,
    figure: Annotated[
        Path | None, typer.Option(help="Draw the differences of one variable, filter by filter, to this file.")
    ] = None,
    variable: Annotated[str, typer.Option(help="The variable that is drawn.")] = "rho_rms",
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing; the exit code tells.")] = False,
) -> None:
    """Say whether two results agree, and where they differ. Exits with 0 if they agree, with 1 if not.

    Settings, inputs and all values decide; versions, dates and times are shown only. The order of shifts is free.
    """
    from analysis.files.comparison import compare, compare_folders
    from analysis.files.results import load, save_figure

    if a.is_dir() != b.is_dir() and a.exists() and b.exists():
        raise ValueError(f"{a} and {b}: one is a folder and one is not; expected two files or two folders")
    if a.is_dir():
        if figure is not None:
            raise ValueError("a figure needs two files, not folders")
        found = compare_folders(a, b, rtol, atol)
    else:
        found = compare(a, b, rtol, atol)
    if figure is not None:
        from analysis.plots import difference_figure

        drawn = difference_figure(load(a), load(b), variable)
        save_figure(drawn, figure)
    if not quiet:
        print(found.report())
    if not found.agree:
        raise typer.Exit(1)


@app.command()
def stability(
    network: Annotated[
        str,
        typer.Argument(
            metavar="NAME|FILE.py:FACTORY",
            help="squeezenet or a network that `shiftscope recipes` lists (with --weights), torchvision:NAME if that "
            "is installed, or a Python file and a function in it that returns a torch.nn.Module, or a pair "
            "(module, function that prepares its input). Naming the file is consent: IT IS EXECUTED.",
        ),
    ],
    images: Annotated[Path, typer.Option(help="Folder of images, searched recursively.")],
    out: Annotated[Path, typer.Option(help="Folder for the results; it is created.")],
    remedy: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:LAYER,...]",
            help="blur2 to blur7, aps-l1, aps-l2, aps-linf, tlpf, adaptive-blur, intrablock, cmod, ... (an unknown one "
            "lists all), for some layers only if they are named; may be given again.",
        ),
    ] = None,
    shifts: Annotated[int, typer.Option(help="Largest distance of two windows, pixels: 8 is usual, 4 for CIFAR.")] = 8,
    grid: Annotated[
        bool, typer.Option("--grid", help="All (shifts + 1)² positions of the window, not three lines of them.")
    ] = False,
    ten_crop: Annotated[bool, typer.Option("--ten-crop", help="Accuracy of ten crops too.")] = False,
    labels: Annotated[
        Path | None, typer.Option(help="CSV with columns file and index: the classes. Without it no accuracy.")
    ] = None,
    weights: Annotated[
        Path | None, typer.Option(help="File of weights, for a network by name, such as best.pt of `shiftscope train`.")
    ] = None,
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
            "--ten-crop at least 256/224 of the input, the side that ten crops are cut from."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Use at most this many images.")] = None,
    every: Annotated[int, typer.Option(help="Use every so many images only, to spread fewer over the folder.")] = 1,
    batch: Annotated[
        int | None, typer.Option(help="Images in one pass of the network. Default: 8 on the CPU, 256 elsewhere.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where torch shall compute, such as cuda.")] = "cpu",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew. By default a run that was stopped is continued.")
    ] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit with 3 if an image had to be left out.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar and no summary.")] = False,
) -> None:
    """Measure how stable a network is under shifts, before and after each remedy, none of them trained.

    Writes stability.csv, stability.nc, trade.png, flips.png, divergence.png, with labels accuracy.png, and report.html.
    FILE.py:FACTORY executes the file, with all that is in it.
    """
    _check_counts(limit=limit, every=every, size=size, side=side, batch=batch)
    if shifts < 2:
        raise ValueError(f"shifts is {shifts}; expected at least 2")
    torch = _torch()
    from itertools import islice

    from analysis.files import results
    from analysis.files.folders import ImageFolder
    from analysis.networks.catalogue import remedy as known_remedy
    from analysis.networks.loading import apply_remedy, check_runs, load_network, move
    from analysis.reports.stability import described, summary, write_results
    from analysis.stability.experiment import CheckpointError, ModelError, compare_remedies
    from analysis.stability.photographs import Labels, batches

    wanted = list(dict.fromkeys(remedy or []))
    for text in wanted:  # before anything is loaded
        known_remedy(text.partition(":")[0])
    files = list(islice(ImageFolder(images), 0, None, every))[:limit]
    known = None if labels is None else Labels(labels)
    truth = None if known is None else [known.of(file, images) for file in files]
    loaded = load_network(network, weights, size)
    move(loaded.model, device)
    models, changes = {"plain": loaded.model}, {}
    at_once = min(2, batch or 2)  # a second picture tells of a model that takes one at a time
    check_runs(loaded, models, at_once)
    for text in wanted:
        models[text], changes[text] = apply_remedy(loaded, text)
    check_runs(loaded, models, at_once)

    folder = results.writable_folder(out)
    checkpoint = folder / "stability.checkpoint"
    if overwrite:
        checkpoint.unlink(missing_ok=True)
    elif checkpoint.exists() and not quiet:
        print(f"Continuing {checkpoint}.", file=sys.stderr)
    ten_side = round(loaded.size * 256 / 224)
    side = side or max(loaded.size + shifts, ten_side if ten_crop else 0)
    rounds = 5
    on_skip, skipped = _skips(quiet)
    try:
        comparison = compare_remedies(
            models,
            batches(files, side, truth, on_skip),
            size=loaded.size,
            span=shifts,
            frames="grid" if grid else "lines",
            ten_crop=ten_crop,
            preprocess=loaded.preprocess,
            batch_size=batch,
            progress=not quiet,
            count=len(files),
            checkpoint=checkpoint,
            rounds=rounds,
            version=loaded.version,
        )
    except KeyboardInterrupt:
        if checkpoint.exists():
            print(f"\nThe same command continues from {checkpoint}.", file=sys.stderr)
        raise
    except CheckpointError as error:
        raise ValueError(f"{error}; --overwrite begins anew") from error
    except ModelError as error:
        raise ValueError(f"{loaded.name}, {error}") from error
    comparison = described(
        comparison,
        network=loaded.name,
        side=side,
        frames="grid" if grid else "lines",
        ten_crop=int(ten_crop),
        ten_side=ten_side,
        rounds=rounds,
        device=device,
        clock="processor time of all threads" if torch.device(device).type == "cpu" else "elapsed time",
        images_skipped_count=len(skipped),
    )
    failures, attempt = _attempts()
    _write_skipped(skipped, folder, attempt)
    write_results(comparison, changes, folder, attempt, progress=not quiet)
    if not quiet:
        print(f"\n{loaded.name}, {comparison.pictures} images, {len(skipped)} skipped\n{summary(comparison)}")
        print(f"\nResults and figures: {folder}/report.html, stability.csv, stability.nc, *.png")
    _finish(failures, skipped, len(files), folder, strict, quiet)


@app.command()
def train(
    recipe: Annotated[str, typer.Argument(metavar="RECIPE", help="Name of a recipe; see `shiftscope recipes`.")],
    data: Annotated[
        Path,
        typer.Option(
            help="Data set: arrays (.npz), folders train/CLASS/*.jpg and test/ or val/, or CIFAR-10's archive."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the results; it is created.")],
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
    device: Annotated[str, typer.Option(help="Where torch shall compute, such as cuda.")] = "cpu",
    precision: Annotated[str, typer.Option(help="Of the forward pass: float32, bfloat16 or float16.")] = "float32",
    workers: Annotated[int, typer.Option(help="Processes that read the data, beside this one.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Threads that compute. Default: torch's own choice.")] = None,
    save_every: Annotated[
        int | None, typer.Option(help="Save after so many steps too, not only after every epoch.")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Download CIFAR-10 (170 MB) into the data folder if it is not there.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Begin anew. By default a run that was stopped is continued.")
    ] = False,
    strict: Strict = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="No progress bar and no summary.")] = False,
) -> None:
    """Train a network as the documents did.

    Writes log.csv, last.pt, best.pt and training.png. The same command continues a run that was stopped, to the same
    numbers. FILE.py:FACTORY executes the file, with all that is in it.
    """
    _check_counts(epochs=epochs, batch=batch, classes=classes, limit=limit, threads=threads, save_every=save_every)
    torch = _torch()
    from analysis import plots
    from analysis.files import results
    from analysis.networks.loading import move
    from analysis.networks.training.checkpoint import CheckpointError
    from analysis.networks.training.command import check_network, make_network, score_on_test, summary
    from analysis.networks.training.data import load_data
    from analysis.networks.training.loop import best_epoch
    from analysis.networks.training.loop import train as run
    from analysis.networks.training.recipe import recipe as known_recipe

    chosen = known_recipe(recipe, epochs=epochs, batch=batch, rate=rate, classes=classes)
    found = load_data(data, chosen, limit, download, progress=not quiet)
    model, name, identity = make_network(network or chosen.network, chosen.classes, seed)
    check_network(model, name, chosen, found)
    move(model, device)
    if threads is not None:
        torch.set_num_threads(threads)
    folder = results.writable_folder(out)
    last = folder / "last.pt"
    if overwrite:
        for old in ("last.pt", "best.pt", "log.csv", "training.png"):
            (folder / old).unlink(missing_ok=True)
    elif last.exists() and not quiet:
        print(f"Continuing {printable(last)}.", file=sys.stderr)
    on_skip, skipped = _skips(quiet)
    how = {"precision": precision, "workers": workers}
    options = how | {"network": identity, "seed": seed, "device": device, "save_every": save_every}
    try:
        rows = run(chosen, model, found, folder, progress=not quiet, on_skip=on_skip, **options)
    except KeyboardInterrupt:
        if last.exists():
            print(f"\nThe same command continues from {printable(last)}.", file=sys.stderr)
        raise
    except CheckpointError as error:
        raise ValueError(f"{error}; --overwrite begins anew") from error
    score = score_on_test(model, found, chosen, folder, on_skip, **how)
    failures, attempt = _attempts()
    _write_skipped(skipped, folder, attempt)
    title = f"{name}, {chosen.name}"
    attempt(results.save_figure, plots.training_figure(rows, title, best_epoch(rows, chosen)), folder / "training.png")
    if not quiet:
        print(f"\n{title}, {len(found.train)} examples\n{summary(rows, chosen, score)}")
        print(f"\nResults: {printable(folder)}/log.csv, training.png, best.pt, last.pt")
    _finish(failures, skipped, len(found.train) + len(found.validation), folder, strict, quiet)


@app.command()
def recipes() -> None:
    """List the recipes of `shiftscope train`, and the networks."""
    _torch()
    from analysis.networks.training.command import listing

    print(listing())


def _torch() -> ModuleType:
    try:
        import torch
    except ModuleNotFoundError:
        raise ModuleNotFoundError("this command needs torch: pip install 'shiftscope[torch]'") from None
    return torch


def _predict(
    datasets: list[xr.Dataset],
    spectrum: np.ndarray,
    filters: str,
    folder: Path,
    attempt: Callable[..., None],
    quiet: bool,
) -> None:
    """Predict the maps of every depth, fit the share of isolated features, and write results and figures."""
    from analysis import plots
    from analysis.files import results
    from analysis.prediction import agreement, predict_like

    for dataset in datasets:
        prediction = predict_like(dataset, spectrum, filters, progress=not quiet)
        prediction.attrs["spectrum"] = "mean over the images, each with its mean removed, under a Hann window"
        name = f"prediction_J{dataset.levels}"
        attempt(results.save, prediction, folder / f"{name}.nc")
        figure = plots.prediction_figure(dataset, prediction)
        for suffix in ("png", "pdf"):
            attempt(results.save_figure, figure, folder / f"{name}.{suffix}")
        if quiet:
            continue
        print(f"\nJ = {dataset.levels}, predicted from the power spectrum; isolated features {prediction.isolated:.3f}")
        for variable in ("rho_rms", "eta_rmax_rms", "eta_cmod_rms"):
            for model in ("gaussian", "mixture"):
                fit = agreement(dataset, prediction.sel(model=model), variable)
                print(
                    f"  {variable:<13} {model:<9} correlation {fit['correlation']:.3f}, median error "
                    f"{100 * fit['relative_error']:.1f} %, bias {fit['bias']:+.3f}"
                )


def _check_counts(**counts: int | None) -> None:
    for name, count in counts.items():
        if count is not None and count < 1:
            raise ValueError(f"{name} is {count}; expected at least 1")


def _settings(command: str, images: Path | None, block: int) -> dict[str, object]:
    """What the results of both long commands depend on."""
    from analysis.runs.provenance import distribution_version

    return {
        "command": command,
        "shiftscope_version": distribution_version("shiftscope"),
        "images": "those of scikit-image" if images is None else printable(images.resolve()),
        "block": block,
    }


def _resolved(images: Path | None) -> Path | None:
    """One name for a folder, however it is spelt: the journal names what is skipped in it."""
    return images.resolve() if images is not None and images.is_dir() else images


@contextlib.contextmanager
def _executor(
    machines: contextlib.ExitStack, scheduler: str | None, workers: int | None, threads: int
) -> Iterator[dict[str, object]]:
    """Context with where the blocks are measured, as a keyword argument: in this process, or on a cluster.

    The cluster is given back when `machines` is closed.
    """
    if scheduler is None and workers is None:
        yield {}
        return
    from analysis.runs.cluster import cluster, on_cluster

    yield {"executor": on_cluster(machines.enter_context(cluster(scheduler, workers)), threads)}


def _say_what_is_kept(journal: Journal, quiet: bool) -> None:
    if journal.inputs and not quiet:
        print(f"Continuing {printable(journal.path)}, which has {journal.inputs} images.", file=sys.stderr)


def _skips(quiet: bool) -> tuple[Callable[[str, str], None], list[str]]:
    """Return what to call for every skipped image, and the list that it fills."""
    skipped: list[str] = []

    def on_skip(name: str, reason: str) -> None:
        skipped.append(f"{name}: {reason}")
        if not quiet and len(skipped) <= SKIPS_SHOWN:
            tqdm.write(f"skipped {name}: {reason}", file=sys.stderr)

    return on_skip, skipped


def _finish(failures: list[OSError], skipped: list[str], inputs: int, folder: Path, strict: bool, quiet: bool) -> None:
    """Raise what went wrong with writing; warn of skipped images, and exit with 3 if that was asked for."""
    if failures:
        raise failures[0]
    if skipped and not quiet:
        print(
            f"shiftscope: warning: {len(skipped)} of {inputs} images skipped, see {printable(folder)}/skipped.txt",
            file=sys.stderr,
        )
    if skipped and strict:
        raise typer.Exit(3)


def _attempts() -> tuple[list[OSError], Callable[..., None]]:
    """Return a caller of writers, and its errors: one file that cannot be written must not cost the others."""
    failures: list[OSError] = []

    def attempt(write: Callable[..., object], *arguments: object) -> None:
        try:
            write(*arguments)
        except OSError as error:
            failures.append(error)

    return failures, attempt


def _write_skipped(skipped: list[str], folder: Path, attempt: Callable[..., None]) -> None:
    from analysis.files import atomic

    if skipped:
        text = "\n".join(skipped) + "\n"
        attempt(atomic.write_atomically, folder / "skipped.txt", lambda path: path.write_text(text, encoding="utf-8"))
    else:  # that of an earlier run would not be true of this one
        attempt((folder / "skipped.txt").unlink, True)


def _parse_numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    """Turn ``R,G,B`` into numbers."""
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{name} is {text!r}; expected numbers such as 0.485,0.456,0.406") from None


def _parse_shift(text: str) -> tuple[float, float]:
    """Turn ``DY,DX`` into two numbers of pixels."""
    try:
        dy, dx = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"shift is {text!r}; expected DY,DX in pixels, such as 0,1 or 0.5,0.5") from None
    return dy, dx


def _summarise(datasets: list[xr.Dataset], folder: Path, seconds: float) -> None:
    """Print one line a depth and a quantity: smallest, median and largest over the band-pass filters."""
    from analysis.measurements.correlation import band_pass_correlation

    first = datasets[0]
    print(
        f"\n{first.images_used} images used, {first.images_skipped_count} skipped, filters {first.filters}, "
        f"{seconds:.1f} s:\n{first.seconds_measuring:.1f} s measured, {first.seconds_waiting:.1f} s waited for images; "
        f"reading them took {first.seconds_reading:.1f} s of processor time.\n\nBand-pass filters, means over images:\n"
    )
    print(f"{'J':>2} {'m':>2}  {'quantity':<34} {'min':>7} {'median':>7} {'max':>7}")
    for ds in datasets:
        keep = ~ds.low_pass.values
        rows = [("rho, RMax against CMod", ds.rho.values), ("gamma_1, theory", ds.gamma.values)]
        for s in range(ds.sizes["shift"]):
            u = f"shift ({ds.shift_y.values[s]:g}, {ds.shift_x.values[s]:g}) px"
            rows += [(f"eta of RMax, {u}", ds.eta_rmax.values[:, s]), (f"eta of CMod, {u}", ds.eta_cmod.values[:, s])]
        for label, values in rows:
            low, middle, high = np.nanmin(values[keep]), np.nanmedian(values[keep]), np.nanmax(values[keep])
            print(f"{ds.levels:>2} {ds.stride:>2}  {label:<34} {low:7.3f} {middle:7.3f} {high:7.3f}")
        print(
            f"{ds.levels:>2} {ds.stride:>2}  {'correlation of rho with gamma_1':<34} {band_pass_correlation(ds):7.3f}"
        )
    print(f"\nResults and figures: {printable(folder)}/heatmaps_J*.nc, .png, .pdf")


def _summarise_kernels(table: xr.Dataset, folder: Path, seconds: float) -> None:
    """Print how many kernels of each kind there are, the jumpiest ones, and the rank correlations."""
    from analysis.kernels import kernel_frame, rank_correlation
    from analysis.reports.kernels import CORRELATIONS

    frame = kernel_frame(table)
    counts = ", ".join(f"{count} {kind}" for kind, count in frame.kind.value_counts().items())
    print(f"\n{table.layer}: {counts}")
    print(f"{table.images_used} images used, {table.images_skipped_count} skipped, {seconds:.1f} s")
    if dead := frame.index[frame.kind == "dead"].tolist():
        print(f"dead kernels, left out: {', '.join(map(str, dead))}")
    print("\nLargest change of RMax under shifts (eta):")
    print(f"{'kernel':>6} {'kind':<9} {'wavelength':>10} {'angle':>6} {'gamma':>8} {'rho':>6} {'RMax':>6} {'CMod':>6}")
    for row in frame[frame["rank"] > 0].nsmallest(8, "rank").itertuples():
        print(
            f"{row.Index:>6} {row.kind:<9} {row.wavelength:>7.1f} px {row.orientation:>5.0f}° {row.gamma:>8.3f} "
            f"{row.rho:>6.3f} {row.eta_rmax:>6.3f} {row.eta_cmod:>6.3f}"
        )
    print("\nRank correlations over the band-pass kernels, with 95 % intervals:")
    for label, names in CORRELATIONS.items():
        value, low, high = rank_correlation(table, *names)
        print(f"  {label:<50} {value:5.2f}  ({low:.2f} to {high:.2f})")
    print(f"\nResults and figures: {printable(folder)}/report.html, kernels.csv, kernels.nc, *.png")


def main() -> None:
    """Run the command line; an error is one line and exit code 2, an interruption exit code 130."""
    try:
        # typer turns Ctrl-C into the code 130; so do we, should it come before or after.
        code = app(sys.argv[1:] or ["--help"], standalone_mode=False)
    except KeyboardInterrupt:
        code = 130
    except Exception as error:
        if hasattr(error, "format_message"):  # what typer raises for a wrong option
            message = error.format_message()
        elif isinstance(error, (ValueError, TypeError, OSError, ModuleNotFoundError, MemoryError)):
            message = str(error) or type(error).__name__
        else:
            raise
        print(f"shiftscope: {' '.join(message.split()) or type(error).__name__}", file=sys.stderr)
        sys.exit(2)
    if code == 130:
        print("shiftscope: interrupted", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
