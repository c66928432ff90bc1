"""Complex kernels in space (hue = phase, lightness = modulus) and in frequency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure, SubFigure
from numpy.typing import ArrayLike, NDArray

from analysis.plots.fourier_plane import draw_plane
from analysis.plots.style import GREEN, frequency_plane, spectrum, tiles
from wavelets import DualTreePackets2D

# Oklab (B. Ottosson, 2020): equal steps of hue and lightness look equal. At this lightness the circle of this chroma is
# just inside what a screen can show, for every hue.
LIGHTNESS, CHROMA = 0.76, 0.122
TO_LMS = np.array(
    [
        [1.0, 0.3963377774, 0.2158037573],
        [1.0, -0.1055613458, -0.0638541728],
        [1.0, -0.0894841775, -1.2914855480],
    ]
)
TO_RGB = np.array(
    [
        [4.0767416621, -3.3077115913, 0.2309699292],
        [-1.2684380046, 2.6097574011, -0.3413193965],
        [-0.0041960863, -0.7034186147, 1.7076147010],
    ]
)
ENERGY_KEPT = 0.98  # of every kernel along each axis, at least, when they are cropped


def phase_image(z: ArrayLike) -> NDArray[np.float64]:
    """Colour complex numbers: hue is the phase, lightness the modulus, black is zero.

    Parameters
    ----------
    z : array_like, shape (...), complex or real
        Scaled by its own largest modulus.

    Returns
    -------
    ndarray, shape (..., 3), float64
        sRGB in [0, 1]. Phase 0 is red, pi/2 yellow, pi cyan, -pi/2 violet, at one perceived lightness.

    Raises
    ------
    ValueError
        If a value is not finite.
    """
    z = np.asarray(z, dtype=np.complex128)
    if not np.isfinite(z).all():
        raise ValueError("z holds a value that is not finite")
    largest = np.abs(z).max(initial=0.0)
    z = z / largest if largest > 0 else z
    # A quarter of a right angle turns phase 0 to red.
    chroma = CHROMA * z * np.exp(1j * np.pi / 8)
    lab = np.stack([LIGHTNESS * np.abs(z), chroma.real, chroma.imag], axis=-1)
    linear: NDArray[np.float64] = np.clip((lab @ TO_LMS.T) ** 3 @ TO_RGB.T, 0.0, 1.0)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def kernels_in_space(
    kernels: ArrayLike,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    *,
    crop: bool = False,
) -> Figure:
    """Draw kernels as images, each scaled by its own maximum, with a colour key.

    Parameters
    ----------
    kernels : array_like, shape (n, K, K) or (K, K), complex or real
        Rows run downwards, as in a photograph.
    titles : sequence of str, optional
        One a kernel.
    columns : int, optional
        Tiles in a row; by default a grid a little wider than high, of at most 8.
    crop : bool
        Show only the window that holds the energy, of one size for all and centred on each: packets are mostly zero.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no kernel, the shape is wrong, a value is not finite, or the number of titles differs.
    """
    kernels = _crop(_stack(kernels)) if crop else _stack(kernels)
    figure, axes = _tiles(len(kernels), titles, columns, key=True)
    height, width = kernels.shape[1:]
    for ax, kernel in zip(axes, kernels, strict=True):
        ax.imshow(phase_image(kernel), extent=(-0.5, width - 0.5, height - 0.5, -0.5))
        ax.set(xticks=[0, width - 1], yticks=[0, height - 1])
    _label_first_column(axes, "x (pixels)", "y (pixels)")
    return figure


def kernels_in_frequency(kernels: ArrayLike, theta: ArrayLike | None = None, size: int = 129) -> Figure:
    """Draw the modulus of the spectra of correlation kernels, each scaled by its own maximum, black = 0.

    Parameters
    ----------
    kernels : array_like, shape (n, K, K) or (K, K), complex or real
    theta : array_like, shape (n, 2), optional
        Characteristic frequencies, vertical then horizontal, rad/sample: marked with a cross.
    size : int
        Frequencies along each axis, from -pi to pi; zero is in the middle when it is odd.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If there is no kernel, a shape is wrong, a value is not finite, or `size` is below 2.
    """
    kernels = _stack(kernels)
    if size < 2:
        raise ValueError(f"size is {size}; expected at least 2 frequencies along each axis")
    if theta is not None and np.shape(theta) != (len(kernels), 2):
        raise ValueError(f"theta has shape {np.shape(theta)}; expected ({len(kernels)}, 2), one row a kernel")
    omega = np.linspace(-np.pi, np.pi, size)
    figure, axes = _tiles(len(kernels), None, None, key=False)
    for index, (ax, kernel) in enumerate(zip(axes, kernels, strict=True)):
        modulus = np.abs(spectrum(kernel, omega, omega))
        shown = draw_plane(ax, modulus / (modulus.max() or 1.0), vmax=1, cmap="gray")
        if theta is not None:
            y, x = np.asarray(theta)[index]
            ax.plot(x, y, "x", color=GREEN, markersize=7, markeredgewidth=2)
        for set_ticks in (ax.set_xticks, ax.set_yticks):
            set_ticks([-np.pi, 0, np.pi], ["−π", "0", "π"])
    _label_first_column(axes, axes[0].get_xlabel(), axes[0].get_ylabel())
    figure.colorbar(shown, ax=axes, label="|spectrum| / its maximum", shrink=0.8)
    return figure


def quadrant_figure(transform: DualTreePackets2D) -> Figure:
    r"""Draw all filters of a transform, each at its place in the half-plane :math:`\omega_x \ge 0`.

    Parameters
    ----------
    transform : DualTreePackets2D
        Legible for up to 3 levels.

    Returns
    -------
    matplotlib.figure.Figure
        Rows of the kernels run upwards, so that each wave travels towards its own place in the plane. All kernels are
        cropped to windows of one size, centred on their energy.
    """
    levels, side = transform.levels, np.pi / 2**transform.levels
    kernels = _crop(transform.kernels())
    figure = Figure(figsize=(6.6, 9.5) if levels < 3 else (8.5, 13), layout="constrained")
    ax, key = figure.subplots(1, 2, width_ratios=[5, 1])
    for kernel, (y, x) in zip(kernels, transform.frequencies, strict=True):
        half = 0.48 * side  # a little less than half a cell: white lines in between
        ax.imshow(phase_image(kernel), origin="lower", extent=(x - half, x + half, y - half, y + half))
    frequency_plane(ax, low=(-np.pi, 0.0))
    height, width = kernels.shape[1:]
    ax.set_title(f"filters {transform.bank.name}, J = {levels}: {height}×{width} pixels each, y upwards", fontsize=11)
    _draw_key(key)
    key.set_anchor("N")
    return figure


def _crop(kernels: NDArray[Any]) -> NDArray[Any]:
    """Cut windows of one size from kernels (n, K, K), each centred on its energy."""
    energy = np.abs(kernels) ** 2
    n = np.arange(max(kernels.shape[1:]))
    centres, half = [], 0
    for axis in (1, 2):
        profile = energy.sum(axis=3 - axis)
        total = profile.sum(axis=1)
        offsets = n[: profile.shape[1]]
        centre = np.rint(profile @ offsets / np.where(total > 0, total, 1)).astype(int)
        distance = np.abs(offsets - centre[:, None])
        while ((profile * (distance <= half)).sum(axis=1) < ENERGY_KEPT * total).any():
            half += 1
        centres.append(centre)
    padded = np.pad(kernels, ((0, 0), (half, half), (half, half)))
    size = 2 * half + 1
    return np.stack([k[y : y + size, x : x + size] for k, y, x in zip(padded, *centres, strict=True)])


def _stack(kernels: ArrayLike) -> NDArray[Any]:
    kernels = np.asarray(kernels)
    kernels = kernels[None] if kernels.ndim == 2 else kernels
    if kernels.ndim != 3 or 0 in kernels.shape:
        raise ValueError(f"kernels have shape {kernels.shape}; expected (n, K, K) with at least one kernel")
    if not np.isfinite(kernels).all():
        raise ValueError("kernels hold a value that is not finite")
    return kernels


def _tiles(count: int, titles: Sequence[str] | None, columns: int | None, key: bool) -> tuple[Figure, list[Axes]]:
    """Axes of `count` tiles in rows, and a column for the colour key."""
    if titles is not None and len(titles) != count:
        raise ValueError(f"there are {len(titles)} titles for {count} kernels; expected one each")
    if columns is not None and columns < 1:
        raise ValueError(f"columns is {columns}; expected at least 1")
    columns = min(count, columns or min(8, max(4, int(np.ceil(np.sqrt(1.5 * count))))))
    rows = -(-count // columns)
    side = 9 / max(columns, 4)
    figure = Figure(figsize=(1.5 + side * columns, 0.5 + side * rows * 1.1), layout="constrained")
    parent: Figure | SubFigure = figure
    if key:
        parent, right = figure.subfigures(1, 2, squeeze=False, width_ratios=[side * columns, 1.5])[0]
        _draw_key(right.add_subplot())
    axes = tiles(parent, count, columns)
    for ax, title in zip(axes, titles or (), strict=False):
        ax.set_title(title, fontsize=10)
    return figure, axes


def _label_first_column(axes: Sequence[Axes], xlabel: str, ylabel: str) -> None:
    """Label the lower left tile only: all tiles share its axes."""
    grid = axes[0].get_gridspec()
    columns = 1 if grid is None else grid.ncols
    corner = (len(axes) - 1) // columns * columns
    for index, ax in enumerate(axes):
        ax.set(xlabel=xlabel if index == corner else "", ylabel=ylabel if index == corner else "")
        if index != corner:
            ax.tick_params(labelleft=False, labelbottom=False)


def _draw_key(ax: Axes) -> None:
    """Draw the unit disc in its colours: angle = phase, radius = modulus."""
    line = np.linspace(-1, 1, 201)
    z = line + 1j * line[:, None]
    inside = np.abs(z) <= 1
    rgba = np.dstack([phase_image(np.where(inside, z, 0)), inside])
    ax.imshow(rgba, origin="lower", extent=(-1, 1, -1, 1))
    ax.set_axis_off()
    for text, x, y in (("0", 1.3, 0), ("π/2", 0, 1.25), ("π", -1.3, 0), ("−π/2", 0, -1.25)):
        ax.text(x, y, text, ha="center", va="center", fontsize=9)
    ax.set(xlim=(-1.6, 1.6), ylim=(-1.9, 1.9))
    ax.set_title("phase; centre: 0,\nrim: maximum", fontsize=9)
