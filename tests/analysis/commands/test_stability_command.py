"""``shiftscope stability`` as a user meets it: files, summary, resuming, one-line errors."""

from __future__ import annotations

import os
import re
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

torch = pytest.importorskip("torch")

from analysis.networks.loading import load_network  # noqa: E402
from analysis.plots import accuracy_figure, shift_map_figure  # noqa: E402
from analysis.stability.experiment import NetworkStability, compare_remedies  # noqa: E402
from analysis.stability.labels import read_labels  # noqa: E402

SIZE, SHIFTS, CLASSES = 24, 3, 6

FILE = """
import torch
from torch import nn
from beside import LAYERS

def tiny():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 5), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Flatten(), nn.LazyLinear(6)
    )
    with torch.no_grad():
        model(torch.zeros(1, 3, 24, 24))
        model[0].weight -= model[0].weight.mean((1, 2, 3), keepdim=True)  # blind to the mean: its answers do flip
    return model

def pair():
    return tiny(), lambda x: 2 * x - 1

def strided():
    return nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.AdaptiveAvgPool2d(1), nn.Flatten())

def number():
    return 7

def triple():
    return 1, 2, 3

def bad_pair():
    return tiny(), 3

def broken():
    raise RuntimeError("no weights\\nhere")

def leaves():
    raise SystemExit(4)

def maps():
    return nn.Conv2d(3, 6, 3)

class Wrapped(nn.Module):
    def __init__(self, answer):
        super().__init__()
        self.model, self.answer = tiny(), answer

    def forward(self, x):
        return self.answer(self.model(x))

def pairs():
    return Wrapped(lambda y: (y, y))

def one_by_one():
    def answer(y):
        if len(y) > 1:
            raise RuntimeError("only one")
        return y
    return Wrapped(answer)

def late():
    return Wrapped(lambda y: {1: y, 2: y}[len(y) if len(y) < 3 else "five"])

def unprepared():
    return tiny(), lambda x: 1 // 0

constant = 3
"""


@pytest.fixture
def shiftscope(shiftscope):
    """Run one command of it."""
    return partial(shiftscope, "stability")


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A Python file with factories, and a module beside it that it imports."""
    (tmp_path / "beside.py").write_text("LAYERS = 3\n")
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    monkeypatch.delitem(sys.modules, "beside", raising=False)
    yield path
    sys.modules.pop("beside", None)


@pytest.fixture
def folder(tmp_path):
    """Five small pictures, one in a subfolder, and a broken one."""
    rng = np.random.default_rng(0)
    images = tmp_path / "images"
    (images / "sub").mkdir(parents=True)
    for name in ("b.png", "a.png", "c.png", "d.png", "sub/e.png"):
        Image.fromarray(rng.integers(0, 256, (30, 34, 3), dtype=np.uint8)).save(images / name)
    (images / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    return images


@pytest.fixture
def labels(tmp_path):
    path = tmp_path / "classes.csv"
    rows = [f"{i},x,{name}" for i, name in enumerate(("a.png", "b.png", "broken.jpg", "c.png", "d.png", "sub/e.png"))]
    path.write_text("\n".join(["Index,name,File", *rows]) + "\n")
    return path


@pytest.fixture
def common(file, folder, tmp_path):
    """Arguments of a short run."""
    return f"{file}:tiny", "--images", folder, "--size", SIZE, "--shifts", SHIFTS, "--out", tmp_path / "out"


def test_windows_of_pictures_that_go_around_are_said_in_table_and_page(shiftscope, common, tmp_path):
    code, _, errors = shiftscope(*common, "--windows", "circular", "--no-figures")
    assert code == 0, errors
    with xr.open_dataset(tmp_path / "out" / "stability.nc") as found:
        assert (found.attrs["windows"], found.attrs["side"]) == ("circular", SIZE)
    assert "true pixels" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    code, _, errors = shiftscope(*common, "--windows", "other")
    assert code == 2 and "circular" in errors


def test_writes_results_figures_and_a_summary(shiftscope, common, labels, tmp_path):
    remedies = ("blur3", "aps-l1", "cmod:0", "intrablock:0", "tlpf")
    chosen = [part for name in remedies for part in ("--remedy", name)]
    code, printed, errors = shiftscope(*common, "--labels", labels, *chosen, "--remedy", "blur3")
    assert code == 0, errors
    out = tmp_path / "out"
    figures = [f"{name}.png" for name in ("trade", "flips", "divergence", "accuracy")]
    others = ["report.html", "skipped.txt", "stability.csv", "stability.journal", "stability.nc", "stability.timing"]
    assert sorted(path.name for path in out.iterdir()) == sorted(figures + others)
    assert (out / "skipped.txt").read_text().startswith(str(tmp_path / "images" / "broken.jpg"))
    assert "1 of 6 images skipped" in errors

    rows = pd.read_csv(out / "stability.csv", index_col=0)
    assert rows.index.tolist() == ["plain", *remedies]
    with xr.open_dataset(out / "stability.nc") as ds:
        assert ds.remedy.values.tolist() == ["plain", *remedies]
        assert (ds.attrs["pictures"], ds.attrs["images_skipped_count"], ds.attrs["span"]) == (5, 1, SHIFTS)
        assert ds.attrs["network"] == "mine.py:tiny"
        assert {len(digest) for digest in ds.weights_sha256.values} == {64}
        assert ds.weights_sha256.sel(remedy="cmod:0") != ds.weights_sha256[0]
        assert "MaxPool2d" in ds.changes.sel(remedy="blur3").item() and ds.changes[0] == ""
        assert len(ds.attrs["images_sha256"]) == len(ds.attrs["labels_sha256"]) == 64
        np.testing.assert_allclose(rows.flips_1px, ds.flip_rate.sel(distance=1).mean("direction"), rtol=1e-5)
    assert all(name in printed for name in ("plain", *remedies, "flips avoided %", "time added %"))
    for name in figures:
        with Image.open(out / name) as figure:
            assert min(figure.size) > 300
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64,") == 2
    # Flips and divergence: a curve for each network, panel and figure, which its switch has the name of.
    for each in ("flips", "divergence"):
        for name in ("plain", *remedies):
            assert page.count(f'data-curve="{each}-{name}"') == 3 and page.count(f'value="{each}-{name}"') == 1
    assert not re.search(r"""(src|href)=["'](?!data:|#)""", page)  # nothing from elsewhere
    assert "intrablock:0: 1 layer<" in page and "top-1 %" in page
    assert all("order of memory" in text and re.search(r"channels (first|last) for ", text) for text in (page, printed))
    assert " ± " in page and "± is the standard error" in printed and "flips_1px_se" in rows


