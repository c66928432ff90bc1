"""Output is not measurement: poor terminals, closed pipes, interruptions, and what help needs."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

from analysis import save


@pytest.fixture
def results(tmp_path):
    """Two small results that differ."""
    for name, value in (("a.nc", 1.0), ("b.nc", 2.0)):
        save(xr.Dataset({"ρ": ("filter", [value])}, attrs={"levels": 1}), tmp_path / name)
    return tmp_path / "a.nc", tmp_path / "b.nc"


@contextlib.contextmanager
def closed_pipe():
    """A text stream whose other end nobody reads any more."""
    read, write = os.pipe()
    os.close(read)
    with contextlib.suppress(BrokenPipeError), os.fdopen(write, "w", encoding="utf-8") as stream:
        yield stream


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_without_the_characters(shiftscope, results, monkeypatch, encoding):
    printed = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, encoding, errors="strict"))
    code, _, errors = shiftscope("compare", *results)
    text = printed.getvalue().decode(encoding)
    assert code == 1 and errors == "" and "DIFFER" in text and "?" in text


@pytest.mark.usefixtures("empty_figures")
def test_a_summary_on_a_terminal_without_the_characters(shiftscope, tmp_path, monkeypatch):
    layer, printed = tmp_path / "layer.npy", io.BytesIO()
    np.save(layer, np.random.default_rng(0).normal(size=(2, 3, 5, 5)))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(printed, "ascii", errors="strict"))
    options = "--stride", 2, "--size", 64, "--limit", 1, "--out", tmp_path / "out"
    code, _, errors = shiftscope("kernels", layer, *options)
    text = printed.getvalue().decode("ascii")
    assert code == 0 and "Traceback" not in errors
    assert "nk correlation" in text and "nan" not in text and "? measured" in text


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("same", [True, False])
def test_a_closed_pipe_changes_no_exit_code(shiftscope, results, monkeypatch, stream, same):
    with closed_pipe() as nobody:
        monkeypatch.setattr(sys, stream, nobody)
        code, printed, errors = shiftscope("compare", *(results[:1] * 2 if same else results))
    assert code == (0 if same else 1)
    assert not errors and (stream == "stdout" or "A: " in printed)


@pytest.mark.usefixtures("empty_figures")
def test_a_closed_pipe_ends_no_measurement(shiftscope, tmp_path, monkeypatch):
    options = ["heatmaps", "--levels", "1", "--limit", "2", "--size", "64", "--out", str(tmp_path)]
    with closed_pipe() as nobody:
        monkeypatch.setattr(sys, "stdout", nobody)
        monkeypatch.setattr(sys, "stderr", nobody)
        assert shiftscope(*options) == (0, "", "")
    assert (tmp_path / "heatmaps_J1.png").is_file()


def test_closed_streams_and_full_disks_end_no_run(results):
    """Nor does the end of the interpreter, which looks at its streams once more."""
    compare = [sys.executable, "-m", "analysis", "compare", *map(str, results)]
    with closed_pipe() as nobody:
        done = subprocess.run(compare, stdout=nobody, stderr=subprocess.PIPE, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (1, "")
    for to in (">&- 2>&-", ">/dev/full 2>/dev/full")[: 1 + os.path.exists("/dev/full")]:
        assert subprocess.run(["sh", "-c", f'"$@" {to}', "sh", *compare], timeout=120).returncode == 1


def test_help_and_refusals_import_nothing_large():
    script = (
        "import sys; from analysis.commands.app import main\n"
        "for arguments in (['--help'], ['kernels', '--help'], ['--version'], ['kernels'], ['train', '--x']):\n"
        "    sys.argv[1:] = arguments\n"
        "    try: main()\n"
        "    except SystemExit as stop: print('code', stop.code)\n"
        "print(*sorted({'numba', 'torch', 'matplotlib', 'xarray', 'scipy', 'numpy'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[-1] == "" and [line for line in lines if line.startswith("code")] == [
        f"code {n}" for n in (0, 0, 0, 2, 2)
    ]
    assert done.stderr.count("shiftscope: ") == done.stderr.count("\n") == 2


def test_the_version(shiftscope):
    from importlib.metadata import version

    assert shiftscope("--version") == (0, f"shiftscope {version('shiftscope')}\n", "")


@pytest.mark.parametrize("delay", [0.0, 0.5])
def test_an_interruption_during_imports(delay):
    """Wherever it falls, also where an import turns it into another error."""
    script = (
        "import sys; from analysis.commands import app\n"
        "sys.argv[1:] = ['verify', '--cases', '1000000']\n"
        "run = app._run\n"
        "app._run = lambda arguments: (print('begun', flush=True), run(arguments))[1]\n"
        "app.main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == "begun\n"
    time.sleep(delay)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode in (130, -signal.SIGINT)  # which a shell calls 130 too
    assert "Traceback" not in errors and errors.endswith("shiftscope: interrupted\n")


def test_an_interruption_that_an_import_turns_into_another_error(shiftscope, monkeypatch):
    from analysis.commands import app

    def broken(*_, **__):
        try:
            signal.raise_signal(signal.SIGINT)
        except KeyboardInterrupt:
            raise ImportError("cannot load module more than once per process") from None

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background starts without it
    monkeypatch.setattr(app, "application", lambda: broken)
    try:
        assert shiftscope("verify") == (130, "", "shiftscope: interrupted\n")
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)
