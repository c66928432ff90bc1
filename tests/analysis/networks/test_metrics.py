"""Metrics of stability: against slow obvious loops, closed forms, in batches, and with bad input."""

import itertools
import json
import math

import numpy as np
import pytest
from shared_data import DATA

torch = pytest.importorskip("torch")

from scipy import special, stats  # noqa: E402

from analysis.networks import metrics, replace_pooling  # noqa: E402
from analysis.networks.metrics.shifts import DIRECTIONS  # noqa: E402

F, N, C = 5, 13, 7


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(1)
    base = torch.randn(N, C, generator=generator, dtype=torch.float64)
    return base + 0.7 * torch.randn(F, N, C, generator=generator, dtype=torch.float64)


@pytest.fixture
def labels():
    return torch.randint(0, C, (N,), generator=torch.Generator().manual_seed(2))


def softmax(x):
    return np.exp(x) / np.exp(x).sum(-1, keepdims=True)


def streamed(make, update, *tensors):
    """The metric of everything at once, of uneven batches, and of two merged halves: all must agree."""
    cut = [slice(0, 1), slice(1, 6), slice(6, N)]
    whole, batches, first, second = (make() for _ in range(4))
    update(whole, *tensors)
    for i, part in enumerate(cut):
        pieces = [x[part] if x.ndim < 3 else x[:, part] for x in tensors]
        update(batches, *pieces)
        update(second if i == 2 else first, *pieces)
    first.merge(second)
    restored = make()
    restored.load_state_dict(batches.state_dict())
    for other in (batches, first, restored):
        assert other.sums.keys() == whole.sums.keys()
        for name, value in whole.sums.items():
            torch.testing.assert_close(other.sums[name], value, rtol=1e-12, atol=1e-12)
    return whole.compute()


def run(make, *tensors):
    return streamed(make, lambda metric, *args: metric.update(*args), *tensors)


# --- against loops


@pytest.mark.parametrize("distinct", [True, False])
def test_consistency_is_the_mean_over_all_pairs(logits, distinct):
    top = logits.argmax(2).numpy()
    pairs = [(i, j) for i, j in itertools.product(range(F), repeat=2) if i != j or not distinct]
    expected = np.mean([top[i, n] == top[j, n] for n in range(N) for i, j in pairs])
    assert run(lambda: metrics.Consistency(distinct), logits) == pytest.approx(expected, abs=1e-14)
    assert 0 < expected < 1


def test_consistency_of_two_frames_is_their_agreement(logits):
    expected = (logits[0].argmax(1) == logits[1].argmax(1)).double().mean().item()
    assert run(metrics.Consistency, logits[:2]) == pytest.approx(expected)


def test_variation_is_the_deviation_of_the_true_probability(logits, labels):
    p = softmax(logits.numpy())
    each = [np.std([p[f, n, labels[n]] for f in range(F)]) for n in range(N)]
    assert run(metrics.Variation, logits, labels) == pytest.approx(np.mean(each), rel=1e-12)
    metric = metrics.Variation(10)
    metric.update(logits, labels)
    share, edges = metric.distribution()
    np.testing.assert_allclose(share, np.histogram(each, edges)[0] / N)


def test_variation_reaches_one_half():
    metric = metrics.Variation()
    metric.update(torch.tensor([[[1000.0, 0]], [[0, 1000.0]]]), torch.tensor([0]))
    assert metric.compute() == pytest.approx(0.5)
    assert metric.distribution()[0][-1] == 1


@pytest.mark.parametrize("activation", ["softmax", "sigmoid", None])
def test_mean_absolute_change(logits, activation):
    a, b = logits[0].numpy(), logits[1].numpy()
    apply = {"softmax": softmax, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), None: lambda x: x}[activation]
    expected = np.mean([abs(apply(b)[n, a[n].argmax()] - apply(a)[n, a[n].argmax()]) for n in range(N)])
    assert run(lambda: metrics.MeanAbsoluteChange(activation), logits[0], logits[1]) == pytest.approx(expected)


def test_top_k(logits, labels):
    order = np.argsort(-logits[0].numpy(), axis=1)
    expected = {k: np.mean([labels[n].item() in order[n, :k] for n in range(N)]) for k in (1, 3, 7)}
    assert run(lambda: metrics.TopK((1, 3, 7)), logits[0], labels) == pytest.approx(expected)
    assert expected[7] == 1


def test_equal_scores_are_right_by_chance_only():
    metric = metrics.TopK((1, 2))
    metric.update(torch.zeros(6, 6), torch.arange(6))
    assert metric.compute() == pytest.approx({1: 1 / 6, 2: 2 / 6})


