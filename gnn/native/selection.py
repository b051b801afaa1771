"""Rows of sparse matrices and their transpositions in compiled kernels; `gnn.layers` has the same in PyTorch."""

import torch
from torch import Tensor

from gnn.native.library import kernels, library, wanted

Rows = tuple[Tensor, Tensor, Tensor]


def native_rows(whole: Rows, rows: Tensor, shift: Tensor, to_pointer: Tensor) -> tuple[Tensor, Tensor] | None:
    """Columns and values of some rows of a matrix, the columns of each moved by its shift; None without kernels.

    `to_pointer` says where each selected row begins and ends. Shapes: whole (row pointer, columns, values); rows and
    shift [selected]; to_pointer [selected + 1].
    """
    pointer, column, value = whole
    plain = value.dtype is torch.float32 and value.is_contiguous() and not value.requires_grad
    if not plain or not _readable(pointer, column, rows, shift, to_pointer):
        return None
    entries = int(to_pointer[-1])
    found = column.new_empty(entries), value.new_empty(entries)
    given = _places(pointer, column, value, rows)
    kernels().select_rows(*given, len(rows), *_places(shift, to_pointer, *found))
    return found


def native_transposition(pointer: Tensor, column: Tensor, columns: int) -> Rows:
    """Row pointer and columns of a transposed matrix, and the order of its entries; the kernels must be there."""
    found = pointer.new_empty(columns + 1), torch.empty_like(column), torch.empty_like(column)
    kernels().transpose(*_places(pointer, column), len(pointer) - 1, columns, *_places(*found))
    return found


def _readable(*tensors: Tensor) -> bool:
    plain = all(each.is_cpu and each.dtype is torch.int64 and each.is_contiguous() for each in tensors)
    return plain and wanted() != "torch" and library() is not None


def _places(*tensors: Tensor) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]
