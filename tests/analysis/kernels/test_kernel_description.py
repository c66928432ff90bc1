"""What is said of kernels that are known: their frequency, colour, class and cell."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import FirstLayer, describe_kernels, gamma
from analysis.kernels import gabor
from analysis.kernels.description import packet_levels
from wavelets import DualTreePackets2D

GREY = np.array([0.6, 0.6, 0.5])
RED_GREEN = np.array([0.7, -0.7, 0.0])
Y, X = np.mgrid[:11, :11] - 5.0


def wave(omega_y, omega_x, colour=GREY, phase=0.4, sigma=2.5):
    return colour[:, None, None] * gabor((1, phase, omega_y, omega_x, 5, 5, sigma, sigma, 0), (11, 11))


def spot(colour, sigma=2.0):
    return colour[:, None, None] * np.exp(-(X**2 + Y**2) / (2 * sigma**2))


THETA = np.array([(0.9, 0.8), (-1.2, 0.7), (0.0, 1.6), (1.5, 0.0)])
WAVES = np.stack([wave(*t) for t in THETA])


def test_frequency_wavelength_orientation_phase():
    ds = describe_kernels(WAVES, stride=4)
    assert (ds.kind == "band-pass").all()
    np.testing.assert_allclose(np.stack([ds.theta_y, ds.theta_x], axis=1), THETA, atol=0.05)
    np.testing.assert_allclose(ds.wavelength, 2 * np.pi / np.hypot(*THETA.T), rtol=0.04)
    np.testing.assert_allclose(ds.orientation, np.degrees(np.arctan2(*THETA.T)), atol=3)
    np.testing.assert_allclose(ds.phase, 0.4, atol=0.05)
    np.testing.assert_allclose(ds.gabor_r2, 1, atol=1e-6)
    np.testing.assert_allclose(ds.monochrome, 1)
    np.testing.assert_allclose(ds.gamma, gamma(4 * np.stack([ds.theta_y, ds.theta_x], axis=1)))


def test_a_fit_that_is_hardly_a_wave_has_no_phase():
    edge = GREY[:, None, None] * X * np.exp(-(X**2 + Y**2) / 18)  # the limit of Gabor kernels of vanishing frequency
    ds = describe_kernels(np.stack([edge, wave(0.9, 0.8)]), stride=4)
    assert ds.gabor_r2[0] > 0.99 and np.isnan(ds.phase[0]) and np.isfinite(ds.phase[1])
    assert (ds.kind == "band-pass").all()


def test_a_wider_envelope_has_a_narrower_band():
    narrow, wide = (describe_kernels(wave(0.9, 0.9, sigma=s)[None], stride=4) for s in (2.5, 1.5))
    assert narrow.bandwidth < wide.bandwidth and narrow.energy_in_window > wide.energy_in_window
    assert 0 < wide.energy_in_window < narrow.energy_in_window <= 1


def test_classes():
    noise = np.random.default_rng(0).standard_normal((3, 11, 11))
    ring = GREY[:, None, None] * np.cos(1.5 * np.hypot(Y, X)) * np.exp(-(X**2 + Y**2) / 12)
    weight = [wave(0.9, 0.8), wave(0.5, 0.4, RED_GREEN), spot(GREY), spot(RED_GREEN), ring, noise, 0 * noise]
    ds = describe_kernels(np.stack(weight), stride=4)
    assert list(ds.kind.values) == ["band-pass", "band-pass", "low-pass", "blob", "blob", "blob", "dead"]
    assert ds.chroma[1] > 0.9 > 0.1 > ds.chroma[0]


def test_the_class_of_a_kernel_does_not_depend_on_its_scale_or_its_neighbours():
    weight = np.stack([wave(0.9, 0.8), 1e-3 * spot(GREY)])
    together = describe_kernels(weight, stride=4)
    for i, scale in enumerate((1e-15, 1e15)):
        alone = describe_kernels(scale * weight[i : i + 1], stride=4)
        for name in ("kind", "theta_y", "theta_x", "gamma", "cell_y", "cell_x"):
            np.testing.assert_array_equal(alone[name][0], together[name][i])


def test_dead_kernels_are_named_and_not_divided_by():
    weight = np.stack([wave(0.9, 0.8), np.zeros((3, 11, 11)), 1e-9 * wave(0.9, 0.8)])
    ds = describe_kernels(weight, stride=4)
    assert list(ds.kind.values) == ["band-pass", "dead", "dead"]
    for name, values in ds.data_vars.items():
        if name.startswith("cell"):
            assert (values[1:] == -1).all() and values[0] >= 0
        elif name != "kind":
            assert np.isnan(values[1:]).all() and np.isfinite(values[0]).all(), name


@pytest.mark.parametrize("stride", [2, 4])
def test_the_cell_is_that_of_the_packet_of_the_same_frequency(stride):
    levels = packet_levels(stride)
    transform = DualTreePackets2D(levels, stride=stride)
    nominal = transform.frequencies[(np.abs(transform.frequencies) > 0.3).all(axis=1)][::7]
    ds = describe_kernels(np.stack([wave(*t, sigma=3) for t in nominal]), stride=stride)
    side = np.pi / 2**levels
    cell = np.stack([ds.cell_y, ds.cell_x], axis=1)
    np.testing.assert_allclose(-np.pi + (cell + 0.5) * side, nominal, atol=1e-9)
    assert ds.levels == levels and levels == int(np.log2(stride)) + 1


def test_depth_of_the_packets():
    assert [packet_levels(m) for m in (1, 2, 3, 4, 5, 8)] == [1, 2, 3, 3, 4, 4]


def test_frequencies_are_in_the_right_half_plane():
    # The direction along which the first one varies most is not that of its peak.
    leaning = GREY[:, None, None] * gabor((1, 0.3, 1.2, -0.1, 3, 3, 1.8, 1.0, -0.6), (7, 7))
    noise = np.random.default_rng(1).standard_normal((20, 3, 7, 7))
    ds = describe_kernels(np.concatenate([leaning[None], noise]), stride=2)
    assert (ds.theta_x >= 0).all() and (ds.theta_y[ds.theta_x == 0] >= 0).all()
    assert ((ds.orientation > -90) & (ds.orientation <= 90)).all()


def test_one_channel_and_the_record_of_the_layer():
    layer = FirstLayer("mine", WAVES[:, :1], 4, padding=2, pool=5, parameter="conv1.weight", origin="a.pth")
    ds = describe_kernels(layer)
    assert ds.sizes["channel"] == 1 and (ds.monochrome == 1).all() and (ds.chroma == 0).all()
    assert ds.attrs["layer"] == "mine" and ds.attrs["pool"] == 5 and ds.attrs["q"] == 2
    np.testing.assert_allclose(ds.gamma, gamma(4 * np.stack([ds.theta_y, ds.theta_x], axis=1), 2))


def test_the_stride_must_come_from_somewhere():
    with pytest.raises(ValueError, match="stride"):
        describe_kernels(WAVES)
