"""Classes of kernels: the one definition, on kernels of every kind and on a trained layer."""

from __future__ import annotations

import numpy as np
import pytest

from analysis.kernels import describe_kernels, first_layer
from wavelets.kernel_kinds import KINDS, kernel_kinds


def kernels_of_every_kind(side=15):
    """A wave, low passes, a dot, noise, nothing, another wave; with three channels."""
    y, x = np.mgrid[:side, :side] - side // 2
    envelope = np.exp(-(x**2 + y**2) / 20)
    dot, noise = (x == 0) & (y == 0), np.random.default_rng(0).standard_normal((side, side))
    planes = [envelope * np.cos(1.3 * x + 0.4 * y), envelope, np.ones_like(envelope), dot, noise, 0 * envelope]
    planes.append(envelope * np.sin(0.9 * y))
    return np.array(planes)[:, None] * np.array([0.5, 0.6, 0.4])[:, None, None]


@pytest.mark.parametrize("scale", [1, -1e-3, 1e20])
def test_kernels_of_every_kind(scale):
    kinds = ["band-pass", "low-pass", "low-pass", "low-pass", "blob", "dead", "band-pass"]
    assert kernel_kinds(scale * kernels_of_every_kind()).tolist() == kinds and set(kinds) == set(KINDS)


def test_opponent_colours_without_a_wave_are_blobs():
    blob = kernels_of_every_kind()[1:2] * np.array([1, -1, 0.1])[:, None, None]
    assert kernel_kinds(blob).tolist() == ["blob"]


def test_the_description_of_a_layer_has_the_same_kinds():
    layer = first_layer("default")
    kinds = kernel_kinds(layer.weight)
    assert (kinds == "band-pass").sum() > len(kinds) / 4
    np.testing.assert_array_equal(describe_kernels(layer, progress=False).kind, kinds)


@pytest.mark.parametrize("weight", [np.ones((3, 5, 5)), np.full((1, 3, 5, 5), np.inf)])
def test_what_is_no_layer_is_refused(weight):
    with pytest.raises(ValueError, match="weight"):
        kernel_kinds(weight)
