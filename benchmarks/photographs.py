"""A folder of JPEG files like those of ImageNet, made from the photographs that come with scikit-image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

from analysis import bundled_images

LONG, SHORT = 500, 375  # pixels, ImageNet's commonest size
QUALITY = 90


def write_photographs(folder: Path, count: int, seed: int = 0) -> int:
    """Write crops of the colour photographs, resized and mirrored at random, without noise; return their bytes.

    The grey ones are left out: they decode faster, and ImageNet has few.
    """
    rng = np.random.default_rng(seed)
    sources = []
    for path in bundled_images():
        with Image.open(path) as image:
            if image.mode in ("RGB", "RGBA"):
                sources.append(image.convert("RGB"))
    total = 0
    for number in tqdm(range(count), desc="writing files", disable=None):
        source = sources[rng.integers(len(sources))]
        size = (LONG, SHORT) if rng.random() < 0.75 else (SHORT, LONG)
        scale = min(side / want for side, want in zip(source.size, size, strict=True)) * rng.uniform(0.75, 1)
        width, height = (scale * want for want in size)
        left, top = rng.uniform(0, source.width - width), rng.uniform(0, source.height - height)
        picture = source.resize(size, Image.Resampling.BICUBIC, box=(left, top, left + width, top + height))
        if rng.random() < 0.5:
            picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        path = folder / f"{number:06d}.jpg"
        picture.save(path, quality=QUALITY)
        total += path.stat().st_size
    return total