def test_numbers_are_those_of_the_library(shiftscope, file, folder, labels, tmp_path):
    out = tmp_path / "out"
    few = "--every", 2, "--limit", 2, "--side", 28, "--batch", 3, "--grid", "--ten-crop", "--quiet"
    args = (
        f"{file}:pair",
        "--images",
        folder,
        "--size",
        SIZE,
        "--shifts",
        SHIFTS,
        "--labels",
        labels,
        "--out",
        out,
        *few,
    )
    assert shiftscope(*args) == (0, "", "")
    model = load_network(f"{file}:tiny").model
    options = {"frames": "grid", "ten_crop": True, "preprocess": lambda x: 2 * x - 1, "progress": False, "side": 28}
    pictures = [folder / "a.png", folder / "broken.jpg"]
    feeding = {"on_skip": lambda *_: None}
    truth = read_labels(labels)
    expected = compare_remedies({"a": model}, pictures, truth, size=SIZE, span=SHIFTS, feeding=feeding, **options)
    with xr.open_dataset(out / "stability.nc") as ds:
        for name in ("accuracy", "flip_rate", "top1", "ten_top5", "divergence"):
            np.testing.assert_allclose(ds[name], expected[name], rtol=1e-4, atol=1e-6)
        five = xr.concat([ds.isel(remedy=0)] * 5, "remedy").assign_coords(remedy=list("abcde"))
        axes = [ax.get_title() for ax in shift_map_figure(five).axes]
    assert axes == [*"abcde", ""]  # the last is the scale
    assert (out / "map.png").exists()


