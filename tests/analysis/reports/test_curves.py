"""Curves of a page, and what the page of a network's stability says in words."""

from __future__ import annotations

import re

import numpy as np
import pytest
import xarray as xr

from analysis.plots.style import styles
from analysis.reports.curves import SIDE, TALL, chart

NAMES = ["plain", *(f"remedy-{number}" for number in range(16))]


def rates(names=("plain", "b")):
    values = np.arange(len(names) * 6, dtype=float).reshape(len(names), 2, 3)
    return xr.DataArray(
        values,
        dims=("remedy", "direction", "distance"),
        coords={"remedy": list(names), "direction": ["x", "y"], "distance": [1, 2, 4]},
    )


def test_curves_stand_where_their_values_are():
    values = rates()
    values[0, 0, 1] = np.nan
    drawn = chart(values, "remedy", "direction", "distance (px)", "flips (%)", "a caption")
    ticks = {float(text): y for y, text in drawn["ticks_y"]}
    assert min(ticks) == 0 and ticks[0] == TALL and ticks[max(ticks)] == 0 and max(ticks) >= values.max()
    for panel, direction in zip(drawn["panels"], values.direction.values, strict=True):
        places = [x for x, _ in panel["ticks_x"]]
        assert (places[2] - places[1]) == pytest.approx(2 * (places[1] - places[0]), abs=0.2)  # 4 - 2 and 2 - 1
        assert 0 < places[0] < places[2] < SIDE
        for curve in panel["curves"]:
            known = values.sel(direction=direction, remedy=curve["name"]).values
            points = np.array(re.findall(r"[ML]([\d.]+) ([\d.]+)", curve["path"]), dtype=float)
            assert len(points) == np.isfinite(known).sum() == curve["marks"].count("<")
            heights = max(ticks) * (1 - points[:, 1] / TALL)
            np.testing.assert_allclose(heights, known[np.isfinite(known)], atol=max(ticks) / TALL)


def test_no_two_curves_have_one_colour_and_the_reference_is_that_of_the_text():
    assert len({look["color"] for look in styles(NAMES, reference=True).values()}) == len(NAMES)
    drawn = chart(rates(NAMES), "remedy", "direction", "x", "y", "")
    assert drawn["curves"][0]["colour"] == "currentColor"


def test_a_chart_of_zeros_has_a_scale():
    drawn = chart(0 * rates(), "remedy", "direction", "x", "y", "")
    assert [text for _, text in drawn["ticks_y"]] == ["0", "1"]


def test_the_verdict_names_what_flips_less_and_what_costs_nothing():
    pytest.importorskip("torch")
    from analysis.reports.stability import verdict

    names = ["plain", "steady", "free", "worse"]
    flips = xr.DataArray([10.0, 2.0, 9.5, 30.0], dims="remedy", coords={"remedy": names})
    comparison = xr.Dataset(
        {
            "flip_rate": flips.expand_dims(direction=["x"], distance=[1]).transpose("remedy", "direction", "distance"),
            "flips_1px_se": ("remedy", [1.0, 0.5, 1.0, 1.0]),
            "consistency": ("remedy", [90.0, 95, 90, 80]),
            "accuracy_lost": ("remedy", [0.0, 20, 0, 5]),
            "accuracy_lost_se": ("remedy", [0.0, 1, 1, 1]),
            "time_added": ("remedy", [0.0, 5, 7, 9]),
        }
    )
    first, fewest, free = verdict(comparison)
    assert "10.0 ± 1.0 %" in first and "steady" in first and "worse" in first and "free" not in first
    assert "steady" in fewest and "20.0" in fewest and "2.0 ± 0.5 %" in fewest
    assert "free" in free and "9.5" in free
    assert len(verdict(comparison.isel(remedy=[0]))) == 1
