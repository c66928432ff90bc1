"""Every pooling operator against its written definition in numpy and scipy."""

from __future__ import annotations

import copy
import itertools

import numpy as np
import pytest
from numpy.lib.stride_tricks import sliding_window_view
from scipy import ndimage, signal

from analysis.networks.lowpass import TABLE, lowpass

torch = pytest.importorskip("torch")
from analysis.networks.pooling import (  # noqa: E402
    APS,
    TLPF,
    AdaptiveBlurPool,
    BlurPool,
    Cascade,
    CMod,
    IntraBlockPool,
    MaxBlurPool,
    MaxPool,
    ModulusBatchNorm,
)
from analysis.networks.pooling._border import extend  # noqa: E402

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=NO_GPU)]
MODES = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}  # ours: numpy's
SIZES = {1: [(8,), (9,), (13,)], 2: [(8, 8), (9, 11), (7, 12)]}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype)


def numpy_of(t):
    return t.detach().cpu().double().numpy()


def close(a, b, tolerance=1e-12):
    a, b = (numpy_of(t) if isinstance(t, torch.Tensor) else np.asarray(t) for t in (a, b))
    return a.shape == b.shape and np.abs(a - b).max(initial=0) <= tolerance * max(np.abs(b).max(initial=0), 1)


def extended(x, pads, mode, **fill):
    return np.pad(x, [(0, 0)] * (x.ndim - len(pads)) + list(pads), mode=MODES[mode], **fill)


def strided(x, strides):
    return x[(..., *(slice(None, None, s) for s in strides))]


def same(*window):
    return [((k - 1) // 2, k // 2) for k in window]


def windows(x, window):
    return sliding_window_view(x, window, axis=tuple(range(-len(window), 0)))


# ---- filters --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("rectangle", [1, 1]),
        ("rectangle", [1, 1, 1, 1, 1]),
        ("triangle", [1, 2, 1]),
        ("triangle", [1, 2, 3, 2, 1]),
        ("triangle", [1, 2, 3, 4, 3, 2, 1]),
        ("binomial", [1, 1]),
        ("binomial", [1, 2, 1]),
        ("binomial", [1, 3, 3, 1]),
        ("binomial", [1, 4, 6, 4, 1]),
        ("binomial", [1, 5, 10, 10, 5, 1]),
        ("binomial", [1, 6, 15, 20, 15, 6, 1]),
        ("window", [1, 1.57, 1]),
        ("window", [-1, 1.67, 5, 5, 1.67, -1]),
        ("window", [-1, 0, 3, 4.71, 3, 0, -1]),
        ("least-squares", [1, 1.63, 1]),
        ("least-squares", [-1, 0, 3.80, 6.13, 3.80, 0, -1]),
    ],
)
def test_taps_to_the_printed_digits(name, printed):
    h = lowpass(name, len(printed))
    assert np.allclose(h / abs(h[0]), printed, atol=0.005)
    assert h.sum() == pytest.approx(1, abs=1e-15) and np.allclose(h, h[::-1], atol=1e-15)


def test_all_filters_of_the_table_are_low_pass():
    for name, sizes in TABLE.items():
        for n in sizes:
            gain = np.abs(np.fft.rfft(lowpass(name, n), 64))
            assert gain[0] == pytest.approx(1) and gain[-1] < 0.35
    assert lowpass("binomial", 1).tolist() == [1]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (("gauss", 3), ValueError, "unknown filter 'gauss'; expected one of rectangle, triangle, binomial, window"),
        (("triangle", 4), ValueError, "'triangle' needs an odd number of taps, a filter with a centre; got 4"),
        (("least-squares", 6), ValueError, "odd number of taps"),
        (("binomial", 0), ValueError, "taps is 0; expected at least 1"),
        (("binomial", 2.0), TypeError, "taps must be an integer, not float"),
    ],
)
def test_bad_filters(arguments, error, message):
    with pytest.raises(error, match=message):
        lowpass(*arguments)


