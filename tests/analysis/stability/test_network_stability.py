"""The stability report: every number against the metric on its own, remedies against the first, and resuming."""

import os
import time

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from analysis.networks import metrics  # noqa: E402
from analysis.networks.metrics.shifts import DIRECTIONS  # noqa: E402
from analysis.runs.folder import RunFolder  # noqa: E402
from analysis.runs.journal import Journal  # noqa: E402
from analysis.stability.experiment import (  # noqa: E402
    NetworkStability,
    compare_remedies,
    measure_stability,
    table,
)
from analysis.stability.extras import PublishedShifts  # noqa: E402
from analysis.stability.labels import Labels  # noqa: E402
from analysis.stability.timing import ORDERS  # noqa: E402

SIZE, SPAN, N = 12, 4, 9


def network(stride=2, seed=0, classes=6):
    torch.manual_seed(seed)
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2, stride), nn.Flatten(), nn.LazyLinear(classes)
    model = nn.Sequential(*layers)
    with torch.no_grad():
        model(torch.zeros(1, 3, SIZE, SIZE))
        model[-1].weight *= 8
    return model.eval()


def stability(model, *args, **options):
    """The report of one model."""
    return compare_remedies({"model": model}, *args, **options).isel(remedy=0, drop=True)


@pytest.fixture
def pictures():
    return torch.rand(N, 3, 22, 22, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def labels():
    return torch.arange(N) % 6


def test_report_is_what_the_metrics_say(pictures, labels):
    model = network()
    options = {"frames": "grid", "half_pixel": (0.5, 2), "ten_crop": True, "preprocess": lambda x: 2 * x - 1}
    report = stability(model, pictures, labels, size=SIZE, span=SPAN, progress=False, batch_size=4, **options)
    with torch.no_grad():
        large = metrics.resized(pictures, SIZE + SPAN)
        frames = {s: model(2 * metrics.window(large, SIZE, s) - 1) for s in metrics.grid(SPAN)}
        crop = model(2 * metrics.resized(pictures, SIZE) - 1)
        halves = [model(2 * metrics.half_pixel_window(large, SIZE, (0, by - 2)) - 1) for by in (0, 0.5, 2)]
        ten = metrics.ten_crops(metrics.resized(pictures, round(SIZE * 256 / 224)), SIZE)
        votes = torch.stack([model(2 * part - 1).softmax(1) for part in ten]).mean(0)

    assert report.top1 == pytest.approx(100 * (crop.argmax(1) == labels).double().mean().item())
    assert report.ten_top1 == pytest.approx(100 * (votes.argmax(1) == labels).double().mean().item())
    top = {s: x.argmax(1) for s, x in frames.items()}
    for direction, (down, right) in DIRECTIONS.items():
        line = torch.stack([top[down * i, right * i] for i in range(-2, 3)])
        for s in range(1, SPAN + 1):
            expected = 100 * (line[s:] != line[:-s]).double().mean().item()
            assert report.flip_rate.sel(direction=direction, distance=s).item() == pytest.approx(expected)
        first = frames[-2 * down, -2 * right]
        for t in range(SPAN + 1):
            p, q = (x.double().log_softmax(1) for x in (first, frames[down * (t - 2), right * (t - 2)]))
            expected = (p.exp() * (p - q)).sum(1).mean().item()
            assert report.divergence.sel(direction=direction, t=t).item() == pytest.approx(expected, abs=1e-5)
    p, q = (halves[i].double().log_softmax(1) for i in (0, 1))
    assert report.half_divergence.sel(t_half=0.5).item() == pytest.approx(
        (p.exp() * (p - q)).sum(1).mean().item(), 1e-4
    )
    for (dy, dx), answer in top.items():
        expected = 100 * (answer == labels).double().mean().item()
        assert report.accuracy.sel(dy=dy, dx=dx).item() == pytest.approx(expected)
    everywhere = torch.stack([answer == labels for answer in top.values()]).all(0)
    assert report.adversary.sel(radius=2).item() == pytest.approx(100 * everywhere.double().mean().item())
    assert report.positions.values.tolist() == [1, 9, 25]
    change = [
        (frames[s].softmax(1) - frames[0, 0].softmax(1)).gather(1, top[0, 0][:, None]).abs().mean().item()
        for s in DIRECTIONS.values()
    ]
    assert report.mac.item() == pytest.approx(100 * np.mean(change), rel=1e-4)
    assert report.mfr.item() == pytest.approx(100)
    assert report.variation_histogram.sum() == pytest.approx(100)
    assert report.attrs["pictures"] == N
    assert 0 < report.flip_rate.mean() < 100  # or the test would say nothing


def test_comparison_is_relative_to_the_first(pictures, labels):
    models = {"plain": network(), "dense": network(1), "constant": nn.Sequential(nn.Flatten(), nn.Linear(432, 6))}
    nn.init.zeros_(models["constant"][1].weight)
    comparison = compare_remedies(
        {name: model.eval() for name, model in models.items()}, pictures, labels, size=SIZE, span=SPAN, progress=False
    )
    rows = table(comparison)
    assert list(rows.index) == list(models)
    rates = [
        {d: comparison.flip_rate.sel(remedy=name, direction=d).values for d in DIRECTIONS}
        for name in ("dense", "plain")
    ]
    assert rows.mfr["dense"] == pytest.approx(metrics.mean_flip_rate(*rates))
    assert rows.mfr["plain"] == 100
    assert rows.flips_avoided["constant"] == pytest.approx(100)
    assert rows.consistency["constant"] == 100
    assert rows.accuracy_lost["dense"] == pytest.approx(rows.top1["plain"] - rows.top1["dense"])
    assert rows.time_added["plain"] == 0
    assert (rows.milliseconds > 0).all()
    assert "ten_top1" not in rows
    alone = stability(models["dense"], pictures, labels, size=SIZE, span=SPAN, progress=False)
    # each has the memory order that was faster, and so its own last bits: one picture may be near a tie
    np.testing.assert_allclose(alone.flip_rate, comparison.flip_rate.sel(remedy="dense"), rtol=0, atol=100 / N)


def test_standard_errors_are_those_of_a_bootstrap(labels):
    pictures = torch.rand(60, 3, 16, 16, generator=torch.Generator().manual_seed(4))
    labels = torch.arange(60) % 6
    models = {"plain": network(), "dense": network(1)}
    found = compare_remedies(models, pictures, labels, size=SIZE, span=SPAN, progress=False, rounds=1)
    with torch.no_grad():
        tops, right = {}, {}
        for name, model in models.items():
            right[name] = model(metrics.resized(pictures, SIZE)).argmax(1) == labels
            for d, (down, right_by) in DIRECTIONS.items():
                steps = [metrics.window(pictures, SIZE, (down * i, right_by * i)) for i in range(-2, 3)]
                tops[name, d] = torch.stack([model(step).argmax(1) for step in steps])

    def measured(drawn):
        rates = {
            name: {
                d: [(tops[name, d][s:, drawn] != tops[name, d][:-s, drawn]).double().mean() for s in range(1, SPAN + 1)]
                for d in DIRECTIONS
            }
            for name in models
        }
        top1 = {name: right[name][drawn].double().mean().item() for name in models}
        flips = {name: 100 * np.mean([rates[name][d][0] for d in DIRECTIONS]) for name in models}
        return {
            "flips_avoided": 100 - metrics.mean_flip_rate(rates["dense"], rates["plain"]),
            "accuracy_lost": 100 * (top1["plain"] - top1["dense"]),
            "top1": 100 * top1["dense"],
            "flips_1px": flips["dense"],
            "flips_1px_fewer": flips["plain"] - flips["dense"],
        }

    rng = np.random.default_rng(0)
    draws = pd.DataFrame([measured(rng.integers(60, size=60)) for _ in range(300)])
    rows = table(found)
    everyone = measured(np.arange(60))
    for name in draws:
        assert rows[name]["dense"] == pytest.approx(everyone[name], abs=1e-9)
        assert rows[f"{name}_se"]["dense"] == pytest.approx(draws[name].std(), rel=0.2)
    assert rows.flips_avoided_se["plain"] == pytest.approx(0, abs=1e-9)
    assert rows.accuracy_lost_se["plain"] == rows.flips_1px_fewer_se["plain"] == rows.flips_1px_fewer["plain"] == 0
    alone = compare_remedies(models, pictures[:1], size=SIZE, span=SPAN, progress=False, rounds=1)
    assert np.isnan(alone.flips_1px_se).all()


def test_blocks_batches_and_bytes_change_nothing(pictures, labels):
    models = {"plain": network(), "other": network(seed=1)}
    byte = (255 * pictures).round().to(torch.uint8)
    options = {"size": SIZE, "span": SPAN, "progress": False, "rounds": 1}
    whole = compare_remedies(models, byte, labels, **options)
    parts = compare_remedies(models, byte, labels, batch_size=2, feeding={"block": 2}, **options)
    as_arrays = list(byte.permute(0, 2, 3, 1).numpy())
    by_name = Labels({f"array {i}": int(label) for i, label in enumerate(labels)})
    arrays = compare_remedies(models, as_arrays, by_name, side=22, **options)
    for name, value in whole.items():
        if name not in ("milliseconds", "time_added", "memory_order"):
            for other in (parts, arrays):
                if value.dtype.kind == "f":
                    np.testing.assert_allclose(other[name], value, rtol=1e-5, atol=1e-7)
                else:
                    assert other[name].equals(value)


def test_the_middle_square_is_measured(labels):
    wide = torch.rand(N, 3, 22, 30, generator=torch.Generator().manual_seed(3))
    options = {"size": SIZE, "span": SPAN, "progress": False, "rounds": 1}
    found, expected = (compare_remedies({"a": network()}, x, labels, **options) for x in (wide, wide[..., 4:26]))
    np.testing.assert_allclose(found.divergence, expected.divergence, rtol=1e-6)


def test_sums_add_up_and_make_the_report(pictures, labels):
    """The vector of several pictures is the sum of theirs: what blocks, resuming and the bootstrap rest on."""
    by_name = Labels({f"array {i}": int(label) for i, label in enumerate(labels)})
    models = {"plain": network(), "other": network(seed=1)}
    experiment = NetworkStability(models, SIZE, SPAN, side=22, labels=by_name, ten_crop=True)
    names = [f"array {i}" for i in range(N)]
    whole, _ = experiment.measure(pictures.numpy(), names)
    assert whole.shape == (experiment.length,) and whole.dtype == np.float64
    alone = [experiment.measure(pictures[i : i + 1].numpy(), names[i : i + 1])[0] for i in range(N)]
    np.testing.assert_allclose(np.sum(alone, 0), whole, rtol=1e-5, atol=1e-5)
    report = experiment.dataset(whole)
    assert report.attrs["pictures"] == N and report.remedy.values.tolist() == ["plain", "other"]


def test_without_labels_there_is_no_accuracy(pictures):
    report = stability(network(), pictures, size=SIZE, span=SPAN, progress=False, half_pixel=())
    assert np.isnan(report.top1)
    assert "accuracy" not in report
    assert "half_divergence" not in report
    assert np.isfinite(report.consistency)


@pytest.mark.parametrize("classes", [2, 5])
def test_few_classes_have_an_accuracy_but_no_top5(pictures, classes):
    model, labels = network(classes=classes), torch.arange(N) % classes
    report = stability(model, pictures, labels, size=SIZE, span=SPAN, progress=False, ten_crop=True)
    with torch.no_grad():
        right = model(metrics.resized(pictures, SIZE)).argmax(1) == labels
    assert report.top1 == pytest.approx(100 * right.double().mean().item())
    assert np.isfinite(report.ten_top1)
    assert np.isnan(report.top5) and np.isnan(report.ten_top5)


def test_a_reference_that_never_flips_leaves_no_mfr(pictures):
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 4)).eval()
    nn.init.zeros_(model[2].weight)
    report = stability(model, pictures, size=SIZE, span=SPAN, progress=False)
    assert np.isnan(report.mfr)
    assert np.isnan(report.flips_avoided)


