"""Runs on a cluster of dask: the same numbers, whatever workers do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("distributed")

from analysis import bundled_crops
from analysis.packet_maps import packet_experiment, run
from analysis.runs import cluster
from analysis.runs.cluster import ClusterError, on_cluster
from analysis.runs.feed import feed
from analysis.runs.journal import Journal, resumable

pytestmark = pytest.mark.filterwarnings("default")  # dask's are its own affair


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """160 files: crops of the bundled photographs, one of them broken."""
    folder = tmp_path_factory.mktemp("photographs")
    rng = np.random.default_rng(0)
    crops = [crop.pixels for crop in bundled_crops(160)]
    for number in range(160):
        y, x = rng.integers(0, 96, 2)
        pixels = np.uint8(255 * np.clip(crops[number % len(crops)][y : y + 64, x : x + 64], 0, 1))
        Image.fromarray(pixels).save(folder / f"{number:03}.png")
    (folder / "011.png").write_bytes(b"")
    return folder


def measure(folder, **options):
    (dataset,) = run(folder, [packet_experiment(2, size=64)], progress=False, block=4, **options)
    return dataset


def same(one, other):
    for name in other.data_vars:
        np.testing.assert_allclose(one[name], other[name], rtol=1e-12)
    assert one.images_sha256 == other.images_sha256 and one.inputs_sha256 == other.inputs_sha256
    assert (one.images_used, one.images_skipped) == (other.images_used, other.images_skipped)


@pytest.fixture(scope="module")
def expected(photographs):
    return measure(photographs)


class Troubled:
    """Operators that do as those of an experiment; the first worker to use them dies, and the next one is slow."""

    def __init__(self, operators, folder):
        self.operators, self.folder = operators, Path(folder)

    def __call__(self, pictures):
        mine = str(os.getpid())
        for what in ("dies", "slow"):
            try:
                with open(self.folder / what, "x") as file:
                    file.write(mine)
                if what == "dies":
                    os.kill(os.getpid(), signal.SIGKILL)
                break
            except FileExistsError:
                pass
        if (self.folder / "slow").read_text() == mine:
            time.sleep(0.2)
        return self.operators(pictures)


@pytest.fixture(scope="module")
def client():
    """A cluster of two workers, which find this module; dask's usual port is taken, and nothing asks for it."""
    with contextlib.ExitStack() as stack:
        patch = stack.enter_context(pytest.MonkeyPatch.context())
        patch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[3])]))
        with contextlib.suppress(OSError):  # another process has it
            stack.enter_context(socket.create_server(("127.0.0.1", 8787)))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            client = stack.enter_context(cluster.cluster(workers=2))
        assert not [warning for warning in told if "8787" in str(warning.message)]
        yield client


@pytest.mark.slow
def test_a_cluster_changes_nothing(photographs, expected, client):
    same(measure(photographs, executor=on_cluster(client)), expected)


@pytest.mark.slow
def test_one_worker_dies_and_one_is_slow_and_the_result_is_the_same(photographs, expected, client, tmp_path):
    experiment = packet_experiment(2, size=64)
    troubled = replace(experiment, operators=Troubled(experiment.operators, tmp_path))
    (dataset,) = run(photographs, [troubled], progress=False, block=4, executor=on_cluster(client))
    same(dataset, expected)
    died, slow = ((tmp_path / what).read_text() for what in ("dies", "slow"))
    assert died != slow


@pytest.mark.slow
def test_a_block_that_fails_for_good_is_an_error(client):
    wrong = packet_experiment(1, size=48)
    with pytest.raises(ClusterError, match=r"a block failed on the cluster: ValueError: .*\(n, 48, 48\)"):
        feed(["nowhere.png", np.zeros((64, 64))], [wrong], 64, progress=False, executor=on_cluster(client))


@pytest.fixture
def scheduler(tmp_path):
    """A scheduler and a worker as processes of their own; (address, process of the scheduler)."""
    file = tmp_path / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": tmp_path}
    start = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--port", "0"]
    start += ["--dashboard-address", "127.0.0.1:0"]  # of what it serves without one
    one = subprocess.Popen([*start, "--host", "127.0.0.1", "--scheduler-file", str(file)], **quiet)
    work = [sys.executable, "-m", "distributed.cli.dask_worker", "--nthreads", "1", "--no-nanny", "--no-dashboard"]
    two = subprocess.Popen([*work, "--scheduler-file", str(file), "--death-timeout", "120"], **quiet)
    begin = time.monotonic()
    while not file.exists() and time.monotonic() - begin < 120:
        time.sleep(0.05)
    yield json.loads(file.read_text())["address"], one
    for process in (two, one):
        process.kill()
        process.wait()


@pytest.mark.slow
def test_a_scheduler_that_goes_away_ends_the_run_and_the_journal_goes_on(
    photographs, expected, tmp_path, scheduler, monkeypatch
):
    address, process = scheduler
    monkeypatch.setattr(cluster, "PATIENCE", 3.0)
    append = Journal.append

    def watched(self, key, result):
        append(self, key, result)
        if self.inputs == 40:
            process.kill()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Journal, "append", watched)
        with (
            pytest.raises(OSError, match=r"scheduler .*went away.*run the same command again to continue"),
            resumable(tmp_path, "heatmaps", {}, [], False, False) as kept,
            cluster.cluster(address) as client,
        ):
            measure(photographs, journal=kept, executor=on_cluster(client))
    with resumable(tmp_path, "heatmaps", {}, [], True, False) as kept:
        assert 40 <= kept.inputs < 160
        same(measure(photographs, journal=kept), expected)


def test_what_cannot_be_reached_is_one_error(monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"tcp://127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ClusterError, match=f"no scheduler answers at {address}"), cluster.cluster(address):
            pass
    for address, message in (
        ("tcp://127.0.0.1:9", "no scheduler answers at tcp://127.0.0.1:9"),
        ("nonsense:x:y", "nonsense"),
    ):
        with pytest.raises(ClusterError, match=message), cluster.cluster(address):
            pass
    with pytest.raises(ValueError, match="not both"), cluster.cluster("tcp://127.0.0.1:9", 2):
        pass
    with pytest.raises(ValueError, match="workers is 0; expected at least 1"), cluster.cluster(workers=0):
        pass


@pytest.mark.slow
def test_ctrl_c_while_a_cluster_starts_ends_the_run_and_its_processes(photographs, tmp_path):
    """As a terminal sends it: to all processes of the run."""
    script = (
        "import sys, distributed; from analysis.commands import app\n"
        "class Told(distributed.LocalCluster):\n"
        "    def __init__(self, *a, **k):\n"
        "        print('begun', flush=True)\n"
        "        super().__init__(*a, **k)\n"
        "distributed.LocalCluster = Told\n"
        "if __name__ == '__main__':\n"
        "    app.main()\n"
    )
    (tmp_path / "run.py").write_text(script)
    command = [sys.executable, tmp_path / "run.py", "heatmaps", "--images", photographs, "--workers", "2"]
    process = subprocess.Popen(
        [*command, "--size", "64", "--levels", "1", "--out", tmp_path / "out"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )
    assert process.stdout.readline() == "begun\n"
    time.sleep(0.3)  # sooner or later: wherever the signal falls
    os.killpg(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=120)  # pipes close when the last process has ended
    assert process.returncode == 130 and "Traceback" not in errors, errors
    assert errors.endswith("shiftscope: interrupted\n")
    assert not (tmp_path / "out" / "heatmaps_J1.nc").exists()
