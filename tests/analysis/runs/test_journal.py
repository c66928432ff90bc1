"""The journal: what is recorded comes back, whatever cut it off, and a run continues from it with the same numbers."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import time
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from analysis import bundled_crops
from analysis.files import atomic, results
from analysis.measurements.shift_experiment import ShiftExperiment
from analysis.packet_maps import packet_experiment, run
from analysis.runs import journal
from analysis.runs.blocks import Block
from analysis.runs.feed import feed
from analysis.runs.folder import RunFolder
from analysis.runs.journal import HEADER, Journal, resumable
from tests.conftest import files_of_at_most

SETTINGS = {"levels": [2, 3], "size": 96, "shifts": [[0.0, 1.0]], "filters": "cf_3_3"}


@contextmanager
def opened(path, settings=SETTINGS, **options):
    with RunFolder(path.parent, path.name, settings, **options) as folder:
        yield Journal(folder)


def key(number):
    return bytes([number]) * 32


def result(number, length=5):
    rng = np.random.default_rng(number)
    seconds = dict.fromkeys(("total", "waiting", "measuring", "reading"), 0.25)
    skipped = [("a\\nb é.png", "the file is empty")]
    return Block([rng.random(length)], 1, number + 1, number, rng.bytes(32 * number), skipped, seconds)


def equal(a, b):
    for name in ("blocks", "inputs", "used", "digest", "skipped", "seconds"):
        assert getattr(a, name) == getattr(b, name)
    for one, other in zip(a.sums, b.sums, strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_was_recorded_comes_back(tmp_path):
    with opened(tmp_path / "a.journal") as one:
        assert one.inputs == 0 and key(1) not in one
        for number in (3, 0, 2):
            one.append(key(number), result(number))
            equal(one[key(number)], result(number))
    with opened(tmp_path / "a.journal") as two:
        assert two.inputs == 4 + 1 + 3 and key(1) not in two
        two.append(key(1), result(1))
        for number in range(4):
            equal(two[key(number)], result(number))


def recorded(path, count):
    """A journal of so many records, and where each of them ends."""
    ends = []
    with opened(path) as one:
        for number in range(count):
            one.append(key(number), result(number))
            ends.append(path.stat().st_size)
    return path.read_bytes(), ends


def test_a_journal_cut_anywhere_keeps_every_whole_record(tmp_path):
    cut = tmp_path / "cut.journal"
    data, ends = recorded(tmp_path / "a.journal", 4)
    for length in sorted({0, 1, 7, 8, 9, *range(0, len(data), 37), *ends, *(end - 1 for end in ends)}):
        cut.write_bytes(data[:length])
        whole = sum(end <= length for end in ends)
        with opened(cut) as two:
            assert [key(number) in two for number in range(4)] == [number < whole for number in range(4)]
            two.append(key(9), result(9))
        with opened(cut) as three:
            equal(three[key(9)], result(9))
            for number in range(whole):
                equal(three[key(number)], result(number))


def test_a_damaged_record_is_passed_over(tmp_path):
    path = tmp_path / "a.journal"
    data, ends = recorded(path, 3)
    for place, left in ((ends[0] + HEADER.size + 5, [0, 2]), (ends[1] + 50, [0, 1]), (ends[0] - 3, [1, 2])):
        path.write_bytes(bytes(byte ^ (index == place) for index, byte in enumerate(data)))
        with opened(path) as two:
            assert [number for number in range(3) if key(number) in two] == left
            for number in left:
                equal(two[key(number)], result(number))
    damaged = bytes(byte ^ (index == HEADER.size + 4) for index, byte in enumerate(data))
    path.write_bytes(damaged)
    with pytest.raises(ValueError, match="is damaged: it does not say what its settings were"), opened(path):
        pass
    assert path.read_bytes() == damaged


def test_a_journal_without_a_record_is_nobodys(tmp_path):
    data, ends = recorded(tmp_path / "a.journal", 1)
    (tmp_path / "a.journal").write_bytes(data[: ends[0] - 1])
    with opened(tmp_path / "a.journal", {"other": "settings"}) as two:
        assert two.inputs == 0
        two.append(key(1), result(1))
    with opened(tmp_path / "a.journal", {"other": "settings"}) as three:
        equal(three[key(1)], result(1))


def test_begun_anew_the_old_journal_stays_until_there_is_a_record(tmp_path):
    data, _ = recorded(tmp_path / "a.journal", 3)
    with opened(tmp_path / "a.journal", {"other": 1}, overwrite=True) as two:
        assert two.inputs == 0 and key(1) not in two
        assert (tmp_path / "a.journal").read_bytes() == data
        two.append(key(5), result(5))
    with opened(tmp_path / "a.journal", {"other": 1}) as three:
        assert three.inputs == 6 and key(1) not in three


def test_other_settings_are_refused_and_the_differences_named(tmp_path):
    with opened(tmp_path / "a.journal") as one:
        one.append(key(0), result(0))
    data = (tmp_path / "a.journal").read_bytes()
    other = {"levels": [3], "size": 96, "shifts": [[0.0, 1.0]], "q": 2}
    with pytest.raises(ValueError) as caught, opened(tmp_path / "a.journal", other):
        pass
    message = str(caught.value)
    assert "levels is [2, 3] there and [3] here" in message and "size" not in message
    assert 'filters is "cf_3_3" there and null here' in message and "q is null there and 2 here" in message
    assert (tmp_path / "a.journal").read_bytes() == data


@pytest.mark.parametrize("content", [b"CDF\x01 something else", b"shiftscope", b"\0" * 100])
def test_a_file_that_is_no_journal_is_left_alone(tmp_path, content):
    (tmp_path / "a.journal").write_bytes(content)
    with pytest.raises(ValueError, match="not a journal"), opened(tmp_path / "a.journal"):
        pass
    assert (tmp_path / "a.journal").read_bytes() == content


def test_a_large_journal_is_added_up_and_says_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "LARGEST", 2000)
    keys = [key(number) for number in range(40)]
    expected = Block([np.zeros(5)])
    sizes = []
    with opened(tmp_path / "a.journal") as one:
        one.append(key(99), result(99 % 7))  # of a block further on
        for number in range(40):
            one.append(keys[number], result(number % 7))
            expected += result(number % 7)
            one.fold(expected, keys)
            sizes.append((tmp_path / "a.journal").stat().st_size)
            equal(one[key(99)], result(99 % 7))
    assert any(after < before for before, after in pairwise(sizes))
    with opened(tmp_path / "a.journal") as two:
        known = len(two.front)
        assert two.front == keys[:known] and 0 < known and all(k in two for k in keys[known:])
        total = two.front_of(keys)
        for k in keys[known:]:
            total += two[k]
        assert two.inputs == expected.inputs + result(99 % 7).inputs
        assert two.front_of(keys[::-1]) is None and two.front_of(keys[: known - 1]) is None
    equal(total, expected)


def test_of_a_finished_run_the_sum_of_complete_blocks_is_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "SMALL", 0)
    path, keys = tmp_path / "a.journal", [key(number) for number in range(5)]
    with opened(path) as one:
        for number in (0, 1, 2, 3, 4):
            one.append(keys[number], result(number))
        complete = Block([np.zeros(5)]) + result(0) + result(1) + result(2) + result(3)
        one.finish(complete, keys)
        equal(one.front_of(keys), complete)
        assert one.inputs == complete.inputs and not any(k in one for k in keys)
    size = path.stat().st_size
    with opened(path) as two:  # a run of fewer images leaves what more images can use
        two.append(key(9), result(9))
        two.finish(Block([np.zeros(5)]) + result(0), [keys[0], key(9)])
    assert path.stat().st_size == size
    with opened(path) as three:
        equal(three.front_of(keys), complete)


def test_of_a_finished_run_without_a_complete_block_the_settings_stay(tmp_path):
    with opened(tmp_path / "a.journal") as one:
        one.append(key(0), result(3, length=200_000))
        one.finish(Block([np.zeros(200_000)]), [key(0)])
    assert (tmp_path / "a.journal").stat().st_size < 1000
    with opened(tmp_path / "a.journal") as two:
        assert two.inputs == 0 and two.front == []
    with pytest.raises(ValueError, match="size is 96 there and 97 here"):
        with opened(tmp_path / "a.journal", SETTINGS | {"size": 97}):
            pass


# ---- runs ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def photographs(tmp_path_factory):
    """120 files: crops of the bundled photographs, two of them broken and one flat."""
    folder = tmp_path_factory.mktemp("photographs")
    crops = [crop.pixels for crop in bundled_crops(160)]
    rng = np.random.default_rng(0)
    for number in range(120):
        y, x = rng.integers(0, 64, 2)
        pixels = np.uint8(255 * np.clip(crops[number % len(crops)][y : y + 96, x : x + 96], 0, 1))
        Image.fromarray(pixels * (number != 77)).save(folder / f"{number:03}.png")
    (folder / "011.png").write_bytes(b"")
    (folder / "100.png").write_bytes((folder / "100.png").read_bytes()[:500])
    return folder


def measure(folder, path=None, block=16, **options):
    """Run on a folder, with a journal if a path is given; return the datasets, without what differs by its nature."""
    experiments = [packet_experiment(levels, size=96) for levels in (1, 2)]
    options = {"progress": False, "block": block} | options
    if path is None:
        datasets = run(folder, experiments, **options)
    else:
        with opened(path) as kept:
            datasets = run(folder, experiments, journal=kept, **options)
    for dataset in datasets:
        for name in [name for name in dataset.attrs if name.startswith("seconds") or name == "created"]:
            del dataset.attrs[name]
    return datasets


def identical(found, expected):
    for one, other in zip(found, expected, strict=True):
        assert one.identical(other)


@pytest.fixture(scope="module")
def expected(photographs):
    return measure(photographs)


def forked(work, seconds=0.0):
    """Do something in a forked child, and return its process number.

    If `seconds` is given, the system ends the child after so many of processor time, in the midst of whatever it does.
    """
    if child := os.fork():
        return child
    try:
        signal.setitimer(signal.ITIMER_PROF, seconds)
        work()
        os._exit(0)
    except BaseException:
        os._exit(1)


pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # is multi-threaded, and forks


def test_a_journal_changes_nothing(photographs, expected, tmp_path):
    identical(measure(photographs, tmp_path / "a.journal"), expected)
    size = (tmp_path / "a.journal").stat().st_size
    reports = []
    identical(measure(photographs, tmp_path / "a.journal", on_skip=lambda *report: reports.append(report)), expected)
    assert (tmp_path / "a.journal").stat().st_size == size
    assert [os.path.basename(name) for name, _ in reports] == ["011.png", "077.png", "100.png"]


@pytest.mark.slow
def test_kills_lose_a_block_each_at_most(photographs, expected, tmp_path):
    rng, kills = random.Random(1), 8
    begin = time.process_time()
    measure(photographs, tmp_path / "whole.journal")
    duration = time.process_time() - begin
    kept = []
    for kill in range(kills):
        path = tmp_path / f"{kill}.journal"
        seconds = (kill + rng.uniform(0.1, 1)) * duration / kills
        os.waitpid(forked(lambda path=path: measure(photographs, path), seconds), 0)
        if path.exists():
            with opened(path) as left:
                kept.append(left.inputs)
        identical(measure(photographs, path), expected)
    assert len(set(kept)) > 3, kept  # the kills came at different places


@pytest.mark.slow
def test_killed_again_and_again_a_run_ends_as_if_nothing_had_been(photographs, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "LARGEST", 20_000)  # so that the kills come in the midst of adding up, too
    path, rng = tmp_path / "a.journal", random.Random(2)
    for _ in range(40):
        child = forked(lambda: measure(photographs, path, 4), rng.uniform(0.03, 0.15))
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            break
    identical(measure(photographs, path, 4), measure(photographs, block=4))
    assert not list(tmp_path.glob(f"{atomic.UNFINISHED}*"))


def test_blocks_whose_files_changed_are_measured_again(photographs, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    for file in sorted(photographs.iterdir())[:64]:
        os.link(file, folder / file.name)
    measure(folder, tmp_path / "a.journal")
    mended = np.random.default_rng(1).integers(0, 256, (96, 96), np.uint8)
    (folder / "011.png").unlink()
    Image.fromarray(mended).save(folder / "011.png")
    seen = []
    original = ShiftExperiment.measure

    def watched(self, pictures, names):
        seen.append(len(pictures))
        return original(self, pictures, names)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ShiftExperiment, "measure", watched)
        found = measure(folder, tmp_path / "a.journal")
    assert sum(seen) == 2 * 16  # one block, at both depths
    identical(found, measure(folder))


@pytest.mark.parametrize("small", [journal.SMALL, 0])
def test_more_images_go_on_from_fewer(photographs, tmp_path, monkeypatch, small):
    monkeypatch.setattr(journal, "SMALL", small)
    files = sorted(photographs.iterdir())
    measure(files[:40], tmp_path / "a.journal", root=photographs)
    with opened(tmp_path / "a.journal") as kept:
        assert kept.inputs == (40 if small else 32)  # of those of finished runs, complete blocks of 16 only
    identical(measure(files[:90], tmp_path / "a.journal", root=photographs), measure(files[:90], root=photographs))
    identical(measure(files[:20], tmp_path / "a.journal", root=photographs), measure(files[:20], root=photographs))


def test_the_block_changes_the_last_bit_at_most(photographs, expected):
    for one, other in zip(measure(photographs, block=7), expected, strict=True):
        for name in other.data_vars:
            np.testing.assert_allclose(one[name], other[name], rtol=1e-12)
        assert one.attrs | {"block": 16} == other.attrs


def test_a_full_disk_ends_with_an_error_and_a_journal_that_goes_on(photographs, expected, tmp_path):
    path = tmp_path / "heatmaps.journal"

    def work():
        with resumable(tmp_path, "heatmaps", SETTINGS, [], False, False) as kept:
            try:
                with files_of_at_most(60_000):
                    run(photographs, [packet_experiment(n, size=96) for n in (1, 2)], False, journal=kept, block=16)
            except OSError as error:
                os.write(told, f"{error}".encode())
                raise

    read, told = os.pipe()
    _, status = os.waitpid(forked(work), 0)
    os.close(told)
    message = os.read(read, 10_000).decode()
    os.close(read)
    assert os.waitstatus_to_exitcode(status) == 1 and message.startswith(f"cannot write {path}: ")
    with opened(path) as left:
        assert 0 < left.inputs < 120 and left.inputs % 16 == 0
    identical(measure(photographs, path), expected)


def test_an_interruption_says_how_to_continue(photographs, tmp_path, capsys):
    def stop(name, reason):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), resumable(tmp_path, "heatmaps", SETTINGS, [], False, False) as kept:
        run(photographs, [packet_experiment(n, size=96) for n in (1, 2)], False, stop, journal=kept, block=16)
    message = capsys.readouterr().err
    assert f"16 images are kept in {tmp_path / 'heatmaps.journal'}: run the same command again" in message
    assert kept.inputs == 16


def test_what_is_there_decides(tmp_path):
    def begin(results=(), resume=False, overwrite=False, settings=SETTINGS):
        with resumable(tmp_path, "heatmaps", settings, list(results), resume, overwrite) as kept:
            return kept.inputs

    with pytest.raises(ValueError, match=r"nothing to resume in .*it has no heatmaps.journal"):
        begin(resume=True)
    with pytest.raises(ValueError, match="contradict"):
        begin(resume=True, overwrite=True)
    (tmp_path / "heatmaps_J3.nc").write_bytes(b"of old")
    with pytest.raises(ValueError, match=r"holds heatmaps_J3.nc of another run; use --overwrite"):
        begin(["heatmaps_J2.nc", "heatmaps_J3.nc"])
    assert begin(["heatmaps_J2.nc"]) == 0 and not (tmp_path / "heatmaps.journal").exists()  # nothing came of it
    with opened(tmp_path / "heatmaps.journal") as kept:
        kept.append(key(1), result(1))
    assert begin(["heatmaps_J3.nc"], resume=True) == 2
    with pytest.raises(ValueError, match=r"size is 96 there and 97 here; use --overwrite"):
        begin(settings=SETTINGS | {"size": 97})
    assert begin(settings=SETTINGS | {"size": 97}, overwrite=True) == 0
    assert begin() == 2  # nothing came of it, so the older one is still there


@pytest.mark.slow
def test_killed_while_it_writes_a_result_is_whole(tmp_path):
    (one,) = run([crop.pixels for crop in bundled_crops(64)[:2]], [packet_experiment(2, size=64)], progress=False)
    path, rng = tmp_path / "result.nc", random.Random(3)
    results.save(one.assign_attrs(number=-1), path)

    def write_for_ever():
        for number in range(10**6):
            results.save(one.assign_attrs(number=number, text=str(number) * 1000), path)

    for _ in range(8):
        os.waitpid(forked(write_for_ever, rng.uniform(0.01, 0.15)), 0)
        found = results.load(path)
        assert found.rho.identical(one.rho) and found.attrs.get("text", "-1" * 1000) == str(found.number) * 1000
    atomic.remove_unfinished(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["result.nc"]


@pytest.mark.slow
def test_memory_stays_flat_over_many_inputs(tmp_path):
    read, told = os.pipe()

    class Simulated:
        """Pictures made when they are asked for, as often as that may be; one in fifty is flat."""

        def __init__(self, count):
            self.count, self.base = count, np.random.default_rng(0).random((64, 20, 20), np.float32)

        def __len__(self):
            return self.count

        def __iter__(self):
            for number in range(self.count):
                yield self.base[number % 64] * np.float32(number % 50 != 0)
                if number in (1000, self.count - 1):
                    pages.append(int(open("/proc/self/statm").read().split()[1]))

    pages = []

    def work():
        with opened(tmp_path / "a.journal") as kept:
            _, attributes = feed(Simulated(20_000), [packet_experiment(1, size=20)], 20, progress=False, journal=kept)
        growth = (pages[1] - pages[0]) * resource.getpagesize() / 2**20
        os.write(told, json.dumps([growth, attributes["images_used"]]).encode())

    _, status = os.waitpid(forked(work), 0)
    os.close(told)
    growth, used = json.loads(os.read(read, 1000))
    os.close(read)
    assert status == 0 and used == 19_600 and growth < 10  # megabytes; 500 bytes for each input