@pytest.mark.parametrize("windows", ["circular", "reflect"])
def test_pictures_of_the_networks_own_size_are_not_resampled_and_go_on_as_is_said(pictures, labels, windows):
    model, small = network(), pictures[:, :, :SIZE, :SIZE].contiguous()
    report = stability(model, small, labels, size=SIZE, span=SPAN, windows=windows, progress=False, half_pixel=())
    pads = (SPAN // 2,) * 4
    large = nn.functional.pad(small, pads, windows)
    with torch.no_grad():
        share = float((model(small).argmax(1) == labels).double().mean())
        frames = torch.stack([model(metrics.window(large, SIZE, shift)) for shift in metrics.lines(SPAN)])
        down, right = metrics.lines(SPAN)[0]
        rolled = model(small.roll((-down, -right), (2, 3)))
        assert (down, right) != (0, 0) and torch.allclose(frames[0], rolled, atol=1e-5) == (windows == "circular")
    consistency = metrics.Consistency()
    consistency.update(frames)
    assert report.top1 == pytest.approx(100 * share)
    assert report.consistency == pytest.approx(100 * consistency.compute())
    assert report.attrs["windows"] == windows


def test_other_windows_are_refused():
    with pytest.raises(ValueError, match="reflect"):
        NetworkStability({"plain": network()}, SIZE, SPAN, windows="mirrored")


OPTIONS = {"size": SIZE, "span": SPAN}


def resumed(folder, models, pictures, labels=None, overwrite=False, **options):
    """One run whose journal is in a folder, four pictures a block."""
    labels = None if labels is None else Labels({f"array {i}": int(label) for i, label in enumerate(labels)})
    experiment = NetworkStability(models, SIZE, SPAN, side=22, labels=labels, **options)
    arrays = list(pictures.permute(0, 2, 3, 1).numpy())
    with RunFolder(folder, "stability.journal", experiment.settings(), overwrite=overwrite) as run:
        return measure_stability(arrays, experiment, 1, journal=Journal(run), block=4, progress=False)


def test_resuming_measures_only_what_is_left_to_the_last_bit(tmp_path, pictures, labels, monkeypatch):
    models = {"plain": network(), "other": network(seed=1)}
    labels = torch.cat((labels, labels[:2]))  # a table with more pictures than the folder has
    measure, calls = NetworkStability.measure, []

    def interrupted(self, *args):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(self, *args)

    monkeypatch.setattr(NetworkStability, "measure", interrupted)
    with pytest.raises(KeyboardInterrupt):
        resumed(tmp_path, models, pictures, labels)
    found = resumed(tmp_path, models, pictures, labels)
    assert len(calls) == 2 + 2  # three blocks in all, one of them before
    (tmp_path / "whole").mkdir()
    os.link(tmp_path / "stability.timing", tmp_path / "whole" / "stability.timing")
    for again in (resumed(tmp_path, models, pictures, labels), expected_in(tmp_path, found, models, pictures, labels)):
        for name in again.data_vars:
            assert again[name].equals(found[name]), name
    more = resumed(tmp_path, models, torch.cat((pictures, pictures[:2])), labels)
    assert more.attrs["pictures"] == N + 2


def expected_in(folder, found, models, pictures, labels):
    """The same without a stop, in the orders of memory of `found`."""
    labels = Labels({f"array {i}": int(label) for i, label in enumerate(labels)})
    experiment = NetworkStability(models, SIZE, SPAN, side=22, labels=labels)
    for name, network in experiment.networks.items():
        network.memory_order = found.memory_order.sel(remedy=name).item()
        network.seconds = found.milliseconds.sel(remedy=name).item() / 1000
    arrays = pictures.numpy()
    names = [f"array {i}" for i in range(N)]
    sums = sum(experiment.measure(arrays[i : i + 4], names[i : i + 4])[0] for i in range(0, N, 4))
    return experiment.dataset(sums)


def test_a_run_of_others_is_refused(tmp_path, pictures, labels):
    models = {"plain": network(), "other": network(seed=1)}
    resumed(tmp_path, models, pictures, labels)
    longer = nn.Sequential(*models["other"], nn.Identity()).eval()
    cases = {
        "plain: weights_sha256 is": ({**models, "plain": network(seed=5)}, labels, {}),
        "other: layers_sha256 is": ({**models, "other": longer}, labels, {}),
        "labels_sha256 is": (models, labels.flip(0), {}),
        "half_pixel is": (models, labels, {"half_pixel": (1,)}),
        "belongs to another plain: it answers otherwise": (models, labels, {"preprocess": lambda x: 2 * x}),
    }
    for message, (others, truth, options) in cases.items():
        with pytest.raises(ValueError, match=message) as caught:
            resumed(tmp_path, others, pictures, truth, **options)
        assert str(tmp_path / "stability.journal") in str(caught.value)
    changed = pictures.clone()
    changed[5] = 0  # of the second block
    assert not resumed(tmp_path, models, changed, labels).divergence.equals(resumed(tmp_path, models, pictures, labels))
    with RunFolder(tmp_path, "stability.journal", {}), pytest.raises(BlockingIOError):
        resumed(tmp_path, models, pictures, labels)
    resumed(tmp_path, {"plain": network(seed=5)}, pictures, labels, overwrite=True)


def test_pictures_that_track_gradients_are_measured(tmp_path, pictures, labels):
    """And networks whose weights do, which is what networks are like."""
    models = {"plain": network().requires_grad_(True)}
    options = {"size": SIZE, "span": SPAN, "progress": False, "rounds": 1}
    tracked = compare_remedies(models, pictures.clone().requires_grad_(True), labels, **options)
    plain = compare_remedies(models, pictures, labels, **options)
    np.testing.assert_allclose(tracked.divergence, plain.divergence, rtol=1e-5)


def test_counters_of_batch_normalisation_are_settings_too(tmp_path, pictures):
    def normed(count):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
        model[1].num_batches_tracked.fill_(count)  # a tensor without axes
        return model

    first, again = (resumed(tmp_path, {"plain": normed(3)}, pictures) for _ in range(2))
    assert first.divergence.equals(again.divergence)
    with pytest.raises(ValueError, match="plain: weights_sha256 is"):
        resumed(tmp_path, {"plain": normed(4)}, pictures)


def test_results_say_of_which_weights_labels_and_layers_they_are(pictures, labels):
    models = {"plain": network(), "other": network(seed=1)}
    changes = {"other": ["pool: MaxPool2d to blur3", "conv: stride"]}
    options = {"size": SIZE, "span": SPAN, "progress": False, "rounds": 1}
    found = compare_remedies(models, pictures, labels, changes=changes, **options)
    assert found.changes.values.tolist() == ["", "pool: MaxPool2d to blur3\nconv: stride"]
    assert len(set(found.weights_sha256.values)) == 2
    again = compare_remedies({"plain": models["other"]}, pictures, labels.flip(0), **options)
    assert again.weights_sha256[0] == found.weights_sha256[1]
    assert again.attrs["images_sha256"] == found.attrs["images_sha256"]
    assert again.attrs["labels_sha256"] != found.attrs["labels_sha256"]


class Slow(nn.Module):
    """A network that dawdles over maps in one order of memory."""

    def __init__(self, order):
        super().__init__()
        self.inner, self.order, self.seen = network(), order, []

    def forward(self, x):
        last = x.is_contiguous(memory_format=torch.channels_last)
        self.seen.append("channels last" if last else "channels first")
        end = time.process_time() + 0.02 * (self.seen[-1] == self.order)
        while time.process_time() < end:
            pass
        return self.inner(x)


def test_every_model_is_measured_in_its_faster_order_of_memory(tmp_path, pictures):
    models = {order: Slow(order).eval() for order in ORDERS}
    found = resumed(tmp_path, models, pictures)
    assert found.memory_order.values.tolist() == list(ORDERS)[::-1]
    for order, model in models.items():
        before = 1 + 1 + 2 * 2  # number of classes; first picture; two warming up, one round of two
        assert set(model.seen[:before]) == set(ORDERS)
        assert order not in model.seen[before:]  # the pictures themselves
    np.testing.assert_allclose(found.divergence[0], found.divergence[1], rtol=1e-3, atol=1e-6)
    again = resumed(tmp_path, models, pictures)
    for name in ("divergence", "milliseconds", "memory_order"):
        assert again[name].equals(found[name])


@pytest.mark.parametrize("windows", ["true", "reflect", "circular"])
def test_no_frame_is_run_twice(pictures, windows):
    given = []

    class Counting(nn.Module):
        def forward(self, x):
            given.extend(x.flatten(1).numpy().copy())
            return x.flatten(1)[:, :6]

    experiment = NetworkStability(
        {"plain": Counting().eval()},
        SIZE,
        SPAN,
        windows=windows,
        ten_crop=True,
        extras=[PublishedShifts(SIZE, SPAN)],
        preprocess=lambda x: x - 0.25,  # published forms go without
    )
    given.clear()
    experiment.measure(pictures[:1].numpy(), ["a"])
    frames = 3 * SPAN + 1 + (windows == "true") + 2 + 10 + 2 + 3 * 3 * SPAN
    assert len(given) == len(np.unique(given, axis=0)) == frames


def test_bad_input(pictures, labels):
    model = network()
    options = {"size": SIZE, "span": SPAN, "progress": False}
    with pytest.raises(ValueError, match=r"Sequential is in training mode; call model\.eval"):
        stability(network().train(), pictures, **options)
    with pytest.raises(ValueError, match="unknown frames 'all'; known: 'lines', 'grid'"):
        stability(model, pictures, frames="all", **options)
    with pytest.raises(ValueError, match="half_pixel holds 9"):
        stability(model, pictures, half_pixel=(9,), **options)
    with pytest.raises(ValueError, match="models is empty"):
        compare_remedies({}, pictures, **options)
    for empty, message in ((pictures[:0], "there are no pictures"), ([], "none of the 0 images")):
        with pytest.raises(ValueError, match=message):
            stability(model, empty, **options)
    with pytest.raises(ValueError, match=r"pictures have shape \(9, 1, 22, 22\); expected"):
        stability(model, pictures[:, :1], **options)
    with pytest.raises(ValueError, match="there are 8 labels for 9 pictures"):
        stability(model, pictures, labels[1:], **options)
    with pytest.raises(ValueError, match="model: label 6 of array 8 is out of range"):
        stability(model, pictures, torch.where(torch.arange(N) == 8, 6, labels), **options)
    broken = network()
    nn.init.constant_(broken[4].bias, float("nan"))
    with pytest.raises(ValueError, match=r"blur3: logits: \d+ of \d+ values are NaN"):
        compare_remedies({"plain": model, "blur3": broken}, pictures, **options)
    with pytest.raises(ValueError, match=r"model: the model returns shape \(1, 8, 10, 10\); expected logits"):
        stability(model[:1].eval(), pictures, batch_size=8, **options)
