"""Recipes of the networks of the documents, as configuration: optimiser, schedule, batch, augmentation, data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
from torch import nn
from torch.optim.lr_scheduler import MultiStepLR, ReduceLROnPlateau

from analysis.files.imagenet_statistics import IMAGENET_MEAN, IMAGENET_STD
from analysis.files.messages import unknown
from wavelets.checks import integer, positive

Schedule = MultiStepLR | ReduceLROnPlateau


@dataclass(frozen=True)
class Recipe:
    """Settings of a training, beside network and data; change parts by :func:`dataclasses.replace`.

    Attributes
    ----------
    name : str
    source : str
        Document and table whose networks were trained so, and what had to be chosen because it does not say.
    network : str
        Registry name of the network that is trained by default.
    classes : int
    size : tuple of int
        Height and width of the input, pixels; for spectrograms frames and bands.
    batch, epochs : int
    optimiser : {"sgd", "adam"}
    rate : float
        Learning rate at first.
    momentum : float
        Of "sgd".
    weight_decay : float
    factor : float
        Factor of the rate at every milestone, or on every plateau.
    milestones : tuple of int
        Epochs before which that happens, counted from 0.
    patience : int, optional
        In place of milestones: epochs without a better validation metric, a plateau.
    stop_after : int, optional
        Epochs without a better validation metric after which training ends.
    augmentation : str
        Key of :data:`analysis.networks.training.augmentation.AUGMENTATIONS`.
    one_patch : bool
        In an epoch train on one patch of each recording, drawn at random, not on all.
    mixup : float, optional
        Both parameters of the Beta distribution from which the weight of a mixture of two examples is drawn.
    loss : {"cross-entropy", "binary cross-entropy"}
        The second one for classes that do not exclude each other.
    metric : {"top1_error", "mAP", "agreement"}
        Number by which the best epoch is chosen: error in percent, the smaller the better; mean average precision; or
        share of answers that are those of another network, percent.
    kind : {"pictures", "spectrograms"}
    mean, std : tuple of float, optional
        Normalisation (value - mean) / std by channel, pixels in [0, 1]. None: the mean and the standard deviation of
        the training set, one number each.
    held_out : float
        Fraction of the training set that is not trained on but validated with; 0 validates with the test set.
    keep : {"best", "last"}
        Epoch whose weights are kept: the one that the metric chooses, or the last, whatever the metric.
    steps : int, optional
        Steps of an epoch, where that does not go through all examples just once.
    """

    name: str
    source: str
    network: str
    classes: int
    size: tuple[int, int]
    batch: int
    epochs: int
    rate: float
    optimiser: Literal["sgd", "adam"] = "sgd"
    momentum: float = 0.9
    weight_decay: float = 1e-4
    factor: float = 0.1
    milestones: tuple[int, ...] = ()
    patience: int | None = None
    stop_after: int | None = None
    augmentation: str = "none"
    one_patch: bool = False
    mixup: float | None = None
    loss: Literal["cross-entropy", "binary cross-entropy"] = "cross-entropy"
    metric: Literal["top1_error", "mAP", "agreement"] = "top1_error"
    kind: Literal["pictures", "spectrograms"] = "pictures"
    mean: tuple[float, ...] | None = IMAGENET_MEAN
    std: tuple[float, ...] | None = IMAGENET_STD
    held_out: float = 0.1
    keep: Literal["best", "last"] = "best"
    steps: int | None = None

    def __post_init__(self) -> None:
        from analysis.networks.training.augmentation import AUGMENTATIONS

        for name in ("classes", "batch", "epochs"):
            integer(name, getattr(self, name), 1)
        for name in ("patience", "stop_after", "steps"):
            if getattr(self, name) is not None:
                integer(name, getattr(self, name), 1)
        positive("rate", self.rate)
        if self.mixup is not None:
            positive("mixup", self.mixup)
        choices: dict[str, Iterable[str]] = {
            "optimiser": ("sgd", "adam"),
            "loss": ("cross-entropy", "binary cross-entropy"),
            "metric": ("top1_error", "mAP", "agreement"),
            "kind": ("pictures", "spectrograms"),
            "keep": ("best", "last"),
            "augmentation": AUGMENTATIONS,
        }
        for name, known in choices.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is {getattr(self, name)!r}; expected one of {', '.join(known)}")
        if self.kind == "spectrograms" and self.augmentation != "none":
            raise ValueError(f"augmentation is {self.augmentation!r}, which is for pictures; expected 'none'")
        if self.one_patch and self.kind != "spectrograms":
            raise ValueError(f"one_patch is of spectrograms of recordings, but the recipe is for {self.kind}")
        if self.multilabel and self.metric == "top1_error":
            raise ValueError("metric is 'top1_error', but examples can be of several classes; expected 'mAP'")
        if not 0 <= self.held_out < 1:
            raise ValueError(f"held_out is {self.held_out}; expected a fraction in [0, 1)")
        if self.stop_after is not None and self.keep == "last":
            raise ValueError(f"stop_after is {self.stop_after}, but the last epoch is kept; expected keep='best'")
        if self.patience is not None and self.milestones:
            raise ValueError("both milestones and patience are given; expected one of them")

    def settings(self) -> dict[str, Any]:
        """Attributes by name, for records; `keep` only where it is not what it was before there was a choice."""
        settings = asdict(self)
        if self.keep == "best":
            del settings["keep"]
        return settings

    @property
    def multilabel(self) -> bool:
        """Tell whether an example can be of several classes."""
        return self.loss == "binary cross-entropy"

    def better(self, a: float, b: float) -> bool:
        """Tell whether the value `a` of the metric is better than `b`, which was before; equal agreement counts."""
        if self.metric == "agreement":  # of few pictures it is often equal, and the later weights are the better
            return a >= b
        return a < b if self.metric == "top1_error" else a > b

    def make_optimiser(self, model: nn.Module) -> torch.optim.Optimizer:
        """Optimiser of the parameters of a model that require gradients."""
        trained = [p for p in model.parameters() if p.requires_grad]
        if not trained:
            raise ValueError(f"{type(model).__name__} has no parameter to train")
        if self.optimiser == "adam":
            return torch.optim.Adam(trained, self.rate, weight_decay=self.weight_decay)
        return torch.optim.SGD(trained, self.rate, self.momentum, weight_decay=self.weight_decay)

    def make_schedule(self, optimiser: torch.optim.Optimizer) -> Schedule:
        """Schedule of its rate, to be stepped after every epoch; on plateaus with the validation metric."""
        if self.patience is None:
            return MultiStepLR(optimiser, list(self.milestones), self.factor)
        mode: Literal["min", "max"] = "min" if self.metric == "top1_error" else "max"
        # torch lowers the rate one epoch after its patience has run out
        return ReduceLROnPlateau(optimiser, mode, self.factor, self.patience - 1, threshold=0)


POSTER = "the poster (Leterme et al. 2022), theory.md 6.2"
BLURPOOL = "Zhang 2019 (BlurPool), Table 1, theory.md 7.1; weight decay, split and normalisation are not printed"
AUDIO = "Fonseca et al. 2021, theory.md 7.2"

_imagenet = Recipe(
    name="alexnet-imagenet",
    source=f"{POSTER}: AlexNet and its twins, Figs. 9 and 11; 100 000 of 1 281 167 training images held out",
    network="alexnet",
    classes=1000,
    size=(224, 224),
    batch=256,
    epochs=90,
    rate=0.01,
    milestones=(30, 60),
    augmentation="resized-crop",
    held_out=100_000 / 1_281_167,
)
_resnet_cifar = replace(
    _imagenet,
    name="resnet-cifar10",
    source=f"{POSTER}: ResNet-18 and -34 and their twins, Fig. 10; augmentation as for ImageNet, as in the "
    "authors' code; 5000 of 50 000 held out, as the records' steps tell",
    network="resnet18",
    classes=10,
    size=(32, 32),
    epochs=300,
    rate=0.1,
    milestones=(100, 200),
    held_out=0.1,
)
_vgg = replace(
    _resnet_cifar,
    name="vgg13-cifar10",
    source=f"{BLURPOOL}: VGG13, trained without augmentation",
    network="vgg13",
    batch=128,
    epochs=200,
    milestones=(100, 150),
    augmentation="none",
    held_out=0.0,
    keep="last",
)
_sound = Recipe(
    name="vgg41-fsd50k",
    source=f"{AUDIO}: VGG41 and VGG42 with mixup, Table II; the share held out and normalisation are not printed",
    network="vgg41",
    classes=200,
    size=(101, 96),
    batch=128,
    epochs=150,
    rate=3e-5,
    optimiser="adam",
    weight_decay=0.0,
    factor=0.5,
    patience=10,
    stop_after=20,
    mixup=1.25,
    loss="binary cross-entropy",
    metric="mAP",
    kind="spectrograms",
    mean=None,
    std=None,
)

RECIPES = {
    recipe.name: recipe
    for recipe in (
        _imagenet,
        replace(
            _imagenet,
            name="resnet-imagenet",
            source=f"{POSTER}: ResNet-34 and its twins, Fig. 9; 100 000 of 1 281 167 training images held out",
            network="resnet34",
            rate=0.1,
        ),
        _resnet_cifar,
        _vgg,
        replace(
            _vgg,
            name="vgg13-cifar10-shift",
            source=f"{BLURPOOL}: VGG13, trained with random circular shifts",
            augmentation="shift",
        ),
        replace(
            _vgg,
            name="densenet40-cifar10",
            source=f"{BLURPOOL}: DenseNet-40-12, Fig. 8 left, trained without augmentation",
            network="densenet40",
        ),
        replace(
            _vgg,
            name="densenet40-cifar10-shift",
            source=f"{BLURPOOL}: DenseNet-40-12, Fig. 8 right, trained with random circular shifts",
            network="densenet40",
            augmentation="shift",
        ),
        _sound,
        replace(
            _sound,
            name="vgg41-fsd50k-plain",
            source=f"{AUDIO}: VGG41 without mixup, Table I; the share held out and normalisation are not printed",
            mixup=None,
        ),
        replace(
            _sound,
            name="vgg41-esc10",
            source=f"{AUDIO}: the training of Table II on ESC-10, where clips have one class; no document prints it",
            classes=10,
            loss="cross-entropy",
            metric="top1_error",
        ),
    )
}


def recipes() -> dict[str, Recipe]:
    """All recipes by name.

    Returns
    -------
    dict of Recipe
        Each one's `source` says which table of which document it is of.
    """
    return dict(RECIPES)


def recipe(name: str, **changes: Any) -> Recipe:
    """Recipe by name, parts of it changed.

    Parameters
    ----------
    name : str
    **changes
        Attributes of :class:`Recipe`.

    Returns
    -------
    Recipe

    Raises
    ------
    TypeError
        If a change is to something that recipes do not have, or of a wrong type.
    ValueError
        If the name is unknown, with the nearest known one, or a value is out of range.
    """
    if name not in RECIPES:
        raise ValueError(unknown("recipe", name, RECIPES))
    return replace(RECIPES[name], **changes)
