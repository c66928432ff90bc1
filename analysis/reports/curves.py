"""Curves of a page that a reader can switch off: geometry of inline SVG, from a table of values."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from markupsafe import Markup

SIDE, TALL, GAP, LEFT, TOP = 320, 250, 26, 58, 26  # pixels of the drawing
DASHES = {"-": "", "--": "6 3", ":": "2 3", "-.": "7 3 2 3"}


def chart(values: xr.DataArray, each: str, panels: str, xlabel: str, ylabel: str, caption: str) -> dict[str, Any]:
    """Geometry of curves in panels on one vertical scale from 0.

    Parameters
    ----------
    values : xarray.DataArray
        Dimensions `each`, `panels` and the horizontal one.
    each : str
        Dimension with a curve for each entry; the first is what all others are compared with.
    panels : str
        Dimension with a panel for each entry.
    xlabel, ylabel, caption : str

    Returns
    -------
    dict
        For the macro `curves` of curves.svg.j2.
    """
    from analysis.plots.style import BLACK, styles  # with matplotlib, half a second to import

    (along,) = set(values.dims) - {each, panels}
    x, names = np.asarray(values[along].values, dtype=np.float64), [str(name) for name in values[each].values]
    looks = styles(names, reference=True)
    finite = values.values[np.isfinite(values.values)]
    step = _step(float(finite.max()) if finite.size else 1.0)
    highest = max(1, int(np.ceil((float(finite.max()) if finite.size else 1.0) / step - 1e-9)))
    across = (x - x.min()) / (np.ptp(x) or 1) * (SIDE - 16) + 8
    drawn = {}
    for name, look in looks.items():
        # Black is the colour of the text, which is light on a dark page.
        colour = "currentColor" if look["color"] == BLACK else look["color"]
        drawn[name] = {"name": name, "colour": colour, "dashes": DASHES[look["linestyle"]], "marker": look["marker"]}
        drawn[name]["key"] = Markup(_mark(look["marker"], 17, 7, colour))
    count = values.sizes[panels]
    return {
        "side": SIDE,
        "tall": TALL,
        "top": TOP,
        "width": LEFT + count * SIDE + (count - 1) * GAP + 8,
        "height": TOP + TALL + 42,
        "xlabel": xlabel,
        "ylabel": ylabel,
        "caption": caption,
        "label": f"{ylabel} against {xlabel}",
        "curves": list(drawn.values()),
        "ticks_y": [(round(TALL * (1 - k / highest), 1), f"{k * step:g}") for k in range(highest + 1)],
        "panels": [
            {
                "title": str(entry),
                "x": LEFT + number * (SIDE + GAP),
                "first": number == 0,
                "ticks_x": [(round(float(at), 1), f"{value:g}") for at, value in zip(across, x, strict=True)],
                "curves": [
                    drawn[name] | _curve(across, values.sel({panels: entry, each: name}).values, step * highest, look)
                    for name, look in ((name, drawn[name]) for name in names)
                ],
            }
            for number, entry in enumerate(values[panels].values)
        ],
    }


def _curve(x: np.ndarray, y: np.ndarray, top: float, look: dict[str, Any]) -> dict[str, Any]:
    """Path and markers of the finite values of one curve."""
    points = [(float(a), TALL * (1 - float(b) / top)) for a, b in zip(x, y, strict=True) if np.isfinite(b)]
    path = "".join(f"{'L' if number else 'M'}{a:.1f} {b:.1f}" for number, (a, b) in enumerate(points))
    return {"path": path, "marks": Markup("".join(_mark(look["marker"], a, b, look["colour"]) for a, b in points))}


def _mark(marker: str, x: float, y: float, colour: str) -> str:
    """Marker as SVG: circle, square, or a polygon for the others."""
    if marker == "o":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>'
    corners = {
        "s": "-3 -3 3 -3 3 3 -3 3",
        "^": "0 -4 4 3 -4 3",
        "D": "0 -4 4 0 0 4 -4 0",
        "v": "0 4 4 -3 -4 -3",
        "<": "-4 0 3 4 3 -4",
        "P": "-1 -4 1 -4 1 -1 4 -1 4 1 1 1 1 4 -1 4 -1 1 -4 1 -4 -1 -1 -1",
        "*": "0 -5 1.2 -1.6 4.8 -1.6 1.9 .6 3 4 0 1.9 -3 4 -1.9 .6 -4.8 -1.6 -1.2 -1.6",
        "X": "-4 -4 -1 -4 0 -2 1 -4 4 -4 2 0 4 4 1 4 0 2 -1 4 -4 4 -2 0",
    }[marker]
    return f'<polygon points="{corners}" transform="translate({x:.1f} {y:.1f})" fill="{colour}"/>'


def _step(top: float) -> float:
    """Distance of about five round ticks up to a value."""
    if not top > 0:
        return 1.0
    power = 10.0 ** np.floor(np.log10(top / 5))
    return float(next(power * factor for factor in (1, 2, 5, 10) if power * factor * 5 >= top * 0.999))
