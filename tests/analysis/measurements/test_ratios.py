"""Mergeable sums against numpy on the stacked data."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.measurements.ratios import RatioSums
from analysis.runs.totals import Total

pytestmark = pytest.mark.nojit

FIELDS = ("count", "total", "squares", "numerator", "denominator")


def data(n, shape=(4, 3), seed=1):
    rng = np.random.default_rng(seed)
    numerator, denominator = rng.random((2, n, *shape))
    defined = rng.random((n, *shape)) > 0.3
    # What is undefined may hold anything, and must not show.
    denominator[~defined] = rng.choice([0.0, np.nan, np.inf, 1e300], defined.size)[: (~defined).sum()]
    numerator[~defined] = rng.choice([0.0, np.nan, np.inf, 1e300], defined.size)[: (~defined).sum()]
    return numerator, denominator, defined


def merge(*parts):
    total = Total(len(parts[0].flat))
    for part in parts:
        total.add(part.flat)
    return RatioSums.from_flat(total.value, parts[0].count.shape)


@pytest.mark.filterwarnings("ignore:invalid value")  # inf / 1 and the like, in entries that are left out
def test_equals_numpy_on_the_stacked_data():
    numerator, denominator, defined = data(30)
    sums = RatioSums.of(numerator, denominator, defined)
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
    sums = RatioSums.of(np.array([[1.0], [0.0]]), np.array([[1.0], [9.0]]), np.ones((2, 1), bool))
    assert sums.mean[0] == pytest.approx(0.5)
    assert sums.rms[0] == pytest.approx(np.sqrt(0.1))
    assert sums.stderr[0] == pytest.approx(0.5)


@given(st.integers(1, 25), st.lists(st.integers(1, 24), max_size=6), st.randoms(use_true_random=False))
@settings(max_examples=60, deadline=None)
def test_merging_any_split_in_any_order_equals_the_whole(n, cuts, random):
    numerator, denominator, defined = (array[:n] for array in data(25, seed=2))
    denominator, numerator = (np.where(defined, array, 0.0) for array in (denominator, numerator))
    edges = sorted({0, n, *(cut for cut in cuts if cut < n)})
    parts = [RatioSums.of(*(array[a:b] for array in (numerator, denominator, defined))) for a, b in pairwise(edges)]
    random.shuffle(parts)
    merged = merge(*parts)
    whole = RatioSums.of(numerator, denominator, defined)
    for name in FIELDS:
        np.testing.assert_allclose(getattr(merged, name), getattr(whole, name), rtol=1e-12, atol=1e-14)
    assert merged.count.dtype == np.int64


def test_order_changes_the_last_bit_at_most_where_a_plain_sum_loses_all():
    rng = np.random.default_rng(6)
    terms = np.concatenate([rng.random((500, 4)) * 10.0 ** rng.integers(-8, 17, (500, 4)), -1e16 * rng.random((9, 4))])
    exact = np.array([float(sum(map(Fraction, column))) for column in terms.T])
    for _ in range(5):
        total = Total(4)
        for term in rng.permutation(terms):
            total.add(term)
        np.testing.assert_allclose(total.value, exact, rtol=3e-16)
    assert np.abs(terms.sum(axis=0) / exact - 1).max() > 1e-15


def test_totals_of_totals_are_those_of_all_terms():
    terms = np.random.default_rng(7).random((90, 3)) * np.logspace(0, 12, 90)[:, None]
    whole, tree = Total(3), Total(3)
    for part in np.split(terms, 9):
        partial = Total(3)
        for term in part:
            whole.add(term)
            partial.add(term)
        tree.add(partial.rounded, partial.error)
    np.testing.assert_array_equal(tree.value, whole.value)


def test_what_is_added_is_left_alone():
    a = RatioSums.of(np.ones((2, 4, 3)), np.ones((2, 4, 3)), np.ones((2, 4, 3), bool))
    vector = a.flat
    total = Total(len(vector))
    total.add(vector)
    total.add(vector)
    assert (vector == a.flat).all() and (a.count == 2).all()
    assert (RatioSums.from_flat(total.value, (4, 3)).count == 4).all()


def test_no_image_gives_nan_and_one_image_no_standard_error():
    none = RatioSums.from_flat(Total(30).value, (2, 3))
    for values in (none.mean, none.stderr, none.rms):
        assert values.shape == (2, 3) and np.isnan(values).all()
    one = RatioSums.of(np.full((1, 2, 3), 4.0), np.ones((1, 2, 3)), np.ones((1, 2, 3), bool))
    assert (one.mean == 2).all() and (one.rms == 2).all() and np.isnan(one.stderr).all()
    assert (merge(one, one).stderr == 0).all()


def test_equal_ratios_have_no_spread_despite_rounding():
    for value in (0.1, 1 / 3, 0.7):
        sums = RatioSums.of(np.full((7, 1), value), np.ones((7, 1)), np.ones((7, 1), bool))
        assert 0 <= sums.stderr[0] < 1e-8


def test_entries_count_each_for_itself():
    defined = np.array([[True, False], [True, True], [True, False]])
    sums = RatioSums.of(np.full((3, 2), 9.0), np.full((3, 2), 1.0), defined)
    assert sums.count.tolist() == [3, 1]
    assert sums.mean.tolist() == [3, 3]
    assert np.isnan(sums.stderr).tolist() == [False, True]


def test_scalar_and_empty_shapes():
    scalar = RatioSums.of(np.array([1.0, 4.0]), np.ones(2), np.ones(2, bool))
    assert scalar.mean == pytest.approx(1.5)
    empty = RatioSums.of(np.ones((1, 5, 0)), np.ones((1, 5, 0)), np.ones((1, 5, 0), bool))
    assert merge(empty, empty).mean.shape == (5, 0)
