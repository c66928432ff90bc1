"""The packet transform and the analytic version of kernels as differentiable torch code; importing this needs torch.

A transform along one axis is linear and written once: :func:`analyse` walks down the packet tree, :func:`synthesise`
is its transpose. "Banded" applies them as they are, "dense" multiplies by their matrices, "numba" hands both to
:class:`wavelets.DualTreePackets2D`. theory.md, sections 1 and 4.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import lru_cache, partial
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, library, nn
from torch.nn.functional import pad

from wavelets.checks import from_torch, integer, is_moderate, refuse_colours_last
from wavelets.engine import rule, stages
from wavelets.engine.threads import at_most
from wavelets.filters import DEFAULT, FilterBank
from wavelets.hilbert import half_plane_direction, half_plane_sign, zero_padded
from wavelets.packets import DualTreePackets2D

METHODS = ("auto", "numba", "dense", "banded")

DENSE_ADVANTAGE = 64
"""Multiply-adds of a GEMM in the time of one of a banded pass, on an accelerator: see `prefers_dense`.

Reckoned, not measured: a pass moves three float32 words a multiply-add, and an H200 does about 80 multiply-adds in the
time of that by its data sheet (67 TFLOP/s, 4.8 TB/s). `benchmarks/bench_torch.py` measures it: two CPU cores gave 39.
"""

PADDED = "periodization, odd lengths padded by a zero"
"""The boundary of the inverse's transpose where that of the transform is periodization."""

HALF = {torch.float16: torch.float32, torch.bfloat16: torch.float32, torch.complex32: torch.complex64}
REAL = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
COMPLEX = (torch.complex32, torch.complex64, torch.complex128)

Stages = list[tuple[Tensor, int]]  # taps (2**(l + 1), 2, T) of every node of both trees, and the step, 1 or 2
Size = Sequence[int] | int
Map = Callable[[Tensor], Tensor]

CACHED = 16
"""Matrices that a module keeps."""


