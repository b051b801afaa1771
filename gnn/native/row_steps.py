"""What rows go through in a program: how each step is in PyTorch, and how compiled kernels see it."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers import CsrMatrix, bag_sum
from gnn.native.activations import Activation
from gnn.native.aggregation import aggregate
from gnn.native.library import kernels

# No scale or shift of a step is larger: kernels look for what is not finite in what is read alone.
LARGEST_NUMBER = 1e6
# What kernels read by channel is filled up to a multiple of this.
PADDING = 32
LARGEST_CODE = 255
# Sums of products of codes, and what is taken off for their zeros, stay within 32 bits up to so many terms.
MOST_TERMS = (2**31 - 1) // (2 * LARGEST_CODE**2)
BYTES_IN_A_WORD = 4
# The kinds of steps and the parts of a change that kernels know; what reads bytes follows upon what reads numbers.
READ, ADD, SUM, MULTIPLY, CHANGE, ACTIVATE, WRITE = 0, 2, 4, 6, 7, 8, 9
PLUS, FIRST, SCALED = 1, 2, 4


class Grid(Protocol):
    """The numbers (code - zero_point) * scale for whole codes from `lowest` to `highest`, at most 256 of them."""

    @property
    def scale(self) -> float:
        """One step."""
        ...

    @property
    def zero_point(self) -> float:
        """The code of 0."""
        ...

    @property
    def lowest(self) -> float:
        """The first code."""
        ...

    @property
    def highest(self) -> float:
        """The last code."""
        ...

    def codes(self, values: Tensor) -> Tensor:
        """The nearest codes, in FP32."""
        ...

    def values(self, codes: Tensor) -> Tensor:
        """What codes in FP32 stand for; they are overwritten."""
        ...


class NotFiniteError(SettingError):
    """Raised for numbers that have no code."""


def to_bytes(values: Tensor, grid: Grid) -> Tensor:
    """The nearest codes of a grid, counted from the lowest, as uint8; raises `NotFiniteError` where there are none."""
    if not values.sum().isfinite():
        raise NotFiniteError("NaN or infinite activations cannot be quantized; check the features and the weights")
    return grid.codes(values).sub_(grid.lowest).to(torch.uint8)


def from_bytes(codes: Tensor, grid: Grid) -> Tensor:
    """The numbers that such bytes stand for."""
    return grid.values(codes.float().add_(grid.lowest))


@dataclass(frozen=True, eq=False)
class Entries:
    """A sparse matrix with whole numbers as its values, and the same as int32, None where all of them are one.

    Without `exact`, they are not whole, or the sums of some row may leave what kernels hold.
    """

    matrix: CsrMatrix
    whole: Tensor | None
    exact: bool

    @classmethod
    def of(cls, matrix: CsrMatrix, codes: Tensor) -> "Entries":
        """A matrix with codes [entries], whole numbers in FP32, in place of its values."""
        longest = int(matrix.row_pointer.diff().max()) if matrix.shape[0] else 0
        largest = float(codes.abs().max()) if len(codes) else 0.0
        exact = bool((codes == codes.round()).all()) and longest * largest <= MOST_TERMS * LARGEST_CODE
        whole = None if bool((codes == 1).all()) or not exact else codes.to(torch.int32)
        return cls(replace(matrix, value=codes), whole, exact)


class Fields(ctypes.Structure):
    """A step as kernels see it."""

    class Grid(ctypes.Structure):
        """A grid as kernels see it."""

        _fields_ = tuple((name, ctypes.c_float) for name in ("inverse", "zero", "lowest", "highest", "scale"))

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("kind", "width", "parts", "activation")),
        *((name, ctypes.c_void_p) for name in ("data", "plus", "scale", "shift", "unit", "zero", "offset", "table")),
        *((name, ctypes.c_void_p) for name in ("pointer", "column", "value")),
        ("first", Grid),
        ("grid", Grid),
        ("alpha", ctypes.c_float),
    )


def grid_of_numbers(grid: Grid) -> Fields.Grid:
    """A grid for what becomes codes."""
    return Fields.Grid(1.0 / grid.scale, grid.zero_point, grid.lowest, grid.highest, grid.scale)


def grid_of_bytes(grid: Grid, scale: float) -> Fields.Grid:
    """A grid for bytes, which count from the lowest code, and what is multiplied with when they are read."""
    return Fields.Grid(1.0, grid.zero_point - grid.lowest, grid.lowest, grid.highest, scale)


class Step:
    """One step of a program.

    `reads` is how many arguments of the program's call it takes. What is done to each number by itself has no `kind`
    but `parts`, which kernels do on the way.
    """

    reads: ClassVar[int] = 0

    @property
    def numbers(self) -> list[Tensor]:
        """What numbers of rows are multiplied with or have added."""
        return [held for held in vars(self).values() if isinstance(held, Tensor) and held.is_floating_point()]

    def plain(self, rows: Tensor, *given: Any) -> Tensor:  # noqa: ANN401
        """The step in PyTorch."""
        raise NotImplementedError

    def fields(self) -> dict[str, Any]:
        """What kernels are told whatever the call."""
        raise NotImplementedError


@dataclass(frozen=True)
class Read(Step):
    """Rows [rows, width] of the call, or with a grid their bytes; `adds` them to what there is."""

    reads = 1
    grid: Grid | None = None
    adds: bool = False

    def plain(self, rows: Tensor, *given: Any) -> Tensor:  # noqa: ANN401
        """Take them over, or add."""
        read = given[0] if self.grid is None else from_bytes(given[0], self.grid)
        return rows + read if self.adds else read

    def fields(self) -> dict[str, Any]:
        """The kind, and the grid of bytes."""
        kind = ADD if self.adds else READ
        return (
            {"kind": kind}
            if self.grid is None
            else {"kind": kind + 1, "grid": grid_of_bytes(self.grid, self.grid.scale)}
        )


@dataclass(frozen=True, eq=False)
class Sum(Step):
    """Sums over the entries of a matrix of rows of a table, which are two arguments of the call.

    With a grid the table is bytes and the matrix `Entries`, and the sum of whole numbers is multiplied with `scale`.
    """

    reads = 2
    grid: Grid | None = None
    scale: float = 1.0

    def plain(self, rows: Tensor, *given: Any) -> Tensor:  # noqa: ANN401, ARG002
        """Sum up, in whatever way the matrix does."""
        table, matrix = given
        if self.grid is None:
            return aggregate(matrix, table) if isinstance(matrix, CsrMatrix) else matrix @ table
        whole = table.float().sub_(self.grid.zero_point - self.grid.lowest)
        if not isinstance(matrix, Entries):
            return (matrix @ whole).mul_(self.scale)
        of_whole = matrix.matrix
        return bag_sum(of_whole.row_pointer, of_whole.column, of_whole.value, whole).mul_(self.scale)

    def fields(self) -> dict[str, Any]:
        """The kind, and the grid of bytes."""
        return {"kind": SUM} if self.grid is None else {"kind": SUM + 1, "grid": grid_of_bytes(self.grid, self.scale)}


@dataclass(frozen=True, eq=False)
class Multiply(Step):
    """The product of the codes of rows with whole numbers [in, out], times a scale [out] or [1].

    `own` is the same in PyTorch.
    """

    grid: Grid
    weight: Tensor
    scale: Tensor
    own: Callable[[Any], Tensor]

    def plain(self, rows: Tensor, *given: Any) -> Tensor:  # noqa: ANN401, ARG002
        """Quantize and multiply."""
        return self.own(rows)

    @cached_property
    def parts(self) -> dict[str, Tensor]:
        """The weight in panels, what is added for the zero of the rows' codes and, for bytes, how far it was moved."""
        group, zero = kernels().integer_group(), int(self.grid.zero_point - self.grid.lowest)
        weight = self.weight.long()
        channels, outputs = weight.shape
        moved = torch.zeros(outputs, dtype=torch.int64)
        if group == BYTES_IN_A_WORD:
            moved = (weight.amax(0) - 127).clamp(min=0) + (weight.amin(0) + 128).clamp(max=0)
        lanes, narrow = kernels().panel_width(), torch.int8 if group == BYTES_IN_A_WORD else torch.int16
        whole = weight.new_zeros(-(-channels // group) * group, -(-outputs // PADDING) * PADDING)
        whole[:channels, :outputs] = weight - moved
        panels = whole.view(-1, group, whole.shape[1] // lanes, lanes).permute(2, 0, 3, 1)
        of_zero = (-zero * weight.sum(0)).to(torch.int32)
        parts = {"data": panels.to(narrow).contiguous(), "zero": _filled(of_zero)}
        parts["unit"] = _filled(self.scale.expand(outputs))
        return parts | ({"offset": _filled(moved.to(torch.int32))} if moved.any() else {})

    def fields(self) -> dict[str, Any]:
        """The kind, the grid and the weight."""
        places = {name: part.data_ptr() for name, part in self.parts.items()}
        return {"kind": MULTIPLY, "grid": grid_of_numbers(self.grid), **places}


@dataclass(frozen=True, eq=False)
class ByChannel(Step):
    """x scale + shift, both [channels]; without a scale x + shift."""

    scale: Tensor | None
    shift: Tensor

    def plain(self, rows: Tensor, *given: Any) -> Tensor:  # noqa: ANN401, ARG002
        """Scale and add."""
        return rows + self.shift if self.scale is None else (rows * self.scale).add_(self.shift)

    @cached_property
    def parts(self) -> list[Tensor]:
        """The shift and the scale as kernels read them."""
        return [_filled(part) for part in (self.shift, self.scale) if part is not None]

    def fields(self) -> dict[str, Any]:
        """What is by channel."""
        shift, *scale = [part.data_ptr() for part in self.parts]
        return {"parts": SCALED, "shift": shift, "scale": scale[0]} if scale else {"parts": PLUS, "plus": shift}


@dataclass(frozen=True, eq=False)
class Activate(Step):
    """ReLU or ELU."""

    activation: Activation

    def plain(self, rows: Tensor, *given: Any) -> Tensor:  # noqa: ANN401, ARG002
        """Activate a copy."""
        return self.activation.in_place(rows.clone())

    def fields(self) -> dict[str, Any]:
        """The kind and the activation."""
        return {"kind": ACTIVATE, "activation": self.activation.number, "alpha": self.activation.alpha}


@dataclass(frozen=True, eq=False)
class Quantize(Step):
    """The nearest numbers of a grid."""

    grid: Grid

    def plain(self, rows: Tensor, *given: Any) -> Tensor:  # noqa: ANN401, ARG002
        """Quantize and dequantize."""
        return self.grid.values(self.grid.codes(rows))

    def fields(self) -> dict[str, Any]:
        """The grid."""
        return {"parts": FIRST, "first": grid_of_numbers(self.grid)}


def _filled(values: Tensor) -> Tensor:
    filled = values.new_zeros(-(-len(values) // PADDING) * PADDING)
    filled[: len(values)] = values
    return filled
