"""First layers from every kind of source; downloads come from a server on this machine."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import functools
import gc
import hashlib
import http.server
import io
import os
import pickle
import re
import socket
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from analysis.files import weights
from analysis.kernels import known_networks
from analysis.kernels.layer import IMAGENET_MEAN, IMAGENET_STD, FirstLayer
from analysis.kernels.sources import first_layer

DATA = Path(os.environ.get("SHIFTSCOPE_DATA", "missing"))


def kernels(count=4, channels=3, side=5, seed=0):
    return np.random.default_rng(seed).standard_normal((count, channels, side, side)).astype(np.float32)


W = kernels()
B = np.arange(4, dtype=np.float32)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@contextlib.contextmanager
def raises_one_line(kind, *parts):
    with pytest.raises(kind) as caught:
        yield
    message = str(caught.value)
    assert "\n" not in message and len(message) < 700, message
    for part in parts:
        assert part in message, message


# Arrays and records


def test_array():
    layer = first_layer(W, stride=2)
    assert (layer.stride, layer.padding, layer.pool, layer.pool_padding) == (2, 0, 3, 0)
    assert (layer.mean, layer.std) == (IMAGENET_MEAN, IMAGENET_STD)
    np.testing.assert_array_equal(layer.weight, W)
    assert layer.name == "array" and layer.origin == "" and layer.bias is None


def test_array_is_copied_and_its_digest_tells_shape_and_dtype_apart():
    array = W.copy()
    layer = first_layer(array, stride=2)
    array[:] = 0
    np.testing.assert_array_equal(layer.weight, W)
    others = [W.astype(float), W.reshape(4, 3, 1, 25), -W]
    assert len({layer.sha256, *(first_layer(a, stride=2).sha256 for a in others)}) == 4
    assert layer.sha256 == first_layer(W.copy(), stride=5).sha256


def test_one_channel():
    layer = first_layer(W[:, 0], stride=2)
    assert layer.weight.shape == (4, 1, 5, 5) and layer.mean == (0.449,)


def test_dtypes():
    assert first_layer(W.astype(np.float16), stride=1).weight.dtype == np.float32
    assert first_layer(W.astype(float), stride=1).weight.dtype == np.float64


def test_like_gives_the_geometry_and_arguments_override_it():
    layer = first_layer(W, like="resnet18", padding=0, mean=np.full(3, 0.5), name="mine")
    assert (layer.stride, layer.padding, layer.pool_padding, layer.name) == (2, 0, 1, "mine")
    assert (layer.mean, layer.std) == ((0.5,) * 3, IMAGENET_STD)


def test_like_a_colour_network_with_one_channel():
    layer = first_layer(W[:, 0], like="alexnet")
    np.testing.assert_allclose((*layer.mean, *layer.std), (0.449, 0.226))
    assert first_layer(W[:, 0], like="alexnet", mean=[0.1], std=[2]).std == (2.0,)


def test_bgr_is_reversed_and_mean_is_not():
    layer = first_layer(W, stride=4, channels="BGR", mean=(0.1, 0.2, 0.3))
    np.testing.assert_array_equal(layer.weight, W[:, [2, 1, 0]])
    assert layer.mean == (0.1, 0.2, 0.3)
    layer = first_layer(W, like="caffenet")
    np.testing.assert_array_equal(layer.weight, W[:, [2, 1, 0]])
    np.testing.assert_allclose(np.multiply(layer.mean, 255), (123, 117, 104))
    np.testing.assert_allclose(np.multiply(layer.std, 255), 1)
    np.testing.assert_array_equal(first_layer(W, like="caffenet", channels="RGB").weight, W)


def test_record_is_not_reversed_twice():
    once = first_layer(W, like="caffenet")
    again = first_layer(once, like="caffenet", stride=2, name="other")
    np.testing.assert_array_equal(again.weight, once.weight)
    assert (again.stride, again.name, again.sha256, once.stride) == (2, "other", once.sha256, 4)
    with raises_one_line(ValueError, "R, G, B"):
        first_layer(once, channels="BGR")


def test_tensor_parameter_and_bfloat16(torch):
    tensor = torch.from_numpy(W.copy())
    parameter = torch.nn.Parameter(tensor)
    np.testing.assert_array_equal(first_layer(parameter, stride=2).weight, W)
    layer = first_layer(tensor.bfloat16(), stride=2)
    assert layer.weight.dtype == np.float32
    np.testing.assert_allclose(layer.weight, W, rtol=2**-8)


def test_convolution(torch):
    module = torch.nn.Conv2d(3, 4, 5, stride=2, padding=1)
    layer = first_layer(module, like=None, pool_padding=1)
    assert (layer.stride, layer.padding, layer.pool_padding, layer.name) == (2, 1, 1, "Conv2d")
    np.testing.assert_array_equal(layer.weight, module.weight.detach().numpy())
    np.testing.assert_array_equal(layer.bias, module.bias.detach().numpy())
    before = layer.bias.copy()
    with torch.no_grad():
        module.bias += 1
    np.testing.assert_array_equal(layer.bias, before)
    assert first_layer(torch.nn.Conv2d(3, 4, 5, padding="same", bias=False)).padding == 2
    assert first_layer(torch.nn.Conv2d(3, 4, 5, padding="valid")).padding == 0
    assert first_layer(module, stride=7).stride == 7


def test_unsuitable_modules(torch):
    conv = torch.nn.Conv2d
    cases = [
        (conv(3, 4, 5, stride=(2, 1)), ValueError, "stride (2, 1)"),
        (conv(3, 4, 5, padding=(2, 1)), ValueError, "padding (2, 1)"),
        (conv(3, 6, 5, groups=3), ValueError, "groups 3"),
        (conv(3, 4, 5, dilation=2), ValueError, "dilation (2, 2)"),
        (conv(3, 4, 4, padding="same"), ValueError, "uneven"),
        (conv(3, 4, 5, padding=1, padding_mode="reflect"), ValueError, "'reflect'"),
        (conv(8, 4, 5), ValueError, "8 input channels"),
        (torch.nn.ConvTranspose2d(3, 3, 5), ValueError, "transposed"),
        (torch.nn.Conv1d(3, 4, 5), ValueError, "(4, 3, 5)"),
        (torch.nn.LazyConv2d(4, 5), ValueError, "uninitialized"),
        (torch.nn.Sequential(conv(3, 4, 5)), TypeError, "Sequential"),
    ]
    for module, kind, part in cases:
        with raises_one_line(kind, part):
            first_layer(module)


@pytest.mark.parametrize(
    ("source", "options", "kind", "part"),
    [
        (W, {}, ValueError, "--stride M"),
        (W, {"stride": 0}, ValueError, "stride is 0"),
        (W, {"stride": (2, 2)}, TypeError, "stride must be an integer"),
        (W, {"stride": 2, "channels": "bgr"}, ValueError, "'bgr'"),
        (W, {"like": "lenet"}, ValueError, "unknown network 'lenet' (did you mean 'alexnet'"),
        (W, {"stride": 2, "weight": "x"}, ValueError, "weight is 'x'"),
        (W, {"stride": 2, "mean": (0.5,)}, ValueError, "expected 3"),
        (W, {"stride": 2, "mean": "grey"}, TypeError, "mean"),
        (W[0, 0], {"stride": 2}, ValueError, "at least 3 axes"),
        (W * np.nan, {"stride": 2}, ValueError, "NaN"),
        (W * 0, {"stride": 2}, ValueError, "zero everywhere"),
        (None, {"stride": 2}, TypeError, "object"),
        ("foo", {}, ValueError, "unknown network 'foo'; expected one of alexnet, "),
        ("", {}, ValueError, "unknown network ''"),
        ("caffenet", {}, ValueError, "like='caffenet'"),
        ("nowhere/model.dat", {}, FileNotFoundError, "no such file: nowhere/model.dat"),
        ("model.pth.tar", {}, FileNotFoundError, "no such file: model.pth.tar"),
        (Path("alexnet"), {}, FileNotFoundError, "no such file: alexnet"),
        ("new\nline.npz", {}, FileNotFoundError, "new\\nline.npz"),
    ],
)
def test_wrong_calls(source, options, kind, part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with raises_one_line(kind, part):
        first_layer(source, **options)


def embedded(monkeypatch, tmp_path):
    monkeypatch.setattr("importlib.resources.files", lambda package: tmp_path)
    return tmp_path / "default_layer.npz"


def test_default(tmp_path, monkeypatch):
    file = embedded(monkeypatch, tmp_path)
    geometry = {"stride": 4, "padding": 2, "pool": 3, "pool_padding": 0}
    np.savez(file, weight=W, bias=B, name="a layer", mean=(0.1, 0.2, 0.3), std=(1, 2, 3), **geometry)
    layer = first_layer()
    assert geometry == {key: getattr(layer, key) for key in geometry}
    assert (layer.name, layer.origin, layer.mean, layer.std) == ("a layer", "embedded", (0.1, 0.2, 0.3), (1, 2, 3))
    assert layer.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    np.testing.assert_array_equal(first_layer(like="caffenet", stride=2).weight, W)


def test_default_missing(tmp_path, monkeypatch):
    embedded(monkeypatch, tmp_path)
    with raises_one_line(FileNotFoundError, "default_layer.npz"):
        first_layer()


# Files of arrays


def test_npz_takes_the_first_4d_array_and_its_bias(tmp_path):
    file = tmp_path / "net.v2.npz"
    rest = {"a.weight": kernels(6, 4), "conv1.bias": B}
    np.savez(file, mean=np.zeros(3), **{"conv1.weight": W}, **rest)
    layer = first_layer(file, stride=3)
    np.testing.assert_array_equal(layer.weight, W)
    np.testing.assert_array_equal(layer.bias, B)
    assert (layer.name, layer.parameter, layer.origin) == ("net.v2", "conv1.weight", "net.v2.npz")
    assert layer.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert first_layer(str(file), stride=3).sha256 == layer.sha256


def test_bias_of_another_length_is_left_out(tmp_path):
    np.savez(tmp_path / "a.npz", weight=W, bias=B[:2])
    assert first_layer(tmp_path / "a.npz", stride=3).bias is None


def test_weight_by_name(tmp_path):
    file = tmp_path / "a.npz"
    np.savez(file, **{"a.conv.weight": W, "b.conv.weight": 2 * W, "b.stem.weight": 3 * W, "fc.weight": np.eye(3)})
    np.testing.assert_array_equal(first_layer(file, stride=1, weight="b.conv.weight").weight, 2 * W)
    layer = first_layer(file, stride=1, weight="stem.weight")
    assert layer.parameter == "b.stem.weight"
    with raises_one_line(ValueError, "2 4-D weights are named 'conv.weight'", "'a.conv.weight' (4, 3, 5, 5)"):
        first_layer(file, stride=1, weight="conv.weight")
    with raises_one_line(ValueError, f"{file}: no 4-D weights are named 'fc.weight'", "'b.stem.weight'"):
        first_layer(file, stride=1, weight="fc.weight")


def test_npy(tmp_path):
    np.save(tmp_path / "rgb.npy", W)
    np.save(tmp_path / "GREY.NPY", W[:, 0])
    os.replace(tmp_path / "GREY.NPY.npy", tmp_path / "GREY.NPY")
    assert first_layer(tmp_path / "rgb.npy", like="alexnet").stride == 4
    layer = first_layer(tmp_path / "GREY.NPY", stride=1)
    np.testing.assert_array_equal(layer.weight, W[:, :1])
    assert (layer.name, layer.parameter) == ("GREY", "")


def test_a_name_wins_over_a_file_only_without_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("alexnet").write_bytes(b"")
    with raises_one_line(ValueError, "not a kind of file"):
        first_layer("./alexnet")


def bad_arrays(tmp_path, **arrays):
    np.savez(tmp_path / "bad.npz", **arrays)
    return tmp_path / "bad.npz"


@pytest.mark.parametrize(
    ("arrays", "part"),
    [
        (
            {"weight": kernels(2, 8)},
            "bad.npz: no array is surely the first convolution: 'weight' (2, 8, 5, 5) has 8 input channels",
        ),
        ({"weight": W * np.inf}, "bad.npz: weight 'weight' holds"),
        ({"weight": W * 0}, "bad.npz: weight 'weight' is zero"),
        ({"weight": W, "bias": B * np.nan}, "bad.npz: bias holds"),
        ({"fc": np.eye(3)}, "bad.npz: no 4-D array, as the weights of a convolution are; found 'fc' (3, 3)"),
        ({}, "found no array at all"),
        ({f"a{i}": np.eye(3) for i in range(20)}, "and 12 more"),
        ({"weight": np.array([W, None], dtype=object)}, "bad.npz: not a file of numpy arrays"),
    ],
)
def test_unsuitable_arrays(arrays, part, tmp_path):
    with raises_one_line(ValueError, part):
        first_layer(bad_arrays(tmp_path, **arrays), stride=2)


def test_stride_is_asked_for(tmp_path):
    with raises_one_line(ValueError, "bad.npz: the stride is not in the file", "--stride M", "like"):
        first_layer(bad_arrays(tmp_path, weight=W))


# .safetensors


def write_safetensors(path, arrays):
    numpy = pytest.importorskip("safetensors.numpy")
    numpy.save_file(arrays, path)
    return path


def test_safetensors_takes_the_one_weight_of_three_channels(tmp_path):
    arrays = {"aux.weight": kernels(2, 8), "conv10.weight": kernels(2, 4), "conv2.weight": W, "conv2.bias": B}
    layer = first_layer(write_safetensors(tmp_path / "a.safetensors", arrays), stride=2)
    assert layer.parameter == "conv2.weight"
    np.testing.assert_array_equal(layer.weight, W)
    np.testing.assert_array_equal(layer.bias, B)
    arrays["conv1.weight"] = kernels(3, 8)
    with raises_one_line(ValueError, "'conv2.weight' (4, 3, 5, 5) comes after 'conv1.weight' (3, 8, 5, 5)"):
        first_layer(write_safetensors(tmp_path / "a.safetensors", arrays), stride=2)


def test_names_with_very_long_numbers(tmp_path):
    names = ["a" + "1" * 5000, "a" + "1" * 4999 + "0", "a9", "a010"]
    file = write_safetensors(tmp_path / "a.safetensors", {n: W for n in names})
    with raises_one_line(ValueError, "4 arrays may be", "'a9' (4, 3, 5, 5)"):
        first_layer(file, stride=2)
    deep = dict.fromkeys(names[1:], kernels(4, 8))
    file = write_safetensors(tmp_path / "a.safetensors", {names[0]: W} | deep)
    with raises_one_line(ValueError, "comes after"):
        first_layer(file, stride=2)
    assert first_layer(file, stride=2, weight=names[0]).parameter == names[0]


def test_safetensors_of_one_channel(tmp_path):
    file = write_safetensors(tmp_path / "a.safetensors", {"conv.weight": kernels(4, 1)})
    assert first_layer(file, stride=2).weight.shape == (4, 1, 5, 5)


def test_safetensors_half_precision(tmp_path, torch):
    save_file = pytest.importorskip("safetensors.torch").save_file
    tensor = torch.from_numpy(W)
    for dtype in (torch.bfloat16, torch.float16):
        save_file({"conv.weight": tensor.to(dtype)}, tmp_path / "a.safetensors")
        layer = first_layer(tmp_path / "a.safetensors", stride=2)
        assert layer.weight.dtype == np.float32
        np.testing.assert_array_equal(layer.weight, tensor.to(dtype).float().numpy())


def test_safetensors_of_integers_are_refused(tmp_path):
    file = write_safetensors(tmp_path / "a.safetensors", {"conv.weight": W.astype(np.int8)})
    with raises_one_line(ValueError, f"{file}: 'conv.weight' is stored as int8"):
        first_layer(file, stride=2)


# Checkpoints of torch


def test_checkpoint(tmp_path, torch):
    state = collections.OrderedDict()
    state["scale"] = torch.ones(3)
    state["stem.conv.weight"] = torch.nn.Parameter(torch.from_numpy(W))
    state["stem.conv.bias"] = torch.from_numpy(B)
    state["a.weight"] = torch.ones(4, 4, 3, 3)
    for suffix, new in ((".pth", True), (".pt", False), (".pth.tar", True), (".ckpt", True), (".bin", True)):
        torch.save(state, tmp_path / f"net{suffix}", _use_new_zipfile_serialization=new)
        layer = first_layer(tmp_path / f"net{suffix}", stride=2)
        np.testing.assert_array_equal(layer.weight, W)
        np.testing.assert_array_equal(layer.bias, B)
        assert (layer.name, layer.parameter) == ("net", "stem.conv.weight")


def test_nested_checkpoint_skips_the_state_of_the_optimiser(tmp_path, torch):
    moments = {"state": {0: {"exp_avg": torch.ones(4, 3, 5, 5)}}, "param_groups": [{"lr": 0.1}]}
    model = {"module": {"conv1.weight": torch.from_numpy(W).half()}}
    torch.save({"epoch": 3, "optimizer": moments, "state_dict": model}, tmp_path / "a.pth")
    layer = first_layer(tmp_path / "a.pth", like="alexnet")
    assert layer.parameter == "conv1.weight"
    assert layer.weight.dtype == np.float32
    for name in ("conv1.weight", "module.conv1.weight", "state_dict.module.conv1.weight"):
        assert first_layer(tmp_path / "a.pth", like="alexnet", weight=name).parameter == layer.parameter


def test_mappings_in_themselves_and_with_too_many_paths(tmp_path, torch, monkeypatch):
    monkeypatch.setattr(weights, "MOST_ENTRIES", 5000)
    circle = {"a": torch.ones(3)}
    circle["b"] = circle
    doubled = {"a": torch.ones(3)}
    for _ in range(60):
        doubled = {"x": doubled, "y": doubled}
    for tree, part in ((circle, "nested more than 100 deep"), (doubled, "more than 5000 entries")):
        torch.save(tree, tmp_path / "a.pth")
        with raises_one_line(ValueError, f"{tmp_path / 'a.pth'}: not a checkpoint", part):
            first_layer(tmp_path / "a.pth", stride=2)


def test_checkpoint_of_one_tensor(tmp_path, torch):
    torch.save(torch.from_numpy(W[:, 0]), tmp_path / "a.pt")
    assert first_layer(tmp_path / "a.pt", stride=2).weight.shape == (4, 1, 5, 5)


class Malicious:
    """Unpickled, it creates a file."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def saved(value, new):
    def data(torch):
        buffer = io.BytesIO()
        torch.save(value(torch), buffer, _use_new_zipfile_serialization=new)
        return buffer.getvalue()

    return data


