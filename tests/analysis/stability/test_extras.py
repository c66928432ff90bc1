"""Published forms against loops written from the papers, and corruptions by their properties."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from analysis.networks.metrics.shifts import DIRECTIONS  # noqa: E402
from analysis.plots import corruption_figure, corruption_sheet, published_form_figure  # noqa: E402
from analysis.stability.corruptions import CORRUPTIONS, SEVERITIES, all_corrupted, corrupted  # noqa: E402
from analysis.stability.experiment import NetworkStability, compare_remedies  # noqa: E402
from analysis.stability.extras import Corrupted, Offsets, PublishedShifts  # noqa: E402

SIZE, SPAN, CLASSES, COUNT = 6, 2, 4, 9


@pytest.fixture
def model():
    torch.manual_seed(0)
    made = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(20, CLASSES)).double()
    with torch.no_grad():
        for layer in (made[0], made[-1]):
            layer.weight *= 5
        made[-1].bias -= made(torch.rand(64, 3, SIZE, SIZE, dtype=torch.float64)).mean(0)
    return made.eval()


@pytest.fixture
def pictures():
    side = 2 * (SIZE + SPAN)  # what the divergence resizes to, so that only halving is left
    return torch.rand(COUNT, 3, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def answers(extra, model, pictures):
    with torch.no_grad():
        return torch.stack([model(frame) for frame in extra.frames(pictures, [f"p{i}" for i in range(COUNT)])])


def halved(picture):
    """Half the size by the triangle filter of reach 2, weights renormalised at the border, in loops over one axis."""
    for axis in (1, 2):
        x = np.moveaxis(picture, axis, -1)
        out = np.zeros((*x.shape[:-1], x.shape[-1] // 2))
        for n in range(out.shape[-1]):
            weights = [max(0.0, 1 - abs((k + 0.5) / 2 - (n + 0.5))) for k in range(x.shape[-1])]
            out[..., n] = sum(w * x[..., k] for k, w in enumerate(weights)) / sum(weights)
        picture = np.moveaxis(out, -1, axis)
    return picture


def test_published_flips_and_divergence_against_loops(model, pictures):
    extra = PublishedShifts(SIZE, SPAN)
    logits = answers(extra, model, pictures)
    assert len(logits) == extra.count
    metrics = extra.metrics()
    extra.update(metrics, logits[:, :4], None)
    extra.update(metrics, logits[:, 4:], None)
    found, _ = extra.values(metrics)

    def answer(crop):
        with torch.no_grad():
            return model(torch.from_numpy(np.ascontiguousarray(crop))[None])[0].numpy()

    def probabilities(crop):
        e = np.exp(answer(crop) - answer(crop).max())
        return e / e.sum()

    flipped = 0
    for d, (down, right) in enumerate(DIRECTIONS.values()):
        flips, divergence = np.zeros(SPAN), np.zeros(2 * SPAN + 1)
        for picture in pictures.numpy():
            small = halved(picture)
            top = [
                int(answer(small[:, down * j : down * j + SIZE, right * j : right * j + SIZE]).argmax())
                for j in range(SPAN + 1)
            ]
            for s in range(1, SPAN + 1):
                pairs = [top[j] != top[j + s] for j in range(SPAN + 1 - s)]
                flips[s - 1] += np.mean(pairs) / COUNT
            p = [
                probabilities(halved(picture[:, down * t : down * t + 2 * SIZE, right * t : right * t + 2 * SIZE]))
                for t in range(2 * SPAN + 1)
            ]
            divergence += [float((p[0] * np.log(p[0] / q)).sum()) / COUNT for q in p]
        np.testing.assert_allclose(found["flip_rate_published"][1][d], 100 * flips, rtol=1e-12)
        np.testing.assert_allclose(found["divergence_published"][1][d], divergence, rtol=1e-12, atol=1e-15)
        flipped += flips.sum()
    assert flipped > 0


def test_offsets_against_loops(model):
    size, side = 28, 32
    pictures = torch.rand(COUNT, 3, side, side, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    pooled = nn.Sequential(nn.AvgPool2d(size // SIZE + 1, size // SIZE, 1), nn.AdaptiveMaxPool2d(SIZE), model)
    extra = Offsets(size, seed=4)
    metrics = extra.metrics()
    extra.update(metrics, answers(extra, pooled, pictures), None)
    same = 0
    for n, picture in enumerate(pictures):
        tops = []
        for dy, dx in extra.corners(f"p{n}"):
            assert 0 <= dy < side - size and 0 <= dx < side - size
            with torch.no_grad():
                tops.append(int(pooled(picture[None, :, dy : dy + size, dx : dx + size]).argmax()))
        same += tops[0] == tops[1]
    assert extra.values(metrics)[0]["consistency_offsets"] == pytest.approx(100 * same / COUNT, rel=1e-12)
    drawn = np.array([Offsets(224, 0).corners(str(n)) for n in range(400)])
    assert Offsets(224).side == 256 and drawn.min() == 0 and drawn.max() == 31
    assert abs(drawn.mean() - 15.5) < 0.7 and abs(np.corrcoef(drawn[:, 0].ravel(), drawn[:, 1].ravel())[0, 1]) < 0.1


def test_published_form_leaves_the_normalisation_out_and_the_rest_alone():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, bias=True), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    with torch.no_grad():
        model[0].weight *= 10
    pictures = torch.randint(0, 256, (5, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    how = {"size": 14, "span": 2, "rounds": 1, "progress": False, "preprocess": lambda x: 3 * (x - 0.5)}
    plain = compare_remedies({"plain": model}, pictures, **how)
    extras = [Offsets(14), PublishedShifts(14, 2)]
    found = compare_remedies({"plain": model, "same": model}, pictures, extras=extras, **how)
    np.testing.assert_array_equal(found.flip_rate.sel(remedy="plain"), plain.flip_rate.sel(remedy="plain"))
    prepared = nn.Sequential(_Prepare(), model).eval()
    raw = compare_remedies({"plain": prepared}, pictures, extras=extras, **{**how, "preprocess": None})
    with torch.no_grad():
        expected = compare_remedies({"plain": model}, pictures, extras=extras, **{**how, "preprocess": None})
    np.testing.assert_allclose(  # of float32 answers, whose last bits depend on where memory lies
        found.divergence_published.sel(remedy="plain"), expected.divergence_published.sel(remedy="plain"), rtol=1e-4
    )
    assert not np.allclose(raw.divergence_published, expected.divergence_published)
    assert np.isnan(found.mfr_published).all() or found.mfr_published.values == pytest.approx([100, 100])
    published_form_figure(found).draw_without_rendering()


class _Prepare(nn.Module):
    def forward(self, x):
        return 3 * (x - 0.5)


@pytest.fixture
def package():
    pytest.importorskip("imagecorruptions", exc_type=ImportError)


@pytest.fixture
def stub(monkeypatch):
    """Corruptions without the package: noise that grows with the severity, of a kind's own seed."""

    class Package:
        @staticmethod
        def corrupt(picture, severity, name, seed=None):
            draw = np.random.normal if seed is None else np.random.default_rng(seed).normal
            noise = draw(0, 20 * severity + CORRUPTIONS.index(name), picture.shape)
            return (picture + noise).clip(0, 255).astype(np.uint8)

    for place in ("corruptions", "extras"):
        monkeypatch.setattr(f"analysis.stability.{place}.need_corruptions", lambda: Package)


