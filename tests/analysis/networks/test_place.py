"""Places where networks lose resolution, against lists written by hand."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from analysis import networks  # noqa: E402
from analysis.networks import places, replace_pooling  # noqa: E402
from analysis.networks.place import intercept  # noqa: E402
from analysis.networks.pooling import APS  # noqa: E402
from analysis.networks.squeezenet import SqueezeNet  # noqa: E402


class Do(nn.Module):
    """Whatever a function does with maps."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def found(model, size=32, channels=3):
    return places(model, torch.rand(2, channels, size, size))


def only(model, **options):
    (place,) = found(model, **options)
    return place


CASES = [
    (nn.Conv2d(3, 8, 3, 2, 1), "convolution", (3, 3), (2, 2), (16, 16), 8),
    (nn.Conv2d(3, 8, (3, 5), (2, 1), (1, 2)), "convolution", (3, 5), (2, 1), (16, 32), 8),
    (nn.Conv2d(3, 6, 3, 2, 1, groups=3), "depthwise convolution", (3, 3), (2, 2), (16, 16), 6),
    (nn.Conv2d(3, 8, 4, 4), "patch embedding", (4, 4), (4, 4), (8, 8), 8),
    (nn.Conv2d(3, 8, 3, 2, 1, padding_mode="reflect"), "convolution", (3, 3), (2, 2), (16, 16), 8),
    (nn.MaxPool2d(3, 2, 1), "max pooling", (3, 3), (2, 2), (16, 16), 3),
    (nn.MaxPool2d(2, return_indices=True), "max pooling", (2, 2), (2, 2), (16, 16), 3),
    (nn.AvgPool2d(2), "average pooling", (2, 2), (2, 2), (16, 16), 3),
    (nn.LPPool2d(2, 2), "Lp pooling", (2, 2), (2, 2), (16, 16), 3),
    (nn.AdaptiveAvgPool2d(8), "adaptive pooling", (4, 4), (4, 4), (8, 8), 3),
    (nn.AdaptiveMaxPool2d((8, 16)), "adaptive pooling", (4, 2), (4, 2), (8, 16), 3),
    (nn.FractionalMaxPool2d(2, output_size=(20, 20)), "fractional pooling", (2, 2), (1.6, 1.6), (20, 20), 3),
    (nn.PixelUnshuffle(2), "space to depth", (2, 2), (2, 2), (16, 16), 12),
    (nn.Upsample(scale_factor=0.5), "interpolation", None, (2, 2), (16, 16), 3),
    (Do(lambda x: functional.interpolate(x, size=(8, 8), mode="bilinear")), "interpolation", None, (4, 4), (8, 8), 3),
    (Do(lambda x: x[:, :, ::2, ::2]), "slicing", (1, 1), (2, 2), (16, 16), 3),
    (Do(lambda x: x[..., ::2, :]), "slicing", (1, 1), (2, 1), (16, 32), 3),
    (Do(lambda x: functional.max_pool2d(x, kernel_size=3, stride=2)), "max pooling", (3, 3), (2, 2), (15, 15), 3),
    (Do(lambda x: torch.max_pool2d(x, 2)), "max pooling", (2, 2), (2, 2), (16, 16), 3),
    (Do(lambda x: functional.avg_pool2d(x, 2)), "average pooling", (2, 2), (2, 2), (16, 16), 3),
]


@pytest.mark.parametrize(("model", "kind", "kernel", "stride", "size", "channels"), CASES)
def test_every_kind_as_a_module_and_as_a_function(model, kind, kernel, stride, size, channels):
    place = only(nn.Sequential(nn.Identity(), model))
    assert place.name == "1" and place.module == "1"
    assert (place.kind, place.kernel, place.size_out, place.channels) == (kind, kernel, size, channels)
    assert place.stride == pytest.approx(stride) and place.total_stride == pytest.approx(stride)
    assert place.size_in == (32, 32) and place.understood and place.fault


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.mean((2, 3)),
        lambda x: torch.mean(x, dim=[-1, -2], keepdim=True),
        lambda x: x.amax((2, 3)),
        lambda x: functional.avg_pool2d(x, x.size()[3]),
        lambda x: functional.adaptive_avg_pool2d(x, 1),
        nn.AdaptiveMaxPool2d(1),
    ],
)
def test_a_global_pooling_is_listed_and_no_fault(function):
    place = only(Do(function))
    assert place.kind == "global pooling" and not place.fault and place.understood
    assert place.size_in == (32, 32) and place.size_out == (1, 1)


