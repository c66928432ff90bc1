"""Shifted pictures: windows of true pixels, windows at half pixels, and circular shifts."""

from __future__ import annotations

from itertools import product
from typing import TypeVar

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from wavelets.checks import integer

Number = TypeVar("Number", int, float)

DIRECTIONS = {"horizontal": (0, 1), "vertical": (1, 0), "diagonal": (1, 1)}
"""Step (dy, dx) of each of the directions of the mean flip rate."""

WINDOWS = {"true": "of true pixels", "reflect": "of mirrored pictures", "circular": "of pictures that go around"}
"""Contents of windows beyond a picture of the network's own size, and how that is said."""


def resized(pictures: Tensor, side: int) -> Tensor:
    """Pictures with the shorter side resized, and the square in the middle cut out.

    Parameters
    ----------
    pictures : Tensor, shape (N, channels, H, W), floating or uint8
    side : int
        Pixels.

    Returns
    -------
    Tensor, shape (N, channels, side, side), dtype of pictures
        Bilinear with antialiasing where it shrinks; bytes are rounded as Pillow does. theory.md, section 6.3: one crop.

    Raises
    ------
    ValueError
        If the shape is another or holds no pixels.
    """
    _check(pictures)
    integer("side", side, 1)
    height, width = pictures.shape[2:]
    short = min(height, width)
    target = (round(height * side / short), round(width * side / short))
    if target != (height, width):
        pictures = interpolate(pictures, target, mode="bilinear", antialias=True)
    top, left = (target[0] - side) // 2, (target[1] - side) // 2
    return pictures[:, :, top : top + side, left : left + side]


