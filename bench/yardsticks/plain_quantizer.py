"""The yardstick for a quantizer: each step a pass over the whole tensor, percentiles by full selection."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

SMALLEST_SCALE = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class IntegerGrid:
    """The integers from `lowest` to `highest`; code c stands for (c - zero_point) scale."""

    lowest: float
    highest: float
    scale: float
    zero_point: float

    @classmethod
    def of_range(cls, minimum: float, maximum: float, bit_width: int, *, signed: bool) -> "IntegerGrid":
        """The grid that holds zero and both ends of a range; a range of nothing but zero has scale 1."""
        minimum, maximum = min(0.0, minimum), max(0.0, maximum)
        lowest = -(2.0 ** (bit_width - 1)) if signed else 0.0
        highest = lowest + 2.0**bit_width - 1
        if minimum == maximum:
            return cls(lowest, highest, scale=1.0, zero_point=0.0)
        scale = max((maximum - minimum) / (highest - lowest), SMALLEST_SCALE)
        zero_point = min(max(lowest - round(minimum / scale), lowest), highest)
        return cls(lowest, highest, scale, zero_point)


class PlainQuantizer(nn.Module):
    """Rounds a tensor to the integers of one grid and back, with a range that training watches.

    y = (clamp(round(x / scale + zero_point)) - zero_point) scale, halves rounded to even. The range is that of all
    tensors so far or, with a momentum m, r + m (new - r). With a percentile p the ends are the elements of rank n p and
    n (1 - p), rounded down but at least 1, instead of the smallest and the largest. The gradient is the incoming one
    or, unless `straight_through`, zero at codes on or beyond both ends of the grid.

    Source: Degree-Quant (arXiv 2008.05000), IntegerQuantizer in dq/quantization.py.
    Shapes: any, the same out as in.
    """

    minimum: Tensor
    maximum: Tensor

    def __init__(
        self,
        bit_width: int,
        straight_through: bool,
        momentum: float | None,
        percentile: float | None,
        *,
        signed: bool = True,
    ) -> None:
        super().__init__()
        self.bit_width = bit_width
        self.straight_through = straight_through
        self.momentum = momentum
        self.percentile = percentile
        self.signed = signed
        # An empty range: every tensor widens it.
        self.register_buffer("minimum", torch.tensor(math.inf))
        self.register_buffer("maximum", torch.tensor(-math.inf))

    def forward(self, values: Tensor) -> Tensor:
        """Quantize and dequantize; in training mode the range is updated before."""
        if self.training:
            self.update(values.detach())
        grid = IntegerGrid.of_range(float(self.minimum), float(self.maximum), self.bit_width, signed=self.signed)
        return _Quantize.apply(values, grid, self.straight_through)  # pyright: ignore[reportReturnType]

    def update(self, values: Tensor) -> None:
        """Take the range of one more tensor into account."""
        minimum, maximum = self._ends(values)
        if self.momentum is None:
            minimum, maximum = torch.minimum(minimum, self.minimum), torch.maximum(maximum, self.maximum)
        elif self.minimum <= self.maximum:
            minimum = self.minimum + self.momentum * (minimum - self.minimum)
            maximum = self.maximum + self.momentum * (maximum - self.maximum)
        self.minimum, self.maximum = minimum, maximum

    def _ends(self, values: Tensor) -> tuple[Tensor, Tensor]:
        if self.percentile is None:
            return values.min(), values.max()
        flat = values.flatten()
        low, high = (min(max(int(len(flat) * share), 1), len(flat)) for share in (self.percentile, 1 - self.percentile))
        return torch.kthvalue(flat, low).values, torch.kthvalue(flat, high).values


class _Quantize(torch.autograd.Function):
    """Rounding has no useful gradient of its own."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, grid: IntegerGrid, straight_through: bool) -> Tensor:  # noqa: ANN401
        ctx.grid, ctx.straight_through = grid, straight_through
        if not straight_through:
            ctx.save_for_backward(values)
        code = _rounded(values, grid).clamp_(grid.lowest, grid.highest)
        return code.sub_(grid.zero_point).mul_(grid.scale)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        if ctx.straight_through:
            return gradients[0], None, None
        (values,) = ctx.saved_tensors
        code = _rounded(values, ctx.grid)
        gradient = gradients[0].clone()
        gradient[code >= ctx.grid.highest] = 0
        gradient[code <= ctx.grid.lowest] = 0
        return gradient, None, None


def _rounded(values: Tensor, grid: IntegerGrid) -> Tensor:
    return values.clone().mul_(1.0 / grid.scale).add_(grid.zero_point).round_()
