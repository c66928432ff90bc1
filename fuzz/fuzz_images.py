"""Bytes as an image file: a finite picture of the right shape, or skipped for a reason of one line.

The first byte says whether the rest is a file as it is or a PNG file whose checksums are set right, and how it is read.
"""

from __future__ import annotations

import io
import zlib
from typing import Any

from fuzz.harness import FileToRead, check_one_line, followed, fuzz

with followed("PIL", "tifffile", "analysis.files.pictures", "analysis.files.tiff"):
    import tifffile
    from PIL import BmpImagePlugin, ExifTags, Image, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin  # noqa: F401

    from analysis.files import pictures

import numpy as np

SIDE = 16
MOST_PIXELS = 2**20  # twice as many are refused at once; keeps an execution short

file = FileToRead()


def mended(data: bytes) -> bytes:
    """A PNG file with its checksums set right, which changed bytes would hardly ever have."""
    parts, position = [data[:8]], 8
    while position + 12 <= len(data):
        end = position + 8 + int.from_bytes(data[position : position + 4], "big")
        parts += [data[position:end], zlib.crc32(data[position + 4 : end]).to_bytes(4, "big")]
        position = end + 4
    return b"".join(parts) + data[position:]


def execute(data: bytes) -> bool:
    """Read one file as the run does, reduced or whole, in grey or in colour; whether it is a picture."""
    how = data[0] if data else 0
    path = file.holding(mended(data[1:]) if how & 1 else data[1:], ".jpg")
    size, colour = (SIDE if how & 2 else None), bool(how & 4)
    skipped = []
    read = list(pictures.load_pictures([path], size, lambda *report: skipped.append(report), colour))
    if len(read) + len(skipped) != 1:
        raise AssertionError(f"{len(read)} pictures and {len(skipped)} reports of one file")
    for name, reason in skipped:
        check_one_line(name)
        check_one_line(reason)
    for picture in read:
        pixels = picture.pixels
        if pixels.dtype != np.float32 or not np.isfinite(pixels).all():
            raise AssertionError(f"{pixels.dtype} from {pixels.min()} to {pixels.max()}")
        if pixels.ndim != 2 + colour or (size is not None and pixels.shape[-2:] != (size, size)):
            raise AssertionError(f"shape {pixels.shape} for size {size}")
    return not skipped


def seeds() -> dict[str, bytes]:
    """Small files of every format and mode that is read."""
    rng = np.random.default_rng(0)
    grey, rgb, rgba = (Image.fromarray(rng.integers(0, 256, (12, 9, *c), dtype=np.uint8)) for c in ((), (3,), (4,)))
    deep = Image.fromarray(rng.integers(0, 65536, (12, 9), dtype=np.uint16))
    real = Image.fromarray(rng.random((12, 9), dtype=np.float32))
    signed = Image.fromarray(rng.integers(-9, 9, (12, 9), dtype=np.int32))
    palette = rgb.quantize(8)
    turned = Image.Exif()
    turned[ExifTags.Base.Orientation] = 6
    exif = turned.tobytes()
    several: dict[str, Any] = {"save_all": True, "append_images": [rgb, rgb]}
    wanted: list[tuple[str, Image.Image, dict[str, Any]]] = [
        ("JPEG", rgb, {}),
        ("JPEG", grey.resize((150, 140)), {"quality": 20}),
        ("JPEG", rgb, {"progressive": True, "exif": exif, "icc_profile": b"no profile", "comment": b"a"}),
        ("JPEG", rgb.convert("CMYK"), {}),
        ("MPO", rgb, several),
        *(
            ("PNG", image, {"exif": exif})
            for image in (grey, rgb, rgba, deep, palette, grey.convert("1"), rgba.convert("LA"))
        ),
        ("PNG", palette, {"transparency": b"\x00\x80", "dpi": (72, 72)}),
        ("PNG", deep, {"transparency": 9}),
        ("PNG", rgb, several),
        ("WEBP", rgb, {"lossless": True, "exif": exif}),
        ("WEBP", rgba, {}),
        ("WEBP", rgb, several),
        *(("TIFF", image, {}) for image in (grey, rgb, rgba, deep, real, signed, palette, rgb.convert("LAB"))),
        *(("TIFF", rgb, {"compression": c}) for c in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits")),
        ("TIFF", rgb, several),
        *(("BMP", image, {}) for image in (grey, rgb, rgba, palette, grey.convert("1"))),
    ]
    found = {}
    for number, (kind, image, options) in enumerate(wanted):
        buffer = io.BytesIO()
        image.save(buffer, kind, **options)
        how = (kind == "PNG") + 2 * (number % 2) + 4 * (number % 3 == 0)
        found[f"{number:02d}-{kind.lower()}"] = bytes([how]) + buffer.getvalue()
    for number, (pixels, options) in enumerate(_deep(rng)):
        buffer = io.BytesIO()
        tifffile.imwrite(buffer, pixels, metadata=None, software=None, **options)
        found[f"deep-{number:02d}"] = bytes([2 * (number % 2) + 4 * (number % 3 == 0)]) + buffer.getvalue()
    return found


def _deep(rng: np.random.Generator) -> list[tuple[np.ndarray, dict[str, Any]]]:
    """Pixels and options of TIFF files that Pillow does not read right."""
    rgb16 = rng.integers(0, 65536, (12, 9, 3), dtype=np.uint16)
    rgba16 = rng.integers(0, 65536, (12, 9, 4), dtype=np.uint16)
    reals, planes = rng.random((12, 9)), {"photometric": "rgb", "planarconfig": "separate"}
    return [
        (rgb16, {"photometric": "rgb"}),
        (rgb16, {"photometric": "rgb", "compression": "zlib", "predictor": True, "byteorder": ">"}),
        (rgba16, {"photometric": "rgb", "extrasamples": ["assocalpha"], "rowsperstrip": 5}),
        (np.moveaxis(rgb16, -1, 0), planes),
        (np.moveaxis(rgb16, -1, 0), planes | {"compression": "zlib", "tile": (16, 16)}),
        (reals.astype(np.float32), {"compression": "zlib", "byteorder": ">"}),
        (reals, {"photometric": "miniswhite"}),
        (reals.astype(np.float16), {"bigtiff": True, "compression": "zlib"}),
    ]


if __name__ == "__main__":
    Image.MAX_IMAGE_PIXELS = MOST_PIXELS
    fuzz(execute)
