"""The standard set of stability metrics of a network and its remedies, in one pass over pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor, nn

from analysis.files.messages import unknown
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
    resized,
    standard_error,
    ten_crops,
    window,
)
from analysis.networks.metrics.accuracy import rank_of
from analysis.networks.metrics.checks import finite, labels_of
from analysis.networks.metrics.flips import flips_by_picture
from analysis.networks.metrics.shifts import DIRECTIONS, WINDOWS, larger
from analysis.runs.feed import Images, run
from analysis.runs.journal import Journal
from analysis.stability.extras import Extra
from analysis.stability.labels import Labels
from analysis.stability.relative import relative_to_first
from analysis.stability.timing import MeasuredNetwork, Preprocess, choose_orders, named
from wavelets.checks import integer

BLOCK = 16
"""Pictures between two entries of the journal: a block of theirs takes many passes of every network."""

Metrics = dict[str, Streaming]


class NetworkStability:
    """Experiment: stability of several networks on the same pictures, each relative to the first.

    Parameters
    ----------
    models : mapping of str to torch.nn.Module
        By name; the first is the reference, "plain". From (N, 3, size, size) to logits (N, C); in evaluation mode.
    size : int
        Side of the models' input, pixels.
    span : int
        Largest distance of two frames, pixels: 8 for ImageNet, 4 for CIFAR-10. Frames are windows of pictures of
        size + span.
    windows : {"true", "reflect", "circular"}
        Pictures are resized to size + span; or to size, as the network was made for, and go on mirrored, or as their
        own period.
    side : int, optional
        Side to which pictures are brought first, pixels; by default that of these.
    frames : {"lines", "grid"}
        Frames on three lines through the middle (3 span + 1), or all (span + 1)² of them, which alone gives the
        adversary all positions of its square.
    half_pixel : sequence of float
        Shifts to the right at which the divergence is measured with half-pixel windows, multiples of 0.5, 0 to span.
    ten_crop : bool
        Measure ten-crop accuracy too: ten more passes.
    labels : Labels, optional
        Classes of the pictures; without them there is no accuracy.
    bytes_first : bool
        Round pictures to bytes, as networks are given those of files.
    extras : sequence of Extra
        What is measured beside the standard set, see :mod:`analysis.stability.extras`.
    changes : mapping of str to sequence of str
        Lines that say which layers each model had changed, kept with the results.
    preprocess, batch_size
        As in :class:`analysis.stability.timing.MeasuredNetwork`.

    Attributes
    ----------
    size, colour, length
        As in :class:`analysis.runs.feed.Experiment`; `size` is `side`.

    Notes
    -----
    theory.md, section 6.3, and 7.1 for consistency, variation, accuracy by shift and adversary. Per picture each model
    runs 1 (one crop; it is a frame where windows are not of true pixels) + frames + half-pixel frames (with their own
    0) + 10 (ten crops) times.
    """

    colour = True

    def __init__(
        self,
        models: Mapping[str, nn.Module],
        size: int,
        span: int = 8,
        *,
        windows: str = "true",
        side: int | None = None,
        frames: str = "lines",
        half_pixel: Sequence[float] = (0.5,),
        ten_crop: bool = False,
        labels: Labels | None = None,
        bytes_first: bool = True,
        extras: Sequence[Extra] = (),
        changes: Mapping[str, Sequence[str]] | None = None,
        preprocess: Preprocess | None = None,
        batch_size: int | None = None,
    ) -> None:
        if not models:
            raise ValueError("models is empty; expected at least one, the first is the reference")
        if frames not in ("lines", "grid"):
            raise ValueError(f"unknown frames {frames!r}; known: 'lines', 'grid'")
        self.input_size, self.span = integer("size", size, 1), integer("span", span, 2)
        if windows not in WINDOWS:
            raise ValueError(unknown("windows", windows, WINDOWS))
        self.windows = windows
        self.size = size + span * (windows == "true") if side is None else integer("side", side, 1)
        self.frames, self.shifts = frames, lines(span) if frames == "lines" else grid(span)
        self.half_pixel = tuple(half_pixel)
        for shift in self.half_pixel:
            if not 0 < shift <= span:
                raise ValueError(f"half_pixel holds {shift}; expected shifts above 0, at most span = {span}")
        self.ten_crop, self.labels, self.bytes_first, self.changes = ten_crop, labels, bytes_first, changes or {}
        self.extras = tuple(extras)
        self.networks: dict[str, MeasuredNetwork] = {}
        self._empty: dict[str, Metrics] = {}  # sums of a black picture, whose names and shapes are those of all
        for name, model in models.items():
            with named(name):
                network = self.networks[name] = MeasuredNetwork(model, size, preprocess, batch_size)
                classes = network.logits(torch.zeros(1, 3, size, size)).shape[1]
            self._empty[name] = self._sums_of_zeros(classes)

    @property
    def length(self) -> int:
        """Entries of the vector of sums."""
        return sum(value.numel() for metrics in self._empty.values() for _, _, value in _entries(metrics))

    def settings(self) -> dict[str, Any]:
        """Everything that the sums depend on beside the pictures, as JSON can hold it."""
        networks = {
            f"{name}: {key}": value
            for name, network in self.networks.items()
            for key, value in network.settings().items()
        }
        added = {name: value for extra in self.extras for name, value in extra.settings().items()}
        return (
            added
            | ({} if self.windows == "true" else {"windows": self.windows})
            | {
                "remedies": list(self.networks),
                "size": self.input_size,
                "side": self.size,
                "span": self.span,
                "frames": self.frames,
                "half_pixel": self.half_pixel,
                "ten_crop": self.ten_crop,
                "bytes_first": self.bytes_first,
                "labels_sha256": "none" if self.labels is None else self.labels.sha256,
            }
            | networks
        )

    @torch.no_grad()
    def measure(self, pictures: NDArray[np.float32], names: Sequence[str]) -> tuple[NDArray[np.float64], None]:
        """Measure pictures with all models.

        Parameters
        ----------
        pictures : ndarray, shape (n, 3, side, side), float32
            R, G and B in [0, 1].
        names : sequence of n str
            Names of the pictures, by which their classes are looked up.

        Returns
        -------
        sums : ndarray, shape (length,), float64
        used : None

        Raises
        ------
        TypeError, ValueError
            If a picture has no class, or a model fails or returns NaN or no logits (N, C); the message names it.
        """
        x = torch.from_numpy(np.ascontiguousarray(pictures))
        if self.bytes_first:
            x = (255 * x.clip(0, 1)).round().to(torch.uint8)
        truth = None if self.labels is None else torch.tensor([self.labels.of(name) for name in names])
        large = larger(x, self.input_size, self.span, self.windows)
        frames = [window(large, self.input_size, shift) for shift in self.shifts]
        if self.windows == "true":  # elsewhere the window in the middle is the picture
            frames = [*frames, resized(x, self.input_size)]
        place = -1 if self.windows == "true" else self.shifts.index((0, 0))
        halves, ten = self._half_frames(large), []
        if self.ten_crop:
            ten = list(ten_crops(resized(x, round(self.input_size * 256 / 224)), self.input_size))
        more = [extra.frames(x, names) for extra in self.extras]
        vector = []
        for name, network in self.networks.items():
            with named(name):
                answers = network.answers(frames)
                crop = answers[place]
                if truth is not None and not 0 <= truth.min() <= truth.max() < crop.shape[1]:
                    odd = int(((truth < 0) | (truth >= crop.shape[1])).nonzero()[0])
                    raise ValueError(
                        f"label {truth[odd]} of {names[odd]} is out of range; expected 0 to {crop.shape[1] - 1}"
                    )
                logits = {"crop": crop, "windows": answers[: len(self.shifts)]}
                if halves:
                    logits["halves"] = network.answers(halves)
                if ten:
                    logits["ten"] = network.answers(ten).softmax(2).mean(0)
                for extra, own in zip(self.extras, more, strict=True):
                    logits[extra.key] = network.answers(own, extra.raw)
                metrics = self._update(x, truth, logits)
            vector += [value.reshape(-1) for _, _, value in _entries(metrics)]
        return torch.cat(vector).numpy(), None

    def dataset(self, sums: NDArray[np.float64]) -> xr.Dataset:
        """Return the report that the sums of all pictures make.

        Parameters
        ----------
        sums : ndarray, shape (length,), float64

        Returns
        -------
        Dataset
            Along a first axis ``remedy``, in percent: ``top1``, ``top5`` (one crop), ``ten_top1``, ``ten_top5``,
            ``consistency`` (of two different frames), ``variation`` and ``mac`` (of a probability; mac between the
            middle frame and those a pixel further), ``flip_rate`` (direction, distance), ``accuracy`` (dy, dx),
            ``diagonal`` (step), ``adversary`` (radius), with ``positions`` (radius), and ``variation_histogram`` (bin);
            ``top1_se`` and ``flips_1px_se``, standard errors over pictures of ``top1`` and of the flip rate at
            distance 1. In nats: ``divergence`` (direction, t) and ``half_divergence`` (t_half). Relative to the first
            model: ``accuracy_lost`` (percentage points of top1), ``mfr`` (%), ``flips_avoided`` = 100 - mfr (%),
            ``flips_1px_fewer`` (points of the flip rate at distance 1), with ``accuracy_lost_se``,
            ``flips_avoided_se`` and ``flips_1px_fewer_se``, each paired with the first model's answers to the same
            picture; ``milliseconds`` a picture and ``time_added`` (%), each model in its ``memory_order``.
            ``weights_sha256`` and ``changes``, a line for each layer that the remedy changed. NaN stands for all that
            was not measured; so it does for top5 of up to 5 classes. :func:`table` makes a table of it.
        """
        rest, found = torch.from_numpy(sums), {}
        for name, empty in self._empty.items():
            found[name] = self._metrics()
            for metric, key, value in _entries(empty):
                part, rest = rest[: value.numel()], rest[value.numel() :]
                found[name][metric].sums[key] = part.reshape(value.shape)
        parts = [self._of_one(metrics) for metrics in found.values()]
        both = xr.concat(parts, "remedy", data_vars="all", coords="minimal", compat="override", join="override")
        seconds = np.array([network.seconds for network in self.networks.values()])
        digests = [network.settings()["weights_sha256"] for network in self.networks.values()]
        for name, meaning in (
            ("consistency", "same answer in two different frames"),
            ("variation", "of a probability"),
        ):
            both[name].attrs = {"long_name": f"{name}: {meaning}, of the {self.frames} of shifts", "units": "%"}
        relative = relative_to_first(both, [metrics["draws"].compute() for metrics in found.values()])
        for extra in self.extras:
            relative |= extra.relative(both)
        return both.assign_coords(remedy=list(found)).assign(
            **relative,
            milliseconds=("remedy", 1000 * seconds),
            time_added=("remedy", 100 * (seconds / seconds[0] - 1)),
            memory_order=("remedy", [network.memory_order for network in self.networks.values()]),
            weights_sha256=("remedy", digests),
            changes=("remedy", ["\n".join(self.changes.get(name, ())) for name in found]),
        )

    def _metrics(self) -> Metrics:
        return {
            "consistency": Consistency(),
            "mac": MeanAbsoluteChange(),
            **{f"flips {d}": FlipRate() for d in DIRECTIONS},
            **{f"divergence {d}": DivergenceByShift() for d in DIRECTIONS},
            "divergence half": DivergenceByShift(),
            **{f"{prefix}top{k}": TopK((k,)) for prefix in ("", "ten_") for k in (1, 5)},
            "by shift": AccuracyByShift(self.shifts),
            "variation": Variation(),
            "draws": Bootstrap(),
            **{key: metric for extra in self.extras for key, metric in extra.metrics().items()},
        }

    def _half_frames(self, large: Tensor) -> list[Tensor]:
        """Windows at the half-pixel shifts, the first one unshifted."""
        if not self.half_pixel:
            return []
        pixels = large / 255 if large.dtype == torch.uint8 else large
        start = -(self.span // 2)
        return [half_pixel_window(pixels, self.input_size, (0, start + shift)) for shift in (0, *self.half_pixel)]

    def _sums_of_zeros(self, classes: int) -> Metrics:
        """Sums of one picture to which a model answers nothing."""
        logits = {"crop": torch.zeros(1, classes), "windows": torch.zeros(len(self.shifts), 1, classes)}
        if self.half_pixel:
            logits["halves"] = torch.zeros(len(self.half_pixel) + 1, 1, classes)
        if self.ten_crop:
            logits["ten"] = torch.zeros(1, classes)
        logits |= {extra.key: torch.zeros(extra.count, 1, classes) for extra in self.extras}
        truth = None if self.labels is None else torch.zeros(1, dtype=torch.int64)
        return self._update(torch.zeros(1, 3, 1, 1), truth, logits)

    def _update(self, pictures: Tensor, truth: Tensor | None, logits: Mapping[str, Tensor]) -> Metrics:
        """Sums of pictures from the answers to them."""
        add = self._metrics()
        crop = finite(logits["crop"], "logits", 2, "(N, classes)")
        windows = logits["windows"]
        at = {shift: i for i, shift in enumerate(self.shifts)}
        add["consistency"].update(windows)
        flips = []
        for direction, step in DIRECTIONS.items():
            frames = windows[[at[shift] for shift in line(direction, self.span)]]
            add[f"flips {direction}"].update(frames)
            flips.append(flips_by_picture(frames))
            add[f"divergence {direction}"].update(frames)
            add["mac"].update(windows[at[0, 0]], windows[at[step]])
        rates = torch.stack(flips)  # (direction, distance, picture)
        of_each = {"flips": rates.sum(1).T, "flips_1px": rates[:, :1].mean(0).T}
        if "halves" in logits:
            add["divergence half"].update(logits["halves"])
        if truth is not None:
            add["by shift"].update(windows, truth)
            add["variation"].update(windows, truth)
            for prefix, scores in (("", crop), ("ten_", logits.get("ten"))):
                for k in (1, 5):
                    if scores is not None and (k == 1 or scores.shape[1] > k):  # or the class could not be missed
                        add[f"{prefix}top{k}"].update(scores, truth)
            of_each["right"] = rank_of(crop, labels_of(truth, *crop.shape))[:, None] == 0
        add["draws"].update(pictures, **of_each)
        for extra in self.extras:
            extra.update(add, logits[extra.key], truth)
        return add

    def _of_one(self, metrics: Metrics) -> xr.Dataset:
        """Report of one model alone."""
        values: dict[str, Any] = {}
        for name in ("consistency", "variation", "mac"):
            values[name] = 100 * _or_nan(metrics[name])
        for key in ("top1", "top5", "ten_top1", "ten_top5"):
            accuracy = _or_nan(metrics[key])
            values[key] = 100 * accuracy[int(key[-1])] if isinstance(accuracy, dict) else np.nan
        draws = metrics["draws"].compute()
        for name, key in (("top1", "right"), ("flips_1px", "flips_1px")):
            values[f"{name}_se"] = 100 * standard_error(draws[key][:, 0]) if key in draws else np.nan
        rates = [100 * metrics[f"flips {direction}"].compute() for direction in DIRECTIONS]
        divergence = [metrics[f"divergence {direction}"].compute() for direction in DIRECTIONS]
        values["flip_rate"] = (("direction", "distance"), rates)
        values["divergence"] = (("direction", "t"), divergence)
        if self.half_pixel:
            values["half_divergence"] = (("t_half",), metrics["divergence half"].compute()[1:])
        coordinates: dict[str, Any] = {
            "direction": list(DIRECTIONS),
            "distance": np.arange(1, self.span + 1),
            "t": np.arange(self.span + 1),
            "t_half": list(self.half_pixel),
        }
        for extra in self.extras:
            for found, more in zip((values, coordinates), extra.values(metrics), strict=True):
                found |= more
        report = xr.Dataset(values, coordinates)
        variation = metrics["variation"]
        if isinstance(variation, Variation) and variation.sums:
            by_shift = metrics["by shift"].compute()
            for name in ("accuracy", "diagonal", "adversary"):
                by_shift[name] = 100 * by_shift[name]
            report = report.merge(by_shift)
            share, edges = variation.distribution()
            report["variation_histogram"] = (("bin",), 100 * share.numpy())
            report = report.assign_coords(bin=100 * ((edges[1:] + edges[:-1]) / 2).numpy())
        return report.assign_attrs(
            pictures=int(metrics["consistency"].sums["pictures"]),
            size=self.input_size,
            side=self.size,
            span=self.span,
            frames=self.frames,
            windows=self.windows,
            ten_crop=int(self.ten_crop),
            labels_sha256="none" if self.labels is None else self.labels.sha256,
        )


def compare_remedies(
    models: Mapping[str, nn.Module],
    pictures: Images | Tensor,
    labels: Labels | Tensor | None = None,
    *,
    size: int,
    span: int = 8,
    progress: bool = True,
    rounds: int = 5,
    feeding: Mapping[str, Any] | None = None,
    **options: Any,
) -> xr.Dataset:
    """Stability of several models on the same pictures, each read once; each relative to the first.

    Parameters
    ----------
    models : mapping of str to torch.nn.Module
        By name; the first is the reference, "plain". All take the same input.
    pictures : Tensor, shape (N, 3, H, W), or as for :func:`analysis.runs.feed.feed`
        Floats in [0, 1] or uint8, R, G, B; or a folder, or paths, arrays (H, W, 3) and Pictures. The square in the
        middle is used.
    labels : Labels, or Tensor of integers, shape (N,), optional
        Classes, a tensor of them in the order of the pictures.
    size, span, **options
        As in :class:`NetworkStability`.
    progress : bool
        Show a progress bar.
    rounds : int
        Timings of each model, as in :func:`analysis.stability.timing.choose_orders`.
    feeding : mapping, optional
        Further arguments of :func:`analysis.runs.feed.feed`: root, block, journal, on_skip.

    Returns
    -------
    Dataset
        As of :meth:`NetworkStability.dataset`, with the provenance among its attributes.

    Raises
    ------
    ModelError
        If a model fails, or returns no logits (the message names it).
    TypeError, ValueError
        If there are no models or no pictures, or a model is in training mode or returns NaN (the message names it).
    """
    if isinstance(pictures, Tensor):
        if pictures.ndim != 4 or pictures.shape[1] != 3:
            raise ValueError(f"pictures have shape {tuple(pictures.shape)}; expected (N, 3, H, W)")
        if not len(pictures):
            raise ValueError("there are no pictures")
        options = {"side": min(pictures.shape[2:]), "bytes_first": pictures.dtype == torch.uint8} | options
        if isinstance(labels, Tensor) and len(labels) != len(pictures):
            raise ValueError(f"there are {len(labels)} labels for {len(pictures)} pictures")
        pictures = list(pictures.detach().cpu().permute(0, 2, 3, 1).contiguous().numpy())
    if isinstance(labels, Tensor):
        labels = Labels({f"array {i}": int(label) for i, label in enumerate(labels)})
    experiment = NetworkStability(models, size, span, labels=labels, **options)
    return measure_stability(pictures, experiment, rounds, progress=progress, **(feeding or {}))


def measure_stability(
    images: Images,
    experiment: NetworkStability,
    rounds: int = 5,
    *,
    journal: Journal | None = None,
    block: int = BLOCK,
    progress: bool = True,
    **feeding: Any,
) -> xr.Dataset:
    """Time the models of an experiment, then measure them on images.

    Parameters
    ----------
    images
        As for :func:`analysis.runs.feed.feed`.
    experiment : NetworkStability
    rounds : int
        As in :func:`analysis.stability.timing.choose_orders`.
    journal, block, progress, **feeding
        Arguments of :func:`analysis.runs.feed.feed`. A run that goes on has the same result to the last bit, if the
        number of threads is the same.

    Returns
    -------
    Dataset
        As of :meth:`NetworkStability.dataset`, with the provenance among its attributes.
    """
    choose_orders(experiment.networks, rounds, journal, progress)
    how = {"journal": journal, "block": block, "progress": progress, **feeding}
    (dataset,) = run(images, [experiment], desc="stability", **how)
    return dataset.assign_attrs(threads=torch.get_num_threads(), rounds=rounds)


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
    "flips_1px_fewer",
    "flips_1px_fewer_se",
    "consistency",
    "consistency_offsets",
    "variation",
    "mac",
    "mfr_published",
    "mce",
    "milliseconds",
    "time_added",
)
"""Columns of :func:`table`, in this order, as far as they were measured."""


def table(comparison: xr.Dataset) -> pd.DataFrame:
    """One row a remedy of a comparison: accuracy lost, flips avoided, time added and what they are made of.

    Parameters
    ----------
    comparison : Dataset
        Result of :func:`compare_remedies`.

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
    place = list(rows.columns).index("consistency")
    rows.insert(place, "flips_1px", comparison.flip_rate.sel(distance=1).mean("direction"))
    if "flips_1px_se" in comparison:
        rows.insert(place + 1, "flips_1px_se", comparison.flips_1px_se.values)
    if "adversary" in comparison:
        rows["worst"] = comparison.adversary.isel(radius=-1).values
    return rows.dropna(axis="columns", how="all")


def _entries(metrics: Metrics) -> list[tuple[str, str, Tensor]]:
    """Name of the metric, name of the sum, and value of every sum, in one order."""
    return [(name, key, value) for name, metric in metrics.items() for key, value in metric.sums.items()]


def _or_nan(metric: Streaming) -> Any:
    return metric.compute() if metric.sums else np.nan
