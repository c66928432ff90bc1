"""Half-plane Hilbert transform: identities, independent oracles, bad input."""

import numpy as np
import pytest
import scipy.signal
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from wavelets import monogenic
from wavelets.hilbert import (
    analytic,
    dominant_direction,
    facing_right,
    half_plane_sign,
    hilbert2d,
    zero_padded,
)

SHAPES = [(1, 1), (1, 2), (2, 1), (1, 7), (8, 1), (2, 2), (3, 3), (4, 5), (5, 4), (6, 8), (7, 9)]
DIRECTIONS = ["x", "y", (1.0, 1.0), (-1.0, 2.0), (0.3, -0.7), (0.0, -1.0), (-2.0, 0.0)]

shapes = st.tuples(st.integers(1, 12), st.integers(1, 12))
angles = st.floats(-np.pi, np.pi)
seeds = st.integers(0, 2**32 - 1)


def noise(shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def opposite(array):
    """Values at the opposite frequencies."""
    h, w = array.shape[-2:]
    return array[..., -np.arange(h)[:, None], -np.arange(w)]


def sign_by_hand(h, w):
    """s(omega) of the horizontal half-plane, case by case, with integer frequencies."""
    s = np.zeros((h, w), dtype=int)
    for i in range(h):
        for j in range(w):
            if 2 * j % w:
                s[i, j] = 1 if 2 * j < w else -1
            elif 2 * i % h:
                s[i, j] = 1 if 2 * i < h else -1
    return s


@pytest.mark.parametrize("shape", SHAPES)
def test_sign_is_that_of_the_definition(shape):
    h, w = shape
    assert_array_equal(half_plane_sign(shape), sign_by_hand(h, w))
    assert_array_equal(half_plane_sign(shape, "y"), sign_by_hand(w, h).T)


@given(shapes, angles)
def test_sign_is_exactly_odd_and_zero_on_self_conjugate_bins_only(shape, angle):
    s = half_plane_sign(shape, (np.sin(angle), np.cos(angle)))
    assert s.dtype == np.int8
    assert_array_equal(s, -opposite(s))
    mask = 1 + s
    assert_array_equal(mask + opposite(mask), 2)
    bins = np.arange(s.size).reshape(shape)
    assert_array_equal(s == 0, bins == opposite(bins))


@given(shapes, st.integers(-5, 5), st.integers(-5, 5), st.floats(-3e-15, 3e-15))
def test_sign_does_not_depend_on_the_rounding_of_the_direction(shape, e_y, e_x, error):
    if e_y == e_x == 0:
        return
    e = np.array([e_y, e_x], dtype=float)
    s = half_plane_sign(shape, e)
    assert_array_equal(half_plane_sign(shape, 0.1 * e + error * e[::-1]), s)
    assert_array_equal(half_plane_sign(shape, -e), -s)


def test_ties_of_an_oblique_direction_are_broken_across_it():
    s = half_plane_sign((7, 7), (1.0, -1.0))
    ties = np.array([s[k, k] for k in range(7)])
    assert_array_equal(np.abs(ties), [0, 1, 1, 1, 1, 1, 1])
    assert len(set(ties[1:4])) == 1


@pytest.mark.parametrize("direction", [*DIRECTIONS, "auto"])
@pytest.mark.parametrize("shape", SHAPES)
def test_identities(shape, direction):
    v = noise(shape)
    w = analytic(v, direction)
    assert_array_equal(w.real, v)
    assert_array_equal(w.imag, hilbert2d(v, direction))

    spectrum = np.fft.fft2(v)
    bins = np.arange(v.size).reshape(shape)
    fixed = bins == opposite(bins)
    energy_fixed = (np.abs(spectrum[fixed]) ** 2).sum() / v.size
    assert_allclose((np.abs(w) ** 2).sum(), 2 * (v**2).sum() - energy_fixed, rtol=1e-12)

    twice = hilbert2d(hilbert2d(v, direction), direction)  # noise: "auto" might turn
    if direction != "auto":
        expected = np.fft.ifft2(np.where(fixed, 0, -spectrum)).real
        assert_allclose(twice, expected, atol=1e-13)


@given(shapes, angles, seeds)
def test_real_part_and_spectrum(shape, angle, seed):
    v = noise(shape, seed)
    e = (np.sin(angle), np.cos(angle))
    w = analytic(v, e)
    assert_array_equal(w.real, v)
    expected = (1 + half_plane_sign(shape, e)) * np.fft.fft2(v)
    assert_allclose(np.fft.fft2(w), expected, atol=1e-12)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 30, 31])
