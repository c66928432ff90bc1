"""Audit the three trained networks of results/audit: SqueezeNet on photographs, ResNet-20 and ResNet-56 on CIFAR-10.

    python -m scripts.audit_examples NAME DATA OUT [--borders circular|own|both]

NAME is squeezenet, resnet20 or resnet56. DATA is a folder with imagenet-sample/, cifar10/ (sheets as
``scripts.pack_data`` describes) and weights/. The same command continues a run that was stopped.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from analysis.networks.loading import load_network
from analysis.reports.audit import audit_report
from analysis.reports.summaries import audit_summary
from scripts.pack_data import pictures_of

PHOTOGRAPHS, TEST_IMAGES = 100, 200
PERIOD = ((0.0, 1.0), (1.0, 0.0), (0.0, 2.0), (2.0, 0.0), (0.0, 4.0))
"""Shifts that, with their opposites, go through one period of the CIFAR networks along each axis."""

REMEDIES, MENDED = ("blur3", "ideal"), {"squeezenet": 12}
"""With each of which the places are mended one by one; and on how many of the pictures, if not on all."""

WEIGHTS = {
    "squeezenet": "squeezenet_v1_0_deep_compressed.npz",
    "resnet20": "resnet20-12fca82f.th",
    "resnet56": "resnet56-4bfd9763.th",
}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=WEIGHTS)
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--borders", choices=["circular", "own", "both"], default="both")
    arguments = parser.parse_args()
    weights = arguments.data / "weights" / WEIGHTS[arguments.name]
    images: Any
    shifts: tuple[tuple[float, float], ...]
    if arguments.name == "squeezenet":
        network = load_network("squeezenet", weights)
        files = sorted((arguments.data / "imagenet-sample").glob("*.jpg"))
        images = [str(file) for file in files[:: len(files) // PHOTOGRAPHS]][:PHOTOGRAPHS]
        shifts = ((0.0, 1.0), (0.0, 4.0))
    else:
        network = load_network(f"{arguments.name}-cifar", weights)
        sheet = pictures_of(arguments.data / "cifar10" / "test_00.webp")
        images = [np.ascontiguousarray(picture) for picture in sheet[:TEST_IMAGES]]
        shifts = PERIOD
    borders = ("circular", "own") if arguments.borders == "both" else (arguments.borders,)
    report = audit_report(
        network,
        images,
        arguments.out,
        shifts=shifts,
        borders=borders,
        mend=REMEDIES,
        mend_limit=MENDED.get(arguments.name),
        options={"turns": True},
    )
    print(audit_summary(report))


if __name__ == "__main__":
    main()
