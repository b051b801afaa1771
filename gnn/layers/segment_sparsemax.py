"""Sparsemax and softmax of many segments at once."""

from typing import Any

import torch
from torch import Tensor


def segment_of_entry(pointer: Tensor) -> Tensor:
    """The segment that owns each of the entries, pointer [segments + 1] -> [entries], ascending."""
    sizes = pointer.diff()
    return torch.repeat_interleave(torch.arange(len(sizes), device=sizes.device), sizes)


def segment_sum(values: Tensor, segment: Tensor, segments: int) -> Tensor:
    """The sum of every segment; values [entries] or [entries, width] -> [segments] or [segments, width]."""
    return values.new_zeros(segments, *values.shape[1:]).index_add(0, segment, values)


def segment_sparsemax(scores: Tensor, segment: Tensor, segments: int) -> Tensor:
    """Project the scores of every segment on the probability simplex; differentiable.

    p_i = max(0, z_i - tau) with the tau for which the p_i of a segment add up to 1. The gradient is that of the scores
    on the support (p_i > 0) minus its mean there, and zero elsewhere. Equal scores get equal probabilities.

    Source: Martins and Astudillo, arXiv 1602.02068; HGP-SL, sparse_softmax.py (which sorts).
    Shapes: scores and segment [entries], segment numbers from 0 to segments - 1 in any order -> [entries].
    """
    return _SegmentSparsemax.apply(scores, segment, segments)  # pyright: ignore[reportReturnType]


def known_sparsemax(scores: Tensor, probability: Tensor, segment: Tensor, segments: int) -> Tensor:
    """The sparsemax of scores that are all above zero and known already, `probability` [entries]; differentiable."""
    return _KnownSparsemax.apply(scores, probability, segment, segments)  # pyright: ignore[reportReturnType]


def segment_softmax(scores: Tensor, segment: Tensor, segments: int) -> Tensor:
    """The softmax of every segment, differentiable; shapes as in `segment_sparsemax`."""
    exponential = _centred(scores, segment, segments).exp()
    return exponential / segment_sum(exponential, segment, segments).index_select(0, segment)


def sparsemax_support(scores: Tensor, segment: Tensor, segments: int) -> Tensor:
    """The entries whose sparsemax is above zero, ascending; shapes as in `segment_sparsemax` -> [support] int64."""
    return _project(_centred(scores, segment, segments), segment, segments)[0]


def _centred(scores: Tensor, segment: Tensor, segments: int) -> Tensor:
    """The scores minus the largest one of their segment, which changes no probability and keeps digits."""
    empty = scores.new_zeros(segments)
    maximum = empty.scatter_reduce(0, segment, scores.detach(), "amax", include_self=False)
    return scores - maximum.index_select(0, segment)


def _project(centred: Tensor, segment: Tensor, segments: int) -> tuple[Tensor, Tensor]:
    """Support [support] and its probabilities, of scores whose largest one is 0 in every segment.

    Michelot's algorithm in all segments together: a threshold from the entries that are left, drop what is not above
    it, until nothing is dropped. It needs no sorting; every round drops an entry, and 4 or 5 rounds do on PROTEINS.
    """
    # The threshold lies between -1 and 0, so what is not above -1 is not in the support.
    left = (centred > -1).nonzero()[:, 0]
    while True:
        score, owner = centred.index_select(0, left), segment.index_select(0, left)
        count = segment_sum(torch.ones_like(score), owner, segments)
        threshold = (segment_sum(score, owner, segments) - 1) / count
        probability = score - threshold.index_select(0, owner)
        kept = probability > 0
        if bool(kept.all()):
            return left, probability
        left = left[kept]


class _SegmentSparsemax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, segment: Tensor, segments: int) -> Tensor:  # noqa: ANN401
        support, probability = _project(_centred(scores, segment, segments), segment, segments)
        ctx.save_for_backward(support, segment.index_select(0, support))
        ctx.segments = segments
        return torch.zeros_like(scores).index_copy_(0, support, probability)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:  # noqa: ANN401
        support, owner = ctx.saved_tensors
        centred = _without_mean(gradients[0].index_select(0, support), owner, ctx.segments)
        return torch.zeros_like(gradients[0]).index_copy_(0, support, centred), None, None


class _KnownSparsemax(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, probability: Tensor, segment: Tensor, segments: int) -> Tensor:  # noqa: ANN401, ARG004
        ctx.save_for_backward(segment)
        ctx.segments = segments
        return probability.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None, None]:  # noqa: ANN401
        (segment,) = ctx.saved_tensors
        return _without_mean(gradients[0], segment, ctx.segments), None, None, None


def _without_mean(values: Tensor, segment: Tensor, segments: int) -> Tensor:
    count = segment_sum(torch.ones_like(values), segment, segments)
    mean = segment_sum(values, segment, segments) / count
    return values - mean.index_select(0, segment)
