"""The BlurPool paper's protocol, against loops over single pictures."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from analysis.networks.pooling import APS  # noqa: E402
from analysis.stability.circular import circular_stability, shifted  # noqa: E402

CLASSES, SIDE = 3, 6


def network(pool: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding=1, padding_mode="circular"),
        nn.ReLU(),
        pool,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4, CLASSES),
    ).double()


@pytest.fixture
def examples():
    generator = torch.Generator().manual_seed(1)
    inputs = torch.randn(11, 2, SIDE, SIDE, generator=generator, dtype=torch.float64)
    return inputs, torch.arange(11) % CLASSES


def test_against_loops_over_single_pictures(examples):
    inputs, labels = examples
    torch.manual_seed(0)
    model = nn.Sequential(network(nn.MaxPool2d(3))[:3], nn.Flatten(), nn.Linear(16, CLASSES)).double()
    with torch.no_grad():
        model[-1].bias -= model(inputs).mean(0)  # else one class takes all
    found = circular_stability(model, inputs, labels, mapped=4, seed=3, batch=5)
    shifts = np.random.default_rng(3).integers(0, (SIDE, SIDE), (2, len(inputs), 2))

    def answer(n, by):
        with torch.no_grad():
            return model(torch.roll(inputs[n : n + 1], tuple(int(v) for v in by), (2, 3)))[0]

    def right(n, by):
        return int(answer(n, by).argmax()) == int(labels[n])

    count = len(inputs)
    assert float(found.accuracy) == pytest.approx(np.mean([right(n, (0, 0)) for n in range(count)]), rel=1e-12)
    both = [[right(n, shifts[i, n]) for n in range(count)] for i in (0, 1)]
    assert float(found.accuracy_shifted) == pytest.approx(np.mean(both), rel=1e-12)
    same = [int(answer(n, shifts[0, n]).argmax()) == int(answer(n, shifts[1, n]).argmax()) for n in range(count)]
    assert float(found.consistency) == pytest.approx(np.mean(same), rel=1e-12)
    assert 0 < np.mean(same) < 1
    assert float(found.consistency_stderr) == pytest.approx(np.std(same, ddof=1) / count**0.5, rel=1e-12)
    every = [(dy, dx) for dy in range(SIDE) for dx in range(SIDE)]
    true = [[float(answer(n, by).softmax(0)[labels[n]]) for by in every] for n in range(4)]
    assert float(found.variation) == pytest.approx(np.std(true, axis=1).mean(), rel=1e-12)
    for dy, dx in ((-3, 2), (0, 0), (2, -1)):
        expected = np.mean([right(n, (dy, dx)) for n in range(4)])
        assert float(found.accuracy_by_shift.sel(dy=dy, dx=dx)) == pytest.approx(expected)
    beaten = np.mean([all(right(n, by) for by in every) for n in range(4)])
    assert float(found.adversary[-1]) == pytest.approx(beaten)


def test_what_commutes_with_shifts_is_consistent(examples):
    inputs, labels = examples
    for pool in (APS(2, padding_mode="circular"), nn.Identity()):
        found = circular_stability(network(pool), inputs, labels, mapped=3)
        assert float(found.consistency) == 1 and float(found.variation) < 1e-7
        assert (found.adversary == found.adversary[0]).all()
        assert float(found.accuracy_shifted) == float(found.accuracy)


def test_shifts_are_of_every_picture_its_own(examples):
    inputs, _ = examples
    by = np.random.default_rng(0).integers(0, SIDE, (len(inputs), 2))
    for n, (dy, dx) in enumerate(by.tolist()):
        assert torch.equal(shifted(inputs, by)[n], torch.roll(inputs[n], (dy, dx), (1, 2)))


def test_without_maps_and_bad_input(examples):
    inputs, labels = examples
    assert "variation" not in circular_stability(network(nn.MaxPool2d(2)), inputs, labels, mapped=0)
    with pytest.raises(ValueError, match="no example"):
        circular_stability(network(nn.MaxPool2d(2)), inputs[:0], labels[:0])
    with pytest.raises(ValueError, match="3"):
        circular_stability(network(nn.MaxPool2d(2)), inputs, labels + 3)
