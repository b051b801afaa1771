"""Channels that can only be removed everywhere at once, and what is left of a state without them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import prod

import torch
from torch import Tensor


@dataclass(frozen=True)
class ChannelSlice:
    """Entry offset + c along `axis` of the tensor of this name belongs to channel c."""

    tensor: str
    axis: int
    offset: int = 0


@dataclass(frozen=True)
class ChannelGroup:
    """Channels 0 to channels - 1 of one hidden layer, or of the input, and every slice that one of them is made of.

    A channel without all of its slices would leave matrices that do not fit, so they go together. `mask` names the
    uint8 buffer that says which inputs are used, for groups of input features: their columns are not computed by a
    layer before, so something has to remember them.
    """

    name: str
    channels: int
    slices: tuple[ChannelSlice, ...]
    mask: str | None = None

    def rows(self, tensors: Mapping[str, Tensor]) -> Iterator[Tensor]:
        """For each slice of one of these tensors, what belongs to each channel: [channels, entries]."""
        for part in self.slices:
            if part.tensor in tensors:
                entries = tensors[part.tensor].narrow(part.axis, part.offset, self.channels)
                yield entries.movedim(part.axis, 0).reshape(self.channels, -1)


def slice_state(
    state: Mapping[str, Tensor], groups: Sequence[ChannelGroup], kept: Sequence[Tensor]
) -> dict[str, Tensor]:
    """The state without the channels where `kept`, one bool vector [channels] for each group, is False.

    A mask of input features that was not there, because all were used, is added.
    """
    sliced = {name: tensor.clone() for name, tensor in state.items()}
    for (name, axis), entries in _kept_entries(state, groups, kept).items():
        sliced[name] = sliced[name].index_select(axis, entries.nonzero()[:, 0])
    for group, channels in zip(groups, kept, strict=True):
        if group.mask is not None:
            mask = sliced.setdefault(group.mask, torch.ones_like(channels, dtype=torch.uint8))
            mask[mask != 0] = channels.to(torch.uint8)
    return sliced


def _kept_entries(
    state: Mapping[str, Tensor], groups: Sequence[ChannelGroup], kept: Sequence[Tensor]
) -> dict[tuple[str, int], Tensor]:
    """Which entries stay along each axis that is sliced at all, by tensor and axis."""
    entries: dict[tuple[str, int], Tensor] = {}
    for group, channels in zip(groups, kept, strict=True):
        for part in group.slices:
            size = state[part.tensor].shape[part.axis]
            whole = torch.ones(size, dtype=torch.bool, device=channels.device)
            along = entries.setdefault((part.tensor, part.axis), whole)
            along[part.offset : part.offset + group.channels] = channels
    return entries


@dataclass(frozen=True, eq=False)
class WeightCount:
    """How many entries some tensors have when channels are removed."""

    shapes: Mapping[str, Sequence[int]]
    groups: Sequence[ChannelGroup]

    def without(self, removed: Sequence[int]) -> int:
        """Entries left when that many channels of each group are gone."""
        sizes = {name: list(shape) for name, shape in self.shapes.items()}
        for group, count in zip(self.groups, removed, strict=True):
            for part in group.slices:
                if part.tensor in sizes:
                    sizes[part.tensor][part.axis] -= count
        return sum(map(prod, sizes.values()))
