"""The closed forms of theory.md 3.3 against its table, quadrature, Monte Carlo and their own symmetries."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import gamma, gamma_map
from analysis.theory import phase_gaps

pytestmark = pytest.mark.nojit

PI = np.pi

# (m theta, q, gamma squared, gamma): theory.md 3.3, as printed there.
TABLE = [
    ((0, 0), 1, 1.500000, 1.224745),
    ((PI / 8, 0), 1, 1.012616, 1.006288),
    ((PI / 8, PI / 8), 1, 0.595283, 0.771546),
    ((PI, 0), 1, 0.226760, 0.476194),
    ((0, PI), 1, 0.226760, 0.476194),
    ((PI, PI), 1, 0.226760, 0.476194),
    ((PI / 2, 0), 1, 0.122219, 0.349598),
    ((PI / 4, PI / 4), 1, 0.113964, 0.337585),
    ((2 * PI / 3, 0), 1, 0.052762, 0.229699),
    ((2 * PI / 3, 2 * PI / 3), 1, 0.052762, 0.229699),
    ((0.3, -2.5), 1, 0.022199, 0.148993),
    ((PI / 2, PI / 2), 1, 0.017677, 0.132956),
    ((PI / 2, PI), 1, 0.017677, 0.132956),
    ((3 * PI / 4, 3 * PI / 4), 1, 0.013550, 0.116404),
    ((2 * PI / 5, 4 * PI / 5), 1, 0.007435, 0.086225),
    ((2 * PI / 5, 2 * PI / 5), 1, 0.007435, 0.086225),
    ((PI, 2 * PI / 3), 1, 0.003637, 0.060310),
    ((PI, PI / 3), 1, 0.003637, 0.060310),
    ((1, 2), 1, 0.002898, 0.053829),
    ((PI / 4, 3 * PI / 4), 1, 0.001167, 0.034168),
    ((2 * PI / 9, 6 * PI / 9), 1, 0.000732, 0.027049),
    ((8 * PI / 9, 6 * PI / 9), 1, 0.000732, 0.027049),
    ((0, 0), 2, 1.5, np.sqrt(1.5)),
    ((PI, PI), 2, 0.226760455, np.sqrt(0.226760455)),
    ((PI / 4, PI / 4), 2, 0.001167441, np.sqrt(0.001167441)),
    ((1, 2), 2, 0.000562503, np.sqrt(0.000562503)),
    ((2 * PI / 25, 10 * PI / 25), 2, 1.2445e-5, np.sqrt(1.2445e-5)),
]

angles = st.floats(-10, 10, allow_nan=False)


def largest_cosine(phi, omega, q):
    """Maximum over the window of cos(phi + <omega, p>), by plain loops."""
    best = np.full(np.shape(phi), -1.0)
    for p_y in range(-q, q + 1):
        for p_x in range(-q, q + 1):
            best = np.maximum(best, np.cos(phi + omega[0] * p_y + omega[1] * p_x))
    return best


@pytest.mark.parametrize(("omega", "q", "squared", "value"), TABLE)
def test_table_of_the_theory(omega, q, squared, value):
    ours = gamma(omega, q)
    assert ours**2 == pytest.approx(squared, abs=1e-6)
    assert ours == pytest.approx(value, abs=1e-6)


@pytest.mark.parametrize(("omega", "q"), [row[:2] for row in TABLE] + [((0.3, 0.7), 3), ((5.0, -9.0), 0)])
def test_is_the_mean_over_the_phase_by_midpoint_quadrature(omega, q):
    phi = (np.arange(2**16) + 0.5) * (2 * PI / 2**16)
    mean = ((1 - largest_cosine(phi, omega, q)) ** 2).mean()
    assert gamma(omega, q) ** 2 == pytest.approx(mean, abs=1e-8)


def test_many_frequencies_at_once_equal_quadrature():
    omega = np.random.default_rng(1).uniform(-7, 7, (5, 8, 2))
    phi = (np.arange(2**14) + 0.5) * (2 * PI / 2**14)
    for q in (1, 2):
        ours = gamma(omega, q)
        assert ours.shape == (5, 8) and ours.dtype == np.float64
        expected = [[((1 - largest_cosine(phi, w, q)) ** 2).mean() for w in row] for row in omega]
        np.testing.assert_allclose(ours**2, expected, atol=1e-7)


@pytest.mark.parametrize("omega", [(PI, PI), (PI / 4, 3 * PI / 4), (1.0, 2.0)])
def test_is_the_expected_discrepancy_of_random_phases(omega):
    # theory.md 3.3: 784 positions with exponential moduli; only the phases need to be uniform.
    rng = np.random.default_rng(2)
    modulus = rng.exponential(size=(1000, 784))
    deficit = modulus * (1 - largest_cosine(rng.uniform(0, 2 * PI, modulus.shape), omega, 1))
    ratio = (deficit**2).sum(axis=1) / (modulus**2).sum(axis=1)
    assert ratio.mean() == pytest.approx(float(gamma(omega)) ** 2, rel=0.01)


@given(angles, angles, st.integers(-3, 3), st.integers(-3, 3), st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_symmetries(y, x, turns_y, turns_x, q):
    value = gamma((y, x), q)
    # Near multiples of the pathological frequencies gamma is Lipschitz, so rounding stays rounding.
    for other in ((y + 2 * PI * turns_y, x + 2 * PI * turns_x), (-y, x), (y, -x), (-y, -x), (x, y)):
        assert gamma(other, q) ** 2 == pytest.approx(value**2, abs=1e-12)


@given(angles, angles, st.integers(0, 3))
@settings(max_examples=200, deadline=None)
def test_gaps_are_a_partition_of_the_circle(y, x, q):
    gaps = phase_gaps((y, x), q)
    assert gaps.shape == ((2 * q + 1) ** 2,)
    assert (gaps >= 0).all()
    assert gaps.sum() == pytest.approx(2 * PI, abs=1e-12)


@given(angles, angles)
@settings(max_examples=200, deadline=None)
def test_range_and_monotony_in_q(y, x):
    values = [float(gamma((y, x), q)) for q in range(4)]
    assert values[0] == pytest.approx(np.sqrt(1.5))
    assert all(a >= b - 1e-7 for a, b in pairwise(values))  # more samples cannot do worse
    assert values[1] ** 2 > 0.00073163


@pytest.mark.parametrize("turns", [0, 1, -1, 1000, 12345])
@pytest.mark.parametrize("error", [0.0, 1e-15, -1e-15, 1e-11, -1e-11])
def test_phases_that_coincide_up_to_rounding_are_one(turns, error):
    omega = np.array([2 * PI * turns + error, -2 * PI * turns + error])
    assert gamma(omega) == pytest.approx(np.sqrt(1.5), abs=1e-9)
    assert gamma(omega + np.array([PI, 0])) == pytest.approx(0.476194, abs=1e-6)
    gaps = np.sort(phase_gaps(omega))
    assert gaps[-1] == pytest.approx(2 * PI, abs=1e-8)
    np.testing.assert_allclose(gaps[:-1], 0, atol=1e-8)


def test_extremes_over_the_plane():
    theta = np.linspace(-PI, PI, 361)  # holds 0 and the multiples of pi / 9
    values = gamma(np.stack(np.meshgrid(theta, theta, indexing="ij"), axis=-1)) ** 2
    assert values.max() == pytest.approx(1.5, abs=1e-12)
    assert np.unravel_index(values.argmax(), values.shape) == (180, 180)
    assert values.min() == pytest.approx(0.00073164, abs=1e-8)
    row, column = np.unravel_index(values.argmin(), values.shape)
    assert sorted(np.abs([row - 180, column - 180]) % 360) in ([40, 120], [120, 160], [80, 120])
    # theory.md: mean of gamma squared and of gamma, median, and the area of the bad neighbourhoods
    inner = values[:-1, :-1]
    assert inner.mean() == pytest.approx(0.0705, abs=1e-4)
    assert np.sqrt(inner).mean() == pytest.approx(0.174, abs=5e-4)
    assert np.median(inner) == pytest.approx(0.0078, abs=1e-4)
    for level, percent in ((0.5, 4.1), (0.2, 9.3), (0.1, 15.1), (0.05, 22.8), (0.01, 45.4)):
        assert 100 * (inner > level).mean() == pytest.approx(percent, abs=0.15)


@pytest.mark.parametrize("q", [1, 2, 3, 6])
def test_equispaced_phases(q):
    # omega = 2 pi / K (1, 2 q + 1) with K = (2 q + 1)**2 gives K equispaced phases, the best there is.
    k = (2 * q + 1) ** 2
    omega = np.array([1, 2 * q + 1]) * 2 * PI / k
    np.testing.assert_allclose(phase_gaps(omega, q), 2 * PI / k, atol=1e-12)
    closed = 1.5 + k / (4 * PI) * (np.sin(2 * PI / k) - 8 * np.sin(PI / k))
    assert gamma(omega, q) ** 2 == pytest.approx(closed, abs=1e-14)
    assert gamma(omega, q) ** 2 == pytest.approx((PI / k) ** 4 / 20, rel=0.02)


def test_map_samples_the_square_from_minus_pi_to_pi():
    plane = gamma_map(2, points=9, q=2)
    theta = np.linspace(-PI, PI, 9)
    assert plane.shape == (9, 9)
    for i in range(9):
        for j in range(9):
            assert plane[i, j] == pytest.approx(gamma((2 * theta[i], 2 * theta[j]), 2), abs=1e-12)
    assert gamma_map(1).shape == (257, 257)
    assert gamma_map(4)[128, 128] == pytest.approx(np.sqrt(1.5))
    assert gamma_map(4)[128, 64] == pytest.approx(np.sqrt(1.5), abs=1e-9)  # theta = (0, -pi / 2): 2 pi / m


@pytest.mark.parametrize("function", [gamma, phase_gaps])
@pytest.mark.parametrize(
    ("omega", "q", "error", "message"),
    [
        ((1, 2), -1, ValueError, "q is -1; expected at least 0"),
        ((1, 2), 1.0, TypeError, "q must be an integer, not float"),
        ((1, 2), True, TypeError, "q must be an integer, not bool"),
        ((1, 2), "1", TypeError, "q must be an integer, not str"),
        ((1, 2, 3), 1, ValueError, r"omega has shape \(3,\); expected \(\.\.\., 2\)"),
        (1.0, 1, ValueError, r"omega has shape \(\); expected \(\.\.\., 2\)"),
        ((1, np.nan), 1, ValueError, "omega holds a frequency that is not finite"),
        ((np.inf, 1), 1, ValueError, "omega holds a frequency that is not finite"),
    ],
)
def test_errors(function, omega, q, error, message):
    with pytest.raises(error, match=rf"^{message}$"):
        function(omega, q)