# ---- the toy signal -------------------------------------------------------------------------------------------------


def test_the_toy_signal():
    x = torch.tensor([[[0.0, 0, 1, 1, 0, 0, 1, 1]]])
    circular = {"padding": "same", "padding_mode": "circular", "dims": 1}
    plain, blurred = MaxPool(2, 2, **circular), MaxBlurPool(2, 2, blur_padding_mode="circular", **circular)
    for shift, expected in ((0, [0, 1, 0, 1]), (1, [1, 1, 1, 1]), (-1, [1, 1, 1, 1])):
        assert plain(x.roll(shift, -1)).flatten().tolist() == expected
    assert blurred(x).flatten().tolist() == [0.5, 1, 0.5, 1]
    assert blurred(x.roll(1, -1)).flatten().tolist() == [0.75] * 4
    assert MaxPool(2, dims=1)(x).flatten().tolist() == [0, 1, 0, 1]


# ---- definitions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, "same"), (3, 2, 1), (3, 3, 0), (4, 1, "same")])
def test_max_pooling_is_its_definition(kernel, stride, padding, dims, mode, device):
    window = (kernel,) * dims
    pads = same(*window) if padding == "same" else [(padding, padding)] * dims
    pool = MaxPool(kernel, stride, padding, mode, dims=dims)
    for size in SIZES[dims]:
        x = random(2, 3, *size)
        fill = {"constant_values": -np.inf} if mode == "zeros" else {}
        dense = windows(extended(x.numpy(), pads, mode, **fill), window).max(axis=tuple(range(-dims, 0)))
        assert close(pool.dense(x.to(device)), dense) and close(pool(x.to(device)), strided(dense, [stride] * dims))


@pytest.mark.parametrize("ceil_mode", [False, True])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(2, 2, 0), (3, 2, 1), (3, 2, 0), (2, 3, 1), (5, 4, 2)])
def test_max_pooling_is_that_of_torch(kernel, stride, padding, ceil_mode):
    theirs = torch.nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil_mode)
    ours = MaxPool(kernel, stride, padding, ceil_mode=ceil_mode)
    for size in itertools.product(range(5, 14), (8, 11)):
        x = random(1, 2, *size)
        assert torch.equal(ours(x), theirs(x)) and torch.equal(ours.subsample(ours.dense(x)), theirs(x))


def test_one_window_and_stride_for_each_axis():
    x = random(2, 3, 12, 15)
    expected = torch.nn.functional.max_pool2d(x, (3, 2), (1, 3), (1, 0))
    assert torch.equal(MaxPool((3, 2), (1, 3), (1, 0))(x), expected)
    y = BlurPool((1, 3), taps=(5, 1), padding_mode="circular")(x)
    assert close(y, ndimage.correlate1d(x.numpy(), lowpass("binomial", 5), 2, mode="wrap")[..., ::3])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize(("name", "taps"), [("binomial", 3), ("window", 6), ("binomial", 2), ("least-squares", 7)])
def test_blur_is_that_of_scipy(name, taps, dims, mode, device):
    scipy_mode = {"zeros": "constant", "reflect": "mirror", "replicate": "nearest", "circular": "wrap"}[mode]
    for size, stride in itertools.product([*SIZES[dims], (70, 66)[:dims]], (1, 2, 3)):  # by matrices and not
        x = random(2, 3, *size)
        expected = x.numpy()
        for axis in range(2, 2 + dims):
            origin = 0 if taps % 2 else -1  # scipy has the extra sample of an even window on the left
            expected = ndimage.correlate1d(expected, lowpass(name, taps), axis, mode=scipy_mode, origin=origin)
        pool = BlurPool(stride, name, taps, padding_mode=mode, dims=dims)
        assert close(pool.dense(x.to(device)), expected)
        assert close(pool(x.to(device)), strided(expected, [stride] * dims))


