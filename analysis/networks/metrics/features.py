"""Distance of internal features from shift equivariance and invariance, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
import xarray as xr
from torch import Tensor, nn
from torch.nn import functional as F

from analysis.networks.layer_access import behaves_as, evaluating
from analysis.networks.metrics.checks import shifts_of
from analysis.networks.metrics.shifts import circular
from analysis.networks.metrics.streaming import Streaming


class FeatureDistance(Streaming):
    r"""Cosine distance of features under circular shifts of the input, for every layer and shift.

    Equivariance: :math:`d(\mathrm{Shift}\,\tilde F(X),\tilde F(\mathrm{Shift}X))`; invariance:
    :math:`d(\tilde F(X),\tilde F(\mathrm{Shift}X))`; :math:`\tilde F` are the features repeated up to the grid of the
    input, d is :math:`1-\cos` of the channel vectors, averaged over positions and pictures; two zero vectors are at
    distance 0, a zero and another one at 1. theory.md, section 7.1, metric 1.

    Parameters
    ----------
    model : torch.nn.Module
        It is run in evaluation mode, and left in the mode it was in.
    layers : sequence of str
        Names of the modules to watch, in the order of the rows. A pooling module gives two rows, "NAME (dense)", before
        its subsampling, and "NAME (downsampled)". The dense part is that of torch's max and average pooling at stride
        1, or what the method ``dense(x)`` of the module returns.
    shifts : sequence of (int, int)
        (dy, dx), pixels, content down and to the right.
    strides : mapping of str to int, optional
        Pixels of the input between two positions of a row. By default the power of two that is nearest to the quotient
        of the sides (the quotient itself, if it is whole).

    Notes
    -----
    Exact zeros at multiples of the stride need a network whose padding is circular and whose sides divide. In any other
    one the borders add to the distance. Where repeated features do not cover the input, the rest is left out.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Sequence[str],
        shifts: Sequence[tuple[int, int]],
        strides: Mapping[str, int] | None = None,
    ) -> None:
        super().__init__()
        modules = dict(model.named_modules())
        for name in layers:
            if name not in modules:
                known = ", ".join(key for key in modules if key)
                raise ValueError(f"the model has no layer {name!r}; it has {known}")
        if not layers:
            raise ValueError("layers is empty; expected names of modules")
        self.layers = tuple(layers)
        self.shifts = shifts_of(shifts)
        self.strides = dict(strides or {})
        self.rows: tuple[str, ...] = tuple(
            row
            for name in layers
            for row in ([f"{name} (dense)", f"{name} (downsampled)"] if _is_pooling(modules[name]) else [name])
        )
        self._model = model

    def update(self, x: Tensor) -> None:
        """Add a batch.

        Parameters
        ----------
        x : Tensor, shape (N, channels, H, W)
            As the model takes it; with N >= 2 also the distance of different pictures is measured.

        Raises
        ------
        ValueError
            If a shift is as large as the input, or a watched layer was not run, has run twice or returns NaN or
            infinity.
        """
        if x.ndim != 4 or not len(x):
            raise ValueError(f"x has shape {tuple(x.shape)}; expected (N, channels, H, W) with N >= 1")
        size = (x.shape[2], x.shape[3])
        self._expect(rows_of_the_input=size[0], columns_of_the_input=size[1])
        still = self._features(x)
        sums = {
            kind: torch.zeros(len(self.rows), len(self.shifts), dtype=torch.float64)
            for kind in ("equivariance", "invariance")
        }
        for j, shift in enumerate(self.shifts):
            moved = self._features(circular(x, shift))
            for i, row in enumerate(self.rows):
                for kind, by in (("equivariance", shift), ("invariance", (0, 0))):
                    sums[kind][i, j] = _distance(still[row], moved[row], by, size, self.strides.get(row)).sum()
        for kind, total in sums.items():
            self._add(kind, total)
        self._add("pictures", len(x))
        if len(x) > 1:
            others = [_distance(a, a.roll(1, 0), (0, 0), size, self.strides.get(row)) for row, a in still.items()]
            self._add("different", torch.stack([distances.sum() for distances in others]))
            self._add("pairs", len(x))

    def compute(self) -> xr.Dataset:
        """Mean distances.

        Returns
        -------
        Dataset
            ``equivariance`` and ``invariance`` (layer, shift), with coordinates ``dy`` and ``dx`` of the shifts;
            ``different`` (layer), the mean distance of two different pictures' features, NaN if no batch had two. Half
            of it is the red end of the BlurPool paper's colour scale.
        """
        pictures = self._seen("pictures")
        pairs = self.sums.get("pairs", torch.tensor(0.0))
        different = self.sums.get("different", torch.zeros(len(self.rows))) / pairs
        down, right = zip(*self.shifts, strict=True)
        return xr.Dataset(
            {
                "equivariance": (("layer", "shift"), (self.sums["equivariance"] / pictures).numpy()),
                "invariance": (("layer", "shift"), (self.sums["invariance"] / pictures).numpy()),
                "different": (("layer",), different.numpy()),
            },
            {"layer": list(self.rows), "dy": ("shift", list(down)), "dx": ("shift", list(right))},
        )

    @torch.no_grad()
    def _features(self, x: Tensor) -> dict[str, Tensor]:
        """Features of every row, with channel vectors of unit length (or zero)."""
        found: dict[str, Tensor] = {}
        with _watch(self._model, self.layers, found), evaluating(self._model):
            self._model(x)
        missing = [row for row in self.rows if row not in found]
        if missing:
            raise ValueError(f"layer {missing[0]!r} was not run by the model")
        return {row: F.normalize(found[row], dim=1) for row in self.rows}


