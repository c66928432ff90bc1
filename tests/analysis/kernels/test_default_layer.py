"""The layer that comes with the package, and the script that trained it."""

import ast
import csv
from pathlib import Path

import numpy as np
import pytest

import analysis
from analysis.files.imagenet_statistics import IMAGENET_MEAN, IMAGENET_STD
from wavelets import analytic, characteristic_frequency
from wavelets.spectrum import energy_in_window, power_spectrum

DATA = Path(analysis.__file__).parent / "kernels"
SCRIPT = Path(analysis.__file__).parents[1] / "scripts" / "train_default_layer.py"
LAYER = DATA / "default_layer.npz"
TRAINING = DATA / "default_layer_training.csv"


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


@pytest.fixture
def script():
    """Import the script, and leave torch as it was."""
    torch = pytest.importorskip("torch")
    from scripts import train_default_layer as module

    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        yield module
    torch.set_num_threads(threads)


def read(path):
    with open(path, newline="") as file:
        header, *rows = csv.reader(file)
    assert header == ["iteration", "loss", "accuracy"]
    return np.array(rows, dtype=float)


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


def test_files_are_small():
    assert LAYER.stat().st_size < 100_000
    assert TRAINING.stat().st_size < 10_000


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


def test_training_loss_falls():
    iteration, loss, accuracy = read(TRAINING).T
    assert len(iteration) >= 90 and (np.diff(iteration) > 0).all()
    assert loss[-10:].mean() < 0.8 * loss[:10].mean()
    assert accuracy[-10:].mean() > accuracy[:10].mean() > 0


def test_constants_of_the_script_are_those_of_the_file(layer):
    constants = {}
    for node in ast.parse(SCRIPT.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign):
            (target,) = node.targets
            names = target.elts if isinstance(target, ast.Tuple) else [target]
            values = node.value.elts if isinstance(target, ast.Tuple) else [node.value]
            for name, value in zip(names, values, strict=True):
                try:
                    constants[name.id] = ast.literal_eval(value)
                except ValueError:
                    continue  # computed
    side = constants["SIZE"]
    assert layer["weight"].shape == (constants["KERNELS"], 3, side, side)
    constants |= {"MEAN": IMAGENET_MEAN, "STD": IMAGENET_STD}
    for name in ("STRIDE", "PADDING", "POOL", "POOL_STRIDE", "POOL_PADDING", "MEAN", "STD"):
        np.testing.assert_array_equal(layer[name.lower()], constants[name])
    assert read(TRAINING)[-1, 0] == constants["ITERATIONS"]
    assert f"{constants['ITERATIONS']} iterations" in str(layer["description"])


@pytest.mark.slow
def test_script_trains_and_repeats_itself(script, layer, tmp_path):
    for folder in ("first", "second"):
        script.main(["--out", str(tmp_path / folder), "--iterations", "3", "--places", "1", "--quiet"])
    with np.load(tmp_path / "first" / LAYER.name) as one, np.load(tmp_path / "second" / LAYER.name) as two:
        assert set(one) == set(layer)
        for name in layer:
            assert one[name].shape == layer[name].shape
            assert one[name].dtype.kind == layer[name].dtype.kind
            np.testing.assert_array_equal(one[name], two[name])
        assert one["weight"].dtype == one["bias"].dtype == np.float32
        assert np.isfinite(one["weight"]).all() and np.isfinite(one["bias"]).all()
    rows = read(tmp_path / "first" / TRAINING.name)
    np.testing.assert_array_equal(rows[:, 0], [1, 2, 3])
    assert np.isfinite(rows).all()


def test_folding_is_exact(script):
    torch = pytest.importorskip("torch")
    net = script.Network(torch.eye(11**2).repeat(64, 1, 1)).eval()
    with torch.no_grad():
        for values in (net.norm.weight, net.norm.bias, net.norm.running_mean):
            values.copy_(torch.randn(64))
        net.norm.running_var.copy_(torch.rand(64) + 0.1)
        net.latent.mul_(100)
        x = torch.randn(2, 3, 64, 64)
        folded = {name: torch.from_numpy(values) for name, values in net.folded().items()}
        y = torch.nn.functional.conv2d(x, folded["weight"], folded["bias"], stride=4, padding=2)
        y = torch.nn.functional.max_pool2d(y.relu(), 3, 2)
        torch.testing.assert_close(net.layer(x), y, rtol=1e-4, atol=1e-4)


def test_views_of_an_instance_differ_by_their_jitter_only(script, monkeypatch):
    torch = pytest.importorskip("torch")
    for name in ("ZOOM", "ANGLE", "SHIFT"):
        monkeypatch.setattr(script, name, 0.0)
    monkeypatch.setattr(script, "develop", lambda x: x)
    photographs = [torch.rand(1, 3, 120, 150), torch.rand(1, 3, 90, 100), torch.rand(1, 3, 100, 90)]
    first, second = script.batch(photographs, 3).chunk(2)
    assert first.shape == (24, 3, 64, 64)
    assert torch.equal(first, second)
    assert torch.equal(torch.rot90(first[:6], 1, (2, 3)), first[6:12])
    place = torch.tensor([[40.5, 50.5, 0.0, 0.0]])
    torch.testing.assert_close(script.view(photographs[0], place), photographs[0][..., 9:73, 19:83])
