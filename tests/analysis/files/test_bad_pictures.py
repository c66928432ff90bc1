"""One table of what image files can be: each kind is used, with these pixels, or skipped, for this reason."""

from __future__ import annotations

import errno
import inspect
import logging
import os
import pickle
import re
import socket
import struct
import sys
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from analysis.files import folders, pictures
from analysis.files.pictures import ImageFolder, find_images, load_pictures, luminance, outcomes_ahead, walk_images

pytestmark = pytest.mark.filterwarnings("error")

DOCS = Path(__file__).parents[3] / "docs" / "inputs.md"
RNG = np.random.default_rng(5)
GREY = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
GREY16 = RNG.integers(0, 65536, (6, 9), dtype=np.uint16)
RGB = RNG.integers(0, 256, (6, 9, 3), dtype=np.uint8)
ROUGH = RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)
SMOOTH = np.broadcast_to(np.arange(64, dtype=np.uint8)[:, None] * 4, (64, 64))
FLOATS = RNG.normal(size=(6, 9)).astype(np.float32)
PALETTE = RNG.integers(0, 256, (256, 3), dtype=np.uint8)
NO_IMAGE = "finds no JPEG, PNG, WebP, TIFF or BMP"


@dataclass(frozen=True)
class Kind:
    """A kind of file, as `make(folder, monkeypatch)` writes it, and what becomes of it."""

    name: str
    make: Callable[[Path, pytest.MonkeyPatch], Any]
    pixels: Any = None  # in the range from 0 to 1
    atol: float = 0.0
    reason: str | None = None

    @property
    def outcome(self) -> str:
        return "used" if self.reason is None else "skipped"


def saved(name, pixels, mode=None, after=lambda data: data, **options):
    """Maker of a file that Pillow writes; `after` spoils its bytes."""

    def make(folder, _):
        image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
        (image.convert(mode) if mode else image).save(folder / name, **options)
        (folder / name).write_bytes(after((folder / name).read_bytes()))
        return folder / name

    return make


def written(name, data):
    def make(folder, _):
        path = os.path.join(os.fsencode(folder), os.fsencode(name))
        with open(path, "wb") as file:
            file.write(data)
        return path

    return make


