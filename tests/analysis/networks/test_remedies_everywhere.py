"""Remedies in whole networks: Zhang's placement against networks written by hand, shared phases, ideal filters."""

from __future__ import annotations

import copy
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from analysis.networks import APS, BlurPool, IdealPool, create, remedies, remedy, replace_pooling  # noqa: E402
from analysis.networks.loading import LoadedNetwork, apply_remedy, left_lines, normalised  # noqa: E402
from analysis.networks.own_convolution import SameConv2d  # noqa: E402
from analysis.networks.replaceable import Slicing  # noqa: E402

C = 8
TAPS = torch.outer(torch.tensor([1.0, 2, 1]), torch.tensor([1.0, 2, 1])) / 16
DATA = os.environ.get("SHIFTSCOPE_DATA", "")


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def close(a, b, tolerance=1e-6):
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * b.abs().max().clamp(min=1e-3))


def settled(model):
    """The model with statistics and scales of batch normalisation that are not 0 and 1, in evaluation."""
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            nn.init.uniform_(m.weight, 0.5, 1.5)
            nn.init.normal_(m.bias, 0, 0.1)
            nn.init.uniform_(m.running_var, 0.5, 2)
            nn.init.normal_(m.running_mean, 0, 0.1)
    return model.eval()


def circular(model):
    """The model with circular borders."""
    for m in model.modules():
        if isinstance(m, nn.Conv2d) and max(m.kernel_size) > 1:
            m.padding_mode = "circular"
    return model


# ---- networks in the manner of torchvision --------------------------------------------------------------------------


class Block(nn.Module):
    """A basic block as torchvision writes it: one ReLU, used twice."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = None
        if stride > 1 or inputs != outputs:
            short = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.downsample = nn.Sequential(short, nn.BatchNorm2d(outputs))

    def forward(self, x):
        identity = x
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        if self.downsample is not None:
            identity = self.downsample(x)
        out += identity
        return self.relu(out)


class ResNet18(nn.Module):
    """ResNet-18 as torchvision writes it."""

    def __init__(self, width=64, classes=10):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, width, 7, 2, 3, bias=False), nn.BatchNorm2d(width)
        self.relu, self.maxpool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1)
        inputs = width
        for number in range(4):
            outputs = width * 2**number
            blocks = Block(inputs, outputs, 2 if number else 1), Block(outputs, outputs, 1)
            setattr(self, f"layer{number + 1}", nn.Sequential(*blocks))
            inputs = outputs
        self.avgpool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(inputs, classes)

    def forward(self, x):
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(torch.flatten(self.avgpool(x), 1))


def blurred(x):
    """Zhang's BlurPool of 3 taps: reflected borders, depthwise convolution of stride 2."""
    h = torch.tensor([1.0, 2, 1], dtype=x.dtype) / 4
    kernel = torch.outer(h, h).expand(x.shape[1], 1, 3, 3)
    return functional.conv2d(functional.pad(x, (1, 1, 1, 1), mode="reflect"), kernel, stride=2, groups=x.shape[1])


def by_zhang(model, x, stem=False):
    """ResNet-18 of antialiased-cnns, written out: where it blurs, and where its first convolution keeps its stride."""
    first = functional.conv2d(x, model.conv1.weight, None, 1 if stem else 2, 3)
    x = model.bn1(first).relu()
    x = blurred(x) if stem else x
    x = blurred(functional.max_pool2d(x, 3, 1, 1))
    for block in [b for number in range(1, 5) for b in getattr(model, f"layer{number}")]:
        strided = block.conv1.stride[0] == 2
        y = block.bn1(functional.conv2d(x, block.conv1.weight, None, 1, 1)).relu()
        y = block.bn2(functional.conv2d(blurred(y) if strided else y, block.conv2.weight, None, 1, 1))
        if block.downsample is not None:
            short = functional.conv2d(blurred(x) if strided else x, block.downsample[0].weight)
            x = block.downsample[1](short)
        x = (y + x).relu()
    return model.fc(x.mean((2, 3)))


def test_resnet18_is_that_of_zhang():
    model, x = settled(ResNet18(16)), torch.randn(2, 3, 64, 64)
    pooled, changes = remedy("blur3")(model)
    assert close(pooled(x), by_zhang(model, x)) and not close(pooled(x), model(x), 1e-3)
    whole = replace_pooling(model, "blur3", names=["conv1", *(c.name for c in changes)])[0]
    assert close(whole(x), by_zhang(model, x, stem=True))
    strided = [f"layer{n}.0.{part}" for n in (2, 3, 4) for part in ("conv1", "downsample.0")]
    assert [c.name for c in changes] == ["maxpool", *strided]
    assert pooled.state_dict().keys() == model.state_dict().keys() and isinstance(pooled, ResNet18)
    assert all("before the convolution" in c.after for c in changes if "downsample" in c.name)


