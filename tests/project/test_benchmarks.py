"""The benchmark suite runs at toy size, keeps what it found and tells what is slower; times are not tested."""

from __future__ import annotations

import copy
import json
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from benchmarks import __main__ as command
from benchmarks import growth, history, machine, peers, suite, tables
from benchmarks.limits import Cost
from benchmarks.peer_jobs import FourBanks, Group, Work
from benchmarks.photographs import write_photographs
from benchmarks.settings import QUICK, SECTIONS, Settings
from benchmarks.timing import Times, measure, summary
from wavelets import DualTreePackets2D, get_num_threads
from wavelets.engine import rule

TOY = Settings(
    threads=2,
    rounds=1,
    seconds=0.0,
    side=32,
    batch=2,
    levels=(1,),
    pixels=2**12,
    sides=(32, 64),
    depths=(1, 2),
    batches=(1, 2),
    banks=("cf_3_3",),
    pauses=(0, 0.001),
    files=3,
    file_runs=1,
    memory_batches=(1,),
    cold_runs=1,
)
TABLES = {
    "peers": {"peers J=1", "limits"},
    "scaling": {f"{name}, {kind}" for name in ("side", "depth", "batch", "taps") for kind in ("forward", "inverse")}
    | {"threads", "pauses"},
    "experiment": {"experiment"},
    "files": {"files", "files, apart", "files, memory"},
    "memory": {"memory"},
    "cold-start": {"cold start"},
}


def run(folder, *arguments):
    given = ["--history", str(folder), "--threads", "2", "--rounds", "1", "--files", "3", *arguments]
    assert command.main(given, TOY) == 0
    return sorted(folder.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize("section", SECTIONS)
def test_every_section_runs_and_is_kept(section, tmp_path, capsys, monkeypatch):
    if section in ("files", "memory", "cold-start"):  # in processes of their own, where toy sizes need no compiler
        monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    (path,) = run(tmp_path, "--only", section)
    report = history.load(path)
    found = history.tables_of(report)
    assert {table.name for table in found} >= TABLES[section]
    printed = capsys.readouterr().out
    for table in found:
        assert table.figures or table.skipped
        assert all(math.isfinite(value) and value >= 0 for value in table.figures.values())
        assert all(set(column) <= set(table.figures) for column in table.columns.values())
        assert all(reason for reason in table.skipped.values())
        assert table.title in printed and table.unit in printed
        assert all(job in printed for job in [*table.figures, *table.skipped])
    assert machine.cpu_name() in printed and report["machine"]["threads"] == 2


def test_a_report_survives_the_file_and_a_second_one_its_name(tmp_path):
    table = tables.Table.of_times("a", "A", "ms", {"job": Times(1.0, 0.5, 2.0)}, 1e3, skipped={"peer": "reason"})
    report = history.make_report([table], machine.describe(1, 2), {"rounds": 1}, quick=True)
    first, second = (history.save(report, tmp_path / "new", "Some (R) CPU @ 2 GHz") for _ in range(2))
    assert first.name == f"{report['date']}-some-cpu-2-ghz-quick.json" and second.stem == f"{first.stem}-2"
    assert history.load(first) == report == history.load(second)
    assert history.tables_of(report) == [table]


def test_compare_flags_what_is_slower(tmp_path, capsys):
    figures = {"first": 1.2, "second": 1.05, "third": 1.0, "last": 1.0}
    table = tables.Table("peers", "Peers", "ms", figures, {tables.SPREAD: {"first": 7.0}}, main=True)
    new = history.make_report([table], machine.describe(1, 2), {}, quick=False)
    path = history.save(new, tmp_path, "cpu")
    old = copy.deepcopy(new)
    old["tables"][0]["figures"] = {"first": 1.0, "second": 1.0, "third": 2.0}
    old["machine"]["cpu"] = "another"
    old["quick"] = True
    text, slower = history.compare(new, old)
    assert slower == ["peers: first"]
    assert text.count("WORSE") == 1 and "= 1.20  WORSE BY MORE THAN 10 % (± 7 %)\n" in text and "= 0.50\n" in text
    assert "cpu was another" in text and "a quick run" in text and "1 are new" in text
    before = tmp_path / "old.json"
    before.write_text(json.dumps(old))
    capsys.readouterr()
    assert command.main(["--show", str(path), "--compare", str(before), "--markdown"]) == 0
    printed = capsys.readouterr().out
    assert text in printed and "| ---: |" in printed and "| first |" in printed


@pytest.mark.parametrize(
    "arguments",
    [
        ["--only", "peers,nothing"],
        ["--only", ","],
        ["--threads", "0"],
        ["--rounds", "many"],
        ["--files", "-1"],
        ["--compare", "no-such-file.json"],
        ["--compare", "pyproject.toml"],
        ["--show", "."],
        ["--bogus"],
    ],
)
def test_bad_options_end_with_2_and_one_line(arguments, capsys, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    with pytest.raises(SystemExit) as end:
        command.main(arguments)
    assert end.value.code == 2
    assert capsys.readouterr().err.rpartition("usage:")[2].count("error:") == 1


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        "{}",
        '{"tables": [], "machine": {"cpu": ""}, "date": "", "quick": true}',
        '{"tables": [{}]}',
        '{"tables": 3}',
        '{"tables": [], "machine": 1}',
    ],
)
def test_another_json_file_is_no_report(content, tmp_path):
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(ValueError, match="is no file of benchmarks/history"):
        history.load(path)


