"""The command line as a user meets it: files, summary, one-line errors."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from analysis import cli, load


@pytest.fixture
def shiftscope(monkeypatch, capsys):
    """Run the command line in this process; return (exit code, standard output, standard error)."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["shiftscope", *map(str, arguments)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = stop.code or 0
        out = capsys.readouterr()
        return code, out.out, out.err

    return run


@pytest.fixture
def folder(tmp_path):
    """Three small pictures and a broken one."""
    rng = np.random.default_rng(0)
    images = tmp_path / "images"
    images.mkdir()
    for name in ("b.png", "a.jpg", "c.tif"):
        Image.fromarray(rng.integers(0, 256, (70, 90, 3), dtype=np.uint8)).save(images / name)
    (images / "broken.jpg").write_bytes(b"\xff\xd8 nothing")
    return images


def test_writes_results_figures_and_a_summary(shiftscope, folder, tmp_path):
    out = tmp_path / "deep" / "out"
    code, printed, errors = shiftscope(
        "heatmaps", "--images", folder, "--levels", 1, "--levels", 2, "--size", 64, "--shift", "0,1", "--out", out
    )
    assert code == 0
    assert sorted(path.name for path in out.iterdir()) == [
        *(f"heatmaps_J{levels}.{suffix}" for levels in (1, 2) for suffix in ("nc", "pdf", "png")),
        "skipped.txt",
    ]
    for levels in (1, 2):
        ds = load(out / f"heatmaps_J{levels}.nc")
        assert ds.levels == levels and ds.images_used == 3 and ds.sizes == {"filter": 2 * 4**levels, "shift": 1}
        assert ds.images_skipped.startswith("broken.jpg: ")
        with Image.open(out / f"heatmaps_J{levels}.png") as picture:
            assert min(picture.size) > 500
    assert "broken.jpg" in (out / "skipped.txt").read_text()
    assert "skipped" in errors and "heatmaps" in errors  # the message and the bar
    assert "3 images used, 1 skipped" in printed and "correlation of rho with gamma_1" in printed


def test_bundled_photographs_are_the_default(shiftscope, tmp_path):
    code, printed, errors = shiftscope("heatmaps", "--levels", 1, "--limit", 4, "--quiet", "--out", tmp_path)
    assert (code, printed, errors) == (0, "", "")
    assert load(tmp_path / "heatmaps_J1.nc").images_used == 4


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--levels", "0"], "levels is 0; expected 1 to 6"),
        (["--levels", "99"], "levels is 99"),
        (["--levels", "two"], "--levels"),
        (["--filters", "nope"], "unknown filters 'nope'"),
        (["--images", "{tmp}/missing"], "no such folder"),
        (["--images", "{tmp}"], "no images"),
        (["--images", "{tmp}/file"], "not a folder"),
        (["--shift", "1"], "expected DY,DX"),
        (["--shift", "a,b"], "expected DY,DX"),
        (["--shift", "0,nan"], "finite"),
        (["--shift", "0,400"], "leave windows of 0"),
        (["--size", "20"], "needs at least"),
        (["--limit", "0"], "limit"),
        (["--nonsense"], "--nonsense"),
        (["--out", "{tmp}/file/out"], "not a folder"),
    ],
)
def test_errors_are_one_line_and_exit_code_two(shiftscope, tmp_path, arguments, message):
    (tmp_path / "file").write_text("")
    arguments = [argument.format(tmp=tmp_path) for argument in arguments]
    code, printed, errors = shiftscope("heatmaps", "--out", tmp_path / "out", *arguments)
    assert code == 2 and printed == ""
    assert errors.startswith("shiftscope: ") and message in errors and errors.count("\n") == 1
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())


def test_a_folder_of_broken_images_is_an_error(shiftscope, tmp_path):
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "x.png").write_bytes(b"")
    code, _, errors = shiftscope("heatmaps", "--images", tmp_path / "images", "--quiet", "--out", tmp_path)
    assert code == 2 and "none of the 1 images could be used; for example x.png" in errors


def test_programming_errors_are_not_hidden(monkeypatch):
    def broken(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(cli, "app", broken)
    with pytest.raises(ZeroDivisionError):
        cli.main()


def test_an_interruption_ends_with_130(monkeypatch, capsys):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "app", interrupted)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 130 and capsys.readouterr().err == "shiftscope: interrupted\n"


def test_help_is_quick_and_names_every_option():
    result = subprocess.run(
        [sys.executable, "-m", "analysis.cli", "heatmaps", "--help"], capture_output=True, text=True, check=True
    )
    for option in ("--images", "--levels", "--filters", "--shift", "--limit", "--out", "--size", "--quiet"):
        assert option in result.stdout