@pytest.fixture
def picture():
    from skimage import data

    return np.ascontiguousarray(data.astronaut()[:320:5, 100:420:5])


@pytest.mark.slow
def test_corruptions_are_pictures_and_the_same_again(picture, package):
    first, again, other = (all_corrupted(picture, seed) for seed in (0, 0, 1))
    assert first.shape == (15, 5, *picture.shape) and first.dtype == np.uint8
    assert np.array_equal(first, again)
    random = [n for n, name in enumerate(CORRUPTIONS) if not np.array_equal(first[n], other[n])]
    fixed = {CORRUPTIONS[n] for n in range(15) if n not in random}
    assert fixed == {"defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"}


def test_what_is_drawn_depends_on_the_seed_alone(picture, stub):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (corrupted(picture, "snow", 3, seed) for seed in (0, 0, 1))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert not np.array_equal(corrupted(picture, "fog", 3, 0) // 1, corrupted(picture, "fog", 2, 0))
    assert np.array_equal(np.random.get_state()[1], state), "the global generator is left as it was"  # noqa: NPY002


@pytest.mark.slow
def test_severity_takes_pictures_away_from_what_they_were(picture, package):
    several = np.stack([all_corrupted(picture, seed) for seed in range(4)]).astype(float)
    distance = np.abs(several - picture).mean((0, 3, 4, 5))
    assert (distance[:, 0] > 0).all()
    assert (distance[:, -1] > distance[:, 0]).all(), dict(zip(CORRUPTIONS, distance.tolist(), strict=True))
    ranks = np.argsort(np.argsort(distance, axis=1), axis=1)
    assert np.mean([np.corrcoef(row, SEVERITIES)[0, 1] for row in ranks]) > 0.85


def test_refusals_of_corruptions(picture, stub):
    with pytest.raises(ValueError, match="snow"):
        corrupted(picture, "snw", 1)
    with pytest.raises(ValueError, match="severity is 6"):
        corrupted(picture, "snow", 6)
    with pytest.raises(ValueError, match="at least 32"):
        corrupted(picture[:20], "snow", 1)
    with pytest.raises(TypeError, match="float64"):
        corrupted(picture / 255, "snow", 1)
    with pytest.raises(ValueError, match="corruptions need labels"):
        NetworkStability({"plain": nn.Flatten().eval()}, 32, extras=[Corrupted(32)], half_pixel=())


def test_error_on_corruptions_is_that_of_the_pictures(picture, stub):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 5, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(24, 3)
    ).eval()
    rolled = np.stack([np.roll(picture, 9 * n, (0, 1))[:40, :40] for n in range(3)])
    pictures = torch.from_numpy(rolled).permute(0, 3, 1, 2)
    with torch.no_grad():
        model[-1].bias -= model(pictures[:, :, 1:39, 1:39] / 255).mean(0)  # else one class takes all
    labels = torch.arange(3)
    models = {"plain": model, "shuffled": nn.Sequential(model, nn.Linear(3, 3)).eval()}
    how = {"size": 38, "span": 2, "rounds": 1, "progress": False, "half_pixel": ()}
    found = compare_remedies(models, pictures, labels, extras=[Corrupted(38, seed=2)], **how)
    wrong = np.zeros((15, 5))
    extra = Corrupted(38, seed=2)
    frames = extra.frames(pictures, [f"array {n}" for n in range(3)])
    for number, frame in enumerate(frames):
        with torch.no_grad():
            wrong[divmod(number, 5)] = 100 * (model(frame / 255).argmax(1) != labels).double().mean()
    np.testing.assert_allclose(found.corruption_error.sel(remedy="plain"), wrong, rtol=1e-12)
    assert 0 < wrong.mean() < 100
    every = all(row.any() for row in wrong)
    assert float(found.mce[0]) == 100 if every else np.isnan(found.mce).all()
    corruption_figure(found).draw_without_rendering()


def test_contact_sheet(picture):
    some = np.stack([[picture, picture // 2]] * 3)
    figure = corruption_sheet(some, ["a_b", "c", "d"], picture)
    figure.draw_without_rendering()
    assert len(figure.axes) == 9
    assert np.array_equal(figure.axes[2].images[0].get_array(), picture // 2)
