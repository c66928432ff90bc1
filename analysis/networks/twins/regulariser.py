"""The penalty that makes every output of a mixture choose one packet."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def selection_penalty(weights: Sequence[Tensor], factors: Sequence[float]) -> Tensor:
    r""":math:`\sum_g\lambda_g\sum_{l\in g}(\|w_l\|_1/\|w_l\|_\infty - 1)`.

    Parameters
    ----------
    weights : sequence of Tensor, shape (outputs, packets)
        Mixing weights :math:`w_l` of each group, one row an output.
    factors : sequence of float
        :math:`\lambda_g`.

    Returns
    -------
    Tensor, shape ()
        Does not change if a row is scaled; 0 if and only if every row of the groups with a factor has one entry that is
        not 0. A row of zeros has chosen nothing, and counts 0.

    Raises
    ------
    ValueError
        If there are not as many factors as groups, or one is negative.

    Notes
    -----
    theory.md, section 6.1; Leterme et al. train with 0.0041 and 0.00032 for the outer groups of WAlexNet.
    """
    if len(weights) != len(factors):
        raise ValueError(f"there are {len(factors)} factors for {len(weights)} groups of weights")
    if any(not factor >= 0 for factor in factors):
        raise ValueError(f"factors are {list(factors)}; expected none below 0")
    total = torch.zeros((), dtype=weights[0].dtype, device=weights[0].device)
    for w, factor in zip(weights, factors, strict=True):
        if factor:
            size = w.abs()
            largest = size.amax(1)
            ratio = size.sum(1) / torch.where(largest > 0, largest, 1)
            total = total + factor * (ratio - 1).clamp_min(0).sum()
    return total
