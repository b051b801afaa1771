"""Rows of sparse matrices and their transpositions in compiled kernels; `gnn.layers` has the same in PyTorch."""

import torch
from torch import Tensor

from gnn.layers.csr_matrix import CsrMatrix
from gnn.native.library import kernels, library, wanted


def native_rows(
    matrix: CsrMatrix, rows: Tensor, to_pointer: Tensor, number: Tensor | None, shift: Tensor | None
) -> tuple[Tensor, Tensor] | None:
    """Columns and values of some rows of a matrix, as `gnn.layers.row_selection` says; None without kernels.

    `to_pointer` says where each selected row begins and ends.
    """
    pointer, column, value = matrix.row_pointer, matrix.column, matrix.value
    whole = [each for each in (pointer, column, rows, to_pointer, number, shift) if each is not None]
    fit = all(each.is_cpu and each.dtype is torch.int64 and each.is_contiguous() for each in whole)
    if not fit or value.dtype is not torch.float32 or not value.is_contiguous() or value.requires_grad:
        return None
    if wanted() == "torch" or library() is None:
        return None
    entries = int(to_pointer[-1])
    to_column, to_value = column.new_empty(entries), value.new_empty(entries)
    moves = (None if each is None else each.data_ptr() for each in (number, shift))
    kernels().select_rows(
        *_places(pointer, column, value, rows), len(rows), *moves, *_places(to_pointer, to_column, to_value)
    )
    return to_column, to_value


def native_transposition(pointer: Tensor, column: Tensor, shape: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
    """Row pointer and columns of a transposed matrix, and the order of its entries; the kernels must be there."""
    found = pointer.new_empty(shape[1] + 1), torch.empty_like(column), torch.empty_like(column)
    kernels().transpose(*_places(pointer, column), *shape, *_places(*found))
    return found


def _places(*tensors: Tensor) -> list[int]:
    return [tensor.data_ptr() for tensor in tensors]
