"""The explorer in a browser: its numbers beside numpy's, and what a pointer and a keyboard do."""

from __future__ import annotations

import base64
import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

import analysis
from analysis.measurements.rmax_cmod import pool, strided_correlation
from analysis.reports.explorer.contents import SIDE, photograph
from analysis.theory import alpha_sharp, gamma, gamma_map
from wavelets import DualTreePackets2D
from wavelets.complex_filters import complex_filters

RESULTS = Path(__file__).resolve().parents[3] / "results"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
PATIENCE = 120_000  # milliseconds: a machine may be busy
WIDTHS = (420, 1400)

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the package playwright")
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"needs a browser: none of {', '.join(BROWSERS)} was found")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=found, args=ARGUMENTS, timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def explorer(table, maps):
    return analysis.explore(table, maps)


@pytest.fixture(scope="module")
def address(explorer, tmp_path_factory):
    return explorer.save(tmp_path_factory.mktemp("explorer") / "page.html").as_uri()


class Visit:
    """A page that is open, with all requests and complaints that it made."""

    def __init__(self, browser, address, width=1400):
        self.context = browser.new_context(viewport={"width": width, "height": 900})
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.requests, self.complaints = [], []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.goto(address)
        self.page.wait_for_selector("html[data-ready=yes]")

    def computed(self, expression, *arguments):
        return self.page.evaluate(
            f"(given) => {{ const list = (x) => Array.from(x); return ({expression}); }}", list(arguments)
        )

    def settle(self):
        """Wait until all that was asked for is drawn."""
        self.page.evaluate("() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 80)))")

    def pixels(self, name):
        return self.page.evaluate("(name) => document.getElementById(name).toDataURL()", name)

    def text(self, name):
        return self.page.inner_text(f"#{name}")


@pytest.fixture(scope="module")
def opened(browser, address):
    """The page, which all tests share: to open it anew costs seconds."""
    visit = Visit(browser, address)
    yield visit
    assert not visit.complaints and without_data(visit.requests) == [address]


@pytest.fixture
def visit(opened):
    """The page as it is when it has been opened."""
    opened.page.set_viewport_size({"width": 1400, "height": 900})
    opened.page.emulate_media(media="screen", color_scheme="light")
    opened.computed("(update({ ...initial, hovered: null }), applyTheme())")
    opened.settle()
    return opened


def without_data(requests):
    """Addresses that were asked for, without what follows a # and without those that hold their data."""
    return [url.partition("#")[0] for url in requests if not url.startswith("data:")]


# ---- numbers --------------------------------------------------------------------------------------------------------


def test_gamma_is_numpys(opened):
    omega = np.random.default_rng(0).uniform(-7, 7, (40, 2))
    omega[:6] = [[0, 0], [np.pi, np.pi], [2 * np.pi, 0], [1e-12, 0], [0.01, 0.02], [2 * np.pi / 3, 2 * np.pi / 3]]
    for q in range(4):
        found = opened.computed("given[0].map((omega) => gamma(omega, given[1]))", omega.tolist(), q)
        np.testing.assert_allclose(found, gamma(omega, q), atol=1e-6)
    found = opened.computed("list(gammaMap(3, 1, 33))")
    np.testing.assert_allclose(np.reshape(found, (33, 33)), gamma_map(3, 33), atol=1e-6)


def test_complex_filters_are_numpys(opened, layer):
    signs = np.where(layer.gain < 0, -1, 1)[:, None, None, None]
    expected = complex_filters(signs * layer.weight.astype(float))
    scale = np.abs(layer.weight).max()
    for k in range(len(layer.weight)):
        found = opened.computed(f"complexFilters({k}).map((f) => [list(f.re), list(f.im)])")
        filters = np.reshape([np.array(re) + 1j * np.array(im) for re, im in found], expected[k].shape)
        np.testing.assert_allclose(filters, expected[k], atol=1e-6 * scale)


@pytest.mark.parametrize("shift", [(1, 0), (0.25, -3.5), (8, 8)])
def test_translation_is_numpys(opened, shift):
    image = np.random.default_rng(1).random((16, 16))
    moved = opened.computed("list(translated(spectra([given[0]], 16)[0], given[1]).re)", image.ravel().tolist(), shift)
    np.testing.assert_allclose(np.reshape(moved, (16, 16)), analysis.translate(image, shift), atol=1e-6)


