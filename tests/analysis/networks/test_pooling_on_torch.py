"""What torch expects of every pooling operator: derivatives, compilers, precisions, states, refusals."""

from __future__ import annotations

import copy
import io
import shutil
import warnings

import numpy as np
import pytest
from scipy.signal import convolve

torch = pytest.importorskip("torch")
from torch.autograd import forward_ad  # noqa: E402

from analysis.networks import remedy, replace_pooling  # noqa: E402
from analysis.networks.lowpass import lowpass  # noqa: E402
from analysis.networks.pooling import (  # noqa: E402
    APS,
    TLPF,
    AdaptiveBlurPool,
    BlurPool,
    Cascade,
    CMod,
    IdealPool,
    IntraBlockPool,
    MaxBlurPool,
    MaxPool,
    ModulusBatchNorm,
)
from analysis.networks.pooling import _border as border  # noqa: E402

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=NO_GPU)]
SIZES = {1: [(8,), (9,), (13,)], 2: [(8, 8), (9, 11), (7, 12)]}
C = 4

OPERATORS = {
    "max": lambda dims: MaxPool(3, 2, 1, dims=dims),
    "max, even, circular": lambda dims: MaxPool(2, 2, "same", "circular", dims=dims),
    "blur": lambda dims: BlurPool(dims=dims),
    "blur, even taps": lambda dims: BlurPool(taps=4, dims=dims),
    "max, blur": lambda dims: MaxBlurPool(3, 2, 1, dims=dims),
    "tlpf": lambda dims: TLPF(C, 3, dims=dims),
    "aps": lambda dims: APS(dims=dims),
    "max, tlpf, aps": lambda dims: Cascade(MaxPool(2, dims=dims), TLPF(C, 3, dims=dims), APS(norm="l2", dims=dims)),
    "intra-block": lambda dims: IntraBlockPool(dims=dims),
    "adaptive": lambda dims: AdaptiveBlurPool(C, 3, groups=2, dims=dims),
    "adaptive, group": lambda dims: AdaptiveBlurPool(C, 3, groups=2, softmax="group", dims=dims),
    "cmod": lambda dims: CMod(C, 3, 5, 4, 2, dims=dims),
}
EVERY = pytest.mark.parametrize("name", OPERATORS)

pytestmark = pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning")  # torch's own, of inductor
# All classes, without repeating any where a compiler takes seconds.
SLOW = pytest.mark.parametrize(
    "name", ["max, blur", "max, tlpf, aps", "intra-block", "adaptive", "cmod"]
)  # all classes


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def random(*shape, dtype=torch.float64):
    return torch.randn(*shape, dtype=dtype)


def close(a, b, tolerance=1e-12):
    a, b = (t.detach().cpu().double() for t in (a, b))
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * b.abs().max().clamp(min=1))


@EVERY
@pytest.mark.parametrize("dims", [1, 2])
def test_forward_is_the_dense_map_subsampled(name, dims):
    pool = OPERATORS[name](dims).double().eval()
    for size in SIZES[dims]:
        x = random(3, C, *size)
        assert close(pool(x), pool.subsample(pool.dense(x)))
        assert pool(x[:0]).shape == (0, *pool(x).shape[1:])


@EVERY
@pytest.mark.parametrize("training", [False, True])
def test_derivatives(name, training):
    pool = OPERATORS[name](2).double().train(training)
    x = random(2, C, 5, 6).requires_grad_()
    parameters = [p for p in pool.parameters() if p.requires_grad]
    assert torch.autograd.gradcheck(lambda x, *_: pool(x), (x, *parameters), fast_mode=True)
    assert torch.autograd.gradcheck(lambda x, *_: pool.dense(x), (x, *parameters), fast_mode=True)


TIED = pytest.mark.parametrize(("window", "shape"), [(2, (9, 12)), (3, (9, 12)), ((3, 5), (9, 12)), (4, (13,))])


