"""The dual-tree complex wavelet packet transform in one and two dimensions.

Bayram and Selesnick, "On the dual-tree complex wavelet packet and M-band transforms", IEEE Trans. Signal Processing
56(6), 2008; theory.md section 4.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from wavelets.checks import integer, is_single, real_array, real_images, refuse_overflow, refuse_overflowed, to_array
from wavelets.coefficients import Coefficients, Origin
from wavelets.engine import rule, stages
from wavelets.engine.plan import Plan, Tables, axis_plan
from wavelets.filters import DEFAULT, FilterBank, filter_bank

MAX_LEVELS = 6


class _DualTree:
    """Common part of the transforms of one and two dimensions: arguments, plans, 1-D kernels, checks."""

    axes: int

    def __init__(
        self,
        levels: int,
        filters: str | FilterBank = DEFAULT,
        stride: int | None = None,
        boundary: str = "periodization",
    ) -> None:
        levels = check_levels(levels)
        if not isinstance(boundary, str) or boundary not in stages.BOUNDARIES:
            raise ValueError(f"unknown boundary {boundary!r}; expected one of {', '.join(stages.BOUNDARIES)}")
        coarse = 2**levels
        if stride is not None and integer("stride", stride, 1) not in (coarse, coarse // 2):
            raise ValueError(
                f"stride is {stride!r}; expected {coarse} (2**levels) or {coarse // 2} (2**(levels-1)) "
                f"for levels = {levels}"
            )
        self.levels = levels
        self.bank = filters if isinstance(filters, FilterBank) else filter_bank(filters)
        self.stride = coarse if stride is None else int(stride)
        self.boundary = boundary
        self._plan = lru_cache(maxsize=32)(self._make_plan)

    def _make_plan(self, n: int, kind: str, dtype: np.dtype[np.floating]) -> Plan:
        return axis_plan(self.bank, self.levels, n, self.boundary, not self._decimated, kind, dtype)

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in vars(self).items() if key != "_plan"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._plan = lru_cache(maxsize=32)(self._make_plan)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(levels={self.levels}, filters={self.bank.name!r}, "
            f"stride={self.stride}, boundary={self.boundary!r})"
        )

    @property
    def _decimated(self) -> bool:
        """Decimation of the last stage, too."""
        return bool(self.stride == 2**self.levels)

    @cached_property
    def _stages(self) -> list[tuple[int, bool]]:
        """Number of taps of each stage, and whether it is decimated."""
        return stages.all_stages(self.bank.h1_first.size, self.bank.h1.size, self.levels, not self._decimated)

    @cached_property
    def start(self) -> int:
        """Position of the first kernel sample for coefficient 0, pixels.

        It is the same on every axis and for every filter: coefficient k of an axis is ``sum_n kernel[n] x[start +
        stride * k + n]`` on the extended signal.
        """
        firsts = [stages.first_sample(taps, self.boundary, decimated) for taps, decimated in self._stages]
        return int(sum(first * 2**stage for stage, first in enumerate(firsts)))

    @cached_property
    def kernel_size(self) -> int:
        """Samples K of the equivalent kernels along each axis."""
        return int(self.bank.h1_first.size + (self.bank.h1.size - 1) * (2**self.levels - 2))

    def coefficient_count(self, n: int) -> int:
        """Number of coefficients along an axis.

        Parameters
        ----------
        n : int
            Length of the axis, pixels.

        Returns
        -------
        int

        Raises
        ------
        TypeError, ValueError
            If `n` is not an integer of at least 1.
        """
        return stages.node_sizes(integer("n", n, 1), self._stages, self.boundary)[-1]

    @cached_property
    def _node_kernels(self) -> NDArray[np.complex128]:
        r"""Complex 1-D kernels :math:`\psi_k = \psi^{(1)}_k + i \psi^{(2)}_k`, shape (2**J, K), as they stand."""
        trees = []
        for tree in rule.TREES:
            level = np.stack(self.bank.first_stage(tree))
            for stage, pairs in enumerate(rule.splitting_pairs(tree, self.levels)[1:], start=1):
                level = np.stack(
                    [
                        np.convolve(kernel, _upsample(taps, 2**stage))
                        for kernel, pair in zip(level, pairs, strict=True)
                        for taps in self.bank.main_stage(pair)
                    ]
                )
            trees.append(level)
        return trees[0] + 1j * trees[1]

    def _origin(self, size: tuple[int, ...]) -> Origin:
        return Origin(self.bank.name, self._digest, self.levels, self.stride, self.boundary, size)

    @cached_property
    def _digest(self) -> str:
        """Digest of the taps."""
        taps = (self.bank.h1, self.bank.h2, self.bank.h_first)
        return hashlib.sha256(b"".join(h.tobytes() for h in taps)).hexdigest()[:16]

    def _checked_coefficients(
        self, c: ArrayLike, size: Sequence[int] | int | None, channels: int
    ) -> tuple[NDArray[Any], tuple[int, ...]]:
        """Check coefficients; return them as a C-contiguous array and the size of the signal they belong to."""
        array = to_array(c, "coefficients")
        if array.dtype.kind not in "fciub":
            raise TypeError(f"coefficients must be complex numbers, not {array.dtype}")
        with np.errstate(over="ignore"):  # a wider type
            array = array.astype(np.complex64 if is_single(array.dtype) else np.complex128, copy=False)
        if array.ndim < self.axes + 1 or array.shape[-self.axes - 1] != channels:
            raise ValueError(
                f"coefficients have shape {array.shape}; expected (..., {channels}, "
                f"{', '.join(['n'] * self.axes)}) for {self!r}"
            )
        size = self._checked_size(c, size)
        grid = array.shape[-self.axes :]
        expected = tuple(self.coefficient_count(n) for n in size)
        if grid != expected:
            raise ValueError(f"coefficients have {grid} positions; expected {expected} for a signal of size {size}")
        return np.require(array, requirements=["C", "W"]), size

    def _checked_size(self, c: ArrayLike, size: Sequence[int] | int | None) -> tuple[int, ...]:
        """Size of the signal, given or carried by the coefficients, which must be of this transform and that size."""
        origin = c.origin if isinstance(c, Coefficients) else None
        if size is not None:
            size = tuple(size) if isinstance(size, Sequence) else (size,) * self.axes
            size = tuple(integer("size", n, 1) for n in size)
            if len(size) != self.axes:
                raise ValueError(f"size is {size}; expected {self.axes} numbers of pixels")
        elif origin is not None:
            size = origin.size
        else:  # several sizes have as many coefficients: a guess would give back 64x64 for 63x61
            raise ValueError("these coefficients carry no size: pass size=..., the trailing shape of the original")
        if origin is not None and (differences := origin.differences(self._origin(size))):
            raise ValueError(
                f"these coefficients have another origin than {self!r} and size {size}: {'; '.join(differences)} "
                "(np.asarray makes them an array without origin)"
            )
        return size


class DualTreePackets1D(_DualTree):
    r"""Dual-tree complex wavelet packet transform along the last axis.

    Parameters
    ----------
    levels : int
        Depth J, 1 to 6.
    filters : str or FilterBank
        See :func:`wavelets.filter_bank`.
    stride : int, optional
        Samples between coefficients: ``2**levels`` (default), or ``2**(levels - 1)``, the last stage undecimated.
    boundary : {"periodization", "symmetric", "reflect", "zero"}
        Extension at every stage, as PyWavelets names and defines it.

    Raises
    ------
    TypeError
        If `levels` or `stride` is not an integer or `filters` neither a name nor a bank.
    ValueError
        If `levels`, `stride`, the boundary or the name of the bank is none of the above.
    ModuleNotFoundError
        If the filters are in a package that is not installed.

    Notes
    -----
    Filter f lives on the half-line :math:`\omega \ge 0`; its spectrum is that of the correlation kernel. With
    periodization, a length divisible by ``2**levels`` and the full stride, :math:`\sum|c|^2 = 2\|x\|^2`.

    Examples
    --------
    >>> t = DualTreePackets1D(levels=3)
    >>> t.forward(np.zeros((5, 64))).shape
    (5, 8, 8)
    """

    axes = 1

    @cached_property
    def packets(self) -> np.recarray[Any, Any]:
        """Table of the filters, one row a channel, which is the node in natural order.

        Fields: `node`, `freq` (frequency index, 0 to 2**J - 1), `conjugated` (to bring it to the half-line omega >= 0),
        `edge` (the band touches 0 or pi, so that the filter is not analytic).
        """
        f = rule.frequency_index(self.levels)
        edge = (f == 0) | (f == 2**self.levels - 1)
        columns = [np.arange(f.size), f, self._signs < 0, edge]
        fields = [("node", np.int64), ("freq", np.int64), ("conjugated", "?"), ("edge", "?")]
        table = np.rec.fromarrays(columns, dtype=fields)
        table.setflags(write=False)
        return table

    @cached_property
    def _signs(self) -> NDArray[np.int64]:
        return rule.half_line(self.levels)[rule.frequency_index(self.levels)]

    @property
    def frequencies(self) -> NDArray[np.float64]:
        """Nominal characteristic frequency of each filter, shape (2**J,), rad/sample, in (0, pi).

        It is that of the correlation kernel: the phase of coefficients of a wave of this frequency goes back by it
        times the stride from one position to the next (see `forward`).
        """
        return np.asarray((rule.frequency_index(self.levels) + 0.5) * np.pi / 2**self.levels)

    def kernels(self) -> NDArray[np.complex128]:
        """Complex correlation kernels, shape (2**J, K)."""
        kernels = self._node_kernels
        return np.where(self._signs[:, None] < 0, kernels.conj(), kernels)

    def forward(self, x: ArrayLike) -> Coefficients:
        r"""Transform real signals.

        Parameters
        ----------
        x : array_like, shape (..., N), real
            float32 and float16 are computed in single precision, all else in double. The batch may be empty.

        Returns
        -------
        Coefficients, shape (..., 2**J, n), complex64 or complex128
            n = N / stride for periodization (rounded up to whole blocks); more for the other boundaries.

        Raises
        ------
        TypeError
            If `x` is not real and numeric.
        ValueError
            If `x` has no samples or holds NaN or infinity.

        Notes
        -----
        Coefficients are correlations with kernels about :math:`e^{i\omega n}`, omega the filter's frequency: those of
        :math:`\cos(\omega n)` are about :math:`e^{-i\omega sk}` at position k, so that the phase goes **back** by omega
        times the stride s from one to the next. That of :func:`wavelets.analytic` goes forward, as
        :math:`e^{+i\omega n}`.
        """
        from wavelets.engine import strips  # numba takes a moment to import

        x = real_array(x, "x", 1, batch=True)
        refuse_overflow(x, "x")
        batch, n = x.shape[:-1], x.shape[-1]
        plan = self._plan(n, "forward", x.dtype)
        nodes, count = 2**self.levels, int(plan.sizes[-1])
        signals = np.require(x.reshape(-1, n), requirements=["C", "W"])
        d1, d2 = strips.analyse(plan, signals).reshape(2, -1, nodes, count)
        c = np.empty(d1.shape, np.result_type(x.dtype, np.complex64))
        c.real, c.imag = d1, self._signs[:, None].astype(x.dtype) * d2
        return Coefficients(c.reshape(*batch, nodes, count), self._origin((n,)))

    def inverse(self, c: ArrayLike, size: int | None = None) -> NDArray[Any]:
        """Reconstruct the signals exactly.

        Parameters
        ----------
        c : array_like, shape (..., 2**J, n), complex
            Result of `forward`, or a plain array and `size`.
        size : int, optional
            Length N of the original; needed where `c` does not carry it.

        Returns
        -------
        ndarray, shape (..., N), float32 or float64

        Raises
        ------
        TypeError, ValueError
            If the coefficients are not numbers or have another shape than those of this transform and size, or if they
            are :class:`wavelets.Coefficients` of another origin: filters, levels, stride, boundary or size; or if they
            are so large that the result is not finite.
        """
        return self._backward(c, size, "inverse", 0.5 if self._decimated else 0.25)

    def adjoint(self, c: ArrayLike, size: int | None = None) -> NDArray[Any]:
        r"""Adjoint for the real inner product: :math:`\operatorname{Re}\langle c, Tx\rangle = \langle T^*c, x\rangle`.

        Parameters, results and errors are those of `inverse`.
        """
        return self._backward(c, size, "adjoint")

    def _backward(self, c: ArrayLike, size: int | None, kind: str, factor: float = 1.0) -> NDArray[Any]:
        from wavelets.engine import strips  # numba takes a moment to import

        nodes = 2**self.levels
        array, (n,) = self._checked_coefficients(c, size, nodes)
        batch, count = array.shape[:-2], array.shape[-1]
        plan = self._plan(n, kind, array.real.dtype)
        flat = array.reshape(-1, nodes, count)
        d2 = flat.imag * self._signs[:, None].astype(flat.real.dtype)
        trees = np.stack([flat.real, d2]).reshape(2, len(flat), nodes * count)
        out = strips.synthesise(plan, trees, factor).reshape(*batch, n)
        refuse_overflowed(out, array, "c")
        return out


class DualTreePackets2D(_DualTree):
    r"""Dual-tree complex wavelet packet transform over the last two axes.

    Parameters
    ----------
    levels : int
        Depth J, 1 to 6: there are :math:`2\cdot4^J` complex filters.
    filters : str or FilterBank
        See :func:`wavelets.filter_bank`.
    stride : int, optional
        Pixels between coefficients: ``2**levels`` (default), or ``2**(levels - 1)``, the last stage undecimated.
    boundary : {"periodization", "symmetric", "reflect", "zero"}
        Extension at every stage, as PyWavelets names and defines it.

    Raises
    ------
    TypeError
        If `levels` or `stride` is not an integer or `filters` neither a name nor a bank.
    ValueError
        If `levels`, `stride`, the boundary or the name of the bank is none of the above.
    ModuleNotFoundError
        If the filters are in a package that is not installed.

    Notes
    -----
    Channels 0 to 4**J - 1 are :math:`\Psi_a = \psi_i\otimes\psi_j`, the others :math:`\Psi_b = \psi_i\otimes
    \overline{\psi_j}`; inside a block they follow the quad tree, vertical bit first. Every filter is conjugated where
    needed so that it lives in the half-plane :math:`\omega_x \ge 0`. Frequencies are those of the correlation
    kernels; the convolution filters have the opposite sign. With periodization, sides divisible by ``2**levels`` and
    the full stride, :math:`\sum|c|^2 = 8\|x\|^2`; every kernel has :math:`\|\Psi\|^2 = 4`.

    Examples
    --------
    >>> t = DualTreePackets2D(levels=2)
    >>> c = t.forward(np.ones((3, 64, 48)))
    >>> c.shape
    (3, 32, 16, 12)
    >>> np.allclose(t.inverse(c), 1)
    True
    """

    axes = 2

    @cached_property
    def packets(self) -> np.recarray[Any, Any]:
        """Table of the filters, one row a channel.

        Fields: `node_y`, `node_x` (natural order), `freq_y`, `freq_x` (frequency index, 0 to 2**J - 1), `branch`
        ("a" or "b"), `conjugated` (to bring it to the half-plane omega_x >= 0), `edge` (a frequency index is 0 or
        2**J - 1, so that the filter is not analytic along that axis).
        """
        f = rule.frequency_index(self.levels)
        sigma = rule.half_line(self.levels)
        top = 2**self.levels - 1
        rows = []
        for branch in "ab":
            for node_y, node_x in zip(*rule.quad_tree_order(self.levels), strict=True):
                freq_y, freq_x = f[node_y], f[node_x]
                conjugated = (sigma[freq_x] < 0) == (branch == "a")
                edge = freq_y in (0, top) or freq_x in (0, top)
                rows.append((node_y, node_x, freq_y, freq_x, branch, conjugated, edge))
        fields = [(name, np.int64) for name in ("node_y", "node_x", "freq_y", "freq_x")]
        table = np.rec.array(rows, dtype=[*fields, ("branch", "U1"), ("conjugated", "?"), ("edge", "?")])
        table.setflags(write=False)
        return table

    @cached_property
    def frequencies(self) -> NDArray[np.float64]:
        """Nominal characteristic frequencies, shape (2 * 4**J, 2), vertical then horizontal, rad/sample.

        They are those of the correlation kernels: the phase of coefficients of a wave of this frequency goes back by it
        times the stride from one position to the next (see `forward`).
        """
        p, sigma = self.packets, rule.half_line(self.levels)
        # Psi_a has the signs (sigma_y, sigma_x), Psi_b (sigma_y, -sigma_x); conjugation negates both.
        flip = np.where(p.branch == "a", 1, -1) * sigma[p.freq_x]
        signs = np.stack([sigma[p.freq_y] * flip, np.ones(p.size, dtype=np.int64)], axis=-1)
        indices = np.stack([p.freq_y, p.freq_x], axis=-1)
        return np.asarray(signs * (indices + 0.5) * np.pi / 2**self.levels)

    @cached_property
    def centroids(self) -> NDArray[np.float64]:
        r"""Measured centre of each filter's energy, shape (2 * 4**J, 2), rad/sample.

        The circular mean :math:`\arg\int|\widehat W|^2e^{i\omega}` along each axis, exactly: it is the argument of the
        autocorrelation at lag one.
        """
        mean = mean_frequency(self._node_kernels)
        p = self.packets
        theta_y, theta_x = mean[p.node_y], np.where(p.branch == "a", 1, -1) * mean[p.node_x]
        flip = np.where(p.conjugated, -1, 1)
        return np.stack([flip * theta_y, flip * theta_x], axis=-1)

    def kernels(self, channels: ArrayLike | None = None) -> NDArray[np.complex128]:
        """Complex correlation kernels.

        Parameters
        ----------
        channels : array_like of int, optional
            Which filters; by default all, which is large for many levels.

        Returns
        -------
        ndarray, shape (2 * 4**J, K, K), complex128
            ``forward(x)[l, n] = sum_k x[start + stride n + k] kernels()[l, k]`` on the extended image.

        Raises
        ------
        TypeError
            If the channels are not integers.
        ValueError
            If they have more than one axis.
        IndexError
            If there is no such channel.
        """
        p: Any = self.packets if channels is None else self.packets[_chosen(channels, self.packets.size)]
        psi = self._node_kernels
        horizontal = np.where((p.branch == "b")[:, None], psi[p.node_x].conj(), psi[p.node_x])
        kernels: NDArray[np.complex128] = psi[p.node_y][:, :, None] * horizontal[:, None, :]
        np.conjugate(kernels, out=kernels, where=p.conjugated[:, None, None])
        return kernels

    @cached_property
    def _channels(self) -> NDArray[np.int64]:
        """Channel of Psi_a for each pair of nodes, shape (2**J, 2**J)."""
        channels = np.empty((2**self.levels,) * 2, dtype=np.int64)
        channels[rule.quad_tree_order(self.levels)] = np.arange(4**self.levels)
        return channels

    def tables(self, size: tuple[int, int], kind: str, dtype: np.dtype[np.floating]) -> Tables:
        """Return what kernels need to know: plans of both axes, channels of Psi_a, signs that conjugate."""
        plan_y, plan_x = (self._plan(n, kind, dtype) for n in size)
        return plan_y, plan_x, self._channels, np.where(self.packets.conjugated, -1, 1).astype(dtype)

    def forward(self, x: ArrayLike, out: NDArray[Any] | Coefficients | None = None) -> Coefficients:
        r"""Transform real images.

        Parameters
        ----------
        x : array_like, shape (..., H, W), real
            float32 and float16 are computed in single precision, all else in double. Any size from 1x1 up; the batch
            may be empty.
        out : ndarray or Coefficients, optional
            Where to write, of the shape and dtype of the result and in C order: large results in fresh memory wait for
            its pages.

        Returns
        -------
        Coefficients, shape (..., 2 * 4**J, h, w), complex64 or complex128
            h = H / stride, w = W / stride for periodization (rounded up to whole blocks); more for the other
            boundaries. They are those of `out` where it is given.

        Raises
        ------
        TypeError
            If `x` is not real and numeric, or `out` no array.
        ValueError
            If `out` has another shape or dtype, gaps or another order, cannot be written to, or overlaps `x`;
            if `x` has fewer than two axes, no pixels, or holds NaN or infinity; if its shape is that of colour images
            with the colours last, (..., H, W, 3 or 4) with H and W of at least 16.

        Notes
        -----
        Coefficients are correlations with kernels about :math:`e^{i\langle\theta,n\rangle}`, theta the filter's row of
        `frequencies`: those of a plane wave :math:`\cos\langle\theta,n\rangle` are about
        :math:`e^{-i\langle\theta,sk\rangle}` at position k, so that the phase goes **back** by theta times the stride s
        from one to the next. That of :func:`wavelets.analytic` goes forward, as :math:`e^{+i\langle\theta,n\rangle}`.
        """
        from wavelets.engine import strips  # numba takes a moment to import

        x = real_images(x, "x")
        refuse_overflow(x, "x")
        batch, size = x.shape[:-2], (x.shape[-2], x.shape[-1])
        tables = self.tables(size, "forward", x.dtype)
        images = np.require(x.reshape(-1, *size), requirements=["C", "W"])
        channels = 2 * 4**self.levels
        grid = tuple(int(plan.sizes[-1]) for plan in tables[:2])
        c = _empty((*batch, channels, *grid), np.result_type(x.dtype, np.complex64), out, x)
        strips.forward(tables, images, c.view(x.dtype).reshape(-1, channels, *grid, 2))
        return Coefficients(c, self._origin(size))

    def inverse(
        self, c: ArrayLike, size: tuple[int, int] | int | None = None, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        """Reconstruct the images exactly.

        Parameters
        ----------
        c : array_like, shape (..., 2 * 4**J, h, w), complex
            Result of `forward`, or a plain array and `size`.
        size : (int, int) or int, optional
            H and W of the original; needed where `c` does not carry them, such as after `np.stack`.
        out : ndarray, optional
            Where to write, of the shape and dtype of the result and in C order: see `forward`.

        Returns
        -------
        ndarray, shape (..., H, W), float32 or float64

        Raises
        ------
        TypeError, ValueError
            If the coefficients are not numbers or have another shape than those of this transform and size, or if they
            are :class:`wavelets.Coefficients` of another origin: filters, levels, stride, boundary or size; or if they
            are so large that the result is not finite, which `out` then holds; and for `out` as in `forward`.
        """
        return self._backward(c, size, "inverse", 1 / 8 if self._decimated else 1 / 32, out)

    def adjoint(
        self, c: ArrayLike, size: tuple[int, int] | int | None = None, out: NDArray[Any] | None = None
    ) -> NDArray[Any]:
        r"""Adjoint for the real inner product: :math:`\operatorname{Re}\langle c, Tx\rangle = \langle T^*c, x\rangle`.

        Parameters, results and errors are those of `inverse`.
        """
        return self._backward(c, size, "adjoint", out=out)

    def _backward(
        self,
        c: ArrayLike,
        size: tuple[int, int] | int | None,
        kind: str,
        factor: float = 1.0,
        out: NDArray[Any] | None = None,
    ) -> NDArray[Any]:
        from wavelets.engine import strips  # numba takes a moment to import

        channels = 2 * 4**self.levels
        array, (height, width) = self._checked_coefficients(c, size, channels)
        batch, grid = array.shape[:-3], array.shape[-2:]
        real = array.real.dtype
        tables = self.tables((height, width), kind, real)
        flat = array.reshape(-1, channels, *grid).view(real).reshape(-1, channels, *grid, 2)
        images = _empty((*batch, height, width), real, out, array)
        strips.backward(tables, factor, flat, images.reshape(-1, height, width))
        refuse_overflowed(images, array, "c")
        return images


def mean_frequency(kernels: NDArray[Any]) -> NDArray[np.float64]:
    r"""Circular mean :math:`\arg\int|\widehat\psi|^2e^{i\omega}` of 1-D kernels (..., K), rad/sample in (-pi, pi].

    Exactly, and without a frequency grid: it is the argument of the autocorrelation at lag one.
    """
    return np.asarray(np.angle((kernels[..., 1:] * kernels[..., :-1].conj()).sum(axis=-1)))


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any], out: Any, given: NDArray[Any]) -> NDArray[Any]:
    """Return `out` if it is there and can hold a result of this shape and dtype, else a new array."""
    if out is None:
        return np.empty(shape, dtype)
    if not isinstance(out, (np.ndarray, Coefficients)):
        raise TypeError(f"out must be an array, not {type(out).__name__}")
    array = np.asarray(out)
    if array.shape != shape or array.dtype != dtype:
        raise ValueError(f"out has shape {array.shape} and dtype {array.dtype}; expected {shape} and {dtype}")
    if not array.flags.carray:
        raise ValueError("out has gaps or another order of axes, or is read-only; expected a C-contiguous array")
    if np.shares_memory(array, given):
        raise ValueError("out shares memory with what is transformed; expected an array of its own")
    return array


def _chosen(channels: ArrayLike, count: int) -> NDArray[np.int64]:
    """Positions of channels given by number, or by a mask over all of them."""
    chosen = np.atleast_1d(to_array(channels, "channels"))
    if chosen.dtype == bool and chosen.shape == (count,):
        return np.flatnonzero(chosen)
    if chosen.dtype.kind not in "iu" and chosen.size:
        raise TypeError(f"channels has dtype {chosen.dtype}; expected integers")
    if chosen.ndim > 1:
        raise ValueError(f"channels has shape {chosen.shape}; expected one axis")
    return chosen.astype(np.int64)


def check_levels(levels: object) -> int:
    """Return a depth that is an integer from 1 to 6; TypeError or ValueError otherwise."""
    return integer("levels", levels, 1, MAX_LEVELS)


def _upsample(taps: NDArray[np.float64], factor: int) -> NDArray[np.float64]:
    out = np.zeros((taps.size - 1) * factor + 1)
    out[::factor] = taps
    return out
