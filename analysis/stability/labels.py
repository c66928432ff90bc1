"""Classes of photographs, by the names of their files."""

from __future__ import annotations

import csv
import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from analysis.files.messages import printable
from analysis.runs.blocks import short_name

HEADS = {"file": ("file", "filename", "path"), "class": ("index", "class", "label")}
"""Names of the columns of a file of labels, in any case."""


class Labels:
    """Classes of pictures by name.

    Parameters
    ----------
    classes : mapping of str to int
        Class by the name of the file alone, or by its path inside the folder of photographs; or by "array 3".
    root : path, optional
        That folder.
    source : str
        Name of the table, for messages.
    """

    def __init__(
        self, classes: Mapping[str, int], root: str | os.PathLike[str] | None = None, source: str = "the labels"
    ) -> None:
        self.classes = {printable(name): int(number) for name, number in classes.items()}
        self.root, self.source = None if root is None else printable(root), source

    @property
    def sha256(self) -> str:
        """Digest of the table."""
        lines = "\n".join(f"{name},{number}" for name, number in sorted(self.classes.items()))
        return hashlib.sha256(lines.encode()).hexdigest()

    def check(self, pictures: Iterable[str]) -> None:
        """Raise ValueError for a picture without a class, and for two pictures that share the name of a class's file.

        A name without a folder is that of one picture; where several folders have it, the table has to say which.
        """
        first: dict[str, str] = {}
        for picture in pictures:
            self.of(picture)
            inside = Path(short_name(picture, self.root))
            if inside.as_posix() in self.classes and inside.as_posix() != inside.name:
                continue
            if (other := first.setdefault(inside.name, picture)) != picture:
                raise ValueError(
                    f"{self.source} has one class for {inside.name}, the name of {other} and of {picture}; expected "
                    "paths inside the folder of pictures"
                )

    def of(self, picture: str) -> int:
        """Class of a picture, whose name is a path in printable form; ValueError if the table has none."""
        inside = Path(short_name(picture, self.root))
        for name in (inside.as_posix(), inside.name):
            if name in self.classes:
                return self.classes[name]
        raise ValueError(f"{self.source} has no class for {inside}")


def read_labels(path: str | os.PathLike[str], root: str | os.PathLike[str] | None = None) -> Labels:
    """Read a CSV table of labels.

    Parameters
    ----------
    path : path
        CSV with two columns, file name and class index; or with a header that names a column file (filename, path) and
        one index (class, label). A file name is that of the file alone, or its path inside the folder of photographs.
    root : path, optional
        That folder.

    Returns
    -------
    Labels

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is no such table, or gives one file two classes; the message names the line.
    """
    shown = printable(path)
    if not Path(path).is_file():
        raise FileNotFoundError(f"no such file of labels: {shown}")
    try:
        rows = list(csv.reader(Path(path).read_text(encoding="utf-8-sig").splitlines()))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"{shown} is not a CSV file: {error}") from None
    name, index, start = 0, 1, 0
    heads = [head.strip().lower() for head in rows[0]] if rows else []
    if heads and not (len(heads) == 2 and heads[1].isdecimal()):
        found = [next((heads.index(n) for n in known if n in heads), -1) for known in HEADS.values()]
        if -1 in found:
            raise ValueError(
                f"{shown}: the first line is {printable(','.join(rows[0]))!r}; expected columns file and index, or a "
                "file name and a number"
            )
        (name, index), start = found, 1
    classes: dict[str, int] = {}
    lines: dict[str, int] = {}
    for number, row in enumerate(rows[start:], start + 1):
        if not row:
            continue
        if len(row) <= max(name, index) or not row[index].strip().isdecimal():
            raise ValueError(
                f"{shown}, line {number}: {printable(','.join(row))!r}; expected a file name and a class index"
            )
        file, of_file = row[name].strip(), int(row[index])
        if classes.setdefault(file, of_file) != of_file:
            raise ValueError(
                f"{shown}, line {number}: {printable(file)} has the class {of_file}, and {classes[file]} in line "
                f"{lines[file]}; expected one class a file"
            )
        lines.setdefault(file, number)
    return Labels(classes, root, shown)
