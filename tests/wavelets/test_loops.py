"""How the kernels cut up their work changes nothing: blocks, strips, groups of images, threads, memory."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

import wavelets
from wavelets import DualTreePackets1D, DualTreePackets2D, filter_bank
from wavelets.engine import loops, plan, reference, strips
from wavelets.engine.lattice import Lattice
from wavelets.engine.plan import KINDS, Taps
from wavelets.engine.strips import lines_at_once, strip_layout


@pytest.fixture(autouse=True)
def default_threads():
    yield
    wavelets.set_num_threads(None)


every_engine = pytest.mark.parametrize("engine", [Lattice, Taps])


def use(monkeypatch, engine):
    """Make plans hold lattices, which is what they hold of the default bank, or taps."""
    if engine is Taps:
        monkeypatch.setattr(plan, "lattice", lambda polyphase: None)
    main = plan.axis_plan(filter_bank(), 2, 20, "zero", False, "forward", np.dtype(np.float64)).main
    assert all(isinstance(pair, engine) for pair in main)


def relative(a, b):
    return np.abs(np.asarray(a) - b).max() / np.abs(b).max()


def round_trip(t, x, seed=1):
    """Coefficients of x, and what inverse and adjoint make of others."""
    c = np.asarray(t.forward(x))
    rng = np.random.default_rng(seed)
    y = rng.standard_normal(c.shape) + 1j * rng.standard_normal(c.shape)
    size = x.shape[-t.axes :]
    return c, t.inverse(y, size), t.adjoint(y, size)


# ---- transposition --------------------------------------------------------------------------------------------------


def check_turn(x, r0, r1, c0, c1):
    out = np.full((c1 - c0 + 3, r1 - r0 + 5), np.nan)
    loops.turn(x, r0, r1, c0, c1, out, 1, 2)
    expected = np.full_like(out, np.nan)
    expected[1:-2, 2:-3] = x[r0:r1, c0:c1].T
    np.testing.assert_array_equal(out, expected)


@pytest.mark.nojit
def test_all_remainders_of_blocks_are_turned():
    x = np.random.default_rng(2).random((13, 14))
    for rows, columns in product(range(10), range(10)):
        check_turn(x, 3, 3 + rows, 2, 2 + columns)
        check_turn(x, 0, rows, 0, columns)


@pytest.mark.nojit
def test_long_blocks_are_turned_tile_by_tile():
    tile = loops.TILE
    x = np.random.default_rng(3).random((2 * tile + 9, 7))
    for rows in (tile - 1, tile, tile + 1, tile + 3, tile + 4, 2 * tile, 2 * tile + 5):
        check_turn(x, 3, 3 + rows, 1, 6)


# ---- layouts --------------------------------------------------------------------------------------------------------


@pytest.mark.nojit
@pytest.mark.parametrize("threads", [1, 2, 16])
@pytest.mark.parametrize("levels", [1, 2, 3])
def test_a_layout_covers_all_columns_and_fits_the_buffers(levels, threads):
    wavelets.set_num_threads(threads)
    t = DualTreePackets2D(levels, boundary="symmetric")
    for size, images, dtype in product((1, 5, 30, 224, 519, 1100, 5000), (1, 2, 7, 100), (np.float32, np.float64)):
        for height in (1, 40, 3000):
            plans = [t.tables((n, n), "forward", np.dtype(dtype))[0] for n in (height, size)]
            layout = strip_layout((*plans, None, None), np.dtype(dtype), images)
            columns = layout.group * 2**levels * plans[1].sizes[-1]
            assert 1 <= layout.group <= images
            assert 2 * layout.width <= loops.WIDEST and layout.lines <= loops.WIDEST
            assert (layout.strips - 1) * layout.width < columns <= layout.strips * layout.width
            assert 16 <= lines_at_once(size, np.dtype(dtype)) == layout.lines


@pytest.mark.nojit
@pytest.mark.parametrize("filters", ["cf_1_3+db2", "cf_1_1+db4"])  # the longer ones last, and first
def test_there_is_room_for_all_delays(filters):
    tables = DualTreePackets2D(2, filters).tables((8, 8), "adjoint", np.dtype(np.float64))
    assert {len(pair.tangents) for pair in tables[0].first + tables[0].main} == {2, 4}
    assert plan.buffer_size(tables[0], 1) >= 3 * loops.WIDEST


@pytest.mark.parametrize(
    ("levels", "shape", "boundary"),
    [
        (2, (5, 20, 12), "periodization"),
        (2, (21, 9, 14), "symmetric"),
        (1, (4, 31, 13), "zero"),
        (3, (2, 37, 85), "reflect"),
    ],
)
def test_the_layout_changes_nothing(monkeypatch, levels, shape, boundary):
    x = np.random.default_rng(4).standard_normal(shape)
    t = DualTreePackets2D(levels, boundary=boundary)
    expected = round_trip(t, x)
    assert relative(expected[0], reference.forward_2d(t, x)) < 1e-12
    layouts = set()
    for strip, row, threads in product((1, 2**13, 2**30), (1, 30, 10**6), (1, 2, 3)):
        monkeypatch.setattr(strips, "STRIP", strip)
        monkeypatch.setattr(strips, "ROW", row)
        wavelets.set_num_threads(threads)
        tables = t.tables(shape[1:], "forward", x.dtype)
        layouts.add(strip_layout(tables, x.dtype, len(x)))
        for got, values in zip(round_trip(t, x), expected, strict=True):
            assert relative(got, values) < 1e-14
    assert len(layouts) > 4


@pytest.mark.nojit
@pytest.mark.parametrize("threads", [1, 3])
def test_small_images_in_groups_and_strips(monkeypatch, threads):
    x = np.random.default_rng(5).standard_normal((3, 5, 3))
    t = DualTreePackets2D(1)
    wavelets.set_num_threads(threads)
    expected = reference.forward_2d(t, x)
    for strip, row in ((1, 1), (1, 10), (2**20, 10)):  # strips that end within an image; the last group has one
        monkeypatch.setattr(strips, "STRIP", strip)
        monkeypatch.setattr(strips, "ROW", row)
        c = t.forward(x)
        assert relative(c, expected) < 1e-13
        assert relative(t.inverse(c), x) < 1e-13


@pytest.mark.nojit
def test_parts_of_an_image_come_in_any_order(monkeypatch):
    def backwards(work, count, most):
        for begin in reversed(range(0, count, most)):
            work(begin, min(begin + most, count))

    x = np.random.default_rng(16).standard_normal((18, 11))
    t = DualTreePackets2D(1)
    wavelets.set_num_threads(3)
    monkeypatch.setattr(strips, "over_parts", backwards)
    tables = t.tables(x.shape, "forward", x.dtype)
    layout = strip_layout(tables, x.dtype, 1)._replace(width=5, strips=3)  # strips end within nodes of 6
    monkeypatch.setattr(strips, "strip_layout", lambda *arguments: layout)
    c = t.forward(x)
    assert relative(c, reference.forward_2d(t, x)) < 1e-13
    assert relative(t.inverse(c), x) < 1e-13


@pytest.mark.parametrize("size", [(300, 520), (301, 77)])
def test_one_image_by_several_threads_equals_the_same_in_a_batch(size):
    x = np.random.default_rng(6).standard_normal((2, *size))
    t = DualTreePackets2D(3)
    wavelets.set_num_threads(1)  # as a batch of two, then of one
    pair, single = round_trip(t, x), round_trip(t, x[0])
    for threads in (2, 3):
        wavelets.set_num_threads(threads)
        for got, values in zip(round_trip(t, x), pair, strict=True):
            assert relative(got, values) < 1e-14
        for got, values in zip(round_trip(t, x[0]), single, strict=True):
            assert relative(got, values) < 1e-14
    assert relative(single[0], pair[0][0]) < 1e-14


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("levels", "stride", "size"), [(1, 2, (6, 1100)), (2, 2, (5, 1101)), (1, 2, (1100, 5))])
def test_nodes_wider_than_a_buffer(levels, stride, size, threads):
    wavelets.set_num_threads(threads)
    t = DualTreePackets2D(levels, stride=stride)
    x = np.random.default_rng(7).standard_normal(size)
    tables = t.tables(size, "forward", x.dtype)
    nx = tables[1].sizes[-1]
    if size[1] > size[0]:
        assert 2 * nx > loops.WIDEST and strip_layout(tables, x.dtype, 1).width < nx
    c = t.forward(x)
    assert relative(c, reference.forward_2d(t, x)) < 1e-12
    assert relative(t.inverse(c), x) < 1e-12
    y = c * np.random.default_rng(8).random(c.shape)
    assert np.vdot(y, c).real == pytest.approx(np.vdot(t.adjoint(y), x), rel=1e-12)


@pytest.mark.parametrize("threads", [1, 2])
def test_many_short_signals_and_few_long_ones(threads):
    wavelets.set_num_threads(threads)
    for shape in ((1100, 5), (17, 1500)):
        assert lines_at_once(shape[1], np.dtype(np.float64)) < shape[0]
        x = np.random.default_rng(9).standard_normal(shape)
        t = DualTreePackets1D(1)
        c = t.forward(x)
        few = [0, 15, 16, -1]
        assert relative(c[few], reference.forward_1d(t, x[few])) < 1e-12
        assert relative(t.inverse(c), x) < 1e-12
        np.testing.assert_array_equal(c[few], [t.forward(x[i]) for i in few])


@pytest.mark.parametrize("levels", [1, 2, 3, 4, 5, 6])
def test_all_depths(levels):
    x = np.random.default_rng(10).standard_normal((2, 21, 34))
    t = DualTreePackets2D(levels)
    c = t.forward(x)
    assert relative(c, reference.forward_2d(t, x)) < 1e-12
    assert relative(t.inverse(c), x) < 1e-12
    y = c * np.random.default_rng(11).random(c.shape)
    assert np.vdot(y, c).real == pytest.approx(np.vdot(t.adjoint(y), x), rel=1e-12)


def test_a_first_stage_of_taps_before_lattices():
    t = DualTreePackets2D(2, "cf_1_1+sym3")
    first, main = t.tables((9, 12), "forward", np.dtype(np.float64))[0][:2]
    assert isinstance(first[0], Taps) and isinstance(main[0], Lattice)
    x = np.random.default_rng(15).standard_normal((2, 9, 12))
    assert relative(t.forward(x), reference.forward_2d(t, x)) < 1e-12


# ---- memory ---------------------------------------------------------------------------------------------------------


@pytest.mark.nojit
@every_engine
def test_what_was_in_memory_does_not_come_out(monkeypatch, engine):
    # With the jit off, this reaches the buffers of the kernels, too.
    use(monkeypatch, engine)
    wavelets.set_num_threads(2)  # two images as a batch, one in parts
    empty = np.empty

    def poisoned(shape, dtype=float, **options):
        array = empty(shape, dtype, **options)
        if array.dtype.kind in "fc":
            array.fill(np.nan)
        return array

    rng = np.random.default_rng(12)
    for boundary in ("periodization", "symmetric", "zero"):
        one, two = (cls(2, boundary=boundary) for cls in (DualTreePackets1D, DualTreePackets2D))
        x = rng.standard_normal((2, 3, 4))
        for t, signal in ((one, x[0]), (two, x), (two, x[0])):
            expected = round_trip(t, signal)
            with monkeypatch.context() as context:
                context.setattr(np, "empty", poisoned)
                got = round_trip(t, signal)
            for values, clean in zip(got, expected, strict=True):
                np.testing.assert_array_equal(values, clean)


@pytest.mark.parametrize("boundary", ["periodization", "zero"])
def test_huge_values_leave_nothing_behind(boundary):
    x = np.random.default_rng(13).standard_normal((3, 40, 37))
    t = DualTreePackets2D(2, boundary=boundary)
    before = round_trip(t, x)
    for batch in (x, x[:1]):
        c = t.forward(np.full(batch.shape, 1e30))
        assert np.isfinite(c).all()
        t.inverse(c), t.adjoint(c)
        for got, values in zip(round_trip(t, x), before, strict=True):
            np.testing.assert_array_equal(got, values)


def reached(t, n, pixel):
    """Which coefficients of an axis of n samples, periodic, a pixel is under."""
    first = t.start + t.stride * np.arange(n // t.stride)
    return (pixel - first) % n < t.kernel_size


@every_engine
@pytest.mark.parametrize("levels", [1, 2])
def test_one_huge_value_stays_within_the_filters(monkeypatch, levels, engine):
    use(monkeypatch, engine)
    size, pixel = (64, 96), (31, 50)
    x = np.random.default_rng(14).standard_normal((2, *size))
    t = DualTreePackets2D(levels)
    expected = np.asarray(t.forward(x))
    spoiled = x.copy()
    spoiled[1, *pixel] = 1e30
    c = np.asarray(t.forward(spoiled))
    under_y, under_x = (reached(t, n, p) for n, p in zip(size, pixel, strict=True))
    under = np.outer(under_y, under_x)
    assert 0 < under.sum() < under.size and (np.abs(c[1][:, under]) > 1e20).any(axis=0).mean() > 0.2
    np.testing.assert_array_equal(c[0], expected[0])
    np.testing.assert_array_equal(c[1][:, ~under], expected[1][:, ~under])
    k = tuple(n // t.stride // 2 for n in size)
    spoiled = expected.copy()
    spoiled[1, 3, *k] = 1e30
    for kind in KINDS[1:]:
        clean, back = (getattr(t, kind)(c, size) for c in (expected, spoiled))
        under = np.outer(*([reached(t, n, p)[i] for p in range(n)] for n, i in zip(size, k, strict=True)))
        assert 0 < under.sum() < under.size and np.abs(back[1][under]).max() > 1e20
        np.testing.assert_array_equal(back[0], clean[0])
        np.testing.assert_array_equal(back[1][~under], clean[1][~under])
