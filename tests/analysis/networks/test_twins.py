"""The Gabor part of a twin, its stage and the networks: theory.md, section 6.1."""

import copy

import numpy as np
import pytest
from scipy.signal import correlate

from wavelets import DualTreePackets2D, FilterBank, filter_bank
from wavelets.filters import orthonormality_error

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402
from torch.nn.functional import conv2d, max_pool2d, pad  # noqa: E402

from analysis.networks import create  # noqa: E402
from analysis.networks.twins.packet_groups import (  # noqa: E402
    PacketGroup,
    alexnet_groups,
    by_name,
    by_orientation,
    resnet_edge_groups,
    resnet_groups,
)
from analysis.networks.twins.positions import Positions  # noqa: E402
from analysis.networks.twins.regulariser import selection_penalty  # noqa: E402
from analysis.networks.twins.stage import TwinStage  # noqa: E402
from analysis.networks.twins.trainable_packets import TrainablePackets2d, angles_of, low_pass_of  # noqa: E402
from analysis.networks.twins.walexnet import LAYER as ALEXNET  # noqa: E402
from analysis.networks.twins.wavelet_block import WaveletBlock  # noqa: E402
from analysis.networks.twins.wresnet import LAYER as RESNET  # noqa: E402
from wavelets.nn import DualTreePackets2d  # noqa: E402

AT_4 = Positions.of_convolution(11, 4, 2)
AT_2 = Positions.of_convolution(7, 2, 3)
PUBLISHED = {  # parameters of the archived networks, by their authors' names
    "AwyI": ("walexnet-rmax", 61089433),
    "AwyI_mod": ("walexnet-cmod", 61089433),
    "Azh3wyI": ("walexnet-rmax-blur", 61089433),
    "Azh3wyI_mod": ("walexnet-cmod-blur", 61089433),
    "R18wyC": ("wresnet18-rmax", 11178141),
    "R18wyC_mod": ("wresnet18-cmod", 11178141),
    "R18zh3wyC": ("wresnet18-rmax-blur", 11178141),
    "R18zh3wyC_mod": ("wresnet18-cmod-blur", 11178141),
    "R18zo3wyC": ("wresnet18-rmax-ablur", 12091533),
    "R18zo3wyC_mod": ("wresnet18-cmod-ablur", 12066207),
    "R34wyC": ("wresnet34-rmax", 21286301),
    "R34wyC_mod": ("wresnet34-cmod", 21286301),
    "R34zh3wyC": ("wresnet34-rmax-blur", 21286301),
    "R34zh3wyC_mod": ("wresnet34-cmod-blur", 21286301),
    "R34zo3wyC": ("wresnet34-rmax-ablur", 22199693),
    "R34zo3wyC_mod": ("wresnet34-cmod-ablur", 22174367),
    "RwyI": ("wresnet34-rmax", 21794171),
    "RwyI_mod": ("wresnet34-cmod", 21794171),
    "Rzh3wyI": ("wresnet34-rmax-blur", 21794171),
    "Rzh3wyI_abl": ("wresnet34-rmax-blur-ablated", 21794171),
    "Rzh3wyI_mod": ("wresnet34-cmod-blur", 21794171),
    "Rzo3wyI": ("wresnet34-rmax-ablur", 22707563),
    "Rzo3wyI_abl": ("wresnet34-rmax-ablur-ablated", 22682237),
    "Rzo3wyI_mod": ("wresnet34-cmod-ablur", 22682237),
}


def small_block(output="complex", **options):
    """Six packets of J = 2, mixed by threes, at stride 2."""
    torch.manual_seed(1)
    groups = (PacketGroup(by_orientation(2, lambda y, x: max(y, x) == 1), 4, 2, 0.1),)
    return WaveletBlock(groups, 2, AT_2, output, **options)


def plainly(block, x):
    """What a block gives, by plain convolution with the kernels that it says it comes to."""
    kernel = torch.from_numpy(block.resulting_kernel()).to(x.device)
    start, K = block.kernel_start, kernel.shape[-1]
    counts = [block.positions.count(n) for n in x.shape[2:]]
    ends = [(c - 1) * block.positions.stride + start + K - n for c, n in zip(counts, x.shape[2:], strict=True)]
    x = pad(x, (-start, max(ends[1], 0), -start, max(ends[0], 0)))
    parts = [conv2d(x, part.to(x.dtype), stride=block.positions.stride) for part in (kernel.real, kernel.imag)]
    z = torch.complex(*parts)[:, :, : counts[0], : counts[1]]
    return z.real if block.output == "real" else z


