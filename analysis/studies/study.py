"""Parts of a study: its runs, its claims, and the published table that stands beside its own."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import pandas as pd
from torch import nn

from analysis.networks.training.data import Data
from analysis.networks.training.recipe import Recipe

Measure = Callable[[nn.Module, Data], Mapping[str, float]]


@dataclass(frozen=True)
class Run:
    """One training and what is measured of it.

    Attributes
    ----------
    factors : mapping of str to str
        Columns of the study's table that say what is varied, such as ``filter`` and ``augmentation``.
    network : str
        Name in the registry.
    recipe : Recipe
    seed : int
        Of weights, order and augmentation.
    options : mapping
        Of the network, such as `width`.
    part : str
        Name of the data's part, where a study goes through several, such as "fold1": the file fold1.npz of the folder.
    hold_out : {"random", "first"}
        Examples that choose the epoch; see :func:`analysis.networks.load_data`.
    """

    factors: Mapping[str, str]
    network: str
    recipe: Recipe
    seed: int
    options: Mapping[str, Any] = field(default_factory=dict)
    part: str = ""
    hold_out: str = "random"

    @property
    def name(self) -> str:
        """Name of the run's folder, and of its row."""
        parts = [*self.factors.values(), *([self.part] if self.part else []), f"seed{self.seed}"]
        return "_".join(part.replace(" ", "-") for part in parts)

    def digest(self) -> str:
        """Digest of all that the run's numbers depend on, but for the data."""
        settings = asdict(self) | {"recipe": self.recipe.settings()}
        if self.hold_out == "random":  # as it was before there was a choice
            del settings["hold_out"]
        return hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Claim:
    """Statement of a document about two groups of runs, which a study can test.

    Attributes
    ----------
    text : str
        The claim in plain words.
    metric : str
        Column that it is about.
    of, than : mapping of str to str
        Levels of the factors that are compared: `of` against `than`. The other factors and the seeds are paired.
    sign : {1, -1}
        1: more of the metric in `of` than in `than`; -1: less.
    """

    text: str
    metric: str
    of: Mapping[str, str]
    than: Mapping[str, str]
    sign: int


@dataclass(frozen=True)
class Study:
    """Table of a document, as runs.

    Attributes
    ----------
    name, title : str
        The name on the command line; the document and its tables and figures.
    data : str
        What `data` must be, in words.
    factors : sequence of str
    metrics : mapping of str to str
        Columns that are measured, with label and unit.
    runs : callable
        ``runs(scale, seeds)`` with the scale "small" or "published": the list of runs.
    measure : callable
        ``measure(model, data)``: the metrics of a trained network.
    claims : sequence of Claim
    published : callable
        ``published()``: a row for each published combination of factors, columns as the metrics where printed.
    costs : mapping of str to str
        What each scale costs, in words, measured or printed.
    derive : callable, optional
        ``derive(runs)``: the table of runs with the metrics that compare a run with others of its seed.
    """

    name: str
    title: str
    data: str
    factors: Sequence[str]
    metrics: Mapping[str, str]
    runs: Callable[[str, Sequence[int]], list[Run]]
    measure: Measure
    claims: Sequence[Claim]
    published: Callable[[], pd.DataFrame]
    costs: Mapping[str, str]
    derive: Callable[[pd.DataFrame], pd.DataFrame] | None = None
