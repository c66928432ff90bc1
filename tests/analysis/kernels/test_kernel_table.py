"""The kernel table: what is joined, the prediction it brings, the ranking, rank correlations with their intervals."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import xarray as xr
from scipy.stats import spearmanr

from analysis import FirstLayer, describe_kernels, estimate_spectrum, kernel_table, measure_kernels, predict
from analysis.kernels import gabor, kernel_frame, rank_correlation
from analysis.kernels.table import COLUMNS
from analysis.prediction import typical_share
from wavelets.complex_filters import complex_filters

GREY = np.array([0.6, 0.6, 0.5])[:, None, None]
THETA = [(0.9, 0.8), (-1.2, 0.7), (0.0, 1.6), (2.2, 0.4), (0.3, 1.2)]
WAVES = [GREY * gabor((1, 0.4, *t, 3, 3, 1.6, 1.6, 0), (7, 7)) for t in THETA]
WEIGHT = np.stack([*WAVES, np.zeros((3, 7, 7)), GREY * gabor((1, 0, 0, 0, 3, 3, 2, 2, 0), (7, 7))])
LAYER = FirstLayer("test", WEIGHT, 2, mean=(0.5, 0.5, 0.5), std=(0.2, 0.25, 0.3))
IMAGES = [np.random.default_rng(i).random((96, 96, 3)) for i in range(12)]
SHIFTS = [(0, 1), (1, 0)]


@pytest.fixture(scope="module")
def table():
    return kernel_table(LAYER, IMAGES, SHIFTS, 96, progress=False)


def test_it_is_the_description_and_the_measurement(table):
    described, measured = describe_kernels(LAYER), measure_kernels(LAYER, IMAGES, SHIFTS, 96, progress=False)
    for part in (described, measured):
        for name in part.data_vars:
            xr.testing.assert_identical(table[name].variable, part[name].variable)
    np.testing.assert_array_equal(table.weight, LAYER.weight)
    np.testing.assert_array_equal(table.gain, LAYER.gain)
    assert table.attrs.items() >= {"layer": "test", "stride": 2, "images_used": 12, "size": 96}.items()
    assert table.attrs["images_sha256"] == measured.attrs["images_sha256"]


def test_the_prediction_is_that_of_the_colours_of_the_same_pictures(table):
    spectra = estimate_spectrum(IMAGES, 96, 255, progress=False, colour=True, level=LAYER.mean)
    std = np.array(LAYER.std)
    filters = complex_filters(WEIGHT[:5])
    spectra = spectra / np.outer(std, std)[..., None, None]
    predicted = predict(filters, spectra, 2, SHIFTS, progress=False)
    np.testing.assert_allclose(table.gaussian_rho[:5], predicted.rho_rms, rtol=5e-3)
    mixture = predict(filters, spectra, 2, [(0, 0)], progress=False, isolated=typical_share(2))
    np.testing.assert_allclose(table.predicted_rho[:5], mixture.rho_rms, rtol=5e-3)
    assert (table.predicted_rho[:5] > table.gaussian_rho[:5] * 1.01).all()
    np.testing.assert_allclose(table.predicted_eta_rmax[:5], predicted.eta_rmax_rms, rtol=5e-3)
    np.testing.assert_allclose(table.predicted_eta_cmod[:5], predicted.eta_cmod_rms, rtol=5e-3)
    assert np.isnan(table.predicted_rho[5:]).all()


def test_the_prediction_knows_the_colours_and_the_means_of_the_pictures():
    smooth = [x.copy() for x in IMAGES]
    for x in smooth:  # red has another spectrum than green and blue, and all a mean that the layer does not take off
        x[..., 0] = (x[..., 0] + np.roll(x[..., 0], 1, 0) + np.roll(x[..., 0], 1, 1)) / 3
    layer = FirstLayer("test", WEIGHT[:5], 2, mean=(0.3, 0.2, 0.4), std=(0.1, 0.3, 1.0))
    found = kernel_table(layer, smooth, SHIFTS, 96, progress=False)
    spectra = estimate_spectrum(smooth, 96, 255, progress=False, colour=True, level=layer.mean)
    scaled = spectra / np.outer(layer.std, layer.std)[..., None, None]
    predicted = predict(complex_filters(WEIGHT[:5]), scaled, 2, SHIFTS, progress=False)
    for name in ("gaussian_rho", "predicted_eta_rmax", "predicted_eta_cmod"):
        np.testing.assert_allclose(found[name], predicted[f"{name.split('_', 1)[1]}_rms"], rtol=5e-3)


def test_the_prediction_is_right_on_noise(table):
    # Independent uniform pixels: not Gaussian, but their weighted sums nearly are.
    keep = table.kind.values == "band-pass"
    assert keep.sum() == 5
    np.testing.assert_allclose(table.gaussian_rho[keep], table.rho_rms[keep], rtol=0.06)
    np.testing.assert_allclose(table.predicted_eta_rmax[keep], table.eta_rmax_rms[keep], rtol=0.08)


def test_one_channel_is_predicted_as_well():
    one = FirstLayer("grey", WEIGHT[:, :1], 2, mean=(0.5,))
    images = [image[..., 0] for image in IMAGES]
    ds = kernel_table(one, images, [(0, 1)], 96, progress=False)
    keep = ds.kind.values == "band-pass"
    np.testing.assert_allclose(ds.gaussian_rho[keep], ds.rho_rms[keep], rtol=0.1)
    assert (ds.predicted_rho[keep] > ds.gaussian_rho[keep]).all()


def test_the_rank_is_by_the_share_of_the_layers_change(table):
    change = table.share_of_change.values
    alive = change > 0
    assert table["rank"].values[~alive].tolist() == [-1]
    assert np.argsort(table["rank"].values[alive]).tolist() == np.argsort(-change[alive]).tolist()
    assert sorted(table["rank"].values[alive]) == list(range(1, alive.sum() + 1))


def test_a_layer_without_band_pass_kernels_has_a_table():
    ds = kernel_table(FirstLayer("blob", WEIGHT[-1:], 2), IMAGES, SHIFTS, 96, progress=False)
    assert np.isnan(ds.predicted_rho).all() and np.isfinite(ds.rho).all()
    assert np.isnan(rank_correlation(ds, "rho", "gamma")).all()


def test_the_frame_has_the_columns_of_the_specification(table):
    frame = kernel_frame(table)
    assert tuple(frame.columns[: len(COLUMNS)]) == COLUMNS
    assert list(frame.columns[len(COLUMNS) :]) == ["eta_rmax(0,1)", "eta_rmax(1,0)", "eta_cmod(0,1)", "eta_cmod(1,0)"]
    specified = "index kind theta_y theta_x wavelength orientation bandwidth energy_in_window gabor_r2 monochrome "
    specified += "cell_y cell_x gamma rho rho_stderr eta_rmax eta_cmod predicted_rho"
    assert set(specified.split()) <= set(frame.columns)
    np.testing.assert_allclose(frame.eta_rmax, table.eta_rmax.mean("shift"))
    np.testing.assert_array_equal(frame["eta_cmod(1,0)"], table.eta_cmod[:, 1])


def fake(x, y, kind="band-pass"):
    return xr.Dataset({"x": ("kernel", x), "y": ("kernel", y), "kind": ("kernel", [kind] * len(x))})


def test_rank_correlation_is_spearman_over_the_band_pass_kernels():
    rng = np.random.default_rng(0)
    x = rng.standard_normal(40)
    y = x + rng.standard_normal(40)
    value, low, high = rank_correlation(fake(x, y), "x", "y")
    assert value == pytest.approx(spearmanr(x, y).statistic)
    assert low < value < high
    both = xr.concat([fake(x, y), fake(10 * x, -y, "blob")], "kernel")
    assert rank_correlation(both, "x", "y") == (value, low, high)
    assert rank_correlation(fake(np.exp(x), y**3), "x", "y")[0] == pytest.approx(value)
    holes = np.append(x, np.nan), np.append(y, 3.0)
    assert rank_correlation(fake(*holes), "x", "y") == (value, low, high)


@pytest.mark.parametrize("pearson", [0.0, 0.6, 0.99])
def test_the_interval_covers_the_truth_as_often_as_it_says(pearson):
    rng = np.random.default_rng(1)
    truth = 6 / np.pi * np.arcsin(pearson / 2)  # Spearman's correlation of a normal pair
    hits = 0
    for _ in range(800):
        x, y = rng.multivariate_normal([0, 0], [[1, pearson], [pearson, 1]], 46).T
        _, low, high = rank_correlation(fake(x, y), "x", "y")
        hits += low <= truth <= high
    assert 0.925 < hits / 800 < 0.985


def test_a_perfect_order_has_the_correlation_one():
    x = np.arange(9.0)
    assert rank_correlation(fake(x, x**3), "x", "y") == (1, 1, 1)
    assert rank_correlation(fake(x, -x), "x", "y") == (-1, -1, -1)


@pytest.mark.parametrize("x", [[1.0, 2.0, 3.0], [1.0] * 5])
def test_too_little_to_rank(x):
    assert np.isnan(rank_correlation(fake(x, np.arange(len(x), dtype=float)), "x", "y")).all()


def test_unknown_variables():
    with pytest.raises(ValueError, match="no variable 'z'"):
        rank_correlation(fake([1.0], [1.0]), "x", "z")


def test_missing_pictures_are_refused_while_the_description_goes_on(monkeypatch, tmp_path):
    go_on, described = threading.Event(), threading.Event()

    def describe(*_):
        go_on.wait(30)
        described.set()

    monkeypatch.setattr("analysis.kernels.table.kernel_measures", describe)
    try:
        with pytest.raises(FileNotFoundError):
            kernel_table(LAYER, tmp_path / "nowhere", SHIFTS, 96, progress=False)
        assert not described.is_set()
    finally:
        go_on.set()
