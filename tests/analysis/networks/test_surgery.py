"""Other pooling in trained networks: sizes, centres, weights, reports; the complex first layer against scipy."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
from scipy import signal

import wavelets

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from analysis.networks import (  # noqa: E402
    APS,
    TLPF,
    AdaptiveBlurPool,
    BlurPool,
    Cascade,
    MaxBlurPool,
    MaxPool,
    band_pass_channels,
    create,
    places,
    remedies,
    remedy,
    replace_pooling,
    to_cmod,
)
from analysis.networks import insert_intrablock as insert  # noqa: E402
from analysis.networks.cmod_surgery import filters_of  # noqa: E402
from analysis.networks.layer_access import behaves_as  # noqa: E402
from analysis.networks.operator_table import OPERATORS, WHOLE_NETWORK, blur  # noqa: E402
from analysis.networks.replaceable import Slicing  # noqa: E402
from analysis.networks.site import square_site  # noqa: E402

C = 8
IN_PLACE = [name for name, r in remedies().items() if r.factory]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def network(pool=None, convolution=None):
    """Two blocks in the manner of AlexNet, in evaluation."""
    return nn.Sequential(
        convolution or nn.Conv2d(3, C, 5, stride=2, padding=2),
        nn.BatchNorm2d(C),
        nn.ReLU(),
        pool or nn.MaxPool2d(3, 2),
        nn.Conv2d(C, C, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(C, C, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
    ).eval()


class Residual(nn.Module):
    """A block with a ReLU used twice, a strided convolution and a strided shortcut, as those of torchvision."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(C, C, 3, 2, 1, bias=False), nn.BatchNorm2d(C)
        self.conv2, self.bn2 = nn.Conv2d(C, C, 3, 1, 1, bias=False), nn.BatchNorm2d(C)
        self.relu = nn.ReLU()
        self.downsample = nn.Conv2d(C, C, 1, 2)

    def forward(self, x):
        y = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class Branching(nn.Module):
    """A model whose path depends on what it is given, which torch.fx cannot trace."""

    def __init__(self):
        super().__init__()
        self.body = network()

    def forward(self, x):
        return self.body(x) if x.mean() > -1e9 else x


class BranchingBetween(nn.Sequential):
    """The same in the code that calls the convolution and the pooling."""

    def __init__(self):
        super().__init__(*network())

    def forward(self, x):
        return super().forward(x) if x.mean() > -1e9 else x


def images(height=64, width=64, batch=2):
    return torch.randn(batch, 3, height, width)


def close(a, b, tolerance=1e-6):
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * b.abs().max().clamp(min=1))


def same_weights(a, b):
    return all(torch.equal(value, b[key]) for key, value in a.items())


# ---- pooling --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", IN_PLACE)
def test_every_remedy_keeps_sizes_and_weights(name):
    model, x = network(), images()
    before, expected = copy.deepcopy(model.state_dict()), model(x)
    new, changes = remedy(name)(model, x)
    assert new(x).shape == expected.shape
    assert same_weights(before, new.state_dict())
    assert close(model(x), expected) and [type(m) for m in model] == [type(m) for m in network()]
    whole = ["0"] if name.startswith("aps") or name == "ideal" else []
    assert [change.name for change in changes] == [*whole, "3", "8"]
    assert "MaxPool2d(kernel_size=3" in changes[-2].before and "MaxPool" in changes[-2].after
    assert str(changes[-1]).startswith("8: MaxPool2d(kernel_size=2") and "\n" not in str(changes[1])
    added = set(new.state_dict()) - set(before)
    assert bool(added) == (name in ("tlpf", "adaptive-blur"))


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 0), (3, 2, 1), (2, 2, 1), (5, 3, 2)])
def test_the_maximum_is_that_of_the_layer_at_every_size(kernel, stride, padding, ceil_mode):
    model = nn.Sequential(nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil_mode))
    plain, _ = replace_pooling(
        model, lambda site: MaxPool(site.kernel_size, site.stride, site.padding, "zeros", site.ceil_mode)
    )
    for height, width in zip(range(8, 14), itertools.cycle((9, 12, 12, 9))):  # every pair of parities
        x = images(height, width)
        assert torch.equal(plain(x), model(x))
        for name in ("blur3", "blur4", "aps-l1"):
            pooled, _ = replace_pooling(model, name, padding_mode="replicate")
            assert pooled(x).shape == model(x).shape
    x = torch.full((1, 3, 12, 12), 2.5)
    for name in ("blur5", "aps-l2", "tlpf", "adaptive-blur"):
        pooled, _ = remedy(name)(model, x)
        assert close(pooled.eval()(x), model(x))


def test_one_dimension():
    model = nn.Sequential(
        nn.Conv1d(2, C, 3), nn.ReLU(), nn.MaxPool1d(3, 2, 1), nn.Conv1d(C, C, 3), nn.AvgPool1d(2)
    ).eval()
    x = torch.randn(2, 2, 41)
    for name in IN_PLACE:
        pooled, changes = remedy(name)(model, x, types=(nn.MaxPool1d, nn.AvgPool1d))
        assert pooled.eval()(x).shape == model(x).shape and len(changes) == 2


@pytest.mark.parametrize("name", ["blur2", "blur3", "blur4", "blur5", "aps-l1", "tlpf", "adaptive-blur"])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 2, 0), (4, 4, 0)])
def test_average_pooling_keeps_its_size_and_its_centres(kernel, stride, padding, name):
    model = nn.Sequential(nn.AvgPool2d(kernel, stride, padding, count_include_pad=False))
    if (name.startswith("blur") and int(name[4:]) < kernel and stride == 2) or (name, kernel) == ("adaptive-blur", 4):
        for where in ({"names": ["0"]}, {"types": nn.AvgPool2d}):
            with pytest.raises(ValueError, match="lets more through than the average"):
                remedy(name)(model, images(16, 16)[:, :C], **where)
        return
    for n in range(14, 20):
        x = torch.arange(n, dtype=torch.float32).expand(1, C, n, n)  # a ramp: windows give their centres
        pooled, _ = remedy(name)(model, x, types=nn.AvgPool2d, padding_mode="replicate")
        y, expected = pooled.eval()(x), model(x)
        assert y.shape == expected.shape
        if not name.startswith("aps"):
            taps = {"tlpf": 5, "adaptive-blur": 3}.get(name) or (int(name[4:]) - 1) * (stride - 1) + 1
            off = 0 if (kernel - taps) % 2 == 0 else 0.5
            inner = slice(2, expected.shape[-1] - 2)
            assert (y - expected)[0, 0, 0, inner].abs().allclose(torch.tensor(float(off)), atol=1e-5)