def test_the_projects_own_networks_are_the_same():
    model, network = settled(create("resnet18", classes=4)), create("resnet18-blur", classes=4).eval()
    network.load_state_dict(model.state_dict())
    x = torch.randn(1, 3, 64, 64)
    assert close(remedy("blur3")(model)[0](x), network(x))


# ---- where the activation is ----------------------------------------------------------------------------------------


class Chain(nn.Module):
    """A strided convolution, what is given, a convolution."""

    def __init__(self, between):
        super().__init__()
        self.conv, self.between, self.last = nn.Conv2d(C, C, 3, 2, 1), between, nn.Conv2d(C, C, 3)

    def forward(self, x):
        return self.last(self.between(self.conv(x)))


class Functional(nn.Module):
    """Activation by a function, after a scale."""

    def __init__(self, function):
        super().__init__()
        self.norm, self.gain, self.function = nn.BatchNorm2d(C), nn.Parameter(torch.full((C, 1, 1), 1.5)), function

    def forward(self, x):
        return self.function(self.norm(x) * self.gain + 0.1)


class NormAct(nn.BatchNorm2d):
    """A normalisation with an activation inside, as timm's."""

    def __init__(self, channels):
        super().__init__(channels)
        self.act = nn.SiLU()

    def forward(self, x):
        return self.act(super().forward(x))


class NormActByMode(NormAct):
    """The same by functions, of which one asks for the module's mode."""

    def forward(self, x):
        torch._assert(x.ndim == 4, "expected maps")
        mode, momentum = self.training or self.running_mean is None, 0.0 if self.momentum is None else self.momentum
        state = self.running_mean, self.running_var, self.weight, self.bias
        return self.act(functional.batch_norm(x, *state, mode, momentum, self.eps))


class Twice(nn.Module):
    """One activation, called twice."""

    def __init__(self):
        super().__init__()
        self.norm, self.act = nn.GroupNorm(2, C), nn.LeakyReLU(0.3)

    def forward(self, x):
        return self.act(self.act(self.norm(x)) - 0.2)


ENDINGS = {
    "relu6": nn.Sequential(nn.BatchNorm2d(C), nn.ReLU6()),
    "gelu": nn.Sequential(nn.Dropout2d(), nn.GELU()),
    "silu": nn.Sequential(nn.Identity(), nn.Sequential(nn.GroupNorm(2, C), nn.SiLU())),
    "hardswish": nn.Sequential(nn.InstanceNorm2d(C), nn.Hardswish()),
    "prelu": nn.Sequential(nn.BatchNorm2d(C), nn.PReLU(C)),
    "elu": nn.ELU(),
    "function": Functional(functional.relu),
    "function gelu": Functional(functional.gelu),
    "method": Functional(lambda x: x.relu()),
    "normact": NormAct(C),
    "normact by mode": NormActByMode(C),
}


@pytest.mark.parametrize("name", ENDINGS)
def test_blur_follows_the_activation(name):
    model, x = settled(Chain(copy.deepcopy(ENDINGS[name]))), torch.randn(2, C, 15, 18)
    pooled, changes = remedy("blur3")(model)
    dense = functional.conv2d(x, model.conv.weight, model.conv.bias, 1, 1)
    assert close(pooled(x), model.last(BlurPool()(model.between(dense))), 2e-6)
    assert [c.name for c in changes] == ["conv"] and "the convolution" not in changes[0].after
    assert pooled.state_dict().keys() == model.state_dict().keys()
    again = copy.deepcopy(pooled).double()
    assert close(again(x.double()).float(), pooled(x), 1e-5)


def test_blur_follows_the_first_of_two_calls_of_an_activation():
    model, x = settled(Chain(Twice())), torch.randn(2, C, 16, 16)
    pooled, _ = remedy("blur3")(model)
    y = model.between.norm(functional.conv2d(x, model.conv.weight, model.conv.bias, 1, 1))
    act = model.between.act
    assert close(pooled(x), model.last(act(BlurPool()(act(y)) - 0.2)))


class Hidden(nn.Module):
    """Code that torch.fx cannot trace."""

    def forward(self, x):
        return x.relu() if x.mean() > -1e9 else x


class Modal(nn.Module):
    """Code that is another in training."""

    def forward(self, x):
        return (2 * x if self.training else x).relu()


class Optional(nn.Module):
    """Code with an argument that need not be given, whose absence a graph would not see."""

    def forward(self, x, scale=None):
        return (x if scale is None else x * scale).relu()


@pytest.mark.parametrize("between", [Hidden(), Modal(), Optional(), nn.MaxPool2d(2, 1), nn.Conv2d(C, C, 1)])
def test_where_no_activation_is_found_blur_follows_the_convolution(between):
    model, x = settled(Chain(between)), torch.randn(2, C, 16, 16)
    pooled, changes = remedy("blur3")(model)
    y = BlurPool()(functional.conv2d(x, model.conv.weight, model.conv.bias, 1, 1))
    assert close(pooled(x), model.last(model.between(y))) and "after the convolution" in changes[0].after


