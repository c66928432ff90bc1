"""Measurements on images: RMax, CMod, their discrepancy and their stability under shifts."""

from analysis.heatmaps import HeatmapExperiment, band_pass_correlation, heatmaps
from analysis.images import bundled_crops, bundled_images, find_images, load_pictures, read_image
from analysis.operators import cmod, packet_pool, rmax
from analysis.store import load, save
from analysis.theory import gamma, gamma_map
from analysis.translation import translate

__all__ = [
    "HeatmapExperiment",
    "band_pass_correlation",
    "bundled_crops",
    "bundled_images",
    "cmod",
    "find_images",
    "gamma",
    "gamma_map",
    "heatmaps",
    "load",
    "load_pictures",
    "packet_pool",
    "read_image",
    "rmax",
    "save",
    "translate",
]
