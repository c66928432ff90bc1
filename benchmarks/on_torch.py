"""Share what the timings of torch modules have in common: options, device, printing, and the report that is kept."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from benchmarks import history, machine
from benchmarks.settings import available_cores
from benchmarks.tables import Table, as_text
from benchmarks.timing import RULE, Job, Times, measure


def options(module: str, description: str, batch: int, rounds: int) -> argparse.ArgumentParser:
    """Make a parser with the options that all have."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=description.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=batch)
    parser.add_argument("--rounds", type=int, default=rounds, help="interleaved repetitions of every job")
    parser.add_argument("--history", type=Path, default=history.FOLDER, help="folder of the results")
    parser.add_argument("--compare", type=Path, metavar="OLD.json", help="ratio of each figure to those of this file")
    return parser


def times_of(jobs: dict[str, Job], arguments: argparse.Namespace, desc: str) -> dict[str, Times]:
    """Time jobs on the device, which is waited for."""
    wait: Job = torch.cuda.synchronize if arguments.device.startswith("cuda") else lambda: None
    return measure(jobs, arguments.rounds, desc=desc, wait=wait)


def run(
    parser: argparse.ArgumentParser,
    arguments: argparse.Namespace,
    sections: Iterable[Callable[[argparse.Namespace], Table]],
    label: str,
    rule: str = RULE,
    quick: bool = False,
) -> dict[str, Any]:
    """Print the tables of the sections, keep them in a file named by device and label, compare with an older one."""
    try:
        old = arguments.compare and history.load(arguments.compare)
    except ValueError as error:
        parser.error(str(error))
    described = machine.describe(torch.get_num_threads(), available_cores())
    on_gpu = arguments.device.startswith("cuda")
    device = torch.cuda.get_device_name(arguments.device) if on_gpu else described["cpu"]
    print(f"torch {torch.__version__}, {arguments.device} ({device}), float32\n\n{rule}\n")
    tables = []
    for section in sections:
        tables.append(section(arguments))
        print(as_text(tables[-1]), flush=True)
    settings = {name: value for name, value in vars(arguments).items() if name not in ("history", "compare")}
    report = history.make_report(tables, described | {"device": device}, settings, quick)
    print(f"saved as {history.save(report, arguments.history, f'{device} {label}')}")
    if old:
        print(history.compare(report, old)[0])
    return report
