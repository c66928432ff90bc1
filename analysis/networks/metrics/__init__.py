"""Metrics of stability and of accuracy. The streaming ones have ``update``, ``merge`` and ``compute``."""

from analysis.measurements.relative_rates import mean_corruption_error, mean_flip_rate
from analysis.networks.metrics.accuracy import AccuracyByShift, TopK
from analysis.networks.metrics.bootstrap import Bootstrap, standard_error
from analysis.networks.metrics.consistency import Consistency, MeanAbsoluteChange, Variation
from analysis.networks.metrics.divergence import DivergenceByShift
from analysis.networks.metrics.equivariance import assert_shift_equivariant
from analysis.networks.metrics.features import FeatureDistance, dense_part
from analysis.networks.metrics.flips import FlipRate
from analysis.networks.metrics.multilabel import MultilabelScores
from analysis.networks.metrics.shifts import circular, grid, half_pixel_window, line, lines, resized, ten_crops, window
from analysis.networks.metrics.smoothness import kernel_variation, total_variation
from analysis.networks.metrics.spectrograms import frequency_shift, score_by_shift, spectrogram_stability, time_patch
from analysis.networks.metrics.streaming import Streaming

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
    "mean_corruption_error",
    "mean_flip_rate",
    "resized",
    "score_by_shift",
    "spectrogram_stability",
    "standard_error",
    "ten_crops",
    "time_patch",
    "total_variation",
    "window",
]
