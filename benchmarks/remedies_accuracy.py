"""One-crop accuracy of SqueezeNet 1.0 with every remedy, without training, on the ImageNet sample.

    python -m benchmarks.remedies_accuracy WEIGHTS.npz FOLDER [--pictures 1000] [--out accuracy.csv]

FOLDER holds the photographs and classes.csv. Prints the table as it grows, and checks that the trainable remedies equal
their binomial filter before training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from benchmarks.stability_report import read
from networks.catalogue import remedies
from networks.metrics import TopK, resized
from networks.squeezenet import SIZE, load_squeezenet, preprocess

REMEDIES = ("blur2", "blur3", "blur5", "aps-l1", "aps-l2", "aps-linf", "intrablock", "cmod")
OPTIONS = {"intrablock": {"names": ["fire2", "fire5", "fire9"]}}
"""SqueezeNet has no nn.Sequential: here are the ends of the first layers of its blocks."""

UNTRAINED = {"tlpf": "blur5", "adaptive-blur": "blur3"}
"""What a trainable remedy equals before it is trained."""

BATCH = 8


@torch.no_grad()
def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()

    plain = load_squeezenet(arguments.weights)
    pictures, labels = read(arguments.folder, arguments.pictures)
    example = torch.zeros(1, 3, SIZE, SIZE)

    def model(name: str) -> torch.nn.Module:
        return remedies()[name](plain, example, **OPTIONS.get(name, {}))[0]

    def batch(start: int) -> torch.Tensor:
        x = preprocess(resized(pictures[start : start + BATCH], SIZE) / 255)
        return x.contiguous(memory_format=torch.channels_last)

    models = {"plain": plain, **{name: model(name) for name in REMEDIES}}
    scores = {name: TopK() for name in models}
    kept = dict.fromkeys(models, 0)
    for start in tqdm(range(0, len(pictures), BATCH), unit="batch"):
        x = batch(start)
        top = plain(x).argmax(1)
        for name, network in models.items():
            logits = network(x)
            scores[name].update(logits, labels[start : start + BATCH])
            kept[name] += int((logits.argmax(1) == top).sum())
    rows = pd.DataFrame(
        {
            name: {f"top{k}": 100 * share for k, share in score.compute().items()}
            | {"same_answer": 100 * kept[name] / len(pictures)}
            for name, score in scores.items()
        }
    ).T.rename_axis("remedy")
    rows.insert(2, "accuracy_lost", rows.top1["plain"] - rows.top1)
    print(f"one crop of {len(pictures)} photographs, percent\n{rows.to_string(float_format='%.1f')}")
    if arguments.out:
        rows.round(3).to_csv(arguments.out)
    x = batch(0)
    for name, fixed in UNTRAINED.items():
        expected, found = model(fixed)(x), model(name)(x)
        gap = float((found - expected).abs().max() / expected.abs().max())
        print(f"{name} before training: logits differ from those of {fixed} by {gap:.1e} of the largest")


if __name__ == "__main__":
    main()
