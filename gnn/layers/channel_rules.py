"""What cannot be seen in a layer's operations: which of its tensors have an entry for each channel."""

from typing import Any

from gnn.layers.rules import Axis, Channels, channels
from gnn.layers.walk_pooling import WalkPooling


@channels.register("torch_geometric.nn.norm.layer_norm.LayerNorm", "torch_geometric.nn.norm.pair_norm.PairNorm")
def _normalisation(layer: Any) -> Channels:  # noqa: ANN401, ARG001
    """A mean over all channels is none of their own, but does without any of them."""
    return Channels(keeps=(Axis("weight"), Axis("bias")), normalises=True)


@channels.register(WalkPooling)
def _walk_pooling(layer: WalkPooling) -> Channels:  # noqa: ARG001
    """The channels of keys and queries stay: their number scales the attention."""
    return Channels(reads=(Axis("lin_key1.weight", 1), Axis("lin_query1.weight", 1)))