def test_accuracy_by_shift_and_adversary(logits, labels):
    shifts = [(0, 0), (0, 1), (1, 1), (-1, 0), (2, 2)]
    result = run(lambda: metrics.AccuracyByShift(shifts), logits, labels)
    right = (logits.argmax(2) == labels).numpy()
    for f, (dy, dx) in enumerate(shifts):
        assert result.accuracy.sel(dy=dy, dx=dx).item() == pytest.approx(right[f].mean())
    assert np.isnan(result.accuracy.sel(dy=2, dx=0))
    assert result.diagonal.step.values.tolist() == [0, 1, 2]
    np.testing.assert_allclose(result.diagonal, right[[0, 2, 4]].mean(1))
    for radius in (0, 1, 2):
        beaten = [any(not right[f, n] for f, s in enumerate(shifts) if max(map(abs, s)) <= radius) for n in range(N)]
        assert result.adversary.sel(radius=radius).item() == pytest.approx(1 - np.mean(beaten))
    assert result.positions.values.tolist() == [1, 4, 5]


def test_full_grid_gives_the_adversary_every_position():
    shifts = metrics.grid(4)
    metric = metrics.AccuracyByShift(shifts)
    metric.update(torch.zeros(25, 1, 2), torch.tensor([0]))
    assert metric.compute().positions.values.tolist() == [1, 9, 25]


def test_flip_rate(logits):
    top = logits.argmax(2).numpy()
    expected = [np.mean([top[j, n] != top[j + s, n] for n in range(N) for j in range(F - s)]) for s in range(1, F)]
    np.testing.assert_allclose(run(metrics.FlipRate, logits), expected)


def test_alternating_answers_flip_at_odd_distances():
    logits = torch.eye(2)[torch.arange(9) % 2][:, None]
    metric = metrics.FlipRate()
    metric.update(logits)
    assert metric.compute().tolist() == [1, 0, 1, 0, 1, 0, 1, 0]


def test_divergence(logits):
    p = softmax(logits.numpy())
    expected = [np.mean([stats.entropy(p[0, n], p[t, n]) for n in range(N)]) for t in range(F)]
    np.testing.assert_allclose(run(metrics.DivergenceByShift, logits), expected, atol=1e-14)


def test_divergence_of_two_classes_in_closed_form():
    metric = metrics.DivergenceByShift()
    metric.update(torch.tensor([[[0.0, 0.0]], [[math.log(3), 0.0]]], dtype=torch.float64))
    expected = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert metric.compute() == pytest.approx([0, expected], abs=1e-14)


def test_extreme_logits_have_a_finite_divergence():
    metric = metrics.DivergenceByShift()
    metric.update(torch.tensor([[[1000.0, 0.0]], [[0.0, 1000.0]]]))
    assert metric.compute() == pytest.approx([0, 1000])


def test_multilabel_scores_are_those_of_all_examples():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(3)
    targets = rng.random((N, C)) < 0.4
    targets[:, 2] = False  # no positives: left out
    targets[:2, 0] = True, False
    scores = rng.permuted(np.arange(N * C)).reshape(N, C) / (N * C) + 1e-3
    result = run(lambda: metrics.MultilabelScores(2**10), torch.from_numpy(scores), torch.from_numpy(targets))
    used = [c for c in range(C) if 0 < targets[:, c].sum() < N]
    auc = [  # by its definition: a positive scores higher than a negative
        np.mean([scores[i, c] > scores[j, c] for i in np.where(targets[:, c])[0] for j in np.where(~targets[:, c])[0]])
        for c in used
    ]
    precision = [sklearn.average_precision_score(targets[:, c], scores[:, c]) for c in used]
    assert result["auc"] == pytest.approx(np.mean(auc))
    assert result["mAP"] == pytest.approx(np.mean(precision))
    assert result["d_prime"] == pytest.approx(math.sqrt(2) * stats.norm.ppf(np.mean(auc)))


@pytest.mark.parametrize("kind", ["rare", "near one", "logits", "uniform", "ties"])
def test_multilabel_scores_of_any_magnitude_are_those_of_scikit_learn(kind):
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(7)
    targets = rng.random((5000, 3)) < 0.02
    logits = rng.normal(1.5 * targets, 1)
    metric = metrics.MultilabelScores(logits=kind == "logits")
    scores = {
        "rare": special.expit(logits - 14),
        "near one": special.expit(logits + 14),
        "logits": 3 * logits - 40,
        "uniform": (rng.random(targets.shape) + 0.3 * targets) / 1.3,
        "ties": np.round(special.expit(logits), 1).clip(0, 1),
    }[kind]
    for part in range(0, 5000, 1000):
        here = slice(part, part + 1000)
        metric.update(torch.from_numpy(scores[here]), torch.from_numpy(targets[here]))
    found = metric.by_class()
    for c in range(3):
        pair = targets[:, c], scores[:, c]
        tolerance = 1e-12 if kind == "ties" else 5e-3
        assert found["average_precision"][c] == pytest.approx(sklearn.average_precision_score(*pair), abs=tolerance)
        assert found["auc"][c] == pytest.approx(sklearn.roc_auc_score(*pair), abs=min(tolerance, 2e-4))


