"""Metrics of stability and of accuracy. The streaming ones have ``update``, ``merge`` and ``compute``."""

from networks.metrics.accuracy import AccuracyByShift, TopK
from networks.metrics.bootstrap import Bootstrap, standard_error
from networks.metrics.consistency import Consistency, MeanAbsoluteChange, Variation
from networks.metrics.divergence import DivergenceByShift
from networks.metrics.equivariance import assert_shift_equivariant
from networks.metrics.features import FeatureDistance, dense_part
from networks.metrics.flips import FlipRate, mean_flip_rate
from networks.metrics.multilabel import MultilabelScores
from networks.metrics.shifts import circular, grid, half_pixel_window, line, lines, resized, ten_crops, window
from networks.metrics.smoothness import kernel_variation, total_variation
from networks.metrics.spectrograms import frequency_shift, spectrogram_stability, time_patch
from networks.metrics.streaming import Streaming

__all__ = [
    "AccuracyByShift",
    "Bootstrap",
    "Consistency",
    "DivergenceByShift",
    "FeatureDistance",
    "FlipRate",
    "MeanAbsoluteChange",
    "MultilabelScores",
    "Streaming",
    "TopK",
    "Variation",
    "assert_shift_equivariant",
    "circular",
    "dense_part",
    "frequency_shift",
    "grid",
    "half_pixel_window",
    "kernel_variation",
    "line",
    "lines",
    "mean_flip_rate",
    "resized",
    "spectrogram_stability",
    "standard_error",
    "ten_crops",
    "time_patch",
    "total_variation",
    "window",
]
