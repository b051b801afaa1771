"""Some of the blocks of a matrix that is made of square blocks along its diagonal, as the one of many graphs is."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from gnn.layers.csr_matrix import CsrMatrix, pointer_of, ranges
from gnn.layers.row_selection import select_rows


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
        """The matrix of the chosen blocks."""
        shift = torch.repeat_interleave(self.row_pointer[:-1] - self.first, self.sizes)
        return select_rows(whole, self.rows, len(self.rows), shift=shift)
