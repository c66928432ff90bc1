"""``shiftscope recipes``."""

from __future__ import annotations

from analysis.commands import options


def command() -> None:
    """List the recipes of `shiftscope train`, and the networks."""
    options.need_torch()
    from analysis.networks.training.orchestration import listing

    print(listing())
