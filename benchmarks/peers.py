"""This project's work beside its peers', on one thread and on several, with what the machine could do at most."""

from __future__ import annotations

import functools
import sys
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

import wavelets
from benchmarks import limits
from benchmarks.peer_jobs import GROUPS, Group, Work
from benchmarks.settings import Settings
from benchmarks.tables import Table
from benchmarks.timing import Job, Times, cpu_times, measure
from wavelets import DualTreePackets2D

NOTES = {
    "(*)": "other coefficients than ours: dtcwt and pytorch_wavelets split the low-pass band only, 6 bands a level, "
    "and do less; kymatio averages the moduli of about as many filters, and does more.",
    "(**)": "the single-quadrant signal of complex numbers, by as many transforms of Fourier.",
}


def jobs_of(work: Work, groups: Sequence[Group] = GROUPS) -> tuple[dict[tuple[str, str], Job], dict[str, str]]:
    """All jobs that run here, by group and name, and why the others do not."""
    jobs: dict[tuple[str, str], Job] = {}
    skipped: dict[str, str] = {}
    for group in groups:
        for name, make in group.jobs.items():
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")  # peers may be older than what they stand on
                    job = make(work)
                    job()
            except ImportError as error:
                skipped[label(group.name, name)] = f"cannot be imported: {one_line(error)}"
            except Exception as error:  # a package that does not run here must not cost the others their figures
                skipped[label(group.name, name)] = f"does not run here: {type(error).__name__}: {one_line(error)}"
            else:
                jobs[group.name, name] = job
    return jobs, skipped


def label(group: str, name: str) -> str:
    return f"{group}: {name}"


def one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


@functools.cache
def _blas() -> object:
    from threadpoolctl import ThreadpoolController  # comes with torch's extra

    return ThreadpoolController()


def set_threads(count: int) -> None:
    """Give our own loops, torch and, where threadpoolctl is installed, numpy's matrix products so many threads."""
    wavelets.set_num_threads(count)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(count)
    try:
        _blas().limit(limits=count, user_api="blas")  # type: ignore[attr-defined]
    except ImportError:
        pass


def timed(jobs: dict[tuple[str, str], Job], settings: Settings) -> dict[tuple[str, str, int], Times]:
    """Times of all jobs by group, name and threads, all in the same rounds."""
    on_cpu_clock = settings.clock == "cpu"
    counts = [1] if on_cpu_clock or settings.threads == 1 else [1, settings.threads]
    keys = {f"{label(*key)}, threads: {n}": (*key, n) for key in jobs for n in counts}
    flat = {text: jobs[key[:2]] for text, key in keys.items()}
    clock = cpu_times if on_cpu_clock else measure
    before = wavelets.get_num_threads()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            times = clock(
                flat, settings.rounds, "peers", seconds=settings.seconds, before=lambda text: set_threads(keys[text][2])
            )
    finally:
        set_threads(before)
    return {key: times[text] for text, key in keys.items()}


def rates(times: dict[tuple[str, str, int], Times], sizes: dict[str, float]) -> Table:
    """Table of the machine's limits."""
    found = {f"{name}, threads: {n}": time for (_, name, n), time in times.items()}
    scale = {f"{name}, threads: {n}": 1e12 / sizes[name] for _, name, n in times}
    table = Table.of_times("limits", "What this machine can do at most, float32", "ps", found, scale, main=True)
    table.columns["10^9 a second"] = {job: 1e3 / figure for job, figure in table.figures.items()}
    return table


def peers(settings: Settings) -> list[Table]:
    """One table of all groups and one of the machine's limits, measured together."""
    shape = (settings.batch, settings.side, settings.side)
    images = np.random.default_rng(0).random(shape, dtype=np.float32)
    machine = limits.jobs()
    with ThreadPoolExecutor(settings.threads) as pool:
        work = Work(DualTreePackets2D(settings.levels[0]), images, pool)
        jobs, skipped = jobs_of(work)
        times = timed(jobs | {("limits", name): job for name, (job, _) in machine.items()}, settings)
    limit = rates(
        {key: time for key, time in times.items() if key[0] == "limits"}, {n: s for n, (_, s) in machine.items()}
    )
    return [compared(work, {key: time for key, time in times.items() if key[0] != "limits"}, skipped, limit), limit]


def compared(
    work: Work,
    times: dict[tuple[str, str, int], Times],
    skipped: dict[str, str],
    limit: Table,
    groups: Sequence[Group] = GROUPS,
) -> Table:
    """Table of all jobs: on one thread, over ours, the limits of the group's work, then on all threads."""
    levels, scale = work.transform.levels, 1e3 / len(work.images)
    title = f"J = {levels}, {len(work.images)} images of {work.side}x{work.side}, float32, one thread"
    alone = {label(group, name): time for (group, name, n), time in times.items() if n == 1}
    table = Table.of_times(f"peers J={levels}", title, "ms per image", alone, scale, main=True, skipped=skipped)
    least = list(limit.columns["10^9 a second"].values())
    moved, operations = least[0], least[len(least) // 2]  # on one thread
    ours = {group.name: next(iter(group.jobs)) for group in groups}
    columns: dict[str, dict[str, float]] = {}
    for (group, name, n), time in times.items():
        base = times.get((group, ours[group], n), time).median
        job = label(group, name)
        if n > 1:
            columns.setdefault(f"{n} threads", {})[job] = scale * time.median
        columns.setdefault("times ours" if n == 1 else f"times ours, {n} threads", {})[job] = time.median / base
    for one in groups:
        cost, job = one.cost(work), label(one.name, ours[one.name])
        columns.setdefault("limit: memory", {})[job] = 1e-6 * cost.bytes / moved
        columns.setdefault("limit: arithmetic", {})[job] = 1e-6 * cost.multiply_adds / operations
    order = sorted(columns, key=lambda heading: (heading != "times ours", "thread" in heading))
    table.columns |= {heading: columns[heading] for heading in order}
    table.notes = [f"{mark} {note}" for mark, note in NOTES.items() if any(job.endswith(mark) for job in table.figures)]
    return table