def test_d_prime_is_the_distance_of_two_normal_distributions():
    pytest.importorskip("sklearn.metrics")
    quantiles = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)
    scores = stats.norm.cdf(np.concatenate((quantiles, quantiles + 1.5)) / 3)
    metric = metrics.MultilabelScores()
    metric.update(torch.from_numpy(scores)[:, None], torch.arange(8000)[:, None] >= 4000)
    assert metric.compute()["d_prime"] == pytest.approx(1.5, abs=2e-3)
    assert metric.by_class()["d_prime"][0] == pytest.approx(1.5, abs=2e-3)


# --- standard errors


def test_bootstrap_has_the_standard_error_of_a_mean_in_whatever_batches():
    generator = torch.Generator().manual_seed(2)
    pictures, values = (torch.rand(400, *shape, generator=generator) for shape in ((1, 3, 3), (1,)))
    whole, first, rest, other = (metrics.Bootstrap() for _ in range(4))
    whole.update(pictures, v=values)
    first.update(pictures[:7], v=values[:7])
    rest.update(pictures[7:], v=values[7:])
    torch.testing.assert_close(first.merge(rest).compute()["v"], whole.compute()["v"])
    error = metrics.standard_error(whole.compute()["v"][:, 0])
    assert error == pytest.approx(values.std().item() / 20, rel=0.1)
    other.update(pictures, v=values + 3)  # the same pictures, the same draws
    assert metrics.standard_error((other.compute()["v"] - whole.compute()["v"])[:, 0]) < 1e-6
    one = metrics.Bootstrap()
    one.update(pictures[:1], v=values[:1])
    assert math.isnan(metrics.standard_error(one.compute()["v"][:, 0]))


# --- mean flip rate of the archive

ARCHIVE = {
    "AI": 100.0,
    "AwyI": 101.4,
    "AwyI_mod": 88.0,
    "RI": 78.1,
    "RwyI": 77.2,
    "RwyI_mod": 73.1,
    "Rzo3I": 60.8,
    "Rzo3wyI": 62.1,
    "Rzo3wyI_mod": 63.1,
}


def test_archived_flip_rates_give_the_printed_means():
    path = DATA / "wcnn_results" / "wcnn_results.json"
    if not path.is_file():
        pytest.skip("needs the archived results (set SHIFTSCOPE_DATA)")
    archive = json.loads(path.read_text())

    def rates(name):
        scores = archive[name]["eval_scores"]["ImageNet"]["test"]
        return {d: [scores[f"shifts_{d}"]["mfr"][str(s)] for s in range(1, 9)] for d in DIRECTIONS}

    for name, printed in ARCHIVE.items():
        assert round(metrics.mean_flip_rate(rates(name), rates("AI")), 1) == printed, name


def test_mean_flip_rate_is_the_mean_of_three_ratios():
    reference = {"horizontal": [1, 3], "vertical": [2, 2], "diagonal": [4, 4]}
    rates = {"horizontal": [1, 1], "vertical": [3, 3], "diagonal": [0, 0]}
    assert metrics.mean_flip_rate(rates, reference) == pytest.approx(100 * (0.5 + 1.5 + 0) / 3)


def test_mean_corruption_error_is_the_mean_of_the_ratios_by_corruption():
    reference = {"fog": [50, 70], "snow": [80, 90]}
    assert metrics.mean_corruption_error({"fog": [30, 30], "snow": [85, 85]}, reference) == pytest.approx(75)
    with pytest.raises(ValueError, match="no fog errors"):
        metrics.mean_corruption_error(reference, {**reference, "fog": [0, 0]})


@pytest.mark.parametrize(
    ("rates", "reference", "message"),
    [
        ({"a": [1]}, {"b": [1]}, r"rates are of \['a'\], the reference of \['b'\]"),
        ({"a": [1, 2]}, {"a": [1]}, r"shape \(2,\), of the reference \(1,\)"),
        ({"a": [math.nan]}, {"a": [1]}, r"a rates are \[nan\]"),
        ({"a": [1]}, {"a": [-1]}, r"a reference rates are \[-1.0\]"),
        ({"a": [1]}, {"a": [0]}, "the reference has no a flips"),
        ({}, {}, "expected the same"),
    ],
)
def test_bad_flip_rates(rates, reference, message):
    with pytest.raises(ValueError, match=message):
        metrics.mean_flip_rate(rates, reference)


