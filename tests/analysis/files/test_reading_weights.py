"""The one reader of weights: what comes back of every kind of file, and what is refused in one line."""

from __future__ import annotations

import argparse
import json
import os
import threading
import warnings
import zipfile

import numpy as np
import pytest

from analysis.files import weights
from analysis.files.weights import bare, read_checkpoint, read_weights, weights_of

W = np.random.default_rng(0).standard_normal((4, 3, 5, 5)).astype(np.float32)


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


def refused(path, *parts, kind=ValueError):
    with pytest.raises(kind) as caught:
        read_weights(path)
    message = str(caught.value)
    assert message.isprintable() and len(message) < 400, message
    for part in (path.name.partition(".")[0], *parts):
        assert part in message, message


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".ckpt", ".tar", ".pth.tar", ".th", ".bin"])
def test_every_suffix_of_torch(tmp_path, torch, suffix):
    torch.save({"epoch": 3, "state_dict": {"a.weight": torch.from_numpy(W)}}, tmp_path / f"net{suffix}")
    found = read_weights(tmp_path / f"net{suffix}")
    assert list(found) == ["a.weight"]
    np.testing.assert_array_equal(found["a.weight"], W)
    assert read_checkpoint(tmp_path / f"net{suffix}")["epoch"] == 3


def test_arrays_come_back_as_they_were(tmp_path):
    arrays = {"w": W, "f": np.asfortranarray(W), "big": W.astype(">f8"), "n": np.array(7), "none": W[:0], "b": W > 0}
    for save, name in ((np.savez, "a.npz"), (np.savez_compressed, "b.npz")):
        save(tmp_path / name, **arrays)
        found = read_weights(tmp_path / name)
        assert list(found) == list(arrays)
        for key, array in arrays.items():
            np.testing.assert_array_equal(found[key], array)
            assert found[key].dtype == array.dtype and found[key].flags.writeable
    numpy = pytest.importorskip("safetensors.numpy")
    kept = {key: np.ascontiguousarray(arrays[key]) for key in ("w", "n", "none", "b")}
    numpy.save_file(kept, tmp_path / "a.safetensors")
    found = read_weights(tmp_path / "a.safetensors")
    for key, array in kept.items():
        np.testing.assert_array_equal(found[key], array)
        assert found[key].dtype == array.dtype


@pytest.mark.parametrize("wrappers", [[], ["state_dict"], ["model", "state_dict"], ["state_dict_ema", "net"]])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.module.", "module.module._orig_mod.", "model.net."])
def test_wrappers_and_prefixes_go_as_often_as_they_occur(wrappers, prefix):
    tree = {f"{prefix}conv.weight": W, f"{prefix}conv.bias": W[:, 0, 0, 0]}
    for name in wrappers:
        tree = {name: tree, "epoch": 3, "optimizer": {"state": {0: {"exp_avg": W}}}}
    assert list(weights_of(tree, "it")) == ["conv.weight", "conv.bias"]
    assert bare(".".join([*reversed(wrappers), prefix + "conv.weight"])) == "conv.weight"


def test_the_weights_of_training_come_before_their_average():
    tree = {"state_dict_ema": {"a": W + 1}, "state_dict": {"a": W}}
    np.testing.assert_array_equal(weights_of(tree, "it")["a"], W)


def test_a_prefix_that_not_all_names_have_stays():
    names = ["model.conv.weight", "loss.weight"]
    assert list(weights_of({"state_dict": {name: W for name in names}}, "it")) == names


def test_an_average_of_weights_leaves_out_its_counter(torch):
    averaged = torch.optim.swa_utils.AveragedModel(torch.nn.Conv2d(3, 4, 5))
    assert "n_averaged" in averaged.state_dict()
    assert list(weights_of(averaged.state_dict(), "it")) == ["weight", "bias"]


# What is refused


