"""A whole healing in one call, from a plain network, a remedy and a folder of images to a healed network."""

from __future__ import annotations

import copy
import os
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from analysis.files.folders import ImageFolder
from analysis.files.messages import printable
from analysis.files.results import writable_folder
from analysis.heal.healed_file import remedied, save_healed
from analysis.heal.plan import ROUNDS, HealingPlan
from analysis.heal.start import match_moments
from analysis.heal.student import ExecutionOrder, Student, execution_order
from analysis.heal.task import Healing, Prepared
from analysis.networks.layer_access import evaluation
from analysis.networks.loading import SIZE, LoadedNetwork, check_runs, move
from analysis.networks.training.checkpoint import BEST, LAST, Row, TrainingRun, load_checkpoint
from analysis.networks.training.data import Data, Examples, evaluation_batches, split
from analysis.networks.training.loop import OnSkip, best_epoch, train_epochs
from analysis.networks.training.recipe import Recipe
from analysis.networks.weights import weights_digest
from analysis.runs.folder import RunFolder
from wavelets.checks import integer, positive

HEALED = "healed.safetensors"

LEAST = 20
"""Images that a healing needs, with those held out."""

MOST_HELD = 500
"""Images held out at most."""

LOOKED_AT = 40
"""Images whose size is looked at, spread over all."""

TIMED = 3
"""Steps that are timed to turn minutes into a number of steps, after one that is not."""

LOOKS = ROUNDS + 2
"""Looks at the images held out: of the plain network, before the first round, and after each."""

Images = str | os.PathLike[str] | Sequence[Any] | NDArray[np.uint8]


@dataclass(frozen=True)
class Healed:
    """Outcome of a healing.

    Attributes
    ----------
    model : Module
        The network with the remedy and the weights of the round that is kept, in evaluation mode.
    plain, unhealed : Module
        The network as it was, and with the remedy alone.
    network : LoadedNetwork
        The plain one, with what it takes.
    remedy : str
    changes : list of str
        A line for each place.
    plan : HealingPlan
    steps : int
        Steps of the whole run, as far as it was not stopped early.
    before : dict of str to float
        Agreement and flips (percent) and divergence (nats) before healing, as in `rows`.
    at_first : dict of str to float
        The same of the plain network.
    rows : list of dict
        The log, a row a round: epoch, step, learning_rate, training_loss, agreement, divergence, flips, seconds.
    kept : int
        Round, from 1, whose weights the model has.
    learnt, held : Examples
        Images that were learnt from, and those held out.
    """

    model: nn.Module
    plain: nn.Module
    unhealed: nn.Module
    network: LoadedNetwork
    remedy: str
    changes: list[str]
    plan: HealingPlan
    steps: int
    before: dict[str, float]
    at_first: dict[str, float]
    rows: list[Row]
    kept: int
    learnt: Examples
    held: Examples


