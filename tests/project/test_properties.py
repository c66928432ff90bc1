"""Properties that every public function keeps, whatever the array: layout, dtype, batch, scale, symmetry, refusals."""

from __future__ import annotations

import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import wavelets
from analysis import cmod, describe_kernels, gamma, heatmaps, packet_pool, rmax, translate
from analysis.files.pictures import fit, luminance
from analysis.measurements.rmax_cmod import pool, strided_correlation
from wavelets import (
    DualTreePackets1D,
    DualTreePackets2D,
    FilterBank,
    analytic,
    bandwidth,
    characteristic_frequency,
    common_factor_pair,
    compare_banks,
    dominant_direction,
    energy_in_window,
    filter_bank,
    hilbert2d,
    packet_quality,
)
from wavelets.engine import stages
from wavelets.hilbert import half_plane_sign
from wavelets.spectrum import power_spectrum


def examples(count):
    """The same examples on every run, and no deadline: the first one compiles."""
    quiet = [HealthCheck.too_slow]
    return settings(max_examples=count, derandomize=True, deadline=None, database=None, suppress_health_check=quiet)


# One bank: the kernels are compiled anew for every number of taps and every precision.
ONE = DualTreePackets1D(2)
TWO = DualTreePackets2D(2)
FINE = DualTreePackets2D(2, stride=2)
KERNEL = np.random.default_rng(9).standard_normal((3, 4))
W = KERNEL + 1j * np.random.default_rng(10).standard_normal((3, 4))

# Real arrays (..., H, W) in, arrays out. Those of `SCALED` are homogeneous, those of `INVARIANT` ignore the scale.
SCALED = {
    "forward, 1-D": ONE.forward,
    "forward, 2-D": TWO.forward,
    "forward, fine": DualTreePackets2D(1, stride=1, boundary="symmetric").forward,
    "hilbert2d": hilbert2d,
    "hilbert2d, oblique": lambda x: hilbert2d(x, (1.0, 2.0)),
    "hilbert2d, auto": lambda x: hilbert2d(x, "auto"),
    "analytic": analytic,
    "analytic, padded": lambda x: analytic(x, "y", size=32),
    "rmax": lambda x: rmax(x, KERNEL, 1),
    "cmod": lambda x: cmod(x, W, 1),
    "correlation": lambda x: strided_correlation(x, W, 2),
    "pool": lambda x: np.stack(pool(x)),
    "translate": lambda x: translate(x, (0.25, -1.5)),
    "translate, mirrored": lambda x: translate(x, (3, 0.5), "symmetric"),
}
INVARIANT = {
    "dominant_direction": dominant_direction,
    "window": characteristic_frequency,
    "centroid": lambda x: characteristic_frequency(x, method="centroid"),
    "energy_in_window": lambda x: energy_in_window(x, (0.5, 1.0), 1.0),
    "bandwidth": lambda x: bandwidth(x, (0.5, 1.0), 0.7),
}
FUNCTIONS = SCALED | INVARIANT
named = st.sampled_from(sorted(FUNCTIONS))
sizes = st.sampled_from([(8, 8), (9, 12), (16, 7), (6, 31)])
seeds = st.integers(0, 2**32 - 1)
floats = st.sampled_from([np.float32, np.float64])


def noise(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape)


def relative(a, b):
    return np.abs(np.asarray(a) - b).max() / max(np.abs(b).max(), np.finfo(float).tiny)


# ---- where the numbers lie in memory --------------------------------------------------------------------------------


class Foreign:
    """An object that only knows how to become an array."""

    def __init__(self, array):
        self.array = array

    def __array__(self, dtype=None, copy=None):
        return np.array(self.array, dtype=dtype)


class Subclass(np.ndarray):
    """A subclass that objects to being computed with."""

    def __array_ufunc__(self, *arguments, **options):
        raise AssertionError("computed with the subclass")


def unaligned(x):
    raw = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    raw[...] = x
    assert not raw.flags.aligned
    return raw


def read_only(x):
    x = x.copy()
    x.setflags(write=False)
    return x


