"""Time training steps of networks with remedies, forwards and backwards apart; print the tables and keep them.

Beside each time stands what the remedy adds to the operations of the network: convolutions and matrix products
forwards, as torch counts them; maxima, borders and sampling are no operations there.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from analysis.networks import create, remedy
from analysis.networks.squeezenet import SqueezeNet
from benchmarks import on_torch
from benchmarks.tables import Table
from benchmarks.timing import CPU_RULE, RULE, Job, cpu_times

NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "squeezenet": (SqueezeNet, 224),
    "resnet18": (partial(create, "resnet18"), 224),
    "alexnet": (partial(create, "alexnet"), 224),
    "resnet20-cifar": (partial(create, "resnet20-cifar"), 32),
}
REMEDIES = ("blur3", "blur5", "aps-l2", "tlpf", "adaptive-blur", "ideal")
ORDERS = {"channels first": torch.contiguous_format, "channels last": torch.channels_last}
FEW = 5  # rounds: a run of fewer says little and is kept as a quick one


def operations(network: nn.Module, image: torch.Tensor) -> float:
    """Operations of a forward pass."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(image)
    return float(counter.get_total_flops())


def step_of(network: nn.Module, images: torch.Tensor) -> Job:
    """A forward and a backward pass."""

    def step() -> None:
        network.zero_grad(set_to_none=True)
        network(images).square().mean().backward()

    return step


def steps(name: str, order: str, arguments: argparse.Namespace) -> Table:
    """Time the steps of a network as it is and with each remedy."""
    make, side = NETWORKS[name]
    shape = {"device": arguments.device}
    images = torch.rand(arguments.batch, 3, side, side, **shape).contiguous(memory_format=ORDERS[order])
    plain = make().to(arguments.device)
    networks = {"plain": plain} | {r: remedy(r)(plain, images[:1])[0] for r in arguments.remedy or REMEDIES}
    jobs: dict[str, Job] = {}
    for title, network in networks.items():
        network.train().to(memory_format=ORDERS[order])
        jobs[f"{title}, forward"] = lambda n=network: n(images)
        jobs[title] = step_of(network, images)
    if arguments.clock == "cpu":
        times = cpu_times(jobs, arguments.rounds, f"{name}, {order}")
    else:
        times = on_torch.times_of(jobs, arguments, f"{name}, {order}")
    both = {title: times[title] for title in networks}
    scale = 1e3 / arguments.batch
    title = f"training step of {name}, {arguments.batch} images of {side}x{side}, float32, {order}"
    table = Table.of_times(f"remedies of {name} batch={arguments.batch} {order}", title, "ms", both, scale, main=True)
    forward = {job: scale * times[f"{job}, forward"].median for job in networks}
    count = {job: operations(network, images[:1]) for job, network in networks.items()}
    table.columns["forward"] = forward
    table.columns["backward"] = {job: table.figures[job] - forward[job] for job in networks}
    table.add_ratio("times plain", "plain")
    table.columns["operations"] = {job: count[job] / count["plain"] for job in networks}
    return table


def main(given: list[str] | None = None) -> None:
    parser = on_torch.options("benchmarks.bench_remedies", __doc__, batch=8, rounds=5)
    parser.add_argument("--only", choices=list(NETWORKS), action="append", help="these networks; may be given again")
    parser.add_argument("--remedy", action="append", help="this remedy; may be given again")
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall", help="cpu: for a busy machine")
    arguments = parser.parse_args(given)
    on_cpu_clock = arguments.clock == "cpu"
    if on_cpu_clock:
        torch.set_num_threads(1)
    sections = [partial(steps, name, order) for name in arguments.only or NETWORKS for order in ORDERS]
    rule = CPU_RULE if on_cpu_clock else RULE
    on_torch.run(parser, arguments, sections, "remedies", rule, quick=arguments.rounds < FEW)


if __name__ == "__main__":
    main()
