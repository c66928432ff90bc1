"""Accuracy of SqueezeNet 1.0 with every remedy, without training, on the ImageNet sample.

    python -m scripts.remedies_accuracy WEIGHTS.npz FOLDER [--pictures 1000] [--ten-crop] [--out accuracy.csv]

FOLDER holds the photographs and classes.csv. One crop, and with --ten-crop the mean of ten too, which takes ten times
as long more. Prints the table, and checks that the trainable remedies equal their binomial filter before training.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

import pandas as pd
import torch
from tqdm import tqdm

from analysis.networks.metrics import resized, ten_crops
from analysis.networks.metrics.accuracy import rank_of
from analysis.networks.remedy_table import remedies
from analysis.networks.squeezenet import SIZE, load_squeezenet, preprocess
from scripts.feature_distances import read

REMEDIES = (
    *("blur2", "blur3", "blur5", "blur7", "rectangle3", "triangle5", "window7", "least-squares7"),
    *("aps-l1", "aps-l2", "aps-linf", "intrablock", "cmod", "cmod-band-pass", "tlpf", "adaptive-blur"),
)
APS = ("aps-l1", "aps-l2", "aps-linf")
OPTIONS = {"intrablock": {"names": ["fire2", "fire5", "fire9"]}} | {name: {"types": torch.nn.MaxPool2d} for name in APS}
"""SqueezeNet has no nn.Sequential: here are the ends of the first layers of its blocks. Its first stride stays."""

UNTRAINED = {"tlpf": "blur5", "adaptive-blur": "blur3"}
"""Remedy that a trainable one equals before it is trained."""

BATCH = 8
LARGE = round(SIZE * 256 / 224)
"""Side that pictures have when ten crops are taken."""


def error_of_mean(values: torch.Tensor) -> float:
    """Of the mean of one value a photograph, in percent of 1."""
    return 100 * float(values.double().std()) / len(values) ** 0.5


def table(right: dict[str, dict[str, torch.Tensor]], same: dict[str, torch.Tensor]) -> pd.DataFrame:
    """One row a network in percent, the first being the plain one.

    `right` holds, by network and metric, whether each photograph's class was among the best; `same`, whether the answer
    is the plain network's. Standard errors are over photographs, those of what is lost over pairs.
    """
    plain, *_ = right.values()
    rows = {}
    for name, found in right.items():
        row = {}
        for metric, hits in found.items():
            row[metric] = 100 * float(hits.double().mean())
            if metric.endswith("top1"):
                row[f"{metric}_se"] = error_of_mean(hits)
        lost = plain["top1"].double() - found["top1"].double()
        row |= {"accuracy_lost": 100 * float(lost.mean()), "accuracy_lost_se": error_of_mean(lost)}
        rows[name] = row | {"same_answer": 100 * float(same[name].double().mean()), "pictures": len(lost)}
    return pd.DataFrame(rows).T.rename_axis("remedy")


@torch.no_grad()
def main(given: list[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.remedies_accuracy", description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pictures", type=int, default=1000)
    parser.add_argument("--ten-crop", action="store_true")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args(given)

    plain = load_squeezenet(arguments.weights)
    pictures, labels = read(arguments.folder, arguments.pictures)
    example = torch.zeros(1, 3, SIZE, SIZE)

    def model(name: str) -> torch.nn.Module:
        return remedies()[name](plain, example, **OPTIONS.get(name, {}))[0]

    def prepared(crops: torch.Tensor) -> torch.Tensor:
        return preprocess(crops / 255).contiguous(memory_format=torch.channels_last)

    models = {"plain": plain, **{name: model(name) for name in REMEDIES}}
    right: dict[str, dict[str, list[torch.Tensor]]] = {name: defaultdict(list) for name in models}
    same: dict[str, list[torch.Tensor]] = {name: [] for name in models}
    for start in tqdm(range(0, len(pictures), BATCH), unit="batch"):
        part, truth = pictures[start : start + BATCH], labels[start : start + BATCH]
        x = prepared(resized(part, SIZE))
        ten = [prepared(c) for c in ten_crops(resized(part, LARGE), SIZE)] if arguments.ten_crop else []
        top = plain(x).argmax(1)
        for name, network in models.items():
            scores = {"": network(x)}
            if ten:
                scores["ten_"] = torch.stack([network(crop).softmax(1) for crop in ten]).mean(0)
            for prefix, of in scores.items():
                rank = rank_of(of, truth)
                for k in (1, 5):
                    right[name][f"{prefix}top{k}"].append(rank < k)
            same[name].append(scores[""].argmax(1) == top)
    rows = table(
        {name: {metric: torch.cat(parts) for metric, parts in found.items()} for name, found in right.items()},
        {name: torch.cat(parts) for name, parts in same.items()},
    )
    print(f"{len(pictures)} photographs, percent\n{rows.to_string(float_format='%.1f')}")
    if arguments.out:
        rows.round(3).to_csv(arguments.out)
    x = prepared(resized(pictures[:BATCH], SIZE))
    for name, fixed in UNTRAINED.items():
        expected, found = models[fixed](x), models[name](x)
        gap = float((found - expected).abs().max() / expected.abs().max())
        print(f"{name} before training: logits differ from those of {fixed} by {gap:.1e} of the largest")


if __name__ == "__main__":
    main()
