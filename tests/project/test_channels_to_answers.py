"""Answers with some channels of the first layer shifted: whole networks by hand, statistics, and the figure."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")

from analysis.networks.loading import LoadedNetwork  # noqa: E402
from analysis.plots import answers_figure  # noqa: E402
from scripts.channels_to_answers import ChannelsShifted, statistics, summary  # noqa: E402

SHIFTS = ((0.0, 1.0), (1.0, 0.0))


class Small(torch.nn.Module):
    """A convolution of three channels, ReLU, and weights for every position."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 3, bias=False)
        self.relu = torch.nn.ReLU()
        self.head = torch.nn.Linear(3 * 64, 4)

    def forward(self, x):
        return self.head(self.relu(self.conv(x)).flatten(1))


@pytest.fixture(scope="module")
def case():
    torch.manual_seed(0)
    model = Small().eval()
    sets = np.array([[1, 0, 0], [0, 1, 1], [0, 0, 0], [1, 1, 1]], bool)
    pictures = np.random.default_rng(0).random((4, 3, 10, 10), np.float32)
    return ChannelsShifted(LoadedNetwork("small", model, None, 10), "relu", sets, SHIFTS), pictures


def by_hand(model, picture, shift, chosen):
    """Centred change of the logits and both probabilities, the picture moved by whole pixels over mirrored borders."""
    wide = np.pad(picture, ((0, 0), (1, 1), (1, 1)), mode="symmetric")
    dy, dx = (int(u) for u in shift)
    moved = wide[:, 1 - dy : 11 - dy, 1 - dx : 11 - dx]
    with torch.no_grad():
        maps = [model.relu(model.conv(torch.from_numpy(x.copy())[None])) for x in (picture, moved)]
        mixed = torch.where(torch.tensor(chosen)[None, :, None, None], maps[1], maps[0])
        logits = [model.head(x.flatten(1))[0].double().numpy() for x in (maps[0], mixed)]
    change = logits[1] - logits[0]
    shares = [np.exp(x) / np.exp(x).sum() for x in logits]
    return (
        ((change - change.mean()) ** 2).sum(),
        abs(shares[1] - shares[0]).sum() / 2,
        np.ptp([*map(np.argmax, logits)]),
    )


@pytest.mark.parametrize("in_turn", [False, True])
def test_sums_are_those_of_networks_put_together_by_hand(case, in_turn):
    whole, pictures = case
    measurement = ChannelsShifted(whole.network, whole.module, whole.sets, SHIFTS, in_turn)
    sums, _ = measurement.measure(pictures, ["a"] * 4)
    assert sums.shape == (measurement.length,)
    halves = sums.reshape(2, -1)
    assert halves[:, 0].tolist() == [2, 2]
    for half, numbers in zip(halves, ((0, 1), (2, 3)), strict=True):
        found = half[1:13].reshape(3, 4)
        expected = np.zeros((3, 4))
        for number in numbers:
            for shift in [SHIFTS[number % 2]] if in_turn else SHIFTS:
                parts = [by_hand(measurement.network.model, pictures[number], shift, s) for s in measurement.sets]
                expected += np.transpose([(a, b, float(c > 0)) for a, b, c in parts]) / (1 if in_turn else 2)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-10)
    assert (halves[:, 1 + 2] == 0).all()  # no channel, no change


def test_ratios_are_over_the_change_with_all_channels(case):
    measurement, pictures = case
    sums, _ = measurement.measure(pictures, ["a"] * 4)
    table = statistics(sums.reshape(2, -1), 4)
    assert table.change.iloc[-1] == 1 and table.change_stderr.iloc[-1] == pytest.approx(0, abs=1e-6)
    assert (table[["change_half1", "change_half2"]].iloc[-1] == 1).all() and (table.pictures == 4).all()
    low, high = np.sort(table[["change_half1", "change_half2"]].to_numpy(), axis=1).T
    assert ((low <= table.change + 1e-12) & (table.change <= high + 1e-12)).all()


def test_summary_and_figure():
    share = np.array([0.4, 0.3, 0.15, 0.1, 0.05, 0.0])
    table = pd.DataFrame({"network": "small", "share": share, "share_stderr": share / 10, "read": 1.0, "pictures": 4})
    table["change"], table["change_stderr"] = 2 * share**1.5, share / 5
    backwards = table.change[::-1].to_numpy()
    table = table.assign(probability=table.change, change_half1=table.change, change_half2=backwards)
    groups = pd.DataFrame({"group": ["1", "all"], "share": [0.7, 1.0], "change": [0.9, 1.0]})
    found = summary(table, groups)
    assert found.rank_correlation[0] == 1 and (found.channels == 5).all()
    assert found.sum_of_single_changes[0] == pytest.approx(table.change.sum())
    (ax,) = answers_figure({"small": table}).axes
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
    assert ax.containers[0].lines[0].get_xdata().tolist() == share[:5].tolist()
