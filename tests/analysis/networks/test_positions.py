"""Falls of the resolution in networks' own code against lists by hand, and nothing where there is none."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from analysis.networks import places  # noqa: E402
from analysis.networks.grids import measured  # noqa: E402
from analysis.networks.positions import PositionTracker  # noqa: E402

D, N = 16, 2


class Net(nn.Module):
    """Whatever a function does with pictures and these parts."""

    def __init__(self, function, **parts):
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.function(self, x)


def falls(function, size=32, **parts):
    """Sides before and after every place that is no global pooling."""
    torch.manual_seed(0)
    found = places(Net(function, **parts).eval(), torch.rand(N, 3, size, size))
    sides = [(p.size_in, p.size_out) for p in found if p.kind != "global pooling"]
    return [(a[0], b[0]) if a[0] == a[1] and b[0] == b[1] else (a, b) for a, b in sides]


def linear(a, b):
    return nn.Linear(a, b)


def stem():
    return nn.Conv2d(3, D, 3, 1, 1)


def cells(x):
    return x.reshape(len(x), 3, 8, 4, 8, 4)


INDEX = torch.arange(1024).view(8, 4, 8, 4).permute(0, 2, 1, 3).reshape(64, 16)


def by_loop(x):
    out = torch.zeros(len(x), 64, 48)
    for i in range(8):
        for j in range(8):
            out[:, 8 * i + j] = x[:, :, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].flatten(1)
    return out


CUTS = {
    "unfold": lambda x: functional.unfold(x, 4, stride=4).transpose(1, 2),
    "einsum, as in MAE": lambda x: torch.einsum("nchpwq->nhwpqc", cells(x)).reshape(len(x), 64, 48),
    "permute and two flattens": lambda x: cells(x).permute(0, 2, 4, 1, 3, 5).flatten(1, 2).flatten(2),
    "channels first": lambda x: cells(x).permute(0, 1, 3, 5, 2, 4).reshape(len(x), 48, 64).transpose(1, 2),
    "unfold twice and view": lambda x: (
        x.unfold(2, 4, 4).unfold(3, 4, 4).contiguous().view(len(x), 3, -1, 16).permute(0, 2, 1, 3).flatten(2)
    ),
    "stack": lambda x: torch.stack(
        [x[:, :, i : i + 4, j : j + 4].flatten(1) for i in range(0, 32, 4) for j in range(0, 32, 4)], 1
    ),
    "loop into a buffer": by_loop,
    "index": lambda x: x.flatten(2)[:, :, INDEX].permute(0, 2, 1, 3).flatten(2),
    "gather": lambda x: (
        x.flatten(2).gather(2, INDEX.flatten().expand(len(x), 3, -1)).view(len(x), 3, 64, 16).transpose(1, 2).flatten(2)
    ),
    "as_strided": lambda x: (
        x.contiguous().as_strided((len(x), 8, 8, 3, 4, 4), (3072, 128, 4, 1024, 32, 1)).reshape(len(x), 64, 48)
    ),
    "by windows": lambda x: (
        cells(x).view(len(x), 3, 4, 2, 4, 4, 2, 4).permute(0, 2, 5, 3, 6, 1, 4, 7).reshape(len(x), 64, 48)
    ),
}


@pytest.mark.parametrize("name", CUTS)
def test_patches_that_become_tokens_are_one_place_however_they_are_cut(name):
    def plain(net, x):
        return net.head(net.embed(CUTS[name](x)).mean(1))

    def with_tokens(net, x):
        """With a class token and registers, first in the sequence, and the sequence before the pictures."""
        tokens = net.embed(CUTS[name](x)).transpose(0, 1)
        tokens = net.layer(torch.cat([net.more.expand(5, len(x), D), tokens]))
        return net.head(tokens[0])

    embed, head = linear(48, D), linear(D, 3)
    assert falls(plain, embed=embed, head=head) == [(32, 8)]
    more, layer = nn.Parameter(torch.randn(5, 1, D)), nn.TransformerEncoderLayer(D, 2, D)
    assert falls(with_tokens, embed=embed, head=head, more=more, layer=layer) == [(32, 8)]


def test_gray_patches_as_long_as_their_tokens_are_not_taken_for_tokens_that_are_mixed():
    def gray(net, x):
        return net.embed(functional.unfold(x.mean(1, keepdim=True), 4, stride=4).transpose(1, 2)).mean(1)

    def by_convolution(net, x):
        return net.embed(functional.unfold(x.mean(1, keepdim=True), 4, stride=4)).mean(2)

    for function, embed in ((gray, linear(16, 16)), (gray, linear(16, 17)), (by_convolution, nn.Conv1d(16, 16, 1))):
        assert falls(function, embed=embed) == [(32, 8)]


def windows(x, w):
    n, h, v, c = x.shape
    return x.view(n, h // w, w, v // w, w, c).transpose(2, 3).reshape(-1, w * w, c)


def from_windows(t, w, h, v):
    return t.view(-1, h // w, v // w, w, w, t.shape[-1]).transpose(2, 3).reshape(-1, h, v, t.shape[-1])


def last(net, x):
    return net.stem(x).permute(0, 2, 3, 1)


def shifted(net, x):
    """Swin: shifted windows of padded maps, and back."""
    x = functional.pad(last(net, x), (0, 0, 0, 3, 0, 3))
    u = windows(x.roll((-2, -2), (1, 2)), 5)
    y = (net.q(u) @ net.k(u).transpose(1, 2)).softmax(-1) @ net.v(u)
    y = from_windows(net.o(y), 5, 35, 35).roll((2, 2), (1, 2))
    return (x + y)[:, :32, :32].mean((1, 2))


def transposed(net, x):
    u = windows(last(net, x), 4)
    weights = (net.k(u) @ net.q(u).transpose(1, 2)).softmax(1)
    return from_windows(net.o((net.v(u).transpose(1, 2) @ weights).transpose(1, 2)), 4, 32, 32).mean((1, 2))


def linear_attention(net, x):
    u = windows(last(net, x), 4)
    y = net.o(net.q(u).relu() @ (net.k(u).relu().transpose(1, 2) @ net.v(u)))
    return from_windows(y, 4, 32, 32).mean((1, 2))


def window_mixer(net, x):
    """Swin-MLP: tokens of a window mixed by a grouped convolution, as many out as in."""
    u = windows(last(net, x), 4).view(-1, 16, 4, 4).transpose(1, 2).reshape(-1, 64, 4)
    return from_windows(net.mix(u).view(-1, 4, 16, 4).transpose(1, 2).reshape(-1, 16, D), 4, 32, 32).mean((1, 2))


def mixer(net, x):
    t = net.patch(x).flatten(2)
    return (t + net.mix(t)).mean(2)


def halo(net, x):
    y = net.stem(x)
    kv = functional.unfold(y, 6, stride=4, padding=1).view(len(x), D, 36, 64).permute(0, 3, 2, 1)
    q = y.view(len(x), D, 8, 4, 8, 4).permute(0, 2, 4, 3, 5, 1).reshape(len(x), 64, 16, D)
    o = net.o((q @ kv.transpose(2, 3)).softmax(-1) @ kv)
    return o.view(len(x), 8, 8, 4, 4, D).permute(0, 5, 1, 3, 2, 4).reshape(len(x), D, 32, 32).mean((2, 3))


def neighbours(net, x):
    y = net.stem(x)
    near = functional.unfold(y, 3, padding=1).view(len(x), D, 9, -1)
    weighed = (net.weigh(y).view(len(x), 1, 9, -1) * near).sum(2)  # involution
    return (near.mean(2) + weighed).mean(2)


def folded(net, x):
    y = net.stem(x)
    y = functional.fold(functional.unfold(y, 3, padding=1), (32, 32), 3, padding=1)
    return functional.fold(functional.unfold(y, 2, stride=2), (32, 32), 2, stride=2).mean((2, 3))


def axial(net, x):
    t = last(net, x)
    rows = t.flatten(0, 1)
    columns = t.transpose(1, 2).flatten(0, 1)
    r = net.att(rows, rows, rows)[0].view_as(t)
    c = net.att(columns, columns, columns)[0].view_as(t).transpose(1, 2)
    return (r + c).mean((1, 2))


def spectral(net, x):
    y = last(net, x)
    return (y + torch.fft.irfft2(torch.fft.rfft2(y, dim=(1, 2)) * 2j, s=(32, 32), dim=(1, 2))).mean((1, 2))


def scans(net, x):
    t = last(net, x).flatten(1, 2)
    down = t.view(len(x), 32, 32, D).transpose(1, 2).flatten(1, 2).cumsum(1)
    return (
        t.cumsum(1) + t.flip(1).cumsum(1).flip(1) + down.view(len(x), 32, 32, D).transpose(1, 2).flatten(1, 2)
    ).mean(1)


def masked(net, x):
    """A mask made in the code, which in its windows has the form of maps, as torchvision's Swin has."""
    y = last(net, x)
    mask = y.new_zeros((32, 32))
    mask[:16] = 1
    return (y + (mask.view(2, 16, 2, 16) + 1).permute(0, 2, 1, 3).reshape(1, 32, 32, 1)).mean((1, 2))


