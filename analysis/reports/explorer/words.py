"""Sentences of the explorer: a kernel, the verdict, and five tasks with their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

FINE, COARSE = 4.0, 8.0  # wavelengths, pixels
CHROMATIC = 0.5  # part of a colour off the grey axis
DIRECTIONS = {(0.0, 1.0): "to the right", (1.0, 0.0): "down"}

Row = Mapping[str, Any]


def kernel_words(row: Row, shifts: Sequence[Sequence[float]]) -> str:
    """Sentence that says what a kernel looks at, and how it changes under the shifts that were measured.

    Parameters
    ----------
    row : mapping
        `kind`, `wavelength`, `orientation`, `theta_y`, `theta_x`, `eta_rmax`, `eta_cmod`, and `chroma` if it is known.
    shifts : sequence of (float, float)
        Vertical then horizontal, pixels.
    """
    if row["kind"] == "dead" or row["eta_rmax"] is None:
        return "Dead: it answers to nothing."
    advances = [
        f"{abs(row['theta_y'] * y + row['theta_x'] * x):.1f} rad ({DIRECTIONS.get((y, x), f'{y:g} down, {x:g} right')})"
        for y, x in shifts
    ]
    moved = "a shift of one pixel" if all(np.hypot(y, x) == 1 for y, x in shifts) else "the shift that was measured"
    return (
        f"{_look(row)}; {moved} advances its phase by {' or '.join(advances)}. Then RMax changes by "
        f"{percent(row['eta_rmax'])}, CMod by {percent(row['eta_cmod'])}."
    )


def verdict(contents: Mapping[str, Any]) -> str:
    """Sentences that say which kernels change most, and which matter most for the layer.

    Parameters
    ----------
    contents : mapping
        Of a table of kernels or of packets.
    """
    rows = _alive(contents)
    what = "packet filters" if contents["what"] == "packets" else "kernels"
    moved = "by one pixel" if all(np.hypot(y, x) == 1 for y, x in contents["shifts"]) else "as measured"
    if not rows:
        return f"{contents['name']}: none of its {what} answers to anything."
    jumpiest, middle = rows[0], float(np.median([row["eta_rmax"] for row in rows]))
    calmer = sum(row["eta_cmod"] < row["eta_rmax"] for row in rows)
    rmax, cmod = percent(jumpiest["eta_rmax"]), percent(jumpiest["eta_cmod"])
    said = [
        f"Jumpiest {what[:-1]}: number {jumpiest['index']}. Shifting the picture {moved} changes its RMax "
        f"(max pooling) by {rmax}, its CMod (modulus) by {cmod}; half of the {len(rows)} {what} change by more than "
        f"{percent(middle)} in RMax.",
        f"CMod changes less than RMax for {calmer} of {len(rows)}.",
    ]
    shares = sorted((row.get("share_of_change") or 0 for row in rows), reverse=True)
    if sum(shares) > 0:
        half = int(np.searchsorted(np.cumsum(shares), 0.5 * sum(shares))) + 1
        first = max(rows, key=lambda row: row.get("share_of_change") or 0)
        said.insert(
            0,
            f"{half} kernels make half of the change of the layer's output; the largest part, "
            f"{percent(first['share_of_change'], 1)}, is number {first['index']}'s.",
        )
    return " ".join(said)


def tasks(contents: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Five tasks for a class, each with its answer.

    Parameters
    ----------
    contents : mapping
        Of a table of kernels or of packets.
    """
    rows, m = _alive(contents), contents["stride"]
    jumpiest = rows[0] if rows else None
    who = f"number {jumpiest['index']}" if jumpiest else "none"
    numbers = f", {percent(jumpiest['eta_rmax'])} in RMax, {percent(jumpiest['eta_cmod'])} in CMod" if jumpiest else ""
    return [
        (
            "Which kernel is the jumpiest? Find it in the table and pin it.",
            f"Sort by “RMax changes”: {who}{numbers}. One pixel is a large part of its wave.",
        ),
        (
            f"In the phase clock, press “θ = (0, 2π/m)”, that is 2π/{m}. What do the phases of the window do, "
            "and what does γ?",
            "They all coincide: from one sample of the window to the next the wave goes round exactly once, so that "
            "all samples are equal and the maximum is no better than a single one. RMax follows the wave through its "
            "troughs, and γ has its largest value, √(3/2) = 1.22. The modulus does not care.",
        ),
        (
            "Pin the jumpiest kernel and play the shift. Which of the two curves of a single unit is smooth?",
            "CMod's: it is the amplitude of the answer, which changes as slowly as the kernel is wide. RMax takes up "
            "the phase: whenever the crest leaves the window another sample takes over, and the value jumps or dips.",
        ),
        (
            "The jumpiest kernels often lie where γ is low. Why is that no contradiction?",
            "γ speaks of one endless wave: where it is low, one sample or other of the window is always near a crest. "
            "Choose “a wave at θ” in the shift lab: RMax hardly changes. What a photograph shows is often no larger "
            "than the kernel, so that only a sample or two meet it; then its phase counts, which a pixel moves by |θ|: "
            "most in fine kernels.",
        ),
        (
            "In the theorem, keep u and halve κ. What happens to the bound, and what where κ‖u‖₁ passes π?",
            "It halves, nearly: a narrow band means a wide kernel, whose modulus hardly changes. Beyond π it stays at "
            "√2 = 1.41: a pulse that has left its own place differs by no more than that.",
        ),
    ]


def percent(part: float, digits: int = 0) -> str:
    """Part of one as a percentage."""
    return f"{100 * part:.{digits}f}\u00a0%"


def _look(row: Row) -> str:
    """Size, direction and kind in words, with the wavelength."""
    length = row["wavelength"]
    size = "fine" if length < FINE else "coarse" if length > COARSE else "medium"
    coloured = "coloured " if (row.get("chroma") or 0) >= CHROMATIC else ""
    pixels = f"{length:.1f} px" if length < 100 else "no wave"
    if row["kind"] in ("blob", "low-pass"):
        return f"{size} {coloured}{row['kind']}, {pixels}".capitalize()
    angle = abs(row["orientation"])
    direction = "upright" if angle < 22.5 else "level" if angle > 67.5 else "diagonal"
    return f"{size} {coloured}{direction} stripes, {pixels}".capitalize()


def _alive(contents: Mapping[str, Any]) -> list[Row]:
    """Rows with numbers, the one that changes most first."""
    rows = [row for row in contents["rows"] if row["eta_rmax"] is not None and row["eta_cmod"] is not None]
    return sorted(rows, key=lambda row: -row["eta_rmax"])
