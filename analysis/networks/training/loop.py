"""The training loop: one for all recipes."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot
from torch.optim.lr_scheduler import ReduceLROnPlateau

from analysis.files.messages import printable
from analysis.networks.audio import clip_scores, mixup
from analysis.networks.metrics import MultilabelScores, TopK
from analysis.networks.training.checkpoint import LAST, Row, TrainingRun
from analysis.networks.training.data import (
    Batch,
    Data,
    Examples,
    batch_slices,
    epoch_examples,
    evaluation_batches,
    training_batches,
)
from analysis.networks.training.recipe import Recipe, Schedule
from analysis.runs.progress import Bar

PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

CHECK = 20
"""Steps between two looks at the loss, which make a GPU wait."""

OnSkip = Callable[[str, str], object]


class Diverged(ValueError):
    """Error of a training whose loss is no longer a number."""


class Task(Protocol):
    """Aim of a training and the measure of its success: by default to tell classes apart, see :class:`Supervised`."""

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, place: tuple[int, int, int]) -> Tensor:
        """Loss of a batch that :meth:`analysis.networks.training.data.Data.prepared` made, and its targets.

        `place` is seed, epoch and step, on which alone whatever is drawn depends.
        """

    def score(self, model: nn.Module) -> dict[str, float]:
        """Return what the log has of an epoch, the recipe's metric among it."""


def train_epochs(
    run: TrainingRun,
    recipe: Recipe,
    data: Data,
    task: Task | None = None,
    *,
    seed: int = 0,
    precision: str = "float32",
    workers: int = 0,
    save_every: int | None = None,
    progress: bool = True,
    on_skip: OnSkip | None = None,
) -> None:
    """Train a network for the epochs that a recipe has and that the run has not done yet.

    Parameters
    ----------
    run : TrainingRun
        In a folder that is locked. It is resumed, and its model left in evaluation mode.
    recipe, data
    task : Task, optional
        By default to tell the classes of the data apart.
    seed, precision, workers, save_every, progress, on_skip
        As in :func:`analysis.networks.training.orchestration.train_network`.

    Raises
    ------
    Diverged
        If the loss becomes NaN or infinite; the files are those of before.
    ValueError
        If the run cannot be resumed, or no picture can be read.
    """
    device, skip = run.device, _once(on_skip, run.skipped)
    steps = recipe.steps or len(batch_slices(epoch_examples(data.train, recipe, seed, 0), recipe.batch))
    task = task or Supervised(recipe, data, precision, workers, skip)
    with (
        torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"),
        Bar("training", steps * recipe.epochs, "batches", progress, resumes=(run.folder.folder / LAST).exists()) as bar,
    ):
        torch.manual_seed(seed)
        run.resume()
        for name, reason in run.skipped.items():
            _told(on_skip)(name, reason)
        bar.update(run.epoch * steps + run.step, before=True)
        while run.epoch < recipe.epochs and not _exhausted(run.rows, recipe):
            bar.added = _described(run, recipe)
            batches = training_batches(
                data.train, recipe, seed, run.epoch, run.step, workers, pin=device.type == "cuda"
            )
            _train_epoch(run, batches, task, data, seed, precision, save_every, bar, skip)
            begin = perf_counter()
            scores = task.score(run.model)
            losses = torch.stack(run.losses).double().cpu()
            run.rows.append(
                {
                    "epoch": run.epoch + 1,
                    "step": (run.epoch + 1) * steps,
                    "learning_rate": run.optimiser.param_groups[0]["lr"],
                    "training_loss": float(losses @ torch.tensor(run.sizes).double()) / sum(run.sizes),
                    **scores,
                    "seconds": round(run.seconds + perf_counter() - begin, 3),
                }
            )
            _step_schedule(run.schedule, scores[recipe.metric])
            run.epoch, run.step, run.seconds, run.losses, run.sizes = run.epoch + 1, 0, 0.0, [], []
            if best_epoch(run.rows, recipe) == run.epoch:
                run.save_best(mean=data.mean, std=data.std, **{recipe.metric: scores[recipe.metric]})
            run.save()
    run.model.eval()


def _described(run: TrainingRun, recipe: Recipe) -> str:
    """Number of the epoch, and what the one before was worth."""
    before = run.rows[-1] if run.rows else {}
    known = ("epoch", "step", "learning_rate", "training_loss", "seconds")
    scores = (f"{name} {value:.4g}" for name, value in before.items() if name not in known)
    return ", ".join([f"epoch {run.epoch + 1}/{recipe.epochs}", *scores])