@pytest.mark.parametrize(
    "model",
    [
        nn.Conv2d(3, 4, 5),
        nn.Sequential(nn.Conv2d(3, 4, 7), nn.Conv2d(4, 4, 9), nn.MaxPool2d(3, 1)),  # 32, 26, 18, 16
        nn.MaxPool2d(3, 1, 1),
        nn.AdaptiveAvgPool2d(32),
        nn.Upsample(scale_factor=2),
        nn.ConvTranspose2d(3, 3, 2, 2),
        Do(lambda x: x[:, ::2]),
        Do(lambda x: x[::2]),
        Do(lambda x: x[:, :, 1:-1, 1:-1]),
        Do(lambda x: x.permute(0, 2, 3, 1)),
        Do(lambda x: x.reshape(2, 3, 4, 8, 4, 8).permute(0, 2, 4, 1, 3, 5).reshape(32, 3, 8, 8)),  # windows
        nn.Sequential(Do(lambda x: x.permute(0, 2, 3, 1)), nn.Linear(3, 96), nn.Linear(96, 8)),
        nn.Sequential(Do(lambda x: x.flatten(2).transpose(1, 2)), nn.Linear(3, 4)),
    ],
)
def test_what_keeps_the_resolution_is_no_place(model):
    assert found(model) == []


def test_slices_that_are_joined_are_one_place_in_both_orders_of_axes():
    def merge(x):
        return torch.cat([x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2]], -1)

    model = nn.Sequential(nn.Conv2d(3, 4, 4, 4), Do(lambda x: x.permute(0, 2, 3, 1)), Do(merge), nn.Linear(16, 8))
    embedding, merging = found(model)
    assert embedding.kind == "patch embedding"
    assert merging.kind == "patch merging" and merging.name == "2" and len(merging.calls) == 4
    assert (merging.size_in, merging.size_out, merging.channels) == ((8, 8), (4, 4), 16)
    assert merging.total_stride == (8, 8)


@pytest.mark.parametrize(
    ("function", "size"),
    [
        (lambda x: torch.from_numpy(x.numpy()[:, :, ::2, ::2].copy()), (16, 16)),
        (lambda x: x.reshape(2, 3, 16, 2, 16, 2).amax((3, 5)), (16, 16)),
        (lambda x: functional.grid_sample(x, torch.zeros(2, 8, 8, 2), align_corners=False), (8, 8)),
        (lambda x: torch.fft.ifft2(torch.fft.fft2(x)[:, :, :16, :16]).real, (16, 16)),
    ],
)
def test_what_is_not_understood_is_said(function, size):
    place = only(nn.Sequential(nn.Conv2d(3, 3, 1), nn.ModuleDict({"a": Do(function)})["a"], nn.Identity()))
    assert not place.understood and place.fault and place.name == "1"
    assert place.size_in == (32, 32) and place.size_out == size
    assert f"from 32 to {size[0]} in 1" in str(place)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.index_select(2, torch.arange(0, 32, 2)).index_select(3, torch.arange(0, 32, 2)),
        lambda x: x[:, :, torch.arange(0, 32, 2)][:, :, :, list(range(0, 32, 2))],
        lambda x: x.reshape(2, 3, 16, 2, 16, 2).mean((3, 5)),
        lambda x: x.permute(0, 2, 3, 1).reshape(2, 16, 2, 16, 2, 3).amax((2, 4)).permute(0, 3, 1, 2),
    ],
)
def test_what_is_lost_in_the_networks_own_code_is_not_passed_over(function):
    class Whole(nn.Module):
        def forward(self, x):
            return function(x).mean((2, 3))

    *places, last = found(Whole())
    assert all(place.fault and not place.understood for place in places)
    assert (places[0].size_in, places[-1].size_out) == ((32, 32), (16, 16))
    assert places[-1].total_stride == (2, 2)
    assert last.kind == "global pooling" and last.size_in == (16, 16)


@pytest.mark.parametrize("function", [lambda x: x[:, [2, 1, 0]], lambda x: x.index_select(2, torch.arange(31, -1, -1))])
def test_samples_in_another_order_are_not_lost(function):
    class Whole(nn.Module):
        def forward(self, x):
            return function(x)

    assert found(Whole()) == []


def test_a_module_that_falls_farther_than_its_known_calls_is_listed_beside_them():
    inside = nn.Sequential(nn.MaxPool2d(2))

    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inside = inside

        def forward(self, x):
            return torch.from_numpy(self.inside(x).numpy()[:, :, ::2, ::2].copy())

    pool, rest = found(nn.Sequential(Mixed()))
    assert pool.kind == "max pooling" and pool.name == "0.inside.0"
    assert not rest.understood and rest.name == "0" and rest.total_stride == (4, 4)


def test_known_networks():
    named = {
        p.name: (p.kind, p.size_in[0], p.size_out[0], p.total_stride[0]) for p in found(networks.create("resnet18"), 64)
    }
    expected = {"conv1": ("convolution", 64, 32, 2), "maxpool": ("max pooling", 32, 16, 4)}
    for number, side in ((2, 16), (3, 8), (4, 4)):
        for layer in ("conv1", "downsample.0"):
            expected[f"layer{number}.0.{layer}"] = ("convolution", side, side // 2, 2 * 64 // side)
    assert named == expected | {"avgpool": ("global pooling", 2, 1, 64)}

    names = [(p.name, p.kind) for p in found(SqueezeNet(), 227)]
    pools = [(f"pool{n}", "max pooling") for n in (1, 4, 8)]
    assert names == [("conv1", "convolution"), *pools, ("mean", "global pooling")]

    small = [(p.name, p.kind, p.total_stride[0]) for p in found(networks.create("resnet20-cifar"))]
    assert small == [
        ("layer2.0.conv1", "convolution", 2),
        ("layer2.0.shortcut", "slicing", 2),
        ("layer3.0.conv1", "convolution", 4),
        ("layer3.0.shortcut", "slicing", 4),
        ("avgpool", "global pooling", 32),
    ]


def test_an_operator_of_this_project_that_chooses_its_grid_is_one_place():
    place = only(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), APS(2)))
    assert (place.kind, place.name, place.understood, place.dense) == ("APS", "1", True, False)
    assert place.size_out == (16, 16)


