r"""The theorems put to the test: many random cases, and an optimiser that looks for the worst one (theory.md 8).

A statement has two sides. For an inequality its ratio, left over right, must not exceed 1, and the largest ratio says
how tight the constant is; for an equality its error must vanish. In Theorem 2 and the corollary the measured part
:math:`\|\delta\|` stands on the left, so that the ratio speaks of the constants.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from analysis.files.prefetch import prefetch
from analysis.runs.progress import Bar
from analysis.theory import loops
from analysis.theory.bounds import alpha, alpha_sharp, beta, beta_sharp, discrepancy_bound, rmax_bound
from analysis.theory.phases import gamma, window_offsets, window_phases
from analysis.theory.signals import KINDS, BandLimited, band_limited, on_bins
from wavelets.checks import integer
from wavelets.engine.threads import at_most, get_num_threads, over_batch

Sides = tuple[NDArray[np.float64], NDArray[np.float64]]
Constant = Callable[..., NDArray[np.float64]]

BATCH = 50  # cases of one stride, grid and window at a time
ROUNDING = 1e-9  # relative: how much of a violation is rounding
GRIDS, TRIALS = 6, 30  # the search climbs from the best of so many random responses on each of so many grids
NODES = 8192  # global phases for the mean square of the deficit: its quadrature is exact to 1e-6
ITERATIONS, AGAIN = 200, 40  # of a climb from a random start, and from the worst random case
SEARCH_COST = 50  # cases that a start of the search is worth, for the progress bar
TOGETHER = 1e-9  # rad: cosines of phases nearer than that are all tried, for their last bits
COARSE_NODES = 64  # global phases for means that are only compared with a bound


@dataclass(frozen=True, eq=False)
class Case:
    """A batch of responses with a shift and a window, and what the operators make of them.

    Attributes
    ----------
    fields : BandLimited
        Responses Z.
    shift : ndarray, shape (B, 2)
        u, pixels.
    q : int
        Half-width of the pooling window.
    """

    fields: BandLimited
    shift: NDArray[np.float64]
    q: int

    def one(self, b: int) -> Case:
        """The batch of one case."""
        part = slice(b, b + 1)
        return Case(self.fields.select(part), self.shift[part], self.q)

    @cached_property
    def moved(self) -> Case:
        """The same with translated responses."""
        return Case(self.fields.turned(self.shift), self.shift, self.q)

    @property
    def window(self) -> int:
        """Side of the pooling window, samples."""
        return 2 * self.q + 1

    @cached_property
    def samples(self) -> NDArray[np.complex128]:
        """Samples of all windows as they lie in the plane, shape (B, rows, columns)."""
        return self.fields.windows(self.q)

    @cached_property
    def centres(self) -> NDArray[np.complex128]:
        """Z[2mn], shape (B, positions)."""
        return self.samples[:, self.q :: self.window, self.q :: self.window].reshape(len(self.samples), -1)

    @cached_property
    def cmod(self) -> NDArray[np.float64]:
        """CMod, shape (B, positions)."""
        return np.abs(self.centres)

    @cached_property
    def rmax(self) -> NDArray[np.float64]:
        """RMax, shape (B, positions)."""
        z, maxima = self.samples, np.empty(self.centres.shape)
        over_batch(lambda part: loops.window_maxima(z[part], self.window, maxima[part]), len(z))
        return maxima

    @property
    def omega(self) -> NDArray[np.float64]:
        """Phase advance m theta, shape (B, 2)."""
        return self.fields.stride * self.fields.theta

    @property
    def bandwidth(self) -> NDArray[np.float64]:
        """Bandwidth m kappa, shape (B,)."""
        return self.fields.stride * self.fields.kappa

    @cached_property
    def deficit(self) -> NDArray[np.float64]:
        """Part of a pure wave that the window misses, delta = C (1 - M), shape (B, positions)."""
        phi, phases = np.angle(self.centres), window_phases(self.omega, self.q)
        most = 1  # phases that count as one
        while most < phases.shape[1] and (phases[:, most:] - phases[:, :-most] < TOGETHER).any():
            most += 1
        angles = np.empty((2 * most, *phi.shape))
        loops.nearest_angles(phi, phases, TOGETHER, angles)
        largest: NDArray[np.float64] = np.cos(angles).max(axis=0)
        return self.cmod * (1 - largest)

    @cached_property
    def norm(self) -> NDArray[np.float64]:
        """Norm of CMod, shape (B,)."""
        return _norm(self.cmod)


@dataclass(frozen=True)
class Statement:
    """One line of the theory.

    Attributes
    ----------
    name : str
    sides : callable
        From a `Case` to the left and the right side, shape (B,).
    equality : bool
        The sides must be equal; else left must not exceed right.
    tolerance : float
        Of the ratio, or of the difference.
    """

    name: str
    sides: Callable[[Case], Sides]
    equality: bool = False
    tolerance: float = ROUNDING

    def excess(self, case: Case) -> NDArray[np.float64]:
        """Ratio of the sides, or for an equality their difference; shape (B,)."""
        left, right = self.sides(case)
        if self.equality:
            return np.abs(left - right)
        # Two sides of rounding errors, as for a shift of zero, say nothing.
        return np.where(left <= 1e-12, np.minimum(left, 0), left) / np.maximum(right, 1e-300)

    def violated(self, excess: NDArray[np.float64]) -> NDArray[np.bool_]:
        """True where an excess breaks the statement; NaN does."""
        return ~(excess <= (self.tolerance if self.equality else 1 + self.tolerance))


def _norm(x: NDArray[Any]) -> NDArray[np.float64]:
    energy: NDArray[np.float64] = (np.abs(x) ** 2).sum(axis=-1)
    return np.sqrt(energy)


def _lemma_0(case: Case) -> Sides:
    z, d = case.fields.field(), 2 * case.fields.stride
    whole, sampled = _norm(z.reshape(len(z), -1)), _norm(z[:, ::d, ::d].reshape(len(z), -1))
    return d * sampled / whole, np.ones(len(z))


def _conservation(case: Case) -> Sides:
    return case.moved.norm / case.norm, np.ones_like(case.norm)


def _theorem_1(case: Case, constant: Constant) -> Sides:
    tau = case.fields.kappa[:, None] * case.shift
    return _norm(case.moved.cmod - case.cmod) / case.norm, constant(tau)


def _theorem_2(case: Case, constant: Constant) -> Sides:
    left = _norm(case.rmax - case.cmod) - _norm(case.deficit)
    return left / case.norm, constant(case.bandwidth, case.q)


def _corollary(case: Case, a: Constant, b: Constant) -> Sides:
    left = _norm(case.moved.rmax - case.rmax) - _norm(case.deficit) - _norm(case.moved.deficit)
    return left / case.norm, 2 * b(case.bandwidth, case.q) + a(case.fields.kappa[:, None] * case.shift)


def _mean_square_deficit(case: Case) -> Sides:
    """Multiply the response by every phase: then (H) holds exactly, whatever the response."""
    window = case.omega @ window_offsets(case.q).T
    mean = np.empty(case.cmod.shape)
    phi = np.angle(case.centres)
    over_batch(lambda part: loops.mean_square_deficit(phi[part], window[part], NODES, mean[part]), len(phi))
    return (case.cmod**2 * mean).sum(axis=-1) / case.norm**2, gamma(case.omega, case.q) ** 2


def _expected_discrepancy(case: Case) -> Sides:
    fields, zero = case.fields, case.samples[:, :0]
    return _mean_change(case, zero, case.cmod), discrepancy_bound(fields.theta, fields.kappa, fields.stride, case.q)


def _expected_corollary(case: Case) -> Sides:
    fields, left = case.fields, _mean_change(case, case.moved.samples, np.zeros_like(case.cmod))
    return left, rmax_bound(fields.theta, fields.kappa, case.shift, fields.stride, case.q)


def _mean_change(case: Case, other: NDArray[np.complex128], offset: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over the global phase of ||max Re z - max Re other - offset|| / ||C||."""
    out = np.empty(len(other))
    z, o = case.samples, other
    over_batch(
        lambda part: loops.mean_change(z[part], o[part], case.window, offset[part], COARSE_NODES, out[part]), len(out)
    )
    return out / case.norm