def test_a_peer_that_is_missing_or_fails_is_skipped_with_its_reason():
    def missing(work):
        raise ModuleNotFoundError("No module named 'peer'")

    def fails(work):
        return lambda: [][0]

    def works(work):
        return lambda: None

    group = Group("group", lambda w: Cost(1, 1), {"missing": missing, "fails": fails, "works": works})
    with ThreadPoolExecutor(1) as pool:
        work = Work(DualTreePackets2D(1), np.ones((1, 32, 32), np.float32), pool)
        jobs, skipped = peers.jobs_of(work, [group])
    assert skipped == {
        "group: missing": "cannot be imported: No module named 'peer'",
        "group: fails": "does not run here: IndexError: list index out of range",
    }
    assert [*jobs] == [("group", "works")]


def test_every_job_has_one_figure_a_number_of_threads_and_ours_is_the_measure():
    done = []
    works = {name: lambda w, name=name: lambda: done.append((name, get_num_threads())) for name in ("ours", "theirs")}
    group = Group("group", lambda w: Cost(28e3, 55e3), works)
    times = {("group", "ours", 1): 0.001, ("group", "theirs", 1): 0.003, ("group", "ours", 2): 0.0005}
    times = {key: Times(seconds, seconds, seconds) for key, seconds in times.items()}
    limit = {("limits", name, n): Times(1.0, 1.0, 1.0) for name in ("byte", "multiply") for n in (1, 2)}
    with ThreadPoolExecutor(1) as pool:
        work = Work(DualTreePackets2D(1), np.ones((1, 32, 32), np.float32), pool)
        jobs, _ = peers.jobs_of(work, [group])
        before = get_num_threads()
        assert set(peers.timed(jobs, replace(TOY, threads=3))) == {("group", n, k) for n in works for k in (1, 3)}
        assert set(done[2:]) == {(name, threads) for name in works for threads in (1, 3)}
        assert set(peers.timed(jobs, replace(TOY, clock="cpu"))) == {("group", n, 1) for n in works}
        assert get_num_threads() == before
        table = peers.compared(work, times, {}, peers.rates(limit, {"byte": 28e9, "multiply": 55e9}), [group])
    assert table.figures == {"group: ours": 1.0, "group: theirs": 3.0}
    assert table.columns["times ours"] == {"group: ours": 1.0, "group: theirs": 3.0}
    assert table.columns["2 threads"] == {"group: ours": 0.5}
    assert table.columns["limit: memory"]["group: ours"] == pytest.approx(1e-3)
    assert table.columns["limit: arithmetic"]["group: ours"] == pytest.approx(1e-3)


def test_four_filter_banks_of_torch_are_our_transform():
    torch = pytest.importorskip("torch")
    t = DualTreePackets2D(2)
    images = np.random.default_rng(0).standard_normal((2, 1, 32, 32)).astype(np.float32)
    ours = np.abs(t.forward(images[:, 0]))  # some filters are conjugated
    i, j = rule.quad_tree_order(2)
    nodes = FourBanks(t)(torch.from_numpy(images)).abs().numpy()
    assert nodes.shape == ours.shape
    order = [lexicographic(vertical, horizontal, 2) for vertical, horizontal in zip(i, j, strict=True)]
    np.testing.assert_allclose(nodes[:, order + [len(order) + n for n in order]], ours, atol=1e-5)