# --- smoothness of kernels


def test_total_variation():
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(4, 3, 5, 5))
    weight[2] = 0
    ratios = []
    for kernel in weight[[0, 1, 3]]:
        variation = sum(abs(c[i + 1, j] - c[i, j]) for c in kernel for i in range(4) for j in range(5))
        variation += sum(abs(c[i, j + 1] - c[i, j]) for c in kernel for i in range(5) for j in range(4))
        ratios.append(variation / abs(kernel).sum())
    assert metrics.total_variation(torch.from_numpy(weight)) == pytest.approx(np.mean(ratios))


def test_total_variation_in_closed_form():
    assert metrics.total_variation(torch.ones(2, 1, 3, 3)) == 0
    impulse = torch.zeros(1, 1, 3, 3)
    impulse[0, 0, 1, 1] = -2
    assert metrics.total_variation(impulse) == 4
    sign = torch.tensor([[1.0, -1], [-1, 1]])[None, None]
    assert metrics.total_variation(sign) == pytest.approx(8 / 4)


def test_kernel_variation_names_the_layers():
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Conv2d(2, 2, 1))
    assert list(metrics.kernel_variation(model)) == ["0"]


# --- shifts


def test_windows_are_true_pixels():
    picture = torch.arange(2 * 3 * 9 * 11, dtype=torch.float32).reshape(2, 3, 9, 11)
    assert torch.equal(metrics.window(picture, 5), picture[:, :, 2:7, 3:8])
    assert torch.equal(metrics.window(picture, 5, (2, -3)), picture[:, :, 4:9, 0:5])
    with pytest.raises(ValueError, match=r"shift \(3, 0\) moves a window of 5 pixels out of pictures of 9×11"):
        metrics.window(picture, 5, (3, 0))


