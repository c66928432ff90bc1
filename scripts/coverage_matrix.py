"""Try places, audit and remedies on 20 architectures of timm and torchvision: what works, and what is refused and why.

    python -m scripts.coverage_matrix OUT [NAME ...]

Writes OUT/coverage.csv, a row for each architecture and check, and OUT/coverage.md, the matrix. The same command goes
on where a run was stopped; NAMEs are tried again. `make matrix` runs it in an environment of its own. Weights are
random; each network is made by timm or torchvision, its weights are written to a file, and the project loads both by
its own loader, as `shiftscope audit timm:NAME --weights FILE` does.
"""

from __future__ import annotations

import argparse
import csv
import importlib.metadata
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from skimage import data
from torch import Tensor, nn

from analysis.audit.experiment import NetworkAudit
from analysis.files.atomic import write_atomically
from analysis.networks.cmod_surgery import to_cmod
from analysis.networks.layer_access import convolutions
from analysis.networks.left_alone import left_alone
from analysis.networks.loading import LoadedNetwork, load_network
from analysis.networks.metrics import resized
from analysis.networks.place import Place, intercept, places
from analysis.networks.remedy_table import remedy

SOURCES = {
    "resnet18": "torchvision:resnet18",
    "resnet50d": "timm:resnet50d",
    "resnetblur50": "timm:resnetblur50",
    "resnetv2_50": "timm:resnetv2_50",
    "nf_resnet26": "timm:nf_resnet26",
    "convnext_tiny": "torchvision:convnext_tiny",
    "convnextv2_base": "timm:convnextv2_base",
    "swin_tiny": "torchvision:swin_t",
    "vit_small": "timm:vit_small_patch16_224",
    "mobilenetv3": "torchvision:mobilenet_v3_small",
    "efficientnet_b0": "timm:efficientnet_b0",
    "tf_efficientnet_b0": "timm:tf_efficientnet_b0",
    "regnety": "timm:regnety_004",
    "densenet121": "torchvision:densenet121",
    "vgg16_bn": "torchvision:vgg16_bn",
    "inception_v3": "torchvision:inception_v3",
    "googlenet": "torchvision:googlenet",
    "dla34": "timm:dla34",
    "repvgg_a0": "timm:repvgg_a0",
    "alexnet": "torchvision:alexnet",
    "swin_tiny of timm": "timm:swin_tiny_patch4_window7_224",
}
SIZE, SIZES = 128, {"swin_tiny": 224, "vit_small": 224, "swin_tiny of timm": 224, "inception_v3": 139}
"""Side of the input, pixels: small, but for networks that are made for one size."""


def _residual(convolution: str) -> list[str]:
    stages = [f"layer{stage}.0" for stage in (2, 3, 4)]
    return [f"{stage}.{name}" for stage in stages for name in (convolution, "downsample.0")]


BY_HAND = {
    "resnet18": ["conv1", "maxpool", *_residual("conv1"), "avgpool"],
    "resnet50d": ["conv1.0", "maxpool", *_residual("conv2"), "global_pool.pool"],
    "alexnet": ["features.0", "features.2", "features.5", "features.12"],
    "vgg16_bn": [f"features.{number}" for number in (6, 13, 23, 33, 43)],
    "densenet121": [
        "features.conv0",
        "features.pool0",
        *(f"features.transition{n}.pool" for n in (1, 2, 3)),
        "adaptive_avg_pool2d",
    ],
    "googlenet": ["conv1.conv", *(f"maxpool{n}" for n in (1, 2, 3, 4)), "avgpool"],
    "inception_v3": [
        *("Conv2d_1a_3x3.conv", "maxpool1", "maxpool2"),
        *("Mixed_6a.branch3x3.conv", "Mixed_6a.branch3x3dbl_3.conv", "Mixed_6a/max_pool2d"),
        *("Mixed_7a.branch3x3_2.conv", "Mixed_7a.branch7x7x3_4.conv", "Mixed_7a/max_pool2d"),
        "avgpool",
    ],
    "convnext_tiny": ["features.0.0", "features.2.1", "features.4.1", "features.6.1", "avgpool"],
    "swin_tiny": ["features.0.0", "features.2/getitem", "features.4/getitem", "features.6/getitem", "avgpool"],
    "vit_small": ["patch_embed.proj"],
}
"""Places, read in the code of the networks and written down by hand, before the project was asked."""

CHECKS = ("places", "audit", "blur3", "aps-l2", "ideal", "cmod")
COLUMNS = ("architecture", "source", "check", "outcome", "detail", "change_plain", "change")
SHIFT = (3, 5)
"""Circular shift, pixels."""

