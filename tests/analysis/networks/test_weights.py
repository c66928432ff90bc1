"""Checkpoints into networks: whole or refused, in part and reported, safely read."""

from __future__ import annotations

import copy
import os

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402

from analysis.networks import ResNet, create, load_weights  # noqa: E402


def network(classes=5, seed=0):
    torch.manual_seed(seed)
    return ResNet((1, 1), classes)


@pytest.fixture
def state():
    return network(seed=1).state_dict()


def same(model, state):
    return all(torch.equal(value, state[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize("wrap", ["", "state_dict", "model_state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module.", "_orig_mod.", "module._orig_mod."])
def test_wrappers_and_prefixes(state, wrap, prefix):
    given = {prefix + key: value for key, value in state.items()}
    given = {wrap: given, "epoch": 90} if wrap else given
    model = network()
    assert not same(model, state)
    report = load_weights(model, given)
    assert same(model, state)
    assert set(report.loaded) == set(state)
    assert report.missing == report.unexpected == report.misshapen == ()
    assert str(report) == f"{len(state)} loaded"


@pytest.mark.parametrize("suffix", [".pth", ".pt", ".safetensors", ".npz"])
def test_files(tmp_path, state, suffix):
    path = tmp_path / f"weights{suffix}"
    if suffix == ".npz":
        np.savez(path, **{key: value.numpy() for key, value in state.items()})
    elif suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state}, path)
    model = network()
    load_weights(model, path)
    assert same(model, state)
    load_weights(network(), str(path))


def test_values_take_the_precision_of_the_model(state):
    model = network().double()
    load_weights(model, {key: value.half() if value.is_floating_point() else value for key, value in state.items()})
    assert model.fc.weight.dtype == torch.float64
    assert torch.equal(model.fc.weight, state["fc.weight"].half().double())


def test_older_checkpoints_have_no_counters(state):
    model = network()
    report = load_weights(model, {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")})
    assert same(model, state) and not report.missing


def test_part_of_a_checkpoint(state):
    model = network(classes=7)
    before = copy.deepcopy(model.state_dict())
    given = {key: value for key, value in state.items() if not key.startswith("layer2")} | {"extra": torch.zeros(2)}
    report = load_weights(model, given, partial=True)
    assert set(report.misshapen) == {"fc.weight", "fc.bias"}
    assert report.unexpected == ("extra",)
    assert report.missing and all(key.startswith("layer2") for key in report.missing)
    after = model.state_dict()
    for key, value in after.items():
        assert torch.equal(value, state[key] if key in report.loaded else before[key])
    assert set(report.loaded) == set(state) - {k for k in state if k.startswith(("layer2", "fc"))}
    assert "1 unexpected ('extra'), 2 misshapen ('fc.weight', 'fc.bias')" in str(report)


def refused(given, match, error=ValueError, **options):
    """The model stays as it was."""
    model = network()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(error, match=match):
        load_weights(model, given, **options)
    assert same(model, before)


def test_another_architecture_is_refused(state):
    start = "the checkpoint is of another architecture than this ResNet; "
    refused(network(classes=7).state_dict(), start + r"of another shape: 'fc.weight \(7, 128\), expected \(5, 128\)'")
    refused(
        ResNet((1, 1, 1), 5).state_dict(), start + r"unexpected: 'layer3.0.conv1.weight', .* more; of another shape"
    )
    refused(ResNet((1,), 5).state_dict(), start + r"missing: 'layer2.0.conv1.weight', 'layer2.0.bn1.weight', .* more")
    refused({"features.0.weight": torch.zeros(2)}, start + r"missing: 'conv1.weight'.*unexpected: 'features.0.weight'")
    refused({"a": torch.zeros(1)}, "nothing of the checkpoint fits this ResNet; it has 'a'", partial=True)
    refused({}, "missing: 'conv1.weight'")
    refused({}, "nothing of the checkpoint fits", partial=True)


def test_bad_values(state):
    refused(state | {"fc.bias": torch.full((5,), torch.nan)}, "fc.bias of the checkpoint holds NaN")
    refused(
        state | {"fc.bias": [0.0] * 5}, "'fc.bias' of the checkpoint is list; expected names and tensors", TypeError
    )
    refused({1: torch.zeros(1)}, "1 of the checkpoint is Tensor", TypeError)


class Evil:
    def __reduce__(self):
        return os.mkdir, ("broken",)


def test_bad_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused("none.pth", "no such file: none.pth", FileNotFoundError)
    torch.save({"fc.bias": Evil()}, "evil.pth")
    refused("evil.pth", r"evil.pth: refused, .*mkdir\)")
    assert not (tmp_path / "broken").exists()
    torch.save([1, 2], "list.pt")
    refused("list.pt", "missing: 'conv1.weight'")
    np.savez("objects.npz", weight=np.array([None]))
    refused("objects.npz", "objects.npz: .*Python objects")
    for name in ("text.npz", "text.safetensors", "text.pth"):
        (tmp_path / name).write_text("no weights at all")
        refused(name, f"{name}: not a")
        (tmp_path / name).write_bytes(b"")
        refused(name, f"{name}: not a")
    (tmp_path / "weights.h5").write_text("")
    refused("weights.h5", r"weights.h5: .*expected .*\.pth, .*\.npz")


def test_what_is_no_layer_at_all():
    with pytest.raises(ValueError, match="nothing of the checkpoint fits this Identity"):
        load_weights(nn.Identity(), {"weight": np.zeros(3)}, partial=True)


def test_a_layer_from_its_own_file(tmp_path):
    """With a prefix, the file of a first layer goes into a network."""
    layer = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
    np.savez(tmp_path / "conv1.npz", weight=layer.weight.detach().numpy())
    model = ResNet((1, 1), 5)
    report = load_weights(model, tmp_path / "conv1.npz", partial=True, prefix="conv1.")
    assert report.loaded == ("conv1.weight",)
    torch.testing.assert_close(model.conv1.weight, layer.weight)


def test_weights_with_batch_normalisation_folded_into_them_are_refused():
    """Their bias has no place, and without it they are another layer."""
    folded = {"conv1.weight": torch.zeros(64, 3, 7, 7), "conv1.bias": torch.zeros(64)}
    with pytest.raises(ValueError, match=r"conv1\.bias to go with conv1\.weight"):
        load_weights(ResNet((1, 1), 5), folded, partial=True)


@pytest.mark.parametrize(("there", "here"), [("rmax", "cmod"), ("cmod", "rmax")])
def test_twins_take_each_others_weights(there, here):
    given = create(f"wresnet18-{there}", classes=3).state_dict()
    model = create(f"wresnet18-{here}", classes=3)
    assert not load_weights(model, given).missing
    torch.testing.assert_close(model.state_dict(), given)
