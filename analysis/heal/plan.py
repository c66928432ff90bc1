"""Settings of a healing, beside network, remedy and images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from analysis.files.messages import unknown
from analysis.heal.losses import BORDERS, LOSSES, TEACHING
from analysis.heal.student import WEIGHTS
from analysis.networks.training.augmentation import AUGMENTATIONS
from analysis.networks.training.recipe import Recipe
from wavelets.checks import integer, positive

SMALL = 64
"""Side of the input, pixels, up to which pictures are small: many in a batch, cropped from a border."""

ROUNDS = 10
"""Rounds at most, after each of which the network is looked at."""

KEEP = ("last", "best")
"""Rounds whose weights may be kept."""


@dataclass(frozen=True)
class HealingPlan:
    """Settings of a healing.

    Attributes
    ----------
    losses : sequence of str
        Terms of :data:`analysis.heal.losses.LOSSES`, which are added.
    weights : str
        Those that learn, a key of :data:`analysis.heal.student.WEIGHTS`.
    shifts : int
        Shifts over which the teacher is averaged, beside none; the student is made consistent with the first.
    span : int
        Largest distance of a mirrored shift along an axis, pixels.
    borders : {"reflect", "circular", "both"}
        How shifted pictures go on; circular shifts are of any length.
    temperature : float
        Of both networks' answers.
    rate : float, optional
        Learning rate of Adam at first; a tenth of it from half of the rounds on, a hundredth from 8/10. By default 3e-4
        for pictures of up to 64 pixels, 3e-5 for larger ones: 1e-4 spoilt SqueezeNet in its first steps.
    batch : int, optional
        Pictures of a step; by default 128 of up to 64 pixels, 16 larger ones.
    augmentation : str, optional
        Key of :data:`analysis.networks.training.augmentation.AUGMENTATIONS`; by default "pad-crop" for pictures of up
        to 64 pixels, "slight-crop" for larger ones.
    held_out : float
        Fraction of the images that is not learnt from but looked at; at most 500 images.
    keep : {"last", "best"}
        Round whose weights are kept: the last one, or the one that agrees best with the plain network on the images
        held out.
    patience : int, optional
        Rounds without better agreement after which it stops; only where the best round is kept.
    seed : int
        Of order, augmentation and shifts.

    Raises
    ------
    TypeError, ValueError
        If a setting is out of range, or a name unknown.
    """

    losses: Sequence[str] = ("answers",)
    weights: str = "all"
    shifts: int = 4
    span: int = 2
    borders: str = "reflect"
    temperature: float = 2.0
    rate: float | None = None
    batch: int | None = None
    augmentation: str | None = None
    held_out: float = 0.1
    keep: Literal["last", "best"] = "last"
    patience: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.losses, str):
            raise TypeError(f"losses is the string {self.losses!r}; expected a sequence of names")
        for name in self.losses:
            if name not in LOSSES:
                raise ValueError(unknown("loss", name, LOSSES))
        if not set(self.losses) & set(TEACHING):
            raise ValueError(f"losses are {', '.join(self.losses) or 'none'}; expected one of {', '.join(TEACHING)}")
        known = {"weights": WEIGHTS, "borders": BORDERS, "keep": KEEP, "augmentation": (None, *AUGMENTATIONS)}
        for name, names in known.items():
            if getattr(self, name) not in names:
                raise ValueError(unknown(name, getattr(self, name), filter(None, names)))
        for name, least in {"shifts": 1, "span": 1, "seed": 0}.items():
            integer(name, getattr(self, name), least)
        for name in ("batch", "patience"):
            if getattr(self, name) is not None:
                integer(name, getattr(self, name), 1)
        if self.patience is not None and self.keep != "best":
            raise ValueError(f"patience is {self.patience} and keep is {self.keep!r}; expected keep='best' with it")
        positive("temperature", self.temperature)
        if self.rate is not None:
            positive("rate", self.rate)
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out is {self.held_out}; expected a fraction between 0 and 1")

    def recipe(self, size: int, classes: int, steps: int) -> Recipe:
        """Recipe of a training of about so many steps, in rounds of equal length.

        Parameters
        ----------
        size : int
            Side of the input, pixels.
        classes, steps : int

        Returns
        -------
        Recipe
            Of `epochs` times `steps` steps: those asked for, or up to five fewer, which are left over.
        """
        rounds = max(range(min(steps, ROUNDS), min(steps, ROUNDS) // 2, -1), key=lambda n: steps - steps % n)
        return Recipe(
            name="heal",
            source="analysis.heal",
            network="",
            classes=classes,
            size=(size, size),
            batch=self.batch or (128 if size <= SMALL else 16),
            epochs=rounds,
            rate=self.rate or (3e-4 if size <= SMALL else 3e-5),
            optimiser="adam",
            weight_decay=0.0,
            milestones=(max(1, rounds // 2), max(1, 4 * rounds // 5)) if rounds > 1 else (),
            stop_after=self.patience,
            augmentation=self.augmentation or ("pad-crop" if size <= SMALL else "slight-crop"),
            metric="agreement",
            mean=(0.0, 0.0, 0.0),
            std=(1.0, 1.0, 1.0),
            held_out=self.held_out,
            keep=self.keep,
            steps=steps // rounds,
        )