def heal_network(
    model: nn.Module | LoadedNetwork,
    remedy: str,
    images: Images,
    out: str | os.PathLike[str] | None = None,
    *,
    steps: int | None = None,
    minutes: float | None = None,
    size: int = SIZE,
    limit: int | None = None,
    device: str = "cpu",
    workers: int = 0,
    save_every: int | None = None,
    overwrite: bool = False,
    progress: bool = True,
    on_skip: OnSkip | None = None,
    **plan: Any,
) -> Healed:
    """Put a remedy into a trained network and have it learn, from images alone, to answer as before.

    Parameters
    ----------
    model : Module or LoadedNetwork
        The plain network, which stays as it is. A module takes R, G, B in [0, 1], shape (N, 3, size, size).
    remedy : str
        As for :func:`analysis.networks.loading.apply_remedy`: "blur3", or "blur3:pool1,pool4" for some places. "" is
        no remedy: the network as it is learns, a control.
    images : path, sequence of paths and arrays, or ndarray
        A folder, searched recursively; or files and arrays (H, W, 3) uint8; or one array (N, H, W, 3) uint8. No labels.
        They are brought to the network's size.
    out : path, optional
        Folder; it is created. Holds log.csv, last.pt, from which a run that was stopped is continued, best.pt, and at
        the end healed.safetensors. By default nothing is kept.
    steps : int, optional
        Steps to learn; they are divided into rounds of equal length, up to five are left over. Given that, the
        result is the same to the last bit on the CPU with as many threads, also of a run that was killed.
    minutes : float, optional
        In place of `steps`: about so long. A few steps are timed, and the number that follows is kept with the run.
    size : int
        Side of a module's input, pixels.
    limit : int, optional
        Use at most so many images.
    device : str
    workers, save_every, overwrite, progress, on_skip
        As in :func:`analysis.networks.train_network`.
    **plan
        Attributes of :class:`analysis.heal.plan.Plan`: losses, weights, rate, seed, ...

    Returns
    -------
    Healed

    Raises
    ------
    OSError, TypeError, ValueError
        If arguments are not as described; if there are too few images, or they are much smaller than the network's
        input; if the network is not deterministic, or the remedy changes nothing; if `minutes` are too short for one
        step; if the folder has another run.
    Diverged
        If the loss becomes NaN or infinite.

    Notes
    -----
    Teacher: the plain network in evaluation mode. Student: the network with the remedy; a complex modulus starts with
    each channel scaled and moved to the mean and variance that the maximum had (:func:`analysis.heal.start`). The
    weights of the last round are returned, or those of the round with the best agreement with the teacher on held-out
    images, if the plan says so.
    """
    if (steps is None) == (minutes is None):
        raise ValueError("expected steps or minutes, one of them")
    chosen = HealingPlan(**plan)
    side = model.size if isinstance(model, LoadedNetwork) else size
    if chosen.borders != "circular" and chosen.span >= side:
        raise ValueError(f"span is {chosen.span}; expected less than the side of the network's input, {side} pixels")
    network, unhealed, changes = _networks(model, remedy, size, device)
    learnt, held = _parts(examples_of(images, limit), chosen, network)
    with ExitStack() as stack:
        folder = writable_folder(out if out is not None else stack.enter_context(tempfile.TemporaryDirectory()))
        patient = _Patient(network, remedy, unhealed, chosen, learnt, held, on_skip)
        count = integer("steps", steps, 1) if steps is not None else patient.calibrated(folder, minutes, overwrite)
        run, recipe = patient.run(folder, count, minutes, device, overwrite)
        stack.enter_context(run.folder)
        if minutes is not None and not (folder / LAST).exists():
            run.save()  # keeps the number of steps, whenever the run is stopped
        before, at_first = (patient.task.score(each) for each in (run.model, network.model))
        stack.callback(patient.student.end)
        stack.callback(patient.task.close)
        train_epochs(
            run,
            recipe,
            patient.data,
            patient.task,
            seed=chosen.seed,
            workers=workers,
            save_every=save_every,
            progress=progress,
            on_skip=on_skip,
        )
        kept = best_epoch(run.rows, recipe)
        if kept < len(run.rows):
            run.model.load_state_dict(load_checkpoint(folder / BEST)["model"])
        save_healed(folder / HEALED, patient.student.network, network.name, remedy, changes, network.size)
    return Healed(
        model=evaluation(patient.student.network),
        plain=network.model,
        unhealed=unhealed,
        network=network,
        remedy=remedy,
        changes=changes,
        plan=chosen,
        steps=recipe.epochs * (recipe.steps or 0),
        before=before,
        at_first=at_first,
        rows=run.rows,
        kept=kept,
        learnt=learnt,
        held=held,
    )


class _Patient:
    """A network with a remedy, its teacher, and the images.

    Parameters
    ----------
    network, remedy, unhealed
        The plain network, the remedy, and the network with it, which stays as it is.
    plan : HealingPlan
    learnt, held : Examples
    on_skip : callable or None
    """

    def __init__(
        self,
        network: LoadedNetwork,
        remedy: str,
        unhealed: nn.Module,
        plan: HealingPlan,
        learnt: Examples,
        held: Examples,
        on_skip: OnSkip | None,
    ) -> None:
        self.network, self.remedy, self.plan = network, remedy, plan
        self.data = Data(learnt, held, None, (0.0,) * 3, (1.0,) * 3)
        reading = plan.recipe(network.size, 1, 1)
        batches = [inputs for inputs, _, _ in evaluation_batches(held, reading) if len(inputs)]
        if not batches:
            raise ValueError("none of the images held out can be read")
        changed = copy.deepcopy(unhealed)
        device = next((p.device for p in network.model.parameters()), torch.device("cpu"))
        pictures = [(batch.permute(0, 3, 1, 2).float() / 255).to(device) for batch in batches]
        inputs = pictures[0] if network.preprocess is None else network.preprocess(pictures[0])
        self.logits = _differ(network, changed, remedy, pictures)
        match_moments(network.model, changed, inputs)
        order = execution_order(network.model, changed, inputs[:1]) if remedy else ExecutionOrder((), ())
        self.task = Healing(network, plan, batches, order.compared)
        self.student = Student(changed, plan.weights, order)

    def recipe(self, steps: int) -> Recipe:
        """Recipe of so many steps."""
        return self.plan.recipe(self.network.size, self.logits.shape[1], steps)

    def run(
        self, folder: Path, steps: int, minutes: float | None, device: str, overwrite: bool
    ) -> tuple[TrainingRun, Recipe]:
        """Return the state of a run of so many steps in a folder, and its recipe."""
        recipe = self.recipe(steps)
        optimiser = recipe.make_optimiser(self.student)
        settings = asdict(self.plan) | {
            "network": self.network.name,
            "network_sha256": weights_digest(self.network.model),
            "remedy": self.remedy,
            "size": self.network.size,
            "steps": steps,
            "minutes": minutes,
            **self.data.digests(),
        }
        held = RunFolder(folder, LAST, settings, [HEALED], overwrite=overwrite)
        scaler = torch.amp.GradScaler(device, enabled=False)
        return TrainingRun(
            held, self.student, optimiser, recipe.make_schedule(optimiser), scaler, torch.device(device)
        ), recipe

    def calibrated(self, folder: Path, minutes: float | None, overwrite: bool) -> int:
        """Number of steps that take so many minutes; of a run that is to be continued, the number it has."""
        wanted = positive("minutes", minutes)
        if (folder / LAST).exists() and not overwrite:
            found: Any = load_checkpoint(folder / LAST)["belongs"]
            if found.get("minutes") == minutes:
                return integer("steps", found.get("steps"), 1)
        seconds, looks = self._seconds_a_step(), LOOKS * self._seconds_a_look()
        steps = int((60 * wanted - looks) / seconds)
        if steps < 1:
            raise ValueError(
                f"minutes is {minutes:g}, too short for one step, which takes {seconds:.2g} s, and {looks:.2g} s for "
                f"what the log has of images held out; expected at least {(seconds + looks) / 60:.2g}"
            )
        return steps

    def _seconds_a_step(self) -> float:
        """Elapsed time of one step of a copy, in seconds."""
        trial = copy.deepcopy(self.student)
        recipe = self.recipe(1)
        optimiser = recipe.make_optimiser(trial)
        which = np.arange(min(recipe.batch, len(self.data.train)))
        trial.train()
        begin = perf_counter()
        for step in range(TIMED + 1):
            if step == 1:
                begin = perf_counter()
            inputs, targets, _ = next(iter(evaluation_batches(self.data.train.select(which), recipe)))
            optimiser.zero_grad()
            self.task.loss(trial, self.data.prepared(inputs), targets, (self.plan.seed, 0, step)).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
        self.task.close()
        return (perf_counter() - begin) / TIMED

    def _seconds_a_look(self) -> float:
        """Elapsed time of one look at the images held out, in seconds."""
        begin = perf_counter()
        self.task.score(self.network.model)
        return perf_counter() - begin


