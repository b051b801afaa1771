"""Programs of rows: products and sums of whole numbers, and what stands between them, as one pass over the rows."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import takewhile
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.layers import CsrMatrix, bag_sum
from gnn.native.activations import Activation
from gnn.native.aggregation import aggregate, maximum, require_rows
from gnn.native.fastest import fastest, rows_class
from gnn.native.library import kernels, library
from gnn.native.tensors import taken

# What kernels read by channel is filled up to a multiple of this.
PADDING = 32
LARGEST_CODE = 255
# Sums of products of codes, and what is taken off for their zeros, stay within 32 bits up to so many terms.
MOST_TERMS = (2**31 - 1) // (2 * LARGEST_CODE**2)
NOT_FINITE = 2


class Grid(Protocol):
    """The numbers (code - zero_point) * scale for whole codes from `lowest` to `highest`, at most 256 of them."""

    @property
    def scale(self) -> float: ...
    @property
    def zero_point(self) -> float: ...
    @property
    def lowest(self) -> float: ...
    @property
    def highest(self) -> float: ...

    def codes(self, values: Tensor) -> Tensor:
        """The nearest codes, in FP32."""
        ...

    def values(self, codes: Tensor) -> Tensor:
        """What codes in FP32 stand for; they are overwritten."""
        ...


def to_bytes(values: Tensor, grid: Grid) -> Tensor:
    """The nearest codes of a grid, counted from the lowest, as uint8; raises `SettingError` for what is not finite."""
    if not values.sum().isfinite():
        raise _not_finite()
    return grid.codes(values).sub_(grid.lowest).to(torch.uint8)


def from_bytes(codes: Tensor, grid: Grid) -> Tensor:
    """The numbers that such bytes stand for."""
    return grid.values(codes.float().add_(grid.lowest))


def _not_finite() -> SettingError:
    return SettingError("NaN or infinite activations cannot be quantized; check the features and the weights")


@dataclass(frozen=True, eq=False)
class Entries:
    """A sparse matrix whose entries a program multiplies with: `whole` numbers int32, None where all are one.

    Without `exact`, the sums of some row may leave what kernels hold.
    """

    matrix: CsrMatrix
    whole: Tensor | None
    exact: bool = True

    @classmethod
    def of(cls, matrix: CsrMatrix, codes: Tensor) -> "Entries":
        """A matrix with codes [entries], whole numbers in FP32, in place of its values."""
        longest = int(matrix.row_pointer.diff().max()) if matrix.shape[0] else 0
        largest = float(codes.abs().max()) if len(codes) else 0.0
        exact = bool((codes == codes.round()).all()) and longest * largest <= MOST_TERMS * LARGEST_CODE
        whole = None if bool((codes == 1).all()) or not exact else codes.to(torch.int32)
        return cls(replace(matrix, value=codes), whole, exact)


class Step:
    """One step of a program: how it is in PyTorch, and how kernels see it.

    `reads` is how many of the call's arguments it takes; `width` is that of what it gives, None for the same as before.
    """

    reads: ClassVar[int] = 0
    width: int | None = None

    def plain(self, rows: Tensor, *given: Any) -> Tensor:  # noqa: ANN401
        """The same in PyTorch."""
        raise NotImplementedError

    def described(self) -> dict[str, Any]:
        """The fields of the kernel's step that are the same for every call."""
        raise NotImplementedError


@dataclass(frozen=True)
class Read(Step):
    """Rows [rows, width] of the call, or with a grid their bytes; `adds` them to what there is."""

    reads = 1
    grid: Grid | None = None
    adds: bool = False
    width: int | None = None

    def plain(self, rows: Tensor, *given: Any) -> Tensor:  # noqa: ANN401
        read = given[0] if self.grid is None else from_bytes(given[0], self.grid)
        return rows + read if self.adds else read

    def described(self) -> dict[str, Any]:
        kind = (_ADD if self.adds else _READ) + (self.grid is not None)
        return {"kind": kind} | ({} if self.grid is None else {"grid": _grid(self.grid, scale=self.grid.scale)})


