"""State of a training on disk: written whole or not at all, and resumed from to the same numbers."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from analysis.files.atomic import write_atomically
from analysis.files.messages import printable
from analysis.files.weights import read_checkpoint
from analysis.networks.training.recipe import Schedule
from analysis.runs.folder import RunFolder

LAST, BEST, LOG = "last.pt", "best.pt", "log.csv"
"""Files of a run: the state that it is resumed from, the weights of the best epoch, and a row an epoch."""

Row = dict[str, float]
"""Numbers that the log has of an epoch."""


class CheckpointError(ValueError):
    """A file that is no checkpoint of a training, or is damaged."""


@dataclass
class TrainingRun:
    """All that changes while a network is trained.

    Attributes
    ----------
    folder : RunFolder
        Locked; its settings say which run this is.
    model, optimiser, schedule, scaler
    device : torch.device
    epoch, step : int
        Epochs done, and steps done of the next one.
    losses : list of Tensor
        Losses of these steps.
    sizes : list of int
        Examples of these steps.
    seconds : float
        Time that these steps took.
    rows : list of dict
        The log, a row an epoch.
    skipped : dict of str
        Reasons why pictures could not be read, by their names.
    """

    folder: RunFolder
    model: nn.Module
    optimiser: torch.optim.Optimizer
    schedule: Schedule
    scaler: torch.amp.GradScaler
    device: torch.device
    epoch: int = 0
    step: int = 0
    losses: list[Tensor] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    seconds: float = 0.0
    rows: list[Row] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def layers(self) -> str:
        """Digest of the layers, such as of pooling, that the weights do not tell of."""
        return hashlib.sha256(str(self.model).encode()).hexdigest()

    def save(self) -> None:
        """Write last.pt, then log.csv."""
        parts = {name: getattr(self, name).state_dict() for name in ("model", "optimiser", "schedule", "scaler")}
        plain = {name: getattr(self, name) for name in ("layers", "epoch", "step", "sizes", "seconds", "rows")}
        state = {
            "belongs": self.folder.settings,
            "losses": torch.stack(self.losses).cpu() if self.losses else torch.zeros(0),
            "skipped": self.skipped,
            "random": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(self.device)
        write_atomically(self.folder.kept, lambda path: torch.save(state | parts | plain, path))
        self._note()

    def save_best(self, **about: Any) -> None:
        """Write best.pt: the weights, and to which run and epoch they belong."""
        state = {"model": self.model.state_dict(), "epoch": self.epoch, "belongs": self.folder.settings} | about
        write_atomically(self.folder.folder / BEST, lambda path: torch.save(state, path))

    def resume(self) -> None:
        """Go on from last.pt, if there is one; with ``overwrite`` remove it and what belongs to it.

        Raises
        ------
        CheckpointError
            If it cannot be read.
        ValueError
            If it is of another recipe, network or data, with the differences.
        """
        if self.folder.overwrite:
            for name in (LAST, BEST, LOG):
                (self.folder.folder / name).unlink(missing_ok=True)
        if self.folder.begins:
            return
        state = load_checkpoint(self.folder.kept)
        self.folder.check(state["belongs"])
        self._check_model(state)
        try:
            for name in ("model", "optimiser", "schedule", "scaler"):
                getattr(self, name).load_state_dict(state[name])
            for name in ("epoch", "step", "sizes", "seconds", "rows"):
                setattr(self, name, state[name])
            self.losses = list(state["losses"].to(self.device))
            self.skipped.update(state["skipped"])
            torch.set_rng_state(state["random"])
            if self.device.type == "cuda" and "random_cuda" in state:
                torch.cuda.set_rng_state(state["random_cuda"], self.device)
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise CheckpointError(f"{self.folder.kept} is no checkpoint of a training: {error!r}") from error
        self._note()  # the run may have been killed between the two files

    def _check_model(self, state: Mapping[str, Any]) -> None:
        """Refuse weights of another architecture, naming the first that differs, and other layers."""
        there, here = state["model"], self.model.state_dict()
        for name in dict.fromkeys((*here, *there)):
            found = [weights.get(name) for weights in (there, here)]
            shapes = [tuple(value.shape) if isinstance(value, Tensor) else "missing" for value in found]
            if shapes[0] != shapes[1]:
                raise self.folder.refusal(f"is of another network: {name} is {shapes[0]} there and {shapes[1]} here")
        if state.get("layers") != self.layers:
            raise self.folder.refusal("is of another network: it has other layers")

    def _note(self) -> None:
        """Write log.csv, from the rows that the checkpoint has, and say how much that is."""
        self.folder.done = f"{self.epoch} epochs and {self.step} steps"
        text = io.StringIO()
        if self.rows:
            table = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(self.rows)
        write_atomically(self.folder.folder / LOG, lambda path: path.write_text(text.getvalue(), encoding="utf-8"))


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read last.pt or best.pt; no code in it is run.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        With "model", the state dict, on the CPU, and "belongs", the settings of the run.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If it is none.
    """
    try:
        state = read_checkpoint(path)
    except ValueError as error:
        raise CheckpointError(str(error)) from error
    parts = [state.get(name) for name in ("model", "belongs")] if isinstance(state, dict) else [None]
    if not all(isinstance(part, Mapping) for part in parts):
        raise CheckpointError(f"{printable(path)} is no checkpoint of a training")
    return dict(state)
