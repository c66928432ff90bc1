"""Values drawn in the Fourier plane: one cell a filter, or a continuous map (theory.md 5.2)."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from analysis.plots.style import SEQUENTIAL, Style, frequency_plane

NO_VALUE = "0.85"  # light grey: no measurement here


def cell_grid(values: ArrayLike, theta: ArrayLike, levels: int) -> NDArray[np.float64]:
    r"""Place one value a filter in the cells of the Fourier plane.

    Parameters
    ----------
    values : array_like, shape (L,), real
    theta : array_like, shape (L, 2)
        Characteristic frequencies, vertical then horizontal, rad/sample, in [-pi, pi).
    levels : int
        Depth J: the cells have the side :math:`\pi/2^J`.

    Returns
    -------
    ndarray, shape (2**(J+1), 2**(J+1)), float64
        Rows are vertical frequencies, columns horizontal ones, both rising from -pi. Every value stands at
        :math:`\theta` and, for the conjugate filter, at :math:`-\theta`; cells of no filter hold NaN.

    Raises
    ------
    TypeError
        If the values or frequencies are complex.
    ValueError
        If the shapes do not match, `levels` is below 1, a frequency is outside [-pi, pi) or not finite, or two
        filters (or one and the mirror image of another) fall in the same cell.

    Examples
    --------
    >>> cell_grid([5.0], [[0.1, 3.1]], levels=1)
    array([[nan, nan, nan, nan],
           [ 5., nan, nan, nan],
           [nan, nan, nan,  5.],
           [nan, nan, nan, nan]])
    """
    values, theta = np.asarray(values), np.asarray(theta)
    if np.iscomplexobj(values) or np.iscomplexobj(theta):
        raise TypeError("values and theta must be real; take the modulus of complex values")
    if levels < 1:
        raise ValueError(f"levels is {levels}; expected at least 1")
    if values.ndim != 1 or theta.shape != (values.size, 2):
        raise ValueError(f"values has shape {values.shape} and theta {theta.shape}; expected (L,) and (L, 2)")
    if not ((theta >= -np.pi) & (theta < np.pi)).all():
        raise ValueError("theta holds a frequency outside [-pi, pi) rad/sample")
    size = 2 ** (levels + 1)
    y, x = np.floor(theta / (np.pi / 2**levels)).astype(int).T + 2**levels
    # The mirror image of a cell, rather than the cell of -theta: they differ on the borders between cells.
    rows, columns = np.concatenate([y, size - 1 - y]), np.concatenate([x, size - 1 - x])
    cells, counts = np.unique(rows * size + columns, return_counts=True)
    if (counts > 1).any():
        row, column = divmod(int(cells[counts > 1][0]), size)
        raise ValueError(
            f"two filters fall in cell ({row}, {column}) of depth {levels}: use nominal frequencies, one a cell"
        )
    grid = np.full((size, size), np.nan)
    grid[rows, columns] = np.concatenate([values, values])
    return grid


def draw_cells(
    ax: Axes,
    values: ArrayLike,
    theta: ArrayLike,
    levels: int,
    *,
    vmin: float = 0,
    vmax: float | None = None,
    cmap: str = SEQUENTIAL,
    low_pass: bool = True,
) -> AxesImage:
    """Draw one value a filter at its characteristic frequency and its mirror image; darker is larger.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    values : array_like, shape (L,), real
        NaN leaves a cell light grey.
    theta : array_like, shape (L, 2)
        Vertical then horizontal, rad/sample, in [-pi, pi).
    levels : int
        Depth J.
    vmin : float
        Lower end of the colour scale.
    vmax : float, optional
        Its upper end, by default the largest value drawn.
    cmap : str
        Name of a colour map.
    low_pass : bool
        Hatch the four central cells, which are no band-pass measurements, and leave them out of the colour scale.

    Returns
    -------
    matplotlib.image.AxesImage
        For the colour bar.

    Raises
    ------
    TypeError, ValueError
        As `cell_grid`.
    """
    grid = cell_grid(values, theta, levels)
    if low_pass:
        centre = slice(2**levels - 1, 2**levels + 1)
        grid[centre, centre] = np.nan
        side = np.pi / 2**levels
        # Grey, not white: it must differ from a measured zero.
        style: Style = {"facecolor": NO_VALUE, "edgecolor": "0.35", "hatch": "////", "linewidth": 0.8}
        ax.add_patch(Rectangle((-side, -side), 2 * side, 2 * side, label="low-pass", **style))
    # An image and not a mesh: PDF viewers show hairlines between the cells of a mesh.
    return _draw_image(ax, grid, np.pi, (vmin, vmax), cmap, interpolation="nearest")


def draw_filters(ax: Axes, ds: xr.Dataset, values: ArrayLike, title: str, **options: Any) -> AxesImage:
    """Draw one value a filter of a heatmap dataset, under a title.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    ds : xarray.Dataset
        Coordinates `theta_y`, `theta_x` (rad/sample); attribute `levels`.
    values : array_like, shape (L,), real
    title : str
    **options
        vmin, vmax, cmap, low_pass: as in `draw_cells`.

    Returns
    -------
    matplotlib.image.AxesImage
        For the colour bar.
    """
    theta = np.stack([ds.theta_y.values, ds.theta_x.values], axis=-1)
    image = draw_cells(ax, values, theta, int(ds.attrs["levels"]), **options)
    ax.set_title(title, fontsize=11)
    return image


def draw_plane(
    ax: Axes,
    values: ArrayLike,
    *,
    vmax: float | None = None,
    cmap: str = SEQUENTIAL,
) -> AxesImage:
    """Draw a continuous map over the Fourier plane in the style of `draw_cells`.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    values : array_like, shape (P, P), real
        Samples at ``linspace(-pi, pi, P)`` along both axes, rows vertical; zero or positive.
    vmax : float, optional
        Upper end of the colour scale, which starts at 0. By default the largest value.
    cmap : str

    Returns
    -------
    matplotlib.image.AxesImage
        For the colour bar.

    Raises
    ------
    TypeError
        If the values are complex.
    ValueError
        If the values are not a square of at least 2x2.
    """
    values = np.asarray(values)
    if np.iscomplexobj(values):
        raise TypeError("values must be real; take the modulus of complex values")
    if values.ndim != 2 or values.shape[0] != values.shape[1] or values.shape[0] < 2:
        raise ValueError(f"values has shape {values.shape}; expected a square (P, P), P at least 2")
    border = np.pi * values.shape[0] / (values.shape[0] - 1)  # samples stand in the middle of their pixels
    return _draw_image(ax, values, border, (0, vmax), cmap)


def _draw_image(
    ax: Axes,
    values: NDArray[Any],
    border: float,
    limits: tuple[float, float | None],
    cmap: str,
    **options: Any,
) -> AxesImage:
    """Draw values from -border to border both ways; what is not finite is left grey."""
    image = ax.imshow(
        np.ma.masked_invalid(values),
        origin="lower",
        extent=(-border, border, -border, border),
        cmap=mpl.colormaps[cmap].with_extremes(bad=NO_VALUE),
        vmin=limits[0],
        vmax=_largest(values) if limits[1] is None else limits[1],
        **options,
    )
    frequency_plane(ax)
    return image


def _largest(values: NDArray[Any]) -> float:
    """Largest finite value, or 1 where that would make no colour scale."""
    finite = values[np.isfinite(values)]
    return float(finite.max()) if finite.size and finite.max() > 0 else 1.0
