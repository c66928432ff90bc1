"""Complex filters of a layer: real part, half-plane, grid; the first colour; dead kernels."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.kernels import dead_kernels, first_colour, gabor
from wavelets import analytic
from wavelets.complex_filters import complex_filters

rng = np.random.default_rng(0)
GABOR = gabor((1, 0.3, 0.6, 1.2, 5, 5, 2, 2, 0), (11, 11))


@pytest.mark.parametrize("shape", [(3, 3, 7, 7), (2, 1, 8, 8), (2, 3, 5, 9)])
@pytest.mark.parametrize("grid", [1, 2, 4])
def test_the_real_part_is_the_kernel_in_the_middle(shape, grid):
    weight = rng.standard_normal(shape)
    w = complex_filters(weight, grid)
    n = grid * max(shape[2:])
    assert w.shape == (*shape[:2], n, n)
    top, left = (n - shape[2]) // 2, (n - shape[3]) // 2
    inside = w.real[..., top : top + shape[2], left : left + shape[3]]
    np.testing.assert_allclose(inside, weight, rtol=1e-12)
    outside = w.real.copy()
    outside[..., top : top + shape[2], left : left + shape[3]] = 0
    assert np.abs(outside).max() == 0


def test_all_channels_keep_the_half_plane_of_the_whole_kernel():
    # The first colour waves along x; one channel alone would be oriented along y.
    across = GABOR.T if abs(GABOR[0]).sum() == 0 else np.rot90(GABOR)
    weight = np.stack([GABOR, 2 * GABOR, 0.2 * across])[None]
    w = complex_filters(weight)
    plane, _, _ = first_colour(weight)
    e = analytic(plane[0], "auto", 44)
    kept = np.abs(np.fft.fft2(e)) > 1e-6 * np.abs(np.fft.fft2(e)).max()
    energy = np.abs(np.fft.fft2(w[0, 2])) ** 2
    assert energy[~kept].sum() < 1e-9 * energy.sum()


def test_the_filters_of_a_sum_of_channels_are_the_sum_of_the_filters():
    weight = np.stack([0.5 * GABOR, 0.2 * GABOR, 0.3 * GABOR])[None]
    np.testing.assert_allclose(
        complex_filters(weight).sum(axis=1), complex_filters(GABOR[None, None])[:, 0], atol=1e-12
    )


def test_single_precision_is_kept():
    assert complex_filters(GABOR[None, None].astype(np.float32)).dtype == np.complex64


def test_a_finer_grid_changes_band_pass_filters_less_and_less():
    def part(grid):
        w = complex_filters(GABOR[None, None], grid)[0, 0]
        cut = (len(w) - 11) // 2
        return w[cut : cut + 11, cut : cut + 11]

    reference = part(16)
    errors = [np.abs(part(grid) - reference).max() for grid in (1, 2, 4, 8)]
    assert errors == sorted(errors, reverse=True) and errors[2] < 0.005 < errors[0]


def test_the_first_colour_is_the_best_one_of_rank_one():
    weight = rng.standard_normal((4, 3, 5, 5))
    plane, colour, share = first_colour(weight)
    for v, p, u, s in zip(weight, plane, colour, share, strict=True):
        values = np.linalg.svd(v.reshape(3, -1), compute_uv=False)
        residual = v - u[:, None, None] * p
        assert (residual**2).sum() == pytest.approx((values[1:] ** 2).sum())
        assert s == pytest.approx(values[0] ** 2 / (values**2).sum())
        assert np.linalg.norm(u) == pytest.approx(1) and u.sum() >= 0


def test_a_monochrome_kernel_is_proportional_to_its_sum():
    mu = np.array([0.3, 0.6, 0.1])
    weight = (mu[:, None, None] * GABOR)[None]
    plane, colour, share = first_colour(weight)
    assert share[0] == pytest.approx(1)
    np.testing.assert_allclose(colour[0], mu / np.linalg.norm(mu))
    np.testing.assert_allclose(plane[0], weight[0].sum(axis=0) * np.linalg.norm(mu), rtol=1e-12)


def test_opponent_colours_survive_although_their_sum_vanishes():
    weight = (np.array([1, -1, 0.0])[:, None, None] * GABOR)[None]
    plane, _, share = first_colour(weight)
    assert share[0] == pytest.approx(1)
    assert (plane**2).sum() == pytest.approx(2 * (GABOR**2).sum())


def test_dead_kernels_are_relative_to_the_layer():
    weight = rng.standard_normal((4, 3, 5, 5))
    weight[1] = 0
    weight[2] *= 1e-8
    for scale in (1, 1e-20, 1e20):
        np.testing.assert_array_equal(dead_kernels(scale * weight), [False, True, True, False])
    plane, colour, share = first_colour(weight)
    assert not plane[1].any() and np.isnan(share[1]) and np.isfinite(colour).all() and np.isfinite(share[2])


@pytest.mark.parametrize(
    ("weight", "grid", "error", "message"),
    [
        (np.ones((2, 5, 5)), 4, ValueError, "4 axes|shape"),
        (np.full((1, 3, 5, 5), np.nan), 4, ValueError, "NaN"),
        (np.ones((1, 3, 5, 5)), 0, ValueError, "grid is 0"),
        (np.ones((1, 3, 5, 5)), 1.5, TypeError, "grid must be an integer"),
        (1j * np.ones((1, 3, 5, 5)), 4, TypeError, "complex"),
    ],
)
def test_bad_arguments(weight, grid, error, message):
    with pytest.raises(error, match=message):
        complex_filters(weight, grid)
