"""Choice of the decoder that reads a TIFF file right, by its tags before anything is decoded.

TIFF is a box for samples of any kind. Pillow reads the usual kinds, of others it returns other pixels without a word
(big-endian float32 that is compressed, 16-bit RGB plane by plane). Those are read by tifffile as far as it needs no
further package, without compression or with deflate; all else is refused by what it is.
"""

from __future__ import annotations

import contextlib
import io
import logging
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin, TiffTags

Float32 = NDArray[np.float32]

MAGIC = tuple(TiffImagePlugin.PREFIXES)
BORDER = 2**24  # bytes of tiles beyond a picture that is smaller than they are
MOST_SEGMENTS = 2**17  # strips or tiles: each takes its time

_NONE, _DEFLATE, _JPEG = (1,), (8, 32946), (6, 7)
_GREY, _RGB, _CMYK, _YCBCR, _CIELAB = (0, 1), 2, 5, 6, 8
_PACKINGS = {1: "not compressed", 5: "LZW", 6: "old JPEG", 7: "JPEG", 8: "deflate", 32773: "PackBits", 32946: "deflate"}
_COLOURS = {0: "grey, white is 0", 1: "grey", 2: "RGB", 3: "palette", 5: "CMYK", 6: "YCbCr", 8: "CIELAB"}
_COLOURS |= {4: "mask", 9: "ICCLAB", 10: "ITULAB", 32803: "colour filter array", 34892: "linear raw"}
_FORMATS = {1: "uint", 2: "int", 3: "float", 4: "undefined", 5: "complex int", 6: "complex"}

# tifffile reports what it finds odd to a logger. Without a handler of anybody's it would be printed.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@dataclass(frozen=True)
class TiffKind:
    """Layout of the first page of a TIFF file, as its tags say.

    Attributes
    ----------
    big_endian, planes : bool
        Order of the bytes in a sample; sample after sample of the whole picture, not of each pixel.
    height, width, samples, bits : int
        `samples` of a pixel, and `bits` of a sample.
    format : int
        1 for unsigned integers, 2 for signed ones, 3 for floats (tag SampleFormat).
    photometric, compression, predictor, fill_order, orientation : int
        As in the tags of these names.
    extra : tuple of int
        Meaning of the samples beyond the colours: 1 is opacity that the colours are multiplied by, 2 opacity.
    subsampled : bool
        Chrominance of YCbCr has fewer samples.
    """

    big_endian: bool
    planes: bool
    height: int
    width: int
    samples: int
    bits: int
    format: int
    photometric: int
    compression: int
    predictor: int
    fill_order: int
    orientation: int
    extra: tuple[int, ...]
    subsampled: bool

    def __str__(self) -> str:
        what = f"{self.samples} sample{'s' * (self.samples > 1)} x "
        what += f"{_FORMATS.get(self.format, 'unknown ')}{self.bits}"
        parts = [
            f"a TIFF of {what}",
            _COLOURS.get(self.photometric, f"colours {self.photometric}"),
            _PACKINGS.get(self.compression, f"compression {self.compression}"),
            "big-endian" if self.big_endian else "little-endian",
            *(["plane by plane"] if self.planes else []),
            *([f"predictor {self.predictor}"] if self.predictor != 1 else []),
            *(["bits in reverse"] if self.fill_order != 1 else []),
        ]
        return ", ".join(parts)

    @property
    def colours(self) -> int:
        """Samples of a pixel that are no extra ones."""
        return {_RGB: 3, _CMYK: 4, _YCBCR: 3, _CIELAB: 3}.get(self.photometric, 1)

    @property
    def for_pillow(self) -> bool:
        """Return whether Pillow reads it right, or refuses it, and tifffile does no better."""
        if self.format == 3:
            right = self.samples == 1 and self.bits == 32 and self.photometric == 1 and self.fill_order == 1
            return right and (not self.big_endian or self.compression in _NONE)
        if self.format not in (1, 4) or self.bits not in (1, 2, 4, 8, 12, 16):
            return False
        if self.samples > 1 and (self.planes or self.bits == 16):
            return not self.for_tifffile and self._right_in_colour
        if self.photometric == _YCBCR and self.compression not in _JPEG:
            return not self.subsampled
        if self.bits == 12:
            return not self.big_endian and self.photometric == 1
        return not (self.bits == 16 and self.big_endian and self.photometric == 0)

    @property
    def _right_in_colour(self) -> bool:
        """Return whether Pillow reads deep samples, or planes, right; of deep samples it takes the high byte."""
        if self.planes and (self.photometric != _RGB or self.compression in _NONE):
            return False
        multiplied = self.samples > self.colours and self.extra[:1] == (1,)
        return self.bits == 8 or (self.photometric in (_RGB, _CMYK) and not multiplied)

    @property
    def for_tifffile(self) -> bool:
        """Return whether tifffile reads it, without a package for its compression."""
        whole, real = self.format == 1 and self.bits in (8, 16), self.format == 3 and self.bits in (16, 32, 64)
        stored = self.compression in (*_NONE, *_DEFLATE) and self.predictor in ((1, 2) if whole else (1,))
        usual = self.photometric in (*_GREY, _RGB) and self.samples - self.colours in (0, 1)
        return (whole or real) and stored and usual and self.fill_order == 1


