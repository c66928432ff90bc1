"""The statements against plain loops over full fields; and that the verification finds what is wrong."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from analysis import translate, verify
from analysis.theory import (
    BandLimited,
    alpha,
    alpha_sharp,
    band_limited,
    beta,
    beta_floor,
    beta_sharp,
    gamma,
    largest_cosine,
    loops,
    narrow_band_change,
    on_bins,
    verification,
)
from analysis.theory.signals import KINDS
from analysis.theory.verification import STATEMENTS, Case, Statement, climb, draw, worst_case
from wavelets import set_num_threads

PI = np.pi
COLUMNS = ["statement", "relation", "cases", "violations", "largest", "where", "searched", "found"]
NAMED = {statement.name: statement for statement in STATEMENTS}
# Those that numpy alone evaluates.
PLAIN = [statement for statement in STATEMENTS if "E[" not in statement.name and "expectation" not in statement.name]


def norm(x):
    return np.sqrt((np.abs(x) ** 2).sum(axis=-1))


def l1(tau):
    return np.abs(tau).sum(axis=-1)


@pytest.fixture(scope="module")
def table():
    """Three batches of cases of all statements, one start of the search each."""
    return verify(cases=150, seed=2, starts=1, progress=False)


def test_every_statement_holds(table):
    assert (table["violations"] == 0).all(), table.to_string()
    assert (table["cases"] == 150).all()
    equal = table["relation"] == "="
    assert (table.loc[equal, "largest"] < 1e-6).all()
    assert (table.loc[~equal, "largest"] <= 1 + 1e-9).all()
    assert (table.loc[~equal, "largest"] > 0).all()
    assert (table.loc[~equal, "searched"].between(0, 1 + 1e-9)).all()


def test_columns_of_the_table(table):
    assert list(table.columns) == COLUMNS
    assert table["statement"].tolist() == [statement.name for statement in STATEMENTS]
    assert table["relation"].tolist() == ["=" if statement.equality else "<=" for statement in STATEMENTS]
    assert set(table["relation"]) == {"=", "<="}
    equal = table["relation"] == "="
    assert table.loc[equal, "searched"].isna().all() and (table.loc[equal, "found"] == "").all()
    assert table["where"].str.match(r"^m=\d N=\d+ q=[12] m\*theta=\(.+, .+\) m\*kappa=.+ u=\(.+, .+\) [a-z ]+$").all()
    assert table.loc[~equal, "found"].str.endswith(" optimised").all()
    assert all(any(where.endswith(kind) for kind in KINDS) for where in table["where"])


def test_published_constants_are_never_tighter_than_the_sharp_ones(table):
    largest = table.set_index("statement")["largest"]
    assert largest["Theorem 1: alpha"] <= largest["Theorem 1: sharp alpha"]
    assert largest["Theorem 2: beta"] <= largest["Theorem 2: sharp beta"]
    assert largest["Corollary: alpha, beta"] <= largest["Corollary: sharp"]


def test_same_seed_same_table_other_seed_other_table():
    def run(seed, cases=70):
        return verify(cases=cases, seed=seed, starts=1, progress=False, statements=PLAIN[2:4])

    pd.testing.assert_frame_equal(run(2), run(2))
    assert run(2)["largest"].tolist() != run(3)["largest"].tolist()
    assert run(2)["cases"].tolist() == [70, 70]


def test_search_can_be_left_out():
    ours = verify(cases=1, starts=0, progress=False, statements=PLAIN)
    assert (ours["cases"] == 1).all() and (ours["violations"] == 0).all()
    assert (ours["found"] == "").all()
    assert not np.isfinite(ours["searched"]).any()


def test_progress_goes_to_standard_error(capsys):
    for progress in (False, True):
        verify(cases=10, starts=1, progress=progress, statements=PLAIN[3:4])
        out, err = capsys.readouterr()
        assert out == ""
        assert ("verify: 100%" in err) if progress else (err == "")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"cases": 0}, ValueError, "cases is 0; expected at least 1"),
        ({"cases": -5}, ValueError, "cases is -5; expected at least 1"),
        ({"cases": 10.0}, TypeError, "cases must be an integer, not float"),
        ({"cases": True}, TypeError, "cases must be an integer, not bool"),
        ({"seed": -1}, ValueError, "seed is -1; expected at least 0"),
        ({"seed": None}, TypeError, "seed must be an integer, not NoneType"),
        ({"starts": -1}, ValueError, "starts is -1; expected at least 0"),
        ({"starts": "2"}, TypeError, "starts must be an integer, not str"),
    ],
)
def test_errors(arguments, error, message):
    with pytest.raises(error, match=rf"^{message}$"):
        verify(progress=False, **arguments)


# --- The random cases


def test_random_cases_satisfy_the_hypotheses():
    rng = np.random.default_rng(4)
    kinds, widest, wrapping, fractional, windows, strides = set(), 0, 0, 0, set(), set()
    for _ in range(80):
        case, kind = draw(rng, 20)
        fields = case.fields
        kinds.add(kind)
        windows.add(case.q)
        strides.add(fields.stride)
        assert fields.size % (2 * fields.stride) == 0
        assert fields.theta.shape == case.shift.shape == (20, 2)
        assert np.isfinite(fields.theta).all() and np.isfinite(case.shift).all()
        assert (fields.kappa > 0).all() and (fields.kappa <= PI / fields.stride * (1 + 1e-12)).all()
        widest += (fields.kappa == PI / fields.stride).sum()
        for b in range(20):
            used = fields.spectrum[b] != 0
            assert used.any()
            # No more bins than sampling every 2 m pixels keeps apart, and all in the half-open square.
            assert max(used.shape) <= fields.size // (2 * fields.stride)
            for axis in range(2):
                omega = fields.frequencies[b, axis][used.any(axis=1 - axis)]
                distance = omega - fields.theta[b, axis]
                assert (distance >= -fields.kappa[b] / 2 - 1e-8).all()
                assert (distance < fields.kappa[b] / 2 - 1e-10).all()
        # Fractional shifts only where the square is one inside [-pi, pi).
        inside = (np.abs(fields.theta) + fields.kappa[:, None] / 2 <= PI + 1e-9).all(axis=1)
        whole = (case.shift == np.rint(case.shift)).all(axis=1)
        assert (inside | whole).all()
        wrapping += (~inside).sum()
        fractional += (~whole).sum()
    assert kinds == set(KINDS) and windows == {1, 2} and strides == {1, 2, 3, 4, 5}
    assert widest > 80 and wrapping > 40 and fractional > 400


def test_search_starts_from_fields_that_satisfy_the_hypotheses():
    rng = np.random.default_rng(5)
    for statement in (NAMED["Theorem 1: sharp alpha"], NAMED["Theorem 2: beta"]):
        for _ in range(2):
            ratio, case = worst_case(statement, rng)
            fields = case.fields
            assert not fields.wraps.any()
            assert fields.size % (2 * fields.stride) == 0
            assert (fields.kappa < PI / fields.stride).all()
            assert fields.spectrum.shape[-1] <= fields.size // (2 * fields.stride)
            assert case.q in (1, 2) and case.shift.shape == (1, 2)
            assert ratio == statement.excess(case)[0]  # what it reports can be evaluated again


# --- The sides of every statement, by plain loops


def slow_sides(name, z, moved, fields, shift, q):
    """Left and right side of a statement for one field z and its translated copy (N, N), by plain loops."""
    m, n = fields.stride, fields.size
    omega, kappa = m * fields.theta, fields.kappa
    centres = [(2 * m * i, 2 * m * j) for i in range(n // (2 * m)) for j in range(n // (2 * m))]
    window = [(y, x) for y in range(-q, q + 1) for x in range(-q, q + 1)]

    def cmod(field):
        return np.array([abs(field[y, x]) for y, x in centres])

    def rmax(field):
        return np.array([max(field[(y + m * p) % n, (x + m * r) % n].real for p, r in window) for y, x in centres])

    def largest(phi):
        best = np.full(np.shape(phi), -np.inf)
        for p, r in window:
            best = np.maximum(best, np.cos(phi + omega[0] * p + omega[1] * r))
        return best

    def delta(field):
        return np.array([abs(field[y, x]) * (1 - largest(np.angle(field[y, x]))) for y, x in centres])

    def change(a, b):
        """Mean over the global phase, at the 64 nodes that the package takes."""
        values = []
        for k in range(64):
            turn = np.exp(2j * PI * k / 64)
            values.append(norm(rmax(turn * a) - b(turn)))
        return np.mean(values)

    c, size = cmod(z), norm(cmod(z))
    tau = kappa * shift
    a, a_sharp = float(alpha(tau)), float(alpha_sharp(tau))
    b, b_sharp = float(beta(m * kappa, q)), float(beta_sharp(m * kappa, q))
    g = float(gamma(omega, q))
    if name == "Lemma 0: sampling without aliasing":
        return 2 * m * size / norm(z.ravel()), 1.0
    if name == "Theorem 1: norm of CMod conserved":
        return norm(cmod(moved)) / size, 1.0
    if name.startswith("Theorem 1"):
        return norm(cmod(moved) - c) / size, {"alpha": a, "sharp alpha": a_sharp}[name.split(": ")[1]]
    if name in ("Theorem 2: beta", "Theorem 2: sharp beta"):
        return (norm(rmax(z) - c) - norm(delta(z))) / size, b_sharp if "sharp" in name else b
    if name == "Theorem 2: E[P^2] = gamma^2":
        psi = 2 * PI * np.arange(8192) / 8192
        total = sum(abs(z[p]) ** 2 * ((1 - largest(np.angle(z[p]) + psi)) ** 2).mean() for p in centres)
        return total / size**2, g**2
    if name == "Theorem 2: expectation":
        return change(z, lambda turn: c) / size, g + b_sharp
    if name == "Corollary: expectation":
        return change(z, lambda turn: rmax(turn * moved)) / size, 2 * g + 2 * b_sharp + a_sharp
    left = norm(rmax(moved) - rmax(z)) - norm(delta(z)) - norm(delta(moved))
    return left / size, 2 * (b_sharp if "sharp" in name else b) + (a_sharp if "sharp" in name else a)


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.name)
@pytest.mark.parametrize("q", [1, 2])
def test_sides_equal_plain_loops_over_the_field(statement, q):
    stride, size = 2, 16
    rng = np.random.default_rng(6)
    theta, kappa = np.array([(0.9, -1.7), (-0.4, 1.1)]), np.array([0.8, 1.2])
    fields, shift = band_limited(stride, size, theta, kappa, rng), np.array([(0.3, -1.6), (2.0, 0.75)])
    left, right = statement.sides(Case(fields, shift, q))
    assert left.shape == right.shape == (2,)
    for b in range(2):
        z = fields.field()[b]
        moved = translate(z.real, shift[b]) + 1j * translate(z.imag, shift[b])
        one = replace(fields, theta=theta[b], kappa=kappa[b])
        expected = slow_sides(statement.name, z, moved, one, shift[b], q)
        assert left[b] == pytest.approx(expected[0], rel=1e-9)
        assert right[b] == pytest.approx(expected[1], rel=1e-12)
        excess = abs(expected[0] - expected[1]) if statement.equality else max(expected[0], 0) / expected[1]
        if expected[0] > 0:
            assert statement.excess(Case(fields, shift, q))[b] == pytest.approx(excess, abs=1e-9)


@pytest.mark.parametrize("stride", [1, 2, 3])
def test_narrow_band_change_is_that_of_one_wave(stride):
    # One Fourier coefficient at every phase: the mean of the squares is the integral of theory.md 3.5.
    rng = np.random.default_rng(7)
    size, nodes = 4 * stride, 4096
    spectrum = np.exp(2j * PI * np.arange(nodes) / nodes).reshape(-1, 1, 1)
    for q in (1, 2):
        first, shift = rng.integers(-size // 2 + 1, size // 2, 2), rng.uniform(-3, 3, 2)
        case = Case(on_bins(stride, size, first, spectrum), np.tile(shift, (nodes, 1)), q)
        measured = ((case.moved.rmax - case.rmax) ** 2).sum() / (case.rmax**2).sum()
        expected = narrow_band_change(case.omega[0], case.fields.theta[0] @ shift, q) ** 2
        assert measured == pytest.approx(float(expected), abs=1e-6)
        np.testing.assert_allclose(case.moved.cmod, case.cmod, atol=1e-12)
        discrepancy = ((case.rmax - case.cmod) ** 2).sum() / (case.cmod**2).sum()
        assert discrepancy == pytest.approx(float(gamma(case.omega[0], q)) ** 2, abs=1e-6)


# --- What is wrong must be found


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_wrong_alpha_is_found_by_the_search(seed):
    wrong = Statement("0.4 ||tau||_1", lambda case: verification._theorem_1(case, lambda tau: 0.4 * l1(tau)))
    ours = verify(cases=1, seed=seed, starts=2, progress=False, statements=[wrong])
    assert ours["violations"][0] >= 1
    assert ours["searched"][0] == pytest.approx(1.25, rel=0.01)
    assert ours["found"][0].endswith("optimised")


def test_wrong_alpha_is_found_by_random_cases():
    wrong = Statement("0.4 ||tau||_1", lambda case: verification._theorem_1(case, lambda tau: 0.4 * l1(tau)))
    ours = verify(cases=3000, seed=0, starts=0, progress=False, statements=[wrong])
    assert ours["violations"][0] >= 1 and ours["largest"][0] > 1.02
    assert ours["where"][0].endswith("two waves")


def test_wrong_beta_is_found_by_the_search():
    wrong = Statement("half the floor", lambda case: verification._theorem_2(case, lambda b, q: beta_floor(b, q) / 2))
    ours = verify(cases=1, seed=4, starts=3, progress=False, statements=[wrong])
    assert ours["violations"][0] >= 1 and ours["searched"][0] > 1.2


def test_wrong_equalities_are_found_by_random_cases():
    wrong = [
        Statement(
            "4 / 5 of the norm", lambda case: (0.8 * case.moved.norm / case.norm, np.ones(len(case.shift))), True
        ),
        Statement("sampled every m", lambda case: (case.fields.stride * case.norm, _whole(case)), True),
    ]
    ours = verify(cases=100, seed=0, starts=0, progress=False, statements=wrong)
    assert (ours["violations"] > 90).all()


def _whole(case):
    z = case.fields.field()
    return norm(z.reshape(len(z), -1))


def test_wrong_gamma_is_found_by_random_cases():
    def sides(case):
        left, _ = verification._mean_square_deficit(case)
        return left, gamma(case.omega, case.q + 1) ** 2

    ours = verify(
        cases=50, seed=0, starts=0, progress=False, statements=[Statement("q + 1", sides, True, tolerance=1e-6)]
    )
    assert ours["violations"][0] > 10  # gamma is the same where all phases coincide


def test_aliased_samples_break_lemma_0():
    rng = np.random.default_rng(8)
    stride, size, bins = 2, 16, 5  # one bin too many
    spectrum = rng.standard_normal((6, bins, bins)) + 1j
    kappa = np.full(6, 2 * PI * bins / size)
    fields = BandLimited(stride, size, np.zeros((6, 2)), kappa, np.full((6, 2), -2), spectrum)
    statement = NAMED["Lemma 0: sampling without aliasing"]
    assert statement.violated(statement.excess(Case(fields, np.zeros((6, 2)), 1))).all()
    fine = replace(fields, spectrum=np.ascontiguousarray(spectrum[:, :4, :4]))
    assert not statement.violated(statement.excess(Case(fine, np.zeros((6, 2)), 1))).any()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_search_reaches_the_sharp_constant_of_theorem_1(seed):
    ratio, case = worst_case(NAMED["Theorem 1: sharp alpha"], np.random.default_rng(seed))
    assert 0.99 < ratio <= 1 + 1e-9
    assert len(case.shift) == 1
    # By hand, from the fields
    d = 2 * case.fields.stride
    c, moved = (np.abs(f.field()[0, ::d, ::d]).ravel() for f in (case.fields, case.fields.translated(case.shift)))
    right = 2 * np.sin(min(case.fields.kappa[0] * np.abs(case.shift).sum(), 2 * PI) / 4)
    assert norm(moved - c) / norm(c) / right == pytest.approx(ratio, rel=1e-9)


@pytest.mark.parametrize("name", ["Theorem 1: alpha", "Theorem 2: beta"])
def test_search_climbs_above_the_random_cases(name):
    rng = np.random.default_rng(9)
    statement = NAMED[name]
    random = max(statement.excess(draw(rng, 20)[0]).max() for _ in range(5))
    assert max(worst_case(statement, rng)[0] for _ in range(2)) > random


# --- Violations


def test_violated():
    inequality, equality = Statement("<=", None), Statement("=", None, equality=True, tolerance=1e-6)
    excess = np.array([-1.0, 0.0, 1.0, 1 + 1e-10, 1 + 1e-8, 2.0, np.inf, np.nan, -np.inf])
    assert inequality.violated(excess).tolist() == [False] * 4 + [True] * 4 + [False]
    assert equality.violated(np.array([0.0, 9e-7, 1.1e-6, np.nan, np.inf])).tolist() == [False] * 2 + [True] * 3


def test_excess():
    def excess(left, right, equality=False):
        return Statement("", lambda case: (np.array([left]), np.array([right])), equality).excess(None)[0]

    assert excess(1.0, 4.0) == 0.25
    assert excess(-1.0, 4.0) == -0.25
    assert excess(1e-14, 0.0) == 0  # rounding over nothing, as for a shift of zero
    assert excess(1e-14, 1e-15) == 0
    assert excess(1e-6, 0.0) > 1e100
    assert excess(3.0, 1.0, equality=True) == excess(1.0, 3.0, equality=True) == 2
    assert np.isnan(excess(np.nan, 1.0)) and np.isnan(excess(1.0, np.nan))


def faulty(batches):
    """A statement whose k-th batch of cases gives batches[k] everywhere."""
    values = iter(batches)
    return Statement("faulty", lambda case: (np.full(len(case.shift), next(values)), np.ones(len(case.shift))))


def test_not_a_number_is_a_violation_and_the_largest():
    ours = verify(cases=20, starts=0, progress=False, statements=[faulty([np.nan])])
    assert ours["violations"][0] == 20
    assert np.isnan(ours["largest"][0]) and ours["where"][0]

    def one(case):
        left = np.full(len(case.shift), 0.5)
        left[3] = np.nan
        return left, np.ones(len(left))

    ours = verify(cases=20, starts=0, progress=False, statements=[Statement("one", one)])
    assert ours["violations"][0] == 1
    assert np.isnan(ours["largest"][0])


def test_not_a_number_counts_wherever_it_comes():
    ours = verify(cases=150, starts=0, progress=False, statements=[faulty([0.5, np.nan, 0.25])])
    assert ours["violations"][0] == 50
    ours = verify(cases=150, starts=0, progress=False, statements=[faulty([0.5, 0.25, 2.0])])
    assert ours["violations"][0] == 50 and ours["largest"][0] == 2


def test_not_a_number_stays_the_largest():
    ours = verify(cases=150, starts=0, progress=False, statements=[faulty([0.5, np.nan, 0.25])])
    assert np.isnan(ours["largest"][0])


def test_violations_of_the_search_count():
    def sides(case):
        return np.full(len(case.shift), 3.0 if (case.fields.kappa == case.fields.kappa[0]).all() else 0.5), 1.0

    ours = verify(cases=20, starts=2, progress=False, statements=[Statement("search", sides)])
    # two random starts, and the worst random case
    assert ours["violations"][0] == 3 and ours["searched"][0] == 3 and ours["largest"][0] == 0.5


# --- Kernels


def random_complex(rng, *shape):
    return rng.standard_normal((*shape, 2)).view(complex)[..., 0]


@pytest.mark.nojit
@pytest.mark.parametrize("q", [0, 1, 2])
def test_mean_square_deficit_equals_numpy(q):
    rng = np.random.default_rng(10)
    phi, window = rng.uniform(-20, 20, (2, 3)), rng.uniform(-20, 20, (2, (2 * q + 1) ** 2))
    out = np.full((2, 3), np.nan)
    loops.mean_square_deficit(phi, window, 32, out)
    psi = 2 * PI * np.arange(32) / 32
    largest = np.cos(phi[:, :, None, None] + psi[:, None] + window[:, None, None, :]).max(axis=-1)
    np.testing.assert_allclose(out, ((1 - largest) ** 2).mean(axis=-1), rtol=1e-10)


def in_windows(z, window):
    """Windows of a plane one after another: (B, R, C) as (B, positions, samples)."""
    count, rows, columns = z.shape
    z = z.reshape(count, rows // window, window, columns // window, window)
    return z.transpose(0, 1, 3, 2, 4).reshape(count, -1, window**2)


@pytest.mark.nojit
@pytest.mark.parametrize("q", [0, 1, 2])
def test_mean_change_and_maxima_equal_numpy(q):
    rng, window = np.random.default_rng(11), 2 * q + 1
    z, other = random_complex(rng, 2, 2, 3 * window, 2 * window)
    offset, out = rng.standard_normal((2, 6)), np.full(2, np.nan)
    turn = np.exp(2j * PI * np.arange(16) / 16)[:, None, None, None]
    first, second = ((turn * in_windows(x, window)).real.max(axis=-1) for x in (z, other))
    loops.mean_change(z, other, window, offset, 16, out)
    np.testing.assert_allclose(out, norm(first - second - offset).mean(axis=0), rtol=1e-12)
    loops.mean_change(z, other[:, :0], window, offset, 16, out)
    np.testing.assert_allclose(out, norm(first - offset).mean(axis=0), rtol=1e-12)
    maxima = np.full((2, 6), np.nan)
    loops.window_maxima(z, window, maxima)
    np.testing.assert_array_equal(maxima, in_windows(z, window).real.max(axis=-1))


@pytest.mark.nojit
def test_mean_change_of_the_same_response_is_the_norm_of_the_offset():
    z = random_complex(np.random.default_rng(12), 2, 15, 3)
    out = np.full(2, np.nan)
    loops.mean_change(z, z, 3, np.full((2, 5), -2.0), 8, out)
    np.testing.assert_allclose(out, 2 * np.sqrt(5), rtol=1e-12)
    loops.mean_change(z, z, 3, np.zeros((2, 5)), 8, out)
    np.testing.assert_array_equal(out, 0)


@pytest.mark.nojit
def test_one_of_the_nearest_angles_has_the_largest_cosine():
    rng = np.random.default_rng(13)
    phases = np.sort(rng.uniform(0, 2 * PI, (4, 9)), axis=1)
    phases[1, 3:6] = phases[1, 3] + [0, 1e-16, 2e-10]  # three that count as one
    phases[2] = 0.0
    phases[3, -1] = np.nextafter(2 * PI, 0)
    phi = np.concatenate([rng.uniform(-9, 9, (4, 40)), -phases, np.zeros((4, 1))], axis=1)
    angles = np.full((18, *phi.shape), np.nan)
    loops.nearest_angles(phi, phases, 1e-9, angles)
    everyone = np.cos(phi[..., None] + phases[:, None]).max(axis=-1)
    np.testing.assert_array_equal(np.cos(angles).max(axis=0), everyone)


def test_the_deficit_of_a_case_is_that_of_all_its_phases():
    rng = np.random.default_rng(14)
    for _ in range(20):
        case, _kind = draw(rng, 8)
        cosines = largest_cosine(np.angle(case.centres), case.omega[:, None], case.q)
        np.testing.assert_array_equal(case.deficit, case.cmod * (1 - cosines))


@pytest.mark.nojit
def test_mean_square_deficit_of_a_window_that_sees_one_phase():
    out = np.full((1, 2), np.nan)
    loops.mean_square_deficit(np.array([[0.3, 2.0]]), np.zeros((1, 9)), 64, out)
    np.testing.assert_allclose(out, 1.5, rtol=1e-12)  # 1 - 2 * 0 + 1/2


@pytest.mark.slow
def test_search_begins_where_random_cases_were_worst():
    table = verify(cases=400, starts=1, progress=False, seed=4)
    inequalities = table[table.relation == "<="]
    assert (inequalities.searched >= inequalities.largest * (1 - 1e-12)).all()


def test_climbing_keeps_a_wrapping_square_and_its_shift():
    rng = np.random.default_rng(3)
    fields = band_limited(2, 16, (PI, 0.3), np.full(1, PI / 2), rng)
    start = Case(fields, np.array([[1.0, -2.0]]), 1)
    statement = next(s for s in STATEMENTS if s.name == "Theorem 2: sharp beta")
    ratio, found = climb(statement, start, 20)
    assert ratio > statement.excess(start)[0]
    np.testing.assert_array_equal(found.shift, start.shift)
    np.testing.assert_array_equal(found.fields.spectrum != 0, fields.spectrum != 0)


def test_random_cases_are_cases():
    rng = np.random.default_rng(9)
    several, across, moved, total = 0, 0, 0, 0
    for _ in range(60):
        case, _ = draw(rng, 40)
        several += ((case.fields.spectrum != 0).sum(axis=(1, 2)) > 1).sum()
        across += case.fields.wraps.sum()
        moved += (case.shift != 0).any(axis=1).sum()
        total += 40
    # "sparse" spectra may have one wave in a wide square
    assert several > 0.7 * total and 0.2 * total < across < 0.4 * total and moved == total


@pytest.mark.parametrize("nodes", [64, 600])
def test_the_mean_square_deficit_is_a_plain_mean(nodes):
    rng = np.random.default_rng(0)
    phi, window, found = rng.uniform(-4, 4, (2, 3)), rng.uniform(-4, 4, (2, 9)), np.empty((2, 3))
    loops.mean_square_deficit(phi, window, nodes, found)
    turns = 2 * PI * np.arange(nodes) / nodes
    largest = np.cos(phi[..., None, None] + window[:, None, None] + turns[:, None]).max(axis=-1)
    np.testing.assert_allclose(found, ((1 - largest) ** 2).mean(axis=-1), rtol=1e-12)


def test_fields_of_one_square_have_the_values_of_each_alone():
    rng = np.random.default_rng(0)
    fields = on_bins(2, 24, np.array([1, -2]), rng.normal(size=(3, 2, 2)) + 1j * rng.normal(size=(3, 2, 2)))
    apart = replace(fields, first=fields.first + np.arange(3)[:, None])
    for batch in (fields, apart):
        alone = [batch.select(slice(b, b + 1)).at([0, 3], [1, 2, 5])[0] for b in range(3)]
        np.testing.assert_allclose(batch.at([0, 3], [1, 2, 5]), alone, atol=1e-13)


def test_the_table_does_not_depend_on_the_threads():
    tables = []
    try:
        for count in (1, 3):
            set_num_threads(count)
            tables.append(verify(cases=20, seed=5, starts=3, progress=False, statements=PLAIN[2:4]))
    finally:
        set_num_threads(None)
    pd.testing.assert_frame_equal(*tables, check_exact=True)
