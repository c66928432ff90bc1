"""A table of costs: what sections return, what is printed and what is kept."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from benchmarks.timing import Times

Column = dict[str, float]
SPREAD = "± %"  # half of the range between the quartiles


@dataclass
class Table:
    """Costs of several jobs, less being better, and what follows from them."""

    name: str  # the key by which files are compared
    title: str
    unit: str
    figures: Column = field(default_factory=dict)  # by job
    columns: dict[str, Column] = field(default_factory=dict)  # further ones, by heading
    skipped: dict[str, str] = field(default_factory=dict)  # reasons, by job
    notes: list[str] = field(default_factory=list)
    main: bool = False  # whether a summary shows it

    @classmethod
    def of_times(
        cls, name: str, title: str, unit: str, times: dict[str, Times], scale: Column | float, **more: Any
    ) -> Table:
        """Make a table of times in seconds, each times its scale, with their spread."""
        table = cls(name, title, unit, **more)
        for job, time in times.items():
            factor = scale[job] if isinstance(scale, dict) else scale
            table.figures[job] = time.median * factor
        table.columns[SPREAD] = {job: 50 * (t.high - t.low) / max(t.median, 1e-9) for job, t in times.items()}
        return table

    def add_ratio(self, heading: str, base: str | float) -> None:
        """Add a column: figures over that of one job, or over a number."""
        over = self.figures[base] if isinstance(base, str) else base
        self.columns[heading] = {job: figure / over for job, figure in self.figures.items()}

    def rows(self, headings: list[str]) -> list[list[str]]:
        """Cells as text, the first row being the head."""
        rows = [["", self.unit, *headings]]
        for job, figure in self.figures.items():
            cells = [number(figure)]
            for heading in headings:
                value = self.columns[heading].get(job)
                cells.append("" if value is None else f"{value:.0f}" if heading == SPREAD else number(value))
            rows.append([job, *cells])
        return rows


def number(value: float) -> str:
    """Three digits that count, without an exponent."""
    size = abs(value)
    decimals = 0 if size >= 99.95 else 1 if size >= 9.995 else 2 if size >= 0.9995 else 3
    return f"{value:.{decimals}f}"


def as_text(table: Table) -> str:
    """Render a table for a terminal, with the reasons of what is skipped."""
    rows = table.rows(list(table.columns)) if table.figures else []
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [table.title]
    for first, *rest in rows:
        cells = [first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(rest, widths[1:], strict=True))]
        lines.append("  " + "  ".join(cells).rstrip())
    lines += [f"  skipped: {job}: {reason}" for job, reason in table.skipped.items()]
    lines += [f"  {note}" for note in table.notes]
    return "\n".join(lines) + "\n"


def as_markdown(table: Table) -> str:
    """Render a table for a README: without the spread and what is skipped."""
    head, *rows = table.rows([heading for heading in table.columns if heading != SPREAD])
    head[0] = table.title
    lines = [f"| {' | '.join(cells)} |" for cells in (head, ["---"] + ["---:"] * (len(head) - 1), *rows)]
    return "\n".join([*lines, *(f"\n{note}" for note in table.notes)]) + "\n"
