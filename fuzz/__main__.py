"""Run the targets for a fixed number of executions, and say what they found."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TARGETS = ("fuzz_images", "fuzz_checkpoints")
FOUND = Path(__file__).parent / "found"
MEMORY = "/dev/shm"  # one file a thousand times a second is nothing for a disk
LIMITS = ("-timeout=20", "-rss_limit_mb=3000", "-max_len=8192")


def main() -> int:
    """Return 0 if nothing was found, else 1."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="target", help=f"by default {' and '.join(TARGETS)}")
    parser.add_argument("--runs", type=int, default=200_000, help="executions, shared among the targets")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations")
    options = parser.parse_args()
    targets = options.targets or TARGETS
    if unknown := set(targets) - set(TARGETS):
        parser.error(f"unknown targets {', '.join(sorted(unknown))}; known: {', '.join(TARGETS)}")
    share, rest = divmod(options.runs, len(targets))
    failed = 0
    for number, target in enumerate(targets):
        failed += run(target, share + (number < rest), options.seed)
    return int(failed > 0)


def run(target: str, runs: int, seed: int) -> bool:
    """Execute one target, from seeds that are made anew; whether it found something."""
    FOUND.mkdir(exist_ok=True)
    before = set(FOUND.iterdir())
    with tempfile.TemporaryDirectory(dir=MEMORY if os.path.isdir(MEMORY) else None) as scratch:
        corpus, count, log = (Path(scratch, name) for name in ("corpus", "count", "log"))
        corpus.mkdir()
        count.write_bytes(bytes(8))
        for name, data in importlib.import_module(f"fuzz.{target}").seeds().items():
            (corpus / name).write_bytes(data)
        command = [sys.executable, "-m", f"fuzz.{target}", str(corpus), f"-runs={runs}", f"-seed={seed}", *LIMITS]
        start = time.perf_counter()
        with open(log, "wb") as messages:  # decoders print there; the progress line is standard output
            finished = subprocess.run(
                [*command, f"-artifact_prefix={FOUND}{os.sep}"],
                env=os.environ | {"SHIFTSCOPE_FUZZ_COUNT": str(count), "TMPDIR": scratch},
                stderr=messages,
                check=False,
            )
        seconds = time.perf_counter() - start
        tail = log.read_text(errors="replace").splitlines()[-20:]
        executed = int.from_bytes(count.read_bytes(), "little")
    found = sorted(set(FOUND.iterdir()) - before)
    failed = finished.returncode != 0 or bool(found)
    print(f"\n{target}: {executed} executions in {seconds:.0f} s ({executed / seconds:.0f}/s), ", end="")
    print(f"stopped with exit code {finished.returncode}" if failed else "nothing found")
    if failed:
        print(*tail, sep="\n")
    for path in found:
        print(f"  reproduce: python -m fuzz.{target} {os.path.relpath(path)}")
    return failed


if __name__ == "__main__":
    if importlib.util.find_spec("atheris") is None:
        sys.exit("fuzzing needs atheris, which has wheels for Linux on x86-64: pip install -e '.[fuzz]'")
    sys.exit(main())
