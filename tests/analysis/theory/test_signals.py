"""Band-limited fields against full FFTs, rolled and translated fields, and the equality case of Theorem 1."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import fft

from analysis import translate
from analysis.theory import BandLimited, band_limited, cmod_bound, on_bins, two_waves
from analysis.theory.signals import KINDS

PI = np.pi


def norm(x):
    return np.sqrt((np.abs(x) ** 2).sum())


def energies(field):
    """Energy of every bin of a full FFT, relative to the whole; in the order of fftfreq."""
    energy = np.abs(fft.fft2(field)) ** 2
    return energy / energy.sum()


def outside(field, theta, kappa):
    """Relative energy outside the half-open square, frequencies mod 2 pi, by a full FFT."""
    n = field.shape[-1]
    omega = 2 * PI * fft.fftfreq(n)
    inside = [((omega - (t - kappa / 2) + 1e-10) % (2 * PI)) < kappa for t in theta]
    return energies(field)[~np.logical_and.outer(*inside)].sum()


def example(seed=1, stride=3, size=30, count=4, kind="gaussian", widest=PI):
    """Random fields with squares inside (-widest, widest), no bin of them at -pi."""
    rng = np.random.default_rng(seed)
    kappa = rng.uniform(0.5, 1, count) * PI / stride
    theta = rng.uniform(-1, 1, (count, 2)) * (widest - 4 * PI / size - kappa / 2)[:, None]
    return band_limited(stride, size, theta, kappa, rng, kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("stride", "windows"), [(1, 8), (2, 7), (3, 6), (5, 4)])
def test_spectrum_lies_in_the_square(kind, stride, windows):
    rng = np.random.default_rng(stride)
    size = 2 * stride * windows
    kappa = rng.uniform(2 * PI / size, PI / stride, 12)
    theta = rng.uniform(-PI, PI, (12, 2))
    fields = band_limited(stride, size, theta, kappa, rng, kind)
    z = fields.field()
    assert z.shape == (12, size, size) and z.dtype == np.complex128
    assert fields.wraps.any()
    for b in range(12):
        assert norm(z[b]) > 0
        assert outside(z[b], theta[b], kappa[b]) < 1e-20
    np.testing.assert_array_equal(fields.theta, theta)
    np.testing.assert_array_equal(fields.kappa, kappa)


@pytest.mark.parametrize("lowest", [-16, -9, -3, 0, 5, 12, 15])
@pytest.mark.parametrize("bins", [1, 2, 3, 4])
def test_square_holds_its_lower_border_and_not_its_upper_one(lowest, bins):
    stride, size = 4, 32
    step = 2 * PI / size
    # theta -+ kappa / 2 are the bins `lowest` and `lowest + bins`, up to rounding.
    theta, kappa = step * (lowest + bins / 2), step * bins
    for nudge in (0.0, 1e-15, -1e-15):
        fields = band_limited(stride, size, (theta + nudge, theta + nudge), kappa, np.random.default_rng(2))
        energy = energies(fields.field()[0])
        used = {(int(y), int(x)) for y, x in np.argwhere(energy > 1e-12)}
        expected = {k % size for k in range(lowest, lowest + bins)}
        assert used == {(y, x) for y in expected for x in expected}


@pytest.mark.parametrize(("stride", "windows"), [(1, 5), (2, 4), (3, 7), (4, 3), (5, 6)])
def test_widest_square_holds_as_many_bins_as_fit_and_none_alias(stride, windows):
    rng = np.random.default_rng(3)
    size = 2 * stride * windows
    theta = rng.uniform(-PI, PI, (20, 2))
    theta[:10] = PI / size * rng.integers(-size, size, (10, 2))  # on bins, and half-way between them
    fields = band_limited(stride, size, theta, np.full(20, PI / stride), rng)
    for z in fields.field():
        bins = np.argwhere(energies(z) > 1e-14)
        assert len(bins) == windows**2
        assert len(np.unique(bins % windows, axis=0)) == windows**2


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_bins_are_congruent_for_any_width(kind):
    rng = np.random.default_rng(4)
    stride, windows = 2, 6
    size = 2 * stride * windows
    kappa = rng.uniform(2 * PI / size, PI / stride, 30)
    fields = band_limited(stride, size, rng.uniform(-PI, PI, (30, 2)), kappa, rng, kind)
    for z in fields.field():
        bins = np.argwhere(energies(z) > 1e-14)
        assert len(np.unique(bins % windows, axis=0)) == len(bins)
        # Lemma 0, which follows from it
        assert 2 * stride * norm(z[:: 2 * stride, :: 2 * stride]) == pytest.approx(norm(z), rel=1e-12)


def test_spectrum_holds_the_fourier_coefficients():
    fields = example()
    k = fields.spectrum.shape[-1]
    assert fields.frequencies.shape == (4, 2, k)
    coefficients = fft.fft2(fields.field(), norm="forward")
    for b in range(4):
        rows, columns = (np.arange(first, first + k) % fields.size for first in fields.first[b])
        np.testing.assert_allclose(coefficients[b][np.ix_(rows, columns)], fields.spectrum[b], atol=1e-13)
        for axis, bins in enumerate((rows, columns)):
            np.testing.assert_allclose(fields.frequencies[b, axis] % (2 * PI), 2 * PI * bins / fields.size, atol=1e-12)


def test_values_at_points_are_sums_of_waves():
    fields = example(count=2)
    rows, columns = [0.3, -2.0, 40.5], [1.0, 7.25]
    ours = fields.at(rows, columns)
    assert ours.shape == (2, 3, 2)
    for b in range(2):
        for i, y in enumerate(rows):
            for j, x in enumerate(columns):
                total = 0
                for k, omega_y in enumerate(fields.frequencies[b, 0]):
                    for n, omega_x in enumerate(fields.frequencies[b, 1]):
                        total += fields.spectrum[b, k, n] * np.exp(1j * (omega_y * y + omega_x * x))
                assert ours[b, i, j] == pytest.approx(total, abs=1e-12)
    z = fields.field()
    np.testing.assert_allclose(z, fields.at(np.arange(30) + 30, np.arange(30) - 60), atol=1e-11)  # periodic


@pytest.mark.parametrize("q", [0, 1, 2, 4])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_samples_are_the_windows_of_the_field(q, stride):
    fields = example(seed=5, stride=stride, size=2 * stride * 5, widest=2 * PI)
    z = fields.field()
    ours, k = fields.windows(q), 2 * q + 1
    assert ours.shape == (4, 5 * k, 5 * k)
    for i in range(k):
        for j in range(k):
            p = stride * (i - q), stride * (j - q)
            expected = np.roll(z, (-p[0], -p[1]), axis=(1, 2))[:, :: 2 * stride, :: 2 * stride]
            np.testing.assert_allclose(ours[:, i::k, j::k], expected, atol=1e-11)


@pytest.mark.parametrize("kind", KINDS)
def test_whole_shifts_roll_the_field_even_where_the_square_wraps(kind):
    rng = np.random.default_rng(6)
    theta = rng.uniform(-PI, PI, (12, 2))
    theta[0], theta[1], theta[2] = (PI, 0.5), (-PI, -PI), (3.0, 9.0)
    fields = band_limited(2, 24, theta, np.full(12, PI / 2), rng, kind)
    assert fields.wraps[:3].all() and not fields.wraps.all()
    shift = rng.integers(-30, 30, (12, 2)).astype(float)
    moved = fields.translated(shift)
    z, ours = fields.field(), moved.field()
    for b in range(12):
        expected = np.roll(z[b], shift[b].astype(int), axis=(0, 1))
        np.testing.assert_allclose(ours[b], expected, atol=1e-11)
    assert isinstance(moved, BandLimited)
    assert (moved.stride, moved.size) == (2, 24)
    for name in ("theta", "kappa", "first"):
        np.testing.assert_array_equal(getattr(moved, name), getattr(fields, name))


@pytest.mark.parametrize("kind", KINDS)
def test_fractional_shifts_equal_the_translation_of_images(kind):
    fields = example(seed=7, kind=kind)
    assert not fields.wraps.any()
    shift = np.array([(0.5, 0.5), (0.3, -1.75), (0.0, 12.2), (-7.0, 0.01)])
    z, ours = fields.field(), fields.translated(shift).field()
    for b, u in enumerate(shift):
        expected = translate(z[b].real, u) + 1j * translate(z[b].imag, u)
        np.testing.assert_allclose(ours[b], expected, atol=1e-11)


def test_translations_add_up_and_move_values_along():
    fields = example(seed=8)
    np.testing.assert_array_equal(fields.translated((0, 0)).spectrum, fields.spectrum)
    once = fields.translated((0.7, -2.1)).translated((1.3, 0.6))
    np.testing.assert_allclose(once.spectrum, fields.translated((2, -1.5)).spectrum, atol=1e-12)
    # x(n - u)
    moved = fields.translated((0.7, -2.1)).at([5.7], [3.0])
    np.testing.assert_allclose(moved, fields.at([5.0], [5.1]), atol=1e-12)


def test_fractional_shift_along_an_axis_that_wraps_is_an_error():
    rng = np.random.default_rng(9)
    fields = band_limited(2, 24, [(0.2, 0.3), (3.0, -1.0)], [0.9, 0.8], rng)
    assert fields.wraps.tolist() == [False, True]
    with pytest.raises(ValueError, match=r"theta = \(3, -1\) .* the shift \(0\.5, 2\) is fractional"):
        fields.translated([(0.5, 0.5), (0.5, 2)])
    with pytest.raises(ValueError, match=r"the shift \(0\.5, 0\.5\) is fractional"):
        fields.translated((0.5, 0.5))
    moved = fields.translated(
        [(0.5, 0.5), (2, -2.5)]
    ).field()  # the square wraps vertically, the fraction is horizontal
    np.testing.assert_allclose(np.linalg.norm(moved, axis=(1, 2)), np.linalg.norm(fields.field(), axis=(1, 2)))


def test_on_the_nyquist_bin_real_images_break_theorem_1_and_the_complex_translation_does_not():
    # cos(pi n1) cos(2 pi n2 / N): its response fills the bin -pi, which half a pixel turns to nothing.
    size, stride, kappa = 16, 2, PI / 2
    n = np.arange(size)
    image = np.outer(np.cos(PI * n), np.cos(2 * PI * n / size))
    w = np.outer(np.exp(-1j * PI * n), np.exp(1j * 2 * PI * n / size)) / size**2  # a filter of the one bin (-8, 1)
    bound = float(cmod_bound(kappa, (0.5, 0), stride))
    c, moved = (
        np.abs(np.fft.ifft2(np.fft.fft2(x) * np.fft.fft2(w)))[::4, ::4] for x in (image, translate(image, (0.5, 0)))
    )
    assert norm(moved - c) == pytest.approx(norm(c)) and norm(c) > 0.1 and bound < 0.4
    theta = (-PI + kappa / 2, 0.0)
    with pytest.raises(ValueError, match="reaches pi along an axis where the shift"):
        cmod_bound(kappa, (0.5, 0), stride, theta=theta)
    assert cmod_bound(kappa, (1, 0.5), stride, theta=theta) > 0  # no fraction along that axis
    wave = on_bins(stride, size, (-8, 0), np.array([[[0, 1], [0, 0]]]))
    shifted = wave.translated((0.5, 0))
    np.testing.assert_allclose(np.abs(shifted.field()), np.abs(wave.field()), atol=1e-12)


def test_square_that_touches_pi_does_not_wrap():
    rng = np.random.default_rng(10)
    kappa = PI / 3
    theta = [(PI - kappa / 2, 0), (0, -PI + kappa / 2), (PI - kappa / 2 + 1e-3, 0), (0, -PI + kappa / 2 - 1e-3)]
    assert band_limited(3, 30, theta, np.full(4, kappa), rng).wraps.tolist() == [False, False, True, True]


@pytest.mark.parametrize(
    ("shift", "error", "message"),
    [
        ((0, np.nan), ValueError, "^shift holds a value that is not finite$"),
        ((1j, 0), TypeError, "^shift is complex; expected real numbers$"),
        ((1, 2, 3), ValueError, r"^shift has shape \(3,\); expected \(2,\) or "),
        (np.zeros((3, 2)), ValueError, r"^shift has shape \(3, 2\)"),
    ],
)
def test_errors_of_the_shift(shift, error, message):
    with pytest.raises(error, match=message):
        example().translated(shift)


def test_gaussian_fields_are_circular():
    rng = np.random.default_rng(11)
    count = 4000
    fields = band_limited(2, 16, (0.9, -1.3), np.full(count, 1.2), rng)
    z = fields.at([0, 3, 8], [0, 5]).reshape(count, -1)
    bins = np.count_nonzero(fields.spectrum[0])
    power = (np.abs(z) ** 2).mean(axis=0)
    np.testing.assert_allclose(power, 2 * bins, rtol=0.1)
    # E Z^2 = 0 and E Z = 0, to five standard errors
    assert (np.abs((z**2).mean(axis=0)) < 5 * np.sqrt(2) * power / np.sqrt(count)).all()
    assert (np.abs(z.mean(axis=0)) < 5 * np.sqrt(power / count)).all()
    # normal: E|Z|^4 = 2 (E|Z|^2)^2
    np.testing.assert_allclose((np.abs(z) ** 4).mean(axis=0), 2 * power**2, rtol=0.2)
    # independent coefficients: no two of a field agree
    assert len(np.unique(fields.spectrum[fields.spectrum != 0])) == count * bins


def test_pulse_has_equal_moduli_in_phase_at_one_point():
    fields = example(seed=12, count=6, kind="pulse")
    for b, spectrum in enumerate(fields.spectrum):
        rows, columns = np.argwhere(spectrum).max(axis=0) + 1
        used = spectrum[:rows, :columns]
        np.testing.assert_allclose(np.abs(used), 1, atol=1e-12)
        # Phases that are linear in the frequency put the peak where they cancel.
        y, x = (-np.angle(used[1, 0] / used[0, 0]), -np.angle(used[0, 1] / used[0, 0]))
        step = 2 * PI / fields.size
        peak = fields.at([y / step], [x / step])[b, 0, 0]
        assert abs(peak) == pytest.approx(rows * columns, rel=1e-10)
    points = {tuple(np.round(spectrum[:2, 0], 6)) for spectrum in fields.spectrum}
    assert len(points) == 6  # each at random


def test_sparse_has_one_to_four_coefficients():
    rng = np.random.default_rng(13)
    fields = band_limited(1, 16, rng.uniform(-2, 2, (200, 2)), np.full(200, PI), rng, "sparse")
    counts = (fields.spectrum != 0).sum(axis=(1, 2))
    assert set(counts.tolist()) == {1, 2, 3, 4}


def test_two_waves_of_a_random_square_lie_in_its_opposite_corners():
    rng = np.random.default_rng(14)
    stride, windows = 2, 8
    size = 2 * stride * windows
    kappa = rng.uniform(0.3, 1, 20) * PI / stride
    fields = band_limited(stride, size, rng.uniform(-PI, PI, (20, 2)), kappa, rng, "two waves")
    full = band_limited(stride, size, fields.theta, kappa, np.random.default_rng(15), "gaussian")
    for spectrum, all_bins in zip(fields.spectrum, full.spectrum, strict=True):
        corner = np.argwhere(all_bins).max(axis=0)
        assert np.argwhere(spectrum).tolist() == [[0, 0], corner.tolist()]
        np.testing.assert_allclose(np.abs(spectrum[[0, corner[0]], [0, corner[1]]]), 1, atol=1e-12)


def test_same_generator_state_gives_the_same_fields():
    for kind in KINDS:
        a, b, c = (example(seed=seed, kind=kind).spectrum for seed in (16, 16, 17))
        np.testing.assert_array_equal(a, b)
        assert a.shape != c.shape or not np.allclose(a, c)


def ratio(fields, shift):
    """Left side of Theorem 1 over the norm of CMod, from full fields."""
    d = 2 * fields.stride
    c, moved = (np.abs(f.field()[0, ::d, ::d]) for f in (fields, fields.translated(shift)))
    return norm(moved - c) / norm(c)


def test_two_waves_attain_the_sharp_constant():
    # theory.md 3.1: m = 2, m kappa = pi / 3, u = (1/2, 1/2); kappa = 2 pi / 12
    fields = two_waves(2, 12, (0, 0), 2)
    assert fields.kappa == pytest.approx(PI / 6)
    assert fields.theta[0] == pytest.approx((PI / 12, PI / 12))
    assert ratio(fields, (0.5, 0.5)) == pytest.approx(0.261052384, abs=1e-9)
    assert ratio(fields, (0.5, 0.5)) == pytest.approx(2 * np.sin(PI / 24), abs=1e-13)
    assert ratio(fields, (0.5, -0.5)) == pytest.approx(0, abs=1e-13)  # along the ridges of the envelope


@pytest.mark.parametrize(
    ("stride", "size", "first", "bins", "shift"),
    [
        (2, 12, (2, -5), 2, (0.25, 0.25)),
        (1, 24, (-7, 3), 5, (0.1, 0.4)),
        (3, 36, (4, 4), 3, (-0.3, -0.2)),
        (4, 64, (-20, 9), 2, (1, 1)),
    ],
)
def test_two_waves_attain_it_anywhere(stride, size, first, bins, shift):
    fields = two_waves(stride, size, first, bins)
    tau = 2 * PI * (bins - 1) / size * np.abs(shift).sum()
    assert ratio(fields, shift) == pytest.approx(2 * np.sin(tau / 4), rel=1e-12)


def test_on_bins_is_the_smallest_closed_square():
    rng = np.random.default_rng(18)
    spectrum = rng.standard_normal((3, 4, 4)) + 1j * rng.standard_normal((3, 4, 4))
    fields = on_bins(2, 16, (-3, 5), spectrum)
    assert fields.kappa == pytest.approx(np.full(3, 2 * PI * 3 / 16))
    np.testing.assert_allclose(fields.theta, np.tile([-1.5, 6.5], (3, 1)) * 2 * PI / 16)
    assert (fields.kappa <= PI / 2).all()
    coefficients = fft.fft2(fields.field(), norm="forward")
    np.testing.assert_allclose(coefficients[:, [-3, -2, -1, 0]][:, :, [5, 6, 7, 8]], spectrum, atol=1e-13)
    assert (np.abs(coefficients) > 1e-10).sum() == 3 * 16
    for axis in range(2):
        middle, reach = fields.theta[:, axis, None], fields.kappa[:, None] / 2
        assert (np.abs(fields.frequencies[:, axis] - middle) <= reach + 1e-12).all()
    one = on_bins(2, 16, (1, 2), np.ones((1, 1, 1)))
    assert one.kappa[0] == 0 and one.theta[0] == pytest.approx((PI / 8, PI / 4))


@pytest.mark.parametrize(("sign", "expected"), [(1, np.sqrt(2)), (-1, 0)])
def test_opposite_borders_of_the_closed_square_break_lemma_0(sign, expected):
    stride, size = 2, 24
    n = np.arange(size)
    apart = size // (2 * stride)  # bins: pi / m
    z = np.exp(2j * PI * n / size) + sign * np.exp(2j * PI * (1 + apart) * n / size)
    z = np.outer(np.exp(2j * PI * n / size), z)
    assert 2 * stride * norm(z[:: 2 * stride, :: 2 * stride]) / norm(z) == pytest.approx(expected, abs=1e-12)
    half_open = band_limited(stride, size, (0.3, 0.3), PI / stride, np.random.default_rng(1))
    assert half_open.spectrum.shape[-1] == apart  # of the two borders one is left out


def test_on_bins_refuses_aliases():
    on_bins(2, 16, (0, 0), np.ones((1, 4, 4)))
    with pytest.raises(
        ValueError, match=r"^5 bins of a grid of 16 pixels alias when sampled every 4; Lemma 0 allows 4 at most$"
    ):
        on_bins(2, 16, (0, 0), np.ones((1, 5, 5)))


@pytest.mark.parametrize(
    ("size", "shape"), [pytest.param(10, (1, 2, 2), id="size"), (12, (2, 2)), (12, (1, 2, 3)), (12, (1, 3, 2))]
)
def test_on_bins_refuses_what_it_cannot_sample(size, shape):
    with pytest.raises(ValueError, match=r"^(size|spectrum) "):
        on_bins(2, size, (0, 0), np.ones(shape))


@pytest.mark.parametrize(
    ("bins", "error", "message"),
    [
        (1, ValueError, "bins is 1; expected 2 to 4"),
        (5, ValueError, "bins is 5; expected 2 to 4"),
        (2.0, TypeError, "bins must be an integer, not float"),
    ],
)
def test_errors_of_two_waves(bins, error, message):
    with pytest.raises(error, match=rf"^{message}$"):
        two_waves(2, 16, (0, 0), bins)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"size": 18}, ValueError, r"size is 18 pixels; expected a multiple of 2 m = 4, so that sampling is periodic$"),
        ({"size": 2}, ValueError, "size is 2; expected at least 4$"),
        ({"size": 16.0}, TypeError, "size must be an integer, not float$"),
        ({"stride": 0}, ValueError, "stride is 0; expected at least 1$"),
        ({"stride": True}, TypeError, "stride must be an integer, not bool$"),
        ({"kappa": 1.6}, ValueError, r"kappa is 1\.6 rad/sample; the theorems suppose kappa <= pi / m = 1\.5708 for "),
        ({"kappa": -0.5}, ValueError, r"kappa is -0\.5 rad/sample"),
        ({"kappa": [1, np.nan]}, ValueError, "kappa holds a value that is not finite$"),
        ({"kappa": 1j}, TypeError, "kappa is complex; expected real numbers$"),
        ({"theta": (1, np.inf)}, ValueError, "theta holds a value that is not finite$"),
        ({"theta": (1, 1j)}, TypeError, "theta is complex; expected real numbers$"),
        ({"kind": "noise"}, ValueError, "unknown kind 'noise'; expected one of gaussian, pulse, sparse, two waves$"),
        (
            {"theta": (0.2, 0.2), "kappa": 0.01},
            ValueError,
            r"no frequency of a grid of 16 pixels lies in the square of side kappa = 0\.01 .* theta = \(0\.2, 0\.2\)",
        ),
        ({"theta": [(0, 0), (0, 0.2)], "kappa": [0.1, 0.1]}, ValueError, r"no frequency .* theta = \(0, 0\.2\) "),
        ({"kappa": 0.0}, ValueError, "no frequency of a grid of 16 pixels lies in the square of side kappa = 0 "),
    ],
)
def test_errors(changes, error, message):
    arguments = {"stride": 2, "size": 16, "theta": (0, 0), "kappa": 0.8, "kind": "gaussian"} | changes
    with pytest.raises(error, match=rf"^{message}"):
        band_limited(rng=np.random.default_rng(0), **arguments)


def test_more_errors():
    with pytest.raises(ValueError, match=r"^kappa has shape \(1, 2\); expected \(B,\)"):
        band_limited(2, 16, (0, 0), [[0.8, 0.8]], np.random.default_rng(0))
    with pytest.raises(ValueError, match=r"^spectrum holds a coefficient that is not finite"):
        on_bins(2, 16, (0, 0), np.full((1, 2, 2), np.nan))
    with pytest.raises(ValueError, match=r"^q is -1; expected at least 0"):
        example().windows(-1)
    with pytest.raises(TypeError, match=r"^first is "):
        on_bins(2, 16, (0.7, 0), np.ones((1, 2, 2)))
