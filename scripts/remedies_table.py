"""One table of what every remedy costs and gives in a network without retraining.

    python -m scripts.remedies_table [FOLDER]

Merges in FOLDER stability.csv (of ``shiftscope stability``), accuracy.csv (of ``scripts.remedies_accuracy``) and
time.csv (of ``scripts.remedies_time``) into remedies.csv, and prints it in Markdown. The accuracies are those of
accuracy.csv, which are of more photographs. Percent; NAME_se is the standard error of NAME over photographs.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

from scripts.remedies_accuracy import UNTRAINED

FOLDER = Path(__file__).resolve().parents[1] / "results" / "remedies" / "squeezenet"
ACCURACY = (
    *("top1", "top1_se", "top5", "ten_top1", "ten_top1_se", "ten_top5"),
    *("accuracy_lost", "accuracy_lost_se", "same_answer"),
)
STABILITY = (
    *("flips_avoided", "flips_avoided_se", "mfr", "flips_1px", "flips_1px_se"),
    *("consistency", "variation", "mac", "worst"),
)
TIMES = {
    "channels last": "ms_channels_last",
    "channels first": "ms_channels_first",
    "added %, channels last": "time_added_channels_last",
    "added %, channels first": "time_added_channels_first",
}
SHOWN = {
    "top1": "top-1 %",
    "accuracy_lost": "accuracy lost",
    "flips_avoided": "flips avoided %",
    "flips_1px": "flips, 1 px %",
    "consistency": "consistency %",
    "time_added_channels_last": "time added %, channels last",
    "time_added_channels_first": "channels first",
    "until_trained": "until trained",
}


def merged(stability: pd.DataFrame, accuracy: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """One row a remedy that any of the three tables has; what is not measured is empty.

    Names are told apart by what stands before a colon, behind which a remedy names its layers.
    """
    parts = [
        stability.reindex(columns=[name for name in STABILITY if name in stability]),
        accuracy.reindex(columns=[name for name in ACCURACY if name in accuracy]),
        times.rename(columns=TIMES).reindex(columns=list(TIMES.values())),
    ]
    for part in parts:
        part.index = part.index.str.partition(":").get_level_values(0)
        if not part.index.is_unique:
            raise ValueError(f"{part.index[part.index.duplicated()][0]!r} has more than one row; expected one a remedy")
    order = list(dict.fromkeys(name for part in parts for name in part.index))
    rows = pd.concat([part.reindex(order) for part in (parts[1], parts[0], parts[2])], axis=1)
    rows["until_trained"] = [f"= {UNTRAINED[name]}" if name in UNTRAINED else "" for name in order]
    return rows.rename_axis("remedy")


def as_markdown(rows: pd.DataFrame) -> str:
    """Main columns with their standard errors, as a table in Markdown."""
    shown = {name: title for name, title in SHOWN.items() if name in rows}
    lines = [["remedy", *shown.values()], ["---", *["---:"] * len(shown)]]
    lines += [[name, *(cell(row, column) for column in shown)] for name, row in rows.iterrows()]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines) + "\n\n± is the standard error over photographs.\n"


def cell(row: pd.Series, name: str) -> str:
    """Render a value and its standard error, if it has one."""
    value, error = row[name], row.get(f"{name}_se", np.nan)
    if isinstance(value, str):
        return value
    if not np.isfinite(value):
        return ""
    return f"{value:.1f} ± {error:.1f}" if np.isfinite(error) and error else f"{value:.1f}"


def main(given: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.remedies_table", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=FOLDER)
    folder = parser.parse_args(given).folder
    files = [folder / f"{name}.csv" for name in ("stability", "accuracy", "time")]
    if missing := [str(file) for file in files if not file.is_file()]:
        parser.error(f"no such file: {', '.join(missing)}")
    rows = merged(*(pd.read_csv(file, index_col=0) for file in files))
    rows.to_csv(folder / "remedies.csv", float_format="%.6g")
    print(as_markdown(rows))


if __name__ == "__main__":
    main()