# ---- functions and slices -------------------------------------------------------------------------------------------


class Functions(nn.Module):
    """Pooling by functions as in Inception, and slices."""

    def __init__(self):
        super().__init__()
        self.conv, self.branch = nn.Conv2d(3, C, 3, padding=1), nn.Conv2d(C, C, 3, 2, 1)

    def forward(self, x):
        x = functional.max_pool2d(self.conv(x), kernel_size=3, stride=2, padding=1)
        x = torch.cat([self.branch(x).relu(), functional.max_pool2d(x, 3, 2, 1), functional.avg_pool2d(x, 2)], 1)
        x = functional.max_pool2d(x, 3, 1, 1)
        return x[:, :, ::2, ::2]


def test_functions_and_slices_are_places():
    model, x = Functions().eval(), torch.randn(2, 3, 32, 32)
    pooled, changes = remedy("blur3")(model)
    names = ["branch", "max_pool2d", "max_pool2d (2)", "avg_pool2d", "getitem"]
    assert [c.name for c in changes] == names and pooled(x).shape == model(x).shape
    one, _ = remedy("blur3")(model, names=["getitem"])
    y = functional.max_pool2d(model.conv(x), 3, 2, 1)
    y = torch.cat([model.branch(y).relu(), functional.max_pool2d(y, 3, 2, 1), functional.avg_pool2d(y, 2)], 1)
    y = functional.max_pool2d(y, 3, 1, 1)
    assert close(one(x), blurred(y)) and close(model(x), y[:, :, ::2, ::2])
    network = LoadedNetwork("functions", model, size=32)
    counts = {text: len(apply_remedy(network, text)[1]) for text in ("blur3", "blur3:pools", "blur3:convs")}
    assert counts == {"blur3": 5, "blur3:pools": 3, "blur3:convs": 2}
    assert len(apply_remedy(network, "blur3:branch,max_pool2d (2)")[1]) == 2


def test_what_a_remedy_leaves_is_told():
    stem = (nn.Conv2d(3, C, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2))
    model = nn.Sequential(*stem, MergingByShape(), nn.Conv2d(4 * C, 4, 1))
    network = LoadedNetwork("mine", model.eval(), size=32)
    new, changes = apply_remedy(network, "blur3")
    lines = left_lines(network, "blur3", new)
    assert len(changes) == 1 and changes[0].startswith("2: MaxPool2d") and len(lines) == 2
    assert lines[0].startswith("0: convolution") and lines[1].startswith("3: space to depth")
    assert left_lines(network, "blur3:pools", new) == []
    network = LoadedNetwork("mine", nn.Sequential(*stem).eval(), size=32)
    assert left_lines(network, "aps-l2", apply_remedy(network, "aps-l2")[0]) == []


def test_why_a_remedy_leaves_a_place_is_told():
    """The features of the classifier, the first convolution, and an average that is longer than the filter."""
    body = (nn.Conv2d(3, C, 3, 2, 1), nn.MaxPool2d(2), nn.AvgPool2d(4, 2, 1), nn.Conv2d(C, C, 3, 1, 1), nn.AvgPool2d(2))
    network = LoadedNetwork("mine", nn.Sequential(*body, nn.Flatten(), nn.Linear(4 * C, 5)).eval(), size=32)
    lines = left_lines(network, "blur3", apply_remedy(network, "blur3")[0])
    assert [line.partition(":")[0] for line in lines] == ["0", "2", "4"]
    for line, word in zip(lines, ("picture", "lets more through", "features"), strict=True):
        assert word in line
    for place in ("0", "4"):
        assert f"blur3:{place}" in lines[int(place) // 2] and apply_remedy(network, f"blur3:{place}")[1]


def merged(x):
    """Patch merging with channels last, as torchvision's Swin writes it."""
    height, width, _ = x.shape[-3:]
    x = functional.pad(x, (0, 0, 0, width % 2, 0, height % 2))
    return torch.cat([x[..., i::2, j::2, :] for j in (0, 1) for i in (0, 1)], -1)


class MergingFirst(nn.Module):
    """Four slices of one map, with channels first."""

    def forward(self, x):
        return torch.cat([x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)], 1).relu()


