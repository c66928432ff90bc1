"""The fused measurement on a torch device against the numpy operators."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from analysis import packet_experiment, packet_pool
from analysis.measurements.shift_experiment import sums_of_maps
from wavelets import DualTreePackets2D

torch = pytest.importorskip("torch")
from analysis.measurements.packet_sums_torch import torch_packet_sums  # noqa: E402
from wavelets.nn import DualTreePackets2d  # noqa: E402

NO_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
DEVICES = ["cpu", pytest.param("cuda", marks=NO_GPU)]


def by_numpy(transform, base, moved, q):
    return sums_of_maps(lambda images: packet_pool(transform, images, q), [base, *moved])


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-12), ("float32", 1e-5)])
@pytest.mark.parametrize(
    ("levels", "size", "q", "boundary"), [(2, (80, 91), 1, "periodization"), (1, (33, 40), 2, "symmetric")]
)
def test_equals_the_numpy_operators(levels, size, q, boundary, dtype, tolerance, device):
    arguments = {"levels": levels, "stride": 2 ** (levels - 1), "boundary": boundary}
    rng = np.random.default_rng(0)
    base, moved = rng.random((5, *size)).astype(dtype), rng.random((3, 5, *size)).astype(dtype)
    expected = by_numpy(DualTreePackets2D(**arguments), base, moved, q)
    module = DualTreePackets2d(**arguments).to(device)
    for block in (2, 16):
        sums = torch_packet_sums(
            module, torch.tensor(base, device=device), torch.tensor(moved, device=device), q, block
        )
        assert sums.positions == expected.positions
        for ours, theirs in zip(sums[:2], expected[:2], strict=True):
            assert ours.dtype == torch.float64 and ours.device.type == device and not ours.requires_grad
            np.testing.assert_allclose(ours.cpu().numpy(), theirs, rtol=tolerance)


def test_no_image_and_no_shift_give_empty_sums():
    module = DualTreePackets2d(1, stride=1)
    assert torch_packet_sums(module, torch.ones(0, 40, 40), torch.ones(2, 0, 40, 40)).changes.shape == (2, 0, 8, 2)
    assert torch_packet_sums(module, torch.ones(2, 40, 40), torch.ones(0, 2, 40, 40)).changes.shape == (2, 2, 8, 0)


def test_maps_of_one_block_only_are_made(monkeypatch):
    module = DualTreePackets2d(1, stride=1)
    seen = []
    monkeypatch.setattr(module, "forward", lambda x: seen.append(len(x)) or DualTreePackets2d.forward(module, x))
    torch_packet_sums(module, torch.rand(5, 40, 40), torch.rand(1, 5, 40, 40), block=2)
    assert seen == [2, 2, 2, 2, 1, 1]


@pytest.mark.parametrize(
    ("base", "moved", "options", "error", "message"),
    [
        ((2, 40, 40), (2, 40, 40), {}, ValueError, r"base has shape \(2, 40, 40\) and moved \(2, 40, 40\); expected"),
        ((2, 40, 40), (1, 3, 40, 40), {}, ValueError, "expected"),
        ((2, 8, 40), (1, 2, 8, 40), {}, ValueError, "8x40 pixels, too small"),
        ((2, 16, 40), (1, 2, 16, 40), {"q": 2}, ValueError, "expected at least 5x5"),
        ((2, 40, 40), (1, 2, 40, 40), {"block": 0}, ValueError, "block is 0"),
        ((2, 40, 40), (1, 2, 40, 40), {"q": 1.5}, TypeError, "q must be an integer"),
    ],
)
def test_bad_arguments(base, moved, options, error, message):
    with pytest.raises(error, match=message):
        torch_packet_sums(DualTreePackets2d(1, stride=1), torch.ones(base), torch.ones(moved), **options)


@pytest.mark.parametrize("device", DEVICES)
def test_the_experiment_on_a_device_gives_the_same_maps(device):
    pictures = np.random.default_rng(1).random((5, 64, 64)).astype(np.float32)
    pictures[2] = 0.5  # flat
    arguments = {"levels": 2, "shifts": [(0, 1), (0.5, 0)], "size": 64}
    found = []
    for experiment in (packet_experiment(**arguments), packet_experiment(**arguments, device=device)):
        sums, used = pickle.loads(pickle.dumps(experiment)).measure(pictures)
        assert used.tolist() == [True, True, False, True, True]
        found.append(experiment.dataset(sums))
    here, there = found
    for name, values in here.data_vars.items():
        np.testing.assert_allclose(there[name], values, rtol=1e-5, err_msg=name)
    assert there.device == device and "device" not in here.attrs


@pytest.mark.parametrize("device", ["nowhere", "meta", ""])
def test_a_device_that_is_none(device):
    with pytest.raises(ValueError, match=f"device '{device}'; expected"):
        packet_experiment(2, size=64, device=device)
