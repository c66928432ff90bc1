"""Pictures: datasets and arrays in, matplotlib figures out.

Nothing is computed here beyond layout, and nothing is registered with pyplot: the figures need no display, and go away
with their last reference. A notebook shows them after ``%matplotlib inline``.

Names are looked up in their modules when they are first used: importing this does not import matplotlib.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "audit": ["blame_by_shift_figure", "mending_figure", "strip_figure"],
        "circular": ["circular_trade_figure", "smoothness_figure", "variation_figure"],
        "diagrams": ["operators_diagram", "twin_diagram"],
        "filters": ["bank_figure", "quality_figure"],
        "first_layer": [
            "card_figure",
            "fourier_figure",
            "fourier_image",
            "grids_figure",
            "kernel_image",
            "kernel_plane_figure",
            "kernel_prediction_figure",
            "mosaic_figure",
            "ranking_figure",
        ],
        "fourier_plane": ["cell_grid", "draw_cells", "draw_plane"],
        "healing": ["healed_figure", "healing_figure", "healing_minutes_figure"],
        "heatmaps": [
            "compare_figure",
            "difference_figure",
            "discrepancy_figure",
            "overview_figure",
            "stability_figure",
        ],
        "kernels": ["kernels_in_frequency", "kernels_in_space", "phase_image", "quadrant_figure"],
        "network_stability": [
            "accuracy_figure",
            "corruption_figure",
            "corruption_sheet",
            "divergence_figure",
            "flip_figure",
            "published_form_figure",
            "trade_figure",
        ],
        "phase_advance": ["phase_advance_figure"],
        "phase_clock": ["phase_clock_figure"],
        "prediction": ["prediction_figure"],
        "prescribe": ["answers_figure", "front_figure"],
        "published": [
            "consistency_figure",
            "published_corruptions_figure",
            "published_scores_figure",
            "published_training_figure",
            "sound_figure",
            "sound_shifts_figure",
            "sound_systems_figure",
        ],
        "shift_maps": ["feature_distance_figure", "shift_map_figure"],
        "spectrograms": ["scores_by_shift_figure", "spectrogram_shifts_figure"],
        "study": ["study_figure"],
        "theorems": ["cloud_figure", "constants_figure", "convergence_figure", "gamma_figure"],
        "tiling": ["tiling_figure"],
        "training": ["training_figure"],
        "twins": ["change_figure", "packet_groups_figure", "selection_figure"],
    },
)
