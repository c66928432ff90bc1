"""Measurements on images: RMax, CMod, their discrepancy and their stability under shifts, filter by filter."""

from analysis.compare import Comparison, FolderComparison, compare, compare_folders
from analysis.heatmaps import HeatmapExperiment, band_pass_correlation, heatmaps
from analysis.images import (
    ImageFolder,
    bundled_crops,
    bundled_images,
    find_images,
    load_pictures,
    read_image,
    walk_images,
)
from analysis.kernels import FirstLayer, describe_kernels, first_layer, kernel_table, measure_kernels
from analysis.operators import cmod, packet_pool, rmax
from analysis.prediction import fit_isolated, predict
from analysis.published import (
    archived_scores,
    archived_shifts,
    poster_beside_archive,
    published_table,
    validation_errors,
)
from analysis.spectra import estimate_spectrum, flat_spectrum, gaussian_fields, power_law_spectrum
from analysis.store import load, save
from analysis.theory import gamma, gamma_map, verify
from analysis.translation import translate

__all__ = [
    "Comparison",
    "FirstLayer",
    "FolderComparison",
    "HeatmapExperiment",
    "ImageFolder",
    "archived_scores",
    "archived_shifts",
    "band_pass_correlation",
    "bundled_crops",
    "bundled_images",
    "cmod",
    "compare",
    "compare_folders",
    "describe_kernels",
    "estimate_spectrum",
    "find_images",
    "first_layer",
    "fit_isolated",
    "flat_spectrum",
    "gamma",
    "gamma_map",
    "gaussian_fields",
    "heatmaps",
    "kernel_table",
    "load",
    "load_pictures",
    "measure_kernels",
    "packet_pool",
    "poster_beside_archive",
    "power_law_spectrum",
    "predict",
    "published_table",
    "read_image",
    "rmax",
    "save",
    "translate",
    "validation_errors",
    "verify",
    "walk_images",
]
