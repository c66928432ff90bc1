"""Datasets and figures on disk."""

from __future__ import annotations

import io
import os
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import xarray as xr

from analysis.files.atomic import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKS = ("shiftscope_version", "written_by")  # attributes, of which every file that is written has one


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
        One that does not name the version of shiftscope gains the attribute `written_by`.
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
    if not set(MARKS) & set(dataset.attrs):
        dataset = dataset.assign_attrs(written_by="shiftscope")
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
    if not set(MARKS) & set(dataset.attrs):
        raise ValueError(f"{path} is not a result of this project: it has none of the attributes {', '.join(MARKS)}")
    return dataset