@pytest.mark.parametrize("form", ["raw 0", "raw 2", "raw 4", "raw 5", "zip", "legacy"])
def test_a_pickle_that_asks_for_code_is_refused_and_runs_nothing(form, tmp_path, torch):
    trace = tmp_path / "trace"
    content = {"state_dict": {"conv1.weight": W.tolist()}, "x": Malicious(trace)}
    if form.startswith("raw"):
        data = pickle.dumps(content, protocol=int(form[-1]))
    else:
        data = saved(lambda torch: content, form == "zip")(torch)
    file = tmp_path / "evil.pth"
    file.write_bytes(data)
    # Of protocol 0 torch does not know the opcodes: to it this is no pickle at all.
    parts = ("not a checkpoint",) if form == "raw 0" else ("refused", "model.state_dict()")
    with raises_one_line(ValueError, f"{file}: ", *parts):
        first_layer(file, stride=2)
    assert not trace.exists()
    if form.startswith("raw"):  # the trap works
        pickle.loads(data)
        assert trace.exists()


def test_a_pickled_module_is_refused(tmp_path, torch):
    torch.save(torch.nn.Conv2d(3, 4, 5), tmp_path / "model.pth")
    with raises_one_line(ValueError, "refused", "(torch.nn.modules.conv.Conv2d)", "model.state_dict()"):
        first_layer(tmp_path / "model.pth", stride=2)


