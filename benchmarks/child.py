"""Call a function in a fresh interpreter, and watch the memory of a process."""

from __future__ import annotations

import contextlib
import ctypes
import importlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.machine import ROOT

STATUS = Path("/proc/self/status")
MB = 1e6


def call(function: Callable[..., Any], threads: int, **arguments: Any) -> Any:
    """Call a function of a module of this package in a process of its own; arguments and result are JSON.

    Raises RuntimeError with the last line of what the process said, if it fails.
    """
    command = [sys.executable, "-m", "benchmarks.child", function.__module__, function.__name__, json.dumps(arguments)]
    environment = os.environ | {"NUMBA_NUM_THREADS": str(threads)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError((done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1])
    return json.loads(done.stdout.splitlines()[-1])


def memory(field: str) -> float:
    """Bytes of this process: "VmRSS", in memory now, or "VmHWM", the most so far.

    Not `resource.getrusage`: on Linux its peak begins with that of the process which started this one.
    """
    if not STATUS.is_file():
        raise OSError("memory is read from /proc, which this system does not have")
    (kilobytes,) = re.findall(rf"^{field}:\s*(\d+) kB", STATUS.read_text(), re.MULTILINE)
    return 1024 * float(kilobytes)


def forget_peak() -> None:
    """Give back what is free, and let "VmHWM" begin again with what is in memory now."""
    with contextlib.suppress(AttributeError):  # glibc only
        ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


if __name__ == "__main__":
    module, name, given = sys.argv[1:]
    print(json.dumps(getattr(importlib.import_module(module), name)(**json.loads(given))))
