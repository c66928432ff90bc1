"""Batch normalisations folded into convolutions: the same answers, and nothing folded where that would change them."""

import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from analysis.networks import create  # noqa: E402
from analysis.networks.folding import folded  # noqa: E402


def trained(model):
    """Model in evaluation mode whose batch normalisations have seen something."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.track_running_stats:
            for values in (module.running_mean, module.bias):
                values.data = 0.3 * torch.randn(len(values), generator=generator)
            for values in (module.running_var, module.weight):
                values.data = 0.5 + torch.rand(len(values), generator=generator)
    return model.eval()


def norms(model):
    return sum(isinstance(module, nn.BatchNorm2d) for module in model.modules())


def stack(*layers):
    torch.manual_seed(0)
    return trained(nn.Sequential(nn.Conv2d(3, 4, 3, bias=False), *layers))


@pytest.fixture
def x():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize(
    ("make", "left"),
    [
        (lambda: stack(nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.BatchNorm2d(5)), 0),
        (lambda: create("resnet20-cifar"), 0),
    ],
    ids=["stack", "resnet"],
)
def test_answers_stay_and_the_model_is_not_touched(make, left, x):
    model = trained(make())
    before = norms(model), str(model)
    other = folded(model, x)
    assert norms(other) == left < before[0]
    assert (norms(model), str(model)) == before
    with torch.no_grad():
        expected = model(x)
        torch.testing.assert_close(other(x), expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


class TwoReaders(nn.Module):
    """The maps of the convolution are added to what the normalisation makes of them."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x):
        x = self.conv(x)
        return (x + self.norm(x)).mean((2, 3))


class Standardised(nn.Conv2d):
    """A convolution with a forward of its own."""

    def forward(self, x):
        return self._conv_forward(x, self.weight / self.weight.norm(), self.bias)


def watched():
    model = stack(nn.BatchNorm2d(4))
    model[0].register_forward_hook(lambda *_: None)
    return model


@pytest.mark.parametrize(
    "make",
    [
        TwoReaders,
        watched,
        lambda: stack(nn.ReLU(), nn.BatchNorm2d(4)),
        lambda: stack(nn.BatchNorm2d(4, track_running_stats=False)),
        lambda: nn.Sequential(Standardised(3, 4, 3), nn.BatchNorm2d(4)),
    ],
    ids=["two readers", "hook", "another layer between", "statistics of the batch", "own forward"],
)
def test_nothing_is_folded_where_it_would_change_something(make, x):
    torch.manual_seed(0)
    model = make().eval()
    assert folded(model, x) is model


def test_a_copy_that_answers_otherwise_is_not_used(x):
    class Counting(nn.Module):
        """Asks for the type of its neighbour."""

        def __init__(self):
            super().__init__()
            self.body = stack(nn.BatchNorm2d(4))

        def forward(self, x):
            return self.body(x) * sum(isinstance(m, nn.BatchNorm2d) for m in self.modules())

    model = Counting().eval()
    assert folded(model, x) is model
