"""Report of a network under circular shifts, by the protocol of the BlurPool paper: table, figures, one HTML page."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
import xarray as xr
from matplotlib.figure import Figure
from torch import Tensor, nn

from analysis import plots
from analysis.files.messages import printable
from analysis.files.results import load, save, writable_folder
from analysis.heal.healed_file import healed_name, load_healed
from analysis.networks.loading import LoadedNetwork, check_runs, example
from analysis.networks.remedy_table import remedy
from analysis.networks.training.augmentation import AUGMENTATIONS
from analysis.networks.training.data import load_data
from analysis.networks.training.recipe import recipe
from analysis.networks.weights import weights_digest
from analysis.reports.stability import loaded_network, with_error, with_remedies
from analysis.reports.writer import Report, csv_uri
from analysis.runs.folder import RunFolder
from analysis.runs.provenance import distribution_version, software
from analysis.stability.circular import MAPPED, circular_stability
from wavelets.checks import integer

DPI = 110
NAME = "circular"

COLUMNS = {
    "accuracy": ("accuracy %", "Of pictures that are not shifted."),
    "accuracy_shifted": ("accuracy, shifted %", "Of pictures that are each shifted circularly by a random amount."),
    "consistency": ("consistency %", "Two random circular shifts of a picture get the same class."),
    "variation": ("variation %", "Standard deviation over all shifts of the probability of the true class."),
    "worst": ("worst shift %", "Right at every one of the shifts."),
    "total_variation": ("total variation", "Of the kernels over their l1 norm, mean over layers; lower is smoother."),
}

CAPTIONS = {
    "trade": "Consistency of two random shifts against accuracy; bars of one standard error over pictures.",
    "map": "Accuracy at every circular shift.",
    "adversary": "Accuracy along the diagonal, and of an adversary who picks the worst shift up to a reach.",
    "variation": "How the standard deviation over shifts of the probability of the true class is distributed.",
    "smoothness": "Total variation of the kernels over their l1 norm, layer by layer; lower is smoother.",
}


def circular_report(
    network: str | nn.Module | LoadedNetwork,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    remedies: Sequence[str] = (),
    healed: Sequence[str | os.PathLike[str]] = (),
    weights: str | os.PathLike[str] | None = None,
    size: int | None = None,
    mapped: int = MAPPED,
    seed: int = 0,
    limit: int | None = None,
    batch: int = 250,
    device: str = "cpu",
    resume: bool = False,
    overwrite: bool = False,
    figures: bool = True,
    progress: bool = True,
) -> Report:
    """Measure a network under circular shifts, as it is and with each remedy, none trained but those healed.

    Writes circular.nc as soon as a remedy is measured, circular.csv, trade.png, map.png, adversary.png, variation.png,
    smoothness.png and report.html. A run that was stopped goes on with the remedies that are missing.

    Parameters
    ----------
    network, remedies, healed, weights, size, device
        As for :func:`analysis.stability_report`.
    data : path
        Arrays with test_x and test_y, or CIFAR-10, as for `shiftscope train`. The test pictures are used.
    out : path
        Folder for the results; it is created.
    mapped, seed, batch
        As for :func:`analysis.stability.circular.circular_stability`.
    limit : int, optional
        At most so many test pictures, drawn at random but always the same.
    resume, overwrite : bool
        Fail if there is nothing to continue; begin anew, whatever is there.
    figures, progress : bool
        Draw figures; show progress.

    Returns
    -------
    Report
        Its `datasets` have the one dataset "circular": variables of `circular_stability`, shares 0 to 1, along
        ``remedy``.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of range or a name unknown, the pictures are of another size than the network's, a network
        fails, or the folder has another run.
    OSError
        If a file is not there, or the folder cannot be written to.
    """
    for option, count in {"batch": batch, "limit": limit}.items():
        if count is not None:
            integer(option, count, 1)
    for text in remedies:  # before anything is loaded
        remedy(text.partition(":")[0])
    loaded = loaded_network(network, weights, size)
    models, changes = with_remedies(loaded, list(dict.fromkeys(remedies)), batch, device)
    for path in healed:
        models[healed_name(path)] = load_healed(path, loaded).to(device)
    check_runs(loaded, models)
    integer("mapped", mapped, 0)
    pictures, labels, digest = _test_set(data, loaded, limit)
    settings = {
        "network": loaded.name,
        "data_sha256": digest,
        "pictures": len(pictures),
        "mapped": mapped,
        "seed": seed,
    }
    report = Report(writable_folder(out), progress, figures=figures, inputs=len(pictures))
    with RunFolder(report.folder, f"{NAME}.nc", settings, ["report.html"], resume, overwrite) as run:
        measure = partial(
            circular_stability, inputs=pictures, labels=labels, mapped=mapped, seed=seed, batch=batch,
            prepare=loaded.preprocess, progress=progress,
        )  # fmt: skip
        measured = _measured(models, measure, run, changes)
        report.datasets[NAME] = measured.assign_attrs(device=device)
        report.save(report.datasets[NAME], NAME)
        write_circular(report, report.datasets[NAME])
    return report


def _test_set(data: str | os.PathLike[str], loaded: LoadedNetwork, limit: int | None) -> tuple[Tensor, Tensor, str]:
    """Test pictures (N, 3, H, W) in [0, 1] as they are, their classes, and a digest of both."""
    with torch.no_grad():
        classes = loaded.model(example(loaded)).shape[1]
    like = replace(recipe("vgg13-cifar10"), classes=classes, size=(loaded.size, loaded.size))
    found = load_data(data, like, limit=limit, progress=False).test
    if found is None:
        raise ValueError(f"{printable(data)} has no test set; expected arrays test_x and test_y, or a folder test")
    shape = found.inputs.shape[1:3] if isinstance(found.inputs, np.ndarray) else None
    if shape is None or shape != (loaded.size, loaded.size):
        told = "files" if shape is None else f"of {shape[0]}×{shape[1]} pixels"
        raise ValueError(
            f"{printable(data)}: the pictures are {told}; expected arrays of {loaded.size}×{loaded.size}, the size of "
            f"{loaded.name}'s input, since circular shifts of resized pictures are others (--size says another one)"
        )
    pixels, labels, _ = found.batch(np.arange(len(found)), shape, AUGMENTATIONS["none"], (0, 0))
    return pixels.permute(0, 3, 1, 2).float() / 255, labels, found.digest()


def _measured(
    models: Mapping[str, nn.Module],
    measure: Callable[..., xr.Dataset],
    run: RunFolder,
    changes: Mapping[str, list[str]],
) -> xr.Dataset:
    """Measure the models that the folder's result does not have yet; write it after each."""
    done: dict[str, xr.Dataset] = {}

    def together() -> xr.Dataset:
        there = [done[name] for name in models if name in done]
        layers = list(dict.fromkeys(layer for one in there for layer in one.layer.values.tolist()))  # in their order
        there = [one.reindex(layer=layers) for one in there]
        found = xr.concat(there, "remedy", data_vars="all", coords="minimal", compat="override", join="exact")
        about = {"title": "stability under circular shifts", "settings": json.dumps(run.settings)} | run.settings
        return found.assign_attrs(software(), torch_version=distribution_version("torch"), **about)

    if not run.begins:
        kept = load(run.kept)
        run.check(json.loads(kept.attrs.get("settings", "{}")))
        for name in kept.remedy.values.tolist():
            one = kept.sel(remedy=name)
            if name in models and str(one.weights_sha256.item()) == weights_digest(models[name]):
                done[name] = one.dropna("layer")
    for name, model in models.items():
        if name not in done:
            text = "\n".join(changes.get(name, ()))
            found = measure(model).assign(weights_sha256=weights_digest(model), changes=text)
            done[name] = found.assign_coords(remedy=name)
            save(together(), run.kept)
    return together()


