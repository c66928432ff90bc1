"""Torch tensors are taken wherever a user would try them: the result is that of the same numpy array."""

from __future__ import annotations

import numpy as np
import pytest

from analysis import cmod, describe_kernels, gamma, heatmaps, predict, rmax
from wavelets import DualTreePackets2D, analytic, characteristic_frequency, hilbert2d
from wavelets.spectrum import bandwidth, energy_in_window

torch = pytest.importorskip("torch")
rng = np.random.default_rng(0)
KERNEL = rng.standard_normal((7, 7)).astype(np.float32)
IMAGE = rng.random((2, 48, 48)).astype(np.float32)
PACKETS = DualTreePackets2D(1)


@pytest.mark.parametrize(
    ("function", "array"),
    [
        (hilbert2d, KERNEL),
        (analytic, KERNEL),
        (lambda x: analytic(KERNEL, x), np.array([0.6, 0.8])),
        (characteristic_frequency, KERNEL),
        (characteristic_frequency, analytic(KERNEL)),
        (lambda x: energy_in_window(KERNEL, x, 1.0), np.array([0.5, 0.5])),
        (lambda x: bandwidth(x, (0.5, 0.5)), KERNEL),
        (lambda x: rmax(x, KERNEL, 2), IMAGE),
        (lambda x: rmax(IMAGE, x, 2), KERNEL),
        (lambda x: cmod(IMAGE, x, 2), analytic(KERNEL)),
        (gamma, np.array([[0.3, 1.0], [2.0, -1.0]])),
        (PACKETS.forward, IMAGE),
        (lambda x: PACKETS.inverse(x, (48, 48)), np.asarray(PACKETS.forward(IMAGE))),
        (lambda x: heatmaps(list(x), 1, size=48, progress=False).rho.values, IMAGE),
        (lambda x: predict(x[None], np.ones((31, 31)), 2, draws=8, progress=False).rho_rms.values, KERNEL),
        (lambda x: describe_kernels(x, stride=2).theta_x.values, rng.standard_normal((2, 3, 7, 7))),
    ],
)
def test_a_tensor_gives_what_its_array_gives(function, array):
    expected = np.asarray(function(array))
    tensor = torch.tensor(array)
    np.testing.assert_array_equal(np.asarray(function(tensor)), expected)
    if tensor.is_floating_point():  # as the weight of a module does
        np.testing.assert_array_equal(np.asarray(function(torch.nn.Parameter(tensor))), expected)


def test_half_precision_and_conjugate_views_are_read():
    half = torch.tensor(KERNEL).bfloat16()
    np.testing.assert_array_equal(hilbert2d(half), hilbert2d(half.float().numpy()))
    w = torch.tensor(analytic(KERNEL))
    np.testing.assert_array_equal(characteristic_frequency(w.conj()), characteristic_frequency(w.numpy().conj()))
