"""Names and reasons as messages show them: one printable line."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from difflib import get_close_matches

MOST_NAMES = 30  # in a message


def printable(path: str | bytes | os.PathLike[str]) -> str:
    """A path for messages: one line, and what is not a character written as an escape."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in os.fsdecode(path))


def one_line(text: str) -> str:
    """Text of an error, the same in every run: without addresses in memory."""
    return printable(re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(text.split())))


def first_line(error: BaseException) -> str:
    """First line of what an error says; the name of its class where it says nothing."""
    lines = str(error.args[0] if isinstance(error, KeyError) and error.args else error).strip().splitlines()
    return one_line(lines[0]) if lines else type(error).__name__


def unknown(kind: str, name: object, known: Iterable[str]) -> str:
    """Message for a name that is not known.

    Parameters
    ----------
    kind : str
        What it is the name of: "network".
    name : object
        As it was given.
    known : iterable of str
        The names that there are.

    Returns
    -------
    str
        With the nearest name, if any is near, and all that there are, or the first of very many.

    Examples
    --------
    >>> unknown("filter", "traingle", ["rectangle", "triangle"])
    "unknown filter 'traingle' (did you mean 'triangle'?); expected one of rectangle, triangle"
    """
    names = list(dict.fromkeys(known))
    near = get_close_matches(str(name), names, n=1)
    guess = f" (did you mean {near[0]!r}?)" if near else ""
    rest = f", ... ({len(names)} in all)" if len(names) > MOST_NAMES else ""
    return f"unknown {kind} {str(name)!r}{guess}; expected one of {', '.join(names[:MOST_NAMES])}{rest}"
