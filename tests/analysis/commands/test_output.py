"""Output is not measurement: poor terminals, closed pipes, interruptions, and what help needs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import xarray as xr

from analysis import save

COMMAND = [sys.executable, "-m", "analysis"]


@pytest.fixture
def results(tmp_path):
    """Two small results that differ."""
    for name, value in (("a.nc", 1.0), ("b.nc", 2.0)):
        save(xr.Dataset({"ρ": ("filter", [value])}, attrs={"levels": 1}), tmp_path / name)
    return tmp_path / "a.nc", tmp_path / "b.nc"


def run(*arguments, **options):
    return subprocess.run([*COMMAND, *map(str, arguments)], stderr=subprocess.PIPE, text=True, timeout=120, **options)


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_terminal_without_the_characters(results, encoding):
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    done = run("compare", *results, stdout=subprocess.PIPE, env=environment, encoding=encoding)
    assert done.returncode == 1 and done.stderr == ""
    assert "DIFFER" in done.stdout and "?" in done.stdout


def test_a_summary_on_a_terminal_without_the_characters(tmp_path):
    layer = tmp_path / "layer.npy"
    np.save(layer, np.random.default_rng(0).normal(size=(2, 3, 5, 5)))
    options = "--stride", 2, "--size", 64, "--limit", 1, "--out", tmp_path / "out"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    done = run("kernels", layer, *options, stdout=subprocess.PIPE, env=environment, encoding="ascii")
    assert done.returncode == 0 and "Traceback" not in done.stderr
    assert "nk correlation" in done.stdout and "nan" not in done.stdout and "? measured" in done.stdout


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("same", [True, False])
def test_a_closed_pipe_changes_no_exit_code(results, stream, same):
    read, write = os.pipe()
    os.close(read)
    paths = results[:1] * 2 if same else results
    try:
        options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | {stream: write}
        done = subprocess.run([*COMMAND, "compare", *map(str, paths)], **options, text=True, timeout=120)
    finally:
        os.close(write)
    assert done.returncode == (0 if same else 1)
    assert not done.stderr and (stream == "stdout" or "A: " in done.stdout)


def test_a_closed_pipe_ends_no_measurement(tmp_path):
    read, write = os.pipe()
    os.close(read)
    options = ["heatmaps", "--levels", "1", "--limit", "2", "--size", "64", "--out", str(tmp_path)]
    try:
        done = subprocess.run([*COMMAND, *options], stdout=write, stderr=write, timeout=120)
    finally:
        os.close(write)
    assert done.returncode == 0 and (tmp_path / "heatmaps_J1.png").is_file()


@pytest.mark.parametrize("to", [">&- 2>&-", ">/dev/full 2>/dev/full"])
def test_closed_streams_and_full_disks_end_no_run(results, to):
    if "full" in to and not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    shell = f"{sys.executable} -m analysis compare {results[0]} {results[0]} {to}"
    assert subprocess.run(["sh", "-c", shell], timeout=120).returncode == 0


@pytest.mark.parametrize("arguments", [["--help"], ["kernels", "--help"], ["--version"], ["kernels"], ["train", "--x"]])
def test_help_and_refusals_import_nothing_large(arguments):
    script = (
        "import sys; from analysis.commands.app import main\n"
        f"sys.argv[1:] = {arguments!r}\n"
        "try: main()\n"
        "except SystemExit as stop: print(stop.code, *sorted({'numba', 'torch', 'matplotlib', 'xarray', 'scipy', "
        "'numpy'} & {*sys.modules}))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == ("2" if done.stderr else "0")
    assert bool(done.stderr) == (arguments[-1] in ("kernels", "--x"))


def test_the_version(shiftscope):
    from importlib.metadata import version

    assert shiftscope("--version") == (0, f"shiftscope {version('shiftscope')}\n", "")


@pytest.mark.parametrize("delay", [0.0, 0.3, 0.7, 1.5])
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
    _, errors = process.communicate(timeout=60)
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