def lexicographic(vertical, horizontal, levels):
    """Place of a node whose stages split the vertical axis first, from its places along both axes."""
    place = 0
    for bit in reversed(range(levels)):
        place = 4 * place + 2 * (vertical >> bit & 1) + (horizontal >> bit & 1)
    return place


def test_a_round_runs_every_job_and_slow_ones_less_often(monkeypatch):
    clock, done = [0.0], []

    def job(name, seconds):
        def work():
            clock[0] += seconds
            done.append(name)

        return work

    monkeypatch.setattr("benchmarks.timing.time.perf_counter", lambda: clock[0])
    times = measure({"fast": job("fast", 0.025), "slow": job("slow", 1.0)}, rounds=6, seconds=0.13, pause=0)
    assert times["fast"] == pytest.approx([0.025] * 3) and times["slow"] == pytest.approx([1.0] * 3)
    assert done.count("fast") == 2 + 6 * (1 + 5)  # two to learn how long it takes; in every round one untimed call
    assert done.count("slow") == 3 + 2  # in the first and the sixth round


def test_busy_neighbours_are_noticed():
    assert suite.crowded({"peers": 0.05, "files": None}) == suite.crowded({}) == ""
    assert "cores they used: files: 1.3" in suite.crowded({"peers": 0.05, "files": 1.26})
    cores = machine.Neighbours().cores()
    assert cores is None or cores >= 0


def test_summary_and_numbers():
    assert summary([3.0, 1.0, 2.0, 5.0, 4.0]) == Times(3.0, 2.0, 4.0)
    assert [tables.number(x) for x in (0.0, 0.1234, 1.234, 12.34, 123.4, 0.99999, 9.996)] == [
        "0.000",
        "0.123",
        "1.23",
        "12.3",
        "123",
        "1.00",
        "10.0",
    ]


def test_photographs_are_the_same_colour_files_every_time(tmp_path):
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
        assert write_photographs(folder, 4) == sum(path.stat().st_size for path in folder.iterdir())
    first, second = ([path.read_bytes() for path in sorted(folder.iterdir())] for folder in folders)
    assert first == second and len(set(first)) == 4
    for path in folders[0].iterdir():
        with Image.open(path) as image:
            assert image.format == "JPEG" and image.mode == "RGB" and sorted(image.size) == [375, 500]


def test_quick_changes_sizes_that_exist():
    assert set(QUICK) <= set(vars(TOY))
    assert set(suite.RUN) == set(SECTIONS)


def test_help_needs_no_numpy():
    code = "import sys; sys.modules['numpy'] = None; from benchmarks.__main__ import main; main(['--help'])"
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "--quick" in done.stdout


@pytest.mark.slow
def test_torch_tables_are_kept_too(tmp_path, capsys):
    pytest.importorskip("torch")
    from benchmarks import bench_torch

    given = ["--device", "cpu", "--rounds", "1", "--batch", "1", "--levels", "1", "--side", "32", "--sides", "32"]
    bench_torch.main([*given, "--history", str(tmp_path)])
    (path,) = tmp_path.iterdir()
    assert [table.name for table in history.tables_of(history.load(path))] == [
        "torch J=1 batch=1 side=32",
        "torch crossover J=1",
    ]
    assert "images/s" in capsys.readouterr().out


@pytest.mark.slow
def test_the_pooling_table_is_kept_beside_the_published_one(tmp_path, capsys, monkeypatch):
    torch = pytest.importorskip("torch")
    from benchmarks import bench_pooling

    monkeypatch.setattr(bench_pooling, "WIDTHS", (8, 8, 8, 8, 8))
    threads = torch.get_num_threads()
    given = ["--device", "cpu", "--rounds", "1", "--batch", "1", "--clock", "cpu", "--history", str(tmp_path)]
    try:
        bench_pooling.main(given)
    finally:
        torch.set_num_threads(threads)
    (path,) = tmp_path.glob("*-pooling-quick.json")
    (table,) = history.tables_of(history.load(path))
    assert table.columns["published %"] == {"dense max pooling": 3.04, "blur3": 8.52, "blur5": 10.6, "blur7": 12.3}
    assert table.columns["added %"].keys() == table.figures.keys() >= table.columns["published %"].keys()
    assert table.columns["added %"]["nn.MaxPool2d"] == 0
    printed = capsys.readouterr().out
    assert "Medians of processor time" in printed and "a turn is a pause" not in printed  # which is of the wall clock
    for job, figure in table.figures.items():
        ratio = figure / table.figures["nn.MaxPool2d"]
        assert table.columns["added %"][job] == pytest.approx(100 * (ratio - 1))


