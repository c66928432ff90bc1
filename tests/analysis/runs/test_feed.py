"""Images fed to measurements: their names, and sums whose bits do not depend on who measured the blocks."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from analysis.runs.blocks import Work
from analysis.runs.feed import feed


class Sums:
    """Sum of pixels, and of a number that floating-point addition does not forget the order of."""

    length = 2

    def __init__(self):
        self.names = []

    def measure(self, pictures, names):
        self.names += names
        means = pictures.mean(axis=(1, 2), dtype=np.float64)
        return np.array([means.sum(), (10.0 ** (40 * means)).sum()]), pictures.reshape(len(pictures), -1).any(axis=1)


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(20):
        path = tmp_path / f"class{number % 2}" / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(1, 255, (8, 8), np.uint8)).save(path)
    (tmp_path / "class0" / "broken.png").write_bytes(b"")
    return tmp_path


def test_skipped_files_are_named_relative_to_the_root_that_is_given(folder):
    for root, name in ((None, "broken.png"), (folder, "class0/broken.png"), (folder.parent, f"{folder.name}/class0")):
        for images in (folder / "class0", str(folder / "class0")):
            _, attributes = feed(images, [Sums()], 8, progress=False, root=root)
            assert attributes["images_skipped"].startswith(f"{name}"), root


def test_a_measurement_is_given_the_names_of_the_pictures(folder):
    one = Sums()
    feed(folder / "class1", [one], 8, progress=False)
    assert one.names == [str(folder / "class1" / f"{number:02}.png") for number in range(1, 20, 2)]
    other = Sums()
    feed([np.ones((8, 8)), np.ones((8, 8))], [other], 8, progress=False)
    assert other.names == ["array 0", "array 1"]


@pytest.mark.parametrize("block", [1, 3, 128])
def test_sums_are_those_of_blocks_added_in_their_order(folder, block):
    class Backwards:
        """Yields the last block first, as a cluster may."""

        def described(self):
            return {"threads": 1, "workers": "backwards"}

        def __call__(self, numbered, work: Work, tick):
            yield from list(work.blocks(numbered, 0, tick))[::-1]

    sums, attributes = feed(folder, [Sums()], 8, progress=False, block=block)
    others, other = feed(folder, [Sums()], 8, progress=False, block=block, executor=Backwards())
    np.testing.assert_array_equal(sums, others)
    assert other["workers"] == "backwards" and attributes["workers"] == "none"
    for name in ("images_sha256", "inputs_sha256", "images_skipped", "images_used", "block"):
        assert attributes[name] == other[name]


def test_a_sum_of_blocks_is_a_block(folder):
    files = sorted(folder.rglob("*.png"))
    work = Work([Sums()], 8, False, 7)
    blocks = [block for _, block in work.blocks(enumerate(files), 0)]
    assert [block.inputs for block in blocks] == [7, 7, 7] and [block.blocks for block in blocks] == [1, 1, 1]
    (whole,) = (block for _, block in Work([Sums()], 8, False, 21).blocks(enumerate(files), 0))
    assert whole.digest == b"".join(block.digest for block in blocks) and whole.used == 20
    assert whole.skipped == [skipped for block in blocks for skipped in block.skipped]
