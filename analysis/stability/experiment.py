"""The standard set of stability metrics of one network, or of a network and its remedies, in one pass over pictures."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from torch import Tensor, nn
from tqdm import tqdm

from analysis.networks.metrics import (
    AccuracyByShift,
    Bootstrap,
    Consistency,
    DivergenceByShift,
    FlipRate,
    MeanAbsoluteChange,
    Streaming,
    TopK,
    Variation,
    grid,
    half_pixel_window,
    line,
    lines,
    mean_flip_rate,
    resized,
    standard_error,
    ten_crops,
    window,
)
from analysis.networks.metrics._check import finite, labels_of
from analysis.networks.metrics.accuracy import rank_of
from analysis.networks.metrics.flips import flips_by_picture
from analysis.networks.metrics.shifts import DIRECTIONS
from wavelets.checks import integer

Batches = Tensor | Iterable[Tensor | tuple[Tensor, Tensor]]
Preprocess = Callable[[Tensor], Tensor]

READ = 32
"""Pictures that are read at a time from a tensor; what is kept of a batch grows with them, and with the frames."""

ORDERS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
"""Orders of maps in memory. Which is faster depends on the model: by half, either way."""


class Stability:
    """Standard set of metrics of one model: update it with batches of pictures, then compute.

    Parameters
    ----------
    model : torch.nn.Module
        From (N, channels, size, size) to logits (N, C); in evaluation mode.
    size : int
        Side of the model's input, pixels.
    span : int
        Largest distance of two frames, pixels: 8 for ImageNet, 4 for CIFAR-10. Pictures are resized to size + span,
        and the frames are windows of true pixels in them.
    frames : {"lines", "grid"}
        Frames on three lines through the middle (3 span + 1), or all (span + 1)² of them, which alone gives the
        adversary all positions of its square.
    half_pixel : sequence of float
        Shifts to the right at which the divergence is measured with half-pixel windows, multiples of 0.5, 0 to span.
    ten_crop : bool
        Measure ten-crop accuracy too: ten more passes.
    preprocess : callable, optional
        From R, G, B in [0, 1] to what the model takes; by default it takes that.
    batch_size : int, optional
        Pictures the model gets at a time. By default 8 on the CPU, where small batches stay in the cache, otherwise
        256.

    Attributes
    ----------
    memory_order : {"channels first", "channels last"}
        Of what the model is given; it changes the time that it takes, and answers by their rounding.

    Notes
    -----
    theory.md, section 6.3, and 7.1 for consistency, variation, accuracy by shift and adversary. Per picture the model
    runs 1 (one crop) + frames + half-pixel frames (with their own 0) + 10 (ten crops) times.
    """

    def __init__(
        self,
        model: nn.Module,
        size: int,
        span: int = 8,
        *,
        frames: str = "lines",
        half_pixel: Sequence[float] = (0.5,),
        ten_crop: bool = False,
        preprocess: Preprocess | None = None,
        batch_size: int | None = None,
    ) -> None:
        if any(module.training for module in model.modules()):
            raise ValueError(f"{type(model).__name__} is in training mode; call model.eval() first")
        if frames not in ("lines", "grid"):
            raise ValueError(f"unknown frames {frames!r}; known: 'lines', 'grid'")
        self.model = model
        self.size = integer("size", size, 1)
        self.span = integer("span", span, 2)
        self.shifts = lines(span) if frames == "lines" else grid(span)
        self.half_pixel = tuple(half_pixel)
        for shift in self.half_pixel:
            if not 0 < shift <= span:
                raise ValueError(f"half_pixel holds {shift}; expected shifts above 0, at most span = {span}")
        self.ten_crop = ten_crop
        self.preprocess = preprocess
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        self.batch_size = integer(
            "batch_size", (8 if self.device.type == "cpu" else 256) if batch_size is None else batch_size, 1
        )
        self.memory_order = "channels first"
        self.variation = Variation()
        self.metrics: dict[str, Streaming] = {
            "consistency": Consistency(),
            "mac": MeanAbsoluteChange(),
            **{f"flips {d}": FlipRate() for d in DIRECTIONS},
            **{f"divergence {d}": DivergenceByShift() for d in DIRECTIONS},
            "divergence half": DivergenceByShift(),
            **{f"{prefix}top{k}": TopK((k,)) for prefix in ("", "ten_") for k in (1, 5)},
            "by shift": AccuracyByShift(self.shifts),
            "variation": self.variation,
            "draws": Bootstrap(),
        }

    @property
    def passes(self) -> int:
        """How often the model sees each picture."""
        halves = len(self.half_pixel) + 1 if self.half_pixel else 0
        return 1 + len(self.shifts) + halves + 10 * self.ten_crop

    @torch.no_grad()
    def update(self, pictures: Tensor, labels: Tensor | None = None, bar: Any = None) -> None:
        """Measure a batch.

        Parameters
        ----------
        pictures : Tensor, shape (N, channels, H, W), floating in [0, 1] or uint8
            Of any size, not normalised; the shorter side is resized.
        labels : Tensor, shape (N,), integers, optional
            Without them there is no accuracy.
        bar : tqdm.tqdm, optional
            Progress bar, one step a pass.

        Raises
        ------
        TypeError, ValueError
            If pictures or labels are not as described, or the model returns NaN or no logits (N, C).
        """
        large = resized(pictures, self.size + self.span)
        crop = finite(self._run(resized(pictures, self.size), bar), "logits", 2, "(N, classes)")
        logits = torch.stack([self._run(window(large, self.size, shift), bar) for shift in self.shifts])
        at = {shift: i for i, shift in enumerate(self.shifts)}

        add = self.metrics
        add["consistency"].update(logits)
        flips = []
        for direction, step in DIRECTIONS.items():
            frames = logits[[at[shift] for shift in line(direction, self.span)]]
            add[f"flips {direction}"].update(frames)
            flips.append(flips_by_picture(frames))
            add[f"divergence {direction}"].update(frames)
            add["mac"].update(logits[at[0, 0]], logits[at[step]])
        rates = torch.stack(flips)  # (direction, distance, picture)
        of_each = {"flips": rates.sum(1).T, "flips_1px": rates[:, :1].mean(0).T}
        if self.half_pixel:
            pixels = large / 255 if large.dtype == torch.uint8 else large
            start = -(self.span // 2)
            halves = [half_pixel_window(pixels, self.size, (0, start + shift)) for shift in (0, *self.half_pixel)]
            add["divergence half"].update(torch.stack([self._run(half, bar) for half in halves]))
        if labels is not None:
            add["by shift"].update(logits, labels)
            add["variation"].update(logits, labels)
            self._count("", crop, labels)
            of_each["right"] = rank_of(crop, labels_of(labels, *crop.shape))[:, None] == 0
        if self.ten_crop:
            ten = ten_crops(resized(pictures, round(self.size * 256 / 224)), self.size)
            mean = torch.stack([self._run(part, bar).softmax(1) for part in ten]).mean(0)
            if labels is not None:
                self._count("ten_", mean, labels)
        add["draws"].update(pictures, **of_each)

    def merge(self, other: Stability) -> Stability:
        """Add what was measured of the same model on other pictures."""
        for name, metric in self.metrics.items():
            metric.merge(other.metrics[name])
        return self

    def compute(self) -> xr.Dataset:
        """The report.

        Returns
        -------
        Dataset
            In percent: ``top1``, ``top5`` (one crop), ``ten_top1``, ``ten_top5``, ``consistency`` (of two different
            frames), ``variation`` and ``mac`` (of a probability; mac between the middle frame and those a pixel
            further), ``flip_rate`` (direction, distance), ``accuracy`` (dy, dx), ``diagonal`` (step), ``adversary``
            (radius), with ``positions`` (radius), and ``variation_histogram`` (bin); ``top1_se`` and ``flips_1px_se``,
            standard errors over pictures of ``top1`` and of the flip rate at distance 1. In nats: ``divergence``
            (direction, t) and ``half_divergence`` (t_half). What was not measured is NaN; so is top5 of up to 5
            classes.
        """
        values: dict[str, Any] = {}
        for name, key in (("consistency", "consistency"), ("variation", "variation"), ("mac", "mac")):
            values[name] = 100 * _or_nan(self.metrics[key])
        for key in ("top1", "top5", "ten_top1", "ten_top5"):
            accuracy = _or_nan(self.metrics[key])
            values[key] = 100 * accuracy[int(key[-1])] if isinstance(accuracy, dict) else np.nan
        draws = self.metrics["draws"].compute()
        for name, key in (("top1", "right"), ("flips_1px", "flips_1px")):
            values[f"{name}_se"] = 100 * standard_error(draws[key][:, 0]) if key in draws else np.nan
        rates = [100 * self.metrics[f"flips {direction}"].compute() for direction in DIRECTIONS]
        divergence = [self.metrics[f"divergence {direction}"].compute() for direction in DIRECTIONS]
        values["flip_rate"] = (("direction", "distance"), rates)
        values["divergence"] = (("direction", "t"), divergence)
        if self.half_pixel:
            values["half_divergence"] = (("t_half",), self.metrics["divergence half"].compute()[1:])
        coordinates = {
            "direction": list(DIRECTIONS),
            "distance": np.arange(1, self.span + 1),
            "t": np.arange(self.span + 1),
            "t_half": list(self.half_pixel),
        }
        report = xr.Dataset(values, coordinates)
        if self.metrics["by shift"].sums:
            by_shift = self.metrics["by shift"].compute()
            for name in ("accuracy", "diagonal", "adversary"):
                by_shift[name] = 100 * by_shift[name]
            report = report.merge(by_shift)
            share, edges = self.variation.distribution()
            report["variation_histogram"] = (("bin",), 100 * share.numpy())
            report = report.assign_coords(bin=100 * ((edges[1:] + edges[:-1]) / 2).numpy())
        seen = self.metrics["consistency"].sums["pictures"]
        return report.assign_attrs(pictures=int(seen), size=self.size, span=self.span)

    def state_dict(self) -> dict[str, Any]:
        """What was measured so far, for ``torch.save``."""
        return {name: metric.state_dict() for name, metric in self.metrics.items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there."""
        for name, metric in self.metrics.items():
            metric.load_state_dict(state[name])

    def input(self, pictures: Tensor) -> Tensor:
        """What the model is given, from windows of pictures."""
        x = pictures.to(self.device)
        x = x / 255 if x.dtype == torch.uint8 else x
        x = x if self.preprocess is None else self.preprocess(x)
        return x.contiguous(memory_format=ORDERS[self.memory_order])

    def _count(self, prefix: str, scores: Tensor, labels: Tensor) -> None:
        for k in (1, 5):
            if k == 1 or scores.shape[1] > k:  # or the class could not be missed
                self.metrics[f"{prefix}top{k}"].update(scores, labels)

    def logits(self, pictures: Tensor) -> Tensor:
        """What the model answers to windows of pictures, shape (N, C); :class:`ModelError` if it fails."""
        try:
            answer = self.model(self.input(pictures))
        except Exception as error:  # whatever the model's own code raises
            told = " ".join(str(error).split())
            raise ModelError(
                f"the model fails on a batch of shape {tuple(pictures.shape)}: {type(error).__name__}: {told}"
            ) from error
        if not isinstance(answer, Tensor):
            raise ModelError(f"the model returns {type(answer).__name__}; expected a tensor of logits (N, classes)")
        if answer.ndim != 2 or len(answer) != len(pictures):
            raise ModelError(
                f"the model returns shape {tuple(answer.shape)}; expected logits (N, classes), N = {len(pictures)}"
            )
        return answer.detach()

    def _run(self, pictures: Tensor, bar: Any) -> Tensor:
        starts = range(0, len(pictures), self.batch_size)
        parts = [self.logits(pictures[i : i + self.batch_size]).cpu() for i in starts]
        if bar is not None:
            bar.update(len(pictures))
        return torch.cat(parts)


