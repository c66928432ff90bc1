"""Options that several commands share, and what every command does with its arguments and at its end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from analysis.commands import shared
from analysis.commands.shared import Debug, Quiet, Verbose, finish
from analysis.runs.progress import plan, say

__all__ = ["Debug", "Quiet", "Verbose", "finish", "plan"]  # the others are defined here

SKIPS_SHOWN = 20
"""Skipped images that are named on the terminal; skipped.txt has all."""

Out = Annotated[Path, typer.Option(help="Folder for the results; it is created.")]
Images = Annotated[
    Path | None,
    typer.Option(help="Folder of images, searched recursively. Default: photographs that come with scikit-image."),
]
Shift = Annotated[
    list[str] | None,
    typer.Option(metavar="DY,DX", help="Shift in pixels, down and right; may be given again. Default: 0,1 and 1,0."),
]
Limit = Annotated[int | None, typer.Option(help="Use at most this many images.")]
Size = Annotated[int, typer.Option(help="Side to which every image is brought, pixels.")]
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
Figures = Annotated[bool, typer.Option("--figures/--no-figures", help="Draw figures; pages have tables without them.")]
Every = Annotated[int, typer.Option(help="Use every so many images only, to spread fewer over the folder.")]
Device = Annotated[str, typer.Option(help="Where torch shall compute, such as cuda.")]

# A network, and what torch does with it.
Network = Annotated[
    str,
    typer.Argument(
        metavar="NAME|FILE.py:FACTORY",
        help="squeezenet or a network that `shiftscope recipes` lists (with --weights), torchvision:NAME or timm:NAME "
        "if that is installed, or a Python file and a function in it that returns a torch.nn.Module, or a pair "
        "(module, function that prepares its input). Naming the file is consent: IT IS EXECUTED.",
    ),
]
Weights = Annotated[
    Path | None, typer.Option(help="File of weights, for a network by name, such as best.pt of `shiftscope train`.")
]
InputSize = Annotated[
    int | None, typer.Option(help="Side of the network's input, pixels. Default: the network's own, else 224.")
]
Precision = Annotated[str, typer.Option(help="Of the forward pass: float32, bfloat16 or float16.")]
TorchThreads = Annotated[int | None, typer.Option(help="Threads that compute. Default: torch's own choice.")]
SaveEvery = Annotated[int | None, typer.Option(help="Save after so many steps too, not only after every epoch.")]

# A first layer: its file, and what files leave open.
LAYER_HELP = (
    "A network (alexnet, resnet18, ...: published kernels, downloaded once), a file (.pth, .safetensors, .npz, .npy), "
    "or 'default', the layer that comes with shiftscope."
)

Stride = Annotated[int | None, typer.Option(help="Stride m of the convolution, pixels: a file needs it.")]
Padding = Annotated[int | None, typer.Option(help="Padding of the convolution, pixels.")]
Pool = Annotated[int | None, typer.Option(help="Side of the pooling window; its stride is 2. Default: 3.")]
PoolPadding = Annotated[int | None, typer.Option(help="Padding of the pooling, positions.")]
Channels = Annotated[str | None, typer.Option(help="Order of the weight's channels: RGB or BGR.")]
Mean = Annotated[str | None, typer.Option(metavar="R,G,B", help="Mean of the normalisation, pixels in [0, 1].")]
Std = Annotated[str | None, typer.Option(metavar="R,G,B", help="Standard deviation of the normalisation.")]
Like = Annotated[str | None, typer.Option(help="Network whose geometry, channel order and normalisation a file has.")]
LayerName = Annotated[str | None, typer.Option(help="Name of the network, for titles.")]
Weight = Annotated[
    str | None, typer.Option(help="Name of the weight in the file, where several may be the first layer's.")
]


def _show_version(asked: bool) -> None:
    if asked:
        print(f"shiftscope {version('shiftscope')}")
        raise typer.Exit()


def before_command(
    show_version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_show_version, help="Show the version and exit.")
    ] = False,
    quiet: Quiet = False,
    verbose: Verbose = False,
    debug: Debug = False,
) -> None:
    """Take the options that stand before the name of a command."""
    shared.asked.quiet, shared.asked.verbose, shared.asked.debug = quiet, verbose, debug


def given(**options: Any) -> dict[str, Any]:
    """Options that were given, so that the others have the defaults of the function that is called."""
    return {name: value for name, value in options.items() if value is not None}


MMAP_THRESHOLD, TRIM_THRESHOLD = -3, -1  # of mallopt


def need_torch() -> None:
    """Prepare for torch; raise ModuleNotFoundError with what to install if there is none.

    It takes a second to import: call `plan` before, so that a log is told meanwhile that the command has begun.
    """
    try:
        import torch  # noqa: F401
    except ModuleNotFoundError:
        raise ModuleNotFoundError("this command needs torch: pip install 'shiftscope[torch]'") from None
    keep_freed_memory()


def keep_freed_memory() -> None:
    """Have glibc keep large blocks that are freed: to take their pages anew is a third of a training step with APS."""
    import ctypes  # which --help does without

    with suppress(AttributeError, OSError, TypeError):  # another C library
        for parameter in (MMAP_THRESHOLD, TRIM_THRESHOLD):
            ctypes.CDLL(None).mallopt(parameter, 2**30)


def parse_shifts(texts: Sequence[str] | None) -> list[tuple[float, float]] | None:
    """Turn each ``DY,DX`` into two numbers of pixels."""
    return [_parse_shift(text) for text in texts] if texts else None


def _parse_shift(text: str) -> tuple[float, float]:
    try:
        dy, dx = (float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"shift is {text!r}; expected DY,DX in pixels, such as 0,1 or 0.5,0.5") from None
    return dy, dx


def parse_numbers(name: str, text: str | None) -> tuple[float, ...] | None:
    """Turn ``R,G,B`` into numbers."""
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"{name} is {text!r}; expected numbers such as 0.485,0.456,0.406") from None


def named_files(texts: Sequence[str]) -> dict[str, tuple[str, Path]]:
    """Turn each ``NAME=FILE`` into name and file, by a name to show: with that of the folder if it is given twice."""
    found: dict[str, tuple[str, Path]] = {}
    for text in texts:
        name, equals, file = text.partition("=")
        if not (name and equals and file):
            raise ValueError(f"{text!r} is no NAME=FILE, such as vgg41-aps-l1=best.pt")
        shown = name if name not in found else f"{name} ({Path(file).parent.name})"
        if shown in found:
            raise ValueError(f"{text!r} is given twice")
        found[shown] = (name, Path(file))
    return found


def parse_levels(texts: Sequence[str] | None) -> list[int] | None:
    """Turn ``2``, or ``2,3``, each of which may be given again, into depths."""
    try:
        return [int(part) for text in texts for part in text.split(",")] if texts else None
    except ValueError:
        raise ValueError(f"--levels is {','.join(texts or ())!r}; expected depths such as 3 or 2,3") from None


def skips_shown(quiet: bool) -> Callable[[str, str], None] | None:
    """Return what names the first skipped images on the terminal, all with ``--verbose``, if anything does."""
    if quiet:
        return None
    shown: list[str] = []

    def show(name: str, reason: str) -> None:
        if len(shown) < SKIPS_SHOWN or shared.asked.verbose:
            shown.append(name)
            say(f"skipped {name}: {reason}")

    return show
