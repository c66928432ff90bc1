"""Recordings in folders, with their classes: FSD50K, or a folder for each class; packed into arrays of patches."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.files.messages import printable
from analysis.files.results import writable_folder
from analysis.files.sounds import read_sound, sound_length
from analysis.networks.audio.patching import patches
from analysis.networks.audio.spectrogram import LogMel
from analysis.runs.progress import Bar

FSD50K_RATE = 44100
"""Samples per second of FSD50K's files; the study works at 22,050."""

SUFFIXES = (".wav", ".flac", ".ogg", ".aiff")
PARTS = ("train", "val", "test")


@dataclass(frozen=True)
class Recording:
    """Sound file of a data set.

    Attributes
    ----------
    path : Path
    part : {"train", "val", "test"}
    classes : tuple of int
        Numbers of its classes, one or more.
    """

    path: Path
    part: str
    classes: tuple[int, ...]


def fsd50k(folder: str | os.PathLike[str]) -> tuple[list[Recording], list[str]]:
    """Recordings of FSD50K, as its archives unpack, and the names of its 200 classes.

    Parameters
    ----------
    folder : path
        Holds FSD50K.dev_audio, FSD50K.eval_audio, and FSD50K.ground_truth with vocabulary.csv, dev.csv, whose column
        split says train or val, and eval.csv.

    Returns
    -------
    recordings : list of Recording
        The evaluation set is "test".
    classes : list of str

    Raises
    ------
    OSError
        If a folder, a table or a recording is missing; the message names it.
    ValueError
        If a table has other columns, or a class that the vocabulary lacks.
    """
    root = Path(folder)
    truth = root / "FSD50K.ground_truth"
    for needed in (truth, root / "FSD50K.dev_audio", root / "FSD50K.eval_audio"):
        if not needed.is_dir():
            raise FileNotFoundError(f"FSD50K has no folder {printable(needed)}")
    with _opened(truth / "vocabulary.csv") as file:
        names = [row[1] for row in csv.reader(file) if len(row) > 1]
    numbers = {name: number for number, name in enumerate(names)}
    recordings = []
    for table, sounds in (("dev.csv", "FSD50K.dev_audio"), ("eval.csv", "FSD50K.eval_audio")):
        with _opened(truth / table) as file:
            reader = csv.DictReader(file)
            wanted = {"fname", "labels"} | ({"split"} if table == "dev.csv" else set())
            if missing := sorted(wanted - set(reader.fieldnames or ())):
                raise ValueError(f"{printable(truth / table)} has no column {missing[0]}; expected {sorted(wanted)}")
            for row in reader:
                part = row.get("split") if table == "dev.csv" else "test"
                unknown = [label for label in row["labels"].split(",") if label not in numbers]
                if unknown or part not in PARTS:
                    what = f"the class {unknown[0]!r}, which vocabulary.csv lacks" if unknown else f"the split {part!r}"
                    raise ValueError(f"{printable(truth / table)}: {row['fname']} is of {what}")
                path = root / sounds / f"{row['fname']}.wav"
                recordings.append(Recording(path, part, tuple(sorted(numbers[x] for x in row["labels"].split(",")))))
    _check_there(recordings)
    return recordings, names


def class_folders(folder: str | os.PathLike[str]) -> tuple[list[Recording], list[str]]:
    """Recordings in folders train/CLASS, test/CLASS and perhaps val/CLASS, and the names of the classes.

    Raises
    ------
    OSError
        If there is no folder train, or a folder of a class is missing or holds no sound; the message names it.
    """
    root = Path(folder)
    if not (root / "train").is_dir():
        raise FileNotFoundError(f"{printable(root)} has no folder train; expected train/CLASS and test/CLASS")
    parts = [part for part in PARTS if (root / part).is_dir()]
    names = sorted({path.name for part in parts for path in (root / part).iterdir() if path.is_dir()})
    recordings = []
    for part in parts:
        for number, name in enumerate(names):
            place = root / part / name
            if not place.is_dir():
                raise FileNotFoundError(f"the class folder {printable(place)} is missing; other parts have it")
            found = sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES)
            if not found:
                raise FileNotFoundError(f"the class folder {printable(place)} holds no sound ({', '.join(SUFFIXES)})")
            recordings += [Recording(path, part, (number,)) for path in found]
    return recordings, names


