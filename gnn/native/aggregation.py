"""Weighted sums and maxima over the entries of a sparse matrix, by the fastest kernel of this machine."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gnn.errors import SettingError
from gnn.layers import CsrMatrix, bag_sum
from gnn.native.activations import NOTHING, Activation
from gnn.native.fastest import fastest, rows_class
from gnn.native.library import kernels, library
from gnn.native.tensors import taken

# Where a matrix keeps which way its sums are computed.
WAYS = "ways"


def aggregate(matrix: CsrMatrix, table: Tensor, base: Tensor | None = None, activation: Activation = NOTHING) -> Tensor:
    """activation(matrix @ table + base).

    Raises `SettingError` for a table that has not one row for each column.
    Shapes: matrix (rows, columns), table [columns, width], base [width], [rows, width] or None -> [rows, width].
    """
    # One look into one dictionary: beside a small sum, every further question costs per cents.
    ways = vars(matrix).setdefault(WAYS, {})
    key = (table.shape, base is None, activation.name)
    way = ways.get(key) or ways.setdefault(
        key, _way("aggregate", plain_aggregate, _aggregate, matrix, table, base, activation)
    )
    return (way if taken(table, matrix.value, base) else plain_aggregate)(matrix, table, base, activation)


def _way(
    name: str,
    plain: Callable[..., Tensor],
    native: Callable[..., Tensor],
    matrix: CsrMatrix,
    table: Tensor,
    *more: Any,  # noqa: ANN401
) -> Callable[..., Tensor]:
    """The faster one of two functions of a matrix and a table that give the same."""
    require_rows(matrix, table)
    tensors = [part for part in more if isinstance(part, Tensor)]
    if library() is None or table.dim() != 2 or not taken(table, matrix.value, *tensors):
        return plain
    kind = [part is None or getattr(part, "name", "") for part in more if not isinstance(part, (Tensor, float))]
    # Means of entries differ from block to block of a large graph, their powers of two hardly.
    entries = 1 << (len(matrix.column) // max(1, matrix.shape[0])).bit_length()
    key = (name, table.shape[1], entries, rows_class(matrix.shape[0]), *kind)
    ways = {"torch": plain, "native": native}
    return ways[fastest(key, {name: partial(way, matrix, table, *more) for name, way in ways.items()})]


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
    ways, key = vars(matrix).setdefault(WAYS, {}), ("maximum", table.shape)
    way = ways.get(key) or ways.setdefault(key, _way("maximum", plain_maximum, _maximum, matrix, table))
    return (way if taken(table) else plain_maximum)(matrix, table)


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


def sum_rectified(
    matrix: CsrMatrix, table: Tensor, edge: Tensor, own: Tensor | None = None, own_weight: float = 1.0
) -> Tensor:
    """own_weight * own + the sum of ReLU(a source's row + the row of the entry) over the entries of each row.

    Shapes: matrix (rows, columns), table [columns, width], edge [entries, width], own [rows, width] or None -> [rows,
    width].
    """
    ways, key = vars(matrix).setdefault(WAYS, {}), ("rectified", table.shape, own is None)
    more = (matrix, table, edge, own, own_weight)
    way = ways.get(key) or ways.setdefault(key, _way("rectified", plain_sum_rectified, _sum_rectified, *more))
    return (way if taken(table, edge, own) else plain_sum_rectified)(*more)


def plain_sum_rectified(
    matrix: CsrMatrix, table: Tensor, edge: Tensor, own: Tensor | None, own_weight: float
) -> Tensor:
    """The same in PyTorch: an embedding bag of the entries' rows."""
    rows = functional.relu(table.index_select(0, matrix.column) + edge)
    entry = torch.arange(len(rows), device=rows.device)
    out = bag_sum(matrix.row_pointer, entry, torch.ones_like(rows[:, 0]), rows)
    return out if own is None else out + own_weight * own


def _sum_rectified(matrix: CsrMatrix, table: Tensor, edge: Tensor, own: Tensor | None, own_weight: float) -> Tensor:
    pointer, column, _ = matrix.compact
    table, edge, own = table.contiguous(), edge.contiguous(), None if own is None else own.contiguous()
    rows, width = matrix.shape[0], table.shape[1]
    out = torch.empty(rows, width)
    kernels().sum_rectified(
        pointer.data_ptr(),
        column.data_ptr(),
        table.data_ptr(),
        edge.data_ptr(),
        None if own is None else own.data_ptr(),
        own_weight,
        rows,
        width,
        out.data_ptr(),
    )
    return out


def require_rows(matrix: CsrMatrix, table: Tensor) -> None:
    """Raise `SettingError` for a table that has not one row for each column."""
    if table.shape[0] != matrix.shape[1]:
        raise SettingError(f"the graph has {matrix.shape[1]} nodes, the features are of {len(table)}")
