"""Parts that the targets share: a file to write to, a count of executions, and how atheris is called."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

from tqdm import tqdm


@contextlib.contextmanager
def followed(*packages: str) -> Iterator[None]:
    """Context in which these packages are imported so that atheris sees which of their lines are reached.

    Of modules that are loaded already it is told function by function.
    """
    try:
        import atheris
    except ModuleNotFoundError:  # the tests execute the targets without it
        yield
        return
    for name, module in list(sys.modules.items()):
        if any(name == package or name.startswith(package + ".") for package in packages):
            for function in _functions(module):
                atheris.instrument_func(function)
    with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=list(packages)):
        yield


def _functions(module: types.ModuleType) -> list[types.FunctionType]:
    own = [value for value in vars(module).values() if getattr(value, "__module__", None) == module.__name__]
    inside = [value for kind in own if isinstance(kind, type) for value in vars(kind).values()]
    return [value for value in own + inside if isinstance(value, types.FunctionType)]


class FileToRead:
    """One file in memory where the system has that, written anew for every execution."""

    def __init__(self) -> None:
        self.stem = Path(tempfile.gettempdir()) / f"fuzzed-{os.getpid()}"

    def holding(self, data: bytes, suffix: str) -> Path:
        """Return its path, with the given bytes and suffix."""
        path = self.stem.with_suffix(suffix)
        path.write_bytes(data)
        return path


def check_one_line(message: str) -> None:
    """Raise where a message is not what a list of skipped files may hold."""
    if not message or not message.isprintable() or " at 0x" in message:
        raise AssertionError(f"not one printable line without addresses: {message!r}")


def fuzz(execute: Callable[[bytes], object]) -> None:
    """Hand `execute` to atheris, with the command line as libFuzzer takes it, and show progress."""
    import atheris

    warnings.simplefilter("error")  # a warning that gets out is a finding
    total = next((int(a.removeprefix("-runs=")) for a in sys.argv if a.startswith("-runs=")), None)
    bar = tqdm(total=total, desc=Path(sys.argv[0]).stem, unit=" executions", file=sys.stdout)
    # Where `python -m fuzz` reads how far it went, however it ended.
    count = os.open(os.environ.get("SHIFTSCOPE_FUZZ_COUNT", os.devnull), os.O_RDWR)

    def counted(data: bytes) -> None:
        bar.update()
        os.pwrite(count, bar.n.to_bytes(8, "little"), 0)
        execute(data)

    atheris.Setup(sys.argv, counted)
    atheris.Fuzz()
