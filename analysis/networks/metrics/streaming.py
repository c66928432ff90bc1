"""Base of the streaming metrics: a state of sums, which grow by updates and add up when merged."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Self

import torch
from torch import Tensor


class Streaming(ABC):
    """A metric whose state is a few float64 sums, so that its memory does not grow with the number of pictures.

    A metric has ``update(...)`` for every batch, ``merge(other)`` for what was summed elsewhere, and ``compute()``.
    The batches may be of any size: the result is that of all pictures at once, up to rounding.

    Attributes
    ----------
    sums : dict of str to Tensor
        Sums by name.
    sizes : dict of str to int
        Numbers that must not change from update to update, such as the number of classes.
    """

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.sizes: dict[str, int] = {}

    @abstractmethod
    def update(self, *args: Any, **kwargs: Any) -> None:
        """Add a batch; what it takes is the metric's own."""

    @abstractmethod
    def compute(self) -> Any:
        """Value of the metric for all that was added."""

    def merge(self, other: Self) -> Self:
        """Add what another metric of the same kind has seen; the other stays as it is.

        Raises
        ------
        TypeError
            If the other is of another kind.
        ValueError
            If it has other settings, or has seen another number of classes or frames.
        """
        if type(other) is not type(self):
            raise TypeError(f"cannot merge {type(other).__name__} into {type(self).__name__}")
        mine, theirs = (_settings(metric) for metric in (self, other))
        if mine != theirs:
            raise ValueError(f"cannot merge {type(self).__name__} of settings {theirs} into one of {mine}")
        self._expect(**other.sizes)
        for name, value in other.sums.items():
            self._add(name, value)
        return self

    def state_dict(self) -> dict[str, Any]:
        """The state, of tensors and numbers only, for ``torch.save``."""
        return {"sums": dict(self.sums), "sizes": dict(self.sizes)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state, which replaces what was seen before."""
        self.sums, self.sizes = dict(state["sums"]), dict(state["sizes"])

    def _expect(self, **sizes: int) -> None:
        """Take note of sizes, which must be those of before; nothing changes if one is not."""
        for name, value in sizes.items():
            if self.sizes.get(name, value) != value:
                raise ValueError(f"{type(self).__name__}: {value} {name}, but there were {self.sizes[name]} before")
        self.sizes |= sizes

    def _add(self, name: str, value: Tensor | float) -> None:
        value = value.cpu() if isinstance(value, Tensor) else value  # first: not every device has float64
        value = torch.as_tensor(value, dtype=torch.float64)
        self.sums[name] = self.sums[name] + value if name in self.sums else value.clone()

    def _seen(self, name: str) -> Tensor:
        if name not in self.sums:
            raise ValueError(f"{type(self).__name__} has seen no pictures; update it first")
        return self.sums[name]


def _settings(metric: Streaming) -> dict[str, object]:
    return {key: value for key, value in vars(metric).items() if key not in ("sums", "sizes") and key[0] != "_"}