def stability(
    model: nn.Module, pictures: Batches, labels: Tensor | None = None, *, size: int, span: int = 8, **options: Any
) -> xr.Dataset:
    """Stability report of one model.

    Parameters
    ----------
    model, pictures, labels, size, span, **options
        As in :func:`compare_remedies`.

    Returns
    -------
    Dataset
        As of :meth:`Stability.compute`, with ``mfr`` (100: a model is its own reference), ``milliseconds`` and so on.
    """
    return compare_remedies({"model": model}, pictures, labels, size=size, span=span, **options).isel(
        remedy=0, drop=True
    )


def compare_remedies(
    models: Mapping[str, nn.Module],
    pictures: Batches,
    labels: Tensor | None = None,
    *,
    size: int,
    span: int = 8,
    progress: bool = True,
    count: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    rounds: int = 5,
    version: str = "",
    **options: Any,
) -> xr.Dataset:
    """Stability of several models on the same pictures, read once; each relative to the first.

    Parameters
    ----------
    models : mapping of str to torch.nn.Module
        By name; the first is the reference, "plain". All take the same input.
    pictures : Tensor, shape (N, channels, H, W), or iterable
        Floats in [0, 1] or uint8, R, G, B; or batches of such, or of pairs (pictures, labels).
    labels : Tensor, shape (N,), integers, optional
        To go with a tensor of pictures.
    size, span
        As in :class:`Stability`.
    progress : bool
        Show a progress bar.
    count : int, optional
        Number of pictures that an iterable will yield, for the progress bar.
    checkpoint : path, optional
        File to save the state to, model by model and batch by batch, and to resume from. It holds sums, no pictures.
    rounds : int
        Timings of each model in each order of maps in memory, taken in turns on one batch; the medians are compared,
        and a model goes on in the order that is the faster one for it. On the CPU they are processor time of all
        threads, which other programs on the machine disturb less than a clock.
    version : str
        What else the results depend on, such as a digest of the models' code; a checkpoint of another is refused. So is
        one whose models answered otherwise to the first picture.
    **options
        Further arguments of :class:`Stability`.

    Returns
    -------
    Dataset
        What :meth:`Stability.compute` returns along a new first axis ``remedy``, and relative to the first:
        ``accuracy_lost`` (percentage points of top1), ``mfr`` (%), ``flips_avoided`` = 100 - mfr (%), with
        ``accuracy_lost_se`` and ``flips_avoided_se``, their standard errors over pictures, each paired with the first
        model's answers to the same picture; ``milliseconds`` a picture and ``time_added`` (%), each model in its
        ``memory_order``, a name of :data:`ORDERS`. :func:`table` makes a table of it.

    Raises
    ------
    CheckpointError
        If the checkpoint is of other models, settings or pictures, or no checkpoint.
    ModelError
        If a model fails, or returns no logits (the message names it).
    TypeError, ValueError
        If there are no models or no pictures, or a model is in training mode or returns NaN (the message names it).
    """
    if not models:
        raise ValueError("models is empty; expected at least one, the first is the reference")
    measures = {name: Stability(model, size, span, **options) for name, model in models.items()}
    resume = _Checkpoint(checkpoint, measures, version)
    first = next(iter(measures.values()))
    count = len(pictures) if isinstance(pictures, Tensor) else count
    total = None if count is None else count * first.passes * len(models)
    seconds: dict[str, float] = {}
    seen = 0
    with tqdm(total=total, unit="pass") if progress else nullcontext() as bar:
        for number, (batch, truth) in enumerate(_batches(pictures, labels)):
            digest = resume.check(number, batch, truth)
            if not seconds:
                resume.probe(batch)
                seconds = _seconds(measures, batch, rounds)
            seen += len(batch)
            for name, measure in measures.items():
                if resume.has(name, number):
                    if bar is not None:
                        bar.update(len(batch) * measure.passes)
                    continue
                if bar is not None:
                    bar.set_description(name)
                with _named(name):
                    measure.update(batch, truth, bar)
                resume.save(name, number, digest)
    if not seen:
        raise ValueError("there are no pictures")
    resume.check_end(number + 1)
    return _relative(measures, seconds)


