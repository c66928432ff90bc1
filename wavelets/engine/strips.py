"""The kernels over whole batches, cut up for caches and threads.

A batch is spread over threads image by image; fewer images than threads, unless they are small, one after the other and
strip by strip, first along x, then along y.
"""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from wavelets.engine import loops
from wavelets.engine.loops import BUFFERS
from wavelets.engine.plan import DATA, WIDEST, Plan, Tables, buffer_size
from wavelets.engine.threads import get_num_threads, over_batch, over_parts

STRIP = 2**18  # bytes of one buffer of a strip: a few of them fit into the cache of a core
ROW = 256  # columns that make a loop along a row worth its start
SMALL = 2**17  # pixels of an image that is not worth spreading over threads: less than 1 ms
WORTHWHILE = 2**14  # pixels that make a piece of work worth a thread: about 0.1 ms

Array = NDArray[Any]

_kept = threading.local()  # `room`: memory that kernels work in


def forward(tables: Tables, images: Array, out: Array) -> None:
    """Transform images (B, H, W) into out (B, 2 * P**2, ny, nx, 2): real and imaginary parts."""
    if _whole_images(images.shape):
        layout = strip_layout(tables, images.dtype, max(len(images), get_num_threads()))
        unit = _together(layout, images.shape)

        def transform(part: slice) -> None:
            loops.forward_2d(*tables, layout, images[part], *workspace(tables, layout, images.dtype), out[part])

        over_batch(transform, len(images), unit)
        return
    plan_y, plan_x, channels, signs = tables
    layout = strip_layout(tables, images.dtype, 1)
    between = np.empty((layout.strips, DATA + images.shape[1], 2 * layout.width), images.dtype)
    nx = plan_x.sizes[-1]
    for image, result in zip(images[:, None], out[:, None], strict=True):

        def along_x(begin: int, end: int, image: Array = image) -> None:
            loops.lines_along_x(plan_x, image, begin, end, storage(plan_x, end - begin, between.dtype), between)

        def along_y(strip: int, _: int, result: Array = result) -> None:
            space = storage(plan_y, 2 * layout.width, between.dtype)
            loops.lines_along_y(plan_y, between[strip], strip * layout.width, nx, channels, signs, space, result)

        over_parts(along_x, image.shape[1], layout.lines)
        over_parts(along_y, layout.strips, 1)


def backward(tables: Tables, factor: float, c: Array, out: Array) -> None:
    """Walk `forward` backwards, from c (B, 2 * P**2, ny, nx, 2) to out (B, H, W), times a factor."""
    factor = out.dtype.type(factor)
    if _whole_images(out.shape):
        layout = strip_layout(tables, out.dtype, max(len(out), get_num_threads()))
        unit = _together(layout, out.shape)

        def transform(part: slice) -> None:
            loops.backward_2d(*tables, layout, factor, c[part], *workspace(tables, layout, out.dtype), out[part])

        over_batch(transform, len(out), unit)
        return
    plan_y, plan_x, channels, signs = tables
    layout = strip_layout(tables, out.dtype, 1)
    between = np.empty((layout.strips, DATA + out.shape[1], 2 * layout.width), out.dtype)
    nx = plan_x.sizes[-1]
    for one, image in zip(c[:, None], out[:, None], strict=True):

        def along_y(strip: int, _: int, one: Array = one) -> None:
            space = storage(plan_y, 2 * layout.width, between.dtype)
            loops.lines_back_along_y(plan_y, between[strip], strip * layout.width, nx, channels, signs, space, one)

        def along_x(begin: int, end: int, image: Array = image) -> None:
            space = storage(plan_x, end - begin, between.dtype)
            loops.lines_back_along_x(plan_x, between, factor, begin, end, space, image)

        over_parts(along_y, layout.strips, 1)
        over_parts(along_x, image.shape[1], layout.lines)


def analyse(plan: Plan, signals: Array) -> Array:
    """Both trees of signals (B, N), as an array (2, B, P * n)."""
    coefficients = (len(plan.pairs[0]) + 1) * int(plan.sizes[-1])
    strip = np.empty((1, DATA + len(signals), 2 * coefficients), signals.dtype)
    over_parts(
        lambda begin, end: loops.lines_along_x(
            plan, signals[None], begin, end, storage(plan, end - begin, strip.dtype), strip
        ),
        len(signals),
        lines_at_once(signals.shape[1], signals.dtype),
    )
    return strip[0, DATA:].reshape(-1, 2, coefficients).swapaxes(0, 1)


