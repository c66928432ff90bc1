"""Results on disk: written whole or not at all."""

from __future__ import annotations

import io
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

UNFINISHED = ".unfinished-"  # begins the name of a file that is being written


def writable_folder(path: str | os.PathLike[str]) -> Path:
    """Create a folder for results and prove that files can be written there, before any work is done.

    Parameters
    ----------
    path : path

    Returns
    -------
    Path

    Raises
    ------
    NotADirectoryError
        If something else stands there.
    OSError
        If it cannot be created or written to.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise NotADirectoryError(f"cannot write results to {folder}: it is not a folder") from None
    except OSError as error:
        raise type(error)(f"cannot create the folder {folder}: {error.strerror or error}") from None
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise type(error)(f"cannot write to the folder {folder}: {error.strerror or error}") from None
    return folder


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
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path


def remove_unfinished(folder: Path) -> None:
    """Remove what processes left behind that died while they wrote; call it when no other is writing there."""
    for leftover in folder.glob(f"{UNFINISHED}*"):
        leftover.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Have a new name in a folder survive a loss of power, where the system can do that."""
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows
        return
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems
        pass
    finally:
        os.close(descriptor)


def save_figure(figure: Figure, path: str | os.PathLike[str], dpi: int = 150) -> Path:
    """Write a figure in the format that the suffix names.

    Raises
    ------
    OSError
        If it cannot be written; what stood there before is left alone.
    """
    path = Path(path)
    buffer = io.BytesIO()  # matplotlib that runs out of disk inside a PDF raises errors of zlib
    figure.savefig(buffer, format=path.suffix.removeprefix("."), dpi=dpi)
    return write_atomically(path, lambda temporary: temporary.write_bytes(buffer.getbuffer()))


def save(dataset: xr.Dataset, path: str | os.PathLike[str]) -> Path:
    """Write a dataset to one netCDF file.

    Parameters
    ----------
    dataset : xarray.Dataset
    path : path
        Conventionally ``heatmaps_J{levels}.nc``.

    Returns
    -------
    Path

    Raises
    ------
    OSError
        If it cannot be written; what stood there before is left alone.
    """
    # Through memory: HDF5 that runs out of disk while it closes a file takes the process down with it.
    with dataset.to_netcdf(engine="h5netcdf") as data:  # a view: released here, or its buffer complains when collected
        return write_atomically(path, lambda temporary: temporary.write_bytes(data))


def load(path: str | os.PathLike[str]) -> xr.Dataset:
    """Read a dataset that `save` wrote, wholly into memory.

    Parameters
    ----------
    path : path

    Returns
    -------
    xarray.Dataset

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If it is not a netCDF file of this project.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no result file {path}")
    try:
        with warnings.catch_warnings(), xr.open_dataset(path, engine="h5netcdf", phony_dims="sort") as dataset:
            warnings.simplefilter("ignore")
            dataset.load()
    except (OSError, ValueError, KeyError, RuntimeError) as error:
        raise ValueError(f"{path} is not a netCDF file that can be read: {error}") from error
    if "levels" not in dataset.attrs or not {"filter", "kernel"} & set(dataset.dims):
        raise ValueError(
            f"{path} is not a result of this project: it has no attribute levels, or no dimension filter or kernel"
        )
    return dataset