def _train_epoch(
    run: TrainingRun,
    batches: Iterable[Batch],
    task: Task,
    data: Data,
    seed: int,
    precision: str,
    save_every: int | None,
    bar: Bar,
    on_skip: OnSkip,
) -> None:
    """Train for the rest of an epoch."""
    regularisation: Callable[[], Tensor] | None = getattr(run.model, "regularisation", None)
    run.model.train()
    begin = perf_counter() - run.seconds
    for inputs, targets, skipped in batches:
        for name, reason in skipped:
            on_skip(name, reason)
        if len(inputs) > 1 or not skipped:  # batch normalisation needs two examples
            x = data.prepared(inputs.to(run.device, non_blocking=True))
            y = targets.to(run.device, non_blocking=True)
            with torch.autocast(run.device.type, PRECISIONS[precision], enabled=precision != "float32"):
                loss = task.loss(run.model, x, y, (seed, run.epoch, run.step))
            if regularisation is not None:
                loss = loss + regularisation()
            run.optimiser.zero_grad()
            run.scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            run.scaler.step(run.optimiser)
            run.scaler.update()
            run.losses.append(loss.detach())
            run.sizes.append(len(x))
        run.step += 1
        run.seconds = perf_counter() - begin
        saves = save_every is not None and run.step % save_every == 0
        if saves or run.step % CHECK == 0:
            _check_losses(run, bar)
        if saves:
            run.save()
        bar.update()
    if not run.losses:
        raise _unreadable("train on", run.skipped)
    _check_losses(run, bar)


def _check_losses(run: TrainingRun, bar: Bar) -> None:
    if not run.losses:
        return
    recent = torch.stack(run.losses[-CHECK:]).double().cpu()
    if not bool(recent.isfinite().all()):
        raise Diverged(
            f"training diverged: the loss is {recent[-1]:g} in epoch {run.epoch + 1}, step {run.step}; a lower "
            f"learning rate may help. Files that were saved before are kept in {printable(run.folder.folder)}"
        )
    bar.added = f"epoch {run.epoch + 1}, loss {recent.mean():.3f}"


def _unreadable(purpose: str, skipped: Mapping[str, str]) -> ValueError:
    name, reason = next(iter(skipped.items()))
    return ValueError(f"none of the pictures to {purpose} can be read; for example {name}: {reason}")


def _step_schedule(schedule: Schedule, metric: float) -> None:
    with warnings.catch_warnings():
        # torch takes it for a mistake if no step came before: of a run that is resumed behind the last one of an epoch
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step", UserWarning)
        if isinstance(schedule, ReduceLROnPlateau):
            schedule.step(metric)
        else:
            schedule.step()


@dataclass(frozen=True)
class Supervised:
    """Task of telling the classes of a data set apart.

    Attributes
    ----------
    recipe : Recipe
    data : Data
    precision, workers, on_skip
        As for :func:`evaluate`.
    """

    recipe: Recipe
    data: Data
    precision: str
    workers: int
    on_skip: OnSkip

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, place: tuple[int, int, int]) -> Tensor:
        """Cross-entropy of a batch, of mixtures if the recipe mixes."""
        if self.recipe.mixup is not None:
            x, y = _mixed(x, y, self.recipe, self.recipe.mixup, place)
        logits = model(x).float()
        with torch.autocast(x.device.type, enabled=False):
            return objective(logits, y, self.recipe)

    def score(self, model: nn.Module) -> dict[str, float]:
        """Loss and metric on the validation set."""
        loss, metric = evaluate(
            model,
            self.data.validation,
            self.data,
            self.recipe,
            precision=self.precision,
            workers=self.workers,
            on_skip=self.on_skip,
        )
        return {"validation_loss": loss, self.recipe.metric: metric}


def objective(logits: Tensor, targets: Tensor, recipe: Recipe) -> Tensor:
    """Loss of a batch, a mean over examples, and over classes if they do not exclude each other.

    Parameters
    ----------
    logits : Tensor, shape (B, C)
    targets : Tensor, shape (B,), int64, or (B, C)
        Classes, or membership of each class from 0 to 1.
    recipe : Recipe

    Returns
    -------
    Tensor, shape ()
    """
    if recipe.multilabel:
        return binary_cross_entropy_with_logits(logits, targets.to(logits.dtype))
    return cross_entropy(logits, targets)