def test_one_dimension_is_the_classical_analytic_signal(n):
    v = noise(n)
    # scipy's 1-D mask is 1 on the Nyquist bin, like ours
    expected = scipy.signal.hilbert(v)
    for direction in ("x", "y", "auto"):
        assert_allclose(analytic(v[None, :], direction)[0], expected, atol=1e-13)
        assert_allclose(analytic(v[:, None], direction)[:, 0], expected, atol=1e-13)


@pytest.mark.parametrize("shape", [(8, 9), (9, 8), (8, 8), (7, 5)])
def test_wave_is_delayed_by_a_quarter_period(shape):
    y, x = np.mgrid[: shape[0], : shape[1]]
    for k_y, k_x in [(0, 1), (1, 1), (-1, 2), (3, 1), (2, 0)]:
        phase = 2 * np.pi * (k_y * y / shape[0] + k_x * x / shape[1]) + 0.3
        assert_allclose(hilbert2d(np.cos(phase)), np.sin(phase), atol=1e-13)
        assert_allclose(analytic(np.cos(phase)), np.exp(1j * phase), atol=1e-13)


@given(shapes, angles, seeds)
def test_linear_and_shift_equivariant(shape, angle, seed):
    e = (np.sin(angle), np.cos(angle))
    a, b = noise((2, *shape), seed)
    mixed = 2 * hilbert2d(a, e) - 3 * hilbert2d(b, e)
    assert_allclose(hilbert2d(2 * a - 3 * b, e), mixed, atol=1e-12)
    shift = (seed % 5, seed % 7)
    moved = np.roll(hilbert2d(a, e), shift, axis=(0, 1))
    assert_allclose(hilbert2d(np.roll(a, shift, axis=(0, 1)), e), moved, atol=1e-13)


@pytest.mark.parametrize("shape", SHAPES)
def test_transposition_exchanges_the_axes(shape):
    v = noise(shape)
    assert_allclose(hilbert2d(v.T, "y"), hilbert2d(v, "x").T, atol=1e-14)
    assert_allclose(hilbert2d(v.T, (0.3, -0.7)), hilbert2d(v, (-0.7, 0.3)).T, atol=1e-14)


@pytest.mark.parametrize("shape", SHAPES)
def test_flipping_the_half_plane_conjugates(shape):
    v, x = noise((2, *shape))
    for e in [(0.0, 1.0), (1.0, 0.0), (1.0, -1.0), (0.3, -0.7)]:
        w, flipped = analytic(v, e), analytic(v, np.negative(e))
        assert_allclose(flipped, w.conj(), atol=1e-14)
        outputs = np.fft.ifft2(np.fft.fft2(np.stack([w, flipped])) * np.fft.fft2(x))
        assert_allclose(*np.abs(outputs), atol=1e-12)


def test_precision_of_the_input_is_kept():
    for shape in [(5, 6), (2, 4, 4)]:
        v = noise(shape).astype(np.float32)
        for direction in ("x", "auto", (1.0, 2.0)):
            h, w = hilbert2d(v, direction), analytic(v, direction)
            assert h.dtype == np.float32 and h.shape == shape
            assert w.dtype == np.complex64 and w.shape == shape
            assert_array_equal(w.real, v)
            assert_allclose(h, hilbert2d(v.astype(float), direction), atol=1e-6)
    assert hilbert2d([[1, 2, 4]]).dtype == np.float64
    assert analytic(np.eye(3, dtype=np.uint8)).dtype == np.complex128


@pytest.mark.parametrize("direction", ["x", "auto"])
def test_batch_equals_loop(direction):
    v = noise((2, 3, 5, 6))
    batch = hilbert2d(v, direction)
    for i in np.ndindex(2, 3):
        assert_allclose(batch[i], hilbert2d(v[i], direction), atol=1e-14)


def test_one_direction_each():
    v = noise((2, 3, 5, 6))
    e = noise((3, 2), seed=1)
    batch = hilbert2d(v, e)
    for i, j in np.ndindex(2, 3):
        assert_allclose(batch[i, j], hilbert2d(v[i, j], e[j]), atol=1e-14)
    assert half_plane_sign((5, 6), e).shape == (3, 5, 6)


