"""The networks of the documents: sizes as published, torchvision's keys, genuine first layers, what pooling changes."""

from __future__ import annotations

import io
import re
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from scipy import signal

from tests.conftest import DATA

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from analysis import networks  # noqa: E402
from analysis.networks import APS, TLPF, BlurPool, IntraBlockPool, MaxPool, Site, load_weights, remedy  # noqa: E402
from analysis.networks.architectures import VGG13, VGG41, VGG42, AlexNet, DenseNet, ResNet  # noqa: E402
from analysis.networks.metrics import assert_shift_equivariant  # noqa: E402
from analysis.networks.operator_table import OPERATORS, aps  # noqa: E402
from analysis.networks.pooling_argument import pooling_at  # noqa: E402
from analysis.networks.site import square_site, strided_site  # noqa: E402
from analysis.networks.wiring import Wiring  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own

R18, R34 = (2, 2, 2, 2), (3, 4, 6, 3)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def size(make, *args, **options):
    """Number of trainable parameters, without making any."""
    with torch.device("meta"):
        return sum(p.numel() for p in make(*args, **options).parameters())


def close(a, b, tolerance):
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * b.abs().max())


# A small network of every class, and the least height and width it is tried at.
SMALL = {
    "AlexNet": (partial(AlexNet, 5), (3, 63, 70)),
    "ResNet": (partial(ResNet, (1, 1), 5), (3, 21, 30)),
    "ResNet cifar": (partial(ResNet, (1, 1), 5, form="cifar"), (3, 9, 12)),
    "VGG13": (partial(VGG13, 5), (3, 33, 40)),
    "DenseNet": (partial(DenseNet, 10, 4, 5), (3, 9, 13)),
    "VGG41": (partial(VGG41, 5), (1, 13, 18)),
}
EVERY = pytest.mark.parametrize("name", SMALL)


def small(name, **options):
    make, shape = SMALL[name]
    return make(**options), torch.randn(2, *shape)


# ---- sizes as published ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "parameters"),
    [
        (AlexNet, 61_100_840),
        (partial(AlexNet, pooling="blur3"), 61_100_840),
        (partial(ResNet, R18, 10), 11_181_642),
        (partial(ResNet, R34, 10), 21_289_802),
        (partial(ResNet, R18, 10, "adaptive-blur"), 12_095_034),
        (partial(ResNet, R34, 10, "adaptive-blur"), 22_203_194),
        (ResNet, 21_797_672),
        (partial(ResNet, pooling="blur3"), 21_797_672),
        (partial(ResNet, pooling="adaptive-blur"), 22_711_064),
        (VGG41, 1_258_728),
        (VGG42, 4_927_240),
    ],
)
def test_numbers_of_parameters(make, parameters):
    assert size(make) == parameters


def test_what_pooling_adds():
    assert size(ResNet, pooling="adaptive-blur") - size(ResNet) == 913_392
    widths = (64, 64, 128, 128, 256, 256, 512)  # before the max pooling, and in both branches of three strided blocks
    assert sum(72 * 9 * width + 2 * 72 for width in widths) == 913_392
    assert size(VGG41, pooling="tlpf5") - size(VGG41) == 6_000
    assert size(VGG42, pooling="tlpf5") - size(VGG42) == 12_000
    assert size(VGG41, pooling="tlpf-aps-l1") - size(VGG41) == 6_000
    assert size(VGG41, pooling="tlpf1x4") - size(VGG41) == 4 * (48 + 64 + 128)
    assert size(VGG41, pooling="aps-l1", intrablock=True) == size(VGG41)


def test_numbers_of_parameters_in_closed_form():
    widths = [3, 64, 64, 128, 128, 256, 256, 512, 512, 512, 512]
    assert size(VGG13) == sum(9 * a * b + 3 * b for a, b in pairwise(widths)) + 512 * 10 + 10 == 9_416_010
    dense = 3 * 9 * 24 + 2 * 456 + 456 * 10 + 10
    dense += sum((9 * 12 + 2) * (24 + 12 * n) for n in range(36)) + sum(c * c + 2 * c for c in (168, 312))
    assert size(DenseNet) == dense == 1_059_298
    widths = [32, 48, 48, 64, 64, 128, 128, 256, 256]
    assert size(VGG41) == 9 * 32 + 2 * 32 + sum(9 * a * b + 2 * b for a, b in pairwise(widths)) + 257 * 200


