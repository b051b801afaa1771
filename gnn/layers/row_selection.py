"""Some rows of a sparse matrix whose entries move to other columns, as those of a batch do."""

import torch
from torch import Tensor

from gnn.layers.csr_matrix import CsrMatrix, pointer_of, ranges
from gnn.native.selection import native_rows, native_transposition


def select_rows(
    matrix: CsrMatrix, rows: Tensor, columns: int, *, number: Tensor | None = None, shift: Tensor | None = None
) -> CsrMatrix:
    """Some rows of a matrix, with an entry in column c of row i at number[c], if that is given, or at c + shift[i].

    Compiled kernels give the transposition as well, without sorting: a batch is trained on once, and sorting its
    entries takes longer than a sum over them.

    Shapes: matrix (all rows, all columns); rows and shift [selected]; number [all columns] -> (selected, columns).
    """
    start = matrix.row_pointer.index_select(0, rows)
    count = matrix.row_pointer.index_select(0, rows + 1).sub_(start)
    pointer, shape = pointer_of(count), (len(rows), columns)
    native = native_rows(matrix, rows, pointer, number, shift)
    if native is not None:
        selected = CsrMatrix(pointer, *native, shape)
        selected.__dict__["transposition"] = native_transposition(pointer, selected.column, shape)
        return selected
    entry = ranges(start, count)
    column = matrix.column.index_select(0, entry)
    if number is not None:
        column = number.index_select(0, column)
    if shift is not None:
        column = column + torch.repeat_interleave(shift, count)
    return CsrMatrix(pointer, column, matrix.value.index_select(0, entry), shape)
