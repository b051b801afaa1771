"""How the weights of a model are distributed, before and after compression."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gnn.compression.prunable import prunable_parameters

NEAR_ZERO = 1e-3
BINS = 41


@dataclass(frozen=True)
class WeightHistogram:
    """Counts of a layer's weights in equal bins from `-limit` to `limit`; exact zeros are counted apart.

    Both counts use the same bins, and a weight outside of them counts in the outermost one.
    """

    limit: float
    before: tuple[int, ...]
    after: tuple[int, ...]
    zeros_before: int
    zeros_after: int


def near_zero_share(model: nn.Module) -> float:
    """Share of the prunable weights whose magnitude is below `NEAR_ZERO`; exact zeros count as well."""
    weights = [getattr(module, name) for _, module, name in prunable_parameters(model)]
    near = sum(int((weight.abs() < NEAR_ZERO).sum()) for weight in weights)
    return near / sum(weight.numel() for weight in weights)


def weight_histograms(before: Mapping[str, Tensor], after: nn.Module) -> dict[str, WeightHistogram]:
    """The histogram of every prunable tensor: `before` is the dense model's state, `after` the compressed model.

    Source: the paper, Figure 1.
    """
    return {
        name: _histogram(before[name], getattr(module, parameter).detach())
        for name, module, parameter in prunable_parameters(after)
    }


def _histogram(before: Tensor, after: Tensor) -> WeightHistogram:
    limit = float(before.abs().max()) or 1.0
    return WeightHistogram(
        limit=limit,
        before=_counts(before, limit),
        after=_counts(after, limit),
        zeros_before=_zeros(before),
        zeros_after=_zeros(after),
    )


def _counts(weight: Tensor, limit: float) -> tuple[int, ...]:
    inside = weight[weight != 0].clamp(-limit, limit).cpu()
    return tuple(int(count) for count in torch.histc(inside, bins=BINS, min=-limit, max=limit))


def _zeros(weight: Tensor) -> int:
    return weight.numel() - int(weight.count_nonzero())
