"""Pack data sets into arrays that ``shiftscope train`` reads.

    python -m scripts.pack_data cifar10 FOLDER OUT.npz
    python -m scripts.pack_data esc10 FOLDER OUT.npz [--fold 5]
    python -m scripts.pack_data fsdd FOLDER OUT.npz
    python -m scripts.pack_data fsd50k FOLDER OUT-FOLDER
    python -m scripts.pack_data sounds FOLDER OUT-FOLDER

FOLDER holds, for cifar10, lossless sheets of 25 x 40 pictures (train_00.webp, ..., test_00.webp, ...) and labels.npz;
for esc10, esc10_logmel_u8.npz; for fsdd, fsdd_audio.npz; for fsd50k, the unpacked archives; for sounds, folders
train/CLASS and test/CLASS of sound files. Of ESC-10 one fold becomes the test set, of FSDD the takes 0 to 4 (its own
split). Every clip is cut into patches of 101 frames that overlap by half; FSDD's, which are shorter than that, are put
into the middle of two seconds of silence.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from analysis.files.messages import one_line
from analysis.files.sounds import sound_length
from analysis.networks.audio import LogMel, class_folders, fsd50k, pack_recordings
from analysis.networks.audio.recordings import FSD50K_RATE

SIDE, ROWS, COLUMNS = 32, 25, 40
FRAMES, STEP = 101, 50
FSDD_LONG = FRAMES + 2 * STEP  # frames: three patches, the middle one of which can be moved by up to 50


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
    return divided(level.transpose(0, 2, 1), label, folds == fold)


def fsdd(folder: Path) -> dict[str, np.ndarray]:
    """Patches (N, 101, 96) float16 in dB of spoken digits at 8 kHz, with speakers' takes 0 to 4 as the test set."""
    with np.load(folder / "fsdd_audio.npz", allow_pickle=False) as found:
        audio, offsets, digit, take = (found[name] for name in ("audio", "offsets", "digit", "take"))
        log_mel = LogMel(int(found["sample_rate"]))
    samples = (FSDD_LONG - 1) * log_mel.hop_length
    levels = np.empty((len(digit), FSDD_LONG, log_mel.bands), np.float16)
    for number, (start, stop) in enumerate(
        zip(tqdm(offsets[:-1], desc="fsdd", disable=None), offsets[1:], strict=True)
    ):
        placed = np.zeros(samples, np.float32)
        start += max(stop - start - samples, 0) // 2  # the middle of what is longer
        piece = audio[start:stop][:samples] / np.float32(32768)
        before = (samples - len(piece)) // 2
        placed[before : before + len(piece)] = piece
        levels[number] = log_mel(torch.from_numpy(placed)).numpy()
    return divided(levels, digit, take < 5)


def divided(levels: np.ndarray, label: np.ndarray, tested: np.ndarray) -> dict[str, np.ndarray]:
    """Patches, classes and clip numbers of the training and the test part of spectrograms (clip, frame, band)."""
    windows = np.lib.stride_tricks.sliding_window_view(levels, FRAMES, axis=1)[:, ::STEP]
    patches = windows.swapaxes(2, 3)  # clip, patch, frame, band
    arrays: dict[str, np.ndarray] = {}
    for part, chosen in (("train", ~tested), ("test", tested)):
        clips = np.flatnonzero(chosen)
        arrays[f"{part}_x"] = patches[clips].reshape(-1, *patches.shape[2:])
        arrays[f"{part}_y"] = np.repeat(label[clips], patches.shape[1])
        arrays[f"{part}_clip"] = np.repeat(clips, patches.shape[1])
    return arrays


def main(given: Sequence[str] | None = None) -> None:
    """Command line; bad data are one line and exit code 2."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=("cifar10", "esc10", "fsdd", "fsd50k", "sounds"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--fold", type=int, default=5)
    arguments = parser.parse_args(given)
    try:
        pack(arguments)
    except (ImportError, OSError, ValueError) as error:
        parser.exit(2, f"pack_data: error: {one_line(str(error))}\n")


def pack(arguments: argparse.Namespace) -> None:
    """Pack the data set that the arguments name, and say what it holds."""
    if arguments.set in ("fsd50k", "sounds"):
        of = arguments.set == "fsd50k"
        recordings, names = (fsd50k if of else class_folders)(arguments.folder)
        rate = FSD50K_RATE if of else sound_length(recordings[0].path)[1]  # of the first, which all must have
        pack_recordings(recordings, len(names), arguments.out, multilabel=of, file_rate=rate)
        print(f"{len(recordings)} recordings of {len(names)} classes: {', '.join(names)}")
        return
    read = {"cifar10": cifar10, "fsdd": fsdd, "esc10": lambda folder: esc10(folder, arguments.fold)}[arguments.set]
    arrays = read(arguments.folder)
    np.savez_compressed(arguments.out, allow_pickle=False, **arrays)
    for name, array in arrays.items():
        print(f"{name:<10} {array.dtype} {array.shape}")


if __name__ == "__main__":
    main()