def test_half_pixel_windows_follow_a_ramp_and_repeat_at_whole_pixels():
    ramp = torch.arange(16.0).expand(1, 1, 16, 16)
    inside = (..., slice(2, -2), slice(2, -2))
    still, moved = (metrics.half_pixel_window(ramp, 10, (0, by)) for by in (0, 0.5))
    torch.testing.assert_close(moved[inside] - still[inside], torch.full((1, 1, 6, 6), 0.5))
    noise = torch.randn(1, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    one = metrics.half_pixel_window(noise, 10, (1, 0))
    torch.testing.assert_close(one[..., 2:-3, :], metrics.half_pixel_window(noise, 10)[..., 3:-2, :])


def test_half_pixel_window_is_the_composition_of_its_two_stencils():
    """Enlarging twice has taps (1, 3)/4, reducing to half (1, 3, 3, 1)/8: their product, by hand, along one axis."""
    signal = np.random.default_rng(0).normal(size=20)
    large = np.empty(40)
    for i in range(1, 19):
        large[2 * i] = 0.25 * signal[i - 1] + 0.75 * signal[i]
        large[2 * i + 1] = 0.75 * signal[i] + 0.25 * signal[i + 1]
    for by in (0, 0.5, 1):
        start = 2 * 4 + int(2 * by)
        cut = large[start : start + 24]
        expected = [cut[2 * i - 1 : 2 * i + 3] @ [1, 3, 3, 1] / 8 for i in range(1, 11)]
        x = torch.from_numpy(np.tile(signal, (20, 1)))[None, None]
        found = metrics.half_pixel_window(x, 12, (0, by))[0, 0, 5, 1:-1]
        np.testing.assert_allclose(found, expected, atol=1e-12)


@pytest.mark.parametrize(
    ("shift", "message"), [((0, 0.3), "multiples of 0.5"), ((0, 4), r"shift \(0, 4\) moves a window")]
)
def test_bad_half_pixel_shifts(shift, message):
    with pytest.raises(ValueError, match=message):
        metrics.half_pixel_window(torch.zeros(1, 1, 16, 16), 10, shift)


def test_circular_shift_is_the_document_s():
    x = torch.randn(1, 2, 5, 6)
    y = metrics.circular(x, (2, -1))
    assert all(y[0, 1, h, w] == x[0, 1, (h - 2) % 5, (w + 1) % 6] for h in range(5) for w in range(6))
    with pytest.raises(ValueError, match=r"shift \(5, 0\) is as large as a picture of 5×6"):
        metrics.circular(x, (5, 0))


def test_lines_pass_through_the_middle():
    assert metrics.line("diagonal", 4) == ((-2, -2), (-1, -1), (0, 0), (1, 1), (2, 2))
    assert len(metrics.lines(8)) == 25
    assert len(metrics.line("vertical", 3)) == 4
    assert set(metrics.lines(3)) <= set(metrics.grid(3))
    with pytest.raises(ValueError, match="unknown direction 'up'; known: horizontal, vertical, diagonal"):
        metrics.line("up", 4)


def test_ten_crops():
    picture = torch.arange(30.0).reshape(1, 1, 5, 6)
    crops = metrics.ten_crops(picture, 3)
    assert crops.shape == (10, 1, 1, 3, 3)
    assert crops[:5, 0, 0, 0, 0].tolist() == [0, 3, 12, 15, 7]
    assert torch.equal(crops[5:], crops[:5].flip(-1))


def test_resized_takes_the_shorter_side():
    assert metrics.resized(torch.zeros(1, 3, 20, 40), 10).shape == (1, 3, 10, 10)
    byte = metrics.resized(torch.full((1, 3, 20, 40), 7, dtype=torch.uint8), 11)
    assert byte.dtype == torch.uint8
    assert (byte == 7).all()
    with pytest.raises(ValueError, match=r"pictures are torch.float32 of shape \(0, 3, 4, 4\)"):
        metrics.resized(torch.zeros(0, 3, 4, 4), 2)


# --- spectrograms


def test_time_and_frequency_shifts():
    spectrogram = torch.arange(40.0 * 6).reshape(1, 40, 6)
    assert torch.equal(metrics.time_patch(spectrogram, 10, 20, 3), spectrogram[:, 13:33])
    with pytest.raises(ValueError, match="moved by 11, leaves a spectrogram of 40 frames"):
        metrics.time_patch(spectrogram, 10, 20, 11)
    patch = spectrogram[:, :20]
    moved = metrics.frequency_shift(patch, 2, 0.0)
    assert torch.equal(moved[..., 2:], patch[..., :4])
    torch.testing.assert_close(moved[..., :2], patch[..., 0].mean().expand(1, 20, 2))
    assert torch.equal(metrics.frequency_shift(patch, 0), patch)
    with pytest.raises(ValueError, match="bands is 6, but the patch has 6"):
        metrics.frequency_shift(patch, 6)
    with pytest.raises(ValueError, match="noise is -1"):
        metrics.frequency_shift(patch, 1, -1)


def test_noise_has_the_mean_and_deviation_of_the_lowest_band():
    patch = torch.zeros(1, 4000, 3)
    patch[..., 0] = 5 + 2 * torch.randn(4000, generator=torch.Generator().manual_seed(0))
    noise = metrics.frequency_shift(patch, 1, generator=torch.Generator().manual_seed(1))[..., 0]
    assert noise.mean() == pytest.approx(5, abs=0.15)
    assert noise.std() == pytest.approx(2, abs=0.1)


def test_spectrogram_protocols():
    """A network that sees only the loudest band is blind to time and follows the frequency."""

    def model(patch):
        return 20 * torch.nn.functional.one_hot(patch[:, 0].mean(1).argmax(1), 12).float()

    spectrogram = torch.zeros(4, 1, 60, 12)
    spectrogram[..., 5] = 10.0
    table = metrics.spectrogram_stability(model, spectrogram.split(3), 20, 30, activation="softmax")
    assert list(table.index) == ["time-1", "time-3", "time-5", "freq-1", "freq-3", "freq-5"]
    assert table.consistency.tolist() == [100, 100, 100, 0, 0, 0]
    np.testing.assert_allclose(table.mac, [0, 0, 0, 1, 1, 1], atol=1e-6)
    with pytest.raises(ValueError, match="has seen no pictures"):
        metrics.spectrogram_stability(model, [])


# --- features


def circular_network(seed=0):
    torch.manual_seed(seed)
    conv = {"padding": 1, "padding_mode": "circular", "dtype": torch.float64}
    return torch.nn.Sequential(
        torch.nn.Conv2d(2, 4, 3, **conv),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.Conv2d(4, 6, 3, **conv),
        torch.nn.AvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(6 * 4, 3, dtype=torch.float64),
    ).eval()


LAYERS = ["0", "2", "3", "4", "6"]
SHIFTS = [(0, 0), (1, 0), (2, 2), (0, 3), (4, -4), (1, 2)]


def test_feature_distances_against_literal_upsampling():
    model = circular_network()
    x = torch.randn(3, 2, 8, 8, dtype=torch.float64)
    metric = metrics.FeatureDistance(model, LAYERS, SHIFTS)
    metric.update(x[:1])
    metric.update(x[1:])
    result = metric.compute()
    assert result.layer.values.tolist()[1:3] == ["2 (dense)", "2 (downsampled)"]

    def up(x):
        features = {
            "0": model[0](x),
            "2 (downsampled)": model[:3](x),
            "3": model[:4](x),
            "4 (downsampled)": model[:5](x),
        }
        features["6"] = model(x)[:, :, None, None]
        return {
            k: v.repeat_interleave(8 // v.shape[2], 2).repeat_interleave(8 // v.shape[3], 3)
            for k, v in features.items()
        }

    with torch.no_grad():
        still = up(x)
        for j, shift in enumerate(SHIFTS):
            moved = up(torch.roll(x, shift, (2, 3)))
            for row, features in still.items():
                for kind, reference in (
                    ("equivariance", torch.roll(features, shift, (2, 3))),
                    ("invariance", features),
                ):
                    expected = 1 - torch.cosine_similarity(reference, moved[row]).mean()
                    assert result[kind].sel(layer=row).values[j] == pytest.approx(expected.item(), abs=1e-12)
        different = 1 - torch.cosine_similarity(still["3"][1:], still["3"][1:].flip(0)).mean()
        assert result.different.sel(layer="3").item() == pytest.approx(different.item(), abs=1e-12)


def test_feature_distances_vanish_on_a_lattice():
    shifts = [(dy, dx) for dy in range(5) for dx in range(5)]
    metric = metrics.FeatureDistance(circular_network(), ["0", "2", "4"], shifts)
    metric.update(torch.randn(2, 2, 8, 8, dtype=torch.float64))
    distance = metric.compute().equivariance
    for row, modulus in {"0": 1, "2 (downsampled)": 2, "4 (dense)": 2, "4 (downsampled)": 4}.items():
        zero = [dy % modulus == 0 and dx % modulus == 0 for dy, dx in shifts]
        assert ((distance.sel(layer=row) < 1e-15) == zero).all(), row


def test_feature_distances_with_odd_sides_leave_out_what_is_not_covered():
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3, stride=2), torch.nn.ReLU()).eval()
    metric = metrics.FeatureDistance(model, ["0"], [(2, 0)])
    x = torch.randn(1, 1, 11, 11)
    metric.update(x)
    with torch.no_grad():
        a, b = model[0](x), model[0](torch.roll(x, 2, 2))
    # Five cells of two pixels cover ten of eleven rows; what comes from the row that is left out does not count.
    source = [(i - 2) % 11 for i in range(10)]
    kept = [(s // 2, i // 2) for i, s in enumerate(source) if s < 10]
    loop = np.mean([(1 - torch.cosine_similarity(a[:, :, s], b[:, :, i]).mean()).item() for s, i in kept])
    assert metric.compute().equivariance.item() == pytest.approx(loop, abs=1e-6)


def test_a_zero_vector_is_far_from_any_other_and_near_to_itself():
    model = torch.nn.Sequential(torch.nn.Identity())
    metric = metrics.FeatureDistance(model, ["0"], [(1, 0), (0, 1)])
    x = torch.zeros(1, 1, 2, 2)
    x[0, 0, 0] = 1
    metric.update(x)
    assert metric.compute().equivariance.values.tolist() == [[0, 0]]
    assert metric.compute().invariance.values.tolist() == [[1, 0]]


def test_feature_distances_leave_a_model_in_training_as_it_is():
    model = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2), torch.nn.Dropout()).train()
    model[0].eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    training = metrics.FeatureDistance(model, ["2"], [(1, 0)])
    x = torch.rand(2, 1, 8, 8)
    training.update(x)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert [module.training for module in model.modules()] == [True, False, True, True]
    evaluated = metrics.FeatureDistance(model.eval(), ["2"], [(1, 0)])
    evaluated.update(x)
    assert training.compute().identical(evaluated.compute())


