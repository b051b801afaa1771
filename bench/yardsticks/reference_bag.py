"""The kernel of the reference runtimes, apart from `gnn.layers` on purpose: what is slower there must show here."""

import torch
from torch import Tensor
from torch.nn import functional

Bag = tuple[Tensor, Tensor, Tensor]


def bag(column: Tensor, pointer: Tensor, value: Tensor, table: Tensor) -> Tensor:
    """out[i] = sum over pointer[i] <= e < pointer[i + 1] of value[e] * table[column[e]].

    Shapes: column and value [entries], pointer [bags + 1], table [rows, width] -> [bags, width].
    """
    return functional.embedding_bag(
        column, table, pointer, per_sample_weights=value, mode="sum", include_last_offset=True
    )


def bag_of(row: Tensor, column: Tensor, value: Tensor, rows: int) -> Bag:
    """Column, row pointer and value of a sparse matrix from its coordinates [entries] in any order."""
    order = torch.argsort(row * (int(column.max()) + 1 if len(column) else 1) + column, stable=True)
    pointer = functional.pad(torch.bincount(row, minlength=rows).cumsum(0), (1, 0))
    return column[order], pointer, value[order]