def spread(x):
    wide = np.full((*x.shape[:-1], 3 * x.shape[-1]), np.nan, x.dtype)
    wide[..., 1::3] = x
    return wide[..., 1::3]


def on_disk(x):
    with tempfile.TemporaryFile() as file:  # the mapping outlives it
        mapped = np.memmap(file, x.dtype, "w+", shape=x.shape)
    mapped[...] = x
    return mapped


LAYOUTS = {
    "Fortran": np.asfortranarray,
    "reversed": lambda x: np.ascontiguousarray(x[..., ::-1, ::-1])[..., ::-1, ::-1],
    "transposed": lambda x: np.ascontiguousarray(x.T).T,
    "spread": spread,
    "unaligned": unaligned,
    "other endianness": lambda x: x.astype(x.dtype.newbyteorder()),
    "read-only": read_only,
    "memory map": on_disk,
    "list": lambda x: x.tolist() if x.dtype == np.float64 else list(x),
    "subclass": lambda x: x.view(Subclass),
    "unmasked": np.ma.masked_array,
    "matrix": lambda x: np.asmatrix(x) if x.ndim == 2 else x,
    "xarray": xr.DataArray,
    "foreign": Foreign,
}


@pytest.mark.filterwarnings("ignore:the matrix subclass:PendingDeprecationWarning")
@examples(200)
@given(name=named, layout=st.sampled_from(sorted(LAYOUTS)), dtype=floats, size=sizes, seed=seeds)
def test_results_depend_on_values_alone_and_inputs_are_left_as_they_were(name, layout, dtype, size, seed):
    x = noise(seed, 2, *size).astype(dtype)
    x = x[0] if layout == "matrix" else x
    disguised, before = LAYOUTS[layout](x), x.copy()
    expected, found = FUNCTIONS[name](x), FUNCTIONS[name](disguised)
    assert type(found) is type(expected) and found.dtype == expected.dtype and found.dtype.isnative
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(np.asarray(disguised), before)
    if isinstance(disguised, np.ndarray):
        assert not np.shares_memory(np.asarray(found), disguised)


@examples(60)
@given(
    kind=st.sampled_from(["inverse", "adjoint"]), layout=st.sampled_from(sorted(set(LAYOUTS) - {"matrix"})), seed=seeds
)
def test_coefficients_may_lie_anywhere_too(kind, layout, seed):
    for t, size in ((TWO, (12, 9)), (ONE, (22,))):
        c = np.asarray(t.forward(noise(seed, 2, *size)))
        disguised = LAYOUTS[layout](c)
        before = c.copy()
        expected, found = (getattr(t, kind)(v, size[0] if t is ONE else size) for v in (c, disguised))
        np.testing.assert_array_equal(found, expected)
        np.testing.assert_array_equal(np.asarray(disguised), before)


@examples(60)
@given(name=named, size=sizes, seed=seeds)
def test_the_precision_of_the_result_is_that_of_the_input(name, size, seed):
    f, x = FUNCTIONS[name], noise(seed, *size)
    double = f(x)
    single = {"c": np.complex64, "f": np.float32}[double.dtype.kind] if name in SCALED else np.float64
    assert double.dtype in (np.float64, np.complex128)
    whole = np.round(50 * x) + 1
    for dtype in (np.float16, np.float32):
        assert f(x.astype(dtype)).dtype == single
    np.testing.assert_array_equal(f(x.astype(np.float16)), f(x.astype(np.float16).astype(np.float32)))
    for dtype in (np.int16, np.int64, np.longdouble):
        np.testing.assert_array_equal(f(whole.astype(dtype)), f(whole))
    np.testing.assert_array_equal(f(whole > 0), f((whole > 0).astype(np.float64)))


# ---- batches, scale, linearity --------------------------------------------------------------------------------------


