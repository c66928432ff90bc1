"""AlexNet in torchvision's form, with one tower and no response normalisation."""

from __future__ import annotations

from torch import Tensor, nn

from analysis.networks.architectures import _parts
from analysis.networks.pooling_argument import Pooling, pooling_at
from analysis.networks.site import square_site, strided_site
from wavelets.checks import integer

LEAST = 63
"""Side of the smallest picture of which the last max pooling has something to give."""


class AlexNet(nn.Module):
    """Five convolutions, three max poolings, three linear layers.

    Parameters
    ----------
    classes : int
    pooling : str or callable
        Of the three max poolings 3/2; if not "max", the first convolution has the stride 2 instead of 4, and what it
        is short of is subsampled by the same operator, before the first max pooling.
    first : Module, optional
        Instead of everything up to and including the first max pooling, from (N, 3, H, W) to 64 channels at an eighth
        of the size; `pooling` is for the rest. It keeps the weights that it has.
    dropout : float
        Before the first two linear layers.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    Krizhevsky 2014; theory.md, section 6.1. Keys of the state dict as in torchvision, ``features.0.weight`` to
    ``classifier.6.bias``; those of trainable pooling begin with ``features.2``, ``features.5`` and ``features.12``,
    those of `first` with ``features.0``. Weights start by torch's defaults.
    """

    def __init__(
        self,
        classes: int = 1000,
        pooling: Pooling = "max",
        *,
        first: nn.Module | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()

        def pool(channels: int, name: str) -> nn.Module:
            return pooling_at(square_site("max", 3, 2, 0, channels, name), pooling)

        if first is not None:
            head = [first, nn.Identity(), nn.Identity()]
        elif pooling == "max":
            head = [nn.Conv2d(3, 64, 11, stride=4, padding=2), nn.ReLU(), pool(64, "features.2")]
        else:
            half = pooling_at(strided_site(64, "features.2.0"), pooling)
            downs = nn.Sequential(half, pool(64, "features.2.1"))
            head = [nn.Conv2d(3, 64, 11, stride=2, padding=2), nn.ReLU(), downs]
        # With another first stage the size that the rest gets is not known here.
        self.least = LEAST if first is None else 1
        self.features = nn.Sequential(
            *head,
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            pool(192, "features.5"),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            pool(256, "features.12"),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, integer("classes", classes, 1)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits, shape (N, classes), of normalised pictures, shape (N, 3, H, W) from 63×63 on; 224×224 as published.

        Raises
        ------
        TypeError, ValueError
            If `x` is nothing like that.
        """
        x = _parts.checked_input(x, "AlexNet", least=self.least)
        y: Tensor = self.classifier(self.avgpool(self.features(x)).flatten(1))
        return y
