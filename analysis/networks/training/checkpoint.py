"""State of a run on disk: written whole or not at all, and resumed from to the same numbers."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from analysis.networks.training.recipe import Schedule

UNFINISHED = ".unfinished-"  # begins the name of a file that is being written

Row = dict[str, float]
"""What the log says of an epoch."""


class CheckpointError(ValueError):
    """A checkpoint that a run cannot be resumed from."""


@dataclass
class Run:
    """All that changes while a network is trained.

    Attributes
    ----------
    folder : Path
        Of last.pt, best.pt and log.csv.
    belongs : dict
        Plain values that say which run this is: recipe, network, data, seed.
    model, optimiser, schedule, scaler
    device : torch.device
    epoch, step : int
        Epochs done, and steps done of the next one.
    losses : list of Tensor
        Of these steps.
    sizes : list of int
        Examples of these steps.
    seconds : float
        That they took.
    rows : list of dict
        The log, a row an epoch.
    skipped : dict of str
        Reasons why pictures could not be read, by their names.
    """

    folder: Path
    belongs: dict[str, Any]
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
    def last(self) -> Path:
        """File that the run is resumed from."""
        return self.folder / "last.pt"

    @property
    def layers(self) -> str:
        """Digest of the layers, such as of pooling, that the weights do not tell of."""
        return hashlib.sha256(str(self.model).encode()).hexdigest()

    def save(self) -> None:
        """Write last.pt, then log.csv."""
        state = {
            "belongs": self.belongs,
            "layers": self.layers,
            "model": self.model.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "scaler": self.scaler.state_dict(),
            "epoch": self.epoch,
            "step": self.step,
            "losses": torch.stack(self.losses).cpu() if self.losses else torch.zeros(0),
            "sizes": self.sizes,
            "seconds": self.seconds,
            "rows": self.rows,
            "skipped": self.skipped,
            "random": torch.get_rng_state(),
        }
        if self.device.type == "cuda":
            state["random_cuda"] = torch.cuda.get_rng_state(self.device)
        write_atomically(self.last, lambda path: torch.save(state, path))
        self.write_log()

    def save_best(self, **about: Any) -> None:
        """Write best.pt: the weights, and what they are of."""
        state = {"model": self.model.state_dict(), "epoch": self.epoch, "belongs": self.belongs} | about
        write_atomically(self.folder / "best.pt", lambda path: torch.save(state, path))

    def write_log(self) -> None:
        """Write log.csv, from the rows that the checkpoint has."""
        text = io.StringIO()
        if self.rows:
            table = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
            table.writeheader()
            table.writerows(self.rows)
        write_atomically(self.folder / "log.csv", lambda path: path.write_text(text.getvalue(), encoding="utf-8"))

    def resume(self) -> None:
        """Go on from last.pt, if there is one.

        Raises
        ------
        CheckpointError
            If it cannot be read, or is of another recipe, network or data.
        """
        for leftover in self.folder.glob(f"{UNFINISHED}*"):  # of a run that was killed while it wrote
            leftover.unlink(missing_ok=True)
        if not self.last.exists():
            return
        state = load_checkpoint(self.last)
        try:
            check_same(state["belongs"], self.belongs, self.last)
            check_weights(state["model"], self.model, self.last)
            if state["layers"] != self.layers:
                raise CheckpointError(f"{self.last} is of another network: it has other layers")
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.schedule.load_state_dict(state["schedule"])
            self.scaler.load_state_dict(state["scaler"])
            self.epoch, self.step, self.seconds = state["epoch"], state["step"], state["seconds"]
            self.losses, self.sizes, self.rows = list(state["losses"].to(self.device)), state["sizes"], state["rows"]
            self.skipped.update(state["skipped"])
            torch.set_rng_state(state["random"])
            if self.device.type == "cuda" and "random_cuda" in state:
                torch.cuda.set_rng_state(state["random_cuda"], self.device)
        except CheckpointError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise CheckpointError(f"{self.last} is no checkpoint of a training: {error!r}") from error
        self.write_log()  # it may have been killed between the two files


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read last.pt or best.pt; no code in it is run.

    Parameters
    ----------
    path : path

    Returns
    -------
    dict
        With "model", the state dict, on the CPU.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    CheckpointError
        If it is none.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"no checkpoint {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # what a damaged file raises is not for us to know
        raise CheckpointError(f"{path} cannot be read as a checkpoint: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(state, dict) or not {"model", "belongs"} <= set(state):
        raise CheckpointError(f"{path} is no checkpoint of a training")
    return state


def check_same(there: dict[str, Any], here: dict[str, Any], path: Path) -> None:
    """Raise CheckpointError, which names the first difference, if a checkpoint is of another run."""
    for key in [*here, *(set(there) - set(here))]:
        a, b = there.get(key), here.get(key)
        if a != b:
            what = "the data are others" if key == "data" else f"{key} is {a!r} there and {b!r} here"
            raise CheckpointError(f"{path} is of another run: {what}")


def check_weights(there: dict[str, Tensor], model: nn.Module, path: Path) -> None:
    """Raise CheckpointError, which names the first difference, if the weights are of another architecture."""
    here = model.state_dict()
    for name in [*here, *(key for key in there if key not in here)]:
        shapes = [tuple(weights[name].shape) if name in weights else "missing" for weights in (there, here)]
        if shapes[0] != shapes[1]:
            raise CheckpointError(f"{path} is of another network: {name} is {shapes[0]} there and {shapes[1]} here")


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make a file under a temporary name, then give it its final name in one step.

    Parameters
    ----------
    path : Path
        What stood there before is replaced only by a complete file.
    write : callable
        Called with the temporary path.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    temporary = path.with_name(f"{UNFINISHED}{os.getpid()}-{path.name}")
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except (OSError, RuntimeError) as error:  # torch raises the latter on a full disk
        raise OSError(f"cannot write {path}: {error}") from error
    finally:
        temporary.unlink(missing_ok=True)
