"""Programs of rows: products and sums of whole numbers, and what stands between them, as one pass over the rows."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import takewhile
from types import SimpleNamespace
from typing import Any, cast

import torch
from torch import Tensor

from gnn.layers import CsrMatrix
from gnn.native.aggregation import require_rows
from gnn.native.fastest import NATIVE, fastest, rows_class
from gnn.native.library import kernels, library, missing_because
from gnn.native.row_steps import (
    BYTES_IN_A_WORD,
    CHANGE,
    LARGEST_CODE,
    LARGEST_NUMBER,
    MOST_TERMS,
    MULTIPLY,
    WRITE,
    Activate,
    ByChannel,
    Entries,
    Fields,
    Grid,
    Multiply,
    Quantize,
    Read,
    Step,
    Sum,
    from_bytes,
    grid_of_numbers,
    to_bytes,
)
from gnn.native.tensors import taken


class RowProgram:
    """Steps that rows go through, the first of which reads or sums up, and the grid of the bytes that are written.

    Without a grid the result is FP32. Raises `NotFiniteError` for numbers that are to be bytes and are not finite.
    Shapes: the result is [rows, width of the last step].
    """

    def __init__(self, steps: Sequence[Step], grid: Grid | None = None) -> None:
        self.steps, self.grid = tuple(steps), grid
        self._ways: dict[int, str] = {}
        self._told: dict[int, _Told | None] = {}

    def __getstate__(self) -> dict[str, Any]:
        # Where tensors lie in memory is nothing for a copy.
        return {**vars(self), "_told": {}}

    def __call__(self, *given: Any) -> Tensor:  # noqa: ANN401
        """Compute the rows of what the steps read, one argument after the other."""
        if not self._takes(given) or (told := self._for_width(given[0].shape[1])) is None:
            return self.plain(*given)
        rows = len(given[0])
        if isinstance(self.steps[0], Sum):
            require_rows(matrix := _matrix(given[1]), given[0])
            rows = matrix.shape[0]
        way = self._ways.get(rows_class(rows)) or self._choose(told, rows, given)
        return self._native(told, rows, given) if way == NATIVE else self.plain(*given)

    @property
    def ways(self) -> set[str]:
        """The ways that calls until now have gone."""
        return set(self._ways.values())

    def plain(self, *given: Any) -> Tensor:  # noqa: ANN401
        """The same in PyTorch, one step after the other."""
        rows, left = given[0], given
        for step in self.steps:
            rows, left = step.plain(rows, *left[: step.reads]), left[step.reads :]
        return rows if self.grid is None else to_bytes(rows, self.grid)

    def _choose(self, told: "_Told", rows: int, given: Sequence[Any]) -> str:
        ways = {"torch": lambda: self.plain(*given), NATIVE: lambda: self._native(told, rows, given)}
        way = self._ways[rows_class(rows)] = fastest(("rows", *told.named, rows_class(rows)), ways)
        return way

    def _takes(self, given: Sequence[Any]) -> bool:
        at = 0
        for step in self.steps:
            if isinstance(step, Read | Sum):
                if not _is_taken(given[at], step.grid):
                    return False
                if isinstance(step, Sum) and not _multiplies(given[at + 1], step.grid):
                    return False
                at += step.reads
        return True

    def _for_width(self, width: int) -> "_Told | None":
        if width not in self._told:
            self._told[width] = None if unusable_because() else _Told.of(self.steps, self.grid, width)
        return self._told[width]

    def _native(self, told: "_Told", rows: int, given: Sequence[Any]) -> Tensor:
        held, at = [], 0
        # A copy, as another thread may be in the same program.
        steps = type(told.steps).from_buffer_copy(told.steps)
        for number, step in told.reading:
            data, fields = given[at].contiguous(), steps[number]
            held.append(data)
            fields.data = data.data_ptr()
            if isinstance(step, Sum):
                fields.pointer, fields.column, fields.value = _places(given[at + 1])
            at += step.reads
        out = torch.empty(rows, told.width, dtype=torch.float32 if self.grid is None else torch.uint8)
        steps[len(steps) - 1].data = out.data_ptr()
        return self.plain(*given) if kernels().compute_rows(steps, len(steps), rows) else out


@dataclass(frozen=True)
class _Write(Step):
    grid: Grid | None

    def fields(self) -> dict[str, Any]:
        return {"kind": WRITE} if self.grid is None else {"kind": WRITE + 1, "grid": grid_of_numbers(self.grid)}


@dataclass(frozen=True, eq=False)
class _Told:
    """A program as kernels see it: its steps, the numbers of those that read, the width of its result and its name.

    `held` keeps alive what the steps point to.
    """

    steps: Any
    reading: list[tuple[int, Step]]
    width: int
    named: tuple[object, ...]
    held: list[object]

    @classmethod
    def of(cls, steps: Sequence[Step], grid: Grid | None, width: int) -> "_Told | None":
        """A program for rows of some width; None where they do not fit."""
        told: list[dict[str, Any]] = []
        reading, held, given_width = [], list[object](steps), width
        # What is done to each number waits for what reads the numbers next, as long as its parts are in their order.
        waiting: dict[str, Any] = {"parts": 0}
        for step, fields in _with_tables([*steps, _Write(grid)], held):
            if not _fits(step, width):
                return None
            width = step.weight.shape[1] if isinstance(step, Multiply) else width
            is_change = "kind" not in fields
            joins = fields["parts"] > waiting["parts"] if is_change else fields["kind"] in (MULTIPLY, WRITE + 1)
            if waiting["parts"] and not joins:
                told.append({"kind": CHANGE, "width": width, **waiting})
                waiting = {"parts": 0}
            if is_change:
                waiting = {**waiting, **fields, "parts": waiting["parts"] | fields["parts"]}
                continue
            if step.reads:
                reading.append((len(told), step))
            told.append({"width": width, **waiting, **fields})
            waiting = {"parts": 0}
        named = (f"{step['kind']}:{step['width']}:{step['parts']}" for step in told)
        as_fields = (Fields * len(told))(*[Fields(**step) for step in told])
        return cls(as_fields, reading, width, (given_width, *named), held)


def _fits(step: Step, width: int) -> bool:
    if not all(number.abs().max() <= LARGEST_NUMBER for number in step.numbers if number.numel()):
        return False
    if isinstance(step, Multiply):
        return len(step.weight) == width <= MOST_TERMS
    return not isinstance(step, ByChannel) or len(step.shift) == width


def _with_tables(steps: list[Step], held: list[object]) -> list[tuple[Step, dict[str, Any]]]:
    """Steps with their fields, but what lies between two grids and is slow to compute is looked up for each code."""
    found, left = [], steps
    while left:
        step, *left = left
        between = list(takewhile(lambda other: isinstance(other, Activate | Quantize), left))
        last = left[len(between)] if left else None
        slow = any(isinstance(other, Activate) and other.activation.name == "elu" for other in between)
        if isinstance(step, Quantize) and slow and isinstance(last, Multiply | _Write) and last.grid is not None:
            table = _table(step.grid, between, last.grid)
            held.append(table)
            fields = {**last.fields(), "grid": grid_of_numbers(step.grid), "table": table.data_ptr()}
            found.append((last, fields))
            left = left[len(between) + 1 :]
        else:
            found.append((step, step.fields()))
    return found


def _table(grid: Grid, steps: Sequence[Step], last: Grid) -> Tensor:
    """The byte by the last grid that each byte by a grid becomes, [256]."""
    values = from_bytes(torch.arange(grid.highest - grid.lowest + 1), grid)
    for step in steps:
        values = step.plain(values)
    table = torch.zeros(LARGEST_CODE + 1, dtype=torch.uint8)
    table[: len(values)] = to_bytes(values, last)
    return table


def _is_taken(rows: Any, grid: Grid | None) -> bool:  # noqa: ANN401
    if not isinstance(rows, Tensor) or rows.dim() != 2:
        return False
    return taken(rows) if grid is None else rows.dtype is torch.uint8 and rows.is_cpu


def _multiplies(matrix: Any, grid: Grid | None) -> bool:  # noqa: ANN401
    if grid is None:
        return isinstance(matrix, CsrMatrix) and taken(matrix.value)
    return isinstance(matrix, Entries) and matrix.exact


def _matrix(given: Entries | CsrMatrix) -> CsrMatrix:
    return given.matrix if isinstance(given, Entries) else given


def _places(given: Entries | CsrMatrix) -> tuple[int, int, int | None]:
    pointer, column, value = _matrix(given).compact
    whole = given.whole if isinstance(given, Entries) else value
    return pointer.data_ptr(), column.data_ptr(), None if whole is None else whole.data_ptr()


def product_of_bytes(weight: Tensor, zero: int = 0) -> Callable[[Tensor], Tensor]:
    """The compiled product of bytes less their zero with whole numbers.

    Shapes: weight [in, out]; bytes [rows, in] uint8 -> [rows, out] FP32.
    """
    grid = cast(Grid, SimpleNamespace(scale=1.0, zero_point=zero, lowest=0, highest=LARGEST_CODE))
    program = RowProgram([Read(grid), Multiply(grid, weight, torch.ones(1), torch.Tensor.float)])
    told = cast(_Told, _Told.of(program.steps, None, len(weight)))
    return lambda rows: program._native(told, len(rows), [rows])


@lru_cache
def unusable_because() -> str:
    """Why there are no kernels for whole numbers; "" where there are.

    They are tried once on the largest numbers, on which instructions that saturate are wrong.
    """
    if library() is None:
        return missing_because()
    rows = torch.arange(5 * 301).mul(37).remainder(256).view(5, 301)
    rows[0], rows[1, ::2], rows[2] = 255, 255, 0
    weight = torch.arange(301 * 40).mul(53).remainder(256).view(301, 40)
    weight[:, 0], weight[:, 1], weight[::2, 2] = 255, 0, 255
    for zero in (0, 128, 255):
        found = product_of_bytes(weight - zero, zero)(rows.to(torch.uint8))
        if not torch.equal(found, ((rows - zero) @ (weight - zero)).float()):
            return "the kernel for products of whole numbers is wrong about large ones on this processor"
    return ""


def native_integer_kernel() -> str:
    """What the kernels multiply with here: instructions for bytes, or for 16 bits."""
    return "native vnni" if kernels().integer_group() == BYTES_IN_A_WORD else "native int16"
