"""The fused sums against those of whole maps."""

from __future__ import annotations

import numpy as np
import pytest

import wavelets
from analysis import packet_pool
from analysis.measurements.packet_sums import packet_sums
from analysis.measurements.rmax_cmod import smallest_side
from analysis.measurements.shift_experiment import sums_of_maps
from wavelets import DualTreePackets2D
from wavelets.engine import stages
from wavelets.engine import strips as cutting
from wavelets.engine.strips import strip_layout

TOLERANCE = {np.float64: 1e-12, np.float32: 1e-5}


@pytest.fixture(autouse=True)
def default_threads():
    yield
    wavelets.set_num_threads(None)


def pictures(shifts, n, size, dtype=np.float64, seed=1):
    return list(np.random.default_rng(seed).random((1 + shifts, n, *size)).astype(dtype))


def check(t, windows, q):
    """Compare the fused sums with those of maps; return the fused ones."""
    expected = sums_of_maps(lambda x: packet_pool(t, x, q), windows)
    found = packet_sums(t, windows, q)
    assert found.positions == expected.positions
    n, channels = len(windows[0]), 2 * 4**t.levels
    shapes = {"energies": (3, n, channels), "changes": (2, n, channels, len(windows) - 1)}
    for name, shape in shapes.items():
        ours, theirs = getattr(found, name), getattr(expected, name)
        assert ours.dtype == np.float64
        assert ours.shape == theirs.shape == shape
        np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE[windows[0].dtype.type], err_msg=name)
    return found


# ---- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("boundary", stages.BOUNDARIES)
@pytest.mark.parametrize(
    ("levels", "size", "q"), [(1, (19, 26), 0), (1, (33, 20), 1), (2, (61, 75), 2), (3, (93, 88), 0)]
)
def test_equals_the_sums_of_maps(levels, size, q, boundary):
    t = DualTreePackets2D(levels, stride=2 ** (levels - 1), boundary=boundary)
    check(t, pictures(2, 2, size), q)


@pytest.mark.parametrize("decimated", [True, False])
@pytest.mark.parametrize("shifts", [0, 1, 2])
@pytest.mark.parametrize("n", [1, 5])
def test_any_number_of_pictures_and_shifts(n, shifts, decimated):
    t = DualTreePackets2D(1, stride=2 if decimated else 1)
    check(t, pictures(shifts, n, (30, 41)), 1)


def test_no_picture():
    found = packet_sums(DualTreePackets2D(1, stride=1), pictures(2, 0, (30, 41)))
    assert found.energies.shape == (3, 0, 8)
    assert found.changes.shape == (2, 0, 8, 2)


def test_single_precision():
    t = DualTreePackets2D(2, stride=2)
    check(t, pictures(1, 3, (64, 71), np.float32), 1)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_threads_and_strips_change_nothing(monkeypatch, threads):
    t, windows = DualTreePackets2D(2, stride=2), pictures(1, 5, (60, 67))
    wavelets.set_num_threads(1)
    expected = packet_sums(t, windows)
    wavelets.set_num_threads(threads)
    strips = set()
    for strip in (1, 2**16, 2**30):
        monkeypatch.setattr(cutting, "STRIP", strip)
        strips.add(strip_layout(t.tables((60, 67), "forward", np.dtype(float)), np.dtype(float), threads).strips)
        for ours, theirs in zip(check(t, windows, 1)[:3], expected[:3], strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-13)
    assert len(strips) > 1


def test_filters_that_are_taps():
    t = DualTreePackets2D(2, "cf_1_1+sym3", stride=2)
    check(t, pictures(1, 2, (40, 37)), 1)


def test_wide_pictures_node_by_node():
    t = DualTreePackets2D(1, stride=1)
    size = (20, 300)
    tables = t.tables(size, "forward", np.dtype(float))
    assert strip_layout(tables, np.dtype(float), 1)[2:] == (2, tables[1].sizes[-1])
    check(t, pictures(1, 2, size), 1)


def test_pictures_whose_nodes_fit_no_strip():
    t = DualTreePackets2D(1, stride=1)
    size = (20, 530)
    tables = t.tables(size, "forward", np.dtype(float))
    assert strip_layout(tables, np.dtype(float), 1).width % tables[1].sizes[-1]
    check(t, pictures(1, 2, size), 1)


def test_the_same_window_changes_nothing():
    t = DualTreePackets2D(2, stride=2)
    (x,) = pictures(0, 2, (50, 50))
    found = packet_sums(t, [x, x, x[:, ::-1]])
    assert (found.changes[..., 0] == 0).all()
    assert (found.changes[0, ..., 1] > 0).all()


@pytest.mark.nojit
def test_what_was_in_memory_does_not_come_out(monkeypatch):
    # With the jit off, this reaches the buffers of the kernel, too.
    empty = np.empty

    def poisoned(shape, dtype=float, **options):
        array = empty(shape, dtype, **options)
        if array.dtype.kind == "f":
            array.fill(np.nan)
        return array

    t, windows = DualTreePackets2D(1, stride=1, boundary="zero"), pictures(1, 2, (18, 17))
    expected = check(t, windows, 1)
    monkeypatch.setattr(np, "empty", poisoned)
    for ours, theirs in zip(packet_sums(t, windows), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)


# ---- errors ---------------------------------------------------------------------------------------------------------


def test_pictures_too_small():
    t = DualTreePackets2D(2, stride=2)
    side = smallest_side(t, 1)
    assert packet_sums(t, pictures(1, 1, (side, side))).positions == 1
    with pytest.raises(ValueError, match="expected at least 3x3, one pooling window for q = 1"):
        packet_sums(t, pictures(1, 1, (side, side - 1)))
    with pytest.raises(ValueError, match="the valid region is empty"):
        packet_sums(t, pictures(1, 1, (10, 90)))
    with pytest.raises(ValueError, match="q is -1; expected at least 0"):
        packet_sums(t, pictures(1, 1, (side, side)), -1)
    with pytest.raises(TypeError, match="q must be an integer, not float"):
        packet_sums(t, pictures(1, 1, (side, side)), 1.0)


def test_without_pooling_nothing_is_summed():
    t = DualTreePackets2D(2, stride=2)
    sums = packet_sums(t, [np.ones((2, 60, 60)), np.ones((2, 60, 60))], pooling=False)
    assert not np.any(sums.energies) and not np.any(sums.changes) and sums.changes.shape == (2, 2, 32, 1)
