"""Which array of a file is taken for the first convolution: by evidence, computed where it is stored in parts."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from analysis.kernels.sources import first_layer
from analysis.kernels.weight_choice import choose, composed

torch = pytest.importorskip("torch")
W = np.random.default_rng(0).standard_normal((8, 3, 5, 5)).astype(np.float32)


def network():
    torch.manual_seed(1)
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 5), torch.nn.ReLU(), torch.nn.Conv2d(8, 4, 3))


def parametrised(kind):
    model = network()
    utils, conv = torch.nn.utils, model[0]
    if kind == "weight_norm":
        utils.parametrizations.weight_norm(conv)
        conv.parametrizations.weight.original0.data.mul_(torch.linspace(0.5, 2, 8).view(8, 1, 1, 1))
    elif kind == "old weight_norm":
        with pytest.warns(FutureWarning):
            utils.weight_norm(conv)
        conv.weight_g.data.mul_(torch.linspace(0.5, 2, 8).view(8, 1, 1, 1))
    elif kind == "weight_norm of input channels":
        utils.parametrizations.weight_norm(conv, dim=1)
    elif kind == "weight_norm of all":
        utils.parametrizations.weight_norm(conv, dim=None)
        conv.parametrizations.weight.original0.data.mul_(3)
    elif kind == "pruned":
        prune = importlib.import_module("torch.nn.utils.prune")
        prune.l1_unstructured(conv, "weight", 0.5)
        prune.l1_unstructured(model[2], "weight", 0.5)
    elif kind == "spectral_norm":
        utils.parametrizations.spectral_norm(conv)
    elif kind == "old spectral_norm":
        utils.spectral_norm(conv)
    model.eval()
    model(torch.zeros(1, 3, 16, 16))  # computes what old hooks compute
    return model


KINDS = [
    "weight_norm",
    "old weight_norm",
    "weight_norm of input channels",
    "weight_norm of all",
    "pruned",
    "spectral_norm",
    "old spectral_norm",
]


@pytest.mark.parametrize("kind", KINDS)
def test_a_weight_stored_in_parts_is_the_one_that_the_module_uses(kind, tmp_path):
    model = parametrised(kind)
    torch.save(model.state_dict(), tmp_path / "a.pth")
    layer = first_layer(tmp_path / "a.pth", stride=2)
    assert layer.parameter == "0.weight"
    np.testing.assert_allclose(layer.weight, model[0].weight.detach().numpy(), rtol=1e-5)
    np.testing.assert_array_equal(layer.bias, model[0].bias.detach().numpy())


def test_large_and_vanishing_directions():
    big = composed({"weight_g": np.ones((8, 1, 1, 1), np.float32), "weight_v": W * np.float32(1e30)}, "a")["weight"]
    small = composed({"weight_g": np.ones((8, 1, 1, 1)), "weight_v": W.astype(float)}, "a")["weight"]
    np.testing.assert_allclose(big, small, rtol=1e-5)
    np.testing.assert_allclose((small**2).sum((1, 2, 3)), 1)
    assert not composed({"weight_g": np.ones((8, 1, 1, 1)), "weight_v": 0 * W}, "a")["weight"].any()


def test_an_unknown_parametrisation_is_refused(tmp_path):
    model = network()
    torch.nn.utils.parametrizations.orthogonal(model[0])
    torch.save(model.state_dict(), tmp_path / "a.pth")
    with pytest.raises(ValueError, match="a way that is not known"):
        first_layer(tmp_path / "a.pth", stride=2)


@pytest.mark.parametrize(
    "arrays",
    [
        {"weight_g": np.ones((7, 1, 1)), "weight_v": W},
        {"weight_orig": W, "weight_mask": W[:4]},
        {"weight_orig": W, "weight_u": np.ones(7), "weight_v": np.ones(75)},
    ],
)
def test_parts_that_do_not_fit_are_refused(arrays):
    with pytest.raises(ValueError, match=r"a\.npz: weight"):
        composed(arrays, "a.npz")


STEM = {"conv1.weight": (64, 3, 7, 7), "layer1.weight": (64, 64, 3, 3)}
CHOSEN = {
    "resnet": (STEM, "conv1.weight"),
    "buffers before": ({"mean": (1, 3, 1, 1), "std": (1, 3, 1, 1)} | STEM, "conv1.weight"),
    "depthwise before": ({"blocks.dw.weight": (32, 1, 3, 3), "stem.weight": (32, 3, 3, 3)}, "stem.weight"),
    "moments before": (
        {"optimizer.exp_avg.conv1.weight": (64, 3, 7, 7), "Adam/m/conv1.weight": (64, 3, 7, 7)} | STEM,
        "conv1.weight",
    ),
    "moments of flax": ({"opt_state/0/mu/conv/w": (8, 3, 3, 3), "params/conv/w": (8, 3, 3, 3)}, "params/conv/w"),
    "transposed by name": (STEM | {"head.deconv.weight": (64, 3, 4, 4)}, "conv1.weight"),
    "transposed by bias": (STEM | {"out.weight": (64, 3, 4, 4), "out.bias": (3,)}, "conv1.weight"),
    "transposed by order": (STEM | {"out.weight": (64, 3, 4, 4)}, "conv1.weight"),
    "blur of colours": ({"blur.filter": (3, 1, 5, 5)} | STEM, "conv1.weight"),
    "grey": ({"conv1.weight": (32, 1, 3, 3), "conv2.weight": (64, 32, 3, 3)}, "conv1.weight"),
    "one array": ({"": (64, 5, 5)}, ""),
}


@pytest.mark.parametrize(("shapes", "name"), CHOSEN.values(), ids=CHOSEN)
def test_chosen(shapes, name):
    assert choose(shapes, None, "a", ordered=True) == name


ALPHABETICAL = {"blocks.dw.weight": (32, 1, 3, 3), "blocks.pw.weight": (64, 32, 1, 1), "stem.weight": (32, 3, 3, 3)}


def test_without_an_order_the_alphabet_is_no_evidence():
    assert choose(ALPHABETICAL, None, "a", ordered=False) == "stem.weight"
    averaged = STEM | {"ema.conv1.weight": (64, 3, 7, 7)}
    assert choose(averaged, None, "a", ordered=True) == "conv1.weight"
    with pytest.raises(ValueError, match="2 arrays"):
        choose(averaged, None, "a", ordered=False)


GENERATOR = {"main.0.weight": (100, 512, 4, 4), "main.3.weight": (512, 64, 4, 4), "main.12.weight": (64, 3, 4, 4)}
REFUSED = {
    "teacher": ({"student.conv1.weight": (8, 3, 3, 3), "teacher.conv1.weight": (8, 3, 3, 3)}, "--weight NAME"),
    "two streams": ({"rgb.weight": (8, 3, 3, 3), "flow.weight": (8, 3, 5, 5)}, "'rgb.weight' .* 'flow.weight'"),
    "grey and depthwise": ({"a.weight": (32, 1, 3, 3), "b.weight": (32, 1, 3, 3)}, "2 arrays"),
    "blur and stem, both weights": ({"b.weight": (3, 1, 5, 5), "c.weight": (8, 3, 5, 5)}, "2 arrays"),
    "of TensorFlow": ({"kernel": (3, 3, 3, 32)}, "TensorFlow"),
    "of TensorFlow, large": ({"kernel": (7, 7, 3, 64)}, "TensorFlow"),
    "of TFLite": ({"kernel": (64, 7, 7, 3)}, "height, width, channels"),
    "buffers only": ({"mean": (1, 3, 1, 1)}, "one kernel only"),
    "generator": (GENERATOR, "comes after 'main.0.weight'"),
    "moments only": ({"exp_avg.conv1.weight": (8, 3, 3, 3)}, "optimiser"),
}


@pytest.mark.parametrize("ordered", [False, True])
@pytest.mark.parametrize(("shapes", "part"), REFUSED.values(), ids=REFUSED)
def test_refused(shapes, part, ordered):
    with pytest.raises(ValueError, match=part):
        choose(shapes, None, "a", ordered)


def test_a_name_decides():
    shapes = REFUSED["teacher"][0]
    assert choose(shapes, "teacher.conv1.weight", "a", True) == "teacher.conv1.weight"
    with pytest.raises(ValueError, match="TensorFlow"):
        choose({"kernel": (3, 3, 3, 32)}, "kernel", "a", True)
    with pytest.raises(ValueError, match="TensorFlow"):
        first_layer(np.zeros((3, 3, 3, 32)) + 1, stride=2)


@pytest.mark.parametrize("name", ["resnet18", "alexnet", "densenet40"])
def test_the_networks_of_this_package(name, tmp_path):
    from analysis import networks

    model = networks.create(name)
    torch.save(model.state_dict(), tmp_path / "a.pth")
    first = next(m for m in model.modules() if isinstance(m, torch.nn.Conv2d))
    np.testing.assert_array_equal(first_layer(tmp_path / "a.pth", stride=2).weight, first.weight.detach().numpy())


@pytest.mark.parametrize(
    "arrays",
    [
        {"a.weight_v": W},
        {"a.weight_mask": W > 0},
        {"a.weight": W, "a.gain": np.ones((8, 1, 1, 1))},  # of a convolution that standardises its weight
        {"a/kernel": np.ones((3, 3, 3, 4))},
        {"a.dw_conv.weight": W[:, :1]},
        {"a.depthwise.weight": W[:, :1]},
        {"ups.weight": W},
    ],
    ids=lambda arrays: list(arrays)[-1],
)
def test_parts_and_other_kinds_of_convolutions_are_told_by_their_names(arrays, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(ValueError, match=next(iter(arrays))):
        first_layer(tmp_path / "a.npz", stride=2)


def test_modules_with_a_forward_of_their_own_are_refused():
    class Standardised(torch.nn.Conv2d):
        def forward(self, x):
            return self._conv_forward(x, self.weight - self.weight.mean((1, 2, 3), keepdim=True), self.bias)

    class Named(torch.nn.Conv2d):
        pass

    with pytest.raises(ValueError, match="Standardised"):
        first_layer(Standardised(3, 8, 5, stride=2))
    assert first_layer(Named(3, 8, 5, stride=2)).weight.shape == (8, 3, 5, 5)
