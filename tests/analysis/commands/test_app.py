"""The command line as a user meets it: files, summary, one-line errors."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from analysis import compare, load
from analysis.commands import app
from analysis.measurements.shift_experiment import ShiftExperiment
from analysis.runs.journal import Journal


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
        "heatmaps.journal",
        *(f"heatmaps_J{levels}.{suffix}" for levels in (1, 2) for suffix in ("nc", "pdf", "png")),
        "report.html",
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
    assert f"shiftscope: warning: 1 of 4 images skipped, see {out / 'skipped.txt'}\n" in errors
    assert "3 images used, 1 skipped" in printed and "correlation of rho with gamma_1" in printed


@pytest.mark.usefixtures("empty_figures")
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

    monkeypatch.setattr(app, "application", lambda: broken)
    with pytest.raises(ZeroDivisionError):
        app.main()


def test_an_interruption_ends_with_130(shiftscope, monkeypatch, tmp_path):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("analysis.reports.heatmaps.run", interrupted)
    code, _, errors = shiftscope("heatmaps", "--levels", 1, "--quiet", "--out", tmp_path)
    assert code == 130 and errors == "shiftscope: interrupted\n"


# Tells of every block that is kept, and waits for the signal at the fourth of eight.
WATCHED = """
import sys, time
from analysis.commands import app
from analysis.runs.journal import Journal

append = Journal.append

def watched(self, key, result):
    append(self, key, result)
    print(self.inputs, flush=True)
    if self.inputs >= 64:
        time.sleep(60)

