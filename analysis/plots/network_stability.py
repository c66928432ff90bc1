"""Stability of networks under shifts: flips, divergence and accuracy by shift, and what stability costs."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from analysis.plots.style import Style, side_legend, styles, twin_style, whole_numbers


def trade_figure(comparison: xr.Dataset) -> Figure:
    """Flips against accuracy, if there are labels, and against time; one point a remedy, bars of one standard error.

    Parameters
    ----------
    comparison : xarray.Dataset
        Result of :func:`analysis.stability.experiment.compare_remedies`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    flips = comparison.flip_rate.sel(distance=1).mean("direction").values
    panels = {"time_added": "time added (%)"}
    if np.isfinite(comparison.top1).all():
        panels = {"top1": "top-1 accuracy, one crop (%)", **panels}
    across = _standard_errors(comparison, "flips_1px")
    right = 1.1 * max((flips + np.nan_to_num(across)).max(), 1)
    figure = Figure(figsize=(5.2 * len(panels), 4.4), layout="compressed")
    for ax, (variable, label) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        values, up = comparison[variable].values, _standard_errors(comparison, variable)
        ax.axvline(flips[0], color="0.8", linewidth=0.8, zorder=0)
        ax.axhline(values[0], color="0.8", linewidth=0.8, zorder=0)
        looks = styles(comparison.remedy.values.tolist(), reference=True)
        for (name, style), x, y, dx, dy in zip(looks.items(), flips, values, across, up, strict=True):
            look = style | {"linestyle": "none", "elinewidth": 0.8, "capsize": 2}
            ax.errorbar(x, y, dy, dx, markersize=8, label=name, **look)
        ax.set(xlabel="flips between windows one pixel apart (%)", ylabel=label, xlim=(0, right))
        ax.margins(y=0.12)
    points = [bars.lines[0] for bars in ax.get_legend_handles_labels()[0]]
    for point, name in zip(points, comparison.remedy.values, strict=True):
        point.set_label(name)
    side_legend(figure, points, "bars: ± 1 standard error" if np.isfinite(across).any() else None)
    return figure


def flip_figure(shifts: xr.Dataset, networks: Mapping[str, tuple[str, str]] | None = None) -> Figure:
    """Flip rate by distance, a panel a direction.

    Parameters
    ----------
    shifts : xarray.Dataset
        Result of :func:`analysis.stability.experiment.compare_remedies`, or of
        :func:`analysis.published.tables.archived_shifts`.
    networks : mapping of str to tuple of str, optional
        Networks to draw, with their twins and their pooling, by which they are told apart; by default all are drawn,
        the first in black.

    Returns
    -------
    matplotlib.figure.Figure
    """
    return _by_direction(shifts.flip_rate, networks, "distance of two windows (px)", "flips (%)")


