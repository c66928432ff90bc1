"""The heatmap experiment: on pictures in memory, and from JPEG files on disk."""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import wavelets
from analysis import bundled_crops, heatmaps, load_pictures, packet_experiment, packet_pool, save
from analysis.measurements.packet_sums import packet_sums
from analysis.measurements.shift_experiment import sums_of_maps
from analysis.measurements.translation import margin_for, windows
from benchmarks import child
from benchmarks.photographs import write_photographs
from benchmarks.settings import Settings
from benchmarks.tables import Table
from benchmarks.timing import Job, Times, cpu_times, measure, summary
from wavelets import DualTreePackets2D

SHIFTS = [(0, 1)]  # one pixel to the right: two passes of the transform, RMax and CMod
IMAGENET = 50_000  # pictures of its validation set


def experiment(settings: Settings) -> list[Table]:
    """Fused, and built from maps of whole images, on the same pictures."""
    crops = [crop.pixels for crop in bundled_crops(settings.side)]
    pictures = np.stack([crops[n % len(crops)] for n in range(settings.batch)])
    jobs: dict[str, Job] = {}
    for levels in settings.levels:
        t = DualTreePackets2D(levels, stride=2 ** (levels - 1))
        fused = packet_experiment(levels, shifts=SHIFTS, size=settings.side)
        naive = replace(fused, operators=partial(sums_of_maps, partial(packet_pool, t)))
        both = [windows(pictures, shift, margin_for(SHIFTS)) for shift in [(0, 0), *SHIFTS]]
        jobs[f"J = {levels}, fused (packet_sums)"] = lambda e=fused: e.measure(pictures)
        jobs[f"J = {levels}, its transforms alone, nothing pooled"] = lambda t=t, b=both: packet_sums(
            t, b, pooling=False
        )
        jobs[f"J = {levels}, with maps (packet_pool)"] = lambda e=naive: e.measure(pictures)
    times = measure(jobs, settings.rounds, "experiment", seconds=settings.seconds)
    title = f"Heatmap experiment, one shift, {settings.batch} pictures of {settings.side}x{settings.side} in memory"
    table = Table.of_times("experiment", title, "ms per image", times, 1e3 / settings.batch, main=True)
    ratio: dict[str, float] = {}
    for fused, *others in zip(*[iter(times)] * 3, strict=True):
        ratio |= {job: times[job].median / times[fused].median for job in (fused, *others)}
    table.columns["times the fused one"] = ratio
    return [table]


def run_folder(folder: str, count: int | None, levels: int, size: int) -> dict[str, Any]:
    """Measure the first files of a folder, or all; called in a process of its own."""
    paths = sorted(Path(folder).iterdir())
    images: Any = folder if count is None else paths[:count]
    given: dict[str, Any] = {"levels": levels, "shifts": SHIFTS, "size": size, "progress": False}
    heatmaps(paths[:1], **given)  # loads the machine code: a cost of the start, not of an image
    begin = time.perf_counter()
    ds = heatmaps(images, **given)
    seconds = time.perf_counter() - begin
    # Where the time went, if the experiment reports it.
    parts = {name: float(value) for name, value in ds.attrs.items() if name.startswith("seconds")}
    try:
        peak = child.memory("VmHWM")
    except OSError:
        peak = None
    return {"seconds": seconds, "images": int(ds.attrs["images_used"]), "parts": parts, "peak": peak}


def apart(settings: Settings, folder: Path) -> Table:
    """Reading, computing, writing and drawing, each alone on one thread."""
    from analysis.plots import overview_figure

    paths, levels, side = sorted(folder.iterdir())[: settings.batch], settings.levels[0], settings.side
    pictures = np.stack([picture.pixels for picture in load_pictures(paths, side)])
    experiment = packet_experiment(levels, shifts=SHIFTS, size=side)
    result = heatmaps(paths, levels=levels, shifts=SHIFTS, size=side, progress=False)
    jobs: dict[str, tuple[Job, int]] = {
        "reading an image": (lambda: list(load_pictures(paths, side)), len(paths)),
        "computing, an image": (lambda: experiment.measure(pictures), len(paths)),
        "writing the results": (lambda: save(result, folder.parent / "results.nc"), 1),
        "drawing their figure": (lambda: overview_figure(result).savefig(folder.parent / "figure.png"), 1),
    }
    clock, before = cpu_times if settings.clock == "cpu" else measure, wavelets.get_num_threads()
    wavelets.set_num_threads(1)
    try:
        times = clock(
            {name: job for name, (job, _) in jobs.items()}, settings.rounds, "apart", seconds=settings.seconds
        )
    finally:
        wavelets.set_num_threads(before)
    scale = {name: 1e3 / count for name, (_, count) in jobs.items()}
    return Table.of_times("files, apart", f"Each alone, one thread, J = {levels}", "ms", times, scale, main=True)


def files(settings: Settings) -> list[Table]:
    """From a folder of JPEG files, each run in a process of its own, files in the system's cache."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = f"{temporary}/pictures"
        Path(folder).mkdir()
        average = write_photographs(Path(folder), settings.files) / settings.files
        given = {"folder": folder, "levels": settings.levels[0], "size": settings.side}
        child.call(run_folder, settings.threads, count=1, **given)  # compiles, if need be
        runs = [child.call(run_folder, settings.threads, count=None, **given) for _ in range(settings.file_runs)]
        few = [child.call(run_folder, settings.threads, count=n, **given) for n in {settings.files // 4} - {0}]
        alone = apart(settings, Path(folder))
    per_image = [run["seconds"] / run["images"] for run in runs]
    label = f"heatmaps(folder), J = {given['levels']}, one shift"
    title = f"Heatmap experiment from {settings.files} JPEG files of 500x375, {average / 1e3:.0f} kB each"
    table = Table.of_times("files", title, "ms per image", {label: summary(per_image)}, 1e3, main=True)
    table.columns[f"minutes for {IMAGENET}"] = {label: IMAGENET * summary(per_image).median / 60}
    table.notes.append(
        f"Median of {len(runs)} runs, each in a new process after a first picture; the files were cached."
    )
    tables = [table, alone]
    if names := list(runs[0]["parts"]):
        spent: dict[str, Times] = {
            name.removeprefix("seconds_"): summary([run["parts"][name] / run["images"] for run in runs])
            for name in names
        }
        parts = Table.of_times(
            "files, parts", "Where the time goes, as reported by the run", "ms per image", spent, 1e3
        )
        parts.notes.append("Parts overlap where several threads work: they add up to more than the time that passes.")
        tables.append(parts)
    peak = Table("files, memory", "Peak memory of the whole process", "MB", main=True)
    for run in (*few, *runs):
        name = f"{run['images']} files"
        if run["peak"] is None:
            peak.skipped[name] = "memory is read from /proc, which this system does not have"
        else:
            peak.figures[name] = max(peak.figures.get(name, 0.0), run["peak"] / child.MB)
    return [*tables, peak]
