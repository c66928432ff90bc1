"""``shiftscope prescribe`` as a user meets it: files, the answer in words, one-line errors."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.kernels import gabor


@pytest.fixture
def weights(tmp_path):
    """Three gratings in grey, in a file."""
    waves = [[1, 0, 0.2, 1.6, 2, 2, 1.5, 1.5, 0], [1, 0, 1.3, 1.3, 2, 2, 1.5, 1.5, 0], [1, 1, 2, 0, 2, 2, 1.5, 1.5, 0]]
    np.save(tmp_path / "net.npy", np.stack([gabor(np.array(wave, float), (5, 5)) for wave in waves]))
    return tmp_path / "net.npy"


def test_answer_is_printed_and_files_are_written(shiftscope, weights, tmp_path):
    out = tmp_path / "out"
    options = ("--stride", 2, "--size", 64, "--fields", 2, "--target", 0.3, "--out", out)
    code, printed, _ = shiftscope("prescribe", weights, *options)
    assert code == 0 and "eta of the layer" in printed and "0.3" in printed
    assert {path.name for path in out.iterdir()} == {"prescribe.csv", "prescribe.nc", "front.png", "prescribe.html"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--target", "1e-9"), "best"),
        (("--pool", "1"), "no max pooling"),
        (("--activation", "gelu"), "gelu"),
        (("--spectrum", "measured"), "images"),
        (("--images", "nowhere"), "nowhere"),
        (("--size", "20"), "20"),
    ],
)
def test_errors_are_one_line(shiftscope, weights, tmp_path, options, words):
    small = () if "--size" in options else ("--size", 64)
    code, _, error = shiftscope(
        "prescribe", weights, "--stride", 2, "--fields", 2, *small, *options, "--quiet", "--out", tmp_path / "out"
    )
    assert code == 2 and words in error and error.count("\n") == 1


def test_stride_one(shiftscope, weights, tmp_path):
    code, _, error = shiftscope(
        "prescribe", weights, "--stride", 1, "--size", 64, "--fields", 2, "--quiet", "--out", tmp_path / "out"
    )
    assert code == 0 and not error


def test_without_figures_the_page_has_its_own(shiftscope, weights, tmp_path):
    out = tmp_path / "out"
    options = ("--stride", 2, "--size", 64, "--fields", 2, "--no-figures", "--quiet", "--out", out)
    assert shiftscope("prescribe", weights, *options) == (0, "", "")
    assert {path.name for path in out.iterdir()} == {"prescribe.csv", "prescribe.nc", "prescribe.html"}