def larger(pictures: Tensor, size: int, span: int, windows: str) -> Tensor:
    """Pictures of which windows of a size, up to a span apart, are cut.

    Parameters
    ----------
    pictures : Tensor, shape (N, channels, H, W), floating or uint8
    size, span : int
        Pixels.
    windows : str
        One of :data:`WINDOWS`: "true", pictures are resized to size + span; else to `size`, and go on.

    Returns
    -------
    Tensor, shape (N, channels, size + span, size + span), dtype of pictures
    """
    if windows == "true":
        return resized(pictures, size + span)
    at = torch.arange(-(span // 2), size + span - span // 2)
    if windows == "circular":
        at = at % size
    else:
        at = size - 1 - (at % max(1, 2 * (size - 1)) - (size - 1)).abs()
    return resized(pictures, size)[:, :, at][:, :, :, at]


def window(pictures: Tensor, size: int, shift: tuple[int, int] = (0, 0)) -> Tensor:
    """Window of true pixels, moved from the middle: real content enters on one side and leaves on the other.

    Parameters
    ----------
    pictures : Tensor, shape (N, channels, H, W)
        Larger than the window.
    size : int
        Side of the window, pixels.
    shift : (int, int)
        Down and to the right, pixels, from the window whose corner is ((H - size) // 2, (W - size) // 2). The content
        moves up and to the left by as much.

    Returns
    -------
    Tensor, shape (N, channels, size, size)
        A view.

    Raises
    ------
    ValueError
        If the window leaves the picture.
    """
    _check(pictures)
    corner = _corner(pictures, size, shift)
    return pictures[:, :, corner[0] : corner[0] + size, corner[1] : corner[1] + size]


def half_pixel_window(pictures: Tensor, size: int, shift: tuple[float, float] = (0, 0)) -> Tensor:
    """Window at a multiple of half a pixel: cut from the pictures enlarged twice, and reduced with antialiasing.

    Both steps are bilinear. They blur a little, at integer shifts too: compare such windows with one another, not with
    those of :func:`window`. theory.md, section 6.3: KL divergence.

    Parameters
    ----------
    pictures, size
        As in :func:`window`.
    shift : (float, float)
        Down and to the right, multiples of 0.5 pixel.

    Returns
    -------
    Tensor, shape (N, channels, size, size)

    Raises
    ------
    ValueError
        If the shift is no multiple of 0.5, or the window leaves the picture.
    """
    _check(pictures)
    if pictures.dtype == torch.uint8:
        raise TypeError("pictures are torch.uint8; expected floats")
    if any(2 * by != round(2 * by) for by in shift):
        raise ValueError(f"shift is {tuple(shift)}; expected multiples of 0.5 pixel")
    corner = [round(2 * start) for start in _corner(pictures, size, shift)]
    large = interpolate(pictures, scale_factor=2, mode="bilinear")
    large = large[:, :, corner[0] : corner[0] + 2 * size, corner[1] : corner[1] + 2 * size]
    return interpolate(large, (size, size), mode="bilinear", antialias=True)


def circular(x: Tensor, shift: tuple[int, int]) -> Tensor:
    """Content moved down and to the right by so many pixels; what leaves comes back on the other side.

    theory.md, section 7.1: modular shift.

    Parameters
    ----------
    x : Tensor, shape (..., H, W)
    shift : (int, int)

    Returns
    -------
    Tensor, shape (..., H, W)

    Raises
    ------
    ValueError
        If a shift is as large as the picture or larger: it would be a smaller one in disguise.
    """
    for side, by in zip(x.shape[-2:], shift, strict=True):
        if abs(by) >= side:
            raise ValueError(f"shift {tuple(shift)} is as large as a picture of {x.shape[-2]}×{x.shape[-1]}, or larger")
    return torch.roll(x, tuple(shift), (-2, -1))


def ten_crops(pictures: Tensor, size: int) -> Tensor:
    """The four corners and the middle, each as it is and mirrored.

    Parameters
    ----------
    pictures : Tensor, shape (N, channels, H, W)
    size : int
        Side of the crops, pixels.

    Returns
    -------
    Tensor, shape (10, N, channels, size, size)
        The mean of their softmax vectors is what is scored. theory.md, section 6.3.

    Raises
    ------
    ValueError
        If the crops are larger than the pictures.
    """
    middle = window(pictures, size)
    corners = [pictures[:, :, rows, columns] for rows in _ends(size) for columns in _ends(size)]
    five = torch.stack([*corners, middle])
    return torch.cat((five, five.flip(-1)))


def lines(span: int) -> tuple[tuple[int, int], ...]:
    """Shifts of the flip rate: span + 1 frames through the middle in each of the :data:`DIRECTIONS`.

    Parameters
    ----------
    span : int
        Largest distance of two frames, pixels; 8 for ImageNet, 4 for CIFAR-10.

    Returns
    -------
    tuple of (int, int)
        The middle frame (0, 0), which the lines share, comes once.
    """
    found = [frame for direction in DIRECTIONS for frame in line(direction, span)]
    return tuple(dict.fromkeys(found))


def line(direction: str, span: int) -> tuple[tuple[int, int], ...]:
    """Shifts of one direction of :func:`lines`, in order."""
    if direction not in DIRECTIONS:
        raise ValueError(f"unknown direction {direction!r}; known: {', '.join(DIRECTIONS)}")
    down, right = DIRECTIONS[direction]
    return tuple((down * step, right * step) for step in _steps(span))


def grid(span: int) -> tuple[tuple[int, int], ...]:
    """All (span + 1)² shifts of windows in pictures that are `span` pixels larger."""
    return tuple(product(_steps(span), _steps(span)))


def _steps(span: int) -> range:
    return range(-(integer("span", span, 1) // 2), span - span // 2 + 1)


def _corner(pictures: Tensor, size: int, shift: tuple[Number, Number]) -> list[Number]:
    """First row and column of a window, moved from the middle; refuse one that leaves the pictures."""
    corner = [(side - size) // 2 + by for side, by in zip(pictures.shape[2:], shift, strict=True)]
    if any(start < 0 or start + size > side for side, start in zip(pictures.shape[2:], corner, strict=True)):
        raise ValueError(
            f"shift {tuple(shift)} moves a window of {size} pixels out of pictures of "
            f"{pictures.shape[2]}×{pictures.shape[3]}"
        )
    return corner


def _ends(size: int) -> tuple[slice, slice]:
    return slice(0, size), slice(-size, None)


def _check(pictures: Tensor) -> None:
    known = pictures.is_floating_point() or pictures.dtype == torch.uint8
    if pictures.ndim != 4 or not pictures.numel() or not known:
        raise ValueError(
            f"pictures are {pictures.dtype} of shape {tuple(pictures.shape)}; "
            f"expected floats or bytes of shape (N, channels, H, W), at least one"
        )
