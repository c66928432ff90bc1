"""Predicted and measured points of the fronts of five layers: makes results/prescribe.

``python -m scripts.prescribe_results`` needs the weights and photographs that SHIFTSCOPE_DATA names. The spectrum is
estimated on 100 photographs, and 12 points of each front are measured on 60 others.

With ``--blind`` both are photographs that had no part in the choice of the model: not among the first 160, nor in any
evenly spaced sample that was used before (every 2nd, 3rd, 5th, 6th, 8th or 10th photograph). All else is as it was.
This makes results/prescribe/blind.

embedded_before_0.2.csv is of the layer that came with the package before version 0.2, which was learnt by contrast.
"""

from __future__ import annotations

import argparse
import os
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
FIRST, SPACINGS = 160, (2, 3, 5)
"""Of the photographs that were used before: so many at the beginning, and those at multiples of these numbers."""

DATA = Path(os.environ.get("SHIFTSCOPE_DATA", "data"))
OUT = Path(__file__).resolve().parent.parent / "results" / "prescribe"
LAYERS = {
    "embedded": ("default", {}),
    "alexnet": ("alexnet_torchvision_conv1.npz", {"like": "alexnet"}),
    "caffenet": ("caffenet_conv1.npz", {"like": "caffenet"}),
    "squeezenet": ("squeezenet_v1_0_deep_compressed.npz", {"like": "squeezenet1_0", "weight": "conv1.weight"}),
    "resnet18": ("resnet18_conv1.npz", {"like": "resnet18", "weight": "weight"}),
}


def main() -> None:
    """Command line: measure layers and write a table for each and one of all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(LAYERS)}; all by default")
    parser.add_argument("--blind", action="store_true", help="on photographs that were never used before")
    arguments = parser.parse_args()
    out = OUT / "blind" if arguments.blind else OUT
    training, held_out = photographs(arguments.blind)
    out.mkdir(parents=True, exist_ok=True)
    for name in arguments.names or LAYERS:
        frame = predicted_and_measured(name, training, held_out)
        write_atomically(
            out / f"{name}.csv", lambda path, frame=frame: frame.to_csv(path, index=False, float_format="%.5g")
        )
        print(summary(name, frame).to_string(), flush=True)
    found = {path.stem: pd.read_csv(path) for path in sorted(out.glob("*.csv")) if path.stem != "summary"}
    whole = pd.concat([summary(name, frame) for name, frame in found.items()])
    write_atomically(out / "summary.csv", lambda path: whole.to_csv(path, index=False, float_format="%.4g"))


def photographs(blind: bool) -> tuple[list[Path], list[Path]]:
    """Photographs for the spectrum, and others to measure; if blind, of those that were never used before."""
    paths = list(ImageFolder(DATA / "imagenet-sample"))
    if blind:
        paths = [path for i, path in enumerate(paths) if i >= FIRST and all(i % k for k in SPACINGS)]
    else:
        paths = paths[:: 1000 // (TRAINING + HELD_OUT)]
    order = np.random.default_rng(0).permutation(len(paths))
    end = None if blind else TRAINING + HELD_OUT
    return [paths[i] for i in order[:TRAINING]], [paths[i] for i in order[TRAINING:end]]


def predicted_and_measured(name: str, training: list[Path], held_out: list[Path]) -> pd.DataFrame:
    """One row a point of the front of a layer: what the first photographs' spectrum predicts, the others measure."""
    source, options = LAYERS[name]
    layer = first_layer(source if source == "default" else DATA / "weights" / source, **options)
    spectrum = estimate_spectrum(training, colour=True, level=layer.mean, progress=False)
    start = process_time()
    table = prescribe(layer, spectrum, progress=False)
    seconds = process_time() - start
    points = spread_front(table, POINTS)
    measured = measure_designs(layer, table, points, held_out, progress=False)
    shown = table.isel(design=points)[["name", "eta", "eta_stderr", "rho", "multiplications", "memory"]]
    counts = {"spectrum_n": len(training), "n": len(held_out), "cpu_seconds": round(seconds, 1)}
    frame = shown.to_dataframe().assign(layer=name, **counts)
    for variable in ("eta", "eta_stderr", "rho"):
        frame[f"measured_{variable}"] = measured[variable].values
    return frame


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
    main()
