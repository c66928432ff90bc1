"""Results as JSON files, and how a run compares with an older one."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks.machine import slug
from benchmarks.tables import SPREAD, Table, number

FOLDER = Path(__file__).parent / "history"
REPORT = ("date", "quick", "machine", "tables")
MACHINE = ("cpu", "cores", "threads", "system", "python", "blas", "versions", "commit")
SLOWER = 1.1  # more than this many times the older figure is worth a word


def make_report(tables: list[Table], machine: dict[str, Any], settings: dict[str, Any], quick: bool) -> dict[str, Any]:
    return {
        "date": date.today().isoformat(),
        "quick": quick,
        "machine": machine,
        "settings": settings,
        "tables": [asdict(table) for table in tables],
    }


def save(report: dict[str, Any], folder: Path, device: str) -> Path:
    """Write a report into a new file, named by its date and a CPU or another device."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{report['date']}-{slug(device)}" + ("-quick" if report["quick"] else "")
    path, number_of_run = folder / f"{name}.json", 1
    while path.exists():
        number_of_run += 1
        path = folder / f"{name}-{number_of_run}.json"
    path.write_text(json.dumps(report, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return path


def load(path: Path) -> dict[str, Any]:
    """Read a report; ValueError, in one line, if the file is none."""
    try:
        report = json.loads(path.read_text(encoding="utf-8"))
        tables_of(report)
        missing = {*REPORT} - {*report} or {*MACHINE} - {*report["machine"]}
        if missing:
            raise KeyError(min(missing))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(f"{path} is no file of benchmarks/history: {error}") from error
    return report


def tables_of(report: dict[str, Any]) -> list[Table]:
    return [Table(**fields) for fields in report["tables"]]


def compare(new: dict[str, Any], old: dict[str, Any]) -> tuple[str, list[str]]:
    """Ratio of each figure to the older one, as text, and the names of those that are slower."""
    older = {table.name: table for table in tables_of(old)}
    lines, slower = [f"Compared with {old['date']} ({old['machine'].get('commit') or 'no commit'}): new / old"], []
    lines += [
        f"  note: {key} was {old['machine'].get(key)}, is {new['machine'].get(key)}"
        for key in ("cpu", "device", "threads", "blas", "versions")
        if old["machine"].get(key) != new["machine"].get(key)
    ]
    if old["quick"] != new["quick"]:
        lines.append("  note: one of the two is a quick run")
    alone = 0
    for table in tables_of(new):
        before = older[table.name].figures if table.name in older else {}
        for job, figure in table.figures.items():
            if not before.get(job):
                alone += 1
                continue
            ratio = figure / before[job]
            if ratio > SLOWER:
                slower.append(f"{table.name}: {job}")
            flag = f"  WORSE BY MORE THAN {100 * (SLOWER - 1):.0f} %" if ratio > SLOWER else ""
            if flag and job in table.columns.get(SPREAD, {}):
                flag += f" (± {table.columns[SPREAD][job]:.0f} %)"
            lines.append(
                f"  {table.name}: {job}: {number(figure)} / {number(before[job])} {table.unit} = {ratio:.2f}{flag}"
            )
    lines.append(f"  {len(slower)} figures more than {100 * (SLOWER - 1):.0f} % above the older ones; {alone} are new")
    return "\n".join(lines) + "\n", slower