class MergingLast(nn.Module):
    """The same by a function of the model's own."""

    def forward(self, x):
        return merged(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class MergingTwice(nn.Module):
    """Slices that somebody else takes too."""

    def forward(self, x):
        first = x[:, :, ::2, ::2]
        return torch.cat([first, x[:, :, 1::2, ::2], x[:, :, ::2, 1::2], x[:, :, 1::2, 1::2]], 1) + first.mean()


class MergingByShape(nn.Module):
    """Patches by reshaping, which no slice shows."""

    def forward(self, x):
        n, c, h, w = x.shape
        return x.reshape(n, c, h // 2, 2, w // 2, 2).permute(0, 3, 5, 1, 2, 4).reshape(n, -1, h // 2, w // 2)


@pytest.mark.parametrize("kind", [MergingFirst, MergingLast])
def test_patch_merging_by_slices_takes_operators(kind):
    """Plain subsampling in their place gives the network back; blurred patches are patches of the blurred map."""
    model = nn.Sequential(nn.Conv2d(3, C, 3, 2, 1), nn.ReLU(), kind()).eval()
    x = torch.randn(2, 3, 32, 48)
    back, changes = replace_pooling(model, Slicing((2, 2)), names=["2"])
    assert [c.name for c in changes] == ["2"] and close(back(x), model(x))
    pooled, changes = remedy("blur3")(model)
    assert [c.name for c in changes] == ["2"] and "4 times the memory" in changes[0].after
    circle, _ = remedy("blur3")(model, padding_mode="circular")
    y = model[1](model[0](x))
    blurred_map = functional.conv2d(functional.pad(y, (1, 1, 1, 1), "circular"), TAPS.expand(C, 1, 3, 3), groups=C)
    assert close(circle(x), model[2](blurred_map))
    inner = (slice(None), slice(None), slice(1, -1), slice(1, -1))
    assert close(pooled(x)[inner], circle(x)[inner])
    assert [c.name for c in remedy("blur3")(model, types=nn.Conv2d)[1]] == ["0", "2"]


def test_patches_are_merged_on_the_grid_of_the_content():
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4 * C, 5))
    invariant(lambda: nn.Sequential(nn.Conv2d(3, C, 5, 2, 2), nn.ReLU(), MergingLast(), nn.ReLU(), *head))
    for norm in ("aps-l1", "aps-l2", "aps-linf"):  # without anything before, components hold the same samples
        invariant(lambda: nn.Sequential(MergingFirst(), nn.Conv2d(12, C, 3, 1, 1), nn.ReLU(), *head[:2]), 16, norm)
    model = nn.Sequential(MergingFirst()).double()
    ideal, _ = remedy("ideal")(model)
    x = IdealPool(1).dense(torch.randn(1, 3, 16, 16, dtype=torch.float64))
    linear, _ = remedy("ideal")(nn.Sequential(MergingLast()).double())
    assert torch.allclose(linear(moved(x, 0.5)), moved(linear(x), 0.25)) and ideal(x).shape == model(x).shape


