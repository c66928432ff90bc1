"""The networks of the documents: their names, which row of which table each is, and what was published for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from torch import nn

from analysis.networks.architectures import VGG13, VGG41, VGG42, AlexNet, DenseNet, ResNet
from analysis.networks.downsampling import filter_names, tlpf_name


@dataclass(frozen=True)
class Entry:
    """A network with a name.

    Attributes
    ----------
    name : str
    make : callable
        ``make(**options)`` returns the network, new.
    description : str
        What it is, which row of which table it has, and what was published for it.
    """

    name: str
    make: Callable[..., nn.Module]
    description: str


POSTER = {
    "alexnet": ("45.3/22.2", "41.3/19.3", "100.0"),
    "alexnet-blur": ("44.8/22.0", "41.1/19.1", "58.1"),
    "resnet34": ("27.6/9.2", "24.8/7.7", "78.1"),
    "resnet34-blur": ("26.5/8.7", "24.1/7.3", "60.3"),
    "resnet34-ablur": ("26.1/8.3", "23.5/7.0", "60.8"),
}
"""Fig. 9 of the poster, document 000: one-crop and ten-crop top-1/top-5 error in %, mFR."""

POSTER_CIFAR = {
    "resnet18": ("14.9", "10.8", "100.0"),
    "resnet18-blur": ("14.2", "10.4", "87.7"),
    "resnet18-ablur": ("14.6", "11.0", "90.9"),
    "resnet34": ("15.2", "10.9", "100.3"),
    "resnet34-blur": ("15.7", "11.6", "88.2"),
    "resnet34-ablur": ("16.3", "12.8", "91.9"),
}
"""Fig. 10 of the poster: one-crop and ten-crop top-1 error in %, mFR; digits lost in print from the records."""

BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
BLURS = {"": "max", "-blur": "blur3", "-ablur": "adaptive-blur"}
BLUR_FORMS = {
    "": "",
    "-blur": ", 3-tap binomial filters where it subsamples (Zhang)",
    "-ablur": ", adaptive 3×3 low-pass filters of 8 groups where it subsamples (Zou et al.)",
}

BLURPOOL = {
    "": ("91.6 87.4 88.1", "93.4 93.7 96.6"),
    "rectangle2": ("92.8 89.3 90.5", "93.9 93.8 97.6"),
    "rectangle3": ("93.4 91.8 94.5", "93.6 93.7 97.9"),
    "rectangle4": ("93.2 92.9 97.7", "93.4 93.4 98.5"),
    "rectangle5": ("92.2 92.1 98.3", "92.4 92.5 98.7"),
    "rectangle6": ("91.4 91.2 97.3", "91.4 91.5 98.9"),
    "rectangle7": ("90.8 90.7 98.8", "90.5 90.5 99.0"),
    "triangle3": ("93.1 91.4 93.9", "93.6 93.5 98.0"),
    "triangle5": ("93.3 93.0 98.2", "93.3 93.2 98.6"),
    "triangle7": ("92.3 92.3 98.8", "92.4 92.3 99.0"),
    "blur4": ("93.0 91.1 93.2", "93.4 93.3 98.1"),
    "blur5": ("93.2 92.6 96.3", "93.1 93.2 98.4"),
    "blur6": ("93.0 92.4 96.9", "93.4 93.3 98.6"),
    "blur7": ("93.0 93.0 98.1", "93.2 93.2 98.8"),
    "window3": ("93.3 91.5 94.2", "93.5 93.5 98.0"),
    "window6": ("92.9 90.2 91.0", "93.4 93.5 98.1"),
    "window7": ("92.4 91.1 94.0", "93.4 93.5 97.8"),
    "least-squares3": ("93.1 91.4 93.8", "93.7 93.8 98.0"),
    "least-squares7": ("92.7 91.0 93.9", "93.4 93.5 97.9"),
}
"""Table 1 of document 002: accuracy, accuracy at random shifts, consistency in %, without and with augmentation."""

SOUND: dict[str, tuple[str, bool, str, str]] = {
    "": ("max", False, "baseline", ".457±.003"),
    "blur3": ("blur3", False, "BlurPool 3×3", ".475±.002"),
    "blur5": ("blur5", False, "BlurPool 5×5", ".476±.003"),
    "aps-l1": ("aps-l1", False, "APS l1", ".480±.001"),
    "aps-l2": ("aps-l2", False, "APS l2", ".460±.002"),
    "ibp": ("max", True, "IBP", ".472±.002"),
    "blur5-ibp": ("blur5", True, "BlurPool 5×5 + IBP", ".479±.003"),
    "tlpf5-aps-l1": ("tlpf-aps-l1", False, "TLPF 5×5 + APS l1", ".484±.002"),
    "aps-l1-ibp": ("aps-l1", True, "APS l1 + IBP", ".478±.001"),
}
"""Table I of document 001 but for the trainable filters: pooling, intra-block pooling, row, mAP."""

SOUND_TLPF = {
    (3, 3): (".476±.003", ".478±.002"),
    (4, 4): ("", ".480±.004"),
    (5, 5): (".479±.003", ".481±.002"),
    (6, 6): (".477±.001", ".480±.001"),
    (1, 4): ("", ".475±.005"),
    (1, 5): ("", ".480±.001"),
    (1, 6): ("", ".480±.002"),
    (4, 1): ("", ".469±.004"),
    (5, 1): ("", ".470±.004"),
    (6, 1): ("", ".472±.002"),
}
"""The trainable filters of Table I by time × frequency: mAP without, where it was published, and with IBP."""

SOUND_MIXUP = {
    "": (".497±.003", ".523±.002"),
    "aps-l1": (".513±.003", ".538±.004"),
    "tlpf5-ibp": (".511±.003", ".539±.002"),
    "tlpf5-aps-l1": (".514±.003", ".541±.002"),
}
"""Table II of document 001: mAP with mixup of VGG41 and VGG42."""


FIGURE_9 = "poster (document 000), Fig. 9, ImageNet"
FIGURE_10 = "poster (document 000), Fig. 10, CIFAR-10 with classes=10"


def described(name: str, what: str, tables: Mapping[str, Mapping[str, tuple[str, str, str]]]) -> str:
    """What a network is, and its rows of tables of one-crop error, ten-crop error and mFR."""
    parts = [what]
    for where, table in tables.items():
        if name in table:
            one, ten, rate = table[name]
            parts.append(f"{where}: one-crop {one}, ten-crop {ten}, mFR {rate}")
    if len(parts) == 1:
        parts.append("in no table of the documents")
    return "; ".join(parts) + "."


def poster() -> Iterator[Entry]:
    """AlexNet and ResNet, standard, Blur and ABlur (document 000)."""
    tables = {FIGURE_9: POSTER, FIGURE_10: POSTER_CIFAR}
    for suffix in ("", "-blur"):
        name = f"alexnet{suffix}"
        what = f"AlexNet of torchvision{BLUR_FORMS[suffix]}"
        yield Entry(name, partial(AlexNet, pooling=BLURS[suffix]), described(name, what, tables))
    for base, blocks in BLOCKS.items():
        title = f"ResNet-{base.removeprefix('resnet')}"
        for suffix, pooling in BLURS.items():
            name, what = base + suffix, f"{title} of torchvision{BLUR_FORMS[suffix]}"
            yield Entry(name, partial(ResNet, blocks, pooling=pooling), described(name, what, tables))
        what = f"{title} with a 3×3 first convolution of stride 1, no max pooling, 10 classes: the usual form for CIFAR"
        yield Entry(f"{base}-cifar", partial(ResNet, blocks, classes=10, form="cifar"), described("", what, {}))


def blurpool() -> Iterator[Entry]:
    """VGG13 and DenseNet-40-12 with the filters of Table 1, circular (document 002)."""
    vgg, densenet = partial(VGG13, padding_mode="circular"), partial(DenseNet, padding_mode="circular")
    for name, (plain, augmented) in BLURPOOL.items():
        what = name or "max pooling"
        tail = f"-{name}" if name else ""
        yield Entry(
            f"vgg13{tail}",
            partial(vgg, pooling=name or "max"),
            f"VGG13-BN for CIFAR-10, circular, {what}: BlurPool (document 002), Table 1: accuracy, at random shifts, "
            f"consistency {plain} without, {augmented} with augmentation.",
        )
        published = ": accuracy 94.4, consistency 97.7 with augmentation" if not name else ""
        yield Entry(
            f"densenet40{tail}",
            partial(densenet, pooling=name or "average"),
            f"DenseNet-40-12 for CIFAR-10, circular, {name or 'average pooling'}: BlurPool (document 002), appendix A, "
            f"Fig. 8{published}.",
        )
    for name in filter_names():
        yield Entry(
            f"vgg13-{name}-before",
            partial(vgg, pooling=f"{name}-before"),
            f"VGG13-BN for CIFAR-10, circular, {name} before the maximum: BlurPool (document 002), appendix C, "
            "Fig. 10.",
        )


def sound() -> Iterator[Entry]:
    """VGG41 with the pooling of Table I, VGG42 with that of Table II (document 001)."""
    where = "sound events on FSD50K (document 001)"
    rows = dict(SOUND)
    for (m, n), (plain, inside) in SOUND_TLPF.items():
        pooling = tlpf_name(m, n)
        rows[pooling] = (pooling, False, f"TLPF {m}×{n}", plain)
        rows[f"{pooling}-ibp"] = (pooling, True, f"TLPF {m}×{n} + IBP", inside)
    for name, (pooling, intrablock, row, score) in rows.items():
        tail = f"-{name}" if name else ""
        mixed = SOUND_MIXUP.get(name)
        text = f"VGG41, {row}: {where}, Table I" + (f": mAP {score}" if score else " has it with IBP alone")
        text += f"; Table II, with mixup: {mixed[0]}." if mixed else "."
        yield Entry(f"vgg41{tail}", partial(VGG41, pooling=pooling, intrablock=intrablock), text)
        if mixed:
            text = f"VGG42, {row}: {where}, Table II: mAP with mixup {mixed[1]}."
            yield Entry(f"vgg42{tail}", partial(VGG42, pooling=pooling, intrablock=intrablock), text)
