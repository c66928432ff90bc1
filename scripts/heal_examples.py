"""Heal trained networks and measure what came of it: results/heal.

    python -m scripts.heal_examples choice DATA OUT      what to learn from, in few steps, on training images
    python -m scripts.heal_examples resnet20 DATA OUT [REMEDY ...]
    python -m scripts.heal_examples resnet56 DATA OUT [REMEDY ...]
    python -m scripts.heal_examples squeezenet DATA OUT [REMEDY ...] [--folds 0 1] [--rate 3e-5]
    python -m scripts.heal_examples starts DATA OUT      SqueezeNet's complex modulus before it is healed

DATA holds imagenet-sample/, cifar10/ (sheets as ``scripts.pack_data`` describes) and weights/. Each run adds a row to
OUT/*.csv as soon as it has ended; the same command leaves out what is there, and continues a run that was stopped.
Seed 0 throughout; one thread. Budget in processor time, set before anything was run: 4 minutes for each remedy of
ResNet-20 with its test, 1 for each row of `choice`, 8 for ResNet-56, 8 for each fold of SqueezeNet; the third settings
take 8. The first settings (averaged teacher, rate 1e-3) were fixed before any run, and failed. For the second three
were tried on training images for 30 steps each, to take the one with the least inconsistency whose accuracy there is
within half a point of the plain network's, or else the most accurate. The third were made after the test results of the
second had been seen, which had stopped early on: three times the rate, more steps, no early stopping. So they are no
blind choice. The fourth (three epochs of the answers alone, 5 minutes each, 12 for ResNet-56) were fixed before any of
their runs, after the third had been seen; circular borders were added after the first of those.

CIFAR-10: the network learns from the first 18,000 training images, without labels, of which 225 to 1,800 are held
out to choose the round. Accuracy is of all 10,000
test images, flips and consistency too
(of the first 2,000 for the first three settings). Flips: moved by one pixel (mirrored, every second image down, the
others right); consistency: two circular shifts drawn for each image. `choice` is measured on the other 2,000 training
images, of which the plain network knows 99.85 % by heart, and on the first 2,000 test images, in columns test_*; it
decided nothing. SqueezeNet: five folds of the photographs by their number, 800 to learn from, 200 to report.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax, softmax

from analysis.files.atomic import write_atomically
from analysis.heal.healed_file import remedied
from analysis.heal.healing import heal_network
from analysis.heal.losses import shifted
from analysis.heal.start import match_moments
from analysis.heal.task import Prepared
from analysis.kernels.description import characteristic_frequencies
from analysis.kernels.layer import FirstLayer
from analysis.networks.cmod_surgery import MixedCMod, band_pass_channels
from analysis.networks.loading import LoadedNetwork, apply_remedy, load_network
from analysis.networks.metrics import resized, window
from analysis.networks.pooling import CMod
from analysis.networks.training.checkpoint import load_checkpoint
from analysis.theory.phases import maximum_moments
from scripts.feature_distances import read
from scripts.pack_data import pictures_of

WEIGHTS = {
    "squeezenet": "squeezenet_v1_0_deep_compressed.npz",
    "resnet20": "resnet20-12fca82f.th",
    "resnet56": "resnet56-4bfd9763.th",
}
REMEDIES = {
    "resnet20": ("blur3", "", "ideal", "blur5", "aps-l1", "tlpf", "circular", "blur3+circular", "aps-l1+circular"),
    "resnet56": ("blur3", "", "ideal"),
    "squeezenet": ("blur3", "cmod-band-pass", "cmod", ""),
}
LEARNT = 18_000
"""Training images of CIFAR-10 that are learnt from; the others are for `choice`."""

BOTH = {"losses": ("answers", "consistency"), "borders": "both", "shifts": 2}
EARLY = {"keep": "best", "patience": 6}
SETTINGS: dict[str, dict[str, Any]] = {
    "first": {"losses": ("averaged",), "borders": "both", "shifts": 2, "rate": 1e-3, "steps": 150, **EARLY},
    "second": {**BOTH, "rate": 1e-4, "held_out": 0.0125, "steps": 120, **EARLY},
    "third": {**BOTH, "rate": 3e-4, "held_out": 500 / LEARNT, "steps": 300, "keep": "best"},
    "choice": {**BOTH, "rate": 1e-4, "held_out": 0.0125, "steps": 30, **EARLY},
    "fourth": {"losses": ("answers",), "rate": 3e-4, "held_out": 500 / LEARNT, "steps": 420, "keep": "best"},
    "squeezenet": {"losses": ("answers",), "held_out": 0.05, "steps": 100, "keep": "best"},
}
SHIFTED = 10_000
"""Test images that are shifted: each takes three passes more."""

CHOICES: dict[str, dict[str, Any]] = {
    "answers, consistency": {"rate": 3e-4},
    "answers, consistency, rate 1e-4": {},
    "averaged": {"losses": ("averaged",), "rate": 3e-4},
    "answers": {"losses": ("answers",)},
    "averaged, mirrored": {"losses": ("averaged",), "borders": "reflect"},
    "answers, consistency, only behind": {"weights": "behind"},
    "answers, consistency, only norms": {"weights": "norms"},
    "answers, consistency, 1000 images": {"limit": 1000},
    "answers, consistency, 100 images": {"limit": 100},
    "answers, features": {"losses": ("answers", "features")},
    "averaged, consistency": {"losses": ("averaged", "consistency")},
    "answers, consistency, 10,000 images": {"limit": 10_000},
    "averaged, four shifts": {"losses": ("averaged",), "shifts": 4},
}
"""Differences from the settings of that name; the first three were to choose from."""

Arrays = dict[str, np.ndarray]


def cifar(data: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Pictures (N, 32, 32, 3) uint8 and classes of a part of CIFAR-10."""
    sheets = [pictures_of(file) for file in sorted((data / "cifar10").glob(f"{part}_*.webp"))]
    with np.load(data / "cifar10" / "labels.npz", allow_pickle=False) as labels:
        return np.concatenate(sheets), labels[f"{part}_labels"].reshape(-1)


