"""Sweeps, executed by an obvious loop, against PyWavelets and dense matrices; the kernels against that loop."""

from __future__ import annotations

import numpy as np
import pytest
import pywt

from wavelets import filter_bank
from wavelets.engine import loops, reference, stages
from wavelets.engine.lattice import Lattice
from wavelets.engine.plan import Taps, axis_plan, buffer_size
from wavelets.engine.sweeps import BLOCK, NOWHERE, analysis_sweep, synthesis_sweep

BOUNDARIES = stages.BOUNDARIES
KINDS = ("inverse", "adjoint")


def execute(sweep, x):
    """Rows that a sweep makes of the rows x; NaN stands for whatever was in memory before."""
    lag = len(sweep.polyphase) - 1
    out = np.full((sweep.rows, *x.shape[1:]), np.nan)
    pairs = [np.full((2, *x.shape[1:]), np.nan)] * lag
    for *read, first, second in sweep.steps:
        pairs.append(np.stack([np.zeros(x.shape[1:]) if r == NOWHERE else x[r] for r in read]))
        result = sum(matrix @ pair for matrix, pair in zip(sweep.polyphase, pairs[-lag - 1 :], strict=True))
        for target, values in zip((first, second), result, strict=True):
            if target != NOWHERE:
                out[target] = values
    for source, target in sweep.additions:
        out[target] += out[source]
    return out


def analysis_matrix(pair, n, boundary, decimated):
    return execute(analysis_sweep(*pair, n, boundary, decimated), np.eye(n))


def synthesis_matrix(pair, n, boundary, decimated, kind):
    count = stages.coefficient_count(n, pair[0].size, boundary, decimated)
    return execute(synthesis_sweep(*pair, n, boundary, decimated, kind), np.eye(2 * count))[:n]


def pairs_of_filters():
    """Two taps, many, the first stages of both trees with zeros at their ends, and ends that leave pairs askew."""
    wavelet = pywt.Wavelet("sym7")
    bank = filter_bank("cf_1_2", "db3")
    first, second = np.random.default_rng(1).standard_normal((2, 6))
    first[0], second[-1] = 0, 0
    haar = np.full(2, np.sqrt(0.5))
    return {
        "two taps": (haar, haar * [1, -1]),
        "sym7": (np.array(wavelet.dec_lo[::-1]), np.array(wavelet.dec_hi[::-1])),
        "main": bank.main_stage(2),
        "first stage, tree 1": bank.first_stage(1),
        "first stage, tree 2": bank.first_stage(2),
        "askew": (first, second),
        "askew the other way": (second, first),
    }


FILTERS = pairs_of_filters()
every_pair = pytest.mark.parametrize("pair", FILTERS.values(), ids=FILTERS)
orthonormal = pytest.mark.parametrize("pair", [FILTERS[k] for k in FILTERS if "askew" not in k])
every_geometry = pytest.mark.parametrize(
    ("boundary", "decimated"), [(boundary, decimated) for boundary in BOUNDARIES for decimated in (True, False)]
)


# ---- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.nojit
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("name", ["db1", "db5", "sym7"])
def test_a_stage_equals_pywavelets_and_inverts(boundary, name):
    wavelet = pywt.Wavelet(name)
    pair = np.array(wavelet.dec_lo[::-1]), np.array(wavelet.dec_hi[::-1])
    rng = np.random.default_rng(1)
    for n in [*range(1 if boundary != "reflect" else 2, 30), 64, 101]:  # PyWavelets refuses to reflect one sample
        x = rng.standard_normal(n)
        expected = np.concatenate(pywt.dwt(x, wavelet, boundary))
        np.testing.assert_allclose(execute(analysis_sweep(*pair, n, boundary, True), x), expected, atol=1e-12)
        back = execute(synthesis_sweep(*pair, n, boundary, True, "inverse"), expected)
        np.testing.assert_allclose(back[:n], x, atol=1e-11)


@pytest.mark.nojit
@every_geometry
@every_pair
def test_a_stage_is_the_dense_matrix_and_its_adjoint_the_transpose(pair, boundary, decimated):
    for n in range(1, 31):
        step = 2 if decimated else 1
        expected = np.concatenate([reference.filter_matrix(taps, n, boundary, step) for taps in pair])
        np.testing.assert_allclose(analysis_matrix(pair, n, boundary, decimated), expected, atol=1e-14)
        transpose = synthesis_matrix(pair, n, boundary, decimated, "adjoint")
        np.testing.assert_allclose(transpose, expected.T, atol=1e-14)


@pytest.mark.nojit
@every_geometry
@orthonormal
def test_synthesis_inverts(pair, boundary, decimated):
    for n in range(1, 31):
        back = synthesis_matrix(pair, n, boundary, decimated, "inverse") @ analysis_matrix(pair, n, boundary, decimated)
        np.testing.assert_allclose(back, np.eye(n) * (1 if decimated else 2), atol=1e-11)  # as orthonormal as sym7 is


