"""The torch module against the numpy transform and the dense reference; derivatives, compilers, devices, precisions."""

from __future__ import annotations

import copy
import io
import pickle
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

import wavelets
from wavelets import DualTreePackets2D
from wavelets.engine import reference, stages

torch = pytest.importorskip("torch")
from torch import library  # noqa: E402

from wavelets import nn  # noqa: E402
from wavelets.nn import DualTreePackets2d, analytic  # noqa: E402

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=NO_GPU)]
METHODS = ("numba", "dense", "banded")
ON_DEVICES = [("cpu", m) for m in METHODS] + [pytest.param("cuda", m, marks=NO_GPU) for m in METHODS[1:]]
BOUNDARIES = stages.BOUNDARIES
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-5}

# What torch says of itself, in its own modules, when forward mode or inductor are first used.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.torch.jit.script:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Torchinductor does not support code generation for complex:UserWarning"),
]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def close(a, b, tolerance=1e-12):
    """Whether a is b up to a tolerance relative to the largest value."""
    a, b = (torch.as_tensor(t).detach().cpu() for t in (a, b))
    return a.shape == b.shape and bool((a - b).abs().max() <= tolerance * b.abs().max())


def coefficients_like(module, x):
    return torch.randn_like(module(x.detach()))


# ---- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("device", "method"), ON_DEVICES)
@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize(
    ("levels", "fine", "size"),
    [
        (1, 0, (1, 1)),
        (1, 1, (5, 8)),
        (2, 0, (13, 22)),
        (3, 1, (17, 32)),
        (4, 0, (32, 47)),
        (5, 1, (3, 40)),
        (6, 0, (9, 21)),
    ],
)
def test_equals_the_numpy_transform(levels, fine, size, boundary, device, method):
    filters = "cf_3_3" if levels < 4 else "cf_1_1"  # short ones keep deep trees small
    options = {"levels": levels, "filters": filters, "stride": 2 ** (levels - fine), "boundary": boundary}
    numpy = DualTreePackets2D(**options)
    module = DualTreePackets2d(**options, method=method).to(device)
    x = torch.randn(2, *size, dtype=torch.float64)
    c = coefficients_like(DualTreePackets2d(**options), x)
    expected = numpy.forward(x), numpy.inverse(c, size), numpy.adjoint(c, size)
    for dtype, tolerance in TOLERANCE.items():
        given, y = x.to(device, dtype), c.to(device, dtype.to_complex())
        results = module(given), module.inverse(y, size), module.adjoint(y, torch.Size(size))
        for result, values in zip(results, expected, strict=True):
            assert result.device.type == device and result.dtype.to_real() == dtype and result.is_contiguous()
            assert close(result, np.asarray(values), tolerance)
        assert close(module.inverse(module(given), size), x, tolerance)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_equals_the_dense_reference(boundary, method):
    module = DualTreePackets2d(2, "cf_1_1", boundary=boundary, method=method)
    x = torch.randn(2, 3, 15, 20, dtype=torch.float64)
    assert close(module(x), reference.forward_2d(module.transform, x.numpy()))


@pytest.mark.parametrize("boundary", BOUNDARIES)
@pytest.mark.parametrize("step", [1, 2])
def test_a_stage_is_the_dense_matrix_and_its_transpose(step, boundary):
    bank = wavelets.filter_bank()
    taps = torch.tensor(np.stack([bank.h1, bank.g1]))[None]
    for n in (1, 2, 3, 8, 19):
        rows = [reference.filter_matrix(h, n, boundary, step) for h in (bank.h1, bank.g1)]
        matrix = torch.tensor(np.concatenate(rows))
        down = nn.analyse_stage(torch.eye(n, dtype=torch.float64)[None], taps, step, boundary).flatten(0, 1)
        eye = torch.eye(len(matrix), dtype=torch.float64).reshape(2, -1, len(matrix))
        assert close(down, matrix)
        assert close(nn.synthesise_stage(eye, taps, step, n, boundary)[0], matrix.T)