TABLE = (
    "top1",
    "top1_se",
    "top5",
    "ten_top1",
    "ten_top5",
    "accuracy_lost",
    "accuracy_lost_se",
    "mfr",
    "flips_avoided",
    "flips_avoided_se",
    "consistency",
    "variation",
    "mac",
    "milliseconds",
    "time_added",
)
"""Columns of :func:`table`, in this order, as far as they were measured."""


def table(comparison: xr.Dataset) -> pd.DataFrame:
    """One row a remedy of a comparison: accuracy lost, flips avoided, time added and what they are made of.

    Parameters
    ----------
    comparison : Dataset
        Of :func:`compare_remedies`.

    Returns
    -------
    DataFrame
        Percent, and milliseconds a picture. Added to the columns of :data:`TABLE` are ``flips_1px``, the flip rate
        between neighbouring frames, and ``worst``, the accuracy against the adversary of the largest radius.
        ``NAME_se`` is the standard error of NAME over pictures.
    """
    rows = pd.DataFrame(
        {name: comparison[name].values for name in TABLE if name in comparison}, comparison.indexes["remedy"]
    )
    place = rows.columns.get_loc("consistency")
    rows.insert(place, "flips_1px", comparison.flip_rate.sel(distance=1).mean("direction"))
    if "flips_1px_se" in comparison:
        rows.insert(place + 1, "flips_1px_se", comparison.flips_1px_se.values)
    if "adversary" in comparison:
        rows["worst"] = comparison.adversary.isel(radius=-1).values
    return rows.dropna(axis="columns", how="all")


