"""First layers of trained networks: from their kernels to complex filters, their description, and their stability."""

from analysis.kernels.description import describe_kernels
from analysis.kernels.gabor_fit import fit_gabor, gabor
from analysis.kernels.hilbert_grids import compare_grids
from analysis.kernels.layer import FirstLayer
from analysis.kernels.measurement import measure_kernels, network_output
from analysis.kernels.prescription import measure_designs, prescribe, spread_front
from analysis.kernels.sources import first_layer
from analysis.kernels.table import kernel_frame, kernel_prediction, kernel_table, rank_correlation, rank_interval
from wavelets.complex_filters import complex_filters
from wavelets.kernel_kinds import dead_kernels, first_colour

__all__ = [
    "FirstLayer",
    "compare_grids",
    "complex_filters",
    "dead_kernels",
    "describe_kernels",
    "first_colour",
    "first_layer",
    "fit_gabor",
    "gabor",
    "kernel_frame",
    "kernel_prediction",
    "kernel_table",
    "measure_designs",
    "measure_kernels",
    "network_output",
    "prescribe",
    "rank_correlation",
    "rank_interval",
    "spread_front",
]
