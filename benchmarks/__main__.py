"""Time the transforms and the heatmap experiment beside their peers, print tables and keep them: `make bench`."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

from benchmarks.settings import QUICK, SECTIONS, Settings, available_cores

THREADS = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


def positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)


def sections(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    if unknown := [name for name in names if name not in SECTIONS]:
        raise argparse.ArgumentTypeError(f"unknown section {unknown[0]!r}; expected some of {', '.join(SECTIONS)}")
    if not names:
        raise argparse.ArgumentTypeError(f"no section; expected some of {', '.join(SECTIONS)}")
    return [name for name in SECTIONS if name in names]


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        epilog="A full run takes about ten minutes; close what else runs on the machine. "
        "Where peers are not installed, or need an older numpy, their reasons are printed.",
    )
    parser.add_argument("--quick", action="store_true", help="about a minute, for a first impression")
    parser.add_argument(
        "--only", type=sections, default=list(SECTIONS), help=f"some of {','.join(SECTIONS)}", metavar="A,B"
    )
    parser.add_argument("--threads", type=positive, default=available_cores(), help="by default all cores")
    parser.add_argument(
        "--clock", choices=["wall", "cpu"], help="cpu: peers, and parts of `files`, by processor time of one thread"
    )
    parser.add_argument("--rounds", type=positive, help="interleaved repetitions of every job")
    parser.add_argument("--files", type=positive, help="JPEG files that are made and measured")
    parser.add_argument("--markdown", action="store_true", help="the main tables, in Markdown")
    parser.add_argument("--compare", type=Path, metavar="OLD.json", help="ratio of each figure to those of this file")
    parser.add_argument("--show", type=Path, metavar="FILE.json", help="measure nothing, take this file's tables")
    parser.add_argument("--history", type=Path, help="folder of the results, by default benchmarks/history")
    return parser


def main(arguments: list[str] | None = None, settings: Settings | None = None) -> int:
    options = parser().parse_args(arguments)
    if "numpy" not in sys.modules:  # BLAS reads this once, when it is loaded
        os.environ.update(dict.fromkeys(THREADS, str(options.threads)))
    from benchmarks import history, suite

    options.history = options.history or history.FOLDER
    try:
        old = options.compare and history.load(options.compare)
        shown = options.show and history.load(options.show)
    except ValueError as error:
        parser().error(str(error))
    if shown:
        report = shown
        suite.show(report, options.markdown)
    else:
        settings = settings or Settings()
        if options.quick:
            settings = replace(settings, **QUICK)
        chosen = {name: getattr(options, name) for name in ("threads", "clock", "rounds", "files")}
        settings = replace(settings, **{name: value for name, value in chosen.items() if value})
        report = suite.run(options, settings)
    if old:
        text, _ = history.compare(report, old)
        print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