def bomb(path, times):
    """A small archive whose entry says, and is, much larger."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("w.npy", "w") as member:
        np.lib.format.write_array_header_1_0(
            member, {"descr": "<f4", "fortran_order": False, "shape": (times * 2**18,)}
        )
        for _ in range(times):
            member.write(bytes(2**20))


def test_what_is_inflated_is_weighed_before(tmp_path, torch, monkeypatch):
    monkeypatch.setattr(weights, "ENOUGH_BYTES", 2**20)
    bomb(tmp_path / "bomb.npz", 4)
    (tmp_path / "bomb.pth").write_bytes((tmp_path / "bomb.npz").read_bytes())
    held = (tmp_path / "bomb.npz").stat().st_size
    for name in ("bomb.npz", "bomb.pth"):
        refused(tmp_path / name, str(held), str(4 * 2**20)[:2])
    torch.save({"w": torch.ones(1).expand(2**19)}, tmp_path / "spread.pth")
    refused(tmp_path / "spread.pth", "'w'", str(4 * 2**19))
    monkeypatch.setattr(weights, "ENOUGH_BYTES", 2**24)
    assert not read_weights(tmp_path / "bomb.npz")["w"].any()


def test_a_header_that_promises_more_than_there_is(tmp_path):
    np.save(tmp_path / "a.npy", W)
    data = (tmp_path / "a.npy").read_bytes()
    (tmp_path / "a.npy").write_bytes(data.replace(b"(4, 3, 5, 5), }  ", b"(400000000, 3), }"))
    refused(tmp_path / "a.npy", "(400000000, 3)")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("suffix", [".pth", ".npz", ".npy", ".safetensors"])
def test_a_pipe_is_refused_and_not_waited_for(tmp_path, suffix):
    os.mkfifo(tmp_path / f"pipe{suffix}")
    thread = threading.Thread(target=refused, args=(tmp_path / f"pipe{suffix}", "not a regular file"), daemon=True)
    thread.start()
    thread.join(20)
    assert not thread.is_alive()
    refused(tmp_path / f"pipe{suffix}", "not a regular file")


def test_programs_quantised_sparse_and_empty_tensors(tmp_path, torch):
    layer = torch.nn.Conv2d(3, 4, 5)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated, or not to stay as they are
        torch.jit.save(torch.jit.trace(layer, torch.zeros(1, 3, 8, 8)), tmp_path / "script.pt")
        quantised = torch.quantize_per_tensor(torch.from_numpy(W), 0.1, 0, torch.qint8)
        nested = torch.nested.nested_tensor([torch.eye(3)])
    refused(tmp_path / "script.pt", "TorchScript", "state_dict()")
    torch.export.save(torch.export.export(layer, (torch.zeros(1, 3, 8, 8),)), tmp_path / "exported.pt")
    refused(tmp_path / "exported.pt", "torch.export", "state_dict()")
    tensors = {
        "quantised": quantised,
        "sparse": torch.eye(3).to_sparse(),
        "nested": nested,
        "meta": torch.ones(3, device="meta"),
    }
    for kind, tensor in tensors.items():
        torch.save({"a.weight": tensor}, tmp_path / "w.pth")
        refused(tmp_path / "w.pth", "'a.weight'", kind)


@pytest.mark.parametrize(
    ("beside", "named"),
    [(argparse.Namespace(rate=0.1), "argparse.Namespace"), (np.float64(3), "numpy"), (np.ones(3), "numpy")],
)
def test_what_lies_beside_the_weights_is_named(tmp_path, torch, beside, named):
    torch.save({"model": {"w": torch.ones(3)}, "args": beside}, tmp_path / "w.pth")
    refused(tmp_path / "w.pth", named, "beside its weights", "state_dict()")


def test_lists_of_parts(tmp_path):
    path = tmp_path / "pytorch_model.bin.index.json"
    path.write_text(json.dumps({"weight_map": {"a": "pytorch_model-00001-of-00002.bin"}}))
    refused(path, "parts")


@pytest.mark.parametrize("name", ["a\0b", "a\ud800"])
def test_names_that_no_file_of_results_could_hold(tmp_path, torch, name):
    torch.save({name: torch.ones(3)}, tmp_path / "w.pth")
    refused(tmp_path / "w.pth", "named", ascii(name)[1:-1])