def kind_of(data: bytes) -> tuple[TiffKind, Any] | None:
    """Kind of the first page of a TIFF file, and its tags.

    Parameters
    ----------
    data : bytes
        The whole file.

    Returns
    -------
    TiffKind and PIL.TiffImagePlugin.ImageFileDirectory_v2, or None
        None of what is no TIFF file.

    Raises
    ------
    ValueError
        If its samples are of several kinds, or a tag that is needed is missing or no number.
    """
    if data[:4] not in MAGIC:
        return None
    if data[:4] == b"MM\0+":
        raise ValueError("a BigTIFF in big-endian order: not a kind that is read")
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(data[:16] if b"+" in data[2:4] else data[:8])
        file = io.BytesIO(data)
        file.seek(tags.next)
        tags.load(file)
        extra = tags.get(338, ())
        kind = TiffKind(
            big_endian=data[:2] == b"MM",
            planes=_one(tags, 284, 1) == 2,
            height=_one(tags, 257),
            width=_one(tags, 256),
            samples=_one(tags, 277, 1),
            bits=_one(tags, 258, 1),
            format=_one(tags, 339, 1),
            photometric=_one(tags, 262, 0),
            compression=_one(tags, 259, 1),
            predictor=_one(tags, 317, 1),
            fill_order=_one(tags, 266, 1),
            orientation=_one(tags, 274, 1),
            extra=tuple(extra) if isinstance(extra, tuple) else (int(extra),),
            subsampled=tuple(tags.get(530, (2, 2))) != (1, 1),
        )
    except ValueError:
        raise
    except Exception as error:  # of bytes that are no tags
        raise ValueError("a damaged TIFF: its tags cannot be read") from error
    return kind, tags


def _one(tags: Any, number: int, otherwise: int | None = None) -> int:
    """The number that a tag holds, once or for every sample."""
    value = tags.get(number, otherwise)
    values = set(value) if isinstance(value, tuple) else {value}
    name = TiffTags.lookup(number).name
    if len(values) != 1:
        raise ValueError(f"a TIFF of samples of several kinds ({name} {value})")
    (only,) = values
    if not isinstance(only, int):
        raise ValueError(f"a damaged TIFF: its tag {name} is {only!r}, no whole number")
    return only


