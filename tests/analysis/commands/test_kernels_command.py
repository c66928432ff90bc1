"""``shiftscope kernels`` as a user meets it: files, summary, one-line errors."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from analysis import load
from analysis.kernels import gabor
from analysis.kernels.known_networks import NETWORKS

FILES = sorted(
    [
        *("kernels.nc", "kernels.csv", "kernels.journal", "report.html"),
        *(f"{name}.png" for name in ("mosaic", "fourier", "why", "plane", "predicted", "ranking")),
    ]
)


def kernels():
    """Three gratings, a blob of opponent colours (1) and a dead kernel (2)."""
    waves = [
        ((0.6, 0.6, 0.5), [1, 0.3, 0.5, 1.6, 3, 3, 1.7, 1.7, 0]),
        ((1.0, 0.1, -1.0), [1, 0, 0, 0, 3, 3, 1.2, 1.2, 0]),
        ((1.0, 0.0, 0.0), [0, 0, 0, 0, 3, 3, 1, 1, 0]),
        ((0.6, -0.6, 0.1), [3, 1, -1.2, 1.2, 3, 3, 1.7, 1.7, 0]),
        ((0.2, 0.1, 1.0), [1, 1, 1.9, 0.2, 3, 3, 1.7, 1.7, 0]),
    ]
    return np.stack([np.multiply.outer(colour, gabor(wave, (7, 7))) for colour, wave in waves])


@pytest.fixture
def images(tmp_path):
    """Three small pictures."""
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in ("b.png", "a.png", "c.png"):
        Image.fromarray(rng.integers(0, 256, (64, 70, 3), dtype=np.uint8)).save(folder / name)
    return folder


@pytest.fixture
def weights(tmp_path):
    """A file of weights, and beside it others that cannot be used."""
    w = kernels()
    np.savez(tmp_path / "net.npz", **{"features.weight": w.astype(np.float32)})
    np.savez(tmp_path / "two.npz", **{"features.weight": w.astype(np.float32), "other.weight": w[:2, :, :3, :3]})
    np.savez(tmp_path / "eight.npz", weight=np.ones((4, 8, 3, 3)))
    np.savez(tmp_path / "nan.npz", weight=np.where(w == w.max(), np.nan, w))
    np.savez(tmp_path / "zero.npz", weight=np.zeros((4, 3, 7, 7)))
    np.savez(tmp_path / "flat.npz", weight=np.ones((4, 9)))
    (tmp_path / "text.npz").write_text("not weights\nat all\n")
    (tmp_path / "text.pth").write_text("not weights\nat all\n")
    (tmp_path / "weights.onnx").write_bytes(b"\x08\x07")
    (tmp_path / "empty").mkdir()
    return tmp_path / "net.npz"


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    assert plt.get_fignums() == []


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def check_refused(result, out, *messages):
    """Exit code 2, one line on standard error that says so much, nothing written; at most the weight has been named."""
    code, printed, errors = result
    assert code == 2 and all(".npz: " in line for line in printed.splitlines())
    assert errors.startswith("shiftscope: ") and errors.count("\n") == 1 and "Traceback" not in errors
    for message in messages:
        assert message in errors
    assert not out.exists() or not list(out.iterdir())


# --- runs ------------------------------------------------------------------------------------------------------------


def test_writes_results_and_a_summary_and_replaces_older_results(shiftscope, weights, images, tmp_path):
    out = tmp_path / "deep" / "out"
    arguments = ("kernels", weights, "--stride", 2, "--images", images, "--size", 64, "--out", out)
    (images / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    code, printed, errors = shiftscope(*arguments, "--name", "first", "--shift", "0,1")
    assert code == 0 and names(out) == sorted([*FILES, "skipped.txt"])
    (line,) = (out / "skipped.txt").read_text().splitlines()
    assert "broken.jpg: " in line and "skipped" in errors and "broken.jpg" in errors
    assert "Traceback" not in errors and "kernels: 100%" in errors  # the bar
    first = load(out / "kernels.nc")
    assert (first.images_used, first.images_skipped_count, first.stride, first.layer) == (3, 1, 2, "first")
    assert first.images_skipped.startswith("broken.jpg: ") and first.sizes["kernel"] == 5
    assert "3 images used, 1 skipped" in printed and "first: 3 band-pass, 1 blob, 1 dead" in printed
    assert "dead kernels, left out: 2\n" in printed
    lines = printed.splitlines()
    head = next(i for i, text in enumerate(lines) if text.split()[:2] == ["kernel", "kind"])
    jumpiest = [int(text.split()[0]) for text in lines[head + 1 : head + 5]]
    assert jumpiest == np.argsort(-first.share_of_change.fillna(-1).values)[:4].tolist()
    assert lines[head + 5] == "" and "ank correlation" in lines[head + 6]
    assert str(out) in lines[-1]

    (images / "broken.jpg").unlink()
    code, printed, errors = shiftscope(*arguments)
    assert code == 2 and "shifts is [[0.0, 1.0]] there and [[0.0, 1.0], [1.0, 0.0]] here" in errors
    code, printed, _ = shiftscope(*arguments, "--overwrite")
    assert code == 0 and names(out) == FILES  # and the list of skipped files is gone
    second = load(out / "kernels.nc")
    assert (second.images_used, second.images_skipped_count, second.layer) == (3, 0, "net")
    assert second.sizes["shift"] == 2 and second.parameter == "features.weight" and second.origin == "net.npz"
    assert "3 images used, 0 skipped" in printed
    assert "<h1>net: " in (out / "report.html").read_text(encoding="utf-8")
    page = out / "again.html"
    assert shiftscope("report", out / "kernels.nc", "--to", page, "--weights", weights, "--no-figures") == (
        0,
        f"{page}\n",
        "",
    )
    assert "<h1>net: " in page.read_text(encoding="utf-8")
    code, _, errors = shiftscope("report", out / "kernels.csv", "--to", page)
    assert code == 2 and errors.startswith("shiftscope: ") and errors.count("\n") == 1
    page.unlink()
    frame = pd.read_csv(out / "kernels.csv")
    assert {"eta_rmax(0,1)", "eta_rmax(1,0)"} <= set(frame) and len(frame) == 5


@pytest.mark.usefixtures("empty_figures")
def test_quiet_is_quiet_and_a_broken_image_is_named_in_a_file(shiftscope, weights, images, tmp_path):
    (images / "broken.png").write_bytes((images / "a.png").read_bytes()[:200])
    out = tmp_path / "out"
    options = ("--stride", 2, "--size", 64, "--images", images, "--quiet")
    assert shiftscope("kernels", "--out", out, *options, weights) == (0, "", "")
    assert names(out) == sorted([*FILES, "skipped.txt"])
    assert "broken.png: " in (out / "skipped.txt").read_text()
    assert load(out / "kernels.nc").images_used == 3


@pytest.mark.usefixtures("empty_figures")
def test_bundled_photographs_are_the_default(shiftscope, tmp_path):
    grey = tmp_path / "grey.npy"
    np.save(grey, kernels()[[0, 3, 4], 0])
    options = ("--like", "resnet18", "--pool", 5, "--std", "0.3", "--size", 64, "--limit", 2, "--quiet")
    assert shiftscope("kernels", grey, *options, "--out", tmp_path / "out") == (0, "", "")
    found = load(tmp_path / "out" / "kernels.nc")
    assert (found.images_used, found.stride, found.padding, found.pool, found.q) == (2, 2, 3, 5, 2)
    np.testing.assert_allclose(
        [*np.ravel(found.attrs["mean"]), *np.ravel(found.attrs["std"])], [(0.485 + 0.456 + 0.406) / 3, 0.3]
    )


def test_a_weight_can_be_named_and_its_channels_reversed(shiftscope, weights, images, tmp_path, monkeypatch):
    seen = []

    def stop(layer, *_, **__):
        seen.append(layer)
        raise ValueError("seen enough")

    monkeypatch.setattr("analysis.reports.kernels.kernel_table", stop)
    options = ("--weight", "other.weight", "--channels", "BGR", "--stride", 3, "--padding", 1, "--pool-padding", 1)
    normalised = ("--mean", "0.1,0.2,0.3", "--std", "1,2,3")
    result = shiftscope(
        "kernels", weights.with_name("two.npz"), *options, *normalised, "--images", images, "--out", tmp_path / "out"
    )
    check_refused(result, tmp_path / "out", "seen enough")
    (layer,) = seen
    np.testing.assert_array_equal(layer.weight, kernels()[:2, ::-1, :3, :3])
    assert (layer.stride, layer.padding, layer.pool, layer.pool_padding) == (3, 1, 3, 1)
    assert layer.mean == (0.1, 0.2, 0.3) and layer.std == (1, 2, 3)


@pytest.mark.slow
@pytest.mark.usefixtures("empty_figures")
def test_one_file_that_cannot_be_written_costs_no_other(shiftscope, weights, images, tmp_path):
    out = tmp_path / "out"
    (out / "kernels.nc").mkdir(parents=True)
    options = ("--stride", 2, "--size", 64, "--images", images, "--limit", 1, "--quiet")
    code, _, errors = shiftscope("kernels", weights, *options, "--out", out)
    assert code == 2 and errors.startswith(f"shiftscope: cannot write {out / 'kernels.nc'}: ")
    assert errors.count("\n") == 1 and names(out) == FILES
    assert (out / "report.html").is_file() and len(pd.read_csv(out / "kernels.csv")) == 5


@pytest.mark.usefixtures("empty_figures")
def test_a_layer_without_a_band_pass_kernel(shiftscope, images, tmp_path):
    np.savez(tmp_path / "blob.npz", weight=kernels()[[1, 2]])
    options = ("--stride", 2, "--size", 64, "--images", images, "--limit", 1)
    code, printed, errors = shiftscope("kernels", tmp_path / "blob.npz", *options, "--out", tmp_path / "out")
    assert code == 0 and names(tmp_path / "out") == FILES and "Warning" not in errors
    assert "blob: 1 blob, 1 dead" in printed and "0 band-pass kernels" in printed and " nan" not in printed


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "arguments", "messages"),
    [
        ("nosuchnet", [], ["unknown network 'nosuchnet'", *NETWORKS]),
        ("{tmp}/missing.npz", [], ["no such file", "missing.npz"]),
        ("missing.pth", [], ["no such file: missing.pth"]),
        ("{tmp}/empty", [], ["empty"]),
        ("{tmp}/weights.onnx", [], ["weights.onnx", ".safetensors"]),
        ("{tmp}/text.npz", [], ["text.npz", "not a file of numpy arrays"]),
        ("{tmp}/flat.npz", [], ["flat.npz: no 4-D array", "(4, 9)"]),
        ("{tmp}/eight.npz", [], ["eight.npz", "8 input channels", "(4, 8, 3, 3)"]),
        ("{tmp}/nan.npz", [], ["nan.npz", "NaN"]),
        ("{tmp}/zero.npz", [], ["zero.npz", "zero everywhere"]),
        ("{tmp}/two.npz", ["--weight", "nosuch"], ["no 4-D weights are named 'nosuch'", "'features.weight'"]),
        ("{tmp}/net.npz", ["--pool", "2"], ["pool is 2; expected an odd side"]),
        ("{tmp}/net.npz", ["--pool-padding", "2"], ["pool_padding is 2"]),
        ("{tmp}/net.npz", ["--stride", "0"], ["stride is 0; expected at least 1"]),
        ("{tmp}/net.npz", ["--stride", "two"], ["--stride"]),
        ("{tmp}/net.npz", ["--mean", "a,b,c"], ["mean is 'a,b,c'; expected numbers"]),
        ("{tmp}/net.npz", ["--mean", ""], ["mean is ''; expected numbers"]),
        ("{tmp}/net.npz", ["--mean", "0.5,0.5"], ["mean is (0.5, 0.5); expected 3"]),
        ("{tmp}/net.npz", ["--std", "1,0,1"], ["std is (1.0, 0.0, 1.0); expected positive"]),
        ("{tmp}/net.npz", ["--channels", "XYZ"], ["channels is 'XYZ'; expected 'RGB' or 'BGR'"]),
        ("{tmp}/net.npz", ["--like", "nosuch"], ["unknown network 'nosuch'", *NETWORKS]),
        ("{tmp}/net.npz", ["--images", "{tmp}/missing"], ["no such folder"]),
        ("{tmp}/net.npz", ["--images", "{tmp}/empty"], ["no images"]),
        ("{tmp}/net.npz", ["--images", "{tmp}/text.npz"], ["not a folder"]),
        ("{tmp}/net.npz", ["--size", "16"], ["too small", "at least 34"]),
        ("{tmp}/net.npz", ["--limit", "0"], ["limit is 0; expected at least 1"]),
        ("{tmp}/net.npz", ["--shift", "1"], ["expected DY,DX"]),
        ("{tmp}/net.npz", ["--shift", "0,nan"], ["finite"]),
        ("{tmp}/net.npz", ["--shift", "0,60"], ["too small"]),
        ("{tmp}/net.npz", ["--nonsense"], ["--nonsense"]),
        ("{tmp}/net.npz", ["{tmp}/net.npz"], ["net.npz"]),
    ],
)
def test_errors_are_one_line_and_exit_code_two(
    shiftscope, weights, images, tmp_path, monkeypatch, source, arguments, messages
):
    monkeypatch.chdir(tmp_path / "empty")
    out = tmp_path / "out"
    given = [source, "--stride", "2", "--images", str(images), "--size", "64", "--quiet", *arguments]
    check_refused(shiftscope("kernels", "--out", out, *(g.format(tmp=tmp_path) for g in given)), out, *messages)


def test_a_file_needs_a_stride(shiftscope, weights, images, tmp_path):
    result = shiftscope("kernels", weights, "--images", images, "--out", tmp_path / "out")
    check_refused(result, tmp_path / "out", "net.npz: the stride is not in the file", "--stride", "like")


def test_the_folder_for_results_is_needed_and_must_be_one(shiftscope, weights, images, tmp_path):
    check_refused(shiftscope("kernels", weights, "--stride", 2), tmp_path / "out", "--out")
    (tmp_path / "file").write_text("kept")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        result = shiftscope("kernels", weights, "--stride", 2, "--images", images, "--size", 64, "--out", out)
        assert result[0] == 2 and all(".npz: " in line for line in result[1].splitlines())
        assert result[2] == f"shiftscope: cannot write results to {out}: it is not a folder\n"
    assert (tmp_path / "file").read_text() == "kept"


def test_a_folder_of_broken_images_is_an_error(shiftscope, weights, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x.png").write_bytes(b"")
    options = ("--stride", 2, "--images", tmp_path / "images", "--quiet", "--out", tmp_path / "out")
    result = shiftscope("kernels", weights, *options)
    code, printed, errors = result
    assert (code, printed) == (2, "")
    assert errors == "shiftscope: none of the 1 images could be used; for example x.png: the file is empty\n"
    assert names(tmp_path / "out") == ["kernels.journal"]  # which says so of this file, until it is another one


def test_an_error_leaves_older_results_alone(shiftscope, weights, images, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "kernels.csv").write_text("older")
    options = ("--stride", 2, "--images", images, "--size", 16, "--quiet", "--out", out)
    assert shiftscope("kernels", weights, *options)[0] == 2
    assert names(out) == ["kernels.csv"] and (out / "kernels.csv").read_text() == "older"


class Malicious:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def trap(tmp_path):
    """A thing that must not be unpickled, and proof that it could be."""
    trap = Malicious(tmp_path / "proof")
    pickle.loads(pickle.dumps(trap))
    (tmp_path / "proof").rmdir()
    return trap


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_no_code_in_a_numpy_file_is_run(shiftscope, images, trap, tmp_path, suffix):
    array = np.empty((1, 3, 3, 3), dtype=object)
    array[...] = trap
    path = tmp_path / f"evil{suffix}"
    (np.save if suffix == ".npy" else np.savez)(path, array)
    bare = tmp_path / f"bare{suffix}"
    bare.write_bytes(pickle.dumps(trap))
    for source in (path, bare):
        result = shiftscope("kernels", source, "--stride", 2, "--images", images, "--out", tmp_path / "out")
        check_refused(result, tmp_path / "out", source.name)
    assert not Path(trap.path).exists()


@pytest.mark.parametrize("protocol", [2, 4])
def test_no_code_in_a_checkpoint_is_run(shiftscope, images, trap, tmp_path, protocol):
    torch = pytest.importorskip("torch")
    path = tmp_path / "evil.pth"
    torch.save({"conv1.weight": torch.ones(4, 3, 3, 3), "epoch": trap}, path, pickle_protocol=protocol)
    bare = tmp_path / "bare.ckpt"
    bare.write_bytes(pickle.dumps({"conv1.weight": trap}, protocol=protocol))
    for source in (path, bare):
        result = shiftscope("kernels", source, "--stride", 2, "--images", images, "--out", tmp_path / "out")
        check_refused(result, tmp_path / "out", source.name, "refused", "asks for code to be run")
    assert not Path(trap.path).exists()


def test_text_is_no_checkpoint(shiftscope, weights, images, tmp_path):
    pytest.importorskip("torch")
    result = shiftscope("kernels", tmp_path / "text.pth", "--stride", 2, "--images", images, "--out", tmp_path / "out")
    check_refused(result, tmp_path / "out", "text.pth: not a checkpoint that can be read")