def test_a_network_that_cannot_be_traced_with_functions_shared_modules_and_several_calls():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, 2, 1)
            self.rest = nn.ModuleDict({"pool": nn.MaxPool2d(2)})

        def forward(self, x, **options):
            for _ in range(2 if float(x.mean()) > -1e9 else 1):  # depends on values
                x = self.conv(x)
            if not isinstance(x, dict):
                x = {"maps": functional.max_pool2d(x, 2)}
            return {"logits": self.rest["pool"](x["maps"]).mean((2, 3)), "other": None}

    with pytest.raises((TypeError, NameError, torch.fx.proxy.TraceError)):
        torch.fx.symbolic_trace(Odd())
    names = [place.name for place in found(Odd())]
    assert names == ["conv", "conv (2)", "max_pool2d", "rest.pool", "mean"]
    assert [place.total_stride[0] for place in found(Odd())][:4] == [2, 4, 8, 16]


def test_strides_are_followed_through_branches_and_upsampling():
    class Hourglass(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.side, self.last = nn.Conv2d(3, 3, 3, 2, 1), nn.Conv2d(3, 3, 3, 4, 1), nn.MaxPool2d(2)

        def forward(self, x):
            y = functional.interpolate(self.side(x), scale_factor=2)
            gate = self.down(x).mean((2, 3), keepdim=True)
            return self.last(torch.cat([self.down(x) * gate, y], 1))

    total = {place.name: place.total_stride for place in found(Hourglass()) if place.fault}
    assert total == {"side": (4, 4), "down": (2, 2), "down (2)": (2, 2), "last": (4, 4)}


def test_the_model_is_as_it_was_and_no_batch_statistics_changed():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    found(model)
    assert model.training and all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_cost_is_multiplications_of_one_picture():
    assert only(nn.Conv2d(3, 8, 3, 2, 1)).cost == 16 * 16 * 8 * 3 * 9
    assert only(nn.Conv2d(3, 6, 3, 2, 1, groups=3)).cost == 16 * 16 * 6 * 9
    assert only(nn.MaxPool2d(3, 2, 1)).cost == 16 * 16 * 3 * 9


@pytest.mark.parametrize(
    ("model", "example", "kind"),
    [
        ("no module", torch.zeros(1, 3, 8, 8), TypeError),
        (nn.Identity(), torch.zeros(3, 8, 8), ValueError),
        (nn.Identity(), [[1.0]], ValueError),
        (nn.Conv2d(4, 1, 3), torch.zeros(1, 3, 8, 8), ValueError),
    ],
)
def test_bad_input_is_refused(model, example, kind):
    with pytest.raises(kind, match=r"Module|shape|channels"):
        places(model, example)


def test_outputs_are_replaced_also_of_modules_that_are_not_understood():
    double = Do(lambda x: torch.from_numpy(x.numpy()[:, :, ::2, ::2].copy()))
    model = nn.Sequential(nn.MaxPool2d(2, return_indices=True), Do(lambda pair: pair[0]), double)
    seen = []

    def on_call(index, call):
        seen.append((index, call.kind))
        return torch.full_like(call.output, float(index + 1))

    x = torch.rand(1, 3, 16, 16)
    assert torch.equal(intercept(model, x, on_call), torch.full((1, 3, 4, 4), 2.0))
    assert seen == [(0, "max pooling"), (1, "unknown")]
    plain = intercept(model, x, lambda index, call: None)
    torch.testing.assert_close(plain, model(x))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(3, 4, 5, 2, 2),
        nn.Conv2d(3, 4, 3, padding="same", dilation=2),
        nn.Conv2d(3, 4, 3, 1, 1, padding_mode="replicate"),
        nn.Sequential(nn.ZeroPad2d(1), nn.Conv2d(3, 4, 3)),
        nn.MaxPool2d(3, 2, 1),
        nn.AvgPool2d(3, 2, 1),
    ],
)
def test_with_circular_borders_networks_commute_with_rolls(layer):
    x = torch.rand(1, 3, 16, 16, dtype=torch.float64) - 0.5
    layer = layer.double()

    def run(x):
        return intercept(layer, x, lambda index, call: None, circular=True)

    step = x.shape[-1] // run(x).shape[-1]
    rolled = run(x.roll((2 * step, step), (2, 3)))
    assert torch.allclose(rolled, run(x).roll((2, 1), (2, 3)), atol=1e-12)
    assert not torch.allclose(layer(x.roll(step, 3)), layer(x).roll(1, 3), atol=1e-6)


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: x.unfold(2, 2, 2).unfold(3, 2, 2).amax((4, 5)), "amax"),
        (lambda x: x.unfold(2, 2, 2).unfold(3, 2, 2)[..., 0, 1], "getitem"),
        (lambda x: torch.from_numpy(x.numpy()[:, :, ::2, ::2].copy()), ""),
        (lambda x: torch.as_tensor(x.permute(0, 2, 3, 1).numpy()[:, 1::2, ::2].copy()).permute(0, 3, 1, 2), ""),
        (lambda x: functional.grid_sample(x, torch.zeros(len(x), 16, 16, 2), align_corners=False), "grid_sample"),
        (lambda x: torch.fft.ifft2(torch.fft.fft2(x)[:, :, :16, :16]).real, "real"),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("count", [1, 2])