def circular_table(found: xr.Dataset) -> pd.DataFrame:
    """One row a remedy: the columns of :data:`COLUMNS`, per cent but for the last, with ``_se``, standard errors."""
    rows = pd.DataFrame(index=found.indexes["remedy"])
    for name in ("accuracy", "accuracy_shifted", "consistency"):
        rows[name], rows[f"{name}_se"] = (100 * found[each].values for each in (name, f"{name}_stderr"))
    if "variation" in found:
        rows["variation"], rows["worst"] = 100 * found.variation.values, 100 * found.adversary.isel(radius=-1).values
    rows["total_variation"] = found.total_variation.mean("layer").values
    return rows


def verdict(found: xr.Dataset) -> list[str]:
    """Sentences: how consistent the plain network is, and which remedies are clearly more so."""
    rows = circular_table(found)
    plain, others = rows.iloc[0], rows.iloc[1:]
    told = [
        f"Two random circular shifts get the same class in {with_error(plain, 'consistency')} % of pictures; "
        f"accuracy is {with_error(plain, 'accuracy')} % without a shift and "
        f"{with_error(plain, 'accuracy_shifted')} % at a random one."
    ]
    if len(others):
        gain = others.consistency - plain.consistency
        error = np.hypot(others.consistency_se, plain.consistency_se)
        better = others[gain > 2 * error]
        names = ", ".join(f"{name} ({with_error(row, 'consistency')} %)" for name, row in better.iterrows())
        told.append(
            f"More consistent by two standard errors: {names or 'no remedy'}. The errors are of each by itself; "
            "on the same pictures, differences are known better."
        )
    return told


