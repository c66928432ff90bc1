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

QUIET = 0.1  # cores that other processes may use
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
    others: dict[str, float | None] = {}
    try:
        for name in options.only:
            neighbours = machine.Neighbours()
            found = RUN[name](settings)
            others[name] = neighbours.cores()
            if text := rendered(found, options.markdown):
                print(text, flush=True)
            if warning := crowded({name: others[name]}):
                print(f"{warning}\n", flush=True)
            tables += found
    finally:
        wavelets.set_num_threads(before)
    report["tables"] = [asdict(table) for table in tables]
    report["cores_used_by_others"] = others
    path = history.save(report, options.history, described["cpu"])
    print(f"saved as {path}")
    return report


def show(report: dict[str, Any], markdown: bool) -> None:
    """Print a report that was measured earlier."""
    print(f"{header(report)}\n\n{RULE}\n")
    print(rendered(history.tables_of(report), markdown))
    if warning := crowded(report.get("cores_used_by_others", {})):
        print(warning)


def crowded(others: dict[str, float | None]) -> str:
    """Warn of sections during which the machine was not quiet; empty if it was."""
    busy = [f"{name}: {cores:.1f}" for name, cores in others.items() if cores and cores > QUIET]
    return (
        f"WARNING: other processes were busy, times and ratios mean little (cores they used: {', '.join(busy)})"
        * bool(busy)
    )
