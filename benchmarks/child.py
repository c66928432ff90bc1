"""Call a function in a process of its own, and watch the memory of a process."""

from __future__ import annotations

import contextlib
import ctypes
import re
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from wavelets import set_num_threads

STATUS = Path("/proc/self/status")
MB = 1e6


def call(function: Callable[..., Any], threads: int, **arguments: Any) -> Any:
    """Call a function in a fresh process that has so many threads; what it raises is raised here."""
    with ProcessPoolExecutor(1, get_context("spawn"), set_num_threads, (threads,)) as pool:
        return pool.submit(function, **arguments).result()


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
