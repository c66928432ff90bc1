"""Fuzzing of what reads files (`make fuzz`, `python -m fuzz --help`), and attacks on whole commands.

`python -m fuzz.kills`, `python -m fuzz.hostile` and `python -m fuzz.surroundings` take minutes to an hour each.
"""
