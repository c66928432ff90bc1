"""Adaptive polyphase sampling: of all subsampling grids, the one with the largest norm."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from analysis.networks.pooling import _border as border
from analysis.networks.pooling._border import PerAxis
from analysis.networks.pooling._filtering import Subsampling
from analysis.networks.pooling.maximum import examples

NORMS = {"l1": 1.0, "l2": 2.0, "linf": float("inf")}


class Phase:
    """The choice of a sampling, kept for those that follow it in the same run of a network.

    Attributes
    ----------
    index : Tensor, shape (batch,), or None
    """

    def __init__(self) -> None:
        self.index: Tensor | None = None


class APS(Subsampling):
    r"""Adaptive polyphase sampling: :math:`y_{i^*j^*}` with :math:`(i^*, j^*) = \arg\max_{ij}\|y_{ij}\|_p`.

    The polyphase components are :math:`y_{ij}[n] = x[s n + (i, j)]`; the norm is over space and channels, so that every
    example has one choice, shared by its channels.

    Parameters
    ----------
    stride : int or one for each axis
    norm : {"l1", "l2", "linf"}
    padding : "same", int, one or a pair (left, right) for each axis
        Before sampling; "same" is none. Negative pairs cut off.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        Of the padding, and of the samples that are added on the right so that the stride divides the size.
        "reflect" as in `BlurPool`.
    return_index : bool
        Return the choices too.
    dims : {1, 2}
        Spatial axes.

    Raises
    ------
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    Chaman and Dokmanic, "Truly shift-invariant convolutional neural networks", CVPR 2021; theory.md, section 7.2. For a
    dense max pooling or a filter before it: ``Cascade(MaxPool(2), BlurPool(taps=3), APS())``.

    *Equivariance.* If the stride divides the size, a circular shift of the input shifts the output circularly, unless
    two components tie. That holds for chains of layers; two branches that are added or concatenated move by the same
    only if one hands its choice to the other: as `index`, or by a `phase` that both have and one of them `leads`.
    *Ties* go to the first component in the order of the index, also those that rounding makes, so that there the choice
    can differ between shifts. Norms are computed in float32, or float64 for float64, of maps divided by their largest
    value. Components of merged patches hold every sample once and have one norm: there it is over one sample of each
    patch, the first 1 / `share` of the channels.

    After a dense maximum "linf" ties nearly always, since the largest value is in several
    components: it is plain subsampling. After a filter without gain at the Nyquist frequency (binomial, triangle) "l1"
    ties on maps that are not negative, at stride 2, since the components have equal sums: take "l2" there.

    *Gradient* flows through the chosen component; the choice counts as a constant. *Precision.* The dtype stays, under
    autocast too. The result is contiguous.
    """

    shown = "stride norm padding padding_mode"

    def __init__(
        self,
        stride: PerAxis = 2,
        norm: str = "l1",
        padding: border.Padding = "same",
        padding_mode: str = "reflect",
        return_index: bool = False,
        dims: int = 2,
    ) -> None:
        super().__init__((1,) * border.checked_dims(dims), stride, padding, padding_mode, dims)
        if norm not in NORMS:
            raise ValueError(f"unknown norm {norm!r}; expected one of {', '.join(NORMS)}")
        self.norm = norm
        self.return_index = return_index
        self.share = 1
        self.phase: Phase | None = None
        self.leads = False

    def dense(self, x: Tensor) -> Tensor:
        """Return the map that is sampled: the input, extended until the stride divides its size."""
        x = border.extend(border.checked_map(x, "APS", self.dims), self.padding, self.padding_mode)
        missing = tuple((0, -n % s) for n, s in zip(x.shape[2:], self.stride, strict=True))
        return border.extend(x, missing, self.padding_mode)

    def subsample(  # type: ignore[override]
        self, x: Tensor, index: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Sample a dense map as `forward` does its input."""
        grids = polyphase(x, self.stride)
        if index is None and self.phase is not None and not self.leads:
            index = self.phase.index
            if index is None:
                raise ValueError("this sampling takes the choice of another one, which has not been run before it")
        if index is None:
            index = self._choice(grids)
            if self.phase is not None:
                self.phase.index = index
        else:
            self._check_index(index, x.shape[0])
        y = chosen(grids, index, self.stride)
        return (y, index) if self.return_index else y

    def forward(self, x: Tensor, index: Tensor | None = None) -> Tensor | tuple[Tensor, Tensor]:
        """Sample maps (batch, channels, spatial axes), real floating.

        Parameters
        ----------
        x : Tensor
        index : Tensor, shape (batch,), int64 or int32, optional
            Choices i * s + j to use instead of one's own: those of another branch of the network.

        Returns
        -------
        Tensor, or (Tensor, Tensor) if `return_index`
            Maps of ceil(N / s) samples an axis, and the choices, shape (batch,).

        Raises
        ------
        TypeError, ValueError
            If `x` is no such map, or `index` has another dtype or shape, or a choice that there is not; compiled
            programs do not look at the choices.
        """
        return self.subsample(self.dense(x), index)

    def _check_index(self, index: Tensor, examples: int) -> None:
        """Refuse what does not choose a component for each example."""
        if not isinstance(index, Tensor):
            raise TypeError(f"index must be a tensor, not {type(index).__name__}")
        if index.dtype not in (torch.int32, torch.int64):
            raise TypeError(f"index has dtype {index.dtype}; expected int64 or int32")
        if tuple(index.shape) != (examples,):
            raise ValueError(f"index has shape {tuple(index.shape)}; expected ({examples},), one choice per example")
        if torch.compiler.is_compiling() or index.is_meta or not examples:
            return  # values are not known
        low, high, count = int(index.min()), int(index.max()), math.prod(self.stride)
        if low < 0 or high >= count:
            raise ValueError(f"index goes from {low} to {high}; expected 0 to {count - 1} for the stride {self.stride}")

    def _choice(self, grids: Tensor) -> Tensor:
        grids = grids[:, : grids.shape[1] // self.share]
        if torch.compiler.is_compiling():
            return self._choice_at_once(grids)
        return torch.cat([self._choice_at_once(part) for part in torch.split(grids, examples(grids))])

    def _choice_at_once(self, grids: Tensor) -> Tensor:
        wide = grids.detach().to(torch.promote_types(grids.dtype, torch.float32))
        over = (1, *range(2, grids.ndim, 2))
        if (
            self.norm != "linf" and 0 not in wide.shape[1:]
        ):  # sums and squares of large values overflow, squares of small vanish
            rest = tuple(range(1, wide.ndim))
            largest = torch.maximum(wide.amax(rest, keepdim=True), -wide.amin(rest, keepdim=True))
            wide = wide / torch.where((largest > 0) & largest.isfinite(), largest, 1.0)
        norms = torch.linalg.vector_norm(wide, NORMS[self.norm], dim=over)
        return torch.argmax(norms.flatten(1), dim=1)


def polyphase(x: Tensor, stride: tuple[int, ...]) -> Tensor:
    """View of all components: (batch, channels, H / s, s, W / s, s)."""
    for axis, s in reversed(list(enumerate(stride, start=2))):
        x = torch.unflatten(x, axis, (x.shape[axis] // s, s))
    return x


def chosen(grids: Tensor, index: Tensor, stride: tuple[int, ...]) -> Tensor:
    """Component of every example: one copy of what is kept, which is in the order of memory of the maps."""
    example = torch.arange(grids.shape[0], device=grids.device)
    if len(stride) == 1:
        return grids[example, :, :, index]
    row, column = index // stride[1], index % stride[1]
    if grids.shape[1] > 1 and grids.stride(1) == 1:  # channels last
        return grids.movedim(1, -1)[example, :, row, :, column].movedim(-1, 1)
    return grids[example, :, :, row, :, column]
