"""What a kernel analysis leaves on disk: table, figures, and a page that needs nothing else."""

from __future__ import annotations

import base64
import html.parser
import io
import re
import subprocess
import sys

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from PIL import Image

from analysis import plots
from analysis.files import results
from analysis.kernels import FirstLayer, gabor, kernel_frame, kernel_table, rank_correlation
from analysis.kernels.table import COLUMNS
from analysis.reports.kernels import CORRELATIONS, figures, fitted_layer, kernel_card, page_values, write_kernels
from analysis.reports.links import LINK, NO_LINK, PAGE
from analysis.reports.stored import stored_report
from analysis.reports.writer import Report, rendered
from analysis.reports.writer import page as render

FIGURES = ["fourier", "mosaic", "plane", "predicted", "ranking", "why"]
FILES = sorted(["kernels.nc", "kernels.csv", "report.html", *(f"{name}.png" for name in FIGURES)])
STRIDE, DEAD = 2, 2
NAME = '<b>&"x'
VOID = {"meta", "img", "br"}


def kernels():
    """Four gratings, the last of which has theta and W in opposite half-planes; a blob (1), and a dead kernel (2)."""
    waves = [
        ((0.6, 0.6, 0.5), [1, 0.3, 0.5, 1.6, 3, 3, 1.7, 1.7, 0]),
        ((1.0, 0.1, -1.0), [1, 0, 0, 0, 3, 3, 1.2, 1.2, 0]),
        ((1.0, 0.0, 0.0), [0, 0, 0, 0, 3, 3, 1, 1, 0]),
        ((0.6, -0.6, 0.1), [3, 1, -1.2, 1.2, 3, 3, 1.7, 1.7, 0]),
        ((0.2, 0.1, 1.0), [1, 1, 1.9, 0.2, 3, 3, 1.7, 1.7, 0]),
        ((0.6, 0.6, 0.5), [1, 0.3, 1.2, -0.1, 3, 3, 1.8, 1.0, -0.6]),
    ]
    return np.stack([np.multiply.outer(colour, gabor(wave, (7, 7))) for colour, wave in waves])


def pictures(channels=3):
    return list(np.random.default_rng(0).random((3, 64, 64, 3))[..., :channels].squeeze())


def html_of(table, layer, drawn):
    return render("kernels.html.j2", page_values(table, layer), drawn)


@pytest.fixture(scope="module")
def layer():
    return FirstLayer(NAME, kernels(), STRIDE, parameter="<i>conv1</i>.weight", origin="a&b<u>.npz", sha256="0123" * 16)


@pytest.fixture(scope="module")
def table(layer):
    return kernel_table(layer, pictures(), size=64, progress=False)


