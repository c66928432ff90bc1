"""Shares of change of a first layer's channels, against what the answers do when those channels alone are shifted.

    python -m scripts.channels_to_answers NAME DATA OUT

NAME is squeezenet, resnet20 or resnet56. DATA is a folder with imagenet-sample/, cifar10/ (sheets as
``scripts.pack_data`` describes) and weights/. The same command continues a run that was stopped; without NAME the
tables in OUT are put together.

The layer's output is that of its pooling, or of its ReLU where there is none. A channel, or a group of channels, is
replaced by that of the shifted picture; all else is of the picture as it is. What the answers do is the squared change
of the centred logits, over that when all channels are replaced, and the part of the probability that moves to other
classes. The shares are measured on other pictures, so that they are predictions.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from analysis.files.atomic import write_atomically
from analysis.kernels import FirstLayer, first_layer, measure_kernels, rank_interval
from analysis.measurements.shift_experiment import SHIFTS
from analysis.measurements.translation import margin_for, windows
from analysis.networks.loading import LoadedNetwork, load_network
from analysis.plots.prescribe import answers_figure
from analysis.runs.feed import feed
from analysis.runs.journal import resumable
from scripts.audit_examples import WEIGHTS
from scripts.pack_data import pictures_of

NAMES = {"squeezenet": "SqueezeNet 1.0", "resnet20": "ResNet-20", "resnet56": "ResNet-56"}
OUTPUT = {"squeezenet": "pool1", "resnet20": "relu", "resnet56": "relu"}
READ_BY = {"squeezenet": "fire2.conv1x1_1", "resnet20": "layer1.0.conv1", "resnet56": "layer1.0.conv1"}
"""Next convolution: the squares of its weights on a channel are a second guess at what the channel does."""
GROUPS = {"squeezenet": 8, "resnet20": 4, "resnet56": 4}
ANSWERS, SHARES = {"squeezenet": 16, "resnet20": 304, "resnet56": 304}, 200  # pictures
IN_TURN = {"squeezenet": True, "resnet20": False, "resnet56": False}
"""True to shift each picture one way only, down and right in turn: half the time for a large network."""
BLOCK = 8
QUANTITIES = ("logits", "probability", "flips")


@dataclass(frozen=True)
class ChannelsShifted:
    """Measurement of what a network's answers do when sets of channels of one layer are those of a shifted picture.

    Sums are kept of two halves of the pictures apart, so that they can be compared.

    Parameters
    ----------
    network : LoadedNetwork
    module : str
        Whose output is replaced.
    sets : ndarray, shape (K, C), bool
        The last set must have all channels.
    shifts : sequence of (float, float)
    in_turn : bool
        Take one of the shifts for each picture instead of all.
    """

    network: LoadedNetwork
    module: str
    sets: NDArray[np.bool_]
    shifts: Sequence[Sequence[float]] = SHIFTS
    in_turn: bool = False

    @property
    def length(self) -> int:
        """Entries: for two halves the pictures, the sums and squared sums of each quantity and set, and products."""
        return 2 * self._half

    @property
    def _half(self) -> int:
        return 1 + (2 * len(QUANTITIES) + 1) * len(self.sets)

    def measure(self, pictures: NDArray[np.float32], names: Sequence[str]) -> tuple[NDArray[np.float64], None]:
        """Return the sums of pictures (n, 3, size, size), R, G, B in [0, 1]."""
        halves = np.zeros((2, self._half))
        for index, picture in enumerate(pictures):
            shifts = [self.shifts[index % len(self.shifts)]] if self.in_turn else self.shifts
            found = np.mean([self._changes(picture, shift) for shift in shifts], axis=0)
            parts = [1.0, *found.ravel(), *(found**2).ravel(), *(found[0] * found[0, -1])]
            halves[index // len(self.shifts) % 2] += parts
        return halves.ravel(), None

    def _changes(self, picture: NDArray[np.float32], shift: Sequence[float]) -> NDArray[np.float64]:
        """Quantities (3, K) of one picture and shift, the borders mirrored."""
        margin = margin_for(self.shifts)
        wide = np.pad(picture, ((0, 0), (margin, margin), (margin, margin)), mode="symmetric")
        pair = torch.from_numpy(np.stack([windows(wide, u, margin) for u in ((0.0, 0.0), shift)]))
        maps: list[Tensor] = []
        layer = self.network.model.get_submodule(self.module)
        with torch.inference_mode():
            whole = _answers(self.network, pair, layer, lambda output: maps.append(output))
            chosen = torch.from_numpy(self.sets)[:, :, None, None]
            mixed = torch.where(chosen, maps[0][1], maps[0][0])
            logits = _answers(self.network, pair[:1], layer, lambda output: mixed)
        probability = logits.softmax(1) - whole[:1].softmax(1)
        change = logits - whole[:1]
        change = change - change.mean(1, keepdim=True)
        flips = logits.argmax(1) != whole[0].argmax()
        return np.stack([x.double().numpy() for x in ((change**2).sum(1), probability.abs().sum(1) / 2, flips)])


def _answers(network: LoadedNetwork, pictures: Tensor, layer: nn.Module, replace: Any) -> Tensor:
    """Logits, with the output of a layer replaced by what `replace` makes of it, unless that is None."""
    handle = layer.register_forward_hook(lambda module, inputs, output: replace(output))
    try:
        ready = pictures if network.preprocess is None else network.preprocess(pictures)
        logits: Tensor = network.model(ready)
    finally:
        handle.remove()
    return logits


def sources(name: str, data: Path) -> tuple[LoadedNetwork, FirstLayer, int, list[Any], list[Any]]:
    """Network, first layer, side of the pictures, pictures for the answers, and others for the shares."""
    weights = data / "weights" / WEIGHTS[name]
    if name == "squeezenet":
        files = sorted(str(file) for file in (data / "imagenet-sample").glob("*.jpg"))
        chosen = [files[i] for i in np.random.default_rng(0).permutation(len(files))]
        layer = first_layer(weights, like="squeezenet1_0", weight="conv1.weight")
        return load_network(name, weights), layer, 224, chosen[: ANSWERS[name]], chosen[-SHARES:]
    sheets = [pictures_of(data / "cifar10" / file) for file in ("test_00.webp", "train_00.webp")]
    tested, others = ([np.ascontiguousarray(picture) for picture in sheet] for sheet in sheets)
    layer = first_layer(weights, stride=1, padding=1, pool=1, name=NAMES[name])
    return load_network(f"{name}-cifar", weights), layer, 32, tested[: ANSWERS[name]], others[:SHARES]


def table_of(name: str, data: Path, out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Tables of the channels and of the groups of one network."""
    network, layer, size, pictures, others = sources(name, data)
    measured = measure_kernels(layer, others, size=size, progress=False)
    share = measured.share_of_change.values
    order = np.argsort(-share)
    groups = [np.isin(np.arange(len(share)), part) for part in np.array_split(order, GROUPS[name])]
    sets = np.stack([*np.eye(len(share), dtype=bool), *groups, np.ones(len(share), bool)])
    measurement = ChannelsShifted(network, OUTPUT[name], sets, in_turn=IN_TURN[name])
    settings = {"network": name, "weights": WEIGHTS[name], "sets": sets.astype(int).tolist(), "size": size}
    settings |= {"in_turn": IN_TURN[name], "block": BLOCK}
    out.mkdir(parents=True, exist_ok=True)
    with resumable(out, name, settings, [], False, False) as journal:
        (sums,), _ = feed(pictures, [measurement], size, True, block=BLOCK, journal=journal, desc=name)
    frame = statistics(sums.reshape(2, -1), len(sets))
    reads = network.model.get_parameter(f"{READ_BY[name]}.weight").detach().double()
    frame.insert(0, "network", name)
    channels = frame.iloc[: len(share)].copy()
    channels.insert(1, "channel", np.arange(len(share)))
    channels.insert(2, "share", share)
    channels.insert(3, "share_stderr", measured.share_of_change_stderr.values)
    channels.insert(4, "read", (reads**2).sum((0, 2, 3)).numpy())
    rest = frame.iloc[len(share) :].copy()
    rest.insert(1, "group", [*range(1, len(groups) + 1), "all"])
    rest.insert(2, "channels", sets[len(share) :].sum(axis=1))
    rest.insert(3, "share", [share[group].sum() for group in groups] + [share.sum()])
    return channels, rest