def _differ(network: LoadedNetwork, changed: nn.Module, remedy: str, pictures: Sequence[Tensor]) -> Tensor:
    """Logits of the plain network for the first pictures; ValueError if the remedy leaves all answers as they are.

    The pictures are tried moved by a pixel too: adaptive sampling changes nothing where the first phase is its choice.
    """
    plain, remedied = (Prepared(model, network.preprocess) for model in (network.model, changed))
    with torch.no_grad():
        logits: Tensor = plain(pictures[0])
        if remedy and all(
            torch.equal(plain(x), remedied(x)) for part in pictures for x in (part, part.roll((1, 1), (2, 3)))
        ):
            raise ValueError(f"remedy {remedy!r} changes nothing: {network.name} answers the same with it")
    return logits


def examples_of(images: Images, limit: int | None = None) -> Examples:
    """Images without labels.

    Parameters
    ----------
    images
        As for :func:`heal_network`.
    limit : int, optional
        Use at most so many.

    Raises
    ------
    TypeError, ValueError
        If they are something else.
    """
    inputs: Any
    if limit is not None:
        integer("limit", limit, 1)
    if isinstance(images, (str, os.PathLike)):
        inputs = list(ImageFolder(images, limit))
    elif isinstance(images, np.ndarray):
        if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"images are {images.dtype} {images.shape}; expected uint8 (N, H, W, 3)")
        inputs = images[:limit]
    else:
        inputs = [image if isinstance(image, np.ndarray) else os.fspath(image) for image in images][:limit]
    return Examples(inputs, np.zeros(len(inputs), np.int64))


def _networks(
    model: nn.Module | LoadedNetwork, remedy: str, size: int, device: str
) -> tuple[LoadedNetwork, nn.Module, list[str]]:
    """Plain network on the device, the same with the remedy, and a line for each place; both run."""
    network = model if isinstance(model, LoadedNetwork) else LoadedNetwork(type(model).__name__, model, size=size)
    evaluation(network.model)
    move(network.model, device)
    check_runs(network, {"plain": network.model})
    unhealed, changes = remedied(network, remedy)
    check_runs(network, {remedy: unhealed})
    return network, unhealed, changes


def _parts(examples: Examples, plan: HealingPlan, network: LoadedNetwork) -> tuple[Examples, Examples]:
    """Images to learn from and images held out; ValueError for too few, or if they would be enlarged more than twice.

    The size is looked at of images spread over all, since a folder may hold several kinds.
    """
    if len(examples) < LEAST:
        raise ValueError(f"there are {len(examples)} images; expected at least {LEAST} to heal with")
    for row in examples.rows[:: max(1, len(examples) // LOOKED_AT)].tolist():
        image = examples.image(row, [])
        if image is not None and 2 * min(image.size) < network.size:
            name = examples.inputs[row]
            raise ValueError(
                f"{printable(name) if isinstance(name, str) else f'image {row}'} has {image.height}×{image.width} "
                f"pixels; {network.name} takes {network.size}×{network.size}, expected at least half of that"
            )
    training, held = split(examples, min(plan.held_out, MOST_HELD / len(examples)))
    return examples.select(np.sort(training)), examples.select(np.sort(held))