def keys(**layers):
    """Keys of layers that are "conv" (no bias), "bn" or "linear", by their names with _ for dots."""
    found = set()
    for name, kind in layers.items():
        parts = ["weight"] if kind == "conv" else ["weight", "bias"]
        parts += ["running_mean", "running_var", "num_batches_tracked"] if kind == "bn" else []
        found |= {f"{name.replace('_', '.')}.{part}" for part in parts}
    return found


def resnet_keys(blocks):
    layers = {"conv1": "conv", "bn1": "bn", "fc": "linear"}
    for stage, count in enumerate(blocks, start=1):
        for block in range(count):
            for number in (1, 2):
                layers[f"layer{stage}_{block}_conv{number}"] = "conv"
                layers[f"layer{stage}_{block}_bn{number}"] = "bn"
        if stage > 1:
            layers |= {f"layer{stage}_0_downsample_0": "conv", f"layer{stage}_0_downsample_1": "bn"}
    return keys(**layers)


def test_keys_are_those_of_torchvision():
    with torch.device("meta"):
        for pooling in ("max", "blur3", "aps-l2"):
            wanted = keys(**{f"features_{n}": "linear" for n in (0, 3, 6, 8, 10)})
            wanted |= keys(**{f"classifier_{n}": "linear" for n in (1, 4, 6)})
            assert set(AlexNet(pooling=pooling).state_dict()) == wanted
            for blocks in (R18, R34):
                assert set(ResNet(blocks, pooling=pooling).state_dict()) == resnet_keys(blocks)
            assert set(ResNet(R18, form="cifar", pooling=pooling).state_dict()) == resnet_keys(R18)
            convolutions = (0, 3, 7, 10, 14, 17, 21, 24, 28, 31)
            wanted = keys(**{f"features_{n}": "linear" for n in convolutions}, classifier="linear")
            wanted |= keys(**{f"features_{n + 1}": "bn" for n in convolutions})
            assert set(VGG13(pooling=pooling).state_dict()) == wanted


def test_another_first_stage():
    first = nn.Sequential(nn.Conv2d(3, 64, 8, 8), nn.ReLU())
    before = first[0].weight.clone()
    model = ResNet((1, 1), 5, "blur3", first=first)
    names = set(model.state_dict())
    assert {"first.0.weight", "first.0.bias"} <= names
    assert not any(name.startswith(("conv1", "bn1", "maxpool")) for name in names)
    assert torch.equal(first[0].weight, before)
    assert isinstance(model.layer2[0].pool, BlurPool)
    assert model(torch.randn(2, 3, 32, 40)).shape == (2, 5)
    model = AlexNet(5, "blur3", first=first)
    assert {name for name in model.state_dict() if name < "features.1"} >= {"features.0.0.weight", "features.0.0.bias"}
    assert torch.equal(first[0].weight, before)
    assert [type(layer) for layer in model.features[1:3]] == [nn.Identity] * 2
    assert type(model.features[5]).__name__ == "Cascade"
    assert model(torch.randn(2, 3, 64, 72)).shape == (2, 5)


# ---- the genuine weights --------------------------------------------------------------------------------------------


def arrays(name):
    path = DATA / "weights" / name
    if not path.is_file():
        pytest.skip(f"needs {name} (set SHIFTSCOPE_DATA)")
    with np.load(path) as file:
        return dict(file)


def correlated(x, weight, bias, stride, padding):
    """Convolution layer and ReLU by scipy in float64: (C, H, W) to (L, h, w)."""
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)))
    maps = [sum(signal.correlate2d(c, k, "valid") for c, k in zip(x, kernel, strict=True)) for kernel in weight]
    return np.maximum(np.stack(maps)[:, ::stride, ::stride] + bias[:, None, None], 0)


def pooled(x, padding):
    x = np.pad(x, ((0, 0), (padding, padding), (padding, padding)), constant_values=-np.inf)
    return np.lib.stride_tricks.sliding_window_view(x, (3, 3), (1, 2))[:, ::2, ::2].max((3, 4))


