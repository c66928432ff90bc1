"""Folder of a run: one lock before anything is touched, one clean-up, and messages that say how to continue."""

from __future__ import annotations

import pytest

from analysis.files.atomic import UNFINISHED
from analysis.runs.folder import RunFolder

SETTINGS = {"size": 96, "shifts": ((0.0, 1.0),)}


def opened(folder, settings=SETTINGS, **options):
    return RunFolder(folder, "last.pt", settings, ["result.nc"], **options)


def test_a_second_run_is_refused_and_touches_nothing(tmp_path):
    with opened(tmp_path):
        being_written = tmp_path / f"{UNFINISHED}1-last.pt"
        being_written.write_bytes(b"half")
        with pytest.raises(BlockingIOError, match=f"another run is writing to {tmp_path}"), opened(tmp_path):
            pass
        assert being_written.read_bytes() == b"half"
    with opened(tmp_path):
        assert not being_written.exists()


def test_the_lock_is_free_after_a_refusal_and_after_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"nothing to resume in .*no last\.pt"), opened(tmp_path, resume=True):
        pass
    with pytest.raises(ZeroDivisionError), opened(tmp_path):
        raise ZeroDivisionError
    with opened(tmp_path) as run:
        assert run.begins


def test_results_without_a_kept_file_are_of_another_run(tmp_path):
    (tmp_path / "result.nc").write_bytes(b"of old")
    with pytest.raises(ValueError, match=r"holds result\.nc of another run; use --overwrite"), opened(tmp_path):
        pass
    with opened(tmp_path, overwrite=True) as run:
        assert run.begins
    (tmp_path / "last.pt").write_bytes(b"state")
    with opened(tmp_path) as run:
        assert not run.begins
    with opened(tmp_path, overwrite=True) as run:
        assert run.begins and run.kept.read_bytes() == b"state"  # until the new run replaces it


def test_resume_and_overwrite_contradict_each_other(tmp_path):
    with pytest.raises(ValueError, match="contradict"):
        opened(tmp_path, resume=True, overwrite=True)


def test_each_difference_of_the_settings_is_named(tmp_path):
    with opened(tmp_path) as run:
        run.check({"size": 96, "shifts": [[0.0, 1.0]]})  # tuples are lists to JSON
        with pytest.raises(ValueError) as caught:
            run.check({"size": 97, "q": 1, "shifts": [[0.0, 1.0]]})
    message = str(caught.value)
    assert str(run.kept) in message and "size is 97 there and 96 here" in message
    assert "q is 1 there and null here" in message and "shifts" not in message and "--overwrite" in message


@pytest.mark.parametrize("done", ["", "3 epochs"])
def test_an_interruption_and_an_error_of_the_disk_say_how_to_continue(tmp_path, capsys, done):
    with pytest.raises(KeyboardInterrupt), opened(tmp_path) as run:
        run.done = done
        raise KeyboardInterrupt
    how = f"3 epochs are kept in {tmp_path / 'last.pt'}: run the same command again to continue"
    assert (how in capsys.readouterr().err) == bool(done)
    with pytest.raises(OSError, match="the disk is full") as caught, opened(tmp_path) as run:
        run.done = done
        raise OSError("the disk is full")
    assert (how in str(caught.value)) == bool(done)