def test_features_that_are_not_finite():
    metric = metrics.FeatureDistance(circular_network(), ["0"], [(0, 1)])
    x = torch.randn(1, 2, 8, 8, dtype=torch.float64)
    x[0, 0, 3, 3] = math.nan
    with pytest.raises(ValueError, match=r"layer '0': \d+ of \d+ values are NaN or infinite"):
        metric.update(x)
    assert not metric.sums


def test_bad_layers():
    model = circular_network()
    with pytest.raises(ValueError, match="the model has no layer 'pool'; it has 0, 1, 2"):
        metrics.FeatureDistance(model, ["pool"], [(0, 1)])
    metric = metrics.FeatureDistance(model, ["0"], [(8, 0)])
    with pytest.raises(ValueError, match=r"shift \(8, 0\) is as large as"):
        metric.update(torch.zeros(1, 2, 8, 8, dtype=torch.float64))
    relu = torch.nn.ReLU()
    twice = metrics.FeatureDistance(torch.nn.Sequential(relu, relu), ["0"], [(1, 0)])
    with pytest.raises(ValueError, match="'0' was run twice"):
        twice.update(torch.ones(1, 1, 4, 4))
    unused = metrics.FeatureDistance(torch.nn.ModuleDict({"a": relu}), ["a"], [(1, 0)])
    unused._model.forward = lambda x: x
    with pytest.raises(ValueError, match="'a' was not run"):
        unused.update(torch.ones(1, 1, 4, 4))


