"""Stability of SqueezeNet 1.0 on the ImageNet sample: all metrics that apply to a trained network and its kernels.

    python -m scripts.stability_report WEIGHTS.npz FOLDER [--pictures 1000] [--features 16] [--out report.nc]

FOLDER holds the photographs and classes.csv. Prints the report, and what each part took.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from analysis.networks.metrics import FeatureDistance, kernel_variation, resized
from analysis.networks.squeezenet import SIZE, load_squeezenet, preprocess
from analysis.runs.folder import RunFolder
from analysis.runs.journal import Journal
from analysis.stability.experiment import NetworkStability, measure_stability, table
from analysis.stability.labels import Labels

LAYERS = ("conv1", "pool1", "fire2", "fire3", "fire4", "pool4", "fire5", "fire6", "fire7", "fire8", "pool8", "fire9")
FEATURE_SHIFTS = tuple((step, step) for step in (1, 2, 4, 8, 16))


def read(folder: Path, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Photographs, (N, 3, 224, 224) uint8, and labels; every so many, to keep the classes spread."""
    with open(folder / "classes.csv") as file:
        rows = list(csv.DictReader(file))
    rows = rows[:: max(1, len(rows) // count)][:count]
    pictures = [np.array(Image.open(folder / row["file"]).convert("RGB")) for row in tqdm(rows, "reading")]
    labels = torch.tensor([int(row["index"]) for row in rows])
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous(), labels


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--features", type=int, default=16, help="pictures for the feature distances")
    parser.add_argument("--ten-crop", action="store_true")
    parser.add_argument("--journal", type=Path, help="folder that exists, for the journal of a run that can be resumed")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    model = load_squeezenet(arguments.weights)
    pictures, labels = read(arguments.folder, arguments.pictures)
    start = time.perf_counter()
    experiment = NetworkStability(
        {"plain": model},
        SIZE,
        side=pictures.shape[-1],
        half_pixel=(0.5, 1),
        ten_crop=arguments.ten_crop,
        labels=Labels({f"array {i}": int(label) for i, label in enumerate(labels)}),
        preprocess=preprocess,
    )
    images = list(pictures.permute(0, 2, 3, 1).contiguous().numpy())
    with contextlib.ExitStack() as stack:
        journal = None
        if arguments.journal:
            run = stack.enter_context(RunFolder(arguments.journal, "stability.journal", experiment.settings()))
            journal = Journal(run)
        report = measure_stability(images, experiment, journal=journal)
    print(f"stability of {len(pictures)} pictures: {time.perf_counter() - start:.0f} s")
    print(table(report).T.to_string(float_format="%.2f"))
    for name in ("flip_rate", "divergence", "half_divergence", "diagonal", "adversary", "positions"):
        print(f"{name}\n{report[name].isel(remedy=0).to_pandas().round(4).to_string()}")

    start = time.perf_counter()
    distance = FeatureDistance(model, LAYERS, FEATURE_SHIFTS)
    few = pictures[:: max(1, len(pictures) // arguments.features)][: arguments.features]
    for part in tqdm(few.split(4), "features"):
        distance.update(preprocess(resized(part, SIZE) / 255))
    maps = distance.compute()
    print(f"feature distances of {arguments.features} pictures: {time.perf_counter() - start:.0f} s")
    rows = maps.equivariance.to_pandas().set_axis([f"({y},{x})" for y, x in FEATURE_SHIFTS], axis="columns")
    print(rows.assign(different=maps.different.values).round(4).to_string())
    variation = {name: round(value, 3) for name, value in kernel_variation(model).items()}
    print("total variation of kernels", variation)
    if arguments.out:
        report.to_netcdf(arguments.out)


if __name__ == "__main__":
    main()
