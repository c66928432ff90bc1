"""Run a study: train and measure what its table does not have yet, here or on a cluster."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import torch

from analysis.files.atomic import write_atomically
from analysis.files.results import writable_folder
from analysis.networks.network_registry import create
from analysis.networks.training.data import load_data
from analysis.networks.training.orchestration import train_network
from analysis.runs.folder import ADVICE, RunFolder
from analysis.runs.progress import Bar
from analysis.studies.study import Run, Study
from analysis.studies.summary import summary, verdicts

if TYPE_CHECKING:
    from distributed import Client

TABLE = "runs.csv"
SCALES = ("small", "published")

Row = dict[str, Any]


def run_study(
    study: Study,
    data: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    scale: str = "small",
    seeds: Sequence[int] = (0, 1, 2),
    only: Callable[[Run], bool] | None = None,
    device: str = "cpu",
    precision: str = "float32",
    client: Client | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Train and measure the runs of a study; go on if the folder has some.

    Parameters
    ----------
    study : Study
    data : path
        What the study's `data` says.
    out : path
        Folder; it is created. Holds ``runs.csv``, a row a run, written whole after each; ``summary.csv`` and
        ``claims.csv``, see :mod:`analysis.studies.summary`; and ``runs/NAME``, the trainings.
    scale : {"small", "published"}
    seeds : sequence of int
    only : callable, optional
        ``only(run)`` says which runs are wanted; the others stay as they are.
    device, precision
        As in :func:`analysis.networks.train_network`.
    client : distributed.Client, optional
        Cluster on whose workers runs are trained, one at a time each; they see the same folders.
    progress : bool
        Show progress.

    Returns
    -------
    DataFrame
        The table of runs: ``run``, the factors, ``seed``, ``part``, the metrics, ``epochs``, ``hours`` (of training and
        measuring) and ``settings``, a digest.

    Raises
    ------
    BlockingIOError
        If another study writes to the folder.
    OSError, TypeError, ValueError
        If the data are not as described, the folder has runs of other settings, or no run is wanted.
    """
    if scale not in SCALES:
        raise ValueError(f"scale is {scale!r}; expected one of {', '.join(SCALES)}")
    wanted = [run for run in study.runs(scale, seeds) if only is None or only(run)]
    if not wanted:
        raise ValueError(
            f"no run of {study.name} at the scale {scale} is wanted; its factors are {levels(study, scale)}"
        )
    for run in wanted:  # before anything is trained
        if not (place := place_of(data, run)).exists():
            raise FileNotFoundError(f"there is no {place}; expected as data: {study.data}")
    folder = writable_folder(out)
    settings = {"study": study.name, "scale": scale}
    with RunFolder(folder, TABLE, settings):
        rows = read_rows(folder / TABLE)
        for run in wanted:
            if run.name in rows and rows[run.name]["settings"] != run.digest():
                raise ValueError(f"{folder / TABLE} has {run.name} of other settings; {ADVICE.split(' or ')[-1]}")
        missing = [run for run in wanted if run.name not in rows]
        work = partial(train_and_measure, study, os.fspath(data), folder, device=device, precision=precision)
        with Bar("runs", len(wanted), "runs", progress, len(wanted) - len(missing), overall=True) as bar:
            for row in _done(work, missing, client, progress):
                rows[row["run"]] = row
                bar.update()
                write_tables(study, folder, table_of(study, rows.values()))
    return table_of(study, rows.values())


def levels(study: Study, scale: str) -> str:
    """Levels of each factor at a scale, in a line."""
    runs = study.runs(scale, [0])
    found = ((factor, dict.fromkeys(run.factors[factor] for run in runs)) for factor in study.factors)
    return "; ".join(f"{factor}: {', '.join(values)}" for factor, values in found)


def table_of(study: Study, rows: Iterable[Row]) -> pd.DataFrame:
    """Return the table of some rows, with what compares runs with each other."""
    table = pd.DataFrame(rows)
    return table if study.derive is None or table.empty else study.derive(table)


def place_of(data: str | os.PathLike[str], run: Run) -> Path:
    """Place of a run's data: all of them, or the file of its part."""
    return Path(data, f"{run.part}.npz") if run.part else Path(data)


def read_rows(path: Path) -> dict[str, Row]:
    """Rows of a table of runs by name; none if there is no table."""
    if not path.exists():
        return {}
    text = {"settings": str, "part": str}
    table = pd.read_csv(path, dtype=text, float_precision="round_trip").fillna({"part": ""})
    return {row["run"]: row for row in table.to_dict("records")}


def write_tables(study: Study, folder: Path, runs: pd.DataFrame) -> None:
    """Write the table of runs, its summary and the verdicts."""
    for name, table in ((TABLE, runs), ("summary.csv", summary(study, runs)), ("claims.csv", verdicts(study, runs))):
        write_atomically(folder / name, partial(table.to_csv, index=False, lineterminator="\n"))


def train_and_measure(
    study: Study, data: str, folder: Path, run: Run, *, device: str, precision: str, quiet: bool
) -> Row:
    """Train one run and measure it; a training that was stopped is continued.

    Returns
    -------
    dict
        Its row.
    """
    begin = time.perf_counter()
    found = load_data(place_of(data, run), run.recipe, progress=False, hold_out=run.hold_out)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(run.seed)
        model = create(run.network, classes=run.recipe.classes, **run.options)
    if device == "cpu":
        model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    training = train_network(
        run.recipe,
        found,
        folder / "runs" / run.name,
        network=model,
        name=run.name,
        seed=run.seed,
        device=device,
        precision=precision,
        progress=not quiet,
    )
    metrics = dict(study.measure(training.model, found))
    about = {"run": run.name, **run.factors, "seed": run.seed, "part": run.part}
    hours = sum(row["seconds"] for row in training.rows) / 3600
    spent = max(hours, (time.perf_counter() - begin) / 3600)
    return {**about, **metrics, "epochs": len(training.rows), "hours": round(spent, 4), "settings": run.digest()}


def _done(work: Callable[..., Row], runs: Iterable[Run], client: Client | None, progress: bool) -> Iterator[Row]:
    if client is None:
        for run in runs:
            yield work(run, quiet=not progress)
        return
    from distributed import as_completed

    for future in as_completed([client.submit(work, run, quiet=True, pure=False) for run in runs]):
        yield future.result()
