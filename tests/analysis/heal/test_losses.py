"""Terms of the loss against formulas written out, and the shifts that they are about."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch.nn.functional import softmax  # noqa: E402

from analysis.heal.losses import LOSSES, Lesson, divergence, draw_shifts, shifted  # noqa: E402

SHIFTS = [((1, -2), "reflect"), ((5, 3), "circular")]


def linear(seed):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(7, 3 * 8 * 8, generator=generator) / 3
    return lambda x: x.flatten(1) @ weight.T


@pytest.fixture
def pictures():
    return torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("shift", [(0, 1), (-2, 0), (3, -1)])
def test_shifts_are_those_of_numpy(pictures, shift):
    rolled = np.roll(pictures.numpy(), shift, (2, 3))
    assert np.array_equal(shifted(pictures, shift, "circular").numpy(), rolled)
    wide = np.pad(pictures.numpy(), ((0, 0), (0, 0), (3, 3), (3, 3)), mode="reflect")
    moved = np.roll(wide, shift, (2, 3))[:, :, 3:-3, 3:-3]
    assert np.array_equal(shifted(pictures, shift, "reflect").numpy(), moved)


def test_shifts_depend_on_their_place_alone_and_are_never_zero():
    found = [draw_shifts(6, 1, "both", (4, 4), (3, 0, step)) for step in range(40)]
    assert found == [draw_shifts(6, 1, "both", (4, 4), (3, 0, step)) for step in range(40)]
    assert len({str(each) for each in found}) > 30
    flat = [each for shifts in found for each in shifts]
    assert (0, 0) not in [shift for shift, _ in flat]
    assert [border for _, border in flat].count("circular") == len(flat) // 2
    for (down, right), border in flat:
        low, high = (0, 3) if border == "circular" else (-1, 1)
        assert low <= min(down, right) <= max(down, right) <= high


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_divergence_is_its_sum(temperature):
    p, logits = softmax(torch.randn(5, 4), 1), torch.randn(5, 4)
    q = softmax(logits / temperature, 1)
    expected = temperature**2 * (p * (p / q).log()).sum() / 5
    assert divergence(p, logits, temperature) == pytest.approx(float(expected), rel=1e-5)


def test_terms_are_what_they_say(pictures):
    student, teacher = linear(1), linear(2)
    lesson = Lesson(student, teacher, pictures, SHIFTS, 2.0)
    views = [pictures, *(shifted(pictures, *each) for each in SHIFTS)]
    mean = torch.stack([softmax(teacher(view) / 2, 1) for view in views]).mean(0)
    expected = {
        "answers": divergence(softmax(teacher(pictures) / 2, 1), student(pictures), 2),
        "averaged": divergence(mean, student(pictures), 2),
    }
    p, q = (softmax(student(view) / 2, 1) for view in views[:2])
    expected["consistency"] = 4 * ((p - q) * (p / q).log()).sum() / 2 / len(pictures)
    for name, value in expected.items():
        assert LOSSES[name](lesson) == pytest.approx(float(value), rel=1e-4), name


def test_nothing_is_left_to_learn_from_oneself(pictures):
    student = linear(1)
    maps = {"a": torch.rand(2, 3)}
    lesson = Lesson(student, student, pictures, SHIFTS, 2.0, (maps, maps))
    assert LOSSES["answers"](lesson) == pytest.approx(0, abs=1e-5)
    assert LOSSES["features"](lesson) == 0
    assert LOSSES["averaged"](lesson) > 1e-3  # which asks for more than the teacher has


def test_difference_of_maps_has_no_scale(pictures):
    a, b = torch.rand(2, 3), torch.rand(2, 3)
    values = [
        LOSSES["features"](Lesson(linear(1), linear(1), pictures, SHIFTS, 2.0, ({"m": s * a}, {"m": s * b})))
        for s in (1, 100)
    ]
    assert values[0] == pytest.approx(float(values[1]), rel=1e-5)
    assert values[0] == pytest.approx(float((a - b).square().sum() / a.square().sum()), rel=1e-5)
