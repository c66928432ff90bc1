"""Two results side by side: what counts as a difference, where it is found, and what the command line says."""

from __future__ import annotations

import numpy as np
import pytest
import xarray as xr
from PIL import Image

from analysis import compare, compare_folders, heatmaps, load, save
from analysis.plots import difference_figure

SHIFTS = [(0, 1), (1, 0), (0.5, -0.5)]


@pytest.fixture(scope="module")
def images():
    return list(np.random.default_rng(1).random((3, 40, 40)))


@pytest.fixture(scope="module")
def dataset(images):
    return heatmaps(images, levels=1, size=40, shifts=SHIFTS, progress=False)


def with_value(dataset, name, position, change):
    """The dataset with one value changed by a function."""
    changed = dataset.copy(deep=True)
    changed[name].values[position] = change(changed[name].values[position])
    return changed


def row(comparison, name):
    (found,) = comparison.variables[comparison.variables.name == name].itertuples()
    return found


# ---- what agrees ----------------------------------------------------------------------------------------------------


def test_a_result_agrees_with_itself_in_memory_and_on_disk(dataset, tmp_path):
    path = save(dataset, tmp_path / "a.nc")
    for a, b in ((dataset, dataset), (dataset, path), (path, str(path))):
        found = compare(a, b)
        assert found.agree
        assert found.attributes.same.all() and found.variables.same.all()
        assert set(found.variables.name) == {*dataset.coords, *dataset.data_vars}
        assert not (found.variables.absolute > 0).any()
        assert found.report().endswith("agree (rtol 1e-12, atol 0)")
        assert "DIFFER" not in found.report()
    assert compare(path, dataset).names == (str(path), "B")


def test_other_versions_dates_and_durations_are_shown_and_decide_nothing(dataset):
    other = dataset.assign_attrs(
        numpy_version="0.1", created="then", seconds_total=1e9, threads=64, numba_threads=3, device="cuda"
    )
    found = compare(dataset, other)
    assert found.agree
    changed = found.attributes[~found.attributes.same]
    assert set(changed.group) == {"environment"} and len(changed) == 6
    assert "6 of" in found.report() and "decides nothing" in found.report() and "created: " in found.report()


def test_the_same_shifts_in_another_order_agree_with_a_notice(images, dataset):
    for other in (
        dataset.isel(shift=[2, 0, 1], filter=slice(None, None, -1)),
        heatmaps(images, levels=1, size=40, shifts=SHIFTS[::-1], progress=False),
    ):
        found = compare(dataset, other)
        assert found.agree and "shift       in another order" in found.report()
    assert compare(dataset, dataset.transpose("shift", "filter")).agree


def test_a_shift_that_is_measured_twice_is_paired_with_its_twin(images):
    twice = heatmaps(images, levels=1, size=40, shifts=[(0, 1), (0, 1)], progress=False)
    assert compare(twice, twice).agree
    found = compare(twice, twice.isel(shift=[0]))
    assert not found.agree and found.entries.set_index("name").only_a["shift"] == ["shift (0, 1)"]


def test_a_result_without_shifts_agrees_with_itself(images):
    none = heatmaps(images[:1], levels=1, size=40, shifts=[], progress=False)
    assert none.sizes["shift"] == 0 and np.isnan(none.rho_stderr).all()
    assert compare(none, none).agree


def test_numbers_that_are_kept_in_another_type_agree(dataset):
    other = dataset.assign(count=dataset["count"].astype(np.float32)).assign_attrs(levels=np.int16(1))
    assert compare(dataset, other).agree


# ---- what differs ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("attributes", "group"),
    [
        ({"q": 2}, "settings"),
        ({"filters": "mine"}, "settings"),
        ({"levels": 2}, "settings"),
        ({"something_new": 1}, "settings"),
        ({"images_sha256": "0" * 64}, "inputs"),
        ({"images_used": 4}, "inputs"),
        ({"images_skipped": "a.png: the file is empty"}, "inputs"),
    ],
)
def test_other_settings_or_inputs_differ(dataset, attributes, group):
    other = dataset.assign_attrs(attributes)
    for found in (compare(dataset, other, rtol=0.9), compare(other, dataset, rtol=0.9)):
        assert not found.agree
        changed = found.attributes[~found.attributes.same]
        assert changed.group.tolist() == [group] and changed.name.tolist() == list(attributes)
        assert found.variables.same.all()
        assert "DIFFER" in found.report() and next(iter(attributes)) in found.report()


