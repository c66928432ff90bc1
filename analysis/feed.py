"""Images fed to a measurement, block by block: what was used, what was left out, and from which bytes."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from analysis.images import find_images, pictures_ahead

BLOCK = 8  # pictures measured at a time: enough for all threads, few enough to stay in some tens of megabytes
AHEAD = 2 * BLOCK  # pictures read at most before they are measured
LONGEST_ATTRIBUTE = 30_000  # HDF5 keeps attributes in 64 kB


def feed(
    images: str | os.PathLike[str] | Iterable[Any],
    size: int,
    add: Callable[[NDArray[np.float32]], NDArray[np.bool_]],
    colour: bool = False,
    desc: str = "images",
    progress: bool = True,
    on_skip: Callable[[str, str], object] | None = None,
    root: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Decode images once each, and hand them on in blocks.

    Parameters
    ----------
    images : path, or iterable of paths, arrays or Pictures
        A folder, searched with :func:`analysis.images.find_images`, or the images themselves; they are streamed.
    size : int
        Side to which every picture is brought, pixels.
    add : callable
        Takes pictures (n, size, size), in colour (n, 3, size, size); returns which of them it could use.
    colour : bool
        Keep red, green and blue instead of the luminance.
    desc : str
        Title of the progress bar.
    progress : bool
        Show it on standard error.
    on_skip : callable, optional
        Called with the name and the reason of each picture that is left out.
    root : path, optional
        The result names skipped files relative to this folder, by default the one given as `images`.

    Returns
    -------
    dict
        Provenance: how pictures were read, how many were used and skipped, digest, versions, date, and where the time
        went: `seconds_total`; of these, `seconds_measuring` in `add` and `seconds_waiting` for pictures; and
        `seconds_reading`, the processor time of the threads that read files meanwhile.

    Raises
    ------
    ValueError
        If `images` is one array, or no picture could be used.
    FileNotFoundError, NotADirectoryError
        If the folder is not there.
    """
    if isinstance(images, np.ndarray) and (images.ndim < 3 or (images.ndim == 3 and images.shape[2] in (3, 4))):
        raise ValueError(f"images is one array of shape {images.shape}; expected several images: pass [image]")
    if isinstance(images, (str, os.PathLike)):
        root = images
        images = find_images(images)
    skipped: list[str] = []

    def skip(name: str, reason: str) -> None:
        skipped.append(f"{_short(name, root)}: {reason}".replace("\n", " "))
        if on_skip is not None:
            on_skip(name, reason)

    digest = hashlib.sha256()
    used = 0
    seconds = dict.fromkeys(("total", "reading", "waiting", "measuring"), 0.0)
    start = time.perf_counter()
    total = len(images) if hasattr(images, "__len__") else None
    with (
        tqdm(total=total, unit="image", desc=desc, disable=not progress) as bar,
        pictures_ahead(images, size, skip, colour, AHEAD) as pictures,
    ):
        before = time.perf_counter()
        while block := list(islice(pictures, BLOCK)):
            seconds["waiting"] += time.perf_counter() - before
            seconds["reading"] += sum(picture.seconds for picture in block)
            before = time.perf_counter()
            responds = add(np.stack([picture.pixels for picture in block]))
            seconds["measuring"] += time.perf_counter() - before
            for picture, usable in zip(block, responds, strict=True):
                if usable:
                    used += 1
                    digest.update(bytes.fromhex(picture.sha256))
                else:
                    skip(picture.name, "flat: all its pixels are equal")
            bar.update(used + len(skipped) - bar.n)
            before = time.perf_counter()
    seconds["total"] = time.perf_counter() - start
    if used == 0:
        example = f"; for example {skipped[0]}" if skipped else ""
        raise ValueError(f"none of the {len(skipped)} images could be used{example}")
    provenance = _provenance(used, skipped, digest.hexdigest(), colour)
    return provenance | {f"seconds_{name}": round(value, 3) for name, value in seconds.items()}


def _short(name: str, root: str | os.PathLike[str] | None) -> str:
    """Name of a picture as it is kept in results: without the folders above it."""
    path = Path(name)
    return str(path.relative_to(root)) if root is not None and path.is_relative_to(root) else path.name


def _provenance(used: int, skipped: list[str], digest: str, colour: bool) -> dict[str, Any]:
    listed = "\n".join(skipped)
    if len(listed.encode()) > LONGEST_ATTRIBUTE:
        kept = listed.encode()[:LONGEST_ATTRIBUTE].decode(errors="ignore").rpartition("\n")[0]
        listed = f"{kept}\n... and {len(skipped) - kept.count(chr(10)) - 1} more"
    versions = {f"{name}_version": _version(name) for name in ("numpy", "scipy", "numba", "pillow")}
    return {
        "luminance": "none: red, green and blue" if colour else "0.299 R + 0.587 G + 0.114 B, in [0, 1]",
        "resize": "shorter side to size, bilinear with antialiasing, centre crop; JPEG files decoded "
        "at 1/2 to 1/8 where that leaves four times the size",
        "images_used": used,
        "images_skipped_count": len(skipped),
        "images_skipped": listed,
        "images_sha256": digest,
        "shiftscope_version": _version("shiftscope"),
        **versions,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
