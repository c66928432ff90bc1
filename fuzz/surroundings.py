"""Runs where the surroundings are poor: ``python -m fuzz.surroundings [PART ...]``.

Several processes with several threads each on a cold or damaged cache of compiled code; a user without a home who may
write nowhere but to the results; terminals without letters and pipes that are closed. All runs give the same numbers.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from tqdm import tqdm

from fuzz.kills import commands, materials, results

ROOT = Path(__file__).resolve().parents[1]
NOBODY = 65534
PARTS = ("cache", "output", "user")


# Another user, who may read everything, also an interpreter in the folder of root, but write nothing.
AS_NOBODY = [
    *("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
]


def begin(
    arguments: list[str],
    out: Path,
    settings: Mapping[str, str],
    prefix: Sequence[str] = (),
    output: int = subprocess.PIPE,
) -> subprocess.Popen[bytes]:
    """Start a command with so few variables of its environment."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"} | dict(settings)
    return subprocess.Popen(
        [*prefix, sys.executable, "-m", "analysis", *arguments, "--out", str(out)],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        env=environment,
        cwd="/",
    )


def closed_pipe() -> int:
    """Return a pipe that nobody reads."""
    read, write = os.pipe()
    os.close(read)
    return write


def together(name: str, runs: list[tuple[subprocess.Popen[bytes], Path]], wanted: dict[str, object] | None) -> bool:
    """Wait for all runs, and say how many ended with the numbers that are wanted."""
    right = 0
    for process, out in runs:
        _, errors = process.communicate()
        found = results(out) if process.returncode == 0 else None
        if found is not None and (wanted is None or found == wanted):
            right += 1
        else:
            tqdm.write(f"{name}: exit code {process.returncode}: {(errors or b'').decode(errors='replace')[-300:]}")
    tqdm.write(f"{name}: {right} of {len(runs)} runs are right")
    return right == len(runs)


def damage(cache: Path, how: int) -> int:
    """Spoil every file of compiled code, and return how many there are."""
    files = [path for path in cache.rglob("*") if path.suffix in (".nbi", ".nbc")]
    for path in files:
        content = path.read_bytes()
        path.write_bytes([b"", content[: len(content) // 2], b"\0" * len(content)][how])
    return len(files)


def main() -> int:
    """Return 0 if all runs gave the same numbers, else 1."""
    parser = argparse.ArgumentParser(prog="python -m fuzz.surroundings", description=__doc__)
    parser.add_argument("parts", nargs="*", default=PARTS, metavar="part", help=f"by default {', '.join(PARTS)}")
    parts = parser.parse_args().parts
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        folder.chmod(0o755)
        materials(folder)
        arguments = [*commands(folder)["kernels"], "--limit", "16"]
        fine = True

        def some(
            name: str,
            count: int,
            settings: Mapping[str, str],
            prefix: Sequence[str] = (),
            output: int = subprocess.PIPE,
        ) -> bool:
            outs = [folder / f"out-{name}-{number}".replace(" ", "-") for number in range(count)]
            for out in outs if prefix else ():
                out.mkdir()
                shutil.chown(out, NOBODY)
            return together(name, [(begin(arguments, out, settings, prefix, output), out) for out in outs], wanted)

        wanted = None
        fine &= some("alone", 1, {})
        wanted = results(folder / "out-alone-0")
        for threads in (1, 4) if "cache" in parts else ():
            cache = folder / f"cache{threads}"
            settings = {"NUMBA_CACHE_DIR": str(cache), "NUMBA_NUM_THREADS": str(threads)}
            fine &= some(f"cold cache, {threads} threads", 4, settings)
            for how in range(3):
                spoiled = damage(cache, how)
                fine &= some(f"cache of {spoiled} files damaged in way {how}, {threads} threads", 2, settings)
        for encoding in ("ascii", "cp1252") if "output" in parts else ():
            fine &= some(f"output in {encoding}", 1, {"PYTHONIOENCODING": encoding, "LC_ALL": "C"})
        if "output" in parts:
            fine &= some("closed pipe", 1, {}, output=closed_pipe())
            with contextlib.suppress(FileNotFoundError):
                fine &= some("output to a full disk", 1, {}, output=os.open("/dev/full", os.O_WRONLY))
        if "user" in parts and os.geteuid() == 0 and shutil.which("setpriv"):
            fine &= some("a user without a home", 2, {}, AS_NOBODY)
            fine &= some(
                "a user without a home, nowhere to write", 1, {"HOME": "/nonexistent", "TMPDIR": "/proc"}, AS_NOBODY
            )
        elif "user" in parts:
            tqdm.write("a user without a home: not tried, which takes root and setpriv")
    return int(not fine)


if __name__ == "__main__":
    sys.exit(main())