@examples(120)
@given(name=named, dtype=floats, size=sizes, seed=seeds, lead=st.sampled_from([(1,), (5,), (2, 3), (1, 1, 2)]))
def test_a_stack_gives_the_stack_of_the_results(name, dtype, size, seed, lead):
    f = FUNCTIONS[name]
    axis = 1 if name == "pool" else 0  # its two results are stacked in front
    x = noise(seed, *lead, *size).astype(dtype)
    together = np.asarray(f(x))
    alone = np.stack([np.asarray(f(one)) for one in x.reshape(-1, *size)], axis=axis)
    exact = name not in ("rmax", "cmod", "correlation")  # scipy picks its FFT by the number of lines
    compared = together.reshape(alone.shape)
    if exact:
        np.testing.assert_array_equal(compared, alone)
    else:
        assert relative(compared, alone) < (1e-5 if dtype == np.float32 else 1e-13)


@examples(150)
@given(name=named, size=sizes, seed=seeds, exponent=st.integers(-900, 900))
def test_powers_of_two_change_no_digit(name, size, seed, exponent):
    x = noise(seed, *size)
    plain, scaled = FUNCTIONS[name](x), np.asarray(FUNCTIONS[name](np.ldexp(x, exponent)))
    expected = plain if name in INVARIANT else np.asarray(plain) * 2.0**exponent
    np.testing.assert_array_equal(scaled, expected)


@examples(25)
@given(size=sizes, seed=seeds, exponent=st.sampled_from([-1074, -1060, -1030, 1000, 1015]))
def test_the_frequency_of_a_kernel_ignores_the_most_extreme_scales(size, seed, exponent):
    # Complex, and about to underflow: whole numbers stay exact.
    k = np.round(5 * noise(seed, *size)) + 1j * np.round(5 * noise(seed + 1, *size)) + 1
    scaled = np.ldexp(k.real, exponent) + 1j * np.ldexp(k.imag, exponent)
    for f in (*INVARIANT.values(), lambda w: energy_in_window(w, (0, 1), 2, size=64)):
        if f is not dominant_direction:
            np.testing.assert_array_equal(f(scaled), f(k))
    np.testing.assert_array_equal(dominant_direction(scaled.real), dominant_direction(k.real))


@examples(25)
@given(exponent=st.integers(-1000, 1000), seed=seeds)
def test_the_modulus_neither_overflows_nor_vanishes(exponent, seed):
    z = noise(seed, 7, 7) + 1j * noise(seed + 1, 7, 7)
    scale = 2.0**exponent
    for found, expected in zip(pool(z * scale), pool(z), strict=True):
        np.testing.assert_array_equal(found, expected * scale)
    for exponent in (-100, 100):
        single = z.astype(np.complex64)
        for found, expected in zip(pool(single * np.float32(2.0**exponent)), pool(single), strict=True):
            np.testing.assert_array_equal(found, expected * np.float32(2.0**exponent))


LINEAR = sorted(set(SCALED) - {"rmax", "cmod", "pool", "hilbert2d, auto"})


@examples(100)
@given(name=st.sampled_from(LINEAR), dtype=floats, size=sizes, seed=seeds, a=st.floats(-9, 9), b=st.floats(-9, 9))
def test_linear_functions_are_linear(name, dtype, size, seed, a, b):
    f, a, b = FUNCTIONS[name], dtype(a), dtype(b)
    x, y = noise(seed, 2, *size).astype(dtype)
    scale = max(np.abs(f(x)).max(), np.abs(f(y)).max()) * max(abs(a), abs(b), 1)
    error = np.abs(f(a * x + b * y) - (a * f(x) + b * f(y))).max() / scale
    assert error < (2e-5 if dtype == np.float32 else 1e-13)


# ---- reconstruction and adjoint, for any orthonormal bank -----------------------------------------------------------


def low_pass(angles):
    """Orthonormal low-pass filter of 2 K taps from K rotations, whose angles are made to add up to pi/4."""
    angles = np.append(angles, np.pi / 4 - np.sum(angles))
    e = np.array([[np.cos(angles[0])], [np.sin(angles[0])]])
    e = np.array([[e[0, 0], e[1, 0]], [-e[1, 0], e[0, 0]]])[:, None, :]
    for angle in angles[1:]:
        c, s = np.cos(angle), np.sin(angle)
        delayed = np.concatenate([e, np.zeros((2, 1, 2))], axis=1)
        delayed[1] = np.roll(delayed[1], 1, axis=0)
        e = np.stack([c * delayed[0] + s * delayed[1], -s * delayed[0] + c * delayed[1]])
    return e[0].ravel()