def test_attributes_of_several_numbers_have_the_tolerance_and_their_length_has_none(dataset):
    a, b, c = (dataset.assign_attrs(mean=np.array(m)) for m in ([0.5, 0.4], [0.5, 0.4 + 1e-15], [0.5]))
    assert compare(a, b).agree and not compare(a, b, rtol=0).agree
    assert not compare(a, c).agree and not compare(a, dataset.assign_attrs(mean="0.5")).agree


def test_long_attributes_are_shown_where_they_begin_to_differ(dataset):
    same = "x" * 500
    report = compare(*(dataset.assign_attrs(images_skipped=same + end) for end in ("cat.png", "dog.png"))).report()
    assert "cat.png" in report and "dog.png" in report and same not in report
    assert max(map(len, report.splitlines())) < 200


def test_one_value_off_by_1e_9_is_found_with_its_place(dataset):
    other = with_value(dataset, "eta_cmod", (5, 2), lambda v: v * (1 + 1e-9))
    for found in (compare(dataset, other), compare(other, dataset), compare(dataset, other.isel(shift=[1, 2, 0]))):
        assert not found.agree
        (bad,) = found.variables[~found.variables.same].itertuples()
        assert bad.name == "eta_cmod" and bad.unequal == 1 and bad.values == 8 * 3 and bad.nan_in_one == 0
        assert bad.relative == pytest.approx(1e-9, rel=1e-6)
        assert bad.absolute == pytest.approx(1e-9 * dataset.eta_cmod.values[5, 2], rel=1e-6)
        theta = f"theta ({dataset.theta_y.values[5]:.4g}, {dataset.theta_x.values[5]:.4g})"
        assert bad.at == bad.absolute_at == bad.relative_at == f"{theta}, shift (0.5, -0.5)"
        assert bad.at in found.report() and "1 of 24" in found.report()
    assert compare(dataset, other, rtol=2e-9).agree
    assert not compare(dataset, other, rtol=0.9e-9).agree
    assert compare(dataset, other, rtol=0, atol=1e-8).agree
    assert "1.00e-09" in compare(dataset, other, rtol=2e-9).report()  # agrees, and is shown


def test_largest_absolute_and_relative_differences_are_told_apart(dataset):
    values = np.linspace(1, 8, 8)
    a = dataset.assign(rho=("filter", values))
    b = dataset.assign(rho=("filter", values + np.eye(8)[0] / 2 + np.eye(8)[7]))
    bad = row(compare(a, b), "rho")
    assert bad.unequal == 2 and bad.absolute == 1 and bad.relative == pytest.approx(1 / 3)
    assert bad.absolute_at != bad.relative_at


def test_nan_agrees_with_nan_only(dataset):
    both = with_value(dataset, "rho", 3, lambda _: np.nan)
    assert compare(both, both).agree
    for a, b in ((dataset, both), (both, dataset)):
        found = compare(a, b, rtol=0.5, atol=10)
        assert not found.agree
        bad = row(found, "rho")
        assert (bad.unequal, bad.nan_in_one, bad.absolute) == (1, 1, 0)
        assert "NaN in one only: 1, first at theta" in found.report()
    elsewhere = with_value(dataset, "rho", 4, lambda _: np.nan)
    assert row(compare(both, elsewhere), "rho").nan_in_one == 2
    all_nan = dataset.assign(rho=dataset.rho * np.nan)
    assert compare(all_nan, all_nan).agree and row(compare(dataset, all_nan), "rho").unequal == 8


def test_infinite_and_huge_values(dataset):
    infinite, negative, huge = (with_value(dataset, "rho", 2, lambda _, v=v: v) for v in (np.inf, -np.inf, 1e308))
    assert compare(infinite, infinite).agree
    for a, b in ((infinite, huge), (infinite, negative), (dataset, infinite), (huge, -huge)):
        found = compare(a, b, rtol=1e-3, atol=1)
        assert not found.agree and row(found, "rho").absolute == np.inf
    tiny = with_value(dataset, "rho", 2, lambda _: 5e-324)
    bad = row(compare(tiny, with_value(dataset, "rho", 2, lambda _: 0.0)), "rho")
    assert bad.relative == 1 and bad.unequal == 1


def test_missing_variables_and_other_dimensions(dataset):
    other = dataset.drop_vars("rho").assign(new=("filter", np.ones(8)), gamma=("shift", np.ones(3)))
    found = compare(dataset, other)
    assert not found.agree
    assert row(found, "rho").problem == "only in A" and row(found, "new").problem == "only in B"
    assert row(found, "gamma").problem == "dimensions (filter) and (shift)"
    text = dataset.assign(rho=("filter", np.array(list("abcdefgh"))))
    assert "dtype float64 and <U1" in row(compare(dataset, text), "rho").problem
    assert not compare(dataset, dataset.drop_vars("edge")).agree