def test_unsuitable_checkpoints(tmp_path, torch):
    cases = [
        ({"fc.weight": torch.ones(3, 3)}, "found 'fc.weight' (3, 3)"),
        ({}, "found no array at all"),
        ([torch.ones(3)], "found no array at all"),
        ({"conv1.weight": torch.ones(64, 8, 7, 7)}, "'conv1.weight' (64, 8, 7, 7) has 8 input channels"),
        ({"conv1.weight": torch.full((2, 3, 5, 5), torch.nan)}, "weight 'conv1.weight' holds 150 NaN"),
        ({"conv1.weight": torch.zeros(2, 3, 5, 5)}, "weight 'conv1.weight' is zero everywhere"),
    ]
    for content, part in cases:
        torch.save(content, tmp_path / "a.pth")
        with raises_one_line(ValueError, f"{tmp_path / 'a.pth'}: ", part):
            first_layer(tmp_path / "a.pth", stride=2)


NOT_WEIGHTS = {
    "random": np.random.default_rng(1).bytes(5000),
    "text": b"these are no weights\n" * 20,
    "empty": b"",
    "image": b"\x89PNG\r\n\x1a\n" + bytes(100),
    "zip": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("suffix", [".pth", ".ckpt", ".safetensors", ".npz", ".npy"])
@pytest.mark.parametrize("data", NOT_WEIGHTS.values(), ids=NOT_WEIGHTS)
def test_not_weights(data, suffix, tmp_path):
    need = {".pth": "torch", ".ckpt": "torch", ".safetensors": "safetensors"}
    pytest.importorskip(need.get(suffix, "numpy"))
    file = tmp_path / f"a{suffix}"
    file.write_bytes(data)
    with raises_one_line(ValueError, f"{file}: not a"):
        first_layer(file, stride=2)


def test_messages_hold_no_addresses(tmp_path):
    """Found by fuzzing: numpy names a node of the syntax tree by where it is in memory."""
    np.save(tmp_path / "a.npy", W)
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data.replace(b"False", b"Fulse"))
    with raises_one_line(ValueError, f"{tmp_path / 'a.npy'}: not a", "malformed node", "ast.Name object>"):
        first_layer(tmp_path / "a.npy", stride=2)


