"""The maximum of many segments at once."""

from typing import Any

import torch
from torch import Tensor

_MAXIMUM = 2


def segment_maximum(values: Tensor, pointer: Tensor) -> Tensor:
    """The largest value of each channel over each segment, 0 for an empty one.

    Of equal ones the first has the gradient.

    Shapes: values [entries, width], segment i owns the entries pointer[i] to pointer[i + 1] -> [segments, width].
    """
    if not torch.is_grad_enabled():
        return _largest(values, pointer)[0]
    return _SegmentMaximum.apply(values, pointer)  # pyright: ignore[reportReturnType]


def _largest(values: Tensor, pointer: Tensor) -> tuple[Tensor, Tensor]:
    """The maxima and where they are, both [segments, width]."""
    entry = torch.arange(len(values), device=values.device)
    # With deterministic algorithms a bag of all entries of a segment is faster than a scattered maximum.
    maximum, _, _, where = torch.embedding_bag(values, entry, pointer, False, _MAXIMUM, False, None, True)
    return maximum, where


class _SegmentMaximum(torch.autograd.Function):
    """The gradient is written out because PyTorch's own one adds column by column."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, pointer: Tensor) -> Tensor:  # noqa: ANN401
        maximum, where = _largest(values, pointer)
        ctx.save_for_backward(where, pointer)
        ctx.entries = len(values)
        return maximum

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:  # noqa: ANN401
        where, pointer = ctx.saved_tensors
        filled, width = (pointer.diff() > 0).nonzero()[:, 0], where.shape[1]
        place = where.index_select(0, filled) * width + torch.arange(width, device=where.device)
        of_values = gradients[0].new_zeros(ctx.entries * width)
        of_values.index_add_(0, place.flatten(), gradients[0].index_select(0, filled).flatten())
        return of_values.view(ctx.entries, width), None