angles = st.lists(st.floats(-3, 3), min_size=5, max_size=5)


@examples(40)
@given(one=angles, two=angles, first=angles, seed=seeds, fine=st.booleans(), data=st.data())
def test_any_orthonormal_bank_reconstructs_and_has_its_adjoint(one, two, first, seed, fine, data):
    bank = FilterBank("drawn", *(low_pass(np.array(a)) for a in (one, two, first)))
    levels = data.draw(st.integers(1, 3))
    boundary = data.draw(st.sampled_from(stages.BOUNDARIES))
    size = tuple(data.draw(st.integers(1, 20)) for _ in range(2))
    for transform, shape in ((DualTreePackets2D, size), (DualTreePackets1D, size[:1])):
        t = transform(levels, bank, 2 ** (levels - fine), boundary)
        x = noise(seed, 2, *shape)
        c = t.forward(x)
        assert c.shape[-len(shape) :] == tuple(t.coefficient_count(n) for n in shape)
        assert relative(t.inverse(c), x) < 1e-11
        d = noise(seed + 1, *c.shape) + 1j * noise(seed + 2, *c.shape)
        left, right = np.vdot(d, c).real, np.vdot(t.adjoint(d, shape if len(shape) == 2 else shape[0]), x)
        assert abs(left - right) < 1e-12 * np.linalg.norm(d) * np.linalg.norm(c)


@examples(60)
@given(
    dtype=floats, n=st.integers(1, 70), boundary=st.sampled_from(stages.BOUNDARIES), seed=seeds, level=st.integers(1, 4)
)
def test_reconstruction_of_any_length_and_the_thinnest_images(dtype, n, boundary, seed, level):
    tolerance = 2e-5 if dtype == np.float32 else 1e-12
    one, two = (t(level, boundary=boundary) for t in (DualTreePackets1D, DualTreePackets2D))
    x = noise(seed, 3, n).astype(dtype)
    assert relative(one.inverse(one.forward(x)), x) < tolerance
    for image in (x[:1], x[:1].T):
        back = two.inverse(two.forward(image))
        assert back.dtype == dtype and back.shape == image.shape and relative(back, image) < tolerance


def test_an_image_of_extreme_aspect():
    for shape in ((1, 20_000), (20_000, 1)):
        x = noise(0, *shape)
        assert relative(TWO.inverse(TWO.forward(x)), x) < 1e-12
        np.testing.assert_allclose(hilbert2d(hilbert2d(x))[..., :9], -(x - fixed_part(x))[..., :9], atol=1e-9)


def fixed_part(x):
    """What the Hilbert transform removes: the self-conjugate frequencies."""
    spectrum = np.fft.fft2(x)
    return np.fft.ifft2(np.where(half_plane_sign(x.shape) == 0, spectrum, 0)).real


# ---- symmetries -----------------------------------------------------------------------------------------------------


@examples(25)
@given(
    blocks=st.tuples(st.integers(2, 5), st.integers(2, 5)),
    steps=st.tuples(st.integers(-4, 4), st.integers(-4, 4)),
    seed=seeds,
)
def test_shifts_by_the_stride_move_the_coefficients(blocks, steps, seed):
    x = noise(seed, 4 * blocks[0], 4 * blocks[1])
    for t, stride in ((TWO, 4), (FINE, 2)):
        moved = t.forward(np.roll(x, [stride * s for s in steps], (0, 1)))
        expected = np.roll(np.asarray(t.forward(x)), steps, (-2, -1))
        if stride == 4 or not any(s % 2 for s in steps):
            assert relative(moved, expected) < 1e-13
    np.testing.assert_allclose((np.abs(TWO.forward(x)) ** 2).sum(), 8 * (x**2).sum(), rtol=1e-12)


