"""Regular files alone: a pipe or a device is refused and not waited for."""

from __future__ import annotations

import os
import stat
from typing import BinaryIO


def open_regular(path: str | bytes | os.PathLike[str]) -> BinaryIO:
    """Open a regular file for reading bytes.

    Raises
    ------
    OSError
        As :func:`open` raises it.
    ValueError
        If it is a pipe or a device.
    """
    file = open(os.fsdecode(path), "rb", opener=_open_at_once)
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise ValueError("not a regular file, but a pipe or a device")
    return file


def _open_at_once(path: str, flags: int) -> int:
    """Open a file without waiting for anybody at the other end of a pipe."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
