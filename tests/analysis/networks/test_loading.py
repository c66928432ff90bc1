"""Networks by name and from files: whose they are, the weights they take, the input they are for."""

from __future__ import annotations

import sys
import types

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from analysis.networks.loading import check_runs, load_network  # noqa: E402
from analysis.networks.network_registry import create  # noqa: E402
from analysis.stability.experiment import compare_remedies  # noqa: E402

BY_IMAGENET = (0.5 - np.array([0.485, 0.456, 0.406])) / [0.229, 0.224, 0.225]


def refused(kind, source, *options, parts=()):
    with pytest.raises(kind) as caught:
        load_network(source, *options)
    assert "\n" not in str(caught.value)
    for part in parts:
        assert part in str(caught.value), caught.value


def grey(network):
    return network.preprocess(torch.full((1, 3, 1, 1), 0.5)).flatten().numpy()


def test_a_name_without_its_weights_is_refused_and_means_one_network():
    for name in ("squeezenet", "resnet18", "alexnet", "vgg13-blur4"):
        refused(ValueError, name, parts=[f"{name} needs its weights: --weights FILE", "torchvision:NAME"])
    refused(ValueError, "resnet77", parts=["'resnet77' (did you mean 'resnet", "torchvision:NAME", "FILE.py:FACTORY"])
    refused(ValueError, "mobilenet_v2", parts=["'mobilenet_v2'", "torchvision:NAME"])


def test_weights_give_the_classes(tmp_path):
    model = create("densenet40", classes=7).eval()
    torch.save({"module._orig_mod." + key: value for key, value in model.state_dict().items()}, tmp_path / "w.pt")
    network = load_network("densenet40", tmp_path / "w.pt")
    assert network.size == 32 and not network.model.training
    x = torch.rand(1, 3, 32, 32)
    torch.testing.assert_close(network.model(x), model(x))
    np.testing.assert_allclose(grey(network), BY_IMAGENET, rtol=1e-5)
    refused(ValueError, "vgg13", tmp_path / "w.pt", parts=["w.pt holds no weights of vgg13", "another architecture"])
    refused(FileNotFoundError, "vgg13", tmp_path / "none.pt", parts=["none.pt"])
    np.save(tmp_path / "one.npy", np.zeros(3))
    refused(ValueError, "vgg13", tmp_path / "one.npy", parts=["one.npy holds no weights of vgg13"])


def test_the_input_is_that_which_a_training_recorded(tmp_path):
    best = {"model": create("resnet18", classes=3).state_dict(), "epoch": 1, "mean": (0.4,), "std": (0.5,)}
    torch.save(best | {"belongs": {"size": (32, 32)}}, tmp_path / "best.pt")
    network = load_network("resnet18", tmp_path / "best.pt")
    assert network.size == 32
    np.testing.assert_allclose(grey(network), 0.2, rtol=1e-5)
    assert load_network("resnet18", tmp_path / "best.pt", size=64).size == 64
    torch.save(best | {"belongs": {"size": (101, 96)}}, tmp_path / "best.pt")
    assert load_network("resnet18", tmp_path / "best.pt").size == 224


def test_squeezenet(tmp_path):
    from analysis.networks.squeezenet import SqueezeNet, preprocess

    np.savez(tmp_path / "w.npz", **{name: value.numpy() for name, value in SqueezeNet().state_dict().items()})
    network = load_network("squeezenet", tmp_path / "w.npz")
    assert (network.size, network.preprocess) == (227, preprocess)
    refused(FileNotFoundError, "squeezenet", tmp_path / "none.npz", parts=["none.npz"])


def test_torchvision_by_its_name(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    refused(ModuleNotFoundError, "torchvision:alexnet", parts=["torchvision:alexnet", "not installed"])
    tiny = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))

    def get_model(name, weights):
        assert (name, weights) in {("alexnet", None), ("alexnet", "DEFAULT")}
        return tiny.train()

    models = types.SimpleNamespace(list_models=lambda module: ["alexnet", "other"], get_model=get_model)
    monkeypatch.setitem(sys.modules, "torchvision", types.SimpleNamespace(models=models))
    refused(ValueError, "torchvision:alexnett", parts=["'alexnett' (did you mean 'alexnet'?)"])
    network = load_network("torchvision:alexnet")
    assert network.model is tiny and not tiny.training and (network.name, network.size) == ("torchvision:alexnet", 224)
    np.testing.assert_allclose(grey(network), BY_IMAGENET, rtol=1e-5)
    path = tmp_path / "w.pt"
    refused(FileNotFoundError, "torchvision:alexnet", path, parts=["w.pt"])
    path.write_bytes(b"nothing")
    refused(ValueError, "torchvision:alexnet", path, parts=["w.pt is no state dict of alexnet"])
    torch.save({"state_dict": {f"module.{key}": value + 1 for key, value in tiny.state_dict().items()}}, path)
    expected = tiny[1].bias.detach() + 1
    torch.testing.assert_close(load_network("torchvision:alexnet", path).model[1].bias.detach(), expected)


def test_a_file_may_import_a_module_that_is_called_networks(tmp_path, monkeypatch):
    """The package of that name has moved out of the way."""
    monkeypatch.delitem(sys.modules, "networks", raising=False)
    (tmp_path / "networks.py").write_text("from torch import nn\n\ndef small():\n    return nn.Conv2d(3, 4, 5)\n")
    (tmp_path / "mine.py").write_text("import networks\n\ndef network():\n    return networks.small()\n")
    try:
        network = load_network(f"{tmp_path / 'mine.py'}:network", size=40)
        assert type(network.model) is nn.Conv2d and network.size == 40
        assert sys.modules["networks"].__file__ == str(tmp_path / "networks.py")
    finally:
        sys.modules.pop("networks", None)


def test_an_exported_program_is_taken_as_it_is(tmp_path):
    file = tmp_path / "exported.py"
    file.write_text(
        "import torch\n"
        "from torch import nn\n"
        "def network():\n"
        "    torch.manual_seed(0)\n"
        "    layers = nn.Conv2d(3, 8, 5, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4)\n"
        "    batch = ({0: torch.export.Dim.DYNAMIC},)\n"
        "    plain = nn.Sequential(*layers).eval()\n"
        "    program = torch.export.export(plain, (torch.zeros(2, 3, 32, 32),), dynamic_shapes=batch)\n"
        "    return program.module()\n"
    )
    network = load_network(f"{file}:network", size=32)
    check_runs(network, {"plain": network.model})
    pictures = torch.rand(3, 3, 40, 40)
    report = compare_remedies({"plain": network.model}, pictures, size=32, span=2, progress=False, rounds=1)
    assert np.isfinite(report.consistency).all()