def test_circular_blur_of_maps_smaller_than_the_filter():
    x = random(1, 2, 2, 1)
    expected = x.numpy()
    for axis in (2, 3):
        expected = ndimage.correlate1d(expected, lowpass("binomial", 7), axis, mode="wrap")
    assert close(BlurPool(1, taps=7, padding_mode="circular")(x), expected)


SHORT = {
    "max": lambda: MaxPool(5, 2, "same", "reflect"),
    "blur2": lambda: BlurPool(taps=2),
    "blur3": lambda: BlurPool(),
    "blur7": lambda: BlurPool(taps=7),
    "tlpf": lambda: TLPF(2, 5, init="binomial"),
    "adaptive": lambda: AdaptiveBlurPool(2, 3, groups=2).eval(),
    "aps": lambda: APS(3),
    "cmod": lambda: CMod(2, 2, 5, 2, "same", "reflect"),
}


@pytest.mark.parametrize("size", [(1, 1), (1, 8), (9, 1), (2, 2), (2, 12)])
@pytest.mark.parametrize("name", SHORT)
def test_an_axis_too_short_for_reflection_is_continued_by_its_edge(name, size):
    pool, x = SHORT[name]().double(), random(2, 2, *size)
    pads = [(0, -n % 3) for n in size] if name == "aps" else pool.padding
    filled = x.numpy()
    for axis, (n, pair) in enumerate(zip(size, pads, strict=True), start=2):
        width = [pair if i == axis else (0, 0) for i in range(4)]
        filled = np.pad(filled, width, mode="edge" if max(pair) >= n else "reflect")
    expected = copy.deepcopy(pool)
    expected.padding = ((0, 0), (0, 0))
    assert close(pool(x), expected(torch.from_numpy(filled)))
    assert pool(x).shape[2:] == tuple(-(-n // pool.stride[0]) for n in size)


@pytest.mark.parametrize("size", SIZES[2])
def test_a_negative_padding_cuts_off(size):
    x = random(1, 2, *size)
    for mode in MODES:
        y = BlurPool(1, taps=3, padding=[(-1, 1), (0, -2)], padding_mode=mode)(x)
        cut = extended(x[..., 1:, :-2].numpy(), [(0, 1), (0, 0)], mode)
        assert close(y, signal.correlate(cut, np.outer([0.25, 0.5, 0.25], [0.25, 0.5, 0.25])[None, None], "valid"))


@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("ceil_mode", [False, True])
def test_max_blur_pooling_is_its_three_parts(dims, ceil_mode):
    for size in SIZES[dims]:
        x = random(2, 3, *size)
        pool = MaxBlurPool(3, 2, 1, ceil_mode=ceil_mode, taps=5, dims=dims)
        peaks = MaxPool(3, 2, 1, ceil_mode=ceil_mode, dims=dims)
        blurred = BlurPool(2, taps=5, dims=dims)
        assert close(pool(x), blurred(peaks.dense(x)))
        assert pool(x).shape == peaks(x).shape


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("size", "shape"), [(3, (9, 8)), ((1, 4), (9, 12)), ((5, 2), (11, 11))])
def test_tlpf_is_its_definition(size, shape, mode):
    pool = TLPF(3, size, 2, padding_mode=mode).double()
    torch.nn.init.normal_(pool.logits)
    x = random(2, 3, *shape)
    m, n = pool.size
    filled = extended(x.numpy(), same(m, n), mode)
    weights = np.exp(numpy_of(pool.logits)[:, 0])
    weights /= weights.sum(axis=(1, 2), keepdims=True)
    dense = np.stack(
        [[signal.correlate(c, w, "valid", "direct") for c, w in zip(e, weights, strict=True)] for e in filled]
    )
    assert close(pool.dense(x), dense) and close(pool(x), dense[..., ::2, ::2])
    assert (pool.kernels > 0).all() and close(pool.kernels.sum(dim=(1, 2, 3)), np.ones(3))


def test_tlpf_starts_almost_as_the_rectangle_or_as_it_is_told():
    x = random(2, 8, 9, 9, dtype=torch.float32)
    assert TLPF(8, 5).logits.std().item() == pytest.approx(0.01, rel=0.2)
    assert close(TLPF(8, 5)(x), BlurPool(2, "rectangle", 5)(x), 0.01)
    assert close(TLPF(8, 5, init="binomial")(x), BlurPool(2, "binomial", 5)(x), 1e-6)
    assert close(TLPF(8, 4, init="rectangle")(x), BlurPool(2, "rectangle", 4)(x), 1e-6)


def audio_network(width, pool):
    """The convolutional part of VGG41 (width 1) and VGG42 (width 2): pooling after blocks 1 to 3."""
    layers, last = [torch.nn.Conv2d(1, 32 * width, 3, padding=1, bias=False)], 32 * width
    for block, channels in enumerate((48, 64, 128, 256)):
        for _ in range(2):
            convolution = torch.nn.Conv2d(last, channels * width, 3, padding=1, bias=False)
            layers += [convolution, torch.nn.BatchNorm2d(channels * width), torch.nn.ReLU()]
            last = channels * width
        layers += [pool(last)] if block < 3 else []
    return torch.nn.Sequential(*layers)


@pytest.mark.parametrize(("width", "added", "total"), [(1, 6000, 1.2e6), (2, 12000, 4.9e6)])
def test_parameters_that_tlpf_adds_to_the_audio_networks(width, added, total):
    def count(network):
        return sum(p.numel() for p in network.parameters())

    plain = audio_network(width, lambda channels: MaxPool(2))
    pooled = audio_network(width, lambda channels: Cascade(MaxPool(2), TLPF(channels, 5)))
    assert count(pooled) - count(plain) == added
    assert count(plain) == pytest.approx(total, rel=0.06)  # without the dense layer of 200 outputs
    assert pooled(torch.randn(1, 1, 101, 96)).shape == (1, 256 * width, 12, 12)


def aps_by_loops(x, strides, order):
    """Components one by one, the first of the largest norm, for every example."""
    results, indices = [], []
    for example in x:
        grids = [
            strided(example[(..., *map(lambda o: slice(o, None), offset))], strides)
            for offset in itertools.product(*map(range, strides))
        ]
        norms = [np.linalg.norm(g.ravel(), order) for g in grids]
        indices.append(int(np.argmax(norms)))
        results.append(grids[indices[-1]])
    return np.stack(results), indices


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("norm", "order"), [("l1", 1), ("l2", 2), ("linf", np.inf)])
@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dims", [1, 2])
def test_aps_is_its_definition(dims, stride, norm, order, device):
    for size in SIZES[dims]:
        x = random(5, 3, *size)
        for mode in MODES:
            filled = extended(x.numpy(), [(0, -n % stride) for n in size], mode)
            pool = APS(stride, norm, padding_mode=mode, return_index=True, dims=dims)
            y, index = pool(x.to(device))
            expected, indices = aps_by_loops(filled, [stride] * dims, order)
            assert index.dtype == torch.int64 and index.tolist() == indices and close(y, expected)


