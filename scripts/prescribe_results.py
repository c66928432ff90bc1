"""Predicted and measured points of the fronts of five layers: makes results/prescribe.

``python -m scripts.prescribe_results`` needs the weights and photographs that SHIFTSCOPE_DATA names. The spectrum is
estimated on 100 photographs, and 12 points of each front are measured on 60 others.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from time import process_time

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from analysis import estimate_spectrum, first_layer
from analysis.files.atomic import write_atomically
from analysis.files.pictures import ImageFolder
from analysis.kernels.prescription import measure_designs, prescribe, spread_front

POINTS, TRAINING, HELD_OUT = 12, 100, 60
OUT = Path(__file__).resolve().parent.parent / "results" / "prescribe"
LAYERS = {
    "embedded": ("default", {}),
    "alexnet": ("alexnet_torchvision_conv1.npz", {"like": "alexnet"}),
    "caffenet": ("caffenet_conv1.npz", {"like": "caffenet"}),
    "squeezenet": ("squeezenet_v1_0_deep_compressed.npz", {"like": "squeezenet1_0", "weight": "conv1.weight"}),
    "resnet18": ("resnet18_conv1.npz", {"like": "resnet18", "weight": "weight"}),
}


def main(names: list[str]) -> None:
    """Measure the layers of these names, all by default, and write a table for each and one of all."""
    data = Path(os.environ["SHIFTSCOPE_DATA"])
    paths = list(ImageFolder(data / "imagenet-sample"))[:: 1000 // (TRAINING + HELD_OUT)]
    order = np.random.default_rng(0).permutation(len(paths))
    training, held_out = (
        [paths[i] for i in part] for part in (order[:TRAINING], order[TRAINING : TRAINING + HELD_OUT])
    )
    OUT.mkdir(parents=True, exist_ok=True)
    for name in names or LAYERS:
        source, options = LAYERS[name]
        layer = first_layer(source if source == "default" else data / "weights" / source, **options)
        spectrum = estimate_spectrum(training, colour=True, level=layer.mean, progress=False)
        start = process_time()
        table = prescribe(layer, spectrum, progress=False)
        seconds = process_time() - start
        points = spread_front(table, POINTS)
        measured = measure_designs(layer, table, points, held_out, progress=False)
        shown = table.isel(design=points)[["name", "eta", "eta_stderr", "rho", "multiplications", "memory"]]
        frame = shown.to_dataframe().assign(layer=name, spectrum_n=TRAINING, n=HELD_OUT, cpu_seconds=round(seconds, 1))
        for variable in ("eta", "eta_stderr", "rho"):
            frame[f"measured_{variable}"] = measured[variable].values
        write_atomically(
            OUT / f"{name}.csv", lambda path, frame=frame: frame.to_csv(path, index=False, float_format="%.5g")
        )
        print(summary(name, frame).to_string(), flush=True)
    found = {name: pd.read_csv(OUT / f"{name}.csv") for name in LAYERS if (OUT / f"{name}.csv").exists()}
    whole = pd.concat([summary(name, frame) for name, frame in found.items()])
    write_atomically(OUT / "summary.csv", lambda path: whole.to_csv(path, index=False, float_format="%.4g"))


def summary(name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """One row: rank correlation, and the errors of the prediction relative to the measurement."""
    row: dict[str, object] = {"layer": name, "points": len(frame), "pictures": frame.n.iloc[0]}
    for variable in ("eta", "rho"):
        error = frame[variable] / frame[f"measured_{variable}"] - 1
        row[f"{variable}_rank_correlation"] = spearmanr(frame[variable], frame[f"measured_{variable}"]).statistic
        row[f"{variable}_median_error"] = error.abs().median()
        row[f"{variable}_worst_error"] = error[error.abs().idxmax()]
        row[f"{variable}_worst"] = frame.name[error.abs().idxmax()]
    return pd.DataFrame([row | {"cpu_seconds": frame.cpu_seconds.iloc[0]}])


if __name__ == "__main__":
    main(sys.argv[1:])
