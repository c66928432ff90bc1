"""Draw the figures of stored results again, without measuring: packet maps, predictions, kernels, remedies.

Usage: python -m scripts.results_figures WEIGHTS

WEIGHTS is the folder with the first layers' files that results/README.md names; results do not have the weights.
"""

from __future__ import annotations

import sys
from pathlib import Path

from analysis import load, plots
from analysis.files.results import save_figure
from analysis.kernels import first_layer
from analysis.reports import heatmaps, kernels, stability

RESULTS = Path(__file__).parents[1] / "results"
LAYERS = {
    "alexnet": ("alexnet_torchvision_conv1.npz", "AlexNet"),
    "caffenet": ("caffenet_conv1.npz", "CaffeNet"),
    "resnet18": ("resnet18_conv1.npz", "ResNet-18"),
}
CURVES = ("plain", "blur2", "blur3", "blur5", "least-squares7", "aps-l1", "cmod", "cmod-band-pass")


def main(weights: Path) -> None:
    """Draw all figures into the folders of the results."""
    maps = RESULTS / "imagenet1000_cf_3_3"
    for depth in (2, 3):
        measured, prediction = (load(maps / f"{name}_J{depth}.nc") for name in ("heatmaps", "prediction"))
        for name, draw in heatmaps.figures([measured], [prediction]).items():
            print(save_figure(draw(), maps / f"{name}.png", heatmaps.DPI))
    for like, (file, name) in LAYERS.items():
        folder = RESULTS / "kernels" / like
        layer = first_layer(weights / file, like=like, name=name, progress=False)
        for figure, draw in kernels.figures(load(folder / "kernels.nc"), layer).items():
            print(save_figure(draw(), folder / f"{figure}.png", kernels.DPI))
    folder = RESULTS / "remedies" / "squeezenet"
    compared = load(folder / "stability.nc")
    print(save_figure(plots.trade_figure(compared), folder / "trade.png", stability.DPI))
    some = compared.sel(remedy=list(CURVES))  # all fifteen hide each other, and a picture has no switches
    for name in ("flips", "divergence", "accuracy"):
        print(save_figure(stability.figures(some)[name](), folder / f"{name}.png", stability.DPI))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
