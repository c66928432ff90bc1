"""Grids of the Hilbert transform compared: the same positions, the same RMax, filters that converge."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import FirstLayer, measure_kernels, plots
from analysis.kernels import compare_grids, gabor

GREY = np.array([0.6, 0.6, 0.5])[:, None, None]
WAVES = [GREY * gabor((1, 0.4, *t, 3, 3, 1.6, 1.6, 0), (7, 7)) for t in [(0.9, 0.8), (-1.2, 0.7), (0.0, 1.6)]]
WEIGHT = np.stack([*WAVES, np.zeros((3, 7, 7))])
LAYER = FirstLayer("test", WEIGHT, 2, mean=(0.5, 0.5, 0.5))
IMAGES = [np.random.default_rng(i).random((96, 96, 3)) for i in range(3)]


@pytest.fixture(scope="module")
def compared():
    return compare_grids(LAYER, IMAGES, (1, 2, 4), size=96, progress=False)


def test_the_largest_grid_is_what_is_measured_with_it(compared):
    measured = measure_kernels(LAYER, IMAGES, size=96, grid=4, progress=False)
    for name in ("rho_rms", "eta_cmod_rms"):
        np.testing.assert_allclose(compared[name].sel(grid=28), measured[name], rtol=1e-5)
    assert compared.grid.values.tolist()[:3] == [7, 14, 28] and compared.grid[3] >= 94


def test_a_smaller_grid_is_measured_at_the_same_positions(compared):
    # A window of the same valid region: what two sides leave out more than one is cut from the pictures.
    alone = measure_kernels(LAYER, [x[10:-11, 10:-11] for x in IMAGES], size=75, grid=1, progress=False)
    np.testing.assert_allclose(compared.rho_rms.sel(grid=7), alone.rho_rms, rtol=1e-4)


def test_filters_and_measurements_converge(compared):
    assert np.isnan(compared.filter_change[:, 3]).all() and np.isnan(compared.rho_rms[:, 3]).all()
    change = compared.filter_change.values[:, :3]
    assert (np.diff(change, axis=0) < 0).all() and (change[-1] == 0).all()
    error = np.abs(compared.rho_rms / compared.rho_rms[-1] - 1).values[:, :3].max(axis=1)
    assert error[2] < 0.01 and error[2] < error[0]


def test_kernels_that_are_not_square(compared):
    wide = np.pad(WEIGHT, ((0, 0), (0, 0), (0, 0), (2, 2)))
    other = compare_grids(FirstLayer("wide", wide, 2, mean=(0.5, 0.5, 0.5)), IMAGES, (4,), size=96, progress=False)
    np.testing.assert_allclose(other.rho_rms[-1], compared.rho_rms[-1], rtol=0.05)


@pytest.mark.parametrize(
    ("grids", "error", "message"),
    [
        ((), ValueError, "grids is empty"),
        ((0,), ValueError, "grid is 0"),
        ((1.5,), TypeError, "grid must be an integer"),
        ((20,), ValueError, "too small"),
    ],
)
def test_bad_grids(grids, error, message):
    with pytest.raises(error, match=message):
        compare_grids(LAYER, IMAGES, grids, size=96, progress=False)


def test_the_figure_has_median_and_largest_of_every_class(compared):
    kind = np.array(["band-pass", "band-pass", "blob", "dead"])
    panels = plots.grids_figure(compared, kind).axes
    assert len(panels) == 3
    for ax, values in zip(panels, (compared.filter_change.values,), strict=False):
        lines = {line.get_label(): line.get_ydata() for line in ax.lines}
        assert set(lines) == {f"{name}, {what}" for name in ("band-pass", "blob") for what in ("median", "largest")}
        np.testing.assert_allclose(lines["band-pass, largest"], values[:-1, :2].max(axis=1))
        np.testing.assert_allclose(lines["band-pass, median"], np.median(values[:-1, :2], axis=1))
