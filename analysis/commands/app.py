"""The command line: ``shiftscope`` and its commands, exit codes, and what becomes of the output.

Nothing large is imported here or in the files of the commands, so that help and refusals come at once.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from difflib import get_close_matches
from importlib import import_module
from typing import TYPE_CHECKING, Any, TextIO

from analysis.runs import progress

if TYPE_CHECKING:
    import typer

COMMANDS = (
    "heatmaps",
    "kernels",
    "prescribe",
    "verify",
    "compare",
    "report",
    "stability",
    "audit",
    "heal",
    "train",
    "study",
    "recipes",
    "explore",
)
"""Commands, each in the file of its name."""


def main() -> None:
    """Run the command line; an error is one line and exit code 2, an interruption exit code 130."""
    # Read when numpy is loaded. The work is shared out above; OpenBLAS's threads would spin after each small product.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with contextlib.redirect_stdout(_Output(sys.stdout)), contextlib.redirect_stderr(_Output(sys.stderr)):
        with _interruptions() as heard:
            try:
                code = _run(sys.argv[1:] or ["--help"])
            except KeyboardInterrupt:
                code = 130
            except Exception as error:  # an import that was interrupted may end in another error than that
                code = 130 if heard else _refused(error)
        progress.erase()
        if code == 130:
            print("shiftscope: interrupted", file=sys.stderr)
        sys.stdout.flush()
    sys.exit(code)


def _run(arguments: list[str]) -> int:
    """Run a command and return its exit code."""
    with warnings.catch_warnings():
        # The end of a command says in one line which files could not be made.
        warnings.filterwarnings("ignore", module=r"analysis\.reports\.writer")
        return int(application()(arguments, prog_name="shiftscope", standalone_mode=False) or 0)


def _refused(error: Exception) -> int:
    """Say in one line what is wrong, and return the exit code 2; an error of the program itself goes on."""
    if hasattr(error, "format_message"):  # what typer raises for a wrong option
        message = _with_nearest(error)
    elif isinstance(error, (ValueError, TypeError, OSError, ModuleNotFoundError, MemoryError)):
        message = str(error)
    else:
        raise error
    from analysis.commands.shared import asked, paint

    progress.erase()
    if asked.debug:
        traceback.print_exception(error)
    print(f"{paint('shiftscope:', 'error')} {' '.join(message.split()) or type(error).__name__}", file=sys.stderr)
    return 2


def _with_nearest(error: Any) -> str:
    """Return what is wrong with an option or the name of a command, with the likeliest one that there is."""
    if not (near := getattr(error, "possibilities", None)):
        return str(error.format_message())
    (likeliest,) = get_close_matches(error.option_name, near, n=1, cutoff=0)
    return f"{error.message}; did you mean {likeliest}?"


@contextlib.contextmanager
def _interruptions() -> Iterator[list[int]]:
    """Context with a list that has an entry for each Ctrl-C, whatever became of its KeyboardInterrupt."""
    heard: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or threading.current_thread() is not threading.main_thread():
        yield heard
        return

    def interrupt(number: int, frame: object) -> None:
        heard.append(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, interrupt)
    try:
        yield heard
    finally:
        signal.signal(signal.SIGINT, before)


def application() -> typer.Typer:
    """Return the application, with all commands."""
    import typer

    from analysis.commands.options import before_command
    from analysis.commands.shared import begin, with_shared_options

    begin()
    app = typer.Typer(
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="How stable is the first layer of a CNN to small shifts, and why?",
    )
    app.callback()(before_command)
    for name in COMMANDS:
        command = import_module(f"analysis.commands.{name}").command
        first = " ".join(inspect.cleandoc(command.__doc__).partition("\n\n")[0].split())
        # Without a short help of its own the list of commands would have the beginning of the long one, and "...".
        app.command(name, short_help=first)(with_shared_options(name, command))
    return app


class _Output:
    """Standard output or error that never ends a run.

    What the terminal has no character for is replaced; what can no longer be written, because the pipe is closed, the
    disk is full or the terminal gone, is dropped. The line of a progress bar is erased before anything is printed.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream if stream is not None else open(os.devnull, "w", encoding="utf-8")
        if hasattr(self._stream, "reconfigure"):
            self._stream.reconfigure(errors="replace")

    def write(self, text: str) -> int:
        progress.erase()
        try:
            return self._stream.write(text)
        except OSError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except OSError:
            self._drop()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def _drop(self) -> None:
        """Send what is still in the buffer, and all that follows, to nowhere."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


if __name__ == "__main__":
    main()
