"""Aggregation-aware quantization: every channel or group of nodes learns its own step size and bit width."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gnn.errors import SettingError
from gnn.native import quantizers

# Nodes of at least 5 out-edges search in groups 0 to 9, of 2 to 4 in groups 10 to 99, the others in the rest.
DEGREE_BOUNDS = (5, 2)
GROUP_BOUNDS = (10, 100)


def quantize_channels(x: Tensor, step_size: Tensor, bit_width: Tensor, *, local_gradient: bool) -> Tensor:
    """Round every channel to whole multiples of its step size; differentiable in all three tensors.

    b = round(|bit_width|), m = 2^(b-1) - 1, s = |step_size|
    q = sign(x) * floor(min(|x| / s, m) + 1/2), output = q * s

    The gradient of x is the incoming gradient G. With r = q - x / s where |x| <= m * step_size and r = m * sign(x)
    elsewhere, that of the step size is sum(G * r), or with a local gradient mean(sign(output - x) * r), whatever G is.
    That of the bit width is sum(G * sign(x)) * (m + 1) * ln(2) * s over the entries with |x| > m * step_size.

    Source: A2Q, arXiv 2302.00193; the code of its authors, u_quant_weight and, with a local gradient, u_quant_xw.
    Shapes: x [channels, entries], step_size and bit_width [channels, 1] -> [channels, entries].
    Raises SettingError when x holds NaN or infinite values.
    """
    if not torch.is_grad_enabled():
        require_finite(x)
        return RowGrid.of(step_size, bit_width).quantize(x)
    return _ChannelQuantization.apply(x, step_size, bit_width, local_gradient)  # pyright: ignore[reportReturnType]


def quantize_nodes(x: Tensor, step_size: Tensor, bit_width: Tensor, group: Tensor) -> Tensor:
    """Round every node to whole multiples of its group's step size; differentiable in x and both group tensors.

    Equations as in `quantize_channels` with |step_size| in place of step_size; a group gets the sum over its nodes.

    Source: A2Q, arXiv 2302.00193; the code of its authors, u_quant_fea.
    Shapes: x [nodes, channels], step_size and bit_width [groups, 1], group [nodes] int64 -> [nodes, channels].
    Raises SettingError when x holds NaN or infinite values.
    """
    require_finite(x)
    return quantize_found_nodes(x, step_size, bit_width, group)


def nearest_group(x: Tensor, step_size: Tensor, bit_width: Tensor) -> Tensor:
    """The group whose range fits every node best, found by bisection and not in a nodes x groups matrix.

    group = argmin_k (max_f |x_f| - 2^(b_k - 1) * |step_size_k|)^2, the first of equals; b = round(|bit_width|)

    Source: A2Q, arXiv 2302.00193, nearest neighbour strategy.
    Shapes: x [nodes, channels], step_size and bit_width [groups, 1] -> [nodes] int64.
    Raises SettingError when x holds NaN or infinite values.
    """
    levels = _search_levels(step_size, bit_width)
    ordered, names = _ordered(levels)
    found = quantizers.nearest_level(x.detach(), ordered, names)
    return _nearest(_largest_magnitudes(x), levels) if found is None else found


def groups_by_degree(out_degree: Tensor, x: Tensor, step_size: Tensor, bit_width: Tensor) -> Tensor:
    """The nearest of the groups that nodes of this degree share: 0 to 9 from 5 edges, 10 to 99 from 2, else the rest.

    Source: A2Q, arXiv 2302.00193; the code of its authors, get_scale_index.
    Shapes: out_degree [nodes] int64, the others as in `nearest_group` -> [nodes] int64.
    Raises SettingError when there are 100 groups or fewer, or x holds NaN or infinite values.
    """
    first, second = GROUP_BOUNDS
    if len(step_size) <= second:
        raise SettingError(f"{len(step_size)} groups leave none for nodes of low degree; give {second + 1} or more")
    magnitude, levels = _largest_magnitudes(x), _search_levels(step_size, bit_width)
    high = _nearest(magnitude, levels[:first])
    middle = _nearest(magnitude, levels[first:second]) + first
    low = _nearest(magnitude, levels[second:]) + second
    return torch.where(out_degree >= DEGREE_BOUNDS[0], high, torch.where(out_degree >= DEGREE_BOUNDS[1], middle, low))


def naive_groups(degree: Tensor, groups: int) -> Tensor:
    """A group for every degree, the last one for all that are larger; degree [nodes] int64 -> [nodes] int64."""
    return degree.clamp(max=groups - 1)


def require_finite(x: Tensor) -> None:
    """Raise `SettingError` for NaN or infinite values."""
    # A sum is one fast pass, and only a sum of large values is infinite without need.
    if not bool(x.detach().sum().isfinite()) and (wrong := x.numel() - int(x.isfinite().sum())):
        found = f"{wrong} of the {x.numel()} values to quantize are NaN or infinite"
        raise SettingError(f"{found}; scale the input or lower the learning rate")


def _largest_magnitudes(x: Tensor) -> Tensor:
    """The largest |x| of every node, [nodes, channels] -> [nodes]."""
    magnitude = x.detach().abs().amax(1)
    # NaN and infinity survive the maximum, so the nodes tell and the values need not be read again.
    if not bool(magnitude.isfinite().all()):
        require_finite(x)
    return magnitude


def rounded_bits(bit_width: Tensor) -> Tensor:
    """b = round(|bit_width|), halves to even, at least 1."""
    # No code fits in 0 bits; with 1 bit the only code is 0.
    return bit_width.detach().abs().round_().clamp_min_(1)


def _search_levels(step_size: Tensor, bit_width: Tensor) -> Tensor:
    """What the nodes' largest magnitudes are compared with, [groups]: one step more than the largest output."""
    return (torch.exp2(rounded_bits(bit_width) - 1) * step_size.detach().abs())[:, 0]