def test_what_is_not_understood_in_the_networks_own_code_is_listed(function, name, wrapped, count):
    class Whole(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.next, self.linear = nn.Conv2d(3, 4, 3, 1, 1), nn.Conv2d(4, 4, 3, 2, 1), nn.Linear(4, 2)
            self.register_buffer("position", torch.rand(1, 4, 8, 8))

        def forward(self, x):
            x = self.next(function(self.stem(x)).relu())
            return self.linear((x + self.position + torch.ones(1, 4, 8, 8)).mean((2, 3)))

    model = nn.Sequential(nn.Identity(), Whole()) if wrapped else Whole()
    fall, following, last = places(model, torch.rand(count, 3, 32, 32))
    assert not fall.understood and fall.fault and fall.calls == (0,)
    assert fall.name == ("/".join(filter(None, ("1", name))) if wrapped else name or "Whole")
    assert fall.module == ("1" if wrapped else "") and (fall.size_in, fall.size_out) == ((32, 32), (16, 16))
    assert fall.total_stride == (2, 2) and following.total_stride == (4, 4) and following.calls == (1,)
    assert following.name.endswith("next") and last.kind == "global pooling"


def merged_by_reshape(x, s=2):
    n, h, w, c = x.shape
    return x.reshape(n, h // s, s, w // s, s, c).permute(0, 1, 3, 4, 2, 5).flatten(3)


def merged_first(x, s=2):
    n, c, h, w = x.shape
    return x.view(n, c, h // s, s, w // s, s).permute(0, 3, 5, 1, 2, 4).contiguous().view(n, -1, h // s, w // s)


@pytest.mark.parametrize(
    ("function", "axes"), [(merged_by_reshape, (1, 2)), (merged_first, (2, 3)), (lambda x: merged_first(x, 4), (2, 3))]
)
def test_a_reshape_that_merges_patches_is_space_to_depth(function, axes):
    """As timm's Swin does it."""

    class Merging(nn.Module):
        def forward(self, x):
            return function(x.permute(0, 2, 3, 1) if axes == (1, 2) else x)

    side = function(torch.zeros(1, 16, 16, 16)).shape[axes[0]]
    stride = 16 // side
    model = nn.Sequential(nn.Conv2d(3, 4, 2, 2), Merging(), nn.Identity())
    embedding, merging = found(model)
    assert embedding.kind == "patch embedding" and merging.understood and merging.fault and merging.dense
    assert (merging.kind, merging.kernel, merging.module) == ("space to depth", (stride,) * 2, "1")
    assert (merging.size_in, merging.size_out, merging.channels) == ((16, 16), (side, side), 4 * stride**2)
    assert merging.total_stride == (2 * stride, 2 * stride)
    dense, x = [], torch.rand(2, 3, 32, 32)
    maps = model[0](x)
    intercept(model, x, lambda index, call: dense.append(call.dense()) if index else None)
    torch.testing.assert_close(dense[0], maps.permute(0, 2, 3, 1) if axes == (1, 2) else maps)


def tokens_by_unfold(x):
    return functional.unfold(x, 4, stride=4).transpose(1, 2)


def tokens_by_reshapes(x):
    return x.reshape(len(x), 3, 8, 4, 8, 4).permute(0, 2, 4, 3, 5, 1).reshape(len(x), 64, 48)


def tokens_of_channels_last(x):
    return x.permute(0, 2, 3, 1).reshape(len(x), 8, 4, 8, 4, 3).permute(0, 1, 3, 2, 4, 5).reshape(len(x), 64, 48)


def tokens_by_sliding(x):
    return x.unfold(2, 4, 4).unfold(3, 4, 4).permute(0, 2, 3, 1, 4, 5).reshape(len(x), 64, 48)


class Tokens(nn.Module):
    """Patches that become tokens by a linear layer, then maps again, which are pooled; in the network or in a part."""

    def __init__(self, cut):
        super().__init__()
        self.cut, self.linear = cut, nn.Linear(48, 6)

    def forward(self, x):
        return self.linear(self.cut(x)).transpose(1, 2).reshape(len(x), 6, 8, 8)


class Embedding(Tokens):
    def forward(self, x):
        return self.linear(self.cut(x))


class Classed(Tokens):
    """With a class token, so that the module's end shows no grid."""

    def forward(self, x):
        tokens = self.linear(self.cut(x))
        return torch.cat((tokens.new_zeros(len(x), 1, 6), tokens), 1)


class Ended(Tokens):
    def __init__(self, cut):
        super().__init__(cut)
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        return self.pool(super().forward(x)).mean((2, 3))


@pytest.mark.parametrize(
    "cut", [tokens_by_unfold, tokens_by_reshapes, tokens_of_channels_last, tokens_by_sliding], ids=lambda f: f.__name__
)
def test_patches_that_become_tokens_are_listed_and_counted(cut):
    x = torch.rand(2, 3, 32, 32)
    for model in (Ended(cut), nn.Sequential(Tokens(cut), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1))):
        first, pool, _ = places(model.eval(), x)
        assert (first.size_in, first.size_out, first.understood) == ((32, 32), (8, 8), False)
        assert first.stride == first.total_stride == (4, 4)
        assert pool.kind == "max pooling" and pool.total_stride == (8, 8)
    inside, last = places(nn.Sequential(Embedding(cut), nn.Linear(6, 3), Do(lambda y: y.mean(1))).eval(), x)
    assert (inside.name, inside.stride, inside.fault) == ("0.linear", (4, 4), True)
    assert (last.kind, last.size_in, last.fault) == ("global pooling", (8, 8), False)
    head = nn.Sequential(nn.Linear(6, 3), Do(lambda y: y[:, 0]))
    for model in (nn.Sequential(Classed(cut), head), nn.Sequential(nn.BatchNorm2d(3), Classed(cut), head)):
        (inside,) = places(model.eval(), x)
        assert (inside.size_in, inside.size_out, inside.understood) == ((32, 32), (8, 8), False)


def test_overlapping_patches_of_a_module_have_their_stride():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.Unfold(3, padding=1, stride=2), nn.Conv1d(36, 4, 1)).eval()
    (place,) = places(model, torch.rand(1, 3, 32, 32))
    assert (place.name, place.stride, place.size_out, place.understood) == ("2", (2, 2), (16, 16), False)
    model[1].stride = 1
    assert not places(model, torch.rand(1, 3, 32, 32))


def test_sequences_of_all_samples_are_no_fall():
    attention = nn.TransformerEncoderLayer(16, 2, 8, batch_first=True).eval()

    class Attending(nn.Module):
        def __init__(self):
            super().__init__()
            self.stem, self.layer = nn.Conv2d(3, 16, 4, 4), attention

        def forward(self, x):
            return self.layer(self.stem(x).flatten(2).transpose(1, 2)).mean(1)

    place, last = places(Attending().eval(), torch.rand(2, 3, 32, 32))
    assert place.kind == "patch embedding" and last.kind == "global pooling" and not last.fault


def rows(x):
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


def shuffled(x):
    n, c, h, w = x.shape
    return x.view(n, c // 4, 2, 2, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // 4, 2 * h, 2 * w)


def inserted(x):
    larger = x.new_zeros(len(x), x.shape[1], 2 * x.shape[2], 2 * x.shape[3])
    larger[:, :, ::2, ::2] = x
    return larger


def expanded(x):
    n, c, h, w = x.shape
    return x[:, :, :, None, :, None].expand(-1, -1, -1, 2, -1, 2).reshape(n, c, 2 * h, 2 * w)


def by_name(x):
    return functional.conv_transpose2d(input=x, weight=torch.ones(4, 4, 2, 2), stride=2)


@pytest.mark.parametrize(
    "up", [rows, shuffled, inserted, expanded, by_name, lambda x: functional.pixel_shuffle(input=x, upscale_factor=2)]
)
def test_maps_that_are_enlarged_in_any_way_have_their_total_stride(up):
    channels = up(torch.zeros(1, 4, 2, 2)).shape[1]
    model = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), Do(up), nn.Conv2d(channels, 4, 3, 1, 1), nn.MaxPool2d(4))
    first, last = found(model)
    assert (first.total_stride, last.total_stride, last.name) == ((2, 2), (4, 4), "3")


