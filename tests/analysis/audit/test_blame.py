"""The eight properties of blame, and what they stand on; in float64."""

from __future__ import annotations

from itertools import permutations, product

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from analysis.audit import blame  # noqa: E402
from analysis.audit.aliasing import low_passed  # noqa: E402
from analysis.audit.blame import FORMS, Network, pairs, shares  # noqa: E402
from analysis.measurements.translation_torch import translate_maps  # noqa: E402
from analysis.networks.place import intercept, places  # noqa: E402
from analysis.networks.tape import Tape  # noqa: E402

SIDE = 36


def network(model, side=SIDE):
    model = model.double().eval()
    return Network(model, places(model, torch.rand(1, 3, side, side, dtype=torch.float64)))


def pictures(count=2, side=SIDE, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, 3, side, side), generator=generator, dtype=torch.float64)


class Chain(nn.Module):
    """Three places of different kinds, with a branch, and a head that is not linear."""

    def __init__(self, average=False):
        super().__init__()
        torch.manual_seed(3)
        self.first = nn.Conv2d(3, 6, 3, 2, 1)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.conv = nn.Conv2d(6, 8, 3, 3, 1)
        self.side = nn.Conv2d(6, 8, 1)
        self.last = nn.Conv2d(8, 8, 3, 1, 1)
        self.linear = nn.Linear(8, 5)
        self.average = average

    def forward(self, x):
        x = self.pool(self.first(x).relu())
        x = self.conv(x) + self.side(x)[:, :, ::3, ::3]
        x = x if self.average else self.last(x.relu()).relu()
        return self.linear(x.mean((2, 3)))


def share(found):
    return found.products.sum(0) / found.change.sum()


@pytest.mark.parametrize("circular", [True, False])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shift", [(0, 1), (2, -1), (0.5, 0.25)])
def test_1_shares_and_the_heads_add_up_to_one(circular, form, shift):
    first, second = pairs(pictures(), shift, "circular" if circular else "own")
    found = shares(network(Chain()), first, second, shift, circular=circular, form=form)
    assert share(found).sum().item() == pytest.approx(1, abs=1e-10)
    assert torch.allclose(found.products.sum(1), found.change, rtol=1e-10)
    if form != "sampled":
        nested = found.nested.sum(1) + found.products[:, -1]
        assert torch.allclose(nested, found.change, rtol=1e-10)


@pytest.mark.parametrize("shift", [(0, 1), (1.5, -2)])
def test_2_all_mended_is_the_nested_form(shift):
    """An oracle of its own: outputs of the unshifted run, translated, in place of those of the shifted run."""
    net, x = network(Chain()), pictures()
    maps = {}
    intercept(net.model, x, lambda index, call: maps.__setitem__(index, call.output), circular=True)

    def replaced(index, call):
        place = next((p for p in net.places if index in p.calls), None)
        return place and translate_maps(maps[index], [u / s for u, s in zip(shift, place.total_stride, strict=True)])

    first, second = pairs(x, shift, "circular")
    expected = net.logits(intercept(net.model, first, replaced, circular=True))
    every = torch.ones(len(x), len(net.places), dtype=torch.bool)
    assert torch.allclose(net.mended(first, second, [shift] * len(x), every, True), expected, atol=1e-12)
    none = net.mended(first, second, [shift] * len(x), ~every, True)
    assert torch.allclose(none, net.plain(first, True), atol=1e-12)


def test_3_whole_shifts_that_the_stride_divides_blame_no_place_up_to_it():
    net = network(Chain())
    assert [place.total_stride[0] for place in net.places] == [2, 4, 12, 12]
    for shift, silent in (((0, 2), 1), ((4, 0), 2)):
        first, second = pairs(pictures(), shift, "circular")
        found = shares(net, first, second, shift)
        assert found.change.min() > 1e-9
        assert found.squares[:, :silent].max() < 1e-24
        assert found.squares[:, silent : len(net.places)].max() > 1e-12
    first, second = pairs(pictures(), (12, -12), "circular")
    assert shares(net, first, second, (12, -12)).change.max() < 1e-24


