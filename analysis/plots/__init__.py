"""Pictures: datasets and arrays in, matplotlib figures out.

Nothing is computed here beyond layout, and nothing is registered with pyplot: the figures need no display, and go away
with their last reference. A notebook shows them after ``%matplotlib inline``.
"""

from analysis.plots.audit import blame_by_shift_figure, mending_figure, strip_figure
from analysis.plots.circular import circular_trade_figure, smoothness_figure, variation_figure
from analysis.plots.diagrams import operators_diagram, twin_diagram
from analysis.plots.filters import bank_figure, quality_figure
from analysis.plots.first_layer import (
    card_figure,
    fourier_figure,
    fourier_image,
    grids_figure,
    kernel_image,
    kernel_plane_figure,
    kernel_prediction_figure,
    mosaic_figure,
    ranking_figure,
)
from analysis.plots.fourier_plane import cell_grid, draw_cells, draw_plane
from analysis.plots.healing import healed_figure, healing_figure
from analysis.plots.heatmaps import (
    compare_figure,
    difference_figure,
    discrepancy_figure,
    overview_figure,
    stability_figure,
)
from analysis.plots.kernels import kernels_in_frequency, kernels_in_space, phase_image, quadrant_figure
from analysis.plots.network_stability import (
    accuracy_figure,
    corruption_figure,
    corruption_sheet,
    divergence_figure,
    flip_figure,
    published_form_figure,
    trade_figure,
)
from analysis.plots.phase_advance import phase_advance_figure
from analysis.plots.phase_clock import phase_clock_figure
from analysis.plots.prediction import prediction_figure
from analysis.plots.prescribe import answers_figure, front_figure
from analysis.plots.published import (
    consistency_figure,
    published_corruptions_figure,
    published_scores_figure,
    published_training_figure,
    sound_figure,
    sound_shifts_figure,
    sound_systems_figure,
)
from analysis.plots.shift_maps import feature_distance_figure, shift_map_figure
from analysis.plots.spectrograms import scores_by_shift_figure, spectrogram_shifts_figure
from analysis.plots.study import study_figure
from analysis.plots.theorems import cloud_figure, constants_figure, convergence_figure, gamma_figure
from analysis.plots.tiling import tiling_figure
from analysis.plots.training import training_figure
from analysis.plots.twins import change_figure, packet_groups_figure, selection_figure

__all__ = [
    "accuracy_figure",
    "answers_figure",
    "bank_figure",
    "blame_by_shift_figure",
    "card_figure",
    "cell_grid",
    "change_figure",
    "circular_trade_figure",
    "cloud_figure",
    "compare_figure",
    "consistency_figure",
    "constants_figure",
    "convergence_figure",
    "corruption_figure",
    "corruption_sheet",
    "difference_figure",
    "discrepancy_figure",
    "divergence_figure",
    "draw_cells",
    "draw_plane",
    "feature_distance_figure",
    "flip_figure",
    "fourier_figure",
    "fourier_image",
    "front_figure",
    "gamma_figure",
    "grids_figure",
    "healed_figure",
    "healing_figure",
    "kernel_image",
    "kernel_plane_figure",
    "kernel_prediction_figure",
    "kernels_in_frequency",
    "kernels_in_space",
    "mending_figure",
    "mosaic_figure",
    "operators_diagram",
    "overview_figure",
    "packet_groups_figure",
    "phase_advance_figure",
    "phase_clock_figure",
    "phase_image",
    "prediction_figure",
    "published_corruptions_figure",
    "published_form_figure",
    "published_scores_figure",
    "published_training_figure",
    "quadrant_figure",
    "quality_figure",
    "ranking_figure",
    "scores_by_shift_figure",
    "selection_figure",
    "shift_map_figure",
    "smoothness_figure",
    "sound_figure",
    "sound_shifts_figure",
    "sound_systems_figure",
    "spectrogram_shifts_figure",
    "stability_figure",
    "strip_figure",
    "study_figure",
    "tiling_figure",
    "trade_figure",
    "training_figure",
    "twin_diagram",
    "variation_figure",
]