def test_truncated(tmp_path, torch):
    state = {"conv1.weight": torch.from_numpy(kernels(64, 3, 11))}
    np.savez(tmp_path / "a.npz", **{"conv1.weight": kernels(64, 3, 11)})
    torch.save(state, tmp_path / "a.pth")
    torch.save(state, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    write_safetensors(tmp_path / "a.safetensors", {"conv1.weight": kernels(64, 3, 11)})
    for file in tmp_path.glob("a.*"):
        whole = file.read_bytes()
        for size in (10, 500, len(whole) // 2, len(whole) - 1):
            file.write_bytes(whole[:size])
            with raises_one_line(ValueError, f"{file}: not a"):
                first_layer(file, stride=2)


def test_folder_and_unknown_suffix(tmp_path):
    (tmp_path / "a.pth").mkdir()
    with raises_one_line(OSError, f"cannot read {tmp_path / 'a.pth'}"):
        first_layer(tmp_path / "a.pth", stride=2)
    (tmp_path / "a.onnx").write_bytes(b"x")
    with raises_one_line(ValueError, "a.onnx: not a kind of file that is read; expected .pth"):
        first_layer(tmp_path / "a.onnx", stride=2)


@pytest.mark.parametrize(("suffix", "package"), [(".pth", "torch"), (".safetensors", "safetensors")])
def test_without_the_package(suffix, package, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / f"a{suffix}").write_bytes(b"x")
    message = f"reading {suffix} files needs {package}: pip install {package}"
    with raises_one_line(ModuleNotFoundError, message):
        first_layer(tmp_path / f"a{suffix}", stride=2)


def test_a_network_needs_torch_before_its_download(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr("analysis.kernels.sources.fetch", lambda *_: pytest.fail("it was downloaded"))
    with raises_one_line(ModuleNotFoundError, "pip install torch"):
        first_layer("alexnet", cache=tmp_path)


# Downloads


class Server:
    """Serves one body and counts how often it was asked for."""

    def __init__(self):
        self.body, self.promised, self.requests = b"", None, 0
        server = self

        class Handler(http.server.BaseHTTPRequestHandler):
            timeout = 10

            def do_GET(self):
                server.requests += 1
                if server.body is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(server.promised or len(server.body)))
                self.end_headers()
                self.wfile.write(server.body)

            def log_message(self, *_):
                pass

        self.http = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=functools.partial(self.http.serve_forever, 0.05), daemon=True)
        self.thread.start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/files/net-01234567.pth"

    def close(self):
        self.http.shutdown()
        self.http.server_close()
        self.thread.join(10)


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    server = Server()
    yield server
    server.close()
    gc.collect()  # a connection left open complains here, not in some later test


def network(url, data, digits=64):
    sha256 = hashlib.sha256(data).hexdigest()[:digits]
    return dataclasses.replace(known_networks.NETWORKS["resnet18"], url=url, sha256=sha256)


@pytest.mark.parametrize("digits", [8, 64])
def test_download_once(server, tmp_path, monkeypatch, torch, digits, capfd):
    state = {"aux.weight": torch.ones(2, 8, 3, 3), "conv1.weight": torch.from_numpy(W)}
    server.body = saved(lambda torch: state, True)(torch)
    monkeypatch.setitem(known_networks.NETWORKS, "resnet18", network(server.url, server.body, digits))
    monkeypatch.setenv("SHIFTSCOPE_CACHE", str(tmp_path / "cache"))
    for _ in range(2):
        layer = first_layer("resnet18", progress=False)
        np.testing.assert_array_equal(layer.weight, W)
        assert (layer.stride, layer.padding, layer.pool_padding, layer.name) == (2, 3, 1, "resnet18")
        assert (layer.parameter, layer.origin) == ("conv1.weight", server.url)
        assert layer.sha256 == hashlib.sha256(server.body).hexdigest()
        assert server.requests == 1
        assert [path.name for path in (tmp_path / "cache").iterdir()] == ["net-01234567.pth"]
    assert capfd.readouterr().err == ""
    first_layer("resnet18", cache=tmp_path / "other")
    assert server.requests == 2 and (tmp_path / "other" / "net-01234567.pth").exists()
    assert "100%" in capfd.readouterr().err


def test_wrong_hash_of_a_download(server, tmp_path):
    server.body = b"something else"
    with raises_one_line(ValueError, server.url, "1f3c", hashlib.sha256(server.body).hexdigest()):
        known_networks.fetch(dataclasses.replace(network(server.url, b""), sha256="1f3c"), tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_wrong_hash_in_the_cache(server, tmp_path):
    server.body = b"the published bytes"
    known = network(server.url, server.body)
    (tmp_path / "net-01234567.pth").write_bytes(b"spoilt")
    found = hashlib.sha256(b"spoilt").hexdigest()
    with raises_one_line(ValueError, str(tmp_path / "net-01234567.pth"), known.sha256, found, "removed"):
        known_networks.fetch(known, tmp_path, progress=False)
    assert server.requests == 0 and list(tmp_path.iterdir()) == []
    assert known_networks.fetch(known, tmp_path, progress=False).read_bytes() == server.body


def test_interrupted_download_leaves_nothing(server, tmp_path):
    server.body, server.promised = b"half", 8
    with raises_one_line(OSError, f"cannot download {server.url}", "net-01234567.pth", str(tmp_path)):
        known_networks.fetch(network(server.url, b"half of it"), tmp_path, progress=False)
    assert server.requests == 1 and list(tmp_path.iterdir()) == []


def test_missing_on_the_server(server, tmp_path):
    server.body = None
    with raises_one_line(OSError, f"cannot download {server.url}", "404", str(tmp_path)):
        known_networks.fetch(network(server.url, b""), tmp_path, progress=False)


def test_no_connection(server, tmp_path):
    with socket.socket() as closed:  # bound, and nobody listens
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/net-01234567.pth"
        try:
            raise KeyError("of no concern")
        except KeyError:
            with raises_one_line(OSError, f"cannot download {url} (", "refused", "net-01234567.pth", str(tmp_path)):
                known_networks.fetch(network(url, b""), tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


def test_cache_that_is_no_folder(server, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with raises_one_line(OSError, str(tmp_path / "file")):
        known_networks.fetch(network(server.url, b""), tmp_path / "file", progress=False)
    assert server.requests == 0


def test_table_of_networks():
    for name, known in known_networks.NETWORKS.items():
        if known.url is not None:
            digits = re.fullmatch(r"https://download\.pytorch\.org/models/[\w-]+-([0-9a-f]{8})\.pth", known.url)[1]
            assert known.sha256.startswith(digits) and len(known.sha256) in (8, 64), name
        assert first_layer(W, like=name).stride in (2, 4)


# Real weights


def real(file):
    path = DATA / "weights" / file
    if not path.is_file():
        pytest.skip("needs the weights (set SHIFTSCOPE_DATA)")
    return path


@pytest.mark.parametrize(
    ("file", "like", "shape"),
    [
        ("alexnet_torchvision_conv1.npz", "alexnet", (64, 3, 11, 11)),
        ("caffenet_conv1.npz", "caffenet", (96, 3, 11, 11)),
        ("resnet18_conv1.npz", "resnet18", (64, 3, 7, 7)),
        ("squeezenet_v1_0_deep_compressed.npz", "squeezenet1_0", (96, 3, 7, 7)),
    ],
)
def test_real_weights(file, like, shape):
    layer = first_layer(real(file), like=like)
    assert isinstance(layer, FirstLayer)
    assert layer.weight.shape == shape
    assert layer.bias is not None and (layer.scale is not None) == (like == "resnet18")
    assert layer.origin == file and layer.stride == known_networks.NETWORKS[like].stride


def test_real_caffenet_is_bgr():
    path = real("caffenet_conv1.npz")
    with np.load(path) as arrays:
        np.testing.assert_array_equal(first_layer(path, like="caffenet").weight, arrays["weight"][:, ::-1])
