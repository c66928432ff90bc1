"""Measurements on images and networks: RMax, CMod, their discrepancy and their stability under shifts.

Names are imported when they are first used, so that `import analysis` is quick and needs no optional package.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["networks", "plots", "theory"],
    submod_attrs={
        "audit": [
            "audit_network",
        ],
        "files.comparison": [
            "Comparison",
            "FolderComparison",
            "compare",
            "compare_folders",
        ],
        "files.pictures": [
            "ImageFolder",
            "bundled_crops",
            "bundled_images",
            "find_images",
            "load_pictures",
            "read_image",
            "walk_images",
        ],
        "files.results": [
            "load",
            "save",
        ],
        "heal": [
            "heal_network",
            "load_healed",
        ],
        "kernels": [
            "FirstLayer",
            "describe_kernels",
            "first_layer",
            "kernel_table",
            "measure_kernels",
            "prescribe",
        ],
        "measurements.correlation": [
            "map_correlation",
        ],
        "measurements.rmax_cmod": [
            "cmod",
            "packet_pool",
            "rmax",
        ],
        "measurements.spectra": [
            "estimate_spectrum",
            "flat_spectrum",
            "gaussian_fields",
            "power_law_spectrum",
        ],
        "measurements.translation": [
            "translate",
        ],
        "packet_maps": [
            "heatmaps",
            "packet_experiment",
        ],
        "prediction": [
            "fit_isolated",
            "predict",
        ],
        "published.tables": [
            "archived_corruptions",
            "archived_scores",
            "archived_shifts",
            "poster_beside_archive",
            "published_table",
            "validation_errors",
        ],
        "reports.audit": [
            "audit_report",
        ],
        "reports.explorer": [
            "explore",
        ],
        "reports.heal": [
            "heal_report",
        ],
        "reports.heatmaps": [
            "heatmap_report",
        ],
        "reports.kernels": [
            "kernel_report",
        ],
        "reports.prescribe": [
            "prescribe_report",
        ],
        "reports.stability": [
            "stability_report",
        ],
        "reports.stored": [
            "stored_report",
        ],
        "reports.study": [
            "study_report",
        ],
        "reports.training": [
            "train_report",
        ],
        "theory": [
            "gamma",
            "gamma_map",
            "verify",
        ],
    },
)
