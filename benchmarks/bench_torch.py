"""Time the torch module, its formulations interleaved in one run: `python -m benchmarks.bench_torch --device cuda`.

Prints medians of the forward transform, of forward and backward, and of the fused measurement; then both formulations
by image side, where they cross, and the `DENSE_ADVANTAGE` of wavelets.nn that this machine suggests. The tables are
kept beside those of `python -m benchmarks`.
"""

from __future__ import annotations

import argparse

import torch

from analysis.measurements.packet_sums_torch import torch_packet_sums
from benchmarks import on_torch
from benchmarks.tables import Table
from benchmarks.timing import Job
from wavelets.nn import DENSE_ADVANTAGE, DualTreePackets2d


def forward_and_backward(module: DualTreePackets2d, images: torch.Tensor) -> torch.Tensor:
    leaf = images.detach().requires_grad_()
    module(leaf).abs().square().sum().backward()
    assert leaf.grad is not None
    return leaf.grad


def throughput(arguments: argparse.Namespace) -> Table:
    """Time all that the module does with a batch of images of one size."""
    device, levels = arguments.device, arguments.levels
    images = torch.rand(arguments.batch, arguments.side, arguments.side, device=device)
    moved = torch.rand(1, *images.shape, device=device)
    jobs: dict[str, Job] = {}
    for method in ["numba", "dense", "banded"] if device == "cpu" else ["dense", "banded"]:
        coarse = DualTreePackets2d(levels, method=method).to(device)
        fine = DualTreePackets2d(levels, stride=2 ** (levels - 1), method=method).to(device)
        coefficients = coarse(images)
        jobs |= {
            f"forward, stride {coarse.stride}, {method}": lambda m=coarse: m(images),
            f"forward, stride {fine.stride}, {method}": lambda m=fine: m(images),
            f"inverse, {method}": lambda m=coarse, c=coefficients: m.inverse(c, arguments.side),
            f"forward and backward, {method}": lambda m=coarse: forward_and_backward(m, images),
            f"fused sums, one shift, {method}": lambda m=fine: torch_packet_sums(
                m, images, moved, block=arguments.block
            ),
        }
    times = on_torch.times_of(jobs, arguments, "throughput")
    title = f"torch module, {arguments.batch} images of {arguments.side}x{arguments.side}, float32, J = {levels}"
    name = f"torch J={levels} batch={arguments.batch} side={arguments.side}"
    table = Table.of_times(name, title, "ms per image", times, 1e3 / arguments.batch, main=True)
    table.columns["images/s"] = {job: 1e3 / figure for job, figure in table.figures.items()}
    return table


def crossover(arguments: argparse.Namespace) -> Table:
    """Compare dense and banded as the image grows, about as many pixels in every batch."""
    device, levels = arguments.device, arguments.levels
    modules = {method: DualTreePackets2d(levels, method=method).to(device) for method in ("dense", "banded")}
    title = (
        f"Formulations by side, about {arguments.batch * arguments.side**2 / 1e6:.1f} megapixels a call, J = {levels}"
    )
    table = Table(f"torch crossover J={levels}", title, "ms per image")
    ratios: dict[int, float] = {}
    for side in arguments.sides:
        batch = max(1, arguments.batch * arguments.side**2 // side**2)
        images = torch.rand(batch, side, side, device=device)
        alone: dict[str, Job] = {method: lambda m=module, x=images: m(x) for method, module in modules.items()}
        times = on_torch.times_of(alone, arguments, f"side {side}")
        table.figures |= {f"side {side}, {method}": 1e3 * time.median / batch for method, time in times.items()}
        ratios[side] = times["dense"].median / times["banded"].median
    table.columns["dense / banded"] = {f"side {side}, dense": ratio for side, ratio in ratios.items()}
    # The time of a coefficient grows as its side for dense and not for banded: a line through the origin.
    side = max(ratios)
    border = side / ratios[side]
    taps = modules["dense"].bank.h1.size
    table.notes = [
        f"They cross at a side of about {border:.0f}: DENSE_ADVANTAGE = {border / (levels * taps):.0f} here;",
        f"wavelets.nn has {DENSE_ADVANTAGE}, {DENSE_ADVANTAGE * levels * taps} pixels, for accelerators.",
    ]
    return table


def main(given: list[str] | None = None) -> None:
    parser = on_torch.options("benchmarks.bench_torch", __doc__, batch=16, rounds=7)
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--block", type=int, default=16, help="images of the fused sums in memory at a time")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64, 128, 256, 512, 1024])
    on_torch.run(parser, parser.parse_args(given), [throughput, crossover], "torch")


if __name__ == "__main__":
    main()
