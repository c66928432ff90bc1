"""Checks of arguments, shared by the public functions of all packages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

HEADROOM = 1e-6  # of the largest number of a dtype: values of the transforms stay below it


def from_torch(x: Any) -> Any:
    """Return a torch tensor, on any device and whether or not it tracks gradients, as an array; all else as it is."""
    if type(x).__module__.partition(".")[0] != "torch" or not hasattr(x, "detach"):  # by name: torch is not imported
        return x
    tensor = x.detach().cpu().resolve_conj().resolve_neg()
    return np.asarray(tensor.float() if str(tensor.dtype) == "torch.bfloat16" else tensor)


def to_array(x: ArrayLike, name: str) -> NDArray[Any]:
    """Return `x`, which may be a torch tensor, as an array.

    Raises
    ------
    TypeError
        If it cannot be turned into one.
    ValueError
        If it is ragged or masked.
    """
    if np.ma.is_masked(x):
        raise ValueError(f"{name} is a masked array with hidden values; fill them or take them out first")
    try:
        return np.asarray(from_torch(x))
    except ValueError as error:
        raise ValueError(f"{name} is not a rectangular array: {error}") from None
    except Exception as error:  # what an object's own conversion raises, such as a list of tensors that track gradients
        raise TypeError(f"{name} cannot be turned into an array: {error}") from error


def real_array(x: ArrayLike, name: str, axes: int, batch: bool = False) -> NDArray[Any]:
    """Return `x` as a finite, non-empty, real floating array with at least `axes` axes, in C order.

    float32 is kept, float16 becomes float32, all else becomes float64. Torch tensors are accepted. The order is one
    and the same, since sums that follow the memory would round otherwise. With `batch`, axes before the last `axes`
    may be empty.

    Raises
    ------
    TypeError
        If `x` is complex or not numeric.
    ValueError
        If it is ragged or masked, has too few axes, no elements, or holds NaN or infinity.
    """
    array = to_array(x, name)
    if array.dtype.kind == "c":
        raise TypeError(f"{name} is complex ({array.dtype}); expected real numbers")
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{name} has dtype {array.dtype}; expected real numbers")
    return _checked(array, name, axes, batch, np.float32 if is_single(array.dtype) else np.float64)


def complex_array(x: ArrayLike, name: str, axes: int, batch: bool = False) -> NDArray[Any]:
    """Return `x` like `real_array`, but complex64 or complex128 if it is complex."""
    array = to_array(x, name)
    if array.dtype.kind != "c":
        return real_array(array, name, axes, batch)
    return _checked(array, name, axes, batch, np.complex64 if is_single(array.dtype) else np.complex128)


def real_images(x: ArrayLike, name: str) -> NDArray[Any]:
    """Return `x` like `real_array`, as a batch of images (..., H, W).

    Raises
    ------
    TypeError, ValueError
        As `real_array` and `refuse_colours_last`.
    """
    array = real_array(x, name, 2, batch=True)
    refuse_colours_last(array.shape, name)
    return array


def refuse_overflow(array: NDArray[Any], name: str) -> None:
    """Raise ValueError for values that are finite, and so large that sums of their products may not be.

    The lattices of rotations let intermediate numbers grow by up to some 1e5 before they are scaled back.
    """
    largest, limit = _largest(array), HEADROOM * np.finfo(array.dtype).max
    if largest > limit:
        raise ValueError(f"{name} holds values up to {largest:.3g}; expected at most {limit:.3g} in {array.dtype}")


def is_moderate(array: NDArray[Any]) -> bool:
    """Return whether no value is NaN, infinite, or what `refuse_overflow` refuses, in one pass without an array."""
    return bool(_largest(array) <= HEADROOM * np.finfo(array.dtype).max)


def _largest(array: NDArray[Any]) -> Any:
    """Largest modulus of real numbers, 0 if there are none; NaN if one is NaN."""
    return max(array.max(initial=0), -array.min(initial=0))


def refuse_overflowed(result: NDArray[Any], given: NDArray[Any], name: str) -> None:
    """Raise ValueError for a result that is not finite where all that was given is: its sums were too large."""
    if not np.isfinite(result).all() and np.isfinite(given).all():
        raise ValueError(f"{name} holds values so large that their sums overflow in {result.dtype}")


def refuse_colours_last(shape: Sequence[int], name: str) -> None:
    """Raise ValueError for the shape (..., H, W, 3 or 4) of colour images, where (..., H, W) is expected.

    Only where H and W are at least 16: smaller ones may as well be kernels.
    """
    if len(shape) >= 3 and shape[-1] in (3, 4) and min(shape[-3:-1]) >= 16:
        *_, height, width, colours = shape
        raise ValueError(
            f"{name} has shape {tuple(shape)}, which looks like colour images of {height}x{width}; "
            f"expected (..., height, width): put the colours first, (..., {colours}, {height}, {width})"
        )


def is_single(dtype: np.dtype[Any]) -> bool:
    """Return whether numbers of a dtype, in any byte order, are computed in single precision: half and single ones."""
    return bool((dtype.kind == "f" and dtype.itemsize <= 4) or (dtype.kind == "c" and dtype.itemsize <= 8))


def _checked(array: NDArray[Any], name: str, axes: int, batch: bool, dtype: type) -> NDArray[Any]:
    """Check the shape, then convert, then look for values that are not finite."""
    if array.ndim < axes:
        raise ValueError(f"{name} has shape {array.shape}; expected at least {axes} axes")
    if 0 in (array.shape[array.ndim - axes :] if batch else array.shape):
        raise ValueError(f"{name} has shape {array.shape}, no elements; expected at least one")
    with np.errstate(over="ignore"):  # of a wider type: infinite below
        array = np.asarray(array, dtype=dtype, order="C")
    if not np.isfinite(array).all():
        bad = np.count_nonzero(~np.isfinite(array))
        raise ValueError(f"{name} holds {bad} NaN or infinite values of {array.size}; expected finite numbers")
    return array


def integer(name: str, value: object, least: int, most: int | None = None) -> int:
    """Return `value` if it is an integer from `least` to `most`.

    Raises
    ------
    TypeError
        If it is not an integer; booleans are none.
    ValueError
        If it is out of range.
    """
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} must be an integer, not {type(value).__name__}")
    if value < least or (most is not None and value > most):
        expected = f"at least {least}" if most is None else f"{least} to {most}"
        raise ValueError(f"{name} is {value}; expected {expected}")
    return int(value)


def positive(name: str, value: object, most: float = np.inf) -> float:
    """Return `value` as a float if it is a positive finite number, at most `most`.

    Raises
    ------
    TypeError
        If it is not one real number.
    ValueError
        If it is out of range.
    """
    array = to_array(value, name)  # type: ignore[arg-type]
    if array.ndim or array.dtype.kind not in "fiu":
        raise TypeError(f"{name} must be a real number, got {value!r}")
    if not (0 < array <= most and array < np.inf):
        expected = "positive and finite" if most == np.inf else f"a fraction in (0, {most:g}]"
        raise ValueError(f"{name} must be {expected}, got {value!r}")
    return float(array)
