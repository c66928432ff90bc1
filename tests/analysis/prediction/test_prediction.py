"""Predicted maps against simulated fields, closed forms, slow sums, the tables of the theory, and photographs."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import xarray as xr
from scipy.linalg import sqrtm
from scipy.special import hyp2f1

from analysis import (
    bundled_crops,
    estimate_spectrum,
    find_images,
    fit_isolated,
    flat_spectrum,
    gamma,
    plots,
    power_law_spectrum,
    predict,
    translate,
)
from analysis.measurements.packet_coordinates import filter_coordinates
from analysis.measurements.rmax_cmod import pool, strided_correlation
from analysis.measurements.shift_experiment import shift_coordinates
from analysis.packet_maps import packet_experiment, run
from analysis.prediction import (
    agreement,
    expected_discrepancy,
    gaussian_moments,
    isolated_moments,
    mixture_fields,
    predict_like,
    response_covariance,
    rms,
    square_covariance,
    typical_share,
)
from analysis.prediction.loops import feature_sums, gaussian_squares
from analysis.theory import narrow_band_change
from wavelets import DualTreePackets2D, analytic

PI = np.pi
NAMES = ("rho_rms", "eta_rmax_rms", "eta_cmod_rms")
MOMENTS = ("discrepancy", "cmod", "rmax", "rmax_change", "cmod_change")


def quiet(kernels, spectrum, stride=2, shifts=((0, 1),), draws=2**8, **options):
    return predict(kernels, spectrum, stride, shifts, draws=draws, progress=False, **options)


def gabor(omega, sigma=2.5, size=21):
    """A wave under a Gaussian window; its energy on the wrong half-plane is nil."""
    n = np.arange(size) - size // 2
    envelope = np.exp(-(n**2) / (2 * sigma**2))
    return np.outer(envelope * np.exp(1j * omega[0] * n), envelope * np.exp(1j * omega[1] * n))


def lopsided(size=5, seed=1):
    """A kernel without any symmetry, far from circular: E Z**2 is large, neither real nor imaginary."""
    a, b = np.random.default_rng(seed).standard_normal((2, size, size))
    return a + 1j * (0.4 * a + 0.3 * b)


def slanted_spectrum(points):
    """Energies without symmetry but that of all real fields, with something at every frequency."""
    y, x = np.meshgrid(*[2 * PI * np.fft.fftfreq(points)] * 2, indexing="ij")
    return 1 / (0.3 + np.cos(y / 2) ** 2 + (1 - np.cos(x)) + 0.5 * np.sin(y) * np.sin(x))


def slow_transfer(kernel, points):
    omega = 2 * PI * np.fft.fftfreq(points)
    waves = [np.exp(1j * np.outer(omega, np.arange(n))) for n in kernel.shape]
    return waves[0] @ kernel @ waves[1].T


def slow_covariance(kernel, spectrum, lag):
    """E Z_a conj(Z_b) and E Z_a Z_b at a - b = lag, as sums over all waves."""
    omega = 2 * PI * np.fft.fftfreq(len(spectrum))
    wave = np.exp(1j * (omega[:, None] * lag[0] + omega * lag[1]))
    transfer = slow_transfer(kernel, len(spectrum))
    mirrored = transfer[np.ix_(*[-np.arange(n) % n for n in transfer.shape])]
    return (spectrum * abs(transfer) ** 2 * wave).mean(), (spectrum * transfer * mirrored * wave).mean()


def simulate(spectrum, count, seed):
    noise = np.random.default_rng(seed).standard_normal((count, *spectrum.shape))
    return np.fft.ifft2(np.fft.fft2(noise) * np.sqrt(spectrum)).real


def measured_on(fields, kernels, stride, shifts, q):
    """The three ratios of every kernel, on fields that are moved as their own period."""
    out = {name: [] for name in NAMES}
    moved = [translate(fields, u) for u in shifts]
    for kernel in kernels:
        (r, c), *others = (pool(strided_correlation(x, kernel, stride), q) for x in (fields, *moved))
        out["rho_rms"].append(((r - c) ** 2).sum() / (c**2).sum())
        out["eta_rmax_rms"].append([((s - r) ** 2).sum() / (r**2).sum() for s, _ in others])
        out["eta_cmod_rms"].append([((d - c) ** 2).sum() / (c**2).sum() for _, d in others])
    return {name: np.sqrt(values) for name, values in out.items()}


# ---- second moments of responses ------------------------------------------------------------------------------------


@pytest.mark.nojit
@pytest.mark.parametrize("points", [11, 12])
def test_covariances_equal_those_of_dense_matrices_at_whole_positions(points):
    spectrum = slanted_spectrum(points)
    places = np.array(list(product(range(points), repeat=2)))
    omega = 2 * PI * np.fft.fftfreq(points)
    lags = np.arange(points)
    cosines = [  # E X[n] X[0] = mean of S cos(<omega, n>)
        [(spectrum * np.cos(omega[:, None] * dy + omega * dx)).mean() for dx in lags] for dy in lags
    ]
    dy, dx = ((places[:, None] - places) % points).transpose(2, 0, 1)
    field = np.array(cosines)[dy, dx]
    at = np.array([(0, 0), (2, 0), (-1, 3), (5, -2), (9, 9)])
    kernels = np.stack([lopsided(seed=1), lopsided(seed=2)])
    covariance, pseudo = response_covariance(kernels, spectrum, at)
    assert covariance.shape == pseudo.shape == (2, 5, 5)
    for kernel, c, p in zip(kernels, covariance, pseudo, strict=True):
        rows = np.zeros((len(at), points, points), complex)
        for row, (y, x) in zip(rows, at, strict=True):
            for i, j in np.ndindex(kernel.shape):
                row[(y + i) % points, (x + j) % points] = kernel[i, j]
        rows = rows.reshape(len(at), -1)
        np.testing.assert_allclose(c, rows @ field @ rows.conj().T, atol=1e-11)
        np.testing.assert_allclose(p, rows @ field @ rows.T, atol=1e-11)


@pytest.mark.nojit
@pytest.mark.parametrize("points", [11, 12])
def test_covariances_equal_those_of_the_translated_field_at_fractional_positions(points):
    spectrum = slanted_spectrum(points)
    at = np.array([(0, 0), (0.3, 0), (-1.7, 2.25), (4, -0.5)])
    kernel = lopsided()
    basis = np.eye(points**2).reshape(-1, points, points)
    # The response at a is the one at 0 of the field moved by -a: a linear map of the pixels.
    rows = np.stack([(translate(basis, -a)[:, :5, :5] * kernel).sum(axis=(1, 2)) for a in at])
    root = np.fft.ifft2(np.fft.fft2(basis) * np.sqrt(spectrum)).real.reshape(points**2, -1)
    field = root @ root.T
    covariance, pseudo = response_covariance(kernel[None], spectrum, at)
    np.testing.assert_allclose(covariance[0], rows @ field @ rows.conj().T, atol=1e-11)
    np.testing.assert_allclose(pseudo[0], rows @ field @ rows.T, atol=1e-11)


@pytest.mark.nojit
@pytest.mark.parametrize("points", [15, 16])
def test_covariances_are_those_of_some_field(points):
    at = np.array([(0, 0), (0.5, 0), (2, 1), (2.5, 1), (-3, 7), (-3, 7)])
    (c,), (p,) = response_covariance(lopsided()[None], slanted_spectrum(points), at)
    np.testing.assert_allclose(c, c.conj().T, atol=1e-12)
    np.testing.assert_allclose(p, p.T, atol=1e-12)
    augmented = np.block([[c, p], [p.conj(), c.conj()]])
    assert np.linalg.eigvalsh(augmented).min() > -1e-11
    np.testing.assert_allclose(c[4], c[5], atol=1e-12)
    assert abs(p[0, 0]) > 0.3 * abs(c[0, 0])  # the example is one that needs it


@pytest.mark.nojit
def test_responses_of_analytic_kernels_are_circular():
    v = np.random.default_rng(1).standard_normal((3, 21, 21))
    # On the period itself nothing is left but the four self-conjugate frequencies; on 21 points, one.
    covariance, pseudo = response_covariance(analytic(v), slanted_spectrum(21), [(0, 0), (3, 1)])
    only_mean = v.sum(axis=(1, 2)) ** 2 * slanted_spectrum(21)[0, 0] / 21**2
    np.testing.assert_allclose(pseudo, np.broadcast_to(only_mean[:, None, None], (3, 2, 2)), atol=1e-12)
    assert (covariance[:, 0, 0].real > 100).all()


def test_interior_packets_are_circular_and_corner_packets_are_not():
    for levels, interior, corners in ((2, 0.01, 0.2), (3, 0.02, 0.15)):
        t = DualTreePackets2D(levels)
        c, p = response_covariance(t.kernels(), flat_spectrum(127), [(0, 0)])
        ratio = np.abs(p / c).ravel()
        last = 2**levels - 1
        y, x = (np.isin(f, (0, last)) for f in (t.packets.freq_y, t.packets.freq_x))
        assert (ratio[~(y & x)] < interior).all()  # circular along one axis is enough
        assert (ratio[y & x] > corners).all()
    c, p = response_covariance(t.kernels([5]).real, flat_spectrum(127), [(0, 0), (1, 2)])
    np.testing.assert_allclose(p, c, atol=1e-12)  # of a real kernel nothing is


# ---- one pooling window ---------------------------------------------------------------------------------------------

# theory.md 3.5, flat spectrum on a square of side kappa, sampled: +-0.002.
BANDWIDTHS = (PI / 2, PI / 4, PI / 8, PI / 16, PI / 64)
FINITE_BANDWIDTH = {
    (0, 0): (0.880, 1.040, 1.132, 1.179, 1.212),
    (PI, PI): (0.403, 0.388, 0.416, 0.443, 0.467),
    (PI / 4, PI / 4): (0.492, 0.396, 0.353, 0.340, 0.337),
    (PI / 2, PI / 2): (0.302, 0.170, 0.123, 0.119, 0.128),
    (3 * PI / 4, 3 * PI / 4): (0.304, 0.179, 0.126, 0.112, 0.114),
    (PI / 4, 3 * PI / 4): (0.294, 0.155, 0.083, 0.050, 0.035),
    (2 * PI / 9, 2 * PI / 3): (0.299, 0.158, 0.084, 0.048, 0.029),
}


def test_discrepancy_of_finite_bandwidth_equals_the_table_of_the_theory():
    got, error = np.moveaxis(
        [[expected_discrepancy(square_covariance(w, k)) for k in BANDWIDTHS] for w in FINITE_BANDWIDTH], -1, 0
    )
    np.testing.assert_allclose(got, list(FINITE_BANDWIDTH.values()), atol=0.002)
    assert (error < 0.001).all()


@pytest.mark.nojit
@pytest.mark.parametrize("q", [1, 2])
def test_square_covariance_is_its_formula(q):
    omega, side = (0.7, -1.3), 0.9
    got = square_covariance(omega, side, q)
    places = list(product(range(-q, q + 1), repeat=2))
    assert places[len(places) // 2] == (0, 0) and got.shape == (len(places), len(places))
    for (a, p), (b, r) in product(enumerate(places), repeat=2):
        y, x = p[0] - r[0], p[1] - r[1]
        sinc = [1 if t == 0 else np.sin(side * t / 2) / (side * t / 2) for t in (y, x)]
        assert got[a, b] == pytest.approx(np.exp(1j * (omega[0] * y + omega[1] * x)) * sinc[0] * sinc[1])


@pytest.mark.nojit
def test_one_sample_has_a_closed_form():
    # E x |z| = 0, so rho**2 = 1 + E x**2 / E |z|**2: 3/2 if circular, 2 if real, 1 if imaginary.
    for pseudo, square in ((None, 1.5), ([[0]], 1.5), ([[1]], 2), ([[-1]], 1), ([[0.4 + 0.5j]], 1.7)):
        rho, stderr = expected_discrepancy(square_covariance((1, 2), 0.5, q=0), pseudo)
        assert rho**2 == pytest.approx(square, abs=0.003) and 0 <= stderr < 0.001


@pytest.mark.nojit
def test_energy_does_not_matter_and_seeds_do():
    c = square_covariance((1, 2), 1.0)
    rho = expected_discrepancy(c, draws=2**6)
    assert expected_discrepancy(c, draws=2**6) == rho
    assert expected_discrepancy(c, draws=2**6, seed=1) != rho
    np.testing.assert_allclose(expected_discrepancy(4 * c, draws=2**6), rho, rtol=1e-9)


@pytest.mark.parametrize("q", [1, 2])
def test_vanishing_bandwidth_gives_gamma(q):
    for omega in [(0, 0), (PI, PI), (PI / 2, PI), (0.3, -2.5), (1, 2), (2 * PI / 9, 2 * PI / 3)]:
        rho, stderr = expected_discrepancy(square_covariance(omega, 1e-3, q), draws=2**11)
        assert rho == pytest.approx(float(gamma(omega, q)), abs=0.002) and stderr < 0.001


def test_the_stated_error_is_honest():
    c = square_covariance((PI, PI), PI / 2)
    truth, _ = expected_discrepancy(c, seed=1000)
    found = np.array([expected_discrepancy(c, draws=2**7, seed=seed) for seed in range(40)])
    squares = ((found[:, 0] - truth) / found[:, 1]) ** 2
    assert 0.5 < squares.mean() < 3  # Student's t with 7 degrees of freedom: 1.4
    kernel, spectrum = lopsided()[None], slanted_spectrum(15)
    truth = quiet(kernel, spectrum, draws=2**12, seed=1000)
    found = xr.concat([quiet(kernel, spectrum, draws=2**6, seed=seed) for seed in range(30)], "seed")
    for name in NAMES:
        squares = ((found[name] - truth[name]) / found[f"{name}_stderr"]) ** 2
        assert 0.3 < squares.mean() < 5


# ---- the Gaussian field ---------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("points", "q", "stride"), [(41, 1, 2), (41, 2, 1), (43, 0, 3)])
def test_predictions_equal_what_is_measured_on_simulated_fields(points, q, stride):
    shifts = [(0, 1), (1, 0), (0.5, -1.25), (-2, 3)]
    spectrum = slanted_spectrum(points)
    kernels = np.zeros((3, 9, 9), complex)
    kernels[0] = gabor((1.1, -0.6), 1.8, 9)
    kernels[1, 2:7, 2:7] = lopsided()
    kernels[2, :5, :5] = lopsided(seed=3).real
    got = quiet(kernels, spectrum, stride, shifts, q=q, draws=2**11)
    expected = measured_on(simulate(spectrum, 500, seed=1), kernels, stride, shifts, q)
    for name in NAMES:
        np.testing.assert_allclose(got[name], expected[name], atol=0.012, err_msg=name)
        assert (got[f"{name}_stderr"] < 0.007).all()
    assert np.ptp(expected["rho_rms"]) > 0.15 and np.ptp(expected["eta_rmax_rms"]) > 0.15


def test_fractional_shifts_on_even_periods_equal_what_is_simulated():
    # The Nyquist bins hold a large part of this spectrum: it is small, and flat there.
    spectrum, shifts = flat_spectrum(16), [(0.5, 0.5), (0.5, 0)]
    kernel = lopsided(3)[None]
    got = quiet(kernel, spectrum, 1, shifts, draws=2**11)
    expected = measured_on(simulate(spectrum, 3000, seed=4), kernel, 1, shifts, 1)
    for name in NAMES:
        np.testing.assert_allclose(got[name], expected[name], atol=0.006, err_msg=name)


@pytest.mark.parametrize("points", [25, 26])
def test_without_pooling_there_are_closed_forms(points):
    shifts = [(0, 1), (1, 0), (3, -2)]
    spectrum = slanted_spectrum(points)
    kernels = np.stack([lopsided(seed=1), lopsided(seed=2), lopsided(seed=2).conj() * 1j])
    got = quiet(kernels, spectrum, 2, shifts, q=0, draws=2**11)
    for f, kernel in enumerate(kernels):
        c, p = slow_covariance(kernel, spectrum, (0, 0))
        assert got.rho_rms[f] ** 2 == pytest.approx(1 + (c + p).real / (2 * c.real), abs=0.004)
        for s, u in enumerate(shifts):
            moved = sum(slow_covariance(kernel, spectrum, u)).real
            assert got.eta_rmax_rms[f, s] == pytest.approx(np.sqrt(2 - 2 * moved / (c + p).real), abs=0.004)


def test_the_change_of_cmod_has_a_closed_form_if_circular():
    # E |Z||Z'| = pi/4 s**2 2F1(-1/2, -1/2; 1; |r|**2), s**2 = E |Z|**2 = E |Z'|**2, r their correlation
    shifts = [(0, 1), (1, 0), (0.5, 0.5), (2, -3), (0, 7)]
    spectrum = slanted_spectrum(45)
    kernels = np.stack([gabor((1.1, -0.6)), gabor((0, 2)), gabor((PI, 1.2), 3)])
    got = quiet(kernels, spectrum, 2, shifts, draws=2**12)
    for f, kernel in enumerate(kernels):
        energy, pseudo = slow_covariance(kernel, spectrum, (0, 0))
        assert abs(pseudo) < 2e-3 * energy.real
        r = np.array([abs(slow_covariance(kernel, spectrum, u)[0]) / energy.real for u in shifts])
        expected = np.sqrt(2 - PI / 2 * hyp2f1(-0.5, -0.5, 1, r**2))
        np.testing.assert_allclose(got.eta_cmod_rms[f], expected, atol=0.003)


@pytest.mark.parametrize("isolated", [0, 1])
def test_a_single_wave_gives_the_narrow_band_limit(isolated):
    points, shifts = 63, [(0, 1), (1, 0), (0.5, 2)]
    for k in [(10, 5), (0, 20), (16, -16), (5, 23)]:
        theta = 2 * PI * np.array(k) / points
        spectrum = np.zeros((points, points))
        spectrum[k] = spectrum[-k[0], -k[1]] = 1
        got = quiet(gabor(theta)[None], spectrum, 2, shifts, draws=2**11, isolated=isolated)
        assert got.rho_rms[0] == pytest.approx(float(gamma(2 * theta)), abs=0.004)
        change = narrow_band_change(2 * theta, np.array(shifts) @ theta)
        np.testing.assert_allclose(got.eta_rmax_rms[0], change, atol=0.004)
        np.testing.assert_allclose(got.eta_cmod_rms[0], 0, atol=1e-3)


# theory.md 5.3: white noise, filters qshift_a, rows f_1, columns f_2; statistical error 0.005.
RHO_2 = np.array([[0.49, 0.41], [0.41, 0.40]])[[0, 1, 1, 0]][:, [0, 1, 1, 0]]
RMAX_2 = np.array([[0.24, 0.40, 0.43, 0.78], [0.18, 0.40, 0.37, 0.38]])[[0, 1, 1, 0]]
CMOD_2 = np.tile([0.24, 0.23, 0.23, 0.24], (4, 1))
RHO_3 = [[0.49, 0.40, 0.42, 0.61], [0.40, 0.40, 0.42, 0.44], [0.42, 0.42, 0.44, 0.46], [0.61, 0.44, 0.46, 0.64]]
RHO_3 = np.array(RHO_3)[[0, 1, 2, 3, 3, 2, 1, 0]][:, [0, 1, 2, 3, 3, 2, 1, 0]]
CMOD_3 = np.tile([0.12, 0.13, 0.18, 0.16, 0.16, 0.18, 0.13, 0.12], (8, 1))


def plane(ds, name, branch):
    """One value for each pair of frequency indices, vertical first."""
    values = ds[name].values.reshape(ds.sizes["filter"], -1)[:, 0]
    out = np.full((2**ds.levels,) * 2, np.nan)
    keep = ds.branch.values == branch
    out[ds.freq_y.values[keep], ds.freq_x.values[keep]] = values[keep]
    return out


@pytest.mark.parametrize(
    ("filters", "tolerance"), [pytest.param("qshift_a", 0.02, marks=pytest.mark.oracle), ("cf_3_3", 0.035)]
)
@pytest.mark.parametrize(("levels", "rho", "rmax", "cmod"), [(2, RHO_2, RMAX_2, CMOD_2), (3, RHO_3, None, CMOD_3)])
def test_white_noise_gives_the_reference_maps(levels, rho, rmax, cmod, filters, tolerance):
    t = DualTreePackets2D(levels, filters, stride=2 ** (levels - 1))
    ds = quiet(t, flat_spectrum(95), None, [(0, 1)], draws=2**10)
    np.testing.assert_allclose(plane(ds, "rho_rms", "a"), rho, atol=tolerance)
    for name, expected in (("eta_rmax_rms", rmax), ("eta_cmod_rms", cmod)):
        if expected is not None:
            mean = (plane(ds, name, "a") + plane(ds, name, "b")) / 2
            np.testing.assert_allclose(mean, expected, atol=tolerance)
    if levels == 2:
        corners = plane(ds, "rho_rms", "b")[np.ix_([0, 3], [0, 3])]
        np.testing.assert_allclose(corners, 0.69, atol=tolerance)  # not circular: theory.md 4.5


# ---- isolated features ----------------------------------------------------------------------------------------------


def slow_feature_moments(kernel, spectrum, stride, shifts, q):
    """Means over features of all positions, 4 phases and their negatives, 8 directions; whole arrays, rolled."""
    points = len(spectrum)
    omega = 2 * PI * np.fft.fftfreq(points)
    sums = np.zeros((len(shifts), 5))
    for angle, psi in product(PI * (np.arange(8) + 0.5) / 8, PI * np.arange(8) / 4):
        sign = np.sign(np.cos(angle) * omega[:, None] + np.sin(angle) * omega)
        feature = np.fft.ifft2(np.sqrt(spectrum) * np.exp(1j * psi * sign))
        assert np.abs(feature.imag).max() < 1e-12
        z = [respond(x, kernel) for x in (feature.real, *(translate(feature.real, u) for u in shifts))]
        (r, c), *moved = ((largest(x, stride, q), np.abs(x)) for x in z)
        for s, (r_moved, c_moved) in enumerate(moved):
            sums[s] += [((a - b) ** 2).sum() for a, b in ((r, c), (c, 0), (r, 0), (r_moved, r), (c_moved, c))]
    return sums / sums[:, 1:2]


def respond(x, kernel):
    """Z[n] = sum of x[n + k] W[k], x periodic."""
    return sum(w * np.roll(x, (-i, -j), (0, 1)) for (i, j), w in np.ndenumerate(kernel))


def largest(z, stride, q):
    steps = stride * np.arange(-q, q + 1)
    return np.max([np.roll(z.real, at, (0, 1)) for at in product(steps, repeat=2)], axis=0)


@pytest.mark.nojit
@pytest.mark.parametrize(("points", "stride", "q"), [(13, 2, 1), (12, 1, 2), (13, 3, 0)])
def test_feature_sums_equal_numpy(points, stride, q):
    a, b, c, d = np.random.default_rng(1).standard_normal((4, points, points))
    z, moved = a + 1j * b, c + 1j * d
    expected = np.zeros(5)
    for x, y in ((z, moved), (-z, -moved)):
        r, r_moved = largest(x, stride, q), largest(y, stride, q)
        pairs = ((r, abs(x)), (abs(x), 0), (r, 0), (r_moved, r), (abs(y), abs(x)))
        expected += [((one - other) ** 2).sum() for one, other in pairs]
    sums = np.arange(5.0)
    feature_sums(z, moved, stride, q, sums)
    np.testing.assert_allclose(sums - np.arange(5), expected, rtol=1e-12)
    still, nothing = np.zeros(5), z[:0]
    feature_sums(z, nothing, stride, q, still)
    np.testing.assert_allclose(still, [*expected[:3], 0, 0], rtol=1e-12)


@pytest.mark.nojit
@pytest.mark.parametrize(("stride", "q"), [(2, 1), (1, 2), (3, 0)])
def test_isolated_moments_equal_a_slow_computation(stride, q):
    shifts = [(0, 1), (-2, 1), (0.5, 0.25)]
    spectrum = slanted_spectrum(15)
    spectrum[0, 0] = 0  # photographs have had their mean removed
    got = isolated_moments(np.stack([lopsided(), lopsided().real]), spectrum, stride, shifts, q, progress=False)
    for f, kernel in enumerate((lopsided(), lopsided().real)):
        expected = slow_feature_moments(kernel, spectrum, stride, shifts, q).T
        for name, values in zip(MOMENTS, expected, strict=True):
            np.testing.assert_allclose(got[name][f], values if name.endswith("change") else values[0], rtol=1e-9)


def test_features_of_several_colours_equal_a_slow_computation():
    # Two channels, correlated differently at every frequency; features of each principal colour, in the pixel domain.
    points, stride, shift = 13, 2, (0.5, -1)
    omega = 2 * PI * np.fft.fftfreq(points)
    own, other = slanted_spectrum(points), 1 / (0.4 + 1 - np.cos(omega[:, None] + omega))
    spectra = np.empty((2, 2, points, points), complex)
    spectra[0, 0], spectra[1, 1] = own, own + other
    delay = np.exp(1j * omega)  # the second channel follows the first a pixel later
    spectra[0, 1], spectra[1, 0] = own * delay, own * delay.conj()
    spectra[..., 0, 0] = 0
    kernel = np.stack([lopsided(), lopsided(seed=2)])
    got = isolated_moments(kernel[None], spectra, stride, [shift], 1, progress=False)
    colours = np.linalg.eigh(spectra.sum(axis=(-2, -1)).real)[1].T
    roots = np.zeros_like(spectra)
    for y, x in product(range(points), repeat=2):
        if y or x:
            roots[:, :, y, x] = sqrtm(spectra[:, :, y, x])
    sums = np.zeros(5)
    for colour, angle, psi in product(colours, PI * (np.arange(8) + 0.5) / 8, PI * np.arange(8) / 4):
        sign = np.sign(np.cos(angle) * omega[:, None] + np.sin(angle) * omega)
        feature = np.fft.ifft2(np.einsum("klyx,l->kyx", roots, colour) * np.exp(1j * psi * sign))
        assert np.abs(feature.imag).max() < 1e-12
        z, moved = (
            sum(respond(channel, w) for channel, w in zip(x, kernel, strict=True))
            for x in (feature.real, translate(feature.real, shift))
        )
        (r, c), (r_moved, c_moved) = ((largest(response, stride, 1), np.abs(response)) for response in (z, moved))
        sums += [((a - b) ** 2).sum() for a, b in ((r, c), (c, 0), (r, 0), (r_moved, r), (c_moved, c))]
    for name, expected in zip(MOMENTS, sums / sums[1], strict=True):
        np.testing.assert_allclose(got[name].values.ravel(), expected, rtol=1e-8, err_msg=name)


def test_one_channel_of_colour_is_the_luminance():
    spectrum, kernels = slanted_spectrum(15), np.stack([lopsided(), lopsided(seed=2)])
    for isolated in (0, 0.3, 1):
        options = {"draws": 2**6, "isolated": isolated}
        agree(quiet(kernels[:, None], spectrum[None, None], **options), quiet(kernels, spectrum, **options), rtol=1e-9)


def test_the_typical_share_depends_on_the_stride_between_those_that_packets_have():
    shares = [typical_share(stride) for stride in (1, 2, 3, 4, 8)]
    assert shares[0] == shares[1] == 0.110 and shares[3] == shares[4] == 0.135
    assert shares[1] < shares[2] < shares[3]
    for value, error in ((0, ValueError), (1.5, TypeError)):
        with pytest.raises(error, match="stride"):
            typical_share(value)


@pytest.mark.nojit
def test_both_models_have_the_same_energies():
    # Without pooling, what is quadratic in the field does not see the phases.
    spectrum = slanted_spectrum(15)
    spectrum[0, 0] = 0
    kernels, shifts = np.stack([lopsided(), lopsided(seed=2)]), [(0, 1), (0.5, -2)]
    one = isolated_moments(kernels, spectrum, 2, shifts, 0, progress=False)
    for f, kernel in enumerate(kernels):
        c, p = slow_covariance(kernel, spectrum, (0, 0))
        assert one.cmod[f] == 1
        assert one.rmax[f] == pytest.approx((c + p).real / (2 * c.real))
        assert one.discrepancy[f] == pytest.approx(1 + float(one.rmax[f]))
        for s, u in enumerate(shifts):
            moved = sum(slow_covariance(kernel, spectrum, u)).real
            assert one.rmax_change[f, s] == pytest.approx((c + p - moved).real / c.real)


def test_aligned_phases_raise_the_discrepancy():
    t, spectrum = DualTreePackets2D(1, stride=1), power_law_spectrum(45)
    gaussian, isolated = (quiet(t, spectrum, None, draws=2**9, isolated=part) for part in (0, 1))
    band = ~gaussian.low_pass.values
    assert (isolated.rho_rms > gaussian.rho_rms + 0.05).values[band].all()


# ---- mixtures -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def both():
    """Moments of the two models for the filters of depth 1."""
    t, spectrum = DualTreePackets2D(1, stride=1), power_law_spectrum(45)
    gaussian = gaussian_moments(t, spectrum, draws=2**9, progress=False)
    return gaussian, isolated_moments(t, spectrum, progress=False)


@pytest.mark.parametrize("part", [0.0, 0.2, 0.5, 1.0])
def test_a_mixture_is_linear_in_the_squares(both, part):
    gaussian, isolated = both
    got = quiet(DualTreePackets2D(1, stride=1), power_law_spectrum(45), None, [(0, 1), (1, 0)], 2**9, isolated=part)
    assert got.isolated == part
    xr.testing.assert_allclose(got, rms((1 - part) * gaussian + part * isolated))
    squares = (1 - part) * gaussian.discrepancy.mean("replicate") + part * isolated.discrepancy
    np.testing.assert_allclose(got.rho_rms**2, squares, rtol=1e-9)  # both have energy 1
    assert ((got.rho_rms_stderr == 0) == (part == 1)).all()


@pytest.mark.parametrize("part", [0.0, 0.07, 0.2, 0.9, 1.0])
def test_a_planted_share_is_found_again(both, part):
    gaussian, isolated = both
    planted = rms((1 - part) * gaussian + part * isolated)
    assert fit_isolated(planted, rms(gaussian), rms(isolated)) == pytest.approx(part, abs=1e-9)
    wild = planted.rho_rms.where(~planted.low_pass, 7.0)  # low-pass filters do not count
    assert fit_isolated(planted.assign(rho_rms=wild), rms(gaussian), rms(isolated)) == pytest.approx(part, abs=1e-9)
    gap = planted.rho_rms.where(np.arange(planted.sizes["filter"]) != 3)  # nor do those that heard nothing
    assert fit_isolated(planted.assign(rho_rms=gap), rms(gaussian), rms(isolated)) == pytest.approx(part, abs=1e-9)


def test_a_share_stays_within_its_limits(both):
    gaussian, isolated = (rms(moments) for moments in both)
    assert fit_isolated(0.9 * gaussian.assign_coords(), gaussian, isolated) == 0
    assert fit_isolated(1.1 * isolated.assign_coords(), gaussian, isolated) == 1


def test_what_cannot_be_fitted_is_an_error(both):
    gaussian, isolated = (rms(moments) for moments in both)
    with pytest.raises(ValueError, match=r"\[8, 7, 8\] filters; expected the same"):
        fit_isolated(gaussian, gaussian.isel(filter=slice(7)), isolated)
    with pytest.raises(ValueError, match=r"no filter .* distinguishes"):
        fit_isolated(gaussian, gaussian, gaussian)
    with pytest.raises(ValueError, match="no filter"):
        fit_isolated(np.nan * gaussian, gaussian, isolated)


def test_agreement_is_counted_over_the_band_pass_filters(both):
    gaussian, isolated = (rms(moments) for moments in both)
    m, p = (ds.eta_rmax_rms.values[~ds.low_pass.values].ravel() for ds in (gaussian, isolated))
    got = agreement(gaussian, isolated, "eta_rmax_rms")
    assert got["correlation"] == pytest.approx(np.corrcoef(m, p)[0, 1])
    assert got["relative_error"] == pytest.approx(np.median(abs(p / m - 1)))
    assert got["bias"] == pytest.approx(p.mean() - m.mean())
    assert agreement(gaussian, gaussian) == {"correlation": pytest.approx(1), "relative_error": 0, "bias": 0}
    with pytest.raises(ValueError, match="rho_rms is measured as"):
        agreement(gaussian, isolated.isel(filter=slice(7)))


# ---- what any prediction has ----------------------------------------------------------------------------------------


def agree(a, b, **tolerance):
    for name in NAMES:
        np.testing.assert_allclose(a[name], b[name], err_msg=name, **tolerance)


@pytest.mark.parametrize("isolated", [0, 0.5, 1])
def test_no_shift_changes_nothing_and_its_sign_does_not_matter(isolated):
    shifts = [(0, 0), (1, -2), (-1, 2), (1, 2)]
    kernels = np.stack([gabor((1.1, -0.6), 1.8, 9), np.pad(lopsided(), 2)])
    got = quiet(kernels, slanted_spectrum(17), 2, shifts, draws=2**10, isolated=isolated)
    for name in ("eta_rmax_rms", "eta_cmod_rms"):
        zero, there, back, aside = got[name].values.T
        _, error, other, _ = got[f"{name}_stderr"].values.T
        assert (zero < 1e-6).all() and (there > 0.3).all()
        assert (abs(there - back) < 5 * np.hypot(error, other) + 1e-12).all()
        assert name == "eta_cmod_rms" or abs(there - aside)[0] > 0.02  # across the wave, not along it


@pytest.mark.parametrize("isolated", [0, 0.5, 1])
def test_scale_does_not_matter(isolated):
    kernels, spectrum = np.stack([lopsided(), lopsided(seed=2)]), slanted_spectrum(15)
    options = {"shifts": [(0, 1), (0.5, 0)], "isolated": isolated, "draws": 2**6}
    expected = quiet(kernels, spectrum, **options)
    agree(quiet(kernels, 1e-7 * spectrum, **options), expected, rtol=1e-6)
    agree(quiet(-1e5 * kernels, spectrum, **options), quiet(-kernels, spectrum, **options), rtol=1e-6)


@pytest.mark.nojit
@pytest.mark.parametrize("isolated", [0, 0.5, 1])
def test_filters_that_hear_nothing_are_nan_and_spoil_nothing(isolated):
    spectrum = slanted_spectrum(15)
    alone = quiet(lopsided()[None], spectrum, draws=2**6, isolated=isolated)
    got = quiet(np.stack([np.zeros((5, 5)), lopsided()]), spectrum, draws=2**6, isolated=isolated)
    silent = quiet(lopsided()[None], np.zeros((15, 15)), draws=2**6, isolated=isolated)
    for name in NAMES:
        assert np.isnan(got[name][0]).all() and np.isnan(silent[name]).all()
    agree(got.isel(filter=[1]), alone, rtol=1e-9)


@pytest.mark.nojit
def test_a_seed_gives_the_same_prediction_and_another_one_another():
    kernel, spectrum = lopsided()[None], slanted_spectrum(15)
    a, b, c = (quiet(kernel, spectrum, draws=2**6, seed=seed) for seed in (1, 1, 2))
    xr.testing.assert_identical(a, b)
    assert (a.rho_rms != c.rho_rms).all()
    assert abs(a.rho_rms - c.rho_rms).item() < 6 * a.rho_rms_stderr.item() + 6 * c.rho_rms_stderr.item()


def test_filters_do_not_see_each_other():
    t, spectrum = DualTreePackets2D(2, stride=2), power_law_spectrum(63)
    kernels = t.kernels()
    part = [3, 17, 31]
    for isolated in (0, 1):
        whole = quiet(kernels, spectrum, isolated=isolated, draws=2**6)
        agree(quiet(kernels[part], spectrum, isolated=isolated, draws=2**6), whole.isel(filter=part), rtol=1e-5)
    agree(quiet(kernels, spectrum, draws=2**6), quiet(t, spectrum, None, draws=2**6), rtol=1e-5)


@pytest.mark.parametrize("isolated", [0, 0.5, 1])
def test_a_constant_image_excites_no_band_pass_filter(isolated):
    spectrum = np.zeros((63, 63))
    spectrum[0, 0] = 63**2
    t = DualTreePackets2D(2, stride=2)
    ds = quiet(t, spectrum, None, draws=2**6, isolated=isolated)
    low_pass = np.hypot(*t.frequencies.T) < np.pi / 4
    assert np.isnan(ds.to_dataarray()[:, ~low_pass]).all()


def test_a_spectrum_out_of_order_is_refused():
    shuffled = np.fft.fftshift(power_law_spectrum(63))
    with pytest.raises(ValueError, match=r"^spectrum differs at opposite frequencies; expected that of real images"):
        quiet(gabor((1.1, -0.6))[None], shuffled)


@pytest.mark.parametrize("isolated", [0, 1])
def test_the_number_of_points_hardly_matters(isolated):
    kernels = np.stack([gabor((1.1, -0.6)), np.pad(lopsided(), 8), np.pad(lopsided(), 8).real])
    shifts = [(0, 1), (0.5, 0.5)]
    for model in (flat_spectrum, slanted_spectrum):
        one, other = (quiet(kernels, model(p), 2, shifts, draws=2**10, isolated=isolated) for p in (63, 64))
        agree(one, other, atol=0.015)  # of 64 points the Nyquist bins do not move by half a pixel
    one, other = (quiet(kernels, flat_spectrum(p), draws=2**8) for p in (63, 64))
    agree(one, other, rtol=1e-6)  # whole shifts of white noise need no more points than the kernels reach over


def test_a_transform_brings_its_coordinates_and_can_be_drawn():
    t = DualTreePackets2D(2, stride=2)
    shifts = [(0, 1), (0.5, -2)]
    ds = quiet(t, power_law_spectrum(63), None, shifts, draws=2**4, isolated=0.1)
    assert dict(ds.sizes) == {"filter": 32, "shift": 2}
    assert ds.rho_rms.dims == ("filter",) and ds.eta_rmax_rms.dims == ds.eta_cmod_rms.dims == ("filter", "shift")
    experiment = packet_experiment(2, shifts=shifts, size=60)
    expected = experiment.dataset(np.zeros(experiment.length))
    for name in expected.coords:
        xr.testing.assert_identical(ds[name].drop_attrs(deep=False), expected[name].drop_attrs(deep=False))
        assert ds[name].attrs == expected[name].attrs
    assert set(ds.coords) == set(expected.coords) == {*filter_coordinates(t), *shift_coordinates(shifts)}
    assert (ds.levels, ds.stride, ds.filters, ds.q, ds.isolated) == (2, 2, "cf_3_3", 1, 0.1)
    for variable in NAMES:
        plots.compare_figure({"a": ds, "b": ds}, variable).draw_without_rendering()


@pytest.mark.nojit
def test_kernels_of_ones_own_have_shifts_only():
    ds = quiet(lopsided()[None].real, slanted_spectrum(15), 2, np.array([[0, 1], [2, -1]]), draws=2**4)
    assert set(ds.coords) == {"shift_y", "shift_x"} and set(ds.data_vars) == {*NAMES, *(f"{n}_stderr" for n in NAMES)}
    assert ds.shift_y.values.tolist() == [0, 2] and ds.shift_x.values.tolist() == [1, -1]
    assert np.isfinite(ds.to_dataarray()).all()


def test_the_stride_of_a_transform_can_be_another():
    t, spectrum = DualTreePackets2D(1, stride=1), power_law_spectrum(45)
    agree(quiet(t, spectrum, 2), quiet(t.kernels(), spectrum, 2), rtol=1e-12)
    assert (quiet(t, spectrum, 2).rho_rms != quiet(t, spectrum, None).rho_rms).all()


@pytest.mark.nojit
def test_the_progress_bars_can_be_silenced(capsys):
    predict(lopsided()[None], slanted_spectrum(15), 2, draws=2, isolated=0.5)
    shown = capsys.readouterr().err
    assert "Gaussian field" in shown and "isolated features" in shown and "2/2" in shown
    quiet(lopsided()[None], slanted_spectrum(15), draws=2, isolated=0.5)
    assert capsys.readouterr().err == ""


@pytest.mark.nojit
@pytest.mark.parametrize("isolated", [0, 1])
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"stride": None}, TypeError, "stride is missing"),
        ({"stride": 0}, ValueError, "stride is 0; expected at least 1"),
        ({"stride": 2.0}, TypeError, "stride must be an integer"),
        ({"q": -1}, ValueError, "q is -1; expected at least 0"),
        ({"q": 1.0}, TypeError, "q must be an integer"),
        ({"kernels": lopsided()}, ValueError, r"kernels has shape \(5, 5\); expected \(L, h, w\)"),
        ({"kernels": np.ones((1, 1, 1, 5, 5))}, ValueError, r"kernels has shape \(1, 1, 1, 5, 5\)"),
        ({"kernels": np.full((1, 5, 5), np.nan)}, ValueError, "kernels holds 25 NaN"),
        ({"kernels": np.full((1, 5, 5), 1j * np.inf)}, ValueError, "kernels holds 25 NaN or infinite"),
        ({"kernels": np.ones((0, 5, 5))}, ValueError, "no elements"),
        ({"spectrum": np.ones((15, 16))}, ValueError, r"spectrum has shape \(15, 16\); expected a square"),
        ({"spectrum": np.ones((2, 15, 15))}, ValueError, r"spectrum has shape \(2, 15, 15\)"),
        ({"spectrum": np.ones(15)}, ValueError, r"spectrum has shape \(15,\)"),
        ({"spectrum": -np.eye(15)}, ValueError, "spectrum holds -1; expected energies"),
        ({"spectrum": np.full((15, 15), np.nan)}, ValueError, "spectrum holds 225 NaN"),
        ({"spectrum": np.ones((15, 15), complex)}, TypeError, "spectrum is complex"),
        ({"shifts": []}, ValueError, "shifts is empty"),
        ({"shifts": (0, 1)}, ValueError, "shift is 0; expected two numbers"),
        ({"shifts": [(0, np.nan)]}, ValueError, "expected finite numbers of pixels"),
        ({"spectrum": np.ones((9, 9))}, ValueError, "kernels of 5x5 .* reach over 10 pixels; a spectrum of 9 points"),
        ({"stride": 6}, ValueError, "reach over 18 pixels"),
        ({"q": 3}, ValueError, "reach over 18 pixels"),
        ({"shifts": [(0, 0), (-6.5, 1)]}, ValueError, "reach over 16 pixels; .* would wrap them round"),
    ],
)
def test_bad_arguments_are_refused_by_both_models(change, error, message, isolated):
    arguments = {"kernels": lopsided()[None], "spectrum": np.ones((15, 15)), "stride": 2, "shifts": [(0, 1)]}
    with pytest.raises(error, match=message):
        quiet(**(arguments | change), isolated=isolated)


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"isolated": -0.1}, ValueError, "isolated is -0.1; expected a part of the energy"),
        ({"isolated": 1.5}, ValueError, "isolated is 1.5"),
        ({"isolated": np.nan}, ValueError, "isolated is nan"),
        ({"draws": 100}, ValueError, "draws is 100; expected a power of 2"),
        ({"draws": 1}, ValueError, "draws is 1; expected at least 2"),
        ({"draws": 64.0}, TypeError, "draws must be an integer"),
        ({"seed": -1}, ValueError, "seed is -1"),
        ({"seed": None}, TypeError, "seed must be an integer"),
    ],
)
def test_bad_options_are_refused(change, error, message):
    with pytest.raises(error, match=message):
        quiet(lopsided()[None], np.ones((15, 15)), **change)
    if "isolated" not in change:
        with pytest.raises(error, match=message):
            expected_discrepancy(np.eye(1), **change)


@pytest.mark.nojit
def test_the_last_size_that_does_not_wrap_is_taken():
    for points, shifts in ((10, [(0, 1)]), (10, [(0.2, 0)]), (9, [(0, 0)])):
        assert np.isfinite(quiet(lopsided()[None], np.ones((points, points)), 2, shifts, draws=2).rho_rms).all()


# ---- photographs ----------------------------------------------------------------------------------------------------


def check_photographs(measured, prediction, correlation, plain, mixed):
    """Take photographs as Gaussian, then with one part of isolated features, fitted to the discrepancy."""
    gaussian, mixture = (prediction.sel(model=model) for model in ("gaussian", "mixture"))
    assert 0.03 < prediction.isolated < 0.2
    for ds in (gaussian, mixture):
        assert agreement(measured, ds)["correlation"] >= correlation
    assert agreement(measured, gaussian)["relative_error"] <= plain
    assert agreement(measured, mixture)["relative_error"] <= mixed
    # The change of RMax was not fitted.
    before, after = (agreement(measured, ds, "eta_rmax_rms") for ds in (gaussian, mixture))
    assert after["relative_error"] < before["relative_error"] / 2 and after["correlation"] > before["correlation"]
    assert abs(after["bias"]) < abs(before["bias"]) / 2 < 0.05


@pytest.mark.slow
def test_bundled_photographs_are_gaussian_with_some_isolated_features():
    pictures = bundled_crops()
    (measured,) = run(pictures, [packet_experiment(2)], progress=False)
    spectrum = estimate_spectrum(pictures, progress=False)
    prediction = predict_like(measured, spectrum, draws=2**10, progress=False)
    check_photographs(measured, prediction, 0.98, 0.08, 0.025)
    assert prediction.model.values.tolist() == ["gaussian", "isolated", "mixture"]
    assert prediction.images_sha256 == measured.images_sha256 and prediction.images_used == measured.images_used
    models = [prediction.sel(model=model) for model in ("gaussian", "isolated")]
    assert fit_isolated(measured, *models) == pytest.approx(prediction.isolated)
    kernels = DualTreePackets2D(2, stride=2)
    agree(prediction.sel(model="gaussian"), quiet(kernels, spectrum, None, [(0, 1), (1, 0)], 2**10), rtol=1e-9)


@pytest.mark.slow
def test_imagenet_is_gaussian_with_some_isolated_features(imagenet_sample):
    files = find_images(imagenet_sample, 200)
    spectrum = estimate_spectrum(files, points=225, progress=False)
    for measured in run(files, [packet_experiment(levels, shifts=[(0, 1)]) for levels in (2, 3)], progress=False):
        prediction = predict_like(measured, spectrum, draws=2**10, progress=False)
        check_photographs(measured, prediction, 0.99, 0.08, 0.02)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.full((9, 9), np.nan),), "covariance or pseudo holds a value that is not finite"),
        ((-np.eye(9),), "covariance is not Hermitian and positive"),
        ((np.triu(np.ones((9, 9))),), "covariance is not Hermitian and positive"),
        ((np.eye(4),), r"covariance has shape \(4, 4\) .* n odd"),
        ((np.eye(3), np.eye(5)), r"pseudo \(5, 5\); expected"),
        ((np.zeros((9, 9)),), "covariance gives the centre no energy"),
        ((np.diag([1.0, 0, 1]),), "covariance gives the centre no energy"),
        ((np.eye(9), 2 * np.eye(9)), "pseudo is not symmetric, or too large"),
        ((np.eye(3), np.triu(0.1 * np.ones((3, 3)))), "pseudo is not symmetric, or too large"),
    ],
)
def test_covariances_that_no_response_has(arguments, message):
    with pytest.raises(ValueError, match=message):
        expected_discrepancy(*arguments)


def test_more_errors():
    with pytest.raises(ValueError, match=r"^omega holds 1 NaN"):
        square_covariance((np.nan, 0), 1)
    with pytest.raises(ValueError, match=r"^bandwidth is m kappa = -1 rad; expected 0 to pi"):
        square_covariance((0, 0), -1)
    with pytest.raises(ValueError, match=r"^q is -1"):
        square_covariance((0, 0), 1, q=-1)
    with pytest.raises(ValueError, match=r"^spectrum has shape \(5, 7\)"):
        response_covariance(np.ones((1, 3, 3)), np.ones((5, 7)), [[0, 0]])


def test_points_and_kernels_that_do_not_fit():
    with pytest.raises(ValueError, match="kernels of 20x20 pixels do not fit a spectrum of 15 points"):
        response_covariance(np.ones((1, 20, 20)), flat_spectrum(15), [[0, 0]])
    with pytest.raises(ValueError, match=r"points has shape \(1, 3\); expected \(n, 2\)"):
        response_covariance(np.ones((1, 3, 3)), flat_spectrum(15), [[0, 0, 0]])


def test_attributes_say_what_was_computed():
    ds = quiet(DualTreePackets2D(1, stride=1), power_law_spectrum(63), 3, draws=2**4)
    assert (ds.levels, ds.stride, ds.filters, ds.q, ds.isolated, ds.spectrum_points) == (1, 3, "cf_3_3", 1, 0, 63)


def test_datasets_that_are_no_heatmaps_are_refused():
    t, spectrum = DualTreePackets2D(1, stride=1), power_law_spectrum(63)
    ds = quiet(t, spectrum, None, draws=2**4)
    with pytest.raises(ValueError, match="measured lacks the attributes levels, filters, q"):
        predict_like(xr.Dataset(), spectrum)
    with pytest.raises(ValueError, match="no variable 'foo' to compare"):
        agreement(ds, ds, "foo")


def test_agreement_of_zeros_is_undefined():
    t, spectrum = DualTreePackets2D(1, stride=1), power_law_spectrum(63)
    ds = quiet(t, spectrum, None, shifts=[(0, 0)], draws=2**4)
    zeros = ds.assign(eta_rmax_rms=0 * ds.eta_rmax_rms)
    assert all(np.isnan(value) for value in agreement(zeros, ds, "eta_rmax_rms").values())
    assert agreement(ds, ds)["relative_error"] == 0


def coloured_spectra(points, channels=3):
    """Matrix of spectra of a field that mixes white noise of each channel by random kernels."""
    rng = np.random.default_rng(3)
    mixing = np.fft.fft2(rng.standard_normal((channels, channels, 3, 3)), (points, points))
    return np.einsum("kjyx,ljyx->klyx", mixing, mixing.conj())


@pytest.mark.nojit
@pytest.mark.parametrize("points", [9, 10])
def test_covariances_of_channels_equal_those_of_dense_matrices(points):
    rng = np.random.default_rng(1)
    spectra = coloured_spectra(points)
    kernels = rng.standard_normal((2, 3, 4, 4)) + 1j * rng.standard_normal((2, 3, 4, 4))
    at = np.array([(0, 0), (1, 2), (-2, 3)])
    # E X_k[n] X_l[n'] = s_kl[n - n'], the inverse transform of S_kl.
    lag = np.fft.ifft2(spectra).real
    n = np.stack(np.divmod(np.arange(points**2), points), axis=-1)
    d = (n[:, None] - n) % points
    field = lag[:, :, d[..., 0], d[..., 1]].transpose(0, 2, 1, 3).reshape(3 * points**2, -1)
    covariance, pseudo = response_covariance(kernels, spectra, at)
    for kernel, c, p in zip(kernels, covariance, pseudo, strict=True):
        rows = np.zeros((len(at), 3, points, points), complex)
        for row, (y, x) in zip(rows, at, strict=True):
            for i, j in np.ndindex(4, 4):
                row[:, (y + i) % points, (x + j) % points] = kernel[:, i, j]
        rows = rows.reshape(len(at), -1)
        np.testing.assert_allclose(c, rows @ field @ rows.conj().T, atol=1e-10)
        np.testing.assert_allclose(p, rows @ field @ rows.T, atol=1e-10)


def test_equal_channels_give_what_their_sum_gives():
    kernels, spectrum = lopsided()[None], slanted_spectrum(15)
    three = np.stack([0.5 * kernels, 0.2 * kernels, 0.3 * kernels], axis=1)
    spectra = np.broadcast_to(spectrum, (3, 3, 15, 15))
    one, other = (quiet(k, s, 2, draws=64) for k, s in ((kernels, spectrum), (three, spectra)))
    for name in ("rho_rms", "eta_rmax_rms", "eta_cmod_rms"):
        np.testing.assert_allclose(other[name], one[name], rtol=1e-9)


@pytest.mark.parametrize(
    ("kernels", "spectra", "message"),
    [
        (np.ones((1, 3, 5, 5)), np.ones((15, 15)), r"spectra have shape \(15, 15\); expected \(C, C, P, P\)"),
        (np.ones((1, 2, 5, 5)), np.ones((3, 3, 15, 15)), "kernels have 2 channels and the spectra 3"),
        (np.ones((1, 1, 5, 5)), np.full((1, 1, 15, 15), -1.0), "negative energy"),
        (np.ones((1, 1, 5, 5)), np.full((1, 1, 15, 15), np.nan), "NaN"),
        (np.ones((1, 1, 5, 5)), np.arange(225.0).reshape(1, 1, 15, 15), "opposite frequencies"),
        (np.ones((1, 1, 16, 16)), np.ones((1, 1, 15, 15)), "do not fit"),
    ],
)
def test_bad_spectra_of_channels_are_refused(kernels, spectra, message):
    with pytest.raises(ValueError, match=message):
        quiet(kernels, spectra, 2)


# ---- the mixture as one field ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("features", [0.5, 1, 2])
def test_mixtures_keep_the_spectra_of_the_channels(features):
    spectra = coloured_spectra(15)
    spectra[..., 0, 0] = 0
    fields = mixture_fields(spectra, 0.4, 1000, np.random.default_rng(0), features)
    assert fields.shape == (1000, 3, 15, 15)
    waves = np.fft.fft2(fields) / 15
    found = np.einsum("nkyx,nlyx->klyx", waves, waves.conj()) / len(fields)
    energy = np.abs(spectra).max()
    np.testing.assert_allclose(found, spectra, atol=0.25 * energy)  # 1000 fields: 0.04 of what each frequency has
    np.testing.assert_allclose(found.mean(axis=(2, 3)), spectra.mean(axis=(2, 3)), atol=0.02 * energy)


def test_mixtures_without_features_are_gaussian_and_without_field_come_now_and_then():
    spectrum = slanted_spectrum(21)
    rng = np.random.default_rng(1)
    field = mixture_fields(spectrum, 0, 300, rng)
    assert np.mean(field**4) / np.mean(field**2) ** 2 == pytest.approx(3, abs=0.1)
    silent = mixture_fields(spectrum, 1, 9, rng, 1 / 3)
    assert [bool(np.ptp(field) > 1e-9) for field in silent] == 3 * [True, False, False]


@pytest.mark.slow
def test_the_mixture_is_what_is_measured_on_its_fields_if_features_are_few_and_strong():
    """The slow reference: nothing in the fields keeps features and field apart, which the prediction supposes."""
    spectrum, share = slanted_spectrum(41), 0.3
    kernels = np.stack([gabor((1.1, -0.6), 1.8, 9), gabor((2.2, 1.6), 1.8, 9)])
    predicted, plain = (quiet(kernels, spectrum, isolated=t, draws=2**11) for t in (share, 0))
    found = {}
    for features in (4, 1 / 16):
        fields = mixture_fields(spectrum, share, 640, np.random.default_rng(1), features)
        # Pictures that go on as their own period: every place of a feature counts alike.
        wide = [np.pad(part, ((0, 0), (0, 12), (0, 12)), mode="wrap") for part in np.split(fields, 8)]
        parts = np.array([measured_on(part, kernels, 2, [(0, 0)], 1)["rho_rms"] for part in wide])
        found[features] = parts.mean(axis=0), parts.std(axis=0, ddof=1) / np.sqrt(len(parts))
    rho, error = found[1 / 16]
    assert (np.abs(rho - predicted.rho_rms) < 4 * error).all() and (error < 0.03).all()
    assert (rho - plain.rho_rms > 4 * error).all()  # which a Gaussian field alone does not explain
    # Where features are many they overlap with the field, and it shows.
    assert (found[4][0] < predicted.rho_rms - 4 * found[4][1]).all()


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"isolated": 1.2}, ValueError, "isolated is 1.2"),
        ({"features": 0}, ValueError, "features is 0"),
        ({"count": 0}, ValueError, "count is 0"),
        ({"count": 1.5}, TypeError, "count must be an integer"),
        ({"rng": 0}, TypeError, "rng is 0"),
        ({"spectrum": np.ones((4, 5))}, ValueError, "spectrum has shape"),
    ],
)
def test_mixtures_refuse_what_is_out_of_range(change, error, message):
    arguments = {"spectrum": flat_spectrum(9), "isolated": 0.5, "count": 1, "rng": np.random.default_rng(0)}
    with pytest.raises(error, match=message):
        mixture_fields(**(arguments | change))


@pytest.mark.parametrize(("n", "draws"), [(1, 3), (9, 64), (9, 70), (25, 130)])
def test_gaussian_squares_are_plain_means(n, draws):
    rng = np.random.default_rng(n)
    root, normal, found = rng.normal(size=(5, 2 * n + 2)), rng.normal(size=(2, 5, draws)), np.empty((2, 5))
    gaussian_squares(root, normal, n, found)
    y = np.einsum("ji,kjb->kbi", root, normal)
    r, moved_r = y[..., :n].max(axis=-1), y[..., n : 2 * n].max(axis=-1)
    c, moved_c = np.hypot(y[..., n // 2], y[..., -2]), np.hypot(y[..., n + n // 2], y[..., -1])
    expected = [np.mean(v**2, axis=1) for v in (r - c, c, r, moved_r - r, moved_c - c)]
    np.testing.assert_allclose(found, np.transpose(expected), rtol=1e-12)


def test_shifts_together_are_each_alone():
    kernels, moves = np.stack([lopsided(), lopsided().T]), [(0, 1), (0.5, 0.25), (2, -1)]

    def changes(shifts):  # of RMax over that of CMod: energies are means over all shifts
        found = gaussian_moments(kernels, power_law_spectrum(41), 2, shifts, draws=2**6, progress=False)
        return (found.rmax_change / found.cmod_change).values

    np.testing.assert_allclose(changes(moves), np.concatenate([changes([move]) for move in moves], axis=-1), rtol=1e-12)