STABILITY_CSV = """remedy,top1,mfr,flips_avoided,flips_avoided_se,flips_1px,flips_1px_se,consistency
plain,65,100,0,0,9.5,1.5,87
blur5,34,155,-55,7,13.5,2,81
"intrablock:fire2,fire5",0,120,-20,3,12,1,80
tlpf,34,155,-55,7,13.5,2,81
"""
ACCURACY_CSV = """remedy,top1,top1_se,top5,accuracy_lost,accuracy_lost_se
plain,56.6,1.6,80.1,0,0
blur5,28.5,1.4,51.9,28.1,1.7
intrablock,1.1,0.3,4.7,55.5,1.6
"""
TIME_CSV = """remedy,channels last,channels first,"added %, channels last","added %, channels first"
plain,30,50,0,0
blur5,45,52,50,4
tlpf,46,66,53.3,32
"""


def test_the_table_of_remedies_merges_stability_accuracy_and_time(tmp_path, capsys):
    pytest.importorskip("torch")
    from scripts import remedies_table

    with pytest.raises(SystemExit):
        remedies_table.main([str(tmp_path)])
    assert "no such file" in capsys.readouterr().err
    for name, text in (("stability", STABILITY_CSV), ("accuracy", ACCURACY_CSV), ("time", TIME_CSV)):
        (tmp_path / f"{name}.csv").write_text(text)
    remedies_table.main([str(tmp_path)])
    rows = pd.read_csv(tmp_path / "remedies.csv", index_col=0, keep_default_na=False, na_values=[""])
    assert rows.index.tolist() == ["plain", "blur5", "intrablock", "tlpf"]
    assert rows.top1.tolist()[:3] == [56.6, 28.5, 1.1] and np.isnan(rows.top1["tlpf"])  # not those of few photographs
    assert rows.flips_avoided["intrablock"] == -20 and np.isnan(rows.time_added_channels_last["intrablock"])
    assert rows.until_trained["tlpf"] == "= blur5" and rows.until_trained.notna().sum() == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[3] == "| blur5 | 28.5 ± 1.4 | 28.1 ± 1.7 | -55.0 ± 7.0 | 13.5 ± 2.0 | 81.0 | 50.0 | 4.0 |  |"
    (tmp_path / "time.csv").write_text(TIME_CSV + "tlpf:a,1,1,1,1\n")
    with pytest.raises(ValueError, match="'tlpf' has more than one row"):
        remedies_table.main([str(tmp_path)])


def test_standard_errors_of_accuracies_are_over_photographs_and_pairs():
    torch = pytest.importorskip("torch")
    from scripts.remedies_accuracy import table

    rng = np.random.default_rng(0)
    plain, other = rng.random(400) < 0.6, rng.random(400) < 0.3
    right = {
        n: {"top1": torch.from_numpy(v), "top5": torch.from_numpy(v)} for n, v in zip("ab", (plain, other), strict=True)
    }
    rows = table(right, {name: torch.ones(400) for name in "ab"})
    np.testing.assert_allclose(rows.top1, [100 * plain.mean(), 100 * other.mean()])
    p = plain.mean()
    np.testing.assert_allclose(rows.top1_se["a"], 100 * np.sqrt(p * (1 - p) / 399))
    lost = plain.astype(float) - other
    np.testing.assert_allclose(rows.accuracy_lost["b"], 100 * lost.mean())
    np.testing.assert_allclose(rows.accuracy_lost_se, [0, 100 * np.std(lost, ddof=1) / 20])


@pytest.fixture
def squeezenet(tmp_path):
    """Weights of an untrained SqueezeNet, as a file."""
    torch = pytest.importorskip("torch")
    from analysis.networks.squeezenet import SqueezeNet

    torch.manual_seed(0)
    np.savez(tmp_path / "w.npz", **{name: value.numpy() for name, value in SqueezeNet().state_dict().items()})
    return tmp_path / "w.npz"


