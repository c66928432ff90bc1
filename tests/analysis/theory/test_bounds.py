"""The constants of theory.md 3.1, 3.2 and 3.4 against plain sums, brute force, and a wave that attains the floor."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import translate
from analysis.theory import (
    alpha,
    alpha_sharp,
    beta,
    beta_floor,
    beta_sharp,
    cmod_bound,
    discrepancy_bound,
    gamma,
    largest_cosine,
    on_bins,
    rmax_bound,
)
from analysis.theory.verification import Case
from wavelets import DualTreePackets2D, analytic

PI = np.pi
BANDWIDTHS = np.concatenate([[0.0], np.geomspace(1e-6, 0.1, 40), np.linspace(0.1, PI, 400)])

components = st.floats(-20, 20, allow_nan=False)
bandwidths = st.floats(0, PI, allow_nan=False)


def window(q):
    return [(y, x) for y in range(-q, q + 1) for x in range(-q, q + 1)]


def norm(x):
    return np.sqrt((np.abs(x) ** 2).sum(axis=-1))


@given(components, components)
@settings(max_examples=100)
def test_alpha_is_half_the_sum_of_the_moduli(y, x):
    assert alpha((y, x)) == pytest.approx((abs(y) + abs(x)) / 2, rel=1e-14)
    assert 0 <= alpha_sharp((y, x)) <= min(np.sqrt(2), alpha((y, x))) + 1e-14


@given(components, components)
@settings(max_examples=100)
def test_sharp_alpha_is_the_largest_multiplier_of_the_square_or_the_root_of_two(y, x):
    # |exp(-i <xi, u>) - 1| over ||xi||_inf <= kappa / 2: <xi, u> fills [-a, a], and a is reached in a corner.
    a = (abs(y) + abs(x)) / 2
    angles = np.linspace(0, a, 4001)
    brute = min(np.abs(np.exp(-1j * angles) - 1).max(), np.sqrt(2))
    ours = float(alpha_sharp((y, x)))
    assert brute <= ours + 1e-12
    assert ours == pytest.approx(brute, abs=1e-4)


def test_alpha_at_known_values():
    assert alpha([PI / 12, -PI / 12]) == pytest.approx(PI / 12)
    assert alpha([PI / 12, PI / 12]) == pytest.approx(0.261799388, abs=5e-10)  # theory.md 3.1
    assert alpha_sharp([PI / 12, PI / 12]) == pytest.approx(0.261052384, abs=5e-10)
    assert alpha_sharp([0, 0]) == 0
    for tau in ([PI, 0], [PI, PI], [10, 20]):
        assert alpha_sharp(tau) == pytest.approx(np.sqrt(2))
    assert alpha_sharp([1e-7, 2e-7]) == pytest.approx(1.5e-7, rel=1e-12)  # the factor 1/2 is the best


def test_a_pulse_that_leaves_its_place_attains_the_root_of_two():
    # Equal waves in phase make one narrow peak; moved by many of its widths it meets nothing of itself.
    bins = 32
    pulse = on_bins(1, 2 * bins, (0, 0), np.ones((1, bins, bins)))
    case = Case(pulse, np.full((1, 2), 16.0), 1)
    change = norm(case.moved.cmod - case.cmod) / norm(case.cmod)
    assert case.bandwidth * 32 > PI  # far beyond the shift from which the bound is flat
    assert change == pytest.approx(np.sqrt(2)) == alpha_sharp(case.bandwidth[:, None] * case.shift)


@pytest.mark.parametrize("function", [alpha, alpha_sharp])
def test_alpha_of_many_shifts(function):
    tau = np.random.default_rng(1).uniform(-4, 4, (3, 4, 2))
    ours = function(tau)
    assert ours.shape == (3, 4) and ours.dtype == np.float64
    for index in np.ndindex(3, 4):
        assert ours[index] == function(tau[index])
    assert function(np.zeros((0, 2))).shape == (0,)
    assert function([1, 2]).shape == ()


@pytest.mark.parametrize("q", range(5))
def test_beta_is_the_plain_sum_over_the_window(q):
    for bandwidth in (0.0, 1e-9, 0.3, PI / 2, PI):
        total = 0.0
        for y, x in window(q):
            total += (bandwidth * (abs(y) + abs(x)) / 2) ** 2
        assert beta(bandwidth, q) == pytest.approx(np.sqrt(total), rel=1e-13, abs=1e-300)


def test_beta_at_known_values():
    assert beta(0.7) == pytest.approx(np.sqrt(5) * 0.7, rel=1e-14)
    assert beta(PI / 2) == pytest.approx(3.5, abs=0.02)  # theory.md 3.2
    # Sum of ||p||_1^2 for q = 2: 4/6 * 6 * 25 + 2 * 4 * 9 = 172
    assert beta(0.7, 2) == pytest.approx(np.sqrt(43) * 0.7, rel=1e-14)
    assert beta_sharp(1e-5) == pytest.approx(1e-5, rel=1e-4)


@pytest.mark.parametrize("q", range(5))
@pytest.mark.parametrize("bandwidth", [0.05, 0.4, 1.0, PI / 2, 2.2, 3.0, PI])
def test_sharp_beta_equals_the_brute_force_maximum(bandwidth, q):
    xi = np.linspace(-bandwidth / 2, bandwidth / 2, 151)
    total = np.zeros((151, 151))
    for y, x in window(q):
        total += np.abs(np.exp(1j * (xi[:, None] * y + xi * x)) - 1) ** 2
    expected = min(np.expm1(q * bandwidth), np.sqrt(total.max()))
    ours = float(beta_sharp(bandwidth, q))
    assert expected <= ours + 1e-12  # the grid misses the maximum by a little
    assert ours == pytest.approx(expected, rel=1e-4, abs=1e-12)


@pytest.mark.parametrize("q", [1, 2, 3])
def test_sharp_beta_is_taylor_in_narrow_bands_and_the_multiplier_in_wide_ones(q):
    narrow, wide = 0.3 / q, PI
    assert beta_sharp(narrow, q) == pytest.approx(np.expm1(q * narrow), rel=1e-14)
    assert beta_sharp(wide, q) < np.expm1(q * wide) / 2


@pytest.mark.parametrize("q", range(5))
def test_order_and_monotony_of_the_three_betas(q):
    published, sharp, floor = beta(BANDWIDTHS, q), beta_sharp(BANDWIDTHS, q), beta_floor(BANDWIDTHS, q)
    assert (floor <= sharp * (1 + 1e-12)).all()
    assert (sharp <= published * (1 + 1e-12)).all()
    for values in (published, sharp, floor):
        assert (np.diff(values) >= -1e-12).all()
        assert values[0] == 0
        if q == 0:
            assert (values == 0).all()  # a window of one sample sees the centre, whatever the bandwidth
        else:
            assert (values[1:] > 0).all()


@pytest.mark.parametrize("q", [1, 2, 3, 4])
def test_limit_of_vanishing_bandwidth(q):
    for bandwidth in (1e-3, 1e-4, 1e-5, 1e-6):
        assert beta_sharp(bandwidth, q) / bandwidth == pytest.approx(q, rel=q * bandwidth)
        assert beta_floor(bandwidth, q) / bandwidth == pytest.approx(q, rel=q * bandwidth)


@pytest.mark.parametrize("q", [1, 2, 3, 4])
@pytest.mark.parametrize("bandwidth", [1e-8, 1e-10, 1e-15])
def test_order_holds_in_the_narrowest_bands(bandwidth, q):
    assert beta_floor(bandwidth, q) <= beta_sharp(bandwidth, q) * (1 + 1e-12)
    assert beta_sharp(bandwidth, q) == pytest.approx(q * bandwidth, rel=1e-6)


@given(bandwidths, st.integers(0, 4))
@settings(max_examples=200)
def test_floor(bandwidth, q):
    expected = 2 * np.sin(q * bandwidth / 2) if q * bandwidth < PI else 2
    assert beta_floor(bandwidth, q) == pytest.approx(expected, abs=1e-14)


@pytest.mark.parametrize(
    ("stride", "windows", "bins", "q"),
    [(1, 8, 2, 1), (1, 8, 5, 1), (2, 8, 3, 1), (3, 5, 4, 1), (2, 16, 2, 2), (2, 8, 5, 2), (4, 12, 4, 3), (2, 64, 2, 1)],
)
@pytest.mark.parametrize("corner", [(0, 0), (0, -1), (-1, 0), (-1, -1)])
def test_one_wave_in_a_corner_attains_the_floor(stride, windows, bins, q, corner):
    size = 2 * stride * windows
    # Multiples of 2 pi / m are multiples of N / m = 2 windows, in bins.
    own = 2 * windows * np.array([1, -1])
    first = own - np.array(corner) % bins
    bandwidth = stride * 2 * PI * (bins - 1) / size
    assert q * bandwidth <= PI
    phase = (PI + q * bandwidth) / 2
    spectrum = np.zeros((1, bins, bins), complex)
    spectrum[0, corner[0], corner[1]] = np.exp(1j * phase)
    case = Case(on_bins(stride, size, first, spectrum), np.zeros((1, 2)), q)
    assert case.bandwidth == pytest.approx(bandwidth)
    np.testing.assert_allclose(case.rmax, np.cos(phase), atol=1e-12)
    np.testing.assert_allclose(case.cmod, 1, atol=1e-12)
    left = (norm(case.rmax - case.cmod) - norm(case.deficit)) / norm(case.cmod)
    floor = float(beta_floor(bandwidth, q))
    assert left == pytest.approx(floor, abs=1e-11)
    assert floor <= beta_sharp(bandwidth, q)
    # The same by hand, without the package: a wave of modulus 1, and the window about the centre of the square.
    omega = stride * (2 * PI / size) * (first + (bins - 1) / 2)
    own_phases = [2 * PI * stride / size * (own @ p) for p in window(q)]
    r = max(np.cos(phase + t) for t in own_phases)
    m = max(np.cos(phase + omega @ p) for p in window(q))
    assert abs(r - 1) - (1 - m) == pytest.approx(floor, abs=1e-11)


def test_a_real_image_and_an_analytic_filter_attain_the_floor_from_stride_3_on():
    stride, size = 3, 48
    own = 2 * PI / stride * np.ones(2)
    n = np.arange(size)
    phase = own[0] * n[:, None] + own[1] * n
    v = np.cos(phase) / (size**2 / 2)
    w = analytic(v)
    kappa = 2 * PI / size  # the wave in the upper corner of the square
    turn = (PI + stride * kappa) / 2
    z = np.fft.ifft2(np.fft.fft2(np.cos(phase + turn)) * np.fft.fft2(w))
    centres = z[:: 2 * stride, :: 2 * stride]
    r = np.max([np.roll(z.real, (-stride * y, -stride * x), (0, 1)) for y, x in window(1)], axis=0)[::6, ::6]
    m = largest_cosine(np.angle(centres), stride * (own - kappa / 2))
    c = np.abs(centres).ravel()
    left = norm(r.ravel() - c) - norm(c * (1 - m.ravel()))
    assert left / norm(c) == pytest.approx(float(beta_floor(stride * kappa)), abs=1e-9)


def test_floor_where_the_window_of_the_square_is_wider_than_half_a_turn():
    # kappa' = 8 pi / 8, q = 2: a wave pi / 4 off the centre of the square in both coordinates already gets to 2.
    stride, size, bins, q = 2, 64, 16, 2
    centre = (bins - 1) / 2
    assert centre == 7.5
    spectrum = np.zeros((1, bins, bins), complex)
    spectrum[0, 3, 4] = -1.0  # 4.5 and 3.5 bins off, which add up to 8: pi / 2 per unit of q
    case = Case(on_bins(stride, size, np.array([-3, -4]), spectrum), np.zeros((1, 2)), q)
    left = (norm(case.rmax - case.cmod) - norm(case.deficit)) / norm(case.cmod)
    assert left == pytest.approx(2, abs=1e-12)
    assert beta_floor(case.bandwidth, q) == pytest.approx(2)


@pytest.mark.parametrize("sharp", [True, False])
@pytest.mark.parametrize("q", [0, 1, 2])
def test_bounds_equal_their_formulas(sharp, q):
    rng = np.random.default_rng(2)
    for stride in (1, 2, 3, 4):
        theta, u = rng.uniform(-PI, PI, (2, 2))
        kappa = rng.uniform(0.1, PI / stride)
        tau = kappa * (abs(u[0]) + abs(u[1]))
        a = 2 * np.sin(min(tau, PI) / 4) if sharp else tau / 2
        b = float(beta_sharp(stride * kappa, q) if sharp else beta(stride * kappa, q))
        g = float(gamma(stride * theta, q))
        assert cmod_bound(kappa, u, stride, sharp) == pytest.approx(a, rel=1e-13)
        assert discrepancy_bound(theta, kappa, stride, q, sharp) == pytest.approx(g + b, rel=1e-13)
        assert rmax_bound(theta, kappa, u, stride, q, sharp) == pytest.approx(2 * g + 2 * b + a, rel=1e-13)


def test_bounds_at_known_values():
    # theory.md 3.1: m kappa = pi / 3, u = (1/2, 1/2)
    assert cmod_bound(PI / 6, (0.5, 0.5), 2) == pytest.approx(0.261052384, abs=5e-10)
    assert cmod_bound(PI / 6, (0.5, -0.5), 2, sharp=False) == pytest.approx(0.261799388, abs=5e-10)
    # theory.md 3.2, 3.3: theta = (pi / 2, pi / 2), m = 2
    theta, kappa = (PI / 2, PI / 2), PI / 4
    assert discrepancy_bound(theta, kappa, 2, sharp=False) == pytest.approx(0.476194 + np.sqrt(5) * PI / 2, abs=1e-6)
    assert rmax_bound(theta, kappa, (0, 1), 2, sharp=False) == pytest.approx(
        2 * 0.476194 + 2 * np.sqrt(5) * PI / 2 + PI / 8, abs=1e-6
    )
    # By default the sharper constants, and the window of the poster.
    assert discrepancy_bound(theta, kappa, 2) == discrepancy_bound(theta, kappa, 2, 1, True)
    assert rmax_bound(theta, kappa, (0, 1), 2) < rmax_bound(theta, kappa, (0, 1), 2, sharp=False)


def test_bounds_of_many_filters_at_once():
    rng = np.random.default_rng(3)
    theta, kappa, u = rng.uniform(-3, 3, (4, 2)), rng.uniform(0.1, PI / 2, (3, 1)), rng.uniform(-3, 3, (4, 2))
    change, distance = cmod_bound(kappa, u, 2), discrepancy_bound(theta, kappa, 2, 2)
    stability = rmax_bound(theta, kappa, u, 2, 2)
    for values in (change, distance, stability):
        assert values.shape == (3, 4) and values.dtype == np.float64
    for i, j in np.ndindex(3, 4):
        k = kappa[i, 0]
        assert change[i, j] == pytest.approx(float(cmod_bound(k, u[j], 2)), rel=1e-14)
        assert distance[i, j] == pytest.approx(float(discrepancy_bound(theta[j], k, 2, 2)), rel=1e-14)
        assert stability[i, j] == pytest.approx(float(rmax_bound(theta[j], k, u[j], 2, 2)), rel=1e-14)
    assert cmod_bound(0.3, (1, 2), 2).shape == ()
    for function in (beta, beta_sharp, beta_floor):
        values = function(kappa * np.ones(4))
        assert values.shape == (3, 4) and values.dtype == np.float64
        for i, j in np.ndindex(3, 4):
            assert values[i, j] == pytest.approx(float(function(kappa[i, 0])), rel=1e-14)
        assert function([]).shape == (0,)


@pytest.mark.parametrize("stride", [1, 2, 3, 5, 7, 11])
def test_the_widest_band_is_allowed_also_where_it_was_rounded_up(stride):
    for kappa in (PI / stride, np.nextafter(PI / stride, 4), PI / stride * (1 + 4e-16)):
        assert cmod_bound(kappa, (0, 0), stride) == 0
        assert discrepancy_bound((1, 2), kappa, stride) > 0
    with pytest.raises(ValueError, match=r"^kappa is "):
        cmod_bound(PI / stride * (1 + 1e-9), (0, 0), stride)
    with pytest.raises(ValueError, match=r"^bandwidth is m kappa = "):
        beta(PI * (1 + 1e-9))


@pytest.mark.parametrize(
    ("kappa", "stride", "error", "message"),
    [
        (
            1.6,
            2,
            ValueError,
            r"kappa is 1\.6 rad/sample; the theorems suppose kappa <= pi / m = 1\.5708 for the .* m = 2",
        ),
        ([0.1, 3.2], 1, ValueError, r"kappa is 3\.2 rad/sample; the theorems suppose kappa <= pi / m = 3\.14159 for "),
        (-0.25, 2, ValueError, r"kappa is -0\.25 rad/sample"),
        ([0.1, -3], 2, ValueError, r"kappa is -3 rad/sample; "),
        (np.nan, 2, ValueError, "kappa holds a value that is not finite$"),
        (np.inf, 2, ValueError, "kappa holds a value that is not finite$"),
        (1j, 2, TypeError, "kappa is complex; expected real numbers$"),
        (0.3, 0, ValueError, "stride is 0; expected at least 1$"),
        (0.3, -2, ValueError, "stride is -2; expected at least 1$"),
        (0.3, 2.0, TypeError, "stride must be an integer, not float$"),
        (0.3, True, TypeError, "stride must be an integer, not bool$"),
    ],
)
def test_errors_of_the_band(kappa, stride, error, message):
    for function in (
        lambda: cmod_bound(kappa, (0, 1), stride),
        lambda: discrepancy_bound((1, 2), kappa, stride),
        lambda: rmax_bound((1, 2), kappa, (0, 1), stride),
    ):
        with pytest.raises(error, match=rf"^{message}"):
            function()


@pytest.mark.parametrize("function", [beta, beta_sharp, beta_floor])
@pytest.mark.parametrize(
    ("bandwidth", "q", "error", "message"),
    [
        (3.2, 1, ValueError, r"bandwidth is m kappa = 3\.2 rad"),
        ([1, -0.5, 2], 1, ValueError, r"bandwidth is -0\.5 rad"),
        (np.nan, 1, ValueError, "bandwidth holds a value that is not finite"),
        ([1, -np.inf], 1, ValueError, "bandwidth holds a value that is not finite"),
        (1j, 1, TypeError, "bandwidth is complex; expected real numbers"),
        (1.0, -1, ValueError, "q is -1; expected at least 0"),
        (1.0, 1.5, TypeError, "q must be an integer, not float"),
        (1.0, "1", TypeError, "q must be an integer, not str"),
        (1.0, False, TypeError, "q must be an integer, not bool"),
    ],
)
def test_errors_of_beta(function, bandwidth, q, error, message):
    with pytest.raises(error, match=rf"^{message}"):
        function(bandwidth, q)


@pytest.mark.parametrize("function", [alpha, alpha_sharp])
@pytest.mark.parametrize(
    ("tau", "error", "message"),
    [
        (1.0, ValueError, r"tau has shape \(\); expected \(\.\.\., 2\)"),
        ([1, 2, 3], ValueError, r"tau has shape \(3,\); expected \(\.\.\., 2\)"),
        (np.zeros((2, 1)), ValueError, r"tau has shape \(2, 1\); expected \(\.\.\., 2\)"),
        ([1, np.nan], ValueError, "tau holds a value that is not finite"),
        ([1, 2j], TypeError, "tau is complex; expected real numbers"),
    ],
)
def test_errors_of_alpha(function, tau, error, message):
    with pytest.raises(error, match=rf"^{message}$"):
        function(tau)


@pytest.mark.parametrize(
    ("theta", "shift", "q", "error", "message"),
    [
        ((1, np.nan), (0, 1), 1, ValueError, "theta holds a value that is not finite"),
        ((1, 2j), (0, 1), 1, TypeError, "theta is complex; expected real numbers"),
        ((1, 2, 3), (0, 1), 1, ValueError, r"\w+ has shape \(3,\); expected \(\.\.\., 2\)"),
        ((1, 2), (np.inf, 1), 1, ValueError, "shift holds a value that is not finite"),
        ((1, 2), (1j, 1), 1, TypeError, "shift is complex; expected real numbers"),
        ((1, 2), (1, 2, 3), 1, ValueError, r"\w+ has shape \(3,\); expected \(\.\.\., 2\)"),
        ((1, 2), (0, 1), -1, ValueError, "q is -1; expected at least 0"),
    ],
)
def test_errors_of_the_frequency_the_shift_and_the_window(theta, shift, q, error, message):
    with pytest.raises(error, match=rf"^{message}$"):
        rmax_bound(theta, 0.3, shift, 2, q)


def test_a_square_that_wraps_has_no_bound_for_fractions_of_a_pixel():
    # Two waves next to pi, moved by half a pixel: their envelope turns over, whatever the bandwidth.
    theta, kappa = (PI, 0.349), 0.0349
    for function in (partial(rmax_bound, theta, kappa), partial(cmod_bound, kappa, theta=theta)):
        assert function((1, 0), stride=3) > 0
        with pytest.raises(ValueError, match=r"kappa = 0\.0349 .* the shift \(0\.5, 0\) is fractional"):
            function((0.5, 0), stride=3)
    with pytest.raises(ValueError, match="reaches pi"):
        rmax_bound([(0, 0), (0, -PI)], 0.1, [(0.5, 0.5), (1, 0.5)], 3)
    assert rmax_bound((PI, 0), 0.1, (1, 0.5), 3) > 0  # the square wraps along the axis of the whole shift


def test_bounds_of_one_image_have_its_deficit_in_place_of_gamma():
    theta, kappa = np.array([0.4, 1.1]), 0.3
    expected = gamma(2 * theta) + beta_sharp(2 * kappa)
    assert discrepancy_bound(theta, kappa, 2) == pytest.approx(expected)
    for P in (0.0, 0.7):
        assert discrepancy_bound(theta, kappa, 2, deficit=P) == pytest.approx(P + beta_sharp(2 * kappa))
        both = P + 2 * beta_sharp(2 * kappa) + cmod_bound(kappa, (0, 1), 2)
        assert rmax_bound(theta, kappa, (0, 1), 2, deficit=P) == pytest.approx(both)
    with pytest.raises(ValueError, match=r"deficit is -0\.1"):
        discrepancy_bound(theta, kappa, 2, deficit=-0.1)


@pytest.mark.parametrize(("index", "u"), [(5, (0, 1)), (11, (1, 2)), (27, (0.5, 0))])
def test_bounds_of_a_packet_hold_with_its_leakage_added(index, u):
    t = DualTreePackets2D(2, stride=2)
    m, size = 2, 65 * 4  # 2 m divides it
    theta, kappa = t.frequencies[index], PI / 2
    image = np.random.default_rng(index).standard_normal((size, size))
    transfer = np.conj(np.fft.fft2(np.conj(t.kernels([index])[0]), (size, size)))
    omega = 2 * PI * np.fft.fftfreq(size)
    inside = [(omega - centre + kappa / 2) % (2 * PI) < kappa for centre in theta]
    inside = inside[0][:, None] & inside[1]

    def responses(x):
        spectrum = np.fft.fft2(x) * transfer
        spectrum[size // 2] = spectrum[:, size // 2] = 0  # the Nyquist bins do not move by fractions
        return np.fft.ifft2(spectrum * inside), np.fft.ifft2(spectrum * ~inside)

    def centres(z):
        return z[:: 2 * m, :: 2 * m].ravel()

    def windows(z):
        return np.stack([centres(np.roll(z, (-m * y, -m * x), (0, 1))) for y, x in window(1)])

    z_in, z_out = responses(image)
    _, moved_out = moved = responses(translate(image, u))
    z = z_in + z_out
    assert norm(z_out.ravel()) > 0.05 * norm(z.ravel())  # there is something to add
    leakage = norm(centres(z_out)) + norm(centres(moved_out))
    change = norm(np.abs(centres(sum(moved))) - np.abs(centres(z)))
    assert change <= alpha_sharp(kappa * np.array(u)) * norm(centres(z_in)) + leakage
    r, c = windows(z).real.max(axis=0), np.abs(centres(z))
    deficit = np.abs(centres(z_in)) * (1 - largest_cosine(np.angle(centres(z_in)), m * theta))
    added = norm(windows(z_out).ravel()) + norm(centres(z_out))
    assert norm(r - c) <= norm(deficit) + beta_sharp(m * kappa) * norm(centres(z_in)) + added