def test_input_is_not_changed():
    v = noise((4, 4))
    before = v.copy()
    hilbert2d(v, "auto")
    analytic(v, "auto")
    assert_array_equal(v, before)


def test_analytic_on_a_larger_grid():
    v = noise((3, 2, 3))
    padded = np.zeros((3, 8, 9))
    padded[:, :2, :3] = v
    for direction in ("x", "y", "auto"):
        assert_allclose(analytic(v, direction, size=(8, 9)), analytic(padded, direction))
    assert analytic(v, size=16).shape == (3, 16, 16)
    assert_array_equal(zero_padded(v, (8, 9)), padded)


def gabor(theta, sigma=3.0, size=25, phase=0.0):
    n = np.arange(size) - size // 2
    y, x = np.meshgrid(n, n, indexing="ij")
    wave = np.cos(theta[0] * y + theta[1] * x + phase)
    return np.exp(-(y**2 + x**2) / (2 * sigma**2)) * wave


@pytest.mark.parametrize("angle", np.pi * np.array([-0.4, -0.25, 0, 0.1, 0.25, 0.5]))
def test_dominant_direction_of_a_gabor(angle):
    e = np.array([np.sin(angle), np.cos(angle)])
    v = gabor(1.3 * e)
    assert_allclose(dominant_direction(v), e, atol=0.01)
    assert_allclose(dominant_direction(-7 * v), dominant_direction(v), atol=1e-12)
    expected = analytic(v, dominant_direction(v))
    assert_allclose(analytic(v, "auto"), expected, atol=1e-14)


def test_dominant_direction_equals_the_gradient_structure_tensor():
    v = noise((9, 7))
    omega_y, omega_x = 2 * np.pi * np.fft.fftfreq(9)[:, None], 2 * np.pi * np.fft.fftfreq(7)
    gradient = np.fft.ifft2(1j * np.stack(np.broadcast_arrays(omega_y, omega_x)) * np.fft.fft2(v))
    tensor = np.einsum("aij,bij->ab", gradient.real, gradient.real)
    e = np.linalg.eigh(tensor)[1][:, -1]
    assert_allclose(dominant_direction(v), e * np.sign(e[1]), atol=1e-12)


@given(shapes, seeds)
@settings(max_examples=50)
def test_dominant_direction_is_a_unit_vector_to_the_right(shape, seed):
    v = noise(shape, seed)
    e = dominant_direction(v)
    assert_allclose(np.hypot(*e), 1, rtol=1e-12)
    assert e[1] > 0 or (e[1] == 0 and e[0] > 0)
    if min(shape) > 2:
        assert_allclose(dominant_direction(v.T), facing_right(e[::-1]), atol=1e-9)


@pytest.mark.parametrize("scale", [1.0, 1e200, 1e-200])
def test_without_a_direction(scale):
    delta = np.zeros((5, 5))
    delta[2, 2] = scale
    n = np.arange(-3, 4)
    blob = np.exp(-(n[:, None] ** 2 + n**2) / 4) * scale
    for v in (np.zeros((4, 4)), np.full((5, 7), 0.1 * scale), delta, blob, [[scale]]):
        assert_array_equal(dominant_direction(v), (0, 1))
    bars = np.cos(np.arange(6) * np.pi / 3) * scale
    stack = np.stack([bars * np.ones((6, 1)), bars[:, None] * np.ones(6), np.zeros((6, 6))])
    assert_allclose(dominant_direction(stack), [(0, 1), (1, 0), (0, 1)], atol=1e-15)


@pytest.mark.parametrize("shape", [(7, 11), (13, 9), (10, 22), (3, 49)])
def test_constant_has_no_direction_however_it_rounds(shape):
    for value in (0.1, 1 / 3, -np.pi):
        assert_array_equal(dominant_direction(np.full(shape, value)), (0, 1))


def test_constant_has_no_hilbert_transform():
    assert_allclose(hilbert2d(np.full((4, 5), 3.0)), 0, atol=1e-14)
    assert_allclose(hilbert2d(np.indices((4, 6)).sum(axis=0) % 2), 0, atol=1e-14)


