"""Pictures: what stands where, which scale it has, and that no figure needs a display or stays behind."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from analysis import plots
from analysis.theory import gamma, gamma_map, gamma_over_cells
from wavelets import DualTreePackets2D, compare_banks, filter_bank

SHIFTS = [(0, 1), (1, 0), (0.5, 0.5)]
PI_LABELS = ["−π", "−π/2", "0", "π/2", "π"]


def dataset(levels, shifts=SHIFTS, images=5):
    """Build a dataset of the heatmap experiment's shape, with made-up values."""
    t, m = DualTreePackets2D(levels), 2 ** (levels - 1)
    p, count = t.packets, 2 * 4**levels
    rng = np.random.default_rng(levels)
    g = gamma(m * t.frequencies)
    low_pass = (p.freq_y == 0) & (p.freq_x == 0)
    rho = np.where(low_pass, 9.0, 0.4 + 0.5 * g + 0.01 * rng.standard_normal(count))
    stderr = np.full(count, 0.01 if images > 1 else np.nan)
    eta = np.where(low_pass[:, None], 9.0, rng.uniform(0.1, 0.9, (count, len(shifts))))
    u = np.reshape(np.array(shifts, dtype=float), (-1, 2))
    per_filter = {
        "theta_y": t.frequencies[:, 0],
        "theta_x": t.frequencies[:, 1],
        "edge": p.edge,
        "low_pass": low_pass,
    }
    return xr.Dataset(
        {
            **{name: ("filter", value) for name, value in (("rho", rho), ("rho_stderr", stderr), ("gamma", g))},
            "eta_rmax": (("filter", "shift"), eta),
            "eta_cmod": (("filter", "shift"), 0.3 * eta),
        },
        coords={
            **{name: ("filter", value) for name, value in per_filter.items()},
            "shift_y": ("shift", u[:, 0]),
            "shift_x": ("shift", u[:, 1]),
        },
        attrs={"levels": levels, "stride": m, "filters": "cf_3_3", "images_used": images},
    )


def theory_of(ds):
    return gamma_over_cells(np.stack([ds.theta_y.values, ds.theta_x.values], axis=-1), ds.levels, ds.stride)


def render(figure):
    """Lay everything out and draw it, into nothing."""
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()
    return figure


def maps(figure):
    """Axes that hold cells; a continuous plane is an image too, but reaches half a sample further."""
    return [ax for ax in figure.axes if any(image.get_extent()[0] == -np.pi for image in ax.images)]


def image_of(ax):
    return ax.images[0]


@pytest.fixture(autouse=True)
def no_figure_stays_open():
    yield
    assert plt.get_fignums() == []


@pytest.fixture
def ax():
    return Figure().add_subplot()


# --- placing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 2, 3, 4])
def test_every_cell_holds_one_filter_and_its_mirror_image_the_same(levels):
    theta = DualTreePackets2D(levels).frequencies
    values = np.arange(len(theta), dtype=float)
    grid = plots.cell_grid(values, theta, levels)
    assert grid.shape == (2 ** (levels + 1),) * 2
    np.testing.assert_array_equal(grid, grid[::-1, ::-1])
    found, counts = np.unique(grid, return_counts=True)
    np.testing.assert_array_equal(found, values)
    assert (counts == 2).all()


def test_a_filter_falls_in_the_cell_of_its_frequency():
    side = np.pi / 4  # J = 2: 8 cells an axis, four of them below zero
    grid = plots.cell_grid([7.0], [[-1.5 * side, 3.5 * side]], levels=2)
    assert grid[2, 7] == 7.0  # vertical -2 + 4, horizontal 3 + 4
    assert grid[5, 0] == 7.0  # and at minus theta
    assert np.isnan(grid).sum() == 62


def test_frequencies_on_the_borders_between_cells_have_one_mirror_cell():
    grid = plots.cell_grid([1.0, 2.0], [[0.0, 0.0], [-np.pi, 0.0]], levels=1)
    assert grid[2, 2] == grid[1, 1] == 1.0
    assert grid[0, 2] == grid[3, 1] == 2.0


