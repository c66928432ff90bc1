"""Origin of a result: how pictures were read, which were used, and with which software."""

from __future__ import annotations

import importlib
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from analysis.runs.blocks import Block, short_name

LONGEST_ATTRIBUTE = 30_000  # HDF5 keeps attributes in 64 kB


def provenance(total: Block, names: str, colour: bool, root: str | None) -> dict[str, Any]:
    """Attributes of a result that say how it came about.

    Parameters
    ----------
    total : Block
        Sum of all blocks of the run.
    names : str
        SHA-256 of the names of all inputs.
    colour : bool
        Whether red, green and blue were kept.
    root : str, optional
        Names of skipped files are relative to this folder, in printable form.
    """
    skipped = [f"{short_name(name, root)}: {reason}".replace("\n", " ") for name, reason in total.skipped]
    listed = "\n".join(skipped)
    if len(listed.encode()) > LONGEST_ATTRIBUTE:
        kept = listed.encode()[:LONGEST_ATTRIBUTE].decode(errors="ignore").rpartition("\n")[0]
        listed = f"{kept}\n... and {len(skipped) - kept.count(chr(10)) - 1} more"
    return {
        "luminance": "none: red, green and blue" if colour else "0.299 R + 0.587 G + 0.114 B, in [0, 1]",
        "resize": "shorter side to size, bilinear with antialiasing, centre crop; JPEG files decoded "
        "at 1/2 to 1/8 where that leaves four times the size",
        "inputs_sha256": names,
        "images_used": total.used,
        "images_skipped_count": len(skipped),
        "images_skipped": listed,
        "images_sha256": total.digest.hex(),
        "seed": "none: nothing is drawn at random",
        **software(),
        **{f"seconds_{name}": round(value, 3) for name, value in total.seconds.items()},
    }


def software() -> dict[str, Any]:
    """Attributes that say with what, and when, a result was made."""
    return {
        "shiftscope_version": distribution_version("shiftscope"),
        "python_version": platform.python_version(),
        **{f"{name}_version": distribution_version(name) for name in ("numpy", "scipy", "numba", "pillow")},
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def distribution_version(distribution: str) -> str:
    """Version of an installed distribution; of shiftscope that of the code, whatever was installed last."""
    if distribution == "shiftscope":
        return str(importlib.import_module(distribution).__version__)
    try:
        return version(distribution)
    except PackageNotFoundError:
        return "unknown"