@pytest.mark.parametrize("side", [1, 2, 3])
@pytest.mark.parametrize("name", IN_PLACE)
def test_the_last_maps_may_be_smaller_than_the_filter(name, side):
    model, x = nn.Sequential(nn.Conv2d(3, C, 3, padding=1), nn.MaxPool2d(2, ceil_mode=side == 1)), images(side, side)
    pooled, _ = remedy(name)(model, x)  # as in VGG13 on pictures of 32x32, whose last maps are 2x2
    y = pooled.eval()(x)
    assert y.shape == (2, C, 1, 1) and y.isfinite().all()
    if side == 2:  # one maximum, continued by itself
        sums = 1.0 if name != "adaptive-blur" else pooled[1][1].weights(model[0](x)[..., :1, :1]).sum(2).mean()
        assert close(y, sums * model(x), 1e-5)


def test_rectangles_of_the_same_side_are_average_pooling():
    model, x = nn.Sequential(nn.AvgPool2d(2)), images(9, 12)
    pooled, _ = remedy("rectangle2")(model, types=nn.AvgPool2d)
    assert close(pooled(x), model(x))


def test_circular_pooling_sees_as_many_samples_as_there_are():
    model = nn.Sequential(nn.MaxPool2d(2))
    pooled, _ = replace_pooling(model, "aps-l2", padding_mode="circular")
    x = images(8, 12)
    y, moved = pooled(x), pooled(x.roll((1, 1), (2, 3)))
    assert torch.allclose(y.flatten(1).sort().values, moved.flatten(1).sort().values)


def circular_windows(x, kernel, stride, padding, counts):
    """Maxima of the windows of a max pooling on a period, by indices."""
    for axis, n in zip((2, 3), counts, strict=True):
        starts = torch.arange(n)[:, None] * stride - padding
        index = (starts + torch.arange(kernel)) % x.shape[axis]
        x = x.index_select(axis, index.flatten()).unflatten(axis, index.shape).amax(axis + 1)
    return x


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(
    ("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 0), (3, 2, 1), (2, 2, 1), (5, 3, 1), (2, 3, 0)]
)
def test_circular_pooling_keeps_sizes_and_centres(kernel, stride, padding, ceil_mode):
    model = nn.Sequential(nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil_mode))
    for height, width in zip(range(7, 13), itertools.cycle((9, 12, 12, 9))):
        x = images(height, width)
        sizes = model(x).shape
        for name in ("blur3", "blur4", "aps-l1"):
            assert replace_pooling(model, name, padding_mode="circular")[0](x).shape == sizes
        options = {"taps": 1, "filter": "rectangle", "padding_mode": "circular"}  # leaves the maximum as it is
        y = replace_pooling(model, blur, **options)[0](x)
        expected = circular_windows(x, kernel, stride, padding, sizes[2:])
        assert torch.equal(y, expected)


def test_circular_blur_moves_with_its_input():
    model = nn.Sequential(nn.MaxPool2d(2))
    pooled, _ = replace_pooling(model, "blur3", padding_mode="circular")
    x = images(8, 12)
    assert close(pooled(x.roll((2, 4), (2, 3))), pooled(x).roll((1, 2), (2, 3)))


@pytest.mark.parametrize("pair", [("vgg13", "blur4"), ("vgg13", "rectangle3"), ("densenet40", "blur5")])
def test_maps_are_continued_as_the_network_does(pair):
    plain, built = create(pair[0]).eval(), create("-".join(pair)).eval()  # circular
    built.load_state_dict(plain.state_dict())
    pooled, _ = remedy(pair[1])(plain)
    x = images(32, 32, 1)
    assert close(pooled(x), built(x)) and not close(pooled(x), plain(x))


def test_the_nearest_convolution_that_pads_says_how_maps_are_continued():
    def modes(*layers, operator="blur3", **options):
        pooled, _ = replace_pooling(nn.Sequential(*layers), operator, **options)
        return [m.padding_mode for m in pooled.modules() if isinstance(m, BlurPool)]

    def conv(mode, padding=1):
        return nn.Conv2d(3, 3, 3, padding=padding, padding_mode=mode)

    pool, alone = nn.MaxPool2d(2), conv("circular", 0)  # pads nothing
    assert modes(conv("circular"), nn.MaxPool2d(2), conv("replicate"), alone, pool) == ["circular", "replicate"]
    assert modes(pool, conv("circular")) == ["circular"] and modes(pool, alone, conv("zeros")) == ["reflect"]
    assert modes(conv("circular"), pool, padding_mode="zeros") == ["zeros"]
    assert modes(conv("circular"), pool, operator=lambda site: BlurPool()) == ["reflect"]  # one's own is asked nothing
    assert modes(pool) == ["reflect"]


def test_names_types_modules_factories_and_in_place():
    x = images()
    assert [c.name for c in replace_pooling(network(), "blur3", names=["8"])[1]] == ["8"]
    assert [c.name for c in replace_pooling(network(), "blur3", names=["8", "0"], types=nn.MaxPool2d)[1]] == ["8"]
    model = network()
    same, _ = replace_pooling(model, MaxBlurPool(2, taps=5), names=["8"], inplace=True)
    assert same is model and isinstance(model[8], MaxBlurPool)

    def factory(site, taps):
        assert (site.kind, site.kernel_size, site.stride, site.padding) == ("max", (2, 2), (2, 2), (0, 0))
        assert (site.channels, site.name, site.dims) == (C, "8", 2)
        return MaxBlurPool(site.kernel_size, taps=taps)

    by_factory, _ = replace_pooling(network(), factory, names=["8"], example=x, taps=5)
    torch.manual_seed(0)
    assert by_factory[8][1].taps == (5, 5)


@pytest.mark.parametrize("name", ["blur3", "aps-l1", "tlpf", "adaptive-blur"])
def test_operators_are_where_the_model_is_and_of_its_dtype(name):
    for types in (nn.MaxPool2d, nn.Conv2d):
        model, x = network().double(), images().double()
        pooled, _ = remedy(name)(model, x, types=types)
        assert {p.dtype for p in pooled.parameters()} == {torch.float64} and pooled.eval()(x).dtype == torch.float64
        model, x = network().to("meta"), images().to("meta")
        pooled, _ = remedy(name)(model, x, types=types)
        assert {t.device.type for t in (*pooled.parameters(), *pooled.buffers())} == {"meta"}
        assert pooled.eval()(x).shape == model(x).shape


def test_the_nearest_parameter_before_a_layer_decides():
    model = nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, C, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(C, C, 3).half())
    model[1].to(torch.bfloat16)
    pooled, _ = replace_pooling(model, lambda site: TLPF(C, 3))
    assert pooled[0].logits.dtype == pooled[3].logits.dtype == torch.bfloat16
    model[3] = nn.Sequential(nn.Conv2d(C, C, 3).double(), nn.MaxPool2d(2))
    assert replace_pooling(model, lambda site: TLPF(C, 3))[0][3][1].logits.dtype == torch.float64


def test_a_layer_in_two_places_is_replaced_in_both():
    pool = nn.MaxPool2d(2)
    model, changes = replace_pooling(nn.Sequential(pool, nn.ReLU(), pool), "blur3")
    assert model[0] is model[2] and isinstance(model[0], Cascade) and len(changes) == 1


