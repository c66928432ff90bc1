"""Discrepancy of trained kernels predicted from one half of the photographs, measured on the other half.

    python -m scripts.prediction_results DATA OUT [NAME ...]

DATA is a folder with imagenet-sample/ and weights/, NAME of alexnet, caffenet, resnet18, squeezenet; all by default.
Photographs with even numbers give the spectra, the others are measured. A network that OUT has is not measured again.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from analysis import estimate_spectrum, first_layer
from analysis.files.atomic import write_atomically
from analysis.files.pictures import ImageFolder
from analysis.kernels import kernel_prediction, measure_kernels, rank_interval
from scripts.prescribe_results import LAYERS
from wavelets.complex_filters import GRID, complex_filters
from wavelets.kernel_kinds import kernel_kinds

NAMES = ("alexnet", "caffenet", "resnet18", "squeezenet")
MODELS = ("gaussian", "predicted")
SPECTRUM_POINTS = 255
RESAMPLES = 10_000


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", default=NAMES)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    files = {name: arguments.out / f"{name}.csv" for name in NAMES}
    for name in arguments.names:
        if not files[name].exists():
            _write(predicted_and_measured(name, arguments.data), files[name])
    found = pd.DataFrame([summary(name, pd.read_csv(file)) for name, file in files.items() if file.exists()])
    _write(found, arguments.out / "summary.csv")
    print(found.T.to_string())


def predicted_and_measured(name: str, data: Path) -> pd.DataFrame:
    """One row a band-pass kernel: what one half of the photographs predicts, the other half measures."""
    source, options = LAYERS[name]
    layer = first_layer(data / "weights" / source, **options)
    paths = list(ImageFolder(data / "imagenet-sample"))
    spectra = estimate_spectrum(paths[::2], points=SPECTRUM_POINTS, colour=True, level=layer.mean)
    measured = measure_kernels(layer, paths[1::2])
    chosen = kernel_kinds(layer.weight) == "band-pass"
    filters = complex_filters(layer.weight.astype(np.float64), GRID)
    predicted = kernel_prediction(layer, filters, spectra, chosen, [(0.0, 0.0)])
    frame = pd.DataFrame({"kernel": np.flatnonzero(chosen)})
    for variable in ("rho_rms", "rho_rms_stderr"):
        frame[variable] = measured[variable].values[chosen]
    for model in MODELS:
        frame[f"{model}_rho"] = predicted[f"{model}_rho"][chosen]
    return frame.assign(spectrum_n=len(paths[::2]), n=measured.attrs["images_used"])


def summary(name: str, frame: pd.DataFrame) -> dict[str, object]:
    """Rank correlations and median errors of both models, and the paired difference of the correlations."""
    rho = frame.rho_rms.to_numpy()
    row: dict[str, object] = {"network": name, "kernels": len(frame), "photographs": frame.n.iloc[0]}
    for model in MODELS:
        predicted = frame[f"{model}_rho"].to_numpy()
        names = [f"{model}_{part}" for part in ("correlation", "low", "high")]
        row |= dict(zip(names, rank_interval(rho, predicted), strict=True))
        error = predicted / rho - 1
        row |= {f"{model}_median_error": np.median(abs(error)), f"{model}_worst_error": error[abs(error).argmax()]}
        row[f"{model}_bias"] = np.median(error)
    vectors = np.stack([rho, *(frame[f"{model}_rho"] for model in MODELS)])
    chosen = np.random.default_rng(0).integers(len(rho), size=(RESAMPLES, len(rho)))
    ranks = rankdata(vectors[:, chosen], axis=-1)
    ranks -= ranks.mean(axis=-1, keepdims=True)
    ranks /= np.sqrt((ranks**2).sum(axis=-1, keepdims=True))
    gaussian, mixture = ((ranks[0] * ranks[k]).sum(axis=-1) for k in (1, 2))
    low, high = np.quantile(mixture - gaussian, (0.025, 0.975))
    difference = row["predicted_correlation"] - row["gaussian_correlation"]  # type: ignore[operator]
    return row | {"difference": difference, "difference_low": low, "difference_high": high}


def _write(frame: pd.DataFrame, path: Path) -> None:
    write_atomically(path, lambda temporary: frame.to_csv(temporary, index=False, float_format="%.5g"))


if __name__ == "__main__":
    main()
