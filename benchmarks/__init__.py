"""How fast the transforms and the heatmap experiment are, beside their peers: `python -m benchmarks --help`."""
