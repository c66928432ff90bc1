"""Coefficients know their transform: what keeps it, what drops it, and what the inverse refuses."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from wavelets import Coefficients, DualTreePackets1D, DualTreePackets2D, FilterBank, filter_bank

# Filters of 12 taps throughout: the loops are compiled for every number of taps.
T = DualTreePackets2D(1, "cf_3_3")
X = np.random.default_rng(1).standard_normal((2, 6, 6))


@pytest.fixture(scope="module")
def c():
    return T.forward(X)


def is_coefficients(x):
    return isinstance(x, Coefficients)


# ---- the inverse ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("other", "values"),
    [
        (DualTreePackets2D(1, "cf_2_3"), ("filters", "cf_3_3", "cf_2_3")),
        (DualTreePackets2D(1, "cf_2_4"), ("filters", "cf_3_3", "cf_2_4")),
        (DualTreePackets2D(1, "cf_3_3", boundary="zero"), ("boundary", "periodization", "zero")),
        (DualTreePackets2D(1, "cf_3_3", stride=1), ("stride", "2", "1")),
    ],
    ids=repr,
)
def test_another_transform_refuses_and_names_the_difference(c, other, values):
    for backward in (other.inverse, other.adjoint):
        with pytest.raises(ValueError) as error:
            backward(c)
        assert all(value in str(error.value) for value in values)


def test_levels_and_dimensions_are_told_apart():
    # Four channels of one axis, or of two: the shape alone would do.
    one, two = DualTreePackets1D(3, "cf_2_4"), DualTreePackets2D(1, "cf_2_4")
    signals = one.forward(np.ones((2, 8, 8)))  # (2, 8, 8, 1)
    images = two.forward(np.ones((2, 16, 2)))  # (2, 8, 8, 1)
    assert signals.shape == images.shape
    with pytest.raises(ValueError, match=r"levels 3 and not 1.*size \(8,\) and not \(16, 2\)"):
        two.inverse(signals, (16, 2))
    with pytest.raises(ValueError, match="levels 1 and not 3"):
        one.inverse(images, 8)


def test_banks_of_one_name_and_other_taps_are_told_apart(c):
    bank = filter_bank("cf_2_4")
    with pytest.raises(ValueError, match="taps"):
        DualTreePackets2D(1, FilterBank("cf_3_3", bank.h1, bank.h2, bank.h_first)).inverse(c)
    same = filter_bank("cf_3_3")
    renamed = DualTreePackets2D(1, FilterBank("mine", same.h1, same.h2, same.h_first))
    np.testing.assert_allclose(renamed.inverse(c), X, atol=1e-12)


def test_another_size_is_refused(c):
    with pytest.raises(ValueError, match=r"size \(6, 6\) and not \(5, 6\)"):
        T.inverse(c, (5, 6))
    np.testing.assert_allclose(T.inverse(c, 6), X, atol=1e-12)
    assert T.inverse(np.asarray(c), (5, 6)).shape == (2, 5, 6)  # an array has no origin


# ---- arithmetic -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sizes", [((5, 6), (6, 6)), ((6, 6), (5, 6)), ((5, 5), (6, 6))])
def test_sums_over_two_sizes_invert_to_neither(sizes):
    a, b = (T.forward(np.ones(size)) for size in sizes)
    assert a.shape == b.shape
    total = a + b
    assert not is_coefficients(total)
    with pytest.raises(ValueError, match="carry no size"):
        T.inverse(total)
    with pytest.raises(ValueError, match="size"):
        a += b
    with pytest.raises(ValueError, match="size"):
        a[...] = b
    np.testing.assert_allclose(T.inverse(a), 1)  # untouched


def test_elementwise_arithmetic_keeps_the_origin(c):
    gains = np.linspace(1, 2, 8)[:, None, None]
    for result in (2 * c, c / 2, -c, c + c, gains * c, c * gains, np.conj(c), np.float32(2) * c, c - 1j):
        assert is_coefficients(result) and result.origin == c.origin
    np.testing.assert_allclose(T.inverse(2 * c - c / 2), 1.5 * X, atol=1e-12)
    batch = np.arange(3.0)[:, None, None, None, None] * c
    assert is_coefficients(batch) and batch.shape == (3, *c.shape)
    other = c.copy()
    other *= 3
    assert is_coefficients(other)
    np.multiply(other, 2, out=other)
    other[0] = 0
    other.imag *= 1
    np.testing.assert_allclose(T.inverse(other), [np.zeros((6, 6)), 6 * X[1]], atol=1e-12)


def test_what_is_no_longer_coefficients_is_an_array(c):
    square = np.ones((3, 3))
    plain = [
        np.abs(c), c.real, c.imag, c == c, c > 0, np.isfinite(c), c @ square, np.add.reduce(c), c.sum(axis=0),
        c[:, :4], c[:, ::-1], c[0, 1], c[..., 0], c[..., ::-1], c[:, [1, 0, 2, 3, 4, 5, 6, 7]], c[c.real > 0],
        c.swapaxes(-1, -2), c.T, np.swapaxes(c, -1, -2), c.reshape(16, 3, 3), np.stack([c, c]), np.roll(c, 1, -1),
        c.real.astype(np.float32), c.astype(str), c.take([0], axis=1),
    ]  # fmt: skip
    assert not any(map(is_coefficients, plain))
    for swapped in (c.swapaxes(-1, -2), c[:, ::-1], np.roll(c, 1, -1)):  # all of the right shape
        with pytest.raises(ValueError, match="carry no size"):
            T.inverse(swapped)


def test_the_batch_may_be_indexed(c):
    for key in (0, -1, slice(1), [1, 0], np.array([True, False]), None, (0, Ellipsis), (slice(None), slice(None)), ...):
        assert is_coefficients(c[key]) and c[key].origin == c.origin
    np.testing.assert_allclose(T.inverse(c[[1, 0]]), X[[1, 0]], atol=1e-12)
    np.testing.assert_allclose([T.inverse(one) for one in c], X, atol=1e-12)
    assert not is_coefficients(c[0][0]) and not is_coefficients(c[0][[True] * 8])


# ---- an array in every expression -----------------------------------------------------------------------------------


def test_numpy_takes_it_for_an_array(c):
    array = np.asarray(c)
    assert type(array) is np.ndarray and np.asarray(c) is array and len(c) == 2
    assert (c.shape, c.ndim, c.size, c.dtype, c.nbytes) == (array.shape, 4, array.size, array.dtype, array.nbytes)
    np.testing.assert_array_equal(c, array)
    for function in (np.mean, np.sum, np.abs, np.ravel, np.transpose, np.zeros_like, np.angle, np.array):
        np.testing.assert_array_equal(function(c), function(array))
    assert isinstance(np.abs(c).max(), np.float64) and np.vdot(c, c).real > 0
    assert (np.array(c, copy=True) is not array) and np.asarray(c, np.complex64).dtype == np.complex64
    assert c.astype(np.complex64).origin == c.origin
    with pytest.raises(AttributeError):
        c.nothing  # noqa: B018


@pytest.mark.parametrize(
    "again", [lambda c: pickle.loads(pickle.dumps(c)), copy.copy, copy.deepcopy, lambda c: c.copy()]
)
def test_copies_know_the_origin_and_share_no_memory(c, again):
    other = again(c)
    assert is_coefficients(other) and other.origin == c.origin
    assert not np.shares_memory(np.asarray(other), np.asarray(c))
    np.testing.assert_allclose(T.inverse(other), X, atol=1e-12)


def test_hashes_see_the_origin():
    joblib = pytest.importorskip("joblib")
    zeros = np.zeros((5, 6)), np.zeros((6, 6))
    transforms = (T, DualTreePackets2D(1, "cf_2_4"), DualTreePackets2D(1, "cf_3_3+db6"))
    every = [t.forward(x) for t in transforms for x in zeros]
    assert len({c.shape for c in every}) == 1
    assert len({joblib.hash(c) for c in every}) == 6
    assert joblib.hash(every[0]) == joblib.hash(every[0].copy()) == joblib.hash(T.forward(zeros[0]))
