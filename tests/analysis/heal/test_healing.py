"""Healing of tiny networks: what learns, what does not, runs that stop, files, and what is refused."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import analysis  # noqa: E402
from analysis.heal.healed_file import healed_name, save_healed  # noqa: E402
from analysis.heal.healing import _differ, heal_network  # noqa: E402
from analysis.heal.plan import HealingPlan  # noqa: E402
from analysis.heal.start import match_moments  # noqa: E402
from analysis.heal.student import Student, execution_order  # noqa: E402
from analysis.heal.task import Healing  # noqa: E402
from analysis.networks.cmod_surgery import to_cmod  # noqa: E402
from analysis.networks.example import fit  # noqa: E402
from analysis.networks.remedy_table import remedies  # noqa: E402

SIDE = 16
QUICK = {"size": SIDE, "batch": 8, "progress": False, "losses": ("averaged", "consistency")}
GENTLE = QUICK | {
    "batch": 24,
    "rate": 1e-3,
    "losses": ("answers",),
    "weights": "all",
    "augmentation": "none",
    "held_out": 0.3,
}


def pictures(count=48, side=SIDE, seed=0):
    """Five patterns, each moved and dimmed by noise: something that can be learnt."""
    rng = np.random.default_rng(seed)
    patterns = np.random.default_rng(7).random((5, side // 2, side // 2, 3)).repeat(2, 1).repeat(2, 2)
    moved = [np.roll(patterns[n % 5], rng.integers(0, side, 2), (0, 1)) for n in range(count)]
    return (255 * (0.6 * np.stack(moved) + 0.4 * rng.random((count, side, side, 3)))).astype(np.uint8)


class Plain(nn.Sequential):
    """Two convolutions with batch norms, max pooling between them; it has learnt to tell the patterns apart."""

    def __init__(self, seed=0, width=8, norms=True):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            super().__init__(
                nn.Conv2d(3, width, 3, padding=1),
                nn.BatchNorm2d(width) if norms else nn.Identity(),
                nn.ReLU(),
                nn.MaxPool2d(3, 2, 1),
                nn.Conv2d(width, 16, 3, padding=1),
                nn.BatchNorm2d(16) if norms else nn.Identity(),
                nn.ReLU(),
                nn.AdaptiveAvgPool2d(2),
                nn.Flatten(),
                nn.Dropout(0.1),
                nn.Linear(64, 5),
            )
            x, y = torch.from_numpy(pictures(60)).permute(0, 3, 1, 2).float() / 255, torch.arange(60) % 5
            fit(self, iter(lambda: (x, y), None), 40, 1e-2, progress=False)
            for _ in range(60):
                self.train()(x)  # the running statistics catch up
            self.eval()


@pytest.fixture(scope="module")
def plain():
    return Plain()


@pytest.fixture(scope="module")
def healed(plain, tmp_path_factory):
    out = tmp_path_factory.mktemp("healed")
    return out, heal_network(plain, "blur3", pictures(), out, steps=40, **GENTLE)


def state(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def equal(a, b):
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_healed_network_answers_more_like_the_plain_one():
    done = heal_network(Plain(norms=False), "cmod", pictures(), steps=40, **GENTLE)
    kept = done.rows[done.kept - 1]
    assert kept["agreement"] >= done.before["agreement"]
    assert kept["divergence"] < 0.5 * done.before["divergence"]
    assert done.at_first["agreement"] == 100 and done.at_first["divergence"] == pytest.approx(0, abs=1e-6)
    assert not done.model.training and all(p.requires_grad for p in done.model.parameters())


def test_the_plain_network_stays_as_it_is(healed, plain):
    assert equal(state(plain), state(Plain()))


def test_a_run_that_stops_goes_on_to_the_same_bits(plain, healed, tmp_path, monkeypatch):
    _, whole = healed
    score, calls = Healing.score, []

    def stops(self, model):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        return score(self, model)

    monkeypatch.setattr(Healing, "score", stops)
    arguments = (plain, "blur3", pictures(), tmp_path)
    with pytest.raises(KeyboardInterrupt):
        heal_network(*arguments, steps=40, save_every=3, **GENTLE)
    assert not (tmp_path / "healed.safetensors").exists() and (tmp_path / "last.pt").exists()
    monkeypatch.undo()
    again = heal_network(*arguments, steps=40, save_every=3, **GENTLE)
    assert equal(state(again.model), state(whole.model))
    timeless = [[{k: v for k, v in row.items() if k != "seconds"} for row in each.rows] for each in (again, whole)]
    assert timeless[0] == timeless[1]
    with pytest.raises(ValueError, match="other settings"):
        heal_network(*arguments, steps=50, **GENTLE)


@pytest.mark.parametrize(("weights", "first"), [("all", True), ("norms", True), ("behind", False)])
def test_only_the_chosen_weights_learn(plain, weights, first):
    done = heal_network(plain, "blur3", pictures(), steps=10, weights=weights, **QUICK)
    before, after = state(done.unhealed), state(done.model)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert ("1.running_mean" in changed) == ("1.weight" in changed) == first  # of the norm before the pooling
    assert {"5.weight", "5.running_mean"} <= changed
    assert ("10.weight" in changed) == (weights != "norms")
    assert ("0.weight" in changed) == (weights == "all")


def test_dropout_stays_off_and_what_does_not_learn_keeps_its_mode(plain):
    model, _ = remedies()["blur3"](plain)
    Student(model, "behind", execution_order(plain, model, torch.rand(1, 3, SIDE, SIDE))).train()
    modes = {name: module.training for name, module in model.named_modules() if name}
    assert [name for name, mode in modes.items() if mode] == ["5"]


def test_maps_are_compared_behind_the_operator(plain):
    model, _ = remedies()["blur3"](plain)
    assert execution_order(plain, model, torch.rand(1, 3, SIDE, SIDE)).compared == ("3",)
    strided = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.Flatten(), nn.Linear(256, 5)).eval()
    model, _ = remedies()["blur3"](strided)
    assert execution_order(strided, model, torch.rand(1, 3, SIDE, SIDE)).compared == ("1",)


@pytest.mark.parametrize("norm", [False, True])
def test_a_modulus_starts_with_mean_and_variance_of_the_maximum(norm):
    torch.manual_seed(3)
    layers = [nn.Conv2d(3, 6, 5, padding=2, bias=not norm), *([nn.BatchNorm2d(6)] if norm else []), nn.ReLU()]
    plain = nn.Sequential(*layers, nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(6 * 64, 5)).eval()
    if norm:
        with torch.no_grad():
            plain[1].weight.copy_(torch.tensor([1.0, -2, 0.5, 1, -1, 3]))
            plain[1].running_mean.normal_()
            plain[1].bias.fill_(50)  # so that the ReLU lets all through
    else:
        plain[0].bias.data.fill_(50)
    model, _ = to_cmod(plain, "0")
    x = torch.rand(16, 3, SIDE, SIDE)
    assert match_moments(plain, model, x) == 6
    through = len(layers) + 1
    wanted, found = plain[:through](x), model[:through](x)
    assert torch.allclose(found.mean((0, 2, 3)), wanted.mean((0, 2, 3)), atol=1e-3)
    assert torch.allclose(found.std((0, 2, 3)), wanted.std((0, 2, 3)), rtol=1e-3)


def test_healed_networks_are_built_again_from_their_file(plain, healed):
    out, done = healed
    path = out / "healed.safetensors"
    again = analysis.load_healed(path, Plain(seed=1))
    assert equal(state(again), state(done.model))
    x = torch.rand(2, 3, SIDE, SIDE)
    torch.testing.assert_close(again(x), done.model(x))
    assert healed_name(path).startswith("blur3")


def test_equal_networks_have_equal_files(plain, healed, tmp_path):
    out, done = healed
    again = [save_healed(tmp_path / str(n), done.model, "Plain", "blur3", done.changes, SIDE) for n in range(6)]
    assert {path.read_bytes() for path in again} == {(out / "healed.safetensors").read_bytes()}


@pytest.mark.slow
def test_healed_networks_can_be_exported(plain, healed):
    model, x = analysis.load_healed(healed[0] / "healed.safetensors", plain), torch.rand(2, 3, SIDE, SIDE)
    exported = torch.export.export(model, (x,)).module()
    assert torch.allclose(exported(x), model(x), atol=1e-6)


def test_files_of_other_networks_are_refused(plain, healed, tmp_path):
    from safetensors.torch import load_file, save_file

    path = healed[0] / "healed.safetensors"
    with pytest.raises(ValueError, match="of another network"):
        analysis.load_healed(path, Plain(width=6))
    with pytest.raises(ValueError, match=r"where blur3 changed .*here it changes \['1.0'\]"):
        analysis.load_healed(path, nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.MaxPool2d(2))))
    with pytest.raises(ValueError, match=r"healed\.safetensors is of Plain"):
        analysis.load_healed(path, nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, 5)))
    other = tmp_path / "other.safetensors"
    save_file(load_file(path), other)
    with pytest.raises(ValueError, match="no network that was healed"):
        analysis.load_healed(other, plain)
    save_file(load_file(path), other, {"format": "shiftscope-healed-1", "size": "many"})
    with pytest.raises(ValueError, match="damaged"):
        analysis.load_healed(other, plain)
    with pytest.raises(FileNotFoundError):
        analysis.load_healed(tmp_path / "none.safetensors", plain)


def test_a_control_has_no_remedy(plain):
    done = heal_network(plain, "", pictures(), steps=4, **QUICK)
    assert done.changes == [] and done.before["agreement"] == 100
    assert state(done.model).keys() == state(plain).keys()


def test_minutes_become_steps_that_are_kept(plain, tmp_path, monkeypatch):
    monkeypatch.setattr("analysis.heal.healing._Patient._seconds_a_step", lambda self: 1.5)
    monkeypatch.setattr("analysis.heal.healing._Patient._seconds_a_look", lambda self: 0.0)
    done = heal_network(plain, "blur3", pictures(), tmp_path, minutes=0.1, **QUICK)
    assert done.steps == 4
    monkeypatch.setattr("analysis.heal.healing._Patient._seconds_a_step", lambda self: 3.0)
    assert heal_network(plain, "blur3", pictures(), tmp_path, minutes=0.1, **QUICK).steps == 4
    with pytest.raises(ValueError, match=r"too short for one step.*0\.05"):
        heal_network(plain, "blur3", pictures(), minutes=0.01, **QUICK)
    monkeypatch.setattr("analysis.heal.healing._Patient._seconds_a_look", lambda self: 0.25)  # 12 of them
    assert heal_network(plain, "blur3", pictures(), minutes=0.15, **QUICK).steps == 2
    with pytest.raises(ValueError, match=r"too short for one step.*0\.1"):
        heal_network(plain, "blur3", pictures(), minutes=0.09, **QUICK)


def test_seconds_of_a_step_are_measured(plain):
    done = heal_network(plain, "blur3", pictures(), minutes=0.05, **QUICK)
    assert done.steps >= 1


@pytest.mark.parametrize(("asked", "rounds", "steps"), [(1, 1, 1), (4, 4, 4), (19, 9, 18), (29, 7, 28), (420, 10, 420)])
def test_few_of_the_steps_are_left_over(asked, rounds, steps):
    recipe = HealingPlan().recipe(32, 10, asked)
    assert (recipe.epochs, recipe.epochs * recipe.steps) == (rounds, steps)


@pytest.mark.parametrize(("keep", "kept"), [("last", 4), ("best", 2)])
def test_the_last_round_is_kept_or_the_best(plain, monkeypatch, keep, kept):
    """Agreement is made up: the second of four rounds has the most."""
    score, seen = Healing.score, []

    def made_up(self, model):
        seen.append(state(model.network) if hasattr(model, "network") else state(model))
        return score(self, model) | {"agreement": {4: 90.0}.get(len(seen), 50.0)}  # two looks before the first round

    monkeypatch.setattr(Healing, "score", made_up)
    done = heal_network(plain, "blur3", pictures(), steps=4, keep=keep, **QUICK)
    assert done.kept == kept and len(done.rows) == 4
    assert equal(state(done.model), seen[1 + kept])


def test_patience_ends_a_run_whose_agreement_stays_the_same(plain, monkeypatch):
    score = Healing.score
    monkeypatch.setattr(Healing, "score", lambda self, model: score(self, model) | {"agreement": 50.0})
    done = heal_network(plain, "blur3", pictures(), steps=10, keep="best", patience=2, **QUICK)
    assert (len(done.rows), done.kept) == (3, 3)


def test_minutes_are_kept_of_a_run_that_stops_in_its_first_round(plain, tmp_path, monkeypatch):
    def killed(self, *arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("analysis.heal.healing._Patient._seconds_a_step", lambda self: 1.5)
        patch.setattr("analysis.heal.healing._Patient._seconds_a_look", lambda self: 0.0)
        patch.setattr(Healing, "loss", killed)
        with pytest.raises(KeyboardInterrupt):
            heal_network(plain, "blur3", pictures(), tmp_path, minutes=0.1, **QUICK)
    assert heal_network(plain, "blur3", pictures(), tmp_path, minutes=0.1, **QUICK).steps == 4


def test_a_network_that_diverged_is_not_kept(plain, tmp_path):
    with pytest.raises(ValueError, match="diverged"):
        heal_network(plain, "blur3", pictures(), tmp_path, steps=4, **QUICK | {"rate": 1e30})
    assert not (tmp_path / "healed.safetensors").exists()


def test_small_pictures_are_found_wherever_they_are(plain):
    some = [*pictures(60), *pictures(20, 4)]
    with pytest.raises(ValueError, match=r"image 6\d has 4×4 pixels.*16×16"):
        heal_network(plain, "blur3", some, steps=4, **QUICK)


class Restless(Plain):
    def forward(self, x):
        return super().forward(x) + torch.rand(len(x), 5, generator=self.generator)

    generator = torch.Generator()


BAD = {
    "too few images": ({"images": pictures(19)}, "19 images; expected at least 20"),
    "small images": ({"images": pictures(48, 4)}, "4×4 pixels.*16×16"),
    "no images": ({"images": np.zeros((48, SIDE, SIDE), np.uint8)}, "expected uint8"),
    "floats": ({"images": np.zeros((48, SIDE, SIDE, 3))}, "expected uint8"),
    "steps and minutes": ({"minutes": 1}, "one of them"),
    "no steps": ({"steps": 0}, "steps"),
    "unknown loss": ({"losses": ("answer",)}, "did you mean 'answers'"),
    "no teacher": ({"losses": ("consistency",)}, "expected one of answers"),
    "unknown remedy": ({"remedy": "blurr3"}, "did you mean 'blur3'"),
    "unknown weights": ({"weights": "some"}, "expected one of all, behind, norms"),
    "unknown round": ({"keep": "first"}, "expected one of last, best"),
    "patience without a choice": ({"patience": 3}, "patience is 3.*keep='best'"),
    "a span beyond the picture": ({"span": 16}, "span is 16.*16 pixels"),
    "nothing behind": ({"remedy": "", "weights": "behind"}, "the network has none"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_refused_with_what_was_expected(plain, case):
    given, message = BAD[case]
    arguments = {"model": plain, "remedy": "blur3", "images": pictures(), "steps": 4, **QUICK, **given}
    with pytest.raises(ValueError, match=message):
        heal_network(**arguments)


def test_a_teacher_that_changes_its_mind_is_refused():
    with pytest.raises(ValueError, match="deterministic"):
        heal_network(Restless(), "blur3", pictures(), steps=4, **QUICK)


def test_a_remedy_that_changes_nothing_is_refused():
    dull = nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(196, 5)).eval()
    nn.init.zeros_(dull[3].weight)
    with pytest.raises(ValueError, match="changes nothing"):
        heal_network(dull, "blur3", pictures(), steps=4, **QUICK)


def test_large_pictures_are_learnt_from_more_gently_unless_a_rate_is_given():
    small, large = (HealingPlan().recipe(size, 10, 20).rate for size in (32, 224))
    assert large < small
    assert HealingPlan(rate=1e-3).recipe(224, 10, 20).rate == 1e-3


def test_a_remedy_that_shows_only_on_moved_pictures_changes_something():
    """As adaptive sampling does where its choice is the first phase."""

    class Corner(nn.Module):
        def __init__(self, weight):
            super().__init__()
            self.weight = weight

        def forward(self, x):
            return x.mean((2, 3)) + self.weight * x[:, :, 0, 0]

    pictures = torch.rand(2, 3, 8, 8)
    pictures[:, :, 0, 0] = 0
    network = SimpleNamespace(model=Corner(0.0), preprocess=None, name="corner")
    assert torch.allclose(_differ(network, Corner(1.0), "x", [pictures]), pictures.mean((2, 3)))
    with pytest.raises(ValueError, match="changes nothing"):
        _differ(network, Corner(0.0), "x", [pictures])
