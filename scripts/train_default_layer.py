r"""Train the default layer: the first layer of AlexNet, learnt without labels from twelve photographs.

The layer is a convolution 64x3x11x11 of stride 4 and padding 2, a ReLU, and a max pooling over 3x3
of stride 2. It learns from nothing but the photographs inside scikit-image (`bundled_images`; six
of them are grey). That so few images suffice for a first layer is a finding of Asano, Rupprecht and
Vedaldi, "A critical analysis of self-supervision, or what we can learn from a single image" (2020).

Objective
    Instance discrimination with the contrastive loss of SimCLR (Chen et al., 2020). An instance is
    a place in a photograph together with an orientation and a scale. Two views of each instance
    differ by a small rotation, zoom and shift, and in colour, contrast, sharpness, lighting and
    noise; a small network, whose first layer is the one wanted, has to find the pairs in a batch.
    All places of a batch lie in two photographs and come in four orientations, 90 degrees apart,
    so that neither colour nor texture alone tells them apart, but oriented detail does.

Parametrisation
    Each channel of a kernel is ``latent @ whitening``. The whitening is :math:`(C + \epsilon
    I)^{-1/2}` up to a factor, where C is the covariance of 11x11 patches of the views, scaled to a
    largest eigenvalue of 1. Gradient descent and weight decay act on the latent kernels.
    Photographs have most of their energy at low frequencies, which gradient descent follows first:
    in a trial of 370 iterations without the whitening, most kernels were still near-uniform patches
    of colour, and with it most were oriented.
    The floor epsilon differs from kernel to kernel: the first kernels see fine detail, the last
    ones coarser detail, which widens the range of their wavelengths.

Batch normalisation follows the convolution during training. At the end its statistics are taken
anew from many batches, and it is folded into weight and bias, which is exact. Inputs are RGB in
[0, 1], normalised with the mean and standard deviation of ImageNet, as usual. All settings are
constants below.

To run it again, with the package and PyTorch (not torchvision) installed::

    python -m scripts.train_default_layer --out FOLDER

It writes ``default_layer.npz`` (the layer) and ``default_layer_training.csv`` (mean loss and
accuracy since the previous row), and takes about 20 minutes on one thread of a common processor.
The same seed, machine and version of PyTorch give the same files.
"""

import argparse
import csv
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from analysis.files.imagenet_statistics import IMAGENET_MEAN, IMAGENET_STD
from analysis.files.pictures import bundled_images

KERNELS, SIZE, STRIDE, PADDING = 64, 11, 4, 2
POOL, POOL_STRIDE, POOL_PADDING = 3, 2, 0

ITERATIONS = 3000
PHOTOGRAPHS = 2  # per batch
PLACES = 16  # per photograph and batch, each in four orientations
VIEW = 64  # side of the views, in pixels
LEARNING_RATE, WARM_UP = 0.2, 100  # cosine decay to 0 after a linear rise
MOMENTUM = 0.9
LATENT_DECAY, WEIGHT_DECAY = 1.5e-2, 5e-4  # of the latent kernels, of all else
LATENT_INIT = 0.003  # small, so that what is left of the noise decays
WHITENING_FLOOR = (3e-3, 1e-1)  # the epsilon above, in geometric progression
TEMPERATURE = 0.1

SCALE = (-0.5, 1.5)  # octaves, of an instance: from 2^0.5 times enlarged to 2^1.5 times reduced
ZOOM, ANGLE, SHIFT = 0.15, math.radians(15), 10.0  # largest change: octaves, radians, pixels of the view
GREY = 0.6  # probability of a random mixture of the channels to grey
COLOUR = 0.3  # standard deviation of the entries of the random colour matrix
SHARPNESS = (-0.6, 2.0)  # fraction of the detail that is added; below 0 blurs
LIGHTING = 0.3  # largest amplitude of a smooth random field
NOISE = 0.02  # largest standard deviation of white noise


def uniform(low: float, high: float, *shape: int) -> Tensor:
    """Draw independent numbers that are uniform on [low, high)."""
    return low + (high - low) * torch.rand(*shape)


