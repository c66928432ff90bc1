"""Coefficients that know the transform they come from, so that no other one inverts them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Origin:
    """Transform and signal that coefficients come from.

    Attributes
    ----------
    filters : str
        Name of the filter bank.
    taps : str
        Digest of its taps: a name alone may stand for several banks.
    levels, stride, boundary
        As in :class:`wavelets.DualTreePackets2D`.
    size : tuple of int
        Trailing shape of what was transformed, samples or pixels.
    """

    filters: str
    taps: str
    levels: int
    stride: int
    boundary: str
    size: tuple[int, ...]

    def differences(self, other: Origin) -> list[str]:
        """Each value in which two origins differ, for a message; names of filters count for nothing, taps do."""
        ours, theirs = asdict(replace(self, filters=other.filters)), asdict(other)
        names = [name for name, value in ours.items() if value != theirs[name]]
        if "taps" in names and self.filters != other.filters:
            names[names.index("taps")] = "filters"
        return [f"{name} {getattr(self, name)!r} and not {getattr(other, name)!r}" for name in names]


class Coefficients(NDArrayOperatorsMixin):
    """Complex coefficients of a transform; an array in every expression.

    Indices, functions and operators of numpy work as on arrays, and so do methods and attributes such as `shape`,
    `real` or `mean`. ``np.asarray(c)`` is the array itself, without a copy.

    What leaves channels and positions where they are gives coefficients again: arithmetic with numbers, arrays, and
    coefficients of the same origin; copies and conversions; an index that chooses from the batch. All else gives an
    ordinary array, which `inverse` takes only with a size: other indices, transposes and reshapes, real results such
    as moduli, arithmetic with coefficients of another origin.

    Parameters
    ----------
    values : array_like, shape (..., channels, n) or (..., channels, h, w), complex
        The coefficients.
    origin : Origin
        Where they come from.

    Attributes
    ----------
    origin : Origin
        The transform and the size of the signal.
    original_size : tuple of int
        Trailing shape of what was transformed.

    Raises
    ------
    ValueError
        If there are fewer axes than channels and positions take.

    Examples
    --------
    >>> from wavelets import DualTreePackets1D
    >>> t = DualTreePackets1D(levels=2)
    >>> c = t.forward(np.ones((3, 16)))
    >>> c.origin.filters, c.original_size
    ('cf_3_3', (16,))
    >>> type(2 * c[1:]).__name__, type(np.abs(c)).__name__
    ('Coefficients', 'ndarray')
    """

    __slots__ = ("_values", "origin")

    def __init__(self, values: ArrayLike, origin: Origin) -> None:
        self._values = np.asarray(values)
        self.origin = origin
        if self._values.ndim < self._own_axes:
            raise ValueError(f"coefficients have shape {self.shape}; expected at least {self._own_axes} axes")

    @property
    def original_size(self) -> tuple[int, ...]:
        """Trailing shape of what was transformed."""
        return self.origin.size

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return self._values.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the numbers."""
        return self._values.dtype

    @property
    def real(self) -> NDArray[Any]:
        """Real part, a view."""
        return self._values.real

    @real.setter
    def real(self, values: ArrayLike) -> None:
        self._values.real = values

    @property
    def imag(self) -> NDArray[Any]:
        """Imaginary part, a view."""
        return self._values.imag

    @imag.setter
    def imag(self, values: ArrayLike) -> None:
        self._values.imag = values

    def copy(self) -> Coefficients:
        """Return a copy."""
        return Coefficients(self._values.copy(), self.origin)

    __copy__ = copy

    def astype(self, dtype: Any, **options: Any) -> Any:
        """Return the values in another type; coefficients if it is complex."""
        return self._like(self._values.astype(dtype, **options))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        if copy:
            return np.array(self._values, dtype)
        return self._values if dtype is None else self._values.astype(dtype, copy=False)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        out = options.get("out", ())
        origins = {array.origin for array in (*inputs, *out) if isinstance(array, Coefficients)}
        if out:
            _refuse_several(origins)
            options["out"] = tuple(map(_bare, out))
        result = getattr(ufunc, method)(*map(_bare, inputs), **options)
        if out:
            return out[0] if len(out) == 1 else out
        if method != "__call__" or ufunc.signature is not None or len(origins) > 1:  # not elementwise, or of nothing
            return result
        return tuple(map(self._like, result)) if isinstance(result, tuple) else self._like(result)

    def __getitem__(self, key: Any) -> Any:
        result = self._values[_bare(key)]
        parts = list(key) if isinstance(key, tuple) else [key]
        while parts and (parts[-1] is Ellipsis or (isinstance(parts[-1], slice) and parts[-1] == slice(None))):
            parts.pop()
        taken = sum(map(_axes_taken, parts))
        return self._like(result) if taken <= self._values.ndim - self._own_axes else result

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(value, Coefficients):
            _refuse_several({self.origin, value.origin})
        self._values[_bare(key)] = _bare(value)

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return (self[i] for i in range(len(self)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # not what copying and pickling look for
            raise AttributeError(f"coefficients have no attribute {name!r}")
        return getattr(self._values, name)

    def __reduce__(self) -> Any:
        return Coefficients, (self._values, self.origin)

    def __repr__(self) -> str:
        return f"Coefficients({self._values!r}, {self.origin!r})"

    @property
    def _own_axes(self) -> int:
        """Axes that are not the batch's: channels and positions."""
        return 1 + len(self.origin.size)

    def _like(self, result: Any) -> Any:
        """Give a result the origin if it has these channels and positions."""
        own = self._own_axes
        if not isinstance(result, np.ndarray) or result.dtype.kind != "c" or result.shape[-own:] != self.shape[-own:]:
            return result
        return Coefficients(result, self.origin)


def _bare(x: Any) -> Any:
    return x._values if isinstance(x, Coefficients) else x


def _refuse_several(origins: set[Origin]) -> None:
    if len(origins) > 1:
        one, other, *_ = origins
        raise ValueError(f"coefficients of two origins, in one array: {'; '.join(one.differences(other))}")


def _axes_taken(part: Any) -> float:
    """Count the axes that a part of an index is about; of an ellipsis that is not known, so that it counts as all."""
    if part is None or part is Ellipsis:
        return 0 if part is None else np.inf
    if isinstance(part, slice):
        return 1
    array = np.asarray(part)
    return array.ndim if array.dtype == bool else 1
