"""Work that others do as well: for each group this project's job, then its peers' on the same images.

A job is made from a `Work`; making it raises ImportError where its package is missing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis import cmod, rmax
from benchmarks.limits import Cost
from benchmarks.timing import Job
from wavelets import DualTreePackets2D, analytic, get_num_threads, hilbert2d
from wavelets.engine import reference, rule

KERNEL, STRIDE = 11, 4  # of the first layer of AlexNet
CHANNELS = 96  # of the maps that are blurred: SqueezeNet's first
Make = Callable[["Work"], Job]


class Work(NamedTuple):
    """Images of every job, the transform, and threads for packages that have none of their own."""

    transform: DualTreePackets2D
    images: NDArray[np.float32]
    pool: ThreadPoolExecutor

    def each(self, function: Callable[[Any], object], values: Iterable[Any] | None = None) -> Job:
        """Job of a function of one image, for all images, in as many threads as our own jobs use."""
        given = list(self.images if values is None else values)
        return lambda: list((map if get_num_threads() == 1 else self.pool.map)(function, given))

    @property
    def side(self) -> int:
        return int(self.images.shape[-1])


class Group(NamedTuple):
    """Jobs with the same result or, where the notes say so, with one of the same kind; the first is ours."""

    name: str
    cost: Callable[[Work], Cost]  # of an image
    jobs: dict[str, Make]


# The transform: all jobs on one image after another, or on the batch.
def module(network: Callable[..., Any], *given: Any, backward: bool = False) -> Job:
    """Job of a torch module, without its derivative or with it."""
    import torch

    def step() -> None:
        leaf = given[0].detach().requires_grad_()
        found = network(leaf, *given[1:])
        parts = [found] if isinstance(found, torch.Tensor) else tensors(found)
        sum((part.abs().square().sum() for part in parts), torch.zeros(())).backward()

    def job() -> None:
        with torch.no_grad():
            network(*given)

    return step if backward else job


def tensors(found: Any) -> list[Any]:
    """All tensors in nested lists, tuples and dictionaries."""
    if isinstance(found, dict):
        found = list(found.values())
    return [part for one in found for part in tensors(one)] if isinstance(found, list | tuple) else [found]


def batch(work: Work) -> Any:
    """Images as a tensor with one channel."""
    import torch

    return torch.from_numpy(work.images)[:, None]


def dense_gemms(work: Work) -> Job:
    """The trees of both axes as two matrix products an image, without combining the trees."""
    dense = np.concatenate([tree.reshape(-1, work.side) for tree in reference.real_trees(work.transform, work.side)])
    dense = dense.astype(np.float32)
    half, whole = np.empty((len(dense), work.side), np.float32), np.empty((len(dense), len(dense)), np.float32)

    def gemms() -> None:
        for image in work.images:
            np.matmul(dense, image, out=half)
            np.matmul(half, dense.T, out=whole)

    return gemms


def wavelet(work: Work) -> str:
    """Name of a PyWavelets filter with as many taps as ours."""
    return f"db{work.transform.bank.h1.size // 2}"


def pywavelets_trees(work: Work) -> Callable[[NDArray[np.float32]], list[Any]]:
    """All leaves of four real packet trees of the same depth."""
    import pywt

    levels, name = work.transform.levels, wavelet(work)

    def trees(image: NDArray[np.float32]) -> list[Any]:
        found = [pywt.WaveletPacket2D(image, name, "periodization", maxlevel=levels) for _ in range(4)]
        for tree in found:
            for node in tree.get_level(levels):
                node.data  # noqa: B018  computed on access
        return found

    return trees


def pywavelets_inverse(work: Work) -> Job:
    import pywt

    levels, name = work.transform.levels, wavelet(work)
    trees = pywavelets_trees(work)
    leaves = [
        [{node.path: node.data for node in tree.get_level(levels)} for tree in trees(image)] for image in work.images
    ]

    def inverse(of_image: list[dict[str, Any]]) -> None:
        for of_tree in of_image:
            tree = pywt.WaveletPacket2D(None, name, "periodization", maxlevel=levels)
            for path, data in of_tree.items():
                tree[path] = data
            tree.reconstruct(update=False)

    return work.each(inverse, leaves)


def ptwt_trees(work: Work, backward: bool = False) -> Job:
    """All leaves of four real packet trees."""
    import ptwt

    levels, name = work.transform.levels, wavelet(work)

    def trees(images: Any) -> list[Any]:
        packets = [ptwt.WaveletPacket2D(images, name, "periodic", maxlevel=levels) for _ in range(4)]
        return [packet[path] for packet in packets for path in packet.get_natural_order(levels)]

    return module(trees, batch(work)[:, 0], backward=backward)


class FourBanks:
    """The transform as four filter banks of torch convolutions, separable and strided, each node with its filters."""

    def __init__(self, transform: DualTreePackets2D) -> None:
        import torch

        self.levels, pairs = transform.levels, [(a, b) for a in rule.TREES for b in rule.TREES]
        self.passes: list[tuple[Any, int]] = []  # weights, and the axis
        for stage in range(1, self.levels + 1):
            after = rule.AFTER_FIRST_STAGE if stage == 1 else rule.AFTER_MAIN_STAGE
            filters = transform.bank.first_stage if stage == 1 else transform.bank.main_stage
            for axis in (0, 1):
                taps = np.stack([filters(pair[axis])[branch] for pair in pairs for branch in (rule.LOW, rule.HIGH)])
                weights = torch.from_numpy(taps.astype(np.float32))[:, None]
                self.passes.append((weights[..., None] if axis == 0 else weights[:, :, None], axis))
                split = [(pair, after[pair[axis], branch]) for pair in pairs for branch in (rule.LOW, rule.HIGH)]
                pairs = [(child, pair[1]) if axis == 0 else (pair[0], child) for pair, child in split]

    def __call__(self, images: Any) -> Any:
        """Coefficients of images (n, 1, H, W), complex (n, 2 * 4**levels, H / s, W / s)."""
        import torch
        from torch.nn import functional

        x = images.expand(-1, 4, -1, -1)
        for weights, axis in self.passes:
            taps = weights.shape[2 + axis]
            pads = (taps // 2 - 1, taps // 2)
            x = functional.pad(x, (0, 0, *pads) if axis == 0 else (*pads, 0, 0), mode="circular")
            x = functional.conv2d(x, weights, stride=(2, 1) if axis == 0 else (1, 2), groups=x.shape[1])
        d11, d12, d21, d22 = x.chunk(4, dim=1)
        return torch.cat([torch.complex(d11 - d22, d21 + d12), torch.complex(d11 + d22, d21 - d12)], dim=1)


def ours_in_torch(work: Work, method: str, backward: bool = False) -> Job:
    from wavelets.nn import DualTreePackets2d

    return module(DualTreePackets2d(work.transform.levels, method=method), batch(work)[:, 0], backward=backward)


def scattering(work: Work) -> Job:
    """Moduli of about as many band-pass filters, averaged and subsampled alike."""
    from kymatio.torch import Scattering2D

    levels = work.transform.levels
    return module(Scattering2D(levels, (work.side,) * 2, L=round(2 * 4**levels / levels), max_order=1), batch(work))


def dtcwt(work: Work) -> Job:
    import dtcwt

    t, levels = dtcwt.Transform2d(), work.transform.levels
    return work.each(lambda image: t.forward(image, nlevels=levels))


def dtcwt_inverse(work: Work) -> Job:
    import dtcwt

    t, levels = dtcwt.Transform2d(), work.transform.levels
    return work.each(t.inverse, [t.forward(image, nlevels=levels) for image in work.images])


def pytorch_wavelets(work: Work, backward: bool = False) -> Job:
    from pytorch_wavelets import DTCWTForward

    return module(DTCWTForward(J=work.transform.levels), batch(work), backward=backward)


def pytorch_wavelets_inverse(work: Work) -> Job:
    from pytorch_wavelets import DTCWTForward, DTCWTInverse

    return module(DTCWTInverse(), DTCWTForward(J=work.transform.levels)(batch(work)))


def inverse(work: Work) -> Job:
    c = work.transform.forward(work.images)
    return lambda: work.transform.inverse(c)


def fine(work: Work) -> Job:
    t = DualTreePackets2D(work.transform.levels, stride=work.transform.stride // 2)
    return lambda: t.forward(work.images)


def packet_cost(work: Work) -> Cost:
    """Every real pass of the trees as lattices, half a multiply-add a tap, and the sums of the four trees."""
    t = work.transform
    return Cost(work.side**2 * 4 * (1 + 4), work.side**2 * (6 * t.levels * t.bank.h1.size / 2 + 4))


# The operators.
def kernel() -> NDArray[np.complexfloating[Any, Any]]:
    return analytic(np.random.default_rng(1).standard_normal((KERNEL, KERNEL)).astype(np.float32))


def scipy_hilbert(work: Work) -> Job:
    from scipy.signal import hilbert2

    return work.each(hilbert2)  # of one image in most versions


def hilbert_cost(work: Work) -> Cost:
    """Two transforms of Fourier of real images, 2.5 n log2 n operations each."""
    n = work.side**2
    return Cost(8 * n, 2.5 * n * math.log2(n))


def operator(function: Callable[..., object]) -> Make:
    """Job of one of our operators with the kernel."""

    def make(work: Work) -> Job:
        w = kernel()
        return lambda: function(work.images, w, STRIDE)

    return make


def torch_rmax(work: Work) -> Job:
    import torch
    from torch.nn import functional

    weights = torch.from_numpy(np.ascontiguousarray(kernel().real))[None, None]
    return module(lambda x: functional.max_pool2d(functional.conv2d(x, weights, stride=STRIDE), 3, 2), batch(work))


def torch_cmod(work: Work) -> Job:
    import torch
    from torch.nn import functional

    w = kernel()
    weights = torch.from_numpy(np.stack([w.real, w.imag]))[:, None]
    x = batch(work)[..., STRIDE:, STRIDE:]  # the window's centre
    return module(lambda x: functional.conv2d(x, weights, stride=2 * STRIDE).square().sum(1).sqrt(), x)


def responses(work: Work, stride: int, parts: int) -> Cost:
    positions = ((work.side - KERNEL) // stride + 1) ** 2
    return Cost(4 * work.side**2, parts * positions * KERNEL**2)


# The poolings.
def maps(work: Work) -> Any:
    import torch

    side = work.side // 2 - 1
    return torch.rand(len(work.images), CHANNELS, side, side, generator=torch.Generator().manual_seed(0))


def pooling(name: str, *given: Any, **options: Any) -> Make:
    def make(work: Work) -> Job:
        from analysis.networks import pooling as ours

        return module(getattr(ours, name)(*given, **options).eval(), maps(work))

    return make


def antialiased(work: Work, dense: int = 1) -> Job:
    from antialiased_cnns import BlurPool
    from torch import nn

    blur = BlurPool(CHANNELS, filt_size=3, stride=2)
    return module(nn.Sequential(nn.MaxPool2d(dense, 1), blur) if dense > 1 else blur, maps(work))


def kornia(name: str, *given: Any, **options: Any) -> Make:
    def make(work: Work) -> Job:
        import kornia.filters

        return module(getattr(kornia.filters, name)(*given, **options), maps(work))

    return make


def plain_polyphase(work: Work) -> Job:
    """The largest of four polyphase components, as one would write it."""
    import torch

    def sample(x: Any) -> Any:
        x = x[..., : x.shape[-2] // 2 * 2, : x.shape[-1] // 2 * 2]
        parts = torch.stack([x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)], dim=1)
        return parts[torch.arange(len(x)), parts.flatten(2).norm(dim=2).argmax(dim=1)]

    return module(sample, maps(work))


def map_cost(work: Work) -> Cost:
    """Maps read, a quarter of them written, three taps along both axes."""
    pixels = CHANNELS * (work.side // 2 - 1) ** 2
    return Cost(4 * pixels * 1.25, pixels * (3 / 2 + 3 / 4))


GROUPS = (
    Group(
        "forward",
        packet_cost,
        {
            "wavelets": lambda w: lambda: w.transform.forward(w.images),
            "wavelets, half the stride": fine,
            "wavelets.nn": lambda w: ours_in_torch(w, "numba"),
            "wavelets.nn, dense": lambda w: ours_in_torch(w, "dense"),
            "wavelets.nn, banded": lambda w: ours_in_torch(w, "banded"),
            "our slow reference": lambda w: lambda: reference.forward_2d(w.transform, w.images),
            "two dense GEMMs": dense_gemms,
            "torch, four filter banks": lambda w: module(FourBanks(w.transform), batch(w)),
            "PyWavelets, four packet trees": lambda w: w.each(pywavelets_trees(w)),
            "ptwt, four packet trees": ptwt_trees,
            "kymatio, scattering (*)": scattering,
            "dtcwt (*)": dtcwt,
            "pytorch_wavelets (*)": pytorch_wavelets,
        },
    ),
    Group(
        "inverse",
        packet_cost,
        {
            "wavelets": inverse,
            "PyWavelets, four packet trees": pywavelets_inverse,
            "dtcwt (*)": dtcwt_inverse,
            "pytorch_wavelets (*)": pytorch_wavelets_inverse,
        },
    ),
    Group(
        "forward and backward",
        lambda w: Cost(*(2 * part for part in packet_cost(w))),
        {
            "wavelets.nn": lambda w: ours_in_torch(w, "numba", backward=True),
            "torch, four filter banks": lambda w: module(FourBanks(w.transform), batch(w), backward=True),
            "ptwt, four packet trees": lambda w: ptwt_trees(w, backward=True),
            "pytorch_wavelets (*)": lambda w: pytorch_wavelets(w, backward=True),
        },
    ),
    Group(
        "hilbert2d",
        hilbert_cost,
        {"wavelets": lambda w: lambda: hilbert2d(w.images), "scipy.signal.hilbert2 (**)": scipy_hilbert},
    ),
    Group(
        "rmax",
        lambda w: responses(w, STRIDE, 1),
        {"analysis": operator(rmax), "torch, convolution and maximum": torch_rmax},
    ),
    Group(
        "cmod",
        lambda w: responses(w, 2 * STRIDE, 2),
        {"analysis": operator(cmod), "torch, two convolutions": torch_cmod},
    ),
    Group(
        "blur of 3 taps",
        map_cost,
        {
            "BlurPool": pooling("BlurPool"),
            "antialiased_cnns": antialiased,
            "kornia": kornia("BlurPool2D", 3, stride=2),
        },
    ),
    Group(
        "maximum of 3x3 and blur",
        map_cost,
        {
            "MaxBlurPool": pooling("MaxBlurPool", 3, 2),
            "antialiased_cnns": lambda w: antialiased(w, dense=3),
            "kornia": kornia("MaxBlurPool2D", 3, stride=2, max_pool_size=3),
        },
    ),
    Group(
        "polyphase sampling",
        lambda w: Cost(map_cost(w).bytes, CHANNELS * (w.side // 2 - 1) ** 2),
        {"APS": pooling("APS", norm="l2"), "torch, four slices and their norms": plain_polyphase},
    ),
)
