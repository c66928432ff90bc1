"""Kernels of a trained first layer: mosaics, points in the Fourier plane, predictions, ranking, cards."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike, NDArray

from analysis.plots.fourier_plane import draw_plane
from analysis.plots.kernels import phase_image
from analysis.plots.style import (
    BLACK,
    BLUE,
    COLOURS,
    GREEN,
    ORANGE,
    SKY,
    VERMILION,
    Style,
    colour_bar,
    equality_line,
    legend_entry,
    shift_names,
    spectrum,
)

KIND_COLOURS = {"band-pass": SKY, "blob": ORANGE, "low-pass": GREEN}
KIND_LINES = {"band-pass": BLUE, "blob": VERMILION, "low-pass": GREEN}  # darker, for lines
KIND_HATCHES = {"band-pass": "", "blob": "///", "low-pass": "..."}
KIND_MARKERS = {"band-pass": "o", "blob": "s", "low-pass": "D"}
FOURIER_POINTS = 65  # as the poster
COLUMNS = 8

CORNERS = ((1, 1), (1, -1), (-1, 1), (-1, -1))
"""Of a point, where its number may stand."""


def kernel_image(kernel: ArrayLike) -> NDArray[np.float64]:
    """One kernel as a picture: scaled by its own largest weight, zero is mid-grey.

    Parameters
    ----------
    kernel : array_like, shape (3, h, w) or (1, h, w), real
        Channels R, G, B, or one that is shown as grey.

    Returns
    -------
    ndarray, shape (h, w, 3), float64
        In [0, 1].

    Raises
    ------
    ValueError
        If the shape is another one.
    """
    v = np.asarray(kernel, dtype=np.float64)
    if v.ndim != 3 or v.shape[0] not in (1, 3):
        raise ValueError(f"kernel has shape {v.shape}; expected (3, h, w) or (1, h, w)")
    peak = np.abs(v).max()
    image = 0.5 + 0.5 * v / peak if peak > 0 else np.full_like(v, 0.5)
    return np.broadcast_to(image.transpose(1, 2, 0), (*v.shape[1:], 3)).copy()


def fourier_image(kernel: ArrayLike, points: int = FOURIER_POINTS) -> NDArray[np.float64]:
    """Modulus of the spectrum of one kernel, colour by colour: scaled by its maximum, zero is black.

    Parameters
    ----------
    kernel : array_like, shape (3, h, w) or (1, h, w), real
    points : int
        Frequencies along each axis.

    Returns
    -------
    ndarray, shape (points, points, 3), float64
        Zero frequency in the middle for odd `points`; the vertical frequency rises from row to row.
    """
    omega = 2 * np.pi * (np.arange(points) - points // 2) / points
    modulus = np.abs(spectrum(kernel, omega, omega))
    peak = modulus.max()
    image = modulus / peak if peak > 0 else modulus
    return np.broadcast_to(image.transpose(1, 2, 0), (points, points, 3)).copy()


def mosaic_figure(weight: ArrayLike, title: str = "") -> Figure:
    """All kernels of a layer in colour (poster, Fig. 1, left), each scaled by itself, zero is mid-grey.

    Parameters
    ----------
    weight : array_like, shape (L, C, h, w), real
        C = 1 or 3 (R, G, B).
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    weight = np.asarray(weight)
    height, width = weight.shape[-2:]
    return _tiled([kernel_image(v) for v in weight], f"{title}: {height}×{width} pixels, zero is mid-grey", "upper")


def fourier_figure(weight: ArrayLike, title: str = "", points: int = FOURIER_POINTS) -> Figure:
    """Spectra of all kernels of a layer (poster, Fig. 1, right), colour by colour, each scaled by its maximum.

    Parameters
    ----------
    weight : array_like, shape (L, C, h, w), real
    title : str
    points : int
        Frequencies along each axis.

    Returns
    -------
    matplotlib.figure.Figure
    """
    images = [fourier_image(v, points) for v in np.asarray(weight)]
    return _tiled(images, f"{title}: |V̂| of each colour, −π to π, y upwards", "lower", 6.4)


