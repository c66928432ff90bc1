"""The networks of the documents: their names, the row of the table that each is, and the numbers published for it.

Numbers are read from `analysis.published` when a network is described.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from itertools import product
from typing import Any

import pandas as pd
from torch import nn

from analysis.networks.architectures import VGG13, VGG41, VGG42, AlexNet, DenseNet, ResNet, SmallResNet
from analysis.networks.operator_table import PUBLISHED_FILTERS, TLPF_SIZES, tlpf_name
from analysis.published.tables import archived_scores, poster_beside_archive, published_table


@dataclass(frozen=True)
class Entry:
    """A network with a name.

    Attributes
    ----------
    name : str
    make : callable
        ``make(**options)`` returns the network, new.
    describe : callable
        ``describe()`` returns the form of the network, the row of the table that it has, and the published numbers.
    """

    name: str
    make: Callable[..., nn.Module]
    describe: Callable[[], str]


BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3)}
BLURS = {"": "max", "-blur": "blur3", "-blur4": "blur4", "-ablur": "adaptive-blur"}
BLUR_FORMS = {
    "": "",
    "-blur": ", 3-tap binomial filters where it subsamples (Zhang 2019)",
    "-blur4": ", 4-tap binomial filters where it subsamples (Zhang 2019)",
    "-ablur": ", adaptive 3×3 low-pass filters of 8 groups where it subsamples (Zou et al. 2020)",
}

FIGURES = {
    "ImageNet": "the poster (Leterme et al. 2022), Fig. 9, ImageNet",
    "CIFAR-10": "the poster (Leterme et al. 2022), Fig. 10, CIFAR-10 with classes=10",
}
BLURPOOL = "the BlurPool paper (Zhang 2019)"
SOUND = "the sound study (Fonseca et al. 2021)"

SOUND_ROWS = {
    "": ("max", "baseline"),
    "blur3": ("blur3", "BlurPool 3×3"),
    "blur5": ("blur5", "BlurPool 5×5"),
    "aps-l1": ("aps-l1", "APS l1"),
    "aps-l2": ("aps-l2", "APS l2"),
    "ibp": ("max", "IBP"),
    "blur5-ibp": ("blur5", "BlurPool 5×5 + IBP"),
    "tlpf5-aps-l1": ("tlpf-aps-l1", "TLPF 5×5 + APS l1"),
    "aps-l1-ibp": ("aps-l1", "APS l1 + IBP"),
}
"""Pooling and row of the sound study's Table I but for the trainable filters, which have names by rule."""


_archived, _printed = cache(archived_scores), cache(published_table)  # read for each of many names, never changed


def poster_description(name: str, form: str) -> str:
    """Describe a network of the poster by its rows of Figs. 9 and 10, or of the archived records."""
    name, rows = name.removesuffix("-qshift"), []
    for dataset, figure in FIGURES.items():
        printed = poster_scores().get((dataset, name))
        archive = _archived(dataset)
        if printed is not None:
            rows.append(f"{figure}: {printed}")
        elif name in archive.index:
            row = archive.loc[name]
            top = ["one_crop_top1", "one_crop_top5", "ten_crops_top1", "ten_crops_top5"]
            texts = {score: f"{row[score]:.2f}" for score in top} | {"mfr": f"{row.mfr:.1f}"}
            rows.append(f"records of the poster, {dataset}: {score_text(texts)}")
    return "; ".join([form, *(rows or ["in no table of the documents"])]) + "."


@cache
def poster_scores() -> dict[tuple[str, str], str]:
    """Scores of Figs. 9 and 10 by data set and network, digits that print has lost by the archived records."""
    rows = poster_beside_archive()
    rows["text"] = [restored(row.printed, row.archived) for row in rows.itertuples()]
    return {key: score_text(dict(zip(g.score, g.text, strict=True))) for key, g in rows.groupby(["dataset", "network"])}


def restored(printed: str, archived: float) -> str:
    """Return a printed number whose lost digits, each a "?", bring it as near as they can to the archived one."""
    digits = product("0123456789", repeat=printed.count("?"))
    candidates = (printed.replace("?", "{}").format(*found) for found in digits)
    return min(candidates, key=lambda text: (round(abs(float(text) - archived), 9), -float(text)))  # a half goes up


def score_text(scores: dict[str, str]) -> str:
    """Errors in % as top-1/top-5, where there is a top-5, and the mean flip rate."""

    def errors(crops: str) -> str:
        return "/".join(text for score, text in scores.items() if score.startswith(crops))

    return f"one-crop {errors('one_crop')}, ten-crop {errors('ten_crops')}, mFR {scores['mfr']}"


def poster() -> Iterator[Entry]:
    """AlexNet and ResNet of the poster: standard, Blur (of 4 taps on ImageNet, of 3 on CIFAR-10) and ABlur."""

    def entry(name: str, make: Callable[..., nn.Module], form: str) -> Entry:
        return Entry(name, make, partial(poster_description, name, form))

    for suffix in ("", "-blur", "-blur4"):
        form = f"AlexNet of torchvision{BLUR_FORMS[suffix]}"
        yield entry(f"alexnet{suffix}", partial(AlexNet, pooling=BLURS[suffix]), form)
    for base, blocks in BLOCKS.items():
        title = f"ResNet-{base.removeprefix('resnet')}"
        for suffix, pooling in BLURS.items():
            form = f"{title} of torchvision{BLUR_FORMS[suffix]}"
            yield entry(base + suffix, partial(ResNet, blocks, pooling=pooling), form)
        form = f"{title} with a 3×3 first convolution of stride 1, no max pooling, 10 classes: the usual form for CIFAR"
        yield entry(f"{base}-cifar", partial(ResNet, blocks, classes=10, form="cifar"), form)


