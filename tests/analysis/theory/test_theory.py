"""The closed forms of theory.md 3.3 and 3.5 against their tables, quadrature, Monte Carlo and their own symmetries."""

from __future__ import annotations

from itertools import pairwise

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import gamma, gamma_map, theory
from analysis.theory import maximum_moments, narrow_band_change, phase_gaps

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

# m theta, E M, E M^2, and the change for the advances below, all for q = 1: theory.md 3.5, as printed there.
ADVANCES = (PI / 8, PI / 4, PI / 2, PI)
CHANGES = [
    ((0, 0), 0.0, 0.5, (0.3902, 0.7654, 1.4142, 2.0)),
    ((PI, PI), 0.636620, 0.5, (0.3563, 0.6266, 0.8525, 0.0)),
    ((PI, 0), 0.636620, 0.5, (0.3563, 0.6266, 0.8525, 0.0)),
    ((PI / 4, PI / 4), 0.805558, 0.725079, (0.2124, 0.3679, 0.5197, 0.5381)),
    ((PI / 2, PI / 2), 0.900316, 0.818310, (0.1409, 0.1889, 0.0, 0.0)),
    ((3 * PI / 4, 3 * PI / 4), 0.918861, 0.851272, (0.1220, 0.1604, 0.1310, 0.1604)),
    ((PI / 4, 3 * PI / 4), 0.974495, 0.950158, (0.0452, 0.0, 0.0, 0.0)),
    ((2 * PI / 9, 2 * PI / 3), 0.979816, 0.960363, (0.0350, 0.0155, 0.0267, 0.0356)),
]

angles = st.floats(-10, 10, allow_nan=False)
PHI = (np.arange(2**16) + 0.5) * (2 * PI / 2**16)


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
    mean = ((1 - largest_cosine(PHI, omega, q)) ** 2).mean()
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
@settings(max_examples=200)
def test_symmetries(y, x, turns_y, turns_x, q):
    value = gamma((y, x), q)
    # Near multiples of the pathological frequencies gamma is Lipschitz, so rounding stays rounding.
    for other in ((y + 2 * PI * turns_y, x + 2 * PI * turns_x), (-y, x), (y, -x), (-y, -x), (x, y)):
        assert gamma(other, q) ** 2 == pytest.approx(value**2, abs=1e-12)


@given(angles, angles, st.integers(0, 3))
@settings(max_examples=200)
def test_gaps_are_a_partition_of_the_circle(y, x, q):
    gaps = phase_gaps((y, x), q)
    assert gaps.shape == ((2 * q + 1) ** 2,)
    assert (gaps >= 0).all()
    assert gaps.sum() == pytest.approx(2 * PI, abs=1e-12)


@given(angles, angles)
@settings(max_examples=200)
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


def test_gamma_over_cells_is_the_root_mean_square_over_each_cell():
    levels, stride = 2, 2
    theta = np.array([[0.1, 0.1], [-0.1, 2.0]])
    found = theory.gamma_over_cells(theta, levels, stride, points=4)
    side, inside = np.pi / 4, (np.arange(4) + 0.5) / 4
    for value, (y, x) in zip(found, [(0, 0), (-1, 2)], strict=True):
        squares = [gamma([stride * side * (y + a), stride * side * (x + b)]) ** 2 for a in inside for b in inside]
        assert value == pytest.approx(np.sqrt(np.mean(squares)))
    with pytest.raises(ValueError, match="levels"):
        theory.gamma_over_cells(theta, 0, stride)


@pytest.mark.parametrize("q", [0, 1, 2, 3])
def test_largest_cosine_equals_plain_loops(q):
    rng = np.random.default_rng(3)
    phi, omega = rng.uniform(-20, 20, 100), rng.uniform(-7, 7, (100, 2))
    ours = theory.largest_cosine(phi, omega, q)
    np.testing.assert_allclose(ours, [largest_cosine(p, w, q) for p, w in zip(phi, omega, strict=True)], atol=1e-12)
    np.testing.assert_allclose(theory.largest_cosine(phi, omega[0], 0), np.cos(phi), atol=1e-12)


@pytest.mark.parametrize(
    ("phi", "omega", "shape"), [((), (2,), ()), ((5,), (2,), (5,)), ((), (4, 2), (4,)), ((3, 1), (4, 2), (3, 4))]
)
def test_largest_cosine_broadcasts(phi, omega, shape):
    rng = np.random.default_rng(4)
    phi, omega = rng.uniform(-3, 3, phi), rng.uniform(-3, 3, omega)
    ours = theory.largest_cosine(phi, omega)
    assert ours.shape == shape and ours.dtype == np.float64
    phi, omega = np.broadcast_to(phi, shape), np.broadcast_to(omega, (*shape, 2))
    for index in np.ndindex(shape):
        assert ours[index] == pytest.approx(float(largest_cosine(phi[index], omega[index], 1)), abs=1e-12)


