"""Studies of pictures: the BlurPool paper's Table 1, and the poster's Fig. 10."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from analysis.networks.metrics import DivergenceByShift, FlipRate, TopK, half_pixel_window, line, resized, window
from analysis.networks.metrics.shifts import DIRECTIONS
from analysis.networks.operator_table import PUBLISHED_FILTERS
from analysis.networks.training.augmentation import AUGMENTATIONS
from analysis.networks.training.data import Data
from analysis.networks.training.recipe import Recipe, recipe
from analysis.networks.twins.names import PUBLISHED_BANK
from analysis.published.tables import FAMILIES, archived_scores, parts_of, published_table
from analysis.stability.circular import circular_stability
from analysis.studies.study import Claim, Run, Study

WIDTH, EPOCHS = 0.25, 6
"""Factor of the widths, and epochs, at the scale "small"."""

SIDE, BATCH = 32, 250

# --- the BlurPool paper, Table 1

SMALL_FILTERS = ("", "rectangle2", "rectangle3", "rectangle4", "triangle3", "triangle5", "blur5", "blur7")
TRAINING = {"none": "vgg13-cifar10", "shift": "vgg13-cifar10-shift"}
SELECTED: dict[str, Any] = {"held_out": 0.1, "keep": "best"}
"""What the small runs were made with: a tenth of the pictures chooses the epoch."""

BASELINE = "max"
MAPPED = 25


def blurpool_runs(scale: str, seeds: Sequence[int]) -> list[Run]:
    """VGG13 with each filter, without and with random shifts; small: quarter width, 6 epochs for 200."""
    filters = SMALL_FILTERS if scale == "small" else ("", *PUBLISHED_FILTERS)
    options = {"width": WIDTH if scale == "small" else 1.0}
    return [
        Run(
            factors={"filter": name or BASELINE, "augmentation": augmentation},
            network=f"vgg13-{name}" if name else "vgg13",
            recipe=shortened(recipe(base, **SELECTED), EPOCHS) if scale == "small" else recipe(base),
            seed=seed,
            options=options,
        )
        for seed in seeds
        for augmentation, base in TRAINING.items()
        for name in filters
    ]


def shortened(base: Recipe, epochs: int) -> Recipe:
    """Return a recipe of so many epochs, its milestones at the same shares of them."""
    return replace(base, epochs=epochs, milestones=tuple(m * epochs // base.epochs for m in base.milestones))


def blurpool_metrics(model: nn.Module, data: Data) -> dict[str, float]:
    """Accuracies, consistency, variation and adversary, per cent, and the mean total variation of the kernels."""
    pixels, labels = test_pictures(data)
    found = circular_stability(model, data.prepared(pixels), labels, mapped=MAPPED)
    shares = {name: 100 * float(found[name]) for name in ("accuracy", "accuracy_shifted", "consistency", "variation")}
    adversary = {"adversary": 100 * float(found.adversary[-1])}
    return shares | adversary | {"total_variation": float(found.total_variation.mean())}


def blurpool_published() -> pd.DataFrame:
    """Table 1 of the BlurPool paper, a row a filter and augmentation."""
    table = published_table("blurpool")
    names = [name.removeprefix("vgg13").removeprefix("-") or BASELINE for name in table.network]
    metrics = ["accuracy", "accuracy_shifted", "consistency"]
    parts = [
        table[[prefix + metric for metric in metrics]]
        .set_axis(metrics, axis=1)
        .assign(filter=names, augmentation=augmentation)
        for augmentation, prefix in (("none", ""), ("shift", "augmented_"))
    ]
    return with_accuracy_lost(pd.concat(parts)[["filter", "augmentation", *metrics]])


def with_accuracy_lost(runs: pd.DataFrame) -> pd.DataFrame:
    """Table with ``accuracy_lost``, points that a random shift takes from the accuracy."""
    return runs.assign(accuracy_lost=runs.accuracy - runs.accuracy_shifted)


def _filter(name: str, augmentation: str) -> dict[str, str]:
    return {"filter": name, "augmentation": augmentation}


BLURPOOL = Study(
    name="blurpool",
    title="the BlurPool paper (Zhang 2019), Table 1 and Figs. 5 to 7: VGG13 on CIFAR-10, circular",
    data="CIFAR-10 as arrays (.npz), or its archive",
    factors=("filter", "augmentation"),
    metrics={
        "accuracy": "accuracy (%)",
        "accuracy_shifted": "accuracy at a random shift (%)",
        "consistency": "consistency (%)",
        "accuracy_lost": "accuracy lost at a random shift (points)",
        "variation": "variation of the probability of the true class (%)",
        "adversary": f"right at all shifts (%), {MAPPED} pictures",
        "total_variation": "total variation of the kernels over their l1 norm",
    },
    runs=blurpool_runs,
    measure=blurpool_metrics,
    claims=(
        Claim("A filter raises consistency.", "consistency", _filter("blur5", "none"), _filter("max", "none"), 1),
        Claim("It raises accuracy too.", "accuracy", _filter("triangle3", "none"), _filter("max", "none"), 1),
        Claim("Accuracy at random shifts rises.", "accuracy_shifted", _filter("blur5", "none"),
              _filter("max", "none"), 1),
        Claim("And by more than accuracy: random shifts cost less of it.", "accuracy_lost", _filter("blur5", "none"),
              _filter("max", "none"), -1),
        Claim("Longer filters are more consistent.", "consistency", _filter("blur7", "none"),
              _filter("triangle3", "none"), 1),
        Claim("Training with shifts raises consistency.", "consistency", _filter("max", "shift"),
              _filter("max", "none"), 1),
        Claim("A filter without such training is more consistent than such training without a filter.", "consistency",
              _filter("blur7", "none"), _filter("max", "shift"), 1),
        Claim("A filter helps consistency on top of such training.", "consistency", _filter("blur7", "shift"),
              _filter("max", "shift"), 1),
        Claim("Filters make kernels smoother.", "total_variation", _filter("blur5", "none"),
              _filter("max", "none"), -1),
    ),
    published=blurpool_published,
    costs={
        "small": f"{EPOCHS} epochs of 20,000 pictures: 4 minutes a run on one core, 48 runs",
        "published": "200 epochs of 45,000 pictures (5,000 choose the epoch; the paper prints no split): hours a "
        "run on one GPU, not measured; 38 runs a seed",
    },
    derive=with_accuracy_lost,
)  # fmt: skip

# --- the poster, Fig. 10

SPAN = 4  # pixels, largest distance of two frames on CIFAR-10
TWINS_SMALL = ("resnet18", "wresnet18-rmax", "wresnet18-cmod", "resnet18-blur", "wresnet18-rmax-blur",
               "wresnet18-cmod-blur")  # fmt: skip


def twin_runs(scale: str, seeds: Sequence[int]) -> list[Run]:
    """ResNets and twins; small: quarter width behind the stem, 6 epochs for 300, ResNet-18 without ABlur, cf_3_3.

    As published: twins with q-shift filters, which need dtcwt, and the first examples choose the epoch.
    """
    base = recipe("resnet-cifar10")
    if scale == "small":
        chosen = replace(shortened(base, EPOCHS), rate=0.03, batch=128)
        return [Run(_parts(name), name, chosen, seed, {"width": WIDTH}) for seed in seeds for name in TWINS_SMALL]
    return [
        Run(_parts(name), name, base, seed, {"filters": PUBLISHED_BANK} if twin != "standard" else {}, hold_out="first")
        for seed in seeds
        for name, twin in archived_scores("CIFAR-10").twin.items()
    ]


def _parts(network: str) -> dict[str, str]:
    parts = parts_of(network)
    return {name: str(parts[name]) for name in ("family", "twin", "pooling")}


def twin_metrics(model: nn.Module, data: Data) -> dict[str, float]:
    """Error of one crop, flip rates (%) summed over distances of 1 to 4 pixels by direction, divergences (nats).

    Frames are windows of pictures that are enlarged by the span; theory.md, section 6.3. They are normalised as for
    training, which the frames of the published records are not.
    """
    pixels, truth = test_pictures(data)
    flips = {direction: FlipRate() for direction in DIRECTIONS}
    top, divergence = TopK((1,)), DivergenceByShift()
    for pictures, labels in zip(torch.split(pixels, BATCH), torch.split(truth, BATCH), strict=True):
        pictures = pictures.permute(0, 3, 1, 2).float() / 255
        top.update(answers(model, data, [pictures])[0], labels)
        large = resized(pictures, SIDE + SPAN)
        for direction, rate in flips.items():
            rate.update(answers(model, data, [window(large, SIDE, shift) for shift in line(direction, SPAN)]))
        divergence.update(answers(model, data, [half_pixel_window(large, SIDE, (0, t)) for t in (0, 0.5, 1)]))
    sums = {f"flips_{direction}": 100 * float(rate.compute().sum()) for direction, rate in flips.items()}
    _, half, one = divergence.compute().tolist()
    return {"error": 100 * (1 - top.compute()[1]), **sums, "divergence_half": half, "divergence_1px": one}


@torch.no_grad()
def answers(model: nn.Module, data: Data, frames: Sequence[Tensor]) -> Tensor:
    """Logits (F, N, classes) of frames, each of pictures (N, 3, H, W) in [0, 1]."""
    mean, std = (torch.tensor(values)[:, None, None] for values in (data.mean, data.std))
    return torch.stack([model((pictures - mean) / std).float() for pictures in frames])


def with_mean_flip_rate(runs: pd.DataFrame) -> pd.DataFrame:
    """Table with ``mfr``, per cent of the flips of the plain ResNet-18 of the same seed."""
    columns = [f"flips_{direction}" for direction in DIRECTIONS]
    plain = (runs.family == FAMILIES["resnet18"]) & (runs.twin == "standard") & (runs.pooling == "max")
    reference = runs[plain].set_index("seed")[columns].reindex(runs.seed)
    return runs.assign(mfr=100 * (runs[columns].to_numpy() / reference.to_numpy()).mean(1))


def twin_published() -> pd.DataFrame:
    """Fig. 10 of the poster by the archived records."""
    scores = archived_scores("CIFAR-10")
    scores = scores[~scores.ablated.astype(bool)]
    return scores[["family", "twin", "pooling", "mfr"]].assign(error=scores.one_crop_top1).reset_index(drop=True)


def _twin(twin: str, pooling: str = "max") -> Mapping[str, str]:
    return {"family": FAMILIES["resnet18"], "twin": twin, "pooling": pooling}


TWINS = Study(
    name="twins",
    title="the poster (Leterme et al. 2022), Fig. 10: ResNet-18 and its twins on CIFAR-10",
    data="CIFAR-10 as arrays (.npz), or its archive",
    factors=("family", "twin", "pooling"),
    metrics={
        "error": "top-1 error, one crop (%)",
        "mfr": "mean flip rate (% of the plain ResNet-18's)",
        "divergence_half": "divergence at half a pixel (nats)",
        "divergence_1px": "divergence at one pixel (nats)",
    },
    runs=twin_runs,
    measure=twin_metrics,
    claims=(
        Claim("CMod flips less than the plain network.", "mfr", _twin("CMod"), _twin("standard"), -1),
        Claim("CMod flips less than its RMax twin.", "mfr", _twin("CMod"), _twin("RMax"), -1),
        Claim("CMod errs less than the plain network.", "error", _twin("CMod"), _twin("standard"), -1),
        Claim("Blur flips less than max pooling.", "mfr", _twin("standard", "Blur"), _twin("standard"), -1),
        Claim(
            "CMod with Blur errs less than Blur alone.", "error", _twin("CMod", "Blur"), _twin("standard", "Blur"), -1
        ),
    ),
    published=twin_published,
    costs={
        "small": f"{EPOCHS} epochs of 20,000 pictures, batch 128: 1.6 to 4 processor minutes a run, counted up from a "
        "few steps and pictures of each; 6 runs, 17 minutes, a seed",
        "published": "300 epochs of 45,000 pictures, twins with q-shift filters (needs dtcwt): hours a run on one GPU, "
        "not measured; 18 runs a seed",
    },
    derive=with_mean_flip_rate,
)


def test_pictures(data: Data) -> tuple[Tensor, Tensor]:
    """Pictures (N, 32, 32, 3), uint8, and classes of all of the test set."""
    if data.test is None:
        raise ValueError("the data have no test set; expected arrays test_x and test_y, or a folder test")
    pixels, labels, _ = data.test.batch(np.arange(len(data.test)), (SIDE, SIDE), AUGMENTATIONS["none"], (0, 0))
    return pixels, labels
