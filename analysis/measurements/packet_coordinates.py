"""Coordinates of the packet filters, for what is measured and for what is predicted of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.measurements.shift_experiment import labelled
from wavelets import DualTreePackets2D


def filter_coordinates(transform: DualTreePackets2D) -> dict[str, Any]:
    """Coordinates along `filter` of a dataset: where every packet filter lies, and its place in the packet tree."""
    t, p = transform, transform.packets
    along_filter = {
        "theta_y": (t.frequencies[:, 0], "nominal characteristic frequency, vertical", "rad/sample"),
        "theta_x": (t.frequencies[:, 1], "nominal characteristic frequency, horizontal", "rad/sample"),
        "centroid_y": (t.centroids[:, 0], "circular mean of the filter's energy, vertical", "rad/sample"),
        "centroid_x": (t.centroids[:, 1], "circular mean of the filter's energy, horizontal", "rad/sample"),
        "freq_y": (p.freq_y, "frequency index, vertical", "1"),
        "freq_x": (p.freq_x, "frequency index, horizontal", "1"),
        "node_y": (p.node_y, "packet node in natural order, vertical", "1"),
        "node_x": (p.node_x, "packet node in natural order, horizontal", "1"),
        "branch": (p.branch, "Psi_a or Psi_b", "1"),
        "edge": (p.edge, "whether the band touches 0 or pi along an axis", "1"),
        "low_pass": ((p.freq_y == 0) & (p.freq_x == 0), "whether the filter is a low-pass", "1"),
    }
    return {name: labelled(("filter",), *rest) for name, rest in along_filter.items()}


def not_low_pass(dataset: xr.Dataset) -> NDArray[np.bool_]:
    """Mask of the packet filters of which theory speaks: all but the low-pass ones; shape (filter,)."""
    return ~dataset["low_pass"].values.astype(bool)