@dataclass(frozen=True, eq=False)
class Sum(Step):
    """Sums over the entries of a matrix of rows of a table, two arguments of the call.

    With a grid the table is bytes and the matrix `Entries`, and the sum of whole numbers is multiplied with `scale`.
    """

    reads = 2
    grid: Grid | None = None
    scale: float = 1.0
    width: int | None = None

    def plain(self, rows: Tensor, *given: Any) -> Tensor:  # noqa: ANN401, ARG002
        table, entries = given
        if self.grid is None:
            return aggregate(entries, table)
        whole = table.float().sub_(self.grid.zero_point - self.grid.lowest)
        matrix = entries.matrix
        return bag_sum(matrix.row_pointer, matrix.column, matrix.value, whole).mul_(self.scale)

    def described(self) -> dict[str, Any]:
        if self.grid is None:
            return {"kind": _SUM}
        return {"kind": _SUM + 1, "grid": _grid(self.grid, scale=self.scale)}


@dataclass(frozen=True, eq=False)
class Multiply(Step):
    """The product of a grid's codes of rows with whole numbers [in, out], times a scale for each output.

    `own` is the same in PyTorch.
    """

    grid: Grid
    weight: Tensor
    scale: Tensor
    own: Callable[[Tensor], Tensor]

    @property
    def width(self) -> int:
        return self.weight.shape[1]

    def plain(self, rows: Tensor, *given: Any) -> Tensor:  # noqa: ANN401, ARG002
        return self.own(rows)

    @cached_property
    def parts(self) -> dict[str, Tensor]:
        """The weight in panels, what is added for the zero of the input and, for bytes, what their middle is off."""
        group, zero = kernels().integer_group(), int(self.grid.zero_point - self.grid.lowest)
        weight = self.weight.long()
        middle = (weight.amax(0) - 127).clamp(min=0) + (weight.amin(0) + 128).clamp(max=0) if group > 2 else 0
        moved = weight - middle
        channels, outputs = weight.shape
        shift = -zero * (moved.sum(0) + middle * channels)
        lanes = kernels().panel_width()
        filled = moved.new_zeros(-(-channels // group) * group, -(-outputs // PADDING) * PADDING)
        filled[:channels, :outputs] = moved
        panels = filled.view(-1, group, filled.shape[1] // lanes, lanes).permute(2, 0, 3, 1)
        held = {"data": panels.to(torch.int8 if group > 2 else torch.int16).contiguous()}
        held |= {"zero": _filled(shift.to(torch.int32)), "unit": _filled(self.scale.expand(outputs))}
        return held | ({"offset": _filled(middle.to(torch.int32))} if isinstance(middle, Tensor) and middle.any() else {})

    def described(self) -> dict[str, Any]:
        places = {name: part.data_ptr() for name, part in self.parts.items()}
        return {"kind": _MULTIPLY, "grid": _grid(self.grid), **places}


@dataclass(frozen=True, eq=False)
class ByChannel(Step):
    """x scale + shift, both [channels]; without a scale x + shift."""

    scale: Tensor | None
    shift: Tensor

    def plain(self, rows: Tensor, *given: Any) -> Tensor:  # noqa: ANN401, ARG002
        return rows + self.shift if self.scale is None else (rows * self.scale).add_(self.shift)

    @cached_property
    def parts(self) -> list[Tensor]:
        """What kernels read."""
        return [_filled(part) for part in (self.shift, self.scale) if part is not None]

    def described(self) -> dict[str, Any]:
        shift, *scale = [part.data_ptr() for part in self.parts]
        return {"parts": _SCALED, "shift": shift, "scale": scale[0]} if scale else {"parts": _PLUS, "plus": shift}


@dataclass(frozen=True, eq=False)
class Activate(Step):
    """ReLU or ELU."""

    activation: Activation

    def plain(self, rows: Tensor, *given: Any) -> Tensor:  # noqa: ANN401, ARG002
        return self.activation.in_place(rows.clone())

    def described(self) -> dict[str, Any]:
        return {"kind": _ACTIVATE, "activation": self.activation.number, "alpha": self.activation.alpha}


@dataclass(frozen=True, eq=False)
class Quantize(Step):
    """The nearest numbers of a grid."""

    grid: Grid

    def plain(self, rows: Tensor, *given: Any) -> Tensor:  # noqa: ANN401, ARG002
        return self.grid.values(self.grid.codes(rows))

    def described(self) -> dict[str, Any]:
        return {"parts": _FIRST, "first": _grid(self.grid)}


_READ, _ADD, _SUM, _MULTIPLY, _CHANGE, _ACTIVATE, _WRITE = 0, 2, 4, 6, 7, 8, 9
_PLUS, _FIRST, _SCALED = 1, 2, 4


class _GridFields(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_float) for name in ("inverse", "zero", "lowest", "highest", "scale"))


class _StepFields(ctypes.Structure):
    _fields_ = (
        *((name, ctypes.c_int64) for name in ("kind", "width", "parts", "activation")),
        *((name, ctypes.c_void_p) for name in ("data", "plus", "scale", "shift", "unit", "zero", "offset", "table")),
        *((name, ctypes.c_void_p) for name in ("pointer", "column", "value")),
        ("first", _GridFields),
        ("grid", _GridFields),
        ("alpha", ctypes.c_float),
    )


def _grid(grid: Grid, scale: float | None = None) -> _GridFields:
    """A grid as kernels see it: those that read bytes count from the lowest code."""
    reads_bytes = scale is not None
    zero = grid.zero_point - grid.lowest if reads_bytes else grid.zero_point
    return _GridFields(1.0 / grid.scale, zero, grid.lowest, grid.highest, scale if reads_bytes else grid.scale)


def _filled(values: Tensor) -> Tensor:
    filled = values.new_zeros(-(-len(values) // PADDING) * PADDING)
    filled[: len(values)] = values
    return filled


class RowProgram:
    """Steps that rows go through, the first of which reads or sums up, and the grid of the bytes that are written.

    Without a grid the result is FP32. Raises `SettingError` for numbers to quantize that are not finite.
    Shapes: the result is [rows, width of the last step].
    """

    def __init__(self, steps: Sequence[Step], grid: Grid | None = None) -> None:
        self.steps, self.grid = tuple(steps), grid
        self._ways: dict[int, str] = {}
        self._fields: dict[int, _Fields | None] = {}
        # Of each argument, whether it is bytes; None for a matrix.
        self._reads = [
            kind
            for step in self.steps
            for kind in ([getattr(step, "grid", None) is not None, None][: step.reads] if step.reads else [])
        ]

    def __getstate__(self) -> dict[str, Any]:
        # Where tensors lie in memory is nothing for a copy.
        return {**vars(self), "_fields": {}}

    def __call__(self, *given: Any) -> Tensor:  # noqa: ANN401
        """Compute the rows of the steps' arguments, which are given one after the other."""
        fields = self._taken(given)
        if fields is None:
            return self.plain(*given)
        rows = _matrix(given[1]).shape[0] if isinstance(self.steps[0], Sum) else len(given[0])
        key = rows_class(rows)
        way = self._ways.get(key)
        if way is None:
            ways = {"torch": lambda: self.plain(*given), "native": lambda: self._native(fields, rows, given)}
            way = self._ways[key] = fastest(("rows", *fields.named, key), ways)
        return self._native(fields, rows, given) if way == "native" else self.plain(*given)

    @property
    def ways(self) -> set[str]:
        """The ways that calls until now have gone."""
        return set(self._ways.values())

    def plain(self, *given: Any) -> Tensor:  # noqa: ANN401
        """The same in PyTorch, one step after the other."""
        rows, left = given[0], list(given)
        for step in self.steps:
            rows, left = step.plain(rows, *left[: step.reads]), left[step.reads :]
        return rows if self.grid is None else to_bytes(rows, self.grid)

    def _taken(self, given: Sequence[Any]) -> "_Fields | None":
        """What kernels are told for such arguments, None where they do not take them."""
        table = given[0]
        if not all(map(_is_taken, given, self._reads)):
            return None
        if isinstance(self.steps[0], Sum):
            require_rows(_matrix(given[1]), table)
        width = table.shape[1]
        if width not in self._fields:
            self._fields[width] = _Fields.of(self.steps, self.grid, width) if integers_are_exact() else None
        return self._fields[width]

    def _native(self, fields: "_Fields", rows: int, given: Sequence[Any]) -> Tensor:
        held, at = [], 0
        for number, step in zip(fields.numbers, fields.read, strict=True):
            data, place = given[at].contiguous(), fields.steps[number]
            held.append(data)
            place.data = data.data_ptr()
            if isinstance(step, Sum):
                place.pointer, place.column, place.value = _places(given[at + 1])
            at += step.reads
        out = torch.empty(rows, fields.width, dtype=torch.float32 if self.grid is None else torch.uint8)
        fields.steps[len(fields.steps) - 1].data = out.data_ptr()
        refused = kernels().compute_rows(fields.steps, len(fields.steps), rows)
        if refused == NOT_FINITE:
            raise _not_finite()
        return self.plain(*given) if refused else out


@dataclass(frozen=True, eq=False)
class _Fields:
    """A program as kernels see it: its steps, those that read arguments, the width of its result and what it is called.

    `held` keeps alive what the steps point to.
    """

    steps: Any
    numbers: list[int]
    read: list[Step]
    width: int
    named: tuple[object, ...]
    held: list[object]

    @classmethod
    def of(cls, steps: Sequence[Step], grid: Grid | None, width: int) -> "_Fields | None":
        """A program for arguments of some width; None where kernels do not take it."""
        described: list[dict[str, Any]] = []
        numbers, read, held, left, before = [], [], list[object](steps), [*steps, _Write(grid)], _NOTHING
        first = width
        while left:
            step, fields, left = _next(left, held)
            if isinstance(step, Multiply):
                if step.weight.shape != (width, step.width) or width > MOST_TERMS:
                    return None
                width = step.width
            if isinstance(step, ByChannel) and len(step.shift) != width:
                return None
            if "kind" not in fields and fields["parts"] > before["parts"]:
                # Parts of what is done to each number, in their order.
                before = {**before, **fields, "parts": before["parts"] | fields["parts"]}
                continue
            if before["parts"] and ("kind" not in fields or fields["kind"] not in (_MULTIPLY, _WRITE + 1)):
                described.append({"kind": _CHANGE, **before, "width": width})
                before = _NOTHING
            if "kind" not in fields:
                before = fields
                continue
            if step.reads:
                numbers.append(len(described))
                read.append(step)
            described.append({**before, **fields, "width": width})
            before = _NOTHING
        return cls(
            (_StepFields * len(described))(*[_StepFields(**step) for step in described]),
            numbers,
            read,
            width,
            (first, *[f"{step['kind']}:{step['width']}:{step['parts']}" for step in described]),
            held,
        )


_NOTHING = {"parts": 0}


@dataclass(frozen=True, eq=False)
class _Write(Step):
    grid: Grid | None

    def described(self) -> dict[str, Any]:
        return {"kind": _WRITE} if self.grid is None else {"kind": _WRITE + 1, "grid": _grid(self.grid)}


def _next(steps: list[Step], held: list[object]) -> tuple[Step, dict[str, Any], list[Step]]:
    """The first of some steps with its fields, or of several that look up what the code of the first becomes."""
    step, *left = steps
    if isinstance(step, Quantize):
        between = list(takewhile(lambda other: isinstance(other, Activate | Quantize), left))
        last = left[len(between)]
        if isinstance(last, Multiply | _Write) and last.grid is not None and any(isinstance(other, Activate) for other in between):
            values = from_bytes(torch.arange(step.grid.highest - step.grid.lowest + 1), step.grid)
            for other in between:
                values = other.plain(values)
            table = torch.zeros(LARGEST_CODE + 1, dtype=torch.uint8)
            table[: len(values)] = to_bytes(values, last.grid)
            held.append(table)
            fields = {**last.described(), "grid": _grid(step.grid), "table": table.data_ptr()}
            return last, fields, left[len(between) + 1 :]
    return step, step.described(), left


def _is_taken(given: Any, is_bytes: bool | None) -> bool:  # noqa: ANN401
    if is_bytes is None:
        return given.exact if isinstance(given, Entries) else taken(given.value)
    if given.dim() != 2:
        return False
    return given.dtype is torch.uint8 and given.is_cpu if is_bytes else taken(given)


def _matrix(given: Entries | CsrMatrix) -> CsrMatrix:
    return given.matrix if isinstance(given, Entries) else given


def _places(given: Entries | CsrMatrix) -> tuple[int, int, int | None]:
    pointer, column, value = _matrix(given).compact
    if isinstance(given, Entries):
        return pointer.data_ptr(), column.data_ptr(), None if given.whole is None else given.whole.data_ptr()
    return pointer.data_ptr(), column.data_ptr(), value.data_ptr()


def maximum_of_bytes(matrix: CsrMatrix, codes: Tensor) -> Tensor:
    """The largest byte of each channel over the rows that a row of the matrix has, 0 where it has none.

    Shapes: matrix (rows, columns), codes [columns, width] uint8 -> [rows, width] uint8.
    """
    require_rows(matrix, codes)
    if not integers_are_exact():
        return maximum(matrix, codes.float()).to(torch.uint8)
    pointer, column, _ = matrix.compact
    codes, out = codes.contiguous(), codes.new_empty(matrix.shape[0], codes.shape[1])
    kernels().maximum_of_bytes(
        pointer.data_ptr(), column.data_ptr(), codes.data_ptr(), *out.shape, out.data_ptr()
    )
    return out


@lru_cache
def integers_are_exact() -> bool:
    """Whether there are kernels and they are right about the largest numbers, on which those that saturate are wrong."""
    return library() is not None
