"""Results of a run in a folder: netCDF, CSV, figures, one HTML page. A file that fails costs none of the others."""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import jinja2
import numpy as np
import pandas as pd
import xarray as xr
from PIL import Image

from analysis.files.atomic import write_atomically
from analysis.files.messages import one_line
from analysis.files.results import save
from analysis.runs.progress import track

if TYPE_CHECKING:
    from matplotlib.figure import Figure

T = TypeVar("T")
OnSkip = Callable[[str, str], object]

PNG: dict[str, Any] = {"pil_kwargs": {"compress_level": 3}}
"""Settings of PNG files: written in half the time of Pillow's own level 6, a tenth larger."""


class UnwrittenWarning(UserWarning):
    """A file of a report could not be made."""


@dataclass
class Report:
    """Results of a run, and the writer of their files.

    Attributes
    ----------
    folder : Path
        Where the files are; it exists.
    progress : bool
        Show progress bars on standard error.
    on_skip : callable or None
        Called with the name and the reason of each image that is left out.
    figures : bool
        Draw figures; without them a page has its words and tables.
    datasets : dict of str to xarray.Dataset
        Results by the names of their files, without ``.nc``.
    inputs : int
        Images that were looked at, with those that were skipped.
    skipped : list of str
        ``name: reason`` of each image that was left out; skipped.txt has the same lines.
    figures_left_out : list of str
        Files among the images that are no photographs, but figures which this project drew.
    failures : list of str
        Reason for each file that could not be made; a warning says so too.
    seconds : float
        How long it took to measure.
    """

    folder: Path
    progress: bool = True
    on_skip: OnSkip | None = None
    figures: bool = True
    datasets: dict[str, xr.Dataset] = field(default_factory=dict)
    inputs: int = 0
    skipped: list[str] = field(default_factory=list)
    figures_left_out: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def skip(self, name: str, reason: str) -> None:
        """Note that an image was left out."""
        self.skipped.append(f"{name}: {reason}")
        if self.on_skip is not None:
            self.on_skip(name, reason)

    def attempt(self, name: str, make: Callable[..., T], *arguments: Any) -> T | None:
        """Return what `make` returns for the file `name`; any error becomes a line of `failures`, and None."""
        try:
            return make(*arguments)
        except Exception as error:  # whatever it is, the other files are still to be written
            told = one_line(str(error))
            written = isinstance(error, OSError) and told
            self.failures.append(told if written else f"cannot make {name}: {type(error).__name__}: {told}")
            warnings.warn(self.failures[-1], UnwrittenWarning, stacklevel=1)
            return None

    def save(self, dataset: xr.Dataset, name: str) -> None:
        """Keep a dataset, and write it to ``{name}.nc``."""
        self.datasets[name] = dataset
        self.attempt(f"{name}.nc", save, dataset, self.folder / f"{name}.nc")

    def save_table(self, make: Callable[[], pd.DataFrame], name: str, index: bool) -> None:
        """Write the table that `make` returns to ``{name}.csv``, with or without its index."""

        def write(path: Path) -> None:
            make().to_csv(path, index=index, float_format="%.6g")

        self.attempt(f"{name}.csv", write_atomically, self.folder / f"{name}.csv", write)

    def save_skipped(self) -> None:
        """Write skipped.txt; without skipped images remove that of an earlier run, which would not be true."""
        path = self.folder / "skipped.txt"
        if self.skipped:
            self._write_bytes(path.name, "".join(f"{line}\n" for line in self.skipped).encode())
        else:
            self.attempt(path.name, path.unlink, True)

    def draw(
        self, figures: Mapping[str, Callable[[], Figure]], dpi: int, suffixes: Sequence[str] = ("png",)
    ) -> dict[str, bytes]:
        """Draw figures and write each to ``{name}.{suffix}``.

        Parameters
        ----------
        figures : mapping of str to callable
            Functions that draw, by the names of the files.
        dpi : int
            Dots per inch.
        suffixes : sequence of str
            Formats, the first of which is returned.

        Returns
        -------
        dict of str to bytes
            Content of the files of the first format, of the figures that could be drawn.
        """
        drawn: dict[str, bytes] = {}
        if not self.figures:
            return drawn
        for name, draw in track(list(figures.items()), "figures", "figures", self.progress):
            figure = self.attempt(f"figure {name}", draw)
            for suffix in suffixes if figure is not None else ():
                content = self.attempt(f"{name}.{suffix}", rendered, figure, suffix, dpi)
                if content is not None:
                    self._write_bytes(f"{name}.{suffix}", content)
                    if suffix == suffixes[0]:
                        drawn[name] = content
        return drawn

    def save_page(
        self,
        template: str,
        describe: Callable[[], Mapping[str, Any]],
        drawn: Mapping[str, bytes],
        name: str = "report.html",
    ) -> None:
        """Write the page.

        Parameters
        ----------
        template : str
            Name of a template of this folder.
        describe : callable
            Returns what the template shows beside the figures.
        drawn : mapping of str to bytes
            PNG files of the figures.
        name : str
            Of its file.
        """
        text = self.attempt(name, lambda: page(template, describe(), drawn))
        if text is not None:
            self._write_bytes(name, text.encode())

    def _write_bytes(self, name: str, content: bytes) -> None:
        self.attempt(name, write_atomically, self.folder / name, lambda path: path.write_bytes(content))


def rendered(figure: Figure, suffix: str, dpi: int) -> bytes:
    """Content of a file with the figure, in the format of that suffix."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix, dpi=dpi, **(PNG if suffix == "png" else {}))
    return buffer.getvalue()


def page(template: str, values: Mapping[str, Any], drawn: Mapping[str, bytes]) -> str:
    """HTML page that needs nothing else.

    Parameters
    ----------
    template : str
        Name of a template of this folder.
    values : mapping
        What it shows.
    drawn : mapping of str to bytes
        PNG files, for the template's `figures`.

    Returns
    -------
    str
    """
    figures = {name: data_uri(png) for name, png in drawn.items()}
    return filled(template, figures=figures, **values)


def filled(template: str, **values: Any) -> str:
    """Text of a template of this folder with values in it."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("analysis", "reports"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["number"] = number
    return environment.get_template(template).render(**values)


def csv_uri(frame: pd.DataFrame, index: bool = False) -> str:
    """Table as the address of a CSV file, for a link that saves it."""
    text = frame.to_csv(index=index, float_format="%.6g")
    return f"data:text/csv;base64,{base64.b64encode(text.encode()).decode()}"


def picture(image: np.ndarray) -> str:
    """Picture (h, w, 3) in [0, 1] as a data URI."""
    buffer = io.BytesIO()
    Image.fromarray(np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)).save(buffer, "PNG")
    return data_uri(buffer.getvalue())


def data_uri(png: bytes) -> str:
    """PNG file as an address for the `src` of an image."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def number_with_error(value: float, error: float, digits: int = 1) -> str:
    """Number with its standard error, if that is known and not 0."""
    shown = number(float(value), digits)
    return f"{shown} ± {number(float(error), digits)}" if np.isfinite(error) and error else shown


def number(value: object, digits: int = 3) -> str:
    """Number with so many decimals, a dash where there is none; anything else as it is."""
    if isinstance(value, (float, np.floating)):
        return f"{value:.{digits}f}" if np.isfinite(value) else "–"
    return str(value)
