"""The explorer's page as Python makes it: what it is given, what it refuses, and that it asks for nothing."""

from __future__ import annotations

import base64
import json
import re
import warnings

import numpy as np
import pytest
import xarray as xr

import analysis
from analysis.reports.explorer.contents import (
    MEASURED,
    SIDE,
    kernel_contents,
    packet_contents,
    photograph,
    with_kernels,
)
from analysis.reports.explorer.words import advice, kernel_words, shift_words, tasks, verdict
from wavelets import DualTreePackets2D

DEAD = 2


def data_of(page):
    return json.loads(re.search(r'id="data">(.*?)</script>', page, re.S)[1])


def without_kernels(table):
    return table.drop_vars(["weight", "gain"])


def test_page_is_given_what_was_measured_with_the_sign_that_is_pooled(layer, table):
    contents = kernel_contents(table)
    weight = np.frombuffer(base64.b64decode(contents["weight"]), "<f4").reshape(contents["shape"])
    sign = np.where(layer.gain < 0, -1, 1)
    np.testing.assert_array_equal(weight, sign[:, None, None, None] * layer.weight)
    for name in MEASURED:
        expected = table[name].mean("shift") if "shift" in table[name].dims else table[name]
        given = [np.nan if row[name] is None else row[name] for row in contents["rows"]]
        np.testing.assert_allclose(given, expected, rtol=1e-8)
    assert contents["rows"][DEAD]["theta_y"] is None


def test_factors_of_packets_are_their_kernels(maps):
    contents = packet_contents(maps)
    kernels = DualTreePackets2D(2, maps.attrs["filters"], stride=2).kernels()
    parts = np.frombuffer(base64.b64decode(contents["factors"]), "<c8").reshape(len(kernels), 2, -1)
    np.testing.assert_allclose(np.einsum("ky,kx->kyx", *parts.swapaxes(0, 1)), kernels, atol=2e-7)


def test_photograph_goes_round_without_a_seam():
    pixels = np.frombuffer(base64.b64decode(photograph()), np.uint8).reshape(SIDE, SIDE, 3).astype(float)
    for axis in (0, 1):
        seam = np.abs(np.take(pixels, 0, axis) - np.take(pixels, -1, axis)).max()
        assert seam <= 2 < np.abs(np.diff(pixels, axis=axis)).max()


def test_a_page_is_one_file_that_asks_for_nothing(layer, table, maps, tmp_path):
    explorer = analysis.explore(table, maps)
    page = explorer.html
    assert not re.search(
        r"(?:src|href|action)\s*=\s*[\"']?(?!data:)\w+[:/]|url\(|@import|fetch\(|XMLHttpRequest|import\s*\(", page
    )
    assert explorer.save(tmp_path / "page.html").read_text("utf-8") == page and 'href="prescribe.html"' not in page
    (tmp_path / "prescribe.html").touch()
    assert 'href="prescribe.html"' in explorer.save(tmp_path / "page.html").read_text("utf-8")
    assert len(data_of(page)["sets"]) == 2
    # What a result is called ends neither the data nor the page.
    assert page.count("</script>") == 2 and layer.name not in page and data_of(page)["sets"][0]["name"] == layer.name
    frame = explorer._repr_html_()
    assert frame.startswith("<iframe srcdoc=") and frame.count("<") == 2


def test_kernels_of_older_tables_come_from_their_layer_in_either_order_of_channels(layer, table, tmp_path):
    old = without_kernels(table)
    given = kernel_contents(table)["weight"]
    np.save(tmp_path / "bgr.npy", layer.weight[:, ::-1])
    for source in (layer, [np.ones((6, 3, 7, 7)), layer]):
        assert data_of(analysis.explore(old, weights=source).html)["sets"][0]["weight"] == given
    assert np.array_equal(with_kernels(old, "old", [tmp_path / "bgr.npy"]).weight, layer.weight)
    with pytest.raises(ValueError, match="no kernels"):
        analysis.explore(old)
    other = layer.weight[[1, 0, 2, 3, 4, 5]]
    with pytest.raises(ValueError, match="not measured on these"):
        analysis.explore(old, weights=[other])