@pytest.mark.parametrize(
    ("stride", "q", "shift"), [(2, 1, (0, 1)), (4, 2, (0.25, 0)), (3, 1, (1.5, 1.5)), (5, 0, (2, 2))]
)
def test_rmax_and_cmod_of_a_kernel_are_numpys(opened, layer, stride, q, shift):
    pixels = np.frombuffer(base64.b64decode(photograph()), np.uint8).reshape(SIDE, SIDE, 3).transpose(2, 0, 1) / 255
    normalised = (pixels - np.reshape(layer.mean, (3, 1, 1))) / np.reshape(layer.std, (3, 1, 1))
    expected = numpy_maps(normalised, complex_filters(layer.weight.astype(float))[0], stride, q, shift)
    opened.computed(f"update({{ set: 0, pinned: 0, scene: 'photograph', path: 'right', m: {stride}, q: {q}, u: 0 }})")
    opened.settle()
    found = opened.computed(
        "((maps) => [list(maps.rmax), list(maps.cmod)])"
        "(pooled(translated(panels.lab.responses, given[1], given[0]), given[2]))",
        stride,
        shift,
        q,
    )
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(np.reshape(mine, theirs.shape), theirs, atol=1e-6 * np.abs(theirs).max())


def test_rmax_and_cmod_of_a_packet_and_their_change_are_numpys(opened, maps):
    k = 9
    pixels = np.frombuffer(base64.b64decode(photograph()), np.uint8).reshape(SIDE, SIDE, 3) / 255
    grey = (pixels @ [0.299, 0.587, 0.114])[None]
    kernel = DualTreePackets2D(2, maps.attrs["filters"], stride=2).kernels()[k][None]
    still, moved = (numpy_maps(grey, kernel, 2, 1, (0, u)) for u in (0, 0.75))
    opened.computed(f"update({{ set: 1, pinned: {k}, path: 'right', u: 0.75, since: 'step' }})")
    opened.settle()
    found = opened.computed(
        "((maps) => [list(maps.rmax), list(maps.cmod), maps.etaR, maps.etaC])(panels.lab.maps(0.75))"
    )
    before = numpy_maps(grey, kernel, 2, 1, (0, 0.5))
    steps = opened.computed("panels.lab.changes(0.75)")
    for i in (0, 1):
        np.testing.assert_allclose(np.reshape(found[i], moved[i].shape), moved[i], atol=1e-6 * np.abs(moved[i]).max())
        eta = np.linalg.norm(moved[i] - still[i]) / np.linalg.norm(still[i])
        assert abs(found[2 + i] - eta) < 1e-6
        assert abs(steps[i] - np.linalg.norm(moved[i] - before[i]) / np.linalg.norm(before[i])) < 1e-6


