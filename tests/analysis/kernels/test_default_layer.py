"""The layer that comes with the package, and the script that trained it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import analysis
from analysis.files.imagenet_statistics import IMAGENET_MEAN, IMAGENET_STD
from analysis.kernels import first_colour
from scripts import train_default_layer as script
from wavelets import analytic, characteristic_frequency
from wavelets.spectrum import energy_in_window, power_spectrum

LAYER = Path(analysis.__file__).parent / "kernels" / "default_layer.npz"


@pytest.fixture(scope="module")
def layer():
    with np.load(LAYER) as file:
        return dict(file)


@pytest.fixture(scope="module")
def bands(layer):
    """Frequency, energy around it and relative energy at frequency 0 of each kernel's main component."""
    kernels = layer["weight"].astype(float)
    _, values, right = np.linalg.svd(kernels.reshape(64, 3, -1), full_matrices=False)
    planes = (values[:, :1] * right[:, 0]).reshape(64, 11, 11)
    filters = analytic(planes, "auto", 44)
    theta = characteristic_frequency(filters, np.pi / 4)
    power = power_spectrum(planes, 64)
    return theta, energy_in_window(filters, theta, np.pi / 4), power[:, 0, 0] / power.max((1, 2))


def test_arrays(layer):
    assert layer["weight"].shape == (64, 3, 11, 11)
    assert layer["bias"].shape == (64,)
    for name in ("weight", "bias"):
        assert layer[name].dtype == np.float32
        assert np.isfinite(layer[name]).all()
    assert np.abs(layer["weight"]).max((1, 2, 3)).min() > 0


def test_geometry(layer):
    geometry = {"stride": 4, "padding": 2, "pool": 3, "pool_stride": 2, "pool_padding": 0}
    assert {name: int(layer[name]) for name in geometry} == geometry
    np.testing.assert_array_equal(layer["mean"], [0.485, 0.456, 0.406])
    np.testing.assert_array_equal(layer["std"], [0.229, 0.224, 0.225])


def test_no_objects_are_stored(layer):
    assert all(value.dtype.kind in "fiU" for value in layer.values())
    assert str(layer["name"]) and "scikit-image" in str(layer["description"])


def test_file_is_small():
    assert LAYER.stat().st_size < 100_000


def test_half_of_the_kernels_are_oriented_band_pass(bands):
    _, energy, constant = bands
    assert np.sum((constant < 0.3) & (energy > 0.4)) >= 32


def test_orientations_and_wavelengths_are_spread(bands):
    theta, energy, constant = bands
    theta = theta[(constant < 0.3) & (energy > 0.4)]
    sectors = np.degrees(np.arctan2(*theta.T)) % 180 // 45
    assert set(sectors) == {0, 1, 2, 3}
    wavelengths = 2 * np.pi / np.hypot(*theta.T)
    assert wavelengths.max() > 1.5 * wavelengths.min()


def test_no_kernel_is_noise(layer):
    power = power_spectrum(layer["weight"].astype(float).reshape(-1, 11, 11), 64).reshape(64, 3, 64, 64).sum(1)
    axis = np.fft.fftfreq(64, 1 / (2 * np.pi))
    fine = np.hypot(axis[:, None], axis) > 0.8 * np.pi  # half of the plane, and so of white noise
    assert (power[:, fine].sum(1) < 0.1 * power.sum((1, 2))).all()


def test_some_kernels_are_of_opponent_colours(layer):
    _, colour, _ = first_colour(layer["weight"].astype(float))
    assert np.sum(colour.sum(1) ** 2 / 3 < 0.5) >= 12  # more than half of the colour is off the grey axis


def test_constants_of_the_script_are_those_of_the_file(layer):
    assert layer["weight"].shape == (script.KERNELS, 3, script.SIZE, script.SIZE)
    assert sum(kept for _, kept in script.GROUPS) == script.KERNELS
    for name in ("STRIDE", "PADDING", "POOL", "POOL_STRIDE", "POOL_PADDING"):
        assert layer[name.lower()] == getattr(script, name)
    assert f"{script.PATCHES} patches" in str(layer["description"])