class Uneven(nn.Module):
    """A pooling used with two numbers of channels, and one that is not used."""

    def __init__(self):
        super().__init__()
        self.conv, self.pool, self.unused = nn.Conv2d(3, C, 3), nn.MaxPool2d(2), nn.MaxPool2d(2)

    def forward(self, x):
        return self.pool(self.conv(self.pool(x)))


def test_channels_that_the_example_does_not_tell():
    for names, reason in (
        (["pool"], "the example uses it with 3 and 8"),
        (["unused"], "the example does not reach it"),
    ):
        with pytest.raises(ValueError, match=f"layer '{names[0]}' .* needs its number of channels; {reason}$"):
            replace_pooling(Uneven(), "tlpf", names=names, example=images())
    x = images()
    assert replace_pooling(Uneven(), "blur3", example=x)[0](x).shape == Uneven()(x).shape  # needs none


@pytest.mark.parametrize(("channels", "groups"), [(3, 1), (6, 2), (12, 4), (48, 8)])
def test_adaptive_filters_have_groups_that_divide_the_channels(channels, groups):
    x = torch.randn(2, channels, 8, 8)
    pooled, _ = remedy("adaptive-blur")(nn.Sequential(nn.MaxPool2d(2)), x)
    assert pooled[0][1].groups == groups and pooled.eval()(x).shape == (2, channels, 4, 4)


def test_modes_are_as_they_were():
    model = network().train()
    model[3].eval()
    statistics = copy.deepcopy(model.state_dict())
    pooled, _ = remedy("adaptive-blur")(model, images())
    assert pooled[8][1].training and not pooled[3][1].training and pooled[1].training
    assert same_weights(statistics, pooled.state_dict())  # the example did not move any


def test_what_wraps_a_layer_has_its_mode():
    for model, _ in (replace_pooling(network(), "blur3", types=nn.Conv2d), insert(network(), names=["1"])):
        assert not any(module.training for module in model.modules())


def test_average_pooling_is_replaced_where_it_subsamples():
    model = nn.Sequential(nn.Conv2d(3, C, 3), nn.AvgPool2d(3, 1), nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1))
    pooled, changes = remedy("blur3")(model)
    assert [c.name for c in changes] == ["2"]
    assert isinstance(pooled[2], BlurPool)
    both = nn.Sequential(nn.MaxPool2d(2), *model)
    assert [c.name for c in remedy("blur3")(both)[1]] == ["0", "3"]
    strided = nn.Sequential(nn.Conv2d(3, C, 3, 2), nn.AvgPool2d(3, 1))
    assert [c.name for c in remedy("blur3")(strided)[1]] == ["0"]
    with pytest.raises(ValueError, match=r"names=\[...\] of those that subsample: 0 \(Conv2d\)$"):
        remedy("blur3")(strided, types=nn.MaxPool2d)


def test_a_remedy_that_finds_all_filters_too_short_changes_nothing_and_says_so():
    model = nn.Sequential(nn.Conv2d(3, C, 3), nn.AvgPool2d(7), nn.Conv2d(C, C, 1))
    with pytest.raises(ValueError, match=r"'1': .* average over 7x7"):
        remedy("tlpf")(model)


def test_only_what_subsamples_is_replaced():
    def names(*layers, operator="blur3"):
        return [c.name for c in remedy(operator)(nn.Sequential(*layers), torch.randn(1, 3, 64, 64))[1]]

    conv, head = nn.Conv2d(3, 3, 3, padding=1), (nn.Flatten(), nn.LazyLinear(2))
    inside = (nn.MaxPool2d(3, 1, 1), nn.MaxPool2d(3, 2, 1), nn.MaxPool2d((1, 1)), nn.MaxPool2d((2, 1)))  # as GoogLeNet
    for operator in ("blur3", "aps-l2", "tlpf", "ideal"):
        assert names(conv, *inside, operator=operator) == ["2", "4"]
    assert names(conv, nn.MaxPool2d(2), conv, nn.AvgPool2d(7), *head) == ["1"]  # the head's average
    assert names(conv, nn.AvgPool2d(2), conv, nn.AvgPool2d(7), nn.ReLU(), *head) == ["1"]
    assert names(conv, nn.MaxPool2d(2), conv, nn.AvgPool2d(2), nn.AvgPool2d(16), *head) == ["1", "3"]
    assert names(conv, nn.MaxPool2d(2), nn.AvgPool2d(5, 2), conv) == ["1"]  # 3 taps would let more through than 5
    assert names(conv, nn.MaxPool2d(2), nn.AvgPool2d(5, 2), conv, operator="blur5") == ["1", "2"]
    assert names(conv, nn.MaxPool2d(2), nn.AvgPool2d(5, 2), conv, operator="aps-l2") == ["1", "2"]
    assert names(conv, nn.AvgPool2d(3, 1), nn.MaxPool2d(2), nn.AvgPool2d(4, 4)) == ["2", "3"]  # 7 taps at stride 4


@pytest.mark.parametrize("name", ["blur3", "aps-l2", "tlpf", "adaptive-blur", "ideal", "rectangle3"])
@pytest.mark.parametrize(("kernel", "padding"), [(2, 0), (3, 1), (3, 0)])
@pytest.mark.parametrize("circular", [False, True])
def test_averages_in_ceil_mode(kernel, padding, name, circular):
    model = nn.Sequential(nn.AvgPool2d(kernel, 2, padding, ceil_mode=True, count_include_pad=False))
    options = {"padding_mode": "circular"} if circular else {}
    for n in (6, 7, 8, 9):  # 6 and 8 have no window that hangs over, as in ResNet-50-D
        x = torch.randn(2, C, n, n)
        pooled, _ = remedy(name)(model, x, **options)
        y = pooled.eval()(x)
        assert y.shape == model(x).shape and y.isfinite().all()
        if name == "rectangle3" and kernel == 3 and n % 2 == 1 and not circular:
            inner = slice(1, (n - 1) // 2 - 1)
            assert torch.allclose(y[..., inner, inner], model(x)[..., inner, inner], atol=1e-6)


def test_adaptive_sampling_of_an_average_averages():
    model, x = nn.Sequential(nn.AvgPool2d(2)), images(8, 12)
    for mode in ("reflect", "circular"):
        y = remedy("aps-l2")(model, padding_mode=mode)[0](x)
        grids = [functional.avg_pool2d(x.roll((-i, -j), (2, 3)), 2) for i in (0, 1) for j in (0, 1)]
        if mode == "circular":
            best = torch.stack([g.square().sum((1, 2, 3)) for g in grids]).argmax(0)
            assert close(y, torch.stack([grids[int(b)][i] for i, b in enumerate(best)]))
        assert y.shape == grids[0].shape


@pytest.mark.parametrize("stride", [3, 4, 8])
def test_filters_are_as_long_as_the_stride_asks_for(stride):
    w = np.linspace(0, np.pi, 4097)
    site = square_site("convolution", 1, stride, 0, C, "conv")
    h = blur(site).factors[0]
    power = np.abs(signal.freqz(h, worN=w)[1]) ** 2
    short = np.abs(signal.freqz([0.25, 0.5, 0.25], worN=w)[1]) ** 2
    beyond = [p[w > np.pi / stride].sum() / p.sum() for p in (power, short)]
    assert len(h) == 2 * (stride - 1) + 1 and np.isclose(h.sum(), 1)
    assert beyond[0] < 0.08 and beyond[1] > 0.2
    if stride in (4, 8):  # the same as two or three times a blur of stride 2
        x = torch.randn(1, C, 64, 64, dtype=torch.float64)
        y = x
        for _ in range(int(np.log2(stride))):
            y = BlurPool(padding_mode="circular")(y)
        assert close(blur(site, padding_mode="circular")(x), y, 1e-12)


@pytest.mark.parametrize("norm", ["l1", "l2", "linf"])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30, 3e37])
def test_the_choice_of_adaptive_sampling_knows_no_scale(norm, scale):
    x = torch.rand(5, 3, 8, 8) + 0.1
    x[:, :, 1::2, ::2] *= 1.5
    pool = APS(norm=norm, return_index=True)
    y, index = pool(x * scale)
    assert torch.equal(index, pool(x)[1]) and y.isfinite().all()
    assert torch.equal(pool(torch.zeros(2, 3, 4, 4))[1], torch.tensor([0, 0]))


