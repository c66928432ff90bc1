"""Random crops, flips and shifts of pictures; what is drawn depends on seed, epoch and picture alone.

So neither worker processes, nor the batch a picture is in, nor a run that was stopped and resumed change anything.
Pictures are uint8, channels last, as files and archives have them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

TRIES = 10
"""Rectangles that are tried before a crop is cut from the middle."""

MARGIN = 4
"""Black border in which crops of small pictures move, pixels."""


def draws(seed: int, epoch: int, rows: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1) for each picture.

    Parameters
    ----------
    seed, epoch : int
        Not negative.
    rows : ndarray, shape (B,), int64
        Numbers of the pictures in the data set.
    count : int
        Numbers for each.

    Returns
    -------
    ndarray, shape (B, count), float64
    """
    source = np.random.Philox(key=np.array([seed, epoch], np.uint64))
    generator = np.random.Generator(source)
    state = source.state
    found = np.empty((len(rows), count))
    for numbers, row in zip(found, rows.tolist(), strict=True):
        # a stream of its own, by its counter: a new generator for each takes four times as long
        state["state"]["counter"] = np.array([0, 0, 0, row], np.uint64)
        source.state = state
        generator.random(out=numbers)
    return found


def epoch_order(seed: int, epoch: int, count: int) -> NDArray[np.int64]:
    """Order in which an epoch goes through `count` examples, a permutation, shape (count,)."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def crop_box(height: int, width: int, numbers: Sequence[float]) -> tuple[int, int, int, int]:
    """Rectangle of 8 to 100 % of a picture's area, of aspect 3/4 to 4/3, anywhere in it.

    Parameters
    ----------
    height, width : int
        Of the picture, pixels.
    numbers : sequence of float
        At least 2 :data:`TRIES` + 2 of them, uniform in [0, 1).

    Returns
    -------
    top, left, height, width : int

    Notes
    -----
    The usual augmentation of ImageNet: area uniform, logarithm of the aspect uniform, up to ten tries until the
    rectangle fits, otherwise the largest one in the middle. Szegedy et al. 2015.
    """
    for area, aspect in zip(numbers[0 : 2 * TRIES : 2], numbers[1 : 2 * TRIES : 2], strict=True):
        surface = height * width * (0.08 + 0.92 * area)
        ratio = math.exp((2 * aspect - 1) * math.log(4 / 3))
        w, h = round(math.sqrt(surface * ratio)), round(math.sqrt(surface / ratio))
        if 0 < w <= width and 0 < h <= height:
            vertical, horizontal = numbers[2 * TRIES : 2 * TRIES + 2]
            return int(vertical * (height - h + 1)), int(horizontal * (width - w + 1)), h, w
    w, h = min(width, round(height * 4 / 3)), min(height, round(width * 4 / 3))
    return (height - h) // 2, (width - w) // 2, h, w


def resized_crop(image: Image.Image, size: tuple[int, int], numbers: Sequence[float]) -> Image.Image:
    """Resize a random rectangle of an image to `size` (height, width); see :func:`crop_box`."""
    top, left, h, w = crop_box(image.height, image.width, numbers)
    return image.resize(size[::-1], Image.Resampling.BILINEAR, box=(left, top, left + w, top + h))


def slight_crop(image: Image.Image, size: tuple[int, int], numbers: Sequence[float]) -> Image.Image:
    """Resize a window of an image, 7/8 of the largest of the aspect of `size` or more, anywhere in it, to `size`."""
    scale = min(image.height / size[0], image.width / size[1]) * (7 + numbers[0]) / 8
    h, w = size[0] * scale, size[1] * scale
    top, left = numbers[1] * (image.height - h), numbers[2] * (image.width - w)
    return image.resize(size[::-1], Image.Resampling.BILINEAR, box=(left, top, left + w, top + h))


def fitted(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """Resize the image until it covers `size` (height, width) just so, and cut out the middle."""
    scale = min(image.height / size[0], image.width / size[1])
    h, w = size[0] * scale, size[1] * scale
    top, left = (image.height - h) / 2, (image.width - w) / 2
    return image.resize(size[::-1], Image.Resampling.BILINEAR, box=(left, top, left + w, top + h))


def flip(pictures: NDArray[np.uint8], numbers: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Mirror half of the pictures (B, H, W, 3), those whose last number is less than ½."""
    mirrored = (numbers[:, -1] < 0.5)[:, None, None, None]
    return np.where(mirrored, pictures[:, :, ::-1], pictures)


def pad_crop(pictures: NDArray[np.uint8], numbers: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Crop pictures (B, H, W, 3) out of a black border of :data:`MARGIN` pixels, and mirror half of them.

    Parameters
    ----------
    pictures : ndarray, shape (B, H, W, 3), uint8
    numbers : ndarray, shape (B, 3)

    Returns
    -------
    ndarray, shape (B, H, W, 3), uint8
    """
    height, width = pictures.shape[1:3]
    padded = np.pad(pictures, ((0, 0), (MARGIN, MARGIN), (MARGIN, MARGIN), (0, 0)))
    top, left = (numbers[:, :2] * (2 * MARGIN + 1)).astype(np.int64).T[..., None]
    columns = left + np.arange(width)
    columns = np.where(numbers[:, 2:] < 0.5, columns[:, ::-1], columns)
    return _picked(padded, top + np.arange(height), columns)


def circular_shift(pictures: NDArray[np.uint8], numbers: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Shift pictures (B, H, W, 3) circularly by any number of rows and columns: as Zhang 2019 does.

    Parameters
    ----------
    pictures : ndarray, shape (B, H, W, 3), uint8
    numbers : ndarray, shape (B, 2)

    Returns
    -------
    ndarray, shape (B, H, W, 3), uint8
    """
    height, width = pictures.shape[1:3]
    down, right = (numbers * (height, width)).astype(np.int64).T[..., None]
    return _picked(pictures, (np.arange(height) - down) % height, (np.arange(width) - right) % width)


def _picked(pictures: NDArray[np.uint8], rows: NDArray[np.int64], columns: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Rows (B, H) and columns (B, W) of each picture."""
    picked: NDArray[np.uint8] = pictures[np.arange(len(pictures))[:, None, None], rows[:, :, None], columns[:, None]]
    return picked


@dataclass(frozen=True)
class Augmentation:
    """Changes of training pictures.

    Attributes
    ----------
    count : int
        Numbers that are drawn for each picture.
    image : callable or None
        From an image of any size, a size and its numbers to an image of that size; None: :func:`fitted`.
    pictures : callable or None
        From a batch (B, H, W, 3) uint8 and its numbers to a batch.
    """

    count: int
    image: Callable[[Image.Image, tuple[int, int], Sequence[float]], Image.Image] | None = None
    pictures: Callable[[NDArray[np.uint8], NDArray[np.float64]], NDArray[np.uint8]] | None = None


AUGMENTATIONS = {
    "none": Augmentation(0),
    "resized-crop": Augmentation(2 * TRIES + 3, resized_crop, flip),
    "slight-crop": Augmentation(4, slight_crop, flip),
    "pad-crop": Augmentation(3, None, pad_crop),
    "shift": Augmentation(2, None, circular_shift),
}
"""Those that recipes name: none; random resized crop and flip (ImageNet); most of the picture and flip; crop from a
border of 4 pixels and flip (CIFAR); circular shift (Zhang 2019)."""