def kernel_plane_figure(table: xr.Dataset, gamma: ArrayLike, labels: int = 8) -> Figure:
    r"""Kernels as points in the Fourier plane, over gamma_1(m theta), sized by the energy in their window.

    Parameters
    ----------
    table : xarray.Dataset
        Result of `kernel_table` or `describe_kernels`.
    gamma : array_like, shape (P, P)
        See :func:`analysis.gamma_map`.
    labels : int
        Name this many kernels with the largest shares of the layer's change, where that was measured.

    Returns
    -------
    matplotlib.figure.Figure
        A real kernel has two opposite peaks: the one of the half-plane theta_x >= 0 is filled.
    """
    figure = Figure(figsize=(7.8, 6.2), layout="compressed")
    ax = figure.subplots()
    name = gamma_name(table)
    colour_bar(ax, draw_plane(ax, gamma), f"{name}(mθ)")
    kinds = table.kind.values
    for kind, colour in KIND_COLOURS.items():
        chosen = kinds == kind
        y, x = table.theta_y.values[chosen], table.theta_x.values[chosen]
        area = _area(table.energy_in_window.values[chosen])
        style: Style = {"marker": KIND_MARKERS[kind], "linewidth": 0.9, "zorder": 3}
        ax.scatter(x, y, area, facecolor=colour, edgecolor=BLACK, **style)
        ax.scatter(-x, -y, area, facecolor="none", edgecolor=colour, alpha=0.8, **style)
    numbers = ""
    if labels and "rank" in table:
        numbers = "; numbers: largest shares of the layer's change"
        halo = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.75}
        text: Style = {"textcoords": "offset points", "fontsize": 9, "bbox": halo, "zorder": 4, "clip_on": True}
        placed = np.full((1, 2), np.inf)
        for index in np.flatnonzero((table["rank"].values >= 1) & (table["rank"].values <= labels)):
            at = np.array([table.theta_x.values[index], table.theta_y.values[index]])
            # Of four corners the one that is farthest from the numbers before.
            corner = max(CORNERS, key=lambda side: np.hypot(*(placed - at - 0.3 * np.array(side)).T).min())
            placed = np.vstack([placed, at + 0.3 * np.array(corner)])
            text |= {"ha": "left" if corner[0] > 0 else "right", "va": "bottom" if corner[1] > 0 else "top"}
            ax.annotate(str(index), (at[0], at[1]), (7 * corner[0], 5 * corner[1]), **text)
    edged: Style = {"linestyle": "", "markeredgecolor": BLACK}
    handles = [
        legend_entry(kind, marker=KIND_MARKERS[kind], color=colour, **edged)
        for kind, colour in KIND_COLOURS.items()
        if (kinds == kind).any()
    ]
    handles += [
        legend_entry(f"{part:.0%} in B(θ, π/2m)", marker="o", color="white", markersize=_area(part) ** 0.5, **edged)
        for part in (0.25, 0.5, 0.75)
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, fontsize=9)
    title = f"{table.attrs['layer']}\nkernels over {name}(mθ), m = {table.attrs['stride']}{numbers}"
    ax.set_title(title, fontsize=10, parse_math=False)
    return figure