def read_other(data: bytes, kind: TiffKind, tags: Any) -> Float32:
    """Pixels of a TIFF file that is not for Pillow, upright and laid on white.

    Parameters
    ----------
    data : bytes
        The whole file.
    kind : TiffKind
    tags : PIL.TiffImagePlugin.ImageFileDirectory_v2

    Returns
    -------
    ndarray, (H, W) or (H, W, 3) float32
        White is 1; floating-point values are taken as they are.

    Raises
    ------
    ValueError
        If it is of no kind that is read, is damaged, or would inflate to more than its pixels.
    """
    if not kind.for_tifffile:
        integers = kind.format == 2 or (kind.format == 1 and kind.bits > 16)
        reason = "signed or 32-bit integers have no agreed white level" if integers else "not a kind that is read"
        raise ValueError(f"{kind}: {reason}")
    import tifffile  # a tenth of a second, for files that are rare

    with _as_value_error():
        _check_segments(data, kind, tags)
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            values = np.asarray(file.pages[0].asarray(maxworkers=1))
    shape = (kind.samples, kind.height, kind.width) if kind.planes else (kind.height, kind.width, kind.samples)
    if values.size != math.prod(shape):
        raise ValueError(f"a damaged TIFF: {values.shape} samples, where its tags say {shape}")
    values = values.reshape(shape)
    return _upright(_on_white(np.moveaxis(values, 0, -1) if kind.planes else values, kind), kind.orientation)


def _check_segments(data: bytes, kind: TiffKind, tags: Any) -> None:
    """Raise for strips or tiles that are not there, or that inflate beyond their pixels."""
    tiled = 322 in tags
    rows = _one(tags, 323) if tiled else min(_one(tags, 278, kind.height), kind.height)
    columns = _one(tags, 322) if tiled else kind.width
    offsets, counts = (tags.get(tag, ()) for tag in ((324, 325) if tiled else (273, 279)))
    if min(kind.height, kind.width, rows, columns) < 1:
        raise ValueError(f"a damaged TIFF: {kind.height} x {kind.width} pixels in parts of {rows} x {columns}")
    if Image.MAX_IMAGE_PIXELS and kind.height * kind.width > Image.MAX_IMAGE_PIXELS:
        raise ValueError(f"{kind.height} x {kind.width} pixels; at most {Image.MAX_IMAGE_PIXELS} are read")
    expected = math.ceil(kind.height / rows) * math.ceil(kind.width / columns) * (kind.samples if kind.planes else 1)
    if not expected == len(offsets) == len(counts) or expected > MOST_SEGMENTS:
        raise ValueError(f"a damaged TIFF: {len(offsets)} strips or tiles of {len(counts)} sizes, expected {expected}")
    pixel = kind.samples * kind.bits // 8
    size = rows * columns * (kind.bits // 8 if kind.planes else pixel)
    if expected * size > 2 * kind.height * kind.width * pixel + BORDER:
        raise ValueError(f"a damaged TIFF: its tiles of {rows} x {columns} are far larger than its picture")
    for offset, count in zip(offsets, counts, strict=True):
        if count < 1 or offset < 8 or offset + count > len(data):
            raise ValueError("the TIFF is cut off: a strip or tile lies beyond its end")
        if kind.compression in _DEFLATE:
            inflater = zlib.decompressobj()
            if len(inflater.decompress(data[offset : offset + count], size + 1)) > size:
                raise ValueError("a damaged TIFF: a strip or tile inflates to more than its pixels")


@contextlib.contextmanager
def _as_value_error() -> Iterator[None]:
    """Context in which whatever decoders raise at damaged bytes is a ValueError."""
    try:
        yield
    except (MemoryError, ValueError):
        raise
    except Exception as error:
        raise ValueError(f"a damaged TIFF ({str(error) or type(error).__name__})") from error


def _on_white(values: NDArray[Any], kind: TiffKind) -> Float32:
    white = np.float32(2**kind.bits - 1 if kind.format == 1 else 1)
    with np.errstate(over="ignore", invalid="ignore"):  # what overflows is refused as infinite
        pixels = values[..., : kind.colours].astype(np.float32) / white
        if kind.photometric == 0:
            pixels = 1 - pixels
        if kind.extra[:1] in ((1,), (2,)) and kind.samples > kind.colours:
            opacity = values[..., kind.colours :].astype(np.float32) / white
            pixels = (pixels if kind.extra[0] == 1 else pixels * opacity) + (1 - opacity)
    return pixels[..., 0] if kind.colours == 1 else pixels


def _upright(pixels: Float32, orientation: int) -> Float32:
    """Apply the tag Orientation, 1 to 8; another value changes nothing."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.swapaxes(0, 1)
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    return np.ascontiguousarray(pixels)