def test_first_layer_of_alexnet():
    layer = {key: value.astype(float) for key, value in arrays("alexnet_torchvision_conv1.npz").items()}
    model = AlexNet().double().eval()
    report = load_weights(model, {f"features.0.{key}": value for key, value in layer.items()}, partial=True)
    assert set(report.loaded) == {"features.0.weight", "features.0.bias"}
    assert "features.3.weight" in report.missing and not report.unexpected and not report.misshapen
    x = torch.randn(1, 3, 66, 71, dtype=torch.float64)
    expected = correlated(x[0].numpy(), layer["weight"], layer["bias"], 4, 2)
    with torch.no_grad():
        np.testing.assert_allclose(model.features[:2](x)[0].numpy(), expected, rtol=0, atol=1e-11)
        np.testing.assert_allclose(model.features[:3](x)[0].numpy(), pooled(expected, 0), rtol=0, atol=1e-11)


def test_first_layer_of_resnet():
    layer = arrays("resnet18_conv1.npz")
    model = ResNet(R18).double().eval()
    state = {
        "conv1.weight": layer["weight"],
        "bn1.weight": layer["bn_scale"],
        "bn1.bias": layer["folded_bias"],  # with the mean 0 that a new batch norm has
        "bn1.running_var": np.full(64, 1 - model.bn1.eps),
    }
    assert set(load_weights(model, state, partial=True).loaded) == set(state)
    x = torch.randn(1, 3, 45, 50, dtype=torch.float64)
    expected = correlated(x[0].numpy(), layer["folded_weight"].astype(float), layer["folded_bias"], 2, 3)
    with torch.no_grad():
        found = model.relu(model.bn1(model.conv1(x)))
    np.testing.assert_allclose(found[0].numpy(), expected, rtol=0, atol=2e-6)
    np.testing.assert_allclose(model.maxpool(found)[0].numpy(), pooled(expected, 1), rtol=0, atol=2e-6)


def test_trunk_of_resnet():
    """Layers 1 to 3 of the genuine ResNet-18 against folded convolutions one after another."""
    folded = {key: torch.from_numpy(value).double() for key, value in arrays("resnet18_trunk_folded_f16.npz").items()}
    model = ResNet(R18).double().eval()
    state = {}
    for key, value in folded.items():
        if key.endswith("weight"):
            state[key] = value
        else:  # the folded bias is that of a batch norm that does nothing else
            norm = key.replace("downsample.0", "downsample.1").replace("conv", "bn").removesuffix("bias")
            state |= {f"{norm}bias": value, f"{norm}running_var": torch.full_like(value, 1 - 1e-5)}
    report = load_weights(model, state, partial=True)
    assert len(report.loaded) == 3 * 15 and not report.unexpected and not report.misshapen

    def convolved(x, name, stride=1, padding=1):
        return functional.conv2d(x, folded[f"{name}.weight"], folded[f"{name}.bias"], stride, padding)

    x = torch.randn(1, 3, 61, 66, dtype=torch.float64)
    y = functional.max_pool2d(convolved(x, "conv1", 2, 3).relu(), 3, 2, 1)
    for stage in (1, 2, 3):
        for block in (0, 1):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and not block else 1
            short = convolved(y, f"{name}.downsample.0", 2, 0) if stride == 2 else y
            y = (convolved(convolved(y, f"{name}.conv1", stride).relu(), f"{name}.conv2") + short).relu()
    found = {}
    model.layer3.register_forward_hook(lambda module, given, output: found.update(output=output))
    with torch.no_grad():
        model(x)
    assert close(found["output"], y, 1e-10)


# ---- what pooling changes -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pooling", ["max", "blur3", "aps-l1"])
def test_sizes_of_the_maps_of_alexnet(pooling):
    model, sides = AlexNet(pooling=pooling).eval(), []
    for layer in (2, 5, 12):
        model.features[layer].register_forward_hook(lambda module, given, output: sides.append(output.shape[2:]))
    with torch.no_grad():
        model(torch.randn(1, 3, 224, 224))
    assert sides == [(27, 27), (13, 13), (6, 6)]
    assert model.features[0].stride == ((4, 4) if pooling == "max" else (2, 2))


@pytest.mark.parametrize(("form", "sides"), [("imagenet", [16, 8, 4, 2]), ("cifar", [64, 32, 16, 8])])
@pytest.mark.parametrize("pooling", ["max", "blur3", "adaptive-blur", "aps-l1"])
def test_sizes_of_the_maps_of_resnet(form, sides, pooling):
    model, found = ResNet((1, 1, 1, 1), 5, pooling, form=form).eval(), []
    for name in model.stages:
        model.get_submodule(name).register_forward_hook(lambda module, given, output: found.append(output.shape[2]))
    with torch.no_grad():
        model(torch.randn(1, 3, 64, 64))
    assert found == sides