# --- the published assertion


def test_shift_equivariance_of_known_modules():
    conv = torch.nn.Conv2d(2, 3, 3, padding=1, padding_mode="circular")
    metrics.assert_shift_equivariant(conv, (2, 2, 8, 10))
    metrics.assert_shift_equivariant(conv.double(), (2, 2, 8, 10), rtol=1e-12)
    metrics.assert_shift_equivariant(torch.nn.Conv1d(2, 3, 3, padding=1, padding_mode="circular"), (1, 2, 9))
    pool = torch.nn.MaxPool2d(2)
    metrics.assert_shift_equivariant(pool, (1, 2, 8, 8), [(2, 0), (4, -2)])
    with pytest.raises(
        AssertionError, match=r"not shift equivariant: shift \(dy, dx\) = \(0, 1\) changes the output by"
    ):
        metrics.assert_shift_equivariant(pool, (1, 2, 8, 8))
    with pytest.raises(AssertionError, match=r"shift \(dy, dx\) = \(0, 1\)"):
        metrics.assert_shift_equivariant(torch.nn.Conv2d(2, 3, 3, padding=1), (1, 2, 8, 8))
    metrics.assert_shift_equivariant(lambda x: x.mean((2, 3)), (1, 2, 8, 8))
    with pytest.raises(AssertionError, match="stride 1"):
        metrics.assert_shift_equivariant(lambda x: x[..., 0, 0], (1, 2, 8, 8))


def test_shift_equivariance_finds_the_stride_of_polyphase_sampling():
    def largest_phase(x):
        phases = torch.stack([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)])
        return phases[phases.abs().sum((1, 2, 3, 4)).argmax()]

    metrics.assert_shift_equivariant(largest_phase, (1, 2, 8, 8))
    with pytest.raises(ValueError, match="the output: 16 of 16 values are NaN"):
        metrics.assert_shift_equivariant(lambda x: x / 0, (1, 1, 4, 4))
    with pytest.raises(ValueError, match=r"x has shape \(3, 3\)"):
        metrics.assert_shift_equivariant(largest_phase, torch.zeros(3, 3))


# --- bad input, for all


def updates(frames):
    """Every streaming metric, and how it takes (F, N, C) and labels."""
    every = {
        "Consistency": (metrics.Consistency, lambda m, x, y: m.update(x)),
        "Variation": (metrics.Variation, lambda m, x, y: m.update(x, y)),
        "MeanAbsoluteChange": (metrics.MeanAbsoluteChange, lambda m, x, y: m.update(x[0], x[-1])),
        "TopK": (metrics.TopK, lambda m, x, y: m.update(x[-1], y)),
        "AccuracyByShift": (
            lambda: metrics.AccuracyByShift([(0, i) for i in range(frames)]),
            lambda m, x, y: m.update(x, y),
        ),
        "FlipRate": (metrics.FlipRate, lambda m, x, y: m.update(x)),
        "DivergenceByShift": (metrics.DivergenceByShift, lambda m, x, y: m.update(x)),
        "MultilabelScores": (metrics.MultilabelScores, lambda m, x, y: m.update(x[-1].sigmoid(), x[0].real > 0)),
    }
    return every


NAMES = list(updates(F))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_logits_that_are_not_finite(name, value, logits, labels):
    make, update = updates(F)[name]
    logits[-1, 3, 2] = value
    if name == "MultilabelScores" and value == math.inf:
        pytest.skip("the sigmoid of infinity is 1")
    with pytest.raises(ValueError, match=rf": 1 of \d+ values are NaN or infinite, the first is {value} at .*3, 2"):
        update(make(), logits, labels)


