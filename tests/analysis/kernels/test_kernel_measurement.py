"""Measurement of a layer: responses against slow ones, the network's output, invariances, bad input."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import correlate2d

from analysis import FirstLayer, bundled_crops, cmod, heatmaps, measure_kernels, rmax
from analysis.kernels import gabor, network_output
from analysis.kernels.measurement import LayerResponses, kernel_experiment
from analysis.measurements.translation import windows
from wavelets import DualTreePackets2D
from wavelets.complex_filters import complex_filters

DATA = Path(os.environ.get("SHIFTSCOPE_DATA", "missing"))
rng = np.random.default_rng(0)
WEIGHT = rng.standard_normal((4, 3, 5, 5))
PICTURES = rng.random((3, 40, 44, 3))


def layer(weight=WEIGHT, stride=2, **options):
    return FirstLayer("test", weight, stride, **options)


def slow(pictures, filters, stride):
    """Sum over channels of direct correlations, every stride-th position."""
    return np.array(
        [
            [
                sum(correlate2d(x.real, w.conj(), "valid") for x, w in zip(picture, kernel, strict=True))[
                    ::stride, ::stride
                ]
                for picture in pictures
            ]
            for kernel in filters
        ]
    )


@pytest.mark.nojit
@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_responses_equal_direct_correlations(stride):
    pictures = PICTURES.transpose(0, 3, 1, 2)
    filters = complex_filters(WEIGHT, 2)
    found = LayerResponses(filters, stride, pictures.shape[2:], np.float64)(pictures)
    expected = slow(pictures, filters, stride)
    assert found.dtype == np.complex128
    np.testing.assert_allclose(found, expected, atol=1e-12 * np.abs(expected).max())
    single = LayerResponses(filters, stride, pictures.shape[2:])(pictures.astype(np.float32))
    assert single.dtype == np.complex64
    np.testing.assert_allclose(single, expected, atol=2e-6 * np.abs(expected).max())


@pytest.mark.nojit
@pytest.mark.parametrize("q", [1, 2])
def test_measurements_equal_those_of_the_slow_operators(q):
    images = [image[:40, :40] for image in PICTURES]
    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)
    one = layer(mean=mean, std=std, pool=2 * q + 1)
    ds = measure_kernels(one, images, [(0, 1), (1.5, 0)], 40, grid=2, progress=False)
    normalised = ((np.array(images, np.float64) - mean) / std).transpose(0, 3, 1, 2)
    filters, margin = complex_filters(WEIGHT, 2), 6  # two pixels for the shift, four for the interpolation

    def operators(pictures):
        z = slow(pictures, filters, 2)
        h, w = (n - 2 * q for n in z.shape[2:])
        side = range(2 * q + 1)
        r = np.stack([z.real[..., i : i + h, j : j + w] for i in side for j in side])
        return r.max(axis=0)[..., ::2, ::2], np.abs(z[..., q : q + h : 2, q : q + w : 2])

    def norm(x):
        return np.sqrt((x**2).sum(axis=(2, 3)))

    r, c = operators(windows(normalised, (0, 0), margin))
    np.testing.assert_allclose(ds.rho, (norm(r - c) / norm(c)).mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(ds.rho_rms, np.sqrt((norm(r - c) ** 2).sum(1) / (norm(c) ** 2).sum(1)), rtol=1e-5)
    for s, shift in enumerate([(0, 1), (1.5, 0)]):
        moved_r, moved_c = operators(windows(normalised, shift, margin))
        np.testing.assert_allclose(ds.eta_rmax[:, s], (norm(moved_r - r) / norm(r)).mean(axis=1), rtol=1e-5)
        np.testing.assert_allclose(ds.eta_cmod[:, s], (norm(moved_c - c) / norm(c)).mean(axis=1), rtol=1e-5)
    assert ds.images_used == 3 and (ds["count"] == 3).all()


def test_one_channel_equals_the_public_operators():
    image = rng.random((32, 32)).astype(np.float64)
    one = layer(WEIGHT[:, :1], mean=(0,), std=(1,))
    experiment = kernel_experiment(one, [(0, 0)], 32, 2, np.float64)
    ds = experiment.dataset(experiment.measure(image[None])[0])
    for kernel, rho in zip(complex_filters(one.weight, 2)[:, 0], ds.rho.values, strict=True):
        r, c = rmax(image, kernel, 2), cmod(image, kernel, 2)
        assert rho == pytest.approx(np.linalg.norm(r - c) / np.linalg.norm(c), rel=1e-12)
    assert (ds.eta_rmax == 0).all()


def test_packets_as_a_layer_give_the_heatmaps():
    # The complex packets' own imaginary parts differ from a Hilbert transform: their real parts do not.
    images = [image[:, :40].mean(axis=2) for image in PICTURES]
    transform = DualTreePackets2D(1, "cf_3_3", stride=1)
    expected = heatmaps(images, 1, size=40, shifts=[(0, 1)], progress=False)
    kernels = transform.kernels().real[:, None]
    one = FirstLayer("packets", kernels, 1, mean=(0,), std=(1,))
    found = measure_kernels(one, images, [(0, 1)], 40, grid=1, progress=False)
    np.testing.assert_allclose(found.eta_rmax_rms, expected.eta_rmax_rms, rtol=0.05)


def test_scale_of_kernels_and_contrast_of_normalisation_do_not_matter():
    images = [image[:40, :40] for image in PICTURES]
    one = measure_kernels(layer(), images, [(0, 1)], 40, progress=False)
    for other in (layer(1e-15 * WEIGHT), layer(std=tuple(7 * np.array((0.229, 0.224, 0.225))))):
        two = measure_kernels(other, images, [(0, 1)], 40, progress=False)
        for name in ("rho", "eta_rmax", "eta_cmod"):
            np.testing.assert_allclose(two[name], one[name], rtol=1e-4)


def test_dead_kernels_are_nan_and_the_others_as_without_them():
    images = [image[:40, :40] for image in PICTURES]
    weight = WEIGHT.copy()
    weight[1] = 0
    found = measure_kernels(layer(weight), images, [(0, 1)], 40, progress=False)
    expected = measure_kernels(layer(WEIGHT[[0, 2, 3]]), images, [(0, 1)], 40, progress=False)
    assert np.isnan(found.rho[1]) and np.isnan(found.eta_cmod[1]).all() and found["count"][1] == 0
    np.testing.assert_allclose(found.rho[[0, 2, 3]], expected.rho, rtol=1e-5)
    np.testing.assert_array_equal(found.index, np.arange(4))


def test_a_grey_network_sees_the_luminance_and_a_colour_network_the_colours():
    image = np.zeros((40, 40, 3))
    image[..., 0] = rng.random((40, 40))
    image[..., 1] = 0.299 / 0.587 * (1 - image[..., 0])  # red and green of constant luminance
    image[..., 2] = 0
    opponent = np.array([1, -1, 0.0])[:, None, None] * gabor((1, 0, 0.5, 1, 2, 2, 1.5, 1.5, 0), (5, 5))
    found = measure_kernels(layer(opponent[None]), [image], [(0, 1)], 40, progress=False)
    assert found["count"][0] == 1 and np.isfinite(found.rho[0])
    with pytest.raises(ValueError, match="none of the 1 images could be used"):
        measure_kernels(layer(opponent[None, :1], mean=(0.4,), std=(1,)), [image], [(0, 1)], 40, progress=False)


def test_a_flat_picture_is_named_and_left_out():
    skipped = []
    images = [PICTURES[0, :40, :40], np.full((40, 40, 3), 0.3)]
    ds = measure_kernels(layer(), images, size=40, progress=False, on_skip=lambda *what: skipped.append(what))
    assert ds.images_used == 1 and skipped == [("array 1", "flat: all its pixels are equal")]


@pytest.mark.parametrize(("padding", "pool", "pool_padding"), [(0, 3, 0), (2, 3, 1), (1, 5, 2)])
def test_output_of_the_network_equals_the_slow_one(padding, pool, pool_padding):
    bias = rng.standard_normal(4)
    one = layer(WEIGHT, 2, bias=bias, padding=padding, pool=pool, pool_padding=pool_padding)
    x = rng.standard_normal((2, 3, 20, 23))
    padded = np.pad(x, ((0, 0), (0, 0), (padding,) * 2, (padding,) * 2))
    y = slow(padded, WEIGHT, 2).real.swapaxes(0, 1) + bias[:, None, None]
    y = np.pad(np.maximum(y, 0), ((0, 0), (0, 0), (pool_padding,) * 2, (pool_padding,) * 2))
    h, w = (n - pool + 1 for n in y.shape[2:])
    expected = np.max([y[..., i : i + h : 2, j : j + w : 2] for i in range(pool) for j in range(pool)], axis=0)
    np.testing.assert_allclose(network_output(one, x), expected, atol=1e-12)


def test_output_equals_that_of_torch():
    torch = pytest.importorskip("torch")
    bias = rng.standard_normal(4)
    weight = rng.standard_normal((4, 3, 11, 11))
    one = FirstLayer("alexnet-like", weight, 4, padding=2, bias=bias)
    x = rng.standard_normal((2, 3, 63, 70))
    y = torch.conv2d(torch.tensor(x), torch.tensor(weight), torch.tensor(bias), 4, 2).relu()
    expected = torch.max_pool2d(y, 3, 2).numpy()
    np.testing.assert_allclose(network_output(one, x), expected, atol=1e-10)


def test_the_published_pool1_of_caffenet_is_reproduced():
    folder = DATA / "weights"
    if not folder.is_dir():
        pytest.skip("needs the published kernels (set SHIFTSCOPE_DATA)")
    from analysis import first_layer

    one = first_layer(folder / "caffenet_conv1.npz", like="caffenet")
    with np.load(folder / "caffenet_reference_io.npz") as io:
        blue_first, expected = io["input"], io["pool1"]
    found = network_output(one, blue_first[None, ::-1])[0]
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() < 0.001  # as the data set states; the scale is 1520


def test_bundled_photographs_are_the_same_in_any_block(monkeypatch):
    from analysis.runs import blocks

    crops = bundled_crops(64, colour=True)[:7]
    one = measure_kernels(layer(), crops, size=64, progress=False)
    monkeypatch.setattr(blocks, "BATCH", 3)
    two = measure_kernels(layer(), crops, size=64, progress=False)
    np.testing.assert_allclose(two.rho, one.rho, rtol=1e-6)
    assert two.images_sha256 == one.images_sha256


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"size": 20}, ValueError, "too small for filters of 20 pixels.*at least 26"),
        ({"size": 0}, ValueError, "size is 0"),
        ({"grid": 0}, ValueError, "grid is 0"),
        ({"shifts": [(0, 0, 1)]}, ValueError, "shift is"),
    ],
)
def test_bad_arguments(options, error, message):
    with pytest.raises(error, match=message):
        measure_kernels(layer(), list(PICTURES), **({"size": 40, "progress": False} | options))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"weight": np.ones((4, 8, 5, 5))}, ValueError, "8 input channels; expected 1 or 3"),
        ({"weight": np.ones((4, 3, 5))}, ValueError, "axes"),
        ({"weight": np.full((4, 3, 5, 5), np.nan)}, ValueError, "NaN"),
        ({"weight": np.zeros((4, 3, 5, 5))}, ValueError, "zero everywhere"),
        ({"weight": np.ones((4, 3, 1, 1))}, ValueError, "one pixel"),
        ({"stride": 0}, ValueError, "stride is 0"),
        ({"stride": 2.0}, TypeError, "stride must be an integer"),
        ({"pool": 2}, ValueError, "pool is 2; expected an odd side"),
        ({"pool_padding": 2}, ValueError, "pool_padding is 2"),
        ({"std": (1, 1)}, ValueError, "std is"),
        ({"std": (1, 0, 1)}, ValueError, "expected positive"),
        ({"bias": np.ones(3)}, ValueError, "bias has shape"),
    ],
)
def test_records_that_are_none(changes, error, message):
    with pytest.raises(error, match=message):
        dataclasses.replace(layer(), **changes)
