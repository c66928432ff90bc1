"""Networks under measurement: what they are given, what they answer, and the time that they take."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from analysis.files.atomic import write_atomically
from analysis.files.messages import one_line
from analysis.networks.folding import folded
from analysis.networks.weights import weights_digest
from analysis.runs.journal import Journal
from analysis.runs.progress import Bar
from wavelets.checks import integer

Preprocess = Callable[[Tensor], Tensor]

ORDERS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
"""Orders of maps in memory. Which is faster depends on the model: by half, either way."""


PIXELS = 4 * 224**2
"""Pixels of a batch. Maps of more than 32 MB, which SqueezeNet has of 8 pictures of 224x224, are memory that the C
library takes from the system each time anew: 15.9 ms a picture on two cores, and 10.8 in batches of 4."""

MOST = 16
"""Pictures of a batch on the CPU, at most: 16 of 32x32 pixels take an eighth less of ResNet-20's processor time than 8,
and no more than 32 or 64."""


class ModelError(ValueError):
    """A model that fails, or returns no logits."""


class MeasuredNetwork:
    """Network, and the way in which pictures are given to it.

    Parameters
    ----------
    model : torch.nn.Module
        From (N, 3, size, size) to logits (N, C); in evaluation mode.
    size : int
        Side of the model's input, pixels.
    preprocess : callable, optional
        From R, G, B in [0, 1] to the model's input; by default it takes that.
    batch_size : int, optional
        Pictures the model gets at a time. By default, on the CPU, as many as have :data:`PIXELS`, at most :data:`MOST`,
        otherwise 256.

    Attributes
    ----------
    memory_order : {"channels first", "channels last"}
        Order of the maps that the model is given; it changes the time that it takes, and answers by their rounding.
    seconds : float
        Time of one picture in that order; NaN before it was measured.
    """

    def __init__(
        self, model: nn.Module, size: int, preprocess: Preprocess | None = None, batch_size: int | None = None
    ) -> None:
        exported = "eval" in vars(model)  # such a program has no modes and refuses eval()
        if not exported and any(module.training for module in model.modules()):
            raise ValueError(f"{type(model).__name__} is in training mode; call model.eval() first")
        self.model, self.size, self.preprocess = model, size, preprocess
        self.device = next((p.device for p in model.parameters()), torch.device("cpu"))
        default = min(max(PIXELS // size**2, 1), MOST) if self.device.type == "cpu" else 256
        self.batch_size = integer("batch_size", default if batch_size is None else batch_size, 1)
        self.memory_order, self.seconds = "channels first", float("nan")
        self._folded: nn.Module | None = None  # made at the first answer; the time is that of the model as it is

    def settings(self) -> dict[str, Any]:
        """Everything that its answers depend on: digests of weights and layers, batch and device."""
        return {
            "weights_sha256": weights_digest(self.model),
            "layers_sha256": hashlib.sha256(str(self.model).encode()).hexdigest(),
            "batch_size": self.batch_size,
            "device": self.device.type,
        }

    def input(self, pictures: Tensor, raw: bool = False) -> Tensor:
        """Turn windows of pictures into what the model takes; `raw`: into R, G, B in [0, 1], whatever it takes."""
        x = pictures.to(self.device)
        x = x / 255 if x.dtype == torch.uint8 else x
        x = x if self.preprocess is None or raw else self.preprocess(x)
        return x.contiguous(memory_format=ORDERS[self.memory_order])

    @torch.no_grad()
    def logits(self, pictures: Tensor, raw: bool = False) -> Tensor:
        """Answer to windows of pictures, shape (N, C), on the CPU; :class:`ModelError` if the model fails."""
        try:
            answer = self._answering()(self.input(pictures, raw))
        except Exception as error:  # the model's own code raises anything
            raise ModelError(
                f"the model fails on a batch of shape {tuple(pictures.shape)}: {type(error).__name__}: "
                f"{one_line(str(error))}"
            ) from error
        if not isinstance(answer, Tensor):
            raise ModelError(f"the model returns {type(answer).__name__}; expected a tensor of logits (N, classes)")
        if answer.ndim != 2 or len(answer) != len(pictures):
            raise ModelError(
                f"the model returns shape {tuple(answer.shape)}; expected logits (N, classes), N = {len(pictures)}"
            )
        return answer.detach().cpu()

    def _answering(self) -> nn.Module:
        """The model, or on the CPU one that answers the same with batch normalisations folded into convolutions."""
        if self._folded is None:
            probe = torch.rand(2, 3, self.size, self.size, generator=torch.Generator().manual_seed(0))
            self._folded = folded(self.model, self.input(probe)) if self.device.type == "cpu" else self.model
        return self._folded

    def answers(self, frames: Sequence[Tensor], raw: bool = False) -> Tensor:
        """Answers to frames of N pictures each, shape (frames, N, C); `raw` as in :meth:`input`."""
        pictures = torch.cat(list(frames))
        starts = range(0, len(pictures), self.batch_size)
        logits = torch.cat([self.logits(pictures[start : start + self.batch_size], raw) for start in starts])
        return logits.reshape(len(frames), -1, logits.shape[1])


@contextmanager
def named(name: str) -> Iterator[None]:
    """Say which model an error is of."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{name}: {error}") from error


