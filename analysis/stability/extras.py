"""Measurements of stability beside its standard set, on request: published forms, and corrupted pictures.

Each extra makes its own frames of the pictures, and says what becomes of the answers to them.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from analysis.measurements.relative_rates import mean_corruption_error, mean_flip_rate
from analysis.networks.metrics import Consistency, DivergenceByShift, FlipRate, Streaming, resized
from analysis.networks.metrics.accuracy import AccuracyByFrame
from analysis.networks.metrics.shifts import DIRECTIONS
from analysis.stability.corruptions import CORRUPTIONS, LEAST, SEVERITIES, all_corrupted, need_corruptions
from wavelets.checks import integer

Values = dict[str, Any]


class Extra(Protocol):
    """Frames of pictures, and metrics of the answers to them.

    Attributes
    ----------
    key : str
        Of its answers and metrics.
    count : int
        Frames of a picture.
    raw : bool
        Whether the network is given R, G, B in [0, 1] as they are, without what prepares its input.
    """

    key: str
    count: int
    raw: bool

    def settings(self) -> Values:
        """All that the frames depend on."""

    def frames(self, pictures: Tensor, names: Sequence[str]) -> list[Tensor]:
        """Frames, each (N, 3, size, size), of pictures (N, 3, side, side), uint8 or in [0, 1]."""

    def metrics(self) -> dict[str, Streaming]:
        """Metrics that have seen nothing."""

    def update(self, metrics: Mapping[str, Any], logits: Tensor, truth: Tensor | None) -> None:
        """Add answers (count, N, classes)."""

    def values(self, metrics: Mapping[str, Any]) -> tuple[Values, Values]:
        """Variables and coordinates of the report of one network."""

    def relative(self, reports: Any) -> Values:
        """Variables along ``remedy`` that compare with the first network."""


class Offsets:
    """Zhang's consistency on ImageNet: two windows of a square of 256 at offsets drawn from {0..31}², normalised.

    Parameters
    ----------
    size : int
        Side of the input; the square is 256/224 of it, and offsets are below the difference.
    seed : int
        Of the offsets, which are each picture's own.

    Notes
    -----
    The authors' code draws a pair a batch, which has the same mean and a larger error.
    """

    key, count, raw = "offsets", 2, False

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size, self.seed = size, integer("seed", seed, 0)
        self.side = round(size * 256 / 224)

    def settings(self) -> Values:
        """Seed and side."""
        return {"offsets_seed": self.seed, "offsets_side": self.side}

    def frames(self, pictures: Tensor, names: Sequence[str]) -> list[Tensor]:
        """Two windows of each picture."""
        large = resized(pictures, self.side)
        corners = np.array([self.corners(name) for name in names])
        return [
            torch.stack(
                [x[:, y : y + self.size, z : z + self.size] for x, (y, z) in zip(large, corners[:, frame], strict=True)]
            )
            for frame in range(2)
        ]

    def corners(self, name: str) -> Any:
        """Corners (2, 2) of the windows of a picture, by its name."""
        draws = np.random.default_rng([self.seed, zlib.crc32(name.encode("utf-8", "surrogateescape"))])
        return draws.integers(0, max(self.side - self.size, 1), (2, 2))

    def metrics(self) -> dict[str, Streaming]:
        """Consistency."""
        return {self.key: Consistency()}

    def update(self, metrics: Mapping[str, Any], logits: Tensor, truth: Tensor | None) -> None:
        """Add answers to the two windows."""
        metrics[self.key].update(logits)

    def values(self, metrics: Mapping[str, Any]) -> tuple[Values, Values]:
        """``consistency_offsets``, per cent."""
        return {"consistency_offsets": 100 * metrics[self.key].compute()}, {}

    def relative(self, reports: Any) -> Values:
        """Nothing."""
        return {}


class PublishedShifts:
    """Flips and divergence as in the poster's records: windows from the corner, not normalised.

    Flips are of whole pixels, from pictures resized to size + span; for the divergence they are resized to
    2 (size + span), cut at steps of half a pixel, and halved, at whole shifts too.

    Parameters
    ----------
    size, span : int
        Side of the input and largest shift, pixels.

    Notes
    -----
    theory.md, section 6.3. Where pictures come at 2 (size + span) already, the divergence is that of the records; flips
    are then of pictures that are resized twice, first to that and from there to size + span.
    """

    key, raw = "published", True

    def __init__(self, size: int, span: int) -> None:
        self.size, self.span = size, span
        self.count = 2 + len(DIRECTIONS) * 3 * span

    def settings(self) -> Values:
        """That it is measured."""
        return {"published": True}

    def frames(self, pictures: Tensor, names: Sequence[str]) -> list[Tensor]:
        """Frames of whole pixels, then of half pixels: the one that all directions share, then the others of each."""
        once = resized(pictures, self.size + self.span)
        twice = resized(pictures, 2 * (self.size + self.span))
        found = [_cut(once, down, right, self.size) for down, right in self._corners(self.span)]
        for down, right in self._corners(2 * self.span):
            large = _cut(twice, down, right, 2 * self.size)
            found.append(interpolate(large, (self.size, self.size), mode="bilinear", antialias=True))
        return found

    @staticmethod
    def _corners(steps: int) -> list[tuple[int, int]]:
        """Corners of the frames of so many steps in each direction."""
        moved = [(down * k, right * k) for down, right in DIRECTIONS.values() for k in range(1, steps + 1)]
        return [(0, 0), *moved]

    def metrics(self) -> dict[str, Streaming]:
        """Flips and divergence by direction."""
        flips: dict[str, Streaming] = {f"published flips {d}": FlipRate() for d in DIRECTIONS}
        return flips | {f"published divergence {d}": DivergenceByShift() for d in DIRECTIONS}

    def update(self, metrics: Mapping[str, Any], logits: Tensor, truth: Tensor | None) -> None:
        """Add answers to all frames."""
        first = 1 + len(DIRECTIONS) * self.span
        for number, direction in enumerate(DIRECTIONS):
            for name, answers in (("flips", logits[:first]), ("divergence", logits[first:])):
                steps = (len(answers) - 1) // len(DIRECTIONS)
                moved = answers[1 + number * steps : 1 + (number + 1) * steps]
                metrics[f"published {name} {direction}"].update(torch.cat([answers[:1], moved]))

    def values(self, metrics: Mapping[str, Any]) -> tuple[Values, Values]:
        """``flip_rate_published`` (direction, distance), %; ``divergence_published`` (direction, shift), nats."""
        rates = [100 * metrics[f"published flips {d}"].compute() for d in DIRECTIONS]
        divergence = [metrics[f"published divergence {d}"].compute() for d in DIRECTIONS]
        return {
            "flip_rate_published": (("direction", "distance"), rates),
            "divergence_published": (("direction", "shift"), divergence),
        }, {"shift": np.arange(2 * self.span + 1) / 2}

    def relative(self, reports: Any) -> Values:
        """``mfr_published``, per cent of the first network's flips; NaN if that never flips along a direction."""
        rates = [dict(zip(DIRECTIONS, rate, strict=True)) for rate in reports.flip_rate_published.values]
        known = all(rate.any() for rate in rates[0].values())
        return {"mfr_published": ("remedy", [mean_flip_rate(r, rates[0]) if known else np.nan for r in rates])}