class With(nn.Module):
    """Strided convolution, something done with its maps and the pictures, and a pooling."""

    def __init__(self, function):
        super().__init__()
        self.function, self.conv, self.pool = function, nn.Conv2d(3, 4, 3, 2, 1), nn.MaxPool2d(2)

    def forward(self, x):
        return self.pool(self.function(self.conv(x), x))


@pytest.mark.parametrize(
    "function",
    [
        lambda y, x: y.type_as(x),
        lambda y, x: y.to(x),
        lambda y, x: y + x.new_zeros(y.shape),
        lambda y, x: y / x.std((1, 2, 3), keepdim=True),
        lambda y, x: y * (x.amax((1, 2, 3), keepdim=True) > -1),
    ],
)
def test_pictures_that_give_their_type_or_one_number_change_no_total_stride(function):
    assert [place.total_stride for place in found(With(function)) if place.fault] == [(2, 2), (4, 4)]


def written(x):
    y = x.clone()
    y[:, :, ::2, ::2] += 1
    y[:, :, 1::2, ::2].mul_(2)
    return y


def test_slices_that_are_written_into_are_no_places_and_stay_written():
    model, x = nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), Do(written), nn.MaxPool2d(2)), torch.rand(2, 3, 32, 32)
    assert [place.name for place in found(model)] == ["2"]
    torch.testing.assert_close(intercept(model, x, lambda index, call: call.output.clone()), model(x))