@pytest.mark.usefixtures("empty_figures")
def test_ten_crops_are_not_cut_from_enlarged_pictures(shiftscope, file, folder, tmp_path, monkeypatch):
    sides = []

    def measured(self, pictures, names):
        sides.append(pictures.shape[-1])
        return measure(self, pictures, names)

    measure = NetworkStability.measure
    monkeypatch.setattr(NetworkStability, "measure", measured)
    args = f"{file}:tiny", "--images", folder, "--size", SIZE, "--shifts", 2, "--quiet", "--limit", 3, "--out"
    assert shiftscope(*args, tmp_path / "one")[0] == 0
    assert shiftscope(*args, tmp_path / "ten", "--ten-crop")[0] == 0
    assert shiftscope(*args, tmp_path / "side", "--ten-crop", "--side", 29)[0] == 0
    assert sides == [SIZE + 2, round(SIZE * 256 / 224), 29]


@pytest.mark.usefixtures("empty_figures")
def test_without_labels_there_is_no_accuracy(shiftscope, common, tmp_path):
    code, printed, _ = shiftscope(*common)
    assert code == 0
    assert "top-1" not in printed
    assert "top1" not in pd.read_csv(tmp_path / "out" / "stability.csv")
    assert not (tmp_path / "out" / "accuracy.png").exists()
    assert "top-1" not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    with xr.open_dataset(tmp_path / "out" / "stability.nc") as ds, pytest.raises(ValueError, match="without labels"):
        accuracy_figure(ds)


@pytest.mark.usefixtures("empty_figures")
def test_a_stopped_run_is_continued(shiftscope, common, tmp_path, monkeypatch):
    measure, calls = NetworkStability.measure, []

    def interrupted(self, *args):
        calls.append(self)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return measure(self, *args)

    monkeypatch.setattr(NetworkStability, "measure", interrupted)
    args = *common, "--remedy", "blur3", "--block", 2
    assert "nothing to resume" in said(shiftscope(*args, "--resume"))
    code, _, errors = shiftscope(*args)
    assert code == 130
    assert f"2 images are kept in {tmp_path / 'out' / 'stability.journal'}: run the same command again" in errors
    code, _, errors = shiftscope(*args, "--resume")
    assert code == 0 and "Continuing" in errors
    assert len(calls) == 2 + 2  # three blocks, one of them done before
    message = said(shiftscope(*common, "--remedy", "blur2", "--block", 2))
    assert "remedies is" in message and "blur3" in message and "blur2" in message and "--overwrite" in message
    assert shiftscope(*common, "--remedy", "blur2", "--overwrite", "--quiet")[0] == 0
    assert shiftscope(*common, "--remedy", "blur2", "--strict", "--quiet")[0] == 3


@pytest.mark.usefixtures("empty_figures")
def test_more_images_go_on_and_fewer_are_reported_alone(shiftscope, common, monkeypatch):
    measure, calls = NetworkStability.measure, []

    def counted(self, pictures, names):
        calls.append(len(pictures))
        return measure(self, pictures, names)

    monkeypatch.setattr(NetworkStability, "measure", counted)
    args = *common, "--block", 2, "--quiet"
    assert shiftscope(*args, "--limit", 2)[0] == 0
    assert shiftscope(*args)[0] == 0
    assert calls == [2, 1, 2]  # broken.jpg is the third of six


@pytest.mark.usefixtures("empty_figures")
def test_a_run_of_other_code_is_refused(shiftscope, common, file):
    args = f"{file}:pair", *common[1:], "--quiet"
    assert shiftscope(*args)[0] == 0
    file.write_text(FILE.replace("2 * x - 1", "2 * x - 1.5"))
    assert "code_sha256 is" in said(shiftscope(*args))
    file.write_text(FILE)
    assert shiftscope(*args)[0] == 0


FACTORIES = {
    "nothing": r"mine\.py: no function 'nothing'; it has tiny, pair, strided, number",
    "constant": r"mine\.py: no function 'constant'",
    "number": r"mine\.py: number\(\) returned int; expected a torch\.nn\.Module",
    "triple": r"mine\.py: triple\(\) returned tuple; expected",
    "bad_pair": r"mine\.py: bad_pair\(\) returned int to prepare pictures with",
    "broken": r"mine\.py: RuntimeError: no weights \(line 32\)",
    "leaves": r"mine\.py: SystemExit: 4 \(line 35\)",
    "maps": r"mine\.py:maps, plain: the model returns shape \(2, 6, 22, 22\); expected logits",
    "pairs": r"mine\.py:pairs, plain: the model returns tuple; expected a tensor of logits",
    "one_by_one": r"mine\.py:one_by_one, plain: the model fails on 2 pictures of 24×24 pixels: RuntimeError: only one",
    "late": r"mine\.py:late, plain: the model fails on a batch of shape \(16, 3, 24, 24\): KeyError: 'five'",
    "unprepared": r"mine\.py:unprepared, plain: the model fails on .*: ZeroDivisionError",
}


