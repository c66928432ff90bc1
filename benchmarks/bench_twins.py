"""Time a training step of the twins beside the networks that they are twins of; print the table and keep it.

A step is forward, cross-entropy and backward, of a batch of pictures of 224x224, without the optimiser, which is the
same for both.
"""

from __future__ import annotations

import argparse
from functools import partial

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from analysis.networks import create
from benchmarks import on_torch
from benchmarks.tables import Table
from benchmarks.timing import Job

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


def steps(base: str, arguments: argparse.Namespace) -> Table:
    """Time the steps of a network and its twins."""
    device = arguments.device
    pictures = torch.randn(arguments.batch, 3, 224, 224, device=device)
    classes = torch.randint(1000, (arguments.batch,), device=device)
    jobs = {name: step_of(create(name).to(device).train(), pictures, classes) for name in (base, *FAMILIES[base])}
    times = on_torch.times_of(jobs, arguments, base)
    title = f"forward and backward, {arguments.batch} pictures of 224x224, float32"
    table = Table.of_times(f"twins of {base} batch={arguments.batch}", title, "ms", times, 1e3, main=True)
    table.add_ratio(f"times {base}", base)
    return table


def main(given: list[str] | None = None) -> None:
    parser = on_torch.options("benchmarks.bench_twins", __doc__, batch=8, rounds=11)
    parser.add_argument("--only", choices=list(FAMILIES), action="append", help="these families; may be given again")
    arguments = parser.parse_args(given)
    on_torch.run(parser, arguments, [partial(steps, base) for base in arguments.only or FAMILIES], "twins")


if __name__ == "__main__":
    main()
