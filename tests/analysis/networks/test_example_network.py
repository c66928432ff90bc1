"""The small network that learns from which photograph a crop is."""

import pytest

torch = pytest.importorskip("torch")

from analysis.networks import BlurPool  # noqa: E402
from analysis.networks.example import fit, random_crops, small_network  # noqa: E402
from analysis.networks.metrics import assert_shift_equivariant  # noqa: E402


@pytest.fixture
def pictures():
    return torch.rand(3, 3, 20, 24, generator=torch.Generator().manual_seed(0))


def test_crops_are_windows_of_their_pictures(pictures):
    batches = random_crops(pictures, 20, 40, seed=2)
    crops, source = next(batches)
    assert crops.shape == (40, 3, 20, 20)
    windows = pictures.unfold(3, 20, 1)[source]  # the height leaves no choice
    windows = torch.stack([window.permute(2, 0, 1, 3) for window in windows.unbind()])
    both = torch.cat((windows, windows.flip(4)), 1)
    assert (both == crops[:, None]).flatten(2).all(2).any(1).all()
    assert set(source.tolist()) == {0, 1, 2}
    again, _ = next(random_crops(pictures, 20, 40, seed=2))
    assert torch.equal(crops, again)
    assert not torch.equal(crops, next(batches)[0])


def test_crops_at_many_scales_keep_their_size(pictures):
    batches = random_crops(pictures, 10, 4, smallest=6)
    sides = {tuple(next(batches)[0].shape) for _ in range(8)}
    assert sides == {(4, 3, 10, 10)}
    with pytest.raises(ValueError, match="pictures of 20×24 pixels are smaller than windows of 21"):
        next(random_crops(pictures, 21, 4))


def test_it_learns_and_is_the_same_again(pictures):
    pictures, losses = pictures * torch.tensor([0.2, 0.6, 1])[:, None, None, None], []
    for _ in range(2):
        network = small_network(3, widths=(8,))
        losses.append(fit(network, random_crops(pictures, 12, 16), 40, rate=0.03, progress=False))
        assert not network.training
    assert losses[0] == losses[1]
    assert sum(losses[0][-5:]) < 0.8 * sum(losses[0][:5])


def test_its_layers_commute_with_shifts_up_to_the_strides():
    network = small_network(4, lambda channels: BlurPool(2, taps=1), widths=(4, 5)).eval()
    x = torch.rand(2, 3, 16, 16)
    assert [name for name, _ in network.named_children()][:3] == ["conv1", "relu1", "pool1"]
    assert_shift_equivariant(network, x, [(4, 8), (0, 12)])
    with pytest.raises(AssertionError):
        assert_shift_equivariant(network, x, [(1, 0)])


def test_drawing_the_weights_leaves_torch_as_it_is():
    state = torch.random.get_rng_state()
    weights = [small_network(4, seed=seed).conv1.weight for seed in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