def test_a_blurred_block_written_out():
    model = ResNet((1, 1), 5, "blur3").double().eval()
    block, x, blur = model.layer2[0], torch.randn(2, 64, 8, 9, dtype=torch.float64), BlurPool(2)
    y = functional.conv2d(x, block.conv1.weight, padding=1)
    y = block.bn2(functional.conv2d(blur(block.bn1(y).relu()), block.conv2.weight, padding=1))
    short = block.downsample[1](functional.conv2d(blur(x), block.downsample[0].weight))
    assert close(block(x), (y + short).relu(), 1e-12)


def test_surgery_on_a_plain_network_makes_the_blurred_one():
    plain = ResNet((1, 1, 1), 5).double().eval()
    blurred = ResNet((1, 1, 1), 5, "blur3").double().eval()
    load_weights(blurred, plain.state_dict())
    places = [f"layer{stage}.0.{name}" for stage in (2, 3) for name in ("conv1", "downsample.0")]
    turned, _ = remedy("blur3")(plain, names=["maxpool", *places])
    x = torch.randn(2, 3, 41, 50, dtype=torch.float64)
    assert close(turned(x), blurred(x), 1e-12)
    assert not close(plain(x), blurred(x), 1e-3)


@EVERY
def test_surgery_can_trace_the_networks(name):
    model, x = small(name, **({} if name == "DenseNet" else {"pooling": "aps-l1"}))
    wiring = Wiring(model)
    graph = wiring.graph("")
    assert graph is not None
    assert {name for name, m in model.named_modules() if "architectures" in type(m).__module__} <= dict(
        wiring.scopes()
    ).keys()
    model.eval()
    assert close(torch.fx.GraphModule(model, graph)(x), model(x), 1e-6)


def test_surgery_turns_the_first_layer():
    for name in ("AlexNet", "ResNet"):
        model, x = small(name)
        turned, changes = remedy("cmod")(model.eval(), x)
        assert len(changes) >= 2 and turned(x).shape == (2, 5)


def test_the_dense_maximum_of_resnet_has_the_size_three_or_two():
    x = torch.randn(1, 64, 12, 12).relu()
    for side, dense in ((3, functional.max_pool2d(x, 3, 1, 1)), (2, functional.max_pool2d(x, 2, 1))):
        pool = ResNet((1,), 5, "blur3", max_size=side).maxpool
        assert close(pool(x), BlurPool(2)(dense), 1e-6)
    assert isinstance(ResNet((1,), 5).maxpool, nn.MaxPool2d)


def test_both_branches_of_a_block_keep_the_same_grid():
    """Circular, a network with adaptive sampling in its strided blocks is exactly invariant."""

    def circular(pooling):
        model = ResNet((1, 1, 1), 5, pooling, form="cifar").double().eval()
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d):
                layer.padding_mode = "circular"
        return model

    model = circular(partial(aps, norm="l2", padding_mode="circular"))
    assert_shift_equivariant(model, (2, 3, 12, 16), rtol=1e-10)
    for stage in (model.layer2, model.layer3):
        stage[0].shared_choice = stage[0].pool.return_index = False
    with pytest.raises(AssertionError, match="not shift equivariant"):
        assert_shift_equivariant(model, (2, 3, 12, 16), rtol=1e-10)


def test_circular_vgg_with_adaptive_sampling_is_invariant():
    x, shifts = (2, 3, 32, 32), [(1, 0), (0, 3), (5, 6), (17, 31)]
    invariant = VGG13(pooling="aps-l2", padding_mode="circular").double().eval()
    assert_shift_equivariant(invariant, x, shifts, rtol=1e-10)
    plain = VGG13(padding_mode="circular").double().eval()
    assert_shift_equivariant(plain, (2, 3, 32, 64), [(0, 32)], rtol=1e-10)
    with pytest.raises(AssertionError, match="not shift equivariant"):
        assert_shift_equivariant(plain, x, shifts, rtol=1e-5)


