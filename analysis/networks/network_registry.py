"""Every network of the documents by name: `create`, `names`, `describe`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from torch import nn

from analysis.files.messages import unknown
from analysis.networks import published_networks
from analysis.networks.published_networks import Entry
from analysis.networks.twins.names import twins

TABLES: tuple[Callable[[], Iterator[Entry]], ...] = (
    published_networks.poster,
    published_networks.small,
    twins,
    published_networks.blurpool,
    published_networks.sound,
)
"""Tables that the registry is made of."""


def entries() -> dict[str, Entry]:
    """All entries by name, in the order of the tables."""
    return {entry.name: entry for table in TABLES for entry in table()}


def entry_of(name: str) -> Entry:
    """Return the entry of a name, or refuse with the nearest one."""
    table = entries()
    if name not in table:
        raise ValueError(unknown("network", name, table))
    return table[name]


def create(name: str, **options: Any) -> nn.Module:
    """Build a network of the documents, with new weights.

    Parameters
    ----------
    name : str
        One of :func:`names`.
    **options
        Of its class in :mod:`analysis.networks.architectures` or :mod:`analysis.networks.twins`, such as `classes`,
        `dropout`, `padding_mode`, `pooling`.

    Returns
    -------
    Module
        In training mode.

    Raises
    ------
    TypeError
        If it has no such option.
    ValueError
        If there is no such network, with the nearest name; or an option is out of its range.

    Examples
    --------
    >>> create("vgg13-blur5").classifier
    Linear(in_features=512, out_features=10, bias=True)
    """
    return entry_of(name).make(**options)


def names() -> tuple[str, ...]:
    """Names of all networks; also `analysis.networks.list`."""
    return tuple(entries())


def describe(name: str) -> str:
    """Return the row of the table of the document that a network is, with the numbers published for it.

    Raises
    ------
    ValueError
        If there is no such network, with the nearest name.

    Examples
    --------
    >>> print(describe("vgg41-tlpf5"))
    VGG41, TLPF 5×5: the sound study (Fonseca et al. 2021), Table I: mAP .479±.003.
    """
    return entry_of(name).describe()
