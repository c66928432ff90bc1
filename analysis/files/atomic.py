"""The one writer of files: each is written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from analysis.files.messages import one_line

UNFINISHED = ".unfinished-"  # begins the name of a file that is being written


def write_atomically(path: str | os.PathLike[str], write: Callable[[Path], object]) -> Path:
    """Let `write` make a file under a temporary name, then give it its final name in one step.

    Parameters
    ----------
    path : path
        Final name; what stood there before is replaced only by a complete file.
    write : callable
        Called with the temporary path, which has the same suffix.

    Returns
    -------
    Path

    Raises
    ------
    OSError
        If the file cannot be written, with its final name in the message.
    """
    path = Path(path)
    temporary = path.with_name(f"{UNFINISHED}{os.getpid()}-{path.name}")
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except (OSError, RuntimeError) as error:  # torch raises the latter on a full disk
        raise OSError(f"cannot write {path}: {getattr(error, 'strerror', None) or one_line(str(error))}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def remove_unfinished(folder: Path) -> None:
    """Remove what processes left behind that died while they wrote; call it when no other is writing there."""
    for leftover in folder.glob(f"{UNFINISHED}*"):
        leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have a new name in a folder survive a loss of power, where the system can do that."""
    with suppress(OSError):  # Windows, and some network file systems
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