def test_average_pooling_is_the_rectangle_of_two_taps():
    state = DenseNet(10, 4, 5).state_dict()
    x = torch.randn(2, 3, 16, 20)
    outputs = []
    for pooling in ("average", "rectangle2", "blur3"):
        model = DenseNet(10, 4, 5, pooling).eval()
        load_weights(model, state)
        outputs.append(model(x))
    assert close(outputs[1], outputs[0], 1e-5)
    assert not close(outputs[2], outputs[0], 1e-3)


def test_sound_network_written_out():
    """Mean over frequency, the last axis, then maximum over time; dense maxima in all four blocks."""
    model = VGG41(5, intrablock=True).eval()
    nn.init.normal_(model.classifier.weight)
    x = torch.randn(2, 1, 101, 96)
    features = {}
    model.features.register_forward_hook(lambda module, given, output: features.update(map=output))
    y = model(x)
    assert features["map"].shape == (2, 256, 13, 12)
    summary = features["map"].detach().numpy().mean(3).max(2)
    expected = summary @ model.classifier.weight.detach().numpy().T + model.classifier.bias.detach().numpy()
    np.testing.assert_allclose(y.detach().numpy(), expected, rtol=1e-4, atol=1e-6)
    dense = [module for module in model.modules() if isinstance(module, IntraBlockPool)]
    assert [type(part) for part in model.features.block4] == [nn.Sequential, IntraBlockPool, nn.Sequential]
    assert len(dense) == 4 and not any(isinstance(module, IntraBlockPool) for module in VGG41().modules())


# ---- choice of the pooling ------------------------------------------------------------------------------------------


def test_plain_pooling_is_torch_s_own():
    site = square_site("max", 3, 2, 1, 8, "pool", ceil_mode=True)
    pool = pooling_at(site, "max")
    assert type(pool) is nn.MaxPool2d and (pool.kernel_size, pool.stride, pool.ceil_mode) == ((3, 3), (2, 2), True)
    assert type(pooling_at(square_site("average", 2, 2, 0, 8, "pool"), "average")) is nn.AvgPool2d
    assert type(pooling_at(Site("max", (2,), (2,), (0,), 8), "max")) is nn.MaxPool1d


@pytest.mark.parametrize("mode", ["zeros", "circular"])
@pytest.mark.parametrize("name", OPERATORS)
def test_named_pooling_halves_maps(name, mode):
    x = torch.randn(2, 8, 12, 10)
    assert pooling_at(square_site("max", 2, 2, 0, 8, "pool"), name, mode)(x).shape == (2, 8, 6, 5)
    average = square_site("average", 2, 2, 0, 8, "pool")
    if re.fullmatch(r"tlpf(1x\d|\dx1)", name):  # one tap along an axis would let through more than the average
        with pytest.raises(ValueError, match="2x2"):
            pooling_at(average, name, mode)
    elif not name.endswith("-before"):
        assert pooling_at(average, name, mode)(x).shape == (2, 8, 6, 5)
    if not name.endswith("-before"):
        assert pooling_at(strided_site(8, "conv"), name, mode)(x).shape == (2, 8, 6, 5)


def test_trainable_pooling_starts_as_published():
    site = square_site("max", 2, 2, 0, 64, "pool")
    for name, shape in (("tlpf", (5, 5)), ("tlpf3", (3, 3)), ("tlpf1x4", (1, 4)), ("tlpf6x1", (6, 1))):
        low = pooling_at(site, name).stages[-1]
        assert isinstance(low, TLPF) and low.logits.shape == (64, 1, *shape)
        assert 0.005 < low.logits.std() < 0.02
    adaptive = pooling_at(site, "adaptive-blur").stages[-1]
    assert adaptive.softmax == "joint" and adaptive.groups == 8 and bool((adaptive.bn.weight == 1).all())


def test_trainable_filter_then_adaptive_sampling():
    pool = pooling_at(square_site("max", 2, 2, 0, 8, "pool"), "tlpf-aps-l1").double()
    low = next(module for module in pool.modules() if isinstance(module, TLPF))
    x = torch.randn(3, 8, 12, 10, dtype=torch.float64)
    dense = low.dense(MaxPool(2).dense(x))
    assert close(pool(x), APS(2, "l1")(dense), 1e-12)