def test_other_text_is_counted(dataset):
    other = dataset.assign_coords(branch=("filter", np.array(["a"] * 8)))
    bad = row(compare(dataset, other), "branch")
    assert bad.unequal == 4 and not bad.same and np.isnan(bad.absolute)
    assert "4 of 8" in compare(dataset, other).report()


def test_entries_of_one_only_differ_and_the_others_are_compared(dataset):
    found = compare(dataset, dataset.isel(shift=[0, 2]))
    entries = found.entries.set_index("name")
    assert not found.agree and found.variables.same.all()
    assert (
        entries.only_a["shift"] == ["shift (1, 0)"] and entries.only_b["shift"] == [] and entries.common["shift"] == 2
    )
    assert "shift       1 only in A: shift (1, 0)" in found.report()
    deeper = heatmaps([np.random.default_rng(2).random((60, 60))], levels=2, size=60, progress=False)
    entries = compare(dataset, deeper).entries.set_index("name")
    assert entries.common["filter"] == 0 and len(entries.only_a["filter"]) == 8 and len(entries.only_b["filter"]) == 32


def test_what_has_no_counterpart_is_not_called_the_same(images, dataset):
    deeper = heatmaps([np.random.default_rng(2).random((60, 60))], levels=2, size=60, shifts=SHIFTS, progress=False)
    found = compare(dataset, deeper)
    assert not row(found, "rho").same and row(found, "rho").problem == "no entries in common"
    per_filter = [name for name in dataset.variables if "filter" in dataset[name].dims]
    assert not found.variables.set_index("name").same[per_filter].any()
    assert "none with a difference" not in found.report().partition("variables")[2]
    part = compare(dataset, dataset.isel(filter=slice(5)))
    assert row(part, "rho").same and not row(part, "rho").whole and row(part, "shift_y").whole
    assert "in part" in part.report()


def test_units_and_attributes_of_variables_decide_and_words_do_not(dataset):
    for attributes in ({"units": "radians"}, {"normalised": 1}):
        other = dataset.copy()
        other["rho"] = other.rho.assign_attrs(attributes)
        found = compare(dataset, other)
        (name,) = attributes
        assert not found.agree and found.variables.same.all()
        assert found.attributes[~found.attributes.same].name.tolist() == [f"rho.{name}"]
        assert f"rho.{name}" in found.report()
    other = dataset.copy()
    other["rho"] = other.rho.assign_attrs(long_name="in other words")
    assert compare(dataset, other).agree and "rho.long_name" in compare(dataset, other).report()


@pytest.mark.parametrize(("x", "y"), [(2**62, 2**62 + 1), (-(2**63), 2**63 - 1), (0, 2**53 + 1)])
def test_integers_are_compared_exactly(x, y):
    a, b = (xr.Dataset({"seed": ("run", np.array([5, v])), "one": ((), v)}, attrs={"seed": v}) for v in (x, y))
    assert compare(a, a).agree
    found = compare(a, b, rtol=0.5, atol=10)
    for name in ("seed", "one"):
        assert (row(found, name).unequal, row(found, name).absolute) == (1, float(y - x))
    assert not found.attributes.same.any()
    unsigned = xr.Dataset({"n": ("run", np.array([2**64 - 1], np.uint64))})
    assert not compare(unsigned, xr.Dataset({"n": ("run", np.array([-1]))})).agree


def test_results_of_other_commands_are_loaded_and_compared(dataset, tmp_path):
    """Stability has neither levels nor filters nor kernels."""
    table = xr.Dataset(
        {"mfr": ("remedy", [1.0, 0.5])}, {"remedy": ["plain", "blur3"]}, {"shiftscope_version": "0.1.0", "span": 8}
    )
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        save(table, tmp_path / folder / "stability.nc")
        save(xr.Dataset({"x": ("n", [1, 2])}), tmp_path / folder / "plain.nc")  # names no version
    xr.testing.assert_identical(load(tmp_path / "a" / "stability.nc"), table)
    assert compare_folders(tmp_path / "a", tmp_path / "b").agree
    save(table.assign(mfr=table.mfr * 1.1), tmp_path / "b" / "stability.nc")
    found = compare_folders(tmp_path / "a", tmp_path / "b").files["stability.nc"]
    assert row(found, "mfr").at == "remedy plain"