def test_complex_layers_take_memory_formats():
    for dims, conv, pool in ((2, nn.Conv2d, nn.MaxPool2d), (1, nn.Conv1d, nn.MaxPool1d)):
        model = nn.Sequential(conv(3, C, 5, 1, 2), nn.ReLU(), pool(3, 2)).eval()
        x = torch.randn(2, 3, *(16,) * dims)
        for options in ({}, {"channels": [1, 4]}):
            cmod, _ = to_cmod(model, "0", **options)
            expected = cmod(x)
            assert close(cmod.to(memory_format=torch.channels_last)(x), expected)
            if dims == 2:
                assert close(cmod(x.to(memory_format=torch.channels_last)), expected)
            assert close(cmod.double()(x.double()).float(), expected, 1e-5)
            assert cmod.to(torch.bfloat16)(x.bfloat16()).shape == expected.shape


# ---- strided convolutions -------------------------------------------------------------------------------------------


def test_blur_follows_the_relu_after_a_strided_convolution():
    model, x = network(), images(45, 50)
    pooled, changes = replace_pooling(model, "blur3", types=nn.Conv2d)
    dense = functional.conv2d(x, model[0].weight, model[0].bias, 1, 2)
    expected = model[3:](BlurPool()(model[1:3](dense)))
    assert close(pooled(x), expected) and pooled(x).shape == model(x).shape
    assert pooled.state_dict().keys() == model.state_dict().keys()
    assert [c.name for c in changes] == ["0"] and "then after 2: BlurPool" in changes[0].after


def test_blur_follows_the_first_call_of_a_shared_relu():
    model, x = Residual().eval(), torch.randn(2, C, 13, 16)
    pooled, changes = replace_pooling(model, "blur3", types=nn.Conv2d)
    assert pooled(x).shape == model(x).shape and pooled.state_dict().keys() == model.state_dict().keys()
    assert "after relu: BlurPool" in changes[0].after and "before the convolution: BlurPool" in changes[1].after
    y = BlurPool()(model.bn1(functional.conv2d(x, model.conv1.weight, None, 1, 1)).relu())
    y = model.bn2(model.conv2(y)) + functional.conv2d(BlurPool()(x), *model.downsample.parameters())
    assert close(pooled(x), y.relu())
    assert replace_pooling(Branching(), "blur3", types=nn.Conv2d)[1][0].name == "body.0"


@pytest.mark.parametrize("name", ["aps-l1", "tlpf", "adaptive-blur"])
def test_other_operators_take_the_stride_of_convolutions(name):
    model, x = network(), images(45, 50)
    pooled, _ = replace_pooling(model, name, names=["0"])
    assert pooled.eval()(x).shape == model(x).shape


class Smoothed(nn.Module):
    """A parametrization without an inverse."""

    def forward(self, weight):
        return (weight + weight.flip(-1)) / 3


class Shortened(nn.Module):
    """Strided convolutions, the second with a shortcut beside it, with or without an activation."""

    def __init__(self, wrap, activation):
        super().__init__()
        self.c1, self.c2 = wrap(nn.Conv2d(3, C, 3, 2, 1)), wrap(nn.Conv2d(C, C, 3, 2, 1))
        self.shortcut, self.act, self.fc = wrap(nn.Conv2d(C, C, 1, 2)), activation(), nn.Linear(C, 4)

    def forward(self, x):
        x = self.act(self.c1(x))
        return self.fc((self.act(self.c2(x)) + self.shortcut(x)).mean((2, 3)))


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Identity])
@pytest.mark.parametrize(
    "wrap",
    [
        nn.utils.parametrizations.weight_norm,
        nn.utils.parametrizations.spectral_norm,
        lambda layer: nn.utils.parametrize.register_parametrization(layer, "weight", Smoothed()),
    ],
)
def test_a_convolution_whose_weight_is_computed(wrap, activation):
    """The same places and outputs as with weights that are what was computed, which goes on to be."""
    model, x = Shortened(wrap, activation).eval(), images(32, 32)
    plain = Shortened(lambda layer: layer, activation).eval()
    for name in ("c1", "c2", "shortcut"):
        for key in ("weight", "bias"):
            getattr(plain.get_submodule(name), key).data = getattr(model.get_submodule(name), key).detach()
    plain.fc.load_state_dict(model.fc.state_dict())
    assert [p.name for p in places(model, x)] == [p.name for p in places(plain, x)] == ["c1", "c2", "shortcut", "mean"]
    for name in ("blur3", "aps-l2", "ideal"):
        new, changes = replace_pooling(model, name)
        other, expected = replace_pooling(plain, name)
        assert [c.name for c in changes] == [c.name for c in expected]
        assert torch.allclose(new(x), other(x), atol=1e-6)
        assert set(new.state_dict()) == set(model.state_dict())
        new(x).sum().backward()
        assert all(p.grad is not None for p in new.parameters())


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_a_weight_that_a_hook_computes_is_said_to_be_in_the_way_of_a_copy():
    model = network(convolution=nn.utils.weight_norm(nn.Conv2d(3, C, 5, 2, 2)))
    with pytest.raises(ValueError, match="a hook computes"):
        replace_pooling(model, "blur3")