def test_filter_before_the_maximum():
    x = torch.randn(2, 8, 12, 10)
    pool = pooling_at(square_site("max", 2, 2, 0, 8, "pool"), "blur5-before")
    assert close(pool(x), functional.max_pool2d(BlurPool(1, taps=5)(x), 2), 1e-6)
    with pytest.raises(ValueError, match="pool1: a filter before the maximum needs a max pooling, not average"):
        pooling_at(square_site("average", 2, 2, 0, 8, "pool1"), "blur5-before")


def test_the_border_of_the_convolutions_is_that_of_the_pooling():
    model = VGG13(pooling="blur5", padding_mode="circular")
    modes = {m.padding_mode for m in model.modules() if hasattr(m, "padding_mode")}
    assert modes == {"circular"}
    modes = {m.padding_mode for m in VGG13(pooling="blur5").modules() if isinstance(m, BlurPool)}
    assert modes == {"reflect"}


def test_a_factory_sees_every_place():
    sites = []

    def factory(site):
        sites.append((site.name, site.kind, site.channels))
        return MaxPool(site.kernel_size, site.stride, site.padding)

    AlexNet(5, factory)
    assert sites == [
        ("features.2.0", "convolution", 64),
        ("features.2.1", "max", 64),
        ("features.5", "max", 192),
        ("features.12", "max", 256),
    ]
    sites.clear()
    ResNet((1, 1), 5, factory)
    assert sites == [
        ("maxpool", "max", 64),
        ("layer2.0.pool", "convolution", 128),
        ("layer2.0.shortcut_pool", "convolution", 64),
    ]


@pytest.mark.parametrize(
    ("pooling", "error", "message"),
    [
        ("blurr3", ValueError, "'blurr3'.*'blur3'"),
        ("???", ValueError, r"'\?\?\?'.*max, average, blur2"),
        ("average", ValueError, "'average' at layer2.0.pool: there is no pooling layer, only a stride"),
        ("cmod", ValueError, "'cmod' is a remedy for whole networks"),
        ("intrablock", ValueError, "'intrablock' is a remedy for whole networks"),
        (3, TypeError, "pooling must be a name or a factory, not int"),
        (lambda site: 3, TypeError, "pooling made int at maxpool, expected a module"),
    ],
)
def test_bad_pooling(pooling, error, message):
    with pytest.raises(error, match=message):
        ResNet((1, 1), 5, pooling)


def test_averages_in_place_of_maxima_and_the_reverse():
    averaged = [m for m in VGG13(pooling="average").modules() if isinstance(m, nn.AvgPool2d)]
    assert len(averaged) == 5 and averaged[0].kernel_size == (2, 2)
    assert sum(isinstance(m, nn.MaxPool2d) for m in DenseNet(pooling="max").modules()) == 2


# ---- weights at the start -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [partial(ResNet, R18), VGG13, DenseNet])
def test_convolutions_start_by_what_goes_out(make):
    layers = [m for m in make().modules() if isinstance(m, nn.Conv2d) and m.weight.numel() > 2_000]
    assert len(layers) > 8
    for layer in layers:
        outgoing = layer.out_channels * layer.kernel_size[0] * layer.kernel_size[1]
        spread = 5 / layer.weight.numel() ** 0.5
        assert layer.weight.std().item() == pytest.approx((2 / outgoing) ** 0.5, rel=spread)
        assert layer.bias is None or not layer.bias.any()


def test_sound_networks_start_small():
    for layer in VGG41().modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            assert layer.weight.std().item() == pytest.approx(0.01, rel=0.15)
            assert layer.bias is None or not layer.bias.any()


# ---- what torch expects ---------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize("pooling", ["plain", "blur3", "aps-l1", "tlpf"])
def test_outputs_and_gradients(name, pooling):
    model, x = small(name, **({} if pooling == "plain" else {"pooling": pooling}))
    y = model(x.requires_grad_())
    assert y.shape == (2, 5)
    y.square().sum().backward()
    assert x.grad.isfinite().all() and x.grad.abs().max() > 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


@EVERY
def test_channels_last_and_autocast(name):
    model, x = small(name)
    with torch.no_grad():
        model(x)  # running moments of something
        expected = model.eval()(x)
        for memory in (torch.channels_last, torch.contiguous_format):
            assert close(model.to(memory_format=memory)(x.to(memory_format=memory)), expected, 1e-4)
        with torch.autocast("cpu", torch.bfloat16):
            y = model(x)
    assert y.dtype == torch.bfloat16 and close(y.float(), expected, 0.1)


