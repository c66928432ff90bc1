"""Published files: downloaded where they are not yet, and verified in either case."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

ALGORITHMS = {"sha256": "SHA-256", "md5": "MD5"}


def downloaded(
    url: str, folder: str | os.PathLike[str], digest: str, algorithm: str = "sha256", progress: bool = True
) -> Path:
    """File of a published address in a folder.

    Parameters
    ----------
    url : str
        Address, whose last part is the name of the file.
    folder : path
        It is created.
    digest : str
        Hexadecimal digest of the file, or as much of its beginning as is published.
    algorithm : {"sha256", "md5"}
        Of the digest.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path

    Raises
    ------
    OSError
        If it cannot be downloaded, or the folder cannot be written to; the message says where to place the file.
    ValueError
        If the file has another digest; it is removed then.
    """
    import pooch

    path = Path(folder, url.rpartition("/")[2])
    if path.exists():
        _verify(path, digest, algorithm, str(path))
        return path
    outer = sys.exception()  # what the caller is handling has nothing to do with the network
    download = pooch.HTTPDownloader(progressbar=progress, chunk_size=2**16, timeout=30)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # The file gets its final name only when it is whole and verified.
        with tempfile.TemporaryDirectory(dir=folder, prefix=".") as temporary:
            partial = Path(temporary, path.name)
            download(url, partial, None)
            _verify(partial, digest, algorithm, url)
            os.replace(partial, path)
    except OSError as error:
        if (response := getattr(error, "response", None)) is not None:  # of an HTTP status: its connection is open
            response.close()
        raise OSError(
            f"cannot download {url} ({_root(error, outer)}); "
            f"to do without, place the file {path.name} in the folder {folder}"
        ) from error
    return path


def _verify(path: Path, expected: str, algorithm: str, shown: str) -> None:
    """Remove a file and raise if its digest does not begin with the expected one."""
    with open(path, "rb") as file:
        found = hashlib.file_digest(file, algorithm).hexdigest()
    if found.startswith(expected):
        return
    with suppress(OSError):
        path.unlink()
    fate = "remove it" if path.exists() else "it was removed"
    name = ALGORITHMS[algorithm]
    raise ValueError(f"{shown} is not the published file: expected {name} {expected}, found {found}; {fate}")


def _root(error: BaseException, outer: BaseException | None) -> str:
    """Innermost reason of a network error, which wraps others, in one line."""
    while error.__context__ not in (None, outer):
        error = error.__context__
    return " ".join((getattr(error, "strerror", None) or str(error) or type(error).__name__).split())
