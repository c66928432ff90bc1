"""Dual-tree complex wavelet packets, half-plane Hilbert transform and monogenic signal, on numpy arrays.

Conventions
-----------
Images have the shape (..., H, W): the vertical axis y comes first, downwards, then the horizontal axis x, to the right;
leading axes are a batch, colours among them. Every pair is (vertical, horizontal): sizes, shifts (pixels), frequencies
(theta_y, theta_x) in rad/sample, directions (e_y, e_x). The packet filters are correlation kernels of frequencies with
theta_x > 0: phases of their coefficients advance by minus theta times the stride a position, those of `analytic` by
plus theta a pixel.
"""

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