class Corrupted:
    """Error on pictures after the 15 corruptions of ImageNet-C at their five severities.

    Parameters
    ----------
    size : int
        Side of the input, pixels, at least 32; the middle square of the picture at that size is corrupted.
    seed : int
        Of all that is drawn at random, for each picture another way.
    """

    key, raw = "corruptions", False
    count = len(CORRUPTIONS) * len(SEVERITIES)

    def __init__(self, size: int, seed: int = 0) -> None:
        need_corruptions()
        if size < LEAST:
            raise ValueError(f"size is {size}; corruptions need at least {LEAST} pixels a side")
        self.size, self.seed = size, integer("seed", seed, 0)

    def settings(self) -> Values:
        """Seed."""
        return {"corruptions_seed": self.seed}

    def frames(self, pictures: Tensor, names: Sequence[str]) -> list[Tensor]:
        """All corruptions of each picture, as bytes."""
        x = resized(pictures, self.size)
        x = x if x.dtype == torch.uint8 else (255 * x.clip(0, 1)).round().to(torch.uint8)
        found = [
            all_corrupted(picture, zlib.crc32(f"{self.seed} {name}".encode("utf-8", "surrogateescape")))
            for picture, name in zip(np.ascontiguousarray(x.permute(0, 2, 3, 1).numpy()), names, strict=True)
        ]
        every = torch.from_numpy(np.stack(found)).permute(1, 2, 0, 5, 3, 4)  # kind, severity, N, 3, H, W
        return list(every.flatten(0, 1))

    def metrics(self) -> dict[str, Streaming]:
        """Accuracy by frame."""
        return {self.key: AccuracyByFrame()}

    def update(self, metrics: Mapping[str, Any], logits: Tensor, truth: Tensor | None) -> None:
        """Add answers to all corruptions; ValueError without labels."""
        if truth is None:
            raise ValueError("corruptions need labels: what is measured is the error")
        metrics[self.key].update(logits, truth)

    def values(self, metrics: Mapping[str, Any]) -> tuple[Values, Values]:
        """``corruption_error`` (corruption, severity), per cent."""
        right = metrics[self.key].compute().reshape(len(CORRUPTIONS), len(SEVERITIES))
        coordinates = {"corruption": list(CORRUPTIONS), "severity": list(SEVERITIES)}
        return {"corruption_error": (("corruption", "severity"), 100 * (1 - right.numpy()))}, coordinates

    def relative(self, reports: Any) -> Values:
        """``mce``, the mean of the error ratios to the first network, per cent; NaN where that errs nowhere."""
        errors = [dict(zip(CORRUPTIONS, each, strict=True)) for each in reports.corruption_error.values]
        known = all(each.any() for each in errors[0].values())
        return {"mce": ("remedy", [mean_corruption_error(e, errors[0]) if known else np.nan for e in errors])}


def _cut(pictures: Tensor, top: int, left: int, size: int) -> Tensor:
    return pictures[:, :, top : top + size, left : left + size]
