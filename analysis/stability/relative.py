"""Accuracy lost and flips avoided by remedies, relative to the plain network, with standard errors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from torch import Tensor

from analysis.networks.metrics import mean_flip_rate, standard_error
from analysis.networks.metrics.shifts import DIRECTIONS


def relative_to_first(both: xr.Dataset, draws: Sequence[Mapping[str, Tensor]]) -> dict[str, Any]:
    """Variables of a report that compare each model with the first one.

    Parameters
    ----------
    both : Dataset
        ``top1`` (remedy) and ``flip_rate`` (remedy, direction, distance), per cent.
    draws : sequence of mapping of str to Tensor
        Bootstrap draws of each model: "right", "flips" and "flips_1px".

    Returns
    -------
    dict
        Accuracy lost and flips avoided, with standard errors, paired by picture.
    """
    rates = [dict(zip(DIRECTIONS, rate, strict=True)) for rate in both.flip_rate.values]
    # A reference that never flips along a direction leaves nothing to divide by.
    known = all(rate.any() for rate in rates[0].values())
    mfr = np.array([mean_flip_rate(rate, rates[0]) if known else np.nan for rate in rates])
    plain = draws[0]
    lost = [100 * standard_error((plain["right"] - d["right"])[:, 0]) if "right" in d else np.nan for d in draws]
    avoided = [100 * standard_error((d["flips"] / plain["flips"]).mean(1)) for d in draws]
    neighbours = both.flip_rate.sel(distance=1, drop=True).mean("direction")
    fewer = [100 * standard_error((plain["flips_1px"] - d["flips_1px"])[:, 0]) for d in draws]
    return {
        "accuracy_lost": both.top1.isel(remedy=0) - both.top1,
        "accuracy_lost_se": ("remedy", lost),
        "mfr": ("remedy", mfr),
        "flips_avoided": ("remedy", 100 - mfr),
        "flips_avoided_se": ("remedy", avoided),
        "flips_1px_fewer": neighbours.isel(remedy=0) - neighbours,
        "flips_1px_fewer_se": ("remedy", fewer),
    }