@pytest.mark.nojit
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_undecimated_stage_holds_the_decimated_one(boundary):
    pair = filter_bank().main_stage(1)
    for n in (1, 2, 7, 20):
        dense, coarse = (analysis_matrix(pair, n, boundary, decimated).reshape(2, -1, n) for decimated in (False, True))
        phase = 0 if boundary == "periodization" else 1
        np.testing.assert_allclose(dense[:, phase::2][:, : coarse.shape[1]], coarse, atol=1e-14)


# ---- the lists ------------------------------------------------------------------------------------------------------


def all_sweeps(pair, n, boundary, decimated):
    """Sweeps of all kinds, with the rows that each reads and those that it is for."""
    count = stages.coefficient_count(n, pair[0].size, boundary, decimated)
    yield analysis_sweep(*pair, n, boundary, decimated), n, 2 * count
    for kind in KINDS:
        yield synthesis_sweep(*pair, n, boundary, decimated, kind), 2 * count, n


@pytest.mark.nojit
@every_geometry
@every_pair
def test_every_row_is_written_once_and_extra_ones_are_added(pair, boundary, decimated):
    for n in range(1, 31):
        for sweep, sources, targets in all_sweeps(pair, n, boundary, decimated):
            assert sweep.steps.dtype == sweep.additions.dtype == np.int64
            assert len(sweep.steps) % BLOCK == 0
            read, written = sweep.steps[:, :2], sweep.steps[:, 2:]
            assert NOWHERE <= read.min() and read.max() < sources
            assert sorted(written[written != NOWHERE]) == list(range(sweep.rows))
            source, target = sweep.additions.T
            assert sorted(source) == list(range(targets, sweep.rows))  # each of them once, and after those that count
            assert ((target >= 0) & (target < targets)).all()


@pytest.mark.nojit
def test_only_what_overlaps_is_added():
    pair = filter_bank().main_stage(1)
    for boundary in BOUNDARIES:
        assert len(analysis_sweep(*pair, 20, boundary, False).additions) == 0
        assert len(synthesis_sweep(*pair, 20, boundary, True, "inverse").additions) == 0
        assert len(synthesis_sweep(*pair, 20, boundary, False, "inverse").additions) == 20  # two phases
    assert len(synthesis_sweep(*pair, 20, "zero", True, "adjoint").additions) == 0
    assert len(synthesis_sweep(*pair, 20, "symmetric", True, "adjoint").additions) == 20  # 10 on each side


@pytest.mark.nojit
@every_geometry
def test_high_pass_coefficients_may_stand_further_on(boundary, decimated):
    pair, n, spacing = filter_bank().main_stage(1), 13, 40
    count = stages.coefficient_count(n, pair[0].size, boundary, decimated)
    c = np.random.default_rng(2).standard_normal((2, count))
    spread = np.full((2, spacing), np.nan)
    spread[:, :count] = c
    for kind in KINDS:
        together = execute(synthesis_sweep(*pair, n, boundary, decimated, kind), c.ravel())
        apart = execute(synthesis_sweep(*pair, n, boundary, decimated, kind, spacing), spread.ravel())
        np.testing.assert_array_equal(apart, together)


@pytest.mark.nojit
def test_zeros_at_the_ends_are_no_sections():
    bank = filter_bank()
    for tree in (1, 2):
        assert bank.h1_first.size == 14
        assert len(analysis_sweep(*bank.first_stage(tree), 20, "zero", True).polyphase) == 6


# ---- the kernels ----------------------------------------------------------------------------------------------------


@pytest.mark.nojit
@pytest.mark.parametrize("kind", ["forward", "adjoint", "inverse"])
@pytest.mark.parametrize("filters", ["cf_1_1", "cf_1_1+sym3"])  # a lattice, and taps
def test_the_kernels_do_what_the_loop_does(filters, kind):
    bank = filter_bank(filters)
    rng = np.random.default_rng(3)
    for boundary in BOUNDARIES:
        for n, undecimated in ((1, True), (6, False), (9, True)):
            plan = axis_plan(bank, 1, n, boundary, undecimated, kind, np.dtype(np.float64))
            assert isinstance(plan.first[0], Taps if "+" in filters else Lattice)
            rows = n if kind == "forward" else 2 * int(plan.sizes[1])
            for tree in (1, 2):
                geometry = (*bank.first_stage(tree), n, boundary, not undecimated)
                sweep = analysis_sweep(*geometry) if kind == "forward" else synthesis_sweep(*geometry, kind)
                x = np.full((loops.DATA + rows, 3), np.nan)
                x[0], x[loops.DATA :] = 0, rng.standard_normal((rows, 3))
                out = np.full((loops.DATA + sweep.rows + 1, 3), 7.0)
                storage = np.full((1, buffer_size(plan, 3)), 1e6)  # what waits there must not come out
                loops.split(plan, tree - 1, 0, 0, x, loops.DATA, out, loops.DATA, storage)
                expected = execute(sweep, x[loops.DATA :])
                np.testing.assert_allclose(out[loops.DATA : -1], expected, atol=1e-12)
                assert (out[0] == 7).all() and (out[-1] == 7).all()