class Same(nn.Conv2d):
    """TensorFlow's padding, with circular borders: where patches begin depends on the stride."""

    def forward(self, x):
        missing = [max((-(-n // s) - 1) * s + 3 - n, 0) for n, s in zip(x.shape[:1:-1], self.stride, strict=True)]
        return super().forward(functional.pad(x, [m for n in missing for m in (n // 2, n - n // 2)]))


@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Conv2d(C, C, 1)])
def test_patches_of_a_picture_are_embedded_on_the_grid_of_the_content(activation):
    """Without padding, dense patches are fewer than the samples of the period, if they do not go around."""
    head = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(C, 5))
    embed = (nn.Conv2d(3, C, 4, 4), activation, nn.Conv2d(C, C, 3, 1, 1), nn.ReLU(), nn.Conv2d(C, C, 2, 2))
    plain = circular(settled(nn.Sequential(*embed, *head))).double()
    pooled, _ = remedy("aps-l2")(plain, padding_mode="circular")
    x = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        assert close(pooled(x.roll((3, 5), (2, 3))), pooled(x), 1e-6) and pooled[:6](x).shape == plain[:6](x).shape
        assert not close(plain(x.roll((3, 5), (2, 3))), plain(x), 1e-3)
    ideal, _ = remedy("ideal")(nn.Sequential(nn.Conv2d(3, C, 4, 4)).double())
    x = IdealPool(1).dense(x)
    assert torch.allclose(ideal(moved(x, 0.5)), moved(ideal(x), 0.125))


def test_own_padding_leaves_the_period_whole():
    layer = Same(3, C, 3, 2).double()
    dense = SameConv2d(layer)
    x = torch.randn(1, 3, 16, 20, dtype=torch.float64)
    assert dense(x).shape[2:] == x.shape[2:] and torch.allclose(dense(x)[..., ::2, ::2], layer(x))
    assert dense(x[..., :15, :17]).shape[2:] == (16, 18)


class Choice(nn.Module):
    """Two samplings in code with an argument that need not be given."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.MaxPool2d(2), nn.MaxPool2d(2)

    def forward(self, x, more=None):
        return self.a(x) + self.b(x.relu())


class WithHead(nn.Module):
    """A network that has a second head in training, and two branches that meet."""

    def __init__(self, function=False):
        super().__init__()
        self.conv, self.norm, self.act = nn.Conv2d(3, C, 7, 2, 3, bias=False), nn.BatchNorm2d(C), nn.ReLU()
        self.pool, self.a, self.b = nn.MaxPool2d(3, 2, 1), nn.MaxPool2d(2), nn.Conv2d(C, C, 3, 2, 1)
        self.head, self.function = nn.Conv2d(C, 2, 1), function

    def forward(self, x):
        y = self.pool(self.act(self.norm(self.conv(x))))
        z = self.a(y) + (self.b(y).relu() if self.function else self.b(y))
        return (z, self.head(y)) if self.training else z


def test_a_network_with_a_head_for_training_is_followed_as_it_is_in_evaluation():
    model, x = settled(WithHead()), torch.randn(2, 3, 64, 64)
    pooled, changes = remedy("aps-l2")(model, padding_mode="circular")
    assert len(changes) == 4 and not any("of its own" in change.after for change in changes)
    assert close(circular(pooled)(x.roll((3, 5), (2, 3))).sum((2, 3)), circular(pooled)(x).sum((2, 3)), 1e-5)
    assert remedy("cmod")(model)[1][0].name == "conv"
    for name in ("blur3", "cmod"):
        trained = remedy(name)(model)[0].train()(x)
        assert isinstance(trained, tuple) and trained[1].shape[1] == 2


def test_code_that_is_another_in_training_takes_no_operator():
    """The activation is a function there, so that the blur follows the convolution."""
    model, x = settled(WithHead(function=True)), torch.randn(2, 3, 64, 64)
    pooled, changes = remedy("blur3")(model)
    assert "no activation was found" in {c.name: c.after for c in changes}["b"]
    assert pooled(x).shape == model(x).shape and len(pooled.train()(x)) == 2


def test_samplings_in_code_that_cannot_be_followed_say_that_they_choose_for_themselves():
    _, changes = remedy("aps-l2")(nn.Sequential(nn.Conv2d(3, C, 3, 1, 1), Choice()))
    assert len(changes) == 2 and all("of its own" in change.after for change in changes)


@pytest.mark.parametrize("kind", [MergingTwice, MergingByShape])
def test_other_patch_merging_is_refused_by_name(kind):
    model = nn.Sequential(nn.Conv2d(3, C, 3, 2, 1), nn.ReLU(), kind())
    assert [c.name for c in remedy("blur3")(model)[1]] == ["0"]
    with pytest.raises(ValueError, match=f"layer '2' is a {kind.__name__}"):
        remedy("blur3")(model, names=["2"])


def test_patch_embedding_is_projected_densely():
    model, x = nn.Sequential(nn.Conv2d(3, C, 4, 4), nn.Conv2d(C, C, 2, 2)), torch.randn(2, 3, 32, 32)
    pooled, changes = remedy("blur3")(model)
    assert [c.name for c in changes] == ["1"]  # the first convolution is that of the picture
    pooled, changes = remedy("blur3")(model, types=nn.Conv2d)
    assert [c.name for c in changes] == ["0", "1"] and pooled(x).shape == model(x).shape
    assert "16 times the products" in changes[0].after and "4 times" in changes[1].after
    alone, changes = remedy("blur3")(nn.Sequential(model[0], nn.Flatten()))
    assert [c.name for c in changes] == ["0"]
    dense = functional.conv2d(x, model[0].weight, model[0].bias)
    h = torch.tensor([1.0, 2, 3, 4, 3, 2, 1]) / 16
    padded = functional.pad(dense, (3, 3, 3, 3), mode="reflect")
    y = functional.conv2d(padded, torch.outer(h, h).expand(C, 1, 7, 7), stride=4, groups=C)
    assert close(alone(x), y.flatten(1))


# ---- adaptive polyphase sampling ------------------------------------------------------------------------------------


class DenseBlock(nn.Module):
    """Maps that are concatenated, after a branch that subsamples beside another one."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(C, C, 3, 2, 1), nn.Conv2d(C, C, 5, 2, 2)
        self.pool = nn.MaxPool2d(3, 2, 1)

    def forward(self, x):
        return torch.cat([self.pool(x), self.a(x).relu(), functional.relu(self.b(x))], 1)


class ShortcutFirst(Block):
    """A block whose shortcut runs before its main branch."""

    def forward(self, x):
        identity = self.downsample(x)
        return self.relu(identity + self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x))))))


def invariant(make, size=64, norm="aps-l2", error=1e-6):
    """Largest change of the answer under circular shifts, relative to its size; and that of the plain network."""
    plain = circular(settled(make())).double()
    pooled, changes = remedy(norm)(plain)
    x = torch.randn(2, 3, size, size, dtype=torch.float64)
    errors = []
    with torch.no_grad():
        for model in (pooled, plain):
            y = model(x)
            shifts = [(0, 1), (1, 0), (3, 5), (2, 7), (13, 6)]
            errors.append(max(float((model(x.roll(s, (2, 3))) - y).abs().max() / y.abs().max()) for s in shifts))
    assert errors[0] < error < 1e-3 < errors[1]
    return changes


