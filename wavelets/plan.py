"""A transform along one axis of a given length, packed into flat arrays for the kernels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from wavelets import rule, stages
from wavelets._kernels import CHUNK
from wavelets.filters import FilterBank

KINDS = ("forward", "adjoint", "inverse")


class Plan(NamedTuple):
    """The stages of both trees as packed sparse matrices; what the kernels read.

    Attributes
    ----------
    indptr : ndarray, shape (J, 2, R + 1), int64
        Matrix ``[l, p]`` splits nodes after l stages; p is the tree (l = 0) or the pair (l > 0), counted from 0. Its
        row r has the entries ``indptr[l, p, r]`` to ``indptr[l, p, r + 1]``, always a multiple of `CHUNK` of them.
    indices : ndarray, shape (E,), int64
        Column of each entry.
    values : ndarray, shape (E,), float32 or float64
        Entries; the padding ones are zero.
    sizes : ndarray, shape (J + 1,), int64
        Samples of one node after 0, 1, ..., J stages.
    pairs : ndarray, shape (2, 2**J - 1), int64
        For tree t, ``pairs[t, 2**l - 1 + k]`` is the matrix that splits node k after l stages.
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int64]
    values: NDArray[np.floating]
    sizes: NDArray[np.int64]
    pairs: NDArray[np.int64]


def axis_plan(
    bank: FilterBank,
    levels: int,
    n: int,
    boundary: str,
    undecimated_last: bool,
    kind: str,
    dtype: np.dtype[np.floating],
) -> Plan:
    """Pack the forward transform of an axis of n samples, its adjoint, or its inverse."""
    sizes = [n]
    matrices: list[list[csr_array]] = []
    for stage in range(levels):
        decimated = not (undecimated_last and stage == levels - 1)
        source = bank.first_stage if stage == 0 else bank.main_stage
        build = stages.synthesis if kind == "inverse" else stages.analysis
        both = [build(*source(number), sizes[-1], boundary, decimated) for number in (1, 2)]
        matrices.append([m.T.tocsr() for m in both] if kind == "adjoint" else both)
        taps = source(1)[0].size
        sizes.append(stages.coefficient_count(sizes[-1], taps, boundary, decimated))

    packed = [[_pad_rows(matrix) for matrix in both] for both in matrices]
    rows = max(matrix.shape[0] for both in matrices for matrix in both)
    indptr = np.zeros((levels, 2, rows + 1), dtype=np.int64)
    entries = 0
    for stage, both_packed in enumerate(packed):
        for p, (ends, columns, _) in enumerate(both_packed):
            indptr[stage, p, : ends.size] = ends + entries
            entries += columns.size
    flat = [part for both_packed in packed for part in both_packed]
    pairs = [[p - 1 for level in rule.splitting_pairs(tree, levels) for p in level] for tree in rule.TREES]
    return Plan(
        indptr,
        np.concatenate([columns for _, columns, _ in flat]),
        np.concatenate([values for _, _, values in flat]).astype(dtype),
        np.array(sizes, dtype=np.int64),
        np.array(pairs, dtype=np.int64),
    )


def _pad_rows(
    matrix: csr_array,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Entries of a sparse matrix, every row filled up with zeros to a multiple of CHUNK and at least one chunk."""
    counts = np.diff(matrix.indptr)
    padded = CHUNK * np.maximum(-(-counts // CHUNK), 1)
    ends = np.concatenate([[0], np.cumsum(padded)]).astype(np.int64)
    place = np.repeat(ends[:-1] - matrix.indptr[:-1], counts) + np.arange(matrix.nnz)
    columns = np.zeros(ends[-1], dtype=np.int64)
    values = np.zeros(ends[-1], dtype=np.float64)
    columns[place], values[place] = matrix.indices, matrix.data
    # Padding repeats a column of its own row, so that it touches no further memory.
    filler = np.ones(ends[-1], dtype=bool)
    filler[place] = False
    last = np.zeros(counts.size, dtype=np.int64)
    last[counts > 0] = matrix.indices[matrix.indptr[1:][counts > 0] - 1]
    columns[filler] = np.repeat(last, padded)[filler]
    return ends, columns, values
