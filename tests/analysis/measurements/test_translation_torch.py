"""Translations of maps that can be undone."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from analysis.measurements.translation import translate  # noqa: E402
from analysis.measurements.translation_torch import translate_maps  # noqa: E402

SHIFTS = [(0.0, 1.0), (0.5, -1.5), (0.25, 2.75), (3.0, 0.0), (-0.3, 100.7)]


def maps(*sides):
    return torch.randn((2, 3, *sides), generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.mark.parametrize("sides", [(7, 9), (8, 8), (6, 1), (13, 16)])
@pytest.mark.parametrize("shift", SHIFTS)
def test_the_opposite_shift_undoes_it_and_energy_stays(sides, shift):
    x = maps(*sides)
    y = translate_maps(x, shift)
    assert torch.allclose(translate_maps(y, [-v for v in shift]), x, atol=1e-12)
    assert y.square().sum().item() == pytest.approx(x.square().sum().item(), rel=1e-12)


@pytest.mark.parametrize("shift", SHIFTS)
def test_it_is_the_translation_of_numpy_arrays_on_odd_sides_and_where_the_nyquist_bin_is_empty(shift):
    x = maps(7, 9)
    assert np.allclose(translate_maps(x, shift).numpy(), translate(x.numpy(), shift), atol=1e-12)
    spectrum = torch.fft.fft2(maps(8, 10))
    spectrum[..., 4, :] = 0
    spectrum[..., :, 5] = 0
    smooth = torch.fft.ifft2(spectrum).real
    assert np.allclose(translate_maps(smooth, shift).numpy(), translate(smooth.numpy(), shift), atol=1e-12)


def test_whole_shifts_roll_to_the_last_bit_and_axes_can_be_named():
    x = maps(8, 6)
    assert torch.equal(translate_maps(x, (2, -1)), x.roll((2, -1), (2, 3)))
    moved = translate_maps(x.permute(0, 2, 3, 1), (0.5, 1.25), (1, 2))
    assert torch.allclose(moved.permute(0, 3, 1, 2), translate_maps(x, (0.5, 1.25)), atol=1e-12)


@pytest.mark.parametrize("v", [0.5, 1.4, 1.6, -2.6])
def test_the_nyquist_bin_keeps_its_size(v):
    x = torch.tensor([1.0, -1, 1, -1]).view(1, 1, 1, 4)
    sign = -1 if round(v) % 2 else 1
    assert torch.allclose(translate_maps(x, (0, v)), sign * x, atol=1e-6)


def test_half_precision_comes_back_as_it_was():
    x = maps(8, 8).half()
    y = translate_maps(x, (0.5, 0.5))
    assert y.dtype == torch.float16
    assert torch.allclose(y.double(), translate_maps(x.double(), (0.5, 0.5)), atol=2e-3)