@given(angles, angles, angles, st.integers(0, 3))
@settings(max_examples=100)
def test_largest_cosine_symmetries(phi, y, x, q):
    value = theory.largest_cosine(phi, (y, x), q)
    assert np.cos(phi) - 1e-12 <= value <= 1
    # The window is symmetric: M is even in the phase, and in each coordinate.
    for p, w in ((-phi, (y, x)), (phi + 2 * PI, (y, x)), (phi, (-y, x)), (phi, (x, -y)), (phi, (y - 4 * PI, x))):
        assert theory.largest_cosine(p, w, q) == pytest.approx(float(value), abs=1e-9)


@pytest.mark.parametrize(("omega", "mean", "square", "changes"), CHANGES)
def test_table_of_the_narrow_band_shift_model(omega, mean, square, changes):
    ours = maximum_moments(omega)
    assert ours[0] == pytest.approx(mean, abs=5.1e-7)
    assert ours[1] == pytest.approx(square, abs=5.1e-7)
    np.testing.assert_allclose(narrow_band_change(omega, ADVANCES), changes, atol=5.1e-5)
    for advance, change in zip(ADVANCES, changes, strict=True):
        if change == 0:  # the phases are equally spaced, and the advance is a multiple of their gap
            assert narrow_band_change(omega, advance) < 1e-7


@pytest.mark.parametrize(("omega", "q"), [row[:2] for row in TABLE] + [((0.3, 0.7), 3), ((5.0, -9.0), 0)])
def test_moments_by_midpoint_quadrature(omega, q):
    m = largest_cosine(PHI, omega, q)
    mean, square = maximum_moments(omega, q)
    assert mean == pytest.approx(m.mean(), abs=1e-8)
    assert square == pytest.approx((m**2).mean(), abs=1e-8)


@given(angles, angles, st.integers(0, 3))
@settings(max_examples=100)
def test_gamma_follows_from_the_moments(y, x, q):
    mean, square = maximum_moments((y, x), q)
    assert gamma((y, x), q) ** 2 == pytest.approx(1 - 2 * mean + square, abs=1e-12)
    assert mean**2 <= square + 1e-12 and 0.5 - 1e-12 <= square <= 1


def test_moments_of_many_frequencies_at_once():
    omega = np.random.default_rng(5).uniform(-7, 7, (3, 4, 2))
    for q in (0, 1, 2):
        ours = maximum_moments(omega, q)
        for values in ours:
            assert values.shape == (3, 4) and values.dtype == np.float64
        for index in np.ndindex(3, 4):
            for values, alone in zip(ours, maximum_moments(omega[index], q), strict=True):
                assert values[index] == pytest.approx(float(alone), abs=1e-14)


@pytest.mark.parametrize(
    ("omega", "q"),
    [(row[0], 1) for row in CHANGES] + [((1, 2), 1), ((0.3, -2.5), 2), ((0.3, 0.7), 3), ((5.0, -9.0), 0)],
)
def test_narrow_band_change_by_midpoint_quadrature(omega, q):
    m = largest_cosine(PHI, omega, q)
    for advance in (0.01, -0.4, 1.3, PI / 2, PI, 4.0, -50.0):
        moved = largest_cosine(PHI - advance, omega, q)
        expected = ((moved - m) ** 2).mean() / (m**2).mean()
        assert narrow_band_change(omega, advance, q) ** 2 == pytest.approx(expected, abs=1e-8)


@given(angles, angles, angles, st.integers(0, 3))
@settings(max_examples=100)
def test_narrow_band_change_symmetries(y, x, advance, q):
    value = float(narrow_band_change((y, x), advance, q))
    assert 0 <= value <= 2 + 1e-12
    # Squares, since the root magnifies rounding where the change vanishes.
    for omega, a in (
        ((y, x), -advance),
        ((y, x), advance + 2 * PI),
        ((y, x), advance - 6 * PI),
        ((y + 2 * PI, x - 4 * PI), advance),
        ((-y, x), advance),
        ((y, -x), advance),
        ((x, y), advance),
    ):
        assert narrow_band_change(omega, a, q) ** 2 == pytest.approx(value**2, abs=1e-9)


@given(angles, angles, st.integers(0, 3), st.integers(-3, 3))
@settings(max_examples=100)
def test_no_advance_and_whole_turns_change_nothing(y, x, q, turns):
    assert narrow_band_change((y, x), 0.0, q) == 0
    assert narrow_band_change((y, x), 2 * PI * turns, q) == pytest.approx(0, abs=1e-6)


@given(angles, angles)
@settings(max_examples=50)
def test_one_sample_or_one_phase_moves_like_a_cosine(y, advance):
    expected = abs(2 * np.sin(advance / 2))
    assert narrow_band_change((y, 1.7), advance, 0) == pytest.approx(expected, abs=1e-7)
    assert narrow_band_change((0.0, 2 * PI), advance, 2) == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize(
    ("omega", "advance", "shape"),
    [((2,), (), ()), ((2,), (5,), (5,)), ((4, 2), (), (4,)), ((3, 1, 2), (4,), (3, 4)), ((4, 2), (3, 4), (3, 4))],
)
def test_narrow_band_change_broadcasts(omega, advance, shape):
    rng = np.random.default_rng(6)
    omega, advance = rng.uniform(-3, 3, omega), rng.uniform(-3, 3, advance)
    ours = narrow_band_change(omega, advance)
    assert ours.shape == shape and ours.dtype == np.float64
    omega, advance = np.broadcast_to(omega, (*shape, 2)), np.broadcast_to(advance, shape)
    for index in np.ndindex(shape):
        alone = float(narrow_band_change(omega[index], advance[index]))
        assert ours[index] == pytest.approx(alone, abs=1e-12)


