"""A whole training in one call, from a recipe and a data set to the best weights and their score."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from analysis.files.messages import one_line
from analysis.files.results import writable_folder
from analysis.networks.network_registry import create, describe, names
from analysis.networks.training.checkpoint import BEST, LAST, Row, TrainingRun, load_checkpoint
from analysis.networks.training.data import Data, load_data
from analysis.networks.training.loop import PRECISIONS, OnSkip, best_epoch, evaluate, train_epochs
from analysis.networks.training.recipe import Recipe, recipes
from analysis.networks.training.recipe import recipe as recipe_named
from analysis.runs.folder import RunFolder
from wavelets.checks import integer

METRICS = {"top1_error": "top-1 error (%)", "mAP": "mAP"}
"""Labels of the metrics."""


@dataclass(frozen=True)
class Training:
    """Outcome of a training.

    Attributes
    ----------
    name : str
        Name of the network.
    model : torch.nn.Module
        In evaluation mode, with the weights that were kept, which are those of best.pt.
    recipe : Recipe
    data : Data
    rows : list of dict
        The log: epoch (from 1), step, learning_rate, training_loss (mean over the epoch, of what is minimised),
        validation_loss, top1_error (%) or mAP, seconds.
    best : int
        Epoch whose weights were kept, from 1.
    test : float or None
        Metric of its weights on the test set; None if there is none, or if it was validated with.
    """

    name: str
    model: nn.Module
    recipe: Recipe
    data: Data
    rows: list[Row]
    best: int
    test: float | None

    def summary(self) -> str:
        """Describe data, first, best and last epoch, and score, in lines for a terminal."""
        label, data = METRICS[self.recipe.metric], self.data
        parts = f"{len(data.train)} examples, {len(data.validation)} to validate with"
        if origin := data.origins.get("validation"):
            parts += f" ({origin})"
        lines = [
            f"{self.name}, {self.recipe.name}, {parts}",
            f"{'epoch':>5} {'rate':>9} {'training loss':>13} {'validation loss':>15} {label:>16} {'seconds':>8}",
        ]
        for number in sorted({1, self.best, len(self.rows)}):
            row = self.rows[number - 1]
            lines.append(
                f"{number:>5} {row['learning_rate']:>9.2g} {row['training_loss']:>13.4f} "
                f"{row['validation_loss']:>15.4f} {row[self.recipe.metric]:>16.4g} {row['seconds']:>8.1f}"
                f"{f'  {self.recipe.keep}' if number == self.best else ''}"
            )
        if len(self.rows) > self.recipe.epochs:
            lines.append(
                f"\nThe run had {len(self.rows)} epochs before, of which {self.recipe.epochs} are asked for now: "
                "nothing was trained, and nothing taken back."
            )
        if self.test is not None:
            part = data.origins.get("test", "test")
            lines.append(f"\nTest set ({part}), weights of epoch {self.best}: {label} {self.test:.4g}")
        return "\n".join(lines)


def train_network(
    recipe: Recipe | str,
    data: Data | str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    network: nn.Module | str | None = None,
    name: str | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    precision: str = "float32",
    workers: int = 0,
    save_every: int | None = None,
    limit: int | None = None,
    hold_out: str = "random",
    download: bool = False,
    overwrite: bool = False,
    progress: bool = True,
    on_skip: OnSkip | None = None,
) -> Training:
    """Train a network as a recipe says; go on if the folder has a run of it that was stopped.

    Parameters
    ----------
    recipe : Recipe or str
        A recipe, or the name of one. :func:`analysis.networks.recipe` changes epochs, batch, rate, ...
    data : Data or path
        A data set, or a place that :func:`analysis.networks.load_data` reads.
    out : path
        Folder; it is created. Holds ``log.csv``, a row an epoch; ``last.pt``, from which a run is resumed; ``best.pt``,
        the weights of the epoch that the recipe keeps. All are replaced whole. Two runs at a time in one
        folder are refused.
    network : torch.nn.Module or str, optional
        Module from normalised inputs (B, channels, H, W) to logits (B, classes); it is trained in place. If it has a
        method ``regularisation() -> Tensor``, that is added to the loss. Or a name of :func:`analysis.networks.list`,
        or "FILE.py:FACTORY", a file **that is executed** and a function in it that is called without arguments and
        returns a module; both get weights that follow from the seed. Default: the recipe's network.
    name : str, optional
        Name of the network in checkpoints; those of another one are refused. Default: that of its class, or `network`.
    seed : int
        Seed of weights, order, augmentation, mixtures and dropout.
    device : str or torch.device
    precision : {"float32", "bfloat16", "float16"}
        Precision of the forward pass; weights are float32, and with float16 the loss is scaled.
    workers : int
        Processes that read the data, beside this one. The numbers do not depend on them.
    save_every : int, optional
        Save after so many steps too, not only after every epoch.
    limit, hold_out, download
        As in :func:`analysis.networks.load_data`, for a place.
    overwrite : bool
        Begin anew. By default a run that was stopped is continued; more epochs than before go on with one that has
        ended, and fewer train nothing.
    progress : bool
        Show progress bars.
    on_skip : callable, optional
        Called with the name and the reason of each picture that cannot be read, once; by default a warning.

    Returns
    -------
    Training

    Raises
    ------
    BlockingIOError
        If another run writes to the folder.
    CheckpointError
        If the folder has a damaged checkpoint.
    Diverged
        If the loss becomes NaN or infinite; the files are those of before.
    OSError, TypeError, ValueError
        If arguments are not as described, the folder has a run of another recipe, network, data, seed or precision, it
        cannot be written to, or no picture can be read.

    Notes
    -----
    On the CPU a run that was killed and resumed has the same losses to the last bit, if the number of threads is the
    same.
    """
    from analysis.networks.loading import move

    if precision not in PRECISIONS:
        raise ValueError(f"precision is {precision!r}; expected one of {', '.join(PRECISIONS)}")
    integer("seed", seed, 0)
    integer("workers", workers, 0)
    if save_every is not None:
        integer("save_every", save_every, 1)
    chosen = recipe_named(recipe) if isinstance(recipe, str) else recipe
    found = data if isinstance(data, Data) else load_data(data, chosen, limit, download, progress, hold_out)
    if isinstance(network, nn.Module):
        model, title = network, name or type(network).__name__
        identity = title
    else:
        model, title, identity = make_network(network or chosen.network, chosen.classes, seed)
    check_network(model, title, chosen, found)
    move(model, str(device))
    optimiser = chosen.make_optimiser(model)
    apart = ("epochs", "source", "network", *(["steps"] if chosen.steps is None else []))
    settings = {key: value for key, value in chosen.settings().items() if key not in apart}
    settings |= {"network": identity, "seed": seed, "precision": precision} | found.digests()
    with RunFolder(writable_folder(out), LAST, settings, overwrite=overwrite) as folder:
        device = torch.device(device)
        scaler = torch.amp.GradScaler(device.type, enabled=precision == "float16")
        run = TrainingRun(folder, model, optimiser, chosen.make_schedule(optimiser), scaler, device)
        train_epochs(
            run,
            chosen,
            found,
            seed=seed,
            precision=precision,
            workers=workers,
            save_every=save_every,
            progress=progress,
            on_skip=on_skip,
        )
        model.load_state_dict(load_checkpoint(folder.folder / BEST)["model"])
    test = None
    if found.test is not None and found.test is not found.validation:
        test = evaluate(model, found.test, found, chosen, precision=precision, workers=workers, on_skip=on_skip)[1]
    return Training(title, model, chosen, found, run.rows, best_epoch(run.rows, chosen), test)


def make_network(source: str, classes: int, seed: int) -> tuple[nn.Module, str, str]:
    """Make a network with random weights.

    Parameters
    ----------
    source : str
        Name in the registry of networks, or "FILE.py:FACTORY", a file **that is executed** and a function in it that
        is called without arguments and returns a module.
    classes : int
        Number of classes of a network by name.
    seed : int
        Seed of the weights.

    Returns
    -------
    model : torch.nn.Module
    name : str
    identity : str
        The name, of a file with a digest: a file that has changed is another network.

    Raises
    ------
    OSError, TypeError, ValueError
        If the name is unknown, or the file is missing or not as described. The message names it, in one line.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if ".py" not in source:
            model: nn.Module = create(source, classes=classes)
            return model, source, source
        from analysis.networks.loading import load_network

        loaded = load_network(source)
    if loaded.preprocess is not None:
        raise TypeError(f"{loaded.name} returned a function that prepares pictures; in training the recipe does that")
    file = Path(source.rpartition(":")[0])
    return loaded.model, loaded.name, f"{loaded.name} {hashlib.sha256(file.read_bytes()).hexdigest()[:12]}"


