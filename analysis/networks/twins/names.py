"""The twins of the poster by name, and which row of its tables each is (document 000)."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from analysis.networks.documents import BLOCKS, BLURS, FIGURE_9, FIGURE_10, Entry, described
from analysis.networks.twins.walexnet import WAlexNet
from analysis.networks.twins.wresnet import WResNet

IMAGENET = {
    "walexnet-rmax": ("44.9/21.8", "40.8/19.0", "101.4"),
    "walexnet-cmod": ("44.3/21.3", "40.2/18.5", "88.0"),
    "walexnet-rmax-blur": ("44.6/21.9", "40.6/19.0", "59.2"),
    "walexnet-cmod-blur": ("43.6/20.9", "39.5/17.9", "71.0"),
    "wresnet34-rmax": ("27.4/9.2", "24.7/7.6", "77.2"),
    "wresnet34-cmod": ("27.2/9.0", "24.4/7.4", "73.1"),
    "wresnet34-rmax-blur": ("26.6/8.7", "24.3/7.3", "62.7"),
    "wresnet34-cmod-blur": ("26.6/8.6", "24.0/7.3", "61.5"),
    "wresnet34-rmax-ablur": ("26.0/8.2", "23.6/6.9", "62.1"),
    "wresnet34-cmod-ablur": ("26.1/8.2", "23.7/7.0", "63.1"),
}
"""Fig. 9: one-crop and ten-crop top-1/top-5 error in %, mFR."""

CIFAR = {
    "wresnet18-rmax": ("14.2", "10.3", "92.4"),
    "wresnet18-cmod": ("13.8", "9.6", "88.8"),
    "wresnet18-rmax-blur": ("13.1", "9.7", "84.6"),
    "wresnet18-cmod-blur": ("12.3", "8.9", "85.7"),
    "wresnet18-rmax-ablur": ("14.5", "11.0", "86.5"),
    "wresnet18-cmod-ablur": ("12.8", "9.7", "81.7"),
    "wresnet34-rmax": ("14.5", "10.5", "99.2"),
    "wresnet34-cmod": ("12.9", "9.2", "93.0"),
    "wresnet34-rmax-blur": ("13.2", "9.9", "85.6"),
    "wresnet34-cmod-blur": ("12.4", "9.1", "83.7"),
    "wresnet34-rmax-ablur": ("14.0", "10.4", "93.3"),
    "wresnet34-cmod-ablur": ("12.8", "9.2", "86.6"),
}
"""Fig. 10: one-crop and ten-crop top-1 error in %, mFR; rows lost in print from the records."""

ABLATED = {
    "wresnet34-rmax-blur-ablated": ("26.83/8.63", "24.32/7.15", "69.7"),
    "wresnet34-rmax-ablur-ablated": ("26.44/8.36", "23.86/6.96", "70.3"),
}
"""Not on the poster: from the archived records."""

GABOR = {"rmax": "max pooling of the Gabor channels", "cmod": "modulus of complex Gabor channels"}
DEEPER = {
    "": "",
    "-blur": ", 3-tap binomial filters everywhere else",
    "-ablur": ", adaptive filters of Zou et al. everywhere else",
}


def twins() -> Iterator[Entry]:
    """WAlexNet and WResNet, RMax and CMod, with and without blur, and the ablated forms."""
    tables = {FIGURE_9: IMAGENET, FIGURE_10: CIFAR, "records of the poster, ImageNet": ABLATED}
    for twin, gabor in GABOR.items():
        for blur in ("", "-blur"):
            name = f"walexnet-{twin}{blur}"
            alexnet = partial(WAlexNet, twin=twin, pooling=BLURS[blur])
            yield Entry(name, alexnet, described(name, f"WAlexNet, {gabor}{deeper(twin, blur)}", tables))
    for base, blocks in BLOCKS.items():
        title = f"WResNet-{base.removeprefix('resnet')}"
        for twin, gabor in GABOR.items():
            for blur, pooling in BLURS.items():
                name = f"w{base}-{twin}{blur}"
                make = partial(WResNet, blocks, twin=twin, pooling=pooling)
                yield Entry(name, make, described(name, f"{title}, {gabor}{deeper(twin, blur)}", tables))
        for blur in ("-blur", "-ablur"):
            name = f"w{base}-rmax{blur}-ablated"
            make = partial(WResNet, blocks, pooling=BLURS[blur], gabor_pooling="max")
            what = f"{title}, plain max pooling of the Gabor channels{DEEPER[blur]}: the subtractive ablation"
            yield Entry(name, make, described(name, what, tables))
        make = partial(WResNet, blocks, gabor_pooling="blur3")
        what = f"{title}, 3-tap binomial filter on the Gabor channels only: the additive ablation"
        yield Entry(f"w{base}-rmax-blur-additive", make, described("", what, {}))


def deeper(twin: str, blur: str) -> str:
    """What a blur is said to do: of a CMod twin it leaves the Gabor channels alone."""
    return DEEPER[blur] if twin == "cmod" else DEEPER[blur].replace(" else", ", of the Gabor channels too")
