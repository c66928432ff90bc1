"""Image files in every form that photographs come in, and in the forms that are no pictures."""

import hashlib
import os
import pickle
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from analysis.files import pictures
from analysis.files.pictures import (
    ImageError,
    bundled_images,
    find_images,
    fit,
    load_pictures,
    luminance,
    read_image,
)
from analysis.files.prefetch import prefetch

pytestmark = pytest.mark.filterwarnings("error")

RNG = np.random.default_rng(2)
GREY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
GREY16 = RNG.integers(0, 65536, (6, 9), dtype=np.uint16)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
RGBA = RNG.integers(0, 256, (6, 9, 4), dtype=np.uint8)
WEIGHTS = np.array([0.299, 0.587, 0.114])


def save(path, pixels, mode=None, **options):
    image = Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def png(samples, colour_type, extra=()):
    """A 16-bit PNG, which Pillow cannot write in colour."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    height, width = samples.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


def tiff(data, height, width, bits, photometric):
    """A grey TIFF in one uncompressed strip, little endian, in depths that Pillow cannot write."""
    tags = [(256, width), (257, height), (258, bits), (259, 1), (262, photometric)]
    tags += [(273, 8), (277, 1), (278, height), (279, len(data))]
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    offset = 8 + len(data)
    return b"II*\0" + struct.pack("<I", offset) + data + struct.pack("<H", 9) + entries + b"\0" * 4


# ------------------------------------------------------------------ luminance


def test_luminance_weights_are_those_of_bt601():
    primaries = np.eye(3, dtype=np.uint8)[np.newaxis] * 255
    np.testing.assert_allclose(luminance(primaries)[0], WEIGHTS, rtol=1e-6)
    np.testing.assert_allclose(luminance(RGB), RGB / 255 @ WEIGHTS, atol=3e-7)


@pytest.mark.parametrize(
    ("pixels", "white"),
    [(GREY, 255), (GREY16, 65535), (GREY > 99, 1), (GREY / 3, 1), (GREY16.astype(">u2"), 65535)],
)
def test_luminance_of_grey_is_exact_also_as_three_channels(pixels, white):
    picture = luminance(pixels)
    assert picture.dtype == np.float32
    np.testing.assert_array_equal(picture, pixels.astype(np.float32) / np.float32(white))
    np.testing.assert_array_equal(luminance(np.stack([pixels] * 3, axis=-1)), picture)


def test_luminance_covers_zero_to_one_and_no_more():
    corners = np.array(np.meshgrid(*[[0, 1, 254, 255]] * 4), dtype=np.uint8).reshape(4, 16, 16).T
    for pixels in (corners[..., :3], corners):
        picture = luminance(pixels)
        assert picture.min() >= 0
        assert picture.max() == 1


def test_alpha_is_laid_on_white():
    colour, alpha = RGBA[..., :3] / 255, RGBA[..., 3] / 255
    expected = (colour @ WEIGHTS) * alpha + (1 - alpha)
    np.testing.assert_allclose(luminance(RGBA), expected, atol=3e-7)
    clear = np.zeros((2, 2, 4), np.uint8)
    assert (luminance(clear) == 1).all()


def test_floats_are_taken_as_they_are_and_copied():
    pixels = RNG.normal(size=(4, 5)).astype(np.float32)
    picture = luminance(pixels)
    np.testing.assert_array_equal(picture, pixels)
    assert not np.shares_memory(picture, pixels)


@pytest.mark.parametrize(
    ("pixels", "error", "message"),
    [
        (np.ones((3, 3), complex), TypeError, "complex128"),
        (np.ones((3, 3), int), TypeError, "int64"),
        (np.ones((3, 3), np.uint32), TypeError, "uint32"),
        (np.array([["a"]]), TypeError, "pixels must be"),
        (np.array([[None]]), TypeError, "object"),
        (np.ones(3), ValueError, r"\(3,\)"),
        (np.ones((3, 3, 2)), ValueError, r"\(3, 3, 2\)"),
        (np.ones((1, 3, 3, 3)), ValueError, r"\(1, 3, 3, 3\)"),
        (np.ones((0, 3)), ValueError, "no pixels"),
        (np.ones((3, 0, 3), np.uint8), ValueError, "no pixels"),
        (np.array([[0, np.nan]]), ValueError, "NaN or infinite"),
        (np.array([[0, np.inf]]), ValueError, "NaN or infinite"),
        (np.array([[0, 1e300]]), ValueError, "NaN or infinite"),
        (np.full((2, 2, 4), [1, 1, np.nan, 0]), ValueError, "NaN or infinite"),
    ],
)
def test_luminance_refuses(pixels, error, message):
    with pytest.raises(error, match=message):
        luminance(pixels)


# ------------------------------------------------------------------ formats and modes


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
@pytest.mark.parametrize("pixels", [GREY, RGB, GREY > 99], ids=["grey", "rgb", "one bit"])
def test_lossless_formats(tmp_path, suffix, pixels):
    picture = read_image(save(tmp_path / f"a.{suffix}", pixels))
    assert picture.dtype == np.float32
    np.testing.assert_array_equal(picture, luminance(pixels))


def test_webp_lossless(tmp_path):
    for pixels in (RGB, RGBA):
        path = save(tmp_path / "a.webp", pixels, lossless=True, exact=True)
        np.testing.assert_array_equal(read_image(path), luminance(pixels))


@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_lossy_formats(tmp_path, suffix):
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None] * 4, (64, 64))
    for pixels in (ramp, np.stack([ramp] * 3, axis=-1)):
        picture = read_image(save(tmp_path / f"a.{suffix}", pixels, quality=95))
        np.testing.assert_allclose(picture, luminance(pixels), atol=0.03)


def test_luminance_is_not_rounded_to_eight_bits(tmp_path):
    picture = read_image(save(tmp_path / "a.png", RGB))
    assert np.abs(picture * 255 - np.round(picture * 255)).max() > 0.1


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_alpha_files(tmp_path, suffix):
    np.testing.assert_array_equal(read_image(save(tmp_path / f"rgba.{suffix}", RGBA)), luminance(RGBA))
    grey_alpha = RGBA[..., [0, 0, 0, 3]]
    path = save(tmp_path / f"la.{suffix}", grey_alpha, mode="LA")
    np.testing.assert_array_equal(read_image(path), luminance(grey_alpha))


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_palette(tmp_path, suffix):
    palette = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
    image = Image.fromarray(GREY)
    image.putpalette(palette.tobytes())
    assert image.mode == "P"
    image.save(tmp_path / f"p.{suffix}")
    np.testing.assert_array_equal(read_image(tmp_path / f"p.{suffix}"), luminance(palette[GREY]))


@pytest.mark.parametrize("transparency", [3, bytes([0, 100, 200, 255])], ids=["index", "table"])
def test_palette_with_transparency(tmp_path, transparency):
    indices = RNG.integers(0, 4, (6, 9), dtype=np.uint8)
    palette = RNG.integers(0, 256, (4, 4), dtype=np.uint8)
    image = Image.fromarray(indices)
    image.putpalette(palette[:, :3].tobytes())
    image.save(tmp_path / "p.png", transparency=transparency)
    table = list(transparency) if isinstance(transparency, bytes) else [255, 255, 255, 0]
    palette[:, 3] = table
    np.testing.assert_array_equal(read_image(tmp_path / "p.png"), luminance(palette[indices]))


def test_transparent_colour_of_files_without_alpha(tmp_path):
    grey = save(tmp_path / "l.png", GREY, transparency=int(GREY[2, 3]))
    colour = save(tmp_path / "rgb.png", RGB, transparency=tuple(map(int, RGB[2, 3])))
    deep = tmp_path / "deep.png"
    clear = struct.pack(">H", GREY16[2, 3])
    deep.write_bytes(png(GREY16, 0, [(b"tRNS", clear)]))
    for path, pixels in ((grey, GREY), (colour, RGB), (deep, GREY16)):
        picture = read_image(path)
        assert picture[2, 3] == 1
        assert picture[0, 0] == luminance(pixels)[0, 0]


@pytest.mark.parametrize("suffix", ["jpg", "tif"])
def test_cmyk(tmp_path, suffix):
    inks = np.zeros((16, 64, 4), np.uint8)
    inks[:, :16, 0] = inks[:, 16:32, 1] = inks[:, 32:48, 2] = inks[:, 48:, 3] = 255
    path = tmp_path / f"a.{suffix}"
    Image.frombytes("CMYK", (64, 16), inks.tobytes()).save(path)
    picture = read_image(path)[8, [8, 24, 40, 56]]
    np.testing.assert_allclose(picture, [0.701, 0.413, 0.886, 0], atol=0.03)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_deep_grey_keeps_its_depth(tmp_path, suffix):
    path = save(tmp_path / f"a.{suffix}", GREY16)
    np.testing.assert_array_equal(read_image(path), luminance(GREY16))


def test_big_endian_tiff(tmp_path):
    image = Image.frombytes("I;16B", (9, 6), GREY16.astype(">u2").tobytes())
    image.save(tmp_path / "a.tif")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), luminance(GREY16))


def test_tiff_depth_and_polarity(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(GREY16.astype("<u2").tobytes(), 6, 9, bits=16, photometric=0))
    np.testing.assert_allclose(read_image(path), 1 - GREY16 / 65535, atol=1e-6)
    # Two 12-bit samples, 0xFFF and 0x800, in three bytes.
    path.write_bytes(tiff(b"\xff\xf8\x00", 1, 2, bits=12, photometric=1))
    np.testing.assert_allclose(read_image(path), [[1, 0x800 / 0xFFF]], atol=1e-6)


@pytest.mark.parametrize("colour_type", [2, 4, 6], ids=["rgb", "grey alpha", "rgba"])
def test_deep_colour_is_read_by_its_high_byte(tmp_path, colour_type):
    channels = {2: 3, 4: 2, 6: 4}[colour_type]
    samples = RNG.integers(0, 65536, (6, 9, channels), dtype=np.uint16)
    path = tmp_path / "a.png"
    path.write_bytes(png(samples, colour_type))
    high = (samples >> 8).astype(np.uint8)
    np.testing.assert_array_equal(read_image(path), luminance(high[..., [0, 0, 0, 1]] if channels == 2 else high))


def test_float_tiff_is_taken_as_it_is(tmp_path):
    pixels = RNG.normal(size=(6, 9)).astype(np.float32)
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.tif", pixels)), pixels)
    pixels[0, 0] = np.nan
    with pytest.raises(ImageError, match="NaN or infinite"):
        read_image(save(tmp_path / "a.tif", pixels))


def test_integers_without_a_white_level_are_refused(tmp_path):
    path = save(tmp_path / "a.tif", GREY.astype(np.int32))
    with pytest.raises(ImageError, match="no agreed white level"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["webp", "png", "tif"])
def test_first_frame_of_several(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    frames = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (51, 204)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    np.testing.assert_allclose(read_image(path), np.full((8, 8), 0.2), atol=1e-2)


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("pixels", [GREY, GREY16, RGB], ids=["8", "16", "rgb"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, suffix, pixels, orientation):
    upright = luminance(pixels)
    # How a camera held that way stores the upright scene (EXIF 2.3, tag 0x0112).
    stored = {
        1: pixels,
        2: pixels[:, ::-1],
        3: pixels[::-1, ::-1],
        4: pixels[::-1],
        5: pixels.swapaxes(0, 1),
        6: np.rot90(pixels, 1),
        7: pixels[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(pixels, -1),
    }
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    path = save(tmp_path / f"a.{suffix}", np.ascontiguousarray(stored[orientation]), exif=exif.tobytes())
    np.testing.assert_array_equal(read_image(path), upright)


def test_exif_orientation_of_jpeg_and_webp(tmp_path):
    pixels = np.zeros((16, 32), np.uint8)
    pixels[:, :16] = 255
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6  # the stored left side is the top
    for suffix in ("jpg", "webp"):
        picture = read_image(save(tmp_path / f"a.{suffix}", pixels, exif=exif.tobytes()))
        assert picture.shape == (32, 16)
        assert picture[:12].min() > 0.9
        assert picture[20:].max() < 0.1


@pytest.mark.parametrize("suffix", ["jpg", "png"])
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage!", b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0"])
def test_broken_exif_does_not_cost_the_picture(tmp_path, suffix, exif):
    pixels = np.full((8, 8), 128, np.uint8)
    path = save(tmp_path / f"a.{suffix}", pixels, exif=exif)
    np.testing.assert_allclose(read_image(path), luminance(pixels), atol=0.01)


def test_orientation_counts_also_beside_broken_tags(tmp_path):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    exif[ExifTags.Base.Make] = "camera"
    broken = exif.tobytes().replace(b"\x01\x0f", b"\x01\x1f")  # text where a number should be
    assert broken != exif.tobytes()
    path = save(tmp_path / "a.png", GREY, exif=broken)
    np.testing.assert_array_equal(read_image(path), luminance(np.rot90(GREY, -1)))


def test_content_counts_not_the_suffix(tmp_path):
    path = save(tmp_path / "a.jpg", GREY, format="PNG")
    np.testing.assert_array_equal(read_image(path), luminance(GREY))


# ------------------------------------------------------------------ files that are no pictures


def spoil_truncated(path, suffix):
    rough = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    save(path, rough, format={"jpg": "JPEG", "tif": "TIFF"}.get(suffix, suffix.upper()))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif", "bmp"])
def test_truncated_file(tmp_path, suffix, capfd):
    path = tmp_path / f"half.{suffix}"
    spoil_truncated(path, suffix)
    with pytest.raises(ImageError, match="half"):
        read_image(path)
    capfd.readouterr()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"hello, I am text\n", "no JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "no JPEG"),
        (b"\xff\xd8\xff\xe0", "."),
        (b"\x89PNG\r\n\x1a\n", "."),
        (b"II*\0\xff\xff\xff\xff", "."),
        (b"BM" + b"\xff" * 60, "."),
    ],
)
def test_no_image(tmp_path, content, reason):
    path = tmp_path / "fake.jpg"
    path.write_bytes(content)
    with pytest.raises(ImageError, match=reason) as caught:
        read_image(path)
    assert str(caught.value) == f"cannot read {path}: {caught.value.reason}"
    assert "\n" not in str(caught.value)
    assert "0x" not in str(caught.value)


def test_missing_file_folder_and_null(tmp_path):
    for path, reason in (
        (tmp_path / "gone.png", "No such file"),
        (tmp_path, "directory|denied"),
        ("a\0b.png", "null"),
    ):
        with pytest.raises(ImageError, match=reason):
            read_image(path)


@pytest.mark.parametrize("limit", [30, 50], ids=["error", "warning"])
def test_decompression_bomb(tmp_path, monkeypatch, limit):
    path = save(tmp_path / "bomb.png", np.zeros((8, 8), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(ImageError, match=r"bomb\.png.*64 pixels"):
        read_image(path)


def test_image_error_is_a_value_error_and_survives_pickling():
    error = pickle.loads(pickle.dumps(ImageError("a.png", "torn")))
    assert isinstance(error, ValueError)
    assert (str(error), error.name, error.reason) == ("cannot read a.png: torn", "a.png", "torn")


def test_paths_of_every_type_and_odd_names(tmp_path):
    path = save(tmp_path / "é ü.png", GREY)
    for same in (path, str(path), os.fsencode(path)):
        np.testing.assert_array_equal(read_image(same), luminance(GREY))
    with pytest.raises(ImageError, match=r"é\\nb\\xff\.png|é\\nb\\udcff\.png") as caught:
        read_image(os.fsencode(tmp_path / "é\nb") + b"\xff.png")
    str(caught.value).encode("utf-8")


# ------------------------------------------------------------------ folders


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")


def test_find_images_by_suffix_sorted_without_hidden(tmp_path):
    wanted = ["B.JPG", "a.jpeg", "b/c.Png", "b/d/e.webp", "b.tif", "z.tiff", "é.bmp"]
    touch(*(tmp_path / name for name in wanted))
    touch(*(tmp_path / name for name in [".a.png", ".git/a.png", "a.txt", "png", "c.png.gz"]))
    (tmp_path / "folder.png").mkdir()
    expected = sorted((tmp_path / name for name in wanted), key=lambda path: path.parts)
    assert find_images(tmp_path) == expected
    assert find_images(str(tmp_path)) == expected
    assert find_images(os.fsencode(tmp_path)) == expected
    assert find_images(tmp_path, limit=3) == expected[:3]
    assert find_images(tmp_path, limit=np.int64(99)) == expected


def test_find_images_links(tmp_path):
    outside = tmp_path / "outside"
    touch(outside / "a.png", tmp_path / "in" / "b.png")
    (tmp_path / "in" / "folder").symlink_to(outside)
    (tmp_path / "in" / "file.png").symlink_to(outside / "a.png")
    (tmp_path / "in" / "dangling.png").symlink_to(tmp_path / "gone.png")
    os.mkfifo(tmp_path / "in" / "pipe.png")
    names = [path.name for path in find_images(tmp_path / "in")]
    assert names == ["b.png", "dangling.png", "file.png"]


def test_find_images_in_unlistable_folder(tmp_path, monkeypatch):
    touch(tmp_path / "a.png", tmp_path / "shut" / "b.png")
    scandir = os.scandir

    def deny(path):
        if Path(path).name == "shut":
            raise PermissionError(13, "Permission denied", os.fspath(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)
    with pytest.warns(UserWarning, match="skipped folder .*shut: Permission denied"):
        assert [path.name for path in find_images(tmp_path)] == ["a.png"]


def test_find_images_errors(tmp_path):
    touch(tmp_path / "notes.txt", tmp_path / "some" / "a.png")
    with pytest.raises(FileNotFoundError, match=r"no such folder: .*gone"):
        find_images(tmp_path / "gone")
    with pytest.raises(NotADirectoryError, match=r"not a folder: .*notes\.txt"):
        find_images(tmp_path / "notes.txt")
    (tmp_path / "none").mkdir()
    with pytest.raises(ValueError, match=r"no images \(JPEG, .*\) found in .*none$"):
        find_images(tmp_path / "none")
    for limit in (0, -1, 2.0, "3", True):
        with pytest.raises(ValueError, match="limit must be a positive integer"):
            find_images(tmp_path / "some", limit=limit)


# ------------------------------------------------------------------ bundled photographs


def test_bundled_photographs():
    paths = bundled_images()
    assert len(paths) >= 10
    assert paths == sorted(paths, key=lambda path: path.name)
    for path in paths:
        picture = read_image(path)
        assert min(picture.shape) >= 300
        assert 0 <= picture.min() < picture.max() <= 1
        assert picture.std() > 0.02


def test_bundled_photographs_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(pictures.importlib.resources, "files", lambda package: tmp_path)
    with pytest.raises(FileNotFoundError, match=r"lacks astronaut\.png"):
        bundled_images()
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(FileNotFoundError, match="pip install scikit-image"):
        bundled_images()


# ------------------------------------------------------------------ fit


def resize_matrix(length, short, size):
    """Triangle filter in source coordinates: row i makes pixel i of the middle `short` samples."""
    scale = short / size
    centres = (length - short) / 2 + (np.arange(size) + 0.5) * scale
    distance = np.abs(np.arange(length) + 0.5 - centres[:, None]) / max(scale, 1)
    weights = np.maximum(0, 1 - distance)
    return weights / weights.sum(axis=1, keepdims=True)


@settings(max_examples=60)
@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 40))
@example(10, 45, 1)  # the widest filter there is, beside the cut
@example(45, 11, 1)
def test_fit_against_explicit_sums(height, width, size):
    picture = np.random.default_rng([height, width]).random((height, width), dtype=np.float32)
    short = min(height, width)
    fitted = fit(picture, size)
    assert fitted.dtype == np.float32
    assert fitted.shape == (size, size)
    if short != size:  # then only whole pixels are cropped
        rows, columns = (resize_matrix(length, short, size) for length in picture.shape)
        np.testing.assert_allclose(fitted, rows @ picture @ columns.T, atol=2e-6)


@pytest.mark.parametrize("shape", [(300, 451), (224, 225), (7, 3), (1, 5000), (5000, 1), (1, 1)])
def test_fit_keeps_a_constant(shape):
    np.testing.assert_allclose(fit(np.full(shape, 0.3, np.float32)), 0.3, rtol=1e-6)


@pytest.mark.parametrize("shape", [(300, 451), (451, 300), (100, 131), (1000, 997)])
def test_fit_keeps_a_ramp_and_its_centre(shape):
    offsets = (np.arange(224) - 111.5) * min(shape) / 224  # from the centre, in source pixels
    inner = slice(8, -8)  # at the border the filter is cut
    for axis in (0, 1):
        ramp = np.moveaxis(np.indices(shape)[axis] - (shape[axis] - 1) / 2, axis, 0)
        errors = np.moveaxis(fit(np.moveaxis(ramp, 0, axis)), axis, 0) - offsets[:, None]
        # A sampled triangle of fractional width ripples by a few hundredths of a pixel.
        np.testing.assert_allclose(errors[inner, inner], 0, atol=0.07)
        assert abs(errors[inner, inner].mean()) < 1e-3


@pytest.mark.parametrize("length", [8, 9, 10, 11, 25, 40])
@pytest.mark.parametrize("wide", [True, False])
def test_fit_only_crops_what_fits_already(length, wide):
    picture = RNG.random((8, length) if wide else (length, 8), dtype=np.float32)
    start = (length - 8) // 2
    crop = (slice(None), slice(start, start + 8))
    fitted = fit(picture, 8)
    np.testing.assert_array_equal(fitted, picture[crop if wide else crop[::-1]])
    assert fitted.base is None  # holds on to nothing larger
    assert fitted.flags.writeable


def test_fit_of_a_thread_is_cheap():
    picture = np.linspace(0, 1, 20_000_000, dtype=np.float32)[np.newaxis]
    np.testing.assert_allclose(fit(picture, 64), 0.5, atol=1e-3)


def test_fit_refuses():
    for size in (0, -3, 2.5, None, True):
        with pytest.raises(ValueError, match="size must be a positive integer"):
            fit(np.ones((3, 3)), size)
    with pytest.raises(ValueError, match="no pixels"):
        fit(np.ones((0, 3)))
    with pytest.raises(TypeError, match="complex"):
        fit(np.ones((3, 3), complex))


# ------------------------------------------------------------------ streams


def test_load_pictures_from_files_and_arrays(tmp_path):
    path = save(tmp_path / "a.png", RGB)
    first, second, third = load_pictures([path, RGB, GREY], size=4)
    assert first.name == str(path)
    assert first.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (second.name, third.name) == ("array 1", "array 2")
    np.testing.assert_array_equal(first.pixels, fit(luminance(RGB), 4))
    np.testing.assert_array_equal(first.pixels, second.pixels)
    np.testing.assert_array_equal(third.pixels, fit(luminance(GREY), 4))
    with pytest.raises(AttributeError):
        first.name = "b"


def test_load_pictures_in_their_own_size():
    block = RNG.random((2, 6, 9), dtype=np.float32)
    pictures = list(load_pictures(block, size=None))
    for picture, pixels in zip(pictures, block, strict=True):
        np.testing.assert_array_equal(picture.pixels, pixels)


def test_array_digest_depends_on_values_shape_and_dtype():
    arrays = [np.zeros((2, 8), np.uint8), np.zeros((4, 4), np.uint8), np.zeros((2, 4), np.uint16)]
    arrays += [np.zeros((2, 8), bool), np.eye(4, dtype=np.uint8)]
    digests = [picture.sha256 for picture in load_pictures(arrays, size=None)]
    assert len(set(digests)) == len(arrays)
    (strided,) = load_pictures([np.asfortranarray(arrays[-1])], size=None)
    assert strided.sha256 == digests[-1]


def test_what_cannot_be_read_is_skipped_by_name(tmp_path):
    good = save(tmp_path / "good.png", GREY)
    empty, gone = tmp_path / "empty.png", tmp_path / "gone.png"
    empty.write_bytes(b"")
    bad = [empty, gone, np.full((2, 2), np.nan), np.ones((2, 2), complex), None, [[1.0], [1.0, 2]]]
    skipped = []
    pictures = load_pictures([*bad, good], 4, on_skip=lambda *report: skipped.append(report))
    assert [picture.name for picture in pictures] == [str(good)]
    names, reasons = zip(*skipped, strict=True)
    assert names == (str(empty), str(gone), "array 2", "array 3", "array 4", "array 5")
    for reason, words in zip(
        reasons, ["empty", "No such file", "NaN", "complex", "object", "inhomogeneous"], strict=True
    ):
        assert words in reason
        assert "\n" not in reason


def test_skips_are_warnings_by_default(tmp_path):
    stream = load_pictures([tmp_path / "gone.png", GREY], 4)
    with pytest.warns(UserWarning, match="skipped .*gone.png: No such file") as caught:
        assert next(stream).name == "array 1"
    assert caught[0].filename == __file__


def test_streaming_is_lazy_and_reads_each_file_once(tmp_path, monkeypatch):
    path = save(tmp_path / "a.png", GREY)
    reads = []
    read_bytes = pictures._read_bytes
    monkeypatch.setattr(pictures, "_read_bytes", lambda path: reads.append(path.name) or read_bytes(path))
    drawn = []

    def sources():
        for position in range(1000):
            drawn.append(position)
            yield path

    stream = load_pictures(sources(), 4)
    assert drawn == []
    next(stream)
    next(stream)
    assert drawn == [0, 1]
    assert reads == ["a.png", "a.png"]


def test_load_pictures_checks_its_arguments_at_once(tmp_path):
    for single in ("a.png", b"a.png", tmp_path):
        with pytest.raises(TypeError, match="find_images"):
            load_pictures(single)
    with pytest.raises(ValueError, match="size must be a positive integer"):
        load_pictures([], size=0)


def test_a_picture_that_cannot_be_used_is_skipped_like_any_other_source():
    good = pictures.Picture("good", np.ones((8, 8), np.float32), "00")
    bad = pictures.Picture("bad", np.full((8, 8), np.nan, np.float32), "00")
    skipped = []
    kept = list(pictures.load_pictures([bad, good], size=8, on_skip=lambda *what: skipped.append(what)))
    assert [picture.name for picture in kept] == ["good"] and [name for name, _ in skipped] == ["bad"]


def test_bundled_crops_are_squares_of_the_photographs_themselves():
    crops = pictures.bundled_crops(100)
    assert len(crops) == 3 * len(pictures.bundled_images()) == len({crop.sha256 for crop in crops})
    whole = pictures.read_image(pictures.bundled_images()[0])
    np.testing.assert_array_equal(crops[0].pixels, whole[:100, :100])
    np.testing.assert_array_equal(crops[2].pixels, whole[-100:, -100:])
    assert all(crop.pixels.shape == (100, 100) for crop in crops)


def test_colours_are_the_channels_and_grey_is_three_times_the_same():
    rgb = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    np.testing.assert_array_equal(pictures.colours(rgb), np.float32(rgb.transpose(2, 0, 1)) / np.float32(255))
    grey = pictures.colours(rgb[..., 0])
    assert grey.shape == (3, 5, 7) and (grey == grey[0]).all()
    alpha = np.full((5, 7, 1), 51, np.uint8)
    on_white = pictures.colours(np.concatenate([rgb, alpha], axis=2))
    np.testing.assert_allclose(on_white, 0.2 * pictures.colours(rgb) + 0.8, rtol=1e-6)


def test_pictures_in_colour_are_resized_like_their_luminance(tmp_path):
    rgb = np.random.default_rng(1).integers(0, 256, (40, 60, 3), dtype=np.uint8)
    Image.fromarray(rgb).save(tmp_path / "a.png")
    (one,) = pictures.load_pictures([tmp_path / "a.png"], 16, colour=True)
    (two,) = pictures.load_pictures([tmp_path / "a.png"], 16)
    assert one.pixels.shape == (3, 16, 16) and one.sha256 == two.sha256
    weights = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(np.tensordot(weights, one.pixels, 1), two.pixels, atol=1e-6)
    (again,) = pictures.load_pictures([one], None, colour=True)
    np.testing.assert_array_equal(again.pixels, one.pixels)
    (grey,) = pictures.load_pictures([one], None)
    np.testing.assert_allclose(grey.pixels, two.pixels, atol=1e-6)


def test_bundled_crops_in_colour_are_the_same_crops():
    coloured, grey = pictures.bundled_crops(64, colour=True), pictures.bundled_crops(64)
    assert [c.name for c in coloured] == [g.name for g in grey]
    for c, g in zip(coloured, grey, strict=True):
        assert c.pixels.shape == (3, 64, 64)
        np.testing.assert_allclose(np.tensordot([0.299, 0.587, 0.114], c.pixels, 1), g.pixels, atol=1e-6)


# ---- reading ahead, and large JPEG files ----------------------------------------------------------------------------


def test_large_jpeg_files_are_decoded_at_a_fraction_of_their_size(tmp_path, monkeypatch):
    y, x = np.mgrid[:900, :1100]
    path = tmp_path / "large.jpg"
    Image.fromarray(np.uint8(127 + 60 * np.cos(x / 40) + 60 * np.sin(y / 60 + x / 90))).save(path, quality=95)
    decoded = []
    monkeypatch.setattr(
        pictures, "_pixels", lambda image, original=pictures._pixels: (decoded.append(image.size), original(image))[1]
    )
    read = {size: next(load_pictures([path], size)).pixels for size in (20, 56, 112, 113, 225)}
    next(load_pictures([path], None))
    assert decoded == [(138, 113), (275, 225), (550, 450), (1100, 900), (1100, 900), (1100, 900)]
    monkeypatch.setattr(Image.Image, "draft", lambda *_: None)
    whole = {size: next(load_pictures([path], size)).pixels for size in (20, 56, 112)}
    for size, picture in whole.items():
        assert np.sqrt(np.mean((read[size] - picture) ** 2)) < 0.02 * picture.std()


def ahead_of(sources, size, ahead, on_skip=print):
    with pictures.outcomes_ahead(enumerate(sources), size, False, ahead) as stream:
        for _, outcome in stream:
            if isinstance(outcome, pictures.ImageError):
                on_skip(outcome.name, outcome.reason)
            else:
                yield outcome


@pytest.mark.parametrize("ahead", [1, 3, 16])
def test_reading_ahead_changes_nothing(tmp_path, ahead):
    sources = [np.full((8, 8), k / 10) for k in range(7)]
    sources[2] = np.full((8, 8), np.nan)
    Image.fromarray(RGB).save(tmp_path / "a.png")
    sources[4], sources[5] = tmp_path / "a.png", tmp_path / "gone.png"
    reports = [], []
    first = list(load_pictures(sources, 4, lambda *report: reports[0].append(report)))
    second = list(ahead_of(sources, 4, ahead, lambda *report: reports[1].append(report)))
    assert reports[0] == reports[1] and [name for name, _ in reports[0]] == ["array 2", str(tmp_path / "gone.png")]
    for one, other in zip(first, second, strict=True):
        assert (one.name, one.sha256) == (other.name, other.sha256)
        np.testing.assert_array_equal(one.pixels, other.pixels)


def test_no_more_pictures_are_read_ahead_than_allowed():
    taken = 0

    def sources():
        nonlocal taken
        while taken < 30:
            taken += 1
            yield GREY

    for position, _ in enumerate(ahead_of(sources(), 4, 5)):
        assert taken <= position + 5
    assert taken == 30


def test_what_was_drawn_before_the_sources_failed_is_delivered():
    def sources():
        yield GREY
        yield GREY
        raise RuntimeError("the camera fell")

    stream = ahead_of(sources(), 4, 4)
    assert [next(stream).name, next(stream).name] == ["array 0", "array 1"]
    with pytest.raises(RuntimeError, match="camera"):
        next(stream)


def test_reading_ahead_leaves_warning_filters_and_no_threads(tmp_path):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    before = list(warnings.filters)
    with pictures.outcomes_ahead(enumerate([tmp_path / "a.png"] * 20), 4, False, 4) as stream:
        next(stream)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            next(stream)
    assert warnings.filters == before
    assert not any(thread.name.startswith("prefetch") for thread in threading.enumerate())


@pytest.mark.parametrize("started", [0, 1])
def test_where_no_thread_can_be_had_pictures_are_read_by_the_caller(monkeypatch, started):
    start, begun = threading.Thread.start, []

    def refuse(thread):
        if len(begun) >= started:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    monkeypatch.setattr("analysis.files.prefetch.get_num_threads", lambda: 3)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert list(prefetch(lambda number: number**2, range(9), 4)) == [number**2 for number in range(9)]
    with pytest.raises(ZeroDivisionError):
        list(prefetch(lambda number: 1 / number, range(9), 4))


LATE = """
import atexit
import numpy as np, xarray as xr
from analysis.files.prefetch import prefetch
def late():
    assert list(prefetch(str, range(9), 4)) == list("012345678")
    print(xr.DataArray(np.ones(3)).sum().item())
atexit.register(late)
"""


def test_pictures_are_read_and_results_made_while_the_interpreter_ends():
    result = subprocess.run([sys.executable, "-c", LATE], capture_output=True, text=True, timeout=300)
    assert (result.stdout, result.stderr) == ("3.0\n", "")
