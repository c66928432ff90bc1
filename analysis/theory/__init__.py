"""The theory of max pooling against modulus: closed forms, bounds, and their verification (theory.md section 3)."""

from analysis.theory.bounds import (
    alpha,
    alpha_sharp,
    beta,
    beta_floor,
    beta_sharp,
    cmod_bound,
    discrepancy_bound,
    rmax_bound,
)
from analysis.theory.phases import (
    gamma,
    gamma_map,
    gamma_over_cells,
    largest_cosine,
    maximum_moments,
    narrow_band_change,
    phase_gaps,
)
from analysis.theory.signals import BandLimited, band_limited, on_bins, two_waves
from analysis.theory.verification import verify

__all__ = [
    "BandLimited",
    "alpha",
    "alpha_sharp",
    "band_limited",
    "beta",
    "beta_floor",
    "beta_sharp",
    "cmod_bound",
    "discrepancy_bound",
    "gamma",
    "gamma_map",
    "gamma_over_cells",
    "largest_cosine",
    "maximum_moments",
    "narrow_band_change",
    "on_bins",
    "phase_gaps",
    "rmax_bound",
    "two_waves",
    "verify",
]