@TIED
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("half", [None, torch.bfloat16])
def test_the_first_of_equal_values_has_the_gradient_of_a_dense_maximum(window, shape, order, half):
    x = torch.randint(0, 3, (3, C, *shape)).to(half or torch.float64)  # torch's own pooling is the oracle
    x = (x.contiguous(memory_format=order) if len(shape) == 2 else x).requires_grad_()
    own = torch.nn.functional.max_pool2d if len(shape) == 2 else torch.nn.functional.max_pool1d
    y = MaxPool(window, 1, dims=len(shape)).dense(x)
    weights = torch.randn_like(y)
    found, expected = (torch.autograd.grad(z, x, weights)[0] for z in (y, own(x, window, 1)))
    assert close(found, expected, 1e-12 if half is None else 0.05)
    assert found.stride() == x.stride()


def test_the_gradient_of_a_dense_maximum_by_pieces(monkeypatch):
    x = random(5, C, 8, 8).requires_grad_()
    pool = MaxPool(3, 1)
    whole = torch.autograd.grad(pool(x).square().sum(), x)[0]
    monkeypatch.setattr("analysis.networks.pooling.maximum.PIECE", 2 * x[0].nbytes)
    assert torch.equal(torch.autograd.grad(pool(x).square().sum(), x)[0], whole)
    empty = x[:0].detach().requires_grad_()
    assert torch.autograd.grad(pool(empty).sum(), empty)[0].shape == empty.shape