def test_kernels_are_paired_by_their_index():
    attributes = {"levels": 2, "stride": 2}
    index = {"index": ("kernel", [0, 1, 2])}
    a = xr.Dataset({"rho": ("kernel", [0.1, 0.2, np.nan])}, index, attributes)
    assert compare(a, a.isel(kernel=[2, 0, 1])).agree
    bad = row(compare(a, a.assign(rho=("kernel", [0.1, 0.3, np.nan]))), "rho")
    assert bad.at == "kernel 1"


# ---- what is refused ------------------------------------------------------------------------------------------------


def test_bad_files_and_tolerances(dataset, tmp_path):
    (tmp_path / "bad.nc").write_bytes(b"no result")
    with pytest.raises(ValueError, match=r"bad\.nc is not a netCDF file that can be read"):
        compare(dataset, tmp_path / "bad.nc")
    with pytest.raises(FileNotFoundError, match=r"no result file .*missing\.nc"):
        compare(tmp_path / "missing.nc", dataset)
    for tolerance in (-1e-9, np.inf, np.nan):
        with pytest.raises(ValueError, match=r"rtol is .*; expected a finite number of at least 0"):
            compare(dataset, dataset, rtol=tolerance)
        with pytest.raises(ValueError, match="atol is"):
            compare(dataset, dataset, atol=tolerance)


# ---- folders --------------------------------------------------------------------------------------------------------


