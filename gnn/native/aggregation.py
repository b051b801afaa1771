"""Weighted sums and maxima over the entries of a sparse matrix, by the fastest kernel of this machine."""

import torch
from torch import Tensor
from torch.nn import functional

from gnn.errors import SettingError
from gnn.layers import CsrMatrix, bag_sum
from gnn.native.activations import NOTHING, Activation
from gnn.native.fastest import fastest, rows_class
from gnn.native.library import kernels, library
from gnn.native.tensors import taken

WAYS: dict[tuple[object, ...], str] = {}


def aggregate(matrix: CsrMatrix, table: Tensor, base: Tensor | None = None, activation: Activation = NOTHING) -> Tensor:
    """activation(matrix @ table + base).

    Raises `SettingError` for a table that has not one row for each column.
    Shapes: matrix (rows, columns), table [columns, width], base [width], [rows, width] or None -> [rows, width].
    """
    require_rows(matrix, table)
    if not taken(table, matrix.value, base) or table.dim() != 2:
        return plain_aggregate(matrix, table, base, activation)
    entries = len(matrix.column) // max(1, matrix.shape[0])
    key = ("aggregate", table.shape[1], entries, rows_class(matrix.shape[0]), base is None, activation.name)
    way = WAYS.get(key)
    if way is None:
        ways = {"torch": lambda: plain_aggregate(matrix, table, base, activation)}
        if library() is not None:
            ways["native"] = lambda: _aggregate(matrix, table, base, activation)
        way = WAYS[key] = fastest(key, ways)
    return (_aggregate if way == "native" else plain_aggregate)(matrix, table, base, activation)


def plain_aggregate(matrix: CsrMatrix, table: Tensor, base: Tensor | None, activation: Activation) -> Tensor:
    """The same in PyTorch: an embedding bag."""
    out = bag_sum(matrix.row_pointer, matrix.column, matrix.value, table)
    return activation.in_place(out if base is None else out.add_(base))


def _aggregate(matrix: CsrMatrix, table: Tensor, base: Tensor | None, activation: Activation) -> Tensor:
    pointer, column, value = matrix.compact
    table = table.contiguous()
    rows, width = matrix.shape[0], table.shape[1]
    out, stride = torch.empty(rows, width), 0
    if base is not None:
        base = base.contiguous()
        stride = width if base.dim() > 1 else 0
    kernels().aggregate(
        pointer.data_ptr(),
        column.data_ptr(),
        value.data_ptr(),
        table.data_ptr(),
        rows,
        width,
        None if base is None else base.data_ptr(),
        stride,
        out.data_ptr(),
        activation.number,
        activation.alpha,
    )
    return out


def maximum(matrix: CsrMatrix, table: Tensor) -> Tensor:
    """The largest value of each channel over the rows of a table that a row of the matrix has, 0 where it has none.

    Shapes: matrix (rows, columns), table [columns, width] -> [rows, width].
    """
    require_rows(matrix, table)
    if library() is None or not taken(table) or table.dim() != 2:
        return plain_maximum(matrix, table)
    key = ("maximum", table.shape[1], len(matrix.column) // max(1, matrix.shape[0]), rows_class(matrix.shape[0]))
    if key not in WAYS:
        ways = {"torch": lambda: plain_maximum(matrix, table), "native": lambda: _maximum(matrix, table)}
        WAYS[key] = fastest(key, ways)
    return (_maximum if WAYS[key] == "native" else plain_maximum)(matrix, table)


def plain_maximum(matrix: CsrMatrix, table: Tensor) -> Tensor:
    """The same in PyTorch: an embedding bag of maxima."""
    return functional.embedding_bag(
        matrix.column, table.contiguous(), matrix.row_pointer, mode="max", include_last_offset=True
    )


def _maximum(matrix: CsrMatrix, table: Tensor) -> Tensor:
    pointer, column, _ = matrix.compact
    table = table.contiguous()
    out = torch.empty(matrix.shape[0], table.shape[1])
    kernels().maximum(
        pointer.data_ptr(), column.data_ptr(), table.data_ptr(), matrix.shape[0], table.shape[1], out.data_ptr()
    )
    return out


def require_rows(matrix: CsrMatrix, table: Tensor) -> None:
    """Raise `SettingError` for a table that has not one row for each column."""
    if table.shape[0] != matrix.shape[1]:
        raise SettingError(f"the graph has {matrix.shape[1]} nodes, the features are of {len(table)}")