@examples(25)
@given(size=sizes, steps=st.tuples(st.integers(-9, 9), st.integers(-9, 9)), seed=seeds)
def test_the_hilbert_transform_commutes_with_shifts_and_is_odd_under_the_half_turn(size, steps, seed):
    x = noise(seed, *size)
    for direction in ("x", "y", (1.0, 2.0)):
        h = hilbert2d(x, direction)
        assert relative(hilbert2d(np.roll(x, steps, (0, 1)), direction), np.roll(h, steps, (0, 1))) < 1e-13
        assert relative(hilbert2d(x[::-1, ::-1], direction), -h[::-1, ::-1]) < 1e-13
        opposite = {"x": (0, -1), "y": (-1, 0)}.get(direction) or [-e for e in direction]
        assert relative(hilbert2d(x, opposite), -h) < 1e-13
        assert abs((x * h).sum()) < 1e-12 * (x**2).sum()
    assert relative(hilbert2d(x.T, "y").T, hilbert2d(x, "x")) < 1e-13
    np.testing.assert_array_equal(analytic(x).real, x)


@examples(25)
@given(size=sizes, seed=seeds, extra=st.integers(0, 9))
def test_energy_of_a_complex_kernel_turns_and_moves_with_it(size, seed, extra):
    k = noise(seed, *size) + 1j * noise(seed + 1, *size)
    theta = noise(seed, 2)
    plain = energy_in_window(k, theta, 1.5)
    assert 0 <= plain <= 1
    padded = np.pad(k, ((extra, 2), (0, extra)))
    for other, at in (
        (padded, theta),
        (k.T, theta[::-1]),
        (k.conj(), -theta),
        (k[::-1, ::-1], -theta),
        (3j * k, theta),
    ):
        np.testing.assert_allclose(energy_in_window(other, at, 1.5), plain, atol=1e-12)
    wave = np.exp(1j * (0.7 * np.arange(size[0])[:, None] - 0.4 * np.arange(size[1])))
    np.testing.assert_allclose(energy_in_window(k * wave, theta + np.array([0.7, -0.4]), 1.5), plain, atol=1e-12)
    side = bandwidth(k, theta, 0.6)
    np.testing.assert_allclose(energy_in_window(k, theta, side), 0.6, atol=1e-9)
    np.testing.assert_allclose(power_spectrum(k, 40).mean(), (np.abs(k) ** 2).sum(), rtol=1e-12)


@examples(25)
@given(seed=seeds, q=st.integers(0, 2), steps=st.tuples(st.integers(0, 2), st.integers(0, 2)), stride=st.integers(1, 2))
def test_rmax_and_cmod_move_with_the_picture_and_bound_each_other(seed, q, steps, stride):
    x, (dy, dx) = noise(seed, 30, 32), steps
    r, c = rmax(x, W, stride, q), cmod(x, W, stride, q)
    moved = x[2 * stride * dy :, 2 * stride * dx :]
    for f, plain in ((rmax, r), (cmod, c)):
        found = f(moved, W, stride, q)
        assert relative(found, plain[dy:, dx:]) < 1e-12
    if q == 0:
        assert (r <= c + 1e-12).all()  # the real part at the centre itself
    np.testing.assert_allclose(cmod(-x, W * 1j, stride, q), c, atol=1e-12)


@examples(25)
@given(seed=seeds, turns=st.tuples(st.integers(-5, 5), st.integers(-5, 5)), q=st.integers(0, 3))
def test_gamma_has_the_symmetries_of_its_window(seed, turns, q):
    omega = noise(seed, 4, 2)
    plain = gamma(omega, q)
    for other in (-omega, omega[:, ::-1], omega * (1, -1), omega + 2 * np.pi * np.array(turns)):
        np.testing.assert_allclose(gamma(other, q), plain, atol=1e-7)
    assert (plain <= np.sqrt(1.5) + 1e-12).all() and (gamma(omega, q + 1) <= plain + 1e-9).all()
    assert np.isfinite(gamma([[1.7e308, -1.7e308], [5e-324, 0]], q)).all()


# ---- experiments ----------------------------------------------------------------------------------------------------