class LowPassed(nn.Module):
    """A place that does not alias (odd sides, ideal low-pass), and one that does."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.linear, self.conv = nn.Conv2d(3, 6, 3, 1, 1, bias=False), nn.Conv2d(6, 8, 3, 3, 1)
        self.head = nn.Linear(8, 4)

    def forward(self, x):
        x = low_passed(self.linear(x), (3, 3))[:, :, ::3, ::3]
        return self.head(self.conv(x).mean((2, 3)))


@pytest.mark.parametrize("shift", [(0, 1), (0.7, -2.2)])
def test_4_a_block_that_commutes_is_not_to_blame(shift):
    net = network(LowPassed(), 45)
    assert [place.kind for place in net.places] == ["slicing", "patch embedding"]
    first, second = pairs(pictures(side=45), shift, "circular")
    found = shares(net, first, second, shift)
    assert found.squares[:, 0].max() < 1e-20 * found.change.min()
    assert torch.allclose(found.products[:, 1], found.change, rtol=1e-9)


class Twins(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(7)
        self.a, self.b, self.after = nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(3, 4, 3, 2, 1), nn.Conv2d(4, 5, 3, 2, 1)
        self.b.load_state_dict(self.a.state_dict())

    def forward(self, x):
        return self.after(self.a(x).relu() + self.b(x).relu()).relu().mean((2, 3))


def test_5_twins_have_equal_shares_and_numbers_do_not_matter():
    model = Twins()
    net = network(model)
    first, second = pairs(pictures(), (0, 1), "circular")
    found = shares(net, first, second, (0, 1))
    assert torch.allclose(found.products[:, 0], found.products[:, 1], rtol=1e-10)
    assert found.products[:, 0].abs().max() > 1e-8
    other = network(Chain())
    expected = shares(other, first, second, (0, 1))
    order = [2, 0, 3, 1]
    other = Network(other.model, [other.places[i] for i in order] + places(other.model, first)[4:])
    again = shares(other, first, second, (0, 1))
    assert torch.allclose(again.products, expected.products[:, [*order, 4]], rtol=1e-9)


def test_6_one_place_has_all_that_the_head_has_not():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 6, 3, 2, 1), nn.ReLU(), nn.Conv2d(6, 6, 3, 1, 1), nn.ReLU()]
    model = nn.Sequential(*layers, nn.AdaptiveMaxPool2d(1))
    first, second = pairs(pictures(), (0, 1), "circular")
    found = share(shares(network(nn.Sequential(model, nn.Flatten())), first, second, (0, 1)))
    assert len(found) == 2 and found[0].item() == pytest.approx(1 - found[1].item(), abs=1e-12)
    assert abs(found[1]) > 1e-4


@pytest.mark.parametrize("shift", [(0, 1), (0.3, 1.6)])
def test_7_a_head_that_averages_is_not_to_blame(shift):
    first, second = pairs(pictures(), shift, "circular")
    found = shares(network(Chain(average=True)), first, second, shift)
    assert found.squares[:, -1].max() < 1e-24
    assert shares(network(Chain()), first, second, shift).squares[:, -1].min() > 1e-12


@pytest.mark.parametrize("shift", [(0, 1), (1, 0.5)])
def test_8_exchanging_both_pictures_changes_no_symmetrised_share(shift):
    net, x, back = network(Chain()), pictures(), tuple(-u for u in shift)

    def symmetrised(first, second, u):
        one = shares(net, first, second, u)
        other = shares(net, second, first, tuple(-v for v in u))
        return (one.products + other.products).sum(0) / (one.change + other.change).sum()

    first, second = pairs(x, shift, "circular")
    expected = symmetrised(first, second, shift)
    moved, _ = pairs(first, back, "circular")
    assert torch.allclose(moved, x, atol=1e-12)
    assert torch.allclose(symmetrised(moved, first, back), expected, rtol=1e-8)


def test_one_order_and_its_reversal_are_unbiased(monkeypatch):
    net = network(Twins())
    x = pictures(1).expand(6, -1, -1, -1)
    first, second = pairs(x, (0, 1), "circular")
    orders = iter([torch.tensor(order) for order in permutations(range(3))])
    monkeypatch.setattr(blame, "_order", lambda picture, count: next(orders))
    sampled = shares(net, first, second, (0, 1), form="sampled")
    exact = shares(net, first[:1], second[:1], (0, 1), form="exact")
    assert torch.allclose(sampled.products.mean(0), exact.products[0], rtol=1e-9)
    assert torch.allclose(sampled.left[:1], exact.left, rtol=1e-9)
    assert sampled.products.std(0).max() > 1e-9


def test_own_borders_are_windows_of_the_mirrored_picture():
    x = pictures()
    first, second = pairs(x, (1, -2), "own")
    assert torch.equal(second, x)
    assert torch.equal(first[..., 1:, :-2], x[..., :-1, 2:])
    assert torch.equal(first[..., 0, :-2], x[..., 1, 2:])
    with pytest.raises(ValueError, match="does not fit"):
        pairs(x, (0, SIDE), "own")


def test_maps_with_channels_last_and_tokens_are_translated_along_their_grid():
    class Last(nn.Module):
        def __init__(self, tokens):
            super().__init__()
            torch.manual_seed(9)
            self.linear, self.tokens, self.split = nn.Linear(12, 6), tokens, nn.Identity()

        def forward(self, x):
            x = x.permute(0, 2, 3, 1)
            x = torch.cat([x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], 3)
            return self.linear(x).relu().mean((1, 2))

    net = network(Last(False))
    assert [place.kind for place in net.places] == ["patch merging"]
    first, second = pairs(pictures(), (0, 2), "circular")
    assert shares(net, first, second, (0, 2)).change.max() < 1e-24
    first, second = pairs(pictures(), (0, 1), "circular")
    found = shares(net, first, second, (0, 1))
    assert found.change.min() > 1e-8
    assert share(found)[0].item() == pytest.approx(1 - share(found)[1].item(), abs=1e-10)


class Embedded(nn.Module):
    """Patches of one size embedded by a convolution, or cut by hand in four ways and embedded by a linear layer."""

    def __init__(self, way, side=4):
        super().__init__()
        torch.manual_seed(5)
        self.way, self.side = way, side
        self.conv, self.head = nn.Conv2d(3, 6, side, side), nn.Linear(6 * (SIDE // side) ** 2, 3)
        self.linear = nn.Linear(3 * side**2, 6)
        self.linear.weight.data, self.linear.bias.data = self.conv.weight.data.flatten(1), self.conv.bias.data

    def forward(self, x):
        n, s, m = len(x), self.side, SIDE // self.side
        if self.way == "convolution":
            tokens = self.conv(x).flatten(2).transpose(1, 2)
        elif self.way == "windows":  # of 3 × 3 patches: another order, along the pictures' axis
            cells = x.reshape(n, 3, m // 3, 3, s, m // 3, 3, s).permute(0, 2, 5, 3, 6, 1, 4, 7)
            tokens = self.linear(cells.reshape(-1, 9, 3 * s * s)).view(n, m // 3, m // 3, 3, 3, 6)
            tokens = tokens.transpose(2, 3).reshape(n, -1, 6)
        else:
            patches = nn.functional.unfold(x, s, stride=s)
            if self.way == "sequence first":
                tokens = self.linear(patches.permute(2, 0, 1)).transpose(0, 1)
            else:
                more = torch.ones(n, 1, patches.shape[1])
                tokens = self.linear(torch.cat((more, patches.transpose(1, 2)), 1))[:, 1:]
        return self.head(tokens.flatten(1).relu())


def test_patches_cut_by_hand_have_the_share_of_the_convolution_that_they_are():
    x = pictures()
    found = {}
    for way in ("convolution", "windows", "sequence first", "class token"):
        net = network(Embedded(way).eval())
        (place,) = net.places
        assert place.total_stride == (4, 4) and place.understood == (way == "convolution")
        first, second = pairs(x, (1, 2), "circular")
        found[way] = shares(net, first, second, (1, 2))
    plain = found.pop("convolution")
    for other in found.values():
        assert torch.allclose(other.products, plain.products, atol=1e-8)
        assert torch.allclose(other.left, plain.left, atol=1e-8)
    assert share(plain)[0] > 0.1


def test_tokens_of_code_that_is_not_understood():
    class Tokens(nn.Module):
        def forward(self, x):
            n, c, h, w = x.shape
            return x.reshape(n, c, h // 2, 2, w // 2, 2).amax((3, 5)).flatten(2).transpose(1, 2)

    model = nn.Sequential(Tokens(), nn.Linear(3, 4), nn.ReLU())
    net = network(nn.Sequential(model, nn.Flatten(), nn.Linear(4 * (SIDE // 2) ** 2, 3)))
    (place,) = net.places
    assert not place.understood and place.total_stride == (2, 2)
    x = pictures()
    first, second = pairs(x, (0, 2), "circular")
    whole = shares(net, first, second, (0, 2))
    assert whole.squares[:, 0].max() < 1e-24  # the maximum commutes with whole shifts of its grid
    assert torch.allclose(whole.products[:, 1], whole.change)


@pytest.mark.parametrize("way", ["joined", "written"])
def test_means_of_pieces_have_the_share_of_the_average_that_they_are(way):
    class Pieces(nn.Module):
        def __init__(self, way):
            super().__init__()
            torch.manual_seed(0)
            self.way, self.conv, self.linear = way, nn.Conv2d(3, 4, 3), nn.Linear(4 * 4**2, 5)

        def head(self, x):
            return self.linear(self.conv(x).relu().flatten(1))

        def forward(self, x):
            if self.way == "average":
                return self.head(nn.functional.avg_pool2d(x, 6))
            pieces = [piece.mean((2, 3)) for strip in x.chunk(6, 2) for piece in strip.chunk(6, 3)]
            if self.way == "joined":
                return self.head(torch.stack(pieces, 2).view(len(x), 3, 6, 6))
            y = x.new_zeros(len(x), 3, 6, 6)
            for number, piece in enumerate(pieces):
                y[:, :, number // 6, number % 6] = piece
            return self.head(y)

    found = [shares(network(Pieces(w)), *pairs(pictures(), (1, 3), "circular"), (1, 3)) for w in (way, "average")]
    assert torch.allclose(found[0].products, found[1].products, atol=1e-10) and share(found[0])[0].abs() > 0.1


class Warped(nn.Module):
    """A picture sampled at half its rate, by an average or at points of a grid, which may be turned or predicted."""

    def __init__(self, way):
        super().__init__()
        torch.manual_seed(0)
        self.way, self.head = way, nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16**2, 5))
        self.turn = nn.Linear(3, 6)

    def forward(self, x):
        size, matrix = (len(x), 3, SIDE // 2, SIDE // 2), torch.eye(2, 3, dtype=x.dtype).repeat(len(x), 1, 1)
        if self.way == "average":
            return self.head(nn.functional.avg_pool2d(x, 2))
        if self.way == "turned":
            matrix = matrix @ torch.tensor([[0.8, 0.6, 0], [-0.6, 0.8, 0], [0, 0, 1]], dtype=x.dtype)
        if self.way == "predicted":
            matrix = matrix + 0.01 * self.turn(x.mean((2, 3))).view(-1, 2, 3)
        points = nn.functional.affine_grid(matrix, size, align_corners=False)
        return self.head(nn.functional.grid_sample(x, points, align_corners=False))


def test_samples_at_points_of_a_grid_have_the_share_of_the_average_that_they_are():
    found = {}
    for way in ("average", "grid"):
        net = network(Warped(way))
        (place,) = net.places
        assert place.total_stride == (2, 2) and place.understood == (way == "average")
        found[way] = shares(net, *pairs(pictures(), (1, 3), "circular"), (1, 3))
    assert torch.allclose(found["grid"].products, found["average"].products, atol=1e-10)
    assert share(found["grid"])[0] > 0.1


@pytest.mark.parametrize("way", ["turned", "predicted"])
def test_samples_at_points_that_are_no_grid_are_listed_and_have_no_share(way):
    (place,) = [p for p in places(Warped(way).eval(), torch.rand(1, 3, SIDE, SIDE)) if p.kind != "global pooling"]
    assert place.size_in == (SIDE, SIDE) and not place.understood and not place.fault and not place.calls


class InPlace(nn.Module):
    """Changes maps in place, before and behind its three places, and adds to maps of before a place."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(4)
        self.stem, self.first = nn.Conv2d(3, 6, 3, 1, 1), nn.Conv2d(6, 6, 3, 2, 1)
        self.pool, self.side = nn.MaxPool2d(2), nn.MaxPool2d(2)
        self.linear = nn.Linear(6, 5)

    def forward(self, x):
        x = self.first(self.stem(x).relu_()).relu_()
        y = self.pool(x).relu_()
        z = self.side(x * x).tanh_()
        y += z
        x += 1  # behind the last place, of maps of before it
        return self.linear(y.mean((2, 3)) * x.mean((2, 3)))


