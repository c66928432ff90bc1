"""Sentences of the explorer: a kernel, the verdict, and five tasks with their answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from analysis.reports import kernels

FINE, COARSE = 4.0, 8.0  # wavelengths, pixels
CHROMATIC = 0.5  # part of a colour off the grey axis
DIRECTIONS = {(0.0, 1.0): "right", (1.0, 0.0): "down"}

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
        f"{abs(row['theta_y'] * y + row['theta_x'] * x):.1f} rad ({_direction(y, x)})" for y, x in _down_first(shifts)
    ]
    moved = "a shift of one pixel" if _one_pixel(shifts) else "the shift that was measured"
    then = "Then" if len(shifts) == 1 else "On the mean of both" if len(shifts) == 2 else "On their mean"
    return (
        f"{_look(row)}; {moved} advances its phase by {' or '.join(advances)}. {then} RMax changes by "
        f"{percent(row['eta_rmax'])}, CMod by {percent(row['eta_cmod'])}."
    )


def shift_words(shifts: Sequence[Sequence[float]]) -> str:
    """Phrase that says by which shifts the changes were measured, such as "by one pixel, mean of down and right".

    Parameters
    ----------
    shifts : sequence of (float, float)
        Vertical then horizontal, pixels.
    """
    names = [_direction(y, x) for y, x in _down_first(shifts)]
    size = "by one pixel" if _one_pixel(shifts) else "by shifts in pixels"
    return f"{size}, {'mean of ' if len(names) > 1 else ''}{' and '.join(names)}"


def purpose(contents: Mapping[str, Any]) -> str:
    """Sentence that says what the page is for."""
    if contents["what"] == "packets":
        return "A filter should answer alike when a picture moves by a pixel. This page shows which do not, and why."
    return (
        "The first layer of a network should answer alike when a picture moves by a pixel. This page shows which of "
        "its kernels do not, why, and what would help."
    )


def advice(contents: Mapping[str, Any]) -> str:
    """Sentences that say what the numbers of a layer suggest; none for packets, which are in no network."""
    band = [row for row in _alive(contents) if row["kind"] == "band-pass"]
    if contents["what"] == "packets" or not band:
        return ""
    rmax, cmod = (float(np.median([row[name] for row in band])) for name in ("eta_rmax", "eta_cmod"))
    share = sum(row.get("share_of_change") or 0 for row in band)
    makes = f"The {len(band)} band-pass kernels make {percent(share)} of the layer's change. " if share else ""
    return makes + kernels.advice(len(band), rmax, cmod)


def symbols(contents: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Words and symbols of the page, each with its meaning."""
    m, side = contents["stride"], 2 * contents["q"] + 1
    return [
        (
            "(down, right)",
            "the order of two numbers of a direction, for θ, p and u alike. In the plane down is downward.",
        ),
        ("V, kernel", "the weights of one unit. θ is its characteristic frequency, (down, right), in rad/px."),
        ("H(V), W", "H(V) is the Hilbert transform: each wave of V a quarter of a period further on. W = V + i H(V)."),
        (
            "phase, modulus",
            "the answer of W at a place is a complex number. Its length, the modulus, is the amplitude of the wave "
            "there; its angle, the phase, says where in its period the wave is.",
        ),
        ("rad/px", "radians a pixel: how far a wave goes on in its period (2π) from a pixel to the next."),
        ("direction", "of a kernel's wave, at right angles to its stripes: 0° is right, 90° is down."),
        (
            "m, q, p",
            f"stride of the convolution, here {m}; pooling over {side}×{side} samples p, from −q to q. A sample is a "
            f"place of the pooling window; the next one is m = {m} pixels away.",
        ),
        (
            "RMax",
            f"maximum of the convolution over the window, every {2 * m} pixels (stride {m} times 2 of the pooling). "
            "Bias and ReLU come after it and change no order, so it may be negative.",
        ),
        ("CMod", "modulus of the convolution with W at the middle of the same windows."),
        ("layer's output", "RMax with bias and ReLU. A large bias makes it large, and its relative change small."),
        (
            "η, “changes by”",
            "‖map of the moved picture − map‖ / ‖map‖: 0 is no change. In the card and the table: "
            f"{shift_words(contents['shifts'])}.",
        ),
        ("share", "a kernel's part of the squared change of the layer's whole output; loud kernels count for more."),
        ("jumpiest", "the kernel whose RMax changes most, relative to itself; its share may be small."),
        ("ρ", "‖RMax − CMod‖ / ‖CMod‖: how far the maximum is from the amplitude."),
        ("γ(mθ)", "the same for an endless wave: root of the mean over φ of (1 − max over p of cos(φ + ⟨mθ, p⟩))²."),
        ("⟨mθ, p⟩", "m (θ down · p down + θ right · p right): the phase of sample p, less that of the middle."),
        ("band-pass, blob, low-pass", "kernels of stripes in one direction; of dots, colours, noise; of brightness."),
        ("bandwidth κ", "side of the square of frequencies about θ that holds 90 % of the energy of W."),
        ("Gabor fit, R²", "wave in a Gaussian window that is nearest to V; R² is the part of V's energy in it."),
        ("‖u‖₁", "shift in pixels down plus pixels right."),
    ]


def verdict(contents: Mapping[str, Any]) -> str:
    """Sentences that say which kernels change most, and which matter most for the layer.

    Parameters
    ----------
    contents : mapping
        Of a table of kernels or of packets.
    """
    rows = _alive(contents)
    what = "packet filters" if contents["what"] == "packets" else "kernels"
    if not rows:
        return f"{contents['name']}: none of its {what} answers to anything."
    jumpiest, middle = rows[0], float(np.median([row["eta_rmax"] for row in rows]))
    calmer = sum(row["eta_cmod"] < row["eta_rmax"] for row in rows)
    rmax, cmod = percent(jumpiest["eta_rmax"]), percent(jumpiest["eta_cmod"])
    said = [
        f"The {what[:-1]} that changes most relative to itself, the jumpiest, is number {jumpiest['index']}. "
        f"Shifting the picture {shift_words(contents['shifts'])}, changes its RMax (max pooling) by {rmax}, "
        f"its CMod (modulus) by {cmod}; half of the {len(rows)} {what} change by more than {percent(middle)} in RMax.",
        f"CMod changes less than RMax for {calmer} of {len(rows)}.",
    ]
    shares = sorted((row.get("share_of_change") or 0 for row in rows), reverse=True)
    if sum(shares) > 0:
        half = int(np.searchsorted(np.cumsum(shares), 0.5 * sum(shares))) + 1
        first = max(rows, key=lambda row: row.get("share_of_change") or 0)
        said.insert(
            0,
            f"{half} of {len(rows)} kernels make half of the change of the layer's whole output, to which loud kernels "
            f"add more; the largest part, {percent(first['share_of_change'], 1)}, is number {first['index']}'s.",
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


def _direction(y: float, x: float) -> str:
    """Shift in words."""
    return DIRECTIONS.get((y, x), f"{y:g} down, {x:g} right")


def _down_first(shifts: Sequence[Sequence[float]]) -> list[tuple[float, float]]:
    return sorted(((y, x) for y, x in shifts), reverse=True)


def _one_pixel(shifts: Sequence[Sequence[float]]) -> bool:
    return all(np.hypot(y, x) == 1 for y, x in shifts)


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