STATEMENTS = (
    Statement("Lemma 0: sampling without aliasing", _lemma_0, equality=True),
    Statement("Theorem 1: norm of CMod conserved", _conservation, equality=True),
    Statement("Theorem 1: alpha", lambda case: _theorem_1(case, alpha)),
    Statement("Theorem 1: sharp alpha", lambda case: _theorem_1(case, alpha_sharp)),
    Statement("Theorem 2: beta", lambda case: _theorem_2(case, beta)),
    Statement("Theorem 2: sharp beta", lambda case: _theorem_2(case, beta_sharp)),
    Statement("Theorem 2: E[P^2] = gamma^2", _mean_square_deficit, equality=True, tolerance=1e-6),
    Statement("Theorem 2: expectation", _expected_discrepancy),
    Statement("Corollary: alpha, beta", lambda case: _corollary(case, alpha, beta)),
    Statement("Corollary: sharp", lambda case: _corollary(case, alpha_sharp, beta_sharp)),
    Statement("Corollary: expectation", _expected_corollary),
)


def verify(
    cases: int = 10_000,
    seed: int = 0,
    starts: int = 10,
    progress: bool = True,
    statements: Sequence[Statement] = STATEMENTS,
) -> pd.DataFrame:
    """Test every statement on random cases, and search for the worst case of every inequality.

    Parameters
    ----------
    cases : int
        Random cases for each statement.
    seed : int
        The same seed gives the same table.
    starts : int
        Random starts of the search for each inequality, beside the worst of the random cases; 0 leaves it out.
    progress : bool
        Show a progress bar on standard error.
    statements : sequence of Statement

    Returns
    -------
    pandas.DataFrame
        One row a statement: `statement`, `relation` ("=" or "<="), `cases`, `violations`, `largest` (ratio of the sides
        over the random cases, for an equality their largest difference), `where`, and `searched` and `found`: the
        largest ratio that the search found (NaN for an equality, or without a search) and where. Violations that the
        search finds are counted as well.

    Raises
    ------
    TypeError
        If `cases`, `seed` or `starts` is not an integer.
    ValueError
        If one is out of range.
    """
    integer("cases", cases, 1)
    integer("seed", seed, 0)
    integer("starts", starts, 0)
    rng = np.random.default_rng(seed)
    rows = [_Row(statement) for statement in statements]
    searched = [row for row in rows if not row.statement.equality]
    with Bar("verify", cases + starts * len(searched) * SEARCH_COST, "cases", progress) as bar:
        for begin in range(0, cases, BATCH):
            case, kind = draw(rng, min(BATCH, cases - begin))
            for row in rows:
                row.add(case, kind)
            bar.update(len(case.shift))
        climbs = _climbs(searched if starts else [], rng, starts)
        # A climb is on one thread; those of all statements follow one another, so that none of the threads waits.
        with closing(prefetch(_climbed, climbs, 2 * get_num_threads())) as results:
            for row, random, result in results:
                row.search(result)
                bar.update(SEARCH_COST * random)
    return pd.DataFrame([row.summary() for row in rows])


