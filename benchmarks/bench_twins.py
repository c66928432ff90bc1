"""Time a training step of the twins beside the networks that they are twins of; print the table and keep it.

A step is forward, cross-entropy and backward, of a batch of pictures of 224x224, without the optimiser, which is the
same for both.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from analysis.networks import create
from benchmarks import history, machine
from benchmarks.settings import available_cores
from benchmarks.tables import Table, as_text
from benchmarks.timing import RULE, Job, measure

FAMILIES = {
    "alexnet": ("walexnet-rmax", "walexnet-cmod", "alexnet-blur", "walexnet-rmax-blur", "walexnet-cmod-blur"),
    "resnet18": ("wresnet18-rmax", "wresnet18-cmod"),
}


def step_of(network: nn.Module, pictures: torch.Tensor, classes: torch.Tensor) -> Job:
    """A forward and a backward pass."""

    def step() -> None:
        network.zero_grad(set_to_none=True)
        cross_entropy(network(pictures), classes).backward()

    return step


def steps(base: str, twins: tuple[str, ...], arguments: argparse.Namespace) -> Table:
    """Time the steps of a network and its twins."""
    device = arguments.device
    pictures = torch.randn(arguments.batch, 3, 224, 224, device=device)
    classes = torch.randint(1000, (arguments.batch,), device=device)
    jobs = {name: step_of(create(name).to(device).train(), pictures, classes) for name in (base, *twins)}
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    times = measure(jobs, arguments.rounds, desc=base, wait=wait)
    title = f"forward and backward, {arguments.batch} pictures of 224x224, float32"
    table = Table.of_times(f"twins of {base} batch={arguments.batch}", title, "ms", times, 1e3, main=True)
    table.columns[f"times {base}"] = {job: figure / table.figures[base] for job, figure in table.figures.items()}
    return table


def main(given: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench_twins", description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=11, help="interleaved repetitions of every job")
    parser.add_argument("--only", choices=list(FAMILIES), action="append", help="these families; may be given again")
    parser.add_argument("--history", type=Path, default=history.FOLDER, help="folder of the results")
    arguments = parser.parse_args(given)
    described = machine.describe(torch.get_num_threads(), available_cores())
    on_gpu = arguments.device.startswith("cuda")
    device = torch.cuda.get_device_name(arguments.device) if on_gpu else f"{described['cpu']} twins"
    print(f"torch {torch.__version__}, {arguments.device} ({device}), float32\n\n{RULE}\n")
    tables = []
    for base in arguments.only or FAMILIES:
        tables.append(steps(base, FAMILIES[base], arguments))
        print(as_text(tables[-1]), flush=True)
    settings = {name: value for name, value in vars(arguments).items() if name != "history"}
    report = history.make_report(tables, described | {"device": device}, settings, quick=False)
    print(f"saved as {history.save(report, arguments.history, device)}")


if __name__ == "__main__":
    main()
