"""RMax and CMod against plain loops, scipy's maximum filter, closed forms, and the theory that predicts them."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import maximum_filter
from scipy.signal import correlate2d

from analysis import cmod, gamma, packet_pool, rmax
from analysis.measurements.rmax_cmod import pool, smallest_side, strided_correlation, valid_region
from wavelets import DualTreePackets2D, analytic


def slow_responses(image, kernel, stride):
    """Cross-correlation on the valid region by explicit sums."""
    (H, W), (h, w) = image.shape, kernel.shape
    rows, columns = range(0, H - h + 1, stride), range(0, W - w + 1, stride)
    out = np.empty((len(rows), len(columns)), np.result_type(kernel, float))
    for i, y in enumerate(rows):
        for j, x in enumerate(columns):
            out[i, j] = sum(image[y + a, x + b] * kernel[a, b] for a in range(h) for b in range(w))
    return out


def slow_pool(z, q):
    """Window maxima of the real part and modulus at the centre, one window at a time."""
    tops, lefts = (range(0, n - 2 * q, 2) for n in z.shape)
    r, c = (np.empty((len(tops), len(lefts))) for _ in range(2))
    for i, top in enumerate(tops):
        for j, left in enumerate(lefts):
            r[i, j] = max(z[top + a, left + b].real for a in range(2 * q + 1) for b in range(2 * q + 1))
            c[i, j] = abs(z[top + q, left + q])
    return r, c


def gabor(theta, sigma, size):
    t = np.arange(size) - (size - 1) / 2
    y, x = t[:, None], t
    return np.exp(-(y**2 + x**2) / (2 * sigma**2) + 1j * (theta[0] * y + theta[1] * x))


def noise(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape)


# ---- loops ----------------------------------------------------------------------------------------------------------


@pytest.mark.nojit
@pytest.mark.parametrize("q", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
@pytest.mark.parametrize(("size", "kernel"), [((25, 26), (3, 4)), ((24, 31), (4, 1)), ((22, 23), (5, 3))])
def test_equal_plain_loops(size, kernel, stride, q):
    x, w = noise(*size), noise(*kernel, seed=2) + 1j * noise(*kernel, seed=3)
    r, c = slow_pool(slow_responses(x, w, stride), q)
    np.testing.assert_allclose(rmax(x, w, stride, q), r, atol=1e-12)
    np.testing.assert_allclose(cmod(x, w, stride, q), c, atol=1e-12)
    np.testing.assert_allclose(rmax(x, w.real, stride, q), r, atol=1e-12)  # only the real part counts
    h, w_ = ((-(-(n - k + 1) // stride) - 2 * q - 1) // 2 + 1 for n, k in zip(size, kernel, strict=True))
    assert r.shape == (h, w_)  # as the docstring of rmax says


@given(
    st.integers(1, 9), st.integers(1, 9), st.integers(0, 14), st.integers(0, 14), st.integers(1, 4), st.integers(0, 2)
)
@settings(max_examples=60)
def test_any_sizes_equal_plain_loops(h, w, extra_y, extra_x, stride, q):
    rng = np.random.default_rng(4)
    x = rng.standard_normal((h + extra_y, w + extra_x))
    kernel = rng.standard_normal((h, w)) + 1j * rng.standard_normal((h, w))
    z = slow_responses(x, kernel, stride)
    if min(z.shape) < 2 * q + 1:
        for operator in (rmax, cmod):
            with pytest.raises(ValueError, match=f"one pooling window for q = {q}: the image is too small"):
                operator(x, kernel, stride, q)
        return
    r, c = slow_pool(z, q)
    np.testing.assert_allclose(rmax(x, kernel, stride, q), r, atol=1e-12)
    np.testing.assert_allclose(cmod(x, kernel, stride, q), c, atol=1e-12)


@pytest.mark.nojit
def test_batches_and_dtypes():
    x, w = noise(2, 3, 20, 21), noise(4, 5, seed=2) + 1j * noise(4, 5, seed=3)
    for operator in (rmax, cmod):
        whole = operator(x, w, 2)
        assert whole.shape == (2, 3, 4, 4) and whole.dtype == np.float64
        for i in range(2):
            for j in range(3):
                np.testing.assert_allclose(operator(x[i, j], w, 2), whole[i, j], atol=1e-13)
        for kernel in (w, w.astype(np.complex64)):
            single = operator(x.astype(np.float32), kernel, 2)
            assert single.dtype == np.float32
            np.testing.assert_allclose(single, whole, atol=2e-5)
        assert operator((x * 9).astype(np.int16), w, 2).dtype == np.float64
        np.testing.assert_allclose(operator(x[:1], w, 2), whole[:1], atol=1e-13)
        np.testing.assert_allclose(operator(np.asfortranarray(x), w, 2), whole, atol=1e-13)
        np.testing.assert_allclose(operator(x[0, 0].tolist(), w.tolist(), 2), whole[0, 0], atol=1e-13)
    kept = x.copy(), w.copy()
    rmax(x, w, 2), cmod(x, w, 2)
    np.testing.assert_array_equal(x, kept[0])
    np.testing.assert_array_equal(w, kept[1])


@pytest.mark.nojit
def test_image_of_the_size_of_the_kernel_has_one_response():
    x, w = noise(6, 7), noise(6, 7, seed=2)
    assert rmax(x, w, 3, q=0) == pytest.approx((x * w).sum())
    assert cmod(x, w, 3, q=0) == pytest.approx(abs((x * w).sum()))


@pytest.mark.nojit
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_correlation_equals_scipy_and_does_not_conjugate(stride):
    x, w = noise(30, 27), noise(7, 6, seed=2) + 1j * noise(7, 6, seed=3)
    expected = correlate2d(x, w.conj(), mode="valid")[::stride, ::stride]  # scipy conjugates its second argument
    ours = strided_correlation(x, w, stride)
    np.testing.assert_allclose(ours, expected, atol=1e-12)
    assert ours.shape == tuple(-(-(n - k + 1) // stride) for n, k in zip((30, 27), (7, 6), strict=True))
    assert np.isrealobj(strided_correlation(x, w.real, stride))


# ---- the pooling layer of a network ---------------------------------------------------------------------------------


@pytest.mark.nojit
@pytest.mark.parametrize("q", [0, 1, 2, 3])
@pytest.mark.parametrize("size", [(17, 18), (16, 23), (7, 7)])
def test_is_a_pooling_layer_of_kernel_2q_plus_1_stride_2_and_no_padding(size, q):
    z = noise(*size) + 1j * noise(*size, seed=2)
    h, w = ((n - (2 * q + 1)) // 2 + 1 for n in size)
    pooled = maximum_filter(z.real, size=2 * q + 1, mode="constant", cval=np.inf)[q::2, q::2][:h, :w]
    r, c = pool(z, q)
    np.testing.assert_array_equal(r, pooled)
    np.testing.assert_allclose(c, np.abs(z[q::2, q::2][:h, :w]), rtol=1e-15)


@pytest.mark.nojit
@pytest.mark.parametrize("bias", [-1.3, 0.0, 0.7])
def test_bias_and_relu_commute_with_max_pooling(bias):
    # theory.md 3.6: convolution, bias, ReLU, max pool = convolution, max pool, bias, ReLU; a scale only if positive.
    x, kernel = noise(40, 41), noise(5, 5, seed=2)
    y = strided_correlation(x, kernel, 2)
    after = np.maximum(rmax(x, kernel, 2) + bias, 0)
    np.testing.assert_allclose(pool(np.maximum(y + bias, 0))[0], after, atol=1e-14)
    np.testing.assert_allclose(pool(2.5 * y + bias)[0], 2.5 * rmax(x, kernel, 2) + bias, atol=1e-13)
    assert np.abs(pool(-y)[0] + rmax(x, kernel, 2)).max() > 1


@pytest.mark.nojit
def test_rmax_never_exceeds_the_largest_modulus_and_both_scale():
    x, w = noise(40, 41), gabor((0.9, -0.4), 2, 9)
    r, c = rmax(x, w, 2), cmod(x, w, 2)
    np.testing.assert_allclose(rmax(3 * x, w, 2), 3 * r, atol=1e-12)
    np.testing.assert_allclose(cmod(-3 * x, w, 2), 3 * c, atol=1e-12)
    np.testing.assert_allclose(cmod(x, w * np.exp(0.7j), 2), c, atol=1e-12)
    np.testing.assert_allclose(cmod(x, w.conj(), 2), c, atol=1e-12)  # the half-plane does not matter
    assert (rmax(x, w, 2, q=0) <= cmod(x, w, 2, q=0) + 1e-12).all()  # Re z <= |z| on the same centre


# ---- closed forms, and the same centres -----------------------------------------------------------------------------


@pytest.mark.nojit
@pytest.mark.parametrize("q", [0, 1, 2])
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_a_growing_wave_has_closed_forms_on_known_centres(stride, q):
    # x[n] = Re exp(<a + i theta, n>): the responses are geometric sums, and the growth gives every centre away.
    a, theta, phi = np.array([0.011, -0.017]), np.array([0.9, -0.5]), 0.4
    rate = a + 1j * theta
    y, x = np.arange(53)[:, None], np.arange(60)
    image = np.exp(rate[0] * y + rate[1] * x + 1j * phi).real
    k = np.arange(8)
    kernel = np.exp(-1j * (theta[0] * k[:, None] + theta[1] * k))

    def geometric(z):
        return (1 - z**8) / (1 - z)

    def responses(n_y, n_x):
        plus = np.prod([geometric(np.exp(s - 1j * t)) for s, t in zip(rate, theta, strict=True)])
        minus = np.prod([geometric(np.exp(np.conj(s) - 1j * t)) for s, t in zip(rate, theta, strict=True)])
        wave = np.exp(rate[0] * n_y + rate[1] * n_x + 1j * phi)
        return (plus * wave + minus * wave.conj()) / 2

    c = cmod(image, kernel, stride, q)
    centre_y, centre_x = (stride * (2 * np.arange(n) + q) for n in c.shape)
    grid = centre_y[:, None], centre_x
    np.testing.assert_allclose(c, np.abs(responses(*grid)), rtol=1e-10)
    p = stride * np.arange(-q, q + 1)
    window = [responses(grid[0] + p_y, grid[1] + p_x).real for p_y in p for p_x in p]
    np.testing.assert_allclose(rmax(image, kernel, stride, q), np.max(window, axis=0), atol=1e-9)


@pytest.mark.nojit
@pytest.mark.parametrize("index", [(1, 3), (4, 4), (0, 2), (5, 6)])
def test_plane_wave_through_an_exponential_kernel(index):
    # Frequencies on the grid of the 16-point kernel: the mirror image drops out, and the modulus is 128 everywhere.
    theta = 2 * np.pi * np.array(index) / 16
    y, x = np.arange(50)[:, None], np.arange(47)
    kernel = np.exp(-1j * (theta[0] * y[:16] + theta[1] * x[:16]))
    for phi in (0.0, 0.3, 2.0):
        image = np.cos(theta[0] * y + theta[1] * x + phi)
        for m in (1, 2, 3):
            c = cmod(image, kernel, m)
            np.testing.assert_allclose(c, 128, rtol=1e-12)
            centre = m * (2 * np.arange(c.shape[0])[:, None] + 1), m * (2 * np.arange(c.shape[1]) + 1)
            phase = phi + theta[0] * centre[0] + theta[1] * centre[1]
            p = m * np.arange(-1, 2)
            expected = np.max([np.cos(phase + theta[0] * u + theta[1] * v) for u in p for v in p], axis=0)
            np.testing.assert_allclose(rmax(image, kernel, m), 128 * expected, atol=1e-10)


@pytest.mark.parametrize("m", [1, 2, 4])
def test_off_by_one_centres_raise_the_discrepancy(m):
    # Band of half the width that the theory asks for, at m theta = (pi / 4, 3 pi / 4), where gamma is 0.034.
    w = gabor(np.array([np.pi / 4, 3 * np.pi / 4]) / m, 3 * m, 18 * m + 1)
    x = noise(140 * m, 140 * m)
    z = strided_correlation(x, w, m)
    r, c = rmax(x, w, m), cmod(x, w, m)
    aligned = np.linalg.norm(r - c) / np.linalg.norm(c)
    for dy, dx in ((0, 1), (1, 0), (2, 1), (1, 2), (0, 0), (2, 2)):
        other = np.abs(z[dy::2, dx::2])[: r.shape[0], : r.shape[1]]
        rows, columns = other.shape
        moved = np.linalg.norm(r[:rows, :columns] - other) / np.linalg.norm(other)
        assert moved > 1.2 * aligned
    assert aligned < 0.3


@pytest.mark.parametrize(
    ("m", "phase", "tolerance"),
    [
        (1, (1 / 4, 3 / 4), 0.03),
        (1, (1 / 2, 1), 0.03),
        (1, (2 / 3, 0), 0.03),
        (2, (3 / 2, 1 / 2), 0.03),
        (2, (1, 1), 0.06),  # two phases only: slower, from below (theory.md 3.5)
        (2, (0, 1), 0.06),
    ],
)
def test_narrow_band_limit_is_gamma(m, phase, tolerance):
    # White noise through a narrow band has uniform phases (theory.md 3.3, 3.5): here m kappa is about pi / 16.
    omega = np.pi * np.array(phase)
    w = gabor(omega / m, 16 * m, 96 * m + 1)
    maps = [(rmax(x, w, m), cmod(x, w, m)) for x in noise(3, 560 * m, 560 * m, seed=5)]
    rho = np.sqrt(sum(((r - c) ** 2).sum() for r, c in maps) / sum((c**2).sum() for _, c in maps))
    assert rho == pytest.approx(float(gamma(omega)), abs=tolerance)


@pytest.mark.nojit
def test_cmod_of_the_analytic_kernel_is_the_envelope():
    # For a real kernel V: rmax(V) <= cmod(V + i H V) up to what the window adds; on the same centre Re z <= |z|.
    v = gabor((0.8, 0.9), 2.5, 13).real
    x = noise(60, 60)
    assert (rmax(x, v, 2, q=0) <= cmod(x, analytic(v), 2, q=0) + 1e-12).all()
    np.testing.assert_allclose(rmax(x, analytic(v), 2), rmax(x, v, 2), atol=1e-12)


# ---- the fast transform ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", ["periodization", "zero", "symmetric", "reflect"])
@pytest.mark.parametrize(
    ("levels", "filters", "size"),
    [(1, "cf_3_3", (33, 28)), (2, "cf_1_1", (61, 50)), (2, "cf_3_3", (64, 63)), (3, "cf_1_1", (72, 83))],
)
@pytest.mark.parametrize("fine", [True, False])
def test_packet_pool_equals_the_kernels_one_by_one(levels, filters, size, boundary, fine):
    t = DualTreePackets2D(levels, filters, stride=2 ** (levels - fine), boundary=boundary)
    x = noise(2, *size)
    channels = [0, 1, 2 * 4**levels - 1, 4**levels, 4**levels // 2]
    first, counts = valid_region(t, size)
    offset = t.start + t.stride * first
    assert 0 <= offset < t.stride
    q = 1 if min(counts) >= 3 else 0
    r, c = packet_pool(t, x, q)
    assert r.dtype == c.dtype == np.float64
    assert r.shape == c.shape == (2, 2 * 4**levels, *((n - 2 * q - 1) // 2 + 1 for n in counts))
    inside = x[:, offset:, offset:]
    for channel, kernel in zip(channels, t.kernels(channels), strict=True):
        np.testing.assert_allclose(r[:, channel], rmax(inside, kernel, t.stride, q), atol=1e-11)
        np.testing.assert_allclose(c[:, channel], cmod(inside, kernel, t.stride, q), atol=1e-11)
    single_r, single_c = packet_pool(t, x.astype(np.float32), q)
    assert single_r.dtype == single_c.dtype == np.float32
    np.testing.assert_allclose(single_r, r, atol=3e-5)
    np.testing.assert_allclose(single_c, c, atol=3e-5)
    alone = packet_pool(t, x[0], q)
    np.testing.assert_allclose(alone[0], r[0], atol=1e-13)


@pytest.mark.parametrize("q", [0, 2])
def test_packet_pool_of_other_windows(q):
    t = DualTreePackets2D(2, stride=2)
    x = noise(70, 75)
    offset = t.start + t.stride * valid_region(t, x.shape)[0]
    r, c = packet_pool(t, x, q)
    for channel in (3, 30):
        (kernel,) = t.kernels([channel])
        np.testing.assert_allclose(r[channel], rmax(x[offset:, offset:], kernel, 2, q), atol=1e-11)
        np.testing.assert_allclose(c[channel], cmod(x[offset:, offset:], kernel, 2, q), atol=1e-11)


def test_packet_pool_ignores_what_the_boundary_rule_makes_of_the_border():
    x = noise(90, 77)
    results = [
        packet_pool(DualTreePackets2D(2, stride=2, boundary=b), x) for b in ("periodization", "zero", "symmetric")
    ]
    offsets = []
    for b in ("periodization", "zero", "symmetric"):
        t = DualTreePackets2D(2, stride=2, boundary=b)
        offsets.append(t.start + t.stride * valid_region(t, x.shape)[0])
    for (r, c), offset in zip(results, offsets, strict=True):
        if offset == offsets[0]:
            np.testing.assert_allclose(r, results[0][0], atol=1e-11)
            np.testing.assert_allclose(c, results[0][1], atol=1e-11)
    assert len(set(offsets)) <= 2


@pytest.mark.nojit
@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("boundary", ["periodization", "zero"])
def test_valid_region_counts_the_kernels_inside_one_by_one(levels, boundary):
    for stride in (2**levels, 2 ** (levels - 1)):
        t = DualTreePackets2D(levels, "cf_1_1", stride=stride, boundary=boundary)
        K = t.kernel_size
        for n in (K + stride, K + 2 * stride + 1, K + 37):
            starts = [t.start + stride * k for k in range(-100, 200)]
            inside = [k - 100 for k, s in enumerate(starts) if s >= 0 and s + K <= n]
            assert valid_region(t, (n, n + 3))[0] == inside[0]
            assert valid_region(t, (n, n + 3))[1][0] == len(inside)


def test_valid_region_errors():
    t = DualTreePackets2D(2, stride=2)
    K = t.kernel_size
    for size in ((K - 1, 200), (200, K - 1), (1, 1)):
        size_text, K_text = f"{size[0]}x{size[1]}", f"{K}x{K}"
        message = f"image is {size_text} pixels, too small for the {K_text} kernels of {t!r}: the valid region is empty"
        for call in (lambda size=size: valid_region(t, size), lambda size=size: packet_pool(t, np.ones(size))):
            with pytest.raises(ValueError, match=rf"^{re.escape(message)}$"):
                call()
    with pytest.raises(
        ValueError, match=r"^the valid region has \d+x\d+ positions; expected at least 3x3, one pooling"
    ):
        packet_pool(t, np.ones((K + 2, K + 2)))


# ---- bad input ------------------------------------------------------------------------------------------------------

X, KERNEL = np.ones((20, 20)), np.ones((3, 3))
NAN = np.where(np.arange(400).reshape(20, 20) == 7, np.nan, 1.0)


@pytest.mark.nojit
@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((X + 0j, KERNEL, 1), TypeError, "image is complex (complex128); expected real numbers"),
        ((X.astype(str), KERNEL, 1), TypeError, "image has dtype <U32; expected real numbers"),
        ((NAN, KERNEL, 1), ValueError, "image holds 1 NaN or infinite values of 400; expected finite numbers"),
        ((X[0], KERNEL, 1), ValueError, "image has shape (20,); expected at least 2 axes"),
        ((X[:0], KERNEL, 1), ValueError, "image has shape (0, 20), no elements; expected at least one"),
        ((X, np.ones((2, 3, 3)), 1), ValueError, "kernel has shape (2, 3, 3); expected (h, w)"),
        ((X, np.ones(3), 1), ValueError, "kernel has shape (3,); expected (h, w)"),
        ((X, np.ones((0, 3)), 1), ValueError, "kernel has shape (0, 3), no elements; expected at least one"),
        ((X, [["a"]], 1), TypeError, "kernel has dtype <U1; expected real numbers"),
        (
            (X, np.full((2, 2), np.inf), 1),
            ValueError,
            "kernel holds 4 NaN or infinite values of 4; expected finite numbers",
        ),
        ((X, KERNEL, 0), ValueError, "stride is 0; expected at least 1"),
        ((X, KERNEL, -2), ValueError, "stride is -2; expected at least 1"),
        ((X, KERNEL, 1.5), TypeError, "stride must be an integer, not float"),
        ((X, KERNEL, 2.0), TypeError, "stride must be an integer, not float"),
        ((X, KERNEL, True), TypeError, "stride must be an integer, not bool"),
        ((X, KERNEL, 1, -1), ValueError, "q is -1; expected at least 0"),
        ((X, KERNEL, 1, 0.5), TypeError, "q must be an integer, not float"),
        (
            (X[:2], KERNEL, 1),
            ValueError,
            "image is 2x20 pixels, smaller than the kernel, 3x3: the valid region is empty",
        ),
        (
            (X, np.ones((3, 21)), 1),
            ValueError,
            "image is 20x20 pixels, smaller than the kernel, 3x21: the valid region is empty",
        ),
        (
            (X, np.ones((19, 3)), 1),
            ValueError,
            "the valid region has 2x18 positions; expected at least 3x3, one pooling window for q = 1: "
            "the image is too small",
        ),
        (
            (X, KERNEL, 1, 9),
            ValueError,
            "the valid region has 18x18 positions; expected at least 19x19, one pooling window for q = 9: "
            "the image is too small",
        ),
    ],
)
@pytest.mark.parametrize("operator", [rmax, cmod])
def test_bad_input(operator, arguments, error, message):
    with pytest.raises(error, match=rf"^{re.escape(message)}$"):
        operator(*arguments)


@pytest.mark.nojit
@pytest.mark.parametrize("operator", [rmax, cmod])
def test_bad_complex_kernels(operator):
    with pytest.raises(ValueError, match=r"^kernel holds 1 NaN or infinite values"):
        operator(X, np.array([[1, complex(0, np.nan)]]), 1)


@pytest.mark.parametrize(
    ("images", "q", "error", "message"),
    [
        (np.ones((80, 80)) + 0j, 1, TypeError, "x is complex"),
        (np.full((80, 80), np.nan), 1, ValueError, "x holds 6400 NaN or infinite values of 6400"),
        (np.ones(80), 1, ValueError, "at least 2 axes"),
        (np.ones((80, 80)), -1, ValueError, "^q is -1; expected at least 0$"),
        (np.ones((80, 80)), 1.0, TypeError, "^q must be an integer, not float$"),
    ],
)
def test_bad_input_of_the_packet_version(images, q, error, message):
    with pytest.raises(error, match=message):
        packet_pool(DualTreePackets2D(1, stride=1), images, q)


@pytest.mark.parametrize("levels", [1, 2, 3])
@pytest.mark.parametrize("filters", ["cf_2_2", "cf_2_3", "cf_3_3"])
@pytest.mark.parametrize("q", [0, 1, 2])
def test_smallest_side_is_the_smallest(levels, filters, q):
    t = DualTreePackets2D(levels, filters, stride=2 ** (levels - 1))
    side = smallest_side(t, q)
    assert packet_pool(t, np.ones((side, side)), q)[0].shape[-2:] == (1, 1)
    with pytest.raises(ValueError, match=r"valid region"):
        packet_pool(t, np.ones((side - 1, side - 1)), q)
