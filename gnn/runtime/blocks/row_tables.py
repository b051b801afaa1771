"""A row of numbers for each node, in memory or in a memory map of which little is resident at a time."""

import mmap
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from gnn.layers import CsrMatrix

# Of a memory map, so many bytes are resident between two releases; a limit of some MiB holds only if they are few.
WINDOW_BYTES = 2**19


@dataclass(frozen=True)
class MemoryRows:
    """Rows that are in memory, [rows, width]; those of a sparse matrix become dense where they are read."""

    rows: Tensor | CsrMatrix

    @property
    def resident(self) -> Tensor | None:
        """All rows, where they can be read in any order at no cost."""
        return self.rows if isinstance(self.rows, Tensor) else None

    def block(self, start: int, stop: int) -> Tensor:
        """The rows from start to stop."""
        return self.rows[start:stop] if isinstance(self.rows, Tensor) else row_block(self.rows, start, stop).to_dense()

    def per_table(self, tables: int) -> "MemoryRows":
        """The same numbers as so many rows for each."""
        return MemoryRows(self.rows.reshape(len(self.rows) * tables, -1)) if isinstance(self.rows, Tensor) else self

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.rows) if isinstance(self.rows, Tensor) else self.rows.shape[0]

    @property
    def width(self) -> int:
        """How long a row is."""
        return self.rows.shape[1]


@dataclass(frozen=True)
class MappedRows:
    """Rows in a memory map, [rows, width], that is left as soon as they are copied."""

    array: np.ndarray[Any, Any]

    resident = None

    @property
    def count(self) -> int:
        """How many rows there are."""
        return len(self.array)

    @property
    def width(self) -> int:
        """How long a row is."""
        return self.array.shape[1]

    @property
    def _window(self) -> int:
        return max(1, WINDOW_BYTES // max(1, self.array.itemsize * self.array.shape[1]))

    def block(self, start: int, stop: int) -> Tensor:
        """The rows from start to stop."""
        out = np.empty((stop - start, self.array.shape[1]), np.float32)
        for first in range(start, stop, self._window):
            last = min(first + self._window, stop)
            out[first - start : last - start] = self.array[first:last]
            release(self.array)
        return torch.from_numpy(out)

    def gather(self, index: Tensor) -> Tensor:
        """The rows of an ascending index [rows]."""
        out = np.empty((len(index), self.array.shape[1]), np.float32)
        window, rows = self._window, index.numpy()
        for first, last in pairwise(np.searchsorted(rows, np.arange(0, len(self.array) + window, window)).tolist()):
            if last > first:
                np.take(self.array, rows[first:last], axis=0, out=out[first:last], mode="clip")
                release(self.array)
        return torch.from_numpy(out)

    def per_table(self, tables: int) -> "MappedRows":
        """The same numbers as so many rows for each."""
        return MappedRows(self.array.reshape(len(self.array) * tables, -1))


Rows = MemoryRows | MappedRows


def row_block(matrix: CsrMatrix, start: int, stop: int) -> CsrMatrix:
    """The rows of a sparse matrix from start to stop."""
    first, last = int(matrix.row_pointer[start]), int(matrix.row_pointer[stop])
    pointer = matrix.row_pointer[start : stop + 1] - first
    return CsrMatrix(pointer, matrix.column[first:last], matrix.value[first:last], (stop - start, matrix.shape[1]))


def raw(array: np.ndarray[Any, Any]) -> memoryview:
    """The bytes of a contiguous array, for whoever writes them."""
    return memoryview(cast(Any, array)).cast("B") if array.size else memoryview(b"")


def release(array: np.ndarray[Any, Any]) -> None:
    """Let the system take back the pages of a memory map; they are read again from the file.

    What is no `numpy.memmap` may be in no file, and neither are the changes of one that is copied on write.
    """
    of_file, base = False, cast(Any, array)
    while isinstance(base, np.ndarray):
        of_file = isinstance(base, np.memmap) and base.mode != "c"
        base = base.base
    if of_file and isinstance(base, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        base.madvise(mmap.MADV_DONTNEED)
