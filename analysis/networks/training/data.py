"""Data sets to train on: arrays, folders of pictures, CIFAR-10's archives; and batches of them."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from analysis.files.downloads import downloaded
from analysis.files.folders import ImageFolder
from analysis.files.messages import one_line, printable
from analysis.files.pictures import load_pictures
from analysis.networks.training import cifar10
from analysis.networks.training.augmentation import AUGMENTATIONS, Augmentation, draws, epoch_order, fitted
from analysis.networks.training.recipe import Recipe
from analysis.runs.blocks import block_key
from wavelets.checks import integer

HOLD_OUT = ("random", "first")
"""Ways to choose what is validated with."""

Skipped = list[tuple[str, str]]
Batch = tuple[Tensor, Tensor, Skipped]


class Examples:
    """Inputs with their classes.

    Parameters
    ----------
    inputs : ndarray or sequence of str
        Pictures (N, H, W, 3) uint8, spectrograms (N, T, F) floating; or names of N picture files.
    targets : ndarray, shape (N,), int64, or (N, C), uint8
        Classes; or 1 for each class that an example is of, and 0.
    clips : ndarray, shape (N,), integer, optional
        Number of the recording that each spectrogram is a patch of: what is scored is the mean over a recording, and
        no recording is divided between training and validation.
    rows : ndarray of int64, optional
        Numbers of these examples among the N; by default all.
    """

    def __init__(
        self,
        inputs: NDArray[Any] | Sequence[str],
        targets: NDArray[Any],
        clips: NDArray[Any] | None = None,
        rows: NDArray[np.int64] | None = None,
    ) -> None:
        self.inputs, self._targets, self._clips = inputs, targets, clips
        self.rows = np.arange(len(targets)) if rows is None else rows

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def targets(self) -> NDArray[Any]:
        """Targets of these examples."""
        return self._targets[self.rows]

    @property
    def clips(self) -> NDArray[np.int64] | None:
        """Recordings of these examples, numbered from 0 without gaps."""
        return None if self._clips is None else np.unique(self._clips[self.rows], return_inverse=True)[1]

    def select(self, which: NDArray[np.int64]) -> Examples:
        """Some of these examples; inputs are shared."""
        return Examples(self.inputs, self._targets, self._clips, self.rows[which])

    def batch(
        self, which: NDArray[np.int64], size: tuple[int, int], augmentation: Augmentation, place: tuple[int, int]
    ) -> Batch:
        """Read examples.

        Parameters
        ----------
        which : ndarray, shape (B,), int64
        size : tuple of int
            Height and width of the pictures.
        augmentation : Augmentation
        place : tuple of int
            Seed and epoch, on which the augmentation depends.

        Returns
        -------
        inputs : Tensor, shape (B', H, W, 3), uint8, or (B, T, F), floating
            B' is less than B, and may be 0, where files cannot be read.
        targets : Tensor, shape (B',) or (B', C)
        skipped : list of (str, str)
            Name and reason of each picture file that could not be read and is left out.
        """
        rows = self.rows[which]
        if isinstance(self.inputs, np.ndarray) and self.inputs.ndim == 3:
            return torch.from_numpy(self.inputs[rows]), torch.from_numpy(self._targets[rows]), []
        numbers = draws(*place, rows, augmentation.count)
        skipped: Skipped = []
        if isinstance(self.inputs, np.ndarray) and self.inputs.shape[1:3] == size and augmentation.image is None:
            pictures = self.inputs[rows]
        else:
            read, kept = [], []
            for number, row in enumerate(rows.tolist()):
                image = self.image(row, skipped)
                if image is None:
                    continue
                if augmentation.image is None:
                    image = fitted(image, size)
                else:
                    image = augmentation.image(image, size, numbers[number].tolist())
                read.append(np.asarray(image))
                kept.append(number)
            pictures = np.stack(read) if read else np.empty((0, *size, 3), np.uint8)
            rows, numbers = rows[kept], numbers[kept]
        if augmentation.pictures is not None:
            pictures = augmentation.pictures(pictures, numbers)
        return torch.from_numpy(np.ascontiguousarray(pictures)), torch.from_numpy(self._targets[rows]), skipped

    def digest(self) -> str:
        """Digest of targets and inputs: of arrays their values, of files their names, sizes and times of change."""
        found = hashlib.sha256(self.rows.tobytes() + np.ascontiguousarray(self.targets).tobytes())
        found.update(block_key(((row, self.inputs[row]) for row in self.rows.tolist()), None))
        return found.hexdigest()

    def image(self, row: int, skipped: Skipped) -> Image.Image | None:
        """Return the picture of a row in RGB; None for a file that cannot be read, which is added to `skipped`."""
        source = self.inputs[row]
        if not isinstance(source, str):
            return Image.fromarray(source)
        for picture in load_pictures([source], None, lambda *skip: skipped.append(skip), colour=True):
            pixels = np.rint(255 * picture.pixels.clip(0, 1)).astype(np.uint8)
            return Image.fromarray(np.ascontiguousarray(np.moveaxis(pixels, 0, -1)))
        return None


@dataclass(frozen=True)
class Data:
    """Data set of a run, divided into parts.

    Attributes
    ----------
    train, validation : Examples
        They share no example, and no recording.
    test : Examples or None
        Examples for the final score alone; the validation set itself where that is all there is to validate with.
    mean, std : tuple of float
        Normalisation, by channel.
    origins : dict of str to str
        Part of the data set, such as "val", that the validation and the test set are, by "validation" and "test".
    """

    train: Examples
    validation: Examples
    test: Examples | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origins: dict[str, str] = field(default_factory=dict)

    def digests(self) -> dict[str, str]:
        """Digests of what is trained on and of what is validated with, by names for messages."""
        parts = {"training data": self.train, "validation data": self.validation}
        return {name: part.digest()[:32] for name, part in parts.items()}

    def prepared(self, inputs: Tensor) -> Tensor:
        """Normalise a batch of :meth:`Examples.batch`: (B, channels, H, W), float32, one channel for spectrograms."""
        x = inputs[:, None].float() if inputs.ndim == 3 else inputs.permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(values, device=x.device)[:, None, None] for values in (self.mean, self.std))
        return ((x - mean) / std).contiguous()


class _Batches(Dataset[Batch]):
    """Batches by the numbers of their examples; a whole one is made at a time, which is faster than one by one."""

    def __init__(self, examples: Examples, size: tuple[int, int], augmentation: str, place: tuple[int, int]) -> None:
        self.examples, self.size, self.place = examples, size, place
        self.augmentation = AUGMENTATIONS[augmentation]

    def __getitem__(self, which: NDArray[np.int64]) -> Batch:
        return self.examples.batch(which, self.size, self.augmentation, self.place)


def _as_it_is(batch: Any) -> Any:
    return batch


def _load(batches: _Batches, order: list[NDArray[np.int64]], workers: int, pin: bool) -> Iterator[Batch]:
    # a generator of its own: the loader draws a number, which must not be one of those that dropout draws
    return iter(
        DataLoader(
            batches,
            batch_size=None,
            sampler=order,
            num_workers=workers,
            collate_fn=_as_it_is,
            pin_memory=pin,
            generator=torch.Generator(),
        )
    )


def training_batches(
    examples: Examples,
    recipe: Recipe,
    seed: int,
    epoch: int,
    start: int = 0,
    workers: int = 0,
    pin: bool = False,
) -> Iterator[Batch]:
    """Batches of one epoch, in random order, augmented; as many as the recipe's steps, if it has them.

    Parameters
    ----------
    examples : Examples
    recipe : Recipe
    seed, epoch : int
        They determine order and augmentation.
    start : int
        Batches to pass over.
    workers : int
        Processes that read; with 0 it is this one. The batches are the same.
    pin : bool
        Put them into memory from which copies to a GPU are fast.

    Yields
    ------
    Batch
        As of :meth:`Examples.batch`.
    """
    a_pass = len(batch_slices(epoch_examples(examples, recipe, seed, epoch), recipe.batch))
    steps = a_pass if recipe.steps is None else recipe.steps
    passes = -(-steps // a_pass)
    for number in range(start // a_pass, passes):
        turn, first = epoch * passes + number, number * a_pass
        order = batch_slices(epoch_examples(examples, recipe, seed, turn), recipe.batch)
        order = order[max(start - first, 0) : steps - first]
        yield from _load(_Batches(examples, recipe.size, recipe.augmentation, (seed, turn)), order, workers, pin)


def epoch_examples(examples: Examples, recipe: Recipe, seed: int, epoch: int) -> NDArray[np.int64]:
    """Examples that an epoch goes through, in their order: all, or one patch of each recording."""
    order = epoch_order(seed, epoch, len(examples))
    if not recipe.one_patch:
        return order
    if examples.clips is None:
        raise ValueError("one_patch needs to know which recording a patch is of; expected arrays with train_clip")
    first = np.unique(examples.clips[order], return_index=True)[1]
    return order[np.sort(first)]


def batch_slices(order: NDArray[np.int64], batch: int) -> list[NDArray[np.int64]]:
    """Cut an order into batches; one example left over is not used, since batch normalisation needs two."""
    parts = [order[start : start + batch] for start in range(0, len(order), batch)]
    return parts[:-1] if len(parts) > 1 and len(parts[-1]) == 1 else parts


def evaluation_batches(examples: Examples, recipe: Recipe, workers: int = 0, pin: bool = False) -> Iterator[Batch]:
    """All examples in their order, not augmented, in batches of the recipe."""
    order = np.arange(len(examples))
    parts = [order[start : start + recipe.batch] for start in range(0, len(order), recipe.batch)]
    return _load(_Batches(examples, recipe.size, "none", (0, 0)), parts, workers, pin)


def load_data(
    folder: str | os.PathLike[str],
    recipe: Recipe,
    limit: int | None = None,
    download: bool = False,
    progress: bool = True,
    hold_out: str = "random",
) -> Data:
    """Data set in a folder, divided for training as a recipe says.

    Parameters
    ----------
    folder : path
        One of these:

        - an .npz file, or a folder with one, of arrays ``train_x``, ``train_y`` and optionally ``test_x``, ``test_y``
          and ``val_x``, ``val_y``,
          ``train_clip``, ``test_clip``; or a folder of such arrays as .npy files, which are then not read into memory.
          Pictures are (N, H, W, 3) uint8, spectrograms (N, T, F) floating, classes (N,) integers from 0, or, if they do
          not exclude each other, (N, C) of 0 and 1, clips (N,) the number of the recording that a patch is from.
        - a folder ``train`` with a folder of pictures for each class, and optionally such folders ``val`` and ``test``.
          With both, ``val`` is validated with and ``test`` gives the final score; one alone is the test set, and
          validation is with what the recipe holds out of ``train``.
        - CIFAR-10 as archive or unpacked; see :mod:`analysis.networks.training.cifar10`.
    recipe : Recipe
    limit : int, optional
        Train with this many examples at most, and validate and test with as many.
    download : bool
        If the folder does not have CIFAR-10, download its archive (170 MB) into it.
    progress : bool
        Show a progress bar.
    hold_out : {"random", "first"}
        Examples that are validated with, of those of the recipe's share: drawn at random but always the same; or the
        first ones, of a folder as many of each class, as in the poster's code.

    Returns
    -------
    Data

    Raises
    ------
    OSError
        If something is missing; the message names it and what was expected.
    TypeError, ValueError
        If arrays are not as described, or classes are out of range.
    """
    path = Path(folder)
    if download and not cifar10.present(path):
        if (recipe.kind, recipe.size) != ("pictures", (32, 32)):
            raise ValueError(f"only CIFAR-10 can be downloaded; {recipe.name} is not of it")
        downloaded(cifar10.BINARY.url, path, cifar10.BINARY.md5, "md5", progress)
    if not path.exists():
        raise FileNotFoundError(f"no such data folder: {printable(path)}")
    if limit is not None:
        integer("limit", limit, 2)
    parts = _read(path, recipe)
    _check_like(parts, path)

    def some(name: str, order: NDArray[np.int64]) -> Examples:
        return parts[name].select(np.sort(order[:limit]))

    test_part = "test" if "test" in parts else "val"
    validates_apart = {"val", "test"} <= set(parts)
    if hold_out not in HOLD_OUT:
        raise ValueError(f"hold_out is {hold_out!r}; expected one of {', '.join(HOLD_OUT)}")
    if hold_out == "first" and not recipe.held_out:
        raise ValueError(f"hold_out is 'first', but {recipe.name} holds out nothing; expected 'random'")
    divide = split if hold_out == "random" else split_first
    training, validation = divide(parts["train"], 0.0 if validates_apart else recipe.held_out)
    test = some(test_part, _shuffled(len(parts[test_part]))) if test_part in parts else None
    if validates_apart:
        held, origin = some("val", _shuffled(len(parts["val"]))), "val"
    elif recipe.held_out:
        held, origin = some("train", validation), "held out of train" if hold_out == "random" else "the first of train"
    elif test is not None:
        held, origin = test, test_part
    else:
        raise FileNotFoundError(f"{printable(path)} has no test set, and the recipe holds out nothing to validate with")
    chosen = some("train", training)
    mean, std = recipe.mean, recipe.std
    if mean is None or std is None:
        mean, std = _moments(chosen)
    origins = {"validation": origin} | ({} if test is None else {"test": test_part})
    return Data(chosen, held, test, mean, std, origins)


def split(examples: Examples, held_out: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the examples to train on and of those held out, each in an order that is random but always the same.

    Parameters
    ----------
    examples : Examples
        Patches of one recording stay together.
    held_out : float
        Fraction, rounded to whole examples or recordings, at least one unless it is 0.

    Returns
    -------
    training, validation : ndarray, int64

    Raises
    ------
    ValueError
        If nothing is left to train on.
    """
    clips = examples.clips
    units = len(examples) if clips is None else int(clips.max()) + 1
    count = max(1, round(held_out * units)) if held_out else 0
    if count >= units:
        raise ValueError(f"{units} examples to train on; expected more than the {count} that are held out")
    order = _shuffled(units)
    if clips is None:
        return order[count:], order[:count]
    held = np.isin(clips, order[:count])
    shuffled = _shuffled(len(examples))
    return shuffled[~held[shuffled]], shuffled[held[shuffled]]


def split_first(examples: Examples, held_out: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Numbers of the examples to train on, shuffled, and of the first ones, which are held out.

    Parameters
    ----------
    examples : Examples
        Of files by class, as many of each class are held out: the first 100 training images of each of ImageNet's.
    held_out : float
        Fraction, as for :func:`split`.

    Returns
    -------
    training, validation : ndarray, int64

    Raises
    ------
    ValueError
        If nothing is left to train on, or examples are patches of recordings.
    """
    if examples.clips is not None:
        raise ValueError("hold_out is 'first', which is for pictures; expected 'random' for patches of recordings")
    count, every = round(held_out * len(examples)), np.arange(len(examples))
    if isinstance(examples.inputs, np.ndarray):
        first = every < max(1, count) if held_out else every < 0
    else:
        classes = examples.targets
        places = [every[classes == each] for each in np.unique(classes)]
        first = np.isin(every, np.concatenate([place[: max(1, round(count / len(places)))] for place in places]))
        first &= held_out > 0
    if first.all():
        raise ValueError(
            f"{len(examples)} examples to train on; expected more than the {first.sum()} that are held out"
        )
    shuffled = _shuffled(len(examples))
    return shuffled[~first[shuffled]], every[first]


def _shuffled(count: int) -> NDArray[np.int64]:
    return np.random.default_rng(0).permutation(count)


def _moments(examples: Examples) -> tuple[tuple[float], tuple[float]]:
    """Mean and standard deviation over all values, in one pass by pieces."""
    if not isinstance(examples.inputs, np.ndarray):
        raise ValueError("the recipe has no mean and std; they can be measured of arrays, not of files")
    count, total, squares = 0, 0.0, 0.0
    scale = 255.0 if examples.inputs.dtype == np.uint8 else 1.0
    for start in range(0, len(examples), 1024):
        part = examples.inputs[examples.rows[start : start + 1024]].astype(np.float64) / scale
        count, total, squares = count + part.size, total + float(part.sum()), squares + float((part**2).sum())
    mean = total / count
    std = float(np.sqrt(max(squares / count - mean**2, 0.0)))
    if not std > 1e-12 * abs(mean):
        raise ValueError("all training examples are the same constant")
    return (mean,), (std,)


def _read(path: Path, recipe: Recipe) -> dict[str, Examples]:
    """Parts of a data set, "train" and perhaps "val" and "test", whatever form they have."""
    if path.is_file() and path.suffix != ".npz":
        raise ValueError(f"{printable(path)} is a file; expected an .npz file or a folder")
    archives = [path] if path.is_file() else sorted(path.glob("*.npz"))
    single = sorted(path.glob("*.npy")) if path.is_dir() else []
    if archives or single:
        return _from_arrays(path, archives, single, recipe)
    if (path / "train").is_dir():
        return _from_folders(path, recipe)
    if cifar10.present(path):
        parts = {name: Examples(x, y) for name, (x, y) in zip(("train", "test"), cifar10.read(path), strict=True)}
        for examples in parts.values():
            _check_classes(examples.targets, printable(path), recipe)
        _check_inputs(parts["train"].inputs, printable(path), recipe)
        return parts
    raise FileNotFoundError(
        f"{printable(path)} holds no data set; expected an .npz file or .npy files (train_x, train_y, test_x, test_y), "
        f"a folder 'train' with a folder of pictures for each class, or CIFAR-10 ({cifar10.BINARY.name})"
    )


def _from_arrays(path: Path, archives: list[Path], single: list[Path], recipe: Recipe) -> dict[str, Examples]:
    arrays: dict[str, NDArray[Any]] = {}
    file, shown = path, printable(path)
    try:
        for file in archives:
            with np.load(file, allow_pickle=False) as found:
                arrays |= {name: found[name] for name in found.files}
        for file in single:
            arrays[file.stem] = np.load(file, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # a damaged file raises nearly anything
        raise ValueError(f"{printable(file)} cannot be read as arrays: {one_line(str(error))}") from error
    optional = [(f"{part}_x", f"{part}_y") for part in ("val", "test")]
    for name in ("train_x", "train_y", *(name for pair in optional if {*pair} & set(arrays) for name in pair)):
        if name not in arrays:
            raise ValueError(
                f"{shown} has no array {name}; it has {', '.join(sorted(arrays)) or 'none'}, expected train_x and "
                "train_y, and test_x and test_y if there is a test set"
            )

    def examples(part: str) -> Examples:
        x, y = arrays[f"{part}_x"], _check_classes(arrays[f"{part}_y"], f"{shown}: {part}_y", recipe)
        _check_inputs(x, f"{shown}: {part}_x", recipe)
        clips = arrays.get(f"{part}_clip")
        for name, other in (("y", y), ("clip", clips)):
            if other is not None and len(other) != len(x):
                raise ValueError(f"{shown}: {part}_x has {len(x)} examples and {part}_{name} {len(other)}")
        if clips is not None and (clips.ndim != 1 or clips.dtype.kind not in "iu"):
            raise ValueError(f"{shown}: {part}_clip is {clips.dtype} of shape {clips.shape}; expected (N,) integers")
        return Examples(x, y, clips)

    return {part: examples(part) for part in ("train", "val", "test") if f"{part}_x" in arrays}


def _check_inputs(x: Any, name: str, recipe: Recipe) -> None:
    if recipe.kind == "pictures":
        if x.ndim != 4 or x.shape[3] != 3 or x.dtype != np.uint8:
            raise ValueError(f"{name} is {x.dtype} of shape {x.shape}; expected pictures (N, H, W, 3) uint8")
    elif x.ndim != 3 or x.dtype.kind != "f" or x.shape[1:] != recipe.size:
        frames, bands = recipe.size
        raise ValueError(
            f"{name} is {x.dtype} of shape {x.shape}; expected spectrograms (N, {frames}, {bands}) floating, time first"
        )
    elif not all(np.isfinite(x[start : start + 1024]).all() for start in range(0, len(x), 1024)):
        raise ValueError(f"{name} holds NaN or infinite values")
    if not len(x):
        raise ValueError(f"{name} has shape {x.shape}; expected at least one example")


def _check_classes(y: NDArray[Any], name: str, recipe: Recipe) -> NDArray[Any]:
    shape, most = ("(N, classes)", 1) if recipe.multilabel else ("(N,)", recipe.classes - 1)
    if y.dtype.kind not in "iub" or y.ndim != 1 + recipe.multilabel:
        raise ValueError(f"{name} is {y.dtype} of shape {y.shape}; expected integers {shape}")
    if recipe.multilabel and y.shape[1] != recipe.classes:
        raise ValueError(f"{name} is of {y.shape[1]} classes; expected {recipe.classes}")
    wrong = y[(y < 0) | (y > most)] if y.dtype.kind != "b" else y[:0]
    if wrong.size:
        raise ValueError(f"{name} holds {wrong.flat[0]}; expected 0 to {most}")
    return np.asarray(y, np.uint8 if recipe.multilabel else np.int64)


def _check_like(parts: Mapping[str, Examples], path: Path) -> None:
    shapes = {name: part.inputs.shape[1:] for name, part in parts.items() if isinstance(part.inputs, np.ndarray)}
    for name, shape in shapes.items():
        if shape != shapes["train"]:
            raise ValueError(
                f"{printable(path)}: training inputs have shape {shapes['train']}, those of the {name} set {shape}"
            )


def _from_folders(path: Path, recipe: Recipe) -> dict[str, Examples]:
    if recipe.kind != "pictures" or recipe.multilabel:
        raise ValueError(f"{printable(path)} is a folder of pictures by class; {recipe.name} needs arrays")
    names = _folders(path / "train")
    if len(names) != recipe.classes:
        raise ValueError(
            f"{printable(path / 'train')} has {len(names)} folders; expected one for each of the {recipe.classes} "
            "classes"
        )
    parts = {}
    for part in ("train", "val", "test"):
        if not (path / part).is_dir():
            continue
        if odd := sorted(set(names) ^ set(_folders(path / part))):
            there, missing = ("train", part) if odd[0] in names else (part, "train")
            raise ValueError(
                f"{printable(path)}: class {printable(odd[0])} is a folder in {there} but not in {missing}"
            )
        files = [list(ImageFolder(path / part / name)) for name in names]
        classes = np.repeat(np.arange(len(names), dtype=np.int64), [len(here) for here in files])
        parts[part] = Examples([file for here in files for file in here], classes)
    return parts


def _folders(path: Path) -> list[str]:
    """Names of the folders in a folder, which are the classes in this order."""
    names = sorted(entry.name for entry in os.scandir(path) if entry.is_dir() and not entry.name.startswith("."))
    if not names:
        raise FileNotFoundError(f"{printable(path)} has no folders; expected one of pictures for each class")
    return names
