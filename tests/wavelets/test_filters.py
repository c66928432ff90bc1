"""Filter banks: orthonormality, the half-sample relation, vanishing moments, and where names lead."""

from __future__ import annotations

import importlib.util
import itertools
import subprocess
import sys

import numpy as np
import pytest
import pywt

from wavelets import FilterBank, common_factor_pair, compare_banks, filter_bank, filters, packet_quality
from wavelets.filters import DEFAULT, QSHIFT, orthonormality_error
from wavelets.quality import band_energy, half_sample_error, vanishing_moments

PAIRS = [
    (1, 1),
    (1, 2),
    (2, 1),
    (1, 9),
    (9, 1),
    (2, 4),
    (4, 2),
    (3, 3),
    (4, 4),
    (5, 5),
    (6, 4),
    (7, 2),
]  # up to 10 in sum
HAS_DTCWT = importlib.util.find_spec("dtcwt") is not None


def spectrum(h, omega):
    """Spectrum of the convolution filter whose correlation kernel is h."""
    return np.exp(1j * np.outer(omega, np.arange(h.size))) @ h


@pytest.mark.parametrize(("K", "L"), PAIRS)
def test_common_factor_pairs_are_orthonormal_with_their_moments(K, L):
    h1, h2 = common_factor_pair(K, L)
    assert h1.size == h2.size == 2 * (K + L) <= 20
    for h in (h1, h2):
        for k in range(h.size // 2):
            product = h[2 * k :] @ h[: h.size - 2 * k]
            assert abs(product - (k == 0)) < 1e-14
        assert h.sum() == pytest.approx(np.sqrt(2), abs=1e-14)
    if K <= 6:  # beyond, rounding the taps to double precision hides the last moments
        assert vanishing_moments(FilterBank("pair", h1, h2, h1)) == K
    omega = np.linspace(-3.1, 3.1, 101)
    np.testing.assert_allclose(np.abs(spectrum(h1, omega)), np.abs(spectrum(h2, omega)), atol=1e-14)


def test_the_phase_between_the_pair_is_the_thiran_all_pass():
    # Closed form for L = 1: D(z) = 1 + z^-1 / 3, so H2 / H1 = (1/3 + z^-1) / (1 + z^-1 / 3).
    omega = np.linspace(-3, 3, 61)
    h1, h2 = common_factor_pair(2, 1)
    z = np.exp(-1j * omega)
    np.testing.assert_allclose(spectrum(h2, omega) / spectrum(h1, omega), (1 / 3 + z) / (1 + z / 3), atol=1e-12)


def test_known_special_case_without_delay_order_would_be_daubechies():
    # The common factor's moments are those of Daubechies' filters: same number of zeros at pi.
    db3 = np.array(pywt.Wavelet("db3").rec_lo)
    assert vanishing_moments(FilterBank("db3", db3, db3, db3)) == 3


def test_more_delay_order_means_a_better_half_sample_delay():
    errors = [half_sample_error(filter_bank(f"cf_2_{L}")) for L in range(1, 7)]
    assert all(a > 1.8 * b for a, b in itertools.pairwise(errors))


def test_default_bank_keeps_the_promise():
    bank = filter_bank()
    assert bank.name == DEFAULT and bank.h1.size <= 12
    for levels in (2, 3):
        (row,) = compare_banks([bank], levels)
        assert row.interior_leakage <= 8e-5
        assert row.orthonormality_error < 1e-14


@pytest.mark.parametrize(
    ("name", "levels", "leakage"),
    [
        ("cf_2_3", 2, 4.3e-05),
        ("cf_2_3", 3, 7.8e-05),
        ("cf_3_3", 2, 1.8e-05),
        ("cf_3_3", 3, 3.9e-05),
        ("cf_3_4", 2, 2.6e-06),
        ("cf_3_4", 3, 5e-06),
    ],
)
def test_interior_leakage_as_measured_before(name, levels, leakage):
    assert packet_quality(name, levels).leakage[1:-1].max() == pytest.approx(leakage, rel=0.02)


def test_high_pass_filters_complete_orthonormal_banks():
    bank = filter_bank("cf_3_4", first_stage="sym6")
    pairs = [bank.main_stage(1), bank.main_stage(2), bank.first_stage(1), bank.first_stage(2)]
    for h, g in pairs:
        for k in range(-h.size // 2, h.size // 2 + 1):
            assert abs(np.roll(np.pad(h, h.size), 2 * k) @ np.pad(g, h.size)) < 1e-12
        assert abs(g.sum()) < 1e-11  # the precision of the PyWavelets table


def test_first_stage_of_tree_two_is_one_sample_off():
    bank = filter_bank("cf_2_3+db4")
    np.testing.assert_array_equal(bank.h2_first, np.roll(bank.h1_first, -1))
    np.testing.assert_array_equal(bank.g2_first, -np.roll(bank.g1_first, 1))
    np.testing.assert_allclose(bank.h_first, pywt.Wavelet("db4").dec_lo[::-1])


def test_band_energy_against_a_fine_frequency_grid():
    rng = np.random.default_rng(0)
    psi = rng.standard_normal(30) + 1j * rng.standard_normal(30)
    size = 2**16
    omega = 2 * np.pi * (np.arange(size) + 0.5) / size - np.pi
    power = np.abs(np.exp(-1j * np.outer(omega, np.arange(30))) @ psi) ** 2
    inside = (omega > 0.3) & (omega < 1.7)
    assert band_energy(psi, 0.3, 1.7) == pytest.approx(power[inside].sum() / power.sum(), abs=1e-4)
    assert band_energy(psi, -np.pi, np.pi) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize(
    "call",
    [
        lambda: filter_bank("haar"),
        lambda: filter_bank("cf_0_3"),
        lambda: filter_bank("cf_6_5"),
        lambda: filter_bank("cf_3_3", first_stage="bior2.2"),
        lambda: filter_bank("cf_3_3", first_stage="nonsense"),
        lambda: filter_bank("cf_3_3+db4", first_stage="db4"),
        lambda: FilterBank("odd", [1, 2, 3], [1, 2, 3], [1, 2, 3]),
        lambda: FilterBank("loose", [1, 0.5], [1, 0.5], [1, 0.5]),
        lambda: FilterBank("nan", [np.nan, 1], [1, 1], [1, 1]),
        lambda: compare_banks(["cf_3_3"], 1),
    ],
)
def test_bad_banks_are_refused_in_one_line(call):
    with pytest.raises(ValueError, match=r"expected|given twice|not finite") as error:
        call()
    assert "\n" not in str(error.value)


def test_a_name_must_be_a_string():
    with pytest.raises(TypeError, match="int"):
        filter_bank(3)


@pytest.mark.skipif(HAS_DTCWT, reason="dtcwt is installed")
def test_qshift_without_dtcwt_says_what_to_do():
    with pytest.raises(ModuleNotFoundError, match=r"dtcwt.*install it"):
        filter_bank("qshift_a")


def test_banks_are_immutable():
    bank = filter_bank()
    with pytest.raises(ValueError, match="read-only"):
        bank.h1[0] = 1
    with pytest.raises(AttributeError):
        bank.h1 = np.ones(2)


@pytest.mark.oracle
@pytest.mark.parametrize("name", QSHIFT)
def test_qshift_tables_fit_the_theory(name):
    from dtcwt.coeffs import qshift

    h0a, h0b, _, _, h1a, h1b, _, _ = (np.ravel(taps) for taps in qshift(name))
    bank = filter_bank(name)
    np.testing.assert_array_equal(bank.h1, h0b)
    np.testing.assert_array_equal(bank.h2, h0a)
    np.testing.assert_allclose(bank.h2, bank.h1[::-1], atol=1e-12)
    # The package's high-pass filters are ours up to a common sign: it fixes the half-line, not the energy.
    for ours, theirs in ((bank.g1, h1b), (bank.g2, h1a)):
        assert min(abs(ours - theirs).max(), abs(ours + theirs).max()) < 1e-9
    assert orthonormality_error(bank.h1) < 1e-10


@pytest.mark.oracle
@pytest.mark.parametrize(
    ("levels", "leakage", "cell", "double", "circularity", "centroid"),
    [
        (2, [0.170, 0.0016], [0.744, 0.753], [0.968, 0.982], [0.605, 0.003], [0.43, 1.55]),
        (
            3,
            [0.146, 0.0025, 0.0013, 0.0020],
            [0.79, 0.77, 0.74, 0.661],
            [0.975, 0.978, 0.942, 0.906],
            [0.553, 0.023, 0.025, 0.031],
            [0.45, 1.55, 2.52, 3.69],
        ),
    ],
)
def test_quality_of_qshift_a_as_in_theory_4_5(levels, leakage, cell, double, circularity, centroid):
    q = packet_quality("qshift_a", levels)
    half = len(leakage)
    np.testing.assert_allclose(q.leakage[:half], leakage, atol=0.004, rtol=0.05)
    np.testing.assert_allclose(q.leakage[1:half], leakage[1:], atol=6e-5)
    np.testing.assert_allclose(q.cell_energy[:half], cell, atol=0.03)
    np.testing.assert_allclose(q.double_cell_energy[:half], double, atol=0.03)
    np.testing.assert_allclose(q.circularity[:half], circularity, atol=0.001)
    np.testing.assert_allclose(q.centroid[:half] * 2**levels / np.pi, centroid, atol=0.006)
    np.testing.assert_allclose(q.leakage, q.leakage[::-1], atol=1e-12)


@pytest.mark.oracle
def test_default_bank_beats_qshift_a_in_the_interior():
    for levels in (2, 3):
        ours, theirs = compare_banks([DEFAULT, "qshift_a"], levels)
        assert ours.interior_leakage < theirs.interior_leakage / 30


AT_ONCE = """
import sys, threading
import numpy as np
from wavelets import filter_bank
import wavelets.filters

count = int(sys.argv[1])
names = [("cf_3_3", "cf_2_3", "cf_4_4", "cf_5_2")[i % 4] for i in range(count)]
together, errors = threading.Barrier(count), []

def work(name):
    together.wait()
    try:
        filter_bank(name)
    except Exception as error:
        errors.append(error)

sys.setswitchinterval(1e-5)  # threads take turns often
workers = [threading.Thread(target=work, args=(name,)) for name in names]
[worker.start() for worker in workers]
[worker.join() for worker in workers]
assert not errors, errors
kept = {name: filter_bank(name) for name in names}
wavelets.filters._common_factor_pair.cache_clear()
for name, bank in kept.items():
    again = filter_bank(name)
    assert np.array_equal(bank.h1, again.h1) and np.array_equal(bank.h2, again.h2), name
"""


@pytest.mark.parametrize("threads", [2, 16])
def test_filters_of_a_fresh_process_may_be_computed_in_several_threads(threads):
    command = [sys.executable, "-c", AT_ONCE, str(threads)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_the_precision_of_mpmath_is_left_alone():
    import mpmath

    filters._common_factor_pair.cache_clear()
    with mpmath.workdps(5):
        expected = common_factor_pair(3, 3)
        assert mpmath.mp.dps == 5
    filters._common_factor_pair.cache_clear()
    np.testing.assert_array_equal(common_factor_pair(3, 3), expected)