def _climbs(rows: Sequence[_Row], rng: np.random.Generator, starts: int) -> Iterator[tuple[_Row, bool, Case, int]]:
    """Row, whether its start is random, the start, and the number of iterations of each climb, in order."""
    for row in rows:
        # Also from the worst random case, so that the search never says less.
        if row.worst is not None:
            yield row, False, row.worst, AGAIN
        for start in _starts(row.statement, rng, starts):
            yield row, True, start, ITERATIONS


def _climbed(climb_of: tuple[_Row, bool, Case, int]) -> tuple[_Row, bool, tuple[float, Case]]:
    row, random, start, iterations = climb_of
    with at_most(1):
        return row, random, climb(row.statement, start, iterations)


def draw(rng: np.random.Generator, count: int) -> tuple[Case, str]:
    """Return random cases of one stride, grid and window, and the kind of their spectra.

    Half of the squares lie inside [-pi, pi) and move by fractions of pixels; the others move by whole pixels, and half
    of them lie across pi. Most hold several frequencies of the grid; one in seven is narrower than its spacing.
    """
    stride, windows, q = int(rng.integers(1, 6)), int(rng.integers(2, 9)), int(rng.integers(1, 3))
    size, kind = 2 * stride * windows, KINDS[rng.integers(len(KINDS))]
    step = 2 * np.pi / size
    bins = rng.integers(2, windows, count, endpoint=True) - rng.uniform(0, 0.99, count)
    width = rng.choice(3, count, p=[0.75, 0.1, 0.15])
    kappa = step * np.choose(width, [bins, np.full(count, windows), 10 ** rng.uniform(-1.5, -0.01, count)])
    inside = np.arange(count) % 2 == 0
    theta = rng.uniform(-1, 1, (count, 2)) * np.where(inside, np.pi - kappa / 2, np.pi)[:, None]
    across = np.arange(count) % 4 == 1
    theta[across, 0] = np.pi + rng.uniform(-0.5, 0.5, across.sum()) * kappa[across]
    # A square smaller than the spacing of the grid is put on a frequency of it.
    on_grid = np.rint(theta / step)
    on_grid = step * np.where(inside[:, None], np.clip(on_grid, 1 - size // 2, size // 2 - 1), on_grid)
    theta = np.where(kappa[:, None] < step, on_grid, theta)
    fractions, whole = 10 ** rng.uniform(-2, 1, (count, 2)), np.ceil(10 ** rng.uniform(-0.3, 1, (count, 2)))
    shift = rng.choice([-1, 1], (count, 2)) * np.where(inside[:, None], fractions, whole)
    return Case(band_limited(stride, size, theta, kappa, rng, kind), shift, q), kind


def worst_case(statement: Statement, rng: np.random.Generator) -> tuple[float, Case]:
    """Search for a response and a shift that make the ratio of an inequality large.

    Parameters
    ----------
    statement : Statement
    rng : numpy.random.Generator

    Returns
    -------
    ratio : float
    case : Case
        Of one response, on a grid and with a window chosen at random, its square often where samples of the window
        coincide.

    Notes
    -----
    `climb` from the best of some random responses.
    """
    return climb(statement, next(_starts(statement, rng, 1)))


def _starts(statement: Statement, rng: np.random.Generator, count: int) -> Iterator[Case]:
    """Responses to climb from, each the best of some random ones."""
    for _ in range(count):
        candidates = [_random_start(statement, rng) for _ in range(GRIDS)]
        yield max(candidates, key=lambda candidate: candidate[0])[1]


def climb(statement: Statement, case: Case, iterations: int = ITERATIONS) -> tuple[float, Case]:
    """Climb from one response and shift to a local maximum of the ratio of an inequality.

    Parameters
    ----------
    statement : Statement
    case : Case
        Of one response. Its Fourier coefficients that are not 0 change, and its shift unless the square wraps.
    iterations : int
        At most so many.

    Returns
    -------
    ratio : float
    case : Case
        Of one response; no worse than the first.

    Notes
    -----
    L-BFGS, with gradients by differences that are evaluated in one batch.
    """
    fields = case.fields
    present = fields.spectrum[0] != 0
    count = int(present.sum())

    def unpack(x: NDArray[np.float64]) -> Case:
        spectrum = np.zeros((len(x), *present.shape), dtype=complex)
        spectrum[:, present] = x[:, :count] + 1j * x[:, count : 2 * count]
        shift = np.repeat(case.shift, len(x), axis=0) if fields.wraps[0] else x[:, 2 * count :]
        copies = fields.select(np.zeros(len(x), dtype=int))
        return Case(replace(copies, spectrum=spectrum), shift, case.q)

    def objective(x: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        h = 1e-6
        values = statement.excess(unpack(np.concatenate([x[None], x + h * np.eye(x.size), x - h * np.eye(x.size)])))
        up, down = np.split(values[1:], 2)
        return -values[0], -(up - down) / (2 * h)

    c = fields.spectrum[0, present]
    start = np.concatenate([c.real, c.imag, [] if fields.wraps[0] else case.shift[0]])
    from scipy.optimize import minimize  # half a second to import

    result = minimize(objective, start, jac=True, method="L-BFGS-B", options={"maxiter": iterations})
    found = unpack(result.x[None])
    return max(((float(statement.excess(one)[0]), one) for one in (case, found)), key=lambda pair: pair[0])


def _random_start(statement: Statement, rng: np.random.Generator) -> tuple[float, Case]:
    """Best of some random responses on one random grid, and its ratio."""
    stride, q, bins = int(rng.integers(1, 4)), int(rng.integers(1, 3)), int(rng.integers(2, 4))
    windows = int(rng.choice([2, 4, 8, 16, 32]))
    if windows > 8:
        q, bins = 1, 2  # the narrowest bands are costly: many positions
    bins = min(bins, windows)
    size = 2 * stride * windows
    low, high = 1 - size // 2, size // 2 - bins  # away from pi, so that any shift is allowed
    first = rng.integers(low, high + 1, 2)
    if rng.uniform() < 0.7:
        # A corner or the centre at multiples of pi / m, where the samples of a window share few phases.
        corner = rng.choice([0, bins // 2, bins - 1], 2)
        first = np.clip(windows * rng.integers(-stride, stride, 2, endpoint=True) - corner, low, high)

    # A third of the responses is arbitrary, a third is nearly one wave in a corner, a third two in opposite corners.
    waves = np.arange(TRIALS) % 3
    noise = np.where(waves, 10 ** rng.uniform(-3, -1, TRIALS), 1.0)[:, None, None, None]
    parts = noise * rng.standard_normal((TRIALS, bins, bins, 2))
    corners = rng.choice([0, -1], (2, TRIALS))
    wave = rng.standard_normal((TRIALS, 2)) * (waves > 0)[:, None]
    parts[np.arange(TRIALS), corners[0], corners[1]] += wave
    parts[np.arange(TRIALS), -1 - corners[0], -1 - corners[1]] += wave * (waves > 1)[:, None]
    trials = Case(on_bins(stride, size, first, parts[..., 0] + 1j * parts[..., 1]), rng.standard_normal((TRIALS, 2)), q)
    ratios = statement.excess(trials)
    best = int(ratios.argmax())
    return float(ratios[best]), trials.one(best)


@dataclass
class _Row:
    """Result for one statement so far."""

    statement: Statement
    cases: int = 0
    violations: int = 0
    largest: float = -np.inf
    where: str = ""
    searched: float = np.nan
    found: str = ""
    worst: Case | None = None  # of the random cases

    def add(self, case: Case, kind: str) -> None:
        excess = self.statement.excess(case)
        self.cases += excess.size
        self.violations += int(self.statement.violated(excess).sum())
        worst = int(np.where(np.isnan(excess), np.inf, excess).argmax())
        if _worse(excess[worst], self.largest):
            self.largest, self.where = float(excess[worst]), _describe(case, worst, kind)
            self.worst = case.one(worst)

    def search(self, result: tuple[float, Case]) -> None:
        ratio, case = result
        self.violations += int(self.statement.violated(np.array([ratio]))[0])
        if not self.found or _worse(ratio, self.searched):
            self.searched, self.found = ratio, _describe(case, 0, "optimised")

    def summary(self) -> dict[str, object]:
        relation = "=" if self.statement.equality else "<="
        columns = ("cases", "violations", "largest", "where", "searched", "found")
        return {
            "statement": self.statement.name,
            "relation": relation,
            **{name: getattr(self, name) for name in columns},
        }


def _worse(value: float, worst: float) -> bool:
    """Tell if a value takes the place of the worst one; not a number is the worst there is."""
    return not np.isnan(worst) and not value <= worst


def _describe(case: Case, b: int, kind: str) -> str:
    fields, omega = case.fields, case.omega[b] % (2 * np.pi)
    return (
        f"m={fields.stride} N={fields.size} q={case.q} m*theta=({omega[0]:.3f}, {omega[1]:.3f}) "
        f"m*kappa={case.bandwidth[b]:.3f} u=({case.shift[b, 0]:.3g}, {case.shift[b, 1]:.3g}) {kind}"
    )