def gated(net, x):
    y = net.stem(x)
    scale = y.norm(dim=(2, 3), keepdim=True)
    return (y * scale / (scale.mean(1, keepdim=True) + 1) * net.weigh(y.mean((2, 3), keepdim=True)).mean()).mean((2, 3))


def shuffled(net, x):
    y = net.stem(x).view(len(x), 2, D // 2, 32, 32).transpose(1, 2).reshape(len(x), D, 32, 32)
    return functional.pixel_shuffle(y, 2).mean((2, 3))


def parts():
    made = {name: linear(D, D) for name in "qkvo"}
    made |= {"stem": stem(), "weigh": nn.Conv2d(D, 9, 1), "att": nn.MultiheadAttention(D, 2, batch_first=True)}
    return made | {"mix": nn.Conv1d(64, 64, 1, groups=4)}


KEEP = [shifted, transposed, linear_attention, window_mixer, halo, neighbours, folded, axial, spectral, scans]


@pytest.mark.parametrize("function", [*KEEP, gated, shuffled, masked])
def test_what_keeps_the_resolution_is_no_place(function):
    assert falls(function, **parts()) == []


def test_tokens_that_are_mixed_are_no_place():
    assert falls(mixer, patch=nn.Conv2d(3, D, 4, 4), mix=nn.Linear(64, 64)) == [(32, 8)]
    hidden = nn.Sequential(nn.Linear(64, 32), nn.GELU(), nn.Linear(32, 64))
    assert falls(mixer, patch=nn.Conv2d(3, D, 4, 4), mix=hidden) == [(32, 8)]


def attention_pooling(net, x):
    """Four tokens weighed by what they are, so that one of them is left: a product of two tensors of the picture."""
    u = windows(last(net, x), 2)
    weights = net.weigh(u).transpose(1, 2).softmax(-1)
    return net.o((weights @ u).view(len(x), 16, 16, D)).mean((1, 2))


def pooled_queries(net, x):
    """Queries of a strided convolution, as in MViT: the attention itself loses nothing more."""
    y = net.stem(x)
    q, t = net.strided(y).flatten(2).transpose(1, 2), y.flatten(2).transpose(1, 2)
    mixed = functional.scaled_dot_product_attention(q[:, None], t[:, None], t[:, None])[:, 0]
    return net.o((q @ t.transpose(1, 2)).softmax(-1) @ t + mixed).mean(1)


def twice(net, x):
    """Tokens to tokens: overlapping patches, attention, overlapping patches again."""
    t = net.first(functional.unfold(x, 3, stride=2, padding=1).transpose(1, 2))
    t = functional.unfold(t.transpose(1, 2).reshape(len(x), D, 16, 16), 3, stride=2, padding=1)
    return net.second(t.transpose(1, 2)).mean(1)


def haar(net, x):
    y = net.stem(x)
    a, b, c, d = (y[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1))
    return net.o(torch.cat([a + b + c + d, a - b + c - d], 1)[:, :D].movedim(1, 3)).mean((1, 2))


def hourglass(net, x):
    a = net.strided(net.stem(x))
    b = net.strided(a)
    up = (
        net.weigh(b)[:, :4]
        .repeat(1, 4, 1, 1)
        .view(len(x), 4, 2, 2, 8, 8)
        .permute(0, 1, 4, 2, 5, 3)
        .reshape(len(x), 4, 16, 16)
    )
    return functional.max_pool2d(torch.cat([up, a], 1), 2).mean((2, 3))


def squares(x, side):
    """Pieces of a map, row by row."""
    return [piece for strip in x.split(side, 2) for piece in strip.split(side, 3)]


def rows_of(x, step=1):
    return [x[:, :, i] for i in range(0, x.shape[2], step)]


def written(net, x):
    """Means of squares that a loop writes into maps."""
    y, out = net.stem(x), torch.zeros(len(x), D, 8, 8)
    for i in range(8):
        for j in range(8):
            out[:, :, i, j] = y[:, :, 4 * i : 4 * i + 4, 4 * j : 4 * j + 4].mean((2, 3))
    return out.sigmoid()


def in_pairs(net, x):
    """The larger of every two rows, then the mean of every two columns, one by one."""
    rows = rows_of(net.stem(x))
    columns = torch.stack([torch.maximum(a, b) for a, b in zip(rows[::2], rows[1::2], strict=True)], 2).unbind(3)
    return torch.stack([(a + b) / 2 for a, b in zip(columns[::2], columns[1::2], strict=True)], 3)


def cells_of(net, x):
    return net.stem(x).unfold(2, 4, 4).unfold(3, 4, 4).flatten(4)


PIECES = [
    (lambda net, x: torch.cat([t.amax(2, keepdim=True) for t in net.stem(x).chunk(8, 2)], 2), [((32, 32), (8, 32))]),
    (
        lambda net, x: torch.stack([t.mean((2, 3)) for t in squares(net.stem(x), 16)], 2).view(len(x), D, 2, 2),
        [(32, 2)],
    ),
    (lambda net, x: torch.stack([t.mean(3) for t in net.stem(x).split(4, 3)], 3), [((32, 32), (32, 8))]),
    (
        lambda net, x: torch.stack([t.amax((2, 3)) for t in squares(net.stem(x), 4)], 2).view(len(x), D, 8, 8),
        [(32, 8)],
    ),
    (lambda net, x: torch.stack(rows_of(net.stem(x), 4), 2), [((32, 32), (8, 32))]),
    (
        lambda net, x: torch.cat([torch.stack(rows_of(net.stem(x)[:, :, i:], 2), 2) for i in (0, 1)], 1),
        [((32, 32), (16, 32))],
    ),
    (written, [(32, 8)]),
    (in_pairs, [((32, 32), (16, 32)), ((16, 32), (16, 16))]),
    (lambda net, x: cells_of(net, x).topk(2, -1).values.mean(-1), [(32, 8)]),
    (lambda net, x: cells_of(net, x).topk(1, -1)[0][..., 0], [(32, 8)]),
]
"""Poolings of pieces of maps, one by one, and what is left of windows by its value."""

KEPT_PIECES = [
    lambda net, x: torch.cat([t * t.mean((2, 3), keepdim=True).sigmoid() for t in net.stem(x).chunk(8, 2)], 2),
    lambda net, x: torch.stack([(y - y.mean((2, 3), keepdim=True)).relu() for y in squares(net.stem(x), 8)], 2),
    lambda net, x: torch.stack(rows_of(net.stem(x)), 2),
    lambda net, x: torch.stack([torch.stack(rows_of(net.stem(x)[:, :, i:], 2), 2) for i in (0, 1)], 3).flatten(2, 3),
    lambda net, x: torch.stack([row.mean(-1) for row in rows_of(net.stem(x))], 2),
    lambda net, x: net.stem(x) * (net.stem(x) > net.stem(x).flatten(1).topk(9, 1).values[:, -1].view(-1, 1, 1, 1)),
    lambda net, x: net.stem(x).topk(4, 1).values,
]
"""Means of pieces that gate them, and pieces that are put together as they were."""


@pytest.mark.parametrize(("function", "expected"), PIECES)
def test_poolings_of_pieces_one_by_one_are_found_where_they_are_put_together(function, expected):
    assert falls(function, stem=stem()) == expected


@pytest.mark.parametrize("function", KEPT_PIECES)
def test_pieces_that_are_put_together_as_they_were_are_no_place(function):
    assert falls(function, stem=stem()) == []


@pytest.mark.parametrize("cut", [slice(None), slice(8, 24)])
def test_a_mean_of_the_picture_without_its_borders_is_a_global_pooling(cut):
    found = places(
        Net(lambda net, x: net.stem(x)[:, :, cut, cut].mean((2, 3)), stem=stem()).eval(), torch.rand(2, 3, 32, 32)
    )
    assert [place.kind for place in found] == ["global pooling"]


def test_the_largest_values_of_all_samples_are_a_global_pooling():
    found = places(
        Net(lambda net, x: net.stem(x).flatten(2).topk(4, -1).values, stem=stem()).eval(), torch.rand(2, 3, 32, 32)
    )
    assert [(place.kind, place.size_in, place.fault) for place in found] == [("global pooling", (32, 32), False)]


FALLS = [
    (attention_pooling, [(32, 16)]),
    (pooled_queries, [(32, 16)]),
    (twice, [(32, 16), (16, 8)]),
    (haar, [(32, 16)]),
    (hourglass, [(32, 16), (16, 8), (16, 8)]),
    (
        lambda net, x: net.stem(x).view(len(x), D, 16, 2, 16, 2).mean(5).mean(3),
        [((32, 32), (32, 16)), ((32, 16), (16, 16))],
    ),
    (lambda net, x: net.half.T @ net.stem(x) @ net.half, [((32, 32), (16, 32)), ((16, 32), (16, 16))]),
    (lambda net, x: net.lines(net.stem(x).flatten(2)), [((32, 32), (32, 16))]),
    (lambda net, x: torch.vmap(lambda y: functional.max_pool2d(y[None], 2)[0])(net.stem(x)), [(32, 16)]),
    (lambda net, x: Halved.apply(net.stem(x)), [(32, 16)]),
]


class Halved(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x[:, :, ::2, ::2] * 1.0

    @staticmethod
    def backward(ctx, gradient):
        raise NotImplementedError


@pytest.mark.parametrize(("function", "expected"), FALLS)
def test_what_loses_resolution_is_found(function, expected):
    half = torch.eye(16).repeat_interleave(2, 0) / 2
    more = {"first": linear(27, D), "second": linear(9 * D, D), "strided": nn.Conv2d(D, D, 3, 2, 1), "half": half}
    more |= {"weigh": linear(D, 1)} if function is attention_pooling else {}
    assert falls(function, **(parts() | more | {"lines": nn.Conv1d(D, D, 2, 2)})) == expected


def test_positions_through_movements_are_those_of_the_pixels():
    """Every element holds its own position, so that positions can be compared with what the operations give."""
    rows, columns = torch.meshgrid(torch.arange(12.0), torch.arange(8.0), indexing="ij")
    x = torch.stack((rows, columns)).expand(2, 2, 12, 8).contiguous()
    positions = PositionTracker(x)
    with positions:
        y = functional.unfold(x, (3, 2), stride=2)
        z = torch.cat([x.roll(1, 3).flip(2)[:, :, 1:], x.repeat_interleave(2, 2)[:, :, ::3]], 2).permute(3, 0, 2, 1)
        written = torch.zeros(2, 2, 6, 8)
        written[:, :, 2:5] = x[:, :, torch.tensor([4, 0, 9])]
    for tensor, channel in ((y.view(2, 2, 6, -1), 1), (z, 3)):
        (where,) = positions.of(tensor)
        for axis in (0, 1):
            assert torch.equal(where[axis].select(channel, axis), tensor.select(channel, axis))
    (where,) = positions.of(written)
    assert torch.equal(where[0, 0, 0, 2:5], written[0, 0, 2:5]) and where[:, :, :, :2].isnan().all()


def test_spacing_is_the_median_distance_and_rounding_is_none():
    where = torch.tensor([[0.0, 4.0, 4.001, 8.0, 12.0, torch.nan], [3.0, 3.0, 3.0, torch.nan, 3.0, 3.0]])
    assert measured(where) == ((4.0, float("inf")), (4, 1))
