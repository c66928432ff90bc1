"""Accuracy of a trained CIFAR ResNet with remedies, without training, on all 10,000 test images of CIFAR-10.

    python -m scripts.cifar_accuracy NAME WEIGHTS.th FOLDER OUT.csv

NAME is resnet20-cifar or resnet56-cifar. FOLDER holds sheets and labels.npz as ``scripts.pack_data`` describes. The
pictures are not resampled and not shifted. `blur3` is tried with three ways of going on beyond the border; its own is
"reflect", Zhang's.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from analysis.networks.loading import load_network
from analysis.networks.remedy_table import remedy
from scripts.pack_data import pictures_of
from scripts.remedies_accuracy import table

VARIANTS = {
    "blur3": ("blur3", {}),
    "blur3 zeros": ("blur3", {"padding_mode": "zeros"}),
    "blur3 replicate": ("blur3", {"padding_mode": "replicate"}),
    "aps-l2": ("aps-l2", {}),
    "ideal": ("ideal", {}),
}
BATCH = 200


@torch.inference_mode()
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name")
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    network = load_network(arguments.name, arguments.weights)
    sheets = sorted(arguments.folder.glob("test_*.webp"))
    pictures = torch.from_numpy(np.concatenate([pictures_of(sheet) for sheet in sheets])).permute(0, 3, 1, 2)
    labels = torch.from_numpy(np.load(arguments.folder / "labels.npz")["test_labels"].reshape(-1).astype(np.int64))
    example = network.preprocess(torch.zeros(1, 3, network.size, network.size))
    models = {"plain": network.model}
    for name, (operator, options) in VARIANTS.items():
        models[name] = remedy(operator)(network.model, example, **options)[0].eval()
    answers: dict[str, list[torch.Tensor]] = {name: [] for name in models}
    for part in tqdm(pictures.split(BATCH), unit="batch"):
        x = network.preprocess(part.float() / 255)
        for name, model in models.items():
            answers[name].append(model(x).argmax(1))
    found = {name: torch.cat(parts) for name, parts in answers.items()}
    right = {name: {"top1": answer == labels} for name, answer in found.items()}
    rows = table(right, {name: answer == found["plain"] for name, answer in found.items()})
    rows["top1_of_the_first_2000"] = [100 * float(hits["top1"][:2000].double().mean()) for hits in right.values()]
    print(rows.to_string(float_format="%.2f"))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    rows.round(3).to_csv(arguments.out)


if __name__ == "__main__":
    main()
