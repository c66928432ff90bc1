"""Image files of a folder and its subfolders: in order, and without holding their names in memory.

A folder is listed when the walk comes to it. Its names are sorted in runs, each kept as one string, and merged while
they are handed out: a million names of 30 characters take some 30 MB, and a tree of a million files in a thousand
folders next to nothing.
"""

from __future__ import annotations

import heapq
import os
import re
import warnings
from collections.abc import Iterable, Iterator
from itertools import islice
from numbers import Integral
from pathlib import Path

from analysis.files.messages import printable

__all__ = ["ImageFolder", "find_images", "walk_images"]

FilePath = str | bytes | os.PathLike[str]

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp"})
FIGURES = re.compile(
    r"(heatmaps|prediction)_J\d+|mosaic|fourier|plane|why|predicted|ranking|trade|flips|divergence|accuracy|map|training|"
    r"strip|shifts|front|healing"
)
"""Names of the figures that commands write beside their results, as .png."""
RUN = 20_000  # names sorted at a time
FOLDER = "\0"  # ends the name of a subfolder: no file name has it, and a name sorts with it as it does without


class ImageFolder:
    """Image files of a folder, to be walked as often as needed and counted without keeping them.

    Instances can be pickled. Every walk, and the count, looks at the folder anew, but for a count that was made before.

    Parameters
    ----------
    folder : path
        Where to look.
    limit : int, optional
        The first `limit` files only; by default all.

    Attributes
    ----------
    folder : str
        As it was given.
    limit : int or None
    figures : dict of str
        Files that the walks so far left out, as keys: figures that a command of this project drew.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        As `walk_images`.
    ValueError
        If `limit` is not a positive integer; and from every walk, if there are no images.
    """

    def __init__(self, folder: FilePath, limit: int | None = None) -> None:
        if limit is not None:
            check_positive("limit", limit)
        self.folder = _existing(folder)
        self.limit = None if limit is None else int(limit)
        self.figures: dict[str, None] = {}
        self._length: int | None = None

    def __iter__(self) -> Iterator[str]:
        """The files as `walk_images` yields them, but for figures of this project."""
        found = False
        for path in islice(self._photographs(), self.limit):
            found = True
            yield path
        if not found:
            raise ValueError(f"no images (JPEG, PNG, WebP, TIFF, BMP) found in {printable(self.folder)}")

    def _photographs(self) -> Iterator[str]:
        for path in walk_images(self.folder):
            if is_own_figure(path):
                self.figures[path] = None
            else:
                yield path

    def __len__(self) -> int:
        """Number of files, from one walk of its own."""
        if self._length is None:
            self._length = sum(1 for _ in self)
        return self._length

    def __repr__(self) -> str:
        return f"ImageFolder({self.folder!r}, limit={self.limit})"


def walk_images(folder: FilePath) -> Iterator[str]:
    """Image files in a folder and its subfolders, one by one.

    Files are taken by suffix: .jpg, .jpeg, .png, .webp, .tif, .tiff and .bmp, in any case. Passed over are hidden files
    and folders, links to folders, and what is neither file nor link (pipes, sockets, devices). Links to anything but
    folders are yielded, also those that lead nowhere: whoever reads them finds out.

    Parameters
    ----------
    folder : path
        Where to look.

    Yields
    ------
    str
        Path that begins with `folder` as it was given. The order is that of the paths' parts, as strings of code
        points: the same on every machine and file system.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    NotADirectoryError
        If it is not a folder.

    Warns
    -----
    UserWarning
        For each folder that cannot be listed.

    Notes
    -----
    At any time the walk holds the names of one folder that it has not yielded yet, and those of the folders above it. A
    file that is added or removed while the folder around it is being listed may be yielded or not.
    """
    return _walk(_existing(folder))


def find_images(folder: FilePath, limit: int | None = None) -> list[Path]:
    """Image files in a folder and its subfolders, as a list.

    Parameters
    ----------
    folder : path
        Where to look, as `walk_images` does.
    limit : int, optional
        Return the first `limit` files only; by default all.

    Returns
    -------
    list of Path
        Sorted by their parts, as strings: the same order on every machine.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    NotADirectoryError
        If it is not a folder.
    ValueError
        If it has no images, or `limit` is not a positive integer.
    """
    return [Path(path) for path in ImageFolder(folder, limit)]


def is_own_figure(path: str) -> bool:
    """Return whether a file is a figure that a command drew, by its name and the program in its PNG header."""
    name, suffix = os.path.splitext(os.path.basename(path))
    if suffix != ".png" or not FIGURES.fullmatch(name) or not os.path.isfile(path):  # opening a pipe would wait
        return False
    try:
        with open(path, "rb") as file:
            return b"tEXtSoftware\0Matplotlib" in file.read(1024)
    except OSError:  # what cannot be opened is left to whoever reads it
        return False


def check_positive(name: str, value: object) -> None:
    """Raise ValueError for what is not a positive integer."""
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"{name} must be a positive integer, not {value!r}")


def _existing(folder: FilePath) -> str:
    root = os.fsdecode(folder)
    if not os.path.exists(root):
        raise FileNotFoundError(f"no such folder: {printable(root)}")
    if not os.path.isdir(root):
        raise NotADirectoryError(f"not a folder: {printable(root)}")
    return root


def _walk(root: str) -> Iterator[str]:
    # A stack of its own: folders nest deeper than calls may.
    waiting = [(root, _sorted(root))]
    while waiting:
        folder, names = waiting[-1]
        for name in names:
            path = os.path.join(folder, name)
            if name.endswith(FOLDER):
                path = path.removesuffix(FOLDER)
                waiting.append((path, _sorted(path)))
                break
            yield path
        else:
            waiting.pop()


def _sorted(folder: str) -> Iterator[str]:
    """Names in one folder, in order."""
    scan = _scan(folder)
    runs = []
    try:
        while run := sorted(islice(scan, RUN)):
            runs.append("/".join(run))
    except OSError as error:
        warnings.warn(f"skipped folder {printable(folder)}: {error.strerror}", UserWarning, stacklevel=3)
        return iter(())
    return heapq.merge(*map(_split, runs))


def _split(run: str) -> Iterator[str]:
    return (name[0] for name in re.finditer("[^/]+", run))


def _scan(folder: str) -> Iterable[str]:
    """Names of subfolders and of image files, as the folder lists them."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.startswith("."):
                continue
            kind = _kind(entry)
            if kind == "folder":
                yield name + FOLDER
            elif kind == "file" and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield name


def _kind(entry: os.DirEntry[str]) -> str | None:
    """Kind of an entry to the walk, from the folder alone where the file system tells."""
    try:
        if entry.is_file(follow_symlinks=False):
            return "file"
        if entry.is_dir(follow_symlinks=False):
            return "folder"
        if not entry.is_symlink():
            return None
        return None if entry.is_dir() else "file"
    except OSError:  # what cannot be looked at is left to whoever reads it
        return "file"
