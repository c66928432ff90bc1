"""Task of healing, for the training loop: the loss of a batch, and agreement and flips on images held out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import softmax

from analysis.heal.losses import LOSSES, Lesson, Maps, divergence, draw_shifts, shifted
from analysis.heal.plan import HealingPlan
from analysis.networks.loading import LoadedNetwork, Preprocess
from analysis.networks.training.loop import Diverged

PIXEL = ((0, 1), (1, 0))
"""Shifts of the flips that are logged: one pixel along each axis, mirrored."""


class Prepared(nn.Module):
    """A network behind what prepares its pictures, with the channels in memory's last place, which is faster.

    Parameters
    ----------
    network : Module
    preprocess : callable or None
        From R, G, B in [0, 1] to its input.
    """

    def __init__(self, network: nn.Module, preprocess: Preprocess | None) -> None:
        super().__init__()
        self.network, self.preprocess = network, preprocess

    def forward(self, pictures: Tensor) -> Tensor:
        """Logits (B, classes) of pictures (B, 3, H, W) in [0, 1]."""
        x = pictures if self.preprocess is None else self.preprocess(pictures)
        y: Tensor = self.network(x.contiguous(memory_format=torch.channels_last))
        return y


class Healing:
    """Task that a network with a remedy learns.

    Parameters
    ----------
    teacher : LoadedNetwork
        The plain network.
    plan : HealingPlan
    held : sequence of Tensor, shape (B, H, W, 3), uint8
        Pictures that are looked at after each round.
    compared : sequence of str
        Modules whose maps the term "features" compares.

    Raises
    ------
    ValueError
        If the teacher answers otherwise when it is asked again.
    """

    def __init__(
        self, teacher: LoadedNetwork, plan: HealingPlan, held: Sequence[Tensor], compared: Sequence[str]
    ) -> None:
        self.teacher, self.plan = Prepared(teacher.model, teacher.preprocess).eval(), plan
        device = next((p.device for p in teacher.model.parameters()), torch.device("cpu"))
        self.held = [batch.permute(0, 3, 1, 2).to(device).float() / 255 for batch in held]
        with torch.no_grad():
            self.answers = [self.teacher(batch).float() for batch in self.held]
            again = self.teacher(self.held[0]).float()
        if not torch.allclose(again, self.answers[0], rtol=1e-4, atol=1e-5 * float(again.abs().max())):
            raise ValueError(f"{teacher.name} answers otherwise when it is asked again; expected a deterministic one")
        self.compared = tuple(compared) if "features" in plan.losses else ()
        if "features" in plan.losses and not compared:
            raise ValueError("the loss 'features' compares maps behind places, and here are none to compare")
        self._maps: tuple[Maps, Maps] | None = None

    def loss(self, model: nn.Module, x: Tensor, y: Tensor, place: tuple[int, int, int]) -> Tensor:
        """Sum of the chosen terms, of pictures x (B, 3, H, W) in [0, 1]; y is not looked at."""
        if self.compared and self._maps is None:
            self._maps = Maps(self.teacher.network, self.compared), Maps(model.network, self.compared)  # type: ignore[arg-type]
        height, width = x.shape[2:]
        shifts = draw_shifts(self.plan.shifts, self.plan.span, self.plan.borders, (height, width), place)
        student = Prepared(model, self.teacher.preprocess)
        found = ({}, {}) if self._maps is None else (self._maps[0].found, self._maps[1].found)
        lesson = Lesson(student, self.teacher, x, shifts, self.plan.temperature, found)
        total: Tensor = torch.stack([LOSSES[name](lesson) for name in self.plan.losses]).sum()
        return total

    @torch.no_grad()
    def score(self, model: nn.Module) -> dict[str, float]:
        """Agreement with the plain network, divergence from it, and flips, on the pictures held out.

        Parameters
        ----------
        model : Module
            It is put into evaluation mode.

        Returns
        -------
        dict of str to float
            ``agreement`` and ``flips`` (percent), ``divergence`` (nats): same answer as the plain network; another
            one under a shift of one pixel, mean over both axes; mean Kullback-Leibler divergence.

        Raises
        ------
        Diverged
            If the model answers NaN or infinity.
        """
        student = Prepared(model.eval(), self.teacher.preprocess)
        sums = torch.zeros(3, dtype=torch.float64)
        for pictures, taught in zip(self.held, self.answers, strict=True):
            logits = student(pictures).float()
            if not bool(logits.isfinite().all()):
                raise Diverged("healing diverged: the network answers NaN or infinity; a lower rate may help")
            answer = logits.argmax(1)
            moved = [student(shifted(pictures, shift, "reflect")).argmax(1) for shift in PIXEL]
            flips = torch.stack([(other != answer).double().sum() for other in moved]).mean()
            far = divergence(softmax(taught, 1), logits).double() * len(pictures)
            sums += torch.stack([(answer == taught.argmax(1)).double().sum(), flips, far]).cpu()
        agreement, flips, far = (sums / sum(map(len, self.held))).tolist()
        return {"agreement": 100 * agreement, "divergence": far, "flips": 100 * flips}

    def close(self) -> None:
        """Take the hooks of the compared maps away."""
        for maps in self._maps or ():
            maps.close()
        self._maps = None
