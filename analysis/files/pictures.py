"""Image files and arrays as float32 pictures: luminance, or red, green and blue.

Everything that reads pixels goes one way: bytes, decoded pixels, luminance or colours, and a square
cut from the middle at a common size. Pictures are streamed, so memory does not grow with their number.

docs/inputs.md says what becomes of each kind of file, sound or broken: it is used, or skipped for one reason.
"""

import contextlib
import hashlib
import importlib.resources
import io
import logging
import os
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from analysis.files.folders import FilePath, ImageFolder, check_positive, find_images, walk_images
from analysis.files.messages import one_line, printable
from analysis.files.prefetch import prefetch
from analysis.files.regular import open_regular
from analysis.files.tiff import kind_of, read_other
from wavelets.checks import from_torch

__all__ = [
    "ImageError",
    "ImageFolder",
    "Picture",
    "bundled_crops",
    "bundled_images",
    "colours",
    "find_images",
    "fit",
    "load_pictures",
    "luminance",
    "read_image",
    "walk_images",
]

Float32 = NDArray[np.float32]
Turn = Callable[[ArrayLike], Float32]  # pixels as they are decoded -> luminance or colours

MAX_FILE_BYTES = 2**30  # beyond what a picture needs that may be decoded, and below what memory holds
MAX_VALUE = 1e9  # of pixels that are measured: their energies are summed in float32
HUGE = 2**24  # pixels: a picture for which some hundreds of megabytes are needed
ENOUGH = 4  # a JPEG file is not decoded below so many times the size that is wanted

# Pillow logs what it then raises. Without a handler of anybody's it would be printed, into the progress bar.
logging.getLogger("PIL").addHandler(logging.NullHandler())

# The other decoders of Pillow stay closed: some of them start programs (Ghostscript).
_FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP")

# What the scikit-image wheel holds beside these is drawn, binary, text, medical or a stereo twin.
_BUNDLED = (
    "astronaut.png",
    "brick.png",
    "camera.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "grass.png",
    "gravel.png",
    "hubble_deep_field.jpg",
    "moon.png",
    "motorcycle_left.png",
    "rocket.jpg",
)