def chosen(x):
    tokens = x.flatten(2).transpose(1, 2)
    index = tokens[..., 0].topk(16, 1).indices
    return tokens.gather(1, index[..., None].expand(-1, -1, tokens.shape[2]))


def boolean(x):
    tokens = x.flatten(2).transpose(1, 2)
    return tokens[:, tokens[0, :, 0].argsort() < 16]


@pytest.mark.parametrize("choose", [chosen, boolean])
def test_a_choice_of_tokens_is_listed_without_a_share_and_their_numbers_are_no_maps(choose):
    first, choice = found(nn.Sequential(nn.Conv2d(3, 4, 4, 4), Do(choose), nn.Linear(4, 4)))
    assert (first.name, choice.name, choice.fault, choice.understood) == ("0", "1", False, False)


def test_tokens_that_are_moved_or_cropped_are_no_choice():
    index = torch.arange(40)
    kept = torch.tensor([n for n in range(64) if n % 4])
    assert len(found(nn.Sequential(nn.Conv2d(3, 4, 4, 4), Do(lambda x: x.flatten(2)[:, :, kept]), nn.ReLU()))) == 2
    assert len(found(nn.Sequential(nn.Conv2d(3, 4, 4, 4), Do(lambda x: x.flatten(2)[:, :, index]), nn.ReLU()))) == 1


@pytest.mark.parametrize(
    ("apart", "share"),
    [
        (lambda m, x: m(x.flatten(0, 1)[:, None].expand(-1, 3, -1, -1)).unflatten(0, (len(x), 3)).mean(1), False),
        (lambda m, x: m(torch.cat([x, x])), False),
        (lambda m, x: m(torch.cat([x, x.flip(3)])), False),
        (lambda m, x: m(torch.stack([x, x.flip(3)], 1).flatten(0, 1)), False),
        (lambda m, x: torch.cat([m(one[None]) for one in x]), False),
        (lambda m, x: m(x.reshape(-1, 3, 2, 16, 2, 16).permute(0, 2, 4, 1, 3, 5).flatten(0, 2)), True),
    ],
    ids=["channels", "twice", "mirrored", "mirrored in turn", "one by one", "windows"],
)
def test_maps_that_are_not_one_of_each_picture_have_no_share_unless_their_order_is_known(apart, share):
    class Apart(nn.Module):
        def __init__(self):
            super().__init__()
            self.part = nn.Conv2d(3, 4, 2, 2)

        def forward(self, x):
            return apart(self.part, x)

    places_found = found(Apart())
    assert places_found and all(place.fault == share and bool(place.calls) == share for place in places_found)
    if share:
        x, seen = torch.rand(3, 3, 32, 32), []
        model = Apart()
        intercept(model, x, lambda index, call: seen.append(call.layout.maps(call.output, 3)))
        torch.testing.assert_close(seen[0], model.part(x))


@pytest.mark.parametrize(
    ("turn", "back"),
    [
        (lambda x: x.flip(3), lambda y: y.flip(3)),
        (lambda x: x.transpose(2, 3), lambda y: y.transpose(2, 3)),
        (lambda x: x.rot90(1, (2, 3)), lambda y: y.rot90(-1, (2, 3))),
    ],
    ids=["mirrored", "transposed", "turned"],
)
def test_maps_that_are_turned_are_exchanged_upright(turn, back):
    conv = nn.Conv2d(3, 4, 2, 2)
    seen, x = [], torch.rand(2, 3, 32, 32)
    model = nn.Sequential(Do(turn), conv)
    intercept(model, x, lambda index, call: seen.append((call.layout.maps(call.output, 2), call.dense is not None)))
    torch.testing.assert_close(seen[0][0], back(conv(turn(x))))
    assert seen[0][1]


@pytest.mark.parametrize(
    ("model", "ratio"),
    [
        (nn.Sequential(nn.AdaptiveMaxPool2d(24), nn.ReLU(), nn.AdaptiveMaxPool2d(18)), 4 / 3),
        (nn.Upsample(scale_factor=0.75), 4 / 3),
        (nn.Unfold(3, padding=1, stride=2), 2),
        (Do(lambda x: x.reshape(2, 3, 8, 4, 8, 4).permute(0, 2, 4, 1, 3, 5).reshape(2, 64, 48)), 4),
    ],
)
def test_small_falls_and_patches_that_nothing_follows_are_listed(model, ratio):
    assert found(model)[0].stride == pytest.approx((ratio, ratio))


def test_weights_that_mix_rows_are_listed_and_have_no_share():
    place = only(nn.Sequential(nn.Conv2d(3, 4, 3, 1, 1), nn.Linear(32, 16)))
    assert (place.name, place.size_out, place.fault, place.understood) == ("1", (32, 16), False, False)


