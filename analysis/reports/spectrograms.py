"""Report of sound networks under shifts in time and frequency: the sound study's Table III and Fig. 2."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor, nn

from analysis import plots
from analysis.files.messages import printable, unknown
from analysis.files.results import writable_folder
from analysis.networks import network_registry
from analysis.networks.loading import move
from analysis.networks.metrics import score_by_shift, spectrogram_stability
from analysis.networks.training.checkpoint import load_checkpoint
from analysis.networks.training.data import Examples, load_data
from analysis.networks.training.recipe import recipe
from analysis.networks.weights import load_weights
from analysis.reports.writer import Report, csv_uri
from analysis.studies.sound import SHIFTS, STEP, whole
from wavelets.checks import integer

DPI = 110
FRAMES = 101
CURVES = tuple(range(11))
"""Frames and bands of the figure of one recording's score."""

LIMIT = 1000
"""Recordings of the study's protocol: of one class, at least two seconds long."""

Model = Callable[[Tensor], Tensor]


def spectrogram_report(
    networks: Mapping[str, tuple[str, str | os.PathLike[str]]],
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    shifts: Sequence[int] = SHIFTS,
    limit: int = LIMIT,
    noise: float | None = None,
    seed: int = 0,
    device: str = "cpu",
    figures: bool = True,
    progress: bool = True,
) -> Report:
    """Consistency and change of sound networks when the spectrogram is moved, and the score of two recordings.

    Writes spectrograms.csv, a row a network and protocol; scores.csv, the curves; spectrograms.png, scores.png and
    report.html.

    Parameters
    ----------
    networks : mapping of str to (str, path)
        By the name to show: name in the registry, and best.pt of `shiftscope train` or of a study. Widths that are
        scaled are found from the weights.
    data : path
        Arrays with test_x, test_y and test_clip, as `scripts.pack_data` makes them. Recordings of one class that are at
        least two seconds long are used, as in the study.
    out : path
        Folder for the results; it is created.
    shifts : sequence of int
        Frames of 10 ms, and mel bands.
    limit : int
        At most so many recordings, drawn by the seed.
    noise, seed
        Of the lowest bands, see :func:`analysis.networks.metrics.frequency_shift`.
    device : str
        Where torch shall compute.
    figures, progress : bool
        Draw figures; show progress.

    Returns
    -------
    Report

    Raises
    ------
    OSError, TypeError, ValueError
        If a file is missing or not as described, a network is no sound network, or no recording fits.
    """
    integer("limit", limit, 1)
    loaded = {shown: sound_network(*source) for shown, source in networks.items()}
    first, (_, _, _, settings) = next(iter(loaded.items()))
    like = replace(recipe("vgg41-fsd50k" if settings["multilabel"] else "vgg41-esc10"), classes=settings["classes"])
    test = load_data(data, like, progress=False).test
    if test is None or test.clips is None:
        raise ValueError(f"{printable(data)} has no test recordings; expected arrays test_x, test_y and test_clip")
    recordings, labels = long_recordings(test, limit, seed, max(*shifts, *CURVES))
    report = Report(writable_folder(out), progress, figures=figures, inputs=len(recordings))
    how: dict[str, Any] = {
        "activation": "sigmoid" if settings["multilabel"] else "softmax",
        "noise": noise,
        "seed": seed,
    }
    tables, curves = {}, {}
    for shown, (model, mean, std, settings_here) in loaded.items():
        if settings_here["classes"] != settings["classes"]:
            raise ValueError(f"{shown} has {settings_here['classes']} classes, {first} {settings['classes']}")
        move(model, device)

        def answer(x: Tensor, model: nn.Module = model, mean: float = mean, std: float = std) -> Tensor:
            logits: Tensor = model(((x - mean) / std).to(device)).cpu()
            return logits

        tables[shown] = spectrogram_stability(answer, (r[None] for r in recordings), STEP, FRAMES, shifts, **how)
        for number in _examples(labels):
            curves[shown, number] = score_by_shift(
                answer, recordings[number], labels[number], STEP, FRAMES, CURVES, **how
            )
    table = pd.concat(tables, names=["network"])
    scores = pd.concat(curves, names=["network", "recording"])
    report.save_table(lambda: table, "spectrograms", index=True)
    report.save_table(lambda: scores, "scores", index=True)
    drawn: dict[str, Callable[[], Figure]] = {
        "spectrograms": partial(plots.spectrogram_shifts_figure, table),
        "scores": partial(plots.scores_by_shift_figure, scores),
    }
    values = partial(_page_values, table, len(recordings), settings, seed)
    report.save_page("spectrograms.html.j2", values, report.draw(drawn, DPI))
    return report


