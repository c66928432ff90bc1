r"""Train the default layer: independent components of twelve photographs, in the shape of AlexNet's first layer.

The layer is a convolution 64x3x11x11 of stride 4 and padding 2, a ReLU, and a max pooling over 3x3
of stride 2. It learns, without labels, from nothing but the photographs inside scikit-image
(`bundled_images`; six of them are grey).

Method
    Independent component analysis of small patches finds oriented band-pass kernels, much as a
    network does: Bell and Sejnowski, "The independent components of natural scenes are edge
    filters" (1997); in colour also kernels of opponent colours: Hoyer and Hyvärinen, "Independent
    component analysis applied to feature extraction from colour and stereo images" (2000).
    Patches of 3x11x11 come from each photograph, turned and reduced, as seen or in a mirror. Their
    colours turn about the grey axis, and a few about any axis, since half of the photographs are
    grey. A smooth round window keeps the borders out of the kernels.

    With :math:`\lambda_1\ge\lambda_2\ge\dots` the variances along the principal axes of the patches,
    the first n axes are divided by :math:`\sqrt{\lambda_k}`, so that low frequencies and grey, which
    have most of the energy, do not outweigh detail and colour. All other axes, which are mostly
    noise, are left out; that is why no kernel is noise. Each patch is scaled to the same contrast.
    FastICA (Hyvärinen, 1999; all components at once, the contrast function log cosh) then turns the
    axes until the responses are as sparse as can be. The sparsest are kept: the least sparse of the
    components are no edges, but what is left over. This is done with many axes, which gives fine
    kernels, and with few, which gives coarse ones. At last the axes are weighted by
    :math:`\lambda_k/(\lambda_k+\lambda_n)`, which lets the finest fade out.

Each kernel is scaled to a response of standard deviation 1 over the patches, and its bias centres
the response. Inputs are RGB in [0, 1], normalised with the mean and standard deviation of ImageNet,
as usual. All settings are constants below; they were chosen by looking at kernels.

To run it again::

    python -m scripts.train_default_layer --out FOLDER

It writes ``default_layer.npz`` and takes less than a minute on one thread of a common processor.
"""

import argparse
import itertools
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from analysis.files.imagenet_statistics import IMAGENET_MEAN, IMAGENET_STD
from analysis.files.pictures import bundled_images

KERNELS, SIZE, STRIDE, PADDING = 64, 11, 4, 2
POOL, POOL_STRIDE, POOL_PADDING = 3, 2, 0

PATCHES = 300  # per photograph, angle and octave, a multiple of 4
ANGLES = (0.0, 22.5, 45.0, 67.5)  # degrees by which a photograph is turned, besides quarters of a turn
OCTAVES = (0.0, 0.5, 1.0, 1.5)  # by which it is then reduced
OPPONENT = 0.1  # share of the patches whose colours turn about any axis, not the grey one
WINDOW = 6.0  # pixels; patches are weighted by exp(-(r / WINDOW)^4)
GROUPS = ((52, 43), (26, 21))  # principal axes, and how many of as many components are kept
ITERATIONS = 200  # of FastICA


def patches(photograph: Image.Image, count: int, generator: np.random.Generator) -> np.ndarray:
    """Cut normalised patches out of a photograph, `count` for each angle and octave, shape (patches, 3, SIZE, SIZE)."""
    middle, half = (np.array(photograph.size) / 2, min(photograph.size) / math.sqrt(8))
    found = []
    for angle, octave in itertools.product(ANGLES, OCTAVES):
        turned = photograph.rotate(angle, Image.Resampling.BICUBIC).crop((*(middle - half), *(middle + half)))
        side = round(2 * half / 2**octave)
        pixels = np.asarray(turned.resize((side, side), Image.Resampling.LANCZOS), dtype=np.float32) / 255
        windows = np.lib.stride_tricks.sliding_window_view(pixels, (SIZE, SIZE), axis=(0, 1))
        quarters = windows[*generator.integers(len(windows), size=(2, count))].reshape(4, -1, 3, SIZE, SIZE)
        turns = np.concatenate([np.rot90(quarter, turn, (2, 3)) for turn, quarter in enumerate(quarters)])
        found.append(np.concatenate([turns[::2], turns[1::2, :, :, ::-1]]))
    every = np.concatenate(found)
    every = np.einsum("nij,njyx->niyx", tint(len(every), generator), every - 0.5) + 0.5
    shape = (3, 1, 1)
    return (every - np.reshape(IMAGENET_MEAN, shape)) / np.reshape(IMAGENET_STD, shape)