@pytest.mark.parametrize("norm", ["aps-l1", "aps-l2"])
def test_residual_networks_do_not_see_circular_shifts(norm):
    changes = invariant(lambda: ResNet18(8), norm=norm)
    assert [c.name for c in changes][:2] == ["conv1", "maxpool"]
    assert all(f"on the grid of layer{n}.0.conv1" in c.after for n, c in zip((2, 3, 4), changes[3::2], strict=True))


def test_concatenated_branches_share_their_grid():
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3 * C, 5))
    stem = (nn.Conv2d(3, C, 7, 2, 3), nn.ReLU())
    changes = invariant(lambda: nn.Sequential(*stem, DenseBlock(), *head))
    assert sum("on the grid of 2.pool" in c.after for c in changes) == 2
    last = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(C, 5))
    changes = invariant(lambda: nn.Sequential(*stem, ShortcutFirst(C, C, 2), *last))
    assert sum("on the grid of 2.downsample.0" in c.after for c in changes) == 1


def test_densenets_do_not_see_circular_shifts():
    model = create("densenet40", classes=4).double().eval()
    pooled, _ = remedy("aps-l2")(model)
    x = torch.randn(1, 3, 32, 32, dtype=torch.float64)
    with torch.no_grad():
        y = pooled(x)
        assert close(pooled(x.roll((3, 5), (2, 3))), y, 1e-6)


def test_two_samplings_in_a_row_choose_for_themselves():
    model = nn.Sequential(nn.Conv2d(3, C, 3, 2, 1), nn.ReLU(), nn.Conv2d(C, C, 3, 2, 1), nn.ReLU())
    pooled, changes = remedy("aps-l2")(model)
    assert not any("on the grid" in c.after for c in changes)
    assert all(m.phase is None for m in pooled.modules() if isinstance(m, APS))


# ---- ideal low-pass filters -----------------------------------------------------------------------------------------


def moved(x, by):
    """Circular shift by a fraction of a sample along both axes; x without its Nyquist frequencies."""
    for axis in (2, 3):
        n = x.shape[axis]
        k = torch.fft.fftfreq(n, dtype=torch.float64) * n
        shape = [1, 1, 1, 1]
        shape[axis] = n
        phase = torch.exp(-2j * torch.pi * k * by / n).reshape(shape)
        x = torch.fft.ifft(torch.fft.fft(x, dim=axis) * phase, dim=axis).real
    return x


@pytest.mark.parametrize("n", [12, 14, 16, 18, 15])
@pytest.mark.parametrize("stride", [2, 3, 4])
def test_the_ideal_filter_keeps_what_does_not_alias(n, stride):
    x = torch.randn(2, 3, n, n, dtype=torch.float64)
    spectrum = torch.fft.fft2(x)
    k = (torch.fft.fftfreq(n, dtype=torch.float64) * n).round()
    kept = k.abs() < n / (2 * stride)  # neither of the Nyquist bins
    dense = torch.fft.ifft2(spectrum * kept[:, None] * kept).real
    pool = IdealPool(stride)
    assert torch.allclose(pool(x), dense[:, :, ::stride, ::stride]) and torch.allclose(pool.dense(x), dense)


@pytest.mark.parametrize("n", [16, 24, 18])
def test_the_ideal_filter_moves_by_fractions(n):
    x = torch.randn(2, 3, n, n, dtype=torch.float64)
    x = IdealPool(1).dense(x)  # without Nyquist frequencies
    for by in (0.5, 1 / 3, 1.7):
        assert torch.allclose(IdealPool()(moved(x, by)), moved(IdealPool()(x), by / 2))
        for other in (BlurPool(padding_mode="circular"), APS()):  # the latter is blind to fractions
            assert not torch.allclose(other(moved(x, by)), moved(other(x), by / 2), atol=1e-2)
    average = replace_pooling(nn.Sequential(nn.AvgPool2d(2)), "ideal")[0]
    assert torch.allclose(average(x), moved(IdealPool()(x), -0.25))  # on the centres of the windows


def test_a_linear_network_with_ideal_filters_moves_by_fractions():
    layers = [layer for _ in range(3) for layer in (nn.Conv2d(3, 3, 3, 2, 1, padding_mode="circular"), nn.Identity())]
    model = nn.Sequential(*layers).double()
    x = IdealPool(1).dense(torch.randn(1, 3, 32, 32, dtype=torch.float64))
    ideal, blur = remedy("ideal")(model)[0], remedy("blur3")(model, types=nn.Conv2d)[0]
    for by in (0.5, 2.75):
        assert torch.allclose(ideal(moved(x, by)), moved(ideal(x), by / 8))
        assert not torch.allclose(blur(moved(x, by)), moved(blur(x), by / 8), atol=1e-4)


