"""Medians of interleaved repetitions.

A round runs every job once, in an order drawn anew. A job's turn is a pause, untimed calls, then timed calls: the
threads of BLAS and OpenMP go on spinning for some 30 ms after their work and would take a core from the next job, and
the first calls after a pause, on a core that slept and with caches that others filled, take up to twice as long. What
is reported is the median of all timed calls of all rounds. So what slows the whole machine for a while slows all jobs
alike, and ratios are steadier than times.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

RULE = (
    "Medians of interleaved repetitions: in every round each job has its turn, in random order; "
    "a turn is a pause, untimed calls, then timed calls."
)
CPU_RULE = (
    "Medians of processor time of one thread: in every round each job runs once, in random order; before the first "
    "round each runs untimed."
)
PAUSE = 0.05  # seconds: longer than idle BLAS and OpenMP threads spin
WARM = 0.02  # seconds of untimed calls, and one call at least
MOST_CALLS = 20
SLOW = 0.5  # seconds: a job of such calls warms itself up, has one call a turn, and a turn in every fifth round only

Job = Callable[[], object]


class Times(NamedTuple):
    """Seconds of a call: the median, and the quartiles."""

    median: float
    low: float
    high: float


def nothing(*_: object) -> None:
    """Do nothing before a job, or after it."""


def measure(
    jobs: dict[str, Job],
    rounds: int,
    desc: str = "rounds",
    *,
    seconds: float = 0.1,
    wait: Job = nothing,
    pause: float = PAUSE,
    before: Callable[[str], None] = nothing,
) -> dict[str, Times]:
    """Time jobs as the module says; `wait` returns when a device is done, `before` makes ready for a job's turn."""
    calls = {}
    for name, job in jobs.items():
        before(name)
        call(job, wait)  # compile, make plans
        calls[name] = min(max(int(seconds / max(call(job, wait), 1e-9)), 1), MOST_CALLS)
    slow = {name for name in jobs if calls[name] == 1 and call(jobs[name], wait) > SLOW}
    order = np.random.default_rng(0)
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for number in tqdm(range(rounds), desc=desc, disable=None):
        for name in order.permutation(list(jobs)).tolist():
            if name in slow and number % 5:
                continue
            before(name)
            time.sleep(pause)
            begin = time.perf_counter()
            while name not in slow:
                call(jobs[name], wait)
                if time.perf_counter() - begin > WARM:
                    break
            times[name] += [call(jobs[name], wait) for _ in range(calls[name])]
    return {name: summary(values) for name, values in times.items()}


def cpu_times(
    jobs: dict[str, Job],
    rounds: int,
    desc: str = "rounds",
    *,
    seconds: float = 0.0,
    before: Callable[[str], None] = nothing,
) -> dict[str, Times]:
    """Seconds of processor time, which other processes of a busy machine disturb less than a clock.

    A job's turn is one call, or as many as fill `seconds`, after an untimed one.
    """
    order = np.random.default_rng(0)
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for name, job in jobs.items():
        before(name)
        job()
    for _ in tqdm(range(rounds), desc=desc, disable=None):
        for name in order.permutation(list(jobs)).tolist():
            before(name)
            if seconds:
                jobs[name]()
            turn = [call(jobs[name], clock=time.process_time)]
            while sum(turn) < seconds and len(turn) < MOST_CALLS:
                turn.append(call(jobs[name], clock=time.process_time))
            times[name] += turn
    return {name: summary(values) for name, values in times.items()}


def call(job: Job, wait: Job = nothing, clock: Callable[[], float] | None = None) -> float:
    """Seconds of one call, by the wall clock or another."""
    clock = clock or time.perf_counter
    wait()
    begin = clock()
    job()
    wait()
    return clock() - begin


def summary(values: list[float]) -> Times:
    low, median, high = np.percentile(values, [25, 50, 75]).tolist()
    return Times(median, low, high)