@torch.no_grad()
def evaluate(
    model: nn.Module,
    examples: Examples,
    data: Data,
    recipe: Recipe,
    *,
    precision: str = "float32",
    workers: int = 0,
    on_skip: OnSkip | None = None,
) -> tuple[float, float]:
    """Loss and metric of a model on examples; the model is put into evaluation mode.

    Parameters
    ----------
    model : torch.nn.Module
    examples : Examples
        If they are patches of recordings, the metric is that of recordings: the mean of the softmax or sigmoid vectors
        of their patches. The loss is always that of single examples.
    data : Data
        Whose normalisation is applied.
    recipe : Recipe
    precision, workers, on_skip
        As for `train_epochs`.

    Returns
    -------
    loss : float
    metric : float
        Top-1 error in percent, or mean average precision.

    Raises
    ------
    Diverged
        If the model answers NaN or infinity.
    """
    model.eval()
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    seen: dict[str, str] = {}
    skip, clips = _once(on_skip, seen), examples.clips
    score = TopK((1,)) if recipe.metric == "top1_error" else MultilabelScores(logits=clips is None)
    total, count = 0.0, 0
    kept: list[Tensor] = []
    for inputs, targets, skipped in evaluation_batches(examples, recipe, workers, device.type == "cuda"):
        for name, reason in skipped:
            skip(name, reason)
        if not len(inputs):
            continue
        with torch.autocast(device.type, PRECISIONS[precision], enabled=precision != "float32"):
            logits = model(data.prepared(inputs.to(device, non_blocking=True)))
        logits = logits.float().cpu()
        if not bool(logits.isfinite().all()):
            raise Diverged("training diverged: the network answers NaN or infinity; a lower learning rate may help")
        total += float(objective(logits, targets, recipe)) * len(logits)
        count += len(logits)
        if clips is None:
            score.update(logits, _as_scored(targets, recipe))
        else:
            kept.append(logits.double().sigmoid() if recipe.multilabel else logits.double().softmax(1))
    if not count:
        raise _unreadable("evaluate", seen)
    if clips is not None:
        first = np.unique(clips, return_index=True)[1]
        of_clips = torch.from_numpy(examples.targets[first])
        score.update(clip_scores(torch.cat(kept), torch.from_numpy(clips)), _as_scored(of_clips, recipe))
    found: Any = score.compute()
    return total / count, found["mAP"] if recipe.metric == "mAP" else 100 * (1 - found[1])


def best_epoch(rows: list[Row], recipe: Recipe) -> int:
    """Epoch whose weights are kept, from 1; of equally good ones the first, of agreement the last; 0 without rows."""
    if recipe.keep == "last":
        return len(rows)
    best = 0
    for number, row in enumerate(rows, start=1):
        if not best or recipe.better(row[recipe.metric], rows[best - 1][recipe.metric]):
            best = number
    return best


def _exhausted(rows: list[Row], recipe: Recipe) -> bool:
    """Tell whether the metric has not become better for as many epochs as the recipe waits; equal is not better."""
    if recipe.stop_after is None or not rows:
        return False
    values = [row[recipe.metric] for row in rows]
    return len(rows) - 1 - values.index(values[best_epoch(rows, recipe) - 1]) >= recipe.stop_after


def _as_scored(targets: Tensor, recipe: Recipe) -> Tensor:
    return one_hot(targets, recipe.classes) if recipe.metric == "mAP" and targets.ndim == 1 else targets


def _mixed(x: Tensor, y: Tensor, recipe: Recipe, alpha: float, place: tuple[int, int, int]) -> tuple[Tensor, Tensor]:
    """Mixtures that depend on seed, epoch and step alone."""
    number = int(np.random.SeedSequence(place).generate_state(1, np.uint64)[0] >> 1)
    targets = one_hot(y, recipe.classes) if y.ndim == 1 else y
    return mixup(x, targets, alpha, torch.Generator().manual_seed(number))


def _once(on_skip: OnSkip | None, seen: dict[str, str]) -> OnSkip:
    """Report each picture the first time, and remember it."""

    def report(name: str, reason: str) -> None:
        if name not in seen:
            seen[name] = reason
            _told(on_skip)(name, reason)

    return report


def _told(on_skip: OnSkip | None) -> OnSkip:
    """Return what reports a picture: by default a warning."""
    if on_skip is not None:
        return on_skip
    return lambda name, reason: warnings.warn(f"skipped {name}: {reason}", UserWarning, stacklevel=4)