Journal.append = watched
app.main()
"""


@pytest.mark.slow
@pytest.mark.usefixtures("empty_figures")
def test_a_real_interrupt_signal_is_heard(shiftscope, folder, tmp_path):
    for copy in range(124):
        (folder / f"copy{copy}.png").write_bytes((folder / "b.png").read_bytes())
    arguments = ["heatmaps", "--images", folder, "--size", "64", "--levels", "1", "--block", "16"]
    arguments += ["--out", tmp_path / "out"]
    process = subprocess.Popen(
        [sys.executable, "-c", WATCHED, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # whatever is set here
    )
    assert process.stdout.readline() == "16\n"
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130 and errors.endswith("shiftscope: interrupted\n")
    done = re.search(r"(\d+) images are kept in .*heatmaps.journal: run the same command again to continue", errors)
    assert done and int(done[1]) in (16, 32, 48, 64)
    code, _, errors = shiftscope(*arguments)
    # one block more if the signal came while it was being recorded
    assert code == 0 and int(re.search(r"which has (\d+) images", errors)[1]) - int(done[1]) in (0, 16)


@pytest.mark.slow
@pytest.mark.usefixtures("empty_figures")
def test_one_file_that_cannot_be_written_costs_no_other(shiftscope, folder, tmp_path):
    out = tmp_path / "out"
    (out / "heatmaps_J1.nc").mkdir(parents=True)
    code, printed, errors = shiftscope(
        "heatmaps", "--images", folder, "--levels", 1, "--levels", 2, "--size", 64, "--out", out
    )
    assert code == 2 and errors.splitlines()[-1].startswith(f"shiftscope: cannot write {out / 'heatmaps_J1.nc'}: ")
    assert load(out / "heatmaps_J2.nc").images_used == 3
    assert (out / "heatmaps_J1.png").is_file() and "3 images used" in printed
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


@pytest.mark.slow
@pytest.mark.usefixtures("empty_figures")
def test_a_finished_run_is_not_measured_again_unless_that_is_asked_for(shiftscope, folder, tmp_path, monkeypatch):
    out = tmp_path / "out"
    arguments = ["heatmaps", "--images", folder, "--levels", 1, "--size", 64, "--out", out]
    assert shiftscope(*arguments)[0] == 0
    first = load(out / "heatmaps_J1.nc")
    measure = ShiftExperiment.measure
    seen = []

    def watched(self, pictures, names):
        seen.append(len(pictures))
        return measure(self, pictures, names)

    monkeypatch.setattr(ShiftExperiment, "measure", watched)
    code, printed, errors = shiftscope(*arguments, "--resume")
    assert code == 0 and not seen and "3 images used, 1 skipped" in printed
    assert f"Continuing {out / 'heatmaps.journal'}, which has 4 images." in errors
    assert load(out / "heatmaps_J1.nc").rho.identical(first.rho)
    code, printed, errors = shiftscope(*arguments, "--filters", "cf_2_4")
    assert (code, printed) == (2, "") and errors.count("\n") == 1
    assert 'filters is "cf_3_3" there and "cf_2_4" here' in errors and "use --overwrite to begin anew" in errors
    assert load(out / "heatmaps_J1.nc").identical(load(out / "heatmaps_J1.nc")) and not seen
    assert shiftscope(*arguments, "--filters", "cf_2_4", "--overwrite")[0] == 0 and sum(seen) == 3
    assert load(out / "heatmaps_J1.nc").filters == "cf_2_4"
    (out / "heatmaps.journal").unlink()
    assert "of another run; use --overwrite" in shiftscope(*arguments)[2]


@pytest.mark.slow
@pytest.mark.usefixtures("empty_figures")
@pytest.mark.parametrize("command", ["heatmaps", "kernels"])
def test_two_spellings_of_a_folder_are_one_run(shiftscope, folder, tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    (folder / "sub").mkdir()
    (folder / "broken.jpg").rename(folder / "sub" / "broken.jpg")
    np.save(tmp_path / "layer.npy", np.random.default_rng(0).normal(size=(2, 3, 5, 5)))
    what = ["heatmaps", "--levels", 1] if command == "heatmaps" else ["kernels", tmp_path / "layer.npy", "--stride", 2]
    options = ["--size", 64, "--block", 2]
    name = "heatmaps_J1.nc" if command == "heatmaps" else "kernels.nc"
    assert shiftscope(*what, "--images", "images", *options, "--out", "out", "--quiet")[0] == 0
    first = load("out/" + name)
    code, _, errors = shiftscope(*what, "--images", folder / "sub" / "..", *options, "--out", tmp_path / "out")
    assert code == 0 and "which has 4 images" in errors
    again = load("out/" + name)
    assert first.images_skipped.startswith("sub/broken.jpg: ") and again.images_skipped == first.images_skipped
    assert compare(first, again).agree


@pytest.mark.slow
@pytest.mark.usefixtures("empty_figures")
def test_a_folder_that_changes_during_the_run(shiftscope, folder, tmp_path, monkeypatch):
    """Files that come are measured if the walk still gets to them, files that go are skipped; nothing is mixed up."""
    for number in range(40):
        (folder / f"z{number:02}.png").write_bytes((folder / "b.png").read_bytes())
    (folder / "sub").mkdir()
    (folder / "sub" / "last.png").write_bytes((folder / "b.png").read_bytes())
    (folder / "z99.png").write_bytes((folder / "b.png").read_bytes())
    arguments = ["heatmaps", "--images", folder, "--levels", 1, "--size", 64, "--block", 4, "--out", tmp_path / "out"]
    append, done = Journal.append, []

    def watched(self, key, result):
        append(self, key, result)
        if not done:
            done.append(True)
            (folder / "sub" / "new.png").write_bytes((folder / "b.png").read_bytes())
            (folder / "z99.png").unlink()
            (folder / "a.jpg").unlink()

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "append", watched)
        code, _, errors = shiftscope(*arguments)
    assert code == 0 and "Traceback" not in errors
    ds = load(tmp_path / "out" / "heatmaps_J1.nc")
    listed = set(ds.images_skipped.splitlines())
    assert "z99.png: No such file or directory" in listed and len(listed) == 2
    assert ds.images_used == 44 + ("new.png" not in ds.images_skipped and ds.images_used == 45)
    code, _, errors = shiftscope(*arguments)  # the folder as it is now: one gone, another gone, one new
    fresh = shiftscope(*arguments[:-1], tmp_path / "fresh")
    assert code == fresh[0] == 0
    assert compare(tmp_path / "out" / "heatmaps_J1.nc", tmp_path / "fresh" / "heatmaps_J1.nc").agree


@pytest.mark.slow
@pytest.mark.usefixtures("empty_figures")
def test_a_run_in_two_processes_is_the_same(shiftscope, folder, tmp_path):
    pytest.importorskip("distributed")
    arguments = ["heatmaps", "--images", folder, "--levels", 1, "--size", 64, "--block", 1, "--out"]
    assert shiftscope(*arguments, tmp_path / "here")[0] == 0
    code, _, errors = shiftscope(*arguments, tmp_path / "there", "--workers", 2)
    assert code == 0 and "4/4" in errors and "Traceback" not in errors
    found = compare(tmp_path / "here" / "heatmaps_J1.nc", tmp_path / "there" / "heatmaps_J1.nc")
    assert found.agree and load(tmp_path / "there" / "heatmaps_J1.nc").workers == "dask.distributed"


@pytest.mark.slow
@pytest.mark.usefixtures("empty_figures")
def test_a_cluster_that_is_not_there_costs_no_journal(shiftscope, folder, tmp_path):
    pytest.importorskip("distributed")
    arguments = ["heatmaps", "--images", folder, "--levels", 1, "--size", 64, "--quiet", "--out", tmp_path / "out"]
    assert shiftscope(*arguments)[0] == 0
    kept = (tmp_path / "out" / "heatmaps.journal").read_bytes()
    code, _, errors = shiftscope(*arguments, "--overwrite", "--scheduler", "nonsense:x:y")
    assert (
        code == 2 and errors.startswith("shiftscope: no scheduler answers at nonsense:x:y") and errors.count("\n") == 1
    )
    assert (tmp_path / "out" / "heatmaps.journal").read_bytes() == kept
    assert shiftscope(*arguments, "--threads", 0)[2] == "shiftscope: threads is 0; expected at least 1\n"


@pytest.mark.slow
@pytest.mark.usefixtures("empty_figures")
def test_of_many_files_a_tenth_is_broken(shiftscope, tmp_path):
    images, out = tmp_path / "images", tmp_path / "out"
    images.mkdir()
    rng = np.random.default_rng(0)
    broken = []
    for number in range(200):
        path = images / f"{number:03}.png"
        Image.fromarray(rng.integers(0, 256, (40, 40), dtype=np.uint8)).save(path)
        if number % 10 == 3:
            path.write_bytes(path.read_bytes()[: 10 * (number % 7)])
            broken.append(path)
    arguments = ["heatmaps", "--images", images, "--levels", 1, "--size", 32, "--out", out]
    code, printed, errors = shiftscope(*arguments)
    assert code == 0 and "180 images used, 20 skipped" in printed
    assert errors.endswith(f"shiftscope: warning: 20 of 200 images skipped, see {out / 'skipped.txt'}\n")
    lines = (out / "skipped.txt").read_text().splitlines()
    assert [line.partition(": ")[0] for line in lines] == [str(path) for path in broken]
    assert all(line.partition(": ")[2] for line in lines)
    ds = load(out / "heatmaps_J1.nc")
    assert (ds.images_used, ds.images_skipped_count) == (180, 20)
    code, _, errors = shiftscope(*arguments, "--strict")
    assert code == 3 and "20 of 200 images skipped" in errors and "Traceback" not in errors


@pytest.mark.slow
@pytest.mark.usefixtures("empty_figures")
def test_a_list_of_skipped_files_does_not_outlive_its_run(shiftscope, folder, tmp_path):
    arguments = ["heatmaps", "--images", folder, "--levels", 1, "--size", 64, "--quiet", "--out", tmp_path / "out"]
    shiftscope(*arguments)
    assert (tmp_path / "out" / "skipped.txt").is_file()
    (folder / "broken.jpg").unlink()
    assert shiftscope(*arguments)[0] == 0
    assert not (tmp_path / "out" / "skipped.txt").exists()


@pytest.mark.slow
def test_memory_of_a_whole_run_is_bounded(imagenet_sample, tmp_path):
    if not os.path.exists("/proc/self/status"):
        pytest.skip("needs the peak memory that Linux reports")
    script = (
        "import re, sys; from analysis.commands import app\n"
        f"sys.argv = ['x', 'heatmaps', '--images', {str(imagenet_sample)!r}, '--limit', '80', '--quiet',"
        f" '--out', {str(tmp_path)!r}]\n"
        "try: app.main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        # not ru_maxrss, which begins with the peak of the process that started this one
        "print(re.search(r'VmHWM:\\s*(\\d+) kB', open('/proc/self/status').read())[1])"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert int(result.stdout) * 1024 < 600e6


def test_help_is_quick_and_names_every_option():
    result = subprocess.run(
        [sys.executable, "-m", "analysis", "heatmaps", "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    for option in ("--images", "--levels", "--filters", "--shift", "--limit", "--out", "--size", "--quiet"):
        assert option in result.stdout


@pytest.mark.slow
@pytest.mark.command
def test_verify_prints_every_statement_and_where_its_worst_case_is(shiftscope):
    code, printed, errors = shiftscope("verify", "--cases", 60, "--starts", 1, "--seed", 3)
    assert code == 0
    assert "verify: 100%" in errors
    lines = printed.splitlines()
    assert lines[0].split() == ["statement", "cases", "violations", "largest", "search"]
    statements = [line for line in lines[1:] if not line.startswith(" ")]
    assert len(statements) == 11
    assert all(line[38:].split()[:2] == ["60", "0"] for line in statements)
    assert sum("random: m=" in line for line in lines) == 11 and sum("search: m=" in line for line in lines) == 8
    sharp = next(line for line in statements if line.startswith("Theorem 1: sharp alpha"))
    assert float(sharp.split()[-1]) > 0.99


def test_verify_ends_with_one_when_a_statement_is_violated(shiftscope, monkeypatch):
    import analysis.theory

    table = analysis.theory.verify(cases=5, starts=0, progress=False)
    table.loc[2, "violations"] = 4
    monkeypatch.setattr(analysis.theory, "verify", lambda *arguments, **options: table)
    code, printed, errors = shiftscope("verify", "--quiet")
    assert code == 1
    assert errors == "shiftscope: 4 violations\n"
    assert "Theorem 1: alpha" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--cases", 0), "cases is 0; expected at least 1"),
        (("--seed", -1), "seed is -1; expected at least 0"),
        (("--starts", -2), "starts is -2; expected at least 0"),
        (("--cases", "many"), "'--cases': Input should be a valid integer"),
    ],
)
def test_verify_refuses_bad_numbers(shiftscope, arguments, message):
    code, printed, errors = shiftscope("verify", *arguments)
    assert code == 2 and printed == ""
    assert errors.startswith("shiftscope: ") and message in errors and errors.count("\n") == 1


@pytest.mark.slow
@pytest.mark.command
@pytest.mark.usefixtures("empty_figures")
def test_predict_writes_the_maps_beside_the_measured_ones(shiftscope, folder, tmp_path):
    out = tmp_path / "out"
    arguments = ("--images", folder, "--levels", 1, "--size", 64, "--shift", "0,1", "--out", out, "--predict")
    code, printed, errors = shiftscope("heatmaps", *arguments)
    assert code == 0
    assert {path.name for path in out.glob("prediction*")} == {f"prediction_J1.{kind}" for kind in ("nc", "png", "pdf")}
    prediction, measured = load(out / "prediction_J1.nc"), load(out / "heatmaps_J1.nc")
    assert list(prediction.model.values) == ["gaussian", "isolated", "mixture"]
    assert prediction.images_sha256 == measured.images_sha256
    assert 0 <= prediction.isolated <= 1
    # The pictures are noise: a Gaussian field describes them.
    keep = ~measured.low_pass.values
    gaussian = prediction.rho_rms.sel(model="gaussian").values
    np.testing.assert_allclose(gaussian[keep], measured.rho_rms.values[keep], rtol=0.1)
    assert "predicted from the power spectrum" in printed and "rho_rms       mixture" in printed
    assert "Gaussian field: 100%" in errors and "isolated features: 100%" in errors