class DualTreePackets2d(nn.Module):
    r"""Dual-tree complex wavelet packet transform over the last two axes, as a module without parameters.

    Parameters
    ----------
    levels, filters, stride, boundary
        As in :class:`wavelets.DualTreePackets2D`.
    method : {"auto", "numba", "dense", "banded"}
        How to compute. "numba": the compiled CPU kernels, an opaque operator to torch. "dense": two GEMMs with the
        matrices of the axes. "banded": the stages, one pass a tap. "auto": numba on the CPU, which takes a tenth to
        a quarter longer than the numpy transform, elsewhere what :func:`prefers_dense` says.

    Attributes
    ----------
    transform : DualTreePackets2D
        The numpy transform, which knows the filters: `packets`, `frequencies`, `kernels()`, `start`, ...
    levels, stride, boundary, bank
        Those of `transform`.

    Raises
    ------
    TypeError, ValueError, ModuleNotFoundError
        As :class:`wavelets.DualTreePackets2D`; ValueError if the method is none of the above.

    Notes
    -----
    *Precision.* The dtype of the input decides. float32 and float64 agree with the numpy transform to 1e-5 and 1e-12 of
    the largest coefficient. float16 and bfloat16 are computed in float32 and give complex64, and autocast changes
    nothing: the error of the coefficients is that of the rounded image, relatively at most 2**-11 and 2**-8 in the
    Euclidean norm where the frame is tight. TF32 touches "dense" only, and only if torch is asked for it
    (`torch.set_float32_matmul_precision`); the error then is about 1e-3. NaN and infinity propagate.

    *Threads.* The numba kernels take no more of them than `torch.get_num_threads()`: 1 in a worker of a DataLoader.

    *State.* The filters are constants: the state dict is empty, and `to` moves them but leaves them in float64, so that
    ``.half().double()`` loses nothing; the device must have float64. Up to `CACHED` matrices of
    "dense" are kept, but none by `torch.compile` and `torch.export`; copies and pickles start without.

    *Transformations.* Derivatives of any order and mode, `torch.func`, `torch.compile` (first derivatives, as for all
    of torch) and `torch.export`, the last two with a dynamic batch and dynamic H and W. A program exported from "auto"
    on the CPU or "numba" can be loaded where `wavelets.nn` has been imported, one from "dense" or "banded" anywhere.
    Inside a compiled function, the transforms of `torch.func` need "dense" or "banded".

    *Memory format.* Any strides are read, channels-last among them. Results are contiguous: channels-last would cost
    one more pass, and has no meaning for five axes.

    Examples
    --------
    >>> module = DualTreePackets2d(levels=2)
    >>> c = module(torch.ones(8, 3, 64, 48))
    >>> c.shape, c.dtype
    (torch.Size([8, 3, 32, 16, 12]), torch.complex64)
    >>> torch.allclose(module.inverse(c, (64, 48)), torch.ones(8, 3, 64, 48))
    True
    """

    first: Tensor
    main: Tensor
    pairs: Tensor
    signs: Tensor

    def __init__(
        self,
        levels: int,
        filters: str | FilterBank = DEFAULT,
        stride: int | None = None,
        boundary: str = "periodization",
        method: str = "auto",
    ) -> None:
        super().__init__()
        if method not in METHODS:
            raise ValueError(f"unknown method {method!r}; expected one of {', '.join(METHODS)}")
        self.transform = DualTreePackets2D(levels, filters, stride, boundary)
        self.method = method
        self.levels, self.stride, self.boundary = self.transform.levels, self.transform.stride, self.transform.boundary
        self.bank = self.transform.bank
        for name, values in self._constants().items():
            self.register_buffer(name, values, persistent=False)
        self._matrices: dict[tuple[Any, ...], Tensor] = {}

    @property
    def packets(self) -> np.recarray[Any, Any]:
        """Table of the filters, one row a channel: see :attr:`wavelets.DualTreePackets2D.packets`."""
        return self.transform.packets

    @property
    def frequencies(self) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Nominal characteristic frequencies, shape (2 * 4**J, 2), vertical then horizontal, rad/sample."""
        return self.transform.frequencies

    @property
    def redundancy(self) -> int:
        """Frame bound of the transform without extension: 8, and 4 times as much if the last stage keeps two phases."""
        return 8 if self.stride == 2**self.levels else 32

    def forward(self, x: Tensor) -> Tensor:
        """Transform real images.

        Parameters
        ----------
        x : Tensor, shape (..., H, W), float16, bfloat16, float32 or float64
            Any batch, channels and size from 1x1 up.

        Returns
        -------
        Tensor, shape (..., 2 * 4**J, h, w), complex64, or complex128 for float64
            h and w as in :meth:`wavelets.DualTreePackets2D.forward`.

        Raises
        ------
        TypeError
            If `x` is not a real floating tensor.
        ValueError
            If it has no pixels, is on another device than the module, or has the shape (..., H, W, 3 or 4) of colour
            images with the colours last.
        """
        x = self._here(checked_images(x, "x"), "x")
        down, up = self._maps(x.shape[-2:], self.boundary)
        return apply_linear(x, down, up)

    def inverse(self, c: Tensor, size: Size) -> Tensor:
        """Reconstruct the images exactly.

        Parameters
        ----------
        c : Tensor, shape (..., 2 * 4**J, h, w), complex
            Coefficients.
        size : (int, int) or int
            H and W of the original.

        Returns
        -------
        Tensor, shape (..., H, W), float32, or float64 for complex128

        Raises
        ------
        TypeError, ValueError
            If the coefficients do not belong to this transform and size.
        """
        # Every coefficient that touches the image is there, so the transpose without extension is a left inverse
        # whatever the extension was: see wavelets.engine.sweeps.synthesis_sweep.
        return self._transpose(c, size, PADDED if self.boundary == "periodization" else "zero") / self.redundancy

    def adjoint(self, c: Tensor, size: Size) -> Tensor:
        r"""Adjoint for the real inner product: :math:`\operatorname{Re}\langle c, Tx\rangle = \langle T^*c, x\rangle`.

        Parameters, results and errors are those of `inverse`.
        """
        return self._transpose(c, size, self.boundary)

    def extra_repr(self) -> str:
        """Return the arguments."""
        return f"{self.transform!r}, method={self.method!r}"

    def _transpose(self, c: Tensor, size: Size, boundary: str) -> Tensor:
        c = self._here(checked(c, "c", COMPLEX, 3), "c")
        down, up = self._maps(self._checked_size(c, size), boundary)
        return apply_linear(c, up, down)

    def _maps(self, size: Sequence[int], boundary: str) -> tuple[Map, Map]:
        """Transform of images of this size, and its transpose."""
        return partial(self._analyse, boundary=boundary), partial(self._synthesise, size=size, boundary=boundary)

    def _analyse(self, x: Tensor, boundary: str) -> Tensor:
        method = self._choose(x, x.shape[-2:])
        if method == "numba":
            c: Tensor = numba_analyse(x, self.first, self.main, self.levels, self.stride, boundary)
            return c
        if method == "dense":
            vertical, horizontal = (self._matrix(n, boundary, x.dtype) for n in x.shape[-2:])
            with no_autocast(x.device):
                trees = vertical @ (x @ horizontal.mT)
        else:
            tree = self._stages(x.dtype)
            trees = analyse(analyse(x, tree, boundary).mT, tree, boundary).mT
        return trees_to_filters(trees, self.levels, self.signs)

    def _synthesise(self, c: Tensor, size: Sequence[int], boundary: str) -> Tensor:
        height, width = size
        method = self._choose(c, size)
        if method == "numba":
            x: Tensor = numba_synthesise(c, self.first, self.main, height, width, self.levels, self.stride, boundary)
            return x
        trees = filters_to_trees(c, self.levels, self.signs)
        if method == "dense":
            vertical, horizontal = (self._matrix(n, boundary, trees.dtype) for n in (height, width))
            with no_autocast(c.device):
                return vertical.mT @ (trees @ horizontal)
        tree = self._stages(trees.dtype)
        return synthesise(synthesise(trees.mT, tree, width, boundary).mT, tree, height, boundary)

    def _choose(self, t: Tensor, size: Sequence[int]) -> str:
        on_cpu = t.device.type == "cpu"
        if self.method == "numba" and not on_cpu:
            raise ValueError(f"method 'numba' runs on the CPU; the tensor is on {t.device}")
        if self.method != "auto":
            return self.method
        if on_cpu:
            return "numba"
        return "dense" if prefers_dense(max(size), self.levels, self.main.shape[-1]) else "banded"

    def _taps(self) -> tuple[Tensor, Tensor]:
        """Filters of the first stage and of the others, shape (2, 2, T): tree or pair, low and high-pass, taps."""
        return self.first, self.main

    def _stages(self, dtype: torch.dtype) -> Stages:
        """Return the taps of all nodes, stage by stage, and the steps."""
        first, main = (taps.to(dtype) for taps in self._taps())
        taps = [first] + [main[self.pairs[:, 2**s - 1 : 2 ** (s + 1) - 1]].flatten(0, 1) for s in range(1, self.levels)]
        return with_steps(taps, self.stride)

    def _matrix(self, n: int, boundary: str, dtype: torch.dtype) -> Tensor:
        """Matrix of `analyse` for an axis of n samples, shape (2 * 2**J * count, n); see *State* in the class."""
        if torch.compiler.is_compiling():
            return self._new_matrix(n, boundary, dtype)
        key = n, boundary, dtype, self.first.device
        matrix = self._matrices.get(key)
        if matrix is None:
            matrix = self._new_matrix(n, boundary, dtype)
            if type(matrix) is Tensor:  # and not a tracer's
                if len(self._matrices) >= CACHED:
                    self._matrices.clear()
                self._matrices[key] = matrix
        return matrix

    def _new_matrix(self, n: int, boundary: str, dtype: torch.dtype) -> Tensor:
        return analyse(torch.eye(n, dtype=dtype, device=self.first.device), self._stages(dtype), boundary)

    def _constants(self) -> dict[str, Tensor]:
        """All buffers: what the packet rule says, and the filters (2, 2, T): tree or pair, low and high-pass, taps."""
        pairs = {"first": self.bank.first_stage, "main": self.bank.main_stage}
        taps = {name: torch.from_numpy(np.stack([pair(1), pair(2)])) for name, pair in pairs.items()}
        signs = np.where(self.transform.packets.conjugated, -1, 1).astype(np.int8)
        return {"pairs": torch.from_numpy(rule.splitting_table(self.levels)), "signs": torch.from_numpy(signs), **taps}

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Any:
        """Follow `to` to another device, with constants as they are: filters in float64, and none uninitialised."""
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        device = self.signs.device
        for name, values in self._constants().items():
            self._buffers[name] = values.to(device)
        self._matrices.clear()
        return self

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_matrices": {}}

    def _here(self, t: Tensor, name: str) -> Tensor:
        if t.device != self.signs.device:
            raise ValueError(f"{name} is on {t.device}, the module on {self.signs.device}; expected one device")
        return t

    def _checked_size(self, c: Tensor, size: Size) -> tuple[int, int]:
        both: Any = size if isinstance(size, Sequence) and len(size) == 2 else (size, size)
        height, width = both = [n if isinstance(n, torch.SymInt) else integer("size", n, 1) for n in both]
        grid = grid_of(both, self.first, self.main, self.levels, self.stride, self.boundary)
        if tuple(c.shape[-3:]) != (self.signs.numel(), *grid):
            raise ValueError(
                f"c has shape {tuple(c.shape)}; expected (..., {self.signs.numel()}, {grid[0]}, {grid[1]}) "
                f"for images of {height}x{width} and {self.transform!r}"
            )
        return height, width


def checked(t: Any, name: str, dtypes: tuple[torch.dtype, ...], axes: int) -> Tensor:
    """Return a tensor of one of the dtypes with at least so many axes, half precision as single."""
    if not isinstance(t, Tensor):
        raise TypeError(f"{name} must be a tensor, not {type(t).__name__}")
    if t.dtype not in dtypes:
        raise TypeError(f"{name} has dtype {t.dtype}; expected one of {', '.join(map(str, dtypes))}")
    if t.ndim < axes or 0 in t.shape[-axes:]:
        raise ValueError(f"{name} has shape {tuple(t.shape)}; expected at least {axes} axes, the last {axes} not empty")
    return t.to(HALF.get(t.dtype, t.dtype))


def checked_images(t: Any, name: str) -> Tensor:
    """Return a real tensor (..., H, W), half precision as single."""
    images = checked(t, name, REAL, 2)
    if not torch.compiler.is_compiling():  # it would make a constant of a dynamic width
        refuse_colours_last(images.shape, name)
    return images


def prefers_dense(n: int, levels: int, taps: int) -> bool:
    """Return whether GEMMs beat the banded stages for an axis of n samples, off the CPU.

    A coefficient costs n multiply-adds dense and ``levels * taps`` banded; but a GEMM runs at the arithmetic rate of a
    device and the banded passes, which read and write what they work on once a tap, at the rate of its memory.
    """
    return n <= DENSE_ADVANTAGE * levels * taps


def no_autocast(device: torch.device) -> AbstractContextManager[Any]:
    """Context in which matrix products keep the precision of their arguments."""
    if torch.amp.is_autocast_available(device.type):
        return torch.autocast(device.type, enabled=False)
    return nullcontext()


def apply_linear(t: Tensor, function: Map, transpose: Map) -> Tensor:
    """Apply a linear function of the last axes, with derivatives that save nothing and cost as much as the function.

    Compilers see the function itself: they differentiate it as well, and cannot trace what `Linear` defines.
    """
    if torch.compiler.is_compiling():
        return function(t)
    result: Tensor = Linear.apply(t, function, transpose)  # type: ignore[no-untyped-call]
    return result


class Linear(torch.autograd.Function):
    """A linear function is its own derivative; the gradient is the transpose. Leading axes are a batch."""

    @staticmethod
    def forward(t: Tensor, function: Map, transpose: Map) -> Tensor:
        """Apply the function."""
        return function(t)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        """Keep the two functions."""
        _, ctx.function, ctx.transpose = inputs

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
        """Apply the transpose, differentiably."""
        return apply_linear(gradient, ctx.transpose, ctx.function), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        """Apply the function to the tangent."""
        return apply_linear(tangent, ctx.function, ctx.transpose)

    @staticmethod
    def vmap(info: Any, in_dims: tuple[Any, ...], t: Tensor, function: Map, transpose: Map) -> tuple[Tensor, int]:
        """Take the axis as one more of the batch."""
        return apply_linear(t.movedim(in_dims[0], 0), function, transpose), 0


# ---- one axis -------------------------------------------------------------------------------------------------------


def analyse(x: Tensor, tree: Stages, boundary: str) -> Tensor:
    """Both trees along the last axis but one: x (..., n, m) -> (..., 2 * 2**J * count, m); tree, node, sample."""
    x = torch.stack([x, x], dim=-3)
    for taps, step in tree:
        x = analyse_stage(x, taps, step, boundary)
    return x.reshape(*x.shape[:-3], x.shape[-3] * x.shape[-2], x.shape[-1])


def synthesise(c: Tensor, tree: Stages, n: int, boundary: str) -> Tensor:
    """Transpose of `analyse`: c (..., 2 * 2**J * count, m) -> (..., n, m)."""
    sizes = node_sizes(n, tree, boundary)
    c = c.reshape(*c.shape[:-2], 2 * tree[-1][0].shape[0], sizes[-1], c.shape[-1])
    for (taps, step), size in zip(reversed(tree), reversed(sizes[:-1]), strict=True):
        c = synthesise_stage(c, taps, step, size, boundary)
    return c.sum(dim=-3)


def analyse_stage(x: Tensor, taps: Tensor, step: int, boundary: str) -> Tensor:
    """Split every node: x (..., C, n, m), taps (C, 2, T) -> (..., 2 * C, count, m)."""
    n = x.shape[-2]
    index = extension(n, taps.shape[-1], step, boundary, x.device)
    count = (index.shape[0] - taps.shape[-1]) // step + 1
    if boundary in ("zero", PADDED):
        x = pad(x, (0, 0, 0, 1))
    x = x.index_select(-2, index).unsqueeze(-3)
    total = x.new_zeros(())
    for t in range(taps.shape[-1]):
        total = torch.addcmul(total, taps[:, :, t, None, None], x[..., t : t + step * (count - 1) + 1 : step, :])
    return total.reshape(*total.shape[:-4], 2 * taps.shape[0], count, x.shape[-1])


def synthesise_stage(c: Tensor, taps: Tensor, step: int, n: int, boundary: str) -> Tensor:
    """Transpose of `analyse_stage`: c (..., 2 * C, count, m) -> (..., C, n, m)."""
    count, m = c.shape[-2:]
    nodes, reach = taps.shape[0], taps.shape[-1] // step  # a sample of the extension meets `reach` coefficients
    c = pad(c, (0, 0, reach - 1, reach - 1)).reshape(*c.shape[:-3], nodes, 2, count + 2 * reach - 2, 1, m)
    taps = taps.reshape(nodes, 2, reach, 1, step, 1)
    total = c.new_zeros(())
    for t in range(reach):
        last = reach - 1 - t
        for branch in (rule.LOW, rule.HIGH):
            part = c[..., branch, last : last + count + reach - 1, :, :]
            total = torch.addcmul(total, taps[:, branch, t], part)
    x = total.reshape(*total.shape[:-3], step * (count + reach - 1), m)
    index = extension(n, reach * step, step, boundary, c.device)
    return x.new_zeros((*x.shape[:-2], n + 1, x.shape[-1])).index_add(-2, index, x)[..., :n, :]


def extension(n: int, taps: int, step: int, boundary: str, device: torch.device) -> Tensor:
    """Sample of a signal of length n at each position that a stage reads; n stands for zero. See `stages.extend`."""
    named, decimated = _rule_of(boundary), step == 2
    start = stages.first_sample(taps, named, decimated)
    count = stages.coefficient_count(n, taps, named, decimated)
    index = torch.arange(start, start + step * (count - 1) + taps, device=device)
    if boundary == PADDED:
        return index % (n + n % 2)
    samples: Tensor = stages.extend(index, n, boundary, torch.where)
    return torch.where(samples < 0, n, samples) if boundary == "zero" else samples


def with_steps(taps: list[Tensor], stride: int) -> Stages:
    """Stages of these taps: every step is 2, but 1 for a last stage that is not decimated."""
    last = len(taps) - 1
    return [(t, stride // 2**last if stage == last else 2) for stage, t in enumerate(taps)]


def node_sizes(n: int, tree: Stages, boundary: str) -> list[int]:
    """Samples of a node after 0, 1, ..., J stages."""
    return stages.node_sizes(n, [(taps.shape[-1], step == 2) for taps, step in tree], _rule_of(boundary))


def _rule_of(boundary: str) -> str:
    return "periodization" if boundary == PADDED else boundary


# ---- two axes -------------------------------------------------------------------------------------------------------


def grid_of(
    size: Sequence[int], first: Tensor, main: Tensor, levels: int, stride: int, boundary: str
) -> tuple[int, ...]:
    """Positions of the coefficients of an image on each axis."""
    tree = with_steps([first] + [main] * (levels - 1), stride)
    return tuple(node_sizes(n, tree, boundary)[-1] for n in size)


def trees_to_filters(d: Tensor, levels: int, signs: Tensor) -> Tensor:
    """Real trees (..., 2 * P * ny, 2 * P * nx) -> filters (..., 2 * P**2, ny, nx), complex; theory.md 4.4."""
    lead, bits = d.shape[:-2], (2,) * levels
    ny, nx = (n // 2 ** (levels + 1) for n in d.shape[-2:])
    d = d.reshape(*lead, 2, *bits, ny, 2, *bits, nx).permute(quad_tree_axes(len(lead), levels))
    d11, d12, d21, d22 = d.reshape(*lead, 4, 4**levels, ny, nx).unbind(-4)
    real = torch.cat([d11 - d22, d11 + d22], dim=-3)
    imag = torch.cat([d21 + d12, d21 - d12], dim=-3)
    return torch.view_as_complex(torch.stack([real, imag * signs[:, None, None]], dim=-1))


def filters_to_trees(c: Tensor, levels: int, signs: Tensor) -> Tensor:
    """Transpose of `trees_to_filters`."""
    lead, bits, (ny, nx) = c.shape[:-3], (2, 2) * levels, c.shape[-2:]
    (real_a, real_b), (imag_a, imag_b) = (part.chunk(2, -3) for part in (c.real, c.imag * signs[:, None, None]))
    axes = quad_tree_axes(len(lead), levels)
    back = sorted(range(len(axes)), key=axes.__getitem__)
    d = torch.stack([real_a + real_b, imag_a - imag_b, imag_a + imag_b, real_b - real_a], dim=-4)
    d = d.reshape(*lead, 2, 2, *bits, ny, nx).permute(back)
    return d.reshape(*lead, 2 ** (levels + 1) * ny, 2 ** (levels + 1) * nx)


def quad_tree_axes(lead: int, levels: int) -> list[int]:
    """Order of the axes (..., tree, bits, position, tree, bits, position) that interleaves the bits of the nodes."""
    y, x = lead, lead + levels + 2
    bits = [axis + 1 + bit for bit in range(levels) for axis in (y, x)]
    return [*range(lead), y, x, *bits, y + levels + 1, x + levels + 1]


# ---- the numba kernels as operators of torch ------------------------------------------------------------------------


@library.custom_op("shiftscope::analyse", mutates_args=())
def numba_analyse(x: Tensor, first: Tensor, main: Tensor, levels: int, stride: int, boundary: str) -> Tensor:
    """Forward transform by the numpy one; a program that holds this operator holds the filters too."""
    twin = _twin(first.numpy().tobytes(), main.numpy().tobytes(), levels, stride, _rule_of(boundary))
    ragged = boundary == PADDED and any(n % 2**levels for n in x.shape[-2:])
    if x.numel() and not ragged and is_moderate(from_torch(x)):  # torch's own check takes a third of the transform
        with at_most(torch.get_num_threads()):
            return torch.from_numpy(np.asarray(twin.transform.forward(x)))
    return twin._analyse(x, boundary)  # what the numpy transform has not, or refuses


@library.custom_op("shiftscope::synthesise", mutates_args=())
def numba_synthesise(
    c: Tensor, first: Tensor, main: Tensor, height: int, width: int, levels: int, stride: int, boundary: str
) -> Tensor:
    """Transpose of `numba_analyse`."""
    twin = _twin(first.numpy().tobytes(), main.numpy().tobytes(), levels, stride, _rule_of(boundary))
    if not c.numel():
        return twin._synthesise(c, (height, width), boundary)
    with at_most(torch.get_num_threads()):
        kind = "inverse" if boundary == PADDED else "adjoint"
        return torch.from_numpy(twin.transform._backward(c, (height, width), kind))


@lru_cache(maxsize=16)
def _twin(first: bytes, main: bytes, levels: int, stride: int, boundary: str) -> DualTreePackets2d:
    """Module of the filters that an operator was given as tensors."""
    h_first = np.frombuffer(first).reshape(2, 2, -1)[0, 0, 2:]  # what FilterBank puts before it
    h1, h2 = np.frombuffer(main).reshape(2, 2, -1)[:, 0]
    return DualTreePackets2d(levels, FilterBank("tensors", h1, h2, h_first), stride, boundary, "banded")


@numba_analyse.register_fake
def _(x: Tensor, first: Tensor, main: Tensor, levels: int, stride: int, boundary: str) -> Tensor:
    grid = grid_of(x.shape[-2:], first, main, levels, stride, boundary)
    return x.new_empty((*x.shape[:-2], 2 * 4**levels, *grid), dtype=x.dtype.to_complex())


@numba_synthesise.register_fake
def _(
    c: Tensor, first: Tensor, main: Tensor, height: int, width: int, levels: int, stride: int, boundary: str
) -> Tensor:
    return c.new_empty((*c.shape[:-3], height, width), dtype=c.dtype.to_real())


def _remember(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    t, first, main, *ctx.arguments = inputs
    ctx.size = t.shape[-2:]
    ctx.save_for_backward(first, main)


def _analyse_backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    x = numba_synthesise(gradient, *ctx.saved_tensors, *ctx.size, *ctx.arguments)
    return x, *[None] * 5


def _synthesise_backward(ctx: Any, gradient: Tensor) -> tuple[Any, ...]:
    return numba_analyse(gradient, *ctx.saved_tensors, *ctx.arguments[2:]), *[None] * 7


numba_analyse.register_autograd(_analyse_backward, setup_context=_remember)
numba_synthesise.register_autograd(_synthesise_backward, setup_context=_remember)


# ---- kernels --------------------------------------------------------------------------------------------------------


def analytic(kernel: Tensor, direction: str | ArrayLike = "x", size: Size | None = None) -> Tensor:
    r"""Analytic version W = V + i H(V) of real kernels V, differentiable: :func:`wavelets.analytic` on any device.

    Parameters
    ----------
    kernel : Tensor, shape (..., kh, kw), float16, bfloat16, float32 or float64
        The kernels V; half precision is computed in float32.
    direction, size
        As in :func:`wavelets.analytic`. A direction that is found ("auto") or given counts as a constant.

    Returns
    -------
    Tensor, shape (..., H, W), complex64, or complex128 for float64

    Raises
    ------
    TypeError, ValueError
        As :func:`wavelets.analytic`; but NaN and infinity propagate, except into a direction that is to be found.

    Notes
    -----
    theory.md, section 1.
    """
    v = checked_images(kernel, "kernel")
    height, width = zero_padded(np.empty(v.shape[-2:]), v.shape[-2:] if size is None else size).shape
    v = pad(v, (0, width - v.shape[-1], 0, height - v.shape[-2]))
    positive: Any = v.detach()
    signs = half_plane_sign((height, width), half_plane_direction(direction, positive))
    hilbert = torch.fft.ifft2(torch.from_numpy(signs).to(v.device) * torch.fft.fft2(v)).imag
    return torch.complex(v, hilbert)
