"""Quantize and dequantize in FP32: what training sees of integers."""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.native import quantizers

Gradient = Literal["straight-through", "gradient-clipping"]

FEWEST_BITS, MOST_BITS = 2, 8
SMALLEST_SCALE = torch.finfo(torch.float32).eps


def require_bit_width(bit_width: object) -> None:
    """Raise `SettingError` unless this is a whole number of bits that the integer kernels have room for."""
    if type(bit_width) is not int or not FEWEST_BITS <= bit_width <= MOST_BITS:
        raise SettingError(
            f"bit_width {bit_width!r} is outside {FEWEST_BITS} to {MOST_BITS}; give a whole number of bits, such as 8"
        )


def require_gradient(gradient: object) -> None:
    """Raise `SettingError` for a gradient that does not exist."""
    if gradient not in get_args(Gradient):
        raise SettingError(f"gradient {gradient!r} is unknown; valid are: {', '.join(sorted(get_args(Gradient)))}")


@dataclass(frozen=True, eq=False)
class Codes:
    """Whole numbers in FP32 that stand for (code - zero_point) * scale; `unsigned` when they run from 0 to 255.

    Shapes: codes [rows, channels]; scale a scalar, or one for each row [rows, 1] or channel [1, channels].
    """

    codes: Tensor
    scale: Tensor
    zero_point: int = 0
    unsigned: bool = False


@dataclass(frozen=True)
class Grid:
    """The numbers (code - zero_point) * scale for the whole codes from `lowest` to `highest`; all numbers are plain."""

    scale: float
    zero_point: float
    lowest: float
    highest: float

    @classmethod
    def of_range(cls, minimum: float, maximum: float, bit_width: int, *, signed: bool = True) -> "Grid":
        """The grid over a range that is widened to hold zero, which then is one of its numbers.

        scale = (maximum - minimum) / (2^bits - 1), zero_point = lowest - round(minimum / scale), in double precision.
        A range of nothing but zero has scale 1. Codes are -2^(bits - 1) ... when signed, else 0 ...

        Source: Degree-Quant, dq/quantization.py, get_qparams. Raises `SettingError` for a range that is empty or not
        finite.
        """
        if not -torch.inf < minimum <= maximum < torch.inf:
            raise SettingError(f"the range {minimum:g} to {maximum:g} holds no numbers; show the quantizer some first")
        minimum, maximum = min(0.0, minimum), max(0.0, maximum)
        lowest = -(2.0 ** (bit_width - 1)) if signed else 0.0
        highest = lowest + 2.0**bit_width - 1
        if minimum == maximum:
            return cls(1.0, 0.0, lowest, highest)
        scale = max((maximum - minimum) / (highest - lowest), SMALLEST_SCALE)
        zero_point = lowest - round(minimum / scale)
        return cls(scale, min(max(zero_point, lowest), highest), lowest, highest)

    @classmethod
    def symmetric(cls, minimum: float, maximum: float, bit_width: int) -> "Grid":
        """The grid of signed codes with zero in their middle: scale = 2 max(|minimum|, |maximum|) / (2^bits - 1)."""
        lowest = -(2.0 ** (bit_width - 1))
        highest = lowest + 2.0**bit_width - 1
        largest = max(abs(minimum), abs(maximum))
        return cls(2 * largest / (highest - lowest) if largest else 1.0, 0.0, lowest, highest)

    @property
    def nonnegative(self) -> "Grid":
        """The part of the grid from zero on; on it, quantizing is quantizing and a ReLU in one."""
        return replace(self, lowest=self.zero_point)

    @property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest number as FP32 has them."""
        scale, zero_point = np.float32(self.scale), np.float32(self.zero_point)
        return float((self.lowest - zero_point) * scale), float((self.highest - zero_point) * scale)

    def codes(self, values: Tensor) -> Tensor:
        """Whole numbers in FP32: round(values / scale + zero_point), halves to even, clamped to the codes."""
        codes = values.mul(1.0 / self.scale).add_(self.zero_point)
        return codes.round_().clamp_(self.lowest, self.highest)

    def values(self, codes: Tensor) -> Tensor:
        """The numbers that codes stand for; the codes are overwritten."""
        return codes.sub_(self.zero_point).mul_(self.scale)


def fake_quantize(
    values: Tensor,
    grid: Grid,
    gradient: Gradient = "straight-through",
    kept_rows: Tensor | None = None,
    *,
    rectify: bool = False,
) -> Tensor:
    """The nearest numbers of a grid, differentiable.

    out = (clamp(round(x / scale + zero_point)) - zero_point) * scale; the zero point is added before rounding, halves
    go to the even code. The gradient passes unchanged ("straight-through") or is zeroed where the code is the lowest or
    the highest, or would be beyond ("gradient-clipping"). The rows with the numbers `kept_rows` stay as they are, and
    so does their gradient. With `rectify` a ReLU follows, in the same passes over memory and with the same bits.

    Source: Degree-Quant, dq/quantization.py, Quantize. Shapes: values [rows, ...], kept_rows [kept] int64.
    """
    return _FakeQuantize.apply(values, grid, gradient, kept_rows, rectify)  # pyright: ignore[reportReturnType]


class _FakeQuantize(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,  # noqa: ANN401
        values: Tensor,
        grid: Grid,
        gradient: Gradient,
        kept_rows: Tensor | None,
        rectify: bool,
    ) -> Tensor:
        if rectify:
            grid = grid.nonnegative
        if quantizers.takes(values):
            out = quantizers.fake_quantized(values, grid, kept_rows)
        else:
            out = grid.values(grid.codes(values))
            if kept_rows is not None:
                out.index_copy_(0, kept_rows, values.index_select(0, kept_rows))
        ctx.kept_rows = kept_rows
        ctx.ends = grid.ends if gradient == "gradient-clipping" else (0.0, np.inf) if rectify else None
        if ctx.ends is not None:
            ctx.save_for_backward(out)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None, None]:  # noqa: ANN401
        gradient, kept_rows = gradients[0], ctx.kept_rows
        if ctx.ends is None:
            return gradient, None, None, None, None
        (out,) = ctx.saved_tensors
        if quantizers.takes(gradient, out):
            return quantizers.clipped_gradient(gradient, out, ctx.ends, kept_rows), None, None, None, None
        # It zeroes what is at the ends, too, in a tenth of the time that a mask takes.
        clipped = torch.ops.aten.hardtanh_backward(gradient, out, *ctx.ends)
        if kept_rows is not None:
            clipped.index_copy_(0, kept_rows, gradient.index_select(0, kept_rows))
        return clipped, None, None, None, None