def test_replaced_networks_compile_and_export():
    torch._dynamo.reset()
    x = images()
    pooled, _ = replace_pooling(Residual().eval(), "blur3", types=nn.Conv2d)
    z = torch.randn(2, C, 12, 12)
    compiled = torch.compile(pooled, fullgraph=True, backend="aot_eager")
    assert close(compiled(z), pooled(z), 1e-5)
    cmod, _ = to_cmod(network(), "0")
    assert close(torch.export.export(cmod, (x,)).module()(x), cmod(x), 1e-5)


# ---- intra-block pooling --------------------------------------------------------------------------------------------


def test_intra_block_pooling_stands_between_the_convolutions_of_a_block():
    model, x = network(), images()
    pooled, changes = remedy("intrablock")(model)
    expected = model[6:](functional.max_pool2d(model[:6](x), 3, 1, 1))
    assert close(pooled(x), expected) and [c.name for c in changes] == ["5"]
    assert pooled.state_dict().keys() == model.state_dict().keys()
    assert close(insert(model, names=["5"])[0](x), expected)
    flat = nn.Sequential(*network(), nn.Conv2d(C, C, 1), nn.Conv2d(C, C, 1))
    assert [c.name for c in insert(flat)[1]] == ["5", "9"]
    with pytest.raises(ValueError, match="no block with two convolutions"):
        insert(Residual())
    with pytest.raises(ValueError, match="no layer '9'"):
        insert(model, names=["9"])


@pytest.mark.parametrize("pooling", ["", "-blur5"])
def test_intra_block_pooling_in_nested_blocks_is_that_of_the_sound_networks(pooling):
    plain, built = create(f"vgg41{pooling}").eval(), create(f"vgg41{pooling}-ibp").eval()
    for a, b in zip(plain.parameters(), built.parameters(), strict=True):
        nn.init.normal_(a, 0, 0.1)
        b.data.copy_(a.data)
    pooled, changes = remedy("intrablock")(plain)
    x = torch.randn(1, 1, 21, 16)
    assert close(pooled(x), built(x)) and not close(pooled(x), plain(x))
    assert [c.name for c in changes] == [f"features.block{n}.0" for n in (1, 2, 3, 4)]


def test_intra_block_pooling_finds_nested_blocks():
    def block(inputs=C):
        return nn.Sequential(nn.Conv2d(inputs, C, 3, padding=1), nn.ReLU(), nn.Conv2d(C, C, 3, padding=1), nn.ReLU())

    def places(*layers):
        return [c.name for c in insert(nn.Sequential(*layers))[1]]

    pool, shared = nn.MaxPool2d(2), block()
    assert places(block(3), pool, block(), pool) == ["0.1", "2.1"]
    assert places(nn.Sequential(block(3), pool), nn.Sequential(block(), pool)) == ["0.0.1", "1.0.1"]
    assert places(nn.Conv2d(3, C, 3), pool, shared, pool, shared) == ["2.1"]
    assert places(pool, nn.Sequential(nn.Conv2d(3, C, 3)), nn.Sequential(nn.Conv2d(C, C, 3))) == ["1"]
    twin = [c.name for c in insert(create("walexnet-cmod", classes=2))[1]]  # its first stage pools inside
    plain = [c.name for c in insert(create("alexnet", classes=2))[1]]
    assert twin == plain == ["features.7"]


# ---- complex first layer --------------------------------------------------------------------------------------------


def direct_cmod(x, convolution, pool, grid):
    """|X * W| at the centres of the pooling windows, one by one in numpy; the image continued by zeros."""
    v = convolution.weight.detach().double().numpy()
    bias = np.zeros(len(v)) if convolution.bias is None else convolution.bias.detach().double().numpy()
    m, p = convolution.stride[0], convolution.padding[0]
    w = filters_of(torch.from_numpy(v), grid)
    side, q = w.shape[-1], (pool.kernel_size - 1) // 2
    first = (side - v.shape[-1]) // 2
    shape = pool(convolution(x)).shape
    margin = 4 * side
    filled = np.pad(x.double().numpy(), [(0, 0), (0, 0), (margin, margin), (margin, margin)])
    rows, columns = (margin - first - p + m * (pool.stride * np.arange(n) - pool.padding + q) for n in shape[2:])
    out = np.empty(shape)
    for example, channel in itertools.product(range(shape[0]), range(shape[1])):
        z = sum(
            signal.fftconvolve(plane, kernel[::-1, ::-1], "valid")
            for plane, kernel in zip(filled[example], w[channel], strict=True)
        )
        out[example, channel] = np.abs(z[np.ix_(rows, columns)]) + bias[channel]
    return torch.from_numpy(out).float()


@pytest.mark.parametrize("grid", [1, 2])
@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 2, 0), (3, 2, 1), (5, 2, 1), (1, 2, 0)])
@pytest.mark.parametrize(("side", "m", "p"), [(7, 2, 3), (6, 4, 0), (11, 4, 2)])
def test_cmod_is_the_modulus_at_the_centres(side, m, p, kernel, stride, padding, ceil_mode, grid):
    convolution = nn.Conv2d(3, 4, side, m, p)
    pool = nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil_mode)
    model = nn.Sequential(convolution, nn.ReLU(), pool)
    cmod, _ = to_cmod(model, "0", grid=grid)
    for height, width in ((60, 53), (57, 62)):
        x = images(height, width)
        expected = direct_cmod(x, convolution, pool, grid).relu()
        assert expected.shape == model(x).shape and close(cmod(x), expected, 1e-5)
        new = cmod[0]
        assert close(new.subsample(new.dense(x)), new(x), 1e-5)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular"])
def test_the_real_part_of_cmod_is_the_convolution_at_the_centres(mode):
    convolution = nn.Conv2d(3, 4, 7, 2, 3, bias=False, padding_mode=mode)
    model = nn.Sequential(convolution, nn.MaxPool2d(3, 2, 1))
    x = images(44, 48)
    cmod, _ = to_cmod(model, "0")
    with torch.no_grad():
        cmod[0].weight[:, 1] = 0
    assert close(cmod(x), convolution(x)[..., ::2, ::2].abs(), 1e-5)


def test_cmod_of_a_wave_is_its_amplitude_where_the_maximum_depends_on_the_phase():
    y, x = np.mgrid[-8:9, -8:9]
    envelope = np.exp(-(x**2 + y**2) / 18)
    theta = np.array([0.6, 1.1])
    convolution = nn.Conv2d(1, 1, 17, 2, bias=False)
    convolution.weight.data[0, 0] = torch.from_numpy(envelope * np.cos(theta[0] * y + theta[1] * x))
    model = nn.Sequential(convolution, nn.ReLU(), nn.MaxPool2d(3, 2))
    cmod, _ = to_cmod(model, "0")
    rows, columns = np.mgrid[:80, :80]
    waves = [np.cos(theta[0] * rows + theta[1] * columns + phase) for phase in np.linspace(0, 6, 7)]
    z = torch.from_numpy(np.array(waves)[:, None]).float()
    inside = (..., slice(4, -4), slice(4, -4))
    amplitude = envelope.sum() / 2
    assert cmod(z)[inside].sub(amplitude).abs().max() < 0.03 * amplitude
    assert model(z)[inside].std() > 3 * cmod(z)[inside].std()