def choose_orders(
    networks: Mapping[str, MeasuredNetwork], rounds: int, journal: Journal | None = None, progress: bool = False
) -> None:
    """Time networks in both orders of memory, and leave each in the faster one; a run that goes on keeps its own.

    Parameters
    ----------
    networks : mapping of str to MeasuredNetwork
    rounds : int
        Timings of each network in each order, taken in turns on one batch; the medians are compared. On the CPU they
        are processor time of all threads, which other programs on the machine disturb less than a clock.
    journal : Journal, optional
        Journal of the run. Beside it, in a file that ends in .timing, are times and orders, since answers round
        otherwise in the other order, and the answers to a first picture, since weights do not tell of code.
    progress : bool
        Show progress.

    Raises
    ------
    ModelError
        If a network fails.
    ValueError
        If a network answers otherwise than when the run began.
    """
    rounds = integer("rounds", rounds, 1)
    kept = None if journal is None else journal.path.with_suffix(".timing")
    found: dict[str, Any] = {}
    if kept is not None and journal is not None and journal.inputs and kept.is_file():
        found = json.loads(kept.read_text(encoding="utf-8"))
    generator = torch.Generator().manual_seed(0)
    size = next(iter(networks.values())).size
    batch = torch.rand(max(n.batch_size for n in networks.values()), 3, size, size, generator=generator)
    if found:
        for name, network in networks.items():
            with named(name):
                here, there = network.logits(batch[:1]), torch.tensor([found[name]["probe"]])
            # Threads and devices round differently.
            if here.shape != there.shape or (here - there).abs().max() > 1e-3 * there.abs().max():
                assert journal is not None
                raise journal.run.refusal(f"belongs to another {name}: it answers otherwise, with the same weights")
            network.memory_order, network.seconds = found[name]["order"], found[name]["seconds"]
        return
    with Bar("orders of memory", len(networks) * len(ORDERS) * (rounds + 1), "passes", progress) as bar:
        for name, network in networks.items():
            with named(name):
                found[name] = {"probe": network.logits(batch[:1])[0].tolist()}
        _time(networks, batch, rounds, bar)
    for name, network in networks.items():
        found[name] |= {"order": network.memory_order, "seconds": network.seconds}
    if kept is not None:
        write_atomically(kept, lambda path: path.write_text(json.dumps(found), encoding="utf-8"))


@torch.no_grad()
def _time(networks: Mapping[str, MeasuredNetwork], batch: Tensor, rounds: int, bar: Bar) -> None:
    taken: dict[tuple[str, str], list[float]] = {(name, order): [] for name in networks for order in ORDERS}
    for turn in range(rounds + 1):
        for (name, order), times in taken.items():
            network = networks[name]
            network.memory_order = order
            pictures = batch[: network.batch_size]
            if not turn:  # warms up, and tells of a model that fails
                with named(name):
                    network.logits(pictures)
                bar.update()
                continue
            x = network.input(pictures)
            _wait(network.device)
            clock = time.process_time if network.device.type == "cpu" else time.perf_counter
            start = clock()
            network.model(x)
            _wait(network.device)
            times.append((clock() - start) / len(x))
            bar.update()
    for name, network in networks.items():
        medians = {order: float(np.median(taken[name, order])) for order in ORDERS}
        network.memory_order = min(medians, key=medians.__getitem__)
        network.seconds = medians[network.memory_order]


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