@pytest.mark.parametrize("function", [hilbert2d, analytic, dominant_direction])
def test_bad_arrays(function):
    for bad in (np.eye(2) * 1j, np.array([["a"]]), np.array([[None]]), np.eye(2, dtype=object)):
        with pytest.raises(TypeError, match="expected real numbers"):
            function(bad)
    for bad in (np.array([[1.0, np.nan]]), np.array([[np.inf]])):
        with pytest.raises(ValueError, match="finite"):
            function(bad)
    for bad in (1.0, [1.0, 2.0]):
        with pytest.raises(ValueError, match="at least 2 axes"):
            function(bad)
    for shape in [(0, 3), (3, 0), (2, 0, 3), (0, 0, 3)]:
        with pytest.raises(ValueError, match="no elements"):
            function(np.zeros(shape))


@pytest.mark.parametrize(
    ("direction", "error", "message"),
    [
        ("z", ValueError, "direction must be 'x', 'y', 'auto' .* got 'z'"),
        ((0.0, 0.0), ValueError, "finite and not zero"),
        ([(1.0, 0.0), (0.0, 0.0)], ValueError, "finite and not zero"),
        ((np.nan, 1.0), ValueError, "finite and not zero"),
        ((np.inf, 1.0), ValueError, "finite and not zero"),
        ((1.0, 0.0, 0.0), ValueError, r"vectors \(e_y, e_x\), got shape \(3,\)"),
        (1.0, ValueError, r"got shape \(\)"),
        (np.ones((4, 2)), ValueError, r"shape \(4, 2\) must broadcast to \(3, 2\)"),
        (np.ones((2, 3, 2)), ValueError, "must broadcast"),
        ((1j, 0.0), TypeError, "must hold real numbers"),
        (None, TypeError, "must hold real numbers"),
    ],
)
def test_bad_directions(direction, error, message):
    with pytest.raises(error, match=message):
        hilbert2d(np.ones((3, 2, 2)), direction)


def test_extreme_directions():
    s = half_plane_sign((5, 6), (1.0, 2.0))
    for scale in (1e-310, 1e-200, 1e200, 1.5e308 / 2):
        assert_array_equal(half_plane_sign((5, 6), (scale, 2 * scale)), s)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("function", [hilbert2d, analytic, monogenic])
def test_values_that_would_overflow_are_refused(function, dtype):
    x = noise((24, 31)).astype(dtype)
    x = x / np.abs(x).max() * np.finfo(dtype).max
    assert all(np.isfinite(part).all() for part in function(x * dtype(9e-7)))
    with pytest.raises(ValueError, match=np.dtype(dtype).name):
        function(x)


def test_bad_sizes():
    with pytest.raises(ValueError, match="got 'auto'"):
        half_plane_sign((3, 3), "auto")
    for shape in [(3,), (3, 0), (1, 2, 3)]:
        with pytest.raises(ValueError, match=r"two positive integers|shape is -?\d; expected at least 1"):
            half_plane_sign(shape)
    for size in (2, (3, 2), (3, 3, 3)):
        with pytest.raises(ValueError, match="size must be at least"):
            analytic(np.ones((3, 3)), size=size)
    with pytest.raises(TypeError):
        analytic(np.ones((3, 3)), size=4.5)


@pytest.mark.parametrize("shape", [(0, 4, 5), (0, 2, 3, 3), (2, 0, 1, 1)])
def test_empty_batches_come_out_empty(shape):
    v = np.ones(shape)
    for direction in ("x", "auto", (1.0, 2.0)):
        assert hilbert2d(v, direction).shape == analytic(v, direction).shape == shape
    assert analytic(v, size=8).shape == (*shape[:-2], 8, 8)
    assert dominant_direction(v).shape == (*shape[:-2], 2)


@pytest.mark.parametrize("function", [hilbert2d, analytic])
@pytest.mark.parametrize("shape", [(16, 16, 3), (2, 64, 17, 4)])
def test_colours_come_first(function, shape):
    with pytest.raises(ValueError, match=rf"{shape[-1]}, {shape[-3]}, {shape[-2]}\)"):
        function(np.ones(shape))
    assert function(np.ones((3, 16, 16))).shape == (3, 16, 16)
    assert function(np.ones((64, 3, 3, 3))).shape == (64, 3, 3, 3)


def test_half_precision_is_computed_in_single():
    v = noise((6, 7)).astype(np.float16)
    assert hilbert2d(v).dtype == np.float32 and analytic(v).dtype == np.complex64
    assert_array_equal(hilbert2d(v), hilbert2d(v.astype(np.float32)))
