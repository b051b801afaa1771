"""Rows that are equal, found exactly: colours as Weisfeiler and Leman refine them."""

from dataclasses import dataclass

import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers import CsrMatrix
from gnn.native.library import library, wanted

# Odd 64-bit factors, as signed numbers (Steele et al., Fast splittable pseudorandom number generators).
_FACTORS = (0x7FB5D329728EA185, -0x7E25210B43D22BB3, -0x61C8864680B583EB)

# How many bits of a hash the kernels look at before they compare.
HASH_BITS = 64


@dataclass(frozen=True, eq=False)
class Colours:
    """A partition of rows into colours, which are numbered in the order of their first rows.

    Shapes: of_row [rows] int64, the colour of each row; first [colours] int64, the first row of each colour.
    """

    of_row: Tensor
    first: Tensor

    def __len__(self) -> int:
        return len(self.first)


def equal_rows(*tables: Tensor) -> Colours:
    """One colour for rows whose bytes are equal in every table, so that NaN may equal NaN, and 0.0 is not -0.0.

    Raises `SettingError` where two rows that differ have one hash. Shapes: tables [rows, channels].
    """
    words = torch.cat([_words(table) for table in tables], dim=1)
    kernels = library() if words.is_cpu and wanted() != "torch" else None
    if kernels is None:
        return plain_equal_rows(words)
    room = _Room(len(words))
    kernels.equal_rows(words.data_ptr(), len(words), words.shape[1], HASH_BITS, *room.pointers)
    return room.colours()


def plain_equal_rows(words: Tensor) -> Colours:
    """The same in PyTorch, for rows of words [rows, words]."""
    place = torch.arange(1, words.shape[1] + 1, device=words.device) * _FACTORS[2]
    found = _numbered(_mixed(words + place).sum(1))
    if not torch.equal(words, words[found.first][found.of_row]):
        raise SettingError("two rows that differ have the same hash")
    return found


def refine(own: Colours, read: Colours, matrix: CsrMatrix, tables: int = 1) -> Colours:
    """One colour for rows of one own colour that read the same values of the same colours, as often.

    With `tables` > 1 a column of the matrix is one of so many places of a row that is read. Raises `SettingError` where
    two rows that differ have one hash. Shapes: matrix (rows, rows * tables), its values FP32.
    """
    if matrix.value.dtype is not torch.float32 or matrix.value.requires_grad:
        raise SettingError(f"the values of an operator are {matrix.value.dtype} or learn")
    kernels = library() if matrix.value.is_cpu and wanted() != "torch" else None
    if kernels is None:
        return plain_refine(own, read, matrix, tables)
    pointer, column, value = matrix.compact
    room, entry = _Room(len(own.of_row)), torch.empty(len(column), dtype=torch.int64)
    graph = (pointer.data_ptr(), column.data_ptr(), value.data_ptr(), len(own.of_row), tables)
    colours = (own.of_row.data_ptr(), read.of_row.data_ptr())
    kernels.refine(*graph, *colours, HASH_BITS, entry.data_ptr(), *room.pointers)
    return room.colours()


def plain_refine(own: Colours, read: Colours, matrix: CsrMatrix, tables: int = 1) -> Colours:
    """The same in PyTorch."""
    pointer = matrix.row_pointer
    # A column's colour and the bits of its value in one number, which so is exact.
    entry = _columns(matrix.column, read, tables) << 32 | matrix.value.view(torch.int32).long() & 0xFFFFFFFF
    total = torch.cat([pointer.new_zeros(1), _mixed(entry).cumsum(0)])[pointer].diff()
    found = _numbered(_mixed(own.of_row * _FACTORS[2] + total))
    if not _reads_the_same(found, own, pointer, matrix.row, entry):
        raise SettingError("two rows that differ have the same hash")
    return found


class _Room:
    """Where a kernel writes the colours of so many rows, and where it looks for them."""

    def __init__(self, rows: int) -> None:
        slots = 2 << max(1, rows).bit_length()
        self._tensors = [torch.empty(size, dtype=torch.int64) for size in (rows, slots, rows, rows, 1)]
        hashed, table, *found = (tensor.data_ptr() for tensor in self._tensors)
        self.pointers = (hashed, table, slots, *found)

    def colours(self) -> Colours:
        """What was found."""
        *_, of_row, first, count = self._tensors
        return Colours(of_row, first[: int(count)].clone())


def quotient(matrix: CsrMatrix, given: Colours | None, read: Colours, tables: int = 1) -> CsrMatrix:
    """The matrix with a row per colour that it gives, or every row where that is None, and a column per colour read."""
    pointer, column, value = matrix.row_pointer, matrix.column, matrix.value
    if given is not None:
        start = pointer[given.first]
        count = pointer[given.first + 1] - start
        pointer = torch.cat([pointer.new_zeros(1), count.cumsum(0)])
        entry = torch.repeat_interleave(start - pointer[:-1], count) + torch.arange(
            int(pointer[-1]), device=pointer.device
        )
        column, value = column[entry], value[entry]
    rows = matrix.shape[0] if given is None else len(given)
    return CsrMatrix(pointer, _columns(column, read, tables), value, (rows, len(read) * tables))


def _columns(column: Tensor, read: Colours, tables: int) -> Tensor:
    if tables == 1:
        return read.of_row[column]
    return read.of_row[column // tables] * tables + column % tables


def _words(table: Tensor) -> Tensor:
    """The bytes of each row as whole numbers, [rows, words]."""
    if table.element_size() < 4:
        table = table.to(torch.int32 if not table.is_floating_point() else torch.float32)
    return table.contiguous().view(torch.int32) if table.numel() else table.new_zeros(len(table), 1, dtype=torch.int32)


def _mixed(number: Tensor) -> Tensor:
    """A hash of each number, not 0 for 0; integers wrap around."""
    number = number + _FACTORS[2]
    for factor in _FACTORS[:2]:
        number = (number ^ number >> 29) * factor
    return number ^ number >> 32


def _numbered(hashed: Tensor) -> Colours:
    """A colour for each hash."""
    values, inverse = torch.unique(hashed, return_inverse=True)
    row = torch.arange(len(hashed), device=hashed.device)
    first = torch.full_like(values, len(hashed)).scatter_reduce_(0, inverse, row, "amin")
    order = first.argsort()
    number = torch.empty_like(order)
    number[order] = row[: len(order)]
    return Colours(number[inverse], first[order])


def _reads_the_same(found: Colours, own: Colours, pointer: Tensor, row: Tensor, entry: Tensor) -> bool:
    """Whether each row has the own colour and the entries [entries], in any order, of its colour's first row."""
    counts, first = pointer.diff(), found.first[found.of_row]
    if not torch.equal(counts, counts[first]) or not torch.equal(own.of_row, own.of_row[first]):
        return False
    order = entry.argsort()
    ordered = entry[order[row[order].argsort(stable=True)]]
    there = (pointer[first] - pointer[:-1])[row] + torch.arange(len(row), device=row.device)
    return torch.equal(ordered, ordered[there])