def test_a_complex_convolution_is_counted_once():
    weight = torch.randn(3, 3, 3, 3, dtype=torch.complex64)
    model = Do(lambda x: functional.conv2d(x.to(torch.complex64), weight, stride=2, padding=1).abs())
    place = only(model)
    assert (place.kind, place.total_stride) == ("convolution", (2, 2))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_scripted_parts_are_told_and_a_network_for_one_picture_is_refused_as_such():
    part = torch.jit.trace(nn.Conv2d(3, 4, 3, 2, 1), torch.rand(2, 3, 32, 32))
    assert [place.total_stride for place in found(nn.Sequential(part, nn.MaxPool2d(2)))] == [(2, 2), (4, 4)]

    def single(x):
        if len(x) > 1:
            raise RuntimeError("one")
        return x

    with pytest.raises(ValueError, match="expected the model"):
        found(part)
    with pytest.raises(ValueError, match="two pictures"):
        places(Do(single), torch.rand(1, 3, 32, 32))


class Phases(nn.Module):
    """Convolution of each phase for itself, put back where it came from, and a pooling."""

    def __init__(self, together):
        super().__init__()
        self.together, self.conv, self.pool = together, nn.Conv2d(3, 3, 3, 1, 1), nn.MaxPool2d(4)

    def forward(self, x):
        return self.pool(self.together(self.conv, x).relu())


def written_back(layer, x):
    out = torch.empty_like(x)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1)):
        out[:, :, i::2, j::2] = layer(x[:, :, i::2, j::2])
    return out


def interleaved(layer, x):
    return torch.stack([layer(x[..., ::2]), layer(x[..., 1::2])], -1).flatten(-2)


def by_lines(layer, x):
    even, odd = (x.index_select(2, torch.arange(first, 32, 2)) for first in (0, 1))
    return torch.stack([layer(even), layer(odd)], 3).flatten(2, 3)


def half_of_them(layer, x):
    """Two phases of four, which is a loss: the others are zero."""
    out = torch.zeros_like(x)
    out[:, :, ::2, ::2] = layer(x[:, :, ::2, ::2])
    out[:, :, 1::2, 1::2] = layer(x[:, :, 1::2, 1::2])
    return out


@pytest.mark.parametrize("together", [written_back, interleaved, by_lines])
def test_phases_that_are_put_back_are_no_place(together):
    place = only(Phases(together))
    assert (place.name, place.total_stride) == ("pool", (4, 4))


def test_phases_that_are_not_all_put_back_are_places():
    assert [place.kind for place in found(Phases(half_of_them))] == ["patch merging", "max pooling"]


class Sweeps(nn.Module):
    """Recurrences along rows of patches, then along columns, as in ReNet, and a pooling."""

    def __init__(self, kind):
        super().__init__()
        self.rows, self.columns = (kind(n, 4, batch_first=True, bidirectional=True) for n in (12, 8))
        self.pool = nn.MaxPool2d(2)

    def forward(self, x):
        x = functional.pixel_unshuffle(x, 2)
        n, c, h, w = x.shape
        y = self.rows(x.permute(0, 2, 3, 1).reshape(n * h, w, c))[0].view(n, h, w, 8)
        y = self.columns(y.transpose(1, 2).reshape(n * w, h, 8))[0].view(n, w, h, 8)
        return self.pool(y.permute(0, 3, 2, 1))


@pytest.mark.parametrize("kind", [nn.GRU, nn.LSTM, nn.RNN])
def test_recurrences_along_rows_and_columns_keep_every_sample(kind):
    patches, place = found(Sweeps(kind), size=16)
    assert (patches.kind, place.name, place.total_stride) == ("space to depth", "pool", (4, 4))


class Resampled(nn.Module):
    """Mixing of the whole picture, and a strided convolution of what has no place in the picture any more."""

    def __init__(self, mix, count):
        super().__init__()
        self.mix, self.count = mix, count
        self.queries, self.line = nn.Parameter(torch.randn(64, 3)), nn.Linear(256, 64)
        self.bottle = nn.Sequential(nn.Linear(768, 5), nn.Linear(5, 192))
        self.conv = nn.Conv2d(3, 4, 3, 2, 1)

    def forward(self, x):
        return self.conv(self.mix(self, x.flatten(2)).view(len(x), 3, 8, 8))


MIXED = {
    "tokens": lambda net, x: net.line(x),
    "bottleneck": lambda net, x: net.bottle(x.flatten(1)),
    "queries": lambda net, x: ((net.queries @ x).softmax(-1) @ x.transpose(1, 2)).transpose(1, 2),
    "queries of a function": lambda net, x: functional.scaled_dot_product_attention(
        net.queries.expand(len(x), 1, -1, -1), *[x.transpose(1, 2)[:, None]] * 2
    )[:, 0].transpose(1, 2),
}


