"""Time each pooling over plain max pooling in a VGG13 of CIFAR form; print the table and keep it.

The stack is that of document 002's Table 2: five blocks of two convolutions with batch normalisation and ReLU, 64 to
512 channels, a 2x2 pooling after each, a forward pass of 100 pictures of 32x32. The paper's figures are of a GTX 1080
Ti; what it pads is not said, the pictures are circular there, and here the operators are timed with circular borders.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from analysis.networks import APS, TLPF, AdaptiveBlurPool, BlurPool, Cascade, IntraBlockPool, MaxPool
from benchmarks import history, machine
from benchmarks.settings import available_cores
from benchmarks.tables import Table, as_text
from benchmarks.timing import RULE, Job, Times, measure, summary

WIDTHS = (64, 128, 256, 512, 512)
PUBLISHED = {"dense max pooling": 3.04, "blur3": 8.52, "blur5": 10.6, "blur7": 12.3}  # per cent added, Table 2
BASE = "nn.MaxPool2d"

CPU_RULE = (
    "Medians of processor time of one thread: in every round each job runs once, in random order; before the first "
    "round each runs untimed."
)
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


def cpu_times(jobs: dict[str, Job], rounds: int) -> dict[str, Times]:
    """Seconds of processor time of one thread, which other processes of a busy machine disturb less than a clock."""
    order = np.random.default_rng(0)
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for job in jobs.values():
        job()
    for _ in tqdm(range(rounds), desc="forward", disable=None):
        for name in order.permutation(list(jobs)).tolist():
            begin = time.process_time()
            jobs[name]()
            times[name].append(time.process_time() - begin)
    return {name: summary(values) for name, values in times.items()}


def forward_passes(arguments: argparse.Namespace) -> Table:
    """Time a forward pass with each pooling."""
    device, cuda = arguments.device, arguments.device.startswith("cuda")
    images = torch.rand(arguments.batch, 3, 32, 32, device=device)
    stacks = {name: stack(pooling) for name, pooling in poolings().items()}
    stacks["intra-block, nn.MaxPool2d"] = stack(poolings()[BASE], intrablock=True)
    jobs: dict[str, Job] = {}
    for name, network in stacks.items():
        network.to(device)
        if arguments.channels_last:
            network.to(memory_format=torch.channels_last)
        jobs[name] = lambda n=network: n(images)
    with torch.inference_mode():
        if arguments.clock == "cpu":
            times = cpu_times(jobs, arguments.rounds)
        else:
            wait = torch.cuda.synchronize if cuda else lambda: None
            times = measure(jobs, arguments.rounds, desc="forward", wait=wait)
    layout = ", channels last" if arguments.channels_last else ""
    layout += ", processor time of one thread" if arguments.clock == "cpu" else ""
    title = f"VGG13, {arguments.batch} images of 32x32, forward, float32{layout}"
    table = Table.of_times(f"pooling batch={arguments.batch}{layout}", title, "ms", times, 1e3, main=True)
    base = table.figures[BASE]
    table.columns["added %"] = {job: 100 * (figure / base - 1) for job, figure in table.figures.items()}
    table.columns["published %"] = dict(PUBLISHED)
    worse = [name for name, most in PUBLISHED.items() if table.columns["added %"][name] > most]
    table.notes = [f"More than published: {', '.join(worse)}." if worse else "None adds more than published."]
    return table


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_pooling", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=100)
    parser.add_argument("--channels-last", action="store_true")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: for a busy machine")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved repetitions of every job")
    parser.add_argument("--history", type=Path, default=history.FOLDER, help="folder of the results")
    arguments = parser.parse_args(given)
    if arguments.clock == "cpu" and arguments.device != "cpu":
        parser.error("--clock cpu measures the processor; it needs --device cpu")
    on_gpu = arguments.device.startswith("cuda")
    if arguments.clock == "cpu":
        torch.set_num_threads(1)
    described = machine.describe(torch.get_num_threads(), available_cores())
    device = torch.cuda.get_device_name(arguments.device) if on_gpu else described["cpu"]
    rule = CPU_RULE if arguments.clock == "cpu" else RULE
    print(f"torch {torch.__version__}, {arguments.device} ({device}), float32\n\n{rule}\n")
    table = forward_passes(arguments)
    print(as_text(table), flush=True)
    settings = {name: value for name, value in vars(arguments).items() if name != "history"}
    report = history.make_report([table], described | {"device": device}, settings, quick=arguments.rounds < FEW)
    print(f"saved as {history.save(report, arguments.history, f'{device} pooling')}")


if __name__ == "__main__":
    main()