class ImageError(ValueError):
    """A file that cannot be read as a picture.

    Parameters
    ----------
    name : str
        The file, in printable form.
    reason : str
        What is wrong with it, in one line.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(name, reason)
        self.name = name
        self.reason = reason

    def __str__(self) -> str:
        return f"cannot read {self.name}: {self.reason}"


@dataclass(frozen=True, eq=False)
class Picture:
    """One picture and where it came from.

    Attributes
    ----------
    name : str
        The file's path as it was given, in printable form, or ``"array 3"`` for the source at
        position 3 (from 0) that is an array.
    pixels : ndarray, (H, W) or (3, H, W) float32
        Luminance, or R, G and B; 0 is black and 1 is white.
    sha256 : str
        Hexadecimal digest of the file's bytes; for an array, of its dtype, shape and bytes.
    seconds : float
        What reading it took of a processor's time.
    """

    name: str
    pixels: Float32
    sha256: str
    seconds: float = 0.0


def bundled_images() -> list[Path]:
    """Photographs that are inside the installed scikit-image package.

    Nothing is downloaded. All are real photographs whose shorter side has at least 300 pixels; of
    the stereo pair only the left view is taken.

    Returns
    -------
    list of Path
        The files, sorted by name.

    Raises
    ------
    FileNotFoundError
        If scikit-image is not installed, or was installed without these files.
    """
    try:
        folder = Path(str(importlib.resources.files("skimage"))) / "data"
    except ModuleNotFoundError as error:
        raise FileNotFoundError(
            "the bundled photographs are those of scikit-image, which is not installed (pip install scikit-image)"
        ) from error
    paths = [folder / name for name in _BUNDLED]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"the installed scikit-image lacks {', '.join(missing)} in {printable(folder)}")
    return paths


def bundled_crops(size: int = 224, colour: bool = False) -> list[Picture]:
    """Three squares of every bundled photograph, at full resolution.

    They lie along the diagonal, at both corners and in the middle, so that few photographs give
    many pictures with the fine detail that resizing would take away.

    Parameters
    ----------
    size : int
        Side of the squares, in pixels; larger than a photograph, its shorter side is the limit
        and the picture is resized when it is loaded.
    colour : bool
        Keep red, green and blue instead of the luminance; half of the photographs are grey.

    Returns
    -------
    list of Picture
        36 pictures of 12 photographs.

    Raises
    ------
    FileNotFoundError
        As `bundled_images`.
    ValueError
        If `size` is not a positive integer.
    """
    check_positive("size", size)
    crops = []
    for path in bundled_images():
        pixels, sha256 = _read_and_hash(path, colours if colour else luminance)
        height, width = pixels.shape[-2:]
        side = min(size, height, width)
        for third in range(3):
            top, left = ((length - side) * third // 2 for length in (height, width))
            crop = pixels[..., top : top + side, left : left + side].copy()
            digest = hashlib.sha256(f"{sha256} {top} {left} {side}".encode()).hexdigest()
            crops.append(Picture(f"{path.name}, crop {third + 1} of 3", crop, digest))
    return crops


def luminance(pixels: ArrayLike) -> Float32:
    """Luminance of grey or colour pixels, with the weights of ITU-R BT.601.

    ``Y = 0.299 R + 0.587 G + 0.114 B``, on the stored (gamma-encoded) values. A fourth channel
    is alpha: the picture is laid on white.

    Parameters
    ----------
    pixels : array_like, (H, W), (H, W, 3) or (H, W, 4)
        uint8, uint16 or bool, whose largest value is white; or floating point, taken as it is
        (white is 1).

    Returns
    -------
    ndarray, (H, W) float32
        A new array, within [0, 1] for integer and bool input. Grey pixels keep their value
        exactly, also when they are stored as three equal channels.

    Raises
    ------
    TypeError
        If the pixels are of another type (complex, signed or wide integers, text, objects).
    ValueError
        If the shape is another one, if there are no pixels, or if some are NaN or infinite.
    """
    planes, alpha = _planes(pixels)
    with np.errstate(over="ignore", invalid="ignore"):
        picture = planes[0]
        if len(planes) == 3:
            red, green, blue = planes
            # As differences, so that equal channels give exactly their value.
            picture = green + np.float32(0.299) * (red - green) + np.float32(0.114) * (blue - green)
        return _finite(_on_white(picture, alpha))


def colours(pixels: ArrayLike) -> Float32:
    """Red, green and blue of grey or colour pixels, on the stored (gamma-encoded) values.

    Parameters
    ----------
    pixels : array_like, (H, W), (H, W, 3) or (H, W, 4)
        As for `luminance`; grey pixels give three equal channels.

    Returns
    -------
    ndarray, (3, H, W) float32
        A new array, within [0, 1] for integer and bool input.

    Raises
    ------
    TypeError, ValueError
        As `luminance`.
    """
    planes, alpha = _planes(pixels)
    with np.errstate(over="ignore", invalid="ignore"):
        picture = np.stack(planes if len(planes) == 3 else 3 * planes)
        return _finite(_on_white(picture, alpha))


def _planes(pixels: ArrayLike) -> tuple[list[Float32], Float32 | None]:
    """Checked pixels as one or three float32 planes, white being 1, and their opacity."""
    pixels = np.asarray(from_torch(pixels))
    kind, itemsize = pixels.dtype.kind, pixels.dtype.itemsize
    if kind not in "bf" and (kind != "u" or itemsize > 2):
        raise TypeError(f"pixels must be uint8, uint16, bool or real floats, not {pixels.dtype}")
    if pixels.ndim != 2 and (pixels.ndim != 3 or pixels.shape[2] not in (3, 4)):
        raise ValueError(f"pixels must be (H, W), (H, W, 3) or (H, W, 4), not {pixels.shape}")
    if pixels.size == 0:
        raise ValueError(f"there are no pixels in an array of shape {pixels.shape}")

    white = np.float32(np.iinfo(pixels.dtype).max if kind == "u" else 1)
    channels = pixels[..., np.newaxis] if pixels.ndim == 2 else pixels
    # What overflows here ends as infinite or NaN, and is refused later.
    with np.errstate(over="ignore", invalid="ignore"):
        planes = [channels[..., i].astype(np.float32) / white for i in range(channels.shape[2])]
    return planes[:3], planes[3] if len(planes) == 4 else None


def _on_white(picture: Float32, alpha: Float32 | None) -> Float32:
    return picture if alpha is None else picture * alpha + (1 - alpha)


def _finite(picture: Float32) -> Float32:
    if not np.isfinite(picture).all():
        raise ValueError("pixels must be finite in float32: some are NaN or infinite")
    return picture


def read_image(path: FilePath) -> Float32:
    """Read the luminance of an image file.

    JPEG, PNG, WebP, TIFF and BMP, recognised by their content. The EXIF orientation is applied,
    palettes are resolved, transparency is laid on white, and of several frames the first is taken.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    ndarray, (H, W) float32
        Luminance in [0, 1]; the values of a floating-point TIFF are taken as they are.

    Raises
    ------
    ImageError
        If the file cannot be opened or decoded for any reason: it is missing, empty, truncated,
        not an image, no regular file, larger than ``PIL.Image.MAX_IMAGE_PIXELS`` (89 million pixels)
        or than 1 GiB, has NaN or infinite pixels, or integers without an agreed white level (signed,
        or 32 bits); or it changes while it is read.

    Notes
    -----
    16-bit grey (and 12-bit TIFF) keeps its full depth, and so does most 16-bit colour in TIFF (docs/inputs.md). Pillow
    has no 16-bit colour: of PNG and of other TIFF files it keeps the high byte of every sample, so that white is still
    1 and the error is below 1/255. CMYK becomes RGB by Pillow's plain formula, without ICC profiles.
    """
    picture, _ = _read_and_hash(path)
    return picture


def fit(picture: ArrayLike, size: int = 224) -> Float32:
    """Resize the shorter side to `size` pixels and cut out the middle square.

    The resize is bilinear and antialiased (Pillow's triangle filter, widened when it reduces), the
    same along both axes, and centred exactly. Only what the square needs is computed, so that
    extreme aspect ratios are cheap.

    Parameters
    ----------
    picture : array_like, (H, W)
        A luminance picture; what `luminance` accepts is accepted.
    size : int
        Side of the result, in pixels.

    Returns
    -------
    ndarray, (size, size) float32
        A new array. If the shorter side is `size` already, the pixels are copied unchanged; the
        crop then starts at ``(H - size) // 2``, ``(W - size) // 2``.

    Raises
    ------
    TypeError, ValueError
        If `luminance` refuses the picture, or `size` is not a positive integer.
    """
    check_positive("size", size)
    picture = luminance(picture)
    short = min(picture.shape)
    # Cutting both ends alike keeps the centre; a margin of `short` is beyond the filter's reach.
    top, left = (max(0, (length - 3 * short) // 2) for length in picture.shape)
    height, width = (length - 2 * cut for length, cut in zip(picture.shape, (top, left), strict=True))
    picture = picture[top : top + height, left : left + width]

    if short == size:
        top, left = (height - size) // 2, (width - size) // 2
        return picture[top : top + size, left : left + size].copy()
    top, left = (height - short) / 2, (width - short) / 2
    box = (left, top, left + short, top + short)
    image = Image.fromarray(np.ascontiguousarray(picture))
    return np.array(image.resize((size, size), Image.Resampling.BILINEAR, box=box))


def load_pictures(
    sources: Iterable[FilePath | ArrayLike | Picture],
    size: int | None = 224,
    on_skip: Callable[[str, str], object] | None = None,
    colour: bool = False,
) -> Iterator[Picture]:
    """Stream pictures, one in memory at a time, in the order of their sources.

    A source that cannot be used is skipped and reported; it never stops the stream. Beside what `read_image` refuses,
    these are pictures with values beyond a billion times white, whose energies would overflow.

    Parameters
    ----------
    sources : iterable of paths, arrays or Pictures
        Files for `read_image`, pixels for `luminance`, or pictures that are already read.
    size : int or None
        Side in pixels of the square that `fit` makes; None keeps every picture's own size.
    on_skip : callable, optional
        Called as ``on_skip(name, reason)`` for every skipped source; by default a `UserWarning`
        is issued.
    colour : bool
        Keep red, green and blue instead of the luminance.

    Returns
    -------
    iterator of Picture
        With pixels (size, size) float32, or (H, W) float32 if `size` is None; in colour, (3, size,
        size) or (3, H, W).

    Raises
    ------
    TypeError
        If `sources` is a single path.
    ValueError
        If `size` is not a positive integer.

    Notes
    -----
    A JPEG file whose sides are at least eight times `size` is decoded at 1/2, 1/4 or 1/8 of its size, never below four
    times `size`: the decoder leaves out frequencies that the resize would weaken or alias. On the bundled photographs
    that changes a picture by about 1 % of its standard deviation, on fine texture by up to 13 %.
    """
    check_sources(sources, size)
    return _load(sources, size, on_skip or _warn_skipped, colours if colour else luminance)


def _load(
    sources: Iterable[Any], size: int | None, on_skip: Callable[[str, str], object], turn: Turn
) -> Iterator[Picture]:
    for _, outcome in _outcomes(enumerate(sources), size, turn, 0):
        if isinstance(outcome, Picture):
            yield outcome
        else:
            on_skip(outcome.name, outcome.reason)


@contextlib.contextmanager
def outcomes_ahead(
    numbered: Iterable[tuple[int, FilePath | ArrayLike | Picture]], size: int | None, colour: bool, ahead: int
) -> Iterator[Iterator[tuple[int, Picture | ImageError]]]:
    """Context with what reading each of the numbered sources comes to, in their order.

    Up to `ahead` of them are read in threads before they are due; with 0, none, and no thread is started. The threads
    read under Pillow's warning filters of :func:`_pillow_quiet`, which are those of the whole process: a context and no
    generator, so that they end where they should.
    """
    with (
        _pillow_quiet(),
        contextlib.closing(_outcomes(numbered, size, colours if colour else luminance, ahead)) as stream,
    ):
        yield stream


def check_sources(sources: Iterable[Any], size: int | None) -> None:
    """Raise at once what a generator would raise with its first picture."""
    if isinstance(sources, str | bytes | os.PathLike):
        raise TypeError("sources must be an iterable of paths or arrays; see find_images(folder)")
    if size is not None:
        check_positive("size", size)


def _outcomes(
    numbered: Iterable[tuple[int, Any]], size: int | None, turn: Turn, ahead: int
) -> Generator[tuple[int, Picture | ImageError], None, None]:
    def read(both: tuple[int, Any]) -> tuple[int, Picture | ImageError]:
        position, source = both
        try:
            return position, _read(source, f"array {position}", size, turn)
        except ImageError as error:
            return position, error

    with contextlib.closing(prefetch(read, numbered, ahead)) as results:
        yield from results


def _read(source: Any, name: str, size: int | None, turn: Turn) -> Picture:
    """Read one source, which has the given name if it has none; ImageError if it cannot be used."""
    start = time.thread_time()
    try:
        with contextlib.ExitStack() as alone:
            if isinstance(source, Picture):
                name = source.name
                pixels, sha256 = _take_again(source, turn)
            elif isinstance(source, str | bytes | os.PathLike):
                name = printable(source)
                pixels, sha256 = _read_and_hash(source, turn, size, alone)
            else:
                pixels, sha256 = _take_and_hash(source, turn)
            pixels = pixels if size is None else _fit_planes(pixels, size)
            if (largest := float(max(pixels.max(), -pixels.min()))) > MAX_VALUE:
                raise ValueError(
                    f"pixels reach {largest:.3g}, where white is 1; at most {MAX_VALUE:.0e} can be measured"
                )
            return Picture(name, pixels, sha256, time.thread_time() - start)
    except (TypeError, ValueError, MemoryError) as error:
        raise error if isinstance(error, ImageError) else ImageError(name, _reason(error)) from error


def _fit_planes(pixels: Float32, size: int) -> Float32:
    return fit(pixels, size) if pixels.ndim == 2 else np.stack([fit(plane, size) for plane in pixels])


def _read_and_hash(
    path: FilePath, turn: Turn = luminance, size: int | None = None, alone: contextlib.ExitStack | None = None
) -> tuple[Float32, str]:
    """Picture and digest of one file, from one reading of its bytes; a large JPEG comes reduced towards `size`.

    Of huge pictures only one is in work in all threads, until the end of the context `alone`.
    """
    name = printable(path)
    try:
        data = _read_bytes(path)
        picture = _in_bands(turn, _decode(data, size, alone))
    # On damaged files Pillow's decoders raise nearly everything, from SyntaxError to MemoryError.
    except Exception as error:
        raise ImageError(name, _reason(error)) from error
    return picture, hashlib.sha256(data).hexdigest()


def _read_bytes(path: FilePath) -> bytes:
    """Bytes of a regular file that stays as it is while they are read."""
    with open_regular(path) as file:
        before = os.fstat(file.fileno())
        if before.st_size > MAX_FILE_BYTES:
            raise ValueError(f"the file has {before.st_size} bytes; at most {MAX_FILE_BYTES} are read")
        data = file.read(before.st_size + 1)
        after = os.fstat(file.fileno())
    if not len(data) == before.st_size == after.st_size or before.st_mtime_ns != after.st_mtime_ns:
        raise ValueError("the file changed while it was read")
    return data


def _take_again(source: Picture, turn: Turn) -> tuple[Float32, str]:
    """Picture and digest of one that was read before."""
    return turn(np.moveaxis(source.pixels, 0, -1) if source.pixels.ndim == 3 else source.pixels), source.sha256


def _take_and_hash(source: ArrayLike, turn: Turn) -> tuple[Float32, str]:
    """Picture and digest of one array."""
    pixels = np.asarray(from_torch(source))
    picture = turn(pixels)
    header = f"{pixels.dtype.str} {pixels.shape}".encode()
    return picture, hashlib.sha256(header + pixels.tobytes()).hexdigest()


def _in_bands(turn: Turn, pixels: NDArray[Any]) -> Float32:
    """Apply `turn` to some rows at a time: what it needs in between is several times the picture."""
    bands = min(len(pixels), 1 + pixels.size // HUGE)
    return turn(pixels) if bands == 1 else np.concatenate([turn(b) for b in np.array_split(pixels, bands)], axis=-2)


def _decode(data: bytes, size: int | None = None, alone: contextlib.ExitStack | None = None) -> NDArray[Any]:
    """Pixels of the first frame, upright, in a form that `luminance` takes."""
    if not data:
        raise ValueError("the file is empty")
    with _pillow_quiet():
        page = kind_of(data)
        if page is not None and not page[0].for_pillow:
            return read_other(data, *page)
        try:
            return _decode_by_pillow(data, size, alone)
        except UnidentifiedImageError:
            if page is None:
                raise
            raise ValueError(f"{page[0]}: not a kind that is read") from None


def _decode_by_pillow(data: bytes, size: int | None, alone: contextlib.ExitStack | None) -> NDArray[Any]:
    with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
        if size is not None:
            image.draft(None, (ENOUGH * size, ENOUGH * size))  # does nothing but for JPEG
        if alone is not None and image.width * image.height > HUGE:
            alone.enter_context(_huge_lock)
        image.load()
        _set_upright(image)
        return _pixels(image)


_huge_lock = threading.Lock()
_quiet_lock = threading.Lock()
_quiet_users = 0
_quiet_filters = warnings.catch_warnings()


@contextlib.contextmanager
def _pillow_quiet() -> Iterator[None]:
    """Context in which Pillow says nothing of odd metadata, and refuses a picture that floods the memory.

    Filters of warnings belong to the whole process: of several threads the first to enter sets them, and the last to
    leave takes them back. They concern Pillow's own modules only.
    """
    global _quiet_users, _quiet_filters
    with _quiet_lock:
        if _quiet_users == 0:
            _quiet_filters = warnings.catch_warnings()
            _quiet_filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
            warnings.filterwarnings("error", category=Image.DecompressionBombWarning)
        _quiet_users += 1
    try:
        yield
    finally:
        with _quiet_lock:
            _quiet_users -= 1
            if _quiet_users == 0:
                _quiet_filters.__exit__(None, None, None)


def _set_upright(image: Image.Image) -> None:
    """Apply the EXIF orientation in place, where it can be read."""
    with contextlib.suppress(Exception):  # broken metadata must not cost good pixels
        ImageOps.exif_transpose(image, in_place=True)


def _pixels(image: Image.Image) -> NDArray[Any]:
    if image.mode.startswith("I;16"):
        return _deep_grey(image)
    if image.mode == "I":
        raise ValueError("signed or 32-bit integer pixels have no agreed white level")
    if image.has_transparency_data:
        image = image.convert("RGBA")
    elif image.mode not in ("1", "L", "F"):
        image = image.convert("RGB")
    return np.array(image)


def _deep_grey(image: Image.Image) -> Float32:
    """16-bit grey in [0, 1], with what Pillow leaves undone: depth, polarity, transparent value."""
    values = np.array(image)
    tags = getattr(image, "tag_v2", {})
    (bits,) = tags.get(ExifTags.Base.BitsPerSample, (16,))
    grey = values.astype(np.float32) / np.float32(2**bits - 1)
    if tags.get(ExifTags.Base.PhotometricInterpretation) == 0:  # WhiteIsZero
        grey = 1 - grey
    if "transparency" in image.info:
        grey[values == image.info["transparency"]] = 1
    return grey


def _reason(error: Exception) -> str:
    """Reason of a failure, in one line."""
    if isinstance(error, UnidentifiedImageError):
        return "Pillow finds no JPEG, PNG, WebP, TIFF or BMP image in it"
    text = getattr(error, "strerror", None) or str(error)
    return one_line(text) or type(error).__name__


def _warn_skipped(name: str, reason: str) -> None:
    # Three frames up: the loop that draws pictures from the stream.
    warnings.warn(f"skipped {name}: {reason}", UserWarning, stacklevel=3)