def _ordered(levels: Tensor) -> tuple[Tensor, Tensor]:
    """The levels in order, and which of all it is, of equals the first."""
    ordered, order = levels.sort(stable=True)
    return ordered, order[torch.searchsorted(ordered, ordered)]


def _nearest(magnitude: Tensor, levels: Tensor) -> Tensor:
    """The level with the least squared distance, the first of equals; magnitude [nodes], levels [groups] -> [nodes]."""
    ordered, first_of_equals = _ordered(levels)
    above = torch.searchsorted(ordered, magnitude).clamp_(max=len(levels) - 1)
    below = (above - 1).clamp_(min=0)
    distance_above = (magnitude - ordered.index_select(0, above)).square_()
    distance_below = (magnitude - ordered.index_select(0, below)).square_()
    group_above, group_below = first_of_equals.index_select(0, above), first_of_equals.index_select(0, below)
    is_below = (distance_below < distance_above) | ((distance_below == distance_above) & (group_below < group_above))
    return torch.where(is_below, group_below, group_above)


@dataclass(frozen=True)
class RowGrid:
    """The values a row can take: whole numbers from -largest to largest, times scale; both [rows, 1]."""

    scale: Tensor
    largest: Tensor

    @classmethod
    def of(cls, step_size: Tensor, bit_width: Tensor) -> "RowGrid":
        """The grid of learned step sizes and bit widths [rows, 1]."""
        # A step size of zero would divide zero by zero.
        scale = step_size.detach().abs().clamp_min_(torch.finfo(step_size.dtype).tiny)
        return cls(scale, torch.exp2(rounded_bits(bit_width) - 1) - 1)

    def of_groups(self, group: Tensor) -> "RowGrid":
        """The grid of nodes whose rows are groups, group [nodes]."""
        return RowGrid(self.scale.index_select(0, group), self.largest.index_select(0, group))

    def round(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The codes, x clipped to the range of its row, and the same in steps; all [rows, entries]."""
        limit = self.scale * self.largest
        # clamp takes four times as long with a bound for every row.
        clipped = torch.maximum(x, -limit)
        torch.minimum(clipped, limit, out=clipped)
        steps = clipped / self.scale
        # trunc would save two passes, but takes as long as thirty.
        return steps.abs().add_(0.5).floor_().mul_(steps.sign()), clipped, steps

    def quantize(self, x: Tensor) -> Tensor:
        """The nearest values, [rows, entries]."""
        found = quantizers.on_grids(x, self.scale, self.largest)
        return self.round(x)[0].mul_(self.scale) if found is None else found

    def learn(self, x: Tensor, positive: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """The nearest values, the errors in steps, and the signs outside the range; all [rows, entries].

        A row of which `positive` [rows, 1] says 0 has no errors and is outside everywhere.
        """
        codes, clipped, steps = self.round(x)
        error = torch.sub(codes, steps, out=steps)
        if positive is not None:
            error, clipped = error.mul_(positive), clipped.mul_(positive)
        outside = torch.sub(x, clipped, out=clipped).sign_()
        return codes.mul_(self.scale), error, outside

    def step_gradient(self, error: Tensor, outside: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Sums over every row, [rows, 1]: weight * r for the step size, and weight * sign(x) outside the range.

        Without a weight they are weighted already.
        """
        outside_sum = _row_sums(outside, weight)
        return _row_sums(error, weight) + self.largest * outside_sum, outside_sum

    def bit_gradient(self, outside_sum: Tensor) -> Tensor:
        """The gradient of bit widths, [rows, 1], from the sums outside the range."""
        return outside_sum * (self.largest + 1) * self.scale * math.log(2)


def _row_sums(values: Tensor, weight: Tensor | None) -> Tensor:
    return (values if weight is None else weight * values).sum(1, keepdim=True)


def quantize_found_nodes(x: Tensor, step_size: Tensor, bit_width: Tensor, group: Tensor) -> Tensor:
    """`quantize_nodes` for values that are known to be finite."""
    if not torch.is_grad_enabled():
        return RowGrid.of(step_size, bit_width).of_groups(group).quantize(x)
    return _NodeQuantization.apply(x, step_size, bit_width, group)  # pyright: ignore[reportReturnType]


class _NodeQuantization(torch.autograd.Function):
    """What the gradients need of x is made in forward: the signs outside the range and the rounding errors."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step_size: Tensor, bit_width: Tensor, group: Tensor) -> Tensor:  # noqa: ANN401
        grid = RowGrid.of(step_size, bit_width).of_groups(group)
        found = quantizers.learned(x, grid.scale, grid.largest)
        quantized, error, outside = grid.learn(x) if found is None else found[:3]
        ctx.save_for_backward(error, outside, group)
        ctx.grid, ctx.shape = grid, step_size.shape
        return quantized

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # noqa: ANN401
        error, outside, group = ctx.saved_tensors
        of_step, outside_sum = ctx.grid.step_gradient(error, outside, gradients[0])
        of_bit, zeros = ctx.grid.bit_gradient(outside_sum), of_step.new_zeros(ctx.shape[0])
        # A tensor of two dimensions would be added to by one call for each of its rows.
        sums = (zeros.index_add(0, group, of_row[:, 0]).view(ctx.shape) for of_row in (of_step, of_bit))
        return gradients[0], *sums, None


class _ChannelQuantization(torch.autograd.Function):
    """A channel whose step size is negative counts as outside its range everywhere, as in the authors' code."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step_size: Tensor, bit_width: Tensor, local_gradient: bool) -> Tensor:  # noqa: ANN401
        grid, positive = RowGrid.of(step_size, bit_width), (step_size >= 0).to(x.dtype)
        found = quantizers.learned(x, grid.scale, grid.largest, positive, weighted=local_gradient)
        if found is None or not found.finite:
            require_finite(x)
        if found is not None:
            quantized, error, outside, of_outside, _ = found
        else:
            quantized, error, outside = grid.learn(x, positive)
            of_outside = outside
            if local_gradient:
                side = (quantized - x).sign_()
                error, of_outside = side * error, side * outside
        if local_gradient:
            # The gradient of the step size needs no more than this, so the errors are not kept.
            error = grid.step_gradient(error, of_outside)[0] / x.shape[1]
        ctx.save_for_backward(error, outside)
        ctx.grid, ctx.local = grid, local_gradient
        return quantized

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:  # noqa: ANN401
        error, outside = ctx.saved_tensors
        if ctx.local:
            of_step, outside_sum = error, _row_sums(outside, gradients[0])
        else:
            of_step, outside_sum = ctx.grid.step_gradient(error, outside, gradients[0])
        # With 1 bit the authors' code takes the sign of the clipped value, which is zero.
        return gradients[0], of_step, ctx.grid.bit_gradient(outside_sum) * (ctx.grid.largest > 0), None