@pytest.mark.parametrize(
    ("values", "theta", "levels", "message"),
    [
        ([1, 2], [[0.1, 0.1], [0.2, 0.2]], 1, "two filters fall in cell"),
        ([1, 2], [[0.1, 0.1], [-0.1, -0.1]], 1, "two filters fall in cell"),
        ([1], [[0.1, np.pi]], 1, "outside"),
        ([1], [[-3.2, 0.1]], 1, "outside"),
        ([1], [[np.nan, 0.1]], 1, "outside"),
        ([1, 2], [[0.1, 0.1]], 1, "expected"),
        ([[1]], [[0.1, 0.1]], 1, "expected"),
        ([1], [[0.1, 0.1]], 0, "levels is 0"),
    ],
)
def test_cells_that_make_no_map_are_refused(values, theta, levels, message):
    with pytest.raises(ValueError, match=message):
        plots.cell_grid(values, theta, levels)


def test_complex_values_are_refused(ax):
    with pytest.raises(TypeError, match="real"):
        plots.cell_grid([1j], [[0.1, 0.1]], 1)
    with pytest.raises(TypeError, match="real"):
        plots.draw_plane(ax, np.ones((3, 3)) * 1j)


# --- maps ------------------------------------------------------------------------------------------------------------


def test_cells_have_pi_ticks_a_scale_from_zero_and_the_vertical_axis_upwards(ax):
    t = DualTreePackets2D(2)
    low_pass = (t.packets.freq_y == 0) & (t.packets.freq_x == 0)
    mesh = plots.draw_cells(ax, np.where(low_pass, 50.0, 0.5), t.frequencies, 2)
    assert mesh.get_clim() == (0, 0.5)  # the low-pass cells do not set the scale
    for axis in (ax.xaxis, ax.yaxis):
        assert [label.get_text() for label in axis.get_ticklabels()] == PI_LABELS
        np.testing.assert_allclose(axis.get_ticklocs(), np.arange(-2, 3) * np.pi / 2)
        assert "rad/sample" in axis.get_label().get_text()
    assert ax.get_ylim() == ax.get_xlim() == (-np.pi, np.pi)
    low, high = mesh.cmap([0.0, 1.0])[:, :3].sum(axis=1)
    assert high < low  # darker is larger


def test_the_low_pass_cells_are_marked_and_not_drawn(ax):
    t = DualTreePackets2D(2)
    mesh = plots.draw_cells(ax, np.ones(32), t.frequencies, 2)
    mask = np.ma.getmaskarray(mesh.get_array()).reshape(8, 8)
    assert mask[3:5, 3:5].all() and mask.sum() == 4
    (box,) = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert box.get_hatch()
    np.testing.assert_allclose(box.get_bbox().extents, np.array([-1, -1, 1, 1]) * np.pi / 4)


def test_the_low_pass_cells_are_drawn_on_request():
    ax = Figure().add_subplot()
    mesh = plots.draw_cells(ax, np.arange(8), DualTreePackets2D(1).frequencies, 1, low_pass=False, vmax=20)
    assert not np.ma.getmaskarray(mesh.get_array()).any() and not ax.patches
    assert mesh.get_clim() == (0, 20)


@pytest.mark.parametrize("format", ["png", "pdf"])
def test_a_figure_can_be_saved(tmp_path, format):
    path = tmp_path / f"figure.{format}"
    plots.overview_figure(dataset(1, shifts=[(0, 1)])).savefig(path)
    assert path.stat().st_size > 1000


@pytest.mark.parametrize("values", [np.full(8, np.nan), np.zeros(8), np.full(8, np.inf)])
def test_values_without_a_scale_still_make_a_map(ax, values):
    assert plots.draw_cells(ax, values, DualTreePackets2D(1).frequencies, 1).get_clim() == (0, 1)


