"""Reasons why fine kernels are jumpy although gamma is low: a shift moves their phase, and gamma knows no shift."""

from __future__ import annotations

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from analysis.plots.style import BLACK, BLUE, SEQUENTIAL, VERMILION, shift_names, side_bar

ALONG = 0.85  # cosine between theta and the shift: a kernel whose wave moves along it


def phase_advance_figure(table: xr.Dataset) -> Figure:
    r"""Two kernels' waves before and after a shift, and the change of all kernels against the advance of their phase.

    Parameters
    ----------
    table : xarray.Dataset
        Result of `kernel_table`.

    Returns
    -------
    matplotlib.figure.Figure
        Left, the responses of a coarse and of a fine kernel along the shift, which max pooling samples at q' m; right,
        the change of RMax of every band-pass kernel and shift against :math:`|\langle\theta,u\rangle|`, coloured by
        gamma.
    """
    figure = Figure(figsize=(12.6, 4.3))
    waves = [figure.add_axes((0.045, bottom, 0.42, 0.32)) for bottom in (0.6, 0.13)]
    ax = figure.add_axes((0.545, 0.13, 0.355, 0.76))
    band = np.flatnonzero(table.kind.values == "band-pass")
    u = np.stack([table.shift_y.values, table.shift_x.values])
    advance = np.abs(np.stack([table.theta_y.values, table.theta_x.values], axis=-1) @ u)
    if band.size and u.size:
        length = float(np.hypot(*u[:, 0]))
        for wave, kernel in zip(waves, _examples(table, band, advance[:, 0], length), strict=True):
            _wave(wave, table, kernel, length, advance[:, 0])
    waves[0].legend(fontsize=8, loc="lower left", ncols=2, framealpha=0.9)
    waves[1].set_xlabel(
        f"place along the shift (pixels); points: what the window sees, m = {table.attrs['stride']} apart"
    )
    _changes(ax, table, band, advance)
    return figure


def _examples(table: xr.Dataset, band: np.ndarray, advance: np.ndarray, length: float) -> tuple[int, int]:
    """Kernels whose waves move along the first shift: the coarsest, and the jumpiest of those of low gamma."""
    size = np.hypot(table.theta_y.values, table.theta_x.values)[band] * length
    along = band[advance[band] >= ALONG * size]
    along = along if along.size else band
    gamma = table.gamma.values[along]
    low = along[gamma <= np.median(gamma)]
    return int(along[np.argmin(advance[along])]), int(low[np.nanargmax(table.eta_rmax.values[low, 0])])


def _wave(ax: Axes, table: xr.Dataset, kernel: int, length: float, advance: np.ndarray) -> None:
    """Draw one kernel's response as a wave along the shift, before and after, and the samples of one window."""
    stride, q = int(table.attrs["stride"]), int(table.attrs["q"])
    frequency = advance[kernel] / length if length else 0.0
    places = stride * np.arange(2 * q + 1)
    x = np.linspace(-0.5, places[-1] + 0.5, 400)
    for shift, colour, marker, name in ((0.0, BLUE, "o", "before"), (length, VERMILION, "^", "after the shift")):
        ax.plot(x, np.cos(frequency * (x - shift)), color=colour, linewidth=1.4, label=name)
        samples = np.cos(frequency * (places - shift))
        ax.plot(places, samples, marker, color=colour, markersize=7, markeredgecolor=BLACK)
    gamma = float(table.gamma.values[kernel])
    eta = float(table.eta_rmax.values[kernel, 0])
    ax.set(ylim=(-1.5, 1.25), yticks=[-1, 0, 1], ylabel="response")
    ax.set_title(
        f"kernel {kernel}, wavelength {table.wavelength.values[kernel]:.1f} px: {length:g} px is "
        f"{advance[kernel]:.2f} rad; γ = {gamma:.2f}, RMax changes by {100 * eta:.0f} %",
        fontsize=10,
    )


def _changes(ax: Axes, table: xr.Dataset, band: np.ndarray, advance: np.ndarray) -> None:
    """Draw the change of every band-pass kernel under every shift against the advance of its phase."""
    x, rmax, cmod = (values[band].ravel() for values in (advance, table.eta_rmax.values, table.eta_cmod.values))
    gamma = np.repeat(table.gamma.values[band], advance.shape[1])
    known = np.isfinite(x) & np.isfinite(rmax)
    ax.plot(x[known], cmod[known], "x", color="0.45", markersize=5, label="CMod")
    points = ax.scatter(
        x[known], rmax[known], 42, c=gamma[known], cmap=SEQUENTIAL, vmin=0, edgecolor=BLACK, linewidth=0.6, label="RMax"
    )
    side_bar(ax, points, "γ(mθ) of the kernel")
    title = "change follows the phase that a shift moves"
    if known.sum() > 3:
        from scipy.stats import spearmanr  # half a second to import

        with np.errstate(invalid="ignore"):
            by_phase, by_gamma = (spearmanr(values[known], rmax[known]).statistic for values in (x, gamma))
        title += f"\nrank correlation of η of RMax: {by_phase:.2f} with the advance, {by_gamma:.2f} with γ".replace(
            "-", "−"
        )
    ax.set_title(title, fontsize=10)
    ax.set(xlabel="advance of the phase |⟨θ, u⟩| (rad)", ylabel="change η", xlim=(0, None), ylim=(0, None))
    ax.legend(fontsize=9, loc="upper left", title=f"u = {' and '.join(shift_names(table))} px", title_fontsize=8)