@pytest.mark.slow
def test_script_makes_a_layer_of_this_form_and_repeats_itself(layer, tmp_path, monkeypatch):
    monkeypatch.setattr(script, "ITERATIONS", 3)
    monkeypatch.setattr(script, "ANGLES", (22.5,))
    monkeypatch.setattr(script, "OCTAVES", (1.0,))
    for folder in ("first", "second"):
        script.main(["--out", str(tmp_path / folder), "--patches", "80"])
    with np.load(tmp_path / "first" / LAYER.name) as one, np.load(tmp_path / "second" / LAYER.name) as two:
        assert set(one) == set(layer)
        for name in layer:
            assert one[name].shape == layer[name].shape
            assert one[name].dtype.kind == layer[name].dtype.kind
            if name in ("weight", "bias"):
                np.testing.assert_allclose(one[name], two[name], atol=1e-3 * np.abs(one[name]).max())


def test_components_of_independent_sources_are_the_sources():
    generator = np.random.default_rng(1)
    sources = generator.laplace(size=(4000, 5))
    mixing = generator.standard_normal((5, 5))
    rows = script.fast_ica(sources @ mixing.T, generator)
    found = np.abs(np.corrcoef((sources @ mixing.T @ rows.T).T, sources.T)[:5, 5:])
    np.testing.assert_allclose(np.sort(found)[:, -1], 1, atol=0.02)
    assert sorted(found.argmax(1)) == list(range(5))


def test_sparsest_component_is_first():
    generator = np.random.default_rng(2)
    sparse = generator.laplace(size=(2, 4000))
    sources = np.stack([generator.uniform(-1, 1, 4000), sparse[0] ** 3, sparse[1]])
    rows = script.fast_ica(sources.T, generator)
    assert np.abs(np.corrcoef(rows @ sources, sources)[:3, 3:]).argmax(1).tolist() == [1, 2, 0]


def test_tints_keep_contrasts():
    matrices = script.tint(200, np.random.default_rng(3))
    np.testing.assert_allclose(matrices @ matrices.transpose(0, 2, 1), np.tile(np.eye(3), (200, 1, 1)), atol=1e-12)
    kept = np.abs(matrices.sum(2) - 1).max(1) < 1e-9  # a grey edge stays grey where colours turn about the grey axis
    assert 0.8 < kept.mean() < 1


def test_patches_are_parts_of_the_photograph(monkeypatch):
    monkeypatch.setattr(script, "ANGLES", (0.0,))
    monkeypatch.setattr(script, "OCTAVES", (0.0,))
    monkeypatch.setattr(script, "tint", lambda count, generator: np.tile(np.eye(3), (count, 1, 1)))
    ramp = np.add.outer(2 * np.arange(60), np.arange(60)).astype(np.uint8)  # 2 a pixel down, 1 to the right
    found = script.patches(Image.fromarray(ramp).convert("RGB"), 8, np.random.default_rng(4))
    pixels = 255 * (found * np.reshape(IMAGENET_STD, (3, 1, 1)) + np.reshape(IMAGENET_MEAN, (3, 1, 1)))
    down, right = (np.diff(pixels, axis=axis) for axis in (2, 3))
    for steps in (down, right):  # the same everywhere in a patch
        np.testing.assert_allclose(steps, np.broadcast_to(steps[:, :1, :1, :1], steps.shape), atol=1e-3)
    slopes = np.stack([down[:, 0, 0, 0], right[:, 0, 0, 0]], 1).round().astype(int)
    turns = {(2, 1), (-1, 2), (-2, -1), (1, -2)}
    mirrored = {(down, -right) for down, right in turns}
    assert set(map(tuple, slopes[:4])) == turns and set(map(tuple, slopes[4:])) == mirrored