@pytest.mark.parametrize("mix", MIXED)
def test_what_follows_a_mixing_of_the_whole_picture_has_no_share(mix):
    place = only(Resampled(MIXED[mix], 64), size=16)
    assert (place.name, place.fault, place.calls) == ("conv", False, ())


def test_strides_of_maps_that_are_transposed_are_those_of_the_picture():
    model = nn.Sequential(Do(lambda x: x.transpose(2, 3)), nn.Conv2d(3, 4, (5, 3), (2, 1), (2, 1)))
    place = only(model)
    assert (place.stride, place.total_stride, place.kernel, place.size_out) == ((1, 2), (1, 2), (3, 5), (32, 16))


def test_weights_that_mix_rows_and_then_columns_are_both_listed_and_the_next_place_knows_its_stride():
    turn = Do(lambda x: x.transpose(2, 3))
    rows, columns, pool = found(
        nn.Sequential(nn.Linear(32, 16), turn, nn.Linear(32, 64), nn.Linear(64, 16), turn, nn.MaxPool2d(2))
    )
    assert (rows.size_out, columns.size_out, pool.total_stride) == ((32, 16), (16, 16), (4, 4))


def test_complex_slices_are_not_passed_over_and_parts_of_spectra_are_no_maps():
    place = only(Do(lambda x: torch.complex(x, -x)[:, :, ::2, ::2].abs()))
    assert (place.size_out, place.understood, place.fault) == ((16, 16), False, True)
    cropped = only(Do(lambda x: torch.fft.ifft2(torch.fft.fft2(x)[:, :, 8:24, 8:24]).real))
    assert (cropped.function, cropped.size_out) == ("real", (16, 16))


def test_maps_out_of_vmap_are_listed_and_what_stays_inside_is_refused():
    inner = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.MaxPool2d(2))

    def mapped(x):
        return torch.vmap(lambda one: inner(one[None])[0])(x)

    fall, pool = found(nn.Sequential(Do(mapped), nn.MaxPool2d(2)))
    assert (fall.understood, fall.total_stride, pool.total_stride) == (False, (4, 4), (8, 8))
    with pytest.raises(ValueError, match="vmap"):
        found(Do(lambda x: torch.vmap(lambda one: inner(one[None])[0].mean((1, 2)))(x)))
    assert (
        only(nn.Sequential(Do(lambda x: x * torch.vmap(torch.neg)(torch.ones(3, 1, 1))), nn.MaxPool2d(2))).name == "1"
    )


def test_calls_of_exported_programs_are_known():
    model = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2)).eval()
    batch = {0: torch.export.Dim("batch")}
    program = torch.export.export(model, (torch.rand(2, 3, 32, 32),), dynamic_shapes=(batch,)).module()
    assert [place.kind for place in found(program)] == ["convolution", "max pooling"]


def test_places_between_phases_and_their_return_stay_apart_from_later_ones():
    pool = nn.MaxPool2d(2)

    def branched(x):
        even, odd = x[..., ::2], x[..., 1::2]
        small = pool(x)
        x = torch.stack([even, odd], -1).flatten(-2)
        return small + pool(x) + pool(x.relu())

    assert [place.kind for place in found(nn.Sequential(Do(branched)))] == ["max pooling"] * 3


def test_recurrences_by_hand_keep_every_sample():
    along, across = nn.GRUCell(3, 4), nn.GRUCell(4, 4)

    def sweep(cell, lines):
        state, states = torch.zeros(len(lines), 4), []
        for step in range(lines.shape[1]):
            state = cell(lines[:, step], state)
            states.append(state)
        return torch.stack(states, 1)

    def sweeps(x):
        n, c, h, w = x.shape
        y = sweep(along, x.permute(0, 2, 3, 1).reshape(n * h, w, c)).view(n, h, w, 4)
        return sweep(across, y.transpose(1, 2).reshape(n * w, h, 4)).view(n, w, h, 4).permute(0, 3, 2, 1)

    place = only(nn.Sequential(Do(sweeps), nn.MaxPool2d(2)), size=16)
    assert (place.name, place.total_stride) == ("1", (2, 2))


def prepared():
    """A network with observers at its layers, as before quantization."""
    quantization = pytest.importorskip("torch.ao.quantization")
    layers = (nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(2))
    model = nn.Sequential(quantization.QuantStub(), *layers, quantization.DeQuantStub()).eval()
    model.qconfig = quantization.get_default_qconfig("fbgemm")
    model = quantization.prepare(model)
    model(torch.rand(2, 3, 16, 16))
    return model


@pytest.mark.skipif("fbgemm" not in torch.backends.quantized.supported_engines, reason="torch cannot quantize here")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_quantized_networks_are_refused_as_such_and_observers_hide_no_layer():
    model, x = prepared(), torch.rand(1, 3, 16, 16)
    assert [place.name for place in places(model, x)] == ["1", "3"]
    assert [change.name for change in replace_pooling(model, "blur3")[1]] == ["3"]
    model = torch.ao.quantization.convert(model)
    for ask in (lambda: places(model, x), lambda: replace_pooling(model, "blur3")):
        with pytest.raises(ValueError, match="quantized"):
            ask()