def view(photograph: Tensor, places: Tensor) -> Tensor:
    """Cut one view of each place (rows y, x, angle, octave) out of a photograph."""
    n, (height, width) = len(places), photograph.shape[-2:]
    y, x, angle, octave = places.T
    scale = 2 ** (octave + uniform(-ZOOM, ZOOM, n))
    angle = angle + uniform(-ANGLE, ANGLE, n)
    y, x = (v + scale * uniform(-SHIFT, SHIFT, n) for v in (y, x))
    y, x, c, s = (v[:, None, None] for v in (y, x, scale * angle.cos(), scale * angle.sin()))
    line = torch.arange(VIEW) - (VIEW - 1) / 2
    v, u = torch.meshgrid(line, line, indexing="ij")
    grid = torch.stack([(2 * (s * v + c * u + x) + 1) / width - 1, (2 * (c * v - s * u + y) + 1) / height - 1], -1)
    return F.grid_sample(photograph.expand(n, -1, -1, -1), grid, padding_mode="reflection", align_corners=False)


def develop(x: Tensor) -> Tensor:
    """Change colour, contrast, sharpness, lighting and noise of each view, and normalise it."""
    n = len(x)
    grey = uniform(0.2, 1.2, n, 1, 3)
    grey = (grey / grey.sum(2, keepdim=True)).expand(-1, 3, -1)
    matrix = torch.where(torch.rand(n, 1, 1) < GREY, grey, torch.eye(3) + COLOUR * torch.randn(n, 3, 3))
    x = torch.bmm(matrix, x.flatten(2)).view_as(x)
    mean = x.mean((2, 3), keepdim=True)
    x = mean + (x - mean) * 2 ** uniform(-1, 1, n, 1, 1, 1)
    blurred = F.avg_pool2d(F.pad(x, (2, 2, 2, 2), mode="reflect"), 5, 1)
    x = x + uniform(*SHARPNESS, n, 1, 1, 1) * (x - blurred)
    coloured = uniform(0, LIGHTING, n, 1, 1, 1) * (torch.rand(n, 1, 1, 1) < 0.5)
    light = uniform(0, LIGHTING, n, 1, 1, 1) * torch.randn(n, 1, 3, 3) + coloured * torch.randn(n, 3, 3, 3)
    x = x + F.interpolate(light, size=(VIEW, VIEW), mode="bilinear", align_corners=True)
    x = x + uniform(0, NOISE, n, 1, 1, 1) * torch.randn_like(x)
    return (x - torch.tensor(IMAGENET_MEAN)[:, None, None]) / torch.tensor(IMAGENET_STD)[:, None, None]


