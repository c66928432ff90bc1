"""Energy that aliases."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from analysis.audit.aliasing import aliased_energy, aliased_of_call, aliased_of_spectrum, low_passed  # noqa: E402
from analysis.networks.place import intercept  # noqa: E402


def wave(side, frequency, axis=1):
    n = torch.arange(side, dtype=torch.float64)
    line = torch.cos(2 * torch.pi * frequency * n / side + 0.3)
    return (line[:, None] if axis == 0 else line[None]).expand(side, side)[None, None].clone()


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize(("frequency", "expected"), [(3, 0), (7, 0), (8, 1), (9, 1), (15, 1)])
def test_a_wave_aliases_wholly_or_not_at_all(axis, frequency, expected):
    aliased, whole = aliased_energy(wave(32, frequency, axis), (2, 2))
    assert (aliased / whole).item() == pytest.approx(expected, abs=1e-12)


def test_only_the_axis_that_is_subsampled_counts():
    aliased, whole = aliased_energy(wave(32, 12, 0), (1, 2))
    assert aliased.item() == pytest.approx(0, abs=1e-12) and whole.item() > 1


@pytest.mark.parametrize(("sides", "strides"), [((16, 16), (2, 2)), ((15, 9), (3, 1)), ((12, 14), (3, 2))])
def test_low_pass_is_the_projection_that_a_full_transform_gives(sides, strides):
    x = torch.randn(2, 3, *sides, dtype=torch.float64)
    rows, columns = (torch.fft.fftfreq(n, 1 / n).round() for n in sides)
    keep = torch.ones(sides, dtype=torch.bool)
    for axis, (k, n, s) in enumerate(zip((rows, columns), sides, strides, strict=True)):
        line = 2 * s * k.abs() < n if s > 1 else torch.ones(n, dtype=torch.bool)
        keep &= line[:, None] if axis == 0 else line[None]
    expected = torch.fft.ifft2(torch.fft.fft2(x) * keep).real
    found = low_passed(x, strides)
    assert torch.allclose(found, expected, atol=1e-12)
    assert torch.allclose(low_passed(found, strides), found, atol=1e-12)


@pytest.mark.parametrize("exponent", [0, 2])
def test_yardsticks_are_means_over_random_fields(exponent):
    sides, strides = (24, 24), (2, 2)
    generator = torch.Generator().manual_seed(1)
    frequencies = torch.fft.fftfreq(24)
    squared = frequencies[:, None] ** 2 + frequencies[None] ** 2
    power = torch.where(squared > 0, squared.clamp(min=1e-9) ** (-exponent / 2), 0.0 if exponent else 1.0)
    noise = torch.randn(4000, 1, *sides, generator=generator, dtype=torch.float64)
    fields = torch.fft.ifft2(torch.fft.fft2(noise) * power.sqrt()).real
    aliased, whole = aliased_energy(fields, strides)
    expected = (aliased.sum() / whole.sum()).item()
    assert aliased_of_spectrum(sides, strides, exponent) == pytest.approx(expected, rel=0.03)


def test_white_noise_is_what_a_count_of_bins_says():
    assert aliased_of_spectrum((16, 16), (2, 2), 0) == pytest.approx(1 - (7 / 16) ** 2)
    assert aliased_of_spectrum((15, 15), (3, 1), 0) == pytest.approx(1 - 5 / 15)


def energies(model, x):
    found = []
    intercept(model, x, lambda index, call: found.append(aliased_of_call(call)))
    return found


LAYERS = [
    nn.Conv2d(3, 4, 3, 2, 1),
    nn.Conv2d(3, 6, 5, (2, 1), 2, groups=3),
    nn.Conv2d(3, 4, 4, 4),
    nn.MaxPool2d(3, 2, 1),
    nn.AvgPool2d(2),
    nn.LPPool2d(2, 2),
    nn.AdaptiveAvgPool2d(8),
]


@pytest.mark.parametrize("layer", LAYERS)
def test_samples_of_the_dense_maps_are_the_output(layer):
    calls = []

    def on_call(index, call):
        rows, columns = (slice(o, None, int(s)) for o, s in zip(call.offset, call.stride, strict=True))
        calls.append((call.dense()[:, :, rows, columns], call.output))

    intercept(layer, torch.rand(2, 3, 32, 32), on_call)
    ((dense, output),) = calls
    assert torch.allclose(dense, output, atol=1e-6)


def test_maps_that_are_low_passed_do_not_alias_and_large_maps_are_taken_in_parts(monkeypatch):
    x = low_passed(torch.rand(3, 3, 16, 16), (2, 2))
    ((aliased, whole),) = energies(nn.Conv2d(3, 4, 1, 2, bias=False), x)
    assert (aliased / whole).max() < 1e-10
    x = torch.rand(3, 3, 16, 16)
    expected = energies(nn.MaxPool2d(2), x)[0]
    monkeypatch.setattr("analysis.audit.aliasing.LARGE", 1)
    for one, other in zip(energies(nn.MaxPool2d(2), x)[0], expected, strict=True):
        assert torch.allclose(one, other)


def test_space_to_depth_counts_every_phase():
    x = torch.rand(2, 3, 16, 16)
    ((aliased, whole),) = energies(nn.PixelUnshuffle(2), x)
    parts = [aliased_energy(x.double(), (2, 2), (i, j)) for i in (0, 1) for j in (0, 1)]
    assert np.allclose(aliased, sum(part[0] for part in parts), rtol=1e-5)
    assert np.allclose(whole, sum(part[1] for part in parts), rtol=1e-5)


def test_both_parts_of_complex_maps_count():
    y = torch.randn(2, 3, 16, 16, dtype=torch.complex128)
    parts = [aliased_energy(part, (2, 2)) for part in (y.real, y.imag)]
    for found, real, imaginary in zip(aliased_energy(y, (2, 2)), *parts, strict=True):
        torch.testing.assert_close(found, real + imaginary)
