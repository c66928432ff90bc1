"""Lattices against the taps they stand for, when there is none, and a transform by lattices against one by taps."""

from __future__ import annotations

import numpy as np
import pytest
import pywt

from wavelets import DualTreePackets2D, filter_bank
from wavelets.engine import plan
from wavelets.engine.lattice import EXACT, Lattice, impulse_response, lattice
from wavelets.engine.sweeps import analysis_sweep
from wavelets.filters import MAX_TAPS

# The ends and the middle of every length.
PAIRS = [(K, n - K) for n in range(2, MAX_TAPS // 2 + 1) for K in sorted({1, n // 2, n - 1})]


def polyphase(low, high):
    return analysis_sweep(low, high, 64, "zero", True).polyphase


def of_pywavelets(name):
    wavelet = pywt.Wavelet(name)
    return polyphase(np.array(wavelet.dec_lo[::-1]), np.array(wavelet.dec_hi[::-1]))


def filters_of(bank):
    """Polyphase matrices of all filter pairs of a bank, for analysis and for synthesis."""
    pairs = [stage(p) for stage in (bank.first_stage, bank.main_stage) for p in (1, 2)]
    return [E for pair in pairs for E in (polyphase(*pair), polyphase(*pair).swapaxes(1, 2))]


# ---- factoring ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("K", "L"), PAIRS)
def test_a_lattice_has_the_taps_as_its_impulse_response(K, L):
    for E in filters_of(filter_bank(f"cf_{K}_{L}")):
        found = lattice(E)
        if K + L > 6 and found is None:  # long filters may be too badly conditioned
            continue
        assert len(found.tangents) == K + L and len(found.scales) == 2
        np.testing.assert_allclose(impulse_response(found), E, rtol=0, atol=EXACT)


def test_few_long_filters_have_none():
    found = [lattice(E) for K, L in PAIRS if K + L > 6 for E in filters_of(filter_bank(f"cf_{K}_{L}"))]
    assert sum(f is None for f in found) < 0.1 * len(found)


@pytest.mark.parametrize("name", [f"db{n}" for n in range(2, 11)] + ["coif1", "coif2", "coif3"])
def test_lattices_of_pywavelets_filters(name):
    E = of_pywavelets(name)
    for matrices in (E, E.swapaxes(1, 2), E * [[[-1], [1]]], E * [[[1], [-1]]]):
        np.testing.assert_allclose(impulse_response(lattice(matrices)), matrices, rtol=0, atol=EXACT)


def test_impulse_response_by_hand():
    # (u, v) -> (u + a v, v - a u), u waits, (u + b v, v - b u)
    a, b, s, t = 2.0, 3.0, 5.0, 7.0
    older = [[1, a], [-b, -a * b]]
    newest = [[-a * b, b], [-a, 1]]
    expected = np.array([older, newest]) * [[s], [t]]
    np.testing.assert_array_equal(impulse_response(Lattice((a, b), (s, t))), expected)


def test_energy_is_preserved():
    for filters in ("cf_1_1", "cf_3_3", "cf_5_1"):
        for E in filters_of(filter_bank(filters)):
            tangents, scales = lattice(E)
            assert scales[0] ** 2 == pytest.approx(scales[1] ** 2, rel=1e-14)
            assert scales[0] ** 2 * np.prod(1 + np.square(tangents)) == pytest.approx(1, rel=1e-12)


def test_what_is_no_lattice_stays_taps():
    rng = np.random.default_rng(1)
    default = polyphase(*filter_bank().main_stage(1))
    perturbed = default + 1e-9 * rng.standard_normal(default.shape)
    others = [of_pywavelets("haar"), default[:1], perturbed, rng.standard_normal((6, 2, 2))]
    others += [of_pywavelets("sym6"), of_pywavelets("sym20")]  # orthonormal to 1e-12 only
    others += [np.zeros((6, 2, 2)), np.concatenate([np.zeros((1, 2, 2)), default])]
    others += [np.full((6, 2, 2), 1e-300), np.full((6, 2, 2), 1e300)]
    others += [np.concatenate([default, np.zeros((1, 2, 2))])]
    for E in others:
        assert lattice(E) is None


@pytest.mark.parametrize(("tangent", "there"), [(1e5, True), (1e7, False)])
def test_large_gains_stay_taps(tangent, there):
    scale = 1 / (1 + tangent**2)
    E = impulse_response(Lattice((tangent,) * 2, (scale,) * 2))
    assert np.abs(E).max() == pytest.approx(1)
    assert (lattice(E) is not None) == there


# ---- what plans choose ----------------------------------------------------------------------------------------------


def plan_of(filters, kind="forward", dtype=np.float64):
    return plan.axis_plan(filter_bank(filters), 2, 20, "symmetric", False, kind, np.dtype(dtype))


@pytest.mark.parametrize("kind", plan.KINDS)
def test_a_plan_holds_lattices_or_else_taps(kind):
    for filters in ("cf_3_3", "cf_3_3+db4"):
        default = plan_of(filters, kind)
        assert all(isinstance(pair, Lattice) for pair in default.first + default.main)
        assert {len(pair.tangents) for pair in default.main} == {6}
    assert {len(pair.tangents) for pair in default.first} == {4}
    mixed = plan_of("cf_3_3+sym6", kind)
    assert all(isinstance(pair, plan.Taps) for pair in mixed.first)
    assert all(isinstance(pair, Lattice) for pair in mixed.main)
    single = plan_of("cf_3_3", kind, np.float32)
    assert {number.dtype for pair in single.main for part in pair for number in part} == {np.dtype(np.float32)}


def test_one_lattice_of_two_is_none():
    # Both trees go through the same code: what one of them cannot be, neither is; fewer taps are filled up.
    bank = filter_bank()
    odd, short = filter_bank("cf_3_3+sym6").first_stage(1), filter_bank("cf_1_1").main_stage(1)
    for other in (odd, short):
        sweeps = [analysis_sweep(*pair, 20, "zero", True) for pair in (bank.main_stage(1), other)]
        filters = plan._filters(plan._of_one_length(sweeps), np.dtype(np.float64))
        for sweep, taps in zip(sweeps, filters, strict=True):
            assert isinstance(taps, plan.Taps) and len(taps.first) == len(taps.second) == 12
            matrices = np.stack([taps.first, taps.second]).reshape(2, 6, 2).swapaxes(0, 1)
            missing = 6 - len(sweep.polyphase)
            assert (matrices[:missing] == 0).all()
            np.testing.assert_array_equal(matrices[missing:], sweep.polyphase)


# ---- lattices and taps give the same --------------------------------------------------------------------------------


def results(x, y, boundary):
    t = DualTreePackets2D(2, boundary=boundary)
    c = t.forward(x)
    return np.asarray(c), t.inverse(y.astype(c.dtype), x.shape), t.adjoint(y.astype(c.dtype), x.shape)


@pytest.mark.parametrize("boundary", ["periodization", "symmetric"])
def test_lattices_and_taps_give_the_same_transform(monkeypatch, boundary):
    rng = np.random.default_rng(2)
    x = rng.standard_normal((23, 38))
    grid = DualTreePackets2D(2, boundary=boundary).forward(x).shape
    y = rng.standard_normal(grid) + 1j * rng.standard_normal(grid)
    by_lattice = {dtype: results(x.astype(dtype), y, boundary) for dtype in (np.float64, np.float32)}
    monkeypatch.setattr(plan, "lattice", lambda polyphase: None)
    assert isinstance(plan_of("cf_3_3").main[0], plan.Taps)
    expected = results(x, y, boundary)
    for dtype, tolerance in ((np.float64, 1e-13), (np.float32, 1e-5)):
        for got, values in zip(by_lattice[dtype], expected, strict=True):
            assert got.real.dtype == dtype
            assert np.abs(got - values).max() < tolerance * np.abs(values).max()
