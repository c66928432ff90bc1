"""Results on disk: what comes back, and what is left when writing fails."""

from __future__ import annotations

import tempfile

import h5py
import numpy as np
import pytest
import xarray as xr

from analysis import heatmaps, load, save
from analysis.files.atomic import write_atomically
from analysis.files.results import writable_folder


@pytest.fixture(scope="module")
def dataset():
    rng = np.random.default_rng(1)
    images = [*rng.random((3, 40, 40)), np.full((40, 40), np.nan)]
    return heatmaps(images, levels=1, size=40, shifts=[(0, 1), (0.5, -0.5)], progress=False, on_skip=lambda *_: None)


def test_round_trip_is_identical(dataset, tmp_path):
    path = save(dataset, tmp_path / "heatmaps_J1.nc")
    assert path == tmp_path / "heatmaps_J1.nc"
    back = load(path)
    xr.testing.assert_identical(back, dataset)
    assert back.attrs == dataset.attrs
    assert all(type(back.attrs[name]) in (str, np.int64, int, np.float64, float) for name in dataset.attrs)
    for name in dataset.variables:
        np.testing.assert_array_equal(back[name].values, dataset[name].values)
        assert back[name].attrs == dataset[name].attrs
        assert back[name].dtype.kind == dataset[name].dtype.kind or name == "branch"
    assert back.edge.dtype == bool and back.low_pass.dtype == bool
    assert set(back.branch.values) == {"a", "b"} and all(isinstance(b, str) for b in back.branch.values.tolist())
    assert list(tmp_path.iterdir()) == [path]


def test_names_of_skipped_pictures_survive_also_none_and_beyond_ascii(dataset, tmp_path):
    for names in ("", "π è.png: the file is empty\nb.png: x", "x" * 29_999):
        back = load(save(dataset.assign_attrs(images_skipped=names), tmp_path / "a.nc"))
        assert back.images_skipped == names


def test_nan_and_no_shift_survive(tmp_path):
    one = heatmaps([np.random.default_rng(2).random((40, 40))], levels=1, size=40, shifts=[], progress=False)
    assert one.sizes["shift"] == 0 and np.isnan(one.rho_stderr).all()
    xr.testing.assert_identical(load(save(one, str(tmp_path / "one.nc"))), one)


def test_what_was_loaded_no_longer_needs_the_file(dataset, tmp_path):
    path = save(dataset, tmp_path / "a.nc")
    back = load(path)
    path.unlink()
    assert np.isfinite(back.rho.values).all()
    save(back, path)
    xr.testing.assert_identical(load(path), dataset)


def test_saving_replaces_what_stood_there(dataset, tmp_path):
    path = tmp_path / "a.nc"
    path.write_text("old")
    save(dataset, path)
    xr.testing.assert_identical(load(path), dataset)


@pytest.mark.parametrize("before", [None, b"old result"])
def test_a_writer_that_fails_leaves_nothing_of_its_own(tmp_path, before):
    path = tmp_path / "result.nc"
    if before is not None:
        path.write_bytes(before)
    seen = []

    def write(temporary):
        seen.append(temporary)
        temporary.write_bytes(b"half")
        raise RuntimeError("disk full")

    with pytest.raises(OSError, match=r"cannot write .*result\.nc: disk full"):  # torch raises RuntimeError then
        write_atomically(path, write)
    assert seen[0].parent == tmp_path and seen[0].suffix == ".nc" and seen[0] != path
    assert (path.read_bytes() if path.exists() else None) == before
    assert list(tmp_path.iterdir()) == ([path] if before is not None else [])


def test_an_interrupted_writer_leaves_nothing_either(tmp_path):
    def write(temporary):
        temporary.write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a.txt", write)
    assert list(tmp_path.iterdir()) == []


def test_the_final_name_appears_only_when_the_file_is_whole(tmp_path):
    path = tmp_path / "a.txt"

    def write(temporary):
        temporary.write_text("first half")
        assert not path.exists()
        temporary.write_text("whole")

    assert write_atomically(path, write) == path
    assert path.read_text() == "whole" and list(tmp_path.iterdir()) == [path]


def test_a_dataset_that_cannot_be_written_leaves_the_old_file(dataset, tmp_path):
    path = save(dataset, tmp_path / "a.nc")
    with pytest.raises(Exception, match="attr"):
        save(dataset.assign_attrs(bad=object()), path)
    xr.testing.assert_identical(load(path), dataset)
    assert list(tmp_path.iterdir()) == [path]


def test_saving_into_a_folder_that_is_not_there(dataset, tmp_path):
    (tmp_path / "file").write_text("keep me")
    for path in (tmp_path / "missing" / "a.nc", tmp_path / "file" / "a.nc"):
        with pytest.raises(OSError):
            save(dataset, path)
    assert [p.name for p in tmp_path.iterdir()] == ["file"] and (tmp_path / "file").read_text() == "keep me"


# ---- folders --------------------------------------------------------------------------------------------------------


def test_folders_are_made_with_their_parents_and_left_empty(tmp_path):
    folder = writable_folder(tmp_path / "a" / "b")
    assert folder == tmp_path / "a" / "b" and list(folder.iterdir()) == []
    assert writable_folder(str(folder)) == folder


@pytest.mark.parametrize("below", ["", "sub", "sub/sub"])
def test_a_file_in_the_place_of_the_folder(tmp_path, below):
    file = tmp_path / "results"
    file.write_text("keep me")
    with pytest.raises(NotADirectoryError, match=r"^cannot write results to .*results.*: it is not a folder$"):
        writable_folder(file / below)
    assert file.read_text() == "keep me"


def test_a_folder_that_may_not_be_written_to(tmp_path, monkeypatch):
    # Root may write anywhere, so the refusal is played.
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse)
    with pytest.raises(PermissionError, match=r"^cannot write to the folder .*: Permission denied$"):
        writable_folder(tmp_path)
    monkeypatch.setattr("pathlib.Path.mkdir", refuse)
    with pytest.raises(PermissionError, match=r"^cannot create the folder .*x: Permission denied$"):
        writable_folder(tmp_path / "x")


# ---- loading --------------------------------------------------------------------------------------------------------


def test_loading_what_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^no result file .*nope\.nc$"):
        load(tmp_path / "nope.nc")
    with pytest.raises(FileNotFoundError, match=r"^no result file"):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["empty", "text", "truncated"])
def test_loading_garbage(dataset, tmp_path, kind):
    path = tmp_path / "bad.nc"
    whole = save(dataset, path).read_bytes()
    path.write_bytes({"empty": b"", "text": b"rho = 0.4\n" * 100, "truncated": whole[: len(whole) // 2]}[kind])
    with pytest.raises(ValueError, match=r"bad\.nc is not a netCDF file that can be read: "):
        load(path)


def test_a_netcdf_file_of_somebody_else_is_refused(tmp_path):
    xr.Dataset({"a": ("x", [1.0])}).to_netcdf(tmp_path / "other.nc", engine="h5netcdf")
    with pytest.raises(ValueError, match="not a result of this project"):
        load(tmp_path / "other.nc")


def test_an_hdf5_file_that_is_not_netcdf_is_refused(tmp_path):
    with h5py.File(tmp_path / "plain.nc", "w") as file:
        file["a"] = np.ones(3)
    with pytest.raises(ValueError, match="not a result of this project"):
        load(tmp_path / "plain.nc")
