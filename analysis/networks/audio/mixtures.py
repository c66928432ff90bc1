"""Mixup: training examples that are mixtures of two, targets mixed alike."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from analysis.networks.checks import floating
from wavelets.checks import positive


def mixup(x: Tensor, y: Tensor, alpha: float = 1.25, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
    r"""Mix every example of a batch with another one, and their targets by the same share.

    Parameters
    ----------
    x : Tensor, shape (N, ...), floating
    y : Tensor, shape (N, C)
        Targets, one-hot or of several labels; integers and booleans become the dtype of `x`.
    alpha : float
        Of the distribution of shares, Beta(alpha, alpha): 1 is uniform, less leaves most examples almost unmixed.
    generator : torch.Generator, optional
        For the same mixtures again, whatever the device of `x`.

    Returns
    -------
    x, y : Tensor
        :math:`\lambda_i x_i+(1-\lambda_i)x_{\pi(i)}` with a random permutation :math:`\pi`, and likewise of targets.

    Raises
    ------
    TypeError, ValueError
        If they do not fit, targets are class numbers, or alpha is not positive.

    Notes
    -----
    Every example has a share of its own, as in the definition of the method: with one for the whole batch a step would
    be mixed all strongly or all weakly, the same on average but noisier. Zhang et al. 2017; alpha of Fonseca et al.,
    section III-C.
    """
    positive("alpha", alpha)
    floating(x, "mixup", "x")
    if not isinstance(y, Tensor) or y.is_complex():
        raise TypeError(f"y is {y.dtype if isinstance(y, Tensor) else type(y).__name__}; expected a real tensor")
    if not x.ndim or y.ndim != 2 or len(x) != len(y):
        raise ValueError(
            f"x has shape {tuple(x.shape)} and y {tuple(y.shape)}; expected (N, ...) and (N, C); class numbers become "
            f"targets by torch.nn.functional.one_hot"
        )
    device = generator.device if generator is not None else "cpu"
    other = torch.randperm(len(x), generator=generator, device=device).to(x.device)
    # torch draws gamma and beta numbers from its global generator only.
    seed = int(torch.randint(2**63 - 1, (), generator=generator, device=device))
    share = torch.from_numpy(np.random.default_rng(seed).beta(alpha, alpha, len(x))).to(x.device)

    def mixed(t: Tensor) -> Tensor:
        weight = share.to(t.dtype).view(-1, *[1] * (t.ndim - 1))
        return weight * t + (1 - weight) * t[other]

    return mixed(x), mixed(y if y.is_floating_point() else y.to(x.dtype))
