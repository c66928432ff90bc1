"""``shiftscope explore`` as a user meets it: one file, and one-line errors."""

from __future__ import annotations

from pathlib import Path

RESULTS = Path(__file__).resolve().parents[3] / "results"
MAPS = RESULTS / "imagenet1000_cf_3_3" / "heatmaps_J2.nc"
OLD = RESULTS / "kernels" / "alexnet" / "kernels.nc"  # written before tables held their kernels


def test_the_page_is_written_and_its_size_is_said(shiftscope, tmp_path):
    page = tmp_path / "page.html"
    code, printed, _ = shiftscope("explore", MAPS, RESULTS / "remedies" / "squeezenet" / "stability.nc", "--out", page)
    assert code == 0 and "page.html" in printed and "MB" in printed
    assert page.read_text("utf-8").startswith("<!DOCTYPE html>")
    code, printed, error = shiftscope("explore", MAPS.parent, "--out", page, "--quiet")
    assert (code, printed, error) == (0, "", "")


def test_errors_are_one_line(shiftscope, tmp_path):
    page = tmp_path / "page.html"
    (tmp_path / "text.nc").write_text("no netCDF")
    for arguments, words in [
        ((OLD,), "no kernels"),
        ((OLD, "--weights", tmp_path / "none.npz"), "none.npz"),
        ((OLD, "--weights", "default"), "colours"),
        ((MAPS.with_name("prediction_J2.nc"),), "prediction_J2.nc"),
        ((RESULTS / "remedies" / "squeezenet" / "stability.nc",), "no kernels to explore"),
        ((tmp_path / "text.nc",), "netCDF"),
        ((tmp_path / "missing.nc",), "missing.nc"),
        ((tmp_path,), "no results in"),
        ((MAPS, "--out", tmp_path / "page.png"), "page.png"),
        ((MAPS, "--out", tmp_path / "missing" / "page.html"), "page.html"),
    ]:
        code, printed, error = shiftscope("explore", "--out", page, *arguments)
        assert code == 2 and not printed and words in error and error.count("\n") == 1, words
    assert not page.exists()