# ---- packets and groups ---------------------------------------------------------------------------------------------


def test_alexnet_keeps_94_packets_in_three_rings():
    groups = alexnet_groups()
    kept = np.concatenate([g.channels for g in groups])
    p = DualTreePackets2D(3).packets[kept]
    assert [len(g.channels) for g in groups] == [6, 24, 64]
    assert len(set(kept)) == 94
    assert not np.any((p.freq_y >= 4) & (p.freq_x >= 4))
    assert not np.any((p.freq_y == 0) & (p.freq_x == 0))
    assert [g.outputs for g in groups] == [6, 18, 8]
    assert [g.mixing_groups for g in groups] == [6, 6, 4]
    assert [g.weight for g in groups] == [0, 0.0041, 0.00032]


def test_resnet_keeps_16_packets():
    groups = resnet_groups()
    kept = np.concatenate([g.channels for g in groups])
    p = DualTreePackets2D(2).packets
    wanted = [k for k in range(32) if max(p.freq_y[k], p.freq_x[k]) in (1, 2)]
    assert sorted(kept) == wanted
    assert [len(g.channels) for g in groups] == [6, 4, 1, 4, 1]
    assert [g.outputs for g in groups] == [12, 4, 2, 4, 2]
    assert sum(len(g.channels) for g in resnet_edge_groups()) == 30
    assert [g.outputs for g in resnet_edge_groups()] == [12, 12]


def test_groups_of_resnet_hold_one_orientation():
    """Packets of the ring of highest frequency: each group in one quadrant."""
    frequencies = DualTreePackets2D(2).frequencies
    for group in resnet_groups()[1:]:
        assert len(set(np.sign(frequencies[list(group.channels), 0]))) == 1


def test_mixing_groups_of_alexnet_hold_neighbouring_orientations():
    frequencies = DualTreePackets2D(3).frequencies
    for group in alexnet_groups()[1:]:
        angles = np.degrees(np.arctan2(*frequencies[list(group.channels)].T)).reshape(group.mixing_groups, -1)
        assert np.all(angles[1:].min(1) >= angles[:-1].max(1))
        assert np.ptp(angles, axis=1).max() < 60


@pytest.mark.parametrize("arguments", [((), 2, 1), ((1, 2, 3), 2, 2), ((1, 2), 3, 2), ((1,), 1, 0)])
def test_groups_that_do_not_divide(arguments):
    with pytest.raises(ValueError, match="group"):
        PacketGroup(*arguments)


# ---- positions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [63, 64, 97, 224, 227])
@pytest.mark.parametrize(("layer", "pool"), [((11, 4, 2), (3, 2, 0)), ((7, 2, 3), (3, 2, 1))])
def test_positions_count_as_torch_does(n, layer, pool):
    k, m, p = layer
    x = torch.zeros(1, 1, n, n)
    y = conv2d(x, torch.zeros(1, 1, k, k), stride=m, padding=p)
    assert Positions.of_convolution(k, m, p).count(n) == y.shape[-1]
    pooled = max_pool2d(y, *pool)
    assert Positions.of_convolution(k, m, p).then(*pool).count(n) == pooled.shape[-1]


