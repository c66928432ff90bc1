"""Draw the pictures of docs/experiments.md: block diagrams of RMax, CMod and the twins, and the contact sheet.

python -m scripts.document_pictures [docs/images]
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data

from analysis.files.results import save_figure
from analysis.networks.twins import packet_groups, walexnet, wresnet
from analysis.networks.twins.stage import TwinLayer
from analysis.plots import corruption_sheet, operators_diagram, twin_diagram
from analysis.plots.diagrams import Twin
from analysis.stability.corruptions import CORRUPTIONS, all_corrupted


def numbers(name: str, layer: TwinLayer, groups: list[packet_groups.PacketGroup]) -> Twin:
    """Numbers of a twin's first stage, from its code."""
    gabor, kept = sum(group.outputs for group in groups), sum(len(group.channels) for group in groups)
    return Twin(name, layer.kernel_size, layer.stride, layer.free, gabor, layer.levels, kept, layer.normalised)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", default=Path("docs/images"))
    folder = parser.parse_args().folder
    twins = {
        "walexnet": numbers("WAlexNet", walexnet.LAYER, list(packet_groups.alexnet_groups())),
        "wresnet": numbers("WResNet", wresnet.LAYER, list(packet_groups.resnet_groups())),
    }
    drawn = {"operators": operators_diagram(), **{name: twin_diagram(twin) for name, twin in twins.items()}}
    for name, figure in drawn.items():
        save_figure(figure, folder / f"{name}.png", dpi=110)
    picture = np.asarray(Image.fromarray(data.astronaut()).resize((224, 224)))
    sheet = corruption_sheet(all_corrupted(picture), CORRUPTIONS, picture)
    sheet.savefig(folder / "corruptions.jpg", dpi=80, pil_kwargs={"quality": 80})


if __name__ == "__main__":
    main()
