"""Scripts that make data and results which are committed."""
