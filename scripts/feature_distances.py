"""Feature distances of SqueezeNet 1.0 under shifts on the ImageNet sample, and the variation of its kernels.

    python -m scripts.feature_distances WEIGHTS.npz FOLDER [--pictures 16] [--out distances.nc]

FOLDER holds the photographs and classes.csv. Prints both; `shiftscope stability` has the metrics of its answers.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from analysis.networks.metrics import FeatureDistance, kernel_variation, resized
from analysis.networks.squeezenet import SIZE, load_squeezenet, preprocess

LAYERS = ("conv1", "pool1", "fire2", "fire3", "fire4", "pool4", "fire5", "fire6", "fire7", "fire8", "pool8", "fire9")
SHIFTS = tuple((step, step) for step in (1, 2, 4, 8, 16))


def read(folder: Path, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Photographs, (N, 3, 224, 224) uint8, and labels; every so many, to keep the classes spread."""
    with open(folder / "classes.csv") as file:
        rows = list(csv.DictReader(file))
    rows = rows[:: max(1, len(rows) // count)][:count]
    pictures = [np.array(Image.open(folder / row["file"]).convert("RGB")) for row in tqdm(rows, "reading")]
    labels = torch.tensor([int(row["index"]) for row in rows])
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).contiguous(), labels


def main(given: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.feature_distances", description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=16)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args(given)

    model = load_squeezenet(arguments.weights)
    pictures, _ = read(arguments.folder, arguments.pictures)
    distance = FeatureDistance(model, LAYERS, SHIFTS)
    for part in tqdm(pictures.split(4), "features"):
        distance.update(preprocess(resized(part, SIZE) / 255))
    maps = distance.compute()
    rows = maps.equivariance.to_pandas().set_axis([f"({y},{x})" for y, x in SHIFTS], axis="columns")
    print(rows.assign(different=maps.different.values).round(4).to_string())
    print("total variation of kernels", {name: round(value, 3) for name, value in kernel_variation(model).items()})
    if arguments.out:
        maps.to_netcdf(arguments.out)


if __name__ == "__main__":
    main()