def synthesise(plan: Plan, trees: Array, factor: float) -> Array:
    """Walk `analyse` backwards, from trees (2, B, P * n) to the sum of both (B, N), times a factor."""
    _, signals, coefficients = trees.shape
    strip = np.empty((1, DATA + signals, 2 * coefficients), trees.dtype)
    strip[0, DATA:].reshape(signals, 2, coefficients)[:] = trees.swapaxes(0, 1)
    out = np.empty((1, signals, int(plan.sizes[0])), trees.dtype)
    factor = out.dtype.type(factor)
    over_parts(
        lambda begin, end: loops.lines_back_along_x(
            plan, strip, factor, begin, end, storage(plan, end - begin, strip.dtype), out
        ),
        signals,
        lines_at_once(out.shape[2], out.dtype),
    )
    return np.asarray(out[0])


def _whole_images(shape: tuple[int, ...]) -> bool:
    """Choose between threads that take whole images of a batch (B, H, W), and strips of them."""
    images, height, width = shape
    return images >= get_num_threads() or height * width <= SMALL


def _together(layout: Layout, shape: tuple[int, ...]) -> int:
    """Images, in whole groups, that are worth a thread's while."""
    _, height, width = shape
    return -(-WORTHWHILE // (layout.group * height * width)) * layout.group


def storage(plan: Plan, width: int, dtype: np.dtype[np.floating]) -> Array:
    """Return buffers for lines along one axis, `width` of them at once."""
    size = buffer_size(plan, width)
    return _room(BUFFERS * size, dtype).reshape(BUFFERS, size)


def workspace(tables: Tables, layout: Layout, dtype: np.dtype[np.floating]) -> tuple[Array, Array]:
    """Return strips between the two axes, and buffers for both of them."""
    plan_y, plan_x, _, _ = tables
    between = layout.strips, DATA + int(plan_y.sizes[0]), 2 * layout.width
    count = between[0] * between[1] * between[2]
    size = max(buffer_size(plan_x, layout.lines), buffer_size(plan_y, 2 * layout.width))
    room = _room(count + BUFFERS * size, dtype)
    return room[BUFFERS * size :].reshape(between), room[: BUFFERS * size].reshape(BUFFERS, size)


def _room(count: int, dtype: np.dtype[np.floating]) -> Array:
    """Memory of this thread, for one call of a kernel; kept, since fresh pages cost as much as what is done in them."""
    needed = count * dtype.itemsize
    room: Array | None = getattr(_kept, "room", None)
    if room is None or room.nbytes < needed:
        room = _kept.room = np.zeros(needed, np.uint8)  # with numba's jit off, numbers that mean nothing may overflow
    return room[:needed].view(dtype)


class Layout(NamedTuple):
    """Parts of a batch that the kernels work on at once; see :mod:`wavelets.engine.loops`."""

    group: int  # images transformed at once
    lines: int  # of the images, transformed along x at once
    strips: int
    width: int  # columns of each strip


def strip_layout(tables: Tables, dtype: np.dtype[np.floating], images: int) -> Layout:
    """Choose the parts of a batch that are transformed at once, so that buffers stay in the cache and rows are long.

    Parameters
    ----------
    tables : Tables
        Of the transform.
    dtype : dtype
        Of the images.
    images : int
        How many there are.
    """
    plan_y, plan_x, _, _ = tables
    height, width = int(plan_y.sizes[0]), int(plan_x.sizes[0])
    threads = get_num_threads()
    group = min(max(ROW // max(height, width), 1), -(-images // threads))
    node = int(plan_x.sizes[-1])
    nodes = group * (len(plan_x.pairs[0]) + 1)
    # Whole nodes, so that a channel is written in one go; several of them if they are small.
    together = min(
        max(STRIP // dtype.itemsize // (2 * height * node), 1), -(-nodes // (1 if images >= threads else threads))
    )
    strips = -(-nodes // together)
    per_strip = -(-nodes // strips) * node
    while 2 * per_strip > WIDEST:
        per_strip = -(-per_strip // 2)
    return Layout(group, lines_at_once(width, dtype), -(-nodes * node // per_strip), per_strip)


def lines_at_once(n: int, dtype: np.dtype[np.floating]) -> int:
    """Lines of n samples that are transformed along their axis at once."""
    return min(max(STRIP // dtype.itemsize // n // 16 * 16, 16), WIDEST)