def said(result):
    """The last line of an error; all others are of the progress bar or of skipped images."""
    code, _, errors = result
    assert code == 2, errors
    assert "Traceback" not in errors
    return errors.strip().splitlines()[-1]


@pytest.mark.parametrize("factory", FACTORIES)
def test_factories_that_fail(shiftscope, common, file, factory):
    assert re.search(
        f"^shiftscope: .*{FACTORIES[factory]}", said(shiftscope(f"{file}:{factory}", *common[1:], "--quiet"))
    )


def test_files_that_fail(shiftscope, common, file, tmp_path):
    missing = tmp_path / "missing.py"
    assert said(shiftscope(f"{missing}:tiny", *common[1:])) == f"shiftscope: no such file: {missing}"
    assert said(shiftscope(file, *common[1:])).endswith("mine.py: which function? expected FILE.py:FACTORY")
    for text, message in (
        ("def (:", r"bad\.py: SyntaxError: .* \(line 1\)"),
        ("\nimport no_such_module_here", r"bad\.py: ModuleNotFoundError: No module named .* \(line 2\)"),
        ("{}['x']", r"bad\.py: KeyError: x \(line 1\)"),
    ):
        bad = tmp_path / "bad.py"
        bad.write_text(text)
        assert re.search(message, said(shiftscope(f"{bad}:tiny", *common[1:])))
    assert "loads its own" in said(shiftscope(*common, "--weights", "w.npz"))


REMEDIES = {
    "blurr3": r"unknown remedy 'blurr3' \(did you mean 'blur3'.*expected one of blur2, .*cmod",
    "blur3:9": r"remedy 'blur3:9': the model has no layer '9'; it has 0, 1, 2",
    "intrablock": r"remedy 'intrablock': no block .*; layers are named as in intrablock:LAYER,LAYER",
    "cmod:0,2": r"remedy 'cmod:0,2': cmod goes to one convolution",
    "cmod:1": r"remedy 'cmod:1': layer '1' is a ReLU",
}


@pytest.mark.parametrize("remedy", REMEDIES)
def test_remedies_that_cannot_be(shiftscope, common, remedy):
    assert re.search(REMEDIES[remedy], said(shiftscope(*common, "--remedy", remedy)))


def test_what_subsamples_is_named_where_there_is_no_pooling(shiftscope, common, file):
    message = said(shiftscope(f"{file}:strided", *common[1:], "--remedy", "blur3:pools"))
    assert message.endswith("subsample: 0 (Conv2d); layers are named as in blur3:LAYER,LAYER")


@pytest.mark.usefixtures("empty_figures")
def test_networks_by_name(shiftscope, common, tmp_path):
    args = common[1:]
    assert "unknown network 'resnet77' (did you mean 'resnet" in said(shiftscope("resnet77", *args))
    assert "alexnet needs its weights: --weights FILE" in said(shiftscope("alexnet", *args))
    assert "no such file" in said(shiftscope("vgg13", *args, "--weights", tmp_path / "none.pt"))


def test_other_bad_input(shiftscope, common, file, labels, tmp_path):
    for option in ("--limit", "--every", "--size", "--side", "--batch"):
        assert f"{option[2:]} is 0; expected at least 1" in said(shiftscope(*common, option, 0))
    for shifts in (0, 1):
        assert said(shiftscope(*common, "--shifts", shifts)) == f"shiftscope: shifts is {shifts}; expected at least 2"
    assert "the model fails on 2 pictures of 30×30 pixels" in said(shiftscope(*common, "--size", 30))
    for device in ("abacus", "meta"):
        assert f"torch cannot use the device '{device}'" in said(shiftscope(*common, "--device", device))
    assert "no such file of labels" in said(shiftscope(*common, "--labels", tmp_path / "none.csv"))
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "no images" in said(shiftscope(common[0], "--images", empty, *common[3:]))
    (empty / "a.png").write_bytes(b"nothing")
    message = said(shiftscope(common[0], "--images", empty, *common[3:], "--quiet"))
    assert "none of the 1 images could be used; for example a.png" in message
    labels.write_text("index,file\n9,a.png\n" + "".join(f"0,{n}\n" for n in ("b.png", "c.png", "d.png", "e.png")))
    assert "classes.csv has no class for broken.jpg" in said(shiftscope(*common, "--labels", labels))
    labels.write_text(labels.read_text() + "0,broken.jpg\n")
    assert "plain: label 9 of" in said(shiftscope(*common, "--labels", labels, "--quiet", "--overwrite"))


