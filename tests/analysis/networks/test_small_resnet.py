"""ResNets for CIFAR-10, with the public weights where they are at hand."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from analysis.networks import SmallResNet, create, replace_pooling  # noqa: E402
from analysis.networks.loading import LoadedNetwork, apply_remedy, load_network  # noqa: E402
from analysis.networks.wiring import Wiring  # noqa: E402
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


def test_circular_borders_and_one_grid_for_both_branches_make_it_equivariant():
    """Zeros around the maps are kept by neither, so that each alone answers a circular shift otherwise."""
    torch.manual_seed(0)
    model = SmallResNet(8).eval()
    network = LoadedNetwork("small", model, size=16)
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    moved = {}
    with torch.no_grad():
        for text in ("circular", "aps-l1", "aps-l1+circular"):
            remedied, changes = apply_remedy(network, text)
            answer = remedied.double()(x)
            moved[text] = [float((remedied(x.roll(s, (2, 3))) - answer).abs().max()) for s in ((1, 0), (3, 5))]
            assert sum("padding_mode=circular" in change for change in changes) >= 7 * text.endswith("circular")
    assert max(moved["aps-l1+circular"]) < 1e-12
    assert min(moved["circular"] + moved["aps-l1"]) > 1e-3
    assert all(layer.padding_mode == "zeros" for layer in model.modules() if isinstance(layer, torch.nn.Conv2d))


def test_circular_borders_need_padding():
    with pytest.raises(ValueError, match="circular"):
        apply_remedy(LoadedNetwork("bare", torch.nn.Conv2d(3, 4, 3), size=8), "circular")


@pytest.mark.parametrize("name", ["alexnet", "densenet40", "resnet18", "resnet20-cifar", "vgg13", "vgg41"])
def test_the_way_through_a_whole_network_can_be_followed(name):
    """Or else branches of adaptive polyphase sampling cannot share a grid."""
    assert Wiring(create(name)).graph("") is not None


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
