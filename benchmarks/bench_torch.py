"""Time the torch module, its formulations interleaved in one run: `python benchmarks/bench_torch.py --device cuda`.

Prints median images per second of the forward transform, of forward and backward, and of the fused measurement; then
both formulations by image side, where they cross, and the `DENSE_ADVANTAGE` of wavelets.nn that this machine suggests.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from analysis.on_torch import packet_sums
from wavelets.nn import DENSE_ADVANTAGE, DualTreePackets2d


def medians(jobs: dict[str, Callable[[], object]], rounds: int, device: str) -> dict[str, float]:
    """Median seconds of each job, one of each a round; the first round warms up."""
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None
    times: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(rounds + 1):
        for name, job in jobs.items():
            wait()
            start = time.perf_counter()
            job()
            wait()
            times[name].append(time.perf_counter() - start)
    return {name: float(np.median(values[1:])) for name, values in times.items()}


def methods_on(device: str) -> list[str]:
    return ["numba", "dense", "banded"] if device == "cpu" else ["dense", "banded"]


def forward_and_backward(module: DualTreePackets2d, images: torch.Tensor) -> torch.Tensor:
    leaf = images.detach().requires_grad_()
    module(leaf).abs().square().sum().backward()
    return leaf.grad


def throughput(arguments: argparse.Namespace) -> None:
    """Print what one device does with a batch of images of one size."""
    device, levels = arguments.device, arguments.levels
    images = torch.rand(arguments.batch, arguments.side, arguments.side, device=device)
    moved = torch.rand(1, *images.shape, device=device)
    print(f"\n| {arguments.batch} images of {arguments.side}x{arguments.side}, J={levels} | method | images/s |")
    print("|---|---|---|")
    jobs = {}
    for method in methods_on(device):
        coarse = DualTreePackets2d(levels, method=method).to(device)
        fine = DualTreePackets2d(levels, stride=2 ** (levels - 1), method=method).to(device)
        coefficients = coarse(images)
        jobs |= {
            f"forward, stride {coarse.stride} | {method}": lambda m=coarse: m(images),
            f"forward, stride {fine.stride} | {method}": lambda m=fine: m(images),
            f"inverse | {method}": lambda m=coarse, c=coefficients: m.inverse(c, arguments.side),
            f"forward and backward | {method}": lambda m=coarse: forward_and_backward(m, images),
            f"fused sums, one shift | {method}": lambda m=fine: packet_sums(m, images, moved, block=arguments.block),
        }
    for name, seconds in medians(jobs, arguments.rounds, device).items():
        print(f"| {name} | {arguments.batch / seconds:.0f} |")


def crossover(arguments: argparse.Namespace) -> None:
    """Print how dense and banded compare as the image grows, about as many pixels in every batch."""
    device, levels = arguments.device, arguments.levels
    modules = {method: DualTreePackets2d(levels, method=method).to(device) for method in ("dense", "banded")}
    ratios = {}
    print("\n| side | dense, ms per image | banded, ms per image | dense / banded |\n|---|---|---|---|")
    for side in arguments.sides:
        batch = max(1, arguments.batch * arguments.side**2 // side**2)
        images = torch.rand(batch, side, side, device=device)
        jobs = {method: lambda m=module, x=images: m(x) for method, module in modules.items()}
        dense, banded = (1e3 * seconds / batch for seconds in medians(jobs, arguments.rounds, device).values())
        ratios[side] = dense / banded
        print(f"| {side} | {dense:.3f} | {banded:.3f} | {ratios[side]:.2f} |")
    # The time of a coefficient grows as its side for dense and not for banded: a line through the origin.
    side = max(ratios)
    border = side / ratios[side]
    taps = modules["dense"].bank.h1.size
    print(f"\nThey cross at a side of about {border:.0f}: DENSE_ADVANTAGE = {border / (levels * taps):.0f} here;")
    print(f"wavelets.nn has {DENSE_ADVANTAGE}, {DENSE_ADVANTAGE * levels * taps} pixels, for accelerators.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--levels", type=int, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--block", type=int, default=16, help="images of the fused sums in memory at a time")
    parser.add_argument("--side", type=int, default=224)
    parser.add_argument("--sides", type=int, nargs="+", default=[32, 64, 128, 256, 512, 1024])
    parser.add_argument("--rounds", type=int, default=7, help="interleaved repetitions of every job")
    arguments = parser.parse_args()
    name = torch.cuda.get_device_name() if arguments.device.startswith("cuda") else f"{torch.get_num_threads()} threads"
    print(f"torch {torch.__version__}, {arguments.device} ({name}), float32")
    throughput(arguments)
    crossover(arguments)


if __name__ == "__main__":
    main()
