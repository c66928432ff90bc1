"""The stability report: every number against the metric on its own, remedies against the first, and resuming."""

import time

import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from analysis.networks import metrics  # noqa: E402
from analysis.networks.metrics.shifts import DIRECTIONS  # noqa: E402
from analysis.stability.experiment import ORDERS, Stability, compare_remedies, stability, table  # noqa: E402

SIZE, SPAN, N = 12, 4, 9


def network(stride=2, seed=0, classes=6):
    torch.manual_seed(seed)
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2, stride), nn.Flatten(), nn.LazyLinear(classes)
    model = nn.Sequential(*layers)
    with torch.no_grad():
        model(torch.zeros(1, 3, SIZE, SIZE))
        model[-1].weight *= 8
    return model.eval()


@pytest.fixture
def pictures():
    return torch.rand(N, 3, 20, 26, generator=torch.Generator().manual_seed(3))


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
    np.testing.assert_array_equal(alone.flip_rate, comparison.flip_rate.sel(remedy="dense"))


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
        return {
            "flips_avoided": 100 - metrics.mean_flip_rate(rates["dense"], rates["plain"]),
            "accuracy_lost": 100 * (top1["plain"] - top1["dense"]),
            "top1": 100 * top1["dense"],
            "flips_1px": 100 * np.mean([rates["dense"][d][0] for d in DIRECTIONS]),
        }

    rng = np.random.default_rng(0)
    draws = pd.DataFrame([measured(rng.integers(60, size=60)) for _ in range(300)])
    rows = table(found)
    everyone = measured(np.arange(60))
    for name in draws:
        assert rows[name]["dense"] == pytest.approx(everyone[name], abs=1e-9)
        assert rows[f"{name}_se"]["dense"] == pytest.approx(draws[name].std(), rel=0.2)
    assert rows.flips_avoided_se["plain"] == pytest.approx(0, abs=1e-9)
    assert rows.accuracy_lost_se["plain"] == 0
    alone = compare_remedies(models, pictures[:1], size=SIZE, span=SPAN, progress=False, rounds=1)
    assert np.isnan(alone.flips_1px_se).all()


def test_batches_bytes_and_merging_change_nothing(pictures, labels):
    model = network()
    byte = (255 * pictures).round().to(torch.uint8)
    whole, parts, rest = (Stability(model, SIZE, SPAN) for _ in range(3))
    whole.update(byte, labels)
    parts.update(byte[:2], labels[:2])
    rest.update(byte[2:], labels[2:])
    merged = parts.merge(rest).compute()
    for name, value in whole.compute().items():
        np.testing.assert_allclose(merged[name], value, rtol=1e-5, atol=1e-7)
    stream = stability(model, zip(byte.split(4), labels.split(4), strict=True), size=SIZE, span=SPAN, progress=False)
    np.testing.assert_allclose(stream.flip_rate, merged.flip_rate)


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


def test_resuming_measures_only_what_is_left(tmp_path, pictures, labels, monkeypatch):
    monkeypatch.setattr("analysis.stability.experiment.READ", 4)
    models = {"plain": network(), "other": network(seed=1)}
    options = {"size": SIZE, "span": SPAN, "progress": False, "rounds": 1}
    expected = compare_remedies(models, pictures, labels, **options)

    path = tmp_path / "state.pt"
    update, calls = Stability.update, []

    def interrupted(self, *args, **kwargs):
        calls.append(self)
        if len(calls) == 4:
            raise KeyboardInterrupt
        update(self, *args, **kwargs)

    monkeypatch.setattr(Stability, "update", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compare_remedies(models, pictures, labels, checkpoint=path, **options)
    found = compare_remedies(models, pictures, labels, checkpoint=path, **options)
    assert len(calls) == 4 + 3  # six updates in all, three of them before
    for name in ("flip_rate", "top1", "accuracy", "divergence"):  # orders of memory round differently
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-3, atol=1e-7)
    again = compare_remedies(models, pictures, labels, checkpoint=path, **options)
    assert len(calls) == 7
    np.testing.assert_array_equal(again.flip_rate, expected.flip_rate)

    with pytest.raises(ValueError, match="other models, weights or settings"):
        compare_remedies({"plain": network(seed=5), "other": models["other"]}, pictures, checkpoint=path, **options)
    with pytest.raises(ValueError, match="batch 1 is not the one"):
        changed = pictures.clone()
        changed[5] = 0
        compare_remedies(models, changed, labels, checkpoint=path, **options)
    with pytest.raises(ValueError, match="of more pictures: of 3 batches, but there are 2 now"):
        compare_remedies(models, pictures[:8], labels[:8], checkpoint=path, **options)
    for other in ({"preprocess": lambda x: 2 * x}, {"version": "2"}):
        with pytest.raises(ValueError, match="other models, weights or settings"):
            compare_remedies(models, pictures, labels, checkpoint=path, **options, **other)
    path.write_bytes(b"no state")
    with pytest.raises(ValueError, match="cannot resume from"):
        compare_remedies(models, pictures, labels, checkpoint=path, **options)


def test_batch_normalisation_is_resumed_too(tmp_path, pictures):
    def normed(count):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
        model[1].num_batches_tracked.fill_(count)  # a tensor without axes
        return model

    options = {"size": SIZE, "span": SPAN, "progress": False, "rounds": 1, "checkpoint": tmp_path / "state.pt"}
    first, again = (compare_remedies({"plain": normed(3)}, pictures, **options) for _ in range(2))
    np.testing.assert_array_equal(first.divergence, again.divergence)
    with pytest.raises(ValueError, match="other models, weights or settings"):
        compare_remedies({"plain": normed(4)}, pictures, **options)


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
    options = {"size": SIZE, "span": SPAN, "progress": False, "rounds": 2, "checkpoint": tmp_path / "state.pt"}
    found = compare_remedies(models, pictures, **options)
    assert found.memory_order.values.tolist() == list(ORDERS)[::-1]
    for order, model in models.items():
        assert set(model.seen[: 1 + 2 * 3]) == set(ORDERS)  # the probe; two warming up, two rounds of two
        assert order not in model.seen[1 + 2 * 3 :]  # the pictures themselves
    np.testing.assert_allclose(found.divergence[0], found.divergence[1], rtol=1e-3, atol=1e-6)
    again = compare_remedies(models, pictures, **options)
    np.testing.assert_array_equal(again.divergence, found.divergence)


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
    with pytest.raises(ValueError, match="there are no pictures"):
        stability(model, [], **options)
    with pytest.raises(ValueError, match="there are 8 labels for 9 pictures"):
        stability(model, pictures, labels[1:], **options)
    with pytest.raises(ValueError, match="labels go with a tensor"):
        stability(model, [pictures], labels, **options)
    broken = network()
    nn.init.constant_(broken[4].bias, float("nan"))
    with pytest.raises(ValueError, match=r"blur3: logits: 54 of 54 values are NaN"):
        compare_remedies({"plain": model, "blur3": broken}, pictures, **options)
    with pytest.raises(ValueError, match=r"model: the model returns shape \(8, 8, 10, 10\); expected logits"):
        stability(model[:1].eval(), pictures, batch_size=8, **options)
