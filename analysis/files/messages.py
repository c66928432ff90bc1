"""Names and reasons as messages show them: one printable line."""

from __future__ import annotations

import os
import re


def printable(path: str | bytes | os.PathLike[str]) -> str:
    """A path for messages: one line, and what is not a character written as an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in os.fsdecode(path))


def one_line(text: str) -> str:
    """Text of an error, the same in every run: without addresses in memory."""
    return printable(re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(text.split())))
