"""Fuzzing of what reads files: `make fuzz`, or `python -m fuzz --help`."""
