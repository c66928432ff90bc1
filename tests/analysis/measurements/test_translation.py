"""Translations against np.roll, sums of cosines moved by hand, and the group law."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import translate
from analysis.measurements.translation import GUARD, check_shift, margin_for, windows

RNG = np.random.default_rng(1)
shifts = st.floats(-40, 40, allow_nan=False)


def cosines(size, shift, seed=2, count=6):
    """A sum of cosines on a periodic grid, below the Nyquist frequency, moved by `shift` analytically."""
    rng = np.random.default_rng(seed)
    y, x = np.arange(size[0])[:, None] - shift[0], np.arange(size[1]) - shift[1]
    image = np.zeros(size)
    for _ in range(count):
        k_y, k_x = (rng.integers(-((n - 1) // 2), (n - 1) // 2 + 1) for n in size)
        phase, amplitude = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 2)
        image += amplitude * np.cos(2 * np.pi * (k_y * y / size[0] + k_x * x / size[1]) + phase)
    return image


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (7, 7), (8, 8), (12, 31)])
@pytest.mark.parametrize("shift", [(0, 1), (1, 0), (-3, 2), (5, -20), (100, 1)])
def test_whole_periodic_shifts_are_rolls(size, shift):
    x = RNG.standard_normal((2, *size))
    np.testing.assert_allclose(translate(x, shift), np.roll(x, shift, axis=(-2, -1)), atol=1e-12)


@pytest.mark.parametrize("size", [(15, 21), (16, 24), (1, 9), (17, 32)])
@pytest.mark.parametrize("shift", [(0.5, 0.5), (0, 0.25), (-1.7, 0), (13.3, -40.9)])
def test_cosines_move_as_the_formula_says(size, shift):
    np.testing.assert_allclose(translate(cosines(size, (0, 0)), shift), cosines(size, shift), atol=1e-11)


@given(shifts, shifts, shifts, shifts)
@settings(max_examples=50)
def test_shifts_add_up_and_keep_the_norm_on_odd_grids(a, b, c, d):
    x = np.random.default_rng(3).standard_normal((9, 13))
    once = translate(x, (a + c, b + d))
    np.testing.assert_allclose(translate(translate(x, (a, b)), (c, d)), once, atol=1e-11)
    np.testing.assert_allclose(translate(translate(x, (a, b)), (-a, -b)), x, atol=1e-11)
    assert np.linalg.norm(once) == pytest.approx(np.linalg.norm(x), rel=1e-12)


@pytest.mark.parametrize("u", [0.25, 0.5, 1.0, 1.5, -2.3])
def test_the_nyquist_bin_of_an_even_grid_is_scaled_by_a_cosine(u):
    alternating = np.tile([1.0, -1.0], 5)
    x = np.ones((4, 1)) * alternating
    np.testing.assert_allclose(translate(x, (0, u)), np.cos(np.pi * u) * x, atol=1e-12)
    np.testing.assert_allclose(translate(x.T, (u, 0)), np.cos(np.pi * u) * x.T, atol=1e-12)
    np.testing.assert_allclose(translate(x, (u, 0)), x, atol=1e-12)  # constant along that axis


@pytest.mark.parametrize("n", [8, 9])
def test_the_mean_is_kept_and_a_constant_stays(n):
    x = RNG.random((n, n))
    assert translate(x, (0.3, -1.6)).mean() == pytest.approx(x.mean(), abs=1e-13)
    for boundary in ("periodic", "symmetric"):
        np.testing.assert_allclose(translate(np.full((n, n), 3.0), (0.3, 2.2), boundary), 3.0, atol=1e-12)


@pytest.mark.parametrize("size", [(64, 65), (81, 70)])
@pytest.mark.parametrize("shift", [(0.5, 0.5), (-0.25, 1.75)])
def test_a_mirrored_border_leaves_the_middle_of_a_smooth_image_accurate(size, shift):
    def ramp(dy, dx):  # not periodic: opposite edges differ by 3
        y, x = np.arange(size[0])[:, None] - dy, np.arange(size[1]) - dx
        return y / size[0] + 2 * x / size[1] + 0.3 * np.sin(y / 6) * np.cos(x / 8)

    middle = (slice(GUARD + 2, -GUARD - 2),) * 2
    mirrored = np.abs(translate(ramp(0, 0), shift, "symmetric") - ramp(*shift))[middle].max()
    periodic = np.abs(translate(ramp(0, 0), shift) - ramp(*shift))[middle].max()
    assert mirrored < 2e-3
    assert periodic > 10 * mirrored


def test_whole_symmetric_shifts_bring_in_the_mirror_image():
    x = RNG.standard_normal((5, 6))
    np.testing.assert_allclose(translate(x, (2, 0), "symmetric"), x[[1, 0, 0, 1, 2]], atol=1e-12)
    np.testing.assert_allclose(translate(x, (0, -1), "symmetric"), x[:, [1, 2, 3, 4, 5, 5]], atol=1e-12)


@pytest.mark.parametrize("boundary", ["periodic", "symmetric"])
def test_dtype_batches_and_input_are_kept(boundary):
    x = RNG.standard_normal((2, 3, 10, 11))
    before = x.copy()
    moved = translate(x, (0.5, 1.25), boundary)
    assert moved.shape == x.shape and moved.dtype == np.float64
    np.testing.assert_array_equal(x, before)
    for i in range(2):
        for j in range(3):
            np.testing.assert_allclose(translate(x[i, j], (0.5, 1.25), boundary), moved[i, j], atol=1e-13)
    single = translate(x.astype(np.float32), (0.5, 1.25), boundary)
    assert single.dtype == np.float32
    np.testing.assert_allclose(single, moved, atol=2e-6)


# ---- windows --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shift", [(0, 0), (1, 0), (0, -2), (-3, 3), (2, 1)])
@pytest.mark.parametrize("margin", [3, 5])
def test_windows_of_whole_shifts_are_true_pixels(shift, margin):
    x = RNG.standard_normal((2, 20, 24)).astype(np.float32)
    w = windows(x, shift, margin)
    assert w.shape == (2, 20 - 2 * margin, 24 - 2 * margin) and w.dtype == np.float32
    for i in range(w.shape[1]):
        for j in range(w.shape[2]):
            np.testing.assert_array_equal(w[:, i, j], x[:, margin - shift[0] + i, margin - shift[1] + j])


def test_positive_shifts_move_the_content_down_and_to_the_right():
    x = np.zeros((9, 9))
    x[4, 4] = 1
    for move in (lambda u: windows(x, u, 2), lambda u: translate(x, u)[2:-2, 2:-2]):
        assert np.unravel_index(np.argmax(move((1, 0))), (5, 5)) == (3, 2)
        assert np.unravel_index(np.argmax(move((0, 1))), (5, 5)) == (2, 3)
        assert np.unravel_index(np.argmax(move((-1, -2))), (5, 5)) == (1, 0)


@pytest.mark.parametrize("shift", [(0.5, 0.5), (0.0, 0.5), (-1.25, 2.0)])
def test_windows_of_fractional_shifts_interpolate(shift):
    margin = margin_for([shift])
    y, x = np.arange(60)[:, None], np.arange(50)

    def smooth(dy, dx):
        return np.sin((y - dy) / 5) * np.cos((x - dx) / 7)

    inner = (slice(margin, -margin),) * 2
    np.testing.assert_allclose(windows(smooth(0, 0), shift, margin), smooth(*shift)[inner], atol=5e-3)


def test_margins():
    assert margin_for([]) == 0
    assert margin_for([(0, 0)]) == 0
    assert margin_for([(0, 1), (-3, 2)]) == 3
    assert margin_for([(0.5, 0)]) == 1 + GUARD
    assert margin_for([(0, 1), (-2.5, 0)]) == 3 + GUARD
    assert margin_for([(4, 0), (0, 0.5)]) == 4 + GUARD


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shift", "message"),
    [
        (1, "shift is 1; expected two numbers of pixels, vertical and horizontal"),
        ((1,), r"shift is \(1,\); expected two numbers"),
        ((1, 2, 3), r"shift is \(1, 2, 3\); expected two numbers"),
        (("a", 1), r"shift is \('a', 1\); expected two numbers"),
        ((1, None), r"shift is \(1, None\); expected two numbers"),
        ((1j, 0), r"shift is \(1j, 0\); expected two numbers"),
        ((np.nan, 0), r"shift is \(nan, 0\); expected finite numbers of pixels"),
        ((0, -np.inf), r"shift is \(0, -inf\); expected finite numbers of pixels"),
    ],
)
def test_bad_shifts(shift, message):
    for call in (
        lambda: check_shift(shift),
        lambda: margin_for([shift]),
        lambda: translate(np.ones((4, 4)), shift),
        lambda: windows(np.ones((40, 40)), shift, 2),
    ):
        with pytest.raises(ValueError, match=rf"^{message}"):
            call()


def test_good_shifts_become_floats():
    assert check_shift(np.array([1, 2])) == (1.0, 2.0)
    assert check_shift([np.float32(0.5), True]) == (0.5, 1.0)


def test_bad_images_boundaries_and_margins():
    with pytest.raises(TypeError, match=r"^x is complex \(complex128\); expected real numbers$"):
        translate(np.ones((4, 4), complex), (0, 1))
    with pytest.raises(ValueError, match=r"^x holds 1 NaN or infinite values of 4; expected finite numbers$"):
        translate([[1, 2], [3, np.nan]], (0, 0))
    with pytest.raises(ValueError, match=r"^x has shape \(4,\); expected at least 2 axes$"):
        translate(np.ones(4), (0, 1))
    with pytest.raises(ValueError, match=r"^unknown boundary 'wrap'; expected 'periodic' or 'symmetric'$"):
        translate(np.ones((4, 4)), (0, 1), "wrap")
    with pytest.raises(ValueError, match=r"^margin is 1 pixels; expected at least 2 for the shift \(0\.0, -2\.0\)$"):
        windows(np.ones((9, 9)), (0, -2), 1)
    with pytest.raises(ValueError, match=r"^margin is 3 pixels; expected at least 5 for the shift"):
        windows(np.ones((9, 9)), (0, 0.5), 3)
    with pytest.raises(ValueError, match=r"^a margin of 3 pixels leaves nothing of an image of 6x9$"):
        windows(np.ones((6, 9)), (0, 3), 3)
