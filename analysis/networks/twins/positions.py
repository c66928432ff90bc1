"""Positions in the picture of the outputs of a layer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Positions:
    """Outputs on pixels ``centre + stride * n`` of each axis, as many as windows that reach over `span` pixels.

    Attributes
    ----------
    stride, centre : int
        Pixels.
    span : int
        Least size of a picture that gives one output; one more for every `stride` pixels.
    """

    stride: int
    centre: int
    span: int

    @classmethod
    def of_convolution(cls, kernel_size: int, stride: int, padding: int) -> Positions:
        """Positions of a convolution with an odd kernel."""
        return cls(stride, kernel_size // 2 - padding, kernel_size - 2 * padding)

    def then(self, kernel_size: int, stride: int, padding: int) -> Positions:
        """Positions of an odd window on this layer."""
        step = self.stride
        centre = self.centre + step * (kernel_size // 2 - padding)
        return Positions(step * stride, centre, self.span + step * (kernel_size - 1 - 2 * padding))

    def count(self, n: int) -> int:
        """Outputs of an axis of n pixels."""
        return (n - self.span) // self.stride + 1
