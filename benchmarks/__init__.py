"""Timings of the transforms and the heatmap experiment, beside their peers: `python -m benchmarks --help`."""