def half(data):
    return data[: len(data) // 2]


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows, depth=8, colour_type=0, *, extra=(), end=True):
    """Bytes of a PNG file, also of those that no library would write."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    chunks = [(b"IHDR", header), *extra, (b"IDAT", zlib.compress(rows))] + [(b"IEND", b"")] * end
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*c) for c in chunks)


def rows_of(samples):
    return b"".join(b"\0" + row.tobytes() for row in samples)


def flip_in(tag):
    """Spoil a byte in the middle of a PNG chunk, whose checksum then disagrees."""

    def after(data):
        start = data.index(tag)
        (length,) = struct.unpack(">I", data[start - 4 : start])
        middle = start + 4 + length // 2
        return data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :]

    return after


def wrong_checksum(data):
    """Spoil the checksum of the header alone."""
    end = data.index(b"IHDR") + 4 + 13
    return data[:end] + bytes([data[end] ^ 0xFF]) + data[end + 1 :]


def rotated(pixels, name, orientation=6):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return saved(name, pixels, exif=exif.tobytes())


def palette_image(**options):
    image = Image.fromarray(GREY)
    image.putpalette(PALETTE.tobytes())
    return saved("a.png", image, **options)


def frames(name, **options):
    pictures = [Image.fromarray(np.full((8, 8, 3), value, np.uint8)) for value in (51, 204)]
    return saved(name, pictures[0], save_all=True, append_images=pictures[1:], **options)


def cmyk(name):
    inks = np.zeros((16, 64, 4), np.uint8)
    inks[:, :32, 0] = inks[:, 32:, 3] = 255
    return saved(name, Image.frombytes("CMYK", (64, 16), inks.tobytes()))


CMYK = np.repeat([[0.701, 0.0]], 32, axis=1) * np.ones((16, 1))


def many_samples(data):
    """Set the number of samples a pixel of a little-endian TIFF file to 5635."""
    entry = data.index(struct.pack("<HHI", 277, 3, 1))
    return data[: entry + 8] + struct.pack("<I", 5635) + data[entry + 12 :]


def folder_of_that_name(folder, _):
    (folder / "a.jpg").mkdir()
    return folder / "a.jpg"


def pipe(folder, _):
    os.mkfifo(folder / "a.jpg")
    return folder / "a.jpg"


def listening(folder, monkeypatch):
    monkeypatch.chdir(folder)  # the names of sockets are short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("a.jpg")
    return folder / "a.jpg"


def link(target, make=None):
    def maker(folder, monkeypatch):
        if make is not None:
            (folder / "behind").mkdir()
            make(folder / "behind", monkeypatch)
        (folder / "link.jpg").symlink_to(target)
        return folder / "link.jpg"

    return maker


def link_loop(folder, _):
    (folder / "a.jpg").symlink_to("b.jpg")
    (folder / "b.jpg").symlink_to("a.jpg")
    return folder / "a.jpg"


def vanished(folder, monkeypatch):
    path = saved("a.jpg", ROUGH)(folder, monkeypatch)
    (walked,) = walk_images(folder)
    path.unlink()
    return walked


def unreadable(number):
    """Opening fails as the system says it; the tests may run as root, who may read everything."""

    def make(folder, monkeypatch):
        def refuse(path, flags):
            raise OSError(number, os.strerror(number), path)

        monkeypatch.setattr("analysis.files.regular._open_at_once", refuse)
        return saved("a.jpg", ROUGH)(folder, monkeypatch)

    return make


def meanwhile(change):
    """The file changes between the first look at it and the end of reading."""

    def make(folder, monkeypatch):
        path = saved("a.png", ROUGH)(folder, monkeypatch)
        fstat = os.fstat
        lock = threading.Lock()

        def look(descriptor):
            with lock:
                status = fstat(descriptor)
                if os.path.samestat(status, os.stat(path)):
                    change(path)
                return status

        monkeypatch.setattr(pictures.os, "fstat", look)
        return path

    return make


def grow(path):
    with open(path, "ab") as file:
        file.write(b"more")


def shrink(path):
    os.truncate(path, path.stat().st_size - 10)


def rewrite(path):
    status = path.stat()
    path.write_bytes(path.read_bytes()[::-1])
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000_000))


def huge_file(folder, _):
    path = folder / "a.tif"
    path.write_bytes(b"II*\0")
    os.truncate(path, pictures.MAX_FILE_BYTES + 1)  # a hole: takes no room
    return path


def out_of_memory(folder, monkeypatch):
    def refuse(image):
        raise MemoryError

    monkeypatch.setattr(pictures, "_pixels", refuse)
    return saved("a.png", ROUGH)(folder, monkeypatch)


def with_value(value):
    pixels = FLOATS.copy()
    pixels[0, 0] = value
    return saved("a.tif", pixels)


CLEAR = np.where(np.arange(256) % 2, 255, 100).astype(np.uint8)[:, None]
GREY_ALPHA = np.stack([GREY, GREY, GREY, GREY[::-1]], axis=-1)
EIGHTH = np.full((8, 8), 0.2)
DEEP = RNG.integers(0, 65536, (6, 9, 3), dtype=np.uint16)
LINE = RNG.integers(0, 256, (1, 70_000), dtype=np.uint8)
BROKEN_EXIF = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\0"

USED = [
    Kind("PNG named .jpg", saved("a.jpg", RGB, format="PNG"), luminance(RGB)),
    Kind("JPEG named .png", saved("a.png", SMOOTH, format="JPEG"), SMOOTH / 255, 0.03),
    Kind("one bit", saved("a.png", GREY > 99), GREY > 99),
    Kind("16-bit grey PNG", saved("a.png", GREY16), luminance(GREY16)),
    Kind("16-bit grey TIFF", saved("a.tif", GREY16), luminance(GREY16)),
    Kind(
        "16-bit colour PNG",
        written("a.png", png(9, 6, rows_of(DEEP.astype(">u2")), 16, 2)),
        luminance((DEEP >> 8).astype(np.uint8)),
    ),
    Kind("float TIFF", saved("a.tif", FLOATS), FLOATS),
    Kind("CMYK JPEG", cmyk("a.jpg"), CMYK, 0.03),
    Kind("CMYK TIFF", cmyk("a.tif"), CMYK, 1e-6),
    Kind("LAB TIFF", saved("a.tif", Image.frombytes("LAB", (2, 1), b"\0\0\0\xff\0\0")), [[0, 1]], 1e-2),
    Kind("palette", palette_image(), luminance(PALETTE[GREY])),
    Kind(
        "palette with transparency",
        palette_image(transparency=CLEAR.tobytes()),
        luminance(np.concatenate([PALETTE, CLEAR], axis=1)[GREY]),
    ),
    Kind("grey with alpha", saved("a.png", GREY_ALPHA, "LA"), luminance(GREY_ALPHA)),
    Kind("animated PNG", frames("a.png"), EIGHTH, 1e-6),
    Kind("animated WebP", frames("a.webp", lossless=True), EIGHTH, 1e-6),
    Kind("TIFF of several pages", frames("a.tif"), EIGHTH, 1e-6),
    Kind("JPEG of several pictures (MPO)", frames("a.jpg", format="MPO"), EIGHTH, 1e-2),
    Kind("rotated by EXIF", rotated(RGB, "a.png"), luminance(np.rot90(RGB, -1))),
    Kind("EXIF orientation that does not exist", rotated(RGB, "a.png", 77), luminance(RGB)),
    Kind("broken EXIF", saved("a.jpg", SMOOTH, exif=BROKEN_EXIF), SMOOTH / 255, 0.03),
    Kind("broken colour profile", saved("a.png", RGB, icc_profile=b"no profile"), luminance(RGB)),
    Kind("progressive JPEG", saved("a.jpg", SMOOTH, progressive=True), SMOOTH / 255, 0.03),
    Kind("bytes after the end of a JPEG", saved("a.jpg", SMOOTH, after=lambda d: d + b"junk" * 99), SMOOTH / 255, 0.03),
    Kind("bytes after the end of a PNG", saved("a.png", RGB, after=lambda data: data + b"junk" * 99), luminance(RGB)),
    Kind("PNG without its end mark", written("a.png", png(9, 6, rows_of(GREY), end=False)), luminance(GREY)),
    Kind("1 x 1", saved("a.png", GREY[:1, :1]), luminance(GREY[:1, :1])),
    Kind("1 x 70000", saved("a.png", LINE), luminance(LINE)),
    Kind("70000 x 1", saved("a.tif", LINE.T.copy()), luminance(LINE.T)),
    Kind("name with a line break", saved("a\nb.png", RGB), luminance(RGB)),
    Kind("name that is not UTF-8", written(b"\xff\xfe.png", png(9, 6, rows_of(GREY))), luminance(GREY)),
    Kind("link to a picture", link("behind/a.png", saved("a.png", RGB)), luminance(RGB)),
]

SKIPPED = [
    Kind("empty", written("a.jpg", b""), reason="^the file is empty$"),
    Kind("truncated JPEG", saved("a.jpg", ROUGH, after=half), reason="truncated"),
    Kind("truncated PNG", saved("a.png", ROUGH, after=half), reason="truncated"),
    Kind("truncated WebP", saved("a.webp", ROUGH, after=half), reason="decoder"),
    Kind("truncated TIFF", saved("a.tif", ROUGH, after=half), reason="truncated"),
    Kind("truncated BMP", saved("a.bmp", ROUGH, after=half), reason="truncated"),
    Kind("JPEG of which only the start is left", written("a.jpg", b"\xff\xd8\xff\xe0"), reason=NO_IMAGE),
    Kind("PNG of which only the start is left", written("a.png", b"\x89PNG\r\n\x1a\n"), reason=NO_IMAGE),
    Kind("corrupted PNG data", saved("a.png", ROUGH, after=flip_in(b"IDAT")), reason="broken|corrupt|bad|checksum"),
    Kind("wrong PNG checksum", saved("a.png", ROUGH, after=wrong_checksum), reason=NO_IMAGE),
    Kind("PNG without pixels", written("a.png", png(0, 5, b"")), reason="."),
    Kind("text", written("a.jpg", b"hello, I am text\n"), reason=NO_IMAGE),
    Kind("web page", written("a.jpg", b"<!DOCTYPE html><title>404 Not Found</title>"), reason=NO_IMAGE),
    Kind("PostScript", written("a.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"), reason=NO_IMAGE),
    Kind("random bytes", written("a.jpg", RNG.bytes(4096)), reason=NO_IMAGE),
    Kind("GIF, animated or not", frames("a.png", format="GIF"), reason=NO_IMAGE),
    Kind("JPEG 2000", saved("a.jpg", ROUGH, format="JPEG2000"), reason=NO_IMAGE),
    Kind("decompression bomb", written("a.png", png(10_000, 10_000, b"")), reason="exceeds limit of 89478485 pixels"),
    Kind("large decompression bomb", written("a.png", png(60_000, 60_000, b"")), reason="exceeds limit of 178956970"),
    Kind(
        "text that inflates beyond measure",
        written("a.png", png(9, 6, rows_of(GREY), extra=[(b"zTXt", b"a\0\0" + zlib.compress(bytes(2**26)))])),
        reason="[Dd]ecompressed data too large",
    ),
    Kind("NaN in a float TIFF", with_value(np.nan), reason="NaN or infinite"),
    Kind("infinity in a float TIFF", with_value(-np.inf), reason="NaN or infinite"),
    Kind(
        "float TIFF with huge values",
        saved("a.tif", FLOATS * np.float32(1e30)),
        reason=r"reach .*e\+30.*at most 1e\+09",
    ),
    Kind("TIFF of thousands of channels", saved("a.tif", RGB, after=many_samples), reason="."),  # once logged to stderr
    Kind("signed 32-bit TIFF", saved("a.tif", GREY.astype(np.int32)), reason="no agreed white level"),
    Kind("folder named as a picture, as a source", folder_of_that_name, reason="^Is a directory$"),
    Kind("pipe, as a source", pipe, reason="not a regular file"),
    Kind("socket, as a source", listening, reason="No such device"),
    Kind("link to a pipe", link("behind/a.jpg", pipe), reason="not a regular file"),
    Kind("link to an endless device", link("/dev/zero"), reason="not a regular file"),
    Kind("link that leads nowhere", link("gone.jpg"), reason="^No such file or directory$"),
    Kind("links in a circle", link_loop, reason="^Too many levels of symbolic links$"),
    Kind("vanished after it was found", vanished, reason="^No such file or directory$"),
    Kind("no permission", unreadable(errno.EACCES), reason="^Permission denied$"),
    Kind("failing disk", unreadable(errno.EIO), reason="^Input/output error$"),
    Kind("name too long", lambda folder, _: folder / ("a" * 300 + ".jpg"), reason="^File name too long$"),
    Kind("name with a null", lambda folder, _: f"{folder}/a\0b.jpg", reason="null"),
    Kind("grows while it is read", meanwhile(grow), reason="^the file changed while it was read$"),
    Kind("shrinks while it is read", meanwhile(shrink), reason="^the file changed while it was read$"),
    Kind("is rewritten while it is read", meanwhile(rewrite), reason="^the file changed while it was read$"),
    Kind("larger than a gigabyte", huge_file, reason="1073741825 bytes; at most 1073741824"),
    Kind("more pixels than memory", out_of_memory, reason="^MemoryError$"),
]

KINDS = USED + SKIPPED


def descriptors():
    return sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else None


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
@pytest.mark.parametrize(("ahead", "size"), [(0, None), (4, None), (4, 16)])
def test_outcome(kind, ahead, size, tmp_path, monkeypatch, capfd):
    source = kind.make(tmp_path, monkeypatch)
    good = luminance(np.linspace(0, 1, 20).reshape(4, 5))
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a run, where what Pillow logs would be printed
    before = descriptors()
    with outcomes_ahead(enumerate([good, source, good]), size, False, ahead) as stream:
        (_, first), (_, found), (_, last) = stream
    skipped = [(found.name, found.reason)] if isinstance(found, pictures.ImageError) else []
    used = [] if skipped else [found]
    assert descriptors() == before
    assert (first.name, last.name) == ("array 0", "array 2")  # what is beside it is not touched
    if kind.reason is None:
        (picture,) = used
        assert skipped == [] and picture.name == pictures.printable(source)
        assert picture.pixels.dtype == np.float32 and len(picture.sha256) == 64
        if size is None:
            np.testing.assert_allclose(picture.pixels, np.asarray(kind.pixels, float), rtol=1e-7, atol=kind.atol)
        else:
            assert picture.pixels.shape == (size, size) and np.isfinite(picture.pixels).all()
    else:
        ((name, reason),) = skipped
        assert used == [] and name == pictures.printable(source)
        assert re.search(kind.reason, reason), reason
        assert reason.isprintable() and " at 0x" not in reason and str(tmp_path) not in reason
    assert capfd.readouterr() == ("", "")


def test_the_documented_outcomes_are_those_of_the_table():
    rows = re.findall(r"^\| (.+?) +\| (used|skipped|passed over)\b", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    documented = {name: outcome for name, outcome in rows if outcome != "passed over"}
    assert documented == {kind.name: kind.outcome for kind in KINDS}
    assert len(KINDS) == len(documented) >= 70


def test_a_file_that_changes_between_two_readings_is_used_as_it_is_each_time(tmp_path):
    path = tmp_path / "a.png"
    stream = load_pictures([path, path], None)
    digests = []
    for pixels in (GREY, GREY[::-1].copy()):
        Image.fromarray(pixels).save(path)
        picture = next(stream)
        np.testing.assert_array_equal(picture.pixels, luminance(pixels))
        digests.append(picture.sha256)
    assert digests[0] != digests[1]


def test_of_huge_pictures_one_is_in_work_at_a_time(tmp_path, monkeypatch):
    Image.fromarray(RGB).save(tmp_path / "a.png")
    at_work, most, met = 0, [], threading.Event()
    fit = pictures.fit

    def slow(picture, size):
        nonlocal at_work
        at_work += 1
        most.append(at_work)
        if at_work > 1:
            met.set()
        met.wait(60 if together else 0.01)  # for a second one, where there may be one
        at_work -= 1
        return fit(picture, size)

    monkeypatch.setattr(pictures, "fit", slow)
    monkeypatch.setattr("analysis.files.prefetch.get_num_threads", lambda: 4)
    for huge, together in ((RGB.size, True), (10, False)):
        monkeypatch.setattr(pictures, "HUGE", huge)
        most.clear()
        met.clear()
        with outcomes_ahead(enumerate([tmp_path / "a.png"] * 20), 4, True, 8) as stream:
            assert all((picture.pixels == 0).sum() < 48 for _, picture in stream)
        assert (max(most) > 1) == together


@pytest.mark.parametrize("huge", [1, 40, 50, 10**6])
def test_pictures_in_bands_are_the_same(monkeypatch, huge):
    monkeypatch.setattr(pictures, "HUGE", huge)
    for turn in (luminance, pictures.colours):
        for pixels in (RGB, GREY, GREY_ALPHA, GREY[:1]):
            np.testing.assert_array_equal(pictures._in_bands(turn, pixels), turn(pixels))


def test_memory_that_runs_out_in_the_resize_costs_one_picture(monkeypatch):
    def refuse(picture, size):
        raise MemoryError

    monkeypatch.setattr(pictures, "fit", refuse)
    skipped = []
    assert list(load_pictures([GREY], 4, on_skip=lambda *report: skipped.append(report))) == []
    assert skipped == [("array 0", "MemoryError")]


# ------------------------------------------------------------------ walking


def test_everything_in_a_folder_is_yielded_or_passed_over_as_documented(tmp_path, monkeypatch):
    yielded = set()
    for number, kind in enumerate(KINDS):
        if kind.name.startswith(("name too long", "name with a null", "no permission", "failing disk")):
            continue
        (tmp_path / f"{number}").mkdir()
        with monkeypatch.context() as patch:
            source = kind.make(tmp_path / f"{number}", patch)
        if not kind.name.endswith("as a source") and kind.name != "vanished after it was found":
            yielded.add(os.fsdecode(source))
    (tmp_path / "hidden").mkdir()
    for name in (".a.png", "a.gif", "a.txt", "png"):
        (tmp_path / "hidden" / name).write_bytes(b"x")
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    walked = set(walk_images(tmp_path))
    assert walked >= yielded
    beside = {os.path.relpath(path, tmp_path).split(os.sep, 1)[1] for path in walked - yielded}
    assert beside == {"b.jpg", "behind/a.png"}  # the other link of the circle, and what is behind a link
    skipped = []
    used = list(load_pictures(ImageFolder(tmp_path), 8, on_skip=lambda *report: skipped.append(report)))
    assert len(used) + len(skipped) == len(walked) == len(ImageFolder(tmp_path))


NAMES = ["a", "b", "a.png", "a-b.png", "a b", "a!", "a0.JPG", "é.bmp", "Z.webp", "日本.tif", "a\nb.png", "a\x01.png"]


def tree(root, odd=True):
    """Nested folders whose names sort on either side of those that they begin with."""
    for outer in ("", "a", "a-b", "a!", "a.png", "é", "0"):
        for inner in ("", "x", "x.y", "x-"):
            folder = root / f"in {outer}" / inner
            folder.mkdir(parents=True, exist_ok=True)
            for name in NAMES:
                (folder / f"{name}.png").touch()
    if odd:
        for name in (b"\xff.png", b"\xed\xa0\x80.png", b"\xc3.png", "\U0001f600.png".encode(), "\uffff.png".encode()):
            (Path(os.fsdecode(os.path.join(os.fsencode(root), name)))).touch()


@pytest.mark.parametrize("run", [1, 3, 20_000])
def test_order_is_that_of_the_parts(tmp_path, monkeypatch, run):
    monkeypatch.setattr(folders, "RUN", run)
    tree(tmp_path)
    walked = list(walk_images(tmp_path))
    assert len(walked) == 7 * 4 * len(NAMES) + 5
    assert [Path(path) for path in walked] == sorted(map(Path, walked), key=lambda path: path.parts)
    assert walked == [str(path) for path in find_images(tmp_path)]
    assert {Path(path) for path in walked} == {path for path in tmp_path.rglob("*") if path.is_file()}


def test_a_long_folder_is_walked_in_little_memory(tmp_path, monkeypatch):
    count = 4_000
    for number in np.random.default_rng(0).permutation(count):
        (tmp_path / f"photograph_{number:012d}.jpeg").touch()
    names = [f"photograph_{number:012d}.jpeg" for number in range(count)]

    def peak(paths):
        tracemalloc.start()
        try:
            for path, name in zip(paths(), names, strict=True):
                assert os.path.basename(path) == name
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    monkeypatch.setattr(folders, "RUN", 500)
    streamed = peak(lambda: walk_images(tmp_path))
    listed = peak(lambda: find_images(tmp_path))
    assert streamed < 60 * count < 150 * count < listed  # bytes; a name has 28


def test_names_of_other_folders_are_not_held(tmp_path):
    for outer in range(20):
        (tmp_path / f"{outer:03d}").mkdir()
        for inner in range(50):
            (tmp_path / f"{outer:03d}" / f"{'long' * 40}{inner:03d}.png").touch()
    tracemalloc.start()
    try:
        assert sum(1 for _ in walk_images(tmp_path)) == 1000
        assert tracemalloc.get_traced_memory()[1] < 60_000  # all names together take 160 kB
    finally:
        tracemalloc.stop()


def test_folders_deeper_than_calls_may_nest(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # a path from the root would be longer
    deep = os.path.join(*["d"] * 300)
    os.makedirs(deep)
    Path(deep, "a.png").touch()
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 150)
    try:
        walked = list(walk_images("."))
    finally:
        sys.setrecursionlimit(limit)
    assert walked == [os.path.join(".", deep, "a.png")]


def test_image_folder(tmp_path):
    tree(tmp_path)
    everything = list(walk_images(tmp_path))
    whole, some = ImageFolder(tmp_path), ImageFolder(os.fsencode(tmp_path), limit=np.int64(5))
    for _ in range(2):
        assert list(whole) == everything and len(whole) == len(everything)
        assert list(some) == everything[:5] and len(some) == 5
    again = pickle.loads(pickle.dumps(some))
    assert list(again) == everything[:5] and repr(again) == repr(some)
    assert len(ImageFolder(tmp_path, limit=10**9)) == len(everything)
    with pytest.raises(ValueError, match="limit must be a positive integer"):
        ImageFolder(tmp_path, limit=0)
    (tmp_path / "none").mkdir()
    nothing = ImageFolder(tmp_path / "none")
    for look in (len, list):
        with pytest.raises(ValueError, match=r"no images \(JPEG, .*\) found in .*none$"):
            look(nothing)


def test_walks_of_no_folder_fail_at_once(tmp_path):
    (tmp_path / "a.png").touch()
    for look in (walk_images, ImageFolder):
        with pytest.raises(FileNotFoundError, match="no such folder"):
            look(tmp_path / "gone")
        with pytest.raises(NotADirectoryError, match="not a folder"):
            look(tmp_path / "a.png")


def test_a_subfolder_that_vanishes_during_the_walk_is_reported(tmp_path):
    for name in ("a/a.png", "b/b.png", "c/c.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    walk = walk_images(tmp_path)
    assert next(walk).endswith("a.png")
    (tmp_path / "b" / "b.png").unlink()
    (tmp_path / "b").rmdir()
    with pytest.warns(UserWarning, match="skipped folder .*b: No such file"):
        assert next(walk).endswith("c.png")


def test_entries_that_the_folder_does_not_tell_apart_are_left_to_the_reader(tmp_path, monkeypatch):
    (tmp_path / "a.png").touch()

    class Entry:
        name, path = "a.png", str(tmp_path / "a.png")

        def is_file(self, follow_symlinks=True):
            raise PermissionError(errno.EACCES, "Permission denied")

    class Entries(list):
        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    monkeypatch.setattr(os, "scandir", lambda path: Entries([Entry()]))
    assert list(walk_images(tmp_path)) == [str(tmp_path / "a.png")]
