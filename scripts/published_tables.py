"""Compact tables of the published results of Leterme et al., from the archives of their measurements.

    python -m scripts.published_tables wcnn_results.json wcnn_poster_blur.json [--out analysis/published]

An archive holds one entry a network, under the authors' names; the second is of their first release, whose networks
with Blur have filters of 4 taps. Written are the networks with their errors, the flip rates, the divergences, the
validation errors and what was measured on corrupted and perturbed pictures; nothing is computed but per cent from
shares and errors from accuracies.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path
from typing import Any

import pandas as pd

FOLDER = Path(__file__).parents[1] / "analysis" / "published"
DIRECTIONS = ("horizontal", "vertical", "diagonal")
CLASSES = {"ImageNet": 1000, "CIFAR10": 10}
DATA_SETS = {"ImageNet": "ImageNet", "CIFAR10": "CIFAR-10"}

KEY = re.compile(r"(?P<body>A|R18|R34|R)(?P<blur>zh3|zo3|zh)?(?P<twin>wy)?(?P<data>[IC])(?P<rest>_mod|_abl)?")
BODIES = {"A": "alexnet", "R": "resnet34", "R18": "resnet18", "R34": "resnet34"}
BLURS = {None: "", "zh3": "-blur", "zo3": "-ablur", "zh": "-blur4"}


def network_of(key: str) -> str:
    """Name in the registry of the network that the authors call so."""
    match = KEY.fullmatch(key)
    if match is None:
        raise ValueError(f"unknown network {key!r}; expected a name like AI, RwyI_mod or R18zh3wyC")
    name = BODIES[match["body"]]
    if match["twin"]:
        name = f"w{name}" + ("-cmod" if match["rest"] == "_mod" else "-rmax")
    return name + BLURS[match["blur"]] + ("-ablated" if match["rest"] == "_abl" else "")


def errors(scores: dict[str, Any], crops: str) -> dict[str, float]:
    """Top-1 and, if measured, top-5 error of one or ten crops, per cent."""
    accuracy = scores[{"one_crop": "onecrop", "ten_crops": "tencrops"}[crops]]
    if "1" not in accuracy:  # the later archive has one level more
        ((_, accuracy),) = accuracy.items()
    accuracy = accuracy if isinstance(accuracy, dict) else {"1": accuracy}
    return {f"{crops}_top{k}": per_cent(1 - share) for k, share in accuracy.items()}


def tables(archive: dict[str, Any]) -> dict[str, pd.DataFrame]:
    """All tables, by the names of their files."""
    wcnn, flips, divergence, validation, corruptions, perturbations = [], [], [], [], [], []
    for key in sorted(archive, key=order):
        entry = archive[key]
        name = {"dataset": DATA_SETS[entry["ds_name"]], "network": network_of(key)}
        test = entry["eval_scores"][entry["ds_name"]]["test"]
        scores = {**errors(test, "one_crop"), **errors(test, "ten_crops")}
        size = {"classes": CLASSES[entry["ds_name"]], "parameters": entry["n_params"], "epochs": entry["epochs"]}
        wcnn.append({**name, "archive": key, **size, **scores, "validation_top1": per_cent(entry["best_val_err"])})
        for direction in DIRECTIONS:
            shifts = test[f"shifts_{direction}"]
            rates = {distance: per_cent(share) for distance, share in shifts["mfr"].items()}
            flips.append({**name, "direction": direction, **rates})
            divergence.append({**name, "direction": direction, **dict(enumerate(shifts["kldiv"]))})
        for corruption, by_severity in corrupted(entry["eval_scores"].get("ImageNetC", {})).items():
            corruptions.append({"network": name["network"], "corruption": corruption, **by_severity})
        for perturbation, measured in entry["eval_scores"].get("ImageNetP", {}).items():
            rates = measured.get("perturbations", measured)["mfr"]
            by_distance = {distance: per_cent(share) for distance, share in rates.items()}
            perturbations.append({"network": name["network"], "perturbation": perturbation, **by_distance})
        course = sorted((int(epoch), error) for epoch, error in entry["val_errs"].items())
        validation.append({**name, **{e: per_cent(x["1"] if isinstance(x, dict) else x) for e, x in course}})
    rows = {"wcnn": wcnn, "wcnn_flips": flips, "wcnn_divergence": divergence, "wcnn_validation": validation}
    rows |= {"wcnn_corruptions": corruptions, "wcnn_perturbations": perturbations}
    return {file: pd.DataFrame(table) for file, table in rows.items()}


def corrupted(scores: dict[str, Any]) -> dict[str, dict[str, float]]:
    """Top-1 error, per cent, by corruption and severity."""
    table: dict[str, dict[str, float]] = {}
    for name, score in sorted(scores.items()):
        corruption, severity = name.split("/")
        table.setdefault(corruption, {})[severity] = errors(score, "one_crop")["one_crop_top1"]
    return table


def order(key: str) -> tuple[bool, str]:
    """ImageNet first, ablations last among their like."""
    return "C" in key, key.replace("_abl", "_z")


def per_cent(share: float) -> float:
    """Without the last digits of binary fractions; the archive has six."""
    return round(100 * share, 6)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archives", type=Path, nargs="+", metavar="archive")
    parser.add_argument("--out", type=Path, default=FOLDER)
    arguments = parser.parse_args()
    archive = {key: entry for path in arguments.archives for key, entry in json.loads(path.read_text()).items()}
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, table in tables(archive).items():
        path = arguments.out / f"{name}.csv"
        table.to_csv(path, index=False, lineterminator="\n")
        print(f"{path}: {len(table)} rows, {path.stat().st_size / 1000:.1f} kB")


if __name__ == "__main__":
    main()
