"""The training loop: recipes, schedules, checkpoints, and runs that are killed and resumed to the same numbers."""

from __future__ import annotations

import csv
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from analysis import networks  # noqa: E402
from analysis.networks.metrics import MultilabelScores  # noqa: E402
from analysis.networks.training.checkpoint import CheckpointError, load_checkpoint  # noqa: E402
from analysis.networks.training.data import Data, Examples, load_data, split  # noqa: E402
from analysis.networks.training.loop import Diverged, best_epoch, evaluate, objective  # noqa: E402
from analysis.networks.training.orchestration import train_network  # noqa: E402
from analysis.networks.training.recipe import RECIPES, recipe  # noqa: E402
from analysis.runs.folder import RunFolder  # noqa: E402

SIDE, CLASSES = 8, 3


def tiny(classes=CLASSES, channels=3, seed=0):
    """Batch normalisation and dropout, so that both have state to lose."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(channels, 6, 3),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.AdaptiveMaxPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(24, classes),
        )


def small_recipe(**changes):
    base = recipe("resnet-cifar10", classes=CLASSES, batch=8, epochs=3, milestones=(2,), rate=0.05, held_out=0.2)
    return replace(base, size=(SIDE, SIDE), **changes)


def small_data(count=61, seed=0, held_out=0.2):
    """Pictures whose class is the brightest colour."""
    rng = np.random.default_rng(seed)
    classes = np.arange(count) % CLASSES
    pictures = rng.integers(0, 120, (count, SIDE, SIDE, 3))
    pictures[np.arange(count), :, :, classes] += 100
    examples = Examples(pictures.astype(np.uint8), classes.astype(np.int64))
    training, validation = split(examples, held_out)
    return Data(examples.select(training), examples.select(validation), None, (0.5,) * 3, (0.25,) * 3)


def numbers(rows):
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def quietly(chosen, model, data, out, **options):
    """The log of a training."""
    return train_network(chosen, data, out, network=model, progress=False, **options).rows


# Recipes


def test_recipes_are_those_of_the_documents():
    assert networks.recipes() == RECIPES
    assert set(RECIPES) >= {
        *("alexnet-imagenet", "resnet-imagenet", "resnet-cifar10", "vgg13-cifar10", "densenet40-cifar10"),
        *("vgg41-fsd50k", "vgg41-esc10"),
    }
    for name, known in RECIPES.items():
        assert known.name == name and re.search("Leterme|Zhang|Fonseca", known.source)
    assert RECIPES["alexnet-imagenet"].rate == 0.01 and RECIPES["resnet-imagenet"].rate == 0.1
    sound = RECIPES["vgg41-fsd50k"]
    assert (sound.optimiser, sound.rate, sound.batch, sound.mixup) == ("adam", 3e-5, 128, 1.25)
    assert round(RECIPES["alexnet-imagenet"].held_out * 1_281_167) == 100_000
    blurpool = [known for name, known in RECIPES.items() if name.startswith(("vgg13", "densenet"))]
    assert len(blurpool) == 4 and {(known.held_out, known.keep) for known in blurpool} == {(0, "last")}


@pytest.mark.parametrize("name", RECIPES)
def test_the_rate_of_every_epoch(name):
    known = RECIPES[name]
    optimiser = known.make_optimiser(nn.Linear(2, 2))
    schedule = known.make_schedule(optimiser)
    assert optimiser.param_groups[0]["weight_decay"] == known.weight_decay
    for epoch in range(min(known.epochs, 120)):
        expected = known.rate * known.factor ** sum(epoch >= m for m in known.milestones)
        if known.patience:  # the metric never becomes better: halved after every so many epochs that follow the first
            expected = known.rate * known.factor ** (max(epoch - 1, 0) // known.patience)
        assert optimiser.param_groups[0]["lr"] == pytest.approx(expected, rel=1e-12), epoch
        optimiser.step()
        schedule.step(*([0.5] if known.patience else []))


def test_better_is_less_error_and_more_precision():
    error, precision = RECIPES["resnet-cifar10"], RECIPES["vgg41-fsd50k"]
    assert error.better(10, 20) and not error.better(20, 20)
    assert precision.better(0.6, 0.5) and not precision.better(0.5, 0.5)
    assert best_epoch([], error) == 0
    assert best_epoch([{"top1_error": e} for e in (30, 20, 20, 25)], error) == 2
    assert best_epoch([{"mAP": m} for m in (0.3, 0.2, 0.4)], precision) == 3
    last = replace(error, keep="last")
    assert best_epoch([], last) == 0 and best_epoch([{"top1_error": e} for e in (30, 20, 25)], last) == 3


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"batch": 0}, "batch is 0"),
        ({"rate": -1.0}, "rate must be positive"),
        ({"optimiser": "lion"}, "optimiser is 'lion'; expected one of sgd, adam"),
        ({"augmentation": "cutout"}, "augmentation is 'cutout'; expected one of none, resized-crop"),
        ({"held_out": 1.0}, "held_out is 1.0"),
        ({"patience": 3}, "both milestones and patience"),
        ({"keep": "first"}, "keep is 'first'; expected one of best, last"),
        ({"stop_after": 3, "keep": "last"}, "stop_after is 3"),
        ({"loss": "binary cross-entropy"}, "expected 'mAP'"),
        ({"kind": "spectrograms"}, "augmentation is 'resized-crop', which is for pictures"),
    ],
)
def test_recipes_that_cannot_be(changes, message):
    with pytest.raises(ValueError, match=message):
        small_recipe(**changes)


def test_unknown_recipes_name_the_nearest():
    with pytest.raises(ValueError, match=r"unknown recipe 'alexnet' \(did you mean 'alexnet-imagenet'"):
        recipe("alexnet")
    with pytest.raises(TypeError, match="colour"):
        recipe("resnet-cifar10", colour="blue")
    assert recipe("vgg41-fsd50k", mixup=None).mixup is None


# The loop


def test_it_learns_and_writes_what_it_says(tmp_path):
    data, chosen = small_data(), small_recipe(epochs=6)
    model = tiny()
    rows = quietly(chosen, model, data, tmp_path, name="tiny")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["best.pt", "last.pt", "log.csv"]
    assert rows[-1]["training_loss"] < 0.7 * rows[0]["training_loss"]
    assert min(row["top1_error"] for row in rows) < 20
    assert not any(module.training for module in model.modules())
    with open(tmp_path / "log.csv") as file:
        table = list(csv.DictReader(file))
    assert [{key: float(value) for key, value in row.items()} for row in table] == rows
    assert [row["step"] for row in rows] == [6 * (i + 1) for i in range(6)]  # 49 pictures: 6 batches of 8, and 1 left
    assert [row["learning_rate"] for row in rows] == pytest.approx([0.05, 0.05, *[0.005] * 4])

    best = load_checkpoint(tmp_path / "best.pt")
    assert best["epoch"] == best_epoch(rows, chosen) and best["belongs"]["network"] == "tiny"
    again = tiny(seed=1)
    again.load_state_dict(best["model"])
    loss, error = evaluate(again, data.validation, data, chosen)
    row = rows[best["epoch"] - 1]
    assert (loss, error) == (row["validation_loss"], row["top1_error"])


def test_the_last_epoch_is_kept_on_request(tmp_path):
    data, chosen = small_data(), small_recipe(epochs=4, rate=2.0, milestones=(), keep="last")  # becomes no better
    model = tiny()
    done = train_network(chosen, data, tmp_path, network=model, progress=False)
    assert done.best == 4 and load_checkpoint(tmp_path / "best.pt")["epoch"] == 4
    assert best_epoch(done.rows, replace(chosen, keep="best")) < 4
    state, last = load_checkpoint(tmp_path / "last.pt")["model"], model.state_dict()
    assert all(torch.equal(state[name], last[name]) for name in last)
    assert "last" in done.summary().splitlines()[-1]


def test_one_step_is_that_of_torch(tmp_path):
    """Loss and weights after one step of the whole set, computed without the loop."""
    data, chosen = small_data(20), small_recipe(epochs=1, batch=64, augmentation="none", milestones=())
    model, plain = (nn.Sequential(nn.Flatten(), nn.Linear(3 * SIDE**2, CLASSES)) for _ in range(2))
    plain.load_state_dict(model.state_dict())
    rows = quietly(chosen, model, data, tmp_path)
    x = torch.from_numpy(data.train.inputs[data.train.rows]).permute(0, 3, 1, 2) / 255 * 4 - 2
    optimiser = torch.optim.SGD(plain.parameters(), 0.05, momentum=0.9, weight_decay=1e-4)
    loss = nn.functional.cross_entropy(plain(x), torch.from_numpy(data.train.targets))
    loss.backward()
    optimiser.step()
    assert rows[0]["training_loss"] == pytest.approx(loss.item(), rel=1e-5)
    torch.testing.assert_close(model.state_dict(), plain.state_dict())


def test_the_models_own_regulariser_is_added(tmp_path):
    class Regularised(nn.Sequential):
        def regularisation(self):
            return 100 + 0 * self[6].weight.sum()

    data, chosen = small_data(), small_recipe(epochs=1)
    with_it = quietly(chosen, Regularised(*tiny()), data, tmp_path / "with")[0]
    without = quietly(chosen, tiny(), data, tmp_path / "without")[0]
    assert with_it["training_loss"] == pytest.approx(without["training_loss"] + 100)
    assert with_it["validation_loss"] == pytest.approx(without["validation_loss"])


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of Python 3.12, if there are threads
def test_workers_and_saving_change_nothing(tmp_path):
    data, chosen = small_data(), small_recipe()
    expected = numbers(quietly(chosen, tiny(), data, tmp_path / "a"))
    torch.manual_seed(99)
    options = {"workers": 2, "save_every": 2}
    assert numbers(quietly(chosen, tiny(), data, tmp_path / "b", **options)) == expected
    assert numbers(quietly(chosen, tiny(), data, tmp_path / "c", seed=1)) != expected


def test_training_leaves_the_generator_alone(tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    quietly(small_recipe(epochs=1), tiny(), small_data(), tmp_path)
    assert torch.equal(before, torch.get_rng_state())


def test_it_stops_early_and_goes_on_with_more_epochs(tmp_path):
    data = small_data()
    same = small_recipe(epochs=9, rate=1e-12, stop_after=3)  # nothing is learnt: the first epoch stays the best
    model = tiny()
    model[1].momentum = 0.0
    assert len(quietly(same, model, data, tmp_path / "stop")) == 4
    rows = quietly(small_recipe(epochs=2), tiny(), data, tmp_path / "more")
    rows = quietly(small_recipe(epochs=3), tiny(seed=4), data, tmp_path / "more")
    assert numbers(rows) == numbers(quietly(small_recipe(epochs=3), tiny(), data, tmp_path / "whole"))
    assert numbers(quietly(small_recipe(epochs=2), tiny(), data, tmp_path / "more")) == numbers(rows)  # it has ended


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_lower_precision_is_near(tmp_path, precision):
    data, chosen = small_data(), small_recipe(epochs=1)
    exact = quietly(chosen, tiny(), data, tmp_path / "a")[0]
    near = quietly(chosen, tiny(), data, tmp_path / "b", precision=precision)[0]
    assert exact["training_loss"] != near["training_loss"]
    assert exact["training_loss"] == pytest.approx(near["training_loss"], rel=0.05)


def test_several_classes_at_once(tmp_path):
    rng = np.random.default_rng(0)
    targets = rng.integers(0, 2, (40, CLASSES)).astype(np.uint8)
    examples = Examples(rng.standard_normal((40, SIDE, 5)).astype(np.float32) + targets[:, None, :1], targets)
    data = Data(examples.select(np.arange(30)), examples.select(np.arange(30, 40)), None, (0.5,), (1.2,))
    chosen = recipe("vgg41-fsd50k", classes=CLASSES, batch=8, epochs=2, rate=1e-3)
    chosen = replace(chosen, size=(SIDE, 5), mixup=None)
    model = tiny(channels=1)
    rows = quietly(chosen, model, data, tmp_path)
    assert list(rows[0])[5] == "mAP"
    with torch.no_grad():
        logits = model(data.prepared(torch.from_numpy(examples.inputs[30:])))
    scores = MultilabelScores(logits=True)
    scores.update(logits, torch.from_numpy(targets[30:]))
    loss = nn.functional.binary_cross_entropy_with_logits(logits, torch.from_numpy(targets[30:]).float())
    best = rows[best_epoch(rows, chosen) - 1]
    assert (best["mAP"], best["validation_loss"]) == pytest.approx((scores.compute()["mAP"], loss.item()))


def test_recordings_are_scored_by_the_mean_of_their_patches(tmp_path):
    pytest.importorskip("analysis.networks.audio")

    class Given(nn.Module):
        def forward(self, x):
            return x[:, 0, 0]

    probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.45, 0.55], [0.45, 0.55], [0.9, 0.1]])
    examples = Examples(np.log(probabilities)[:, None], np.array([1, 1, 0, 0, 0]), np.array([7, 7, 3, 3, 3]))
    data = Data(examples, examples, None, (0.0,), (1.0,))
    chosen = replace(RECIPES["vgg41-esc10"], classes=2, size=(1, 2))
    loss, error = evaluate(Given(), examples, data, chosen)
    assert error == 0  # though three of the five patches are wrong
    right = probabilities[np.arange(5), examples.targets]
    assert loss == pytest.approx(-np.log(right).mean(), rel=1e-6)
    alone = Examples(examples.inputs, examples.targets)
    assert evaluate(Given(), alone, data, chosen)[1] == pytest.approx(60)


def test_mixtures_are_the_same_again(tmp_path):
    pytest.importorskip("analysis.networks.audio")
    data, chosen = small_data(), small_recipe(epochs=1, mixup=1.25)
    first, second = (numbers(quietly(chosen, tiny(), data, tmp_path / name)) for name in "ab")
    assert first == second
    assert first[0]["training_loss"] > quietly(small_recipe(epochs=1), tiny(), data, tmp_path / "c")[0]["training_loss"]


def test_losses_of_soft_and_hard_targets_agree():
    logits, classes = torch.randn(5, CLASSES, generator=torch.Generator().manual_seed(0)), torch.tensor([0, 1, 2, 0, 1])
    soft = nn.functional.one_hot(classes, CLASSES).float()
    torch.testing.assert_close(objective(logits, classes, small_recipe()), objective(logits, soft, small_recipe()))


# Checkpoints


def test_another_run_is_refused_with_the_difference(tmp_path):
    data, chosen = small_data(), small_recipe(epochs=1)
    quietly(chosen, tiny(), data, tmp_path, name="tiny")
    log = (tmp_path / "log.csv").read_bytes()
    strided = tiny()
    strided[3] = nn.AdaptiveAvgPool2d(2)
    wide = nn.Sequential(nn.Conv2d(3, 7, 3), nn.BatchNorm2d(7), *tiny()[2:6], nn.Linear(28, CLASSES))
    cases = {
        r"batch is 8 there and 4 here": (small_recipe(epochs=1, batch=4), tiny(), data, {}),
        r"seed is 0 there and 1 here": (chosen, tiny(), data, {"seed": 1}),
        r"network is \"tiny\" there and \"other\" here": (chosen, tiny(), data, {"name": "other"}),
        r"data is \"\w+\" there and \"\w+\" here": (chosen, tiny(), small_data(seed=1), {}),
        r"0.weight is \(6, 3, 3, 3\) there and \(7, 3, 3, 3\) here": (chosen, wide, data, {}),
        r"7.weight is missing there": (chosen, nn.Sequential(*tiny(), nn.Linear(3, 3)), data, {}),
        r"other layers": (chosen, strided, data, {}),
        r"name is \"resnet-cifar10\" there and \"mine\" here": (replace(chosen, name="mine"), tiny(), data, {}),
    }
    for message, (other, model, others, options) in cases.items():
        with pytest.raises(ValueError, match=message) as caught:
            quietly(other, model, others, tmp_path, **{"name": "tiny", **options})
        assert str(tmp_path / "last.pt") in str(caught.value) and "\n" not in str(caught.value)
    assert (tmp_path / "log.csv").read_bytes() == log


def test_a_second_training_in_a_folder_is_refused_and_leaves_its_files_alone(tmp_path):
    data, chosen = small_data(), small_recipe(epochs=1)
    quietly(chosen, tiny(), data, tmp_path)
    (tmp_path / ".unfinished-1-last.pt").write_bytes(b"being written")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    with RunFolder(tmp_path, "last.pt", {}):
        (tmp_path / ".unfinished-1-last.pt").write_bytes(b"being written")
        for options in ({}, {"overwrite": True}):
            with pytest.raises(BlockingIOError, match=tmp_path.name):
                quietly(chosen, tiny(), data, tmp_path, **options)
        assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_one_changed_picture_is_another_data_set(tmp_path):
    """Wherever it is: every picture enters the digest."""
    chosen = small_recipe(epochs=1)
    quietly(chosen, tiny(), small_data(2000), tmp_path)
    for row in np.random.default_rng(0).integers(2000, size=5):
        data = small_data(2000)
        data.train.inputs[row, 0, 0, 0] ^= 1
        with pytest.raises(ValueError, match=r"data is .* there and .* here"):
            quietly(chosen, tiny(), data, tmp_path)


def test_fewer_epochs_than_were_run_train_nothing(tmp_path):
    data = small_data()
    first = train_network(small_recipe(epochs=2), data, tmp_path, network=tiny(), progress=False)
    state = (tmp_path / "last.pt").read_bytes()
    fewer = train_network(small_recipe(epochs=1), data, tmp_path, network=tiny(seed=1), progress=False)
    assert fewer.rows == first.rows and same(fewer.model.state_dict(), first.model.state_dict())
    assert (tmp_path / "last.pt").read_bytes() == state
    assert "2 epochs before, of which 1 are asked for" in fewer.summary() and "epochs before" not in first.summary()


def test_damaged_and_foreign_checkpoints(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trace"),)

    data, chosen, file = small_data(), small_recipe(epochs=1), tmp_path / "last.pt"
    quietly(chosen, tiny(), data, tmp_path)
    whole = file.read_bytes()
    contents = [whole[: len(whole) // 2], b"", b"nothing"]
    for content in ({"model": {}}, [1], {"model": Evil(), "belongs": {}}):
        torch.save(content, file)
        contents.append(file.read_bytes())
    state = load_checkpoint_of(whole, file)
    del state["optimiser"]
    torch.save(state, file)
    contents.append(file.read_bytes())
    for content in contents:
        file.write_bytes(content)
        with pytest.raises(CheckpointError, match=r"last\.pt"):
            quietly(chosen, tiny(), data, tmp_path)
    assert not (tmp_path / "trace").exists()
    with pytest.raises(FileNotFoundError, match=r"none\.pt"):
        load_checkpoint(tmp_path / "none.pt")


def load_checkpoint_of(content, file):
    file.write_bytes(content)
    return load_checkpoint(file)


def test_divergence_keeps_what_was_there(tmp_path):
    data = small_data()
    chosen = small_recipe(epochs=4, milestones=(1,), factor=1e30)
    with pytest.raises(Diverged, match=r"training diverged: .* lower learning rate"):
        quietly(chosen, tiny(), data, tmp_path, save_every=1)
    state = load_checkpoint(tmp_path / "last.pt")
    assert state["epoch"] >= 1 and state["losses"].isfinite().all()
    assert (tmp_path / "best.pt").exists() and len((tmp_path / "log.csv").read_text().splitlines()) == 2


def test_a_model_that_answers_nan_only_when_evaluated(tmp_path):
    model = tiny()
    model[1].momentum = None
    model[1].register_forward_hook(lambda module, _, y: y if module.training else y / 0)
    with pytest.raises(Diverged, match="answers NaN"):
        quietly(small_recipe(epochs=1), model, small_data(), tmp_path)


def test_arguments_that_cannot_be(tmp_path):
    data, chosen = small_data(), small_recipe()
    for options, message in (
        ({"precision": "float8"}, "precision is 'float8'"),
        ({"seed": -1}, "seed is -1"),
        ({"save_every": 0}, "save_every is 0"),
        ({"workers": -1}, "workers is -1"),
    ):
        with pytest.raises(ValueError, match=message):
            quietly(chosen, tiny(), data, tmp_path, **options)
    frozen = tiny().requires_grad_(False)
    with pytest.raises(ValueError, match="no parameter to train"):
        quietly(chosen, frozen, data, tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        quietly(chosen, tiny(), data, tmp_path / "file")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


# Killed and resumed

KILLED = """
import os, random, signal, sys
sys.path.insert(0, {tests!r})
import torch
torch.set_num_threads(1)
from test_training import quietly, small_data, small_recipe, tiny
from analysis.networks.training.checkpoint import load_checkpoint

