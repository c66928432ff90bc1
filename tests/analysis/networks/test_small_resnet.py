"""ResNets for CIFAR-10, with the public weights where they are at hand."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from analysis.networks import SmallResNet, create, replace_pooling  # noqa: E402
from analysis.networks.loading import load_network  # noqa: E402
from scripts.pack_data import pictures_of  # noqa: E402
from tests.conftest import DATA  # noqa: E402


@pytest.mark.parametrize(("depth", "parameters"), [(20, 269_722), (56, 853_018)])
def test_parameters_are_those_of_the_public_weights(depth, parameters):
    assert sum(p.numel() for p in create(f"resnet{depth}-cifar").parameters()) == parameters


def test_shortcuts_are_every_second_sample_between_zeros():
    model = SmallResNet(8).eval()
    x = torch.rand(2, 16, 7, 8)
    y = model.layer2[0].shortcut(x)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2])
    assert not y[:, :8].any() and not y[:, 24:].any()


def test_trainable_filters_know_the_channels_of_a_slice():
    x = torch.rand(2, 3, 16, 16)
    model = SmallResNet(8).eval()
    start, fixed = (replace_pooling(model, name, example=x)[0] for name in ("tlpf", "blur5"))
    with torch.no_grad():
        assert torch.allclose(start(x), fixed(x), atol=1e-5)


def test_bad_input_is_refused():
    with pytest.raises(ValueError, match="depth is 21"):
        SmallResNet(21)
    with pytest.raises(ValueError, match="channels"):
        SmallResNet(8)(torch.zeros(1, 1, 32, 32))


@pytest.mark.parametrize(("name", "file", "least"), [("resnet20", "12fca82f", 0.90), ("resnet56", "4bfd9763", 0.91)])
def test_public_weights_recognise_test_images(name, file, least):
    weights = DATA / "weights" / f"{name}-{file}.th"
    if not weights.is_file():
        pytest.skip("needs the weights of CIFAR-10 (set SHIFTSCOPE_DATA)")
    network = load_network(f"{name}-cifar", weights)
    pictures = torch.from_numpy(pictures_of(DATA / "cifar10" / "test_00.webp")[:400]).permute(0, 3, 1, 2) / 255
    truth = np.load(DATA / "cifar10" / "labels.npz", allow_pickle=False)["test_labels"].reshape(-1)[:400]
    with torch.no_grad():
        answers = network.model(network.preprocess(pictures)).argmax(1).numpy()
    assert (answers == truth).mean() >= least