def batch(photographs: Sequence[Tensor], places: int) -> Tensor:
    """Two views of a batch of instances: the first views, then the second ones in the same order."""
    pairs = []
    for k in torch.randperm(len(photographs))[:PHOTOGRAPHS].tolist():
        height, width = photographs[k].shape[-2:]
        ranges = ((VIEW // 2, height - VIEW // 2), (VIEW // 2, width - VIEW // 2), (-math.pi, math.pi), SCALE)
        where = torch.stack([uniform(*ends, places) for ends in ranges], 1)
        pairs.append((view(photographs[k], where), view(photographs[k], where)))
    views = (torch.cat(half) for half in zip(*pairs, strict=True))
    return develop(torch.cat([torch.rot90(half, turn, (2, 3)) for half in views for turn in range(4)]))


def whitening(views: Tensor) -> Tensor:
    """Inverse square roots of the covariance of patches, pooled over channels; one for each kernel."""
    patches = F.unfold(views, SIZE, stride=5).transpose(1, 2).reshape(-1, SIZE**2).double()
    values, vectors = torch.linalg.eigh(torch.cov(patches.T))
    low, high = np.log10(WHITENING_FLOOR).tolist()
    floors = torch.logspace(low, high, KERNELS)[:, None, None]
    roots = vectors * (values / values[-1] + floors) ** -0.5 @ vectors.T
    return (SIZE * roots / roots.norm(dim=(1, 2), keepdim=True)).float()


class Network(nn.Module):
    """The layer, and what follows it during training only."""

    white: Tensor

    def __init__(self, white: Tensor) -> None:
        super().__init__()
        self.register_buffer("white", white)
        self.latent = nn.Parameter(LATENT_INIT * torch.randn(KERNELS, 3, SIZE**2))
        self.norm = nn.BatchNorm2d(KERNELS)
        second = (nn.Conv2d(KERNELS, 128, 3, 1, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU(), nn.MaxPool2d(2, 1))
        third = (nn.Conv2d(128, 128, 3, 1, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        hidden = (nn.Flatten(), nn.Linear(512, 256, bias=False), nn.BatchNorm1d(256), nn.ReLU())
        self.body = nn.Sequential(*second, *third, *hidden, nn.Linear(256, 64))

    def weight(self) -> Tensor:
        """Kernels, before the batch normalisation is folded in."""
        return (self.latent @ self.white).view(KERNELS, 3, SIZE, SIZE)

    def layer(self, x: Tensor) -> Tensor:
        """Compute convolution, batch normalisation, ReLU and max pooling."""
        x = self.norm(F.conv2d(x, self.weight(), stride=STRIDE, padding=PADDING))
        return F.max_pool2d(F.relu(x), POOL, POOL_STRIDE, POOL_PADDING)

    def forward(self, x: Tensor) -> Tensor:
        """Embed views on the unit sphere."""
        return F.normalize(self.body(self.layer(x)))

    def folded(self) -> dict[str, np.ndarray]:
        """Weight and bias with the batch normalisation inside."""
        mean, variance = self.norm.running_mean, self.norm.running_var
        assert mean is not None and variance is not None  # tracked by default
        gain = self.norm.weight / torch.sqrt(variance + self.norm.eps)
        bias = self.norm.bias - gain * mean
        return {"weight": (gain[:, None, None, None] * self.weight()).detach().numpy(), "bias": bias.detach().numpy()}


def train(
    photographs: Sequence[Tensor], iterations: int, places: int, quiet: bool
) -> tuple[Network, list[tuple[int, float, float]]]:
    """Train a network; return it with rows of iteration, mean loss and mean accuracy."""
    net = Network(whitening(torch.cat([batch(photographs, places) for _ in range(24)])))
    rest = [p for name, p in net.named_parameters() if name != "latent"]
    groups = [{"params": [net.latent], "weight_decay": LATENT_DECAY}, {"params": rest, "weight_decay": WEIGHT_DECAY}]
    optimiser = torch.optim.SGD(groups, lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimiser, lambda i: min(1, (i + 1) / WARM_UP) * (1 + math.cos(math.pi * i / iterations)) / 2
    )
    rows, recent = [], []
    target = torch.arange(PHOTOGRAPHS * places * 4)
    for i in tqdm(range(1, iterations + 1), desc="training", disable=quiet):
        first, second = net(batch(photographs, places)).chunk(2)
        scores = first @ second.T / TEMPERATURE
        loss = (F.cross_entropy(scores, target) + F.cross_entropy(scores.T, target)) / 2
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        recent.append((loss.item(), (scores.argmax(1) == target).float().mean().item()))
        if i % max(1, iterations // 100) == 0:
            rows.append((i, *np.mean(recent, axis=0)))
            recent.clear()
    net.norm.reset_running_stats()
    net.norm.momentum = None  # the mean over all batches to come
    with torch.no_grad():
        for _ in range(max(1, iterations // 25)):
            net.layer(batch(photographs, places))
    return net, rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the layer and write it, with the course of the training, into a folder."""
    parser = argparse.ArgumentParser(description="Train the default layer on the photographs inside scikit-image.")
    parser.add_argument("--out", type=Path, required=True, help="folder of default_layer.npz and *_training.csv")
    parser.add_argument("--iterations", type=int, default=ITERATIONS)
    parser.add_argument("--places", type=int, default=PLACES, help="per photograph and batch")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    torch.manual_seed(options.seed)
    photographs = []
    for path in bundled_images():
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB"), dtype=np.float32) / 255
        photographs.append(torch.from_numpy(pixels).permute(2, 0, 1)[None])
    net, rows = train(photographs, options.iterations, options.places, options.quiet)
    options.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        options.out / "default_layer.npz",
        allow_pickle=False,
        **net.folded(),
        name="contrastive layer of 12 photographs",
        description=f"SimCLR on the photographs inside scikit-image, {options.iterations} iterations of "
        f"{8 * PHOTOGRAPHS * options.places} views, seed {options.seed}; by train_default_layer.py",
        mean=np.array(IMAGENET_MEAN),
        std=np.array(IMAGENET_STD),
        stride=STRIDE,
        padding=PADDING,
        pool=POOL,
        pool_stride=POOL_STRIDE,
        pool_padding=POOL_PADDING,
    )
    with open(options.out / "default_layer_training.csv", "w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("iteration", "loss", "accuracy"))
        writer.writerows((i, f"{loss:.4f}", f"{accuracy:.4f}") for i, loss, accuracy in rows)


if __name__ == "__main__":
    main()