@examples(6)
@given(
    seed=seeds, exponent=st.integers(-60, 20), layout=st.sampled_from(["Fortran", "reversed", "spread", "read-only"])
)
def test_heatmaps_depend_on_the_pictures_up_to_scale_and_order(seed, exponent, layout):
    pictures = noise(seed, 3, 40, 40)
    options = {"levels": 1, "size": 40, "progress": False}
    plain = heatmaps(list(pictures), **options)
    scaled = heatmaps([LAYOUTS[layout](np.ldexp(p, exponent)) for p in pictures], **options)
    turned = heatmaps(list(pictures[::-1]), **options)
    twice = heatmaps([*pictures, *pictures], **options)
    for name in plain.data_vars:
        np.testing.assert_array_equal(scaled[name], plain[name])
        if name != "count" and "stderr" not in name:
            np.testing.assert_allclose(turned[name], plain[name], rtol=1e-12)
            np.testing.assert_allclose(twice[name], plain[name], rtol=1e-12)


@examples(3)
@given(seed=seeds, exponent=st.integers(-60, 60), order=st.permutations(range(4)))
def test_descriptions_of_kernels_follow_them(seed, exponent, order):
    weight = noise(seed, 4, 3, 7, 6)
    plain = describe_kernels(weight, 2, progress=False)
    scaled = describe_kernels(np.asfortranarray(np.ldexp(weight, exponent)), 2, progress=False)
    moved = describe_kernels(weight[order], 2, progress=False)
    for name in set(plain.data_vars) - {"gabor"}:
        np.testing.assert_array_equal(moved[name], plain[name].values[order])
        if plain[name].dtype.kind == "f":
            np.testing.assert_allclose(scaled[name], plain[name], rtol=1e-6, atol=1e-9)