def divergence_figure(shifts: xr.Dataset, networks: Mapping[str, tuple[str, str]] | None = None) -> Figure:
    """Kullback-Leibler divergence from the first window, a panel a direction.

    Parameters
    ----------
    shifts, networks
        As in `flip_figure`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    known = "t" in shifts.divergence.dims
    label = "shift (px)" if known else "step of the shift (size not recorded)"
    return _by_direction(shifts.divergence, networks, label, "KL divergence (nats)")


def accuracy_figure(comparison: xr.Dataset) -> Figure:
    """Accuracy along the diagonal of shifts, and against an adversary that chooses the shift.

    Parameters
    ----------
    comparison : xarray.Dataset
        Result of :func:`analysis.stability.experiment.compare_remedies`, with labels.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ValueError
        If it has no accuracy.
    """
    if "adversary" not in comparison:
        raise ValueError("the comparison has no accuracy by shift: it was made without labels")
    figure = Figure(figsize=(10.4, 4.4), layout="compressed")
    left, right = figure.subplots(1, 2)
    looks = styles(comparison.remedy.values.tolist(), reference=True)
    _draw_curves(left, comparison.diagonal, "remedy", looks)
    _draw_curves(right, comparison.adversary, "remedy", looks)
    left.set(xlabel="shift along the diagonal (px)", title="accuracy at every shift")
    right.set(xlabel="reach of the shift (px)", title="right at every shift up to the reach")
    for ax in (left, right):
        ax.set(ylabel="pictures (%)")
    side_legend(figure)
    return figure


def published_form_figure(comparison: xr.Dataset) -> Figure:
    """Flips and divergence in the published form, a panel a direction: the poster's protocol.

    Parameters
    ----------
    comparison : xarray.Dataset
        With ``flip_rate_published`` and ``divergence_published``.

    Returns
    -------
    matplotlib.figure.Figure
    """
    looks = styles(comparison.remedy.values.tolist(), reference=True)
    figure = Figure(figsize=(12.5, 7.4), layout="compressed")
    rows = {"flip_rate_published": "flips (%)", "divergence_published": "KL divergence (nats)"}
    panels = figure.subplots(2, comparison.sizes["direction"], sharey="row")
    for axes, (name, label) in zip(panels, rows.items(), strict=True):
        for ax, direction in zip(axes, comparison.direction.values, strict=True):
            _draw_curves(ax, comparison[name].sel(direction=direction), "remedy", looks)
            ax.set(xlabel="distance of two windows (px)" if "flip" in name else "shift (px)")
        axes[0].set(ylabel=label, ylim=(0, None))
    for ax, direction in zip(panels[0], comparison.direction.values, strict=True):
        ax.set_title(str(direction))
    side_legend(figure)
    return figure


def corruption_figure(comparison: xr.Dataset) -> Figure:
    """Error on each corruption, relative to the first network, and by severity.

    Parameters
    ----------
    comparison : xarray.Dataset
        With ``corruption_error`` (remedy, corruption, severity), per cent.

    Returns
    -------
    matplotlib.figure.Figure
    """
    errors = comparison.corruption_error
    names = [str(name).replace("_", " ") for name in errors.corruption.values]
    figure = Figure(figsize=(11.6, 5.2), layout="compressed")
    left, right = figure.subplots(1, 2, width_ratios=(1.6, 1))
    at = np.arange(len(names))[::-1]
    total = errors.sum("severity")
    looks = styles(errors.remedy.values.tolist(), reference=True)
    apart = np.linspace(0.3, -0.3, len(looks)) if len(looks) > 1 else [0.0]  # equal errors would hide each other
    for (name, look), up in zip(looks.items(), apart, strict=True):
        ratio = 100 * total.sel(remedy=name) / total.isel(remedy=0)
        left.plot(ratio, at + up, markersize=6, **look | {"linestyle": "none"})
    left.axvline(100, color="0.8", linewidth=0.8, zorder=0)
    left.set_yticks(at, names)
    left.set(xlabel=f"error relative to {errors.remedy.values[0]} (%)")
    left.hlines(at[:-1] - 0.5, 0, 1, transform=left.get_yaxis_transform(), color="0.92", linewidth=0.8)
    left.set_ylim(-0.6, len(names) - 0.4)
    _draw_curves(right, errors.mean("corruption"), "remedy", looks)
    right.set(xlabel="severity", ylabel="error, mean of the 15 corruptions (%)", ylim=(0, 101))
    side_legend(figure)
    return figure


def corruption_sheet(pictures: NDArray[np.uint8], names: Sequence[str], plain: NDArray[np.uint8]) -> Figure:
    """Contact sheet: a picture after every corruption, a row a kind, a column a severity.

    Parameters
    ----------
    pictures : ndarray, shape (kinds, severities, H, W, 3), uint8
    names : sequence of str
        Of the kinds.
    plain : ndarray, shape (H, W, 3), uint8
        The picture as it is, in the first column.

    Returns
    -------
    matplotlib.figure.Figure
    """
    kinds, severities = pictures.shape[:2]
    figure = Figure(figsize=(1.25 * (severities + 1) + 1.3, 1.29 * kinds + 0.3), layout="compressed")
    axes = figure.subplots(kinds, severities + 1, squeeze=False)
    for row, shown, name in zip(axes, pictures, names, strict=True):
        for ax, picture in zip(row, [plain, *shown], strict=True):
            ax.imshow(picture, interpolation="nearest")
            ax.set(xticks=[], yticks=[])
        row[0].set_ylabel(name.replace("_", "\n"), rotation=0, ha="right", va="center", fontsize=9)
    for ax, title in zip(axes[0], ["as it is", *(f"severity {s + 1}" for s in range(severities))], strict=True):
        ax.set_title(title, fontsize=9)
    return figure


def _by_direction(
    values: xr.DataArray, networks: Mapping[str, tuple[str, str]] | None, xlabel: str, ylabel: str
) -> Figure:
    """Curves of values (network, direction, along), a panel a direction."""
    (each,) = {"network", "remedy"} & set(values.dims)
    if networks is None:
        looks = styles(values[each].values.tolist(), reference=True)
    else:
        looks = {name: twin_style(*parts) for name, parts in networks.items()}
    figure = Figure(figsize=(12.5, 4.2), layout="compressed")
    directions = values.direction.values
    for ax, direction in zip(figure.subplots(1, len(directions), sharey=True), directions, strict=True):
        _draw_curves(ax, values.sel(direction=direction), each, looks)
        ax.set(title=str(direction), xlabel=xlabel)
        ax.label_outer()
    figure.axes[0].set(ylabel=ylabel, ylim=(0, None))  # shared; not before all curves are there
    side_legend(figure)
    return figure


def _draw_curves(ax: Axes, curves: xr.DataArray, each: Hashable, looks: Mapping[str, Style]) -> None:
    """Draw a line for each entry along a dimension, against the coordinate of the other one."""
    (along,) = set(curves.dims) - {each}
    for name, look in looks.items():
        ax.plot(curves[along], curves.sel({each: name}), markersize=4.5, label=name, **look)
    whole_numbers(ax)


def _standard_errors(comparison: xr.Dataset, name: str) -> NDArray[np.float64]:
    """Standard errors of a variable over photographs; NaN, which is not drawn, where it has none."""
    errors: xr.DataArray = comparison.get(f"{name}_se", comparison.time_added * np.nan)
    return errors.values
