"""``shiftscope train``: the network, the run, its figure, and what is printed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from analysis.files.messages import one_line
from analysis.networks.registry import create, describe, names
from analysis.networks.training.checkpoint import Row, load_checkpoint
from analysis.networks.training.data import Data, evaluation_batches
from analysis.networks.training.loop import best_epoch, evaluate
from analysis.networks.training.recipe import Recipe, recipes

METRICS = {"top1_error": "top-1 error (%)", "mAP": "mAP"}


def make_network(source: str, classes: int, seed: int) -> tuple[nn.Module, str, str]:
    """Network with random weights.

    Parameters
    ----------
    source : str
        Name in the registry of networks, or "FILE.py:FACTORY", a file **that is executed** and a function in it that
        is called without arguments and returns a module.
    classes : int
        Of a network by name.
    seed : int
        Of the weights.

    Returns
    -------
    model : torch.nn.Module
    name : str
    identity : str
        The name, of a file with a digest: what has changed is another network.

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
    """Raise ValueError for a network that fails on two examples, or does not answer with logits of the classes."""
    few = data.train.select(np.arange(min(2, len(data.train))))
    inputs = data.prepared(next(evaluation_batches(few, recipe))[0])
    training = model.training
    try:
        with torch.no_grad():
            answer = model.eval()(inputs)
    except Exception as error:  # whatever the model's own code raises
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


def score_on_test(
    model: nn.Module, data: Data, recipe: Recipe, out: Path, on_skip: Callable[[str, str], object], **how: Any
) -> float | None:
    """Metric of the best weights on the test set, None if there is none or validation was with it."""
    if data.test is None or data.test is data.validation:
        return None
    model.load_state_dict(load_checkpoint(out / "best.pt")["model"])
    return evaluate(model, data.test, data, recipe, on_skip=on_skip, **how)[1]


def summary(rows: list[Row], recipe: Recipe, test: float | None) -> str:
    """First, best and last epoch in lines."""
    label = METRICS[recipe.metric]
    best = best_epoch(rows, recipe)
    lines = [f"{'epoch':>5} {'rate':>9} {'training loss':>13} {'validation loss':>15} {label:>16} {'seconds':>8}"]
    for number in sorted({1, best, len(rows)}):
        row = rows[number - 1]
        lines.append(
            f"{number:>5} {row['learning_rate']:>9.2g} {row['training_loss']:>13.4f} {row['validation_loss']:>15.4f} "
            f"{row[recipe.metric]:>16.4g} {row['seconds']:>8.1f}{'  best' if number == best else ''}"
        )
    if test is not None:
        lines.append(f"\nTest set, weights of epoch {best}: {label} {test:.4g}")
    return "\n".join(lines)


def listing() -> str:
    """Recipes and networks in lines."""
    lines = ["Recipes:"]
    for name, recipe in recipes().items():
        rate = f"{recipe.optimiser} {recipe.rate:g}, batch {recipe.batch}, {recipe.epochs} epochs, {recipe.network}"
        lines.append(f"  {name:<26} {rate}\n  {'':<26} {recipe.source}")
    lines.append("\nNetworks:")
    lines += [f"  {name:<26} {describe(name)}" for name in names()]
    return "\n".join([*lines, "  FILE.py:FACTORY            a function in a file of yours, which is executed"])