@pytest.mark.parametrize(("device", "method"), ON_DEVICES)
def test_any_batch_and_any_strides(device, method):
    module = DualTreePackets2d(2, method=method).to(device)
    x = torch.randn(4, 3, 20, 23, device=device)
    c = module(x)
    one_by_one = torch.stack([torch.stack([module(image) for image in images]) for images in x])
    assert close(c, one_by_one, 1e-6)
    spread = torch.randn(4, 3, 40, 46, device=device)
    spread[..., ::2, ::2] = x
    for same in (x.to(memory_format=torch.channels_last), spread[..., ::2, ::2], x.mT.contiguous().mT):
        assert not same.is_contiguous() and close(module(same), c, 1e-6) and module(same).is_contiguous()
    scattered = c.transpose(0, -1).contiguous().transpose(0, -1)
    conjugate = c.conj().resolve_conj().conj()
    for same in (scattered, conjugate):
        assert close(module.inverse(same, (20, 23)), x, 1e-5)


@pytest.mark.parametrize(("device", "method"), ON_DEVICES)
@pytest.mark.parametrize("lead", [(0,), (3, 0), (0, 2)])
def test_an_empty_batch(lead, device, method):
    module = DualTreePackets2d(2, method=method).to(device)
    x = torch.zeros(*lead, 9, 12, device=device, requires_grad=True)
    c = module(x)
    assert c.shape == (*lead, 32, 3, 3) and c.dtype == torch.complex64
    assert module.inverse(c, (9, 12)).shape == module.adjoint(c, (9, 12)).shape == x.shape
    c.abs().sum().backward()
    assert x.grad.shape == x.shape


@pytest.mark.parametrize(("device", "method"), ON_DEVICES)
def test_not_a_number_propagates(device, method):
    module = DualTreePackets2d(2, method=method).to(device)
    x = torch.zeros(2, 16, 16, device=device)
    x[1, 8, 8] = torch.nan
    c = module(x)
    assert c[0].isfinite().all() and c[1].isnan().any()
    assert module.inverse(c, 16)[1].isnan().any()


# ---- precision ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("device", "method"), ON_DEVICES)
@pytest.mark.parametrize(("half", "unit"), [(torch.float16, 2**-11), (torch.bfloat16, 2**-8)])
def test_half_precision_costs_the_rounding_of_the_image(half, unit, device, method):
    module = DualTreePackets2d(3, method=method).to(device)
    x = torch.rand(2, 32, 32, dtype=torch.float64)
    exact = torch.tensor(np.asarray(module.transform.forward(x)))
    image = x.to(device, half).requires_grad_()
    c = module(image)
    assert c.dtype == torch.complex64
    assert close(c, np.asarray(module.transform.forward(x.to(half).double())), 1e-5)
    assert torch.linalg.vector_norm(c.detach().cpu() - exact) < 1.01 * unit * torch.linalg.vector_norm(exact)
    c.abs().square().sum().backward()
    assert image.grad.dtype == half and close(image.grad.float(), 16 * image.detach().float(), 2 * unit)


@pytest.mark.parametrize(("device", "method"), ON_DEVICES)
def test_autocast_changes_nothing(device, method):
    module = DualTreePackets2d(2, method=method).to(device)
    x = torch.randn(2, 20, 20, device=device, requires_grad=True)
    c = module(x)
    (expected,) = torch.autograd.grad(c.abs().square().sum(), x)
    with torch.autocast(device, dtype=torch.bfloat16):
        assert (torch.eye(2, device=device) @ torch.eye(2, device=device)).dtype == torch.bfloat16
        inside = module(x)
        (gradient,) = torch.autograd.grad(inside.abs().square().sum(), x)
        back = module.inverse(inside, 20)
    assert inside.dtype == torch.complex64 and close(inside, c, 1e-6)
    assert gradient.dtype == torch.float32 and close(gradient, expected, 1e-6) and close(back, x, 1e-5)


def test_half_precision_coefficients_are_computed_in_single():
    module = DualTreePackets2d(1)
    x = torch.randn(8, 8)
    with pytest.warns(UserWarning, match="ComplexHalf"):
        c = module(x).to(torch.complex32)
    assert module.inverse(c, 8).dtype == torch.float32
    assert close(module.inverse(c, 8), x, 2e-3)


