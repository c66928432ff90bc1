"""Run sections, print their tables, keep them, and compare them with older ones."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import wavelets
from benchmarks import history, machine
from benchmarks.cold_start import cold_start
from benchmarks.memory import memory
from benchmarks.peers import peers
from benchmarks.pipeline import experiment, files
from benchmarks.scaling import scaling
from benchmarks.settings import SECTIONS, Settings, available_cores
from benchmarks.tables import Table, as_markdown, as_text
from benchmarks.timing import RULE

RUN: dict[str, Callable[[Settings], list[Table]]] = dict(
    zip(SECTIONS, (peers, scaling, experiment, files, memory, cold_start), strict=True)
)


def header(report: dict[str, Any]) -> str:
    where = report["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in where["versions"].items())
    return (
        f"{where['cpu']}, {where['threads']} threads of {where['cores']} cores, {where['system']}, "
        f"Python {where['python']}, {versions}; BLAS {where['blas']}; commit {where['commit'] or 'unknown'}; "
        f"{report['date']}{', a quick run' if report['quick'] else ''}"
    )


def rendered(tables: list[Table], markdown: bool) -> str:
    shown = [table for table in tables if table.main and table.figures] if markdown else tables
    return "\n".join((as_markdown if markdown else as_text)(table) for table in shown)


def run(options: argparse.Namespace, settings: Settings) -> dict[str, Any]:
    """Measure, print and save what the options ask for; return the report."""
    before = wavelets.get_num_threads()
    wavelets.set_num_threads(settings.threads)
    described = machine.describe(settings.threads, available_cores())
    report = history.make_report([], described, asdict(settings), options.quick)
    print(f"{header(report)}\n\n{RULE}\n")
    tables: list[Table] = []
    try:
        for name in options.only:
            found = RUN[name](settings)
            if text := rendered(found, options.markdown):
                print(text, flush=True)
            tables += found
    finally:
        wavelets.set_num_threads(before)
    report["tables"] = [asdict(table) for table in tables]
    path = history.save(report, options.history, described["cpu"])
    print(f"saved as {path}")
    return report


def show(report: dict[str, Any], markdown: bool) -> None:
    """Print a report that was measured earlier."""
    print(f"{header(report)}\n\n{RULE}\n")
    print(rendered(history.tables_of(report), markdown))
