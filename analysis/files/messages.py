"""Names and reasons as messages show them: one printable line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches


def printable(path: str | bytes | os.PathLike[str]) -> str:
    """A path for messages: one line, and what is not a character written as an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in os.fsdecode(path))


def one_line(text: str) -> str:
    """Text of an error, the same in every run: without addresses in memory."""
    return printable(re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(text.split())))


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """Message about a name that there is not, with the nearest one if there is any and all that there are."""
    names = list(known)
    near = get_close_matches(str(name), names, n=1)
    guess = f" (did you mean {near[0]!r}?)" if near else ""
    return f"unknown {kind} {name!r}{guess}; expected one of {', '.join(names)}"
