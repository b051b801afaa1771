"""The channel groups of each model, and the settings of a model that has fewer channels."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from gnn.compression.channel_groups import ChannelGroup, ChannelSlice
from gnn.errors import SettingError
from gnn.models import GraphModel
from gnn.models.gin import Gin, GinSettings
from gnn.models.gnnnet import GnnNet, GnnNetSettings
from gnn.models.hgpsl import HgpSlNet, HgpSlSettings
from gnn.models.ness import Ness, NessSettings
from gnn.models.spline import SplineNet, SplineNetSettings


@dataclass(frozen=True)
class ChannelLayout:
    """What can be removed from an architecture.

    `groups` gives the channel groups of a model with these settings, `narrow` the settings of the model that is left
    with that many channels of each group.
    """

    groups: Callable[[Any], tuple[ChannelGroup, ...]]
    narrow: Callable[[Any, Sequence[int]], Any]


def channel_layout(model: GraphModel) -> ChannelLayout:
    """The layout of a model; raises `SettingError` for an architecture that has none."""
    layout = _LAYOUTS.get(type(model))
    if layout is None:
        known = ", ".join(sorted(architecture.__name__ for architecture in _LAYOUTS))
        raise SettingError(f"whole channels cannot be removed from {type(model).__name__}; they can from: {known}")
    return layout


def _outputs(*layers: str, axis: int = 0) -> tuple[ChannelSlice, ...]:
    """The output channels of layers with a weight and a bias of their own."""
    return tuple(
        part for layer in layers for part in (ChannelSlice(f"{layer}.weight", axis), ChannelSlice(f"{layer}.bias", 0))
    )


def _inputs(layer: str) -> ChannelSlice:
    """The input channels of a linear layer."""
    return ChannelSlice(f"{layer}.weight", 1)


def _of_gnnnet(settings: GnnNetSettings) -> tuple[ChannelGroup, ...]:
    """One group for each convolution: its outputs are the next one's, or the classifier's, inputs."""
    convolutions = [f"gnn_layers.{number}" for number in range(settings.layers)]
    readers = [*(f"{layer}.lin" for layer in convolutions[1:]), "mlps.0"]
    return tuple(
        ChannelGroup(
            name=layer,
            channels=width,
            slices=(ChannelSlice(f"{layer}.lin.weight", 0), ChannelSlice(f"{layer}.bias", 0), _inputs(reader)),
        )
        for layer, reader, width in zip(convolutions, readers, settings.hidden_widths, strict=True)
    )


def _of_gin(settings: GinSettings) -> tuple[ChannelGroup, ...]:
    """Two groups for each convolution and one for `lin1`; an output goes with all that BatchNorm knows of it."""
    linear = [f"convs.{number}.nn.{place}" for number in range(settings.layers) for place in (0, 2)]
    groups = []
    for (layer, reader), width in zip(pairwise([*linear, "lin1", "lin2"]), settings.hidden_widths, strict=True):
        slices = (*_outputs(layer), _inputs(reader))
        if layer.endswith(".2"):
            norm = layer.removesuffix("2") + "4"
            statistics = tuple(ChannelSlice(f"{norm}.{name}", 0) for name in ("running_mean", "running_var"))
            slices = (*slices, *_outputs(norm), *statistics)
        groups.append(ChannelGroup(layer, width, slices))
    return tuple(groups)


def _of_hgpsl(settings: HgpSlSettings) -> tuple[ChannelGroup, ...]:
    """One group for all convolutions, whose readouts are added up, and one for each of `lin1` and `lin2`.

    `att` of a pool is [1, 2 * channels], for the two ends of an edge, and `lin1` reads [max || mean]: both hold every
    channel twice.
    """
    channels, first, second = settings.hidden_widths
    twice = tuple(
        ChannelSlice(name, 1, offset) for name in ("pool1.att", "pool2.att", "lin1.weight") for offset in (0, channels)
    )
    convolutions = (
        ChannelSlice("conv1.lin.weight", 0),
        ChannelSlice("conv1.bias", 0),
        # Their weights are [in_channels, out_channels].
        ChannelSlice("conv2.weight", 0),
        ChannelSlice("conv3.weight", 0),
        *_outputs("conv2", "conv3", axis=1),
    )
    return (
        ChannelGroup("convolutions", channels, (*convolutions, *twice)),
        ChannelGroup("lin1", first, (*_outputs("lin1"), _inputs("lin2"))),
        ChannelGroup("lin2", second, (*_outputs("lin2"), _inputs("lin3"))),
    )


def _of_spline(settings: SplineNetSettings) -> tuple[ChannelGroup, ...]:
    """The words, and the hidden channels between the convolutions, whose kernels are [points, in, out]."""
    words = (ChannelSlice("conv1.weight", 1), _inputs("conv1.lin"))
    hidden = (
        ChannelSlice("conv1.lin.weight", 0),
        *_outputs("conv1", axis=2),
        ChannelSlice("conv2.weight", 1),
        _inputs("conv2.lin"),
    )
    return (
        ChannelGroup("words", settings.used_features, words, mask="kept_features"),
        ChannelGroup("hidden", settings.hidden_channels, hidden),
    )


def _of_ness(settings: NessSettings) -> tuple[ChannelGroup, ...]:
    """The words, and the channels of the embedding, which only an inner product reads."""
    return (
        ChannelGroup("words", settings.used_features, (_inputs("lin"),), mask="kept_features"),
        ChannelGroup("embedding", settings.channels, _outputs("lin")),
    )


def _with_widths(settings: Any, widths: Sequence[int]) -> Any:  # noqa: ANN401
    return replace(settings, hidden_channels=tuple(widths))


_LAYOUTS: dict[type[GraphModel], ChannelLayout] = {
    Gin: ChannelLayout(_of_gin, _with_widths),
    GnnNet: ChannelLayout(_of_gnnnet, _with_widths),
    HgpSlNet: ChannelLayout(_of_hgpsl, _with_widths),
    Ness: ChannelLayout(_of_ness, lambda settings, left: replace(settings, kept_features=left[0], channels=left[1])),
    SplineNet: ChannelLayout(
        _of_spline, lambda settings, left: replace(settings, kept_features=left[0], hidden_channels=left[1])
    ),
}
