"""Figures of a network before and after remedies."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from analysis.plots import trade_figure

NAMES = ["plain", "blur3", "cmod"]


@pytest.fixture
def comparison():
    values = {
        "flip_rate": (("remedy", "direction", "distance"), np.array([10.0, 6, 30])[:, None, None] * np.ones((3, 2, 2))),
        "top1": ("remedy", [60.0, 50, 10]),
        "time_added": ("remedy", [0.0, 5, 20]),
    }
    return xr.Dataset(values, {"remedy": NAMES, "distance": [1, 2], "direction": ["right", "down"]})


def bars(ax):
    """Ends of the error bars that are drawn, (x, y) each."""
    return [bar for lines in ax.collections for bar in lines.get_segments() if np.isfinite(bar).all() and len(bar)]


def test_error_bars_are_one_standard_error_to_each_side(comparison):
    errors = {"top1_se": ("remedy", [2.0, 3, 1]), "flips_1px_se": ("remedy", [1.0, 0.5, 9])}
    figure = trade_figure(comparison.assign(errors))
    accuracy, time = figure.axes
    for name, x, y, dx, dy in zip(NAMES, (10, 6, 30), (60, 50, 10), (1, 0.5, 9), (2, 3, 1), strict=True):
        for end in ([(x - dx, y), (x + dx, y)], [(x, y - dy), (x, y + dy)]):
            assert any(np.allclose(bar, end) for bar in bars(accuracy)), name
    assert len(bars(time)) == 3  # of flips; the time has no standard error
    assert accuracy.get_xlim()[1] > 39
    (legend,) = figure.legends
    assert legend.get_title().get_text() == "bars: ± 1 standard error"
    assert [text.get_text() for text in legend.get_texts()] == NAMES


def test_without_standard_errors_there_are_no_bars(comparison):
    figure = trade_figure(comparison)
    assert not any(bars(ax) for ax in figure.axes)
    assert "bars" not in figure.legends[0].get_title().get_text()