def check_network(model: nn.Module, name: str, recipe: Recipe, data: Data) -> None:
    """Raise ValueError for a network that fails on two inputs, or does not answer with logits of the classes."""
    inputs = data.prepared(torch.zeros((2, *recipe.size, 3)[: 4 if recipe.kind == "pictures" else 3]))
    training = model.training
    try:
        with torch.no_grad():
            answer = model.eval()(inputs)
    except Exception as error:  # the model's own code raises anything
        reason = one_line(str(error).strip().splitlines()[0]) if str(error).strip() else ""
        raise ValueError(
            f"{name} fails on inputs of shape {tuple(inputs.shape)}, as {recipe.name} has them: "
            f"{type(error).__name__}: {reason}"
        ) from error
    finally:
        model.train(training)
    expected = (len(inputs), recipe.classes)
    if not isinstance(answer, torch.Tensor) or tuple(answer.shape) != expected:
        found = f"shape {tuple(answer.shape)}" if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise ValueError(f"{name} returns {found}; expected logits (N, classes), here {expected}")


def listing(*words: str) -> dict[str, dict[str, str]]:
    """Recipes and networks, each with a line about it.

    Parameters
    ----------
    *words : str
        Only those whose name or description has all of these, in small or large letters.

    Returns
    -------
    dict of str to dict of str to str
        Descriptions by name, under "recipes" and under "networks".

    Examples
    --------
    >>> list(listing("fsd50k")["recipes"])
    ['vgg41-fsd50k']
    """
    known = {"recipes": {name: _recipe_line(recipe) for name, recipe in recipes().items()}}
    known["networks"] = {name: describe(name) for name in names()}
    wanted = [word.casefold() for word in words]
    return {
        kind: {
            name: text for name, text in lines.items() if all(word in f"{name} {text}".casefold() for word in wanted)
        }
        for kind, lines in known.items()
    }


def _recipe_line(recipe: Recipe) -> str:
    rate = f"{recipe.optimiser} {recipe.rate:g}, batch {recipe.batch}, {recipe.epochs} epochs, {recipe.network}"
    return f"{rate}; {recipe.source}"