# ---- what every remedy keeps ----------------------------------------------------------------------------------------


class Centred(nn.Conv2d):
    """A convolution with a forward of its own, as those that standardise their weight."""

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return functional.conv2d(x, weight, self.bias, self.stride, self.padding)


def chain():
    """A chain that every remedy goes to: band-pass kernels, max pooling, blocks, merged patches, own convolutions."""
    stem = nn.Conv2d(3, C, 5, 2, 2, bias=False)
    grid = torch.arange(5.0) - 2
    wave = torch.cos(2 * grid) * torch.exp(-(grid**2) / 4)
    stem.weight.data = stem.weight.data / 10 + (wave - wave.mean()) * torch.exp(-(grid[:, None] ** 2) / 4)
    block = (nn.Conv2d(C, C, 3, 1, 1), nn.ReLU(), nn.Conv2d(C, C, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2))
    last = (
        MergingLast(),
        Centred(4 * C, C, 3, 2, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(C, 5),
    )
    return settled(nn.Sequential(stem, nn.BatchNorm2d(C), nn.ReLU(), nn.MaxPool2d(3, 2, 1), *block, *last))


@pytest.mark.parametrize("name", list(remedies()))
def test_every_remedy_keeps_batches_precisions_layouts_and_gradients(name):
    model, x = chain(), torch.randn(2, 3, 64, 64)
    new, _ = remedy(name)(model, x)
    new.eval()
    expected = new(x)
    assert expected.shape == model(x).shape and expected.isfinite().all() and not close(expected, model(x), 1e-4)
    leaf = x.clone().requires_grad_()
    new(leaf).square().sum().backward()
    assert leaf.grad.isfinite().all() and leaf.grad.abs().max() > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in new.parameters() if p.requires_grad)
    with torch.no_grad():
        assert close(new(x[:1]), expected[:1], 1e-5) and new(x[:0]).shape == (0, 5)
        last = copy.deepcopy(new).to(memory_format=torch.channels_last)
        assert close(last(x.contiguous(memory_format=torch.channels_last)), expected, 1e-5)
        for dtype in (torch.float16, torch.bfloat16):
            half = copy.deepcopy(new).to(dtype)(x.to(dtype))
            assert half.dtype == dtype and half.isfinite().all()
            if not name.startswith("aps"):  # which may choose another grid
                assert close(half.float(), expected, 0.1)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["blur3", "aps-l2", "ideal", "tlpf", "adaptive-blur", "intrablock", "cmod"])
def test_remedied_networks_compile_and_export(name):
    torch._dynamo.reset()
    model, x = chain(), torch.randn(2, 3, 64, 64)
    new, _ = remedy(name)(model, x)
    new.eval()
    compiled = torch.compile(new, fullgraph=True, backend="aot_eager")
    with torch.no_grad():
        assert close(compiled(x), new(x), 1e-5) and close(compiled(x.roll(1, 3)), new(x.roll(1, 3)), 1e-5)
    program = torch.export.export(new, (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},)).module()
    assert close(program(x), new(x), 1e-5) and close(program(x[:1].roll(1, 3)), new(x[:1].roll(1, 3)), 1e-5)


def test_a_convolution_with_two_names_is_replaced_under_both():
    conv = nn.Conv2d(C, C, 3, 2, 1)
    model, x = nn.Sequential(conv, nn.Sequential(conv)), torch.randn(1, C, 32, 32)
    pooled, changes = remedy("blur3")(model)
    y = x
    for _ in range(2):
        y = BlurPool()(functional.conv2d(y, conv.weight, conv.bias, 1, 1))
    assert len(changes) == 1 and close(pooled(x), y)


class Entered(nn.Module):
    """A network of which a part has been traced."""

    def __init__(self, part):
        super().__init__()
        self.stem, self.part = nn.Conv2d(3, 3, 3, 1, 1), part

    def forward(self, x):
        return self.part(functional.relu(self.stem(x)))


@pytest.mark.parametrize("within", [False, True])
def test_graph_modules_are_rewired_as_their_networks_and_can_be_copied_and_stored(within):
    model = settled(nn.Sequential(Functions(), nn.Conv2d(3 * C, C, 1), ShortcutFirst(C, C, 2), nn.Conv2d(C, 3, 1)))
    graph = torch.fx.symbolic_trace(model)
    if within:
        model = Entered(model).eval()
        graph = copy.deepcopy(model)
        graph.part = torch.fx.symbolic_trace(model.part)
    x = torch.rand(2, 3, 32, 32)
    for name in ("blur3", "aps-l2"):
        expected, plain_changes = replace_pooling(model, name)
        new, changes = replace_pooling(graph, name)
        assert len(changes) == len(plain_changes)
        assert close(new(x), expected(x))
        for again in (copy.deepcopy(new), pickle.loads(pickle.dumps(new))):
            assert close(again(x), expected(x))
    assert len(replace_pooling(torch.fx.symbolic_trace(model), "blur3")[1]) == len(plain_changes)


