"""Some of the blocks of a matrix that is made of square blocks along its diagonal, as the one of many graphs is."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gnn.layers.csr_matrix import CsrMatrix, pointer_of, ranges
from gnn.native.selection import native_rows, native_transposition


@dataclass(frozen=True, eq=False)
class Blocks:
    """Blocks that were chosen, in their order; one may be chosen several times.

    Shapes: pointer [all blocks + 1], block i owns the rows and columns pointer[i] to pointer[i + 1]; chosen [blocks].
    """

    pointer: Tensor
    chosen: Tensor

    @cached_property
    def first(self) -> Tensor:
        """The first row of every chosen block among all rows, [blocks]."""
        return self.pointer[self.chosen]

    @cached_property
    def sizes(self) -> Tensor:
        """How many rows every chosen block has, [blocks]."""
        return self.pointer[self.chosen + 1] - self.first

    @cached_property
    def row_pointer(self) -> Tensor:
        """Where the rows of every chosen block begin when they stand one after the other, [blocks + 1]."""
        return pointer_of(self.sizes)

    @cached_property
    def rows(self) -> Tensor:
        """The numbers of the chosen rows among all rows, [rows]."""
        return ranges(self.first, self.sizes)

    def of(self, whole: CsrMatrix) -> CsrMatrix:
        """The matrix of the chosen blocks.

        Compiled kernels give its transposition as well: a batch is trained on once, and sorting its entries takes
        longer than a sum over them.
        """
        start = whole.row_pointer.index_select(0, self.rows)
        count = whole.row_pointer.index_select(0, self.rows + 1).sub_(start)
        shift = torch.repeat_interleave(self.row_pointer[:-1] - self.first, self.sizes)
        pointer, rows = pointer_of(count), len(self.rows)
        found = native_rows((whole.row_pointer, whole.column, whole.value), self.rows, shift, pointer)
        if found is None:
            entry = ranges(start, count)
            column = whole.column.index_select(0, entry) + torch.repeat_interleave(shift, count)
            return CsrMatrix(pointer, column, whole.value.index_select(0, entry), (rows, rows))
        matrix = CsrMatrix(pointer, *found, (rows, rows))
        matrix.__dict__["transposition"] = native_transposition(pointer, matrix.column, rows)
        return matrix
