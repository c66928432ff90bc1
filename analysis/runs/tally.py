"""What all blocks of a run came to, added up in the order of the blocks."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

from analysis.runs.blocks import BlockResult, Measurement
from analysis.runs.totals import Total

SECONDS = ("total", "reading", "waiting", "measuring")


@dataclass
class Tally:
    """The first blocks of a run, merged.

    Attributes
    ----------
    totals : list of Total
        Of each measurement.
    blocks, inputs, used : int
        How many blocks, how many inputs in them, and how many of these were used.
    digest : bytes
        SHA-256 of the pictures that were used, chained: of the digest so far and that of the next picture.
    skipped : list of (str, str)
        Name of each input that was not used, and the reason.
    seconds : dict
        Where the time of all blocks went.
    """

    totals: list[Total]
    blocks: int = 0
    inputs: int = 0
    used: int = 0
    digest: bytes = bytes(32)
    skipped: list[tuple[str, str]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(SECONDS, 0.0))

    @classmethod
    def empty(cls, measurements: list[Measurement]) -> Tally:
        """Return the tally of no block."""
        return cls([Total(measurement.length) for measurement in measurements])

    def add(self, result: BlockResult) -> None:
        """Add the next block."""
        for total, sums in zip(self.totals, result.sums, strict=True):
            total.add(sums)
        for begin in range(0, len(result.digests), 32):
            self.digest = hashlib.sha256(self.digest + result.digests[begin : begin + 32]).digest()
        self.blocks += 1
        self.inputs += result.inputs
        self.used += result.used
        self.skipped += result.skipped
        for name, value in result.seconds.items():
            self.seconds[name] += value
