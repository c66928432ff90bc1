"""Figures of healing: every row is drawn where it belongs."""

from __future__ import annotations

import pandas as pd

from analysis.plots import healed_figure, healing_figure, healing_minutes_figure


def test_rounds_follow_the_start_against_elapsed_minutes():
    rows = [{"agreement": 80.0 + n, "flips": 5.0 - n, "seconds": 90.0} for n in range(3)]
    figure = healing_figure(rows, {"agreement": 70, "flips": 8}, {"agreement": 100, "flips": 2}, kept=3)
    left, right = figure.axes
    assert left.lines[0].get_xdata().tolist() == [0, 1.5, 3, 4.5]
    assert left.lines[0].get_ydata().tolist() == [70, 80, 81, 82]
    assert right.lines[0].get_ydata().tolist() == [8, 5, 4, 3]
    assert all("%" in ax.get_ylabel() and "minutes" in ax.get_xlabel() for ax in figure.axes)
    figure.draw_without_rendering()


def test_healed_networks_stand_beside_the_plain_one():
    rows = pd.DataFrame(
        [("plain", 0, 90.0, 4.0), ("blur3", 0, 85.0, 3.0), ("blur3", 60, 89.0, 2.0)],
        columns=["remedy", "healed", "right", "flip"],
    ).assign(right_stderr=0.3, flip_stderr=0.2)
    figure = healed_figure(rows, {"flip": "flips (%)", "right": "right (%)"})
    left = figure.axes[0]
    points = {(float(x), float(y)) for c in left.containers for x, y in zip(*c.lines[0].get_data(), strict=True)}
    assert points == {(4.0, 90.0), (3.0, 85.0), (2.0, 89.0)}
    assert not left.texts and "60 steps" in figure.legends[0].get_title().get_text()
    twice = pd.concat([rows, rows.iloc[2:].assign(healed=90, right=89.5)])
    two = healed_figure(twice, {"flip": "flips (%)"})
    assert [text.get_text() for text in two.axes[0].texts] == ["60", "90"]
    assert [ax.get_xlabel() for ax in figure.axes] == ["flips (%)", "right (%)"]


def test_values_stand_over_the_minutes_that_they_took():
    rows = pd.DataFrame(
        [("plain", 0.0, 4.0), ("blur3", 9.0, 2.0), ("blur3", 0.0, 3.0)], columns=["remedy", "cpu_minutes", "flip"]
    ).assign(flip_stderr=0.2)
    (ax,) = healing_minutes_figure(rows, {"flip": "flips (%)"}, {"flip": 1.5}).axes
    assert [c.lines[0].get_xydata().tolist() for c in ax.containers] == [[[0, 4]], [[0, 3], [9, 2]]]
    assert {line.get_ydata()[0] for line in ax.lines[:2]} == {4.0, 1.5}
    assert "minutes" in ax.get_xlabel() and ax.get_ylabel() == "flips (%)"