def test_a_continuous_map_puts_its_samples_at_their_frequencies(ax):
    image = plots.draw_plane(ax, gamma_map(2, points=5))
    assert image.origin == "lower" and image.get_clim() == (0, pytest.approx(np.sqrt(1.5)))
    left, right, bottom, top = image.get_extent()
    centres = left + (np.arange(5) + 0.5) * (right - left) / 5
    np.testing.assert_allclose(centres, np.linspace(-np.pi, np.pi, 5), atol=1e-12)
    assert (left, right) == (bottom, top)
    for bad in (np.ones((3, 4)), np.ones(3), np.ones((1, 1))):
        with pytest.raises(ValueError, match="square"):
            plots.draw_plane(ax, bad)


# --- heatmap figures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_every_heatmap_figure_builds(levels):
    ds = dataset(levels, SHIFTS[:levels])
    figure = render(plots.overview_figure(ds, theory_of(ds)))
    assert len(maps(figure)) == 3 * (1 + levels)
    assert len(maps(plots.discrepancy_figure(ds))) == 3
    for ax in maps(figure):
        low, high = image_of(ax).get_clim()
        shown = np.ma.compressed(image_of(ax).get_array())
        assert low <= shown.min() and shown.max() <= high < 9 and ax.get_title()
    caption = figure.get_suptitle()
    assert all(part in caption for part in (f"J = {levels}", f"m = {2 ** (levels - 1)}", "cf_3_3", "5 images"))


def test_the_scale_spans_the_values_and_theory_shares_it():
    ds = dataset(3)
    ds["rho"][:] = np.where(ds.low_pass, 9.0, np.sqrt(0.4**2 + theory_of(ds) ** 2))
    measured, theory, difference = maps(render(plots.discrepancy_figure(ds)))
    inside = np.ma.compressed(image_of(measured).get_array())
    np.testing.assert_allclose(image_of(measured).get_clim(), (inside.min(), inside.max()))
    assert image_of(theory).get_clim() == image_of(measured).get_clim()
    # Here the theory and one number for the bandwidth are all there is.
    np.testing.assert_allclose(np.ma.compressed(image_of(theory).get_array()), inside)
    np.testing.assert_allclose(np.ma.compressed(image_of(difference).get_array()), 0, atol=1e-12)
    assert sum(image_of(difference).get_clim()) == 0


def test_stability_has_one_colour_scale_and_names_the_shifts():
    axes = maps(render(plots.stability_figure(dataset(2))))
    titles = [ax.get_title() for ax in axes]
    assert [title.split(",")[0] for title in titles] == ["RMax", "CMod", "what the modulus saves"] * 3
    assert len({image_of(ax).get_clim() for number, ax in enumerate(axes) if number % 3 < 2}) == 1
    assert "(dy, dx) = (0, 1) px" in titles[0] and "(0.5, 0.5)" in titles[6]
    for rmax, cmod, saved in zip(axes[::3], axes[1::3], axes[2::3], strict=True):
        values = [np.ma.compressed(image_of(ax).get_array()) for ax in (rmax, cmod, saved)]
        np.testing.assert_allclose(values[0] - values[1], values[2])


def test_one_image_has_no_standard_error_and_missing_values_are_left_out():
    ds = dataset(2, shifts=[(0, 1)], images=1)
    ds["rho"][3] = np.nan
    ds["eta_rmax"][5, 0] = np.nan
    assert "1 image " in render(plots.overview_figure(ds)).get_suptitle()
    for name in ("rho", "gamma", "eta_rmax", "eta_cmod"):
        ds[name][:] = np.nan
    figure = render(plots.overview_figure(ds))
    assert any("undefined" in ax.get_title() for ax in figure.axes)


def test_the_correlation_is_that_of_the_band_pass_filters():
    ds = dataset(2)
    ds["rho"][:] = np.where(ds.low_pass, 9.0, 0.3 + 2 * theory_of(ds))
    assert any("correlation 1.00" in ax.get_title() for ax in plots.discrepancy_figure(ds).axes)


