"""The Gabor fit: exact on Gabor kernels, and the least squares it claims to be."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.kernels import fit_gabor, gabor

#           A     phase  w_y   w_x   y    x   s1   s2   angle
CASES = [
    (2.0, 0.7, 0.5, 1.1, 5.0, 5.0, 2.2, 1.5, 0.4),
    (0.01, -2.5, -1.3, 0.4, 4.2, 6.1, 1.8, 2.6, 1.2),
    (1.0, 3.0, 0.0, 2.4, 5.5, 4.5, 3.0, 2.0, 0.0),
    (5.0, -1.5, 2.2, 0.3, 5.0, 5.0, 2.0, 2.0, 0.0),
]


@pytest.mark.parametrize("case", CASES)
def test_a_gabor_kernel_is_found_again(case):
    kernel = gabor(case, (11, 11))
    found, r2 = fit_gabor(kernel)
    assert r2 == pytest.approx(1, abs=1e-8)
    np.testing.assert_allclose(gabor(found, (11, 11)), kernel, atol=1e-4 * case[0])
    np.testing.assert_allclose(found[2:6], case[2:6], atol=1e-3)
    assert found[0] == pytest.approx(case[0], rel=1e-3)
    assert np.angle(np.exp(1j * (found[1] - case[1]))) == pytest.approx(0, abs=2e-3)


def test_parameters_are_in_their_ranges():
    rng = np.random.default_rng(0)
    for _ in range(10):
        kernel = rng.standard_normal((7, 9))
        found, r2 = fit_gabor(kernel)
        amplitude, phase, omega_y, omega_x, _, _, *sigmas, angle = found
        assert amplitude > 0 and -np.pi < phase <= np.pi and 0 <= angle <= np.pi
        assert max(abs(omega_y), abs(omega_x)) <= np.pi and min(sigmas) > 0
        assert 0 < r2 < 1
        assert r2 == pytest.approx(1 - ((kernel - gabor(found, (7, 9))) ** 2).sum() / (kernel**2).sum(), abs=1e-6)


def test_noise_on_a_gabor_costs_its_share_of_the_energy():
    rng = np.random.default_rng(1)
    clean = gabor(CASES[0], (11, 11))
    noise = rng.standard_normal((11, 11))
    noise *= np.sqrt(0.1 * (clean**2).sum() / (noise**2).sum())
    _, r2 = fit_gabor(clean + noise)
    assert 0.88 < r2 < 0.97


def test_no_small_step_is_better():
    rng = np.random.default_rng(2)
    kernel = gabor(CASES[1], (11, 11)) + 0.002 * rng.standard_normal((11, 11))
    found, _ = fit_gabor(kernel)
    least = ((kernel - gabor(found, (11, 11))) ** 2).sum()
    for index in range(9):
        for step in (-1e-2, 1e-2):
            other = found.copy()
            other[index] += step * (found[0] if index == 0 else 1)
            assert ((kernel - gabor(other, (11, 11))) ** 2).sum() > least


@pytest.mark.parametrize("side", [1, -1])
def test_of_two_opposite_frequencies_that_of_theta_is_given(side):
    kernel = gabor(CASES[0], (11, 11))
    found, r2 = fit_gabor(kernel, (side * 0.5, side * 1.1))
    np.testing.assert_allclose(found[2:4], (side * 0.5, side * 1.1), atol=1e-3)
    assert found[1] == pytest.approx(side * 0.7, abs=1e-3) and r2 > 1 - 1e-8


def test_a_frequency_that_wraps_round_is_turned_back_with_its_phase():
    case = (1.0, 0.7, 0.0, 3.0, 5.2, 4.7, 2.0, 2.0, 0.0)
    kernel = gabor(case, (11, 11))
    found, r2 = fit_gabor(kernel, (0.0, 3.3))  # beyond the Nyquist frequency: what is found there is -3.0
    assert found[3] > 0 and r2 > 1 - 1e-6
    np.testing.assert_allclose(gabor(found, (11, 11)), kernel, atol=1e-3)


def test_scale_and_sign_of_the_kernel():
    kernel = gabor(CASES[0], (11, 11))
    found, _ = fit_gabor(kernel)
    for scale in (1e-12, 1e12):
        np.testing.assert_allclose(fit_gabor(scale * kernel)[0][1:], found[1:], atol=1e-5)
    opposite, _ = fit_gabor(-kernel)
    assert abs(np.angle(np.exp(1j * (opposite[1] - found[1])))) == pytest.approx(np.pi, abs=1e-3)


@pytest.mark.parametrize("kernel", [np.ones((5, 5)), np.eye(5)[2][:, None] * np.eye(5)[2]])
def test_a_constant_and_a_single_pixel_are_nearly_gabors(kernel):
    _, r2 = fit_gabor(kernel)
    assert r2 > 0.95


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (np.zeros((5, 5)), "zero everywhere"),
        (np.full((5, 5), np.nan), "NaN"),
        (np.ones(5), r"shape \(5,\)"),
        (np.ones((2, 5, 5)), r"shape \(2, 5, 5\)"),
    ],
)
def test_what_cannot_be_fitted(kernel, message):
    with pytest.raises(ValueError, match=message):
        fit_gabor(kernel)
