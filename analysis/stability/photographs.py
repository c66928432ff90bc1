"""Photographs and their classes, in batches for a network."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from analysis.files.messages import printable
from analysis.files.pictures import load_pictures

CHUNK = 16
"""Pictures read at a time; the checkpoint grows by them."""

HEADS = {"file": ("file", "filename", "path"), "class": ("index", "class", "label")}
"""Names of the columns of a file of labels, in any case."""


class Labels:
    """Classes of pictures by file name.

    Parameters
    ----------
    path : path
        CSV with two columns, file name and class index; or with a header that names a column file (filename, path) and
        one index (class, label). A file name is that of the file alone, or its path inside the folder of photographs.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If it is no such table; the message names the line.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise FileNotFoundError(f"no such file of labels: {printable(path)}")
        try:
            rows = list(csv.reader(self.path.read_text(encoding="utf-8-sig").splitlines()))
        except (UnicodeDecodeError, csv.Error) as error:
            raise ValueError(f"{printable(path)} is not a CSV file: {error}") from None
        name, index = 0, 1
        heads = [head.strip().lower() for head in rows[0]] if rows else []
        if heads and not (len(heads) == 2 and heads[1].isdecimal()):
            columns = [next((heads.index(n) for n in names if n in heads), None) for names in HEADS.values()]
            if None in columns:
                raise ValueError(
                    f"{printable(path)}: the first line is {','.join(rows[0])!r}; expected columns file and index, "
                    "or a file name and a number"
                )
            name, index = columns  # type: ignore[assignment]
            rows[0] = []
        self.classes: dict[str, int] = {}
        for number, row in enumerate(rows, 1):
            if not row:
                continue
            if len(row) <= max(name, index) or not row[index].strip().isdecimal():
                raise ValueError(
                    f"{printable(path)}, line {number}: {','.join(row)!r}; expected a file name and a class index"
                )
            self.classes[row[name].strip()] = int(row[index])

    def of(self, file: str, root: str | os.PathLike[str]) -> int:
        """Class of a file under the folder `root`; ValueError if the table has none."""
        for name in (Path(os.path.relpath(file, root)).as_posix(), os.path.basename(file)):
            if name in self.classes:
                return self.classes[name]
        raise ValueError(f"{printable(self.path)} has no class for {printable(os.path.relpath(file, root))}")


def batches(
    files: Sequence[str],
    side: int,
    labels: Sequence[int] | None = None,
    on_skip: Callable[[str, str], object] | None = None,
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield pictures, shape (N, 3, side, side) uint8, N up to :data:`CHUNK`, with their classes, shape (N,), int64.

    Parameters
    ----------
    files : sequence of str
    side : int
        The shorter side of every picture is brought to it, pixels, and the middle square is cut out.
    labels : sequence of int, optional
        One a file; without them the second of each pair is None.
    on_skip : callable, optional
        As in :func:`analysis.files.pictures.load_pictures`.
    """
    classes = None if labels is None else dict(zip(map(printable, files), labels, strict=True))
    pixels: list[np.ndarray] = []
    truth: list[int] = []

    def batch() -> tuple[Tensor, Tensor | None]:
        return torch.from_numpy(np.stack(pixels)), None if classes is None else torch.tensor(truth)

    for picture in load_pictures(files, side, on_skip, colour=True):
        pixels.append(np.rint(255 * picture.pixels.clip(0, 1)).astype(np.uint8))
        if classes is not None:
            truth.append(classes[picture.name])
        if len(pixels) == CHUNK:
            yield batch()
            pixels, truth = [], []
    if pixels:
        yield batch()
