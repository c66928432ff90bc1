"""Pictures of README.md: RMax flickering and CMod gliding (an animated GIF), and what the quick start draws.

``python -m scripts.readme_pictures`` writes them to docs/images; nothing is drawn at random.
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from analysis import bundled_images, cmod, heatmaps, plots, read_image, rmax, translate
from wavelets import DualTreePackets2D

LEVELS, PACKET = 3, 108  # a fine diagonal filter, 2.8 pixels long
PHOTOGRAPH = "coffee.png"
CROP = (slice(20, 340), slice(120, 440))  # what is shown, and whose responses are taken
SHIFTS = np.arange(0, 4.01, 0.25)  # pixels to the right; the maps have a value every 8 pixels
ORANGE, BLUE = "#D55E00", "#0072B2"


def main() -> None:
    """Write both pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    save_animation(out / "flicker.gif")
    maps = heatmaps(bundled_images(), levels=3)
    plots.discrepancy_figure(maps).savefig(out / "quick_start.png", dpi=110)


def save_animation(path: Path) -> None:
    """Draw the photograph at every shift, forwards and back, with the two maps and their change beside it."""
    (source,) = (file for file in bundled_images() if file.name == PHOTOGRAPH)
    whole = read_image(source).astype(float)
    transform = DualTreePackets2D(levels=LEVELS)
    kernel, stride = transform.kernels()[PACKET], 2 ** (LEVELS - 1)
    pictures = [translate(whole, (0, u))[CROP] for u in SHIFTS]
    maps = {name: [f(x, kernel, stride=stride) for x in pictures] for name, f in (("RMax", rmax), ("CMod", cmod))}
    changes = {
        name: 100 * np.array([np.linalg.norm(later - first[0]) / np.linalg.norm(first[0]) for later in first])
        for name, first in maps.items()
    }
    indices = [*range(len(SHIFTS)), *range(len(SHIFTS) - 2, 0, -1)]
    drawn = {k: _frame(pictures[k], {name: found[k] for name, found in maps.items()}, changes, k) for k in set(indices)}
    palette = _palette()
    frames = [drawn[k].quantize(palette=palette, dither=Image.Dither.NONE) for k in indices]
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=140, loop=0, optimize=True)


def _palette() -> Image.Image:
    """Greys, and the two colours with their tints: the same for all frames, so that nothing flickers but the map."""
    greys = np.repeat(np.linspace(0, 255, 72)[:, None], 3, axis=1)
    tints = [
        np.linspace([255, 255, 255], [int(colour[k : k + 2], 16) for k in (1, 3, 5)], 13)[1:]
        for colour in (ORANGE, BLUE)
    ]
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.concatenate([greys, *tints]).round().astype(np.uint8).tobytes())
    return palette


def _frame(picture: np.ndarray, maps: dict[str, np.ndarray], changes: dict[str, np.ndarray], index: int) -> Image.Image:
    """One state: the photograph, its two maps, and the curves up to here."""
    figure = Figure(figsize=(8.0, 2.75), dpi=100, layout="constrained")
    axes = figure.subplots(1, 4, width_ratios=[1, 1, 1, 1.15])
    axes[0].imshow(picture, cmap="gray", vmin=0, vmax=1)
    axes[0].set_title(f"moved by {SHIFTS[index]:.2f} px", fontsize=10)
    for ax, (name, values), colour in zip(axes[1:3], maps.items(), (ORANGE, BLUE), strict=True):
        ax.imshow(np.clip(values, 0, None), cmap="gray", vmin=0, vmax=0.12, interpolation="nearest")
        ax.set_title(f"{name} changed: {changes[name][index]:.0f} %", fontsize=10, color=colour)
    for ax in axes[:3]:
        ax.set_axis_off()
    for (name, values), colour, marker in zip(changes.items(), (ORANGE, BLUE), ("o", "s"), strict=True):
        axes[3].plot(SHIFTS, values, color=colour, linewidth=1.2, alpha=0.35)
        axes[3].plot(SHIFTS[index], values[index], marker, color=colour, markersize=7)
        axes[3].annotate(name, (4.1, values[-1]), color=colour, fontsize=10, va="center", annotation_clip=False)
    axes[3].set(xlim=(0, 4), ylim=(0, None), xlabel="shift (pixels)", ylabel="change of the map (%)")
    axes[3].spines[["top", "right"]].set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return Image.open(buffer).convert("RGB")


if __name__ == "__main__":
    main()