def test_a_dataset_whose_axes_are_in_another_order_gives_the_same_picture():
    ds = dataset(2)
    turned = ds.transpose("shift", "filter")
    for one, other in zip(*(maps(plots.stability_figure(d)) for d in (ds, turned)), strict=True):
        np.testing.assert_array_equal(image_of(one).get_array(), image_of(other).get_array())


def test_datasets_are_compared_on_one_scale():
    figure = render(plots.compare_figure({"two": dataset(2), "three": dataset(3)}))
    axes = maps(figure)
    assert [ax.get_title() for ax in axes] == ["two", "three"]
    assert len({image_of(ax).get_clim() for ax in axes}) == 1
    ds = dataset(2)
    figure = render(plots.compare_figure({"one": ds}, "eta_cmod", shift=(1, 0)))
    (ax,) = maps(figure)
    assert "(1, 0)" in ax.get_title()
    expected = plots.cell_grid(ds.eta_cmod[:, 1], np.stack([ds.theta_y, ds.theta_x], -1), 2)
    np.testing.assert_array_equal(np.ma.compressed(image_of(ax).get_array()), np.delete(expected, [27, 28, 35, 36]))


def test_datasets_that_cannot_be_drawn_are_refused():
    ds = dataset(1)
    with pytest.raises(ValueError, match="lacks rho_stderr"):
        plots.discrepancy_figure(ds.drop_vars("rho_stderr"))
    with pytest.raises(ValueError, match="attribute levels"):
        plots.discrepancy_figure(ds.drop_attrs())
    with pytest.raises(ValueError, match="no shift"):
        plots.stability_figure(dataset(1, shifts=[]))
    with pytest.raises(ValueError, match=r"no shift \(3, 0\)"):
        plots.compare_figure({"a": ds}, "eta_rmax", shift=(3, 0))
    with pytest.raises(ValueError, match="lacks banana"):
        plots.compare_figure({"a": ds}, "banana")
    with pytest.raises(ValueError, match="no dataset"):
        plots.compare_figure({})
    with pytest.raises(ValueError, match="each of the 8 filters"):
        plots.discrepancy_figure(ds, theory=np.ones((4, 5)))


# --- kernels ---------------------------------------------------------------------------------------------------------


def test_phase_is_cyclic_and_zero_is_black():
    phase = np.linspace(-np.pi, np.pi, 361)
    rgb = plots.phase_image(np.exp(1j * phase))
    assert rgb.shape == (361, 3) and rgb.min() >= 0 and rgb.max() <= 1
    np.testing.assert_allclose(rgb[0], rgb[-1], atol=1e-12)
    assert np.abs(np.diff(rgb, axis=0)).max() < 0.05  # no seam
    quarters = plots.phase_image([1, 1j, -1, -1j])
    assert min(np.abs(a - b).max() for i, a in enumerate(quarters) for b in quarters[:i]) > 0.2
    np.testing.assert_array_equal(plots.phase_image([0, 1])[0], 0)
    np.testing.assert_array_equal(plots.phase_image(np.zeros((2, 2))), 0)


def test_lightness_follows_the_modulus_and_not_the_phase():
    phase = np.exp(1j * np.linspace(0, 2 * np.pi, 100))
    rgb = plots.phase_image(np.outer([0.25, 0.5, 1.0], phase))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    assert (np.diff(luminance, axis=0) > 0).all()
    assert np.ptp(luminance[2]) < 0.12
    np.testing.assert_allclose(plots.phase_image(5e-3 * phase), plots.phase_image(phase), atol=1e-12)
    with pytest.raises(ValueError, match="finite"):
        plots.phase_image([np.nan])