def test_positions_are_the_centres_of_windows():
    """A point of light is seen by the output that stands on it."""
    for k, m, p in ((11, 4, 2), (7, 2, 3)):
        at = Positions.of_convolution(k, m, p)
        centre = torch.zeros(1, 1, k, k)
        centre[..., k // 2, k // 2] = 1
        x = torch.zeros(1, 1, 64, 64)
        x[..., at.centre + 3 * m, at.centre + 5 * m] = 1
        assert conv2d(x, centre, stride=m, padding=p)[0, 0].nonzero().tolist() == [[3, 5]]


# ---- the block ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("output", "luminance"), [("real", None), ("complex", (1.0, 1.2, 0.8))])
@pytest.mark.parametrize(
    ("groups", "levels", "positions"),
    [
        (resnet_groups, 2, AT_2),
        (resnet_groups, 2, AT_2.then(3, 2, 1)),
        (resnet_groups, 2, Positions(1, 2, 3)),
        (alexnet_groups, 3, AT_4.then(3, 2, 0)),
        (alexnet_groups, 3, Positions.of_convolution(11, 2, 2)),
    ],
)
def test_block_is_the_convolution_by_its_resulting_kernel(groups, levels, positions, luminance, output):
    """In float64, at the border too, since both continue by zeros."""
    torch.manual_seed(0)
    block = WaveletBlock(groups(), levels, positions, output, luminance)
    x = torch.randn(1, 3, 41, 34, dtype=torch.float64)
    y = block(x)
    wanted = plainly(block, x)
    assert y.shape == wanted.shape
    torch.testing.assert_close(y, wanted, rtol=0, atol=1e-12 * float(wanted.detach().abs().max()))


def test_block_in_float32_and_by_scipy():
    block = small_block()
    x = np.random.default_rng(0).normal(size=(3, 60, 52))
    kernel = block.resulting_kernel()
    wanted = sum(correlate(x[c], kernel[2, c].conj(), "valid") for c in range(3))  # scipy's correlate conjugates
    first = -(block.kernel_start // 2)  # first output whose kernel is inside
    wanted = wanted[block.kernel_start + 2 * first :: 2, block.kernel_start + 2 * first :: 2]
    y = block(torch.from_numpy(x)[None].float())[0, 2].detach().numpy()
    h, w = wanted.shape
    inside = y[first : first + h, first : first + w]
    assert inside.shape[0] > 10
    assert np.abs(inside - wanted).max() < 1e-5 * np.abs(wanted).max()


def test_real_part():
    complex_block, real_block = small_block(), small_block("real")
    x = torch.randn(2, 3, 30, 33)
    torch.testing.assert_close(real_block(x), complex_block(x).real)


def test_kernels_stand_on_the_pixels_of_the_convolution():
    """The centre of the kernels' energy, near the centre of the window that they replace."""
    for groups, levels, at in ((alexnet_groups(), 3, AT_4), (resnet_groups(), 2, AT_2)):
        block = WaveletBlock(groups, levels, at)
        energy = (np.abs(block.resulting_kernel()) ** 2).sum((0, 1))
        place = np.arange(len(energy)) + block.kernel_start
        for axis in (0, 1):
            centre = (place * energy.sum(axis)).sum() / energy.sum()
            assert abs(centre - at.centre) < 1.5


def test_mixtures_stay_analytic():
    """The interior packets have 0.3 % of their energy in the wrong half-plane at most, and so have their mixtures."""
    block = WaveletBlock(resnet_groups()[1:], 2, AT_2)
    kernel = block.resulting_kernel().sum(1)
    power = np.abs(np.fft.fft2(kernel, (128, 128))) ** 2
    wrong = power[:, :, 65:].sum((1, 2)) / power.sum((1, 2))
    p = DualTreePackets2D(2).packets[block.selection()[0]]
    assert wrong[~p.edge].max() < 0.005


def test_luminance_last_equals_luminance_first_with_the_same_weights():
    mu = (0.9, 1.4, 0.7)
    first, last = small_block(luminance=mu), small_block(luminance=None)
    last.mixing.load_state_dict(first.mixing.state_dict())
    with torch.no_grad():
        last.colour.copy_(torch.tensor(mu).expand_as(last.colour))
    x = torch.randn(1, 3, 20, 20)
    torch.testing.assert_close(first(x), last(x))


def test_selection_finds_the_heaviest_packet():
    block = small_block()
    with torch.no_grad():
        block.mixing[0].copy_(torch.tensor([[1.0, -3, 0], [0, 0, 2], [1, 1, 1.5], [-4, 0, 0]]))
    packets, shares = block.selection()
    c = block.groups[0].channels
    assert packets.tolist() == [c[1], c[2], c[5], c[3]]
    np.testing.assert_allclose(shares, [0.75, 1, 1.5 / 3.5, 1])


def test_gradients():
    block = small_block().double()
    x = torch.randn(1, 3, 9, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(block, (x,), fast_mode=True)
    weights = [block.luminance, *block.mixing]

    def of_weights(*values):
        named = dict(zip(("luminance", "mixing.0"), values, strict=True))
        return torch.func.functional_call(block, named, (x.detach(),))

    leaves = tuple(w.detach().clone().requires_grad_() for w in weights)
    assert torch.autograd.gradcheck(of_weights, leaves, fast_mode=True)


@pytest.mark.parametrize("output", ["real", "complex"])
def test_compiled(output):
    block = small_block(output)
    x = torch.randn(2, 3, 21, 18)
    compiled = torch.compile(block, backend="aot_eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), block(x))
    with torch.no_grad():
        torch.testing.assert_close(compiled(x), block(x))


def test_exported():
    block = small_block("real")
    N, H, W = (torch.export.Dim(name, min=8) for name in ("N", "H", "W"))
    program = torch.export.export(block, (torch.randn(9, 3, 20, 24),), dynamic_shapes=({0: N, 2: H, 3: W},))
    x = torch.randn(8, 3, 33, 18)
    torch.testing.assert_close(program.module()(x), block(x))


def test_interleaved_exported():
    block = WaveletBlock(small_block().groups, 2, Positions(1, 2, 3))
    N = torch.export.Dim("N", min=2)
    program = torch.export.export(block, (torch.randn(3, 3, 9, 12),), dynamic_shapes=({0: N},))
    x = torch.randn(5, 3, 9, 12)
    torch.testing.assert_close(program.module()(x), block(x))


def test_channels_last_and_autocast():
    block = small_block()
    x = torch.randn(2, 3, 24, 24)
    torch.testing.assert_close(block(x.contiguous(memory_format=torch.channels_last)), block(x))
    with torch.autocast("cpu", torch.bfloat16):
        torch.testing.assert_close(block(x), block(x))
        assert block(x).dtype == torch.complex64
    real = small_block("real")
    assert real(x.bfloat16()).dtype == torch.bfloat16
    torch.testing.assert_close(real(x.bfloat16()).float(), real(x), rtol=0.05, atol=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu():
    block = small_block()
    x = torch.randn(2, 3, 30, 26)
    torch.testing.assert_close(copy.deepcopy(block).cuda()(x.cuda()).cpu(), block(x), rtol=1e-4, atol=1e-4)


def test_from_the_device_of_no_memory():
    block = small_block()
    with torch.device("meta"):
        empty = small_block()
    empty = empty.to_empty(device="cpu")
    empty.load_state_dict(block.state_dict())
    x = torch.randn(1, 3, 20, 20)
    torch.testing.assert_close(empty(x), block(x), rtol=0, atol=0)


def test_bad_input():
    block = small_block()
    with pytest.raises(ValueError, match=r"3, H, W.*\(1, 4, 20, 20\)"):
        block(torch.zeros(1, 4, 20, 20))
    with pytest.raises(ValueError, match="3x20 pixels; the packets need 4"):
        block(torch.zeros(1, 3, 3, 20))
    with pytest.raises(TypeError, match="int64"):
        block(torch.zeros(1, 3, 20, 20, dtype=torch.int64))
    with pytest.raises(ValueError, match="'imaginary'"):
        small_block("imaginary")
    with pytest.raises(ValueError, match="3 weights"):
        small_block(luminance=(1.0, 2.0))
    with pytest.raises(ValueError, match="stride is 3"):
        WaveletBlock(resnet_groups(), 2, Positions(3, 0, 1))
    with pytest.raises(ValueError, match="packet 127"):
        WaveletBlock((PacketGroup((127,), 1, 1),), 2, AT_2)
    with pytest.raises(ValueError, match="empty"):
        WaveletBlock((), 2, AT_2)


# ---- trainable filters ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["cf_2_2", "cf_3_3", "cf_1_4"])
def test_angles_give_the_filters_back(name):
    bank = filter_bank(name)
    for h in (bank.h1, bank.h2, bank.h_first):
        np.testing.assert_allclose(low_pass_of(torch.from_numpy(angles_of(h))).numpy(), h, atol=1e-14)


def test_trainable_filters_begin_as_the_frozen_ones():
    x = torch.randn(1, 20, 23, dtype=torch.float64)
    trainable, frozen = TrainablePackets2d(2, stride=2), DualTreePackets2d(2, stride=2, boundary="zero")
    torch.testing.assert_close(trainable(x), frozen(x), rtol=0, atol=1e-5)


def test_trained_filters_stay_orthonormal():
    """A few steps of gradient descent on a loss that has nothing to do with it."""
    torch.manual_seed(0)
    transform = TrainablePackets2d(2, "cf_2_2", boundary="periodization")
    x = torch.randn(4, 16, 16)
    before = transform.trained_bank()
    optimiser = torch.optim.SGD(transform.parameters(), 1e-3)
    for _ in range(5):
        loss = transform(x)[:, 5].abs().square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    bank = transform.trained_bank()
    assert np.abs(bank.h1 - before.h1).max() > 1e-3
    for h in (bank.h1, bank.h2, bank.h_first):
        assert orthonormality_error(h) < 1e-14
        assert h.sum() == pytest.approx(np.sqrt(2), abs=1e-14)
    x = x.double()
    energy = transform(x).abs().square().sum()
    torch.testing.assert_close(energy, 8 * x.square().sum())
    torch.testing.assert_close(transform.inverse(transform(x), 16), x)


def test_time_reversed_pair_stays_one():
    h = filter_bank("cf_2_2").h1
    transform = TrainablePackets2d(2, FilterBank("reversed", h, h[::-1], h))
    assert set(transform.angles) == {"h_first", "h1"}
    with torch.no_grad():
        transform.angles["h1"].add_(0.1)
    bank = transform.trained_bank()
    np.testing.assert_array_equal(bank.h2, bank.h1[::-1])


@pytest.mark.slow
def test_gradient_of_the_filters():
    transform = TrainablePackets2d(2, "cf_1_1").double()
    x = torch.randn(6, 5, dtype=torch.float64)
    names = [f"angles.{name}" for name in transform.angles]

    def of_angles(*values):
        return torch.func.functional_call(transform, dict(zip(names, values, strict=True)), (x,))

    leaves = tuple(v.detach().clone().requires_grad_() for v in transform.angles.values())
    assert torch.autograd.gradcheck(of_angles, leaves, fast_mode=True)


def test_block_with_trained_filters_is_its_resulting_kernel():
    block = small_block(trainable=True)
    with torch.no_grad():
        for angles in block.packets.angles.values():
            angles.add_(0.05 * torch.randn_like(angles))
    x = torch.randn(1, 3, 20, 17, dtype=torch.float64)
    torch.testing.assert_close(block(x), plainly(block, x), rtol=0, atol=1e-10)


# ---- the regulariser ------------------------------------------------------------------------------------------------


def test_penalty_by_hand():
    w = torch.tensor([[3.0, -4, 1], [0, 0, 2], [0, 0, 0]])
    assert selection_penalty([w, w], [0.5, 0.0]).item() == pytest.approx(0.5 * (8 / 4 - 1))


def test_penalty_does_not_see_scale_and_falls_as_one_packet_is_selected():
    torch.manual_seed(0)
    w = torch.randn(5, 7, dtype=torch.float64)
    one = selection_penalty([w], [1.0])
    torch.testing.assert_close(selection_penalty([w * torch.tensor([[2.0], [-3], [0.1], [5], [1]])], [1.0]), one)
    w.requires_grad_()
    optimiser = torch.optim.SGD([w], 0.01)
    for _ in range(2000):
        loss = selection_penalty([w], [1.0])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss < 0.1 * one
    share = w.detach().abs().amax(1) / w.detach().abs().sum(1)
    assert share.min() > 0.95


def test_penalty_gradient():
    w = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v: selection_penalty([v], [0.7]), (w,))
    zero = torch.zeros(2, 3, requires_grad=True)
    selection_penalty([zero], [1.0]).backward()
    assert torch.isfinite(zero.grad).all()


def test_penalty_refuses():
    with pytest.raises(ValueError, match="2 factors for 1 groups"):
        selection_penalty([torch.ones(1, 2)], [1.0, 2.0])
    with pytest.raises(ValueError, match="below 0"):
        selection_penalty([torch.ones(1, 2)], [-1.0])


# ---- the stage ------------------------------------------------------------------------------------------------------


def stage_of(layer, twin, pooling="max", **options):
    torch.manual_seed(3)
    groups = alexnet_groups() if layer is ALEXNET else resnet_groups()
    return TwinStage(layer, groups, twin, pooling, **options).eval()


@pytest.mark.parametrize("layer", [ALEXNET, RESNET], ids=["alexnet", "resnet"])
@pytest.mark.parametrize("size", [(64, 79), (97, 66)])
def test_stage_is_rmax_or_cmod_of_its_kernels(layer, size):
    """RMax: convolution, bias, ReLU, max pooling. CMod: the modulus of the same at the centre of every window."""
    rmax, cmod = stage_of(layer, "rmax").double(), stage_of(layer, "cmod").double()
    cmod.load_state_dict(rmax.state_dict())
    x = torch.randn(1, 3, *size, dtype=torch.float64)
    for stage in (rmax, cmod):
        nn.init.normal_(stage.bias) if stage.bias is not None else None
    bias = [0 if stage.bias is None else stage.bias.view(-1, 1, 1) for stage in (rmax, cmod)]
    z = torch.complex(*(plainly(real_of(rmax.block, part), x) for part in ("real", "imag")))
    pooled = max_pool2d((rmax.gabor_norm(z.real) + bias[0]).relu(), 3, 2, layer.pool_padding)
    centres = 1 - layer.pool_padding
    sampled = z.abs()[:, :, centres::2, centres::2][:, :, : pooled.shape[2], : pooled.shape[3]]
    modulus = (cmod.gabor_norm(sampled) + bias[1]).relu()
    free = max_pool2d(rmax.free_norm(rmax.free(x)).relu(), 3, 2, layer.pool_padding)
    torch.testing.assert_close(rmax(x), torch.cat([free, pooled], 1))
    torch.testing.assert_close(cmod(x), torch.cat([free, modulus], 1))


def real_of(block, part):
    """A block whose plain convolution gives the real or the imaginary part."""
    twin = copy.deepcopy(block)
    twin.output = "real"
    kernel = getattr(block.resulting_kernel(), part).astype(complex)
    twin.resulting_kernel = lambda: kernel
    return twin


@pytest.mark.parametrize("layer", [ALEXNET, RESNET], ids=["alexnet", "resnet"])
def test_twins_share_weights(layer):
    rmax, cmod = stage_of(layer, "rmax"), stage_of(layer, "cmod")
    shapes = {name: p.shape for name, p in rmax.named_parameters()}
    assert {name: p.shape for name, p in cmod.named_parameters()} == shapes
    state = rmax.state_dict()
    cmod.load_state_dict(state)
    assert set(state) == set(rmax.state_dict())  # what was given is left as it is
    rmax.load_state_dict(cmod.state_dict())
    for name, value in rmax.state_dict().items():
        torch.testing.assert_close(value, state[name])


@pytest.mark.parametrize("layer", [ALEXNET, RESNET], ids=["alexnet", "resnet"])
@pytest.mark.parametrize(
    ("twin", "pooling", "options"),
    [
        ("rmax", "blur3", {}),
        ("cmod", "blur3", {}),
        ("rmax", "blur3", {"gabor_pooling": "max"}),
        ("rmax", "max", {"gabor_pooling": "blur3"}),
        ("rmax", "adaptive-blur", {}),
        ("cmod", "adaptive-blur", {}),
        ("cmod", "aps-l1", {}),
        ("cmod", "tlpf", {"luminance": None}),
    ],
)
def test_every_variant_has_the_size_of_the_plain_layer(layer, twin, pooling, options):
    stage = stage_of(layer, twin, pooling, **options)
    for size in ((64, 71), (66, 97)):
        x = torch.randn(2, 3, *size)
        plain = stage_of(layer, "rmax")
        assert stage(x).shape == plain(x).shape


def test_ablated_gabor_channels_keep_plain_max_pooling():
    ablated, plain = stage_of(RESNET, "rmax", "blur3", gabor_pooling="max"), stage_of(RESNET, "rmax")
    blurred = stage_of(RESNET, "rmax", "blur3")
    for stage in (plain, blurred):
        stage.load_state_dict(ablated.state_dict())
    x = torch.randn(1, 3, 40, 40)
    torch.testing.assert_close(ablated(x)[:, 40:], plain(x)[:, 40:])
    torch.testing.assert_close(ablated(x)[:, :40], blurred(x)[:, :40])


def test_cmod_keeps_its_modulus_beside_blur():
    blurred, plain = stage_of(ALEXNET, "cmod", "blur3"), stage_of(ALEXNET, "cmod")
    plain.load_state_dict(blurred.state_dict())
    x = torch.randn(1, 3, 70, 70)
    torch.testing.assert_close(blurred(x)[:, 32:], plain(x)[:, 32:])
    assert not torch.allclose(blurred(x)[:, :32], plain(x)[:, :32])


def band_limited(theta, spread, size=224):
    """Waves near one frequency under a Gaussian, so that the border is dark; shape (1, 3, size, size)."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:size, :size] - size / 2
    picture = np.zeros((size, size))
    for _ in range(20):
        wave = theta + rng.uniform(-spread, spread, 2) / 2
        middle = rng.uniform(-25, 25, 2)
        envelope = np.exp(-((y - middle[0]) ** 2 + (x - middle[1]) ** 2) / (2 * 20**2))
        picture += envelope * np.cos(wave[0] * y + wave[1] * x + rng.uniform(0, 2 * np.pi))
    return torch.from_numpy(picture).expand(1, 3, -1, -1)


@pytest.mark.parametrize("shift", [(0, 1), (1, 1), (0, 2)])
def test_change_of_cmod_under_a_shift_is_below_the_bound(shift):
    """Theorem 1: ||CMod(shifted) - CMod|| <= kappa / 2 ||u||_1 ||CMod||, for an input of bandwidth kappa.

    A wave of 45 degrees at half the sampling of the max pooling: RMax moves by more than that.
    """
    channel = by_name(3, [(2, 2, "a")])
    theta = DualTreePackets2D(3).frequencies[channel[0]]
    groups = (PacketGroup(channel, 1, 1),)
    change = {}
    x = band_limited(theta, 0.05)
    for twin in ("cmod", "rmax"):
        torch.manual_seed(0)
        stage = TwinStage(ALEXNET, groups, twin).double().eval()
        with torch.no_grad():
            stage.block.mixing[0].fill_(1)
            here, there = (stage(v)[:, 32:] for v in (x, torch.roll(x, shift, (2, 3))))
        change[twin] = ((there - here).norm() / here.norm()).item()
    kappa = 0.05 + 6 / 20  # of the waves, and three deviations of the spectrum of their envelope on each side
    bound = kappa / 2 * sum(shift)
    assert change["cmod"] < bound
    assert change["rmax"] > change["cmod"]


def test_stage_refuses():
    with pytest.raises(ValueError, match="'modulus'"):
        stage_of(ALEXNET, "modulus")
    with pytest.raises(ValueError, match="no pooling"):
        stage_of(ALEXNET, "cmod", gabor_pooling="max")
    with pytest.raises(ValueError, match="'grey'"):
        stage_of(ALEXNET, "cmod", luminance="grey")


# ---- the networks ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", PUBLISHED)
def test_parameters_of_the_archived_networks(key):
    name, count = PUBLISHED[key]
    with torch.device("meta"):
        network = create(name, classes=1000 if key.endswith(("I", "I_mod", "I_abl")) else 10)
    assert sum(p.numel() for p in network.parameters()) == count


@pytest.mark.slow
@pytest.mark.parametrize("name", ["walexnet-cmod", "wresnet18-cmod-ablur", "wresnet18-rmax"])
def test_networks_learn(name):
    """A step of gradient descent lowers the loss, and every parameter has a part in it."""
    torch.manual_seed(0)
    network = create(name, classes=3)
    x, y = torch.randn(3, 3, 71, 64), torch.arange(3)
    for module in network.modules():
        module.p = 0.0 if isinstance(module, nn.Dropout) else None
    losses = []
    optimiser = torch.optim.SGD(network.parameters(), 0.01)
    for _ in range(2):
        loss = nn.functional.cross_entropy(network(x), y) + network.regularisation()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in network.parameters())


def test_networks_refuse():
    with pytest.raises(ValueError, match="walexnet-cmod"):
        create("walexnet-cmodd")
    with pytest.raises(ValueError, match="3, H, W"):
        create("walexnet-cmod", classes=2)(torch.zeros(1, 1, 64, 64))
    with pytest.raises(ValueError, match="from 63×63 on"):
        create("walexnet-cmod", classes=2)(torch.zeros(1, 3, 62, 64))
    with pytest.raises(ValueError, match="the packets need 15"):
        stage_of(ALEXNET, "cmod")(torch.zeros(1, 3, 14, 64))
    with pytest.raises(ValueError, match="'modulus'"):
        create("wresnet18-cmod", twin="modulus")
