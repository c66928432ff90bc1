"""Time the packet transform beside its peers, interleaved in one run: `make bench`.

Prints the median time per image and the ratio to this project's forward transform. Ratios are what to compare between
machines; the peers do the work of one forward transform each: four real packet trees of the same depth.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pywt
from tqdm import tqdm

import wavelets
from wavelets import DualTreePackets2D, _reference

SIDE = 224
BATCH = 16


def pywavelets_trees(image: np.ndarray, wavelet: str, levels: int) -> None:
    """Compute all leaves of four packet trees of one image."""
    for _ in range(4):
        tree = pywt.WaveletPacket2D(image, wavelet, "periodization", maxlevel=levels)
        for node in tree.get_level(levels):
            node.data  # noqa: B018  computed on access


def jobs(images: np.ndarray, levels: int, pool: ThreadPoolExecutor) -> dict[str, callable]:
    """Return the work to time, each on the whole batch."""
    t = DualTreePackets2D(levels)
    fine = DualTreePackets2D(levels, stride=2 ** (levels - 1))
    coefficients = t.forward(images)
    wavelet = f"db{t.bank.h1.size // 2}"
    dense = np.concatenate([tree.reshape(-1, SIDE) for tree in _reference.real_trees(t, SIDE)]).astype(np.float32)

    def gemm() -> None:
        for image in images:
            dense @ image @ dense.T  # all four trees, without combining them

    return {
        f"J={levels} forward, stride {t.stride}": lambda: t.forward(images),
        f"J={levels} inverse": lambda: t.inverse(coefficients),
        f"J={levels} forward, stride {fine.stride}": lambda: fine.forward(images),
        f"J={levels} two dense GEMMs (BLAS)": gemm,
        f"J={levels} four PyWavelets trees, {wavelet}, 1 thread": lambda: [
            pywavelets_trees(image, wavelet, levels) for image in images
        ],
        f"J={levels} four PyWavelets trees, {wavelet}, {pool._max_workers} threads": lambda: list(
            pool.map(lambda image: pywavelets_trees(image, wavelet, levels), images)
        ),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="interleaved repetitions of every job")
    parser.add_argument("--threads", type=int, default=wavelets.get_num_threads())
    parser.add_argument("--json", type=Path, help="also save the table here")
    arguments = parser.parse_args()
    wavelets.set_num_threads(arguments.threads)
    images = np.random.default_rng(0).random((BATCH, SIDE, SIDE)).astype(np.float32)
    with ThreadPoolExecutor(arguments.threads) as pool:
        tables = [jobs(images, levels, pool) for levels in (2, 3)]
        todo = {name: job for table in tables for name, job in table.items()}
        times: dict[str, list[float]] = {name: [] for name in todo}
        for job in todo.values():
            job()  # compile and fill caches
        for _ in tqdm(range(arguments.rounds), desc="rounds"):
            for name, job in todo.items():
                start = time.perf_counter()
                job()
                times[name].append((time.perf_counter() - start) / BATCH * 1e3)

    print(f"\n{BATCH} images of {SIDE}x{SIDE}, float32, {arguments.threads} threads, {platform.processor() or 'CPU'}\n")
    print("| job | ms per image | times our forward |\n|---|---|---|")
    medians = {name: float(np.median(values)) for name, values in times.items()}
    for table in tables:
        ours = medians[next(iter(table))]
        for name in table:
            print(f"| {name} | {medians[name]:.3f} | {medians[name] / ours:.1f} |")
    if arguments.json:
        arguments.json.write_text(json.dumps({"threads": arguments.threads, "ms_per_image": medians}, indent=1) + "\n")


if __name__ == "__main__":
    main()
