"""Comparison of two results: settings, inputs, environment, coordinates, every variable and its units."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from analysis.files.results import load

INPUTS = re.compile(r"(images|inputs)_.*")
ENVIRONMENT = re.compile(
    r".*_version|created|seconds_.*|device|platform|machine|host|(.*_)?(threads|workers)|scheduler|resumed.*|block"
    r"|.+\.(long_name|description|comment)"  # of variables: words
)
GROUPS = ("settings", "inputs", "units", "environment")
# What an entry along a dimension is known by; along any other dimension, by its own coordinate or its position.
KEYS = {"filter": ("theta_y", "theta_x"), "shift": ("shift_y", "shift_x"), "kernel": ("index",)}
DIGITS = 9  # of a key: those of one filter may differ by rounding from machine to machine

Where = str | os.PathLike[str] | xr.Dataset


@dataclass(frozen=True)
class Comparison:
    """Two results side by side.

    Attributes
    ----------
    names : (str, str)
        What the results are called: their files, or "A" and "B".
    rtol, atol : float
        Values x and y agree if ``|x - y| <= atol + rtol * max(|x|, |y|)``, or both are NaN; integers if they are equal.
    attributes : pandas.DataFrame
        One row an attribute: `group` ("settings", "inputs", "units", "environment"), `name` (of a
        variable's, "eta_cmod.units"), `a`, `b` (None where it is missing), `same`. The environment decides nothing.
    entries : pandas.DataFrame
        One row a dimension: `name`, `common` (entries that both have), `only_a`, `only_b` (lists of what the others
        are), `reordered`. Entries are paired by what they are, not by position.
    variables : pandas.DataFrame
        One row a variable or coordinate: `name`, `role` ("coordinate", "variable"), `problem` (missing, other
        dimensions, another kind of values, no entries in common; else empty), `whole` (if all entries have a
        counterpart), `values` compared, `unequal` (beyond the tolerance), `nan_in_one`, `absolute` and `relative`
        (largest differences; NaN for text), `absolute_at`, `relative_at` (where), `at` (the first value that
        disagrees), `same`.
    """

    names: tuple[str, str]
    rtol: float
    atol: float
    attributes: pd.DataFrame
    entries: pd.DataFrame
    variables: pd.DataFrame

    @property
    def agree(self) -> bool:
        """True if settings, inputs, units, entries of all dimensions, and all values are the same."""
        decisive = self.attributes[self.attributes.group != "environment"]
        unpaired = self.entries.only_a.str.len() + self.entries.only_b.str.len()
        return bool(decisive.same.all() and self.variables.same.all() and not unpaired.any())

    def report(self) -> str:
        """Return what there is to say about it, in a few lines of text."""
        lines = [f"A: {self.names[0]}", f"B: {self.names[1]}", ""]
        for group in GROUPS:
            rows = self.attributes[self.attributes.group == group]
            other = rows[~rows.same]
            ignored = " (decides nothing)" if group == "environment" and len(other) else ""
            lines.append(f"{group:<11} {f'{len(other)} of {len(rows)} differ' if len(other) else 'same'}{ignored}")
            lines += [f"    {row.name}: {_shown(row.a, row.b)} | {_shown(row.b, row.a)}" for row in _rows(other)]
        for row in _rows(self.entries):
            if row.reordered:
                lines.append(f"{row.name:<11} in another order (decides nothing)")
            for name, missing in (("A", row.only_a), ("B", row.only_b)):
                if missing:
                    lines.append(f"{row.name:<11} {len(missing)} only in {name}: {_listed(missing)}")
        for role in ("coordinate", "variable"):
            lines += self._values(role)
        return "\n".join([*lines, "", self.verdict()])

    def verdict(self) -> str:
        """Return the result of the comparison in one line."""
        return f"{'agree' if self.agree else 'DIFFER'} (rtol {self.rtol:g}, atol {self.atol:g})"

    def _values(self, role: str) -> list[str]:
        rows = self.variables[self.variables.role == role]
        changed = rows[~rows.same | (rows.absolute > 0)]
        compared = rows[rows.problem == ""]
        of_all = "" if len(compared) == len(rows) else f" of {len(rows)}"
        in_part = "" if compared.whole.all() else f" ({(~compared.whole).sum()} in part)"
        lines = [
            f"{role + 's':<11} {len(compared)}{of_all} compared{in_part}, {len(changed) or 'none'} with a difference"
        ]
        if len(changed):
            lines.append(f"    {'name':<20} {'unequal':>11} {'absolute':>9} {'relative':>9}  where the largest is")
        for row in _rows(changed):
            if row.problem:
                lines.append(f"    {row.name:<20} {row.problem}")
                continue
            largest = "" if np.isnan(row.absolute) else f"{row.absolute:.2e}"
            relative = "" if np.isnan(row.relative) else f"{row.relative:.2e}"
            places = row.at
            if row.absolute > 0:
                both = row.absolute_at == row.relative_at
                places = row.absolute_at if both else f"{row.absolute_at} absolute, {row.relative_at} relative"
            nan = f"; NaN in one only: {row.nan_in_one}, first at {row.at}" if row.nan_in_one else ""
            unequal = f"{row.unequal} of {row.values}"
            lines.append(f"    {row.name:<20} {unequal:>11} {largest:>9} {relative:>9}  {places}{nan}".rstrip())
        return lines


@dataclass(frozen=True)
class FolderComparison:
    """Two folders of results side by side.

    Attributes
    ----------
    names : (str, str)
        The folders.
    files : dict of str to Comparison
        The files of the same name in both, by their paths below the folders.
    only_a, only_b : list of str
        Files that only one of them has.
    """

    names: tuple[str, str]
    files: dict[str, Comparison]
    only_a: list[str]
    only_b: list[str]

    @property
    def agree(self) -> bool:
        """True if both folders have the same files, and all of them agree."""
        return not self.only_a and not self.only_b and all(found.agree for found in self.files.values())

    def report(self) -> str:
        """Return the reports of all files, and a last part with one line a file."""
        parts = [found.report() for found in self.files.values()]
        width = max(map(len, [*self.files, *self.only_a, *self.only_b]))
        lines = [f"{name:<{width}}  {found.verdict()}" for name, found in self.files.items()]
        lines += [f"{name:<{width}}  only in A, {self.names[0]}" for name in self.only_a]
        lines += [f"{name:<{width}}  only in B, {self.names[1]}" for name in self.only_b]
        return "\n\n".join([*parts, "\n".join(lines)])


def compare(a: Where, b: Where, rtol: float = 1e-12, atol: float = 0.0) -> Comparison:
    """Compare two results: heatmaps, their prediction, kernels, or the stability of networks.

    Parameters
    ----------
    a, b : xarray.Dataset or path
        Datasets, or the files that :func:`analysis.save` wrote.
    rtol, atol : float
        Values x and y agree if ``|x - y| <= atol + rtol * max(|x|, |y|)``, or both are NaN; integers if they are equal.
        Numbers among the attributes are held to the same.

    Returns
    -------
    Comparison
        Entries along `filter`, `shift` and `kernel` are paired by what they are, so that the same shifts in another
        order agree; entries that only one result has make a difference, and all others are compared all the same.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If a file is not a result of this project, or a tolerance is negative or not finite.

    Examples
    --------
    >>> compare("before/heatmaps_J3.nc", "after/heatmaps_J3.nc").agree  # doctest: +SKIP
    True
    """
    for name, tolerance in (("rtol", rtol), ("atol", atol)):
        if not 0 <= tolerance < np.inf:
            raise ValueError(f"{name} is {tolerance!r}; expected a finite number of at least 0")
    names = ("A" if isinstance(a, xr.Dataset) else os.fspath(a), "B" if isinstance(b, xr.Dataset) else os.fspath(b))
    first, second = (x if isinstance(x, xr.Dataset) else load(x) for x in (a, b))
    names_of_all = _union(first.coords, second.coords, first.data_vars, second.data_vars)
    rows = _compare_attributes(first.attrs, second.attrs, "", rtol, atol)
    for name in names_of_all:
        if name in first.variables and name in second.variables:
            rows += _compare_attributes(first[name].attrs, second[name].attrs, f"{name}.", rtol, atol)
    attributes = pd.DataFrame(rows, columns=["group", "name", "a", "b", "same"]).astype({"same": bool})
    first, second, entries = pair_entries(first, second)
    unpaired = {row.name for row in _rows(entries) if row.only_a or row.only_b}
    variables = [
        {"name": name, "role": "coordinate" if name in first.coords or name in second.coords else "variable"}
        | _compare_variable(first, second, name, unpaired, rtol, atol)
        for name in names_of_all
    ]
    return Comparison(names, rtol, atol, attributes, entries, pd.DataFrame(variables, columns=["name", "role", *BLANK]))


def compare_folders(
    a: str | os.PathLike[str], b: str | os.PathLike[str], rtol: float = 1e-12, atol: float = 0.0
) -> FolderComparison:
    """Compare all results in two folders, and in the folders below them, by their names.

    Parameters
    ----------
    a, b : path
        Folders; their netCDF files (``*.nc``) are compared, all others follow from these.
    rtol, atol : float
        As for `compare`.

    Returns
    -------
    FolderComparison

    Raises
    ------
    NotADirectoryError
        If one is not a folder.
    ValueError
        If neither holds a result, or `compare` refuses a file.
    """
    files_a, files_b = _results_in(a), _results_in(b)
    if not files_a and not files_b:
        raise ValueError(f"no results (*.nc) in {os.fspath(a)}, nor in {os.fspath(b)}")
    common = sorted(files_a & files_b)
    files = {name: compare(Path(a) / name, Path(b) / name, rtol, atol) for name in common}
    return FolderComparison((os.fspath(a), os.fspath(b)), files, sorted(files_a - files_b), sorted(files_b - files_a))


def _results_in(folder: str | os.PathLike[str]) -> set[str]:
    folder = Path(folder)
    if not folder.is_dir():
        raise NotADirectoryError(f"no such folder: {folder}")
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.nc")}
    return {name for name in found if not name.rpartition("/")[2].startswith(".")}  # hidden: a file being written


# ---- attributes -----------------------------------------------------------------------------------------------------


def _compare_attributes(
    a: dict[str, Any], b: dict[str, Any], owner: str, rtol: float, atol: float
) -> list[tuple[str, str, Any, Any, bool]]:
    """Rows of `Comparison.attributes`; `owner` is what stands before the names of a variable's."""
    rows = []
    for name in _union(a, b):
        same = name in a and name in b and _same(a[name], b[name], rtol, atol)
        rows.append((_group(owner + name), owner + name, a.get(name), b.get(name), same))
    return rows


def _group(name: str) -> str:
    for group, pattern in (("inputs", INPUTS), ("environment", ENVIRONMENT)):
        if pattern.fullmatch(name):
            return group
    return "units" if "." in name else "settings"


def _same(x: Any, y: Any, rtol: float, atol: float) -> bool:
    """Compare two attributes, fractional numbers within the tolerance."""
    x, y = np.asarray(x), np.asarray(y)
    return x.shape == y.shape and _comparable(x, y) and not _differences(x, y, rtol, atol).unequal.any()


# ---- entries along dimensions ---------------------------------------------------------------------------------------


def pair_entries(a: xr.Dataset, b: xr.Dataset) -> tuple[xr.Dataset, xr.Dataset, pd.DataFrame]:
    """Return both datasets with the entries that both have, in the order of the first, and what was left out.

    The table is `Comparison.entries`.
    """
    rows = []
    for dim in _union(a.sizes, b.sizes):
        if dim not in a.sizes or dim not in b.sizes:
            continue  # its variables are missing, or have other dimensions
        at_a, at_b = ({key: n for n, key in enumerate(_entries(ds, dim))} for ds in (a, b))
        common = [key for key in at_a if key in at_b]
        order = [at_b[key] for key in common]
        rows.append(
            {
                "name": dim,
                "common": len(common),
                "only_a": [_entry(a, dim, n) for key, n in at_a.items() if key not in at_b],
                "only_b": [_entry(b, dim, n) for key, n in at_b.items() if key not in at_a],
                "reordered": order != sorted(order),
            }
        )
        a, b = a.isel({dim: [at_a[key] for key in common]}), b.isel({dim: order})
    return a, b, pd.DataFrame(rows, columns=["name", "common", "only_a", "only_b", "reordered"])


def largest_differences(a: xr.Dataset, b: xr.Dataset, variable: str) -> xr.Dataset:
    """Differences of one variable, filter by filter.

    Parameters
    ----------
    a, b : xarray.Dataset
        Results of one depth. Entries are paired by what they are, as in `compare`.
    variable : str
        A variable with the dimension `filter`; along its other dimensions the largest difference counts.

    Returns
    -------
    xarray.Dataset
        Filters that both have: `absolute`, and `relative`, over the larger of the two moduli. NaN where one is NaN.

    Raises
    ------
    ValueError
        If the variable has no dimension `filter`, or other dimensions in each, or nothing is in common.
    """
    for ds in (a, b):
        if "filter" not in ds[variable].dims:
            raise ValueError(f"variable {variable!r} has no dimension filter; expected one value a filter")
    a, b, _ = pair_entries(a, b)
    dims = [dim for dim in a[variable].dims if dim != "filter"]
    if set(b[variable].dims) != {"filter", *dims}:
        raise ValueError(f"variable {variable!r} has the dimensions {a[variable].dims} and {b[variable].dims}")
    x, y = (ds[variable].transpose("filter", *dims).values.astype(np.float64) for ds in (a, b))
    if not x.size:
        raise ValueError(f"the datasets have no filter, or no values of {variable!r}, in common")
    absolute = np.abs(x - y)
    scale = np.maximum(np.abs(x), np.abs(y))
    parts = {"absolute": absolute, "relative": absolute / np.where(scale > 0, scale, 1.0)}
    # NaN gives way to numbers.
    largest = {name: ("filter", np.fmax.reduce(part.reshape(len(part), -1), axis=1)) for name, part in parts.items()}
    return a.drop_vars(list(a.data_vars)).assign(largest)


def _entries(ds: xr.Dataset, dim: Hashable) -> list[Hashable]:
    """Keys of the entries along a dimension; equal ones are told apart by how many went before."""
    columns = [ds[name].values for name in _key_names(ds, dim)] or [np.arange(ds.sizes[dim])]
    columns = [np.round(c, DIGITS) + 0.0 if c.dtype.kind == "f" else c for c in columns]  # + 0.0: -0.0 is 0.0
    seen: Counter[Hashable] = Counter()
    keys: list[Hashable] = []
    for key in zip(*(column.tolist() for column in columns), strict=True):
        keys.append((key, seen[key]))
        seen[key] += 1
    return keys


def _key_names(ds: xr.Dataset, dim: Hashable) -> list[Hashable]:
    names: Sequence[Hashable] = KEYS.get(str(dim), (dim,))
    return [name for name in names if name in ds.coords and ds[name].dims == (dim,)]


def _entry(ds: xr.Dataset, dim: Hashable, position: int) -> str:
    """Name of an entry, for messages."""
    values = [ds[name].values[position] for name in _key_names(ds, dim)] or [position]
    shown = ", ".join(f"{v:.4g}" if isinstance(v, np.floating) else str(v) for v in values)
    return f"{'theta' if dim == 'filter' else dim} {f'({shown})' if len(values) > 1 else shown}"


# ---- values ---------------------------------------------------------------------------------------------------------

BLANK = {
    "problem": "",
    "whole": False,
    "values": 0,
    "unequal": 0,
    "nan_in_one": 0,
    "absolute": np.nan,
    "relative": np.nan,
    "absolute_at": "",
    "relative_at": "",
    "at": "",
    "same": False,
}


def _compare_variable(
    a: xr.Dataset, b: xr.Dataset, name: Hashable, unpaired: set[Hashable], rtol: float, atol: float
) -> dict[str, Any]:
    """Row of `Comparison.variables`; along the unpaired dimensions both have lost entries."""
    if name not in a.variables or name not in b.variables:
        return BLANK | {"problem": f"only in {'A' if name in a.variables else 'B'}"}
    dims = a[name].dims
    if set(dims) != set(b[name].dims):
        return BLANK | {"problem": f"dimensions {_axes(a[name])} and {_axes(b[name])}"}
    x, y = a[name].values, b[name].transpose(*dims).values
    if not _comparable(x, y):
        return BLANK | {"problem": f"values of dtype {x.dtype} and {y.dtype}"}
    whole = not unpaired.intersection(dims)
    if not x.size and not whole:
        return BLANK | {"problem": "no entries in common"}
    found = _differences(x, y, rtol, atol)
    row = BLANK | {
        "whole": whole,
        "values": x.size,
        "unequal": int(found.unequal.sum()),
        "nan_in_one": int(found.nan_in_one.sum()),
        "same": not found.unequal.any(),
    }

    def place(flat: int) -> str:
        positions = np.unravel_index(flat, x.shape)
        return ", ".join(_entry(a, dim, int(n)) for dim, n in zip(dims, positions, strict=True))

    if found.unequal.any():
        row["at"] = place(int((found.nan_in_one if found.nan_in_one.any() else found.unequal).argmax()))
    for kind, values in (("absolute", found.absolute), ("relative", found.relative)):
        if values is not None and values.size:
            row[kind] = float(values.max())
            row[f"{kind}_at"] = place(int(values.argmax())) if values.any() else ""
    return row


@dataclass(frozen=True)
class _Differences:
    unequal: NDArray[np.bool_]
    nan_in_one: NDArray[np.bool_]
    absolute: NDArray[np.float64] | None  # none for text; 0 where a value is NaN
    relative: NDArray[np.float64] | None


def _differences(x: NDArray[Any], y: NDArray[Any], rtol: float, atol: float) -> _Differences:
    none = np.zeros(x.shape, bool)
    if not _is_number(x):
        return _Differences(np.asarray(x != y), none, None, None)
    if {x.dtype.kind, y.dtype.kind} <= set("biu"):  # a seed or a count has no tolerance
        unequal, absolute = np.asarray(x != y), np.zeros(x.shape)
        scale = np.ones(x.shape)
        for i in np.argwhere(unequal):  # in Python's integers, which are exact
            p, q = int(x[tuple(i)]), int(y[tuple(i)])
            absolute[tuple(i)], scale[tuple(i)] = abs(p - q), max(abs(p), abs(q))
        return _Differences(unequal, none, absolute, absolute / scale)
    x, y = (v.astype(np.result_type(v, np.float64), copy=False) for v in (x, y))
    nan_in_one = np.isnan(x) ^ np.isnan(y)
    with np.errstate(invalid="ignore", over="ignore"):
        equal = (x == y) | np.isnan(x) | np.isnan(y)
        absolute = np.where(equal, 0.0, np.abs(x - y))
        scale = np.maximum(np.abs(x), np.abs(y))
        infinite = np.isinf(scale) & ~equal
        relative = np.where(infinite, np.inf, absolute / np.where(equal | infinite, 1.0, scale))
        unequal = (absolute > atol + rtol * np.where(infinite, 0.0, scale)) | nan_in_one
    return _Differences(unequal, nan_in_one, absolute, relative)


def _is_number(x: NDArray[Any]) -> bool:
    return x.dtype.kind in "biufc"


def _comparable(x: NDArray[Any], y: NDArray[Any]) -> bool:
    return _is_number(x) == _is_number(y)


# ---- text -----------------------------------------------------------------------------------------------------------


def _axes(variable: xr.DataArray) -> str:
    return f"({', '.join(map(str, variable.dims))})"


def _shown(value: Any, other: Any, most: int = 60) -> str:
    """Attribute in one short line: if it is long, from where it begins to differ from the other one."""
    if value is None:
        return "missing"
    text, against = (" ".join(str(v).split()) or "none" for v in (value, other))
    if len(text) <= most:
        return text
    start = next((n for n, (x, y) in enumerate(zip(text, against, strict=False)) if x != y), len(against))
    start = max(0, min(start - 10, len(text) - most))
    before, after = "..." if start else "", "..." if start + most < len(text) else ""
    return before + text[start : start + most] + after


def _listed(entries: Sequence[str], most: int = 4) -> str:
    return "; ".join([*entries[:most], *(["..."] if len(entries) > most else [])])


def _rows(frame: pd.DataFrame) -> list[Any]:
    """Rows as named tuples, without the index."""
    return list(frame.itertuples(index=False))


def _union(*names: Any) -> list[Any]:
    """All names, each once, in the order of their first appearance."""
    return list(dict.fromkeys(name for group in names for name in group))
