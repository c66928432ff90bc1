"""The monogenic signal: plane waves, closed fringes, rotations, sizes and dtypes."""

from __future__ import annotations

import numpy as np
import pytest

from wavelets import analytic, monogenic


def angle_between(a, b, period):
    return np.abs((a - b + period / 2) % period - period / 2)


@pytest.mark.parametrize("size", [(16, 16), (15, 15), (16, 21), (9, 32)])
@pytest.mark.parametrize("k", [(0, 1), (1, 0), (2, 3), (-2, 1), (3, -1)])
def test_plane_waves_give_amplitude_phase_and_orientation(size, k):
    h, w = size
    omega_y, omega_x = 2 * np.pi * k[0] / h, 2 * np.pi * k[1] / w
    y, x = np.mgrid[:h, :w]
    angle = omega_y * y + omega_x * x + 0.3
    amplitude, phase, orientation = monogenic(2.5 * np.cos(angle))
    sign = 1 if (k[1], k[0]) > (0, 0) else -1
    expected = np.arctan2(sign * omega_y, sign * omega_x)
    np.testing.assert_allclose(amplitude, 2.5, rtol=1e-12)
    assert angle_between(phase, sign * angle, 2 * np.pi).max() < 1e-12
    assert angle_between(orientation, expected, np.pi).max() < 1e-10
    assert (np.abs(orientation) <= np.pi / 2).all() and (orientation > -np.pi / 2).all()


@pytest.mark.parametrize("k", [(8, 3), (3, 8)])
def test_waves_on_the_nyquist_lines_keep_their_amplitude(k):
    y, x = np.mgrid[:16, :16]
    amplitude, _, orientation = monogenic(np.cos(np.pi / 8 * (k[0] * y + k[1] * x) + 0.2))
    assert (amplitude <= 1 + 1e-12).all() and (amplitude >= 0).all()
    assert angle_between(orientation, 0 if k[0] == 8 else np.pi / 2, np.pi).max() < 1e-10


@pytest.mark.parametrize("n", [256, 257])
def test_closed_fringes_have_amplitude_one_where_the_half_plane_has_not(n):
    y, x = np.mgrid[:n, :n] - n // 2
    r = np.hypot(y, x)
    fringes, ring = np.cos(0.5 * r), (r > 20) & (r < 100)
    amplitude, phase, orientation = monogenic(fringes)
    assert np.abs(amplitude[ring] - 1).max() < 0.04
    half_plane = np.abs(analytic(fringes))[ring]
    assert half_plane.min() < 0.05 and half_plane.max() > 1.3
    outwards = np.arctan2(y, x)
    steep = ring & (np.abs(np.sin(0.5 * r)) > 0.3)
    assert angle_between(orientation, outwards, np.pi)[steep].max() < 0.1
    np.testing.assert_allclose(amplitude * np.cos(phase), fringes, atol=1e-12)


@pytest.mark.parametrize("size", [(12, 12), (11, 14)])
def test_turned_images_have_turned_features(size):
    x = np.random.default_rng(2).standard_normal((3, *size))
    x -= x.mean(axis=(-2, -1), keepdims=True)
    before = monogenic(x)
    after = monogenic(np.rot90(x, axes=(-2, -1)))
    amplitude, phase, orientation = (np.rot90(values, axes=(-2, -1)) for values in before)
    np.testing.assert_allclose(after.amplitude, amplitude, atol=1e-12)
    np.testing.assert_allclose(np.abs(after.phase), np.abs(phase), atol=1e-9)
    assert angle_between(after.orientation, orientation - np.pi / 2, np.pi).max() < 1e-8


def test_the_batch_is_images_by_themselves_and_may_be_empty():
    x = np.random.default_rng(3).standard_normal((2, 3, 7, 8))
    for values, one in zip(monogenic(x), monogenic(x[1, 2]), strict=True):
        np.testing.assert_allclose(values[1, 2], one, atol=1e-14)
    assert all(values.shape == (0, 7, 8) for values in monogenic(x[0, :0]))


def test_dtypes_and_constants():
    x = np.random.default_rng(4).standard_normal((16, 16))
    exact = monogenic(x)
    for dtype, result, tolerance in ((np.float32, np.float32, 1e-5), (np.float16, np.float32, 1e-2)):
        values = monogenic(x.astype(dtype))
        assert {v.dtype for v in values} == {np.dtype(result)}
        np.testing.assert_allclose(values.amplitude, exact.amplitude, atol=tolerance)
    assert {v.dtype for v in monogenic((100 * x).astype(np.int16))} == {np.dtype(np.float64)}
    for constant in (2.0, -2.0, 0.0):
        amplitude, phase, orientation = monogenic(np.full((4, 5), constant))
        np.testing.assert_allclose(amplitude, abs(constant))
        np.testing.assert_allclose(phase, np.pi if constant < 0 else 0)
        assert not orientation.any()
