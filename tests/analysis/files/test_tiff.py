"""TIFF files of every kind: read right, or refused by what they are; written here from the specification."""

from __future__ import annotations

import io
import itertools
import logging
import re
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from analysis.files import pictures, tiff
from analysis.files.pictures import ImageError, colours, load_pictures, read_image

SHORT, LONG = 3, 4
PACKINGS = {"none": 1, "LZW": 5, "deflate": 8, "old deflate": 32946, "PackBits": 32773}
KINDS = [*((1, bits) for bits in (1, 2, 4, 8, 12, 16, 32)), (2, 8), (2, 16), (3, 16), (3, 32), (3, 64)]


def lzw(data):
    """Codes of 9 bits; the table is cleared before it grows beyond them."""
    parts = (data[start : start + 100] for start in range(0, len(data), 100))
    codes = [code for part in parts for code in (256, *part)]
    return in_bits([*codes, 257], 9)


def in_bits(numbers, bits):
    text = "".join(f"{int(number):0{bits}b}" for number in numbers)
    text += "0" * (-len(text) % 8)
    return int(text, 2).to_bytes(len(text) // 8, "big")


def pack(data, packing):
    if packing == "LZW":
        return lzw(data)
    if packing == "PackBits":
        return b"".join(bytes([len(data[i : i + 128]) - 1]) + data[i : i + 128] for i in range(0, len(data), 128))
    return zlib.compress(data) if "deflate" in packing else data


def predicted(plane, predictor, order):
    """Samples (H, W, S) as bytes, as differences of neighbours or as planes of their bytes."""
    if predictor == 2:
        whole = plane.view(f"u{plane.itemsize}")
        plane = np.concatenate([whole[:, :1], whole[:, 1:] - whole[:, :-1]], axis=1)
    if predictor != 3:
        return plane.astype(plane.dtype.newbyteorder(order)).tobytes()
    height, width, count = plane.shape
    parts = plane.astype(plane.dtype.newbyteorder(">")).reshape(height, width * count).view(np.uint8)
    parts = parts.reshape(height, width * count, -1).transpose(0, 2, 1).reshape(height, -1)
    parts[:, count:] -= parts[:, :-count].copy()
    return parts.tobytes()


def tiff_file(
    values, order="<", bits=None, kind=1, packing="none", colours=1, planes=False, predictor=1, extra=(), tags=()
):
    """Bytes of a TIFF file with one strip, or one for each plane."""
    values = values[..., None] if values.ndim == 2 else values
    height, width, count = values.shape
    bits = bits or 8 * values.itemsize
    parts = []
    for plane in [values[..., i : i + 1] for i in range(count)] if planes else [values]:
        plane = np.ascontiguousarray(plane)
        whole = bits == 8 * values.itemsize
        rows = plane.reshape(height, -1)
        data = predicted(plane, predictor, order) if whole else b"".join(in_bits(row, bits) for row in rows)
        parts.append(pack(data, packing))
    lengths = [len(part) for part in parts]
    offsets = [8 + sum(lengths[:i]) for i in range(len(parts))]
    entries = {
        256: (LONG, [width]),
        257: (LONG, [height]),
        258: (SHORT, [bits] * count),
        259: (SHORT, [PACKINGS[packing]]),
        262: (SHORT, [colours]),
        273: (LONG, offsets),
        277: (SHORT, [count]),
        278: (LONG, [height]),
        279: (LONG, lengths),
        284: (SHORT, [1 + planes]),
        317: (SHORT, [predictor]),
        339: (SHORT, [kind] * count),
        **({338: (SHORT, list(extra))} if extra else {}),
        **dict(tags),
    }
    start = 8 + sum(lengths) + sum(lengths) % 2
    long_values = start + 2 + 12 * len(entries) + 4
    directory, beyond = struct.pack(order + "H", len(entries)), b""
    for tag, (size, numbers) in sorted(entries.items()):
        content = struct.pack(f"{order}{len(numbers)}{'H' if size == SHORT else 'I'}", *numbers)
        if len(content) > 4:
            content, beyond = struct.pack(order + "I", long_values + len(beyond)), beyond + content
        directory += struct.pack(order + "HHI", tag, size, len(numbers)) + content.ljust(4, b"\0")
    head = {"<": b"II", ">": b"MM"}[order] + struct.pack(order + "HI", 42, start)
    return head + b"".join(parts) + bytes(sum(lengths) % 2) + directory + bytes(4) + beyond


def samples(kind, bits, shape, seed=0):
    rng = np.random.default_rng(seed)
    if kind == 3:
        return rng.random(shape).astype(f"f{bits // 8}")
    lowest = -(2 ** (bits - 1)) if kind == 2 else 0
    return rng.integers(lowest, lowest + 2**bits, shape).astype(
        f"{'ui'[kind - 1]}{max(8, 2 ** (bits - 1).bit_length()) // 8}"
    )


COLOURS = {  # number of samples, photometric interpretation, extra samples
    "white is 0": (1, 0, ()),
    "grey": (1, 1, ()),
    "grey and opacity": (2, 1, (2,)),
    "RGB": (3, 2, ()),
    "RGB and opacity": (4, 2, (2,)),
    "RGB multiplied by opacity": (4, 2, (1,)),
    "RGB and more": (4, 2, (0,)),
}


def shown(values, what, kind, bits):
    """Red, green and blue on white, (3, H, W) float64."""
    scaled = values.astype(float) / (2**bits - 1 if kind == 1 else 1)
    scaled = scaled.reshape(*scaled.shape[:2], -1)
    colour = scaled[..., :3] if what.startswith("RGB") else scaled[..., :1]
    if what == "white is 0":
        colour = 1 - colour
    if "opacity" in what:
        opacity = scaled[..., -1:]
        colour = (colour if "multiplied" in what else colour * opacity) + 1 - opacity
    return np.moveaxis(np.repeat(colour, 3, -1) if colour.shape[-1] == 1 else colour, -1, 0)


def read(data, folder):
    (folder / "a.tif").write_bytes(data)
    (picture,) = load_pictures([folder / "a.tif"], None, fail, colour=True)
    return picture.pixels


def fail(name, reason):
    raise ValueError(reason)


def combinations(kind, bits):
    for order, packing, planes, predictor, what in itertools.product("<>", PACKINGS, (False, True), (1, 2, 3), COLOURS):
        squeezed = packing in ("LZW", "deflate", "old deflate")
        allowed = {1: True, 2: squeezed and kind != 3 and bits in (8, 16, 32), 3: squeezed and kind == 3}[predictor]
        if allowed and not (planes and COLOURS[what][0] == 1):
            yield order, packing, planes, predictor, what


MUST_BE_READ = {  # of all combinations of a kind, those of this many
    (1, 1): 20,
    (1, 8): 186,
    (1, 12): 5,
    (1, 16): 165,
    (3, 16): 60,
    (3, 32): 70,
    (3, 64): 60,
}


@pytest.mark.parametrize(("kind", "bits"), KINDS)
def test_every_combination_of_tags_is_read_right_or_refused_by_name(kind, bits, tmp_path):
    right = 0
    for order, packing, planes, predictor, what in combinations(kind, bits):
        count, photometric, extra = COLOURS[what]
        values = samples(kind, bits, (3, 5, count))
        if "multiplied" in what:
            values[..., :3] = np.minimum(values[..., :3], values[..., 3:])
        data = tiff_file(values, order, bits, kind, packing, photometric, planes, predictor, extra)
        case = (order, packing, planes, predictor, what)
        try:
            got = read(data, tmp_path)
        except ValueError as refusal:
            name = f"a TIFF of {count} sample{'s' * (count > 1)} x {['uint', 'int', 'float'][kind - 1]}{bits}, "
            assert str(refusal).startswith(name), (case, refusal)
            continue
        # Of deep colours that tifffile cannot unpack Pillow takes the high byte; of opacity and colour each.
        deep = bits == 16 and kind == 1 and count > 1 and packing in ("LZW", "PackBits")
        tolerance = (
            (2 if "opacity" in what else 1) / 255 if deep or "multiplied" in what else 1e-3 * (bits == 16) + 1e-6
        )
        np.testing.assert_allclose(got, shown(values, what, kind, bits), rtol=0, atol=tolerance, err_msg=str(case))
        right += 1
        if packing in ("none", "deflate", "old deflate") and predictor < 3 and bits >= 8 and bits != 12:
            theirs = tifffile.imread(io.BytesIO(data))
            theirs = np.moveaxis(theirs, 0, -1) if planes else theirs
            np.testing.assert_array_equal(theirs.reshape(values.shape), values, err_msg=str(case))
    assert right >= MUST_BE_READ.get((kind, bits), 0), right


@pytest.mark.parametrize("colours_", [3, 5, 6, 8], ids=["palette", "CMYK", "YCbCr", "CIELAB"])
def test_other_colours_are_as_in_the_plainest_file_or_refused(colours_, tmp_path):
    """Not compressed, little-endian, pixel by pixel is what Pillow's own files are."""
    count = {3: 1, 5: 4, 6: 3, 8: 3}[colours_]
    values = samples(1, 8, (3, 5, count))
    tags = {3: {320: (SHORT, samples(1, 16, 768, 1).tolist())}, 6: {530: (SHORT, [1, 1])}}.get(colours_, {})
    plain = read(tiff_file(values, colours=colours_, tags=tags), tmp_path)
    for order, packing, planes in itertools.product("<>", PACKINGS, (False, True)[: count - 1 or 1]):
        try:
            got = read(tiff_file(values, order, packing=packing, colours=colours_, planes=planes, tags=tags), tmp_path)
        except ValueError as refusal:
            assert planes and "a TIFF of" in str(refusal)
        else:
            np.testing.assert_allclose(got, plain, atol=2 / 255)


@pytest.mark.parametrize("packing", ["none", "LZW", "deflate", "PackBits"])
def test_chrominance_of_fewer_samples_is_refused_but_in_jpeg(packing, tmp_path):
    data = tiff_file(samples(1, 8, (4, 4, 3)), packing=packing, colours=6)  # without a tag it has a quarter of them
    with pytest.raises(ValueError, match="YCbCr"):
        read(data, tmp_path)
    Image.fromarray(np.full((16, 16, 3), 77, np.uint8)).save(tmp_path / "b.tif", compression="jpeg")
    np.testing.assert_allclose(read_image(tmp_path / "b.tif"), 77 / 255, atol=0.02)


def test_half_a_big_endian_float(tmp_path):
    """Pillow makes 8.8e-44 of it."""
    data = tiff_file(np.full((3, 5), 0.5, np.float32), ">", kind=3, packing="deflate")
    np.testing.assert_array_equal(read(data, tmp_path), 0.5)


@pytest.mark.parametrize("orientation", range(10))
def test_orientation_is_that_of_pillow(orientation, tmp_path):
    values, tags = samples(3, 32, (3, 5)), {274: (SHORT, [orientation])}
    got = read(tiff_file(values, ">", kind=3, packing="deflate", tags=tags), tmp_path)
    np.testing.assert_array_equal(got, read(tiff_file(values, kind=3, tags=tags), tmp_path))


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("tile", [None, (16, 16)])
@pytest.mark.parametrize("packing", [None, "zlib"])
def test_tiles_and_large_files(big, tile, packing, tmp_path):
    values = samples(1, 16, (40, 37, 3))
    for planes, order in itertools.product((False, True), "<>"):
        stored = np.moveaxis(values, -1, 0) if planes else values
        options = {"photometric": "rgb", "planarconfig": "separate" if planes else "contig", "byteorder": order}
        file = tmp_path / "t.tif"
        tifffile.imwrite(file, stored, bigtiff=big, tile=tile, compression=packing, **options)
        if big and order == ">":
            with pytest.raises(ImageError, match="big-endian"):
                read_image(file)
            continue
        np.testing.assert_allclose(read(file.read_bytes(), tmp_path), colours(values), atol=1e-6)


def test_bombs_are_not_inflated(tmp_path, monkeypatch):
    values = np.zeros((4, 4, 3), np.uint16)
    small = tiff_file(values, packing="deflate", colours=2)
    with monkeypatch.context() as patch:
        patch.setattr(zlib, "compress", lambda data: BOMB)
        data = tiff_file(values, packing="deflate", colours=2)
    monkeypatch.setattr(tifffile.TiffPage, "asarray", lambda *_, **__: pytest.fail("decoded"))
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="inflates to more"):
            read(data, tmp_path)
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 15)
        with pytest.raises(ValueError, match="4 x 4 pixels"):
            read(small, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2**23  # an eighth of what is in it
    finally:
        tracemalloc.stop()


BOMB = zlib.compress(bytes(2**26))


@pytest.mark.parametrize(("order", "packing"), [("<", "none"), (">", "deflate")])
def test_damaged_files_are_refused_in_one_line_and_nothing_is_printed(order, packing, tmp_path, monkeypatch, capfd):
    """Any byte spoiled, and cut off anywhere: of what only tifffile reads."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a run, where what is logged would be printed
    data = tiff_file(samples(1, 16, (3, 4, 3)), order, packing=packing, colours=2, planes=True)
    rng = np.random.default_rng(1)
    spoiled = [data[:end] for end in range(4, len(data), 3)]
    for position in range(4, len(data)):
        changed = bytearray(data)
        changed[position] = rng.choice([0, 1, 255, changed[position] ^ 0x80])
        spoiled.append(bytes(changed))
    refused = 0
    for content in spoiled:
        (tmp_path / "a.tif").write_bytes(content)
        try:
            read_image(tmp_path / "a.tif")
        except ImageError as error:
            refused += 1
            assert error.reason.isprintable() and not re.search(" at 0x", error.reason)
    assert refused > len(spoiled) / 4
    assert "tifffile" not in capfd.readouterr().err


@pytest.mark.parametrize(
    ("tags", "part"),
    [
        ({258: (SHORT, [5, 6, 5])}, "several kinds"),
        ({339: (SHORT, [1, 3, 1])}, "several kinds"),
        ({279: (LONG, [0, 0, 0])}, "cut off"),
        ({273: (LONG, [8, 8, 10**9])}, "cut off"),
        ({273: (LONG, [8, 8])}, "2 strips or tiles of 3 sizes, expected 3"),
        ({278: (LONG, [0])}, "damaged"),
        ({256: (LONG, [0])}, "damaged"),
        ({322: (LONG, [60000]), 323: (LONG, [60000]), 324: (LONG, [8] * 3), 325: (LONG, [8] * 3)}, "far larger"),
        ({262: (SHORT, [32803])}, "colour filter array"),
        ({259: (SHORT, [999])}, "compression 999"),
        ({266: (SHORT, [2])}, "bits in reverse"),
    ],
)
def test_tags_that_lie(tags, part, tmp_path):
    data = tiff_file(samples(1, 16, (3, 4, 3)), colours=2, planes=True, tags=tags)
    with pytest.raises(ValueError, match=part):
        read(data, tmp_path)


def test_common_files_need_no_tifffile(tmp_path, monkeypatch):
    """Its import takes a while, and Pillow reads them right."""
    monkeypatch.setattr(tiff, "read_other", lambda *_: pytest.fail("not by Pillow"))
    for pixels in (samples(1, 8, (3, 5)), samples(1, 8, (3, 5, 3)), samples(1, 16, (3, 5)), samples(3, 32, (3, 5))):
        Image.fromarray(pixels).save(tmp_path / "a.tif")
        monkeypatch.setattr(pictures, "read_other", lambda *_: pytest.fail("not by Pillow"))
        read_image(tmp_path / "a.tif")
