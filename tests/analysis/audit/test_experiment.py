"""Audit of a network on pictures: the dataset, its errors, resumption, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from analysis import audit_network  # noqa: E402
from analysis.audit import NetworkAudit  # noqa: E402
from analysis.audit.blame import Network, pairs, shares  # noqa: E402
from analysis.audit.verdict import audit_frame, rank_agreement, verdict  # noqa: E402
from analysis.networks.place import places  # noqa: E402

SIDE = 24


def model(wide=False):
    torch.manual_seed(1)
    layers = [nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 6, 3, 1, 1), nn.ReLU()]
    if wide:  # five places
        layers = [nn.Conv2d(3, 6, 3, 2, 1), *(nn.Sequential(nn.ReLU(), nn.Conv2d(6, 6, 3, 2, 1)) for _ in range(6))]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 4)).eval()


def images(count=12):
    return [np.random.default_rng(seed).random((SIDE, SIDE, 3)).astype(np.float32) for seed in range(count)]


def audited(net, count=12, **options):
    return audit_network(net, images(count), SIDE, progress=False, **options)


@pytest.fixture(scope="module")
def dataset():
    return audited(model(), borders=("circular", "own"), shifts=[(0, 1), (2, 0)])


def test_shares_add_up_and_are_those_of_the_pictures(dataset):
    assert dataset.place.values.tolist() == ["0", "2", "5", "head"]
    assert dataset.blame.sum().item() == pytest.approx(1, abs=1e-10)
    assert np.allclose(dataset.blame_by_shift.sum("place"), 1, atol=1e-10)
    assert np.isnan(dataset.blame.sel(place="5")) and np.isnan(dataset.gain.sel(place="head"))

    net = model()
    x = torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in images()])
    network = Network(net, places(net, x[:1]))
    products, change, left = torch.zeros(3), 0.0, torch.zeros(2)
    with torch.no_grad():
        for shift in ((0.0, 1.0), (2.0, 0.0)):
            first, second = pairs(x, shift, "circular")
            back = (-shift[0], -shift[1])
            for found in (shares(network, first, second, shift), shares(network, second, first, back)):
                products, change = products + found.products.sum(0), change + found.change.sum()
                left = left + found.left.sum(0)
    mendable = dataset.blame.values[[0, 1, 3]]
    assert np.allclose(mendable, (products / change).numpy(), rtol=1e-4, atol=1e-6)
    assert np.allclose(dataset.gain.values[:2], 1 - (left / change).numpy(), rtol=1e-4, atol=1e-5)


def test_standard_errors_are_those_of_resampled_pictures(dataset):
    """Against the scatter of audits of halves, within the noise of few pictures."""
    halves = [audit_network(model(), images(48)[part], SIDE, progress=False, shifts=[(0, 1)]) for part in _parts(8, 6)]
    scatter = np.std([half.blame.values[:2] for half in halves], axis=0, ddof=1)
    errors = np.mean([half.blame_stderr.values[:2] for half in halves], axis=0)
    assert np.all((errors > scatter / 3) & (errors < 3 * scatter))
    assert np.all(dataset.blame_low.values[:2] < dataset.blame.values[:2])
    assert np.all(dataset.blame.values[:2] < dataset.blame_high.values[:2])


def _parts(count, length):
    return [slice(i * length, (i + 1) * length) for i in range(count)]


def test_energies_are_shares_and_the_median_is_between_the_rest(dataset):
    energy = dataset[[name for name in dataset if str(name).startswith("aliased_energy")]].isel(place=slice(0, 2))
    for name in energy:
        assert np.isfinite(energy[name]).all() and (energy[name] >= 0).all()
    assert (energy.aliased_energy_median < energy.aliased_energy_worst).all()
    assert (energy.aliased_energy_power_law < energy.aliased_energy_white).all()
    assert (energy.aliased_energy_stderr < 0.2 * energy.aliased_energy).all()
    assert np.isnan(dataset.aliased_energy.values[2:]).all()


def test_where_nothing_changes_there_is_nothing_to_share_out():
    still = audited(model(), 4, shifts=[(0, 4), (4, 0)])
    assert (still.change < 1e-5).all() and np.isnan(still.blame_by_shift).all()
    assert np.isnan(still.blame).all() and np.isnan(still.gain).all() and np.isnan(still.nested).all()
    assert not any(name in verdict(still) for name in ("convolution", "head"))
    assert np.isnan(rank_agreement(audit_frame(still).blame, audit_frame(still).gain))


def test_sampled_orders_are_near_the_exact_shares_and_take_turns(dataset):
    sampled = audited(model(wide=True), 12, form="sampled", turns=True)
    assert sampled.blame.sum().item() == pytest.approx(1, abs=1e-10)
    assert np.isnan(sampled.nested).all()
    two = audited(model(), form="sampled", shifts=[(0, 1), (2, 0)])
    assert np.allclose(two.blame, dataset.blame, atol=1e-6, equal_nan=True)  # of two places both orders are all


def test_the_order_of_execution_alone_is_cheap_and_says_nothing_of_single_places(dataset):
    nested = audited(model(), form="nested", shifts=[(0, 1), (2, 0)])
    known = np.isfinite(dataset.nested.values)
    assert np.allclose(nested.blame.values[known], dataset.nested.values[known], atol=1e-6)
    assert nested.blame.sum().item() == pytest.approx(1, abs=1e-10) and np.isnan(nested.gain).all()
    assert "mending" not in verdict(nested) and audit_frame(nested).gain_rank.isna().all()
    with pytest.raises(ValueError, match="did you mean 'nested'"):
        audited(model(), 2, form="nest")


def test_pictures_of_several_shifts_run_together_as_they_do_alone():
    net, x = model(), torch.stack([torch.from_numpy(image).permute(2, 0, 1) for image in images(3)])
    network, shifts = Network(net, places(net, x)), [(0.0, 1.0), (1.0, 0.0), (0.0, -1.5)]
    both = [pairs(x[i : i + 1], shift, "circular") for i, shift in enumerate(shifts)]
    with torch.no_grad():
        alone = [shares(network, *pair, shift) for pair, shift in zip(both, shifts, strict=True)]
        together = shares(network, *map(torch.cat, zip(*both, strict=True)), shifts)
    assert torch.allclose(together.products, torch.cat([one.products for one in alone]), atol=1e-6)


def test_draws_and_turns_depend_on_pictures_alone():
    net, options = model(wide=True), {"form": "sampled", "turns": True, "progress": False}
    one = audit_network(net, images(9), SIDE, block=9, **options)
    other = audit_network(net, images(9)[::-1], SIDE, block=2, **options)
    for name in ("blame", "blame_stderr", "aliased_energy", "aliased_energy_worst_stderr", "change"):
        assert np.allclose(one[name], other[name], rtol=1e-3, atol=1e-5, equal_nan=True)


def test_logits_by_key_or_position_or_attribute():
    class Wrapped(nn.Module):
        def __init__(self, wrap):
            super().__init__()
            self.inside, self.wrap = model(), wrap

        def forward(self, x):
            return self.wrap(self.inside(x))

    expected = audited(model(), 3).blame.values
    for wrap, key in ((lambda y: {"logits": y, "other": 1}, "logits"), (lambda y: (None, y), "1")):
        found = audited(Wrapped(wrap), 3) if key is None else audited(Wrapped(wrap).eval(), 3, output=key)
        assert np.allclose(found.blame.values, expected, atol=1e-5, equal_nan=True)
        with pytest.raises(TypeError, match="output"):
            audited(Wrapped(wrap).eval(), 3)
        with pytest.raises(ValueError, match="nothere"):
            audited(Wrapped(wrap).eval(), 3, output="nothere")


class Beside(nn.Module):
    """A network in which pictures see each other."""

    def __init__(self):
        super().__init__()
        self.inside = model()

    def forward(self, x):
        y = self.inside(x)
        return y - y.mean(0)


class Unfolded(nn.Module):
    """Patches by torch's unfold, in the network's own code; pooled if they are maps again."""

    def __init__(self, pooled):
        super().__init__()
        self.linear, self.head = nn.Linear(12, 6), nn.Linear(6, 3)
        self.pool = nn.MaxPool2d(2) if pooled else nn.Identity()

    def forward(self, x):
        tokens = self.linear(nn.functional.unfold(x, 2, stride=2).transpose(1, 2)).relu()
        return self.head(self.pool(tokens.transpose(1, 2).reshape(len(x), 6, SIDE // 2, -1)).mean((2, 3)))


def test_code_that_is_not_understood_has_its_share():
    torch.manual_seed(0)
    found = audited(Unfolded(True).eval(), 4)
    assert found.place.values.tolist() == ["linear", "pool", "mean", "head"]
    assert found.blame[[0, 1, 3]].sum() == pytest.approx(1) and found.blame[0] > 0.05
    assert not found.understood[0] and np.isnan(found.aliased_energy[0])
    alone = audited(Unfolded(False).eval(), 4)
    assert alone.blame[0] == pytest.approx(1, abs=0.05)  # a mean over tokens commutes, ReLU nearly


class Cut(nn.Module):
    """Patches as tokens, without the last one, so that those left are no whole grid."""

    def __init__(self, before):
        super().__init__()
        self.before, self.linear, self.head = before, nn.Linear(12, 6), nn.Linear(6, 3)

    def forward(self, x):
        patches = nn.functional.unfold(self.before(x), 2, stride=2)[..., :-1]
        return self.head(self.linear(patches.transpose(1, 2)).relu().mean(1))


def test_what_cannot_be_exchanged_has_no_share_and_is_told():
    torch.manual_seed(0)
    found = audited(Cut(nn.MaxPool2d(2)).eval(), 4)
    assert found.place.values.tolist() == ["before", "linear", "mean", "head"]
    assert np.isnan(found.blame[1]) and found.blame[[0, 3]].sum() == pytest.approx(1)
    assert "In linear resolution falls" in verdict(found) and "not understood" not in verdict(audited(model(), 4))
    with pytest.raises(ValueError, match="not understood"):
        NetworkAudit(Cut(nn.Identity()).eval(), SIDE)


@pytest.mark.parametrize(
    ("net", "options", "told"),
    [
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 22**2, 2)), {}, "no place"),
        (nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.Flatten(), nn.Linear(7, 2)), {}, "24"),
        (nn.Sequential(nn.Conv2d(3, 4, 3, 2)), {}, "logits"),
        (Beside(), {}, "beside"),
        (model(), {"shifts": [(0, 0)]}, "zero"),
        (model(), {"shifts": []}, "shifts"),
        (model(), {"borders": ["round"]}, "round"),
        (model(), {"borders": []}, "borders"),
    ],
)
def test_what_cannot_be_audited_is_refused(net, options, told):
    with pytest.raises(ValueError, match=told):
        NetworkAudit(net.eval(), SIDE, **options)


def test_training_mode_is_refused_and_detection_heads_are_told():
    with pytest.raises(ValueError, match="eval"):
        NetworkAudit(model().train(), SIDE)
    pool = nn.MaxPool2d(2)

    class Boxes(nn.Module):
        def __init__(self):
            super().__init__()
            self.pool = pool

        def forward(self, x):
            self.pool(x)
            return [{"boxes": x} for _ in x]

    with pytest.raises(TypeError, match="list of dict"):
        NetworkAudit(Boxes().eval(), SIDE)


def test_verdict_and_table_say_what_the_dataset_says(dataset):
    frame = audit_frame(dataset)
    first = ["place", "kind", "stride", "size_in", "size_out", "channels"]
    first += ["aliased_energy", "aliased_energy_stderr", "blame", "blame_stderr"]
    assert frame.columns[:10].tolist() == first
    text = verdict(dataset)
    ranked = frame.dropna(subset="blame").query("place != 'head'").sort_values("blame", ascending=False)
    assert ranked.place.iloc[0] in text and f"has {round(100 * frame.blame.iloc[-1])} %" in text
    assert frame.gain_rank.dropna().tolist() == [1 + int((frame.gain > value).sum()) for value in frame.gain.dropna()]
    assert rank_agreement(frame.blame, frame.gain) in (pytest.approx(1), pytest.approx(-1))


def test_numpy_in_the_networks_own_code_has_its_share():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.rest = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 2, 1)

        def forward(self, x):
            y = torch.from_numpy(self.stem(x).relu().numpy()[:, :, ::2, ::2].copy())
            return self.rest(y).relu().mean((2, 3))

    torch.manual_seed(0)
    found = audited(Own().eval(), 4)
    assert found.place.values.tolist() == ["Own", "rest", "mean", "head"]
    assert found.blame[[0, 1, 3]].sum() == pytest.approx(1) and found.blame[0] > 0.05


def test_maps_that_are_not_one_of_each_picture_have_no_share_and_that_is_told():
    class Apart(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.each = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(1, 1, 3, 2, 1)

        def forward(self, x):
            y = self.stem(x).relu()
            return self.each(y.flatten(0, 1)[:, None]).unflatten(0, (len(x), 4)).flatten(2).relu().mean(2)

    torch.manual_seed(0)
    found = audited(Apart().eval(), 4)
    assert np.isnan(found.blame.sel(place="each")) and found.blame.sum() == pytest.approx(1)
    assert "In each the maps" in verdict(found)


def test_a_strided_convolution_in_windows_has_the_share_and_energy_of_one_of_the_maps():
    class Windows(nn.Module):
        def __init__(self, apart):
            super().__init__()
            self.apart, self.conv, self.head = apart, nn.Conv2d(3, 4, 2, 2), nn.Linear(4, 3)

        def forward(self, x):
            n = len(x)
            if self.apart:
                x = x.view(n, 3, 2, 8, 2, 8).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)
            y = self.conv(x).relu()
            if self.apart:
                y = y.view(n, 2, 2, 4, 4, 4).permute(0, 3, 1, 4, 2, 5).reshape(n, 4, 8, 8)
            return self.head(y.square().mean((2, 3)))

    torch.manual_seed(0)
    whole, apart = Windows(False).eval(), Windows(True).eval()
    apart.load_state_dict(whole.state_dict())
    pictures = [np.random.default_rng(i).random((16, 16, 3)).astype(np.float32) for i in range(3)]
    first, second = (audit_network(net, pictures, 16, progress=False) for net in (whole, apart))
    np.testing.assert_allclose(second.blame, first.blame, atol=1e-6)
    assert 0 < second.aliased_energy[0] < 1
