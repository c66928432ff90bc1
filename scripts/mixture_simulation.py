"""Discrepancy of AlexNet's kernels on simulated fields of the mixture, against its prediction.

    python -m scripts.mixture_simulation DATA OUT.csv [--features 1 --fields 512]

DATA is a folder with imagenet-sample/ and weights/. The fields have the cross-spectra of every fifth photograph and,
over a Gaussian field, isolated features, so many of each principal colour in a period of 255 pixels. They are measured
as photographs are. The same command with other numbers of features adds rows to OUT.csv.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from analysis import estimate_spectrum, first_layer
from analysis.files.atomic import write_atomically
from analysis.files.pictures import ImageFolder
from analysis.kernels import FirstLayer, measure_kernels
from analysis.prediction import mixture_fields, predict, typical_share
from wavelets.complex_filters import GRID, complex_filters
from wavelets.kernel_kinds import kernel_kinds

CONTRAST = 0.02  # keeps the values of a field within a picture's


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--features", type=float, nargs="+", default=[1.0, 0.25, 0.0625])
    parser.add_argument("--fields", type=int, default=512)
    arguments = parser.parse_args()
    layer = first_layer(arguments.data / "weights" / "alexnet_torchvision_conv1.npz", like="alexnet", name="AlexNet")
    index = np.flatnonzero(kernel_kinds(layer.weight) == "band-pass")
    layer = replace(layer, weight=layer.weight[index], bias=None)
    paths = list(ImageFolder(arguments.data / "imagenet-sample"))[::5]
    spectra = estimate_spectrum(paths, colour=True, level=layer.mean, progress=False)
    share = typical_share(layer.stride)
    filters = complex_filters(layer.weight.astype(np.float64), GRID) / np.array(layer.std)[:, None, None]
    predicted = predict(filters, spectra, layer.stride, [(0, 0)], layer.q, share, progress=False)
    for features in arguments.features:
        measured = simulated(layer, spectra, share, features, arguments.fields)
        frame = pd.DataFrame({"kernel": index, "features": features, "fields": arguments.fields, "share": share})
        frame["predicted_rho"] = predicted.rho_rms.values
        frame["simulated_rho"], frame["simulated_rho_stderr"] = measured
        if arguments.out.exists():
            frame = pd.concat([pd.read_csv(arguments.out).query("features != @features"), frame])
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(arguments.out, lambda path, frame=frame: frame.to_csv(path, index=False, float_format="%.5g"))
    print(summary(pd.read_csv(arguments.out)).to_string())


def simulated(
    layer: FirstLayer, spectra: np.ndarray, share: float, features: float, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Discrepancy of each kernel on fields, and its standard error."""
    rng = np.random.default_rng(0)
    reach = GRID * layer.weight.shape[-1] + 2 * layer.q * layer.stride
    half = reach // 2
    size = spectra.shape[-1] + 2 * half

    class Fields:
        """Pictures, made when they are asked for; they go on as their own period, so that every place counts alike."""

        def __iter__(self):
            for _ in range(count // 16):
                for field in mixture_fields(CONTRAST * spectra, share, 16, rng, features):
                    wide = np.pad(field, ((0, 0), (half, half), (half, half)), mode="wrap")
                    yield (np.array(layer.mean)[:, None, None] + wide).transpose(1, 2, 0)

    found = measure_kernels(layer, Fields(), [(0.0, 0.0)], size=size, progress=True)
    return found.rho_rms.values, found.rho_rms_stderr.values


def summary(frame: pd.DataFrame) -> pd.DataFrame:
    """One row a number of features: how the simulation stands to the prediction."""
    rows = []
    for features, part in frame.groupby("features"):
        ratio = part.simulated_rho / part.predicted_rho
        z = (part.simulated_rho - part.predicted_rho) / part.simulated_rho_stderr
        rows.append(
            {
                "features": features,
                "fields": part.fields.iloc[0],
                "median_ratio": ratio.median(),
                "smallest": ratio.min(),
                "largest": ratio.max(),
                "rms_z": np.sqrt((z**2).mean()),
                "median_relative_stderr": (part.simulated_rho_stderr / part.predicted_rho).median(),
                "rank_correlation": part[["simulated_rho", "predicted_rho"]].corr("spearman").iloc[0, 1],
            }
        )
    return pd.DataFrame(rows)


if __name__ == "__main__":
    main()