def statistics(halves: NDArray[np.float64], count: int) -> pd.DataFrame:
    """One row a set: the change of the answers, with standard errors, and the logits' in each half of the pictures."""
    whole = halves.sum(axis=0)
    n, parts = whole[0], whole[1:].reshape(-1, count)
    means, squares, products = parts[:3] / n, parts[3:6] / n, parts[6] / n
    errors = np.sqrt(np.maximum(squares - means**2, 0) / (n - 1))
    # Of a ratio of sums over pictures: the residual of each picture.
    ratio = means[0] / means[0, -1]
    residuals = squares[0] - 2 * ratio * products + ratio**2 * squares[0, -1]
    columns = {"pictures": np.full(count, int(n)), "change": ratio}
    columns["change_stderr"] = np.sqrt(np.maximum(residuals, 0) / (n - 1)) / means[0, -1]
    for number, name in enumerate(QUANTITIES[1:], start=1):
        columns |= {name: means[number], f"{name}_stderr": errors[number]}
    for number, half in enumerate(halves, start=1):
        sums = half[1 : 1 + count]
        columns[f"change_half{number}"] = sums / sums[-1]
    return pd.DataFrame(columns)


def summary(channels: pd.DataFrame, groups: pd.DataFrame) -> pd.DataFrame:
    """Rank correlations over the channels of a network, with 95 % intervals, and what the groups say."""
    heard = channels[channels.share > 0]
    pairs = {
        "share, change of logits": (heard.share, heard.change),
        "share, probability moved": (heard.share, heard.probability),
        "share x squared weights that read it, change of logits": (heard.share * heard["read"], heard.change),
        "change of logits in one half of the pictures, in the other": (heard.change_half1, heard.change_half2),
    }
    rows = []
    for label, (x, y) in pairs.items():
        r, low, high = rank_interval(x.to_numpy(), y.to_numpy())
        row = {
            "network": heard.network.iloc[0],
            "of": label,
            "channels": len(heard),
            "pictures": heard.pictures.iloc[0],
        }
        # Where the jackknife of few channels says nothing: Fisher's z, with the variance of Bonett and Wright (2000).
        reach = 1.96 * np.sqrt((1 + r**2 / 2) / (len(heard) - 3))
        fisher = np.tanh(np.arctanh(np.clip(r, -1 + 1e-12, 1 - 1e-12)) + np.array([-reach, reach]))
        row |= {"rank_correlation": r, "low": low, "high": high, "fisher_low": fisher[0], "fisher_high": fisher[1]}
        rows.append(row)
    found = pd.DataFrame(rows)
    found["sum_of_single_changes"] = channels.change.sum()
    parts = groups[groups.group != "all"]
    found["first_group_share"], found["first_group_change"] = parts.share.iloc[0], parts.change.iloc[0]
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("name", choices=[*NAMES, "all"])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    for name in NAMES if arguments.name == "all" else [arguments.name]:
        for kind, frame in zip(("channels", "groups"), table_of(name, arguments.data, arguments.out), strict=True):
            _write(frame, arguments.out / f"{name}_{kind}.csv")
    tables = {}
    for name in NAMES:
        files = [arguments.out / f"{name}_{kind}.csv" for kind in ("channels", "groups")]
        if all(file.exists() for file in files):
            tables[name] = tuple(pd.read_csv(file) for file in files)
    whole = pd.concat([summary(*pair) for pair in tables.values()])
    _write(whole, arguments.out / "summary.csv")
    print(whole.to_string(index=False))
    figure = answers_figure({NAMES[name]: channels for name, (channels, _) in tables.items()})
    write_atomically(arguments.out / "answers.png", lambda path: figure.savefig(path, dpi=100))


def _write(frame: pd.DataFrame, path: Path) -> None:
    write_atomically(path, lambda temporary: frame.to_csv(temporary, index=False, float_format="%.5g"))


if __name__ == "__main__":
    main()
