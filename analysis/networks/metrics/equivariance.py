"""An assertion for users: that a module commutes with shifts."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from analysis.networks.metrics.checks import finite, shifts_of
from analysis.networks.metrics.shifts import circular


@torch.no_grad()
def assert_shift_equivariant(
    module: nn.Module | Callable[[Tensor], Tensor],
    x: Tensor | Sequence[int],
    shifts: Sequence[tuple[int, int]] | None = None,
    *,
    stride: int | None = None,
    rtol: float = 1e-5,
) -> None:
    """Check that circular shifts of the input shift the output circularly, and change nothing else.

    Parameters
    ----------
    module : module or callable
        From (N, C, H, W), or (N, C, L), to as many axes; or to (N, C), which must not change at all.
    x : Tensor or sequence of int
        Input, or its shape: then it is drawn from a normal distribution, always the same.
    shifts : sequence of (int, int), optional
        (dy, dx), pixels, content down and to the right; by default all between 0 and 4 (and less than the side). Of an
        input with one axis give (0, dx).
    stride : int, optional
        Pixels between two positions of the output, by default the quotient of the sides.
    rtol : float
        Largest deviation allowed, relative to the output's largest magnitude.

    Raises
    ------
    AssertionError
        At the first shift that fails: names it and the error.
    TypeError, ValueError
        If the input or the output is not as described.

    Notes
    -----
    A shift that is no multiple of the stride has no counterpart on the grid of the output. It must move the output by
    the whole number of positions below or above: that is what adaptive polyphase sampling does, and plain subsampling
    does not. To test plain subsampling for what it does keep, give shifts that are multiples of the stride.
    """
    if not isinstance(x, Tensor):
        x = torch.randn(tuple(x), generator=torch.Generator().manual_seed(0))
        if isinstance(module, nn.Module):  # of the module's device and precision
            x = next((x.to(p) for p in module.parameters() if p.is_floating_point()), x)
    if x.ndim not in (3, 4) or not x.numel():
        raise ValueError(f"x has shape {tuple(x.shape)}; expected (N, C, H, W) or (N, C, L)")
    flat = x.ndim == 3
    height, width = (1, x.shape[2]) if flat else x.shape[2:]
    if shifts is None:
        shifts = [(dy, dx) for dy in range(min(5, height)) for dx in range(min(5, width)) if dy or dx]
    shifts = shifts_of(shifts)
    still = _planes(module(x), flat)
    if stride is None:
        stride = max(1, round(width / still.shape[3])) if still.shape[3] > 1 else 1
    scale = still.abs().max().item() or 1.0
    for shift in shifts:
        moved = circular(x[:, :, None] if flat else x, shift)
        moved = _planes(module(moved[:, :, 0] if flat else moved), flat)
        if moved.shape != still.shape:
            raise AssertionError(
                f"shift {shift} changes the output's shape: {tuple(still.shape)}, {tuple(moved.shape)}"
            )
        candidates = itertools.product(*({by // stride, -(-by // stride)} for by in shift))
        error = min((moved - still.roll(by, (2, 3))).abs().max().item() for by in candidates) / scale
        if not error <= rtol:
            raise AssertionError(
                f"not shift equivariant: shift (dy, dx) = {shift} changes the output by {error:.3g} of its largest "
                f"magnitude; allowed {rtol:g} (stride {stride})"
            )


def _planes(output: Tensor, flat: bool) -> Tensor:
    """Output as (N, C, h, w), finite."""
    if isinstance(output, Tensor) and output.is_complex():
        output = torch.cat((output.real, output.imag), 1)
    axes = output.ndim if isinstance(output, Tensor) else 0
    if axes not in (2, 3 if flat else 4):
        raise ValueError("the module returns no tensor of as many axes as x, nor of shape (N, C)")
    output = finite(output, "the output", axes, "(N, C, ...)")
    return output[:, :, None, None] if axes == 2 else output[:, :, None] if flat else output