def test_aps_has_a_stride_for_each_axis_and_takes_indices():
    pool = APS((2, 3), return_index=True)
    x = random(4, 2, 8, 9)
    y, index = pool(x)
    expected, indices = aps_by_loops(x.numpy(), (2, 3), 1)
    assert close(y, expected) and index.tolist() == indices
    given = torch.tensor([0, 5, 2, 3])
    z, same_index = pool(x, index=given)
    assert torch.equal(same_index, given)
    for example, (i, j) in enumerate([(0, 0), (1, 2), (0, 2), (1, 0)]):
        assert torch.equal(z[example], x[example, :, i::2, j::3])
    with pytest.raises(ValueError, match=r"index has shape \(3,\); expected \(4,\)"):
        pool(x, index=given[:3])
    assert torch.equal(pool(x, index=given.int())[0], z)
    for index, error, message in (
        (given.float(), TypeError, "index has dtype torch.float32; expected int64"),
        (given > 1, TypeError, "index has dtype torch.bool"),
        ([0, 5, 2, 3], TypeError, "index must be a tensor, not list"),
        (given + 1, ValueError, r"index goes from 1 to 6; expected 0 to 5 for the stride \(2, 3\)"),
        (given - 1, ValueError, "index goes from -1 to 4"),
    ):
        with pytest.raises(error, match=message):
            pool(x, index=index)