class Counting(Chain):
    """Answers otherwise from run to run."""

    runs = 0

    def forward(self, x):
        self.runs += 1
        return super().forward(x) * self.runs


@pytest.mark.parametrize("make", [Chain, InPlace])
def test_runs_that_begin_with_the_one_before_answer_as_whole_ones(make, monkeypatch):
    """All subsets of places: the same answers, and fewer calls are computed."""
    net, computed = network(make()), 0
    original = Tape.call

    def counted(tape, compute):
        def one():
            nonlocal computed
            computed += 1
            return compute()

        return original(tape, one)

    monkeypatch.setattr(Tape, "call", counted)
    first, second = pairs(pictures(), (0, 1), "circular")
    masks = [torch.tensor([m] * 2) for m in product([False, True], repeat=len(net.places))]
    with torch.no_grad():
        whole = [net.mended(first, second, [(0, 1)] * 2, mask, True) for mask in masks]
        alone, computed = computed, 0
        found = net.mended_in_turn(first, second, [(0, 1)] * 2, masks, True)
    for one, other in zip(whole, found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    assert net.tapes
    assert computed < alone
    assert len({tuple(answer[0].tolist()) for answer in whole}) > 1  # places matter


def test_a_network_that_does_what_a_recording_does_not_hold_is_run_as_a_whole():
    net = network(Counting())
    first, second = pairs(pictures(), (0, 1), "circular")
    masks = [torch.tensor([m] * 2) for m in product([False, True], repeat=len(net.places))]
    with torch.no_grad():
        net.mended_in_turn(first, second, [(0, 1)] * 2, masks[-2:], True)
    assert not net.tapes