@pytest.fixture
def sample(tmp_path):
    """A folder of two photographs with their classes."""
    (tmp_path / "photographs").mkdir()
    rng = np.random.default_rng(0)
    for name in "ab":
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(
            tmp_path / "photographs" / f"{name}.png"
        )
    (tmp_path / "photographs" / "classes.csv").write_text("index,file\n3,a.png\n900,b.png\n")
    return tmp_path / "photographs"


@pytest.mark.slow
def test_accuracy_of_every_remedy_runs_on_a_few_photographs(tmp_path, squeezenet, sample, monkeypatch, capsys):
    from scripts import remedies_accuracy

    monkeypatch.setattr(remedies_accuracy, "SIZE", 39)
    monkeypatch.setattr(remedies_accuracy, "LARGE", 45)
    monkeypatch.setattr(remedies_accuracy, "REMEDIES", ("blur5", "intrablock", "tlpf"))
    monkeypatch.setattr(remedies_accuracy, "UNTRAINED", {"tlpf": "blur5"})
    given = [str(squeezenet), str(sample), "--ten-crop", "--out", str(tmp_path / "a.csv")]
    remedies_accuracy.main(given)
    rows = pd.read_csv(tmp_path / "a.csv", index_col=0)
    assert rows.index.tolist() == ["plain", *remedies_accuracy.REMEDIES]
    assert {"top1", "top1_se", "top5", "ten_top1", "ten_top5", "accuracy_lost_se"} <= set(rows.columns)
    assert (rows.pictures == 2).all() and rows.same_answer["plain"] == 100
    assert "logits differ" in capsys.readouterr().out


def test_time_of_every_remedy_is_of_both_orders_of_memory(tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    from scripts import remedies_time

    monkeypatch.setattr(remedies_time, "SIZE", 39)
    monkeypatch.setattr(remedies_time, "REMEDIES", ("blur5",))
    threads = torch.get_num_threads()
    try:
        remedies_time.main(["--rounds", "1", "--batch", "1", "--out", str(tmp_path / "time.csv")])
    finally:
        torch.set_num_threads(threads)
    rows = pd.read_csv(tmp_path / "time.csv", index_col="remedy")
    assert rows.index.tolist() == ["plain", "blur5"] and (rows.loc["plain", ["added %, channels last"]] == 0).all()
    assert (rows[["channels last", "channels first"]] > 0).all(axis=None)


def test_feature_distances_of_the_sample(tmp_path, squeezenet, sample, monkeypatch, capsys):
    from scripts import feature_distances

    monkeypatch.setattr(feature_distances, "SIZE", 39)
    monkeypatch.setattr(feature_distances, "SHIFTS", ((1, 1), (2, 2)))
    feature_distances.main([str(squeezenet), str(sample), "--out", str(tmp_path / "d.nc")])
    with xr.open_dataset(tmp_path / "d.nc") as found:
        watched = {name.partition(" ")[0] for name in found.layer.values}  # a pooling is seen dense and downsampled
        assert watched == set(feature_distances.LAYERS) and found.sizes["shift"] == 2
        assert np.isfinite(found.equivariance).all()
    assert "fire9" in capsys.readouterr().out


@pytest.mark.slow
def test_training_steps_with_remedies_are_kept_for_both_orders_of_memory(tmp_path, capsys):
    torch = pytest.importorskip("torch")
    from benchmarks import bench_remedies

    threads = torch.get_num_threads()
    given = ["--device", "cpu", "--rounds", "1", "--batch", "1", "--clock", "cpu", "--history", str(tmp_path)]
    try:
        bench_remedies.main([*given, "--only", "resnet20-cifar", "--remedy", "blur3", "--remedy", "aps-l2"])
    finally:
        torch.set_num_threads(threads)
    (path,) = tmp_path.glob("*-remedies-quick.json")
    first, last = history.tables_of(history.load(path))
    for table in (first, last):
        assert set(table.figures) == {"plain", "blur3", "aps-l2"}
        assert table.columns["times plain"]["plain"] == table.columns["operations"]["plain"] == 1
        assert table.columns["operations"]["blur3"] > 1.05  # its strided convolutions are dense
        assert table.columns["forward"].keys() == table.columns["backward"].keys() == table.figures.keys()


def test_exponents_of_power_laws():
    x = [1, 2, 4, 8]
    assert growth.slope(x, [3 * v**1.5 for v in x]) == pytest.approx((1.5, 0), abs=1e-12)
    p, error = growth.slope(x, [1, 2.2, 3.8, 8.1])
    assert abs(p - 1) < 3 * error < 0.2