@pytest.mark.parametrize(
    ("advance", "error", "message"),
    [
        (1j, TypeError, "advance is complex; expected real numbers"),
        (np.nan, ValueError, "advance holds a value that is not finite"),
        ([0, np.inf], ValueError, "advance holds a value that is not finite"),
        (
            np.zeros(3),
            ValueError,
            r"omega has shape \(4, 2\) and advance \(3,\); expected \(\.\.\., 2\) and \(\.\.\.\)",
        ),
    ],
)
def test_errors_of_the_advance(advance, error, message):
    with pytest.raises(error, match=rf"^{message}$"):
        narrow_band_change(np.zeros((4, 2)), advance)


@pytest.mark.parametrize(
    "function",
    [
        gamma,
        phase_gaps,
        maximum_moments,
        pytest.param(lambda omega, q: theory.largest_cosine(0.3, omega, q), id="largest_cosine"),
        pytest.param(lambda omega, q: narrow_band_change(omega, 0.3, q), id="narrow_band_change"),
    ],
)
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
        ((1j, 1), 1, TypeError, "omega is complex; expected real numbers"),
    ],
)
def test_errors(function, omega, q, error, message):
    with pytest.raises(error, match=rf"^{message}$"):
        function(omega, q)


@pytest.mark.parametrize(("phi", "error"), [(np.array([0.5 + 1j]), TypeError), (np.nan, ValueError)])
def test_errors_of_the_phase(phi, error):
    with pytest.raises(error, match=r"^phi "):
        theory.largest_cosine(phi, (1, 2))


@pytest.mark.parametrize("q", [5, 10, 20, 40])
def test_gamma_keeps_its_digits_for_large_windows(q):
    k = (2 * q + 1) ** 2
    with mpmath.workdps(50):
        a = mpmath.pi / k
        exact = mpmath.sqrt(k / mpmath.pi * (1.5 * a - 2 * mpmath.sin(a) + mpmath.sin(2 * a) / 4))
    omega = np.array([1, 2 * q + 1]) * 2 * PI / k
    assert gamma(omega, q) == pytest.approx(float(exact), rel=1e-8, abs=0)


@pytest.mark.parametrize("k", [11, 12, 13, 15, 25])
def test_gamma_keeps_its_digits_where_the_series_begins(k):
    # k equally spaced phases along one axis: half a gap is pi / k, and the series takes over below 1 / 4.
    with mpmath.workdps(50):
        a = mpmath.pi / k
        exact = k / mpmath.pi * (1.5 * a - 2 * mpmath.sin(a) + mpmath.sin(2 * a) / 4)
    assert gamma((2 * PI / k, 0), q=k // 2) ** 2 == pytest.approx(float(exact), rel=2e-12, abs=0)


def test_map_checks_its_arguments():
    for arguments, name in (((1.5,), "stride"), ((0,), "stride"), ((1, 1), "points")):
        with pytest.raises((TypeError, ValueError), match=f"^{name} "):
            gamma_map(*arguments)


# ---- hypothesis (H), where every sample of the window has the phase of its centre: gamma**2 = 3/2 --------------------


def test_pointwise_circular_gaussian_responses_do_not_suffice_for_the_expectation():
    parts = np.random.default_rng(5).standard_normal((2, 2, 200_000)) / np.sqrt(2)
    z, w = parts[:, 0] + 1j * parts[:, 1]
    pointwise = np.stack([z, 2 * z.real + 2j * w.imag])  # each one circular, but E Z[0] Z[1] = 1
    jointly = np.stack([z, 0.6 * z + 0.8 * w])
    assert np.abs((pointwise**2).mean(axis=1)).max() < 0.05
    for responses, holds in ((pointwise, False), (jointly, True)):
        energy = np.abs(responses) ** 2
        deficit = (1 - theory.largest_cosine(np.angle(responses), (0, 0))) ** 2
        P = (energy * deficit).sum(axis=0) / energy.sum(axis=0)
        off = abs(P.mean() - 1.5) / (P.std() / np.sqrt(P.size))
        assert off < 4 if holds else off > 10


@pytest.mark.parametrize(("wavelengths", "within"), [(1, 1e-9), (40.25, 0.02), (1.25, None)])
def test_random_translations_need_many_wavelengths_or_a_whole_number(wavelengths, within):
    moved = 2 * PI * wavelengths * (np.arange(2**16) + 0.5) / 2**16
    starts = np.linspace(0, 2 * PI, 40)[:, None]
    mean = ((1 - theory.largest_cosine(starts - moved, (0, 0))) ** 2).mean(axis=1)
    error = np.abs(mean - gamma((0, 0)) ** 2).max()
    assert error > 0.25 if within is None else error < within
