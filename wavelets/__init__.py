"""Dual-tree complex wavelet packets and the 2-D Hilbert transform, on numpy arrays."""

from wavelets.coefficients import Coefficients
from wavelets.engine.threads import get_num_threads, set_num_threads
from wavelets.filters import FilterBank, common_factor_pair, filter_bank
from wavelets.hilbert import analytic, dominant_direction, hilbert2d
from wavelets.packets import DualTreePackets1D, DualTreePackets2D
from wavelets.quality import compare_banks, packet_quality
from wavelets.riesz import Monogenic, monogenic
from wavelets.spectrum import bandwidth, characteristic_frequency, energy_in_window

__all__ = [
    "Coefficients",
    "DualTreePackets1D",
    "DualTreePackets2D",
    "FilterBank",
    "Monogenic",
    "analytic",
    "bandwidth",
    "characteristic_frequency",
    "common_factor_pair",
    "compare_banks",
    "dominant_direction",
    "energy_in_window",
    "filter_bank",
    "get_num_threads",
    "hilbert2d",
    "monogenic",
    "packet_quality",
    "set_num_threads",
]