# ---- derivatives ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("device", "method"), ON_DEVICES)
@pytest.mark.parametrize(("boundary", "fine"), [("periodization", 0), ("periodization", 1), ("reflect", 0)])
def test_derivatives_of_first_and_second_order(boundary, fine, device, method):
    module = DualTreePackets2d(2, "cf_1_1", stride=4 >> fine, boundary=boundary, method=method).to(device)
    x = torch.randn(3, 6, dtype=torch.float64, device=device, requires_grad=True)  # 3: lengths that are padded
    c = coefficients_like(module, x).requires_grad_()
    for function, point in (
        (module, x),
        (lambda c: module.inverse(c, (3, 6)), c),
        (lambda c: module.adjoint(c, (3, 6)), c),
    ):
        options = {"check_forward_ad": True, "check_batched_grad": True, "fast_mode": True}
        assert torch.autograd.gradcheck(function, (point,), **options)
        assert torch.autograd.gradgradcheck(function, (point,), fast_mode=True)


@pytest.mark.parametrize("method", METHODS)
def test_every_entry_of_the_jacobian(method):  # the fast mode above looks at random projections
    module = DualTreePackets2d(1, "cf_1_1", method=method)
    assert torch.autograd.gradcheck(module, (torch.randn(3, 4, dtype=torch.float64, requires_grad=True),))
    c = torch.randn(8, 2, 2, dtype=torch.complex128, requires_grad=True)
    assert torch.autograd.gradcheck(lambda c: module.inverse(c, (3, 4)), (c,))


@pytest.mark.parametrize(("device", "method"), ON_DEVICES)
def test_transformations_of_torch_func(device, method):
    module = DualTreePackets2d(2, method=method).to(device)
    x, v = torch.randn(2, 3, 4, 11, 12, dtype=torch.float64, device=device)
    c = module(x)
    gradient = 2 * module.adjoint(c, (11, 12))

    def energy(x):
        return module(x).abs().square().sum()

    assert close(torch.vmap(module, in_dims=1, out_dims=1)(x), c)
    assert close(torch.vmap(lambda c: module.inverse(c, (11, 12)))(c), x)
    assert close(torch.func.vjp(module, x)[1](c)[0], gradient / 2)
    assert close(torch.func.jvp(module, (x,), (v,))[1], module(v))
    assert close(torch.vmap(torch.func.grad(energy))(x), gradient)
    forward_over_reverse = torch.func.jvp(torch.func.grad(energy), (x,), (v,))[1]
    assert close(forward_over_reverse, 2 * module.adjoint(module(v), (11, 12)))
    assert torch.func.jacfwd(lambda x: module(x).real)(x[0, 0]).shape == (*c.shape[2:], 11, 12)