def test_labels_are_read(tmp_path):
    path = tmp_path / "labels.csv"
    path.write_text("﻿a.png,3\nsub/a.png,4\n\n", encoding="utf-8")
    found = read_labels(path, tmp_path)
    assert found.of(str(tmp_path / "a.png")) == 3
    assert found.of(str(tmp_path / "sub" / "a.png")) == 4
    assert found.of(str(tmp_path / "other" / "a.png")) == 3
    for text, message in (
        ("", "has no class for a.png"),
        ("one,two,three\n", "expected columns file and index"),
        ("file,index\na.png,x\n", "line 2: 'a.png,x'; expected a file name and a class index"),
        ("a.png,1\nb.png\n", "line 2: 'b.png'; expected"),
        ("file,index\na.png,1\nb.png,1\n a.png,2\n", "line 4: a.png has the class 2, and 1 in line 2"),
    ):
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_labels(path).of(str(tmp_path / "a.png"))
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"labels\.csv is not a CSV file"):
        read_labels(path)


def test_one_row_of_labels_is_for_one_picture(tmp_path):
    path, pictures = tmp_path / "labels.csv", [str(tmp_path / name) for name in ("a/1.png", "b/1.png", "2.png")]
    for text in ("a/1.png,0\nb/1.png,1\n2.png,1\n2.png,1\n", "a/1.png,0\n1.png,1\n2.png,1\n"):
        path.write_text(text)
        read_labels(path, tmp_path).check(pictures)
    path.write_text("1.png,0\n2.png,1\n")
    read_labels(path, tmp_path).check(pictures[1:])
    with pytest.raises(ValueError, match=r"one class for 1\.png, the name of .*a/1\.png and of .*b/1\.png"):
        read_labels(path, tmp_path).check(pictures)
    path.write_text("a/1.png,0\n2.png,1\n")
    with pytest.raises(ValueError, match=r"no class for b/1\.png"):
        read_labels(path, tmp_path).check(pictures)


def test_help_says_that_the_file_is_executed(shiftscope):
    code, printed, _ = shiftscope("--help")
    assert code == 0
    assert "IT IS EXECUTED" in " ".join(printed.split())


def test_published_forms_and_corruptions(shiftscope, file, folder, labels, tmp_path, monkeypatch, empty_figures):
    class Package:
        @staticmethod
        def corrupt(picture, severity, name, seed=None):
            return (picture // (severity + 1)).astype(np.uint8)

    for place in ("corruptions", "extras"):
        monkeypatch.setattr(f"analysis.stability.{place}.need_corruptions", lambda: Package)
    file.write_text(
        FILE + "\ndef any_size():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Conv2d(3, 6, 5, 2), nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())\n"
    )
    where = (f"{file}:any_size", "--images", folder, "--size", 32, "--shifts", 2)
    code, _, errors = shiftscope(
        *where, "--labels", labels, "--published", "--corruptions", "--remedy", "blur3", "--out", tmp_path / "out"
    )
    assert code == 0, errors
    rows = pd.read_csv(tmp_path / "out" / "stability.csv", index_col=0)
    assert {"consistency_offsets", "mfr_published", "mce"} & set(rows.columns) >= {"consistency_offsets"}
    with xr.open_dataset(tmp_path / "out" / "stability.nc", engine="h5netcdf") as found:
        assert found.corruption_error.shape == (2, 15, 5) and found.divergence_published.shape == (2, 3, 5)
        assert (found.divergence_published.isel(shift=0) == 0).all()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "Published form" in page and {"published.png", "corruptions.png"} <= set(os.listdir(tmp_path / "out"))
    code, _, errors = shiftscope(*where, "--corruptions", "--out", tmp_path / "other")
    assert code == 2 and "labels" in errors
    code, _, errors = shiftscope(f"{file}:pair", *where[1:], "--size", SIZE, "--published", "--out", tmp_path / "other")
    assert code == 2 and "mine.py:pair" in errors and errors.count("\n") == 1
