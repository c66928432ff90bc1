"""Packets that feed the output channels of a twin: the selection and the groups of theory.md, section 6.1."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from wavelets import DualTreePackets2D


@dataclass(frozen=True)
class PacketGroup:
    """Packets that are mixed into output channels by a grouped 1x1 convolution.

    Attributes
    ----------
    channels : tuple of int
        Channels of :class:`wavelets.DualTreePackets2D`, in the order in which the mixing takes them.
    outputs : int
        Output channels.
    mixing_groups : int
        Groups of the mixing: the first ``len(channels) / mixing_groups`` packets feed the first ``outputs /
        mixing_groups`` outputs, and so on.
    weight : float
        Factor of the regulariser for this group.
    """

    channels: tuple[int, ...]
    outputs: int
    mixing_groups: int
    weight: float = 0.0

    def __post_init__(self) -> None:
        if not self.channels:
            raise ValueError("a packet group needs at least one channel")
        for name, count in (("channels", len(self.channels)), ("outputs", self.outputs)):
            if self.mixing_groups < 1 or count < 1 or count % self.mixing_groups:
                raise ValueError(
                    f"mixing_groups is {self.mixing_groups}; expected a divisor of the {count} {name} of the group"
                )


def by_orientation(levels: int, chosen: Callable[[int, int], bool]) -> tuple[int, ...]:
    """Channels whose frequency indices (vertical, horizontal) are chosen, in the order of their orientation.

    So the packets of a mixing group are neighbours in orientation, and a mixture keeps one.
    """
    transform = DualTreePackets2D(levels)
    p = transform.packets
    angle = np.arctan2(*transform.frequencies.T)
    kept = [k for k in range(p.size) if chosen(int(p.freq_y[k]), int(p.freq_x[k]))]
    return tuple(sorted(kept, key=lambda k: (angle[k], k)))


def by_name(levels: int, names: Sequence[tuple[int, int, str]]) -> tuple[int, ...]:
    """Channels of (vertical index, horizontal index, branch)."""
    p = DualTreePackets2D(levels).packets
    at = {(int(y), int(x), str(b)): k for k, (y, x, b) in enumerate(zip(p.freq_y, p.freq_x, p.branch, strict=True))}
    return tuple(at[name] for name in names)


def alexnet_groups() -> tuple[PacketGroup, ...]:
    """The 94 of 128 packets of WAlexNet (J = 3), in three rings: no low-pass ones, none of high frequency both ways."""

    def ring(low: int, high: int) -> Callable[[int, int], bool]:
        return lambda y, x: low <= max(y, x) <= high and min(y, x) < 4

    return (
        PacketGroup(by_orientation(3, ring(1, 1)), 6, 6),
        PacketGroup(by_orientation(3, ring(2, 3)), 18, 6, 0.0041),
        PacketGroup(by_orientation(3, ring(4, 7)), 8, 4, 0.00032),
    )


def resnet_groups() -> tuple[PacketGroup, ...]:
    """The 16 of 32 packets of WResNet (J = 2), each output one packet times a number."""
    ring = ((0, 1, "a"), (1, 0, "a"), (1, 1, "b"), (0, 1, "b"), (1, 0, "b"), (1, 1, "a"))
    quarters: tuple[tuple[tuple[int, int, str], ...], ...] = (
        ((0, 2, "a"), (1, 2, "b"), (2, 0, "a"), (2, 1, "b")),
        ((2, 2, "b"),),
        ((1, 2, "a"), (0, 2, "b"), (2, 1, "a"), (2, 0, "b")),
        ((2, 2, "a"),),
    )
    groups = [PacketGroup(by_name(2, ring), 12, 6)]
    for names in quarters:
        outputs = 4 if len(names) == 4 else 2
        groups.append(PacketGroup(by_name(2, names), outputs, len(names)))
    return tuple(groups)


def resnet_edge_groups() -> tuple[PacketGroup, ...]:
    """The variant of WResNet that keeps the 14 packets next to the edge of the spectrum and selects by a penalty."""
    return (
        PacketGroup(by_orientation(2, lambda y, x: max(y, x) == 1), 12, 6),
        PacketGroup(by_orientation(2, lambda y, x: max(y, x) >= 2), 12, 6, 0.005),
    )