def test_nothing_is_saved_for_the_gradient():
    saved = []
    x = torch.randn(2, 16, 16, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        for method in METHODS:
            module = DualTreePackets2d(2, method=method)
            module.inverse(module(x), 16)
    assert not saved


# ---- compilers ------------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(("device", "method"), ON_DEVICES)
def test_compiles_without_a_graph_break(device, method):
    torch._dynamo.reset()
    levels = 2 if method == "numba" else 1  # whose stages of dense and banded matrices are all alike
    module = DualTreePackets2d(levels, "cf_1_1", method=method).to(device)
    x = torch.randn(2, 11, 12, device=device, requires_grad=True)
    both = torch.compile(
        lambda x: (module(x), module.inverse(module(x), (11, 12))), fullgraph=True, backend="aot_eager"
    )
    c, back = both(x)
    assert close(c, module(x), 1e-5) and close(back, x, 1e-5)
    (gradient,) = torch.autograd.grad(c.abs().square().sum(), x)
    assert close(gradient, 2 * module.adjoint(c, (11, 12)), 1e-5)
    assert not module._matrices or method == "dense"


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_one_compilation_serves_many_sizes(method):
    torch._dynamo.reset()
    module = DualTreePackets2d(1, "cf_1_1", boundary="symmetric", method=method)
    compiled = torch.compile(module, fullgraph=True, backend="aot_eager", dynamic=True)
    with torch._dynamo.config.patch(error_on_recompile=True):
        for shape in ((2, 12, 14), (3, 21, 14), (5, 9, 31)):
            x = torch.randn(shape)
            assert close(compiled(x), module(x), 1e-5)


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="inductor needs a C++ compiler")
@pytest.mark.parametrize("method", ["auto", "dense"])  # what it generates for "banded" takes a compiler half a minute
def test_inductor(method):
    torch._dynamo.reset()
    module = DualTreePackets2d(1, "cf_1_1", method=method)
    x = torch.randn(2, 8, 8)
    assert close(torch.compile(module, fullgraph=True)(x), module(x), 1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_exported_programs_take_any_batch_and_size(method):
    module = DualTreePackets2d(1, "cf_1_1", method=method)
    dynamic = torch.export.Dim.DYNAMIC
    x = torch.randn(2, 3, 12, 14)
    program = torch.export.export(module, (x,), dynamic_shapes=({0: dynamic, 2: dynamic, 3: dynamic},))
    assert not program.state_dict
    file = io.BytesIO()
    torch.export.save(program, file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    for shape in ((2, 3, 12, 14), (5, 3, 21, 30)):
        x = torch.randn(shape)
        assert close(loaded(x), module(x), 1e-5)


def test_an_exported_program_needs_torch_alone(tmp_path):
    x = torch.randn(2, 9, 12)
    program = torch.export.export(DualTreePackets2d(1, "cf_1_1", method="dense"), (x,))
    torch.export.save(program, tmp_path / "program.pt2")
    code = (
        "import sys, torch; p = torch.export.load('program.pt2').module(); "
        "assert p(torch.ones(2, 9, 12)).shape == (2, 8, 5, 6); assert 'wavelets' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=tmp_path)


def test_torch_func_inside_a_compiled_function():
    torch._dynamo.reset()
    module = DualTreePackets2d(1, "cf_1_1", method="dense")
    x = torch.randn(2, 6, 8)
    gradient = torch.func.grad(lambda x: module(x).abs().square().sum())
    assert close(torch.compile(gradient, fullgraph=True, backend="aot_eager")(x), gradient(x), 1e-5)


def test_the_operators_keep_the_rules_of_torch():
    module = DualTreePackets2d(2)
    x = torch.randn(2, 12, 13, dtype=torch.float64, requires_grad=True)
    c = module(x.detach()).requires_grad_()
    for boundary in ("periodization", nn.PADDED):
        library.opcheck(nn.numba_analyse, (x, module.first, module.main, 2, 4, boundary))
        library.opcheck(nn.numba_synthesise, (c, module.first, module.main, 12, 13, 2, 4, boundary))


# ---- state ----------------------------------------------------------------------------------------------------------


def test_the_state_is_empty_and_the_filters_stay_exact():
    module = DualTreePackets2d(2, method="dense")
    x = torch.randn(12, 12, dtype=torch.float64)
    expected = module(x)
    assert not module.state_dict() and not list(module.parameters())
    module.half().bfloat16().float().double()
    assert module.first.dtype == module.main.dtype == torch.float64 and close(module(x), expected)
    module.half().load_state_dict(DualTreePackets2d(2).state_dict(), strict=True)
    assert close(module(x), expected)
    network = torch.nn.Sequential(torch.nn.Conv2d(1, 1, 3), module)
    assert set(network.state_dict()) == {"0.weight", "0.bias"}


@pytest.mark.parametrize("method", METHODS)
def test_copies_pickles_and_saved_modules(method):
    module = DualTreePackets2d(2, "cf_1_1", stride=2, boundary="zero", method=method)
    x = torch.randn(12, 13)
    expected = module(x)
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    twins = copy.deepcopy(module), pickle.loads(pickle.dumps(module)), torch.load(file, weights_only=False)
    for twin in twins:
        assert not twin._matrices and close(twin(x), expected, 1e-6) and repr(twin) == repr(module)


def test_matrices_are_kept_bounded_and_dropped_by_to():
    module = DualTreePackets2d(1, method="dense")
    x = torch.randn(12, 14)
    with torch.inference_mode():
        module(x)
    kept = dict(module._matrices)
    assert {key[0] for key in kept} == {12, 14}
    module(x.requires_grad_()).abs().sum().backward()
    assert all(module._matrices[key] is matrix for key, matrix in kept.items())
    for n in range(1, 40):
        module(torch.randn(n, n))
    assert len(module._matrices) <= nn.CACHED
    assert not module.to(torch.float64)._matrices


def test_no_traced_matrix_is_kept():
    from torch._subclasses.fake_tensor import FakeTensorMode

    module = DualTreePackets2d(1, method="dense")
    x = torch.randn(2, 9, 9)
    torch.export.export(module, (x,))
    with FakeTensorMode(allow_non_fake_inputs=True):
        module(torch.randn(2, 9, 9))
    assert not module._matrices
    torch.func.jvp(torch.func.grad(lambda x: module(x).abs().sum()), (x,), (x,))
    assert module._matrices and close(module(x), DualTreePackets2d(1)(x), 1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_threads_may_call_at_once(method):
    module = DualTreePackets2d(2, method=method)
    x = torch.randn(3, 32, 32)
    expected = DualTreePackets2d(2, method=method)(x)
    results = [None] * 4

    def work(slot):
        results[slot] = [module(x) for _ in range(5)][-1]

    workers = [threading.Thread(target=work, args=(slot,)) for slot in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert all(close(result, expected, 1e-6) for result in results)


@pytest.mark.parametrize("device", ["meta", *DEVICES[1:]])
def test_the_module_follows_to(device):
    module = DualTreePackets2d(2, stride=2)
    x = torch.randn(2, 9, 12)
    c = module(x)
    module.to(device)
    assert {buffer.device.type for buffer in module.buffers()} == {device}
    assert module(x.to(device)).shape == c.shape
    with pytest.raises(ValueError, match=f"x is on cpu, the module on {device}"):
        module(x)
    back = module.to_empty(device="cpu") if device == "meta" else module.cpu()
    if device != "meta":
        assert close(back(x), c, 1e-6)


@pytest.mark.parametrize(("ours", "theirs", "most"), [(6, 2, 2), (3, 1, 1), (2, 5, 2)])
def test_no_more_threads_than_torch_may_use(monkeypatch, ours, theirs, most):
    seen = []
    for name in ("forward", "_backward"):
        method = getattr(DualTreePackets2D, name)

        def watched(self, *arguments, method=method):
            seen.append(wavelets.get_num_threads())
            return method(self, *arguments)

        monkeypatch.setattr(DualTreePackets2D, name, watched)
    monkeypatch.setattr(torch, "get_num_threads", lambda: theirs)
    wavelets.set_num_threads(ours)
    try:
        x = torch.ones(2, 8, 8, requires_grad=True)
        DualTreePackets2d(1, "cf_1_1", method="numba")(x).abs().sum().backward()
        assert seen == [most, most] and wavelets.get_num_threads() == ours
    finally:
        wavelets.set_num_threads(None)


@pytest.mark.parametrize("shape", [(16, 16, 3), (2, 20, 16, 4)])
def test_colours_come_first(shape):
    for function in (DualTreePackets2d(1, "cf_1_1"), analytic):
        with pytest.raises(ValueError, match="colours first"):
            function(torch.ones(shape))


def test_the_package_does_not_need_torch():
    code = "import sys, wavelets; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


# ---- choice of the method -------------------------------------------------------------------------------------------


def test_auto_takes_numba_on_the_cpu_and_the_cheaper_one_elsewhere():
    module = DualTreePackets2d(3)
    assert module._choose(torch.zeros(8, 8), (8, 8)) == "numba"
    elsewhere = torch.zeros(1, device="meta")
    border = nn.DENSE_ADVANTAGE * 3 * module.bank.h1.size
    assert module._choose(elsewhere, (8, border)) == "dense"
    assert module._choose(elsewhere, (border + 1, 8)) == "banded"
    with pytest.raises(ValueError, match="'numba' runs on the CPU; the tensor is on meta"):
        DualTreePackets2d(1, method="numba")._choose(elsewhere, (8, 8))


def test_attributes_are_those_of_the_numpy_transform():
    module, numpy = DualTreePackets2d(2, "cf_1_1", 2, "zero"), DualTreePackets2D(2, "cf_1_1", 2, "zero")
    assert (module.levels, module.stride, module.boundary, module.bank.name) == (2, 2, "zero", "cf_1_1")
    assert (module.packets == numpy.packets).all() and (module.frequencies == numpy.frequencies).all()
    assert repr(module) == f"DualTreePackets2d({numpy!r}, method='auto')"


# ---- bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"levels": 0}, ValueError, "levels is 0; expected 1 to 6"),
        ({"levels": 2, "stride": 3}, ValueError, "stride is 3; expected 4"),
        ({"levels": 2, "boundary": "wrap"}, ValueError, "unknown boundary 'wrap'"),
        ({"levels": 2, "filters": "nope"}, ValueError, "unknown filters 'nope'"),
        ({"levels": 2, "method": "fft"}, ValueError, "unknown method 'fft'; expected one of auto, numba"),
    ],
)
def test_bad_arguments(arguments, error, message):
    with pytest.raises(error, match=message):
        DualTreePackets2d(**arguments)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (np.ones((8, 8)), TypeError, "x must be a tensor, not ndarray"),
        (torch.ones(8, 8, dtype=torch.complex64), TypeError, r"x has dtype torch\.complex64; expected one of"),
        (torch.ones(8, 8, dtype=torch.uint8), TypeError, r"x has dtype torch\.uint8"),
        (torch.ones(8), ValueError, r"x has shape \(8,\); expected at least 2 axes"),
        (torch.ones(3, 0, 8), ValueError, r"x has shape \(3, 0, 8\)"),
    ],
)
def test_bad_images(x, error, message):
    with pytest.raises(error, match=message):
        DualTreePackets2d(1)(x)
    with pytest.raises(error, match=message.replace("x ", "kernel ", 1)):
        analytic(x)


@pytest.mark.parametrize(
    ("shape", "size", "error", "message"),
    [
        ((31, 4, 4), 16, ValueError, r"c has shape \(31, 4, 4\); expected \(\.\.\., 32, 4, 4\) for images of 16x16"),
        ((32, 4, 4), (16, 20), ValueError, r"expected \(\.\.\., 32, 4, 5\) for images of 16x20"),
        ((32, 4), 16, ValueError, "expected at least 3 axes"),
        ((32, 4, 4), 0, ValueError, "size is 0; expected at least 1"),
        ((32, 4, 4), None, TypeError, "size must be an integer, not NoneType"),
        ((32, 4, 4), (16,), TypeError, "size must be an integer, not tuple"),
    ],
)
def test_bad_coefficients(shape, size, error, message):
    module = DualTreePackets2d(2)
    for back in (module.inverse, module.adjoint):
        with pytest.raises(error, match=message):
            back(torch.ones(shape, dtype=torch.complex64), size)
        with pytest.raises(TypeError, match=r"c has dtype torch\.float32; expected one of torch\.complex32"):
            back(torch.ones(shape), size)


# ---- analytic kernels -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("direction", ["x", "y", "auto", (0.6, -0.8), np.eye(2)])
@pytest.mark.parametrize("size", [None, 12, (11, 9)])
def test_analytic_equals_numpy(direction, size, device):
    kernel = torch.randn(2, 7, 8, dtype=torch.float64)
    expected = wavelets.analytic(kernel, direction, size)
    for dtype, tolerance in TOLERANCE.items():
        w = analytic(kernel.to(device, dtype), direction, size)
        assert w.device.type == device and w.dtype == dtype.to_complex()
        assert close(w, expected, tolerance)
    assert analytic(kernel.to(device, torch.bfloat16), direction, size).dtype == torch.complex64


def test_analytic_is_differentiable_and_keeps_the_kernel():
    v = torch.randn(2, 4, 5, dtype=torch.float64, requires_grad=True)
    assert torch.equal(analytic(v).real, v)
    for direction in ("x", "auto"):
        e = wavelets.dominant_direction(v) if direction == "auto" else direction  # a constant to the derivative
        assert torch.autograd.gradcheck(lambda v, e=e: analytic(v, e, 6), (v,))
        assert torch.autograd.gradgradcheck(lambda v, e=e: analytic(v, e, 6), (v,), fast_mode=True)
    assert torch.vmap(analytic)(v.detach()).shape == v.shape


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"size": 3}, ValueError, r"size must be at least the kernel's \(4, 5\)"),
        ({"size": 5.5}, TypeError, "float"),
        ({"direction": "z"}, ValueError, "direction must be 'x', 'y', 'auto'"),
        ({"direction": np.ones((3, 2))}, ValueError, "must broadcast"),
        ({"direction": (0, 0)}, ValueError, "not zero"),
    ],
)
def test_bad_analytic(options, error, message):
    with pytest.raises(error, match=message):
        analytic(torch.ones(2, 4, 5), **options)


def test_a_module_made_without_storage_is_whole_on_a_device():
    with torch.device("meta"):
        module = DualTreePackets2d(2, method="banded")
    module = module.to_empty(device="cpu")
    x = torch.rand(2, 24, 20)
    torch.testing.assert_close(module(x), DualTreePackets2d(2, method="banded")(x))
