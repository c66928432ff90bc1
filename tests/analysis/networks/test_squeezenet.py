"""SqueezeNet: its geometry, its file, its input, and (where the data is) its published accuracy."""

import csv
import os
import zipfile

import numpy as np
import pytest
from shared_data import DATA

torch = pytest.importorskip("torch")

from PIL import Image  # noqa: E402

from analysis.networks.metrics import TopK, resized  # noqa: E402
from analysis.networks.squeezenet import SIZE, SqueezeNet, load_squeezenet, preprocess  # noqa: E402

WEIGHTS = DATA / "weights" / "squeezenet_v1_0_deep_compressed.npz"


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return SqueezeNet().eval()


@pytest.fixture
def arrays(model):
    """Weights under the names of Caffe: a slash between fire module and convolution."""
    state = model.state_dict().items()
    return {name.replace(".", "/", 1) if name.startswith("fire") else name: value.numpy() for name, value in state}


def test_sizes_of_the_maps(model):
    sides = {}
    for name in ("conv1", "pool1", "pool4", "pool8", "conv_final"):
        model.get_submodule(name).register_forward_hook(lambda m, i, o, name=name: sides.update({name: o.shape[1:]}))
    with torch.no_grad():
        scores = model(torch.randn(1, 3, SIZE, SIZE))
    assert scores.shape == (1, 1000)
    assert scores.min() >= 0
    expected = [(96, 111, 111), (96, 55, 55), (256, 27, 27), (512, 13, 13), (1000, 13, 13)]
    assert [tuple(shape) for shape in sides.values()] == expected


def test_number_of_parameters(model):
    assert sum(value.numel() for value in model.parameters()) == 1_248_424


def test_a_file_comes_back(tmp_path, model, arrays):
    np.savez(tmp_path / "net.npz", **arrays)
    assert "fire2/conv3x3_2.bias" in arrays
    loaded = load_squeezenet(tmp_path / "net.npz")
    assert not loaded.training
    x = torch.randn(1, 3, 63, 63)
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), model(x))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("conv1.bias", None, "net.npz .*missing: 'conv1.bias'"),
        ("extra", np.zeros(1), "net.npz .*unexpected: 'extra'"),
        ("conv1.bias", np.zeros(95), r"conv1.bias \(95,\), expected \(96,\)"),
        ("conv1.bias", np.zeros(96, int), "conv1.bias .*int64; expected floats"),
        ("conv1.bias", np.full(96, np.nan), "conv1.bias .*holds NaN"),
        ("conv1.bias", np.full(96, 1e300), "conv1.bias .*too large"),
        ("fire2.conv1x1_1.bias", np.zeros(16), "'fire2.conv1x1_1.bias' twice"),
        ("conv1.bias", np.full(96, None), "net.npz.*Python objects"),
    ],
)
def test_bad_arrays(tmp_path, arrays, name, value, message):
    changed = {key: array for key, array in (arrays | {name: value}).items() if array is not None}
    np.savez(tmp_path / "net.npz", **changed)
    with pytest.raises(ValueError, match=message):
        load_squeezenet(tmp_path / "net.npz")


def test_a_member_that_is_no_array(tmp_path, arrays):
    np.savez(tmp_path / "net.npz", **{name: array for name, array in arrays.items() if name != "conv1.bias"})
    with zipfile.ZipFile(tmp_path / "net.npz", "a") as file:
        file.writestr("conv1.bias", b"raw bytes")
    with pytest.raises(ValueError, match=r"missing: 'conv1\.bias'"):
        load_squeezenet(tmp_path / "net.npz")


def test_bad_files(tmp_path, arrays):
    with pytest.raises(FileNotFoundError, match=r"no such file: .*none\.npz"):
        load_squeezenet(tmp_path / "none.npz")
    with pytest.raises(IsADirectoryError, match=r"cannot read .*: Is a directory"):
        load_squeezenet(tmp_path)
    path = tmp_path / "file.npz"

    def cut_off():
        np.savez(path, **arrays)
        path.write_bytes(path.read_bytes()[:-1000])

    for write, message in (
        (lambda: path.write_text("weights"), "wrong first bytes"),
        (lambda: path.write_bytes(b"\x93NUMPY\x01\x00"), "not a file of numpy arrays"),
        (lambda: torch.save(SqueezeNet().state_dict(), path), "a checkpoint of torch"),
        (lambda: np.savez(path, b=np.zeros(3), a=np.zeros(2)), "missing: 'conv1.weight'.*unexpected: 'b', 'a'"),
        (cut_off, "not a file of numpy arrays"),
    ):
        write()
        with pytest.raises(ValueError, match=rf"file\.npz.*{message}"):
            load_squeezenet(path)


def test_preprocessing_is_b_g_r_less_the_mean():
    picture = torch.tensor([1.0, 0.5, 0.0])[None, :, None, None].expand(1, 3, 4, 4)
    torch.testing.assert_close(preprocess(picture)[0, :, 2, 1], torch.tensor([-104.0, 127.5 - 117, 255.0 - 123]))
    assert preprocess(picture, 9).shape == (1, 3, 9, 9)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (torch.zeros(3, 4, 4), r"pictures are torch.float32 \(3, 4, 4\)"),
        (torch.zeros(1, 1, 4, 4), r"\(1, 1, 4, 4\); expected floats of \(N, 3, H, W\)"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), "torch.uint8"),
        (torch.full((1, 3, 4, 4), 200.0), "pictures range from 200 to 200; expected R, G, B in"),
        (torch.full((1, 3, 4, 4), float("nan")), "pictures range from nan to nan"),
    ],
)
def test_bad_pictures(picture, message):
    with pytest.raises(ValueError, match=message):
        preprocess(picture)


@pytest.mark.slow
def test_accuracy_on_photographs(imagenet_sample):
    """Every 25th photograph, or all with SHIFTSCOPE_ALL=1: 56.6 % and 80.1 %, as the data's README has it."""
    if not WEIGHTS.is_file():
        pytest.skip("needs the weights of SqueezeNet (set SHIFTSCOPE_DATA)")
    every = 1 if os.environ.get("SHIFTSCOPE_ALL") == "1" else 25
    with open(imagenet_sample / "classes.csv") as file:
        rows = list(csv.DictReader(file))[::every]
    model, metric = load_squeezenet(WEIGHTS), TopK()
    for start in range(0, len(rows), 8):
        part = rows[start : start + 8]
        pixels = [np.array(Image.open(imagenet_sample / row["file"]).convert("RGB")) for row in part]
        x = resized(torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2), SIZE)
        with torch.no_grad():
            metric.update(model(preprocess(x / 255)), torch.tensor([int(row["index"]) for row in part]))
    accuracy = metric.compute()
    if every == 1:
        assert accuracy == pytest.approx({1: 0.566, 5: 0.801}, abs=1e-9)
    else:
        assert 0.4 < accuracy[1] < accuracy[5] < 0.95