@pytest.mark.parametrize("name", ["blur3", "aps-l2"])
def test_remedied_residual_networks_are_exported(name):
    model, x = settled(ResNet18(8)), torch.randn(2, 3, 64, 64)
    del model.layer3[1], model.layer4[1]  # blocks that subsample nothing
    pooled, _ = remedy(name)(model, x)
    program = torch.export.export(pooled.eval(), (x,)).module()
    assert close(program(x), pooled(x), 1e-5) and pooled(x).shape == model(x).shape


class Sliced(nn.Module):
    """Shortcut of the CIFAR ResNets: every second pixel, and channels of zeros."""

    def __init__(self, missing):
        super().__init__()
        self.missing = missing

    def forward(self, x):
        return functional.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, self.missing // 2, self.missing // 2))


class CifarBlock(nn.Module):
    """A block of ResNet-20, with the activation a function."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)
        self.conv2, self.bn2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)
        self.shortcut = Sliced(outputs - inputs) if stride > 1 else nn.Sequential()

    def forward(self, x):
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        return functional.relu(y + self.shortcut(x))


class ResNet20(nn.Module):
    """ResNet-20 for CIFAR-10, as akamaster/pytorch_resnet_cifar10 writes it."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        for number, width in enumerate((16, 32, 64), start=1):
            first = CifarBlock(max(16, width // 2), width, 1 if number == 1 else 2)
            rest = CifarBlock(width, width, 1), CifarBlock(width, width, 1)
            setattr(self, f"layer{number}", nn.Sequential(first, *rest))
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x = functional.relu(self.bn1(self.conv1(x)))
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def test_resnet20_with_sliced_shortcuts():
    model = settled(ResNet20())
    places = ["layer2.0.conv1", "layer2.0.shortcut", "layer3.0.conv1", "layer3.0.shortcut"]
    assert sorted(c.name for c in remedy("blur3")(model)[1]) == places
    changes = invariant(ResNet20, 32)
    assert sum(f"on the grid of layer{n}.0.conv1" in c.after for n in (2, 3) for c in changes) == 2


@pytest.mark.skipif(not DATA, reason="set SHIFTSCOPE_DATA to the folder of weights and pictures")
def test_a_trained_resnet20_keeps_its_accuracy():
    file, folder = Path(DATA, "weights/resnet20-12fca82f.th"), Path(DATA, "cifar10")
    if not (file.is_file() and folder.is_dir()):
        pytest.skip("no weights of ResNet-20, or no pictures of CIFAR-10")
    state = torch.load(file, map_location="cpu", weights_only=True)["state_dict"]
    model = ResNet20().eval()
    model.load_state_dict({key.removeprefix("module."): value for key, value in state.items()})
    sheet = np.asarray(Image.open(folder / "test_00.webp")).reshape(25, 32, 40, 32, 3).transpose(0, 2, 4, 1, 3)
    pictures = normalised(torch.from_numpy(sheet.reshape(1000, 3, 32, 32)).float() / 255)
    classes = torch.from_numpy(np.load(folder / "labels.npz")["test_labels"][0]).long()
    accuracy = {}
    for name in ("plain", "blur3"):
        network = model if name == "plain" else remedy(name)(model)[0]
        with torch.no_grad():
            answers = torch.cat([network(part).argmax(1) for part in pictures.split(100)])
        accuracy[name] = float((answers == classes).double().mean())
    assert accuracy["plain"] > 0.9 and accuracy["blur3"] >= 0.9


class Dropping(nn.Module):
    """A strided convolution, functional dropout, by keyword or not, and its activation."""

    def __init__(self, how):
        super().__init__()
        self.how, self.conv, self.head = how, nn.Conv2d(3, 4, 3, 2, 1), nn.Linear(4, 2)

    def forward(self, x):
        x = self.conv(x)
        if self.how == "keyword":
            x = nn.functional.dropout(x, 0.5, training=self.training)
        elif self.how == "position":
            x = nn.functional.dropout2d(x, 0.5, self.training)
        return self.head(nn.functional.relu(x).mean((2, 3)))


@pytest.mark.parametrize("how", ["keyword", "position"])
def test_functional_dropout_hides_nothing(how):
    torch.manual_seed(0)
    plain = Dropping("").eval()
    dropping = Dropping(how).eval()
    dropping.load_state_dict(plain.state_dict())
    x = torch.rand(2, 3, 16, 16)
    mended, _ = replace_pooling(dropping, "blur3")
    expected, _ = replace_pooling(plain, "blur3")
    assert torch.allclose(mended(x), expected(x), atol=1e-6) and not torch.allclose(mended(x), plain(x), atol=1e-4)
    mended.train()  # and it still drops
    assert not torch.equal(mended(x), mended(x))
    mended.eval()
    assert torch.equal(mended(x), mended(x))