def test_ties_go_to_the_first_component():
    assert APS(return_index=True)(torch.ones(3, 2, 4, 4))[1].tolist() == [0, 0, 0]
    x = torch.zeros(1, 1, 4, 4)
    x[..., 1, 1] = x[..., 0, 1] = 2
    assert APS(return_index=True)(x)[1].tolist() == [1]


def are_circular_shifts(a, others, tolerance):
    """Whether each of others is some shift of a."""
    axes = tuple(range(1, a.ndim))
    shifts = itertools.product(*(range(n) for n in a.shape[1:]))
    shifted = np.stack([np.roll(a, shift, axes).ravel() for shift in shifts])
    apart = np.abs(others.reshape(len(others), 1, -1) - shifted).max(axis=2)
    return (apart.min(axis=1) <= tolerance).all()


def is_tied(dense, stride, norm):
    """Whether different components have the largest norm: no choice among them is equivariant."""
    offsets = itertools.product(*(range(stride) for _ in dense.shape[2:]))
    parts = [dense[(0, slice(None), *(slice(o, None, stride) for o in offset))].ravel() for offset in offsets]
    norms = [np.linalg.norm(part, {"l1": 1, "l2": 2, "linf": np.inf}[norm]) for part in parts]
    best = [part for part, value in zip(parts, norms, strict=True) if value > max(norms) * (1 - 1e-9)]
    return any(np.abs(part - best[0]).max() > 1e-9 for part in best)


def test_aps_is_equivariant_to_every_circular_shift_in_500_random_cases():
    rng = np.random.default_rng(0)
    failures = 0
    for case in range(500):
        dims, stride = int(rng.integers(1, 3)), int(rng.integers(2, 4))
        size = tuple(stride * int(n) for n in rng.integers(1, 5, dims))
        norm = ("l1", "l2", "linf")[case % 3]
        circular = {"padding_mode": "circular", "dims": dims}
        stages = [APS(stride, norm, **circular)]
        if norm == "l2" and case % 2:  # the other norms tie there
            stages = [MaxPool(2, 2, "same", **circular), BlurPool(taps=3, **circular), *stages]
        pool = Cascade(*stages)
        while is_tied(pool.dense(x := torch.from_numpy(rng.standard_normal((1, 2, *size)))).numpy(), stride, norm):
            pass
        shifts = list(itertools.product(*map(range, size)))
        rolled = torch.cat([x.roll(shift, tuple(range(2, 2 + dims))) for shift in shifts])
        y = pool(rolled).numpy()
        failures += not are_circular_shifts(y[0], y, 1e-12)
    assert failures == 0


def test_plain_subsampling_is_not_equivariant():  # the test above can fail
    x = random(1, 2, 6, 6)
    y, moved = (BlurPool(padding_mode="circular")(z).numpy() for z in (x, x.roll(1, -1)))
    assert not are_circular_shifts(y[0], moved, 1e-6)


def test_binomial_filters_make_the_l1_norms_of_all_components_equal():  # which the docstring warns of
    x = random(3, 2, 8, 10).abs()
    y = BlurPool(taps=5, padding_mode="circular").dense(x)
    sums = [y[..., i::2, j::2].sum(dim=(1, 2, 3)) for i in (0, 1) for j in (0, 1)]
    assert all(close(total, sums[0]) for total in sums)