@pytest.mark.slow
def test_compiles_without_a_graph_break():
    torch._dynamo.reset()
    model, x = small("ResNet", pooling="aps-l1")
    with torch.no_grad():
        model.eval()
        assert close(torch.compile(model, fullgraph=True, backend="aot_eager")(x), model(x), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ResNet", "DenseNet", "VGG41"])
def test_exported_programs_take_any_batch(name):
    model, x = small(name, pooling="blur3")
    program = torch.export.export(model.eval(), (x,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    program = torch.export.load(file)
    x = torch.randn(3, *x.shape[1:])
    with torch.no_grad():
        assert close(program.module()(x), model(x), 1e-5)


# ---- bad input ------------------------------------------------------------------------------------------------------


@EVERY
def test_bad_input(name):
    model, x = small(name)
    channels = x.shape[1]
    with pytest.raises(ValueError, match=rf"takes {channels} channels, \(N, .*; got shape \(2, 4, "):
        model(torch.randn(2, 4, 64, 64))
    with pytest.raises(ValueError, match=rf"takes {channels} channels.* got shape \(64, 64\)"):
        model(torch.randn(64, 64))
    with pytest.raises(TypeError, match="uint8"):
        model(torch.zeros(2, channels, 64, 64, dtype=torch.uint8))
    with pytest.raises(TypeError, match="not ndarray"):
        model(np.zeros((2, channels, 64, 64)))


@pytest.mark.parametrize(("name", "least"), [("AlexNet", 63), ("VGG13", 32), ("DenseNet", 4)])
@pytest.mark.parametrize("pooling", ["plain", "blur3", "aps-l1"])
def test_the_least_size_is_the_least_that_fits(name, least, pooling):
    model = SMALL[name][0](**({} if pooling == "plain" else {"pooling": pooling})).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 3, least, least)).isfinite().all()
    with pytest.raises(ValueError, match=rf"from {least}×{least} on.* got shape \(1, 3, 90, {least - 1}\)"):
        model(torch.randn(1, 3, 90, least - 1))


@pytest.mark.parametrize("name", ["ResNet", "ResNet cifar", "VGG41"])
def test_every_size_fits_the_others(name):
    model, x = small(name)
    with torch.no_grad():
        assert model.eval()(x[:, :, :1, :1]).shape == (2, 5)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: ResNet(form="ImageNet"), ValueError, "unknown form 'ImageNet'; expected one of imagenet, cifar"),
        (lambda: ResNet(()), ValueError, "blocks is empty"),
        (lambda: ResNet((1, 0)), ValueError, "blocks is 0; expected at least 1"),
        (lambda: ResNet((1,), max_size=4), ValueError, "max_size is 4; expected 3 or 2"),
        (lambda: ResNet((1,), 0), ValueError, "classes is 0; expected at least 1"),
        (lambda: VGG13(10.0), TypeError, "classes must be an integer, not float"),
        (lambda: DenseNet(41), ValueError, "depth is 41; expected 4 more than a multiple of 3"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_sound_networks_as_in_the_released_code():
    def modules(kind, model):
        return [module for module in model.modules() if isinstance(module, kind)]

    for pooling, kind in (("blur3", BlurPool), ("tlpf5", TLPF), ("tlpf-aps-l1", TLPF)):
        printed, released = (VGG41(2, pooling, width=0.125, intrablock=True, released=r) for r in (False, True))
        assert {module.padding_mode for module in modules(kind, printed)} == {"reflect"}
        assert {module.padding_mode for module in modules(kind, released)} == {"zeros"}
        assert {module.padding_mode for module in modules(APS, released)} <= {"reflect"}
        assert len(modules(IntraBlockPool, printed)) == 4 and len(modules(IntraBlockPool, released)) == 3
        printed, released = (VGG41(2, pooling, width=0.125, released=r).eval() for r in (False, True))
        released.load_state_dict(printed.state_dict())
        x = torch.randn(1, 1, 101, 96)
        with torch.no_grad():
            maps = [model.features(x) for model in (printed, released)]
        assert maps[0].shape == maps[1].shape and not torch.allclose(*maps, rtol=1e-3, atol=0)
    assert modules(TLPF, networks.create("vgg41-tlpf5-aps-l1", released=True, width=0.125))
