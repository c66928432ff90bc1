"""Pictures of trained kernels: scales, places, marks and numbers."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis import plots
from analysis.kernels import FirstLayer, describe_kernels, first_colour, fit_gabor, gabor, kernel_frame, kernel_table
from analysis.plots.first_layer import KIND_COLOURS, draw_filter_spectrum, filter_crop
from analysis.theory import gamma_map
from wavelets.complex_filters import complex_filters

GREY, OPPONENT, BLUE = (0.6, 0.6, 0.5), (0.6, -0.6, 0.1), (0.2, 0.1, 1.0)
STRIDE, DEAD, BLOB = 2, 2, 1


def kernels():
    """Three gratings, a blob of opponent colours (1) and a dead kernel (2)."""
    waves = [
        (GREY, [1, 0.3, 0.5, 1.6, 3, 3, 1.7, 1.7, 0]),
        ((1.0, 0.1, -1.0), [1, 0, 0, 0, 3, 3, 1.2, 1.2, 0]),
        (GREY, [0, 0, 0, 0, 3, 3, 1, 1, 0]),
        (OPPONENT, [3, 1, -1.2, 1.2, 3, 3, 1.7, 1.7, 0]),
        (BLUE, [1, 1, 1.9, 0.2, 3, 3, 1.7, 1.7, 0]),
    ]
    return np.stack([np.multiply.outer(colour, gabor(wave, (7, 7))) for colour, wave in waves])


@pytest.fixture(scope="module")
def layer():
    return FirstLayer("small", kernels(), STRIDE)


@pytest.fixture(scope="module")
def table(layer):
    return kernel_table(layer, np.random.default_rng(0).random((3, 64, 64, 3)), size=64, progress=False)


@pytest.fixture(scope="module")
def plane():
    return gamma_map(STRIDE)


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    assert plt.get_fignums() == []


@pytest.fixture
def ax():
    return Figure().add_subplot()


def render(figure):
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    return figure


# --- pictures of one kernel ------------------------------------------------------------------------------------------


def test_zero_is_mid_grey_and_the_largest_weight_black_or_white():
    kernel = np.zeros((3, 2, 3))
    kernel[0, 1, 2], kernel[2, 0, 1] = -4, 2
    image = plots.kernel_image(kernel)
    assert image.shape == (2, 3, 3) and image.dtype == np.float64
    expected = np.full((2, 3, 3), 0.5)
    expected[1, 2, 0], expected[0, 1, 2] = 0, 0.75
    np.testing.assert_array_equal(image, expected)


@pytest.mark.parametrize("scale", [1e-30, 0.3, 7.0, 1e30])
def test_pictures_of_a_kernel_do_not_depend_on_its_scale(scale):
    kernel = np.random.default_rng(1).standard_normal((3, 7, 5))
    np.testing.assert_allclose(plots.kernel_image(scale * kernel), plots.kernel_image(kernel), rtol=1e-12)
    np.testing.assert_allclose(plots.fourier_image(scale * kernel), plots.fourier_image(kernel), rtol=1e-9, atol=1e-12)


def test_the_opposite_kernel_is_the_negative_picture():
    kernel = np.random.default_rng(2).standard_normal((3, 4, 4))
    np.testing.assert_allclose(plots.kernel_image(-kernel), 1 - plots.kernel_image(kernel), atol=1e-15)


def test_one_channel_is_grey():
    kernel = np.random.default_rng(3).standard_normal((1, 4, 6))
    for image in (plots.kernel_image(kernel), plots.fourier_image(kernel)):
        assert image.shape[2] == 3 and np.ptp(image, axis=2).max() == 0
        image[:] = 0  # the caller's own
    assert np.ptp(plots.kernel_image(kernel)) > 0.5


@pytest.mark.parametrize("channels", [1, 3])
def test_a_dead_kernel_is_mid_grey_and_its_spectrum_black(channels):
    dead = np.zeros((channels, 5, 5))
    np.testing.assert_array_equal(plots.kernel_image(dead), np.full((5, 5, 3), 0.5))
    np.testing.assert_array_equal(plots.fourier_image(dead), np.zeros((65, 65, 3)))


@pytest.mark.parametrize("shape", [(7, 7), (2, 7, 7), (4, 7, 7), (1, 3, 7, 7), ()])
def test_other_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        plots.kernel_image(np.ones(shape))


@pytest.mark.parametrize(("y", "x"), [(0, 5), (7, 0), (3, 11), (-9, 2), (20, 20), (0, 0)])
def test_a_pure_wave_has_its_peaks_at_its_frequency_and_the_opposite_one(y, x):
    n = np.arange(65)
    kernel = np.zeros((3, 65, 65))
    kernel[1] = 5 * np.cos(2 * np.pi * (y * n[:, None] + x * n) / 65)
    image = plots.fourier_image(kernel)
    assert {tuple(place) for place in np.argwhere(image > 1e-6)} == {(32 + y, 32 + x, 1), (32 - y, 32 - x, 1)}
    assert image.max() == 1


@pytest.mark.parametrize("points", [9, 65])
def test_the_spectrum_of_a_real_kernel_is_symmetric_with_a_maximum_of_one(points):
    image = plots.fourier_image(np.random.default_rng(4).standard_normal((3, 7, 6)), points)
    assert image.shape == (points, points, 3)
    np.testing.assert_allclose(image, image[::-1, ::-1], atol=1e-12)
    assert image.max() == 1 and image.min() >= 0


# --- mosaics ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [1, 10])
@pytest.mark.parametrize("draw", [plots.mosaic_figure, plots.fourier_figure])
def test_mosaics_have_one_numbered_tile_for_each_kernel(draw, count):
    weight = np.random.default_rng(5).standard_normal((count, 3, 5, 4))
    weight[0] = 0
    figure = draw(weight, "a layer")
    render(figure)
    (ax,) = figure.axes
    assert [text.get_text() for text in ax.texts] == [str(index) for index in range(count)]
    assert "a layer" in figure.get_suptitle()
    # Rows of spectra rise with the frequency, those of pictures go down.
    make, step = {plots.mosaic_figure: (plots.kernel_image, 1), plots.fourier_figure: (plots.fourier_image, -1)}[draw]
    places = []
    for shown, number, kernel in zip(ax.images, ax.texts, weight, strict=True):
        np.testing.assert_array_equal(shown.get_array(), make(kernel)[::step])
        left, right, bottom, top = shown.get_extent()
        assert shown.origin == "upper" and bottom > top  # as the axis, whose values rise downwards
        x, y = number.get_position()
        assert left < x < right and y < top  # above its picture
        places.append((round(top, 6), left))
    assert ax.yaxis_inverted() and places == sorted(places) and len(set(places)) == count  # in reading order


def test_mosaic_of_one_channel():
    (ax,) = render(plots.mosaic_figure(kernels()[:, :1])).axes
    assert len(ax.images) == 5


@pytest.mark.parametrize("name", [r"a$\frac$", "$ 100 % {x} a_b^c"])
def test_any_name_of_a_layer_can_be_drawn(layer, table, plane, name):
    named = table.assign_attrs(layer=name)
    for figure in (
        plots.mosaic_figure(layer.weight, name),
        plots.fourier_figure(layer.weight, name),
        plots.kernel_plane_figure(named, plane),
        plots.kernel_prediction_figure(named),
        plots.ranking_figure(named),
    ):
        render(figure)


# --- points in the Fourier plane -------------------------------------------------------------------------------------


def markers(figure):
    """Places (x, y) of filled and of hollow markers: {(kind, filled): places}."""
    kinds = {to_hex(colour): kind for kind, colour in KIND_COLOURS.items()}
    found = {}
    for points in figure.axes[0].collections:
        filled = len(points.get_facecolor()) > 0
        colour = points.get_facecolor() if filled else points.get_edgecolor()
        key = kinds[to_hex(colour[0])], filled
        assert key not in found
        found[key] = np.asarray(points.get_offsets())
    return found


def places(table, kind):
    keep = table.kind.values == kind
    return np.stack([table.theta_x.values[keep], table.theta_y.values[keep]], axis=1)


def test_the_layer_of_these_tests_has_a_blob_and_a_dead_kernel(table):
    assert table.kind.values.tolist() == ["band-pass", "blob", "dead", "band-pass", "band-pass"]


def test_every_live_kernel_is_marked_at_theta_and_hollow_at_its_opposite(table, plane):
    found = markers(render(plots.kernel_plane_figure(table, plane)))
    assert set(found) == {(kind, filled) for kind in KIND_COLOURS for filled in (True, False)}
    for kind in KIND_COLOURS:
        np.testing.assert_array_equal(found[kind, True], places(table, kind))
        np.testing.assert_array_equal(found[kind, False], -places(table, kind))
    filled = np.concatenate([found[kind, True] for kind in KIND_COLOURS])
    assert len(filled) == 4 and np.isfinite(filled).all() and (filled[:, 0] >= 0).all()


def test_markers_grow_with_the_energy_in_the_window(table, plane):
    more = table.assign(energy_in_window=("kernel", np.array([0.2, 0.9, np.nan, 0.8, 0.5])))
    figure = plots.kernel_plane_figure(more, plane)
    sizes = next(points.get_sizes() for points in figure.axes[0].collections if len(points.get_sizes()) == 3)
    assert np.argsort(sizes).tolist() == [0, 2, 1]


@pytest.mark.parametrize("count", [0, 2])
def test_labels_are_those_of_the_jumpiest_kernels(table, plane, count):
    expected = np.argsort(-table.share_of_change.values)[: min(count, 4)]
    figure = render(plots.kernel_plane_figure(table, plane, labels=count))
    ax = figure.axes[0]
    assert {text.get_text() for text in ax.texts} == {str(index) for index in expected}
    for text in ax.texts:
        index = int(text.get_text())
        assert text.xy == (table.theta_x.values[index], table.theta_y.values[index])
    assert ("numbers" in ax.get_title()) == (count > 0)


def test_plane_of_kernels_that_were_only_described(layer, plane):
    described = describe_kernels(layer)
    figure = render(plots.kernel_plane_figure(described, plane))
    np.testing.assert_array_equal(markers(figure)["band-pass", True], places(described, "band-pass"))
    assert not figure.axes[0].texts and "numbers" not in figure.axes[0].get_title()


def test_plane_without_a_band_pass_kernel(table, plane):
    figure = render(plots.kernel_plane_figure(table.isel(kernel=[BLOB, DEAD]), plane))
    found = markers(figure)
    np.testing.assert_array_equal(found["blob", True], places(table, "blob"))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "blob" in legend and "band-pass" not in legend


# --- predictions, ranking --------------------------------------------------------------------------------------------


def test_predictions_stand_against_measurements(table):
    figure = render(plots.kernel_prediction_figure(table))
    narrow, gaussian, changes = figure.axes
    alive, band_pass = table.kind.values != "dead", table.kind.values == "band-pass"
    for ax, predicted, chosen in ((narrow, table.gamma, alive), (gaussian, table.predicted_rho, band_pass)):
        found = np.concatenate([points.get_offsets() for points in ax.collections])
        expected = np.stack([predicted.values, table.rho_rms.values], axis=1)[chosen]
        assert {tuple(p) for p in found} == {tuple(p) for p in expected}
        low, high = ax.get_xlim()
        assert ax.get_ylim() == (low, high) and (found >= low).all() and (found <= high).all()
    pairs = {tuple(pair) for line in changes.lines[1:] for pair in line.get_xydata()[band_pass]}
    expected = {
        pair
        for name in ("rmax", "cmod")
        for pair in zip(
            table[f"predicted_eta_{name}"].values[band_pass].ravel(),
            table[f"eta_{name}_rms"].values[band_pass].ravel(),
            strict=True,
        )
    }
    assert pairs == expected and len(pairs) == 12


@pytest.mark.parametrize("chosen", [[BLOB, DEAD], [0, DEAD]])
def test_predictions_of_few_kernels_and_of_none_that_is_band_pass(table, chosen):
    render(plots.kernel_prediction_figure(table.isel(kernel=chosen)))
    render(plots.ranking_figure(table.isel(kernel=chosen)))


@pytest.mark.parametrize("name", ["rho_rms", "predicted_eta_cmod"])
def test_a_value_that_is_missing_does_not_spoil_the_predictions(table, name):
    values = table[name].values.copy()
    values[3] = np.nan
    figure = render(plots.kernel_prediction_figure(table.assign({name: (table[name].dims, values)})))
    assert all(np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all() for ax in figure.axes)


def test_ranking_is_by_rank_and_leaves_the_dead_out(table):
    figure = render(plots.ranking_figure(table))
    top, ax = figure.axes
    order = [int(label.get_text()) for label in ax.get_xticklabels()]
    change = {name: table[f"eta_{name}"].mean("shift").values for name in ("rmax", "cmod")}
    assert order == np.argsort(-table.share_of_change.values)[:4].tolist() and DEAD not in order
    shares = sorted((bar.get_x(), bar.get_height()) for bar in top.patches)
    np.testing.assert_allclose([height for _, height in shares], 100 * table.share_of_change.values[order])
    bars = sorted((bar.get_x() + bar.get_width() / 2, bar.get_height(), bar.get_facecolor()) for bar in ax.patches)
    np.testing.assert_allclose([bar[0] for bar in bars], range(4), atol=1e-12)
    np.testing.assert_array_equal([bar[1] for bar in bars], change["rmax"][order])
    assert [to_hex(bar[2]) for bar in bars] == [KIND_COLOURS[kind].lower() for kind in table.kind.values[order]]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), change["cmod"][order])


def test_ranking_follows_the_ranks_of_the_table(table):
    ranked = table.assign(rank=("kernel", np.array([3, 4, -1, 1, 2])))
    labels = [label.get_text() for label in plots.ranking_figure(ranked).axes[1].get_xticklabels()]
    assert labels == ["3", "4", "0", "1"]


# --- cards -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("index", "measured"), [(0, True), (BLOB, True), (3, False)])
def test_cards(layer, table, index, measured):
    weight = layer.weight
    frame = (
        kernel_frame(table)
        if measured
        else describe_kernels(layer).drop_dims(["channel", "gabor_parameter"]).to_dataframe()
    )
    row = frame.iloc[index].to_dict()
    colour_plane = first_colour(weight)[0][index]
    w = complex_filters(colour_plane[None, None])[0, 0]
    fitted = gabor(fit_gabor(colour_plane)[0], colour_plane.shape)
    figure = render(plots.card_figure(weight[index], w, fitted, row, STRIDE))
    assert len(figure.axes) == 5
    np.testing.assert_array_equal(figure.axes[0].images[0].get_array(), plots.kernel_image(weight[index]))
    assert figure.axes[0].get_title() == f"kernel {index}: {row['kind']}"
    text = figure.axes[4].texts[0].get_text()
    assert f"{row['gamma']:.3f}" in text and "nan" not in text
    assert ("η RMax" in text) == measured


@pytest.mark.parametrize("theta", [(0.8, 1.2), (-1.5, 0.4), (2.0, 0.0), (0.0, 2.4)])
def test_the_side_with_the_energy_is_marked(ax, theta):
    n = np.arange(-12, 13)
    envelope = np.exp(-(n[:, None] ** 2 + n**2) / 18)
    wave = envelope * np.exp(1j * (theta[0] * n[:, None] + theta[1] * n))
    for w, sign in ((wave, 1), (wave.conj(), -1)):
        for given in (theta, (-theta[0], -theta[1])):
            ax.clear()
            draw_filter_spectrum(ax, w, given, stride=4)
            y, x = sign * np.array(theta)
            (square,) = (patch for patch in ax.patches if isinstance(patch, Rectangle))
            np.testing.assert_allclose(square.get_center(), (x, y), atol=1e-12)
            np.testing.assert_allclose((square.get_width(), square.get_height()), np.pi / 4)
            (cross,) = ax.lines
            np.testing.assert_allclose(cross.get_xydata(), [(x, y)], atol=1e-12)
            # The brightest pixel of what is drawn lies below the cross.
            image = ax.images[0]
            left, right, bottom, top = image.get_extent()
            values = np.asarray(image.get_array())
            row, column = np.unravel_index(values.argmax(), values.shape)
            assert image.origin == "lower" and bottom < top
            step = (right - left) / values.shape[1]
            assert abs(left + (column + 0.5) * step - x) < step and abs(bottom + (row + 0.5) * step - y) < step


@pytest.mark.parametrize("shape", [(7, 7), (5, 8), (1, 3), (8, 8)])
@pytest.mark.parametrize("grid", [1, 2, 4, 7])
def test_the_middle_of_a_filter_holds_its_kernel(shape, grid):
    kernel = np.random.default_rng(6).standard_normal(shape)
    w = complex_filters(kernel[None, None], grid)[0, 0]
    crop = filter_crop(w, shape)
    # Twice the kernel, a row more where that is needed to stay in the middle.
    assert all(min(n, 2 * k) <= c <= min(n, 2 * k + 1) for c, n, k in zip(crop.shape, w.shape, shape, strict=True))
    top, left = (int(places[0]) for places in np.nonzero(np.isclose(crop.real, kernel[0, 0], atol=1e-9)))
    np.testing.assert_allclose(crop.real[top : top + shape[0], left : left + shape[1]], kernel, atol=1e-9)
    cut = [(n - c) // 2 for n, c in zip(w.shape, crop.shape, strict=True)]
    np.testing.assert_array_equal(w[cut[0] : cut[0] + crop.shape[0], cut[1] : cut[1] + crop.shape[1]], crop)