def test_folders_are_compared_file_by_file(dataset, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    for folder in (a, b):
        (folder / "deep").mkdir(parents=True)
        save(dataset, folder / "heatmaps_J1.nc")
        save(dataset, folder / "deep" / "x.nc")
        (folder / "heatmaps_J1.png").write_text(str(folder))  # drawn from the rest
        (folder / ".x.123.nc").write_text("half a file")
    found = compare_folders(a, str(b))
    assert found.agree and list(found.files) == ["deep/x.nc", "heatmaps_J1.nc"] and found.only_a == found.only_b == []
    save(dataset.assign(rho=dataset.rho + 1), b / "deep" / "x.nc")
    found = compare_folders(a, b)
    assert not found.agree and [one.agree for one in found.files.values()] == [False, True]
    save(dataset, b / "deep" / "x.nc")
    save(dataset, b / "more.nc")
    (a / "heatmaps_J1.nc").unlink()
    found = compare_folders(a, b)
    assert not found.agree and found.only_a == [] and found.only_b == ["heatmaps_J1.nc", "more.nc"]
    assert all(one.agree for one in found.files.values())
    assert f"more.nc         only in B, {b}" in found.report()


def test_folders_that_are_none_or_empty(dataset, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "full").mkdir()
    save(dataset, tmp_path / "full" / "a.nc")
    with pytest.raises(ValueError, match=r"no results \(\*\.nc\) in"):
        compare_folders(tmp_path / "empty", tmp_path / "empty")
    with pytest.raises(NotADirectoryError, match=r"no such folder: .*missing"):
        compare_folders(tmp_path / "full", tmp_path / "missing")
    assert compare_folders(tmp_path / "empty", tmp_path / "full").only_b == ["a.nc"]


# ---- figure ---------------------------------------------------------------------------------------------------------


def test_the_figure_shows_each_difference_in_its_cell(dataset):
    other = with_value(dataset, "eta_cmod", (5, 2), lambda v: v * 2)
    figure = difference_figure(dataset, other.isel(shift=[2, 1, 0]), "eta_cmod")
    absolute, relative = (ax.images[0].get_array() for ax in figure.axes[:2])
    expected = dataset.eta_cmod.values[5, 2]
    theta = dataset.theta_y.values[5], dataset.theta_x.values[5]
    y, x = (int(np.floor(t / (np.pi / 2))) + 2 for t in theta)
    assert absolute[y, x] == absolute[3 - y, 3 - x] == absolute.max() == pytest.approx(expected)
    assert np.count_nonzero(absolute) == 2 and relative.max() == pytest.approx(0.5)
    assert not np.ma.getmaskarray(absolute).any()


def test_the_figure_leaves_nan_grey_and_refuses_what_it_cannot_draw(dataset):
    nan = dataset.assign(rho=dataset.rho.where(dataset.theta_x > 2))
    shown = difference_figure(dataset, nan, "rho").axes[0].images[0].get_array()
    assert np.ma.getmaskarray(shown).sum() == 2 * int((dataset.theta_x <= 2).sum()) and shown.max() == 0
    difference_figure(dataset, dataset.assign(rho=dataset.rho * np.nan), "rho")
    with pytest.raises(ValueError, match="lacks nothing_like_it"):
        difference_figure(dataset, dataset, "nothing_like_it")
    with pytest.raises(ValueError, match="no dimension filter"):
        difference_figure(dataset, dataset, "shift_y")
    with pytest.raises(ValueError, match="in common"):
        difference_figure(dataset, dataset.isel(filter=[]), "rho")
    with pytest.raises(ValueError, match="has the dimensions"):
        difference_figure(dataset, dataset.assign(rho=dataset.rho_rms * dataset.shift_y), "rho")


# ---- command line ---------------------------------------------------------------------------------------------------


def test_exit_codes_of_the_command_line(shiftscope, dataset, tmp_path):
    a, b = save(dataset, tmp_path / "a.nc"), tmp_path / "b.nc"
    save(with_value(dataset, "rho", 1, lambda v: v * (1 + 1e-9)).assign_attrs(created="never"), b)
    code, printed, errors = shiftscope("compare", a, a)
    assert (code, errors) == (0, "") and printed.endswith("agree (rtol 1e-12, atol 0)\n")
    code, printed, errors = shiftscope("compare", a, b)
    assert (code, errors) == (1, "") and "DIFFER" in printed and "rho" in printed and "created: " in printed
    assert shiftscope("compare", a, b, "--rtol", "1e-8")[0] == 0
    assert shiftscope("compare", a, b, "--atol", "1e-8", "--quiet") == (0, "", "")
    assert shiftscope("compare", a, b, "--quiet") == (1, "", "")


def test_folders_on_the_command_line(shiftscope, dataset, tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.mkdir()
    b.mkdir()
    save(dataset, a / "x.nc")
    code, printed, errors = shiftscope("compare", a, b)
    assert (code, errors) == (1, "") and "x.nc  only in A" in printed
    save(dataset, b / "x.nc")
    assert shiftscope("compare", a, b)[0] == 0


def test_the_figure_of_the_command_line(shiftscope, dataset, tmp_path):
    a, picture = save(dataset, tmp_path / "a.nc"), tmp_path / "difference.png"
    assert shiftscope("compare", a, a, "--figure", picture, "--variable", "eta_rmax", "--quiet")[0] == 0
    with Image.open(picture) as image:
        assert min(image.size) > 500


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}/a.nc", "{tmp}/missing.nc"], "no result file"),
        (["{tmp}/a.nc", "{tmp}/bad.nc"], "is not a netCDF file that can be read"),
        (["{tmp}/a.nc", "{tmp}"], "one is a folder and one is not"),
        (["{tmp}", "{tmp}/missing"], "no such folder"),
        (["{tmp}/empty", "{tmp}/empty"], "no results (*.nc)"),
        (["{tmp}/a.nc"], "Missing argument"),
        (["{tmp}/a.nc", "{tmp}/a.nc", "--rtol", "nan"], "rtol is nan"),
        (["{tmp}/a.nc", "{tmp}/a.nc", "--atol", "-1"], "atol is -1.0"),
        (["{tmp}/a.nc", "{tmp}/a.nc", "--figure", "{tmp}/x.png", "--variable", "y"], "lacks y"),
        (["{tmp}", "{tmp}", "--figure", "{tmp}/x.png"], "a figure needs two files"),
        (["{tmp}/a.nc", "{tmp}/a.nc", "--figure", "{tmp}/none/x.png"], "cannot write"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_two(shiftscope, dataset, tmp_path, arguments, message):
    save(dataset, tmp_path / "a.nc")
    (tmp_path / "bad.nc").write_bytes(b"\x89HDF")
    (tmp_path / "empty").mkdir()
    code, printed, errors = shiftscope("compare", *(argument.format(tmp=tmp_path) for argument in arguments))
    assert code == 2 and printed == ""
    assert errors.startswith("shiftscope: ") and message in errors and errors.count("\n") == 1
    assert not (tmp_path / "x.png").exists()


@pytest.mark.slow
def test_two_runs_of_the_same_command_agree(shiftscope, tmp_path):
    for name in ("one", "two"):
        arguments = ("--levels", 1, "--limit", 3, "--size", 64, "--quiet", "--out", tmp_path / name)
        assert shiftscope("heatmaps", *arguments)[0] == 0
    found = compare_folders(tmp_path / "one", tmp_path / "two")
    assert found.agree
    assert load(tmp_path / "one" / "heatmaps_J1.nc").images_used == 3