@pytest.mark.parametrize(
    "make", [lambda t: t.drop_vars(["eta_rmax"]), lambda t: t.expand_dims(model=["gaussian"]), lambda t: xr.Dataset()]
)
def test_other_results_are_refused(table, make):
    with pytest.raises(ValueError, match=r"kernels\.nc"):
        analysis.explore(make(table))


def test_networks_alone_are_nothing_to_explore(table):
    remedies = ["plain", "blur3"]
    stability = xr.Dataset(
        {"mfr": ("remedy", [100.0, 90.0]), "top1": ("remedy", [50.0, np.nan]), "top1_se": ("remedy", [1.0, np.nan])},
        {"remedy": remedies},
    )
    with pytest.raises(ValueError, match="no kernels to explore"):
        analysis.explore(stability)
    found = data_of(analysis.explore(stability, table).html)["sets"][0]
    metrics = {metric["name"]: metric for metric in found["metrics"]}
    assert metrics["mfr"]["values"] == [100, 90] and metrics["top1"]["values"] == [50, None]
    assert metrics["top1"]["errors"] == [1, None] and metrics["mfr"]["errors"] is None


def test_words_follow_the_numbers():
    row = {
        "kind": "band-pass",
        "wavelength": 3.0,
        "orientation": 58.0,
        "theta_y": 1.77,
        "theta_x": 1.1,
        "eta_rmax": 0.53,
        "eta_cmod": 0.25,
    }
    said = kernel_words(row, [(0, 1), (1, 0)]).lower().replace("\u00a0", " ")
    for part in ("fine", "diagonal", "3.0 px", "1.1 rad", "1.8 rad", "53 %", "25 %"):
        assert part in said
    assert said.index("1.8 rad") < said.index("1.1 rad")  # down first
    for shifts, parts in (
        ([(0, 1), (1, 0)], ["one pixel", "mean", "down and right"]),
        ([(0.5, 2)], ["0.5 down, 2 right"]),
    ):
        assert all(part in shift_words(shifts) for part in parts)
    assert "mean" not in shift_words([(0.5, 2)]) and "one pixel" not in shift_words([(0.5, 2)])
    assert "coarse" in kernel_words(row | {"wavelength": 20.0}, [(0, 1)]).lower()
    assert "53" not in kernel_words(row | {"kind": "dead", "eta_rmax": None}, [(0, 1)])


def test_verdict_and_tasks_name_the_kernel_that_changes_most(table):
    contents = kernel_contents(table)
    jumpiest = int(np.nanargmax(table.eta_rmax.mean("shift")))
    assert f"number {jumpiest}." in verdict(contents)
    asked = tasks(contents)
    assert len(asked) == 5 and f"number {jumpiest}," in asked[0][1]
    assert all(question and answer for question, answer in asked)


def test_advice_follows_the_numbers_of_band_pass_kernels(table, maps):
    contents = kernel_contents(table)
    band = [row for row in contents["rows"] if row["kind"] == "band-pass"]
    worse, better = ([row | {"eta_cmod": part * row["eta_rmax"]} for row in band] for part in (1.5, 0.5))
    said = advice(contents | {"rows": better}).replace("\u00a0", " ")
    median = np.median([row["eta_rmax"] for row in band])
    assert f"from {100 * median:.0f} % to {50 * median:.0f} %" in said
    assert "not help" in advice(contents | {"rows": worse}) and "not help" not in said
    assert not advice(packet_contents(maps)) and not advice(contents | {"rows": []})


def test_a_layer_of_dead_kernels_has_a_page(table):
    silent = table.copy(deep=True)
    for name in MEASURED:
        silent[name][:] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        contents = kernel_contents(silent)
    assert verdict(contents) and len(tasks(contents)) == 5