def _relative(measures: Mapping[str, Stability], seconds: Mapping[str, float]) -> xr.Dataset:
    both = xr.concat(
        [m.compute() for m in measures.values()], pd.Index(measures, name="remedy"), combine_attrs="override"
    )
    rates = {name: {d: both.flip_rate.sel(remedy=name, direction=d).values for d in DIRECTIONS} for name in measures}
    reference, *_ = rates
    # A reference that never flips along a direction leaves nothing to divide by.
    known = all(rate.any() for rate in rates[reference].values())
    mfr = [mean_flip_rate(rate, rates[reference]) if known else np.nan for rate in rates.values()]
    plain, *_ = draws = [measure.metrics["draws"].compute() for measure in measures.values()]
    lost = [100 * standard_error((plain["right"] - d["right"])[:, 0]) if "right" in d else np.nan for d in draws]
    avoided = [100 * standard_error((d["flips"] / plain["flips"]).mean(1)) for d in draws]
    milliseconds = 1000 * np.array([seconds[name] for name in measures])
    return both.assign(
        accuracy_lost=both.top1.isel(remedy=0) - both.top1,
        accuracy_lost_se=("remedy", lost),
        mfr=("remedy", mfr),
        flips_avoided=("remedy", 100 - np.array(mfr)),
        flips_avoided_se=("remedy", avoided),
        milliseconds=("remedy", milliseconds),
        memory_order=("remedy", [measure.memory_order for measure in measures.values()]),
        time_added=("remedy", 100 * (milliseconds / milliseconds[0] - 1)),
    )


