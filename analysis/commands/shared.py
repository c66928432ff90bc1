"""Shared parts of all commands: options that stand before or behind a command's name, and what becomes of them."""

from __future__ import annotations

import functools
import importlib.util
import inspect
import json
import math
import os
import platform
import sys
import webbrowser
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from analysis.files.messages import printable
from analysis.runs import progress

if TYPE_CHECKING:
    from pathlib import Path

    from analysis.reports.writer import Report

COLOURS = {"error": "31;1", "warning": "33"}

Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress and no summary.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Name versions, every skipped image and every file.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Json = Annotated[bool, typer.Option("--json", help="Print the summary as JSON, and nothing else.")]
Open = Annotated[bool, typer.Option("--open", help="Open the report, or else the folder of the results, when done.")]


@dataclass
class Asked:
    """Shared options of the command that runs."""

    quiet: bool = False
    verbose: bool = False
    debug: bool = False
    json: bool = False
    open: bool = False
    answered: bool = False  # in JSON


asked = Asked()


def begin() -> None:
    """Forget what an earlier command was asked for in the same process."""
    vars(asked).update(vars(Asked()))
    progress.plan({})


def with_shared_options(name: str, command: Callable[..., None]) -> Callable[..., None]:
    """Return a command that takes the shared options too; ``--open`` if it writes a folder or a page.

    Parameters
    ----------
    name : str
        Of the command.
    command : callable
        The function of a command's file. If it has a parameter `quiet`, that is true also where ``-q`` stands before
        the name of the command, or ``--json`` was given.
    """
    signature = inspect.signature(command, eval_str=True)
    shared = {"verbose": Verbose, "debug": Debug, "json": Json} | (
        {"open": Open} if {"out", "to"} & {*signature.parameters} else {}
    )
    added = [
        inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, annotation=annotation, default=False)
        for option, annotation in shared.items()
    ]

    @functools.wraps(command)
    def call(**given: Any) -> None:
        for option in shared:
            setattr(asked, option, given.pop(option) or getattr(asked, option))
        if "quiet" in given:
            given["quiet"] = asked.quiet = asked.quiet or given["quiet"] or asked.json
        if asked.verbose:
            print(f"shiftscope {name}: {_versions()}", file=sys.stderr)
        if not asked.quiet:
            progress.starting(name)
        try:
            command(**given)
        except typer.Exit:
            _end(given.get("out") or given.get("to"))
            raise
        finally:
            progress.erase()
        _end(given.get("out") or given.get("to"))

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in signature.parameters.values()]
    vars(call)["__signature__"] = signature.replace(parameters=[*parameters, *added])
    call.__annotations__ = {p.name: p.annotation for p in [*parameters, *added]} | {"return": None}
    return call


def _versions() -> str:
    """Versions of the software that computes, in a line."""
    from analysis.runs.provenance import distribution_version

    names = [name for name in ("shiftscope", "numpy", "scipy", "numba", "torch") if importlib.util.find_spec(name)]
    found = [f"{name} {distribution_version(name)}" for name in names]
    return ", ".join([*found, f"Python {platform.python_version()}", f"{os.cpu_count()} processors"])


def paint(text: str, kind: str) -> str:
    """Return a text in the colour of errors or warnings, if standard error is a terminal that may have colours."""
    plain = os.environ.get("NO_COLOR") or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb"
    return text if plain else f"\x1b[{COLOURS[kind]}m{text}\x1b[0m"


def print_json(value: Any) -> None:
    """Print a value as JSON; NaN and infinity are null."""
    asked.answered = True
    print(json.dumps(_plain(value), indent=2, ensure_ascii=False, allow_nan=False))


def _plain(value: Any) -> Any:
    """Return a value in the types of JSON."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if hasattr(value, "tolist"):  # arrays and numbers of numpy
        return _plain(value.tolist())
    if isinstance(value, str) or value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return [_plain(inner) for inner in value] if isinstance(value, Iterable) else str(value)


def finish(report: Report, strict: bool, quiet: bool) -> None:
    """End a command: say what was left out or could not be made, and exit with 2 or 3 for it.

    Prints the summary in JSON if that was asked for.
    """
    if asked.json:
        from analysis.reports.summaries import report_data

        print_json(report_data(report))
    if asked.verbose:
        for path in sorted(report.folder.iterdir()):
            progress.say(f"{printable(path)}  {path.stat().st_size} bytes")
    warnings = []
    if left_out := report.figures_left_out:
        warnings.append(f"{len(left_out)} figures of this project are no photographs: {left_out[0]} and so on left out")
    if report.skipped:
        warnings.append(f"{len(report.skipped)} of {report.inputs} images skipped, see {report.folder}/skipped.txt")
    for warning in [] if quiet else warnings:
        progress.say(f"{paint('shiftscope: warning:', 'warning')} {warning}")
    if report.failures:
        first, *others = report.failures
        raise OSError(f"{first}; and {len(others)} more files" if others else first)
    if report.skipped and strict:
        raise typer.Exit(3)


def _end(out: Path | None) -> None:
    """Answer in JSON if the command has not, and open its results, if that was asked for."""
    if asked.json and not asked.answered:
        print_json({"out": None if out is None else str(out)})
    if asked.open and out is not None and out.exists():
        _open(out)


def _open(out: Path) -> None:
    """Show a page in the browser: `out` itself, or of a folder its report, or the folder if it has none."""
    page = out / "report.html"
    target = (page if page.is_file() else out).resolve()
    if not webbrowser.open(target.as_uri()):
        progress.say(f"{paint('shiftscope: warning:', 'warning')} no browser was found for {printable(target)}")
