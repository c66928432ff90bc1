"""Study of sound: the sound study's Tables I and III, on data sets that fit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from analysis.networks.audio import clip_scores
from analysis.networks.metrics import MultilabelScores, TopK, spectrogram_stability
from analysis.networks.training.data import Data, Examples
from analysis.networks.training.recipe import Recipe, recipe
from analysis.published.tables import published_table
from analysis.studies.study import Claim, Run, Study

WIDTH = 0.25
"""Factor of the widths at the scale "small"."""

METHODS = {
    "baseline": "vgg41",
    "BlurPool 3x3": "vgg41-blur3",
    "BlurPool 5x5": "vgg41-blur5",
    "TLPF 3x3": "vgg41-tlpf3",
    "TLPF 5x5": "vgg41-tlpf5",
    "APS l1": "vgg41-aps-l1",
    "APS l2": "vgg41-aps-l2",
    "IBP": "vgg41-ibp",
    "TLPF 5x5 + APS l1": "vgg41-tlpf5-aps-l1",
    "TLPF 5x5 + IBP": "vgg41-tlpf5-ibp",
}
"""Network of each method of Table I that is run in small."""

FURTHER_METHODS = {
    "TLPF 6x6": "vgg41-tlpf6",
    "BlurPool 5x5 + IBP": "vgg41-blur5-ibp",
    "APS l1 + IBP": "vgg41-aps-l1-ibp",
    **{
        f"TLPF {size if 'x' in size else f'{size}x{size}'} + IBP": f"vgg41-tlpf{size}-ibp"
        for size in ("3", "4", "6", "1x4", "1x5", "1x6", "4x1", "5x1", "6x1")
    },
}
"""The other methods of Table I."""

MIXED = ("baseline", "BlurPool 3x3", "BlurPool 5x5", "TLPF 3x3")
"""Methods that are trained with mixup too in small."""

PUBLISHED_MIXED = ("baseline", "APS l1", "TLPF 5x5 + IBP", "TLPF 5x5 + APS l1")
"""Methods of Table II."""

SHIFTS = (1, 3, 5)
STEP = 50
"""Frames between the beginnings of two patches of a recording in the arrays."""

PROTOCOLS = {
    f"{kind}-{n}": f"{words} by {n}" for kind, words in (("time", "frames"), ("freq", "bands")) for n in SHIFTS
}


def esc10_runs(scale: str, seeds: Sequence[int]) -> list[Run]:
    """Each method, without and (four of them) with mixup; small: quarter width, five folds of ESC-10.

    As published: all of Table I and, of VGG41, Table II, the networks as in the code that was released.
    """
    if scale == "small":
        return _runs(_small(40, 10), seeds, [f"fold{number}" for number in range(1, 6)], {"width": WIDTH})
    methods = METHODS | FURTHER_METHODS
    return _runs(recipe("vgg41-fsd50k"), seeds, [""], {"released": True}, methods, PUBLISHED_MIXED)


def fsdd_runs(scale: str, seeds: Sequence[int]) -> list[Run]:
    """Each method on spoken digits, quarter width; small: 8 epochs."""
    return _runs(_small(8, 3) if scale == "small" else _small(60, 15), seeds, [""], {"width": WIDTH})


def _small(epochs: int, patience: int) -> Recipe:
    """Return the recipe for small data sets of recordings of one class each."""
    return replace(
        recipe("vgg41-esc10"),
        epochs=epochs,
        batch=32,
        rate=1e-3,
        patience=patience,
        stop_after=None,
        one_patch=True,
    )


def _runs(
    base: Recipe,
    seeds: Sequence[int],
    parts: Sequence[str],
    options: Mapping[str, float],
    methods: Mapping[str, str] = METHODS,
    mixed: Sequence[str] = MIXED,
) -> list[Run]:
    return [
        Run({"method": method, "mixup": mixup}, methods[method], replace(base, mixup=alpha), seed, options, part)
        for seed in seeds
        for part in parts
        for mixup, alpha in (("no", None), ("yes", 1.25))
        for method in (methods if mixup == "no" else mixed)
    ]


def sound_metrics(model: nn.Module, data: Data) -> dict[str, float]:
    """Top-1 accuracy (%) and mean average precision of recordings, consistency (%) and change under shifts."""
    if data.test is None or data.test.clips is None:
        raise ValueError("the data have no test set of recordings; expected arrays test_x, test_y and test_clip")
    patches = torch.from_numpy(np.asarray(data.test.inputs)[data.test.rows])
    clips = data.test.clips
    truth = torch.from_numpy(data.test.targets[np.unique(clips, return_index=True)[1]])
    exclusive = truth.ndim == 1
    with torch.no_grad():
        logits = torch.cat([model(data.prepared(part)).double() for part in torch.split(patches, 256)])
    scores = clip_scores(logits.softmax(1) if exclusive else logits.sigmoid(), torch.from_numpy(clips))
    precision = MultilabelScores()
    precision.update(scores, nn.functional.one_hot(truth, scores.shape[1]) if exclusive else truth)
    found = {"mean_ap": float(precision.compute()["mAP"])}
    if exclusive:
        top = TopK((1,))
        top.update(scores, truth)
        found["accuracy"] = 100 * top.compute()[1]
    activation = "softmax" if exclusive else "sigmoid"
    table = spectrogram_stability(
        lambda x: model(data.prepared(x[:, 0])), whole(data.test), STEP, shifts=SHIFTS, activation=activation
    )
    for protocol, row in table.iterrows():
        found |= {f"consistency_{protocol}": float(row.consistency), f"change_{protocol}": float(row.mac)}
    return found


def whole(examples: Examples) -> Iterator[Tensor]:
    """Spectrograms (1, 1, T, F) of recordings, put together from patches that begin every `STEP` frames."""
    assert examples.clips is not None
    for clip in np.unique(examples.clips):
        patches = np.asarray(examples.inputs)[examples.rows[examples.clips == clip]]
        parts = [*(patch[:STEP] for patch in patches[:-1]), patches[-1]]
        yield torch.from_numpy(np.concatenate(parts)).float()[None, None]


def sound_published() -> pd.DataFrame:
    """Table I, and of the methods that are run with mixup Table II, for VGG41 on FSD50K; shifts of Table III.

    Table III does not say whether its networks were trained with mixup; it stands with those that were not.
    """
    table = published_table("sound")
    table = table[(table.network == "vgg41") & ~((table.table == "II") & (table.mixup == "no"))]
    table = table[["method", "mixup", "mean_ap"]]
    for row in published_table("sound_shifts").itertuples():
        for method, which in ((BASELINE["method"], "baseline"), (PROPOSED["method"], "proposed")):
            rows = (table.method == method) & (table.mixup == "no")
            table.loc[rows, f"consistency_{row.protocol}"] = getattr(row, f"consistency_{which}")
            table.loc[rows, f"change_{row.protocol}"] = getattr(row, f"mac_{which}")
    return table


def _method(method: str, mixup: str = "no") -> Mapping[str, str]:
    return {"method": method, "mixup": mixup}


BASELINE, PROPOSED = _method("baseline"), _method("TLPF 5x5 + APS l1")

SOUND = Study(
    name="sound",
    title="the sound study (Fonseca et al. 2021), Tables I and III: VGG41; small: on ESC-10, published: on FSD50K",
    data="small: folder of fold1.npz to fold5.npz with the arrays of ESC-10; published: FSD50K as arrays (.npz)",
    factors=("method", "mixup"),
    metrics={
        "mean_ap": "mean average precision",
        "accuracy": "accuracy of recordings (%)",
        **{f"consistency_{name}": f"consistency, {words} (%)" for name, words in PROTOCOLS.items()},
        **{f"change_{name}": f"mean absolute change, {words}" for name, words in PROTOCOLS.items()},
    },
    runs=esc10_runs,
    measure=sound_metrics,
    claims=(
        Claim("BlurPool raises mAP.", "mean_ap", _method("BlurPool 5x5"), BASELINE, 1),
        Claim("Trainable low-pass filters raise mAP.", "mean_ap", _method("TLPF 5x5"), BASELINE, 1),
        Claim("Adaptive polyphase sampling (l1) raises mAP.", "mean_ap", _method("APS l1"), BASELINE, 1),
        Claim("It does so more by l1 than by l2.", "mean_ap", _method("APS l1"), _method("APS l2"), 1),
        Claim("Intra-block pooling raises mAP.", "mean_ap", _method("IBP"), BASELINE, 1),
        Claim("Filter and APS together raise mAP above the filter alone.", "mean_ap", PROPOSED, _method("TLPF 5x5"), 1),
        Claim("Filter and APS are more consistent under shifts in time.", "consistency_time-1",
              PROPOSED, BASELINE, 1),
        Claim("And under shifts in frequency.", "consistency_freq-1", PROPOSED, BASELINE, 1),
        Claim("Their answers change less.", "change_time-1", PROPOSED, BASELINE, -1),
        Claim("Mixup raises mAP.", "mean_ap", _method("baseline", "yes"), BASELINE, 1),
    ),
    published=sound_published,
    costs={
        "small": "40 epochs of 320 patches: about 1.2 minutes a run on one core, 70 runs, 80 minutes, a seed",
        "published": "150 epochs of FSD50K: hours a run on one GPU, not measured; 26 runs a seed",
    },
)  # fmt: skip

FSDD = replace(
    SOUND,
    name="sound-fsdd",
    title="the sound study (Fonseca et al. 2021), Tables I and III, on spoken digits (FSDD, official split)",
    data="FSDD as arrays (.npz)",
    runs=fsdd_runs,
    costs={
        "small": "8 epochs of 2,700 patches: about 3 processor minutes a run, 14 runs a seed",
        "published": "60 epochs: eight times that; no document has this data set",
    },
)