@examples(25)
@given(seed=seeds, size=sizes, layout=st.sampled_from(sorted(set(LAYOUTS) - {"matrix"})))
def test_pictures_depend_on_values_alone(seed, size, layout):
    x = noise(seed, *size, 3)
    for f in (luminance, lambda v: fit(v, 5)):
        np.testing.assert_array_equal(f(LAYOUTS[layout](x)), f(x))
    byte = np.random.default_rng(seed).integers(0, 256, size, np.uint8)
    np.testing.assert_array_equal(luminance(byte), byte.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(luminance(np.stack([byte] * 3, axis=-1)), luminance(byte))


# ---- what is refused ------------------------------------------------------------------------------------------------


class Broken:
    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("no numbers here")


NOT_REAL = {
    "None": None,
    "text": "abc",
    "bytes": b"abc",
    "object": object(),
    "mapping": {1: 2},
    "array of text": np.full((9, 9), "1"),
    "array of objects": np.full((9, 9), Fraction(1, 3)),
    "dates": np.zeros((9, 9), "M8[s]"),
    "durations": np.zeros((9, 9), "m8[s]"),
    "records": np.zeros((9, 9), "f8,f8"),
    "long integers": [[10**400] * 9] * 9,
    "broken": Broken(),
}
BAD_VALUES = {
    "ragged": [[1.0, 2.0], [3.0]],
    "NaN": np.full((9, 9), np.nan),
    "infinite": np.where(np.eye(9) > 0, -np.inf, 1),
    "masked": np.ma.masked_array(np.ones((9, 9)), np.eye(9)),
    "beyond double": np.full((9, 9), np.longdouble(np.finfo(np.float64).max) * 4),
    "no images": np.zeros((0, 9, 9)),
    "no pixels": np.zeros((3, 9, 0)),
    "a number": 1.0,
}
ARRAYS = {name: (f, "x|kernel|image|responses") for name, f in FUNCTIONS.items()} | {
    "kernel of rmax": (lambda k: rmax(np.ones((20, 20)), k, 1), "kernel"),
    "kernel of cmod": (lambda k: cmod(np.ones((20, 20)), k, 1), "kernel"),
    "packet_pool": (lambda x: packet_pool(FINE, x), "x"),
    "power_spectrum": (lambda x: power_spectrum(x, 64), "kernel"),
    "gamma": (gamma, "omega"),
    "direction": (lambda e: hilbert2d(KERNEL, e), "direction"),
    "theta": (lambda t: bandwidth(KERNEL, t), "theta"),
    "taps": (lambda h: FilterBank("mine", h, h, h), "h1 of filter bank 'mine'"),
}


REFUSE_NO_IMAGES = {
    "rmax", "cmod", "correlation", "pool", "translate", "translate, mirrored", "kernel of rmax", "kernel of cmod",
    "packet_pool", "gamma", "direction", "theta", "taps",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(ARRAYS.keys() - REFUSE_NO_IMAGES))
def test_no_images_give_no_results(name):
    f, _ = ARRAYS[name]
    one = f(np.ones((1, 9, 9)))
    none = f(BAD_VALUES["no images"])
    assert np.shape(none) == (0, *np.shape(one)[1:]) and none.dtype == one.dtype


@pytest.mark.parametrize("name", sorted(ARRAYS))
@pytest.mark.parametrize("kind", [*NOT_REAL, *BAD_VALUES, "complex"])
def test_bad_arrays_are_refused_by_name(name, kind):
    f, argument = ARRAYS[name]
    if kind == "no images" and name not in REFUSE_NO_IMAGES:
        return
    complex_kernels = {"window", "centroid", "energy_in_window", "bandwidth", "pool", "power_spectrum"}
    if kind == "complex":
        if name in complex_kernels or name.startswith("kernel of"):
            return
        value, error = np.ones((9, 9)) + 1j, TypeError
    elif kind in NOT_REAL:
        value, error = NOT_REAL[kind], (TypeError, ValueError) if name == "direction" else TypeError
    else:
        value, error = BAD_VALUES[kind], ValueError
    if kind == "beyond double" and np.isinf(np.longdouble(np.finfo(np.float64).max) * 4):
        pytest.skip("needs a long double that is longer")
    with pytest.raises(error, match=argument):
        f(value)


@pytest.mark.parametrize("kind", [*NOT_REAL, "ragged", "masked", "no images", "a number"])
def test_bad_coefficients_are_refused(kind):
    for t, size in ((ONE, 16), (TWO, (16, 16))):
        for f in (t.inverse, t.adjoint):
            with pytest.raises((TypeError, ValueError), match="coefficients"):
                f((NOT_REAL | BAD_VALUES)[kind], size)


NO_INTEGERS = [None, "3", 2.0, float("nan"), True, [2], np.array([2, 3]), 2j, object(), {}]
INTEGERS = {
    "levels": lambda n: DualTreePackets2D(n),
    "coefficient_count": lambda n: TWO.coefficient_count(n),
    "size of the inverse": lambda n: TWO.inverse(np.ones((32, 2, 2), complex), (n, 8)),
    "size of analytic": lambda n: analytic(KERNEL, size=(n, 8)),
    "size of the grid": lambda n: characteristic_frequency(KERNEL, size=n if n is not None else "none"),
    "size of the window": lambda n: energy_in_window(KERNEL, (0, 0), 1.0, size=n if n is not None else "none"),
    "size of the spectrum": lambda n: power_spectrum(KERNEL, n),
    "K": lambda n: common_factor_pair(n, 2),
    "L": lambda n: common_factor_pair(2, n),
    "levels of compare_banks": lambda n: compare_banks(["cf_1_1"], n),
    "levels of packet_quality": lambda n: packet_quality("cf_1_1", n),
    "stride": lambda n: rmax(np.ones((20, 20)), KERNEL, n),
    "q": lambda n: pool(np.ones((20, 20)), n),
    "q of gamma": lambda n: gamma((1, 2), n),
    "shape": lambda n: half_plane_sign((n, 4)),
}


@pytest.mark.parametrize("name", sorted(INTEGERS))
def test_what_is_no_integer_is_refused(name):
    for value in NO_INTEGERS:
        with pytest.raises(TypeError, match="must be an integer"):
            INTEGERS[name](value)
    with pytest.raises(ValueError, match="-3"):
        INTEGERS[name](-3)


@pytest.mark.parametrize("value", [None, "1", True, 1j, [1.0], np.ones(2), {}])
def test_what_is_no_number_is_refused(value):
    for f in (
        lambda v: characteristic_frequency(KERNEL, v),
        lambda v: characteristic_frequency(KERNEL, method="centroid", power=v),
        lambda v: energy_in_window(KERNEL, (0, 0), v),
        lambda v: bandwidth(KERNEL, (0, 0), v),
    ):
        with pytest.raises(TypeError, match="must be a real number"):
            f(value)


def test_extreme_numbers_are_taken_for_what_they_are():
    whole_plane = characteristic_frequency(W, 2 * np.pi)
    np.testing.assert_array_equal(characteristic_frequency(W, 1.7e308), whole_plane)
    assert np.isfinite(characteristic_frequency(W, method="centroid", power=1e9)).all()
    np.testing.assert_allclose(energy_in_window(W, (0, 0), 1.7e308), 1, rtol=1e-12)
    assert energy_in_window(W, (1e300, 0), 5e-324) == 0
    x = noise(1, 9, 12)
    np.testing.assert_allclose(translate(x, (9e15, 12e15)), x, atol=1e-12)
    assert np.isfinite(translate(x, (1.7e308, -1.7e308))).all()


@pytest.mark.parametrize("value", [None, 3, b"db4", ["db4"], object(), np.array(["x", "y"])])
def test_names_that_are_no_text_are_refused(value):
    for f in (
        lambda v: DualTreePackets1D(1, boundary=[] if v is None else v),
        lambda v: DualTreePackets1D(1, v),
        filter_bank,
        lambda v: filter_bank("cf_1_1", 7 if v is None else v),
        lambda v: FilterBank(v, *[filter_bank("cf_1_1").h1] * 3),
        lambda v: characteristic_frequency(KERNEL, method=v),
        lambda v: translate(KERNEL, (0.5, 0), v),
        lambda v: packet_pool(v, np.ones((64, 64))),
    ):
        with pytest.raises((TypeError, ValueError), match=r"must be|unknown boundary"):
            f(value)


def test_one_name_is_no_list_of_banks():
    with pytest.raises(TypeError, match=r"'cf_3_3', one string; expected several banks"):
        compare_banks("cf_3_3", 2)


def test_taps_whose_squares_overflow_are_no_orthonormal_filter():
    taps = np.array([1.0, 1.0, 1.0, -1.0]) * 1e300
    with pytest.raises(ValueError, match="not an orthonormal low-pass filter"):
        FilterBank("mine", taps, taps, taps)


def test_channels_are_chosen_by_number_or_mask():
    every = TWO.kernels()
    for channels in ([3, 1], np.array([5], np.uint8), 7, -1):
        np.testing.assert_array_equal(TWO.kernels(channels), every[np.atleast_1d(channels)])
    mask = np.arange(32) % 5 == 0
    np.testing.assert_array_equal(TWO.kernels(mask), every[mask])
    assert TWO.kernels([]).shape == (0, *every.shape[1:])
    for channels, error in ((1.5, TypeError), ("node_y", TypeError), (mask[1:], TypeError), ([[1]], ValueError)):
        with pytest.raises(error, match="channels"):
            TWO.kernels(channels)
    with pytest.raises(IndexError):
        TWO.kernels(32)


@examples(5)
@given(seed=seeds)
def test_overflow_is_refused_or_shows_in_the_result(seed):
    x = np.where(noise(seed, 24, 24) > 0, 1.7e308, -1.7e308)
    for f in (ONE.forward, TWO.forward, hilbert2d):
        with pytest.raises(ValueError, match=r"1\.7e\+308"):
            f(x)
    for f in (lambda v: translate(v, (0.5, 0)), lambda v: power_spectrum(v, 24)):
        assert not np.isfinite(f(x)).all()


def test_every_public_function_of_wavelets_is_here():
    source = Path(__file__).read_text(encoding="utf-8")
    elsewhere = {"get_num_threads", "set_num_threads", "Coefficients", "Monogenic", "monogenic"}  # tests of their own
    assert all(name in source for name in set(wavelets.__all__) - elsewhere)