def run(folder, seconds=0.0):
    # The system ends it after so many seconds of processor time, however busy the machine is.
    child = os.fork()
    if not child:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        quietly(small_recipe(epochs=3), tiny(), small_data(), folder, save_every=2)
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    return status, used.ru_utime + used.ru_stime

status, whole = run("whole")
assert status == 0
for attempt in range(3):
    died = run("killed", random.uniform(0.1, 0.5) * whole)[0] == signal.SIGPROF
    state = load_checkpoint("killed/last.pt") if os.path.exists("killed/last.pt") else dict(epoch=0, step=0)
    print(int(died), state["epoch"], state["step"])
assert run("killed")[0] == 0
"""


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_has_the_same_losses(tmp_path):
    """Without a word, at moments that nobody chose."""
    script = KILLED.format(tests=str(Path(__file__).parent))
    paths = os.pathsep.join([str(Path(__file__).parents[3]), os.environ.get("PYTHONPATH", "")])
    result = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    stages = [tuple(map(int, line.split())) for line in result.stdout.splitlines()]
    assert any(died for died, *_ in stages)
    assert [stage[1:] for stage in stages] == sorted(stage[1:] for stage in stages)  # never back
    for folder in ("whole", "killed"):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == ["best.pt", "last.pt", "log.csv"]
    ours, theirs = (load_checkpoint(tmp_path / folder / "last.pt") for folder in ("whole", "killed"))
    assert numbers(theirs["rows"]) == numbers(ours["rows"]) and len(ours["rows"]) == 3
    assert same(ours["model"], theirs["model"]) and same(ours["optimiser"], theirs["optimiser"])
    assert torch.equal(ours["random"], theirs["random"])


def same(a, b):
    """Whether nested containers are equal, tensors to the last bit."""
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return a == b


def test_a_run_that_dies_at_any_write_or_step_has_the_same_losses(tmp_path, monkeypatch):
    """Stopped before and after every file gets its name, and at every step."""
    data, chosen = small_data(20), small_recipe(epochs=3)
    expected = numbers(quietly(chosen, tiny(), data, tmp_path / "whole", save_every=1))
    best = load_checkpoint(tmp_path / "whole" / "best.pt")

    class Died(BaseException):
        pass

    rename, evaluated, moments = os.replace, objective, {"left": 0}

    def tick():
        moments["left"] -= 1
        if moments["left"] == 0:
            raise Died

    def replaced(source, target):
        tick()
        rename(source, target)
        tick()

    def stepped(*args):
        tick()
        return evaluated(*args)

    monkeypatch.setattr("analysis.files.atomic.os.replace", replaced)
    monkeypatch.setattr("analysis.networks.training.loop.objective", stepped)
    deaths = 0
    for moment in range(1, 100, 3):  # the writes and steps of an epoch are 17: all are met
        out = tmp_path / str(moment)
        moments["left"] = moment
        try:
            quietly(chosen, tiny(), data, out, save_every=1)
            break
        except Died:
            deaths += 1
        moments["left"] = 0
        model = tiny(seed=3 if (out / "last.pt").exists() else 0)  # weights are those of the checkpoint
        assert numbers(quietly(chosen, model, data, out, save_every=1)) == expected
        assert same(load_checkpoint(out / "best.pt"), best)
    assert 10 < deaths < 30


def test_the_first_examples_are_held_out_on_request(tmp_path):
    x = np.zeros((50, 32, 32, 3), np.uint8)
    x[:, 0, 0, 0] = np.arange(50)
    path = tmp_path / "data.npz"
    np.savez(path, train_x=x, train_y=np.arange(50) % 10, test_x=x[:10], test_y=np.arange(10))
    chosen = recipe("resnet-cifar10")
    found = load_data(path, chosen, hold_out="first", progress=False)
    assert found.validation.rows.tolist() == [0, 1, 2, 3, 4], "the first tenth, as the first 5000 of CIFAR-10"
    assert sorted(found.train.rows.tolist()) == list(range(5, 50))
    assert load_data(path, chosen, progress=False).validation.rows.tolist() != [0, 1, 2, 3, 4]
    with pytest.raises(ValueError, match="last"):
        load_data(path, chosen, hold_out="last", progress=False)
    with pytest.raises(ValueError, match="vgg13-cifar10 holds out nothing"):
        load_data(path, recipe("vgg13-cifar10"), hold_out="first", progress=False)
    folder = tmp_path / "folder"
    for name in ("a", "b"):
        (folder / "train" / name).mkdir(parents=True)
        for number in range(10):
            Image.fromarray(x[0]).save(folder / "train" / name / f"{number}.png")
    found = load_data(folder, recipe("resnet-cifar10", classes=2, held_out=0.2), hold_out="first", progress=False)
    assert found.validation.rows.tolist() == [0, 1, 10, 11], "the first of each class"


def test_arrays_may_have_their_own_validation_set(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (30, 32, 32, 3), dtype=np.uint8)
    y = np.arange(30) % 10
    path = tmp_path / "data.npz"
    np.savez(path, train_x=x[:20], train_y=y[:20], val_x=x[20:24], val_y=y[20:24], test_x=x[24:], test_y=y[24:])
    found = load_data(path, recipe("resnet-cifar10"), progress=False)
    assert found.origins == {"validation": "val", "test": "test"}
    assert (len(found.train), len(found.validation), len(found.test)) == (20, 4, 6)
    np.savez(path, train_x=x[:20], train_y=y[:20], val_x=x[20:24])
    with pytest.raises(ValueError, match="val_y"):
        load_data(path, recipe("resnet-cifar10"), progress=False)
