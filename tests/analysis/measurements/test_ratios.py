"""Sums of ratios against numpy on the stacked data."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.measurements.ratios import ratio_statistics, ratio_sums


def data(n, shape=(4, 3), seed=1):
    rng = np.random.default_rng(seed)
    numerator, denominator = rng.random((2, n, *shape))
    defined = rng.random((n, *shape)) > 0.3
    # What is undefined may hold anything, and must not show.
    denominator[~defined] = rng.choice([0.0, np.nan, np.inf, 1e300], defined.size)[: (~defined).sum()]
    numerator[~defined] = rng.choice([0.0, np.nan, np.inf, 1e300], defined.size)[: (~defined).sum()]
    return numerator, denominator, defined


def statistics(*arguments):
    return ratio_statistics(ratio_sums(*arguments))


@pytest.mark.filterwarnings("ignore:invalid value")  # inf / 1 and the like, in entries that are left out
def test_equals_numpy_on_the_stacked_data():
    numerator, denominator, defined = data(30)
    sums = statistics(numerator, denominator, defined)
    for index in np.ndindex(4, 3):
        keep = (slice(None), *index)
        use = defined[keep]
        a, b = numerator[keep][use], denominator[keep][use]
        ratios = np.sqrt(a / b)
        assert sums.count[index] == use.sum()
        assert sums.mean[index] == pytest.approx(ratios.mean(), rel=1e-12)
        assert sums.stderr[index] == pytest.approx(ratios.std(ddof=1) / np.sqrt(use.sum()), rel=1e-9)
        assert sums.rms[index] == pytest.approx(np.sqrt(a.sum() / b.sum()), rel=1e-12)


def test_the_rms_weighs_by_energy_and_the_mean_does_not():
    sums = statistics(np.array([[1.0], [0.0]]), np.array([[1.0], [9.0]]), np.ones((2, 1), bool))
    assert sums.mean[0] == pytest.approx(0.5)
    assert sums.rms[0] == pytest.approx(np.sqrt(0.1))
    assert sums.stderr[0] == pytest.approx(0.5)


@given(st.integers(1, 25), st.lists(st.integers(1, 24), max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=60)
def test_merging_any_split_in_any_order_equals_the_whole(n, cuts, random):
    numerator, denominator, defined = (array[:n] for array in data(25, seed=2))
    denominator, numerator = (np.where(defined, array, 0.0) for array in (denominator, numerator))
    edges = sorted({0, n, *(cut for cut in cuts if cut < n)})
    parts = [ratio_sums(*(array[a:b] for array in (numerator, denominator, defined))) for a, b in pairwise(edges)]
    random.shuffle(parts)
    merged, whole = sum(parts), ratio_sums(numerator, denominator, defined)
    np.testing.assert_allclose(merged, whole, rtol=1e-12, atol=1e-14)
    assert ratio_statistics(merged).count.dtype == np.int64


def test_no_image_gives_nan_and_one_image_no_standard_error():
    none = ratio_statistics(np.zeros((8, 2, 3)))
    for values in (none.mean, none.stderr, none.rms):
        assert values.shape == (2, 3) and np.isnan(values).all()
    sums = ratio_sums(np.full((1, 2, 3), 4.0), np.ones((1, 2, 3)), np.ones((1, 2, 3), bool))
    one = ratio_statistics(sums)
    assert (one.mean == 2).all() and (one.rms == 2).all() and np.isnan(one.stderr).all()
    assert (ratio_statistics(sums + sums).stderr == 0).all()


def test_the_standard_error_of_the_rms_is_that_of_resampled_pictures():
    rng = np.random.default_rng(4)
    denominator = rng.lognormal(0, 1, 400)
    numerator = denominator * rng.uniform(0.1, 0.5, 400)
    found = statistics(numerator[:, None], denominator[:, None], np.ones((400, 1), bool))
    picks = rng.integers(400, size=(2000, 400))
    resampled = np.sqrt(numerator[picks].sum(axis=1) / denominator[picks].sum(axis=1)).std()
    jackknife = np.sqrt((numerator.sum() - numerator) / (denominator.sum() - denominator))
    jackknife = np.sqrt(399 * jackknife.var())
    assert found.rms_stderr[0] == pytest.approx(resampled, rel=0.07)
    assert found.rms_stderr[0] == pytest.approx(jackknife, rel=0.01)
    one = statistics(np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1), bool))
    none = statistics(np.zeros((3, 1)), np.ones((3, 1)), np.ones((3, 1), bool))
    assert np.isnan(one.rms_stderr).all() and none.rms_stderr[0] == none.rms[0] == 0


def test_equal_ratios_have_no_spread_despite_rounding():
    for value in (0.1, 1 / 3, 0.7):
        sums = statistics(np.full((7, 1), value), np.ones((7, 1)), np.ones((7, 1), bool))
        assert 0 <= sums.stderr[0] < 1e-8


def test_entries_count_each_for_itself():
    defined = np.array([[True, False], [True, True], [True, False]])
    sums = statistics(np.full((3, 2), 9.0), np.full((3, 2), 1.0), defined)
    assert sums.count.tolist() == [3, 1]
    assert sums.mean.tolist() == [3, 3]
    assert np.isnan(sums.stderr).tolist() == [False, True]


def test_scalar_and_empty_shapes():
    scalar = statistics(np.array([1.0, 4.0]), np.ones(2), np.ones(2, bool))
    assert scalar.mean == pytest.approx(1.5)
    empty = statistics(np.ones((1, 5, 0)), np.ones((1, 5, 0)), np.ones((1, 5, 0), bool))
    assert empty.mean.shape == (5, 0)
