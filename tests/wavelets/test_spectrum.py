"""Characteristic frequency, bandwidth, energy in a window: Gabor kernels and oracles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.polynomial.legendre import leggauss
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import erf, erfinv

from wavelets.hilbert import analytic
from wavelets.spectrum import bandwidth, characteristic_frequency, energy_in_window, power_spectrum

PI = np.pi
SHAPES = [(1, 1), (1, 6), (5, 1), (3, 3), (4, 4), (3, 6), (7, 2)]
THETAS = [(0.0, PI / 2), (PI / 4, PI / 4), (-0.9, 1.7), (1.5, 0.4), (PI / 2, 0.0), (-2.2, 0.6)]


def noise(shape, seed=0, real=True):
    rng = np.random.default_rng(seed)
    v = rng.standard_normal(shape)
    return v if real else v + 1j * rng.standard_normal(shape)


def gabor(theta, sigma=4.0, size=41):
    """Complex Gabor kernel; its power spectrum is Gaussian, of deviation 1/(sigma sqrt 2)."""
    n = np.arange(size) - size // 2
    y, x = np.meshgrid(n, n, indexing="ij")
    return np.exp(-(y**2 + x**2) / (2 * sigma**2) + 1j * (theta[0] * y + theta[1] * x))


def dense_spectrum(kernel, omega_y, omega_x):
    """The defining sum, term by term."""
    k_y, k_x = (np.arange(n) for n in kernel.shape)
    e_y, e_x = np.exp(-1j * np.outer(omega_y, k_y)), np.exp(-1j * np.outer(omega_x, k_x))
    return e_y @ kernel @ e_x.T


def gauss(low, high, nodes=40):
    x, w = leggauss(nodes)
    return (low + high) / 2 + (high - low) / 2 * x, w * (high - low) / 2


def dense_energy(kernel, theta, side):
    """Fraction in one square by Gauss-Legendre quadrature of the dense spectrum."""
    (o_y, w_y), (o_x, w_x) = (gauss(t - side / 2, t + side / 2) for t in theta)
    inside = w_y @ np.abs(dense_spectrum(kernel, o_y, o_x)) ** 2 @ w_x
    return inside / (4 * PI**2 * (np.abs(kernel) ** 2).sum())


def distance(theta, expected):
    """Largest difference, modulo 2 pi."""
    return np.abs(np.angle(np.exp(1j * (np.asarray(theta) - expected)))).max()


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_spectrum_is_the_defining_sum(shape, real):
    kernel = noise(shape, real=real)
    for size in (max(shape), 7, 12):
        omega = 2 * PI * np.fft.fftfreq(size)
        spectrum = power_spectrum(kernel, size)
        assert_allclose(spectrum, np.abs(dense_spectrum(kernel, omega, omega)) ** 2, atol=1e-12)
        assert_allclose(spectrum.mean(), (np.abs(kernel) ** 2).sum(), rtol=1e-13)


def test_spectrum_of_a_batch():
    kernels = noise((2, 3, 4, 5), real=False)
    batch = power_spectrum(kernels, 8)
    assert batch.shape == (2, 3, 8, 8) and batch.dtype == np.float64
    assert_allclose(batch[1, 2], power_spectrum(kernels[1, 2], 8))


def test_a_correlation_kernel_has_the_opposite_frequency():
    w = gabor((0.6, -1.1))
    theta = characteristic_frequency(w)
    assert_array_equal(characteristic_frequency(w[::-1, ::-1]), -theta)
    assert_array_equal(characteristic_frequency(w.conj()), -theta)


@pytest.mark.parametrize("method", ["window", "centroid"])
@pytest.mark.parametrize("theta", THETAS)
def test_frequency_of_a_gabor(theta, method):
    # window: half a step of the grid (2 pi / 256); centroid: bias of the direction weight
    tolerance = PI / 256 + 1e-9 if method == "window" else 0.01
    w = gabor(theta)
    expected = np.array(theta)
    assert distance(characteristic_frequency(w, method=method), expected) < tolerance
    for v in (w.real, w.imag, -w.real):
        estimate = characteristic_frequency(v, bandwidth=PI / 4, method=method)
        assert distance(estimate, expected) < tolerance


@pytest.mark.parametrize("sigma", [3.0, 10.0, 20.0])
def test_narrow_peak_in_a_wide_window_is_found_at_its_centre(sigma):
    theta = np.array([5, 11]) * PI / 64
    w = gabor(theta, sigma, size=81)
    for side in (PI / 4, PI / 2, 1.0, PI):
        assert_allclose(characteristic_frequency(w, side), theta, atol=1e-12)
    assert_allclose(characteristic_frequency(w, method="centroid"), theta, atol=1e-5)


def test_packet_that_wraps_around():
    for theta in [(PI, PI), (0.0, PI - 0.1), (-PI + 0.2, 0.1)]:
        w = gabor(theta)
        for method in ("window", "centroid"):
            estimate = characteristic_frequency(w, method=method)
            assert distance(estimate, np.array(theta)) < 0.02
            assert (estimate >= -PI).all() and (estimate < PI).all()
        assert_allclose(energy_in_window(w, theta, PI), 1, atol=1e-6)
        assert_allclose(energy_in_window(w, np.add(theta, (2 * PI, -4 * PI)), PI), 1, atol=1e-6)


def test_analytic_version_of_a_low_frequency_is_not_mixed_up_with_its_mirror_image():
    v = gabor((0.0, 0.5), size=81).real
    assert distance(characteristic_frequency(v), (0, 0)) < 0.04
    assert distance(characteristic_frequency(analytic(v)), (0, 0.5)) < 0.04


@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(0, 10**6),
    st.sampled_from(["window", "centroid"]),
)
@settings(max_examples=60)
def test_frequency_of_a_real_kernel_lies_in_one_half_plane(shape, seed, method):
    v = noise(shape, seed)
    theta = characteristic_frequency(v, method=method)
    theta_y, theta_x = theta
    assert theta.shape == (2,)
    assert (theta >= -PI).all() and (theta < PI).all()
    assert theta_x > 0 or theta_x == -PI or (theta_x == 0 and (theta_y >= 0 or theta_y == -PI))
    # the sign of a kernel does not matter, nor, mirrored through a point, its orientation
    assert_allclose(characteristic_frequency(-3 * v, method=method), theta, atol=1e-9)
    assert_allclose(characteristic_frequency(v[::-1, ::-1], method=method), theta, atol=1e-9)


@pytest.mark.parametrize("real", [True, False])
def test_best_window_by_exhaustive_search(real):
    kernel = noise((4, 5), seed=3, real=real)
    theta = characteristic_frequency(kernel, PI / 2, size=16)
    steps = np.arange(-8, 8) * PI / 8
    grid = np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1)
    inside = [[dense_energy(kernel, t, PI / 2) for t in row] for row in grid]
    found = dense_energy(kernel, theta, PI / 2)
    assert 0.999 * np.max(inside) <= found <= np.max(inside) + 1e-12
    narrow = characteristic_frequency(kernel, PI / 8, size=16)  # one step: no choice left
    inside = [[dense_energy(kernel, t, PI / 8) for t in row] for row in grid]
    assert_allclose(dense_energy(kernel, narrow, PI / 8), np.max(inside), rtol=1e-9)
    theta = characteristic_frequency(kernel, 0.1, size=16)  # less than one step
    inside = [[dense_energy(kernel, t, 0.1) for t in row] for row in grid]
    assert_allclose(dense_energy(kernel, theta, 0.1), np.max(inside), rtol=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_small_grids_do_not_change_the_energies(seed):
    kernel = noise((6, 6), seed, real=False)
    theta = characteristic_frequency(kernel, 2.0, size=6)  # less than two steps: no choice left
    steps = np.arange(-3, 3) * PI / 3
    inside = [dense_energy(kernel, (a, b), 2.0) for a in steps for b in steps]
    assert_allclose(dense_energy(kernel, theta, 2.0), max(inside), rtol=1e-9)


def test_kernels_that_do_not_vary():
    for method in ("window", "centroid"):
        row = gabor((0.0, 1.0))[20:21]
        assert_allclose(characteristic_frequency(row, method=method), (0, 1), atol=0.025)
        assert_allclose(characteristic_frequency(row.T, method=method), (1, 0), atol=0.025)
        assert characteristic_frequency(row, method=method)[0] == 0
        assert characteristic_frequency(row.T, method=method)[1] == 0
    assert_array_equal(characteristic_frequency([[1.0]]), (0, 0))
    assert_array_equal(characteristic_frequency([[1j]], method="centroid"), (0, 0))
    box = np.ones((5, 5))
    assert_array_equal(characteristic_frequency(box), (0, 0))
    assert_array_equal(characteristic_frequency(box, method="centroid", size=5), (0, 0))


def test_nyquist_reads_minus_pi():
    checks = 1.0 - 2 * (np.indices((8, 8)).sum(axis=0) % 2)
    bars = 1.0 - 2 * (np.indices((8, 8))[1] % 2)
    for v, theta in [(checks, (-PI, -PI)), (bars, (0, -PI)), (bars.T, (-PI, 0))]:
        assert_allclose(characteristic_frequency(v), theta)
        for w in (v + 0j, 1j * v):
            estimate = characteristic_frequency(w, method="centroid")
            assert_allclose(estimate, theta, atol=1e-9)


def test_centroid_is_the_written_formula():
    v, size = noise((5, 5)), 129
    omega = 2 * PI * np.fft.fftfreq(size)
    energy = np.abs(dense_spectrum(v, omega, omega)) ** 2
    tensor = np.zeros((2, 2))
    for a, o_y in enumerate(omega):
        for b, o_x in enumerate(omega):
            tensor += energy[a, b] * np.outer((o_y, o_x), (o_y, o_x))
    e = np.linalg.eigh(tensor)[1][:, -1]
    mass, moment = 0.0, np.zeros(2)
    for a, o_y in enumerate(omega):
        for b, o_x in enumerate(omega):
            if a or b:
                g = energy[a, b] ** 2 * max(0, (e[0] * o_y + e[1] * o_x) / np.hypot(o_y, o_x)) ** 2
                mass, moment = mass + g, moment + g * np.array((o_y, o_x))
    expected = moment / mass
    estimate = characteristic_frequency(v, method="centroid", power=4)
    assert_allclose(estimate, expected * np.sign(expected[1]), atol=1e-10)


@pytest.mark.parametrize("shape", SHAPES)
def test_energy_in_a_window_is_the_integral(shape):
    w = noise(shape, real=False)
    for theta, side in [((0.3, -1.0), 0.7), ((3.0, 3.0), PI / 2), ((0.0, -PI), 4.0)]:
        assert_allclose(energy_in_window(w, theta, side), dense_energy(w, theta, side), atol=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
def test_overlapping_mirror_windows_of_a_real_kernel_count_once(shape):
    v = noise(shape)
    cases = [((1.0, 1.0), 0.8), ((0.2, 1.0), 0.8), ((0.1, -0.2), 1.0), ((-3.0, 3.0), 1.5)]
    for theta, side in [*cases, ((3.0, 0.1), 2.0), ((0.4, 0.4), 2 * PI - 0.5)]:
        n = 600
        omega = (np.arange(n) + 0.5) * 2 * PI / n
        inside = np.zeros((n, n), dtype=bool)
        for sign in (1, -1):
            near = [np.abs(np.angle(np.exp(1j * (omega - sign * t)))) <= side / 2 for t in theta]
            inside |= np.outer(*near)
        energy = np.abs(dense_spectrum(v, omega, omega)) ** 2
        expected = energy[inside].sum() / energy.sum()
        assert_allclose(energy_in_window(v, theta, side), expected, atol=8 * PI / n)


def test_energy_of_a_gabor_is_the_gaussian_integral():
    theta, sigma = np.array([0.7, -1.2]), 4.0
    w = gabor(theta, sigma)
    for side in (0.1, 0.3, 0.9):
        expected = erf(sigma * side / 2) ** 2
        assert_allclose(energy_in_window(w, theta, side), expected, atol=1e-6)
        assert_allclose(energy_in_window(w.real, theta, side), expected, atol=1e-5)
        assert_allclose(energy_in_window(w.real, -theta, side), expected, atol=1e-5)
    assert_allclose(energy_in_window(w.real, theta, PI / 2), 1, atol=2e-5)
    assert_allclose(energy_in_window(w, -theta, PI / 4), 0, atol=1e-6)


@pytest.mark.parametrize("real", [True, False])
def test_energy_grows_to_one(real):
    kernel = noise((5, 4), real=real)
    sides = np.linspace(0.05, 2 * PI, 60)
    for size in (None, 5, 16, 17):
        energies = [float(energy_in_window(kernel, (0.4, -1.0), s, size)) for s in sides]
        assert (np.diff(energies) >= -1e-14).all()
        assert_allclose(energies[-1], 1, rtol=1e-12)
        assert_allclose(energy_in_window(kernel, (0.4, -1.0), 10.0, size), 1, rtol=1e-12)


def test_discrete_frequencies_and_the_half_open_window():
    size = 16
    step = 2 * PI / size
    for k in (-8, -3, 0, 5):
        w = np.exp(1j * k * step * np.arange(size)) * np.ones((size, 1))
        for bins in (1, 2, 5):
            side = bins * step
            low, high = (k * step + side / 2, k * step - side / 2)
            inside, outside = energy_in_window(w, [(0.0, low), (0.0, high)], side, size)
            assert_allclose((inside, outside), (1, 0), atol=1e-12)
    # tiles of the plane share its energy without loss
    kernel = noise((size, size), real=False)
    centres = np.arange(-PI + PI / 8, PI, PI / 4)
    tiles = np.stack(np.meshgrid(centres, centres), axis=-1)
    assert_allclose(energy_in_window(kernel, tiles, PI / 4, size).sum(), 1, rtol=1e-12)
    assert_allclose(energy_in_window(kernel, tiles, PI / 4).sum(), 1, rtol=1e-12)
    # a real wave on the edge counts both of its frequencies or neither
    wave = np.cos(4 * step * np.arange(size)) * np.ones((size, 1))
    pair = energy_in_window(wave, [(0.0, 5 * step), (0.0, 3 * step)], 2 * step, size)
    assert_allclose(pair, (1, 0), atol=1e-12)


def test_bandwidth_of_a_gabor():
    theta, sigma = (0.7, -1.2), 4.0
    w = gabor(theta, sigma)
    for energy in (0.5, 0.9, 0.99):
        expected = 2 * erfinv(np.sqrt(energy)) / sigma
        assert_allclose(bandwidth(w, theta, energy), expected, rtol=1e-5)
        assert_allclose(bandwidth(w.real, theta, energy), expected, rtol=1e-4)


@pytest.mark.parametrize("real", [True, False])
@pytest.mark.parametrize("shape", SHAPES)
def test_bandwidth_is_the_inverse_of_the_energy(shape, real):
    kernel = noise(shape, real=real)
    for energy in (0.1, 0.5, 0.9):
        side = bandwidth(kernel, (0.3, 1.1), energy)
        assert_allclose(energy_in_window(kernel, (0.3, 1.1), float(side)), energy, atol=1e-12)
    assert 0 < bandwidth(kernel, (0.3, 1.1), 1.0) <= 2 * PI


def test_bandwidth_on_discrete_frequencies():
    size = 16
    step = 2 * PI / size
    w = np.exp(3j * step * np.arange(size)) * np.ones((size, 1))
    assert_allclose(bandwidth(w, (0.0, 0.0), 0.9, size), 6 * step, atol=1e-8)
    assert_allclose(bandwidth(w, (0.0, step), 0.9, size), 4 * step, atol=1e-8)


def test_batches_and_broadcasting():
    kernels = noise((2, 3, 5, 4), real=False)
    theta = noise((3, 2), seed=1)
    energies, sides = energy_in_window(kernels, theta, 1.0), bandwidth(kernels, theta)
    frequencies = characteristic_frequency(kernels)
    assert energies.shape == sides.shape == (2, 3) and frequencies.shape == (2, 3, 2)
    for i, j in np.ndindex(2, 3):
        assert_allclose(energies[i, j], energy_in_window(kernels[i, j], theta[j], 1.0))
        assert_allclose(sides[i, j], bandwidth(kernels[i, j], theta[j]))
        assert_array_equal(frequencies[i, j], characteristic_frequency(kernels[i, j]))
    assert energy_in_window(kernels[0, 0], noise((4, 5, 2)), 1.0).shape == (4, 5)
    assert energy_in_window(kernels[0, 0], (0, 1), 1.0).shape == ()


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e200])
def test_scale_does_not_matter(scale):
    v = noise((5, 5))
    for kernel in (v, v.astype(np.float32), analytic(v)):
        scaled = kernel.astype(complex if np.iscomplexobj(kernel) else float) * scale
        for method in ("window", "centroid"):
            theta = characteristic_frequency(kernel, method=method)
            assert_allclose(characteristic_frequency(scaled, method=method), theta, atol=1e-12)
        energy = energy_in_window(kernel, theta, 1.0)
        assert_allclose(energy_in_window(scaled, theta, 1.0), energy, rtol=1e-12)
        assert_allclose(bandwidth(scaled, theta), bandwidth(kernel, theta), rtol=1e-12)


CALLS = [
    lambda k: characteristic_frequency(k),
    lambda k: characteristic_frequency(k, method="centroid"),
    lambda k: energy_in_window(k, (0.0, 0.0), 1.0),
    lambda k: bandwidth(k, (0.0, 0.0)),
]


@pytest.mark.parametrize("call", [*CALLS, lambda k: power_spectrum(k, 8)])
def test_bad_kernels(call):
    for bad in ([["a"]], np.array([[None]]), np.eye(2, dtype=object)):
        with pytest.raises(TypeError, match="kernel has dtype"):
            call(bad)
    for bad in ([[np.nan]], [[np.inf, 0.0]], [[1j * np.inf]]):
        with pytest.raises(ValueError, match=r"kernel .*finite"):
            call(bad)
    for bad in (1.0, 1j, [1.0, 2.0]):
        with pytest.raises(ValueError, match="axes"):
            call(bad)
    with pytest.raises(ValueError, match="no elements"):
        call(np.zeros((0, 3)))
    assert len(call(np.zeros((0, 3, 3)))) == 0


@pytest.mark.parametrize("call", CALLS)
def test_kernels_without_energy(call):
    kernels = np.ones((2, 3, 4, 4))
    kernels[1, 2] = 0
    with pytest.raises(ValueError, match=r"kernel must not be zero .* index \(1, 2\)"):
        call(kernels)
    with pytest.raises(ValueError, match=r"index \(\)"):
        call(np.zeros((4, 4), dtype=complex))


def test_bad_parameters():
    v = np.eye(4)
    for side in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="bandwidth must be positive"):
            characteristic_frequency(v, side)
        with pytest.raises(ValueError, match="bandwidth must be positive"):
            energy_in_window(v, (0, 0), side)
    with pytest.raises(ValueError, match="power must be positive"):
        characteristic_frequency(v, method="centroid", power=0)
    with pytest.raises(ValueError, match=r"method must be .* got 'peak'"):
        characteristic_frequency(v, method="peak")
    for energy in (0.0, 1.1, np.nan):
        with pytest.raises(ValueError, match="energy must be a fraction"):
            bandwidth(v, (0, 0), energy)
    for theta in (0.0, (1.0, 2.0, 3.0), (np.nan, 0.0)):
        with pytest.raises(ValueError, match="theta must be finite pairs"):
            energy_in_window(v, theta, 1.0)
    with pytest.raises(TypeError, match="theta must hold real numbers"):
        energy_in_window(v, (1j, 0), 1.0)
    with pytest.raises(ValueError, match="must broadcast against"):
        energy_in_window(np.ones((3, 2, 2)), np.zeros((2, 2)), 1.0)
    for size in (3, 0, -4):
        for call in (
            lambda s: power_spectrum(v, s),
            lambda s: characteristic_frequency(v, size=s),
            lambda s: energy_in_window(v, (0, 0), 1.0, s),
            lambda s: bandwidth(v, (0, 0), size=s),
        ):
            with pytest.raises(ValueError, match=r"size must be at least|size is -4; expected at least 0"):
                call(size)
    with pytest.raises(TypeError):
        power_spectrum(v, 8.5)


def real_gabor(theta, spread=2.5, size=21):
    n = np.arange(size) - size // 2
    envelope = np.exp(-(n**2) / (2 * spread**2))
    return np.outer(envelope, envelope) * np.cos(theta[0] * n[:, None] + theta[1] * n + 0.3)


def distance_of_real(found, theta):
    """Of two frequencies of a real kernel, modulo 2 pi and sign."""
    return min(np.abs((found - sign * np.array(theta) + np.pi) % (2 * np.pi) - np.pi).max() for sign in (1, -1))


@pytest.mark.parametrize(
    "theta", [(PI, PI), (PI, 1), (1, PI), (PI, 0), (0, PI), (PI - 0.3, 0.5), (2.9, -2.0), (1.5, 3.0)]
)
def test_centroids_of_real_kernels_are_safe_at_the_wrap(theta):
    assert distance_of_real(characteristic_frequency(real_gabor(theta), method="centroid"), theta) < 0.05


def test_a_half_plane_whose_border_cuts_the_peak_moves_the_window():
    theta = (1.5, 0.02)  # almost on the border of the half-plane theta_x > 0
    off = {
        direction: distance_of_real(characteristic_frequency(analytic(real_gabor(theta), direction=direction)), theta)
        for direction in ("x", "auto")
    }
    assert off["x"] > 0.1 and off["auto"] < 0.03