@pytest.mark.parametrize("levels", [1, 2, 3])
def test_kernel_figures_build(levels):
    t = DualTreePackets2D(levels)
    channels = np.arange(0, 2 * 4**levels, 4**levels // 2)
    kernels = t.kernels(channels)
    render(plots.kernels_in_space(kernels, [str(c) for c in channels], columns=3))
    render(plots.kernels_in_space(kernels[0], crop=True))
    render(plots.kernels_in_frequency(kernels, t.frequencies[channels], size=33))
    quadrant, tiling = plots.quadrant_figure(t), plots.tiling_figure(t)
    if levels < 3:  # seconds for 128 filters, and nothing new
        render(quadrant)
        render(tiling)


def test_real_and_vanishing_kernels_can_be_drawn():
    kernels = np.zeros((2, 5, 4))
    kernels[0, 2, 1] = -1
    render(plots.kernels_in_space(kernels, crop=True))
    render(plots.kernels_in_frequency(kernels, size=9))


def test_the_spectrum_peaks_where_the_cross_is():
    n = np.arange(32)
    theta = np.array([[-1.0, 2.0]])
    wave = np.exp(1j * (theta[0, 0] * n[:, None] + theta[0, 1] * n)) * np.outer(np.hanning(32), np.hanning(32))
    ax = plots.kernels_in_frequency(wave, theta).axes[0]
    row, column = np.unravel_index(ax.images[0].get_array().argmax(), (129, 129))
    omega = np.linspace(-np.pi, np.pi, 129)
    np.testing.assert_allclose([omega[row], omega[column]], theta[0], atol=0.03)
    np.testing.assert_allclose([ax.lines[0].get_ydata()[0], ax.lines[0].get_xdata()[0]], theta[0])
    assert [label.get_text() for label in ax.get_xticklabels()] == PI_LABELS[::2]


def test_each_filter_of_the_half_plane_stands_at_its_frequency():
    t = DualTreePackets2D(2)
    ax = plots.quadrant_figure(t).axes[0]
    middles = [((i.get_extent()[2] + i.get_extent()[3]) / 2, sum(i.get_extent()[:2]) / 2) for i in ax.images]
    np.testing.assert_allclose(middles, t.frequencies)
    assert ax.get_xlim() == (0, np.pi) and ax.get_ylim() == (-np.pi, np.pi)


def test_kernels_that_cannot_be_drawn_are_refused():
    k = np.ones((2, 3, 3))
    for bad in (np.ones(3), np.ones((0, 3, 3)), np.ones((1, 2, 3, 3))):
        with pytest.raises(ValueError, match="expected"):
            plots.kernels_in_space(bad)
    with pytest.raises(ValueError, match="finite"):
        plots.kernels_in_frequency(k * np.nan)
    with pytest.raises(ValueError, match="1 titles for 2"):
        plots.kernels_in_space(k, ["one"])
    with pytest.raises(ValueError, match="columns is 0"):
        plots.kernels_in_space(k, columns=0)
    with pytest.raises(ValueError, match="theta has shape"):
        plots.kernels_in_frequency(k, [[0.0, 0.0]])
    with pytest.raises(ValueError, match="size is 1"):
        plots.kernels_in_frequency(k, size=1)
    with pytest.raises(ValueError, match="level is 1"):
        plots.tiling_figure(DualTreePackets2D(1), level=1)


# --- filter banks ----------------------------------------------------------------------------------------------------


def test_the_delay_of_the_second_tree_is_half_a_sample():
    figure = render(plots.bank_figure([filter_bank("cf_3_3"), filter_bank("cf_1_1")]))
    delay = next(ax for ax in figure.axes if "delay" in ax.get_ylabel()).lines[-1]
    x, y = delay.get_data()
    np.testing.assert_allclose(y[x < np.pi / 2], 0.5, atol=0.01)
    assert "packets" in figure.axes[6].get_ylabel() and figure.axes[6].get_xlim() == (-np.pi, np.pi)
    with pytest.raises(ValueError, match="no filter bank"):
        plots.bank_figure([])


def test_the_quality_table_names_every_bank_and_marks_the_default():
    rows = compare_banks(["cf_1_1", "cf_2_3", "cf_1_4", "cf_3_3", "cf_3_3+db4"], 2)
    rows += [rows[0]._replace(name="qshift_a", taps=10), rows[0]._replace(name="mine")]
    ax = render(plots.quality_figure(rows)).axes[0]
    assert ax.get_yscale() == "log"
    names = [name for text in ax.texts for name in text.get_text().split(", ")]
    assert sorted(names) == sorted(row.name for row in rows)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["common factor", "q-shift", "other", "default"]
    render(plots.quality_figure(rows[:1]))
    with pytest.raises(ValueError, match="no row"):
        plots.quality_figure([])
    with pytest.raises(ValueError, match="leakage of cf_1_1"):
        plots.quality_figure([rows[0]._replace(interior_leakage=0.0)])


def prediction_of(ds):
    """Make up a prediction near a measurement, of the shape that predict_like has."""
    ds = ds.assign(rho_rms=ds.rho, eta_rmax_rms=ds.eta_rmax, eta_cmod_rms=ds.eta_cmod)
    models = xr.Variable("model", ["gaussian", "isolated", "mixture"])
    factors = xr.DataArray([0.9, 1.4, 1.01], dims="model", coords={"model": models})
    prediction = (ds[["rho_rms", "eta_rmax_rms", "eta_cmod_rms"]] * factors).assign_attrs(ds.attrs, isolated=0.123)
    return ds, prediction


def test_prediction_stands_beside_the_measurement_on_one_scale():
    measured, prediction = prediction_of(dataset(2))
    figure = render(plots.prediction_figure(measured, prediction, shift=1))
    assert len(maps(figure)) == 9
    for row in (maps(figure)[:3], maps(figure)[3:6], maps(figure)[6:]):
        assert len({image_of(ax).get_clim() for ax in row}) == 1
    scatter = [ax for ax in figure.axes if ax.get_xlabel() == "predicted"]
    assert len(scatter) == 3
    labels = [text.get_text() for text in scatter[0].get_legend().get_texts()]
    assert labels == ["Gaussian field, median error 10.0 %", "mixture, median error 1.0 %"]
    assert "12.3 % of the energy" in figure.get_suptitle()
    assert maps(figure)[3].get_title() == "measured η of RMax, u = (1, 0) px"


def test_prediction_of_filters_without_response_is_left_out():
    measured, prediction = prediction_of(dataset(1))
    measured.rho_rms[3] = np.nan
    prediction.rho_rms[{"filter": 3}] = np.nan
    figure = render(plots.prediction_figure(measured, prediction))
    assert np.isfinite(image_of(maps(figure)[0]).get_clim()).all()


def test_prediction_of_a_shift_of_zero_is_drawn_without_an_error_figure():
    measured, prediction = prediction_of(dataset(1))
    figure = render(plots.prediction_figure(measured.assign(eta_cmod_rms=0 * measured.rho_rms), prediction))
    labels = [
        text.get_text()
        for text in [ax for ax in figure.axes if ax.get_xlabel() == "predicted"][2].get_legend().get_texts()
    ]
    assert labels == ["Gaussian field", "mixture"]


def test_clouds_lie_under_their_curves():
    x = np.linspace(0, 1, 5)
    clouds = {"a": (x, x / 2), "b": (x, x / 3)}
    figure = render(plots.cloud_figure([clouds, clouds], [{"bound": (x, x)}, {}], ["s", "t"], ["u", "v"]))
    left, right = figure.axes
    assert [text.get_text() for text in left.get_legend().get_texts()] == ["a", "b", "bound"]
    assert len(right.lines) == 2 and left.get_xlabel() == "s" and right.get_ylabel() == "v"
    with pytest.raises(ValueError):
        plots.cloud_figure([clouds], [{}, {}], ["s"], ["u"])


def test_gamma_has_its_marks_and_profiles():
    figure = render(plots.gamma_figure(gamma_map(1, 61), {"one": [(0, 0)], "two": [(0, np.pi), (np.pi, 0)]}))
    plane, profiles = figure.axes[:2]
    np.testing.assert_allclose(plane.lines[1].get_xydata(), [[np.pi, 0], [0, np.pi]])  # x is the second component
    axis, edge, diagonal = (line.get_ydata() for line in profiles.lines)
    assert axis[0] == diagonal[0] == pytest.approx(np.sqrt(1.5))
    assert edge[0] == pytest.approx(gamma((np.pi, 0))) and diagonal[-1] == pytest.approx(gamma((np.pi, np.pi)))


def test_constants_and_convergence():
    x = np.linspace(0.1, 1, 4)
    left, right = render(plots.constants_figure({"beta": (x, 2 * x)}, {"found": (x[:2], x[:2])})).axes
    np.testing.assert_allclose(right.lines[0].get_ydata(), 2)
    np.testing.assert_allclose(left.lines[1].get_ydata(), x[:2])
    (ax,) = render(plots.convergence_figure(x, {"a": x, "b": 2 * x}, {"a": 0.1, "b": 0.2})).axes
    assert ax.get_xscale() == ax.get_yscale() == "log" and len(ax.lines) == 4


def feature_distances(layers=("conv", "pool (dense)"), side=3):
    """Distances on a grid of shifts, in disorder; 0 where both shifts are even."""
    dy, dx = np.divmod(np.random.default_rng(0).permutation(side**2), side)
    distance = 0.1 * ((dy % 2) + (dx % 2))
    return xr.Dataset(
        {
            "equivariance": (("layer", "shift"), np.stack([distance * (row + 1) for row in range(len(layers))])),
            "invariance": (("layer", "shift"), np.full((len(layers), side**2), 0.3)),
            "different": ("layer", np.full(len(layers), 2.0)),
        },
        {"layer": list(layers), "dy": ("shift", dy), "dx": ("shift", dx)},
    )


def test_feature_distance_maps_are_in_order_and_white_at_zero():
    figure = plots.feature_distance_figure({"plain": feature_distances(), "other": feature_distances(("conv",))})
    images = [ax.images[0] for ax in figure.axes if ax.images]
    assert len(images) == 3
    assert [ax.get_title() for ax in figure.axes[:2]] == ["conv", "pool\n(dense)"]
    values = images[1].get_array()
    np.testing.assert_allclose(values, [[-1, 0.1, -1], [0.1, 0.2, 0.1], [-1, 0.1, -1]])
    assert images[1].cmap(-1.0) == (1, 1, 1, 1)
    assert images[1].cmap(0.0) != (1, 1, 1, 1)
    assert images[0].get_clim() == (0, 0.5)
    other = plots.feature_distance_figure({"a": feature_distances()}, ["conv"], kind="invariance", largest=0.2)
    np.testing.assert_allclose(other.axes[0].images[0].get_array(), 0.15)


def test_feature_distance_maps_refuse_what_is_not_there():
    with pytest.raises(ValueError, match=r"no layer 'pool'; there are conv, pool \(dense\)"):
        plots.feature_distance_figure({"a": feature_distances()}, ["pool"])
    with pytest.raises(ValueError, match="layer 'conv' was not measured at all shifts of a grid"):
        plots.feature_distance_figure({"a": feature_distances().isel(shift=slice(1, None))})
    with pytest.raises(ValueError, match="distances is empty"):
        plots.feature_distance_figure({})


def test_the_clock_has_the_phases_of_the_window_and_the_largest_is_what_the_curve_says():
    theta, shift, m = (0.4, 1.1), 1.5, 4
    figure = render(plots.phase_clock_figure(theta, shift, m, plane=gamma_map(m, 9)))
    clock, curve, plane = figure.axes
    dots = max(clock.lines, key=lambda line: len(line.get_xdata()) == 9)
    phases = [m * (theta[0] * i + theta[1] * j) - theta[1] * shift for i in (-1, 0, 1) for j in (-1, 0, 1)]
    np.testing.assert_allclose(dots.get_xdata(), np.cos(phases))
    rmax, cmod, now = curve.lines
    assert now.get_ydata()[0] == pytest.approx(max(np.cos(phases)))
    assert np.interp(shift, rmax.get_xdata(), rmax.get_ydata()) == pytest.approx(now.get_ydata()[0], abs=1e-2)
    assert (cmod.get_ydata() == 1).all() and len(plane.images) == 1
