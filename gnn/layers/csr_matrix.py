"""Sparse matrices whose products run as embedding bags, forwards and backwards."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gnn.errors import SettingError


@dataclass(frozen=True, eq=False)
class CsrMatrix:
    """A sparse matrix in compressed sparse row form.

    `torch.sparse` has one too, but on one core its product is 1.7 to 4.8 times slower than the embedding
    bag used here, and its layout still warns that it is a beta.

    Shapes: row_pointer [rows + 1] int64; column [nonzeros] int64; value [nonzeros] float; shape (rows, columns).
    """

    row_pointer: Tensor
    column: Tensor
    value: Tensor
    shape: tuple[int, int]

    @classmethod
    def from_coordinates(cls, row: Tensor, column: Tensor, value: Tensor, shape: tuple[int, int]) -> "CsrMatrix":
        """Sort coordinates [nonzeros] into rows; equal coordinates stay apart and add up in products."""
        order = torch.argsort(row * shape[1] + column, stable=True)
        return cls(_pointer(row, shape[0]), column[order], value[order], shape)

    @cached_property
    def row(self) -> Tensor:
        """The row of every entry, [nonzeros]."""
        counts = self.row_pointer.diff()
        return torch.repeat_interleave(torch.arange(self.shape[0], device=counts.device), counts)

    @cached_property
    def transposition(self) -> tuple[Tensor, Tensor, Tensor]:
        """Row pointer and columns of the transposed matrix, and the order its entries have in this one."""
        row = self.row
        order = torch.argsort(self.column * self.shape[0] + row, stable=True)
        return _pointer(self.column, self.shape[1]), row[order], order

    @cached_property
    def compact(self) -> tuple[Tensor, Tensor, Tensor]:
        """Row pointer and columns as int32, and values, as kernels read them without looking.

        Raises `SettingError` for an entry outside the matrix.
        """
        pointer, column = self.row_pointer, self.column
        entries = len(column)
        outside = entries and not 0 <= int(column.min()) <= int(column.max()) < self.shape[1]
        if outside or int(pointer[0]) or int(pointer[-1]) != entries or bool((pointer.diff() < 0).any()):
            raise SettingError(f"a matrix {self.shape} has entries outside of it; give columns below {self.shape[1]}")
        return pointer.to(torch.int32), column.to(torch.int32), self.value.contiguous()

    def with_value(self, value: Tensor) -> "CsrMatrix":
        """The same pattern with other values [nonzeros]; both share one transposition, computed once."""
        other = replace(self, value=value)
        other.__dict__["transposition"] = self.transposition
        return other

    def keep_columns(self, kept: Tensor) -> "CsrMatrix":
        """The matrix without the columns where `kept` [columns] is False; the others move together."""
        entry_kept = kept[self.column]
        renumbered = kept.cumsum(0) - 1
        columns = int(kept.sum())
        pointer = _pointer(self.row[entry_kept], self.shape[0])
        return CsrMatrix(pointer, renumbered[self.column[entry_kept]], self.value[entry_kept], (self.shape[0], columns))

    def to(self, device: torch.device | str) -> "CsrMatrix":
        """The matrix on another device."""
        return CsrMatrix(self.row_pointer.to(device), self.column.to(device), self.value.to(device), self.shape)

    def to_dense(self) -> Tensor:
        """The matrix [rows, columns] with its zeros; equal coordinates are added up."""
        dense = self.value.new_zeros(self.shape)
        return dense.index_put((self.row, self.column), self.value, accumulate=True)

    def __matmul__(self, dense: Tensor) -> Tensor:
        """Product with a dense matrix [columns, width] -> [rows, width], differentiable in both."""
        return _SparseProduct.apply(self, self.value, dense)  # pyright: ignore[reportReturnType]


def _pointer(index: Tensor, size: int) -> Tensor:
    pointer = index.new_zeros(size + 1)
    pointer[1:] = torch.bincount(index, minlength=size).cumsum(0)
    return pointer


def pointer_of(sizes: Tensor) -> Tensor:
    """Where each of consecutive parts of these sizes begins, and where the last one ends, [parts + 1]."""
    return torch.cat([sizes.new_zeros(1), sizes.cumsum(0)])


def ranges(start: Tensor, count: Tensor) -> Tensor:
    """The numbers start[i], ..., start[i] + count[i] - 1 of every i, one after the other."""
    before = count.cumsum(0) - count
    return torch.arange(int(count.sum()), device=count.device) + torch.repeat_interleave(start - before, count)


def bag_sum(pointer: Tensor, index: Tensor, weight: Tensor, table: Tensor) -> Tensor:
    """Weighted sums of rows of a table.

    out[i] = sum over pointer[i] <= e < pointer[i + 1] of weight[e] * table[index[e]]

    Shapes: pointer [bags + 1], index and weight [entries], table [rows, width] -> [bags, width].
    """
    # The kernel is ten times slower on a table whose rows are not contiguous. functional.embedding_bag only checks its
    # arguments before it calls this one, which takes as long as a small sum: mode 0, a last offset in the pointer.
    return torch.embedding_bag(table.contiguous(), index, pointer, False, 0, False, weight, True)[0]


class _SparseProduct(torch.autograd.Function):
    """The gradient is written out because PyTorch's own embedding-bag gradient scatters row by row."""

    @staticmethod
    def forward(ctx: Any, matrix: CsrMatrix, value: Tensor, dense: Tensor) -> Tensor:  # noqa: ANN401
        ctx.matrix = matrix
        ctx.save_for_backward(value, dense)
        return bag_sum(matrix.row_pointer, matrix.column, value, dense)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor | None, Tensor | None]:  # noqa: ANN401
        value, dense = ctx.saved_tensors
        matrix: CsrMatrix = ctx.matrix
        gradient = gradients[0].contiguous()
        of_value = of_dense = None
        if ctx.needs_input_grad[1]:
            of_value = (gradient[matrix.row] * dense[matrix.column]).sum(1)
        if ctx.needs_input_grad[2]:
            pointer, column, order = matrix.transposition
            of_dense = bag_sum(pointer, column, value.index_select(0, order), gradient)
        return None, of_value, of_dense