@pytest.mark.parametrize("softmax", ["joint", "group"])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("mode", MODES)
def test_adaptive_blur_is_its_definition(mode, training, softmax):
    pool = AdaptiveBlurPool(6, 3, 2, groups=3, softmax=softmax, padding_mode=mode).double().train(training)
    torch.nn.init.normal_(pool.bn.bias)
    with torch.no_grad():
        pool.bn.running_mean.normal_()
        pool.bn.running_var.uniform_(0.5, 2)
    for size in SIZES[2]:
        x = random(2, 6, *size)
        filled = extended(x.numpy(), same(3, 3), mode)
        kernels = numpy_of(pool.conv.weight)
        logits = np.stack([[signal.correlate(e, k, "valid", "direct")[0] for k in kernels] for e in filled])
        mean, variance = numpy_of(pool.bn.running_mean), numpy_of(pool.bn.running_var)
        if training:
            mean, variance = logits.mean(axis=(0, 2, 3)), logits.var(axis=(0, 2, 3))
        logits = (logits - mean[:, None, None]) / np.sqrt(variance + 1e-5)[:, None, None]
        weights = np.exp(logits * numpy_of(pool.bn.weight)[:, None, None] + numpy_of(pool.bn.bias)[:, None, None])
        weights = weights.reshape(2, 3, 9, *size)
        weights /= weights.sum(axis=(1, 2) if softmax == "joint" else 2, keepdims=True)
        expected = np.zeros((2, 6, *size))
        for channel, (i, j) in itertools.product(range(6), itertools.product(range(3), range(3))):
            moved = filled[:, channel, i : i + size[0], j : j + size[1]]
            expected[:, channel] += weights[:, channel // 2, 3 * i + j] * moved
        twin = copy.deepcopy(pool)  # training moves the running statistics
        assert close(twin.dense(x), expected) and close(copy.deepcopy(pool)(x), expected[..., ::2, ::2])
        assert close(copy.deepcopy(pool).weights(x), weights)


def test_adaptive_blur_starts_as_it_is_told():
    x = random(2, 8, 9, 12, dtype=torch.float32)
    for training in (True, False):
        pool = AdaptiveBlurPool(8, 3, groups=4, softmax="group", init="binomial").train(training)
        assert close(pool(x), BlurPool()(x), 1e-6)
        joint = AdaptiveBlurPool(8, 3, groups=4, init="binomial").train(training)
        assert close(4 * joint(x), BlurPool()(x), 1e-6)


def test_parameters_that_adaptive_blur_adds_to_resnet_34():
    # behind the dense maximum, the first convolution of three blocks, and before the shortcuts of these
    channels = [64, 128, 256, 512, 64, 128, 256]
    assert sum(p.numel() for c in channels for p in AdaptiveBlurPool(c).parameters()) == 913_392


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("dims", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_cmod_is_its_definition(groups, dims, device):
    rng = np.random.default_rng(0)
    for mode, size in itertools.product(MODES, SIZES[dims]):
        pool = CMod(4, 6, 3, 2, 1, mode, groups, dims=dims).double()
        shape = (6, 4 // groups, *(3,) * dims)
        w = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
        pool.load_filters(w)
        x = random(2, 4, *size)
        filled = extended(x.numpy(), same(*(3,) * dims), mode)
        expected = np.empty((2, 6, *size))
        for example, out in itertools.product(range(2), range(6)):
            inputs = np.split(filled[example], groups)[out // (6 // groups)]
            z = sum(signal.correlate(c, k.conj(), "valid") for c, k in zip(inputs, w[out], strict=True))
            expected[example, out] = np.abs(z) + pool.bias[out].item()
        pool.to(device)
        assert close(pool.dense(x.to(device)), expected)
        assert close(pool(x.to(device)), strided(expected, [2] * dims))


def test_the_gradient_of_the_modulus_at_zero_is_zero():
    x = torch.zeros(1, 1, 6, 6, requires_grad=True)
    CMod(1, 2, 3)(x).sum().backward()
    assert torch.equal(x.grad, torch.zeros_like(x))


def test_modulus_batch_norm_is_its_definition():
    norm = ModulusBatchNorm(3, momentum=0.25).double()
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    shape, running = (1, 3, 1, 1), np.ones(3)
    for _ in range(3):
        x = random(4, 3, 5, 7).abs()
        half = (x.numpy() ** 2).mean(axis=(0, 2, 3)) / 2
        running = 0.75 * running + 0.25 * half
        a, b = numpy_of(norm.weight).reshape(shape), numpy_of(norm.bias).reshape(shape)
        assert close(norm(x), np.abs(a) * x.numpy() / np.sqrt(half + 1e-5).reshape(shape) + b)
    assert close(norm.running_var, running)
    norm.eval()
    assert close(norm(x), np.abs(a) * x.numpy() / np.sqrt(running + 1e-5).reshape(shape) + b)
    assert set(norm.state_dict()) == set(torch.nn.BatchNorm2d(3).state_dict())  # each takes that of the other
    assert torch.autograd.gradcheck(norm, (random(2, 3, 4, 4).abs().requires_grad_(),))
    assert norm.float()(x.bfloat16()).dtype == torch.bfloat16


def test_the_statistics_of_an_ordinary_batch_norm_fit_the_modulus():
    angle, modulus = 2 * torch.pi * torch.rand(8, 2, 64, 64), torch.rand(8, 2, 64, 64)
    ordinary, norm = torch.nn.BatchNorm2d(2, momentum=1.0), ModulusBatchNorm(2, momentum=1.0)
    ordinary(modulus * angle.cos())
    norm(modulus)
    assert close(norm.running_var, ordinary.running_var, 0.01)


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: MaxPool(2, 0), ValueError, "stride is 0; expected at least 1"),
        (lambda: BlurPool(0), ValueError, "stride is 0; expected at least 1"),
        (lambda: APS(0), ValueError, "stride is 0; expected at least 1"),
        (lambda: CMod(1, 1, 3, 0), ValueError, "stride is 0"),
        (lambda: TLPF(4, 3, 2.0), TypeError, "stride must be an integer, not float"),
        (lambda: MaxPool(3, (1, 2, 3)), ValueError, r"stride is \(1, 2, 3\); expected an integer or 2 of them"),
        (lambda: MaxPool(3, padding=3), ValueError, "padding is 3; expected less than the window, 3"),
        (lambda: MaxPool(3, padding="valid"), ValueError, "padding is 'valid'; expected 'same'"),
        (lambda: MaxPool(3, padding=[1]), ValueError, r"padding is \[1\]; expected"),
        (lambda: MaxPool(3, padding=[(1, 1, 1), (0, 0)]), ValueError, r"a pair is \(left, right\)"),
        (lambda: MaxPool(3, padding=-1), ValueError, "padding is -1"),
        (lambda: MaxPool(3, dims=3), ValueError, "dims is 3; expected 1 to 2"),
        (lambda: BlurPool(padding_mode="mirror"), ValueError, "unknown padding_mode 'mirror'; expected one of zeros"),
        (lambda: BlurPool(filter="gauss"), ValueError, "unknown filter 'gauss'; expected one of rectangle"),
        (lambda: IntraBlockPool(2), ValueError, "kernel_size is 2; an even window has no centre"),
        (lambda: AdaptiveBlurPool(8, 4), ValueError, "size is 4; an even window has no centre"),
        (lambda: AdaptiveBlurPool(6, 3, groups=4), ValueError, "groups is 4; expected a divisor of the 6 channels"),
        (lambda: AdaptiveBlurPool(8, softmax="all"), ValueError, "unknown softmax 'all'; expected one of joint, group"),
        (lambda: APS(norm="l3"), ValueError, "unknown norm 'l3'; expected one of l1, l2, linf"),
        (lambda: TLPF(4, 7, init="window"), ValueError, "a softmax starts from positive taps; 'window'"),
        (lambda: TLPF(0, 3), ValueError, "channels is 0"),
        (lambda: CMod(4, 3, 3, groups=2), ValueError, "groups is 2; expected a divisor of 4 and of 3 channels"),
        (lambda: CMod(1, 1, 3).load_filters(np.zeros((1, 1, 5, 5))), ValueError, r"filters have shape \(1, 1, 5, 5\)"),
        (lambda: ModulusBatchNorm(3, momentum=0), ValueError, "momentum is 0"),
        (lambda: ModulusBatchNorm(3, momentum=None), TypeError, "momentum must be a number, not NoneType"),
        (lambda: ModulusBatchNorm(3, momentum=float("nan")), ValueError, "momentum is nan; expected more than 0"),
        (lambda: ModulusBatchNorm(3, eps="0"), TypeError, "eps must be a number, not str"),
        (lambda: ModulusBatchNorm(3, -1e-5), ValueError, "eps is -1e-05; expected 0 or more"),
        (lambda: ModulusBatchNorm(3)(torch.zeros(1, 4, 2, 2)), ValueError, r"expected maps \(batch, 3, ...\)"),
        (lambda: Cascade(), ValueError, "needs at least one stage"),
        (
            lambda: BlurPool(padding=[(-2, 0), (0, -1)])(torch.zeros(1, 1, 2, 9)),
            ValueError,
            r"padding of \(-2, 0\) leaves nothing of the map's 2 samples",
        ),
        (
            lambda: BlurPool(padding=[(0, -2), (1, 1)], padding_mode="zeros")(torch.zeros(1, 1, 2, 9)),
            ValueError,
            r"padding of \(0, -2\) leaves nothing of the map's 2 samples",
        ),
        (
            lambda: extend(torch.zeros(1, 1, 1), ((8, -1),), "zeros"),
            ValueError,
            r"padding of \(8, -1\) leaves nothing of the map's 1 samples",
        ),
        *(
            (
                lambda mode=mode, make=make: make(mode)(torch.zeros(2, 8, 0, 8)),
                ValueError,
                "a map of .* samples has nothing to be continued by",
            )
            for mode in ("reflect", "replicate", "circular")
            for make in (lambda mode: BlurPool(padding_mode=mode), lambda mode: TLPF(8, 3, padding_mode=mode))
        ),
        (lambda: BlurPool(taps=5, padding=0)(torch.zeros(1, 1, 3, 9)), ValueError, "window of BlurPool, 5, is larger"),
        (
            lambda: MaxPool(3)(torch.zeros(1, 1, 2, 9)),
            ValueError,
            "window of MaxPool, 3x3, .* map, 2x9",
        ),
        (lambda: CMod(1, 1, 5)(torch.zeros(1, 1, 3, 9)), ValueError, "window of CMod, 5x5, is larger"),
    ],
)
def test_bad_arguments(make, error, message):
    with pytest.raises(error, match=message):
        make()


@pytest.mark.parametrize("name", ["max", "blur", "aps", "tlpf"])
def test_large_batches_by_pieces(name, monkeypatch):
    """In evaluation without derivatives a large batch is pooled piece by piece, with the same numbers."""
    dense = MaxPool(2, 2, "same", "circular")
    last = {"max": None, "blur": BlurPool(), "aps": APS(), "tlpf": TLPF(3, 3)}[name]
    pool = (dense if last is None else Cascade(dense, last)).eval()
    x = torch.randn(11, 3, 12, 10)
    wanted = pool(x)
    sizes = []
    original = MaxPool.dense
    monkeypatch.setattr(MaxPool, "dense", lambda self, part: sizes.append(len(part)) or original(self, part))
    monkeypatch.setattr("analysis.networks.pooling._pieces.PIECE", 4 * x[0].nbytes)
    with torch.no_grad():
        torch.testing.assert_close(pool(x), wanted, rtol=0, atol=0)
    assert sizes == [4, 4, 3]
    with torch.no_grad():
        pool.train()(x)  # where statistics of the batch may be taken
    assert sizes == [4, 4, 3, 11]