def pack_recordings(
    recordings: Sequence[Recording],
    classes: int,
    out: str | os.PathLike[str],
    *,
    multilabel: bool,
    log_mel: LogMel | None = None,
    file_rate: int | None = None,
    frames: int = 101,
    progress: bool = True,
) -> Path:
    """Write patches of log-mel spectrograms as arrays that training reads, piece by piece.

    Parameters
    ----------
    recordings : sequence of Recording
    classes : int
    out : path
        Folder; it is created. Holds PART_x.npy (N, frames, bands) float16, dB, PART_y.npy, (N, classes) of 0 and 1 or
        (N,) numbers, and PART_clip.npy, the number of the recording.
    multilabel : bool
        Whether a recording can be of several classes.
    log_mel : LogMel, optional
        By default that of the sound study, at 22,050 Hz.
    file_rate : int, optional
        Rate that all files must have, Hz; by default any.
    frames : int
        Of a patch; patches overlap by half.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OSError, ValueError
        If a file cannot be read, has another rate, or is shorter than a frame; every header is read before anything is
        written.
    """
    log_mel = LogMel() if log_mel is None else log_mel
    rate = round(log_mel.sample_rate)
    counts = [_patches_of(recording, log_mel, rate, file_rate, frames) for recording in recordings]
    folder = writable_folder(out)
    with Bar("recordings", len(recordings), "recordings", progress) as bar:
        for part in PARTS:
            chosen = [(r, n) for r, n in zip(recordings, counts, strict=True) if r.part == part]
            if not chosen:
                continue
            number = np.repeat(np.arange(len(chosen)), [count for _, count in chosen])
            targets = np.stack([_target(recording, classes, multilabel) for recording, _ in chosen])
            shape = (len(number), frames, log_mel.bands)
            x = np.lib.format.open_memmap(folder / f"part.{part}_x.npy", "w+", np.float16, shape)
            start = 0
            for recording, count in chosen:
                audio = torch.from_numpy(read_sound(recording.path, rate, file_rate))
                x[start : start + count] = patches(log_mel(audio), frames).numpy()
                start += count
                bar.update()
            x.flush()
            np.save(folder / f"part.{part}_y.npy", targets[number], allow_pickle=False)
            np.save(folder / f"part.{part}_clip.npy", number, allow_pickle=False)
    for path in folder.glob("part.*.npy"):  # all at once: what was stopped leaves no arrays that look whole
        path.replace(folder / path.name.removeprefix("part."))
    return folder


def _patches_of(recording: Recording, log_mel: LogMel, rate: int, file_rate: int | None, frames: int) -> int:
    """Number of patches of a recording, from its header."""
    samples, have = sound_length(recording.path, file_rate)
    samples = -(-samples * rate // have)
    if samples < log_mel.window_length:
        raise ValueError(
            f"{printable(recording.path)} lasts {1000 * samples / rate:.0f} ms; expected at least one frame of "
            f"{1000 * log_mel.window_length / rate:.0f} ms"
        )
    missing = 0 if log_mel.centre else log_mel.window_length
    length = 1 + (samples - missing) // log_mel.hop_length
    return 1 + max(length - frames, 0) // max(1, round(frames / 2))


def _target(recording: Recording, classes: int, multilabel: bool) -> NDArray[np.uint8] | NDArray[np.int64]:
    if not multilabel:
        return np.array(recording.classes[0], np.int64)
    found = np.zeros(classes, np.uint8)
    found[list(recording.classes)] = 1
    return found


def _opened(path: Path) -> TextIO:
    if not path.is_file():
        raise FileNotFoundError(f"FSD50K has no table {printable(path)}")
    return path.open(encoding="utf-8", newline="")


def _check_there(recordings: Sequence[Recording]) -> None:
    there = {parent: set(os.listdir(parent)) for parent in {recording.path.parent for recording in recordings}}
    for recording in recordings:
        if recording.path.name not in there[recording.path.parent]:
            raise FileNotFoundError(f"the recording {printable(recording.path)} is missing; a table names it")