def test_batch_normalisation_with_a_negative_scale():
    model, x = network(), images()
    torch.nn.init.normal_(model[1].weight)
    with torch.no_grad():
        model[1].running_mean.normal_()
        model[1].bias.normal_()
        model[0].bias.normal_()
    assert (model[1].weight < 0).any()
    turned, _ = to_cmod(model, "0")
    signs = model[1].weight.sign()[:, None, None]
    z = direct_cmod(x, nn.Conv2d(3, C, 5, 2, 2).requires_grad_(False), nn.MaxPool2d(3, 2), 2)  # sizes only
    bare = turned[0](x) - turned[0].bias[:, None, None]
    mean, bias = model[1].running_mean[:, None, None], model[0].bias[:, None, None]
    scale = (model[1].weight / (model[1].running_var + 1e-5).sqrt())[:, None, None]
    expected = scale.abs() * bare + scale * (bias - mean) + model[1].bias[:, None, None]
    assert bare.shape == z.shape and close(turned[:3](x), expected.relu(), 1e-5) and (signs < 0).any()


def test_cmod_through_the_registry_in_other_models():
    x = images()
    for model, layer in ((network(), "0"), (Branching().eval(), "body.0")):
        options = {"pool": "body.3"} if layer == "body.0" else {}
        turned, changes = remedy("cmod")(model, x, **options)
        assert turned(x).shape == model(x).shape and changes[0].name == layer
        assert "AlignedCMod" in changes[0].after and changes[1].after == "Identity()"

    class Functional(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pool = nn.Conv2d(3, 4, 5), nn.MaxPool2d(3, 2)

        def forward(self, x):
            return self.pool(functional.relu(self.conv(x)))

    model = Functional()
    assert close(to_cmod(model, "conv")[0](x), direct_cmod(x, model.conv, model.pool, 2).relu(), 1e-5)


@pytest.mark.parametrize(
    ("channels", "chosen"),
    [
        ([6, 1, 2], [1, 2, 6]),
        (np.arange(C) % 3 == 1, [1, 4, 7]),
        (torch.arange(C) > 4, [5, 6, 7]),
        ([True] * 3 + [False] * 5, [0, 1, 2]),
    ],
)
@pytest.mark.parametrize("bias", [False, True])
def test_chosen_channels_are_turned_and_the_others_stay(channels, chosen, bias):
    model, x = network(convolution=nn.Conv2d(3, C, 5, stride=2, padding=2, bias=bias)), images(61, 64)
    with torch.no_grad():
        for values in (model[1].weight, model[1].bias, model[1].running_mean):
            values.normal_()
    model[0].weight.requires_grad_(False)
    assert (model[1].weight < 0).any()
    mask = np.isin(np.arange(C), chosen)
    partly, changes = to_cmod(model, "0", channels=channels)
    turned, plain, all_turned = partly[:4](x), model[:4](x), to_cmod(model, "0")[0][:4](x)
    assert close(turned[:, ~mask], plain[:, ~mask]) and close(turned[:, mask], all_turned[:, mask])
    assert not close(turned[:, mask], plain[:, mask], 0.01)
    assert close(partly(x), model[4:](turned)) and [c.name for c in changes] == ["0", "3"]
    assert not partly[0].free.weight.requires_grad and not any(m.training for m in partly.modules())
    every = to_cmod(model, "0", channels=range(C))[0]
    assert every.state_dict().keys() == to_cmod(model, "0")[0].state_dict().keys()


def kernels_of_every_kind(side=15):
    """A wave, low passes, a dot, noise, nothing; with three channels."""
    y, x = np.mgrid[:side, :side] - side // 2
    envelope = np.exp(-(x**2 + y**2) / 20)
    dot, noise = (x == 0) & (y == 0), np.random.default_rng(0).standard_normal((side, side))
    planes = [envelope * np.cos(1.3 * x + 0.4 * y), envelope, np.ones_like(envelope), dot, noise, 0 * envelope]
    planes.append(envelope * np.sin(0.9 * y))
    colours = np.array([1.0, -0.5, 0.2])
    return torch.from_numpy(np.array(planes)[:, None] * colours[:, None, None]).float()


def test_waves_are_band_pass_and_blobs_are_not():
    weight = kernels_of_every_kind()
    expected = [True, False, False, False, False, False, True]
    for scale in (1.0, -1e-3):
        assert band_pass_channels(scale * weight).tolist() == expected
    assert not band_pass_channels(torch.zeros(2, 3, 5, 5)).any()


def test_the_band_pass_remedy_turns_the_band_pass_channels():
    convolution = nn.Conv2d(3, 7, 15, 2, 7)
    convolution.weight.data.copy_(kernels_of_every_kind())
    model, x = nn.Sequential(convolution, nn.ReLU(), nn.MaxPool2d(3, 2)), images()
    mask = np.array([True, False, False, False, False, False, True])
    turned = remedy("cmod-band-pass")(model, x)[0](x)
    assert close(turned[:, mask], remedy("cmod")(model)[0](x)[:, mask])
    assert close(turned[:, ~mask], model(x)[:, ~mask])
    convolution.weight.data[mask] = 0
    with pytest.raises(ValueError, match="layer '0' has no band-pass channels"):
        remedy("cmod-band-pass")(model, x)


def test_cmod_keeps_digits_and_what_is_frozen():
    model = network().double().requires_grad_(False)
    model[0].bias.requires_grad_(True)
    cmod, _ = to_cmod(model, "0")
    assert not cmod[0].weight.requires_grad and cmod[0].bias.requires_grad
    parts = filters_of(model[0].weight)
    np.testing.assert_allclose(cmod[0].weight[:, 0].numpy(), parts.real, rtol=1e-14, atol=1e-16)
    assert to_cmod(network(), "0")[0][0].weight.requires_grad


def test_cmod_in_one_dimension():
    convolution, pool = nn.Conv1d(2, 3, 9, 2, 4), nn.MaxPool1d(3, 2, 1)
    x = torch.randn(2, 2, 61)
    y = to_cmod(nn.Sequential(convolution, pool), "0", grid=1)[0](x)
    w = wavelets.analytic(convolution.weight.detach().numpy()[:, :, None], "x")[:, :, 0]
    filled = np.pad(x.numpy(), [(0, 0), (0, 0), (4, 4)])
    z = np.array(
        [[sum(signal.correlate(c, k.conj(), "valid") for c, k in zip(e, v, strict=True)) for v in w] for e in filled]
    )
    assert close(y, torch.from_numpy(np.abs(z[..., ::4]) + convolution.bias.detach().numpy()[:, None]), 1e-5)


def test_the_half_plane_is_common_to_all_channels_and_its_side_does_not_matter():
    weight = torch.randn(5, 3, 7, 7, dtype=torch.float64)
    filters = filters_of(weight, 3)
    assert filters.shape == (5, 3, 21, 21)
    assert np.allclose(filters.real[..., 7:14, 7:14], weight.numpy(), atol=1e-14)
    assert np.abs(np.delete(filters.real, range(7, 14), axis=2)).max() < 1e-14
    half = np.abs(np.fft.fft2(filters)).max(axis=1) > 1e-9
    opposite = np.roll(half[:, ::-1, ::-1], (1, 1), (1, 2))
    assert (half & opposite).sum(axis=(1, 2)).max() == 1  # the frequency zero
    assert np.allclose(filters_of(weight, 1, "x"), wavelets.analytic(weight.numpy(), "x"))


# ---- layers with a forward of their own ------------------------------------------------------------------------------


class StdConv2d(nn.Conv2d):
    """A convolution that standardises its weight, as those of BiT and NF-ResNet."""

    def forward(self, x):
        w = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        w = w / w.std((1, 2, 3), keepdim=True)
        return functional.conv2d(x, w, self.bias, self.stride, self.padding)


def same(x, k, s, value=0.0):
    pads = [max((-(-n // s) - 1) * s + k - n, 0) for n in x.shape[:1:-1]]
    return functional.pad(x, [m for n in pads for m in (n // 2, n - n // 2)], value=value)


class Conv2dSame(nn.Conv2d):
    """A convolution that pads as TensorFlow does."""

    def forward(self, x):
        return super().forward(same(x, self.kernel_size[0], self.stride[0]))


class MaxPool2dSame(nn.MaxPool2d):
    """A max pooling that pads as TensorFlow does."""

    def forward(self, x):
        return super().forward(same(x, self.kernel_size, self.stride, -torch.inf))


class HookedConv2d(nn.Conv2d):
    """A convolution whose inner step is another one."""

    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight.abs(), bias)


OWN = [StdConv2d, Conv2dSame, HookedConv2d]


def of_their_own(convolution=Conv2dSame):
    """Layers with a forward of their own, then plain ones that subsample."""
    return nn.Sequential(
        convolution(3, C, 3, 2), nn.ReLU(), MaxPool2dSame(3, 2), nn.Conv2d(C, C, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2)
    ).eval()


def test_what_behaves_as_a_layer():
    plain = [nn.Conv2d(3, C, 3), nn.utils.parametrizations.weight_norm(nn.Conv2d(3, C, 3))]
    assert all(behaves_as(m, nn.Conv1d, nn.Conv2d) for m in plain)
    patched = nn.Conv2d(3, C, 3)
    patched.forward = lambda x: x
    assert not any(behaves_as(m, nn.Conv2d) for m in (patched, *(kind(3, C, 3) for kind in OWN), nn.ReLU(), None))
    assert behaves_as(nn.BatchNorm2d(3), nn.BatchNorm2d) and not behaves_as(nn.BatchNorm2d(3), nn.BatchNorm1d)


class Reversed(nn.Conv2d):
    """A convolution that begins at the other end where it is strided: at stride 1 it is no denser version of itself."""

    def forward(self, x):
        return super().forward(x.flip(2, 3) if self.stride != (1, 1) else x)


@pytest.mark.parametrize("convolution", OWN)
@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("activation", [nn.ReLU(), nn.Conv2d(C, C, 1)])
def test_convolutions_with_a_forward_of_their_own_are_made_dense(convolution, kernel, activation):
    """Plain subsampling in place of the operator has to give the network back."""
    model = nn.Sequential(nn.ReLU(), convolution(C, C, kernel, 2), activation, nn.Conv2d(C, C, 3, 1, 1)).eval()
    subsampled, changes = replace_pooling(model, Slicing((2, 2)), names=["1"])
    assert len(changes) == 1 and list(subsampled.state_dict()) == list(model.state_dict())
    pooled, _ = replace_pooling(model, "blur3", names=["1"])
    for size in ((20, 31), (17, 24)):
        x = torch.randn(2, C, *size)
        torch.testing.assert_close(subsampled(x), model(x), rtol=1e-4, atol=1e-5)
        assert pooled(x).shape == model(x).shape and not torch.allclose(pooled(x), model(x), atol=1e-3)


def test_convolutions_that_are_not_dense_at_stride_1_are_refused():
    model = nn.Sequential(nn.ReLU(), Reversed(C, C, 3, 2), nn.ReLU(), nn.MaxPool2d(2))
    assert [c.name for c in replace_pooling(model, "blur3")[1]] == ["3"]
    with pytest.raises(ValueError, match="layer '1' is a Reversed"):
        replace_pooling(model, "blur3", names=["1"])


@pytest.mark.parametrize("convolution", OWN)
@pytest.mark.parametrize(("types", "changed"), [(None, ["3", "5"]), (nn.Conv2d, ["0", "3"]), (nn.MaxPool2d, ["5"])])
def test_poolings_with_a_forward_of_their_own_are_left_alone(convolution, types, changed):
    model, x = of_their_own(convolution), images(45, 50)
    pooled, changes = replace_pooling(model, "blur3", types=types)
    assert [c.name for c in changes] == changed
    assert close(pooled[:3](x), model[:3](x)) == ("0" not in changed) and pooled(x).shape == model(x).shape


@pytest.mark.parametrize("convolution", OWN)
def test_layers_with_a_forward_of_their_own_are_refused_by_name(convolution):
    model, kind = of_their_own(convolution), convolution.__name__
    with pytest.raises(ValueError, match="layer '2' is a MaxPool2dSame"):
        replace_pooling(model, "blur3", names=["2"])
    for remedy_name in ("cmod", "cmod-band-pass"):  # the first layer is not passed over for a plain one
        with pytest.raises(ValueError, match=f"layer '0' is a {kind}"):
            remedy(remedy_name)(model)
    with pytest.raises(ValueError, match="2 is a MaxPool2dSame"):
        replace_pooling(model[2:3], "blur3")
    pooled, _ = replace_pooling(nn.Sequential(nn.Conv2d(3, C, 3), MaxPool2dSame(3, 2), nn.MaxPool2d(2)), "blur3")
    with pytest.raises(ValueError, match="layer '1', after '0', is a MaxPool2dSame"):
        to_cmod(pooled, "0")


def test_normalisation_with_a_forward_of_its_own_is_in_the_way():
    class NormAct(nn.BatchNorm2d):
        def forward(self, x):
            return super().forward(x).relu()

    model, x = nn.Sequential(nn.Conv2d(3, C, 3, 2), NormAct(C), nn.ReLU(), nn.MaxPool2d(3, 2)).eval(), images()
    with pytest.raises(ValueError, match=r"layer '0' cannot be turned: it is followed by 1 \(NormAct"):
        to_cmod(model, "0")
    pooled, changes = replace_pooling(model, "blur3", names=["0"])
    assert "after the convolution" in changes[0].after and pooled(x).shape == model(x).shape


# ---- the table of operators ------------------------------------------------------------------------------------------


def test_remedies_are_operators_and_those_for_whole_networks():
    assert set(remedies()) == {name for name, o in OPERATORS.items() if o.remedy} | set(WHOLE_NETWORK)
    assert not set(OPERATORS) & set(WHOLE_NETWORK)


@pytest.mark.parametrize("name", [name for name, o in OPERATORS.items() if o.published])
def test_trainable_operators_start_as_they_are_told(name):
    model, x = nn.Sequential(nn.MaxPool2d(2)), torch.randn(2, C, 8, 8)
    binomial, _ = replace_pooling(model, name, example=x)
    other, _ = replace_pooling(
        model, name, example=x, init="triangle" if "4" not in name and "6" not in name else "rectangle"
    )
    published = OPERATORS[name].factory(init="published")(square_site("max", 2, 2, 0, C, "pool"))
    starts = [
        next(m for m in net.modules() if isinstance(m, (TLPF, AdaptiveBlurPool)))
        for net in (binomial, other, published)
    ]
    assert starts[0].init == "binomial" and starts[2].init in ("random", "published")
    assert starts[1].init in ("triangle", "rectangle")


# ---- refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (
            lambda: remedy("blur9"),
            ValueError,
            r"unknown remedy 'blur9' \(did you mean 'blur\d'\?\); expected one of blur2",
        ),
        (
            lambda: replace_pooling(network(), "nothing"),
            ValueError,
            r"'nothing'.*blur3.*aps-l1",
        ),
        (lambda: replace_pooling(network(), "cmod"), ValueError, "remedy 'cmod' does not go layer by layer"),
        (lambda: replace_pooling(network(), 3), TypeError, "operator must be a remedy's name, a factory or a module"),
        (lambda: replace_pooling(lambda x: x, "blur3"), TypeError, "model must be a torch.nn.Module, not function"),
        (lambda: replace_pooling(network(), lambda site: 3), TypeError, "layer '3': the factory returned int"),
        (lambda: replace_pooling(network(), MaxPool(2), taps=3), TypeError, "options taps are for a factory"),
        (
            lambda: replace_pooling(network(), "blur3", names=["pool"]),
            ValueError,
            "the model has no layer 'pool'; it has 0,",
        ),
        (lambda: replace_pooling(network(), "blur3", names="8"), TypeError, "not the string '8'"),
        (lambda: replace_pooling(network(), "blur3", names=["2"]), ValueError, "layer '2' is a ReLU; expected max or"),
        (
            lambda: replace_pooling(network(), "blur3", names=["4"]),
            ValueError,
            "layer '4' is a convolution of stride 1",
        ),
        (lambda: replace_pooling(network(), "blur3", types=nn.AvgPool2d), ValueError, "the model has no layer inside"),
        (lambda: replace_pooling(nn.MaxPool2d(2), "blur3"), ValueError, "the model has no layer inside it"),
        (lambda: replace_pooling(network(), "tlpf"), ValueError, "layer '3' cannot be replaced .* pass example="),
        (
            lambda: replace_pooling(network(nn.MaxPool2d(3, 2, dilation=2)), "blur3"),
            ValueError,
            "layer '3' has dilation",
        ),
        (
            lambda: replace_pooling(network(nn.MaxPool2d(3, 2, return_indices=True)), "blur3"),
            ValueError,
            "layer '3' has return_indices",
        ),
        (
            lambda: replace_pooling(nn.Sequential(nn.AvgPool2d(2, divisor_override=3)), "blur3", types=nn.AvgPool2d),
            ValueError,
            "layer '0' has divisor_override",
        ),
        (lambda: remedy("adaptive-blur")(network(), images(), groups=3), ValueError, "layer '3' .* groups is 3"),
        (lambda: to_cmod(network(), "first"), ValueError, "the model has no layer 'first'"),
        (lambda: to_cmod(network(), "2"), ValueError, "layer '2' is a ReLU; expected an nn.Conv1d"),
        (lambda: to_cmod(network(), "6"), ValueError, "layer '6' .* window 2 of '8' is even and has no centre"),
        (lambda: to_cmod(network(), "4"), ValueError, r"layer '4' cannot be turned: it is followed by 6 \(Conv2d\)"),
        (lambda: to_cmod(network(nn.MaxPool2d(3, 2, dilation=2)), "0"), ValueError, "layer '3' has dilation"),
        (
            lambda: to_cmod(network(convolution=nn.Conv2d(3, C, 3, dilation=2)), "0"),
            ValueError,
            "layer '0' has dilation",
        ),
        (lambda: to_cmod(network(), "0", channels=[]), ValueError, "layer '0': channels holds no channel"),
        (lambda: to_cmod(network(), "0", channels=[False] * C), ValueError, "channels holds no channel"),
        (lambda: to_cmod(network(), "0", channels=[1, 8]), ValueError, "channels goes from 1 to 8; expected 0 to 7"),
        (lambda: to_cmod(network(), "0", channels=[-1]), ValueError, "channels goes from -1 to -1"),
        (lambda: to_cmod(network(), "0", channels=[1, 1]), ValueError, r"channels \[1, 1\] holds a channel twice"),
        (lambda: to_cmod(network(), "0", channels=[True]), ValueError, r"shape \(1,\); expected indices or a mask of"),
        (lambda: to_cmod(network(), "0", channels=3), ValueError, r"channels has shape \(\)"),
        (lambda: to_cmod(network(), "0", channels=[0.5]), TypeError, "channels must be integers or a mask of bool"),
        (
            lambda: to_cmod(network(convolution=nn.Conv2d(4, C, 3, groups=2)), "0", channels=[1]),
            ValueError,
            "layer '0' has 2 groups",
        ),
        (lambda: band_pass_channels(torch.zeros(3, 3, 5)), ValueError, r"weight has shape \(3, 3, 5\)"),
        (lambda: band_pass_channels(torch.full((1, 3, 5, 5), torch.nan)), ValueError, "weight"),
        (lambda: band_pass_channels(torch.zeros(1, 3, 5, 5, device="meta")), ValueError, "weight .* meta"),
        (lambda: to_cmod(network().to("meta"), "0"), ValueError, "layer '0' .* no values on the device meta"),
        (lambda: to_cmod(network()[:3], "0"), ValueError, "layer '0' cannot be turned: it is not followed"),
        (
            lambda: to_cmod(BranchingBetween(), "0"),
            ValueError,
            "layer '0': the model cannot be traced; give the name",
        ),
        (lambda: to_cmod(network(), "0", grid=0), ValueError, "grid is 0"),
        (lambda: remedy("cmod")(nn.Sequential(nn.ReLU())), ValueError, "the model has no nn.Conv1d or nn.Conv2d"),
        (lambda: to_cmod(network(), "0")[0](images(4, 4)), ValueError, "too few for a window of 3"),
    ],
)
def test_refusals(make, error, message):
    with pytest.raises(error, match=message):
        make()
