"""Sound files: one reader, by the package `soundfile`."""

from __future__ import annotations

import math
import os
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from analysis.files.messages import one_line, printable


def read_sound(path: str | os.PathLike[str], sample_rate: int, file_rate: int | None = None) -> NDArray[np.float32]:
    """Recording of a file, its channels averaged.

    Parameters
    ----------
    path : path
        WAV, FLAC, Ogg and whatever else libsndfile reads.
    sample_rate : int
        Samples per second of the result; polyphase resampling where the file has another rate.
    file_rate : int, optional
        Rate that the file must have, Hz; by default any.

    Returns
    -------
    ndarray, shape (samples,), float32
        Full scale 1.

    Raises
    ------
    ModuleNotFoundError
        If `soundfile` is not installed.
    OSError
        If there is no such file.
    ValueError
        If it is no sound, holds no samples or NaN, or has another rate than `file_rate`; the message names it.
    """
    samples, rate = sound_length(path, file_rate)
    try:
        audio, _ = _soundfile().read(os.fspath(path), dtype="float32", always_2d=True)
    except Exception as error:  # what libsndfile raises is not one kind
        raise ValueError(f"{printable(path)} cannot be read as sound: {one_line(str(error))}") from error
    mono = audio.mean(1)
    if not samples or not mono.size or not np.isfinite(mono).all():
        raise ValueError(f"{printable(path)} holds {'NaN or infinity' if mono.size else 'no samples'}")
    if rate == sample_rate:
        return np.ascontiguousarray(mono)
    from scipy.signal import resample_poly  # takes a third of a second to import

    common = math.gcd(rate, sample_rate)
    return np.asarray(resample_poly(mono, sample_rate // common, rate // common), np.float32)


def sound_length(path: str | os.PathLike[str], file_rate: int | None = None) -> tuple[int, int]:
    """Samples of a file, and samples per second, from its header; errors as of :func:`read_sound`."""
    if not os.path.isfile(path):
        raise FileNotFoundError(f"no such sound file: {printable(path)}")
    try:
        about = _soundfile().info(os.fspath(path))
    except ModuleNotFoundError:
        raise
    except Exception as error:
        raise ValueError(f"{printable(path)} cannot be read as sound: {one_line(str(error))}") from error
    if file_rate is not None and about.samplerate != file_rate:
        raise ValueError(f"{printable(path)} has {about.samplerate} samples per second; expected {file_rate}")
    return about.frames, about.samplerate


def _soundfile() -> ModuleType:
    try:
        import soundfile
    except ModuleNotFoundError:
        raise ModuleNotFoundError("sound files need the package soundfile: pip install 'shiftscope[sound]'") from None
    return soundfile  # type: ignore[no-any-return]
