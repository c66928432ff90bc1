"""Figures of an audit."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr

from analysis import plots


@pytest.fixture
def audit():
    rows = {"kind": ["convolution", "unknown", "global pooling", "head"], "size_in": ["32", "16×8", "8", ""]}
    rows |= {"size_out": ["16", "8", "1", ""]}
    values = np.array([0.4, 0.35, np.nan, 0.25])
    numbers = {name: values for name in ("blame", "nested", "gain")}
    numbers |= {"blame_low": values - 0.1, "blame_high": values + 0.05}
    energy = np.array([0.3, np.nan, np.nan, np.nan])
    for end in ("", "_stderr", "_median", "_worst", "_white", "_power_law"):
        numbers[f"aliased_energy{end}"] = energy
    both = np.stack([[values, np.full(4, np.nan)]] * 2)
    return xr.Dataset(
        {name: ("place", column) for name, column in (rows | numbers).items()}
        | {f"blame_by_shift{end}": (("borders", "shift", "place"), both) for end in ("", "_stderr")}
        | {"change": (("borders", "shift"), np.array([[0.1, 0.0], [0.2, 0.1]]))},
        {
            "place": ["stem.conv", "a.module.with.a.very.long.name.indeed.conv", "mean", "head"],
            "borders": ["circular", "own"],
            "shift_y": ("shift", [0.0, 1.0]),
            "shift_x": ("shift", [1.0, 0.0]),
        },
    )


def test_strip_has_a_bar_for_each_share_with_its_interval(audit):
    figure = plots.strip_figure(audit)
    _, energy, blame = figure.axes
    assert [bar.get_height() for bar in blame.patches] == pytest.approx([40, 35, 25])
    assert energy.patches[0].get_height() == pytest.approx(30)
    names = [label.get_text() for label in blame.get_xticklabels()]
    assert names[0] == "stem.conv" and len(names[1]) == 28 and names[3] == "head"
    figure.canvas.draw()


def test_a_panel_for_each_kind_of_borders_and_a_bar_for_each_shift(audit):
    figure = plots.blame_by_shift_figure(audit)
    assert [ax.get_title() for ax in figure.axes] == ["circular borders", "own borders"]
    labels = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert labels == ["(0, 1) px: answer changes by 10 %", "(1, 0) px: answer does not change"]
    figure.canvas.draw()


def test_mending_goes_in_its_order_and_leaves_out_what_is_not_reached(audit):
    first, second = audit.place.values[1], audit.place.values[0]
    alone = np.array([[[0.2, 0.5, np.nan, np.nan], [0.6, np.nan, np.nan, np.nan]]])
    values = {"mend_place": [[first, second]], "mend_gone": [[0.5, 0.6]], "mend_gone_stderr": [[0.1, 0.05]]}
    audit = audit.assign({name: (("remedy", "step"), value) for name, value in values.items()})
    audit = audit.assign({f"mend_gone_with{end}": (("remedy", "step", "place"), alone) for end in ("", "_stderr")})
    audit = audit.assign(blame_stderr=("place", np.full(4, 0.1))).assign_coords(remedy=["blur3"], step=[1, 2])
    (ax,) = plots.mending_figure(audit).axes
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([35, 40])
    together, single = (
        container[0].get_ydata() for container in ax.containers if container[0].__class__.__name__ == "Line2D"
    )
    assert together == pytest.approx([50, 60]) and single == pytest.approx([50, 20])
    assert [label.get_text()[-9:] for label in ax.get_xticklabels()] == [first[-9:], second[-9:]]
    (empty,) = plots.mending_figure(audit.assign(mend_place=(("remedy", "step"), [["", ""]]))).axes
    assert not empty.patches