def batches(pictures: np.ndarray, size: int = 250) -> Iterator[tuple[int, Tensor]]:
    """Beginning of each batch, and its pictures (B, 3, H, W) in [0, 1]."""
    for start in range(0, len(pictures), size):
        yield start, torch.from_numpy(pictures[start : start + size]).permute(0, 3, 1, 2).float() / 255


@torch.no_grad()
def cifar_answers(model: nn.Module, network: LoadedNetwork, pictures: np.ndarray, truth: np.ndarray) -> Arrays:
    """One value a picture: whether the class is right; another under one pixel; the same in two circular shifts."""
    ask = Prepared(model.eval(), network.preprocess)
    found: dict[str, list[np.ndarray]] = {"right": [], "flip": [], "inconsistent": []}
    for start, x in batches(pictures):
        rows = range(start, start + len(x))
        answer = ask(x).argmax(1)
        even = torch.tensor([row % 2 == 0 for row in rows])[:, None, None, None]
        moved = torch.where(even, shifted(x, (1, 0), "reflect"), shifted(x, (0, 1), "reflect"))
        found["right"].append((answer.numpy() == truth[start : start + len(x)]).astype(float))
        if start >= SHIFTED:
            continue
        found["flip"].append((ask(moved).argmax(1) != answer).double().numpy())
        two = []
        for number in (0, 1):
            shifts = [np.random.default_rng([7, number, row]).integers(0, 32, 2).tolist() for row in rows]
            rolled = [picture.roll((down, right), (1, 2)) for picture, (down, right) in zip(x, shifts, strict=True)]
            two.append(ask(torch.stack(rolled)).argmax(1))
        found["inconsistent"].append((two[0] != two[1]).double().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


@torch.no_grad()
def photograph_answers(model: nn.Module, network: LoadedNetwork, pictures: Tensor, truth: np.ndarray) -> Arrays:
    """One value a picture: whether the class is right; another, and divergence, under one pixel right, true pixels."""
    ask = Prepared(model.eval(), network.preprocess)
    found: dict[str, list[np.ndarray]] = {"right": [], "flip": [], "divergence": []}
    for start in range(0, len(pictures), 10):
        part = pictures[start : start + 10]
        wide = resized(part, network.size + 8) / 255
        answer = ask(resized(part, network.size) / 255).argmax(1)
        here, there = ask(window(wide, network.size, (0, 0))), ask(window(wide, network.size, (0, 1)))
        p, q = softmax(here, 1), log_softmax(there, 1)
        found["right"].append((answer.numpy() == truth[start : start + len(part)]).astype(float))
        found["flip"].append((here.argmax(1) != there.argmax(1)).double().numpy())
        found["divergence"].append((p * (log_softmax(here, 1) - q)).sum(1).double().numpy())
    return {name: np.concatenate(parts) for name, parts in found.items()}


def row_of(found: Arrays, plain: Arrays) -> dict[str, float]:
    """Means, in percent but for divergences, with standard errors over pictures; and paired differences from plain."""
    row: dict[str, float] = {}
    for name, values in found.items():
        row[f"{name}_pictures"] = len(values)
        scale = 1 if name == "divergence" else 100
        for key, each in ((name, values), (f"{name}_difference", values - plain[name])):
            row[key] = scale * each.mean()
            row[f"{key}_stderr"] = scale * each.std(ddof=1) / len(each) ** 0.5
    return row


class Table:
    """A table of results that grows row by row."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rows: list[dict[str, Any]] = []
        if path.exists():
            self.rows = pd.read_csv(path, keep_default_na=False).to_dict("records")

    def has(self, **key: Any) -> bool:
        """Tell if there is a row with these values."""
        return any(all(str(row[name]) == str(value) for name, value in key.items()) for row in self.rows)

    def add(self, **row: Any) -> None:
        """Add a row and write the table."""
        print({k: f"{v:.4g}" if isinstance(v, float) else v for k, v in row.items() if "stderr" not in k}, flush=True)
        self.rows.append(row)
        frame = pd.DataFrame(self.rows)
        write_atomically(self.path, lambda path: frame.to_csv(path, index=False, float_format="%.6g"))


def cached(path: Path, measure: Callable[[], Arrays]) -> Arrays:
    """Values a picture from a file, or measured and kept there."""
    if not path.exists():
        found = measure()
        write_atomically(path, lambda file: np.savez(file, allow_pickle=False, **found))
    with np.load(path) as kept:
        return dict(kept)


def healed_by(network: LoadedNetwork, remedy: str, images: Any, work: Path, **how: Any) -> tuple[nn.Module, dict]:
    """Healed network, and what its log and the clock of the processor say; `work` keeps the run."""
    begin = time.process_time()
    work.mkdir(parents=True, exist_ok=True)
    done = heal_network(network, remedy, images, work, progress=False, save_every=20, **how)
    about = {
        "steps": int(done.rows[-1]["step"]),
        "best_step": int(done.rows[done.kept - 1]["step"]),
        "agreement_before": done.before["agreement"],
        "agreement": done.rows[done.kept - 1]["agreement"],
        "cpu_minutes": (time.process_time() - begin) / 60,
    }
    return done.model, about


def last_round(network: LoadedNetwork, remedy: str, work: Path) -> nn.Module:
    """Network after the last round of a run, whether it was the best or not."""
    model, _ = remedied(network, remedy)
    state = load_checkpoint(work / "last.pt")["model"]
    model.load_state_dict({key.removeprefix("network."): value for key, value in state.items()})
    return model


def choice(data: Path, out: Path, names: list[str]) -> None:
    """Task to learn from: ResNet-20 with blur3, few steps, 2,000 training images that were not learnt from."""
    network = load_network("resnet20-cifar", data / "weights" / WEIGHTS["resnet20"])
    pictures, truth = cifar(data, "train")
    parts = {"": (pictures[LEARNT:], truth[LEARNT:]), "test_": tuple(each[:2000] for each in cifar(data, "test"))}
    table = Table(out / "choice.csv")
    plain = {
        name: cached(
            out / "work" / f"plain_choice_{name}.npz", lambda part=part: cifar_answers(network.model, network, *part)
        )
        for name, part in parts.items()
    }

    def row(model: nn.Module) -> dict[str, float]:
        found = {name: row_of(cifar_answers(model, network, *part), plain[name]) for name, part in parts.items()}
        return {f"{name}{key}": value for name, each in found.items() for key, value in each.items()}

    if not table.has(what="plain"):
        table.add(what="plain", **row(network.model))
        table.add(what="blur3, not healed", **row(apply_remedy(network, "blur3")[0]))
    for what, how in CHOICES.items():
        if (not names or what in names) and not table.has(what=what):
            name = what.replace(" ", "_").replace(",", "")
            how = {**SETTINGS["choice"], **how}
            model, about = healed_by(network, "blur3", pictures[:LEARNT], out / "work" / f"choice_{name}", **how)
            table.add(what=what, **row(model), **about)


def residual(name: str, data: Path, out: Path, remedies: list[str], settings: str) -> None:
    """ResNet on all test images of CIFAR-10: plain, with each remedy, and healed."""
    network = load_network(f"{name}-cifar", data / "weights" / WEIGHTS[name])
    learnt, test = cifar(data, "train")[0][:LEARNT], cifar(data, "test")
    table = Table(out / f"{name}.csv")
    plain = cached(out / "work" / f"plain_{name}.npz", lambda: cifar_answers(network.model, network, *test))
    if not table.has(remedy="plain", healed=0):
        table.add(remedy="plain", healed=0, settings="", **row_of(plain, plain))
    for remedy in remedies or REMEDIES[name]:
        shown, steps = remedy or "plain", SETTINGS[settings]["steps"]
        if not table.has(remedy=shown, settings=settings):
            work = out / "work" / f"{name}_{shown}_{settings}"
            model, about = healed_by(network, remedy, learnt, work, **SETTINGS[settings])
            found = row_of(cifar_answers(model, network, *test), plain)
            table.add(remedy=shown, healed=steps, settings=settings, **found, **about)
            shutil.copy(work / "log.csv", out / f"{name}_{shown}_{settings}_log.csv")
        if "patience" not in SETTINGS[settings] and not table.has(remedy=shown, settings=f"{settings}, last round"):
            model = last_round(network, remedy, out / "work" / f"{name}_{shown}_{settings}")
            found = row_of(cifar_answers(model, network, *test), plain)
            table.add(remedy=shown, healed=steps, settings=f"{settings}, last round", **found)
        if not table.has(remedy=shown, healed=0):
            model, _ = apply_remedy(network, remedy)
            table.add(remedy=shown, healed=0, settings="", **row_of(cifar_answers(model, network, *test), plain))


def squeezenet(data: Path, out: Path, remedies: list[str], folds: list[int], rate: float) -> None:
    """SqueezeNet on photographs: 800 to learn from, the others to report, in folds."""
    network = load_network("squeezenet", data / "weights" / WEIGHTS["squeezenet"])
    pictures, labels = read(data / "imagenet-sample", 1000)
    truth, images = labels.numpy(), pictures.permute(0, 2, 3, 1).contiguous().numpy()
    table = Table(out / "squeezenet.csv")
    for remedy in remedies or REMEDIES["squeezenet"]:
        for fold in folds:
            shown, apart = remedy or "plain", np.arange(1000) % 5 == fold
            test = pictures[torch.from_numpy(apart)], truth[apart]
            plain = cached(
                out / "work" / f"plain_squeezenet_{fold}.npz",
                lambda test=test: photograph_answers(network.model, network, *test),
            )
            if not table.has(remedy="plain", fold=fold, healed=0):
                table.add(remedy="plain", fold=fold, healed=0, rate="", round="", **row_of(plain, plain))
            if remedy and not table.has(remedy=shown, fold=fold, healed=0):
                model, _ = apply_remedy(network, remedy)
                answers = photograph_answers(model, network, *test)
                table.add(remedy=shown, fold=fold, healed=0, rate="", round="", **row_of(answers, plain))
            steps = SETTINGS["squeezenet"]["steps"]
            work = out / "work" / f"squeezenet_{shown}_{fold}_{steps}_{rate:g}"
            if not table.has(remedy=shown, fold=fold, healed=steps, rate=rate, round="best"):
                model, about = healed_by(network, remedy, images[~apart], work, rate=rate, **SETTINGS["squeezenet"])
                answers = photograph_answers(model, network, *test)
                table.add(
                    remedy=shown, fold=fold, healed=steps, rate=rate, round="best", **row_of(answers, plain), **about
                )
                shutil.copy(work / "log.csv", out / f"squeezenet_{shown}_{fold}_{rate:g}_log.csv")
            if not table.has(remedy=shown, fold=fold, healed=steps, rate=rate, round="last"):
                answers = photograph_answers(last_round(network, remedy, work), network, *test)
                row = row_of(answers, plain)
                table.add(remedy=shown, fold=fold, healed=steps, rate=rate, round="last", **row)


def starts(data: Path, out: Path) -> None:
    """Three starts of SqueezeNet's complex modulus, not healed: as it is, as theory predicts, and measured.

    Predicted: the largest cosine of a pooling window has the mean E[M] for a uniform phase, by which the modulus is
    multiplied. Measured: mean and variance of each channel as the maximum had them, on 20 photographs of another fold.
    """
    network = load_network("squeezenet", data / "weights" / WEIGHTS["squeezenet"])
    pictures, labels = read(data / "imagenet-sample", 1000)
    test = pictures[::5], labels.numpy()[::5]
    seen = network.preprocess(resized(pictures[1:100:5], network.size) / 255)
    first = next(module for module in network.model.modules() if isinstance(module, nn.Conv2d))
    layer = FirstLayer("squeezenet", first.weight.detach().double().numpy(), first.stride[0])
    mean = maximum_moments(layer.stride * characteristic_frequencies(layer))[0]
    factor = np.where(band_pass_channels(first.weight), mean, 1.0)
    plain = cached(out / "work" / "plain_squeezenet_0.npz", lambda: photograph_answers(network.model, network, *test))
    table = Table(out / "squeezenet_starts.csv")
    for remedy in ("cmod-band-pass", "cmod"):
        model, _ = apply_remedy(network, remedy)
        turned = next(module for module in model.modules() if isinstance(module, CMod))
        mixed = next((module for module in model.modules() if isinstance(module, MixedCMod)), None)
        channels = slice(None) if mixed is None else mixed.order.argsort()[: turned.out_channels].numpy()
        before = turned.weight.detach().clone()
        by = torch.from_numpy(factor[channels]).float().view(-1, *(1,) * (before.ndim - 1))
        for start in ("as it is", "predicted", "measured"):
            with torch.no_grad():
                turned.weight.copy_(before * by if start == "predicted" else before)
            if start == "measured":
                match_moments(network.model, model, seen)
            ratio = (turned.weight.detach().flatten(1).norm(dim=1) / before.flatten(1).norm(dim=1)).median()
            if not table.has(remedy=remedy, start=start):
                row = row_of(photograph_answers(model, network, *test), plain)
                table.add(remedy=remedy, start=start, median_factor=float(ratio), **row)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(prog="python -m scripts.heal_examples", description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=("choice", "starts", *REMEDIES))
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("remedies", nargs="*")
    parser.add_argument("--folds", type=int, nargs="+", choices=range(5), default=range(5), help="of SqueezeNet")
    parser.add_argument("--rate", type=float, default=3e-5, help="of SqueezeNet")
    parser.add_argument("--settings", choices=SETTINGS, default="fourth")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    given = ["" if name == "plain" else name for name in arguments.remedies]
    (arguments.out / "work").mkdir(parents=True, exist_ok=True)
    if arguments.name == "choice":
        choice(arguments.data, arguments.out, arguments.remedies)
    elif arguments.name == "starts":
        starts(arguments.data, arguments.out)
    elif arguments.name == "squeezenet":
        squeezenet(arguments.data, arguments.out, given, list(arguments.folds), arguments.rate)
    else:
        residual(arguments.name, arguments.data, arguments.out, given, arguments.settings)


if __name__ == "__main__":
    main()