@contextmanager
def _watch(model: nn.Module, layers: Sequence[str], found: dict[str, Tensor]) -> Any:
    """Write what the layers return into `found`, as (N, C, h, w), as long as this is open."""

    def keep(row: str, value: Any) -> None:
        if row in found:
            raise ValueError(f"layer {row!r} was run twice in one pass; watch a module that is run once")
        if not isinstance(value, Tensor) or value.ndim not in (2, 4):
            raise ValueError(f"layer {row!r} returns no tensor of shape (N, C) or (N, C, H, W)")
        bad = ~value.isfinite()
        if bad.any():
            raise ValueError(f"layer {row!r}: {int(bad.sum())} of {bad.numel()} values are NaN or infinite")
        found[row] = value.detach() if value.ndim == 4 else value.detach()[:, :, None, None]

    def hook(name: str) -> Any:
        def after(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
            if _is_pooling(module):
                keep(f"{name} (dense)", dense_part(module, inputs[0]))
                keep(f"{name} (downsampled)", output)
            else:
                keep(name, output)

        return after

    modules = dict(model.named_modules())
    handles = [modules[name].register_forward_hook(hook(name)) for name in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def dense_part(module: Any, x: Tensor) -> Tensor:
    """Dense part of a pooling layer, before it subsamples.

    Parameters
    ----------
    module : torch.nn.MaxPool2d, torch.nn.AvgPool2d or a module with a method ``dense(x)``
    x : Tensor, shape (N, C, H, W)

    Returns
    -------
    Tensor, shape (N, C, h, w)
        The pooling at stride 1.
    """
    if callable(getattr(module, "dense", None)):
        y: Tensor = module.dense(x)
    elif behaves_as(module, nn.MaxPool2d):
        y = F.max_pool2d(x, module.kernel_size, 1, module.padding, module.dilation)
    elif behaves_as(module, nn.AvgPool2d):
        include, divisor = module.count_include_pad, module.divisor_override
        y = F.avg_pool2d(x, module.kernel_size, 1, module.padding, False, include, divisor)
    else:
        raise TypeError(f"{type(module).__name__} is no pooling layer with a dense part")
    return y


def _is_pooling(module: nn.Module) -> bool:
    return behaves_as(module, nn.MaxPool2d, nn.AvgPool2d) or callable(getattr(module, "dense", None))


def _distance(a: Tensor, b: Tensor, shift: tuple[int, int], size: tuple[int, int], stride: int | None) -> Tensor:
    """Mean over positions of the cosine distance of Shift(ã) and b̃, shape (N,), for vectors of unit length.

    A pair of cells meets at several pixels of the input: each distinct pair is computed once, and weighted.
    """
    (rows_a, rows_b, rows_weight), (columns_a, columns_b, columns_weight) = (
        _meetings(cells, side, by, stride) for cells, side, by in zip(a.shape[2:], size, shift, strict=True)
    )
    if not len(rows_weight) or not len(columns_weight):
        return a.new_full((len(a),), math.nan)
    a, b = a[:, :, rows_a][..., columns_a], b[:, :, rows_b][..., columns_b]
    # Of equal vectors half of the squared difference is an exact 0, which 1 - cos is not. A zero vector has no
    # direction: its distance from another one is set to 1.
    distance = (a - b).square().sum(1) / 2
    distance[a.any(1) ^ b.any(1)] = 1
    weight = torch.outer(torch.as_tensor(rows_weight), torch.as_tensor(columns_weight)).to(distance)
    return (distance * weight).sum((1, 2)) / weight.sum()


def _meetings(cells: int, side: int, by: int, stride: int | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Cells of the shifted and of the other map that meet along an axis, and the number of pixels where they do."""
    stride = stride or _stride(cells, side)
    covered = min(side, cells * stride)
    pixels = np.arange(covered)
    source = (pixels - by) % side
    pixels, source = pixels[source < covered], source[source < covered]
    pairs, weight = np.unique(np.stack((source // stride, pixels // stride)), axis=1, return_counts=True)
    return pairs[0], pairs[1], weight


def _stride(cells: int, side: int) -> int:
    return side // cells if side % cells == 0 else 2 ** max(0, round(math.log2(side / cells)))