def sound_network(name: str, weights: str | os.PathLike[str]) -> tuple[nn.Module, float, float, dict[str, Any]]:
    """Sound network with trained weights, of any width.

    Parameters
    ----------
    name : str
        In the registry, vgg41 or vgg42 with any pooling.
    weights : path
        best.pt of a training.

    Returns
    -------
    model : Module
        In evaluation mode.
    mean, std : float
        Normalisation of decibels.
    about : dict
        ``classes``, and ``multilabel``, whether a recording can be of several.

    Raises
    ------
    OSError, ValueError
        If the name is unknown or no sound network's, or the file is no best.pt of such a network.
    """
    known = [each for each in network_registry.names() if each.startswith(("vgg41", "vgg42"))]
    if name not in known:
        raise ValueError(unknown("sound network", name, known))
    state = load_checkpoint(weights)
    tensors = state["model"]
    try:
        narrow = tensors["features.front.0.weight"].shape[0]
        classes = len(tensors["classifier.bias"])
        (mean,), (std,) = state["mean"], state["std"]
        full = 32 if name.startswith("vgg41") else 64
        model = network_registry.create(name, classes=classes, width=narrow / full)
        load_weights(model, tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{printable(weights)} holds no weights of {name}: {error}") from error
    about = {"classes": classes, "multilabel": state["belongs"].get("loss") == "binary cross-entropy"}
    return model.eval(), float(mean), float(std), about


def long_recordings(examples: Examples, limit: int, seed: int, reach: int) -> tuple[list[Tensor], list[int]]:
    """Recordings (1, T, F) of one class, long enough for a patch from `STEP` that moves by `reach`, and their classes.

    Raises
    ------
    ValueError
        If there is none.
    """
    clips = examples.clips
    assert clips is not None
    targets = examples.targets[np.unique(clips, return_index=True)[1]]
    single = np.ones(len(targets), bool) if targets.ndim == 1 else targets.sum(1) == 1
    of: NDArray[np.int64] = targets if targets.ndim == 1 else targets.argmax(1)
    least = STEP + FRAMES + reach
    frames = STEP * (np.bincount(clips) - 1) + FRAMES
    order = np.random.default_rng(seed).permutation(len(targets))
    chosen = [n for n in order.tolist() if single[n] and frames[n] >= least][:limit]
    if not chosen:
        raise ValueError(f"no recording has one class and {least} frames, {least / 100:.1f} s; expected at least one")
    spectrograms = [next(whole(examples.select(np.flatnonzero(clips == n))))[0] for n in chosen]
    return spectrograms, [int(of[n]) for n in chosen]


def _examples(labels: Sequence[int]) -> list[int]:
    """Numbers of the first recordings of the first two classes."""
    found = list(dict.fromkeys(labels))[:2]
    return [labels.index(label) for label in found]


def _page_values(table: pd.DataFrame, recordings: int, settings: Mapping[str, Any], seed: int) -> dict[str, Any]:
    rows = table.reset_index()
    names = list(dict.fromkeys(rows.network))
    told = []
    for name in names:
        worst = rows[rows.network == name].nsmallest(1, "consistency").iloc[0]
        told.append(f"{name}: least consistent under {worst.protocol}, {worst.consistency:.1f} % the same top class.")
    return {
        "sentences": told,
        "recordings": recordings,
        "seed": seed,
        "classes": settings["classes"],
        "rows": [(row.network, row.protocol, f"{row.consistency:.1f}", f"{row.mac:.3f}") for row in rows.itertuples()],
        "csv_file": csv_uri(table, index=True),
    }


def spectrogram_summary(report: Report) -> str:
    """Table of the protocols, for a terminal."""
    table = pd.read_csv(report.folder / "spectrograms.csv", index_col=["network", "protocol"])
    wide = table.unstack("network").round(3)
    shown = printable(report.folder)
    return (
        f"\n{report.inputs} recordings of one class\n{wide.to_string()}\n\nResults: {shown}/report.html, *.csv, *.png"
    )
