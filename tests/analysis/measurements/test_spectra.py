"""Power spectra: the models against their formulas, the estimate against a slow Fourier sum and known fields."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from analysis import bundled_crops, estimate_spectrum, flat_spectrum, power_law_spectrum
from analysis.files.pictures import fit
from analysis.measurements.spectra import coarser, gaussian_fields


def estimate(images, size=48, points=49, **options):
    return estimate_spectrum(images, size, points, progress=False, **options)


def noise(count, size, seed=1):
    return np.random.default_rng(seed).standard_normal((count, size, size)).astype(np.float32)


def blocks(spectrum, side):
    """Means over squares of frequencies, in ascending order: statistics without the spread of single bins."""
    n = spectrum.shape[0] // side
    return np.fft.fftshift(spectrum).reshape(n, side, n, side).mean(axis=(1, 3))


# ---- models ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("points", [1, 2, 7, 64])
def test_a_flat_spectrum_is_that_of_white_noise(points):
    spectrum = flat_spectrum(points)
    assert spectrum.shape == (points, points) and spectrum.dtype == np.float64
    assert (spectrum == 1).all()


@pytest.mark.parametrize("points", [2, 3, 32, 63])
@pytest.mark.parametrize("exponent", [2, 1.0, 3.5, 0, -1])
def test_a_power_law_has_its_exponent_and_no_direction(points, exponent):
    spectrum = power_law_spectrum(points, exponent)
    assert spectrum.shape == (points, points)
    assert spectrum[0, 0] == 0 and spectrum.mean() == pytest.approx(1, rel=1e-12)
    k = np.fft.fftfreq(points, 1 / points)
    radius = np.hypot(k[:, None], k)
    radius[0, 0] = 1
    law = spectrum * radius**exponent
    law[0, 0] = law[0, 1]
    np.testing.assert_allclose(law, law[0, 1], rtol=1e-12)


def test_the_mean_of_a_spectrum_is_the_variance_of_a_pixel():
    spectrum = 0.3 * power_law_spectrum(63, 1.5)
    fields = np.fft.ifft2(np.fft.fft2(noise(100, 63)) * np.sqrt(spectrum)).real
    assert spectrum.mean() == pytest.approx(0.3)
    assert fields.var() == pytest.approx(0.3, rel=0.02)


def test_gaussian_fields_have_their_spectrum():
    spectrum = power_law_spectrum(24, 1) * np.linspace(1, 3, 24)[np.abs(np.fft.fftfreq(24, 1 / 24)).astype(int)]
    fields = gaussian_fields(spectrum, 400, np.random.default_rng(1))
    assert fields.shape == (400, 24, 24) and fields.dtype == np.float64
    periodogram = (np.abs(np.fft.fft2(fields)) ** 2).mean(axis=0) / 24**2
    np.testing.assert_allclose(periodogram, spectrum, rtol=0.5, atol=1e-12)
    np.testing.assert_allclose(blocks(periodogram, 6), blocks(spectrum, 6), rtol=0.1)
    np.testing.assert_array_equal(gaussian_fields(spectrum, 2, np.random.default_rng(1)), fields[:2])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: flat_spectrum(0), ValueError, "points is 0; expected at least 1"),
        (lambda: flat_spectrum(3.0), TypeError, "points must be an integer"),
        (lambda: power_law_spectrum(1), ValueError, "points is 1; expected at least 2"),
        (lambda: power_law_spectrum(True), TypeError, "points must be an integer"),
        (lambda: power_law_spectrum(8, np.nan), ValueError, "exponent is nan; expected a number from -20 to 20"),
        (
            lambda: gaussian_fields(np.ones((3, 4)), 1, np.random.default_rng()),
            ValueError,
            r"expected a square",
        ),
        (lambda: gaussian_fields(-np.ones((3, 3)), 1, np.random.default_rng()), ValueError, "spectrum holds -1"),
        (lambda: gaussian_fields(np.ones((3, 3)), 0, np.random.default_rng()), ValueError, "count is 0"),
        (lambda: power_law_spectrum(8, np.inf), ValueError, "exponent is inf"),
    ],
)
def test_bad_models_are_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


# ---- the estimate ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "points"), [(8, 8), (8, 11), (7, 12)])
def test_the_estimate_equals_a_slow_fourier_sum(size, points):
    images = noise(2, size)
    hann = np.sin(np.pi * np.arange(size) / (size - 1)) ** 2
    window = hann[:, None] * hann
    waves = np.exp(-2j * np.pi * np.outer(np.arange(points), np.arange(size)) / points)
    expected = np.zeros((points, points))
    for x in images.astype(np.float64):
        x = (x - np.average(x, weights=window)) * window
        expected += np.abs(waves @ x @ waves.T) ** 2 / (2 * (window**2).sum())
    got = estimate(images, size, points)
    assert got.shape == (points, points) and got.dtype == np.float64
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-12 * expected.max())


def test_white_noise_is_flat():
    got = estimate(0.2 * noise(150, 48))
    assert got.mean() == pytest.approx(0.04, rel=0.02)
    square = blocks(got, 7)
    middle = square[3, 3]  # holds the zero frequency, which lost its mean
    square[3, 3] = 0.04
    np.testing.assert_allclose(square, 0.04, rtol=0.1)
    assert middle == pytest.approx(0.04, rel=0.2)
    assert got[0, 0] < 0.004


def test_a_filtered_field_has_the_spectrum_of_its_filter():
    x = noise(150, 52, seed=2)
    x = x[:, :-1] + x[:, 1:]  # vertical: 4 cos(omega_1 / 2)**2
    x = x[:, 1:-2, :-4] - x[:, 1:-2, 2:-2]  # horizontal: 4 sin(omega_2)**2
    got = estimate(x[..., :48])
    omega = 2 * np.pi * np.fft.fftfreq(49)
    expected = np.outer(4 * np.cos(omega / 2) ** 2, 4 * np.sin(omega) ** 2)
    assert got.mean() == pytest.approx(4, rel=0.03)
    np.testing.assert_allclose(blocks(got, 7), blocks(expected, 7), rtol=0.1, atol=0.15)


def test_a_constant_added_changes_nothing():
    images = np.round(256 * noise(3, 48)) / 256  # so that the sum is exact in single precision
    np.testing.assert_allclose(estimate(images + 2), estimate(images), rtol=1e-9, atol=1e-12)


def test_pictures_of_different_means_do_not_add_a_peak():
    images = 0.01 * noise(4, 48) + np.arange(4, dtype=np.float32)[:, None, None]
    assert estimate(images)[:3, :3].max() < 20 * 1e-4


def test_the_estimate_is_even_and_the_mean_over_pictures():
    images = noise(3, 48)
    got = estimate(images)
    np.testing.assert_allclose(got[1:, 1:], got[:0:-1, :0:-1], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(got, sum(estimate([image]) for image in images) / 3, rtol=1e-12)


def test_images_come_in_any_form(tmp_path):
    images = np.random.default_rng(3).integers(0, 256, (3, 20, 20), dtype=np.uint8)
    for i, pixels in enumerate(images):
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    expected = estimate(list(images), 20, 20)
    for other in (tmp_path, str(tmp_path), sorted(tmp_path.iterdir()), (x for x in images)):
        np.testing.assert_allclose(estimate(other, 20, 20), expected, rtol=1e-12)
    assert estimate(bundled_crops(64)[:2], 64, 64).mean() > 0


def test_pictures_are_brought_to_size():
    image = np.random.default_rng(4).random((40, 60)).astype(np.float32)
    np.testing.assert_array_equal(estimate([image], 16, 20), estimate([fit(image, 16)], 16, 20))


def test_bad_pictures_are_skipped_and_named(tmp_path):
    images = noise(2, 20)
    (tmp_path / "text.png").write_text("not a picture")
    skipped = []
    mixed = [images[0], np.full((20, 20), np.nan), tmp_path / "text.png", images[1]]
    got = estimate(mixed, 20, 20, on_skip=lambda *what: skipped.append(what))
    np.testing.assert_array_equal(got, estimate(images, 20, 20))
    assert [name for name, _ in skipped] == ["array 1", str(tmp_path / "text.png")]
    assert "finite" in skipped[0][1]
    np.testing.assert_array_equal(estimate(mixed, 20, 20), got)  # and without a listener no warning


@pytest.mark.parametrize("size", [1, 2, 3])
def test_tiny_pictures_do_not_divide_by_zero(size):
    assert np.isfinite(estimate(list(noise(2, size)), size, 5)).all()


@pytest.mark.parametrize(
    ("size", "points", "error", "message"),
    [
        (0, 10, ValueError, "size is 0; expected at least 1"),
        (10.0, 10, TypeError, "size must be an integer"),
        (10, 9, ValueError, "points is 9; expected at least 10"),
        (10, 10.5, TypeError, "points must be an integer"),
    ],
)
def test_bad_sizes_are_reported_before_any_image_is_read(size, points, error, message):
    def images():
        raise AssertionError("an image was asked for")
        yield

    with pytest.raises(error, match=message):
        estimate(images(), size, points)


def test_nothing_usable_is_an_error(tmp_path):
    for images in ([], [np.full((20, 20), np.nan)]):
        with pytest.raises(ValueError, match=r"none of the [01] images could be used"):
            estimate(images, 20, 20)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        estimate(tmp_path / "missing", 20, 20)
    (tmp_path / "file").write_text("")
    with pytest.raises(NotADirectoryError, match="not a folder"):
        estimate(tmp_path / "file", 20, 20)
    with pytest.raises(ValueError, match="no images"):
        estimate(tmp_path, 20, 20)


def test_the_progress_bar_can_be_silenced(capsys):
    estimate_spectrum(noise(2, 20), 20, 20)
    assert "2/2" in capsys.readouterr().err
    estimate(noise(2, 20), 20, 20)
    assert capsys.readouterr().err == ""


def test_the_matrix_of_colours_has_the_luminance_in_it():
    pictures = [np.random.default_rng(i).random((20, 20, 3)) for i in range(3)]
    spectra = estimate_spectrum(pictures, 20, 31, progress=False, colour=True)
    assert spectra.shape == (3, 3, 31, 31)
    weights = np.array([0.299, 0.587, 0.114])
    luminance = np.einsum("k,klyx,l->yx", weights, spectra, weights)
    expected = estimate_spectrum(pictures, 20, 31, progress=False)
    np.testing.assert_allclose(luminance, expected, rtol=1e-4, atol=1e-9)
    np.testing.assert_allclose(spectra, spectra.conj().swapaxes(0, 1), atol=1e-12)


def test_what_the_network_leaves_of_the_means_stands_at_zero_frequency():
    rng = np.random.default_rng(0)
    levels = [0.2, 0.5, 0.9]
    pictures = [level + 0.1 * (rng.random((20, 20)) - 0.5) for level in levels]
    without = estimate_spectrum(pictures, 20, 31, progress=False)
    spectrum = estimate_spectrum(pictures, 20, 31, progress=False, level=0.4)
    assert spectrum[0, 0] / 31**2 == pytest.approx(np.mean((np.array(levels) - 0.4) ** 2), rel=0.05)
    assert without[0, 0] < 1e-6 * spectrum[0, 0]
    np.testing.assert_allclose(spectrum.ravel()[1:], without.ravel()[1:])
    colour = [np.stack([p, p, 2 * p], axis=-1) for p in pictures]
    spectra = estimate_spectrum(colour, 20, 31, progress=False, colour=True, level=(0.4, 0.4, 0.8))
    expected = np.array([[1, 1, 2], [1, 1, 2], [2, 2, 4]]) * spectrum[0, 0]
    np.testing.assert_allclose(spectra[:, :, 0, 0], expected, rtol=1e-5)


def test_a_coarser_spectrum_holds_the_means_of_squares_about_its_frequencies():
    fine = power_law_spectrum(45, 1.0)
    coarse = coarser(fine, 3)
    k = np.rint(15 * np.fft.fftfreq(15)).astype(int)
    for y, x in np.ndindex(15, 15):
        rows, columns = (3 * k[i] + np.arange(-1, 2) for i in (y, x))
        expected = fine[np.ix_(rows, columns)].mean() if y or x else 0
        assert coarse[y, x] == pytest.approx(expected)
    np.testing.assert_array_equal(coarser(np.stack([fine, 2 * fine]), 3)[1], 2 * coarse)
    np.testing.assert_array_equal(coarser(fine, 1), fine)
    for factor in (2, 7):
        with pytest.raises(ValueError, match=f"factor is {factor}"):
            coarser(fine, factor)
