"""Time each pooling over plain max pooling in a VGG13 of CIFAR form; print the table and keep it.

The stack is that of Table 2 of the BlurPool paper: five blocks of two convolutions with batch normalisation and ReLU,
64 to 512 channels, a 2x2 pooling after each, a forward pass of 100 pictures of 32x32. The paper's figures are of a GTX
1080 Ti; what it pads is not said, the pictures are circular there, and here the operators are timed with circular
borders.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import nn

from analysis.networks import APS, TLPF, AdaptiveBlurPool, BlurPool, Cascade, IntraBlockPool, MaxPool
from analysis.published.tables import published_table
from benchmarks import on_torch
from benchmarks.tables import Table
from benchmarks.timing import CPU_RULE, RULE, Job, cpu_times

WIDTHS = (64, 128, 256, 512, 512)
ROWS = {"dense max pooling": "dense", **{f"blur{taps}": f"dense, {taps}x{taps} filter" for taps in (3, 5, 7)}}
"""Rows of the paper's Table 2, by the names of our poolings."""

BASE = "nn.MaxPool2d"
FEW = 5  # rounds: a run of fewer says little and is kept as a quick one

Pooling = Callable[[int], nn.Module]


def circular_max() -> MaxPool:
    return MaxPool(2, 2, "same", "circular")


def poolings() -> dict[str, Pooling]:
    """Functions from the number of channels to a pooling of 2x2."""
    border = {"padding_mode": "circular"}
    jobs: dict[str, Pooling] = {
        BASE: lambda c: nn.MaxPool2d(2),
        "dense max pooling": lambda c: circular_max(),  # dense maximum, then every second sample
    }
    for taps in (3, 5, 7):
        jobs[f"blur{taps}"] = lambda c, n=taps: Cascade(circular_max(), BlurPool(taps=n, **border))
    jobs |= {
        "tlpf 5x5": lambda c: Cascade(circular_max(), TLPF(c, 5, **border)),
        "adaptive-blur 3x3": lambda c: Cascade(circular_max(), AdaptiveBlurPool(c, 3, **border)),
    }
    for norm in ("l1", "l2", "linf"):
        jobs[f"aps-{norm}"] = lambda c, n=norm: Cascade(circular_max(), APS(norm=n, **border))
    jobs["tlpf 5x5, aps-l1"] = lambda c: Cascade(circular_max(), TLPF(c, 5, **border), APS(**border))
    return jobs


def stack(pooling: Pooling, intrablock: bool = False) -> nn.Sequential:
    layers: list[nn.Module] = []
    last = 3
    for width in WIDTHS:
        for number in range(2):
            layers += [nn.Conv2d(last, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(inplace=True)]
            layers += [IntraBlockPool()] if intrablock and number == 0 else []
            last = width
        layers.append(pooling(width))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(last, 10)).eval()


def forward_passes(arguments: argparse.Namespace) -> Table:
    """Time a forward pass with each pooling."""
    device = arguments.device
    images = torch.rand(arguments.batch, 3, 32, 32, device=device)
    stacks = {name: stack(pooling) for name, pooling in poolings().items()}
    stacks["intra-block, nn.MaxPool2d"] = stack(poolings()[BASE], intrablock=True)
    jobs: dict[str, Job] = {}
    for name, network in stacks.items():
        network.to(device)
        if arguments.channels_last:
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch says less than it takes
        jobs[name] = lambda n=network: n(images)
    with torch.inference_mode():
        if arguments.clock == "cpu":
            times = cpu_times(jobs, arguments.rounds, "forward")
        else:
            times = on_torch.times_of(jobs, arguments, "forward")
    layout = ", channels last" if arguments.channels_last else ""
    layout += ", processor time of one thread" if arguments.clock == "cpu" else ""
    title = f"VGG13, {arguments.batch} images of 32x32, forward, float32{layout}"
    table = Table.of_times(f"pooling batch={arguments.batch}{layout}", title, "ms", times, 1e3, main=True)
    base = table.figures[BASE]
    table.columns["added %"] = {job: 100 * (figure / base - 1) for job, figure in table.figures.items()}
    published = published_table("blurpool_time").set_index("pooling").added
    table.columns["published %"] = {name: float(published[row]) for name, row in ROWS.items()}
    worse = [name for name, most in table.columns["published %"].items() if table.columns["added %"][name] > most]
    table.notes = [f"More than published: {', '.join(worse)}." if worse else "None adds more than published."]
    return table


def main(given: list[str] | None = None) -> None:
    parser = on_torch.options("benchmarks.bench_pooling", __doc__, batch=100, rounds=15)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: for a busy machine")
    arguments = parser.parse_args(given)
    on_cpu_clock = arguments.clock == "cpu"
    if on_cpu_clock and arguments.device != "cpu":
        parser.error("--clock cpu measures the processor; it needs --device cpu")
    if on_cpu_clock:
        torch.set_num_threads(1)
    rule = CPU_RULE if on_cpu_clock else RULE
    on_torch.run(parser, arguments, [forward_passes], "pooling", rule, quick=arguments.rounds < FEW)


if __name__ == "__main__":
    main()
