"""Structured pruning: whole channels and input features are removed, so that matrices really shrink."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from gnn.compression.channel_groups import WeightCount
from gnn.compression.channel_trace import trace_channels
from gnn.compression.context import Compressed, Context
from gnn.compression.importance import magnitude_importance, taylor_importance
from gnn.compression.masks import Masks
from gnn.compression.narrowing import narrow_model
from gnn.compression.prunable import SparsitySettings, prunable_parameters
from gnn.compression.registry import register_method
from gnn.errors import SettingError


@dataclass(frozen=True)
class Structured(SparsitySettings):
    """Share of all prunable weights to remove, in [0, 1), and what says how important a channel is.

    "magnitude" and "taylor" are explained in `gnn.compression.importance`. Raises `SettingError` for any other.
    """

    method: ClassVar[str] = "structured"
    importance: Literal["magnitude", "taylor"] = "magnitude"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.importance not in ("magnitude", "taylor"):
            raise SettingError(f"unknown importance {self.importance!r}; valid are: magnitude, taylor")

    def id_parts(self) -> tuple[str, ...]:
        """The settings as they stand in a case id, such as ("s0.8", "taylor"); "magnitude" goes without saying."""
        return super().id_parts() + (() if self.importance == "magnitude" else (self.importance,))


@register_method(Structured)
def prune_channels(model: nn.Module, settings: Structured, context: Context) -> Compressed:
    """Remove the least important channels of the whole model, so that a narrower one is left.

    What belongs to a channel is found by following one pass (`trace_channels`). The number of prunable weights that are
    left is that of the unstructured methods at the same sparsity, or less by fewer weights than the smallest channel
    would bring back. "taylor" needs the training context.

    Raises:
        SettingError: No channel can be removed, the sparsity would take the last one of a group, the example does not
            fit, or the narrow model would compute something else.
    """
    traced = trace_channels(model, context.run, prepares=context.example is None)
    groups = traced.groups
    if not groups:
        reasons = [f"{path or type(model).__name__}: {reason}" for path, reason in traced.untouched.items()]
        raise SettingError(f"nothing can be removed: {'; '.join(reasons) or 'inputs and outputs have all channels'}")
    if settings.importance == "taylor":
        importance = taylor_importance(model, groups, context.training)
    else:
        importance = magnitude_importance(model, groups)
    shapes = {name: model.get_parameter(name).shape for name, _, _ in prunable_parameters(model)}
    kept = kept_channels(importance, WeightCount(shapes, groups), settings.sparsity)
    if all(bool(channels.all()) for channels in kept):
        return Compressed(model, Masks(), untouched=traced.untouched)
    sizes = {name: tensor.numel() for name, tensor in model.state_dict().items()}
    narrow_model(model, traced, kept, context.run)
    left = model.state_dict()
    shrunk = tuple(name for name, size in sizes.items() if left[name].numel() < size)
    return Compressed(model, Masks(), shrunk=shrunk, untouched=traced.untouched)


def kept_channels(importance: Sequence[Tensor], weights: WeightCount, sparsity: float) -> list[Tensor]:
    """Which channels of each group stay, one bool vector [channels] for each.

    Channels go in the order of their importance, over all groups, until no more weights are left than an unstructured
    method would leave; then those removed last come back as long as there is room for them. The most important channel
    of each group always stays.
    """
    dense = weights.without([0] * len(importance))
    allowed = dense - round(sparsity * dense)
    removed: list[tuple[int, int]] = []
    counts = [0] * len(importance)
    for group, channel in _least_important_first(importance):
        if weights.without(counts) <= allowed:
            break
        removed.append((group, channel))
        counts[group] += 1
    if weights.without(counts) > allowed:
        raise SettingError(
            f"sparsity {sparsity} leaves {allowed} of {dense} weights, but one channel of each group has "
            f"{weights.without(counts)}; give a lower sparsity"
        )
    kept = [torch.ones_like(channels, dtype=torch.bool) for channels in importance]
    for group, channel in reversed(removed):
        counts[group] -= 1
        if weights.without(counts) > allowed:
            counts[group] += 1
            kept[group][channel] = False
    return kept


def _least_important_first(importance: Sequence[Tensor]) -> list[tuple[int, int]]:
    """Group and number of every channel but the most important of each group; of equal ones the first comes first."""
    ranked = [
        (value, group, channel)
        for group, channels in enumerate(importance)
        for channel, value in enumerate(channels.tolist())
    ]
    best = {(group, int(channels.argmax())) for group, channels in enumerate(importance)}
    return [(group, channel) for _, group, channel in sorted(ranked) if (group, channel) not in best]
