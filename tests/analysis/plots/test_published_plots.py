"""Pictures of published results: every number of the tables is drawn where it belongs."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis import plots
from analysis.published.tables import (
    archived_corruptions,
    archived_scores,
    archived_shifts,
    parts_of,
    published_table,
    validation_errors,
)

ALEXNETS = ["alexnet", "walexnet-rmax", "walexnet-cmod", "alexnet-blur", "walexnet-rmax-blur", "walexnet-cmod-blur"]
LOOKS = {name: (parts_of(name)["twin"], parts_of(name)["pooling"]) for name in ALEXNETS}


def drawn(figure):
    """Check that a figure can be drawn, is labelled, and is none of pyplot's."""
    assert isinstance(figure, Figure) and not plt.get_fignums()
    figure.draw_without_rendering()
    for ax in figure.axes:
        assert ax.get_xlabel()
    return figure


def points(ax):
    return {
        (round(float(x), 6), round(float(y), 6)) for line in ax.lines for x, y in zip(*line.get_data(), strict=True)
    }


def labels(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@pytest.mark.parametrize(("dataset", "families"), [("ImageNet", 2), ("CIFAR-10", 2)])
def test_scores(dataset, families):
    scores = archived_scores(dataset)
    figure = drawn(plots.published_scores_figure(scores))
    assert len(figure.axes) == 2 * families
    for number, family in enumerate(scores.family.unique()):
        for ax, score in zip(figure.axes[2 * number :], ["one_crop_top1", "ten_crops_top1"], strict=False):
            mine = scores[scores.family == family]
            assert {(round(x, 6), round(y, 6)) for x, y in zip(mine.mfr, mine[score], strict=True)} <= points(ax)
    assert ("4-tap Blur pooling" in labels(figure)) == (dataset == "ImageNet")


def test_corruptions():
    relative = archived_corruptions()
    figure = drawn(plots.published_corruptions_figure(relative, {n: LOOKS[n] for n in ("alexnet", "walexnet-cmod")}))
    for ax, mean, count in zip(figure.axes, ("mce", "mfr_p"), (16, 9), strict=True):
        names = [text.get_text() for text in ax.get_yticklabels()]
        cmod = next(line for line in ax.lines if line.get_label() == "walexnet-cmod").get_xdata()
        assert len(names) == len(cmod) == count and names[-1] == "mean of all"
        assert cmod[-1] == relative.loc["walexnet-cmod", mean] and (np.diff(cmod[:-1]) >= 0).all()


def test_training():
    errors = validation_errors("ImageNet")
    networks = {name: twin for name, (twin, pooling) in LOOKS.items() if pooling == "max"}
    figure = drawn(plots.published_training_figure(errors, networks))
    for ax in figure.axes:
        curves = [line for line in ax.lines if len(line.get_xdata()) == 90]
        for curve, name in zip(curves, networks, strict=True):
            np.testing.assert_array_equal(curve.get_ydata(), errors[name])
    assert figure.axes[1].get_xlim()[0] == 30.5 and labels(figure) == list(networks)
    drawn(plots.published_training_figure(errors, networks, drops=()))


def test_stability_by_shift():
    shifts = archived_shifts("ImageNet")
    figures = {
        "flip_rate": plots.flip_figure(shifts, LOOKS),
        "divergence": plots.divergence_figure(shifts, LOOKS),
    }
    for name, figure in figures.items():
        assert [ax.get_title() for ax in drawn(figure).axes] == ["horizontal", "vertical", "diagonal"]
        assert labels(figure) == ALEXNETS
        for ax in figure.axes:
            for line, network in zip(ax.lines, ALEXNETS, strict=True):
                np.testing.assert_array_equal(
                    line.get_ydata(), shifts[name].sel(network=network, direction=ax.get_title())
                )
    assert figures["divergence"].axes[0].lines[0].get_xdata()[1] == 0.5
    figure = plots.divergence_figure(archived_shifts("CIFAR-10"), {"resnet18": ("standard", "max")})
    assert "not recorded" in drawn(figure).axes[0].get_xlabel()


def test_twins_and_poolings_can_be_told_apart_without_colour():
    figure = plots.flip_figure(archived_shifts("ImageNet"), LOOKS)
    looks = {(line.get_marker(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == len(ALEXNETS)


def test_consistency():
    table = published_table("blurpool")
    figure = drawn(plots.consistency_figure(table))
    for ax, kind in zip(figure.axes, ["", "augmented_"], strict=True):
        at = {(text.get_text(), *text.xy) for text in ax.texts}
        columns = (table.taps.astype(str), table[f"{kind}accuracy"], table[f"{kind}consistency"])
        assert at == set(zip(*columns, strict=True))
    assert labels(figure) == list(table["filter"].unique())


def test_sound():
    table = published_table("sound")
    left, right = drawn(plots.sound_figure(table)).axes
    first, second = (table[table.table == number] for number in ("I", "II"))
    (dots,) = left.containers
    names = [text.get_text() for text in left.get_yticklabels()]
    at = {(names[int(y)], round(float(x), 6)) for x, y in zip(*dots.lines[0].get_data(), strict=True)}
    assert at == set(zip(first.method, first.mean_ap, strict=True))
    names = [text.get_text() for text in right.get_yticklabels()]
    data = [zip(*dots.lines[0].get_data(), strict=True) for dots in right.containers]
    at = [(names[int(y)], round(float(x), 6)) for pairs in data for x, y in pairs]
    assert sorted(at) == sorted(zip(second.method, second.mean_ap, strict=True))


def test_sound_systems():
    table = published_table("sound_systems")
    figure = drawn(plots.sound_systems_figure(table))
    own = figure.axes[0].lines[1]
    assert own.get_xdata().tolist() == table[table.ours == "yes"].mean_ap.tolist()


def test_sound_shifts():
    table = published_table("sound_shifts")
    figure = drawn(plots.sound_shifts_figure(table))
    for ax, score in zip(figure.axes, ["consistency", "mac"], strict=True):
        for line, which in zip(ax.lines, ["baseline", "proposed"], strict=True):
            np.testing.assert_array_equal(line.get_xdata(), table[f"{score}_{which}"])
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == list(table.protocol)
