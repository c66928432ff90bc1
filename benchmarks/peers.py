"""This project's transforms beside what does comparable work; each peer is a job, or the reason why there is none."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.settings import Settings
from benchmarks.tables import Table
from benchmarks.timing import Job, measure
from wavelets import DualTreePackets2D
from wavelets.engine import reference

Jobs = dict[str, Job]


class Work(NamedTuple):
    """Work of every peer: the transform, the images, and threads for those who have none of their own."""

    transform: DualTreePackets2D
    images: NDArray[np.float32]
    pool: ThreadPoolExecutor
    threads: int


def ours(work: Work) -> Jobs:
    t, images = work.transform, work.images
    fine = DualTreePackets2D(t.levels, stride=2 ** (t.levels - 1))
    c = t.forward(images)
    return {
        f"forward, stride {t.stride}": lambda: t.forward(images),
        f"forward, stride {fine.stride}": lambda: fine.forward(images),
        "inverse": lambda: t.inverse(c),
        "adjoint": lambda: t.adjoint(c),
    }


def dense_gemms(work: Work) -> Jobs:
    """The trees of both axes as two matrix products an image, without combining the trees."""
    side = work.images.shape[-1]
    dense = np.concatenate([tree.reshape(-1, side) for tree in reference.real_trees(work.transform, side)])
    dense = dense.astype(np.float32)
    half, whole = np.empty((len(dense), side), np.float32), np.empty((len(dense), len(dense)), np.float32)

    def gemms() -> None:
        for image in work.images:
            np.matmul(dense, image, out=half)
            np.matmul(half, dense.T, out=whole)

    return {f"two dense GEMMs, {len(dense)}x{side} matrix": gemms}


def pywavelets(work: Work) -> Jobs:
    """All leaves of four real packet trees of the same depth, with filters of as many taps."""
    import pywt

    levels, taps = work.transform.levels, work.transform.bank.h1.size

    def trees(image: NDArray[np.float32]) -> None:
        for _ in range(4):
            tree = pywt.WaveletPacket2D(image, f"db{taps // 2}", "periodization", maxlevel=levels)
            for node in tree.get_level(levels):
                node.data  # noqa: B018  computed on access

    name = f"PyWavelets, four packet trees, db{taps // 2}"
    jobs: Jobs = {f"{name}, 1 thread": lambda: list(map(trees, work.images))}
    if work.threads > 1:
        jobs[f"{name}, {work.threads} threads"] = lambda: list(work.pool.map(trees, work.images))
    return jobs


def dense_matrices(work: Work) -> Jobs:
    return {"our slow reference (dense matrices, made anew)": lambda: reference.forward_2d(work.transform, work.images)}


def torch_module(work: Work) -> Jobs:
    import torch

    from wavelets.nn import DualTreePackets2d

    torch.set_num_threads(work.threads)
    images = torch.from_numpy(work.images)
    jobs: Jobs = {}
    for method in ("numba", "dense", "banded"):
        module = DualTreePackets2d(work.transform.levels, method=method)
        jobs[f'wavelets.nn on the CPU, "{method}"'] = without_gradient(module, images)
    return jobs


def dtcwt(work: Work) -> Jobs:
    import dtcwt

    t, levels = dtcwt.Transform2d(), work.transform.levels
    return {
        "dtcwt (*), 1 thread": lambda: [t.forward(image, nlevels=levels) for image in work.images],
    }


def pytorch_wavelets(work: Work) -> Jobs:
    import torch
    from pytorch_wavelets import DTCWTForward

    torch.set_num_threads(work.threads)
    module = DTCWTForward(J=work.transform.levels)
    return {"pytorch_wavelets (*)": without_gradient(module, torch.from_numpy(work.images)[:, None])}


def without_gradient(module: Callable[..., object], images: object) -> Job:
    import torch

    def job() -> None:
        with torch.no_grad():
            module(images)

    return job


OTHERS = {
    "PyWavelets": pywavelets,
    "our slow reference": dense_matrices,
    "wavelets.nn": torch_module,
    "dtcwt": dtcwt,
    "pytorch_wavelets": pytorch_wavelets,
}
REMARK = (
    "(*) a dual-tree wavelet transform, not packets: it splits the low-pass band only, so it computes 6 bands a level "
    "where the packet transform has 2 * 4**J filters, and does less work."
)


def jobs_of(work: Work, others: Mapping[str, Callable[[Work], Jobs]] = OTHERS) -> tuple[Jobs, dict[str, str]]:
    """All jobs that run here, and why the others do not."""
    jobs, skipped = ours(work) | dense_gemms(work), {}
    for name, peer in others.items():
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # peers may be older than what they stand on
                found = peer(work)
                for job in found.values():
                    job()
        except ImportError as error:
            skipped[name] = f"cannot be imported: {one_line(error)}"
        except Exception as error:  # a package that does not run here must not cost the others their figures
            skipped[name] = f"does not run here: {type(error).__name__}: {one_line(error)}"
        else:
            jobs |= found
    return jobs, skipped


def one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def peers(settings: Settings) -> list[Table]:
    """One table for each depth, all of them measured together."""
    shape = (settings.batch, settings.side, settings.side)
    images = np.random.default_rng(0).random(shape, dtype=np.float32)
    with ThreadPoolExecutor(settings.threads) as pool:
        by_depth = {
            levels: jobs_of(Work(DualTreePackets2D(levels), images, pool, settings.threads))
            for levels in settings.levels
        }
        todo = {(levels, name): job for levels, (jobs, _) in by_depth.items() for name, job in jobs.items()}
        keys = {f"J={levels} {name}": (levels, name) for levels, name in todo}
        flat = {key: todo[pair] for key, pair in keys.items()}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            times = measure(flat, settings.rounds, settings.seconds, "peers")
    tables = []
    for levels, (_, skipped) in by_depth.items():
        found = {name: times[key] for key, (depth, name) in keys.items() if depth == levels}
        title = f"J = {levels}, {settings.batch} images of {settings.side}x{settings.side}, float32"
        more = {"skipped": skipped, "main": levels == settings.levels[0]}
        table = Table.of_times(f"peers J={levels}", title, "ms per image", found, 1e3 / settings.batch, **more)
        table.add_ratio("times our forward", next(iter(found)))
        if any("(*)" in name for name in found):
            table.notes.append(REMARK)
        tables.append(table)
    return tables