Row = dict[str, str]


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*", metavar="NAME")
    arguments = parser.parse_args()
    if not {*arguments.names} <= {*SOURCES}:
        parser.error(f"names are {', '.join(SOURCES)}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "coverage.csv"
    known: dict[str, list[Row]] = {}
    if file.exists():
        with file.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                known.setdefault(row["architecture"], []).append(row)
    for name in arguments.names or [name for name in SOURCES if name not in known]:
        known[name] = rows_of(name)
        for row in known[name]:
            print(name, row["check"], row["outcome"], row["detail"], sep=": ", flush=True)
        write(arguments.out, known)
    write(arguments.out, known)


def write(out: Path, known: dict[str, list[Row]]) -> None:
    """Write the table and the matrix of the architectures that are known so far."""
    rows = [row for key in SOURCES if key in known for row in known[key]]
    text = matrix(rows)
    write_atomically(out / "coverage.csv", lambda path: _write_csv(path, rows))
    write_atomically(out / "coverage.md", lambda path: path.write_text(text, encoding="utf-8"))


def _write_csv(path: Path, rows: list[Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)


def rows_of(name: str) -> list[Row]:
    """Rows of an architecture, one for each check."""
    network = made(name)
    x = pictures(network.size)
    example = network.preprocess(x[:1])
    plain = Answers(network.model, example)
    checks: dict[str, Callable[[], tuple[str, str, float]]] = {
        "places": lambda: found_places(name, network, example),
        "audit": lambda: audited(network, x),
        **{key: lambda key=key: remedied(key, network.model, example, plain) for key in CHECKS[2:]},
    }
    rows = []
    for check, run in checks.items():
        try:
            outcome, detail, change = run()
        except (TypeError, ValueError) as error:  # what the project refuses
            outcome, detail, change = "refused", str(error), np.nan
        except Exception as error:  # what it should have refused
            outcome, detail, change = "fails", f"{type(error).__name__}: {error}", np.nan
        numbers = {"change_plain": _number(plain.change if np.isfinite(change) else np.nan), "change": _number(change)}
        about = {"architecture": name, "source": SOURCES[name], "check": check, "outcome": outcome}
        rows.append(about | {"detail": " ".join(detail.split())} | numbers)
    return rows


def _number(value: float) -> str:
    return f"{value:.3g}" if np.isfinite(value) else ""


def made(name: str) -> LoadedNetwork:
    """Network with random weights, through a file and the project's own loader."""
    source, size = SOURCES[name], SIZES.get(name, SIZE)
    kind, _, model_name = source.partition(":")
    torch.manual_seed(0)
    if kind == "timm":
        import timm

        model = timm.create_model(model_name)
    else:
        from torchvision import models

        options = {"init_weights": False} if name in ("inception_v3", "googlenet") else {}
        model = models.get_model(model_name, weights=None, **options)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "random.safetensors"
        save_file(settled(model, size).state_dict(), file)
        return load_network(source, file, size)


def settled(model: nn.Module, size: int) -> nn.Module:
    """The model with scales that are not 0 or 1, as they are when training begins, and normalised maps."""
    with torch.no_grad():
        for module in model.modules():
            for key, p in module.named_parameters(recurse=False):
                if p.ndim <= 1 and (key == "weight" or "gamma" in key or "scale" in key or "gain" in key):
                    nn.init.uniform_(p, 0.5, 1.5)
        model.eval()
        norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
        for norm in norms:
            norm.momentum = 1.0
            norm.train()
        model(torch.rand(2, 3, size, size))
    return model.eval()


def pictures(size: int) -> Tensor:
    """Two photographs, shape (2, 3, size, size), R, G and B in [0, 1]."""
    both = np.stack([image[:400, 100:500] for image in (data.astronaut(), data.coffee())])
    return resized(torch.from_numpy(both).permute(0, 3, 1, 2).float() / 255, size)


class Answers:
    """Answer of a network to a picture, and how much it changes under a circular shift, with circular borders.

    Attributes
    ----------
    own : Tensor
        With the network's own borders.
    change : float
        Root mean square of the change of the centred logits, over that of the logits.
    """

    def __init__(self, model: nn.Module, x: Tensor, circular: nn.Module | None = None) -> None:
        with torch.inference_mode():
            self.own = model(x)
            still, moved = _centred(circular or model, torch.cat((x, x.roll(SHIFT, (2, 3)))))
        self.change = float((moved - still).norm() / still.norm())


def _centred(model: nn.Module, x: Tensor) -> Tensor:
    answer = intercept(model, x, lambda index, call: None, circular=True, found=())
    return answer - answer.mean(1, keepdim=True)


def found_places(name: str, network: LoadedNetwork, example: Tensor) -> tuple[str, str, float]:
    """Places, beside those that were written down by hand."""
    found = places(network.model, example)
    kinds = ", ".join(f"{count} {kind}" for kind, count in Counter(place.kind for place in found).items())
    strange = [str(place) for place in found if not place.understood]
    if strange:
        return "in part", "; ".join(strange), np.nan
    if name not in BY_HAND:
        return "works", f"{len(found)}: {kinds}", np.nan
    return _beside_hand(BY_HAND[name], found, kinds)


def _beside_hand(by_hand: list[str], found: list[Place], kinds: str) -> tuple[str, str, float]:
    names = [place.name for place in found]
    if sorted(names) == sorted(by_hand):
        return "works", f"{len(found)}, as by hand: {kinds}", np.nan
    missing, more = set(by_hand) - set(names), set(names) - set(by_hand)
    return "fails", f"by hand also {sorted(missing)}, not {sorted(more)}", np.nan


def audited(network: LoadedNetwork, x: Tensor) -> tuple[str, str, float]:
    """Audit of two pictures in the order of execution."""
    how: dict[str, Any] = {"form": "nested", "shifts": [(0, 1)], "symmetric": False}
    experiment = NetworkAudit(network.model, network.size, preprocess=network.preprocess, **how)
    audit = experiment.dataset(experiment.measure(x.numpy(), ["0", "1"])[0])
    blame = audit.blame.dropna("place")
    if abs(float(blame.sum()) - 1) > 1e-6:
        return "fails", f"shares add up to {float(blame.sum())}", np.nan
    first = blame[:-1].idxmax("place").item()
    share, head = 100 * float(blame.sel(place=first)), 100 * float(blame[-1])
    return "works", f"most to blame: {first} ({share:.0f} %), head {head:.0f} %", np.nan


def remedied(name: str, model: nn.Module, x: Tensor, plain: Answers) -> tuple[str, str, float]:
    """A remedy: its places, the shape and size of the answer, and its change under circular shifts."""
    if name == "cmod":
        new, changes = to_cmod(model, convolutions(model)[0], example=x)
        circular = None
    else:
        new, changes = remedy(name)(model, x)
        circular = remedy(name)(model, x, padding_mode="circular")[0].eval()
    answers = Answers(new.eval(), x, circular)
    if answers.own.shape != plain.own.shape or not answers.own.isfinite().all():
        return "fails", f"answer of shape {tuple(answers.own.shape)}, or not finite", np.nan
    if (answers.own - plain.own).abs().max() <= 1e-5 * plain.own.abs().max():
        return "fails", "the answer is as before", np.nan
    notes = [f"{len(changes)} place{'s' * (len(changes) != 1)}"]
    bare = sum("behind which no activation" in change.after for change in changes)
    notes += [f"{bare} behind a convolution without an activation"] * bool(bare)
    alone = sum("on a grid of its own" in change.after for change in changes)
    notes += [f"{alone} on grids of their own, in code that cannot be followed"] * bool(alone)
    left = [place.name for place in left_alone(new, x)]
    notes += [f"left as they are: {', '.join(left)}"] * bool(left)
    return "works", "; ".join(notes), answers.change


def matrix(rows: list[Row]) -> str:
    """Return the matrix as Markdown, and the reasons below it."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("torch", "torchvision", "timm"))
    cells = {(row["architecture"], row["check"]): row for row in rows}
    names = list(dict.fromkeys(row["architecture"] for row in rows))
    head = ["architecture", *CHECKS]
    lines = ["# Architectures and checks", "", f"Made by `make matrix`: {versions}; random weights.", ""]
    lines += [_line(head), _line(["---"] * len(head))]
    lines += [_line([name, *(_cell(cells[name, check]) for check in CHECKS)]) for name in names]
    lines += [
        "",
        "Places: how many, and whether they are those of a list written by hand. Audit: works; coverage.csv has the "
        "place most to blame for the change under one pixel, of two pictures in the nested form. Remedies: by how "
        "many percent the answer changes under a circular shift of (3, 5) pixels, without the remedy and with it, "
        "with circular borders; 0.00 is rounding. Weights are random: where the plain network changes by nearly 100, "
        "answers have nothing to do with each other, and a filter cannot help.",
        "",
        "## What is refused, or works in part",
        "",
    ]
    shown = [row for row in rows if row["outcome"] != "works"]
    lines += [f"- **{row['architecture']}**, {row['check']} ({row['outcome']}): {row['detail']}" for row in shown]
    return "\n".join(lines) + "\n"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(row: Row) -> str:
    if row["outcome"] != "works":
        return row["outcome"]
    if row["change"]:
        return f"{_percent(row['change_plain'])} → {_percent(row['change'])}"
    return row["detail"].partition(":")[0] if row["check"] == "places" else "works"


def _percent(text: str) -> str:
    value = 100 * float(text)
    return f"{value:.2g}" if value >= 0.01 else "0.00"


if __name__ == "__main__":
    main()