def small() -> Iterator[Entry]:
    """ResNets of He et al. for CIFAR-10, of which there are public weights."""
    for depth in (20, 56):
        text = (
            f"ResNet-{depth} for CIFAR-10 with shortcuts that slice (He et al. 2016, option A), as in "
            "akamaster/pytorch_resnet_cifar10: in no table."
        )
        yield Entry(f"resnet{depth}-cifar", partial(SmallResNet, depth), partial(str, text))


def blurpool() -> Iterator[Entry]:
    """VGG13 and DenseNet-40-12 with the filters of the BlurPool paper's Table 1, circular."""
    make: Callable[..., nn.Module]
    vgg, densenet = partial(VGG13, padding_mode="circular"), partial(DenseNet, padding_mode="circular")
    for name in ("", *PUBLISHED_FILTERS):
        tail = f"-{name}" if name else ""
        yield Entry(f"vgg13{tail}", partial(vgg, pooling=name or "max"), partial(vgg13_description, name))
        make = partial(densenet, pooling=name or "average")
        yield Entry(f"densenet40{tail}", make, partial(densenet_description, name))
    for name in PUBLISHED_FILTERS:
        make = partial(vgg, pooling=f"{name}-before")
        yield Entry(f"vgg13-{name}-before", make, partial(before_description, name))


def vgg13_description(name: str) -> str:
    """Describe a VGG13 by its row of the BlurPool paper's Table 1."""
    row = _printed("blurpool").set_index("network").loc[f"vgg13-{name}" if name else "vgg13"]
    columns = ("accuracy", "accuracy_shifted", "consistency")
    plain, augmented = (" ".join(f"{row[prefix + c]:.1f}" for c in columns) for prefix in ("", "augmented_"))
    return (
        f"VGG13-BN for CIFAR-10, circular, {name or 'max pooling'}: {BLURPOOL}, Table 1: accuracy, at random shifts, "
        f"consistency {plain} without, {augmented} with augmentation."
    )


def densenet_description(name: str) -> str:
    """Describe a DenseNet by its point in the BlurPool paper's Fig. 8."""
    published = "" if name else ": accuracy 94.4, consistency 97.7 with augmentation"
    form = f"DenseNet-40-12 for CIFAR-10, circular, {name or 'average pooling'}"
    return f"{form}: {BLURPOOL}, appendix A, Fig. 8{published}."


def before_description(name: str) -> str:
    """Describe a control of the BlurPool paper, with the filter before the maximum."""
    return f"VGG13-BN for CIFAR-10, circular, {name} before the maximum: {BLURPOOL}, appendix C, Fig. 10."


def sound() -> Iterator[Entry]:
    """VGG41 with the pooling of the sound study's Table I, VGG42 with that of its Table II."""
    rows = dict(SOUND_ROWS)
    for m, n in TLPF_SIZES:
        pooling = tlpf_name(m, n)
        rows[pooling] = (pooling, f"TLPF {m}×{n}")
        rows[f"{pooling}-ibp"] = (pooling, f"TLPF {m}×{n} + IBP")
    for name, (pooling, row) in rows.items():
        options: dict[str, Any] = {"pooling": pooling, "intrablock": name.endswith("ibp")}
        tail = f"-{name}" if name else ""
        yield Entry(f"vgg41{tail}", partial(VGG41, **options), partial(vgg41_description, row))
        if name in WIDE:
            yield Entry(f"vgg42{tail}", partial(VGG42, **options), partial(vgg42_description, row))


WIDE = ("", "aps-l1", "tlpf5-ibp", "tlpf5-aps-l1")
"""Rows of the sound study's Table II."""


def vgg41_description(row: str) -> str:
    """Describe a VGG41 by its rows of the sound study's Tables I and II."""
    score, mixed = sound_score("I", "vgg41", "no", row), sound_score("II", "vgg41", "yes", row)
    text = f"VGG41, {row}: {SOUND}, Table I" + (f": mAP {score}" if score else " has it with IBP alone")
    return text + (f"; Table II, with mixup: {mixed}." if mixed else ".")


def vgg42_description(row: str) -> str:
    """Describe a VGG42 by its row of the sound study's Table II."""
    return f"VGG42, {row}: {SOUND}, Table II: mAP with mixup {sound_score('II', 'vgg42', 'yes', row)}."


def sound_score(table: str, network: str, mixup: str, row: str) -> str:
    """Return a mean average precision and its deviation, such as .457±.003; "" if it was not published."""
    rows: pd.DataFrame = _printed("sound").set_index(["table", "network", "mixup", "method"])
    key = (table, network, mixup, row.replace("×", "x"))
    if key not in rows.index:
        return ""
    mean, deviation = (f"{rows.loc[key][column]:.3f}".removeprefix("0") for column in ("mean_ap", "deviation"))
    return f"{mean}±{deviation}"
