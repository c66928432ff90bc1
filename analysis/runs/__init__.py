"""Long runs: inputs fed block by block, kept on disk as they come, here or on a cluster."""
