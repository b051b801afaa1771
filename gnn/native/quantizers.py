"""Fake quantization and the ranges that it follows, in one pass each where there are kernels.

All of it gives the bits of PyTorch's operations one after the other, of which `gnn.quantization` has the form.
"""

import ctypes
from functools import lru_cache
from types import SimpleNamespace
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn

from gnn.native.library import kernels, library, wanted
from gnn.native.row_steps import Grid

_TYPES = (Tensor, nn.Parameter)
Candidates = tuple[np.ndarray, np.ndarray | None]
_Ends, _Counts = ctypes.c_float * 2, ctypes.c_int64 * 3


def takes(*tensors: Tensor) -> bool:
    """Whether there are kernels for these, which have to be plain FP32, one number after the other in memory.

    Nobody may want their gradients.
    """
    if not usable():
        return False
    for tensor in tensors:
        if not (type(tensor) in _TYPES and tensor.dtype is torch.float32 and tensor.is_cpu and tensor.is_contiguous()):
            return False
    return not (torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors))


@lru_cache
def usable() -> bool:
    """Whether there are kernels that do as PyTorch does, and nobody asked for it instead; looked up once a process."""
    return wanted() != "torch" and library() is not None and _rounds_as_torch()


def fake_quantized(values: Tensor, grid: Grid, kept_rows: Tensor | None) -> Tensor:
    """The nearest numbers of a grid, but for some rows [kept] int64 of [rows, ...]."""
    out = torch.empty_like(values)
    places = values.data_ptr(), out.data_ptr()
    numbers = 1.0 / grid.scale, grid.zero_point, grid.lowest, grid.highest, grid.scale
    kernels().fake_quantize(*places, values.numel(), *numbers)
    if kept_rows is not None:
        _copy_rows(values, out, kept_rows)
    return out


def clipped_gradient(gradient: Tensor, out: Tensor, ends: tuple[float, float], kept_rows: Tensor | None) -> Tensor:
    """The gradient where what came out is between two ends, and in some rows [kept] int64; zero elsewhere."""
    clipped = torch.empty_like(gradient)
    places = gradient.data_ptr(), out.data_ptr(), clipped.data_ptr()
    kernels().clip_gradient(*places, gradient.numel(), *ends)
    if kept_rows is not None:
        _copy_rows(gradient, clipped, kept_rows)
    return clipped


class Observed(NamedTuple):
    """The ends of some rows; with a known range, those of all rows, and how many values count beyond it and in all."""

    lowest: float
    highest: float
    below: int
    above: int
    total: int


def observe(values: Tensor, repeats: Tensor | None, known: tuple[float, float] | None = None) -> Observed:
    """What a range needs of values [rows, ...] of which each counts as often as its row does, `repeats` [rows] int64.

    The ends are inf and -inf where no row counts, and NaN where a number is or a row counts too often to be added up.
    """
    ends, counts = _Ends(), _Counts()
    low, high = known or (0.0, 0.0)
    kernels().observe(*_rows(values, repeats), known is not None, low, high, ends, counts)
    return Observed(*ends, *counts)


def beyond(values: Tensor, repeats: Tensor | None, end: float, *, above: bool, most: int) -> Candidates:
    """The values above an end, or below it, of rows that count, and how often each does; there are `most` or fewer."""
    found, times = np.empty(most, np.float32), None if repeats is None else np.empty(most, np.int64)
    places = found.ctypes.data, None if times is None else times.ctypes.data
    count = kernels().beyond(*_rows(values, repeats), end, above, *places)
    return found[:count], None if times is None else times[:count]


def _rows(values: Tensor, repeats: Tensor | None) -> tuple[int, int, int, int | None]:
    rows = 1 if repeats is None else len(repeats)
    return values.data_ptr(), rows, values.numel() // max(1, rows), None if repeats is None else repeats.data_ptr()


def _copy_rows(values: Tensor, out: Tensor, chosen: Tensor) -> None:
    chosen, rows = chosen.to(torch.int64).contiguous(), len(values)
    width = values.numel() // max(1, rows)
    if not kernels().copy_rows(values.data_ptr(), out.data_ptr(), rows, width, chosen.data_ptr(), len(chosen)):
        raise IndexError(f"a row to keep is not among the {rows} that there are")


class Learned(NamedTuple):
    """Numbers on grids of their own; their errors and sides of the range, which may be weighted; if all are finite."""

    quantized: Tensor
    error: Tensor
    outside: Tensor
    of_outside: Tensor
    finite: bool


def learned(
    x: Tensor, scale: Tensor, largest: Tensor, positive: Tensor | None = None, *, weighted: bool = False
) -> Learned | None:
    """What `RowGrid` makes of x [rows, entries] whose rows or columns lie in memory, with grids by row; else None.

    Where it is weighted, errors are multiplied with their signs, and sides once more with them.
    """
    of_rows = (scale, largest) if positive is None else (scale, largest, positive)
    if not (lying := _lying(x, *of_rows)):
        return None
    found = [torch.empty_like(x) for _ in range(4 if weighted else 3)]
    places = [tensor.data_ptr() for tensor in found] if weighted else [*(part.data_ptr() for part in found), None]
    finite = kernels().learn_grids(*lying, *places)
    return Learned(found[0], found[1], found[2], found[-1], bool(finite))


def on_grids(x: Tensor, scale: Tensor, largest: Tensor) -> Tensor | None:
    """The same without what gradients need."""
    if not (lying := _lying(x, scale, largest)):
        return None
    out = torch.empty_like(x)
    kernels().learn_grids(*lying, out.data_ptr(), None, None, None)
    return out


def _lying(x: Tensor, *of_rows: Tensor) -> tuple[object, ...]:
    """Where numbers and the grids of their rows lie, and whether by column; () where there is no kernel for them."""
    if x.dim() != 2 or any(len(part) != len(x) for part in of_rows):
        return ()
    by_column = not x.is_contiguous()
    lying = x.t() if by_column else x
    if not takes(lying, *of_rows):
        return ()
    grids = [part.data_ptr() for part in of_rows]
    return lying.data_ptr(), *lying.shape, *grids, *([None] * (3 - len(grids))), by_column


def nearest_level(x: Tensor, level: Tensor, first: Tensor) -> Tensor | None:
    """Which of the levels [groups], in order, is nearest to the largest magnitude of each row of x [rows, channels].

    `first` [groups] int64 names them. None where there is no kernel, or something is not finite.
    """
    if not takes(x, level) or not len(level):
        return None
    group = torch.empty(len(x), dtype=torch.int64)
    places = level.data_ptr(), first.data_ptr(), len(level), group.data_ptr()
    return group if kernels().nearest_level(x.data_ptr(), *x.shape, *places) else None


def _rounds_as_torch() -> bool:
    """Whether the compiler did as it was told: it added no product at once, and rounded halves to the even code."""
    grid = SimpleNamespace(scale=0.0237, zero_point=5.0, lowest=-8.0, highest=100.0)
    values = torch.cat([torch.linspace(-3.0, 3.0, 4001), (torch.arange(-20.0, 20.0) + 0.5) * 0.0237])
    codes = values.mul(1.0 / grid.scale).add_(grid.zero_point).round_().clamp_(grid.lowest, grid.highest)
    expected = codes.sub_(grid.zero_point).mul_(grid.scale)
    found = fake_quantized(values, cast(Grid, grid), None)
    return torch.equal(found.view(torch.int32), expected.view(torch.int32))