def hessians(loss, x):
    """Second derivatives, forwards over backwards and backwards twice."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch maps some derivatives one after the other, and says so
        return torch.func.hessian(loss)(x), torch.func.jacrev(torch.func.jacrev(loss))(x)


@pytest.mark.parametrize("dims", [1, 2])
def test_a_dense_maximum_is_derived_twice_and_mapped(dims):
    x = random(3, 2, *SIZES[dims][0])
    pool = MaxPool(3, dims=dims)
    assert torch.autograd.gradgradcheck(
        lambda x: pool.dense(x).square(), (x[:1].clone().requires_grad_(),), fast_mode=True
    )
    gradient = torch.func.grad(lambda x: pool.dense(x[None]).square().sum())
    each = torch.stack([gradient(one) for one in x])
    assert close(torch.func.vmap(gradient)(x), each)
    jacobian = torch.func.jacrev(lambda x: pool.dense(x[None]).flatten())(x[0])  # a derivative mapped, not the maps
    assert close(2 * torch.tensordot(pool.dense(x[:1]).flatten(), jacobian, 1), each[0])
    assert close(*hessians(lambda x: pool.dense(x[None]).pow(3).sum(), x[0]))


@pytest.mark.parametrize("name", ["tlpf", "adaptive"])
@pytest.mark.parametrize("dims", [1, 2])
def test_a_filter_is_derived_twice_and_mapped(name, dims):
    x = random(2, C, *(5, 6)[:dims])
    pool = OPERATORS[name](dims).double().eval()
    assert torch.autograd.gradgradcheck(pool, (x.clone().requires_grad_(),), fast_mode=True)
    gradient = torch.func.grad(lambda x: pool(x[None]).square().sum())
    each = torch.stack([gradient(one) for one in x])
    assert close(torch.func.vmap(gradient)(x), each)
    jacobian = torch.func.jacrev(lambda x: pool(x[None]).flatten())(x[0])  # a derivative mapped, not the maps
    assert close(2 * torch.tensordot(pool(x[:1]).flatten(), jacobian, 1), each[0])
    assert close(*hessians(lambda x: pool(x[None]).pow(3).sum(), x[0]))


def plainly(pool, x):
    """What TLPF computes, as torch derives it."""
    x = border.extend(x, pool.padding, pool.padding_mode)
    return (torch.conv1d, torch.conv2d)[pool.dims - 1](x, pool.kernels, stride=pool.stride, groups=C)


@pytest.mark.nojit
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ("size", "stride", "padding", "mode", "shape"),
    [
        (5, 2, "same", "reflect", (9, 12)),
        (4, 1, "same", "circular", (7, 8)),
        ((3, 6), (3, 2), ((2, 0), (1, 4)), "replicate", (8, 13)),
        (5, 2, 2, "zeros", (10, 9)),
        (3, 2, ((-1, 2), (3, -2)), "zeros", (8, 9)),
        (3, 2, "same", "reflect", (1, 2)),
        (5, 3, "same", "reflect", (17,)),
    ],
)
def test_the_derivative_of_a_trained_filter_is_torchs_own(size, stride, padding, mode, shape, order):
    pool = TLPF(C, size, stride, padding, mode, dims=len(shape)).double()
    x = random(3, C, *shape)
    x = (x.contiguous(memory_format=order) if len(shape) == 2 else x).requires_grad_()
    y, expected = pool(x), plainly(pool, x)
    weights = random(*y.shape)
    found, own = (torch.autograd.grad(z, (x, pool.logits), weights) for z in (y, expected))
    assert close(y, expected) and found[0].stride() == x.stride()
    for a, b in zip(found, own, strict=True):
        assert (a - b).norm() <= 1e-12 * b.norm()


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_the_derivative_of_a_trained_filter_in_single_precision(order):
    pool = TLPF(C, 5)
    x = random(3, C, 40, 36, dtype=torch.float32).contiguous(memory_format=order)
    derivative = torch.autograd.grad(pool(x).square().sum(), pool.logits)[0]
    expected = torch.autograd.grad(plainly(pool.double(), x.double()).square().sum(), pool.logits)[0]
    assert derivative.dtype == torch.float32 and close(derivative, expected, 1e-5)
    assert not torch.autograd.grad(pool.float()(x[:0]).sum(), pool.logits)[0].any()


@pytest.mark.nojit
@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
def test_samples_in_no_window_have_no_part_in_the_derivative(order):
    x = random(2, C, 9, 9).contiguous(memory_format=order)
    x[:, :, 8], x[:, :, :, 8] = torch.inf, torch.nan
    x, pool = x.requires_grad_(), TLPF(C, 2, 2, 0).double()
    of_x, of_logits = torch.autograd.grad(pool(x).square().sum(), (x, pool.logits))
    assert of_logits.isfinite().all() and of_x.isfinite().all() and not of_x[:, :, 8].any()


def test_forward_derivatives_and_batches_of_derivatives_of_a_trained_filter():
    pool, x = TLPF(C, 3).double(), random(2, C, 5, 6).requires_grad_()
    tangent = random(*x.shape)
    with forward_ad.dual_level():
        along = forward_ad.unpack_dual(pool(forward_ad.make_dual(x, tangent))).tangent
    assert close(along, plainly(pool, tangent))

    def loss(logits):
        return torch.func.functional_call(pool, {"logits": logits}, x[:1, :, :3]).square().sum()

    backwards = torch.func.jacrev(torch.func.jacrev(loss))(pool.logits)
    assert close(torch.func.jacfwd(torch.func.jacrev(loss))(pool.logits), backwards)
    y = pool(x)
    weights = random(3, *y.shape)
    batch = torch.autograd.grad(y, (x, pool.logits), weights, is_grads_batched=True, retain_graph=True)
    each = zip(*(torch.autograd.grad(y, (x, pool.logits), w, retain_graph=True) for w in weights), strict=True)
    assert all(close(a, torch.stack(b)) for a, b in zip(batch, each, strict=True))
    assert close(torch.func.vmap(pool)(x[None]), y[None])


@pytest.mark.parametrize("pool", [APS(norm="l2"), IdealPool((2, 3))])
def test_the_order_of_memory_stays(pool):
    x = random(3, C, 8, 12).requires_grad_()
    last = x.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
    y = pool(last)
    assert y.is_contiguous(memory_format=torch.channels_last) and pool(x).is_contiguous() and close(y, pool(x))
    weights = torch.randn_like(y)
    found, expected = (torch.autograd.grad(pool(t), t, weights)[0] for t in (last, x))
    assert found.is_contiguous(memory_format=torch.channels_last) and close(found, expected)


def test_the_gradient_of_aps_flows_through_the_chosen_component():
    x = random(3, 2, 6, 6).requires_grad_()
    y, index = APS(return_index=True)(x)
    y.sum().backward()
    for example, chosen in enumerate(index.tolist()):
        expected = torch.zeros(2, 6, 6, dtype=x.dtype)
        expected[:, chosen // 2 :: 2, chosen % 2 :: 2] = 1
        assert torch.equal(x.grad[example], expected)


@pytest.mark.slow
@SLOW
@pytest.mark.parametrize("device", DEVICES)
def test_compiles_without_a_graph_break(name, device):
    torch._dynamo.reset()
    pool = OPERATORS[name](2).to(device).eval()
    x = random(2, C, 9, 12, dtype=torch.float32).to(device).requires_grad_()
    y = torch.compile(pool, fullgraph=True, backend="aot_eager")(x)
    assert close(y, pool(x), 1e-6)
    weights = torch.randn_like(y)
    compiled, plain = (torch.autograd.grad((z * weights).sum(), x)[0] for z in (y, pool(x)))
    assert close(compiled, plain, 1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="inductor needs a C++ compiler")
def test_inductor():
    torch._dynamo.reset()
    pool = OPERATORS["max, tlpf, aps"](2).eval()
    x = random(2, C, 8, 10, dtype=torch.float32)
    with torch.no_grad():
        assert close(torch.compile(pool, fullgraph=True)(x), pool(x), 1e-5)


def exported(model, x):
    """Program for any batch and size, through a file."""
    dynamic = torch.export.Dim.DYNAMIC
    program = torch.export.export(model, (x,), dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},))
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    return torch.export.load(file).module()


@pytest.mark.slow
@SLOW
def test_exported_programs_take_any_batch_and_size(name):
    pool = OPERATORS[name](2).eval()
    program = exported(pool, random(4, C, 16, 20, dtype=torch.float32))
    for shape in ((4, 16, 20), (2, 22, 28)):
        x = random(shape[0], C, *shape[1:], dtype=torch.float32)
        assert close(program(x), pool(x), 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "padding_mode"),
    [("aps-l1", "reflect"), ("adaptive-blur", "reflect"), ("blur3", "circular")],
)
def test_exported_programs_of_ceil_mode_take_any_batch_and_size(name, padding_mode):
    x = random(4, 8, 17, 20, dtype=torch.float32)
    model = torch.nn.Sequential(torch.nn.MaxPool2d(3, 2, ceil_mode=True)).eval()  # as in SqueezeNet
    pooled, _ = replace_pooling(model, name, example=x, padding_mode=padding_mode)
    program = exported(pooled, x)
    for shape in ((4, 17, 20), (2, 22, 28), (3, 19, 21), (1, 18, 31)):
        x = random(shape[0], 8, *shape[1:], dtype=torch.float32)
        assert close(program(x), pooled(x), 1e-6) and pooled(x).shape == model(x).shape


@pytest.mark.slow
@pytest.mark.parametrize("channels", [None, [0, 3]])
def test_exported_programs_of_complex_first_layers_take_any_batch_and_size(channels):
    layers = torch.nn.Conv2d(3, C, 5, 2, 1), torch.nn.ReLU(), torch.nn.MaxPool2d(3, 2, ceil_mode=True)
    plain = torch.nn.Sequential(*layers).eval()
    model, _ = remedy("cmod")(plain, channels=channels)
    program = exported(model, random(4, 3, 33, 41, dtype=torch.float32))
    for shape in ((4, 33, 41), (2, 34, 42), (3, 35, 60), (1, 36, 61)):
        x = random(shape[0], 3, *shape[1:], dtype=torch.float32)
        assert close(program(x), model(x), 1e-5) and model(x).shape == plain(x).shape


@EVERY
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("half", "unit"), [(torch.float16, 2**-11), (torch.bfloat16, 2**-8)])
def test_half_precision_keeps_its_dtype(name, half, unit, device):
    pool = OPERATORS[name](2).to(device).eval()
    x = random(2, C, 9, 12, dtype=torch.float32).to(device).to(half)
    expected = pool(x.float())
    y = pool.to(half)(x)
    assert y.dtype == half and close(y, expected, 12 * unit)


@EVERY
@pytest.mark.parametrize("device", DEVICES)
def test_autocast(name, device):
    pool = OPERATORS[name](2).to(device).eval()
    x = random(2, C, 9, 12, dtype=torch.float32).to(device).requires_grad_()
    with torch.autocast(device, dtype=torch.bfloat16):
        y = pool(x)
    assert y.dtype in (torch.float32, torch.bfloat16) and close(y, pool(x), 0.05)
    y.float().sum().backward()
    assert x.grad.dtype == torch.float32 and x.grad.isfinite().all()


@EVERY
@pytest.mark.parametrize("device", DEVICES)
def test_any_memory_format(name, device):
    pool = OPERATORS[name](2).to(device).eval()
    x = random(2, C, 9, 12, dtype=torch.float32).to(device)
    spread = torch.zeros(2, C, 18, 24, device=device)
    spread[..., ::2, ::2] = x
    for given in (x.to(memory_format=torch.channels_last), spread[..., ::2, ::2]):
        assert not given.is_contiguous() and close(pool(given), pool(x), 1e-5)


@EVERY
def test_the_state_holds_what_is_trained_and_nothing_else(name):
    pool = OPERATORS[name](2)
    state = pool.state_dict()
    if not any(True for _ in pool.parameters()):
        assert not state
    twin = OPERATORS[name](2)
    twin.load_state_dict(state)
    x = random(2, C, 9, 12, dtype=torch.float32)
    assert close(twin.eval()(x), pool.eval()(x), 1e-6)
    file = io.BytesIO()
    torch.save(pool, file)
    file.seek(0)
    for same in (copy.deepcopy(pool), torch.load(file, weights_only=False)):
        assert close(same(x), pool(x), 1e-6) and repr(same) == repr(pool)


def test_fixed_filters_lose_nothing_in_half_precision():
    pool = BlurPool(filter="window", taps=7)
    x = random(1, 2, 12, 12)
    expected = pool(x)
    assert close(pool.half().bfloat16().float().double()(x), expected)


def test_maps_in_double_precision_get_the_filter_in_double_precision():
    pool = BlurPool(filter="least-squares", taps=7)
    large, small = random(1, 2, 80, 9), random(1, 2, 9, 9)  # filtered by convolution, and by matrix products
    h = lowpass("least-squares", 7)
    for module in (pool, pool.half()):
        for x in (large, small):
            extended = np.pad(x.numpy(), ((0, 0), (0, 0), (3, 3), (3, 3)), mode="reflect")
            expected = convolve(extended, np.multiply.outer(h, h)[None, None], mode="valid")[..., ::2, ::2]
            assert close(module(x), torch.from_numpy(expected))


@EVERY
def test_nothing_is_in_double_precision_unasked(name):
    def fn(t):
        assert t.dtype != torch.float64  # as on devices that do not have it
        return t

    assert OPERATORS[name](2)._apply(fn)(torch.zeros(2, C, 8, 8)).dtype == torch.float32


@EVERY
def test_not_a_number_propagates(name):
    pool = OPERATORS[name](2).eval()
    x = torch.zeros(2, C, 8, 8)
    x[1, 1, 4, 4] = torch.nan
    y = pool(x)
    assert y[0].isfinite().all() and y[1].isnan().any()


# ---- the modulus batch norm -----------------------------------------------------------------------------------------


@pytest.fixture
def norm():
    """A norm with scales of both signs, none at 0 where the modulus has a corner."""
    norm = ModulusBatchNorm(C)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, -2, 0.5, 3]))
        norm.bias.normal_()
    return norm


def moduli(*shape, dtype=torch.float32):
    return random(*shape, dtype=dtype).abs()


MODES = pytest.mark.parametrize("training", [False, True])


@MODES
@pytest.mark.parametrize("shape", [(3, C), (3, C, 5), (2, C, 3, 4)])
def test_derivatives_of_the_norm(norm, training, shape):
    norm.double().train(training)
    x = moduli(*shape, dtype=torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda x, *_: norm(x), (x, norm.weight, norm.bias))


@MODES
@pytest.mark.parametrize("device", DEVICES)
def test_the_norm_compiles_and_keeps_its_average(norm, training, device):
    torch._dynamo.reset()
    norm.to(device).train(training)
    twin = copy.deepcopy(norm)
    compiled = torch.compile(twin, fullgraph=True, backend="aot_eager")
    for shape in ((4, C, 6, 7), (3, C, 5, 8)):
        x = moduli(*shape).to(device)
        y, z = norm(x), compiled(x)
        assert close(z, y, 1e-6) and close(twin.running_var, norm.running_var, 1e-6)
        gradients = (torch.autograd.grad(out.square().sum(), of.weight)[0] for out, of in ((y, norm), (z, twin)))
        assert close(*gradients, 1e-5)
    assert training != bool((norm.running_var == 1).all())


@MODES
def test_the_exported_norm_takes_any_batch_and_size_and_keeps_its_average(norm, training):
    program = exported(copy.deepcopy(norm).train(training), moduli(4, C, 6, 7))
    norm.train(training)
    for shape in ((4, C, 6, 7), (2, C, 3, 9)):
        x = moduli(*shape)
        assert close(program(x), norm(x), 1e-6)
    assert close(dict(program.named_buffers())["running_var"], norm.running_var, 1e-6)


@MODES
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("half", [torch.float16, torch.bfloat16])
def test_the_norm_under_autocast(norm, training, device, half):
    norm.to(device).train(training)
    twin = copy.deepcopy(norm)
    x = 300 * moduli(4, C, 6, 7).to(device)  # whose square is beyond float16
    expected = norm(x)
    with torch.autocast(device, dtype=half):
        y, z = twin(x), copy.deepcopy(norm)(x.to(half))
    assert (y.dtype, z.dtype) == (torch.float32, half)
    assert close(y, expected) and close(twin.running_var, norm.running_var) and z.isfinite().all()
    z.float().sum().backward()


def test_an_empty_batch_does_not_change_the_average(norm):
    assert norm(torch.zeros(0, C, 3, 3)).shape == (0, C, 3, 3)
    assert (norm.running_var == 1).all()


@pytest.mark.parametrize("axis", [0, 4])
def test_blur_is_mapped_over_an_axis_that_torch_func_adds(axis):
    x = torch.randn(2, C, 9, 8, 3).movedim(-1, axis)
    each = torch.stack([BlurPool()(part) for part in x.unbind(axis)])
    assert torch.allclose(torch.func.vmap(BlurPool(), axis)(x), each, atol=1e-6)


# ---- bad input ------------------------------------------------------------------------------------------------------


@EVERY
@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (torch.zeros(1, C, 8, 8, dtype=torch.complex64), TypeError, "complex64"),
        (torch.zeros(1, C, 8, 8, dtype=torch.int64), TypeError, "int64"),
        (torch.zeros(C, 8, 8), ValueError, r"\(batch, channels, height, width\).*\(4, 8, 8\)"),
        (np.zeros((1, C, 8, 8)), TypeError, "ndarray"),
    ],
)
def test_bad_maps(name, x, error, message):
    pool = OPERATORS[name](2)
    for function in (pool, pool.dense):
        with pytest.raises(error, match=message):
            function(x)


@pytest.mark.parametrize("name", ["tlpf", "adaptive", "cmod"])
def test_a_channel_mismatch(name):
    with pytest.raises(ValueError, match=r"4 channels.*\(1, 3, 8, 8\)"):
        OPERATORS[name](2)(torch.zeros(1, 3, 8, 8))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (torch.zeros(1, C, 8, dtype=torch.complex64), r"ModulusBatchNorm .*complex64"),
        (torch.zeros(1, C, 8, dtype=torch.int64), r"ModulusBatchNorm .*int64"),
        (np.zeros((1, C)), r"ModulusBatchNorm .*ndarray"),
    ],
)
def test_bad_moduli(norm, x, message):
    with pytest.raises(TypeError, match=message):
        norm(x)