@torch.no_grad()
def _seconds(measures: Mapping[str, Stability], batch: Tensor, rounds: int) -> dict[str, float]:
    """Seconds a picture of each model in its faster order of memory, which it gets; medians of rounds in turns."""
    taken: dict[tuple[str, str], list[float]] = {(name, order): [] for name in measures for order in ORDERS}
    for turn in range(integer("rounds", rounds, 1) + 1):
        for (name, order), times in taken.items():
            measure = measures[name]
            measure.memory_order = order
            pictures = resized(batch[: measure.batch_size], measure.size)
            if not turn:  # warms up, and tells of a model that fails
                with _named(name):
                    measure.logits(pictures)
                continue
            x = measure.input(pictures)
            _wait(measure.device)
            clock = time.process_time if measure.device.type == "cpu" else time.perf_counter
            start = clock()
            measure.model(x)
            _wait(measure.device)
            times.append((clock() - start) / len(x))
    seconds = {}
    for name, measure in measures.items():
        medians = {order: float(np.median(taken[name, order])) for order in ORDERS}
        measure.memory_order = min(medians, key=medians.__getitem__)
        seconds[name] = medians[measure.memory_order]
    return seconds


@contextmanager
def _named(name: str) -> Iterator[None]:
    """Say which model an error is of."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _or_nan(metric: Streaming) -> Any:
    return metric.compute() if metric.sums else np.nan


def _batches(pictures: Batches, labels: Tensor | None) -> Iterator[tuple[Tensor, Tensor | None]]:
    if not isinstance(pictures, Tensor):
        if labels is not None:
            raise ValueError("labels go with a tensor of pictures; an iterable must yield pairs (pictures, labels)")
        for item in pictures:
            if isinstance(item, Tensor):
                yield item, None
            else:
                batch, truth = item
                yield batch, truth
        return
    if labels is not None and len(labels) != len(pictures):
        raise ValueError(f"there are {len(labels)} labels for {len(pictures)} pictures")
    for start in range(0, len(pictures), READ):
        part = slice(start, start + READ)
        yield pictures[part], None if labels is None else labels[part]


class ModelError(ValueError):
    """A model that fails, or returns no logits."""


class CheckpointError(ValueError):
    """A checkpoint that cannot be resumed from."""


class _Checkpoint:
    """What was measured, by model and batch, in a file that can be resumed from."""

    def __init__(self, path: str | os.PathLike[str] | None, measures: Mapping[str, Stability], version: str) -> None:
        self.path = None if path is None else Path(path)
        self.measures = measures
        self.batches: list[str] = []  # digest of each batch that some model has seen
        self.done = dict.fromkeys(measures, 0)
        self.probes: dict[str, Tensor] = {}  # logits of the first picture
        if self.path is None:
            return
        self.settings = {name: _fingerprint(measure, version) for name, measure in measures.items()}
        if not self.path.exists():
            return
        try:
            saved = torch.load(self.path, weights_only=True)
            settings, self.batches, self.done = saved["settings"], saved["batches"], saved["done"]
            self.probes, states = saved["probes"], saved["states"]
        except Exception as error:  # what a damaged file raises is not for us to know
            raise CheckpointError(f"cannot resume from {self.path}: {error}") from error
        if settings != self.settings:
            raise CheckpointError(self._of_others)
        for name, measure in measures.items():
            measure.load_state_dict(states[name])

    @property
    def _of_others(self) -> str:
        return f"{self.path} is of other models, weights or settings; remove it or name another file"

    def has(self, name: str, number: int) -> bool:
        return number < self.done[name]

    def check(self, number: int, batch: Tensor, labels: Tensor | None) -> str:
        """Digest of a batch, which must be the one of last time."""
        if self.path is None:
            return ""
        digest = hashlib.sha256(batch.contiguous().numpy().tobytes())
        digest.update(b"" if labels is None else labels.contiguous().numpy().tobytes())
        if number < len(self.batches) and self.batches[number] != digest.hexdigest():
            raise CheckpointError(f"batch {number} is not the one that {self.path} has seen; the pictures have changed")
        return digest.hexdigest()

    def probe(self, batch: Tensor) -> None:
        """Compare the answers to the first picture with those of last time: weights do not tell of code."""
        if self.path is None:
            return
        for name, measure in self.measures.items():
            with _named(name), torch.no_grad():
                logits = measure.logits(resized(batch[:1], measure.size))
            before = self.probes.setdefault(name, logits)
            # Threads and devices round differently.
            if before.shape != logits.shape or (before - logits).abs().max() > 1e-3 * before.abs().max():
                raise CheckpointError(self._of_others)

    def check_end(self, batches: int) -> None:
        """Refuse to report pictures that were not given this time."""
        if len(self.batches) > batches:
            raise CheckpointError(
                f"{self.path} is of more pictures: of {len(self.batches)} batches, but there are {batches} now; remove "
                "it or name another file"
            )

    def save(self, name: str, number: int, digest: str) -> None:
        if self.path is None:
            return
        self.done[name] = number + 1
        if number == len(self.batches):
            self.batches.append(digest)
        states = {key: measure.state_dict() for key, measure in self.measures.items()}
        part = self.path.with_name(self.path.name + ".part")
        saved = {"settings": self.settings, "probes": self.probes, "batches": self.batches, "done": self.done}
        torch.save(saved | {"states": states}, part)
        os.replace(part, self.path)  # the file is whole at any time


def _fingerprint(measure: Stability, version: str) -> str:
    """Digest of a model, its weights and the settings."""
    settings = (version, measure.size, measure.shifts, measure.half_pixel, measure.ten_crop, str(measure.model))
    digest = hashlib.sha256(repr(settings).encode())
    for name, value in measure.model.state_dict().items():
        if isinstance(value, Tensor):
            values = value.detach().cpu().contiguous().reshape(-1)  # a counter has no axis to view as bytes
            digest.update(name.encode() + values.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
