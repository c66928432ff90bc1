"""The layer's output and each kernel's share of its change, against brute force on three photographs."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from scipy.signal import correlate2d

from analysis import FirstLayer, bundled_crops, first_layer, measure_kernels
from analysis.kernels import network_output
from analysis.kernels.measurement import kernel_experiment
from analysis.measurements.translation import windows

SHIFTS = [(0, 1), (2, 0)]
SIZE, STRIDE = 64, 2
rng = np.random.default_rng(1)
WEIGHT = rng.standard_normal((5, 3, 5, 5)) * np.array([1, 0.1, 3, 1, 0.5])[:, None, None, None]
LAYER = FirstLayer(
    "test", WEIGHT, STRIDE, bias=np.array([0.5, -0.2, 1, -3, 0]), scale=np.array([1, -2, 0.5, -0.3, 1.7])
)


@pytest.fixture(scope="module")
def photographs():
    return np.stack([p.pixels for p in bundled_crops(SIZE, colour=True)[:3]]).astype(np.float64)


def brute_output(layer, picture, margin):
    """ReLU of the scaled and shifted correlations, then windows of maxima, by loops over positions; (L, h, w)."""
    maps = []
    for kernel, a, b in zip(layer.weight, layer.scale, layer.bias, strict=True):
        y = sum(correlate2d(x, v, "valid") for x, v in zip(picture, kernel, strict=True))
        # The valid region of the complex filters, whose side is a multiple of the kernel's.
        y = np.maximum(a * y + b, 0)[margin : len(y) - margin : STRIDE, margin : len(y) - margin : STRIDE]
        n = (len(y) - 3) // 2 + 1
        maps.append([[y[2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max() for j in range(n)] for i in range(n)])
    return np.array(maps)


def measured(layer, pictures):
    experiment = kernel_experiment(layer, SHIFTS, SIZE, 3, np.float64)
    return experiment.dataset(experiment.measure(pictures)[0])


@pytest.mark.nojit
def test_output_and_shares_equal_brute_force(photographs):
    ds = measured(LAYER, photographs)
    mean, std = (np.array(v)[:, None, None] for v in (LAYER.mean, LAYER.std))
    normalised = (photographs - mean) / std
    parts, ratios = [], []
    for picture in normalised:
        base = brute_output(LAYER, windows(picture[None], (0, 0), 2)[0], 5)
        moved = [brute_output(LAYER, windows(picture[None], shift, 2)[0], 5) for shift in SHIFTS]
        change = np.array([((m - base) ** 2).sum(axis=(1, 2)) for m in moved])
        ratios.append(np.sqrt(change / (base**2).sum(axis=(1, 2))).T)
        parts.append(change.sum(axis=0) / change.sum())
    np.testing.assert_allclose(ds.eta_output, np.mean(ratios, axis=0), rtol=1e-10)
    np.testing.assert_allclose(ds.share_of_change, np.mean(parts, axis=0), rtol=1e-10)
    np.testing.assert_allclose(ds.share_of_change_stderr, np.std(parts, axis=0, ddof=1) / np.sqrt(3), rtol=1e-8)


def test_shares_sum_to_one_and_a_dead_kernel_has_none(photographs):
    weight = WEIGHT.copy()
    weight[2] = 0
    ds = measured(FirstLayer("test", weight, STRIDE), photographs)
    assert ds.share_of_change.sum() == pytest.approx(1, abs=1e-12)
    assert ds.share_of_change[2] == 0 and np.isnan(ds.eta_output[2]).all()
    assert (ds.share_of_change.values[[0, 1, 3, 4]] > 0).all()


def test_scaling_one_kernel_scales_its_part(photographs):
    plain = FirstLayer("test", WEIGHT, STRIDE)
    weight = WEIGHT.copy()
    weight[1] *= 3
    one, two = (measured(layer, photographs[:1]) for layer in (plain, FirstLayer("test", weight, STRIDE)))
    part = one.share_of_change.values * np.array([1, 9, 1, 1, 1])
    np.testing.assert_allclose(two.share_of_change, part / part.sum(), rtol=1e-10)
    np.testing.assert_allclose(two.eta_output, one.eta_output, rtol=1e-10)
    # A scale of the normalisation does the same.
    scaled = measured(dataclasses.replace(plain, scale=np.array([1, 3, 1, 1, 1])), photographs[:1])
    np.testing.assert_allclose(scaled.share_of_change, two.share_of_change, rtol=1e-10)


def test_a_negative_scale_pools_the_opposite_kernel(photographs):
    flipped = measured(FirstLayer("test", WEIGHT, STRIDE, scale=-np.ones(5)), photographs)
    opposite = measured(FirstLayer("test", -WEIGHT, STRIDE), photographs)
    for name in ("rho", "eta_rmax", "eta_cmod", "eta_output", "share_of_change"):
        np.testing.assert_allclose(flipped[name], opposite[name], rtol=1e-10)
    plain = measured(FirstLayer("test", WEIGHT, STRIDE), photographs)
    assert not np.allclose(plain.eta_rmax, flipped.eta_rmax, rtol=1e-3)


def test_no_scale_is_a_constant_map(photographs):
    ds = measured(dataclasses.replace(LAYER, scale=np.array([0, 1, 1, 1, 1.0])), photographs)
    assert ds.share_of_change[0] == 0 and np.isnan(ds.eta_output[0]).all()


def test_blocks_add_up(photographs):
    experiment = kernel_experiment(LAYER, SHIFTS, SIZE, 3, np.float64)
    whole = experiment.measure(photographs)[0]
    parts = [experiment.measure(photographs[i : i + 1])[0] for i in range(3)]
    np.testing.assert_allclose(np.sum(parts, axis=0), whole, rtol=1e-12)
    assert len(whole) == experiment.length


def test_network_output_with_a_normalisation(photographs):
    found = network_output(LAYER, photographs)
    y = np.array(
        [[sum(correlate2d(x, v, "valid") for x, v in zip(p, k, strict=True)) for k in WEIGHT] for p in photographs]
    )
    y = np.maximum(LAYER.scale[:, None, None] * y[..., ::2, ::2] + LAYER.bias[:, None, None], 0)
    h = found.shape[-1]
    expected = np.max(
        [y[..., i : i + 2 * h : 2, j : j + 2 * h : 2][..., :h, :h] for i in range(3) for j in range(3)], 0
    )
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize(
    ("weight", "norm"),
    [("conv1", "bn1"), ("features.conv0", "features.norm0"), ("stem.conv", "stem.bn"), ("f.0", "f.1")],
)
def test_normalisation_beside_the_weight(tmp_path, weight, norm):
    values = {part: rng.random(5) + 0.5 for part in ("bias", "running_mean", "running_var")}
    values["weight"] = rng.standard_normal(5)
    bias = rng.standard_normal(5)
    arrays = {f"{weight}.weight": WEIGHT, f"{weight}.bias": bias} | {f"{norm}.{k}": v for k, v in values.items()}
    np.savez(tmp_path / "net.npz", **arrays)
    layer = first_layer(tmp_path / "net.npz", stride=2)
    y = rng.standard_normal(5)
    expected = values["weight"] * (y + bias - values["running_mean"]) / np.sqrt(values["running_var"] + 1e-5)
    np.testing.assert_allclose(layer.scale * y + values["bias"] * 0 + layer.bias, expected + values["bias"], rtol=1e-12)
    assert "batch normalisation" in layer.order and "no batch" not in layer.order


def test_arrays_of_another_layer_are_no_normalisation(tmp_path):
    np.savez(tmp_path / "net.npz", **{"0.weight": WEIGHT, "1.weight": rng.random(7), "1.bias": rng.random(7)})
    layer = first_layer(tmp_path / "net.npz", stride=2)
    assert layer.scale is None and "no batch normalisation" in layer.order


def test_what_is_assumed_is_said(photographs):
    ds = measure_kernels(FirstLayer("t", WEIGHT, 2), list(photographs.transpose(0, 2, 3, 1)), size=SIZE, progress=False)
    assert "no bias" in ds.output


@pytest.mark.parametrize("values", [np.ones(4), [np.nan] * 5, ["a"] * 5])
def test_wrong_scales_are_refused(values):
    with pytest.raises((ValueError, TypeError), match="scale"):
        FirstLayer("test", WEIGHT, 2, scale=values)