@pytest.mark.parametrize("name", NAMES)
def test_empty_wrong_or_changing_input(name, logits, labels):
    make, update = updates(F)[name]
    metric = make()
    with pytest.raises(ValueError, match="has seen no pictures"):
        metric.compute()
    with pytest.raises(ValueError, match="no elements"):
        update(metric, logits[:, :0], labels[:0])
    with pytest.raises(ValueError, match="has shape"):
        update(metric, logits[..., 0], labels)
    update(metric, logits, labels)
    before = metric.compute()
    with pytest.raises(ValueError, match=f"{C - 1} classes, but there were {C} before"):
        update(metric, logits[..., :-1], labels.clamp(max=C - 2))
    with pytest.raises(TypeError, match="complex"):
        update(metric, logits.to(torch.complex64), labels)
    assert str(metric.compute()) == str(before)  # what was refused has left no trace


@pytest.mark.parametrize("name", ["Variation", "TopK", "AccuracyByShift"])
def test_bad_labels(name, logits, labels):
    make, update = updates(F)[name]
    for bad in (-1, C):
        labels[4] = bad
        with pytest.raises(ValueError, match=f"label {bad} of picture 4 is out of range; expected 0 to {C - 1}"):
            update(make(), logits, labels)
    with pytest.raises(ValueError, match=rf"labels have shape \({N - 1},\); expected \({N},\)"):
        update(make(), logits, labels[1:])
    with pytest.raises(TypeError, match=r"labels are torch\.float32"):
        update(make(), logits, labels.float())


def test_bad_settings(logits, labels):
    with pytest.raises(ValueError, match="top-9 of 7 classes"):
        metrics.TopK((1, 9)).update(logits[0], labels)
    with pytest.raises(ValueError, match="logits are of 5 frames; expected 2"):
        metrics.AccuracyByShift([(0, 0), (0, 1)]).update(logits, labels)
    with pytest.raises(ValueError, match=r"shifts holds \(0, 1\) twice"):
        metrics.AccuracyByShift([(0, 1), (0, 1)])
    with pytest.raises(ValueError, match="shifts is empty"):
        metrics.AccuracyByShift([])
    with pytest.raises(ValueError, match="1 frames; expected at least 2"):
        metrics.FlipRate().update(logits[:1])
    with pytest.raises(ValueError, match="unknown activation 'relu'"):
        metrics.MeanAbsoluteChange("relu")
    with pytest.raises(ValueError, match="probabilities range from"):
        metrics.MultilabelScores().update(logits[0], logits[0] > 0)
    with pytest.raises(ValueError, match="targets hold 2"):
        metrics.MultilabelScores().update(torch.ones(1, 2), torch.tensor([[0, 2]]))


def test_merging_what_does_not_belong_together(logits):
    a, b = metrics.FlipRate(), metrics.FlipRate()
    a.update(logits)
    b.update(logits[:3])
    with pytest.raises(ValueError, match="3 frames, but there were 5 before"):
        a.merge(b)
    with pytest.raises(TypeError, match="cannot merge Consistency into FlipRate"):
        a.merge(metrics.Consistency())
    with pytest.raises(ValueError, match=r"cannot merge Variation of settings .'bins': 3."):
        metrics.Variation().merge(metrics.Variation(3))
    empty = metrics.FlipRate().merge(a)
    assert empty.compute().tolist() == a.compute().tolist()
    empty.update(logits)
    assert a.sums["pairs"][0] == N * 4  # the other one has stayed as it was


class MaxPool2dSame(torch.nn.MaxPool2d):
    def forward(self, x):
        return super().forward(torch.nn.functional.pad(x, (0, 1, 0, 1), value=-torch.inf))


class StdConv2d(torch.nn.Conv2d):
    def forward(self, x):
        return torch.nn.functional.conv2d(x, self.weight - self.weight.mean(), self.bias)


def test_layers_with_a_forward_of_their_own_are_not_taken_for_torchs():
    model = torch.nn.Sequential(StdConv2d(3, 4, 3), MaxPool2dSame(2), torch.nn.Conv2d(4, 4, 3), torch.nn.MaxPool2d(2))
    rows = metrics.FeatureDistance(model, ["1", "3"], [(0, 1)]).rows
    assert rows == ("1", "3 (dense)", "3 (downsampled)")
    with pytest.raises(TypeError, match="MaxPool2dSame"):
        metrics.dense_part(model[1], torch.zeros(1, 4, 8, 8))
    assert list(metrics.kernel_variation(model)) == ["2"]
    strided = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, 2))
    pooled, _ = replace_pooling(strided, "blur3", types=torch.nn.Conv2d)
    assert metrics.kernel_variation(pooled) == metrics.kernel_variation(strided)  # the kernels stay