def tint(count: int, generator: np.random.Generator) -> np.ndarray:
    """Draw orthogonal maps of colours, most of them rotations about the grey axis, shape (count, 3, 3)."""
    grey = np.full((3, 3), 1 / 3)
    turn = np.array([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / math.sqrt(3)
    angle = generator.uniform(-math.pi, math.pi, (count, 1, 1))
    hue = grey + np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * turn
    free = np.linalg.qr(generator.standard_normal((count, 3, 3)))[0]
    return np.where(generator.random((count, 1, 1)) < OPPONENT, free, hue)


def fast_ica(z: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Return rows that make responses ``z @ rows.T`` of variance 1, uncorrelated and sparse; the sparsest first."""
    values, vectors = np.linalg.eigh(np.cov(z.T))
    whitening = vectors * values**-0.5 @ vectors.T
    z = (z @ whitening).astype(np.float32)
    rotation = np.linalg.qr(generator.standard_normal((z.shape[1],) * 2))[0]
    for _ in range(ITERATIONS):
        slope = np.tanh(z @ rotation.T.astype(np.float32))
        step = slope.T @ z / len(z) - (1 - slope**2).mean(0)[:, None] * rotation
        left, _, right = np.linalg.svd(step)
        rotation = left @ right
    spread = np.log(np.cosh(z @ rotation.T)).mean(0)
    return (rotation @ whitening)[spread.argsort()]


def components(x: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Kernels of patches x, shape (patches, 3 * SIZE**2): rows of that length, for each of GROUPS in turn."""
    line = np.arange(SIZE) - (SIZE - 1) / 2
    window = np.tile(np.exp(-(((line**2 + line[:, None] ** 2) / WINDOW**2) ** 2)).ravel(), 3)
    x = (x - x.mean(0)) * window
    values, axes = np.linalg.eigh(np.cov(x.T))
    values, axes = values[::-1], axes[:, ::-1]
    kernels = []
    for n, kept in GROUPS:
        z = x @ (axes[:, :n] / np.sqrt(values[:n]))
        z *= math.sqrt(n) / np.linalg.norm(z, axis=1, keepdims=True)
        gains = values[:n] ** 0.5 / (values[:n] + values[n - 1])
        kernels.append(fast_ica(z, generator)[:kept] * gains @ axes[:, :n].T)
    return np.concatenate(kernels) * window


def train(photographs: Sequence[Image.Image], count: int, seed: int) -> dict[str, np.ndarray]:
    """Return weight and bias of the layer, from `count` patches of each photograph, angle and octave."""
    generator = np.random.default_rng(seed)
    x = np.concatenate([patches(photograph, count, generator) for photograph in photographs])
    x = x.reshape(len(x), -1)
    kernels = components(x, generator)
    responses = x @ kernels.T
    scale = 1 / responses.std(0)
    weight = (scale[:, None] * kernels).reshape(KERNELS, 3, SIZE, SIZE)
    bias = -scale * responses.mean(0)
    return {"weight": weight.astype(np.float32), "bias": bias.astype(np.float32)}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train the layer and write it into a folder."""
    parser = argparse.ArgumentParser(description="Train the default layer on the photographs inside scikit-image.")
    parser.add_argument("--out", type=Path, required=True, help="folder of default_layer.npz")
    parser.add_argument("--patches", type=int, default=PATCHES, help="per photograph, angle and octave; 4, 8, ...")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    photographs = []
    for path in bundled_images():
        with Image.open(path) as image:
            photographs.append(image.convert("RGB"))
    layer = train(photographs, options.patches, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(
        options.out / "default_layer.npz",
        allow_pickle=False,
        **layer,
        name="independent components of 12 photographs",
        description=f"FastICA on {options.patches} patches of each of the photographs inside scikit-image, each of "
        f"{len(ANGLES)} angles and {len(OCTAVES)} sizes, seed {options.seed}; by train_default_layer.py",
        mean=np.array(IMAGENET_MEAN),
        std=np.array(IMAGENET_STD),
        stride=STRIDE,
        padding=PADDING,
        pool=POOL,
        pool_stride=POOL_STRIDE,
        pool_padding=POOL_PADDING,
    )


if __name__ == "__main__":
    main()