def figures(found: xr.Dataset) -> dict[str, Callable[[], Figure]]:
    """Figures by the names of their files; each is drawn when called."""
    drawn: dict[str, Callable[[], Figure]] = {"trade": partial(plots.circular_trade_figure, circular_table(found))}
    if "variation" in found:
        maps = 100 * found[["accuracy_by_shift", "diagonal", "adversary"]].rename(accuracy_by_shift="accuracy")
        drawn["map"] = partial(plots.shift_map_figure, maps)
        drawn["adversary"] = partial(plots.accuracy_figure, maps)
        drawn["variation"] = partial(plots.variation_figure, found)
    drawn["smoothness"] = partial(plots.smoothness_figure, found)
    return drawn


def write_circular(report: Report, found: xr.Dataset) -> None:
    """Write circular.csv, the figures and report.html."""
    report.save_table(lambda: circular_table(found), NAME, index=True)
    report.save_page("circular.html.j2", lambda: page_values(found), report.draw(figures(found), DPI))


def page_values(found: xr.Dataset) -> dict[str, Any]:
    """Values that the page shows beside the figures: verdict, table, what was changed."""
    rows = circular_table(found)
    shown = [name for name in COLUMNS if name in rows]
    digits = {name: 3 if name == "total_variation" else 1 for name in shown}
    return {
        "attrs": found.attrs,
        "sentences": verdict(found),
        "columns": [(*COLUMNS[name], False) for name in shown],
        "rows": [
            (name, [(with_error(row, column, digits[column]), f"{row[column]:.6g}") for column in shown])
            for name, row in rows.iterrows()
        ],
        "csv_file": csv_uri(rows, index=True),
        "captions": {name: CAPTIONS[name] for name in figures(found)},
        "changes": {str(n): str(t).splitlines() for n, t in found.changes.to_series().items() if t},
    }


def circular_summary(report: Report) -> str:
    """Table with a line for the plain network and for each remedy, for a terminal."""
    found = report.datasets[NAME]
    rows = circular_table(found)
    texts = {COLUMNS[n][0]: [with_error(row, n) for _, row in rows.iterrows()] for n in COLUMNS if n in rows}
    return "\n".join(
        [
            f"\n{found.network}, {report.inputs} test pictures, circular shifts; {found.mapped} of them at every shift",
            pd.DataFrame(texts, rows.index).to_string(index_names=False),
            "± is the standard error over pictures.",
            f"\nResults and figures: {printable(report.folder)}/report.html, circular.csv, circular.nc, *.png",
        ]
    )
