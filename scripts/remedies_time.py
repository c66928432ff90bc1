"""Time of SqueezeNet 1.0 with every remedy on the CPU, in both orders of memory.

    python -m scripts.remedies_time [--rounds 7] [--batch 8] [--out time.csv]

Processor time of one thread, for each order medians of rounds in which all take turns. The order of memory decides
what plain max pooling costs: with the channels in the last place torch's loop is several times faster. Weights do not
matter.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import torch

from analysis.networks.remedy_table import remedies
from analysis.networks.squeezenet import SIZE, SqueezeNet
from benchmarks.timing import Job, cpu_times
from scripts.remedies_accuracy import OPTIONS, REMEDIES

ORDERS = {"channels last": torch.channels_last, "channels first": torch.contiguous_format}


@torch.no_grad()
def main(given: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.remedies_time", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args(given)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    plain = SqueezeNet().eval()
    x = torch.randn(arguments.batch, 3, SIZE, SIZE)
    models = {"plain": plain} | {name: remedies()[name](plain, x[:1], **OPTIONS.get(name, {}))[0] for name in REMEDIES}
    inputs = {order: x.contiguous(memory_format=layout) for order, layout in ORDERS.items()}
    rows = pd.DataFrame(index=pd.Index(models, name="remedy"))
    for order, pictures in inputs.items():
        jobs: dict[str, Job] = {name: lambda model=model, x=pictures: model(x) for name, model in models.items()}
        times = cpu_times(jobs, arguments.rounds, order)
        rows[order] = [1000 * times[name].median / arguments.batch for name in models]
    for order in ORDERS:
        rows[f"added %, {order}"] = 100 * (rows[order] / rows[order]["plain"] - 1)
    print(f"ms of processor time a picture\n{rows.to_string(float_format='%.1f')}")
    if arguments.out:
        rows.round(2).to_csv(arguments.out)


if __name__ == "__main__":
    main()