def numpy_maps(image, kernels, stride, q, shift):
    """RMax and CMod of a periodic picture with kernels centred on its pixels, by the package's own functions."""
    n = kernels.shape[-1]
    image = np.pad(
        analysis.translate(image, shift), ((0, 0), (n // 2, n - 1 - n // 2), (n // 2, n - 1 - n // 2)), "wrap"
    )
    return pool(sum(strided_correlation(x, w, stride) for x, w in zip(image, kernels, strict=True)), q)


def test_theorem_is_numpys_and_no_image_breaks_it(opened):
    tau = np.linspace(0, 8, 33)
    found = opened.computed("given[0].map(alphaSharp)", tau.tolist())
    np.testing.assert_allclose(found, alpha_sharp(np.stack([tau, 0 * tau], axis=-1)), atol=1e-6)
    parts = opened.computed(
        "((c) => [list(c.re), list(c.im), modulusChange(c, 0.7, [1, 2])])(envelope('gaussian', randomNumbers(3)))"
    )
    c = np.reshape(parts[0], (7, 7)) + 1j * np.reshape(parts[1], (7, 7))
    omega = 0.7 * (np.arange(7) / 6 - 0.5)
    moved = c * np.exp(-1j * (omega[:, None] + 2 * omega))
    still, moved = (np.abs(np.fft.ifft2(np.pad(part, ((0, 9), (0, 9))))) for part in (c, moved))
    assert abs(parts[2] - np.linalg.norm(moved - still) / np.linalg.norm(still)) < 1e-6
    for kappa, u in itertools.product([0.1, 0.8, 3], [(0, 1), (2, 2), (0.5, 3)]):
        changes = opened.computed("panels.theorem.envelopes.map((c) => modulusChange(c, given[0], given[1]))", kappa, u)
        bound = alpha_sharp(kappa * np.array(u))
        assert max(changes) <= bound * (1 + 1e-9)
    near = opened.computed("panels.theorem.built.map((c) => modulusChange(c, 0.2, [1, 1]))")
    assert max(near) > 0.95 * alpha_sharp([0.2, 0.2])


# ---- a visitor ------------------------------------------------------------------------------------------------------


def point(visit, k):
    """Where a kernel is in the window."""
    visit.page.locator("#plane-chart").scroll_into_view_if_needed()
    box = visit.page.locator("#plane-chart").bounding_box()
    place = visit.computed(f"panels.plane.places.filter((place) => place.k === {k}).at(-1)")
    return box["x"] + place["x"], box["y"] + place["y"]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_tap_shows_the_kernel_everywhere(visit, width):
    visit.page.set_viewport_size({"width": width, "height": 900})
    visit.settle()
    x, y = point(visit, 3)
    if width == max(WIDTHS):
        visit.page.mouse.click(x, y)
    else:
        for name in ("pointerdown", "pointerup"):
            visit.page.dispatch_event("#plane-chart", name, {"pointerType": "touch", "clientX": x, "clientY": y})
    visit.settle()
    assert "3" in visit.text("card-title") and "not pinned" not in visit.text("card-title")
    assert visit.page.locator("#table tr.pinned").get_attribute("data-kernel") == "3"
    assert visit.page.locator("#kernel-3").get_attribute("aria-selected") == "true"
    theta = visit.computed("[state.theta, dataset().rows[3]]")
    assert theta[0] == [theta[1]["theta_y"], theta[1]["theta_x"]]
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= width


def test_the_address_keeps_what_was_chosen(visit, browser, address):
    visit.computed(
        "update({ pinned: 3, u: 2.5, m: 3, kappa: 0.33, find: 'fine', sort: ['rho', false], selected: [1, 3], "
        "area: [-1, 0, 0.5, 2], since: 'start' })"
    )
    visit.page.wait_for_url(lambda url: "kappa=0.33" in url)
    again = Visit(browser, address + "#" + visit.page.url.partition("#")[2], min(WIDTHS))
    names = ["m", "q", "u", "pinned", "kappa", "find", "sort", "theta", "set", "selected", "area", "since"]
    kept, found = (each.computed("given[0].map((name) => state[name])", names) for each in (visit, again))
    again.context.close()
    assert kept == found and not again.complaints and without_data(again.requests) == [address]


def test_an_address_that_asks_for_nonsense_is_no_harm(opened):
    nonsense = (
        "pinned=999 m=0 q=x u=77 path=up theta=1 sort=no_true set=9 across=toString kappa=-1 selected=1_99 cell=-1 "
        "area=1_2 since=toString"
    )
    for part in nonsense.split():
        assert opened.computed("recalled(given[0])", f"#{part}") == {}, part
    assert opened.computed("recalled('#u=1.5&path=up&phi=1')") == {"u": 1.5, "phi": 1}


def test_the_shift_changes_the_maps(visit):
    visit.computed("update({ u: 0, since: 'start' })")
    visit.settle()
    names = ("lab-picture", "lab-rmax", "lab-cmod", "lab-rmax-change")
    before = [visit.pixels(name) for name in names]
    assert visit.text("lab-eta-rmax").split()[0] == "0"
    visit.page.locator("#slider-u").fill("1.25")
    visit.settle()
    after = [visit.pixels(name) for name in names]
    assert all(a != b for a, b in zip(before, after, strict=True))
    assert visit.computed("Math.round(100 * panels.lab.maps(1.25).etaR)") == int(visit.text("lab-eta-rmax").split()[0])
    visit.page.select_option("#lab-scene", "wave")
    visit.settle()
    # Of one wave the modulus does not change, but for what a filter of finite support lets through of its mirror image.
    assert visit.computed("panels.lab.maps(1.25).etaC") < 0.01 < 0.1 < visit.computed("panels.lab.maps(1.25).etaR")


def test_the_picture_plays_to_and_fro(visit):
    visit.computed("update({ u: 1 })")
    seen = visit.page.evaluate(
        """() => new Promise((done) => {
          const [lab, seen] = [panels.lab, []], draw = lab.draw;
          lab.draw = (changed) => {
            draw.call(lab, changed);
            if (seen.push(state.u) === 20) { lab.draw = draw; lab.stop(); done(seen); }
          };
          lab.toggle();
        })"""
    )
    assert min(seen) >= 0 and max(seen) <= 2
    moves = np.diff(seen)
    assert (moves > 0).any() and (moves < 0).any()


def test_units_are_marked_by_keys(visit):
    start, side = visit.computed("[panels.lab.cell, panels.lab.still.side]")
    visit.page.focus(".map:has(#lab-cmod)")
    y, x = divmod(start, side)
    vertical, horizontal = "Up" if y else "Down", "Left" if x else "Right"
    visit.page.keyboard.press(f"Arrow{vertical}")
    visit.settle()
    visit.page.keyboard.press(f"Arrow{horizontal}")
    visit.settle()
    assert visit.computed("state.cell") == start + (-side if y else side) + (-1 if x else 1)
    visit.computed("update({ cell: 0 })")
    visit.settle()
    visit.page.keyboard.press("ArrowUp")
    visit.settle()
    assert visit.computed("state.cell") == 0


def test_ticks_of_phases_have_room(opened):
    for high, room in itertools.product([np.pi, 7, 26.4, 200], [-50, 0, 60, 310, 500]):
        values = [
            value for value, _ in opened.computed("ticksOf({ low: 0, high: given[0], pi: true }, given[1])", high, room)
        ]
        assert values[0] == 0 and values[-1] <= high * (1 + 1e-9)
        assert (np.diff(values) / high * max(room, 1) >= min(40, max(room, 1) / 2)).all()
        assert room < 300 or len(values) >= 3
    texts = [text for _, text in opened.computed("ticksOf({ low: -Math.PI, high: 1.5 * Math.PI, pi: true }, 900)")]
    assert texts == ["−π", "−π/2", "0", "π/2", "π", "3π/2"]


def test_phases_coincide_at_two_pi(visit):
    visit.page.click("#clock-coincide")
    visit.settle()
    assert visit.computed("new Set(windowPhases(state.theta.map((t) => state.m * t), state.q)).size") == 1
    assert abs(float(visit.text("clock-gamma")) - np.sqrt(1.5)) < 1e-3
    positions = visit.page.locator("#clock-face .sample").count()
    assert positions == 9


def test_a_box_selects_the_table_follows_and_is_saved(visit):
    x, y = point(visit, 1)
    top = "byId('plane-chart').getBoundingClientRect().top + scrollY"
    place = visit.computed(top)
    mouse = visit.page.mouse
    mouse.move(x - 9, y - 9)
    mouse.down()
    mouse.move(x, y)
    mouse.move(x + 9, y + 9)
    mouse.up()
    visit.settle()
    inside = visit.computed("state.selected")
    assert 1 in inside and len(inside) < 6
    # The box stays, nothing has moved, and what it holds is said beside it.
    assert visit.page.locator("#plane-chart .rubber").get_attribute("d").startswith("M")
    assert abs(visit.computed(top) - place) < 1
    assert str(len(inside)) in visit.text("plane-selection").split()
    assert visit.page.locator("#table tbody tr").count() == len(inside)
    with visit.page.expect_download() as download:
        visit.page.click("#table-csv")
    lines = Path(download.value.path()).read_text("utf-8").splitlines()
    assert lines[0].startswith("index,kind,") and len(lines) == 1 + len(inside)
    visit.page.click("#plane-clear")
    visit.settle()
    assert visit.computed("[state.selected, state.area]") == [None, None]
    assert not visit.page.locator("#plane-chart .rubber").get_attribute("d")
    assert abs(visit.computed(top) - place) < 1


def test_table_is_searched_filtered_and_sorted(visit):
    shown = "list(document.querySelectorAll('#table tbody tr')).map((row) => Number(row.dataset.kernel))"
    visit.page.get_by_role("button", name="CMod changes").click()
    visit.settle()
    values = [visit.computed("dataset().rows[given[0]].eta_cmod", k) for k in visit.computed(shown)]
    assert values[:-1] == sorted(values[:-1], reverse=True) and values[-1] is None
    visit.page.fill("#table-find", "4")
    visit.settle()
    assert visit.computed(shown) == [4]
    visit.page.fill("#table-find", "")
    visit.page.select_option("#table-kind", "dead")
    visit.settle()
    assert visit.computed(shown) == [2]
    visit.page.fill("#table-find", "zebra")
    visit.settle()
    assert visit.computed(shown) == []
    visit.page.locator("#table-body [role=status]").get_by_role("button").click()
    visit.settle()
    assert len(visit.computed(shown)) == visit.computed("dataset().rows.length") and not visit.computed("state.find")


@pytest.mark.parametrize("width", WIDTHS)
def test_keyboard_goes_through_the_table(visit, width):
    visit.page.set_viewport_size({"width": width, "height": 900})
    visit.settle()
    numbers = visit.page.locator("#table tbody button")
    assert visit.page.locator("#table tbody button[tabindex='0']").count() == 1 < numbers.count()
    assert all(
        min(size) >= 24
        for size in visit.computed(
            "list(document.querySelectorAll('#table tbody button')).map((one) => [one.offsetWidth, one.offsetHeight])"
        )
    )
    numbers.first.focus()
    visit.page.keyboard.press("ArrowDown")
    second = numbers.nth(1).inner_text()
    assert visit.computed("document.activeElement.textContent") == second
    visit.page.keyboard.press("Enter")
    visit.settle()
    assert (
        visit.computed("[String(dataset().rows[state.pinned].index), document.activeElement.textContent]")
        == [second] * 2
    )


def test_keyboard_goes_through_the_kernels(visit):
    visit.page.focus("#kernel-list [tabindex='0']")
    visit.page.keyboard.press("Home")
    visit.page.keyboard.press("ArrowRight")
    visit.settle()
    assert visit.computed("state.pinned") == 1 and visit.computed("document.activeElement.id") == "kernel-1"
    for key, selected in (("Space", [1]), ("ArrowRight", [1]), ("Space", [1, 2]), ("Space", [1]), ("Escape", None)):
        visit.page.keyboard.press(key)
        visit.settle()
        assert visit.computed("state.selected") == selected, key


def test_down_in_the_list_is_down_on_the_screen(visit):
    visit.computed("(byId('kernel-list').style.width = '125px', null)")  # rows of a few
    visit.page.focus("#kernel-list [tabindex='0']")
    place = "((one) => [one.offsetLeft, one.offsetTop])(document.activeElement)"
    visit.page.keyboard.press("Home")
    visit.settle()
    left, top = visit.computed(place)
    visit.page.keyboard.press("ArrowDown")
    visit.settle()
    now = visit.computed(place)
    assert now[0] == left and now[1] > top
    visit.page.keyboard.press("ArrowUp")
    visit.settle()
    assert visit.computed(place) == [left, top]
    visit.computed("(byId('kernel-list').style.width = '', null)")
    visit.page.set_viewport_size({"width": min(WIDTHS), "height": 900})  # one row that scrolls
    visit.settle()
    visit.page.keyboard.press("ArrowDown")
    visit.settle()
    assert visit.computed("state.pinned") == 1


def test_theme_explanations_and_print(visit):
    visit.page.emulate_media(color_scheme="dark")
    visit.computed("applyTheme()")
    back = "getComputedStyle(document.body).backgroundColor"
    dark = visit.computed(back)
    visit.page.click("#theme")
    assert visit.computed(back) != dark
    assert visit.page.locator("#plane .explanation").is_visible()
    visit.page.click("#explain")
    visit.settle()
    assert not visit.page.locator("#plane .explanation").is_visible()
    visit.page.emulate_media(media="print")
    for name, seen in (("verdict", True), ("table", True), ("plane", False), ("lab", False), ("table-controls", False)):
        assert visit.page.locator(f"#{name}").is_visible() == seen, name


def test_it_works_in_the_frame_of_a_notebook(browser, explorer, tmp_path):
    (tmp_path / "notebook.html").write_text(
        f"<!DOCTYPE html><html data-ready=yes>{explorer._repr_html_()}", encoding="utf-8"
    )
    visit = Visit(browser, (tmp_path / "notebook.html").as_uri())
    frame = visit.page.frame_locator("iframe")
    frame.locator("html[data-ready=yes]").wait_for()
    frame.locator("#kernel-1").click()
    frame.locator("#table tr.pinned[data-kernel='1']").wait_for()
    visit.context.close()
    assert not visit.complaints


def test_kernel_63_of_alexnet_has_its_card_and_its_row(browser, tmp_path):
    weights = Path(os.environ.get("SHIFTSCOPE_DATA", "missing")) / "weights" / "alexnet_torchvision_conv1.npz"
    if not weights.is_file():
        pytest.skip("needs AlexNet's kernels (set SHIFTSCOPE_DATA)")
    explorer = analysis.explore(RESULTS / "kernels" / "alexnet" / "kernels.nc", weights=weights)
    assert len(explorer.html) < 4e6
    visit = Visit(browser, explorer.save(tmp_path / "alexnet.html").as_uri())
    visit.page.click("#kernel-5")
    visit.page.mouse.click(*point(visit, 63))
    visit.settle()
    assert "63" in visit.text("card-title") and "54.7" in visit.text("card-body")
    assert visit.page.locator("#table tr.pinned").get_attribute("data-kernel") == "63"
    visit.context.close()
    assert not visit.complaints
