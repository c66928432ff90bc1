"""Stability under circular shifts, by the protocol of the BlurPool paper (Zhang 2019): nothing enters at borders."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from analysis.networks.checks import floating_maps
from analysis.networks.layer_access import evaluating
from analysis.networks.metrics import AccuracyByShift, Variation, kernel_variation
from analysis.networks.metrics.checks import finite, labels_of
from analysis.runs.progress import Bar
from wavelets.checks import integer

MAPPED = 200
"""Pictures that are run at every shift, by default: 1024 passes of 32×32 pictures each."""


@torch.no_grad()
def circular_stability(
    model: nn.Module,
    inputs: Tensor,
    labels: Tensor,
    *,
    mapped: int = MAPPED,
    seed: int = 0,
    batch: int = 250,
    prepare: Callable[[Tensor], Tensor] | None = None,
    progress: bool = False,
) -> xr.Dataset:
    """Accuracy and stability of a network under circular shifts of its input.

    Parameters
    ----------
    model : torch.nn.Module
        From inputs (N, channels, H, W) to logits (N, classes). It is run in evaluation mode and left as it was.
    inputs : Tensor, shape (N, channels, H, W), floating
        As the model takes them, or as `prepare` does.
    labels : Tensor, shape (N,), integers
    mapped : int
        The first so many inputs are run at all H W shifts; 0 leaves the results that need it out.
    seed : int
        Of the two shifts of every input, drawn independently and uniformly from all H W.
    batch : int
        Inputs in one pass.
    prepare : callable, optional
        From shifted inputs to what the model takes, such as normalisation.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Dataset
        ``accuracy``, at no shift; ``accuracy_shifted``, at a random one; ``consistency``, two random ones give the same
        class; each 0 to 1 and with a standard error over inputs, ``_stderr``. Of the `mapped` inputs: ``variation``,
        the mean standard deviation over all shifts of the probability of the true class, and ``variation_histogram``
        (bin), how it is distributed; ``accuracy_by_shift`` (dy, dx), pixels, ``diagonal`` (step), where dy = dx;
        ``adversary`` (radius), right at all shifts of at most so many pixels along either axis. Of the kernels:
        ``total_variation`` (layer), see :func:`analysis.networks.metrics.kernel_variation`.

    Raises
    ------
    TypeError, ValueError
        If inputs or labels are not as described, or the model answers NaN or infinity.

    Notes
    -----
    theory.md, section 7.1, metrics 2 to 6.
    """
    inputs = floating_maps(inputs, "circular_stability", None, "(N, channels, H, W)")
    if not len(inputs):
        raise ValueError("inputs has no example; expected at least one")
    mapped, batch = min(integer("mapped", mapped, 0), len(inputs)), integer("batch", batch, 1)
    height, width = inputs.shape[2:]
    shifts = np.random.default_rng(integer("seed", seed, 0)).integers(0, (height, width), (2, len(inputs), 2))
    passes = 3 * len(inputs) + height * width * mapped
    device = next((p.device for p in model.parameters()), torch.device("cpu"))

    def answer(pictures: Tensor) -> Tensor:
        pictures = pictures.to(device)
        return finite(model(pictures if prepare is None else prepare(pictures)), "logits", 2, "(N, classes)")

    with evaluating(model), Bar("circular shifts", passes, "passes", progress) as bar:
        still, first, second = (
            torch.cat(list(_answers(answer, inputs, by, batch, bar))) for by in (np.zeros_like(shifts[0]), *shifts)
        )
        labels = labels_of(labels, *still.shape)
        top = [logits.argmax(1) for logits in (first, second)]
        found = _mean("accuracy", still.argmax(1) == labels)
        found |= _mean("accuracy_shifted", torch.stack([t == labels for t in top]).double().mean(0))
        found |= _mean("consistency", top[0] == top[1])
        if mapped:
            found |= _at_every_shift(answer, inputs[:mapped], labels[:mapped], batch, bar)
    kernels = kernel_variation(model)
    found["total_variation"] = xr.DataArray(list(kernels.values()), {"layer": list(kernels)}, ["layer"])
    return xr.Dataset(found)


def shifted(inputs: Tensor, shifts: NDArray[np.int64]) -> Tensor:
    """Inputs (N, channels, H, W), each moved circularly by its own (dy, dx), shape (N, 2), pixels."""
    rows, columns = (
        torch.from_numpy((np.arange(side) - shifts[:, axis, None]) % side) for axis, side in enumerate(inputs.shape[2:])
    )
    example, channel = (torch.arange(count) for count in inputs.shape[:2])
    return inputs[
        example[:, None, None, None], channel[None, :, None, None], rows[:, None, :, None], columns[:, None, None, :]
    ]


Answer = Callable[[Tensor], Tensor]


def _answers(answer: Answer, inputs: Tensor, shifts: NDArray[np.int64], batch: int, bar: Bar) -> Iterator[Tensor]:
    for start in range(0, len(inputs), batch):
        part = slice(start, start + batch)
        yield answer(shifted(inputs[part], shifts[part]))
        bar.update(len(inputs[part]))


def _at_every_shift(answer: Answer, inputs: Tensor, labels: Tensor, batch: int, bar: Bar) -> dict[str, xr.DataArray]:
    height, width = inputs.shape[2:]
    shifts = [(dy, dx) for dy in _centred(height) for dx in _centred(width)]
    accuracy, variation = AccuracyByShift(shifts), Variation()
    for one, label in zip(inputs, labels, strict=True):
        same = one.expand(len(shifts), *one.shape)
        logits = torch.cat(list(_answers(answer, same, np.array(shifts), batch, bar)))[:, None]
        accuracy.update(logits, label[None])
        variation.update(logits, label[None])
    maps = accuracy.compute()
    share, edges = variation.distribution()
    return {
        "variation": xr.DataArray(variation.compute()),
        "variation_histogram": xr.DataArray(share.numpy(), {"bin": ((edges[1:] + edges[:-1]) / 2).numpy()}, ["bin"]),
        "accuracy_by_shift": maps.accuracy,
        "diagonal": maps.diagonal,
        "adversary": maps.adversary,
    }


def _centred(side: int) -> range:
    return range(-(side // 2), side - side // 2)


def _mean(name: str, values: Tensor) -> dict[str, xr.DataArray]:
    """Mean over inputs and its standard error."""
    values = values.double()
    error = float(values.std()) / len(values) ** 0.5 if len(values) > 1 else np.nan
    return {name: xr.DataArray(float(values.mean())), f"{name}_stderr": xr.DataArray(error)}