@pytest.fixture(scope="module")
def folder(layer, table, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results")
    write_kernels(Report(folder, progress=False), table, layer)
    return folder


class Page(html.parser.HTMLParser):
    """Elements in the order of the page: tag, attributes, text inside, ancestors."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.declared = [], [], []
        self.feed(text)
        self.close()
        assert not self.open, f"not closed: {[element['tag'] for element in self.open]}"

    def handle_decl(self, declaration):
        self.declared.append(declaration)

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names))
        element = {"tag": tag, "attributes": dict(attributes), "text": "", "inside": list(self.open)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def find(self, tag, inside=None, **attributes):
        return [
            element
            for element in self.elements
            if element["tag"] == tag
            and (inside is None or any(ancestor is inside for ancestor in element["inside"]))
            and all(element["attributes"].get(name) == value for name, value in attributes.items())
        ]


@pytest.fixture(scope="module")
def page(folder):
    return Page((folder / "report.html").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rows(page):
    (kernel_rows,) = page.find("table", id="kernels")
    cells = [page.find("td", inside=row) for row in page.find("tr", inside=kernel_rows)]
    return [row for row in cells if row]  # neither the head nor the headings of the groups


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    assert plt.get_fignums() == []


def picture(source):
    """Pixels of a data URI."""
    kind, data = source.split(",", 1)
    assert kind == "data:image/png;base64"
    with Image.open(io.BytesIO(base64.b64decode(data, validate=True))) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


# --- files -----------------------------------------------------------------------------------------------------------


def test_exactly_these_files_are_written(folder):
    assert sorted(path.name for path in folder.iterdir()) == FILES
    for name in FIGURES:
        with Image.open(folder / f"{name}.png") as image:
            assert image.format == "PNG" and min(image.size) > 100


def test_the_figures_are_those_of_the_page(layer, table, folder, page):
    assert sorted(figures(table, layer)) == FIGURES
    shown = [e["attributes"]["src"] for e in page.find("img") if e["inside"][-1]["tag"] == "figure"]
    files = {base64.b64encode((folder / f"{name}.png").read_bytes()).decode() for name in FIGURES}
    assert {source.split(",")[1] for source in shown} == files and len(shown) == 6


def test_columns_of_the_csv(table, folder):
    frame = pd.read_csv(folder / "kernels.csv")
    shifts = [f"eta_{name}({u})" for name in ("rmax", "cmod") for u in ("0,1", "1,0")]
    assert frame.columns.tolist() == [*COLUMNS, *shifts] and len(frame) == 6
    assert frame["index"].tolist() == list(range(6))
    for name in COLUMNS[2:]:
        values = table[name].mean("shift") if "shift" in table[name].dims else table[name]
        np.testing.assert_allclose(frame[name], values, rtol=1e-5, err_msg=name)
    for s, name in enumerate(shifts):
        np.testing.assert_allclose(frame[name], table[name.split("(")[0]].values[:, s % 2], rtol=1e-5)


def test_only_dead_kernels_and_predictions_are_missing_from_the_csv(table, folder):
    frame = pd.read_csv(folder / "kernels.csv").set_index("index")
    assert frame.kind.tolist() == ["band-pass", "blob", "dead", "band-pass", "band-pass", "band-pass"]
    dead = frame.loc[DEAD]
    assert dead[dead.notna()].to_dict() == {
        "kind": "dead",
        "cell_y": -1,
        "cell_x": -1,
        "share_of_change": 0,
        "share_of_change_stderr": 0,
        "rank": -1,
    }
    alive = frame.drop(DEAD)
    # A blob has no prediction, and its Gabor fit hardly a wave.
    assert alive.columns[alive.isna().any()].tolist() == ["phase", "predicted_rho", "gaussian_rho"]
    assert alive.phase.isna().tolist() == (alive.kind != "band-pass").tolist()
    assert alive.predicted_rho.isna().tolist() == (alive.kind != "band-pass").tolist()
    assert sorted(alive["rank"]) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("channels", [3, 1])
def test_the_table_survives_the_disk(layer, table, tmp_path, channels):
    if channels == 1:
        grey = FirstLayer("grey", layer.weight[:, :1], STRIDE)
        table = kernel_table(grey, pictures(1), size=64, progress=False)
    results.save(table, tmp_path / "kernels.nc")
    back = results.load(tmp_path / "kernels.nc")
    xr.testing.assert_equal(back, table)
    assert set(back.coords) == set(table.coords) and set(back.attrs) == set(table.attrs)
    for name, value in table.attrs.items():  # a list of one number comes back as the number
        np.testing.assert_array_equal(np.ravel(back.attrs[name]), np.ravel(value), err_msg=name)
    for name in table.variables:
        assert back[name].attrs == table[name].attrs
        assert back[name].dtype.kind == table[name].dtype.kind or table[name].dtype.kind == "U"
    pd.testing.assert_frame_equal(kernel_frame(back), kernel_frame(table), check_dtype=False)


def test_what_was_written_can_be_loaded(table, folder):
    xr.testing.assert_equal(results.load(folder / "kernels.nc"), table)


def test_the_page_is_the_same_but_for_the_time(layer, table, folder):
    again = kernel_table(layer, pictures(), size=64, progress=False).assign_attrs(created="another time")
    drawn = {name: (folder / f"{name}.png").read_bytes() for name in FIGURES}
    for name in ("fourier", "ranking"):
        assert drawn[name] == rendered(figures(again, layer)[name](), "png", 100)
    written = (folder / "report.html").read_text(encoding="utf-8")
    assert written.count(table.created) == 1
    assert html_of(again, layer, drawn) == written.replace(table.created, "another time")


# --- page ------------------------------------------------------------------------------------------------------------


def test_link_to_a_prescription_is_there_when_that_is(tmp_path, folder, table, layer):
    assert NO_LINK in (folder / "report.html").read_text(encoding="utf-8")
    (tmp_path / PAGE).touch()
    report = Report(tmp_path, progress=False)
    report.draw = lambda *_: {}  # figures are not what this is about
    write_kernels(report, table, layer)
    assert LINK in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_page_needs_nothing_else(folder, page):
    assert [d.lower() for d in page.declared] == ["doctype html"]
    for element in page.elements:
        assert element["tag"] not in {"link", "iframe", "object", "embed", "base", "audio", "video", "source"}
        for name, value in element["attributes"].items():
            assert not name.startswith("on")
            if name in {"src", "href", "srcset", "data", "action", "poster"}:
                assert value.startswith(("data:image/png;base64,", "data:text/csv;base64,", "#")), value[:60]
    assert all("src" not in script["attributes"] for script in page.find("script"))
    text = re.sub(r"data:(image/png|text/csv);base64,[^\"]*", "", (folder / "report.html").read_text(encoding="utf-8"))
    assert not re.search(r"https?:|//[a-z]+\.|url\(|@import|\bfetch\(|\bimport\b|XMLHttpRequest", text)


def test_every_picture_is_one_and_has_a_description(page):
    for image in page.find("img"):
        assert image["attributes"]["alt"].strip()
        assert picture(image["attributes"]["src"]).size


def test_one_card_for_each_kernel_in_order(layer, page):
    cards = page.find("article")
    assert [card["attributes"]["id"] for card in cards] == [f"kernel-{index}" for index in range(6)]
    for index, card in enumerate(cards):
        first = picture(page.find("img", inside=card)[0]["attributes"]["src"])
        kernel = layer.weight[index]
        scaled = 0.5 + 0.5 * kernel / (np.abs(kernel).max() or 1)
        np.testing.assert_array_equal(first, np.rint(255 * scaled).transpose(1, 2, 0).astype(np.uint8))
        assert len(page.find("img", inside=card)) == (1 if index == DEAD else 4)


def test_identifiers_are_unique_and_links_lead_to_them(page):
    names = [element["attributes"]["id"] for element in page.elements if "id" in element["attributes"]]
    assert len(names) == len(set(names))
    links = [element["attributes"]["href"] for element in page.find("a")]
    (table,) = [link for link in links if link.startswith("data:")]
    links.remove(table)
    assert len(links) == 6 and {link.removeprefix("#") for link in links} <= set(names)


def test_every_row_has_a_cell_for_each_head(page):
    for found in page.find("table"):
        head, *body = page.find("tr", inside=found)
        count = len(page.find("th", inside=head))
        groups = [row for row in body if page.find("th", inside=row)]
        assert all(page.find("th", inside=row)[0]["attributes"]["colspan"] == str(count) for row in groups)
        body = [row for row in body if row not in groups]
        assert count > 2 and len(body) >= 4
        assert [len(page.find("td", inside=row)) for row in body] == [count] * len(body)


def test_numbers_of_the_table_stand_below_their_heads(table, page, rows):
    frame = kernel_frame(table).set_index("index")
    (kernel_rows,) = page.find("table", id="kernels")
    heads = [head["text"].strip() for head in page.find("th", inside=kernel_rows, scope="col")]
    columns = {
        "rank": ("rank", 1),
        "θ_y/π": ("theta_y", np.pi),
        "θ_x/π": ("theta_x", np.pi),
        "λ": ("wavelength", 1),
        "angle": ("orientation", 1),
        "κ/π": ("bandwidth", np.pi),
        "in B": ("energy_in_window", 1),
        "Gabor R²": ("gabor_r2", 1),
        "one colour": ("monochrome", 1),
        "γ₁(mθ)": ("gamma", 1),
        "ρ": ("rho", 1),
        "ρ rms": ("rho_rms", 1),
        "ρ predicted": ("predicted_rho", 1),
        "η RMax": ("eta_rmax", 1),
        "η CMod": ("eta_cmod", 1),
        "η output": ("eta_output", 1),
        "share": ("share_of_change", 0.01),
    }
    assert set(columns) | {"kernel", "", "kind", "cell"} == set(heads) and len(heads) == len(set(heads))
    for cells in rows:
        cells = dict(zip(heads, cells, strict=True))
        row = frame.loc[int(cells["kernel"]["attributes"]["data-value"])]
        assert cells["kind"]["text"] == cells["kind"]["attributes"]["data-value"] == row.kind
        if row.kind != "dead":
            assert cells["cell"]["text"] == f"{row.cell_y}, {row.cell_x}"
        for head, (name, unit) in columns.items():
            value = cells[head]["attributes"]["data-value"]
            if row.kind == "dead" or np.isnan(row[name]):
                assert value == ""
            else:
                np.testing.assert_allclose(float(value), row[name] / unit, rtol=1e-12)
                decimals = len(cells[head]["text"].partition(".")[2])
                assert abs(float(cells[head]["text"]) - float(value)) <= 0.5001 * 10.0**-decimals
    assert sorted(int(cells[0]["text"]) for cells in rows) == list(range(6))


def test_missing_values_are_dashes_that_sort_as_missing(rows):
    missing = {}
    for cells in rows:
        for cell in cells:
            value = cell["attributes"].get("data-value")
            assert (value == "") == (cell["text"] == "–")
            assert value is None or not re.search("nan|inf|None", value)
        missing[int(cells[0]["text"])] = sum(cell["text"] == "–" for cell in cells)
    assert missing == {0: 0, 1: 1, DEAD: 18, 3: 0, 4: 0, 5: 0}


def test_band_pass_kernels_come_first_by_rank_and_the_dead_are_last(table, rows):
    shown = [int(cells[0]["text"]) for cells in rows]
    assert table.kind.values[shown].tolist() == ["band-pass"] * 4 + ["blob", "dead"]
    band = table["rank"].values[shown[:4]]
    assert (np.diff(band) > 0).all() and rows[-1][2]["text"] == "–"


def test_the_csv_of_the_page_is_that_of_the_folder(folder, page):
    (link,) = page.find("a", download="kernels.csv")
    data = base64.b64decode(link["attributes"]["href"].split(",")[1])
    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(data)), pd.read_csv(folder / "kernels.csv"))


def test_names_are_text_and_not_markup(page):
    assert not page.find("b") and not page.find("i") and not page.find("u")
    assert page.find("title")[0]["text"] == f"{NAME}: first-layer kernels"
    assert page.find("h1")[0]["text"].startswith(NAME)
    assert {"<i>conv1</i>.weight", "a&b<u>.npz", "0123" * 4} <= {code["text"] for code in page.find("code")}


def test_a_dead_kernel_is_named(page):
    assert any("Dead kernels, left out: 2." in text["text"] for text in page.find("p"))
    counts = next(text["text"] for text in page.find("p") if "Dead kernels" in text["text"])
    assert "4 band-pass, 1 blob, 1 dead." in counts
    (card,) = page.find("article", id=f"kernel-{DEAD}")
    assert "2: dead" in card["text"] and "nothing is computed" in card["text"] and not page.find("dl", inside=card)


def test_the_page_of_a_single_blob(layer):
    blob = FirstLayer("blob", layer.weight[[1]], STRIDE)
    table = kernel_table(blob, pictures()[:1], size=64, progress=False)
    page = Page(html_of(table, blob, dict.fromkeys(FIGURES, b"")))
    assert "left out" not in page.find("p")[1]["text"]
    assert len(page.find("article")) == 1 and not any("dead" in card["text"] for card in page.find("article"))
    correlations = page.find("td", inside=page.find("table")[0])
    assert {td["text"] for td in correlations if "class" not in td["attributes"]} == {"–", "– to –"}


def test_the_square_and_the_cross_of_a_card_lie_at_theta(table, page):
    mirrored = 0
    for index in np.flatnonzero(table.kind.values != "dead"):
        (card,) = page.find("article", id=f"kernel-{index}")
        (square,) = page.find("rect", inside=card)
        x, y, width, height = (float(square["attributes"][name]) for name in ("x", "y", "width", "height"))
        # The picture is 2 pi wide; the square pi / m.
        assert width == height == pytest.approx(100 / (2 * STRIDE))
        centre = np.array([y + height / 2, x + width / 2])
        (cross,) = page.find("path", inside=card)
        arms = re.fullmatch(r"M(\S+) (\S+)h(\d+)M(\S+) (\S+)v(\d+)", cross["attributes"]["d"])
        x1, y1, across, x2, y2, down = map(float, arms.groups())
        np.testing.assert_allclose([(y1, x1 + across / 2), (y2 + down / 2, x2)], [centre, centre], atol=1e-9)
        marked = np.array([50 - centre[0], centre[1] - 50]) * np.pi / 50
        theta = np.array([table.theta_y.values[index], table.theta_x.values[index]])
        sign = 1 if marked @ theta > 0 else -1
        np.testing.assert_allclose(marked, sign * theta, atol=1e-9)
        mirrored += sign < 0
        # The energy of what is drawn is there, and not on the other side.
        (source,) = (image for image in page.find("img", inside=card) if "spectrum" in image["attributes"]["alt"])
        image = picture(source["attributes"]["src"])[..., 0].astype(float)
        row, column = (centre * len(image) / 100).astype(int)
        assert image[row, column] > image[len(image) - 1 - row, len(image) - 1 - column]
        if table.kind.values[index] == "band-pass":  # a blob peaks at zero, wherever its centre is
            assert image[row, column] > 0.8 * 255
    assert 0 < mirrored < 5


def test_the_correlations_are_those_of_the_table(table, page):
    first = page.find("table")[0]
    (body,) = page.find("tbody", inside=first)
    found = {cells[0]["text"]: cells[1:] for cells in (page.find("td", inside=r) for r in page.find("tr", inside=body))}
    assert set(found) == set(CORRELATIONS)
    for label, (value, interval) in found.items():
        expected = rank_correlation(table, *CORRELATIONS[label])
        assert value["text"] == f"{expected[0]:.2f}"
        assert interval["text"] == f"{expected[1]:.2f} to {expected[2]:.2f}"


def test_a_card_is_drawn_for_every_live_kernel(layer, table):
    texts = [text.get_text() for ax in kernel_card(table, layer, 3).axes for text in (*ax.texts, ax.title)]
    frame = kernel_frame(table)
    assert any(f"kernel 3: {frame.kind[3]}" in text for text in texts)
    assert any(f"{frame.rho[3]:.3f}" in text for text in texts)
    with pytest.raises(ValueError, match=f"kernel {DEAD} is dead"):
        kernel_card(table, layer, DEAD)
    for index in (-1, 6):
        with pytest.raises(ValueError, match=f"index is {index}; expected 0 to 5"):
            kernel_card(table, layer, index)


# --- stored results --------------------------------------------------------------------------------------------------


def test_a_stored_result_gives_its_page_again(layer, table, folder, tmp_path):
    np.save(tmp_path / "weights.npy", layer.weight)
    old = results.load(folder / "kernels.nc").drop_vars("weight")  # as results were before
    results.save(old, tmp_path / "kernels.nc")
    stored_report([tmp_path / "kernels.nc"], tmp_path / "genuine.html", weights=tmp_path / "weights.npy", figures=False)
    stored_report([tmp_path / "kernels.nc"], tmp_path / "fitted.html", figures=False)
    genuine, fitted = (Page((tmp_path / f"{name}.html").read_text("utf-8")) for name in ("genuine", "fitted"))
    assert [len(page.find("article")) for page in (genuine, fitted)] == [6, 6]
    assert not any("Gabor fits" in text["text"] for text in genuine.find("p"))
    assert any("Gabor fits" in text["text"] for text in fitted.find("p"))
    for index, kernel in enumerate(fitted_layer(old).weight):
        if index != DEAD:  # the kernels of this layer are what a fit can be
            likeness = (
                (kernel * layer.weight[index]).sum() / np.linalg.norm(kernel) / np.linalg.norm(layer.weight[index])
            )
            assert likeness > 0.9
    wrong = tmp_path / "wrong.npy"
    np.save(wrong, layer.weight[:3])
    with pytest.raises(ValueError, match="shape"):
        stored_report([folder / "kernels.nc"], tmp_path / "x.html", weights=wrong, figures=False)


def test_two_results_stand_side_by_side(table, folder, tmp_path):
    other = table.assign(eta_output=table.eta_output + xr.where(table.index == 4, 0.25, 0.0))
    results.save(other.assign_attrs(layer="other"), tmp_path / "b.nc")
    stored_report([folder / "kernels.nc", tmp_path / "b.nc"], tmp_path / "two.html", figures=False)
    page = Page((tmp_path / "two.html").read_text("utf-8"))
    first = page.find("td", inside=page.find("tbody")[-1])
    head = [cell["text"] for cell in page.find("span", role="button")]
    assert first[0]["text"] == "4"  # the largest difference
    at = head.index("η output A")
    values = [float(cell["attributes"]["data-value"]) for cell in first[at : at + 3]]
    assert values[2] == pytest.approx(0.25, rel=1e-4) and values[1] - values[0] == pytest.approx(0.25, rel=1e-4)
    medians = page.find("tr", inside=page.find("tbody")[0])
    assert len(medians) == 7 and any("+0.250 (4)" in cell["text"] for cell in page.find("td", inside=medians[1]))


def test_what_only_one_of_two_results_has_is_said_of_that_one(table, folder, tmp_path):
    results.save(table.isel(kernel=slice(0, 4)), tmp_path / "a.nc")
    for paths, side in (
        ([tmp_path / "a.nc", folder / "kernels.nc"], "B"),
        ([folder / "kernels.nc", tmp_path / "a.nc"], "A"),
    ):
        stored_report(paths, tmp_path / "two.html", figures=False)
        texts = [p["text"] for p in Page((tmp_path / "two.html").read_text("utf-8")).find("p")]
        assert any(f"2 only in {side}" in text for text in texts)


def test_results_of_different_kinds_are_no_pair(table, folder, tmp_path):
    maps = xr.Dataset({name: ("filter", np.ones(8)) for name in ("rho", "eta_rmax")})
    results.save(maps, tmp_path / "maps.nc")
    with pytest.raises(ValueError, match="expected one kind"):
        stored_report([folder / "kernels.nc", tmp_path / "maps.nc"], tmp_path / "x.html")
    results.save(xr.Dataset({"x": 1}), tmp_path / "none.nc")
    with pytest.raises(ValueError, match=r"expected kernels\.nc"):
        stored_report([tmp_path / "none.nc"], tmp_path / "x.html")
    with pytest.raises(ValueError, match="3 results"):
        stored_report([folder / "kernels.nc"] * 3, tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_without_figures_the_page_has_its_words_and_tables(layer, table, tmp_path):
    write_kernels(Report(tmp_path, progress=False, figures=False), table, layer)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kernels.csv", "kernels.nc", "report.html"]
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert not page.find("figure") and len(page.find("article")) == 6


def test_the_fine_example_has_low_gamma_and_changes_most(table):
    figure = plots.phase_advance_figure(table)
    assert len(figure.axes) == 4  # two waves, the changes, and the scale
    band = table.isel(kernel=table.kind.values == "band-pass")
    advance = np.abs(band.theta_y * band.shift_y + band.theta_x * band.shift_x)
    drawn = figure.axes[2].collections[0].get_offsets()
    np.testing.assert_allclose(np.sort(drawn[:, 0]), np.sort(advance.values.ravel()))
    assert set(np.round(drawn[:, 1], 12)) == set(np.round(band.eta_rmax.values.ravel(), 12))


def test_reports_leave_matplotlib_until_there_is_something_to_draw():
    code = "import sys, analysis.reports.kernels, analysis.reports.audit; sys.exit('matplotlib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