def kernel_prediction_figure(table: xr.Dataset) -> Figure:
    """Predicted against measured: discrepancy by gamma and from the spectrum, and the change of RMax and CMod.

    Parameters
    ----------
    table : xarray.Dataset
        Result of `kernel_table`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(15, 4.9), layout="compressed")
    axes = figure.subplots(1, 3)
    rho = table.rho_rms.values
    kinds = table.kind.values
    for ax, predicted, label in (
        (axes[0], table.gamma.values, f"{gamma_name(table)}(mθ), the limit of vanishing bandwidth"),
        (axes[1], table.predicted_rho.values, "ρ predicted from the spectrum (band-pass kernels)"),
    ):
        shown = np.concatenate([predicted, rho])[np.tile(np.isfinite(predicted) & np.isfinite(rho), 2)]
        _diagonal(ax, shown)
        for kind, colour in KIND_COLOURS.items():
            chosen = (kinds == kind) & np.isfinite(predicted)
            if chosen.any():
                style: Style = {"marker": KIND_MARKERS[kind], "edgecolor": BLACK, "linewidth": 0.6}
                area = _area(table.energy_in_window.values[chosen]) / 2
                ax.scatter(predicted[chosen], rho[chosen], area, color=colour, label=kind, **style)
        ax.set(xlabel=label, ylabel="ρ measured (rms)")
        if ax.collections:
            ax.legend(fontsize=9, loc="lower right")
    ax = axes[2]
    _diagonal(ax, np.concatenate([table.eta_rmax_rms.values.ravel(), table.predicted_eta_rmax.values.ravel()]))
    for s, shift in enumerate(shift_names(table)):
        colour = COLOURS[s % len(COLOURS)]
        for operator, marker, face in (("RMax", "o", colour), ("CMod", "^", "none")):
            name = f"eta_{operator.lower()}"
            predicted, measured = table[f"predicted_{name}"].values[:, s], table[f"{name}_rms"].values[:, s]
            look: Style = {"color": colour, "markerfacecolor": face, "markersize": 5, "alpha": 0.8}
            ax.plot(predicted, measured, marker, label=f"{operator}, u = {shift}", **look)
    ax.set(xlabel="η predicted on a Gaussian field", ylabel="η measured (rms)")
    ax.legend(fontsize=9, loc="upper left")
    figure.suptitle(f"{table.attrs['layer']}, {table.attrs['images_used']} images", parse_math=False)
    return figure


def ranking_figure(table: xr.Dataset) -> Figure:
    """Share of the layer's change that each kernel makes, and below the relative changes, in the order of the shares.

    Parameters
    ----------
    table : xarray.Dataset
        Result of `kernel_table`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rank = table["rank"].values
    order = np.argsort(np.where(rank > 0, rank, np.inf))[: int((rank > 0).sum())]
    figure = Figure(figsize=(max(8.0, 1.6 + 0.2 * len(order)), 6.6), layout="constrained")
    top, ax = figure.subplots(2, 1, sharex=True)
    x = np.arange(len(order))
    rmax, cmod, output = (table[f"eta_{name}"].mean("shift").values[order] for name in ("rmax", "cmod", "output"))
    share, error = (100 * table[name].values[order] for name in ("share_of_change", "share_of_change_stderr"))
    kinds = table.kind.values[order]
    for kind, colour in KIND_COLOURS.items():
        chosen = kinds == kind
        if chosen.any():
            style: Style = {"color": colour, "hatch": KIND_HATCHES[kind], "edgecolor": "white", "linewidth": 0}
            top.bar(
                x[chosen],
                share[chosen],
                yerr=error[chosen],
                ecolor=BLACK,
                error_kw={"elinewidth": 1},
                label=kind,
                **style,
            )
            ax.bar(x[chosen], rmax[chosen], label=f"RMax, {kind}", **style)
    ax.plot(x, cmod, "o", color=BLACK, markersize=3.5, label="CMod")
    ax.plot(x, output, "D", color=BLACK, markersize=4, markerfacecolor="white", label="output")
    ax.set_xticks(x, [str(i) for i in order], rotation=90, fontsize=7)
    shifts = " and ".join(shift_names(table))
    ax.set(xlabel="kernel", ylabel=f"η, mean over u = {shifts} px", xlim=(-0.8, len(order) - 0.2))
    top.set(ylabel="share of the output's change (%)")
    top.set_title(f"{table.attrs['layer']}: which kernels make the layer jumpy", fontsize=11, parse_math=False)
    beside = {"fontsize": 9, "loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}  # where it hides no point
    if len(order):
        top.legend(**beside)
    ax.legend(**beside)
    return figure


def grids_figure(compared: xr.Dataset, kind: ArrayLike) -> Figure:
    """Dependence of W, the discrepancy and the change of CMod on the grid of the Hilbert transform.

    Parameters
    ----------
    compared : xarray.Dataset
        Result of :func:`analysis.kernels.compare_grids`.
    kind : array_like of str, shape (L,)
        Classes of the kernels.

    Returns
    -------
    matplotlib.figure.Figure
        Changes relative to the grid of the picture, median and largest of each class.
    """
    kind = np.asarray(kind)
    last = compared.isel(grid=-1)
    panels = {
        "W, relative distance": compared.filter_change.values,
        "ρ, relative change": np.abs(compared.rho_rms / last.rho_rms - 1).values,
        "η of CMod, largest relative change": np.abs(compared.eta_cmod_rms / last.eta_cmod_rms - 1).max("shift").values,
    }
    names = [f"{side}" for side in compared.grid.values[:-1]]
    figure = Figure(figsize=(13, 3.9), layout="compressed")
    for ax, (label, values) in zip(figure.subplots(1, 3), panels.items(), strict=True):
        for name, marker in KIND_MARKERS.items():
            chosen = values[:-1][:, kind == name]
            if chosen.size:
                style: Style = {"color": KIND_LINES[name], "marker": marker, "markersize": 5}
                ax.plot(names, np.median(chosen, axis=1), **style, label=f"{name}, median")
                ax.plot(names, chosen.max(axis=1), **style, linestyle=":", label=f"{name}, largest")
        ax.set(yscale="log", xlabel="side of the grid (pixels)", ylabel=label)
        ax.legend(fontsize=8)
    return figure


def card_figure(kernel: ArrayLike, w: ArrayLike, fitted: ArrayLike, row: Mapping[str, Any], stride: int) -> Figure:
    r"""One kernel: in colour, as complex filter, in frequency, its Gabor fit, and its numbers.

    Parameters
    ----------
    kernel : array_like, shape (C, h, w), real
    w : array_like, shape (N, N), complex
        Complex filter of its first colour.
    fitted : array_like, shape (h, w), real
        Gabor fit of its first colour.
    row : mapping of str to object
        Its row of the kernel table.
    stride : int
        m, pixels.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(14, 3.1), layout="compressed")
    axes = figure.subplots(1, 5)
    axes[0].imshow(kernel_image(kernel))
    axes[0].set_title(f"kernel {row['index']}: {row['kind']}", fontsize=10)
    axes[1].imshow(phase_image(filter_crop(w, np.shape(kernel)[-2:])))
    axes[1].set_title("W = V + iH(V): hue is phase", fontsize=10)
    draw_filter_spectrum(axes[2], w, (float(row["theta_y"]), float(row["theta_x"])), stride)
    axes[3].imshow(kernel_image(np.asarray(fitted)[None]))
    axes[3].set_title(f"Gabor fit, $R^2$ = {row['gabor_r2']:.2f}", fontsize=10)
    for ax in (axes[0], axes[1], axes[3]):
        ax.set(xticks=[], yticks=[])
    axes[4].set_axis_off()
    axes[4].text(0, 1, "\n".join(_lines(row)), va="top", fontsize=9, family="monospace", transform=axes[4].transAxes)
    return figure


def filter_crop(w: ArrayLike, shape: tuple[int, int]) -> NDArray[np.complex128]:
    """Middle of a complex filter, twice the size of its kernel: what lies farther out is too faint to be seen.

    Parameters
    ----------
    w : array_like, shape (N, N), complex
    shape : (int, int)
        Of the kernel.

    Returns
    -------
    ndarray, complex
    """
    w = np.asarray(w)
    cuts = [max(0, (n - 2 * k) // 2) for n, k in zip(w.shape, shape, strict=True)]
    return w[cuts[0] : w.shape[0] - cuts[0], cuts[1] : w.shape[1] - cuts[1]]


def draw_filter_spectrum(ax: Axes, w: ArrayLike, theta: tuple[float, float], stride: int) -> None:
    r"""Draw the modulus of a filter's spectrum with theta and the square :math:`B_\infty(\theta, \pi/2m)`.

    Parameters
    ----------
    ax : matplotlib.axes.Axes
    w : array_like, shape (N, N), complex
    theta : (float, float)
        Vertical then horizontal, rad/sample; also its opposite is looked at, and that with more energy is marked.
    stride : int
        m, pixels.
    """
    omega = np.linspace(-np.pi, np.pi, 129)
    draw_plane(ax, np.abs(spectrum(w, omega, omega)), cmap="gray")
    here, there = (np.abs(spectrum(w, [t[0]], [t[1]])).item() for t in (theta, (-theta[0], -theta[1])))
    y, x = theta if here >= there else (-theta[0], -theta[1])
    side = np.pi / stride
    ax.add_patch(Rectangle((x - side / 2, y - side / 2), side, side, fill=False, edgecolor=ORANGE, linewidth=1.4))
    ax.plot(x, y, "+", color=GREEN, markersize=9, markeredgewidth=2)
    ax.set_title("|Ŵ|, θ and B(θ, π/2m)", fontsize=10)


def gamma_name(table: xr.Dataset) -> str:
    """Symbol of gamma with the half-width of the layer's pooling window as its index."""
    return "γ" + str(table.attrs["q"]).translate(str.maketrans("0123456789", "₀₁₂₃₄₅₆₇₈₉"))


def _lines(row: Mapping[str, Any]) -> list[str]:
    """Numbers of one kernel, as text."""
    return [
        f"θ/π      ({row['theta_y'] / np.pi:.2f}, {row['theta_x'] / np.pi:.2f})",
        f"λ        {row['wavelength']:.1f} px at {row['orientation']:.0f}°",
        f"κ/π      {row['bandwidth'] / np.pi:.2f}",
        f"in B     {row['energy_in_window']:.0%}",
        f"1 colour {row['monochrome']:.0%}",
        f"γ(mθ)    {row['gamma']:.3f}",
        *(
            f"{label:<8} {row[name]:.3f}"
            for name, label in (
                ("rho", "ρ"),
                ("predicted_rho", "ρ predicted"),
                ("eta_rmax", "η RMax"),
                ("eta_cmod", "η CMod"),
            )
            if name in row and np.isfinite(row[name])
        ),
    ]


def _area(part: ArrayLike) -> NDArray[np.float64]:
    """Area of a marker, points squared."""
    return np.asarray(12 + 150 * np.asarray(part, dtype=np.float64))


def _diagonal(ax: Axes, shown: NDArray[np.float64]) -> None:
    """Line of equality, and limits that hold the values shown, the same along both axes."""
    finite = shown[np.isfinite(shown)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 1.0)
    pad = 0.08 * (high - low) or 0.1
    equality_line(ax, max(0.0, low - pad), high + pad)


def _tiled(
    images: list[NDArray[np.float64]], title: str, origin: Literal["upper", "lower"], width: float = 8.2
) -> Figure:
    """Pictures of one size in rows of ``COLUMNS``, with their numbers: one image, which is drawn at once."""
    rows = -(-len(images) // COLUMNS)
    height, wide = images[0].shape[:2]
    tile = (width - 0.1) / COLUMNS  # inches, with the gap to the next
    label = 0.14 + 0.04 * tile
    # Numbers have a place of their own above each picture: positions are in pixels of the pictures.
    pixel = 0.94 * tile / max(height, wide)
    step_y, step_x = height + label / pixel, tile / pixel
    figure = Figure(figsize=(width, 0.4 + rows * step_y * pixel))
    frame = (0.05 / width, 0.0, 1 - 0.1 / width, 1 - 0.36 / figure.get_figheight())
    ax = figure.add_axes(frame, xlim=(0, COLUMNS * step_x), ylim=(rows * step_y, 0))
    ax.set_axis_off()
    for index, image in enumerate(images):
        row, column = divmod(index, COLUMNS)
        x, y = (column + 0.5) * step_x, (row + 1) * step_y - 0.02 * height
        shown = image if origin == "upper" else image[::-1]
        ax.imshow(shown, extent=(x - wide / 2, x + wide / 2, y, y - height), interpolation="nearest")
        ax.text(x, y - 1.02 * height, str(index), fontsize=7, ha="center", va="bottom")
    ax.set(xlim=(0, COLUMNS * step_x), ylim=(rows * step_y, 0), aspect="auto")
    figure.suptitle(title, fontsize=11, parse_math=False, y=1 - 0.06 / figure.get_figheight(), va="top")
    return figure
