"""Growth of costs, as exponents: the slope of a line through the logarithms, with a figure.

``python -m benchmarks.growth --figure docs/images/growth.png`` takes a minute.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis.files.results import save_figure
from analysis.kernels import FirstLayer
from analysis.kernels.measurement import LayerOperators
from analysis.packet_maps import packet_experiment
from wavelets import DualTreePackets2D, set_num_threads

Work = Callable[[], object]
Case = tuple[float, Work]
ROUNDS = 5


def slope(x: Sequence[float], seconds: Sequence[float]) -> tuple[float, float]:
    """Exponent p of seconds = a x**p by least squares of the logarithms, and its standard error."""
    u, v = np.log(x), np.log(seconds)
    u, v = u - u.mean(), v - v.mean()
    p = float(u @ v / (u @ u))
    rest = v - p * u
    return p, float(np.sqrt(rest @ rest / max(len(u) - 2, 1) / (u @ u)))


def medians(cases: Sequence[Case]) -> list[float]:
    """Median seconds of each case; the cases take turns, so that a slow moment of the machine meets all."""
    for _, work in cases:
        work()
    times: list[list[float]] = [[] for _ in cases]
    for _ in range(ROUNDS):
        for found, (_, work) in zip(times, cases, strict=True):
            begin = time.perf_counter()
            work()
            found.append(time.perf_counter() - begin)
    return [float(np.median(found)) for found in times]


def parts() -> dict[str, list[Case]]:
    """Works by what grows: the numbers along the axis, and what is timed at each."""
    rng = np.random.default_rng(0)
    pictures = rng.random((8, 224, 224), dtype=np.float32)

    def forward(levels: int, x: Any) -> Work:
        t = DualTreePackets2D(levels)
        return lambda: t.forward(x)

    def maps(shifts: int, count: int) -> Work:
        e = packet_experiment(3, shifts=[(0, 1 + s) for s in range(shifts)], size=224)
        return lambda: e.measure(pictures[:count])

    def layer(kernels: int) -> Work:
        operators = LayerOperators(FirstLayer("growth", rng.standard_normal((kernels, 3, 11, 11)), 4), 4, 224)
        x = rng.random((4, 3, 224, 224), dtype=np.float32)
        return lambda: operators([x, x])

    def threads(count: int) -> Work:
        t, x = DualTreePackets2D(3), rng.random((16, 224, 224), dtype=np.float32)

        def work() -> None:
            set_num_threads(count)
            t.forward(x)
            set_num_threads(None)

        return work

    def images(count: int, side: int) -> Work:
        return forward(3, rng.random((count, side, side), dtype=np.float32))

    return {
        "pixels of an image, J = 3": [(n**2, images(1, n)) for n in (128, 256, 512, 1024, 2048)],
        "images of 224x224, J = 3": [(n, images(n, 224)) for n in (1, 4, 16, 64)],
        "filters, 8 images of 224x224": [(2 * 4**levels, forward(levels, pictures)) for levels in (1, 2, 3, 4, 5)],
        "shifts of the heatmaps, J = 3": [(s, maps(s, 4)) for s in (1, 2, 4, 8)],
        "images of the heatmaps, J = 3": [(n, maps(2, n)) for n in (1, 2, 4, 8)],
        "kernels of 11x11x3, stride 4": [(n, layer(n)) for n in (8, 16, 32, 64)],
        "threads, 16 images of 224x224": [(n, threads(n)) for n in (1, 2)],
    }


def main() -> None:
    """Print the exponents as a table of Markdown, and draw them if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--figure", type=Path)
    asked = parser.parse_args()
    from matplotlib.figure import Figure
    from matplotlib.ticker import LogLocator, NullLocator

    from analysis.plots.style import BLACK, BLUE

    found = {name: ([x for x, _ in cases], medians(cases)) for name, cases in parts().items()}
    figure = Figure(figsize=(10, 5.2), layout="compressed")
    axes = list(figure.subplots(2, 4).flat)
    print("| what grows | from | to | ms at both ends | exponent | of the last step |\n|---|---|---|---|---|---|")
    for ax, (name, (x, seconds)) in zip(axes, found.items(), strict=False):
        p, error = slope(x, seconds)
        last, _ = slope(x[-2:], seconds[-2:])
        shown = f"{p:.2f} ± {error:.2f}" if len(x) > 2 else f"{p:.2f}"
        ends = f"{x[0]:g} | {x[-1]:g} | {1e3 * seconds[0]:.3g}, {1e3 * seconds[-1]:.3g}"
        print(f"| {name} | {ends} | {shown} | {last:.2f} |")
        middle = np.exp(np.mean(np.log(seconds)) + p * (np.log(x) - np.mean(np.log(x))))
        ax.plot(x, 1e3 * middle, color=BLACK, linewidth=1)
        ax.plot(x, 1e3 * np.array(seconds), "o", color=BLUE)
        ax.set(xscale="log", yscale="log", ylabel="time (ms)", ylim=(300 * min(seconds), 3000 * max(seconds)))
        ax.set_xlabel(name, fontsize=9)
        ax.set_title(f"exponent {shown}".replace("-", "−"), fontsize=10)
        ax.set_xticks(x, [f"{v / 1000:.0f}k" if v >= 1e4 else f"{v:g}" for v in x], fontsize=8)
        ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.yaxis.set_major_formatter("{x:g}")
        for axis in (ax.xaxis, ax.yaxis):
            axis.set_minor_locator(NullLocator())
    for ax in axes[len(found) :]:
        ax.remove()
    if asked.figure:
        save_figure(figure, asked.figure, dpi=80)


if __name__ == "__main__":
    main()
