"""Pack CIFAR-10's sheets or ESC-10's spectrograms into arrays that ``shiftscope train`` reads.

    python -m scripts.pack_data cifar10 FOLDER OUT.npz
    python -m scripts.pack_data esc10 FOLDER OUT.npz [--fold 5]

FOLDER holds, for cifar10, lossless sheets of 25 x 40 pictures (train_00.webp, ..., test_00.webp, ...) and labels.npz;
for esc10, esc10_logmel_u8.npz. Of ESC-10 one fold becomes the test set, and every clip is cut into patches of 101
frames that overlap by half.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

SIDE, ROWS, COLUMNS = 32, 25, 40
FRAMES, STEP = 101, 50


def cifar10(folder: Path) -> dict[str, np.ndarray]:
    """Pictures (N, 32, 32, 3) uint8 and classes of all sheets."""
    arrays: dict[str, np.ndarray] = {}
    with np.load(folder / "labels.npz", allow_pickle=False) as labels:
        for part in ("train", "test"):
            truth = labels[f"{part}_labels"]
            files = sorted(folder.glob(f"{part}_*.webp"))
            if len(files) != len(truth):
                raise ValueError(f"{folder} has {len(files)} sheets {part}_*.webp; expected {len(truth)}")
            sheets = [pictures_of(file) for file in tqdm(files, desc=part, unit="sheet", disable=None)]
            arrays |= {f"{part}_x": np.concatenate(sheets), f"{part}_y": truth.reshape(-1).astype(np.uint8)}
    return arrays


def pictures_of(file: Path) -> np.ndarray:
    """Pictures (1000, 32, 32, 3) uint8 of a sheet."""
    with Image.open(file) as image:
        sheet = np.asarray(image.convert("RGB"))
    return sheet.reshape(ROWS, SIDE, COLUMNS, SIDE, 3).transpose(0, 2, 1, 3, 4).reshape(-1, SIDE, SIDE, 3)


def esc10(folder: Path, fold: int = 5) -> dict[str, np.ndarray]:
    """Patches (N, 101, 96) float16 in dB, time first, with classes and clip numbers; one fold is the test set."""
    with np.load(folder / "esc10_logmel_u8.npz", allow_pickle=False) as found:
        # multiples of half a decibel, which float16 holds exactly
        level = (found["db_offset"] + found["db_step"] * found["logmel"]).astype(np.float16)
        label, folds = found["label"], found["fold"]
    if fold not in folds:
        raise ValueError(f"fold is {fold}; expected one of {', '.join(map(str, np.unique(folds)))}")
    windows = np.lib.stride_tricks.sliding_window_view(level, FRAMES, axis=2)[:, :, ::STEP]
    patches = windows.transpose(0, 2, 3, 1)  # clip, patch, frame, band
    arrays: dict[str, np.ndarray] = {}
    for part, chosen in (("train", folds != fold), ("test", folds == fold)):
        clips = np.flatnonzero(chosen)
        arrays[f"{part}_x"] = patches[clips].reshape(-1, *patches.shape[2:])
        arrays[f"{part}_y"] = np.repeat(label[clips], patches.shape[1])
        arrays[f"{part}_clip"] = np.repeat(clips, patches.shape[1])
    return arrays


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=("cifar10", "esc10"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fold", type=int, default=5)
    arguments = parser.parse_args()
    arrays = cifar10(arguments.folder) if arguments.set == "cifar10" else esc10(arguments.folder, arguments.fold)
    np.savez_compressed(arguments.out, allow_pickle=False, **arrays)
    for name, array in arrays.items():
        print(f"{name:<10} {array.dtype} {array.shape}")


if __name__ == "__main__":
    main()
