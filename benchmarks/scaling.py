"""Growth of the transform's cost with the side of the images, depth, batch, threads and taps."""

from __future__ import annotations

import time
from collections.abc import Iterable

import numpy as np

import wavelets
from benchmarks.settings import Settings
from benchmarks.tables import Table
from benchmarks.timing import Job, call, measure, summary
from wavelets import DualTreePackets2D
from wavelets.engine.lattice import Lattice


def images_of(batch: int, side: int) -> np.ndarray:
    return np.random.default_rng(0).random((batch, side, side), dtype=np.float32)


def per_pixel(
    settings: Settings, name: str, title: str, cases: Iterable[tuple[str, DualTreePackets2D, np.ndarray]], best: str
) -> list[Table]:
    """Tables of forward and inverse, ns per pixel of the images."""
    jobs: dict[str, Job] = {}
    pixels: dict[str, float] = {}
    for label, t, x in cases:
        c = t.forward(x)
        jobs |= {
            f"forward, {label}": lambda t=t, x=x: t.forward(x),
            f"inverse, {label}": lambda t=t, c=c: t.inverse(c),
        }
        pixels |= {key: 1e9 / x.size for key in list(jobs)[-2:]}
    times = measure(jobs, settings.rounds, name, seconds=settings.seconds)
    tables = []
    for kind in ("forward", "inverse"):
        found = {key.removeprefix(f"{kind}, "): time for key, time in times.items() if key.startswith(kind)}
        scale = {label: pixels[f"{kind}, {label}"] for label in found}
        table = Table.of_times(f"{name}, {kind}", f"{title}: {kind}", "ns per pixel", found, scale)
        table.add_ratio(f"over the {best}", next(iter(found)) if best == "first" else min(table.figures.values()))
        tables.append(table)
    return tables


def by_side(settings: Settings) -> list[Table]:
    levels = settings.levels[0]
    t = DualTreePackets2D(levels)
    cases = []
    for side in settings.sides:
        batch = max(settings.pixels // side**2, 1)
        cases.append((f"{batch} of {side}x{side}", t, images_of(batch, side)))
    return per_pixel(settings, "side", f"Side of the images, J = {levels}, as many pixels a call", cases, "best")


def by_depth(settings: Settings) -> list[Table]:
    images = images_of(settings.batch, settings.side)
    cases = [(f"J = {levels}", DualTreePackets2D(levels), images) for levels in settings.depths]
    return per_pixel(settings, "depth", f"Depth J, {shape_of(settings)}", cases, "best")


def by_batch(settings: Settings) -> list[Table]:
    t = DualTreePackets2D(settings.levels[0])
    cases = [(f"batch {batch}", t, images_of(batch, settings.side)) for batch in settings.batches]
    title = f"Images in a batch, {settings.side}x{settings.side}, J = {t.levels}"
    return per_pixel(settings, "batch", title, cases, "best")


def by_taps(settings: Settings) -> list[Table]:
    images, levels = images_of(settings.batch, settings.side), settings.levels[0]
    cases = []
    for name in settings.banks:
        t = DualTreePackets2D(levels, name)
        plan = t.tables(images.shape[1:], "forward", images.dtype)[0]
        lattices = all(isinstance(filters[0], Lattice) for filters in (plan.first, plan.main))
        taps = f"{t.bank.h1.size} taps" + ("" if lattices else ", first stage no lattice")
        cases.append((f"{name}, {taps}", t, images))
    return per_pixel(settings, "taps", f"Filters, {shape_of(settings)}, J = {levels}", cases, "first")


def by_threads(settings: Settings) -> list[Table]:
    """One thread, two, and so on; a batch shares out its images, a large image its strips."""
    t, before = DualTreePackets2D(settings.levels[0]), wavelets.get_num_threads()
    counts = [n for n in (1, 2, 4, 8, 16, 32, 64) if n < settings.threads] + [settings.threads]
    batch, large = images_of(settings.batch, settings.side), images_of(1, max(settings.sides))

    def job(count: int, work: Job) -> Job:
        def with_threads() -> None:
            wavelets.set_num_threads(count)
            work()

        return with_threads

    works: dict[str, tuple[Job, int]] = {}
    for label, x in ((shape_of(settings), batch), (f"one image of {large.shape[-1]}x{large.shape[-1]}", large)):
        c = t.forward(x)
        works[f"forward, {label}"] = lambda x=x: t.forward(x), x.size
        works[f"inverse, {label}"] = lambda c=c: t.inverse(c), x.size
    jobs = {f"{label}, threads: {n}": job(n, work) for label, (work, _) in works.items() for n in counts}
    try:
        times = measure(jobs, settings.rounds, "threads", seconds=settings.seconds)
    finally:
        wavelets.set_num_threads(before)
    scale = {f"{label}, threads: {n}": 1e9 / size for label, (_, size) in works.items() for n in counts}
    table = Table.of_times("threads", f"Threads, J = {t.levels}", "ns per pixel", times, scale, main=True)
    alone = {name: times[f"{name.rpartition(':')[0]}: 1"] for name in times}  # the same job on one thread
    table.columns["speed-up"] = {name: alone[name].median / time.median for name, time in times.items()}
    return [table]


def by_pause(settings: Settings) -> list[Table]:
    """Calls after a pause, when the system has to find a core for each thread, beside calls in a tight loop."""
    t, images = DualTreePackets2D(settings.levels[0]), images_of(settings.batch, settings.side)
    c = t.forward(images)
    works: dict[str, Job] = {"forward": lambda: t.forward(images), "inverse": lambda: t.inverse(c)}
    times = {}
    for label, work in works.items():
        for pause in settings.pauses:
            found = []
            for _ in range(settings.rounds):
                time.sleep(pause)
                found.append(call(work))
            times[f"{label}, after {1000 * pause:g} ms"] = summary(found)
    title = f"Pauses between calls, {shape_of(settings)}, J = {t.levels}"
    table = Table.of_times("pauses", title, "ms per image", times, 1e3 / settings.batch)
    best = {label: table.figures[f"{label}, after {1000 * settings.pauses[0]:g} ms"] for label in works}
    table.columns["over a tight loop"] = {job: cost / best[job.split(",")[0]] for job, cost in table.figures.items()}
    return [table]


def shape_of(settings: Settings) -> str:
    return f"{settings.batch} images of {settings.side}x{settings.side}"


def scaling(settings: Settings) -> list[Table]:
    return [table for part in (by_side, by_depth, by_batch, by_threads, by_pause, by_taps) for table in part(settings)]
